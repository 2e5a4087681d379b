"""Wiggle files: a signal in sections of fixed or variable step, 1-based."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ...errors import BadInput
from ..columns import Floats, Ints
from .bed import is_header
from .gathering import Places, StepColumns
from .lines import LAST_POSITION, Fields, Lines, chromosome_of, number_of, position_of, shown

FIXED, VARIABLE = "fixedStep", "variableStep"

_NO_DATA = b"#tbfv"  # what other lines than those of data begin with


@dataclass(frozen=True)
class Section:
    """What a declaration says of the lines after it.

    Args:
        start: 0-based, of the first of them; 0 unless steps are fixed.
        step: 0 unless they are.
        span: Residues that have a value.
    """

    kind: str
    chrom: str
    start: int
    step: int
    span: int


class _WigReader:
    """Reads lines as they come; remembers which section they are of."""

    def __init__(self, file: str, columns: StepColumns) -> None:
        self._file = file
        self._columns = columns
        self._section: Section | None = None

    def read(self, lines: Lines) -> None:
        """More of the file. Raises BadInput."""
        declares = np.isin(lines.first_bytes, list(_NO_DATA))
        data = lines.taken(~declares)
        sections, counts = self._sections(lines, declares)
        if len(data) and not self._add_at_once(data, sections, counts):
            self._add_by_line(data, sections, counts)
        if sections:
            self._section = _advanced(sections[-1], counts[-1])

    def _sections(self, lines: Lines, declares: np.typing.NDArray[np.bool_]) -> _Sections:
        """The sections that lines of data are of, and how many lines of each are there."""
        sections = [] if self._section is None else [self._section]
        begins = [] if self._section is None else [0]
        where = np.flatnonzero(declares)
        if self._section is None:
            self._require_section(lines, where)
        for n, (number, text) in zip(where.tolist(), lines.taken(where), strict=True):
            if is_header(text.encode("utf-8")):
                continue
            try:
                sections.append(declared(text))
            except ValueError as error:
                raise BadInput(str(error), file=self._file, line=number) from None
            begins.append(n)
        n_data = np.cumsum(~declares)
        before = [int(n_data[n]) if n or declares[0] else 0 for n in begins]
        edges = [*before, int(n_data[-1]) if len(n_data) else 0]
        return sections, np.diff(edges).tolist() if sections else []

    def _require_section(self, lines: Lines, declarations: Ints) -> None:
        """Raise BadInput if data come before the first declaration."""
        first = next(
            (n for n in declarations.tolist() if lines.first_bytes[n] in b"fv"), len(lines)
        )
        early = np.setdiff1d(np.arange(first), declarations)
        if len(early):
            raise BadInput(
                "no declaration (fixedStep or variableStep) is before this line",
                file=self._file,
                line=int(lines.numbers[early[0]]),
            )

    def _add_at_once(self, data: Lines, sections: list[Section], counts: list[int]) -> bool:
        """Whether the lines are all of one kind, and nothing is wrong with them."""
        kinds = {section.kind for section, count in zip(sections, counts, strict=True) if count}
        fields = Fields.split(data, at_spaces=True)
        if len(kinds) > 1 or fields is None:
            return False
        is_fixed = kinds == {FIXED}
        if fields.n_columns != (1 if is_fixed else 2):
            return False
        values = fields.floats(0 if is_fixed else 1)
        starts = _fixed_starts(sections, counts) if is_fixed else fields.ints(0)
        if values is None or starts is None:
            return False
        if not is_fixed:
            starts = starts - 1
        return self._add(data, sections, counts, starts, values)

    def _add_by_line(self, data: Lines, sections: list[Section], counts: list[int]) -> None:
        owners = [section for section, n in zip(sections, counts, strict=True) for _ in range(n)]
        starts, values = _fixed_starts(sections, counts), np.empty(len(data))
        for n, (number, text) in enumerate(data):
            try:
                if owners[n].kind == VARIABLE:
                    starts[n], values[n] = _variable_line(text)
                else:
                    values[n] = number_of(text.strip(), "the value")
            except ValueError as error:
                raise BadInput(str(error), file=self._file, line=number) from None
        if not self._add(data, sections, counts, starts, values):
            first = int(np.flatnonzero(self._are_beyond(sections, counts, starts))[0])
            raise BadInput(
                "the position is beyond 2^53", file=self._file, line=int(data.numbers[first])
            )

    def _add(
        self,
        data: Lines,
        sections: list[Section],
        counts: list[int],
        starts: Ints,
        values: Floats,
    ) -> bool:
        if (starts < 0).any() or self._are_beyond(sections, counts, starts).any():
            return False
        ends = starts + np.repeat([section.span for section in sections], counts)
        runs = [section.chrom for section in sections], np.array(counts)
        self._columns.places.add(runs, starts, ends, data.numbers)
        self._columns.add(values)
        return True

    @staticmethod
    def _are_beyond(
        sections: list[Section], counts: list[int], starts: Ints
    ) -> np.typing.NDArray[np.bool_]:
        last = LAST_POSITION - np.repeat([section.span for section in sections], counts)
        return np.asarray(starts > last)


_Sections = tuple[list[Section], list[int]]


def read_wig(
    blocks: Iterable[Lines], file: str, lengths: Mapping[str, int] | None = None
) -> StepColumns:
    """The steps of a wiggle file, in any order. A value ``NaN`` is none.

    Args:
        lengths: Of the chromosomes that there are; any may be there without it.

    Raises:
        BadInput: A line that is neither a declaration nor a value, named by its number.
    """
    columns = StepColumns(Places(file, lengths))
    reader = _WigReader(file, columns)
    for lines in blocks:
        if len(lines):
            reader.read(lines)
    return columns


def _fixed_starts(sections: list[Section], counts: list[int]) -> Ints:
    """Where each line of data begins, if steps are fixed; beyond 2^53 it may be anywhere there."""
    n = np.array(counts, np.int64)
    within = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    starts = np.repeat(np.array([section.start for section in sections], np.int64), n)
    steps = np.repeat(np.array([section.step for section in sections], np.int64), n)
    reach = (LAST_POSITION - starts) // np.maximum(steps, 1)
    found: Ints = starts + steps * np.minimum(within, reach + 1)
    return found


def _advanced(section: Section, n_lines: int) -> Section:
    """The same section after some of its lines."""
    start = min(section.start + section.step * n_lines, LAST_POSITION + 1)
    return replace(section, start=start)


def _variable_line(text: str) -> tuple[int, float]:
    fields = text.split()
    if len(fields) != 2:
        raise ValueError(f"after variableStep come a position and a value, not {shown(text)}")
    return position_of(fields[0], "the position", 1) - 1, number_of(fields[1], "the value")


def declared(text: str) -> Section:
    """What a declaration says.

    Raises:
        ValueError: It is none, with a message.
    """
    kind, *words = text.split()
    if kind not in (FIXED, VARIABLE):
        raise ValueError(f"neither a value nor fixedStep nor variableStep: {shown(text)}")
    known = ("chrom", "start", "step", "span") if kind == FIXED else ("chrom", "span")
    said: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if key not in known or not equals or key in said:
            raise ValueError(f"{kind} has {', '.join(known)}, each once, not {shown(word)}")
        said[key] = value
    for key in ("chrom", "start") if kind == FIXED else ("chrom",):
        if key not in said:
            raise ValueError(f"{kind} needs {key}=")
    numbers = {key: position_of(said.get(key, "1"), key, 1) for key in ("start", "step", "span")}
    chrom = chromosome_of(said["chrom"])
    if kind == VARIABLE:
        return Section(kind, chrom, 0, 0, numbers["span"])
    return Section(kind, chrom, numbers["start"] - 1, numbers["step"], numbers["span"])
