"""What the service did: a line of JSON for each request, and numbers for Prometheus."""

from __future__ import annotations

import json
import logging
import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .limiting import Slots

access = logging.getLogger("seqarchive.access")

#: Seconds: a slice takes 0.2 ms, a chromosome some tenths of a second.
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

#: Of a path that leads nowhere: anybody may ask for any number of these.
_NOWHERE = "other"


class Measuring:
    """Counts and times the requests of an application.

    Args:
        kinds: The first parts of paths that are told apart.
        shared: A directory in which processes that serve together count, if there are several:
            that of PROMETHEUS_MULTIPROC_DIR, which was set before this module was imported.
        streams: Places for long answers.
    """

    def __init__(
        self, app: ASGIApp, kinds: frozenset[str], shared: str | None, streams: Slots
    ) -> None:
        self._app = app
        self._kinds = kinds
        self._shared = shared
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "seqarchive_requests",
            "Requests that were answered",
            ("method", "kind", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "seqarchive_request_seconds",
            "Seconds until the last byte of an answer",
            ("kind",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._bytes = Counter(
            "seqarchive_response_bytes", "Bytes of bodies", ("kind",), registry=self._registry
        )
        open_streams = Gauge(
            "seqarchive_open_streams",
            "Long answers that are under way",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        streams.seen = open_streams.set

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and take note of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status, n_bytes = 500, 0

        async def noting(message: Message) -> None:
            nonlocal status, n_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                n_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            seconds = time.perf_counter() - started
            first = scope["path"].removeprefix("/").partition("/")[0]  # of OPTIONS, it may be "*"
            kind = first if first in self._kinds else _NOWHERE
            self._requests.labels(scope["method"], kind, str(status)).inc()
            self._seconds.labels(kind).observe(seconds)
            self._bytes.labels(kind).inc(n_bytes)
            if access.isEnabledFor(logging.INFO):
                access.info(_line(scope, status, n_bytes, seconds))

    async def metrics(self, _request: Request) -> Response:
        """The numbers, of all processes that serve together."""
        registry = self._registry
        if self._shared is not None:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, self._shared)  # type: ignore[no-untyped-call]
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def _line(scope: Scope, status: int, n_bytes: int, seconds: float) -> str:
    headers = dict(scope["headers"])
    query = scope["query_string"].decode("latin-1")
    # All but ASCII is escaped: no client writes a line of its own, or commands a terminal.
    return json.dumps(
        {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "client": (scope.get("client") or ("",))[0],
            "method": scope["method"],
            "path": scope["path"] + (f"?{query}" if query else ""),
            "status": status,
            "bytes": n_bytes,
            "milliseconds": round(seconds * 1000, 3),
            "range": headers.get(b"range", b"").decode("latin-1") or None,
            "agent": headers.get(b"user-agent", b"").decode("latin-1") or None,
        }
    ).replace("\x7f", "\\u007f")
