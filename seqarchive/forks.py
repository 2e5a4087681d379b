"""Locks for what readers share: those of a process and those of its forked children."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol


class _Lock(Protocol):
    def acquire(self) -> bool: ...

    def release(self) -> None: ...


class _Held:
    """Something to be inside of, for one thread at a time."""

    _lock: _Lock

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()


class ForkLock(_Held):
    """A lock that is open in a forked child, whichever thread of the parent held it just then.

    What it guards must be right between any two steps: such as a cache, or a count.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _locks.add(self)

    def after_fork(self) -> None:
        """Begin anew, in a child."""
        self._lock = threading.Lock()


class ForkGate(_Held):
    """While a thread is inside, no other one forks: the fork waits until it has come out.

    SQLite has locks for its whole library, such as one for its memory, and holds them for some
    nanoseconds; or for as long as a disk needs to bring the page of the program that comes next.
    A child that is forked just then waits for them forever. So whoever calls it, but for what is
    shorter than to go through a gate, is inside one. Whatever waits for anybody else is outside.

    A gate is for one thread at a time. It may be entered again by the thread that is inside.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        with _forking:
            _gates.add(self)

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Be outside for a while, if the calling thread is inside, however deep."""
        depth = 0
        while self._is_mine():
            self._lock.release()
            depth += 1
        try:
            yield
        finally:
            for _ in range(depth):
                self._lock.acquire()

    def _is_mine(self) -> bool:
        return self._lock._is_owned()  # type: ignore[attr-defined,no-any-return]

    def close(self) -> None:
        """Wait until nobody is inside, and let nobody in."""
        self._lock.acquire()

    def open(self) -> None:
        """Let threads in again."""
        self._lock.release()


_locks: weakref.WeakSet[ForkLock] = weakref.WeakSet()
_gates: weakref.WeakSet[ForkGate] = weakref.WeakSet()

#: Held while a process forks: there are no new gates then.
_forking = threading.Lock()
_closed: list[ForkGate] = []


def _before_fork() -> None:
    _forking.acquire()
    for gate in list(_gates):
        gate.close()
        _closed.append(gate)


def _after_fork_in_parent() -> None:
    while _closed:
        _closed.pop().open()
    _forking.release()


def _after_fork_in_child() -> None:
    for lock in list(_locks):
        lock.after_fork()
    _after_fork_in_parent()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
