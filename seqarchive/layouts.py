"""How a FASTA file is written, besides what it says: the width of its lines, and lower case."""

from __future__ import annotations

import re
import zlib
from array import array
from collections.abc import Iterable, Iterator
from itertools import pairwise

#: Of a record whose lines are not all of one width (but the last), or that has more than residues
#: and line ends.
IRREGULAR = -1

#: Bytes of a mask that are unpacked at one time.
_STEP = 1 << 16

_LOWER = re.compile(rb"[a-z]+")
_WHITE_SPACE = b" \t\n\r\v\f"


class RecordLayout:
    """Sees the text of one record, piece by piece.

    Args:
        with_mask: Remember what is in lower case.
    """

    def __init__(self, *, with_mask: bool) -> None:
        self._with_mask = with_mask
        self._width = 0  # of the first line, once it has ended
        self._column = 0  # residues of the line that has not ended
        self._has_ended = False  # by a line that is shorter
        self._is_regular = True
        self._length = 0
        self._runs = array("Q")  # where each begins and ends

    def see(self, text: bytes, n_residues: int, *, is_upper: bool) -> None:
        """More of the text.

        Args:
            n_residues: What is left of it without white space.
            is_upper: Whether nothing of it is known to be in lower case.
        """
        if self._is_regular:
            self._is_regular = self._cut(text, len(text) - n_residues)
        if self._with_mask and not is_upper:
            self._find_lower(text)
        self._length += n_residues

    def spoil(self) -> None:
        """There was more than residues and line ends."""
        self._is_regular = False

    def _cut(self, text: bytes, n_ends: int) -> bool:
        """Whether the lines go on as they began. ``n_ends``: of white space."""
        if not text:
            return True
        if self._has_ended:
            return False
        if not n_ends:
            self._column += len(text)
            return not self._width or self._column <= self._width
        if not self._width:
            self._width = self._column + text.find(b"\n")
            if text.find(b"\n") < 0 or not self._width:
                return False
        step, begin = self._width + 1, self._width - self._column
        ends = text[begin::step]
        if len(ends) == ends.count(b"\n") == n_ends:
            self._column = len(text) - (begin + (n_ends - 1) * step) - 1
            return True
        # The last line may be shorter, and end with the record.
        ends = text[begin:-1:step]
        begun = begin + (n_ends - 2) * step + 1 if n_ends > 1 else -self._column
        self._has_ended = True
        return (
            text.endswith(b"\n")
            and len(ends) == ends.count(b"\n") == n_ends - 1
            and 0 < len(text) - 1 - begun <= self._width
        )

    def _find_lower(self, text: bytes) -> None:
        runs = self._runs
        for match in _LOWER.finditer(text.translate(None, _WHITE_SPACE)):
            begin, end = match.start() + self._length, match.end() + self._length
            if runs and runs[-1] == begin:
                runs[-1] = end
            else:
                runs.extend((begin, end))

    @property
    def width(self) -> int:
        """Residues of a line; 0 if they are all in one, ``IRREGULAR`` if lines differ."""
        if not self._is_regular:
            return IRREGULAR
        return self._width if self._length > self._width else 0

    @property
    def mask(self) -> bytes:
        """What is in lower case, as ``unmasked`` and ``masked`` take it; empty if nothing is."""
        if not self._runs:
            return b""
        deltas = array("Q", self._runs[:1])
        deltas.extend(after - before for before, after in pairwise(self._runs))
        if _IS_BIG_ENDIAN:
            deltas.byteswap()
        return zlib.compress(deltas.tobytes(), 6)


class FileLayout:
    """The width of the lines of a file, from those of its records."""

    def __init__(self) -> None:
        self._widths: set[int] = set()
        self._longest = 0

    def add(self, width: int, length: int) -> None:
        """One more record, of ``length`` residues."""
        if width:
            self._widths.add(width)
        else:
            self._longest = max(self._longest, length)

    @property
    def width(self) -> int | None:
        """Residues of a line; 0 if each record has one; None if the file is not written so."""
        if not self._widths:
            return 0
        width = max(self._widths)
        is_one = len(self._widths) == 1 and width > 0 and self._longest <= width
        return width if is_one else None


_IS_BIG_ENDIAN = array("H", [1]).tobytes() == b"\0\1"


def runs_of(mask: bytes) -> Iterator[tuple[int, int]]:
    """Where what is in lower case begins and ends, in residues.

    Raises:
        ValueError: It is no mask.
    """
    if not mask:
        return
    at = 0
    for deltas in _unpacked(mask):
        for n in range(0, len(deltas), 2):
            if not deltas[n + 1]:
                raise ValueError("a run of nothing")
            begin = at + deltas[n]
            at = begin + deltas[n + 1]
            yield begin, at


def _unpacked(mask: bytes) -> Iterator[array[int]]:
    """The numbers of a mask, some pairs at a time: a few bytes may stand for very many."""
    unpacker, packed, rest = zlib.decompressobj(), mask, b""
    while not unpacker.eof:
        try:
            found = unpacker.decompress(packed, _STEP)
        except zlib.error as error:
            raise ValueError(str(error)) from None
        if not found and not unpacker.eof:
            raise ValueError("the mask ends early")
        packed, text = unpacker.unconsumed_tail, rest + found
        whole = len(text) - len(text) % 16
        rest = text[whole:]
        deltas = array("Q", text[:whole])
        if _IS_BIG_ENDIAN:
            deltas.byteswap()
        yield deltas
    if rest:
        raise ValueError("a run without an end")


def masked(pieces: Iterable[str], mask: bytes, first: int = 0) -> Iterator[str]:
    """The pieces of a sequence, with lower case where it was.

    Args:
        first: Where the first piece begins.
    """
    if not mask:
        yield from pieces
        return
    runs = runs_of(mask)
    begin, end = next(((begin, end) for begin, end in runs if end > first), (0, 0))
    at = first
    for piece in pieces:
        after = at + len(piece)
        parts = []
        done = at
        while begin < after and end > at:
            first, last = max(begin, at), min(end, after)
            parts += [piece[done - at : first - at], piece[first - at : last - at].lower()]
            done = last
            if end > after:
                break
            begin, end = next(runs, (0, 0))
        yield "".join([*parts, piece[done - at :]])
        at = after
