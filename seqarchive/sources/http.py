"""A web server as a source: any that serves files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from urllib.parse import quote, unquote, urlencode, urljoin, urlsplit, urlunsplit

import requests
import urllib3
from requests.auth import HTTPBasicAuth

from ..errors import NotFound, SourceError
from ..forks import ForkLock
from ..version import __version__
from . import shown
from .base import (
    CHUNK,
    Denied,
    Interrupted,
    NoRanges,
    Refused,
    Stream,
    Unreachable,
    gathered,
    in_time,
    number_in,
    require_size,
)
from .sessions import Session

#: Seconds to connect, and between two bytes.
_TIMEOUTS = (10.0, 30.0)

#: Connections to one server, for as many threads.
_CONNECTIONS = 16

#: How long a server may ask us to wait.
_LONGEST_WAIT = 60.0

#: How often a server may send us elsewhere, and bytes of a page about it that are worth reading.
_REDIRECTS = 5
_SHORT_PAGE = 1 << 12

_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(?:\d{1,19}|\*)\Z", re.ASCII)


class HttpSource:
    """A tree of files on a web server.

    Args:
        url: Of the tree. Name and password in it are used, and not shown.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            is_right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            is_right = False
        if not is_right:
            raise SourceError(f"{shown(url)!r} is not the address of a web server")
        if parts.query or parts.fragment:
            raise SourceError(f"{shown(url)!r}: an address of files has neither '?' nor '#'")
        self._given = url
        user, password = (unquote(part or "") for part in (parts.username, parts.password))
        self._login = HTTPBasicAuth(user.encode(), password.encode()) if user or password else None
        self._address = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        self._lock = ForkLock()
        self._session: Session | None = None
        self._pid = 0

    def __reduce__(self) -> tuple[type[HttpSource], tuple[str]]:
        return type(self), (self._given,)

    @property
    def address(self) -> str:
        """The URL."""
        return self._address.rstrip("/")

    def _where(self, path: str) -> str:
        return f"{self.address}/{path}"

    def _connections(self) -> Session:
        with self._lock:
            if self._session is None or self._pid != os.getpid():  # a fork shares no connection
                self._session, self._pid = Session(), os.getpid()
                adapter = requests.adapters.HTTPAdapter(pool_maxsize=_CONNECTIONS)
                self._session.mount("http://", adapter)
                self._session.mount("https://", adapter)
                self._session.headers.update(
                    # A proxy that compresses what is compressed already only costs ranges.
                    {"User-Agent": f"seqarchive/{__version__}", "Accept-Encoding": "identity"}
                )
            return self._session

    @contextmanager
    def _get(
        self, path: str, headers: dict[str, str], query: str = ""
    ) -> Iterator[requests.Response]:
        url = f"{self.address}/{quote(path)}{query}"
        where = self._where(path)
        try:
            response = self._follow(url, headers)
        except (requests.ConnectionError, requests.Timeout) as error:
            raise Unreachable(f"{where}: {_reason(error)}") from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            # Also of a redirect to what is no address.
            raise SourceError(f"{where}: {_reason(error)}") from None
        with response:
            _check_status(response, where)
            yield response

    def _follow(self, url: str, headers: dict[str, str]) -> requests.Response:
        """The answer at the end of some redirects. Long pages of theirs are not read to their end;
        and none of them leads from ``https`` to what anybody on the way can read and change, or to
        another kind of place. Name and password are for the server that they were given for.
        """
        home = _origin(url)
        for _ in range(_REDIRECTS + 1):
            response = self._connections().get(
                url,
                auth=self._login if _origin(url) == home else None,
                headers=headers,
                stream=True,
                timeout=_TIMEOUTS,
                allow_redirects=False,
            )
            if not response.is_redirect:
                return response
            with response:
                _finish(response)
                before = urlsplit(response.url).scheme
                url = urljoin(response.url, response.headers["Location"])
            if urlsplit(url).scheme not in ("https", before):
                raise requests.exceptions.InvalidSchema(f"a redirect to {urlsplit(url).scheme}:")
        raise requests.TooManyRedirects(f"more than {_REDIRECTS} redirects")

    def read(self, path: str, max_bytes: int) -> bytes:
        """A whole file."""
        return self.answer(path, max_bytes, {})

    def answer(self, path: str, max_bytes: int, query: Mapping[str, str | int]) -> bytes:
        """What a service answers; otherwise as ``read``."""
        asked = f"?{urlencode(query)}" if query else ""
        with self._get(path, {}, asked) as response:
            if response.status_code != 200:
                raise SourceError(f"{self._where(path)}: status {response.status_code}")
            chunks = _body(response, self._where(path))
            found = gathered(chunks, max_bytes, self._where(path))
            _check_length(response, len(found), self._where(path))
            return found

    def read_range(self, path: str, start: int, end: int, size: int | None = None) -> bytes:
        """The bytes ``[start, end)`` of a file."""
        where = self._where(path)
        with self._get(path, {"Range": f"bytes={start}-{end - 1}"}) as response:
            if response.status_code != 206:
                raise NoRanges(
                    f"{where}: the server does not answer requests for ranges; it can be used "
                    "with `seqarchive pull`"
                )
            if _range_of(response) != (start, end):
                raise SourceError(
                    f"{where}: asked for bytes {start}-{end - 1}, the answer says "
                    f"{response.headers.get('Content-Range', 'nothing')[:60]!r}"
                )
            require_size(response.headers["Content-Range"].rpartition("/")[2], size, where)
            found = gathered(_body(response, where), end - start, where)
            if len(found) != end - start:
                raise Interrupted(f"{where}: {len(found):,} bytes of {end - start:,}")
            return found

    @contextmanager
    def stream(self, path: str, start: int = 0) -> Iterator[Stream]:
        """A file from ``start`` on; from its beginning if the server knows no ranges."""
        where = self._where(path)
        headers = {"Range": f"bytes={start}-"} if start else {}
        with self._get(path, headers) as response:
            if response.status_code == 206:
                found = _range_of(response)
                if found is None or found[0] != start:
                    raise SourceError(f"{where}: another range than the one asked for")
                begin = start
            else:
                begin = 0
            yield Stream(begin, _body(response, where))

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._session is not None and self._pid == os.getpid():
                self._session.close()
            self._session = None


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, parts.port or default


