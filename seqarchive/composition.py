"""What a sequence consists of: how often each letter occurs, and how that changes along it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .letters import RESIDUES

#: Parts of a sequence whose letters are counted by themselves, and residues of one at least.
_PARTS, _SMALLEST = 256, 64

#: Residues that are in memory at a time: a piece of which the processor keeps all passes near.
_PIECE = 1 << 18

_NUCLEOTIDES = frozenset("ACGTUNRYSWKMBDHV-")
_STRONG, _WEAK = "CGS", "ATUW"


def composition(fetch: Callable[[int, int], str], length: int) -> dict[str, Any]:
    """How often each letter occurs in a sequence; ready for JSON.

    Args:
        fetch: Gives the residues ``[start, end)``.

    Returns:
        ``length``; ``letters``: letter and number, the most frequent first; ``is_nucleic``: whether
        all are letters of nucleic acids; ``gc``: the part of G and C (and S) in what is known to be
        strong or weak, None if nothing is; ``profile``: the same for as many as 256 parts of the
        sequence that are equally long, and ``known``: the part that is not N; both empty if the
        sequence is not nucleic or short.
    """
    total: dict[str, int] = {}
    parts = []
    n_parts = max(1, min(_PARTS, length // _SMALLEST))
    for n in range(n_parts):
        counts: dict[str, int] = {}
        start, end = n * length // n_parts, (n + 1) * length // n_parts
        for at in range(start, end, _PIECE):
            _count(fetch(at, min(at + _PIECE, end)), counts)
        for letter, number in counts.items():
            total[letter] = total.get(letter, 0) + number
        parts.append(counts)
    is_nucleic = bool(total) and total.keys() <= _NUCLEOTIDES
    shown = parts if is_nucleic and n_parts > 1 else []
    return {
        "length": length,
        "letters": [
            {"letter": letter, "count": n}
            for letter, n in sorted(total.items(), key=lambda item: (-item[1], item[0]))
        ],
        "is_nucleic": is_nucleic,
        "gc": _gc(total) if is_nucleic else None,
        "profile": [_rounded(_gc(counts)) for counts in shown],
        "known": [_rounded(1 - counts.get("N", 0) / sum(counts.values())) for counts in shown],
    }


def _count(residues: str, counts: dict[str, int]) -> None:
    """Add the letters of a piece; those that occurred before are looked for first."""
    letters = np.frombuffer(residues.encode("ascii"), np.uint8)
    left = len(letters)
    for letter in dict.fromkeys([*counts, *RESIDUES.decode("ascii")]):
        if not left:
            return
        n = int(np.count_nonzero(letters == ord(letter)))
        if n:
            counts[letter] = counts.get(letter, 0) + n
            left -= n


def _gc(counts: dict[str, int]) -> float | None:
    strong = sum(counts.get(letter, 0) for letter in _STRONG)
    weak = sum(counts.get(letter, 0) for letter in _WEAK)
    return strong / (strong + weak) if strong + weak else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
