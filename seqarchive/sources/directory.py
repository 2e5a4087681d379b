"""A directory as a source."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from ..errors import NotFound, SourceError
from .base import CHUNK, Interrupted, Stream, gathered, require_size

#: A file, not a link out of the tree, nor a FIFO that never answers.
_SAFELY = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class DirectorySource:
    """A directory, which may be on a disk that comes and goes."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()

    @property
    def address(self) -> str:
        """The path."""
        return str(self.path)

    def open(self, path: str) -> int:
        """A descriptor of a file, for the caller to close. It is no link and no FIFO."""
        where = self.path / path
        try:
            fd = os.open(where, _SAFELY)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"{where}: no such file") from None
        except OSError as error:
            raise SourceError(f"{where}: {error.strerror}") from None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise SourceError(f"{where} is no file")
        return fd

    def read(self, path: str, max_bytes: int) -> bytes:
        """A whole file."""
        with self.stream(path) as (_, chunks):
            return gathered(chunks, max_bytes, str(self.path / path))

    def read_range(self, path: str, start: int, end: int, size: int | None = None) -> bytes:
        """The bytes ``[start, end)`` of a file."""
        fd = self.open(path)
        try:
            require_size(str(os.fstat(fd).st_size), size, str(self.path / path))
            found = os.pread(fd, end - start, start)
        except OSError as error:
            raise Interrupted(f"{self.path / path}: {error.strerror}") from None
        finally:
            os.close(fd)
        if len(found) != end - start:
            raise SourceError(f"{self.path / path} ends before byte {end:,}")
        return found

    @contextmanager
    def stream(self, path: str, start: int = 0) -> Iterator[Stream]:
        """A file from ``start`` on."""
        fd = self.open(path)
        with os.fdopen(fd, "rb", buffering=0) as file:
            file.seek(start)
            yield Stream(start, self._chunks(file, path))

    def _chunks(self, file: FileIO, path: str) -> Iterator[bytes]:
        try:
            while chunk := file.read(CHUNK):
                yield chunk
        except OSError as error:
            raise Interrupted(f"{self.path / path}: {error.strerror}") from None

    def close(self) -> None:
        """Nothing is kept open."""