def _check_status(response: requests.Response, where: str) -> None:
    status = response.status_code
    message = f"{where}: the server says {status} {(response.reason or '')[:60]}".rstrip()
    if status in (404, 410):
        raise NotFound(f"{where}: no such file on the server")
    if status in _TRANSIENT:
        wait = _wait(response.headers.get("Retry-After", ""))
        raise Interrupted(message, retry_after=wait)
    if status not in (200, 206):
        if status in (401, 403):
            raise Denied(message)
        raise Refused(message, status)
    if response.headers.get("Content-Encoding", "identity") not in ("", "identity"):
        raise SourceError(f"{where}: the server compresses what it should give as it is")


def _wait(text: str) -> float:
    """Seconds that ``Retry-After`` asks for, as a number or as a date."""
    try:
        if text.isascii() and text.isdigit():
            seconds = float(text[:9])
        else:
            seconds = (parsedate_to_datetime(text) - datetime.now(timezone.utc)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), _LONGEST_WAIT)


def _range_of(response: requests.Response) -> tuple[int, int] | None:
    match = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    return None if match is None else (int(match[1]), int(match[2]) + 1)


def _body(response: requests.Response, where: str) -> Iterator[bytes]:
    def chunks() -> Iterator[bytes]:
        try:
            # As it comes: what ``requests`` would decompress could be a bomb. And as soon as it
            # comes: whoever waits for more cannot see how slow it is.
            read = getattr(response.raw, "read1", response.raw.read)
            while data := read(CHUNK, decode_content=False):
                yield data
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Interrupted(f"{where}: {_reason(error)}") from None

    return in_time(chunks(), where)


def _finish(response: requests.Response) -> None:
    """Read a page that nobody needs, if it is short: the connection can be used again then."""
    n_bytes = number_in(response.headers.get("Content-Length", ""))
    if n_bytes is not None and n_bytes <= _SHORT_PAGE:
        with suppress(SourceError):
            gathered(_body(response, ""), _SHORT_PAGE, "")


def _check_length(response: requests.Response, n_bytes: int, where: str) -> None:
    said = number_in(response.headers.get("Content-Length", ""))
    if said is not None and said != n_bytes:
        raise Interrupted(f"{where}: {n_bytes:,} bytes of {said:,}")


def _reason(error: Exception) -> str:
    """The innermost reason, without addresses of objects and without URLs."""
    inner: BaseException = error
    while True:
        reason = getattr(inner, "reason", None)
        following = reason if isinstance(reason, BaseException) else None
        if following is None and inner.args and isinstance(inner.args[0], BaseException):
            following = inner.args[0]
        if following is None:
            break
        inner = following
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    # What broke off says so, and has the reason behind it once more.
    said = inner.args[0] if inner.args and isinstance(inner.args[0], str) else str(inner)
    text = said.rpartition(": ")[2] or type(inner).__name__
    text = re.sub(r"IncompleteRead\((.*)\)", r"\1", text)
    text = re.sub(r"\[Errno -?\d+\] ", "", text)
    return shown(text)[:200]
