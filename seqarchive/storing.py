"""The end of the load pipeline: known or new, where to, under which names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from .batches import AliasRow, Batch, NewSequence
from .errors import BadInput, BadName
from .groups import Entry, GroupTask, Unit
from .identifiers import digest_bytes, digest_text
from .inputs import Composed, Input
from .layouts import FileLayout
from .load_options import LoadOptions, LoadReport
from .packing import Packer, Placed
from .records import first_word
from .seqcol.digests import CollectionHasher
from .seqcol.naming import name_collection

#: Records whose rows wait for an insertion together.
_ROWS = 500

#: Digests that the first batch of an archive keeps in memory (100 bytes each).
_IDS = 100_000


class Storer:
    """Stores groups and long sequences in the order in which they come.

    Args:
        packer: Where new sequences go; None in a dry run.
    """

    def __init__(
        self, batch: Batch, packer: Packer | None, options: LoadOptions, report: LoadReport
    ) -> None:
        self._batch = batch
        self._packer = packer
        self._options = options
        self._report = report
        # Sequences of this batch whose rows wait, and as many others as memory is spent on; as
        # long as these are all that there are, nothing needs to be looked up.
        self._ids: dict[bytes, int] = {}
        self._has_all_ids = batch.is_first
        self._sequences: list[NewSequence] = []
        self._aliases: list[AliasRow] = []
        self._records: list[tuple[int, int, int, str]] = []
        self._sha256: list[tuple[int, bytes]] = []
        self._circular = set(options.circular)  # names that no record has had yet
        self._namespace_ids: dict[str, int] = {}
        self._label = ""
        self._source_id: int | None = None
        self._n_records = 0
        # The file as a collection; None if records were left out, or if it is known already.
        self._members: CollectionHasher | None = None
        self._n_residues = 0
        self._layout = FileLayout()
        self._has_masks = False
        self._masks: list[tuple[int, int, bytes]] = []

    def open_source(self, label: str, *, is_collection: bool = True) -> None:
        """Begin a file.

        Args:
            is_collection: Whether what is in it belongs together.
        """
        self._label = label
        self._layout = FileLayout()
        self._has_masks = False
        self._source_id = self._batch.new_source_id()
        self._n_records = self._n_residues = 0
        self._members = CollectionHasher() if is_collection else None

    def close_source(self, source: Input | Composed, file_format: str, *, is_plain: bool) -> None:
        """End the file, and record it.

        Args:
            is_plain: Whether it has nothing before its records, and its last line ends.
        """
        width = self._layout.width if is_plain else None
        self._close_source(source, file_format, self._collection(), width)

    def _collection(self) -> tuple[int, bytes] | None:
        """The file as a collection: its id and its digest."""
        if self._members is None or self._source_id is None:
            return None
        digests = self._members.digests()
        collection_id = self._batch.add_collection(
            digests,
            n_members=self._members.n_members,
            n_residues=self._n_residues,
            source_id=self._source_id,
        )
        return collection_id, digest_bytes(digests.digest)

    def _close_source(
        self,
        source: Input | Composed,
        file_format: str,
        collection: tuple[int, bytes] | None,
        width: int | None,
    ) -> None:
        assert self._source_id is not None
        self.flush()
        self._batch.add_source(
            source.label,
            size_bytes=source.n_bytes,
            sha256=source.sha256,
            file_format=file_format,
            compression=source.compression,
            n_records=self._n_records,
            source_id=self._source_id,
            collection_id=None if collection is None else collection[0],
            line_bases=width,
        )
        if self._has_masks and collection is not None:
            self._batch.show_collection_as(collection[0], self._source_id)
        self._members = None
        self._name_collection(None if collection is None else collection[0])
        self._report.files.append(
            {
                "name": source.label,
                "format": file_format,
                "compression": source.compression,
                "bytes": source.n_bytes,
                "sha256": source.sha256.hex(),
                "records": self._n_records,
                "collection": None if collection is None else digest_text(collection[1]),
            }
        )

    def _name_collection(self, collection_id: int | None) -> None:
        alias = self._options.collection
        if alias is None:
            return
        if collection_id is None:
            raise BadInput(
                f"records were left out: what is left is no collection that {alias} could name",
                file=self._label,
            )
        name_collection(self._batch, alias, collection_id, self._options.on_conflict)

    def may_know(self, size: int) -> bool:
        """Whether a file of this size was loaded before."""
        return self._batch.has_source_of(size)

    def store_again(self, source: Input, task: GroupTask) -> bool:
        """Store the records of a file that has been read to its end, if it was loaded before.

        What came of it then is known: the same sequences, which need no second hashing. Names
        are taken from the deflines anew, for the rules may be others now.

        Returns:
            False, with nothing stored, if the file is not known, or if something must be said of
            single records, and they have to be read again.
        """
        earlier = self._batch.earlier_source(source.sha256)
        if earlier is None:
            return False
        source_id, file_format, compression, n_records = earlier
        if task.with_mask and not self._batch.has_masks(source_id):
            return False
        self.flush()
        try:
            for entries in _named(self._batch.records_of(source_id), task):
                if not self._batch.agree(self._rows(entries)):
                    return False
        except BadName:
            return False
        source.compression = compression
        self.open_source(source.label, is_collection=False)
        for entries in _named(self._batch.records_of(source_id), task):
            for sequence_id, entry in entries:
                self._report.sequences_known += 1
                self._name(entry, sequence_id, with_record=False)
            self.flush()
        self._n_records = n_records
        width = self._batch.width_of_source(source_id)
        collection = self._batch.collection_of_source(source_id)
        self._close_source(source, file_format, collection, width)
        return True

    def _rows(self, entries: Iterable[tuple[int, Entry]]) -> list[AliasRow]:
        return [
            AliasRow(alias, self._namespace_id(namespace), sequence_id, self._label, entry.line)
            for sequence_id, entry in entries
            for namespace, alias in entry.aliases
        ]

    def known(self, digests: Iterable[bytes]) -> dict[bytes, int]:
        """Ids of those sequences that are in the archive or in this batch."""
        distinct = set(digests)
        found = {d: self._ids[d] for d in distinct if d in self._ids}
        if not self._has_all_ids:
            found.update(self._batch.known_sequences(list(distinct - found.keys())))
        return found

    def store(
        self,
        entries: list[Entry],
        units: list[Unit] | None,
        pack: Callable[[frozenset[bytes]], list[Unit]],
    ) -> bool:
        """Store a group.

        Args:
            units: Its sequences packed as if all were new; None if nobody has yet.
            pack: Packs it without sequences that are known.

        Returns:
            Whether most of its sequences were new.
        """
        good = [entry for entry in entries if self._is_right(entry)]
        known = self.known(entry.digest for entry in good)
        left_out = {e.digest for e in entries if e.digest} - {e.digest for e in good}
        n_new = len({entry.digest for entry in good}) - len(known)
        if n_new and self._packer is not None and (units is None or known or left_out):
            units = pack(frozenset(known) | left_out)
        placed: dict[int, Placed] = {}
        if n_new and self._packer is not None:
            for unit in units or ():
                self._packer.add(unit, entries, placed)
        right = set(map(id, good))
        for number, entry in enumerate(entries):
            if id(entry) not in right:
                continue
            sequence_id = known.get(entry.digest)
            if sequence_id is None:
                sequence_id = self._add(entry, placed.get(number))
                known[entry.digest] = sequence_id
            else:
                self._report.sequences_known += 1
            self._name(entry, sequence_id)
        if len(self._records) >= _ROWS:
            self.flush()
        return 2 * n_new > len(good)

    def store_long(self, entry: Entry) -> None:
        """Store a sequence whose pieces the packer has."""
        if not self._is_right(entry):
            if self._packer is not None:
                self._packer.forget()
            return
        sequence_id = self.known([entry.digest]).get(entry.digest)
        if sequence_id is None:
            placed = None
            if self._packer is not None:
                placed = self._packer.end(entry.name, entry.length)
            sequence_id = self._add(entry, placed)
        else:
            if self._packer is not None:
                self._packer.forget()
            self._report.sequences_known += 1
        self._name(entry, sequence_id)

    def refuse(self, message: str, line: int | None) -> None:
        """Leave out a record, with a word about it, or fail."""
        error = BadInput(message, file=self._label, line=line)
        if not self._options.skip_errors:
            raise error
        self._report.skipped.append(str(error))
        self._members = None

    def _is_right(self, entry: Entry) -> bool:
        problem = entry.error
        if problem is None:
            if entry.claimed is None or entry.claimed == entry.name:
                return True
            problem = (
                f"the record says ga4gh:SQ.{entry.claimed} but its residues are SQ.{entry.name}"
            )
        self.refuse(problem, entry.line)
        return False

    def _add(self, entry: Entry, placed: Placed | None) -> int:
        sequence_id = self._batch.new_sequence_id()
        shard_id, offset = placed or (None, None)
        self._sequences.append(
            NewSequence(
                sequence_id,
                entry.digest,
                entry.md5,
                entry.sha1,
                entry.length,
                entry.letters,
                shard_id,
                offset,
            )
        )
        self._ids[entry.digest] = sequence_id
        if entry.sha256 is not None:
            self._sha256.append((sequence_id, entry.sha256))
        if not entry.length:
            self._report.empty += 1
        return sequence_id

    def _name(self, entry: Entry, sequence_id: int, *, with_record: bool = True) -> None:
        self._report.records += 1
        self._report.versionless += entry.n_versionless
        for namespace, alias in entry.aliases:
            namespace_id = self._namespace_id(namespace)
            row = AliasRow(alias, namespace_id, sequence_id, self._label, entry.line)
            self._aliases.append(row)
        if entry.circular:
            self._batch.mark_circular(sequence_id)
            self._report.circular += 1
            self._circular.discard(first_word(entry.defline))
        if self._source_id is not None and with_record:
            self._n_records += 1
            self._records.append((self._source_id, self._n_records, sequence_id, entry.defline))
            self._layout.add(entry.width, entry.length)
            if entry.mask:
                self._has_masks = True
                self._masks.append((self._source_id, self._n_records, entry.mask))
            if self._members is not None:
                self._members.add(first_word(entry.defline), entry.length, entry.name)
                self._n_residues += entry.length

    def _namespace_id(self, namespace: str) -> int:
        found = self._namespace_ids.get(namespace)
        if found is None:
            found = self._namespace_ids[namespace] = self._batch.namespace_id(namespace)
        return found

    def unused_circular(self) -> list[str]:
        """Names of circular molecules that no record had."""
        return sorted(self._circular)

    def flush(self) -> None:
        """Insert the rows that wait."""
        self._batch.add_sequences(self._sequences)
        self._batch.add_aliases(self._aliases, self._options.on_conflict)
        self._batch.add_records(self._records)
        self._batch.add_masks(self._masks)
        if self._sha256:
            self._batch.add_sha256(self._sha256)
        if not self._has_all_ids or len(self._ids) > _IDS:
            self._ids = {}
            self._has_all_ids = False
        self._sequences, self._aliases, self._records, self._sha256 = [], [], [], []
        self._masks = []


def _named(
    records: Iterable[tuple[int, str]], task: GroupTask
) -> Iterator[list[tuple[int, Entry]]]:
    """Sequences and their names, some records at a time, from sequences and deflines."""
    rows = iter(records)
    while some := list(islice(rows, _ROWS)):
        yield [(sequence_id, task.name(defline)) for sequence_id, defline in some]
