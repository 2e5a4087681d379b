"""Asking a public service politely: not too often, again after a passing failure, and not for ever.

A body is whole and within its bound, or it is an error. What is secret never gets into a message.
"""

from __future__ import annotations

import enum
import json
import logging
import math
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

import requests
import urllib3

from ..errors import BadName, SourceError
from ..sources.base import CHUNK, Interrupted, in_time, number_in
from ..sources.sessions import Session
from ..version import __version__

if TYPE_CHECKING:
    from typing_extensions import Self

logger = logging.getLogger(__name__)

#: Bytes of a body by which it is judged.
_HEAD = 1 << 13

#: Seconds: the first pause after a failure, the longest, and the longest that a service gets.
_FIRST_PAUSE, _LONGEST_PAUSE, _LONGEST_WISH = 1.0, 60.0, 300.0

#: Spacing is a little wider than the rate says: what is sent in time may arrive closer together.
_MARGIN = 1.1

_ADDRESS = re.compile(r"[!-?A-~]+@[!-~]+")


@dataclass(frozen=True, slots=True)
class Clock:
    """Time, in seconds, and chance."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random
    """Between 0 and 1."""


class Pace:
    """Keeps requests apart.

    Args:
        per_second: The most that the service allows.
    """

    def __init__(self, per_second: float) -> None:
        self._spacing = _MARGIN / per_second
        self._next = -math.inf

    def wait(self, clock: Clock) -> None:
        """Return when the next request may be sent."""
        now = clock.now()
        if now < self._next:
            clock.sleep(self._next - now)
        self._next = max(now, self._next) + self._spacing


class Refused(SourceError):
    """The service understood the request and will not fulfil it."""

    def __init__(self, message: str, status: int, body: bytes) -> None:
        super().__init__(message)
        self.status = status
        self.body = body
        """How it begins."""


class Verdict(enum.Enum):
    """What to make of an answer."""

    FINE = "fine"
    REFUSED = "refused"
    PASSING = "passing"
    """A failure that may be gone when the same is asked again."""


def by_status(status: int, _head: bytes = b"") -> Verdict:
    """What the status alone says."""
    if status == 200:
        return Verdict.FINE
    return Verdict.PASSING if status in (408, 425, 429) or status >= 500 else Verdict.REFUSED


@dataclass(frozen=True, slots=True)
class Query:
    """A request that may be sent again.

    Args:
        data: Fields of a form, sent as the body of a POST; without any it is a GET.
        max_bytes: A longer answer is an error.
        judge: What to make of a status and of how the body begins.
    """

    url: str
    max_bytes: int
    pace: Pace
    data: Mapping[str, str] | None = field(default=None, repr=False)
    params: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    judge: Callable[[int, bytes], Verdict] = by_status


class PoliteSession:
    """Connections to services, and what was asked through them.

    Args:
        email: Whom a service can write to if something is wrong with our requests.
        timeout: Seconds to connect, and between two bytes.
        retries: How often to ask again after a passing failure.
        secrets: Texts that no message may have.

    Raises:
        BadName: Not an e-mail address.
    """

    def __init__(
        self,
        *,
        email: str | None = None,
        timeout: float = 60.0,
        retries: int = 4,
        secrets: tuple[str, ...] = (),
        clock: Clock | None = None,
    ) -> None:
        if email is not None and _ADDRESS.fullmatch(email) is None:
            raise BadName(f"{email!r} is no e-mail address")
        self._timeout = timeout
        self._retries = retries
        self._secrets = [re.compile(re.escape(one), re.IGNORECASE) for one in secrets if one]
        self._clock = clock or Clock()
        self._session = Session()
        contact = f" (mailto:{email})" if email else ""
        self._session.headers.update(
            {
                "User-Agent": f"seqarchive/{__version__}{contact}",
                # Compressed data that end early do not always say so.
                "Accept-Encoding": "identity",
            }
        )
        self.n_requests = 0
        """All that were sent, those that failed included."""
        self.n_bytes = 0
        """Of all bodies that came."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._session.close()

    def download(self, query: Query, into: BinaryIO) -> None:
        """Append an answer to a file; what failed attempts left there is removed.

        Raises:
            Refused: Asking again would not help. SourceError: It failed each time.
        """
        start = into.tell()
        host = _host(query.url)
        for n in range(self._retries + 1):
            try:
                self._attempt(query, into)
            except Interrupted as error:
                into.seek(start)
                into.truncate()
                if n == self._retries:
                    tries = f" ({n + 1} tries)" if n else ""
                    raise SourceError(f"{host}: {error}{tries}") from None
                pause = self._pause(n, error.retry_after)
                if pause > _LONGEST_WISH:
                    raise SourceError(
                        f"{host}: {error}; it wants to be left alone for {pause:,.0f} seconds"
                    ) from None
                logger.warning("%s: %s; again in %.1f s", host, error, pause)
                self._clock.sleep(pause)
            except SourceError as error:
                into.seek(start)
                into.truncate()
                error.args = (f"{host}: {error}",)
                raise
            else:
                return

    def _pause(self, n_before: int, wish: float) -> float:
        """Seconds before the next attempt: twice as many each time, no two clients alike."""
        pause = min(_FIRST_PAUSE * (1 << n_before), _LONGEST_PAUSE)
        return max(pause * (0.5 + self._clock.chance() / 2), wish)

    def _attempt(self, query: Query, into: BinaryIO) -> None:
        query.pace.wait(self._clock)
        self.n_requests += 1
        try:
            response = self._session.request(
                "GET" if query.data is None else "POST",
                query.url,
                data=query.data,
                params=query.params,
                headers=query.headers,
                timeout=self._timeout,
                stream=True,
                # Nobody else gets what is meant for the service that was named.
                allow_redirects=False,
            )
        except (requests.ConnectionError, requests.Timeout) as error:
            raise Interrupted(_reason(error)) from None
        except (requests.RequestException, UnicodeError) as error:
            raise SourceError(_reason(error)) from None
        with response:
            self._take(response, query, into)

    def _take(self, response: requests.Response, query: Query, into: BinaryIO) -> None:
        status = response.status_code
        if status == 200:
            _require_an_end(response.headers)
        chunks = self._body(response, query.max_bytes)
        head = b""
        for chunk in chunks:
            head += chunk
            if len(head) >= _HEAD:
                break
        verdict = query.judge(status, head)
        if verdict is Verdict.FINE:
            into.write(head)
            for chunk in chunks:
                into.write(chunk)
            return
        said = self._said(status, response.reason or "", head)
        if verdict is Verdict.REFUSED:
            raise Refused(said, status, head[:_HEAD])
        raise Interrupted(said, retry_after=_retry_after(response.headers))

    def _body(self, response: requests.Response, max_bytes: int) -> Iterator[bytes]:
        """The body, and an error at its end if there should be more."""
        length = number_in(response.headers.get("Content-Length", ""))
        n_bytes = 0
        try:
            for chunk in in_time(response.raw.stream(CHUNK, decode_content=False), "the answer"):
                n_bytes += len(chunk)
                self.n_bytes += len(chunk)
                if n_bytes > max_bytes:
                    raise SourceError(f"its answer has more than {max_bytes:,} bytes")
                yield chunk
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Interrupted(f"the answer ended early ({_reason(error)})") from None
        if length is not None and n_bytes != length:
            raise Interrupted(f"the answer ended early ({n_bytes:,} of {length:,} bytes)")

    def _said(self, status: int, reason: str, head: bytes) -> str:
        """A status and what came with it, on one line."""
        text = head.decode("utf-8", "replace")
        try:
            text = str(json.loads(text)["error"])
        except (ValueError, KeyError, TypeError):
            if "<html" in text.lower():
                text = "an HTML page"
        for secret in self._secrets:
            text = secret.sub("***", text)
        text = " ".join(text.split())[:100]
        if status == 200:
            return f"{text or 'nothing'} instead of a record"
        return f"{status} {reason[:60]}: {text}".rstrip(": ")


