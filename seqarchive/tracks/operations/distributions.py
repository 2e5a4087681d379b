"""Distributions: the scores of a whole track, each with how often it occurs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..columns import Floats, Ints
from ..track import IntervalTrack, SignalTrack, TableTrack
from ..watching import stepping
from .sweeps import along

AVERAGE, LOWEST, DENSE = "average", "min", "dense"


@dataclass(frozen=True)
class Distribution:
    """The scores of a track that are not missing, sorted, each once; infinities are among them.

    An interval and a key of a table count once, a step of a signal as often as it has residues: it
    does not matter how a signal is cut into steps. As it is sorted, nothing that is computed from
    it depends on the order of the entries.

    Args:
        counts: How often each of ``values`` occurs.
    """

    values: Floats
    counts: Ints

    @classmethod
    def of(cls, track: IntervalTrack | SignalTrack | TableTrack) -> Distribution:
        """That of a track."""
        parts = [_counted(values, counts) for values, counts in _scores_of(track)]
        if len(parts) == 1:
            return cls(*parts[0])
        no_values, no_counts = np.empty(0), np.empty(0, np.int64)
        values = np.concatenate([no_values, *(values for values, _ in parts)])
        counts = np.concatenate([no_counts, *(counts for _, counts in parts)])
        return cls(*_counted(values, counts))

    @cached_property
    def _finite(self) -> tuple[Floats, Ints, int]:
        """Finite values and their counts; values are divided by 2 to the third, so that neither
        sums nor squares are too large or too small for a number."""
        is_finite = np.isfinite(self.values)
        values, counts = self.values[is_finite], self.counts[is_finite]
        exponent = math.frexp(float(np.abs(values).max(initial=0.0)))[1]
        return np.ldexp(values, -exponent), counts, exponent

    @property
    def total(self) -> float:
        """The sum of all finite scores, infinite if it is too large for a number."""
        values, counts, exponent = self._finite
        with np.errstate(over="ignore"):
            return float(np.ldexp(math.fsum((values * counts).tolist()), exponent))

    @property
    def typical(self) -> float:
        """The median of all finite scores but zeros; 0.0 if there are none."""
        keep = np.isfinite(self.values) & (self.values != 0)
        values, until = self.values[keep], np.cumsum(self.counts[keep])
        if not len(values):
            return 0.0
        n = int(until[-1])
        low, high = values[np.searchsorted(until, [(n - 1) // 2, n // 2], "right")].tolist()
        return float(low if low == high else low / 2 + high / 2)

    def standardized(self, scores: Floats) -> Floats:
        """How many standard deviations above the mean scores are; 0.0 if all are the same."""
        values, counts, exponent = self._finite
        if len(values) < 2:
            return np.where(np.isfinite(scores), 0.0, scores)
        n = int(counts.sum())
        mean = math.fsum((values * counts).tolist()) / n
        deviation = math.sqrt(math.fsum((counts * (values - mean) ** 2).tolist()) / n)
        found: Floats = (np.ldexp(scores, -exponent) - mean) / deviation
        return found

    def ranks(self, scores: Floats, method: str) -> Floats:
        """The place of scores among all, from 1; NaN has none."""
        found = np.full(len(scores), np.nan)
        has = ~np.isnan(scores)
        if has.any():
            places = _RANKS[method](self.counts)
            found[has] = places[np.searchsorted(self.values, scores[has])]
        return found


def _scores_of(track: IntervalTrack | SignalTrack | TableTrack) -> Iterator[tuple[Floats, Ints]]:
    """The scores of a chromosome after another, with how often each is there."""
    if isinstance(track, SignalTrack):
        for chrom in stepping(track.lengths):
            steps = track.steps(chrom)
            yield steps.values, steps.ends - steps.starts
    elif isinstance(track, IntervalTrack):
        for chrom in along(track.chroms):
            columns = track.columns(chrom)
            yield columns.scores, np.ones(len(columns), np.int64)
    else:
        yield track.scores(), np.ones(len(track), np.int64)


def _counted(values: Floats, counts: Ints) -> tuple[Floats, Ints]:
    """Values sorted, each once, with the sum of its counts; NaN is left out."""
    has = ~np.isnan(values)
    values, counts = values[has], counts[has]
    order = np.argsort(values, kind="stable")
    values, counts = values[order], counts[order]
    if not len(values):
        return values, counts
    first = np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1])))
    return values[first], np.add.reduceat(counts, first)


_RANKS: Mapping[str, Callable[[Ints], Floats]] = {
    AVERAGE: lambda counts: np.cumsum(counts) - (counts - 1) / 2,
    LOWEST: lambda counts: (np.cumsum(counts) - counts + 1).astype(np.float64),
    DENSE: lambda counts: np.arange(1, len(counts) + 1).astype(np.float64),
}
