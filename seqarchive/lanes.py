"""Lanes: threads that each run calls in order. Hashing and compressing release the GIL, so that
lanes use as many cores as there are, while the order of what goes through each stays that of
the file.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")


class Pending(Generic[T]):
    """The result of a call that a lane has yet to make."""

    __slots__ = ("_done", "_error", "_value")

    def __init__(self) -> None:
        self._done = threading.Lock()
        self._done.acquire()
        self._error: BaseException | None = None
        self._value: T | None = None

    def result(self) -> T:
        """Wait for the call and return its result, or raise what it raised."""
        with self._done:
            if self._error is not None:
                raise self._error
            return cast(T, self._value)

    def run(self, call: Callable[[], T], failed: BaseException | None) -> BaseException | None:
        """Make the call unless an earlier one of its lane failed. Returns the failure."""
        if failed is None:
            try:
                self._value = call()
            except BaseException as error:
                failed = error
        self._error = failed
        self._done.release()
        return failed


class Lane:
    """Calls made one after another, in a thread of their own or, without one, at once.

    After a call has failed, none of the later ones is made; ``submit`` raises the failure.
    """

    def __init__(self, name: str, *, depth: int = 4, threaded: bool = True) -> None:
        self._failed: BaseException | None = None
        self._calls: queue.Queue[Callable[[BaseException | None], BaseException | None] | None]
        self._calls = queue.Queue(depth)
        self._thread: threading.Thread | None = None
        if threaded:
            # A daemon, because one that waits for a pipe would keep the process from ending.
            self._thread = threading.Thread(
                target=self._run, name=f"seqarchive-{name}", daemon=True
            )
            self._thread.start()

    @property
    def is_threaded(self) -> bool:
        """Whether calls are made beside the caller's own work."""
        return self._thread is not None

    def submit(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Pending[T]:
        """Ask for a call; waits while the lane has ``depth`` of them before it."""
        if self._failed is not None:
            raise self._failed
        pending: Pending[T] = Pending()

        def run(failed: BaseException | None) -> BaseException | None:
            return pending.run(lambda: call(*args, **kwargs), failed)

        if self._thread is None:
            self._failed = run(None)
            if self._failed is not None:
                raise self._failed
        else:
            self._calls.put(run)
        return pending

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            self._failed = call(self._failed)
            if self._failed is not None and self._thread is None and self._calls.empty():
                return

    def fail(self, failure: BaseException) -> None:
        """Make none of the calls that wait."""
        self._failed = self._failed or failure

    def stop(self, *, wait: bool = True) -> None:
        """Make the calls that wait and end the thread.

        Args:
            wait: Until it has ended. Without, it ends when the call it is at returns.
        """
        if self._thread is None:
            return
        thread, self._thread = self._thread, None
        if wait:
            self._calls.put(None)
            thread.join()
        else:
            with contextlib.suppress(queue.Full):  # then there are calls, and each one fails
                self._calls.put_nowait(None)


class Lanes:
    """A set of lanes that end together: with their work done, or without if there was an error.

    A lane that submits to others must be added before them: lanes stop in that order.
    """

    def __init__(self, *, threaded: bool) -> None:
        self._threaded = threaded
        self._lanes: list[Lane] = []
        self._waiting: list[Lane] = []

    def add(self, name: str, *, depth: int = 4, waits_for_input: bool = False) -> Lane:
        """A new lane.

        Args:
            waits_for_input: Its calls may wait for ever; after an error nobody waits for it.
        """
        lane = Lane(name, depth=depth, threaded=self._threaded)
        self._lanes.append(lane)
        if waits_for_input:
            self._waiting.append(lane)
        return lane

    def __enter__(self) -> Lanes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            for lane in self._lanes:
                lane.fail(error)
        for lane in self._lanes:
            lane.stop(wait=error is None or lane not in self._waiting)
