"""Chromosomes as operations read them: piece by piece, on either strand, and round and round."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..reference import Reference
from ..watching import require_wanted, stepping
from .nucleotides import Letters, reverse_complement

#: Residues that are in memory at a time, besides what a result needs of those that follow: as
#: many as the processor keeps near while they are looked at again and again.
PIECE = 1 << 20


class Piece(NamedTuple):
    """Some of a molecule."""

    start: int
    """Where it begins."""
    n: int
    """How many residues are its own."""
    letters: Letters
    """These, and some of those that follow."""


class Molecule:
    """One strand of a chromosome.

    Positions are those of the strand: on the reverse one, 0 is the last residue of the
    chromosome. If it is circular, positions go on beyond its length, where it begins again.

    Args:
        is_reverse: It is the reverse strand.
        is_cut: A circular one is read as if it were linear.
    """

    def __init__(
        self,
        genome: Reference,
        chrom: str,
        length: int,
        *,
        is_reverse: bool = False,
        is_cut: bool = False,
    ) -> None:
        self._genome = genome
        self.chrom = chrom
        self.length = length
        self.is_reverse = is_reverse
        self.is_circular = not is_cut and length > 0 and genome.is_circular(chrom)

    @property
    def strands(self) -> tuple[Molecule, Molecule]:
        """Both of them, the forward one first."""
        forward, reverse = (
            Molecule(
                self._genome,
                self.chrom,
                self.length,
                is_reverse=is_reverse,
                is_cut=not self.is_circular,
            )
            for is_reverse in (False, True)
        )
        return forward, reverse

    def residues(self, start: int, end: int) -> bytes:
        """Upper case, with T for U; those that a linear molecule does not have are left out."""
        if not self.is_circular:
            return self._read(start, min(end, self.length))
        parts = []
        while start < end:
            at = start % self.length
            n = min(end - start, self.length - at)
            parts.append(self._read(at, at + n))
            start += n
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def letters(self, start: int, end: int) -> Letters:
        """The same as numbers."""
        return np.frombuffer(self.residues(start, end), np.uint8)

    def _read(self, start: int, end: int) -> bytes:
        if start >= end:
            return b""
        if self.is_reverse:
            start, end = self.length - end, self.length - start
        found = self._genome.residues(self.chrom, start, end).replace(b"U", b"T")
        return reverse_complement(found) if self.is_reverse else found

    def pieces(self, after: int = 0, end: int | None = None) -> Iterator[Piece]:
        """All of it, one piece after another.

        Args:
            after: How many residues each shows of those that follow it.
            end: Where to end, if not at its length.

        Raises:
            Cancelled: Nobody wants the result any more.
        """
        stop = self.length if end is None else end
        for start in range(0, stop, PIECE):
            require_wanted()
            n = min(PIECE, stop - start)
            yield Piece(start, n, self.letters(start, start + n + after))


def molecules(genome: Reference, *, is_cut: bool = False) -> Iterator[Molecule]:
    """The forward strands of a genome, one after another.

    Args:
        is_cut: Circular ones are read as if they were linear.

    Raises:
        Cancelled: Nobody wants the result any more.
    """
    lengths = dict(genome.chrom_lengths)
    for chrom in stepping(lengths):
        yield Molecule(genome, chrom, lengths[chrom], is_cut=is_cut)
