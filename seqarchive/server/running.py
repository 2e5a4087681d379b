"""Running the service: uvicorn, with as many processes as are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from ..instances import LATEST, Instance
from ..reader import ArchiveReader
from ..rgstore import is_store
from ..roots import open_readers
from ..sources import directory_at, is_remote
from .app import create_app
from .files import Latest
from .measuring import Measuring
from .openapi import PATHS
from .served import Limits, Service

#: Seconds that answers under way have when the service is stopped.
_GRACE = 10

#: Seconds that a connection stays open between two requests: longer than proxies keep theirs.
_IDLE = 75


def run(
    factory: str,
    *,
    host: str,
    port: int,
    workers: int = 1,
    max_connections: int | None = None,
    log_level: str = "info",
) -> None:
    """Serve until somebody stops it.

    Args:
        factory: ``module:function`` that makes the application, for each process anew.
        max_connections: Of each process; who comes when there are more gets 503.
    """
    uvicorn.run(
        factory,
        factory=True,
        host=host,
        port=port,
        workers=workers,
        log_level=log_level,
        access_log=False,  # there is one of our own
        server_header=False,
        limit_concurrency=max_connections,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=_GRACE,
    )


#: First parts of paths, told apart in what is measured.
_KINDS = frozenset(
    {path.split("/")[1] for path in PATHS} | {"releases", "store", "healthz", "openapi.json"}
)


def measured_app_of(*arguments: Any, shared: str | None = None, **options: Any) -> ASGIApp:
    """``app_of``, with ``/metrics`` and a line of the log for each request.

    Args:
        shared: As for ``Measuring``.
    """
    app = app_of(*arguments, **options)
    measuring = Measuring(app, _KINDS, shared)
    app.add_route("/metrics", measuring.metrics, methods=["GET"], name="metrics")
    return measuring


def app_of(
    addresses: Sequence[str], instance: str | None, *, max_subsequence: int | None = None
) -> FastAPI:
    """The application that serves what is at some addresses.

    Args:
        addresses: Directories and URLs, as commands have them.

    Raises:
        NotFound, SourceError: It cannot be opened.
    """
    limits = Limits(subsequence=max_subsequence)
    if len(addresses) != 1 or is_remote(addresses[0]):
        return create_app(cast(ArchiveReader, open_readers(addresses, instance)), limits=limits)
    place = directory_at(addresses[0])
    if is_store(place) and instance is None:
        archive = cast(ArchiveReader, open_readers(addresses))
        return create_app(archive, limits=limits, store=place)
    root = Instance.found(place, instance).root
    store = root / "rgstore"
    if instance == LATEST:
        newest = Service(Latest(root), limits=limits)
        return create_app(newest, limits=limits, root=root, store=store)
    archive = cast(ArchiveReader, open_readers(addresses, instance))
    return create_app(archive, limits=limits, root=root, store=store)
