"""Running the service: uvicorn, with as many processes as are wanted."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import FastAPI
from prometheus_client.multiprocess import mark_process_dead
from starlette.requests import Request
from starlette.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from ..errors import NotFound, SeqArchiveError
from ..genomes.store_entries import StoreEntry, entries_of_urls, merged_entries
from ..genomes.stores import Stores
from ..instances import LATEST, Instance
from ..registry import open_registry
from ..registry.reading import Registered
from ..rgstore import is_store
from ..roots import open_readers
from ..sources import directory_at, is_remote
from .app import create_app
from .connections import Config
from .files import Latest
from .jobs import Jobs
from .limiting import Pool, Slots
from .measuring import Measuring
from .openapi import PATHS
from .served import SECONDS, UPLOAD, Limits, Service, service_of

if TYPE_CHECKING:
    from ..registry.registry import Registry

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
    request_timeout: float = SECONDS,
    trusted_proxies: Sequence[str] = (),
    log_level: str = "info",
    listening: Callable[[], object] = int,
) -> None:
    """Serve until somebody stops it.

    Args:
        factory: ``module:function`` that makes the application, for each process anew.
        max_connections: Of each process; who comes when there are more gets 503.
        request_timeout: As of ``Config``.
        trusted_proxies: Addresses (also of networks) whose word counts about who asks, and how.
        listening: Called when clients can come.

    Raises:
        SeqArchiveError: Nobody can listen there.
    """
    config = Config(
        factory,
        factory=True,
        host=host,
        port=port,
        workers=workers,
        log_level=log_level,
        access_log=False,  # there is one of our own
        server_header=False,
        limit_concurrency=max_connections,
        request_timeout=request_timeout,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=_GRACE,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=list(trusted_proxies),
    )
    sockets = [_bound(host, port)]
    listening()
    if workers > 1:
        _Workers(config, sockets=sockets).run()
        return
    server = uvicorn.Server(config)

    def stop(*_signal: object) -> None:
        """Of a signal that comes too early, or once more when all is done (uvicorn's custom)."""
        if not server.started:
            raise SystemExit(0)

    signal.signal(signal.SIGTERM, stop)
    with suppress(KeyboardInterrupt):
        server.run(sockets=sockets)


def _bound(host: str, port: int) -> socket.socket:
    """A socket that listens; as uvicorn's, which ends the process if there can be none."""
    one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        one.bind((host, port))
    except OSError as error:
        one.close()
        why = (error.strerror or str(error)).lower()
        raise SeqArchiveError(
            f"nobody can listen on {host}, port {port}: {why}; choose another --port or --host, or "
            "stop what listens there"
        ) from None
    one.set_inheritable(True)
    return one


class _Workers(Multiprocess):
    """The processes that serve; one that dies is replaced."""

    def keep_subprocess_alive(self) -> None:
        """Replace who died; what it had under way is not under way any more."""
        before = {one.pid for one in self.processes}
        super().keep_subprocess_alive()
        for pid in before - {one.pid for one in self.processes}:
            if pid is not None:
                mark_process_dead(pid)  # type: ignore[no-untyped-call]

    def terminate_all(self) -> None:
        """Stop them; who comes from now on finds nobody, instead of waiting for what is to end."""
        for one in self.sockets:
            one.close()
        super().terminate_all()


#: First parts of paths, told apart in what is measured.
_KINDS = frozenset(
    {path.split("/")[1] for path in PATHS} | {"releases", "store", "healthz", "openapi.json"}
)


def measured_app_of(
    addresses: Sequence[str],
    instance: str | None,
    *,
    shared: str | None = None,
    max_subsequence: int | None = None,
    max_streams: int | None = None,
    request_timeout: float = SECONDS,
    max_upload: int = UPLOAD,
    room: int | None = None,
    jobs: int = 2,
    **options: Any,
) -> ASGIApp:
    """``app_of``, with ``/metrics`` and a line of the log for each request.

    Args:
        shared: As for ``Measuring``.
        request_timeout: Seconds that somebody waits for a computation.
        max_upload: Bytes of a file that is sent to be stored.
        room: Bytes of computed tracks that are kept on the disk.
        jobs: Computations at one time that outlast their requests.
    """
    limits = Limits(
        subsequence=max_subsequence,
        streams=Slots(max_streams),
        computing=Pool(2, request_timeout),
        digesting=Pool(1, request_timeout),
        upload=max_upload,
        room=room,
    )
    app = app_of(addresses, instance, limits=limits, jobs=jobs, **options)
    measuring = Measuring(app, _KINDS, shared, limits.streams)
    app.add_route("/metrics", measuring.metrics, methods=["GET"], name="metrics")
    return measuring


def app_of(
    addresses: Sequence[str],
    instance: str | None,
    *,
    store: str | None = None,
    stores: Sequence[Sequence[Any]] = (),
    database: str | Mapping[str, str] | None = None,
    alias_order: Sequence[str] = (),
    limits: Limits | None = None,
    jobs: int = 2,
    **options: Any,
) -> FastAPI:
    """The application that serves what is at some addresses.

    Args:
        addresses: Directories and URLs, as commands have them.
        store: Address of a RefgetStore, which is served instead.
        stores: Several, as fields of ``StoreEntry``; with no addresses, those that the registry
            lists are served too.
        database: That of a registry (or the variables that say it), whose names, collections and
            files are served too.
        alias_order: Namespaces of stores, in which a genome's name is looked for.
        jobs: As for ``measured_app_of``.
        options: Of ``create_app``.

    Raises:
        NotFound, SourceError: It cannot be opened. BadName: A wrong base URL, or database.
    """
    limits = limits or Limits()
    registry = None if database is None else open_registry(database)
    given = [StoreEntry(*one) for one in stores]
    given += entries_of_urls([] if store is None else [store])
    if given or not addresses:
        service, more = _of_stores(given, registry, alias_order)
    elif len(addresses) == 1 and not is_remote(addresses[0]):
        service, more = _of_directory(addresses[0], instance, alias_order)
    else:
        service, more = service_of(open_readers(addresses, instance), is_near=False), {}
    service = replace(service, limits=limits, jobs=Jobs(jobs))
    if registry is not None:
        service = _registered(service, registry)
    return create_app(service, **more, **options)


def _of_stores(
    given: Sequence[StoreEntry], registry: Registry | None, order: Sequence[str]
) -> tuple[Service, dict[str, Any]]:
    """A service of RefgetStores, and what else its application serves."""

    def listed() -> list[StoreEntry]:
        return merged_entries(given, [] if registry is None else registry.stores())

    entries = listed()
    if not entries:
        raise NotFound("there is nothing to serve: no archive, and no store")
    found = Stores(
        entries,
        order=order,
        is_required=registry is None,
        listed=None if registry is None else listed,
    )
    is_near = not any(is_remote(one.url) for one in entries)
    service = Service(lambda _request: found.fresh(), is_near=is_near, stores=found)
    if len(entries) > 1 or is_remote(entries[0].url):
        return service, {}
    return service, {"store": directory_at(entries[0].url)}


def _of_directory(
    address: str, instance: str | None, order: Sequence[str]
) -> tuple[Service, dict[str, Any]]:
    """The same of whatever there is in a directory."""
    place = directory_at(address)
    if is_store(place) and instance is None:
        return _of_stores(entries_of_urls([address]), None, order)
    root = Instance.found(place, instance).root
    more = {"root": root, "store": root / "rgstore"}
    if instance == LATEST:
        return Service(Latest(root)), more
    return service_of(open_readers([address], instance)), more


def _registered(service: Service, registry: Registry) -> Service:
    """The same with a registry, which is asked over a network."""
    both: Registered | None = None

    def archive_of(request: Request) -> Registered:
        nonlocal both
        archive = service.archive_of(request)
        if both is None or both.archive is not archive:  # another release is the newest now
            both = Registered(archive, registry)
        return both

    return replace(service, archive_of=archive_of, registry=registry, is_near=False)
