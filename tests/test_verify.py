"""Damage is found, named, and never turned into residues; repair mends what can be mended.

Bits that are flipped and files that are cut are in ``test_faults.py``; here is what is done to
whole files, rows and pages.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli
from contents import contents, copy, database, forget_batch, random_residues, run, untidy
from damage import (
    FIRST,
    RESIDUES,
    SECOND,
    SUFFIXES,
    delete,
    make_dangling_symlink,
    make_directory,
    make_empty,
    make_fifo,
    make_loop,
    make_symlink_to_itself_elsewhere,
    overwrite,
    rewrite_shard,
    wrong_answers,
)
from helpers import sha512t24u, shards, tree, write_fasta

from seqarchive import Archive, BadInterval, Corrupt, NotFound, verifying
from seqarchive.instances import Instance
from seqarchive.verifying import VerifyReport, verify
from seqarchive.workers import Worker, Workers


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive without damage; nobody changes it."""
    directory = tmp_path_factory.mktemp("sound")
    root = directory / "archive"
    for name, records in (("first", FIRST), ("second", SECOND)):
        file = write_fasta(directory / f"{name}.fa", records)
        options = ["--namespace", "t", "--compression", "small"]
        assert run(root, "load", *options, str(file)) == (0, "")
    assert findings(root) == []
    return root


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return copy(sound, tmp_path / "archive")


