"""Killed, refused by the disk, left without power, damaged, or crowded: what was acknowledged is
there, everything else is as before or as after, and the next command finds nothing in its way.

The tests take a sample of the faults, the same in every run; with the environment variable
SEQARCHIVE_ALL_FAULTS they take every one, for some hours. Each problem comes with the command that
repeats it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from contention import Locks
from damage import Flips, Misplacements, Truncations
from lab import remove
from power_cuts import Call, Disk, cuts, unsynced
from power_faults import PowerFaults
from scenarios import SCENARIOS
from seeded_mistakes import MISTAKES, Mistake
from short_writes import halve_write

#: Commands of which power cuts are tried.
POWERED = [name for name in SCENARIOS if name not in PowerFaults.without]

ALL = bool(os.environ.get("SEQARCHIVE_ALL_FAULTS"))

_PROGRAM = Path(__file__).with_name("faults.py")

#: Of how many parts a test of all faults is one, so that cores share them.
SHARES = 4 if ALL else 1


class Harness:
    """The process in whose forks everything happens."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(_PROGRAM), "serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wrong(self, family: str, scenario: str, number: int, share: int = 0) -> str:
        """What goes wrong after some of the faults of a scenario, or after all of them."""
        n_cases = 0 if ALL else number
        question: list[str | int] = [family, scenario, n_cases, "a sample", share, SHARES]
        return self._answer(question)

    def after(self, *words: str) -> str:
        """What goes wrong after one fault."""
        return self._answer(["case", *words])

    def caught(self, mistake: str) -> str:
        """What is said of a mistake that is made on purpose; nothing if nobody notices it."""
        return self._answer(["catch", mistake])

    def _answer(self, question: list[str | int]) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert answer["tried"] or answer["wrong"]
        return "".join(answer["wrong"])

    def close(self) -> None:
        """No more questions."""
        self._process.communicate()


@pytest.fixture(scope="session")
def harness() -> Iterator[Harness]:
    opened = Harness()
    yield opened
    opened.close()


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_or_refused_by_the_disk_it_is_as_before_or_as_after(
    harness: Harness, scenario: str, share: int
) -> None:
    wrong = harness.wrong("disk", scenario, 9, share)
    assert not wrong, wrong


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("scenario", POWERED)
def test_whenever_the_power_goes_off_nothing_is_lost_or_half_there(
    harness: Harness, scenario: str, share: int
) -> None:
    wrong = harness.wrong("power", scenario, 8, share)
    assert not wrong, wrong


@pytest.mark.parametrize("scenario", POWERED)
def test_all_is_durable_before_it_is_said_to_be_done(harness: Harness, scenario: str) -> None:
    wrong = harness.wrong("order", scenario, 1)
    assert not wrong, wrong


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize(
    ("family", "scenario", "number"),
    [
        *(("flip", scenario, 20) for scenario in Flips.of),
        *(("truncate", scenario, 12) for scenario in Truncations.of),
        *(("misplace", scenario, 12) for scenario in Misplacements.of),
    ],
)
def test_damage_is_found_and_mended_and_never_becomes_residues(
    harness: Harness, family: str, scenario: str, number: int, share: int
) -> None:
    wrong = harness.wrong(family, scenario, number, share)
    assert not wrong, wrong


@pytest.mark.parametrize("command", Locks.of)
def test_a_lock_that_somebody_else_holds_is_waited_for_and_no_reader_waits(
    harness: Harness, command: str
) -> None:
    wrong = harness.wrong("locks", command, 4)
    assert not wrong, wrong


@pytest.mark.parametrize("writers", ["2", "4", "8"])
def test_of_writers_that_begin_together_some_win_and_nothing_is_mixed(
    harness: Harness, writers: str
) -> None:
    wrong = harness.wrong("writers", writers, 4)
    assert not wrong, wrong


