"""Tracks on an archive: contents decide, everything is a batch, and computed once is computed once
by all threads and processes, whoever dies."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyBigWig
import pysam
import pytest
from conftest import Cli
from helpers import wait_until, write_fasta
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule
from servers import Answer, FileServer, running, serving
from track_children import HOW, slow_track

import seqarchive
from seqarchive.errors import BadInput, Conflict, Corrupt, NotFound, ReadOnly
from seqarchive.instances import Instance
from seqarchive.reclaiming import reclaim
from seqarchive.server import create_app
from seqarchive.sources.base import persistently
from seqarchive.tracks import (
    ArchivedGenomeStore,
    ArchivedTrackStore,
    Genome,
    Intervals,
    IntervalTrack,
    Provenance,
    Region,
    SignalTrack,
    Steps,
    StoreFull,
    TableTrack,
    TrackLabel,
)
from seqarchive.tracks.operations import OPERATIONS, operation
from seqarchive.tracks.operations.registry import NUMBER, Parameter, track
from seqarchive.tracks.track import AnyTrack
from seqarchive.verifying import verify

_CHILDREN = Path(__file__).with_name("track_children.py")
_KILLER = Path(__file__).with_name("genome_children.py")

LENGTHS = {"1": 100_000, "2": 5_000, "MT": 1_000}


def _built(root: Path, directory: Path) -> None:
    files = {
        "g": {"1": "ACGTN" * 20_000, "2": "GGCCA" * 1000, "MT": "ACCGT" * 200},
        "other": {"1": "ACGTT" * 19_000},
    }
    for name, records in files.items():
        fasta = write_fasta(directory / f"{name}.fa", records, width=100)
        arguments = ["genome", "init", "-f", str(fasta), "-n", name]
        assert seqarchive.commands.run(["-q", "--root", str(root), *arguments]) == 0
    # Other names of the chromosomes, as the archive knows them.
    with seqarchive.Archive(root) as archive:
        for chrom, names in (("1", ["refseq:NC_1.1", "ucsc:chrI"]), ("MT", ["ucsc:mito"])):
            digest = next(
                member.digest
                for member in archive.collection("refgenie:g").members()
                if member.name == chrom
            )
            archive.name(f"ga4gh:SQ.{digest}", names)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with two genomes."""
    directory = tmp_path_factory.mktemp("tracks")
    _built(directory / "archive", directory)
    return directory / "archive"


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    """One of its own for each test; in the place of the empty one."""
    return Path(shutil.copytree(template, tmp_path / "archive", symlinks=True))


@pytest.fixture
def store(root: Path) -> Iterator[ArchivedTrackStore]:
    """Tracks over the first of them."""
    with seqarchive.connect(root) as archive:
        yield ArchivedTrackStore(archive, genome="g", wait=10)


def intervals(*regions: Region, name: str = "t") -> IntervalTrack:
    return IntervalTrack(TrackLabel(name), regions)


ONE = Region("1", 2, 5, "+", 1.5, "x", {"k": [1, 2]})


def _verified(root: Path, instance: str = "master") -> None:
    report = verify(Instance(root, instance), full=True)
    assert report.findings == []
    assert report.left_over == []


# --- what is put there ----------------------------------------------------------------------------


def test_intervals_are_a_bed_that_others_read(store: ArchivedTrackStore) -> None:
    track = intervals(ONE, Region("2", 0, 5), Region("1", 90_000, 90_001, "-", 7), ONE)
    id = store.put(track)
    stored = store.get(id)
    assert stored is not None
    assert (stored.track_type, stored.chroms, stored.provenance) == ("interval", LENGTHS, None)
    assert list(stored.track) == [ONE, ONE, *list(track)[2:]]  # type: ignore[call-overload]
    file = pysam.TabixFile(str(store.file(id)))
    assert file.contigs == ["1", "2"]
    rows = [tuple(row) for row in file.fetch("1", 0, 10, parser=pysam.asTuple())]
    assert rows == [("1", "2", "5", "x", "1.5", "+", '{"k":[1,2]}')] * 2
    assert [row.start for row in file.fetch("1", 89_999, 90_001, parser=pysam.asBed())] == [90_000]


def test_signals_are_a_bigwig_that_others_read(store: ArchivedTrackStore) -> None:
    steps = {"2": Steps.of([0, 10], [5, 12], [1.5, -2]), "1": Steps.of([7], [99_999], [0.1])}
    id = store.put(SignalTrack.of("s", LENGTHS, steps))
    stored = store.get(id)
    assert stored is not None
    assert isinstance(stored.track, SignalTrack)
    assert stored.track_type == "signal"
    with pyBigWig.open(str(store.file(id))) as file:
        assert file.chroms() == {"1": 100_000, "2": 5_000}
        assert file.intervals("2") == ((0, 5, 1.5), (10, 12, -2.0))
        for chrom in ("1", "2"):
            theirs = np.array(file.values(chrom, 0, 20))
            np.testing.assert_array_equal(stored.track.raw_signal(chrom, 0, 20), theirs)
    assert stored.track.signal_at("2", 0, 12) == pytest.approx((5 * 1.5 - 2 * 2) / 7)
    assert stored.track.steps("MT") == Steps.of([], [], [])


