"""What operations on tracks compute, next to the same computed residue by residue."""

from __future__ import annotations

import importlib
import inspect
import math
import os
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seqarchive.errors import BadInput
from seqarchive.tracks.columns import Intervals, Steps
from seqarchive.tracks.operations import sweeps
from seqarchive.tracks.operations.annotating import nearest, overlay
from seqarchive.tracks.operations.binning import bin_summarize
from seqarchive.tracks.operations.comparing import interval_difference, interval_fold_change
from seqarchive.tracks.operations.distributions import Distribution
from seqarchive.tracks.operations.overlaps import complement, intersect, subtract, union
from seqarchive.tracks.operations.profiles import Profile, Totals
from seqarchive.tracks.operations.registry import OPERATIONS, REQUIRED, operation_of
from seqarchive.tracks.operations.summarizing import summarize_features
from seqarchive.tracks.operations.transforms import (
    add_pseudocount,
    binarize,
    clamp,
    drop_missing,
    drop_zeros,
    fill_missing,
    filter_by_score,
    log_transform,
    normalize,
    rank,
    replace_zeros,
    standardize,
)
from seqarchive.tracks.reference import Genome
from seqarchive.tracks.regions import Region, TrackLabel
from seqarchive.tracks.track import AnyTrack, IntervalTrack, SignalTrack, TableTrack, type_of
from seqarchive.tracks.watching import Cancelled, Watch, watched_by

#: It has no stubs, and only what is for tests needs it.
bigwig = importlib.import_module("pyBigWig")

NAN, INF = math.nan, math.inf
LABEL = TrackLabel("t")
LENGTHS = {"one": 30, "two": 17, "none": 5}

#: How often more, where there is time.
_TIMES = 20 if os.environ.get("SEQARCHIVE_ALL_FAULTS") else 1

_often = settings(max_examples=60 * _TIMES, deadline=None)
_some = settings(max_examples=25 * _TIMES, deadline=None)
_few = settings(max_examples=10 * _TIMES, deadline=None)

# --- Tracks that hypothesis thinks of --------------------------------------------------------

_SCORES = [0.0, 1.0, 2.0, 2.0, -3.0, 0.5, 7.25, 1e3, NAN, INF, -INF]
_FINITE = [score for score in _SCORES if not math.isinf(score)]
_Residues = dict[str, list[float]]

#: What is drawn is a seed: that is many times as fast as drawing each coordinate, and does not
#: begin with tracks that have next to nothing.
_SEEDS = st.integers(0, 1 << 32).map(Random)


def _regions_of(scores: Sequence[float], most: int = 12) -> st.SearchStrategy[list[Region]]:
    def regions(random: Random) -> list[Region]:
        found = []
        longest = random.choice([2, 6, 12])
        for _ in range(random.randint(0, most)):
            chrom = random.choice(["one", "two"])
            start = random.randint(0, LENGTHS[chrom])
            end = random.randint(start, min(start + longest, LENGTHS[chrom]))
            strand, name = random.choice("+-."), random.choice(["", "g1", "g2", "g3"])
            tags = random.choice([{}, {}, {"x": 1}, {"x": 2}])
            found.append(Region(chrom, start, end, strand, random.choice(scores), name, tags))
        return found

    return _SEEDS.map(regions)


def _residues_of(scores: Sequence[float]) -> st.SearchStrategy[_Residues]:
    def residues(random: Random) -> _Residues:
        found: _Residues = {}
        for chrom, n in LENGTHS.items():
            runs = [
                [random.choice([NAN, random.choice(scores)])] * random.randint(1, 9)
                for _ in range(random.randint(0, 5))
            ]
            found[chrom] = [*(x for run in runs for x in run), *[NAN] * n][:n]
        return found

    return _SEEDS.map(residues)


_REGIONS, _FINITE_REGIONS = _regions_of(_SCORES), _regions_of(_FINITE)
_RESIDUES, _FINITE_RESIDUES = _residues_of(_SCORES), _residues_of(_FINITE)
_TABLES = st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from(_SCORES))


def intervals(regions: Iterable[Region]) -> IntervalTrack:
    return IntervalTrack(LABEL, regions)


def signal(residues: Mapping[str, Sequence[float]]) -> SignalTrack:
    steps = {chrom: Steps.of_values(values) for chrom, values in residues.items()}
    return SignalTrack.of(LABEL, {chrom: len(one) for chrom, one in residues.items()}, steps)


def table(values: Mapping[str, float]) -> TableTrack:
    return TableTrack(LABEL, values)


def residues_of(track: SignalTrack) -> _Residues:
    return {chrom: track.raw_signal(chrom, 0, n).tolist() for chrom, n in track.lengths.items()}


def rows(track: IntervalTrack) -> list[tuple[Any, ...]]:
    """All that is known of intervals, in an order that is their own."""
    found = [
        (one.chrom, one.start, one.end, one.strand, one.name, repr(one.score), repr(one.tags))
        for one in track
    ]
    return sorted(found)


def contents(track: AnyTrack) -> Any:
    """All that a track is, but in which order its chromosomes or keys came."""
    if isinstance(track, SignalTrack):
        return {chrom: repr(track.steps(chrom)) for chrom in track.chroms}
    if isinstance(track, TableTrack):
        return {key: repr(value) for key, value in track.items()}
    return {chrom: list(map(repr, track.columns(chrom).regions(chrom))) for chrom in track.chroms}


def close(one: float, other: float) -> bool:
    return (math.isnan(one) and math.isnan(other)) or math.isclose(
        one, other, rel_tol=1e-12, abs_tol=1e-12
    )


def all_close(one: Sequence[float], other: Sequence[float]) -> bool:
    return len(one) == len(other) and all(map(close, one, other))


def assert_same_intervals(
    track: IntervalTrack, expected: Iterable[tuple[str, int, int, float]]
) -> None:
    """Places and scores, which are numbers."""
    found = sorted((one.chrom, one.start, one.end, one.score) for one in track)
    wanted = sorted(expected)
    assert [one[:3] for one in found] == [one[:3] for one in wanted]
    assert all(close(one[3], other[3]) for one, other in zip(found, wanted, strict=True)), (
        found,
        wanted,
    )


# --- Transforms ------------------------------------------------------------------------------


def _finite(scores: Iterable[float]) -> list[float]:
    return [score for score in scores if math.isfinite(score)]


def _log(score: float, base: float) -> float:
    if score == INF:
        return INF
    return -INF if score == 0 else math.log(score, base) if score > 0 else NAN


def _naive_normalize(scores: list[float], method: str) -> list[float]:
    finite = _finite(scores)
    nonzero = [score for score in finite if score != 0]
    unit = statistics.median(nonzero or [1]) if method == "median_ratio" else math.fsum(finite)
    factor = 1e6 if method == "cpm" else 1
    return [score / (unit or 1) * factor for score in scores]


