"""Numbers and names as text: how tracks are written."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator

from ...errors import BadInput
from ..columns import Floats, Intervals

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")

#: Entries that are written at a time.
AT_ONCE = 1 << 16


def number_text(value: float) -> str:
    """The shortest text that is read as the same number; ``NaN``, ``inf`` and ``-inf``."""
    if value != value:  # noqa: PLR0124
        return "NaN"
    text = repr(value + 0.0)  # -0.0 is 0.0
    return text.removesuffix(".0")


def number_texts(values: Floats) -> list[str]:
    """The same of many."""
    return [number_text(value) for value in values.tolist()]


def ranges(n: int) -> Iterator[slice]:
    """Parts of so many entries that can be written at a time."""
    return (slice(at, at + AT_ONCE) for at in range(0, n, AT_ONCE))


def checked_chromosome(name: str) -> str:
    """A name of a chromosome that can be in a file with tabs.

    Raises:
        BadInput: It is empty, has white space or control characters, or begins as a comment does.
    """
    if not name or name.split() != [name] or _is_bad(name) or name.startswith("#"):
        raise BadInput(f"a chromosome with the name {name[:40]!r} cannot be written")
    return name


def check_names(chrom: str, columns: Intervals, names: Iterable[str]) -> None:
    """Raise BadInput, which names the entry, if a name cannot be in a file with tabs."""
    if not _is_bad("".join(names)):
        return
    for n, name in enumerate(names):
        if _is_bad(name):
            raise BadInput(
                f"{chrom}:{columns.starts[n]}-{columns.ends[n]}: the name {name[:40]!r} has "
                "control characters or half of one"
            )


def _is_bad(text: str) -> bool:
    return _CONTROLS.search(text) is not None or not _is_encodable(text)


def _is_encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def is_plain_text(text: object) -> bool:
    """Whether something is a text that can be in a file with tabs."""
    return isinstance(text, str) and not _is_bad(text)


def json_number(value: float) -> float | str | None:
    """A number as JSON can have it: null if it is missing, ``"inf"`` or ``"-inf"``."""
    if math.isfinite(value):
        return value
    return None if math.isnan(value) else number_text(value)
