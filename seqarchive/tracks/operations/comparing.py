"""Comparisons: the fold change and the difference of two tracks, entry by entry."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from ...errors import BadInput
from ..columns import Bools, Floats, Intervals, Ints, Steps, joined
from ..track import TABLE, IntervalTrack, SignalTrack, TableTrack, type_of
from ..watching import stepping
from .binning import BIN_SIZE, bins_with, bounds, room_for_bins
from .profiles import MEAN, Profile, profile_of
from .registry import BOOLEAN, NUMBER, STRING, Parameter, operation, track
from .sweeps import along, distinct, quotients, settled, summed, values_or_none
from .transforms import log_of

_Track = TypeVar("_Track", IntervalTrack, SignalTrack, TableTrack)

EXACT, OVERLAP = "exact", "overlap"

_INPUTS = (
    track("a", "what is compared with, such as the control"),
    track("b", "what is compared, of the same type"),
)
_MODE = Parameter(
    "mode",
    STRING,
    "which intervals are compared; exact: those in the same place; overlap: the means of both "
    "tracks in bins. Nothing else has modes",
    EXACT,
    choices=(EXACT, OVERLAP),
)
_MISSING = Parameter("missing", NUMBER, "the result where only one track has anything", math.nan)
_TAGS = Parameter("tags", BOOLEAN, "have what was compared as tags of the intervals", False)


@dataclass(frozen=True)
class _Comparison:
    """How two scores are compared, and what the result is where there is but one."""

    function: Callable[[Floats, Floats], Floats]
    missing: float
    tags: Callable[[Floats, Floats], Mapping[str, Floats]] | None

    def of(self, a: Floats, b: Floats, in_both: Bools) -> Floats:
        """The result for columns of scores."""
        with np.errstate(all="ignore"):
            return np.where(in_both, self.function(a, b), self.missing)

    def tagged(
        self, columns: Intervals, a: Floats, b: Floats, in_a: Bools, in_b: Bools
    ) -> Intervals:
        """Intervals with the scores that they were computed from, if that is wanted."""
        if self.tags is None or not len(columns):
            return columns
        with np.errstate(all="ignore"):
            numbers = {**self.tags(a, b), "mean_a": a, "mean_b": b}
        values: dict[str, list[Any]] = {
            name: values_or_none(column) for name, column in numbers.items()
        }
        values |= {"in_a": in_a.tolist(), "in_b": in_b.tolist()}
        old: Sequence[Mapping[str, Any]] = columns.tags or [{}] * len(columns)
        rows = zip(old, *values.values(), strict=True)
        tags = tuple({**before, **dict(zip(values, row, strict=True))} for before, *row in rows)
        return replace(columns, tags=tags)


@operation(
    "compare.fold_change",
    "The scores of b divided by those of a: of intervals, bins, residues of signals or keys.",
    inputs=_INPUTS,
    params=(
        _MODE,
        BIN_SIZE,
        _MISSING,
        Parameter("log2", BOOLEAN, "have logarithms to the base 2 instead", False),
        _TAGS,
    ),
)
def interval_fold_change(
    a: _Track,
    b: _Track,
    *,
    mode: str = EXACT,
    bin_size: int = 200,
    missing: float = math.nan,
    log2: bool = False,
    tags: bool = False,
) -> _Track:
    """b / a, without pseudocounts and statistics: x/0 is infinite, 0/0 is missing (NaN).

    Tables are compared by key, signals by residue. Intervals are compared as ``mode`` says:

    ``exact``: Each interval of a with that of b in the same place: same chromosome, start and end,
    and not on opposite strands. If b has several there, it is their mean. Intervals of b without
    any of a follow.

    ``overlap``: The means of both tracks in bins, as ``bin_summarize`` has them; the result has the
    bins in which one of them has a score. The last bin ends with the last interval.

    Args:
        missing: The result where only one of the tracks has an entry, a value or a key.
        log2: Have the logarithm of b / a; of ``missing`` there is none.
        tags: Have ``fold_change``, ``log2fc``, ``mean_a``, ``mean_b``, ``in_a`` and ``in_b`` as
            tags of intervals: numbers, null if missing, texts if infinite.

    Raises:
        BadInput: They are tracks of two types or two genomes, or there would be too many bins.
    """

    def ratio(one: Floats, other: Floats) -> Floats:
        change = quotients(other, one)
        return log_of(change, 2.0) if log2 else change

    def tags_of(one: Floats, other: Floats) -> Mapping[str, Floats]:
        change = quotients(other, one)
        return {"fold_change": change, "log2fc": log_of(change, 2.0)}

    comparison = _Comparison(ratio, missing, tags_of if tags else None)
    return _compared(a, b, comparison, bin_size if mode == OVERLAP else None)


@operation(
    "compare.difference",
    "The scores of b minus those of a: of intervals, bins, residues of signals or keys.",
    inputs=_INPUTS,
    params=(_MODE, BIN_SIZE, _MISSING, _TAGS),
)
def interval_difference(
    a: _Track,
    b: _Track,
    *,
    mode: str = EXACT,
    bin_size: int = 200,
    missing: float = math.nan,
    tags: bool = False,
) -> _Track:
    """b - a, of entries, residues and keys as ``interval_fold_change`` compares them.

    Args:
        missing: The result where only one of the tracks has an entry, a value or a key.
        tags: Have ``difference``, ``mean_a``, ``mean_b``, ``in_a`` and ``in_b`` as tags of
            intervals.

    Raises:
        BadInput: They are tracks of two types or two genomes, or there would be too many bins.
    """

    def tags_of(one: Floats, other: Floats) -> Mapping[str, Floats]:
        return {"difference": other - one}

    comparison = _Comparison(lambda one, other: other - one, missing, tags_of if tags else None)
    return _compared(a, b, comparison, bin_size if mode == OVERLAP else None)


def _compared(a: _Track, b: _Track, comparison: _Comparison, bin_size: int | None) -> _Track:
    """Two tracks of one type; intervals in bins if these have a size."""
    kinds = type_of(a), type_of(b)
    if isinstance(a, SignalTrack) and isinstance(b, SignalTrack):
        return _signals(a, b, comparison)
    if isinstance(a, TableTrack) and isinstance(b, TableTrack):
        return _tables(a, b, comparison)
    if isinstance(a, IntervalTrack) and isinstance(b, IntervalTrack):
        chroms = along(dict.fromkeys([*a.chroms, *b.chroms]))
        if bin_size is None:
            found = {
                chrom: _in_places(a.columns(chrom), b.columns(chrom), comparison)
                for chrom in chroms
            }
        else:
            found = dict(_in_bins(a, b, comparison, bin_size, chroms))
        return IntervalTrack.of(a.source, found)
    hint = "" if TABLE in kinds else ": transform.bin makes intervals of the signal"
    raise BadInput(f"a is {kinds[0]} and b is {kinds[1]}{hint}")


def _tables(a: TableTrack, b: TableTrack, comparison: _Comparison) -> TableTrack:
    ours, theirs = dict(a.items()), dict(b.items())
    keys = list(dict.fromkeys([*ours, *theirs]))
    found = comparison.of(
        np.array([ours.get(key, math.nan) for key in keys], np.float64),
        np.array([theirs.get(key, math.nan) for key in keys], np.float64),
        np.array([key in ours and key in theirs for key in keys], np.bool_),
    )
    return TableTrack(a.source, dict(zip(keys, found.tolist(), strict=True)))


def _signals(a: SignalTrack, b: SignalTrack, comparison: _Comparison) -> SignalTrack:
    lengths = {**b.lengths, **a.lengths}
    lengths = {chrom: lengths[chrom] for chrom in dict.fromkeys([*a.lengths, *b.lengths])}
    for chrom, length in b.lengths.items():
        if lengths[chrom] != length:
            raise BadInput(
                f"{chrom} has {lengths[chrom]:,} residues in a and {length:,} in b: these are two "
                "genomes"
            )
    found = {}
    for chrom in stepping(lengths):
        one, other = a.steps(chrom), b.steps(chrom)
        edges = distinct(one.starts, one.ends, other.starts, other.ends)
        (ours, has_ours), (theirs, has_theirs) = (_at(edges[:-1], steps) for steps in (one, other))
        results = comparison.of(ours, theirs, has_ours & has_theirs)
        results = np.where(has_ours | has_theirs, results, math.nan)
        found[chrom] = Steps.of(edges[:-1], edges[1:], results)
    return SignalTrack.of(a.source, lengths, found)


def _at(positions: Ints, steps: Steps) -> tuple[Floats, Bools]:
    """The values of a signal at some residues, and whether it has any."""
    if not len(steps):
        return np.full(len(positions), math.nan), np.zeros(len(positions), np.bool_)
    which = np.searchsorted(steps.starts, positions, "right") - 1
    has = (which >= 0) & (positions < steps.ends[which])
    return np.where(has, steps.values[which], math.nan), has


def _in_bins(
    a: IntervalTrack,
    b: IntervalTrack,
    comparison: _Comparison,
    bin_size: int,
    chroms: Iterator[str],
) -> Iterator[tuple[str, Intervals]]:
    room = room_for_bins(bin_size)
    for chrom in chroms:
        profiles = profile_of(a, chrom), profile_of(b, chrom)
        end = max(profile.end for profile in profiles)
        in_each = [bins_with(*profile.valued, bin_size, room) for profile in profiles]
        bins = distinct(*in_each)
        starts, ends = bounds(bins, bin_size, end)
        ours, theirs = (_means(profile, starts, ends) for profile in profiles)
        in_a, in_b = (np.isin(bins, one) for one in in_each)
        found = Intervals.of(starts, ends, comparison.of(ours, theirs, in_a & in_b))
        yield chrom, comparison.tagged(found, ours, theirs, in_a, in_b)


def _means(profile: Profile, starts: Ints, ends: Ints) -> Floats:
    return profile.measured(MEAN, starts, ends).values


def _in_places(a: Intervals, b: Intervals, comparison: _Comparison) -> Intervals:
    """Intervals of a chromosome with those in the same places."""
    a, b = settled(a), settled(b)
    places_a, places_b, n = _places(a, b)
    partners, in_b = _partners(a, places_a, _Scores(b, places_b, n))
    alone = b.taken(~_partners(b, places_b, _Scores(a, places_a, n))[1])
    found = comparison.tagged(
        a.scored(comparison.of(a.scores, partners, in_b)),
        a.scores,
        partners,
        np.ones(len(a), np.bool_),
        in_b,
    )
    none = np.zeros(len(alone), np.bool_)
    nothing = np.full(len(alone), math.nan)
    rest = alone.scored(np.full(len(alone), comparison.missing))
    return joined([found, comparison.tagged(rest, nothing, alone.scores, none, ~none)])


def _places(a: Intervals, b: Intervals) -> tuple[Ints, Ints, int]:
    """Numbers that are the same for intervals with the same start and end, and how many."""
    starts, ends = np.concatenate((a.starts, b.starts)), np.concatenate((a.ends, b.ends))
    order = np.lexsort((ends, starts))
    starts, ends = starts[order], ends[order]
    is_new = (starts[1:] != starts[:-1]) | (ends[1:] != ends[:-1])
    numbers = np.zeros(len(starts), np.int64)
    numbers[order[1:]] = np.cumsum(is_new)
    return numbers[: len(a)], numbers[len(a) :], int(numbers.max(initial=-1)) + 1


_STRANDS = (b"+", b"-", b".")
#: For each strand, those that are not the opposite one.
_AGREEING = ((0, 2), (1, 2), (0, 1, 2))


class _Scores:
    """Of the intervals in each place: how many there are on each strand, and their scores."""

    def __init__(self, columns: Intervals, places: Ints, n_places: int) -> None:
        self._rows: list[tuple[Floats, Floats, Floats]] = []
        ones, has_score = np.ones(len(columns)), ~np.isnan(columns.scores)
        for strand in _STRANDS:
            which = columns.strands == strand
            scored = which & has_score
            row = (
                summed(places[which], ones[which], n_places),
                summed(places[scored], ones[scored], n_places),
                summed(places[scored], columns.scores[scored], n_places),
            )
            self._rows.append(row)

    def at(self, strand: int, places: Ints) -> tuple[Floats, Floats]:
        """How many agree with a strand in each of some places, and their mean score."""
        n, n_scores, sums = (np.zeros(len(places)) for _ in range(3))
        with np.errstate(all="ignore"):
            for agreeing in _AGREEING[strand]:
                row = self._rows[agreeing]
                n, n_scores = n + row[0][places], n_scores + row[1][places]
                sums = sums + row[2][places]
        return n, quotients(sums, n_scores)


def _partners(columns: Intervals, places: Ints, others: _Scores) -> tuple[Floats, Bools]:
    """For each interval, the mean score of the others in its place, and whether there are any."""
    means, has = np.full(len(columns), math.nan), np.zeros(len(columns), np.bool_)
    for number, strand in enumerate(_STRANDS):
        which = np.flatnonzero(columns.strands == strand)
        n, means[which] = others.at(number, places[which])
        has[which] = n > 0
    return means, has
