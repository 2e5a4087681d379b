"""The application: all interfaces of one archive, and of its releases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from ..identifiers import visible
from ..readable import Readable
from ..version import __version__
from .advertising import StoreInfo, checked_store_url
from .answers import in_thread, json_answer, logger, refusal
from .collections import collection_router
from .drs import drs_router
from .files import Releases, StoreFiles
from .genomes import genome_router
from .looking import looking_router
from .openapi import SEQCOL, document
from .seqrepo_rest import seqrepo_router
from .sequences import plain_sequence_router, sequence_router
from .served import Identity, Limits, Service, checked_base_url, service_of
from .tracks import track_router
from .web import page_router

#: What scripts in browsers may see of an answer.
_EXPOSED = ["Content-Length", "Content-Range", "Accept-Ranges", "ETag", "Location"]

_ALLOWED = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", ", ".join(_EXPOSED).encode("ascii")),
)

#: Seconds that a browser need not ask again whether it may ask.
_PREFLIGHT = 86_400

#: What looks around comes before sequences: its paths go on where those of sequences begin.
ROUTERS = (
    plain_sequence_router,
    looking_router,
    sequence_router,
    collection_router,
    seqrepo_router,
    drs_router,
    genome_router,
    track_router,
    page_router,
)


def create_app(
    archive: Readable | Service,
    *,
    identity: Identity | None = None,
    limits: Limits | None = None,
    origins: Sequence[str] = ("*",),
    root: Path | None = None,
    store: Path | str | None = None,
    store_url: str | None = None,
    base_url: str | None = None,
    changes: bool = True,
    trusted_origins: Sequence[str] = (),
) -> FastAPI:
    """An application that serves an archive.

    Whoever has a FastAPI application includes single routers instead (``sequence_router``,
    ``collection_router``, ``seqrepo_router``), with any prefix, for as many archives as there are.

    Args:
        archive: What is served, open for as long as the application runs.
        identity: Who serves, for service-info.
        limits: What requests may cost.
        origins: Web sites whose scripts may ask.
        root: Whose releases are served too, below ``/releases``.
        store: Directory of a RefgetStore of the same archive, served as it is below ``/store``;
            or the URL of one that others serve.
        store_url: Where others find the store, which clients are told instead.
        base_url: Where the outside finds what the server serves, if a proxy is in between; None
            for wherever a request came to.
        changes: Whether clients may have tracks and genomes stored, computed and deleted, if the
            archive can be written.
        trusted_origins: Web sites whose scripts may do that; those of others may only read.

    Raises:
        BadName: The base URL is none.
    """
    service = (
        archive
        if isinstance(archive, Service)
        else service_of(archive, identity=identity or Identity(), limits=limits or Limits())
    )
    service = replace(service, root=root, changes=changes, trusted_origins=tuple(trusted_origins))
    limits = service.limits
    if base_url is not None:
        service = replace(service, base_url=checked_base_url(base_url))
    if store_url is not None:
        store_url = checked_store_url(store_url)
    service = replace(service, extras=StoreInfo(service, store, store_url))
    app = FastAPI(
        title=service.identity.name,
        version=__version__,
        openapi_url=None,
        docs_url=None,  # which would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # to whatever host the request names
        lifespan=_running,
    )

    app.state.service = service

    async def openapi(request: Request) -> Response:
        # Relative where nobody says what the outside calls it: whoever has it asks where it is.
        prefix = request.scope["path"].removesuffix("/openapi.json")
        where = service.address(request, "/openapi.json") if service.base_url else prefix
        return json_answer(document(service.identity.name, where or "/"))

    app.add_route("/openapi.json", openapi, methods=["GET", "HEAD"], name="openapi")
    for make in ROUTERS:
        app.include_router(make(service))
    app.include_router(collection_router(service), prefix=SEQCOL)
    if root is not None:
        app.mount(
            "/releases",
            Releases(
                root,
                lambda release: create_app(
                    release,
                    identity=service.identity,
                    limits=limits,
                    origins=origins,
                    base_url=service.base_url,
                ),
                streams=limits.streams,
                base_url=service.base_url,
            ),
        )
    if isinstance(store, Path):
        app.mount("/store", StoreFiles(store, limits.streams))
    app.add_route("/healthz", _healthy, methods=["GET", "HEAD"], name="healthz")
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)
    app.add_middleware(
        _Cors,
        allow_origins=list(origins),
        allow_methods=["GET", "HEAD", "POST", "DELETE", "OPTIONS"],
        allow_headers=["*"],
        expose_headers=_EXPOSED,
        max_age=_PREFLIGHT,
    )
    return app


class _Cors(CORSMiddleware):
    """What scripts of all sites may have is said to everybody: caches keep one answer for those who
    ask from a site and those who do not."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if (
            scope["type"] != "http"
            or not self.allow_all_origins
            or any(name == b"origin" for name, _ in scope["headers"])
        ):
            await super().__call__(scope, receive, send)
            return

        async def saying(message: Message) -> None:
            if message["type"] == "http.response.start" and not any(
                name == _ALLOWED[0][0] for name, _ in message["headers"]
            ):
                message["headers"] = [*message["headers"], *_ALLOWED]
            await send(message)

        await self.app(scope, receive, saying)


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    """What only the first call of a thread imports is there before the first request: 10 ms. The
    connections to what was opened for the application are closed in the end."""
    await in_thread(int)
    yield
    service: Service = app.state.service
    service.close()


async def _healthy(_request: Request) -> Response:
    return Response("ok\n", media_type="text/plain")


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refusal(error.status_code, str(error.detail), error.headers)


async def _unexpected(request: Request, error: Exception) -> Response:
    """A defect of ours: told in a word, and in full in the log."""
    logger.error("%s %s", request.method, visible(request.scope["path"]), exc_info=error)
    return refusal(500, "an error of the server; it was logged")
