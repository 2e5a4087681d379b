"""Reading frames: open ones, and what is between stop codons.

The frame of what is read is 0, 1 or 2: where its first codon begins, counted from the first residue
of its strand (on the reverse strand, the last one of the chromosome), without multiples of 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..columns import Ints
from ..reference import Reference
from ..track import INTERVAL, IntervalTrack
from .found import Found, Tags
from .genetic_codes import TABLE_PARAM, UNKNOWN, Codons, GeneticCode, is_start, is_stop, text_of
from .molecules import PIECE, Molecule, molecules
from .registry import BOOLEAN, INTEGER, NUMBER, STRING, Parameter, genome, operation

_ATG, _TABLE = "ATG", "table"


@operation(
    "genome.orfs",
    "Open reading frames on both strands, from a start codon to a stop codon.",
    inputs=[genome()],
    params=[
        Parameter("min_aa", INTEGER, "amino acids, at least", 100, minimum=1),
        TABLE_PARAM,
        Parameter(
            "starts",
            STRING,
            "codons to begin with: ATG, or all that begin one in the genetic code",
            _ATG,
            choices=(_ATG, _TABLE),
        ),
        Parameter("partial", BOOLEAN, "those too that are cut by an end of the molecule", False),
        Parameter(
            "max_unknown",
            NUMBER,
            "the share of amino acids that are not known (X), at most",
            0.5,
            minimum=0.0,
            maximum=1.0,
        ),
    ],
    output=INTERVAL,
)
def orfs(
    genome: Reference,
    *,
    min_aa: int = 100,
    table: int = 1,
    starts: str = _ATG,
    partial: bool = False,
    max_unknown: float = 0.5,
) -> IntervalTrack:
    """For each stop codon the longest reading frame that ends with it: from the first start codon
    after the stop codon before, in the same frame. The interval has the stop codon too.

    Names are ``ORF1`` and so on, in the order of the intervals, through all chromosomes. The score
    is the number of amino acids. Tags: ``frame`` (see the module), ``aa`` (their number, without
    the stop) and ``protein``, as Biopython translates the codons: also the first, whatever begins a
    protein in life.

    In a circular molecule reading goes on across the origin, but at most once around: if there is
    no other stop codon on the way, the frame begins with the first start codon on the last turn
    before its stop. One across the origin is two intervals (see ``Found``), with the tags ``part``
    and ``of``, each with the whole protein.

    Args:
        partial: In a linear molecule, give what comes before the first stop codon of a frame from
            the first whole codon on, and what begins after the last one (or is all of the frame)
            up to the last whole codon. It then has the tag ``partial``, which says what is open:
            ``start``, ``end`` or ``both``.
        max_unknown: Frames that are read across gaps are left out: those with a larger share of X.

    Raises:
        BadInput: There is no such genetic code, or one without certain stops; or there are too
            many reading frames.
    """
    code = GeneticCode.of(table, starts)
    wanted = _Wanted(min_aa, max_unknown, partial)
    found, n_orfs = Found("genome.orfs"), 0
    for molecule in molecules(genome):
        some = [orf for strand in molecule.strands for orf in _orfs_of(strand, code, wanted)]
        found.require_room_for(len(some))
        some.sort(key=lambda orf: (orf.start, orf.end))
        found.add(
            molecule,
            np.array([orf.start for orf in some], np.int64),
            np.array([orf.end for orf in some], np.int64),
            strands=np.array([orf.strand for orf in some], "S1"),
            scores=np.array([len(orf.protein) for orf in some], np.float64),
            names=[f"ORF{n}" for n in range(n_orfs + 1, n_orfs + len(some) + 1)],
            tags=[orf.tags for orf in some],
        )
        n_orfs += len(some)
    return found.track()


@operation(
    "genome.six_frame",
    "Translation in six frames: the stretches between stop codons.",
    inputs=[genome()],
    params=[Parameter("min_aa", INTEGER, "amino acids, at least", 20, minimum=1), TABLE_PARAM],
    output=INTERVAL,
)
def six_frame(genome: Reference, *, min_aa: int = 20, table: int = 1) -> IntervalTrack:
    """What is between stop codons in each frame of both strands, without these; what is before the
    first and after the last too. Circular molecules are read as if they were linear.

    The score is the number of amino acids. Tags: ``frame`` (see the module) and ``protein``, as
    Biopython translates.

    Raises:
        BadInput: There is no such genetic code, or one without certain stops; or there are too
            many stretches.
    """
    code = GeneticCode.of(table)
    found = Found("genome.six_frame")
    for molecule in molecules(genome, is_cut=True):
        for strand in molecule.strands:
            for some in _stretches(strand, code):
                which = some.ends - some.begins >= 3 * min_aa
                begins, ends = some.begins[which], some.ends[which]
                found.require_room_for(len(begins))
                starts, stops = _forward(strand, begins, ends)
                found.add(
                    molecule,
                    starts,
                    stops,
                    strands=_sign(strand),
                    scores=(ends - begins) // 3,
                    tags=[
                        {"frame": some.frame, "protein": protein}
                        for protein in some.proteins(begins, ends)
                    ],
                )
    return found.track()


def _sign(strand: Molecule) -> bytes:
    return b"-" if strand.is_reverse else b"+"


def _forward(strand: Molecule, begins: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """Positions on a strand as those of the forward strand; the first before the origin."""
    first = -ends if strand.is_reverse else begins
    starts = first % max(strand.length, 1)
    return starts, starts + (ends - begins)


@dataclass(frozen=True)
class _Stretches:
    """What is between stop codons of one frame, in a piece of a strand.

    Args:
        begins: Where their first codons begin.
        firsts: Where the first codon begins that can be the first of a reading frame; -1 if none
            can.
        ends: Where the stop codons begin; if ``is_open``, where no whole codon is left.
        start: Where the piece begins.
        codons: Those that begin in the piece.
    """

    strand: Molecule
    code: GeneticCode
    frame: int
    begins: Ints
    firsts: Ints
    ends: Ints
    start: int
    codons: Codons
    is_open: bool = False

    def proteins(self, begins: Ints, ends: Ints) -> Iterator[str]:
        """Translations of some of them, or of parts that end where they do."""
        if not len(begins):
            return
        offset = (self.frame - self.start) % 3
        text = text_of(self.codons[offset::3])
        first = self.start + offset
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
            if begin >= first and end <= first + 3 * len(text):
                yield text[(begin - first) // 3 : (end - first) // 3]
            else:
                yield text_of(self.code.translated(self.strand.letters(begin, end))[::3])


_NO_CODONS = np.empty(0, np.uint8)


def _stretches(strand: Molecule, code: GeneticCode) -> Iterator[_Stretches]:
    """All of a strand, piece by piece; of a circular one, of two turns, and those that end."""
    begins, firsts = [0, 1, 2], [-1, -1, -1]
    turns = 2 if strand.is_circular else 1
    for start, n, letters in strand.pieces(after=2, end=turns * strand.length):
        codons = code.translated(letters)[:n]
        stops = np.flatnonzero(is_stop(codons)) + start
        candidates = np.flatnonzero(is_start(codons)) + start
        for frame in range(3):
            ends = stops[stops % 3 == frame]
            can_start = np.append(candidates[candidates % 3 == frame], _NEVER)
            if firsts[frame] < 0 and can_start[0] < _NEVER:
                firsts[frame] = int(can_start[0])
            if not len(ends):
                continue
            begun = np.concatenate(([begins[frame]], ends + 3))
            first = can_start[np.searchsorted(can_start, begun)]
            first[0] = firsts[frame] if firsts[frame] >= 0 else _NEVER
            begins[frame] = int(begun[-1])
            firsts[frame] = int(first[-1]) if first[-1] < _NEVER else -1
            yield _Stretches(
                strand,
                code,
                frame,
                begun[:-1],
                np.where(first[:-1] < ends, first[:-1], -1),
                ends,
                start,
                codons,
            )
    if strand.is_circular:
        return
    for frame in range(3):
        begin = np.array(begins[frame : frame + 1], np.int64)
        end = begin + (strand.length - begin) // 3 * 3
        first = np.array(firsts[frame : frame + 1], np.int64)
        yield _Stretches(strand, code, frame, begin, first, end, 0, _NO_CODONS, is_open=True)


#: Where a codon is that there is not.
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class _Wanted:
    min_aa: int
    max_unknown: float
    partial: bool


@dataclass(frozen=True)
class _Orf:
    start: int
    end: int
    strand: bytes
    protein: str
    tags: Tags


def _orfs_of(strand: Molecule, code: GeneticCode, wanted: _Wanted) -> Iterator[_Orf]:
    for some in _stretches(strand, code):
        if some.is_open and not wanted.partial:
            continue
        begins = _first_codons(some, wanted)
        which = (begins >= 0) & (some.ends - begins >= 3 * wanted.min_aa)
        begins, ends = begins[which], some.ends[which]
        is_cut = some.begins[which] < 3
        starts, stops = _forward(strand, begins, ends if some.is_open else ends + 3)
        frames = begins % strand.length % 3
        for n, protein in enumerate(some.proteins(begins, ends)):
            if protein.count(UNKNOWN) <= wanted.max_unknown * len(protein):
                tags = {"frame": int(frames[n]), "aa": len(protein), "protein": protein}
                if wanted.partial and not strand.is_circular and (is_cut[n] or some.is_open):
                    tags["partial"] = _what_is_open(bool(is_cut[n]), some.is_open)
                yield _Orf(int(starts[n]), int(stops[n]), _sign(strand), protein, tags)


def _what_is_open(start: bool, end: bool) -> str:
    return "both" if start and end else "start" if start else "end"


def _first_codons(some: _Stretches, wanted: _Wanted) -> Ints:
    """Where the reading frames of stretches begin; -1 of those that have none."""
    strand, firsts = some.strand, some.firsts
    if not strand.is_circular:
        return np.where(some.begins < 3, some.begins, firsts) if wanted.partial else firsts
    length = strand.length
    # What ends on the first turn comes again on the second, where all that is before it was seen.
    found = np.where(some.ends >= length, firsts, -1)
    earliest = some.ends - (length - 3) // 3 * 3
    for n in np.flatnonzero((found >= 0) & (found < earliest)):
        found[n] = _first_codon(some, int(earliest[n]), int(some.ends[n]))
    return found


def _first_codon(some: _Stretches, begin: int, end: int) -> int:
    """The first codon of a part of a stretch that can be the first of a reading frame, or -1."""
    for at in range(begin, end, 3 * PIECE):
        letters = some.strand.letters(at, min(at + 3 * PIECE, end))
        where = np.flatnonzero(is_start(some.code.translated(letters)[::3]))
        if len(where):
            return at + 3 * int(where[0])
    return -1