def test_tables_are_tsv(store: ArchivedTrackStore) -> None:
    id = store.put(TableTrack(TrackLabel("t"), {"b": 1, "a a": -2.5, "c": float("nan")}))
    lines = store.file(id).read_text().splitlines()
    assert lines[0].startswith("#seqarchive-track\ttable\t")
    assert lines[1:] == ["a a\t-2.5", "b\t1", "c\tNaN"]
    stored = store.get(id)
    assert stored is not None
    assert isinstance(stored.track, TableTrack)
    assert stored.track["a a"] == -2.5
    assert np.isnan(stored.track["c"])


def test_a_track_without_entries_is_one(store: ArchivedTrackStore) -> None:
    for one in (intervals(), SignalTrack.of("s", LENGTHS, {}), TableTrack(TrackLabel("t"), {})):
        stored = store.get(store.put(one))
        assert stored is not None
        if isinstance(stored.track, SignalTrack):
            assert stored.track.signal_at("1", 0, 9) == 0.0
            assert len(stored.track.steps("1")) == 0
        else:
            assert len(stored.track.scores()) == 0
    _verified(store.archive.instance.root)


def test_contents_decide_what_is_the_same(store: ArchivedTrackStore, root: Path) -> None:
    track = intervals(ONE, Region("2", 0, 5))
    same = intervals(Region("2", 0, 5), ONE, name="another name, another order")
    ids = [store.put(track), store.put(same)]
    assert ids[0] != ids[1]  # each client has its own
    assert store.file(ids[0]) == store.file(ids[1])
    calls: list[int] = []

    def compute() -> IntervalTrack:
        calls.append(1)
        return slow_track()

    results = {
        store.get_or_compute(Provenance("f", (one,), ()), compute).id
        for one in (*ids, f"TK.{store.file(ids[0]).name.partition('.')[0]}")
    }
    assert len(results) == 1
    assert calls == [1]
    assert len(list((root / "master" / "tracks").rglob("*.bed.gz"))) == 2
    with pytest.raises(NotFound):
        store.put(track, genome="no such genome")


def test_the_same_over_another_genome_is_another(store: ArchivedTrackStore) -> None:
    ids = [store.put(intervals(ONE), genome=genome) for genome in ("g", "other")]
    assert store.file(ids[0]) != store.file(ids[1])
    with pytest.raises(BadInput, match="over g and other"):
        store.compute("test.add", {"a": ids[0], "b": ids[1]})


_scores = st.floats(width=32).map(lambda score: score + 0.0)  # -0.0 is 0.0
_regions = st.lists(
    st.builds(
        lambda chrom, start, length, strand, score, name, tags: Region(
            chrom, start, min(LENGTHS[chrom], start + length), strand, score, name, tags
        ),
        st.sampled_from(sorted(LENGTHS)),
        st.integers(0, 999),
        st.integers(0, 400),
        st.sampled_from("+-."),
        _scores,
        st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=5).filter(
            lambda name: name != "."
        ),
        st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=2),
    ),
    max_size=8,
)


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(regions=_regions)
def test_what_is_put_there_comes_back(store: ArchivedTrackStore, regions: list[Region]) -> None:
    track = intervals(*regions)
    stored = store.get(store.put(track))
    assert stored is not None
    found = stored.track
    assert isinstance(found, IntervalTrack)
    def key(one: Region) -> str:
        tags = sorted(one.tags.items())
        return repr((one.start, one.end, one.strand, one.score, one.name, tags))

    for chrom, length in LENGTHS.items():
        ours = sorted(map(key, track.columns(chrom).regions(chrom)))
        assert sorted(map(key, found.columns(chrom).regions(chrom))) == ours
        for start, end in ((0, 50), (300, 301), (0, length)):
            near = sorted(map(key, track.regions(chrom, start, end)))
            assert sorted(map(key, found.regions(chrom, start, end))) == near


# --- the right genome -----------------------------------------------------------------------------


def test_chromosomes_are_known_by_all_their_names(store: ArchivedTrackStore) -> None:
    id = store.put(intervals(Region("NC_1.1", 0, 1), Region("chrI", 5, 6), Region("chr2", 1, 2)))
    stored = store.get(id)
    assert stored is not None
    assert [(one.chrom, one.start) for one in stored.track.regions("1", 0, 10)] == [
        ("1", 0),
        ("1", 5),
    ]
    steps = {"mito": Steps.of([0], [9], [2.0])}
    signal = store.get(store.put(SignalTrack.of("s", {"mito": 1000}, steps)))
    assert signal is not None
    assert signal.track.signal_at("MT", 0, 1000) == 2.0


