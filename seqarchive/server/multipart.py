"""Forms with files (multipart/form-data, RFC 7578), taken apart as they come: of a file, no more is
in memory than a chunk."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from .asking import Refused

#: Bytes of the headers of a part.
_HEAD = 1 << 14

_BOUNDARY = re.compile(r'boundary=(?:"([^"\\]{1,70})"|([^\s;"]{1,70}))\s*(?:;|\Z)', re.IGNORECASE)
_PARAMETER = re.compile(r';\s*([A-Za-z0-9_-]{1,40})=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))')


class Head(NamedTuple):
    """The beginning of a part."""

    name: str
    """Of the field."""
    filename: str | None
    """As the client says; None if it is no file."""


class End(NamedTuple):
    """The end of a part."""


#: What a form consists of: the head of a part, bytes of it, its end.
Piece = Head | bytes | End


class Parts:
    """A form that comes in chunks of any size.

    Args:
        boundary: What is between parts.
    """

    def __init__(self, boundary: str) -> None:
        self._delimiter = b"\r\n--" + boundary.encode("latin-1")
        self._waiting = bytearray(b"\r\n")  # the first delimiter may have no line before it
        self._step: Callable[[list[Piece]], bool] = self._before
        self.is_over = False
        """Whether the last part has ended."""

    def feed(self, data: bytes) -> list[Piece]:
        """What is known after a chunk.

        Raises:
            Refused: 400: It is no form.
        """
        self._waiting += data
        found: list[Piece] = []
        while self._step(found):
            pass
        return found

    def _before(self, _found: list[Piece]) -> bool:
        """Whatever is before the first part means nothing."""
        at = self._waiting.find(self._delimiter)
        if at < 0:
            del self._waiting[: -len(self._delimiter)]
            return False
        return self._delimited(at)

    def _delimited(self, at: int) -> bool:
        del self._waiting[: at + len(self._delimiter)]
        self._step = self._between
        return True

    def _between(self, _found: list[Piece]) -> bool:
        if self._waiting.startswith(b"--"):
            self.is_over = True
            self._step = self._behind
            return True
        at = self._waiting.find(b"\r\n")
        line = bytes(self._waiting if at < 0 else self._waiting[:at]).strip(b" \t")
        if line and (at >= 0 or line not in (b"-", b"\r")):
            raise _no_form()
        if at < 0:
            return self._is_short()
        del self._waiting[: at + 2]
        self._step = self._head
        return True

    def _behind(self, _found: list[Piece]) -> bool:
        self._waiting.clear()
        return False

    def _head(self, found: list[Piece]) -> bool:
        at = self._waiting.find(b"\r\n\r\n")
        if at < 0:
            return self._is_short()
        head = bytes(self._waiting[:at])
        del self._waiting[: at + 4]
        found.append(_head_of(head))
        self._step = self._contents
        return True

    def _is_short(self) -> bool:
        if len(self._waiting) > _HEAD:
            raise _no_form()
        return False

    def _contents(self, found: list[Piece]) -> bool:
        at = self._waiting.find(self._delimiter)
        known = at if at >= 0 else max(0, len(self._waiting) - len(self._delimiter))
        if known:
            found.append(bytes(self._waiting[:known]))
        if at < 0:
            del self._waiting[:known]
            return False
        found.append(End())
        return self._delimited(at)


def boundary_of(content_type: str) -> str:
    """What is between the parts of a form.

    Raises:
        Refused: 400: The header does not say.
    """
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise Refused(400, "the Content-Type of the form has no boundary")
    return match[1] or match[2]


def _head_of(head: bytes) -> Head:
    for line in head.decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() != "content-disposition":
            continue
        given = {
            key.lower(): re.sub(r"\\(.)", r"\1", quoted) if quoted else bare
            for key, quoted, bare in _PARAMETER.findall(value)
        }
        if "name" in given:
            return Head(given["name"], given.get("filename"))
    raise _no_form()


def _no_form() -> Refused:
    return Refused(400, "the body is no form (multipart/form-data)", {"Connection": "close"})