def _naive_standardize(scores: list[float]) -> list[float]:
    finite = _finite(scores)
    if len(set(finite)) < 2:
        return [0.0 if math.isfinite(score) else score for score in scores]
    mean, sd = statistics.fmean(finite), statistics.pstdev(finite)
    return [(score - mean) / sd for score in scores]


def _naive_rank(scores: list[float], method: str) -> list[float]:
    there = [score for score in scores if not math.isnan(score)]

    def rank_of(score: float) -> float:
        if math.isnan(score):
            return NAN
        less = sum(other < score for other in there)
        equal = sum(other == score for other in there)
        if method == "dense":
            return len({other for other in there if other < score}) + 1
        return less + 1 if method == "min" else less + (equal + 1) / 2

    return list(map(rank_of, scores))


#: Operation, parameters, and scores to scores; None is what is left out.
_TRANSFORMS: list[
    tuple[Callable[..., Any], dict[str, Any], Callable[[list[float]], Sequence[float | None]]]
] = [
    (fill_missing, {"value": 5.0}, lambda all_: [5.0 if x != x else x for x in all_]),
    (replace_zeros, {"value": 9.0}, lambda all_: [9.0 if x == 0 else x for x in all_]),
    (replace_zeros, {"value": NAN}, lambda all_: [NAN if x == 0 else x for x in all_]),
    (drop_missing, {}, lambda all_: [None if x != x else x for x in all_]),
    (drop_zeros, {}, lambda all_: [None if x == 0 else x for x in all_]),
    (add_pseudocount, {}, lambda all_: [x + 1 for x in all_]),
    (add_pseudocount, {"value": -0.5}, lambda all_: [x - 0.5 for x in all_]),
    (log_transform, {}, lambda all_: [_log(x, 2) for x in all_]),
    (log_transform, {"base": 10.0}, lambda all_: [_log(x, 10) for x in all_]),
    (log_transform, {"base": 1.5}, lambda all_: [_log(x, 1.5) for x in all_]),
    (clamp, {}, lambda all_: all_),
    (clamp, {"floor": 0.5}, lambda all_: [x if x != x else max(x, 0.5) for x in all_]),
    (clamp, {"ceiling": 1.0}, lambda all_: [x if x != x else min(x, 1.0) for x in all_]),
    (
        clamp,
        {"floor": 0.0, "ceiling": 2.0},
        lambda all_: [x if x != x else min(max(x, 0.0), 2.0) for x in all_],
    ),
    (standardize, {}, _naive_standardize),
    (rank, {}, lambda all_: _naive_rank(all_, "average")),
    (rank, {"method": "min"}, lambda all_: _naive_rank(all_, "min")),
    (rank, {"method": "dense"}, lambda all_: _naive_rank(all_, "dense")),
    (
        binarize,
        {"threshold": 2.0},
        lambda all_: [x if x != x else float(x >= 2) for x in all_],
    ),
    (filter_by_score, {}, lambda all_: all_),
    (filter_by_score, {"minimum": 1.0}, lambda all_: [x if x >= 1 else None for x in all_]),
    (filter_by_score, {"maximum": 1.0}, lambda all_: [x if x <= 1 else None for x in all_]),
    (
        filter_by_score,
        {"minimum": 0.5, "maximum": 2.0},
        lambda all_: [x if 0.5 <= x <= 2 else None for x in all_],
    ),
]
_TRANSFORM_IDS = [f"{function.__name__}{params or ''}" for function, params, _ in _TRANSFORMS]


@pytest.mark.parametrize(("function", "params", "naive"), _TRANSFORMS, ids=_TRANSFORM_IDS)
@given(regions=_REGIONS, values=_TABLES, residues=_RESIDUES)
@_few
def test_a_transform_is_that_of_each_interval_key_and_residue(
    function: Callable[..., Any],
    params: dict[str, Any],
    naive: Callable[[list[float]], Sequence[float | None]],
    regions: list[Region],
    values: dict[str, float],
    residues: _Residues,
) -> None:
    track = intervals(regions)
    before = list(track)
    after = naive([one.score for one in before])
    found = list(function(track, **params))
    kept = [(one, x) for one, x in zip(before, after, strict=True) if x is not None]
    assert [(one.chrom, one.start, one.end, one.strand, one.name, one.tags) for one in found] == [
        (one.chrom, one.start, one.end, one.strand, one.name, one.tags) for one, _ in kept
    ]
    assert all_close([one.score for one in found], [x for _, x in kept])
    assert repr(list(track)) == repr(before)  # is what it was

    numbers = naive(list(values.values()))
    wanted = {key: x for key, x in zip(values, numbers, strict=True) if x is not None}
    entries = function(table(values), **params)
    assert entries.keys() == list(wanted)
    assert all_close(entries.scores().tolist(), list(wanted.values()))

    flat = [x for chrom in LENGTHS for x in residues[chrom]]
    expected = [NAN if x is None else x for x in naive(flat)]
    signals = residues_of(function(signal(residues), **params))
    assert all_close([x for chrom in LENGTHS for x in signals[chrom]], expected)


@pytest.mark.parametrize("method", ["cpm", "fraction", "median_ratio"])
@given(regions=_REGIONS, values=_TABLES, residues=_RESIDUES)
@_some
def test_normalized_scores_are_parts_of_the_sum_or_multiples_of_the_median(
    method: str, regions: list[Region], values: dict[str, float], residues: _Residues
) -> None:
    flat = [x for chrom in LENGTHS for x in residues[chrom]]
    track = intervals(regions)
    cases: list[tuple[Any, list[float]]] = [
        (track, track.scores().tolist()),
        (table(values), list(values.values())),
        (signal(residues), flat),
    ]
    for one, scores in cases:
        finite = _finite(scores)
        unit = (
            statistics.median([x for x in finite if x] or [0])
            if method == "median_ratio"
            else math.fsum(finite)
        )
        if unit == 0 and any(finite):
            with pytest.raises(BadInput, match="is 0"):
                normalize(one, method)
            continue
        found = normalize(one, method)
        if isinstance(found, SignalTrack):
            results = [x for some in residues_of(found).values() for x in some]
        else:
            results = found.scores().tolist()
        assert all_close(results, _naive_normalize(scores, method))


@pytest.mark.parametrize("scores", [[1e308] * 3, [5e-324, 1e-323, 0.0], [1e308, -1e308, 1.0]])
def test_scores_that_are_hardly_numbers_are_normalized_all_the_same(scores: list[float]) -> None:
    track = table({str(n): x for n, x in enumerate(scores)})
    exact = list(map(Fraction, scores))
    mean: Any = sum(exact) / len(exact)
    variance: Any = sum((x - mean) ** 2 for x in exact) / len(exact)
    expected = [
        math.copysign(math.sqrt((x - mean) ** 2 / variance), x - mean) if variance else 0.0
        for x in exact
    ]
    assert all_close(standardize(track).scores().tolist(), expected)
    total: Any = sum(exact)
    shares = normalize(track, "fraction").scores().tolist()
    wanted = [0.0 if abs(total) > 1.7e308 else float(x / total) for x in exact]
    assert all_close(shares, wanted)


