"""CpG islands, as Gardiner-Garden and Frommer (1987) or Takai and Jones (2002) define them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..columns import Bools, Floats, Ints
from ..reference import Reference
from ..track import INTERVAL, IntervalTrack
from ..watching import require_wanted
from .found import Found
from .molecules import PIECE, Molecule, molecules
from .nucleotides import Letters
from .registry import INTEGER, NUMBER, Parameter, genome, operation


@operation(
    "genome.cpg_islands",
    "Stretches rich in G, C and CpG.",
    inputs=[genome()],
    params=[
        Parameter("min_length", INTEGER, "residues, at least", 200, minimum=10, maximum=1_000_000),
        Parameter("min_gc", NUMBER, "the share of G and C, at least", 0.5, minimum=0, maximum=1),
        Parameter(
            "min_ratio",
            NUMBER,
            "CpG there are to those expected from G and C, at least",
            0.6,
            minimum=0,
        ),
    ],
    output=INTERVAL,
)
def cpg_islands(
    genome: Reference, *, min_length: int = 200, min_gc: float = 0.5, min_ratio: float = 0.6
) -> IntervalTrack:
    """Stretches of ``min_length`` residues or more that satisfy both criteria: the share of G and
    C in all residues is ``min_gc`` or more, and the ratio of observed to expected CpG,
    CpG * length / (C * G), is ``min_ratio`` or more (it is 0 without C or without G). All letters
    count for the length, N too. The defaults are those of Gardiner-Garden and Frommer; Takai and
    Jones have 500, 0.55 and 0.65.

    Which ones: all windows of exactly ``min_length`` residues that satisfy the criteria are
    found, and merged where they overlap or touch. A merged stretch that satisfies them as a whole
    is an island. Any other is cut into islands, from left to right: each begins with the first
    window that satisfies them after the island before, and goes on residue by residue as long as
    all of it satisfies them and the merged stretch lasts. Circular molecules are read as if they
    were linear.

    The name is ``CpG:`` with the number of CpG, the score is the ratio, and the tags are ``gc``
    and ``ratio``, rounded to 4 digits, and ``n_cpg``.

    Raises:
        BadInput: There are too many.
    """
    found = Found("genome.cpg_islands")
    criteria = _Criteria(min_length, min_gc, min_ratio)
    for molecule in molecules(genome, is_cut=True):
        table = _stretches(molecule, criteria, found)
        is_whole = criteria.hold(table[:, 1] - table[:, 0], *table[:, 2:].T)
        rows = [table[is_whole]]
        for start, end in table[~is_whole, :2].tolist():
            rows += [np.array([one]) for one in _cut(molecule, criteria, start, end)]
            found.require_room_for(len(rows))
        _add(found, molecule, np.concatenate(rows))
    return found.track()


def _add(found: Found, molecule: Molecule, table: Ints) -> None:
    starts, ends, c, g, cpg = table.T
    ratios = _ratios(ends - starts, c, g, cpg)
    shares = (c + g) / np.maximum(ends - starts, 1)
    found.add(
        molecule,
        starts,
        ends,
        scores=ratios,
        names=[f"CpG:{n}" for n in cpg.tolist()],
        tags=[
            {"gc": round(share, 4), "ratio": round(ratio, 4), "n_cpg": n}
            for share, ratio, n in zip(shares.tolist(), ratios.tolist(), cpg.tolist(), strict=True)
        ],
    )


def _ratios(lengths: Ints, c: Ints, g: Ints, cpg: Ints) -> Floats:
    found: Floats = cpg * lengths / np.maximum(c * g, 1)
    return found


@dataclass(frozen=True)
class _Criteria:
    length: int
    gc: float
    ratio: float

    @cached_property
    def _enough(self) -> int:
        """The least C and G of a window, found as the criterion is: by division."""
        return int(np.searchsorted(np.arange(self.length + 1) / self.length, self.gc))

    def hold(self, lengths: Ints, c: Ints, g: Ints, cpg: Ints) -> Bools:
        """Whether stretches satisfy them, apart from the least length."""
        found: Bools = ((c + g) / np.maximum(lengths, 1) >= self.gc) & (
            _ratios(lengths, c, g, cpg) >= self.ratio
        )
        return found

    def windows(self, counts: _Counts, n: int) -> Ints:
        """Where windows begin that satisfy them, in the first ``n`` letters."""
        n = min(n, len(counts.c) - self.length)
        if n <= 0:
            return np.empty(0, np.int64)
        c, g = (at[self.length : self.length + n] - at[:n] for at in (counts.c, counts.g))
        where = np.flatnonzero(c + g >= self._enough)
        c, g = c[where].astype(np.int64), g[where].astype(np.int64)
        cpg = (counts.cpg[where + self.length - 1] - counts.cpg[where]).astype(np.int64)
        return where[_ratios(np.int64(self.length), c, g, cpg) >= self.ratio]


class _Counts:
    """How many C, G and CpG begin before each position of some letters, and before their end."""

    def __init__(self, letters: Letters) -> None:
        is_c, is_g = letters == ord("C"), letters == ord("G")
        self.c, self.g, self.cpg = map(_before, (is_c, is_g, is_c[:-1] & is_g[1:]))

    def between(self, starts: Ints, ends: Ints, *, is_cut: bool = True) -> Ints:
        """C, G and CpG of stretches, in three columns.

        Args:
            is_cut: CpG of which only the C is in a stretch are not in it.
        """
        c, g = (at[ends] - at[starts] for at in (self.c, self.g))
        lasts = np.maximum(ends - 1, starts) if is_cut else np.minimum(ends, len(self.cpg) - 1)
        cpg = self.cpg[lasts] - self.cpg[starts]
        return np.column_stack((c, g, cpg)).astype(np.int64)


def _before(mask: Bools) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    found = np.zeros(len(mask) + 1, np.int32)
    np.cumsum(mask.view(np.uint8), out=found[1:])
    return found


def _stretches(molecule: Molecule, criteria: _Criteria, found: Found) -> Ints:
    """What windows are merged to: starts, ends, C, G and CpG, in five columns."""
    tables = [np.empty((0, 8), np.int64)]  # the counts: before each start, and before each end
    totals, n_rows = np.zeros(3, np.int64), 0
    for start, n, letters in molecule.pieces(after=criteria.length - 1):
        counts = _Counts(letters)
        firsts, lasts = _runs(criteria.windows(counts, n), criteria.length)
        ends = lasts + criteria.length
        zeros = np.zeros_like(firsts)
        before = totals + counts.between(zeros, firsts, is_cut=False)
        upto = totals + counts.between(zeros, ends)
        tables.append(np.column_stack((firsts + start, ends + start, before, upto)))
        totals = totals + counts.between(np.array([0]), np.array([n]), is_cut=False)[0]
        n_rows += len(firsts)
        found.require_room_for(n_rows)
    table = np.concatenate(tables)
    goes_on = table[1:, 0] <= table[:-1, 1]
    first = table[np.concatenate(([True], ~goes_on))[: len(table)]]
    last = table[np.append(~goes_on, True)[: len(table)]]
    return np.column_stack((first[:, 0], last[:, 1], last[:, 5:] - first[:, 2:5]))


def _runs(windows: Ints, length: int) -> tuple[Ints, Ints]:
    """The first and the last of windows that overlap or touch."""
    goes_on = np.diff(windows) <= length
    first = windows[np.concatenate(([True], ~goes_on))[: len(windows)]]
    last = windows[np.append(~goes_on, True)[: len(windows)]]
    return first, last


def _cut(
    molecule: Molecule, criteria: _Criteria, start: int, end: int
) -> Iterator[tuple[int, int, int, int, int]]:
    """The islands of a stretch that is none: starts, ends, C, G and CpG. At its start is a window
    that satisfies the criteria."""
    at: int | None = start
    while at is not None:
        require_wanted()
        island = _grown(molecule, criteria, at, end)
        yield island
        at = _next_window(molecule, criteria, island[1], end)


def _grown(
    molecule: Molecule, criteria: _Criteria, start: int, end: int
) -> tuple[int, int, int, int, int]:
    """How far a window can go on."""
    length, size = criteria.length, 4 * criteria.length
    whole = _Counts(molecule.letters(start, start + length))
    c, g, cpg = whole.between(np.array([0]), np.array([length]))[0].tolist()
    while start + length < end:
        letters = molecule.letters(start + length - 1, min(start + length + size, end))
        counts, n = _Counts(letters), len(letters) - 1
        cs = c + counts.c[2:].astype(np.int64) - counts.c[1]
        gs = g + counts.g[2:].astype(np.int64) - counts.g[1]
        cpgs = cpg + counts.cpg[1:].astype(np.int64)
        holds = criteria.hold(length + np.arange(1, n + 1), cs, gs, cpgs)
        n_more = n if holds.all() else int(np.argmin(holds))
        if n_more:
            c, g, cpg = int(cs[n_more - 1]), int(gs[n_more - 1]), int(cpgs[n_more - 1])
        length += n_more
        if n_more < n:
            break
        size = min(2 * size, PIECE)
    return start, start + length, c, g, cpg


def _next_window(molecule: Molecule, criteria: _Criteria, start: int, end: int) -> int | None:
    """Where the next one begins that satisfies the criteria. In a merged stretch each begins where
    another one ends at the latest, and thus not more than its length after ``start``."""
    letters = molecule.letters(start, min(start + 2 * criteria.length, end))
    where = criteria.windows(_Counts(letters), len(letters))
    return start + int(where[0]) if len(where) else None
