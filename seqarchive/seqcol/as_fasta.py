"""A collection as the FASTA file that it is: its size, its digests, and any range of its bytes,
without the file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from ..exporting import WIDTH
from ..identifiers import Digest
from ..layouts import masked
from .archived import NamedRecord

#: Residues that are turned into lines at one time.
_PIECE = 1 << 20

Fetch = Callable[[Digest, int, int], str]
"""Residues of a sequence, by its digest."""


class Records(Protocol):
    """A collection, in an archive or in a RefgetStore."""

    @property
    def line_bases(self) -> int | None:
        """Residues of a line; 0 if each record has one; None if lines differ, or nobody knows."""

    def records(self) -> Iterator[NamedRecord]:
        """Its members with their deflines, in order."""


class FastaDigests(NamedTuple):
    """What a FASTA file is, as a file."""

    n_bytes: int
    sha256: str
    """In hexadecimal, as the others."""
    md5: str
    sha512: str


class CollectionFasta:
    """The bytes that ``export --collection`` writes.

    Args:
        fetch: Where the residues come from.
    """

    def __init__(self, collection: Records, fetch: Fetch) -> None:
        self._collection = collection
        self._fetch = fetch
        width = collection.line_bases
        self._width = WIDTH if width is None else width

    def size(self) -> int:
        """How many bytes there are; no residues are read for that."""
        return sum(self._size_of(record) for record in self._collection.records())

    def layout(self) -> tuple[int, str]:
        """How many bytes there are, and what tells this file from any other: a digest over all that
        its bytes are made of. No residues are read for that."""
        size, hasher = 0, hashlib.sha256(str(self._width).encode("ascii"))
        for record in self._collection.records():
            size += self._size_of(record)
            head = f"{record.defline}\n{record.digest}\n{len(record.mask)}\n"
            hasher.update(head.encode("utf-8") + record.mask)
        return size, hasher.hexdigest()[:32]

    def digests(self) -> FastaDigests:
        """Its digests; everything is read for that."""
        hashers = [hashlib.sha256(), hashlib.md5(), hashlib.sha512()]
        n_bytes = 0
        for chunk in self.chunks():
            n_bytes += len(chunk)
            for hasher in hashers:
                hasher.update(chunk)
        return FastaDigests(n_bytes, *(hasher.hexdigest() for hasher in hashers))

    def chunks(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes ``[start, end)``."""
        at = 0
        for record in self._collection.records():
            if end is not None and at >= end:
                return
            after = at + self._size_of(record)
            if after > start:
                last = after - at if end is None else min(end, after) - at
                yield from self._chunks_of(record, max(start - at, 0), last)
            at = after

    def _size_of(self, record: NamedRecord) -> int:
        return self._head(record) + self._text(record.length)

    @staticmethod
    def _head(record: NamedRecord) -> int:
        return len(record.defline.encode("utf-8")) + 2

    def _text(self, n_residues: int) -> int:
        """Bytes of so many residues in lines."""
        if not n_residues:
            return 0
        return n_residues + (-(-n_residues // self._width) if self._width else 1)

    def _chunks_of(self, record: NamedRecord, start: int, end: int) -> Iterator[bytes]:
        """Some bytes of a record, of which the defline is the first."""
        head = f">{record.defline}\n".encode()
        if start < len(head):
            yield head[start:end]
        first, last = max(start - len(head), 0), end - len(head)
        if last <= first:
            return
        if not self._width:  # one line
            stop = min(last, record.length)
            for text in self._cased(record, first, stop, _PIECE):
                yield text.encode("ascii")
            if last > record.length:
                yield b"\n"
            return
        # Whole lines around what is wanted, of which both ends are cut.
        step = self._width
        begin = first // (step + 1) * step
        stop = min(-(-last // (step + 1)) * step, record.length)
        skipped, left = first - first // (step + 1) * (step + 1), last - first
        for chunk in self._lines(record, begin, stop):
            wanted = chunk[skipped : skipped + left]
            skipped = max(skipped - len(chunk), 0)
            left -= len(wanted)
            if wanted:
                yield wanted

    def _lines(self, record: NamedRecord, begin: int, stop: int) -> Iterator[bytes]:
        """Residues ``[begin, stop)`` in lines; ``begin`` is the first of a line."""
        step = self._width
        for text in self._cased(record, begin, stop, max(_PIECE // step, 1) * step):
            lines = [text[n : n + step] for n in range(0, len(text), step)]
            yield ("\n".join(lines) + "\n").encode("ascii")

    def _cased(self, record: NamedRecord, begin: int, stop: int, size: int) -> Iterator[str]:
        """Residues ``[begin, stop)`` piece by piece, in lower case where they were."""
        pieces = (
            self._fetch(record.digest, at, min(at + size, stop)) for at in range(begin, stop, size)
        )
        return masked(pieces, record.mask, begin)
