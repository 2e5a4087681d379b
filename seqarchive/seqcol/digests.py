"""Digests of collections.

Each attribute of a collection is an array; its digest is sha512t24u of the array as canonical JSON
(RFC 8785). The digest of the collection is that of the object of its inherent attributes, names and
sequences. Arrays are hashed as they come; none of them is ever held as a whole, and what has to be
sorted waits in a file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from hashlib import sha512
from json.encoder import encode_basestring
from typing import NamedTuple

from ..identifiers import Digest, digest_text
from .sorting import SortedTexts

#: Elements that are turned into JSON at one time.
_SOME = 10_000

#: Characters of a digest.
_WIDTH = 32


class CollectionDigests(NamedTuple):
    """The digest of a collection and those of its attributes: sha512t24u, without a prefix."""

    digest: Digest
    names: Digest
    sequences: Digest
    lengths: Digest
    name_length_pairs: Digest
    sorted_name_length_pairs: Digest
    sorted_sequences: Digest

    def level1(self) -> dict[str, str]:
        """The attributes by their digests, sorted."""
        return {name: getattr(self, name) for name in sorted(self._fields) if name != "digest"}


class Member(NamedTuple):
    """A sequence of a collection."""

    name: str
    length: int
    digest: Digest


def level2(members: Iterable[Member]) -> dict[str, Sequence[object]]:
    """The attributes of a collection as arrays, but for the transient one; sorted by name."""
    some = list(members)
    sequences = [f"SQ.{member.digest}" for member in some]
    return {
        "lengths": [member.length for member in some],
        "name_length_pairs": name_length_pairs(
            (member.name for member in some), (member.length for member in some)
        ),
        "names": [member.name for member in some],
        "sequences": list(sequences),
        "sorted_sequences": sorted(sequences),
    }


def name_length_pairs(names: Iterable[str], lengths: Iterable[int]) -> list[dict[str, object]]:
    """The attribute that says what a coordinate system is."""
    return [{"length": length, "name": name} for name, length in zip(names, lengths, strict=True)]


def canonical_json(value: object) -> bytes:
    """RFC 8785, of what collections consist of: strings, integers, arrays and objects of these
    with keys in ASCII."""
    return json.dumps(
        value, separators=(",", ":"), ensure_ascii=False, allow_nan=False, sort_keys=True
    ).encode("utf-8")


def digest_of_json(value: object) -> Digest:
    """The digest of a value as canonical JSON."""
    return _sha512t24u(canonical_json(value))


def _sha512t24u(data: bytes) -> Digest:
    return digest_text(sha512(data).digest()[:24])


class _Array:
    """The digest of an array whose elements come some at a time, as JSON."""

    def __init__(self) -> None:
        self._hasher = sha512(b"[")
        self._is_empty = True

    def add(self, elements: bytes) -> None:
        """Some elements, joined by commas; at least one."""
        self._hasher.update(elements if self._is_empty else b"," + elements)
        self._is_empty = False

    def digest(self) -> Digest:
        hasher = self._hasher.copy()
        hasher.update(b"]")
        return digest_text(hasher.digest()[:24])


class CollectionHasher:
    """Computes the digests of a collection whose members come in order."""

    def __init__(self) -> None:
        self.n_members = 0
        self._names, self._lengths, self._sequences, self._pairs = (_Array() for _ in range(4))
        self._texts = SortedTexts(_WIDTH)  # of the sequences, and
        self._pair_texts = SortedTexts(_WIDTH)  # of each name with its length
        self._waiting: list[tuple[str, int, str]] = []

    def add(self, name: str, length: int, digest: str) -> None:
        """One more member.

        Args:
            digest: sha512t24u, without a prefix.
        """
        self._waiting.append((name, length, digest))
        if len(self._waiting) >= _SOME:
            self._hash()

    def _hash(self) -> None:
        if not self._waiting:
            return
        names, lengths, digests = zip(*self._waiting, strict=True)
        self.n_members += len(names)
        self._waiting = []
        quoted = list(map(encode_basestring, names))
        pairs = [
            f'{{"length":{length},"name":{name}}}'.encode()
            for length, name in zip(lengths, quoted, strict=True)
        ]
        self._names.add(",".join(quoted).encode("utf-8"))
        self._lengths.add(",".join(map(str, lengths)).encode("ascii"))
        self._sequences.add(b'"SQ.' + '","SQ.'.join(digests).encode("ascii") + b'"')
        self._pairs.add(b",".join(pairs))
        self._texts.add("".join(digests).encode("ascii"))
        # 24 bytes are 32 characters, without padding: many digests are encoded as one.
        raw = b"".join([sha512(pair).digest()[:24] for pair in pairs])
        self._pair_texts.add(digest_text(raw).encode("ascii"))

    def digests(self) -> CollectionDigests:
        """The digests of what has come so far."""
        self._hash()
        names, sequences = self._names.digest(), self._sequences.digest()
        return CollectionDigests(
            digest=digest_of_json({"names": names, "sequences": sequences}),
            names=names,
            sequences=sequences,
            lengths=self._lengths.digest(),
            name_length_pairs=self._pairs.digest(),
            sorted_name_length_pairs=_sorted_digest(self._pair_texts, b""),
            sorted_sequences=_sorted_digest(self._texts, b"SQ."),
        )


def _sorted_digest(texts: SortedTexts, prefix: bytes) -> Digest:
    """The digest of an array of texts, sorted, each with a prefix."""
    array = _Array()
    for some in texts:
        array.add(b'"' + prefix + (b'","' + prefix).join(some) + b'"')
    return array.digest()


def digests_of(members: Iterable[Member]) -> CollectionDigests:
    """The digests of a collection."""
    hasher = CollectionHasher()
    for member in members:
        hasher.add(*member)
    return hasher.digests()
