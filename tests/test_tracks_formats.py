"""Every format of tracks is read as its specification says, and as other readers read it."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import math
import pickle
import random
import struct
import sys
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pyBigWig
import pysam
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from track_makers import bigwig_by_hand, shown

from seqarchive.bgzf import EOF_BLOCK, compress_blocks
from seqarchive.errors import BadInput, Corrupt, NotFound, SeqArchiveError, Truncated
from seqarchive.tracks.columns import Steps
from seqarchive.tracks.formats import bed, bedgraph, gff, tables, wig
from seqarchive.tracks.formats.bigwig import BigWigFile
from seqarchive.tracks.formats.catalogue import FORMATS, format_of, sniffed
from seqarchive.tracks.formats.lines import Lines, lines_of
from seqarchive.tracks.formats.reading import load_track, read_track
from seqarchive.tracks.regions import Region
from seqarchive.tracks.track import IntervalTrack, SignalTrack, TableTrack

nan = math.nan


def intervals(text: str | bytes, file: str = "x.bed", **options: object) -> IntervalTrack:
    data = text.encode() if isinstance(text, str) else text
    track = read_track(data, file=file, **options)  # type: ignore[arg-type]
    assert isinstance(track, IntervalTrack)
    return track


def signal(text: str, file: str = "x.wig", **options: object) -> SignalTrack:
    track = read_track(text.encode(), file=file, **options)  # type: ignore[arg-type]
    assert isinstance(track, SignalTrack)
    return track


def table(text: str, file: str = "x.tsv") -> TableTrack:
    track = read_track(text.encode(), file=file)
    assert isinstance(track, TableTrack)
    return track


def rows(track: SignalTrack, chrom: str) -> list[tuple[int, int, float]]:
    steps = track.steps(chrom)
    return list(zip(steps.starts.tolist(), steps.ends.tolist(), steps.values.tolist(), strict=True))


# --- BED --------------------------------------------------------------------------------------


def test_bed_of_every_width() -> None:
    full = "c\t5\t50\tn\t7.5\t-\t6\t40\t255,0,0\t2\t10,5,\t0,40\n"
    fields = full.rstrip("\n").split("\t")
    tags = {"thick_start": 6, "thick_end": 40, "item_rgb": "255,0,0", "block_sizes": [10, 5],
            "block_starts": [0, 40]}
    for n in (3, 4, 5, 6, 7, 8, 9, 12):
        n_tags = 5 if n == 12 else max(0, n - 6)
        expected = Region(
            "c", 5, 50, "-" if n > 5 else ".", 7.5 if n > 4 else 0.0, "n" if n > 3 else "",
            dict(list(tags.items())[:n_tags]),
        )
        assert list(intervals("\t".join(fields[:n]) + "\n")) == [expected]


def test_bed_lines_for_browsers_and_comments_are_no_entries() -> None:
    text = (
        "# made by hand\nbrowser position chr7:1-2\ntrack name=pairedReads type=bed\n\n   \n"
        "c\t1\t2\r\ntrack\t3\t4\nbrowser\t5\t6\n#c\t7\t8\ntrack\n\tc 9\t10\n"
    )
    with pytest.raises(BadInput, match="line 11: "):
        intervals(text)
    found = intervals(text.replace("\tc 9\t10\n", "last\t9\t10"))
    assert [(one.chrom, one.start) for one in found] == [
        ("c", 1), ("track", 3), ("browser", 5), ("last", 9)
    ]


def test_bed_with_spaces_is_read_and_names_with_spaces_too() -> None:
    assert [one.end for one in intervals("c 1 2\nc  3   4\n")] == [2, 4]
    assert next(iter(intervals("c\t1\t2\ta b\n"))).name == "a b"


def test_a_missing_score_is_nan_and_a_point_is_no_name() -> None:
    (found,) = intervals("c\t1\t2\t.\t.\t.\n")
    assert math.isnan(found.score)
    assert found.name == ""


def test_scores_are_the_numbers_that_python_reads() -> None:
    texts = ["0", "-1", "1000", "0.1", ".5", "5.", "-0.25", "1e3", "1E-3", "123456789012345.6",
             "0.1234567890123456789", "-9007199254740993", "+4", "NaN", "inf", "-inf", "1e-400",
             "00012", "2.5e+10"]
    body = "".join(f"c\t{n}\t{n + 1}\tx\t{text}\n" for n, text in enumerate(texts))
    assert [repr(one.score) for one in intervals(body)] == [repr(float(text)) for text in texts]
    for text in texts:  # each by itself takes another way
        (one,) = intervals(f"c\t0\t1\tx\t{text}\n")
        assert repr(one.score + 0.0) == repr(float(text) + 0.0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats() | st.integers(-999, 999) | st.decimals(-1000, 1000, places=3)))
def test_any_numbers_are_read_as_python_reads_them(values: list[object]) -> None:
    body = "".join(f"c\t{n}\t{n + 1}\tx\t{value}\n" for n, value in enumerate(values))
    found = intervals(body, format="bed").columns("c").scores
    assert np.array_equal(found, [float(str(value)) for value in values], equal_nan=True)


def test_narrowpeak() -> None:
    line = "chr1\t9\t30\tpeak\t540\t.\t18.2\t-1\t3.5\t7\n"
    expected = Region("chr1", 9, 30, ".", 540.0, "peak",
                      {"signal_value": 18.2, "p_value": -1.0, "q_value": 3.5, "peak": 7})
    for file in ("x.narrowPeak", "x.bed", "x"):
        assert list(intervals(line, file)) == [expected]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("c\t5", "3 to 9 columns, or 12, not 2"),
        ("c\t1\t2\t3\t4\t+\t1\t2\t0\t1", "not 10"),
        ("c\tx\t9", "the start is a whole number from 0, not 'x'"),
        ("c\t-1\t9", "the start is a whole number from 0, not '-1'"),
        ("c\t1_0\t90", "the start is a whole number from 0, not '1_0'"),
        ("c\t٣\t90", "the start is a whole number from 0"),
        ("c\t1\t2.0", "the end is a whole number from 0, not '2.0'"),
        ("c\t9\t5", "the start 9 is after the end 5"),
        ("c\t0\t9007199254740993", "the end 9007199254740993 is beyond 2\\^53"),
        ("c\t0\t" + "9" * 5000, "beyond 2\\^53"),
        ("c\t1\t2\tn\tten", "the score is a number, not 'ten'"),
        ("c\t1\t2\tn\t1_0", "the score is a number, not '1_0'"),
        ("c\t1\t2\tn\t1e999", "too large"),
        ("c\t1\t2\tn\t5\tx", "the strand is \\+, - or ., not 'x'"),
        ("c\t1\t2\tn\t5\t+\tx", "thickStart is a whole number"),
        ("c\t1\t9\tn\t5\t+\t1\t2\t0\t2\t3\t0", "blockCount is 2, but there are 1 blockSizes"),
        ("c\t1\t9\tn\t5\t+\t1\t2\t0\t1\t9\t0", "the blocks do not fit into the 8 residues"),
        ("c\t1\t9\tn\t5\t+\t1\t2\t0\t1\t,\t0", "0 blockSizes"),
        ("\t1\t2", "the name of a chromosome is empty"),
        ("c d\t1\t2", "white space"),
        ("c\t1\t2\ta\x01b", "the name 'a\\\\x01b' has control characters"),
        ("c\t1\t2\ta\x85b", "control characters"),
        ("c\x00\t1\t2", "control characters"),
    ],
)
def test_a_bad_line_of_bed_is_named(line: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        intervals(f"# a comment\nc\t1\t2\tn\n{line}\nc\t3\t4\n", format="bed")
    assert caught.value.line == 3
    assert caught.value.file == "x.bed"
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_what_is_not_there_is_refused_if_the_genome_is_known() -> None:
    lengths = {"c": 10}
    assert len(intervals("c\t1\t10\n", chroms=lengths)) == 1
    with pytest.raises(BadInput, match=r"line 2: 11 is beyond the 10 residues of c"):
        intervals("c\t1\t10\nc\t1\t11\n", chroms=lengths)
    with pytest.raises(BadInput, match=r"line 2: there is no chromosome 'd'"):
        intervals("c\t1\t10\nd\t1\t2\n", chroms=lengths)


_words = st.text(st.sampled_from(list("ab \t.+-01#c\r\né\x00,")), max_size=12)


def at_once_and_by_line(read: Callable[[list[Lines]], object], lines: list[str]) -> None:
    """A letter that is not ASCII has all lines near it read one by one: with the same result."""

    def outcome(comment: str) -> object:
        text = "\n".join([comment, *lines])
        try:
            return read(list(lines_of([text.encode()], "f")))
        except BadInput as error:
            return str(error)

    assert outcome("#e") == outcome("#é")


_fields = st.tuples(
    st.sampled_from(["c", "d", "track", "", "a b"]),
    st.sampled_from(["0", "5", "x", "07"]),
    st.sampled_from(["9", "4", "", "9" * 17]),
    st.sampled_from(["n", ".", "", "a b"]),
    st.sampled_from(["1", ".", "1.5", "nan", "e"]),
    st.sampled_from(["+", ".", "?", ""]),
)
_lines = st.builds(lambda fields, n: "\t".join(fields[:n]), _fields, st.integers(1, 6))


@settings(max_examples=100, deadline=None)
@given(st.lists(_words | _lines, max_size=5))
def test_bed_at_once_and_one_by_one_is_the_same(lines: list[str]) -> None:
    def read(blocks: list[Lines]) -> object:
        found = bed.read_bed(blocks, "f")
        return [shown(one) for chrom in found for one in found[chrom].regions(chrom)]

    at_once_and_by_line(read, lines)


def _indexed(path: Path) -> str:
    """A BED file for pysam: sorted, compressed, with an index."""
    lines = sorted(path.read_text().splitlines(), key=lambda line: (line[:4], int(line.split()[1])))
    copy = path.with_suffix(".sorted")
    copy.write_text("\n".join(lines) + "\n")
    return str(pysam.tabix_index(str(copy), preset="bed"))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text is parsed as it comes, a megabyte at a time."""
    monkeypatch.setattr("seqarchive.tracks.formats.lines.BLOCK", 1 << 14)


