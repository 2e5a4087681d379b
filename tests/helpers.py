"""What several tests need: FASTA texts, digests that the package did not compute, directories."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # processes that tests start import this too
    import pytest
    from conftest import Result

#: Who may read but not write in ``shared_directory``; a user without files or groups.
NOBODY = 65534


def fasta(records: Mapping[str, str] | Iterable[tuple[str, str]], width: int = 60) -> str:
    """A FASTA text of (defline, residues)."""
    pairs = records.items() if isinstance(records, Mapping) else records
    return "".join(
        f">{defline}\n"
        + "".join(residues[at : at + width] + "\n" for at in range(0, len(residues), width))
        for defline, residues in pairs
    )


def write_fasta(
    path: Path, records: Mapping[str, str] | Iterable[tuple[str, str]], width: int = 60
) -> Path:
    """A FASTA file of (defline, residues)."""
    path.write_text(fasta(records, width), encoding="utf-8", newline="\n")
    return path


def parse_fasta(text: str) -> list[tuple[str, str]]:
    """(defline, residues) of a FASTA text."""
    records = []
    for part in text.split(">")[1:]:
        defline, _, body = part.partition("\n")
        records.append((defline, body.replace("\n", "")))
    return records


def sha512t24u(residues: str) -> str:
    """The GA4GH digest."""
    raw = hashlib.sha512(residues.encode("ascii")).digest()[:24]
    return base64.urlsafe_b64encode(raw).decode("ascii")


def sq(residues: str) -> str:
    """The digest as an identifier."""
    return "ga4gh:SQ." + sha512t24u(residues)


def computed(residues: str) -> list[str]:
    """All names that follow from the residues, the ``ga4gh`` one first."""
    text = residues.encode("ascii")
    sha1 = hashlib.sha1(text)
    digest = sha512t24u(residues)
    return [
        f"ga4gh:SQ.{digest}",
        f"md5:{hashlib.md5(text).hexdigest()}",
        f"seguid:{base64.b64encode(sha1.digest()).decode().rstrip('=')}",
        f"sha1:{sha1.hexdigest()}",
        f"sha512t24u:{digest}",
        f"trunc512:{hashlib.sha512(text).hexdigest()[:48]}",
        f"VMC:GS_{digest}",
    ]


def tree(directory: Path) -> dict[str, bytes | None]:
    """Every name below a directory with the contents of the files."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(directory.rglob("*"))
    }


def contents(directory: Path) -> dict[str, bytes | None]:
    """The same without the files that SQLite keeps beside a database for its readers."""
    found = tree(directory)
    for name in list(found):
        if name.endswith("-shm") or (name.endswith("-wal") and not found[name]):
            del found[name]
    return found


def shards(root: Path) -> list[Path]:
    """The shard files of the writable instance."""
    return sorted((root / "master" / "sequences").rglob("*.fa.bgz"))


def open_descriptors() -> int:
    """How many descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something that another process does, be the machine ever so busy."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


@contextmanager
def started(
    command: Sequence[str | os.PathLike[str]], **options: Any
) -> Iterator[subprocess.Popen[Any]]:
    """A process that is killed if it is still there afterwards, also if a test fails."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def built_once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], None]) -> Path:
    """A directory that the first of the test processes builds for all of them."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    with open(base / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (base / f"{name}.ready").exists():
            build(base / name)
            (base / f"{name}.ready").touch()
    return base / name


@contextmanager
def shared_directory() -> Iterator[Path]:
    """A directory that other users can reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)
        for path in (Path(name), *Path(name).rglob("*")):
            if path.is_dir():
                os.chmod(path, 0o755)


_WITHOUT_RIGHTS = """
import _strptime, contextlib, difflib, encodings.ascii, io, json, os, pkgutil, sys, traceback, uuid
import Bio.SeqIO, sqlite_utils.migrations
import seqarchive.commands
for module in pkgutil.walk_packages(seqarchive.__path__, "seqarchive."):
    if not module.name.startswith(("seqarchive.server.", "seqarchive.cluster.")) and (
        not module.name.endswith("__main__")
    ):
        __import__(module.name)
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(int(sys.argv[3]))
    os.setuid(int(sys.argv[2]))
results = []
for arguments in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = seqarchive.commands.run(arguments)
    results.append((code, out.getvalue(), err.getvalue()))
json.dump(results, sys.stdout)
"""


def run_without_rights(
    *commands: Sequence[str],
    user: int = NOBODY,
    group: int | None = None,
    umask: int = -1,
    environment: Mapping[str, str] | None = None,
) -> list[Result]:
    """Command lines run by a user who owns nothing (root would be stopped by no mode).

    Args:
        group: Of this group alone; by default that of the user's number.
        umask: Another than ours.
    """
    from conftest import Result  # noqa: PLC0415

    ids = [str(user), str(user if group is None else group)]
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_RIGHTS, json.dumps(commands), *ids],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
        env=environment,
        umask=umask,
    )
    return [Result(*result) for result in json.loads(done.stdout)]


class TwoUsers(NamedTuple):
    """Two who write into one root, as a group with ``umask 002``."""

    root: Path

    def first(self, *commands: Sequence[str]) -> list[Result]:
        """Command lines of the one who has made the archive."""
        return self._run(1001, commands)

    def second(self, *commands: Sequence[str]) -> list[Result]:
        """Command lines of the other."""
        return self._run(1002, commands)

    def _run(self, user: int, commands: Iterable[Sequence[str]]) -> list[Result]:
        lines = (["--root", str(self.root), *command] for command in commands)
        return run_without_rights(*lines, user=user, group=_GROUP, umask=0o002)


_GROUP = 2000


@contextmanager
def two_users(file: Path) -> Iterator[TwoUsers]:
    """A root that belongs to a group, into which one of it has loaded a file.

    Nobody but root can be two users: to others it is a root of their own.
    """
    with shared_directory() as directory:
        users = TwoUsers(directory / "archive")
        users.root.mkdir()
        if os.geteuid() == 0:
            os.chown(users.root, 0, _GROUP)
        os.chmod(users.root, 0o2775)
        shutil.copyfile(file, directory / "file.fa")
        os.chmod(directory / "file.fa", 0o644)
        (loaded,) = users.first(["load", "-n", "t", str(directory / "file.fa")])
        assert (loaded.code, loaded.err) == (0, "")
        yield users


def without_write_permission(directory: Path) -> None:
    """Take the right to write from everybody, also from the owner who runs the tests."""
    for path in (directory, *directory.rglob("*")):
        os.chmod(path, 0o555 if path.is_dir() else 0o444)
