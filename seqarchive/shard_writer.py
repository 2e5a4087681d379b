"""Writing shards under a temporary name, block by block."""

from __future__ import annotations

import contextlib
import hashlib
import os
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from . import durable
from .bgzf import EOF_BLOCK, Index
from .errors import Corrupt
from .identifiers import digest_bytes
from .shards import UNWRAPPED, beside, file_sha256

#: What ``write`` gathers before it asks the system to write.
_WRITE_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class ShardFiles:
    """Sizes and SHA-256 of the three files of a finished shard."""

    path: Path
    size_bytes: int
    sha256: bytes
    fai_bytes: int
    fai_sha256: bytes
    gzi_bytes: int
    gzi_sha256: bytes
    first_digest: bytes
    n_sequences: int
    n_residues: int
    line_bases: int = 0


class Mark(NamedTuple):
    """A position between two blocks of a shard that is being written."""

    compressed: int
    uncompressed: int
    n_blocks: int


class ShardWriter:
    """Writes one shard under a temporary name. The order of blocks is the caller's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115
        self._fai = open(beside(path, ".fai"), "w", encoding="ascii", newline="\n")  # noqa: SIM115
        self._starts: tuple[array[int], array[int]] = (array("Q"), array("Q"))
        self._waiting: list[bytes] = []
        self._written = 0
        self.compressed = 0
        self.uncompressed = 0
        self.n_sequences = 0
        self.n_residues = 0
        self._first_name = ""

    def write(self, blocks: Sequence[tuple[bytes, int]]) -> None:
        """Append blocks, each with the number of bytes that it holds."""
        compressed, uncompressed = self._starts
        for block, n_bytes in blocks:
            compressed.append(self.compressed)
            uncompressed.append(self.uncompressed)
            self.compressed += len(block)
            self.uncompressed += n_bytes
        self._waiting += (block for block, _ in blocks)
        if self.compressed - self._written >= _WRITE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the blocks that wait to be written together."""
        _write_all(self._file.fileno(), b"".join(self._waiting))
        self._waiting = []
        self._written = self.compressed

    def mark(self) -> Mark:
        """The position where the next block will begin."""
        return Mark(self.compressed, self.uncompressed, len(self._starts[0]))

    def cut_back(self, mark: Mark) -> None:
        """Forget all blocks since the mark."""
        self.flush()
        self._written = mark.compressed
        self._file.truncate(mark.compressed)
        self._file.seek(mark.compressed)
        self.compressed, self.uncompressed, n_blocks = mark
        for starts in self._starts:
            del starts[n_blocks:]

    def patch(self, mark: Mark, block: bytes) -> None:
        """Replace the block at the mark by one of the same size."""
        self.flush()
        if os.pwrite(self._file.fileno(), block, mark.compressed) != len(block):
            raise OSError(f"short write to {self.path}")

    def blocks_since(self, mark: Mark) -> Iterator[tuple[bytes, int]]:
        """The blocks after the mark, as written, with the number of bytes that each holds."""
        self.flush()
        compressed, uncompressed = (starts[mark.n_blocks :] for starts in self._starts)
        compressed.append(self.compressed)
        uncompressed.append(self.uncompressed)
        with open(self.path, "rb") as file:
            file.seek(mark.compressed)
            for i in range(len(compressed) - 1):
                size = compressed[i + 1] - compressed[i]
                yield file.read(size), uncompressed[i + 1] - uncompressed[i]

    def add_entry(self, name: str, length: int, offset: int) -> None:
        """Enter a written record into the ``.fai``, under its digest."""
        self._fai.write(UNWRAPPED.fai_line(name, length, offset))
        self._first_name = self._first_name or name
        self.n_sequences += 1
        self.n_residues += length

    def finish(self) -> ShardFiles:
        """End the file, write the indexes, and read the result once to know its SHA-256."""
        self._waiting.append(EOF_BLOCK)
        self.flush()
        self._file.close()
        self._fai.close()
        gzi = Index(*self._starts).to_bytes()
        beside(self.path, ".gzi").write_bytes(gzi)
        size, sha256 = file_sha256(self.path)
        if size != self.compressed + len(EOF_BLOCK):
            raise Corrupt(f"{self.path} has {size} bytes and not what was written")
        fai_size, fai_sha256 = file_sha256(beside(self.path, ".fai"))
        return ShardFiles(
            self.path,
            size,
            sha256,
            fai_size,
            fai_sha256,
            len(gzi),
            hashlib.sha256(gzi).digest(),
            digest_bytes(self._first_name),
            self.n_sequences,
            self.n_residues,
        )

    def abort(self) -> None:
        """Remove what was written."""
        with contextlib.suppress(OSError):  # a full disk refuses to flush what goes away anyhow
            self._file.close()
            self._fai.close()
        for suffix in ("", ".fai", ".gzi"):
            durable.remove(beside(self.path, suffix))


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