@pytest.mark.usefixtures("small_blocks")
def test_a_large_bed_is_as_pysam_reads_it(tmp_path: Path) -> None:
    """More than one block of text, chromosomes in turns, in no order."""
    rng = random.Random(8)
    lines = []
    for n in range(50_000):
        start = rng.randrange(1 << 28)
        lines.append(f"chr{rng.randrange(3)}\t{start}\t{start + rng.randrange(1, 500)}\tpeak_{n}\t"
                     f"{rng.randrange(1000)}\t{rng.choice('+-')}")
    path = tmp_path / "large.bed"
    path.write_text("\n".join(lines) + "\n")
    track = load_track(path)
    assert isinstance(track, IntervalTrack)
    assert track.name == "large"
    with pysam.TabixFile(_indexed(path), parser=pysam.asBed()) as file:
        expected = {
            (one.contig, one.start, one.end, one.name, float(one.score), one.strand)
            for one in file.fetch()
        }
    found = {(r.chrom, r.start, r.end, r.name, r.score, r.strand) for r in track}
    assert found == expected
    for chrom in track.chroms:
        starts = track.columns(chrom).starts
        assert (starts[1:] >= starts[:-1]).all()


# --- GFF and GTF ------------------------------------------------------------------------------

GFF = """##gff-version 3
##sequence-region ctg123 1 1497228
# a comment
ctg123\t.\tgene\t1000\t9000\t.\t+\t.\tID=gene00001;Name=EDEN
ctg123\tx%3By\tCDS\t1201\t1500\t0.5\t-\t0\tID=cds1;Parent=mRNA1,mRNA2;Note=a%2Cb,50%25;;
c%20\t.\texon\t5\t5\t.\t?\t.\t.
###
ctg123\t.\tTF\t1\t2\t.\t.\t.\tAlias=%CE%A9
##FASTA
>ctg123
not\ta\tfeature
"""


