"""Copies: where the files of an instance are once more, on this machine or on a server.

A file is known by its SHA-256. Where it comes from decides nothing: other bytes are not taken.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from . import durable
from .database import Database
from .errors import NewerFormat, NotFound, SeqArchiveError, SourceError
from .instances import MASTER, Instance
from .journal import is_inside
from .manifests import Manifest, ManifestFile, read_manifest, snapshots_in
from .releases import releases
from .shards import file_sha256
from .sources import directory_at, is_remote
from .sources.base import Denied, Source, in_time, persistently
from .sources.opening import open_source
from .sources.published import listed_manifest, listing_of, manifest_at
from .track_files import is_track_path, track_rows

#: What tells the bytes of a file: how many they are, and their SHA-256 in hexadecimal.
Key = tuple[int, str]


class Wanted(NamedTuple):
    """A file that is to be had again."""

    path: str
    """Relative to the instance, with ``/``."""
    n_bytes: int | None
    """None if only its SHA-256 is known."""
    sha256: str
    """Hexadecimal."""


#: What is read at most of a file whose size is not known: a manifest.
_MAX_BYTES = 256 << 20


def files_of(instance: Instance) -> dict[Key, str]:
    """The files that the database of an instance names, with their paths relative to it."""
    with closing(Database.of(instance)) as database:
        return {(one.n_bytes, one.sha256): one.path for one in named_files(instance, database)}


def named_files(instance: Instance, database: Database) -> Iterator[ManifestFile]:
    """The files that the rows of a database name, as these say: shards with their indexes, and
    tracks. What a row cannot name is left out; ``verify`` says so."""
    for row in database.shards():
        if is_inside(row.path):
            for name, n_bytes, sha256 in row.files:
                yield ManifestFile(f"{instance.journal.name}/{name}", n_bytes, sha256.hex())
    for track in track_rows(database.connection):
        for name, n_bytes, sha256 in track.files:
            if is_track_path(name):
                yield ManifestFile(f"{instance.tracks.name}/{name}", n_bytes, sha256.hex())


def files_of_root(root: Path) -> dict[Key, Path]:
    """The files of all instances of a root, as these say; of what is damaged, none."""
    found = {}
    master = Instance(root, MASTER)
    if master.database.is_file():
        with suppress(SeqArchiveError):
            found.update({key: master.directory / name for key, name in files_of(master).items()})
    for release in releases(root):
        for file in release.found.manifest.files:
            found[file.n_bytes, file.sha256] = release.instance.directory / file.path
    return found


class Copies:
    """Where the files of an instance may be had again: in the other instances of its root, and in a
    copy.

    Args:
        address: Of the copy: a directory or ``file:///``, of an archive, a snapshot or what was
            pushed; or ``http(s)://`` or ``s3://``, of what is published. None if there is none.

    Raises:
        NotFound: There is no archive. SourceError: It cannot be read.
    """

    def __init__(self, instance: Instance, address: str | None = None) -> None:
        self._places: list[_Place] = []
        there = _instances_in(instance.root)
        self._places += (_Local(one) for one in there if one.directory != instance.directory)
        self._given: Source | None = None
        if address is None:
            return
        if not is_remote(address):
            self._places += _local_places(directory_at(address))
            return
        self._given = open_source(address)
        self._places += _published_places(self._given)

    def close(self) -> None:
        """Let go of connections."""
        if self._given is not None:
            self._given.close()

    def bring(self, file: Wanted, target: Path) -> str | None:
        """Have a file again, read-only; its contents are durable, its name is not.

        Args:
            target: A path that nothing has.

        Returns:
            Where it was; None if nobody has it.

        Raises:
            SourceError: A server failed. OSError: Of the disk that it is written to.
        """
        try:
            for place in self._places:
                for where in place.candidates(file):
                    # Read again, as it is now: what a copy gave is looked at where it is.
                    if place.fetch(where, file, target) and _is_right(target, file):
                        return f"{place.address}/{where}"
                    durable.remove(target)
        except BaseException:
            durable.remove(target)
            raise
        return None


def _is_right(path: Path, file: Wanted) -> bool:
    return path.is_file() and not path.is_symlink() and file_sha256(path)[1].hex() == file.sha256


class _Place:
    """An instance that may have a file; ``paths`` are those that it says to have."""

    address: str

    def candidates(self, file: Wanted) -> Iterator[str]:
        """Paths in the place at which it may be."""
        raise NotImplementedError

    def fetch(self, path: str, file: Wanted, target: Path) -> bool:
        """Whether it is there, and was written."""
        raise NotImplementedError


class _Local(_Place):
    """A directory, whose own disk may be bad: what cannot be read is not there."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._paths: dict[Key, str] | None = None
        self.address = str(instance.directory)

    def candidates(self, file: Wanted) -> Iterator[str]:
        yield file.path
        if self._paths is None:
            self._paths = self._known()
        other = None if file.n_bytes is None else self._paths.get((file.n_bytes, file.sha256))
        if other is not None and other != file.path:
            yield other

    def _known(self) -> dict[Key, str]:
        with suppress(SeqArchiveError, sqlite3.Error, OSError):
            if self._instance.is_snapshot:
                manifest = read_manifest(self._instance).manifest
                return {(one.n_bytes, one.sha256): one.path for one in manifest.files}
            return files_of(self._instance)
        return {}

    def fetch(self, path: str, file: Wanted, target: Path) -> bool:
        holder = self._instance.directory / path
        try:
            right = _is_right(holder, file)
        except OSError:
            right = False
        if right:
            durable.share(holder, target)
        return right


