"""Genomes of clients on an archive: an id for a collection that is there, or that is put there."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import Any
from uuid import uuid4

from ..deflines import Naming
from ..errors import BadInput, Conflict, NotFound
from ..identifiers import Alias, Digest, check_alias, check_label, digest_bytes, digest_text
from ..load_options import LoadOptions
from ..loading import load
from ..namespaces import GENOMES
from ..reader import ArchiveReader
from .archived import ArchivedTrackStore
from .archived_reference import ArchivedReference
from .catalogue import GENOME, Catalogue, Client, add_client, add_derivation, end_client
from .provenance import Provenance
from .reference import Reference
from .stores import StoredGenome

#: Residues of a line of the file from which a genome is loaded.
_WIDTH = 1 << 16


class ArchivedGenomeStore:
    """Genomes on an archive, with the interface of ``GenomeStore``.

    An id is a UUID, or what a collection of the archive is called: its digest, a name, an alias.

    Args:
        tracks: The store of tracks of the same archive.
    """

    def __init__(self, tracks: ArchivedTrackStore) -> None:
        self._tracks = tracks
        self.archive: ArchiveReader = tracks.archive

    def put(
        self,
        genome: Reference,
        *,
        provenance: Provenance | None = None,
        names: Iterable[str] = (),
        name: str | None = None,
    ) -> str:
        """Store a genome, with what of it is in lower case, and return its UUID.

        If one with identical provenance is there, its id is returned, and nothing is stored.

        Args:
            names: Under which it is registered (see ``genome list``).
            name: What is said of the id; else what the genome is called.

        Raises:
            BadInput: Not residues. AliasConflict: A name means another genome already.
        """
        if provenance is not None:
            return self.get_or_compute(provenance, lambda: genome, names=names).id
        return self._put(genome, None, names, name).id

    def _put(
        self,
        genome: Reference,
        provenance: Provenance | None,
        names: Iterable[str],
        name: str | None = None,
    ) -> StoredGenome:
        aliases = tuple(Alias(GENOMES, check_alias(name)) for name in names)
        called = check_label(name or genome.name)
        if isinstance(genome, ArchivedReference):
            digest: str = genome.digest
        else:
            digest = self._loaded(genome, aliases)
        now = datetime.now(timezone.utc)
        target = digest_bytes(digest)
        client = Client(str(uuid4()), GENOME, called, now, target)
        with self._tracks.changing("genome put") as (writing, batch):
            add_client(batch, client)
            if provenance is not None:
                add_derivation(batch, provenance, client.uuid)
            writing.commit(batch, {"genome": str(digest), "id": client.uuid, "name": client.name})
        return self._stored(client, provenance)

    def _loaded(self, genome: Reference, aliases: tuple[Alias, ...]) -> str:
        """The digest of the collection that a genome is, after it was loaded."""
        circular = frozenset(name for name in genome.chrom_lengths if genome.is_circular(name))
        with tempfile.NamedTemporaryFile("wb", suffix=".fa") as file:
            for chrom in genome.chrom_lengths:
                if not chrom or not chrom.isprintable() or chrom.split() != [chrom]:
                    raise BadInput(f"{genome.name}: {chrom!r} cannot be the name of a chromosome")
                file.write(f">{chrom}\n".encode())
                text = bytearray(genome.residues(chrom))
                for start, end in genome.masked(chrom).tolist():
                    text[start:end] = text[start:end].lower()
                for at in range(0, len(text), _WIDTH):
                    file.write(text[at : at + _WIDTH] + b"\n")
            file.flush()
            options: dict[str, Any] = {"keep_mask": True, "circular": circular}
            report = load(
                self.archive.instance,
                [file.name],
                LoadOptions(Naming(""), collections=aliases, **options),
                kind="genome load",
            )
        found: str = report.files[0]["collection"]
        return found

    def get(self, genome_id: str) -> StoredGenome | None:
        """The genome of an id; None if there is none."""
        catalogue = Catalogue(self.archive.database.connection)
        client = catalogue.client(genome_id, GENOME)
        if client is not None:
            return self._stored(client, catalogue.provenance_of(client.uuid))
        try:
            reference = self._tracks.reference(genome_id)
        except NotFound:
            return None
        client = catalogue.first_of(digest_bytes(reference.digest), GENOME)
        if client is not None:
            return self._stored(client, catalogue.provenance_of(client.uuid))
        return StoredGenome(reference.digest, reference)

    def _stored(self, client: Client, provenance: Provenance | None) -> StoredGenome:
        reference = self._tracks.reference(digest_text(client.target))
        return StoredGenome(client.uuid, reference, client.created, provenance)

    def name_of(self, genome_id: str) -> str | None:
        """What was said of an id when it was stored; None if it is no UUID of a genome."""
        client = Catalogue(self.archive.database.connection).client(genome_id, GENOME)
        return None if client is None else client.name

    def lookup(self, provenance: Provenance) -> StoredGenome | None:
        """What was computed in this way, if it is there."""
        provenance = self._tracks.with_contents(provenance)
        uuid = Catalogue(self.archive.database.connection).derived(provenance)
        return None if uuid is None else self.get(uuid)

    def get_or_compute(
        self,
        provenance: Provenance,
        function: Callable[[], Reference],
        *,
        names: Iterable[str] = (),
    ) -> StoredGenome:
        """The genome of a provenance; computed only if it is not there. See
        ``ArchivedTrackStore``."""
        provenance = self._tracks.with_contents(provenance)
        found = self.lookup(provenance)
        if found is not None:
            return found
        with self._tracks.alone(provenance):
            found = self.lookup(provenance)
            return found or self._put(function(), provenance, names)

    def list_all(self) -> list[StoredGenome]:
        """Genomes with ids of clients, ordered by creation time, and then those that are
        registered by name alone, whose ids are their digests."""
        catalogue = Catalogue(self.archive.database.connection)
        clients = catalogue.clients(GENOME)
        found = [self._stored(one, catalogue.provenance_of(one.uuid)) for one in clients]
        known = {digest_text(one.target) for one in clients}
        return found + [
            StoredGenome(digest, self._tracks.reference(digest))
            for digest in self.digests()
            if digest not in known
        ]

    def digests(self) -> list[Digest]:
        """Each genome once, in the order of ``list_all``."""
        clients = Catalogue(self.archive.database.connection).clients(GENOME)
        found = dict.fromkeys(digest_text(one.target) for one in clients)
        for alias, digest in self.archive.all_collection_aliases():
            if alias.namespace == GENOMES:
                found[digest] = None
        return list(found)

    def delete(self, genome_id: str, *, cascade: bool = False) -> bool:
        """Have an id mean nothing any more. The collection stays in the archive.

        Args:
            cascade: Also all tracks that were computed from it, and those over it.

        Returns:
            Whether it was there.

        Raises:
            Conflict: There are tracks over it, and ``cascade`` is not said.
        """
        catalogue = Catalogue(self.archive.database.connection)
        client = catalogue.client(genome_id, GENOME)
        if client is None:
            return False
        if not catalogue.others_of(client):
            over = [one.uuid for one in catalogue.tracks_over(client.target)]
            if over and not cascade:
                raise Conflict(
                    f"{genome_id}: {len(over)} tracks are over it, such as {over[0]}; delete them "
                    "first, or with it (cascade)"
                )
            for uuid in over:
                self._tracks.delete(uuid, cascade=True)
        with self._tracks.changing("genome delete") as (writing, batch):
            end_client(batch, client)
            writing.commit(batch, {"deleted": [client.uuid]})
        return True
