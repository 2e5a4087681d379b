"""Packing: units of blocks -> shards, one after another, published when they are full.

What comes out depends on the sequences and their order alone, not on who compressed them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .bgzf import BLOCK_SIZE, EOF_BLOCK, stored_block
from .groups import Entry, Unit
from .journal import Journal
from .lanes import Pending
from .shard_writer import Mark, ShardFiles, ShardWriter
from .shards import HEADER_LENGTH, header_line

#: Default size at which a shard closes, compressed. benchmarks/shard_size.py says why.
SHARD_BYTES = 256 << 20

_NO_DIGEST = "-" * 32

Compress = Callable[[bytes | memoryview], Pending[list[bytes]]]
"""Compresses text into full blocks, and a shorter last one, at its leisure."""


class Placed(NamedTuple):
    """Where a sequence is: a shard, and the offset of the first residue in its text."""

    shard_id: int
    offset: int


class Pieces:
    """Cuts a long sequence that comes in pieces into full blocks, and hands them on in order.

    Args:
        compress: Makes the blocks.
        write: Takes blocks, each with the number of bytes that it holds.
    """

    #: Pieces that may be under way.
    _DEPTH = 6

    def __init__(
        self, compress: Compress, write: Callable[[list[tuple[bytes, int]]], object]
    ) -> None:
        self._compress = compress
        self._write = write
        self._rest = b""
        self._under_way: deque[tuple[int, Pending[list[bytes]]]] = deque()

    def add(self, residues: bytes) -> None:
        """Add what comes next."""
        text = self._rest + residues if self._rest else residues
        whole = len(text) - len(text) % BLOCK_SIZE
        self._rest = text[whole:]
        if whole:
            self._under_way.append((whole, self._compress(memoryview(text)[:whole])))
            self._drain(self._DEPTH)

    def end(self) -> None:
        """Add the end of the line, and hand on what is left."""
        text, self._rest = self._rest + b"\n", b""
        self._under_way.append((len(text), self._compress(text)))
        self._drain(0)

    def forget(self) -> None:
        """Wait for what is under way, and forget the rest."""
        self._drain(0)
        self._rest = b""

    def _drain(self, n_left: int) -> None:
        while len(self._under_way) > n_left:
            n_bytes, pending = self._under_way.popleft()
            blocks = pending.result()
            last = n_bytes - BLOCK_SIZE * (len(blocks) - 1)
            sizes = [BLOCK_SIZE] * (len(blocks) - 1) + [last]
            self._write(list(zip(blocks, sizes, strict=True)))


class Packer:
    """Writes the new sequences of a batch to shards and publishes them in the journal.

    Args:
        journal: Where to; ``directory`` is the batch's own in it.
        compress: For sequences in pieces.
        shard_bytes: No shard gets larger, unless a single sequence does.
        new_shard_id: Gives ids for shards.
    """

    def __init__(
        self,
        journal: Journal,
        directory: str,
        compress: Compress,
        *,
        shard_bytes: int,
        new_shard_id: Callable[[], int],
    ) -> None:
        self._journal = journal
        self._directory = directory
        self._shard_bytes = shard_bytes
        self._new_shard_id = new_shard_id
        self._writer: ShardWriter | None = None
        self._shard_id = 0
        self._mark: Mark | None = None  # where the sequence in pieces begins
        self._pieces = Pieces(compress, self.add_blocks)
        self._is_packed = False
        self.published: list[tuple[int, str, ShardFiles]] = []
        """Id, path in the journal and files of each finished shard."""

    def add(self, unit: Unit, entries: Sequence[Entry], placed: dict[int, Placed]) -> None:
        """Write a unit of a group, and enter where the sequences of its entries are."""
        writer = self._room_for(sum(len(block) for block, _ in unit.blocks))
        base = writer.uncompressed
        writer.write(unit.blocks)
        for number, offset in unit.places:
            entry = entries[number]
            writer.add_entry(entry.name, entry.length, base + offset)
            placed[number] = Placed(self._shard_id, base + offset)

    # --- a sequence in pieces ---------------------------------------------------------------

    def begin(self, *, is_packed: bool = False) -> None:
        """Begin a long sequence, whose digest is not known yet.

        Args:
            is_packed: It comes as blocks, the end of its line included.
        """
        writer = self._open_writer()
        self._is_packed = is_packed
        self._mark = writer.mark()
        writer.write([(stored_block(header_line(_NO_DIGEST)), HEADER_LENGTH)])

    def add_piece(self, residues: bytes) -> None:
        """Add residues to the sequence that was begun."""
        self._pieces.add(residues)

    def add_blocks(self, blocks: Sequence[tuple[bytes, int]]) -> None:
        """Add blocks of the sequence that was begun."""
        assert self._writer is not None
        self._writer.write(blocks)

    def end(self, name: str, length: int) -> Placed:
        """End the sequence: it is new, and this is its digest."""
        assert self._mark is not None
        assert self._writer is not None
        if not self._is_packed:
            self._pieces.end()
        mark, writer = self._mark, self._writer
        self._mark = None
        writer.patch(mark, stored_block(header_line(name)))
        if writer.n_sequences and writer.compressed + len(EOF_BLOCK) > self._shard_bytes:
            writer, mark = self._move_to_new_shard(writer, mark)
        offset = mark.uncompressed + HEADER_LENGTH
        writer.add_entry(name, length, offset)
        return Placed(self._shard_id, offset)

    def forget(self) -> None:
        """End the sequence: it is known already, or not right."""
        assert self._mark is not None
        assert self._writer is not None
        self._pieces.forget()
        self._writer.cut_back(self._mark)
        self._mark = None

    def _move_to_new_shard(self, full: ShardWriter, mark: Mark) -> tuple[ShardWriter, Mark]:
        """Move what was written since the mark, block by block, out of a shard that is full."""
        full_id, self._writer = self._shard_id, None
        writer = self._open_writer()
        for block in full.blocks_since(mark):
            writer.write([block])
        full.cut_back(mark)
        self._publish(full, full_id)
        return writer, Mark(0, 0, 0)

    # --- shards -----------------------------------------------------------------------------

    def _room_for(self, n_bytes: int) -> ShardWriter:
        """The shard to write to: a new one if the current would get too large."""
        writer = self._open_writer()
        if writer.n_sequences and writer.compressed + n_bytes + len(EOF_BLOCK) > self._shard_bytes:
            self._writer = None
            self._publish(writer, self._shard_id)
            writer = self._open_writer()
        return writer

    def _open_writer(self) -> ShardWriter:
        if self._writer is None:
            self._shard_id = self._new_shard_id()
            self._writer = ShardWriter(self._journal.temporary(f"{self._shard_id}.fa.bgz"))
        return self._writer

    def _publish(self, writer: ShardWriter, shard_id: int) -> None:
        files = writer.finish()
        path = self._journal.publish(files.path, self._directory)
        self.published.append((shard_id, path, files))

    def finish(self) -> None:
        """Publish what is left; all names are durable on return."""
        writer, self._writer = self._writer, None
        if writer is not None and writer.n_sequences:
            self._publish(writer, self._shard_id)
        elif writer is not None:
            writer.abort()
        if self.published:
            self._journal.sync(self._directory)

    def abort(self) -> None:
        """Remove what is unfinished. What was published is the caller's to clean up."""
        if self._writer is not None:
            self._writer.abort()
            self._writer = None
