"""Shards of a published snapshot, read by requests for the blocks that are wanted."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from itertools import pairwise
from typing import NamedTuple

from ..bgzf import Index, inflate_block
from ..database import ShardRow
from ..errors import Corrupt
from ..shards import BlockCache
from ..sources.base import Source, persistently
from .cache import DiskCache
from .files import ChunkedFile, WrongBytes, read_published

#: Entries of a ``.gzi`` that are looked at together, so that most look-ups need one request.
_ENTRIES = 1024

#: Compressed bytes of one request when many blocks are read.
_SPAN_BYTES = 4 << 20

#: Blocks of a read that are worth a place in the cache on disk.
_FEW = 16

#: Of a block at most, and of the EOF block behind the last one.
_BLOCK_BYTES = (1 << 16) + 28

#: Bytes of a header line and of a line end, which a record has besides its residues.
_RECORD_OVERHEAD = 35


class _Block(NamedTuple):
    """Where a block lies."""

    number: int
    compressed: int
    uncompressed: int


class RemoteShard:
    """A shard that is read by ranges. Safe between threads.

    Args:
        row: What the database knows of it.
        path: Of the ``.fa.bgz``, in the source.
        gzi: Its index.
        blocks: Inflated blocks that are kept in memory.
        cache: Blocks as they came, kept on disk.
    """

    def __init__(
        self,
        source: Source,
        path: str,
        row: ShardRow,
        gzi: ChunkedFile,
        *,
        blocks: BlockCache,
        cache: DiskCache,
    ) -> None:
        self.wrapping = row.wrapping
        self._source = source
        self._path = path
        self._row = row
        self._gzi = gzi
        self._blocks = blocks
        self._cache = cache
        # All blocks but the first are in the index; behind the last there is the EOF block.
        self._n_blocks = (row.gzi_bytes - 8) // 16 + 1

    def read(self, start: int, end: int) -> bytes:
        """The uncompressed bytes ``[start, end)``, all of them.

        Raises:
            SourceError: They cannot be had, or not the right ones.
            Corrupt: The index does not fit.
        """
        if start >= end:
            return b""
        first = self._block_at(start)
        found = bytearray()
        at, wanted = first, end - first.uncompressed
        while len(found) < wanted:
            if at.number >= self._n_blocks:
                raise Corrupt(f"{self._where()} ends before byte {end} of its contents")
            at = self._read_span(at, end, found)
        return bytes(found[start - first.uncompressed : wanted])

    def residues(self, offset: int, start: int, end: int) -> bytes:
        """Residues ``[start, end)`` of the record whose first one is at ``offset``."""
        if not self.wrapping.line_bases:
            return self.read(offset + start, offset + end)
        return self.wrapping.unwrapped(self.read, offset, start, end, self._where())

    def _where(self) -> str:
        return f"{self._source.address}/{self._path}"

    # --- the index --------------------------------------------------------------------------

    def _entries(self, first: int, stop: int) -> list[_Block]:
        """Where the blocks ``[first, stop)`` begin."""
        data = self._gzi.read(8 + 16 * (max(first, 1) - 1), 8 + 16 * (stop - 1))
        n_entries = len(data) // 16
        index = Index.from_bytes(n_entries.to_bytes(8, "little") + data)
        found = [
            _Block(number, *place)
            for number, place in enumerate(
                zip(index.compressed[1:], index.uncompressed[1:], strict=True), max(first, 1)
            )
        ]
        return found if first else [_Block(0, 0, 0), *found]

    def _block_at(self, offset: int) -> _Block:
        """The block that holds an uncompressed byte, found where blocks of equal size had it."""
        low, high = 0, self._n_blocks
        total = self._row.n_residues + _RECORD_OVERHEAD * self._row.n_sequences
        guess = offset * self._n_blocks // max(total, 1)
        while low < high:
            first = min(max(guess - _ENTRIES // 2, low), max(low, high - _ENTRIES))
            stop = min(first + _ENTRIES, high)
            entries = self._entries(first, stop)
            at = bisect_right(entries, offset, key=lambda block: block.uncompressed)
            if at == 0:
                high, nearest = first, entries[0]
            elif at == len(entries) and stop < high:
                low, nearest = stop - 1, entries[-1]
            else:
                return entries[at - 1]
            ahead = (offset - nearest.uncompressed) * self._n_blocks // max(total, 1)
            guess = nearest.number + ahead
        raise Corrupt(f"{self._where()}: the index has no block for byte {offset}")

    # --- blocks -----------------------------------------------------------------------------

    def _read_span(self, first: _Block, end: int, found: bytearray) -> _Block:
        """Inflate blocks from ``first`` on until there is enough, or they are many.

        Returns:
            The block behind them.
        """
        stop = min(first.number + _ENTRIES, self._n_blocks)
        places = self._entries(first.number, min(stop + 1, self._n_blocks))
        if stop == self._n_blocks:
            places.append(_Block(stop, self._row.size_bytes, end))
        n = 1
        while (
            n < len(places) - 1
            and places[n].uncompressed < end
            and places[n].compressed - first.compressed < _SPAN_BYTES
        ):
            n += 1
        wanted = places[: n + 1]
        if any(
            not 0 < after.compressed - before.compressed <= _BLOCK_BYTES
            for before, after in pairwise(wanted)
        ):
            raise Corrupt(f"{self._where()}: the index is out of order")
        for data in self._inflated(wanted):
            found += data
        return wanted[-1]

    def _inflated(self, places: list[_Block]) -> list[bytes]:
        """The contents of the blocks between some places."""
        kept = [self._blocks.get((self._row.id, place.number)) for place in places[:-1]]
        few = len(kept) <= _FEW
        for n, data in enumerate(kept):
            if data is None and few:
                raw = self._cache.get(self._key(places[n]))
                kept[n] = None if raw is None else _inflate(raw)
        missing = [n for n, data in enumerate(kept) if data is None]
        if missing:
            first, last = missing[0], missing[-1]
            got = persistently(lambda: self._ask(places[first : last + 2], keep=few))
            kept[first : last + 1] = got
        if few:
            for place, data in zip(places, kept, strict=False):
                assert data is not None
                self._blocks.put((self._row.id, place.number), data)
        return [data for data in kept if data is not None]

    def _key(self, place: _Block) -> bytes:
        # Blocks have a CRC and no digest: what one mirror gave is not what another has.
        name = self._where().encode("utf-8") + self._row.sha256
        return hashlib.sha256(name + place.compressed.to_bytes(8, "little")).digest()[:16]

    def _ask(self, places: list[_Block], *, keep: bool) -> list[bytes]:
        """The contents of the blocks between some places, by one request."""
        begin, end = places[0].compressed, places[-1].compressed
        span = read_published(self._source, self._path, begin, end)
        found = []
        for place, after in pairwise(places):
            raw = span[place.compressed - begin : after.compressed - begin]
            data = _inflate(raw)
            size = after.uncompressed - place.uncompressed
            is_last = after.number == self._n_blocks
            if data is None or (len(data) != size and not is_last):
                raise WrongBytes(
                    f"{self._where()}: bytes {begin}-{end - 1} are not blocks of the shard"
                )
            if keep:
                self._cache.put(self._key(place), raw)
            found.append(data)
        return found


def _inflate(raw: bytes) -> bytes | None:
    """What a block holds (behind the last one may be the EOF block); None if it is damaged."""
    if len(raw) < 28:
        return None
    try:
        return inflate_block(raw[: int.from_bytes(raw[16:18], "little") + 1])
    except Corrupt:
        return None
