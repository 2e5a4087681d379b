"""Workers: processes that parse, hash and compress, so that every core is one's own.

A worker is a fork that makes the same calls as the process it came from, one after another, and
answers in ``marshal``: nothing but bytes, text, numbers and tuples crosses, and only between a
process and its own child. Where forking is not safe (other threads are running) or not worth it
the calls are made in the process itself; the results are the same.
"""

from __future__ import annotations

import contextlib
import fcntl
import marshal
import os
import signal
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from .errors import SeqArchiveError

Task = Callable[..., Any]
"""A function of arguments that marshal knows, with a result that marshal knows."""

_SIZE = struct.Struct("<Q")
_PIPE_BYTES = 1 << 20


class WorkerError(SeqArchiveError):
    """A worker process died."""


class Worker:
    """One process that runs tasks by their number. Start it before any thread or lock of yours."""

    def __init__(self, tasks: Sequence[Task], others: Sequence[Worker]) -> None:
        requests, self._write_fd = _pipe()
        self._read_fd, answers = _pipe()
        self._pid = os.fork()
        if self._pid == 0:
            # The ends of the others' pipes must not stay open here: a worker ends when its own
            # pipe is closed, which is when the last process that could write to it has gone.
            for other in others:
                other._close_pipes()
            self._close_pipes()
            _serve(tasks, requests, answers)
        os.close(requests)
        os.close(answers)

    def call(self, task: int, *arguments: Any) -> Any:
        """The result of a task. One call at a time.

        Raises:
            WorkerError: The process died.
        """
        try:
            _send(self._write_fd, (task, arguments))
            failed, result = _receive(self._read_fd)
        except (OSError, EOFError):
            raise WorkerError(
                "a worker process died (out of memory?); nothing was changed, try again with "
                "fewer --threads"
            ) from None
        if failed:
            raise WorkerError(f"a worker process failed: {result}")
        return result

    def _close_pipes(self) -> None:
        os.close(self._write_fd)
        os.close(self._read_fd)

    def stop(self) -> None:
        """End the process and wait for it."""
        self._close_pipes()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


class Workers:
    """Some workers, or none where forking is not safe or not possible."""

    def __init__(self, tasks: Sequence[Task], number: int) -> None:
        self._workers: list[Worker] = []
        if number > 0 and hasattr(os, "fork") and threading.active_count() == 1:
            sys.stdout.flush()
            sys.stderr.flush()
            for _ in range(number):
                self._workers.append(Worker(tasks, self._workers))

    def __enter__(self) -> list[Worker]:
        return self._workers

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            worker.stop()


def _pipe() -> tuple[int, int]:
    read_fd, write_fd = os.pipe()
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # the user's pipe quota
            fcntl.fcntl(write_fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return read_fd, write_fd


def _serve(tasks: Sequence[Task], read_fd: int, write_fd: int) -> None:
    """Answer calls until the pipe closes. Never returns."""
    status = 1
    try:
        # Ctrl-C goes to the whole group; the parent tells its workers by closing the pipe.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        while True:
            try:
                task, arguments = _receive(read_fd)
            except EOFError:
                status = 0
                break
            try:
                answer = (False, tasks[task](*arguments))
            except Exception as error:
                answer = (True, f"{type(error).__name__}: {error}")
            _send(write_fd, answer)
    except OSError:
        pass  # the parent has gone
    finally:
        os._exit(status)  # no exit handlers: they are the parent's


def _send(fd: int, message: Any) -> None:
    data = marshal.dumps(message)
    for part in (_SIZE.pack(len(data)), data):
        view = memoryview(part)
        while view:
            view = view[os.write(fd, view) :]


def _receive(fd: int) -> Any:
    (size,) = _SIZE.unpack(_read(fd, _SIZE.size))
    return marshal.loads(_read(fd, size))


def _read(fd: int, size: int) -> bytes:
    parts = []
    while size:
        part = os.read(fd, min(size, _PIPE_BYTES))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
