"""Equal tracks have equal canonical files and names, and these files are read as they are."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
import os
import pickle
import random
import threading
from pathlib import Path

import numpy as np
import pyBigWig
import pysam
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from track_makers import (
    LENGTHS,
    interval_tracks,
    regions,
    same,
    shown,
    signal_tracks,
    table_tracks,
)

from seqarchive.bgzf import EOF_BLOCK, compress_blocks
from seqarchive.errors import BadInput, Corrupt, NotFound, SeqArchiveError
from seqarchive.tracks.canonical import canonical
from seqarchive.tracks.columns import Intervals, Steps
from seqarchive.tracks.formats.reading import read_track
from seqarchive.tracks.regions import Region, TrackLabel
from seqarchive.tracks.stored import (
    BedFile,
    StoredIntervals,
    open_interval_file,
    open_signal_file,
    open_table_file,
)
from seqarchive.tracks.track import AnyTrack, IntervalTrack, SignalTrack, TableTrack

in_one_directory = settings(
    max_examples=30, deadline=None, suppress_health_check=list(HealthCheck)
)


def named(text: bytes) -> str:
    """The name of a canonical form, by hashlib alone."""
    raw = hashlib.sha512(text).digest()[:24]
    return "TK." + base64.urlsafe_b64encode(raw).decode("ascii")


def intervals_of(*some: Region) -> IntervalTrack:
    return IntervalTrack(TrackLabel("t"), some)


def plain_text(track: IntervalTrack, genome: str = "G") -> bytes:
    """The canonical form of intervals, line by line."""

    def number(value: float) -> str:
        if math.isnan(value):
            return "NaN"
        return repr(int(value)) if value.is_integer() and abs(value) < 1e16 else repr(value)

    lines = []
    for one in track:
        tags = json.dumps(one.tags, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        line = (one.chrom, str(one.start), str(one.end), one.name or ".", number(one.score),
                one.strand, tags if one.tags else ".")  # fmt: skip
        place = (list(LENGTHS).index(one.chrom), one.start, one.end)
        lines.append((place, "\t".join(line) + "\n"))
    head = f"#seqarchive-track\tinterval\t{genome}\n"
    return (head + "".join(line for _, line in sorted(lines))).encode()


# --- names ------------------------------------------------------------------------------------


def test_a_form_as_it_is_described() -> None:
    track = intervals_of(
        Region("chr10", 5, 9, "-", 2.0, "b", {"z": 1, "a": ["é"]}),
        Region("chr10", 5, 9, ".", math.nan),
        Region("chr2", 0, 4, "+", 0.5, "x"),
        Region("chr10", 5, 9, ".", math.nan),
    )
    text = (
        "#seqarchive-track\tinterval\tSQ.x\n"
        "chr2\t0\t4\tx\t0.5\t+\t.\n"
        "chr10\t5\t9\t.\tNaN\t.\t.\n"
        "chr10\t5\t9\t.\tNaN\t.\t.\n"
        'chr10\t5\t9\tb\t2\t-\t{"a":["é"],"z":1}\n'
    ).encode()
    form = canonical(track, LENGTHS, "SQ.x")
    assert (form.kind, form.n_entries, form.digest) == ("interval", 4, named(text))


def test_the_form_of_a_signal_as_it_is_described() -> None:
    steps = {"chr10": Steps.of([0, 9], [5, 12], [0.1, -2.5]), "chr2": Steps.of([3], [4], [7])}
    data = b"#seqarchive-track\tsignal\tG\n"
    for chrom in ("chr2", "chr10"):
        some = steps[chrom]
        data += f"{chrom}\n{len(some)}\n".encode()
        data += b"".join(int(start).to_bytes(8, "little") for start in some.starts)
        data += b"".join(int(end).to_bytes(8, "little") for end in some.ends)
        data += np.array(some.values, "<f4").tobytes()
    form = canonical(SignalTrack.of("s", LENGTHS, steps), LENGTHS, "G")
    assert (form.kind, form.n_entries, form.digest) == ("signal", 3, named(data))


def test_the_form_of_a_table_as_it_is_described(tmp_path: Path) -> None:
    track = TableTrack(TrackLabel("t"), {"b": 2.0, "#a": math.nan, "Z z": -0.25, "é": 0.0})
    text = "#seqarchive-track\ttable\tG\n#a\tNaN\nZ z\t-0.25\nb\t2\né\t0\n".encode()
    form = canonical(track, LENGTHS, "G")
    assert (form.kind, form.n_entries, form.digest) == ("table", 4, named(text))
    (path,) = form.write(tmp_path, "x")
    assert path == tmp_path / "x.tsv"
    assert path.read_bytes() == text


@settings(max_examples=100, deadline=None)
@given(interval_tracks, st.randoms(use_true_random=False))
def test_the_order_of_entries_is_no_part_of_a_name(
    track: IntervalTrack, rng: random.Random
) -> None:
    form = canonical(track, LENGTHS, "G")
    assert form.digest == named(plain_text(track))
    some = list(track)
    rng.shuffle(some)
    assert canonical(intervals_of(*some), LENGTHS, "G").digest == form.digest
    assert canonical(track, LENGTHS, "H").digest != form.digest


@settings(max_examples=100, deadline=None)
@given(st.lists(regions(), min_size=2, max_size=2))
def test_other_entries_have_other_names(two: list[Region]) -> None:
    one, other = (canonical(intervals_of(region), LENGTHS, "G").digest for region in two)
    assert (one == other) == (shown(two[0]) == shown(two[1]))


def test_entries_that_are_there_twice_are_there_twice() -> None:
    once, twice = (canonical(intervals_of(*[Region("chr2", 1, 2)] * n), LENGTHS, "G")
                   for n in (1, 2))  # fmt: skip
    assert once.digest != twice.digest
    assert twice.n_entries == 2


def test_what_is_no_difference_is_none() -> None:
    plain = canonical(intervals_of(Region("chr2", 1, 2, score=0.0)), LENGTHS, "G")
    minus = canonical(intervals_of(Region("chr2", 1, 2, score=-0.0, name=".")), LENGTHS, "G")
    assert plain.digest == minus.digest
    numpys = canonical(intervals_of(Region("chr2", 1, 2, tags={"n": np.int64(5)})), LENGTHS, "G")
    assert numpys.digest == named(plain_text(intervals_of(Region("chr2", 1, 2, tags={"n": 5}))))
    values = SignalTrack.of("s", LENGTHS, {"chr2": Steps.of([0, 5], [5, 9], [0.1, 0.1 + 1e-12])})
    tenth = float(np.float32(0.1))
    merged = SignalTrack.of("s", {"chr2": 99}, {"chr2": Steps.of([0], [9], [tenth])})
    assert canonical(values, LENGTHS, "G").digest == canonical(merged, LENGTHS, "G").digest
    zeros = SignalTrack.of("s", LENGTHS, {"chr2": Steps.of([0, 5], [5, 9], [-0.0, 1])})
    others = SignalTrack.of("s", LENGTHS, {"chr2": Steps.of([0, 5], [5, 9], [0.0, 1])})
    assert canonical(zeros, LENGTHS, "G").digest == canonical(others, LENGTHS, "G").digest


def test_columns_that_nobody_has_sorted_are() -> None:
    columns = Intervals(
        np.array([9, 1]), np.array([12, 5]), np.array([1.0, 2.0]), np.array([b".", b"+"])
    )
    track = IntervalTrack.of("t", {"chr2": columns})
    assert canonical(track, LENGTHS, "G").digest == named(plain_text(intervals_of(*track)))


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (Region("chrX", 1, 2), "chrX:1-2: there is no chromosome 'chrX'"),
        (Region("browser", 40, 51), "browser:40-51 is beyond the 50 residues of browser"),
        (Region("chr2", 1, 2, name="a\tb"), r"chr2:1-2: the name 'a\\tb' has control"),
        (Region("chr2", 1, 2, name="a\nb"), "chr2:1-2"),
        (Region("chr2", 1, 2, name="\ud800"), "chr2:1-2"),
        (Region("chr2", 1, 2, tags={"a": {1}}), "chr2:1-2: its tags cannot be JSON"),
        (Region("chr2", 1, 2, tags={"a": "\ud800"}), "chr2:1-2: its tags cannot be JSON"),
        (Region("chr2", 1, 2, tags={"a": {1: 2, "b": 3}}), "chr2:1-2: its tags cannot be JSON"),
    ],
)
def test_what_has_no_canonical_form_is_named(region: Region, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        canonical(intervals_of(Region("chr2", 0, 1), region), LENGTHS, "G")


def test_signals_and_tables_without_a_canonical_form() -> None:
    for track, message in (
        (SignalTrack.of("s", {"x": 9}, {"x": Steps.of([1], [2], [1])}), "x:1-2: there is no"),
        (SignalTrack.of("s", {"browser": 90}, {"browser": Steps.of([60], [61], [1])}), "beyond"),
        (SignalTrack.of("s", LENGTHS, {"chr2": Steps.of([1], [2], [1e300])}), "32 bits"),
        (TableTrack(TrackLabel("t"), {"a\tb": 1}), "the key"),
    ):
        with pytest.raises(BadInput, match=message):
            canonical(track, LENGTHS, "G")
    with pytest.raises(BadInput, match="cannot be the name of a genome"):
        canonical(intervals_of(), LENGTHS, "a\nb")


# --- files ------------------------------------------------------------------------------------


@in_one_directory
@given(track=interval_tracks)
def test_files_of_intervals(track: IntervalTrack, tmp_path: Path) -> None:
    form = canonical(track, LENGTHS, "G")
    paths = form.write(tmp_path, "x")
    assert paths == [tmp_path / "x.bed.gz", tmp_path / "x.bed.gz.tbi"]
    text = gzip.decompress(paths[0].read_bytes())
    assert text == plain_text(track)
    assert named(text) == form.digest
    before = [path.read_bytes() for path in paths]
    stored = open_interval_file(paths[0], "t")
    assert same(stored, track)
    assert len(stored) == len(track)
    again = canonical(stored, LENGTHS, "G")
    assert again.digest == form.digest
    again.write(tmp_path, "y")
    assert [(tmp_path / path.name.replace("x", "y")).read_bytes() for path in paths] == before
    for chrom in LENGTHS:
        middle = LENGTHS[chrom] // 2
        for start, end in ((0, middle), (middle, LENGTHS[chrom]), (middle, middle + 1), (3, 3)):
            fresh = open_interval_file(paths[0], "t")
            assert sorted(map(shown, fresh.regions(chrom, start, end))) == sorted(
                map(shown, track.regions(chrom, start, end))
            )


@in_one_directory
@given(track=signal_tracks())
def test_files_of_signals(track: SignalTrack, tmp_path: Path) -> None:
    form = canonical(track, LENGTHS, "G")
    (path,) = form.write(tmp_path, "x")
    stored = open_signal_file(path, "t", LENGTHS)
    assert stored.lengths == LENGTHS
    assert form.n_entries == sum(len(stored.steps(chrom)) for chrom in LENGTHS)
    assert canonical(stored, LENGTHS, "G").digest == form.digest
    for chrom in LENGTHS:
        expected = track.steps(chrom).values.astype(np.float32)
        assert set(stored.steps(chrom).values) == set(expected.astype(np.float64))


@in_one_directory
@given(track=table_tracks)
def test_files_of_tables(track: TableTrack, tmp_path: Path) -> None:
    form = canonical(track, LENGTHS, "G")
    (path,) = form.write(tmp_path, "x")
    assert named(path.read_bytes()) == form.digest
    stored = open_table_file(path, "t")
    assert stored.keys() == sorted(track.keys())
    assert canonical(stored, LENGTHS, "G").digest == form.digest
    assert same(read_track(path.read_bytes(), format="tsv"), stored)


def a_track(n: int = 6000, longest: int = 400, chroms: int = 3) -> IntervalTrack:
    rng = random.Random(9)
    some = []
    for k in range(n):
        start = rng.randrange(0, 900_000)
        length = 400_000 if k % 500 == 0 else rng.randrange(longest)
        some.append(
            Region(f"c{k % chroms}", start, min(start + length, 1_000_000), "+-."[k % 3],
                   k / 8, f"n{k}", {"k": k} if k % 7 == 0 else {})
        )  # fmt: skip
    return intervals_of(*some)


BIG = {"c0": 1_000_000, "c1": 1_000_000, "c2": 1_000_000}


def test_pysam_finds_in_the_files_what_we_find(tmp_path: Path) -> None:
    track = a_track()
    path, index = canonical(track, BIG, "G").write(tmp_path, "x")
    stored = open_interval_file(path, "x")
    rng = random.Random(2)
    with pysam.TabixFile(str(path), index=str(index), parser=pysam.asTuple()) as table:
        assert table.contigs == stored.chroms == ["c0", "c1", "c2"]
        assert table.header == ["#seqarchive-track\tinterval\tG"]
        for _ in range(60):
            chrom = rng.choice(table.contigs)
            start = rng.randrange(1_000_000)
            end = min(1_000_000, start + rng.choice([1, 50, 5000, 300_000]))
            expected = sorted(
                (row[3], int(row[1]), int(row[2]))
                for row in table.fetch(chrom, start, end)
                if int(row[1]) < int(row[2])
            )
            found = sorted((r.name, r.start, r.end) for r in stored.regions(chrom, start, end))
            assert found == expected
            assert stored.signal_at(chrom, start, end) == track.signal_at(chrom, start, end)
    assert stored.n_bytes < 5000  # nothing of it was kept


def test_a_chromosome_that_is_longer_than_a_tbi_can_say(tmp_path: Path) -> None:
    lengths = {"c": 1 << 31, "d": 5}
    far = (1 << 31) - 9
    track = intervals_of(
        *(Region("c", n * 10**8, n * 10**8 + 10 * n + 1, name=f"n{n}") for n in range(21)),
        Region("c", 5, far), Region("c", far, far + 4),
    )  # fmt: skip
    path, index = canonical(track, lengths, "G").write(tmp_path, "x")
    assert index.name == "x.bed.gz.csi"
    stored = open_interval_file(path, "x")
    assert same(stored, track)
    with pysam.TabixFile(str(path), index=str(index), parser=pysam.asTuple()) as table:
        for start, end in ((0, 10), (700_000_000, 700_000_001), (far - 1, far), (far, far + 1)):
            expected = sorted(int(row[1]) for row in table.fetch("c", start, end))
            fresh = open_interval_file(path, "x")
            assert sorted(one.start for one in fresh.regions("c", start, end)) == expected


def test_pybigwig_reads_the_file_of_a_signal(tmp_path: Path) -> None:
    steps = {"c1": Steps.of([5, 9, 30], [8, 30, 40], [1.5, -2, 7]), "c0": Steps.of([0], [9], [1])}
    (path,) = canonical(SignalTrack.of("s", BIG, steps), BIG, "G").write(tmp_path, "x")
    file = pyBigWig.open(str(path))
    assert list(file.chroms()) == ["c0", "c1"]
    assert file.intervals("c1") == ((5, 8, 1.5), (9, 30, -2.0), (30, 40, 7.0))
    file.close()


def test_large_tracks_are_written_as_small_ones_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More text than is kept from hashing it to writing it."""
    monkeypatch.setattr("seqarchive.tracks.canonical._KEPT", 1000)
    form = canonical(a_track(3000), BIG, "G")
    path, _ = form.write(tmp_path, "x")
    assert named(gzip.decompress(path.read_bytes())) == form.digest


