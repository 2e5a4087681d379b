"""Changes of a registry: one transaction, in which what is known already adds nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Integer, Table, Text, cast, delete, func, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from .. import namespaces
from ..errors import AliasConflict, BadName, Conflict, NotFound
from ..genomes.store_entries import StoreEntry
from ..identifiers import Alias, check_alias, parse_digest
from ..new_aliases import OnConflict
from ..seqcol.digests import CollectionDigests, Member, digests_of, level2
from ..sources import shown
from . import tables
from .collections import packed
from .files import Access, FileFacts
from .tables import ACCESS, ALIASES, ARRAYS, COLLECTIONS, FHR, FILES, KEPT, META, STORES

#: Of the lock that is held while tables are made.
_LOCK = 0x5EA6C01

#: Names that are written with one statement.
_SOME = 5_000

_KINDS = ("sequence", "collection")


def prepare(connection: Connection) -> None:
    """Make the tables of a registry, if there are none."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    tables.ALL.create_all(connection)
    now = _now()
    facts = {"version": str(tables.VERSION), "created": now, "changed": now, "changes": "0"}
    _add(connection, META, [{"key": key, "value": value} for key, value in facts.items()])


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _add(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows, but for those whose key is there already."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    for at in range(0, len(rows), _SOME):
        connection.execute(insert(table).on_conflict_do_nothing(), rows[at : at + _SOME])


class Changes:
    """One transaction. Who comes second waits here until the first one is done."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._n_new = 0
        # The row is locked by that, and with it the registry.
        connection.execute(update(META).where(META.c.key == "changes").values(value=META.c.value))

    def finish(self) -> None:
        """Note that something changed, if it did."""
        if not self._n_new:
            return
        said = update(META).values
        count = cast(cast(META.c.value, Integer) + 1, Text)
        self._connection.execute(said(value=count).where(META.c.key == "changes"))
        self._connection.execute(said(value=_now()).where(META.c.key == "changed"))

    def add_collection(self, members: Iterable[Member]) -> tuple[CollectionDigests, bool]:
        """Have a collection. Returns its digests, and whether it is new."""
        found = list(members)
        digests = digests_of(found)
        known = select(COLLECTIONS.c.id).where(COLLECTIONS.c.digest == digests.digest)
        if self._connection.scalar(known) is not None:
            return digests, False
        arrays = level2(found)
        kept = {getattr(digests, name): packed(arrays[name]) for name in KEPT}
        _add(
            self._connection,
            ARRAYS,
            [{"digest": digest, "data": data} for digest, data in kept.items()],
        )
        row = {
            **digests._asdict(),
            "n_members": len(found),
            "n_residues": sum(one.length for one in found),
            "created": _now(),
        }
        _add(self._connection, COLLECTIONS, [row])
        self._n_new += 1
        return digests, True

    def add_names(
        self,
        kind: str,
        names: Iterable[tuple[Alias, str]],
        on_conflict: OnConflict = OnConflict.ERROR,
    ) -> int:
        """Have names mean sequences or collections. Returns how many are new, or mean others now.

        Args:
            kind: ``sequence`` or ``collection``.
            names: Aliases and digests.

        Raises:
            BadName: An alias that can be none. AliasConflict: One means another already.
        """
        assert kind in _KINDS
        n_new = 0
        conflicts: list[str] = []
        waiting = iter(names)
        while some := [one for _, one in zip(range(_SOME), waiting, strict=False)]:
            n_new += self._add_names(kind, some, on_conflict, conflicts)
        if conflicts and on_conflict is OnConflict.ERROR:
            raise AliasConflict(
                f"{conflicts[0]}; nothing was changed: use --on-conflict keep or replace", conflicts
            )
        self._n_new += n_new
        return n_new

    def _add_names(
        self,
        kind: str,
        names: list[tuple[Alias, str]],
        on_conflict: OnConflict,
        conflicts: list[str],
    ) -> int:
        wanted: dict[tuple[str, str], tuple[Alias, str]] = {}
        for alias, digest in names:
            key = (check_alias(alias.alias), _key(alias.namespace))
            earlier = wanted.setdefault(key, (alias, parse_digest(digest)))
            if earlier[1] != digest:
                conflicts.append(f"{alias} is {digest} here but {earlier[1]} already")
        rows = self._connection.execute(
            select(ALIASES).where(
                ALIASES.c.kind == kind, ALIASES.c.alias.in_({alias for alias, _ in wanted})
            )
        )
        known = {(row.alias, row.namespace_key): row.digest for row in rows}
        new, moved = [], []
        for key, (alias, digest) in wanted.items():
            now = known.get(key)
            if now is None:
                new.append((key, alias, digest))
            elif now != digest:
                conflicts.append(f"{alias} is {digest} here but {now} already")
                if on_conflict is OnConflict.REPLACE:
                    moved.append((key, digest))
        for (text_, namespace), digest in moved:
            self._connection.execute(
                update(ALIASES)
                .where(
                    ALIASES.c.kind == kind,
                    ALIASES.c.alias == text_,
                    ALIASES.c.namespace_key == namespace,
                )
                .values(digest=digest)
            )
        _add(
            self._connection,
            ALIASES,
            [
                {
                    "kind": kind,
                    "alias": text_,
                    "namespace_key": namespace,
                    "namespace": alias.namespace,
                    "digest": digest,
                }
                for (text_, namespace), alias, digest in new
            ],
        )
        return len(new) + len(moved)

    def say_title(self, digest: str, title: str, on_conflict: OnConflict) -> bool:
        """Call a collection something that people read. Returns whether that is new.

        Raises:
            Conflict: It is called something else, and ``on_conflict`` is ERROR.
        """
        self._require(digest)
        of_this = COLLECTIONS.c.digest == digest
        now = self._connection.scalar(select(COLLECTIONS.c.title).where(of_this))
        if now == title or (now is not None and on_conflict is OnConflict.KEEP):
            return False
        if now is not None and on_conflict is OnConflict.ERROR:
            raise Conflict(
                f"the collection {digest} is called {now!r} already, not {title!r}; nothing was "
                "changed: use --on-conflict keep or replace"
            )
        self._connection.execute(update(COLLECTIONS).where(of_this).values(title=title))
        self._n_new += 1
        return True

    def say_fhr(self, digest: str, document: Mapping[str, Any]) -> bool:
        """Say something of a collection, in the place of what was said. Returns whether it is
        something new.

        Raises:
            NotFound: There is no such collection.
        """
        self._require(digest)
        said = json.dumps(document, ensure_ascii=False, sort_keys=True)
        now = self._connection.scalar(select(FHR.c.document).where(FHR.c.digest == digest))
        if now == said:
            return False
        if now is None:
            _add(self._connection, FHR, [{"digest": digest, "document": said}])
        else:
            self._connection.execute(
                update(FHR).where(FHR.c.digest == digest).values(document=said)
            )
        self._n_new += 1
        return True

    def add_file(self, collection: str, facts: FileFacts, ways: Iterable[Access]) -> bool:
        """Have a file of a collection, and ways to it. Returns whether anything of that is new.

        Raises:
            NotFound: The collection is not there. Conflict: Another file is at an address.
        """
        self._require(collection)
        of_these = (FILES.c.collection == collection, FILES.c.sha256 == facts.sha256)
        number = self._connection.scalar(select(FILES.c.id).where(*of_these))
        n_new = 0
        if number is None:
            # The first one is what the collection is as a file.
            first = select(FILES.c.id).where(FILES.c.id == collection)
            number = collection if self._connection.scalar(first) is None else facts.sha256
            row = {"id": number, "collection": collection, "created": _now(), **facts._asdict()}
            _add(self._connection, FILES, [row])
            n_new += 1
        for way in ways:
            require_free(self._connection, way.url, facts.sha256)
            at = select(ACCESS.c.file).where(ACCESS.c.url == way.url)
            if self._connection.scalar(at) is None:
                _add(self._connection, ACCESS, [{**way._asdict(), "file": number}])
                n_new += 1
        self._n_new += n_new
        return bool(n_new)

    def add_store(self, entry: StoreEntry, *, may_replace: bool = False) -> bool:
        """Have a RefgetStore served. Returns whether that is new.

        Raises:
            Conflict: There is another one of that name, and it may not be replaced.
        """
        of_this = func.lower(STORES.c.name) == entry.name.lower()
        row = self._connection.execute(select(STORES).where(of_this)).first()
        said = {
            "name": entry.name,
            "url": entry.url,
            "priority": entry.priority,
            "description": entry.description,
            "is_enabled": entry.is_enabled,
        }
        if row is None:
            _add(self._connection, STORES, [{**said, "created": _now()}])
        elif row.url != entry.url and not may_replace:
            raise Conflict(
                f"the store {row.name} is {shown(row.url)} already, not {shown(entry.url)}; "
                "nothing was changed: use --replace"
            )
        elif all(row._mapping[name] == value for name, value in said.items()):
            return False
        else:
            self._connection.execute(update(STORES).where(of_this).values(**said))
        self._n_new += 1
        return True

    def remove_store(self, name: str) -> bool:
        """Have a store served no more. Returns whether there was one of that name."""
        done = self._connection.execute(
            delete(STORES).where(func.lower(STORES.c.name) == name.lower())
        )
        self._n_new += done.rowcount
        return bool(done.rowcount)

    def _require(self, digest: str) -> None:
        known = select(COLLECTIONS.c.id).where(COLLECTIONS.c.digest == digest)
        if self._connection.scalar(known) is None:
            raise NotFound(
                f"collection {digest} is not in the registry; `seqarchive admin load` or "
                "`admin ingest` takes it in"
            )


def require_free(connection: Connection, url: str, sha256: str) -> None:
    """Raise Conflict if another file is registered at an address."""
    joined = select(FILES.c.sha256).join(ACCESS, ACCESS.c.file == FILES.c.id)
    found = connection.scalar(joined.where(ACCESS.c.url == url))
    if found not in (None, sha256):
        raise Conflict(
            f"{url} is registered with other bytes (SHA-256 {found[:12]}..., here "
            f"{sha256[:12]}...); give the changed file another name"
        )


def _key(namespace: str) -> str:
    spelling = namespaces.canonical(namespace)
    if spelling in namespaces.COMPUTED:
        raise BadName(f"{spelling} names are computed and cannot be set")
    return spelling.lower()
