"""Chunks: digests of pieces of those files of a snapshot that are read in place.

Whoever reads a snapshot over a network asks for a few kilobytes of its database. The digests in
``chunks.sha256`` say whether these are right; its own is in the manifest. The blocks of shards
need none: each has a CRC, and where it lies is said by a ``.gzi``, whose chunks are listed too.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from .errors import Corrupt
from .instances import Instance
from .manifests import Manifest, ManifestFile

#: Bytes of a chunk; the last one of a file is shorter.
CHUNK_BYTES = 1 << 15

#: Of a SHA-256, so that the table of a large database is small itself.
_DIGEST_BYTES = 16


def chunk_digest(chunk: bytes) -> bytes:
    """The digest of a chunk: half of its SHA-256."""
    return hashlib.sha256(chunk).digest()[:_DIGEST_BYTES]


def digests_of_chunks(path: Path) -> bytes:
    """The digests of all chunks of a file, one after the other."""
    found = bytearray()
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            found += chunk_digest(chunk)
    return bytes(found)


def _chunked(files: tuple[ManifestFile, ...], instance: Instance) -> list[ManifestFile]:
    """The files that have digests of chunks, in their order."""
    return [
        file for file in files if file.path == instance.database.name or file.path.endswith(".gzi")
    ]


def chunk_table(instance: Instance, files: tuple[ManifestFile, ...]) -> bytes:
    """What ``chunks.sha256`` is to say of the files of a snapshot.

    Args:
        files: As in its manifest, sorted by path.
    """
    return b"".join(
        digests_of_chunks(instance.directory / file.path) for file in _chunked(files, instance)
    )


class ChunkTable:
    """What ``chunks.sha256`` says.

    Raises:
        Corrupt: It is not as long as the files of the manifest make it.
    """

    def __init__(self, manifest: Manifest, instance: Instance, data: bytes) -> None:
        self._data = data
        self._begins: dict[str, int] = {}
        at = 0
        for file in _chunked(manifest.files, instance):
            self._begins[file.path] = at
            at += -(-file.n_bytes // CHUNK_BYTES) * _DIGEST_BYTES
        if at != len(data):
            raise Corrupt(f"{instance.chunks.name} of {manifest.name} has another length")

    def digest(self, path: str, number: int) -> bytes:
        """The digest of a chunk of a file."""
        at = self._begins[path] + number * _DIGEST_BYTES
        return self._data[at : at + _DIGEST_BYTES]
