"""What is served: an archive that stays open, and what is said of the service."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from ..errors import BadName
from ..readable import Readable
from ..version import __version__
from .jobs import Jobs
from .limiting import Pool, Slots

if TYPE_CHECKING:
    from ..genomes.stores import Stores
    from ..registry.registry import Registry

#: Residues that are read while other requests wait: some 50 microseconds.
INLINE = 1 << 17


#: Seconds for a request to come, for an answer to be computed, and for a client to take some of it.
SECONDS = 30

#: Bytes of a file that is sent to be stored, and seconds for it to be stored.
UPLOAD, STORING = 512 << 20, 600

#: A name or an address, with or without a port: nothing else of a request gets into an answer.
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?\Z", re.ASCII)

_PATH = re.compile(r"(/[A-Za-z0-9._~/-]*)?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who serves; of service-info."""

    id: str = "org.seqarchive"
    """Reverse domain name."""
    name: str = "seqarchive"
    description: str = "An archive of biological sequences"
    organization: str = "seqarchive"
    organization_url: str = "https://seqarchive.org"
    contact_url: str | None = None
    documentation_url: str | None = None
    environment: str | None = None

    def service_info(
        self, artifact: str, version: str, times: tuple[str, str] | None = None, **more: Any
    ) -> dict[str, Any]:
        """A document of service-info 1.0.

        Args:
            artifact, version: Of the standard.
            times: When what is served was made, and when it was last changed.
        """
        optional = {
            "contactUrl": self.contact_url,
            "documentationUrl": self.documentation_url,
            "environment": self.environment,
        }
        return {
            "id": self.id,
            "name": self.name,
            "type": {"group": "org.ga4gh", "artifact": artifact, "version": version},
            "description": self.description,
            "organization": {"name": self.organization, "url": self.organization_url},
            "version": __version__,
            **({} if times is None else {"createdAt": times[0], "updatedAt": times[1]}),
            **{key: value for key, value in optional.items() if value is not None},
            **more,
        }


@dataclass(frozen=True, slots=True)
class Limits:
    """What requests may cost."""

    subsequence: int | None = None
    """Residues of a part of a sequence; None for any number."""
    page_size: int = 10_000
    body: int = 64 << 20
    """Bytes of what is posted."""
    streams: Slots = field(default_factory=Slots)
    """Long answers at one time."""
    computing: Pool = field(default_factory=lambda: Pool(2, SECONDS))
    """For what is made of whole collections."""
    digesting: Pool = field(default_factory=lambda: Pool(1, SECONDS))
    """For the digests of files, one file at a time."""
    upload: int = UPLOAD
    """Bytes of a file that is sent to be stored."""
    room: int | None = None
    """Bytes of computed tracks that are kept on the disk; None for the usual."""
    storing: Pool = field(default_factory=lambda: Pool(2, STORING))
    """For tracks and genomes that were sent."""


@dataclass(frozen=True, slots=True)
class Service:
    """An archive and how it is served. Routers have one each.

    Args:
        archive_of: The archive that a request is about.
    """

    archive_of: Callable[[Request], Readable]
    identity: Identity = field(default_factory=Identity)
    limits: Limits = field(default_factory=Limits)
    extras: Callable[[Request], Mapping[str, Any]] = lambda _request: {}
    """What the service-info of collections says besides."""
    root: Path | None = None
    """Whose releases are told of."""
    registry: Registry | None = None
    """Where files are registered, if that is known."""
    stores: Stores | None = None
    """The RefgetStores that it reads, if it does."""
    is_near: bool = True
    """Whether the archive answers a look-up at once: no network is between."""

    base_url: str | None = None
    """Where the outside finds what the server serves, without a slash at the end; None for
    wherever a request came to."""

    changes: bool = True
    """Whether clients may have tracks and genomes stored, computed and deleted; in an archive that
    can be written."""
    trusted_origins: tuple[str, ...] = ()
    """Web sites whose scripts may do that too."""
    jobs: Jobs = field(default_factory=Jobs)
    """What is computed for clients."""

    async def quickly(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The result of a look-up, which holds up other requests only if it is over at once."""
        if self.is_near:
            return function(*arguments)
        return await run_in_threadpool(function, *arguments)

    def close(self) -> None:
        """Have jobs end, and close the connections to a registry and to stores; they are made
        again when they are needed."""
        self.jobs.close()
        if self.registry is not None:
            self.registry.close()
        if self.stores is not None:
            self.stores.close()

    def address(self, request: Request, below: str) -> str:
        """Where the outside finds the routes: one was asked for, by ``below`` in its path."""
        prefix: str = request.scope["path"].partition(below)[0]
        return self.origin(request) + prefix

    def origin(self, request: Request) -> str:
        """Where the outside finds the server."""
        if self.base_url is not None:
            return self.base_url
        host = request.headers.get("host", "")
        if _HOST.match(host) is None:  # of HTTP/1.0, or of somebody who tries things
            name, port = request.scope.get("server") or ("localhost", None)
            name = f"[{name}]" if ":" in name else name
            host = f"{name}:{port}" if port else name
        return f"{request.scope['scheme']}://{host}"


def checked_base_url(url: str) -> str:
    """A base URL, without a slash at the end.

    Raises:
        BadName: It is none.
    """
    parts = urlsplit(url)
    if (
        parts.scheme not in ("http", "https")
        or _HOST.match(parts.netloc) is None
        or _PATH.match(parts.path) is None
        or not url.isprintable()
        or "?" in url
        or "#" in url
    ):
        raise BadName(f"{url!r} is no address of a service: https://HOST[:PORT][/PATH]")
    return url.rstrip("/")


def service_of(archive: Readable, **options: Any) -> Service:
    """A service of one archive."""
    return Service(lambda _request: archive, **options)