def test_a_third_of_the_residues_is_ranked_as_a_third_of_the_entries() -> None:
    """It does not matter how a signal is cut into steps."""
    cut = Steps(np.array([0, 2, 5]), np.array([2, 5, 9]), np.array([1.0, 1.0, 4.0]))
    track = SignalTrack.of(LABEL, {"one": 10}, {"one": cut})
    assert rank(track).raw_signal("one", 0, 10).tolist()[:9] == [3.0] * 5 + [7.5] * 4
    assert math.isnan(rank(track).raw_signal("one", 9, 10)[0])
    assert Distribution.of(track).typical == 1.0


def test_scores_that_are_filled_go_from_end_to_end() -> None:
    track = SignalTrack.of(
        LABEL, {"one": 10, "none": 3}, {"one": Steps.of([2, 6], [4, 10], [1.0, 0.0])}
    )
    found = fill_missing(track)
    assert found.steps("one") == Steps.of([0, 2, 4], [2, 4, 10], [0.0, 1.0, 0.0])
    assert found.steps("none") == Steps.of([0], [3], [0.0])


@pytest.mark.parametrize(
    "run",
    [
        lambda track: clamp(track, floor=2.0, ceiling=1.0),
        lambda track: clamp(track, floor=NAN),
        lambda track: filter_by_score(track, 2.0, 1.0),
        lambda track: filter_by_score(track, maximum=NAN),
        lambda track: binarize(track, NAN),
        lambda track: log_transform(track, base=1.0),
        lambda track: log_transform(track, base=-2.0),
        lambda track: log_transform(track, base=NAN),
        lambda track: log_transform(track, base=INF),
        normalize,
        lambda track: normalize(track, "median_ratio"),
    ],
)
def test_bounds_that_cannot_be_are_refused(run: Callable[[TableTrack], Any]) -> None:
    with pytest.raises(BadInput):
        run(table({"a": 1.0, "b": -1.0}))


# --- Bins ------------------------------------------------------------------------------------


def naive_statistic(
    entries: Sequence[tuple[int, int, float]], statistic: str, residues: Iterable[int]
) -> float:
    """A statistic of some residues, which are looked at one by one."""
    places = list(residues)
    here = [
        [score for start, end, score in entries if start <= at < end] for at in places
    ]
    scores = [x for some in here for x in some if not math.isnan(x)]
    if statistic == "coverage":
        return sum(map(bool, here)) / len(here) if here else NAN
    if statistic == "sum":
        return sum(scores)
    if not scores:
        return NAN
    return {"mean": sum(scores) / len(scores), "max": max(scores), "min": min(scores)}[statistic]


def entries_of(regions: Iterable[Region], chrom: str) -> list[tuple[int, int, float]]:
    return [(one.start, one.end, one.score) for one in regions if one.chrom == chrom]


def entries_of_residues(values: Sequence[float]) -> list[tuple[int, int, float]]:
    return [(n, n + 1, x) for n, x in enumerate(values) if not math.isnan(x)]


def naive_bins(
    entries: Sequence[tuple[int, int, float]],
    size: int,
    end: int,
    statistic: str,
    *,
    keep_empty: bool,
) -> list[tuple[int, int, float]]:
    found = []
    for start in range(0, end, size):
        places = range(start, min(start + size, end))
        value = naive_statistic(entries, statistic, places)
        if statistic == "coverage":
            is_empty = value == 0
        else:
            is_empty = math.isnan(naive_statistic(entries, "max", places))
        if keep_empty or not is_empty:
            found.append((places[0], places[-1] + 1, value))
    return found


_STATISTICS = ["mean", "sum", "max", "min", "coverage"]


@given(
    regions=_REGIONS,
    residues=_RESIDUES,
    size=st.integers(1, 50),
    statistic=st.sampled_from(_STATISTICS),
    keep_empty=st.booleans(),
)
@_often
def test_bins_are_what_their_residues_are(
    regions: list[Region], residues: _Residues, size: int, statistic: str, keep_empty: bool
) -> None:
    options: dict[str, Any] = {"statistic": statistic, "keep_empty": keep_empty}
    ends = {
        chrom: max((one.end for one in regions if one.chrom == chrom and one.length), default=0)
        for chrom in LENGTHS
    }
    for found, lengths, entries in (
        (
            bin_summarize(intervals(regions), size, **options),
            ends,
            {chrom: entries_of(regions, chrom) for chrom in LENGTHS},
        ),
        (
            bin_summarize(intervals(regions), size, LENGTHS, **options),
            LENGTHS,
            {chrom: entries_of(regions, chrom) for chrom in LENGTHS},
        ),
        (
            bin_summarize(signal(residues), size, **options),
            LENGTHS,
            {chrom: entries_of_residues(values) for chrom, values in residues.items()},
        ),
    ):
        expected = [
            (chrom, *one)
            for chrom, end in lengths.items()
            for one in naive_bins(entries[chrom], size, end, statistic, keep_empty=keep_empty)
        ]
        assert_same_intervals(found, expected)


def test_bins_of_a_bigwig_are_those_of_pybigwig(tmp_path: Path) -> None:
    generator = np.random.default_rng(8)
    edges = np.unique(generator.integers(0, 60_000, 9_000))
    values = generator.gamma(2, 2, len(edges) - 1).astype(np.float32)
    has = generator.random(len(values)) < 0.8
    with bigwig.open(str(tmp_path / "x.bw"), "w") as file:
        file.addHeader([("one", 60_000)])
        starts, ends = edges[:-1][has].tolist(), edges[1:][has].tolist()
        file.addEntries(["one"] * len(starts), starts, ends=ends, values=values[has].tolist())
    with bigwig.open(str(tmp_path / "x.bw")) as file:
        track = SignalTrack(LABEL, file)
        for statistic in _STATISTICS:
            found = bin_summarize(track, 500, statistic=statistic, keep_empty=True)
            assert len(found) == 120
            expected = [
                file.stats("one", one.start, one.end, type=statistic, exact=True)[0]
                for one in found
            ]
            assert found.scores() == pytest.approx(expected, rel=1e-6)


def test_what_lies_before_a_bin_does_not_make_it_less_exact() -> None:
    values = [1e16, -1e-3, 0.1, 0.2, 3e15, 0.3, 0.7]
    steps = Steps.of(np.arange(7) * 10, np.arange(1, 8) * 10, values)
    track = SignalTrack.of(LABEL, {"one": 70}, {"one": steps})
    found = bin_summarize(track, 35, statistic="sum").scores().tolist()
    assert found[1] == float(sum(Fraction(x) * n for x, n in zip(values[3:], [5, 10, 10, 10],
                                                                 strict=True)))
    assert bin_summarize(track, 10).scores().tolist() == values