def test_gff3() -> None:
    with pytest.raises(BadInput, match=r"line 6: .* white space"):
        intervals(GFF, "x.gff3")
    found = sorted(intervals(GFF.replace("%20", "%7C"), "x.gff3"), key=lambda one: one.start)
    assert [(one.chrom, one.start, one.end, one.strand, one.name) for one in found] == [
        ("ctg123", 0, 2, ".", ""),
        ("c|", 4, 5, ".", ""),
        ("ctg123", 999, 9000, "+", "EDEN"),
        ("ctg123", 1200, 1500, "-", "cds1"),
    ]
    assert found[0].tags == {"type": "TF", "attributes": {"Alias": ["Ω"]}}
    assert found[1].tags == {"type": "exon", "strand": "?"}
    assert found[3].score == 0.5
    assert found[3].tags == {
        "source": "x;y", "type": "CDS", "phase": 0,
        "attributes": {"ID": ["cds1"], "Parent": ["mRNA1", "mRNA2"], "Note": ["a,b", "50%"]},
    }


def test_gtf() -> None:
    text = (
        '#!genome-build R64\nI\tensembl\tCDS\t335\t649\t.\t+\t2\tgene_id "YAL069W"; '
        'transcript_id "a;b"; tag "basic"; tag "CCDS"; exon_number 1; note "";\n'
        'I\te\tgene\t1\t2\t.\t-\t.\tgene_id "g"; gene_name "N G"\n'
    )
    for file in ("x.gtf", "x.gff", "x"):
        second, first = intervals(text, file)
        assert (first.start, first.end, first.name) == (334, 649, "YAL069W")
        assert first.tags["attributes"] == {
            "gene_id": ["YAL069W"], "transcript_id": ["a;b"], "tag": ["basic", "CCDS"],
            "exon_number": ["1"], "note": [""],
        }
        assert first.tags["phase"] == 2
        assert second.name == "N G"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("c\t.\tx\t1\t2\t.\t+\t.", "9 columns with tabs between, not 8"),
        ("c . x 1 2 . + . ID=a", "not 1"),
        ("c\t.\tx\t0\t2\t.\t+\t.\t.", "the start is a whole number from 1, not '0'"),
        ("c\t.\tx\t3\t2\t.\t+\t.\t.", "the start 3 is after the end 2"),
        ("c\t.\tx\t1\t2\tq\t+\t.\t.", "the score is a number, not 'q'"),
        ("c\t.\tx\t1\t2\t.\t*\t.\t.", "the strand is"),
        ("c\t.\tx\t1\t2\t.\t+\t3\t.", "the phase is 0, 1, 2 or ., not '3'"),
        ("c\t.\tx\t1\t2\t.\t+\t.\tID", "an attribute is key=value, not 'ID'"),
        ("c\t.\tx\t1\t2\t.\t+\t.\t=a", "an attribute is key=value, not '=a'"),
        ("c\t.\tx\t1\t2\t.\t+\t.\tID=%FF", "does not stand for text in UTF-8"),
        ("c\t.\tx\t1\t2\t.\t+\t.\tName=a%0Ab", "the name .* has control characters"),
    ],
)
def test_a_bad_line_of_gff_is_named(line: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        intervals(f"c\t.\tx\t1\t2\t.\t+\t.\tID=a\n{line}\n", format="gff3")
    assert caught.value.line == 2


@pytest.mark.parametrize("attributes", ['gene_id "a" x', "gene_id", 'gene_id "a; b', '"a" "b";'])
def test_a_bad_line_of_gtf_is_named(attributes: str) -> None:
    with pytest.raises(BadInput, match=r'line 1: attributes are key "value";'):
        intervals(f"c\t.\tx\t1\t2\t.\t+\t.\t{attributes}\n", format="gtf")


def test_many_attributes_that_are_wrong_take_no_time() -> None:
    hostile = 'a "' + "b;" * 50_000 + " " * 50_000
    with pytest.raises(BadInput):
        intervals(f"c\t.\tx\t1\t2\t.\t+\t.\t{hostile}\n", format="gtf")


def test_a_large_gff_is_as_a_plain_reader_reads_it() -> None:
    rng = random.Random(5)
    lines = ["##gff-version 3"]
    for n in range(10_000):
        start = rng.randrange(1, 1 << 24)
        note = rng.choice(["", ";Note=a%20b", ";Note=x,y", ";Name=N%25"])
        lines.append(f"c{rng.randrange(3)}\ts\t{rng.choice(['gene', 'exon'])}\t{start}\t"
                     f"{start + rng.randrange(500)}\t.\t{rng.choice('+-.')}\t{rng.choice('012.')}\t"
                     f"ID=i{n}{note}")
    expected = []
    for line in lines[1:]:
        chrom, source, kind, start_, end, _, strand, phase, attributes = line.split("\t")
        pairs = dict(pair.split("=") for pair in attributes.split(";"))
        tags: dict[str, object] = {"source": source, "type": kind}
        if phase != ".":
            tags["phase"] = int(phase)
        tags["attributes"] = {key: [unquote(one) for one in value.split(",")]
                              for key, value in pairs.items()}
        name = unquote(pairs.get("Name", pairs["ID"]))
        expected.append(Region(chrom, int(start_) - 1, int(end), strand, nan, name, tags))
    found = intervals("\n".join(lines), "x.gff3")
    assert sorted(map(shown, found)) == sorted(map(shown, expected))


# --- wiggle and bedGraph ----------------------------------------------------------------------


def test_wiggle_with_fixed_and_variable_steps() -> None:
    track = signal(
        "track type=wiggle_0 name=x\n# comment\nfixedStep chrom=a start=5 step=10 span=3\n1\n2\n"
        "-0.5\nvariableStep chrom=a span=2\n101 7\n150 NaN\n\n201 1e2\n"
        "fixedStep chrom=b start=1 step=1\n3\n3\n4\nvariableStep chrom=b\n10 inf\n"
    )
    assert rows(track, "a") == [
        (4, 7, 1.0), (14, 17, 2.0), (24, 27, -0.5), (100, 102, 7.0), (200, 202, 100.0)
    ]
    assert rows(track, "b") == [(0, 2, 3.0), (2, 3, 4.0), (9, 10, math.inf)]
    assert track.lengths == {"a": 202, "b": 10}


def test_bedgraph() -> None:
    for separator in ("\t", " ", "  "):
        text = "track type=bedGraph\nb 5 9 1.5\na 3 5 2\na 0 3 2\na 7 8 NaN\n"
        track = signal(text.replace(" ", separator).replace(f"track{separator}", "track "), "x")
        assert rows(track, "a") == [(0, 5, 2.0)]
        assert rows(track, "b") == [(5, 9, 1.5)]
        assert track.lengths == {"b": 9, "a": 8}


def test_lengths_of_a_signal_are_those_of_the_genome_if_they_are_known() -> None:
    track = signal("b 5 9 1.5\n", "x.bedgraph", chroms={"a": 50, "b": 20})
    assert track.lengths == {"a": 50, "b": 20}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("1\n", 1, "no declaration .* is before this line"),
        ("#x\n\n2 5\nfixedStep chrom=a start=1\n", 3, "no declaration"),
        ("fixedStep chrom=a\n1\n", 1, "fixedStep needs start="),
        ("fixedStep start=1\n1\n", 1, "fixedStep needs chrom="),
        ("fixedStep chrom=a start=0\n1\n", 1, "start is a whole number from 1, not '0'"),
        ("fixedStep chrom=a start=1 step=0\n1\n", 1, "step is a whole number from 1"),
        ("variableStep chrom=a step=2\n1 1\n", 1, "variableStep has chrom, span, each once"),
        ("fixedStep chrom=a chrom=b start=1\n", 1, "each once, not 'chrom=b'"),
        ("fixedSteps chrom=a start=1\n", 1, "neither a value nor fixedStep"),
        ("fixedStep chrom=a start=1\n1\nx\n", 3, "the value is a number, not 'x'"),
        ("fixedStep chrom=a start=1\n1 2\n", 2, "the value is a number, not '1 2'"),
        ("variableStep chrom=a\n1\n", 2, "after variableStep come a position and a value"),
        ("variableStep chrom=a\n0 1\n", 2, "the position is a whole number from 1, not '0'"),
        ("variableStep chrom=a\n9 1\n5 2\n5 3\n", 4, "a:4-5 and 4-5 overlap .*line 3"),
        ("fixedStep chrom=a start=1 step=1 span=2\n1\n2\n", 3, "a:0-2 and 1-3 overlap"),
        ("fixedStep chrom=a start=9007199254740990 step=5\n1\n2\n", 3, "beyond 2\\^53"),
        ("fixedStep chrom=a start=9007199254740990 step=9007199254740990\n1\n2\n3\n", 3,
         "beyond 2\\^53"),
        ("variableStep chrom=a span=9007199254740992\n2 1\n", 2, "beyond 2\\^53"),
    ],
)
def test_a_bad_line_of_wiggle_is_named(text: str, line: int, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        signal(text, format="wig")
    assert caught.value.line == line


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a\t1\t2\n", 1, "4 columns .*, not 3"),
        ("a\t1\t2\t3\t4\n", 1, "not 5"),
        ("a\t1\t2\t3\na\t5\t5\t1\n", 2, "the start 5 is not before the end 5"),
        ("a\t1\t2\t3\na\t1\t2\tx\n", 2, "the value is a number, not 'x'"),
        ("a\t5\t9\t3\nb\t1\t2\t1\na\t8\t10\t3\n", 3, "a:5-9 and 8-10 overlap .*line 1"),
        ("a\t5\t9\t3\na\t1\t6\tNaN\n", 2, "overlap"),
    ],
)
def test_a_bad_line_of_bedgraph_is_named(text: str, line: int, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        signal(text, format="bedgraph")
    assert caught.value.line == line


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_wiggle_is_as_a_plain_reader_reads_it(data: st.DataObject) -> None:
    """Sections that begin and end anywhere in blocks of text."""
    lines: list[str] = []
    expected: dict[str, list[tuple[int, int, float]]] = {"a": [], "b": []}
    at = {"a": 0, "b": 0}
    for _ in range(data.draw(st.integers(0, 4))):
        chrom = data.draw(st.sampled_from("ab"))
        span, step = sorted(data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9))))
        values = data.draw(st.lists(st.integers(-3, 3).map(lambda n: n / 4), max_size=4))
        start = at[chrom] + data.draw(st.integers(0, 5))
        is_fixed = data.draw(st.booleans())
        lines.append(
            f"fixedStep chrom={chrom} start={start + 1} step={step} span={span}"
            if is_fixed else f"variableStep chrom={chrom} span={span}"
        )
        for n, value in enumerate(values):
            begin = start + n * step
            lines.append(f"{value}" if is_fixed else f"{begin + 1} {value}")
            expected[chrom].append((begin, begin + span, value))
            at[chrom] = begin + span
    text = "\n".join([*lines, ""])
    cut = data.draw(st.integers(0, len(lines)))
    chunks = ["\n".join([*lines[:cut], ""]).encode(), "\n".join([*lines[cut:], ""]).encode()]
    blocks = [block for chunk in chunks for block in lines_of([chunk], "f")]
    found = wig.read_wig(blocks, "f").steps()
    whole = signal(text, format="wig") if lines else None
    for chrom, some in expected.items():
        steps = Steps.of(*zip(*some, strict=True)) if some else None
        assert found.get(chrom) == steps or (steps is None and not len(found.get(chrom, ())))
        assert whole is None or steps is None or whole.steps(chrom) == steps


