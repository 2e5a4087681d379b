"""The formats of tracks that there are, and which of them a file has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from ...errors import BadInput
from ..track import INTERVAL, SIGNAL, TABLE
from .bed import PEAK_COLUMNS, is_header
from .bigwig import MAGICS
from .documents import KEYS

_COMPRESSED = (".gz", ".bgz", ".bgzf", ".bz2", ".xz", ".zst")


@dataclass(frozen=True)
class Format:
    """How a track can be written.

    Args:
        extensions: Of names of files, in lower case; the first one is the usual one.
        reads: Which types of tracks a file of it can be.
        writes: Which types of tracks can be written so.
    """

    name: str
    description: str
    extensions: tuple[str, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    is_binary: bool = False

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "name": self.name,
            "description": self.description,
            "extensions": list(self.extensions),
            "reads": list(self.reads),
            "writes": list(self.writes),
            "binary": self.is_binary,
        }


_BOTH = (INTERVAL, SIGNAL)

#: By name.
FORMATS: Mapping[str, Format] = {
    one.name: one
    for one in (
        Format("bed", "BED, 3 to 9 columns or 12", (".bed",), (INTERVAL,), (INTERVAL,)),
        Format("narrowpeak", "narrowPeak (BED6+4)", (".narrowpeak",), (INTERVAL,), ()),
        Format("gff3", "GFF3", (".gff3", ".gff"), (INTERVAL,), ()),
        Format("gtf", "GTF", (".gtf", ".gff2"), (INTERVAL,), ()),
        Format("wig", "wiggle", (".wig",), (SIGNAL,), _BOTH),
        Format("bedgraph", "bedGraph", (".bedgraph", ".bdg", ".bg"), (SIGNAL,), _BOTH),
        Format("bigwig", "bigWig", (".bw", ".bigwig"), (SIGNAL,), _BOTH, is_binary=True),
        Format("json", "JSON", (".json",), (*_BOTH, TABLE), (*_BOTH, TABLE)),
        Format("tsv", "a table: key, tab, number", (".tsv", ".tab"), (TABLE,), (TABLE,)),
    )
}

#: Formats that look alike: the extension tells which of them it is.
_ALIKE = (frozenset(("bed", "bedgraph", "narrowpeak")), frozenset(("gff3", "gtf")))

#: Formats that nothing else looks like; of others, a line or two may only happen to look so.
_CLEAR = ("wig", "bigwig")

_OF_TRACK_LINES = {
    "wiggle_0": "wig",
    "bedgraph": "bedgraph",
    "narrowpeak": "narrowpeak",
    "bed": "bed",
}
_TRACK_TYPE = re.compile(r"\stype=[\"']?(\w+)", re.IGNORECASE)
_WHOLE = re.compile(r"(?a)\d+\Z")
_NUMBER = re.compile(r"(?ai)[+-]?(\d+(\.\d*)?(e[+-]?\d+)?|\.\d+|nan|inf)\Z")
_GTF_LIKE = re.compile(r'\S+\s+"')
_DOCUMENT = re.compile(r'\s*\{\s*(\}|")')


def without_extensions(name: str) -> str:
    """What a file is called, without what its name says of its format."""
    path = PurePath(name)
    if path.suffix.lower() in _COMPRESSED:
        path = path.with_suffix("")
    is_known = any(path.suffix.lower() in one.extensions for one in FORMATS.values())
    return path.stem if is_known else path.name


def by_extension(name: str) -> str | None:
    """The format that the name of a file says; None if it says none."""
    path = PurePath(name)
    if path.suffix.lower() in _COMPRESSED:
        path = path.with_suffix("")
    extension = path.suffix.lower()
    return next((one.name for one in FORMATS.values() if extension in one.extensions), None)


def named_format(name: str) -> str:
    """A format that somebody asked for.

    Raises:
        BadInput: There is none of that name.
    """
    found = name.lower()
    if found not in FORMATS:
        found = by_extension(f"x.{found}") or ""
    if not found:
        raise BadInput(f"there is no format {name!r}; there are {', '.join(FORMATS)}")
    return found


def format_of(name: str, head: bytes) -> str:
    """The format of a file: what its name says, unless the contents clearly say otherwise.

    Args:
        head: The first bytes, decompressed.

    Raises:
        BadInput: Neither says any.
    """
    said, seen = by_extension(name), sniffed(head)
    if said is None and seen is None:
        raise BadInput(
            f"this is no track in any known format; name one of {', '.join(FORMATS)}", file=name
        )
    if said is None or seen is None:
        return said or seen or ""
    if said == "bed" and seen == "narrowpeak":
        return seen
    if said == "gff3" and seen == "gtf" and not name.lower().endswith((".gff3", ".gff3.gz")):
        return seen
    is_another_kind = not set(FORMATS[said].reads) & set(FORMATS[seen].reads)
    if is_another_kind and seen not in _CLEAR:
        return said  # whose reader names the line that is wrong
    return said if any({said, seen} <= some for some in _ALIKE) else seen


def require_kind(name: str, form: str, kind: str) -> None:
    """Raise BadInput if the name of a file says that it is another type of track."""
    said = by_extension(name)
    if said is not None and kind not in FORMATS[said].reads:
        raise BadInput(
            f"its name says {said}, and its contents are {form}, a track of type {kind}: say the "
            f"format ({form}), or give it another name",
            file=name,
        )


def sniffed(head: bytes) -> str | None:
    """The format of a file, from how it begins; None if that says nothing.

    Args:
        head: The first bytes, decompressed.
    """
    if head[:4] in MAGICS:
        return "bigwig"
    text = head[: 1 << 16].decode("utf-8-sig", "replace")
    if _DOCUMENT.match(text) and any(f'"{key}"' in text for key in (*KEYS, "name")):
        return "json"
    lines = text.split("\n")
    if len(head) > 1 << 16:
        del lines[-1]  # it may be cut
    return next(
        (found for found in (_sniffed_line(line.rstrip("\r")) for line in lines) if found), None
    ) or _sniffed_header(lines)


def _sniffed_header(lines: list[str]) -> str | None:
    """Of a file without entries: what its comments say."""
    if any(line.startswith("##gff-version") for line in lines):
        return "gff3"
    return None


def _sniffed_line(line: str) -> str | None:
    """What the format of a line is; None of most headers."""
    if line.startswith(("fixedStep ", "variableStep ")):
        return "wig"
    if line.startswith("##gff-version 3"):
        return "gff3"
    if not line.strip() or is_header(line.encode("utf-8")):
        match = _TRACK_TYPE.search(line) if line.startswith("track") else None
        return _OF_TRACK_LINES.get(match[1].lower()) if match else None
    return _sniffed_entry(line)


def _sniffed_entry(line: str) -> str | None:
    tabs = line.split("\t")
    if len(tabs) == 9 and _are_whole(tabs[3:5]):
        return "gtf" if _GTF_LIKE.match(tabs[8]) else "gff3"
    if len(tabs) == 2 and _NUMBER.match(tabs[1]):
        return "tsv"
    fields = tabs if len(tabs) > 2 else line.split()
    if len(fields) < 3 or not _are_whole(fields[1:3]):
        return None
    if len(fields) == PEAK_COLUMNS:
        return "narrowpeak"
    return "bedgraph" if len(fields) == 4 and _NUMBER.match(fields[3]) else "bed"


def _are_whole(fields: list[str]) -> bool:
    return all(_WHOLE.match(field) for field in fields)
