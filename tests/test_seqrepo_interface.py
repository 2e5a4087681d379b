"""``seqarchive.seqrepo.SeqRepo`` answers as the real package does, and better where that fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import biocommons.seqrepo
import pytest
from biocommons.seqrepo.dataproxy import SeqRepoDataProxy
from helpers import open_descriptors, sha512t24u

from seqarchive.errors import AliasConflict, ReadOnly
from seqarchive.seqrepo import SeqRepo

# SeqRepo relies on what newer Pythons warn of.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The default (datetime|timestamp):DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*unclosed data:pytest.PytestUnraisableExceptionWarning"),
]

_STORED = [
    ("GATTACA" * 40, [("refseq", "NM_1.1"), ("lab", "one")]),
    ("ACGTACGTNN", [("NCBI", "NM_2.1"), ("Ensembl", "ENST01.2")]),
    ("ACGTACGTNN", [("lrg", "LRG_1")]),
    ("TTTT", [("lab", "NM_1.1")]),
    ("acgu", [("lab", "lower")]),
]

_IDENTIFIERS = [
    "refseq:NM_1.1",
    "NCBI:NM_1.1",
    "lab:one",
    "one",
    "ensembl:ENST01.2",
    "Ensembl:ENST01.2",
    "LRG:LRG_1",
    f"sha512t24u:{sha512t24u('TTTT')}",
    f"ga4gh:SQ.{sha512t24u('TTTT')}",
    f"VMC:GS_{sha512t24u('TTTT')}",
    "MD5:14bb4cd1b58cb0d0a6a5d9b2b6f3d8a0",
    "lab:nothing",
    "nothing",
    "NM_1.1",  # means two
]


def _fill(repository: Any) -> list[tuple[int, int]]:
    counts = [
        repository.store(seq, [{"namespace": namespace, "alias": alias} for namespace, alias in of])
        for seq, of in _STORED
    ]
    repository.commit()
    return counts


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The real package with ``_STORED``."""
    directory = tmp_path_factory.mktemp("theirs") / "master"
    real = biocommons.seqrepo.SeqRepo(str(directory), writeable=True)
    real.counts = _fill(real)
    return real


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeqRepo]:
    """The same in an archive."""
    directory = tmp_path_factory.mktemp("ours") / "root"
    with SeqRepo(directory, writeable=True) as repository:
        assert _fill(repository) == [(1, 2), (1, 2), (0, 1), (1, 1), (1, 1)]
        yield repository


def _answer(call: Any) -> object:
    try:
        return call()
    except KeyError:
        return KeyError


@pytest.mark.parametrize("identifier", _IDENTIFIERS)
def test_an_identifier_finds_what_it_finds_there(
    theirs: Any, ours: SeqRepo, identifier: str
) -> None:
    namespace, _, name = identifier.rpartition(":")
    calls: list[Callable[[Any], object]] = [
        lambda one: one.fetch(name, 1, 9, namespace or None),
        lambda one: str(one[identifier]),
        lambda one: len(one[identifier]),
        lambda one: one[identifier].seq_id,
        lambda one: sorted(one[identifier].aliases),
        lambda one: sorted(one.translate_identifier(identifier)),
        lambda one: sorted(one.translate_identifier(identifier, ["refseq", "MD5", "ga4gh"])),
        lambda one: identifier in one,
    ]
    for call in calls:
        assert _answer(lambda: call(ours)) == _answer(lambda: call(theirs))  # noqa: B023


@pytest.mark.parametrize(
    ("start", "end"), [(None, None), (0, 0), (3, 8), (5, None), (None, 4), (0, 999), (999, None)]
)
def test_ranges_are_those_of_seqrepo(
    theirs: Any, ours: SeqRepo, start: int | None, end: int | None
) -> None:
    for one in ("refseq:NM_1.1", "lab:lower"):
        assert ours.fetch_uri(one, start, end) == theirs.fetch_uri(one, start, end)
        assert ours[one][start:end] == theirs[one][start:end]


@pytest.mark.parametrize(("start", "end"), [(-1, 3), (5, 3), (2, -1)])
def test_ranges_that_cannot_be_are_refused_as_there(
    theirs: Any, ours: SeqRepo, start: int, end: int
) -> None:
    for one in (theirs, ours):
        with pytest.raises(ValueError):  # noqa: PT011
            one.fetch_uri("refseq:NM_1.1", start, end)


