"""bigWig files, written by pybigtools."""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, repeat
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

import numpy as np

from ...errors import BadInput, SeqArchiveError
from ..columns import Floats, Steps
from .bigwig import BigWigFile
from .outputs import opened, unfinished
from .texts import ranges

#: Positions have 32 bits, and pybigtools does not come to an end near the last of them.
LONGEST = 4_000_000_000

#: It counts chromosomes with 16 bits, and writes a file that nobody can read if there are more.
MOST_CHROMOSOMES = 65_535

_LARGEST = float(np.finfo(np.float32).max)

_Entry = tuple[str, int, int, float]


def float32_of(values: Floats, chrom: str) -> Floats:
    """The nearest numbers of 32 bits.

    Raises:
        BadInput: One is too large to have any; infinities have.
    """
    too_large = np.isfinite(values) & (np.abs(values) > _LARGEST)
    if too_large.any():
        value = float(values[too_large][0])
        raise BadInput(f"{chrom}: {value!r} is too large for the numbers of 32 bits of a bigWig")
    return values.astype(np.float32).astype(np.float64) + 0.0


def rounded(steps: Steps, chrom: str) -> Steps:
    """Steps with numbers of 32 bits; neighbours that are then equal are one. Raises BadInput."""
    return Steps.of(steps.starts, steps.ends, float32_of(steps.values, chrom))


def write_bigwig_steps(
    parts: Iterable[tuple[str, Steps]],
    lengths: Mapping[str, int],
    out: str | Path | BinaryIO,
) -> int:
    """Write the steps of chromosome after chromosome; how many there are.

    Raises:
        BadInput: Something that a bigWig cannot have.
        SeqArchiveError: pybigtools is not installed, or the file cannot be written.
    """
    feed = _Feed(parts, lengths)
    if isinstance(out, (str, Path)) and not _is_special(Path(out)):
        with unfinished(Path(out), ".bw") as path:
            return _written(feed, lengths, path)
    with tempfile.TemporaryDirectory() as directory, opened(out) as file:
        path = Path(directory) / "signal.bw"
        n_steps = _written(feed, lengths, path)
        with open(path, "rb") as whole:
            shutil.copyfileobj(whole, file)
    return n_steps


def _is_special(path: Path) -> bool:
    """Whether it is there and no plain file; or compressed, which a bigWig is inside."""
    return (path.exists() and not path.is_file()) or path.suffix.lower() in (".gz", ".bgz")


class _Feed:
    """Gives pybigtools entry after entry. What goes wrong here ends the entries and is kept: the
    library would print it, and write half a file as if nothing had happened."""

    def __init__(self, parts: Iterable[tuple[str, Steps]], lengths: Mapping[str, int]) -> None:
        self._parts = parts
        self._lengths = lengths
        self.error: BaseException | None = None
        self.n_steps = 0
        self.chroms: dict[str, int] = {}

    def __iter__(self) -> Iterator[_Entry]:
        try:
            yield from self._entries()
        except GeneratorExit:
            raise
        except BaseException as error:  # raised again by _written
            self.error = error

    def _entries(self) -> Iterator[_Entry]:
        for chrom, given in self._parts:
            steps = rounded(given, chrom)
            if not len(steps):
                continue
            self.chroms[chrom] = self._lengths[chrom]
            self._check(chrom)
            self.n_steps += len(steps)
            for part in ranges(len(steps)):
                yield from zip(
                    repeat(chrom),
                    steps.starts[part].tolist(),
                    steps.ends[part].tolist(),
                    steps.values[part].tolist(),
                )

    def _check(self, chrom: str) -> None:
        if self._lengths[chrom] > LONGEST:
            raise BadInput(f"{chrom} is longer than the {LONGEST:,} residues of a bigWig")
        if len(self.chroms) > MOST_CHROMOSOMES:
            raise BadInput(f"a bigWig has values of {MOST_CHROMOSOMES:,} chromosomes at most")


def _written(feed: _Feed, lengths: Mapping[str, int], path: Path) -> int:
    entries = iter(feed)
    first = next(entries, None)
    if feed.error is not None:
        raise feed.error
    if first is None:
        path.write_bytes(_nothing())
        return 0
    writer = _library().open(os.fspath(path), "w")
    known = {chrom: length for chrom, length in lengths.items() if length <= LONGEST}
    try:
        writer.write(known, chain([first], entries))
    except Exception as error:
        raise SeqArchiveError(f"{path}: {error}") from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise SeqArchiveError(f"{path}: pybigtools gave up: {error}") from None
    if feed.error is not None:
        raise feed.error
    _check(path, feed.chroms)
    return feed.n_steps


def _library() -> ModuleType:
    try:
        import pybigtools  # noqa: PLC0415  (optional)
    except ImportError:
        raise SeqArchiveError(
            "writing a bigWig needs the package pybigtools: pip install 'seqarchive[tracks]'"
        ) from None
    found: ModuleType = pybigtools
    return found


def _check(path: Path, chroms: Mapping[str, int]) -> None:
    """Raise SeqArchiveError unless a file was written to its end: the library only prints what
    goes wrong, such as a disk that is full."""
    try:
        with BigWigFile(path) as file:
            is_whole = file.chroms() == dict(chroms)
    except BadInput:
        is_whole = False
    if not is_whole:
        raise SeqArchiveError(f"{path}: the bigWig could not be written (is the disk full?)")


def _nothing() -> bytes:
    """The file of a signal without values, of which pybigtools makes none."""
    tree, data, index = 104, 140, 148
    header = struct.pack("<IHHQQQHHQQIQ", 0x888FFC26, 4, 0, tree, data, index, 0, 0, 0, 64, 0, 0)
    summary = bytes(40)
    chromosomes = struct.pack("<IIIIQQ", 0x78CA8C91, 1, 1, 8, 0, 0)
    sections = bytes(8)
    found = struct.pack("<IIQIIIIQII", 0x2468ACE0, 1, 0, 0, 0, 0, 0, index, 1, 0)
    node = struct.pack("<BBH", 1, 0, 0)  # a leaf
    return header + summary + chromosomes + node + sections + found + node
