"""What is found in a genome, on its way to being a track."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import BadInput
from ..columns import Bools, Intervals, Ints
from ..regions import TrackLabel
from ..track import IntervalTrack
from .molecules import Molecule

#: The most intervals of a track, or windows: what some gigabytes of memory can hold.
MOST = 10_000_000

Tags = Mapping[str, Any]


def require_room(n: int, what: str = "intervals") -> None:
    """Raise BadInput if something has more entries than a track should have."""
    if n > MOST:
        raise BadInput(f"these would be more than {MOST:,} {what}: ask for less")


@dataclass
class _Rows:
    """Columns of what was found at a time."""

    starts: Ints
    ends: Ints
    scores: NDArray[np.float64]
    strands: NDArray[np.bytes_]
    names: Sequence[str]
    tags: Sequence[Tags]

    def taken(self, mask: Bools) -> _Rows:
        which = np.flatnonzero(mask).tolist()
        return _Rows(
            self.starts[mask],
            self.ends[mask],
            self.scores[mask],
            self.strands[mask],
            [self.names[n] for n in which],
            [self.tags[n] for n in which],
        )

    def cut(self, length: int) -> tuple[_Rows, _Rows]:
        """What is before the end of a chromosome, and what is after it."""
        is_before, is_after = self.starts < length, self.ends > length
        before, after = self.taken(is_before), self.taken(is_after)
        before.tags = _parted(before.tags, is_after[is_before], 1)
        after.tags = _parted(after.tags, is_before[is_after], 2)
        before.ends = np.minimum(before.ends, length)
        after.starts = np.maximum(after.starts - length, 0)
        after.ends = after.ends - length
        return before, after


def _parted(tags: Sequence[Tags], is_cut: Bools, part: int) -> list[Tags]:
    return [
        {**one, "part": part, "of": 2} if cut else one
        for one, cut in zip(tags, is_cut.tolist(), strict=True)
    ]


@dataclass
class _Chromosome:
    rows: list[_Rows] = field(default_factory=list)
    after_origin: list[_Rows] = field(default_factory=list)


class Found:
    """The intervals of a track, as they are found, chromosome by chromosome.

    Those across the origin of a circular molecule are two intervals of the same name each:
    one that ends with the chromosome and has the tags ``part`` 1 and ``of`` 2, and one at its
    beginning with ``part`` 2, whatever the strand.

    Args:
        name: What the track is called.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._n = 0
        self._chromosomes: dict[str, _Chromosome] = {}

    def require_room_for(self, n: int) -> None:
        """Raise BadInput if there are too many of them with ``n`` more."""
        require_room(self._n + n)

    def add(
        self,
        molecule: Molecule,
        starts: Ints,
        ends: Ints,
        *,
        strands: ArrayLike | bytes = b".",
        scores: ArrayLike | float = 0.0,
        names: Sequence[str] | str = "",
        tags: Sequence[Tags] | Tags | None = None,
    ) -> None:
        """Some more of one chromosome, in positions of its forward strand, which go on beyond its
        end if it is circular; a single strand, score, name or mapping is that of all.

        Raises:
            BadInput: There are too many.
        """
        n = len(starts)
        self.require_room_for(n)
        if not n:
            return
        self._n += n
        rows = _Rows(
            starts,
            ends,
            np.broadcast_to(np.asarray(scores, np.float64), n),
            np.broadcast_to(np.asarray(strands, "S1"), n),
            [names] * n if isinstance(names, str) else names,
            [tags or {}] * n if tags is None or isinstance(tags, Mapping) else tags,
        )
        chromosome = self._chromosomes.setdefault(molecule.chrom, _Chromosome())
        if not (ends > molecule.length).any():
            chromosome.rows.append(rows)
            return
        before, after = rows.cut(molecule.length)
        chromosome.rows.append(before)
        chromosome.after_origin.append(after)

    def track(self) -> IntervalTrack:
        """All that was found; afterwards there is nothing here."""
        columns = {}
        for chrom in list(self._chromosomes):
            chromosome = self._chromosomes.pop(chrom)
            columns[chrom] = _joined(chromosome.rows + chromosome.after_origin)
        return IntervalTrack.of(TrackLabel(self._name), columns)


def _joined(rows: Sequence[_Rows]) -> Intervals:
    names: list[str] = []
    tags: list[Tags] = []
    for some in rows:
        names += some.names
        tags += some.tags
    return Intervals.of(
        np.concatenate([some.starts for some in rows]),
        np.concatenate([some.ends for some in rows]),
        np.concatenate([some.scores for some in rows]),
        np.concatenate([some.strands for some in rows]),
        names=names,
        tags=tags,
    )
