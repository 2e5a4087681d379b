"""Traces: a command runs under strace, which lists the calls by which it changes the disk."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

#: Every system call by which a program on Linux can change files or directories, or their state
#: on the disk.
CHANGING = (
    "open", "openat", "openat2", "creat", "write", "writev", "pwrite64", "pwritev", "pwritev2",
    "fsync", "fdatasync", "syncfs", "sync", "sync_file_range", "link", "linkat", "symlink",
    "symlinkat", "unlink", "unlinkat", "rename", "renameat", "renameat2", "mkdir", "mkdirat",
    "rmdir", "ftruncate", "truncate", "fallocate", "chmod", "fchmod", "fchmodat", "chown",
    "fchown", "fchownat", "utimensat", "copy_file_range", "sendfile", "splice", "mknod",
    "mknodat", "setxattr", "fsetxattr",
)  # fmt: skip

_OPENING = ("open", "openat", "openat2", "creat")
_CHANGING_FLAGS = re.compile(r"O_(CREAT|TRUNC|WRONLY|RDWR)")

_LINE = re.compile(
    r"(?P<pid>\d+) +(?P<kind>\w+)\((?P<arguments>.*)\) += (?P<result>\S+)(?P<rest>.*)"
)
_BY_DESCRIPTOR = re.compile(r"\d+<([^>]*)>")
_BY_NAME = re.compile(r'"((?:[^"\\]|\\.)*)"')


class Call(NamedTuple):
    """A system call that changed something below the root."""

    pid: int
    kind: str
    number: int
    """How many-th of its kind it was in its process: what strace counts."""
    paths: tuple[str, ...]
    """Relative to the root, whose own parent is ``..``; two for a link or a rename."""
    text: str
    """The arguments as strace wrote them."""
    result: str

    @property
    def place(self) -> str:
        """The paths without what differs from one run to the next: times, and names by chance."""
        named = re.sub(r"/\.[0-9a-f]{8}\.", "/.#.", " ".join(self.paths))
        return re.sub(r"\d", "#", named)

    def __str__(self) -> str:
        return f"{self.kind} {self.number} ({' -> '.join(self.paths)})"


def parse_trace(text: str, root: Path) -> list[Call]:
    """The calls of a trace (``strace -f -y``) that changed ``root`` or something below it."""
    counts: Counter[tuple[str, str]] = Counter()
    calls = []
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        pid, kind, arguments, result, _ = match.groups()
        counts[pid, kind] += 1
        if kind in _OPENING and not _CHANGING_FLAGS.search(arguments):
            continue
        by_descriptor = _BY_DESCRIPTOR.match(arguments)
        names = [by_descriptor[1]] if by_descriptor else _BY_NAME.findall(arguments)
        paths = [os.path.relpath(name, root) for name in names if os.path.isabs(name)]
        if any(path == ".." or not path.startswith("..") for path in paths):
            calls.append(Call(int(pid), kind, counts[pid, kind], tuple(paths), arguments, result))
    return calls


class Ended(NamedTuple):
    """How a command under strace ended, and what it had done itself, without its children."""

    code: int
    err: str
    calls: list[Call]


def traced(root: Path, arguments: list[str], *injection: str) -> Ended:
    """Run ``python -m seqarchive --root ROOT ARGUMENTS`` under strace.

    Args:
        injection: What strace shall do to which call.
    """
    done, text = _run(root, arguments, *injection)
    first = int(text.split(maxsplit=1)[0])
    calls = [call for call in parse_trace(text, root) if call.pid == first]
    return Ended(done.returncode, done.stderr, calls)


def all_calls(root: Path, arguments: list[str]) -> list[Call]:
    """The calls of a command that succeeds, also those of its threads and children."""
    done, text = _run(root, arguments)
    assert done.returncode == 0, done.stderr
    return parse_trace(text, root)


def _run(
    root: Path, arguments: list[str], *injection: str
) -> tuple[subprocess.CompletedProcess[str], str]:
    trace = root.parent / "trace"
    command = ["strace", "-f", "-qq", "-y", "-o", str(trace), "-e", "trace=" + known_calls()]
    if not any("signal=" in part for part in injection):
        command.append("--seccomp-bpf")  # faster, but it cannot send signals
    for part in injection:
        command += ["-e", f"inject={part}"]
    command += [sys.executable, "-m", "seqarchive", "--root", str(root), *arguments]
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "0",  # the same calls in every run
        "OPENBLAS_NUM_THREADS": "1",
    }
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=root.parent
    )
    return done, trace.read_text(errors="replace")


def known_calls() -> str:
    """Those calls that this machine has; strace refuses names that it does not know."""
    return ",".join("?" + kind for kind in CHANGING)


def commit_of(calls: list[Call]) -> int:
    """Which call makes a batch durable: the first after the last write to SQLite's log."""
    log = [n for n, call in enumerate(calls) if call.paths == ("master/aliases.sqlite3-wal",)]
    last = max(n for n in log if calls[n].kind == "pwrite64")
    return next(n for n in log if n > last and calls[n].kind in ("fsync", "fdatasync"))