@pytest.fixture
def in_workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have processes check also what is not worth them."""
    begun: list[int] = []
    begin = Workers.__enter__

    def counting(workers: Workers) -> list[Worker]:
        found = begin(workers)
        begun.append(len(found))
        return found

    monkeypatch.setattr(verifying, "_MUCH", 0)
    monkeypatch.setattr(Workers, "__enter__", counting)
    yield
    assert begun
    assert all(begun)


def check(root: Path, *, full: bool = True) -> VerifyReport:
    return verify(Instance(root), full=full)


def findings(root: Path, *, full: bool = True) -> list[str]:
    return [str(finding) for finding in check(root, full=full).findings]


def file_of(root: Path, suffix: str, number: int = 0) -> Path:
    path = shards(root)[number]
    return path.with_name(path.name + suffix)


def sql(root: Path, *statements: str) -> None:
    with closing(sqlite3.connect(database(root), isolation_level=None)) as connection:
        for statement in statements:
            assert connection.execute(statement).rowcount != 0, "nothing to damage"


# --- files ------------------------------------------------------------------------------------


def test_bytes_behind_the_end_are_found(root: Path) -> None:
    for suffix in SUFFIXES:
        path = file_of(root, suffix)
        data = path.read_bytes()
        for more in (b"\0", b"\n", data):
            overwrite(path, data + more)
            for full in (True, False):
                assert any(path.name in line for line in findings(root, full=full))
            assert wrong_answers(root, random.Random(0)) == []
        overwrite(path, data)


DAMAGES = [
    delete,
    make_directory,
    make_symlink_to_itself_elsewhere,
    make_dangling_symlink,
    make_fifo,
    make_empty,
]


@pytest.mark.parametrize("suffix", SUFFIXES, ids=["shard", "fai", "gzi"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_is_no_longer_one_is_found(
    root: Path, suffix: str, damage: Callable[[Path], None]
) -> None:
    path = file_of(root, suffix)
    damage(path)
    for options in (["--full"], []):
        done = process(root, "--json", "verify", *options)
        assert done.returncode == 6, done.stderr
        report = json.loads(done.stdout)
        assert not report["ok"]
        assert any(finding["where"].endswith(path.name) for finding in report["findings"])


@pytest.mark.parametrize("suffix", SUFFIXES, ids=["shard", "fai", "gzi"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_is_no_longer_one_gives_no_wrong_residues(
    root: Path, suffix: str, damage: Callable[[Path], None]
) -> None:
    damage(file_of(root, suffix))
    done = process(root, "get", "t:A.2")
    if done.returncode == 0:
        assert done.stdout == RESIDUES["A.2"] + "\n"
    else:
        assert done.returncode == 6, done.stderr
        assert done.stdout == ""
        assert done.stderr.startswith("seqarchive: ")
    assert wrong_answers(root, random.Random(0)) == []


def process(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line as a process; one that waits for what never comes fails the test."""
    return subprocess.run(
        [sys.executable, "-m", "seqarchive", "--root", str(root), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("suffixes", [[""], [".fai"], [".gzi"], SUFFIXES], ids="+".join)
def test_files_of_two_shards_that_were_exchanged_are_found(root: Path, suffixes: list[str]) -> None:
    for suffix in suffixes:
        one, other = (file_of(root, suffix, number) for number in range(2))
        data = one.read_bytes(), other.read_bytes()
        assert data[0] != data[1]
        overwrite(one, data[1])
        overwrite(other, data[0])
    found = findings(root)
    for number in range(2):
        for suffix in suffixes:
            assert any(line.startswith(where(root, suffix, number) + ":") for line in found)
    assert findings(root, full=False) != []
    assert wrong_answers(root, random.Random(0)) == []


def where(root: Path, suffix: str, number: int = 0) -> str:
    """How a finding names a file."""
    return str(file_of(root, suffix, number).relative_to(root / "master"))


def test_shards_of_equal_size_that_were_exchanged_are_found(root: Path, tmp_path: Path) -> None:
    for name, residues in (("X.1", "ACGT" * 5_000), ("X.2", "TGCA" * 5_000)):
        file = write_fasta(tmp_path / f"{name}.fa", {name: residues})
        assert run(root, "load", "--namespace", "t", str(file))[0] == 0
    one, other = (file_of(root, "", number) for number in (2, 3))
    assert one.stat().st_size == other.stat().st_size
    data = one.read_bytes(), other.read_bytes()
    overwrite(one, data[1])
    overwrite(other, data[0])
    found = findings(root)
    for number in (2, 3):
        assert any(line.startswith(where(root, "", number)) for line in found)
    with Archive(root) as archive:
        for name in ("t:X.1", "t:X.2"):
            with pytest.raises(Corrupt):
                archive.fetch(name)
            with pytest.raises(Corrupt):
                archive.fetch(name, 3, 9)


def test_a_file_that_does_not_belong_into_the_journal_is_found(root: Path, cli: Cli) -> None:
    for path in (shards(root)[0].with_name("notes.txt"), root / "master/sequences/core"):
        path.write_text("?")
        for options in (["--full"], []):
            result = cli("verify", *options)
            assert result.code == 6
            assert path.name in result.out
        path.unlink()


def test_a_shard_that_no_row_names_is_left_over_and_no_damage(root: Path, cli: Cli) -> None:
    forget_batch(root, 2)
    for options in (["--full"], []):
        result = cli("--json", "verify", *options)
        assert result.code == 0
        report = json.loads(result.out)
        assert report["findings"] == []
        expected = sorted(str(where(root, suffix, 1)) for suffix in SUFFIXES)
        assert sorted(report["left_over"]) == expected


def test_an_unfinished_file_is_left_over_and_goes_with_the_next_write(
    root: Path, cli: Cli, tmp_path: Path
) -> None:
    temporary = root / "master" / "tmp"
    temporary.mkdir(exist_ok=True)
    (temporary / "7.fa.bgz").write_bytes(b"half a sha")
    result = cli("--json", "verify", "--full")
    assert (result.code, json.loads(result.out)["left_over"]) == (0, ["tmp/7.fa.bgz"])
    assert cli("load", "--namespace", "t", write_fasta(tmp_path / "x.fa", {"X": "AC"})).code == 0
    assert untidy(root) == []


# --- the database -----------------------------------------------------------------------------

OF_L1 = "WHERE id = (SELECT sequence_id FROM aliases WHERE alias = 'L.1')"
OF_A2 = "WHERE id = (SELECT sequence_id FROM aliases WHERE alias = 'A.2')"

#: Damaged rows that even the quick check finds, and what its finding must name.
ROWS = {
    "a shard is gone": ("DELETE FROM shards WHERE id = 1", ""),
    "a shard has another path": ("UPDATE shards SET path = 'x.fa.bgz' WHERE id = 1", "x.fa.bgz"),
    "a shard's size is another": ("UPDATE shards SET size_bytes = 7 WHERE id = 1", ".fa.bgz"),
    "a shard's .fai has another size": ("UPDATE shards SET fai_bytes = 7 WHERE id = 1", ".fai"),
    "a shard's .gzi has another digest": (
        "UPDATE shards SET gzi_sha256 = zeroblob(32) WHERE id = 1",
        ".gzi",
    ),
    "a shard begins with another sequence": (
        "UPDATE shards SET first_digest = zeroblob(24) WHERE id = 1",
        ".fa.bgz",
    ),
    "a column has another name": ("ALTER TABLE circular RENAME sequence_id TO sequence_ib", ""),
    "a sequence is gone": (f"DELETE FROM sequences {OF_A2}", "A.2"),
    "a sequence is in another shard": (f"UPDATE sequences SET shard_id = 2 {OF_A2}", ".fa.bgz"),
    "a sequence is in no shard": (f"UPDATE sequences SET shard_id = NULL {OF_A2}", ""),
    "a sequence is longer": (f"UPDATE sequences SET length = length + 1 {OF_A2}", ".fa.bgz"),
    "a long sequence is shorter": (f"UPDATE sequences SET length = length - 1 {OF_L1}", ".fa.bgz"),
    "a length is negative": (f"UPDATE sequences SET length = -1 {OF_A2}", ""),
    "an offset is another": (f"UPDATE sequences SET offset = offset + 1 {OF_A2}", ".fa.bgz"),
    "the offset of a long one is another": (
        f"UPDATE sequences SET offset = offset + 8 {OF_L1}",
        ".fa.bgz",
    ),
    "a digest is another": (f"UPDATE sequences SET digest = zeroblob(24) {OF_A2}", ".fa.bgz"),
    "a digest is too short": (f"UPDATE sequences SET digest = x'00' {OF_A2}", ""),
    "a batch is gone": ("DELETE FROM batches WHERE id = 1", ""),
    "an alias dangles": ("UPDATE aliases SET sequence_id = 99 WHERE alias = 'A.1'", "t:A.1"),
    "an alias is of no batch": ("UPDATE aliases SET batch_id = 34 WHERE alias = 'A.1'", "t:A.1"),
    "what an alias meant is of no batch": (
        "INSERT INTO ended_aliases (alias, namespace_id, sequence_id, from_batch, to_batch)"
        " VALUES ('Old.1', 1, 1, 1, 34)",
        "Old.1",
    ),
    "a namespace is gone": ("DELETE FROM namespaces", "A.1"),
    "an empty sequence is not": ("UPDATE sequences SET md5 = zeroblob(16) WHERE length = 0", ""),
}

#: Those that are found when everything is hashed.
HASHED = {
    "a shard's digest is another": (
        "UPDATE shards SET sha256 = zeroblob(32) WHERE id = 1",
        ".fa.bgz",
    ),
    "an MD5 is another": (f"UPDATE sequences SET md5 = zeroblob(16) {OF_A2}", ".fa.bgz"),
    "a SHA-1 is another": (f"UPDATE sequences SET sha1 = zeroblob(20) {OF_L1}", ".fa.bgz"),
    "the letters are others": (f"UPDATE sequences SET letters = 1 {OF_A2}", ""),
}


@pytest.mark.parametrize(("statement", "named"), ROWS.values(), ids=ROWS)
def test_a_damaged_row_is_found(root: Path, cli: Cli, statement: str, named: str) -> None:
    sql(root, statement)
    for options in (["--full"], []):
        result = cli("verify", *options)
        assert result.code == 6, result.err
        assert named in result.out
        assert result.err == ""


@pytest.mark.usefixtures("in_workers")
@pytest.mark.parametrize(("statement", "named"), (ROWS | HASHED).values(), ids=(*ROWS, *HASHED))
def test_workers_find_a_damaged_row(root: Path, cli: Cli, statement: str, named: str) -> None:
    sql(root, statement)
    result = cli("verify", "--full")
    assert result.code == 6, result.err
    assert named in result.out
    assert result.err == ""


@pytest.mark.parametrize(("statement", "named"), HASHED.values(), ids=HASHED)
def test_a_damaged_digest_is_found_in_full(
    root: Path, cli: Cli, statement: str, named: str
) -> None:
    sql(root, statement)
    result = cli("verify", "--full")
    assert result.code == 6, result.err
    assert named in result.out


def test_a_wrong_sha256_is_found_in_full(root: Path, cli: Cli) -> None:
    assert cli("digests", "add", "sha256").code == 0
    assert cli("verify", "--full").code == 0
    sql(root, "UPDATE sha256 SET digest = zeroblob(32) WHERE sequence_id = 2")
    result = cli("verify", "--full")
    assert result.code == 6
    assert "sha256" in result.out.lower().replace("-", "")


NONSENSE = [
    f"UPDATE sequences SET digest = 'text of twenty-four char' {OF_A2}",
    f"UPDATE sequences SET length = 'many' {OF_A2}",
    f"UPDATE sequences SET offset = 'there' {OF_A2}",
    f"UPDATE sequences SET offset = 9223372036854775807 {OF_A2}",
    f"UPDATE sequences SET length = 9223372036854775807 {OF_A2}",
    f"UPDATE sequences SET offset = -5 {OF_A2}",
    "UPDATE shards SET fai_sha256 = NULL WHERE id = 1",
    "UPDATE shards SET fai_bytes = NULL WHERE id = 1",
    "UPDATE shards SET gzi_sha256 = 'text' WHERE id = 1",
    "UPDATE shards SET path = x'00ff' WHERE id = 1",
    "UPDATE shards SET path = '' WHERE id = 1",
]


@pytest.mark.parametrize("statement", NONSENSE)
def test_a_row_with_nonsense_is_found_and_not_tripped_over(
    root: Path, cli: Cli, statement: str
) -> None:
    sql(root, statement)
    for options in (["--full"], []):
        result = cli("verify", *options)
        assert result.code == 6, result.err
        assert result.err == ""


@pytest.mark.usefixtures("in_workers")
@pytest.mark.parametrize("statement", NONSENSE)
def test_workers_do_not_trip_over_nonsense(root: Path, cli: Cli, statement: str) -> None:
    sql(root, statement)
    result = cli("verify", "--full")
    assert (result.code, result.err) == (6, "")


def test_a_shard_outside_of_the_journal_is_found(root: Path, cli: Cli, tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        shutil.copy(file_of(root, suffix), tmp_path / f"outside.fa.bgz{suffix}")
    for path in (f"{tmp_path}/outside.fa.bgz", "../../../outside.fa.bgz"):
        assert (root / "master/sequences" / path).exists()
        sql(root, f"UPDATE shards SET path = '{path}' WHERE id = 1")
        result = cli("verify", "--full")
        assert result.code == 6, result.out
        assert "outside.fa.bgz" in result.out


@pytest.mark.parametrize("statement", [s for s, _ in ROWS.values()], ids=ROWS)
def test_a_damaged_row_never_becomes_a_wrong_sequence(root: Path, statement: str) -> None:
    sql(root, statement)
    with Archive(root) as archive:
        for name, residues in RESIDUES.items():
            try:
                assert archive.fetch(f"t:{name}") == residues
            except (Corrupt, NotFound, BadInterval, sqlite3.Error):
                continue


@pytest.mark.parametrize("statement", [s for s, _ in ROWS.values()], ids=ROWS)
def test_a_damaged_row_never_becomes_wrong_residues_of_a_part(root: Path, statement: str) -> None:
    sql(root, statement)
    for seed in range(5):
        errors = (Corrupt, NotFound, BadInterval, sqlite3.Error)
        assert wrong_answers(root, random.Random(seed), errors) == []


def pages(root: Path) -> list[int]:
    """The offsets of the pages of the database, all of which are in use."""
    with closing(sqlite3.connect(database(root))) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        (count,) = connection.execute("PRAGMA page_count").fetchone()
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    assert free == 0
    assert database(root).stat().st_size == size * count
    return [size * number for number in range(count)]


@pytest.mark.parametrize("fill", [0x00, 0xA5, 0xFF])
def test_every_damaged_page_of_the_database_is_found(root: Path, cli: Cli, fill: int) -> None:
    offsets = pages(root)
    data = database(root).read_bytes()
    size = offsets[1]
    every = 1 if fill == 0xA5 or os.environ.get("SEQARCHIVE_ALL_FAULTS") else 3
    for offset in offsets[::every]:
        damaged = data[:offset] + bytes([fill]) * size + data[offset + size :]
        database(root).write_bytes(damaged)
        for options in (["--full"], [])[: 2 if fill == 0xA5 else 1]:
            result = cli("verify", *options)
            assert result.code == 6, f"page {offset // size}: {result}"
            assert "aliases.sqlite3" in result.out + result.err
    database(root).write_bytes(data)
    assert cli("verify", "--full").code == 0


def test_a_truncated_database_is_found(root: Path, cli: Cli) -> None:
    offsets = pages(root)
    data = database(root).read_bytes()
    some = offsets[1 :: 1 if os.environ.get("SEQARCHIVE_ALL_FAULTS") else 3]
    for size in [*some, offsets[-1], len(data) - 1, 50, 100]:
        database(root).write_bytes(data[:size])
        result = cli("verify", "--full")
        assert result.code == 6, f"{size} bytes: {result}"
        assert "aliases.sqlite3" in result.out + result.err


# --- repair -----------------------------------------------------------------------------------


def repaired(root: Path) -> dict[str, Any]:
    """What repair has done, which must have been enough."""
    done = process(root, "--json", "repair")
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["not_repaired"] == []
    assert findings(root) == []
    assert untidy(root) == []
    return report


def files(root: Path) -> dict[str, bytes | None]:
    return tree(root / "master" / "sequences")


@pytest.mark.parametrize("suffixes", [[".fai"], [".gzi"], [".fai", ".gzi"]], ids="+".join)
@pytest.mark.parametrize("damage", [delete, make_empty, make_dangling_symlink, make_fifo])
def test_repair_rebuilds_indexes_byte_for_byte(
    root: Path, sound: Path, suffixes: list[str], damage: Callable[[Path], None]
) -> None:
    for suffix in suffixes:
        damage(file_of(root, suffix))
    report = repaired(root)
    assert sorted(report["rebuilt"]) == sorted(where(root, suffix) for suffix in suffixes)
    assert (report["adopted"], report["moved_aside"]) == ([], [])
    assert files(root) == files(sound)
    assert contents(root) == contents(sound)
    for suffix in suffixes:
        assert file_of(root, suffix).stat().st_mode & 0o777 == 0o444


def test_repair_gets_past_a_directory_in_the_place_of_an_index(root: Path, cli: Cli) -> None:
    make_directory(file_of(root, ".fai"))
    file_of(root, ".gzi", 1).unlink()
    result = cli("--json", "repair")
    report = json.loads(result.out)
    assert where(root, ".gzi", 1) in report["rebuilt"]
    if where(root, ".fai") not in report["rebuilt"]:
        assert result.code == 6
        assert any(where(root, ".fai") in line for line in report["not_repaired"])
    assert not list((root / "master" / "tmp").iterdir())


def _garbage(path: Path) -> None:
    overwrite(path, random.Random(0).randbytes(20_000))


def _cut(path: Path) -> None:
    overwrite(path, path.read_bytes()[:50_000])


@pytest.mark.parametrize("damage", [make_empty, _garbage, _cut, make_directory])
@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["get", "t:A.1"],
        ["load", "-n", "t", "FILE"],
        ["load", "--dry-run", "-n", "t", "FILE"],
        ["repair"],
        ["snapshot", "r1"],
        ["verify"],
    ],
    ids=" ".join,
)
def test_a_damaged_database_is_named_and_nothing_is_written(
    root: Path, cli: Cli, damage: Callable[[Path], None], words: list[str], tmp_path: Path
) -> None:
    file = write_fasta(tmp_path / "more.fa", {"more.1": "ACGTACGT"})
    damage(database(root))
    before = None if database(root).is_dir() else database(root).read_bytes()
    result = cli(*(str(file) if word == "FILE" else word for word in words))
    assert (result.code, result.out, result.err.count("\n")) == (6, "", 1), result
    assert str(database(root)) in result.err
    assert "put a copy of it back" in result.err
    assert before is None or database(root).read_bytes() == before
    assert not (root / "r1").exists()


def test_damage_of_a_database_that_only_a_writer_meets_is_named(root: Path, cli: Cli) -> None:
    with closing(sqlite3.connect(database(root))) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'dropped_shards'"
        ).fetchone()
    with open(database(root), "r+b") as file:
        file.seek((page - 1) * page_size)
        file.write(b"\xff" * page_size)
    for words in (["retire", "t:A.1"], ["add", "t:A.1", "t:more"]):
        result = cli("alias", *words)
        assert (result.code, result.out, result.err.count("\n")) == (6, "", 1), result
        assert str(database(root)) in result.err
        assert "put a copy of it back" in result.err


