"""BGZF blocks: compress, index, random access.

BGZF (SAM specification, section 4.1) is a series of gzip members of at most 64 KiB, each with
its compressed size in an extra field. Ours hold 16 KiB: a random read then inflates a quarter
of what it would from bgzip's blocks, and files grow by 1.5 %.

Residues gain nothing from a search for repeats (the codes of four letters are what can be
saved), so that Huffman coding alone is both the smallest and the fastest; transcripts of one
gene beside each other are the exception, for which there is ``Compression.SMALL``.
"""

from __future__ import annotations

import enum
import os
import struct
import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

from isal import isal_zlib
from zlib_ng import zlib_ng

from .errors import Corrupt

#: Uncompressed bytes of a full block.
BLOCK_SIZE = 16_384

#: The empty block that ends every BGZF file.
EOF_BLOCK = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")

_HEADER = struct.Struct("<4sIBBHBBHH")
_TRAILER = struct.Struct("<II")
_STORED = struct.Struct("<BHH")
_OVERHEAD = _HEADER.size + _TRAILER.size
_MAGIC = b"\x1f\x8b\x08\x04"

#: ISA-L has an error of its own (which its type stubs take for an instance).
_InflateError = cast(type[Exception], isal_zlib.error)


class Compression(enum.Enum):
    """How hard to try. Every reader of BGZF reads both."""

    FAST = "fast"
    """Huffman codes only: right for DNA, RNA and proteins, 200 MB/s and more on one core."""

    SMALL = "small"
    """Also look for repeats, and keep the smaller result: up to 30 % less for transcripts."""


def _block(deflated: bytes, data: bytes | memoryview) -> bytes:
    header = _HEADER.pack(_MAGIC, 0, 0, 255, 6, 66, 67, 2, len(deflated) + _OVERHEAD - 1)
    return header + deflated + _TRAILER.pack(zlib_ng.crc32(data), len(data))


def _deflate(data: bytes | memoryview, level: int, strategy: int) -> bytes:
    compressor = zlib_ng.compressobj(level, zlib_ng.DEFLATED, -15, 9, strategy)
    return bytes(compressor.compress(data) + compressor.flush())


def compress_block(data: bytes | memoryview, compression: Compression = Compression.FAST) -> bytes:
    """One block; its bytes depend on the data and the compression alone."""
    deflated = _deflate(data, 1, zlib_ng.Z_HUFFMAN_ONLY)
    if compression is Compression.SMALL:
        deflated = min(deflated, _deflate(data, 6, zlib_ng.Z_DEFAULT_STRATEGY), key=len)
    return _block(deflated, data)


def compress_blocks(
    data: bytes | memoryview, compression: Compression = Compression.FAST
) -> list[bytes]:
    """Blocks of ``BLOCK_SIZE`` bytes, the last one shorter unless the data fill it."""
    return [
        compress_block(data[at : at + BLOCK_SIZE], compression)
        for at in range(0, len(data), BLOCK_SIZE)
    ]


def stored_block(data: bytes) -> bytes:
    """A block whose size depends on the length of the data alone, so that it can be patched."""
    length = len(data)
    return _block(_STORED.pack(1, length, length ^ 0xFFFF) + data, data)


