"""Genomes of an archive as operations and tracks see them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import Ambiguous, BadInput, BadInterval, NotFound
from ..genomes.genome import Genome, meanings_in
from ..identifiers import Digest
from ..layouts import runs_of
from ..namespaces import GENOMES
from ..readable import Collection, Readable
from .columns import NO_INTERVALS, Intervals, Steps, joined
from .track import AnyTrack, IntervalTrack, SignalTrack, TableTrack


class ArchivedReference:
    """A collection of an archive, by chromosome.

    Args:
        archive: Asked for residues; open as long as this is used.
    """

    def __init__(self, archive: Readable, collection: Collection) -> None:
        self._archive = archive
        self._collection = collection
        self._genome = Genome(
            [alias.alias for alias in collection.aliases() if alias.namespace == GENOMES],
            collection,
            archive,
            meanings=lambda name: meanings_in(archive, name),
            is_circular=lambda digest: archive.is_circular(f"ga4gh:SQ.{digest}"),
        )

    def __repr__(self) -> str:
        return f"<ArchivedReference {self.name} ({self.digest})>"

    @property
    def name(self) -> str:
        """What it is called as a genome, else as a collection; its digest if it has no name."""
        if self.names:
            return self.names[0]
        aliases = self._collection.aliases()
        return str(aliases[0]) if aliases else self.digest

    @property
    def names(self) -> tuple[str, ...]:
        """All that it is called."""
        return self._genome.names

    @property
    def digest(self) -> Digest:
        """That of the collection."""
        return Digest(self._genome.digest)

    @property
    def n_bytes(self) -> int:
        """What it takes in memory, without the residues, which are where they were."""
        return 500 + 200 * len(self.chrom_lengths)

    @cached_property
    def chrom_lengths(self) -> dict[str, int]:
        """Chromosomes in order, with their lengths in residues."""
        return self._genome.lengths()

    def residues(self, chrom: str, start: int = 0, end: int | None = None) -> bytes:
        """Residues in upper case, 0-based and half-open.

        Raises:
            NotFound: No such chromosome. BadInterval: It is not that long.
        """
        member = self._genome.member(chrom)
        return self._archive.fetch_digest(member.digest, start, end).encode("ascii")

    def is_circular(self, chrom: str) -> bool:
        """Whether the last residue of a chromosome is before its first."""
        member = self._genome.member(chrom)
        return self._archive.is_circular(f"ga4gh:SQ.{member.digest}")

    def masked(self, chrom: str) -> NDArray[np.int64]:
        """What was in lower case: starts and ends, in two columns.

        Raises:
            BadInput: Nobody kept what was in lower case when the genome was loaded.
        """
        if not any(self._masks.values()):
            raise BadInput(
                f"what of {self.name} is in lower case is not known: load its file once more with "
                "--keep-mask (Python: keep_mask=True)"
            )
        mask = self._masks[self._genome.member(chrom).name]
        return np.array(list(runs_of(mask)), np.int64).reshape(-1, 2)

    @cached_property
    def _masks(self) -> dict[str, bytes]:
        return {one.name: one.mask for one in self._collection.records()}

    def locate(self, locus: str) -> tuple[str, int, int]:
        """A chromosome and the range of it that a locus means, ``[start, end)``.

        Args:
            locus: ``CHROM`` or ``CHROM:START-END``, from 0, half-open.

        Raises:
            NotFound: No such chromosome. BadInterval: It has no such range.
        """
        member, start, end = self._genome.locate(locus)
        if end < start:
            raise BadInterval(f"{locus}: across the origin; say what is before it, and what behind")
        return member.name, start, end

    def chromosome(self, name: str) -> str:
        """What a chromosome is called here, by any name that the archive has for it.

        Raises:
            BadInput: It has none of this name.
        """
        try:
            return self._genome.member(name).name
        except (NotFound, Ambiguous) as error:
            raise BadInput(f"{error}: a track over another genome?") from None

    def matched(self, track: AnyTrack, lengths: Mapping[str, int] | None = None) -> AnyTrack:
        """A track with the names that chromosomes have here.

        Args:
            lengths: Of its chromosomes, as the track's file says.

        Raises:
            BadInput: It is over another genome: a chromosome is not here, is longer or shorter, or
                an entry lies behind its end.
        """
        said = dict(lengths or {})
        # A wiggle does not say how long chromosomes are: only how far it reaches.
        if isinstance(track, SignalTrack) and getattr(track.bw, "are_lengths_known", True):
            said |= track.lengths
        chroms = [] if isinstance(track, TableTrack) else track.chroms
        try:
            names = {name: self.chromosome(name) for name in (*chroms, *said)}
        except BadInput as error:
            raise BadInput(f"{track.name}: {error}") from None
        for name, length in said.items():
            here = self.chrom_lengths[names[name]]
            if length != here:
                raise BadInput(
                    f"{track.name}: {name} has {length:,} residues, and {here:,} in {self.name}: "
                    "a track over another genome"
                )
        if isinstance(track, TableTrack):
            return track
        if isinstance(track, SignalTrack):
            for chrom, reach in track.lengths.items():
                self._require_inside(track.name, chrom, names[chrom], reach)
            return SignalTrack(track.source, _Renamed(track, names, self.chrom_lengths))
        return self._matched_intervals(track, names)

    def _require_inside(self, name: str, chrom: str, here: str, last: int) -> None:
        length = self.chrom_lengths[here]
        if last > length:
            raise BadInput(
                f"{name}: {chrom} goes to {last:,}, and {here} of {self.name} has {length:,} "
                "residues: a track over another genome"
            )

    def _matched_intervals(self, track: IntervalTrack, names: Mapping[str, str]) -> IntervalTrack:
        found: dict[str, Intervals] = {}
        for chrom in track.chroms:
            columns, here = track.columns(chrom), names[chrom]
            self._require_inside(track.name, chrom, here, int(columns.ends.max()))
            found[here] = joined([found.get(here, NO_INTERVALS), columns])
        return IntervalTrack.of(track.source, found)


class Chromosomes(Mapping[str, int]):
    """The chromosomes of a genome by all their names, so that a file is refused at the first line
    that is over another genome. Listed are their own names, and those that were asked for."""

    def __init__(self, reference: ArchivedReference) -> None:
        self._reference = reference
        self._found: dict[str, str | None] = {}

    def _name(self, name: object) -> str | None:
        if not isinstance(name, str):
            return None
        if name not in self._found:
            try:
                self._found[name] = self._reference.chromosome(name)
            except BadInput:
                self._found[name] = None
        return self._found[name]

    def __contains__(self, name: object) -> bool:
        return self._name(name) is not None

    def __getitem__(self, name: str) -> int:
        found = self._name(name)
        if found is None:
            raise KeyError(name)
        return self._reference.chrom_lengths[found]

    def __iter__(self) -> Iterator[str]:
        own = self._reference.chrom_lengths
        yield from own
        yield from (name for name, found in self._found.items() if found and name not in own)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _Renamed:
    """A signal whose chromosomes have other names."""

    def __init__(
        self, track: SignalTrack, names: Mapping[str, str], lengths: Mapping[str, int]
    ) -> None:
        self._track = track
        self._lengths = dict(lengths)
        self._theirs: dict[str, list[str]] = {}
        for theirs in track.chroms:
            self._theirs.setdefault(names[theirs], []).append(theirs)

    def chroms(self) -> dict[str, int]:
        return self._lengths

    def steps(self, chrom: str, start: int, end: int) -> Steps:
        some = [self._track.steps(one, start, end) for one in self._theirs.get(chrom, ())]
        try:
            return Steps.of(
                np.concatenate([np.empty(0, np.int64), *(one.starts for one in some)]),
                np.concatenate([np.empty(0, np.int64), *(one.ends for one in some)]),
                np.concatenate([np.empty(0), *(one.values for one in some)]),
            )
        except ValueError as error:
            names = " and ".join(self._theirs[chrom])
            raise BadInput(f"{self._track.name}: {names} are one, and {error}") from None

    def intervals(
        self, chrom: str, start: int, end: int
    ) -> Iterator[tuple[int, int, float]] | None:
        found = self.steps(chrom, start, end)
        return zip(found.starts.tolist(), found.ends.tolist(), found.values.tolist(), strict=True)

    @property
    def n_bytes(self) -> int:
        return self._track.n_bytes
