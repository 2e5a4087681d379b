"""What is known without a file: the assemblies of ``bioutils``, and sequences by their digests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from .. import namespaces
from ..errors import BadName, NotFound, SeqArchiveError
from ..identifiers import digest_bytes
from .assembly import ABSENT, Assembly, Row, assemble


class Known(NamedTuple):
    """What a sequence is, whoever calls it what."""

    length: int
    digest: bytes


@cache
def known_sequences() -> dict[str, Known]:
    """Sequences whose digests are public knowledge, by RefSeq accession (see ``known.tsv``)."""
    found: dict[str, Known] = {}
    for line in Path(__file__).with_name("known.tsv").read_text("utf-8").splitlines():
        if line.startswith(("#", "accession\t")):
            continue
        accession, length, digest = line.split("\t")
        found[accession] = Known(int(length), digest_bytes(digest))
    return found


def bundled_assemblies(names: Sequence[str] = ()) -> list[Assembly]:
    """Assemblies of ``bioutils``: all, or those of these names in any spelling.

    Raises:
        SeqArchiveError: The package is not installed. NotFound: It has no such assembly.
    """
    tables = _tables()
    available = sorted(tables.get_assembly_names(), key=_as_people_count)
    chosen = [_chosen(name, available) for name in dict.fromkeys(names)] if names else available
    return [_assembly(tables.get_assembly(name)) for name in dict.fromkeys(chosen)]


def _as_people_count(name: str) -> list[tuple[str, int]]:
    """A key that has p2 before p10."""
    return [(text, int(digits or 0)) for text, digits in re.findall(r"(\D*)(\d*)", name)]


def _tables() -> ModuleType:
    try:
        from bioutils import assemblies  # noqa: PLC0415  (optional, and 30 ms)
    except ImportError:
        raise SeqArchiveError(
            "the tables of assemblies are not installed: `pip install 'seqarchive[assemblies]'`, "
            "or give the report of an assembly"
        ) from None
    tables: ModuleType = assemblies
    return tables


def _chosen(name: str, available: Iterable[str]) -> str:
    by_key = {found.lower(): found for found in available}
    try:
        key = namespaces.canonical(name).lower()
    except BadName:
        key = name.lower()
    if key in by_key:
        return by_key[key]
    near = get_close_matches(key, by_key, n=5, cutoff=0.5)
    there = f"near to it: {', '.join(by_key[one] for one in near)}" if near else "none is near"
    raise NotFound(f"there is no assembly {name!r} in bioutils ({there})")


def _assembly(table: dict[str, Any]) -> Assembly:
    rows = [
        Row(
            tuple(dict.fromkeys((one["name"], *one["aliases"]))),
            refseq=_present(one["refseq_ac"]),
            insdc=_present(one["genbank_ac"]),
            is_same=one["relationship"] == "=",
            length=one["length"],
        )
        for one in table["sequences"]
    ]
    name = namespaces.canonical(table["name"])
    return assemble(name, rows, f"bioutils, {table['name']}")


def _present(accession: str | None) -> str | None:
    return None if accession is None or accession in ABSENT else accession
