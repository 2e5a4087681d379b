"""Private sequences beside public ones: one answer, or an ambiguity, never whoever comes first."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from helpers import sha512t24u, sq, write_fasta

import seqarchive
from seqarchive import Ambiguous, Archives, BadName, NotFound
from seqarchive.instances import Instance
from seqarchive.writing import initialise

_LONG = "GATTACA" * 5000
_PRIVATE = {"lab:one": "ACGT", "lab:both": "CCCC", "lab:differs": "TTTT", "lab:empty": ""}
_PUBLIC = {"ref:chr": _LONG, "lab:both": "CCCC", "lab:differs": "GGGG", "ref:same": "ACGT"}


@pytest.fixture
def roots(tmp_path: Path) -> list[Path]:
    """Two archives."""
    found = []
    for name, records in (("private", _PRIVATE), ("public", _PUBLIC)):
        root = tmp_path / name
        initialise(Instance(root))
        with seqarchive.connect(root) as archive:
            for alias, residues in records.items():
                archive[alias] = residues
        found.append(root)
    return found


@pytest.fixture
def both(roots: list[Path]) -> Archives:
    """The two, read as one."""
    return seqarchive.connect(roots)


def test_each_name_is_found_wherever_it_is(both: Archives) -> None:
    for name, residues in {**_PRIVATE, **_PUBLIC}.items():
        if name != "lab:differs":
            assert both.fetch(name) == residues
            assert both.find(name) == sha512t24u(residues)
            assert both[name] == residues
            assert name in both
    assert both.fetch("chr", 3, 9) == _LONG[3:9]
    assert "".join(both.pieces("ref:chr", 999)) == _LONG


@pytest.mark.parametrize("order", [1, -1])
def test_a_name_with_two_meanings_is_ambiguous_whoever_comes_first(
    roots: list[Path], order: int
) -> None:
    both = seqarchive.connect(roots[::order])
    with pytest.raises(Ambiguous) as caught:
        both.fetch("lab:differs")
    assert set(caught.value.candidates) == {sq("TTTT"), sq("GGGG")}
    assert all(str(root) in str(caught.value) for root in roots)
    assert "lab:differs" in both
    assert both.fetch(sq("GGGG")) == "GGGG"


def test_what_is_nowhere_is_not_found(both: Archives) -> None:
    with pytest.raises(NotFound):
        both.fetch("lab:nothing")
    assert "lab:nothing" not in both


def test_names_come_from_all(both: Archives) -> None:
    assert list(map(str, both.aliases("lab:one"))) == ["lab:one", "ref:same"]
    assert both.translate("ref:same", to=["lab", "ref"]) == ["lab:one", "ref:same"]
    assert both.translate("ref:chr", to="ga4gh") == [sq(_LONG)]
    assert both.translate("lab:one").count(sq("ACGT")) == 1
    assert {"lab:one", "ref:same"} <= set(both.metadata("lab:one")["aliases"])
    assert list(map(str, both["lab:one"].aliases)) == ["lab:one", "ref:same"]


def test_each_sequence_is_counted_once(both: Archives) -> None:
    texts = {*_PRIVATE.values(), *_PUBLIC.values()}
    assert len(both) == len(texts)
    assert sorted(both) == sorted(sq(text) for text in texts)


def test_many_ranges_come_in_the_order_asked_for(both: Archives) -> None:
    asked = [("ref:chr", 5, 50), ("lab:one", None, None), ("ref:same", 1, 2), ("ref:chr", 0, 3)]
    assert both.fetch_many(asked) == [_LONG[5:50], "ACGT", "C", _LONG[:3]]


def test_writes_go_to_the_first(both: Archives, roots: list[Path], tmp_path: Path) -> None:
    both["lab:new"] = "AACC"
    both.load(write_fasta(tmp_path / "x.fa", {"loaded": "GGTT"}), "lab")
    both.store("TTAA", ["lab:stored"])
    for name, residues in (("new", "AACC"), ("loaded", "GGTT"), ("stored", "TTAA")):
        assert both.fetch(f"lab:{name}") == residues
        assert f"lab:{name}" in seqarchive.connect(roots[0])
        assert f"lab:{name}" not in seqarchive.connect(roots[1])


def test_they_can_be_pickled_and_closed(both: Archives) -> None:
    with pickle.loads(pickle.dumps(both)) as copy:
        assert copy.fetch("lab:one") == "ACGT"


def test_releases_can_be_read_together(both: Archives, roots: list[Path]) -> None:
    for archive in both.archives:
        archive.snapshot("r1")
    both["lab:later"] = "AAAA"
    released = seqarchive.connect(roots, "r1")
    assert "lab:later" not in released
    assert released.fetch("ref:same") == "ACGT"


def test_none_at_all_is_refused() -> None:
    with pytest.raises(BadName):
        seqarchive.connect([])
