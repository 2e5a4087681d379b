"""The families ``locks`` and ``writers``: somebody else holds a lock of SQLite for a while, and
several writers begin in the same moment."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import sqlite3
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

from contents import Contents, contents, database, joined, random_residues, run, untidy, verified
from helpers import write_fasta
from lab import Case, Lab
from scenarios import succeed

from seqarchive import Archive
from seqarchive.durable import WriterLock

#: Where SQLite has its locks: https://www.sqlite.org/fileformat2.html and its pager.
_PENDING, _RESERVED, _SHARED, _N_SHARED = 0x40000000, 0x40000001, 0x40000002, 510

#: Lock, and the bytes of the database that are locked for it; none: a transaction of SQLite's.
_LOCKS: dict[str, tuple[int, int] | None] = {
    "RESERVED": (_RESERVED, 1),
    "PENDING": (_PENDING, 1),
    "EXCLUSIVE": (_PENDING, 2 + _N_SHARED),
    "transaction": None,
}

#: Seconds for which a lock is held, and those that a sample has.
SECONDS = (0.0, 1.0, 6.0, 60.0)
FEW_SECONDS = 0.4

#: Seconds for which no reader waits, even on a machine that has much else to do.
_LONG = 25.0

#: Seconds for which a reader waits for one who lets nobody read.
_PATIENCE_OF_READERS = 5.0

_COMMANDS = {
    "load": ("load", "-n", "t", "{file}"),
    "import-aliases": ("import-aliases", "{names}"),
    "snapshot": ("snapshot", "r1"),
    "get": ("get", "t:A.1"),
    "translate": ("translate", "t:A.1"),
    "verify": ("verify", "--full"),
}

#: What only reads, and so never waits for a writer.
_READERS = ("get", "translate", "snapshot", "verify", "open")


@dataclass
class Locks:
    """A foreign process holds a lock while a command runs."""

    #: Commands; ``open`` is a reader that was there before, such as a service.
    of: ClassVar = (*_COMMANDS, "open")

    lab: Lab
    name: str = "locks"
    _roots: list[Path] = field(default_factory=list)

    def scenarios(self) -> tuple[str, ...]:
        """Those commands."""
        return self.of

    def cases(self, scenario: str) -> list[Case]:
        """Each lock, for each time."""
        return [
            Case(self.name, scenario, (lock, str(seconds)), (lock, str(seconds)), lock)
            for seconds in SECONDS
            for lock in _LOCKS
        ]

    def few(self, scenario: str) -> list[Case]:
        """Each lock, for a moment."""
        return [Case(self.name, scenario, (lock, str(FEW_SECONDS)), (lock,)) for lock in _LOCKS]

    def problems(self, case: Case) -> list[str]:
        """Hold it; what is wrong with what the command does."""
        if not self._roots:
            root = self.lab.new_root()
            write_fasta(root.parent / "a.fa", {"A.1": random_residues("A.1", 500)})
            write_fasta(root.parent / "b.fa", {"B.1": random_residues("B.1", 500)})
            (root.parent / "names.tsv").write_text("t\tC.1\tt:A.1\n")
            self.lab.ask(lambda: succeed(root, "load", "-n", "t", str(root.parent / "a.fa")))
            self._roots.append(root)
        template = self._roots[0]
        root = self.lab.copy(template)
        lock, seconds = case.words[0], float(case.words[1])
        found: list[str] = self.lab.ask(
            lambda: list(_met(root, template.parent, case.scenario, lock, seconds)),
            patience=60 + 3 * int(seconds),
        )
        if not found:
            self.lab.remove(root)
        return found


def _met(root: Path, files: Path, command: str, lock: str, seconds: float) -> Iterator[str]:
    archive = Archive(root) if command == "open" else None
    before = contents(root)
    # While a reader is there, nobody gets all of it: the other one waits.
    is_had = archive is None or lock != "EXCLUSIVE"
    is_free = lock in ("RESERVED", "transaction") or archive is not None
    is_beside = command in _READERS and is_free and is_had
    held = _LONG if is_beside else seconds
    release = _held_elsewhere(database(root), lock, held, is_had=is_had, is_cut=is_beside)
    started = time.monotonic()
    if archive is not None:
        with archive:
            found = archive.fetch("t:A.1")
        code, err = 0, ""
        if found != random_residues("A.1", 500):
            yield "it reads other residues"
    else:
        places = {"file": str(files / "b.fa"), "names": str(files / "names.tsv")}
        words = [part.format_map(places) for part in _COMMANDS[command]]
        code, err = run(root, *words)
    took = time.monotonic() - started
    release()
    # Who writes waits for a minute, who reads for five seconds; then each is told.
    patience = _PATIENCE_OF_READERS if command in _READERS else SECONDS[-1]
    if code and not (code == 1 and "locked" in err and seconds >= patience):
        yield f"it ends with {code} after {took:.1f} s: {err.strip()}"
    if err and (err.count("\n") != 1 or "Traceback" in err):
        yield f"the error is not one line: {err}"
    if is_beside and took >= _LONG:
        yield f"a reader waited for {took:.1f} s"
    if code and contents(root) != before:
        yield "it failed, and something has changed"
    yield from map(str, verified(root).findings)
    code, err = run(root, "load", "-n", "t", str(files / "b.fa"))
    if code or "t:B.1" not in contents(root).aliases:
        yield f"a load after that ends with {code}: {err.strip()}"
    yield from untidy(root)


def _held_elsewhere(
    path: Path, lock: str, seconds: float, *, is_had: bool, is_cut: bool
) -> Callable[[], None]:
    """Another process takes a lock, and lets it go after some seconds. Returns what waits for
    that, or ends it."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            span = _LOCKS[lock]
            if span is None:
                connection = sqlite3.connect(path, isolation_level=None)
                connection.execute("BEGIN IMMEDIATE")
            else:
                fd = os.open(path, os.O_RDWR)
                order = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, *span, 0)
                # A lock that a reader has on the way is his for some microseconds.
                fcntl.fcntl(fd, fcntl.F_SETLKW, order)
            os.write(writing, b"!")
            time.sleep(seconds)
        finally:
            os._exit(0)
    os.close(writing)
    assert not is_had or os.read(reading, 1) == b"!"
    os.close(reading)
    return lambda: _ended(pid, is_cut=is_cut)


