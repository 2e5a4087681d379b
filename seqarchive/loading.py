"""The load pipeline: read, hash, tell new from known, compress, publish, commit.

One load is one batch, whatever the number of files: all of it becomes visible by one commit, or
nothing does. The stages run in lanes of their own, and memory depends on neither the length of a
record nor their number.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from . import batches, namespaces
from .batches import AliasRow, Batch, OnConflict, SequenceRow
from .bgzf import Compression
from .deflines import Naming
from .errors import BadInput, BadName
from .groups import SHORT, Entry, GroupTask, Unit
from .identifiers import digest_text
from .inputs import STDIN, Input, decompressed, open_input
from .instances import Instance
from .lanes import Lane, Lanes, Pending
from .packing import SHARD_BYTES, Packer, Placed
from .records import LONG, Group, LongRecord, Record, first_word, read_records, records_in
from .workers import Worker, Workers
from .writing import Writing

Progress = Callable[[int], None]
"""Called with the number of bytes of input read since the last call."""

#: Records whose rows wait for an insertion together.
_ROWS = 10_000

#: Digests that the first batch of an archive keeps in memory (100 bytes each).
_IDS = 100_000


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to load.

    Args:
        naming: How deflines become aliases.
        on_conflict: When an alias already means another sequence.
        skip_errors: Leave out records that are not right, and report them, instead of failing.
        circular: Names (first words of deflines) of circular molecules.
        dry_run: Report what would happen; write nothing.
        threads: Worker processes for large inputs; 0 does everything in the calling thread.
        compression: How hard to try.
        shard_bytes: Size at which a shard closes.
    """

    naming: Naming
    on_conflict: OnConflict = OnConflict.ERROR
    skip_errors: bool = False
    circular: frozenset[str] = frozenset()
    dry_run: bool = False
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    compression: Compression = Compression.FAST
    shard_bytes: int = SHARD_BYTES


@dataclass(slots=True)
class LoadReport:
    """What a load did; nothing that was left out or changed is missing here."""

    batch: int | None = None
    namespace: str = ""
    dry_run: bool = False
    files: list[dict[str, Any]] = field(default_factory=list)
    records: int = 0
    sequences_added: int = 0
    sequences_known: int = 0
    residues_added: int = 0
    aliases_added: int = 0
    aliases_known: int = 0
    aliases_moved: int = 0
    aliases_kept: int = 0
    versionless: int = 0
    empty: int = 0
    circular: int = 0
    shards: int = 0
    shard_bytes: int = 0
    skipped: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    unused_circular: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


# --- the engine -------------------------------------------------------------------------------

#: Tasks of the workers, by number.
_GROUP, _COMPRESS = 0, 1


class _Engine:
    """Who does the work: workers and threads for much of it, this thread alone for little.

    Args:
        task: What is done with a group.
        workers: Processes; where there are none, ``threads`` of this one.
    """

    def __init__(
        self, task: GroupTask, workers: list[Worker], lanes: Lanes, *, threads: int
    ) -> None:
        tasks = (task.run, task.compress)
        self._calls: list[Callable[..., Any]] = [worker.call for worker in workers] or [
            lambda number, *arguments: tasks[number](*arguments)
        ] * max(1, threads)
        self._lanes = [lanes.add(f"work-{n}", depth=2) for n in range(len(self._calls))]
        self._turn = 0
        self.depth = 2 * len(self._lanes) if threads else 0
        self.sha512 = lanes.add("sha512")
        self.others = lanes.add("md5")
        self.reader = lanes.add("read")

    def _submit(self, *arguments: Any) -> Pending[Any]:
        self._turn = (self._turn + 1) % len(self._lanes)
        return self._lanes[self._turn].submit(self._calls[self._turn], *arguments)

    def group(self, group: Group, *, compress: bool) -> Pending[_GroupResult]:
        """Entries and units of a group of FASTA records."""
        return self._submit(_GROUP, group.text, group.source, group.line, compress)

    def compress(self, text: bytes) -> Pending[list[bytes]]:
        """Blocks of a piece of a long record."""
        return self._submit(_COMPRESS, text)


_GroupResult = tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]