@pytest.mark.parametrize("damage", [make_empty, _garbage, _cut, delete])
def test_a_damaged_snapshot_says_how_it_is_mended(
    root: Path, cli: Cli, damage: Callable[[Path], None], tmp_path: Path
) -> None:
    assert cli("snapshot", "r1").code == 0
    copied = copy(root, tmp_path / "copied")
    (root / "r1").chmod(0o755)
    damage(root / "r1" / "aliases.sqlite3")
    advice = f"`seqarchive --root {root} --instance r1 repair --from COPY`"
    said = cli("--instance", "r1", "status")
    assert (said.code, said.err.count("\n")) == (6, 1)
    assert advice in said.err
    assert "newest snapshot" not in said.err
    found = cli("--instance", "r1", "verify")
    assert found.code == 6
    assert advice in found.out.splitlines()[-1]
    refused = cli("--instance", "r1", "repair")
    assert (refused.code, refused.err.count("\n")) == (8, 1)
    assert advice in refused.err
    assert cli("--instance", "r1", "repair", "--from", str(copied)).code == 0
    assert cli("--instance", "r1", "verify", "--full").code == 0


def test_repair_puts_a_shard_in_the_place_of_an_empty_directory(
    root: Path, sound: Path, cli: Cli
) -> None:
    assert cli("snapshot", "r1").code == 0
    make_directory(file_of(root, ""))
    result = cli("repair")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"replaced: {where(root, '')} from ")
    assert contents(root) == contents(sound)


