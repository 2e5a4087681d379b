"""Input files: opened, hashed as they are read, decompressed and recognised by content.

The name of a file says nothing here. What is read is counted and hashed as it comes, so that a
batch can record exactly the bytes that it was made from.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import zstandard
from isal import igzip, isal_zlib

from .bgzf import EOF_BLOCK
from .errors import BadInput, NotFound, SeqArchiveError, Truncated, denied

#: Bytes read and parsed at a time.
CHUNK = 1 << 20

STDIN = "-"

#: What a dictionary of xz may take; its strongest preset needs 65 MiB.
_XZ_MEMORY = 128 << 20

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)
#: What follows the first byte (0x50 to 0x5f) of a skippable frame, with which pzstd begins.
_SKIPPABLE = b"\x2a\x4d\x18"
_REFUSED: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip archive; unpack it first"),
    (b"\x43\x27\x41\x1a", "a 2bit file; convert it to FASTA first"),
    (b"\x1a\x41\x27\x43", "a 2bit file; convert it to FASTA first"),
    (b"CRAM", "a CRAM file, not sequences"),
    (b"BAM\x01", "a BAM file, not sequences"),
    (b"SQLite format 3\x00", "a SQLite database, not sequences"),
)
#: What decompressors say of damaged data, each in its own way.
_DAMAGED: tuple[type[Exception], ...] = (
    EOFError,
    gzip.BadGzipFile,
    cast(type[Exception], isal_zlib.error),
    zlib.error,
    lzma.LZMAError,
    zstandard.ZstdError,
    OSError,
    ValueError,
)


class Composed:
    """Text that comes from no file, counted and hashed as it goes by.

    Args:
        label: What to call it.
    """

    compression = "none"

    def __init__(self, label: str, chunks: Iterable[bytes]) -> None:
        self.label = label
        self._chunks = chunks
        self._sha256 = hashlib.sha256()
        self.n_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._sha256.update(chunk)
            self.n_bytes += len(chunk)
            yield chunk

    @property
    def sha256(self) -> bytes:
        """Of all that has come."""
        return self._sha256.digest()


@dataclass(slots=True)
class ReadInput:
    """What is to be said of an input that somebody else has read to its end."""

    label: str
    n_bytes: int
    sha256: bytes
    compression: str = "none"


def label_of(name: str) -> str:
    """What to call a file. Its name may be any bytes; what is said and kept of it is text."""
    if name == STDIN:
        return "standard input"
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class Input(io.RawIOBase):
    """The raw bytes of a file, counted and hashed as they are read."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        self.label = label_of(name)
        self._file = file
        self._ahead = b""
        self._sha256 = hashlib.sha256()
        self._tail = b""
        self.n_bytes = 0
        self.compression = "none"
        self.io_error: OSError | None = None

    def readable(self) -> bool:
        """True: this is a stream to read from."""
        return True

    def peek(self, n_bytes: int) -> bytes:
        """The first bytes, still to be read."""
        while len(self._ahead) < n_bytes:
            more = self._take(n_bytes - len(self._ahead))
            if not more:
                break
            self._ahead += more
        return self._ahead

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read, count and hash what comes next."""
        data = self._ahead[: len(buffer)]
        if data:
            self._ahead = self._ahead[len(data) :]
        else:
            data = self._take(len(buffer))
        buffer[: len(data)] = data
        self._sha256.update(data)
        self.n_bytes += len(data)
        self._tail = (self._tail + data[-28:])[-28:]
        return len(data)

    def read_fully(self, n_bytes: int) -> bytes:
        """``n_bytes``, or fewer at the end; without the copies of a buffered reader."""
        data = self._ahead or self._take(n_bytes)
        self._ahead = b""
        while data and len(data) < n_bytes:
            more = self._take(n_bytes - len(data))
            if not more:
                break
            data += more
        self._sha256.update(data)
        self.n_bytes += len(data)
        return data

    def _take(self, n_bytes: int) -> bytes:
        try:
            return self._file.read(n_bytes) or b""
        except OSError as error:
            self.io_error = error
            raise

    @property
    def sha256(self) -> bytes:
        """SHA-256 of all bytes read so far."""
        return self._sha256.digest()

    @property
    def ends_with_eof_block(self) -> bool:
        """Whether the last bytes read are BGZF's end-of-file block."""
        return self._tail == EOF_BLOCK


