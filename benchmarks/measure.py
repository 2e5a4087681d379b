"""Measuring: a piece of work in a fresh process, its time, its processors, its memory.

The process is ``worker.py``. It imports and prepares what the work needs before the clock starts,
and says how long each step took; from outside comes what the process as a whole cost.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

HERE = Path(__file__).resolve().parent

#: No piece of work takes longer, unless something is wrong.
_TIMEOUT = 3600.0


class Failed(Exception):
    """The work could not be done."""


@dataclass(frozen=True)
class StepTimes:
    """What one step cost."""

    wall: float
    """Seconds."""
    cpu: float
    """Seconds of all processors, user and system, of the process and its children."""
    count: int
    """How many operations the step was."""
    rss_growth: int
    """Bytes of resident memory that it left behind."""
    answer: str
    """SHA-256 of what came out."""

    @property
    def each(self) -> float:
        """Seconds of one operation."""
        return self.wall / self.count


@dataclass(frozen=True)
class Sample:
    """One run of a process."""

    wall: float
    cpu: float
    peak_rss: int = 0
    """Bytes of the largest process, if it said so itself."""
    peak_tree: int = 0
    """Bytes of the process and its children together, if watched; shared pages counted once."""
    steps: dict[str, StepTimes] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def work(
    contestant: str,
    operation: str,
    *,
    stdin: IO[bytes] | None = None,
    watch: bool = False,
    **arguments: object,
) -> Sample:
    """Let a contestant do something in a process of its own.

    Args:
        stdin: What it reads.
        watch: Look at the memory of the whole family of processes all the time. It costs time:
            not for runs whose times count.
        arguments: Of the operation; paths and numbers.

    Raises:
        Failed: With the last words of the process.
    """
    given = {key: str(v) if isinstance(v, Path) else v for key, v in arguments.items()}
    with tempfile.TemporaryDirectory() as scratch:
        answer = Path(scratch, "answer.json")
        task = {"contestant": contestant, "operation": operation, "arguments": given}
        argv = [sys.executable, str(HERE / "worker.py"), json.dumps(task), str(answer)]
        sample = command(argv, stdin=stdin, watch=watch)
        said = json.loads(answer.read_text())
    return Sample(
        sample.wall,
        sample.cpu,
        said["peak_rss"],
        sample.peak_tree,
        {name: StepTimes(**times) for name, times in said["steps"].items()},
    )


def command(
    argv: Sequence[str], *, stdin: IO[bytes] | None = None, watch: bool = False
) -> Sample:
    """Run a program from start to end.

    Raises:
        Failed: It exited with another code than 0.
    """
    # What earlier runs have written must not be flushed at the expense of this one.
    os.sync()
    with tempfile.TemporaryFile() as errors, contextlib.ExitStack() as stack:
        started = time.perf_counter()
        process = subprocess.Popen(
            argv,
            stdin=stdin if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        alarm = threading.Timer(_TIMEOUT, process.kill)
        alarm.daemon = True
        alarm.start()
        stack.callback(alarm.cancel)
        watcher = stack.enter_context(Watcher(process.pid)) if watch else None
        # wait4 and not wait: its CPU seconds include those of children that were waited for.
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            errors.seek(0)
            words = errors.read().decode(errors="replace").strip().splitlines()
            raise Failed(f"exit code {process.returncode}: " + " / ".join(words[-3:]))
    cpu = usage.ru_utime + usage.ru_stime
    return Sample(wall, cpu, peak_tree=watcher.peak if watcher is not None else 0)


class Watcher:
    """Looks at a process and its children many times a second. Linux only; 0 elsewhere.

    Args:
        interval: Seconds between two looks.
    """

    def __init__(self, pid: int, interval: float = 0.02) -> None:
        self._pid = pid
        self._interval = interval
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak = 0

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(self._interval):
            seen = [_memory(pid) for pid in _family(self._pid)]
            # Anonymous pages are shared within the family alone; those of files (the interpreter,
            # libraries) are much the same in all of it, and other programs map them too.
            peak = sum(anonymous for anonymous, _ in seen) + max(files for _, files in seen)
            self.peak = max(self.peak, peak)


def _family(pid: int) -> list[int]:
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def _memory(pid: int) -> tuple[int, int]:
    """Bytes of anonymous pages, each divided by how many processes share it; bytes of files."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        kb = {name: int(rest.split()[0]) for name, _, rest in (x.partition(":") for x in lines)}
        return kb["Pss_Anon"] * 1024, (kb["Rss"] - kb["Anonymous"]) * 1024
    return 0, 0


def seqarchive_command() -> list[str]:
    """How the command line is started in this environment."""
    script = Path(sys.executable).with_name("seqarchive")
    return [str(script)] if script.exists() else [sys.executable, "-m", "seqarchive"]


def busy_seconds() -> tuple[float, float]:
    """Seconds that processors have been busy: with anything at all, and with us. Linux only."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    ours = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    with contextlib.suppress(OSError):
        # user, nice, system, (idle, iowait,) irq, softirq, steal
        ticks = [int(field) for field in Path("/proc/stat").read_text().split()[1:9]]
        return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK"), ours
    return ours, ours


def disk_usage(directory: Path) -> tuple[int, int]:
    """Bytes of all files below a directory: as their sizes say, and as the disk has allocated.

    Directories count as allocated too: 20,000 files need some.
    """
    os.sync()  # a file system may allocate as late as that
    apparent = allocated = 0
    seen: set[int] = set()
    for path in [directory, *directory.rglob("*")]:
        status = path.lstat()
        if status.st_ino in seen:
            continue
        seen.add(status.st_ino)
        allocated += status.st_blocks * 512
        apparent += status.st_size if path.is_file() else 0
    return apparent, allocated
