"""Shards: immutable BGZF FASTA files, one line a record, named by digest, with their indexes.

A record that is longer than a block begins a block of its own: its header line, in a stored
block of fixed size. One pass is therefore enough for a record of any length although its name
is its digest: the header is patched when the digest is known. Shorter records share blocks, but
none of them crosses the end of one, so that a read needs a single block.

What is read here is located by the database, not by the ``.fai``: that has no checksum, and
flipped bits in one make readers return other residues without an error.
"""

from __future__ import annotations

import errno
import hashlib
import os
import weakref
from bisect import bisect_right
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from .bgzf import Index, inflate_block
from .errors import Corrupt, denied
from .identifiers import digest_text


def header_line(name: str) -> bytes:
    """The header of a record: its digest and nothing else."""
    return b">%s\n" % name.encode("ascii")


class Wrapping(NamedTuple):
    """How the residues of a record are cut into lines: those of our own shards are not."""

    line_bases: int = 0
    """Residues of a full line; 0 if all of them are on one."""

    def text_offset(self, position: int) -> int:
        """Where a residue is in the text of its record, counted from the first one."""
        return position + position // self.line_bases if self.line_bases else position

    def text_length(self, length: int) -> int:
        """Bytes of the text of some residues, without the last line end."""
        return self.text_offset(length - 1) + 1 if length else 0

    def unwrapped(
        self, read: Callable[[int, int], bytes], offset: int, start: int, end: int, where: str
    ) -> bytes:
        """Residues ``[start, end)`` of the record whose first one is at ``offset``, without the
        line ends that ``read`` gives with them.

        Raises:
            Corrupt: Of the shard ``where``, whose lines are not as they should be.
        """
        if start >= end:
            return b""
        first, last = self.text_offset(start), self.text_offset(end - 1)
        found = read(offset + first, offset + last + 1).replace(b"\n", b"")
        if len(found) != end - start:
            raise Corrupt(f"{where}: the lines of a record have another length")
        return found

    def fai_line(self, name: str, length: int, offset: int) -> str:
        """A line of a ``.fai``."""
        bases = min(length, self.line_bases) if self.line_bases else length
        return f"{name}\t{length}\t{offset}\t{bases}\t{bases + 1}\n"


#: How our own shards are written.
UNWRAPPED = Wrapping()

#: Bytes of every header line.
HEADER_LENGTH = 34


def beside(path: Path, suffix: str) -> Path:
    """The path of an index of a shard."""
    return path.with_name(path.name + suffix)


def file_sha256(path: Path) -> tuple[int, bytes]:
    """Size in bytes and SHA-256 of a file."""
    sha256, size = hashlib.sha256(), 0
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(1 << 20):
            sha256.update(chunk)
            size += len(chunk)
    return size, sha256.digest()


#: Neither a link out of the archive nor a FIFO that never answers.
_SAFELY = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def _read_index(path: Path) -> bytes:
    with open(os.open(path, _SAFELY), "rb") as file:
        return file.read() or b""