def _require_an_end(headers: Mapping[str, str]) -> None:
    """Raise SourceError unless one can tell whether a body is whole."""
    if headers.get("Content-Encoding", "identity") not in ("", "identity"):
        raise SourceError("it compresses what it should give as it is")
    is_chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
    if not is_chunked and number_in(headers.get("Content-Length", "")) is None:
        raise SourceError("its answer does not say where it ends")


def _host(url: str) -> str:
    """Whom a message is about, without anything else that a URL may have."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the service"
    return f"{parts.hostname or 'the service'}{port}"


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that a service wants to be left alone; 0 if it does not say."""
    text = headers.get("Retry-After", "")
    try:
        seconds = float(text)
    except ValueError:
        seconds = _seconds_until(text, headers.get("Date", ""))
    return max(seconds, 0.0) if math.isfinite(seconds) else 0.0


def _seconds_until(text: str, now: str) -> float:
    """Seconds until an HTTP date, by the clock of the server that wrote it if it shows one."""
    try:
        then = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return 0.0
    try:
        start = parsedate_to_datetime(now)
    except (ValueError, TypeError, OverflowError):
        start = datetime.now(timezone.utc)
    # A date without a zone is UTC (RFC 9110).
    return (_in_utc(then) - _in_utc(start)).total_seconds()


def _in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _reason(error: BaseException) -> str:
    """The innermost reason, without URLs and addresses of objects."""
    inner = error
    while (behind := _behind(inner)) is not None:
        inner = behind
    if isinstance(inner, TimeoutError | requests.Timeout | urllib3.exceptions.ReadTimeoutError):
        return "no answer in time"
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    if isinstance(inner, requests.RequestException | urllib3.exceptions.LocationValueError):
        return "not a URL of http: or https:"
    return " ".join(str(inner).split())[:100] or type(inner).__name__


def _behind(error: BaseException) -> BaseException | None:
    """What an error wraps."""
    wrapped = (getattr(error, "reason", None), error.__cause__, *error.args)
    return next((one for one in wrapped if isinstance(one, BaseException)), None)
