"""Aliases of a batch: what they shall mean, and what is done if they mean something else."""

from __future__ import annotations

import enum
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from .errors import AliasConflict
from .identifiers import Alias
from .staged import StagedAliases

#: Bound parameters of one statement: below SQLite's oldest limit, 999.
_PARAMETERS = 900

#: Aliases that make a batch a large one.
_MANY = 100_000


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


class NewAliases:
    """What a batch does to the meanings of aliases.

    Args:
        connection: In the transaction of the batch.
        digest_of: The digest of a sequence, for words about a conflict.
    """

    def __init__(
        self, connection: sqlite3.Connection, batch_id: int, digest_of: Callable[[int], str]
    ) -> None:
        self._connection = connection
        self._batch_id = batch_id
        self._digest_of = digest_of
        self._counts = AliasCounts()
        self._n_added = 0
        self._staged: StagedAliases | None = None
        self._staged_how = OnConflict.ERROR

    def add_former(self, key: AliasId, sequence_id: int) -> int:
        """Record what an alias meant before it came here; 0 if that is recorded already.

        It was so in no batch, and is no answer to anybody but those who ask for the history.
        """
        return self._connection.execute(
            "INSERT INTO ended_aliases SELECT ?, ?, ?, ?, ? WHERE NOT EXISTS ("
            " SELECT 1 FROM ended_aliases WHERE alias = ? AND namespace_id = ?"
            " AND sequence_id = ?)",
            (*key, sequence_id, self._batch_id, self._batch_id, *key, sequence_id),
        ).rowcount

    def add(self, namings: Sequence[AliasRow], on_conflict: OnConflict) -> None:
        """Add aliases; counts what became of each.

        Raises:
            AliasConflict: One means another sequence already, and ``on_conflict`` is ERROR.
        """
        self._n_added += len(namings)
        if self._staged is None and self._n_added > _MANY:
            self._staged = StagedAliases(self._connection)
        if self._staged is not None:
            self._stage(namings, on_conflict, self._staged)
            return
        inserted = self._connection.executemany(
            "INSERT OR IGNORE INTO aliases (alias, namespace_id, sequence_id, batch_id)"
            f" VALUES (?, ?, ?, {self._batch_id})",
            [naming[:3] for naming in namings],
        ).rowcount
        self._counts.added += inserted
        n_conflicts = 0
        if inserted < len(namings):
            n_conflicts = self._resolve(namings, on_conflict)
        self._counts.known += len(namings) - inserted - n_conflicts

    @property
    def counts(self) -> AliasCounts:
        """What became of all aliases so far; those that wait are added first.

        Raises:
            AliasConflict: As for ``add``.
        """
        return self.settle()

    def _stage(
        self, namings: Sequence[AliasRow], on_conflict: OnConflict, staged: StagedAliases
    ) -> None:
        if on_conflict is not self._staged_how:
            self.settle()
            self._staged_how = on_conflict
        staged.add(namings)
        if staged.are_enough:
            self.settle()

    def settle(self) -> AliasCounts:
        """Add the aliases that wait, if any do. Returns what became of all so far.

        Raises:
            AliasConflict: As for ``add``.
        """
        staged = self._staged
        if staged is None or not staged.n_waiting:
            return self._counts
        n_waiting = staged.n_waiting
        inserted = staged.merge(self._batch_id)
        self._counts.added += inserted
        n_conflicts = 0
        if inserted < n_waiting:
            rows = map(AliasRow._make, staged.disputed())
            while some := list(islice(rows, _PARAMETERS)):
                n_conflicts += self._resolve(some, self._staged_how)
        self._counts.known += n_waiting - inserted - n_conflicts
        staged.clear()
        return self._counts

    def _resolve(self, namings: Sequence[AliasRow], on_conflict: OnConflict) -> int:
        """Do with conflicts what was asked for. Returns how many there are."""
        n_conflicts = 0
        meanings = self._meanings(namings)
        for naming in namings:
            sequence_id, since = meanings[naming[:2]]
            if sequence_id == naming.sequence_id:
                continue
            n_conflicts += 1
            self._counts.conflicts.append(self._conflict(naming, sequence_id, since))
            if on_conflict is OnConflict.KEEP:
                self._counts.kept += 1
            elif on_conflict is OnConflict.REPLACE:
                meanings[naming[:2]] = self._move(naming, sequence_id, since)
        if n_conflicts and on_conflict is OnConflict.ERROR:
            raise AliasConflict(
                f"{self._counts.conflicts[0]}"
                + (f" ({n_conflicts} conflicts so far)" if n_conflicts > 1 else "")
                + "; nothing was changed: use --on-conflict keep or replace",
                self._counts.conflicts,
            )
        return n_conflicts

    def _meanings(self, namings: Sequence[AliasRow]) -> dict[tuple[str, int], tuple[int, int]]:
        """What aliases mean now: sequence, and since which batch."""
        names = list({naming.alias for naming in namings})
        found: dict[tuple[str, int], tuple[int, int]] = {}
        for at in range(0, len(names), _PARAMETERS):
            some = names[at : at + _PARAMETERS]
            marks = ",".join("?" * len(some))
            for alias, namespace_id, sequence_id, batch_id in self._connection.execute(
                "SELECT alias, namespace_id, sequence_id, batch_id FROM aliases"
                f" WHERE alias IN ({marks})",
                some,
            ):
                found[alias, namespace_id] = (sequence_id, batch_id)
        return found

    def _move(self, naming: AliasRow, sequence_id: int, since: int) -> tuple[int, int]:
        """Have an alias mean another sequence. Returns what it means now, and since when."""
        key = AliasId(*naming[:2])
        self._counts.moved += 1
        self._end(key, sequence_id, since)
        return naming.sequence_id, self._begin(key, naming.sequence_id)

    def retire(self, alias: Alias) -> bool:
        """Have an alias mean nothing any more; counts it. False if it means nothing now."""
        self.settle()
        found = self._connection.execute(
            "SELECT a.alias, a.namespace_id, a.sequence_id, a.batch_id FROM aliases a"
            " JOIN namespaces n ON n.id = a.namespace_id"
            " WHERE a.alias = ? AND n.name = ? COLLATE NOCASE",
            (alias.alias, alias.namespace),
        ).fetchone()
        if found is None:
            return False
        name, namespace_id, sequence_id, since = found
        self._end(AliasId(name, namespace_id), sequence_id, since)
        self._counts.retired += 1
        return True

    def _end(self, key: AliasId, sequence_id: int, since: int) -> None:
        self._connection.execute("DELETE FROM aliases WHERE alias = ? AND namespace_id = ?", key)
        if since != self._batch_id:  # a meaning that lasted no batch is no history
            self._connection.execute(
                "INSERT INTO ended_aliases VALUES (?, ?, ?, ?, ?)",
                (*key, sequence_id, since, self._batch_id),
            )

    def _begin(self, key: AliasId, sequence_id: int) -> int:
        since = self._batch_id
        resumed = self._connection.execute(
            "SELECT rowid, from_batch FROM ended_aliases"
            " WHERE alias = ? AND namespace_id = ? AND to_batch = ? AND sequence_id = ?",
            (*key, self._batch_id, sequence_id),
        ).fetchone()
        if resumed is not None:  # ended by this batch itself: it never ended
            self._connection.execute("DELETE FROM ended_aliases WHERE rowid = ?", resumed[:1])
            since = resumed[1]
        self._connection.execute(
            "INSERT INTO aliases VALUES (?, ?, ?, ?)", (*key, sequence_id, since)
        )
        return int(since)

    def _conflict(self, naming: AliasRow, sequence_id: int, since: int) -> str:
        (namespace,) = self._connection.execute(
            "SELECT name FROM namespaces WHERE id = ?", (naming.namespace_id,)
        ).fetchone()
        old, new = map(self._digest_of, (sequence_id, naming.sequence_id))
        when = "in this load" if since == self._batch_id else f"since batch {since}"
        return (
            f"{where(naming.source, naming.line)}{Alias(namespace, naming.alias)} "
            f"is SQ.{new} here but SQ.{old} {when}"
        )

    def agree(self, namings: Sequence[AliasRow]) -> bool:
        """Whether each alias means the sequence that it shall mean, or nothing yet."""
        self.settle()
        meanings = self._meanings(namings)
        return all(
            meanings.setdefault(row[:2], (row.sequence_id, self._batch_id))[0] == row.sequence_id
            for row in namings
        )

    def add_times(self, rows: Iterable[tuple[str, int, int, int]]) -> None:
        """Record when aliases got their meaning where they were adopted from (alias, namespace,
        sequence, Unix time); what is recorded already stays."""
        self._connection.executemany(
            "INSERT OR IGNORE INTO adopted_aliases VALUES (?, ?, ?, ?)", rows
        )
