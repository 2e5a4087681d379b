"""Annotations: what the intervals of one track are told about those of another one, as tags."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import BadInput
from ..columns import Floats, Intervals, Ints
from ..track import INTERVAL, SIGNAL, IntervalTrack, SignalTrack
from .overlaps import SAME_STRAND
from .profiles import COUNT, MEAN, Profile
from .registry import STRING, Parameter, operation, track
from .sweeps import (
    along,
    matching,
    names_of,
    pairs,
    residues_of,
    room_for_overlaps,
    settled,
    values_or_none,
)

NAMES, SCORE = "names", "score"


@operation(
    "overlap.overlay",
    "Each interval of a track gets a tag that says what of another track it overlaps.",
    inputs=(
        track("query", "the intervals that get a tag", INTERVAL),
        track("reference", "what they are laid over", INTERVAL, SIGNAL),
    ),
    params=(
        Parameter("name_tag", STRING, "what the tag is called", "overlay"),
        Parameter(
            "what",
            STRING,
            "what it has; names: those of the intervals, as a list; count: how many there are; "
            "score: the mean of what is there",
            NAMES,
            choices=(NAMES, COUNT, SCORE),
        ),
        SAME_STRAND,
    ),
    output=INTERVAL,
)
def overlay(
    query: IntervalTrack,
    reference: IntervalTrack | SignalTrack,
    name_tag: str = "overlay",
    *,
    what: str = NAMES,
    same_strand: bool = False,
) -> IntervalTrack:
    """The intervals of ``query``, each with a tag that says what of ``reference`` it overlaps.

    Args:
        what: ``names``: a list of the names of the intervals, each once and as they come along the
            chromosome; those without a name are ``chrom:start-end``. ``count``: how many there are;
            of a signal, how many residues have a value. ``score``: the mean score, each interval
            as much as it overlaps; null if there is none.
        same_strand: Intervals on the opposite strand do not count.

    Raises:
        BadInput: The names of a signal are asked for, or there are too many overlaps.
    """
    if not name_tag:
        raise BadInput("the tag needs a name")
    if what == NAMES and isinstance(reference, SignalTrack):
        raise BadInput("a signal has no names; what can be count or score")
    room, found = room_for_overlaps(), {}
    for chrom in along(query.chroms):
        ours = settled(query.columns(chrom))
        values: Iterable[Any]
        if what == NAMES and isinstance(reference, IntervalTrack):
            theirs = settled(reference.columns(chrom))
            left, right = pairs(ours, theirs, room, same_strand=same_strand)
            values = _grouped(left, right, len(ours), names_of(chrom, theirs))
        else:
            statistic = MEAN if what == SCORE else COUNT
            numbers = _measured(ours, reference, chrom, statistic, same_strand=same_strand)
            values = values_or_none(numbers) if what == SCORE else map(int, numbers.tolist())
        found[chrom] = _tagged(ours, ({name_tag: value} for value in values))
    return IntervalTrack.of(query.source, found)


def _tagged(columns: Intervals, more: Iterable[dict[str, Any]]) -> Intervals:
    """The same intervals with one more dictionary of tags each."""
    old: Sequence[Mapping[str, Any]] = columns.tags or [{}] * len(columns)
    return replace(columns, tags=tuple({**a, **b} for a, b in zip(old, more, strict=True)))


def _grouped(left: Ints, right: Ints, n: int, names: list[str]) -> Iterator[list[str]]:
    """For each of ``n`` intervals the names of those it overlaps, each once."""
    until = np.cumsum(np.bincount(left, minlength=n)).tolist()
    numbers, begin = right.tolist(), 0
    for end in until:
        yield list(dict.fromkeys([names[number] for number in numbers[begin:end]]))
        begin = end


def _measured(
    ours: Intervals,
    reference: IntervalTrack | SignalTrack,
    chrom: str,
    statistic: str,
    *,
    same_strand: bool,
) -> Floats:
    if isinstance(reference, SignalTrack):
        profile = Profile.of(reference.steps(chrom))
        return profile.measured(statistic, ours.starts, ours.ends).values
    found = np.zeros(len(ours))
    for which, some in matching(ours, reference.columns(chrom), same_strand=same_strand):
        profile = Profile.of(some)
        measured = profile.measured(statistic, ours.starts[which], ours.ends[which])
        found[which] = measured.values
    return found


@operation(
    "overlap.nearest",
    "Each interval of a gets the name of the nearest one of b, and how far it is, as tags.",
    inputs=(
        track("a", "the intervals that get tags", INTERVAL),
        track("b", "the intervals that are looked for", INTERVAL),
    ),
    params=(SAME_STRAND,),
    output=INTERVAL,
)
def nearest(a: IntervalTrack, b: IntervalTrack, *, same_strand: bool = False) -> IntervalTrack:
    """The intervals of ``a`` with the tags ``nearest``, the name of the nearest interval of ``b``
    (``chrom:start-end`` if it has none), and ``distance``.

    The distance is 0 if they overlap, and otherwise that of their nearest residues: 1 if they
    touch. Of several that are equally near it is the first one that overlaps; else the one before,
    and of several that begin or end in one place the first one. Both tags are null if the
    chromosome has none.

    Args:
        same_strand: Those on the opposite strand are not looked at.
    """
    found = {}
    for chrom in along(a.chroms):
        ours = settled(a.columns(chrom))
        tags: list[dict[str, Any]] = [{"nearest": None, "distance": None}] * len(ours)
        others = settled(b.columns(chrom))
        for which, some in matching(ours, others, same_strand=same_strand):
            theirs = residues_of(some)
            if not len(theirs):
                continue
            numbers, distances = _nearest(ours.starts[which], ours.ends[which], theirs)
            names = names_of(chrom, theirs)
            rows = zip(which.tolist(), numbers.tolist(), distances.tolist(), strict=True)
            for n, number, distance in rows:
                tags[n] = {"nearest": names[number], "distance": distance}
        found[chrom] = _tagged(ours, tags)
    return IntervalTrack.of(a.source, found)


def _nearest(starts: Ints, ends: Ints, others: Intervals) -> tuple[Ints, Ints]:
    """The number of the nearest of some intervals that have residues, and its distance."""
    far = np.iinfo(np.int64).max
    after = np.searchsorted(others.starts, ends, "left")
    right = np.minimum(after, len(others) - 1)
    right_distance = np.where(after < len(others), others.starts[right] - ends + 1, far)
    by_end = np.argsort(others.ends, kind="stable")
    sorted_ends = others.ends[by_end]
    before = np.searchsorted(sorted_ends, starts, "right") - 1
    # Of those that end in one place, the first one.
    first = np.searchsorted(sorted_ends, sorted_ends[np.maximum(before, 0)], "left")
    left = by_end[first]
    left_distance = np.where(before >= 0, starts - others.ends[left] + 1, far)
    found = np.where(left_distance <= right_distance, left, right)
    distances = np.minimum(left_distance, right_distance)
    # The first one that ends after the start overlaps if it begins before the end.
    over = np.searchsorted(others.reach, starts, "right")
    overlaps = over < after
    return np.where(overlaps, over, found), np.where(overlaps, 0, distances)
