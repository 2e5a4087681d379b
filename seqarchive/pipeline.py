"""The beginning of the load pipeline: files -> records -> hashed groups, in order."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .errors import BadInput, Truncated
from .groups import SHORT, Entry, GroupTask, Unit
from .identifiers import digest_text
from .inputs import (
    CHUNK,
    Composed,
    Input,
    decompressed,
    label_of,
    open_input,
    size_of,
)
from .lanes import Lane, Lanes, Pending
from .load_options import LoadOptions, LoadReport
from .records import LONG, Group, LongRecord, Record, read_records, records_in
from .sinks import Packs, Stores
from .workers import Worker

Progress = Callable[[int], None]
"""Called with the number of bytes of input read since the last call."""

#: Tasks of the workers, by number.
_GROUP, _COMPRESS = 0, 1


class Engine:
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
        self._lanes = [lanes.add(f"work-{n}", depth=4) for n in range(len(self._calls))]
        self._turn = 0
        self.depth = 4 * len(self._lanes) if threads else 0
        self.sha512 = lanes.add("sha512")
        self.others = lanes.add("md5")
        self.reader = lanes.add("read", waits_for_input=True)

    def _submit(self, *arguments: Any) -> Pending[Any]:
        self._turn = (self._turn + 1) % len(self._lanes)
        return self._lanes[self._turn].submit(self._calls[self._turn], *arguments)

    def group(self, group: Group, *, compress: bool) -> Pending[_GroupResult]:
        """Entries and units of a group of FASTA records."""
        return self._submit(_GROUP, group.text, group.source, group.line, compress)

    def compress(self, text: bytes | memoryview) -> Pending[list[bytes]]:
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


class Pipeline:
    """Sends what comes from files through the engine to the storer."""

    def __init__(
        self,
        task: GroupTask,
        *,
        engine: Engine,
        storer: Stores,
        packer: Packs | None,
        options: LoadOptions,
        report: LoadReport,
    ) -> None:
        self.task = task
        self._engine = engine
        self.storer = storer
        self.packer = packer
        self._options = options
        self.report = report
        self._under_way: deque[tuple[Group, Pending[_GroupResult]]] = deque()
        self._compress = packer is not None  # as long as most of what comes is new
        self._records: list[Record | BadInput] = []
        self._records_bytes = 0

    def load(
        self, name: str, progress: Progress, label: str | None = None, *, path: str | None = None
    ) -> None:
        """Send one file through.

        Args:
            label: What to call it, if not by its name; it is no collection then.
            path: Where it is, if its name does not say that here.
        """
        if label is None and self._load_again(name, progress, path or name):
            return
        with open_input(path or name) as source:
            source.label = label or label_of(name)
            self.storer.open_source(source.label, is_collection=label is None)
            chunks = _ahead(source, self._engine.reader, progress)
            n_before = self.report.records
            try:
                ends = _Ends(chunks)
                file_format, found = read_records(
                    iter(ends), source.label, with_mask=self.task.with_mask
                )
                for item in found:
                    self._take(item)
                self._finish_groups()
            except BadInput as error:
                # A file that is something else can be left out. A damaged one cannot: nobody
                # knows what is missing.
                n_taken = self.report.records - n_before + len(self._under_way)
                if not self._options.skip_errors or n_taken or self._records:
                    raise
                if isinstance(error, Truncated):
                    raise
                self.storer.leave_out(error)
                # What is still read ahead must not be read of a file that is closed.
                self._engine.reader.submit(lambda: None).result()
                return
            self.storer.close_source(source, file_format, is_plain=ends.are_plain)

    def _load_again(self, name: str, progress: Progress, path: str) -> bool:
        """Take a file whose bytes were loaded before without parsing it, if that is possible."""
        size = size_of(path)
        if size is None or not self.storer.may_know(size):
            return False
        with open_input(path) as source:
            source.label = label_of(name)
            while source.read_fully(CHUNK):
                pass
            if not self.storer.store_again(source, self.task):
                return False
        progress(source.n_bytes)
        return True

    def load_text(self, source: Composed, kind: str, *, is_collection: bool) -> None:
        """Send FASTA that comes from no file through.

        Args:
            kind: What it came from.
            is_collection: Whether what is in it belongs together.
        """
        self.storer.open_source(source.label, is_collection=is_collection)
        _, found = read_records(iter(source), source.label)
        for item in found:
            self._take(item)
        self._finish_groups()
        self.storer.close_source(source, kind, is_plain=False)

    def refuse(self, message: str) -> None:
        """Leave something out of what is loaded, with a word about it, or fail."""
        self.storer.refuse(message, None)

    def load_records(self, records: Iterable[Record]) -> None:
        """Send records that come from no file through."""
        for record in records:
            self._take(record)
        self._finish_groups()
        self.storer.flush()

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
            self.storer.refuse(item.message, item.line)
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
            mostly_new = self.storer.store(
                [Entry(*entry) for entry in entries],
                [Unit(*unit) for unit in units] or None,
                lambda left_out, group=group: self.task.pack(records_in(group), left_out),  # type: ignore[misc]
            )
            self._compress = mostly_new and self.packer is not None

    def _store_records(self) -> None:
        """Store the records of a flat file that have been gathered."""
        records, self._records, self._records_bytes = self._records, [], 0
        if records:
            entries, _ = self.task.digest(records, compress=False)
            self.storer.store(
                [Entry(*entry) for entry in entries],
                None,
                lambda left_out: self.task.pack(records, left_out),
            )

    def _store_long(self, record: LongRecord) -> None:
        sha512 = hashlib.sha512()
        others = _Others(with_sha256=self.task.with_sha256)
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
                    if self.packer is not None:
                        self.packer.begin()
                self._engine.sha512.submit(sha512.update, piece)
                self._engine.others.submit(others.update, piece)
                if self.packer is not None:
                    self.packer.add_piece(piece)
        except BadInput as error:
            if begun and self.packer is not None:
                self.packer.forget()
            if isinstance(error, Truncated):
                raise
            self.storer.refuse(error.message, error.line)
            return
        if not begun:
            layout = record.layout
            self._records.append(
                Record(
                    record.defline,
                    ahead,
                    letters,
                    record.line,
                    width=layout.width,
                    mask=layout.mask,
                )
            )
            self._store_records()
            return
        empty = Record(record.defline, b"", letters, record.line)
        ((entry,), _) = self.task.digest([empty], compress=False)
        digest = self._engine.sha512.submit(sha512.digest).result()[:24]
        md5, sha1, *sha256 = self._engine.others.submit(others.digests).result()
        self.storer.store_long(
            Entry(*entry)._replace(
                digest=digest,
                name=digest_text(digest),
                md5=md5,
                sha1=sha1,
                sha256=sha256[0] if sha256 else None,
                length=length,
                letters=letters,
                width=record.layout.width,
                mask=record.layout.mask,
            )
        )


class _Ends:
    """Sees with what a text begins and ends."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._first = self._last = b""

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._first = self._first or chunk[:1]
            self._last = chunk[-1:] or self._last
            yield chunk

    @property
    def are_plain(self) -> bool:
        """Whether there is nothing before the first record, and the last line ends."""
        return self._first == b">" and self._last == b"\n"


def _ahead(source: Input, reader: Lane, progress: Progress) -> Iterator[bytes]:
    """The chunks of a file, read, hashed and decompressed two ahead of whoever takes them."""
    chunks = decompressed(source)

    def take() -> bytes | Exception | None:
        try:
            return next(chunks, None)
        except Exception as error:  # of this file: the lane goes on with the next one
            return error

    n_bytes = 0
    waiting = deque([reader.submit(take)])
    while True:
        if reader.is_threaded:
            waiting.append(reader.submit(take))
        chunk = waiting.popleft().result()
        if chunk is None:
            return
        if isinstance(chunk, Exception):
            raise chunk
        progress(source.n_bytes - n_bytes)
        n_bytes = source.n_bytes
        yield chunk
        if not waiting:
            waiting.append(reader.submit(take))