@pytest.mark.parametrize(
    "words",
    [
        # A signature that could not be kept was not missed.
        ("disk", "signed-pull", "EROFS", "openat", "1", "{root}/.pull.lock"),
        ("disk", "signed-pull", "EROFS", "openat", "1", "{root}/releases.lock"),
        # `verify --full` waited for a FIFO in the place of `chunks.sha256`.
        ("misplace", "release", "1", "fifo"),
        # One of two databases was new, and nothing was said to have changed.
        ("disk", "export-seqrepo", "full", "pwrite64", "80"),
        # What was moved aside had its old name too, which the next repair did not take away.
        ("power", "repair", "45", "nothing"),
        # A directory that the disk did not let go was passed over in silence.
        ("disk", "repair", "EIO", "rmdir", "6"),
        # htslib had a word of its own before ours.
        ("disk", "track", "EIO", "write", "3"),
        # A list that was not complete stayed beside the one that was.
        ("disk", "signed-pull", "kill", "rename", "1", "{root}/.latest"),
    ],
    ids=" ".join,
)
def test_what_went_wrong_once_goes_wrong_no_more(harness: Harness, words: tuple[str, ...]) -> None:
    wrong = harness.after(*words)
    assert not wrong, wrong


# --- whether the harness can fail -----------------------------------------------------------------


def _faults(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(_PROGRAM), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_noticed(harness: Harness, mistake: str) -> None:
    assert f"--mistake {mistake} {MISTAKES[mistake].family} " in harness.caught(mistake)


def test_the_command_of_a_problem_repeats_it() -> None:
    found = _faults("--mistake", "no-sweep-of-leftovers", "catch")
    line = next(line for line in found.stdout.splitlines() if "tests/faults.py" in line)
    words = line.split("faults.py ")[1].split()
    assert words[:4] == ["--mistake", "no-sweep-of-leftovers", "disk", "replace"]
    again = _faults(*words)
    assert again.returncode == 1
    assert "empty" in again.stdout
    assert "see /" in again.stdout
    remove(Path(again.stdout.split("see ")[1].strip()))
    right = _faults(*words[2:])
    assert right.returncode == 0, right.stdout
    assert "nothing wrong" in right.stdout


_WRITE = """
import os, signal, sys
os.kill(os.getpid(), signal.SIGSTOP)
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
first = os.write(fd, b"x" * 100)
os.write(fd, b"y" * 10)
os._exit(first)
"""


def test_a_short_write_takes_half_and_the_next_one_all(tmp_path: Path) -> None:
    file = tmp_path / "file"
    child = subprocess.Popen([sys.executable, "-c", _WRITE, str(file)])
    os.waitpid(child.pid, os.WUNTRACED)
    status, met = halve_write(child.pid, "write", 1, tmp_path)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert (child.returncode, met) == (50, str(file))
    assert file.read_bytes() == b"x" * 50 + b"y" * 10


def test_every_family_has_mistakes_that_it_must_notice() -> None:
    assert len(MISTAKES) >= 16
    families = {mistake.family for mistake in MISTAKES.values()}
    assert families >= {"disk", "power", "order", "flip", "misplace", "writers"}
    assert all(isinstance(mistake, Mistake) for mistake in MISTAKES.values())


def test_what_was_synced_is_not_lost() -> None:
    calls = [
        Call("name", 1, "a/f"),
        Call("write", 1, at=0, data=b"one"),
        Call("sync", 1),
        Call("write", 1, at=3, data=b"two"),
        Call("sync names", path="a"),
        Call("name", 2, "a/g"),
    ]
    assert unsynced(calls) == [3, 5]
    assert unsynced([*calls, Call("sync all")]) == []
    start = Disk(directories={".", "a"})
    found = {
        tuple(sorted((name, disk.data.get(n, b"")) for name, n in disk.names.items()))
        for _, _, disk in cuts(start, calls, [6])
    }
    assert found == {
        (("a/f", b"onetwo"), ("a/g", b"")),
        (("a/f", b"one"), ("a/g", b"")),
        (("a/f", b"onetwo"),),
        (("a/f", b"one"),),
        (("a/f", b"onet"), ("a/g", b"")),
    }
