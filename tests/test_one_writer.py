"""There is one writer. A second one is told at once who holds the lock, and changes nothing."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import pytest
from children import CHILDREN
from conftest import Cli
from contents import NOTHING, Contents, contents, random_residues, run, untidy, verified
from helpers import sha512t24u, started, two_users, wait_until, write_fasta

import seqarchive


@dataclass
class Holder:
    """A load that holds the lock until it is told to go on."""

    process: subprocess.Popen[bytes]
    began: float

    def go_on(self, text: str) -> int:
        """Send the rest and wait for the end; the exit code."""
        self.process.communicate(text.encode(), timeout=60)
        return self.process.returncode


@contextmanager
def holding(root: Path) -> Iterator[Holder]:
    command = [sys.executable, "-m", "seqarchive", "--root", str(root), "load", "-n", "t", "-"]
    began = time.time()
    with started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        lock = root / "master" / "writer.lock"
        wait_until(lambda: lock.exists() and f'"pid": {process.pid},' in lock.read_text())
        yield Holder(process, began)


@pytest.fixture
def holder(root: Path) -> Iterator[Holder]:
    with holding(root) as found:
        yield found


def test_a_second_writer_is_told_at_once_who_holds_the_lock(
    holder: Holder, root: Path, tmp_path: Path
) -> None:
    file = write_fasta(tmp_path / "file.fa", {"A.1": "ACGT"})
    asked = time.monotonic()
    code, err = run(root, "load", "--namespace", "t", str(file))
    assert time.monotonic() - asked < 20  # who waits for a lock of SQLite's gives up in a minute
    assert code == 7
    assert err.count("\n") == 1
    assert err.startswith("seqarchive: ")
    assert f"process {holder.process.pid} on {socket.gethostname()}" in err
    since = re.search(r"since (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)Z", err)
    assert since is not None, err
    moment = datetime.fromisoformat(since[1]).replace(tzinfo=timezone.utc).timestamp()
    assert int(holder.began) <= moment <= time.time()
    assert contents(root) == NOTHING


@pytest.mark.parametrize(
    "command",
    [
        ["load", "--namespace", "t", "{}"],
        ["load", "--namespace", "t", "--dry-run", "{}"],
        ["import-aliases", "{}"],
        ["repair"],
        ["digests", "add", "sha256"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_every_command_that_writes_respects_the_lock(
    root: Path, tmp_path: Path, command: list[str]
) -> None:
    file = write_fasta(tmp_path / "file.fa", {"A.1": "ACGT"})
    if command[0] == "import-aliases":
        file = tmp_path / "names.tsv"
        file.write_text("t\tB.1\tt:A.1\n")
    with holding(root) as holder:
        code, err = run(root, *(part.replace("{}", str(file)) for part in command))
        assert (code, err.count("\n")) == (7, 1), err
        assert f"process {holder.process.pid} " in err
        assert holder.go_on(">C.1\nACGTA\n") == 0
    assert contents(root).aliases == {"t:C.1": sha512t24u("ACGTA")}


def test_a_second_init_is_told_too(holder: Holder, root: Path) -> None:
    code, err = run(root, "init")
    assert code in (4, 7), err  # there is one already, or somebody is at it
    assert err.count("\n") == 1


def test_python_raises_locked(holder: Holder, root: Path, tmp_path: Path) -> None:
    file = write_fasta(tmp_path / "file.fa", {"A.1": "ACGT"})
    with seqarchive.connect(root) as archive:
        with pytest.raises(seqarchive.Locked, match=f"process {holder.process.pid} on"):
            archive.load(file, "t")
        with pytest.raises(seqarchive.Locked):
            archive["t:A.1"] = "ACGT"
        assert len(archive) == 0


def test_reading_needs_no_lock(root: Path, tmp_path: Path, cli: Cli) -> None:
    file = write_fasta(tmp_path / "file.fa", {"A.1": "ACGT"})
    assert cli("load", "--namespace", "t", file).code == 0
    with holding(root) as holder:
        assert cli("get", "t:A.1").out == "ACGT\n"
        assert cli("translate", "t:A.1").code == 0
        assert cli("status").code == 0
        assert cli("log").code == 0
        assert cli("export").code == 0
        assert cli("verify", "--full").code == 0
        assert holder.go_on(">C.1\nACGTA\n") == 0
    assert cli("get", "t:C.1").out == "ACGTA\n"


def test_the_holder_is_not_disturbed_by_those_who_came_in_vain(
    holder: Holder, root: Path, tmp_path: Path
) -> None:
    file = write_fasta(tmp_path / "file.fa", {"A.1": "ACGT"})
    for _ in range(5):
        assert run(root, "load", "--namespace", "t", str(file))[0] == 7
    assert holder.go_on(">C.1\nACGTA\n") == 0
    assert contents(root).aliases.keys() == {"t:C.1"}
    assert run(root, "load", "--namespace", "t", str(file)) == (0, "")
    assert untidy(root) == []


# --- many at once -----------------------------------------------------------------------------

N_WRITERS = 4


class Writers:
    """Processes that each load a file at the same moment, again and again."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._processes: list[subprocess.Popen[str]] = []
        self._stack = ExitStack()

    def __enter__(self) -> Writers:
        command = [sys.executable, CHILDREN, "compete", str(self._root)]
        with ExitStack() as stack:
            for _ in range(N_WRITERS):
                one = started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                self._processes.append(stack.enter_context(one))
            # All of them are there.
            self._all([self._root.parent / "no such file"] * N_WRITERS, delay=0)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with self._stack:
            for process in self._processes:
                process.communicate(timeout=60)

    def _all(self, files: list[Path], delay: float = 0.05) -> list[tuple[int, str]]:
        moment = time.time() + delay
        for process, file in zip(self._processes, files, strict=True):
            assert process.stdin is not None
            process.stdin.write(f"{moment}\t{file}\n")
            process.stdin.flush()
        answers = []
        for process in self._processes:
            assert process.stdout is not None
            code, err = json.loads(process.stdout.readline())
            answers.append((int(code), str(err)))
        return answers

    def load(self, files: list[Path]) -> list[int]:
        """Have each load its file; the exit codes, of which at least one is 0."""
        answers = self._all(files)
        for code, err in answers:
            assert code in (0, 7), err
            assert code == 0 or "locked by" in err
        codes = [code for code, _ in answers]
        assert 0 in codes, answers
        return codes


