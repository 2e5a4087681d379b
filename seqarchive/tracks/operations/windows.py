"""Windows along a molecule, and how many letters of some kinds are in each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..columns import Floats, Ints, Steps
from ..reference import Reference
from ..track import SignalTrack
from .found import require_room
from .molecules import Molecule
from .nucleotides import Letters
from .registry import INTEGER, NUMBER, Parameter

#: The parameters of operations that compute something in windows.
WINDOW_PARAMS = (
    Parameter("window", INTEGER, "residues of a window", 1000, minimum=1, maximum=1 << 40),
    Parameter(
        "step",
        INTEGER,
        "residues from one window to the next; 0 is as many as a window has",
        0,
        minimum=0,
        maximum=1 << 40,
    ),
    Parameter(
        "min_known",
        NUMBER,
        "the share of A, C, G, T, S and W that a window must have to have a value",
        0.0,
        minimum=0.0,
        maximum=1.0,
    ),
)


@dataclass(frozen=True)
class Windows:
    """Windows that all have one size, with as many residues from each to the next.

    The value of a window is that of its cell: the residues from ``n * step`` up to the next step.
    If the step is the window, the cell is the window, and the last one is shorter. If it is
    smaller, the cell is in the middle of the window, which has ``(window - step) // 2`` residues
    before the cell; it is cut where a linear molecule ends, and goes on across the origin of a
    circular one (a molecule that is not longer than a window is one itself). If the step is
    larger, the window is the cell, and there are no values between them.
    """

    size: int
    step: int

    @classmethod
    def of(cls, window: int, step: int) -> Windows:
        """From two parameters; a step of 0 is the window."""
        return cls(window, step or window)

    def require_room(self, genome: Reference) -> None:
        """Raise BadInput if a genome has too many of them."""
        require_room(sum(-(-n // self.step) for n in genome.chrom_lengths.values()), "windows")

    def cells(self, length: int) -> tuple[Ints, Ints]:
        """Where those of a molecule begin and end."""
        starts = np.arange(0, length, self.step, dtype=np.int64)
        return starts, np.minimum(starts + min(self.step, self.size), length)

    def bounds(self, molecule: Molecule) -> tuple[Ints, Ints]:
        """Where they begin and end; before 0, or beyond the length, in a circular molecule."""
        length = molecule.length
        starts = np.arange(0, length, self.step, dtype=np.int64)
        starts -= max(0, self.size - self.step) // 2
        ends = starts + self.size
        if not molecule.is_circular or self.step >= self.size:
            return np.maximum(starts, 0), np.minimum(ends, length)
        if self.size >= length:
            return np.zeros_like(starts), np.full_like(ends, length)
        return starts, ends

    def counts(self, molecule: Molecule, kinds: Sequence[bytes]) -> list[Ints]:
        """For each kind, how many letters of it are in each window."""
        starts, ends = self.bounds(molecule)
        length = molecule.length
        turns, where = np.divmod(np.concatenate((starts, ends)), max(length, 1))
        at = np.sort(where, kind="stable")  # two sorted halves, or nearly: np.unique takes 10 times
        at = at[np.flatnonzero(np.diff(at, prepend=-1))]
        which = np.searchsorted(at, where)
        found = []
        for before, total in zip(*_counts_before(molecule, kinds, at), strict=True):
            counts = before[which] + turns * total
            found.append(counts[len(starts) :] - counts[: len(starts)])
        return found


def _counts_before(
    molecule: Molecule, kinds: Sequence[bytes], positions: Ints
) -> tuple[list[Ints], list[int]]:
    """How many letters of each kind are before some positions, and in all. Positions are sorted,
    different from each other, and in the molecule."""
    totals = [0] * len(kinds)
    counts = [np.zeros(len(positions), np.int64) for _ in kinds]
    for start, n, letters in molecule.pieces():
        first, last = np.searchsorted(positions, (start, start + n))
        cuts = positions[first:last] - start
        has_first = len(cuts) > 0 and cuts[0] == 0
        edges = cuts if has_first else np.concatenate(([0], cuts))
        for kind, letters_of_kind in enumerate(kinds):
            sums = np.add.reduceat(_is_one_of(letters, letters_of_kind), edges, dtype=np.uint32)
            upto = np.cumsum(sums, dtype=np.int64)
            before = np.concatenate(([0], upto[:-1])) if has_first else upto[:-1]
            counts[kind][first:last] = before + totals[kind]
            totals[kind] += int(upto[-1])
    return counts, totals


def _is_one_of(letters: Letters, some: Iterable[int]) -> NDArray[np.uint8]:
    found = np.zeros(len(letters), np.bool_)
    for letter in some:
        found |= letters == letter
    return found.view(np.uint8)


def signal_in_windows(
    name: str, genome: Reference, windows: Windows, values: dict[str, Floats]
) -> SignalTrack:
    """A signal of one value for each window of each chromosome; NaN where there is none."""
    lengths = dict(genome.chrom_lengths)
    return SignalTrack.of(
        name,
        lengths,
        {chrom: Steps.of(*windows.cells(lengths[chrom]), some) for chrom, some in values.items()},
    )
