"""Operations over genomes give what their definitions say, however a genome is cut into pieces.

The oracles are regular expressions over the plain residues, Biopython (its translations, its GC
fractions, its restriction enzymes, its GenBank parser), and definitions written out residue by
residue.
"""

from __future__ import annotations

import gzip
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from Bio import Restriction, SeqIO
from Bio.Data import CodonTable, IUPACData
from Bio.Seq import Seq
from Bio.Seq import reverse_complement as _reverse_complement
from Bio.SeqUtils import gc_fraction
from hypothesis import given, settings
from hypothesis import strategies as st

from seqarchive.errors import BadInput
from seqarchive.tracks.operations import (
    composition,
    cpg_islands,
    enzymes,
    found,
    kmers,
    molecules,
    motifs,
    orfs,
)
from seqarchive.tracks.operations.registry import OPERATIONS, operation_of
from seqarchive.tracks.reference import Genome
from seqarchive.tracks.regions import Region
from seqarchive.tracks.track import (
    INTERVAL,
    SIGNAL,
    AnyTrack,
    IntervalTrack,
    SignalTrack,
    type_of,
)
from seqarchive.tracks.watching import Cancelled, Watch, watched_by

MODULES = (composition, cpg_islands, enzymes, kmers, motifs, orfs)
IDS = {
    "genome.gc": SIGNAL,
    "genome.gc_skew": SIGNAL,
    "genome.gaps": INTERVAL,
    "genome.soft_mask": INTERVAL,
    "genome.cpg_islands": INTERVAL,
    "genome.motif": INTERVAL,
    "genome.restriction_sites": INTERVAL,
    "genome.pam_sites": INTERVAL,
    "genome.orfs": INTERVAL,
    "genome.six_frame": INTERVAL,
    "genome.kmer_uniqueness": SIGNAL,
}
NEEDED: Mapping[str, Mapping[str, Any]] = {
    "genome.motif": {"pattern": "GANTC, RYNNY"},
    "genome.restriction_sites": {"enzymes": "HaeIII, BsaI, BcgI"},
    "genome.orfs": {"min_aa": 8},
    "genome.six_frame": {"min_aa": 1},
    "genome.gc": {"window": 50, "step": 7},
    "genome.gc_skew": {"window": 30, "cumulative": True},
    "genome.kmer_uniqueness": {"k": 7},
    "genome.cpg_islands": {"min_length": 20},
    "genome.pam_sites": {"length": 8},
    "genome.gaps": {"letters": "C"},
}

SOME = settings(deadline=None, max_examples=60)
PIECES = st.sampled_from([1, 2, 3, 7, 64, 1 << 20])


@contextmanager
def pieces_of(n: int) -> Iterator[None]:
    """Residues are read so many at a time."""
    places = [one for one in (molecules, *MODULES) if "PIECE" in vars(one)]
    before = molecules.PIECE
    for one in places:
        vars(one)["PIECE"] = n
    try:
        yield
    finally:
        for one in places:
            vars(one)["PIECE"] = before


def genome(residues: str | Mapping[str, str], *, circular: bool = False) -> Genome:
    sequences = {"c": residues} if isinstance(residues, str) else dict(residues)
    topologies = dict.fromkeys(sequences, "circular") if circular else {}
    return Genome("g", {}, sequences, (), topologies)


def run(name: str, given_: Genome, **params: Any) -> AnyTrack:
    return operation_of(name).run({"genome": given_}, params)


def intervals(name: str, given_: Genome, **params: Any) -> IntervalTrack:
    track = run(name, given_, **params)
    assert isinstance(track, IntervalTrack)
    return track


def values(name: str, given_: Genome, **params: Any) -> list[float]:
    """One for each residue of ``c``."""
    track = run(name, given_, **params)
    assert isinstance(track, SignalTrack)
    assert track.lengths == given_.chrom_lengths
    return list(track.raw_signal("c", 0, len(given_.sequences["c"])))


class Row(NamedTuple):
    """What an interval track should have."""

    start: int
    end: int
    strand: str
    name: str
    tags: str


def row(start: int, end: int, strand: str, name: str = "", **tags: Any) -> Row:
    return Row(start, end, strand, name, json.dumps(tags, sort_keys=True))


def rows_of(track: IntervalTrack, chrom: str = "c") -> list[Row]:
    found_ = [one for one in track if one.chrom == chrom]
    places = [(one.start, one.end) for one in found_]
    assert places == sorted(places)
    return sorted(
        row(one.start, one.end, one.strand, one.name, **dict(one.tags)) for one in found_
    )


def around(rows: Iterable[tuple[int, int, str, str, dict[str, Any]]], length: int) -> list[Row]:
    """Rows that may go beyond the end of a circular molecule, cut there."""
    cut = []
    for first, last, strand, name, tags in rows:
        start = first % length
        end = start + last - first
        if end <= length:
            cut.append(row(start, end, strand, name, **tags))
        else:
            cut.append(row(start, length, strand, name, **tags, part=1, of=2))
            cut.append(row(0, end - length, strand, name, **tags, part=2, of=2))
    return sorted(cut)


def same(found_: Sequence[float], expected: Sequence[float]) -> bool:
    return np.allclose(found_, expected, rtol=1e-12, atol=1e-12, equal_nan=True)


def other(residues: str) -> str:
    """The reverse complement, by Biopython."""
    return str(_reverse_complement(residues))  # type: ignore[no-untyped-call]


