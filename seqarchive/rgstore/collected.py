"""Sequences and collections of a RefgetStore; what is large of them is read when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from ..errors import Corrupt, NotFound
from ..identifiers import Alias, Digest
from ..seqcol.archived import NamedRecord
from ..seqcol.digests import CollectionDigests, CollectionHasher, Member, level2
from .parsing import (
    ATTRIBUTE_COLUMNS,
    CollectionRow,
    Row,
    parse_collection_row,
    parse_header,
    parse_row,
)
from .tables import Table

R = TypeVar("R")


class Store(Protocol):
    """What collections need of the store that they are in."""

    def collection_table(self, digest: str, name: str | None = None) -> Table:
        """The list of a collection."""

    def keep_table(self, name: str, table: Table) -> None:
        """Keep a list that was checked."""

    def loaded(self, collection: StoreCollection) -> None:
        """Note that the list of a collection was read."""

    def collection_aliases(self, identifier: str) -> list[Alias]:
        """The aliases of a collection."""

    def fhr(self, digest: str) -> dict[str, Any] | None:
        """What is said of a collection."""

    def fetch_row(
        self, row: Row, start: int | None, end: int | None, *, clamp: bool = False
    ) -> str:
        """Residues of a sequence whose row is known."""

    def fetch_member(self, row: Row, start: int | None, end: int | None) -> str:
        """Residues of a sequence whose row is from the list of a collection."""


class Checked(NamedTuple):
    """What the list of a collection has."""

    digests: CollectionDigests
    n_members: int
    n_residues: int


def checked(table: Table, digest: str) -> Checked:
    """Read the list of a collection, which must be that of a digest.

    Raises:
        Corrupt: It is that of another one, or contradicts itself.
    """
    hasher, n_residues = CollectionHasher(), 0
    for line in table.lines():
        row = parsed(line, table.where)
        hasher.add(row.name, row.length, row.digest)
        n_residues += row.length
    found = hasher.digests()
    if found.digest != digest:
        raise Corrupt(
            f"{table.where} is the list of {found.digest}; run `seqarchive verify-rgstore`"
        )
    facts = {"seqcol": found.digest, **found.level1()}
    for line in table.head():
        try:
            header = parse_header(line)
        except ValueError as error:
            raise Corrupt(f"{table.where}: {error}") from None
        if header is not None:
            _require(facts, *header, f"the header of {table.where}")
    return Checked(found, hasher.n_members, n_residues)


def _require(facts: dict[str, str], attribute: str, said: str, where: str) -> None:
    if facts.get(attribute, said) != said:
        raise Corrupt(
            f"{attribute}_digest in {where} is not that of its members; run "
            "`seqarchive verify-rgstore`"
        )


def parsed(line: str, where: str) -> Row:
    """A row of an index or of a list of sequences.

    Raises:
        Corrupt: It is none.
    """
    return _parsed(parse_row, line, where)


def parsed_collection(line: str, where: str) -> CollectionRow:
    """A row of the index of collections; raises as ``parsed``."""
    return _parsed(parse_collection_row, line, where)


def _parsed(parse: Callable[[str], R], line: str, where: str) -> R:
    try:
        return parse(line)
    except ValueError as error:
        raise Corrupt(f"{where}: {error}; run `seqarchive verify-rgstore`") from None


class StoreSequence(NamedTuple):
    """A sequence of a store, its residues fetched when they are asked for."""

    store: Store
    metadata: Row

    @property
    def sequence(self) -> str:
        """All residues; they are those of the digest."""
        return self.store.fetch_member(self.metadata, None, None)

    def decode(self) -> str:
        """The same, as gtars calls it."""
        return self.sequence


class StoreCollection:
    """A collection of a store. Its list of members is read, and checked, when it is needed."""

    def __init__(self, store: Store, row: CollectionRow) -> None:
        self._store = store
        self._row = row
        self._table: Table | None = None
        self._level1: dict[str, str] = {}
        self._n_residues = 0

    def __repr__(self) -> str:
        return f"<seqarchive.StoreCollection {self.digest}, {len(self)} members>"

    def __len__(self) -> int:
        return self._row.n_members

    @property
    def digest(self) -> str:
        """What the standard calls it: sha512t24u, without a prefix."""
        return self._row.digest

    @property
    def n_members(self) -> int:
        """How many members it has."""
        return self._row.n_members

    @property
    def n_residues(self) -> int:
        """Of all members; its list is read for that."""
        self._list()
        return self._n_residues

    @property
    def line_bases(self) -> int | None:
        """None: a store does not know how the file was written."""
        return None

    def aliases(self) -> list[Alias]:
        """Its names, sorted."""
        return self._store.collection_aliases(self.digest)

    def fhr(self) -> dict[str, Any] | None:
        """What is said of it; None if nothing is."""
        return self._store.fhr(self.digest)

    @property
    def attributes(self) -> dict[str, str]:
        """Digests of attributes, as far as the index has them."""
        return dict(self._level1 or self._row.attributes)

    @property
    def is_loaded(self) -> bool:
        """Whether its list was read."""
        return bool(self._level1)

    def unload(self) -> None:
        """Let go of its list, which is read again when it is needed."""
        self._table = None

    def _list(self) -> Table:
        table = self._table
        if table is None:
            table = self._table = self._load()
            self._store.loaded(self)
        return table

    @property
    def kept_as(self) -> str | None:
        """By what its list is kept: a row of the index that has all digests is always of the same
        list, as far as anybody is told of it. None if the row has not."""
        attributes = self._row.attributes
        if len(attributes) != len(ATTRIBUTE_COLUMNS):
            return None
        return " ".join([self.digest, *attributes.values()])

    def fetch_list(self) -> int:
        """Have its list on the disk. Returns the bytes that it has."""
        return len(self._list().data)

    def _load(self) -> Table:
        table = self._store.collection_table(self.digest, self.kept_as)
        found = checked(table, self.digest)
        level1 = found.digests.level1()
        for attribute, digest in self._row.attributes.items():
            _require(level1, attribute, digest, f"the index, of {table.where},")
        if found.n_members != self._row.n_members:
            raise Corrupt(
                f"{table.where} has {found.n_members:,} members, the index says "
                f"{self._row.n_members:,}; run `seqarchive verify-rgstore`"
            )
        self._level1, self._n_residues = level1, found.n_residues
        if self.kept_as is not None:
            self._store.keep_table(self.kept_as, table)
        return table

    def rows(self) -> Iterator[Row]:
        """Its members as the store has them, in order.

        Raises:
            Corrupt: The list is not that of the digest.
        """
        table = self._list()
        return (parsed(line, table.where) for line in table.lines())

    def row(self, name: str) -> Row:
        """The member of a name.

        Raises:
            NotFound: There is none.
        """
        table = self._list()
        line = table.find_by(0, name)
        if line is None:
            raise NotFound(f"{name!r} is not in the collection {self.digest}")
        return parsed(line, table.where)

    def records(self) -> Iterator[NamedRecord]:
        """Its members with their deflines, in order."""
        for row in self.rows():
            defline = f"{row.name} {row.description}" if row.description else row.name
            yield NamedRecord(defline, row.length, Digest(row.digest))

    def members(self) -> Iterator[Member]:
        """Its members, in order."""
        return (Member(row.name, row.length, Digest(row.digest)) for row in self.rows())

    def level1(self) -> dict[str, str]:
        """The digests of its attributes, computed from its members."""
        self._list()
        return dict(self._level1)

    def level2(self) -> dict[str, Sequence[object]]:
        """Its attributes as arrays."""
        return level2(self.members())

    def fetch(self, name: str, start: int | None = None, end: int | None = None) -> str:
        """Residues of a member; as ``RefgetStore.fetch``."""
        return self._store.fetch_member(self.row(name), start, end)

    def metadata(self) -> dict[str, Any]:
        """What is known of it; ready for JSON."""
        level1 = self.level1()
        return {
            "digest": self.digest,
            "n_sequences": len(self),
            "n_residues": self._n_residues,
            "aliases": [str(alias) for alias in self.aliases()],
            "sources": [],
            **level1,
        }
