"""The one form of a track that names it: equal contents have equal digests, whatever file they
came from.

Intervals are text, sorted; of a signal it is steps, with values of 32 bits; a table is sorted by
its keys. All of it is of one genome, which the first line names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pysam

from ..errors import BadInput, SeqArchiveError
from ..identifiers import digest_text
from .columns import Intervals
from .formats.bigwig_writing import rounded
from .formats.outputs import BgzfWriter
from .formats.texts import check_names, checked_chromosome, is_plain_text, number_texts
from .formats.writing import ordered, table_lines, write_bigwig
from .reference import runs_of
from .tabix import LONGEST_OF_TBI
from .track import INTERVAL, TABLE, AnyTrack, IntervalTrack, SignalTrack, TableTrack, type_of

#: Of digests of tracks.
PREFIX = "TK."

#: What the first line begins with.
HEADER = "#seqarchive-track"

INTERVAL_FILE, SIGNAL_FILE, TABLE_FILE = ".bed.gz", ".bw", ".tsv"

#: Text that is kept from when it is hashed until it is written.
_KEPT = 1 << 26


class Canonical:
    """A track in its canonical form, for the genome that it is of.

    Attributes:
        kind: ``interval``, ``signal`` or ``table``.
        digest: ``TK.`` and the sha512t24u digest of the form.
        n_entries: Intervals, steps or keys.
    """

    def __init__(self, track: AnyTrack, lengths: Mapping[str, int], genome: str) -> None:
        if not is_plain_text(genome):
            raise BadInput(f"{genome[:40]!r} cannot be the name of a genome")
        self._track = track
        self._lengths = lengths
        self.kind = type_of(track)
        self._head = f"{HEADER}\t{self.kind}\t{genome}\n".encode()
        self._kept: list[bytes] | None = []
        self.n_entries = 0
        sha512, n_bytes = hashlib.sha512(), 0
        for text, n_entries in self._pieces():
            sha512.update(text)
            n_bytes += len(text)
            self.n_entries += n_entries
            if n_bytes > _KEPT or self.kind not in (INTERVAL, TABLE):
                self._kept = None
            elif self._kept is not None:
                self._kept.append(text)
        self.digest = PREFIX + digest_text(sha512.digest()[:24])

    def _pieces(self) -> Iterator[tuple[bytes, int]]:
        """The form, a chromosome at a time, and how many entries each piece has."""
        yield self._head, 0
        if isinstance(self._track, IntervalTrack):
            for chrom in ordered(self._track, self._lengths):
                columns = self._track.columns(chrom)
                if len(columns):
                    yield interval_text(chrom, columns), len(columns)
        elif isinstance(self._track, SignalTrack):
            for chrom in ordered(self._track, self._lengths):
                yield from _signal_pieces(self._track, chrom)
        else:
            yield _table_text(self._track), len(self._track)

    def write(self, directory: Path, stem: str) -> list[Path]:
        """Write the file, and its index if it has one; equal tracks give equal bytes. Nothing is
        left of what cannot be written.

        Returns:
            The files: ``stem`` with ``.bed.gz`` and ``.bed.gz.tbi`` (``.csi`` if a chromosome is
            longer than 2^29 - 1), ``.bw``, or ``.tsv``.

        Raises:
            SeqArchiveError: They cannot be written.
        """
        paths: list[Path] = []
        try:
            for path in self._write(directory, stem):
                paths.append(path)
        except BaseException as error:
            for suffix in (INTERVAL_FILE, ".bed.gz.tbi", ".bed.gz.csi", SIGNAL_FILE, TABLE_FILE):
                (directory / f"{stem}{suffix}").unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise SeqArchiveError(f"{directory}: {error.strerror or error}") from None
            raise
        return paths

    def _write(self, directory: Path, stem: str) -> Iterator[Path]:
        if isinstance(self._track, SignalTrack):
            path = directory / f"{stem}{SIGNAL_FILE}"
            write_bigwig(self._track, path, self._lengths)
            yield path
        elif self.kind == TABLE:
            path = directory / f"{stem}{TABLE_FILE}"
            with open(path, "wb") as file:
                file.writelines(self._texts())
            yield path
        else:
            path = directory / f"{stem}{INTERVAL_FILE}"
            with open(path, "wb") as file:
                packed = BgzfWriter(file)
                for text in self._texts():
                    packed.write(text)
                packed.finish()
            yield path
            yield self._indexed(path)

    def _texts(self) -> Iterator[bytes]:
        if self._kept is not None:
            yield from self._kept
        else:
            yield from (text for text, _ in self._pieces())

    def _indexed(self, path: Path) -> Path:
        is_long = max(self._lengths.values(), default=0) > LONGEST_OF_TBI
        # What it would say on standard error is raised too.
        verbosity = pysam.set_verbosity(0)
        try:
            pysam.tabix_index(
                str(path),
                force=True,
                seq_col=0,
                start_col=1,
                end_col=2,
                zerobased=True,
                meta_char="#",
                csi=is_long,
            )
        finally:
            pysam.set_verbosity(verbosity)
        return path.with_name(path.name + (".csi" if is_long else ".tbi"))


def canonical(track: AnyTrack, lengths: Mapping[str, int], genome: str) -> Canonical:
    """The canonical form of a track.

    Args:
        lengths: Of all chromosomes of the genome in residues, in order.
        genome: What names the genome, such as the digest of its collection.

    Raises:
        BadInput: Something is on a chromosome that is not there or not that long; a name has
            control characters; a tag is nothing that JSON has; a value is too large for 32 bits.
    """
    return Canonical(track, lengths, genome)


def interval_text(chrom: str, columns: Intervals) -> bytes:
    """Intervals of a chromosome as lines: chromosome, start, end, name, score, strand and tags
    (JSON, with sorted keys), ``.`` where there is no name or no tag; sorted by start, by end and
    then by the rest of the line.

    Raises:
        BadInput: A name has control characters, or a tag is nothing that JSON has.
    """
    checked_chromosome(chrom)
    check_names(chrom, columns, columns.names or ())
    some = _sorted(columns)
    n = len(some)
    fields = (
        [chrom] * n,
        map(str, some.starts.tolist()),
        map(str, some.ends.tolist()),
        [name or "." for name in some.names] if some.names else ["."] * n,
        number_texts(some.scores),
        map(bytes.decode, some.strands.tolist()),
        _tag_texts(chrom, some),
    )
    lines = list(map("\t".join, zip(*fields, strict=True)))
    same = (some.starts[1:] == some.starts[:-1]) & (some.ends[1:] == some.ends[:-1])
    for begin, end in runs_of(same).tolist():
        lines[begin : end + 1] = sorted(lines[begin : end + 1])
    return ("\n".join(lines) + "\n").encode("utf-8")


def _sorted(columns: Intervals) -> Intervals:
    order = np.lexsort((columns.ends, columns.starts))
    is_sorted = np.array_equal(order, np.arange(len(order)))
    return columns if is_sorted else columns.taken(order)


def _tag_texts(chrom: str, columns: Intervals) -> list[str]:
    if columns.tags is None:
        return ["."] * len(columns)
    found = []
    for n, tags in enumerate(columns.tags):
        try:
            text = _TAGS.encode(dict(tags)) if tags else "."
            text.encode("utf-8")
        except (TypeError, ValueError, RecursionError) as error:
            where = f"{chrom}:{columns.starts[n]}-{columns.ends[n]}"
            raise BadInput(f"{where}: its tags cannot be JSON ({error})") from None
        found.append(text)
    return found


def _plain(value: Any) -> Any:
    """A number of numpy's as one of Python's."""
    if getattr(value, "ndim", None) == 0:
        return value.item()
    raise TypeError(f"{type(value).__name__} is nothing that JSON has")


_TAGS = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=_plain)


def _signal_pieces(track: SignalTrack, chrom: str) -> Iterator[tuple[bytes, int]]:
    """A chromosome of a signal: its name, the number of steps, starts, ends and values, all of
    them little-endian."""
    steps = rounded(track.steps(chrom), chrom)
    if len(steps):
        yield f"{checked_chromosome(chrom)}\n{len(steps)}\n".encode(), len(steps)
        yield steps.starts.astype("<i8").tobytes(), 0
        yield steps.ends.astype("<i8").tobytes(), 0
        yield steps.values.astype("<f4").tobytes(), 0


def _table_text(track: TableTrack) -> bytes:
    return b"".join(table_lines(sorted(track.items(), key=lambda item: item[0])))
