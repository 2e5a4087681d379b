"""Running the service: uvicorn, with as many processes as are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import uvicorn
from fastapi import FastAPI

from ..reader import ArchiveReader
from ..roots import open_readers
from .app import create_app
from .served import Limits

#: Seconds that answers under way have when the service is stopped.
_GRACE = 10


def run(factory: str, *, host: str, port: int, workers: int = 1, log_level: str = "info") -> None:
    """Serve until somebody stops it.

    Args:
        factory: ``module:function`` that makes the application, for each process anew.
    """
    uvicorn.run(
        factory,
        factory=True,
        host=host,
        port=port,
        workers=workers,
        log_level=log_level,
        access_log=log_level == "info",
        server_header=False,
        timeout_graceful_shutdown=_GRACE,
    )


def app_of(
    addresses: Sequence[str], instance: str | None, *, max_subsequence: int | None = None
) -> FastAPI:
    """The application that serves what is at some addresses.

    Args:
        addresses: Directories and URLs, as commands have them.

    Raises:
        NotFound, SourceError: It cannot be opened.
    """
    archive = open_readers(addresses, instance)
    return create_app(cast(ArchiveReader, archive), limits=Limits(subsequence=max_subsequence))