@pytest.mark.parametrize(
    "conditions",
    [
        {},
        {"namespace": "lab"},
        {"namespace": "refseq"},
        {"namespace": "NCBI"},
        {"alias": "NM_1.1"},
        {"namespace": "refseq", "alias": "NM_1.1"},
        {"namespace": "ga4gh", "alias": f"SQ.{sha512t24u('TTTT')}"},
        {"seq_id": sha512t24u("TTTT")},
        {"seq_id": sha512t24u("TTTT"), "namespace": "lab"},
        {"seq_id": sha512t24u("AAAA")},
        {"namespace": "lab", "alias": "nothing"},
    ],
)
def test_find_aliases_finds_the_same_rows(
    theirs: Any, ours: SeqRepo, conditions: dict[str, Any]
) -> None:
    answers = []
    for one in (theirs, ours):
        answers.append(
            {
                (row["seq_id"], row["namespace"], row["alias"], row["is_current"])
                for row in one.aliases.find_aliases(**conditions)
            }
        )
    # Theirs gives the name in both spellings whichever was asked for, and so do we.
    assert answers[1] == answers[0]


def test_walking_through_gives_the_same_sequences_and_names(theirs: Any, ours: SeqRepo) -> None:
    def walked(one: Any) -> dict[str, object]:
        return {
            info["seq_id"]: (
                info["seq"],
                info["len"],
                info["alpha"],
                sorted((name["namespace"], name["alias"]) for name in names),
            )
            for info, names in one
        }

    assert walked(ours) == walked(theirs)


def test_the_data_proxy_of_the_package_works_on_it(theirs: Any, ours: SeqRepo) -> None:
    proxies = SeqRepoDataProxy(theirs), SeqRepoDataProxy(ours)
    for identifier in ("refseq:NM_1.1", "NM_2.1", f"ga4gh:SQ.{sha512t24u('TTTT')}"):
        there, here = (proxy.get_metadata(identifier) for proxy in proxies)
        own = ours.get_metadata(identifier)
        for metadata in (there, here, own):
            metadata["aliases"].sort()
            del metadata["added"]
        assert there == here == own
        assert proxies[0].get_sequence(identifier, 1, 3) == ours.get_sequence(identifier, 1, 3)
    assert ours.translate_sequence_identifier("refseq:NM_1.1", "ga4gh") == [
        f"ga4gh:SQ.{sha512t24u('GATTACA' * 40)}"
    ]


def test_what_was_stored_is_found_before_the_commit(tmp_path: Path) -> None:
    with SeqRepo(tmp_path / "root", writeable=True) as ours:
        assert ours.store("ACGT", [{"namespace": "lab", "alias": "x"}]) == (1, 1)
        assert ours.fetch("x") == "ACGT"
        assert ours.store("ACGT", [{"namespace": "lab", "alias": "x"}]) == (0, 0)


def test_what_waits_for_a_commit_is_not_new_again(tmp_path: Path) -> None:
    """The real package looks into its tables, and says the same before the commit as after it."""
    real = biocommons.seqrepo.SeqRepo(str(tmp_path / "theirs"), writeable=True)
    with SeqRepo(tmp_path / "ours", writeable=True) as ours:
        for repository in (real, ours):
            x, y = ({"namespace": "lab", "alias": alias} for alias in "xy")
            assert repository.store("ACGT", [x])[0] == 1
            assert repository.store("ACGT", [x]) == (0, 0)
            assert repository.store("ACGT", [x, y, y]) == (0, 1)
            assert repository.store("ACGT", [x, y]) == (0, 0)
            repository.commit()
            assert repository.store("ACGT", [x, y]) == (0, 0)


def test_storing_takes_as_long_for_the_last_as_for_the_first(tmp_path: Path) -> None:
    with SeqRepo(tmp_path / "ours", writeable=True) as ours:
        seconds = []
        for part in range(4):
            began = time.process_time()
            for n in range(1500):
                text = f"{part}{n:05}".translate(str.maketrans("0123456789", "ACGTNWSKMY"))
                ours.store(text, [{"namespace": "lab", "alias": text}])
            seconds.append(time.process_time() - began)
        # If each took a step more for all before it, the last 1,500 would take four times as long.
        assert seconds[-1] < 3 * seconds[0]
    with SeqRepo(tmp_path / "ours") as ours:
        assert len(ours) == 6000


