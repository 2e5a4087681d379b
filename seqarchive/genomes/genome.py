"""A genome: a collection with names and provenance, whose residues are asked for by chromosome."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from ..errors import AliasConflict, Ambiguous, BadInterval, NotFound
from ..identifiers import Digest, check_interval
from ..namespaces import GENOMES
from ..readable import Collection, Readable
from ..seqcol.digests import Member
from ..seqcol.fhr import value_at
from ..sequences import ArchivedSequence, Residues
from .loci import Locus, readings_of

#: Names that are said to be near one that there is not; and names that are looked at for that.
_NEAR, _LOOKED_AT = 3, 20_000

#: What UCSC and others call the mitochondrion.
_MITOCHONDRION = {"MT": "chrM", "chrM": "MT", "M": "chrM", "chrMT": "MT"}

#: The digests that a name has in an archive, in any namespace.
Meanings = Callable[[str], "set[Digest]"]


class Genome:
    """A collection with names. As a mapping, it has its sequences by their names.

    Args:
        names: What it is called, the first one first.
        residues: Where they come from.
        meanings: What other names of sequences mean.
        is_circular: Whether a sequence is a circular molecule.
        source: Where it is from, if that is elsewhere.
    """

    def __init__(
        self,
        names: Iterable[str],
        collection: Collection,
        residues: Residues,
        *,
        meanings: Meanings = lambda _name: set(),
        is_circular: Callable[[Digest], bool] = lambda _digest: False,
        source: str | None = None,
    ) -> None:
        self.names = tuple(names)
        self.collection = collection
        self.source = source
        self._residues = residues
        self._meanings = meanings
        self._is_circular = is_circular

    def __repr__(self) -> str:
        return f"<seqarchive.Genome {self.name} ({self.digest})>"

    @property
    def digest(self) -> str:
        """That of the collection (level 0)."""
        return self.collection.digest

    @property
    def name(self) -> str:
        """Its first name; its digest if it has none."""
        return self.names[0] if self.names else self.digest

    @cached_property
    def fhr(self) -> Mapping[str, Any]:
        """What is said of it; empty if nothing is."""
        return self.collection.fhr() or {}

    @property
    def description(self) -> str | None:
        """In words."""
        return said_in(self.fhr)["description"]

    @property
    def species(self) -> str | None:
        """Its scientific name."""
        return said_in(self.fhr)["species"]

    @property
    def accession(self) -> str | None:
        """Of the assembly."""
        return said_in(self.fhr)["assembly_accession"]

    # --- sequences --------------------------------------------------------------------------------

    @cached_property
    def _members(self) -> dict[str, list[Member]]:
        found: dict[str, list[Member]] = {}
        for one in self.collection.members():
            found.setdefault(one.name, []).append(one)
        return found

    @cached_property
    def _by_digest(self) -> dict[Digest, Member]:
        return {one.digest: one for some in self._members.values() for one in some}

    def __len__(self) -> int:
        return len(self.collection)

    def __iter__(self) -> Iterator[str]:
        """The names of its sequences, in order."""
        return iter(self._members)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._found(name) is not None

    def __getitem__(self, name: str) -> ArchivedSequence:
        """A sequence by its name here, or by another name that it has: see ``member``."""
        one = self.member(name)
        return ArchivedSequence(self._residues, one.name, one.digest, one.length)

    def lengths(self) -> dict[str, int]:
        """Residues of each sequence, by name, in order."""
        return {name: some[0].length for name, some in self._members.items()}

    def member(self, name: str) -> Member:
        """The sequence of a name.

        That of the genome itself counts first; then any alias or digest that the archive has for
        one of its sequences; then the name with ``chr`` or without it.

        Raises:
            NotFound: There is none; the message has the names that are near. Ambiguous: There are
                several.
        """
        found = self._found(name)
        if found is None:
            raise NotFound(f"{self.name} has no sequence {name!r}{self._near(name)}")
        return found

    def _found(self, name: str) -> Member | None:
        some = self._members.get(name)
        if some is not None:
            if len({one.digest for one in some}) > 1:
                raise Ambiguous(
                    f"{self.name} has {len(some)} sequences {name!r}; say SQ. and a digest",
                    [f"ga4gh:SQ.{one.digest}" for one in some],
                )
            return some[0]
        meant = self._meanings(name) & self._by_digest.keys()
        if len(meant) > 1:
            names = sorted(self._by_digest[one].name for one in meant)
            raise Ambiguous(
                f"{name!r} means several sequences of {self.name}: {', '.join(names)}", names
            )
        if meant:
            return self._by_digest[meant.pop()]
        for other in _spellings(name):
            if other in self._members:
                return self._found(other)
        return None

    def _near(self, name: str) -> str:
        some = list(self._members)[:_LOOKED_AT]
        near = get_close_matches(name, some, _NEAR) or some[:_NEAR]
        return f"; there is {', '.join(near)}, ..." if near else ""

    # --- residues ---------------------------------------------------------------------------------

    def locate(self, locus: str | Locus) -> tuple[Member, int, int]:
        """A sequence and the range of it that a locus means: ``[start, end)``, from 0. Of a circle,
        an end before the start is behind the origin.

        Args:
            locus: ``NAME``, ``NAME:START`` (to the end) or ``NAME:START-END``; commas in numbers do
                not count. A sequence that has all of the text as its name is meant first.

        Raises:
            NotFound, Ambiguous: As for ``member``. BadInterval: It has no such range.
        """
        readings = readings_of(locus) if isinstance(locus, str) else [locus]
        for one in readings:
            member = self._found(one.chromosome)
            if member is None:
                continue
            try:
                start, end = check_interval(
                    one.start, one.end, member.length, circular=self._is_circular(member.digest)
                )
            except BadInterval as error:
                raise BadInterval(
                    f"{self.name} {member.name} ({member.length:,} residues): {error.message}"
                ) from None
            return member, start, end
        name = readings[-1].chromosome
        raise NotFound(f"{self.name} has no sequence {name!r}{self._near(name)}")

    def getseq(self, locus: str | Locus) -> str:
        """The residues of a locus; see ``locate``.

        Raises:
            SourceError: The genome is elsewhere, and cannot be reached. DigestMismatch, Corrupt:
                The residues are damaged.
        """
        return self.residues(*self.locate(locus))

    def residues(self, member: Member, start: int, end: int) -> str:
        """The residues ``[start, end)`` of a sequence that was located; raises as ``getseq``."""
        return self._residues.fetch_digest(member.digest, start, end)


def _spellings(name: str) -> Iterator[str]:
    """The same name as others write it."""
    if name in _MITOCHONDRION:
        yield _MITOCHONDRION[name]
    if name.startswith("chr"):
        yield name.removeprefix("chr")
    else:
        yield f"chr{name}"


def meanings_in(archive: Readable | None, name: str) -> set[Digest]:
    """The sequences that a name means in an archive; none if there is no archive."""
    if archive is None:
        return set()
    try:
        return {archive.find(name)}
    except NotFound:
        return set()
    except Ambiguous as error:
        return {archive.find(one) for one in error.candidates}


# --- what FHR says --------------------------------------------------------------------------


def said_in(document: Mapping[str, Any]) -> dict[str, str | None]:
    """What FHR says in its own places: ``species`` (the name of the taxon, or what it calls the
    genome), ``assembly_accession`` and ``description``."""

    def first(*paths: str) -> str | None:
        values = (value for path in paths for value in value_at(document, path) if value)
        return next(values, None)

    return {
        "species": first("taxon.name", "genome"),
        "assembly_accession": first("accessionID.name"),
        "description": first("documentation"),
    }


def described(
    document: Mapping[str, Any] | None, description: str | None, species: str | None
) -> dict[str, Any]:
    """What is said of a genome (FHR), with what somebody says of it.

    Args:
        description: In words; its ``documentation``.
        species: Scientific name; its ``genome``, and the name of its taxon.
    """
    found = dict(document or {})
    if description is not None:
        found["documentation"] = description
    if species is not None:
        taxon = found.get("taxon")
        known = taxon if isinstance(taxon, dict) else {}
        found["genome"] = species
        # The number of another species would contradict its name.
        same = "name" not in known or known["name"] == species
        found["taxon"] = {**(known if same else {}), "name": species}
    return found


def names_in(archive: Readable | None) -> dict[str, Digest]:
    """The names of genomes in an archive, and the digests that they mean, in its order."""
    rows = () if archive is None else archive.all_collection_aliases()
    return {alias.alias: digest for alias, digest in rows if alias.namespace == GENOMES}


def taken_from(known: Mapping[str, str], names: Iterable[str], digest: str) -> list[str]:
    """Those of some names that mean other genomes than that of a digest.

    Args:
        known: Names and the digests that they mean.
    """
    return [name for name in names if known.get(name, digest) != digest]


def require_free(known: Mapping[str, str], names: Iterable[str], digest: str) -> None:
    """Raise AliasConflict if one of some names means another genome; as ``taken_from``."""
    conflicts = [
        f"{GENOMES}:{name} is the genome {digest} here but {known[name]} already"
        for name in taken_from(known, names, digest)
    ]
    if conflicts:
        raise AliasConflict(
            f"{conflicts[0]}; nothing was changed: use --on-conflict keep or replace", conflicts
        )
