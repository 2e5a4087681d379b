"""Files that survive: fsync, publication under a final name, and the writer's lock.

Everything that changes the name of a file goes through here, so that the order
"contents, then name, then directory" is written once.
"""

from __future__ import annotations

import contextlib
import ctypes
import enum
import errno
import fcntl
import json
import os
import shutil
import socket
import stat
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from .errors import Locked, ReadOnly, SeqArchiveError
from .forks import ForkLock

#: Bytes of the lock file: one sector, so that a power cut leaves the old text or the new one.
_LOCK_BYTES = 512

#: Why a directory stays that is not ours to remove: something is in it, it is a symbolic link, or
#: something is mounted there.
_STAYS = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EBUSY}

#: How many locks there are for all keys, and seconds to wait for one.
_KEY_LOCKS, _PATIENCE = 64, 300.0


def exists(path: Path) -> bool:
    """Whether there is anything of this name, be it a link that leads nowhere."""
    return os.path.lexists(path)


def fsync(path: Path) -> None:
    """Make the contents of a file, or the names in a directory, survive a power cut."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directory(path: Path) -> None:
    """Create a directory and its parents, each durable in its own parent on return."""
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    # The last one that is there may be of a command that was killed before its fsync, which then
    # has put nothing in it; nobody made it who could not.
    is_in_doubt = (bool(missing) or _is_empty(path)) and not path.is_mount()
    if is_in_doubt and os.access(path.parent, os.R_OK | os.W_OK):
        fsync(path.parent)
    for directory in reversed(missing):
        with contextlib.suppress(FileExistsError):
            directory.mkdir()
        fsync(directory.parent)


def make_root(path: Path) -> None:
    """``make_directory`` for one that a command writes to.

    Raises:
        ReadOnly: It cannot be made.
    """
    try:
        make_directory(path)
    except PermissionError as error:
        raise ReadOnly(
            f"{error.filename}: {error.strerror}; ask the owner of the directory that it would be "
            "in, or name another root with --root"
        ) from None
    except OSError as error:
        raise ReadOnly(f"{error.filename or path}: {error.strerror}") from None


def _is_empty(directory: Path) -> bool:
    """Whether there is nothing in a directory; of what cannot be looked at, nobody knows."""
    try:
        with os.scandir(directory) as entries:
            return next(entries, None) is None
    except OSError:
        return False


def make_read_only(path: Path) -> None:
    """Take all rights to write from a file or a directory; who may read it stays as the umask
    decided when it was made."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o222:  # a file of another owner, linked here, has none already
        os.chmod(path, mode & 0o555)


def publish(temporary: Path, final: Path) -> None:
    """Give a finished file its final name; it is read-only from here on.

    The name is durable only after the caller has called ``fsync`` on the directory, which it
    does once for all the files that it publishes there.

    Raises:
        FileExistsError: ``final`` is taken, and untouched.
        OSError: The disk refused. Do not retry with this file: after a failed fsync the kernel
            may report success for data that it has dropped.
    """
    make_read_only(temporary)
    fsync(temporary)
    try:
        os.link(temporary, final)  # unlike rename, refuses to replace
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        # A file system without hard links. The writer's lock keeps others from this name.
        if final.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(final)) from None
        os.rename(temporary, final)
        return
    os.unlink(temporary)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """What fails in here says of which file, as what writes to an open one does not."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def replace(path: Path, data: bytes, temporary: Path) -> None:
    """Give a file new contents by one rename; read-only, durable on return.

    Args:
        temporary: A directory of the same file system for the unfinished file, whose name
            begins with a dot.
    """
    temporary.mkdir(exist_ok=True)
    unfinished = temporary / f".{path.name}"
    remove(unfinished)  # read-only, if somebody was killed here
    with _naming(path):
        unfinished.write_bytes(data)
    make_read_only(unfinished)
    fsync(unfinished)
    publish_again(unfinished, path)


def write_loosely(path: Path, data: bytes) -> None:
    """Have a file with these contents that may be lost: nothing here waits for the disk, and
    after a power cut it may be there and damaged. Two who write it at once do no harm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        unfinished.write_bytes(data)
        os.replace(unfinished, path)
    except OSError:
        remove(unfinished)
        raise


def publish_loosely(temporary: str, final: str) -> None:
    """Give a file its final name, be there another, and wait for no disk: ``sync_filesystem`` does
    that for many of them."""
    os.replace(temporary, final)


def sync_filesystem(path: Path) -> None:
    """Make all that was written to a file system survive a power cut."""
    fd = os.open(path, os.O_RDONLY)
    try:
        # Python has no name for it; where the C library has none either, there is ``sync``.
        syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if syncfs is None:
            os.sync()
        elif syncfs(fd):
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), str(path))
    finally:
        os.close(fd)


def publish_writable(temporary: Path, final: Path) -> None:
    """Give a finished file that goes on changing its final name; durable on return."""
    fsync(temporary)
    os.rename(temporary, final)
    fsync(final.parent)


