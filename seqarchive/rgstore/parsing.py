"""Files of a RefgetStore that anybody may have written, parsed once, here.

Digests, namespaces, templates and lengths become paths and sizes of reads: none of them gets past
this module that could leave the store.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from ..errors import Corrupt, NewerFormat
from .alphabets import Alphabet, labelled
from .layout import VERSION, Mode

_DIGEST = re.compile(r"[A-Za-z0-9_-]{32}\Z", re.ASCII)
_MD5 = re.compile(r"[0-9a-f]{32}\Z", re.ASCII)
_NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}\Z", re.ASCII)
_PATH = re.compile(r"[A-Za-z0-9_.%-]+(/[A-Za-z0-9_.%-]+)*\Z", re.ASCII)
_NUMBER = re.compile(r"\d{1,15}\Z", re.ASCII)

#: Characters of a path, and of what is shown of something wrong.
_MAX_PATH, _SHOWN = 1024, 60

#: Residues of a sequence at most: the largest genomes have chromosomes of some 10^10.
_LONGEST = 1 << 44


class Manifest(NamedTuple):
    """What ``rgstore.json`` says."""

    mode: Mode
    sequence_template: str
    sequence_index: str
    collection_index: str | None
    sequence_namespaces: tuple[str, ...]
    collection_namespaces: tuple[str, ...]
    digests: dict[str, str]
    """Of index files, SHA-256: those of ``collections``, ``sequences``, ``aliases``, ``fhr`` that
    it has."""
    logical_bytes: int | None
    created_at: str
    modified: str | None = None
    """When it was last written, as far as it says."""

    def payload(self, digest: str) -> str:
        """The path of a payload."""
        path = self.sequence_template
        for mark, text in (("%s2", digest[:2]), ("%s4", digest[:4]), ("%s", digest)):
            path = path.replace(mark, text)
        return path


def parse_manifest(data: bytes, where: str) -> Manifest:
    """Read ``rgstore.json``.

    Raises:
        Corrupt: It is none, or names paths outside of the store, or a mode that is not known.
        NewerFormat: It has another version.
    """
    try:
        found = json.loads(data)
        version, mode = found["version"], found["mode"]
        if type(version) is not int:
            raise ValueError("the version is no number")
        if version != VERSION:
            raise NewerFormat(
                f"{where} has version {version}, this seqarchive knows {VERSION}; install a newer "
                "seqarchive"
            )
        if mode not in ("Raw", "Encoded"):
            raise ValueError(f"the mode {_shown(mode)} is not known here")
        template = _path(found["seqdata_path_template"])
        if "%s" not in template.replace("%s2", "").replace("%s4", ""):
            raise ValueError(f"the template {_shown(template)} does not tell sequences apart")
        index = found.get("collection_index")
        logical = found.get("logical_sequence_bytes")
        if logical is not None and type(logical) is not int:
            raise ValueError("logical_sequence_bytes is no number")
        return Manifest(
            Mode(mode),
            template,
            _path(found["sequence_index"]),
            None if index is None else _path(index),
            _namespaces(found.get("sequence_alias_namespaces", [])),
            _namespaces(found.get("collection_alias_namespaces", [])),
            {
                name: str(found[f"{name}_digest"])
                for name in ("collections", "sequences", "aliases", "fhr")
                if found.get(f"{name}_digest") is not None
            },
            logical,
            str(found["created_at"]),
            None if found.get("modified") is None else str(found["modified"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Corrupt(f"{where}: {error or 'not a manifest'}") from None


def _path(value: Any) -> str:
    if (
        not isinstance(value, str)
        or len(value) > _MAX_PATH
        or _PATH.match(value) is None
        or ".." in value.split("/")
    ):
        raise ValueError(f"{_shown(value)} is no path in a store")
    return value


def _shown(value: Any) -> str:
    return repr(value)[:_SHOWN]


def is_digest(text: str) -> bool:
    """Whether a text can be a digest, of a sequence or of a collection."""
    return _DIGEST.match(text) is not None


def _namespaces(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError("namespaces are a list of names")
    for name in value:
        if _NAMESPACE.match(name) is None:
            raise ValueError(f"{_shown(name)} is no namespace")
    return tuple(dict.fromkeys(value))


class Row(NamedTuple):
    """A sequence in an index or in the list of a collection."""

    name: str
    length: int
    alphabet: Alphabet
    digest: str
    md5: str
    description: str


def parse_row(line: str) -> Row:
    """A row of ``sequences.rgsi`` or of the list of a collection, without its line end.

    Raises:
        ValueError: It is none; says why.
    """
    cells = line.split("\t")
    if len(cells) not in (5, 6):
        raise ValueError(f"{len(cells)} cells instead of 6")
    name, length, label, digest, md5 = cells[:5]
    alphabet = labelled(label)
    if _NUMBER.match(length) is None or int(length) > _LONGEST:
        raise ValueError(f"the length {length[:40]!r}")
    if alphabet is None:
        raise ValueError(f"the alphabet {label[:40]!r}")
    if _DIGEST.match(digest) is None:
        raise ValueError(f"the digest {digest[:60]!r}")
    if _MD5.match(md5) is None:
        raise ValueError(f"the MD5 {md5[:60]!r}")
    return Row(name, int(length), alphabet, digest, md5, cells[5] if len(cells) == 6 else "")


class CollectionRow(NamedTuple):
    """A collection in its index."""

    digest: str
    n_members: int
    attributes: dict[str, str]
    """Name of an attribute -> digest, as far as the row has them."""


#: Attributes in the index of collections.
ATTRIBUTE_COLUMNS = (
    "names",
    "sequences",
    "lengths",
    "name_length_pairs",
    "sorted_name_length_pairs",
    "sorted_sequences",
)


def parse_collection_row(line: str) -> CollectionRow:
    """A row of ``collections.rgci``, without its line end.

    Raises:
        ValueError: It is none; says why.
    """
    cells = line.split("\t")
    if len(cells) not in (5, 8):
        raise ValueError(f"{len(cells)} cells instead of 8")
    digest, count, *rest = cells
    if _NUMBER.match(count) is None:
        raise ValueError(f"the number of sequences {count[:40]!r}")
    for one in (digest, *filter(None, rest)):
        if _DIGEST.match(one) is None:
            raise ValueError(f"the digest {one[:60]!r}")
    attributes = {name: one for name, one in zip(ATTRIBUTE_COLUMNS, rest, strict=False) if one}
    return CollectionRow(digest, int(count), attributes)


def parse_header(line: str) -> tuple[str, str] | None:
    """A line ``##name_digest=...`` of the list of a collection: attribute and digest.

    Raises:
        ValueError: It is one, but its digest is none.
    """
    key, equals, value = line[2:].partition("=")
    if not line.startswith("##") or not equals or not key.endswith("_digest"):
        return None
    if _DIGEST.match(value) is None:
        raise ValueError(f"the digest {value[:60]!r} of {key[:40]}")
    return key.removesuffix("_digest"), value