class _Others:
    """MD5 and SHA-1 of a sequence in pieces, and SHA-256 where it is kept."""

    def __init__(self, *, with_sha256: bool) -> None:
        self._hashers = [hashlib.md5(), hashlib.sha1()]
        if with_sha256:
            self._hashers.append(hashlib.sha256())

    def update(self, residues: bytes) -> None:
        for hasher in self._hashers:
            hasher.update(residues)

    def digests(self) -> list[bytes]:
        return [hasher.digest() for hasher in self._hashers]


# --- storing ----------------------------------------------------------------------------------


class _Storer:
    """The end of the pipeline: known or new, where to, under which names."""

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
        self._sequences: list[SequenceRow] = []
        self._aliases: list[AliasRow] = []
        self._records: list[tuple[int, int, int, str]] = []
        self._sha256: list[tuple[int, bytes]] = []
        self._circular = set(options.circular)  # names that no record has had yet
        self._namespace_ids: dict[str, int] = {}
        self._label = ""
        self._source_id: int | None = None
        self._n_records = 0

    def open_source(self, label: str) -> None:
        self._label = label
        self._source_id = self._batch.new_source_id()
        self._n_records = 0

    def close_source(self, source: Input, file_format: str) -> None:
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
        )
        self._report.files.append(
            {
                "name": source.label,
                "format": file_format,
                "compression": source.compression,
                "bytes": source.n_bytes,
                "sha256": source.sha256.hex(),
                "records": self._n_records,
            }
        )

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

    def _is_right(self, entry: Entry) -> bool:
        problem = entry.error
        if problem is None:
            if entry.claimed is None or entry.claimed == entry.name:
                return True
            problem = (
                f"the record says ga4gh:SQ.{entry.claimed} "
                f"but its residues are SQ.{entry.name}"
            )
        self.refuse(problem, entry.line)
        return False

    def _add(self, entry: Entry, placed: Placed | None) -> int:
        sequence_id = self._batch.new_sequence_id()
        shard_id, offset = placed or (None, None)
        self._sequences.append(
            SequenceRow(
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

    def _name(self, entry: Entry, sequence_id: int) -> None:
        self._report.records += 1
        self._report.versionless += entry.n_versionless
        for namespace, alias in entry.aliases:
            namespace_id = self._namespace_ids.get(namespace)
            if namespace_id is None:
                namespace_id = self._batch.namespace_id(namespace)
                self._namespace_ids[namespace] = namespace_id
            row = AliasRow(alias, namespace_id, sequence_id, self._label, entry.line)
            self._aliases.append(row)
        if entry.circular:
            self._batch.mark_circular(sequence_id)
            self._report.circular += 1
            self._circular.discard(first_word(entry.defline))
        if self._source_id is not None:
            self._n_records += 1
            self._records.append((self._source_id, self._n_records, sequence_id, entry.defline))

    def unused_circular(self) -> list[str]:
        """Names of circular molecules that no record had."""
        return sorted(self._circular)

    def flush(self) -> None:
        """Insert the rows that wait."""
        self._batch.add_sequences(self._sequences)
        self._batch.add_aliases(self._aliases, self._options.on_conflict)
        self._batch.add_records(self._records)
        if self._sha256:
            self._batch.add_sha256(self._sha256)
        if not self._has_all_ids or len(self._ids) > _IDS:
            self._ids = {}
            self._has_all_ids = False
        self._sequences, self._aliases, self._records, self._sha256 = [], [], [], []


# --- the pipeline -----------------------------------------------------------------------------


class _Pipeline:
    """The beginning of the pipeline: files -> records -> engine -> storer, in order."""

    def __init__(
        self,
        task: GroupTask,
        engine: _Engine,
        storer: _Storer,
        packer: Packer | None,
        options: LoadOptions,
        report: LoadReport,
    ) -> None:
        self._task = task
        self._engine = engine
        self._storer = storer
        self._packer = packer
        self._options = options
        self._report = report
        self._under_way: deque[tuple[Group, Pending[_GroupResult]]] = deque()
        self._compress = packer is not None  # as long as most of what comes is new
        self._records: list[Record | BadInput] = []
        self._records_bytes = 0

    def load(self, name: str, progress: Progress) -> None:
        """Send one file through."""
        with open_input(name) as source:
            self._storer.open_source(source.label)
            chunks = _ahead(source, self._engine.reader, progress)
            file_format, found = read_records(chunks, source.label)
            n_before = self._report.records
            try:
                for item in found:
                    self._take(item)
                self._finish_groups()
            except BadInput as error:
                # A file that is not what it should be from the start can be left out. One that
                # turns out damaged later cannot: nobody knows what is missing.
                n_taken = self._report.records - n_before + len(self._under_way)
                if not self._options.skip_errors or n_taken or self._records:
                    raise
                self._report.skipped.append(str(error))
                return
            self._storer.close_source(source, file_format)

    def load_records(self, records: Iterable[Record]) -> None:
        """Send records that come from no file through."""
        for record in records:
            self._take(record)
        self._finish_groups()
        self._storer.flush()

    def _take(self, item: Group | Record | LongRecord | BadInput) -> None:
        if isinstance(item, Group):
            pending = self._engine.group(item, compress=self._compress)
            self._under_way.append((item, pending))
            self._store_groups(self._engine.depth)
        elif isinstance(item, LongRecord):
            self._finish_groups()
            self._store_long(item)
        elif isinstance(item, BadInput) and not self._records:
            self._store_groups(0)
            self._storer.refuse(item.message, item.line)
        else:
            self._records.append(item)
            self._records_bytes += len(item.residues) if isinstance(item, Record) else 0
            if self._records_bytes >= LONG:
                self._store_records()

    def _finish_groups(self) -> None:
        self._store_groups(0)
        self._store_records()

    def _store_groups(self, n_left: int) -> None:
        while len(self._under_way) > n_left:
            group, pending = self._under_way.popleft()
            entries, units = pending.result()
            mostly_new = self._storer.store(
                [Entry(*entry) for entry in entries],
                [Unit(*unit) for unit in units] or None,
                lambda known, group=group: self._task.pack(records_in(group), known),  # type: ignore[misc]
            )
            self._compress = mostly_new and self._packer is not None

    def _store_records(self) -> None:
        """Store the records of a flat file that have been gathered."""
        records, self._records, self._records_bytes = self._records, [], 0
        if records:
            entries, _ = self._task.digest(records, compress=False)
            self._storer.store(
                [Entry(*entry) for entry in entries],
                None,
                lambda known: self._task.pack(records, known),
            )

    def _store_long(self, record: LongRecord) -> None:
        sha512 = hashlib.sha512()
        others = _Others(with_sha256=self._task.with_sha256)
        ahead, length, letters, begun = b"", 0, 0, False
        try:
            for residues, some_letters in record.pieces:
                letters |= some_letters
                length += len(residues)
                piece = residues
                if not begun:
                    ahead += residues
                    if length <= SHORT:  # so far; the rest may be white space
                        continue
                    piece, begun = ahead, True
                    if self._packer is not None:
                        self._packer.begin()
                self._engine.sha512.submit(sha512.update, piece)
                self._engine.others.submit(others.update, piece)
                if self._packer is not None:
                    self._packer.add_piece(piece)
        except BadInput as error:
            if begun and self._packer is not None:
                self._packer.forget()
            self._storer.refuse(error.message, error.line)
            return
        if not begun:
            self._records.append(Record(record.defline, ahead, letters, record.line))
            self._store_records()
            return
        empty = Record(record.defline, b"", letters, record.line)
        ((entry,), _) = self._task.digest([empty], compress=False)
        digest = self._engine.sha512.submit(sha512.digest).result()[:24]
        md5, sha1, *sha256 = self._engine.others.submit(others.digests).result()
        self._storer.store_long(
            Entry(*entry)._replace(
                digest=digest,
                name=digest_text(digest),
                md5=md5,
                sha1=sha1,
                sha256=sha256[0] if sha256 else None,
                length=length,
                letters=letters,
            )
        )


def _ahead(source: Input, reader: Lane, progress: Progress) -> Iterator[bytes]:
    """The chunks of a file, read, hashed and decompressed two ahead of whoever takes them."""
    chunks = decompressed(source)

    def take() -> bytes | None:
        return next(chunks, None)

    n_bytes = 0
    waiting = deque([reader.submit(take)])
    while True:
        if reader.is_threaded:
            waiting.append(reader.submit(take))
        chunk = waiting.popleft().result()
        if chunk is None:
            return
        progress(source.n_bytes - n_bytes)
        n_bytes = source.n_bytes
        yield chunk
        if not waiting:
            waiting.append(reader.submit(take))


#: Input that is worth workers, in bytes.
_MUCH = 8 << 20


def _is_much(files: Iterable[str]) -> bool:
    """Whether there is enough to read to start workers; a pipe may hold any amount."""
    total = 0
    for name in files:
        try:
            status = os.stat(name)
        except OSError:
            return name == STDIN
        if not stat.S_ISREG(status.st_mode):
            return True
        total += status.st_size
    return total >= _MUCH


def load(
    instance: Instance,
    files: Iterable[str],
    options: LoadOptions,
    progress: Progress = lambda _n_bytes: None,
) -> LoadReport:
    """Load files into an instance as one batch.

    Args:
        files: Names; ``-`` is standard input. Formats and compression are recognised.

    Raises:
        BadInput: A record or a file that is not right, named with its line.
        AliasConflict: An alias already means another sequence.
        Locked, ReadOnly, NotFound: As they say. The archive is as before, whatever is raised.
    """
    names = list(files)

    def send(pipeline: _Pipeline) -> None:
        for name in names:
            pipeline.load(name, progress)

    threads = options.threads if _is_much(names) else 0
    return _change(instance, "load", send, options, threads=threads)


def store_records(
    instance: Instance, records: Sequence[Record], options: LoadOptions
) -> LoadReport:
    """Store records that come from no file as one batch. Raises as ``load`` does."""
    return _change(
        instance, "store", lambda pipeline: pipeline.load_records(records), options, threads=0
    )


def _change(
    instance: Instance,
    kind: str,
    send: Callable[[_Pipeline], None],
    options: LoadOptions,
    *,
    threads: int,
) -> LoadReport:
    started = time.monotonic()
    if options.naming.namespace in namespaces.COMPUTED:
        raise BadName(
            f"{options.naming.namespace} names are computed from the residues and cannot be loaded"
        )
    report = LoadReport(namespace=options.naming.namespace, dry_run=options.dry_run)
    task = GroupTask(
        options.naming,
        options.circular,
        options.compression,
        with_sha256=batches.database_keeps_sha256(instance.database),
    )
    with ExitStack() as stack:
        # Before the lock and the database, neither of which a fork may hold.
        workers = stack.enter_context(Workers((task.run, task.compress), threads))
        writing: Writing | None = None
        if options.dry_run and not instance.database.exists():
            connection = batches.connect_for_writing(None)
            stack.callback(connection.close)
        else:
            writing = stack.enter_context(Writing(instance))
            connection = writing.connection
        batch = stack.enter_context(Batch(connection, kind, options.naming.namespace))
        with Lanes(threaded=threads > 0) as lanes:
            engine = _Engine(task, workers, lanes, threads=threads)
            packer = _packer(writing, engine, batch, options)
            with _publishing(packer, batch, report):
                storer = _Storer(batch, packer, options, report)
                send(_Pipeline(task, engine, storer, packer, options, report))
                report.unused_circular = storer.unused_circular()
        _take_counts(report, batch)
        report.seconds = round(time.monotonic() - started, 3)
        if writing is not None and not options.dry_run:
            report.batch = batch.id
            writing.committing()
            batch.commit(report.as_dict(), n_records=report.records)
            writing.committed()
    return report


def _packer(
    writing: Writing | None, engine: _Engine, batch: Batch, options: LoadOptions
) -> Packer | None:
    if writing is None or options.dry_run:
        return None
    return Packer(
        writing.journal,
        writing.open_directory(),
        engine.compress,
        shard_bytes=options.shard_bytes,
        new_shard_id=batch.new_shard_id,
    )


@contextmanager
def _publishing(packer: Packer | None, batch: Batch, report: LoadReport) -> Iterator[None]:
    """Publish the last shard at the end; remove what is unfinished if there is an error."""
    if packer is None:
        yield
        return
    try:
        yield
        packer.finish()
    except BaseException:
        packer.abort()
        raise
    for shard_id, path, files in packer.published:
        batch.add_shard(shard_id, path, files)
        report.shards += 1
        report.shard_bytes += files.size_bytes


def _take_counts(report: LoadReport, batch: Batch) -> None:
    report.namespace = batches.spelling(batch.connection, report.namespace)
    report.sequences_added = batch.n_sequences
    report.residues_added = batch.n_residues
    report.aliases_added = batch.aliases.added
    report.aliases_known = batch.aliases.known
    report.aliases_moved = batch.aliases.moved
    report.aliases_kept = batch.aliases.kept
    report.conflicts = list(batch.aliases.conflicts)
