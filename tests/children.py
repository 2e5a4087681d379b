"""Processes that tests of concurrency start: ``python tests/children.py TASK ARGUMENTS``."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import random
import sys
import threading
import time
import traceback
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seqarchive import Archive, Locked, NotFound, commands

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))

from contents import random_residues
from helpers import wait_until, write_fasta

# --- writers that compete ---------------------------------------------------------------------


def compete(root: str) -> None:
    """For each line of standard input, load a file at a moment that is the same for all writers.

    A line is the moment, a tab, and the file. The answer is a line of JSON: exit code and errors.
    """
    for line in sys.stdin:
        moment, file = line.rstrip("\n").split("\t")
        while time.time() < float(moment):
            time.sleep(0.0002)
        err = io.StringIO()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
            code = commands.run(["--root", root, "load", "--namespace", "t", file])
        print(json.dumps([code, err.getvalue()]), flush=True)


# --- a writer with readers beside it ----------------------------------------------------------

#: Sequences that are there all the time, under names that never move.
N_STEADY = 120
#: Batches that the writer commits.
N_BATCHES = 30
#: Aliases that each batch moves to other sequences, all of them together.
MOVING = ("t:m1", "t:m2", "t:m3")


residues_of = functools.cache(random_residues)


@functools.cache
def steady(n: int) -> str:
    """The residues of ``t:s{n}``: some share a block, some have many blocks of their own."""
    return random_residues(f"steady {n}", 20 + (n * n * 37) % 25_000)


def moved(name: str, version: int) -> str:
    """What a moving alias means after a batch."""
    return f"{version:b}".replace("0", "A").replace("1", "C") + "G" + residues_of(name, 200)


def version_of(name: str, residues: str) -> int:
    """The batch that gave a moving alias its meaning; fails if none did."""
    number, _, rest = residues.partition("G")
    assert rest == residues_of(name, 200), f"{name} has residues that nobody wrote"
    return int(number.replace("A", "0").replace("C", "1"), 2)


def write_batch(directory: Path, version: int) -> list[Path]:
    """The files of a batch: names that move, and two that appear together."""
    moving = [(name.partition(":")[2], moved(name, version)) for name in MOVING]
    pair = [(f"p{version}{side}", residues_of(f"{version}{side}", 500)) for side in "ab"]
    others = [(f"o{version}.{n}", residues_of(f"{version}.{n}", 3000)) for n in range(20)]
    return [
        write_fasta(directory / f"{version}.moving.fa", moving),
        write_fasta(directory / f"{version}.pair.fa", [pair[0], *others, pair[1]]),
    ]


def write_steady(directory: Path) -> Path:
    """The file of what is there before the first batch."""
    return write_fasta(
        directory / "steady.fa", [(f"s{n}", steady(n)) for n in range(N_STEADY)], width=80
    )


def commit(root: str, directory: str) -> None:
    """One batch after another, when the readers are at it; each is acknowledged in a file."""
    wait_until(lambda: all(Path(directory, f"ready-{how}").exists() for how in READERS))
    with Archive(root) as archive:
        for version in range(1, N_BATCHES + 1):
            files = [Path(directory, f"{version}.{part}.fa") for part in ("moving", "pair")]
            archive.load(files, "t", on_conflict="replace")
            new = Path(directory, "acknowledged.new")
            new.write_text(str(version))
            new.rename(Path(directory, "acknowledged"))
            time.sleep(0.05)


class Scheduled:
    """The time that the calling thread has had a core, or would have used one that others had."""

    def __init__(self) -> None:
        self._fd = os.open("/proc/thread-self/schedstat", os.O_RDONLY)

    def seconds(self) -> float:
        running, runnable, _ = os.pread(self._fd, 100, 0).split()
        return (int(running) + int(runnable)) / 1e9


class Reader:
    """Asks for everything again and again, knowing each answer, and how long each took."""

    def __init__(self, archive: Archive, directory: Path, name: str) -> None:
        self._archive = archive
        self._acknowledged = directory / "acknowledged"
        self._dice = random.Random(name)
        self.wrong: list[str] = []
        self.seconds: array[float] = array("d")
        self.waits: array[float] = array("d")
        self.versions: set[int] = set()
        self._seen = 0  # no later answer may be from before this batch

    def run(self) -> None:
        self._scheduled = Scheduled()
        asks = (
            self._ask_steady, self._ask_steady, self._ask_steady, self._ask_moving,
            self._ask_moving_together, self._ask_pair, self._ask_names, self._ask_list,
        )  # fmt: skip
        while self._last_acknowledged() < N_BATCHES and len(self.wrong) < 20:
            try:
                self._dice.choice(asks)()
            except Exception:
                self.wrong.append(traceback.format_exc())

    def _last_acknowledged(self) -> int:
        return int(self._acknowledged.read_text())

    def _timed(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        scheduled, started = self._scheduled.seconds(), time.perf_counter()
        try:
            return call(*arguments, **options)
        finally:
            seconds = time.perf_counter() - started
            self.seconds.append(seconds)
            self.waits.append(seconds - (self._scheduled.seconds() - scheduled))

    def _expect(self, right: bool, message: str) -> None:
        if not right:
            self.wrong.append(message)

    def _expect_version(self, version: int, at_least: int, what: str) -> None:
        self._expect(at_least <= version <= N_BATCHES, f"{what}: {version} after {at_least}")
        self.versions.add(version)
        self._seen = max(self._seen, version)

    def _ask_steady(self) -> None:
        n = self._dice.randrange(N_STEADY)
        expected = steady(n)
        start, end = sorted(self._dice.randint(0, len(expected)) for _ in range(2))
        found = self._timed(self._archive.fetch, f"t:s{n}", start, end)
        self._expect(found == expected[start:end], f"t:s{n}:{start}-{end} is wrong")

    def _ask_moving(self) -> None:
        name = self._dice.choice(MOVING)
        at_least = max(self._seen, self._last_acknowledged())
        found = version_of(name, self._timed(self._archive.fetch, name))
        self._expect_version(found, at_least, f"{name} is stale")

    def _ask_moving_together(self) -> None:
        at_least = max(self._seen, self._last_acknowledged())
        requests = [(name, None, None) for name in MOVING]
        answers = self._timed(self._archive.fetch_many, requests)
        versions = [version_of(*pair) for pair in zip(MOVING, answers, strict=True)]
        self._expect(len(set(versions)) == 1, f"one call of fetch_many mixes batches {versions}")
        self._expect_version(min(versions), at_least, "fetch_many is stale")

    def _ask_pair(self) -> None:
        """Two names that appear together: whoever has seen one must see the other."""
        version = self._dice.randint(max(1, self._last_acknowledged()), N_BATCHES)
        first, second = self._dice.sample("ab", 2)
        try:
            found = self._timed(self._archive.fetch, f"t:p{version}{first}")
        except NotFound:
            self._expect(version > self._seen, f"t:p{version}{first} of a batch seen is not there")
            return
        self._expect(found == residues_of(f"{version}{first}", 500), "a new name is wrong")
        self._expect_version(version, 1, "a pair")
        found = self._timed(self._archive.fetch, f"t:p{version}{second}")
        self._expect(found == residues_of(f"{version}{second}", 500), "a new name is wrong")

    def _ask_names(self) -> None:
        name = self._dice.choice(MOVING)
        names = self._timed(self._archive.translate, name, "t")
        self._expect(names == [name], f"translate({name!r}) is {names}")
        n = self._dice.randrange(N_STEADY)
        names = self._timed(self._archive.translate, f"t:s{n}", to="t")
        self._expect(names == [f"t:s{n}"], f"translate('t:s{n}') is {names}")

    def _ask_list(self) -> None:
        at_least = max(self._seen, self._last_acknowledged())
        found = self._timed(lambda: [a.alias for a, _ in self._archive.all_aliases("t", "p*")])
        whole = sorted(f"p{n}{side}" for n in range(len(found) // 2) for side in "ab")
        self._expect(found == whole, f"the list of names is {found}")
        self._expect_version(len(found) // 2 - 1, at_least, "the list of names is stale")


#: How there are readers, and how many.
READERS = {"threads": 8, "forks": 4}


def read(root: str, directory: str, how: str) -> None:
    """Readers in threads that share an archive, or in forks of a process that has it open."""
    with Archive(root) as archive:
        for n in range(N_STEADY):  # whatever a fork can inherit is there to be inherited
            assert archive.fetch(f"t:s{n}") == steady(n)
        readers = [Reader(archive, Path(directory), f"{how} {n}") for n in range(READERS[how])]
        Path(directory, f"ready-{how}").touch()
        if how == "threads":
            threads = [threading.Thread(target=reader.run) for reader in readers]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        else:
            pids = []
            for n, reader in enumerate(readers):
                pid = os.fork()
                if pid == 0:
                    reader.run()
                    _report(directory, f"{how}-{n}", [reader])
                    sys.stdout.flush()
                    os._exit(0)
                pids.append(pid)
            for pid in pids:
                assert os.waitpid(pid, 0)[1] == 0, "a reader died"
            readers = []
    if readers:
        _report(directory, how, readers)


def _report(directory: str, name: str, readers: list[Reader]) -> None:
    """What readers have found: errors, and the times of all calls, the longest last."""
    report = {
        "wrong": [line for reader in readers for line in reader.wrong],
        "seconds": sorted(seconds for reader in readers for seconds in reader.seconds),
        "waits": sorted(seconds for reader in readers for seconds in reader.waits),
        "versions": sorted(set[int]().union(*(reader.versions for reader in readers))),
    }
    Path(directory, f"{name}.json").write_text(json.dumps(report))


# --- writers with snapshots beside them ---------------------------------------------------------

#: Batches of each of the two writers.
N_ROUNDS = 25
#: Aliases that the one writer re-points together.
REPOINTED = tuple(f"t:r{n}" for n in range(5))


def target(version: int) -> str:
    """What the aliases mean after a round: one of twenty sequences."""
    return f"s{7 * version % 20}"


def _when_free(change: Callable[[], object]) -> None:
    """Make a change as soon as the other writer is not at it."""
    while True:
        try:
            change()
        except Locked:
            time.sleep(0.002)
        else:
            return


def keep_loading(root: str, directory: str) -> None:
    """Load a file after another: each moves three names and adds a pair."""
    file = Path(directory, "round.fa")
    with Archive(root) as archive:
        load = functools.partial(archive.load, file, "t", on_conflict="replace")
        for version in range(1, N_ROUNDS + 1):
            moving = [(name.partition(":")[2], moved(name, version)) for name in MOVING]
            pair = [(f"p{version}{side}", residues_of(f"{version}{side}", 500)) for side in "ab"]
            write_fasta(file, [pair[0], *moving, pair[1]])
            _when_free(load)
            _acknowledge(directory, "load", version)


def keep_pointing(root: str, directory: str) -> None:
    """Re-point aliases together again and again; each round adds a name of its own."""
    with Archive(root) as archive:
        for version in range(1, N_ROUNDS + 1):
            names = [*REPOINTED[:3], f"t:round.{version}", *REPOINTED[3:]]
            of = f"t:{target(version)}"
            _when_free(functools.partial(archive.name, of, names, on_conflict="replace"))
            _acknowledge(directory, "point", version)


def keep_committing(root: str, directory: str, pause: str) -> None:
    """Move three names and add a sequence, again and again until told to stop; one release."""
    file, version = Path(directory, "more.fa"), 0
    with Archive(root) as archive:
        while not Path(directory, "stop").exists():
            version += 1
            moving = [(name.partition(":")[2], moved(name, version)) for name in MOVING]
            write_fasta(file, [*moving, (f"n{version}", residues_of(f"new {version}", 3000))])
            archive.load(file, "t", on_conflict="replace")
            _acknowledge(directory, "batch", version)
            if version == 5:
                with contextlib.redirect_stdout(io.StringIO()):
                    assert commands.run(["--root", root, "snapshot", "r2"]) == 0
                Path(directory, "snapshot").touch()
            time.sleep(float(pause))


def _acknowledge(directory: str, what: str, version: int) -> None:
    new = Path(directory, f"acknowledged-{what}.new")
    new.write_text(str(version))
    new.rename(Path(directory, f"acknowledged-{what}"))
    time.sleep(0.03)


#: This program.
CHILDREN = str(Path(__file__))

TASKS: dict[str, Callable[..., None]] = {
    "compete": compete,
    "commit": commit,
    "read": read,
    "keep_loading": keep_loading,
    "keep_pointing": keep_pointing,
    "keep_committing": keep_committing,
}

if __name__ == "__main__":
    TASKS[sys.argv[1]](*sys.argv[2:])
