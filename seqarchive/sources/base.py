"""What every source can do, and what its failures are."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol, TypeVar

from ..errors import SourceError

#: Bytes that a stream gives at a time.
CHUNK = 1 << 18

#: Seconds to wait before the second, third, ... attempt.
DELAYS = (0.2, 1.0, 3.0, 8.0)

#: A source that gives fewer bytes a second than this is taken for dead, after a while.
_SLOWEST = 1000
_PATIENCE = 60.0

_NUMBER = re.compile("[0-9]{1,19}")


class Interrupted(SourceError):
    """A failure that may be gone when the same is asked again.

    Args:
        retry_after: Seconds that the source wants to be left alone.
    """

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unreachable(Interrupted):
    """Nobody answers at an address."""


class Refused(SourceError):
    """A server answers with a status that is not worth another attempt."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class NotInstalled(SourceError):
    """What a kind of source needs is not installed."""


class NoRanges(SourceError):
    """A server gives files only as a whole."""


class Stream(NamedTuple):
    """The bytes of a file from some offset on."""

    start: int
    """Where it begins: as asked for, or 0 if the source cannot begin elsewhere."""
    chunks: Iterator[bytes]


class Denied(SourceError):
    """Access is refused, which many servers say of what they have not."""


class Source(Protocol):
    """A tree of files that can be read. Safe between threads, and after a fork.

    Paths are relative, with ``/``, and were checked by whoever made them: no ``..``.

    Raises (all methods): NotFound: no such file. Interrupted: worth another attempt. SourceError:
    not worth one.
    """

    @property
    def address(self) -> str:
        """What to call it in messages; without passwords."""

    def read(self, path: str, max_bytes: int) -> bytes:
        """A whole file. SourceError if it has more bytes than that."""

    def read_range(self, path: str, start: int, end: int, size: int | None = None) -> bytes:
        """The bytes ``[start, end)`` of a file, all of them.

        Args:
            size: Bytes that the whole file must have: SourceError if the source says otherwise.
        """

    def stream(self, path: str, start: int = 0) -> AbstractContextManager[Stream]:
        """A file from ``start`` on; a failure in the middle is raised by the iterator."""

    def close(self) -> None:
        """Let go of connections. They are made again when they are needed."""


class Destination(Source, Protocol):
    """A tree of objects that can be added to, without names being moved."""

    def put_file(self, path: str, file: str, sha256: str) -> None:
        """Have the bytes of a local file there; whole or not at all."""

    def put_bytes(self, path: str, data: bytes, *, only_new: bool = False) -> None:
        """Have these bytes there. Conflict if ``only_new`` and there is one of this name."""

    def copy(self, path: str, other: str) -> None:
        """Have a file under another name too."""

    def holds(self, path: str, file: str, sha256: str) -> bool:
        """Whether it is known to have the bytes of a local file under a name."""

    def size_of(self, path: str) -> int | None:
        """Bytes of a file; None if it is not there."""

    def sizes(self) -> Iterator[tuple[str, int]]:
        """All files with their sizes."""

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""


T = TypeVar("T")


def persistently(
    attempt: Callable[[], T],
    delays: tuple[float, ...] = DELAYS,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """What an attempt returns, made again after each ``Interrupted`` while there are delays left.

    Raises:
        Interrupted: Of the last attempt.
    """
    for delay in delays:
        try:
            return attempt()
        except Interrupted as error:
            sleep(max(delay, error.retry_after))
    return attempt()


def in_time(chunks: Iterator[bytes], what: str) -> Iterator[bytes]:
    """The same chunks, unless they come so slowly that they are meant never to end."""
    started, n_bytes = time.monotonic(), 0
    for chunk in chunks:
        yield chunk
        n_bytes += len(chunk)
        if time.monotonic() - started > _PATIENCE + n_bytes / _SLOWEST:
            raise Interrupted(f"{what}: too slow ({n_bytes:,} bytes so far)")


def number_in(text: str) -> int | None:
    """The number that a source says; None if it says none, or one that there cannot be."""
    return int(text) if _NUMBER.fullmatch(text) else None


def require_size(found: str, size: int | None, what: str) -> None:
    """Raise SourceError if a source says that a file has another size; it may say nothing."""
    said = number_in(found)
    if size is not None and said is not None and said != size:
        raise SourceError(f"{what} has {said:,} bytes instead of {size:,}")


def gathered(chunks: Iterator[bytes], max_bytes: int, what: str) -> bytes:
    """All of a stream that must not be longer than that.

    Raises:
        SourceError: It is.
    """
    found = bytearray()
    for chunk in chunks:
        found += chunk
        if len(found) > max_bytes:
            raise SourceError(f"{what}: more than {max_bytes:,} bytes")
    return bytes(found)
