"""Tracks that are written are read again as they were, by us and by others."""

from __future__ import annotations

import gzip
import io
import json
import math
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyBigWig
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from track_makers import (
    LENGTHS,
    bed_tags,
    interval_tracks,
    regions,
    same,
    scores,
    shown,
    signal_tracks,
    table_tracks,
)

from seqarchive.errors import BadInput, SeqArchiveError
from seqarchive.tracks.columns import Intervals, Steps
from seqarchive.tracks.formats.bigwig import BigWigFile
from seqarchive.tracks.formats.catalogue import FORMATS
from seqarchive.tracks.formats.reading import load_track, read_track
from seqarchive.tracks.formats.texts import number_text
from seqarchive.tracks.formats.writing import Written, write_track
from seqarchive.tracks.regions import Region, TrackLabel
from seqarchive.tracks.track import AnyTrack, IntervalTrack, SignalTrack, TableTrack
from seqarchive.tracks.watching import Cancelled, Watch, watched_by


def intervals_of(*some: Region) -> IntervalTrack:
    return IntervalTrack(TrackLabel("t"), some)


def written(track: AnyTrack, form: str, **options: object) -> tuple[bytes, Written]:
    out = io.BytesIO()
    report = write_track(track, out, form, **options)  # type: ignore[arg-type]
    return out.getvalue(), report


def back(track: AnyTrack, form: str, **options: object) -> AnyTrack:
    return read_track(written(track, form, **options)[0], format=form)


@settings(max_examples=100, deadline=None)
@given(interval_tracks)
def test_intervals_come_back_from_json(track: IntervalTrack) -> None:
    found = back(track, "json")
    assert same(found, track)
    assert found.name == "t"


@settings(max_examples=100, deadline=None)
@given(st.lists(regions(st.just({})), max_size=20).map(lambda some: intervals_of(*some)))
def test_intervals_come_back_from_bed(track: IntervalTrack) -> None:
    data, report = written(track, "bed")
    assert report == Written(len(track))
    assert same(read_track(data, format="bed"), track)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 5).flatmap(
        lambda n: st.lists(
            regions(bed_tags().filter(lambda tags: len(tags) >= n)), min_size=1, max_size=8
        )
    )
)
def test_tags_that_were_columns_of_bed_are_columns_again(some: list[Region]) -> None:
    track = intervals_of(*some)
    data, report = written(track, "bed")
    shared = min(len(one.tags) for one in some)
    found = read_track(data, format="bed")
    expected = intervals_of(
        *(
            Region(r.chrom, r.start, r.end, r.strand, r.score, r.name,
                   dict(list(r.tags.items())[:shared]))
            for r in some
        )
    )  # fmt: skip
    assert same(found, expected)
    n_left_out = sum(len(one.tags) > shared for one in some)
    assert report.left_out == ({"tags": n_left_out} if n_left_out else {})


def test_bed_has_as_few_columns_as_say_what_there_is() -> None:
    def text(**said: object) -> str:
        return written(intervals_of(Region("c", 1, 2, **said)), "bed")[0].decode()  # type: ignore[arg-type]

    assert text() == "c\t1\t2\n"
    assert text(name="n") == "c\t1\t2\tn\n"
    assert text(score=0.5) == "c\t1\t2\t.\t0.5\n"
    assert text(score=math.nan) == "c\t1\t2\t.\tNaN\n"
    assert text(strand="-") == "c\t1\t2\t.\t0\t-\n"
    assert text(tags={"x": 1}) == "c\t1\t2\n"
    assert written(intervals_of(), "bed")[0] == b""


