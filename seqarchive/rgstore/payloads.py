"""Residues of a RefgetStore: the bits that a range needs, or all of them, with their digest."""

from __future__ import annotations

import functools
import hashlib
import os
from collections import OrderedDict
from collections.abc import Iterator

from ..errors import Corrupt, DigestMismatch, NotFound, SourceError
from ..forks import ForkLock
from ..identifiers import digest_text
from ..sources.base import NoRanges
from .alphabets import Alphabet, unpack
from .files import Files
from .layout import Mode
from .parsing import Manifest, Row

#: Payloads that are read as a whole at the first touch, so that their digest says that they are
#: right: as much as one request over a network brings anyhow.
_SMALL = 1 << 16

#: Residues of whole sequences that are kept in memory.
_IN_MEMORY = 32 << 20

#: Payload that is unpacked at one time: whole symbols of every alphabet.
PIECE = 15 << 16

#: Alphabets of which gtars up to 0.10.0 packs other letters as T (U) or as A; and the residues of
#: the longest molecule that may have such letters, RNA or protein, with a margin.
_DOUBTFUL, _LONGEST_DOUBTFUL = frozenset({Alphabet.DNA_IUPAC, Alphabet.PROTEIN}), 1 << 20


class Payloads:
    """The residues of a store. Safe between threads."""

    def __init__(self, files: Files, manifest: Manifest) -> None:
        self._files = files
        self._manifest = manifest
        self._lock = ForkLock()
        self._whole: OrderedDict[str, bytes] = OrderedDict()
        self._n_bytes = 0

    def residues(self, row: Row, start: int, end: int) -> bytes:
        """The residues ``[start, end)``, which the sequence has.

        Raises:
            DigestMismatch: The sequence was read as a whole, and is another one.
            Corrupt: The payload is missing, or has another size.
        """
        if start == end and row.length:
            return b""
        known = self._known(row)
        if known is not None:
            return known[start:end]
        stored, size = self._stored(row)
        if size <= _SMALL or end - start == row.length or _is_doubtful(row, stored):
            return self.whole(row)[start:end]
        first, last = stored.byte_range(start, end)
        try:
            data = self._files.part(self._path(row), first, last, size)
        except NoRanges:
            return self.whole(row)[start:end]
        except NotFound as error:
            raise Corrupt(f"{error}, though the index of the store has it") from None
        return unpack(data, end - start, stored, start)

    def are_checked(self, row: Row, start: int, end: int) -> bool:
        """Whether the digest of a sequence is computed when these residues are asked for."""
        stored, size = self._stored(row)
        return size <= _SMALL or end - start == row.length or _is_doubtful(row, stored)

    def whole(self, row: Row) -> bytes:
        """All residues of a sequence; they are those of its digest."""
        known = self._known(row)
        if known is not None:
            return known
        if row.length > _longest_whole():
            raise SourceError(
                f"{self._where(row)} has {row.length:,} residues, more than fit into memory; read "
                "it in pieces"
            )
        stored, size = self._stored(row)
        # Of another packing of the same sequence, some payloads have the same size.
        name = f"{row.digest} {stored.label}"
        try:
            payload = self._files.whole(self._path(row), size, name) if size else b""
        except NotFound as error:
            raise Corrupt(f"{error}, though the index of the store has it") from None
        residues = _recovered(unpack(payload, row.length, stored), row, stored)
        if residues is None:
            self._files.forget(self._path(row))
            raise DigestMismatch(
                f"{self._where(row)}: the residues are not those of SQ.{row.digest}"
                + _reason(stored)
            )
        self._files.keep(name, payload)
        self._keep(row.digest, residues)
        return residues

    def pieces(self, row: Row) -> Iterator[bytes]:
        """All residues, piece by piece.

        Raises:
            DigestMismatch: After the last piece, or before the first, if they are others.
        """
        stored, size = self._stored(row)
        if size <= _SMALL or _is_doubtful(row, stored):
            residues = self.whole(row)
            for at in range(0, len(residues), 1 << 20):
                yield residues[at : at + (1 << 20)]
            return
        sha512, left, n_bytes = hashlib.sha512(), row.length, 0
        try:
            with self._files.stream(self._path(row)) as chunks:
                for piece in pieces(chunks):
                    n_bytes += len(piece)
                    if n_bytes > size:
                        raise Corrupt(f"{self._where(row)} has more than {size:,} bytes")
                    n = min(left, len(piece) * 8 // stored.bits)
                    residues = unpack(piece, n, stored)
                    sha512.update(residues)
                    left -= n
                    yield residues
        except NotFound as error:
            raise Corrupt(f"{error}, though the index of the store has it") from None
        if n_bytes != size or digest_text(sha512.digest()[:24]) != row.digest:
            raise DigestMismatch(
                f"{self._where(row)}: the residues are not those of SQ.{row.digest}"
            )

    def _stored(self, row: Row) -> tuple[Alphabet, int]:
        """How a payload is stored, and in how many bytes."""
        if self._manifest.mode is Mode.RAW:
            return Alphabet.ASCII, row.length
        return row.alphabet, row.alphabet.n_bytes(row.length)

    def _path(self, row: Row) -> str:
        return self._manifest.payload(row.digest)

    def _where(self, row: Row) -> str:
        return f"{self._files.source.address}/{self._path(row)}"

    def _known(self, row: Row) -> bytes | None:
        with self._lock:
            found = self._whole.get(row.digest)
            if found is not None:
                self._whole.move_to_end(row.digest)
        if found is not None and len(found) != row.length:
            raise Corrupt(f"SQ.{row.digest} has {len(found):,} residues, not {row.length:,}")
        return found

    def _keep(self, digest: str, residues: bytes) -> None:
        if len(residues) > _IN_MEMORY:
            return
        with self._lock:
            if digest not in self._whole:
                self._whole[digest] = residues
                self._n_bytes += len(residues)
            while self._n_bytes > _IN_MEMORY:
                self._n_bytes -= len(self._whole.popitem(last=False)[1])


@functools.cache
def _longest_whole() -> int:
    """Residues that this machine can have in memory: packed, unpacked, and as a ``str``."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 3


def _is_doubtful(row: Row, stored: Alphabet) -> bool:
    return stored in _DOUBTFUL and row.length <= _LONGEST_DOUBTFUL


def _recovered(residues: bytes, row: Row, stored: Alphabet) -> bytes | None:
    """The residues of a digest from those that were unpacked; None if these are others.

    gtars up to 0.10.0 packs U as T; of a sequence without any T, its digest tells.
    """
    candidates = [residues]
    if stored is Alphabet.DNA_IUPAC:
        candidates.append(residues.replace(b"T", b"U"))
    for one in candidates:
        if digest_text(hashlib.sha512(one).digest()[:24]) == row.digest:
            return one
    return None


def _reason(stored: Alphabet) -> str:
    if stored in _DOUBTFUL:
        return " (gtars up to 0.10.0 packs U and B as other letters; they are lost in this store)"
    return ""


def pieces(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that end with a symbol in every alphabet."""
    waiting = bytearray()
    for chunk in chunks:
        waiting += chunk
        while len(waiting) >= PIECE:
            yield bytes(waiting[:PIECE])
            del waiting[:PIECE]
    if waiting:
        yield bytes(waiting)
