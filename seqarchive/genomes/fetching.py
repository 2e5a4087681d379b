"""All of a remote genome, into the archive: afterwards it is a local one.

Sequences come into a directory of their own, each checked by its digest; whoever was killed goes on
where that ended. What all of them are is then loaded as one batch, with the names
and what is said of the genome; and only when that is committed, the remote genome is forgotten. A
kill in between leaves both, of which the archive is the one that counts: the next call ends it.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from .. import durable
from ..batches import Batch
from ..deflines import Naming
from ..errors import BadInput, Corrupt, DigestMismatch, NotFound
from ..identifiers import Alias, digest_text
from ..inputs import Composed
from ..instances import Instance
from ..load_options import LoadOptions, LoadReport
from ..loading import change
from ..namespaces import GENOMES
from ..new_aliases import OnConflict
from ..pipeline import Pipeline
from ..reader import ArchiveReader
from ..seqcol.naming import name_collection, say_fhr
from ..sources.base import persistently
from ..transfer.crew import for_each
from .genome import names_in, require_free
from .genome_source import GenomeSource
from .listed import Stored
from .remote import STAGING_LOCK, RemoteGenome

Progress = Callable[[int], None]

#: Short sequences that are on their way at one time: each is mostly waiting.
_JOBS = 8

#: What the log calls it.
KIND = "genome fetch"

#: Residues that are read at one time, and of a sequence that is worth waiting for the disk.
_PIECE, _LONG = 1 << 20, 1 << 22


@dataclass(slots=True)
class FetchReport:
    """What became of a genome that was fetched."""

    digest: str
    load: LoadReport
    fetched: int = 0
    """Sequences that came from the source."""
    fetched_residues: int = 0
    known: int = 0
    """Sequences that were here already: in the archive, in the cache, or of a fetch that was
    killed."""


def fetch_all(
    genome: RemoteGenome,
    instance: Instance,
    progress: Progress = lambda _n_residues: None,
    *,
    on_conflict: OnConflict = OnConflict.ERROR,
    threads: int = 0,
) -> FetchReport:
    """Take all of a remote genome into an archive, which need not be there yet.

    Args:
        progress: Called with numbers of residues that are here, of ``genome.n_residues``; with a
            negative one of what has to come again.
        on_conflict: When a name means another collection in the archive.
        threads: Worker processes.

    Raises:
        AliasConflict: See ``on_conflict``; nothing was fetched. Locked: Somebody else fetches it,
            or writes to the archive. DigestMismatch, SourceError: Of the source; what is complete
            stays, and is not fetched again.
    """
    instance.require_writable()
    staging = genome.registry.staging(genome.digest)
    with ExitStack() as stack:
        archive = None
        if instance.database.exists():
            archive = stack.enter_context(ArchiveReader.of(instance))
        if archive is not None and on_conflict is OnConflict.ERROR:
            require_free(names_in(archive), genome.names, genome.digest)
        durable.make_directory(staging)
        lock = stack.enter_context(durable.WriterLock(staging / STAGING_LOCK))
        lock.declare(None)
        fetching = _Fetching(genome, archive, staging, progress)
        if not fetching.is_loaded():
            fetching.bring()
        if not fetching.is_done():
            fetching.take(instance, on_conflict, threads)
    genome.close()
    genome.registry.remove(genome.digest)
    return fetching.report


class _Fetching:
    """One genome on its way."""

    def __init__(
        self,
        genome: RemoteGenome,
        archive: ArchiveReader | None,
        staging: Path,
        progress: Progress,
    ) -> None:
        self._genome = genome
        self._archive = archive
        self._staging = staging
        self._progress = progress
        self._members: Mapping[str, Stored] = {one.digest: one for one in genome.members}
        self.report = FetchReport(genome.digest, LoadReport())

    def is_loaded(self) -> bool:
        """Whether the archive has the collection."""
        return self._means(self._genome.digest)

    def is_done(self) -> bool:
        """Whether it has the names too, and what is said of it."""
        genome = self._genome
        if self._archive is None or not self.is_loaded():
            return False
        if not all(self._means(f"{GENOMES}:{name}") for name in genome.names):
            return False
        return genome.fhr in (None, self._archive.collection(genome.digest).fhr())

    def _means(self, identifier: str) -> bool:
        if self._archive is None:
            return False
        try:
            return self._archive.collection(identifier).digest == self._genome.digest
        except NotFound:
            return False

    # --- from the source ----------------------------------------------------------------------

    def bring(self) -> None:
        """Have every sequence here: long ones one by one, of short ones some at a time."""
        self._clean()
        missing = []
        for member in self._members.values():
            if self._is_here(member):
                self.report.known += 1
                self._progress(member.length)
            else:
                missing.append(member)
        for member in missing:
            if member.length > _LONG:
                self._count(self._bring(member, self._progress))
        short = [member for member in missing if member.length <= _LONG]
        threads = min(_JOBS, len(short))
        for member, is_new in for_each(self._bring, short, threads, threading.Event()):
            self._count((member, is_new))
            self._progress(member.length)

    def _bring(
        self, member: Stored, progress: Progress = lambda _n_residues: None
    ) -> tuple[Stored, bool]:
        """Have a sequence here. Returns whether it came from the source."""
        known = self._genome.known(member, 0, member.length)
        if known is not None:
            self._publish(member, iter([known]), progress)
            return member, False

        def fetch(source: GenomeSource, one: Stored) -> None:
            self._publish(one, source.pieces(one), progress)

        persistently(lambda: self._genome.asked(member, fetch))
        return member, True

    def _count(self, brought: tuple[Stored, bool]) -> None:
        member, is_new = brought
        self.report.known += not is_new
        self.report.fetched += is_new
        self.report.fetched_residues += member.length if is_new else 0

    def _clean(self) -> None:
        """Remove what somebody who was killed has left unfinished."""
        for path in self._staging.iterdir():
            if path.name.startswith("."):
                durable.remove(path)

    def _in_archive(self, member: Stored) -> bool:
        return self._archive is not None and f"sha512t24u:{member.digest}" in self._archive

    def _is_here(self, member: Stored) -> bool:
        if not member.length or self._in_archive(member):
            return True
        path = self._staging / member.digest
        return path.exists() and path.stat().st_size == member.length

    def _publish(self, member: Stored, pieces: Iterator[bytes], progress: Progress) -> None:
        """Give a sequence its name, if it is that of its digest."""
        # A thread that was left behind by a failure must not write to the file of another one.
        unfinished = self._staging / f".{member.digest}.{os.getpid()}.{threading.get_ident()}"
        sha512, n_residues = hashlib.sha512(), 0
        try:
            with open(unfinished, "wb") as file:
                for piece in pieces:
                    n_residues += len(piece)
                    progress(len(piece))
                    if n_residues > member.length:
                        break
                    sha512.update(piece)
                    file.write(piece)
            if n_residues != member.length or digest_text(sha512.digest()[:24]) != member.digest:
                raise DigestMismatch(
                    f"{self._genome.address}: the residues of {member.name} are not those of "
                    f"SQ.{member.digest}"
                )
        except BaseException:
            progress(-n_residues)
            durable.remove(unfinished)
            raise
        final = self._staging / member.digest
        if member.length > _LONG:
            durable.publish_writable(unfinished, final)
        else:  # what a power cut takes is fetched again
            durable.publish_loosely(str(unfinished), str(final))

    # --- into the archive ---------------------------------------------------------------------

    def take(self, instance: Instance, on_conflict: OnConflict, threads: int) -> None:
        """Load what is here as one batch."""
        genome = self._genome

        def send(pipeline: Pipeline, batch: Batch) -> None:
            if batch.sources.collection_id(genome.digest) is None:
                text = Composed(f"{genome.url} {genome.digest}", self._fasta())
                pipeline.load_text(text, KIND, is_collection=True)
            number = batch.sources.collection_id(genome.digest)
            if number is None:
                raise BadInput(
                    "names that an archive cannot have (with white space in them)",
                    file=f"{genome.url} {genome.digest}",
                )
            for name in genome.names:
                name_collection(batch, Alias(GENOMES, name), number, on_conflict)
            if genome.fhr is not None:
                say_fhr(batch, number, genome.fhr)

        options = LoadOptions(Naming(""), on_conflict, threads=threads)
        self.report.load = change(instance, KIND, send, options, threads=threads)

    def _fasta(self) -> Iterator[bytes]:
        for member in self._genome.members:
            yield f">{member.defline}\n".encode()
            yield from self._residues(member)
            yield b"\n"

    def _residues(self, member: Stored) -> Iterator[bytes]:
        path = self._staging / member.digest
        if not member.length:
            return
        if self._archive is not None and not path.exists():
            for text in self._archive.pieces(f"sha512t24u:{member.digest}"):
                yield text.encode("ascii")
            return
        sha512 = hashlib.sha512()
        with open(path, "rb") as file:
            while piece := file.read(_PIECE):
                sha512.update(piece)
                yield piece
        if digest_text(sha512.digest()[:24]) != member.digest:
            durable.remove(path)
            raise Corrupt(f"{path} was damaged meanwhile, and is removed; fetch again")
