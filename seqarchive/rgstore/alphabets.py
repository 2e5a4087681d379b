"""How a RefgetStore packs residues: per sequence, in the fewest bits of a fixed alphabet.

A bit stream, the first symbol in the top bits of the first byte, the last byte padded with zeros.
The label of a sequence is part of decoding: readers take it from the index and never guess. Two of
the alphabets of gtars are not injective (D, H, U and B come back as other letters), so that a
sequence gets a label only if every version of gtars unpacks it unchanged, and 8 bits otherwise.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..letters import letters_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Residues of which the bits end with a byte in every alphabet.
ALIGNED = 8

#: Residues that are unpacked at one time, which takes some 16 bytes for each.
_AT_ONCE = 1 << 18


class Alphabet(enum.Enum):
    """A label, and the bits of a symbol."""

    DNA2 = ("dna2bit", 2)
    DNA3 = ("dna3bit", 3)
    DNA_IUPAC = ("dnaio", 4)
    PROTEIN = ("protein", 5)
    ASCII = ("ASCII", 8)

    def __init__(self, label: str, bits: int) -> None:
        self.label = label
        self.bits = bits

    def n_bytes(self, length: int) -> int:
        """Bytes of a payload of so many residues."""
        return -(-length * self.bits // 8)

    def byte_range(self, start: int, end: int) -> tuple[int, int]:
        """The bytes of a payload that have the residues ``[start, end)``, as ``[first, last)``."""
        return start * self.bits // 8, self.n_bytes(end)


#: Of ``dnaio`` without D and H, which have codes, but which gtars up to 0.10.0 unpacks as others.
_IUPAC_CODES = dict(zip("NACMGRSKTWY", range(11), strict=True)) | {"B": 12, "V": 15}

_CODES: dict[Alphabet, dict[str, int]] = {
    Alphabet.DNA2: dict(zip("TCAG", range(4), strict=True)),
    Alphabet.DNA3: dict(zip("ACGTNRY", range(7), strict=True)),
    Alphabet.DNA_IUPAC: _IUPAC_CODES,
    Alphabet.PROTEIN: dict(zip("ACDEFGHIKLMNPQRSTVWY*X-", range(23), strict=True)),
}


def _table(codes: dict[str, int]) -> bytes:
    table = bytearray(256)
    for symbol, code in codes.items():
        table[ord(symbol)] = code
    return bytes(table)


_TABLES = {alphabet: _table(codes) for alphabet, codes in _CODES.items()}
_ZEROS = {
    alphabet: next(symbol for symbol, code in codes.items() if not code).encode("ascii")
    for alphabet, codes in _CODES.items()
}
_LETTERS = {
    alphabet: letters_of("".join(codes).encode("ascii")) for alphabet, codes in _CODES.items()
}


def alphabet_of(letters: int, length: int, *, packed: bool) -> Alphabet:
    """The label of a sequence.

    Args:
        letters: Which characters occur (a mask, as ``letters.letters_of``).
        packed: Whether the store is Encoded. In a Raw one, gtars takes very short payloads for
            packed ones, unless their label says otherwise.
    """
    for alphabet, allowed in _LETTERS.items():
        if not letters & ~allowed:
            if not packed and length and alphabet.n_bytes(length) == length:
                return Alphabet.ASCII
            return alphabet
    return Alphabet.ASCII


def pack(residues: bytes, alphabet: Alphabet) -> bytes:
    """The payload of residues; of pieces of ``ALIGNED`` residues each, the payloads are joined."""
    if alphabet is Alphabet.ASCII or not residues:
        return residues
    import numpy as np  # noqa: PLC0415  (0.1 s, which only an export has to pay)

    padding = -len(residues) % ALIGNED
    codes = np.frombuffer(residues.translate(_TABLES[alphabet]) + bytes(padding), "u1")
    if alphabet is Alphabet.DNA2:
        packed = _pack_by_four(codes)
    elif alphabet is Alphabet.DNA_IUPAC:
        packed = (codes[0::2] << 4) | codes[1::2]
    else:
        packed = _pack_by_eight(codes, alphabet.bits)
    return packed.tobytes()[: alphabet.n_bytes(len(residues))]


def pack_many(texts: Sequence[bytes], alphabet: Alphabet) -> list[bytes]:
    """The payloads of many short sequences, by one computation."""
    if alphabet is Alphabet.ASCII:
        return list(texts)
    # Each is filled up to where a byte ends, with the symbol that is zeros.
    zeros = _ZEROS[alphabet] * (ALIGNED - 1)
    packed = pack(b"".join([text + zeros[: -len(text) % ALIGNED] for text in texts]), alphabet)
    found, at = [], 0
    for text in texts:
        found.append(packed[at : at + alphabet.n_bytes(len(text))])
        at += alphabet.n_bytes(len(text) + -len(text) % ALIGNED)
    return found


def _pack_by_four(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    four = codes.view("<u4")  # the first in the lowest byte
    return (four << 6 | four >> 4 | four >> 14 | four >> 24).astype("u1")


def _pack_by_eight(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Eight symbols are as many bytes as a symbol has bits."""
    groups = codes.reshape(-1, 8)
    value = groups[:, 0].astype(">u8")
    for n in range(1, 8):
        value = value << bits | groups[:, n]
    return value.astype(">u8").view("u1").reshape(-1, 8)[:, 8 - bits :]


