"""Digests, aliases, identifiers and ranges. Text from outside is parsed here, once, at the door.

A digest is sha512t24u: the first 24 bytes of the SHA-512 of the residues, as 32 base64url
characters (GA4GH refget v2.0.0). Other digests are stored, or follow from stored ones.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import NamedTuple, NewType

from . import namespaces
from .errors import BadInterval, BadName

#: A sha512t24u digest, 32 base64url characters without prefix; made only in this module.
Digest = NewType("Digest", str)

_URLSAFE = bytes.maketrans(b"+/", b"-_")
_DIGEST = re.compile(r"[A-Za-z0-9_-]{32}\Z")
_MAX_ALIAS = 1024

#: Categories of Unicode that no name has: controls, halves of characters, ends of lines.
_CONTROLS = ("Cc", "Cs", "Zl", "Zp")


def digest_of(residues: bytes) -> Digest:
    """The sha512t24u digest of upper-case residues."""
    return digest_text(hashlib.sha512(residues).digest()[:24])


def digest_text(raw: bytes) -> Digest:
    """24 bytes as 32 base64url characters."""
    return Digest(binascii.b2a_base64(raw, newline=False).translate(_URLSAFE).decode("ascii"))


def digest_bytes(digest: str) -> bytes:
    """32 base64url characters as 24 bytes."""
    return base64.urlsafe_b64decode(digest)


def parse_digest(text: str) -> Digest:
    """A digest that somebody wrote, with or without ``SQ.`` and ``ga4gh:``.

    Raises:
        BadName: Not 32 base64url characters.
    """
    bare = text.removeprefix("ga4gh:").removeprefix("SQ.")
    if _DIGEST.match(bare) is None:
        raise BadName(f"{text!r} is not a sha512t24u digest (32 base64url characters)")
    return Digest(bare)


class Alias(NamedTuple):
    """A name inside a namespace."""

    namespace: str
    alias: str

    def __str__(self) -> str:
        return f"{self.namespace}:{self.alias}"


def check_alias(text: str) -> str:
    """An alias as given, if it can be one.

    Raises:
        BadName: Empty, longer than 1,024 characters, or with white space or control characters
            (which could not be told from the end of a name in a FASTA file or a table).
    """
    if not text:
        raise BadName("an alias cannot be empty")
    if len(text) > _MAX_ALIAS:
        raise BadName(f"the alias {text[:40]!r}... has {len(text)} characters, more than 1,024")
    if not text.isprintable() or text.split() != [text]:
        raise BadName(f"the alias {text!r} has white space or control characters")
    return text


def check_label(text: str) -> str:
    """What somebody calls a thing that is found by an id; other than an alias, it may have spaces.

    Raises:
        BadName: It has control characters, line ends, or what is no character.
    """
    if any(unicodedata.category(c) in _CONTROLS for c in text):
        raise BadName(f"the name {text[:100]!r} has control characters; say another one")
    return text


def visible(text: str) -> str:
    """A text whose line ends and control characters are visible instead of effective."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def parse_alias(text: str) -> Alias:
    """``namespace:alias``, split at the first colon; the namespace in its canonical spelling.

    Raises:
        BadName: No colon, or a part that cannot be what it should be.
    """
    namespace, colon, alias = text.partition(":")
    if not colon:
        raise BadName(f"{text!r} has no namespace; write it as namespace:alias")
    return Alias(namespaces.canonical(namespace), check_alias(alias))


# --- digests as names -------------------------------------------------------------------------


class DigestKey(NamedTuple):
    """A digest to look up: which stored digest (``digest``, ``md5``, ``sha1``, ``sha256``)."""

    column: str
    value: bytes


class AliasKey(NamedTuple):
    """An alias to look up; in all namespaces if ``namespace`` is None."""

    namespace: str | None
    alias: str


Key = DigestKey | AliasKey


def _base64url(text: str) -> bytes | None:
    return base64.urlsafe_b64decode(text) if _DIGEST.match(text) else None


def _prefixed(prefix: str) -> Callable[[str], bytes | None]:
    def decode(text: str) -> bytes | None:
        return _base64url(text[3:]) if text[:3] == prefix else None

    return decode


def _hexadecimal(n_digits: int) -> Callable[[str], bytes | None]:
    pattern = re.compile(rf"[0-9A-Fa-f]{{{n_digits}}}\Z")

    def decode(text: str) -> bytes | None:
        return bytes.fromhex(text) if pattern.match(text) else None

    return decode


_SEGUID = re.compile(r"[A-Za-z0-9+/]{27}=?\Z")


def _seguid(text: str) -> bytes | None:
    return base64.b64decode(text.rstrip("=") + "=") if _SEGUID.match(text) else None


