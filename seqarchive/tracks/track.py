"""Tracks: intervals, signals and tables over a genome, all of which give a signal and regions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from ..errors import BadInput, NotFound
from .columns import NO_INTERVALS, NO_STEPS, Floats, Intervals, Steps
from .regions import Region, TrackLabel

INTERVAL, SIGNAL, TABLE = "interval", "signal", "table"


class Named(Protocol):
    """Where a track is from."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...


@runtime_checkable
class Track(Protocol):
    """What every kind of track can do."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    def signal_at(self, chrom: str, start: int, end: int) -> float:
        """The mean of what is there; 0.0 if nothing is."""
        ...

    def regions(self, chrom: str, start: int, end: int) -> Iterator[Region]:
        """The entries that have a residue between two positions, sorted."""
        ...

    def map_scores(self, fn: Callable[[float], float]) -> Track:
        """The same with a function of each score."""
        ...

    def filter_entries(self, keep: Callable[[Region], bool]) -> Track:
        """The entries for which a function is true."""
        ...

    def scores(self) -> Sequence[float] | Floats:
        """All scores, in the order of the entries."""
        ...

    def with_scores(self, scores: ArrayLike) -> Track:
        """The same with other scores, in the order of the entries."""
        ...


def type_of(track: Any) -> str:
    """What a track is: ``interval``, ``signal`` or ``table``.

    Raises:
        BadInput: None of ours.
    """
    for kind, name in ((IntervalTrack, INTERVAL), (SignalTrack, SIGNAL), (TableTrack, TABLE)):
        if isinstance(track, kind):
            return name
    raise BadInput(f"{type(track).__name__} is no kind of track")


def _require_named(source: Any) -> Named:
    if not isinstance(getattr(source, "name", None), str):
        raise TypeError(
            f"a track is from something with a name, such as TrackLabel({str(source)!r})"
        )
    return source  # type: ignore[no-any-return]


class IntervalTrack:
    """Intervals with scores, such as peaks or genes.

    Args:
        source: Something that has a name: a ``TrackLabel``.
        regions: In any order.
    """

    def __init__(self, source: Named, regions: Iterable[Region] = ()) -> None:
        self.source = _require_named(source)
        by_chrom: dict[str, list[Region]] = {}
        for region in regions:
            by_chrom.setdefault(region.chrom, []).append(region)
        self._columns: Mapping[str, Intervals] = {
            chrom: Intervals.from_regions(some) for chrom, some in by_chrom.items()
        }

    @classmethod
    def of(cls, source: Named | str, columns: Mapping[str, Intervals]) -> IntervalTrack:
        """One whose intervals are columns already; chromosomes without any are left out."""
        track = cls(TrackLabel(source) if isinstance(source, str) else source)
        track._columns = {chrom: some for chrom, some in columns.items() if len(some)}
        return track

    @property
    def name(self) -> str:
        """What it is called."""
        return self.source.name

    @property
    def chroms(self) -> list[str]:
        """The chromosomes that have intervals, in the order in which they came."""
        return list(self._columns)

    def columns(self, chrom: str) -> Intervals:
        """The intervals of a chromosome; none if it has none."""
        return self._columns.get(chrom, NO_INTERVALS)

    def overlapping(self, chrom: str, start: int, end: int) -> Intervals:
        """The intervals that have a residue between two positions, whole and sorted."""
        columns = self.columns(chrom)
        return columns.taken(columns.overlapping(start, end))

    def __len__(self) -> int:
        return sum(map(len, self._columns.values()))

    def __iter__(self) -> Iterator[Region]:
        for chrom, columns in self._columns.items():
            yield from columns.regions(chrom)

    def __repr__(self) -> str:
        return f"<IntervalTrack {self.name!r}: {len(self):,} intervals>"

    @property
    def n_bytes(self) -> int:
        """About what it takes in memory."""
        return 500 + sum(columns.n_bytes for columns in self._columns.values())

    def signal_at(self, chrom: str, start: int, end: int) -> float:
        """The mean score of the intervals there, each as much as it overlaps; 0.0 without any."""
        found = self.overlapping(chrom, start, end)
        if not len(found):
            return 0.0
        overlaps = np.minimum(found.ends, end) - np.maximum(found.starts, start)
        return float(np.average(found.scores, weights=overlaps))

    def regions(self, chrom: str, start: int, end: int) -> Iterator[Region]:
        """The intervals that have a residue between two positions, whole and sorted."""
        return self.overlapping(chrom, start, end).regions(chrom)

    def scores(self) -> Floats:
        """All scores, in the order of ``iter``."""
        return np.concatenate([np.empty(0), *(some.scores for some in self._columns.values())])

    def with_scores(self, scores: ArrayLike) -> IntervalTrack:
        """The same intervals with other scores, in the order of ``iter``.

        Raises:
            ValueError: There are not as many.
        """
        values = np.asarray(scores, np.float64)
        if values.shape != (len(self),):
            raise ValueError(f"{values.size:,} scores for {len(self):,} intervals")
        columns, at = {}, 0
        for chrom, some in self._columns.items():
            columns[chrom] = some.scored(values[at : at + len(some)])
            at += len(some)
        return IntervalTrack.of(self.source, columns)

    def map_scores(self, fn: Callable[[float], float]) -> IntervalTrack:
        """The same intervals with a function of each score."""
        return self.with_scores([fn(float(score)) for score in self.scores()])

    def filter_entries(self, keep: Callable[[Region], bool]) -> IntervalTrack:
        """The intervals for which a function is true."""
        return IntervalTrack.of(
            self.source,
            {
                chrom: some.taken(np.array([keep(one) for one in some.regions(chrom)], np.bool_))
                for chrom, some in self._columns.items()
            },
        )


class Signal(Protocol):
    """Values along chromosomes: what a signal track reads. A handle of pyBigWig is one."""

    def chroms(self) -> Mapping[str, int] | None:
        """Chromosomes with their lengths in residues."""
        ...

    def intervals(
        self, chrom: str, start: int, end: int
    ) -> Iterable[tuple[int, int, float]] | None:
        """Start, end and value of what has one residue or more there; None if nothing has."""
        ...


class Stepped:
    """A signal that is in memory.

    Args:
        lengths: Of all chromosomes, in residues.
        steps: Of those that have values.
        are_lengths_known: False if the lengths are only how far values reach.
    """

    def __init__(
        self,
        lengths: Mapping[str, int],
        steps: Mapping[str, Steps],
        *,
        are_lengths_known: bool = True,
    ) -> None:
        self.are_lengths_known = are_lengths_known
        self._lengths = dict(lengths)
        self._steps = {chrom: some for chrom, some in steps.items() if len(some)}

    def chroms(self) -> dict[str, int]:
        """Chromosomes with their lengths in residues."""
        return dict(self._lengths)

    def steps(self, chrom: str, start: int, end: int) -> Steps:
        """What lies between two positions, cut there."""
        return self._steps.get(chrom, NO_STEPS).between(start, end)

    def intervals(self, chrom: str, start: int, end: int) -> list[tuple[int, int, float]] | None:
        """As pyBigWig gives them."""
        found = self.steps(chrom, start, end)
        columns = zip(
            found.starts.tolist(), found.ends.tolist(), found.values.tolist(), strict=True
        )
        return list(columns) or None

    @property
    def n_bytes(self) -> int:
        """What it takes in memory."""
        return sum(some.n_bytes for some in self._steps.values())


class SignalTrack:
    """Values along chromosomes, such as coverage.

    Args:
        source: Something that has a name: a ``TrackLabel``.
        bw: A ``Stepped``, an open file of ours, or a handle of pyBigWig.
    """

    def __init__(self, source: Named, bw: Signal) -> None:
        self.source = _require_named(source)
        self.bw = bw

    @classmethod
    def of(
        cls, source: Named | str, lengths: Mapping[str, int], steps: Mapping[str, Steps]
    ) -> SignalTrack:
        """One that is in memory."""
        label = TrackLabel(source) if isinstance(source, str) else source
        return cls(label, Stepped(lengths, steps))

    @property
    def name(self) -> str:
        """What it is called."""
        return self.source.name

    @property
    def lengths(self) -> dict[str, int]:
        """Chromosomes with their lengths in residues."""
        return dict(self.bw.chroms() or {})

    @property
    def chroms(self) -> list[str]:
        """All chromosomes, those without values too."""
        return list(self.lengths)

    def __repr__(self) -> str:
        return f"<SignalTrack {self.name!r}: {len(self.lengths):,} chromosomes>"

    @property
    def n_bytes(self) -> int:
        """About what it takes in memory; little if the values are in a file."""
        return 500 + int(getattr(self.bw, "n_bytes", 0))

    def steps(self, chrom: str, start: int = 0, end: int | None = None) -> Steps:
        """The signal between two positions, as steps that are cut there; none of a chromosome
        that is not there."""
        length = self.lengths.get(chrom)
        if length is None:
            return NO_STEPS
        start, end = max(0, start), length if end is None else min(end, length)
        if start >= end:
            return NO_STEPS
        whole = getattr(self.bw, "steps", None)
        if whole is not None:
            found: Steps = whole(chrom, start, end)
            return found
        rows = np.array(self.bw.intervals(chrom, start, end) or [], np.float64).reshape(-1, 3)
        return Steps.of(rows[:, 0], rows[:, 1], rows[:, 2]).between(start, end)

    def raw_signal(self, chrom: str, start: int, end: int) -> Floats:
        """One value for each residue between two positions, NaN where there is none."""
        return self.steps(chrom, start, end).spread(start, end)

    def signal_at(self, chrom: str, start: int, end: int) -> float:
        """The mean over the residues that have a value; 0.0 if none has."""
        found = self.steps(chrom, start, end)
        if not len(found):
            return 0.0
        return float(np.average(found.values, weights=found.ends - found.starts))

    def regions(self, chrom: str, start: int, end: int) -> Iterator[Region]:  # noqa: ARG002
        """None: a signal has no entries. ``steps`` has what there is."""
        return iter(())

    def scores(self) -> Floats:
        """Raises NotImplementedError: a signal has no entries; ``bin_summarize`` makes some."""
        raise NotImplementedError(_NO_ENTRIES)

    def with_scores(self, scores: ArrayLike) -> SignalTrack:
        """Raises NotImplementedError."""
        raise NotImplementedError(_NO_ENTRIES)

    def map_scores(self, fn: Callable[[float], float]) -> SignalTrack:
        """Raises NotImplementedError."""
        raise NotImplementedError(_NO_ENTRIES)

    def filter_entries(self, keep: Callable[[Region], bool]) -> SignalTrack:
        """Raises NotImplementedError."""
        raise NotImplementedError(_NO_ENTRIES)


_NO_ENTRIES = "a signal has no entries; bin_summarize makes intervals of it"


class TableTrack:
    """A number for each of some keys, such as genes.

    Args:
        source: Something that has a name: a ``TrackLabel``.
        values: Key -> number; NaN if it is missing.
    """

    def __init__(self, source: Named, values: Mapping[str, float]) -> None:
        self.source = _require_named(source)
        self._values = {str(key): float(value) for key, value in values.items()}

    @property
    def name(self) -> str:
        """What it is called."""
        return self.source.name

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<TableTrack {self.name!r}: {len(self):,} keys>"

    @property
    def n_bytes(self) -> int:
        """About what it takes in memory."""
        return 500 + sum(180 + len(key) for key in self._values)

    def keys(self) -> list[str]:
        """In the order in which they came."""
        return list(self._values)

    def get(self, key: str, default: float = math.nan) -> float:
        """The number of a key."""
        return self._values.get(key, default)

    def __getitem__(self, key: str) -> float:
        try:
            return self._values[key]
        except KeyError:
            raise NotFound(f"{self.name} has no {key!r}") from None

    def items(self) -> Iterable[tuple[str, float]]:
        """Keys with their numbers."""
        return self._values.items()

    def signal_at(self, chrom: str, start: int, end: int) -> float:  # noqa: ARG002
        """0.0: a table is nowhere."""
        return 0.0

    def regions(self, chrom: str, start: int, end: int) -> Iterator[Region]:  # noqa: ARG002
        """None: a table is nowhere."""
        return iter(())

    def scores(self) -> Floats:
        """All numbers, in the order of the keys."""
        return np.array(list(self._values.values()), np.float64)

    def with_scores(self, scores: ArrayLike) -> TableTrack:
        """The same keys with other numbers.

        Raises:
            ValueError: There are not as many.
        """
        values = np.asarray(scores, np.float64)
        if values.shape != (len(self),):
            raise ValueError(f"{values.size:,} scores for {len(self):,} keys")
        return TableTrack(self.source, dict(zip(self._values, values.tolist(), strict=True)))

    def map_scores(self, fn: Callable[[float], float]) -> TableTrack:
        """The same keys with a function of each number."""
        return self.with_scores([fn(value) for value in self._values.values()])

    def filter_entries(self, keep: Callable[[Region], bool]) -> TableTrack:
        """The keys for which a function is true; of each it is given a region without a place,
        that has the key for its name."""
        return TableTrack(
            self.source,
            {
                key: value
                for key, value in self._values.items()
                if keep(Region("", 0, 0, score=value, name=key))
            },
        )


AnyTrack: TypeAlias = IntervalTrack | SignalTrack | TableTrack
