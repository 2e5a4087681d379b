"""``connect``: whatever can be read, behind one interface."""

from __future__ import annotations

import os
from pathlib import Path
from typing import overload

from .archive import Archive, open_archive
from .several import Archives

Uri = str | os.PathLike[str]
Uris = list[Path] | list[str] | tuple[Uri, ...]


@overload
def connect(uri: Uri, instance: str | None = None, *, at: int | str | None = None) -> Archive: ...
@overload
def connect(
    uri: Uris,
    instance: str | None = None,
    *,
    at: int | str | None = None,
) -> Archives: ...
def connect(
    uri: Uri | Uris,
    instance: str | None = None,
    *,
    at: int | str | None = None,
) -> Archive | Archives:
    """Open an archive for reading (and loading, if it is a writable ``master``).

    Args:
        uri: Directory of an archive, or of one of its instances; also as ``file:///``. Several of
            them are read together, and the first is the one that is written.
        instance: ``master`` (the default), the name of a snapshot, or ``latest``.
        at: Read it as it was then: after a batch (7), in a snapshot (its name), at the end of a
            day (``2024-06-01``) or at a time (``2024-06-01T12:00:00Z``).

    Raises:
        NotFound: Nothing there, or no such moment.
        SourceError: A kind of address that is not understood.
    """
    if isinstance(uri, (str, os.PathLike)):
        return open_archive(uri, instance, at=at)
    return Archives([open_archive(one, instance, at=at) for one in uri])
