"""The web service: GA4GH refget, sequence collections, SeqRepo's REST interface, tracks.

Sequences and their names are only read; tracks and genomes can be stored, computed and deleted.
Needs the extra ``server``.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..sources.base import NotInstalled

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from .app import create_app
    from .collections import collection_router
    from .seqrepo_rest import seqrepo_router
    from .sequences import sequence_router
    from .served import Identity, Limits, service_of

#: What applications of others use, and where it is: looked up when it is asked for, since an import
#: of the package must not need the extra.
_MODULES = {
    "create_app": "app",
    "collection_router": "collections",
    "seqrepo_router": "seqrepo_rest",
    "sequence_router": "sequences",
    "Identity": "served",
    "Limits": "served",
    "service_of": "served",
}

__all__ = [
    "Identity",
    "Limits",
    "app_of",
    "collection_router",
    "create_app",
    "run",
    "seqrepo_router",
    "sequence_router",
    "service_of",
]


def __getattr__(name: str) -> Any:
    """What is in a module that needs the extra.

    Raises:
        NotInstalled: FastAPI is not there.
    """
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def app_of(*arguments: Any, **options: Any) -> ASGIApp:
    """The application that serves what is at some addresses; as ``running.measured_app_of``.

    Raises:
        NotInstalled: FastAPI or uvicorn is not there.
    """
    app: ASGIApp = _module("running").measured_app_of(*arguments, **options)
    return app


def run(*arguments: Any, **options: Any) -> None:
    """Serve until somebody stops it; as ``running.run``, and raises as above."""
    _module("running").run(*arguments, **options)


def _module(name: str) -> ModuleType:
    try:
        return import_module(f".{name}", __name__)
    except ImportError:
        raise NotInstalled(
            "to serve, FastAPI and uvicorn are needed; install them with "
            "`pip install 'seqarchive[server]'`"
        ) from None
