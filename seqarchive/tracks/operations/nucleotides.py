"""Letters of nucleic acids: which there are, what they stand for, and where a pattern of them is.

U is T everywhere. IUPAC's letters for several nucleotides, and X, are ambiguous; other letters,
such as ``-``, are none of nucleic acids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from Bio.Data import IUPACData
from numpy.typing import NDArray

from ...errors import BadInput
from ..columns import Bools, Ints

#: Residues as numbers: their ASCII codes, in upper case.
Letters: TypeAlias = NDArray[np.uint8]

#: The nucleotides that are known, and a bit for each.
KNOWN = "ACGT"
_BIT = {letter: 1 << n for n, letter in enumerate(KNOWN)}

#: Bits of letters that stand for themselves alone, of ambiguous ones, and of both.
ANY_KNOWN, _AMBIGUOUS = 15, 16
_ANY = ANY_KNOWN | _AMBIGUOUS

_AMBIGUOUS_LETTERS = "".join(
    letter for letter in IUPACData.ambiguous_dna_values if letter not in KNOWN
)

#: What a pattern can consist of, with the bits of what each letter matches.
_MATCHED = {
    **{
        letter: sum(_BIT[one] for one in values)
        for letter, values in IUPACData.ambiguous_dna_values.items()
        if letter != "X"
    },
    "N": _ANY,
}
_MATCHED["U"] = _MATCHED["T"]

_COMPLEMENT = bytes.maketrans(
    "".join(IUPACData.ambiguous_dna_complement).encode("ascii"),
    "".join(IUPACData.ambiguous_dna_complement.values()).encode("ascii"),
)

#: The longest pattern, and the most of them in one list.
LONGEST_PATTERN, MOST_PATTERNS = 1000, 2000


def reverse_complement(residues: bytes) -> bytes:
    """The other strand of residues in upper case, without U; what has no complement stays."""
    return residues.translate(_COMPLEMENT)[::-1]


class Classes:
    """Where letters of some kinds are in a piece of a molecule."""

    def __init__(self, letters: Letters) -> None:
        self._letters = letters
        self._of: dict[int, Bools] = {}

    def __len__(self) -> int:
        return len(self._letters)

    def matching(self, bits: int) -> Bools:
        """Where a letter is one of those that bits stand for."""
        found = self._of.get(bits)
        if found is None:
            found = np.zeros(len(self), np.bool_)
            for letter in KNOWN:
                if bits & _BIT[letter]:
                    found |= self._letters == ord(letter)
            if bits & _AMBIGUOUS and not found.all():
                for letter in _AMBIGUOUS_LETTERS:
                    found |= self._letters == ord(letter)
            self._of[bits] = found
        return found

    @cached_property
    def is_known(self) -> bool:
        """Whether all letters are A, C, G and T."""
        return bool(self.matching(ANY_KNOWN).all())


@dataclass(frozen=True)
class Pattern:
    """Nucleotides one after another.

    Args:
        bits: What each of them can be.
    """

    name: str
    bits: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """A pattern from IUPAC's letters; lower case is as good.

        Raises:
            BadInput: It has another letter, none, or too many.
        """
        name = text.strip().upper()
        for letter in name:
            if letter not in _MATCHED:
                raise BadInput(f"{letter!r} in the pattern {name[:60]!r} is no nucleotide")
        if not 0 < len(name) <= LONGEST_PATTERN:
            raise BadInput(f"a pattern has 1 to {LONGEST_PATTERN} letters, not {len(name)}")
        return cls(name, tuple(_MATCHED[letter] for letter in name))

    def __len__(self) -> int:
        return len(self.bits)

    @property
    def other_strand(self) -> Pattern:
        """What is read on the forward strand where this one is on the reverse."""
        return Pattern(self.name, tuple(_complemented(bits) for bits in reversed(self.bits)))

    @property
    def is_palindrome(self) -> bool:
        """Whether it is on both strands wherever it is on one."""
        return self.bits == self.other_strand.bits

    def find(self, classes: Classes, n: int) -> Ints:
        """Where it begins, overlapping or not, in the first ``n`` letters of a piece."""
        n = min(n, len(classes) - len(self) + 1)
        if n <= 0:
            return np.empty(0, np.int64)
        free = (ANY_KNOWN, _ANY) if classes.is_known else ()
        order = [at for at in range(len(self)) if self.bits[at] not in free]
        order.sort(key=lambda at: (self.bits[at].bit_count(), at))
        found, expected = np.ones(n, np.bool_), 1.0
        while order and expected > _FEW:
            at = order.pop(0)
            found &= classes.matching(self.bits[at])[at : at + n]
            expected *= min(self.bits[at].bit_count(), len(KNOWN)) / len(KNOWN)
        where = np.flatnonzero(found)
        for at in order:
            if not len(where):
                break
            where = where[classes.matching(self.bits[at])[at:][where]]
        return where


#: The share of positions that are looked at one by one rather than all.
_FEW = 1 / 50


def _complemented(bits: int) -> int:
    swapped = int(f"{bits & ANY_KNOWN:04b}"[::-1], 2)  # A and T, C and G are at opposite ends
    return swapped | (bits & _AMBIGUOUS)


def parse_patterns(text: str) -> Sequence[Pattern]:
    """The patterns of a list with commas; of those that match the same, the first.

    Raises:
        BadInput: One of them cannot be one, or there are too many.
    """
    words = text.split(",")
    if len(words) > MOST_PATTERNS:
        raise BadInput(f"there are {len(words):,} patterns; {MOST_PATTERNS:,} are the most")
    found: dict[tuple[int, ...], Pattern] = {}
    for word in words:
        pattern = Pattern.parse(word)
        found.setdefault(pattern.bits, pattern)
    return list(found.values())