def test_repair_leaves_a_directory_in_which_there_is_something(root: Path, cli: Cli) -> None:
    assert cli("snapshot", "r1").code == 0
    make_directory(file_of(root, ""))
    (file_of(root, "") / "notes").write_text("mine")
    result = cli("repair")
    assert result.code == 6
    assert "replaced" not in result.out
    assert (file_of(root, "") / "notes").read_text() == "mine"


def test_a_link_in_the_place_of_a_shard_is_said_to_be_one(root: Path, cli: Cli) -> None:
    make_symlink_to_itself_elsewhere(file_of(root, ""))
    result = cli("get", "t:A.1")
    assert (result.code, result.err.count("\n")) == (6, 1)
    assert f"{file_of(root, '')}: a symbolic link is in its place; run `seqarchive" in result.err


def test_repair_of_a_sound_archive_changes_nothing(root: Path, sound: Path, cli: Cli) -> None:
    before = database(root).read_bytes()
    result = cli("repair")
    assert (result.code, result.out) == (0, "nothing to repair\n")
    assert files(root) == files(sound)
    assert database(root).read_bytes() == before
    assert untidy(root) == []


@pytest.mark.parametrize("without", [[], [".fai"], [".gzi"], [".fai", ".gzi"]], ids="+".join)
def test_repair_adopts_a_shard_that_no_row_names(
    root: Path, sound: Path, without: list[str]
) -> None:
    forget_batch(root, 2)
    for suffix in without:
        file_of(root, suffix, 1).unlink()
    report = repaired(root)
    assert report["adopted"] == [where(root, "", 1)]
    assert report["batch"] == 2
    assert files(root) == files(sound)
    found, before = contents(root), contents(sound)
    assert found.residues == before.residues
    assert found.aliases == {f"t:{name}": sha512t24u(residues) for name, residues in FIRST.items()}
    with Archive(root) as archive:
        assert [batch["kind"] for batch in archive.batches()] == ["load", "repair"]
        for residues in SECOND.values():
            name = f"SQ.{sha512t24u(residues)}"
            assert archive.metadata(name)["alphabet"] == "".join(sorted(set(residues)))


