"""Summaries: one number for each feature, from the scores or values within it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..columns import Intervals, Ints
from ..track import INTERVAL, SIGNAL, TABLE, IntervalTrack, SignalTrack, TableTrack
from .overlaps import SAME_STRAND
from .profiles import COUNT, COVERAGE, MAX, MEAN, MIN, SUM, Measured, Profile
from .registry import STRING, Parameter, operation, track
from .sweeps import along, chroms_of, distinct, matching, names_of, place, settled

BY_NAME, BY_PLACE = "name", "place"


@operation(
    "overlap.summarize",
    "The mean (or sum, maximum, minimum, count, coverage) of a track within each feature.",
    inputs=(
        track("values", "what is summarized", INTERVAL, SIGNAL),
        track("features", "the features within which it is, such as genes", INTERVAL),
    ),
    params=(
        Parameter(
            "statistic",
            STRING,
            "what of the scores; count: how many intervals, or residues with a value; coverage: "
            "the part of the residues of the feature that has any",
            MEAN,
            choices=(MEAN, SUM, MAX, MIN, COUNT, COVERAGE),
        ),
        Parameter(
            "by",
            STRING,
            "what a key is; name: features with one name are one; place: chrom:start-end",
            BY_NAME,
            choices=(BY_NAME, BY_PLACE),
        ),
        SAME_STRAND,
    ),
    output=TABLE,
)
def summarize_features(
    values: IntervalTrack | SignalTrack,
    features: IntervalTrack,
    statistic: str = "mean",
    *,
    by: str = BY_NAME,
    same_strand: bool = False,
) -> TableTrack:
    """A table with a number for each feature.

    Features with the same name are put together: of those that overlap, each residue is there
    once. Features without a name are ``chrom:start-end``. Keys are in the order of the names of
    chromosomes and of places.

    An interval is its score at each of its residues, as in ``bin_summarize``; one whose score is
    missing is counted and covers, but has no part in the others. ``mean``, ``max`` and ``min``
    are missing where there is no score. ``count`` counts an interval for each part of a feature
    (those that neither overlap nor touch) that it overlaps.

    Args:
        same_strand: Values on the opposite strand of a feature are not looked at. A signal has no
            strands.
    """
    keys: dict[str, int] = {}
    numbers: list[Ints] = []
    found: list[Measured] = []
    for chrom in along(chroms_of(features)):
        ours = settled(features.columns(chrom))
        of_each = np.array(
            [keys.setdefault(key, len(keys)) for key in _keys(chrom, ours, by)], np.int64
        )
        for which, profile in _profiles(ours, values, chrom, same_strand=same_strand):
            some = ours.taken(which)
            number, starts, ends = _parts(of_each[which], some.starts, some.ends)
            numbers.append(number)
            found.append(profile.measured(statistic, starts, ends))
    measured = Measured(
        np.concatenate([np.empty(0), *(one.tops for one in found)]),
        np.concatenate([np.empty(0), *(one.bottoms for one in found)]),
    )
    all_numbers = np.concatenate([np.empty(0, np.int64), *numbers])
    results = measured.together(statistic, all_numbers, len(keys))
    return TableTrack(values.source, dict(zip(keys, results.tolist(), strict=True)))


def _profiles(
    features: Intervals, values: IntervalTrack | SignalTrack, chrom: str, *, same_strand: bool
) -> Iterator[tuple[Ints, Profile]]:
    """Features, by number, with the values that are for them."""
    if isinstance(values, SignalTrack):
        yield np.arange(len(features)), Profile.of(values.steps(chrom))
        return
    for which, some in matching(features, values.columns(chrom), same_strand=same_strand):
        yield which, Profile.of(some)


def _keys(chrom: str, features: Intervals, by: str) -> list[str]:
    if by == BY_NAME:
        return names_of(chrom, features)
    places = zip(features.starts.tolist(), features.ends.tolist(), strict=True)
    return [place(chrom, start, end) for start, end in places]


def _parts(keys: Ints, starts: Ints, ends: Ints) -> tuple[Ints, Ints, Ints]:
    """Keys, starts and ends of what features cover, for each key by itself.

    Args:
        starts, ends: Sorted by start.
    """
    order = np.lexsort((ends, starts, keys))
    keys, starts, ends = keys[order], starts[order], ends[order]
    if not (keys[1:] == keys[:-1]).any():
        return keys, starts, ends
    # How far features reach up to each one: a maximum that begins anew with each key, as ends of a
    # later key are larger than those of one before.
    edges = distinct(ends)
    ranks = np.searchsorted(edges, ends)
    base = keys * len(edges)
    reach = edges[np.maximum.accumulate(base + ranks) - base]
    is_new = np.concatenate(([True], (keys[1:] != keys[:-1]) | (starts[1:] > reach[:-1])))
    first = np.flatnonzero(is_new)
    last = np.append(first[1:], len(keys)) - 1
    # In the order of places, in which they are found faster.
    by_place = np.argsort(starts[first], kind="stable")
    first, last = first[by_place], last[by_place]
    return keys[first], starts[first], reach[last]
