"""Who may read an archive but not write it reads all of it, changes nothing, and stays current.

The archives are in ``/var/tmp``: pytest's own directories are closed to other users. The reader
is another user when the tests run as root, whom no mode stops; otherwise it is the owner, who has
taken the right to write from himself.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from helpers import NOBODY, computed, run_without_rights, sha512t24u, tree, write_fasta

import seqarchive
from seqarchive import Archive
from seqarchive.instances import Instance
from seqarchive.writing import initialise

RECORDS = {"a": "ACGT" * 30_000, "b": "GGCC", "empty": ""}

#: A user without rights who answers one question a line: ``eval`` of an expression in JSON. All
#: modules are imported before the rights are given up: the interpreter may be in a closed place.
READER = f"""
import json, os, pkgutil, sys, traceback, uuid
import seqarchive
for module in pkgutil.walk_packages(seqarchive.__path__, "seqarchive."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})
archive = None
for line in sys.stdin:
    question, *values = json.loads(line)
    try:
        if question == "connect":
            archive = seqarchive.connect(*values)
            answer = archive.database.is_unguarded
        elif question == "unguarded":
            answer = archive.database.is_unguarded
        elif question == "can_write":
            answer = os.access(values[0], os.W_OK)
        else:
            answer = getattr(archive, question)(*values)
    except Exception as error:
        answer = "".join(traceback.format_exception(error))
        print(json.dumps([type(error).__name__, answer]), flush=True)
    else:
        print(json.dumps(["", answer]), flush=True)
"""


class Reader:
    """A process of a user who may not write, with an archive that stays open."""

    def __init__(self, root: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", READER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
        )
        self.error = ""
        assert not self.ask("can_write", str(root)), "this user may write"
        self.was_unguarded = bool(self.ask("connect", str(root)))

    def ask(self, question: str, *values: Any) -> Any:
        """The answer of a method of the archive; an error of it fails the test."""
        answer = self._ask(question, *values)
        assert self.error == "", answer
        return answer

    def fails(self, question: str, *values: Any) -> str:
        """The name of the error that a method of the archive raises."""
        self._ask(question, *values)
        return self.error

    def _ask(self, question: str, *values: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([question, *values]), file=self._process.stdin, flush=True)
        self.error, answer = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()


@contextmanager
def reading(root: Path) -> Iterator[Reader]:
    reader = Reader(root)
    try:
        yield reader
    finally:
        reader.close()


def set_modes(root: Path, *, writable: bool) -> None:
    """Let the owner write or nobody. Root writes anyhow; then the modes are the usual ones."""
    for path in (root, *root.rglob("*")):
        if path.is_dir():
            os.chmod(path, 0o755 if writable else 0o555)
        elif "sequences" not in path.parts:
            os.chmod(path, 0o644 if writable else 0o444)


@contextmanager
def as_owner(root: Path) -> Iterator[Archive]:
    """The archive as its owner writes it."""
    if os.geteuid() != 0:
        set_modes(root, writable=True)
    with seqarchive.connect(root) as archive:
        yield archive
    if os.geteuid() != 0:
        set_modes(root, writable=False)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that every user may go through."""
    directory = Path(tempfile.mkdtemp(dir="/var/tmp"))
    os.chmod(directory, 0o755)
    mask = os.umask(0o022)
    yield directory
    os.umask(mask)
    set_modes(directory, writable=True)
    shutil.rmtree(directory)


@pytest.fixture
def source(shared: Path) -> Path:
    return write_fasta(shared / "x.fa", RECORDS)


@pytest.fixture
def root(shared: Path, source: Path) -> Path:
    """An archive of RECORDS that its owner has closed, and that others may not write."""
    root = shared / "archive"
    initialise(Instance(root))
    with seqarchive.connect(root) as archive:
        archive.load(source, "ref")
    if os.geteuid() != 0:
        set_modes(root, writable=False)
    return root


def names(directory: Path) -> dict[str, tuple[int, int, int]]:
    """Every file with what would betray a change that leaves its contents as they were."""
    found = {}
    for path in sorted(directory.rglob("*")):
        status = path.stat()
        found[str(path)] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found


def commands_on(root: Path, *commands: Sequence[str]) -> list[list[str]]:
    return [["--root", str(root), *command] for command in commands]