# --- bigWig -----------------------------------------------------------------------------------


def _by_pybigwig(path: Path) -> dict[str, list[tuple[int, int, float]]]:
    rng = random.Random(3)
    lengths = {"chr2": 90_000, "chr10": 70_000, "nothing": 5}
    entries: dict[str, list[tuple[int, int, float]]] = {}
    file = pyBigWig.open(str(path), "w")
    file.addHeader(list(lengths.items()))
    for chrom in ("chr2", "chr10"):
        at, some = 0, []
        while at < lengths[chrom] - 20:
            start = at + rng.randrange(3)
            at = start + rng.randrange(1, 9)
            some.append((start, at, rng.randrange(9) / 4))
        entries[chrom] = some
        starts, ends, values = zip(*some, strict=True)
        file.addEntries([chrom] * len(some), list(starts), ends=list(ends), values=list(values))
    file.close()
    return entries


def test_bigwig_has_what_pybigwig_wrote(tmp_path: Path) -> None:
    path = tmp_path / "x.bw"
    entries = _by_pybigwig(path)
    track = load_track(path)
    assert isinstance(track, SignalTrack)
    assert track.lengths == {"chr2": 90_000, "chr10": 70_000, "nothing": 5}
    assert track.n_bytes < 1000
    rng = random.Random(4)
    for chrom, some in entries.items():
        assert track.steps(chrom) == Steps.of(*zip(*some, strict=True))
        values = np.full(track.lengths[chrom], nan)
        for start, end, value in some:
            values[start:end] = value
        for _ in range(100):
            start, end = sorted(rng.sample(range(track.lengths[chrom] + 1), 2))
            found = track.raw_signal(chrom, start, end)
            assert np.array_equal(found, values[start:end], equal_nan=True)
    assert len(track.steps("nothing")) == len(track.steps("chrX")) == 0


