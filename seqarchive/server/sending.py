"""Files that are sent as they are, whole or a range of them, by what they contain."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .answers import LongAnswer, in_thread, not_modified, streamed
from .asking import Part, part
from .limiting import Slots
from .served import INLINE

#: Bytes that are read at once.
_PIECE = 1 << 18


@dataclass(frozen=True)
class Sent:
    """What is said of a file that is sent.

    Args:
        etag: Of its contents, in quotation marks.
        caching: What caches may do.
        filename: Under which a browser keeps it.
    """

    media_type: str
    etag: str
    caching: str
    filename: str

    @property
    def headers(self) -> dict[str, str]:
        """Those of all answers about it."""
        return {
            "Cache-Control": self.caching,
            "Content-Disposition": f"attachment; filename*=utf-8''{quote(self.filename, safe='')}",
            "X-Content-Type-Options": "nosniff",
        }


async def file_answer(
    request: Request, path: Path, sent: Sent, streams: Slots, *, done: Callable[[], object] = int
) -> Response:
    """A file, or the range of it that is asked for, or that the client has it.

    Args:
        streams: Places for long answers.
        done: Called when the file is not needed any more.

    Raises:
        Refused: 400, 416: Of the range. 503: Too many long answers are under way.
    """
    try:
        file: BinaryIO = await in_thread(open, path, "rb")
    except BaseException:
        done()
        raise

    def close() -> None:
        file.close()
        done()

    try:
        answer = await _answer(request, file, sent, streams)
    except BaseException:
        close()
        raise
    if isinstance(answer, LongAnswer):
        return _Closing(answer, close)
    close()
    return answer


async def _answer(request: Request, file: BinaryIO, sent: Sent, streams: Slots) -> Response:
    headers = {**sent.headers, "Accept-Ranges": "bytes"}
    cached = not_modified(request, sent.etag, headers)
    if cached is not None:
        return cached
    size = os.fstat(file.fileno()).st_size
    wanted = part(request, size, is_circular=False, limit=None, etag=sent.etag)
    status = 200 if wanted is None else 206
    if wanted is None:
        wanted = Part(0, size, is_range=False)
    else:
        headers["Content-Range"] = f"bytes {wanted.start}-{wanted.end - 1}/{size}"
    n_bytes = wanted.end - wanted.start
    headers |= {"ETag": sent.etag, "Content-Length": str(n_bytes), "Content-Type": sent.media_type}
    if request.method == "HEAD":
        return Response(None, status, headers)
    file.seek(wanted.start)
    if n_bytes <= INLINE:
        return Response(await in_thread(file.read, n_bytes), status, headers)
    return await streamed(_read(file, n_bytes), status, headers, streams)


async def _read(file: BinaryIO, left: int) -> AsyncIterator[bytes]:
    while left:
        data = await in_thread(file.read, min(left, _PIECE))
        if not data:  # somebody cut it: what was promised does not come
            raise OSError("the file ended early")
        left -= len(data)
        yield data


class _Closing(Response):
    """An answer after which something is closed, however far it came."""

    def __init__(self, answer: Response, close: Callable[[], None]) -> None:
        super().__init__()
        self._answer = answer
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await self._answer(scope, receive, send)
        finally:
            self._close()
