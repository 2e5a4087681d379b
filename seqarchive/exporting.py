"""Export: FASTA that ``load`` takes in again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

from .identifiers import Alias, Digest
from .reader import ArchiveReader
from .records import first_word
from .several import Readers

#: Columns of a line of FASTA.
WIDTH = 60


def fasta_records(
    archive: ArchiveReader | Readers,
    identifiers: Sequence[str] | None = None,
    namespace: str | None = None,
) -> Iterator[tuple[str, Digest]]:
    """Deflines and digests of the sequences to export, each sequence once.

    A defline is ``ga4gh:SQ.`` and the digest, then all current aliases, sorted.

    Args:
        identifiers: Which sequences, in this order; all if None.
        namespace: Only sequences with an alias in it (all their aliases are written).

    Raises:
        NotFound, Ambiguous: Of an identifier. NotFound: Nothing in the namespace.
    """
    if identifiers is None:
        for digest, aliases in archive.records(namespace):
            yield _defline(digest, aliases), digest
        return
    for digest in dict.fromkeys(archive.find(identifier) for identifier in identifiers):
        yield _defline(digest, archive.aliases("sha512t24u:" + digest)), digest


def _defline(digest: Digest, aliases: Iterable[Alias]) -> str:
    return " ".join([f"ga4gh:SQ.{digest}", *map(str, aliases)])


def write_json(out: TextIO, defline: str, digest: Digest, pieces: Iterable[str]) -> None:
    """Write one record as a line of JSON. Memory is bounded."""
    said = {"id": first_word(defline), "defline": defline, "digest": digest}
    # Residues need no escapes.
    out.write(json.dumps(said, ensure_ascii=False).removesuffix("}") + ', "sequence": "')
    for piece in pieces:
        out.write(piece)
    out.write('"}\n')


def write_fasta(out: TextIO, defline: str, pieces: Iterable[str], width: int = WIDTH) -> None:
    """Write one record in lines of ``width`` residues; in one line if 0. Memory is bounded."""
    out.write(f">{defline}\n")
    rest = ""
    n_residues = 0
    for piece in pieces:
        n_residues += len(piece)
        if not width:
            out.write(piece)
            continue
        text = rest + piece
        whole = len(text) - len(text) % width
        out.write("".join(text[at : at + width] + "\n" for at in range(0, whole, width)))
        rest = text[whole:]
    if rest or (n_residues and not width):
        out.write(rest + "\n")
