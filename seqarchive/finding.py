"""Finding sequences by any of their names, with a connection for each thread of each process.

What was found is remembered until somebody commits, and not a moment longer.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Sequence

from .database import Database, Location, Meaning
from .errors import Ambiguous, BadName, Corrupt, NotFound
from .identifiers import (
    AliasKey,
    bare_keys,
    check_alias,
    digest_text,
    parse_alias,
    qualified_key,
)

#: Identifiers whose place a thread remembers until the next commit.
_REMEMBERED = 50_000


class _Memory:
    """What one thread of one process has: a connection, and what it found with it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.generation = database.generation()
        self.located: dict[str, Location] = {}

    def is_current(self) -> bool:
        """Whether nobody has committed since what is remembered was found."""
        return self.database.generation() == self.generation

    def forget(self) -> None:
        """Drop what is remembered. The generation is read first: a commit in between is seen."""
        self.generation = self.database.generation()
        self.located = {}


class Finder:
    """Finds sequences in a database. May be shared between threads and across a fork.

    Args:
        open_database: Opens it, for one thread of one process.
    """

    def __init__(self, open_database: Callable[[], Database]) -> None:
        self._open_database = open_database
        self._local = threading.local()
        self._databases: weakref.WeakSet[Database] = weakref.WeakSet()
        self._memory()
        _finders.add(self)

    @property
    def database(self) -> Database:
        """The connection of the calling thread."""
        return self._memory().database

    def close(self) -> None:
        """Close all connections. They are opened again when they are needed."""
        for database in list(self._databases):
            database.close()
        self._local = threading.local()

    def _memory(self) -> _Memory:
        try:
            memory: _Memory = self._local.memory
        except AttributeError:
            database = self._open_database()
            self._databases.add(database)
            memory = self._local.memory = _Memory(database)
        if memory.database.is_unguarded:
            memory.database.generation()  # opens the file again if it has changed
        return memory

    def after_fork(self) -> None:
        """In a child: SQLite connections must not cross a fork; not even to be closed."""
        import ctypes  # noqa: PLC0415  (2 ms that nobody else needs)

        _abandoned.append((self._local, self._databases))
        for database in self._databases:
            # One reference too many: not even the end of the process deallocates it.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(database.connection))
        self._local = threading.local()
        self._databases = weakref.WeakSet()

    def locate(self, identifier: str) -> Location:
        """The one sequence that an identifier stands for.

        Raises:
            NotFound, Ambiguous: There is none, or more than one.
        """
        memory = self._memory()
        found = memory.located.get(identifier)
        if found is not None:
            # Only what is remembered can be stale; a look-up sees the last commit anyhow. Each
            # of the two costs the locking of a read transaction, so do one of them.
            if memory.is_current():
                return found
            memory.forget()
        found = _found(memory.database, identifier)
        if len(memory.located) >= _REMEMBERED:
            memory.located.clear()
        memory.located[identifier] = found
        return found

    def locate_many(self, identifiers: Sequence[str]) -> list[Location]:
        """The sequences of many identifiers; those in one namespace by one query for 900."""
        database = self.database
        found: dict[str, Location] = {}
        by_namespace: dict[str, list[str]] = {}
        for identifier in identifiers:
            namespace, colon, alias = identifier.partition(":")
            if colon and alias.isprintable():  # nothing else is a name
                by_namespace.setdefault(namespace, []).append(alias)
        for prefix, aliases in by_namespace.items():
            key = qualified_key(f"{prefix}:.")
            if not isinstance(key, AliasKey) or key.namespace is None:
                continue
            located = database.locate_aliases(key.namespace, aliases)
            found.update((f"{prefix}:{alias}", location) for alias, location in located)
        return [found.get(identifier) or self.locate(identifier) for identifier in identifiers]


def _found(database: Database, identifier: str) -> Location:
    try:
        return _find_one(database, identifier)
    except UnicodeEncodeError:  # bytes that are no text, from the command line
        raise NotFound(f"{identifier!a} is not in the archive") from None
    except (UnicodeDecodeError, sqlite3.DatabaseError) as error:
        if "locked" in str(error):
            raise
        raise Corrupt(f"the database is damaged ({error}); run `seqarchive verify`") from None


def _find_one(database: Database, identifier: str) -> Location:
    """The one sequence, by one statement if the identifier has a namespace; most have."""
    key = qualified_key(identifier)
    found = database.locate(key) if key is not None else []
    if len(found) == 1:
        return found[0]
    with database.one_commit():
        return _find(database, identifier)


def _find(database: Database, identifier: str) -> Location:
    key = qualified_key(identifier)
    found = database.locate(key) if key is not None else []
    if not found:
        by_id: dict[int, Location] = {}
        for bare in bare_keys(identifier):
            by_id.update((location.id, location) for location in database.locate(bare))
        found = list(by_id.values())
    if len(found) == 1:
        return found[0]
    if found:
        raise _ambiguous(database, identifier, found)
    raise NotFound(_not_found(database, identifier))


def _ambiguous(database: Database, identifier: str, found: list[Location]) -> Ambiguous:
    candidates = database.candidates(identifier)
    named = {sequence_id for _, sequence_id in candidates}
    names = [str(alias) for alias, _ in candidates] + [
        "ga4gh:SQ." + digest_text(location.digest) for location in found if location.id not in named
    ]
    return Ambiguous(
        f"{identifier!r} stands for {len(found)} sequences: {', '.join(names[:8])}"
        f"{', ...' if len(names) > 8 else ''}; say which namespace",
        names,
    )


def _not_found(database: Database, identifier: str) -> str:
    message = f"{identifier!r} is not in the archive"
    if database.at is not None:
        message += f" as of batch {database.at}"
    namespace, colon, alias = identifier.partition(":")
    if colon and namespace.lower() == "sha256" and not database.keeps_sha256():
        return f"{message}: SHA-256 is not kept here (`seqarchive digests add sha256`)"
    try:
        name = check_alias(alias if colon else identifier)
    except BadName:
        return message
    former = _former_meaning(database, identifier) if colon else None
    if former is not None:
        return (
            f"{message}; it meant SQ.{digest_text(former.digest)} until batch {former.to_batch} "
            "(see `seqarchive log --alias`)"
        )
    versions = database.versions_of(name)
    if versions:
        return f"{message}; there is {', '.join(map(str, versions))}"
    return message


def _former_meaning(database: Database, identifier: str) -> Meaning | None:
    """What a name meant last that means nothing any more."""
    try:
        meanings = database.history(parse_alias(identifier))
    except BadName:
        return None
    ended = [one for one in meanings if one.to_batch is not None and one.digest is not None]
    return ended[-1] if ended else None


# --- forks ------------------------------------------------------------------------------------

_finders: weakref.WeakSet[Finder] = weakref.WeakSet()
_abandoned: list[object] = []


def _after_fork_in_child() -> None:
    for finder in list(_finders):
        finder.after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)
