"""The RefgetStore: the layout in which gtars, refget and refgenie exchange collections."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from .layout import MANIFEST

if TYPE_CHECKING:
    from .reading import RefgetStore


def is_store(directory: str | os.PathLike[str]) -> bool:
    """Whether there is a store in a directory."""
    return (Path(directory) / MANIFEST).is_file()


def open_store(address: str | os.PathLike[str]) -> RefgetStore:
    """Open a store; as ``RefgetStore`` itself."""
    from .reading import RefgetStore  # noqa: PLC0415  (slow to import; few who connect need it)

    return RefgetStore(address)
