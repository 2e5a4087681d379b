"""Stores of tracks and genomes on an archive: what is put there stays, and is part of its releases.

Every change is a batch like any other. What a track says decides what it is: equal contents are
one file under however many ids, and results are found whichever of these they are asked for.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

from .. import durable
from ..batches import Batch
from ..errors import BadInput, Conflict, Corrupt, Locked, NotFound, ReadOnly
from ..identifiers import check_label, digest_bytes, digest_text, visible
from ..instances import Instance
from ..namespaces import GENOMES
from ..reader import ArchiveReader
from ..shards import file_sha256
from ..track_files import TrackRow, drop_row, forget_row, track_rows
from ..verifying import file_problem
from ..writing import Writing
from .archived_reference import ArchivedReference
from .canonical import Canonical, canonical
from .catalogue import GENOME as A_GENOME
from .catalogue import (
    TRACK,
    Catalogue,
    Client,
    add_client,
    add_derivation,
    add_row,
    content_id,
    end_client,
    parsed_content_id,
)
from .computing import Turns
from .lineage import Lineage, Node, walked
from .operations import GENOME, OPERATIONS, Operation, operation_of
from .provenance import Provenance
from .quota import MAX_BYTES, Uses, too_many
from .stored import opened
from .stores import StoredTrack, StoreFull
from .track import AnyTrack, type_of
from .watching import require_wanted

#: Seconds that a finished track waits for another writer.
_PATIENCE = 600.0


def _noted_in(archive: ArchiveReader) -> Path:
    """Where uses of tracks are noted: nowhere, if the archive is elsewhere."""
    try:
        return archive.instance.directory / "used"
    except ReadOnly:
        return Path(os.devnull)


class ArchivedTrackStore:
    """Tracks on an archive, with the interface of ``TrackStore``.

    An id is a UUID, or ``TK.`` and the digest of what a track says.

    Args:
        archive: Open; of a snapshot, everything can be read. One that is read where it is
            published brings the files of a track here when it is opened.
        genome: Name, digest or id of the genome of tracks of which nothing else is said.
        max_bytes: On disk for what can be computed again.
        wait: Seconds that a change waits for another writer.
    """

    def __init__(
        self,
        archive: ArchiveReader,
        *,
        genome: str | None = None,
        max_bytes: int = MAX_BYTES,
        wait: float = _PATIENCE,
    ) -> None:
        self.archive = archive
        self.genome = genome
        self.max_bytes = max_bytes
        self._wait = wait
        self._uses = Uses(_noted_in(archive))
        self._turns = Turns()
        self._writer = threading.Lock()
        self._lengths: dict[bytes, dict[str, int]] = {}

    def __repr__(self) -> str:
        return f"<ArchivedTrackStore {self.archive.address}>"

    @property
    def _instance(self) -> Instance:
        """Raises ReadOnly for a release that is read where it is published."""
        return self.archive.instance

    @property
    def _catalogue(self) -> Catalogue:
        return Catalogue(self.archive.database.connection)

    # --- genomes ------------------------------------------------------------------------------

    def reference(self, genome: str) -> ArchivedReference:
        """A genome by its name, its digest, another alias of its collection, or its id.

        Raises:
            NotFound: There is none.
        """
        client = self._catalogue.client(genome, A_GENOME)
        if client is not None:
            genome = digest_text(client.target)
        for name in (genome, f"{GENOMES}:{genome}"):
            with suppress(NotFound):
                return ArchivedReference(self.archive, self.archive.collection(name))
        raise NotFound(f"there is no genome {genome!r} here; `genome list` says what there is")

    # --- reading ------------------------------------------------------------------------------

    def get(self, track_id: str) -> StoredTrack | None:
        """The track of an id; None if there is none.

        One that was dropped to make room is computed again, if it is the result of an operation
        of ours; else it is None.
        """
        client = self._client(track_id)
        if client is None:
            return None
        row = self._catalogue.row(client.target)
        if row is None:
            return self._recomputed(client)
        return self._stored(client, row)

    def _client(self, track_id: str) -> Client | None:
        target = parsed_content_id(track_id)
        if target is not None:
            return self._catalogue.first_of(target, TRACK)
        return self._catalogue.client(track_id, TRACK)

    def _required(self, track_id: str) -> Client:
        client = self._client(track_id)
        if client is None:
            raise NotFound(f"there is no track {track_id!r}; `track list` says what there is")
        return client

    def _stored(self, client: Client, row: TrackRow) -> StoredTrack:
        self._uses.note(digest_text(row.digest))
        lengths = self._lengths_of(row.genome)
        return StoredTrack(
            client.uuid,
            self._opened(row, client.name or content_id(row.digest), lengths),
            row.kind,
            lengths,
            client.created,
            self._catalogue.provenance_of(client.uuid),
        )

    def _lengths_of(self, genome: bytes) -> dict[str, int]:
        found = self._lengths.get(genome)
        if found is None:
            found = self.reference(digest_text(genome)).chrom_lengths
            self._lengths = {**self._lengths, genome: found} if len(self._lengths) < 16 else {}
        return found

    def _opened(self, row: TrackRow, name: str, lengths: Mapping[str, int]) -> AnyTrack:
        for path, n_bytes, sha256 in row.files:
            # The index is checked whole: a wrong one would give wrong entries without a word.
            file = self.archive.track_file(path)
            problem = file_problem(file, n_bytes, sha256 if path == row.index_path else None)
            if problem is not None:
                raise Corrupt(f"{file}: {problem[1]}; run `seqarchive verify`")
        return opened(self.archive.track_file(row.path), row.kind, name, lengths)

    def _recomputed(self, client: Client) -> StoredTrack | None:
        provenance = self._catalogue.provenance_of(client.uuid)
        if provenance is None:
            raise Corrupt(
                f"the file of track {client.uuid} is not there, and nobody knows how it was "
                "computed; run `seqarchive verify`"
            )
        known = OPERATIONS.get(provenance.operation)
        if known is None or known.version != provenance.version:
            return None
        return self.get_or_compute(
            provenance, lambda: self._run(known, provenance), genome=self._genome_in(provenance)
        )

    def lookup(self, provenance: Provenance) -> StoredTrack | None:
        """What was computed in this way, if it is there."""
        return self._found(self.with_contents(provenance))

    def _found(self, provenance: Provenance) -> StoredTrack | None:
        """The same of one that has contents for its inputs."""
        uuid = self._catalogue.derived(provenance)
        client = None if uuid is None else self._catalogue.client(uuid, TRACK)
        row = None if client is None else self._catalogue.row(client.target)
        return None if client is None or row is None else self._stored(client, row)

    def list_all(self) -> list[StoredTrack]:
        """All tracks that there are files of, ordered by creation time."""
        found = ((one, self._catalogue.row(one.target)) for one in self.clients())
        return [self._stored(client, row) for client, row in found if row is not None]

    def has(self, track_id: str) -> bool:
        """Whether there is a track of an id, be its file there or not."""
        return self._client(track_id) is not None

    def client(self, track_id: str) -> Client:
        """What is known of an id.

        Raises:
            NotFound: There is no such track.
        """
        return self._required(track_id)

    def provenance_of(self, client: Client) -> Provenance | None:
        """How a track was computed; None if it was not, or nobody said."""
        return self._catalogue.provenance_of(client.uuid)

    def genome_of(self, client: Client) -> str:
        """The digest of the genome that a track is over."""
        return digest_text(self._genome_of(client))

    def clients(self) -> list[Client]:
        """All ids of tracks with what is said of them, without opening any."""
        return self._catalogue.clients(TRACK)

    def row(self, client: Client) -> TrackRow | None:
        """The files of a track; None if they were dropped to make room."""
        return self._catalogue.row(client.target)

    def file(self, track_id: str) -> Path:
        """The file of a track, as it is kept: bgzipped BED with an index, bigWig, or TSV.

        Raises:
            NotFound: There is no such track.
        """
        client = self._required(track_id)
        row = self._catalogue.row(client.target)
        if row is None:
            if self._recomputed(client) is None:
                raise NotFound(f"track {track_id} was dropped, and cannot be computed here")
            row = self._catalogue.row(client.target)
        assert row is not None
        found = [self.archive.track_file(path) for path, _, _ in row.files]
        return found[0]

    # --- writing ------------------------------------------------------------------------------

    def put(
        self,
        track: AnyTrack,
        *,
        chroms: Mapping[str, int] | None = None,
        provenance: Provenance | None = None,
        temp_file: Any = None,
        genome: str | None = None,
        name: str | None = None,
    ) -> str:
        """Store a track and return its UUID.

        If a track with identical provenance is there, its id is returned, and nothing is stored.

        Args:
            chroms: Chromosomes with their lengths in residues, as the track's file says; the genome
                must have them so.
            provenance: How the track was produced.
            temp_file: Not needed after this; it is taken so that the interface is that of
                ``TrackStore``.
            genome: What it is over; see ``reference``.
            name: What it is called; else what the track is called.

        Raises:
            BadInput: It is over another genome. NotFound: There is no such genome.
            ReadOnly: This is a snapshot. Locked: Another writer is at it for too long.
        """
        del temp_file
        if provenance is not None:
            provenance = self.with_contents(provenance)
            with self.alone(provenance):
                found = self._found(provenance)
                return (found or self._put(track, chroms, provenance, genome, name)).id
        return self._put(track, chroms, None, genome, name).id

    def _put(
        self,
        track: AnyTrack,
        chroms: Mapping[str, int] | None,
        provenance: Provenance | None,
        genome: str | None,
        name: str | None,
    ) -> StoredTrack:
        self._require_writable()
        type_of(track)
        called = check_label(name or track.name)
        reference = self._reference_for(genome, provenance)
        matched = reference.matched(track, chroms)
        form = canonical(matched, reference.chrom_lengths, reference.digest)
        target = parsed_content_id(form.digest)
        assert target is not None
        known = None if provenance is None else self._catalogue.derived(provenance)
        client = Client(known or str(uuid4()), TRACK, called, datetime.now(timezone.utc), target)
        kind = "track put" if provenance is None else "track compute"
        with self.changing(kind) as (writing, batch):
            report: dict[str, Any] = {"track": form.digest, "id": client.uuid, "name": client.name}
            catalogue = Catalogue(batch.connection)
            row = catalogue.row(target)
            if row is not None and not self._is_sound(row):
                forget_row(batch, row)  # what comes now takes the place of the damaged files
                row = None
            if row is None:
                row = self._published(writing, form, digest_bytes(reference.digest))
                add_row(batch, row)
                report["files"] = [path for path, _, _ in row.files]
            add_client(batch, client)
            if provenance is not None:
                add_derivation(batch, provenance, client.uuid)
                report["provenance"] = provenance.as_dict()
            report["dropped"] = self._make_room(batch, row)
            writing.commit(batch, report)
            writing.remove_dropped()
        return self._stored(client, row)

    def _is_sound(self, row: TrackRow) -> bool:
        directory = self._instance.tracks
        return all(
            file_problem(directory / path, n_bytes, sha256) is None
            for path, n_bytes, sha256 in row.files
        )

    def _published(self, writing: Writing, form: Canonical, genome: bytes) -> TrackRow:
        target = parsed_content_id(form.digest)
        assert target is not None
        stem = digest_text(target)
        directory = writing.journal.temporary(stem).parent
        files = form.write(directory, stem)
        facts = [file_sha256(file) for file in files]
        paths = writing.tracks.publish(files, stem)
        n_bytes, sha256 = facts[0]
        index: tuple[str | None, int | None, bytes | None] = (None, None, None)
        if len(files) > 1:
            index = (paths[1], *facts[1])
        return TrackRow(
            0, target, genome, form.kind, form.n_entries, paths[0], n_bytes, sha256, *index, 0
        )

    def _make_room(self, batch: Batch, new: TrackRow) -> list[str]:
        """Drop computed tracks that were not used for longest, if there are too many bytes."""
        known = Catalogue(batch.connection)
        if known.n_bytes() <= self.max_bytes:
            return []
        room = self.max_bytes
        if known.can_be_recomputed(new.digest):
            room -= new.n_bytes
        if room < 0:
            raise StoreFull(
                f"the track has {new.n_bytes:,} bytes, and {self.max_bytes:,} is the room for "
                "computed tracks"
            )
        rows = [
            (row, self._uses.last(digest_text(row.digest)))
            for row in track_rows(batch.connection)
            if row.digest != new.digest and known.can_be_recomputed(row.digest)
        ]
        gone = too_many(rows, room)
        for row in gone:
            drop_row(batch, row)
            self._uses.forget(digest_text(row.digest))
        return [content_id(row.digest) for row in gone]

    def get_or_compute(
        self,
        provenance: Provenance,
        function: Callable[[], AnyTrack],
        *,
        chroms: Mapping[str, int] | None = None,
        genome: str | None = None,
        name: str | None = None,
    ) -> StoredTrack:
        """The track of a provenance; computed only if it is not there.

        Whoever asks for the same meanwhile, in whatever process, waits for the one that computes.
        If that one fails or dies, nothing is kept, and the next who waits tries.

        Args:
            function: Is called without arguments, and gives the track.
            chroms, genome, name: As for ``put``.

        Raises:
            Conflict: ``function`` asks for what it is to compute. Others: As for ``put``.
        """
        provenance = self.with_contents(provenance)
        found = self._found(provenance)
        if found is not None:
            return found
        self._require_writable()
        with self.alone(provenance):
            found = self._found(provenance)
            if found is not None:
                return found
            return self._put(function(), chroms, provenance, genome, name)

    @contextmanager
    def alone(self, provenance: Provenance) -> Iterator[None]:
        """Be the only one, of all threads and processes, who computes this."""
        path = self._instance.directory / "computing" / provenance.digest
        with self._turns.held(provenance.digest), durable.held_alone(path, require_wanted):
            yield

    def compute(
        self,
        operation: str,
        inputs: Mapping[str, str],
        params: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
    ) -> StoredTrack:
        """The result of an operation; computed only if it is not there.

        Args:
            inputs: Id of each input, by its name: a track or a genome.

        Raises:
            NotFound: No such operation, track or genome. BadInput: See ``Operation``; or tracks
                over several genomes. Others: As for ``get_or_compute``.
        """
        known = operation_of(operation)
        provenance = self.provenance(known, inputs, params or {})
        if name is not None:
            check_label(name)
        return self.get_or_compute(
            provenance,
            lambda: self._run(known, provenance),
            genome=self._genome_in(provenance),
            name=name or f"{operation} of {self._label(provenance)}",
        )

    def provenance(
        self, operation: Operation, inputs: Mapping[str, str], params: Mapping[str, Any]
    ) -> Provenance:
        """How an operation is looked up, with contents for its inputs. Raises as ``compute``."""
        operation.ordered(inputs)
        contents: dict[str, str] = {}
        genomes: set[bytes] = set()
        for one in operation.inputs:
            if one.kind == GENOME:
                contents[one.name] = self.reference(inputs[one.name]).digest
                genomes.add(digest_bytes(contents[one.name]))
            else:
                client = self._required(inputs[one.name])
                contents[one.name] = content_id(client.target)
                genomes.add(self._genome_of(client))
        if len(genomes) > 1:
            names = sorted(self.reference(digest_text(one)).name for one in genomes)
            raise BadInput(f"{operation.id}: the inputs are over {' and '.join(names)}")
        return operation.provenance(contents, params)

    def _run(self, operation: Operation, provenance: Provenance) -> AnyTrack:
        given: dict[str, Any] = {}
        for one, content in zip(operation.inputs, provenance.input_ids, strict=True):
            if one.kind == GENOME:
                given[one.name] = self.reference(content)
                continue
            stored = self.get(content)
            if stored is None:
                raise NotFound(f"{operation.id} needs {content}, which is not there any more")
            given[one.name] = stored.track
        return operation.run(given, dict(provenance.params))

    def _label(self, provenance: Provenance) -> str:
        nodes = (self.node(one) for one in provenance.input_ids)
        return " and ".join(visible(node.label) for node in nodes)

    def _genome_of(self, client: Client) -> bytes:
        row = self._catalogue.row(client.target)
        if row is not None:
            return row.genome
        provenance = self._catalogue.provenance_of(client.uuid)
        if provenance is None:
            raise Corrupt(f"the file of track {client.uuid} is not there; run `seqarchive verify`")
        return digest_bytes(self._genome_in(provenance))

    def _genome_in(self, provenance: Provenance) -> str:
        """The genome that the inputs of a computation are, or are over.

        Raises:
            NotFound: None of them is known.
        """
        for one in provenance.input_ids:
            client = self._client(one)
            if client is not None:
                return digest_text(self._genome_of(client))
            try:
                return self.reference(one).digest
            except NotFound:
                continue
        raise NotFound(f"{provenance.operation}: nobody says over which genome it is")

    def _reference_for(
        self, genome: str | None, provenance: Provenance | None
    ) -> ArchivedReference:
        if genome is not None:
            return self.reference(genome)
        if provenance is not None:
            try:
                return self.reference(self._genome_in(provenance))
            except NotFound:
                pass
        if self.genome is None:
            raise BadInput("a track needs the genome that it is over (--genome)")
        return self.reference(self.genome)

    def with_contents(self, provenance: Provenance) -> Provenance:
        """The same with contents for its inputs, so that equal ones are one."""
        return provenance.with_inputs([self._content(one) for one in provenance.input_ids])

    def _content(self, one: str) -> str:
        client = self._client(one)
        if client is not None:
            return content_id(client.target)
        genome = self._catalogue.client(one, A_GENOME)
        if genome is not None:
            return digest_text(genome.target)
        try:
            return self.reference(one).digest
        except NotFound:
            return one

    def delete(self, track_id: str, *, cascade: bool = False) -> bool:
        """Have an id mean nothing any more.

        What was put here stays on the disk until ``repair --reclaim``, and comes back with
        ``revert``; what was computed goes at once.

        Args:
            cascade: Also all that was computed from it.

        Returns:
            Whether it was there.

        Raises:
            Conflict: Others were computed from it, and ``cascade`` is not said.
        """
        client = self._client(track_id)
        if client is None:
            return False
        self._require_writable()
        with self.changing("track delete") as (writing, batch):
            catalogue = Catalogue(batch.connection)
            behind = self._behind(catalogue, client)
            if behind and not cascade:
                raise Conflict(
                    f"{track_id}: others were computed from it ({len(behind)}, such as "
                    f"{behind[0].uuid}); delete them first, or with it (--cascade)"
                )
            for one in (client, *behind):
                was_computed = catalogue.can_be_recomputed(one.target)
                end_client(batch, one)
                row = catalogue.row(one.target)
                if was_computed and row is not None and not catalogue.first_of(one.target, TRACK):
                    drop_row(batch, row)
            writing.commit(batch, {"deleted": [one.uuid for one in (client, *behind)]})
            writing.remove_dropped()
        return True

    @staticmethod
    def _behind(catalogue: Catalogue, client: Client) -> list[Client]:
        """All that was computed from a track, unless the same is there under another id."""
        if catalogue.others_of(client):
            return []
        found: dict[str, Client] = {}
        waiting = [client]
        while waiting:
            for child in catalogue.children(content_id(waiting.pop().target)):
                if child.uuid not in found and child.uuid != client.uuid:
                    found[child.uuid] = child
                    waiting.append(child)
        return list(found.values())

    # --- lineage ------------------------------------------------------------------------------

    def lineage(self, track_id: str) -> Lineage:
        """What a track was computed from, and that from what, and so on.

        Raises:
            NotFound: There is no such track.
        """
        return walked(self._required(track_id).uuid, self.node, self._inputs_of, is_down=False)

    def descendants(self, track_id: str) -> Lineage:
        """What was computed from a track or a genome, and what from that, and so on.

        Raises:
            NotFound: There is no such track or genome.
        """
        client = self._client(track_id)
        start = self.reference(track_id).digest if client is None else client.uuid
        return walked(start, self.node, self._children_of, is_down=True)

    def node(self, one: str) -> Node:
        """A track or a genome as a part of a lineage."""
        client = self._client(one)
        if client is not None:
            label = client.name or client.uuid
            return Node(client.uuid, "track", label, self._catalogue.provenance_of(client.uuid))
        try:
            return Node(one, "genome", self.reference(one).name)
        except NotFound:
            return Node(one, "unknown", one)

    def _inputs_of(self, one: str) -> list[str]:
        client = self._client(one)
        provenance = None if client is None else self._catalogue.provenance_of(client.uuid)
        if provenance is None:
            return []
        return [self.node(content).id for content in provenance.input_ids]

    def _children_of(self, one: str) -> list[str]:
        return [child.uuid for child in self._catalogue.children(self._content(one))]

    # --- changes ------------------------------------------------------------------------------

    def _require_writable(self) -> None:
        self._instance.require_writable()
        if self.archive.at is not None:
            raise ReadOnly(f"this is the archive as it was after batch {self.archive.at}")

    @contextmanager
    def changing(self, kind: str) -> Iterator[tuple[Writing, Batch]]:
        """One batch, when its turn has come."""
        with self._writer, ExitStack() as stack:
            writing = self._entered(stack)
            batch = stack.enter_context(Batch(writing.connection, kind))
            yield writing, batch

    def _entered(self, stack: ExitStack) -> Writing:
        """The right to change the archive, as soon as another writer has ended."""
        deadline, pause = time.monotonic() + self._wait, 0.01
        while True:
            try:
                return stack.enter_context(Writing(self._instance))
            except Locked:
                if time.monotonic() > deadline:
                    raise
            require_wanted()
            time.sleep(pause)
            pause = min(2 * pause, 0.5)