def _ended(pid: int, *, is_cut: bool) -> None:
    if is_cut:
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


# --- writers ------------------------------------------------------------------------------------

_ROUNDS = 50


@dataclass
class Writers:
    """Processes that load in the same moment: some win, the others are told at once, and nothing
    is mixed."""

    lab: Lab
    name: str = "writers"

    def scenarios(self) -> tuple[str, ...]:
        """How many there are."""
        return ("2", "4", "8")

    def cases(self, scenario: str) -> list[Case]:
        """Rounds; in every second one all have the same file."""
        return [
            Case(self.name, scenario, (str(number),), (str(number % 2),), "")
            for number in range(_ROUNDS)
        ]

    def problems(self, case: Case) -> list[str]:
        """Let them compete; what is wrong after that."""
        root = self.lab.new_root()
        root.mkdir()
        number, n_writers = int(case.words[0]), int(case.scenario)
        found: list[str] = self.lab.ask(lambda: list(_compete(root, number, n_writers)))
        if not found:
            self.lab.remove(root)
        return found


def _compete(root: Path, number: int, n_writers: int) -> Iterator[str]:
    files, expected = [], []
    succeed(root, "init")
    for writer in range(n_writers):
        name = f"{number}.{0 if number % 2 else writer}"
        records = {f"{name}.{k}": random_residues(f"{name}.{k}", 50 + 9000 * k) for k in range(3)}
        files.append(write_fasta(root.parent / f"{writer}.fa", records))
    moment = time.time() + 0.05
    pids = [_load_at(moment, root, file) for file in files]
    text = {pid: file.with_suffix(".err") for pid, file in zip(pids, files, strict=True)}
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    winners = [file for file, code in zip(files, codes, strict=True) if code == 0]
    if not winners or set(codes) - {0, 7}:
        yield f"the exit codes are {codes}"
    won = {pid for pid, code in zip(pids, codes, strict=True) if code == 0}
    for pid in set(pids) - won:
        said = text[pid].read_text()
        if not any(re.fullmatch(_told(root, winner), said) for winner in won):
            yield f"one that lost is told: {said.strip()}"
    held = sorted(period for file in files for period in _held(file.with_suffix(".held")))
    if any(later[0] < earlier[1] for earlier, later in pairwise(held)):
        yield "two of them had the lock at once"
    state = Contents({}, {}, frozenset())
    for n, file in enumerate(winners):
        alone = root.parent / f"alone-{n}"
        succeed(alone, "load", "-n", "t", str(file))
        state = joined(state, contents(alone))
    expected.append(state)
    if contents(root) not in expected:
        yield "what is there is not what the winners loaded"
    yield from map(str, verified(root).findings)
    yield from untidy(root)


def _told(root: Path, winner: int) -> str:
    """A pattern of what others are told while one writes; for a moment, he has the lock and has
    not yet said who he is."""
    instance, host = re.escape(f"{root}/master"), re.escape(socket.gethostname())
    holder = rf"another writer|process {winner} on {host}, writing since \d{{4}}-\S+Z"
    return rf"seqarchive: {instance} is locked by (?:{holder}); try again later\n"


def _load_at(moment: float, root: Path, file: Path) -> int:
    """A process that loads a file in that moment, and writes beside it what it is told."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            while time.time() < moment:
                time.sleep(0.0002)
            _note_lock(file.with_suffix(".held"))
            code, err = run(root, "load", "-n", "t", str(file))
            file.with_suffix(".err").write_text(err)
        finally:
            os._exit(code)
    return pid


def _note_lock(notes: Path) -> None:
    """Have this process write down from when to when it had the lock, in ns of the clock that all
    processes share."""
    enter, leave = WriterLock.__enter__, WriterLock.__exit__

    def noted() -> None:
        with open(notes, "a", encoding="ascii") as file:
            file.write(f"{time.monotonic_ns()}\n")

    def entered(self: WriterLock) -> WriterLock:
        lock = enter(self)
        noted()
        return lock

    def left(self: WriterLock, *error: Any) -> None:
        noted()
        leave(self, *error)

    WriterLock.__enter__, WriterLock.__exit__ = entered, left  # type: ignore[method-assign]


def _held(notes: Path) -> list[tuple[int, int]]:
    """From when to when a process had the lock."""
    if not notes.exists():
        return []
    moments = [int(line) for line in notes.read_text("ascii").split()]
    return list(zip(moments[::2], moments[1::2], strict=True))