class _Elsewhere(_Place):
    """A published snapshot.

    Args:
        prefix: Of the paths of the snapshot, in the source.
    """

    def __init__(self, source: Source, prefix: str, manifest: Manifest) -> None:
        self._source = source
        self._prefix = prefix
        self._manifest_path = prefix + Instance(Path(), manifest.name).manifest.name
        self._paths = {(one.n_bytes, one.sha256): one.path for one in manifest.files}
        self.address = source.address

    def candidates(self, file: Wanted) -> Iterator[str]:
        if file.n_bytes is None:
            yield self._manifest_path
        elif (path := self._paths.get((file.n_bytes, file.sha256))) is not None:
            yield self._prefix + path

    def fetch(self, path: str, file: Wanted, target: Path) -> bool:
        try:
            right = persistently(lambda: self._is_written(path, file, target))
        except (NotFound, Denied):
            return False
        if right:
            durable.make_read_only(target)
            durable.fsync(target)
        return right

    def _is_written(self, path: str, file: Wanted, target: Path) -> bool:
        sha256, n_bytes = hashlib.sha256(), 0
        most = _MAX_BYTES if file.n_bytes is None else file.n_bytes
        with self._source.stream(path) as (_, chunks), open(target, "wb") as out:
            for chunk in in_time(chunks, f"{self.address}/{path}"):
                n_bytes += len(chunk)
                if n_bytes > most:
                    return False
                sha256.update(chunk)
                out.write(chunk)
        return sha256.hexdigest() == file.sha256


def _instances_in(root: Path) -> list[Instance]:
    """What could be read in a root: ``master``, and the snapshots."""
    master = Instance(root, MASTER)
    return [*([master] if master.journal.is_dir() else []), *snapshots_in(root)]


def _local_places(path: Path) -> list[_Place]:
    """What could be read at a path, which is that of a root or of an instance."""
    path = path.absolute()
    one = Instance(path.parent, MASTER, path)
    if one.journal.is_dir() or one.database.is_file() or one.is_snapshot:
        return [_Local(one)]
    found: list[_Place] = [_Local(each) for each in _instances_in(path)]
    if not found:
        raise NotFound(f"there is no archive and no snapshot in {path}")
    return found


def _published_places(source: Source) -> list[_Place]:
    """What is published at an address, the newest first."""
    one = None
    with suppress(Denied):  # as some servers say of what they have not
        one = manifest_at(source)
    if one is not None:
        return [_Elsewhere(source, "", one.manifest)]
    found: list[_Place] = []
    failure: SeqArchiveError = NotFound(f"{source.address} has no snapshots")
    for name, row in reversed(listing_of(source).rows.items()):
        try:
            manifest = listed_manifest(source, row).manifest
        except (SourceError, NewerFormat) as error:  # one that is damaged leaves the others
            failure = error
            continue
        found.append(_Elsewhere(source, f"{name}/", manifest))
    if not found:
        raise failure
    return found


def wanted(file: ManifestFile) -> Wanted:
    """A file of a manifest, to be had again."""
    return Wanted(file.path, file.n_bytes, file.sha256)