@pytest.mark.parametrize("order", ["<", ">"])
def test_bigwig_with_sections_of_every_kind(order: str) -> None:
    track = read_track(bigwig_by_hand(order), file="x.bw")
    assert isinstance(track, SignalTrack)
    assert rows(track, "c") == [
        (0, 10, 1.5), (15, 20, 2.5), (100, 105, 3.5), (135, 140, 4.5), (200, 204, 5.5),
        (210, 214, 6.5), (220, 224, 7.5),
    ]
    assert track.bw.intervals("c", 3, 16) == [(3, 10, 1.5), (15, 16, 2.5)]
    assert track.bw.intervals("c", 30, 36) is None


def test_an_open_bigwig_is_shared_by_threads_copied_and_closed(tmp_path: Path) -> None:
    path = tmp_path / "x.bw"
    entries = _by_pybigwig(path)
    file = BigWigFile(path)
    expected = Steps.of(*zip(*entries["chr2"], strict=True))
    copy = pickle.loads(pickle.dumps(file))
    assert copy.chroms() == file.chroms()
    assert copy.steps("chr2", 0, 90_000) == expected
    wrong: list[int] = []

    def read(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(20):
            start, end = sorted(rng.sample(range(90_000), 2))
            if file.steps("chr2", start, end) != expected.between(start, end):
                wrong.append(seed)

    threads = [threading.Thread(target=read, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    file.close()
    with pytest.raises(SeqArchiveError, match="is closed"):
        file.steps("chr2", 0, 10)
    with pytest.raises(NotFound):
        BigWigFile(tmp_path / "none.bw")


def test_a_bigwig_of_another_genome_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.bw"
    _by_pybigwig(path)
    lengths = {"chr1": 5, "chr2": 90_000, "chr10": 70_000, "nothing": 5}
    track = load_track(path, chroms=lengths)
    assert isinstance(track, SignalTrack)
    assert track.lengths == lengths
    with pytest.raises(BadInput, match="chr2 has 80,000 residues, not 90,000"):
        load_track(path, chroms={**lengths, "chr2": 80_000})
    with pytest.raises(BadInput, match="there is no chromosome 'chr2'"):
        load_track(path, chroms={"chr10": 70_000, "nothing": 5})


# --- JSON and tables --------------------------------------------------------------------------


def test_json_of_each_type() -> None:
    document = {"name": "d", "regions": [
        {"chrom": "c", "start": 5, "end": 9, "strand": "-", "score": None, "name": "n",
         "tags": {"a": [1, {"b": None}]}},
        {"chrom": "c", "start": 1.0, "end": 2, "score": "-inf"},
    ]}
    track = intervals(json.dumps(document), "x.json")
    assert track.name == "d"
    first, second = track
    assert (first.start, first.score, first.strand) == (1, -math.inf, ".")
    assert (second.name, second.tags) == ("n", {"a": [1, {"b": None}]})
    assert math.isnan(second.score)
    steps = signal('{"steps": [{"chrom": "c", "start": 2, "end": 4, "value": 1.5}]}', "y.json")
    assert (steps.name, rows(steps, "c"), steps.lengths) == ("y", [(2, 4, 1.5)], {"c": 4})
    long = signal('{"lengths": {"c": 9, "d": 3}, "steps": []}', "y.json")
    assert long.lengths == {"c": 9, "d": 3}
    values = table('{"values": {"g": 1, "h": null, "i": "inf"}}', "z.json")
    assert (values["g"], values["i"]) == (1.0, math.inf)
    assert math.isnan(values["h"])
    assert intervals('{"name": "d", "regions": []}', "x", name="mine").name == "mine"


REGION = '{"chrom": "c", "start": 1, "end": 2}'


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("{\n\n", 3, "this is not JSON"),
        ('{"regions": [],\n "steps": []}', 1, "one of regions, steps, values"),
        ("[]", 1, "one of regions, steps, values"),
        ('{"regions": {}}', 1, "this is a list"),
        (f'{{"regions": [\n{REGION},\n5]}}', 3, r"regions\[1\]: this is an object"),
        (f'{{"regions": [\n{REGION},\n\n{{"chrom": "c", "start": 3,\n"end": 2}}]}}', 4,
         "the start 3 is after the end 2"),
        ('{"x": [1, {"regions": 1}], "regions": [\n{"start": 3, "end": 5}]}', 2, "chromosome"),
        ('{"regions": [{"chrom": "c", "start": true, "end": 2}]}', 1, "not true"),
        ('{"regions": [{"chrom": "c", "start": 0, "end": 1e300}]}', 1, "beyond 2\\^53"),
        ('{"regions": [{"chrom": "c", "start": 0, "end": 2, "stop": 1}]}', 1, "not 'stop'"),
        ('{"regions": [{"chrom": "c", "start": 0, "end": 2, "score": "x"}]}', 1, "score"),
        ('{"regions": [{"chrom": "c", "start": 0, "end": 2, "tags": 4}]}', 1, "object"),
        ('{"regions": [{"chrom": "c", "start": 0, "end": 2, "name": "\\ud800"}]}', 1, "half"),
        ('{"regions": [{"chrom": "c", "start": 0, "end": 2, "start": 1}]}', 1, "'start' twice"),
        ('{"regions": [{"chrom": "c", "start": 0, "end": 2, "strand": "*"}]}', 1, "strand"),
        ('{"steps": [{"chrom": "c", "start": 0, "end": 5, "value": 1},\n'
         '{"chrom": "c", "start": 3, "end": 6, "value": 2}]}', 2, "overlap"),
        ('{"steps": [{"chrom": "c", "start": 0, "end": 0, "value": 1}]}', 1, "not before"),
        ('{"steps": [{"chrom": "c", "start": 0, "end": 2}]}', 1, "there is no value"),
        ('{"lengths": {"c": 1}, "steps": [{"chrom": "c", "start": 0, "end": 2, "value": 0}]}', 1,
         "2 is beyond the 1 residues of c"),
        ('{"lengths":\n3, "steps": []}', 2, "lengths: this is an object"),
        ('{"values": {"a": 1,\n"b": "x"}}', 2, r"values\[1\]: the number is a number"),
        ('{"values": {"": 1}}', 1, "the key"),
        ('{"values": {"a": 1, "a": 2}}', 1, "'a' twice"),
        ('{"values": [1]}', 1, "keys and numbers"),
        ('{"name": 5, "values": {}}', 1, "the name is a text"),
        ('{"values": {"a": ' + "9" * 400 + "}}", 1, "too large"),
        ('{"values": {"a": ' + "9" * 5000 + "}}", 1, "digits"),
        ("[" * 100_000, 1, "nested too deeply"),
        ('{"values": ' + "[" * 100_000, 1, "nested too deeply"),
    ],
)
def test_what_is_wrong_in_a_document_is_named(text: str, line: int, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        read_track(text.encode(), file="x.json", format="json")
    assert caught.value.line == line
    assert caught.value.file == "x.json"


@pytest.mark.usefixtures("small_blocks")
def test_tables() -> None:
    found = table("#gene\tvalue\ngene a\t1.5\nb\tNA\n#c\t-3e2\nd\t.\n\ne\tinf\r\n")
    assert found.keys() == ["gene a", "b", "#c", "d", "e"]
    assert [repr(found[key]) for key in found.keys()] == ["1.5", "nan", "-300.0", "nan", "inf"]  # noqa: SIM118
    many = "".join(f"g{n}\t{n / 7}\n" for n in range(80_000))
    assert dict(table(many).items()) == {f"g{n}": n / 7 for n in range(80_000)}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a\t1\nb\n", 2, "it has 1 columns"),
        ("a 1\nb 2\n", 1, "it has 1 columns"),
        ("a\t1\nb\t1\t2\n", 2, "it has 3 columns"),
        ("a\t1\nb\tx\n", 2, "the number is a number, not 'x'"),
        ("a\t1\n\t2\n", 2, "the key is empty"),
        ("a\t1\nb\t2\na\t3\n", 3, "the key 'a' is on line 1 already"),
        ("a\x07\t1\n", 1, "control characters"),
    ],
)
def test_a_bad_line_of_a_table_is_named(text: str, line: int, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        read_track(text.encode(), file="x.tsv", format="tsv")
    assert caught.value.line == line


@pytest.mark.usefixtures("small_blocks")
def test_a_key_that_is_there_again_much_later_is_named() -> None:
    lines = [f"key number {n}\t1" for n in range(70_000)]
    lines[69_000] = lines[7]
    with pytest.raises(BadInput, match=r"line 69001: .* is on line 8 already"):
        table("\n".join(lines))


# --- which format -----------------------------------------------------------------------------

SAMPLES = {
    "bed": b"# x\nchr1\t5\t9\tn\t0\t+\n",
    "narrowpeak": b"c\t5\t9\t.\t0\t.\t1\t2\t3\t-1\n",
    "gff3": b"##gff-version 3\nc\t.\tx\t1\t2\t.\t.\t.\tID=a\n",
    "gtf": b'c\t.\tx\t1\t2\t.\t.\t.\tgene_id "a";\n',
    "wig": b"track type=wiggle_0\nfixedStep chrom=c start=1\n5\n",
    "bedgraph": b"c\t1\t2\t0.5\n",
    "bigwig": bigwig_by_hand(),
    "json": b'{"name": "x", "regions": []}',
    "tsv": b"#key\tvalue\na\t1\n",
}


def test_there_is_a_sample_of_every_format() -> None:
    assert SAMPLES.keys() == FORMATS.keys()


@pytest.mark.parametrize("name", SAMPLES)
def test_a_format_is_known_by_its_contents_and_by_its_name(name: str, tmp_path: Path) -> None:
    data = SAMPLES[name]
    assert sniffed(data) == name
    plain = read_track(data)
    for extension in FORMATS[name].extensions:
        for packed in ("", ".gz"):
            assert format_of(f"a.b{extension.upper()}{packed}", b"") == name
    path = tmp_path / "a.b.dat"
    path.write_bytes(data)
    loaded = load_track(path)
    assert (type(loaded), loaded.name) == (type(plain), "x" if name == "json" else "a.b.dat")
    lying = tmp_path / ("x.json" if name != "json" else "x.bed")
    lying.write_bytes(data)
    assert type(load_track(lying)) is type(plain)
    if name != "bigwig":
        with pytest.raises(BadInput):
            load_track(path, format="bigwig")
    assert type(load_track(path, format=name.upper())) is type(plain)


def test_an_extension_decides_between_formats_that_look_alike() -> None:
    line = b"c\t1\t2\t0.5\n"
    assert isinstance(read_track(line, file="x.bed"), IntervalTrack)
    assert isinstance(read_track(line, file="x.bdg.gz"), SignalTrack)
    assert isinstance(read_track(line, file="x.bdg", format="bed"), IntervalTrack)
    with pytest.raises(BadInput, match=r"x.bed, line 1: the start 9 is after"):
        read_track(b"c\t9\t2\n", file="x.bed")
    with pytest.raises(BadInput, match=r"x.bed, line 1: a BED line has"):
        read_track(b"nonsense\n", file="x.bed")


@pytest.mark.parametrize(
    ("file", "data", "message"),
    [
        ("short.bed", b"NC_001133.9\t0\n", r"short\.bed, line 1: a BED line has 3"),
        # Every process of the tests has to name this case alike.
        (
            "x.BED.gz",
            gzip.compress(b"#x\nc\t0\n", mtime=0),
            r"x\.BED\.gz, line 2: a BED line has 3",
        ),
        ("x.bdg", b"c\t0\n", r"x\.bdg, line 1: "),
        ("x.wig", b"c\t0\n", r"x\.wig, line 1: "),
        ("x.gff3", b"c\t0\n", r"x\.gff3, line 1: "),
        ("x.tsv", b"c\t1\t2\n", r"x\.tsv, line 1: a line is a key, a tab and a number"),
        ("x.tsv", b"c\t1\t2\t0.5\n", r"x\.tsv, line 1: a line is a key, a tab and a number"),
        ("x.bw", b"c\t1\t2\n", r"x\.bw: this bigWig is damaged: it does not begin"),
        ("x.bed", SAMPLES["wig"], r"x\.bed: its name says bed, and .* wig, .* signal"),
        ("x.bed", SAMPLES["bigwig"], r"x\.bed: its name says bed, and .* bigwig, .* signal"),
        ("x.bed", b'{"values": {"a": 1}}', r"x\.bed: its name says bed, and .* json, .* table"),
    ],
)
def test_a_name_that_says_the_format_is_never_that_of_another_kind(
    file: str, data: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / file
    path.write_bytes(data)
    with pytest.raises(BadInput, match=message):
        read_track(data, file=file)
    with pytest.raises(BadInput, match=message):
        load_track(path)
    seen = sniffed(gzip.decompress(data) if file.endswith(".gz") else data)
    if seen != "bed":
        load_track(path, format=seen)


def test_what_is_in_no_format_is_refused_with_a_list() -> None:
    for data in (b"", b"what is this?\n", b">seq\nACGT\n", b"\x00\x01\x02", b"\xff\xfe\n\x00" * 99):
        with pytest.raises(BadInput, match="bed, narrowpeak, gff3, gtf, wig, bedgraph, bigwig"):
            read_track(data, file="x.dat")
    with pytest.raises(BadInput, match="there is no format 'vcf'; there are bed, "):
        read_track(b"", format="vcf")


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bgzf": lambda data: b"".join(compress_blocks(data)) + EOF_BLOCK,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
}


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("name", ["bed", "bigwig"])
def test_compression_is_known_by_the_contents(packer: str, name: str, tmp_path: Path) -> None:
    data = PACKERS[packer](SAMPLES[name])
    path = tmp_path / "x.dat"
    path.write_bytes(data)
    plain = read_track(SAMPLES[name])
    assert repr(load_track(path, name="n")) == repr(read_track(data, name="n"))
    assert type(load_track(path)) is type(plain)
    with pytest.raises(Truncated):
        read_track(data[:-9], file="x.bed" if name == "bed" else "x.bw")


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(SAMPLES["bed"])))
    track = load_track("-")
    assert (track.name, len(list(track.regions("chr1", 0, 99)))) == ("standard input", 1)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"c\t9\t1\n")))
    with pytest.raises(BadInput, match="standard input, line 1"):
        load_track("-", format="bed")


