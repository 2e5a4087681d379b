"""``seqarchive serve``."""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import sys
import tempfile
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import click

from ..errors import BadName
from ..genomes.store_entries import StoreEntry, entries_of_urls, merged_entries, parse_entries
from ..registry import open_registry
from ..server import app_of, run
from . import Settings, command

#: Seconds that a computation keeps the interpreter from whoever answers: slices wait a third as
#: long as with Python's own 5 ms, and a comparison takes no longer.
_SWITCH = 0.0005

#: What the processes that serve are told, as JSON: each imports the application anew.
_SERVED = "SEQARCHIVE_SERVED"


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    is_bare = bool(parts.netloc) and text == f"{parts.scheme}://{parts.netloc}"
    return is_bare and parts.scheme in ("http", "https")


def _entries(stores: tuple[str, ...]) -> list[StoreEntry]:
    """The stores that are said, or that the variables of refgenie list."""
    if stores:
        return entries_of_urls(stores)
    one, several = (os.environ.get(f"REFGENIE_{name}") for name in ("REFGET_STORE_URL", "STORES"))
    return merged_entries(
        entries_of_urls([one] if one else []),
        parse_entries(several, "$REFGENIE_STORES") if several else [],
    )


def _has_stores(database: str | None) -> bool:
    with open_registry(database or os.environ) as registry:
        return bool(merged_entries(registry.stores()))


def _variables() -> dict[str, str] | None:
    """Those that say where a PostgreSQL is; None if none of them does."""
    names = [f"POSTGRES_{name}" for name in ("HOST", "PORT", "DB", "USER", "PASSWORD")]
    return {name: os.environ[name] for name in names if name in os.environ} or None


