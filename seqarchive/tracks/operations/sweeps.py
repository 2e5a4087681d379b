"""Sweeps over sorted intervals of one chromosome: what overlaps, what is covered, what is not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import BadInput
from ..columns import Bools, Floats, Intervals, Ints
from ..track import IntervalTrack, SignalTrack
from ..watching import stepping

#: Entries that a result can have: 200-residue bins of any genome, and what fits into memory.
MOST = 1 << 25

_OPPOSITE = {b"+": b"-", b"-": b"+"}


class Room:
    """How many entries a result may still have. What is hostile, or a mistake, asks for more
    than there is memory: every interval with every other one, or bins of one residue.

    Args:
        what: What there would be too many of.
        hint: What to do then.
    """

    def __init__(self, what: str, hint: str, most: int = MOST) -> None:
        self._what, self._hint = what, hint
        self._most = self._left = most

    def take(self, n: int) -> None:
        """Have ``n`` more.

        Raises:
            BadInput: There are not as many left.
        """
        self._left -= n
        if self._left < 0:
            raise BadInput(f"there would be more than {self._most:,} {self._what}: {self._hint}")


def room_for_overlaps() -> Room:
    """For pairs of intervals that overlap."""
    return Room("overlaps", "overlap.union makes one interval of those that overlap")


def along(chroms: Iterable[str]) -> Iterator[str]:
    """Walk through chromosomes whose lengths are not known, or not all: each counts as one."""
    return stepping(dict.fromkeys(chroms, 1))


def chroms_of(*tracks: IntervalTrack | SignalTrack) -> list[str]:
    """The chromosomes of tracks, sorted: in an order that is not that of the tracks."""
    return sorted({chrom for track in tracks for chrom in track.chroms})


def place(chrom: str, start: int, end: int) -> str:
    """What stands for the name of an entry that has none."""
    return f"{chrom}:{start}-{end}"


def names_of(chrom: str, columns: Intervals) -> list[str]:
    """The names of intervals; where they are, for those without one."""
    if columns.names is not None and all(columns.names):
        return list(columns.names)
    rows = zip(columns.starts.tolist(), columns.ends.tolist(), strict=True)
    places = [place(chrom, start, end) for start, end in rows]
    if columns.names is None:
        return places
    return [name or where for name, where in zip(columns.names, places, strict=True)]


def require_inside(chrom: str, columns: Intervals, lengths: Mapping[str, int]) -> None:
    """Raise BadInput unless a genome has the chromosome, and that all the residues."""
    if chrom not in lengths:
        raise BadInput(f"the genome has no chromosome {chrom!r}")
    beyond = np.flatnonzero(columns.ends > lengths[chrom])
    if len(beyond):
        where = place(chrom, int(columns.starts[beyond[0]]), int(columns.ends[beyond[0]]))
        raise BadInput(f"{where} is not in {chrom}, which has {lengths[chrom]:,} residues")


def settled(columns: Intervals) -> Intervals:
    """The same intervals, those that are in one place in the one order that they can have: by
    strand, score, name and tags. Results do not depend on the order in which entries came."""
    ties = (columns.starts[1:] == columns.starts[:-1]) & (columns.ends[1:] == columns.ends[:-1])
    if not ties.any():
        return columns
    rows, runs = _runs(ties)
    order = np.arange(len(columns))
    order[rows] = rows[np.lexsort((columns.scores[rows], columns.strands[rows], runs))]
    if columns.names is not None or columns.tags is not None:
        scores, strands = columns.scores[order], columns.strands[order]
        ties &= strands[1:] == strands[:-1]
        ties &= (scores[1:] == scores[:-1]) | (np.isnan(scores[1:]) & np.isnan(scores[:-1]))
        _settle_texts(columns, order, *_runs(ties))
    return columns.taken(order)


def _runs(ties: Bools) -> tuple[Ints, Ints]:
    """The rows that are as the one before or after them, and which run each is in.

    Args:
        ties: Whether each row is as the one before it, but for the first row.
    """
    rows = np.flatnonzero(np.append(ties, False) | np.append(False, ties))
    return rows, np.cumsum(np.append(False, ~ties))[rows]


def _settle_texts(columns: Intervals, order: Ints, rows: Ints, runs: Ints) -> None:
    """Sort, in place, the runs of an order that only names and tags tell apart."""

    def text(n: int) -> tuple[str, str]:
        name = "" if columns.names is None else columns.names[n]
        tags = {} if columns.tags is None else columns.tags[n]
        return name, json.dumps(dict(tags), sort_keys=True, default=str) if tags else ""

    keyed = [(run, *text(n), n) for run, n in zip(runs.tolist(), order[rows].tolist(), strict=True)]
    order[rows] = [n for *_, n in sorted(keyed)]


def pieces(columns: Intervals, which: Ints, starts: Ints, ends: Ints) -> Intervals:
    """Parts of intervals, each with all that is said of the interval it is of; sorted.

    Args:
        which: The interval that each piece is of.
        starts, ends: Where each piece is.
    """
    order = np.lexsort((ends, starts))
    found = columns.taken(which[order])
    return replace(found, starts=starts[order], ends=ends[order])


def residues_of(columns: Intervals) -> Intervals:
    """The intervals that have a residue."""
    has = columns.ends > columns.starts
    return columns if has.all() else columns.taken(has)


def expanded(first: Ints, last: Ints) -> tuple[Ints, Ints]:
    """All numbers of ranges, one after another: of which range each is, and the number."""
    counts = np.maximum(last - first, 0)
    which = np.repeat(np.arange(len(first)), counts)
    return which, np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts - first, counts)


def n_expanded(first: Ints, last: Ints) -> int:
    """How many numbers ranges have."""
    return int(np.maximum(last - first, 0).sum())


def pairs(
    a: Intervals, b: Intervals, room: Room, *, same_strand: bool = False
) -> tuple[Ints, Ints]:
    """Which intervals have a residue in common, sorted by that of ``a`` and then of ``b``.

    Args:
        same_strand: Leave out pairs of which one is forward and the other one reverse.

    Raises:
        BadInput: Too many.
    """
    in_a, in_b = np.flatnonzero(a.ends > a.starts), np.flatnonzero(b.ends > b.starts)
    a_starts, b_starts = a.starts[in_a], b.starts[in_b]
    # Either the one of b begins in that of a, or the one of a begins in that of b, after it.
    begin_in_a = (
        np.searchsorted(b_starts, a_starts, "left"),
        np.searchsorted(b_starts, a.ends[in_a], "left"),
    )
    begin_in_b = (
        np.searchsorted(a_starts, b_starts, "right"),
        np.searchsorted(a_starts, b.ends[in_b], "left"),
    )
    room.take(n_expanded(*begin_in_a) + n_expanded(*begin_in_b))
    one_a, one_b = expanded(*begin_in_a)
    two_b, two_a = expanded(*begin_in_b)
    left, right = np.concatenate((two_a, one_a)), np.concatenate((two_b, one_b))
    order = np.argsort(left, kind="stable")
    left, right = in_a[left[order]], in_b[right[order]]
    if same_strand:
        keep = ~_are_opposed(a.strands[left], b.strands[right])
        left, right = left[keep], right[keep]
    return left, right


def _are_opposed(one: Any, other: Any) -> Bools:
    found: Bools = ((one == b"+") & (other == b"-")) | ((one == b"-") & (other == b"+"))
    return found


def matching(a: Intervals, b: Intervals, *, same_strand: bool) -> Iterator[tuple[Ints, Intervals]]:
    """The intervals of ``a``, by number, with those of ``b`` that they are compared with: all, or
    with ``same_strand`` those that are not on the opposite strand."""
    if not same_strand:
        yield np.arange(len(a)), b
        return
    for strand in (b"+", b"-", b"."):
        which = np.flatnonzero(a.strands == strand)
        if len(which):
            opposite = _OPPOSITE.get(strand)
            yield which, b if opposite is None else b.taken(b.strands != opposite)


def merged(starts: Ints, ends: Ints, gap: int = 0) -> tuple[Ints, Ints, Ints]:
    """What intervals cover: starts, ends, and of how many intervals each is.

    Args:
        starts, ends: Sorted by start; each has a residue.
        gap: Those with at most so many residues between them are one.
    """
    if not len(starts):
        return starts, ends, starts
    reach = np.maximum.accumulate(ends)
    is_new = np.concatenate(([True], starts[1:] - reach[:-1] > gap))
    first = np.flatnonzero(is_new)
    after = np.append(first[1:], len(starts))
    return starts[first], reach[after - 1], after - first


def uncovered(starts: Ints, ends: Ints, until: int) -> tuple[Ints, Ints]:
    """What lies before, between and after intervals that are sorted and apart."""
    left = np.concatenate((np.zeros(1, np.int64), ends))
    right = np.concatenate((starts, np.full(1, until, np.int64)))
    there = right > left
    return left[there], right[there]


def values_or_none(values: Floats) -> list[Any]:
    """Numbers as tags can have them, since JSON has neither NaN, which becomes None, nor
    infinities, which become texts."""
    found: list[Any] = values.tolist()
    for n in np.flatnonzero(~np.isfinite(values)).tolist():
        found[n] = None if found[n] != found[n] else str(found[n])
    return found


def distinct(*columns: Ints) -> Ints:
    """The numbers of some columns, sorted, each once. (``np.unique`` hashes them, which takes
    several times as long.)"""
    values = np.sort(np.concatenate(columns))
    if not len(values):
        return values
    keep: Bools = np.append(True, values[1:] != values[:-1])
    return values[keep]


def summed(keys: Ints, values: Floats, n: int) -> Floats:
    """The sum of the values of each key from 0 to ``n``, added in the order they have."""
    with np.errstate(all="ignore"):
        return np.bincount(keys, values, n).astype(np.float64)


def quotients(tops: Floats, bottoms: Floats) -> Floats:
    """One by the other; x/0 is infinite, and 0/0 NaN."""
    with np.errstate(all="ignore"):
        # -0.0 would have the sign of the infinity changed.
        found: Floats = tops / (bottoms + 0.0)
    return found
