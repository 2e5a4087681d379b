"""Places in genomes: ``chr1``, ``chr1:1000``, ``chr1:1,000-2,000``; 0-based and half-open."""

from __future__ import annotations

import re
from typing import NamedTuple

from ..errors import BadName

_NUMBER = "[0-9][0-9,]*"
_PLACE = re.compile(rf"(?s)(.+):(?:({_NUMBER})(?:-({_NUMBER})?)?|-({_NUMBER}))\Z")


class Locus(NamedTuple):
    """A chromosome, or a part of it."""

    chromosome: str
    start: int | None = None
    """None for the beginning."""
    end: int | None = None
    """None for the end."""

    def __str__(self) -> str:
        if self.start is None and self.end is None:
            return self.chromosome
        start, end = (("" if one is None else one) for one in (self.start, self.end))
        return f"{self.chromosome}:{start or 0}-{end}"


def readings_of(text: str) -> list[Locus]:
    """What a text may mean, to be tried in this order: a name may itself end like a range.

    Raises:
        BadName: It is empty.
    """
    if not text:
        raise BadName("a locus is a chromosome, or CHROMOSOME:START-END")
    found = [Locus(text)]
    match = _PLACE.match(text)
    if match is not None:
        name, start, end, end_alone = match.groups()
        found.append(Locus(name, _position(start), _position(end or end_alone)))
    return found


def _position(digits: str | None) -> int | None:
    return None if digits is None else int(digits.replace(",", "")[:19])
