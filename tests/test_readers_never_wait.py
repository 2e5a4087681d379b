"""Readers never wait for the writer, never see half of a batch, and never an old answer.

Threads that share an archive and forks of a process that has it open ask as fast as they can for
answers that they know, while another process commits a batch after another.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from children import (
    CHILDREN,
    MOVING,
    N_BATCHES,
    N_STEADY,
    READERS,
    moved,
    steady,
    write_batch,
    write_steady,
)
from contents import contents, untidy, verified
from helpers import started

from seqarchive import Archive


class Found(NamedTuple):
    """What some readers have found."""

    wrong: list[str]
    seconds: Sequence[float]
    """That each call took, the longest last."""
    waits: Sequence[float]
    """For how much of that the caller had no use for a core."""
    versions: list[int]


class Hammering(NamedTuple):
    """An archive that was read while it was written to."""

    root: Path
    threads: list[Found]
    forks: list[Found]


@pytest.fixture(scope="module")
def hammering(tmp_path_factory: pytest.TempPathFactory) -> Hammering:
    directory = tmp_path_factory.mktemp("hammering")
    root = directory / "archive"
    for version in range(N_BATCHES + 1):
        write_batch(directory, version)
    code = load_the_first(root, directory)
    assert code == 0
    (directory / "acknowledged").write_text("0")

    tasks = [*(("read", how) for how in READERS), ("commit",)]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                started([sys.executable, CHILDREN, task, str(root), str(directory), *how])
            )
            for task, *how in tasks
        ]
        assert [process.wait(240) for process in processes] == [0, 0, 0]
    return Hammering(
        root,
        [Found(**json.loads((directory / "threads.json").read_text()))],
        [
            Found(**json.loads((directory / f"forks-{n}.json").read_text()))
            for n in range(READERS["forks"])
        ],
    )


def load_the_first(root: Path, directory: Path) -> int:
    """Load what is there before the first batch, in a process of its own."""
    files = [write_steady(directory), *(directory / f"0.{part}.fa" for part in ("moving", "pair"))]
    command = [sys.executable, "-m", "seqarchive", "--root", str(root), "load", "--namespace", "t"]
    return subprocess.run([*command, *files], check=False).returncode


def everybody(hammering: Hammering) -> list[Found]:
    return hammering.threads + hammering.forks


def test_no_answer_is_wrong_or_stale_or_from_half_a_batch(hammering: Hammering) -> None:
    wrong = [line for found in everybody(hammering) for line in found.wrong]
    assert not wrong, f"{len(wrong)} wrong answers, such as:\n" + "\n".join(wrong[:10])


def test_readers_follow_the_writer_from_batch_to_batch(hammering: Hammering) -> None:
    for found in everybody(hammering):
        assert len(found.seconds) > 500
        assert len(found.versions) > N_BATCHES / 3


def test_no_reader_waits_for_the_writer(hammering: Hammering) -> None:
    # Thirteen processes and threads share the cores with whatever else the machine does, and the
    # threads share Python's lock too. So what is measured is for how long a caller neither had a
    # core nor wanted one: that is waiting for somebody.
    for found in hammering.forks:
        assert found.waits[-1] < 0.1
    # Threads do wait for each other's turn in Python; a lock of the database would stop them all
    # for as long as the writer holds it, and that is half of the time.
    for found in hammering.threads:
        assert found.waits[int(len(found.waits) * 0.98)] < 0.1
        assert found.waits[-1] < 2


def test_after_all_batches_everything_is_there_and_in_order(hammering: Hammering) -> None:
    found = contents(hammering.root)
    assert len(found.aliases) == N_STEADY + len(MOVING) + 22 * (N_BATCHES + 1)
    assert len(found.history) == len(MOVING) * N_BATCHES
    with Archive(hammering.root) as archive:
        for n in range(N_STEADY):
            assert archive.fetch(f"t:s{n}") == steady(n)
        for name in MOVING:
            assert archive.fetch(name) == moved(name, N_BATCHES)
    assert verified(hammering.root).findings == []
    assert untidy(hammering.root) == []
