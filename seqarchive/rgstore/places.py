"""Where a RefgetStore is written to: a directory; or a bucket, by way of a directory."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from .. import durable
from ..errors import Conflict, Corrupt, NotFound, SeqArchiveError
from ..shards import file_sha256
from ..sources.base import Destination, Source, persistently
from ..sources.directory import DirectorySource
from ..sources.opening import open_bucket
from ..transfer.crew import for_each
from .files import MAX_INDEX
from .layout import COLLECTIONS, MANIFEST, SEQUENCE_PATH, SEQUENCES, Mode
from .parsing import parse_manifest
from .tables import Table, cell

_MAX_MANIFEST = 64 << 20

#: Files on their way to a bucket at one time: most are small, and wait for answers.
_JOBS = 16

#: What may be where there is no store yet: what an export that was killed has left, and what gtars
#: makes before anything was added.
_NO_STORE_YET = frozenset(
    {"sequences", "collections", "aliases", "fhr", SEQUENCES, COLLECTIONS, ".Case"}
)


class Earlier(NamedTuple):
    """What a store had."""

    created_at: str
    collections: frozenset[str]
    sequences: frozenset[str]


class Place(Protocol):
    """Where a store is written to."""

    address: str
    directory: Path
    """Where its files are written, on this machine."""
    there: Mapping[str, int] | None
    """Sizes of the files that are there; None if these are in the directory itself."""

    def earlier(self, mode: Mode) -> Earlier | None:
        """The store that is there, if it can be added to.

        Raises:
            Conflict: There is another one, or something else.
        """

    def send(self) -> None:
        """Have all files of the directory in their place, the manifest last."""

    def paths(self, *directories: str) -> Iterator[str]:
        """The files that are there, or those in some directories; they may be removed meanwhile."""

    def remove(self, path: str) -> None:
        """Remove one of them."""


@dataclass
class DirectoryPlace:
    """A directory."""

    directory: Path
    there: Mapping[str, int] | None = None

    def __post_init__(self) -> None:
        self.address = str(self.directory)

    def earlier(self, mode: Mode) -> Earlier | None:
        """The store that is there, if it can be added to."""
        durable.make_directory(self.directory)
        found = _earlier(
            DirectorySource(self.directory), {path.name for path in self.directory.iterdir()}, mode
        )
        _require_case(self.directory)
        return found

    def send(self) -> None:
        """They are there."""

    def paths(self, *directories: str) -> Iterator[str]:
        """The files that are there, or those in some directories; they may be removed meanwhile."""
        for directory in directories or ("",):
            yield from _files_below(self.directory, directory)

    def remove(self, path: str) -> None:
        """Remove one of them, and directories that are empty then."""
        file = self.directory / path
        durable.remove(file)
        durable.remove_empty_directories(file.parent, self.directory)


@dataclass
class BucketPlace:
    """A bucket. New files are written to a directory of this machine first, and sent from there."""

    address: str
    directory: Path
    bucket: Destination
    there: Mapping[str, int] | None = None

    def earlier(self, mode: Mode) -> Earlier | None:
        """The store that is there, if it can be added to."""
        self.there = dict(persistently(lambda: list(self.bucket.sizes())))
        return _earlier(self.bucket, {path.partition("/")[0] for path in self.there}, mode)

    def send(self) -> None:
        """Send what is new, so that at no time an index names what is not there."""
        files = [
            path.relative_to(self.directory).as_posix()
            for path in self.directory.rglob("*")
            if path.is_file()
        ]
        for kind in ("sequences/", "collections/", "aliases/", "fhr/"):
            some = [path for path in files if path.startswith(kind)]
            for _ in for_each(self._send, some, min(_JOBS, len(some)), threading.Event()):
                pass
        for path in (SEQUENCES, COLLECTIONS, MANIFEST):
            self._send(path)

    def _send(self, path: str) -> None:
        file = self.directory / path
        _size, digest = file_sha256(file)
        persistently(lambda: self.bucket.put_file(path, str(file), digest.hex()))

    def paths(self, *directories: str) -> Iterator[str]:
        """The files that were there, or those in some directories."""
        begins = tuple(f"{directory}/" for directory in directories) or ("",)
        yield from (path for path in self.there or () if path.startswith(begins))

    def remove(self, path: str) -> None:
        """Remove one of them."""
        persistently(lambda: self.bucket.remove(path))


def _files_below(root: Path, directory: str) -> Iterator[str]:
    """Paths of the files of a directory and of those in it, of which there may be millions."""
    try:
        with os.scandir(root / directory) as entries:
            found = sorted((one.name, one.is_dir(follow_symlinks=False)) for one in entries)
    except FileNotFoundError:
        return
    for name, is_directory in found:
        path = f"{directory}/{name}" if directory else name
        if is_directory:
            yield from _files_below(root, path)
        else:
            yield path


@contextmanager
def bucket_place(address: str) -> Iterator[BucketPlace]:
    """A bucket to write to.

    Raises:
        SourceError: It cannot be opened, or what that needs is not installed.
    """
    bucket = open_bucket(address)
    with closing(bucket), tempfile.TemporaryDirectory(prefix="seqarchive-") as name:
        yield BucketPlace(address, Path(name) / "store", bucket)


def _earlier(source: Source, names: set[str], mode: Mode) -> Earlier | None:
    if MANIFEST not in names:
        if names - _NO_STORE_YET:
            raise Conflict(f"{source.address} is no RefgetStore; choose another place")
        return None
    where = f"{source.address}/{MANIFEST}"
    try:
        found = parse_manifest(persistently(lambda: source.read(MANIFEST, _MAX_MANIFEST)), where)
    except Corrupt as error:
        raise Conflict(f"{error}; choose another place") from None
    if found.mode is not mode:
        raise Conflict(
            f"{source.address} is a store in the mode {found.mode.value!r}, not {mode.value!r}; "
            "choose another place, or --mode"
        )
    layout = (found.sequence_template, found.sequence_index, found.collection_index)
    if layout != (SEQUENCE_PATH, SEQUENCES, COLLECTIONS):
        raise Conflict(f"{source.address} is a store with other names of files; choose another")
    return Earlier(found.created_at, _cells(source, COLLECTIONS, 0), _cells(source, SEQUENCES, 3))


def _cells(source: Source, path: str, column: int) -> frozenset[str]:
    """A column of an index, as far as there is one."""
    try:
        data = persistently(lambda: source.read(path, MAX_INDEX))
        table = Table(data, f"{source.address}/{path}", column)
        cells = (cell(line.encode("utf-8"), column) for line in table.lines())
        return frozenset(one.decode("utf-8") for one in cells if one is not None)
    except NotFound:
        return frozenset()
    except Corrupt as error:
        raise Conflict(f"{error}; choose another place") from None


def _require_case(directory: Path) -> None:
    """Raise where two names that differ by case are one: digests are such names."""
    probe = directory / ".Case"
    probe.touch()
    try:
        if probe.with_name(".cASE").exists():
            raise SeqArchiveError(
                f"{directory} is on a file system that takes 'A' and 'a' for one; a RefgetStore "
                "cannot be there"
            )
    finally:
        durable.remove(probe)
