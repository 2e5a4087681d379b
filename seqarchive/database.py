"""The alias database as readers see it: look-ups that never wait for the writer.

A connection belongs to one thread of one process. ``generation`` changes with every commit of
anybody, so that what was remembered from an earlier one can be dropped.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import weakref
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from . import as_of, schema
from .errors import Corrupt, NotFound, ReadOnly, SeqArchiveError, denied
from .forks import ForkGate
from .identifiers import Alias, DigestKey, Key, StoredDigests, digest_text
from .instances import Instance, damaged_database
from .journal import INDEX_SUFFIXES
from .schema import COPY_INTO
from .shards import Wrapping
from .tallies import Tally, counted, kept, tally

#: Bound parameters of one statement: below SQLite's oldest limit, 999.
_PARAMETERS = 900


class Location(NamedTuple):
    """A sequence and where its residues are."""

    id: int
    digest: bytes
    length: int
    shard_id: int | None
    offset: int
    circular: bool


class Meaning(NamedTuple):
    """What an alias meant, or means, for a while."""

    digest: bytes
    length: int
    from_batch: int
    from_time: str
    to_batch: int | None
    """The batch that ended it; None if it is so still."""
    to_time: str | None
    added: str | None
    """When it began where it was adopted from (SeqRepo), if it was."""
    is_reclaimed: bool
    """Whether the residues are gone: ``repair --reclaim`` dropped what a reverted batch brought."""


class ShardRow(NamedTuple):
    """What the database knows of a shard."""

    id: int
    batch_id: int
    path: str
    size_bytes: int
    sha256: bytes
    fai_bytes: int
    fai_sha256: bytes
    gzi_bytes: int
    gzi_sha256: bytes
    first_digest: bytes
    n_sequences: int
    n_residues: int
    line_bases: int

    @property
    def wrapping(self) -> Wrapping:
        """How its records are cut into lines."""
        return Wrapping(self.line_bases)

    @property
    def files(self) -> tuple[tuple[str, int, bytes], ...]:
        """Its files: path below the journal, bytes, SHA-256. The shard comes last: what is copied
        in this order has its indexes once it is there."""
        # Not every database that is looked at has text there.
        fai, gzi = (f"{self.path}{suffix}" for suffix in INDEX_SUFFIXES)
        return (
            (fai, self.fai_bytes, self.fai_sha256),
            (gzi, self.gzi_bytes, self.gzi_sha256),
            (self.path, self.size_bytes, self.sha256),
        )


class SequenceRow(NamedTuple):
    """What the database knows of a sequence."""

    id: int
    digest: bytes
    md5: bytes
    sha1: bytes
    length: int
    letters: int
    shard_id: int | None
    offset: int | None
    batch_id: int
    stored_name: str | None = None
    """Of its record in the shard, where that is not the digest and the query asks for it."""

    @property
    def record_name(self) -> str:
        """The name of its record in the shard."""
        return self.stored_name or digest_text(self.digest)


_LOCATION = (
    "s.id, s.digest, s.length, s.shard_id, s.offset,"
    " EXISTS (SELECT 1 FROM circular c WHERE c.sequence_id = s.id)"
)
_BY_ALIAS = (
    f"SELECT {_LOCATION} FROM aliases a JOIN sequences s ON s.id = a.sequence_id"
    " WHERE a.alias = ? AND a.namespace_id = ?"
)
_BY_ALIAS_ANYWHERE = (
    f"SELECT DISTINCT {_LOCATION} FROM aliases a JOIN sequences s ON s.id = a.sequence_id"
    " WHERE a.alias = ?"
)
# The digest is compared with the row too (``+`` keeps SQLite from an index): damage must not lead
# to another sequence.
_BY_DIGEST = {
    column: f"SELECT {_LOCATION} FROM {table} k JOIN sequences s ON s.id = k.id"
    f" WHERE k.{column} = :value AND +s.{column} = :value"
    for table, column in schema.LOOK_UPS.items()
} | {
    "sha256": f"SELECT {_LOCATION} FROM sha256 h JOIN sequences s ON s.id = h.sequence_id"
    " WHERE h.digest = :value",
}
_ALIASES = (
    "SELECT n.name, a.alias FROM aliases a JOIN namespaces n ON n.id = a.namespace_id"
    " WHERE a.sequence_id = ?"
)

#: A time of ``adopted_sequences`` or ``adopted_aliases``, as batches have theirs.
ADOPTED = "strftime('%Y-%m-%dT%H:%M:%SZ', d.added, 'unixepoch')"

_HISTORY = f"""
    SELECT coalesce(s.digest, r.digest) AS digest, coalesce(s.length, r.length) AS length,
        m.from_batch, f.created, m.to_batch, t.created,
        CASE WHEN f.kind = 'import-seqrepo' THEN {ADOPTED} END, s.id IS NULL
    FROM (
        SELECT alias, namespace_id, sequence_id, from_batch, to_batch FROM ended_aliases
        WHERE alias = ? AND namespace_id = ?
        UNION ALL
        SELECT alias, namespace_id, sequence_id, batch_id, NULL FROM aliases
        WHERE alias = ? AND namespace_id = ?
    ) m
    LEFT JOIN adopted_aliases d ON d.alias = m.alias AND d.namespace_id = m.namespace_id
        AND d.sequence_id = m.sequence_id
    JOIN batches f ON f.id = m.from_batch LEFT JOIN batches t ON t.id = m.to_batch
    LEFT JOIN sequences s ON s.id = m.sequence_id LEFT JOIN reclaimed r ON r.id = m.sequence_id
    ORDER BY m.from_batch, m.to_batch IS NULL, m.to_batch, d.added"""


class Database:
    """A read-only connection to an instance's database.

    Args:
        frozen: The file never changes: it is a snapshot's. Nothing is locked then.
        at: Answers are those after this batch; None for the last one.

    Raises:
        NotFound: No such file. NewerFormat, SeqArchiveError: Not one that can be read.
        ReadOnly: One that this user may not read.
    """

    def __init__(self, path: Path, *, frozen: bool = False, at: int | None = None) -> None:
        if not path.is_file():
            raise NotFound(f"there is no database {path}")
        self._path = path
        self._start(frozen=frozen, at=at)

    def _start(self, *, frozen: bool, at: int | None) -> None:
        self._is_frozen = frozen
        self.at = at
        """The last batch that is seen; None for whatever is the last."""
        self.is_unguarded = False
        self._handle: list[sqlite3.Connection] = []
        self.connection = self._open()
        self._namespace_ids: dict[str, int] = {}
        self._stamp: object = None
        # Threads end without a word: their connection is closed when nothing refers to it.
        weakref.finalize(self, _close, self._handle).atexit = False
        _open_databases.add(self)

    @classmethod
    def of(cls, instance: Instance, at: int | None = None) -> Database:
        """The database of an instance, read in the way that fits it."""
        return cls(instance.database, frozen=instance.is_snapshot, at=at)

    def _open(self) -> sqlite3.Connection:
        self._handle[:] = [self._connect()]
        self._is_older = schema.adapt(self._handle[0])
        if self.at is not None:
            as_of.restrict(self._handle[0], self.at)
        self._version = self._handle[0].cursor()
        return self._handle[0]

    def _connect(self) -> sqlite3.Connection:
        uri = self._path.absolute().as_uri()
        try:
            return self._connect_to(f"{uri}?mode=ro{'&immutable=1' if self._is_frozen else ''}")
        except sqlite3.OperationalError as error:
            if not os.access(self._path, os.R_OK):
                raise denied(self._path) from None
            if self._is_frozen or os.access(self._path.parent, os.W_OK):
                raise SeqArchiveError(f"{self._path} cannot be opened ({error})") from None
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise damaged_database(self._path, f"is damaged ({error})") from None
        if self._has_write_ahead_log():
            raise ReadOnly(
                f"{self._path} was left by a writer that died, and cannot be read without "
                "permission to write; let its owner open it once"
            )
        # A reader who may not write here cannot create SQLite's shared-memory file. Nobody is
        # writing if there is none, so that the file can be read as it is until it changes.
        self.is_unguarded = True
        try:
            return self._connect_to(f"{uri}?mode=ro&immutable=1")
        except sqlite3.DatabaseError as error:
            raise SeqArchiveError(f"{self._path} cannot be opened ({error})") from None

    def _connect_to(self, uri: str) -> sqlite3.Connection:
        # What SQLite does for the first time takes longest: look-ups later need no gate (they take
        # as long as a gate does).
        with ForkGate():
            connection = sqlite3.connect(
                uri, uri=True, isolation_level=None, check_same_thread=False
            )
            try:
                require_ours(connection, self._path)
            except BaseException:
                connection.close()
                raise
        return connection

    def _has_write_ahead_log(self) -> bool:
        log = self._path.with_name(self._path.name + "-wal")
        return log.exists() and log.stat().st_size > 0

    @contextmanager
    def one_commit(self) -> Iterator[None]:
        """All look-ups in here see one and the same commit. Keep it short: a long one holds back
        the writer's checkpoints (not its commits)."""
        connection = self.connection
        if connection.in_transaction:
            yield
            return
        connection.execute("BEGIN")
        try:
            yield
        finally:
            connection.execute("COMMIT")

    def generation(self) -> object:
        """Something that differs after every commit by anybody."""
        if self._is_frozen:
            return None
        if self.is_unguarded:
            return self._stamp if self.connection.in_transaction else self._check_file()
        found = self._version.execute("PRAGMA data_version").fetchone()
        if self._is_older and found != self._stamp and not self.connection.in_transaction:
            self._is_older = schema.adapt(self.connection)
            self._stamp = found
        return found

    def _check_file(self) -> object:
        status = self._path.stat()
        write_ahead_log = self._path.with_name(self._path.name + "-wal")
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino, write_ahead_log.exists())
        if stamp != self._stamp:
            self.connection.close()
            self.is_unguarded = False
            self.connection = self._open()
            self._stamp = stamp
        return stamp

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()
        _open_databases.discard(self)

    # --- namespaces -------------------------------------------------------------------------

    def namespace_id(self, namespace: str) -> int | None:
        """The id of a canonical namespace, compared without case; None if nothing is in it.

        An id, once given, never changes, and may be remembered.
        """
        found = self._namespace_ids.get(namespace)
        if found is None:
            row = self.connection.execute(
                "SELECT id FROM namespaces WHERE name = ? COLLATE NOCASE", (namespace,)
            ).fetchone()
            if row is None:
                return None
            found = self._namespace_ids[namespace] = int(row[0])
        return found

    def namespaces(self) -> list[tuple[str, int]]:
        """All namespaces with the number of current aliases in each."""
        counts = self._tally().aliases
        rows = self.connection.execute("SELECT id, name FROM namespaces ORDER BY name")
        return [(name, counts.get(number, 0)) for number, name in rows.fetchall()]

    def n_sequences(self) -> int:
        """How many sequences there are."""
        found = kept(self.connection) if self.at is None else None
        if found is not None:
            return found.sequences
        (n,) = self.connection.execute("SELECT count(*) FROM sequences").fetchone()
        return int(n)

    def _tally(self) -> Tally:
        return tally(self.connection) if self.at is None else counted(self.connection)

    # --- look-ups ---------------------------------------------------------------------------

    def locate(self, key: Key) -> list[Location]:
        """The sequences that a key stands for: none, one, or several in different namespaces."""
        if isinstance(key, DigestKey):
            rows = self.connection.execute(_BY_DIGEST[key.column], {"value": key.value})
        elif key.namespace is None:
            rows = self.connection.execute(_BY_ALIAS_ANYWHERE, (key.alias,))
        else:
            namespace_id = self.namespace_id(key.namespace)
            if namespace_id is None:
                return []
            rows = self.connection.execute(_BY_ALIAS, (key.alias, namespace_id))
        return [Location._make(row) for row in rows]

    def locate_aliases(
        self, namespace: str, aliases: Sequence[str]
    ) -> Iterator[tuple[str, Location]]:
        """The sequences of many aliases of one namespace; those that are not there are absent."""
        namespace_id = self.namespace_id(namespace)
        if namespace_id is None:
            return
        for at in range(0, len(aliases), _PARAMETERS):
            some = aliases[at : at + _PARAMETERS]
            marks = ",".join("?" * len(some))
            for alias, *row in self.connection.execute(
                f"SELECT a.alias, {_LOCATION} FROM aliases a"
                " JOIN sequences s ON s.id = a.sequence_id"
                f" WHERE a.alias IN ({marks}) AND a.namespace_id = ?",
                (*some, namespace_id),
            ):
                yield alias, Location._make(row)

    def keeps_sha256(self) -> bool:
        """Whether SHA-256 digests are kept in this archive."""
        found = self.connection.execute("SELECT 1 FROM meta WHERE key = 'sha256'").fetchone()
        return found is not None

    def kept_digests(self) -> list[str]:
        """The digests that are kept of every sequence."""
        return ["sha512t24u", "md5", "sha1"] + (["sha256"] if self.keeps_sha256() else [])

    def aliases_of(self, sequence_id: int) -> list[Alias]:
        """The current aliases of a sequence, sorted."""
        rows = self.connection.execute(_ALIASES, (sequence_id,))
        return sorted(Alias._make(row) for row in rows)

    def aliases_of_many(self, sequence_ids: Sequence[int]) -> dict[int, list[Alias]]:
        """The same for many sequences."""
        found: dict[int, list[Alias]] = {sequence_id: [] for sequence_id in sequence_ids}
        for at in range(0, len(sequence_ids), _PARAMETERS):
            some = sequence_ids[at : at + _PARAMETERS]
            marks = ",".join("?" * len(some))
            for sequence_id, namespace, alias in self.connection.execute(
                "SELECT a.sequence_id, n.name, a.alias FROM aliases a"
                " JOIN namespaces n ON n.id = a.namespace_id"
                f" WHERE a.sequence_id IN ({marks})",
                some,
            ):
                found[sequence_id].append(Alias(namespace, alias))
        for aliases in found.values():
            aliases.sort()
        return found

    def digests_of_many(self, sequence_ids: Sequence[int]) -> dict[int, StoredDigests]:
        """The stored digests of many sequences."""
        found: dict[int, StoredDigests] = {}
        for at in range(0, len(sequence_ids), _PARAMETERS):
            some = sequence_ids[at : at + _PARAMETERS]
            marks = ",".join("?" * len(some))
            for sequence_id, *digests in self.connection.execute(
                f"SELECT id, digest, md5, sha1 FROM sequences WHERE id IN ({marks})", some
            ):
                found[sequence_id] = StoredDigests(*digests)
        return found

    def candidates(self, alias: str) -> list[tuple[Alias, int]]:
        """Every namespace in which an alias means something, with the sequence that it means."""
        rows = self.connection.execute(
            "SELECT n.name, a.alias, a.sequence_id FROM aliases a"
            " JOIN namespaces n ON n.id = a.namespace_id WHERE a.alias = ? ORDER BY n.name",
            (alias,),
        )
        return [(Alias(namespace, name), sequence_id) for namespace, name, sequence_id in rows]

    def versions_of(self, accession: str) -> list[Alias]:
        """Names that are this accession with a version, at most five."""
        rows = self.connection.execute(
            "SELECT n.name, a.alias FROM aliases a JOIN namespaces n ON n.id = a.namespace_id"
            " WHERE a.alias > ? || '.' AND a.alias < ? || '/' ORDER BY a.alias LIMIT 5",
            (accession, accession),
        )
        return [Alias._make(row) for row in rows]

    def sequence(self, sequence_id: int) -> SequenceRow:
        """All columns of a sequence."""
        row = self.connection.execute(
            "SELECT id, digest, md5, sha1, length, letters, shard_id, offset, batch_id"
            " FROM sequences WHERE id = ?",
            (sequence_id,),
        ).fetchone()
        if row is None:
            raise Corrupt(f"the database lacks sequence {sequence_id}; run `seqarchive verify`")
        return SequenceRow(*row)

    def added(self, row: SequenceRow) -> str:
        """When a sequence was added: here, or to where it was adopted from. ISO 8601, UTC."""
        found = self.connection.execute(
            f"SELECT coalesce({ADOPTED}, b.created) FROM batches b"
            " LEFT JOIN adopted_sequences d ON d.sequence_id = ? WHERE b.id = ?",
            (row.id, row.batch_id),
        ).fetchone()
        if found is None:
            raise Corrupt(f"the database lacks batch {row.batch_id}; run `seqarchive verify`")
        return str(found[0])

    def sequences(self) -> Iterator[SequenceRow]:
        """All sequences, in the order in which they lie in the shards."""
        for row in self._paged(
            "SELECT id, digest, md5, sha1, length, letters, shard_id, offset, batch_id"
            " FROM sequences WHERE id > ? ORDER BY id LIMIT 1000"
        ):
            yield SequenceRow(*row)

    def digests(self) -> Iterator[tuple[bytes, int]]:
        """Digest and length of all sequences, sorted by digest."""
        yield from self.connection.execute(
            "SELECT k.digest, s.length FROM by_digest k CROSS JOIN sequences s ON s.id = k.id"
            " ORDER BY k.digest"
        )

    def shard_ranges(self) -> dict[int, tuple[int, int]]:
        """The first and the last id of the sequences in each shard: they ascend together."""
        return {
            shard_id: (first, last)
            for shard_id, first, last in self.connection.execute(
                "SELECT shard_id, min(id), max(id) FROM sequences"
                " WHERE shard_id IS NOT NULL GROUP BY shard_id"
            )
        }

    def sequences_in(self, shard_id: int, first: int, last: int) -> Iterator[SequenceRow]:
        """The sequences of a shard, by their offset; ``first`` and ``last`` from its range."""
        rows = self.connection.execute(
            "SELECT s.id, digest, md5, sha1, length, letters, shard_id, offset, batch_id, n.name"
            " FROM sequences s LEFT JOIN stored_names n ON n.sequence_id = s.id"
            " WHERE s.id BETWEEN ? AND ? AND shard_id = ? ORDER BY offset",
            (first, last, shard_id),
        )
        yield from (SequenceRow(*row) for row in rows)

    def _paged(self, query: str) -> Iterator[tuple[Any, ...]]:
        """Rows by ascending id, a page at a time: a long read must not hold back checkpoints."""
        last = 0
        while rows := self.connection.execute(query, (last,)).fetchall():
            yield from rows
            last = rows[-1][0]

    def sha256_of(self, sequence_id: int) -> bytes | None:
        """SHA-256 of a sequence, if it is kept."""
        row = self.connection.execute(
            "SELECT digest FROM sha256 WHERE sequence_id = ?", (sequence_id,)
        ).fetchone()
        return None if row is None else bytes(row[0])

    def has_sha256_between(self, first: int, last: int) -> bool:
        """Whether the SHA-256 of any sequence with an id in ``[first, last]`` is kept."""
        found = self.connection.execute(
            "SELECT 1 FROM sha256 WHERE sequence_id BETWEEN ? AND ? LIMIT 1", (first, last)
        ).fetchone()
        return found is not None

    def deflines_of(self, sequence_id: int) -> list[tuple[str, str]]:
        """Source file name and defline of each record that was this sequence."""
        return self.connection.execute(
            "SELECT s.name, r.defline FROM records r JOIN sources s ON s.id = r.source_id"
            " WHERE r.sequence_id = ? ORDER BY r.source_id, r.ordinal",
            (sequence_id,),
        ).fetchall()

    def is_circular(self, sequence_id: int) -> bool:
        """Whether a sequence is a circular molecule."""
        row = self.connection.execute(
            "SELECT 1 FROM circular WHERE sequence_id = ?", (sequence_id,)
        ).fetchone()
        return row is not None

    # --- shards, batches, counts ------------------------------------------------------------

    def shard(self, shard_id: int) -> ShardRow:
        """One shard.

        Raises:
            Corrupt: A sequence names a shard that is not there.
        """
        row = self.connection.execute("SELECT * FROM shards WHERE id = ?", (shard_id,)).fetchone()
        if row is None:
            raise Corrupt(f"the database lacks shard {shard_id}; run `seqarchive verify`")
        return ShardRow._make(row)

    def shards(self) -> list[ShardRow]:
        """All shards, in the order in which they were added."""
        rows = self.connection.execute("SELECT * FROM shards ORDER BY id")
        return [ShardRow._make(row) for row in rows]

    def aliases(
        self, namespace: str | None = None, pattern: str | None = None
    ) -> Iterator[tuple[Alias, bytes]]:
        """Current aliases with the digests that they mean, sorted by alias.

        Args:
            namespace: Only of this one (canonical).
            pattern: Only those that match, ``*`` and ``?`` being wildcards.
        """
        query = (
            "SELECT n.name, a.alias, s.digest FROM aliases a"
            " JOIN namespaces n ON n.id = a.namespace_id"
            " JOIN sequences s ON s.id = a.sequence_id WHERE 1"
        )
        parameters: list[object] = []
        if namespace is not None:
            query += " AND n.name = ? COLLATE NOCASE"
            parameters.append(namespace)
        if pattern is not None:
            query += " AND a.alias GLOB ?"
            parameters.append(pattern)
        query += " ORDER BY a.alias, n.name"
        for name, alias, digest in self.connection.execute(query, parameters):
            yield Alias(name, alias), digest

    def sequence_ids_in(self, namespace: str) -> Iterator[int]:
        """Ids of the sequences that have an alias in a namespace, ascending."""
        namespace_id = self.namespace_id(namespace)
        for (sequence_id,) in self.connection.execute(
            "SELECT DISTINCT sequence_id FROM aliases WHERE namespace_id = ? ORDER BY sequence_id",
            (namespace_id,),
        ):
            yield sequence_id

    def batches(self) -> Iterator[dict[str, Any]]:
        """All batches, the oldest first, with their sources."""
        columns = "id, kind, created, user, host, version, namespace, n_records, n_sequences, "
        columns += "n_residues, n_aliases, n_aliases_moved, n_aliases_retired, reverts"
        names = ["batch", *columns.split(", ")[1:]]
        for row in self.connection.execute(f"SELECT {columns} FROM batches ORDER BY id").fetchall():
            batch = dict(zip(names, row, strict=True))
            batch["sources"] = [
                {
                    "name": name,
                    "bytes": size,
                    "sha256": sha256.hex(),
                    "format": file_format,
                    "compression": compression,
                    "records": n_records,
                }
                for name, size, sha256, file_format, compression, n_records in (
                    self.connection.execute(
                        "SELECT name, size_bytes, sha256, format, compression, n_records"
                        " FROM sources WHERE batch_id = ? ORDER BY id",
                        (row[0],),
                    )
                )
            ]
            yield batch

    def report_of(self, batch: int) -> dict[str, Any]:
        """What whoever made a batch was told of it.

        Raises:
            NotFound: There is no such batch.
        """
        row = self.connection.execute(
            "SELECT report FROM batches WHERE id = ?", (batch,)
        ).fetchone()
        if row is None:
            raise NotFound(f"there is no batch {batch}")
        found: dict[str, Any] = json.loads(row[0])
        return found

    def last_batch(self, until: str | None = None) -> int:
        """The last batch, or the last one committed until a time; 0 if there is none.

        Args:
            until: ISO 8601 in UTC with seconds and ``Z``.
        """
        (last,) = self.connection.execute(
            "SELECT max(id) FROM batches WHERE :until IS NULL OR created <= :until",
            {"until": until},
        ).fetchone()
        return int(last or 0)

    def token(self, batch: int) -> str | None:
        """What a batch has that no other one has; None of a batch that is not there."""
        row = self.connection.execute("SELECT token FROM batches WHERE id = ?", (batch,)).fetchone()
        return None if row is None else str(row[0])

    def history(self, alias: Alias) -> list[Meaning]:
        """All that an alias ever meant, the oldest first."""
        namespace_id = self.namespace_id(alias.namespace)
        rows = self.connection.execute(_HISTORY, (alias.alias, namespace_id) * 2)
        return [Meaning._make((*row[:-1], bool(row[-1]))) for row in rows]

    def copy_into(self, path: Path) -> None:
        """Write one committed state, compact and with a rollback journal, to a new file.

        Not durable on return.

        Raises:
            OSError: The disk is full.
        """
        try:
            self.connection.execute(COPY_INTO, (os.fsencode(path),))
        except sqlite3.OperationalError as error:
            if "is full" not in str(error):
                raise
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from None

    def stored_name(self, sequence_id: int) -> str | None:
        """The name of a record in its shard, if it is not the digest."""
        row = self.connection.execute(
            "SELECT name FROM stored_names WHERE sequence_id = ?", (sequence_id,)
        ).fetchone()
        return None if row is None else str(row[0])

    def counts(self) -> dict[str, int]:
        """How much there is of everything."""
        one = self.connection.execute
        found = self._tally()
        # Shards count theirs; those that are seen as of an earlier batch may have more.
        table, column = ("shards", "n_residues") if self.at is None else ("sequences", "length")
        (n_residues,) = one(f"SELECT coalesce(sum({column}), 0) FROM {table}").fetchone()
        n_shards, shard_bytes, index_bytes = one(
            "SELECT count(*), coalesce(sum(size_bytes), 0),"
            " coalesce(sum(fai_bytes + gzi_bytes), 0) FROM shards"
        ).fetchone()
        (n_batches,) = one("SELECT count(*) FROM batches").fetchone()
        return {
            "sequences": found.sequences,
            "residues": n_residues,
            "aliases": sum(found.aliases.values()),
            "ended_aliases": found.ended_aliases,
            "batches": n_batches,
            "shards": n_shards,
            "shard_bytes": shard_bytes,
            "index_bytes": index_bytes,
        }

    def all_counts(self) -> dict[str, int]:
        """What ``counts`` has, as manifests do, and what these lack: collections, tracks of which
        there are files, and the bytes of these with their indexes."""
        (n_collections,) = self.connection.execute("SELECT count(*) FROM collections").fetchone()
        n_tracks, n_bytes = self.connection.execute(
            "SELECT count(*), coalesce(sum(size_bytes + coalesce(index_bytes, 0)), 0) FROM tracks"
        ).fetchone()
        return {
            **self.counts(),
            "collections": n_collections,
            "tracks": n_tracks,
            "track_bytes": n_bytes,
        }

    def meta(self) -> dict[str, str]:
        """The settings of the archive."""
        return dict(self.connection.execute("SELECT key, value FROM meta"))

    def integrity_problems(self) -> Iterator[str]:
        """What SQLite itself finds wrong with the file."""
        try:
            (page_size,) = self.connection.execute("PRAGMA page_size").fetchone()
            if self._path.stat().st_size % page_size:  # SQLite takes what lacks for zeros
                yield "the last page is not whole: the file is truncated"
            for (line,) in self.connection.execute("PRAGMA integrity_check"):
                if line != "ok":
                    yield str(line)
        except sqlite3.DatabaseError as error:
            yield str(error)


def require_readable(instance: Instance) -> None:
    """Raise what opening an instance raises, before anything is made because of it."""
    instance.require()
    with closing(Database.of(instance)):
        pass


_open_databases: weakref.WeakSet[Database] = weakref.WeakSet()


def is_database_open() -> bool:
    """Whether this process has a connection that a fork of it would inherit."""
    return bool(_open_databases)


def _close(handle: list[sqlite3.Connection]) -> None:
    for connection in handle:
        connection.close()


def require_ours(connection: sqlite3.Connection, path: Path) -> None:
    """Raise unless a connection is one to a database of seqarchive that can be read.

    Raises:
        NewerFormat, SeqArchiveError: As for ``schema.version_of``. Corrupt: It is empty.
    """
    if schema.version_of(connection, str(path)) == 0:
        raise damaged_database(path, "is empty")