def size_of(name: str) -> int | None:
    """The bytes of a file that can be read more than once; None of a pipe or of nothing."""
    if name == STDIN:
        return None
    try:
        status = Path(name).stat()
    except (OSError, ValueError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def amount_of(name: str) -> int | None:
    """The bytes that are to be read; None of a pipe, which may hold any amount, or of nothing."""
    if name != STDIN:
        return size_of(name)
    if sys.stdin is None or not sys.stdin.seekable():
        return None
    stream = sys.stdin.buffer
    here = stream.tell()
    end = stream.seek(0, os.SEEK_END)
    stream.seek(here)
    return end - here


@contextmanager
def open_input(name: str) -> Iterator[Input]:
    """Open a file by name, or standard input as ``-``.

    Raises:
        NotFound: No such file. ReadOnly: This user may not read it. SeqArchiveError: It cannot be
            read.
    """
    if name == STDIN:
        yield Input(name, _standard_input())
        return
    try:
        file = open(name, "rb", buffering=0)  # noqa: SIM115
    except FileNotFoundError:
        raise NotFound(f"{name}: no such file") from None
    except IsADirectoryError:
        raise SeqArchiveError(f"{name}: Is a directory; name the files in it") from None
    except PermissionError:
        raise denied(name) from None
    except OSError as error:
        raise SeqArchiveError(f"{name}: {error.strerror}") from None
    with file:
        yield Input(name, cast(BinaryIO, file))


def _standard_input() -> BinaryIO:
    """Standard input, unbuffered if it is a real file: the lock of Python's own buffer would be
    held by a thread that waits for a pipe, and an interrupted load could not end."""
    if sys.stdin is None:
        raise SeqArchiveError("standard input is closed")
    try:
        fd = sys.stdin.fileno()
    except (OSError, ValueError):
        return sys.stdin.buffer
    return cast(BinaryIO, open(fd, "rb", buffering=0, closefd=False))


def decompressed(source: Input) -> Iterator[bytes]:
    """The decompressed contents in chunks; records the kind of compression on ``source``.

    Raises:
        BadInput: Truncated or damaged compressed data, data after its end, or a file format
            that holds no sequences.
    """
    head = source.peek(18)
    for magic, what in _REFUSED:
        if head.startswith(magic):
            raise BadInput(f"this is {what}", file=source.label)
    kind = next((kind for magic, kind in _MAGIC if head.startswith(magic)), "none")
    if head[1:4] == _SKIPPABLE and head[0] & 0xF0 == 0x50:
        kind = "zstd"
    if kind == "gzip" and head[3:4] == b"\x04" and head[12:16] == b"BC\x02\x00":
        kind = "bgzf"
    source.compression = kind
    read = source.read_fully if kind == "none" else _decompressor(kind, source).read
    try:
        while chunk := read(CHUNK):
            yield chunk
    except _DAMAGED as error:
        if source.io_error is not None:
            raise SeqArchiveError(f"{source.label}: {source.io_error.strerror}") from None
        reason = " ".join(str(error).split()) or "unexpected end"
        raise Truncated(
            f"the {kind} data are truncated or damaged ({reason})", file=source.label
        ) from None
    if kind == "bgzf" and not source.ends_with_eof_block:
        raise Truncated(
            "the BGZF data are truncated: the end-of-file block is missing", file=source.label
        )


def _decompressor(kind: str, source: Input) -> BinaryIO:
    buffered = io.BufferedReader(source, CHUNK)
    match kind:
        case "gzip" | "bgzf":
            return cast(BinaryIO, igzip.IGzipFile(fileobj=buffered))  # type: ignore[no-untyped-call]
        case "bzip2":
            return cast(BinaryIO, _Frames(buffered, bz2.BZ2Decompressor))
        case "xz":
            return cast(BinaryIO, _Frames(buffered, _xz_stream))
        case _:
            return cast(BinaryIO, _Frames(buffered, _ZstdFrame))


def _xz_stream() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)


class _Decompressor(Protocol):
    """One frame or stream, as the standard library decompresses it."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _ZstdFrame:
    """A frame of zstd, in the same way. The library cannot bound what comes out of some input,
    so it gets little at a time, and less while it makes much of it."""

    _STEP, _SMALL_STEP, _MUCH = 1024, 64, 1 << 18

    def __init__(self) -> None:
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._ahead = b""
        self._step = self._SMALL_STEP

    @property
    def eof(self) -> bool:
        return bool(self._frame.eof)

    @property
    def needs_input(self) -> bool:
        return not self._ahead

    @property
    def unused_data(self) -> bytes:
        return bytes(self._frame.unused_data) + self._ahead

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        data = self._ahead + data
        parts: list[bytes] = []
        n_bytes = 0
        at = 0
        while at < len(data) and not self._frame.eof and not 0 <= max_length <= n_bytes:
            parts.append(self._frame.decompress(data[at : at + self._step]))
            n_bytes += len(parts[-1])
            at += self._step
            self._step = self._SMALL_STEP if len(parts[-1]) > self._MUCH else self._STEP
        self._ahead = data[at:]
        return b"".join(parts)


class _Frames:
    """Frames one after another until the file ends; no bytes between or after them, and no cut
    end, go unnoticed. Memory is bounded whatever the ratio of compression."""

    _INPUT = 1 << 16

    def __init__(self, file: BinaryIO, new_frame: Callable[[], _Decompressor]) -> None:
        self._file = file
        self._new_frame = new_frame
        self._frame: _Decompressor | None = None
        self._ahead = b""
        self._out = b""

    def read(self, n_bytes: int) -> bytes:
        """``n_bytes``, or fewer at the end."""
        parts, n_have = [self._out], len(self._out)
        while n_have < n_bytes:
            part = self._more(n_bytes - n_have)
            if part is None:
                break
            parts.append(part)
            n_have += len(part)
        text = b"".join(parts)
        self._out = text[n_bytes:]
        return text[:n_bytes]

    def _more(self, n_bytes: int) -> bytes | None:
        data = b""
        if self._frame is None or self._frame.needs_input:
            data = self._ahead or self._file.read(self._INPUT)
            self._ahead = b""
            if not data:
                if self._frame is not None:
                    raise EOFError("it does not end")
                return None
        if self._frame is None:
            self._frame = self._new_frame()
        part = self._frame.decompress(data, n_bytes)
        if self._frame.eof:
            self._ahead, self._frame = self._frame.unused_data, None
        return part
