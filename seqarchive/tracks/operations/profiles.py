"""Profiles: what lies along one chromosome, asked for the mean, the maximum ... of many ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..columns import Bools, Floats, Intervals, Ints, Steps
from ..track import IntervalTrack, SignalTrack
from .sweeps import distinct, merged, quotients, settled, summed

MEAN, SUM, MAX, MIN, COUNT, COVERAGE = "mean", "sum", "max", "min", "count", "coverage"


class Totals:
    """Sums of any part of a column of numbers.

    What is lost in rounding is summed up too: a part is as exact as if it were summed alone, though
    what is before it be larger by far. Infinities and NaN make only the parts infinite or NaN that
    have one.
    """

    def __init__(self, values: Floats) -> None:
        is_finite = np.isfinite(values)
        finite = values if is_finite.all() else np.where(is_finite, values, 0.0)
        largest = float(np.abs(finite).max(initial=0.0)) * max(1, len(values))
        # Sums beyond the largest number would spoil all that comes after them.
        self._scale = 1.0 if largest < 1e300 else 2.0**-100
        total = np.concatenate((np.zeros(1), np.cumsum(finite * self._scale)))
        before, added = total[:-1], finite * self._scale
        kept = total[1:] - before
        lost = (before - (total[1:] - kept)) + (added - kept)
        self._total = total
        self._lost = np.concatenate((np.zeros(1), np.cumsum(lost)))
        self._infinite: list[tuple[float, Ints]] = []
        if finite is not values:
            for sign in (np.inf, -np.inf):
                has = (values == sign) | np.isnan(values)
                self._infinite.append((sign, np.concatenate(([0], np.cumsum(has)))))

    def between(self, first: Ints, last: Ints) -> Floats:
        """The sums of ``[first, last)`` each."""
        with np.errstate(all="ignore"):
            found = self._total[last] - self._total[first]
            found = (found + (self._lost[last] - self._lost[first])) / self._scale
            for sign, counts in self._infinite:
                found = np.where(counts[last] > counts[first], found + sign, found)
        return found


def _nodes(first: Ints, last: Ints) -> Iterator[tuple[int, NDArray[np.intp], Ints]]:
    """The nodes of a binary tree that make up ranges of its leaves: level, of which ranges, and
    which node of the level; each range has at most two of a level."""
    left, right, level = first.copy(), last.copy(), 0
    while True:
        open_ = left < right
        if not open_.any():
            return
        which = np.flatnonzero(open_ & (left % 2 == 1))
        yield level, which, left[which]
        left[which] += 1
        which = np.flatnonzero((left < right) & (right % 2 == 1))
        right[which] -= 1
        yield level, which, right[which]
        left, right, level = left // 2, right // 2, level + 1


def highest(values: Floats, first: Ints, last: Ints) -> Floats:
    """The maximum of ``values[first:last]`` each; -inf if there is none."""
    found = np.full(len(first), -np.inf)
    rows, at = values, 0
    for level, which, nodes in _nodes(first, last):
        if level > at:
            rows = np.append(rows, -np.inf) if len(rows) % 2 else rows
            rows, at = np.maximum(rows[::2], rows[1::2]), level
        found[which] = np.maximum(found[which], rows[nodes])
    return found


def painted(values: Floats, first: Ints, last: Ints, n: int) -> Floats:
    """The maximum of the values whose ranges ``[first, last)`` have each of ``n`` places; -inf
    where none has."""
    rows: list[Floats] = []
    for level, which, nodes in _nodes(first, last):
        while len(rows) <= level:
            rows.append(np.full((len(rows[-1]) + 1) // 2 if rows else n, -np.inf))
        np.maximum.at(rows[level], nodes, values[which])
    while len(rows) > 1:
        above = rows.pop()
        rows[-1] = np.maximum(rows[-1], np.repeat(above, 2)[: len(rows[-1])])
    return rows[0] if rows else np.full(n, -np.inf)


class Areas:
    """Pieces that are sorted and apart, each with a height: how much there is in any range."""

    def __init__(self, starts: Ints, ends: Ints, heights: Floats) -> None:
        self._starts, self._ends, self._heights = starts, ends, heights
        with np.errstate(all="ignore"):
            self._totals = Totals(heights * (ends - starts))

    def over(self, starts: Ints, ends: Ints) -> Floats:
        """Heights times residues of each range; 0.0 where no piece is."""
        first, last = within(self._starts, self._ends, starts, ends)
        found = np.zeros(len(starts))
        which = np.flatnonzero(last > first)
        first, last, starts, ends = first[which], last[which] - 1, starts[which], ends[which]
        cut_starts = np.maximum(self._starts[first], starts)
        cut_ends = np.minimum(self._ends[last], ends)
        with np.errstate(all="ignore"):
            # The first and the last piece, which may be cut, and what is between them.
            head = self._heights[first] * (np.minimum(self._ends[first], ends) - cut_starts)
            tail = self._heights[last] * (cut_ends - self._starts[last])
            middle = self._totals.between(np.minimum(first + 1, last), last)
            found[which] = np.where(last > first, head + middle + tail, head)
        return found


def within(starts: Ints, ends: Ints, range_starts: Ints, range_ends: Ints) -> tuple[Ints, Ints]:
    """From which piece to before which one there are residues of each range.

    Args:
        starts, ends: Of the pieces, which are sorted and apart.
    """
    first = np.searchsorted(ends, range_starts, "right")
    last = np.searchsorted(starts, range_ends, "left")
    return first, np.where(range_ends > range_starts, np.maximum(first, last), first)


class _Layers(NamedTuple):
    """A chromosome cut wherever an interval begins or ends."""

    starts: Ints
    ends: Ints
    depths: Floats
    """How many intervals are there."""
    sums: Floats
    """Of their scores."""
    first: Ints | None
    """Of each interval: from which piece it goes ..."""
    last: Ints | None
    """... to before which one; None if each interval is a piece."""


def _layers(starts: Ints, ends: Ints, scores: Floats) -> _Layers:
    if not (starts[1:] < ends[:-1]).any():
        return _Layers(starts, ends, np.ones(len(starts)), scores, None, None)
    edges = distinct(starts, ends)
    first, last = np.searchsorted(edges, starts), np.searchsorted(edges, ends)
    at = np.concatenate((first, last))
    order = np.argsort(at, kind="stable")
    n_until = np.cumsum(np.bincount(at, minlength=len(edges)))[:-1]
    begin = np.zeros(len(n_until), np.int64)

    def standing(values: Floats) -> Floats:
        """The sum of the values of the intervals that are at each piece."""
        return Totals(np.concatenate((values, -values))[order]).between(begin, n_until)

    depths = standing(np.ones(len(scores)))
    is_finite = np.isfinite(scores)
    sums = np.where(depths > 0, standing(np.where(is_finite, scores, 0.0)), 0.0)
    if not is_finite.all():
        for sign in (np.inf, -np.inf):
            with np.errstate(invalid="ignore"):
                there = standing((scores == sign).astype(np.float64)) > 0
                sums = np.where(there, sums + sign, sums)
    return _Layers(edges[:-1], edges[1:], depths, sums, first, last)


class Profile:
    """Entries along one chromosome, as what they say of its residues.

    An interval is its score at each of its residues, and so is a step of a signal. An interval
    whose score is missing covers residues and is counted, but has no part in mean, sum, maximum
    and minimum.

    Args:
        starts, ends: Sorted by start.
        scores: NaN where it is missing.
        is_signal: What is counted is residues, and not entries.
    """

    def __init__(self, starts: Ints, ends: Ints, scores: Floats, *, is_signal: bool) -> None:
        has = ends > starts
        if not has.all():
            starts, ends, scores = starts[has], ends[has], scores[has]
        self._starts, self._ends, self._scores = starts, ends, scores
        self._is_signal = is_signal

    @classmethod
    def of(cls, entries: Intervals | Steps) -> Profile:
        """That of intervals, or of a signal."""
        if isinstance(entries, Steps):
            return cls(entries.starts, entries.ends, entries.values, is_signal=True)
        entries = settled(entries)
        return cls(entries.starts, entries.ends, entries.scores, is_signal=False)

    @property
    def end(self) -> int:
        """Where the last of its residues ends; 0 if it has none."""
        return int(self._ends.max(initial=0))

    @cached_property
    def covered(self) -> tuple[Ints, Ints]:
        """Starts and ends of what has entries."""
        return merged(self._starts, self._ends)[:2]

    @cached_property
    def valued(self) -> tuple[Ints, Ints]:
        """Starts and ends of what has scores."""
        has = self._has_score
        return merged(self._starts[has], self._ends[has])[:2]

    @cached_property
    def _has_score(self) -> Bools:
        return ~np.isnan(self._scores)

    @cached_property
    def _layers(self) -> _Layers:
        has = self._has_score
        return _layers(self._starts[has], self._ends[has], self._scores[has])

    @cached_property
    def _highs(self) -> Floats:
        return self._painted(1.0)

    @cached_property
    def _lows(self) -> Floats:
        return self._painted(-1.0)

    def _painted(self, sign: float) -> Floats:
        layers, scores = self._layers, sign * self._scores[self._has_score]
        if layers.first is None or layers.last is None:
            return scores
        return painted(scores, layers.first, layers.last, len(layers.starts))

    @cached_property
    def _sums(self) -> Areas:
        return Areas(self._layers.starts, self._layers.ends, self._layers.sums)

    @cached_property
    def _weights(self) -> Areas:
        return Areas(self._layers.starts, self._layers.ends, self._layers.depths)

    @cached_property
    def _cover(self) -> Areas:
        return Areas(*self.covered, np.ones(len(self.covered[0])))

    def measured(self, statistic: str, starts: Ints, ends: Ints) -> Measured:
        """What there is in each of some ranges, which are in any order and may overlap."""
        return _STATISTICS[statistic](self, starts, ends)

    def _mean(self, starts: Ints, ends: Ints) -> Measured:
        return Measured(self._sums.over(starts, ends), self._weights.over(starts, ends))

    def _sum(self, starts: Ints, ends: Ints) -> Measured:
        return Measured(self._sums.over(starts, ends), np.ones(len(starts)))

    def _max(self, starts: Ints, ends: Ints) -> Measured:
        return self._extreme(self._highs, 1.0, starts, ends)

    def _min(self, starts: Ints, ends: Ints) -> Measured:
        return self._extreme(self._lows, -1.0, starts, ends)

    def _extreme(self, values: Floats, sign: float, starts: Ints, ends: Ints) -> Measured:
        first, last = within(self._layers.starts, self._layers.ends, starts, ends)
        has = self._weights.over(starts, ends) > 0
        found = np.where(has, sign * highest(values, first, last), np.nan)
        return Measured(found, np.ones(len(starts)))

    def _count(self, starts: Ints, ends: Ints) -> Measured:
        if self._is_signal:
            return Measured(self._cover.over(starts, ends), np.ones(len(starts)))
        begun = np.searchsorted(self._starts, ends, "left")
        ended = np.searchsorted(np.sort(self._ends), starts, "right")
        found = np.where(ends > starts, begun - ended, 0)
        return Measured(found.astype(np.float64), np.ones(len(starts)))

    def _coverage(self, starts: Ints, ends: Ints) -> Measured:
        return Measured(self._cover.over(starts, ends), (ends - starts).astype(np.float64))


class Measured(NamedTuple):
    """A statistic of ranges, as what can be put together: tops by bottoms."""

    tops: Floats
    bottoms: Floats

    @property
    def values(self) -> Floats:
        """The statistic; NaN where there is nothing to tell it from."""
        return quotients(self.tops, self.bottoms)

    def together(self, statistic: str, keys: Ints, n: int) -> Floats:
        """The statistic of what has one key, for keys from 0 to ``n``."""
        if statistic in {MAX, MIN}:
            found = np.full(n, np.nan)
            (np.fmax if statistic == MAX else np.fmin).at(found, keys, self.tops)
            return found
        tops = summed(keys, self.tops, n)
        is_share = statistic in {MEAN, COVERAGE}
        return quotients(tops, summed(keys, self.bottoms, n)) if is_share else tops


_STATISTICS: Mapping[str, Callable[[Profile, Ints, Ints], Measured]] = {
    MEAN: Profile._mean,
    SUM: Profile._sum,
    MAX: Profile._max,
    MIN: Profile._min,
    COUNT: Profile._count,
    COVERAGE: Profile._coverage,
}


def profile_of(track: IntervalTrack | SignalTrack, chrom: str) -> Profile:
    """What a track says of a chromosome."""
    return Profile.of(
        track.steps(chrom) if isinstance(track, SignalTrack) else track.columns(chrom)
    )