def file_of(directory: Path, name: str, n: int = 20) -> tuple[Path, Contents]:
    """A file and what it adds to an archive."""
    records = {f"{name}.{k}": random_residues(f"{name}.{k}", 50 + 400 * k) for k in range(n)}
    records[f"{name}.shared"] = random_residues("shared", 20_000)
    return write_fasta(directory / f"{name}.fa", records), Contents(
        {f"t:{alias}": sha512t24u(residues) for alias, residues in records.items()},
        {sha512t24u(residues): residues for residues in records.values()},
        frozenset(),
    )


def test_of_writers_with_different_files_each_succeeds_or_is_refused(
    root: Path, tmp_path: Path
) -> None:
    expected_aliases: dict[str, str] = {}
    expected_residues: dict[str, str] = {}
    n_refused = 0
    with Writers(root) as writers:
        for number in range(12):
            files = [file_of(tmp_path, f"r{number}w{writer}") for writer in range(N_WRITERS)]
            codes = writers.load([file for file, _ in files])
            n_refused += codes.count(7)
            for code, (_, added) in zip(codes, files, strict=True):
                if code == 0:
                    expected_aliases |= added.aliases
                    expected_residues |= added.residues
            found = contents(root)
            assert found.aliases == expected_aliases
            assert found.residues == expected_residues
            assert untidy(root) == []
    assert n_refused > 0, "nobody was ever in another's way"
    assert verified(root).findings == []
    with seqarchive.connect(root) as archive:
        assert [batch["batch"] for batch in archive.batches()] == [
            *range(1, 12 * N_WRITERS - n_refused + 1)
        ]


def test_of_writers_with_the_same_file_one_adds_it(root: Path, tmp_path: Path) -> None:
    expected: dict[str, str] = {}
    with Writers(root) as writers:
        for number in range(8):
            file, added = file_of(tmp_path, f"same{number}")
            writers.load([file] * N_WRITERS)
            expected |= added.aliases
            found = contents(root)
            assert found.aliases == expected
            assert found.history == frozenset()
            assert untidy(root) == []
    assert verified(root).findings == []
    with seqarchive.connect(root) as archive:
        added_by = [batch["n_sequences"] for batch in archive.batches() if batch["n_sequences"]]
    assert len(added_by) == 8, "a sequence was added twice"


def test_two_of_a_group_write_in_turn_and_at_odds_are_told_the_file(tmp_path: Path) -> None:
    with two_users(write_fasta(tmp_path / "a.fa", {"a": "ACGT"})) as users:
        database = users.root / "master" / "aliases.sqlite3"
        file = write_fasta(users.root.parent / "b.fa", {"b": "GGGG"})
        os.chmod(file, 0o644)
        results = [
            *users.second(["load", "-n", "t", str(file)], ["revert", "2"]),
            *users.first(["load", "-n", "t", str(file)], ["repair", "--reclaim"]),
        ]
        assert [(result.code, result.err) for result in results] == [(0, "")] * 4
        os.chmod(database, 0o644 if os.geteuid() == 0 else 0o444)
        (refused,) = users.second(["load", "-n", "t", str(file)])
        assert (refused.code, refused.err) == (
            8,
            f"seqarchive: {database} cannot be written; ask its owner for the right to it\n",
        )
