"""The intervals and the steps of one chromosome, as columns: what is computed with is numpy's."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .regions import Region

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True)
class Intervals:
    """Intervals of one chromosome, sorted by start and then by end; columns of equal length.

    Args:
        starts, ends: 0-based, half-open, in residues.
        scores: NaN where it is missing.
        strands: One of ``+``, ``-`` and ``.`` each, as bytes.
        names: None if none has one.
        tags: None if none has any.
    """

    starts: Ints
    ends: Ints
    scores: Floats
    strands: NDArray[np.bytes_]
    names: tuple[str, ...] | None = None
    tags: tuple[Mapping[str, Any], ...] | None = None

    @classmethod
    def of(
        cls,
        starts: ArrayLike,
        ends: ArrayLike,
        scores: ArrayLike | float = 0.0,
        strands: ArrayLike | bytes = b".",
        *,
        names: Sequence[str] | None = None,
        tags: Sequence[Mapping[str, Any]] | None = None,
    ) -> Intervals:
        """Intervals in any order; a single score or strand is that of all."""
        begin = np.asarray(starts, np.int64)
        n = len(begin)
        found = cls(
            begin,
            np.asarray(ends, np.int64),
            np.broadcast_to(np.asarray(scores, np.float64), n),
            np.broadcast_to(np.asarray(strands, "S1"), n),
            tuple(names) if names is not None and any(names) else None,
            tuple(tags) if tags is not None and any(tags) else None,
        )
        order = np.lexsort((found.ends, found.starts))
        if np.array_equal(order, np.arange(n)):
            return found
        return found.taken(order)

    @classmethod
    def from_regions(cls, regions: Sequence[Region]) -> Intervals:
        """The columns of regions of one chromosome, in any order."""
        return cls.of(
            [region.start for region in regions],
            [region.end for region in regions],
            [region.score for region in regions],
            np.array([region.strand for region in regions], "S1"),
            names=[region.name for region in regions],
            tags=[region.tags for region in regions],
        )

    def __len__(self) -> int:
        return len(self.starts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Intervals):
            return NotImplemented
        return (
            np.array_equal(self.starts, other.starts)
            and np.array_equal(self.ends, other.ends)
            and np.array_equal(self.scores, other.scores, equal_nan=True)
            and np.array_equal(self.strands, other.strands)
            and self.names == other.names
            and [dict(one) for one in self.tags or ()] == [dict(one) for one in other.tags or ()]
        )

    __hash__ = None  # type: ignore[assignment]  # arrays have none

    @property
    def n_bytes(self) -> int:
        """About what it takes in memory."""
        fixed = self.starts.nbytes + self.ends.nbytes + self.scores.nbytes + self.strands.nbytes
        return fixed + sum(map(sys.getsizeof, self.names or ())) + sum(map(_sized, self.tags or ()))

    @cached_property
    def reach(self) -> Ints:
        """How far intervals up to each one reach."""
        return np.maximum.accumulate(self.ends) if len(self) else self.ends

    def overlapping(self, start: int, end: int) -> Ints:
        """Where those are that have a residue between two positions."""
        if start >= end:
            return np.empty(0, np.int64)
        first = int(np.searchsorted(self.reach, start, side="right"))
        last = int(np.searchsorted(self.starts, end, side="left"))
        found = np.arange(first, max(first, last))
        return found[(self.ends[found] > start) & (self.ends[found] > self.starts[found])]

    def taken(self, which: NDArray[Any]) -> Intervals:
        """Some of them, by position or by a mask; positions in increasing order, or sorting."""
        where = np.flatnonzero(which) if which.dtype == np.bool_ else which
        some = where.tolist() if self.names is not None or self.tags is not None else []
        return Intervals(
            self.starts[where],
            self.ends[where],
            self.scores[where],
            self.strands[where],
            None if self.names is None else tuple([self.names[n] for n in some]),
            None if self.tags is None else tuple([self.tags[n] for n in some]),
        )

    def scored(self, scores: ArrayLike) -> Intervals:
        """The same with other scores."""
        return replace(self, scores=np.asarray(scores, np.float64))

    def regions(self, chrom: str, which: Iterable[int] | None = None) -> Iterator[Region]:
        """One by one, all of them or some."""
        for n in range(len(self)) if which is None else which:
            yield Region(
                chrom,
                int(self.starts[n]),
                int(self.ends[n]),
                self.strands[n].decode("ascii"),
                float(self.scores[n]),
                "" if self.names is None else self.names[n],
                {} if self.tags is None else self.tags[n],
            )


#: Of a chromosome of which nothing is said.
NO_INTERVALS = Intervals.of([], [])


def joined(parts: Sequence[Intervals]) -> Intervals:
    """All intervals of several columns, sorted; of equal places the first ones first."""
    parts = [part for part in parts if len(part)]
    if len(parts) < 2:
        return parts[0] if parts else NO_INTERVALS
    names = [name for part in parts for name in part.names or [""] * len(part)]
    tags = [tag for part in parts for tag in part.tags or [{}] * len(part)]
    return Intervals.of(
        np.concatenate([part.starts for part in parts]),
        np.concatenate([part.ends for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.strands for part in parts]),
        names=names if any(part.names for part in parts) else None,
        tags=tags if any(part.tags for part in parts) else None,
    )


def _sized(tags: Mapping[str, Any]) -> int:
    return sys.getsizeof(tags) + sum(sys.getsizeof(value) for value in tags.values())


@dataclass(frozen=True)
class Steps:
    """A signal along one chromosome: where it begins and ends to have each value. Sorted, apart
    from each other; between them it has none. Columns of equal length."""

    starts: Ints
    ends: Ints
    values: Floats

    @classmethod
    def of(cls, starts: ArrayLike, ends: ArrayLike, values: ArrayLike) -> Steps:
        """From columns in any order; steps without a residue or without a value are left out, and
        neighbours with one value are one.

        Raises:
            ValueError: Two of them overlap.
        """
        begin, end = np.asarray(starts, np.int64), np.asarray(ends, np.int64)
        value = np.asarray(values, np.float64)
        there = (end > begin) & ~np.isnan(value)
        if not there.all():
            begin, end, value = begin[there], end[there], value[there]
        if len(begin) and (np.diff(begin) < 0).any():
            order = np.argsort(begin, kind="stable")
            begin, end, value = begin[order], end[order], value[order]
        if (begin[1:] < end[:-1]).any():
            n = int(np.flatnonzero(begin[1:] < end[:-1])[0])
            raise ValueError(f"{begin[n]}-{end[n]} and {begin[n + 1]}-{end[n + 1]} overlap")
        goes_on = (begin[1:] == end[:-1]) & (value[1:] == value[:-1])
        if goes_on.any():
            first = np.concatenate(([True], ~goes_on))
            last = np.concatenate((~goes_on, [True]))
            begin, end, value = begin[first], end[last], value[first]
        return cls(begin, end, value)

    @classmethod
    def of_values(cls, values: ArrayLike, start: int = 0) -> Steps:
        """From one value for each residue, NaN where there is none."""
        value = np.asarray(values, np.float64)
        if not len(value):
            return NO_STEPS
        same = (value[1:] == value[:-1]) | (np.isnan(value[1:]) & np.isnan(value[:-1]))
        first = np.flatnonzero(np.concatenate(([True], ~same)))
        ends = np.append(first[1:], len(value))
        return cls.of(first + start, ends + start, value[first])

    def __len__(self) -> int:
        return len(self.starts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Steps):
            return NotImplemented
        return (
            np.array_equal(self.starts, other.starts)
            and np.array_equal(self.ends, other.ends)
            and np.array_equal(self.values, other.values)
        )

    __hash__ = None  # type: ignore[assignment]  # arrays have none

    @property
    def n_bytes(self) -> int:
        """What it takes in memory."""
        return self.starts.nbytes + self.ends.nbytes + self.values.nbytes

    def between(self, start: int, end: int) -> Steps:
        """What of it lies between two positions; steps are cut there."""
        first = int(np.searchsorted(self.ends, start, side="right"))
        last = max(first, int(np.searchsorted(self.starts, end, side="left")))
        return Steps(
            np.maximum(self.starts[first:last], start),
            np.minimum(self.ends[first:last], end),
            self.values[first:last],
        )

    def spread(self, start: int, end: int) -> Floats:
        """One value for each residue between two positions, NaN where there is none."""
        found = np.full(max(0, end - start), np.nan)
        cut = self.between(start, end)
        lengths = cut.ends - cut.starts
        if len(cut):
            begins = np.cumsum(lengths) - lengths
            where = np.arange(lengths.sum()) - np.repeat(begins - (cut.starts - start), lengths)
            found[where] = np.repeat(cut.values, lengths)
        return found

    def valued(self, values: ArrayLike) -> Steps:
        """The same with other values; where these are NaN, there is none."""
        return Steps.of(self.starts, self.ends, values)


#: Of a chromosome of which nothing is said.
NO_STEPS = Steps(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
