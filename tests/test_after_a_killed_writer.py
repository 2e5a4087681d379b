"""What a writer that was killed has left half done is finished by the next one, and for good: also
if somebody reads on meanwhile, and if the power goes off afterwards.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from contents import contents, database, random_residues, run, verified
from helpers import shards, write_fasta
from power_cuts import Disk, cuts, listed
from traces import Call, commit_of, traced

#: Where a writer that was killed had published, as its note says.
DECLARED = "2001/0203/040506"


def load(root: Path, *files: Path) -> list[str]:
    """The words of a command that loads."""
    return ["--root", str(root), "load", "-n", "t", *map(str, files)]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """FASTA; ``bad`` is none."""
    found = {
        name: write_fasta(tmp_path / f"{name}.fa", {name: random_residues(name, 400)})
        for name in ("first", "second", "third")
    }
    found["bad"] = tmp_path / "bad.fa"
    found["bad"].write_text(">C\nAC1T!!\n")
    return found


# --- readers that go on -----------------------------------------------------------------------


@contextmanager
def reading(root: Path, file: Path, *, on: bool) -> Iterator[None]:
    """Somebody has the database open, who keeps SQLite's log from being emptied: a file is loaded.

    Args:
        on: Whether a transaction is open.
    """
    uri = f"{database(root).as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as reader:
        reader.execute("SELECT count(*) FROM batches").fetchone()
        assert run(root, *load(root, file)[2:]) == (0, "")
        if on:
            reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM batches").fetchone()
        yield


def fail_in_the_commit(root: Path, file: Path, fault: str) -> None:
    """A load whose commit is in the log, and was never synced."""
    log = f"{database(root)}-wal"
    n_shards = len(shards(root))
    command = ["strace", "-f", "-qq", "-o", os.devnull, "-P", log, "-e", "trace=fdatasync"]
    command += ["-e", f"inject=fdatasync:{fault}:when=1", sys.executable, "-m", "seqarchive"]
    done = subprocess.run([*command, *load(root, file)], capture_output=True, check=False)
    assert done.returncode not in (0, 3, 5)
    assert len(shards(root)) == n_shards + 1, "it did not come as far as the commit"


@pytest.mark.parametrize("fault", ["signal=SIGKILL", "error=EIO"])
def test_a_commit_that_failed_does_not_come_back_when_its_shards_are_gone(
    root: Path, files: dict[str, Path], fault: str
) -> None:
    assert run(root, *load(root, files["first"])[2:]) == (0, "")
    with reading(root, files["second"], on=True):
        before = contents(root)
        fail_in_the_commit(root, files["third"], fault)
        assert contents(root) == before
        started = time.monotonic()
        assert run(root, *load(root, files["bad"])[2:])[0] == 5
        assert time.monotonic() - started < 20, "it has waited for a reader"
        assert len(shards(root)) == 2
    assert contents(root) == before
    assert verified(root).findings == []


def test_the_log_is_empty_for_good_before_shards_of_a_failed_commit_go(
    root: Path, files: dict[str, Path]
) -> None:
    assert run(root, *load(root, files["first"])[2:]) == (0, "")
    with reading(root, files["second"], on=False):
        fail_in_the_commit(root, files["third"], "signal=SIGKILL")
        calls = traced(root, load(root, files["bad"])[2:]).calls
    log = [n for n, call in enumerate(calls) if call.paths == ("master/aliases.sqlite3-wal",)]
    cut = max(n for n in log if calls[n].kind == "ftruncate")
    synced = min(n for n in log if n > cut and calls[n].kind in ("fsync", "fdatasync"))
    gone = [n for n, call in enumerate(calls) if is_of_a_shard(call, "unlink")]
    assert gone
    assert synced < min(gone)


def is_of_a_shard(call: Call, kind: str) -> bool:
    return call.kind == kind and call.paths[0].endswith(".fa.bgz")


# --- what a killed writer has published -------------------------------------------------------


def leave_a_note(root: Path) -> None:
    """As a writer leaves it that is killed."""
    note = {"pid": 1, "host": "h", "since": "2001-02-03T04:05:06Z", "journal": DECLARED}
    (root / "master" / "writer.lock").write_bytes(json.dumps(note).encode().ljust(511) + b"\n")


def test_what_was_published_is_gone_for_good_before_the_note_that_names_it(
    root: Path, files: dict[str, Path]
) -> None:
    assert run(root, *load(root, files["first"])[2:]) == (0, "")
    (shard,) = shards(root)
    directory = root / "master" / "sequences" / DECLARED
    directory.mkdir(parents=True)
    for suffix in ("", ".fai", ".gzi"):
        shutil.copy(f"{shard}{suffix}", directory / f"1.000000.fa.bgz{suffix}")
    leave_a_note(root)

    def command(options: Sequence[str]) -> str:
        trace = root.parent / "trace"
        words = ["strace", "-o", str(trace), *options, sys.executable, "-m", "seqarchive"]
        subprocess.run([*words, *load(root, files["second"])], check=True, capture_output=True)
        return trace.read_text()

    start = Disk.of(root)
    lock = start.names["master/writer.lock"]
    inside = f"master/sequences/{DECLARED}"
    assert DECLARED.encode() in start.data[lock]
    calls = listed(root, command)
    assert not directory.exists()
    n_disks, come_back = 0, set()
    for cut in cuts(start, calls, range(len(calls) + 1)):
        if cut.lost.startswith("half"):  # the lock file is one sector
            continue
        n_disks += 1
        is_there = inside in cut.disk.directories and any(
            name.startswith(f"{inside}/") for name in cut.disk.names
        )
        if is_there and DECLARED.encode() not in cut.disk.data[lock]:
            come_back.add((cut.after, cut.lost))
    assert n_disks > 100
    assert come_back == set()


def test_a_directory_that_somebody_has_removed_is_gone_for_good_before_the_note(
    root: Path, files: dict[str, Path]
) -> None:
    assert run(root, *load(root, files["first"])[2:]) == (0, "")
    leave_a_note(root)  # of a second writer, who was killed in the middle of cleaning up
    calls = traced(root, load(root, files["second"])[2:]).calls
    done = [(call.kind, call.paths[0]) for call in calls]
    assert ("fsync", "master/sequences") in done[: done.index(("pwrite64", "master/writer.lock"))]


# --- directories that a killed writer has made ------------------------------------------------


def test_directories_of_a_killed_writer_are_durable_before_the_next_commit(
    root: Path, files: dict[str, Path]
) -> None:
    words = load(root, files["first"])[2:]
    calls = traced(root, words).calls
    for path, parent in ((".", ".."), ("master", ".")):
        made = next(
            n for n, call in enumerate(calls) if (call.kind, *call.paths) == ("mkdir", path)
        )
        fsync = next(call for call in calls[made:] if call.kind == "fsync")
        assert fsync.paths == (parent,)
        shutil.rmtree(root)
        killed = traced(root, words, f"fsync:signal=SIGKILL:when={fsync.number}").calls
        assert (killed[-1].kind, killed[-1].paths) == ("fsync", (parent,))
        assert (root / path).is_dir()
        assert not database(root).exists()
        following = traced(root, words).calls
        del following[commit_of(following) :]
        synced = {call.paths[0] for call in following if call.kind == "fsync"}
        assert parent in synced, f"{path} may be lost in a power cut, with all that is in it"


def test_a_directory_in_which_there_is_nothing_yet_may_be_of_a_killed_writer(
    tmp_path: Path,
) -> None:
    empty, full = tmp_path / "empty", tmp_path / "full"
    empty.mkdir()
    (full / "something").mkdir(parents=True)
    program = "import sys; from pathlib import Path; from seqarchive import durable\n"
    program += "for name in sys.argv[1:]: durable.make_directory(Path(name))"
    synced = []
    for directory in (empty, full):
        trace = tmp_path / "trace"
        command = ["strace", "-qq", "-y", "-o", str(trace), "-e", "trace=fsync", sys.executable]
        subprocess.run([*command, "-c", program, str(directory)], check=True)
        synced.append([line.split("<")[1].split(">")[0] for line in trace.read_text().splitlines()])
    assert synced == [[str(tmp_path)], []]
