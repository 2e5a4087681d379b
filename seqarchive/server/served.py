"""What is served: an archive that stays open, and what is said of the service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from ..reader import ArchiveReader
from ..version import __version__

#: Residues that are read while other requests wait: some 50 microseconds.
INLINE = 1 << 17


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
    """What one request may cost."""

    subsequence: int | None = None
    """Residues of a part of a sequence; None for any number."""
    page_size: int = 10_000
    body: int = 64 << 20
    """Bytes of what is posted."""


@dataclass(frozen=True, slots=True)
class Service:
    """An archive and how it is served. Routers have one each.

    Args:
        archive_of: The archive that a request is about.
    """

    archive_of: Callable[[Request], ArchiveReader]
    identity: Identity = field(default_factory=Identity)
    limits: Limits = field(default_factory=Limits)
    extras: Callable[[Request], Mapping[str, Any]] = lambda _request: {}
    """What the service-info of collections says besides."""


def service_of(archive: ArchiveReader, **options: Any) -> Service:
    """A service of one archive."""
    return Service(lambda _request: archive, **options)
