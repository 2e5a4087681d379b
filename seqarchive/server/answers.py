"""Answers that all parts of the service give: JSON, errors of one shape, and what caches may do."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ..errors import (
    Ambiguous,
    BadInput,
    Conflict,
    Corrupt,
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

#: Characters of a long word of a client that it is told again.
_SHOWN = 80

#: Characters of a message.
_MOST = 1_000

#: What a command of the command line is for.
_ADVICE = re.compile(r"; `[a-z -]+` says what there is\Z")

_LONG = re.compile(r"[^ ]{200,}")

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
    message = _LONG.sub(lambda found: f"{found[0][:_SHOWN]}...", message)
    if len(message) > _MOST:
        message = message[:_MOST] + "..."
    document: dict[str, Any] = {"status_code": status, "msg": message}
    if candidates:
        document["candidates"] = list(candidates)
    return json_answer(document, status=status, headers=headers)


#: In the scope of a request: what ends its connection, where the server has something for that.
CUT = "seqarchive.cut"


class _Cut(Exception):
    """An answer that has begun cannot go on; why has been logged."""


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
        except _Cut:
            scope.get(CUT, _nothing)()
        finally:
            self._slots.give_back()


def _nothing() -> None:
    """Servers end the connection of an answer that did not come whole by themselves."""


async def streamed(
    pieces: AsyncIterator[bytes], status: int, headers: Mapping[str, str], slots: Slots
) -> LongAnswer:
    """A long answer, piece by piece. The first piece comes before the status is sent, so that what
    is damaged there is an error; what is damaged later ends the connection.

    Raises:
        Refused: 503: There are too many.
    """
    slots.require()
    first = await anext(pieces, b"")
    return LongAnswer(StreamingResponse(_following(first, pieces), status, headers), slots)


async def _following(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    try:
        async for piece in rest:
            yield piece
    except (SeqArchiveError, OSError) as error:
        _log("an answer was cut: ", error)
        raise _Cut from None


def by_method(handlers: Mapping[str, Handler]) -> Handler:
    """One handler of a path that has one for each method: whoever asks with another is told all."""

    async def answer(request: Request) -> Response:
        return await handlers["GET" if request.method == "HEAD" else request.method](request)

    return answer


def answering(handler: Handler) -> Handler:
    """The same handler, its errors turned into answers."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except Refused as error:
            return refusal(error.status, error.message, error.headers)
        except SeqArchiveError as error:
            candidates = error.candidates if isinstance(error, Ambiguous) else ()
            return refusal(*told(error), candidates=candidates)

    answer.__name__ = handler.__name__
    answer.__doc__ = handler.__doc__
    return answer


#: The first of these that an error is says its status: what is wrong with a request, ...
_STATUSES: tuple[tuple[type[SeqArchiveError], int], ...] = (
    (Ambiguous, 409),
    (NotFound, 404),
    (BadInput, 400),
    (Conflict, 409),
)

#: ... and what is wrong on our side, with all that clients are told of it.
_OURS: tuple[tuple[type[SeqArchiveError], int, str], ...] = (
    (ReadOnly, 403, "what is served here cannot be written"),
    (Locked, 503, "somebody else is writing here; come again"),
    (SourceError, 502, "what is read from elsewhere cannot be had; the operator has to look"),
    (Corrupt, 500, "what is stored is damaged or missing; the operator has to look"),
    (SeqArchiveError, 500, "an error of the server; the operator has to look"),
)


def told(error: SeqArchiveError) -> tuple[int, str]:
    """The status of an error, and what clients are told; what is wrong on our side, with its paths
    and addresses, is in the log."""
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            return status, _ADVICE.sub("", str(error))
    _log("", error)
    return next((status, words) for kind, status, words in _OURS if isinstance(error, kind))


def _log(what: str, error: Exception) -> None:
    logger.error("%s%s: %s", what, type(error).__name__, visible(str(error)))


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
