"""Genomes: collections with names and provenance, here or elsewhere, as pipelines ask for them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .genome import Genome
    from .genomes import Genomes
    from .local import LocalMode, StoreAliasManager
    from .loci import Locus
    from .reading import ReadMode
    from .remote import RemoteGenome, RemoteGenomes
    from .server import ServerMode
    from .sources import make_source

__all__ = [
    "Genome",
    "Genomes",
    "LocalMode",
    "Locus",
    "ReadMode",
    "RemoteGenome",
    "RemoteGenomes",
    "ServerMode",
    "StoreAliasManager",
    "make_source",
]

#: Where they live. What is not used is not imported: a server needs none of what loads.
_HOMES = {
    "Genome": "genome",
    "Genomes": "genomes",
    "LocalMode": "local",
    "Locus": "loci",
    "ReadMode": "reading",
    "RemoteGenome": "remote",
    "RemoteGenomes": "remote",
    "ServerMode": "server",
    "StoreAliasManager": "local",
    "make_source": "sources",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
