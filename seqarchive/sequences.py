"""A sequence in an archive as a Python sequence, its residues fetched when they are asked for."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Protocol, SupportsIndex, overload

from .errors import SeqArchiveError
from .identifiers import Alias, Digest


class Residues(Protocol):
    """Where a sequence gets its residues and names from: an archive."""

    def fetch_digest(self, digest: Digest, start: int | None = None, end: int | None = None) -> str:
        """Residues of the sequence with a digest."""

    def aliases(self, identifier: str) -> list[Alias]:
        """The current aliases of a sequence."""


#: Residues fetched at a time when a whole sequence is walked through.
_PIECE = 1 << 16


class ArchivedSequence(Sequence[str]):
    """The residues of one sequence, 0-based; behaves like the ``str`` of them.

    Slices are ``str``. Equality is that of residues, the hash that of the digest: neither reads
    the archive when both sides come from one.
    """

    __slots__ = ("_archive", "_length", "digest", "identifier")

    def __init__(self, archive: Residues, identifier: str, digest: Digest, length: int) -> None:
        self._archive = archive
        self._length = length
        self.identifier = identifier
        self.digest = digest

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: SupportsIndex) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> str: ...
    def __getitem__(self, index: SupportsIndex | slice) -> str:
        if isinstance(index, slice):
            return self._slice(*index.indices(self._length))
        given = operator.index(index)
        position = given + self._length if given < 0 else given
        if not 0 <= position < self._length:
            raise IndexError(f"position {index} of {self._length} residues")
        return self._fetch(position, position + 1)

    def _slice(self, start: int, stop: int, step: int) -> str:
        if step > 0:
            return self._fetch(start, stop)[::step] if start < stop else ""
        return self._fetch(stop + 1, start + 1)[::step] if start > stop else ""

    def _fetch(self, start: int, end: int) -> str:
        return self._archive.fetch_digest(self.digest, start, end)

    def __iter__(self) -> Iterator[str]:
        for start in range(0, self._length, _PIECE):
            yield from self._fetch(start, min(start + _PIECE, self._length))

    def __reversed__(self) -> Iterator[str]:
        for end in range(self._length, 0, -_PIECE):
            yield from reversed(self._fetch(max(0, end - _PIECE), end))

    def __contains__(self, part: object) -> bool:
        if isinstance(part, ArchivedSequence):
            part = str(part)
        if not isinstance(part, str):
            raise TypeError(f"a sequence contains str, not {type(part).__name__}")
        return self.find(part) >= 0

    def find(self, part: str, start: int = 0, end: int | None = None) -> int:
        """The lowest position where ``part`` begins in ``[start, end)``, or -1; like str.find."""
        if start > self._length:
            return -1
        start, end, _ = slice(start, end).indices(self._length)
        if end - start < len(part):
            return -1
        for at in range(start, max(end - len(part), start) + 1, _PIECE):
            piece = self._fetch(at, min(at + _PIECE + len(part), end))
            found = piece.find(part)
            if found >= 0:
                return at + found
        return -1

    def index(self, part: str, start: int = 0, stop: int | None = None) -> int:
        """Like ``find``, but raises ValueError."""
        found = self.find(part, start, stop)
        if found < 0:
            raise ValueError("residues not found")
        return found

    def count(self, part: str) -> int:
        """How often ``part`` occurs without overlap; like str.count."""
        return str(self).count(part)

    def __str__(self) -> str:
        return self._archive.fetch_digest(self.digest)

    def __bytes__(self) -> bytes:
        return str(self).encode("ascii")

    def __add__(self, other: object) -> str:
        return (
            str(self) + str(other)
            if isinstance(other, (str, ArchivedSequence))
            else (NotImplemented)
        )

    def __radd__(self, other: object) -> str:
        return other + str(self) if isinstance(other, str) else NotImplemented

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ArchivedSequence):
            return self.digest == other.digest
        if isinstance(other, str):
            return len(other) == self._length and other == str(self)
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        try:
            shown = repr(self[:20] + ("..." if self._length > 20 else ""))
        except SeqArchiveError as error:  # of a traceback, say, that tells of this very damage
            shown = type(error).__name__
        return f"<{self.identifier}, {self._length} residues, {shown}>"

    def reverse_complement(self) -> str:
        """The reverse complement (IUPAC codes; RNA if there is U and no T)."""
        return reverse_complement(str(self))

    @property
    def aliases(self) -> list[Alias]:
        """The current aliases, sorted."""
        return self._archive.aliases("sha512t24u:" + self.digest)


def reverse_complement(residues: str) -> str:
    """The reverse complement (IUPAC codes; RNA if there is U and no T), by Biopython."""
    from Bio.Seq import reverse_complement as dna  # noqa: PLC0415  (0.1 s)
    from Bio.Seq import reverse_complement_rna as rna  # noqa: PLC0415

    is_rna = "U" in residues and "T" not in residues
    return str((rna if is_rna else dna)(residues))  # type: ignore[no-untyped-call]
