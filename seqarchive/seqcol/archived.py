"""Collections of an archive: every file that was loaded whole is one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..database import Database
from ..errors import BadName, NotFound
from ..identifiers import Digest, digest_bytes, digest_text, parse_digest
from ..records import first_word
from .digests import CollectionDigests, Member, level2

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

    @property
    def name(self) -> str:
        """The name in the defline."""
        return first_word(self.defline)


class ArchivedCollection:
    """An ordered set of named sequences that are in an archive."""

    def __init__(self, database: Database, row: Sequence[Any]) -> None:
        self._database = database
        n_digests = len(CollectionDigests._fields)
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

    def records(self) -> Iterator[NamedRecord]:
        """Its members with their deflines, in order; a page at a time."""
        last = 0
        while rows := self._database.connection.execute(
            "SELECT r.ordinal, r.defline, s.length, s.digest FROM records r"
            " JOIN sequences s ON s.id = r.sequence_id"
            " WHERE r.source_id = ? AND r.ordinal > ? ORDER BY r.ordinal LIMIT ?",
            (self._source_id, last, _PAGE),
        ).fetchall():
            for _, defline, length, digest in rows:
                yield NamedRecord(defline, length, digest_text(digest))
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
            "sources": [name for (name,) in rows],
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
    wanted = filters or {}
    unknown = sorted(wanted.keys() - set(ATTRIBUTES))
    if unknown:
        raise BadName(f"{unknown[0]!r} is no attribute: there are {', '.join(sorted(ATTRIBUTES))}")
    conditions = "".join(f" AND {name} = ?" for name in wanted)
    rows = database.connection.execute(
        f"SELECT {_COLUMNS} FROM collections WHERE 1{conditions} ORDER BY id",
        [digest_bytes(parse_digest(digest)) for digest in wanted.values()],
    )
    return [ArchivedCollection(database, row) for row in rows.fetchall()]


def collection_of(database: Database, identifier: str) -> ArchivedCollection:
    """The collection of a digest.

    Raises:
        NotFound: There is none.
    """
    try:
        digest = digest_bytes(parse_digest(identifier))
    except BadName:
        raise NotFound(f"{identifier!r} is no digest of a collection") from None
    row = database.connection.execute(
        f"SELECT {_COLUMNS} FROM collections WHERE digest = ?", (digest,)
    ).fetchone()
    if row is None:
        raise NotFound(f"collection {identifier!r} is not in the archive")
    return ArchivedCollection(database, row)
