"""Collections of a registry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import zstandard

from ..errors import Corrupt
from ..identifiers import Alias, Digest, digest_text, parse_digest
from ..seqcol.archived import NamedRecord
from ..seqcol.digests import CollectionDigests, Member, canonical_json, level2
from .tables import KEPT

#: Bytes of an array at most: some 20 million names.
_MAX_ARRAY = 1 << 30


class Arrays(Protocol):
    """What collections need of the registry that they are in."""

    def arrays(self, digests: Sequence[str]) -> dict[str, bytes]:
        """Arrays as they are kept, by their digests."""

    def aliases(self, kind: str, digest: str) -> list[Alias]:
        """The names of a sequence or a collection."""

    def fhr(self, digest: str) -> dict[str, Any] | None:
        """What is said of a collection."""


def packed(array: Sequence[object]) -> bytes:
    """An array as it is kept."""
    return zstandard.compress(canonical_json(array))


def unpacked(data: bytes, digest: str, where: str) -> list[Any]:
    """The array of a digest.

    Raises:
        Corrupt: It is another one, or none.
    """
    try:
        size = zstandard.frame_content_size(data)
        if not 0 <= size <= _MAX_ARRAY:
            raise Corrupt(f"{where}: the array {digest} has an impossible size")
        text = zstandard.ZstdDecompressor().decompress(data)
    except zstandard.ZstdError:
        raise Corrupt(f"{where}: the array {digest} is damaged") from None
    if digest_text(hashlib.sha512(text).digest()[:24]) != digest:
        raise Corrupt(f"{where}: the array {digest} has another digest")
    found: list[Any] = json.loads(text)
    return found


class RegisteredCollection:
    """A collection of a registry. Its arrays are read, and checked, when they are needed."""

    def __init__(self, registry: Arrays, where: str, row: Mapping[str, Any]) -> None:
        self._registry = registry
        self._where = where
        self.digests = CollectionDigests(**{name: row[name] for name in CollectionDigests._fields})
        self.n_members: int = row["n_members"]
        self.n_residues: int = row["n_residues"]
        self.title: str | None = row["title"]
        """What people call it."""

    def __repr__(self) -> str:
        return f"<seqarchive.RegisteredCollection {self.digest}, {self.n_members} members>"

    def __len__(self) -> int:
        return self.n_members

    @property
    def digest(self) -> Digest:
        """What the standard calls it: sha512t24u, without a prefix."""
        return self.digests.digest

    @property
    def line_bases(self) -> int | None:
        """None: it is not known how the file was written."""
        return None

    def members(self) -> Iterator[Member]:
        """Its members, in order.

        Raises:
            Corrupt: Its arrays are not those of its digests.
        """
        wanted = [getattr(self.digests, name) for name in KEPT]
        kept = self._registry.arrays(wanted)
        missing = [digest for digest in wanted if digest not in kept]
        if missing:
            raise Corrupt(f"{self._where}: the array {missing[0]} of {self.digest} is missing")
        arrays = [unpacked(kept[digest], digest, self._where) for digest in wanted]
        if {len(array) for array in arrays} != {self.n_members}:
            raise Corrupt(f"{self._where}: the arrays of {self.digest} differ in length")
        return (
            Member(name, length, parse_digest(sequence))
            for name, sequence, length in zip(*_in_order(arrays), strict=True)
        )

    def records(self) -> Iterator[NamedRecord]:
        """Its members in order; their names are all that is known of deflines."""
        return (NamedRecord(one.name, one.length, one.digest) for one in self.members())

    def level1(self) -> dict[str, str]:
        """The digests of its attributes."""
        return self.digests.level1()

    def level2(self) -> dict[str, Sequence[object]]:
        """Its attributes as arrays."""
        return level2(self.members())

    def aliases(self) -> list[Alias]:
        """Its names, sorted."""
        return self._registry.aliases("collection", self.digest)

    def fhr(self) -> dict[str, Any] | None:
        """What is said of it (FHR); None if nothing is."""
        return self._registry.fhr(self.digest)

    def metadata(self) -> dict[str, Any]:
        """What is known of it; ready for JSON."""
        return {
            "digest": self.digest,
            "title": self.title,
            "n_sequences": self.n_members,
            "n_residues": self.n_residues,
            "aliases": [str(alias) for alias in self.aliases()],
            "sources": [],
            **self.level1(),
        }


def _in_order(arrays: Iterable[list[Any]]) -> list[list[Any]]:
    """Names, sequences and lengths."""
    by_name = dict(zip(KEPT, arrays, strict=True))
    return [by_name[name] for name in ("names", "sequences", "lengths")]