def test_so_many_small_sequences_are_committed_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seqarchive.seqrepo.repository._MANY", 5)
    with SeqRepo(tmp_path / "ours", writeable=True) as ours:
        for n, text in enumerate(["A" * n for n in range(1, 13)]):
            ours.store(text, [{"namespace": "lab", "alias": text}])
            with SeqRepo(tmp_path / "ours") as reader:
                assert len(reader) == (n + 1) // 5 * 5
    with SeqRepo(tmp_path / "ours") as reader:
        assert len(reader) == 12


def test_a_name_that_means_something_else_is_no_longer_moved_in_silence(tmp_path: Path) -> None:
    directory = tmp_path / "root"
    ours = SeqRepo(directory, writeable=True)
    ours.store("ACGT", [{"namespace": "lab", "alias": "x"}])
    ours.commit()
    ours.store("GGGG", [{"namespace": "lab", "alias": "x"}])
    with pytest.raises(AliasConflict):
        ours.commit()
    assert ours.fetch("x") == "ACGT"
    moving = SeqRepo(directory, writeable=True, on_conflict="replace")
    moving.store("GGGG", [{"namespace": "lab", "alias": "x"}])
    moving.commit()
    assert ours.fetch("x") == "GGGG"  # theirs would go on with ACGT
    rows = ours.aliases.find_aliases(namespace="lab", alias="x", current_only=False)
    assert {(row["is_current"], row["seq_id"]) for row in rows} == {
        (0, sha512t24u("ACGT")),
        (1, sha512t24u("GGGG")),
    }


@pytest.mark.parametrize("end", [SeqRepo.close, lambda ours: ours.__exit__(None, None, None)])
def test_files_are_closed_although_the_last_commit_fails(
    tmp_path: Path, end: Callable[[SeqRepo], None]
) -> None:
    with SeqRepo(tmp_path / "root", writeable=True) as ours:
        ours.store("ACGT", [{"namespace": "lab", "alias": "x"}])
    before = open_descriptors()
    ours = SeqRepo(tmp_path / "root", writeable=True)
    assert ours.fetch("x") == "ACGT"
    ours.store("GGGG", [{"namespace": "lab", "alias": "x"}])
    with pytest.raises(AliasConflict):
        end(ours)
    assert open_descriptors() == before


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/x", "s3://bucket/x"])
def test_what_is_elsewhere_cannot_be_written_and_nothing_is_made_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ReadOnly, match=address):
        SeqRepo(address, writeable=True)
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    directory = tmp_path / "root"
    ours = SeqRepo(directory, writeable=True)
    with pytest.raises(ZeroDivisionError), ours:
        ours.store("ACGT", [{"namespace": "lab", "alias": str(1 // 0)}])
    assert len(SeqRepo(directory)) == 0


def test_loops_end_and_proxies_compare(ours: SeqRepo) -> None:
    proxy = ours["lab:lower"]
    assert not isinstance(proxy, str)
    assert list(proxy) == list("ACGU")
    assert "CG" in proxy
    assert (proxy[-1], proxy[-3:], proxy[::-1]) == ("U", "CGU", "UGCA")
    assert proxy == ours["lab:lower"] == "ACGU"
    assert SeqRepo(ours.archive.instance.root, use_sequenceproxy=False)["lab:lower"] == "ACGU"


def test_nothing_is_a_wildcard(ours: SeqRepo) -> None:
    assert "%" not in ours
    with pytest.raises(KeyError):
        ours.fetch("NM_%")
    assert list(ours.aliases.find_aliases(alias="NM%")) == []


def test_what_cannot_be_opened_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Unable to open"):
        SeqRepo(tmp_path / "nothing")


def test_a_reader_cannot_store(ours: SeqRepo) -> None:
    with pytest.raises(Exception, match="read-only"):
        SeqRepo(ours.archive.instance.root).store("ACGT", [{"namespace": "a", "alias": "b"}])
