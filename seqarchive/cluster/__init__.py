"""Loading with the workers of a Dask scheduler: they read, hash and compress, and what they make of
each file goes, as a part, into a directory that all of them share with the one process that holds
the writer's lock and commits. Needs the extra ``distributed``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..sources.base import NotInstalled

if TYPE_CHECKING:
    from .client import Cluster


def open_cluster(address: str) -> Cluster:
    """The workers of a scheduler; connects when it is entered.

    Args:
        address: ``tcp://HOST:PORT`` or ``tls://HOST:PORT``.

    Raises:
        NotInstalled: Dask is not there. BadName: This is no address.
    """
    try:
        from .client import Cluster  # noqa: PLC0415  (an optional extra)
    except ImportError:
        raise NotInstalled(
            "--scheduler needs Dask; install it with `pip install 'seqarchive[distributed]'`"
        ) from None
    return Cluster(address)
