"""What becomes of a job, as server-sent events, which browsers and curl read as they come."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from .jobs import OVER

#: Seconds between two looks at a job.
_PAUSE = 0.1

#: Seconds of silence after which a line shows that the server is there.
_HEARTBEAT = 10.0

#: Milliseconds after which a client that lost its connection comes again.
_RETRY = 2000

#: Set when this process is about to end: nobody waits for a job then.
stopping = threading.Event()


async def events_of(
    look: Callable[[], Awaitable[dict[str, Any]]], *, heartbeat: float = _HEARTBEAT
) -> AsyncIterator[bytes]:
    """The state of a job at once, then whatever changes, until it is over.

    Args:
        look: Gives the job as it is now.
    """
    yield f"retry: {_RETRY}\n\n".encode("ascii")
    shown, since = "", time.monotonic()
    while not stopping.is_set():
        job = await look()
        is_over = job["state"] in OVER
        text = json.dumps(job, separators=(",", ":"))
        if text != shown:
            name = job["state"] if is_over else "progress"
            yield f"event: {name}\ndata: {text}\n\n".encode("ascii")
            shown, since = text, time.monotonic()
        elif time.monotonic() - since > heartbeat:
            yield b": still there\n\n"
            since = time.monotonic()
        if is_over:
            return
        await asyncio.sleep(_PAUSE)