#: Errors of ``link`` after which the contents can still be copied.
_NO_LINK = (
    errno.EPERM,
    errno.EACCES,
    errno.EXDEV,
    errno.EMLINK,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
)

#: The ``ioctl`` that has two files share their blocks until one of them changes (Linux).
_FICLONE = 0x40049409


class Sharing(enum.Enum):
    """How one file came to have the contents of another."""

    LINKED = "linked"
    """One file under two names."""
    CLONED = "cloned"
    """Two files that share their blocks."""
    COPIED = "copied"
    """Twice on the disk."""


def copy(path: Path, other: Path) -> Sharing:
    """Clone a file, or copy it. The copy may be written to, and is not durable."""
    with open(path, "rb") as source, open(other, "xb") as target:
        try:
            fcntl.ioctl(target, _FICLONE, source.fileno())
        except OSError:
            shutil.copyfileobj(source, target, 1 << 20)
            return Sharing.COPIED
    return Sharing.CLONED


def share(path: Path, other: Path) -> Sharing:
    """Have a read-only file under another name too, as cheaply as the file system can.

    The contents are durable on return if those of ``path`` are; the name is not.

    Raises:
        FileExistsError: ``other`` is taken, and untouched.
    """
    # One that can be written would change here too when it is.
    if not stat.S_IMODE(path.stat().st_mode) & 0o222:
        try:
            os.link(path, other, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
        else:
            return Sharing.LINKED
    how = copy(path, other)
    make_read_only(other)
    fsync(other)
    return how


def share_again(path: Path, other: Path, temporary: Path) -> Sharing:
    """Have a read-only file under another name too, which another file may have until now.

    Whoever is killed here leaves what was there, or all of the file, which may be a copy.

    Args:
        temporary: Where a copy may be until then, in the same file system as ``other``.
    """
    remove(temporary)
    how = share(path, temporary)
    os.replace(temporary, other)
    return how


def publish_directory(temporary: Path, final: Path) -> None:
    """Give a finished tree its final name; read-only, and durable, on return.

    Its files are durable already; its directories need not be. Both names are in one directory:
    a tree without the right to write cannot be moved to another by those who are not root.

    Raises:
        FileExistsError: ``final`` is taken, and untouched.
    """
    seal_directory(temporary)
    if exists(final):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(final))
    os.rename(temporary, final)
    fsync(final.parent)


def publish_again(temporary: Path, final: Path) -> None:
    """Have a finished, durable file take the place of an older one; durable on return."""
    os.replace(temporary, final)
    fsync(final.parent)


def make_writable(path: Path, *, only: bool = False) -> None:
    """Give the owner back the right to add files to the directories of a tree, if it is there.

    Args:
        only: Of the tree itself, and not of the directories in it.
    """
    for directory, _, _ in os.walk(path):
        os.chmod(directory, stat.S_IMODE(os.stat(directory).st_mode) | 0o700)
        if only:
            return


def seal_directory(path: Path) -> None:
    """Take the rights to write from the directories of a tree; durable on return."""
    for directory, _, _ in os.walk(path, topdown=False):
        make_read_only(Path(directory))
        fsync(Path(directory))


def require_removable(path: Path) -> None:
    """Find out, before anything is done, whether ``remove_directory`` may remove a tree.

    Raises:
        PermissionError: A directory in it is not ours.
    """

    def refuse(error: OSError) -> None:
        raise error

    for directory, _, _ in os.walk(path, onerror=refuse):
        if os.geteuid() not in (0, os.stat(directory).st_uid):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), directory)


def withdraw_directory(path: Path, temporary: Path) -> None:
    """Take its name from a tree, at once and durably, before ``remove_directory``."""
    os.rename(path, temporary)
    fsync(path.parent)


def remove_directory(path: Path) -> None:
    """Remove a tree, though it may be read-only, if it is there; of a link the link."""
    if path.is_symlink():
        remove(path)
        return
    for directory, _, _ in os.walk(path):
        with contextlib.suppress(PermissionError):  # one of others may let us write as it is
            os.chmod(directory, 0o700)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


def remove_shared_directory(path: Path) -> None:
    """Remove a tree to which others may still want to add files; from here on they cannot."""
    gone = path.with_name(f".{path.name}")
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, gone)
        remove_directory(gone)


def replace_link(link: Path, target: str | None, temporary: Path) -> None:
    """Have a symbolic link lead elsewhere by one rename, or remove it; durable on return.

    Args:
        temporary: Where the new link may be until then, in the same directory.
    """
    if target is None:
        remove(link)
    else:
        remove(temporary)
        os.symlink(target, temporary)
        os.replace(temporary, link)
    fsync(link.parent)


def move(path: Path, destination: Path) -> None:
    """Move a file within a file system; both directories are durable on return."""
    make_directory(destination.parent)
    os.rename(path, destination)
    # A power cut can leave a file under both names, of which ``rename`` then takes neither away.
    remove(path)
    fsync(destination.parent)
    fsync(path.parent)


