"""The registry: collections, names, FHR and files in a SQL database that several services share.

PostgreSQL, for services on several machines over one bucket; or SQLite, in one file. What residues
there are, it does not know: they are in an archive or in a RefgetStore. Needs the extra
``database``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..sources.base import NotInstalled

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from .registry import Registry


def open_registry(
    address: str | Mapping[str, str] | Engine, *, is_writable: bool = False
) -> Registry:
    """Open a registry; as ``Registry`` itself.

    Args:
        address: As for ``Registry``.

    Raises:
        NotInstalled: SQLAlchemy is not there.
    """
    try:
        from .registry import Registry  # noqa: PLC0415  (an optional extra)
    except ImportError:
        raise NotInstalled(
            "a registry in a database needs SQLAlchemy; install it with "
            "`pip install 'seqarchive[database]'`"
        ) from None
    return Registry(address, is_writable=is_writable)