def test_tags_that_bed_has_no_column_for_are_counted() -> None:
    good = {"thick_start": 1, "thick_end": 2, "item_rgb": "0", "block_sizes": [1],
            "block_starts": [0]}  # fmt: skip
    track = intervals_of(Region("c", 1, 2, tags=good), Region("c", 3, 4, tags={**good, "x": 1}))
    assert written(track, "bed")[1] == Written(2, {"tags": 1})
    for wrong in ({**good, "block_sizes": [2]}, {**good, "block_sizes": "1"},
                  {**good, "block_starts": [0, 0]}):  # fmt: skip
        data, report = written(intervals_of(Region("c", 1, 2, tags=wrong)), "bed")
        assert data == b"c\t1\t2\t.\t0\t.\t1\t2\t0\n"
        assert report.left_out == {"tags": 1}
    for no_column in ({**good, "thick_start": True}, {**good, "thick_start": -1}, {"x": "0"}):
        wrong = dict(no_column)
        assert written(intervals_of(Region("c", 1, 2, tags=wrong)), "bed")[0] == b"c\t1\t2\n"


@settings(max_examples=100, deadline=None)
@given(signal_tracks())
def test_signals_come_back_from_text(track: SignalTrack) -> None:
    for form in ("bedgraph", "wig", "json"):
        found = back(track, form)
        assert isinstance(found, SignalTrack)
        assert same(found, track)
        assert form != "json" or found.lengths == LENGTHS


@settings(max_examples=60, deadline=None)
@given(signal_tracks(bits=32))
def test_signals_come_back_from_bigwig(track: SignalTrack) -> None:
    data, report = written(track, "bigwig")
    assert same(read_track(data), track)
    assert report.n_entries == sum(len(track.steps(chrom)) for chrom in track.chroms)
    assert written(track, "bigwig")[0] == data


@settings(max_examples=100, deadline=None)
@given(table_tracks)
def test_tables_come_back(track: TableTrack) -> None:
    for form in ("tsv", "json"):
        assert same(back(track, form), track)


@settings(max_examples=100, deadline=None)
@given(scores)
def test_a_number_is_as_short_as_it_can_be(value: float) -> None:
    text = number_text(value)
    assert repr(float(text)) == repr(value)
    assert not text.endswith(".0")
    assert len(text) <= len(repr(value))


def test_infinities_and_missing_numbers_in_json() -> None:
    track = intervals_of(
        Region("c", 1, 2, score=math.nan), Region("c", 2, 3, score=math.inf),
        Region("c", 3, 4, score=-math.inf),
    )  # fmt: skip
    document = json.loads(written(track, "json")[0], parse_constant=pytest.fail)
    assert [one["score"] for one in document["regions"]] == [None, "inf", "-inf"]


# --- as others read it ------------------------------------------------------------------------


def a_signal(n: int = 5000) -> SignalTrack:
    rng = np.random.default_rng(7)
    steps = {}
    for chrom in ("chr10", "chr2", "chr1"):
        starts = np.cumsum(rng.integers(1, 30, n))
        ends = starts + np.minimum(rng.integers(1, 30, n), np.diff(starts, append=1 << 20))
        steps[chrom] = Steps.of(starts, ends, rng.normal(size=n).astype(np.float32))
    return SignalTrack.of("s", {"chr10": 1 << 20, "chr2": 1 << 20, "e": 5, "chr1": 1 << 20}, steps)


def test_pybigwig_reads_what_we_wrote(tmp_path: Path) -> None:
    track = a_signal()
    path = tmp_path / "x.bw"
    assert write_track(track, path).n_entries == sum(len(track.steps(c)) for c in track.chroms)
    file = pyBigWig.open(str(path))
    assert list(file.chroms().items()) == [("chr10", 1 << 20), ("chr2", 1 << 20), ("chr1", 1 << 20)]
    for chrom in ("chr10", "chr2", "chr1"):
        assert list(file.intervals(chrom)) == track.bw.intervals(chrom, 0, 1 << 20)
        mean = file.stats(chrom, 0, 60_000, exact=True)[0]
        assert math.isclose(mean, track.signal_at(chrom, 0, 60_000), rel_tol=1e-6)
    file.close()


def test_a_bigwig_has_the_same_bytes_in_any_thread() -> None:
    track = a_signal(20_000)
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(written(track, "bigwig")[0])) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert len(set(found)) == 1