@pytest.mark.parametrize(
    ("track", "words"),
    [
        (intervals(Region("chr7", 0, 1)), "chr7"),
        (intervals(Region("2", 0, 5001)), "5,000 residues"),
        (SignalTrack.of("s", {"1": 100_001}, {}), "100,000 in g"),
        (SignalTrack.of("s", {"chr7": 5}, {}), "chr7"),
        (
            SignalTrack.of(
                "s",
                {"1": 100_000, "chrI": 100_000},
                {"1": Steps.of([0], [9], [1]), "chrI": Steps.of([5], [10], [1])},
            ),
            "overlap",
        ),
    ],
)
def test_a_track_over_another_genome_is_refused(
    store: ArchivedTrackStore, track: AnyTrack, words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        store.put(track)
    with pytest.raises(BadInput, match="another genome"):
        store.put(TableTrack(TrackLabel("t"), {"a": 1}), chroms={"1": 99})
    assert store.list_all() == []


@pytest.mark.parametrize(
    ("file", "text", "where"),
    [
        ("beyond.bed", "1\t1\t2\nchrI\t5\t99999999\n", "line 2: 99,999,999 is beyond the 100,000"),
        ("wrong.bed", "# x\nchr7\t1\t2\n", "line 2: there is no chromosome 'chr7'"),
        ("wrong.bdg", "1\t1\t2\t5\nchr7\t1\t2\t5\n", "line 2: there is no chromosome 'chr7'"),
        ("beyond.wig", "fixedStep chrom=mito start=1000\n1\n2\n", "line 3: 1,001 is beyond"),
        ("wrong.gff3", "chr7\t.\tx\t1\t2\t.\t.\t.\tID=a\n", "line 1: there is no chromosome"),
        (
            "wrong.json",
            '{"regions": [\n{"chrom": "chr7", "start": 1, "end": 2}]}',
            "line 2: regions[0]: there is no chromosome 'chr7'",
        ),
    ],
)
def test_a_file_over_another_genome_is_refused_by_its_line(
    store: ArchivedTrackStore, cli: Cli, tmp_path: Path, file: str, text: str, where: str
) -> None:
    (tmp_path / file).write_text(text)
    result = cli("track", "put", tmp_path / file, "--genome", "g")
    assert (result.code, result.out, result.err.count("\n")) == (5, "", 1)
    assert f"{tmp_path / file}, {where}" in result.err
    assert store.list_all() == []


def test_chromosomes_of_files_have_other_names(
    store: ArchivedTrackStore, cli: Cli, tmp_path: Path
) -> None:
    path = tmp_path / "x.bw"
    with pyBigWig.open(str(path), "w") as file:
        file.addHeader([("chrI", 100_000), ("2", 5_000)])
        file.addEntries(["chrI"], [5], ends=[9], values=[2.0])
    (tmp_path / "x.bed").write_text("mito\t1\t5\nchrI\t3\t4\n1\t2\t3\n")
    for name, entries in (("x.bw", "1\t5\t9\t2\n"), ("x.bed", "1\t2\t3\n1\t3\t4\nMT\t1\t5\n")):
        id = cli("track", "put", tmp_path / name, "--genome", "g").out.strip()
        assert cli("track", "get", id).out == entries


def test_a_track_needs_a_genome(root: Path) -> None:
    with seqarchive.connect(root) as archive, pytest.raises(BadInput, match="genome"):
        ArchivedTrackStore(archive).put(intervals(ONE))


@pytest.mark.parametrize(
    "track",
    [
        intervals(Region("1", 0, 1, name="a\tb")),
        intervals(Region("1", 0, 1, tags={"a": object()})),
        TableTrack(TrackLabel("t"), {"a\nb": 1}),
        TableTrack(TrackLabel("t"), {"": 1}),
        SignalTrack.of("s", LENGTHS, {"1": Steps.of([0], [1], [1e39])}),
    ],
)
def test_what_no_file_can_say_is_refused(store: ArchivedTrackStore, track: AnyTrack) -> None:
    with pytest.raises(BadInput):
        store.put(track)
    _verified(store.archive.instance.root)


# --- a model --------------------------------------------------------------------------------------


class ArchivedAgainstDict(RuleBasedStateMachine):
    """Put, compute, delete and list, with the archive closed and opened between, against a dict."""

    ids: Bundle[str] = Bundle("ids")
    template: Path
    directory: Path
    number = 0

    def __init__(self) -> None:
        super().__init__()
        ArchivedAgainstDict.number += 1
        self.root = self.directory / str(self.number)
        shutil.copytree(self.template, self.root, symlinks=True)
        self.model: dict[str, int] = {}
        self.parents: dict[str, tuple[int, ...]] = {}
        self.computed: dict[tuple[str, tuple[int, ...]], str] = {}
        self._open()

    def _open(self) -> None:
        self.archive = seqarchive.connect(self.root)
        self.store = ArchivedTrackStore(self.archive, genome="g")

    def teardown(self) -> None:
        _verified(self.root)
        self.archive.close()
        shutil.rmtree(self.root)

    @staticmethod
    def track(value: int) -> TableTrack:
        return TableTrack(TrackLabel("t"), {"a": value})

    @rule(target=ids, value=st.integers(0, 3))
    def put(self, value: int) -> str:
        id = self.store.put(self.track(value))
        assert id not in self.model
        self.model[id], self.parents[id] = value, ()
        return id

    @rule(target=ids, operation=st.sampled_from("fg"), inputs=st.lists(ids, min_size=1, max_size=2))
    def compute(self, operation: str, inputs: list[str]) -> str:
        known = [one for one in inputs if one in self.model]
        contents = tuple(self.model[one] for one in known)
        how = Provenance(operation, tuple(known), ())
        value = 10 + sum(contents) % 5
        id = self.store.get_or_compute(how, lambda: self.track(value), genome="g").id
        if (operation, contents) in self.computed:
            assert id == self.computed[operation, contents]
        else:
            self.computed[operation, contents] = id
            self.model[id], self.parents[id] = value, contents
        return id

    @rule(id=ids)
    def get(self, id: str) -> None:
        stored = self.store.get(id)
        assert (stored is None) == (id not in self.model)
        if stored is not None:
            assert stored.track.scores()[0] == self.model[id]

    def _behind(self, id: str) -> set[str]:
        value = self.model[id]
        if list(self.model.values()).count(value) > 1:
            return set()  # the same is there under another id
        found: set[str] = set()
        waiting = [value]
        while waiting:
            one = waiting.pop()
            children = {child for child, inputs in self.parents.items() if one in inputs}
            waiting += [self.model[child] for child in children - found]
            found |= children
        return found - {id}

    @rule(id=ids, cascade=st.booleans())
    def delete(self, id: str, cascade: bool) -> None:
        if id not in self.model:
            assert self.store.delete(id) is False
            return
        behind = self._behind(id)
        if behind and not cascade:
            with pytest.raises(Conflict):
                self.store.delete(id)
            return
        assert self.store.delete(id, cascade=cascade)
        for one in {id, *behind}:
            del self.model[one], self.parents[one]
            self.computed = {key: at for key, at in self.computed.items() if at != one}

    @rule()
    def open_again(self) -> None:
        self.archive.close()
        self._open()

    @invariant()
    def all_are_listed(self) -> None:
        assert {one.id for one in self.store.list_all()} == set(self.model)


def test_a_store_on_an_archive_is_a_dict(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ArchivedAgainstDict, "template", template, raising=False)
    monkeypatch.setattr(ArchivedAgainstDict, "directory", tmp_path, raising=False)
    case = ArchivedAgainstDict.TestCase
    case.settings = settings(
        max_examples=12,
        stateful_step_count=15,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    case().runTest()
    assert ArchivedAgainstDict.number > 5


# --- computed once --------------------------------------------------------------------------------


def test_sixteen_threads_and_four_processes_compute_once(root: Path, tmp_path: Path) -> None:
    directory = tmp_path / "computed"
    directory.mkdir()
    moment = str(time.time() + 4)
    command = [sys.executable, str(_CHILDREN), "ask", str(root), moment, str(directory), "16"]
    children = [
        subprocess.Popen([*command], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    answers = [child.communicate(timeout=60)[0].split() for child in children]
    assert [child.returncode for child in children] == [0] * 4
    assert [len(some) for some in answers] == [16] * 4
    assert len({one for some in answers for one in some}) == 1
    assert len(list(directory.iterdir())) == 1
    assert not list((root / "master" / "computing").iterdir())
    _verified(root)


def test_killed_while_computing_nothing_is_there_and_the_next_computes(
    root: Path, tmp_path: Path, store: ArchivedTrackStore
) -> None:
    batches = len(list(store.archive.batches()))
    command = [sys.executable, str(_CHILDREN), "stall", str(root), str(tmp_path)]
    with subprocess.Popen(command) as child:
        wait_until((tmp_path / "computing").exists)
        assert store.lookup(HOW) is None
        child.send_signal(signal.SIGKILL)
    assert store.list_all() == []
    assert len(list(store.archive.batches())) == batches
    started = time.monotonic()
    assert store.get_or_compute(HOW, slow_track).track_type == "interval"
    assert time.monotonic() - started < 20
    _verified(root)


def test_killed_between_any_two_steps_it_is_there_or_not(template: Path, tmp_path: Path) -> None:
    """A track that is put, and one that is computed from it: each is there whole or not at all."""
    command = [sys.executable, str(_KILLER), "kill", "put", str(template), str(tmp_path), "3"]
    subprocess.run(command, check=True, capture_output=True, timeout=100)
    outcomes = set()
    for root in sorted(tmp_path.iterdir()):
        with seqarchive.connect(root) as archive:
            store = ArchivedTrackStore(archive, genome="g")
            found = store.list_all()
            assert all(len(one.track.scores()) in {1, 3000} for one in found)
            outcomes.add(len(found))
            # What was left behind goes with the next change, and is in nobody's way.
            id = store.put(intervals(ONE))
            assert store.get(id) is not None
        _verified(root)
    assert outcomes == {0, 1, 2}


def test_a_failure_is_not_kept(store: ArchivedTrackStore, root: Path) -> None:
    def fail() -> IntervalTrack:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        store.get_or_compute(HOW, fail)
    with pytest.raises(BadInput, match="another genome"):
        store.get_or_compute(HOW, lambda: intervals(Region("7", 0, 1)))
    assert store.lookup(HOW) is None
    assert not list((root / "master" / "computing").iterdir())
    assert store.get_or_compute(HOW, slow_track).provenance is not None


def test_a_load_meanwhile_is_waited_for(store: ArchivedTrackStore, root: Path) -> None:
    from seqarchive.writing import Writing  # noqa: PLC0415

    def busy() -> Generator[None]:
        with Writing(Instance(root)):
            yield

    writing = busy()
    next(writing)
    impatient = ArchivedTrackStore(store.archive, genome="g", wait=0.2)
    with pytest.raises(seqarchive.Locked):
        impatient.put(intervals(ONE))
    writing.close()
    assert impatient.put(intervals(ONE))


# --- operations, and room for what they give ------------------------------------------------------


@pytest.fixture(autouse=True)
def an_operation() -> Iterator[None]:
    """One that counts how often it is done."""

    @operation(
        "test.add",
        "a + b",
        inputs=[track("a", "one"), track("b", "other")],
        params=[Parameter("times", NUMBER, "how often", 1.0)],
    )
    def add(a: AnyTrack, b: AnyTrack, times: float) -> AnyTrack:
        CALLS.append(times)
        return a.with_scores(np.asarray(a.scores()) + times * np.asarray(b.scores()))

    CALLS.clear()
    yield
    del OPERATIONS["test.add"]


CALLS: list[float] = []


def _many(seed: int) -> IntervalTrack:
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, 90_000, 2000)
    return IntervalTrack.of("m", {"1": Intervals.of(starts, starts + 9, rng.random(2000))})


def test_an_operation_is_done_once_whatever_its_inputs_are_called(
    store: ArchivedTrackStore,
) -> None:
    a, again, b = store.put(_many(1)), store.put(_many(1)), store.put(_many(2))
    first = store.compute("test.add", {"a": a, "b": b}, {"times": "2"})
    assert store.compute("test.add", {"a": again, "b": b}, {"times": 2}).id == first.id
    assert CALLS == [2.0]
    assert store.compute("test.add", {"a": b, "b": a}, {"times": 2}).id != first.id
    assert first.provenance is not None
    assert first.provenance.version == "1"
    with pytest.raises(NotFound):
        store.compute("test.add", {"a": a, "b": "nothing"})
    with pytest.raises(BadInput, match="no parameter"):
        store.compute("test.add", {"a": a, "b": b}, {"x": 1})


def test_results_of_another_version_are_not_served(store: ArchivedTrackStore) -> None:
    a = store.put(_many(1))
    first = store.compute("test.add", {"a": a, "b": a})
    old = OPERATIONS["test.add"]
    OPERATIONS["test.add"] = type(old)(**{**vars(old), "version": "2"})
    assert store.compute("test.add", {"a": a, "b": a}).id != first.id
    assert len(CALLS) == 2


def test_computed_tracks_make_room_and_come_again(root: Path) -> None:
    with seqarchive.connect(root) as archive:
        store = ArchivedTrackStore(archive, genome="g", max_bytes=150_000)
        a, b = store.put(_many(1)), store.put(_many(2))
        ids = []
        for n in range(6):
            ids.append(store.compute("test.add", {"a": a, "b": b}, {"times": n + 1}).id)
            time.sleep(0.02)
        there = {client.uuid for client in store.clients() if store.row(client) is not None}
        assert {a, b} <= there
        gone = [id for id in ids if id not in there]
        assert gone == ids[: len(gone)]
        assert 0 < len(gone) < 6
        assert sum(path.stat().st_size for path in (root / "master/tracks").rglob("*.*")) < 400_000
        CALLS.clear()
        again = store.get(gone[0])
        assert again is not None
        assert again.id == gone[0]
        assert CALLS == [1.0]
        expected = np.asarray(_scores_of(store, a)) + np.asarray(_scores_of(store, b))
        np.testing.assert_array_equal(np.sort(again.track.scores()), np.sort(expected))
        _verified(root)
        with pytest.raises(StoreFull):
            ArchivedTrackStore(archive, genome="g", max_bytes=1000).compute(
                "test.add", {"a": a, "b": b}, {"times": 99}
            )
        _verified(root)


# --- history and releases -------------------------------------------------------------------------


def test_a_release_has_the_tracks_of_its_moment(
    store: ArchivedTrackStore, root: Path, cli: Cli, tmp_path: Path
) -> None:
    a = store.put(_many(1), name="a")
    b = store.compute("test.add", {"a": a, "b": a}, name="b").id
    assert cli("snapshot", "r1").code == 0
    status = json.loads(cli("--json", "status").out)
    assert status["tracks"] == 2
    assert status["track_bytes"] > 1000
    assert "2 tracks" in cli("status").out
    assert store.delete(a, cascade=True)
    later = store.put(intervals(ONE))
    _verified(root, "r1")
    with seqarchive.connect(root, "r1") as released:
        old = ArchivedTrackStore(released)
        assert [(one.id, one.provenance is not None) for one in old.list_all()] == [
            (a, False),
            (b, True),
        ]
        assert old.get(later) is None
        assert old.compute("test.add", {"a": a, "b": a}).id == b
        with pytest.raises(ReadOnly):
            old.put(intervals(ONE), genome="g")
        with pytest.raises(ReadOnly):
            old.compute("test.add", {"a": a, "b": a}, {"times": 5})
        with pytest.raises(ReadOnly):
            old.delete(a)
    inode = {path.name: path.stat().st_ino for path in (root / "r1/tracks").rglob("*.*")}
    assert inode
    result = cli("--root", tmp_path / "copy", "pull", str(root), "r1")
    assert result.code == 0, result
    _verified(tmp_path / "copy", "r1")
    with seqarchive.connect(tmp_path / "copy") as pulled:
        assert len(ArchivedTrackStore(pulled).list_all()) == 2


@pytest.fixture
def published(
    store: ArchivedTrackStore, root: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FileServer]:
    """A release with tracks of all types, on a server of files; nothing of it was read yet."""
    a = store.put(_many(1), name="a")
    b = store.put(SignalTrack.of("b", LENGTHS, {"2": Steps.of([0, 10], [5, 12], [1.5, -2])}))
    store.put(TableTrack(TrackLabel("c"), {"x": 1.0, "y": 2.5}), genome="g")
    store.compute("overlap.summarize", {"values": b, "features": a}, name="d")
    assert cli("snapshot", "r1").code == 0
    monkeypatch.setenv("SEQARCHIVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(persistently, "__defaults__", ((0.0, 0.0), time.sleep))
    with serving(root) as server:
        yield server


def test_a_published_release_has_its_tracks(
    published: FileServer, cli: Cli, tmp_path: Path
) -> None:
    for command in (
        ["list"], ["list", "--genome", "g"], ["get", "a"], ["get", "a", "1:0-5000"], ["get", "b"],
        ["get", "c"], ["get", "d"], ["lineage", "d"], ["lineage", "a", "--down"],
    ):  # fmt: skip
        there = cli("--root", f"{published.url}/r1", "track", *command)
        assert there.code == 0, there
        assert there == cli("--instance", "r1", "track", *command)
    assert cli("--root", published.url, "track", "export", "b", tmp_path / "b.bw").code == 0
    with pyBigWig.open(str(tmp_path / "b.bw")) as file:
        assert file.intervals("2") == ((0, 5, 1.5), (10, 12, -2.0))
    asked = [one for one in published.asked if "/tracks/" in one.path]
    assert len(asked) == 5, "each file once: what was read is kept"
    result = cli("--root", published.url, "track", "put", tmp_path / "b.bw", "--genome", "g")
    assert (result.code, result.err.count("\n")) == (8, 1)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_files_of_a_published_track_may_be_read_until_the_archive_is_closed(
    published: FileServer, tmp_path: Path
) -> None:
    with seqarchive.connect(f"{published.url}/r1") as archive:
        store = ArchivedTrackStore(archive)
        ids = {one.track.name: one.id for one in store.list_all()}
        assert list(pysam.TabixFile(str(store.file(ids["a"]))).contigs) == ["1"]
        opened = store.get(ids["a"])
        assert opened is not None
    assert list((tmp_path / "temporary").iterdir()) == []
    assert len(list(opened.track)) == len(_many(1))  # type: ignore[call-overload]


@pytest.mark.parametrize("damage", ["another", "short", "long", "gone"])
def test_another_file_than_that_of_the_release_is_no_track(
    published: FileServer, cli: Cli, tmp_path: Path, damage: str
) -> None:
    def spoil(answer: Answer) -> None:
        if not answer.path.endswith(".bed.gz"):
            return
        if damage == "gone":
            answer.status, answer.body = 404, b""
        elif damage == "another":
            answer.body = answer.body[:-40] + b"x" + answer.body[-39:]
        else:
            answer.body = answer.body[:-1] if damage == "short" else answer.body + b"x"
        answer.headers["Content-Length"] = str(len(answer.body))

    published.fault = spoil
    result = cli("--root", published.url, "track", "get", "a")
    assert (result.code, result.out, result.err.count("\n")) == (9, "", 1), result
    assert ".bed.gz" in result.err
    published.fault = None
    assert cli("--root", published.url, "track", "get", "a").code == 0
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_store_of_sequences_has_no_tracks(store: ArchivedTrackStore, cli: Cli) -> None:
    store.put(intervals(ONE))
    assert cli("export-rgstore").code == 0
    result = cli("--root", Path(store.archive.address).parent / "rgstore", "track", "list")
    assert (result.code, result.out, result.err.count("\n")) == (3, "", 1), result


def test_a_release_of_a_server_has_its_tracks(
    store: ArchivedTrackStore, root: Path, cli: Cli
) -> None:
    store.put(_many(1), name="a")
    assert cli("snapshot", "r1").code == 0
    with running(create_app(store.archive, root=root)) as url:
        for where in (["--root", url, "--instance", "r1"], ["--root", f"{url}/releases/r1"]):
            assert cli(*where, "track", "get", "a") == cli("track", "get", "a")
        result = cli("--root", url, "track", "list")
    assert (result.code, result.out, result.err.count("\n")) == (3, "", 1), result
    assert "--instance" in result.err


def test_deleted_is_revertible_and_reclaimed_is_gone(
    store: ArchivedTrackStore, root: Path, cli: Cli
) -> None:
    id = store.put(_many(1))
    file = store.file(id)
    before = list(store.archive.batches())[-1]["batch"]
    assert store.delete(id)
    assert store.get(id) is None
    assert file.exists()
    _verified(root)
    with seqarchive.connect(root, at=before) as then:
        assert ArchivedTrackStore(then).get(id) is not None
    assert cli("revert", str(before + 1)).code == 0
    assert store.get(id) is not None
    assert cli("revert", str(before)).code == 4  # changed again since
    assert store.delete(id)
    report = reclaim(Instance(root))
    assert report.tracks_dropped == [file.relative_to(root / "master/tracks").as_posix()]
    assert report.bytes_freed > 0
    assert not file.exists()
    _verified(root)
    with seqarchive.connect(root, at=before) as then, pytest.raises(Corrupt):
        ArchivedTrackStore(then).get(id)


@pytest.mark.parametrize("damage", ["missing", "shorter", "other bytes", "other index"])
def test_damage_is_found(store: ArchivedTrackStore, root: Path, damage: str) -> None:
    id = store.put(_many(1))
    file = store.file(id)
    if damage == "other index":
        file = file.with_name(file.name + ".tbi")
    data = bytearray(file.read_bytes())
    file.parent.chmod(0o755)
    file.unlink()
    if damage == "shorter":
        file.write_bytes(data[:-30])
    elif damage != "missing":
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    findings = verify(Instance(root), full=True).findings
    assert [finding.where for finding in findings] == [
        file.relative_to(root / "master").as_posix()
    ]
    with pytest.raises(Corrupt):
        _scores_of(store, id)
    assert cli_code(root, "snapshot", "r1") == 6
    again = store.put(_many(1))  # whoever has the file mends it by putting it there again
    _verified(root)
    assert list(_scores_of(store, again)) == list(_scores_of(store, id))


def _scores_of(store: ArchivedTrackStore, id: str) -> list[float]:
    stored = store.get(id)
    assert stored is not None
    return [float(score) for score in stored.track.scores()]


def cli_code(root: Path, *arguments: str) -> int:
    return seqarchive.commands.run(["-q", "--root", str(root), *arguments])


def test_rows_that_cannot_be_are_found(store: ArchivedTrackStore, root: Path) -> None:
    import sqlite3  # noqa: PLC0415

    id = store.put(_many(1))
    path = store.file(id).relative_to(root / "master/tracks").as_posix()
    for statement in (
        "UPDATE tracks SET path = '../../aliases.sqlite3'",
        f"UPDATE tracks SET path = '{path}', genome = 'x'",
        "UPDATE tracks SET genome = digest; UPDATE client_meanings SET target = x'00'",
        "UPDATE client_meanings SET target = (SELECT digest FROM sequences LIMIT 1)",
    ):
        connection = sqlite3.connect(root / "master/aliases.sqlite3")
        connection.executescript(statement)
        connection.commit()
        connection.close()
        assert any(one.kind == "row" for one in verify(Instance(root)).findings), statement


def test_what_is_read_may_cross_threads_forks_and_pickles(store: ArchivedTrackStore) -> None:
    signal_track = SignalTrack.of("s", LENGTHS, {"1": Steps.of([0], [9], [2.0])})
    stored = [store.get(store.put(one)) for one in (intervals(ONE), signal_track)]
    expected = []
    for one in stored:
        assert one is not None
        expected.append(one.track.signal_at("1", 0, 9))
        assert pickle.loads(pickle.dumps(one.track)).signal_at("1", 0, 9) == expected[-1]
    child = os.fork()
    if child == 0:
        same = [one.track.signal_at("1", 0, 9) for one in stored if one is not None] == expected
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0


# --- genomes --------------------------------------------------------------------------------------


def test_genomes_of_clients_are_collections(store: ArchivedTrackStore, root: Path) -> None:
    genomes = ArchivedGenomeStore(store)
    mine = Genome("mine", {}, {"a": "ACGTnnACGT", "b": "GGG"}, (), {"b": "circular"})
    id = genomes.put(mine, names=["mine"])
    stored = genomes.get(id)
    assert stored is not None
    assert stored.chrom_lengths == {"a": 10, "b": 3}
    assert stored.genome.residues("a") == b"ACGTNNACGT"
    assert stored.genome.masked("a").tolist() == [[4, 6]]
    assert stored.genome.is_circular("b")
    assert not stored.genome.is_circular("a")
    assert genomes.list_all()[0].id == id
    assert {one.genome.name for one in genomes.list_all()} == {"g", "other", "mine"}
    track_id = store.put(intervals(Region("a", 0, 1)), genome=id)
    with pytest.raises(Conflict):
        genomes.delete(id)
    assert genomes.delete(id, cascade=True)
    assert store.get(track_id) is None
    for chrom in ("a b", "", "a\nb", "a\tb"):
        with pytest.raises(BadInput, match="name of a chromosome"):
            genomes.put(Genome("bad", {}, {chrom: "ACGT"}))
    by_name = genomes.get("mine")  # the collection and its name are there
    assert by_name is not None
    assert by_name.chrom_lengths == {"a": 10, "b": 3}
    how = Provenance("make", ("g",), ())
    computed = genomes.get_or_compute(how, lambda: mine)
    assert genomes.get_or_compute(how, pytest.fail).id == computed.id
    _verified(root)


# --- lineage --------------------------------------------------------------------------------------


def test_lineage_goes_back_to_genomes(store: ArchivedTrackStore) -> None:
    a = store.put(_many(1), name="a")
    b = store.compute("test.add", {"a": a, "b": a}, name="b").id
    c = store.compute("test.add", {"a": a, "b": b}, name="c").id
    assert set(store.lineage(c).ids) == {a, b}
    lines = store.lineage(c).text().splitlines()
    assert [line.split()[2] for line in lines] == ["c", "a", "b", "a"]
    assert set(store.descendants(a).ids) == {b, c}
    with pytest.raises(Conflict):
        store.delete(a)
    assert store.delete(a, cascade=True)
    assert store.list_all() == []
    from_genome = store.get_or_compute(Provenance("f", ("g",), ()), slow_track)
    assert store.descendants("g").ids == [from_genome.id]
    nodes = store.lineage(from_genome.id).nodes
    assert [(node.kind, node.label) for node in nodes] == [("track", "slow"), ("genome", "g")]
    assert json.loads(json.dumps(store.lineage(from_genome.id).as_dict()))["arrows"]


# --- commands -------------------------------------------------------------------------------------


def test_descendants_are_shown_as_lineage_is(store: ArchivedTrackStore, cli: Cli) -> None:
    a = store.put(_many(1), name="a")
    b = store.compute("test.add", {"a": a, "b": a}, name="b").id
    store.compute("test.add", {"a": a, "b": b}, name="c")
    assert cli("track", "descendants", "a").out == store.descendants(a).text()
    assert cli("track", "descendants", "b").out.splitlines()[1].startswith("  ")
    assert cli("track", "descendants", "a", "--format", "svg").out == store.descendants(a).svg()
    assert cli("track", "descendants", "a", "--format", "dot").out == store.descendants(a).dot()
    assert json.loads(cli("--json", "track", "descendants", a).out)["id"] == a
    assert cli("track", "lineage", "a", "--down").out == store.descendants(a).text()
    store.compute("genome.gaps", {"genome": "g"}, name="gaps")
    assert "track gaps" in cli("track", "descendants", "g").out
    store.put(_many(2), name="g")
    assert "track g\n" in cli("track", "descendants", "g").out, "a track before a genome"
    assert cli("track", "descendants", "nosuch").code == 3


def test_a_name_of_two_tracks_is_ambiguous(store: ArchivedTrackStore, cli: Cli) -> None:
    ids = [store.put(_many(n), name="twice") for n in (1, 2)]
    for command in ("get", "lineage", "descendants", "delete"):
        result = cli("track", command, "twice")
        assert (result.code, result.out, result.err.count("\n")) == (3, "", 1)
        assert all(id in result.err for id in ids)


def test_a_track_is_exported_to_standard_output(
    store: ArchivedTrackStore, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store.put(_many(1), name="a")
    for options in ([], ["--format", "json"]):
        assert cli("track", "export", "a", "-", *options) == cli("track", "get", "a", *options)
    assert not (tmp_path / "-").exists()


@pytest.mark.parametrize("name", ["a.xyz", "a.gff3", "a.bed.bz2", "a.xyz.gz"])
def test_an_export_under_an_unknown_suffix_is_refused(
    store: ArchivedTrackStore, cli: Cli, tmp_path: Path, name: str
) -> None:
    store.put(_many(1), name="a")
    result = cli("track", "export", "a", tmp_path / name)
    assert (result.code, result.out) == (2, "")
    assert ".bed, .bedgraph, " in result.err
    assert not (tmp_path / name).exists()
    assert cli("track", "export", "a", tmp_path / name, "--format", "bed").code == 0
    for good in ("a", "a.bed", "a.BED.gz", "a.json"):
        assert cli("track", "export", "a", tmp_path / good).code == 0


def test_an_input_is_said_once(store: ArchivedTrackStore, cli: Cli) -> None:
    compute = ["track", "compute", "genome.gaps", "--genome", "g"]
    assert cli(*compute, "--input", "genome=other").code == 2
    assert cli(*compute, "--input", "genome=g").code == 0


EVIL = "a\tb\nc\033[31m\x9b1m"


def test_names_with_control_characters_are_refused(
    store: ArchivedTrackStore, cli: Cli, tmp_path: Path
) -> None:
    bed = tmp_path / "x.bed"
    bed.write_text("1\t2\t5\n")
    for arguments in (
        ["put", bed, "--genome", "g", "--name", EVIL],
        ["compute", "genome.gaps", "--genome", "g", "--name", EVIL],
    ):
        result = cli("track", *arguments)
        assert (result.code, result.out, result.err.count("\n")) == (5, "", 1)
        assert result.err.rstrip("\n").isprintable()
    for text in (EVIL, "a\0b", "a\u2028b", "\ud800"):
        with pytest.raises(BadInput, match="control characters"):
            store.put(intervals(ONE), name=text)
        with pytest.raises(BadInput, match="control characters"):
            store.put(intervals(ONE, name=text))
        with pytest.raises(BadInput, match="control characters"):
            ArchivedGenomeStore(store).put(store.reference("g"), name=text)
    assert store.list_all() == []


def test_names_of_another_day_are_shown_without_effect(
    store: ArchivedTrackStore, cli: Cli
) -> None:
    """What an earlier version took is there still."""
    a = store.put(_many(1), name="a")
    with store.changing("test") as (writing, batch):
        batch.connection.execute("UPDATE client_ids SET name = ?", (EVIL,))
        writing.commit(batch, {})
    b = store.compute("test.add", {"a": a, "b": a}).id
    for command in (
        ["list"], ["lineage", b], ["lineage", b, "--format", "svg"], ["descendants", a],
        ["lineage", b, "--format", "dot"],
    ):  # fmt: skip
        out = cli("track", *command).out
        assert "\\x1b[31m" in out
        assert all(c.isprintable() or c in "\t\n" for c in out)
    assert len(cli("track", "list").out.splitlines()) == 2
    ElementTree.fromstring(store.lineage(b).svg())