def test_what_was_read_last_is_kept_and_little_more(tmp_path: Path) -> None:
    track = a_track()
    path, _ = canonical(track, BIG, "G").write(tmp_path, "x")
    stored = open_interval_file(path, "x")
    sizes = []
    for chrom in ("c0", "c1", "c2", "c0"):
        assert stored.columns(chrom) is stored.columns(chrom)
        sizes.append(stored.n_bytes)
    assert len(stored.columns("cX")) == 0
    assert sizes[1] > 1.5 * sizes[0]
    assert sizes[2] < 1.2 * sizes[1]
    assert shown(next(stored.regions("c0", 0, 1_000_000))) == shown(
        next(track.regions("c0", 0, 1_000_000))
    )


def test_a_stored_track_is_a_track_as_others_are(tmp_path: Path) -> None:
    track = a_track(300)
    path, _ = canonical(track, BIG, "G").write(tmp_path, "x")
    stored = open_interval_file(path, "t")
    assert isinstance(stored, IntervalTrack)
    assert same(stored.map_scores(lambda x: x * 2), track.map_scores(lambda x: x * 2))
    assert same(stored.filter_entries(lambda r: r.score > 5), track.filter_entries(
        lambda r: r.score > 5))  # fmt: skip
    assert sorted(stored.scores()) == sorted(track.scores())
    assert repr(stored) == "<IntervalTrack 't': 300 intervals>"
    copy = pickle.loads(pickle.dumps(stored))
    assert isinstance(copy, StoredIntervals)
    assert same(copy, track)


