"""Files that tracks are written to: they are there as a whole, or not at all."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from ...bgzf import BLOCK_SIZE, EOF_BLOCK, Compression, compress_blocks
from ...durable import publish_loosely
from ...errors import SeqArchiveError


class BgzfWriter(io.RawIOBase):
    """Writes BGZF blocks to a file as text comes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._rest = bytearray()

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, data: Any) -> int:
        """More text."""
        self._rest += data
        cut = len(self._rest) - len(self._rest) % BLOCK_SIZE
        if cut:
            self._put(bytes(self._rest[:cut]))
            del self._rest[:cut]
        return len(data)

    def finish(self) -> None:
        """Write what is left, and the block that ends the file."""
        self._put(bytes(self._rest))
        self._rest.clear()
        self._file.write(EOF_BLOCK)

    def _put(self, data: bytes) -> None:
        self._file.writelines(compress_blocks(data, Compression.SMALL))


@contextmanager
def unfinished(path: Path, extension: str = "") -> Iterator[Path]:
    """A path to write to, beside the final one: it becomes that when all is well, and nothing is
    left otherwise. What is no plain file, such as a pipe, is written to as it is.

    Args:
        extension: That the path must have.

    Raises:
        SeqArchiveError: The system refuses it.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}{extension}")
    try:
        yield temporary
        publish_loosely(str(temporary), str(path))
    except OSError as error:
        raise SeqArchiveError(f"{path}: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def opened(out: str | Path | BinaryIO) -> Iterator[BinaryIO]:
    """A file to write bytes to; BGZF if its name says so. Raises SeqArchiveError."""
    if not isinstance(out, (str, Path)):
        yield out
        return
    path = Path(out)
    with unfinished(path) as temporary, open(temporary, "wb") as file:
        if path.suffix.lower() not in (".gz", ".bgz"):
            yield file
            return
        packed = BgzfWriter(file)
        yield cast(BinaryIO, packed)
        packed.finish()
