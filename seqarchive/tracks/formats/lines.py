"""Lines of text, thousands at a time: where each begins and ends, and the fields between."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput
from ..columns import Bools, Floats, Ints

#: Text that is parsed at a time, and what one line may have.
BLOCK, LONGEST_LINE = 1 << 22, 1 << 24

#: The largest position: up to here, each whole number is a float too (and one of JavaScript).
LAST_POSITION = 1 << 53

#: Zeros after the text, so that the digits of the last number may be looked for beyond it.
_PADDING = 32

_MOST_DIGITS = 16
_WIDEST_NUMBER = 32
_WIDEST_NAME = 256
_LARGEST_MATRIX = 1 << 26

#: Digits of a mantissa, and of them after the point, that one division turns into the nearest
#: float: both parts of it are exact.
_EXACT_DIGITS = 15
_TENS = 10.0 ** np.arange(_EXACT_DIGITS + 1)

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PLAIN = bytes(range(32, 127)) + b"\t\r\n"
_TEXT_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NUMBER = re.compile(r"(?ai)[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?\Z")
_WORD = re.compile(r"(?ai)[+-]?(nan|inf|infinity)\Z")
_DIGITS = re.compile(r"(?a)\d+\Z")

_IN_NUMBERS = np.zeros(256, np.bool_)
_IN_NUMBERS[[0, *b"0123456789+-.eEnNaAiIfFtTyY"]] = True


def shown(text: str) -> str:
    """A text of somebody else for a message: quoted, and not too long."""
    return repr(text if len(text) <= 40 else text[:37] + "...")


@dataclass(frozen=True)
class Lines:
    """Some lines of a file that have contents.

    Args:
        text: Whole lines, and some zeros.
        begins, ends: Where each is in it, in bytes, without the end of the line.
        numbers: Of the lines in the file, from 1.
    """

    text: bytes
    begins: Ints
    ends: Ints
    numbers: Ints
    file: str

    def __len__(self) -> int:
        return len(self.begins)

    @cached_property
    def buffer(self) -> NDArray[np.uint8]:
        """The text, as numbers."""
        return np.frombuffer(self.text, np.uint8)

    @property
    def first_bytes(self) -> NDArray[np.uint8]:
        """What each begins with."""
        return self.buffer[self.begins]

    @cached_property
    def is_plain(self) -> bool:
        """Whether all of it is ASCII without control characters."""
        return len(self.text.translate(None, _PLAIN)) == _PADDING and self.text.count(
            b"\r"
        ) == self.text.count(b"\r\n")

    def taken(self, which: NDArray[Any]) -> Lines:
        """Some of them, by position or by a mask."""
        return replace(
            self, begins=self.begins[which], ends=self.ends[which], numbers=self.numbers[which]
        )

    def starting(self, *prefixes: bytes) -> Bools:
        """Which of them begin with one of some words."""
        found = np.zeros(len(self), np.bool_)
        for prefix in prefixes:
            where = np.flatnonzero(self.begins + len(prefix) <= self.ends)
            for at, letter in enumerate(prefix):
                where = where[self.buffer[self.begins[where] + at] == letter]
            found[where] = True
        return found

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """Number and text of each.

        Raises:
            BadInput: It is not UTF-8.
        """
        columns = zip(self.numbers.tolist(), self.begins.tolist(), self.ends.tolist(), strict=True)
        for number, begin, end in columns:
            yield number, self.decoded(number, begin, end)

    def decoded(self, number: int, begin: int, end: int) -> str:
        """A part of the text that is of a line. Raises BadInput."""
        try:
            return self.text[begin:end].decode("utf-8")
        except UnicodeDecodeError:
            raise BadInput("this is not text in UTF-8", file=self.file, line=number) from None


def lines_of(chunks: Iterable[bytes], file: str) -> Iterator[Lines]:
    """The lines of a file that are not blank, some megabytes at a time.

    Raises:
        BadInput: A line that is longer than 16 MiB.
    """
    number = 1
    for text in _whole_lines(chunks, file):
        buffer = np.frombuffer(text, np.uint8)
        ends = np.flatnonzero(buffer == ord("\n"))
        begins = np.concatenate(([0], ends[:-1] + 1))
        numbers = np.arange(number, number + len(ends))
        number += len(ends)
        ends = ends - ((ends > begins) & (buffer[ends - 1] == ord("\r")))
        there = ends > begins
        for n in np.flatnonzero(np.isin(buffer[begins], list(b" \t\r\v\f"))):
            there[n] = bool(text[begins[n] : ends[n]].strip())
        yield Lines(text + bytes(_PADDING), begins[there], ends[there], numbers[there], file)


def _whole_lines(chunks: Iterable[bytes], file: str) -> Iterator[bytes]:
    """Pieces that end where a line does."""
    rest: list[bytes] = []
    n_bytes, is_first, number = 0, True, 1
    for given in chunks:
        chunk = given.removeprefix(_BYTE_ORDER_MARK) if is_first else given
        is_first = False
        rest.append(chunk)
        n_bytes += len(chunk)
        if n_bytes < BLOCK:
            continue
        text = b"".join(rest)
        cut = text.rfind(b"\n") + 1
        if n_bytes - cut > LONGEST_LINE:
            number += text.count(b"\n")
            raise BadInput("the line is longer than 16 MiB", file=file, line=number)
        if cut:
            yield text[:cut]
            number += text.count(b"\n")
        rest, n_bytes = [text[cut:]], n_bytes - cut
    text = b"".join(rest)
    if text:
        yield text if text.endswith(b"\n") else text + b"\n"


class Fields:
    """The fields of lines that all have as many: column after column, or nothing.

    Its methods give None wherever a column is not plainly what is asked for. The caller then
    looks at line after line, which tells what is wrong where.
    """

    def __init__(self, lines: Lines, begins: Ints, ends: Ints) -> None:
        self.lines = lines
        self._begins, self._ends = begins, ends

    @classmethod
    def split(cls, lines: Lines, *, at_spaces: bool = False) -> Fields | None:
        """At tabs, or at single spaces if there is no tab; None if lines differ in number."""
        if not lines.is_plain:
            return None
        tabs = cls._split_at(lines, ord("\t"))
        if tabs is None or tabs.n_columns > 1 or not at_spaces:
            return tabs
        return cls._split_at(lines, ord(" "))

    @classmethod
    def _split_at(cls, lines: Lines, separator: int) -> Fields | None:
        found = np.flatnonzero(lines.buffer == separator)
        first = np.searchsorted(found, lines.begins)
        counts = np.searchsorted(found, lines.ends) - first
        n = int(counts[0])
        if n > 64 or (counts != n).any():
            return None
        at = found[first[:, None] + np.arange(n)] if n else np.empty((len(lines), 0), np.int64)
        return cls(
            lines,
            np.column_stack([lines.begins, at + 1]),
            np.column_stack([at, lines.ends]),
        )

    @property
    def n_columns(self) -> int:
        """Of each line."""
        return int(self._begins.shape[1])

    def _column(self, n: int) -> tuple[Ints, Ints]:
        begins = self._begins[:, n]
        return begins, self._ends[:, n] - begins

    def ints(self, column: int) -> Ints | None:
        """Whole numbers up to ``LAST_POSITION``, without a sign."""
        begins, lengths = self._column(column)
        if lengths.min() < 1 or lengths.max() > _MOST_DIGITS:
            return None
        found, is_wrong = np.zeros(len(begins), np.int64), False
        for at in range(int(lengths.max())):
            digits = self.lines.buffer[begins + at] - np.uint8(ord("0"))
            there = lengths > at
            is_wrong = is_wrong or bool((there & (digits > 9)).any())
            found = np.where(there, found * 10 + digits, found)
        return None if is_wrong or (found > LAST_POSITION).any() else found

    def floats(self, column: int, missing: bytes | None = None) -> Floats | None:
        """Numbers, with NaN for a word that stands for a missing one."""
        words = self._matrix(column, _WIDEST_NUMBER)
        if words is None or not words.size:
            return None
        exact = _exact(words, self._column(column)[1])
        if exact is not None:
            return exact
        if not _IN_NUMBERS[words].all():
            return None
        texts = np.ascontiguousarray(words).view(f"S{words.shape[1]}")[:, 0]
        if missing is not None:
            texts = np.where(texts == missing, b"nan", texts)
        try:
            found: Floats = texts.astype(np.float64)
        except ValueError:
            return None
        # A number that is written with digits and too large to be one is no infinity.
        endless = np.isinf(found)
        if endless.any() and any(_WORD.match(text.decode()) is None for text in texts[endless]):
            return None
        return found

    def strands(self, column: int) -> NDArray[np.bytes_] | None:
        """One of ``+``, ``-`` and ``.`` each."""
        begins, lengths = self._column(column)
        found = self.lines.buffer[begins]
        if (lengths != 1).any() or not np.isin(found, list(b"+-.")).all():
            return None
        return found.view("S1")

    def words(self, column: int) -> list[str]:
        """As they are; what is repeated is one object."""
        text = self.lines.text.decode("ascii")
        pairs = zip(self._begins[:, column].tolist(), self._ends[:, column].tolist(), strict=True)
        words = [text[begin:end] for begin, end in pairs]
        known: dict[str, str] = {}
        return list(map(known.setdefault, words, words))

    def are_all(self, column: int, word: bytes) -> bool:
        """Whether each of them is one word of one letter."""
        begins, lengths = self._column(column)
        return bool((lengths == 1).all() and (self.lines.buffer[begins] == word[0]).all())

    def runs(self, column: int) -> tuple[list[str], Ints] | None:
        """Words, and how many lines in a row have each."""
        matrix = self._matrix(column, _WIDEST_NAME)
        if matrix is None or not matrix.size:
            return None
        words = np.ascontiguousarray(matrix).view(f"S{matrix.shape[1]}")[:, 0]
        first = np.flatnonzero(np.concatenate(([True], words[1:] != words[:-1])))
        lengths = np.diff(np.append(first, len(words)))
        return [word.decode("ascii") for word in words[first].tolist()], lengths

    def _matrix(self, column: int, widest: int) -> NDArray[np.uint8] | None:
        """Bytes of each, and zeros up to the length of the longest; None if that is too long."""
        begins, lengths = self._column(column)
        width = int(lengths.max())
        if lengths.min() < 1 or width > widest or width * len(begins) > _LARGEST_MATRIX:
            return None
        found = np.zeros((len(begins), width), np.uint8)
        for at in range(width):
            there = lengths > at
            found[:, at] = self.lines.buffer[np.where(there, begins + at, 0)] * there
        return found


def _exact(words: NDArray[np.uint8], lengths: Ints) -> Floats | None:
    """Numbers with up to 15 digits and without an exponent; None if others are among them."""
    if words.shape[1] > _EXACT_DIGITS + 2:
        return None
    mantissa = np.zeros(len(words), np.int64)
    n_digits, point = np.zeros_like(mantissa), np.full_like(mantissa, -1)
    is_minus = words[:, 0] == ord("-")
    for at in range(words.shape[1]):
        letters = words[:, at]
        digits = letters - np.uint8(ord("0"))
        is_digit = digits < 10
        is_point = (letters == ord(".")) & (point < 0)
        known = is_digit | is_point | (lengths <= at)
        if not (known | is_minus if at == 0 else known).all():
            return None
        mantissa = np.where(is_digit, mantissa * 10 + digits, mantissa)
        n_digits += is_digit
        point = np.where(is_point, at, point)
    if n_digits.min() < 1 or n_digits.max() > _EXACT_DIGITS:
        return None
    after = np.where(point < 0, 0, lengths - 1 - point)
    found: Floats = mantissa / _TENS[after]
    return np.where(is_minus, 0.0 - found, found)


# --- one by one -------------------------------------------------------------------------------


def position_of(text: str, what: str, first: int = 0) -> int:
    """A position that somebody wrote.

    Args:
        first: The lowest there is.

    Raises:
        ValueError: With a message.
    """
    if _DIGITS.match(text) is None:
        raise ValueError(f"{what} is a whole number from {first}, not {shown(text)}")
    if len(text) > _MOST_DIGITS or int(text) > LAST_POSITION:
        raise ValueError(f"{what} {text[:20]} is beyond 2^53")
    if int(text) < first:
        raise ValueError(f"{what} is a whole number from {first}, not {shown(text)}")
    return int(text)


def number_of(text: str, what: str, missing: Sequence[str] = ()) -> float:
    """A number that somebody wrote; NaN for a word that stands for a missing one.

    Raises:
        ValueError: With a message.
    """
    if text in missing:
        return float("nan")
    if _NUMBER.match(text) is not None:
        found = float(text)
        if abs(found) != float("inf"):
            return found
        raise ValueError(f"{what} {shown(text)} is too large for a number of 64 bits")
    if _WORD.match(text) is None:
        raise ValueError(f"{what} is a number, not {shown(text)}")
    return float(text)


def name_of(text: str, what: str) -> str:
    """A text without control characters.

    Raises:
        ValueError: With a message.
    """
    if _TEXT_CONTROLS.search(text) is not None:
        raise ValueError(f"{what} {shown(text)} has control characters")
    return text


def chromosome_of(text: str) -> str:
    """A name of a chromosome.

    Raises:
        ValueError: With a message.
    """
    if not text or text.split() != [text]:
        raise ValueError(f"the name of a chromosome is empty or has white space: {shown(text)}")
    return name_of(text, "the name of a chromosome")