def test_a_stream_is_read_without_a_file() -> None:
    assert isinstance(read_track(io.BytesIO(SAMPLES["gtf"]), file="up.gtf"), IntervalTrack)
    with pytest.raises(BadInput, match="more than 1,000 bytes, decompressed"):
        read_track(gzip.compress(b"c\t1\t2\n" * 10_000), max_bytes=1000)
    with pytest.raises(NotFound):
        load_track("/nowhere/x.bed")


def test_a_byte_order_mark_and_a_last_line_without_an_end() -> None:
    assert [one.chrom for one in intervals(b"\xef\xbb\xbfc\t1\t2\nd\t3\t4")] == ["c", "d"]


def test_a_line_without_end_is_refused() -> None:
    def endless() -> Lines:
        return next(lines_of((b"x" * (1 << 20) for _ in range(100)), "f"))

    with pytest.raises(BadInput, match="longer than 16 MiB"):
        endless()


HOSTILE = [
    bytes(1000), b"\n" * 1000, b"\t" * 1000, b" " * 1000, b"\r" * 999, b"\r\n" * 500, b"{", b'{"',
    b'{"regions"', b'{"regions": [', b"#", b"track", b"fixedStep ", b"fixedStep chrom=",
    b"\x1f\x8b",
    b"\x26\xfc\x8f\x88", b"\xff" * 500, b"c\t0\t1\n\xff\t1\t2\n", b"1\t2\t3\n" + b"\t" * 100,
    "\u2028\t1\t2\n".encode(), b"c\t" + b"9" * 10_000 + b"\t5\n", b"c\t1\t2\n" * 3 + b"\x00",
]  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_any_bytes_are_a_track_or_bad_input(name: str) -> None:
    rng = random.Random(1)
    for data in HOSTILE:
        _refused_or_read(data, name)
    sample = SAMPLES[name] * (1 if name in ("bigwig", "json") else 3)
    for _ in range(300):
        damaged = bytearray(sample)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.choice([0, 9, 10, 13, 32, 45, 57, 255])
        del damaged[rng.randrange(len(damaged)) :]
        _refused_or_read(bytes(damaged), name)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60), st.sampled_from(sorted(FORMATS)))
