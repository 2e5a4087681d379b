"""The files of a RefgetStore, wherever it is: indexes as a whole, payloads in parts."""

from __future__ import annotations

import hashlib
import mmap
import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import Corrupt, SourceError
from ..forks import ForkLock
from ..remote.cache import DiskCache
from ..sources.base import DELAYS, NoRanges, Source, gathered, persistently
from ..sources.directory import DirectorySource

#: Files of payloads that are kept open.
_OPEN = 128

#: Directories of payloads that are remembered: two characters of base64.
_DIRECTORIES = 5000

#: An index of a hundred million sequences; and one that is held in memory, of ten million.
MAX_INDEX, _MAX_IN_MEMORY = 16 << 30, 2 << 30

#: Bytes that are read by one call; the system reads no more than 2 GiB.
_MOST = 1 << 30

#: A part of a payload at most that is kept on disk.
_KEPT_PART = 1 << 20


#: An index: read, or mapped.
Data = bytes | mmap.mmap


class LocalFiles:
    """A store in a directory."""

    is_remote = False

    def __init__(self, source: DirectorySource) -> None:
        self.source = source
        self._lock = ForkLock()
        self._open: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._inside: set[str] = set()  # directories that were looked at

    def small(self, path: str, max_bytes: int) -> bytes:
        """A small file, as it is now."""
        self._require_inside(path)
        return self.source.read(path, max_bytes)

    def glance(self, path: str, max_bytes: int) -> bytes:
        """The same."""
        return self.small(path, max_bytes)

    def _require_inside(self, path: str) -> None:
        """Raise if a directory on the way is a link that leads out of the store."""
        directory = path.rpartition("/")[0]
        if directory in self._inside:
            return
        root = os.path.realpath(self.source.path)
        found = os.path.realpath(self.source.path / directory)
        if found != root and not found.startswith(root.rstrip("/") + "/"):
            raise SourceError(f"{self.source.path / path} is outside of the store")
        if len(self._inside) < _DIRECTORIES:
            self._inside.add(directory)

    def stamp(self, path: str) -> object:
        """Something that is another one when a file was replaced."""
        try:
            status = (self.source.path / path).stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size

    def index(self, path: str, sha256: str | None) -> bytes | mmap.mmap:
        """A file of lines.

        Raises:
            NotFound: It is not there. Corrupt: It has not the digest that it should have.
        """
        self._require_inside(path)
        fd = self.source.open(path)
        try:
            size = os.fstat(fd).st_size
            if size > MAX_INDEX:
                raise SourceError(f"{self.source.address}/{path} has {size:,} bytes")
            data = mmap.mmap(fd, size, access=mmap.ACCESS_READ) if size else b""
        except (OSError, ValueError, OverflowError) as error:
            raise SourceError(f"{self.source.address}/{path}: {error}") from None
        finally:
            os.close(fd)
        _require(data, sha256, f"{self.source.address}/{path}")
        return data

    def part(self, path: str, start: int, end: int, size: int) -> bytes:
        """The bytes ``[start, end)`` of a file that has ``size`` bytes.

        Raises:
            NotFound: It is not there. Corrupt: It has another size.
        """
        with self._lock:
            fd, found = self._opened(path)
            data = self._bytes(fd, path, start, end) if found == size else b""
        if found != size:
            self.forget(path)
            raise Corrupt(
                f"{self.source.address}/{path} has {found:,} bytes instead of {size:,}; run "
                "`seqarchive verify-rgstore`"
            )
        if len(data) != end - start:
            raise SourceError(f"{self.source.address}/{path} ends before byte {end:,}")
        return data

    def _bytes(self, fd: int, path: str, start: int, end: int) -> bytes:
        parts = []
        try:
            while start < end and (part := os.pread(fd, min(end - start, _MOST), start)):
                parts.append(part)
                start += len(part)
            return parts[0] if len(parts) == 1 else b"".join(parts)
        except OSError as error:
            raise SourceError(f"{self.source.address}/{path}: {error.strerror}") from None
        except MemoryError:
            raise SourceError(f"{self.source.address}/{path} is too large for memory") from None

    def _opened(self, path: str) -> tuple[int, int]:
        known = self._open.get(path)
        if known is not None:
            self._open.move_to_end(path)
            return known
        self._require_inside(path)
        fd = self.source.open(path)
        known = self._open[path] = (fd, os.fstat(fd).st_size)
        if len(self._open) > _OPEN:
            os.close(self._open.popitem(last=False)[1][0])
        return known

    def forget(self, path: str) -> None:
        """Look at a file anew the next time."""
        with self._lock:
            known = self._open.pop(path, None)
            if known is not None:
                os.close(known[0])

    def whole(self, path: str, size: int, _name: str) -> bytes:
        """A file as a whole."""
        return self.part(path, 0, size, size)

    def keep(self, _name: str, _payload: bytes) -> None:
        """Nothing: it is here."""

    def recalled(self, _name: str) -> bytes | None:
        """None: it is here."""
        return None

    def remember(self, _name: str, _data: Data) -> None:
        """Nothing: it is here."""

    @contextmanager
    def stream(self, path: str) -> Iterator[Iterator[bytes]]:
        """A file from its beginning to its end."""
        self._require_inside(path)
        with self.source.stream(path) as (_, chunks):
            yield chunks

    def names(self, directory: str, suffix: str) -> list[str]:
        """The files in a directory of the store that end so, sorted."""
        self._require_inside(f"{directory}/")
        try:
            with os.scandir(self.source.path / directory) as entries:
                found = [one.name for one in entries if one.is_file(follow_symlinks=False)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise SourceError(f"{self.source.path / directory}: {error.strerror}") from None
        return sorted(name for name in found if name.endswith(suffix))

    def close(self) -> None:
        """Close what is open."""
        with self._lock:
            while self._open:
                os.close(self._open.popitem()[1][0])


class RemoteFiles:
    """A store on a web server or in a bucket. What was checked is kept on disk."""

    is_remote = True

    def __init__(
        self, source: Source, cache: DiskCache, delays: tuple[float, ...] = DELAYS
    ) -> None:
        self.source = source
        self._cache = cache
        self._delays = delays
        self._names = cache.below("names")  # residues do not drive them out
        self._knows_ranges = True

    def small(self, path: str, max_bytes: int) -> bytes:
        """A small file, as it is now."""
        return persistently(lambda: self.source.read(path, max_bytes), self._delays)

    def glance(self, path: str, max_bytes: int) -> bytes:
        """The same by one attempt: whoever asks comes again."""
        return self.source.read(path, max_bytes)

    def stamp(self, _path: str) -> object:
        """Nothing: one has to ask."""
        return None

    def index(self, path: str, sha256: str | None) -> bytes:
        """A file of lines; from the disk if its digest is known."""
        name = None if sha256 is None else f"rgstore {sha256}"
        where = f"{self.source.address}/{path}"
        data = None if name is None else self.recalled(name)
        if data is None:
            data = persistently(lambda: self.source.read(path, _MAX_IN_MEMORY), self._delays)
            _require(data, sha256, where)
            if name is not None:
                self.remember(name, data)
        return data

    def recalled(self, name: str) -> bytes | None:
        """What is remembered by a name, if it is there still."""
        return self._names.get(hashlib.sha256(name.encode()).digest())

    def remember(self, name: str, data: Data) -> None:
        """Keep something that is no payload, by a name of its own."""
        self._names.put(hashlib.sha256(name.encode()).digest(), bytes(data))

    def part(self, path: str, start: int, end: int, size: int) -> bytes:
        """The bytes ``[start, end)`` of a file, by one request for just these.

        Raises:
            NoRanges: The server gives files only as a whole.
        """
        if not self._knows_ranges:
            raise NoRanges(f"{self.source.address} gives files only as a whole")
        name = f"{self.source.address}/{path} {size} {start} {end}"
        key = hashlib.sha256(name.encode()).digest()
        data = self._cache.get(key)
        if data is None or len(data) != end - start:
            try:
                data = persistently(
                    lambda: self.source.read_range(path, start, end, size), self._delays
                )
            except NoRanges:
                self._knows_ranges = False
                raise
            if len(data) <= _KEPT_PART:
                self._cache.put(key, data)
        return data

    def whole(self, path: str, size: int, name: str) -> bytes:
        """A file as a whole; the caller checks it, and has it kept.

        Args:
            name: What to keep it as.
        """
        data = self._cache.get(_key_of(name, size))
        return (
            data if data is not None else persistently(lambda: self._read(path, size), self._delays)
        )

    def _read(self, path: str, size: int) -> bytes:
        where = f"{self.source.address}/{path}"
        with self.source.stream(path) as (_, chunks):
            data = gathered(chunks, size, where)
        if len(data) != size:
            raise SourceError(f"{where} has {len(data):,} bytes instead of {size:,}")
        return data

    def keep(self, name: str, payload: bytes) -> None:
        """Keep a payload that was checked."""
        self._cache.put(_key_of(name, len(payload)), payload)

    def forget(self, path: str) -> None:
        """Nothing is open."""

    @contextmanager
    def stream(self, path: str) -> Iterator[Iterator[bytes]]:
        """A file from its beginning to its end."""
        with self.source.stream(path) as (_, chunks):
            yield chunks

    def names(self, _directory: str, _suffix: str) -> list[str]:
        """Nothing: there are no lists of files over a network."""
        return []

    def close(self) -> None:
        """Close the connections."""
        self.source.close()


Files = LocalFiles | RemoteFiles


def _key_of(name: str, size: int) -> bytes:
    return hashlib.sha256(f"payload {name} {size}".encode()).digest()


def _require(data: bytes | mmap.mmap, sha256: str | None, where: str) -> None:
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise Corrupt(
            f"{where} is not the one that rgstore.json names; run `seqarchive verify-rgstore`"
        )