def test_where_no_interval_is_nothing_is_left_of_their_scores() -> None:
    some = Intervals.of(
        [7, 13, 13, 16, 19, 19, 100],
        [17, 21, 21, 21, 29, 21, 101],
        [0.1, 1e-17, 0.3, 0.1, 1e16, 1.0, 1.0],
    )
    measured = Profile.of(some).measured("sum", np.array([29, 99]), np.array([100, 101]))
    assert measured.values.tolist() == [0.0, 1.0]


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=40),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8),
)
@example([1e308, 1e308, 1e308, -1e308, 5.0], [(4, 5), (2, 5), (0, 3)])
@example([1e300, 1.0, -1e300, 1.0], [(0, 4), (1, 2), (1, 4)])
@_some
def test_parts_of_totals_are_as_exact_as_sums_of_their_own(
    values: list[float], parts: list[tuple[int, int]]
) -> None:
    cuts = sorted((min(a, len(values)), min(b, len(values))) for a, b in parts)
    cuts = [(min(cut), max(cut)) for cut in cuts]
    first, last = (np.array([cut[n] for cut in cuts], np.int64) for n in range(2))
    found = Totals(np.array(values, np.float64)).between(first, last).tolist()
    largest = max(_finite(map(abs, values)), default=0.0)
    for (begin, end), one in zip(cuts, found, strict=True):
        some = values[begin:end]
        odd = [x for x in some if not math.isfinite(x)]
        if odd:
            assert close(one, sum(odd))
            continue
        exact = sum(map(Fraction, some), Fraction(0))
        # Twice the digits of a number; what is left is so much less than the largest of all.
        allowed = Fraction(2) ** -95 * Fraction(largest) * 40 + abs(exact) * Fraction(2) ** -51
        allowed += Fraction(2) ** -900  # scaled, where numbers have fewer digits
        if abs(exact) > Fraction(1.79e308):
            assert math.isinf(one) or abs(Fraction(one) - exact) <= allowed
        else:
            assert abs(Fraction(one) - exact) <= allowed


# --- Comparisons -----------------------------------------------------------------------------


def _ratio(a: float, b: float) -> float:
    if a == 0:
        return NAN if b == 0 or math.isnan(b) else math.copysign(INF, b)
    return b / a


def _log2(x: float) -> float:
    return _log(x, 2)


_HOW: list[tuple[Callable[..., Any], dict[str, Any], Callable[[float, float], float]]] = [
    (interval_fold_change, {}, _ratio),
    (interval_fold_change, {"log2": True}, lambda a, b: _log2(_ratio(a, b))),
    (interval_fold_change, {"missing": -1.0}, _ratio),
    (interval_difference, {}, lambda a, b: b - a),
    (interval_difference, {"missing": 0.0}, lambda a, b: b - a),
]
_how = pytest.mark.parametrize(
    ("function", "params", "naive"),
    _HOW,
    ids=[f"{one.__name__}{params or ''}" for one, params, _ in _HOW],
)


def _agree(one: str, other: str) -> bool:
    return {one, other} != {"+", "-"}


@_how
@given(a=_TABLES, b=_TABLES)
@_some
def test_tables_are_compared_by_key(
    function: Any, params: Any, naive: Any, a: dict[str, float], b: dict[str, float]
) -> None:
    found = function(table(a), table(b), **params)
    missing = params.get("missing", NAN)
    assert found.keys() == list(dict.fromkeys([*a, *b]))
    for key, value in found.items():
        assert close(value, naive(a[key], b[key]) if key in a and key in b else missing)


@_how
@given(a=_RESIDUES, b=_RESIDUES)
@_some
def test_signals_are_compared_by_residue(
    function: Any, params: Any, naive: Any, a: _Residues, b: _Residues
) -> None:
    found = residues_of(function(signal(a), signal(b), **params))
    for chrom in LENGTHS:
        for one, other, value in zip(a[chrom], b[chrom], found[chrom], strict=True):
            n = sum(not math.isnan(x) for x in (one, other))
            expected = [NAN, params.get("missing", NAN), NAN][n]
            assert close(value, naive(one, other) if n == 2 else expected)


def _partners(one: Region, others: Iterable[Region]) -> list[Region]:
    return [
        other
        for other in others
        if (one.chrom, one.start, one.end) == (other.chrom, other.start, other.end)
        and _agree(one.strand, other.strand)
    ]


def _mean(scores: Iterable[float]) -> float:
    there = [x for x in scores if not math.isnan(x)]
    return sum(there) / len(there) if there else NAN


_PLACES = st.builds(
    Region,
    st.sampled_from(["one", "two"]),
    st.sampled_from([3, 5]),
    st.sampled_from([5, 9]),
    st.sampled_from("+-."),
    st.sampled_from(_SCORES),
    st.sampled_from(["", "g1"]),
    st.sampled_from([{}, {"x": 1}]),
)


@_how
@given(a=st.lists(_PLACES, max_size=8), b=st.lists(_PLACES, max_size=8))
@_some
def test_intervals_are_compared_with_those_in_the_same_place(
    function: Any, params: Any, naive: Any, a: list[Region], b: list[Region]
) -> None:
    found = function(intervals(a), intervals(b), tags=True, **params)
    missing = params.get("missing", NAN)
    expected = []
    for one in a:
        partners = _partners(one, b)
        mean = _mean(x.score for x in partners)
        value = naive(one.score, mean) if partners else missing
        expected.append((one, value, one.score, mean, True, bool(partners)))
    for one in b:
        if not _partners(one, a):
            expected.append((one, missing, NAN, one.score, False, True))

    def row(one: Region, *rest: Any) -> tuple[Any, ...]:
        tags = {"x": one.tags["x"]} if "x" in one.tags else {}
        return (one.chrom, one.start, one.end, one.strand, one.name, str(tags), *rest)

    def number(value: Any) -> str:
        return "null" if value is None or value != value else f"{float(value):.9g}"

    wanted = sorted(
        row(one, number(value), number(mean_a), number(mean_b), in_a, in_b)
        for one, value, mean_a, mean_b, in_a, in_b in expected
    )
    assert wanted == sorted(
        row(one, number(one.score), number(one.tags["mean_a"]), number(one.tags["mean_b"]),
            one.tags["in_a"], one.tags["in_b"])
        for one in found
    )
    plain = function(intervals(a), intervals(b), **params)
    assert [one.score for one in plain] == pytest.approx([x.score for x in found], nan_ok=True)
    assert all(set(one.tags) <= {"x"} for one in plain)


