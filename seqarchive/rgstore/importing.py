"""Import: a RefgetStore, whoever wrote it, into an archive as one batch.

Collections come as the FASTA text that they are, through the pipeline of a load, so that what is
stored of them is the same. Every residue is checked against its digest on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from .. import namespaces
from ..batches import Batch
from ..deflines import Naming
from ..errors import BadInput, BadName, Corrupt, DigestMismatch
from ..identifiers import Alias, Digest, check_alias, digest_bytes
from ..inputs import Composed
from ..instances import Instance
from ..load_options import LoadOptions, LoadReport
from ..loading import change
from ..new_aliases import AliasRow, OnConflict
from ..pipeline import Pipeline
from ..seqcol.naming import name_collection, say_fhr
from .collected import StoreCollection
from .parsing import Row
from .reading import RefgetStore

Progress = Callable[[int], None]

#: What the log and the list of sources call it.
KIND = "import-rgstore"

#: FASTA that goes into the pipeline at one time, and rows that are looked up at one time.
_CHUNK, _ROWS = 1 << 20, 500


@dataclass(slots=True)
class StoreImportReport:
    """What an import did; nothing that was left out is missing here."""

    source: str
    load: LoadReport = field(default_factory=LoadReport)
    collections: int = 0
    """That were asked for and are in the archive now."""
    collections_known: int = 0
    """Of these, those that the archive had already."""
    collections_left_out: int = 0
    """That were asked for and of which a member was skipped."""
    sequences_alone: int = 0
    """That are in no collection of the store."""
    collection_aliases: int = 0
    fhr: int = 0
    left_out: list[str] = field(default_factory=list)
    """Collections of which a member was skipped, and names that an archive cannot have."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the same in one, with all that a load says."""
        own = {name: getattr(self, name) for name in self.__slots__ if name != "load"}
        return {**self.load.as_dict(), **own}


def import_rgstore(
    instance: Instance,
    store: RefgetStore,
    *,
    collections: Sequence[str] = (),
    namespace: str | None = None,
    on_conflict: OnConflict = OnConflict.ERROR,
    skip_errors: bool = False,
    dry_run: bool = False,
    threads: int = 0,
    progress: Progress = lambda _n: None,
) -> StoreImportReport:
    """Take a store in.

    Args:
        collections: Digests or aliases; all collections, and all sequences, if there are none.
        namespace: Where the names of members become aliases; nowhere if None.
        on_conflict: When an alias means something else in the archive.
        skip_errors: Leave out sequences that the store has lost, and report them, instead of
            failing; a collection that had one is none in the archive.
        threads: Worker processes.
        progress: Called with numbers of residues that were read.

    Raises:
        NotFound: No such collection. DigestMismatch, Corrupt: The store is damaged, or gtars has
            packed letters into it that are lost. AliasConflict: See ``on_conflict``.
        BadInput: A sequence or a name that an archive cannot have.
    """
    naming = Naming("" if namespace is None else namespaces.canonical(namespace))
    options = LoadOptions(
        naming, on_conflict, skip_errors=skip_errors, dry_run=dry_run, threads=threads
    )
    report = StoreImportReport(store.address)
    importing = _Importing(store, options, report, progress)
    chosen = (
        [store.collection(one) for one in dict.fromkeys(collections)]
        if collections
        else store.collections()
    )

    def send(pipeline: Pipeline, batch: Batch) -> None:
        importing.bring(chosen, pipeline, batch, everything=not collections)

    report.load = change(instance, KIND, send, options, threads=threads)
    return report


