"""The lab: a directory with the input files, each scenario as it is before and after, and room for
copies to which faults happen."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from forks import PATIENCE, Ended, in_fork, in_one_process, run_forked
from scenarios import Scenario, publish_everywhere, succeed, write_inputs
from traces import Call

from seqarchive import Archive, journal

#: In memory nothing waits for a disk, and the calls are the same.
_MEMORY = Path("/dev/shm")

#: Bytes that must be free there.
_ROOM = 1 << 30

_DAY = 86_400.0

#: The environment variable that says which mistake is made, if one is.
MISTAKE = "SEQARCHIVE_MISTAKE"


class Case(NamedTuple):
    """One fault in one scenario."""

    family: str
    scenario: str
    words: tuple[str, ...]
    group: tuple[str, ...] = ()
    """What is the same of cases that are much alike."""
    about: str = ""
    """For whoever reads of it."""

    @property
    def command(self) -> str:
        """What repeats it."""
        mistake = ["--mistake", made] if (made := os.environ.get(MISTAKE)) else []
        words = [*mistake, self.family, self.scenario, *self.words]
        return f"python tests/faults.py {shlex.join(words)}"


@dataclass
class Listed:
    """A scenario without a fault."""

    template: Path
    before: Any
    after: Any
    ended: Ended


@dataclass
class Lab:
    """Made once by a process that has no threads."""

    directory: Path
    elsewhere: Path
    """On another file system, where there is one."""
    _templates: dict[str, Path] = field(default_factory=dict)
    _listed: dict[str, Listed] = field(default_factory=dict)
    _n_runs: int = 0
    _is_kept: bool = False

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator[Lab]:
        """A new one, for which ``prepare`` was called; it is gone afterwards."""
        base = None
        if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM:
            base = str(_MEMORY)
        directory = Path(tempfile.mkdtemp(prefix="faults-", dir=base))
        lab = cls(directory, Path(tempfile.mkdtemp(prefix="faults-")))
        lab.files.mkdir()
        write_inputs(lab.files)
        try:
            in_fork(lambda: succeed(lab.quiet, "init"))
            yield lab
        finally:
            if not lab._is_kept:
                remove(directory)
                remove(lab.elsewhere)

    def keep(self) -> None:
        """Leave everything for inspection."""
        self._is_kept = True

    @property
    def files(self) -> Path:
        """Where the inputs are."""
        return self.directory / "files"

    @property
    def quiet(self) -> Path:
        """An archive that is open while others are looked at."""
        return self.directory / "quiet"

    @cached_property
    def published(self) -> dict[str, str]:
        """Where releases can be had from; servers end with this process."""
        elsewhere = self.elsewhere / "published"
        in_fork(lambda: publish_everywhere(self.files, elsewhere))
        return {
            "web": _served(self.files / "published"),
            "signed": _served(self.files / "signed"),
            "elsewhere": str(elsewhere),
        }

    def command(self, scenario: Scenario, root: Path) -> list[str]:
        """The command line of a scenario, for a root."""
        places = {"root": str(root), "files": str(self.files)}
        if scenario.threaded:
            places |= self.published
        return scenario.command(places)

    @contextmanager
    def watching(self, scenario: Scenario, root: Path) -> Iterator[None]:
        """Have a reader there, if one belongs to the scenario."""
        if not scenario.watched:
            yield
            return
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                with Archive(root) as archive:
                    list(archive.all_aliases())
                    os.write(writing, b"!")
                    signal.pause()
            finally:
                os._exit(1)
        os.close(writing)
        try:
            assert os.read(reading, 1) == b"!"
            yield
        finally:
            os.close(reading)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def new_root(self) -> Path:
        """Where there is nothing yet, alone in a directory."""
        self._n_runs += 1
        parent = self.directory / f"run-{self._n_runs}"
        parent.mkdir()
        return parent / "archive"

    def copy(self, root: Path) -> Path:
        """A copy of a root, or of nothing."""
        return copy_tree(root, self.new_root())

    def remove(self, root: Path) -> None:
        """Remove what ``new_root`` has given."""
        remove(root.parent)

    def template(self, scenario: Scenario) -> Path:
        """The root as it is before."""
        if scenario.name not in self._templates:
            root = self.directory / scenario.name / "archive"
            root.parent.mkdir()
            if scenario.threaded:
                assert self.published
            self.ask(lambda: _yesterday(lambda: scenario.prepare(root, self.files)))
            self._templates[scenario.name] = root
        return self._templates[scenario.name]

    def listed(self, scenario: Scenario) -> Listed:
        """What a scenario does if nothing goes wrong."""
        if scenario.name not in self._listed:
            # Without strace first: it tells what it imports, and the next is like all others.
            root = self.copy(self.template(scenario))
            run_forked(root, self.command(scenario, root))
            self.remove(root)
            self._list(scenario)
        return self._listed[scenario.name]

    def _list(self, scenario: Scenario) -> None:
        template = self.template(scenario)
        root = self.copy(template)
        with self.watching(scenario, root):
            ended = run_forked(root, self.command(scenario, root), strace=["-f", "-y"])
        assert ended.code == 0, ended.err
        judge = scenario.judge
        problems = self.ask(lambda: [*judge.sound(root), *judge.tidy(root)])
        assert problems == [], problems
        before = self.ask(lambda: judge.state(template))
        after = self.ask(lambda: judge.state(root))
        self._listed[scenario.name] = Listed(template, before, after, ended)
        self.remove(root)

    def ask(self, question: Callable[[], Any], patience: int = PATIENCE) -> Any:
        """What a function says, in a fork that has so many seconds."""

        def answer() -> Any:
            with in_one_process(self.quiet):
                return question()

        return in_fork(answer, patience)


def _yesterday(prepare: Callable[[], None]) -> None:
    """So that the journal directory of what comes next is another one in every run."""
    journal.time = SimpleNamespace(  # type: ignore[assignment, attr-defined]
        time=lambda: time.time() - _DAY,
        gmtime=lambda: time.gmtime(time.time() - _DAY),
        strftime=time.strftime,
    )
    prepare()


def changing(ended: Ended) -> list[Call]:
    """Calls that did something, until SQLite removes its log. What comes after that only reads,
    beside other processes: which of them makes the shared memory is by chance."""
    calls = ended.calls
    ends = [
        n for n, call in enumerate(calls) if call.place.endswith("-wal") and call.kind == "unlink"
    ]
    is_last = ends and not any(
        re.match(r"rename|link|mkdir|fsync|symlink", call.kind) for call in calls[ends[-1] + 1 :]
    )
    calls = calls[: ends[-1] + 1] if is_last else calls
    return [call for call in calls if call.result != "-1" and "-shm" not in call.place]


def copy_tree(root: Path, other: Path) -> Path:
    """Copy a tree, in which hard links are hard links and nothing need be writable."""
    if root.exists():
        _copy_directory(str(root), str(other), {})
    return other


def _copy_directory(directory: str, other: str, seen: dict[int, str]) -> None:
    os.mkdir(other)
    with os.scandir(directory) as entries:
        for entry in entries:
            to = os.path.join(other, entry.name)
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), to)
            elif entry.is_dir():
                _copy_directory(entry.path, to, seen)
            elif (known := seen.get(entry.inode())) is not None:
                os.link(known, to)
            else:
                shutil.copy2(entry.path, to)
                seen[entry.inode()] = to
    shutil.copystat(directory, other)


def remove(directory: Path) -> None:
    """Remove a tree in which nothing need be writable."""
    for path, _, _ in os.walk(directory):
        os.chmod(path, 0o755)
    shutil.rmtree(directory, ignore_errors=True)


_SERVE = """
import ctypes, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # it ends with its parent
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from servers import serving
with serving(Path(sys.argv[2])) as server:
    print(server.url, flush=True)
    signal.pause()
"""


def _served(root: Path) -> str:
    """The address at which a directory is served from now on."""
    tests = str(Path(__file__).parent)
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVE, tests, str(root)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    return server.stdout.readline().strip()
