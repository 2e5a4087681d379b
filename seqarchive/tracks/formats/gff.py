"""GFF3 and GTF files: features, which are 1-based there and end with their last residue."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np

from ..columns import Intervals
from .bed import Entry, add_by_line
from .gathering import IntervalColumns, Places
from .lines import Fields, Lines, chromosome_of, name_of, number_of, position_of, shown

_KNOWN_PHASES = frozenset("012.")
_NAMES_OF_GFF3 = ("Name", "ID")
_NAMES_OF_GTF = ("gene_name", "gene_id")
_GTF_ATTRIBUTE = re.compile(r'\s*([^\s;"]+)\s+(?:"([^"]*)"|([^\s;"]+))\s*(?:;|\Z)')
_GTF_ATTRIBUTES = re.compile(rf"(?:{_GTF_ATTRIBUTE.pattern})*\s*\Z")

Attributes = dict[str, list[str]]


def read_gff(
    blocks: Iterable[Lines],
    file: str,
    lengths: Mapping[str, int] | None = None,
    *,
    is_gtf: bool = False,
) -> dict[str, Intervals]:
    """The features by chromosome, 0-based and half-open; sequences at the end are not read.

    The name is ``Name`` or else ``ID``, and in GTF ``gene_name`` or else ``gene_id``. Tags are
    ``source`` and ``type``, ``phase`` (a number) if there is one, ``attributes`` (lists of texts
    by name, not escaped any more), and ``strand`` where it is ``?``, that is relevant but not
    known. A score ``.`` is missing (NaN).

    Raises:
        BadInput: A line that is none, named by its number.
    """
    columns = IntervalColumns(Places(file, lengths))
    for lines in _until_sequences(blocks):
        features = lines.taken(lines.first_bytes != ord("#"))
        if len(features) and not _add_at_once(features, columns, is_gtf=is_gtf):
            add_by_line(features, columns, partial(parsed_line, is_gtf=is_gtf))
    return columns.intervals()


def _until_sequences(blocks: Iterable[Lines]) -> Iterator[Lines]:
    """The lines before ``##FASTA`` or the first defline."""
    for lines in blocks:
        ends = lines.starting(b"##FASTA", b">")
        if ends.any():
            yield lines.taken(np.arange(int(ends.argmax())))
            return
        yield lines


def _add_at_once(lines: Lines, columns: IntervalColumns, *, is_gtf: bool) -> bool:
    """Whether nothing is wrong with the lines, nor unusual in any but the last column."""
    fields = Fields.split(lines)
    if fields is None or fields.n_columns != 9:
        return False
    runs, starts, ends = fields.runs(0), fields.ints(3), fields.ints(4)
    scores, strands = fields.floats(5, b"."), fields.strands(6)
    if runs is None or starts is None or ends is None or scores is None or strands is None:
        return False
    words = [fields.words(n) for n in (1, 2, 7)]
    if any(" " in chrom for chrom in runs[0]) or not set(words[2]) <= _KNOWN_PHASES:
        return False
    escaped = () if is_gtf else (*runs[0], *set(words[0] + words[1]))
    if any("%" in word for word in escaped) or (starts < 1).any() or (starts > ends).any():
        return False
    try:
        tags, names = _said(words, fields.words(8), is_gtf=is_gtf)
    except ValueError:
        return False
    columns.places.add(runs, starts - 1, ends, lines.numbers)
    columns.add(scores, strands, names, tags)
    return True


def _said(
    words: list[list[str]], attributes: list[str], *, is_gtf: bool
) -> tuple[list[dict[str, Any]], list[str]]:
    """Tags and names, from the columns of texts. Raises ValueError."""
    parsed, keys = _DIALECTS[is_gtf]
    tags, names = [], []
    for source, kind, phase, text in zip(*words, attributes, strict=True):
        found = parsed(text)
        tags.append(_tags(source, kind, phase, found))
        names.append(_name(found, keys))
    return tags, names


def _tags(source: str, kind: str, phase: str, attributes: Attributes) -> dict[str, Any]:
    tags: dict[str, Any] = {}
    if source != ".":
        tags["source"] = source
    if kind != ".":
        tags["type"] = kind
    if phase != ".":
        tags["phase"] = int(phase)
    if attributes:
        tags["attributes"] = attributes
    return tags


def parsed_line(text: str, *, is_gtf: bool = False) -> tuple[str, Entry]:
    """Chromosome and feature of one line.

    Raises:
        ValueError: It is none, with a message.
    """
    fields = text.split("\t")
    if len(fields) != 9:
        raise ValueError(
            f"a line of {'GTF' if is_gtf else 'GFF3'} has 9 columns with tabs between, "
            f"not {len(fields)}"
        )
    chrom, source, kind = fields[:3] if is_gtf else map(unescaped, fields[:3])
    start, end = (position_of(fields[n], what, 1) for n, what in ((3, "the start"), (4, "the end")))
    if start > end:
        raise ValueError(f"the start {start} is after the end {end}")
    score = number_of(fields[5], "the score", ".")
    if fields[6] not in ("+", "-", ".", "?"):
        raise ValueError(f"the strand is +, -, . or ?, not {shown(fields[6])}")
    if fields[7] not in _KNOWN_PHASES:
        raise ValueError(f"the phase is 0, 1, 2 or ., not {shown(fields[7])}")
    parsed, keys = _DIALECTS[is_gtf]
    attributes = parsed(fields[8])
    tags = _tags(source, kind, fields[7], attributes)
    strand = fields[6]
    if strand == "?":
        tags["strand"], strand = strand, "."
    name = _name(attributes, keys)
    return chromosome_of(chrom), Entry(start - 1, end, score, strand, name, tags)


def _name(attributes: Attributes, keys: Iterable[str]) -> str:
    for key in keys:
        if key in attributes:
            return name_of(attributes[key][0], "the name")
    return ""


def unescaped(text: str) -> str:
    """A text of GFF3, with the characters that ``%`` and two digits stand for.

    Raises:
        ValueError: These are no text, with a message.
    """
    if "%" not in text:
        return text
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{shown(text)} does not stand for text in UTF-8") from None


def gff3_attributes(text: str) -> Attributes:
    """The last column of GFF3: ``key=value,value;key=value``. Raises ValueError."""
    found: Attributes = {}
    for part in text.split(";") if text != "." else ():
        key, equals, values = part.partition("=")
        key = key.strip()
        if not equals or not key:
            if not part.strip():
                continue
            raise ValueError(f"an attribute is key=value, not {shown(part)}")
        some = values.split(",")
        if "%" in part:
            key, some = unescaped(key), list(map(unescaped, some))
        found.setdefault(key, []).extend(some)
    return found


def gtf_attributes(text: str) -> Attributes:
    """The last column of GTF: ``key "value"; key "value";``. Raises ValueError."""
    found: Attributes = {}
    if text == ".":
        return found
    if _GTF_ATTRIBUTES.match(text) is None:
        raise ValueError(f'attributes are key "value";, not {shown(text)}')
    for key, quoted, bare in _GTF_ATTRIBUTE.findall(text):
        found.setdefault(key, []).append(quoted or bare)
    return found


#: How attributes are written and which of them is the name, in GFF3 (False) and in GTF.
_DIALECTS: Mapping[bool, tuple[Callable[[str], Attributes], tuple[str, ...]]] = {
    False: (gff3_attributes, _NAMES_OF_GFF3),
    True: (gtf_attributes, _NAMES_OF_GTF),
}
