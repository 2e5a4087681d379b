"""Collections of an archive: every file that was loaded whole is one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .. import namespaces
from ..database import Database
from ..errors import Ambiguous, BadName, NotFound
from ..identifiers import Alias, Digest, digest_bytes, digest_text, parse_digest
from ..logs import Log
from ..records import first_word
from .digests import CollectionDigests, Member, level2

#: What aliases mean among collections, and what is said of collections.
NAMES = Log("collection_aliases", ("namespace_id", "alias"), "collection_id")
FHR = Log("fhr", ("collection_id",), "document")

#: Attributes by whose digests collections are found.
ATTRIBUTES = CollectionDigests._fields[1:]

_COLUMNS = f"id, digest, {', '.join(ATTRIBUTES)}, n_members, n_residues, source_id, batch_id"

#: Rows of one query.
_PAGE = 5_000


class NamedRecord(NamedTuple):
    """A member of a collection, as its file had it."""

    defline: str
    length: int
    digest: Digest
    mask: bytes = b""
    """What was in lower case, if that is kept; see ``layouts``."""

    @property
    def name(self) -> str:
        """The name in the defline."""
        return first_word(self.defline)


class ArchivedCollection:
    """An ordered set of named sequences that are in an archive."""

    def __init__(self, database: Database, row: Sequence[Any]) -> None:
        self._database = database
        n_digests = len(CollectionDigests._fields)
        self._id = row[0]
        self.digests = CollectionDigests._make(map(digest_text, row[1 : 1 + n_digests]))
        self.n_members, self.n_residues, self._source_id, self.batch = row[1 + n_digests :]

    def __repr__(self) -> str:
        return f"<seqarchive.ArchivedCollection {self.digest}, {self.n_members} members>"

    def __len__(self) -> int:
        return int(self.n_members)

    @property
    def digest(self) -> Digest:
        """What the standard calls it: sha512t24u, without a prefix."""
        return self.digests.digest

    @property
    def line_bases(self) -> int | None:
        """Residues of a line of its file; 0 if each record had one; None if lines differed."""
        row = self._database.connection.execute(
            "SELECT line_bases FROM sources WHERE id = ?", (self._source_id,)
        ).fetchone()
        return None if row is None else row[0]

    def records(self, skipped: int = 0) -> Iterator[NamedRecord]:
        """Its members with their deflines, in order; a page at a time.

        Args:
            skipped: How many of them come before the first that is given.
        """
        last = 0
        if skipped:
            row = self._database.connection.execute(
                "SELECT ordinal FROM records WHERE source_id = ? ORDER BY ordinal LIMIT 1 OFFSET ?",
                (self._source_id, skipped - 1),
            ).fetchone()
            if row is None:
                return
            last = row[0]
        while rows := self._database.connection.execute(
            "SELECT r.ordinal, r.defline, s.length, s.digest, m.mask FROM records r"
            " JOIN sequences s ON s.id = r.sequence_id"
            " LEFT JOIN masks m ON m.source_id = r.source_id AND m.ordinal = r.ordinal"
            " WHERE r.source_id = ? AND r.ordinal > ? ORDER BY r.ordinal LIMIT ?",
            (self._source_id, last, _PAGE),
        ).fetchall():
            for _, defline, length, digest, mask in rows:
                yield NamedRecord(defline, length, digest_text(digest), mask or b"")
            last = rows[-1][0]

    def members(self) -> Iterator[Member]:
        """Its members, in order."""
        return (Member(one.name, one.length, one.digest) for one in self.records())

    def level1(self) -> dict[str, str]:
        """The digests of its attributes."""
        return self.digests.level1()

    def level2(self) -> dict[str, Sequence[object]]:
        """Its attributes as arrays."""
        return level2(self.members())

    def aliases(self) -> list[Alias]:
        """Its names, sorted."""
        rows = self._database.connection.execute(
            f"SELECT n.name, a.alias FROM ({NAMES.holding}) a"
            " JOIN namespaces n ON n.id = a.namespace_id WHERE a.collection_id = ?",
            (self._id,),
        )
        return sorted(Alias._make(row) for row in rows)

    def circular(self) -> list[str]:
        """The names of its members that are circular molecules, in order."""
        rows = self._database.connection.execute(
            "SELECT r.defline FROM records r WHERE r.source_id = ?"
            " AND r.sequence_id IN (SELECT sequence_id FROM circular) ORDER BY r.ordinal",
            (self._source_id,),
        )
        return [first_word(defline) for (defline,) in rows]

    def fhr(self) -> dict[str, Any] | None:
        """What is said of it (FAIR headers reference); None if nothing is."""
        text = FHR.current(self._database.connection, self._id)
        found: dict[str, Any] | None = None if text is None else json.loads(text)
        return found

    def metadata(self) -> dict[str, Any]:
        """What is known of it; ready for JSON."""
        rows = self._database.connection.execute(
            "SELECT name FROM sources WHERE collection_id ="
            " (SELECT id FROM collections WHERE digest = ?) ORDER BY id",
            (digest_bytes(self.digest),),
        ).fetchall()
        return {
            "digest": self.digest,
            "n_sequences": self.n_members,
            "n_residues": self.n_residues,
            "batch": self.batch,
            "aliases": [str(alias) for alias in self.aliases()],
            "sources": [name for (name,) in rows],
            "circular": self.circular(),
            **self.level1(),
        }


def collections_of(
    database: Database, filters: Mapping[str, str] | None = None
) -> list[ArchivedCollection]:
    """The collections of an archive, in the order in which they were added.

    Args:
        filters: Attribute and digest; only those that have all of these.

    Raises:
        BadName: No such attribute, or no digest.
    """
    conditions, values = _conditions(filters or {})
    rows = database.connection.execute(
        f"SELECT {_COLUMNS} FROM collections WHERE 1{conditions} ORDER BY id", values
    )
    return [ArchivedCollection(database, row) for row in rows.fetchall()]


def collection_page(
    database: Database, filters: Mapping[str, str], page: int, page_size: int
) -> tuple[list[Digest], int]:
    """Digests of some collections in the order in which they were added, and how many there are.

    Raises:
        BadName: No such attribute, or no digest.
    """
    conditions, values = _conditions(filters)
    execute = database.connection.execute
    (total,) = execute(f"SELECT count(*) FROM collections WHERE 1{conditions}", values).fetchone()
    rows = execute(
        f"SELECT digest FROM collections WHERE 1{conditions} ORDER BY id LIMIT ? OFFSET ?",
        [*values, page_size, page * page_size],
    )
    return [digest_text(digest) for (digest,) in rows], total


def attribute_page(
    database: Database, attribute: str, page: int, page_size: int
) -> tuple[list[Digest], int]:
    """The different digests of an attribute, sorted as bytes, and how many there are.

    Raises:
        BadName: No such attribute.
    """
    _conditions({attribute: "A" * 32})
    execute = database.connection.execute
    (total,) = execute(f"SELECT count(DISTINCT {attribute}) FROM collections").fetchone()
    rows = execute(
        f"SELECT DISTINCT {attribute} FROM collections ORDER BY {attribute} LIMIT ? OFFSET ?",
        (page_size, page * page_size),
    )
    return [digest_text(digest) for (digest,) in rows], total


def _conditions(filters: Mapping[str, str]) -> tuple[str, list[bytes]]:
    unknown = sorted(filters.keys() - set(ATTRIBUTES))
    if unknown:
        raise BadName(f"{unknown[0]!r} is no attribute: there are {', '.join(sorted(ATTRIBUTES))}")
    conditions = "".join(f" AND {name} = ?" for name in filters)
    return conditions, [digest_bytes(parse_digest(digest)) for digest in filters.values()]


def collection_id_of(connection: sqlite3.Connection, identifier: str) -> int:
    """The id of the one collection of a digest, of an alias, or of an alias without its namespace.

    Raises:
        NotFound: There is none. Ambiguous: The alias means several in different namespaces.
    """
    found: dict[int, str] = {}
    try:
        raw = digest_bytes(parse_digest(identifier))
    except BadName:
        pass
    else:
        rows = connection.execute("SELECT id FROM collections WHERE digest = ?", (raw,))
        found.update((number, identifier) for (number,) in rows)
    namespace, colon, alias = identifier.partition(":")
    for namespace_id, name in connection.execute("SELECT id, name FROM namespaces").fetchall():
        texts = [identifier]
        if colon and _is_same(name, namespace):
            texts.append(alias)
        for text in texts:
            number = NAMES.current(connection, namespace_id, text)
            if number is not None:
                found[number] = f"{name}:{text}"
    if not found:
        raise NotFound(f"collection {identifier!r} is not in the archive")
    if len(found) > 1:
        names = sorted(found.values())
        raise Ambiguous(
            f"{identifier!r} stands for {len(found)} collections: {', '.join(names)}; say which "
            "namespace",
            names,
        )
    return next(iter(found))


def _is_same(name: str, other: str) -> bool:
    try:
        return namespaces.canonical(other).lower() == name.lower()
    except BadName:
        return False


def collection_of(database: Database, identifier: str) -> ArchivedCollection:
    """The collection of a digest or of an alias; raises as ``collection_id_of``."""
    row = database.connection.execute(
        f"SELECT {_COLUMNS} FROM collections WHERE id = ?",
        (collection_id_of(database.connection, identifier),),
    ).fetchone()
    return ArchivedCollection(database, row)


def collection_aliases(database: Database) -> list[tuple[Alias, Digest]]:
    """The aliases of all collections and what they mean, sorted."""
    rows = database.connection.execute(
        "SELECT n.name, a.alias, c.digest"
        f" FROM ({NAMES.holding}) a JOIN namespaces n ON n.id = a.namespace_id"
        " JOIN collections c ON c.id = a.collection_id ORDER BY n.name, a.alias"
    )
    return [(Alias(name, alias), digest_text(digest)) for name, alias, digest in rows]
