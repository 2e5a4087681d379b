"""A load becomes visible by one commit of the database; all that it needs is on the disk before.

What the order of system calls has to be is read off a trace. The rules are themselves tested: a
trace from which one call is taken away must break one.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from contents import NOTHING, contents, random_residues, run, untidy, verified
from helpers import shards, started, wait_until, write_fasta
from traces import Call, commit_of, traced

SUFFIXES = (".fa.bgz", ".fa.bgz.fai", ".fa.bgz.gzi")


# --- the order of system calls ----------------------------------------------------------------


def positions(calls: list[Call], kinds: str, path: str) -> list[int]:
    """Where in the trace there are calls of some kinds on a path (or, of two, from it)."""
    return [
        n for n, call in enumerate(calls) if call.kind in kinds.split() and call.paths[0] == path
    ]


def broken_rules(calls: list[Call]) -> list[str]:
    """What is wrong with the order of the calls of a load."""
    calls = [call for call in calls if call.result != "-1"]
    return [
        *(rule for n, call in enumerate(calls) if call.kind == "link" for rule in about(calls, n)),
        *about_directories(calls),
        *about_shards(calls),
    ]


def about(calls: list[Call], link: int) -> Iterator[str]:
    """The file that is published by one call."""
    commit = commit_of(calls)
    temporary, final = calls[link].paths
    directory = os.path.dirname(final)
    written = positions(calls, "write pwrite64 ftruncate", temporary)
    synced = [n for n in positions(calls, "fsync fdatasync", temporary) if n < link]
    if not written:
        yield f"{final} was never written"
    if not synced:
        yield f"{final} was not fsynced before it was published"
    elif max(written, default=0) > max(synced):
        yield f"{final} was written to after its fsync"
    if positions(calls, "write pwrite64 ftruncate openat", final):
        yield f"{final} was changed after it was published"
    if not any(n < link for n in positions(calls, "chmod", temporary)):
        yield f"{final} was writable when it was published"
    if not any(link < n < commit for n in positions(calls, "fsync", directory)):
        yield f"{directory} was not fsynced between the publication of {final} and the commit"
    if link > commit:
        yield f"{final} was published after the commit"


def about_directories(calls: list[Call]) -> Iterator[str]:
    """New directories: each is durable in its parent before anything is published in it."""
    links = [n for n, call in enumerate(calls) if call.kind == "link"]
    for made, call in enumerate(calls):
        (path, *_) = call.paths
        if call.kind != "mkdir" or path == "master/tmp":
            continue
        parent = ".." if path == "." else os.path.dirname(path) or "."
        inside = [n for n in links if path == "." or calls[n].paths[1].startswith(path + "/")]
        durable = positions(calls, "fsync", parent)
        if not any(made < n < min(inside, default=commit_of(calls)) for n in durable):
            yield f"the new directory {path} was not fsynced in its parent before it was used"


def about_shards(calls: list[Call]) -> Iterator[str]:
    """Shards: each is published with its indexes, and after them."""
    published = [call.paths[1] for call in calls if call.kind == "link"]
    for stem in {path[: path.index(".fa.bgz")] for path in published}:
        order = [path.removeprefix(stem) for path in published if path.startswith(stem)]
        if sorted(order) != sorted(SUFFIXES):
            yield f"of {stem} there is only {order}"
        elif order[-1] != ".fa.bgz":
            yield f"{stem} had its name before its indexes had theirs"


LOADS = {"one_shard": ("256Mi", 1), "three_shards": ("20k", 3)}


@pytest.fixture(params=LOADS, scope="module")
def load(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Call]:
    """The trace of a load into nothing."""
    shard_size, n_shards = LOADS[request.param]
    directory = tmp_path_factory.mktemp(request.param)
    records = [(f"S.{n}", random_residues(n, 50_000)) for n in range(3)]
    file = write_fasta(directory / "file.fa", records)
    root = directory / "archive"
    ended = traced(root, ["load", "--namespace", "t", "--shard-size", shard_size, str(file)])
    assert ended.code == 0, ended.err
    assert len(shards(root)) == n_shards
    return ended.calls


def test_everything_is_durable_before_the_commit(load: list[Call]) -> None:
    assert broken_rules(load) == []


def test_the_database_is_committed_once(load: list[Call]) -> None:
    links = [n for n, call in enumerate(load) if call.kind == "link"]
    log = positions(load, "pwrite64", "master/aliases.sqlite3-wal")
    frames = [n for n in log if n > min(links) and not load[n].text.endswith(", 32, 0")]  # header
    assert frames, "no row of the batch is written"
    assert min(frames) > max(links), "rows are written before all shards have their names"
    syncs = positions(load, "fsync fdatasync", "master/aliases.sqlite3-wal")
    assert [n for n in syncs if min(frames) < n < max(frames)] == []


def test_a_commit_is_durable_before_anything_else_happens(load: list[Call]) -> None:
    last = max(positions(load, "pwrite64", "master/aliases.sqlite3-wal"))
    following = load[last + 1]
    assert following.kind in ("fsync", "fdatasync")
    assert following.paths == ("master/aliases.sqlite3-wal",)


def test_the_rules_notice_each_fsync_that_is_left_out(load: list[Call]) -> None:
    commit = commit_of(load)
    unnoticed = []
    for n, call in enumerate(load[:commit]):
        of_a_shard = re.search(r"\.fa\.bgz|sequences", call.paths[0]) is not None
        if call.kind in ("fsync", "chmod") and of_a_shard:
            without = load[:n] + load[n + 1 :]
            if not broken_rules(without):
                unnoticed.append(str(call))
    assert unnoticed == []


def test_the_rules_notice_a_commit_before_publication(load: list[Call]) -> None:
    last = max(n for n, call in enumerate(load) if call.kind == "link")
    commit = commit_of(load)
    late = load[:last] + load[last + 1 : commit + 1] + [load[last]] + load[commit + 1 :]
    assert any("after the commit" in rule for rule in broken_rules(late))


def test_the_rules_notice_a_write_after_the_fsync(load: list[Call]) -> None:
    link = max(n for n, call in enumerate(load) if call.kind == "link")
    (write, *_) = positions(load, "write", load[link].paths[0])
    late = [*load[:link], load[write], *load[link:]]
    assert any("after its fsync" in rule for rule in broken_rules(late))


# --- processes that die -----------------------------------------------------------------------


class Loading:
    """A load that reads standard input, and so goes on for as long as it is told to."""

    def __init__(self, root: Path, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        lock = root / "master" / "writer.lock"
        wait_until(lambda: lock.exists() and f'"pid": {process.pid},' in lock.read_text())

    def send(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def workers(self) -> list[int]:
        """The processes that it has started."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(child) for child in children.split()]

    def end(self) -> tuple[int, str]:
        """Close standard input; exit code and standard error."""
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, err.decode()


