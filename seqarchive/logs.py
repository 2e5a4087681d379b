"""Tables to which rows are only added: what was said last of something holds, and the rows before
it are its history. A row without a value says that nothing holds any more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .batches import Batch


class Said(NamedTuple):
    """Something that was said, and by which batch."""

    value: Any
    batch: int


class Log(NamedTuple):
    """A table of this kind.

    Args:
        table: With columns ``id``, ``batch_id``, the keys and the value.
        keys: What a row is about.
        value: What it says.
    """

    table: str
    keys: tuple[str, ...]
    value: str

    @property
    def _is_key(self) -> str:
        return " AND ".join(f"{key} = ?" for key in self.keys)

    def history(self, connection: sqlite3.Connection, *key: Any) -> list[Said]:
        """All that was ever said, the oldest first."""
        return [
            Said(value, batch)
            for value, batch in connection.execute(
                f"SELECT {self.value}, batch_id FROM {self.table} WHERE {self._is_key} ORDER BY id",
                key,
            )
        ]

    def current(self, connection: sqlite3.Connection, *key: Any) -> Any:
        """What holds; None if nothing does."""
        row = connection.execute(
            f"SELECT {self.value} FROM {self.table} WHERE {self._is_key} ORDER BY id DESC LIMIT 1",
            key,
        ).fetchone()
        return None if row is None else row[0]

    @property
    def holding(self) -> str:
        """A query for the rows that hold."""
        keys = ", ".join(self.keys)
        return (
            f"SELECT * FROM {self.table} WHERE id IN"
            f" (SELECT max(id) FROM {self.table} GROUP BY {keys}) AND {self.value} IS NOT NULL"
        )

    def say(self, batch: Batch, *key: Any, value: Any) -> bool:
        """Say something; nothing if it holds already. Returns whether anything changed."""
        if self.current(batch.connection, *key) == value:
            return False
        columns = ", ".join((*self.keys, self.value, "batch_id"))
        marks = ", ".join("?" * (len(key) + 2))
        batch.connection.execute(
            f"INSERT INTO {self.table} ({columns}) VALUES ({marks})", (*key, value, batch.id)
        )
        return True

    def said_by(self, batch: Batch, number: int) -> Iterator[tuple[tuple[Any, ...], Any, int]]:
        """What a batch changed: key, what held before it, and the last batch that changed it."""
        keys = ", ".join(self.keys)
        rows = batch.connection.execute(
            f"SELECT DISTINCT {keys} FROM {self.table} WHERE batch_id = ?", (number,)
        ).fetchall()
        for key in rows:
            history = self.history(batch.connection, *key)
            before = [said.value for said in history if said.batch < number]
            yield key, before[-1] if before else None, history[-1].batch