# --- nobody writes ----------------------------------------------------------------------------


def test_a_reader_without_rights_connects_fetches_translates_and_asks_for_the_status(
    root: Path,
) -> None:
    with reading(root) as reader:
        for name, residues in RECORDS.items():
            assert reader.ask("fetch", f"ref:{name}") == residues
            assert reader.ask("find", f"ref:{name}") == sha512t24u(residues)
            assert reader.ask("translate", f"ref:{name}") == [*computed(residues), f"ref:{name}"]
        assert reader.ask("fetch", "ref:a", 70_000, 70_010) == RECORDS["a"][70_000:70_010]
        status = reader.ask("status")
        assert (status["sequences"], status["aliases"], status["batches"]) == (3, 3, 1)
        assert reader.fails("fetch", "ref:nothing") == "NotFound"


def test_a_reader_without_rights_creates_and_changes_no_file(shared: Path, root: Path) -> None:
    before, contents = names(shared), tree(shared)
    with reading(root) as reader:
        for name, residues in RECORDS.items():
            assert reader.ask("fetch", f"ref:{name}") == residues
            assert reader.ask("translate", f"ref:{name}")
        assert reader.ask("status")["sequences"] == 3
        assert names(shared) == before  # nor while it is open
    assert names(shared) == before
    assert tree(shared) == contents


def test_commands_that_read_work_without_rights_and_change_no_file(
    shared: Path, root: Path
) -> None:
    before, contents = names(shared), tree(shared)
    results = run_without_rights(
        *commands_on(
            root,
            ["get", "ref:b"],
            ["translate", "ref:b"],
            ["--json", "status"],
            ["verify"],
            ["verify", "--full"],
        )
    )
    for result in results:
        assert (result.code, result.err) == (0, ""), result
    assert results[0].out == "GGCC\n"
    assert computed("GGCC")[0] in results[1].out
    assert json.loads(results[2].out)["sequences"] == 3
    assert names(shared) == before
    assert tree(shared) == contents


