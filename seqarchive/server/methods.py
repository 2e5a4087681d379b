"""What can be computed, and jobs: long computations that can be watched, and ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ..errors import BadInput, NotFound
from ..tracks.operations import OPERATIONS, Operation, operation_of
from ..tracks.stores import StoredTrack
from .answers import REVALIDATED, in_thread, json_answer
from .asking import Refused, number, page_of
from .events import events_of
from .jobs import DONE, FAILED, OVER
from .limiting import Slots
from .tracking import Stores, Tracking
from .uploads import json_object

#: Seconds that somebody waits for a result if nothing else is said, and at most.
_WAIT, _MOST_WAIT = 1.0, 30.0

#: Seconds between two looks at a job of another process.
_PAUSE = 0.1

#: Of whoever watches a job, at one time in a process.
_WATCHERS = 256

_NOT_KEPT = {"Cache-Control": "no-store"}


class Methods:
    """Handlers of ``/api/methods`` and ``/api/jobs``."""

    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking
        self._jobs = tracking.jobs
        self._watchers = Slots(_WATCHERS)

    # --- what can be computed ---------------------------------------------------------------------

    async def list(self, _request: Request) -> Response:
        """All operations."""
        found = [_described(OPERATIONS[name]) for name in sorted(OPERATIONS)]
        return json_answer(found, headers={"Cache-Control": REVALIDATED})

    async def one(self, request: Request) -> Response:
        """An operation by its id."""
        known = _operation(request)
        return json_answer(_described(known), headers={"Cache-Control": REVALIDATED})

    async def run(self, request: Request) -> Response:
        """The result of an operation: at once if it is there or soon will be, else a job."""
        known = _operation(request)
        stores = self._tracking.found(request)
        if stores is None:
            raise NotFound("there is no genome and no track: what is served here has none")
        body = await json_object(request, self._tracking.limits.body)
        asked = _Asked(known, body)
        wait = number(request, "wait")
        seconds = asked.wait if wait is None else _seconds(wait)
        provenance = await in_thread(stores.tracks.provenance, known, asked.inputs, asked.params)
        found: StoredTrack | None = await in_thread(stores.tracks.lookup, provenance)
        if found is not None:
            return _result(found.id, known, provenance.digest)
        self._tracking.changing(request)

        def work() -> str:
            return stores.tracks.compute(known.id, asked.inputs, asked.params, name=asked.name).id

        job = await in_thread(self._jobs.submit, stores.jobs, provenance.digest, known.id, work)
        job = await self._over(stores, job, seconds)
        if job["state"] == DONE:
            return _result(job["track_id"], known, provenance.digest)
        if job["state"] == FAILED:
            raise Refused(job["status_code"] or 500, job["error"] or "it failed")
        document = self._told(request, job)
        headers = {**_NOT_KEPT, "Location": document["status_url"]}
        return json_answer(document, status=202, headers=headers)

    async def _over(self, stores: Stores, job: dict[str, Any], seconds: float) -> dict[str, Any]:
        """A job when it is over, or after some time."""
        over = self._jobs.future(job["job_id"])
        if over is not None:
            await asyncio.wait([asyncio.wrap_future(over)], timeout=seconds)
            return self._jobs.get(stores.jobs, job["job_id"])
        deadline = time.monotonic() + seconds
        while job["state"] not in OVER and time.monotonic() < deadline:
            await asyncio.sleep(_PAUSE)
            job = await in_thread(self._jobs.get, stores.jobs, job["job_id"])
        return job

    # --- jobs -------------------------------------------------------------------------------------

    async def jobs(self, request: Request) -> Response:
        """The jobs that are under way, and those that were over not long ago; the newest first."""
        stores = self._tracking.found(request)
        page, size = page_of(request)
        found = [] if stores is None else await in_thread(self._jobs.all, stores.jobs)
        some = [self._told(request, job) for job in found[page * size : (page + 1) * size]]
        pagination = {"page": page, "page_size": size, "total": len(found)}
        return json_answer({"results": some, "pagination": pagination}, headers=_NOT_KEPT)

    async def job(self, request: Request) -> Response:
        """How far a job is."""
        stores, job_id = self._asked(request)
        job = await in_thread(self._jobs.get, stores.jobs, job_id)
        return json_answer(self._told(request, job), headers=_NOT_KEPT)

    async def cancel(self, request: Request) -> Response:
        """Have a job end at its next step."""
        _, job_id = self._asked(request)
        stores = self._tracking.changing(request)
        job = await in_thread(self._jobs.cancel, stores.jobs, job_id)
        status = 200 if job["state"] in OVER else 202
        return json_answer(self._told(request, job), status=status, headers=_NOT_KEPT)

    async def stream(self, request: Request) -> Response:
        """A job as server-sent events, until it is over."""
        stores, job_id = self._asked(request)

        async def look() -> dict[str, Any]:
            if self._jobs.future(job_id) is None:
                job = await in_thread(self._jobs.get, stores.jobs, job_id)
            else:
                job = self._jobs.get(stores.jobs, job_id)
            return self._told(request, job)

        await look()
        headers = {
            **_NOT_KEPT,
            "X-Accel-Buffering": "no",
        }  # proxies are to pass them on as they come
        media_type = "text/event-stream"
        if request.method == "HEAD":
            return Response(None, headers=headers, media_type=media_type)
        self._watchers.take()

        async def events() -> Any:
            try:
                async for event in events_of(look):
                    yield event
            finally:
                self._watchers.give_back()

        return StreamingResponse(events(), headers=headers, media_type=media_type)

    def _asked(self, request: Request) -> tuple[Stores, str]:
        job_id: str = request.path_params["job_id"]
        return self._tracking.stores(request, f"job {job_id!r}"), job_id

    def _told(self, request: Request, job: Mapping[str, Any]) -> dict[str, Any]:
        """A job, and where it is asked for."""
        url = self._tracking.service.address(request, "/api/") + f"/api/jobs/{job['job_id']}"
        return {**job, "status_url": url, "stream_url": f"{url}/stream"}


def _described(known: Operation) -> dict[str, Any]:
    return {"name": known.id, **known.as_dict()}


def _operation(request: Request) -> Operation:
    return operation_of(request.path_params["method_id"])


def _result(track_id: str, known: Operation, digest: str) -> Response:
    document = {
        "track_id": track_id,
        "id": track_id,
        "operation": known.id,
        "version": known.version,
        "provenance": digest,
        "state": DONE,
    }
    return json_answer(document, headers=_NOT_KEPT)


class _Asked:
    """What a client wants computed: inputs and parameters side by side, or below ``inputs`` and
    ``params``; an input by its name, or its name with ``_id``.

    Raises:
        BadInput: Something is not what it should be.
    """

    def __init__(self, known: Operation, body: Mapping[str, Any]) -> None:
        flat = dict(body)
        named, params = _below(flat, "inputs"), _below(flat, "params")
        own = {one.name for one in known.params}
        self.name = None if "name" in own else _text_of(flat.pop("name", None), "name")
        self.wait = _WAIT if "wait" in own else _seconds(flat.pop("wait", None))
        self.inputs: dict[str, str] = {}
        for one in known.inputs:
            for given in (flat, named):
                for key in (one.name, f"{one.name}_id"):
                    text = _text_of(given.pop(key, None), key)
                    if text is None:
                        continue
                    before = self.inputs.setdefault(one.name, text)
                    if before != text:
                        raise BadInput(f"{one.name} is given twice: {before!r} and {text!r}")
        for key in named:
            raise BadInput(f"{known.id} has no input {key!r}")
        twice = sorted(flat.keys() & params.keys())
        if twice:
            raise BadInput(f"{twice[0]} is given twice")
        self.params = {**params, **flat}


def _below(body: dict[str, Any], name: str) -> dict[str, Any]:
    """What is in an object in the body, which may be missing."""
    found = body.pop(name, None)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise BadInput(f"{name} is an object")
    return dict(found)


def _text_of(value: Any, name: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise BadInput(f"{name} is a text")
    return value


def _seconds(value: Any) -> float:
    if value is None:
        return _WAIT
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not (0 <= value <= _MOST_WAIT)
    ):
        raise BadInput(f"wait is 0 to {_MOST_WAIT:g} seconds")
    return float(value)
