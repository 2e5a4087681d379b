"""What readers gather, entry after entry of a file, before it is sorted into chromosomes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput
from ..columns import Floats, Intervals, Ints, Steps

#: Words, and how many entries in a row have each.
Runs: TypeAlias = tuple[Sequence[str], "Ints | Sequence[int]"]

_Thing = TypeVar("_Thing")


class Places:
    """Where entries are: chromosomes by number, starts, ends, and lines of the file.

    Args:
        lengths: Of the chromosomes that there are, in residues; None if nobody knows.
        unit: What an entry is in the file.
    """

    def __init__(self, file: str, lengths: Mapping[str, int] | None, unit: str = "line") -> None:
        self.file = file
        self.unit = unit
        self.lengths = lengths
        self._ids: dict[str, int] = {}
        self._parts: list[tuple[Ints, Ints, Ints, Ints]] = []

    @property
    def chroms(self) -> list[str]:
        """In the order in which they came."""
        return list(self._ids)

    def add(self, runs: Runs, starts: Ints, ends: Ints, lines: Ints) -> None:
        """More of them.

        Args:
            runs: Chromosomes, and how many entries in a row each has.

        Raises:
            BadInput: A chromosome that is not there or not that long.
        """
        chroms, counts = runs
        if self.lengths is not None:
            limits = np.repeat([self.lengths.get(chrom, -1) for chrom in chroms], counts)
            if (ends > limits).any():
                self._refuse(chroms, counts, ends, lines, limits)
        ids = [self._ids.setdefault(chrom, len(self._ids)) for chrom in chroms]
        self._parts.append((np.repeat(np.array(ids, np.int64), counts), starts, ends, lines))

    def _refuse(
        self,
        chroms: Sequence[str],
        counts: Ints | Sequence[int],
        ends: Ints,
        lines: Ints,
        limits: Ints,
    ) -> None:
        n = int(np.flatnonzero(ends > limits)[0])
        chrom = chroms[int(np.searchsorted(np.cumsum(counts), n, side="right"))]
        message = (
            f"there is no chromosome {chrom!r}: a track over another genome?"
            if limits[n] < 0
            else f"{ends[n]:,} is beyond the {limits[n]:,} residues of {chrom}"
        )
        raise BadInput(message, file=self.file, line=int(lines[n]))

    def columns(self) -> tuple[Ints, Ints, Ints, Ints]:
        """Numbers of chromosomes, starts, ends and lines, in the order in which they came."""
        if not self._parts:
            return (np.empty(0, np.int64),) * 4
        ids, starts, ends, lines = (np.concatenate(some) for some in zip(*self._parts, strict=True))
        return ids, starts, ends, lines

    def by_chromosome(self, ids: Ints) -> Iterator[tuple[str, slice]]:
        """Which part of sorted numbers is of which chromosome, in the order in which they came."""
        edges = np.searchsorted(ids, np.arange(len(self._ids) + 1)).tolist()
        for chrom, n in self._ids.items():
            yield chrom, slice(edges[n], edges[n + 1])


class IntervalColumns:
    """Intervals, as they come. ``places`` is told of each where it is."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self._scores: list[Floats] = []
        self._strands: list[NDArray[np.bytes_]] = []
        self._names: list[str] = []
        self._tags: list[Mapping[str, Any]] = []
        self._n = 0

    def add(
        self,
        scores: Floats,
        strands: NDArray[np.bytes_],
        names: Sequence[str] | None = None,
        tags: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """More of them; ``names`` and ``tags`` are None if none has any."""
        self._scores.append(scores)
        self._strands.append(strands)
        if names is not None and any(names):
            self._names += [""] * (self._n - len(self._names))
            self._names += names
        if tags is not None and any(tags):
            self._tags += [{}] * (self._n - len(self._tags))
            self._tags += tags
        self._n += len(scores)

    def intervals(self) -> dict[str, Intervals]:
        """All of them by chromosome, sorted."""
        ids, starts, ends, _lines = self.places.columns()
        scores = np.concatenate([np.empty(0), *self._scores])
        strands = np.concatenate([np.empty(0, "S1"), *self._strands])
        names = self._names and self._names + [""] * (self._n - len(self._names))
        tags = self._tags and self._tags + [{}] * (self._n - len(self._tags))
        order = np.lexsort((ends, starts, ids))
        if not np.array_equal(order, np.arange(len(order))):
            ids, starts, ends = ids[order], starts[order], ends[order]
            scores, strands = scores[order], strands[order]
            names, tags = _ordered(names, order), _ordered(tags, order)
        return {
            chrom: Intervals.of(
                starts[part],
                ends[part],
                scores[part],
                strands[part],
                names=names[part] or None,
                tags=tags[part] or None,
            )
            for chrom, part in self.places.by_chromosome(ids)
        }


class StepColumns:
    """Steps of a signal, as they come. ``places`` is told of each where it is."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self._values: list[Floats] = []

    def add(self, values: Floats) -> None:
        """More of them; NaN where there is no value."""
        self._values.append(values)

    def steps(self) -> dict[str, Steps]:
        """All of them by chromosome, sorted.

        Raises:
            BadInput: Two of them overlap.
        """
        ids, starts, ends, lines = self.places.columns()
        values = np.concatenate([np.empty(0), *self._values])
        order = np.lexsort((starts, ids))
        if not np.array_equal(order, np.arange(len(order))):
            ids, starts, ends = ids[order], starts[order], ends[order]
            values, lines = values[order], lines[order]
        overlap = (starts[1:] < ends[:-1]) & (ids[1:] == ids[:-1])
        if overlap.any():
            n = int(np.flatnonzero(overlap)[0])
            first, last = sorted((int(lines[n]), int(lines[n + 1])))
            other = f"(the other one is {self.places.unit} {first})"
            raise BadInput(
                f"{self.places.chroms[ids[n]]}:{starts[n]}-{ends[n]} and "
                f"{starts[n + 1]}-{ends[n + 1]} overlap {other}",
                file=self.places.file,
                line=last,
            )
        return {
            chrom: Steps.of(starts[part], ends[part], values[part])
            for chrom, part in self.places.by_chromosome(ids)
        }

    def lengths(self) -> dict[str, int]:
        """Of all chromosomes: what was said of them, or how far the steps reach."""
        if self.places.lengths is not None:
            return dict(self.places.lengths)
        ids, _starts, ends, _lines = self.places.columns()
        reach = np.zeros(len(self.places.chroms), np.int64)
        np.maximum.at(reach, ids, ends)
        return dict(zip(self.places.chroms, reach.tolist(), strict=True))


def _ordered(things: list[_Thing], order: Ints) -> list[_Thing]:
    return things and [things[n] for n in order.tolist()]


def runs_of_words(words: Iterable[str]) -> tuple[list[str], list[int]]:
    """Words, and how many in a row are the same."""
    found: list[str] = []
    counts: list[int] = []
    for word in words:
        if found and found[-1] == word:
            counts[-1] += 1
        else:
            found.append(word)
            counts.append(1)
    return found, counts
