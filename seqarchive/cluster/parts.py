"""Part files: frames that one process writes and another reads, on storage that both share.

A frame is a tuple of what msgpack knows, with its size and the CRC-32 of all frames so far. Whoever
reads one was told by the writer how many bytes there are and what the last CRC is, so that nothing
that is cut, changed, exchanged or not there yet is taken for it.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgpack

from ..errors import SourceError

_MAGIC = b"seqarchive part 1\n"
_FRAME = struct.Struct("<II")

#: Errors in text are those of file names, which may be any bytes.
_TEXT = "surrogatepass"


class Seal(NamedTuple):
    """What is told of a finished part."""

    n_bytes: int
    crc: int


class PartWriter:
    """Writes a part. Nothing waits for the disk: a part does not outlive its load.

    Raises:
        FileExistsError, FileNotFoundError, OSError: As the system says.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open(path, "xb")  # noqa: SIM115
        self._n_bytes = self._file.write(_MAGIC)
        self._crc = 0

    def write(self, *frame: Any) -> None:
        """Append a frame."""
        data = msgpack.packb(frame, unicode_errors=_TEXT)
        self._crc = zlib.crc32(data, self._crc)
        self._file.write(_FRAME.pack(len(data), self._crc))
        self._file.write(data)
        self._n_bytes += _FRAME.size + len(data)

    def close(self) -> Seal:
        """End the file. On storage that others share, they see all of it from here on."""
        self._file.close()
        return Seal(self._n_bytes, self._crc)


def frames(path: Path, seal: Seal) -> Iterator[tuple[Any, ...]]:
    """The frames of a part, with tuples for all that are lists.

    Raises:
        SourceError: The file is not there, or not what was written.
    """
    try:
        with open(path, "rb") as file:
            left = os.fstat(file.fileno()).st_size
            if left != seal.n_bytes or file.read(len(_MAGIC)) != _MAGIC:
                raise _damaged(path, f"{left:,} bytes instead of {seal.n_bytes:,}")
            left -= len(_MAGIC)
            crc = 0
            while left:
                head = file.read(_FRAME.size)
                size, told = _FRAME.unpack(head) if len(head) == _FRAME.size else (left, 0)
                left -= _FRAME.size + size
                data = file.read(size) if left >= 0 else b""
                crc = zlib.crc32(data, crc)
                if len(data) != size or crc != told:
                    raise _damaged(path, "a wrong checksum")
                yield _unpacked(path, data)
            if crc != seal.crc:
                raise _damaged(path, "a wrong checksum")
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from None


def _unpacked(path: Path, data: bytes) -> tuple[Any, ...]:
    try:
        frame = msgpack.unpackb(data, use_list=False, unicode_errors=_TEXT)
    except ValueError as error:
        raise _damaged(path, str(error)) from None
    if not isinstance(frame, tuple) or not frame or not isinstance(frame[0], str):
        raise _damaged(path, "no frame")
    return frame


def _damaged(path: Path, why: str) -> SourceError:
    return SourceError(
        f"{path} is not what a worker wrote ({why}): does everybody see the same storage? "
        "Nothing was changed"
    )
