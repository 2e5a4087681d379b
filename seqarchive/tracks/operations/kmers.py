"""How often each k-mer of a genome occurs in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput
from ..columns import Bools, Steps
from ..reference import Reference
from ..track import SIGNAL, SignalTrack
from ..watching import require_wanted
from .molecules import PIECE, Molecule, molecules
from .nucleotides import KNOWN, Letters
from .registry import INTEGER, Parameter, genome, operation

#: The largest genome: the arrays of k-mers must fit in memory.
MOST_RESIDUES = 200_000_000

#: The largest k: two bits for each nucleotide.
_LONGEST = 31


@operation(
    "genome.kmer_uniqueness",
    "How unique the k-mer is that begins at each residue: 1 divided by how often it occurs.",
    inputs=[genome()],
    params=[Parameter("k", INTEGER, "residues of a k-mer", 31, minimum=1, maximum=_LONGEST)],
    output=SIGNAL,
)
def kmer_uniqueness(genome: Reference, *, k: int = 31) -> SignalTrack:
    """At each residue, 1 divided by the number of places in the whole genome, on either strand, of
    the k-mer that begins there: 1.0 if it is unique. A k-mer and its reverse complement are the
    same, and a place where both are is one place. There is no value where a k-mer has other letters
    than A, C, G, T and U, or goes beyond the end of a linear molecule; in a circular one it goes on
    at the beginning.

    It takes 30 to 60 bytes of memory for each residue of the genome.

    Raises:
        BadInput: The genome has more than ``MOST_RESIDUES``.
    """
    lengths = dict(genome.chrom_lengths)
    total = sum(lengths.values())
    if total > MOST_RESIDUES:
        raise BadInput(f"{total:,} residues are too many for this: the most are {MOST_RESIDUES:,}")
    kmers = np.zeros(total, np.uint64)
    is_known = np.zeros(total, np.bool_)
    at = 0
    for molecule in molecules(genome):
        if molecule.length >= k:
            for start, some, known in _kmers_of(molecule, k):
                first = at + start
                kmers[first : first + len(some)] = some
                is_known[first : first + len(some)] = known
        at += molecule.length
    counts = _counted(kmers, is_known)
    steps, at = {}, 0
    for chrom, length in lengths.items():
        steps[chrom] = _steps(counts[at : at + length])
        at += length
    return SignalTrack.of("genome.kmer_uniqueness", lengths, steps)


def _steps(counts: NDArray[np.uint32]) -> Steps:
    """1 divided by each count, without those that are 0."""
    changes = np.flatnonzero(counts[1:] != counts[:-1]) + 1
    starts = np.concatenate(([0], changes))[: len(counts)]
    ends = np.append(changes, len(counts))[: len(counts)]
    values = np.full(len(starts), np.nan)
    np.divide(1.0, counts[starts], out=values, where=counts[starts] > 0)
    return Steps.of(starts, ends, values)


def _kmers_of(molecule: Molecule, k: int) -> Iterator[tuple[int, NDArray[np.uint64], Bools]]:
    """Where pieces begin, the k-mers that begin in each, and whether all letters are known."""
    for start, n, letters in molecule.pieces(after=k - 1):
        if len(letters) < k:
            return
        two_bits: Letters = (letters >> 1) & np.uint8(3)  # A, C, T, G are 0, 1, 2, 3
        forward = _packed(two_bits, k)
        reverse = _packed((two_bits ^ np.uint8(2))[::-1], k)[::-1]
        yield start, np.minimum(forward, reverse)[:n], _all_known(letters, k)[:n]


def _packed(two_bits: Letters, k: int) -> NDArray[np.uint64]:
    """Two bits for each of ``k`` residues, at each of them that has as many: of twice as many
    from those of as many, as the binary digits of ``k`` say."""
    found: NDArray[Any] = two_bits
    width = 1
    for digit in f"{k:b}"[1:]:
        found = _wide_enough(found, 2 * width)
        found = (found[:-width] << (2 * width)) | found[width:]
        width *= 2
        if digit == "1":
            found = _wide_enough(found, width + 1)
            found = (found[:-1] << 2) | two_bits[width:]
            width += 1
    return found.astype(np.uint64, copy=False)


def _wide_enough(numbers: NDArray[Any], n_residues: int) -> NDArray[Any]:
    kind = next(
        kind
        for kind in (np.uint8, np.uint16, np.uint32, np.uint64)
        if 2 * n_residues <= 8 * np.dtype(kind).itemsize
    )
    return numbers.astype(kind, copy=False)


def _all_known(letters: Letters, k: int) -> Bools:
    is_known = np.zeros(len(letters), np.bool_)
    for letter in KNOWN:
        is_known |= letters == ord(letter)
    if is_known.all():
        return is_known[: len(letters) - k + 1]
    before = np.zeros(len(letters) + 1, np.int32)
    np.cumsum(~is_known, out=before[1:])
    found: Bools = before[k:] == before[:-k]
    return found


#: An odd number by which k-mers are spread over parts of about equal size.
_SPREADER = np.uint64(0x9E3779B97F4A7C15)


def _counted(kmers: NDArray[np.uint64], is_known: Bools) -> NDArray[np.uint32]:
    """How often each of some k-mers occurs; 0 of those that are not known.

    They are sorted in parts that the processor keeps near: to sort all at once takes twice as long.
    """
    counts = is_known.astype(np.uint32)
    n_bits = min(16, max(1, len(kmers).bit_length() - 12))
    part_of = np.empty(len(kmers), np.uint16)
    for at in range(0, len(kmers), PIECE):
        part_of[at : at + PIECE] = _parts(kmers[at : at + PIECE], n_bits)
    sizes = np.bincount(part_of, minlength=1 << n_bits)
    order = np.argsort(part_of, kind="stable")  # of 16 bits: a radix sort
    del part_of
    at = 0
    for n, size in enumerate(sizes.tolist()):
        if n % 256 == 0:
            require_wanted()
        which = order[at : at + size]
        _count_sorted(kmers, which[is_known[which]], counts)
        at += size
    return counts


def _parts(kmers: NDArray[np.uint64], n_bits: int) -> NDArray[np.uint16]:
    mixed: NDArray[np.uint64] = kmers ^ (kmers >> np.uint64(29))
    mixed *= _SPREADER
    mixed >>= np.uint64(64 - n_bits)
    return mixed.astype(np.uint16)


def _count_sorted(
    kmers: NDArray[np.uint64], which: NDArray[np.int64], counts: NDArray[np.uint32]
) -> None:
    """Count some k-mers that are all there are of their kinds."""
    some = kmers[which]
    order = np.argsort(some)
    some = some[order]
    firsts = np.flatnonzero(some[1:] != some[:-1]) + 1
    sizes = np.diff(firsts, prepend=0, append=len(some)).astype(np.uint32)
    counts[which[order]] = np.repeat(sizes, sizes)
