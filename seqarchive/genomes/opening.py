"""Opening the sources of remote genomes. What reads them is slow to import, and not needed for
genomes that are here nor for what is in the cache."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..remote.cache import DiskCache

if TYPE_CHECKING:
    from .genome_source import GenomeSource


def make_source(url: str | os.PathLike[str], *, cache: DiskCache | None = None) -> GenomeSource:
    """Whatever is at an address; as ``sources.make_source``."""
    from . import sources  # noqa: PLC0415  (slow)

    return sources.make_source(url, cache=cache)


def known_source(
    kind: str, url: str, address: str, access: Mapping[str, str], cache: DiskCache | None = None
) -> GenomeSource:
    """A source that is known; as ``sources.known_source``."""
    from . import sources  # noqa: PLC0415  (slow)

    return sources.known_source(kind, url, address, access, cache)