@command("serve", "seqarchive serve --port 8000")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8000, show_default=True)
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True)
@click.option("--public", is_flag=True, help="Allow a --host that others can reach.")
@click.option(
    "--max-subsequence",
    type=click.IntRange(1),
    metavar="RESIDUES",
    help="Of a part of a sequence at most [any number].",
)
@click.option(
    "--max-connections",
    type=click.IntRange(1),
    metavar="N",
    help="Of each worker; who comes when there are more is told to come again (503) [any number].",
)
@click.option(
    "--max-streams",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    metavar="N",
    help="Long answers (chromosomes, files) of each worker at one time; who wants another one is "
    "told to come again (503), and short ones go on.",
)
@click.option(
    "--request-timeout",
    type=click.FloatRange(0.1),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="For a request to come (408), to compute an answer (504), and for a client to take some "
    "of a long one, which ends otherwise.",
)
@click.option(
    "--changes/--no-changes",
    default=None,
    help="Whether clients may store, compute and delete tracks and genomes, of an archive that can "
    "be written [if only this machine can reach it: without --public].",
)
@click.option(
    "--trusted-origin",
    "trusted_origins",
    multiple=True,
    metavar="URL",
    help="Of a web site (https://HOST) whose scripts may do that too (several times); those of "
    "others may only read [none].",
)
@click.option(
    "--max-upload",
    type=click.FloatRange(0, min_open=True),
    default=512.0,
    show_default=True,
    metavar="MB",
    help="Of a file that is sent to be stored (413).",
)
@click.option(
    "--room",
    type=click.IntRange(0),
    envvar="SEQARCHIVE_TRACK_BYTES",
    help="Bytes of computed tracks that are kept, as of `track compute` [20 GiB, "
    "$SEQARCHIVE_TRACK_BYTES].",
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    metavar="N",
    help="Computations of each worker at one time; others wait.",
)
@click.option(
    "--base-url",
    metavar="URL",
    help="Where the outside finds the service, if a proxy is in between (https://HOST/PATH): all "
    "addresses in answers begin so [wherever the request came to].",
)
@click.option(
    "--trusted-proxy",
    "trusted_proxies",
    multiple=True,
    metavar="ADDRESS",
    help="Of a proxy, or of a network of them, whose X-Forwarded-For and X-Forwarded-Proto are "
    "believed (several times) [none].",
)
@click.option(
    "--store",
    "stores",
    metavar="[NAME=]DIR|URL",
    multiple=True,
    help="Serve this RefgetStore (a directory, http(s):// or s3://) instead of an archive; several "
    "times, the first one says what a name means [$REFGENIE_REFGET_STORE_URL, or "
    "$REFGENIE_STORES: JSON; and those that the registry lists].",
)
@click.option(
    "--alias-order",
    metavar="NAMESPACE,...",
    default="",
    help="Where a genome's name is looked for in a store, what comes first counts; a name that "
    "means two things in the others is refused [refgenie, then the others by their names].",
)
@click.option(
    "--store-url",
    metavar="URL",
    envvar="REFGET_STORE_HTTP_URL",
    help="Where clients find the (first) store, if it is another URL; one in a bucket is not told "
    "otherwise [$REFGET_STORE_HTTP_URL].",
)
@click.option(
    "--database",
    metavar="URL",
    envvar="SEQARCHIVE_DATABASE",
    help="Serve the registry in this database too (postgresql://... or sqlite:///FILE; see "
    "`seqarchive admin`) [$SEQARCHIVE_DATABASE; with --store also $POSTGRES_HOST, _PORT, _DB, "
    "_USER and _PASSWORD].",
)
def command_(
    settings: Settings,
    host: str,
    port: int,
    workers: int,
    public: bool,
    max_subsequence: int | None,
    max_connections: int | None,
    max_streams: int,
    request_timeout: float,
    changes: bool | None,
    trusted_origins: tuple[str, ...],
    max_upload: float,
    room: int | None,
    jobs: int,
    base_url: str | None,
    trusted_proxies: tuple[str, ...],
    stores: tuple[str, ...],
    alias_order: str,
    store_url: str | None,
    database: str | None,
) -> None:
    """Serve the archive: a page to look at, GA4GH refget, sequence collections and DRS, SeqRepo's
    REST interface, and tracks.

    Only tracks and genomes are written (see --changes); a batch that is loaded meanwhile is seen
    at once. /healthz and /metrics are for
    those who watch over it; with -v, each request is a line of JSON on standard error.
    """
    if not public and not _is_here(host):
        raise click.UsageError(
            f"--host {host} can be reached by others; say --public if that is meant"
        )
    is_archive = bool(settings.roots or settings.instance)
    if stores and is_archive:
        raise click.UsageError("--store is served instead of --root and --instance")
    entries = [] if is_archive else _entries(stores)
    # A registry may list stores; but an archive that somebody names is served as it is.
    lists = bool(database) and not is_archive and "SEQARCHIVE_ROOT" not in os.environ
    is_of_stores = bool(entries) or (lists and _has_stores(database))
    for proxy in trusted_proxies:
        if not _is_address(proxy):
            raise click.UsageError(f"--trusted-proxy {proxy} is no address, and no network")
    for origin in trusted_origins:
        if not _is_origin(origin):
            raise click.UsageError(
                f"--trusted-origin {origin} is no web site; write it as browsers do: "
                "https://HOST[:PORT], without a path"
            )
    wanted: dict[str, Any] = {
        "addresses": () if is_of_stores else settings.addresses(),
        "instance": settings.instance,
        "stores": entries,
        "alias_order": [one for one in alias_order.split(",") if one],
        "store_url": store_url,
        "database": database or (_variables() if entries else None),
        "max_subsequence": max_subsequence,
        "max_streams": max_streams,
        "request_timeout": request_timeout,
        "changes": not public if changes is None else changes,
        "trusted_origins": trusted_origins,
        "max_upload": int(max_upload * 1_000_000),
        "room": room,
        "jobs": jobs,
        "base_url": base_url,
    }
    with ExitStack() as stack:
        if workers > 1:  # where they write what each of them has counted
            counted = stack.enter_context(tempfile.TemporaryDirectory(prefix="seqarchive-"))
            wanted["shared"] = os.environ["PROMETHEUS_MULTIPROC_DIR"] = counted
        try:
            app_of(**wanted)  # what is wrong is said before there is a server
        except BadName as error:
            if base_url is None:
                raise
            raise click.UsageError(str(error)) from None
        os.environ[_SERVED] = json.dumps({**wanted, "is_verbose": bool(settings.verbose)})

        def say_where() -> None:
            if not settings.quiet:
                click.echo(base_url or f"http://{host}:{port}", err=True)

        run(
            f"{__name__}:worker_app",
            host=host,
            port=port,
            workers=workers,
            max_connections=max_connections,
            request_timeout=request_timeout,
            trusted_proxies=trusted_proxies,
            log_level="error" if settings.quiet else "warning",
            listening=say_where,
        )


def worker_app() -> Any:
    """The application of a process that serves."""
    sys.setswitchinterval(_SWITCH)
    wanted = json.loads(os.environ[_SERVED])
    if wanted.pop("is_verbose"):
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        access = logging.getLogger("seqarchive.access")
        access.addHandler(handler)
        access.setLevel(logging.INFO)
        access.propagate = False
    return app_of(**wanted)
