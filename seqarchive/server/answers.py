"""Answers that all parts of the service give: JSON, errors of one shape, and what caches may do."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..errors import (
    Ambiguous,
    BadInput,
    Conflict,
    Locked,
    NotFound,
    ReadOnly,
    SeqArchiveError,
    SourceError,
)
from ..identifiers import visible
from .asking import Refused
from .limiting import Slots

logger = logging.getLogger("seqarchive.server")

#: What a digest names never changes.
IMMUTABLE = "public, max-age=31536000, immutable"

#: What a name means may change: ask again, by the ETag.
REVALIDATED = "no-cache"

JSON = "application/json"

#: Of whatever is only read.
READING = ["GET", "HEAD"]

Handler = Callable[[Request], Awaitable[Response]]


def json_answer(
    value: object,
    *,
    media_type: str = JSON,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """JSON, as short as it can be."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Response(
        body.encode("utf-8"), status, headers=dict(headers or {}), media_type=media_type
    )


def refusal(
    status: int,
    message: str,
    headers: Mapping[str, str] | None = None,
    candidates: Sequence[str] = (),
) -> Response:
    """An error; of the shape that DRS prescribes.

    Args:
        candidates: What may have been meant.
    """
    document: dict[str, Any] = {"status_code": status, "msg": message}
    if candidates:
        document["candidates"] = list(candidates)
    return json_answer(document, status=status, headers=headers)


class LongAnswer(Response):
    """An answer that has a slot while it is sent."""

    def __init__(self, answer: Response, slots: Slots) -> None:
        super().__init__()
        self._answer = answer
        self._slots = slots

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, or say that there are too many."""
        try:
            self._slots.take()
        except Refused as error:
            await refusal(error.status, error.message, error.headers)(scope, receive, send)
            return
        try:
            await self._answer(scope, receive, send)
        finally:
            self._slots.give_back()


def answering(handler: Handler) -> Handler:
    """The same handler, its errors turned into answers."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except Refused as error:
            return refusal(error.status, error.message, error.headers)
        except SeqArchiveError as error:
            candidates = error.candidates if isinstance(error, Ambiguous) else ()
            return refusal(status_of(error), str(error), candidates=candidates)

    answer.__name__ = handler.__name__
    answer.__doc__ = handler.__doc__
    return answer


#: The first of these that an error is says its status.
_STATUSES: tuple[tuple[type[SeqArchiveError], int], ...] = (
    (Ambiguous, 409),
    (NotFound, 404),
    (BadInput, 400),
    (Conflict, 409),
    (ReadOnly, 403),
    (Locked, 503),
)


def status_of(error: SeqArchiveError) -> int:
    """The status of an error; what is wrong on our side is logged, and told in a word."""
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            return status
    logger.error("%s: %s", type(error).__name__, visible(str(error)))
    return 502 if isinstance(error, SourceError) else 500


async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a call that takes a while, without holding up other requests."""
    return await run_in_threadpool(function, *arguments)


def not_modified(request: Request, etag: str, headers: Mapping[str, str]) -> Response | None:
    """304 if the client has it already."""
    given = request.headers.get("if-none-match")
    if given is None:
        return None
    tags = {tag.strip().removeprefix("W/") for tag in given.split(",")}
    if etag not in tags and "*" not in tags:
        return None
    return Response(status_code=304, headers={**headers, "ETag": etag})