def test_verify_without_rights_finds_what_is_wrong(root: Path) -> None:
    if os.geteuid() != 0:
        set_modes(root, writable=True)
    (shard,) = (root / "master" / "sequences").rglob("*.fa.bgz")
    os.chmod(shard, 0o644)
    damaged = bytearray(shard.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    shard.write_bytes(damaged)
    os.chmod(shard, 0o444)
    if os.geteuid() != 0:
        set_modes(root, writable=False)
    (result,) = run_without_rights(*commands_on(root, ["verify", "--full"]))
    assert result.code == 6
    assert shard.name in result.out + result.err


def test_every_command_that_writes_exits_with_8_and_changes_no_file(
    shared: Path, root: Path, source: Path
) -> None:
    before, contents = names(shared), tree(shared)
    results = run_without_rights(
        *commands_on(
            root,
            ["load", "--namespace", "other", str(source)],
            ["load", "--namespace", "ref", str(source)],  # although nothing in it is new
            ["digests", "add", "sha256"],
            ["repair"],
        )
    )
    for result in results:
        assert result.code == 8, result
        assert result.out == ""
        assert str(root) in result.err
        assert result.err.count("\n") == 1
        assert "Traceback" not in result.err
    assert names(shared) == before
    assert tree(shared) == contents


# --- the owner writes -------------------------------------------------------------------------


def test_a_reader_that_stays_open_sees_the_commits_of_the_owner(root: Path) -> None:
    """Nobody has the archive open when the reader opens it: there is no shared memory to use."""
    with reading(root) as reader:
        assert reader.ask("fetch", "ref:b") == "GGCC"
        assert reader.fails("fetch", "ref:new") == "NotFound"
        with as_owner(root) as archive:
            archive.store("TTTT", ["ref:new"])
            archive.store("AAAA", ["ref:b"], on_conflict="replace")
        assert reader.ask("fetch", "ref:new") == "TTTT"
        assert reader.ask("fetch", "ref:b") == "AAAA"
        assert reader.ask("translate", "ref:new") == [*computed("TTTT"), "ref:new"]
        assert reader.ask("status")["batches"] == 3
        assert reader.ask("fetch", "ref:a") == RECORDS["a"]


def test_a_reader_that_stays_open_sees_one_commit_after_another(root: Path) -> None:
    with reading(root) as reader:
        for n in range(10):
            with as_owner(root) as archive:
                archive.store("ACGT" * (n + 1), ["ref:moves"], on_conflict="replace")
            assert reader.ask("fetch", "ref:moves") == "ACGT" * (n + 1)
            assert reader.ask("translate", "ref:moves")[0] == computed("ACGT" * (n + 1))[0]
            assert reader.ask("fetch", "ref:b") == "GGCC"


def test_a_commit_is_seen_while_the_owner_has_the_archive_open(root: Path) -> None:
    """The owner keeps the write-ahead log and its shared memory; the reader comes before it."""
    with reading(root) as reader:
        assert reader.ask("fetch", "ref:b") == "GGCC"
        with as_owner(root) as archive:
            assert archive.fetch("ref:b") == "GGCC"
            archive.store("TTTT", ["ref:new"])
            archive.store("AAAA", ["ref:b"], on_conflict="replace")
            assert reader.ask("fetch", "ref:new") == "TTTT"
            assert reader.ask("fetch", "ref:b") == "AAAA"
        assert reader.ask("fetch", "ref:new") == "TTTT"
        assert reader.ask("fetch", "ref:b") == "AAAA"


def test_a_reader_that_comes_while_the_owner_has_it_open_sees_all_commits(root: Path) -> None:
    with as_owner(root) as archive:
        archive.store("TTTT", ["ref:new"])
        assert archive.fetch("ref:new") == "TTTT"
        with reading(root) as reader:
            assert reader.ask("fetch", "ref:new") == "TTTT"
            archive.store("AAAA", ["ref:b"], on_conflict="replace")
            assert reader.ask("fetch", "ref:b") == "AAAA"
            assert reader.ask("status")["batches"] == 3
    with reading(root) as reader:
        assert reader.ask("fetch", "ref:b") == "AAAA"


def test_a_reader_that_outlives_the_owner_s_archive_sees_the_next_commit(root: Path) -> None:
    """The last one out removes the shared memory that the reader opened; the next makes another."""
    with as_owner(root) as archive:
        archive.store("TTTT", ["ref:new"])
        reader = Reader(root)
    try:
        assert reader.ask("fetch", "ref:new") == "TTTT"
        with as_owner(root) as archive:
            archive.store("AAAA", ["ref:b"], on_conflict="replace")
        assert reader.ask("fetch", "ref:b") == "AAAA"
        with as_owner(root) as archive:
            archive.store("CCCC", ["ref:b"], on_conflict="replace")
        assert reader.ask("fetch", "ref:b") == "CCCC"
        assert reader.ask("status")["batches"] == 4
    finally:
        reader.close()


def test_what_may_not_be_read_is_said_to_be_that_and_no_damage(
    shared: Path, root: Path, source: Path
) -> None:
    """Whatever it is, with one message, one advice and one exit code."""
    (shard,) = (root / "master" / "sequences").rglob("*.fa.bgz")
    reads = (["get", "ref:b"], ["verify"], ["verify", "--full"], ["export"])
    for path, commands in (
        (root / "master" / "aliases.sqlite3", [*reads, ["status"]]),
        (shard, reads),
        (shard.with_name(f"{shard.name}.gzi"), reads),
        (source, [["load", "-n", "x", str(source)], ["collection", "digest", str(source)]]),
        (root / "master", [*reads, ["load", "-n", "x", "-"]]),
    ):
        mode = path.stat().st_mode
        there = shared / "writable" if path == source else root
        os.chmod(path, 0)
        if path == source:
            there.mkdir(mode=0o777)
            os.chmod(there, 0o777)
        for result in run_without_rights(*commands_on(there, *commands)):
            assert result.code == 8, result
            advice = "Permission denied; ask its owner for the right to it"
            assert result.err == f"seqarchive: {path}: {advice}\n"
        os.chmod(path, mode)


def test_a_root_that_cannot_be_made_is_refused_with_advice(shared: Path) -> None:
    new = shared / "new" / "root"
    if os.geteuid() != 0:
        os.chmod(shared, 0o555)
    for result in run_without_rights(*commands_on(new, ["init"], ["load", "-n", "x", "-"])):
        assert (result.code, result.out) == (8, "")
        assert result.err.startswith(f"seqarchive: {new.parent}: Permission denied; ask the owner")
