"""Connections that are watched: uvicorn's, which wait for their clients for ever and take heads of
any size. What uvicorn would say in plain text is said as JSON."""

from __future__ import annotations

import asyncio
import json
import weakref
from functools import partial
from http import HTTPStatus
from typing import Any, cast

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from .answers import CUT, JSON, logger, refusal
from .events import stopping

#: Bytes of the first line and the headers of a request.
_HEAD = 1 << 16

#: Bytes a second that a body must have on average, when its time is up.
_RATE = 1 << 16

#: Bytes that a client has to take in its time.
_PROGRESS = 1 << 14


_TOO_LONG = "the head of the request is too long"
_TOO_MANY = "there are too many connections; come again"


class Config(uvicorn.Config):
    """Uvicorn's, and how long a client may take.

    Args:
        request_timeout: Seconds for a request to come, and for a client to take some of an answer.
    """

    def __init__(self, app: str, *, request_timeout: float, **options: Any) -> None:
        super().__init__(app, http=Connection, ws="none", **options)
        self.request_timeout = request_timeout


class Connection(HttpToolsProtocol):
    """A connection that ends when its client keeps it waiting, or sends a head without end.

    Requests only note when they began. All connections of a process are looked at together, some
    times in the time that they have.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._seconds = cast(Config, config).request_timeout
        self._most, self.limit_concurrency = self.limit_concurrency, None
        self._since: float | None = None  # when what has not come whole began to come
        self._n_bytes = 0  # of it, and of what came with it
        self._in_head = False
        self._n_steps = 0  # requests that began, and waits for the client that ended
        self._stuck: tuple[int, int, float] | None = None  # steps, bytes to send, since when

    # --- what comes -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._since = self.loop.time()
        if self.server_state not in _watched:
            _watched.add(self.server_state)
            _watch(self.server_state, self.loop, min(1.0, self._seconds / 4))

    def data_received(self, data: bytes) -> None:
        """Take what comes, unless the head of a request is too long."""
        if self._since is None:  # perhaps only ends of lines, of which the parser says nothing
            self._since = self.loop.time()
        self._n_bytes += len(data)
        super().data_received(data)
        if self._n_bytes > _HEAD and self._in_head:
            self._refuse(431, _TOO_LONG)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        if self._since is None:
            self._since = self.loop.time()
        self._in_head = True
        self._n_steps += 1

    def on_headers_complete(self) -> None:
        """Have the request answered, unless it is too long, or one too many."""
        self._in_head = False
        refusing = None
        if self._n_bytes > _HEAD and self._head_size() > _HEAD:
            refusing = _too_long
            self.url = b"/"  # of which nobody looks at the parts
            self._log(431, _TOO_LONG)
        elif self._most is not None and len(self.connections) > self._most:
            refusing = _too_many
            self._log(503, _TOO_MANY)
        if refusing is None:
            super().on_headers_complete()
            self.scope[CUT] = partial(self._cut, self.cycle)  # type: ignore[literal-required]
            return
        answer, self.app = self.app, refusing
        super().on_headers_complete()
        self.app = answer

    def on_message_complete(self) -> None:
        """A request has come whole."""
        super().on_message_complete()
        self._since = None
        self._n_bytes = 0

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    # --- what goes ------------------------------------------------------------------------------

    def resume_writing(self) -> None:
        """The client has taken what it was sent."""
        self._n_steps += 1
        super().resume_writing()

    def shutdown(self) -> None:
        """The process is about to end: who watches a job need not see its end."""
        stopping.set()
        super().shutdown()

    def look(self, now: float) -> None:
        """End it, if the client has had its time."""
        if self.transport.is_closing() and not self.transport.get_write_buffer_size():
            return
        if self.flow.read_paused:
            if self._since is not None:  # what nobody reads cannot come
                self._since = now
        elif self._since is not None:
            allowed = self._seconds + (0 if self._in_head else self._n_bytes / _RATE)
            if now - self._since > allowed:
                self._refuse(408, "the request did not come in time")
                return
        self._look_at_what_goes(now)

    def _look_at_what_goes(self, now: float) -> None:
        size = self.transport.get_write_buffer_size()
        if not size:
            self._stuck = None
            return
        if self._stuck is not None:
            n_steps, before, since = self._stuck
            if n_steps == self._n_steps and size > before - _PROGRESS:
                if now - since > self._seconds:
                    self._log("cut", "nothing is taken of what is sent")
                    self.transport.abort()
                return
        self._stuck = (self._n_steps, size, now)

    # --- refusals -------------------------------------------------------------------------------

    def _refuse(self, status: int, message: str) -> None:
        """End it; with a word, if there is a request that nothing was said to."""
        cycle = self.cycle
        is_answered = cycle is None or cycle.response_complete
        if self._n_bytes and (is_answered or not cycle.response_started):
            body = json.dumps({"status_code": status, "msg": message}).encode("ascii")
            head = (
                f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {JSON}\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            self.transport.write(head.encode("ascii") + body)
            self._log(status, message)
        if not is_answered:
            cycle.disconnected = True
            cycle.message_event.set()
        self._since = None
        self.transport.close()

    def _cut(self, cycle: Any) -> None:
        """End it in the middle of an answer, of which uvicorn need not log that it is not whole."""
        cycle.disconnected = True
        self.transport.close()

    def _log(self, status: int | str, message: str) -> None:
        """What no application saw is in no access log."""
        logger.warning("%s: %s (%s)", self.client[0] if self.client else "", message, status)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  (which says no more)
        """What came is not HTTP."""
        self._n_bytes = max(self._n_bytes, 1)
        self._refuse(400, "this is no request of HTTP")


async def _too_many(scope: Scope, receive: Receive, send: Send) -> None:
    headers = {"Retry-After": "5", "Connection": "close"}
    await refusal(503, _TOO_MANY, headers)(scope, receive, send)


async def _too_long(scope: Scope, receive: Receive, send: Send) -> None:
    headers = {"Connection": "close"}
    await refusal(431, _TOO_LONG, headers)(scope, receive, send)


#: Servers whose connections are looked at.
_watched: weakref.WeakSet[ServerState] = weakref.WeakSet()


def _watch(state: ServerState, loop: asyncio.AbstractEventLoop, pause: float) -> None:
    """Look at all connections of a server, and again after a pause."""
    now = loop.time()
    for one in list(state.connections):
        if isinstance(one, Connection):
            one.look(now)
    loop.call_later(pause, _watch, state, loop, pause)