def test_any_bytes_at_all(data: bytes, name: str) -> None:
    _refused_or_read(data, name)
    _refused_or_read(data, None)


def _refused_or_read(data: bytes, name: str | None) -> None:
    error = None
    try:
        track = read_track(data, file="hostile", format=name)
        if isinstance(track, SignalTrack):
            for chrom in track.chroms:
                track.steps(chrom)
    except BadInput as caught:
        error = caught
    if error is not None:
        assert error.file == "hostile"
        assert len(str(error)) < 400
        assert "\n" not in str(error)


TABLE_LINES = [
    "a\t1", "b\t2.5", "c\tNA", "c\tnan", "d\t.", "x", "a\t", "\t1", "#h\t1", "e\t1_0", "f 1",
    "g\t1\t2", "", "h\t 1", "i\t1\r", "j\x01\t4", "k\t+5", "l\t1e5", "m\t1e999",
]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(TABLE_LINES), max_size=5))
def test_a_table_at_once_and_one_by_one_is_the_same(lines: list[str]) -> None:
    def read(blocks: list[Lines]) -> object:
        return {key: repr(value) for key, value in tables.read_table(blocks).items()}

    at_once_and_by_line(read, lines)


BEDGRAPH_LINES = [
    "a\t1\t2\t3", "a 5 6 7", "b\t1\t2\t.5", "b\t9\t5\t1", "a\t1\t3\t1", "c\t4\t4\t1",
    "a\t7\t8\tx", "d  1 2 3", "d\t1\t2", "e\t1\t2\tnan", " f\t1\t2\t3", "track x", "#",
    "g h\t1\t2\t3", "",
]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(BEDGRAPH_LINES), max_size=5))
def test_bedgraph_at_once_and_one_by_one_is_the_same(lines: list[str]) -> None:
    def read(blocks: list[Lines]) -> object:
        found = bedgraph.read_bedgraph(blocks, "f").steps()
        return {chrom: list(steps.starts) for chrom, steps in found.items()}

    at_once_and_by_line(read, lines)


