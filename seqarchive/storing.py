"""The end of the load pipeline: known or new, where to, under which names."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from .batches import Batch
from .errors import BadInput, BadName
from .groups import Entry, GroupTask, Unit
from .identifiers import digest_bytes, digest_text
from .inputs import Composed, Input, ReadInput
from .layouts import FileLayout
from .load_options import LoadOptions, LoadReport
from .new_aliases import AliasRow
from .new_sequences import NewSequence
from .packing import Packer, Placed
from .records import first_word
from .seqcol.archived import FHR
from .seqcol.digests import CollectionHasher
from .seqcol.fhr import merged, require_agreement
from .seqcol.naming import collection_digest, name_collection, say_fhr

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
        self._has_all_ids = batch.sequences.are_first
        self._sequences: list[NewSequence] = []
        self._aliases: list[AliasRow] = []
        self._records: list[tuple[int, int, int, str]] = []
        self._sha256: list[tuple[int, bytes]] = []
        # Names that no record has had yet.
        self._circular = set(options.circular)
        self._table = set(options.naming.table)
        self._namespace_ids: dict[str, int] = {}
        self._label = ""
        self._source_id: int | None = None
        self._n_records = 0
        # The file as a collection; None if records were left out, or if it is known already.
        self._members: CollectionHasher | None = None
        self._n_residues = 0
        # Of a genome: the lines of the records of its names; and whether anything of it is new.
        self._lines: dict[str, int] = {}
        self._is_new = False
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
        self._source_id = self._batch.sources.new_id()
        self._n_records = self._n_residues = 0
        self._members = CollectionHasher() if is_collection else None

    def close_source(
        self, source: Input | Composed | ReadInput, file_format: str, *, is_plain: bool
    ) -> None:
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
        self._is_new |= self._batch.sources.collection_id(digests.digest) is None
        collection_id = self._batch.sources.add_collection(
            digests,
            n_members=self._members.n_members,
            n_residues=self._n_residues,
            source_id=self._source_id,
        )
        return collection_id, digest_bytes(digests.digest)

    def _close_source(
        self,
        source: Input | Composed | ReadInput,
        file_format: str,
        collection: tuple[int, bytes] | None,
        width: int | None,
    ) -> None:
        assert self._source_id is not None
        self.flush()
        self._batch.sources.add(
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
            self._batch.sources.show_collection_as(collection[0], self._source_id)
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
        aliases, fhr = self._options.collections, self._options.fhr
        if not aliases and fhr is None:
            return
        if collection_id is None:
            what = f" that {aliases[0]} could name" if aliases else ""
            raise BadInput(
                f"records were left out: what is left is no collection{what}", file=self._label
            )
        for alias in aliases:
            name_collection(self._batch, alias, collection_id, self._options.on_conflict)
        if fhr is not None:
            known = FHR.current(self._batch.connection, collection_id)
            said = json.loads(known) if known else {}
            require_agreement(said, fhr, collection_digest(self._batch.connection, collection_id))
            self._is_new |= say_fhr(self._batch, collection_id, merged(said, fhr))

    def may_know(self, size: int) -> bool:
        """Whether a file of this size was loaded before."""
        return self._batch.sources.has_any_of(size)

    def store_again(self, source: Input | ReadInput, task: GroupTask) -> bool:
        """Store the records of a file that has been read to its end, if it was loaded before.

        What came of it then is known: the same sequences, which need no second hashing. Names
        are taken from the deflines anew, for the rules may be others now.

        Returns:
            False, with nothing stored, if the file is not known, or if something must be said of
            single records, and they have to be read again.
        """
        earlier = self._batch.sources.earlier(source.sha256)
        if earlier is None:
            return False
        source_id, file_format, compression, n_records = earlier
        if task.with_mask and not self._batch.sources.has_masks(source_id):
            return False
        self.flush()
        if not self._agree(source_id, task) or self._has_twins(source_id):
            return False
        source.compression = compression
        self.open_source(source.label, is_collection=False)
        for entries in _named(self._batch.sources.records_of(source_id), task):
            for sequence_id, entry in entries:
                self._report.sequences_known += 1
                self._name(entry, sequence_id, with_record=False)
            self.flush()
        self._n_records = n_records
        width = self._batch.sources.width_of(source_id)
        collection = self._batch.sources.collection_of(source_id)
        self._close_source(source, file_format, collection, width)
        return True

    def _agree(self, source_id: int, task: GroupTask) -> bool:
        """Whether no name of the records of a source means something else, there or in another
        record of it: a word about that needs the line of the record."""
        said = _Said(self._batch.connection)
        try:
            for entries in _named(self._batch.sources.records_of(source_id), task):
                rows = self._rows(entries)
                if not (self._batch.aliases.agree(rows) and said.agrees(rows)):
                    return False
        except BadName:
            return False
        finally:
            said.clear()
        return True

    def _has_twins(self, source_id: int) -> bool:
        """Whether a genome has a name twice."""
        if not self._options.is_genome:
            return False
        names: set[str] = set()
        for n, (_, defline) in enumerate(self._batch.sources.records_of(source_id), 1):
            names.add(first_word(defline))
            if len(names) < n:
                return True
        return False

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
            found.update(self._batch.sequences.find(list(distinct - found.keys())))
        return found

    def store(
        self,
        entries: list[Entry],
        units: list[Unit] | None,
        pack: Callable[[frozenset[int]], list[Unit]],
    ) -> bool:
        """Store a group.

        Args:
            units: Its sequences packed as if all were new and right; None if nobody has yet.
            pack: Packs it without the entries of some numbers.

        Returns:
            Whether most of its sequences were new.
        """
        good = [entry for entry in entries if self._is_right(entry)]
        known = self.known(entry.digest for entry in good)
        right = set(map(id, good))
        n_new = len({entry.digest for entry in good}) - len(known)
        placed: dict[int, Placed] = {}
        if n_new and self._packer is not None:
            # By number: one that is left out may have the residues of one that is not.
            left_out = frozenset(
                number
                for number, entry in enumerate(entries)
                if id(entry) not in right or entry.digest in known
            )
            if units is None or left_out:
                units = pack(left_out)
            for unit in units:
                self._packer.add(unit, entries, placed)
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

    def leave_out(self, error: BadInput) -> None:
        """Leave out the file that was begun, with a word about it."""
        self._report.skipped.append(str(error))

    def _is_right(self, entry: Entry) -> bool:
        problem = entry.problem
        if problem is not None:
            self.refuse(problem, entry.line)
        return problem is None

    def _add(self, entry: Entry, placed: Placed | None) -> int:
        sequence_id = self._batch.sequences.new_id()
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
        if self._options.is_genome and with_record:
            self._require_first(entry)
        if self._table:
            self._table.discard(first_word(entry.defline))
        self._report.versionless += entry.n_versionless
        for namespace, alias in entry.aliases:
            namespace_id = self._namespace_id(namespace)
            row = AliasRow(alias, namespace_id, sequence_id, self._label, entry.line)
            self._aliases.append(row)
        if entry.circular:
            self._is_new |= self._batch.sequences.mark_circular(sequence_id)
            self._report.circular += 1
            self._circular.discard(first_word(entry.defline))
        if self._source_id is not None and with_record:
            self._n_records += 1
            self._records.append((self._source_id, self._n_records, sequence_id, entry.defline))
            self._layout.add(entry.width, entry.length)
            if entry.mask:
                self._has_masks = self._is_new = True
                self._masks.append((self._source_id, self._n_records, entry.mask))
            if self._members is not None:
                self._members.add(first_word(entry.defline), entry.length, entry.name)
                self._n_residues += entry.length

    def _require_first(self, entry: Entry) -> None:
        """Raise BadInput if a record before had the same name."""
        name = first_word(entry.defline)
        if name in self._lines:
            raise BadInput(
                f"the record of line {self._lines[name]} is called {name!r} too; rename one: in a "
                "genome, a name is that of one sequence",
                file=self._label,
                line=entry.line,
            )
        self._lines[name] = entry.line

    def has_changed(self) -> bool:
        """Whether the archive is to be another one after this, but for the files that were read."""
        counts = self._batch.aliases.counts
        return self._is_new or bool(self._batch.sequences.n_added + counts.added + counts.moved)

    def _namespace_id(self, namespace: str) -> int:
        found = self._namespace_ids.get(namespace)
        if found is None:
            found = self._namespace_ids[namespace] = self._batch.namespace_id(namespace)
        return found

    def unused_circular(self) -> list[str]:
        """Names of circular molecules that no record had."""
        return sorted(self._circular)

    def unused_table(self) -> list[str]:
        """Names of the table of aliases that no record had."""
        return sorted(self._table)

    def flush(self) -> None:
        """Insert the rows that wait."""
        self._batch.sequences.add(self._sequences)
        self._batch.aliases.add(self._aliases, self._options.on_conflict)
        self._batch.sources.add_records(self._records)
        self._batch.sources.add_masks(self._masks)
        if self._sha256:
            self._batch.sequences.add_sha256(self._sha256)
        if not self._has_all_ids or len(self._ids) > _IDS:
            self._ids = {}
            self._has_all_ids = False
        self._sequences, self._aliases, self._records, self._sha256 = [], [], [], []
        self._masks = []


class _Said:
    """What names mean in a file, in a temporary table: they may be more than memory has room for.

    Args:
        connection: In the transaction of the batch.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute(
            "CREATE TEMP TABLE IF NOT EXISTS said (alias TEXT NOT NULL, namespace_id INTEGER"
            " NOT NULL, sequence_id INTEGER NOT NULL, PRIMARY KEY (alias, namespace_id))"
            " WITHOUT ROWID"
        )

    def agrees(self, rows: Sequence[AliasRow]) -> bool:
        """Whether names mean what they meant in the rows so far."""
        n_new = self._connection.executemany(
            "INSERT OR IGNORE INTO temp.said VALUES (?, ?, ?)", [row[:3] for row in rows]
        ).rowcount
        return n_new == len(rows) or all(self._meaning(row) == row.sequence_id for row in rows)

    def _meaning(self, row: AliasRow) -> int:
        (sequence_id,) = self._connection.execute(
            "SELECT sequence_id FROM temp.said WHERE alias = ? AND namespace_id = ?", row[:2]
        ).fetchone()
        return int(sequence_id)

    def clear(self) -> None:
        """Forget all."""
        self._connection.execute("DELETE FROM temp.said")


def _named(
    records: Iterable[tuple[int, str]], task: GroupTask
) -> Iterator[list[tuple[int, Entry]]]:
    """Sequences and their names, some records at a time, from sequences and deflines."""
    rows = iter(records)
    while some := list(islice(rows, _ROWS)):
        yield [(sequence_id, task.name(defline)) for sequence_id, defline in some]
