"""Names of collections and what is said of them (FHR) have histories like names of sequences, and
go along into a RefgetStore."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli, Result
from gtars.refget import RefgetStore
from helpers import write_fasta

import seqarchive
from seqarchive import AliasConflict, Ambiguous, BadName, NotFound
from seqarchive.seqcol.fhr import REQUIRED, parse, problems, value_at

FIRST, SECOND = {"chr1": "ACGT", "chr2": "GG"}, {"chr1": "ACGA"}

DOCUMENT: dict[str, Any] = {
    "schema": "https://raw.githubusercontent.com/FAIR-bioHeaders/FHR-Specification/main/fhr.json",
    "schemaVersion": 1,
    "genome": "Bombus huntii",
    "genomeSynonym": ["B. huntii"],
    "taxon": {"name": "Bombus huntii", "uri": "https://identifiers.org/taxonomy:85661"},
    "version": "0.0.1",
    "metadataAuthor": [{"name": "N. N.", "uri": "https://orcid.org/0000-0002-1825-0097"}],
    "assemblyAuthor": [{"name": "A group"}],
    "dateCreated": "2022-03-21",
    "accessionID": {"name": "PRJ1", "url": "https://example.org/PRJ1"},
    "instrument": ["Sequencer IIe", "Sequencer III"],
    "scholarlyArticle": "10.5281/zenodo.6762550",
    "identifier": ["beetlebase:TC010103"],
    "relatedLink": ["https://example.org/bees"],
    "reuseConditions": "CC0",
    "masking": "soft-masked",
    "vitalStats": {"N50": 42, "L50": 42, "L90": 42, "readTechnology": "hifi"},
    "checksum": "abcdefghijklmnopqrstuvwxyz0123456789+/AAAAA=",
}


def report(result: Result) -> dict[str, Any]:
    assert result.code == 0, result
    found: dict[str, Any] = json.loads(result.out)
    return found


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return write_fasta(tmp_path / "first.fa", FIRST)


@pytest.fixture
def second(tmp_path: Path) -> Path:
    return write_fasta(tmp_path / "second.fa", SECOND)


@pytest.fixture
def digests(root: Path, cli: Cli, first: Path, second: Path) -> list[str]:
    """Two collections, the first of which is ``lab:g``."""
    loaded = report(cli("--json", "load", "-n", "a", "--collection", "lab:g", str(first)))
    other = report(cli("--json", "load", "-n", "b", str(second)))
    return [one["files"][0]["collection"] for one in (loaded, other)]


def named(root: Path, name: str, at: int | None = None) -> str | None:
    with seqarchive.connect(root, at=at) as archive:
        try:
            return archive.collection(name).digest
        except NotFound:
            return None


# --- names ------------------------------------------------------------------------------------


def test_a_load_names_its_collection_and_the_name_finds_it(
    root: Path, cli: Cli, digests: list[str]
) -> None:
    assert named(root, "lab:g") == named(root, "LAB:g") == named(root, "g") == digests[0]
    assert named(root, digests[0]) == digests[0]
    assert named(root, "lab:h") is None
    assert cli("collection", "show", "--level", "0", "lab:g").out == f"{digests[0]}\n"
    assert cli("export", "--collection", "lab:g").out == ">chr1\nACGT\n>chr2\nGG\n"
    listed = cli("collection", "list").out.splitlines()
    assert "lab:g" in listed[0]
    assert "lab:g" not in listed[1]


def test_a_load_again_only_names_and_a_dry_run_does_not(
    root: Path, cli: Cli, digests: list[str], second: Path
) -> None:
    words = ["load", "-n", "b", "--collection", "lab:h"]
    assert cli(*words, "--dry-run", str(second)).code == 0
    assert named(root, "lab:h") is None
    assert report(cli("--json", *words, str(second)))["aliases_added"] == 1
    assert named(root, "lab:h") == digests[1]


def test_a_name_of_another_collection_is_a_conflict_and_nothing_is_loaded(
    root: Path, cli: Cli, digests: list[str], tmp_path: Path
) -> None:
    third = str(write_fasta(tmp_path / "third.fa", {"x": "TTTT"}))
    words = ["load", "-n", "c", "--collection", "lab:g", third]
    done = cli(*words)
    assert done.code == AliasConflict.exit_code
    assert "lab:g" in done.err
    with seqarchive.connect(root) as archive:
        assert len(archive.collections()) == 2
        assert "c:x" not in archive
    assert report(cli("--json", *words, "--on-conflict", "keep"))["aliases_kept"] == 1
    assert named(root, "lab:g") == digests[0]
    assert report(cli("--json", *words, "--on-conflict", "replace"))["aliases_moved"] == 1
    assert named(root, "lab:g") not in (None, digests[0])


def test_a_name_is_for_one_whole_file(
    root: Path, cli: Cli, first: Path, second: Path, tmp_path: Path
) -> None:
    words = ["load", "-n", "a", "--collection", "lab:g"]
    assert cli(*words, str(first), str(second)).code == BadName.exit_code
    assert cli(*words[:-1], "nothing", str(first)).code == BadName.exit_code
    assert cli(*words[:-1], "ga4gh:x", str(first)).code == BadName.exit_code
    (tmp_path / "bad.fa").write_text(">a\nACGT\n>b\nAC1T\n")
    done = cli(*words, "--on-error", "skip", str(tmp_path / "bad.fa"))
    assert done.code == 5
    assert "lab:g" in done.err
    assert not root.exists() or named(root, "lab:g") is None


def test_names_move_end_and_are_what_they_were(
    root: Path, cli: Cli, digests: list[str]
) -> None:
    assert cli("collection", "name", digests[1], "lab:g").code == 4
    assert report(cli("--json", "collection", "name", "g", "lab:g"))["batch"] is None
    done = cli("collection", "name", "--on-conflict", "replace", digests[1], "lab:g", "lab:new")
    assert done.code == 0  # batch 3
    assert [named(root, "lab:g", at) for at in (1, 2, 3)] == [digests[0], digests[0], digests[1]]
    assert cli("collection", "unname", "lab:g").code == 0  # batch 4
    assert [named(root, "lab:g", at) for at in (0, 2, 3, 4)] == [None, *digests, None]
    assert cli("collection", "unname", "lab:g").code == 3
    assert cli("collection", "unname", "nowhere:g").code == 3
    assert named(root, "lab:new") == digests[1]
    # A snapshot has them as they were.
    assert cli("snapshot", "r1").code == 0
    assert cli("collection", "unname", "lab:new").code == 0
    with seqarchive.connect(root, "r1") as archive:
        assert archive.collection("lab:new").digest == digests[1]
        assert [str(alias) for alias, _ in archive.all_collection_aliases()] == ["lab:new"]


def test_a_name_without_its_namespace_may_be_ambiguous(
    root: Path, cli: Cli, digests: list[str]
) -> None:
    assert cli("collection", "name", digests[1], "other:g").code == 0
    done = cli("collection", "show", "g")
    assert done.code == 3
    assert "lab:g, other:g" in done.err
    with seqarchive.connect(root) as archive, pytest.raises(Ambiguous):
        archive.collection("g")


def test_reverts_give_back_names_and_what_was_said(
    root: Path, cli: Cli, digests: list[str], tmp_path: Path
) -> None:
    (tmp_path / "f.json").write_text(json.dumps(DOCUMENT))
    (tmp_path / "g.json").write_text(json.dumps(DOCUMENT | {"version": "2"}))
    for words in (
        ["collection", "name", "--on-conflict", "replace", digests[1], "lab:g", "lab:h"],  # 3
        ["fhr", "set", digests[0], str(tmp_path / "f.json")],  # 4
        ["fhr", "set", digests[0], str(tmp_path / "g.json")],  # 5
    ):
        assert cli(*words).code == 0
    done = report(cli("--json", "revert", "3"))
    assert done["collection_aliases_reverted"] == 2
    assert (named(root, "lab:g"), named(root, "lab:h")) == (digests[0], None)
    assert cli("revert", "3").out.startswith("nothing of batch 3")
    refused = cli("revert", "4")
    assert refused.code == 4
    assert "batch 5" in refused.err
    assert report(cli("--json", "revert", "--on-conflict", "keep", "4"))["batch"] is None
    assert report(cli("--json", "revert", "5"))["fhr_reverted"] == 1
    assert json.loads(cli("fhr", "get", digests[0]).out) == DOCUMENT
    assert report(cli("--json", "revert", "--on-conflict", "replace", "4"))["fhr_reverted"] == 1
    assert cli("fhr", "get", digests[0]).code == 3
    # The name that came with a load goes with it.
    assert cli("revert", "1").code == 4  # for it was moved there and back
    again = report(cli("--json", "revert", "--on-conflict", "replace", "1"))
    assert again["collection_aliases_reverted"] == 1
    assert named(root, "lab:g") is None


def test_a_collection_that_is_reclaimed_takes_its_names_and_what_was_said_along(
    root: Path, cli: Cli, digests: list[str], tmp_path: Path
) -> None:
    (tmp_path / "f.json").write_text(json.dumps(DOCUMENT))
    assert cli("fhr", "set", "lab:g", str(tmp_path / "f.json")).code == 0
    assert cli("revert", "1").code == 0
    assert cli("repair", "--reclaim").code == 0
    with seqarchive.connect(root) as archive:
        assert [one.digest for one in archive.collections()] == digests[1:]
        assert archive.all_collection_aliases() == []
    assert named(root, "lab:g") is None
    assert cli("fhr", "list").out == ""
    assert cli("verify", "--full").code == 0


def test_rows_that_cannot_be_are_found(root: Path, cli: Cli, digests: list[str]) -> None:
    with closing(sqlite3.connect(root / "master" / "aliases.sqlite3")) as connection, connection:
        connection.execute("UPDATE collection_aliases SET collection_id = 77")
        connection.execute("INSERT INTO fhr (collection_id, document, batch_id) VALUES (1, '{', 1)")
    done = cli("verify")
    assert done.code == 6
    assert "dangling name" in done.out
    assert "FHR" in done.out


# --- FHR --------------------------------------------------------------------------------------


def test_the_example_of_the_standard_is_right_in_every_field() -> None:
    assert problems(DOCUMENT) == []
    assert set(REQUIRED) <= DOCUMENT.keys()


@pytest.mark.parametrize("name", REQUIRED)
def test_each_required_field_is_missed(name: str) -> None:
    document = {key: value for key, value in DOCUMENT.items() if key != name}
    assert problems(document) == [f"{name} is missing"]
    assert problems(document, partial=True) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema", 1), ("schemaVersion", "1"), ("schemaVersion", True), ("genome", None),
        ("genomeSynonym", "x"), ("genomeSynonym", [1]), ("taxon", "bee"),
        ("taxon.uri", "taxonomy:1"), ("version", 1), ("metadataAuthor", {"name": "x"}),
        ("metadataAuthor", [{"uri": "0000-0002-1825-0097"}]), ("assemblyAuthor", ["x"]),
        ("dateCreated", "21.3.2022"), ("dateCreated", "2022-02-30"), ("dateCreated", "20220321"),
        ("accessionID.url", "no uri"), ("instrument", [None]), ("scholarlyArticle", "doi"),
        ("identifier", ["none"]), ("relatedLink", ["x y"]), ("masking", "masked"),
        ("vitalStats.N50", 4.5), ("vitalStats.N50", True), ("checksum", "short"),
        ("checksum", "!" * 44), ("license", "an extra field"),
    ],
)  # fmt: skip
def test_each_wrong_value_is_found_once_by_its_name(path: str, value: object) -> None:
    document = json.loads(json.dumps(DOCUMENT))
    *outer, name = path.split(".")
    target = document[outer[0]] if outer else document
    target[name] = value
    (problem,) = problems(document)
    assert problem.startswith(path)


def test_fields_are_found_inside_objects_and_lists() -> None:
    assert value_at(DOCUMENT, "taxon.name") == ["Bombus huntii"]
    assert value_at(DOCUMENT, "metadataAuthor.name") == ["N. N."]
    assert value_at(DOCUMENT, "instrument") == ["Sequencer IIe", "Sequencer III"]
    assert value_at(DOCUMENT, "vitalStats.N50") == ["42"]
    assert value_at(DOCUMENT, "nothing.at.all") == []


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"a": NaN}', '{"a": 1, "a": 2}', "[" * 100_000, "\xff", '"x"',
     '{"a": "\\ud800"}'],
)  # fmt: skip
def test_what_is_no_document_is_bad_input(text: str) -> None:
    with pytest.raises(seqarchive.BadInput, match="the file"):
        parse(text.encode("latin-1"), "the file")


def test_what_is_said_can_be_set_searched_read_as_of_then_and_removed(
    root: Path, cli: Cli, digests: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "f.json"
    file.write_text(json.dumps(DOCUMENT))
    assert cli("fhr", "validate", str(file)).code == 0
    assert report(cli("--json", "fhr", "set", "--dry-run", "g", str(file)))["batch"] is None
    assert cli("fhr", "list").out == ""
    assert report(cli("--json", "fhr", "set", "lab:g", str(file)))["batch"] == 3
    assert report(cli("--json", "fhr", "set", "lab:g", str(file)))["batch"] is None  # the same
    assert json.loads(cli("fhr", "get", "lab:g").out) == DOCUMENT
    file.write_text(json.dumps({"genome": "mine", "license": "none"}))
    done = cli("fhr", "set", digests[1], str(file))
    assert done.code == 5
    assert "schema is missing (and 9 more" in done.err
    assert cli("fhr", "validate", str(file)).code == 5
    assert cli("fhr", "validate", "--partial", str(file)).code == 0
    assert cli("fhr", "set", "--partial", digests[1], str(file)).code == 0  # batch 4
    assert cli("fhr", "list").out.splitlines() == [
        f"{digests[0]}\tBombus huntii\t0.0.1\tBombus huntii",
        f"{digests[1]}\tmine\t\t",
    ]
    found = cli("--json", "fhr", "list", "--filter", "taxon.name=Bombus huntii")
    assert json.loads(found.out) == {"digest": digests[0], "fhr": DOCUMENT}
    assert cli("fhr", "list", "--filter", "genome=mine", "--filter", "version=1").out == ""
    assert cli("fhr", "remove", "lab:g").code == 0  # batch 5
    assert cli("fhr", "get", "lab:g").code == 3
    assert json.loads(cli("fhr", "get", "--at", "4", "lab:g").out) == DOCUMENT
    assert cli("fhr", "set", "--partial", "nothing", str(file)).code == 3


# --- in a RefgetStore ---------------------------------------------------------------------------


def test_gtars_has_names_and_what_is_said_and_they_go_when_they_end(
    root: Path, cli: Cli, digests: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "f.json"
    file.write_text(json.dumps(DOCUMENT | {"ours": {"x": [1, "é"]}}))
    assert cli("fhr", "set", "--partial", "lab:g", str(file)).code == 0
    assert cli("collection", "name", digests[1], "lab:zwei", "other:#2").code == 0
    done = report(cli("--json", "export-rgstore", str(tmp_path / "store")))
    assert (done["fhr"], done["aliases"]) == (1, 3 + 2)
    assert len(done["left_out"]) == 1  # a name that begins with '#'
    assert cli("verify-rgstore", "--full", str(tmp_path / "store")).code == 0
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    theirs = RefgetStore.open_local(str(tmp_path / "copy"))
    found = theirs.get_collection_by_alias("lab", "g")
    assert found is not None
    assert found.digest == digests[0]
    fhr = theirs.get_fhr_metadata(digests[0])
    assert fhr is not None
    assert fhr.to_dict()["genome"] == "Bombus huntii"
    assert fhr.to_dict()["taxon"] == DOCUMENT["taxon"]
    with seqarchive.connect(tmp_path / "store") as ours:
        assert ours.collection("lab:zwei").digest == digests[1]
        assert ours.fhr(digests[0]) == json.loads(file.read_text())  # type: ignore[attr-defined]
    assert cli("fhr", "remove", "lab:g").code == 0
    assert cli("collection", "unname", "lab:g", "lab:zwei").code == 0
    assert cli("export-rgstore", str(tmp_path / "store")).code == 0
    assert cli("verify-rgstore", "--full", str(tmp_path / "store")).code == 0
    assert not list((tmp_path / "store").glob("fhr/*"))
    assert not list((tmp_path / "store").glob("aliases/collections/*"))