class BlockCache:
    """Inflated blocks, bounded in bytes. No locks: safe between threads and across a fork.

    Blocks never change, so that an entry is never stale. The oldest goes first.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._n_bytes = 0  # between threads a few may be lost, not more than are put at one time
        self._blocks: dict[tuple[int, int], bytes] = {}
        self.get = self._blocks.get

    def put(self, key: tuple[int, int], block: bytes) -> None:
        """Keep a block, and drop old ones to stay within the bound."""
        if key not in self._blocks:
            self._n_bytes += len(block)
        self._blocks[key] = block
        while self._n_bytes > self._max_bytes:
            try:
                self._n_bytes -= len(self._blocks.pop(next(iter(self._blocks)), b""))
            except StopIteration:
                self._n_bytes = 0
            except RuntimeError:  # another thread was here first
                return


class AnyShard(Protocol):
    """A shard that can be read, wherever it is."""

    @property
    def wrapping(self) -> Wrapping:
        """How its records are cut into lines."""

    def read(self, start: int, end: int) -> bytes:
        """The uncompressed bytes ``[start, end)``, all of them."""

    def residues(self, offset: int, start: int, end: int) -> bytes:
        """Residues ``[start, end)`` of the record whose first one is at ``offset``."""


class ShardReader:
    """Random access to the uncompressed bytes of a shard. Safe between threads and forks.

    Args:
        path: The ``.fa.bgz``.
        number: Its id in the database, which names its blocks in the cache.
        size_bytes: Its size according to the database.
        gzi_sha256: SHA-256 of its ``.gzi``, likewise.
        first_digest: Digest in the name of its first record, likewise.
        wrapping: How its records are cut into lines, likewise.

    Raises:
        Corrupt: A file is missing, or is not the one that the database speaks of.
        ReadOnly: This user may not read it.
    """

    #: Compressed bytes of one system call when many blocks are read.
    _SPAN_BYTES = 1 << 20

    def __init__(
        self,
        path: Path,
        number: int,
        *,
        size_bytes: int,
        gzi_sha256: bytes,
        first_digest: bytes,
        wrapping: Wrapping,
        cache: BlockCache,
    ) -> None:
        self.wrapping = wrapping
        self._path = path
        self._number = number
        self._cache = cache
        self._size = size_bytes
        try:
            gzi = _read_index(beside(path, ".gzi"))
            self._fd = os.open(path, _SAFELY)
        except PermissionError as error:
            raise denied(error.filename) from None
        except OSError as error:
            is_link = error.errno == errno.ELOOP
            reason = "a symbolic link is in its place" if is_link else error.strerror
            raise Corrupt(f"{error.filename}: {reason}; run `seqarchive verify`") from None
        # No reference is left when this runs, hence no read is under way.
        weakref.finalize(self, os.close, self._fd)
        if hashlib.sha256(gzi).digest() != gzi_sha256:
            raise Corrupt(f"{path}.gzi has changed; run `seqarchive repair`")
        found = os.fstat(self._fd).st_size
        if found != size_bytes:
            raise Corrupt(f"{path} has {found} bytes, not {size_bytes}; run `seqarchive verify`")
        self._index = Index.from_bytes(gzi)
        if not self._block(0).startswith(header_line(digest_text(first_digest))):
            raise Corrupt(f"{path} is another shard than the one that belongs there")

    def read(self, start: int, end: int) -> bytes:
        """The uncompressed bytes ``[start, end)``, all of them.

        Raises:
            Corrupt: A block is damaged or missing.
        """
        if start >= end:
            return b""
        starts = self._index.uncompressed
        block = bisect_right(starts, start) - 1
        base = starts[block]
        data = self._cache.get((self._number, block)) or self._block(block)
        if end - base <= len(data):
            return data[start - base : end - base]
        return self._read_blocks(start, end)

    def residues(self, offset: int, start: int, end: int) -> bytes:
        """Residues ``[start, end)`` of the record whose first one is at ``offset``.

        Raises:
            Corrupt: A block is damaged or missing, or the lines are not as they should be.
        """
        if not self.wrapping.line_bases:
            return self.read(offset + start, offset + end)
        return self.wrapping.unwrapped(self.read, offset, start, end, str(self._path))

    def _read_blocks(self, start: int, end: int) -> bytes:
        first = self._index.block_at(start)
        base = self._index.uncompressed[first]
        data = b"".join(self._blocks(first, self._index.block_at(end - 1)))
        if len(data) < end - base:
            raise Corrupt(f"{self._path} ends before byte {end} of its contents")
        return data[start - base : end - base]

    def _block(self, number: int) -> bytes:
        starts = self._index.compressed
        begin = starts[number]
        end = starts[number + 1] if number + 1 < len(starts) else self._size
        data = self._inflate(os.pread(self._fd, end - begin, begin), begin, end - begin)
        self._cache.put((self._number, number), data)
        return data

    def _blocks(self, first: int, last: int) -> Iterator[bytes]:
        """Blocks first to last, past the cache: a chromosome would only push others out."""
        starts = self._index.compressed
        number = first
        while number <= last:
            begin = starts[number]
            stop = number + 1
            while stop <= last and starts[stop] - begin < self._SPAN_BYTES:
                stop += 1
            end = starts[stop] if stop < len(starts) else self._size
            span = memoryview(os.pread(self._fd, end - begin, begin))
            for block in range(number, stop):
                at = starts[block] - begin
                size = (starts[block + 1] if block + 1 < len(starts) else self._size) - (begin + at)
                yield self._inflate(span[at : at + size], begin + at, size)
            number = stop

    def _inflate(self, data: bytes | memoryview, offset: int, size: int) -> bytes:
        if len(data) != size or len(data) < 28:
            raise Corrupt(f"{self._path} is truncated; run `seqarchive verify`")
        # The last block's end is not in the index: its own header has it.
        own_size = int.from_bytes(data[16:18], "little") + 1
        try:
            return inflate_block(data[:own_size])
        except Corrupt as error:
            raise Corrupt(
                f"{self._path}, byte {offset}: {error}; run `seqarchive verify`"
            ) from None


class OpenShards:
    """The shards that are open: a bounded number, and a bounded cache of their blocks.

    Args:
        open_shard: Opens a shard by its number, with the cache to use.
        max_shards: How many stay open, one descriptor each.
        max_bytes: How much of inflated blocks is kept.
    """

    def __init__(
        self, open_shard: Callable[[int, BlockCache], AnyShard], max_shards: int, max_bytes: int
    ) -> None:
        self._open_shard = open_shard
        self._max_shards = max_shards
        self._cache = BlockCache(max_bytes)
        self._shards: dict[int, AnyShard] = {}

    def __getitem__(self, number: int) -> AnyShard:
        """A shard, open. Raises Corrupt."""
        return self._shards.get(number) or self._open(number)

    def _open(self, number: int) -> AnyShard:
        shard = self._open_shard(number, self._cache)
        while len(self._shards) >= self._max_shards:
            try:
                # Whoever reads from it still has it; the last reference closes the file.
                self._shards.pop(next(iter(self._shards)), None)
            except (StopIteration, RuntimeError):  # another thread was here first
                break
        self._shards[number] = shard
        return shard

    def close(self) -> None:
        """Let go of all shards."""
        self._shards = {}
