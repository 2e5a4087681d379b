"""The entries of a track one after another, as JSON: intervals, the steps of a signal, or numbers;
never more of them in memory than a piece."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from ..tracks.columns import NO_STEPS, Intervals, Steps
from ..tracks.track import AnyTrack, IntervalTrack, SignalTrack, TableTrack
from .windows import Window, intervals_in, slices_of

#: Entries that are made text together.
_PIECE = 2_000

Batch = tuple[str, Intervals]


def batches(track: AnyTrack, window: Window | None, lengths: Mapping[str, int]) -> Iterator[Batch]:
    """What a track has in a window: intervals, whole; or steps, cut there, with their values as
    scores.

    Args:
        window: None for all that it has, empty intervals too.
        lengths: Of chromosomes in order, in residues.
    """
    there = {} if isinstance(track, TableTrack) else dict.fromkeys(track.chroms)
    windows = [Window(one, 0, length) for one, length in lengths.items() if one in there]
    for one in windows if window is None else [window]:
        if isinstance(track, SignalTrack):
            for steps in _steps(track, one):
                yield one.chrom, Intervals.of(steps.starts, steps.ends, steps.values)
        elif isinstance(track, IntervalTrack):
            whole = window is None
            length = lengths[one.chrom]
            yield one.chrom, track.columns(one.chrom) if whole else intervals_in(track, one, length)


def _steps(track: SignalTrack, window: Window) -> Iterator[Steps]:
    """The steps of a signal, none of them in two pieces."""
    rest = NO_STEPS
    for piece in slices_of(track, window):
        if len(rest) and not (len(piece) and piece.starts[0] == rest.ends[-1]):
            yield rest
            rest = NO_STEPS
        steps = _joined(rest, piece) if len(rest) else piece
        goes_on = len(steps) > 0  # perhaps, in the next piece
        n = len(steps) - goes_on
        rest = Steps(steps.starts[n:], steps.ends[n:], steps.values[n:])
        if n:
            yield Steps(steps.starts[:n], steps.ends[:n], steps.values[:n])
    if len(rest):
        yield rest


def _joined(a: Steps, b: Steps) -> Steps:
    return Steps.of(
        np.concatenate((a.starts, b.starts)),
        np.concatenate((a.ends, b.ends)),
        np.concatenate((a.values, b.values)),
    )


def page_of_entries(found: Iterable[Batch], offset: int, limit: int) -> tuple[list[Any], int]:
    """Some of the entries, for JSON, and how many there are in all."""
    rows: list[Any] = []
    total = 0
    for chrom, columns in found:
        first = max(0, offset - total)
        last = min(len(columns), offset + limit - total)
        if first < last:
            rows += _rows(chrom, columns, first, last)
        total += len(columns)
    return rows, total


def texts(found: Iterable[Batch]) -> Iterator[str]:
    """All entries as the items of a list in JSON, piece by piece, with commas between them."""
    is_first = True
    for chrom, columns in found:
        for start in range(0, len(columns), _PIECE):
            rows = _rows(chrom, columns, start, min(start + _PIECE, len(columns)))
            text = json.dumps(rows, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
            yield ("" if is_first else ",") + text[1:-1]
            is_first = False


def table_page(track: TableTrack, offset: int, limit: int | None) -> dict[str, float | None]:
    """Some of the numbers of a table by their keys, for JSON."""
    end = None if limit is None else offset + limit
    return {key: plain(value) for key, value in islice(track.items(), offset, end)}


def plain(value: float) -> float | None:
    """A number as JSON has it: what is missing or infinite is null."""
    return value if math.isfinite(value) else None


def plain_list(values: Any) -> list[Any]:
    """Numbers of an array as JSON has them."""
    if values.dtype.kind != "f":
        return list(values.tolist())
    found = values.astype(object)
    found[~np.isfinite(values)] = None
    return list(found.tolist())


def _rows(chrom: str, columns: Intervals, first: int, last: int) -> list[dict[str, Any]]:
    n = last - first
    names: Sequence[str] = columns.names[first:last] if columns.names else [""] * n
    tags: Sequence[Any] = columns.tags[first:last] if columns.tags else [{}] * n
    rows = zip(
        columns.starts[first:last].tolist(),
        columns.ends[first:last].tolist(),
        columns.strands[first:last].astype("U1").tolist(),
        plain_list(columns.scores[first:last]),
        names,
        tags,
        strict=True,
    )
    return [
        {
            "chrom": chrom,
            "start": start,
            "end": end,
            "strand": strand,
            "score": score,
            "name": name,
            "tags": finite(tag),
        }
        for start, end, strand, score, name, tag in rows
    ]


def finite(value: Any) -> Any:
    """The same with null for numbers that JSON does not have."""
    if isinstance(value, float):
        return plain(value)
    if isinstance(value, Mapping):
        return {str(key): finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
    return value
