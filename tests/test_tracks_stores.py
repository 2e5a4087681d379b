"""Stores of tracks and genomes in memory: the document's examples, a model, threads, and bounds."""

from __future__ import annotations

import doctest
import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from seqarchive.errors import Conflict, NotFound
from seqarchive.tracks import (
    Genome,
    GenomeStore,
    Intervals,
    IntervalTrack,
    Provenance,
    Region,
    StoredGenome,
    StoreFull,
    TableTrack,
    TrackLabel,
    TrackStore,
    provenance,
    stores,
)
from seqarchive.tracks.cutting import within
from seqarchive.tracks.watching import Cancelled, Watch, watched_by


def _table(value: float = 1.0, name: str = "t") -> TableTrack:
    return TableTrack(TrackLabel(name), {"a": value})


def _large(n_bytes: int) -> IntervalTrack:
    """A track that takes about so many bytes (25 for each interval)."""
    n = n_bytes // 25
    columns = Intervals(
        np.arange(n), np.arange(1, n + 1), np.ones(n), np.full(n, b".", "S1")
    )
    return IntervalTrack.of("large", {"1": columns})


def resident_bytes() -> int:
    """What this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# --- the document --------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [provenance, stores], ids=lambda one: one.__name__)
def test_the_examples_are_true(module: object) -> None:
    found = doctest.testmod(module, raise_on_error=True)  # type: ignore[arg-type]
    assert found.attempted >= 2
    assert found.failed == 0


def test_the_key_of_the_document_is_that_tuple() -> None:
    key = Provenance("transform.log", ("abc",), (("base", 2),)).cache_key()
    assert key == ("transform.log", ("abc",), (("base", 2),))
    assert type(key) is tuple


def test_what_was_computed_in_the_same_way_is_there_once() -> None:
    store = TrackStore()
    how = Provenance("transform.log", ("abc",), (("base", 2),))
    first = store.put(_table(), provenance=how)
    assert store.put(_table(2.0), provenance=how) == first
    assert len(store.list_all()) == 1
    assert store.put(_table()) != store.put(_table())


def test_a_stored_track_has_all_fields() -> None:
    store = TrackStore()
    handle = object()
    how = Provenance("f", (), ())
    id = store.put(_table(), chroms={"1": 9}, provenance=how, temp_file=handle)
    stored = store.get(id)
    assert stored is not None
    assert (stored.id, stored.track_type, stored.chroms) == (id, "table", {"1": 9})
    assert (stored.provenance, stored.temp_file) == (how, handle)
    assert stored.created_at is not None
    assert stored.created_at.utcoffset() is not None
    assert store.get("no such id") is None
    assert store.delete("no such id") is False


def test_genomes_have_lengths() -> None:
    genome = Genome("test", {}, {"chr1": "ATCG"}, (), {})
    assert StoredGenome("abc", genome).chrom_lengths == {"chr1": 4}
    store = GenomeStore()
    ids = [store.put(genome), store.put(genome)]
    assert ids[0] != ids[1]  # as the document has it: no two are one
    assert [one.id for one in store.list_all()] == ids
    assert store.delete(ids[0])
    assert store.get(ids[0]) is None


# --- what a provenance can tell apart -------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Provenance("f", (), (("x", 1),)), Provenance("f", (), (("x", True),))),
        (Provenance("f", (), (("x", 1),)), Provenance("f", (), (("x", 1.0),))),
        (Provenance("f", (), (("x", "1"),)), Provenance("f", (), (("x", 1),))),
        (Provenance("f", (), (("x", None),)), Provenance("f", (), ())),
        (Provenance("f", (), (("x", ()),)), Provenance("f", (), (("x", {}),))),
        (Provenance("f", ("a", "b"), ()), Provenance("f", ("b", "a"), ())),
        (Provenance("f", ("a",), ()), Provenance("f", ("a", "a"), ())),
        (Provenance("f", ("a,b",), ()), Provenance("f", ("a", "b"), ())),
        (Provenance("f", ("a",), (), version="1"), Provenance("f", ("a",), (), version="2")),
        (
            Provenance("f", ("a", "b"), (), roles=("query", "reference")),
            Provenance("f", ("a", "b"), (), roles=("reference", "query")),
        ),
    ],
)
def test_other_computations_have_other_digests(one: Provenance, other: Provenance) -> None:
    assert one.digest != other.digest
    assert one != other
    store = TrackStore()
    assert store.put(_table(), provenance=one) != store.put(_table(), provenance=other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            Provenance("f", (), (("x", float("nan")),)),
            Provenance("f", (), (("x", -float("nan")),)),
        ),
        (Provenance("f", (), (("x", 0.0),)), Provenance("f", (), (("x", -0.0),))),
        (Provenance("f", (), (("x", [1, 2]),)), Provenance("f", (), (("x", (1, 2)),))),
        (
            Provenance("f", (), (("x", {"a": 1, "b": 2}),)),
            Provenance("f", (), (("x", {"b": 2, "a": 1}),)),
        ),
        (Provenance("f", (), (("x", np.float64(2)),)), Provenance("f", (), (("x", 2.0),))),
        (Provenance("f", (), (("y", 1), ("x", 2))), Provenance("f", (), (("x", 2), ("y", 1)))),
        (
            Provenance("f", ("a", "b"), (), commutative=True),
            Provenance("f", ("b", "a"), (), commutative=True),
        ),
    ],
)
def test_the_same_computation_has_one_digest(one: Provenance, other: Provenance) -> None:
    assert one.digest == other.digest
    assert hash(one) == hash(other)
    assert Provenance.from_dict(one.as_dict()) == one


# --- a model --------------------------------------------------------------------------------------


class StoreAgainstDict(RuleBasedStateMachine):
    """Put, get, compute, delete and list, against a dict of what was put."""

    ids: Bundle[str] = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.store = TrackStore()
        self.model: dict[str, float] = {}
        self.computed: dict[tuple[str, tuple[str, ...], int], str] = {}
        self.parents: dict[str, tuple[str, ...]] = {}

    @rule(target=ids, value=st.floats(allow_nan=False))
    def put(self, value: float) -> str:
        id = self.store.put(_table(value))
        assert id not in self.model
        self.model[id] = value
        self.parents[id] = ()
        return id

    @rule(
        target=ids,
        operation=st.sampled_from(["f", "g"]),
        inputs=st.lists(ids, max_size=3),
        param=st.integers(0, 1),
        value=st.floats(allow_nan=False),
        by_put=st.booleans(),
    )
    def compute(
        self, operation: str, inputs: list[str], param: int, value: float, by_put: bool
    ) -> str:
        key = (operation, tuple(inputs), param)
        how = Provenance(operation, tuple(inputs), (("x", param),))
        if by_put:
            id = self.store.put(_table(value), provenance=how)
        else:
            id = self.store.get_or_compute(how, lambda: _table(value)).id
        if key in self.computed:
            assert id == self.computed[key]
        else:
            assert id not in self.model
            self.computed[key] = id
            self.model[id] = value
            self.parents[id] = tuple(inputs)
        return id

    @rule(id=ids)
    def get(self, id: str) -> None:
        stored = self.store.get(id)
        if id not in self.model:
            assert stored is None
        else:
            assert stored is not None
            assert isinstance(stored.track, TableTrack)
            assert stored.track["a"] == self.model[id]

    def _behind(self, id: str) -> set[str]:
        found: set[str] = set()
        waiting = [id]
        while waiting:
            one = waiting.pop()
            children = {child for child, inputs in self.parents.items() if one in inputs}
            waiting += children - found
            found |= children
        return found - {id}

    @rule(id=ids, cascade=st.booleans())
    def delete(self, id: str, cascade: bool) -> None:
        behind = self._behind(id)
        if id not in self.model:
            assert self.store.delete(id, cascade=cascade) is False
        elif behind and not cascade:
            with pytest.raises(Conflict):
                self.store.delete(id)
        else:
            assert self.store.delete(id, cascade=cascade) is True
            for one in {id, *behind}:
                del self.model[one]
                del self.parents[one]
                self.computed = {key: at for key, at in self.computed.items() if at != one}

    @rule(id=ids)
    def look_behind(self, id: str) -> None:
        if id in self.model:
            assert set(self.store.descendants(id).ids) == self._behind(id)

    @invariant()
    def all_are_listed(self) -> None:
        assert {one.id for one in self.store.list_all()} == set(self.model)
        assert len(self.store) == len(self.model)


TestStoreAgainstDict = StoreAgainstDict.TestCase
TestStoreAgainstDict.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


# --- computed once --------------------------------------------------------------------------------


def _all_at_once(n: int, ask: Callable[[int], object]) -> list[object]:
    barrier = threading.Barrier(n)

    def asked(number: int) -> object:
        barrier.wait(60)
        return ask(number)

    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(asked, range(n)))


def test_sixteen_threads_compute_once() -> None:
    store = TrackStore()
    calls: list[int] = []

    def compute() -> TableTrack:
        calls.append(1)
        time.sleep(0.05)
        return _table()

    how = Provenance("slow", (), ())
    found = _all_at_once(16, lambda _: store.get_or_compute(how, compute).id)
    assert len(set(found)) == 1
    assert calls == [1]


def test_others_do_not_wait_for_one_another() -> None:
    store = TrackStore()
    both = threading.Barrier(2)

    def compute() -> TableTrack:
        both.wait(60)  # ends only if the other is computed meanwhile
        return _table()

    found = _all_at_once(
        2, lambda n: store.get_or_compute(Provenance("f", (), (("n", n),)), compute).id
    )
    assert len(set(found)) == 2


def test_a_failure_is_not_kept_and_frees_those_who_wait() -> None:
    store = TrackStore()
    calls: list[int] = []

    def compute() -> TableTrack:
        calls.append(1)
        time.sleep(0.02)
        if len(calls) == 1:
            raise RuntimeError("the first time")
        return _table()

    def ask(_n: int) -> object:
        try:
            return store.get_or_compute(Provenance("f", (), ()), compute).id
        except RuntimeError as error:
            return str(error)

    found = _all_at_once(8, ask)
    assert found.count("the first time") == 1
    assert len(set(found)) == 2
    assert len(calls) == 2


def test_who_asks_for_what_it_computes_is_told() -> None:
    store = TrackStore()
    how = Provenance("f", (), ())

    def compute() -> TableTrack:
        return store.get_or_compute(how, compute).track  # type: ignore[return-value]

    with pytest.raises(Conflict, match="its own result"):
        store.get_or_compute(how, compute)
    assert store.get_or_compute(how, _table).track_type == "table"


def test_two_who_wait_for_each_other_are_told() -> None:
    store = TrackStore()
    hows = [Provenance("f", (), (("n", n),)) for n in range(2)]
    both = threading.Barrier(2)

    def compute(n: int) -> TableTrack:
        both.wait(60)
        return store.get_or_compute(hows[1 - n], lambda: _table(5)).track  # type: ignore[return-value]

    def ask(n: int) -> object:
        try:
            return store.get_or_compute(hows[n], lambda: compute(n)).id
        except Conflict as error:
            return str(error)

    assert "this computation needs its own result" in _all_at_once(2, ask)


def test_who_waits_can_be_called_back() -> None:
    store = TrackStore()
    how = Provenance("f", (), ())
    is_computing, may_end = threading.Event(), threading.Event()

    def compute() -> TableTrack:
        is_computing.set()
        assert may_end.wait(60)
        return _table()

    with ThreadPoolExecutor(1) as pool:
        computing = pool.submit(store.get_or_compute, how, compute)
        assert is_computing.wait(60)
        watch = Watch()
        watch.cancel()
        with watched_by(watch), pytest.raises(Cancelled):
            store.get_or_compute(how, compute)
        may_end.set()
        assert computing.result(60).track_type == "table"


def test_results_of_another_version_are_not_served() -> None:
    store = TrackStore()
    first = store.get_or_compute(Provenance("f", (), (), version="1"), lambda: _table(1))
    second = store.get_or_compute(Provenance("f", (), (), version="2"), lambda: _table(2))
    assert first.id != second.id
    assert second.track.scores()[0] == 2


def test_genomes_are_computed_once_too() -> None:
    store = GenomeStore()
    how = Provenance("mask", ("g",), ())
    genome = Genome("m", {}, {"1": "ACGN"}, (), {})
    first = store.get_or_compute(how, lambda: genome)
    assert store.get_or_compute(how, pytest.fail) is first
    assert store.put(genome, provenance=how) == first.id


# --- bounds ---------------------------------------------------------------------------------------


def test_a_thousand_tracks_of_10_mb_pass_through() -> None:
    store = TrackStore(max_bytes=100_000_000)
    before = resident_bytes()
    most = most_resident = 0
    for n in range(1000):
        stored = store.get_or_compute(Provenance("f", (), (("n", n),)), lambda: _large(10_000_000))
        assert store.get(stored.id) is stored
        most = max(most, store.n_bytes)
        most_resident = max(most_resident, resident_bytes())
    assert 80_000_000 < most <= 100_000_000
    assert most_resident - before < 200_000_000
    there = store.list_all()
    assert sum(one.track.n_bytes for one in there) == store.n_bytes  # type: ignore[attr-defined]
    assert len(there) == len(store) == 9
    assert [dict(one.provenance.params)["n"] for one in there if one.provenance] == list(
        range(991, 1000)
    )


def test_what_was_used_longest_ago_goes_first() -> None:
    store = TrackStore(max_bytes=3_500_000)
    how = [Provenance("f", (), (("n", n),)) for n in range(4)]
    ids = [store.get_or_compute(one, lambda: _large(1_000_000)).id for one in how[:3]]
    assert store.get(ids[0]) is not None  # used again
    store.get_or_compute(how[3], lambda: _large(1_000_000))
    assert [store.get(id) is not None for id in ids] == [True, False, True]
    again = store.get_or_compute(how[1], lambda: _large(1_000_000))
    assert again.id == ids[1]


def test_what_cannot_be_computed_again_stays() -> None:
    store = TrackStore(max_bytes=3_500_000)
    kept = [store.put(_large(1_000_000)) for _ in range(2)]
    # Computed, but from something that nobody here knows.
    kept.append(store.put(_large(1_000_000), provenance=Provenance("f", ("elsewhere",), ())))
    with pytest.raises(StoreFull, match="cannot be computed again"):
        store.put(_large(1_000_000))
    with pytest.raises(StoreFull):
        store.get_or_compute(Provenance("g", (), ()), lambda: _large(1_000_000))
    assert all(store.get(id) is not None for id in kept)
    assert store.delete(kept[0])
    store.put(_large(1_000_000))


# --- lineage --------------------------------------------------------------------------------------


@pytest.fixture
def family() -> tuple[TrackStore, dict[str, str]]:
    """a -> b -> d, a -> c -> d."""
    store = TrackStore()
    ids = {"a": store.put(_table(name="a"))}
    for name, inputs in (("b", "a"), ("c", "a"), ("d", "bc")):
        how = Provenance(f"make.{name}", tuple(ids[one] for one in inputs), (("x", 1),))
        ids[name] = store.put(_table(name=name), provenance=how)
    return store, ids


def test_lineage_goes_up_and_down(family: tuple[TrackStore, dict[str, str]]) -> None:
    store, ids = family
    up = store.lineage(ids["d"])
    assert set(up.ids) == {ids[one] for one in "abc"}
    assert set(up.arrows) == {
        (ids[before], ids[after]) for before, after in ("bd", "cd", "ab", "ac")
    }
    down = store.descendants(ids["a"])
    assert set(down.ids) == {ids[one] for one in "bcd"}
    assert set(down.arrows) == set(up.arrows)
    assert store.descendants(ids["d"]).ids == []
    with pytest.raises(NotFound):
        store.lineage("nothing")


def test_lineage_as_text_and_picture(family: tuple[TrackStore, dict[str, str]]) -> None:
    store, ids = family
    up = store.lineage(ids["d"])
    lines = up.text().splitlines()
    assert lines[0] == f"{ids['d']}  track d  make.d(x=1)"
    assert [line.split()[0] for line in lines] == [ids[one] for one in "dbaca"]
    assert [len(line) - len(line.lstrip()) for line in lines] == [0, 2, 4, 2, 4]
    svg = up.svg()
    assert svg.count("<rect") == 4
    assert svg.count('fill="none"') == 4
    assert up.dot().count("->") == 4
    hostile = store.put(_table(name='<script>"&'))
    assert "<script>" not in store.lineage(hostile).svg()
    assert '\\"' in store.lineage(hostile).dot()


def test_what_others_were_computed_from_is_not_deleted_alone(
    family: tuple[TrackStore, dict[str, str]],
) -> None:
    store, ids = family
    with pytest.raises(Conflict, match=r"others were computed from it \(3"):
        store.delete(ids["a"])
    assert len(store) == 4
    assert store.delete(ids["d"])
    assert store.delete(ids["a"], cascade=True)
    assert len(store) == 0
    assert store.n_bytes == 0


# --- tracks ---------------------------------------------------------------------------------------


def test_a_track_is_from_something_with_a_name() -> None:
    with pytest.raises(TypeError, match="TrackLabel"):
        IntervalTrack("peaks", [])  # type: ignore[arg-type]


def test_signal_of_intervals_is_weighted_by_overlap() -> None:
    track = IntervalTrack(TrackLabel("t"), [Region("c", 100, 200, score=10.0)])
    assert track.signal_at("c", 150, 250) == 10.0
    assert track.signal_at("c", 200, 250) == 0.0
    assert track.signal_at("d", 150, 250) == 0.0
    both = IntervalTrack(
        TrackLabel("t"), [Region("c", 0, 10, score=1.0), Region("c", 5, 10, score=4.0)]
    )
    assert both.signal_at("c", 0, 10) == pytest.approx((10 * 1 + 5 * 4) / 15)


@pytest.mark.parametrize("seed", range(60))
def test_what_lies_in_places_is_there_once(seed: int) -> None:
    dice = random.Random(seed)

    def place(most: int) -> tuple[str, int, int]:
        start = dice.randrange(30)
        return dice.choice("ab"), start, start + dice.randrange(most)

    regions = [Region(*place(12), name=str(n)) for n in range(dice.randrange(12))]
    places = [place(8) for _ in range(dice.randrange(6))]
    found = within(IntervalTrack(TrackLabel("t"), regions), places)
    assert isinstance(found, IntervalTrack)
    assert sorted(one.name for one in found) == sorted(
        one.name
        for one in regions
        if any(
            chrom == one.chrom and max(start, one.start) < min(end, one.end)
            for chrom, start, end in places
        )
    )
