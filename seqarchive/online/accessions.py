"""Accessions: which service has a record, in which of its databases, and whose name it is.

All of it follows from the form of the accession; nobody is asked.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, replace

from .. import namespaces
from ..errors import BadName
from ..identifiers import Alias


class Service(enum.Enum):
    """Who is asked."""

    NCBI = "NCBI"
    ENSEMBL = "Ensembl"


#: GenBank, ENA and DDBJ share these forms (https://www.ncbi.nlm.nih.gov/genbank/acc_prefix/). One
#: letter is never O, P or Q: those are UniProt's.
_INSDC_NUCLEOTIDE = (
    r"(?:[A-NR-Z][0-9]{5}|[A-Z]{2}(?:[0-9]{6}|[0-9]{8})|[A-Z]{5}[0-9]{7}"
    r"|[A-Z]{4}[0-9]{2}S?[0-9]{6,8}|[A-Z]{6}[0-9]{2}S?[0-9]{7,9})"
)

#: Namespace, form, database: of Entrez (``nuccore``, ``protein``), or what Ensembl calls a type.
_FORMS: tuple[tuple[str, re.Pattern[str], str], ...] = tuple(
    (namespace, re.compile(form), database)
    for namespace, form, database in (
        # First, for some of them could be those of a sequencing project.
        ("ensembl", r"ENS[A-Z]{0,6}T[0-9]{11}", "cdna"),
        ("ensembl", r"ENS[A-Z]{0,6}P[0-9]{11}", "protein"),
        ("ensembl", r"ENS[A-Z]{0,6}[EG][0-9]{11}", "genomic"),
        ("refseq", r"(?:NM|NR|XM|XR|NC|NG|NT|NW|AC)_[0-9]{6,9}", "nuccore"),
        ("refseq", rf"NZ_{_INSDC_NUCLEOTIDE}", "nuccore"),
        ("refseq", r"(?:NP|XP|YP|WP|AP)_[0-9]{6,9}", "protein"),
        ("insdc", _INSDC_NUCLEOTIDE, "nuccore"),
        ("insdc", r"[A-Z]{3}(?:[0-9]{5}|[0-9]{7})", "protein"),
    )
)

#: Records that may be a chromosome.
_LARGE = re.compile(r"(?:NC|NT|NW|NZ|AC)_|(?:CM|CP)[0-9]")

_VERSION = re.compile(r"[1-9][0-9]{0,4}")


@dataclass(frozen=True, slots=True)
class Accession:
    """A record that a service may have; made by ``parse``."""

    namespace: str
    name: str
    """Without the version."""
    version: int | None
    """None: the newest."""
    database: str
    """``nuccore`` or ``protein`` of NCBI; ``cdna``, ``protein`` or ``genomic`` of Ensembl."""

    @property
    def service(self) -> Service:
        """Who is asked."""
        return Service.ENSEMBL if self.namespace == "ensembl" else Service.NCBI

    @property
    def alias(self) -> Alias:
        """What the record is called in an archive."""
        return Alias(self.namespace, str(self))

    @property
    def is_large(self) -> bool:
        """Whether it may be too much to be asked for together with others."""
        return _LARGE.match(self.name) is not None

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}.{self.version}"

    def of_version(self, version: int) -> Accession:
        """The same record in a version."""
        return replace(self, version=version)


def split_version(text: str) -> tuple[str, int | None]:
    """``NM_000014.6`` -> ``NM_000014`` and 6; the whole text and None if no version ends it."""
    name, dot, version = text.rpartition(".")
    if not dot or _VERSION.fullmatch(version) is None:
        return text, None
    return name, int(version)


def parse(text: str) -> Accession:
    """An accession that somebody wrote, with or without version and ``namespace:``.

    Raises:
        BadName: No accession of RefSeq, INSDC or Ensembl, or not one of that namespace.
    """
    prefix, colon, rest = text.partition(":")
    word = rest if colon else text
    name, version = split_version(word.upper() if word.isascii() else word)
    found = next((form for form in _FORMS if form[1].fullmatch(name)), None)
    if found is None:
        raise BadName(
            f"{text[:80]!r} is no accession of RefSeq, INSDC (GenBank, ENA, DDBJ) or Ensembl"
        )
    namespace, _, database = found
    if colon and namespaces.canonical(prefix) != namespace:
        raise BadName(f"{text[:80]!r}: {name} is an accession of {namespace}")
    return Accession(namespace, name, version, database)
