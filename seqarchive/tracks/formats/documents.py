"""Tracks as JSON documents: regions, steps or values, as clients of the HTTP interface send them.

``{"name": ..., "regions": [{"chrom", "start", "end", "strand", "score", "name", "tags"}, ...]}``
for intervals, ``{"name": ..., "steps": [{"chrom", "start", "end", "value"}, ...]}`` for a signal
(with ``"lengths"`` of its chromosomes, if they are known), ``{"name": ..., "values": {key:
number}}`` for a table. A number may be null (missing), ``"inf"`` and ``"-inf"``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from ...errors import BadInput
from ..regions import TrackLabel
from ..track import AnyTrack, IntervalTrack, SignalTrack, Stepped, TableTrack
from .bed import Entry, strand_of
from .gathering import IntervalColumns, Places, StepColumns, runs_of_words
from .lines import LAST_POSITION, chromosome_of, name_of, shown

#: What a document must have one of.
KEYS = ("regions", "steps", "values")

_OF_REGION = frozenset(("chrom", "start", "end", "strand", "score", "name", "tags"))
_OF_STEP = frozenset(("chrom", "start", "end", "value"))
_WORDS = {
    "inf": math.inf,
    "-inf": -math.inf,
    "Infinity": math.inf,
    "-Infinity": -math.inf,
    "nan": math.nan,
    "NaN": math.nan,
}
_WHITE_SPACE = " \t\r\n"


class _Document:
    """A document, and the text that it is from, where errors are."""

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file = text, file
        try:
            found = json.loads(text, object_pairs_hook=_pairs)
        except json.JSONDecodeError as error:
            raise BadInput(f"this is not JSON: {error.msg}", file=file, line=error.lineno) from None
        except RecursionError:
            raise BadInput("this JSON is nested too deeply", file=file, line=1) from None
        except ValueError as error:
            raise BadInput(str(error), file=file, line=1) from None
        if not isinstance(found, dict) or sum(key in found for key in KEYS) != 1:
            raise BadInput(
                f"a track as JSON is an object with one of {', '.join(KEYS)}", file=file, line=1
            )
        self.content: dict[str, Any] = found
        self.key = next(key for key in KEYS if key in found)

    def wrong(self, message: str, key: str, n: int | None = None) -> BadInput:
        """The error of a member, or of one of its items."""
        where = key if n is None else f"{key}[{n}]"
        line = self.text.count("\n", 0, _place(self.text, key, n)) + 1
        return BadInput(f"{where}: {message}", file=self.file, line=line)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        for key, _ in reversed(pairs):
            if key not in found:
                raise ValueError(f"an object has {shown(key)} twice")
            del found[key]
    return found


def _place(text: str, key: str, n: int | None) -> int:
    """Where a member of the object that a text is begins, or an item of it; 0 if that is not
    known."""
    decode = json.JSONDecoder().raw_decode
    at = _after(text, text.index("{") + 1)
    while text[at] != "}":
        found, at = decode(text, at)
        at = _after(text, _after(text, at) + 1)
        if found == key:
            break
        _, at = decode(text, at)
        at = _after(text, at)
    if n is None or text[at] not in "[{":
        return at
    is_object = text[at] == "{"
    at = _after(text, at + 1)
    for _ in range(n + 1):
        begin = at
        if is_object:
            _, at = decode(text, at)
            at = _after(text, _after(text, at) + 1)
        _, at = decode(text, at)
        at = _after(text, at)
    return begin


def _after(text: str, at: int) -> int:
    """Where white space ends, and a comma after it."""
    while text[at] in _WHITE_SPACE or text[at] == ",":
        at += 1
    return at


def read_document(
    chunks: Iterable[bytes],
    file: str,
    lengths: Mapping[str, int] | None = None,
    *,
    name: str | None = None,
) -> AnyTrack:
    """The track that a document is. Members of it that are not known are not looked at; those of
    regions and steps must be known.

    Args:
        lengths: Of the chromosomes that there are.
        name: What to call it, if not as the document says.

    Raises:
        BadInput: It is none; with the line where what is wrong begins.
    """
    try:
        text = b"".join(chunks).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = bytes(error.object).count(b"\n", 0, error.start) + 1
        raise BadInput("this is not text in UTF-8", file=file, line=line) from None
    document = _Document(text, file)
    try:
        label = TrackLabel(name or _text(document.content.get("name") or "", "the name"))
    except ValueError as error:
        raise document.wrong(str(error), "name") from None
    return _READERS[document.key](document, label, lengths)


def _intervals(
    document: _Document, label: TrackLabel, lengths: Mapping[str, int] | None
) -> AnyTrack:
    columns = IntervalColumns(Places(document.file, None))
    chroms, entries = _items(document, _region, lengths)
    if entries:
        starts, ends, scores, strands, names, tags = zip(*entries, strict=True)
        columns.places.add(
            runs_of_words(chroms),
            np.array(starts, np.int64),
            np.array(ends, np.int64),
            np.arange(len(entries)),
        )
        columns.add(np.array(scores, np.float64), np.array(strands, "S1"), names, tags)
    return IntervalTrack.of(label, columns.intervals())


def _signal(document: _Document, label: TrackLabel, lengths: Mapping[str, int] | None) -> AnyTrack:
    known = lengths if lengths is not None else _lengths(document)
    columns = StepColumns(Places(document.file, known, "item"))
    chroms, steps = _items(document, _step, known)
    if steps:
        starts, ends, values = zip(*steps, strict=True)
        columns.places.add(
            runs_of_words(chroms),
            np.array(starts, np.int64),
            np.array(ends, np.int64),
            np.arange(len(steps)),
        )
        columns.add(np.array(values, np.float64))
    try:
        found = columns.steps()
    except BadInput as error:
        raise document.wrong(error.message, document.key, error.line) from None
    is_known = known is not None
    return SignalTrack(label, Stepped(columns.lengths(), found, are_lengths_known=is_known))


def _table(
    document: _Document,
    label: TrackLabel,
    lengths: Mapping[str, int] | None,  # noqa: ARG001
) -> AnyTrack:
    values = document.content["values"]
    if not isinstance(values, dict):
        raise document.wrong("this is an object of keys and numbers", "values")
    found = {}
    for n, (key, value) in enumerate(values.items()):
        try:
            found[_text(key, "the key", needed=True)] = _number(value, "the number")
        except ValueError as error:
            raise document.wrong(str(error), "values", n) from None
    return TableTrack(label, found)


_READERS: Mapping[str, Callable[[_Document, TrackLabel, Mapping[str, int] | None], AnyTrack]] = {
    "regions": _intervals,
    "steps": _signal,
    "values": _table,
}

_Parsed = TypeVar("_Parsed", bound=Sequence[Any])


def _items(
    document: _Document,
    parsed: Callable[[Mapping[str, Any]], tuple[str, _Parsed]],
    lengths: Mapping[str, int] | None,
) -> tuple[list[str], list[_Parsed]]:
    """Chromosomes and entries; starts and ends are the first two things that an entry has."""
    items = document.content[document.key]
    if not isinstance(items, list):
        raise document.wrong("this is a list", document.key)
    chroms, entries = [], []
    for n, item in enumerate(items):
        try:
            chrom, entry = parsed(item)
            if lengths is not None:
                _require_there(chrom, entry[1], lengths)
        except ValueError as error:
            raise document.wrong(str(error), document.key, n) from None
        chroms.append(chrom)
        entries.append(entry)
    return chroms, entries


def _require_there(chrom: str, end: int, lengths: Mapping[str, int]) -> None:
    if chrom not in lengths:
        raise ValueError(f"there is no chromosome {shown(chrom)}: a track over another genome?")
    if end > lengths[chrom]:
        raise ValueError(f"{end} is beyond the {lengths[chrom]:,} residues of {chrom}")


def _region(item: Any) -> tuple[str, Entry]:
    _require_members(item, _OF_REGION)
    chrom, start, end = _place_of(item)
    tags = item.get("tags") or {}
    if not isinstance(tags, dict):
        raise ValueError("the tags are an object")
    _require_text(tags)
    entry = Entry(
        start,
        end,
        _number(item.get("score", 0.0), "the score"),
        strand_of(_text(item.get("strand", "."), "the strand")),
        _text(item.get("name") or "", "the name"),
        tags,
    )
    return chrom, entry


def _step(item: Any) -> tuple[str, tuple[int, int, float]]:
    _require_members(item, _OF_STEP)
    chrom, start, end = _place_of(item)
    if start == end:
        raise ValueError(f"the start {start} is not before the end {end}")
    if "value" not in item:
        raise ValueError("there is no value")
    return chrom, (start, end, _number(item["value"], "the value"))


def _require_members(item: Any, known: frozenset[str]) -> None:
    if not isinstance(item, dict):
        raise ValueError("this is an object")
    for key in item:
        if key not in known:
            raise ValueError(f"it has {', '.join(sorted(known))}, not {shown(key)}")


def _place_of(item: Mapping[str, Any]) -> tuple[str, int, int]:
    chrom = chromosome_of(_text(item.get("chrom", ""), "the chromosome"))
    start, end = (_position(item.get(key), f"the {key}") for key in ("start", "end"))
    if start > end:
        raise ValueError(f"the start {start} is after the end {end}")
    return chrom, start, end


def _position(value: Any, what: str) -> int:
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    if isinstance(whole, bool) or not isinstance(whole, int) or whole < 0:
        raise ValueError(f"{what} is a whole number from 0, not {_json(value)}")
    if whole > LAST_POSITION:
        raise ValueError(f"{what} {whole!s:.20} is beyond 2^53")
    return whole


def _number(value: Any, what: str) -> float:
    if value is None:
        return math.nan
    if isinstance(value, str) and value in _WORDS:
        return _WORDS[value]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{what} is a number, not {_json(value)}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{what} is too large for a number of 64 bits") from None


def _text(value: Any, what: str, *, needed: bool = False) -> str:
    if not isinstance(value, str) or (needed and not value):
        raise ValueError(f"{what} is a text, not {_json(value)}")
    _require_text(value)
    return name_of(value, what)


def _require_text(value: Any) -> None:
    """Raise ValueError if half of a pair of surrogates is somewhere in it."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("a text has half a character (a lone surrogate)") from None


def _json(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _lengths(document: _Document) -> dict[str, int] | None:
    """The lengths of chromosomes, if a document says them."""
    said = document.content.get("lengths")
    if said is None:
        return None
    if not isinstance(said, dict):
        raise document.wrong("this is an object of names and lengths", "lengths")
    try:
        return {
            chromosome_of(_text(key, "the name")): _position(value, "the length")
            for key, value in said.items()
        }
    except ValueError as error:
        raise document.wrong(str(error), "lengths") from None
