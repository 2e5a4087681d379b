"""bigWig files, read where they are: a signal of which only what is asked for is in memory.

What a file says of sizes and places is believed only as far as the file goes, and nothing is
allocated for what it merely says. (The libraries for the format take such numbers at their word:
in one damaged file of thirty, pybigtools 0.3 asks for so much memory that the process ends.)
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput, Corrupt, SeqArchiveError
from ..columns import NO_STEPS, Bools, Floats, Ints, Steps
from ..descriptors import Descriptor
from .lines import chromosome_of, shown

#: What a file begins with, in the order of the bytes of all its numbers.
MAGICS = {b"\x26\xfc\x8f\x88": "<", b"\x88\x8f\xfc\x26": ">"}

_TREE, _INDEX = 0x78CA8C91, 0x2468ACE0
_HEADER, _TREE_HEADER, _INDEX_HEADER = "IHHQQQHHQQIQ", "IIIIQQ", "IIQIIIIQII"
_NODE, _SECTION = "BBH", "IIIIIBBH"

#: What a section has at most: the number of its items has 16 bits, and each has 12 bytes.
_MOST_BYTES = struct.calcsize("=" + _SECTION) + 12 * 65_535

#: Levels of a tree: more than that no tree of 2^64 items has, if each node has two.
_DEEPEST = 64


class BigWigFile:
    """An open bigWig file. Threads may share it; after a fork it can be read on; a copy by pickle
    opens the file again.

    Args:
        source: A path, or all bytes of a file.
        lengths: Of the chromosomes that there are, in residues, if not only those that the file
            says; it must say no others.
        label: What to call it in messages, if not by its path.
        is_stored: The file is ours: where it is damaged, it is ``Corrupt`` and not ``BadInput``.

    Raises:
        NotFound: No such file.
        BadInput: It is no bigWig, or damaged, or has other chromosomes. Any method may raise it
            when it comes to what is damaged.
    """

    def __init__(
        self,
        source: str | Path | bytes,
        *,
        lengths: Mapping[str, int] | None = None,
        label: str | None = None,
        is_stored: bool = False,
    ) -> None:
        self._source = source
        self._is_stored = is_stored
        self.label = label or ("the bigWig" if isinstance(source, bytes) else str(source))
        file = source if isinstance(source, bytes) else Descriptor(source)
        self._file: Descriptor | bytes | None = file
        self._size = len(file) if isinstance(file, bytes) else file.size
        magic = self._read(0, 4) if self._size >= 4 else b""
        if magic not in MAGICS:
            self._refuse("it does not begin as a bigWig does")
        self._order = MAGICS[magic]
        header = self._unpacked(_HEADER, 0)
        tree, self._index, self._is_deflated = header[3], header[5], header[10] > 0
        self._chroms = self._chromosomes(tree)
        self._lengths = self._all_lengths(lengths)
        if self._unpacked(_INDEX_HEADER, self._index)[0] != _INDEX:
            self._refuse("there is no index where it should be")

    def _all_lengths(self, known: Mapping[str, int] | None) -> dict[str, int]:
        said = {name: length for name, (_, length) in self._chroms.items()}
        if known is None:
            return said
        for name, length in said.items():
            if name not in known:
                raise BadInput(
                    f"there is no chromosome {shown(name)}: a track over another genome?",
                    file=self.label,
                )
            if known[name] != length:
                raise BadInput(
                    f"{name} has {known[name]:,} residues, not {length:,}", file=self.label
                )
        return dict(known)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self._source, self._lengths, self.label, self._is_stored)

    def __repr__(self) -> str:
        return f"<BigWigFile {self.label!r}: {len(self._lengths):,} chromosomes>"

    @property
    def n_bytes(self) -> int:
        """What it takes in memory: nothing, unless it is in memory."""
        return len(self._source) if isinstance(self._source, bytes) else 0

    def close(self) -> None:
        """Close it. What other threads read at the moment they still get."""
        self._file = None

    def __enter__(self) -> BigWigFile:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def chroms(self) -> dict[str, int]:
        """Chromosomes with their lengths in residues."""
        return dict(self._lengths)

    def steps(self, chrom: str, start: int, end: int) -> Steps:
        """The signal between two positions, cut there; none of a chromosome that is not there.

        Raises:
            BadInput: The file is damaged (``Corrupt`` if it is ours).
        """
        number, length = self._chroms.get(chrom, (0, 0))
        start, end = max(0, start), min(end, length)
        if start >= end:
            return NO_STEPS
        parts, reach, n_bytes = [], 0, 0
        for offset, size in self._sections(number, start, end):
            n_bytes += size
            if n_bytes > self._size:
                self._refuse("its sections have more bytes than there are")
            starts, ends, values = self._section(offset, size, number, length)
            if len(starts):
                # Each section once: a small file cannot make much of itself.
                if starts[0] < reach or (starts[1:] < ends[:-1]).any():
                    self._refuse(f"values of {chrom} overlap, or are not sorted")
                reach = int(ends[-1])
                parts.append((starts, ends, values))
        if not parts:
            return NO_STEPS
        columns = (np.concatenate(some) for some in zip(*parts, strict=True))
        return Steps.of(*columns).between(start, end)

    def intervals(self, chrom: str, start: int, end: int) -> list[tuple[int, int, float]] | None:
        """The same as pyBigWig gives it: start, end and value; None if there is nothing."""
        found = self.steps(chrom, start, end)
        columns = zip(
            found.starts.tolist(), found.ends.tolist(), found.values.tolist(), strict=True
        )
        return list(columns) or None

    # --- bytes --------------------------------------------------------------------------------

    def _refuse(self, message: str) -> NoReturn:
        if self._is_stored:
            raise Corrupt(f"{self.label}: {message}")
        raise BadInput(f"this bigWig is damaged: {message}", file=self.label)

    def _read(self, offset: int, n_bytes: int) -> bytes:
        file = self._file
        if file is None:
            raise SeqArchiveError(f"{self.label} is closed")
        if not 0 <= offset <= self._size - n_bytes:
            self._refuse(f"it has no {n_bytes:,} bytes at {offset:,}")
        if isinstance(file, bytes):
            return file[offset : offset + n_bytes]
        found = file.read(offset, n_bytes)
        if len(found) < n_bytes:
            self._refuse("it has become shorter")
        return found

    def _unpacked(self, layout: str, offset: int) -> tuple[Any, ...]:
        form = struct.Struct(self._order + layout)
        return form.unpack(self._read(offset, form.size))

    def _columns(self, data: bytes, *types: str) -> NDArray[Any]:
        fields = [
            (f"f{n}", kind if kind[0] == "S" else self._order + kind)
            for n, kind in enumerate(types)
        ]
        return np.frombuffer(data, np.dtype(fields))

    # --- chromosomes --------------------------------------------------------------------------

    def _chromosomes(self, offset: int) -> dict[str, tuple[int, int]]:
        """Number and length of each, in the order of their numbers."""
        magic, _, n_key, n_value, n_items, _ = self._unpacked(_TREE_HEADER, offset)
        if magic != _TREE or not 0 < n_key <= 4096 or n_value != 8:
            self._refuse("there is no list of chromosomes where it should be")
        found: list[tuple[int, str, int]] = []
        for is_leaf, begin, count in self._nodes(offset + 32, n_key + 8):
            if is_leaf:
                items = self._columns(
                    self._read(begin, count * (n_key + 8)), f"S{n_key}", "u4", "u4"
                )
                found += [
                    (number, self._name(key), length) for key, number, length in items.tolist()
                ]
        found.sort()
        if len(found) != n_items:
            self._refuse(f"{n_items:,} chromosomes are said to be there, not {len(found):,}")
        chroms = {name: (number, length) for number, name, length in found}
        if len(chroms) < len(found) or len({number for number, _ in chroms.values()}) < len(found):
            self._refuse("a chromosome is there twice")
        return chroms

    def _name(self, key: bytes) -> str:
        try:
            return chromosome_of(key.decode("utf-8"))
        except ValueError:
            self._refuse("a name of a chromosome is no text")

    def _nodes(
        self, root: int, inner_size: int, wanted: tuple[int, int, int] | None = None
    ) -> Iterator[tuple[bool, int, int]]:
        """The nodes of a tree, from left to right: whether it is a leaf, where its items begin,
        and how many there are. Both trees have the offset of a child at the end of an item.

        Args:
            wanted: Number of a chromosome, start and end: of an index, what has nothing there is
                left out.
        """
        waiting, n_bytes = [(root, 0)], 0
        while waiting:
            offset, depth = waiting.pop()
            is_leaf, _, count = self._unpacked(_NODE, offset)
            # Nodes that are beside each other have no more bytes than the file.
            n_bytes += 4 + count * inner_size
            if n_bytes > self._size or depth > _DEEPEST:
                self._refuse("its tree goes in circles")
            yield bool(is_leaf), offset + 4, count
            if is_leaf:
                continue
            data = self._read(offset + 4, count * inner_size)
            if wanted is None:
                children = self._columns(data, f"S{inner_size - 8}", "u8")["f1"]
            else:
                items = self._columns(data, "u4", "u4", "u4", "u4", "u8")
                children = items["f4"][_overlapping(items, *wanted)]
            waiting += [(child, depth + 1) for child in reversed(children.tolist())]

    # --- values -------------------------------------------------------------------------------

    def _sections(self, number: int, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Where the sections are that may have something there, and how long they are."""
        for is_leaf, begin, count in self._nodes(self._index + 48, 24, (number, start, end)):
            if is_leaf:
                items = self._columns(
                    self._read(begin, count * 32), "u4", "u4", "u4", "u4", "u8", "u8"
                )
                chosen = items[_overlapping(items, number, start, end)]
                yield from zip(chosen["f4"].tolist(), chosen["f5"].tolist(), strict=True)

    def _section(
        self, offset: int, size: int, number: int, length: int
    ) -> tuple[Ints, Ints, Floats]:
        """Starts, ends and values of one section; none if it is of another chromosome."""
        if size > 2 * _MOST_BYTES:
            self._refuse(f"a section says that it has {size:,} bytes")
        data = self._read(offset, size)
        if self._is_deflated:
            data = self._inflated(data)
        head = struct.Struct(self._order + _SECTION)
        if len(data) < head.size:
            self._refuse("a section is too short")
        chrom, start, _, step, span, kind, _, count = head.unpack_from(data)
        types = {1: ("u4", "u4", "f4"), 2: ("u4", "f4"), 3: ("f4",)}.get(kind)
        if types is None or len(data) < head.size + count * 4 * len(types):
            self._refuse("a section is not of any known kind, or too short")
        if chrom != number:
            count = 0
        items = self._columns(data[head.size : head.size + count * 4 * len(types)], *types)
        if kind == 3:
            starts = start + step * np.arange(count, dtype=np.int64)
        else:
            starts = items["f0"].astype(np.int64)
        ends = items["f1"].astype(np.int64) if kind == 1 else starts + span
        if (starts > ends).any() or (ends > length).any():
            self._refuse(f"a section has positions that cannot be ({length:,} residues)")
        return starts, ends, items[f"f{len(types) - 1}"].astype(np.float64)

    def _inflated(self, data: bytes) -> bytes:
        inflater = zlib.decompressobj()
        try:
            found = inflater.decompress(data, _MOST_BYTES)
        except zlib.error as error:
            self._refuse(f"a section cannot be decompressed ({error})")
        if not inflater.eof:
            self._refuse("a section is cut short, or longer than it can be")
        return found


def _overlapping(items: NDArray[Any], number: int, start: int, end: int) -> Bools:
    """Which items of an index may have something of a chromosome between two positions."""
    ends_before = (items["f2"] < number) | ((items["f2"] == number) & (items["f3"] <= start))
    begins_after = (items["f0"] > number) | ((items["f0"] == number) & (items["f1"] >= end))
    found: Bools = ~(ends_before | begins_after)
    return found


def _reopened(
    source: str | Path | bytes, lengths: Mapping[str, int], label: str, is_stored: bool
) -> BigWigFile:
    return BigWigFile(source, lengths=lengths, label=label, is_stored=is_stored)
