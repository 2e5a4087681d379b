"""Bins: a track summarized in pieces of one size."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..columns import Intervals, Ints
from ..track import INTERVAL, SIGNAL, IntervalTrack, SignalTrack
from ..watching import stepping
from .profiles import COVERAGE, MAX, MEAN, MIN, SUM, profile_of
from .registry import BOOLEAN, INTEGER, STRING, Parameter, operation, track
from .sweeps import Room, along, expanded, n_expanded, require_inside

#: Residues of the largest bin: more than any chromosome has.
LARGEST = 1 << 40

BIN_SIZE = Parameter("bin_size", INTEGER, "residues of a bin", 200, minimum=1, maximum=LARGEST)


@operation(
    "transform.bin",
    "The mean (or sum, maximum, minimum, coverage) of a track in bins of one size.",
    inputs=(track("track", "the track to summarize", INTERVAL, SIGNAL),),
    params=(
        BIN_SIZE,
        Parameter(
            "statistic",
            STRING,
            "what of the scores; coverage: the part of the residues that has any",
            MEAN,
            choices=(MEAN, SUM, MAX, MIN, COVERAGE),
        ),
        Parameter("keep_empty", BOOLEAN, "have bins in which nothing is, too", False),
    ),
    output=INTERVAL,
)
def bin_summarize(
    track: IntervalTrack | SignalTrack,
    bin_size: int = 200,
    chrom_sizes: Mapping[str, int] | None = None,
    statistic: str = MEAN,
    *,
    keep_empty: bool = False,
) -> IntervalTrack:
    """A track summarized in bins, as intervals without names.

    Bins begin at multiples of ``bin_size``. The last one ends with its chromosome, or without
    ``chrom_sizes``, as intervals do not know how long that is, with the last interval.

    An interval is its score at each of its residues, so that of intervals that overlap, a residue
    has several. ``mean`` is that of all scores of all residues, ``sum`` their sum; ``coverage`` is
    the part of the residues that an interval (or a value of the signal) covers, be its score
    missing or not.

    Args:
        chrom_sizes: Chromosomes with their lengths in residues; a signal has its own.
        keep_empty: Have bins without any score, too: their sum and coverage is 0, other scores are
            missing.

    Raises:
        BadInput: There would be too many bins, or an interval is not in ``chrom_sizes``.
    """
    lengths = _lengths(track, chrom_sizes)
    room = room_for_bins(bin_size)
    found = {}
    for chrom in along(track.chroms) if lengths is None else stepping(lengths):
        profile = profile_of(track, chrom)
        end = profile.end if lengths is None else lengths[chrom]
        if keep_empty:
            n_bins = -(-end // bin_size)
            room.take(n_bins)
            bins = np.arange(n_bins)
        else:
            of_what = profile.covered if statistic == COVERAGE else profile.valued
            bins = bins_with(*of_what, bin_size, room)
        starts, ends = bounds(bins, bin_size, end)
        values = profile.measured(statistic, starts, ends).values
        found[chrom] = Intervals.of(starts, ends, values)
    return IntervalTrack.of(track.source, found)


def _lengths(
    track: IntervalTrack | SignalTrack, chrom_sizes: Mapping[str, int] | None
) -> Mapping[str, int] | None:
    if isinstance(track, SignalTrack):
        return track.lengths
    if chrom_sizes is not None:
        for chrom in track.chroms:
            require_inside(chrom, track.columns(chrom), chrom_sizes)
    return chrom_sizes


def room_for_bins(bin_size: int) -> Room:
    """For bins of one size."""
    return Room(f"bins of {bin_size:,} residues", "take larger ones")


def bins_with(starts: Ints, ends: Ints, bin_size: int, room: Room) -> Ints:
    """The numbers of the bins that have a residue of what is sorted, apart and never empty.

    Raises:
        BadInput: Too many.
    """
    first, last = starts // bin_size, (ends - 1) // bin_size + 1
    # The bin in which one ends may be that in which the next one begins.
    first[1:] = np.maximum(first[1:], last[:-1])
    room.take(n_expanded(first, last))
    return expanded(first, last)[1]


def bounds(bins: Ints, bin_size: int, end: int) -> tuple[Ints, Ints]:
    """Starts and ends of bins by their numbers, of which the last one is cut at ``end``."""
    starts = bins * bin_size
    return starts, np.minimum(starts + bin_size, end)
