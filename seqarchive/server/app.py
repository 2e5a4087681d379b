"""The application: all interfaces of one archive, and of its releases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from ..reader import ArchiveReader
from ..rgstore import is_store
from ..version import __version__
from .answers import json_answer, logger, refusal
from .collections import collection_router
from .drs import drs_router
from .files import Releases, StoreFiles
from .genomes import genome_router
from .openapi import document
from .seqrepo_rest import seqrepo_router
from .sequences import sequence_router
from .served import Identity, Limits, Service, service_of

#: What scripts in browsers may see of an answer.
_EXPOSED = ["Content-Length", "Content-Range", "Accept-Ranges", "ETag"]

#: Seconds that a browser need not ask again whether it may ask.
_PREFLIGHT = 86_400

ROUTERS = (sequence_router, collection_router, seqrepo_router, drs_router, genome_router)


def create_app(
    archive: ArchiveReader | Service,
    *,
    identity: Identity | None = None,
    limits: Limits | None = None,
    origins: Sequence[str] = ("*",),
    root: Path | None = None,
    store: Path | None = None,
) -> FastAPI:
    """An application that serves an archive.

    Whoever has a FastAPI application includes single routers instead (``sequence_router``,
    ``collection_router``, ``seqrepo_router``), with any prefix, for as many archives as there are.

    Args:
        archive: What is served, open for as long as the application runs.
        identity: Who serves, for service-info.
        limits: What one request may cost.
        origins: Web sites whose scripts may ask.
        root: Whose releases are served too, below ``/releases``.
        store: Directory of a RefgetStore of the same archive, served as it is below ``/store``.
    """
    service = (
        archive
        if isinstance(archive, Service)
        else service_of(archive, identity=identity or Identity(), limits=limits or Limits())
    )
    if store is not None:
        service = replace(service, extras=partial(_store_info, store))
    app = FastAPI(
        title=service.identity.name,
        version=__version__,
        openapi_url=None,
        docs_url=None,  # which would load scripts from elsewhere
        redoc_url=None,
    )
    described = document(service.identity.name)

    async def openapi(_request: Request) -> Response:
        return json_answer(described)

    app.add_route("/openapi.json", openapi, methods=["GET", "HEAD"], name="openapi")
    for make in ROUTERS:
        app.include_router(make(service))
    if root is not None:
        app.mount(
            "/releases",
            Releases(root, lambda release: create_app(release, identity=identity, limits=limits)),
        )
    if store is not None:
        app.mount("/store", StoreFiles(store))
    app.add_route("/healthz", _healthy, methods=["GET", "HEAD"], name="healthz")
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_methods=["GET", "HEAD", "POST", "OPTIONS"],
        allow_headers=["*"],
        expose_headers=_EXPOSED,
        max_age=_PREFLIGHT,
    )
    return app


def _store_info(store: Path, request: Request) -> dict[str, Any]:
    """What service-info says of the store."""
    is_there = is_store(store)
    found: dict[str, Any] = {"enabled": is_there}
    if is_there:
        found["url"] = str(request.base_url).rstrip("/") + "/store"
    return {"refget_store": found}


async def _healthy(_request: Request) -> Response:
    return Response("ok\n", media_type="text/plain")


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refusal(error.status_code, str(error.detail), error.headers)


async def _unexpected(request: Request, error: Exception) -> Response:
    """A defect of ours: told in a word, and in full in the log."""
    logger.error("%s %s", request.method, request.url.path, exc_info=error)
    return refusal(500, "an error of the server; it was logged")
