"""Who may only read an archive whose writer died sees what was acknowledged, or is told why not.

A writer that dies leaves SQLite's log with the last batches in it. Who may not write cannot bring
them into the database, but must not be given answers from before them either.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Result
from contents import run
from helpers import (
    run_without_rights,
    shared_directory,
    tree,
    without_write_permission,
    write_fasta,
)

#: Loads a file while it has the archive open for reading too, says so, and waits to be killed:
#: the reader keeps SQLite from emptying its log into the database.
WRITER = """
import sys, time
import seqarchive
with seqarchive.connect(sys.argv[1]) as archive:
    archive.fetch("t:old")
    archive.load(sys.argv[2], "t", on_conflict="replace")
    print("acknowledged", flush=True)
    time.sleep(600)
"""

OLD, NEW = "ACGT" * 10, "GGCC" * 10


@pytest.fixture
def crashed(tmp_path: Path) -> Iterator[Path]:
    """An archive whose writer was killed when its second load was acknowledged."""
    with shared_directory() as directory:
        root = directory / "archive"
        first = write_fasta(tmp_path / "first.fa", {"old": OLD, "moves": OLD})
        second = write_fasta(tmp_path / "second.fa", {"new": NEW, "moves": NEW})
        assert run(root, "load", "--namespace", "t", str(first))[0] == 0
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(root), str(second)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"acknowledged\n"
        writer.kill()
        writer.communicate()
        assert (root / "master/aliases.sqlite3-wal").stat().st_size > 0
        yield root


def ask(root: Path) -> list[Result]:
    """What somebody without rights is told."""
    questions = [["get", "t:new"], ["get", "t:moves"], ["get", "t:old"]]
    return run_without_rights(*(["--root", str(root), *question] for question in questions))


@pytest.mark.parametrize("without_memory", [False, True], ids=["with_shm", "without_shm"])
def test_a_reader_without_rights_never_gets_an_answer_from_before_the_crash(
    crashed: Path, without_memory: bool
) -> None:
    if without_memory:  # it is never synced, and a copy may leave it out
        os.unlink(crashed / "master/aliases.sqlite3-shm")
    without_write_permission(crashed)
    before = tree(crashed)
    new, moved, old = ask(crashed)
    for result, expected in ((new, NEW), (moved, NEW), (old, OLD)):
        if result.code:  # it may be told that this cannot be read, but not that it is not there
            assert result.code not in (3, 6), result
            assert result.out == ""
            assert result.err.count("\n") == 1
        else:
            assert result.out == expected + "\n"
    assert tree(crashed) == before


def test_after_the_next_writer_everybody_sees_it(crashed: Path, tmp_path: Path) -> None:
    third = write_fasta(tmp_path / "third.fa", {"third": "AC"})
    assert run(crashed, "load", "--namespace", "t", str(third))[0] == 0
    without_write_permission(crashed)
    for result, expected in zip(ask(crashed), (NEW, NEW, OLD), strict=True):
        assert (result.code, result.out) == (0, expected + "\n"), result
