"""A journaled, content-addressed archive of biological sequences.

>>> import seqarchive
>>> archive = seqarchive.connect("path/to/archive")     # doctest: +SKIP
>>> archive.fetch("refseq:NC_001133.9", 100, 160)       # doctest: +SKIP
"""

from .archive import Archive, connect
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
from .loading import LoadOptions, LoadReport
from .sequences import ArchivedSequence
from .version import __version__

__all__ = [
    "AliasConflict",
    "Ambiguous",
    "Archive",
    "ArchivedSequence",
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
    "SeqArchiveError",
    "SourceError",
    "__version__",
    "connect",
]
