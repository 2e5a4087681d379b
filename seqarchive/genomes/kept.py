"""Residues that were fetched once, kept on disk: whole sequences by their digest, parts by where
they came from."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from itertools import pairwise

from ..identifiers import Digest, digest_of
from ..remote.cache import DiskCache

#: Residues of which one file has all that is known.
_BLOCK = 1 << 17

#: Parts that one file has; where there are more, it begins anew.
_MOST = 1000

_COUNT, _SPAN = struct.Struct("<I"), struct.Struct("<II")

#: Where residues begin, and they.
Span = tuple[int, bytes]


class KeptResidues:
    """Residues of sequences, as far as they are known.

    What a source says of a part, no digest confirms: it is kept for that source alone.

    Args:
        cache: Where they are kept. It may lose anything.
        origin: Where parts come from.
    """

    def __init__(self, cache: DiskCache, origin: str) -> None:
        self._cache = cache
        self._origin = origin

    def whole(self, digest: Digest, length: int) -> bytes | None:
        """All residues, if they are known and are those of the digest."""
        found = self.get(digest, length, 0, length)
        return found if found is not None and digest_of(found) == digest else None

    def get(self, digest: Digest, length: int, start: int, end: int) -> bytes | None:
        """The residues ``[start, end)``, if all are known."""
        spans = []
        at = start
        for begin, residues in self._spans(digest, length, start, end):
            if begin != at:
                return None
            spans.append(residues)
            at += len(residues)
        return b"".join(spans) if at == end else None

    def missing(self, digest: Digest, length: int, start: int, end: int) -> tuple[int, int]:
        """The shortest range with all of ``[start, end)`` that is not known."""
        first, last = start, end
        run, at = start, -1
        for begin, residues in self._spans(digest, length, start, end):
            if begin != at:
                run = begin
            at = begin + len(residues)
            if begin <= first:
                first = max(first, at)
            if at == end:
                last = run
        return first, max(first, last)

    def add_whole(self, digest: Digest, residues: bytes) -> None:
        """Keep a sequence that was checked."""
        for n, at in enumerate(range(0, len(residues), _BLOCK)):
            self._cache.put(_key("whole", digest, n), residues[at : at + _BLOCK])

    def add(self, digest: Digest, start: int, residues: bytes) -> None:
        """Keep a part."""
        end = start + len(residues)
        for n in range(start // _BLOCK, -(-end // _BLOCK)):
            base = n * _BLOCK
            begin, stop = max(start, base), min(end, base + _BLOCK)
            new = (begin - base, residues[begin - start : stop - start])
            key = _key("part", digest, n, self._origin)
            self._cache.put(key, _packed(_merged(_unpacked(self._cache.get(key)), new)))

    def _spans(self, digest: Digest, length: int, start: int, end: int) -> Iterator[Span]:
        """What is known of ``[start, end)``, in order and without overlap."""
        for n in range(start // _BLOCK, -(-end // _BLOCK)):
            base = n * _BLOCK
            found = self._cache.get(_key("whole", digest, n))
            if found is not None and len(found) == min(_BLOCK, length - base):
                spans = [(0, found)]
            else:
                spans = _unpacked(self._cache.get(_key("part", digest, n, self._origin)))
            for at, residues in spans:
                first, last = max(start - base - at, 0), min(end - base - at, len(residues))
                if first < last:
                    yield base + at + first, residues[first:last]


def _key(kind: str, digest: Digest, block: int, origin: str = "") -> bytes:
    return hashlib.sha256(f"residues {kind} {digest} {block} {origin}".encode()).digest()


def _merged(spans: list[Span], new: Span) -> list[Span]:
    """Some spans and one more, which has the last word, joined where they touch."""
    begin, residues = new
    end = begin + len(residues)
    kept = []
    for at, old in spans if len(spans) < _MOST else ():
        after = at + len(old)
        if after < begin or at > end:
            kept.append((at, old))
            continue
        if at < begin:
            residues, begin = old[: begin - at] + residues, at
        if after > end:
            residues, end = residues + old[end - at :], after
    return sorted([*kept, (begin, residues)])


def _packed(spans: list[Span]) -> bytes:
    head = [_SPAN.pack(at, len(residues)) for at, residues in spans]
    return b"".join([_COUNT.pack(len(spans)), *head, *(residues for _, residues in spans)])


def _unpacked(data: bytes | None) -> list[Span]:
    """What ``_packed`` made; nothing, if this is something else."""
    if data is None or len(data) < _COUNT.size:
        return []
    (n_spans,) = _COUNT.unpack_from(data)
    at = _COUNT.size + n_spans * _SPAN.size
    if n_spans > _MOST or at > len(data):
        return []
    places = [_SPAN.unpack_from(data, _COUNT.size + n * _SPAN.size) for n in range(n_spans)]
    if at + sum(size for _, size in places) != len(data):
        return []
    if any(first + size >= second for (first, size), (second, _) in pairwise(places)):
        return []
    found = []
    for begin, size in places:
        found.append((begin, data[at : at + size]))
        at += size
    return found
