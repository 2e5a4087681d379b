"""Undoing a batch, and dropping the residues that only undone batches brought."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli, Result
from contents import copy, database, random_residues, run, untidy, verified
from helpers import computed, sha512t24u, shards, sq, tree, wait_until, write_fasta
from traces import traced

import seqarchive
from seqarchive import Archive, records
from seqarchive.releases import Releasing

A, B, C, D, E = (random_residues(name, 40 + 10 * n) for n, name in enumerate("ABCDE"))


def _load(cli: Cli, tmp_path: Path, texts: dict[str, str], *options: str) -> int:
    """Load records into the namespace ``n``; the number of the batch."""
    file = write_fasta(tmp_path / "load.fa", texts)
    answer = cli("--json", "load", "-n", "n", *options, file)
    assert answer.code == 0, answer.err
    return int(json.loads(answer.out)["batch"])


def _revert(cli: Cli, batch: int, *options: str) -> dict[str, Any]:
    answer = cli("--json", "-q", "revert", *options, str(batch))
    assert answer.code == 0, answer.err
    report: dict[str, Any] = json.loads(answer.out)
    return report


def _reclaim(cli: Cli, *options: str) -> dict[str, Any]:
    answer = cli("--json", "repair", "--reclaim", *options)
    assert (answer.code, answer.err) == (0, "")
    report: dict[str, Any] = json.loads(answer.out)
    return report


def _names(cli: Cli, *options: str) -> dict[str, str]:
    """What each name means, in residues."""
    lines = cli("export-aliases", *options).out.splitlines()[1:]
    rows = [line.split("\t") for line in lines]
    return {
        f"{namespace}:{alias}": cli("get", sequence, *options).out.strip()
        for namespace, alias, sequence in rows
    }


def _state(cli: Cli) -> tuple[str, str]:
    return cli("export-aliases").out, cli("--json", "log").out


# --- revert ------------------------------------------------------------------------------------


@pytest.fixture
def four(cli: Cli, tmp_path: Path) -> Cli:
    """1: a, b, c; 2: a moved, d added; 3: b retired; 4: e added as a table."""
    assert _load(cli, tmp_path, {"a": A, "b": B, "c": C}, "--circular", "c") == 1
    assert _load(cli, tmp_path, {"a": D, "d": E, "b": B}, "--on-conflict", "replace") == 2
    assert cli("alias", "retire", "n:b").code == 0
    assert cli("import-aliases", "-", stdin=f"m\te\t{sq(C)}\n".encode()).code == 0
    return cli


STATES = [
    {},
    {"n:a": A, "n:b": B, "n:c": C},
    {"n:a": D, "n:b": B, "n:c": C, "n:d": E},
    {"n:a": D, "n:c": C, "n:d": E},
    {"n:a": D, "n:c": C, "n:d": E, "m:e": C},
]


@pytest.mark.parametrize(
    ("batch", "options", "expected", "counts"),
    [
        (2, [], {"n:a": A, "n:c": C, "m:e": C}, (1, 1, 0, 0)),
        (3, [], {"n:a": D, "n:b": B, "n:c": C, "n:d": E, "m:e": C}, (0, 0, 1, 0)),
        (4, [], {"n:a": D, "n:c": C, "n:d": E}, (1, 0, 0, 0)),
        # Of the first, a was moved later. That b was retired is what the revert is to do.
        (1, ["--on-conflict", "keep"], {"n:a": D, "n:d": E, "m:e": C}, (1, 0, 0, 1)),
        (1, ["--on-conflict", "replace"], {"n:d": E, "m:e": C}, (2, 0, 0, 0)),
    ],
)
def test_what_a_batch_did_to_names_is_undone(
    four: Cli, batch: int, options: list[str], expected: dict[str, str], counts: tuple[int, ...]
) -> None:
    dry = _revert(four, batch, "--dry-run", *options)
    assert _names(four) == STATES[4]
    report = _revert(four, batch, *options)
    assert report == {**dry, "dry_run": False, "batch": 5}
    keys = ("aliases_retired", "aliases_moved_back", "aliases_restored", "aliases_kept")
    assert tuple(report[key] for key in keys) == counts
    assert report["circular_unmarked"] == (batch == 1)
    assert _names(four) == expected
    # What was true stays true, before and after.
    for number, state in enumerate(STATES):
        assert _names(four, "--at", str(number)) == state
    assert _names(four, "--at", "5") == expected
    log = [json.loads(line) for line in four("--json", "log").out.splitlines()]
    assert (log[4]["kind"], log[4]["reverts"]) == ("revert", batch)
    # A revert is a batch, and can be reverted.
    again = _revert(four, 5)
    assert (again["batch"], again["reverts"]) == (6, 5)
    assert _names(four) == STATES[4]
    assert _names(four, "--at", "5") == expected
    assert four("verify", "--full").code == 0


def test_a_name_that_was_changed_again_is_a_conflict_and_nothing_changes(four: Cli) -> None:
    before = _state(four)
    for options in ([], ["--dry-run"], ["--on-conflict", "error"]):
        answer = four("revert", "1", *options)
        assert (answer.code, answer.out) == (4, "")
        assert "n:a was changed again by batch 2" in answer.err
        assert "nothing was changed: use --on-conflict keep or replace" in answer.err
    assert _state(four) == before


@pytest.mark.parametrize(("policy", "expected"), [("error", None), ("keep", None), ("replace", A)])
def test_what_a_later_batch_retired_is_a_conflict_too(
    cli: Cli, tmp_path: Path, policy: str, expected: str | None
) -> None:
    _load(cli, tmp_path, {"a": A})
    _load(cli, tmp_path, {"a": B}, "--on-conflict", "replace")
    assert cli("alias", "retire", "n:a").code == 0
    answer = cli("revert", "2", "--on-conflict", policy)
    assert answer.code == (4 if policy == "error" else 0)
    assert _names(cli) == ({"n:a": expected} if expected else {})
    assert len(cli("--json", "log").out.splitlines()) == (4 if policy == "replace" else 3)


def test_what_is_as_before_already_is_no_conflict(cli: Cli, tmp_path: Path) -> None:
    _load(cli, tmp_path, {"a": A, "b": B})
    _load(cli, tmp_path, {"a": B, "b": A}, "--on-conflict", "replace")
    _load(cli, tmp_path, {"a": A}, "--on-conflict", "replace")
    report = _revert(cli, 2)
    assert (report["aliases_moved_back"], report["conflicts"]) == (1, [])
    assert _names(cli) == {"n:a": A, "n:b": B}


@pytest.mark.parametrize("batch", ["5", "99", "999999999999"])
def test_a_batch_that_there_is_not_cannot_be_reverted(four: Cli, batch: str) -> None:
    before = _state(four)
    answer = four("revert", batch)
    assert (answer.code, answer.out) == (3, "")
    assert f"there is no batch {batch}; the last one is 4" in answer.err
    assert four("revert", "--dry-run", batch).code == 3
    assert _state(four) == before
    for nonsense in ("0", "-1", "x"):
        assert four("revert", nonsense).code == 2
    with pytest.raises(seqarchive.NotFound):
        seqarchive.connect(_root(four)).revert(0)


def _root(cli: Cli) -> Path:
    return Path(json.loads(cli("--json", "status").out)["root"])


def test_a_batch_that_did_nothing_to_names_makes_no_batch(four: Cli, tmp_path: Path) -> None:
    assert four("digests", "add", "sha256").code == 0
    assert _load(four, tmp_path, {"c": C}) == 6  # known already
    assert _load(four, tmp_path, {"c": A}, "--on-conflict", "keep") == 7
    before = _state(four)
    for batch in (5, 6, 7):
        for options in ([], ["--dry-run"]):
            report = _revert(four, batch, *options)
            assert report["batch"] is None
            assert not any(report[key] for key in report if key.startswith("aliases"))
        assert four("revert", str(batch)).out.startswith(f"nothing of batch {batch} is left")
    assert _state(four) == before
    assert _revert(four, 2)["batch"] == 8
    assert _revert(four, 2)["batch"] is None


def test_after_the_right_file_all_is_as_it_should_be(cli: Cli, tmp_path: Path) -> None:
    """The story for which there is ``revert``: somebody loaded the wrong file."""
    _load(cli, tmp_path, {"a": A, "b": B})
    wrong = _load(cli, tmp_path, {"a": C, "c": D, "d": E}, "--on-conflict", "replace")
    text = cli("revert", str(wrong))
    assert text.out.splitlines()[0] == (
        "batch 3 reverts batch 2: 2 aliases retired, 1 moved back, 0 restored, 0 kept as a later "
        "batch left them"
    )
    assert "3 sequences of batch 2" in text.out
    right = _load(cli, tmp_path, {"c": A, "d": D})
    assert _names(cli) == {"n:a": A, "n:b": B, "n:c": A, "n:d": D}
    assert _names(cli, "--at", str(wrong)) == {"n:a": C, "n:b": B, "n:c": D, "n:d": E}
    assert _names(cli, "--at", str(right - 1)) == {"n:a": A, "n:b": B}
    meanings = json.loads(cli("--json", "alias", "history", "n:c").out)["meanings"]
    assert [(one["digest"], one["from_batch"], one["to_batch"]) for one in meanings] == [
        (f"SQ.{sha512t24u(D)}", 2, 3),
        (f"SQ.{sha512t24u(A)}", 4, None),
    ]
    assert cli("verify", "--full").code == 0


def _is_circular(cli: Cli, name: str, *options: str) -> bool:
    answer = cli("get", f"{name}:30-10", *options)
    assert answer.code in (0, 5), answer.err
    return answer.code == 0


def test_circular_marks_of_the_batch_go_and_others_stay(cli: Cli, tmp_path: Path) -> None:
    _load(cli, tmp_path, {"a": A, "b": B}, "--circular", "b")
    _load(cli, tmp_path, {"a": A}, "--circular", "a")
    assert (_is_circular(cli, "n:a"), _is_circular(cli, "n:b")) == (True, True)
    report = _revert(cli, 2)
    assert (report["batch"], report["circular_unmarked"]) == (3, 1)
    assert (_is_circular(cli, "n:a"), _is_circular(cli, "n:b")) == (False, True)
    assert [_is_circular(cli, "n:a", "--at", str(n)) for n in (1, 2, 3)] == [False, True, False]


def test_reverting_a_revert_brings_circular_marks_back(cli: Cli, tmp_path: Path) -> None:
    _load(cli, tmp_path, {"a": A}, "--circular", "a")
    assert _revert(cli, 1)["circular_unmarked"] == 1
    _revert(cli, 2)
    assert _names(cli) == {"n:a": A}
    assert _is_circular(cli, "n:a")


def test_reverting_the_revert_of_a_mark_alone_brings_it_back(cli: Cli, tmp_path: Path) -> None:
    _load(cli, tmp_path, {"a": A})
    _load(cli, tmp_path, {"a": A}, "--circular", "a")
    assert _revert(cli, 2)["batch"] == 3
    assert _revert(cli, 3)["batch"] == 4
    assert _is_circular(cli, "n:a")


# --- reclaim: what goes ------------------------------------------------------------------------

LONG = random_residues("long", (1 << 20) + 5000)
MIDDLE = random_residues("middle", 50_000)

#: One file, of which a part goes.
MIXED = {
    "short.1": A,
    "goes.1": B,
    "long.1": LONG,
    "goes.2": random_residues("goes.2", 70_000),
    "middle.1": MIDDLE,
    "goes.3": random_residues("goes.3", (1 << 20) + 77),
    "short.2": C,
    "empty.1": "",
    "short.3": "A",
}
STAYS = {name: text for name, text in MIXED.items() if not name.startswith("goes")}


@pytest.fixture(scope="module")
def mixed_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1: a file of which some has other names; 2: another, all of which goes; both reverted."""
    directory = tmp_path_factory.mktemp("mixed")
    root = directory / "archive"
    write_fasta(directory / "1.fa", MIXED)
    write_fasta(directory / "2.fa", {"whole.1": D, "whole.2": random_residues("whole", 30_000)})
    (directory / "names.tsv").write_text(
        "".join(f"kept\t{name}\t{sq(text)}\n" for name, text in STAYS.items())
    )
    for arguments in (
        [
            "load",
            "-n",
            "n",
            "--circular",
            "middle.1",
            "--circular",
            "goes.2",
            str(directory / "1.fa"),
        ],
        ["load", "-n", "n", str(directory / "2.fa")],
        ["import-aliases", str(directory / "names.tsv")],
        ["revert", "1"],
        ["revert", "2"],
    ):
        code, err = run(root, *arguments)
        assert code == 0, err
    return directory