@_how
@given(a=_FINITE_REGIONS, b=_FINITE_REGIONS, size=st.integers(1, 20))
@_some
def test_in_bins_the_means_of_intervals_are_compared(
    function: Any, params: Any, naive: Any, a: list[Region], b: list[Region], size: int
) -> None:
    found = function(intervals(a), intervals(b), mode="overlap", bin_size=size, **params)
    expected = []
    for chrom in LENGTHS:
        ours, theirs = entries_of(a, chrom), entries_of(b, chrom)
        end = max((end for start, end, _ in [*ours, *theirs] if end > start), default=0)
        for start, stop, _ in naive_bins([*ours, *theirs], size, end, "mean", keep_empty=False):
            one, other = (
                naive_statistic(some, "mean", range(start, stop)) for some in (ours, theirs)
            )
            is_pair = not math.isnan(one) and not math.isnan(other)
            value = naive(one, other) if is_pair else params.get("missing", NAN)
            expected.append((chrom, start, stop, value))
    assert_same_intervals(found, expected)


def test_the_fold_change_of_two_tracks_is_not_that_of_the_same_two_the_other_way_round() -> None:
    a, b = table({"x": 2.0, "y": 0.0}), table({"x": 8.0, "y": 3.0})
    assert dict(interval_fold_change(a, b).items()) == {"x": 4.0, "y": INF}
    assert dict(interval_fold_change(b, a).items()) == {"x": 0.25, "y": 0.0}
    fold_change = operation_of("compare.fold_change")
    one = fold_change.provenance({"a": "TK.1", "b": "TK.2"}, {})
    other = fold_change.provenance({"b": "TK.1", "a": "TK.2"}, {})
    assert one.digest != other.digest


def test_tags_of_a_comparison_are_what_json_can_have() -> None:
    a = intervals([Region("one", 0, 5, score=0.0), Region("one", 5, 9, score=NAN)])
    b = intervals([Region("one", 0, 5, score=2.0), Region("one", 5, 9, score=1.0)])
    assert [one.tags for one in interval_fold_change(a, b, tags=True)] == [
        {"fold_change": "inf", "log2fc": "inf", "mean_a": 0.0, "mean_b": 2.0, "in_a": True,
         "in_b": True},
        {"fold_change": None, "log2fc": None, "mean_a": None, "mean_b": 1.0, "in_a": True,
         "in_b": True},
    ]  # fmt: skip
    assert interval_difference(a, b, tags=True).columns("one").tags[0]["difference"] == 2.0  # type: ignore[index]


def test_tracks_of_two_kinds_or_two_genomes_are_not_compared() -> None:
    one, other = signal({"one": [1.0]}), signal({"one": [1.0, 2.0]})
    with pytest.raises(BadInput, match="one has 1 residues in a and 2 in b"):
        interval_fold_change(one, other)
    fold_change = operation_of("compare.fold_change")
    with pytest.raises(BadInput, match=r"a is signal and b is interval: transform\.bin"):
        fold_change.run({"a": one, "b": intervals([])}, {})
    with pytest.raises(BadInput, match=r"a is table and b is signal$"):
        fold_change.run({"a": table({}), "b": one}, {})


# --- Overlaps --------------------------------------------------------------------------------


def _common(one: Region, other: Region) -> tuple[int, int] | None:
    residues = set(range(one.start, one.end)) & set(range(other.start, other.end))
    is_there = one.chrom == other.chrom and residues
    return (min(residues), max(residues) + 1) if is_there else None


