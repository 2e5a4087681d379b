"""Reading a published snapshot where it is: no download, no server of ours.

The database is read through SQLite itself, chunk by chunk; residues by the blocks that hold them.
Every chunk is checked against the digests of the release, and kept on disk within a bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..sources import shown
from ..sources.base import NotInstalled

if TYPE_CHECKING:
    from .cache import DiskCache
    from .reading import RemoteArchive


def open_remote(
    url: str,
    instance: str | None = None,
    *,
    at: int | str | None = None,
    cache: DiskCache | None = None,
) -> RemoteArchive:
    """Open a published snapshot.

    Args:
        cache: As for ``RemoteArchive``.

    Raises:
        SourceError: It cannot be read, or what that needs is not installed.
        NotFound: Nothing of this kind is there.
    """
    try:
        from .reading import RemoteArchive  # noqa: PLC0415  (an optional extra)
    except ImportError:
        raise NotInstalled(
            f"{shown(url)}: to read in place, apsw is needed; install it with "
            "`pip install 'seqarchive[remote]'`, or `seqarchive pull` the snapshot"
        ) from None
    return RemoteArchive(url, instance, at=at, cache=cache)
