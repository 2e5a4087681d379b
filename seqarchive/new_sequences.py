"""Sequences of a batch on their way into their table, whose indexes have no order of their own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from . import schema
from .identifiers import digest_text
from .staged import NewDigests, ids_of

#: Indexes that no look-up of a batch needs.
_INDEXES = {
    "records_sequence": "INDEX records_sequence ON records (sequence_id)",
    "aliases_sequence": "INDEX aliases_sequence ON aliases (sequence_id)",
}


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


class NewSequences:
    """What a batch adds to the sequences.

    Args:
        connection: In the transaction of the batch.
    """

    def __init__(self, connection: sqlite3.Connection, batch_id: int) -> None:
        self._connection = connection
        self._batch_id = batch_id
        self._digests = NewDigests(connection)
        self.n_added = 0
        self.n_residues = 0
        self.first_id = self._next_id = schema.next_id(connection, "sequences")
        if self.are_first:
            # Made at once from all rows, an index is smaller and takes a third of the time.
            for name in _INDEXES:
                connection.execute(f"DROP INDEX IF EXISTS {name}")

    @property
    def are_first(self) -> bool:
        """Whether there were no sequences before this batch."""
        return self.first_id == 1

    def new_id(self) -> int:
        """An id for a sequence that this batch will add."""
        self._next_id += 1
        return self._next_id - 1

    def find(self, digests: Sequence[bytes]) -> dict[bytes, int]:
        """The ids of those sequences that are there already, this batch's rows included."""
        found = self._digests.find(digests)
        others = [digest for digest in digests if digest not in found]
        found.update(ids_of(self._connection, "by_digest", others))
        return found

    def add(self, rows: Iterable[NewSequence]) -> None:
        """Add sequences that are not there yet."""
        rows = list(rows)
        self._connection.executemany(
            "INSERT INTO sequences (id, digest, md5, sha1, length, letters, shard_id, offset,"
            f" batch_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, {self._batch_id})",
            rows,
        )
        self._digests.add((row.digest, row.id) for row in rows)
        self.n_added += len(rows)
        self.n_residues += sum(row.length for row in rows)

    def digest_of(self, sequence_id: int) -> str:
        """The digest of a sequence that is there, or that this batch adds."""
        (stored,) = self._connection.execute(
            "SELECT digest FROM sequences WHERE id = ?", (sequence_id,)
        ).fetchone()
        return digest_text(stored)

    def add_stored_names(self, rows: Iterable[tuple[int, str]]) -> None:
        """Record the names of records in shards that are not the digests of their sequences."""
        self._connection.executemany("INSERT INTO stored_names VALUES (?, ?)", rows)

    def add_times(self, rows: Iterable[tuple[int, int]]) -> None:
        """Record when sequences were added to where they were adopted from (id, Unix time); what
        is recorded already stays."""
        self._connection.executemany("INSERT OR IGNORE INTO adopted_sequences VALUES (?, ?)", rows)

    def add_sha256(self, rows: Iterable[tuple[int, bytes]]) -> None:
        """Record the SHA-256 of sequences."""
        self._connection.executemany("INSERT OR REPLACE INTO sha256 VALUES (?, ?)", rows)

    def keep_sha256(self) -> None:
        """Have the SHA-256 of every sequence to come recorded too."""
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES ('sha256', '1')")

    def mark_circular(self, sequence_id: int) -> bool:
        """Record that a sequence is a circular molecule. Returns whether that is new."""
        marked = self._connection.execute(
            "INSERT OR IGNORE INTO circular VALUES (?, ?)", (sequence_id, self._batch_id)
        )
        return marked.rowcount > 0

    def finish(self) -> None:
        """Have everything be in its place, of which nothing more comes."""
        if self.n_added:
            for table, column in schema.LOOK_UPS.items():
                # Sorted, so that a page of the tree is taken once for many of them.
                self._connection.execute(
                    f"INSERT INTO {table} SELECT {column}, id FROM sequences WHERE id >= ?"
                    " ORDER BY 1",
                    (self.first_id,),
                )
        if self.are_first:
            for index in _INDEXES.values():
                self._connection.execute(f"CREATE {index}")
        self._digests.close()
