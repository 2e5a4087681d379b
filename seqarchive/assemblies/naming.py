"""Give sequences that are in an archive the names that assemblies have for them, as one batch."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..batches import Batch
from ..database import Database, Location
from ..errors import BadInput, NotFound
from ..identifiers import Alias, DigestKey, digest_text
from ..instances import Instance
from ..new_aliases import AliasRow, OnConflict
from ..seqcol.digests import Member, canonical_json, digests_of, level2
from ..writing import Writing
from .assembly import Assembly, AssemblySequence
from .bundled import known_sequences

#: Rows that wait for an insertion together.
_ROWS = 10_000

#: How a sequence is found, in the order of trying.
_WAYS = ("refseq", "insdc", "digest")


@dataclass(frozen=True, slots=True)
class NamingOptions:
    """How to give names.

    Args:
        on_conflict: When a name already means another sequence.
        skip_refused: Leave out sequences that cannot be what the report says, and report them,
            instead of failing.
        only_complete: Leave out assemblies of which something is missing.
        dry_run: Report what would happen; write nothing.
    """

    on_conflict: OnConflict = OnConflict.ERROR
    skip_refused: bool = False
    only_complete: bool = False
    dry_run: bool = False


@dataclass(slots=True)
class AssemblyReport:
    """What became of one assembly."""

    name: str
    source: str
    sha256: str | None
    """Of the file, if it is one."""
    sequences: int
    """In the report."""
    matched: dict[str, int]
    """Sequences that are here, by how they were found: ``refseq``, ``insdc``, ``digest``."""
    unchecked: int
    """Of these: the report has neither a length nor a digest of them."""
    missing: list[str]
    refused: list[str]
    differing: list[str]
    left_out: list[str]
    collection: str | None = None
    """Digest of the assembly as a collection, if it is here entirely."""
    is_named: bool = False
    """Whether its sequences got their names; not if it is incomplete and must not be."""
    aliases_added: int = 0
    aliases_known: int = 0
    aliases_moved: int = 0
    aliases_kept: int = 0

    @property
    def n_matched(self) -> int:
        """Sequences that are here."""
        return sum(self.matched.values())

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    def summary(self) -> dict[str, Any]:
        """The same with numbers in the place of lists that may be long."""
        return {
            name: len(value) if isinstance(value, list) else value
            for name, value in self.as_dict().items()
        }


@dataclass(slots=True)
class NamingReport:
    """What giving names did; nothing that was left out is missing here."""

    dry_run: bool
    batch: int | None = None
    """None if no name is new, too."""
    assemblies: list[AssemblyReport] = field(default_factory=list)
    aliases_added: int = 0
    aliases_known: int = 0
    aliases_moved: int = 0
    aliases_kept: int = 0
    conflicts: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return {**found, "assemblies": [one.as_dict() for one in self.assemblies]}

    def summary(self) -> dict[str, Any]:
        """What the log keeps."""
        named = [one.summary() for one in self.assemblies if one.is_named]
        return {**self.as_dict(), "assemblies": named}


def add_assembly_names(
    instance: Instance,
    assemblies: Iterable[Assembly],
    options: NamingOptions = NamingOptions(),
) -> NamingReport:
    """Name the sequences of assemblies that are in the archive, as one batch or none.

    A sequence is known by its RefSeq accession, else by its GenBank accession, else by its
    digest. It gets the names of the assembly and both accessions, if it is what they say: its
    length must be that of the report, and its digest that of its RefSeq accession where that is
    known. That something is missing is normal, and reported.

    Raises:
        NotFound: Nothing of any of them is in the archive; or, if only complete ones shall be
            named, none is complete.
        BadInput: A sequence is not what its accession says.
        AliasConflict: A name already means another sequence.
    """
    started = time.monotonic()
    instance.require()
    report = NamingReport(options.dry_run)
    with (
        Writing(instance, dry_run=options.dry_run) as writing,
        closing(Database.of(instance)) as database,
        Batch(writing.connection, "add-assembly-names") as batch,
    ):
        found = _find(database, assemblies)
        report.assemblies = [one.report() for one in found]
        _require(found, options)
        for one, about in zip(found, report.assemblies, strict=True):
            if one.matches and not (options.only_complete and one.is_incomplete):
                _give(batch, one, about, options.on_conflict)
        n_new = sum(
            _record(batch, one, about)
            for one, about in zip(found, report.assemblies, strict=True)
            if about.is_named and not one.is_incomplete
        )
        counts = batch.aliases.counts
        report.aliases_added, report.aliases_known = counts.added, counts.known
        report.aliases_moved, report.aliases_kept = counts.moved, counts.kept
        report.conflicts = counts.conflicts
        report.seconds = round(time.monotonic() - started, 3)
        if (counts.added or counts.moved or n_new) and not options.dry_run:
            report.batch = batch.id
            writing.commit(batch, report.summary())
    return report


# --- what is here -----------------------------------------------------------------------------


class _Match(NamedTuple):
    """A sequence of a report, and the one in the archive that it seems to be."""

    sequence: AssemblySequence
    location: Location
    how: str
    name: str
    """By which it was found."""


class _Refusal(NamedTuple):
    sequence: AssemblySequence
    reason: str


class _Found:
    """What of one assembly is in the archive."""

    def __init__(self, assembly: Assembly) -> None:
        self.assembly = assembly
        self.matches: list[_Match] = []
        self.refused: list[_Refusal] = []
        self.missing: Sequence[AssemblySequence] = assembly.sequences

    @property
    def is_incomplete(self) -> bool:
        return bool(self.missing or self.refused)

    def look_into(self, archive: _Archive) -> list[_Match]:
        """What is found now of what was missing."""
        missing, matches = [], []
        for sequence in self.missing:
            match = archive.match(sequence)
            if match is None:
                missing.append(sequence)
            elif reason := _objection(match):
                self.refused.append(_Refusal(sequence, reason))
            else:
                matches.append(match)
        self.missing = missing
        self.matches += matches
        return matches

    def report(self) -> AssemblyReport:
        assembly = self.assembly
        return AssemblyReport(
            assembly.name,
            assembly.source,
            assembly.sha256,
            len(assembly.sequences),
            {how: sum(match.how == how for match in self.matches) for how in _WAYS},
            sum(_is_unchecked(match.sequence) for match in self.matches),
            [str(sequence) for sequence in self.missing],
            [refusal.reason for refusal in self.refused],
            list(assembly.differing),
            list(assembly.left_out),
        )


def _is_unchecked(sequence: AssemblySequence) -> bool:
    return (
        sequence.length is None
        and sequence.md5 is None
        and sequence.refseq not in known_sequences()
    )


def _find(database: Database, assemblies: Iterable[Assembly]) -> list[_Found]:
    """Find sequences until no more are found: one report may say what accession a sequence has
    that another report calls by that accession alone."""
    every = [_Found(assembly) for assembly in assemblies]
    archive = _Archive(database, every)
    while True:
        learned: dict[Alias, Location] = {}
        for found in every:
            for match in found.look_into(archive):
                for accession in match.sequence.accessions:
                    if accession not in archive.located:
                        learned.setdefault(accession, match.location)
        if not learned:
            return every
        archive.located.update(learned)


class _Archive:
    """What accessions and digests of reports mean in an archive."""

    def __init__(self, database: Database, found: Iterable[_Found]) -> None:
        self._database = database
        self._by_digest: dict[DigestKey, list[Location]] = {}
        self.located: dict[Alias, Location] = {}
        wanted: dict[str, dict[str, None]] = {}
        for one in found:
            for sequence in one.assembly.sequences:
                for namespace, accession in sequence.accessions:
                    wanted.setdefault(namespace, {})[accession] = None
        for namespace, accessions in wanted.items():
            for accession, location in database.locate_aliases(namespace, list(accessions)):
                self.located[Alias(namespace, accession)] = location

    def match(self, sequence: AssemblySequence) -> _Match | None:
        for accession in sequence.accessions:
            location = self.located.get(accession)
            if location is not None:
                return _Match(sequence, location, accession.namespace, str(accession))
        known = known_sequences().get(sequence.refseq or "")
        keys = [DigestKey("digest", known.digest)] if known else []
        if sequence.md5 is not None:
            keys.append(DigestKey("md5", sequence.md5))
        for key in keys:
            locations = self._locate(key)
            if len(locations) == 1:
                name = f"SQ.{digest_text(locations[0].digest)}"
                return _Match(sequence, locations[0], "digest", name)
        return None

    def _locate(self, key: DigestKey) -> list[Location]:
        if key not in self._by_digest:
            self._by_digest[key] = self._database.locate(key)
        return self._by_digest[key]


def _objection(match: _Match) -> str | None:
    """Why a sequence cannot be the one that the report means, if it cannot."""
    sequence, location, _, name = match
    if sequence.length is not None and location.length != sequence.length:
        residues = f"{location.length:,} residue{'s' * (location.length != 1)}"
        return f"{name} has {residues}, the report says {sequence.length:,}"
    known = known_sequences().get(sequence.refseq or "")
    if known is not None and location.digest != known.digest:
        return (
            f"{name} is SQ.{digest_text(location.digest)} here, but refseq:{sequence.refseq} as "
            f"published is SQ.{digest_text(known.digest)}"
        )
    return None


def _require(found: Sequence[_Found], options: NamingOptions) -> None:
    """Raise unless there is something to name, and nothing that must not be."""
    refused = [(one.assembly, refusal) for one in found for refusal in one.refused]
    if refused and not options.skip_refused:
        assembly, (sequence, reason) = refused[0]
        more = f" (and {len(refused) - 1:,} more)" if len(refused) > 1 else ""
        raise BadInput(
            f"{reason}{more}; nothing was changed: use --on-error skip to leave it out",
            file=assembly.source,
            line=sequence.line or None,
        )
    if not any(one.matches for one in found):
        raise NotFound(f"nothing of {_listed(found)} is in the archive{_said_of(refused)}")
    if options.only_complete and all(one.is_incomplete or not one.matches for one in found):
        nearest = min(found, key=lambda one: len(one.missing) + len(one.refused))
        n_lacking = len(nearest.missing) + len(nearest.refused)
        raise NotFound(
            f"of {_listed(found)} nothing is complete in the archive: {nearest.assembly.name} "
            f"lacks {n_lacking:,} of {len(nearest.assembly.sequences):,} sequences"
        )


def _listed(found: Sequence[_Found]) -> str:
    names = list(dict.fromkeys(one.assembly.name for one in found))
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} assemblies"


def _said_of(refused: Sequence[tuple[Assembly, _Refusal]]) -> str:
    return f" ({len(refused):,} refused: {refused[0][1].reason})" if refused else ""


# --- what they are called ---------------------------------------------------------------------


def _give(batch: Batch, found: _Found, report: AssemblyReport, on_conflict: OnConflict) -> None:
    counts = batch.aliases.counts
    before = counts.added, counts.known, counts.moved, counts.kept
    ids: dict[str, int] = {}
    rows = []
    for sequence, location, _, _ in found.matches:
        for namespace, alias in _names(found.assembly.name, sequence):
            if namespace not in ids:
                ids[namespace] = batch.namespace_id(namespace)
            rows.append(
                AliasRow(alias, ids[namespace], location.id, found.assembly.source, sequence.line)
            )
    for at in range(0, len(rows), _ROWS):
        batch.aliases.add(rows[at : at + _ROWS], on_conflict)
    report.is_named = True
    after = counts.added, counts.known, counts.moved, counts.kept
    report.aliases_added, report.aliases_known, report.aliases_moved, report.aliases_kept = (
        now - then for now, then in zip(after, before, strict=True)
    )


def _record(batch: Batch, found: _Found, report: AssemblyReport) -> bool:
    """Record an assembly that is here entirely as a collection. Returns whether it is a new one."""
    places = {id(match.sequence): match.location for match in found.matches}
    named = [
        (sequence.names[0], places[id(sequence)])
        for sequence in found.assembly.sequences
        if sequence.names
    ]
    members = [
        Member(name, location.length, digest_text(location.digest)) for name, location in named
    ]
    digests = digests_of(members)
    report.collection = digests.digest
    if not named or batch.sources.collection_id(digests.digest) is not None:
        return False
    source_id = batch.sources.new_id()
    batch.sources.add_records(
        (source_id, n, location.id, name) for n, (name, location) in enumerate(named, 1)
    )
    text = canonical_json(level2(members))
    collection_id = batch.sources.add_collection(
        digests,
        n_members=len(members),
        n_residues=sum(member.length for member in members),
        source_id=source_id,
    )
    batch.sources.add(
        f"assembly {found.assembly.name}",
        size_bytes=len(text),
        sha256=hashlib.sha256(text).digest(),
        file_format="collection",
        compression="none",
        n_records=len(members),
        source_id=source_id,
        collection_id=collection_id,
    )
    return True


def _names(assembly: str, sequence: AssemblySequence) -> list[Alias]:
    return [*(Alias(assembly, name) for name in sequence.names), *sequence.accessions]
