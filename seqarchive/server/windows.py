"""What a window of a chromosome shows of a track: columns of its entries, and a summary in bins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..errors import BadInput
from ..tracks.columns import NO_INTERVALS, Floats, Intervals, Ints, Steps
from ..tracks.track import AnyTrack, IntervalTrack, SignalTrack, type_of

#: Residues of a signal that are looked at together.
_SLICE = 1 << 20


class Window(NamedTuple):
    """A piece of a chromosome: 0-based, half-open, in residues."""

    chrom: str
    start: int
    end: int


def intervals_in(track: IntervalTrack, window: Window, length: int) -> Intervals:
    """The intervals that have a residue in a window, whole.

    Args:
        length: Of the chromosome.
    """
    chrom, start, end = window
    if start >= end:
        return NO_INTERVALS
    if start > 0 or end < length:
        return track.overlapping(chrom, start, end)
    columns = track.columns(chrom)  # which stays at hand for the next page of it
    return columns.taken(columns.overlapping(start, end))


def summary_of(track: AnyTrack, window: Window, n_bins: int, length: int) -> dict[str, Any]:
    """A track in bins of about the same length, for a picture.

    Args:
        n_bins: At most; there are no more than residues.
        length: Of the chromosome, in residues.

    Returns:
        The ``edges`` of bins, and for each of them: of a signal, ``mean``, ``min`` and ``max`` (NaN
        where there is no value) and ``coverage``, the part of it that has one; of intervals,
        ``coverage``, the part of it that lies in any, and ``count``, how many lie in it.

    Raises:
        BadInput: It is a table, which is nowhere; or the window is empty.
    """
    if window.start >= window.end:
        raise BadInput("the region is empty")
    edges = edges_of(window, n_bins)
    if isinstance(track, SignalTrack):
        return _signal(track, window, edges)
    if isinstance(track, IntervalTrack):
        return _intervals(intervals_in(track, window, length), window, edges)
    raise BadInput(f"{track.name} is a {type_of(track)}, which has no places")


def edges_of(window: Window, n_bins: int) -> Ints:
    """Where bins begin, and where the last one ends."""
    n = window.end - window.start
    n_bins = max(1, min(n_bins, n))
    return np.arange(n_bins + 1, dtype=np.int64) * n // n_bins + window.start


class _Pieces(NamedTuple):
    """Ranges, cut where bins meet; in the order of the bins."""

    which: Ints
    """The range that each one is of."""
    bins: Ints
    lengths: Ints


def _cut(starts: Ints, ends: Ints, edges: Ints) -> _Pieces:
    """Ranges that are not empty, lie inside the edges, are sorted and apart from each other."""
    first = np.searchsorted(edges, starts, side="right") - 1
    last = np.searchsorted(edges, ends, side="left") - 1
    counts = last - first + 1
    which = np.repeat(np.arange(len(starts)), counts)
    bins = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts) + first[which]
    lengths = np.minimum(ends[which], edges[bins + 1]) - np.maximum(starts[which], edges[bins])
    return _Pieces(which, bins, lengths)


@dataclass
class _Values:
    """What is known of each bin so far."""

    n_bins: int
    sums: Floats = field(init=False)
    covered: Floats = field(init=False)
    lowest: Floats = field(init=False)
    highest: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.sums, self.covered = np.zeros(self.n_bins), np.zeros(self.n_bins)
        self.lowest, self.highest = np.full(self.n_bins, np.inf), np.full(self.n_bins, -np.inf)

    def add(self, steps: Steps, edges: Ints) -> None:
        if not len(steps):
            return
        pieces = _cut(steps.starts, steps.ends, edges)
        values = steps.values[pieces.which]
        self.sums += np.bincount(pieces.bins, values * pieces.lengths, self.n_bins)
        self.covered += np.bincount(pieces.bins, pieces.lengths, self.n_bins)
        begins = np.flatnonzero(np.diff(pieces.bins, prepend=-1))
        bins = pieces.bins[begins]
        self.lowest[bins] = np.minimum(self.lowest[bins], np.minimum.reduceat(values, begins))
        self.highest[bins] = np.maximum(self.highest[bins], np.maximum.reduceat(values, begins))


def _signal(track: SignalTrack, window: Window, edges: Ints) -> dict[str, Any]:
    found = _Values(len(edges) - 1)
    with np.errstate(invalid="ignore", over="ignore"):
        for steps in slices_of(track, window):
            found.add(steps, edges)
        there = found.covered > 0
        mean = np.divide(found.sums, found.covered, np.full(len(there), np.nan), where=there)
    return {
        "edges": edges,
        "mean": mean,
        "min": np.where(there, found.lowest, np.nan),
        "max": np.where(there, found.highest, np.nan),
        "coverage": found.covered / np.diff(edges),
    }


def slices_of(track: SignalTrack, window: Window) -> Iterator[Steps]:
    """A signal piece by piece, so that there is never much of it; steps are cut between pieces."""
    for start in range(window.start, window.end, _SLICE):
        yield track.steps(window.chrom, start, min(start + _SLICE, window.end))


def _intervals(columns: Intervals, window: Window, edges: Ints) -> dict[str, Any]:
    n_bins = len(edges) - 1
    starts = np.maximum(columns.starts, window.start)
    ends = np.minimum(columns.ends, window.end)
    first = np.searchsorted(edges, starts, side="right") - 1
    last = np.searchsorted(edges, ends, side="left") - 1
    changes = np.bincount(first, minlength=n_bins + 1) - np.bincount(last + 1, minlength=n_bins + 1)
    pieces = _cut(*_union(starts, ends), edges)
    covered = np.bincount(pieces.bins, pieces.lengths, n_bins)
    return {
        "edges": edges,
        "coverage": covered / np.diff(edges),
        "count": np.cumsum(changes)[:n_bins],
    }


def _union(starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """Ranges sorted by their starts, with those joined that touch or overlap."""
    if not len(starts):
        return starts, ends
    reach = np.maximum.accumulate(ends)
    begins = np.concatenate(([True], starts[1:] > reach[:-1]))
    lasts = np.concatenate((begins[1:], [True]))
    return starts[begins], reach[lasts]
