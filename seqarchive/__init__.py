"""A journaled, content-addressed archive of biological sequences.

>>> import seqarchive
>>> archive = seqarchive.connect("path/to/archive")     # doctest: +SKIP
>>> archive.fetch("refseq:NC_001133.9", 100, 160)       # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from .version import __version__

if TYPE_CHECKING:
    from .archive import Archive
    from .connecting import connect
    from .errors import (
        AliasConflict,
        Ambiguous,
        BadInput,
        BadInterval,
        BadName,
        Conflict,
        Corrupt,
        DigestMismatch,
        Locked,
        NewerFormat,
        NotFound,
        ReadOnly,
        SeqArchiveError,
        SourceError,
    )
    from .load_options import LoadOptions, LoadReport
    from .reader import ArchiveReader
    from .rgstore.reading import RefgetStore
    from .sequences import ArchivedSequence
    from .services import SequenceServer
    from .several import Archives

__all__ = [
    "AliasConflict",
    "Ambiguous",
    "Archive",
    "ArchiveReader",
    "ArchivedSequence",
    "Archives",
    "BadInput",
    "BadInterval",
    "BadName",
    "Conflict",
    "Corrupt",
    "DigestMismatch",
    "LoadOptions",
    "LoadReport",
    "Locked",
    "NewerFormat",
    "NotFound",
    "ReadOnly",
    "RefgetStore",
    "SeqArchiveError",
    "SequenceServer",
    "SourceError",
    "__version__",
    "connect",
]

#: Where what is not an error lives. It is imported when it is first used (PEP 562), because a
#: command that reads does not need what loads, and should not wait for it.
_HOMES = {
    "Archive": "archive",
    "Archives": "several",
    "connect": "connecting",
    "ArchiveReader": "reader",
    "RefgetStore": "rgstore.reading",
    "ArchivedSequence": "sequences",
    "SequenceServer": "services",
    "LoadOptions": "load_options",
    "LoadReport": "load_options",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES.get(name, 'errors')}", __name__), name)