def test_a_bigwig_needs_a_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pybigtools", None)
    with pytest.raises(SeqArchiveError, match=r"pip install 'seqarchive\[tracks\]'"):
        write_track(a_signal(5), tmp_path / "x.bw")
    assert not list(tmp_path.iterdir())


def test_a_bigwig_without_values_is_one(tmp_path: Path) -> None:
    path = tmp_path / "x.bw"
    assert write_track(SignalTrack.of("s", {"c": 5}, {}), path).n_entries == 0
    assert BigWigFile(path, lengths={"c": 5}).steps("c", 0, 5) == Steps.of([], [], [])
    file = pyBigWig.open(str(path))
    assert file.chroms() == {}
    file.close()


def test_pysam_reads_the_bed_that_we_wrote(tmp_path: Path) -> None:
    some = [
        Region(f"c{n % 3}", n * 10, n * 10 + 15, "+-."[n % 3], n / 8, f"n{n}") for n in range(3000)
    ]
    path = tmp_path / "x.bed.gz"
    write_track(intervals_of(*some), path)
    with gzip.open(path, "rt") as file:
        rows = list(file)
    assert len(rows) == 3000
    pysam.tabix_index(str(path), preset="bed")
    with pysam.TabixFile(str(path), parser=pysam.asBed()) as table:
        found = [
            Region(r.contig, r.start, r.end, r.strand, float(r.score), r.name)
            for r in table.fetch()
        ]
    assert sorted(map(shown, found)) == sorted(map(shown, some))


# --- what cannot be written -------------------------------------------------------------------


def test_values_of_a_bigwig_have_32_bits() -> None:
    track = SignalTrack.of("s", {"c": 50}, {"c": Steps.of([0, 5], [5, 9], [0.1, 0.1 + 1e-12])})
    found = back(track, "bigwig")
    assert isinstance(found, SignalTrack)
    assert found.steps("c") == Steps.of([0], [9], [float(np.float32(0.1))])
    endless = SignalTrack.of("s", {"c": 50}, {"c": Steps.of([0], [5], [math.inf])})
    assert same(back(endless, "bigwig"), endless)


LONG = 4_000_000_001


