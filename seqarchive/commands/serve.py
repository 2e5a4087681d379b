"""``seqarchive serve``."""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import tempfile
from contextlib import ExitStack
from typing import Any

import click

from ..server import app_of, run
from . import Settings, command

#: What the processes that serve are told, as JSON: each imports the application anew.
_SERVED = "SEQARCHIVE_SERVED"


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
def command_(
    settings: Settings,
    host: str,
    port: int,
    workers: int,
    public: bool,
    max_subsequence: int | None,
    max_connections: int | None,
) -> None:
    """Serve the archive: GA4GH refget, sequence collections, SeqRepo's REST interface.

    Only reads; a batch that is loaded meanwhile is seen at once. /healthz and /metrics are for
    those who watch over it; with -v, each request is a line of JSON on standard error.
    """
    if not public and not _is_here(host):
        raise click.UsageError(
            f"--host {host} can be reached by others; say --public if that is meant"
        )
    wanted: dict[str, Any] = {
        "addresses": settings.addresses(),
        "instance": settings.instance,
        "max_subsequence": max_subsequence,
    }
    with ExitStack() as stack:
        if workers > 1:  # where they write what each of them has counted
            counted = stack.enter_context(tempfile.TemporaryDirectory(prefix="seqarchive-"))
            wanted["shared"] = os.environ["PROMETHEUS_MULTIPROC_DIR"] = counted
        app_of(**wanted)  # what is wrong is said before there is a server
        os.environ[_SERVED] = json.dumps({**wanted, "is_verbose": bool(settings.verbose)})
        if not settings.quiet:
            click.echo(f"http://{host}:{port}", err=True)
        run(
            f"{__name__}:worker_app",
            host=host,
            port=port,
            workers=workers,
            max_connections=max_connections,
            log_level="error" if settings.quiet else "warning",
        )


def worker_app() -> Any:
    """The application of a process that serves."""
    wanted = json.loads(os.environ[_SERVED])
    if wanted.pop("is_verbose"):
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        access = logging.getLogger("seqarchive.access")
        access.addHandler(handler)
        access.setLevel(logging.INFO)
        access.propagate = False
    return app_of(**wanted)