def translated(residues: str, table: int) -> str:
    """The translation of whole codons, by Biopython."""
    whole = residues[: len(residues) // 3 * 3]
    return str(Seq(whole).translate(table))  # type: ignore[no-untyped-call]


DNA = st.text("ACGT", max_size=120)
MIXED = st.text("AACCGGTTNRYSWKU-X", max_size=120)


# What operations are


def test_all_operations_are_registered_with_what_they_give() -> None:
    ours = {name: one for name, one in OPERATIONS.items() if name.startswith("genome.")}
    assert ours.keys() == IDS.keys()
    for name, one in ours.items():
        assert one.output == IDS[name]
        assert one.version == "1"
        assert [given_.name for given_ in one.inputs] == ["genome"]
        assert one.description.endswith(".")
        assert one.function.__doc__
        json.dumps(one.as_dict(), allow_nan=False)


@pytest.mark.parametrize("name", IDS)
def test_the_result_is_of_its_type_and_called_as_its_operation(name: str) -> None:
    track = run(name, genome("ACGTTGCATGCCGATCGG" * 3), **NEEDED.get(name, {}))
    assert type_of(track) == IDS[name]
    assert track.name == name


@pytest.mark.parametrize("circular", [False, True], ids=["linear", "circular"])
@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("residues", ["", "A", "TG", "n", "ACGTNNNNNNNNNNNNNNNNNNNACGTTTTTTTTGG-*"])
def test_the_smallest_genomes_are_no_exception(name: str, residues: str, circular: bool) -> None:
    track = run(name, genome(residues, circular=circular), **NEEDED.get(name, {}))
    for region in track if isinstance(track, IntervalTrack) else ():
        assert region.end <= len(residues)
    assert run(name, Genome("none"), **NEEDED.get(name, {})).name == name


@pytest.fixture(scope="module")
def phage() -> str:
    path = Path(__file__).parent / "data/nucl/phiX174_NC_001422.1.fa"
    return "".join(path.read_text("ascii").split("\n")[1:])


@pytest.mark.parametrize("size", [97, 1000])
@pytest.mark.parametrize("circular", [False, True], ids=["linear", "circular"])
@pytest.mark.parametrize("name", IDS)
def test_results_do_not_depend_on_the_pieces_that_are_read(
    name: str, phage: str, circular: bool, size: int
) -> None:
    given_ = genome(phage, circular=circular)
    whole = run(name, given_, **NEEDED.get(name, {}))
    with pieces_of(size):
        cut = run(name, given_, **NEEDED.get(name, {}))
    if isinstance(whole, IntervalTrack) and isinstance(cut, IntervalTrack):
        assert whole.columns("c") == cut.columns("c")
        assert len(whole) > 0 or name == "genome.soft_mask"
    elif isinstance(whole, SignalTrack) and isinstance(cut, SignalTrack):
        assert whole.steps("c") == cut.steps("c")
        assert len(whole.steps("c")) > 10


@pytest.mark.parametrize("name", sorted(IDS.keys() - {"genome.soft_mask"}))
def test_a_computation_ends_in_the_middle_of_a_chromosome_when_nobody_wants_it(name: str) -> None:
    watch, reads = Watch(), []

    class Watched(Genome):
        def residues(self, chrom: str, start: int = 0, end: int | None = None) -> bytes:
            reads.append(start)
            watch.cancel()
            return super().residues(chrom, start, end)

    with pieces_of(50), watched_by(watch), pytest.raises(Cancelled):
        run(name, Watched("g", {}, {"c": "ACGT" * 1000}), **NEEDED.get(name, {}))
    assert len(reads) < 5


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("genome.gc", {"window": 1}),
        ("genome.gc_skew", {"window": 2, "step": 1}),
        ("genome.gaps", {"letters": "AC"}),
        ("genome.soft_mask", {}),
        ("genome.motif", {"pattern": "NN"}),
        ("genome.restriction_sites", {"enzymes": "RsaI"}),
        ("genome.pam_sites", {"pam": "N", "length": 1}),
        ("genome.orfs", {"min_aa": 1, "partial": True, "starts": "table"}),
        ("genome.six_frame", {"min_aa": 1}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_more_results_than_memory_should_hold_are_refused(
    name: str, params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given_ = genome("gtacNACTGAtacN" * 20)
    assert run(name, given_, **params)
    monkeypatch.setattr(found, "MOST", 15)
    with pytest.raises(BadInput, match="more than 15"):
        run(name, given_, **params)


# GC content, skew


def naive_windows(
    residues: str, window: int, step: int, circular: bool
) -> Iterator[tuple[int, int, str]]:
    """Cells with the residues of their windows."""
    n, step = len(residues), step or window
    for start in range(0, n, step):
        if step >= window:
            yield start, min(start + window, n), residues[start : start + window]
            continue
        first = start - (window - step) // 2
        where: Iterable[int] = range(first, first + window)
        if circular:
            where = [at % n for at in where] if window < n else range(n)
        else:
            where = [at for at in where if 0 <= at < n]
        yield start, min(start + step, n), "".join(residues[at] for at in where)


@SOME
@given(MIXED, st.integers(1, 40), st.integers(0, 50), st.booleans(), PIECES, st.data())
def test_gc_is_that_of_each_window(
    residues: str, window: int, step: int, circular: bool, piece: int, data: st.DataObject
) -> None:
    min_known = data.draw(st.sampled_from([0.0, 0.25, 0.5, 1.0]))
    expected = [math.nan] * len(residues)
    for start, end, some in naive_windows(residues, window, step, circular):
        strong, known = (sum(map(some.count, letters)) for letters in ("GCS", "ACGTUSW"))
        if known and known >= min_known * len(some):
            expected[start:end] = [strong / known] * (end - start)
    with pieces_of(piece):
        given_ = genome(residues, circular=circular)
        assert same(
            values("genome.gc", given_, window=window, step=step, min_known=min_known), expected
        )


@SOME
@given(MIXED, st.integers(1, 40), st.integers(0, 50), st.booleans(), st.booleans(), PIECES)
def test_skew_is_that_of_each_window_or_of_all_up_to_it(
    residues: str, window: int, step: int, circular: bool, cumulative: bool, piece: int
) -> None:
    expected, total = [math.nan] * len(residues), 0.0
    for start, end, some in naive_windows(residues, window, step, circular):
        g, c = some.count("G"), some.count("C")
        if g + c:
            value = (g - c) / (g + c)
            total += value
            expected[start:end] = [total if cumulative else value] * (end - start)
    with pieces_of(piece):
        found_ = values(
            "genome.gc_skew",
            genome(residues, circular=circular),
            window=window,
            step=step,
            cumulative=cumulative,
        )
    assert same(found_, expected)


def test_gc_of_a_real_chromosome_is_what_biopython_says(data: Path) -> None:
    with gzip.open(data / "nucl/yeast_R64_ncbi_softmasked.fa.gz", "rt") as file:
        record = next(iter(SeqIO.parse(file, "fasta")))  # type: ignore[no-untyped-call]
    residues = str(record.seq)
    track = run("genome.gc", genome(residues))
    assert isinstance(track, SignalTrack)
    for start in range(0, len(residues), 1000):
        share = gc_fraction(residues[start : start + 1000])  # type: ignore[no-untyped-call]
        assert track.raw_signal("c", start, start + 1)[0] == pytest.approx(share, rel=1e-12)
    masked = [one.span() for one in re.finditer("[acgtn]+", residues)]
    assert len(masked) > 100
    assert [(one.start, one.end) for one in intervals("genome.soft_mask", genome(residues))] == (
        masked
    )


# Gaps, soft-masking


@SOME
@given(st.text("ANNRUX-", max_size=60), st.integers(1, 6), st.booleans(), PIECES, st.data())
def test_gaps_are_the_runs_of_letters(
    residues: str, min_length: int, circular: bool, piece: int, data: st.DataObject
) -> None:
    letters = data.draw(st.sampled_from(["N", "nx", "A-N", "U", "T", "ANRUX-"]))
    kind = f"[{re.escape(letters.upper().replace('U', 'T'))}]+"
    plain = residues.replace("U", "T")
    spans = [one.span() for one in re.finditer(kind, plain)]
    if circular and len(spans) > 1 and spans[0][0] == 0 and spans[-1][1] == len(plain):
        spans = [*spans[1:-1], (spans[-1][0], len(plain) + spans[0][1])]
    expected = around(
        [(start, end, ".", "", {}) for start, end in spans if end - start >= min_length],
        len(plain),
    )
    with pieces_of(piece):
        track = intervals(
            "genome.gaps",
            genome(residues, circular=circular),
            min_length=min_length,
            letters=letters,
        )
    assert rows_of(track) == expected


def test_a_gap_across_the_origin_is_as_long_as_both_of_its_parts() -> None:
    given_ = genome("NNACNACNNN", circular=True)
    track = intervals("genome.gaps", given_, min_length=5)
    assert rows_of(track) == [row(0, 2, ".", part=2, of=2), row(7, 10, ".", part=1, of=2)]
    assert len(intervals("genome.gaps", given_, min_length=6)) == 0
    assert len(intervals("genome.gaps", genome("NNACNACNNN"), min_length=5)) == 0
    whole = intervals("genome.gaps", genome("NNNNNNNN", circular=True), min_length=5)
    assert rows_of(whole) == [row(0, 8, ".")]


@pytest.mark.parametrize("letters", ["", "N,X", "é", "1", "N\n"])
def test_gaps_are_not_of_what_residues_never_are(letters: str) -> None:
    with pytest.raises(BadInput, match="letters are some of"):
        run("genome.gaps", genome("ACGT"), letters=letters)


@SOME
@given(st.text("acgtnACGTN", max_size=80))
def test_soft_mask_is_what_is_in_lower_case(residues: str) -> None:
    track = intervals("genome.soft_mask", genome(residues))
    assert [(one.start, one.end) for one in track] == [
        one.span() for one in re.finditer("[a-z]+", residues)
    ]


# CpG islands


def naive_islands(
    residues: str, length: int, min_gc: float, min_ratio: float
) -> list[tuple[int, int]]:
    def holds(start: int, end: int) -> bool:
        some = residues[start:end]
        c, g = some.count("C"), some.count("G")
        ratio = some.count("CG") * len(some) / (c * g) if c * g else 0.0
        return (c + g) / len(some) >= min_gc and ratio >= min_ratio

    def first_window(start: int, end: int) -> int | None:
        where = (at for at in range(start, end - length + 1) if holds(at, at + length))
        return next(where, None)

    merged: list[tuple[int, int]] = []
    for at in range(len(residues) - length + 1):
        if holds(at, at + length):
            goes_on = merged and at <= merged[-1][1]
            start = merged.pop()[0] if goes_on else at
            merged.append((start, at + length))
    islands = []
    for start, end in merged:
        if holds(start, end):
            islands.append((start, end))
            continue
        begin: int | None = start
        while begin is not None:
            stop = begin + length
            while stop < end and holds(begin, stop + 1):
                stop += 1
            islands.append((begin, stop))
            begin = first_window(stop, end)
    return islands


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.sampled_from(["CG", "C", "G", "A", "AT", "CGCG", "GC", "N"]), max_size=70),
    st.integers(2, 20),
    st.sampled_from([0.0, 0.5, 0.55, 0.7, 1.0]),
    st.sampled_from([0.0, 0.6, 0.65, 1.0]),
    PIECES,
    st.booleans(),
)
def test_cpg_islands_are_those_of_the_definition(
    parts: list[str], length: int, min_gc: float, min_ratio: float, piece: int, circular: bool
) -> None:
    residues = "".join(parts)
    expected = []
    for start, end in naive_islands(residues, length, min_gc, min_ratio):
        some = residues[start:end]
        c, g, n = some.count("C"), some.count("G"), some.count("CG")
        ratio = n * len(some) / max(1, c * g)
        tags = {"gc": round((c + g) / len(some), 4), "ratio": round(ratio, 4), "n_cpg": n}
        expected.append(row(start, end, ".", f"CpG:{n}", **tags))
    with pieces_of(piece):
        track = cpg_islands.cpg_islands(
            genome(residues, circular=circular),
            min_length=length,
            min_gc=min_gc,
            min_ratio=min_ratio,
        )
    assert rows_of(track) == sorted(expected)


def test_a_stretch_that_is_no_island_as_a_whole_is_cut_into_islands_along_all_of_it() -> None:
    """Windows that just satisfy the criteria, and overlap in what is rich."""
    residues = ("CG" * 5 + "AT" * 5) * 400
    track = cpg_islands.cpg_islands(genome(residues), min_length=20, min_gc=0.5, min_ratio=0.6)
    spans = [(one.start, one.end) for one in track]
    assert spans == naive_islands(residues, 20, 0.5, 0.6)
    poor = "A" * 3 + ("CG" * 5 + "AT" * 5 + "A") * 400
    cut = cpg_islands.cpg_islands(genome(poor), min_length=20, min_gc=0.5, min_ratio=0.6)
    assert len(cut) > 300
    assert [(one.start, one.end) for one in cut] == naive_islands(poor, 20, 0.5, 0.6)
    assert all(one.tags["gc"] >= 0.5 for one in cut)


def test_cpg_islands_of_human_dna_are_those_of_the_definition(data: Path) -> None:
    text = (data / "nucl/hg18_chrM_chr20first1M_softmasked.fasta").read_text("ascii")
    residues = text.split(">")[2].partition("\n")[2].replace("\n", "").upper()
    some = residues[300_000:480_000]
    track = intervals("genome.cpg_islands", genome(some))
    prefix = {
        letters: [0, *itertools.accumulate(some.startswith(letters, at) for at in range(len(some)))]
        for letters in ("C", "G", "CG")
    }
    assert len(track) > 10
    covered = np.zeros(len(some), np.bool_)
    for one in track:
        c, g = (prefix[letter][one.end] - prefix[letter][one.start] for letter in "CG")
        cpg = prefix["CG"][one.end - 1] - prefix["CG"][one.start]
        assert one.length >= 200
        assert (c + g) / one.length >= 0.5
        assert one.score == pytest.approx(cpg * one.length / (c * g))
        assert one.score >= 0.6
        assert one.name == f"CpG:{cpg}"
        assert not covered[one.start : one.end].any()
        covered[one.start : one.end] = True


# Motifs


def regex_of(pattern: str, *, ambiguous: str = "RYSWKMBDHVNX") -> str:
    """Overlapping places of a pattern, as the documentation says."""
    letters = []
    for letter in pattern.upper().replace("U", "T"):
        some = IUPACData.ambiguous_dna_values[letter]
        letters.append(f"[{some}{ambiguous}]" if letter == "N" else f"[{some}]")
    return f"(?=({''.join(letters)}))"


def naive_places(
    residues: str, pattern: str, strand: str, circular: bool
) -> Iterator[tuple[int, int, str, str, dict[str, Any]]]:
    plain, size, n = residues.upper().replace("U", "T"), len(pattern), len(residues)
    if size > n:
        return
    read = pattern.upper().replace("U", "T")
    is_palindrome = {*read} <= {*"ACGTRYSWKMBDHVN"} and other(read) == read
    signs = "." if strand == "both" and is_palindrome else "+-" if strand == "both" else strand
    whole = plain + (plain[: size - 1] if circular else "")
    for sign in signs:
        for one in re.finditer(regex_of(other(read) if sign == "-" else read), whole):
            if one.start() < n:
                yield one.start(), one.start() + size, sign, pattern.upper(), {}


PATTERN = st.text("ACGTURYSWKMBDHVN", min_size=1, max_size=5)


@settings(deadline=None, max_examples=120)
@given(
    st.text("AACCGGTTTNRYSUX-*", max_size=70) | st.text("ACG", max_size=70),
    PATTERN,
    st.sampled_from(["both", "+", "-"]),
    st.booleans(),
    PIECES,
)
def test_motifs_are_where_a_regular_expression_finds_them(
    residues: str, pattern: str, strand: str, circular: bool, piece: int
) -> None:
    expected = around(naive_places(residues, pattern, strand, circular), len(residues))
    with pieces_of(piece):
        track = intervals(
            "genome.motif", genome(residues, circular=circular), pattern=pattern, strand=strand
        )
    assert rows_of(track) == expected


@SOME
@given(DNA, st.lists(PATTERN, min_size=1, max_size=4), st.booleans(), PIECES)
def test_several_patterns_are_looked_for_at_once(
    residues: str, patterns: list[str], circular: bool, piece: int
) -> None:
    first = {one.replace("U", "T"): one for one in reversed(patterns)}
    expected = sorted(
        one
        for pattern in first.values()
        for one in around(naive_places(residues, pattern, "both", circular), len(residues))
    )
    with pieces_of(piece):
        text = " , ".join(one.lower() for one in patterns)
        track = intervals("genome.motif", genome(residues, circular=circular), pattern=text)
    assert rows_of(track) == expected


def test_a_palindrome_is_found_once_unless_a_strand_is_asked_for() -> None:
    given_ = genome("TTGAATTCTT")
    for strand, signs in (("both", "."), ("+", "+"), ("-", "-")):
        track = intervals("genome.motif", given_, pattern="GAATTC", strand=strand)
        assert [(one.start, one.strand) for one in track] == [(2, signs)]
    track = intervals("genome.motif", given_, pattern="GAAT")
    assert [(one.start, one.end, one.strand) for one in track] == [(2, 6, "+"), (4, 8, "-")]


def test_a_place_across_the_origin_is_two_intervals() -> None:
    track = intervals("genome.motif", genome("TTCAAAAGAA", circular=True), pattern="GAATTC")
    assert list(track) == [
        Region("c", 0, 3, ".", 0.0, "GAATTC", {"part": 2, "of": 2}),
        Region("c", 7, 10, ".", 0.0, "GAATTC", {"part": 1, "of": 2}),
    ]
    assert len(intervals("genome.motif", genome("TTCAAAAGAA"), pattern="GAATTC")) == 0


@pytest.mark.parametrize(
    "pattern",
    ["", ",", "ACG,", "AC GT", "ACGX", "É", "AC-GT", "A" * 1001, ",".join(["A"] * 2001), "[ACG]"],
    ids=lambda value: value[:8],
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(BadInput, match="pattern"):
        run("genome.motif", genome("ACGT"), pattern=pattern)


# Restriction enzymes

KNOWN_CUT = sorted(
    str(one) for one in vars(Restriction)["AllEnzymes"] if one.fst5 is not None
)


def biopython_cuts(name: str, residues: str, circular: bool) -> set[int]:
    enzyme = getattr(Restriction, name)
    cuts = enzyme.search(Seq(residues), linear=not circular)
    return {(cut - 1) % len(residues) + 1 if circular else cut for cut in cuts}


def our_cuts(track: IntervalTrack, name: str, length: int, circular: bool) -> set[int]:
    """The first residue after each cut of the forward strand, from 1, as Biopython has it."""
    cuts = set()
    for one in track:
        if one.name == name and one.tags.get("part") != 2:
            for number in ("", "2"):
                if "top" + number in one.tags:
                    top, bottom = (
                        one.start + one.tags[which + number] + 1 for which in ("top", "bottom")
                    )
                    if circular:
                        cuts.add((top - 1) % length + 1)
                    elif 1 < top <= length and 1 < bottom <= length:
                        cuts.add(top)
    return cuts


@settings(deadline=None, max_examples=40)
@given(st.data(), st.booleans(), PIECES)
def test_enzymes_cut_where_biopython_cuts(
    data: st.DataObject, circular: bool, piece: int
) -> None:
    names = data.draw(st.lists(st.sampled_from(KNOWN_CUT), min_size=1, max_size=12, unique=True))
    # Sites are among the parts, so that there is something to cut.
    sites = [getattr(Restriction, name).site for name in names]
    parts = [re.sub("[^ACGT]", "A", one) for one in sites]
    parts += [other(one) for one in parts]
    residues = "".join(
        data.draw(
            st.lists(
                st.sampled_from(parts) | st.text("ACGTN", min_size=1, max_size=9),
                min_size=10,
                max_size=30,
            )
        )
    )
    with pieces_of(max(piece, 7)):
        track = intervals(
            "genome.restriction_sites",
            genome(residues, circular=circular),
            enzymes=", ".join(names).upper(),
        )
    for name in names:
        ours = our_cuts(track, name, len(residues), circular)
        theirs = biopython_cuts(name, residues, circular)
        if getattr(Restriction, name).is_palindromic():
            assert ours == theirs, name
        else:  # at a place where both strands match, Biopython sees the forward one only
            assert ours >= theirs, name
            hidden = {
                one
                for region in track
                if region.name == name and region.strand == "-"
                for one in our_cuts(
                    IntervalTrack(track.source, [region]), name, len(residues), circular
                )
            }
            assert ours - theirs <= hidden, name


def test_every_enzyme_that_is_known_can_be_asked_for(phage: str) -> None:
    everything = sorted(vars(Restriction)["AllEnzymes"], key=str)
    some = phage[:600]
    given_ = genome(some, circular=True)
    track = intervals("genome.restriction_sites", given_, enzymes=",".join(map(str, everything)))
    by_name: dict[str, list[Region]] = {}
    for one in track:
        by_name.setdefault(one.name, []).append(one)
    assert len(by_name) > 300
    for enzyme in everything:
        name = str(enzyme)
        ours = IntervalTrack(track.source, by_name.get(name, []))
        if enzyme.fst5 is None:
            assert all({*one.tags} <= {"enzyme", "overhang", "part", "of"} for one in ours)
            assert all(one.tags["overhang"] == "unknown" for one in ours)
        elif not {*enzyme.site} - {*"ACGT"}:
            cuts = our_cuts(ours, name, len(some), circular=True)
            assert cuts == biopython_cuts(name, some, circular=True), name


def test_an_enzyme_can_have_two_sites_and_no_known_cut() -> None:
    residues = "AATCGGTAGAAAAGTGGAAGAAACTTCCACAA"
    track = intervals("genome.restriction_sites", genome(residues), enzymes="HpyUM037X")
    assert [(one.start, one.end, one.strand) for one in track] == [
        (2, 9, "+"),
        (13, 20, "+"),
        (23, 30, "-"),
    ]


def test_cuts_and_overhangs_are_those_of_the_catalogues() -> None:
    residues = "AAGAATTCAAGGTCTCAACCCCAAAAGAGACCTTCCCGGGTTGGTACCAA"
    track = intervals(
        "genome.restriction_sites", genome(residues), enzymes="EcoRI,BsaI,SmaI,KpnI,ecori"
    )
    assert [(one.start, one.end, one.strand, one.name, dict(one.tags)) for one in track] == [
        (2, 8, ".", "EcoRI", {"enzyme": "EcoRI", "overhang": "5'", "top": 1, "bottom": 5}),
        (10, 16, "+", "BsaI", {"enzyme": "BsaI", "overhang": "5'", "top": 7, "bottom": 11}),
        (26, 32, "-", "BsaI", {"enzyme": "BsaI", "overhang": "5'", "top": -5, "bottom": -1}),
        (34, 40, ".", "SmaI", {"enzyme": "SmaI", "overhang": "blunt", "top": 3, "bottom": 3}),
        (42, 48, ".", "KpnI", {"enzyme": "KpnI", "overhang": "3'", "top": 5, "bottom": 1}),
    ]
    both_sides = intervals(
        "genome.restriction_sites", genome("A" * 20 + "CGAAAAAAATGC" + "A" * 20), enzymes="BcgI"
    )
    assert [dict(one.tags) for one in both_sides] == [
        {"enzyme": "BcgI", "overhang": "3'", "top": -10, "bottom": -12, "top2": 24, "bottom2": 22}
    ]


@pytest.mark.parametrize("names", ["", "EcoR1", "EcoRI,", "EcoRI;BamHI", "é", "x" * 10_000])
def test_an_enzyme_that_nobody_knows_is_refused(names: str) -> None:
    with pytest.raises(BadInput, match="there is no restriction enzyme") as raised:
        run("genome.restriction_sites", genome("ACGT"), enzymes=names)
    assert len(str(raised.value)) < 200


def test_a_name_that_is_nearly_right_is_suggested() -> None:
    with pytest.raises(BadInput, match=r"did you mean .*EcoRI"):
        run("genome.restriction_sites", genome("ACGT"), enzymes="EcoR1")


# Protospacers


@settings(deadline=None, max_examples=100)
@given(
    st.text("ACGGTTTN", max_size=60) | st.text("TTTACGU", max_size=60),
    st.sampled_from([("NGG", "3prime"), ("TTTV", "5prime"), ("G", "3prime"), ("NNGRRN", "3prime")]),
    st.integers(1, 8),
    st.booleans(),
    PIECES,
)
def test_protospacers_are_where_a_regular_expression_finds_them(
    residues: str, nuclease: tuple[str, str], length: int, circular: bool, piece: int
) -> None:
    (pam, side), n = nuclease, len(residues)
    plain, spacer = residues.replace("U", "T"), f"([ACGT]{{{length}}})"
    beside = regex_of(pam)[3:-1]
    kind = f"(?={spacer}{beside})" if side == "3prime" else f"(?={beside}{spacer})"
    size = length + len(pam)
    expected = []
    for strand, read in (("+", plain), ("-", other(plain))):
        whole = read + (read[: size - 1] if circular else "")
        for one in re.finditer(kind, whole) if size <= n else ():
            guide, site = one.group(1, 2) if side == "3prime" else one.group(2, 1)
            start, end = one.span(1 if side == "3prime" else 2)
            if strand == "-":
                start, end = n - end, n - start
            expected.append((start, end, strand, guide, {"guide": guide, "pam": site}))
    with pieces_of(piece):
        track = intervals(
            "genome.pam_sites",
            genome(residues, circular=circular),
            pam=pam.lower(),
            length=length,
            side=side,
        )
    assert rows_of(track) == around(expected, max(n, 1))


def test_a_guide_reads_from_five_to_three_prime_on_its_strand() -> None:
    guide = "GATTACAGATTACAGATTAC"
    for residues, start, strand in (
        ("AA" + guide + "TGGAA", 2, "+"),
        ("AA" + other(guide + "TGG") + "AA", 5, "-"),
    ):
        (one,) = (
            one
            for one in intervals("genome.pam_sites", genome(residues))
            if one.name == guide
        )
        assert (one.start, one.end, one.strand) == (start, start + 20, strand)
        assert one.tags == {"guide": guide, "pam": "TGG"}


@pytest.mark.parametrize(
    "params",
    [{"pam": ""}, {"pam": "NGG,NAG"}, {"pam": "XGG"}, {"length": 0}, {"side": "left"}],
    ids=str,
)
def test_what_is_no_pam_is_refused(params: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        run("genome.pam_sites", genome("ACGT"), **params)


# Reading frames

CODONS = st.lists(
    st.sampled_from(
        [
            *("ATG", "TAA", "TAG", "TGA", "CAT", "TTA", "GCA", "GCN", "TAR", "YTA", "NNN"),
            *("A", "CC", "TTG", "GTG", "CTG", "ATA", "AGA", "U", "R", "TCA"),
        ]
    ),
    max_size=40,
).map("".join)
TABLES = st.sampled_from([1, 2, 4, 6, 11, 33])


def starts_of(table: int, starts: str) -> set[str]:
    if starts == "ATG":
        return {"ATG"}
    return set(CodonTable.unambiguous_dna_by_id[table].start_codons)


class Orf(NamedTuple):
    """On its strand: codons from ``start``, up to ``end`` with the stop codon if it has one."""

    start: int
    end: int
    protein: str
    partial: str


def naive_orfs(read: str, table: int, starts: set[str], partial: bool) -> Iterator[Orf]:
    for frame in range(3):
        begin = frame
        parts = translated(read[frame:], table).split("*")
        for n, part in enumerate(parts):
            is_first, is_last = n == 0, n == len(parts) - 1
            end = begin + 3 * len(part)
            codons = [read[at : at + 3] for at in range(begin, end, 3)]
            first = next((at for at, codon in enumerate(codons) if codon in starts), None)
            if partial and is_first:
                first = 0
            if first is not None and (partial or not is_last):
                opened = ["", "end", "start", "both"][2 * (partial and is_first) + is_last]
                at = begin + 3 * first
                yield Orf(at, end if is_last else end + 3, part[first:], opened)
            begin = end + 3


def naive_circular_orfs(read: str, table: int, starts: set[str]) -> Iterator[Orf]:
    n = len(read)

    def codon(at: int) -> str:
        return "".join(read[(at + i) % n] for i in range(3))

    for stop in range(n):
        if n < 6 or translated(codon(stop), table) != "*":
            continue
        best = 0
        for k in range(1, n // 3):
            if 3 * k + 3 > n or translated(codon(stop - 3 * k), table) == "*":
                break
            if codon(stop - 3 * k) in starts:
                best = k
        if best:
            start = (stop - 3 * best) % n
            whole = "".join(codon(start + 3 * i) for i in range(best))
            yield Orf(start, start + 3 * best + 3, translated(whole, table), "")


def expected_orfs(
    residues: str, table: int, starts: str, *, partial: bool, circular: bool, keep: Any
) -> list[Row]:
    plain, n = residues.upper().replace("U", "T"), len(residues)
    rows = []
    for strand, read in (("+", plain), ("-", other(plain))):
        begin = starts_of(table, starts)
        some = (
            naive_circular_orfs(read, table, begin)
            if circular
            else naive_orfs(read, table, begin, partial)
        )
        for one in filter(keep, some):
            start = one.start if strand == "+" else (n - one.end) % n
            tags = {"frame": one.start % 3, "aa": len(one.protein), "protein": one.protein}
            if one.partial:
                tags["partial"] = one.partial
            rows.append((start, start + one.end - one.start, strand, "", tags))
    return around(rows, max(n, 1))


def without_names(track: IntervalTrack) -> list[Row]:
    return sorted(one._replace(name="") for one in rows_of(track))


@settings(deadline=None, max_examples=120)
@given(CODONS, TABLES, st.sampled_from(["ATG", "table"]), st.booleans(), st.booleans(), PIECES)
def test_open_reading_frames_are_those_of_the_definition(
    residues: str, table: int, starts: str, partial: bool, circular: bool, piece: int
) -> None:
    min_aa, most = 1 + len(residues) % 4, (0.0, 0.5, 1.0)[len(residues) % 3]

    def is_wanted(one: Orf) -> bool:
        size = len(one.protein)
        return size >= min_aa and one.protein.count("X") <= most * size

    expected = expected_orfs(
        residues, table, starts, partial=partial, circular=circular, keep=is_wanted
    )
    with pieces_of(piece):
        track = intervals(
            "genome.orfs",
            genome(residues, circular=circular),
            min_aa=min_aa,
            table=table,
            starts=starts,
            partial=partial,
            max_unknown=most,
        )
    assert without_names(track) == expected


def test_reading_frames_are_numbered_through_the_genome() -> None:
    one = "ATG" + "GCA" * 3 + "TAA"
    track = intervals("genome.orfs", genome({"a": one + "C" + one, "b": "C" + one}), min_aa=3)
    assert [(orf.chrom, orf.start, orf.name, orf.score) for orf in track] == [
        ("a", 0, "ORF1", 4.0),
        ("a", 16, "ORF2", 4.0),
        ("b", 1, "ORF3", 4.0),
    ]


def test_both_parts_of_a_frame_across_the_origin_have_its_name(phage: str) -> None:
    """Gene A of the phage phiX174, whose replication begins inside of it."""
    track = intervals("genome.orfs", genome(phage, circular=True), table=11)
    parts = [one for one in track if "part" in one.tags and one.tags["aa"] > 500]
    assert [(one.start, one.end, one.strand, one.tags["part"]) for one in parts] == [
        (0, 136, "+", 2),
        (3953, 5386, "+", 1),  # 9 codons before the gene is another ATG
    ]
    assert {one.tags["aa"] for one in parts} == {513 + 9}
    assert len({one.name for one in parts}) == 1
    assert parts[0].tags["protein"][9:].startswith("MVRSYYPSECHADYFDFERI")


def test_the_genes_of_a_virus_are_among_its_reading_frames(data: Path) -> None:
    record = SeqIO.read(data / "gb_embl/sarscov2_MN908947.gb", "genbank")  # type: ignore[no-untyped-call]
    track = intervals("genome.orfs", genome(str(record.seq)), min_aa=30)
    by_end = {one.end: one for one in track if one.strand == "+"}
    genes = [
        one
        for one in record.features
        if one.type == "CDS"
        and re.fullmatch("ATG.*(TAA|TAG|TGA)", str(one.extract(record.seq)))  # none of 1a, 1b
    ]
    assert len(genes) == 10
    upstream = {}
    for gene in genes:
        orf, protein = by_end[int(gene.location.end)], translated(str(gene.extract(record.seq)), 1)
        assert f"{orf.tags['protein']}*".endswith(protein)
        upstream[gene.qualifiers["gene"][0]] = int(gene.location.start) - orf.start
    assert {name: n for name, n in upstream.items() if n} == {"S": 27}  # there is an ATG before it


def test_a_mitochondrion_has_its_own_genetic_code(data: Path) -> None:
    record = SeqIO.read(data / "gb_embl/human_mito_rCRS_NC_012920.1.gbff", "genbank")  # type: ignore[no-untyped-call]
    (gene,) = (
        one
        for one in record.features
        if one.type == "CDS" and one.qualifiers.get("gene") == ["COX1"]
    )
    given_ = genome(str(record.seq), circular=True)
    proteins = {
        table: {one.tags["protein"] for one in intervals("genome.orfs", given_, table=table)}
        for table in (1, 2)
    }
    assert gene.qualifiers["translation"][0] in proteins[2] - proteins[1]


def test_a_frame_that_is_read_across_a_gap_is_left_out() -> None:
    residues = "ATG" + "GCA" * 10 + "N" * 90 + "GCA" * 10 + "TAA"
    assert len(intervals("genome.orfs", genome(residues), min_aa=20)) == 0
    (one,) = intervals("genome.orfs", genome(residues), min_aa=20, max_unknown=0.6)
    assert one.tags["protein"] == "M" + "A" * 10 + "X" * 30 + "A" * 10


@settings(deadline=None, max_examples=60)
@given(CODONS, TABLES, PIECES, st.booleans())
def test_six_frames_are_biopythons_translations(
    residues: str, table: int, piece: int, circular: bool
) -> None:
    plain = residues.replace("U", "T")
    given_ = genome(residues, circular=circular)
    with pieces_of(piece):
        track = intervals("genome.six_frame", given_, min_aa=1, table=table)
        long = intervals("genome.six_frame", given_, min_aa=4, table=table)
    assert rows_of(long) == sorted(
        row(one.start, one.end, one.strand, **dict(one.tags))
        for one in track
        if len(one.tags["protein"]) >= 4
    )
    n = len(plain)
    for strand, read in (("+", plain), ("-", other(plain))):
        for frame in range(3):
            pieces = [
                one for one in track if (one.strand, one.tags["frame"]) == (strand, frame)
            ]
            whole = ["*"] * ((n - frame) // 3 if n > frame else 0)
            for one in pieces:
                assert one.score == len(one.tags["protein"]) == one.length / 3
                start = one.start if strand == "+" else n - one.end
                at = (start - frame) // 3
                whole[at : at + one.length // 3] = one.tags["protein"]
            assert "".join(whole) == translated(read[frame:], table)


@pytest.mark.parametrize("name", ["genome.orfs", "genome.six_frame"])
@pytest.mark.parametrize("table", [0, 7, 27, 28, 31, 1000, -1])
def test_a_genetic_code_that_says_nothing_of_stops_is_refused(name: str, table: int) -> None:
    with pytest.raises(BadInput, match="genetic code"):
        run(name, genome("ACGT"), table=table)


@pytest.mark.parametrize(
    "table",
    sorted(
        number
        for number, one in CodonTable.unambiguous_dna_by_id.items()
        if not {*one.stop_codons} & one.forward_table.keys()
    ),
)
def test_every_codon_of_every_code_is_translated_as_biopython_does(table: int) -> None:
    residues = "".join(map("".join, itertools.product("ACGTRYSWKMBDHVN", repeat=3)))
    track = intervals("genome.six_frame", genome(residues), min_aa=1, table=table)
    proteins = [
        one.tags["protein"] for one in track if (one.strand, one.tags["frame"]) == ("+", 0)
    ]
    whole = translated(residues, table)
    assert proteins == [one for one in whole.split("*") if one]


# K-mers


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.text("ACGTN", max_size=40) | st.text("ACU", max_size=60), min_size=1, max_size=4),
    st.integers(1, 31) | st.integers(1, 5),
    st.booleans(),
    PIECES,
)
def test_kmers_are_counted_on_both_strands_of_the_whole_genome(
    sequences: list[str], k: int, circular: bool, piece: int
) -> None:
    named = {f"c{n}": residues for n, residues in enumerate(sequences)}
    kmers_at = {}
    for name, residues in named.items():
        plain = residues.replace("U", "T")
        whole = plain + (plain[: k - 1] if circular and len(plain) >= k else "")
        for at in range(len(whole) - k + 1):
            some = whole[at : at + k]
            if "N" not in some:
                kmers_at[name, at] = min(some, other(some))
    counts = Counter(kmers_at.values())
    with pieces_of(piece):
        track = run("genome.kmer_uniqueness", genome(named, circular=circular), k=k)
    assert isinstance(track, SignalTrack)
    for name, residues in named.items():
        found_ = track.raw_signal(name, 0, len(residues))
        expected = [
            1 / counts[kmers_at[name, at]] if (name, at) in kmers_at else math.nan
            for at in range(len(residues))
        ]
        assert same(list(found_), expected)


@pytest.mark.parametrize("k", [1, 4, 11, 12, 16, 17, 31])
def test_kmers_of_a_phage_are_counted(phage: str, k: int) -> None:
    whole = phage + phage[: k - 1]
    some = [min(one, other(one)) for one in (whole[at : at + k] for at in range(len(phage)))]
    counts = Counter(some)
    found_ = values("genome.kmer_uniqueness", genome(phage, circular=True), k=k)
    assert same(found_, [1 / counts[one] for one in some])


@pytest.mark.parametrize("k", [0, 32, -1])
def test_kmers_have_1_to_31_residues(k: int) -> None:
    with pytest.raises(BadInput, match="k is at"):
        run("genome.kmer_uniqueness", genome("ACGT"), k=k)


def test_a_genome_whose_kmers_do_not_fit_in_memory_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kmers, "MOST_RESIDUES", 7)
    assert values("genome.kmer_uniqueness", genome("ACGTTTT"), k=3)
    with pytest.raises(BadInput, match="8 residues are too many"):
        run("genome.kmer_uniqueness", genome({"a": "ACGT", "b": "ACGT"}), k=3)