def remove(path: Path) -> None:
    """Remove a file if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def remove_empty_directories(path: Path, stop: Path) -> Path:
    """Remove ``path`` and its parents below ``stop`` as long as they are empty. Returns the
    directory that stays: what went is gone for good after ``fsync`` of it.

    Raises:
        OSError: What the disk refuses for another reason than that it is in use.
    """
    while path != stop:
        try:
            path.rmdir()
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in _STAYS:
                raise
            return path
        path = path.parent
    return path


@dataclass(frozen=True, slots=True)
class Intent:
    """What the holder of the lock is about, for whoever comes after a crash."""

    pid: int
    host: str
    since: str
    journal: str | None
    """Journal directory (relative) that the batch publishes into; None when nothing is."""


class WriterLock:
    """The right to write to an instance. Held by ``flock``: the kernel releases it on any death.

    The file also carries the intent of its holder. A holder that finished clears it; one that
    was killed leaves it, and the next holder finds it in ``interrupted``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self.interrupted: Intent | None = None

    def __enter__(self) -> WriterLock:
        try:
            # Not through a link, which somebody may have put where others write too.
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise ReadOnly(
                    f"{self._path.parent} cannot be written ({error.strerror}); "
                    "check its owner and whether the medium is mounted read-only"
                ) from None
            raise
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _read_intent(fd)
            os.close(fd)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise SeqArchiveError(
                    f"{self._path}: this file system cannot lock ({error.strerror})"
                ) from None
            who = (
                "another writer"
                if holder is None
                else f"process {holder.pid} on {holder.host}, writing since {holder.since}"
            )
            raise Locked(f"{self._path.parent} is locked by {who}; try again later") from None
        self._fd = fd
        self.interrupted = _read_intent(fd)
        return self

    def declare(self, journal: str | None) -> None:
        """Say, durably, which journal directory this batch publishes into."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        text = json.dumps(
            {"pid": os.getpid(), "host": socket.gethostname(), "since": now, "journal": journal}
        )
        with _naming(self._path):
            os.pwrite(self._fd, text.encode().ljust(_LOCK_BYTES - 1) + b"\n", 0)
            os.fsync(self._fd)

    def clear(self) -> None:
        """Say that nothing is left to clean up. Losing this note in a power cut is harmless."""
        os.pwrite(self._fd, b" " * (_LOCK_BYTES - 1) + b"\n", 0)
        self.interrupted = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._fd)
        self._fd = -1


class KeyLocks:
    """Locks by key, between threads and between processes: whoever wants what another is about to
    have waits for it. A bounded number of files, on which the kernel forgets the dead.

    Where no files can be made, they hold between the threads of the process alone.

    Args:
        directory: Made when the first lock is taken.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._threads = tuple(ForkLock() for _ in range(_KEY_LOCKS))

    @contextlib.contextmanager
    def held(self, key: bytes) -> Iterator[None]:
        """Hold the lock of a key. Nobody takes a second one meanwhile."""
        n = zlib.crc32(key) % _KEY_LOCKS
        with self._threads[n]:
            fd = self._locked(n)
            try:
                yield
            finally:
                if fd is not None:
                    # A fork may have a copy of the descriptor, and go on.
                    fcntl.flock(fd, fcntl.LOCK_UN)
                    os.close(fd)

    def _locked(self, n: int) -> int | None:
        path = self._directory / f"{n:02x}"
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            # To read is enough to lock, also what another user has made.
            fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError:
            return None
        deadline, pause = time.monotonic() + _PATIENCE, 0.002
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                busy = error.errno in (errno.EWOULDBLOCK, errno.EACCES)
                if not busy or time.monotonic() > deadline:
                    os.close(fd)  # to ask twice is better than to wait for ever
                    return None
                time.sleep(pause)
                pause = min(2 * pause, 0.05)
            else:
                return fd


@contextlib.contextmanager
def held_alone(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Be the only one, of all threads and processes, who holds what a file stands for. The kernel
    lets it go when its holder dies; the file is gone when nobody holds it.

    Args:
        waiting: Called again and again while another one holds it; may raise.

    Raises:
        ReadOnly: No file can be made there.
    """
    pause = 0.002
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise ReadOnly(f"{path.parent} cannot be written ({error.strerror})") from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(FileNotFoundError):
                # Its last holder may have removed it after it was opened here.
                if os.path.samestat(os.fstat(fd), os.stat(path)):
                    break
        except BlockingIOError:
            pass
        os.close(fd)
        waiting()
        time.sleep(pause)
        pause = min(2 * pause, 0.1)
    try:
        yield
    finally:
        remove(path)
        fcntl.flock(fd, fcntl.LOCK_UN)  # a fork may have a copy of the descriptor, and go on
        os.close(fd)


def _read_intent(fd: int) -> Intent | None:
    try:
        found = json.loads(os.pread(fd, _LOCK_BYTES, 0))
        journal = found["journal"]
        return Intent(
            int(found["pid"]),
            str(found["host"]),
            str(found["since"]),
            None if journal is None else str(journal),
        )
    except (ValueError, KeyError, TypeError):
        return None
