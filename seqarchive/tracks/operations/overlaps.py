"""Overlaps: what intervals have in common, cover together, have alone, and leave free."""

from __future__ import annotations

import numpy as np

from ...errors import BadInput
from ..columns import NO_INTERVALS, Intervals, joined
from ..reference import Reference
from ..regions import TrackLabel
from ..track import INTERVAL, SIGNAL, IntervalTrack, SignalTrack
from ..watching import stepping
from .binning import LARGEST
from .profiles import profile_of
from .registry import BOOLEAN, INTEGER, Parameter, genome, operation, track
from .sweeps import (
    Room,
    along,
    chroms_of,
    expanded,
    matching,
    merged,
    n_expanded,
    pairs,
    pieces,
    require_inside,
    residues_of,
    room_for_overlaps,
    settled,
    uncovered,
)

SAME_STRAND = Parameter("same_strand", BOOLEAN, "leave alone what is on the opposite strand", False)


@operation(
    "overlap.intersect",
    "What each interval of a has in common with each one of b.",
    inputs=(
        track("a", "the intervals that are cut", INTERVAL),
        track("b", "the intervals they are cut with", INTERVAL),
    ),
    params=(
        SAME_STRAND,
        Parameter("minimum", INTEGER, "residues in common at least", 1, minimum=1, maximum=LARGEST),
    ),
    output=INTERVAL,
)
def intersect(
    a: IntervalTrack, b: IntervalTrack, *, same_strand: bool = False, minimum: int = 1
) -> IntervalTrack:
    """The common part of each interval of ``a`` and each one of ``b`` that overlaps it, with the
    strand, score, name and tags of that of ``a``.

    Args:
        same_strand: Only of those that are not on opposite strands.
        minimum: Residues that a common part has at least.

    Raises:
        BadInput: There are too many of them.
    """
    room, found = room_for_overlaps(), {}
    for chrom in along(a.chroms):
        ours, theirs = settled(a.columns(chrom)), b.columns(chrom)
        left, right = pairs(ours, theirs, room, same_strand=same_strand)
        starts = np.maximum(ours.starts[left], theirs.starts[right])
        ends = np.minimum(ours.ends[left], theirs.ends[right])
        if minimum > 1:
            keep = ends - starts >= minimum
            left, starts, ends = left[keep], starts[keep], ends[keep]
        found[chrom] = pieces(ours, left, starts, ends)
    return IntervalTrack.of(a.source, found)


@operation(
    "overlap.union",
    "What the intervals of two tracks cover, as intervals that do not overlap.",
    inputs=(
        track("a", "some intervals", INTERVAL),
        track("b", "more intervals", INTERVAL),
    ),
    params=(
        Parameter(
            "gap", INTEGER, "merge those so many residues apart", 0, minimum=0, maximum=LARGEST
        ),
        Parameter("same_strand", BOOLEAN, "merge each strand by itself", False),
    ),
    output=INTERVAL,
    commutative=True,
)
def union(
    a: IntervalTrack, b: IntervalTrack, *, gap: int = 0, same_strand: bool = False
) -> IntervalTrack:
    """The intervals of both tracks merged: those that overlap, touch, or have at most ``gap``
    residues between them are one. Scores are the numbers of intervals that were merged.

    Args:
        same_strand: Merge each strand, and what has none, by itself; else results have no strand.
    """
    found = {}
    for chrom in along(chroms_of(a, b)):
        both = residues_of(joined([a.columns(chrom), b.columns(chrom)]))
        parts = []
        for strand in (b"+", b"-", b".") if same_strand else (b".",):
            some = both.taken(both.strands == strand) if same_strand else both
            starts, ends, counts = merged(some.starts, some.ends, gap)
            parts.append(Intervals.of(starts, ends, counts, strand))
        found[chrom] = joined(parts)
    return IntervalTrack.of(TrackLabel(" + ".join(sorted({a.name, b.name}))), found)


@operation(
    "overlap.subtract",
    "The parts of the intervals of a that no interval of b covers.",
    inputs=(
        track("a", "the intervals that are cut", INTERVAL),
        track("b", "what is taken away", INTERVAL),
    ),
    params=(SAME_STRAND,),
    output=INTERVAL,
)
def subtract(a: IntervalTrack, b: IntervalTrack, *, same_strand: bool = False) -> IntervalTrack:
    """What is left of each interval of ``a`` without the residues of those of ``b``, with the
    strand, score, name and tags of the whole interval.

    Args:
        same_strand: What is on the opposite strand takes nothing away.

    Raises:
        BadInput: There are too many parts.
    """
    room, found = Room("parts of intervals", "overlap.union makes one interval of many"), {}
    for chrom in along(a.chroms):
        ours, parts = settled(a.columns(chrom)), []
        for which, others in matching(ours, b.columns(chrom), same_strand=same_strand):
            some, theirs = ours.taken(which), residues_of(others)
            starts, ends, _ = merged(theirs.starts, theirs.ends)
            starts, ends = uncovered(starts, ends, int(some.ends.max(initial=0)))
            first = np.searchsorted(ends, some.starts, "right")
            last = np.searchsorted(starts, some.ends, "left")
            last = np.where(some.ends > some.starts, last, first)
            room.take(n_expanded(first, last))
            left, free = expanded(first, last)
            cut = (
                np.maximum(some.starts[left], starts[free]),
                np.minimum(some.ends[left], ends[free]),
            )
            parts.append(pieces(some, left, *cut))
        found[chrom] = joined(parts)
    return IntervalTrack.of(a.source, found)


@operation(
    "overlap.complement",
    "What of a genome no interval, or no value of a signal, covers.",
    inputs=(genome(), track("track", "what covers the rest", INTERVAL, SIGNAL)),
    output=INTERVAL,
)
def complement(genome: Reference, track: IntervalTrack | SignalTrack) -> IntervalTrack:
    """The parts of all chromosomes of a genome that a track leaves free, with the score 0.0.

    Raises:
        BadInput: The track is not within the genome.
    """
    lengths = genome.chrom_lengths
    for chrom in track.chroms:
        require_inside(chrom, NO_INTERVALS, lengths)
    found = {}
    for chrom in stepping(lengths):
        if isinstance(track, IntervalTrack):
            require_inside(chrom, track.columns(chrom), lengths)
        elif track.lengths.get(chrom, lengths[chrom]) != lengths[chrom]:
            raise BadInput(
                f"{chrom} has {lengths[chrom]:,} residues in the genome, and "
                f"{track.lengths[chrom]:,} in the signal"
            )
        starts, ends = uncovered(*profile_of(track, chrom).covered, lengths[chrom])
        found[chrom] = Intervals.of(starts, ends)
    return IntervalTrack.of(track.source, found)
