"""Answers: whether what a service sent is what it was asked for. Until then it is only bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

from ..errors import BadInput, NotFound, SourceError
from ..inputs import CHUNK
from ..letters import letters_in
from ..records import Group, LongRecord, Record, first_word, read_records, records_in
from .accessions import Accession, split_version

#: What a nucleotide can be called (IUPAC), and a gap.
_NUCLEOTIDES = frozenset("ACGTURYSWKMBDHVNX-")

#: Names that a message lists.
_SAID = 5


class BadAnswer(SourceError):
    """An answer that came whole, but is not what was asked for."""


class OtherVersion(NotFound):
    """The service has the record, in another version."""


def found_in(file: BinaryIO, asked: Sequence[Accession], source: str) -> dict[Accession, Accession]:
    """Which of some accessions an answer has, and in which version.

    Args:
        file: The rest of it is FASTA; it is read to the end.
        asked: All of one database.
        source: What to call the answer.

    Returns:
        Those that it has; nothing that it has is missing.

    Raises:
        BadAnswer: No FASTA, no residues, or a record that nobody asked for.
        OtherVersion: As it says.
    """
    nucleotide = asked[0].database != "protein"
    by_name: dict[str, list[Accession]] = {}
    for one in asked:
        by_name.setdefault(one.name, []).append(one)
    versions: dict[str, set[int]] = {}
    try:
        for word in _names(file, source, nucleotide=nucleotide):
            name, version = split_version(word)
            if name not in by_name or version is None:
                wanted = ", ".join(map(str, asked[:_SAID])) + (", ..." if asked[_SAID:] else "")
                raise BadAnswer(f"{source} sent {word[:80]!r} when asked for {wanted}")
            there = versions.setdefault(name, set())
            if version in there and len(by_name[name]) == 1:
                raise BadAnswer(f"{source} sent {word[:80]!r} twice")
            there.add(version)
    except BadInput as error:
        raise BadAnswer(f"what {source} sent is not right: {error}") from None
    found = {}
    for name, there in versions.items():
        for one in by_name[name]:
            if one.version is None:
                found[one] = one.of_version(max(there))
            elif one.version in there:
                found[one] = one
        unwanted = there - {found[one].version for one in by_name[name] if one in found}
        if unwanted:
            raise OtherVersion(f"asked for {by_name[name][0]}, {source} has {name}.{max(unwanted)}")
    return found


def _names(file: BinaryIO, source: str, *, nucleotide: bool) -> Iterator[str]:
    """The first words of the deflines; every record has been looked at when its name comes."""
    file_format, items = read_records(iter(lambda: file.read(CHUNK), b""), source)
    if file_format != "fasta":
        raise BadAnswer(f"{source} sent {file_format} instead of FASTA")
    for item in items:
        for defline, length, letters in _looked_at(item):
            name = first_word(defline)
            if not length:
                raise BadAnswer(f"{source} sent {name[:80]!r} without residues")
            strange = set(letters_in(letters)) - _NUCLEOTIDES
            if nucleotide and strange:
                raise BadAnswer(
                    f"{source} sent {name[:80]!r} with {min(strange)!r}, which is no nucleotide"
                )
            yield name


def _looked_at(item: Group | Record | LongRecord | BadInput) -> Iterator[tuple[str, int, int]]:
    """Defline, length and letters of each record."""
    if isinstance(item, BadInput):
        raise item
    if isinstance(item, LongRecord):
        length = letters = 0
        for residues, some in item.pieces:
            length += len(residues)
            letters |= some
        yield item.defline, length, letters
        return
    for record in records_in(item) if isinstance(item, Group) else [item]:
        if isinstance(record, BadInput):
            raise record
        yield record.defline, len(record.residues), record.letters