#: What codes mean to a reader: 13 and 14 of ``dnaio`` are what was packed, whatever gtars 0.10.0
#: makes of them, and its 8 is T (or U, which it packs as the same).
_SYMBOLS = {
    Alphabet.DNA2: b"TCAG",
    Alphabet.DNA3: b"ACGTNRYX",
    Alphabet.DNA_IUPAC: b"NACMGRSKTWYUBDHV",
    Alphabet.PROTEIN: b"ACDEFGHIKLMNPQRSTVWY*X-.UBZOJXXX",
}


#: Bytes that have a whole number of symbols; the bits of an index into the table of what they are,
#: and the symbols that an index stands for.
_GROUPS = {
    Alphabet.DNA2: (1, 8, 4),
    Alphabet.DNA3: (3, 12, 4),
    Alphabet.DNA_IUPAC: (1, 8, 2),
    Alphabet.PROTEIN: (5, 10, 2),
}


@functools.cache
def _unpacking_table(alphabet: Alphabet) -> NDArray[Any]:
    """Some symbols as one integer, for each value of their bits."""
    import numpy as np  # noqa: PLC0415  (as in `pack`)

    _, index_bits, n_symbols = _GROUPS[alphabet]
    codes = np.arange(1 << index_bits)
    mask = (1 << alphabet.bits) - 1
    symbols = np.frombuffer(_SYMBOLS[alphabet], "u1")
    columns = [
        symbols[codes >> alphabet.bits * (n_symbols - 1 - n) & mask] for n in range(n_symbols)
    ]
    return np.ascontiguousarray(np.stack(columns, axis=1)).view(f"u{n_symbols}")[:, 0]


def unpack(payload: bytes, length: int, alphabet: Alphabet, first: int = 0) -> bytes:
    """Some residues from the bytes that have them.

    Args:
        payload: The bytes of a payload that have the residues, as ``Alphabet.byte_range`` says.
        length: How many residues.
        first: The number of the first of them in the sequence.
    """
    if alphabet is Alphabet.ASCII or not length:
        return payload[:length]
    if length <= _AT_ONCE:
        return _unpack(payload, length, alphabet, first)
    parts, offset = [], alphabet.byte_range(first, first)[0]
    for at in range(first, first + length, _AT_ONCE):
        n = min(_AT_ONCE, first + length - at)
        begin, end = alphabet.byte_range(at, at + n)
        parts.append(_unpack(payload[begin - offset : end - offset], n, alphabet, at))
    return b"".join(parts)


def _unpack(payload: bytes, length: int, alphabet: Alphabet, first: int) -> bytes:
    import numpy as np  # noqa: PLC0415  (as in `pack`)

    group, index_bits, _ = _GROUPS[alphabet]
    begin = alphabet.byte_range(first, first)[0]
    before = begin % group  # bytes of the first group that did not come, and need not
    after = -(before + len(payload)) % group
    data = np.frombuffer(bytes(before) + payload + bytes(after) if group > 1 else payload, "u1")
    skipped = first - (begin - before) * 8 // alphabet.bits
    table = _unpacking_table(alphabet)
    if index_bits == 8:
        found = table[data]
    else:
        parts = data.reshape(-1, group).astype("u8")
        value = parts[:, 0]
        for n in range(1, group):
            value = value << 8 | parts[:, n]
        shifts = range(8 * group - index_bits, -1, -index_bits)
        indexes = np.stack([value >> shift & (1 << index_bits) - 1 for shift in shifts], axis=1)
        found = table[indexes.ravel()]
    return bytes(found.view("u1")[skipped : skipped + length].tobytes())


def has_clean_padding(payload: bytes, length: int, alphabet: Alphabet) -> bool:
    """Whether the bits behind the last symbol are zeros."""
    n_spare = len(payload) * 8 - length * alphabet.bits
    return not payload or not payload[-1] & (1 << n_spare) - 1


def labelled(label: str) -> Alphabet | None:
    """The alphabet of a label, compared without case; None if it is none."""
    for alphabet in Alphabet:
        if alphabet.label.lower() == label.lower():
            return alphabet
    return Alphabet.ASCII if label.lower() == "unknown" else None
