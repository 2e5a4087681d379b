"""Transforms: other scores for the entries of a track, or fewer entries.

On intervals and tables they are done to scores, of which NaN is a missing one. On a signal they
are done to the value of each residue; what would be NaN there is a residue without a value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from ...errors import BadInput
from ..columns import Bools, Floats, Steps
from ..track import IntervalTrack, SignalTrack, TableTrack
from ..watching import stepping
from .distributions import AVERAGE, DENSE, LOWEST, Distribution
from .registry import NUMBER, STRING, Parameter, operation, track
from .sweeps import along, uncovered

_Track = TypeVar("_Track", IntervalTrack, SignalTrack, TableTrack)

_INPUT = (track("track", "the track to transform"),)


def rescored(track: _Track, function: Callable[[Floats], Floats]) -> _Track:
    """The same track with a function of its scores, or of the values of a signal.

    Args:
        function: Of a column of scores, which it must not change, to one of the same length.
    """
    if isinstance(track, SignalTrack):
        return _on_steps(track, lambda steps, _length: steps.valued(function(steps.values)))
    if isinstance(track, IntervalTrack):
        columns = {}
        for chrom in along(track.chroms):
            one = track.columns(chrom)
            columns[chrom] = one.scored(function(one.scores))
        return IntervalTrack.of(track.source, columns)
    return track.with_scores(function(track.scores()))


def kept(track: _Track, which: Callable[[Floats], Bools]) -> _Track:
    """The entries, or the values of a signal, for whose scores a function is true."""
    if isinstance(track, SignalTrack):
        return rescored(track, lambda values: np.where(which(values), values, np.nan))
    if isinstance(track, IntervalTrack):
        columns = {}
        for chrom in along(track.chroms):
            one = track.columns(chrom)
            columns[chrom] = one.taken(which(one.scores))
        return IntervalTrack.of(track.source, columns)
    chosen = zip(track.items(), which(track.scores()).tolist(), strict=True)
    return TableTrack(track.source, {key: value for (key, value), is_in in chosen if is_in})


def _on_steps(track: SignalTrack, function: Callable[[Steps, int], Steps]) -> SignalTrack:
    lengths = track.lengths
    steps = {chrom: function(track.steps(chrom), lengths[chrom]) for chrom in stepping(lengths)}
    return SignalTrack.of(track.source, lengths, steps)


def _require_numbers(**bounds: float | None) -> None:
    for name, value in bounds.items():
        if value is not None and math.isnan(value):
            raise BadInput(f"{name} is a number, not NaN")


@operation(
    "transform.fill_missing",
    "Scores that are missing, and residues of a signal without a value, get a value.",
    inputs=_INPUT,
    params=(Parameter("value", NUMBER, "the value they get", 0.0),),
)
def fill_missing(track: _Track, value: float = 0.0) -> _Track:
    """A value for each score that is missing; in a signal, for each residue that has none, of all
    chromosomes from end to end."""
    if not isinstance(track, SignalTrack):
        return rescored(track, lambda scores: np.where(np.isnan(scores), value, scores))

    def filled(steps: Steps, length: int) -> Steps:
        starts, ends = uncovered(steps.starts, steps.ends, length)
        return Steps.of(
            np.concatenate((steps.starts, starts)),
            np.concatenate((steps.ends, ends)),
            np.concatenate((steps.values, np.full(len(starts), value))),
        )

    return _on_steps(track, filled)


@operation(
    "transform.replace_zeros",
    "Scores that are 0 get another value.",
    inputs=_INPUT,
    params=(Parameter("value", NUMBER, "what they become; NaN is missing"),),
)
def replace_zeros(track: _Track, value: float) -> _Track:
    """Another value for each score that is 0."""
    return rescored(track, lambda scores: np.where(scores == 0, value, scores))


@operation(
    "transform.drop_missing",
    "Entries whose score is missing are left out.",
    inputs=_INPUT,
)
def drop_missing(track: _Track) -> _Track:
    """The entries that have a score; a signal has no others."""
    return kept(track, lambda scores: ~np.isnan(scores))


@operation(
    "transform.drop_zeros",
    "Entries whose score is 0 are left out; where a signal is 0 it has no value.",
    inputs=_INPUT,
)
def drop_zeros(track: _Track) -> _Track:
    """The entries whose score is not 0; those whose score is missing stay."""
    return kept(track, lambda scores: scores != 0)


@operation(
    "transform.add_pseudocount",
    "Adds a value to all scores.",
    inputs=_INPUT,
    params=(Parameter("value", NUMBER, "what is added", 1.0),),
)
def add_pseudocount(track: _Track, value: float = 1.0) -> _Track:
    """Each score and a value."""
    with np.errstate(all="ignore"):
        return rescored(track, lambda scores: scores + value)


@operation(
    "transform.log",
    "Logarithms of all scores: that of 0 is -inf, that of a negative score is missing.",
    inputs=_INPUT,
    params=(Parameter("base", NUMBER, "larger than 1", 2.0),),
)
def log_transform(track: _Track, base: float = 2.0) -> _Track:
    """The logarithm of each score: of 0 it is -inf, of a negative score NaN.

    Raises:
        BadInput: The base is not larger than 1.
    """
    if not 1 < base < math.inf:
        raise BadInput(f"the base of a logarithm is larger than 1, not {base!r}")
    return rescored(track, lambda scores: log_of(scores, base))


def log_of(scores: Floats, base: float) -> Floats:
    """The logarithms of numbers, exact for powers of 2 and 10 if that is the base."""
    with np.errstate(all="ignore"):
        exact = {2.0: np.log2, 10.0: np.log10}.get(base)
        # That of -0.0 is -inf as well.
        found: Floats = exact(scores) if exact else np.log(scores) / math.log(base)
        return found


@operation(
    "transform.clamp",
    "Scores below a floor become the floor, scores above a ceiling the ceiling.",
    inputs=_INPUT,
    params=(
        Parameter("floor", NUMBER, "no bound if it is not given", None),
        Parameter("ceiling", NUMBER, "no bound if it is not given", None),
    ),
)
def clamp(track: _Track, floor: float | None = None, ceiling: float | None = None) -> _Track:
    """Scores within two bounds; missing ones stay missing.

    Raises:
        BadInput: The floor is above the ceiling.
    """
    _require_numbers(floor=floor, ceiling=ceiling)
    low, high = -math.inf if floor is None else floor, math.inf if ceiling is None else ceiling
    if low > high:
        raise BadInput(f"the floor {low:g} is above the ceiling {high:g}")
    return rescored(track, lambda scores: np.clip(scores, low, high))


@operation(
    "transform.normalize",
    "Scores as parts of their sum, or as multiples of their median.",
    inputs=_INPUT,
    params=(
        Parameter(
            "method",
            STRING,
            "cpm: parts per million of the sum; fraction: parts of the sum; median_ratio: "
            "multiples of the median of the scores that are not 0",
            "cpm",
            choices=("cpm", "fraction", "median_ratio"),
        ),
    ),
)
def normalize(track: _Track, method: str = "cpm") -> _Track:
    """Scores divided by what is typical of the track.

    That is the sum of all finite scores (``cpm``, which is multiplied by a million, and
    ``fraction``) or the median of the finite scores that are not 0 (``median_ratio``). Of a signal
    the sum and the median are those over residues. Scores that are all 0 stay 0.

    Raises:
        BadInput: The sum or the median is 0 though not all scores are.
    """
    scores = Distribution.of(track)
    unit = scores.typical if method == "median_ratio" else scores.total
    factor = 1e6 if method == "cpm" else 1.0
    if unit == 0 and (scores.values[np.isfinite(scores.values)] != 0).any():
        what = "median" if method == "median_ratio" else "sum"
        raise BadInput(f"the {what} of the scores of {track.name} is 0: nothing is a part of it")
    divisor = unit or 1.0
    with np.errstate(all="ignore"):
        return rescored(track, lambda values: values / divisor * factor)


@operation(
    "transform.standardize",
    "Scores as standard deviations above or below their mean.",
    inputs=_INPUT,
)
def standardize(track: _Track) -> _Track:
    """z-scores: how many standard deviations (those of the whole population) above the mean each
    score is; 0.0 if all are the same.

    Mean and deviation are those of the finite scores, of a signal those over residues. Infinite
    scores stay infinite, missing ones missing.
    """
    return rescored(track, Distribution.of(track).standardized)


@operation(
    "transform.rank",
    "The places of scores among all scores of the track, from 1 for the lowest.",
    inputs=_INPUT,
    params=(
        Parameter(
            "method",
            STRING,
            "what equal scores get: the average of their places, the lowest of them, or with "
            "dense the number of different scores up to theirs",
            AVERAGE,
            choices=(AVERAGE, LOWEST, DENSE),
        ),
    ),
)
def rank(track: _Track, method: str = AVERAGE) -> _Track:
    """Ranks, from 1 for the lowest score; missing scores have none.

    Of a signal all residues that have a value are ranked: the three residues of a step are as
    three entries with one score.
    """
    scores = Distribution.of(track)
    return rescored(track, lambda values: scores.ranks(values, method))


@operation(
    "transform.binarize",
    "1 where a score is at least a threshold, 0 where it is less.",
    inputs=_INPUT,
    params=(Parameter("threshold", NUMBER, "the lowest score that becomes 1"),),
)
def binarize(track: _Track, threshold: float) -> _Track:
    """1.0 for scores of at least a threshold, 0.0 for others; missing ones stay missing.

    Raises:
        BadInput: The threshold is NaN.
    """
    _require_numbers(threshold=threshold)

    def ones(scores: Floats) -> Floats:
        return np.where(np.isnan(scores), np.nan, (scores >= threshold).astype(np.float64))

    return rescored(track, ones)


@operation(
    "transform.filter",
    "Entries whose score is within two bounds; elsewhere a signal has no value.",
    inputs=_INPUT,
    params=(
        Parameter("minimum", NUMBER, "the lowest score that is kept", None),
        Parameter("maximum", NUMBER, "the highest score that is kept", None),
    ),
)
def filter_by_score(
    track: _Track, minimum: float | None = None, maximum: float | None = None
) -> _Track:
    """The entries whose score is at least ``minimum`` and at most ``maximum``. Those whose score is
    missing are left out, unless there is no bound.

    Raises:
        BadInput: The minimum is above the maximum.
    """
    _require_numbers(minimum=minimum, maximum=maximum)
    if minimum is None and maximum is None:
        return track
    low = -math.inf if minimum is None else minimum
    high = math.inf if maximum is None else maximum
    if low > high:
        raise BadInput(f"the minimum {low:g} is above the maximum {high:g}")
    return kept(track, lambda scores: (scores >= low) & (scores <= high))
