"""Tracks into files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

import numpy as np

from ...errors import BadInput
from ..columns import Intervals, Steps
from ..track import AnyTrack, IntervalTrack, SignalTrack, TableTrack, type_of
from ..watching import stepping
from .bigwig_writing import write_bigwig_steps
from .catalogue import FORMATS, by_extension, named_format
from .outputs import opened
from .texts import (
    AT_ONCE,
    check_names,
    checked_chromosome,
    is_plain_text,
    json_number,
    number_text,
    number_texts,
    ranges,
)

#: Columns of BED after the sixth, by the tags that hold them; blocks are three of them.
_THICK = ("thick_start", "thick_end", "item_rgb")
_BLOCKS = ("block_sizes", "block_starts")


@dataclass(frozen=True)
class Written:
    """What was written.

    Args:
        n_entries: Intervals, steps or keys.
        left_out: What of how many entries the format has no place for: ``names``, ``strands``,
            ``scores`` and ``tags``; empty if all is there.
    """

    n_entries: int
    left_out: Mapping[str, int] = field(default_factory=dict)


def write_track(
    track: AnyTrack,
    out: str | Path | BinaryIO,
    format: str | None = None,
    *,
    lengths: Mapping[str, int] | None = None,
) -> Written:
    """Write a track in some format.

    Args:
        out: A path, or a file that is open for bytes. If the name of a path ends with ``.gz`` or
            ``.bgz``, it is compressed (BGZF); a file of that name is replaced when all is written.
        format: One of ``FORMATS``; as the name says without it.
        lengths: Of the chromosomes of the genome in residues; for a bigWig of intervals. With it,
            chromosomes are in this order, and others are refused.

    Raises:
        BadInput: The format is not for such a track, or it has something that cannot be written.
    """
    form = _wanted(out, format)
    kind = type_of(track)
    if kind not in FORMATS[form].writes:
        can = [name for name, one in FORMATS.items() if kind in one.writes]
        raise BadInput(f"{form} is not for a track of type {kind}, which {', '.join(can)} are")
    if form == "bigwig" and not isinstance(track, TableTrack):
        return write_bigwig(track, out, lengths)
    with opened(out) as file:
        return _WRITERS[form](track, file, lengths)


def _wanted(out: str | Path | BinaryIO, asked: str | None) -> str:
    if asked is not None:
        return named_format(asked)
    found = by_extension(str(out)) if isinstance(out, (str, Path)) else None
    if found is None:
        raise BadInput(f"which format? There are {', '.join(FORMATS)}")
    return found


def ordered(track: IntervalTrack | SignalTrack, lengths: Mapping[str, int] | None) -> Iterator[str]:
    """The chromosomes of a track that have entries or may have some, in the order of a genome,
    or in their own.

    Raises:
        BadInput: One that the genome does not have, or something beyond its end.
    """
    if lengths is None:
        yield from stepping(dict.fromkeys(track.chroms, 0))
        return
    for chrom in track.chroms:
        if chrom not in lengths:
            _refuse_entries(track, chrom)
    there = set(track.chroms)
    for chrom in stepping(lengths):
        if chrom in there:
            _check_end(track, chrom, lengths[chrom])
            yield chrom


def _refuse_entries(track: IntervalTrack | SignalTrack, chrom: str) -> None:
    """Raise BadInput, which names the first entry, if there is any on a chromosome."""
    some = track.columns(chrom) if isinstance(track, IntervalTrack) else track.steps(chrom)
    if len(some):
        raise BadInput(f"{chrom}:{some.starts[0]}-{some.ends[0]}: there is no chromosome {chrom!r}")


def _check_end(track: IntervalTrack | SignalTrack, chrom: str, length: int) -> None:
    if isinstance(track, IntervalTrack):
        columns = track.columns(chrom)
        starts, ends = columns.starts, columns.ends
        beyond = np.flatnonzero(ends > length)
        if len(beyond):
            n = beyond[0]
            raise BadInput(
                f"{chrom}:{starts[n]}-{ends[n]} is beyond the {length:,} residues of {chrom}"
            )
    elif track.lengths.get(chrom, 0) > length and len(track.steps(chrom, length)):
        raise BadInput(f"there are values beyond the {length:,} residues of {chrom}")


# --- BED --------------------------------------------------------------------------------------


def write_bed(
    track: IntervalTrack, out: BinaryIO, lengths: Mapping[str, int] | None = None
) -> Written:
    """Write intervals as BED with as few columns as say what there is: 3 to 6, or up to 12 if all
    entries have the tags that were read from columns 7 to 12. Other tags have no place there.

    Scores are written as the shortest text that is the same number; a missing one as ``NaN``.
    A name ``.`` is none.

    Raises:
        BadInput: A name with control characters.
    """
    n_columns, n_tags = _bed_columns(track, ordered(track, lengths))
    n_entries = n_left_out = 0
    for chrom in ordered(track, lengths):
        columns = track.columns(chrom)
        checked_chromosome(chrom)
        check_names(chrom, columns, columns.names or ())
        for part in ranges(len(columns)):
            out.write(_bed_text(chrom, columns, part, n_columns))
        n_entries += len(columns)
        n_left_out += sum(len(tags) > n_tags for tags in columns.tags or ())
    return Written(n_entries, {"tags": n_left_out} if n_left_out else {})


def _bed_columns(track: IntervalTrack, chroms: Iterable[str]) -> tuple[int, int]:
    """How many columns are needed, and how many tags they hold."""
    n_columns, n_tags, has_entries = 3, len(_THICK) + len(_BLOCKS), False
    for chrom in chroms:
        columns = track.columns(chrom)
        has_entries = has_entries or len(columns) > 0
        if columns.tags is None and len(columns):
            n_tags = 0
        elif n_tags:
            n_tags = min([n_tags, *map(_bed_tags_of, columns.tags or (), _lengths(columns))])
        if columns.names is not None:
            n_columns = max(n_columns, 4)
        if (columns.scores != 0.0).any():
            n_columns = max(n_columns, 5)
        if (columns.strands != b".").any():
            n_columns = 6
    if not n_tags or not has_entries:
        return n_columns, 0
    return (12 if n_tags == 5 else 6 + n_tags), n_tags


def _lengths(columns: Intervals) -> list[int]:
    found: list[int] = (columns.ends - columns.starts).tolist()
    return found


def _bed_tags_of(tags: Mapping[str, Any], length: int) -> int:
    """How many of the tags that BED has columns for an entry has, from the first on."""
    if not _is_position(tags.get("thick_start")):
        return 0
    if not _is_position(tags.get("thick_end")):
        return 1
    if not is_plain_text(tags.get("item_rgb")):
        return 2
    sizes, starts = tags.get("block_sizes"), tags.get("block_starts")
    if not _are_positions(sizes) or not _are_positions(starts) or len(sizes) != len(starts):
        return 3
    fits = all(start + size <= length for start, size in zip(starts, sizes, strict=True))
    return 5 if fits else 3


def _is_position(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1 << 53


def _are_positions(value: Any) -> TypeGuard[Sequence[int]]:
    return isinstance(value, (list, tuple)) and all(map(_is_position, value))


def _bed_text(chrom: str, columns: Intervals, part: slice, n_columns: int) -> bytes:
    fields: list[Iterable[str]] = [
        repeat(chrom, len(columns.starts[part])),
        map(str, columns.starts[part].tolist()),
        map(str, columns.ends[part].tolist()),
    ]
    if n_columns > 3:
        names = repeat("") if columns.names is None else columns.names[part]
        fields.append(name or "." for name in names)
    if n_columns > 4:
        fields.append(number_texts(columns.scores[part]))
    if n_columns > 5:
        fields.append(map(bytes.decode, columns.strands[part].tolist()))
    if n_columns > 6:
        fields.append(_tag_text(tags, n_columns) for tags in (columns.tags or ())[part])
    lines = map("\t".join, zip(*fields))  # noqa: B905  # some go on for ever
    return ("\n".join(lines) + "\n").encode("utf-8")


def _tag_text(tags: Mapping[str, Any], n_columns: int) -> str:
    found = [str(tags[key]) for key in _THICK[: n_columns - 6]]
    if n_columns == 12:
        found.append(str(len(tags["block_sizes"])))
        found += [",".join(map(str, tags[key])) or "," for key in _BLOCKS]
    return "\t".join(found)


# --- signals ----------------------------------------------------------------------------------


def steps_of(track: IntervalTrack | SignalTrack, chrom: str) -> Steps:
    """A chromosome of a track as steps: scores are values.

    Raises:
        BadInput: Two intervals overlap, or one has no score or no residue.
    """
    if isinstance(track, SignalTrack):
        return track.steps(chrom)
    columns = track.columns(chrom)
    overlap = np.flatnonzero(columns.starts[1:] < columns.ends[:-1])
    if len(overlap):
        n = int(overlap[0])
        raise BadInput(
            f"{_place(chrom, columns, n)} and {_place(chrom, columns, n + 1)} overlap: as a "
            "signal, a residue has one value"
        )
    empty = np.flatnonzero(np.isnan(columns.scores) | (columns.starts == columns.ends))
    if len(empty):
        n = int(empty[0])
        lacks = "score" if columns.starts[n] < columns.ends[n] else "residue"
        raise BadInput(f"{_place(chrom, columns, n)} has no {lacks}, which a signal needs")
    return Steps.of(columns.starts, columns.ends, columns.scores)


def _place(chrom: str, columns: Intervals, n: int) -> str:
    return f"{chrom}:{columns.starts[n]}-{columns.ends[n]}"


def _without_names(track: IntervalTrack | SignalTrack) -> dict[str, int]:
    """What of how many intervals a signal has no place for."""
    counts = {"names": 0, "strands": 0, "tags": 0}
    for chrom in track.chroms if isinstance(track, IntervalTrack) else ():
        columns = track.columns(chrom)  # type: ignore[union-attr]
        counts["names"] += sum(map(bool, columns.names or ()))
        counts["strands"] += int((columns.strands != b".").sum())
        counts["tags"] += sum(map(bool, columns.tags or ()))
    return {what: n for what, n in counts.items() if n}


def write_bedgraph(
    track: IntervalTrack | SignalTrack, out: BinaryIO, lengths: Mapping[str, int] | None = None
) -> Written:
    """Write a signal, or intervals that do not overlap, as bedGraph.

    Raises:
        BadInput: Two intervals overlap, or one has no score or no residue.
    """
    n_steps = 0
    for chrom in ordered(track, lengths):
        steps = steps_of(track, chrom)
        checked_chromosome(chrom)
        for part in ranges(len(steps)):
            columns = (
                repeat(chrom, len(steps.starts[part])),
                map(str, steps.starts[part].tolist()),
                map(str, steps.ends[part].tolist()),
                number_texts(steps.values[part]),
            )
            lines = map("\t".join, zip(*columns, strict=True))
            out.write(("\n".join(lines) + "\n").encode("utf-8"))
        n_steps += len(steps)
    return Written(n_steps, _without_names(track))


def write_wig(
    track: IntervalTrack | SignalTrack, out: BinaryIO, lengths: Mapping[str, int] | None = None
) -> Written:
    """Write a signal, or intervals that do not overlap, as wiggle: a section of variable step for
    each run of steps of one length.

    Raises:
        BadInput: Two intervals overlap, or one has no score or no residue.
    """
    n_steps = 0
    for chrom in ordered(track, lengths):
        steps = steps_of(track, chrom)
        checked_chromosome(chrom)
        spans = steps.ends - steps.starts
        first = np.flatnonzero(np.concatenate(([True], spans[1:] != spans[:-1])))
        edges = [*first.tolist(), len(steps)] if len(steps) else []
        for begin, end in zip(edges, edges[1:]):  # noqa: B905, RUF007
            out.write(f"variableStep chrom={chrom} span={spans[begin]}\n".encode())
            for at in range(begin, end, AT_ONCE):
                part = slice(at, min(at + AT_ONCE, end))
                starts = map(str, (steps.starts[part] + 1).tolist())
                lines = map(" ".join, zip(starts, number_texts(steps.values[part]), strict=True))
                out.write(("\n".join(lines) + "\n").encode())
        n_steps += len(steps)
    return Written(n_steps, _without_names(track))


def write_bigwig(
    track: IntervalTrack | SignalTrack,
    out: str | Path | BinaryIO,
    lengths: Mapping[str, int] | None = None,
) -> Written:
    """Write a signal, or intervals that do not overlap, as bigWig. Its numbers have 32 bits: what
    is read from it is the nearest such number. Equal tracks give equal bytes.

    Args:
        lengths: Of the chromosomes in residues, in the order in which they are written; those of
            the signal without it. Those without a value are not in the file.

    Raises:
        BadInput: Lengths are not known, two intervals overlap, or one has no score; a value is
            too large for 32 bits; a chromosome is too long or there are too many for a bigWig.
    """
    known = lengths
    if known is None:
        if isinstance(track, IntervalTrack):
            raise BadInput("a bigWig of intervals needs the lengths of the chromosomes")
        known = track.lengths
    parts = ((chrom, steps_of(track, chrom)) for chrom in ordered(track, known))
    n_steps = write_bigwig_steps(parts, known, out)
    return Written(n_steps, _without_names(track))


# --- JSON and tables --------------------------------------------------------------------------


def write_json(track: AnyTrack, out: BinaryIO, lengths: Mapping[str, int] | None = None) -> Written:
    """Write a track as the JSON document that ``load_track`` reads; of a missing number it has
    null, of an infinite one ``"inf"`` or ``"-inf"``.

    Raises:
        BadInput: A tag is nothing that JSON has.
    """
    if isinstance(track, TableTrack):
        return _write_items(out, track.name, "values", "{}", _table_items(track))
    if isinstance(track, IntervalTrack):
        return _write_items(out, track.name, "regions", "[]", _region_items(track, lengths))
    known = track.lengths if lengths is None else dict(lengths)
    before = {"lengths": known}
    return _write_items(out, track.name, "steps", "[]", _step_items(track, lengths), before=before)


def _write_items(
    out: BinaryIO,
    name: str,
    key: str,
    brackets: str,
    items: Iterable[str],
    *,
    before: Mapping[str, Any] | None = None,
) -> Written:
    head = _dumped({"name": name, **(before or {})}, name)
    out.write(f'{head[:-1]}, "{key}": {brackets[0]}'.encode())
    n = 0
    for item in items:
        out.write((",\n" if n else "\n").encode())
        out.write(item.encode())
        n += 1
    out.write(f"\n{brackets[1]}}}\n".encode())
    return Written(n)


def _dumped(value: Any, where: str) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadInput(f"{where}: this cannot be JSON ({error})") from None


def _region_items(track: IntervalTrack, lengths: Mapping[str, int] | None) -> Iterator[str]:
    for chrom in ordered(track, lengths):
        for region in track.columns(chrom).regions(chrom):
            item = {**region.as_dict(), "score": json_number(region.score)}
            yield _dumped(item, f"{chrom}:{region.start}-{region.end}")


def _step_items(track: SignalTrack, lengths: Mapping[str, int] | None) -> Iterator[str]:
    for chrom in ordered(track, lengths):
        steps = track.steps(chrom)
        columns = zip(
            steps.starts.tolist(), steps.ends.tolist(), steps.values.tolist(), strict=True
        )
        quoted = json.dumps(chrom)
        for start, end, value in columns:
            number = json.dumps(json_number(value))
            yield f'{{"chrom": {quoted}, "start": {start}, "end": {end}, "value": {number}}}'


def _table_items(track: TableTrack) -> Iterator[str]:
    for key, value in track.items():
        yield f"{json.dumps(key)}: {json.dumps(json_number(value))}"


def write_tsv(
    track: TableTrack,
    out: BinaryIO,
    lengths: Mapping[str, int] | None = None,  # noqa: ARG001  # a table is nowhere
) -> Written:
    """Write a table: a header, then a key, a tab and a number on each line.

    Raises:
        BadInput: A key that is empty or has control characters.
    """
    out.write(b"#key\tvalue\n")
    out.write(b"".join(table_lines(track.items())))
    return Written(len(track))


def table_lines(items: Iterable[tuple[str, float]]) -> Iterator[bytes]:
    """Keys and numbers as lines. Raises BadInput for a key that cannot be in one."""
    for key, value in items:
        if not key or not is_plain_text(key):
            raise BadInput(f"the key {key[:40]!r} is empty or has control characters")
        yield f"{key}\t{number_text(value)}\n".encode()


_WRITERS: Mapping[str, Callable[[Any, BinaryIO, Mapping[str, int] | None], Written]] = {
    "bed": write_bed,
    "wig": write_wig,
    "bedgraph": write_bedgraph,
    "json": write_json,
    "tsv": write_tsv,
}