@pytest.fixture
def mixed(mixed_template: Path, root: Path) -> Path:
    """A copy of it, to be changed."""
    return copy(mixed_template / "archive", root)


GONE = {name: text for name, text in MIXED.items() if name not in STAYS}
GONE |= {"whole.1": D, "whole.2": random_residues("whole", 30_000)}


def _problems(archive: Archive) -> list[str]:
    """What is wrong with sequences that stay, by any of their names."""
    wrong = []
    for name, text in STAYS.items():
        for identifier in (f"kept:{name}", *computed(text)):
            if archive.fetch(identifier, 0, min(len(text), 60)) != text[:60]:
                wrong.append(identifier)
        for start, end in (
            (0, len(text)),
            (len(text) // 3, len(text) // 2),
            (len(text), len(text)),
        ):
            if archive.fetch(f"kept:{name}", start, end) != text[start:end]:
                wrong.append(f"{name}:{start}-{end}")
        if "".join(archive.pieces(f"kept:{name}", 1000)) != text:
            wrong.append(f"pieces of {name}")
    return wrong


def test_what_goes_is_gone_and_what_stays_is_as_it_was(mixed: Path, cli: Cli) -> None:
    first, second = shards(mixed)
    size = sum(path.stat().st_size for path in (mixed / "master" / "sequences").rglob("*.bgz*"))
    state = _state(cli), tree(mixed / "master" / "sequences")
    dry = _reclaim(cli, "--dry-run")
    assert (_state(cli), tree(mixed / "master" / "sequences")) == state
    report = _reclaim(cli)
    assert report["batch"] == 6
    assert (report["sequences"], report["residues"]) == (len(GONE), sum(map(len, GONE.values())))
    assert report["shards_rewritten"] == [str(first.relative_to(mixed / "master" / "sequences"))]
    assert report["shards_dropped"] == [str(second.relative_to(mixed / "master" / "sequences"))]
    for key in ("sequences", "residues", "shards_rewritten", "shards_dropped"):
        assert dry[key] == report[key]
    now = sum(path.stat().st_size for path in (mixed / "master" / "sequences").rglob("*.bgz*"))
    assert report["bytes_freed"] == size - now
    assert not first.exists()
    assert not second.exists()
    with seqarchive.connect(mixed) as archive:
        assert _problems(archive) == []
        assert {str(one) for one in archive.sequences()} == set(STAYS.values())
        assert archive.is_circular("kept:middle.1") is False  # the mark went with the batch
        for text in GONE.values():
            for identifier in computed(text):
                assert identifier not in archive
    assert verified(mixed).findings == []
    assert untidy(mixed) == []
    # Nothing is left to reclaim.
    again = cli("repair", "--reclaim")
    assert again == Result(0, "nothing to reclaim\n", "")
    assert len(cli("--json", "log").out.splitlines()) == 6


def test_no_row_is_left_of_what_is_gone_but_what_its_names_meant(mixed: Path, cli: Cli) -> None:
    assert cli("digests", "add", "sha256").code == 0
    assert _reclaim(cli)["sequences"] == len(GONE)
    with closing(sqlite3.connect(database(mixed))) as connection:
        for table in ("records", "circular", "ended_circular", "sha256", "aliases"):
            (n_lost,) = connection.execute(
                f"SELECT count(*) FROM {table} WHERE sequence_id NOT IN (SELECT id FROM sequences)"
            ).fetchone()
            assert n_lost == 0, table
        rows = connection.execute("SELECT digest, length FROM reclaimed").fetchall()
        removed = connection.execute("SELECT is_removed FROM dropped_shards").fetchall()
    gone = {hashlib.sha512(text.encode()).digest()[:24]: len(text) for text in GONE.values()}
    assert dict(rows) == gone
    assert removed == [(1,), (1,)]


@pytest.mark.skipif(shutil.which("samtools") is None, reason="needs samtools")
def test_samtools_reads_what_was_written_anew(mixed: Path, cli: Cli) -> None:
    _reclaim(cli)
    (shard,) = shards(mixed)
    for text in filter(None, STAYS.values()):
        region = f"{sha512t24u(text)}:1-{min(70, len(text))}"
        done = subprocess.run(
            ["samtools", "faidx", "-n", "0", str(shard), region],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "".join(done.stdout.split("\n")[1:]) == text[:70]
    index = shard.with_name(shard.name + ".fai").read_text()
    listed = {line.split("\t")[0]: int(line.split("\t")[1]) for line in index.splitlines()}
    assert listed == {sha512t24u(text): len(text) for text in STAYS.values() if text}
    before = {path.name: path.read_bytes() for path in shard.parent.iterdir()}
    moved = shutil.copy(shard, mixed / "copy.fa.bgz")
    subprocess.run(["samtools", "faidx", moved], check=True)
    assert (mixed / "copy.fa.bgz.fai").read_bytes() == before[shard.name + ".fai"]
    assert (mixed / "copy.fa.bgz.gzi").read_bytes() == before[shard.name + ".gzi"]


def test_the_past_says_what_there_was(mixed: Path, cli: Cli) -> None:
    before = [cli("export-aliases", "--at", str(n)).out.splitlines() for n in range(6)]
    _reclaim(cli)
    gone = {f"SQ.{sha512t24u(text)}" for text in GONE.values()}
    for n in range(6):
        left = [line for line in before[n] if line.rpartition(":")[2] not in gone]
        assert cli("export-aliases", "--at", str(n)).out.splitlines() == left
    for name, text in GONE.items():
        for moment in ("1", "2", "3"):
            answer = cli("get", f"n:{name}", "--at", moment)
            assert (answer.code, answer.out) == (3, "")
        (meaning,) = json.loads(cli("--json", "alias", "history", f"n:{name}").out)["meanings"]
        assert meaning["digest"] == f"SQ.{sha512t24u(text)}"
        assert meaning["length"] == len(text)
        assert meaning["is_reclaimed"] is True
        assert cli("log", "--alias", f"n:{name}").out.endswith("  (reclaimed)\n")
    assert "reclaimed" not in cli("alias", "history", "n:short.1").out
    assert cli("get", "n:short.1", "--at", "1").out == A + "\n"
    assert _at(mixed, 1).is_circular("n:middle.1")


def _at(root: Path, moment: int) -> Archive:
    return seqarchive.connect(root, at=moment)


@pytest.mark.parametrize(
    "question",
    [["export"], ["export", "--namespace", "n"], ["export-aliases", "-n", "n"], ["log"],
     ["translate", "n:short.1"], ["alias", "list", "n:short.1"], ["get", "n:long.1:5-9"]],
)  # fmt: skip
def test_every_command_can_be_asked_of_the_time_of_what_is_gone(
    mixed: Path, cli: Cli, question: list[str]
) -> None:
    moment = [] if question == ["log"] else ["--at", "1"]
    before = cli(*question, *moment)
    _reclaim(cli)
    after = cli(*question, *moment)
    assert (after.code, after.err) == (0, "")
    if question[0] != "log":
        gone = [sha512t24u(text) for text in GONE.values()]
        parts = ("\n" + before.out).split("\n>" if question[0] == "export" else "\n")
        there = [part for part in parts if not any(digest in part for digest in gone)]
        assert ("\n" + after.out).split("\n>" if question[0] == "export" else "\n") == there


def test_an_ambiguous_name_of_that_time_names_what_is_there(cli: Cli, tmp_path: Path) -> None:
    for namespace, text in (("one", A), ("two", B), ("gone", C)):
        file = write_fasta(tmp_path / "x.fa", {"x": text})
        assert cli("load", "-n", namespace, file).code == 0
    _revert(cli, 3)
    assert _reclaim(cli)["sequences"] == 1
    answer = cli("get", "x", "--at", "3")
    assert answer.code == 3
    assert "stands for 2 sequences: one:x, two:x;" in answer.err


# --- reclaim: what does not go -----------------------------------------------------------------


def _nothing_goes(cli: Cli) -> None:
    report = _reclaim(cli)
    assert (report["sequences"], report["batch"]) == (0, None)


def test_what_no_reverted_batch_added_stays_without_a_name(cli: Cli, tmp_path: Path) -> None:
    _load(cli, tmp_path, {"a": A})
    assert cli("alias", "retire", "n:a").code == 0
    _load(cli, tmp_path, {"b": A})
    _revert(cli, 3)
    _nothing_goes(cli)
    assert cli("get", sq(A)).out == A + "\n"


def test_what_has_a_name_stays(cli: Cli, tmp_path: Path) -> None:
    _load(cli, tmp_path, {"a": A, "b": B})
    assert cli("alias", "add", "n:a", "n:other").code == 0
    _revert(cli, 1)
    assert _reclaim(cli)["sequences"] == 1
    assert _names(cli) == {"n:other": A}


def test_what_a_batch_that_counts_once_named_stays(cli: Cli, tmp_path: Path) -> None:
    _load(cli, tmp_path, {"a": A})
    assert cli("alias", "add", "n:a", "n:other").code == 0
    assert cli("alias", "retire", "n:other").code == 0
    _revert(cli, 1)
    _nothing_goes(cli)
    assert cli("get", "n:other", "--at", "2").out == A + "\n"
    _revert(cli, 2, "--on-conflict", "keep")  # there is nothing to do: it was retired
    _nothing_goes(cli)


def test_what_a_revert_of_the_revert_named_again_stays(cli: Cli, tmp_path: Path) -> None:
    _load(cli, tmp_path, {"a": A})
    _revert(cli, 1)
    _revert(cli, 2)
    _nothing_goes(cli)
    assert cli("alias", "retire", "n:a").code == 0
    _nothing_goes(cli)
    assert _names(cli, "--at", "3") == {"n:a": A}


def test_what_only_reverted_batches_named_goes(cli: Cli, tmp_path: Path) -> None:
    _load(cli, tmp_path, {"a": A})
    assert cli("alias", "add", "n:a", "n:other").code == 0
    _revert(cli, 2)
    _revert(cli, 1)
    assert _reclaim(cli)["sequences"] == 1
    assert len(seqarchive.connect(_root(cli))) == 0
    assert list(shards(_root(cli))) == []


@pytest.mark.parametrize("conflict", ["error", "keep"])
def test_what_another_file_brought_as_well_stays(cli: Cli, tmp_path: Path, conflict: str) -> None:
    """The second load found the sequence there; its own residues are those."""
    _load(cli, tmp_path, {"a": A, "b": B})
    texts = {"a": A, "c": C} if conflict == "error" else {"b": A, "c": C}
    _load(cli, tmp_path, texts, "--on-conflict", conflict)
    _revert(cli, 1)
    _reclaim(cli)
    with seqarchive.connect(_root(cli)) as archive:
        assert archive.fetch(sq(A)) == A
        assert [one["defline"] for one in archive.metadata(sq(A))["deflines"]][-1:] == [
            "a" if conflict == "error" else "b"
        ]
        assert sq(B) not in archive


def test_what_a_snapshot_holds_stays_until_it_is_pruned(cli: Cli, tmp_path: Path) -> None:
    _load(cli, tmp_path, {"a": A})
    _load(cli, tmp_path, {"b": B})
    assert cli("snapshot", "s").code == 0
    _load(cli, tmp_path, {"c": C})
    for batch in (2, 3):
        _revert(cli, batch)
    report = _reclaim(cli)
    assert (report["sequences"], report["held_by_snapshots"]) == (1, 1)
    held = cli("repair", "--reclaim")
    assert held.out == "nothing to reclaim\n  1 sequence kept: a snapshot holds them\n"
    assert cli("get", sq(B)).out == B + "\n"
    assert cli("prune", "s").code == 0
    assert _reclaim(cli)["sequences"] == 1
    assert cli("get", sq(B)).code == 3
    assert _names(cli) == {"n:a": A}


def test_a_snapshot_that_was_copied_away_goes_on_to_be_whole(cli: Cli, tmp_path: Path) -> None:
    _load(cli, tmp_path, {"a": A, "b": B})
    assert cli("snapshot", "s").code == 0
    root = _root(cli)
    kept = tmp_path / "kept" / "s"
    shutil.copytree(root / "s", kept)
    _revert(cli, 1)
    assert cli("prune", "s").code == 0
    assert _reclaim(cli)["sequences"] == 2
    assert cli("--root", kept.parent, "--instance", "s", "get", "n:a").out == A + "\n"
    assert cli("--root", kept.parent, "--instance", "s", "verify", "--full").code == 0


def test_a_snapshot_that_cannot_be_read_may_hold_anything(cli: Cli, tmp_path: Path) -> None:
    _load(cli, tmp_path, {"a": A})
    assert cli("snapshot", "s").code == 0
    _revert(cli, 1)
    root = _root(cli)
    (root / "s").chmod(0o755)
    (root / "s" / "manifest.json").unlink()
    (root / "s" / "manifest.json").write_text("{")
    answer = cli("repair", "--reclaim")
    assert (answer.code, answer.out) == (4, "")
    assert cli("get", sq(A)).out == A + "\n"


def test_damage_in_what_has_to_be_written_anew_stops_it(mixed: Path, cli: Cli) -> None:
    first, _ = shards(mixed)
    data = bytearray(first.read_bytes())
    data[200_000] ^= 4  # in long.1
    first.unlink()
    first.write_bytes(data)
    before = _state(cli), tree(mixed / "master" / "sequences")
    answer = cli("repair", "--reclaim")
    assert (answer.code, answer.out) == (6, "")
    assert (_state(cli), tree(mixed / "master" / "sequences")) == before


def test_while_a_snapshot_is_taken_nothing_is_reclaimed(cli: Cli, tmp_path: Path) -> None:
    _load(cli, tmp_path, {"a": A})
    _revert(cli, 1)
    before = _state(cli)
    with Releasing(_root(cli)):
        answer = cli("repair", "--reclaim")
        assert (answer.code, answer.out) == (7, "")
        assert _reclaim(cli, "--dry-run")["sequences"] == 1
    assert _state(cli) == before
    assert _reclaim(cli)["sequences"] == 1


def test_a_release_reclaims_nothing(cli: Cli, tmp_path: Path) -> None:
    _load(cli, tmp_path, {"a": A})
    assert cli("snapshot", "s").code == 0
    assert cli("--instance", "s", "repair", "--reclaim").code == 8
    assert cli("repair", "--dry-run").code == 2


# --- after it ----------------------------------------------------------------------------------


def _ids(root: Path) -> tuple[set[int], set[int]]:
    """Ids of sequences and of shards that are in use."""
    with closing(sqlite3.connect(database(root))) as connection:
        return (
            {n for (n,) in connection.execute("SELECT id FROM sequences")},
            {n for (n,) in connection.execute("SELECT id FROM shards")},
        )


def test_no_id_is_ever_given_again(cli: Cli, tmp_path: Path) -> None:
    _load(cli, tmp_path, {"a": A})
    root = _root(cli)
    used = _ids(root)
    for n in range(3):
        batch = _load(cli, tmp_path, {f"b{n}": B, f"c{n}": C})
        new = tuple(now - before for now, before in zip(_ids(root), used, strict=True))
        assert (len(new[0]), len(new[1])) == (2, 1)
        used = (used[0] | new[0], used[1] | new[1])
        _revert(cli, batch)
        assert _reclaim(cli)["sequences"] == 2
    _revert(cli, 1)
    assert _reclaim(cli)["sequences"] == 1
    assert _ids(root) == (set(), set())
    _load(cli, tmp_path, {"a": A})
    assert min(_ids(root)[0]) > max(used[0])
    assert min(_ids(root)[1]) > max(used[1])
    assert cli("verify", "--full").code == 0


@pytest.mark.parametrize("way", ["file", "pipe"])
def test_what_was_reclaimed_can_be_loaded_again(
    mixed: Path, mixed_template: Path, cli: Cli, way: str
) -> None:
    _reclaim(cli)
    for file in ("1.fa", "2.fa"):
        data = (mixed_template / file).read_bytes()
        source = mixed_template / file if way == "file" else "-"
        answer = cli("--json", "load", "-n", "n", source, stdin=data if way == "pipe" else b"")
        assert answer.code == 0
    with seqarchive.connect(mixed) as archive:
        assert _problems(archive) == []
        for name, text in (MIXED | GONE).items():
            assert archive.fetch(f"n:{name}") == text
        assert len(archive) == len(MIXED | GONE)
    assert verified(mixed).findings == []
    assert _reclaim(cli)["sequences"] == 0
    for name in GONE:
        meanings = json.loads(cli("--json", "alias", "history", f"n:{name}").out)["meanings"]
        assert [one["is_reclaimed"] for one in meanings] == [True, False]


def test_deflines_of_what_is_loaded_again_are_kept(cli: Cli, tmp_path: Path) -> None:
    _load(cli, tmp_path, {"a first of all": A, "b second": B})
    _revert(cli, 1)
    assert _reclaim(cli)["sequences"] == 2
    _load(cli, tmp_path, {"a first of all": A, "b second": B})
    with seqarchive.connect(_root(cli)) as archive:
        said = {one["defline"] for one in archive.metadata("n:a")["deflines"]}
    assert said == {"a first of all"}


def _not_parsed(*_: object) -> Iterator[None]:
    raise AssertionError("it was parsed")


def test_a_file_that_was_reclaimed_is_known_once_it_was_loaded_again(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {"a": A, "b": B}
    _load(cli, tmp_path, texts)
    _revert(cli, 1)
    assert _reclaim(cli)["sequences"] == 2
    _load(cli, tmp_path, texts)
    assert _names(cli) == {"n:a": A, "n:b": B}
    monkeypatch.setattr(records.FastaScanner, "__iter__", _not_parsed)
    _load(cli, tmp_path, texts)
    assert _names(cli) == {"n:a": A, "n:b": B}


#: What is done before and after ``repair --reclaim``, and what would name what is gone.
HOPELESS: dict[str, tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]] = {
    "the revert is reverted": ([("load", {"a": B}), ("revert", "2")], [("revert", "3")]),
    "a later move is reverted": (
        [("load", {"a": B, "b": C}), ("load", {"a": A}), ("revert", "2", "keep")],
        [("revert", "3")],
    ),
    "and replaced": (
        [("load", {"a": B}), ("revert", "2")],
        [("load", {"a": C}), ("revert", "3", "replace")],
    ),
}


@pytest.mark.parametrize("case", HOPELESS)
def test_no_revert_gives_a_name_to_what_is_gone(cli: Cli, tmp_path: Path, case: str) -> None:
    """It may say that it cannot, or leave such names alone; no name may lead nowhere."""
    before, after = HOPELESS[case]
    _load(cli, tmp_path, {"a": A})
    for step in before:
        assert _do(cli, tmp_path, step).code == 0
    assert _reclaim(cli)["sequences"] > 0
    state: tuple[str, str] = ("", "")
    for step in after:
        state = _state(cli)
        answer = _do(cli, tmp_path, step)
    assert answer.code in (0, 3, 4)
    if answer.code:
        assert _state(cli) == state
    assert verified(_root(cli)).findings == []
    with seqarchive.connect(_root(cli)) as archive:
        listed = {str(alias) for alias, _ in archive.all_aliases()}
        assert archive.status()["aliases"] == len(listed)
        for name in listed:
            assert archive.fetch(name)


def _do(cli: Cli, tmp_path: Path, step: tuple[Any, ...]) -> Result:
    kind, what, *policy = step
    if kind == "revert":
        return cli("revert", what, "--on-conflict", *(policy or ["error"]))
    file = write_fasta(tmp_path / "step.fa", what)
    return cli("load", "-n", "n", "--on-conflict", "replace", file)


# --- readers meanwhile -------------------------------------------------------------------------


def test_a_reader_that_has_located_a_sequence_goes_on(mixed: Path, cli: Cli) -> None:
    with seqarchive.connect(mixed) as warm, seqarchive.connect(mixed) as located:
        assert _problems(warm) == []
        sequences = {name: located[f"kept:{name}"] for name in STAYS}
        begun = {name: located.pieces(f"kept:{name}", 1000) for name in STAYS}
        pieces = warm.pieces("kept:long.1", 300_000)
        beginning = next(pieces)
        gone = warm["md5:" + computed(GONE["goes.2"])[1].partition(":")[2]]
        assert _reclaim(cli)["batch"] == 6
        assert _problems(warm) == []
        assert beginning + "".join(pieces) == LONG
        for name, text in STAYS.items():
            assert str(sequences[name]) == text
            assert "".join(begun[name]) == text
        with pytest.raises(seqarchive.NotFound):
            str(gone)
        assert _problems(located) == []


@pytest.mark.parametrize("how", ["fetch", "fetch part", "fetch_many", "pieces", "sequence"])
def test_a_sequence_that_moves_between_finding_and_reading_it_is_read(
    mixed: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The reader is stopped where it knows the place and has not opened the shard yet."""
    with seqarchive.connect(mixed) as archive:
        finder = archive._finder
        locate = finder.locate
        done: list[dict[str, Any]] = []

        def stopped(identifier: str) -> object:
            found = locate(identifier)
            if not done:
                done.append(_reclaim(cli))
            return found

        monkeypatch.setattr(finder, "locate", stopped)
        found = {
            "fetch": lambda: archive.fetch("kept:middle.1"),
            "fetch part": lambda: archive.fetch("kept:middle.1", 0, None),
            "fetch_many": lambda: archive.fetch_many([("kept:middle.1", None, None)])[0],
            "pieces": lambda: "".join(archive.pieces("kept:middle.1", 1000)),
            "sequence": lambda: str(archive["kept:middle.1"]),
        }[how]()
        assert found == MIDDLE
        assert done[0]["batch"] == 6


_READER = """
import json, sys, time
sys.path.insert(0, sys.argv[2])
import seqarchive
from pathlib import Path
from test_revert import _problems
root, stop = sys.argv[1], Path(sys.argv[3])
rounds, wrong = 0, []
with seqarchive.connect(root) as archive:
    while not stop.exists() or rounds < 2:
        with seqarchive.connect(root) as another:
            wrong += _problems(archive) + _problems(another)
        rounds += 1
        Path(sys.argv[3] + ".ready").touch()
print(json.dumps([rounds > 1, wrong]))
"""


def test_readers_go_on_while_it_runs(
    mixed: Path, cli: Cli, mixed_template: Path, tmp_path: Path
) -> None:
    """A process and a thread read while sequences come and go, and shards with them."""
    stop = tmp_path / "stop"
    command = [sys.executable, "-c", _READER, str(mixed), str(Path(__file__).parent), str(stop)]
    other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    wrong: list[str] = []

    def read() -> None:
        try:
            with seqarchive.connect(mixed) as archive:
                while not stop.exists():
                    wrong.extend(_problems(archive))
        except Exception as error:
            wrong.append(repr(error))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        wait_until(lambda: Path(f"{stop}.ready").exists())
        shards_seen = set(shards(mixed))
        for batch in (6, 9, 12, 15):
            assert _reclaim(cli)["batch"] == batch
            assert cli("load", "-n", "n", mixed_template / "1.fa").code == 0
            assert cli("revert", str(batch + 1)).code == 0
            shards_seen |= set(shards(mixed))
    finally:
        stop.touch()
        thread.join()
        out, _ = other.communicate()
    assert wrong == []
    assert json.loads(out) == [True, []]
    assert other.returncode == 0
    assert len(shards_seen) > 5


def test_what_is_reclaimed_is_gone_for_good_before_that_is_noted(
    cli: Cli, root: Path, tmp_path: Path
) -> None:
    file = write_fasta(tmp_path / "1.fa", {"a": A, "b": B})
    assert cli("load", "-n", "n", file).code == 0
    assert cli("revert", "1").code == 0
    ended = traced(root, ["repair", "--reclaim"])
    assert ended.code == 0, ended.err
    calls = [call for call in ended.calls if call.result != "-1"]
    in_journal = [
        n
        for n, call in enumerate(calls)
        if call.kind in ("unlink", "rmdir") and call.place.startswith("master/sequences/#")
    ]
    assert len(in_journal) >= 3
    synced = next(
        n
        for n, call in enumerate(calls)
        if n > max(in_journal) and call.kind == "fsync" and "sequences" in call.place
    )
    noted = [
        n for n, call in enumerate(calls) if call.kind == "pwrite64" and "-wal" in call.place
    ]
    assert max(noted) > synced
    assert not [n for n in noted if max(in_journal) < n < synced]


def test_a_mark_that_later_batches_gave_and_took_stays_as_they_left_it(
    cli: Cli, root: Path
) -> None:
    assert cli("load", "-n", "n", "--circular", "a", "-", stdin=b">a\nACGT\n").code == 0
    for batch in (1, 2, 3):  # gone, back, gone
        assert cli("revert", str(batch)).code == 0
    with seqarchive.connect(root) as archive:
        assert not archive.is_circular(sq("ACGT"))
        cli("revert", "--on-conflict", "keep", "2")
        assert not archive.is_circular(sq("ACGT"))
