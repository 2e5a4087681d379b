"""Files that threads share, read at places and not in turn."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import NotFound, SeqArchiveError


class Descriptor:
    """An open file, closed when nobody has it any more: one thread may let go what others read.
    It has no position, so that a child after a fork may read on too.

    Raises:
        NotFound: No such file. SeqArchiveError: It cannot be opened.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        try:
            self._number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound(f"{path}: no such file") from None
        except (OSError, ValueError) as error:
            raise SeqArchiveError(f"{path}: {getattr(error, 'strerror', error)}") from None
        self.size = os.fstat(self._number).st_size

    def __del__(self) -> None:
        if hasattr(self, "_number"):
            os.close(self._number)

    def read(self, offset: int, n_bytes: int) -> bytes:
        """Bytes at a place; fewer only where the file ends.

        Raises:
            SeqArchiveError: They cannot be read.
        """
        try:
            return os.pread(self._number, n_bytes, offset)
        except OSError as error:
            raise SeqArchiveError(f"{self.path}: {error.strerror}") from None
