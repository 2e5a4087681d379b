"""How much of the disk instances take, what they share counted once."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Usage:
    """Bytes of an instance."""

    apparent: int = 0
    """Sizes of its files added up: what a copy of it alone would take."""
    own: int = 0
    """What the disk has allocated for it and nothing else here: what removing it would free."""


def usage_of(directories: dict[str, Path]) -> tuple[dict[str, Usage], int]:
    """The usage of some trees, and what the disk has allocated for all of them together.

    Files that appear or vanish meanwhile are counted or not.
    """
    found = {name: Usage() for name in directories}
    owners: dict[tuple[int, int], tuple[str, int] | None] = {}
    total = 0
    for name, directory in directories.items():
        for status in _files(directory):
            found[name].apparent += status.st_size if stat.S_ISREG(status.st_mode) else 0
            inode = (status.st_dev, status.st_ino)
            allocated = status.st_blocks * 512
            if inode not in owners:
                owners[inode] = (name, allocated)
                total += allocated
                found[name].own += allocated
            elif (owner := owners[inode]) is not None and owner[0] != name:
                found[owner[0]].own -= owner[1]
                owners[inode] = None
    return found, total


def _files(path: Path) -> Iterator[os.stat_result]:
    """The status of everything in a tree, and of its directories; links are not followed."""
    waiting = [path]
    while waiting:
        directory = waiting.pop()
        try:
            yield directory.lstat()
            with os.scandir(directory) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                    else:
                        yield entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
