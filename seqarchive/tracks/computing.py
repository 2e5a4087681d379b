"""Compute once: whoever wants what another thread is computing waits for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import Conflict
from .watching import require_wanted

#: Seconds after which one who waits looks whether anybody still wants the result.
_PATIENCE = 0.1


class Turns:
    """One thread at a time for each key. Who waits is let in when the other has ended, whether
    that one has what it wanted or not; and then looks for itself.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holders: dict[str, int] = {}
        self._waits_for: dict[int, str] = {}

    @contextmanager
    def held(self, key: str) -> Iterator[None]:
        """Be the one for a key.

        Raises:
            Conflict: To wait would be to wait for oneself.
            Cancelled: Nobody wants the result any more.
        """
        me = threading.get_ident()
        with self._changed:
            try:
                while key in self._holders:
                    self._waits_for[me] = key
                    self._require_an_end(key, me)
                    self._changed.wait(_PATIENCE)
                    require_wanted()
            finally:
                self._waits_for.pop(me, None)
            self._holders[key] = me
        try:
            yield
        finally:
            with self._changed:
                del self._holders[key]
                self._changed.notify_all()

    def _require_an_end(self, key: str, me: int) -> None:
        holder = self._holders[key]
        while holder != me:
            awaited = self._waits_for.get(holder)
            if awaited is None or awaited not in self._holders:
                return
            holder = self._holders[awaited]
        raise Conflict("this computation needs its own result")
