"""Genetic codes: what codons are translated to, as NCBI numbers them."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput
from .nucleotides import Letters
from .registry import INTEGER, Parameter

#: Letters that a codon can have; what is none of them is at the end, and makes an X.
_LETTERS = "ACGTRYSWKMBDHVN"
_N = len(_LETTERS) + 1

_NUMBERS = np.full(256, _N - 1, np.uint16)
_NUMBERS[np.frombuffer(_LETTERS.encode("ascii"), np.uint8)] = np.arange(len(_LETTERS))

STOP, UNKNOWN = "*", "X"

#: Of an amino acid whose codon can be the first; the other bits are its letter.
_IS_START = 0x80

#: A translated codon for each letter but the last two.
Codons: TypeAlias = NDArray[np.uint8]

#: The parameter of operations that translate.
TABLE_PARAM = Parameter("table", INTEGER, "NCBI's number of the genetic code", 1)


@dataclass(frozen=True, eq=False)
class GeneticCode:
    """What codons are translated to; as Biopython does, also with ambiguous letters (``TAR`` is a
    stop and ``GCN`` is A, where all that they can be is the same), but with X for what it does not
    translate (``A-C``).

    Args:
        number: NCBI's.
    """

    number: int
    _table: NDArray[np.uint8]

    @classmethod
    def of(cls, number: int, starts: str = "ATG") -> GeneticCode:
        """A code.

        Args:
            starts: What codons a reading frame can begin with: ``ATG``, or ``table`` for all that
                begin one in this code.

        Raises:
            BadInput: There is no such code, or codons of it are both stops and amino acids.
        """
        return _code(number, starts)

    def translated(self, letters: Letters) -> Codons:
        """The codons that begin with each letter but the last two, overlapping."""
        if len(letters) < 3:
            return np.empty(0, np.uint8)
        numbers = _NUMBERS[letters]
        at = numbers[:-2] * np.uint16(_N * _N) + numbers[1:-1] * np.uint16(_N) + numbers[2:]
        found: Codons = self._table[at]
        return found


def is_start(codons: Codons) -> NDArray[np.bool_]:
    """Which codons a reading frame can begin with."""
    found: NDArray[np.bool_] = codons >= _IS_START
    return found


def is_stop(codons: Codons) -> NDArray[np.bool_]:
    """Which codons are stops."""
    found: NDArray[np.bool_] = (codons & (_IS_START - 1)) == ord(STOP)
    return found


def text_of(codons: Codons) -> str:
    """Codons as amino acids."""
    return (codons & (_IS_START - 1)).tobytes().decode("ascii")


@lru_cache(maxsize=64)
def _code(number: int, starts: str) -> GeneticCode:
    from Bio.Data import CodonTable  # noqa: PLC0415  (0.1 s that others need not wait for)
    from Bio.Seq import Seq  # noqa: PLC0415

    tables = CodonTable.unambiguous_dna_by_id
    if number not in tables:
        raise BadInput(f"there is no genetic code {number}; there are {_listed(list(tables))}")
    table = tables[number]
    if set(table.stop_codons) & table.forward_table.keys():
        raise BadInput(
            f"in the genetic code {number}, whether some codons are stops depends on where they are"
        )
    codons = ["".join(one) for one in itertools.product(_LETTERS, repeat=3)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        amino_acids = str(Seq("".join(codons)).translate(number))  # type: ignore[no-untyped-call]
    found = np.full((_N, _N, _N), ord(UNKNOWN), np.uint8)
    found[:-1, :-1, :-1] = np.frombuffer(amino_acids.encode("ascii"), np.uint8).reshape(
        (len(_LETTERS),) * 3
    )
    for codon in table.start_codons if starts == "table" else [starts]:
        found[tuple(_LETTERS.index(letter) for letter in codon)] |= _IS_START
    return GeneticCode(number, found.reshape(-1))


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
