"""Genomes as operations see them: residues by chromosome, wherever they are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput, BadInterval, NotFound


class Reference(Protocol):
    """Residues of a genome, by chromosome."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def chrom_lengths(self) -> Mapping[str, int]:
        """Chromosomes in order, with their lengths in residues."""
        ...

    def residues(self, chrom: str, start: int = 0, end: int | None = None) -> bytes:
        """Residues in upper case, 0-based and half-open.

        Raises:
            NotFound: No such chromosome. BadInterval: It is not that long.
        """
        ...

    def is_circular(self, chrom: str) -> bool:
        """Whether the last residue of a chromosome is before its first."""
        ...

    def masked(self, chrom: str) -> NDArray[np.int64]:
        """What was in lower case: starts and ends, in two columns."""
        ...


class Genome:
    """A genome in memory.

    Args:
        name: What it is called.
        features: What is said of places in it; kept as it is given.
        sequences: Chromosome -> residues; lower case is soft-masked.
        references: Kept as it is given.
        topologies: Chromosome -> ``circular`` or ``linear``, which is what others are.
    """

    def __init__(
        self,
        name: str,
        features: Mapping[str, Any] | None = None,
        sequences: Mapping[str, str] | None = None,
        references: Sequence[Any] = (),
        topologies: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.features = features or {}
        self.sequences = dict(sequences or {})
        self.references = references
        self.topologies = dict(topologies or {})

    def __repr__(self) -> str:
        return f"<Genome {self.name!r}: {len(self.sequences):,} chromosomes>"

    @property
    def n_bytes(self) -> int:
        """About what it takes in memory."""
        return 500 + sum(100 + len(residues) for residues in self.sequences.values())

    @property
    def chrom_lengths(self) -> dict[str, int]:
        """Chromosomes in order, with their lengths in residues."""
        return {name: len(residues) for name, residues in self.sequences.items()}

    def _sequence(self, chrom: str) -> str:
        try:
            return self.sequences[chrom]
        except KeyError:
            raise NotFound(f"{self.name} has no chromosome {chrom!r}") from None

    def residues(self, chrom: str, start: int = 0, end: int | None = None) -> bytes:
        """Residues in upper case, 0-based and half-open.

        Raises:
            NotFound: No such chromosome. BadInterval: It is not that long.
        """
        whole = self._sequence(chrom)
        stop = len(whole) if end is None else end
        if not 0 <= start <= stop <= len(whole):
            raise BadInterval(f"{chrom} has {len(whole):,} residues, not {start:,}-{stop:,}")
        try:
            return whole[start:stop].upper().encode("ascii")
        except UnicodeEncodeError:
            raise BadInput(f"{self.name}, {chrom}: not residues") from None

    def is_circular(self, chrom: str) -> bool:
        """Whether the last residue of a chromosome is before its first."""
        return self.topologies.get(chrom) == "circular"

    def masked(self, chrom: str) -> NDArray[np.int64]:
        """What was in lower case: starts and ends, in two columns."""
        letters = np.frombuffer(self._sequence(chrom).encode("ascii"), np.uint8)
        return runs_of((letters >= ord("a")) & (letters <= ord("z")))


def runs_of(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Where a mask is true: starts and ends, in two columns."""
    outside = np.zeros(1, np.int8)  # of one byte, lest all become of eight
    edges = np.flatnonzero(np.diff(np.concatenate((outside, mask.view(np.int8), outside))))
    return edges.reshape(-1, 2).astype(np.int64)
