"""What was read over a network, kept on disk: bounded, shared by processes, checked when read."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from .. import durable
from ..forks import ForkLock

#: Bytes that are kept unless ``SEQARCHIVE_CACHE_BYTES`` says otherwise.
_MAX_BYTES = 1 << 30

#: Digest before the data in each file.
_DIGEST_BYTES = 16

#: Names of what is kept: the digits of a key; and what a killed process left of it.
_DIRECTORY = re.compile(r"[0-9a-f]{2}\Z", re.ASCII)
_ENTRY = re.compile(r"\.?[0-9a-f]{30}([0-9a-f]{32})?(\.\d+\.\d+)?\Z", re.ASCII)

#: How full the cache is after it was too full.
_EMPTIED_TO = 0.8


def default_directory() -> Path | None:
    """``$SEQARCHIVE_CACHE``, else ``seqarchive`` in the user's directory of caches; None for a user
    without a home, as in a container."""
    chosen = os.environ.get("SEQARCHIVE_CACHE")
    if chosen:
        return Path(chosen)
    caches = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(caches) if caches else Path.home() / ".cache") / "seqarchive"
    except RuntimeError:
        return None


def default_bytes() -> int:
    """``$SEQARCHIVE_CACHE_BYTES``, else 1 GiB; 0 keeps nothing."""
    text = os.environ.get("SEQARCHIVE_CACHE_BYTES", "")
    return int(text[:19]) if text.isascii() and text.isdigit() else _MAX_BYTES


class DiskCache:
    """Data by key. It may lose anything at any time, and never gives anything else back.

    Args:
        directory: Made when something is kept; one that cannot be written keeps nothing.
        max_bytes: When there is more, what was not used for longest goes.
    """

    def __init__(self, directory: Path | None = None, max_bytes: int | None = None) -> None:
        chosen = default_directory() if directory is None else directory
        self._directory = Path(os.devnull) if chosen is None else chosen
        self._max_bytes = default_bytes() if max_bytes is None else max_bytes
        if chosen is None:
            self._max_bytes = 0
        self._lock = ForkLock()
        self._n_bytes: int | None = None  # as far as this process knows, and
        self._added = 0  # what it has added since it looked

    def below(self, name: str) -> DiskCache:
        """Another one in a directory of this one: neither makes room in the other."""
        return DiskCache(self._directory / name, self._max_bytes)

    def _path(self, key: bytes) -> Path:
        name = key.hex()
        return self._directory / name[:2] / name[2:]

    def get(self, key: bytes) -> bytes | None:
        """What was kept under a key, if it is there and whole."""
        path = self._path(key)
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        digest, data = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        return data if hashlib.sha256(key + data).digest()[:_DIGEST_BYTES] == digest else None

    def put(self, key: bytes, data: bytes) -> None:
        """Keep data under a key."""
        if len(data) + _DIGEST_BYTES > self._max_bytes:
            return
        digest = hashlib.sha256(key + data).digest()[:_DIGEST_BYTES]
        try:
            durable.write_loosely(self._path(key), digest + data)
            self._count(len(data) + _DIGEST_BYTES)
        except OSError:  # a full or read-only disk: there is no cache then
            return

    def _count(self, n_bytes: int) -> None:
        with self._lock:
            self._added += n_bytes
            if self._n_bytes is None or self._added > self._max_bytes // 16:
                self._n_bytes = sum(size for _, size, _ in self._files())
                self._added = 0
            else:
                self._n_bytes += n_bytes
            if self._n_bytes > self._max_bytes:
                self._n_bytes = self._shrink()

    def _files(self) -> list[tuple[float, int, str]]:
        """Last use, size and path of everything that is kept."""
        found = []
        for directory in os.scandir(self._directory):
            # Whatever else is in the directory is not ours.
            if _DIRECTORY.match(directory.name) is None or not directory.is_dir(
                follow_symlinks=False
            ):
                continue
            for entry in os.scandir(directory):
                if _ENTRY.match(entry.name) is None:
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # another process has made room
                    continue
                found.append((status.st_mtime, status.st_size, entry.path))
        return found

    def _shrink(self) -> int:
        files = sorted(self._files())
        n_bytes = sum(size for _, size, _ in files)
        for _, size, path in files:
            if n_bytes <= self._max_bytes * _EMPTIED_TO:
                break
            durable.remove(Path(path))
            n_bytes -= size
        return n_bytes
