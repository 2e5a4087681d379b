"""Tracks whose canonical files are opened again: what is asked for is read, and little kept."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BadInput, Corrupt, NotFound, SeqArchiveError
from .canonical import HEADER
from .columns import NO_INTERVALS, Intervals, joined
from .descriptors import Descriptor
from .formats.bigwig import BigWigFile
from .formats.lines import Fields, Lines, lines_of
from .formats.tables import read_table
from .regions import STRANDS, Region, TrackLabel
from .tabix import Chunk, TabixIndex, read_chunk
from .track import INTERVAL, TABLE, AnyTrack, IntervalTrack, SignalTrack, TableTrack

#: Chromosomes of one file whose intervals are kept.
_KEPT = 2

_N_COLUMNS = 7

#: Lines that are read sooner one by one than as columns.
_FEW = 500

#: After all positions.
_FAR = 1 << 62


class BedFile:
    """A canonical file of intervals, with its index. Threads may share it; after a fork it can be
    read on; a copy by pickle opens the file again.

    Raises:
        NotFound: No such file, or no index. Corrupt: They are damaged; so may any method.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file: Descriptor | None = Descriptor(path)
        for suffix in (".tbi", ".csi"):
            index = self.path.with_name(self.path.name + suffix)
            if index.exists():
                self._index = TabixIndex(index)
                break
        else:
            raise NotFound(f"{path}: there is no index beside it (.tbi or .csi)")
        head = b"".join(read_chunk(self._file, (0, 1 << 16))).split(b"\n", 1)[0]
        self.genome = _genome_of(head, INTERVAL, path)

    def __reduce__(self) -> tuple[Any, ...]:
        return BedFile, (self.path,)

    def __repr__(self) -> str:
        return f"<BedFile {str(self.path)!r}: {self.n_entries:,} intervals>"

    def close(self) -> None:
        """Close it. What other threads read at the moment they still get."""
        self._file = None

    @property
    def counts(self) -> dict[str, int]:
        """How many intervals each chromosome that has any has, in order."""
        return self._index.counts

    @property
    def chroms(self) -> list[str]:
        """The chromosomes that have intervals, in order."""
        return list(self._index.counts)

    @property
    def n_entries(self) -> int:
        """Of all chromosomes."""
        return sum(self._index.counts.values())

    def columns(self, chrom: str, start: int | None = None, end: int | None = None) -> Intervals:
        """The intervals of a chromosome, or those that have a residue between two positions.

        Raises:
            Corrupt: The file is damaged.
        """
        if start is None and end is None:
            found = self._read(chrom, self._index.whole(chrom), None)
            if len(found) != self._index.counts.get(chrom, 0):
                raise Corrupt(f"{self.path}: its index says another number of intervals of {chrom}")
            return found
        near = 0 if start is None else start, _FAR if end is None else end
        return self._read(chrom, self._index.chunks(chrom, *near), near)

    def regions(self, chrom: str, start: int, end: int) -> Iterator[Region]:
        """The intervals that have a residue between two positions, whole and sorted."""
        return self.columns(chrom, start, end).regions(chrom)

    def _read(self, chrom: str, chunks: list[Chunk], near: tuple[int, int] | None) -> Intervals:
        file = self._file
        if file is None:
            raise SeqArchiveError(f"{self.path} is closed")
        prefix = f"{chrom}\t".encode()
        texts: Iterator[bytes]
        if near is None:
            texts = (block for chunk in chunks for block in read_chunk(file, chunk))
        else:
            texts = iter([self._near(file, chunks, prefix, near)])
        parts = [
            self._parsed(lines.taken(lines.starting(prefix)))
            for lines in lines_of(texts, str(self.path))
        ]
        return joined(parts)

    def _near(
        self, file: Descriptor, chunks: list[Chunk], prefix: bytes, near: tuple[int, int]
    ) -> bytes:
        try:
            return b"".join(line + b"\n" for line in _near(file, chunks, prefix, *near))
        except ValueError:
            raise Corrupt(f"{self.path}: a line is no interval") from None

    def _parsed(self, lines: Lines) -> Intervals:
        """What lines say."""
        try:
            if len(lines) < _FEW:
                return _by_line(lines) if len(lines) else NO_INTERVALS
            return _at_once(lines) or _by_line(lines)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Corrupt(f"{self.path}: a line is no interval") from None


def _near(
    file: Descriptor, chunks: list[Chunk], prefix: bytes, start: int, end: int
) -> Iterator[bytes]:
    """The lines of a chromosome that have a residue between two positions. Lines are sorted: after
    the first one that begins behind, none is read."""
    for chunk in chunks:
        rest = b""
        for block in read_chunk(file, chunk):
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                if not line.startswith(prefix):
                    continue
                _, first, last, _ = line.split(b"\t", 3)
                if int(first) >= end:
                    return
                if int(last) > start and first != last:
                    yield line


def _genome_of(head: bytes, kind: str, path: str | Path) -> str:
    """The genome that the first line of a file names. Raises Corrupt."""
    words = head.decode("utf-8", "replace").split("\t")
    if words[:2] != [HEADER, kind] or len(words) != 3:
        raise Corrupt(f"{path}: it does not begin as a track of type {kind} does")
    return words[2]


