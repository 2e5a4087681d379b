"""What the rows of a database that somebody else made may have in them.

SQLite puts any value into any column of a file that is made by hand, and gives it back. So each
value of each answer is looked at when it comes, as the column of the table that it comes from says.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from .. import schema
from ..errors import SourceError

#: More than any id, length or offset, and what a float still has exactly.
_MOST = 1 << 53

_DIGEST_BYTES = {"md5": 16, "sha1": 20} | dict.fromkeys(
    ("sha256", "fai_sha256", "gzi_sha256", "index_sha256"), 32
)

#: Tables that queries join where they have a row, and columns that may be empty for a reason.
_JOINED = frozenset({"stored_names", "adopted_sequences", "adopted_aliases", "batches", "sources"})
_EMPTY = frozenset(
    {
        ("sequences", "shard_id"),
        ("sequences", "offset"),
        ("tracks", "index_path"),
        ("tracks", "index_bytes"),
        ("tracks", "index_sha256"),
        ("client_ids", "name"),
        # Of logs: nothing holds any more.
        ("collection_aliases", "collection_id"),
        ("fhr", "document"),
        ("client_meanings", "target"),
        ("derivations", "uuid"),
    }
)

#: Text of programs, of users and of files, which may have any character.
_FREE = frozenset({"defline", "user", "host", "value"})
_FREE_NAMES = frozenset({("sources", "name"), ("client_ids", "name")})

Check = Callable[[Any], bool]


def _checks() -> dict[tuple[str, str], Check]:
    return {
        (table, column): _check(table, column, kind)
        for table, columns in schema.columns().items()
        for column, kind in columns.items()
    }


def _check(table: str, column: str, kind: type) -> Check:
    if column == "mask":
        return lambda value: type(value) is bytes or value is None
    is_right = _kind(table, column, kind)
    if (table in _JOINED and column != "report") or (table, column) in _EMPTY:
        return lambda value: value is None or is_right(value)
    return is_right


def _kind(table: str, column: str, kind: type) -> Check:
    if kind is bytes:
        size = 32 if table == "sha256" else _DIGEST_BYTES.get(column, 24)
        return lambda value: type(value) is bytes and len(value) == size
    if kind is int:
        least = -_MOST if column == "added" else 0
        return lambda value: type(value) is int and least <= value < _MOST
    if column in ("report", "document"):
        return _is_object
    if column in _FREE or (table, column) in _FREE_NAMES:
        return lambda value: type(value) is str
    return lambda value: type(value) is str and value.isprintable()


def _is_object(value: Any) -> bool:
    """Whether something is a JSON object that can be printed: not too deep, and of characters."""
    try:
        found = json.loads(value) if type(value) is str else None
        json.dumps(found, indent=2, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        return False
    return type(found) is dict


_CHECKS = _checks()
_COMPUTED = {"digest": _CHECKS["sequences", "digest"], "length": _CHECKS["sequences", "length"]}

Columns = Sequence[tuple[Any, ...]]
"""Of each column of an answer: its name, declared type, database, table and name there."""


def checks_of(columns: Columns) -> list[tuple[int, Check]]:
    """What to ask of the values of an answer."""
    found = []
    for n, (name, _, _, table, origin) in enumerate(columns):
        check = _COMPUTED.get(name) if table is None else _CHECKS.get((table, origin))
        if check is not None:
            found.append((n, check))
    return found


def require_right(row: Sequence[Any], checks: list[tuple[int, Check]], columns: Columns) -> None:
    """Raise SourceError for a row that no program of ours has written."""
    for n, is_right in checks:
        if not is_right(row[n]):
            name, _, _, table, origin = columns[n]
            what = f"{table}.{origin}" if table else name
            raise SourceError(f"the database of the release has no sense in {what}")
