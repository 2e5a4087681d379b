"""A published snapshot as an archive."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

from .. import schema
from ..archive import Archive
from ..chunks import ChunkTable
from ..database import Database, ShardRow
from ..errors import Corrupt, NotFound, ReadOnly, SourceError
from ..finding import Finder
from ..instances import Instance
from ..moments import batch_in, batch_of_release
from ..shards import BlockCache
from ..sources.base import Denied, Source, persistently
from ..sources.opening import open_source
from ..sources.published import (
    as_source_errors,
    listed_manifest,
    listed_row,
    listing_of,
    manifest_at,
)
from . import vfs
from .cache import DiskCache
from .files import ChunkedFile, read_published
from .shards import RemoteShard
from .tracks import RemoteTracks

#: How much of the digests of chunks is read at most.
_TABLE_BYTES = 256 << 20

#: Bytes at the beginning of a database with its schema and the roots of its tables.
_HEAD_BYTES = 128 << 10


class RemoteDatabase(Database):
    """The database of a published snapshot."""

    def __init__(self, file: ChunkedFile, at: int | None = None) -> None:
        self._file = file
        self._start(frozen=True, at=at)

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = vfs.connect(self._file)
        except sqlite3.DatabaseError as error:
            raise SourceError(f"{self._file.name} is no database of ours ({error})") from None
        try:
            if schema.version_of(connection, self._file.name) == 0:
                raise SourceError(f"{self._file.name} is no database of ours (it is empty)")
            if schema.problems(connection):
                raise SourceError(f"{self._file.name} is no database of a release of ours")
        except sqlite3.DatabaseError as error:
            connection.close()
            raise SourceError(f"{self._file.name} is no database of ours ({error})") from None
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
        source = open_source(url)
        published = None
        if name is None:
            with suppress(Denied):  # as some servers say of what they have not
                published = manifest_at(source)
        if published is None:
            row = listed_row(source, listing_of(source), name)
            published = listed_manifest(source, row)
            url = f"{url.rstrip('/')}/{row['name']}"
            source = open_source(url)
        self.url = url
        self.source: Source = source
        self.manifest = published.manifest
        self._instance = Instance(Path(), self.manifest.name)
        self.files = {file.path: file for file in self.manifest.files}
        self.tracks = RemoteTracks(source, self.files, cache)
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
            data = persistently(lambda: read_published(self.source, file.path, 0, file.n_bytes))
            if hashlib.sha256(data).hexdigest() != file.sha256:  # perhaps an accident on the way
                data = persistently(lambda: read_published(self.source, file.path, 0, file.n_bytes))
            if hashlib.sha256(data).hexdigest() != file.sha256:
                raise SourceError(f"{self.source.address}/{file.path} is not that of the release")
            self._cache.put(key, data)
        with as_source_errors():
            return ChunkTable(self.manifest, self._instance, data)

    def named(self, name: str) -> RemoteSnapshot | None:
        """Another snapshot beside this one, if there is one of that name."""
        root = self.url.rstrip("/").rpartition("/")[0]
        try:
            if name in listing_of(open_source(root)).rows:
                return RemoteSnapshot(root, name, self._cache)
        except (NotFound, Denied):  # a snapshot without its root
            pass
        return None

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

    def track_file(self, path: str) -> Path:
        """A file of a track, by its path in the directory of tracks."""
        return self.tracks.file(f"{self._instance.tracks.name}/{path}")

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
        at: As for ``Archive``; the snapshots are those of the root.
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
            with closing(RemoteDatabase(self._file)) as database:
                release = self._snapshot.named(at) if isinstance(at, str) else None
                if release is None:
                    self.at = batch_in(database, at)
                else:
                    with closing(RemoteDatabase(release.database())) as other:
                        self.at = batch_of_release(database, other, release.manifest.name)
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

    def track_file(self, path: str) -> Path:
        """A file of a track, brought here; gone when the archive is closed."""
        return self._snapshot.track_file(path)

    def close(self) -> None:
        """Close what is open. The archive opens it again when it is used again."""
        super().close()
        self._snapshot.tracks.close()
        self._snapshot.source.close()

    def __len__(self) -> int:
        if self.at is not None:
            return super().__len__()
        # To count is to read the whole table.
        return self._snapshot.manifest.counts.get("sequences") or super().__len__()

    def status(self) -> dict[str, Any]:
        """Counts and sizes; ready for JSON."""
        manifest = self._snapshot.manifest
        database = self.database
        return {
            "root": self.address.rpartition("/")[0],
            "instance": manifest.name,
            "batch": database.last_batch(),
            "archive_id": manifest.archive_id,
            **database.all_counts(),
            "database_bytes": self._file.n_bytes,
            "apparent_bytes": manifest.n_bytes,
            "own_bytes": 0,
            "real_bytes_of_all": 0,
            "namespaces": dict(database.namespaces()),
            "digests": database.kept_digests(),
        }