def test_aliases_come_back_when_the_source_of_an_adopted_shard_is_loaded_again(
    root: Path, sound: Path, tmp_path: Path, cli: Cli
) -> None:
    forget_batch(root, 2)
    repaired(root)
    file = write_fasta(tmp_path / "second.fa", SECOND)
    result = cli("--json", "load", "--namespace", "t", file)
    report = json.loads(result.out)
    assert (report["sequences_added"], report["aliases_added"]) == (0, len(SECOND))
    assert contents(root) == contents(sound)


def test_repair_adopts_a_shard_of_another_archive(root: Path, tmp_path: Path) -> None:
    more = {"O.1": random_residues("O.1", 100), "O.2": random_residues("O.2", 30_000)}
    other = tmp_path / "other"
    file = write_fasta(tmp_path / "other.fa", more)
    assert run(other, "load", "--namespace", "t", str(file))[0] == 0
    directory = root / "master/sequences/2001/0203/040506"
    directory.mkdir(parents=True)
    shutil.copy(shards(other)[0], directory / "981173106.000000.fa.bgz")
    report = repaired(root)
    assert report["adopted"] == ["sequences/2001/0203/040506/981173106.000000.fa.bgz"]
    with Archive(root) as archive:
        for residues in more.values():
            assert archive.fetch(f"SQ.{sha512t24u(residues)}") == residues
    copied = directory / "981173106.000000.fa.bgz"
    for suffix in (".fai", ".gzi"):
        assert (directory / (copied.name + suffix)).read_bytes() == file_of(
            other, suffix
        ).read_bytes()


