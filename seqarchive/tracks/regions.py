"""Regions: what an interval track consists of, one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import BadInput

#: Forward, reverse, and neither or not known.
STRANDS = ("+", "-", ".")


@dataclass(frozen=True, slots=True)
class TrackLabel:
    """What a track is called."""

    name: str


@dataclass(frozen=True, slots=True)
class Region:
    """A piece of a chromosome: 0-based, half-open, in residues.

    Args:
        score: What was measured there; NaN if it is missing.
        name: Empty if it has none.
        tags: Anything else that is said of it, as JSON can have it.

    Raises:
        BadInput: It ends before it starts, starts before the chromosome, or has no such strand.
    """

    chrom: str
    start: int
    end: int
    strand: str = "."
    score: float = 0.0
    name: str = ""
    tags: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise BadInput(f"{self.chrom}:{self.start}-{self.end} is no interval")
        if self.strand not in STRANDS:
            raise BadInput(f"{self.strand!r} is no strand: it is +, - or .")

    @property
    def length(self) -> int:
        """In residues."""
        return self.end - self.start

    @property
    def center(self) -> int:
        """The residue in the middle; of two, the right one."""
        return (self.start + self.end) // 2

    def as_dict(self) -> dict[str, Any]:
        """For JSON, but for scores that are no numbers there (NaN and infinities)."""
        return {
            "chrom": self.chrom,
            "start": self.start,
            "end": self.end,
            "strand": self.strand,
            "score": self.score,
            "name": self.name,
            "tags": dict(self.tags),
        }
