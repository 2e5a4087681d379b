"""SQLite over chunked files: its own code reads the pages, we only bring them.

Python's ``sqlite3`` cannot be given files of ours; apsw, which brings an SQLite of its own, can.
What comes from here behaves like a connection of ``sqlite3``, as far as look-ups need one.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import apsw

from ..errors import SourceError
from ..forks import ForkGate, ForkLock
from .files import ChunkedFile
from .rows import checks_of, require_right

_NAME = "seqarchive"

#: Kibibytes of pages that a connection keeps.
_CACHE_KIB = 8_000

_files: dict[str, tuple[ChunkedFile, ForkGate]] = {}
_numbers = itertools.count()
_lock = ForkLock()


class _OpenFile:
    """What apsw asks of an open file that never changes."""

    def __init__(self, file: ChunkedFile, gate: ForkGate) -> None:
        self._file = file
        self._gate = gate

    def xRead(self, amount: int, offset: int) -> bytes:
        with self._gate.outside():
            return self._file.read(offset, offset + amount)

    def xFileSize(self) -> int:
        return self._file.n_bytes

    def xDeviceCharacteristics(self) -> int:
        return apsw.SQLITE_IOCAP_IMMUTABLE

    def xSectorSize(self) -> int:
        return 4096

    def xLock(self, level: int) -> None:
        pass

    def xUnlock(self, level: int) -> None:
        pass

    def xCheckReservedLock(self) -> bool:
        return False

    def xFileControl(self, op: int, pointer: int) -> bool:
        return False

    def xClose(self) -> None:
        pass


class _Files(apsw.VFS):
    """The files that are registered here, by the names that they were given."""

    def __init__(self) -> None:
        super().__init__(_NAME, base="")

    def xOpen(  # type: ignore[override]  # apsw asks for the methods, not for its class
        self, name: Any, flags: list[int]
    ) -> _OpenFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path not in _files:
            raise apsw.CantOpenError("only published databases are read here")
        flags[1] = apsw.SQLITE_OPEN_READONLY
        return _OpenFile(*_files[path])

    def xAccess(self, path: str, flags: int) -> bool:
        return False

    def xFullPathname(self, name: str) -> str:
        return name


_vfs: list[_Files] = []


def connect(file: ChunkedFile) -> sqlite3.Connection:
    """Open a database that lies in a file. It is read, and nothing else."""
    gate = ForkGate()
    with gate, _lock:
        if not _vfs:
            _vfs.append(_Files())
        name = f"/{next(_numbers)}"
        _files[name] = file, gate
    try:
        with gate, _as_sqlite3():
            connection = apsw.Connection(name, flags=apsw.SQLITE_OPEN_READONLY, vfs=_NAME)
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    finally:
        with _lock:
            del _files[name]
    # No subclass: what is used of it is below, and nothing else may be.
    return cast(sqlite3.Connection, _Connection(connection, gate))


class DamagedDatabase(SourceError, sqlite3.DatabaseError):
    """What SQLite says of a database that somebody published."""


@contextmanager
def _as_sqlite3() -> Iterator[None]:
    """Errors of apsw become those of ``sqlite3``; ours, from reading, pass through."""
    try:
        yield
    except (apsw.Error, UnicodeDecodeError) as error:
        raise DamagedDatabase(f"the database of the release is damaged ({error})") from None


class _Connection:
    """What look-ups use of ``sqlite3.Connection``."""

    def __init__(self, connection: apsw.Connection, gate: ForkGate) -> None:
        self._connection = connection
        self._gate = gate

    def execute(
        self, statement: str, parameters: Sequence[Any] | Mapping[str, Any] = ()
    ) -> _Cursor:
        with self._gate, _as_sqlite3():
            return _Cursor(self._connection.execute(statement, parameters), self._gate)

    def cursor(self) -> _Connection:
        return self

    @property
    def in_transaction(self) -> bool:
        return bool(self._connection.in_transaction)

    def close(self) -> None:
        with self._gate:
            self._connection.close()


class _Cursor:
    """What look-ups use of ``sqlite3.Cursor``; with an eye on what comes."""

    def __init__(self, cursor: apsw.Cursor, gate: ForkGate) -> None:
        self._cursor = cursor
        self._gate = gate
        try:
            self._columns = cursor.description_full
        except apsw.ExecutionCompleteError:  # no rows
            self._columns = ()
        self._checks = checks_of(self._columns)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        while (row := self.fetchone()) is not None:
            yield row

    def fetchone(self) -> tuple[Any, ...] | None:
        with self._gate, _as_sqlite3():
            row = self._cursor.fetchone()
        if row is not None:
            require_right(row, self._checks, self._columns)
        return row

    def fetchall(self) -> list[tuple[Any, ...]]:
        return list(self)