def make_strange(root: Path) -> None:
    """Have a sequence hold what is no residue, in a shard, an index and rows that are all of it."""
    residues = next(text for text in SECOND.values() if text)
    strange = residues[:7] + "?" + residues[8:]

    def change(text: bytes) -> bytes:
        assert residues.encode() in text
        text = text.replace(sha512t24u(residues).encode(), sha512t24u(strange).encode())
        return text.replace(residues.encode(), strange.encode())

    rewrite_shard(root, 2, change)
    with closing(sqlite3.connect(database(root), isolation_level=None)) as connection:
        hashes = {"digest": hashlib.sha512, "md5": hashlib.md5, "sha1": hashlib.sha1}
        for column, of in hashes.items():
            values = [of(data.encode()).digest()[:24] for data in (strange, residues)]
            for table in ("sequences", f"by_{column}"):
                statement = f"UPDATE {table} SET {column} = ? WHERE {column} = ?"
                assert connection.execute(statement, values).rowcount == 1


def test_what_is_no_residue_is_found_though_all_digests_are_of_it(root: Path, cli: Cli) -> None:
    make_strange(root)
    result = cli("verify", "--full")
    assert result.code == 6
    assert "there is what is no residue" in result.out


def test_what_is_no_residue_is_not_taken_in(root: Path) -> None:
    make_strange(root)
    name = where(root, "", 1)
    forget_batch(root, 2)
    report = repaired(root)
    assert report["adopted"] == []
    assert name.replace("sequences/", "aside/", 1) in report["moved_aside"]


