"""Differences between two states of an archive: snapshots, ``master``, or batches of one of them.

States of one archive differ by the batches between them, and only the rows of these are looked
at. States of different archives are compared as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, NamedTuple, TypeVar

from .database import Database
from .identifiers import Alias, Digest, digest_text
from .instances import MASTER, Instance
from .moments import batch_at, same_line


class State(NamedTuple):
    """An instance as it was after a batch."""

    name: str
    """What the user called it."""
    instance: Instance
    batch: int


class Change(NamedTuple):
    """One thing that is different in the second state."""

    kind: str
    """``sequence added``, ``sequence removed``, ``alias added``, ``alias moved`` or
    ``alias retired``."""
    alias: Alias | None
    before: Digest | None
    """The sequence that there was, or what the alias meant."""
    after: Digest | None
    length: int | None = None
    """Of the sequence, in residues."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        found: dict[str, Any] = {"change": self.kind}
        if self.alias is not None:
            found["alias"] = str(self.alias)
        for name, digest in (("from", self.before), ("to", self.after)):
            if digest is not None:
                found[name] = f"SQ.{digest}"
        if self.length is not None:
            found["length"] = self.length
        return found


def state_of(instance: Instance, text: str) -> State:
    """What a person calls a state: ``master``, ``latest``, a snapshot, or a moment of ``instance``.

    Raises:
        NotFound, BadName: There is none of that name.
    """
    if text == MASTER:
        named = Instance(instance.root)
        named.require()
    else:
        try:
            named = Instance.at(instance.root, text)
        except ValueError:
            named = instance
    if not (named.is_snapshot or text == MASTER):
        instance.require()
        return State(text, instance, batch_at(instance, text))
    with closing(Database.of(named)) as database:
        return State(named.name, named, database.last_batch())


def diff(first: State, second: State) -> Iterator[Change]:
    """What changed from one state to another: sequences, then aliases.

    Memory does not depend on how much changed.
    """
    with ExitStack() as stack:
        databases = [stack.enter_context(_open(state)) for state in (first, second)]
        if not same_line(databases[0], databases[1], min(first.batch, second.batch)):
            yield from _compare(databases[0], databases[1])
            return
    older, newer = sorted((first, second), key=lambda state: state.batch)
    with closing(Database.of(newer.instance)) as database:
        changes = _between(database, older.batch, newer.batch)
        yield from changes if older is first else map(_undone, changes)


@contextmanager
def _open(state: State) -> Iterator[Database]:
    with closing(Database.of(state.instance, state.batch)) as database, database.one_commit():
        yield database


def _undone(change: Change) -> Change:
    kinds = {
        "sequence added": "sequence removed",
        "alias added": "alias retired",
        "alias retired": "alias added",
    }
    kind = kinds.get(change.kind, change.kind)
    return Change(kind, change.alias, change.after, change.before, change.length)


# --- one archive ------------------------------------------------------------------------------

_ADDED_SEQUENCES = """
    SELECT digest, length FROM sequences WHERE batch_id > :old AND batch_id <= :new ORDER BY id"""

#: Aliases that meant nothing before and mean one thing since: most of a load.
_ADDED_ALIASES = """
    SELECT n.name, a.alias, s.digest FROM aliases a
    JOIN namespaces n ON n.id = a.namespace_id JOIN sequences s ON s.id = a.sequence_id
    WHERE a.batch_id > :old AND a.batch_id <= :new AND NOT EXISTS (
        SELECT 1 FROM ended_aliases e
        WHERE e.alias = a.alias AND e.namespace_id = a.namespace_id AND e.to_batch > :old)"""

#: The digest of what an alias meant after a batch; nothing if that was reclaimed.
_MEANING = """(SELECT s.digest FROM sequences s WHERE s.id = coalesce(
    (SELECT e.sequence_id FROM ended_aliases e WHERE e.alias = t.alias
        AND e.namespace_id = t.namespace_id AND e.from_batch <= {at} AND e.to_batch > {at}),
    (SELECT a.sequence_id FROM aliases a WHERE a.alias = t.alias
        AND a.namespace_id = t.namespace_id AND a.batch_id <= {at})))"""

#: Aliases that have a past in which the two states may differ.
_CHANGED_ALIASES = f"""
    WITH t AS (
        SELECT DISTINCT alias, namespace_id FROM ended_aliases
        WHERE to_batch > :old AND from_batch <= :new),
    m AS (
        SELECT t.namespace_id, t.alias, {_MEANING.format(at=":old")} AS old,
            {_MEANING.format(at=":new")} AS new
        FROM t)
    SELECT n.name, m.alias, m.old, m.new
    FROM m JOIN namespaces n ON n.id = m.namespace_id
    WHERE m.old IS NOT m.new ORDER BY m.alias, n.name"""


def _between(database: Database, old: int, new: int) -> Iterator[Change]:
    bounds = {"old": old, "new": new}
    rows = database.connection.execute
    for digest, length in rows(_ADDED_SEQUENCES, bounds):
        yield Change("sequence added", None, None, digest_text(digest), length)
    for namespace, alias, digest in rows(_ADDED_ALIASES, bounds):
        yield Change("alias added", Alias(namespace, alias), None, digest_text(digest))
    for namespace, alias, before, after in rows(_CHANGED_ALIASES, bounds):
        yield _alias_change(Alias(namespace, alias), before, after)


def _alias_change(alias: Alias, before: bytes | None, after: bytes | None) -> Change:
    kind = "moved"
    if before is None or after is None:
        kind = "added" if before is None else "retired"
    return Change(
        f"alias {kind}",
        alias,
        None if before is None else digest_text(before),
        None if after is None else digest_text(after),
    )


# --- any two archives -------------------------------------------------------------------------


def _compare(first: Database, second: Database) -> Iterator[Change]:
    for before, after in _merged(first.digests(), second.digests(), lambda row: row[0]):
        if before is None and after is not None:
            yield Change("sequence added", None, None, digest_text(after[0]), after[1])
        elif before is not None and after is None:
            yield Change("sequence removed", None, digest_text(before[0]), None, before[1])
    for old, new in _merged(first.aliases(), second.aliases(), lambda row: row[0][::-1]):
        meanings = (old and old[1], new and new[1])
        one = new or old
        if one is not None and meanings[0] != meanings[1]:
            yield _alias_change(one[0], *meanings)


R = TypeVar("R")


def _merged(
    first: Iterable[R], second: Iterable[R], key: Callable[[R], Any]
) -> Iterator[tuple[R | None, R | None]]:
    """Pairs of the rows of two sorted streams that have the same key; None where there is none."""
    one, other = iter(first), iter(second)
    a, b = next(one, None), next(other, None)
    while a is not None or b is not None:
        if b is None or (a is not None and key(a) < key(b)):
            yield a, None
            a = next(one, None)
        elif a is None or key(b) < key(a):
            yield None, b
            b = next(other, None)
        else:
            yield a, b
            a, b = next(one, None), next(other, None)