class Index:
    """Where each block begins, in the compressed and in the uncompressed file (``.gzi``)."""

    def __init__(self, compressed: array[int], uncompressed: array[int]) -> None:
        self.compressed = compressed
        self.uncompressed = uncompressed

    @classmethod
    def from_bytes(cls, data: bytes) -> Index:
        """Read a ``.gzi``: a count, then a pair of little-endian 64-bit offsets for each block.

        The first block, at 0, is not listed.

        Raises:
            Corrupt: The count is not that of the pairs.
        """
        values = array("Q")
        if len(data) < 8 or len(data) % 8:
            raise Corrupt(f"a .gzi index of {len(data)} bytes is truncated")
        values.frombytes(data)
        if sys.byteorder == "big":
            values.byteswap()
        if len(values) != 2 * values[0] + 1:
            raise Corrupt(f"a .gzi index that says {values[0]} blocks holds {len(values) // 2}")
        compressed, uncompressed = array("Q", [0]), array("Q", [0])
        compressed.extend(values[1::2])
        uncompressed.extend(values[2::2])
        return cls(compressed, uncompressed)

    @classmethod
    def of(cls, blocks: Iterable[tuple[int, int]]) -> Index:
        """From the compressed and uncompressed offset of each block."""
        index = cls(array("Q"), array("Q"))
        for compressed, uncompressed in blocks:
            index.compressed.append(compressed)
            index.uncompressed.append(uncompressed)
        return index

    def to_bytes(self) -> bytes:
        """The ``.gzi`` file, byte for byte as htslib writes it."""
        n_blocks = max(0, len(self.compressed) - 1)
        values = array("Q", bytes(8 + 16 * n_blocks))
        values[0] = n_blocks
        values[1::2] = self.compressed[1:]
        values[2::2] = self.uncompressed[1:]
        if sys.byteorder == "big":
            values.byteswap()
        return values.tobytes()

    def block_at(self, offset: int) -> int:
        """Number of the block that holds the uncompressed offset."""
        return bisect_right(self.uncompressed, offset) - 1


def inflate_block(data: bytes | memoryview) -> bytes:
    """What one block holds.

    Raises:
        Corrupt: Not a BGZF block, or its CRC or length is wrong.
    """
    try:
        # gzip framing: ISA-L checks the CRC-32 and the length of what comes out.
        return isal_zlib.decompress(data, 31, BLOCK_SIZE)
    except (_InflateError, EOFError) as error:
        raise Corrupt(f"a damaged block: {error}") from None


def block_starts(path: Path) -> Iterator[tuple[int, int]]:
    """Offset of every block in the compressed and the uncompressed file, from their own headers and
    trailers, without inflating any; to the EOF block.

    Raises:
        Corrupt: There is no block where one should be, or no EOF block at the end.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        offset = uncompressed = 0
        while True:
            head = os.pread(file.fileno(), _HEADER.size, offset)
            if len(head) < _HEADER.size or head[:4] != _MAGIC or head[12:16] != b"BC\x02\x00":
                raise Corrupt(f"{path}: no BGZF block at byte {offset}")
            end = offset + int.from_bytes(head[16:18], "little") + 1
            if end == size and end - offset == len(EOF_BLOCK):
                return
            n_bytes = int.from_bytes(os.pread(file.fileno(), 4, end - 4), "little")
            if end >= size or end - offset < _OVERHEAD or n_bytes > 1 << 16:
                raise Corrupt(f"{path}: the block at byte {offset} says a size that cannot be")
            yield offset, uncompressed
            offset, uncompressed = end, uncompressed + n_bytes


def scan_blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    """Offset and uncompressed bytes of every block of a file, without an index, to the EOF block.

    Raises:
        Corrupt: A block is damaged, or the file ends before or goes on after the EOF block.
    """
    with open(path, "rb") as file:
        offset = 0
        while True:
            head = file.read(_HEADER.size)
            if len(head) < _HEADER.size or head[:4] != _MAGIC or head[12:16] != b"BC\x02\x00":
                raise Corrupt(f"{path}: no BGZF block at byte {offset}")
            size = int.from_bytes(head[16:18], "little") + 1
            if size < _OVERHEAD:
                raise Corrupt(f"{path}: the block at byte {offset} says a size that cannot be")
            block = head + file.read(size - len(head))
            if len(block) < size:
                raise Corrupt(f"{path}: the block at byte {offset} is truncated")
            if block == EOF_BLOCK:
                if file.read(1):
                    raise Corrupt(f"{path}: data after the end-of-file block at byte {offset}")
                return
            try:
                yield offset, inflate_block(block)
            except Corrupt as error:
                raise Corrupt(f"{path}, byte {offset}: {error}") from None
            offset += size