def flip_in_the_middle(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    overwrite(path, bytes(data))


def cut_in_the_middle(path: Path) -> None:
    overwrite(path, path.read_bytes()[: path.stat().st_size // 2])


def fill_with_text(path: Path) -> None:
    overwrite(path, b">not BGZF at all\nACGT\n")


@pytest.mark.parametrize(
    "damage", [flip_in_the_middle, cut_in_the_middle, fill_with_text, make_empty]
)
def test_repair_moves_a_bad_shard_that_no_row_names_aside(
    root: Path, damage: Callable[[Path], None]
) -> None:
    forget_batch(root, 2)
    bad = file_of(root, "", 1)
    names = [where(root, suffix, 1) for suffix in SUFFIXES]
    damage(bad)
    data = bad.read_bytes()
    report = repaired(root)
    assert (report["adopted"], report["rebuilt"]) == ([], [])
    moved = [name.replace("sequences/", "aside/", 1) for name in names]
    assert sorted(report["moved_aside"]) == sorted(moved)
    assert (root / "master" / moved[0]).read_bytes() == data
    assert len(shards(root)) == 1
    assert contents(root).aliases.keys() == {f"t:{name}" for name in FIRST}


@pytest.mark.parametrize(
    "damage", [make_fifo, make_loop, make_dangling_symlink, make_symlink_to_itself_elsewhere]
)
def test_repair_moves_aside_what_has_the_name_of_a_shard_and_is_no_file(
    root: Path, damage: Callable[[Path], None]
) -> None:
    forget_batch(root, 2)
    names = [where(root, suffix, 1) for suffix in SUFFIXES]
    damage(file_of(root, "", 1))
    (report,) = reports(root, "timeout", "60")  # a pipe that is opened never answers
    moved = [name.replace("sequences/", "aside/", 1) for name in names]
    assert (report["adopted"], report["moved_aside"], report["not_repaired"]) == ([], moved, [])
    assert not any(os.path.lexists(root / "master" / name) for name in names)
    assert all(os.path.lexists(root / "master" / name) for name in moved)
    assert findings(root) == []


def reports(root: Path, *around: str) -> list[dict[str, Any]]:
    """What ``repair`` reports, run by another program; nothing if it fails."""
    command = [*around, sys.executable, "-m", "seqarchive", "--root", str(root), "--json", "repair"]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    return [json.loads(done.stdout)] if done.returncode in (0, 6) else []


def test_a_shard_that_cannot_be_read_does_not_keep_repair_from_the_others(root: Path) -> None:
    forget_batch(root, 2)
    orphan = file_of(root, "", 1)
    other = orphan.with_name("1.000000.fa.bgz")
    name = where(root, "", 1)
    shutil.copy(orphan, other)
    options = ["-f", "-qq", "-o", os.devnull, "-P", str(other), "-e", "trace=read"]
    (report,) = reports(root, "strace", *options, "-e", "inject=read:error=EIO")
    assert report["adopted"] == [name]
    moved = Path(name.replace("sequences/", "aside/", 1)).with_name(other.name)
    assert report["moved_aside"] == [str(moved)]


def test_repair_gets_past_a_directory_in_the_place_of_an_index_that_no_row_names(
    root: Path,
) -> None:
    forget_batch(root, 2)
    make_directory(file_of(root, ".fai", 1))
    names = [where(root, suffix, 1) for suffix in SUFFIXES]
    report = repaired(root)
    assert report["moved_aside"] == [name.replace("sequences/", "aside/", 1) for name in names]


def test_repair_moves_a_shard_aside_whose_sequences_are_known(root: Path, sound: Path) -> None:
    directory = root / "master/sequences/2001/0203/040506"
    directory.mkdir(parents=True)
    shutil.copy(file_of(root, ""), directory / "981173106.000000.fa.bgz")
    report = repaired(root)
    assert report["adopted"] == []
    assert report["moved_aside"] == ["aside/2001/0203/040506/981173106.000000.fa.bgz"]
    assert contents(root) == contents(sound)
    assert not directory.exists()


def test_what_a_power_cut_left_under_both_names_is_moved_aside(root: Path, sound: Path) -> None:
    """``rename`` does nothing where both names are of one file."""
    orphan = shards(root)[0].with_name("1000000000.000000.fa.bgz")
    orphan.write_bytes(b"nonsense")
    aside = root / "master" / "aside" / orphan.relative_to(root / "master" / "sequences")
    aside.parent.mkdir(parents=True)
    aside.hardlink_to(orphan)
    assert run(root, "repair")[0] == 0
    assert aside.read_bytes() == b"nonsense"
    assert not orphan.exists()


def test_repair_moves_indexes_without_a_shard_aside(root: Path, sound: Path) -> None:
    directory = root / "master/sequences/2001/0203/040506"
    directory.mkdir(parents=True)
    for suffix in (".fai", ".gzi"):
        shutil.copy(file_of(root, suffix), directory / f"981173106.000000.fa.bgz{suffix}")
    repaired(root)
    assert contents(root) == contents(sound)


@pytest.mark.parametrize(
    "damage", [flip_in_the_middle, cut_in_the_middle, fill_with_text, make_empty, delete]
)
def test_repair_says_what_it_cannot_repair_and_leaves_it(
    root: Path, cli: Cli, damage: Callable[[Path], None]
) -> None:
    bad = file_of(root, "")
    name = where(root, "")
    damage(bad)
    before = files(root)
    result = cli("--json", "repair")
    assert result.code == 6, result.err
    report = json.loads(result.out)
    assert any(name in line for line in report["not_repaired"])
    assert (report["rebuilt"], report["adopted"], report["moved_aside"]) == ([], [], [])
    assert files(root) == before
    # What is sound stays readable.
    assert cli("get", "t:B.1", "t:B.2", "t:A.3").out == "".join(
        RESIDUES[name] + "\n" for name in ("B.1", "B.2", "A.3")
    )


def test_a_shard_that_is_restored_from_a_copy_is_good_again(
    root: Path, sound: Path, cli: Cli
) -> None:
    for suffix in SUFFIXES:
        flip_in_the_middle(file_of(root, suffix))
    assert cli("repair").code == 6
    for suffix in SUFFIXES:
        overwrite(file_of(root, suffix), file_of(sound, suffix).read_bytes())
    assert cli("verify", "--full").code == 0
    assert contents(root) == contents(sound)


# --- the report -------------------------------------------------------------------------------


def test_every_finding_is_listed(root: Path, cli: Cli) -> None:
    file_of(root, ".fai").unlink()
    flip_in_the_middle(file_of(root, ".gzi"))
    flip_in_the_middle(file_of(root, "", 1))
    sql(root, "UPDATE aliases SET sequence_id = 99 WHERE alias = 'A.1'")
    (root / "master/sequences/core").write_text("?")
    result = cli("verify", "--full")
    assert result.code == 6
    names = [
        where(root, ".fai"),
        where(root, ".gzi"),
        where(root, "", 1),
        "t:A.1",
        "sequences/core",
    ]
    for name in names:
        assert name in result.out
    report = json.loads(cli("--json", "verify", "--full").out)
    assert {finding["kind"] for finding in report["findings"]} >= {
        "index",
        "changed",
        "row",
        "foreign",
    }


def test_a_sound_archive_is_counted_and_has_no_findings(root: Path, cli: Cli) -> None:
    for options in (["--full"], []):
        result = cli("--json", "verify", *options)
        assert result.code == 0
        report = json.loads(result.out)
        assert report["ok"] is True
        assert report["findings"] == report["left_over"] == []
        assert (report["shards"], report["sequences"]) == (2, len(RESIDUES))
        assert report["residues"] == sum(map(len, RESIDUES.values()))
