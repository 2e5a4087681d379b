"""Pull: get a release from a source, every byte of it checked, and only what is not here yet.

Files come into ``.pull-NAME`` beside the snapshots, unfinished ones into ``.parts-NAME``. What was
checked stays there when a pull is interrupted, and the next one of the same release goes on with
it. The snapshot appears by one rename.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from .. import durable
from ..chunks import chunk_table
from ..copies import files_of_root
from ..errors import Conflict, Corrupt, Locked, NotFound, ReadOnly, SeqArchiveError, SourceError
from ..instances import Instance
from ..journal import INDEX_SUFFIXES, is_inside
from ..manifests import Manifest, ManifestFile, read_manifest
from ..releases import Releasing, listed_sha256, named_place, unfinished
from ..shards import file_sha256
from ..sources.base import DELAYS, Interrupted, Source
from ..sources.directory import DirectorySource
from ..sources.published import (
    Published,
    listed_manifest,
    listed_row,
    listing_of,
    signature_of,
)
from ..track_files import is_track_path
from ..verifying import Finding, verify
from .crew import for_each
from .signing import signer

Progress = Callable[[int], None]

#: Bytes that make an attempt worth another one: a byte for each would take years.
_FURTHER = 1 << 16

#: Seconds to wait for whoever takes a snapshot, and how often.
_TURN, _TURNS = 0.25, 240

#: How far the clock of whoever took a snapshot may be ahead of ours.
_CLOCK = timedelta(days=1)

#: Files on their way at one time.
JOBS = 4


class WrongFile(SourceError):
    """A source has other bytes than its manifest says."""


@dataclass(slots=True)
class PullReport:
    """How a release came."""

    name: str
    source: str
    manifest_sha256: str = ""
    is_new: bool = True
    """Whether it was not here already."""
    n_files: int = 0
    n_bytes: int = 0
    """Of all files of the release."""
    files_here: int = 0
    bytes_here: int = 0
    """What some snapshot here had already, or an earlier pull that was interrupted."""
    files_fetched: int = 0
    bytes_fetched: int = 0
    """What came from the source in this pull, also in vain."""
    signed_by: str | None = None
    """Fingerprint of the key, if it was checked."""
    has_signature: bool = False
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def pull(
    root: Path,
    source: Source,
    name: str | None = None,
    *,
    keys: list[bytes] | None = None,
    signature: bytes | None = None,
    jobs: int = JOBS,
    begin: Callable[[int], None] = lambda _n: None,
    progress: Progress = lambda _n: None,
) -> PullReport:
    """Get a release of a source into a root.

    Args:
        name: Of the release; the newest if None.
        keys: Public keys; the release must be signed by one of them.
        signature: Of the manifest, to be kept instead of the one that the source has.
        jobs: Files on their way at one time.
        begin: Called once with the bytes that are to come.
        progress: Called with numbers of bytes that came, from any thread but one at a time.

    Raises:
        NotFound: The source has no such release. Conflict: Another one of this name is here.
        SourceError: It failed, or gave wrong bytes; nothing of these is kept.
        Locked: Another pull is under way.
    """
    started = time.monotonic()
    row = listed_row(source, listing_of(source), name)
    place = named_place(root, row["name"])
    published = listed_manifest(source, row)
    _require_past(published.manifest, source)
    report = PullReport(place.name, source.address, published.sha256)
    given = signature
    signature = given or signature_of(source, place.name)
    report.has_signature = signature is not None
    if keys is not None:
        report.signed_by = _signer(published, signature, keys, f"{source.address}/{place.name}")
    files = _checked_files(published.manifest, source)
    report.n_files, report.n_bytes = len(files), published.manifest.n_bytes
    if _is_here(place, published.sha256):
        report.is_new = False
        report.files_here, report.bytes_here = report.n_files, report.n_bytes
        new = signature if _is_new(given, signature, place) else None
        if new is not None or _is_unfinished(place, published.sha256):
            try:
                _finish_earlier(place, new)
            except (ReadOnly, Locked):
                if new is not None:
                    raise
                # Nothing was begun here, or somebody is at it; and nothing is to be kept.
    else:
        durable.make_directory(root)
        with durable.WriterLock(root / ".pull.lock") as lock:
            lock.declare(None)
            pulling = _Pulling(root, source, published, report)
            pulling.bring(files, jobs, begin, progress)
            pulling.finish(signature)
            lock.clear()
    report.seconds = round(time.monotonic() - started, 3)
    return report


def _require_past(manifest: Manifest, source: Source) -> None:
    """Raise for a release of the future, which would be the newest for ever."""
    created = datetime.fromisoformat(manifest.created.replace("Z", "+00:00"))
    if created > datetime.now(timezone.utc) + _CLOCK:
        raise SourceError(
            f"{source.address}/{manifest.name} says that it was taken at {manifest.created}"
        )


def _is_new(given: bytes | None, signature: bytes | None, place: Instance) -> bool:
    """Whether a release that is here is to have another signature, or one at last."""
    return given is not None or (signature is not None and not place.signature.exists())


def _is_unfinished(place: Instance, sha256: str) -> bool:
    """Whether a release that is here was pulled by one who was killed before the end."""
    return (
        any(map(durable.exists, (*_unfinished(place.root, place.name), *unfinished(place.root))))
        or listed_sha256(place.root, place.name) != sha256
        or bool(place.directory.stat().st_mode & 0o222)
    )


def _finish_earlier(place: Instance, signature: bytes | None) -> None:
    """Do what an earlier pull of a release that is here was killed before."""
    with (
        durable.WriterLock(place.root / ".pull.lock"),
        Releasing(place.root) as releasing,
    ):
        for path in _unfinished(place.root, place.name):
            durable.remove_directory(path)
        if signature is not None:
            durable.make_writable(place.directory, only=True)
            durable.replace(place.signature, signature, place.root)
        durable.seal_directory(place.directory)
        releasing.publish()


def _unfinished(root: Path, name: str) -> tuple[Path, Path]:
    """Where a pull has the files that are right, and those that are not complete."""
    return root / f".pull-{name}", root / f".parts-{name}"


def _signer(published: Published, signature: bytes | None, keys: list[bytes], what: str) -> str:
    if signature is None:
        raise SourceError(f"{what} is not signed")
    return signer(published.data, signature, keys, what)


def _checked_files(manifest: Manifest, source: Source) -> tuple[ManifestFile, ...]:
    """The files of a release, if it has what a snapshot has and nothing else."""
    instance = Instance(Path(), manifest.name)
    own = {instance.database.name, instance.chunks.name}
    tracks: set[str] = set()
    for file in manifest.files:
        directory, _, path = file.path.partition("/")
        for suffix in INDEX_SUFFIXES:
            path = path.removesuffix(suffix)
        if directory == instance.tracks.name and is_track_path(path):
            tracks.add(file.path)
        elif file.path not in own and not (directory == instance.journal.name and is_inside(path)):
            raise SourceError(
                f"{source.address}/{manifest.name} has {file.path!r}, which no snapshot has"
            )
    paths = {file.path for file in manifest.files}
    missing = own - paths
    for path in paths - own - tracks:
        for suffix in INDEX_SUFFIXES:
            path = path.removesuffix(suffix)  # noqa: PLW2901
        missing |= {path + suffix for suffix in ("", *INDEX_SUFFIXES)} - paths
    if missing:
        raise SourceError(f"{source.address}/{manifest.name} lacks {', '.join(sorted(missing))}")
    return manifest.files


def _is_here(place: Instance, sha256: str) -> bool:
    """Whether a release is here. Raises Conflict if something else has its name."""
    if not durable.exists(place.directory):
        return False
    try:
        found = read_manifest(place).sha256
    except (NotFound, Corrupt):
        found = None
    if found != sha256:
        raise Conflict(f"{place.directory} is here already, and is another one than the source has")
    return True


class _Pulling:
    """One pull under way."""

    def __init__(
        self, root: Path, source: Source, published: Published, report: PullReport
    ) -> None:
        name = published.manifest.name
        self._root = root
        self._source = source
        self._is_lasting = isinstance(source, DirectorySource)
        self._published = published
        self._report = report
        place, self._parts = _unfinished(root, name)
        self._unfinished = Instance(root, name, place)
        self._stop = threading.Event()
        self._count = threading.Lock()
        self._progress: Progress = lambda _n: None

    # --- what is here -----------------------------------------------------------------------

    def bring(
        self,
        files: tuple[ManifestFile, ...],
        jobs: int,
        begin: Callable[[int], None],
        progress: Progress,
    ) -> None:
        """Have all files of the release, each of them checked."""
        durable.make_writable(self._unfinished.directory)
        durable.make_directory(self._unfinished.directory)
        durable.make_directory(self._parts)
        self._leave_only(files)
        holders = files_of_root(self._root)
        wanted = [file for file in files if not self._is_brought(file, holders)]
        if isinstance(self._source, DirectorySource):
            wanted = [file for file in wanted if not self._is_linked(file, self._source.path)]
        n_bytes = sum(file.n_bytes for file in wanted)
        begun = sum(self._size_of_part(file) for file in wanted)
        free = shutil.disk_usage(self._root).free
        if n_bytes - begun > free:
            raise SeqArchiveError(
                f"{self._root}: {n_bytes - begun:,} bytes are to come, and {free:,} are free"
            )
        begin(n_bytes)
        self._progress = progress
        self._fetch_all(wanted, jobs)

    def _leave_only(self, files: tuple[ManifestFile, ...]) -> None:
        """Remove what another release of this name has left."""
        wanted = {self._target(file) for file in files}
        for path in sorted(self._unfinished.directory.rglob("*")):
            if path not in wanted and (path.is_symlink() or not path.is_dir()):
                durable.remove(path)
                durable.remove_empty_directories(path.parent, self._unfinished.directory)

    def _target(self, file: ManifestFile) -> Path:
        return self._unfinished.directory / file.path

    def _is_brought(self, file: ManifestFile, holders: dict[tuple[int, str], Path]) -> bool:
        """Whether a file is here, or can be had from what is here."""
        target = self._target(file)
        if durable.exists(target):
            if _is_file(target, file):
                durable.make_read_only(target)
                self._note_here(file)
                return True
            durable.remove(target)
        holder = holders.get((file.n_bytes, file.sha256))
        if holder is None or not self._is_shared(file, holder):
            return False
        self._note_here(file)
        return True

    def _is_linked(self, file: ManifestFile, root: Path) -> bool:
        """Whether a file could be had at once from a source on the same disk."""
        if not self._is_shared(file, root / self._unfinished.name / file.path):
            return False
        self._report.files_fetched += 1
        self._report.bytes_fetched += file.n_bytes
        return True

    def _is_shared(self, file: ManifestFile, holder: Path) -> bool:
        """Whether a file that is somewhere on this machine has become one of the release."""
        if not _is_file(holder, file):
            return False
        target = self._target(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            way = durable.share(holder, target)
        except OSError:  # as in `_fetch`
            durable.remove(target)
            raise
        if way is durable.Sharing.LINKED or _is_file(target, file):
            return True
        durable.remove(target)
        return False

    def _note_here(self, file: ManifestFile) -> None:
        self._report.files_here += 1
        self._report.bytes_here += file.n_bytes

    # --- what is not ------------------------------------------------------------------------

    def _part(self, file: ManifestFile) -> Path:
        return self._parts / file.sha256

    def _size_of_part(self, file: ManifestFile) -> int:
        part = self._part(file)
        return part.stat().st_size if part.is_file() else 0

    def _fetch_all(self, files: list[ManifestFile], jobs: int) -> None:
        # Of two files with the same bytes, one comes and the other is made from it.
        first = {file.sha256: file for file in reversed(files)}
        # The largest first, so that none of them is alone at the end.
        largest = sorted(first.values(), key=lambda file: -file.n_bytes)
        for _ in for_each(self._fetch, largest, min(jobs, len(largest)), self._stop):
            pass
        for file in files:
            if first[file.sha256] is not file:
                target = self._target(file)
                target.parent.mkdir(parents=True, exist_ok=True)
                durable.share(self._target(first[file.sha256]), target)
                self._note_here(file)

    def _fetch(self, file: ManifestFile) -> None:
        """One file, from where an earlier attempt has left it."""
        part = self._part(file)
        for is_last in (False, True):
            self._complete(file, part)
            if _is_file(part, file):
                break
            # Not what the release says. What was begun earlier, or on another day, may be to
            # blame; so once more from the beginning.
            durable.remove(part)
            if is_last:
                raise WrongFile(
                    f"{self._source.address}/{self._unfinished.name}/{file.path} is not the file "
                    "of the release (wrong SHA-256); nothing of it was kept"
                )
        target = self._target(file)
        self._require_going_on()
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            durable.publish(part, target)
        except OSError:
            # After a failed fsync the kernel may say of the same file that all is well.
            durable.remove(part)
            raise
        with self._count:
            self._report.files_fetched += 1

    def _complete(self, file: ManifestFile, part: Path) -> None:
        """Have as many bytes in a part as its file has; attempts that got further than all before
        are free."""
        delays, furthest = iter(DELAYS), self._size_of_part(file)
        with self._count:
            self._progress(self._size_of_part(file))
        while self._size_of_part(file) < file.n_bytes or not part.exists():
            try:
                self._append(file, part)
                if self._size_of_part(file) >= file.n_bytes:
                    return
                message = f"{self._source.address}/{self._unfinished.name}/{file.path} ends early"
                if self._is_lasting:
                    raise WrongFile(message)
                failure = Interrupted(message)
            except Interrupted as error:
                failure = error
            except NotFound as error:
                raise self._wrong(f"{error}, though the release has it") from None
            if self._size_of_part(file) - furthest >= _FURTHER:
                delays, furthest = iter(DELAYS), self._size_of_part(file)
            delay = next(delays, None)
            if delay is None:
                raise failure
            if self._stop.wait(max(delay, failure.retry_after)):
                raise failure

    def _append(self, file: ManifestFile, part: Path) -> None:
        path = f"{self._unfinished.name}/{file.path}"
        with open(part, "ab", buffering=0) as out:
            start = out.tell()
            with self._source.stream(path, start) as stream:
                n_bytes = stream.start
                for n, chunk in enumerate(stream.chunks):
                    n_bytes += len(chunk)
                    if n_bytes > file.n_bytes:
                        raise self._wrong(f"{self._source.address}/{path} is too long")
                    with self._count:
                        self._require_going_on()
                        if n == 0 and stream.start != start:  # the source knows no ranges
                            out.truncate(0)
                        out.write(chunk)
                        self._report.bytes_fetched += len(chunk)
                        self._progress(len(chunk))

    def _wrong(self, message: str) -> SourceError:
        """What a directory has instead of a file is damage; elsewhere a server may be to blame."""
        return (WrongFile if self._is_lasting else SourceError)(message)

    def _require_going_on(self) -> None:
        """Raise if nobody waits for this thread any more."""
        if self._stop.is_set():
            raise Interrupted("another file failed")

    def _chunk_table(self) -> bytes:
        return chunk_table(self._unfinished, self._published.manifest.files)

    # --- the end ----------------------------------------------------------------------------

    def finish(self, signature: bytes | None) -> None:
        """Check the release as a whole, and give it its name."""
        unfinished = self._unfinished
        _write(unfinished.manifest, self._published.data)
        if signature is not None:
            _write(unfinished.signature, signature)
        found = verify(unfinished, full=False).findings
        if not found and unfinished.chunks.read_bytes() != self._chunk_table():
            found = [Finding("changed", unfinished.chunks.name, "not the digests of the files")]
        if found:
            raise SourceError(
                f"{self._source.address}/{unfinished.name} is damaged where it was made: {found[0]}"
            )
        with _releasing(self._root) as releasing:
            final = releasing.new(unfinished.name)
            durable.publish_directory(unfinished.directory, final.directory)
            releasing.publish()
        durable.remove_directory(self._parts)


@contextmanager
def _releasing(root: Path) -> Iterator[Releasing]:
    """The right to add a snapshot; waits for a while for whoever takes one just now."""
    with ExitStack() as stack:
        for turn in range(_TURNS + 1):
            try:
                releasing = stack.enter_context(Releasing(root))
                break
            except Locked:
                if turn == _TURNS:
                    raise
                time.sleep(_TURN)
        yield releasing


def _write(path: Path, data: bytes) -> None:
    """A read-only file whose contents are durable on return."""
    durable.remove(path)
    path.write_bytes(data)
    durable.make_read_only(path)
    durable.fsync(path)


def _is_file(path: Path, file: ManifestFile) -> bool:
    """Whether a path is that of the file that a manifest speaks of, to the byte."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size != file.n_bytes:
            return False
        return file_sha256(path) == (file.n_bytes, bytes.fromhex(file.sha256))
    except OSError:
        return False
