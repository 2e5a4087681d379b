"""A registry, open for reading, or for changes in transactions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from typing import Any

from sqlalchemy import Connection, Select, create_engine, event, func, select
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from .. import namespaces
from ..errors import Ambiguous, BadName, NewerFormat, NotFound, ReadOnly, SourceError
from ..genomes.store_entries import StoreEntry
from ..identifiers import Alias, AliasKey, Digest, parse_digest
from ..seqcol.archived import ATTRIBUTES
from . import tables
from .addresses import Address, database_url
from .changes import Changes, prepare, require_free
from .collections import RegisteredCollection
from .files import Access, FileFacts, RegisteredFile
from .tables import ACCESS, ALIASES, ARRAYS, COLLECTIONS, FHR, FILES, META, STORES

#: Seconds to wait for a connection, and for an answer.
_CONNECT, _ANSWER = 5, 30

#: Connections of a process, and more for a while.
_POOL, _MORE = 8, 24


class Registry:
    """Collections, names, FHR and files in a database. Safe between threads.

    Args:
        address: As for ``database_url``; or an engine of SQLAlchemy, which its owner closes.
        is_writable: Whether changes are meant; tables are made if there are none.

    Raises:
        BadName: The address is none. SourceError: The database cannot be reached.
        NotFound: There is no registry in it. NewerFormat: A newer version made it.
    """

    def __init__(self, address: Address | Engine, *, is_writable: bool = False) -> None:
        self._is_writable = is_writable
        self._is_ours = not isinstance(address, Engine)
        if isinstance(address, Engine):
            self._engine, self._url = address, address.url
        else:
            self._url = database_url(address)
            self._engine = _engine(self._url, is_writable=is_writable)
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        if self._is_writable:
            with self._asking(is_changing=True) as connection:
                prepare(connection)
        with self._asking() as connection:
            version = _version(connection)
        if version is None:
            raise NotFound(f"{self.address} has no registry; `seqarchive admin load` makes one")
        if version > tables.VERSION:
            raise NewerFormat(
                f"the registry in {self.address} was made by a newer version of seqarchive "
                f"(format {version}, this one reads {tables.VERSION}); upgrade"
            )

    def __repr__(self) -> str:
        return f"<seqarchive.Registry {self.address}>"

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        """The URL, without its password."""
        shown = self._url.set(drivername=self._url.get_backend_name())
        return shown.render_as_string(hide_password=True)

    def close(self) -> None:
        """Close the connections. They are made again when they are needed."""
        if self._is_ours:
            self._engine.dispose()

    @contextmanager
    def _asking(self, *, is_changing: bool = False) -> Iterator[Connection]:
        """A transaction; errors of the database become ours."""
        try:
            with self._engine.begin() if is_changing else self._engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            said = str(error.orig).strip().splitlines() or ["no reason given"]
            raise SourceError(f"{self.address}: {said[0]}") from None
        except SQLAlchemyError as error:
            raise SourceError(f"{self.address}: {str(error).splitlines()[0]}") from None

    def _rows(self, query: Select[Any]) -> list[Any]:
        with self._asking() as connection:
            return list(connection.execute(query).all())

    @contextmanager
    def changing(self) -> Iterator[Changes]:
        """Changes of which all are there in the end, or none.

        Raises:
            ReadOnly: It was opened for reading.
        """
        if not self._is_writable:
            raise ReadOnly(f"{self.address} was opened for reading")
        with self._asking(is_changing=True) as connection:
            changes = Changes(connection)
            yield changes
            changes.finish()

    # --- collections --------------------------------------------------------------------------

    def collection(self, identifier: str) -> RegisteredCollection:
        """The collection of a digest, or of an alias (with or without its namespace).

        Raises:
            NotFound: There is none. Ambiguous: The alias means several.
        """
        found = {digest: str(alias) for alias, digest in self.named(identifier)}
        with suppress(BadName):
            found[parse_digest(identifier)] = identifier
        rows = self._rows(select(COLLECTIONS).where(COLLECTIONS.c.digest.in_(found)))
        if not rows:
            raise NotFound(f"collection {identifier!r} is not in the registry")
        if len(rows) > 1:
            names = sorted(found[row.digest] for row in rows)
            raise Ambiguous(
                f"{identifier!r} stands for {len(names)} collections: {', '.join(names)}; say "
                "which namespace",
                names,
            )
        return RegisteredCollection(self, self.address, rows[0]._mapping)

    def named(self, identifier: str) -> list[tuple[Alias, Digest]]:
        """What a text may name among collections."""
        namespace, colon, alias = identifier.partition(":")
        keys = [AliasKey(None, identifier)]
        if colon:
            keys.append(AliasKey(namespace, alias))
        return [found for key in keys for found in self.meanings("collection", key)]

    def has_collection(self, digest: str) -> bool:
        """Whether there is a collection of a digest."""
        return bool(self._rows(select(COLLECTIONS.c.id).where(COLLECTIONS.c.digest == digest)))

    def collections(self, filters: Mapping[str, str]) -> list[RegisteredCollection]:
        """The collections, in the order in which they were added.

        Args:
            filters: Attribute and digest; only those that have all of these.

        Raises:
            BadName: No such attribute, or no digest.
        """
        query = _filtered(select(COLLECTIONS), filters).order_by(COLLECTIONS.c.id)
        return [RegisteredCollection(self, self.address, row._mapping) for row in self._rows(query)]

    def collection_digests(self, filters: Mapping[str, str]) -> list[Digest]:
        """The same, their digests."""
        query = _filtered(select(COLLECTIONS.c.digest), filters).order_by(COLLECTIONS.c.id)
        return [Digest(row.digest) for row in self._rows(query)]

    def attribute_digests(self, attribute: str) -> list[Digest]:
        """The different digests of an attribute, sorted.

        Raises:
            BadName: No such attribute.
        """
        _require_attributes([attribute])
        column = COLLECTIONS.c[attribute]
        return [Digest(row[0]) for row in self._rows(select(column).distinct().order_by(column))]

    def arrays(self, digests: Sequence[str]) -> dict[str, bytes]:
        """Arrays as they are kept, by their digests."""
        rows = self._rows(select(ARRAYS).where(ARRAYS.c.digest.in_(digests)))
        return {row.digest: row.data for row in rows}

    def fhr(self, digest: str) -> dict[str, Any] | None:
        """What is said of a collection; None if nothing is."""
        rows = self._rows(select(FHR.c.document).where(FHR.c.digest == digest))
        found: dict[str, Any] | None = json.loads(rows[0].document) if rows else None
        return found

    # --- names --------------------------------------------------------------------------------

    def meanings(self, kind: str, key: AliasKey) -> list[tuple[Alias, Digest]]:
        """What a name means, in each namespace where it means something.

        Args:
            kind: ``sequence`` or ``collection``.
        """
        if "\0" in key.alias:
            return []  # which PostgreSQL does not take
        query = select(ALIASES).where(ALIASES.c.kind == kind, ALIASES.c.alias == key.alias)
        if key.namespace is not None:
            try:
                wanted = namespaces.canonical(key.namespace).lower()
            except BadName:
                return []
            query = query.where(ALIASES.c.namespace_key == wanted)
        return [(Alias(row.namespace, row.alias), Digest(row.digest)) for row in self._rows(query)]

    def aliases(self, kind: str, digest: str) -> list[Alias]:
        """The names of a sequence or of a collection, sorted."""
        query = select(ALIASES).where(ALIASES.c.kind == kind, ALIASES.c.digest == digest)
        return sorted(Alias(row.namespace, row.alias) for row in self._rows(query))

    def all_aliases(
        self, kind: str, namespace: str | None = None, pattern: str | None = None
    ) -> list[tuple[Alias, Digest]]:
        """All names of a kind and what they mean, sorted by namespace and alias.

        Args:
            pattern: Only those that match; ``*`` and ``?`` are wildcards.
        """
        query = select(ALIASES).where(ALIASES.c.kind == kind)
        if namespace is not None:
            wanted = namespaces.canonical(namespace).lower()
            query = query.where(ALIASES.c.namespace_key == wanted)
        query = query.order_by(ALIASES.c.namespace_key, ALIASES.c.alias)
        return [
            (Alias(row.namespace, row.alias), Digest(row.digest))
            for row in self._rows(query)
            if pattern is None or fnmatchcase(row.alias, pattern)
        ]

    def namespaces(self, kind: str) -> list[str]:
        """The namespaces of names of a kind, sorted."""
        query = (
            select(func.min(ALIASES.c.namespace))
            .where(ALIASES.c.kind == kind)
            .group_by(ALIASES.c.namespace_key)
        )
        return sorted(row[0] for row in self._rows(query))

    # --- files --------------------------------------------------------------------------------

    def file(self, identifier: str) -> RegisteredFile | None:
        """A file by its id; None if there is none."""
        if "\0" in identifier:
            return None
        found = self._files(select(FILES).where(FILES.c.id == identifier))
        return found[0] if found else None

    def files(self, collection: str) -> list[RegisteredFile]:
        """The files of a collection, the first that was registered first."""
        query = select(FILES).where(FILES.c.collection == collection)
        return self._files(query.order_by(FILES.c.created, FILES.c.id))

    def _files(self, query: Select[Any]) -> list[RegisteredFile]:
        rows = self._rows(query)
        ways = self._rows(
            select(ACCESS).where(ACCESS.c.file.in_([row.id for row in rows])).order_by(ACCESS.c.url)
        )
        return [
            RegisteredFile(
                row.id,
                Digest(row.collection),
                row.created,
                FileFacts(*(row._mapping[name] for name in FileFacts._fields)),
                tuple(
                    Access(way.type, way.url, way.cloud, way.region)
                    for way in ways
                    if way.file == row.id
                ),
            )
            for row in rows
        ]

    def require_free(self, url: str, sha256: str) -> None:
        """Raise Conflict if another file is registered at an address."""
        with self._asking() as connection:
            require_free(connection, url, sha256)

    # --- stores -------------------------------------------------------------------------------

    def stores(self) -> list[StoreEntry]:
        """The RefgetStores that are served, in the order of their priority."""
        with self._asking() as connection:
            if not connection.dialect.has_table(connection, STORES.name):
                return []
            query = select(STORES).order_by(STORES.c.priority, STORES.c.name)
            rows = connection.execute(query).all()
        return [
            StoreEntry(row.name, row.url, row.priority, row.description, row.is_enabled)
            for row in rows
        ]

    # --- the registry itself ------------------------------------------------------------------

    def n_changes(self) -> int:
        """How often something was committed."""
        return int(self._rows(select(META.c.value).where(META.c.key == "changes"))[0].value)

    def committed(self) -> tuple[str, str]:
        """When it was made, and when a change was last committed (ISO 8601, UTC)."""
        rows = self._rows(select(META).where(META.c.key.in_(["created", "changed"])))
        found = {row.key: row.value for row in rows}
        return found["created"], found["changed"]

    def counts(self) -> dict[str, int]:
        """How much there is of each kind."""
        counted = {
            "collections": select(func.count()).select_from(COLLECTIONS),
            "arrays": select(func.count()).select_from(ARRAYS),
            "sequence_aliases": select(func.count()).where(ALIASES.c.kind == "sequence"),
            "collection_aliases": select(func.count()).where(ALIASES.c.kind == "collection"),
            "fhr": select(func.count()).select_from(FHR),
            "files": select(func.count()).select_from(FILES),
            "access_methods": select(func.count()).select_from(ACCESS),
        }
        with self._asking() as connection:
            return {name: connection.scalar(query) or 0 for name, query in counted.items()}


def _filtered(query: Select[Any], filters: Mapping[str, str]) -> Select[Any]:
    _require_attributes(filters)
    for name, digest in filters.items():
        query = query.where(COLLECTIONS.c[name] == parse_digest(digest))
    return query


def _require_attributes(names: Sequence[str] | Mapping[str, str]) -> None:
    unknown = sorted(set(names) - set(ATTRIBUTES))
    if unknown:
        raise BadName(f"{unknown[0]!r} is no attribute: there are {', '.join(sorted(ATTRIBUTES))}")


def _version(connection: Connection) -> int | None:
    """The format of the registry in a database; None if there is none."""
    if not connection.dialect.has_table(connection, META.name):
        return None
    found = connection.scalar(select(META.c.value).where(META.c.key == "version"))
    return None if found is None else int(found)


def _engine(url: URL, *, is_writable: bool) -> Engine:
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url, is_writable=is_writable)
    options = f"-c statement_timeout={_ANSWER * 1000}"
    if not is_writable:
        options += " -c default_transaction_read_only=on"
    return create_engine(
        url,
        pool_size=_POOL,
        max_overflow=_MORE,
        pool_timeout=_ANSWER,
        pool_pre_ping=True,  # a server that was started again is found again
        connect_args={"connect_timeout": _CONNECT, "options": options},
    )


def _sqlite_engine(url: URL, *, is_writable: bool) -> Engine:
    mode = "rwc" if is_writable else "ro"
    engine = create_engine(
        url.set(database=f"file:{url.database}").update_query_dict({"mode": mode, "uri": "true"}),
        connect_args={"timeout": _ANSWER, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def begin(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        if is_writable:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")

    return engine
