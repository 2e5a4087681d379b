"""A published snapshot as an archive."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ..archive import Archive
from ..chunks import ChunkTable
from ..database import Database, ShardRow, require_ours
from ..errors import BadName, Corrupt, NotFound, ReadOnly, SourceError
from ..finding import Finder
from ..instances import LATEST, Instance
from ..manifests import Manifest
from ..moments import batch_in
from ..releases import INDEX, Listing
from ..shards import BlockCache
from ..sources.base import Source, persistently
from ..sources.opening import open_source
from . import vfs
from .cache import DiskCache
from .files import ChunkedFile
from .shards import RemoteShard

#: How much of these is read at most.
_MANIFEST_BYTES = 256 << 20
_TABLE_BYTES = 256 << 20

#: Bytes at the beginning of a database with its schema and the roots of its tables.
_HEAD_BYTES = 128 << 10


def _read(source: Source, path: str, max_bytes: int) -> bytes | None:
    """A file, if it is there."""
    try:
        return persistently(lambda: source.read(path, max_bytes))
    except NotFound:
        return None


def _listing(source: Source) -> Listing:
    data = _read(source, INDEX, _MANIFEST_BYTES)
    if data is None:
        raise NotFound(f"{source.address} has neither a snapshot nor {INDEX}")
    with _as_source_errors():
        return Listing.from_bytes(data, f"{source.address}/{INDEX}")


@contextmanager
def _as_source_errors() -> Iterator[None]:
    """Damage of what a source gave is a failure of the source."""
    try:
        yield
    except (Corrupt, BadName) as error:
        raise SourceError(str(error)) from None


class RemoteDatabase(Database):
    """The database of a published snapshot."""

    def __init__(self, file: ChunkedFile, at: int | None = None) -> None:
        self._file = file
        self._start(frozen=True, at=at)

    def _connect(self) -> sqlite3.Connection:
        connection = vfs.connect(self._file)
        try:
            require_ours(connection)
        except BaseException:
            connection.close()
            raise
        return connection


class RemoteSnapshot:
    """The files of a published snapshot, with all that is known of them.

    Args:
        url: Of the snapshot, or of a root.
        name: Of a snapshot of the root; if None and it is a root, the newest.

    Raises:
        NotFound: Nothing of this kind is there. SourceError: It cannot be read, or is damaged.
    """

    def __init__(self, url: str, name: str | None, cache: DiskCache) -> None:
        self._cache = cache
        expected: str | None = None
        source = open_source(url)
        data = None if name is not None else _read(source, "manifest.json", _MANIFEST_BYTES)
        if data is None:
            listing = _listing(source)
            if name is None or name == LATEST:
                name = listing.latest
            if name is None:
                raise NotFound(f"{source.address} has no snapshots")
            row = listing.rows.get(Instance(Path(), name).name)
            if row is None:
                raise NotFound(
                    f"{source.address} has no snapshot {name!r} "
                    f"(it has {', '.join(listing.rows) or 'none'})"
                )
            expected = row["manifest_sha256"]
            url = f"{url.rstrip('/')}/{name}"
            source = open_source(url)
            data = _read(source, "manifest.json", _MANIFEST_BYTES)
            if data is None:
                raise SourceError(f"{source.address} is listed, but has no manifest")
        if expected not in (None, hashlib.sha256(data).hexdigest()):
            raise SourceError(f"{source.address}/manifest.json is not the one that is listed")
        self.url = url
        self.source: Source = source
        with _as_source_errors():
            self.manifest = Manifest.from_bytes(data, f"{source.address}/manifest.json")
            self._instance = Instance(Path(), self.manifest.name)
        self.files = {file.path: file for file in self.manifest.files}
        self.table = self._chunk_table()

    def _chunk_table(self) -> ChunkTable:
        file = self.files.get(self._instance.chunks.name)
        if file is None or self._instance.database.name not in self.files:
            raise SourceError(f"{self.source.address} cannot be read in place; pull it")
        if file.n_bytes > _TABLE_BYTES:
            raise SourceError(f"{self.source.address}: {file.path} is too large")
        key = bytes.fromhex(file.sha256)
        data = self._cache.get(key)
        if data is None or hashlib.sha256(data).hexdigest() != file.sha256:
            data = persistently(lambda: self.source.read(file.path, file.n_bytes))
            if hashlib.sha256(data).hexdigest() != file.sha256:
                raise SourceError(f"{self.source.address}/{file.path} is not that of the release")
            self._cache.put(key, data)
        with _as_source_errors():
            return ChunkTable(self.manifest, self._instance, data)

    def file(self, path: str) -> ChunkedFile:
        """A file whose chunks have digests."""
        return ChunkedFile(
            self.source,
            path,
            self.files[path].n_bytes,
            partial(self.table.digest, path),
            self._cache,
        )

    def database(self) -> ChunkedFile:
        """The database, its first pages at hand."""
        file = self.file(self._instance.database.name)
        file.expect(_HEAD_BYTES)
        return file

    def open_shard(self, row: ShardRow, blocks: BlockCache) -> RemoteShard:
        """A shard. Raises Corrupt if the release has another one, or none."""
        path = f"{self._instance.journal.name}/{row.path}"
        shard, gzi = self.files.get(path), self.files.get(path + ".gzi")
        said = [(one.n_bytes, one.sha256) for one in (shard, gzi) if one is not None]
        known = [(row.size_bytes, row.sha256.hex()), (row.gzi_bytes, row.gzi_sha256.hex())]
        if said != known:
            raise Corrupt(f"{self.source.address}/{path} is not the shard that the database names")
        return RemoteShard(
            self.source, path, row, self.file(path + ".gzi"), blocks=blocks, cache=self._cache
        )


class RemoteArchive(Archive):
    """A published snapshot that is read where it is; otherwise like any archive.

    Args:
        url: ``http(s)://`` or ``s3://``: of a snapshot, or of a root.
        instance: Of a root: the name of a snapshot; the newest if None.
        at: As for ``Archive``, but no name of a snapshot.
        cache: Where to keep what was read.
    """

    def __init__(
        self,
        url: str,
        instance: str | None = None,
        *,
        at: int | str | None = None,
        cache: DiskCache | None = None,
    ) -> None:
        self._snapshot = RemoteSnapshot(url, instance, cache or DiskCache())
        self._file = self._snapshot.database()
        self.at = None
        if at is not None:
            database = RemoteDatabase(self._file)
            self.at = batch_in(database, at)
            database.close()
        self._begin(Finder(partial(RemoteDatabase, self._file, self.at)), self._snapshot.open_shard)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), at=self.at), (self._snapshot.url,)

    @property
    def instance(self) -> Instance:
        """Raises ReadOnly: there are no directories here."""
        raise ReadOnly(f"{self.address} is a published snapshot, which is read and never changes")

    @property
    def address(self) -> str:
        """The URL."""
        return self._snapshot.source.address

    def close(self) -> None:
        """Close what is open. The archive opens it again when it is used again."""
        super().close()
        self._snapshot.source.close()

    def status(self) -> dict[str, Any]:
        """Counts and sizes; ready for JSON."""
        manifest = self._snapshot.manifest
        database = self.database
        return {
            "root": self.address.rpartition("/")[0],
            "instance": manifest.name,
            "batch": database.last_batch(),
            "archive_id": manifest.archive_id,
            **database.counts(),
            "database_bytes": self._file.n_bytes,
            "apparent_bytes": manifest.n_bytes,
            "own_bytes": 0,
            "real_bytes_of_all": 0,
            "namespaces": dict(database.namespaces()),
            "digests": database.kept_digests(),
        }
