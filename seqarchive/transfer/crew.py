"""Threads that wait for networks, and for which nobody waits once something went wrong."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

#: Seconds that those who are at work have to end by themselves after a failure.
_GRACE = 0.5


def for_each(
    function: Callable[[T], R], items: Iterable[T], n_threads: int, stop: threading.Event
) -> Iterator[R]:
    """The results of a function for some items, as they come.

    Whoever leaves in the middle, after a failure or an interruption, is not held up by a server
    that does not answer: the threads that are at work then are left behind, and end with the
    process at the latest.

    Args:
        stop: Set when no more work is wanted. A function that outlives that must change nothing.

    Raises:
        Whatever the first call that fails raises, or ``items`` itself.
    """
    todo = iter(items)
    lock = threading.Lock()
    results: queue.SimpleQueue[tuple[R | None, BaseException | None] | None] = queue.SimpleQueue()

    def work() -> None:
        while not stop.is_set():
            try:
                with lock:
                    item = next(todo, None)
                if item is None:
                    break
                results.put((function(item), None))
            except BaseException as error:
                results.put((None, error))
                break
        results.put(None)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(n_threads)]
    for thread in threads:
        thread.start()
    working = n_threads
    try:
        while working:
            outcome = results.get()
            if outcome is None:
                working -= 1
                continue
            result, error = outcome
            if error is not None:
                raise error
            yield result  # type: ignore[misc]  # there is one if there is no error
    finally:
        stop.set()
        if working:
            for thread in threads:
                thread.join(_GRACE / n_threads)
