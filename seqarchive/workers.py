"""Workers: processes that parse, hash and compress, so that every core is one's own.

A worker is a fork that makes the same calls as the process it came from, one after another, and
answers in ``marshal``: nothing but bytes, text, numbers and tuples crosses, and only between a
process and its own child. Messages lie in memory that both share; the pipes between them carry
no more than their sizes. Where forking is not safe (other threads are running) or not worth it
the calls are made in the process itself; the results are the same.
"""

from __future__ import annotations

import contextlib
import marshal
import mmap
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
"""A function of bytes and of arguments that marshal knows, with a result that marshal knows."""

_SIZE = struct.Struct("<QQ")

#: Memory shared with a worker, in each direction. Longer messages go through the pipe.
_SHARED_BYTES = 4 << 20


class WorkerError(SeqArchiveError):
    """A worker process died."""


class Worker:
    """One process that runs tasks by their number. Start it before any thread or lock of yours."""

    def __init__(self, tasks: Sequence[Task], others: Sequence[Worker]) -> None:
        requests, self._write_fd = os.pipe()
        self._read_fd, answers = os.pipe()
        self._requests = mmap.mmap(-1, _SHARED_BYTES)
        self._answers = mmap.mmap(-1, _SHARED_BYTES)
        self._pid = os.fork()
        if self._pid == 0:
            # The ends of the others' pipes must not stay open here: a worker ends when its own
            # pipe is closed, which is when the last process that could write to it has gone.
            for other in others:
                other._close_pipes()
            self._close_pipes()
            _serve(
                tasks,
                _Channel(requests, answers, incoming=self._requests, outgoing=self._answers),
            )
        os.close(requests)
        os.close(answers)
        self._channel = _Channel(
            self._read_fd, self._write_fd, incoming=self._answers, outgoing=self._requests
        )

    def call(self, task: int, data: bytes | memoryview, *arguments: Any) -> Any:
        """The result of a task for some data. One call at a time.

        Raises:
            WorkerError: The process died.
        """
        try:
            self._channel.send((task, arguments), data)
            (failed, result), _ = self._channel.receive()
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
        self._requests.close()
        self._answers.close()
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


class _Channel:
    """Messages of one side to the other: something for marshal, and data that need no marshal."""

    def __init__(
        self, read_fd: int, write_fd: int, *, incoming: mmap.mmap, outgoing: mmap.mmap
    ) -> None:
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._incoming = incoming
        self._outgoing = outgoing

    def send(self, message: Any, data: bytes | memoryview = b"") -> None:
        text = marshal.dumps(message)
        n_text, n_data = len(text), len(data)
        sizes = _SIZE.pack(n_text, n_data)
        if n_text + n_data <= _SHARED_BYTES:
            self._outgoing[:n_text] = text
            self._outgoing[n_text : n_text + n_data] = data
            _write(self._write_fd, sizes)
        else:
            for part in (sizes, text, data):
                _write(self._write_fd, part)

    def receive(self) -> tuple[Any, bytes]:
        n_text, n_data = _SIZE.unpack(_read(self._read_fd, _SIZE.size))
        if n_text + n_data <= _SHARED_BYTES:
            text = self._incoming[:n_text]
            data = self._incoming[n_text : n_text + n_data]
        else:
            text = _read(self._read_fd, n_text)
            data = _read(self._read_fd, n_data)
        return marshal.loads(text), data


def _serve(tasks: Sequence[Task], channel: _Channel) -> None:
    """Answer calls until the pipe closes. Never returns."""
    status = 1
    try:
        # Ctrl-C goes to the whole group; the parent tells its workers by closing the pipe.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        while True:
            try:
                (task, arguments), data = channel.receive()
            except EOFError:
                status = 0
                break
            try:
                answer = (False, tasks[task](data, *arguments))
            except Exception as error:
                answer = (True, f"{type(error).__name__}: {error}")
            channel.send(answer)
    except OSError:
        pass  # the parent has gone
    finally:
        os._exit(status)  # no exit handlers: they are the parent's


def _write(fd: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _read(fd: int, size: int) -> bytes:
    parts = []
    while size:
        part = os.read(fd, min(size, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
