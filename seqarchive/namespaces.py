"""Namespaces: who gave a name. Case-insensitive going in, one spelling coming out.

A new namespace needs no registration: the archive keeps the spelling in which it first saw it.
The table below only settles the spelling of those that the field writes in several ways.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .errors import BadName

#: Canonical spelling -> what else people write. Lower case here; compared without case.
_SYNONYMS: dict[str, tuple[str, ...]] = {
    "refseq": ("ncbi",),
    "ensembl": (),
    "lrg": (),
    "insdc": ("genbank", "gb", "ena", "embl", "emb", "ddbj", "dbj"),
    "uniprot": ("uniprotkb", "swissprot", "swiss-prot", "sptrembl", "trembl"),
    "gi": (),
    "pdb": (),
    "pir": (),
    "prf": (),
    "ga4gh": (),
    "sha512t24u": (),
    "VMC": (),
    "trunc512": (),
    "sha512": (),
    "md5": (),
    "sha1": (),
    "sha256": (),
    "seguid": (),
    "T2T-CHM13v2.0": ("chm13v2.0", "t2t-chm13"),
}
_CANONICAL = {
    synonym.lower(): name for name, others in _SYNONYMS.items() for synonym in (name, *others)
}

#: Namespaces whose names are computed from the residues: looked up, never loaded.
COMPUTED = frozenset(
    {"ga4gh", "sha512t24u", "VMC", "trunc512", "sha512", "md5", "sha1", "sha256", "seguid"}
)

#: Of the names of genomes, which refgenie's programs look into.
GENOMES = "refgenie"

_ASSEMBLY = re.compile(r"(?i)(GRC)([a-z])(\d+(?:\.p\d+)?)\Z|(NCBI)(\d+)\Z|(hg|mm|rn)(\d+)\Z")
_NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+\-]{0,63}\Z")


def canonical(namespace: str) -> str:
    """The one spelling of a namespace.

    Raises:
        BadName: Not 1 to 64 of ``A-Z a-z 0-9 _ . + -``, beginning with a letter, digit or ``_``.
            (A namespace becomes part of identifiers, where ``:`` ends it, and of file names.)
    """
    known = _CANONICAL.get(namespace.lower())
    if known is not None:
        return known
    if _NAMESPACE.match(namespace) is None:
        raise BadName(
            f"{namespace!r} cannot be a namespace: "
            "use 1 to 64 letters, digits, '_', '.', '+' or '-', not beginning with a sign"
        )
    assembly = _ASSEMBLY.match(namespace)
    if assembly is None:
        return namespace
    grc, species, number, ncbi, ncbi_number, ucsc, ucsc_number = assembly.groups()
    if grc:
        return f"GRC{species.lower()}{number.lower()}"
    return f"NCBI{ncbi_number}" if ncbi else f"{ucsc.lower()}{ucsc_number}"


def is_canonical(namespace: str) -> bool:
    """Whether the table above settles the spelling, so that the archive has no say in it."""
    return namespace.lower() in _CANONICAL or _ASSEMBLY.match(namespace) is not None


def chosen(to: str | Sequence[str] | None) -> frozenset[str] | None:
    """Some namespaces, canonical and in lower case, to be looked up; None for all."""
    if to is None:
        return None
    return frozenset(canonical(name).lower() for name in ([to] if isinstance(to, str) else to))
