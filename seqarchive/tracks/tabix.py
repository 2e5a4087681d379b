"""Tabix indexes (``.tbi`` and ``.csi``), and the blocks that they point to, each one checked.

htslib ends where it cannot inflate a block, as if the file ended there; what is read here is
whole, or an error.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..bgzf import inflate_block, scan_blocks
from ..errors import Corrupt, NotFound
from .descriptors import Descriptor

#: What a chromosome may have for the index that all readers know; others have a ``.csi``.
LONGEST_OF_TBI = (1 << 29) - 1

_WINDOW = 1 << 20
_LARGEST_BLOCK = 1 << 16

#: Where compressed text begins and ends: offset of the block, and in the block, in one number.
Chunk = tuple[int, int]


@dataclass(frozen=True)
class _Chromosome:
    """What an index knows of one."""

    bins: dict[int, list[Chunk]]
    linear: tuple[int, ...]
    span: Chunk
    n_entries: int


class _Numbers:
    """Takes numbers from bytes, one after another."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, layout: str) -> tuple[int, ...]:
        form = struct.Struct("<" + layout)
        found = form.unpack_from(self._data, self._at)
        self._at += form.size
        return found

    def bytes(self, n: int) -> bytes:
        found = self._data[self._at : self._at + n]
        self._at += n
        if n < 0 or len(found) < n:
            raise ValueError
        return found

    def many(self, kind: str, n: int) -> tuple[int, ...]:
        return struct.unpack(f"<{n}{kind}", self.bytes(n * struct.calcsize("<" + kind)))


class TabixIndex:
    """Where the entries of each chromosome are in a BGZF file.

    Attributes:
        counts: How many each chromosome has, in the order in which they are in the file.

    Raises:
        NotFound: There is no index. Corrupt: It is damaged.
    """

    def __init__(self, path: Path) -> None:
        try:
            data = b"".join(block for _, block in scan_blocks(path))
        except FileNotFoundError:
            raise NotFound(f"{path}: no such file") from None
        try:
            self._parse(_Numbers(data))
        except (struct.error, ValueError, IndexError):
            raise Corrupt(f"{path}: this is no index of tabix, or a damaged one") from None
        self.counts = {name: one.n_entries for name, one in self._chroms.items()}

    def _parse(self, numbers: _Numbers) -> None:
        magic = numbers.bytes(4)
        if magic == b"TBI\x01":
            self._shift, self._depth = 14, 5
            (n_chroms,) = numbers.take("i")
            names = self._names(numbers)
        elif magic == b"CSI\x01":
            self._shift, self._depth, _ = numbers.take("iii")
            names = self._names(numbers)
            (n_chroms,) = numbers.take("i")
        else:
            raise ValueError
        if n_chroms != len(names) or not 0 <= self._depth <= 10 or not 0 < self._shift < 32:
            raise ValueError
        self._chroms = {
            name: self._chromosome(numbers, is_csi=magic == b"CSI\x01") for name in names
        }

    @staticmethod
    def _names(numbers: _Numbers) -> list[str]:
        *_, n_bytes = numbers.take("7i")
        return [name.decode("utf-8") for name in numbers.bytes(n_bytes).split(b"\0")[:-1]]

    def _chromosome(self, numbers: _Numbers, *, is_csi: bool) -> _Chromosome:
        bins: dict[int, list[Chunk]] = {}
        (n_bins,) = numbers.take("i")
        for _ in range(n_bins):
            number, *_, n_chunks = numbers.take("IQi" if is_csi else "Ii")
            places = numbers.many("Q", 2 * n_chunks)
            bins[number] = list(zip(places[::2], places[1::2], strict=True))
        linear = () if is_csi else numbers.many("Q", *numbers.take("i"))
        # A bin that no position has holds where the chromosome is, and how many entries it has.
        span, (n_entries, _) = bins.pop(_first_bin(self._depth + 1) + 1)
        return _Chromosome(bins, linear, span, n_entries)

    def whole(self, chrom: str) -> list[Chunk]:
        """Where all entries of a chromosome are."""
        return [self._chroms[chrom].span] if chrom in self._chroms else []

    def chunks(self, chrom: str, start: int, end: int) -> list[Chunk]:
        """Where all entries are, among others, that have a residue between two positions; sorted
        and apart from each other."""
        one = self._chroms.get(chrom)
        if one is None or start >= end:
            return []
        window = max(0, start) >> self._shift
        first = one.linear[min(window, len(one.linear) - 1)] if one.linear else 0
        found = sorted(
            (max(begin, first), finish)
            for number in self._bins(max(0, start), end)
            for begin, finish in one.bins.get(number, ())
            if finish > first
        )
        merged: list[Chunk] = []
        for begin, finish in found:
            if merged and begin <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(merged[-1][1], finish)
            else:
                merged.append((begin, finish))
        return merged

    def _bins(self, start: int, end: int) -> Iterator[int]:
        """The bins that may have an entry with a residue between two positions."""
        last = min(end - 1, (1 << (self._shift + 3 * self._depth)) - 1)
        for level in range(self._depth + 1):
            shift = self._shift + 3 * (self._depth - level)
            first = _first_bin(level)
            yield from range(first + (min(start, last) >> shift), first + (last >> shift) + 1)


def _first_bin(level: int) -> int:
    return int(((1 << (3 * level)) - 1) // 7)


def read_chunk(file: Descriptor, chunk: Chunk) -> Iterator[bytes]:
    """The text of a chunk, block after block.

    Raises:
        Corrupt: A block is not there or damaged.
    """
    (at, skip), (last, n_last) = ((place >> 16, place & 0xFFFF) for place in chunk)
    window, begin = b"", at
    while at < last or (at == last and n_last):
        if at - begin + _LARGEST_BLOCK > len(window) and begin + len(window) < file.size:
            begin, window = at, file.read(at, _WINDOW)
        size = int.from_bytes(window[at - begin + 16 : at - begin + 18], "little") + 1
        block = window[at - begin : at - begin + size]
        if len(block) < size or size < 28:
            raise Corrupt(f"{file.path}: there is no whole block at byte {at}")
        try:
            text = inflate_block(block)
        except Corrupt as error:
            raise Corrupt(f"{file.path}, byte {at}: {error}") from None
        yield text[skip:n_last] if at == last else text[skip:]
        at, skip = at + size, 0
