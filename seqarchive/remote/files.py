"""A file of a published snapshot, read by chunks that are checked one by one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from ..chunks import CHUNK_BYTES, chunk_digest
from ..errors import NotFound, SourceError
from ..forks import ForkLock
from ..sources.base import Interrupted, Source, persistently
from .cache import DiskCache

#: Chunks that are kept in memory: 8 MiB.
_IN_MEMORY = 256

#: Chunks of one request at most, when a file is read from one end to the other: 1 MiB.
_AHEAD = 32


class ChunkedFile:
    """Random access to a file whose chunks have known digests. Safe between threads.

    Args:
        path: Of the file, in the source.
        n_bytes: Its size.
        digest: Of the chunk of a number.
    """

    def __init__(
        self,
        source: Source,
        path: str,
        n_bytes: int,
        digest: Callable[[int], bytes],
        cache: DiskCache,
    ) -> None:
        self._source = source
        self._path = path
        self._digest = digest
        self._cache = cache
        self._chunks: OrderedDict[int, bytes] = OrderedDict()
        self._lock = ForkLock()
        self._next = -1  # the chunk behind the last request, and
        self._step = 1  # how many the last one was for
        self.n_bytes = n_bytes

    def read(self, start: int, end: int) -> bytes:
        """The bytes ``[start, end)``, as far as the file has them.

        Raises:
            SourceError: They cannot be had, or not the right ones.
        """
        end = min(end, self.n_bytes)
        if start >= end:
            return b""
        first, last = start // CHUNK_BYTES, (end - 1) // CHUNK_BYTES
        found = self._known(range(first, last + 1))
        missing = [n for n in range(first, last + 1) if n not in found]
        while missing:
            run = 1
            while run < len(missing) and missing[run] == missing[0] + run:
                run += 1
            found.update(self._fetch(missing[0], run))
            missing = missing[run:]
        data = b"".join(found[n] for n in range(first, last + 1))
        return data[start - first * CHUNK_BYTES : end - first * CHUNK_BYTES]

    @property
    def name(self) -> str:
        """What to call it."""
        return f"{self._source.address}/{self._path}"

    def expect(self, n_bytes: int) -> None:
        """Have the beginning of the file at hand, by one request if it is not."""
        self.read(0, n_bytes)

    def _known(self, numbers: range) -> dict[int, bytes]:
        found = {}
        for n in numbers:
            with self._lock:
                chunk = self._chunks.get(n)
                if chunk is not None:
                    self._chunks.move_to_end(n)
            if chunk is None:
                chunk = self._cache.get(self._digest(n))
                if chunk is None or chunk_digest(chunk) != self._digest(n):
                    continue
                self._keep(n, chunk)
            found[n] = chunk
        return found

    def _keep(self, number: int, chunk: bytes) -> None:
        with self._lock:
            self._chunks[number] = chunk
            self._chunks.move_to_end(number)
            while len(self._chunks) > _IN_MEMORY:
                self._chunks.popitem(last=False)

    def _fetch(self, first: int, n_chunks: int) -> dict[int, bytes]:
        """Some chunks by one request; more of them, the longer one is read after the other."""
        self._step = min(self._step * 2, _AHEAD) if first == self._next else 1
        n_all = -(-self.n_bytes // CHUNK_BYTES)
        stop = min(max(first + n_chunks, first + self._step), n_all)
        self._next = stop
        found = persistently(lambda: self._ask(first, stop))
        for n, chunk in found.items():
            self._keep(n, chunk)
            self._cache.put(self._digest(n), chunk)
        return found

    def _ask(self, first: int, stop: int) -> dict[int, bytes]:
        begin, end = first * CHUNK_BYTES, min(stop * CHUNK_BYTES, self.n_bytes)
        data = read_published(self._source, self._path, begin, end)
        found = {
            n: data[(n - first) * CHUNK_BYTES : (n - first + 1) * CHUNK_BYTES]
            for n in range(first, stop)
        }
        if any(chunk_digest(chunk) != self._digest(n) for n, chunk in found.items()):
            raise WrongBytes(
                f"{self._source.address}/{self._path}: bytes {begin}-{end - 1} are not those of "
                "the release"
            )
        return found


def read_published(source: Source, path: str, start: int, end: int) -> bytes:
    """A range of a file of a release.

    Raises:
        SourceError: It cannot be had; also if the file is not there, though the release has it.
    """
    try:
        return source.read_range(path, start, end)
    except NotFound as error:
        raise SourceError(f"{error}, though the release has it") from None


class WrongBytes(Interrupted, SourceError):
    """What came is not what the release has. Once may be an accident on the way."""
