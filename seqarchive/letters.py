"""The characters that sequences have."""

from __future__ import annotations

import string

#: The characters a sequence can have; bit i of a letters mask stands for the i-th.
RESIDUES = (string.ascii_uppercase + "*-").encode("ascii")

#: Those of which most sequences consist.
COMMON = b"ACGTN"

_BITS = tuple((letter, 1 << i) for i, letter in enumerate(RESIDUES))
_COMMON_BITS = tuple((letter, 1 << RESIDUES.index(letter)) for letter in COMMON)


def letters_of(residues: bytes) -> int:
    """Which characters occur, as a mask over ``RESIDUES``."""
    mask = 0
    for letter, bit in _BITS:  # a search for one that does not occur takes 20 us in a megabyte
        if letter in residues:
            mask |= bit
    return mask


def common_letters_of(residues: bytes) -> int:
    """The same for residues that are all in ``COMMON``."""
    mask = 0
    for letter, bit in _COMMON_BITS:
        if letter in residues:
            mask |= bit
    return mask


def letters_in(mask: int) -> str:
    """The characters that a mask stands for, sorted as bytes are."""
    return "".join(sorted(chr(c) for i, c in enumerate(RESIDUES) if mask >> i & 1))
