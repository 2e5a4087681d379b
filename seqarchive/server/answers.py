"""Answers that all parts of the service give: JSON, errors of one shape, and what caches may do."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from ..errors import (
    Ambiguous,
    BadInput,
    BadInterval,
    BadName,
    Locked,
    NotFound,
    SeqArchiveError,
    SourceError,
)
from .asking import Refused

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


def refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error; of the shape that DRS prescribes."""
    return json_answer({"status_code": status, "msg": message}, status=status, headers=headers)


def answering(handler: Handler) -> Handler:
    """The same handler, its errors turned into answers."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except Refused as error:
            return refusal(error.status, error.message, error.headers)
        except SeqArchiveError as error:
            return refusal(status_of(error), str(error))

    answer.__name__ = handler.__name__
    answer.__doc__ = handler.__doc__
    return answer


def status_of(error: SeqArchiveError) -> int:
    """The status of an error; what is wrong on our side is logged, and told in a word."""
    if isinstance(error, Ambiguous):
        return 409
    if isinstance(error, NotFound):
        return 404
    if isinstance(error, (BadName, BadInput, BadInterval)):
        return 400
    if isinstance(error, Locked):
        return 503
    logger.error("%s: %s", type(error).__name__, error)
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
