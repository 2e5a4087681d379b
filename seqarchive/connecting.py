"""``connect``: whatever can be read, behind one interface."""

from __future__ import annotations

import os
from pathlib import Path
from typing import overload

from .archive import Archive
from .roots import archives_only, listed_addresses, open_address
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
        uri: Directory of an archive, or of one of its instances; also as ``file:///``. Or
            ``http(s)://`` or ``s3://``, of a published snapshot or of a root with some: it is read
            where it is. Several of them are read together, and the first is written. Also of a
            RefgetStore, which is only read: see ``seqarchive.RefgetStore``; and of a server of
            sequences (ours, SeqRepo's REST service, refget): see ``seqarchive.SequenceServer``.
            ``seqrepo+http://`` and ``seqrepo+file:///`` are understood too.
        instance: ``master`` (the default), the name of a snapshot, or ``latest`` (the default of
            what is published).
        at: Read it as it was then: after a batch (7), in a snapshot (its name), at the end of a
            day (``2024-06-01``) or at a time (``2024-06-01T12:00:00Z``).

    Raises:
        NotFound: Nothing there, or no such moment.
        SourceError: A kind of address that is not understood.
    """
    if isinstance(uri, (str, os.PathLike)):
        listed = listed_addresses(uri)
        if listed is None:
            return _connect(uri, instance, at)
        uri = listed
    return Archives(archives_only([_connect(one, instance, at) for one in uri]))


def _connect(uri: Uri, instance: str | None, at: int | str | None) -> Archive:
    return open_address(uri, instance, at, Archive.of)