WIG_LINES = [
    "fixedStep chrom=a start=5 step=10", "fixedStep chrom=b start=1", "variableStep chrom=a span=3",
    "1", "2.5", "x", "7 3", "90 4", "100 1", "100  1", " 5", "nan", "track type=wiggle_0", "#", "",
    "5 6 7", "0 1", "1e999", "8\t2",
]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(WIG_LINES), max_size=6))
def test_wiggle_at_once_and_one_by_one_is_the_same(lines: list[str]) -> None:
    def read(blocks: list[Lines]) -> object:
        found = wig.read_wig(blocks, "f").steps()
        return {chrom: (list(one.starts), list(one.values)) for chrom, one in found.items()}

    at_once_and_by_line(read, lines)


GFF_LINES = [
    "a\t.\tg\t1\t2\t.\t+\t.\tID=1", "a\ts\tg\t3\t4\t5\t-\t2\tName=b%20", "#", "##FASTA", ">x",
    "a%41\t.\tg\t1\t2\t.\t?\t.\t.", "a\t.\tg\t0\t2\t.\t+\t.\t.", "a b\t.\tg\t1\t2\t.\t+\t.\t.",
    "a\t%41\tg\t1\t2\tx\t+\t.\t.", "a\t.\tg\t1\t2\t.\t+\t4\t.", "a\t.\tg\t1\t2\t.\t+\t.\tID",
    "a . g 1 2 . + . ID=1", "a\t.\tg\t2\t1\t.\t+\t.\t.", "a\t.\tg\t1\t2\t.\t+\t.\tName=%0A",
]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(GFF_LINES), max_size=5))
def test_gff_at_once_and_one_by_one_is_the_same(lines: list[str]) -> None:
    def read(blocks: list[Lines]) -> object:
        found = gff.read_gff(blocks, "f")
        return [shown(one) for chrom in found for one in found[chrom].regions(chrom)]

    at_once_and_by_line(read, lines)


# --- hostile bigWig files ---------------------------------------------------------------------


def _read_all(data: bytes) -> None:
    track = read_track(data, file="x.bw", format="bigwig")
    assert isinstance(track, SignalTrack)
    for chrom in track.chroms:
        assert np.isfinite(track.lengths[chrom])
        track.steps(chrom)


def test_every_byte_of_a_bigwig_may_be_damaged() -> None:
    data = bigwig_by_hand()
    n_refused = 0
    for at in range(len(data)):
        for value in (0, 1, 127, 128, 255):
            damaged = bytearray(data)
            damaged[at] ^= value
            try:
                _read_all(bytes(damaged))
            except BadInput:
                n_refused += 1
        with pytest.raises(BadInput):
            _read_all(data[:at])
    assert n_refused > len(data) // 2


def _patched(data: bytes, at: int, layout: str, *values: float) -> bytes:
    patch = struct.pack(layout, *values)
    return data[:at] + patch + data[at + len(patch) :]


def test_a_bigwig_cannot_make_much_of_little(tmp_path: Path) -> None:
    """Trees that go in circles, sections that are there many times, sizes that nobody has."""
    data = bigwig_by_hand()
    index = int.from_bytes(data[24:32], "little")
    leaf = index + 48
    for hostile, message in (
        (_patched(data, leaf, "<BBHIIIIQ", 0, 0, 1, 0, 0, 0, 230, leaf), "circles"),
        (_patched(data, leaf, "<BBHIIIIQ", 0, 0, 1, 0, 0, 0, 230, index - 4), "it has no|circles"),
        (_patched(data, 96, "<BBHsQ", 0, 0, 1, b"c", 96), "circles"),  # type: ignore[arg-type]
        (data[: leaf + 36] + data[leaf + 4 : leaf + 36] + data[leaf + 68 :], "overlap"),
        (_patched(data, leaf + 28, "<Q", 1 << 62), "more bytes than there are"),
        (_patched(data, leaf + 20, "<Q", 1 << 62), "it has no"),
        (_patched(data, 16, "<QQ", 1 << 63, (1 << 64) - 8), "it has no"),
        (_patched(data, 68 + 4, "<I", 1 << 31), "no list of chromosomes"),
        (_patched(data, 80, "<Q", 1 << 40), "chromosomes are said to be there"),
        (_patched(data, 105, "<I", 8), "positions that cannot be"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=message):
            _read_all(hostile)
    node = struct.pack("<BBHIIIIQ", 0, 0, 1, 0, 0, 0, 230, leaf)
    with pytest.raises(BadInput, match="circles"):
        _read_all(data[:leaf] + node[:2] + b"\xff\xff" + (node[4:] * 65_535))
    section = int.from_bytes(data[leaf + 20 : leaf + 28], "little")
    elsewhere = _patched(data, section, "<I", 5)  # of another chromosome: nothing of ours overlaps
    many = struct.pack("<IIIIQQ", 0, 0, 0, 230, section, 48) * 99
    with pytest.raises(BadInput, match="more bytes than there are"):
        _read_all(elsewhere[:leaf] + struct.pack("<BBH", 1, 0, 99) + many)
    bomb = zlib.compress(bytes(50 << 20), 9)
    packed = _patched(data, 52, "<I", 1 << 31)
    packed = _patched(packed, leaf + 20, "<QQ", len(data), len(bomb)) + bomb
    with pytest.raises(BadInput, match="longer than it can be"):
        _read_all(packed)
    path = tmp_path / "x.bw"
    path.write_bytes(data)
    file = BigWigFile(path, is_stored=True)
    with open(path, "r+b") as cut:
        cut.truncate(200)
    with pytest.raises(Corrupt, match="it has become shorter"):
        file.steps("c", 0, 1000)
