"""Files of the tracks of a published snapshot, brought here whole when a track is opened.

They have no digests of their chunks: only a whole file can be checked against the manifest.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path

from .. import durable
from ..errors import NotFound, SourceError
from ..forks import ForkLock
from ..manifests import ManifestFile
from ..sources.base import Interrupted, Source, persistently
from .cache import DiskCache
from .files import WrongBytes

#: Larger files are not kept for the next process: one of them would empty the cache.
_LARGEST_KEPT = 64 << 20


class RemoteTracks:
    """The files, in a temporary directory that goes with this object. Safe between threads; a
    forked child has a directory of its own.

    Args:
        files: Of the manifest, by path.
        cache: Small files are kept there.
    """

    def __init__(self, source: Source, files: Mapping[str, ManifestFile], cache: DiskCache) -> None:
        self._source = source
        self._files = files
        self._cache = cache
        self._lock = ForkLock()
        self._pid = 0
        self._directory = Path()
        self._removed: weakref.finalize[..., RemoteTracks] | None = None

    def file(self, path: str) -> Path:
        """A file of the snapshot, here, and the one that its manifest names.

        Raises:
            SourceError: It cannot be had, or is another one.
        """
        known = self._files.get(path)
        if known is None:
            raise SourceError(f"{self._source.address}: the release has no {path}")
        directory = self._here()
        here = directory / Path(path).name
        if not here.exists():
            part = directory / f".{here.name}.{threading.get_ident()}"
            self._bring(known, part)
            durable.publish_loosely(str(part), str(here))
        return here

    def close(self) -> None:
        """Remove what was brought. Whoever has a file open keeps it."""
        with self._lock:
            if self._removed is not None:
                self._removed()
            self._removed, self._pid = None, 0

    def _here(self) -> Path:
        with self._lock:
            if self._pid != os.getpid():
                self._pid = os.getpid()
                self._directory = Path(tempfile.mkdtemp(prefix="seqarchive-tracks-"))
                self._removed = weakref.finalize(self, _remove, self._directory, self._pid)
            return self._directory

    def _bring(self, known: ManifestFile, part: Path) -> None:
        key = bytes.fromhex(known.sha256)
        kept = self._cache.get(key)
        if kept is not None and hashlib.sha256(kept).digest() == key:
            part.write_bytes(kept)
            return
        persistently(lambda: self._fetch(known, part))
        if known.n_bytes <= _LARGEST_KEPT:
            self._cache.put(key, part.read_bytes())

    def _fetch(self, known: ManifestFile, part: Path) -> None:
        where = f"{self._source.address}/{known.path}"
        seen, n_bytes = hashlib.sha256(), 0
        try:
            with open(part, "wb") as out, self._source.stream(known.path) as stream:
                for chunk in stream.chunks:
                    n_bytes += len(chunk)
                    if n_bytes > known.n_bytes:
                        raise SourceError(f"{where} has more bytes than in the release")
                    seen.update(chunk)
                    out.write(chunk)
        except NotFound as error:
            raise SourceError(f"{error}, though the release has it") from None
        if n_bytes < known.n_bytes:
            raise Interrupted(f"{where}: {n_bytes:,} bytes of {known.n_bytes:,}")
        if seen.hexdigest() != known.sha256:
            raise WrongBytes(f"{where} is not the file of the release (wrong SHA-256)")


def _remove(directory: Path, pid: int) -> None:
    if os.getpid() == pid:  # a child at its end has nothing to say of its parent's
        shutil.rmtree(directory, ignore_errors=True)
