"""How much goes on at one time: long answers, and what takes long to compute."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from .asking import Refused

#: Seconds after which whoever was refused may come again.
_LATER = {"Retry-After": "5"}

#: Computations of a pool that wait for a thread.
_WAITING = 32


class Slots:
    """Places for long answers. They are taken and given back by the thread that answers.

    Args:
        most: How many; None for any number.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self.n_taken = 0
        self.seen: Callable[[int], None] = lambda _n_taken: None
        """Is told whenever the number changes."""

    def require(self) -> None:
        """Go on if there is one.

        Raises:
            Refused: 503: There is none.
        """
        if self._most is not None and self.n_taken >= self._most:
            raise Refused(503, "too many long answers are under way; come again", _LATER)

    def take(self) -> None:
        """Take one; raises as ``require``."""
        self.require()
        self.n_taken += 1
        self.seen(self.n_taken)

    def give_back(self) -> None:
        """Give back one that was taken."""
        self.n_taken -= 1
        self.seen(self.n_taken)


class Pool:
    """A few threads for what takes long, apart from those that everything else is read by.

    No thread can be stopped: what takes too long goes on in its thread, and whoever asked is told.

    Args:
        n_threads: More of them would only take the interpreter from whoever answers.
        seconds: That somebody waits at most.
    """

    def __init__(self, n_threads: int, seconds: float) -> None:
        self._most = n_threads + _WAITING
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(n_threads, thread_name_prefix="computing")
        self._n_under_way = 0
        self._counting = threading.Lock()

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The result of a call.

        Raises:
            Refused: 503: Too many wait already. 504: It takes too long.
        """
        with self._counting:
            if self._n_under_way >= self._most:
                raise Refused(503, "too much is being computed just now; come again", _LATER)
            self._n_under_way += 1
        future = self._threads.submit(function, *arguments)
        future.add_done_callback(self._done)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._seconds)
        except asyncio.TimeoutError:
            raise Refused(504, f"it takes longer than {self._seconds:g} seconds", _LATER) from None

    def _done(self, _future: Future[Any]) -> None:
        with self._counting:
            self._n_under_way -= 1
