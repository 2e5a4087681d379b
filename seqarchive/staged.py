"""Rows of a large batch on their way into trees that have no order of their own.

Digests, and names from many sources, come in no order. Put one by one into the tree of a large
table, each needs another page of it, and a load slows down as the archive grows. Here they wait
in temporary tables and go in sorted, so that a page is taken once for many of them. SQLite keeps
temporary tables in a file of its own, and a few megabytes of them in memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

#: Bound parameters of one statement: below SQLite's oldest limit, 999.
_PARAMETERS = 900

#: Memory for pages of temporary tables, in kibibytes.
_CACHE_KIB = 16_384

#: Digests that are kept in memory, some 30 megabytes.
_RECENT = 200_000

#: Aliases that wait, at least.
_ALIASES = 250_000

_SORTED = "(SELECT * FROM temp.staged_aliases ORDER BY alias, namespace_id, n LIMIT -1)"


def _set_cache(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA temp.cache_size = -{_CACHE_KIB}")


class StagedAliases:
    """Aliases that wait to be added, in the order in which they came.

    Args:
        connection: In a transaction, which everything here is a part of.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self._executemany = connection.executemany
        _set_cache(connection)
        self._execute(
            "CREATE TEMP TABLE staged_aliases (n INTEGER PRIMARY KEY, alias TEXT NOT NULL,"
            " namespace_id INTEGER NOT NULL, sequence_id INTEGER NOT NULL, source INTEGER NOT NULL,"
            " line INTEGER NOT NULL)"
        )
        self._execute(
            "CREATE TEMP TABLE disputed (alias TEXT NOT NULL, namespace_id INTEGER NOT NULL,"
            " PRIMARY KEY (alias, namespace_id)) WITHOUT ROWID"
        )
        self._enough = self._worth_it()
        self._sources: dict[str, int] = {}
        self.n_waiting = 0

    @property
    def are_enough(self) -> bool:
        """Whether so many wait that it is time to merge them."""
        return self.n_waiting >= self._enough

    def add(self, rows: Sequence[tuple[str, int, int, str, int]]) -> None:
        """Have rows wait: alias, namespace, sequence, and the source and the line that say so."""
        source = self._sources.setdefault
        self._executemany(
            "INSERT INTO temp.staged_aliases VALUES (NULL, ?, ?, ?, ?, ?)",
            [(*row[:3], source(row[3], len(self._sources)), row[4]) for row in rows],
        )
        self.n_waiting += len(rows)

    def merge(self, batch_id: int) -> int:
        """Add those that mean nothing yet, the first of several with one name.

        Returns:
            How many were added. What is left is seen by ``disputed``, until ``clear``.
        """
        added = self._execute(
            "INSERT OR IGNORE INTO aliases (alias, namespace_id, sequence_id, batch_id)"
            " SELECT alias, namespace_id, sequence_id, ? FROM temp.staged_aliases"
            " ORDER BY alias, namespace_id, n",
            (batch_id,),
        ).rowcount
        return int(added)

    def disputed(self) -> Iterator[tuple[str, int, int, str, int]]:
        """All rows of those names of which some row says what they do not mean now."""
        self._execute(
            f"INSERT OR IGNORE INTO temp.disputed SELECT t.alias, t.namespace_id FROM {_SORTED} t"
            " CROSS JOIN aliases a ON a.alias = t.alias AND a.namespace_id = t.namespace_id"
            " WHERE a.sequence_id != t.sequence_id"
        )
        sources = list(self._sources)
        for *row, source, line in self._execute(
            "SELECT t.alias, t.namespace_id, t.sequence_id, t.source, t.line"
            " FROM temp.staged_aliases t JOIN temp.disputed d"
            " ON d.alias = t.alias AND d.namespace_id = t.namespace_id ORDER BY t.n"
        ).fetchall():
            yield row[0], row[1], row[2], sources[source], line

    def clear(self) -> None:
        """Have none wait any more."""
        self._execute("DELETE FROM temp.staged_aliases")
        self._execute("DELETE FROM temp.disputed")
        self._enough = self._worth_it()
        self.n_waiting = 0

    def _worth_it(self) -> int:
        """As many as the database has pages: each page of the tree then takes several."""
        (n_pages,) = self._execute("PRAGMA main.page_count").fetchone()
        return max(_ALIASES, int(n_pages))


def ids_of(
    connection: sqlite3.Connection, table: str, digests: Sequence[bytes]
) -> Iterator[tuple[bytes, int]]:
    """Those digests that a table of digests and ids has, with their ids."""
    for at in range(0, len(digests), _PARAMETERS):
        some = digests[at : at + _PARAMETERS]
        marks = ",".join("?" * len(some))
        yield from connection.execute(
            f"SELECT digest, id FROM {table} WHERE digest IN ({marks})", some
        )


class NewDigests:
    """The sequences that a batch has added: the table that leads to them gets them at its end.

    Args:
        connection: In a transaction, which everything here is a part of.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._recent: dict[bytes, int] = {}
        self._has_more = False

    def add(self, rows: Iterable[tuple[bytes, int]]) -> None:
        """Know more sequences: digest and id."""
        self._recent.update(rows)
        if len(self._recent) < _RECENT:
            return
        if not self._has_more:
            _set_cache(self._connection)
            self._execute(
                "CREATE TEMP TABLE new_digests (digest BLOB PRIMARY KEY, id INTEGER NOT NULL)"
                " WITHOUT ROWID"
            )
            self._has_more = True
        rows = sorted(self._recent.items())
        self._connection.executemany("INSERT INTO temp.new_digests VALUES (?, ?)", rows)
        self._recent = {}

    def find(self, digests: Sequence[bytes]) -> dict[bytes, int]:
        """The ids of those that are known."""
        recent = self._recent
        found = {digest: recent[digest] for digest in digests if digest in recent}
        if self._has_more:
            found.update(ids_of(self._connection, "temp.new_digests", digests))
        return found

    def close(self) -> None:
        """Know none any more."""
        self._recent = {}
        if self._has_more:
            self._execute("DROP TABLE temp.new_digests")
            self._has_more = False
