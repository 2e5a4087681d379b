"""Commands in forks of a process that has imported everything: a run takes a few milliseconds
instead of half a second, and makes the same system calls in every run.

The process that forks has no other thread and no open database, and changes nothing itself: what
looks at an archive does so in a fork too.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import io
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

from short_writes import halve_write
from traces import Call, known_calls, parse_trace

from seqarchive import Archive, commands

T = TypeVar("T")

#: Seconds after which a fork that has not ended never will.
PATIENCE = 60

_PR_SET_PTRACER = 0x59616D61


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    """Less than 0: killed by that signal."""
    out: str
    err: str
    trace: str
    """What strace wrote, if it was there."""
    calls: list[Call]
    """Those of the process itself, without its children; none without strace."""
    halved: str
    """The file to which half was written."""


def prepare() -> None:
    """Import what commands import, once for all forks to come."""
    os.environ.update(OPENBLAS_NUM_THREADS="1", PYTHONHASHSEED="0")
    # Each module of a verb, as it would be on demand.
    for module in commands._VERBS.values():
        importlib.import_module(f"seqarchive.commands.{module}")
    with tempfile.TemporaryDirectory() as directory:
        for arguments in (["init"], ["verify", "--full"], ["status"]):
            root = Path(directory) / "archive"
            run_forked(root, ["--root", str(root), *arguments])
    gc.collect()
    gc.freeze()  # so that no fork copies pages only because it collects
    _require_alone()


def _require_alone() -> None:
    assert threading.active_count() == 1, threading.enumerate()


def _learn(names: Sequence[str]) -> None:
    """Import what a fork had to import by itself."""
    for name in names:
        if name not in sys.modules:
            try:
                importlib.import_module(name)
            except ImportError:  # made by its package, and not found by name
                continue


def run_forked(
    root: Path,
    arguments: Sequence[str],
    *,
    strace: Sequence[str] | None = None,
    halved: tuple[str, int, Path] | None = None,
    limits: Callable[[], None] | None = None,
) -> Ended:
    """Run ``seqarchive ARGUMENTS``.

    Args:
        root: What is watched; beside it is written what came out.
        strace: Its options, if it shall watch.
        halved: Kind of call, number and root: the call that writes half of what it was given.
        limits: Called in the fork before the command.
    """
    beside = root.parent
    _require_alone()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        _run(root, arguments, stopped=strace is not None or halved is not None, limits=limits)
    trace = beside / "trace"
    trace.unlink(missing_ok=True)
    met = ""
    if strace is not None:
        status = _watched(pid, ["-o", str(trace), *strace])
    elif halved is not None:
        os.waitpid(pid, os.WUNTRACED)
        status, met = halve_write(pid, *halved)
    else:
        status = _waited(pid)
    text = trace.read_text(errors="replace") if trace.exists() else ""
    if (modules := beside / "modules").exists():
        _learn(modules.read_text().split())
        modules.unlink()
    calls = [call for call in parse_trace(text, root) if call.pid == pid]
    code = os.waitstatus_to_exitcode(status)
    out, err = ((beside / name).read_text(errors="replace") for name in ("out", "err"))
    return Ended(code, out, err, text, calls, met)


def _waited(pid: int) -> int:
    """The status of a child that ends by itself, or is ended."""
    deadline = time.monotonic() + PATIENCE
    pause = 0.0005
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGALRM)
            return os.waitpid(pid, 0)[1]
        time.sleep(pause)
        pause = min(pause * 1.5, 0.01)


def _watched(pid: int, options: Sequence[str]) -> int:
    """Let a stopped child go on under strace."""
    os.waitpid(pid, os.WUNTRACED)
    kinds = [] if any(one.startswith("trace=") for one in options) else [f"trace={known_calls()}"]
    command = ["strace", "-qq", *[part for kind in kinds for part in ("-e", kind)]]
    with subprocess.Popen([*command, *options, "-p", str(pid)], stderr=subprocess.PIPE) as strace:
        while b"TracerPid:\t0\n" in Path(f"/proc/{pid}/status").read_bytes():
            if strace.poll() is not None:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                assert strace.stderr is not None
                raise RuntimeError(strace.stderr.read().decode())
            time.sleep(0.0005)
        os.kill(pid, signal.SIGCONT)
        status = _waited(pid)
        strace.wait(PATIENCE)
    return status


def _run(
    root: Path, arguments: Sequence[str], *, stopped: bool, limits: Callable[[], None] | None
) -> NoReturn:
    """Be the command."""
    code = 1
    try:
        known = set(sys.modules)
        os.chdir(root.parent)
        for number, name, flags in (
            (0, os.devnull, os.O_RDONLY),
            (1, "out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
            (2, "err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        ):
            fd = os.open(name, flags, 0o600)
            os.dup2(fd, number)
            os.close(fd)
        sys.stdout, sys.stderr = (io.TextIOWrapper(io.FileIO(fd, "w")) for fd in (1, 2))
        if stopped:
            # Where only parents may trace, this allows the others.
            ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
        if limits is not None:
            limits()
        code = commands.run(list(arguments))
        sys.stdout.flush()
        sys.stderr.flush()
        if not stopped:
            (root.parent / "modules").write_text(" ".join(set(sys.modules) - known))
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def in_fork(ask: Callable[[], T], patience: int = PATIENCE) -> T:
    """What a function returns in a fork, which it cannot disturb.

    Raises:
        RuntimeError: With what the function raised; or it never ended.
    """
    _require_alone()
    sys.stdout.flush()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _answer(ask, writing, patience)
    os.close(writing)
    with open(reading, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(pid, 0)
    if not data:
        raise RuntimeError(f"it ended with {os.waitstatus_to_exitcode(status)} and said nothing")
    names, is_right, found = pickle.loads(data)
    _learn(names)
    if not is_right:
        raise RuntimeError(found)
    answer: T = found
    return answer


def _answer(ask: Callable[[], Any], writing: int, patience: int) -> NoReturn:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(patience)
    known = set(sys.modules)
    is_right, found = False, None
    try:
        is_right, found = True, ask()
    except BaseException:
        found = traceback.format_exc()
    with open(writing, "wb") as pipe:
        pickle.dump((sorted(set(sys.modules) - known), is_right, found), pipe)
    os._exit(0)


@contextmanager
def in_one_process(directory: Path) -> Iterator[None]:
    """While a database is open here, nothing that is asked starts processes: it is faster.

    Args:
        directory: Of an archive that nothing else is asked about.
    """
    with Archive(directory) as archive:
        len(archive)
        yield
