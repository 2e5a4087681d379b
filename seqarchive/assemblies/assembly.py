"""An assembly: its sequences, and which of them has which name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .. import namespaces
from ..errors import BadInput, BadName
from ..identifiers import Alias

#: What stands where nothing is known.
ABSENT = frozenset({"", "na", "n/a"})

#: As a namespace can be.
_LONGEST_NAME = 64

#: Namespaces of accessions: no assembly may be called so.
_OF_ACCESSIONS = frozenset({"refseq", "insdc"})


class AssemblySequence(NamedTuple):
    """One sequence of an assembly. All its accessions mean this very sequence."""

    names: tuple[str, ...]
    """In the namespace of the assembly."""
    refseq: str | None
    insdc: str | None
    length: int | None
    md5: bytes | None
    line: int
    """That says so; 0 if it is in no file."""

    @property
    def accessions(self) -> list[Alias]:
        """RefSeq's first: what it says counts for more."""
        found = (("refseq", self.refseq), ("insdc", self.insdc))
        return [Alias(namespace, text) for namespace, text in found if text is not None]

    def __str__(self) -> str:
        words = [*self.names[:1], *map(str, self.accessions[:1])]
        return " ".join(words) or f"line {self.line}"


class Assembly(NamedTuple):
    """The sequences of an assembly, and what a report of them had to leave out."""

    name: str
    """The namespace of the names, in its canonical spelling."""
    sequences: tuple[AssemblySequence, ...]
    source: str
    differing: tuple[str, ...] = ()
    """GenBank's sequences that are not RefSeq's, which has their names."""
    left_out: tuple[str, ...] = ()
    """What cannot be an alias or an accession."""
    sha256: str | None = None
    """Of the file, if it is one."""


class Row(NamedTuple):
    """What a report says of one sequence, or of GenBank's and RefSeq's versions of one."""

    names: tuple[str, ...]
    refseq: str | None = None
    insdc: str | None = None
    is_same: bool = True
    """Whether the two accessions mean the same residues (``=``, not ``<>``)."""
    length: int | None = None
    md5: bytes | None = None
    line: int = 0


def assembly_name(text: str) -> str:
    """What an assembly can be called.

    Raises:
        BadName: No namespace, or one that is not an assembly's.
    """
    if len(text) > _LONGEST_NAME:
        raise BadName(f"{text[:40]!r}... is too long for the name of an assembly")
    name = namespaces.canonical(text)
    if name in namespaces.COMPUTED or name in _OF_ACCESSIONS:
        raise BadName(f"{name} is a namespace of its own and cannot be the name of an assembly")
    return name


def assemble(name: str, rows: Iterable[Row], source: str, left_out: Sequence[str] = ()) -> Assembly:
    """The sequences of an assembly, each name and each accession with exactly one of them.

    Where GenBank's and RefSeq's sequences differ (``<>``; NCBI also writes a line for each, with
    one name), none gets the accession of the other, and the names of the assembly are RefSeq's,
    GenBank's only where there is none of RefSeq. It does not matter which of them an archive
    has: a name must not depend on what was loaded first.

    Raises:
        BadInput: Two rows have the same accession or, without that excuse, the same name.
    """
    said = list(rows)
    _check_accessions(said, source)
    differing = [
        f"insdc:{row.insdc} differs from refseq:{row.refseq}"
        for row in said
        if not row.is_same and row.refseq and row.insdc
    ]
    given = [row if row.is_same or not row.refseq else row._replace(insdc=None) for row in said]
    owners = _owners(given, source)
    sequences = []
    for row in given:
        names = tuple(alias for alias in row.names if owners[alias] is row)
        if names or not row.names:
            sequences.append(
                AssemblySequence(names, row.refseq, row.insdc, row.length, row.md5, row.line)
            )
        elif row.insdc:
            differing.append(f"insdc:{row.insdc} differs from refseq:{owners[row.names[0]].refseq}")
    return Assembly(name, tuple(sequences), source, tuple(differing), tuple(left_out))


def _check_accessions(rows: Iterable[Row], source: str) -> None:
    taken: dict[str, Row] = {}
    for row in rows:
        for accession in filter(None, (row.refseq, row.insdc)):
            if (other := taken.setdefault(accession, row)) is not row:
                raise _claimed_twice(accession, other, row, source)


def _owners(rows: Iterable[Row], source: str) -> dict[str, Row]:
    """Whose each name is."""
    owners: dict[str, Row] = {}
    for row in rows:
        for alias in row.names:
            other = owners.setdefault(alias, row)
            if other is row:
                continue
            if _gives_way(other, row):
                owners[alias] = row
            elif not _gives_way(row, other):
                raise _claimed_twice(alias, other, row, source)
    return owners


def _gives_way(row: Row, other: Row) -> bool:
    """Whether one row is GenBank's version of what another has from RefSeq."""
    return not (row.is_same or other.is_same or row.refseq) and other.refseq is not None


def _claimed_twice(what: str, first: Row, second: Row, source: str) -> BadInput:
    where = f"line {first.line} has it" if first.line else "another sequence has it"
    return BadInput(f"{what!r} comes twice: {where} too", file=source, line=second.line or None)
