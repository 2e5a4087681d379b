"""Ranges in BED files, 0-based and half-open (UCSC's format)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .errors import BadInput


class BedRange(NamedTuple):
    """A line of a BED file."""

    chromosome: str
    start: int
    end: int
    name: str
    """Empty if it has none."""
    is_minus: bool
    """Whether it is of the other strand."""
    line: int
    """Its number, from 1."""


def read_bed(lines: Iterable[str], file: str) -> Iterator[BedRange]:
    """The ranges of a BED file with three columns or more; comments and headers are skipped.

    Raises:
        BadInput: A line that is none, named by its number.
    """
    for n, line in enumerate(lines, 1):
        if not line.strip() or line.startswith(("#", "track", "browser")):
            continue
        fields = line.rstrip("\r\n").split("\t")
        if len(fields) < 3:
            fields = line.split()
        try:
            chromosome, start, end = fields[0], int(fields[1]), int(fields[2])
        except (IndexError, ValueError):
            raise BadInput("not a BED line (name, start, end)", file=file, line=n) from None
        name = fields[3] if len(fields) > 3 and fields[3] != "." else ""
        yield BedRange(chromosome, start, end, name, len(fields) > 5 and fields[5] == "-", n)
