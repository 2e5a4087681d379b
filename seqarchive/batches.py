"""Batches: one SQLite transaction each, the single point at which a change becomes visible.

An open batch holds SQLite's write lock; nobody sees its rows until ``commit``. Left without it,
whatever the reason, nothing of the batch remains.
"""

from __future__ import annotations

import enum
import getpass
import json
import os
import socket
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from . import durable, namespaces, schema
from .errors import AliasConflict, ReadOnly, SeqArchiveError
from .identifiers import Alias, Digest, digest_bytes, digest_text
from .seqcol.digests import CollectionDigests
from .shard_writer import ShardFiles
from .version import __version__

#: Bound parameters of one statement: below SQLite's oldest limit, 999.
_PARAMETERS = 900


#: Indexes that no look-up of a batch needs.
_LATE_INDEXES = {
    "sequences_md5": "sequences (md5)",
    "sequences_sha1": "sequences (sha1)",
    "records_sequence": "records (sequence_id)",
    "aliases_sequence": "aliases (sequence_id)",
}


#: Where the ids of rows are kept that were removed.
_GONE = {"sequences": "reclaimed", "shards": "dropped_shards"}


class OnConflict(enum.Enum):
    """What to do when an alias already means another sequence."""

    ERROR = "error"
    KEEP = "keep"
    REPLACE = "replace"


class AliasId(NamedTuple):
    """An alias as the tables have it."""

    alias: str
    namespace_id: int


class AliasRow(NamedTuple):
    """One alias to add: what it shall mean, and which record says so."""

    alias: str
    namespace_id: int
    sequence_id: int
    source: str
    line: int


class NewSequence(NamedTuple):
    """A sequence to add: a row of ``sequences`` less the batch."""

    id: int
    digest: bytes
    md5: bytes
    sha1: bytes
    length: int
    letters: int
    shard_id: int | None
    offset: int | None


def where(source: str, line: int) -> str:
    """How a message begins about a line of a file; empty about what is in none (line 0)."""
    return f"{source}, line {line}: " if line else ""


class AliasCounts:
    """What became of the aliases that were added."""

    def __init__(self) -> None:
        self.added = 0
        self.known = 0
        self.kept = 0
        self.moved = 0
        self.retired = 0
        self.conflicts: list[str] = []