def test_a_stored_track_is_read_by_threads_and_after_a_fork(tmp_path: Path) -> None:
    track = a_track()
    path, _ = canonical(track, BIG, "G").write(tmp_path, "x")
    stored = open_interval_file(path, "x")
    wrong: list[int] = []

    def read(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(30):
            chrom, start = rng.choice(stored.chroms), rng.randrange(900_000)
            if stored.signal_at(chrom, start, start + 999) != track.signal_at(
                chrom, start, start + 999
            ):
                wrong.append(seed)

    threads = [threading.Thread(target=read, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    child = os.fork()
    if not child:
        read(11)
        os._exit(len(wrong))
    read(12)
    assert os.waitpid(child, 0)[1] == 0
    assert not wrong


def test_a_closed_file_and_one_that_is_not_there(tmp_path: Path) -> None:
    path, index = canonical(a_track(50), BIG, "G").write(tmp_path, "x")
    file = BedFile(path)
    assert (file.genome, file.n_entries, file.chroms) == ("G", 50, ["c0", "c1", "c2"])
    file.close()
    with pytest.raises(SeqArchiveError, match="is closed"):
        file.columns("c0")
    index.unlink()
    with pytest.raises(NotFound, match="no index"):
        open_interval_file(path, "x")
    with pytest.raises(NotFound):
        open_interval_file(tmp_path / "none", "n")
    with pytest.raises(NotFound):
        open_table_file(tmp_path / "none", "n")
    with pytest.raises(NotFound):
        open_signal_file(tmp_path / "none", "n", BIG)


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    for track in (a_track(5), TableTrack(TrackLabel("t"), {"a": 1}), SignalTrack.of("s", BIG, {})):
        with pytest.raises(SeqArchiveError):
            canonical(track, BIG, "G").write(missing, "x")
    assert not missing.exists()


# --- damage -----------------------------------------------------------------------------------


def everything(path: Path, kind: str) -> AnyTrack:
    """A stored track that has been read as a whole."""
    if kind == "table":
        return open_table_file(path, "x")
    if kind == "signal":
        signal = open_signal_file(path, "x", BIG)
        for chrom in signal.chroms:
            signal.steps(chrom)
        return signal
    stored = open_interval_file(path, "x")
    for chrom in stored.chroms:
        list(stored.regions(chrom, 5, 900_000))
    return IntervalTrack(TrackLabel("x"), list(stored))


def test_a_damaged_file_is_corrupt_and_never_half_a_track(tmp_path: Path) -> None:
    """Bits that flip and ends that are missing, in each file: the error, or all of the track. A
    bigWig has checksums in its sections only: elsewhere it may say something else, but whatever
    happens is an error of ours."""
    steps = {c: Steps.of(range(0, 9000, 3), range(2, 9002, 3), range(3000)) for c in ("c0", "c2")}
    rng = random.Random(6)
    for track in (
        a_track(2000), SignalTrack.of("s", BIG, steps), TableTrack(TrackLabel("t"), {"a": 1.5}),
    ):  # fmt: skip
        form = canonical(track, BIG, "G")
        paths = form.write(tmp_path, form.kind)
        for path in paths:
            data = path.read_bytes()
            for n in range(60 if form.kind != "table" else 5):
                damaged = bytearray(data)
                if n % 3:
                    damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
                else:
                    del damaged[rng.randrange(len(data)) :]
                path.write_bytes(damaged)
                found = _read_or_corrupt(paths[0], form.kind)
                if found is not None and form.kind == "interval":
                    assert canonical(found, BIG, "G").digest == form.digest
            path.write_bytes(data)


def _read_or_corrupt(path: Path, kind: str) -> AnyTrack | None:
    try:
        return everything(path, kind)
    except Corrupt:
        return None


def test_an_index_of_another_file_is_noticed(tmp_path: Path) -> None:
    path, index = canonical(a_track(2000), BIG, "G").write(tmp_path, "x")
    _, other = canonical(a_track(1500), BIG, "G").write(tmp_path, "y")
    index.write_bytes(other.read_bytes())
    with pytest.raises(Corrupt):
        everything(path, "interval")


def bgzf(text: bytes) -> bytes:
    return b"".join(compress_blocks(text)) + EOF_BLOCK


def test_a_file_that_is_no_canonical_one_is_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "x.bed.gz"
    path.write_bytes(bgzf(b"#other\nc\t1\t2\n"))
    pysam.tabix_index(str(path), preset="bed", force=True)
    with pytest.raises(Corrupt, match="does not begin as a track of type interval"):
        open_interval_file(path, "x")
    path.write_bytes(bgzf(b"#seqarchive-track\tinterval\tG\nc\t1\t2\tn\tfive\t.\t.\n"))
    pysam.tabix_index(str(path), preset="bed", force=True)
    with pytest.raises(Corrupt, match="a line is no interval"):
        everything(path, "interval")
    table = tmp_path / "x.tsv"
    for text in ("", "a\t1\n", "#seqarchive-track\ttable\tG\na\n"):
        table.write_text(text)
        with pytest.raises(Corrupt):
            open_table_file(table, "x")
