"""What of a track lies in some places."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .columns import NO_STEPS, Intervals, Steps, joined
from .track import AnyTrack, IntervalTrack, SignalTrack

#: A chromosome and a range of it: 0-based, half-open, in residues.
Place = tuple[str, int, int]

_Ranges = list[tuple[int, int]]


def within(track: AnyTrack, places: Iterable[Place]) -> AnyTrack:
    """The entries that have a residue in one of some places, whole and each once; of a signal, its
    values there. A table is nowhere, and stays as it is."""
    asked: dict[str, _Ranges] = {}
    for chrom, start, end in places:
        asked.setdefault(chrom, []).append((start, end))
    ranges = {chrom: _merged(some) for chrom, some in asked.items()}
    if isinstance(track, IntervalTrack):
        return IntervalTrack.of(
            track.source, {chrom: _touched(track, chrom, some) for chrom, some in ranges.items()}
        )
    if isinstance(track, SignalTrack):
        return SignalTrack.of(
            track.source,
            track.lengths,
            {chrom: _values(track, chrom, some) for chrom, some in ranges.items()},
        )
    return track


def _merged(ranges: _Ranges) -> _Ranges:
    """Sorted, and apart from each other; without those that have no residue."""
    found: _Ranges = []
    for start, end in sorted(one for one in ranges if one[0] < one[1]):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _touched(track: IntervalTrack, chrom: str, ranges: _Ranges) -> Intervals:
    parts, last = [], 0
    for start, end in ranges:
        found = track.overlapping(chrom, start, end)
        # What begins before the end of an earlier range reaches into that one too.
        parts.append(found.taken(found.starts >= last))
        last = end
    return joined(parts)


def _values(track: SignalTrack, chrom: str, ranges: _Ranges) -> Steps:
    some = [NO_STEPS, *(track.steps(chrom, start, end) for start, end in ranges)]
    return Steps.of(
        np.concatenate([one.starts for one in some]),
        np.concatenate([one.ends for one in some]),
        np.concatenate([one.values for one in some]),
    )