@pytest.mark.parametrize(
    ("track", "form", "lengths", "message"),
    [
        (SignalTrack.of("s", {"c": 9}, {"c": Steps.of([0], [5], [1e39])}), "bigwig", None,
         r"c: 1e\+39 is too large for the numbers of 32 bits"),
        (SignalTrack.of("s", {"c": LONG}, {"c": Steps.of([0], [5], [1])}), "bigwig", None,
         "c is longer than the 4,000,000,000 residues"),
        (intervals_of(Region("c", 1, 5), Region("c", 4, 9)), "bigwig", {"c": 9},
         "c:1-5 and c:4-9 overlap"),
        (intervals_of(Region("c", 1, 5), Region("c", 4, 9)), "bedgraph", None, "overlap"),
        (intervals_of(Region("c", 1, 5), Region("c", 4, 9)), "wig", None, "overlap"),
        (intervals_of(Region("c", 1, 5, score=math.nan)), "bedgraph", None, "c:1-5 has no score"),
        (intervals_of(Region("c", 5, 5)), "bedgraph", None, "c:5-5 has no residue"),
        (intervals_of(Region("c", 1, 5)), "bigwig", None, "needs the lengths"),
        (intervals_of(Region("c", 1, 5)), "bed", {"c": 4}, "c:1-5 is beyond the 4 residues of c"),
        (intervals_of(Region("c", 1, 5)), "bed", {"d": 4}, "c:1-5: there is no chromosome 'c'"),
        (SignalTrack.of("s", {"c": 9}, {"c": Steps.of([0], [5], [1])}), "wig", {"c": 4},
         "values beyond the 4 residues of c"),
        (intervals_of(Region("c", 1, 5, name="a\tb")), "bed", None, r"c:1-5: the name 'a\\tb'"),
        (intervals_of(Region("c d", 1, 5)), "bed", None, "'c d' cannot be written"),
        (intervals_of(Region("#c", 1, 5)), "bed", None, "'#c' cannot be written"),
        (intervals_of(Region("c", 1, 5, tags={"x": {1}})), "json", None, "c:1-5: .* JSON"),
        (TableTrack(TrackLabel("t"), {"a\nb": 1}), "tsv", None, "the key"),
        (TableTrack(TrackLabel("t"), {"": 1}), "tsv", None, "the key"),
        (TableTrack(TrackLabel("t"), {"a": 1}), "bed", None, "which json, tsv are"),
        (intervals_of(), "tsv", None, "which bed, wig, bedgraph, bigwig, json are"),
        (intervals_of(), "gff3", None, "gff3 is not for a track of type interval"),
        (intervals_of(), "vcf", None, "there is no format 'vcf'"),
        (intervals_of(), None, None, "which format"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_named(
    track: AnyTrack, form: str | None, lengths: dict[str, int] | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.dat"
    with pytest.raises(BadInput, match=message):
        write_track(track, path, form, lengths=lengths)
    assert not path.exists()


def test_a_signal_has_no_place_for_names() -> None:
    track = intervals_of(
        Region("c", 1, 5, "+", 2.0, "n"), Region("c", 5, 7, ".", 2.0, "", {"x": 1})
    )
    data, report = written(track, "bedgraph")
    assert data == b"c\t1\t7\t2\n"
    assert report == Written(1, {"names": 1, "strands": 1, "tags": 1})


def test_chromosomes_are_in_the_order_of_the_genome() -> None:
    track = intervals_of(Region("b", 1, 2), Region("a", 1, 2), Region("c", 1, 2))
    lengths = {"c": 9, "x": 9, "a": 9, "b": 9}
    for form in ("bed", "bedgraph"):
        data, _ = written(track, form, lengths=lengths)
        assert [line.split(b"\t")[0] for line in data.splitlines()] == [b"c", b"a", b"b"]
    found = read_track(written(track, "bigwig", lengths=lengths)[0])
    assert isinstance(found, SignalTrack)
    assert found.chroms == ["c", "a", "b"]


def test_the_name_of_a_file_says_how_it_is_written(tmp_path: Path) -> None:
    track = a_signal(50)
    for one in FORMATS.values():
        if "signal" in one.writes:
            for extension in one.extensions:
                path = tmp_path / f"x{extension}"
                write_track(track, path)
                assert same(load_track(path), track)
    assert (tmp_path / "x.wig").read_bytes().startswith(b"variableStep")
    with pytest.raises(SeqArchiveError, match="No such file"):
        write_track(track, tmp_path / "none" / "x.bdg")
    with pytest.raises(SeqArchiveError):
        write_track(track, tmp_path / "none" / "x.bw")


def test_one_that_nobody_waits_for_leaves_nothing(tmp_path: Path) -> None:
    track = a_signal(50)
    for name in ("x.bw", "x.bedgraph.gz"):
        watch = Watch()

        def told(done: int, _total: int, cancel: Callable[[], None] = watch.cancel) -> None:
            if done:
                cancel()

        watch._told = told
        with watched_by(watch), pytest.raises(Cancelled):
            write_track(track, tmp_path / name, lengths=track.lengths)
        assert not (tmp_path / name).exists()


def test_a_large_track_comes_back(tmp_path: Path) -> None:
    """More entries than are written at a time."""
    n = 70_000
    starts = np.arange(n) * 7
    columns = Intervals.of(starts, starts + 5, starts / 16, b"+", names=[f"n{k}" for k in range(n)])
    track = IntervalTrack.of("t", {"c": columns})
    for name in ("x.bed", "x.bed.gz"):
        write_track(track, tmp_path / name)
        found = load_track(tmp_path / name)
        assert isinstance(found, IntervalTrack)
        assert found.columns("c") == columns
    for name in ("x.bedgraph", "x.wig", "x.bw"):
        write_track(track, tmp_path / name, lengths={"c": n * 7})
        signal = load_track(tmp_path / name)
        assert isinstance(signal, SignalTrack)
        assert signal.steps("c") == Steps.of(starts, starts + 5, starts / 16)