@pytest.fixture
def start(root: Path) -> Iterator[Callable[..., Loading]]:
    """Starts a load with some options."""
    command = [sys.executable, "-m", "seqarchive", "--root", str(root), "load", "--namespace", "t"]
    pipe = subprocess.PIPE
    with ExitStack() as stack:

        def begin(*options: str) -> Loading:
            words = [*command, *options, "-"]
            process = stack.enter_context(started(words, stdin=pipe, stdout=pipe, stderr=pipe))
            return Loading(root, process)

        yield begin


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def megabytes(first: int, n: int) -> Iterator[str]:
    """FASTA, a megabyte at a time, of records of 5 kB."""
    line = random_residues("megabytes", 5_000)
    for megabyte in range(first, first + n):
        # Another sequence each: the residues turned by some, and behind them the megabyte.
        tail = "A" * megabyte + "N"
        yield "".join(f">M{megabyte}.{k}\n{line[k:]}{line[:k]}{tail}\n" for k in range(200))


def test_a_killed_writer_does_not_block_the_next_one(
    root: Path, tmp_path: Path, start: Callable[..., Loading]
) -> None:
    file = write_fasta(tmp_path / "file.fa", {"A.1": "ACGT"})
    workers = []
    for _ in range(3):
        loading = start()
        loading.send(">B.1\nACGTACGT\n")
        workers += loading.workers()
        loading.process.kill()
        loading.end()
        began = time.monotonic()
        assert run(root, "load", "--namespace", "t", str(file)) == (0, "")
        assert time.monotonic() - began < 20  # who waits for a lock of SQLite's waits for a minute
        assert contents(root).aliases.keys() == {"t:A.1"}
        assert untidy(root) == []
    wait_until(lambda: not any(map(is_running, workers)))


@pytest.mark.parametrize("victim", [0, -1])
def test_a_worker_that_is_killed_fails_the_load_and_changes_nothing(
    root: Path, start: Callable[..., Loading], victim: int
) -> None:
    loading = start("--threads", "2")
    for text in megabytes(0, 10):
        loading.send(text)
    workers = loading.workers()
    assert len(workers) == 2
    os.kill(workers[victim], signal.SIGKILL)
    try:
        for text in megabytes(10, 10):
            loading.send(text)
    except BrokenPipeError:
        pass  # it has noticed already
    code, err = loading.end()
    assert code == 1, err
    assert err.startswith("seqarchive: a worker process died")
    assert err.count("\n") == 1
    assert contents(root) == NOTHING
    assert untidy(root) == []
    assert verified(root).findings == []
    assert not any(map(is_running, workers))


def test_a_load_that_is_killed_with_its_workers_at_work_leaves_no_process(
    root: Path, start: Callable[..., Loading]
) -> None:
    loading = start("--threads", "2")
    for text in megabytes(0, 10):
        loading.send(text)
    workers = loading.workers()
    assert len(workers) == 2
    loading.process.kill()
    loading.end()
    wait_until(lambda: not any(map(is_running, workers)))
    assert contents(root) == NOTHING
    assert verified(root).findings == []


def test_an_interrupted_load_leaves_nothing_and_exits_with_130(
    root: Path, start: Callable[..., Loading]
) -> None:
    loading = start("--threads", "2")
    for text in megabytes(0, 10):
        loading.send(text)
    loading.process.send_signal(signal.SIGINT)
    code, err = loading.end()
    assert code == 130, err
    assert "Traceback" not in err
    assert contents(root) == NOTHING
    assert untidy(root) == []
