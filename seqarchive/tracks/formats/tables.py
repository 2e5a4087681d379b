"""Tables with tabs: a key and a number on each line."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ...errors import BadInput
from .lines import Fields, Lines, name_of, number_of, shown

#: What may stand for a missing number.
_MISSING = ("NA", ".")


def read_table(blocks: Iterable[Lines]) -> dict[str, float]:
    """Key -> number, NaN if it is missing (``NA``, ``.`` or ``NaN``). A first line that begins
    with ``#`` is a header.

    Raises:
        BadInput: A line that is not a key and a number, or a key that was there before.
    """
    values: dict[str, float] = {}
    at_line: dict[str, int] = {}
    for lines in blocks:
        rows = lines
        if len(lines) and lines.numbers[0] == 1 and lines.first_bytes[0] == ord("#"):
            rows = lines.taken(np.arange(1, len(lines)))
        if not len(rows):
            continue
        keys, numbers = _at_once(rows) or _by_line(rows)
        n_known = len(values)
        values.update(zip(keys, numbers, strict=True))
        if len(values) < n_known + len(keys):
            raise _twice(at_line, keys, rows)
        at_line.update(zip(keys, rows.numbers.tolist(), strict=True))
    return values


def _twice(at_line: dict[str, int], keys: list[str], rows: Lines) -> BadInput:
    """The error of a key that is there again."""
    for key, line in zip(keys, rows.numbers.tolist(), strict=True):
        first = at_line.setdefault(key, line)
        if first != line:
            message = f"the key {shown(key)} is on line {first} already"
            return BadInput(message, file=rows.file, line=line)
    raise AssertionError("no key is there twice")


def _at_once(rows: Lines) -> tuple[list[str], list[float]] | None:
    """Keys and numbers, if nothing is wrong with any of them."""
    fields = Fields.split(rows)
    if fields is None or fields.n_columns != 2:
        return None
    numbers = fields.floats(1)
    keys = fields.words(0)
    return None if numbers is None or "" in keys else (keys, numbers.tolist())


def _by_line(rows: Lines) -> tuple[list[str], list[float]]:
    keys, numbers = [], []
    for line, text in rows:
        try:
            key, number = parsed_line(text)
        except ValueError as error:
            raise BadInput(str(error), file=rows.file, line=line) from None
        keys.append(key)
        numbers.append(number)
    return keys, numbers


def parsed_line(text: str) -> tuple[str, float]:
    """Key and number of one line.

    Raises:
        ValueError: It has none, with a message.
    """
    fields = text.split("\t")
    if len(fields) != 2:
        raise ValueError(f"a line is a key, a tab and a number; it has {len(fields)} columns")
    if not fields[0]:
        raise ValueError("the key is empty")
    return name_of(fields[0], "the key"), number_of(fields[1], "the number", _MISSING)