class _Importing:
    """One import under way."""

    def __init__(
        self,
        store: RefgetStore,
        options: LoadOptions,
        report: StoreImportReport,
        progress: Progress,
    ) -> None:
        self._store = store
        self._options = options
        self._report = report
        self._progress = progress
        # What could not be read of the store: digest -> why.
        self._lost: dict[str, str] = {}

    def bring(
        self,
        collections: Sequence[StoreCollection],
        pipeline: Pipeline,
        batch: Batch,
        *,
        everything: bool,
    ) -> None:
        """Have collections, sequences, names and what is said in the batch."""
        for collection in collections:
            self._collection(collection, pipeline, batch)
        if everything:
            self._alone(pipeline, batch)
        self._aliases(batch)
        wanted = {one.digest for one in collections}
        for alias, digest in self._store.all_collection_aliases():
            if digest in wanted and (number := batch.sources.collection_id(digest)) is not None:
                name = self._name(alias)
                if name is not None:
                    name_collection(batch, name, number, self._options.on_conflict)
                    self._report.collection_aliases += 1
        for one in sorted(wanted):
            document = self._store.fhr(one)
            number = batch.sources.collection_id(Digest(one))
            if document is not None and number is not None:
                self._report.fhr += say_fhr(batch, number, document)

    # --- sequences ----------------------------------------------------------------------------

    def _collection(self, collection: StoreCollection, pipeline: Pipeline, batch: Batch) -> None:
        digest = Digest(collection.digest)
        is_known = batch.sources.collection_id(digest) is not None
        if is_known:
            self._report.collections += 1
            self._report.collections_known += 1
            if not self._options.naming.namespace:
                return
        text = Composed(
            f"{self._store.address} {collection.digest}",
            self._fasta(collection.rows(), pipeline),
        )
        n_skipped = len(pipeline.report.skipped)
        pipeline.load_text(text, KIND, is_collection=True)
        n_skipped = len(pipeline.report.skipped) - n_skipped
        if is_known:
            return
        if batch.sources.collection_id(digest) is not None:
            self._report.collections += 1
        elif n_skipped:
            self._report.collections_left_out += 1
            self._report.left_out.append(f"collection {digest}: {n_skipped:,} of it skipped")
        else:
            raise BadInput(
                "names that an archive cannot have (with white space in them)", file=text.label
            )

    def _alone(self, pipeline: Pipeline, batch: Batch) -> None:
        """Sequences that are in no collection that was brought."""
        label = f"{self._store.address} sequences"
        pipeline.storer.open_source(label, is_collection=False)  # for what the first may be lacking
        chunks = self._fasta(self._unknown(batch), pipeline)
        first = next(chunks, None)
        if first is not None:
            text = Composed(label, chain([first], chunks))
            pipeline.load_text(text, KIND, is_collection=False)

    def _unknown(self, batch: Batch) -> Iterator[Row]:
        rows = self._store.rows()
        while some := list(islice(rows, _ROWS)):
            known = batch.sequences.find([digest_bytes(row.digest) for row in some])
            for row in some:
                # What was lost of a collection has been said.
                if digest_bytes(row.digest) not in known and row.digest not in self._lost:
                    yield row
                    self._report.sequences_alone += row.digest not in self._lost

    def _fasta(self, rows: Iterable[Row], pipeline: Pipeline) -> Iterator[bytes]:
        """The text of some sequences."""
        waiting = bytearray()
        for row in rows:
            if not self._is_whole(row, pipeline):
                continue
            head = f"{row.name} {row.description}" if row.description else row.name
            waiting += f">{head}\n".encode()
            for piece in self._store.pieces_of(row):
                waiting += piece
                if len(waiting) >= _CHUNK:
                    yield bytes(waiting)
                    waiting.clear()
            waiting += b"\n"
            self._progress(row.length)
        if waiting:
            yield bytes(waiting)

    def _is_whole(self, row: Row, pipeline: Pipeline) -> bool:
        """Whether a sequence can be had. One that cannot is looked at only if it may be left out:
        else the error comes when it is read."""
        if not self._options.skip_errors:
            return True
        if row.digest not in self._lost:
            try:
                for _ in self._store.pieces_of(row):
                    pass
                return True
            except (DigestMismatch, Corrupt) as error:
                self._lost[row.digest] = str(error)
        pipeline.refuse(f"{row.name}: {self._lost[row.digest]}")
        return False

    # --- names --------------------------------------------------------------------------------

    def _aliases(self, batch: Batch) -> None:
        """Names of sequences that the archive has now."""
        rows = self._store.all_aliases()
        while some := list(islice(rows, _ROWS)):
            known = batch.sequences.find([raw for _, raw in map(_raw, some) if raw])
            namings = []
            for alias, raw in map(_raw, some):
                name = self._name(alias)
                if name is None:
                    continue
                sequence_id = known.get(raw)
                if sequence_id is None:
                    continue
                namespace_id = batch.namespace_id(name.namespace)
                namings.append(AliasRow(name.alias, namespace_id, sequence_id, "", 0))
            batch.aliases.add(namings, self._options.on_conflict)

    def _name(self, alias: Alias) -> Alias | None:
        """A name of the store as an archive has it; None if it cannot."""
        try:
            found = Alias(namespaces.canonical(alias.namespace), check_alias(alias.alias))
            if found.namespace in namespaces.COMPUTED:
                raise BadName(f"{found.namespace} names are computed")
        except BadName as error:
            self._report.left_out.append(f"{alias}: {error.message}")
            return None
        return found


def _raw(row: tuple[Alias, Digest]) -> tuple[Alias, bytes]:
    alias, digest = row
    try:
        return alias, digest_bytes(digest)
    except ValueError:  # a store may say anything
        return alias, b""
