"""A collection that is a list of members, wherever their residues are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ..identifiers import Alias, Digest
from ..seqcol.archived import NamedRecord
from ..seqcol.digests import Member, digests_of, level2


class Stored(NamedTuple):
    """A member of a collection, and how its residues are stored."""

    name: str
    description: str
    length: int
    digest: Digest
    label: str
    """Of the alphabet of a RefgetStore; empty elsewhere."""

    @property
    def member(self) -> Member:
        """What the collection has of it."""
        return Member(self.name, self.length, self.digest)

    @property
    def defline(self) -> str:
        """What stands above it in a FASTA file."""
        return f"{self.name} {self.description}" if self.description else self.name


class ListedCollection:
    """A collection whose members are known. The digest is that of the members: who makes it has
    checked that."""

    def __init__(
        self,
        digest: Digest,
        members: Sequence[Stored],
        aliases: Sequence[Alias] = (),
        fhr: dict[str, Any] | None = None,
    ) -> None:
        self._digest = digest
        self._members = members
        self._aliases = aliases
        self._fhr = fhr

    def __repr__(self) -> str:
        return f"<seqarchive.ListedCollection {self.digest}, {len(self)} members>"

    def __len__(self) -> int:
        return len(self._members)

    @property
    def digest(self) -> str:
        """sha512t24u, without a prefix."""
        return self._digest

    @property
    def n_residues(self) -> int:
        """Of all members."""
        return sum(one.length for one in self._members)

    @property
    def line_bases(self) -> int | None:
        """None: nobody knows how the file was written."""
        return None

    def records(self) -> Iterator[NamedRecord]:
        """Its members with their deflines."""
        return (NamedRecord(one.defline, one.length, one.digest) for one in self._members)

    def members(self) -> Iterator[Member]:
        """Its members."""
        return (one.member for one in self._members)

    def level1(self) -> dict[str, str]:
        """The digests of its attributes."""
        return digests_of(self.members()).level1()

    def level2(self) -> dict[str, Sequence[object]]:
        """Its attributes as arrays."""
        return level2(self.members())

    def aliases(self) -> list[Alias]:
        """Its names."""
        return list(self._aliases)

    def fhr(self) -> dict[str, Any] | None:
        """What is said of it."""
        return self._fhr

    def metadata(self) -> dict[str, Any]:
        """What is known of it; ready for JSON."""
        return {
            "digest": self.digest,
            "n_sequences": len(self),
            "n_residues": self.n_residues,
            "aliases": [str(alias) for alias in self._aliases],
            "sources": [],
            **self.level1(),
        }