def _at_once(lines: Lines) -> Intervals | None:
    fields = Fields.split(lines)
    if fields is None or fields.n_columns != _N_COLUMNS:
        return None
    starts, ends = fields.ints(1), fields.ints(2)
    scores, strands = fields.floats(4), fields.strands(5)
    if starts is None or ends is None or scores is None or strands is None:
        return None
    if (starts > ends).any():
        return None
    names = None
    if not fields.are_all(3, b"."):
        names = tuple("" if name == "." else name for name in fields.words(3))
    tags = None
    if not fields.are_all(6, b"."):
        tags = tuple({} if text == "." else json.loads(text) for text in fields.words(6))
    return Intervals(starts, ends, scores, strands, names, tags)


def _by_line(lines: Lines) -> Intervals:
    rows = [text.split("\t") for _, text in lines]
    _, starts, ends, names, scores, strands, tags = zip(*rows, strict=True)
    if not set(strands) <= set(STRANDS):
        raise ValueError
    found = Intervals.of(
        [int(start) for start in starts],
        [int(end) for end in ends],
        [float(score) for score in scores],
        np.array(strands, "S1"),
        names=None if set(names) == {"."} else ["" if name == "." else name for name in names],
        tags=None
        if set(tags) == {"."}
        else [{} if text == "." else json.loads(text) for text in tags],
    )
    if (found.starts > found.ends).any() or not all(map(_is_object, found.tags or ())):
        raise ValueError
    return found


def _is_object(tags: object) -> bool:
    return isinstance(tags, dict)


class _Columns(Mapping[str, Intervals]):
    """The intervals of a file by chromosome, read when they are asked for; of the last few
    chromosomes they are kept."""

    def __init__(self, file: BedFile) -> None:
        self.file = file
        self._kept: OrderedDict[str, Intervals] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return _Columns, (self.file,)

    def __getitem__(self, chrom: str) -> Intervals:
        found = self.kept(chrom)
        if found is not None:
            return found
        if chrom not in self.file.counts:
            raise KeyError(chrom)
        found = self.file.columns(chrom)
        with self._lock:
            self._kept[chrom] = found
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return found

    def kept(self, chrom: str) -> Intervals | None:
        """The intervals of a chromosome, if they are in memory."""
        with self._lock:
            found = self._kept.get(chrom)
            if found is not None:
                self._kept.move_to_end(chrom)
        return found

    @property
    def n_bytes(self) -> int:
        """What is kept takes in memory."""
        with self._lock:
            return sum(columns.n_bytes for columns in self._kept.values())

    def __iter__(self) -> Iterator[str]:
        return iter(self.file.counts)

    def __len__(self) -> int:
        return len(self.file.counts)


class StoredIntervals(IntervalTrack):
    """Intervals in a canonical file. Those of a chromosome are read when they are asked for; for a
    few of them, as ``regions`` and ``signal_at`` need, only what is near is read.

    Args:
        source: Something that has a name, or a name.
    """

    def __init__(self, source: TrackLabel | str, file: BedFile) -> None:
        super().__init__(TrackLabel(source) if isinstance(source, str) else source)
        self.file = file
        self._lazy = _Columns(file)
        self._columns = self._lazy

    def __len__(self) -> int:
        return self.file.n_entries

    @property
    def n_bytes(self) -> int:
        """About what it takes in memory: what was read last."""
        return 500 + 100 * len(self._lazy) + self._lazy.n_bytes

    def overlapping(self, chrom: str, start: int, end: int) -> Intervals:
        """The intervals that have a residue between two positions, whole and sorted."""
        kept = self._lazy.kept(chrom)
        if kept is None:
            return self.file.columns(chrom, start, end)
        return kept.taken(kept.overlapping(start, end))


def opened(path: Path, kind: str, name: str, lengths: Mapping[str, int]) -> AnyTrack:
    """A track from its canonical file.

    Args:
        kind: ``interval``, ``signal`` or ``table``.
        lengths: Of all chromosomes of the genome in residues, in order.

    Raises:
        NotFound: No such file. Corrupt: It is damaged; reading from it may raise that too.
    """
    if kind == INTERVAL:
        return open_interval_file(path, name)
    if kind == TABLE:
        return open_table_file(path, name)
    return open_signal_file(path, name, lengths)


def open_interval_file(path: str | Path, name: str) -> StoredIntervals:
    """The intervals of a canonical file (``.bed.gz``).

    Raises:
        NotFound: No such file, or no index. Corrupt: They are damaged.
    """
    return StoredIntervals(name, BedFile(path))


def open_signal_file(path: str | Path, name: str, lengths: Mapping[str, int]) -> SignalTrack:
    """The signal of a canonical file (``.bw``).

    Args:
        lengths: Of all chromosomes of the genome, in residues: the file has those with values.

    Raises:
        NotFound: No such file. Corrupt: It is damaged; reading from it may raise that too.
    """
    try:
        return SignalTrack(TrackLabel(name), BigWigFile(path, lengths=lengths, is_stored=True))
    except BadInput as error:
        raise Corrupt(str(error)) from None


def open_table_file(path: str | Path, name: str) -> TableTrack:
    """The table of a canonical file (``.tsv``), all of it in memory.

    Raises:
        NotFound: No such file. Corrupt: It is damaged.
    """
    file = Descriptor(path)
    data = file.read(0, file.size)
    _genome_of(data.split(b"\n", 1)[0], TABLE, path)
    try:
        values = read_table(lines_of([data], str(path)))
    except BadInput as error:
        raise Corrupt(str(error)) from None
    return TableTrack(TrackLabel(name), values)