def create_database(final: Path, temporary: Path) -> None:
    """Make an empty database, which appears by one rename: there is a whole one or none.

    Args:
        temporary: A directory of the same file system, whose contents do not matter.
    """
    temporary.mkdir(exist_ok=True)
    unfinished = temporary / final.name
    for suffix in ("", "-journal", "-wal", "-shm"):
        durable.remove(unfinished.with_name(unfinished.name + suffix))
    with closing(sqlite3.connect(unfinished, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        schema.migrate(connection)
        # Before it has its name: to change the mode writes to the file under a rollback journal,
        # and a reader cannot open what a full disk would leave of that.
        connection.execute("PRAGMA journal_mode = WAL")
    durable.publish_writable(unfinished, final)


def connect_for_writing(database: Path | None) -> sqlite3.Connection:
    """Open the database of an instance (in memory if None) for its one writer, and migrate it.

    Raises:
        ReadOnly: The file or the medium cannot be written.
    """
    # Thread affinity is off because a load's storing lane uses it; never two at a time.
    name = ":memory:" if database is None else str(database)
    connection = sqlite3.connect(name, isolation_level=None, check_same_thread=False, timeout=60)
    try:
        connection.execute("PRAGMA cache_size = -32768")
        # WAL: readers never wait for the writer. It is a property of the file, set once.
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL: with NORMAL, a commit in WAL mode may not survive a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        schema.migrate(connection)
    except sqlite3.OperationalError as error:
        connection.close()
        if "readonly" in str(error) or "unable to open" in str(error):
            raise ReadOnly(f"{name} cannot be written ({error})") from None
        raise
    except BaseException:
        connection.close()
        raise
    return connection


class Batch:
    """One change of an instance, all of it or nothing.

    Args:
        connection: From ``connect_for_writing``; the caller holds the writer's lock.
        kind: What is done: ``load``, ``import-aliases``, ...
        namespace: The namespace that the user gave, if any.
        reverts: The batch that this one undoes, if it does.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        kind: str,
        namespace: str | None = None,
        *,
        reverts: int | None = None,
    ) -> None:
        self.connection = connection
        self._kind = kind
        self._namespace = namespace
        self._reverts = reverts
        self.id = 0
        self.aliases = AliasCounts()
        self.n_sequences = 0
        self.n_residues = 0
        self._first_sequence = self._next_sequence = 0
        self._next_shard = 0

    def __enter__(self) -> Batch:
        self.connection.execute("BEGIN IMMEDIATE")
        self.id = self._next("batches")
        self._first_sequence = self._next_sequence = self._next("sequences")
        if self.is_first:
            # Made at once from all rows, an index is smaller and takes a third of the time.
            for name in _LATE_INDEXES:
                self.connection.execute(f"DROP INDEX {name}")
        self._next_shard = self._next("shards")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def _next(self, table: str) -> int:
        """The first id that was never used; also those that are gone are never used again."""
        (last,) = self.connection.execute(
            f"SELECT max(id) FROM {table}"
            if table not in _GONE
            else f"SELECT max(id) FROM (SELECT max(id) AS id FROM {table}"
            f" UNION ALL SELECT max(id) FROM {_GONE[table]})"
        ).fetchone()
        return 1 + (last or 0)

    @property
    def is_first(self) -> bool:
        """Whether there were no sequences before this batch."""
        return self._first_sequence == 1

    # --- sequences --------------------------------------------------------------------------

    def new_sequence_id(self) -> int:
        """An id for a sequence that this batch will add."""
        self._next_sequence += 1
        return self._next_sequence - 1

    def new_shard_id(self) -> int:
        """An id for a shard that this batch will add."""
        self._next_shard += 1
        return self._next_shard - 1

    def known_sequences(self, digests: Sequence[bytes]) -> dict[bytes, int]:
        """The ids of those sequences that are there already, this batch's rows included."""
        found: dict[bytes, int] = {}
        for at in range(0, len(digests), _PARAMETERS):
            some = digests[at : at + _PARAMETERS]
            marks = ",".join("?" * len(some))
            found.update(
                self.connection.execute(
                    f"SELECT digest, id FROM sequences WHERE digest IN ({marks})", some
                )
            )
        return found

    def add_sequences(self, rows: Iterable[NewSequence]) -> None:
        """Add sequences that are not there yet."""
        rows = list(rows)
        self.connection.executemany(
            "INSERT INTO sequences (id, digest, md5, sha1, length, letters, shard_id, offset,"
            f" batch_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, {self.id})",
            rows,
        )
        self.n_sequences += len(rows)
        self.n_residues += sum(row.length for row in rows)

    def add_shard(self, shard_id: int, path: str, files: ShardFiles) -> None:
        """Add a published shard."""
        self.connection.execute(
            "INSERT INTO shards VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                shard_id,
                self.id,
                path,
                files.size_bytes,
                files.sha256,
                files.fai_bytes,
                files.fai_sha256,
                files.gzi_bytes,
                files.gzi_sha256,
                files.first_digest,
                files.n_sequences,
                files.n_residues,
                files.line_bases,
            ),
        )

    def add_stored_names(self, rows: Iterable[tuple[int, str]]) -> None:
        """Record the names of records in shards that are not the digests of their sequences."""
        self.connection.executemany("INSERT INTO stored_names VALUES (?, ?)", rows)

    def add_times_of_sequences(self, rows: Iterable[tuple[int, int]]) -> None:
        """Record when sequences were added to where they were adopted from (id, Unix time); what
        is recorded already stays."""
        self.connection.executemany("INSERT OR IGNORE INTO adopted_sequences VALUES (?, ?)", rows)

    def add_times_of_aliases(self, rows: Iterable[tuple[str, int, int, int]]) -> None:
        """Record when aliases got their meaning where they were adopted from (alias, namespace,
        sequence, Unix time); what is recorded already stays."""
        self.connection.executemany(
            "INSERT OR IGNORE INTO adopted_aliases VALUES (?, ?, ?, ?)", rows
        )

    def add_sha256(self, rows: Iterable[tuple[int, bytes]]) -> None:
        """Record the SHA-256 of sequences."""
        self.connection.executemany("INSERT OR REPLACE INTO sha256 VALUES (?, ?)", rows)

    def keep_sha256(self) -> None:
        """Have the SHA-256 of every sequence to come recorded too."""
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES ('sha256', '1')")

    def mark_circular(self, sequence_id: int) -> None:
        """Record that a sequence is a circular molecule."""
        self.connection.execute(
            "INSERT OR IGNORE INTO circular VALUES (?, ?)", (sequence_id, self.id)
        )

    # --- aliases ----------------------------------------------------------------------------

    def namespace_id(self, namespace: str) -> int:
        """The id of a canonical namespace, new or in whatever spelling it has here."""
        self.connection.execute(
            "INSERT OR IGNORE INTO namespaces (name, batch_id) VALUES (?, ?)", (namespace, self.id)
        )
        (found,) = self.connection.execute(
            "SELECT id FROM namespaces WHERE name = ? COLLATE NOCASE", (namespace,)
        ).fetchone()
        return int(found)

    def add_former_meaning(self, key: AliasId, sequence_id: int) -> int:
        """Record what an alias meant before it came here; 0 if that is recorded already.

        It was so in no batch, and is no answer to anybody but those who ask for the history.
        """
        return self.connection.execute(
            "INSERT INTO ended_aliases SELECT ?, ?, ?, ?, ? WHERE NOT EXISTS ("
            " SELECT 1 FROM ended_aliases WHERE alias = ? AND namespace_id = ?"
            " AND sequence_id = ?)",
            (*key, sequence_id, self.id, self.id, *key, sequence_id),
        ).rowcount

    def add_aliases(self, namings: Sequence[AliasRow], on_conflict: OnConflict) -> None:
        """Add aliases; counts what became of each in ``aliases``.

        Raises:
            AliasConflict: One means another sequence already, and ``on_conflict`` is ERROR.
        """
        inserted = self.connection.executemany(
            "INSERT OR IGNORE INTO aliases (alias, namespace_id, sequence_id, batch_id)"
            f" VALUES (?, ?, ?, {self.id})",
            [naming[:3] for naming in namings],
        ).rowcount
        self.aliases.added += inserted
        if inserted == len(namings):
            return
        n_conflicts = 0
        meanings = self._meanings(namings)
        for naming in namings:
            sequence_id, since = meanings[naming[:2]]
            if sequence_id == naming.sequence_id:
                continue
            n_conflicts += 1
            self.aliases.conflicts.append(self._conflict(naming, sequence_id, since))
            if on_conflict is OnConflict.KEEP:
                self.aliases.kept += 1
            elif on_conflict is OnConflict.REPLACE:
                meanings[naming[:2]] = self._move(naming, sequence_id, since)
        self.aliases.known += len(namings) - inserted - n_conflicts
        if n_conflicts and on_conflict is OnConflict.ERROR:
            raise AliasConflict(
                f"{self.aliases.conflicts[0]}"
                + (f" ({n_conflicts} conflicts so far)" if n_conflicts > 1 else "")
                + "; nothing was changed: use --on-conflict keep or replace",
                self.aliases.conflicts,
            )

    def _meanings(self, namings: Sequence[AliasRow]) -> dict[tuple[str, int], tuple[int, int]]:
        """What aliases mean now: sequence, and since which batch."""
        names = list({naming.alias for naming in namings})
        found: dict[tuple[str, int], tuple[int, int]] = {}
        for at in range(0, len(names), _PARAMETERS):
            some = names[at : at + _PARAMETERS]
            marks = ",".join("?" * len(some))
            for alias, namespace_id, sequence_id, batch_id in self.connection.execute(
                "SELECT alias, namespace_id, sequence_id, batch_id FROM aliases"
                f" WHERE alias IN ({marks})",
                some,
            ):
                found[alias, namespace_id] = (sequence_id, batch_id)
        return found

    def _move(self, naming: AliasRow, sequence_id: int, since: int) -> tuple[int, int]:
        """Have an alias mean another sequence. Returns what it means now, and since when."""
        key = AliasId(*naming[:2])
        self.aliases.moved += 1
        self._end(key, sequence_id, since)
        return naming.sequence_id, self._begin(key, naming.sequence_id)

    def retire(self, alias: Alias) -> bool:
        """Have an alias mean nothing any more; counts it. False if it means nothing now."""
        found = self.connection.execute(
            "SELECT a.alias, a.namespace_id, a.sequence_id, a.batch_id FROM aliases a"
            " JOIN namespaces n ON n.id = a.namespace_id"
            " WHERE a.alias = ? AND n.name = ? COLLATE NOCASE",
            (alias.alias, alias.namespace),
        ).fetchone()
        if found is None:
            return False
        name, namespace_id, sequence_id, since = found
        self._end(AliasId(name, namespace_id), sequence_id, since)
        self.aliases.retired += 1
        return True

    def _end(self, key: AliasId, sequence_id: int, since: int) -> None:
        self.connection.execute("DELETE FROM aliases WHERE alias = ? AND namespace_id = ?", key)
        if since != self.id:  # a meaning that lasted no batch is no history
            self.connection.execute(
                "INSERT INTO ended_aliases VALUES (?, ?, ?, ?, ?)",
                (*key, sequence_id, since, self.id),
            )

    def _begin(self, key: AliasId, sequence_id: int) -> int:
        since = self.id
        resumed = self.connection.execute(
            "SELECT rowid, from_batch FROM ended_aliases"
            " WHERE alias = ? AND namespace_id = ? AND to_batch = ? AND sequence_id = ?",
            (*key, self.id, sequence_id),
        ).fetchone()
        if resumed is not None:  # ended by this batch itself: it never ended
            self.connection.execute("DELETE FROM ended_aliases WHERE rowid = ?", resumed[:1])
            since = resumed[1]
        self.connection.execute(
            "INSERT INTO aliases VALUES (?, ?, ?, ?)", (*key, sequence_id, since)
        )
        return int(since)

    def _conflict(self, naming: AliasRow, sequence_id: int, since: int) -> str:
        (namespace,) = self.connection.execute(
            "SELECT name FROM namespaces WHERE id = ?", (naming.namespace_id,)
        ).fetchone()
        old, new = (
            digest_text(
                self.connection.execute(
                    "SELECT digest FROM sequences WHERE id = ?", (one,)
                ).fetchone()[0]
            )
            for one in (sequence_id, naming.sequence_id)
        )
        when = "in this load" if since == self.id else f"since batch {since}"
        return (
            f"{where(naming.source, naming.line)}{Alias(namespace, naming.alias)} "
            f"is SQ.{new} here but SQ.{old} {when}"
        )

    # --- provenance -------------------------------------------------------------------------

    def add_source(
        self,
        name: str,
        *,
        size_bytes: int,
        sha256: bytes,
        file_format: str | None = None,
        compression: str | None = None,
        n_records: int,
        source_id: int,
        collection_id: int | None = None,
        line_bases: int | None = None,
    ) -> None:
        """Record a file that was read. The same bytes as an earlier source share its records.

        Args:
            line_bases: Residues of a line; 0 if each record has one; None if lines differ.
        """
        earlier = self.connection.execute(
            "SELECT id FROM sources o WHERE sha256 = ? AND records_of IS NULL AND n_records = ?"
            # All of them: some may have been reclaimed.
            " AND n_records = (SELECT count(*) FROM records r WHERE r.source_id = o.id)",
            (sha256, n_records),
        ).fetchone()
        if earlier is not None:
            self.connection.execute("DELETE FROM records WHERE source_id = ?", (source_id,))
            # The same bytes have the same letters in lower case, if these were kept.
            self.connection.execute(
                "UPDATE OR REPLACE masks SET source_id = ? WHERE source_id = ?",
                (*earlier, source_id),
            )
        self.connection.execute(
            "INSERT INTO sources VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                source_id,
                self.id,
                name,
                size_bytes,
                sha256,
                file_format,
                compression,
                n_records,
                None if earlier is None else earlier[0],
                collection_id,
                line_bases,
            ),
        )

    def collection_id(self, digest: Digest) -> int | None:
        """The id of the collection of a digest, if there is one."""
        found = self.connection.execute(
            "SELECT id FROM collections WHERE digest = ?", (digest_bytes(digest),)
        ).fetchone()
        return None if found is None else int(found[0])

    def add_collection(
        self, digests: CollectionDigests, *, n_members: int, n_residues: int, source_id: int
    ) -> int:
        """Record what a file is as a collection. Returns its id, that of an earlier one if there
        is one of this digest."""
        known = self.collection_id(digests.digest)
        if known is not None:
            return known
        added = self.connection.execute(
            "INSERT INTO collections (digest, names, sequences, lengths, name_length_pairs,"
            " sorted_name_length_pairs, sorted_sequences, n_members, n_residues, source_id,"
            " batch_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*map(digest_bytes, digests), n_members, n_residues, source_id, self.id),
        )
        return int(added.lastrowid or 0)

    def show_collection_as(self, collection_id: int, source_id: int) -> None:
        """Have a collection given back as a file of it has it: one whose lower case is kept, if
        that of the first was not."""
        (shown,) = self.connection.execute(
            "SELECT source_id FROM collections WHERE id = ?", (collection_id,)
        ).fetchone()
        (own,) = self.connection.execute(
            "SELECT coalesce(records_of, id) FROM sources WHERE id = ?", (source_id,)
        ).fetchone()
        if shown != own and not self.has_masks(shown):
            self.connection.execute(
                "UPDATE collections SET source_id = ? WHERE id = ?", (own, collection_id)
            )

    def has_masks(self, source_id: int) -> bool:
        """Whether it is kept what of a file is in lower case."""
        found = self.connection.execute(
            "SELECT 1 FROM masks WHERE source_id = ? LIMIT 1", (source_id,)
        )
        return found.fetchone() is not None

    def add_masks(self, rows: Iterable[tuple[int, int, bytes]]) -> None:
        """Keep what is in lower case: (source, ordinal in it, ``layouts.RecordLayout.mask``)."""
        self.connection.executemany("INSERT INTO masks VALUES (?, ?, ?)", rows)

    def width_of_source(self, source_id: int) -> int | None:
        """Residues of a line of a file; as ``add_source`` has it."""
        (found,) = self.connection.execute(
            "SELECT line_bases FROM sources WHERE id = ?", (source_id,)
        ).fetchone()
        return None if found is None else int(found)

    def collection_of_source(self, source_id: int) -> tuple[int, bytes] | None:
        """What a file is as a collection: its id and its digest."""
        found = self.connection.execute(
            "SELECT c.id, c.digest FROM sources s JOIN collections c ON c.id = s.collection_id"
            " WHERE s.id = ?",
            (source_id,),
        ).fetchone()
        return None if found is None else (int(found[0]), bytes(found[1]))

    def has_source_of(self, size_bytes: int) -> bool:
        """Whether an earlier batch read a file of this size."""
        found = self.connection.execute(
            "SELECT 1 FROM sources WHERE size_bytes = ? LIMIT 1", (size_bytes,)
        )
        return found.fetchone() is not None

    def earlier_source(self, sha256: bytes) -> tuple[int, str, str, int] | None:
        """A FASTA file of these bytes that an earlier batch took in without leaving anything out.

        Returns:
            The source that has its records, its format, its compression, and how many they are.
        """
        for source_id, *facts, report in self.connection.execute(
            "SELECT coalesce(s.records_of, s.id), s.format, s.compression, s.n_records, b.report"
            " FROM sources s JOIN batches b ON b.id = s.batch_id"
            " WHERE s.sha256 = ? AND s.format = 'fasta' ORDER BY s.id",
            (sha256,),
        ):
            (n_present,) = self.connection.execute(
                "SELECT count(*) FROM records r JOIN sequences s ON s.id = r.sequence_id"
                " WHERE r.source_id = ?",
                (source_id,),
            ).fetchone()
            if n_present == facts[-1] and not json.loads(report).get("skipped"):
                return source_id, *facts
        return None

    def records_of(self, source_id: int) -> Iterator[tuple[int, str]]:
        """The sequence and the defline of each record of a source, in the order of the file."""
        return self.connection.execute(
            "SELECT sequence_id, defline FROM records WHERE source_id = ? ORDER BY ordinal",
            (source_id,),
        )

    def agree(self, namings: Sequence[AliasRow]) -> bool:
        """Whether each alias means the sequence that it shall mean, or nothing yet."""
        meanings = self._meanings(namings)
        return all(
            meanings.setdefault(naming[:2], (naming.sequence_id, self.id))[0] == naming.sequence_id
            for naming in namings
        )

    def new_source_id(self) -> int:
        """An id for the next source; it must be added before another is asked for."""
        return self._next("sources")

    def add_records(self, rows: Iterable[tuple[int, int, int, str]]) -> None:
        """Keep deflines: (source, ordinal in it, sequence, defline)."""
        self.connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", rows)

    # --- the end ----------------------------------------------------------------------------

    def commit(self, report: dict[str, Any], *, n_records: int = 0) -> None:
        """Record the batch and make it visible. Durable on return."""
        if self.is_first:
            for name, columns in _LATE_INDEXES.items():
                self.connection.execute(f"CREATE INDEX {name} ON {columns}")
        self.connection.execute(
            "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self.id,
                self._kind,
                # Of the commit, not of the beginning: before it nobody saw the batch.
                time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                _user(),
                socket.gethostname(),
                __version__,
                self._namespace,
                n_records,
                self.n_sequences,
                self.n_residues,
                self.aliases.added,
                self.aliases.moved,
                self.aliases.retired,
                json.dumps(report),
                self._reverts,
                os.urandom(8).hex(),
            ),
        )
        try:
            self.connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise SeqArchiveError(
                f"the disk failed in the commit ({error}): `seqarchive log` says whether the batch "
                "is there; if it is not, do the same again"
            ) from None


def database_keeps_sha256(database: Path) -> bool:
    """Whether ``digests add sha256`` was asked for in this archive."""
    if not database.exists():
        return False
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as reader:
        try:
            return bool(reader.execute("SELECT 1 FROM meta WHERE key = 'sha256'").fetchone())
        except sqlite3.OperationalError:  # no tables yet; whatever else, the writer will say
            return False


def spelling(connection: sqlite3.Connection, namespace: str) -> str:
    """The spelling of a canonical namespace in this archive."""
    if namespaces.is_canonical(namespace):
        return namespace
    found = connection.execute(
        "SELECT name FROM namespaces WHERE name = ? COLLATE NOCASE", (namespace,)
    ).fetchone()
    return namespace if found is None else str(found[0])


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, in a container
        return "unknown"
