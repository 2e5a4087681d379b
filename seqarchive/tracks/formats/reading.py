"""Tracks from files: on disk, from a pipe, or as somebody sent them."""

from __future__ import annotations

import io
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ...errors import BadInput
from ...inputs import STDIN, Input, decompressed, open_input
from ..regions import TrackLabel
from ..track import (
    SIGNAL,
    AnyTrack,
    IntervalTrack,
    SignalTrack,
    Stepped,
    TableTrack,
    type_of,
)
from .bed import read_bed
from .bedgraph import read_bedgraph
from .bigwig import MAGICS, BigWigFile
from .catalogue import format_of, named_format, require_kind, without_extensions
from .documents import read_document
from .gathering import StepColumns
from .gff import read_gff
from .lines import lines_of
from .tables import read_table
from .wig import read_wig

#: Text that a track may have, decompressed, unless the caller says otherwise. What is in memory
#: at the end is up to ten times as much.
MAX_BYTES = 4 << 30


class _Task(NamedTuple):
    """What is to be read."""

    chunks: Iterable[bytes]
    file: str
    name: str | None
    lengths: Mapping[str, int] | None

    @property
    def label(self) -> TrackLabel:
        """What to call the track."""
        return TrackLabel(self.name or without_extensions(self.file))


def load_track(
    path: str | Path,
    *,
    name: str | None = None,
    format: str | None = None,  # what it is called everywhere
    chroms: Mapping[str, int] | None = None,
    max_bytes: int = MAX_BYTES,
) -> AnyTrack:
    """A track from a file, or from standard input as ``-``. It may be compressed: gzip, BGZF,
    bzip2, xz or zstd, which its contents tell. A bigWig file stays where it is and is read when
    something of it is asked for; all else is in memory then.

    Args:
        name: What to call it; as the document says (JSON) or else the file is called.
        format: One of ``FORMATS``; as the name and the contents say without it.
        chroms: The chromosomes that there are, with their lengths in residues: what is elsewhere
            is refused. Without it, those of a signal are as long as its values reach.
        max_bytes: Of text, decompressed.

    Raises:
        NotFound: No such file.
        BadInput: It is no track, or something in it is wrong; with file and line.
    """
    asked = None if format is None else named_format(format)
    if asked in (None, "bigwig") and _is_bigwig(path):
        if asked is None:
            require_kind(str(path), "bigwig", SIGNAL)
        label = TrackLabel(name or without_extensions(str(path)))
        return SignalTrack(label, BigWigFile(path, lengths=chroms))
    with open_input(str(path)) as source:
        return _read(source, str(path), (asked, name, chroms), max_bytes)


def read_track(
    source: BinaryIO | bytes,
    *,
    file: str = "the upload",
    name: str | None = None,
    format: str | None = None,
    chroms: Mapping[str, int] | None = None,
    max_bytes: int = MAX_BYTES,
) -> AnyTrack:
    """A track from bytes or a stream of them, as ``load_track`` reads it. A bigWig file is in
    memory.

    Args:
        file: What the sender called it: for its extension, and for messages.

    Raises:
        BadInput: It is no track, or something in it is wrong; with file and line.
    """
    asked = None if format is None else named_format(format)
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    return _read(Input(file, stream), file, (asked, name, chroms), max_bytes)


def _read(
    source: Input,
    file: str,
    asked: tuple[str | None, str | None, Mapping[str, int] | None],
    max_bytes: int,
) -> AnyTrack:
    asked_form, name, lengths = asked
    chunks = _bounded(decompressed(source), source.label, max_bytes)
    head = next(chunks, b"")
    form = asked_form
    if form is None:
        try:
            form = format_of(file, head)
        except BadInput as error:
            raise BadInput(error.message, file=source.label) from None
    title = name or ("standard input" if file == STDIN else None)
    track = _READERS[form](_Task(chain([head], chunks), source.label, title, lengths))
    for _ in chunks:
        pass  # of sequences after features: if they are damaged, the file is
    if asked_form is None:
        require_kind(file, form, type_of(track))
    return track


def _is_bigwig(path: str | Path) -> bool:
    """Whether a file begins as a bigWig does, that is one and is not compressed."""
    if str(path) == STDIN:
        return False
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            return False
        with open(path, "rb") as file:
            return file.read(4) in MAGICS
    except (OSError, ValueError):
        return False  # who opens it to read says why


def _bounded(chunks: Iterable[bytes], file: str, max_bytes: int) -> Iterator[bytes]:
    n_bytes = 0
    for chunk in chunks:
        n_bytes += len(chunk)
        if n_bytes > max_bytes:
            raise BadInput(f"this has more than {max_bytes:,} bytes, decompressed", file=file)
        yield chunk


def _intervals(task: _Task, **options: bool) -> AnyTrack:
    read = read_gff if "is_gtf" in options else read_bed
    lines = lines_of(task.chunks, task.file)
    return IntervalTrack.of(task.label, read(lines, task.file, task.lengths, **options))


def _signal(task: _Task, read: Callable[..., StepColumns]) -> AnyTrack:
    columns = read(lines_of(task.chunks, task.file), task.file, task.lengths)
    known = task.lengths is not None
    return SignalTrack(
        task.label, Stepped(columns.lengths(), columns.steps(), are_lengths_known=known)
    )


def _bigwig(task: _Task) -> AnyTrack:
    data = b"".join(task.chunks)
    return SignalTrack(task.label, BigWigFile(data, lengths=task.lengths, label=task.file))


def _document(task: _Task) -> AnyTrack:
    track = read_document(task.chunks, task.file, task.lengths, name=task.name)
    if not track.name:
        track.source = task.label
    return track


_READERS: Mapping[str, Callable[[_Task], AnyTrack]] = {
    "bed": _intervals,
    "narrowpeak": lambda task: _intervals(task, are_peaks=True),
    "gff3": lambda task: _intervals(task, is_gtf=False),
    "gtf": lambda task: _intervals(task, is_gtf=True),
    "wig": lambda task: _signal(task, read_wig),
    "bedgraph": lambda task: _signal(task, read_bedgraph),
    "bigwig": _bigwig,
    "json": _document,
    "tsv": lambda task: TableTrack(task.label, read_table(lines_of(task.chunks, task.file))),
}
