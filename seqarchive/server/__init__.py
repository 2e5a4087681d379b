"""The web service: GA4GH refget, sequence collections, SeqRepo's REST interface, tracks.

Sequences and their names are only read; tracks and genomes can be stored, computed and deleted.
Needs the extra ``server``.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..sources.base import NotInstalled

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp


def create_app(*arguments: Any, **options: Any) -> FastAPI:
    """An application that serves archives; as ``app.create_app``.

    Raises:
        NotInstalled: FastAPI is not there.
    """
    try:
        from .app import create_app as create  # noqa: PLC0415  (an optional extra)
    except ImportError:
        raise _not_installed() from None
    return create(*arguments, **options)


def app_of(*arguments: Any, **options: Any) -> ASGIApp:
    """The application that serves what is at some addresses; as ``running.measured_app_of``.

    Raises:
        NotInstalled: FastAPI or uvicorn is not there.
    """
    app: ASGIApp = _running().measured_app_of(*arguments, **options)
    return app


def run(*arguments: Any, **options: Any) -> None:
    """Serve until somebody stops it; as ``running.run``, and raises as above."""
    _running().run(*arguments, **options)


def _running() -> ModuleType:
    try:
        from . import running  # noqa: PLC0415  (as above)
    except ImportError:
        raise _not_installed() from None
    return running


def _not_installed() -> NotInstalled:
    return NotInstalled(
        "to serve, FastAPI and uvicorn are needed; install them with "
        "`pip install 'seqarchive[server]'`"
    )
