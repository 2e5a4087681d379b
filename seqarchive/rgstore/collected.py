"""Sequences and collections of a RefgetStore; what is large of them is read when it is needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from ..errors import Corrupt, NotFound
from ..identifiers import Alias, Digest
from ..seqcol.archived import NamedRecord
from ..seqcol.digests import CollectionHasher, Member, level2
from .parsing import CollectionRow, Row, parse_row
from .tables import Table


class Store(Protocol):
    """What collections need of the store that they are in."""

    def collection_table(self, digest: str) -> Table:
        """The list of a collection."""

    def collection_aliases(self, identifier: str) -> list[Alias]:
        """The aliases of a collection."""

    def fetch_row(
        self, row: Row, start: int | None, end: int | None, *, clamp: bool = False
    ) -> str:
        """Residues of a sequence whose row is known."""


def parsed(line: str, where: str) -> Row:
    """A row of an index or of a list.

    Raises:
        Corrupt: It is none.
    """
    try:
        return parse_row(line)
    except ValueError as error:
        raise Corrupt(f"{where}: {error}; run `seqarchive verify-rgstore`") from None


class StoreSequence(NamedTuple):
    """A sequence of a store, its residues fetched when they are asked for."""

    store: Store
    metadata: Row

    @property
    def sequence(self) -> str:
        """All residues; they are those of the digest."""
        return self.store.fetch_row(self.metadata, None, None)

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
        self._n_members = row.n_members
        self._n_residues = 0

    def __repr__(self) -> str:
        return f"<seqarchive.StoreCollection {self.digest}, {len(self)} members>"

    def __len__(self) -> int:
        return self._n_members

    @property
    def digest(self) -> str:
        """What the standard calls it: sha512t24u, without a prefix."""
        return self._row.digest

    @property
    def attributes(self) -> dict[str, str]:
        """Digests of attributes, as far as the index has them."""
        return dict(self._level1 or self._row.attributes)

    @property
    def is_loaded(self) -> bool:
        """Whether its list was read."""
        return self._table is not None

    def _list(self) -> Table:
        if self._table is None:
            self._table = self._load()
        return self._table

    def _load(self) -> Table:
        table = self._store.collection_table(self.digest)
        hasher, n_residues = CollectionHasher(), 0
        for line in table.lines():
            row = parsed(line, table.where)
            hasher.add(row.name, row.length, row.digest)
            n_residues += row.length
        found = hasher.digests()
        if found.digest != self.digest:
            raise Corrupt(
                f"{table.where} is the list of {found.digest}; run `seqarchive verify-rgstore`"
            )
        self._level1, self._n_residues = found.level1(), n_residues
        self._n_members = hasher.n_members
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
        return self._store.fetch_row(self.row(name), start, end)

    def metadata(self) -> dict[str, Any]:
        """What is known of it; ready for JSON."""
        level1 = self.level1()
        return {
            "digest": self.digest,
            "n_sequences": self._n_members,
            "n_residues": self._n_residues,
            "aliases": [str(alias) for alias in self._store.collection_aliases(self.digest)],
            **level1,
        }