def _runs(residues: Iterable[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for at in sorted(residues):
        if found and found[-1][1] == at:
            found[-1] = (found[-1][0], at + 1)
        else:
            found.append((at, at + 1))
    return found


def _cut(one: Region, start: int, end: int) -> Region:
    return Region(one.chrom, start, end, one.strand, one.score, one.name, one.tags)


@given(a=_REGIONS, b=_REGIONS, same_strand=st.booleans(), minimum=st.integers(1, 4))
@_often
def test_what_intersects_has_the_residues_of_both(
    a: list[Region], b: list[Region], same_strand: bool, minimum: int
) -> None:
    found = intersect(intervals(a), intervals(b), same_strand=same_strand, minimum=minimum)
    expected = []
    for one in a:
        for other in b:
            common = _common(one, other)
            if common is None or common[1] - common[0] < minimum:
                continue
            if not same_strand or _agree(one.strand, other.strand):
                expected.append(_cut(one, *common))
    assert rows(found) == rows(intervals(expected))


@given(a=_REGIONS, b=_REGIONS, same_strand=st.booleans())
@_often
def test_what_is_left_has_the_residues_of_one_alone(
    a: list[Region], b: list[Region], same_strand: bool
) -> None:
    expected = []
    for one in a:
        taken = {
            at
            for other in b
            if other.chrom == one.chrom and (not same_strand or _agree(one.strand, other.strand))
            for at in range(other.start, other.end)
        }
        expected += [_cut(one, *run) for run in _runs(set(range(one.start, one.end)) - taken)]
    found = subtract(intervals(a), intervals(b), same_strand=same_strand)
    assert rows(found) == rows(intervals(expected))


@given(a=_REGIONS, b=_REGIONS, gap=st.integers(0, 4), same_strand=st.booleans())
@_often
def test_a_union_covers_what_either_covers(
    a: list[Region], b: list[Region], gap: int, same_strand: bool
) -> None:
    expected = []
    both = [one for one in [*a, *b] if one.length]
    for chrom in LENGTHS:
        for strand in "+-." if same_strand else ".":
            some = [one for one in both if one.chrom == chrom]
            if same_strand:
                some = [one for one in some if one.strand == strand]
            covered = {at for one in some for at in range(one.start, one.end)}
            runs = _runs(covered)
            # Close gaps one after another.
            closed = list(runs[:1])
            for run in runs[1:]:
                if run[0] - closed[-1][1] <= gap:
                    closed[-1] = (closed[-1][0], run[1])
                else:
                    closed.append(run)
            for start, end in closed:
                n = sum(start <= one.start < end for one in some)
                expected.append(Region(chrom, start, end, strand, float(n)))
    one, other = IntervalTrack(TrackLabel("a"), a), IntervalTrack(TrackLabel("b"), b)
    found = union(one, other, gap=gap, same_strand=same_strand)
    assert rows(found) == rows(intervals(expected))
    back = union(other, one, gap=gap, same_strand=same_strand)
    assert (found.name, list(found)) == (back.name, list(back))


def test_a_union_is_looked_up_in_any_order_and_named_the_same() -> None:
    operation = operation_of("overlap.union")
    one = operation.provenance({"a": "TK.1", "b": "TK.2"}, {})
    assert one == operation.provenance({"a": "TK.2", "b": "TK.1"}, {})
    a, b = IntervalTrack(TrackLabel("x")), IntervalTrack(TrackLabel("y"))
    assert union(a, b).name == union(b, a).name == "x + y"
    assert union(a, a).name == "x"


@given(regions=_REGIONS, residues=_RESIDUES)
@_some
def test_a_complement_has_all_the_other_residues(
    regions: list[Region], residues: _Residues
) -> None:
    genome = Genome("g", {}, {chrom: "A" * n for chrom, n in LENGTHS.items()})
    covered = {
        chrom: {at for one in regions if one.chrom == chrom for at in range(one.start, one.end)}
        for chrom in LENGTHS
    }
    valued = {
        chrom: {at for at, x in enumerate(values) if not math.isnan(x)}
        for chrom, values in residues.items()
    }
    for found, taken in (
        (complement(genome, intervals(regions)), covered),
        (complement(genome, signal(residues)), valued),
    ):
        assert rows(found) == rows(
            intervals(
                Region(chrom, *run)
                for chrom, n in LENGTHS.items()
                for run in _runs(set(range(n)) - taken[chrom])
            )
        )


def test_what_is_not_in_a_genome_has_no_complement_there() -> None:
    genome = Genome("g", {}, {"one": "ACGT"})
    with pytest.raises(BadInput, match="no chromosome 'two'"):
        complement(genome, intervals([Region("two", 0, 1)]))
    with pytest.raises(BadInput, match="one:2-5 is not in one, which has 4 residues"):
        complement(genome, intervals([Region("one", 2, 5)]))
    with pytest.raises(BadInput, match="4 residues in the genome, and 3 in the signal"):
        complement(genome, signal({"one": [1.0] * 3}))
    with pytest.raises(BadInput, match="not in one"):
        bin_summarize(intervals([Region("one", 2, 5)]), 2, {"one": 4})


# --- Annotations -----------------------------------------------------------------------------


def _place(one: Region) -> str:
    return one.name or f"{one.chrom}:{one.start}-{one.end}"


def _order(one: Region) -> tuple[Any, ...]:
    """The order of intervals, of those in one place too."""
    score = (math.isnan(one.score), 0 if math.isnan(one.score) else one.score)
    tags = str(dict(one.tags)).replace("'", '"') if one.tags else ""
    return (one.start, one.end, one.strand, score, one.name, tags)


def _overlapped(one: Region, others: Iterable[Region], same_strand: bool) -> list[Region]:
    return sorted(
        (
            other
            for other in others
            if _common(one, other) and (not same_strand or _agree(one.strand, other.strand))
        ),
        key=_order,
    )


@given(
    a=_REGIONS,
    b=_REGIONS,
    what=st.sampled_from(["names", "count", "score"]),
    same_strand=st.booleans(),
)
@_often
def test_an_overlay_says_what_each_interval_lies_over(
    a: list[Region], b: list[Region], what: str, same_strand: bool
) -> None:
    found = overlay(intervals(a), intervals(b), "over", what=what, same_strand=same_strand)
    expected = []
    for one in a:
        others = _overlapped(one, b, same_strand)
        value: Any = list(dict.fromkeys(map(_place, others)))
        if what == "count":
            value = len(others)
        if what == "score":
            mean = naive_statistic(
                [(x.start, x.end, x.score) for x in others], "mean", range(one.start, one.end)
            )
            value = None if math.isnan(mean) else f"{mean:.9g}"
        expected.append((one, value))

    def row(one: Region, value: Any) -> tuple[Any, ...]:
        return (one.chrom, *map(str, _order(one)), str(value))

    def shown(one: Region) -> tuple[Any, ...]:
        tags = dict(one.tags)
        value = tags.pop("over")
        if what == "score" and value is not None:
            value = f"{float(value):.9g}"
        plain = Region(one.chrom, one.start, one.end, one.strand, one.score, one.name, tags)
        return row(plain, value)

    assert sorted(map(shown, found)) == sorted(row(one, value) for one, value in expected)


@given(a=_REGIONS, residues=_FINITE_RESIDUES)
@_some
def test_an_overlay_on_a_signal_has_its_mean_or_how_much_there_is(
    a: list[Region], residues: _Residues
) -> None:
    track, below = intervals(a), signal(residues)
    means = overlay(track, below, what="score")
    counts = overlay(track, below, what="count")
    for one, other in zip(means, counts, strict=True):
        there = [x for x in residues[one.chrom][one.start : one.end] if not math.isnan(x)]
        assert other.tags["overlay"] == len(there)
        mean = one.tags["overlay"]
        assert close(NAN if mean is None else mean, _mean(there))


def test_an_overlay_needs_a_name_and_names() -> None:
    with pytest.raises(BadInput, match="needs a name"):
        overlay(intervals([]), intervals([]), "")
    with pytest.raises(BadInput, match="a signal has no names"):
        overlay(intervals([]), signal({}))


def test_a_tag_that_is_there_is_written_over() -> None:
    one = intervals([Region("one", 0, 5, tags={"overlay": "old", "x": 1})])
    (found,) = overlay(one, intervals([Region("one", 4, 6, name="g"), Region("one", 3, 4)]))
    assert found.tags == {"overlay": ["one:3-4", "g"], "x": 1}


@given(a=_REGIONS, b=_REGIONS, same_strand=st.booleans())
@_often
def test_the_nearest_is_the_one_with_the_nearest_residue(
    a: list[Region], b: list[Region], same_strand: bool
) -> None:
    expected = []
    for one in a:
        candidates = []
        for other in b:
            if other.chrom != one.chrom or not other.length:
                continue
            if same_strand and not _agree(one.strand, other.strand):
                continue
            if other.start < one.end and one.start < other.end:
                candidates.append((0, 0, 0, _order(other), _place(other)))
            elif other.end <= one.start:
                # From the last residue of it to the first one of ours.
                distance = one.start - (other.end - 1)
                candidates.append((distance, 1, 0, _order(other), _place(other)))
            else:
                distance = other.start - (one.end - 1)
                candidates.append((distance, 2, 0, _order(other), _place(other)))
        best = min(candidates, default=None)
        expected.append((one, None if best is None else best[4], best and best[0]))
    found = nearest(intervals(a), intervals(b), same_strand=same_strand)

    def row(one: Region, name: Any, distance: Any) -> tuple[str, ...]:
        return (one.chrom, *map(str, _order(one)[:5]), str(one.tags.get("x")), str(name),
                str(distance))

    assert sorted(row(one, one.tags["nearest"], one.tags["distance"]) for one in found) == sorted(
        row(*one) for one in expected
    )


def test_intervals_that_touch_are_one_apart() -> None:
    genes = intervals([Region("one", 0, 10, name="left"), Region("one", 30, 40, name="right")])
    peaks = intervals(
        [Region("one", at, at + 5) for at in (5, 10, 15, 17, 18, 60)]
        + [Region("one", 18, 22)] + [Region("two", 0, 5)]
    )
    found = [(one.tags["nearest"], one.tags["distance"]) for one in nearest(peaks, genes)]
    assert found == [
        ("left", 0), ("left", 1), ("left", 6), ("left", 8), ("left", 9), ("right", 8),
        ("right", 21), (None, None),
    ]  # fmt: skip


# --- Summaries -------------------------------------------------------------------------------


@given(
    a=_REGIONS,
    residues=_RESIDUES,
    features=_regions_of([0.0]),
    statistic=st.sampled_from([*_STATISTICS, "count"]),
    by=st.sampled_from(["name", "place"]),
    same_strand=st.booleans(),
)
@_often
def test_a_summary_is_that_of_the_residues_of_each_feature(
    a: list[Region],
    residues: _Residues,
    features: list[Region],
    statistic: str,
    by: str,
    same_strand: bool,
) -> None:
    parts: dict[str, dict[tuple[str, str], set[int]]] = {}
    empty: dict[str, bool] = {}
    for one in features:
        key = _place(one) if by == "name" else f"{one.chrom}:{one.start}-{one.end}"
        strand = one.strand if same_strand else "."
        some = parts.setdefault(key, {}).setdefault((one.chrom, strand), set())
        some |= set(range(one.start, one.end))
        empty[key] = empty.get(key, True) and not one.length
    for values, is_signal in ((intervals(a), False), (signal(residues), True)):
        found = summarize_features(
            values, intervals(features), statistic, by=by, same_strand=same_strand
        )
        assert set(found.keys()) == set(parts)
        for key, pieces in parts.items():
            expected = _naive_summary(pieces, a, residues, statistic, is_signal, same_strand)
            assert close(found[key], expected), (key, found[key], expected)


def _naive_summary(
    pieces: Mapping[tuple[str, str], set[int]],
    regions: list[Region],
    residues: _Residues,
    statistic: str,
    is_signal: bool,
    same_strand: bool,
) -> float:
    if is_signal:  # which has no strands, so that those of the features are one
        strandless: dict[tuple[str, str], set[int]] = {}
        for (chrom, _), places in pieces.items():
            if same_strand:
                strandless.setdefault((chrom, "."), set()).update(places)
        pieces = strandless or pieces
    scores: list[float] = []
    n_covered = n_residues = count = 0
    for (chrom, strand), places in pieces.items():
        if is_signal:
            entries = entries_of_residues(residues[chrom])
        else:
            some = [one for one in regions if not same_strand or _agree(one.strand, strand)]
            entries = entries_of(some, chrom)
        for at in places:
            here = [score for start, end, score in entries if start <= at < end]
            scores += [x for x in here if not math.isnan(x)]
            n_covered += bool(here)
        n_residues += len(places)
        for start, end in _runs(places):
            count += sum(begin < end and stop > start and stop > begin
                         for begin, stop, _ in entries)
    if statistic == "coverage":
        return n_covered / n_residues if n_residues else NAN
    if statistic in ("count", "sum"):
        return float(count) if statistic == "count" else sum(scores)
    if not scores:
        return NAN
    return {"mean": sum(scores) / len(scores), "max": max(scores), "min": min(scores)}[statistic]


def test_features_of_one_name_are_one_feature() -> None:
    values = signal({"one": [1.0] * 10 + [5.0] * 10, "two": [9.0] * 4})
    exons = intervals(
        [
            Region("one", 0, 4, name="g"),
            Region("one", 2, 6, name="g"),
            Region("one", 18, 20, name="g"),
            Region("two", 0, 2, name="g"),
            Region("two", 1, 3),
        ]
    )
    found = summarize_features(values, exons)
    assert dict(found.items()) == {"g": (6 * 1 + 2 * 5 + 2 * 9) / 10, "two:1-3": 9.0}


def test_what_overlaps_two_parts_that_touch_is_counted_once() -> None:
    parts = intervals([Region("one", 0, 4, name="g"), Region("one", 4, 8, name="g")])
    apart = intervals([Region("one", 0, 4, name="g"), Region("one", 5, 8, name="g")])
    values = intervals([Region("one", 2, 6)])
    assert summarize_features(values, parts, "count")["g"] == 1
    assert summarize_features(values, apart, "count")["g"] == 2


# --- Any order -------------------------------------------------------------------------------

_TWO: dict[str, Callable[[IntervalTrack, IntervalTrack], AnyTrack]] = {
    "fold_change": lambda a, b: interval_fold_change(a, b, tags=True),
    "difference": lambda a, b: interval_difference(a, b, mode="overlap", bin_size=7),
    "intersect": intersect,
    "intersect, same strand": lambda a, b: intersect(a, b, same_strand=True),
    "union": union,
    "subtract": subtract,
    "overlay": overlay,
    "overlay score": lambda a, b: overlay(a, b, what="score"),
    "nearest": nearest,
    "summarize": summarize_features,
    "summarize sum": lambda a, b: summarize_features(a, b, "sum", same_strand=True),
    "bin": lambda a, _b: bin_summarize(a, 9, statistic="sum"),
    "normalize": lambda a, _b: drop_missing(intersect(a, a)),
}

#: Whose sum is another one in another order.
_UNEVEN = [0.1, 0.2, 0.3, 1e16, -1e16, 0.7, NAN]


@pytest.mark.parametrize("name", _TWO)
@given(
    a=_regions_of(_UNEVEN, 15),
    b=_regions_of(_UNEVEN, 15),
    shuffled=st.randoms(use_true_random=False),
)
@_few
def test_the_order_of_the_entries_does_not_matter(
    name: str, a: list[Region], b: list[Region], shuffled: Any
) -> None:
    other_a, other_b = a.copy(), b.copy()
    shuffled.shuffle(other_a)
    shuffled.shuffle(other_b)
    one = _TWO[name](intervals(a), intervals(b))
    other = _TWO[name](intervals(other_a), intervals(other_b))
    assert contents(one) == contents(other)


@pytest.mark.parametrize("function", [normalize, standardize, rank])
@given(
    scores=st.lists(st.floats(0.1, 1e18), min_size=1, max_size=20),
    shuffled=st.randoms(use_true_random=False),
)
@_few
def test_sums_do_not_depend_on_the_order_of_what_is_summed(
    function: Any, scores: list[float], shuffled: Any
) -> None:
    values = {str(n): x for n, x in enumerate(scores)}
    keys = list(values)
    shuffled.shuffle(keys)
    one, other = function(table(values)), function(table({key: values[key] for key in keys}))
    assert dict(one.items()) == dict(other.items())


# --- Hostile ---------------------------------------------------------------------------------


def test_what_would_not_fit_into_memory_is_refused() -> None:
    n = math.isqrt(sweeps.MOST) + 1
    starts = np.zeros(n, np.int64)
    everywhere = IntervalTrack.of("a", {"one": Intervals.of(starts, starts + 1_000_000)})
    for run in (intersect, overlay):
        with pytest.raises(BadInput, match="more than 33,554,432 overlaps"):
            run(everywhere, everywhere)
    dots = np.arange(n) * 10
    dotted = IntervalTrack.of("b", {"one": Intervals.of(dots, dots + 1)})
    with pytest.raises(BadInput, match="more than 33,554,432 parts"):
        subtract(everywhere, dotted)
    far = intervals([Region("one", 0, 1), Region("one", 1 << 52, (1 << 52) + 1)])
    assert len(bin_summarize(far, 1)) == 2
    long = intervals([Region("one", 0, 1 << 52)])
    for track, keep_empty in ((far, True), (long, False)):
        with pytest.raises(BadInput, match="more than 33,554,432 bins of 1 residues"):
            bin_summarize(track, 1, keep_empty=keep_empty)
    with pytest.raises(BadInput, match="bins of 1 residues"):
        interval_fold_change(long, long, mode="overlap", bin_size=1)


def test_no_pair_is_looked_at_where_the_result_has_none() -> None:
    """All with all of these would take days."""
    n = 100_000
    starts = np.arange(n)
    nested = IntervalTrack.of(
        "a", {"one": Intervals.of(starts, 2 * n - starts, starts, b"+", names=["g"] * n)}
    )
    assert len(union(nested, nested)) == 1
    assert len(subtract(nested, nested)) == 0
    table_ = summarize_features(nested, nested, "max")
    assert dict(table_.items()) == {"g": n - 1}
    middle = intervals([Region("one", n, n + 1)])
    (found,) = overlay(middle, nested, what="count")
    assert found.tags["overlay"] == n
    (found,) = overlay(middle, nested, what="score")
    assert found.tags["overlay"] == pytest.approx((n - 1) / 2)
    profile = Profile.of(nested.columns("one"))
    ranges = np.arange(0, 2 * n, 7)
    highs = profile.measured("max", ranges, ranges + 1).values
    assert highs.tolist() == [min(at, 2 * n - at - 1, n - 1) for at in ranges.tolist()]


@pytest.mark.parametrize(
    ("operation", "params", "message"),
    [
        ("transform.bin", {"bin_size": 0}, "at least 1"),
        ("transform.bin", {"bin_size": "9" * 400}, "at most"),
        ("transform.bin", {"bin_size": 1.5}, "a whole number"),
        ("transform.bin", {"statistic": "mode"}, "one of mean"),
        ("transform.bin", {"keep_empty": "perhaps"}, "true or false"),
        ("transform.binarize", {}, "needs threshold"),
        ("transform.log", {"base": "two"}, "a number"),
        ("transform.log", {"basis": 2}, "no parameter 'basis'"),
        ("overlap.union", {"gap": -1}, "at least 0"),
        ("overlap.intersect", {"minimum": 10**400}, "at most"),
        ("compare.fold_change", {"mode": "nearly"}, "one of exact, overlap"),
    ],
)
def test_parameters_that_cannot_be_are_refused_in_one_line(
    operation: str, params: dict[str, Any], message: str
) -> None:
    one = operation_of(operation)
    with pytest.raises(BadInput, match=message) as refused:
        one.run(dict.fromkeys((input_.name for input_ in one.inputs), intervals([])), params)
    assert "\n" not in str(refused.value)


# --- As operations ---------------------------------------------------------------------------

_IDS = sorted(
    name
    for name, one in OPERATIONS.items()
    if one.function.__module__.rsplit(".", 1)[-1]
    in {"annotating", "binning", "comparing", "overlaps", "summarizing", "transforms"}
)
_GENOME = Genome("g", {}, {chrom: "A" * n for chrom, n in LENGTHS.items()})
_REGULAR = [Region("one", 3, 9, "+", 4.0, "g1", {"x": 1}), Region("two", 0, 5, "-", 2.0)]
_GIVEN: dict[str, list[AnyTrack]] = {
    "interval": [intervals([]), intervals(_REGULAR)],
    "signal": [signal({}), signal({"one": [NAN] * 30}), signal({"one": [1.0, NAN, 2.0] * 10})],
    "table": [table({}), table({"a": 1.0, "b": NAN})],
}


def test_all_operations_are_there() -> None:
    assert _IDS == [
        "compare.difference", "compare.fold_change",
        "overlap.complement", "overlap.intersect", "overlap.nearest", "overlap.overlay",
        "overlap.subtract", "overlap.summarize", "overlap.union",
        "transform.add_pseudocount", "transform.bin", "transform.binarize", "transform.clamp",
        "transform.drop_missing", "transform.drop_zeros", "transform.fill_missing",
        "transform.filter", "transform.log", "transform.normalize", "transform.rank",
        "transform.replace_zeros", "transform.standardize",
    ]  # fmt: skip


@pytest.mark.parametrize("name", _IDS)
def test_an_operation_gives_what_it_says_for_all_that_it_takes(name: str) -> None:
    operation = operation_of(name)
    params: dict[str, Any] = {one.name: "2" for one in operation.params if one.is_required}
    params |= {"what": "count"} if name == "overlap.overlay" else {}
    tracks = [one for one in operation.inputs if one.kind == "track"]
    n_runs = 0
    for kind in tracks[0].types:
        for n, given_ in enumerate(_GIVEN[kind]):
            inputs: dict[str, Any] = {}
            for one in operation.inputs:
                is_same = kind in one.types
                inputs[one.name] = (
                    _GENOME if one.kind == "genome"
                    else _GIVEN[kind if is_same else one.types[0]][n if is_same else -1]
                )
            inputs[tracks[0].name] = given_
            found = operation.run(inputs, params)
            assert type_of(found) == (operation.output or kind)
            if not operation.commutative:
                assert found.name == "t"
            n_runs += 1
    assert n_runs >= 2
    for one in tracks:
        for kind in {*_GIVEN} - {*one.types}:
            wrong = {**inputs, one.name: _GIVEN[kind][0]}
            with pytest.raises(BadInput, match=f"{one.name} is .*, not {kind}"):
                operation.run(wrong, params)


@pytest.mark.parametrize("name", _IDS)
def test_an_operation_and_its_function_have_the_same_defaults(name: str) -> None:
    operation = operation_of(name)
    signature = inspect.signature(operation.function).parameters
    assert {one.name for one in operation.inputs} <= signature.keys()
    for one in operation.params:
        default = signature[one.name].default
        if default is inspect.Parameter.empty:
            assert one.default is REQUIRED
        else:
            assert repr(default) == repr(one.default)
            assert repr(one.parsed(one.default)) == repr(one.default)


@pytest.mark.parametrize("name", _IDS)
def test_an_operation_ends_where_nobody_wants_its_result(name: str) -> None:
    operation = operation_of(name)
    watch = Watch()
    watch.cancel()
    params: dict[str, Any] = {one.name: 2 for one in operation.params if one.is_required}
    params |= {"minimum": 1} if name == "transform.filter" else {}
    inputs: dict[str, Any] = {
        one.name: _GENOME if one.kind == "genome" else intervals(_REGULAR)
        for one in operation.inputs
    }
    with watched_by(watch), pytest.raises(Cancelled):
        operation.run(inputs, params)


def test_progress_ends_with_all_that_there_is() -> None:
    told: list[tuple[int, int]] = []
    with watched_by(Watch(lambda done, total: told.append((done, total)))):
        bin_summarize(signal({"one": [1.0] * 30, "two": [NAN] * 17}), 5)
    assert told == [(0, 47), (30, 47), (47, 47)]
