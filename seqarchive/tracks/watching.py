"""How far a computation is, and whether anybody still wants it.

Operations know nothing of who watches: they walk through chromosomes with ``stepping``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from ..errors import SeqArchiveError


class Cancelled(SeqArchiveError):
    """Nobody wants the result any more."""

    exit_code = 130


class Watch:
    """One computation, seen from outside.

    Args:
        told: Called with residues done and residues in all, from the thread that computes.
    """

    def __init__(self, told: Callable[[int, int], None] = lambda _done, _total: None) -> None:
        self._told = told
        self._is_cancelled = threading.Event()
        self._done = 0

    def cancel(self) -> None:
        """Have the computation end at its next step."""
        self._is_cancelled.set()

    @property
    def is_cancelled(self) -> bool:
        """Whether it was told to end."""
        return self._is_cancelled.is_set()

    def step(self, done: int, total: int) -> None:
        """Take note of how far it is.

        Raises:
            Cancelled: It shall end.
        """
        if self._is_cancelled.is_set():
            raise Cancelled("cancelled")
        if done >= self._done:  # some go through a genome more than once
            self._done = done
            self._told(done, total)


_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watched_by(watch: Watch) -> Iterator[None]:
    """What the calling thread computes meanwhile tells ``watch`` how far it is."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


def require_wanted() -> None:
    """For places where a computation is at work on one chromosome for long.

    Raises:
        Cancelled: Nobody wants the result any more.
    """
    watch = _watch.get()
    if watch is not None and watch.is_cancelled:
        raise Cancelled("cancelled")


def stepping(lengths: Mapping[str, int], chroms: Iterable[str] | None = None) -> Iterator[str]:
    """The chromosomes of a genome, or some of them, one after another.

    Raises:
        Cancelled: Between two of them, if nobody wants the result any more.
    """
    watch = _watch.get()
    names = list(lengths if chroms is None else chroms)
    total, done = sum(lengths.get(name, 0) for name in names), 0
    for name in names:
        if watch is not None:
            watch.step(done, total)
        yield name
        done += lengths.get(name, 0)
    if watch is not None:
        watch.step(total, total)
