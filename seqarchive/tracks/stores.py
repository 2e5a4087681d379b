"""Stores of tracks and of genomes in memory: what was computed once is not computed again.

Safe for threads. Bounded in bytes: what was used longest ago goes first, if it can be computed
again; what cannot stays, and when there is no room for more, more is refused.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Generic, TypeVar
from uuid import uuid4

from ..errors import Conflict, NotFound
from .computing import Turns
from .lineage import Lineage, Node, walked
from .provenance import Provenance
from .reference import Reference
from .track import SignalTrack, Track, type_of

#: Bytes that a store keeps if nothing else is said.
MAX_BYTES = 1 << 30


class StoreFull(Conflict):
    """There is no room, and nothing that could go."""


@dataclass(slots=True)
class StoredTrack:
    """A track stored in a store of tracks with metadata.

    Args:
        id: UUID string.
        track_type: ``interval``, ``signal`` or ``table``.
        chroms: Chromosomes with their lengths in residues, if they are known.
        created_at: When it was stored, UTC.
        provenance: How it was produced; None if nobody said.
        temp_file: Kept as long as the track, such as a handle that it reads.
    """

    id: str
    track: Track
    track_type: str
    chroms: dict[str, int]
    created_at: datetime | None = None
    provenance: Provenance | None = None
    temp_file: Any = None


@dataclass(slots=True)
class StoredGenome:
    """A genome stored in a store of genomes with metadata.

    Examples:
        >>> from seqarchive.tracks import Genome
        >>> g = Genome("test", {}, {"chr1": "ATCG"}, (), {})
        >>> sg = StoredGenome("abc", g)
        >>> sg.chrom_lengths
        {'chr1': 4}
    """

    id: str
    genome: Reference
    created_at: datetime | None = None
    provenance: Provenance | None = None

    @property
    def chrom_lengths(self) -> dict[str, int]:
        """Chromosomes with their lengths in residues."""
        return dict(self.genome.chrom_lengths)


Stored = TypeVar("Stored", StoredTrack, StoredGenome)


@dataclass(slots=True)
class _Entry(Generic[Stored]):
    """One id of a store; ``stored`` is None while what it had is not there."""

    stored: Stored | None
    provenance: Provenance | None
    label: str
    n_bytes: int
    number: int
    can_be_recomputed: bool


class _Store(Generic[Stored]):
    """What both stores do.

    Args:
        max_bytes: What is kept, in bytes as objects count themselves (``n_bytes``).
    """

    _kind: str

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self._lock = threading.RLock()
        self._turns = Turns()
        self._entries: dict[str, _Entry[Stored]] = {}
        self._recent: dict[str, None] = {}  # ids of what can go, the one used last at the end
        self._by_provenance: dict[str, str] = {}
        self._children: dict[str, dict[str, None]] = {}
        self._n_bytes = 0
        self._number = 0

    @property
    def n_bytes(self) -> int:
        """What is kept now, in bytes."""
        return self._n_bytes

    def __len__(self) -> int:
        with self._lock:
            return sum(entry.stored is not None for entry in self._entries.values())

    def _get(self, id: str) -> Stored | None:
        with self._lock:
            entry = self._entries.get(id)
            if entry is None or entry.stored is None:
                return None
            self._use(id)
            return entry.stored

    def _use(self, id: str) -> None:
        if id in self._recent:
            del self._recent[id]
            self._recent[id] = None

    def lookup(self, provenance: Provenance) -> Stored | None:
        """What was computed in this way, if it is there."""
        with self._lock:
            id = self._by_provenance.get(provenance.digest)
            return None if id is None else self._get(id)

    def list_all(self) -> list[Stored]:
        """All that is there, ordered by creation time."""
        with self._lock:
            entries = sorted(self._entries.values(), key=lambda entry: entry.number)
            return [entry.stored for entry in entries if entry.stored is not None]

    def _put(
        self,
        make: Callable[[str], Stored],
        n_bytes: int,
        label: str,
        provenance: Provenance | None,
        *,
        has_function: bool = False,
    ) -> Stored:
        with self._lock:
            id = None if provenance is None else self._by_provenance.get(provenance.digest)
            known = None if id is None else self._entries[id]
            if known is not None and known.stored is not None and id is not None:
                self._use(id)
                return known.stored
            can_be_recomputed = provenance is not None and (
                has_function or all(one in self._entries for one in provenance.input_ids)
            )
            self._make_room(n_bytes)
            id = id or str(uuid4())
            stored = make(id)
            self._number += 1
            self._entries[id] = _Entry(
                stored,
                provenance,
                label,
                n_bytes,
                self._number,
                can_be_recomputed,
            )
            self._n_bytes += n_bytes
            if can_be_recomputed:
                self._recent[id] = None
            if provenance is not None:
                self._by_provenance[provenance.digest] = id
                for one in provenance.input_ids:
                    self._children.setdefault(one, {})[id] = None
            return stored

    def _make_room(self, n_bytes: int) -> None:
        """Have what was used longest ago go.

        Raises:
            StoreFull: What cannot be computed again takes too much.
        """
        evictable = sum(self._entries[id].n_bytes for id in self._recent)
        if self._n_bytes - evictable + n_bytes > self.max_bytes:
            raise StoreFull(
                f"{n_bytes:,} bytes more do not fit: {self._n_bytes - evictable:,} of "
                f"{self.max_bytes:,} are taken by what cannot be computed again"
            )
        while self._n_bytes + n_bytes > self.max_bytes:
            id = next(iter(self._recent))
            del self._recent[id]
            self._entries[id].stored = None
            self._n_bytes -= self._entries[id].n_bytes
            self._entries[id].n_bytes = 0

    def _compute(self, provenance: Provenance, compute: Callable[[], Stored]) -> Stored:
        """Look up; or else compute and store, while others who want the same wait."""
        found = self.lookup(provenance)
        if found is not None:
            return found
        with self._turns.held(provenance.digest):
            found = self.lookup(provenance)
            if found is not None:
                return found
            return compute()

    def delete(self, id: str, *, cascade: bool = False) -> bool:
        """Remove something.

        Args:
            cascade: Also all that was computed from it.

        Returns:
            Whether it was there.

        Raises:
            Conflict: Others were computed from it, and ``cascade`` is not said.
        """
        with self._lock:
            if id not in self._entries:
                return False
            behind: list[str] = self.descendants(id).ids
            if behind and not cascade:
                raise Conflict(
                    f"{id}: others were computed from it ({len(behind)}, such as {behind[0]}); "
                    "delete them first, or with it (cascade)"
                )
            for one in (id, *behind):
                self._forget(one)
            return True

    def _forget(self, id: str) -> None:
        entry = self._entries.pop(id)
        self._recent.pop(id, None)
        self._n_bytes -= entry.n_bytes
        if entry.provenance is not None:
            del self._by_provenance[entry.provenance.digest]
            for one in entry.provenance.input_ids:
                children = self._children.get(one, {})
                children.pop(id, None)
                if not children:
                    self._children.pop(one, None)

    def _node(self, id: str) -> Node:
        entry = self._entries.get(id)
        if entry is None:
            return Node(id, "unknown", id)
        return Node(id, self._kind, entry.label, entry.provenance)

    def _inputs(self, id: str) -> Iterator[str]:
        entry = self._entries.get(id)
        if entry is not None and entry.provenance is not None:
            yield from entry.provenance.input_ids

    def lineage(self, id: str) -> Lineage:
        """What something was computed from, and that from what, and so on.

        Raises:
            NotFound: There is no such id.
        """
        with self._lock:
            self._require(id)
            return walked(id, self._node, self._inputs, is_down=False)

    def descendants(self, id: str) -> Lineage:
        """What was computed from something, and what from that, and so on.

        Raises:
            NotFound: There is no such id, and nothing that was computed from it.
        """
        with self._lock:
            if id not in self._children:
                self._require(id)
            return walked(
                id, self._node, lambda one: list(self._children.get(one, ())), is_down=True
            )

    def _require(self, id: str) -> None:
        if id not in self._entries:
            raise NotFound(f"there is no {self._kind} {id}")


class TrackStore(_Store[StoredTrack]):
    """In-memory store for tracks, with provenance-based caching.

    Examples:
        >>> from seqarchive.tracks import IntervalTrack, TrackLabel
        >>> store = TrackStore()
        >>> tid = store.put(IntervalTrack(TrackLabel("t"), []))
        >>> len(store.list_all())
        1
    """

    _kind = "track"

    def put(
        self,
        track: Track,
        *,
        chroms: Mapping[str, int] | None = None,
        provenance: Provenance | None = None,
        temp_file: Any = None,
    ) -> str:
        """Store a track and return its UUID.

        If a track with identical provenance is there, its id is returned, and nothing is stored.

        Args:
            chroms: Chromosomes with their lengths in residues.
            provenance: How the track was produced.
            temp_file: Kept as long as the track.

        Raises:
            StoreFull: There is no room. BadInput: It is no kind of track.
        """
        return self._put_track(track, chroms, provenance, temp_file).id

    def _put_track(
        self,
        track: Track,
        chroms: Mapping[str, int] | None,
        provenance: Provenance | None,
        temp_file: Any,
        *,
        has_function: bool = False,
    ) -> StoredTrack:
        kind = type_of(track)
        if chroms is None and isinstance(track, SignalTrack):
            chroms = track.lengths

        def make(id: str) -> StoredTrack:
            return StoredTrack(id, track, kind, dict(chroms or {}), _now(), provenance, temp_file)

        return self._put(make, size_of(track), track.name, provenance, has_function=has_function)

    def get(self, track_id: str) -> StoredTrack | None:
        """The track of an id; None if there is none, or none any more."""
        return self._get(track_id)

    def get_or_compute(
        self,
        provenance: Provenance,
        function: Callable[[], Track],
        *,
        chroms: Mapping[str, int] | None = None,
    ) -> StoredTrack:
        """The track of a provenance; computed only if it is not there.

        Whoever asks for the same meanwhile waits for the one that computes. If that one fails,
        its error is raised to it alone, nothing is kept, and the next who waits tries.

        Args:
            function: Is called without arguments, and gives the track.
            chroms: Chromosomes with their lengths in residues.

        Raises:
            StoreFull: There is no room. Conflict: ``function`` asks for what it is to compute.
        """

        def compute() -> StoredTrack:
            return self._put_track(function(), chroms, provenance, None, has_function=True)

        return self._compute(provenance, compute)


class GenomeStore(_Store[StoredGenome]):
    """In-memory store for genomes.

    Examples:
        >>> from seqarchive.tracks import Genome
        >>> store = GenomeStore()
        >>> id = store.put(Genome("test", {}, {"chr1": "ATCG"}, (), {}))
        >>> store.get(id).chrom_lengths
        {'chr1': 4}
    """

    _kind = "genome"

    def put(self, genome: Reference, *, provenance: Provenance | None = None) -> str:
        """Store a genome and return its UUID.

        Raises:
            StoreFull: There is no room.
        """
        return self._put_genome(genome, provenance).id

    def _put_genome(
        self, genome: Reference, provenance: Provenance | None, *, has_function: bool = False
    ) -> StoredGenome:
        return self._put(
            lambda id: StoredGenome(id, genome, _now(), provenance),
            size_of(genome),
            genome.name,
            provenance,
            has_function=has_function,
        )

    def get(self, genome_id: str) -> StoredGenome | None:
        """The genome of an id; None if there is none, or none any more."""
        return self._get(genome_id)

    def get_or_compute(
        self, provenance: Provenance, function: Callable[[], Reference]
    ) -> StoredGenome:
        """The genome of a provenance; computed only if it is not there. See ``TrackStore``."""

        return self._compute(
            provenance, lambda: self._put_genome(function(), provenance, has_function=True)
        )


def size_of(thing: Any) -> int:
    """Bytes of a track or a genome: what it says itself, or what Python knows."""
    said = getattr(thing, "n_bytes", None)
    return said if isinstance(said, int) else sys.getsizeof(thing)


def _now() -> datetime:
    return datetime.now(timezone.utc)
