"""BED files, of 3 to 9 columns or 12, and narrowPeak: intervals, 0-based and half-open."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput
from ..columns import Floats, Intervals
from .gathering import IntervalColumns, Places, runs_of_words
from .lines import Fields, Lines, chromosome_of, name_of, number_of, position_of

#: Words with which lines begin that are no entries.
_HEADERS = (b"#", b"track", b"browser")

PEAK_COLUMNS = 10
_PEAK_NUMBERS = ("signal_value", "p_value", "q_value")


class Entry(NamedTuple):
    """What a line says, but for the chromosome."""

    start: int
    end: int
    score: float
    strand: str
    name: str
    tags: Mapping[str, Any]


def read_bed(
    blocks: Iterable[Lines],
    file: str,
    lengths: Mapping[str, int] | None = None,
    *,
    are_peaks: bool = False,
) -> dict[str, Intervals]:
    """The intervals of a BED file by chromosome, in the order in which these come.

    Columns 7 to 12 become the tags ``thick_start``, ``thick_end``, ``item_rgb``, ``block_sizes``
    and ``block_starts``. Those of narrowPeak become ``signal_value``, ``p_value``, ``q_value`` and
    ``peak``; the score is column 5 there too. A score ``.`` is missing (NaN); without the column
    it is 0.

    Args:
        lengths: Of the chromosomes that there are; any may be there without it.
        are_peaks: It is narrowPeak.

    Raises:
        BadInput: A line that is none, named by its number.
    """
    places = Places(file, lengths)
    columns = IntervalColumns(places)
    for lines in blocks:
        entries = without_headers(lines)
        if len(entries) and (are_peaks or not _add_at_once(entries, columns)):
            add_by_line(entries, columns, partial(parsed_line, are_peaks=are_peaks))
    return columns.intervals()


def without_headers(lines: Lines) -> Lines:
    """The lines that are neither comments nor for a browser. A chromosome may have the name of
    such a line, but then a position follows after a tab."""
    candidates = lines.starting(*_HEADERS)
    for n in np.flatnonzero(candidates):
        candidates[n] = is_header(lines.text[lines.begins[n] : lines.ends[n]])
    return lines.taken(~candidates)


def is_header(line: bytes) -> bool:
    """Whether a line is a comment or for a browser."""
    if line.startswith(b"#"):
        return True
    word, *rest = line.split(None, 1)
    is_entry = line[len(word) :].startswith(b"\t") and rest and rest[0][:1].isdigit()
    return word in _HEADERS and not is_entry


def _add_at_once(lines: Lines, columns: IntervalColumns) -> bool:
    """Whether the lines all have the same 3 to 6 columns, and nothing is wrong with them."""
    fields = Fields.split(lines, at_spaces=True)
    if fields is None or not 3 <= fields.n_columns <= 6:
        return False
    runs, starts, ends = fields.runs(0), fields.ints(1), fields.ints(2)
    rest = _rest(fields)
    if runs is None or starts is None or ends is None or rest is None or (starts > ends).any():
        return False
    if any(" " in chrom for chrom in runs[0]):
        return False
    columns.places.add(runs, starts, ends, lines.numbers)
    columns.add(*rest)
    return True


def _rest(fields: Fields) -> tuple[Floats, NDArray[np.bytes_], list[str] | None] | None:
    """Scores, strands and names."""
    n_lines, n_columns = len(fields.lines), fields.n_columns
    scores = fields.floats(4, b".") if n_columns > 4 else np.zeros(n_lines)
    strands = fields.strands(5) if n_columns > 5 else np.full(n_lines, b".")
    if scores is None or strands is None:
        return None
    if n_columns < 4 or fields.are_all(3, b"."):
        return scores, strands, None
    return scores, strands, ["" if name == "." else name for name in fields.words(3)]


def add_by_line(
    lines: Lines, columns: IntervalColumns, parsed: Callable[[str], tuple[str, Entry]]
) -> None:
    """What lines say, one by one, into columns.

    Args:
        parsed: Chromosome and entry of one line, or ValueError with what is wrong.

    Raises:
        BadInput: A line is wrong; with file and line.
    """
    chroms, entries = [], []
    for number, text in lines:
        try:
            chrom, entry = parsed(text)
        except ValueError as error:
            raise BadInput(str(error), file=lines.file, line=number) from None
        chroms.append(chrom)
        entries.append(entry)
    add_entries(columns, chroms, entries, lines)


def add_entries(
    columns: IntervalColumns, chroms: Sequence[str], entries: Sequence[Entry], lines: Lines
) -> None:
    """What lines say, one by one, into columns."""
    if not entries:
        return
    starts, ends, scores, strands, names, tags = zip(*entries, strict=True)
    columns.places.add(
        runs_of_words(chroms),
        np.array(starts, np.int64),
        np.array(ends, np.int64),
        lines.numbers[: len(entries)],
    )
    columns.add(np.array(scores, np.float64), np.array(strands, "S1"), names, tags)


def parsed_line(text: str, *, are_peaks: bool = False) -> tuple[str, Entry]:
    """Chromosome and entry of one line.

    Raises:
        ValueError: It is none, with a message.
    """
    fields = text.split("\t")
    if len(fields) < 3:
        fields = text.split()
    _check_count(len(fields), are_peaks=are_peaks)
    chrom = chromosome_of(fields[0])
    start, end = position_of(fields[1], "the start"), position_of(fields[2], "the end")
    if start > end:
        raise ValueError(f"the start {start} is after the end {end}")
    name = name_of(fields[3], "the name") if len(fields) > 3 else ""
    score = number_of(fields[4], "the score", ".") if len(fields) > 4 else 0.0
    strand = strand_of(fields[5]) if len(fields) > 5 else "."
    tags = _peak_tags(fields) if are_peaks else bed_tags(fields, end - start)
    return chrom, Entry(start, end, score, strand, "" if name == "." else name, tags)


def _check_count(n: int, *, are_peaks: bool) -> None:
    if are_peaks and n != PEAK_COLUMNS:
        raise ValueError(f"a narrowPeak line has 10 columns, not {n}")
    if not are_peaks and not (3 <= n <= 9 or n == 12):
        hint = " (10 are those of narrowPeak)" if n == PEAK_COLUMNS else ""
        raise ValueError(f"a BED line has 3 to 9 columns, or 12, not {n}{hint}")


def strand_of(text: str) -> str:
    """A strand that somebody wrote. Raises ValueError."""
    if text not in ("+", "-", "."):
        raise ValueError(f"the strand is +, - or ., not {text[:40]!r}")
    return text


def bed_tags(fields: Sequence[str], length: int) -> dict[str, Any]:
    """What columns 7 to 12 say of an interval of so many residues. Raises ValueError."""
    tags: dict[str, Any] = {}
    if len(fields) > 6:
        tags["thick_start"] = position_of(fields[6], "thickStart")
    if len(fields) > 7:
        tags["thick_end"] = position_of(fields[7], "thickEnd")
    if len(fields) > 8:
        tags["item_rgb"] = name_of(fields[8], "itemRgb")
    if len(fields) > 9:
        sizes = _positions(fields[10], "blockSizes")
        starts = _positions(fields[11], "blockStarts")
        n = position_of(fields[9], "blockCount")
        if not n == len(sizes) == len(starts):
            raise ValueError(
                f"blockCount is {n}, but there are {len(sizes)} blockSizes and {len(starts)} "
                "blockStarts"
            )
        if any(start + size > length for start, size in zip(starts, sizes, strict=True)):
            raise ValueError(f"the blocks do not fit into the {length} residues of the entry")
        tags["block_sizes"], tags["block_starts"] = sizes, starts
    return tags


def _positions(text: str, what: str) -> list[int]:
    words = text.removesuffix(",").split(",") if text not in ("", ",") else []
    return [position_of(word, what) for word in words]


def _peak_tags(fields: Sequence[str]) -> dict[str, Any]:
    tags: dict[str, Any] = {
        tag: number_of(text, tag.replace("_v", "V"), ".")
        for tag, text in zip(_PEAK_NUMBERS, fields[6:9], strict=True)
    }
    peak = fields[9]
    tags["peak"] = -1 if peak == "-1" else position_of(peak, "the peak")
    if tags["peak"] > int(fields[2]) - int(fields[1]):
        raise ValueError(f"the peak {peak} is beyond the end of the entry")
    return tags
