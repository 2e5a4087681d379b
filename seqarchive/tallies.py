"""How many there are of what is too much to be counted by whoever asks.

To count twenty million aliases is to read them all, be it from a bucket over the network. So the
counts are kept: in ``meta`` under ``tally``, as of a batch. A batch notices what it adds and
removes, by triggers of its own connection, and its commit keeps the sums. Counts of another batch
than the last one, or that cannot be read, are not used, be it that another version was at work: the
rows are counted then, and with the next batch the counts are kept again. ``verify`` compares both.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from dataclasses import asdict, dataclass, field
from operator import itemgetter
from typing import Any

#: Where the counts are in ``meta``.
KEY = "tally"

#: No count is larger.
_MOST = 1 << 48


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of rows."""

    sequences: int = 0
    ended_aliases: int = 0
    aliases: dict[int, int] = field(default_factory=dict)
    """Of current ones, by id of their namespace, where there are any."""


def tally(connection: sqlite3.Connection) -> Tally:
    """The counts that are kept of all that is there now, or else counted."""
    found = kept(connection)
    return counted(connection) if found is None else found


def kept(connection: sqlite3.Connection) -> Tally | None:
    """The counts that are kept; None if these are none, or of another batch than the last one."""
    (last,) = connection.execute("SELECT max(id) FROM batches").fetchone()
    if last is None:
        return Tally()
    found = connection.execute("SELECT value FROM meta WHERE key = ?", (KEY,)).fetchone()
    if found is None:
        return None
    try:
        parsed = json.loads(found[0])
        batch = parsed.pop("batch")
        parsed["aliases"] = {int(key): number for key, number in parsed["aliases"].items()}
        read = Tally(**parsed)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    numbers: list[Any] = [read.sequences, read.ended_aliases, *read.aliases.values()]
    if batch != last or not all(type(n) is int and 0 <= n <= _MOST for n in numbers):
        return None
    return read


def counted(connection: sqlite3.Connection) -> Tally:
    """The counts, from all rows of the tables that the connection sees."""
    (n_sequences,) = connection.execute("SELECT count(*) FROM sequences").fetchone()
    (n_ended,) = connection.execute("SELECT count(*) FROM ended_aliases").fetchone()
    # One pass, however many namespaces there are; and nothing is sorted.
    rows = connection.execute("SELECT namespace_id FROM aliases")
    return Tally(n_sequences, n_ended, dict(Counter(map(itemgetter(0), rows))))


def is_wrong(connection: sqlite3.Connection) -> bool:
    """Whether counts are kept that are not those of the rows."""
    found = kept(connection)
    return found is not None and found != counted(connection)


def forget(connection: sqlite3.Connection) -> None:
    """Keep no counts until the next batch does, which counts anew."""
    connection.execute("DELETE FROM meta WHERE key = ?", (KEY,))


class TallyChanges:
    """What a batch adds to the counts.

    Args:
        connection: In the transaction of the batch, which has not changed anything yet.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self._connection = connection
        self._before = kept(connection)
        for statement in _WATCH if self._before is not None else ():
            self._execute(statement)

    def keep(self, batch_id: int, n_sequences: int) -> None:
        """Keep the counts as of this batch, of which all is done.

        Args:
            n_sequences: How many it added; who adds them knows that, and triggers cost time.
        """
        if self._before is None:
            now = counted(self._connection)
        else:
            aliases = Counter(self._before.aliases)
            aliases.update(dict(self._execute("SELECT id, n FROM temp.changes WHERE id > 0")))
            n_gone, n_ended = (
                n for (n,) in self._execute("SELECT n FROM temp.changes WHERE id <= 0 ORDER BY id")
            )
            now = Tally(
                self._before.sequences + n_sequences + n_gone,
                self._before.ended_aliases + n_ended,
                {key: n for key, n in sorted(aliases.items()) if n},
            )
            for statement in _UNWATCH:
                self._execute(statement)
        self._execute(
            "INSERT OR REPLACE INTO meta VALUES (?, ?)",
            (KEY, json.dumps({"batch": batch_id, **asdict(now)})),
        )


#: Where changes are counted, besides names by their namespace: sequences that go, names that ended.
_SEQUENCES, _ENDED = -1, 0

#: Table, what happens to its rows, where that is counted, and as how many.
_WATCHED = (
    ("sequences", "DELETE", str(_SEQUENCES), -1),
    ("ended_aliases", "INSERT", str(_ENDED), 1),
    ("ended_aliases", "DELETE", str(_ENDED), -1),
    ("aliases", "INSERT", "NEW.namespace_id", 1),
    ("aliases", "DELETE", "OLD.namespace_id", -1),
)

_WATCH = (
    "CREATE TEMP TABLE changes (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)",
    f"INSERT INTO temp.changes VALUES ({_SEQUENCES}, 0), ({_ENDED}, 0)",
    "INSERT INTO temp.changes SELECT id, 0 FROM namespaces",
    # Not at the first alias: within a trigger, a conflict is met as the outer statement says.
    "CREATE TEMP TRIGGER tally_namespaces AFTER INSERT ON main.namespaces"
    " BEGIN INSERT INTO changes VALUES (NEW.id, 0); END",
    *(
        f"CREATE TEMP TRIGGER tally_{table}_{event} AFTER {event} ON main.{table}"
        f" BEGIN UPDATE changes SET n = n + {amount} WHERE id = {row}; END"
        for table, event, row, amount in _WATCHED
    ),
)

_UNWATCH = (
    "DROP TRIGGER temp.tally_namespaces",
    *(f"DROP TRIGGER temp.tally_{table}_{event}" for table, event, _, _ in _WATCHED),
    "DROP TABLE temp.changes",
)
