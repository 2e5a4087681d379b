"""bedGraph files: a signal as steps, 0-based and half-open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ...errors import BadInput
from .bed import without_headers
from .gathering import Places, StepColumns, runs_of_words
from .lines import Fields, Lines, chromosome_of, number_of, position_of


def read_bedgraph(
    blocks: Iterable[Lines], file: str, lengths: Mapping[str, int] | None = None
) -> StepColumns:
    """The steps of a bedGraph file, in any order.

    Args:
        lengths: Of the chromosomes that there are; any may be there without it.

    Raises:
        BadInput: A line that is no step, named by its number.
    """
    places = Places(file, lengths)
    columns = StepColumns(places)
    for lines in blocks:
        steps = without_headers(lines)
        if len(steps) and not _add_at_once(steps, columns):
            _add_by_line(steps, columns)
    return columns


def _add_at_once(lines: Lines, columns: StepColumns) -> bool:
    fields = Fields.split(lines, at_spaces=True)
    if fields is None or fields.n_columns != 4:
        return False
    runs, starts, ends, values = fields.runs(0), fields.ints(1), fields.ints(2), fields.floats(3)
    if runs is None or starts is None or ends is None or values is None:
        return False
    if (starts >= ends).any() or any(" " in chrom for chrom in runs[0]):
        return False
    columns.places.add(runs, starts, ends, lines.numbers)
    columns.add(values)
    return True


def _add_by_line(lines: Lines, columns: StepColumns) -> None:
    steps = []
    for number, text in lines:
        try:
            steps.append(_parsed_line(text))
        except ValueError as error:
            raise BadInput(str(error), file=lines.file, line=number) from None
    chroms, starts, ends, values = zip(*steps, strict=True)
    columns.places.add(
        runs_of_words(chroms), np.array(starts, np.int64), np.array(ends, np.int64), lines.numbers
    )
    columns.add(np.array(values, np.float64))


def _parsed_line(text: str) -> tuple[str, int, int, float]:
    fields = text.split("\t")
    if len(fields) < 4:
        fields = text.split()
    if len(fields) != 4:
        raise ValueError(
            f"a bedGraph line has 4 columns (chromosome, start, end, value), not {len(fields)}"
        )
    chrom = chromosome_of(fields[0])
    start, end = position_of(fields[1], "the start"), position_of(fields[2], "the end")
    if start >= end:
        raise ValueError(f"the start {start} is not before the end {end}")
    return chrom, start, end, number_of(fields[3], "the value")