#: namespace -> (stored digest, bytes of it, decoder). A full SHA-512 is found by its first 24.
_DECODERS: dict[str, tuple[str, int, Callable[[str], bytes | None]]] = {
    "ga4gh": ("digest", 24, _prefixed("SQ.")),
    "sha512t24u": ("digest", 24, _base64url),
    "VMC": ("digest", 24, _prefixed("GS_")),
    "trunc512": ("digest", 24, _hexadecimal(48)),
    "sha512": ("digest", 24, _hexadecimal(128)),
    "md5": ("md5", 16, _hexadecimal(32)),
    "sha1": ("sha1", 20, _hexadecimal(40)),
    "seguid": ("sha1", 20, _seguid),
    "sha256": ("sha256", 32, _hexadecimal(64)),
}

#: A text shorter than any bare digest needs none of the decoders.
_SHORTEST_DIGEST = 27


def _digest_key(namespace: str, text: str) -> DigestKey | None:
    column, n_bytes, decode = _DECODERS[namespace]
    value = decode(text)
    return None if value is None else DigestKey(column, value[:n_bytes])


def qualified_key(text: str) -> Key | None:
    """What ``namespace:alias`` asks for; None if the text cannot be read so."""
    namespace, colon, alias = text.partition(":")
    if not colon or not alias:
        return None
    try:
        spelling = namespaces.canonical(namespace)
    except BadName:
        return None
    if spelling in _DECODERS:
        return _digest_key(spelling, alias)
    return AliasKey(spelling, alias)


def bare_keys(text: str) -> list[Key]:
    """What a text without a namespace may ask for: an alias anywhere, or a digest by its form."""
    keys: list[Key] = [AliasKey(None, text)]
    if len(text) >= _SHORTEST_DIGEST:
        found = (_digest_key(namespace, text) for namespace in _DECODERS)
        keys += dict.fromkeys(key for key in found if key is not None)
    return keys


class StoredDigests(NamedTuple):
    """The digests of a sequence that are stored, as bytes."""

    digest: bytes
    md5: bytes = b""
    sha1: bytes = b""


_COMPUTED: dict[str, Callable[[StoredDigests], str]] = {
    "ga4gh": lambda stored: "SQ." + digest_text(stored.digest),
    "md5": lambda stored: stored.md5.hex(),
    "seguid": lambda stored: base64.b64encode(stored.sha1).decode("ascii").rstrip("="),
    "sha1": lambda stored: stored.sha1.hex(),
    "sha512t24u": lambda stored: digest_text(stored.digest),
    "trunc512": lambda stored: stored.digest.hex(),
    "VMC": lambda stored: "GS_" + digest_text(stored.digest),
}

#: The namespaces of ``computed_names``.
COMPUTED_NAMES = tuple(_COMPUTED)


def computed_names(stored: StoredDigests, which: Iterable[str] = COMPUTED_NAMES) -> list[Alias]:
    """The names that follow from the stored digests, the ``ga4gh:SQ.`` one first."""
    return [Alias(name, _COMPUTED[name](stored)) for name in which]


# --- ranges -----------------------------------------------------------------------------------


class Interval(NamedTuple):
    """``[start, end)`` in residues, 0-based. None means the beginning or the end."""

    start: int | None
    end: int | None


_RANGE = re.compile(r"(?s)(.+):([0-9][0-9,]*)?-([0-9][0-9,]*)?\Z")


def split_range(text: str) -> tuple[str, Interval] | None:
    """``ID:START-END``, ``ID:START-`` or ``ID:-END`` taken apart; None if no range ends the text.

    A name may itself look like this: the caller tries the whole text first.
    """
    match = _RANGE.match(text)
    if match is None:
        return None
    name, start, end = match.groups()
    if start is None and end is None:
        return None
    return name, Interval(_position(start), _position(end))


def _position(digits: str | None) -> int | None:
    return None if digits is None else int(digits.replace(",", "")[:19])


def check_interval(
    start: int | None, end: int | None, length: int, *, clamp: bool = False, circular: bool = False
) -> tuple[int, int]:
    """``start`` and ``end`` of a range that a sequence of ``length`` residues has.

    ``start > end`` is allowed on a circular sequence only: from start over the origin to end.

    Raises:
        BadInterval: Negative, reversed, or beyond the end (unless ``clamp``).
    """
    first = 0 if start is None else start
    last = length if end is None else end
    if clamp:
        first, last = max(0, min(first, length)), max(0, min(last, length))
    if first < 0 or last < 0:
        raise BadInterval(f"the range {first}-{last} is negative; positions count from 0")
    if first > length:
        asked = f"{first}-{'' if end is None else last}"
        raise BadInterval(f"the range {asked} begins beyond the {length} residues there are")
    if last > length:
        raise BadInterval(f"the range {first}-{last} ends beyond the {length} residues there are")
    if first > last and not circular:
        raise BadInterval(f"the range {first}-{last} is reversed and the sequence is not circular")
    return first, last
