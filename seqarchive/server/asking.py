"""What a client asks for in headers and parameters, parsed once, by the letter of the standards.

Frameworks turn wrong numbers into 422 and take an empty text for none; refget wants 400.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

from starlette.requests import ClientDisconnect, Request

#: Digits of a number that is behind every sequence.
_FAR = 18

_NUMBER = re.compile(r"[0-9]{1,10}\Z", re.ASCII)
_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)\Z", re.ASCII)
_PREFIXED = re.compile(r"(?:ga4gh:(?:SQ\.)?|SQ\.)([A-Za-z0-9_-]{32})\Z")
_QUALITY = re.compile(r"(0(\.[0-9]{0,3})?|1(\.0{0,3})?)\Z", re.ASCII)

#: Whoever goes on to send is not listened to.
CLOSING = {"Connection": "close"}

#: Positions are unsigned, of 32 bits.
_MOST = 1 << 32


class Refused(Exception):
    """An answer that says that there is none.

    Args:
        headers: That the answer has besides.
    """

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


class Part(NamedTuple):
    """A part of a sequence, or all of it."""

    start: int
    end: int
    """Less than ``start`` where it goes over the origin of a circular sequence."""
    is_range: bool
    """Whether it was asked for by a Range header."""

    def n_residues(self, length: int) -> int:
        """How many residues it has, of a sequence of ``length``."""
        return self.end - self.start if self.end >= self.start else length - self.start + self.end


def number(request: Request, name: str) -> int | None:
    """An unsigned number of 32 bits among the parameters; None if it is not there.

    Raises:
        Refused: 400: It is none, or there twice.
    """
    values = request.query_params.getlist(name)
    if not values:
        return None
    if len(values) > 1:
        raise Refused(400, f"{name} is given {len(values)} times")
    if _NUMBER.match(values[0]) is None or int(values[0]) >= _MOST:
        raise Refused(400, f"{name} is not an unsigned number of 32 bits: {values[0][:40]!r}")
    return int(values[0])


def page_of(request: Request, usual: int = 100, most: int = 1_000) -> tuple[int, int]:
    """The page of a list that is asked for, from 0, and how many a page has.

    Args:
        usual, most: How many, if nothing is said, and at most.

    Raises:
        Refused: 400: It makes no sense.
    """
    page, size = number(request, "page"), number(request, "page_size")
    if size == 0 or (size or 0) > most:
        raise Refused(400, f"page_size is 1 to {most:,}")
    return page or 0, min(usual, most) if size is None else size


def one_of(request: Request, name: str) -> str | None:
    """A parameter; None if it is not there.

    Raises:
        Refused: 400: It is there twice.
    """
    values = request.query_params.getlist(name)
    if len(values) > 1:
        raise Refused(400, f"{name} is given {len(values)} times")
    return values[0] if values else None


def is_true(request: Request, name: str) -> bool:
    """Whether a parameter is ``true``; without it, it is not.

    Raises:
        Refused: 400: It is neither ``true`` nor ``false``.
    """
    value = one_of(request, name)
    if value not in (None, "true", "false", "1", "0"):
        raise Refused(400, f"{name} is true or false")
    return value in ("true", "1")


def part(
    request: Request, length: int, *, is_circular: bool, limit: int | None, etag: str
) -> Part | None:
    """The part that is asked for; None for the whole sequence.

    Args:
        limit: Residues of a part at most.
        etag: Of the whole: with another one in If-Range, a Range does not count.

    Raises:
        Refused: 400: It makes no sense. 416: The sequence has no such part.
    """
    start, end = number(request, "start"), number(request, "end")
    given = request.headers.getlist("range")
    if given and (start is not None or end is not None):
        raise Refused(400, "a Range header and start or end exclude each other")
    if given:
        if request.headers.get("if-range", etag) != etag:
            return None
        found = _ranged(given, length)
    elif start is None and end is None:
        return None
    else:
        found = _part(start, end, length, is_circular=is_circular)
    if limit is not None and found.n_residues(length) > limit:
        raise _unsatisfiable(f"more than {limit:,} residues at once are not given", length)
    return found


def collection_named(request: Request, parameter: str = "identifier") -> str:
    """A collection, or an attribute of one, as the path names it.

    Raises:
        Refused: 404: By a digest with the prefix of sequences, which no collection has (ADR
            2023-08-25 of sequence collections).
    """
    named: str = request.path_params[parameter]
    require_bare(named, 404)
    return named


def require_bare(text: str, status: int) -> None:
    """Refuse the digest of a collection, or of an attribute, that has a prefix."""
    match = _PREFIXED.match(text)
    if match is not None:
        raise Refused(status, f"digests of collections have no prefix: say {match[1]}")


async def body_of(request: Request, limit: int) -> AsyncIterator[bytes]:
    """What a client sends, as it comes.

    Args:
        limit: Bytes that it may have; more are not read.

    Raises:
        Refused: 400: It ends early. 413: It has more, or is going to.
    """
    said = request.headers.get("content-length", "")
    if said.isascii() and said.isdigit() and int(said[:19]) > limit:
        raise Refused(413, f"the body has more than {limit:,} bytes", CLOSING)
    n_bytes = 0
    try:
        async for chunk in request.stream():
            n_bytes += len(chunk)
            if n_bytes > limit:
                raise Refused(413, f"the body has more than {limit:,} bytes", CLOSING)
            yield chunk
    except ClientDisconnect:
        raise Refused(400, "the body did not come whole") from None


async def json_body(request: Request, limit: int) -> Any:
    """What a client sent.

    Args:
        limit: Bytes that it may have; more are not read.

    Raises:
        Refused: It has more, or is not JSON.
    """
    body = bytearray()
    async for chunk in body_of(request, limit):
        body += chunk
    try:
        return json.loads(bytes(body))
    except (ValueError, RecursionError):
        raise Refused(400, "the body is not JSON") from None


def _part(start: int | None, end: int | None, length: int, *, is_circular: bool) -> Part:
    first, last = start or 0, length if end is None else end
    if start is not None and start >= length:
        raise _unsatisfiable(f"start {start} is not inside the {length:,} residues", length)
    if last > length:
        raise _unsatisfiable(f"end {last} is beyond the {length:,} residues", length)
    if first > last and not is_circular:
        raise _unsatisfiable("start is behind end, and the sequence is not circular", length)
    return Part(first, last, is_range=False)


def _ranged(given: Sequence[str], length: int) -> Part:
    match = _RANGE.match(given[0]) if len(given) == 1 else None
    if match is None or not (match[1] or match[2]):
        raise Refused(400, "not one range of bytes (bytes=0-99)")
    if not match[1]:  # the last ones
        n_last = min(_position(match[2]), length)
        first, last = length - n_last, length
    else:
        first = _position(match[1])
        last = min(_position(match[2]) + 1, length) if match[2] else length
        if match[2] and _position(match[2]) < first:
            raise _unsatisfiable("the range ends before it begins", length)
    if first >= last:
        raise _unsatisfiable(f"the range is not inside the {length:,} residues", length)
    return Part(first, last, is_range=True)


def _position(digits: str) -> int:
    """A number of a Range, which may be of any size."""
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= _FAR else 10**_FAR


def _unsatisfiable(message: str, length: int) -> Refused:
    return Refused(416, message, {"Content-Range": f"bytes */{length}"})


# --- media types --------------------------------------------------------------------------------


class MediaType(NamedTuple):
    """A kind of answer."""

    name: str
    """Type and subtype, in lower case."""
    full: str
    """As it is said of an answer."""
    also: tuple[str, ...] = ()
    """Other names under which it may be asked for."""

    def is_meant(self, asked: str) -> bool:
        """Whether a type that somebody accepts is this one."""
        kinds = (self.name, *self.also)
        if asked.endswith("/*"):
            return asked == "*/*" or any(kind.startswith(asked[:-1]) for kind in kinds)
        return asked in kinds


def negotiated(request: Request, offered: Sequence[MediaType]) -> MediaType:
    """The kind of answer that a client likes most; of equals the first that is offered.

    Raises:
        Refused: 406: None of these.
    """
    header = ",".join(request.headers.getlist("accept")).strip()
    if not header:
        return offered[0]
    best, best_quality = None, 0.0
    asked = [_accepted(one) for one in header.split(",") if one.strip()]
    for kind in offered:
        # The most specific word about a kind counts.
        about = [
            (text.count("*"), -quality)
            for text, quality in asked
            if text is not None and kind.is_meant(text)
        ]
        quality = -min(about)[1] if about else 0.0
        if quality > best_quality:
            best, best_quality = kind, quality
    if best is None:
        raise Refused(406, f"only {', '.join(kind.name for kind in offered)} can be given")
    return best


def _accepted(text: str) -> tuple[str | None, float]:
    """A type of an Accept header, without its parameters, and its quality."""
    name, *parameters = (part.strip() for part in text.split(";"))
    quality = 1.0
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip().lower() == "q":
            value = value.strip()
            quality = float(value) if _QUALITY.match(value) else 1.0
    return (name.lower() if "/" in name else "*/*" if name == "*" else None), quality
