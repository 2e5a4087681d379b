"""Room on the disk for what can be computed again: what was used longest ago goes first.

When a track was used last is the time of a file of its own, which may be lost without harm.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from .. import durable
from ..track_files import TrackRow

#: Bytes of computed tracks that are kept if nothing else is said: 20 GiB.
MAX_BYTES = 20 << 30

#: Seconds within which a track that is used again and again is noted once.
_AGAIN = 60.0


class Uses:
    """When tracks were used.

    Args:
        directory: Made when the first use is noted; where none can be made, none is.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._noted: dict[str, float] = {}

    def note(self, stem: str) -> None:
        """A track is being used."""
        now = time.monotonic()
        if now - self._noted.get(stem, -_AGAIN) < _AGAIN:
            return
        self._noted[stem] = now
        path = self._directory / stem
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            path.touch()
        except OSError:  # read-only: then nothing is dropped here either
            return

    def last(self, stem: str) -> float:
        """When a track was used, in seconds since 1970; 0 if nobody knows."""
        try:
            return (self._directory / stem).stat().st_mtime
        except OSError:
            return 0.0

    def forget(self, stem: str) -> None:
        """A track is gone."""
        self._noted.pop(stem, None)
        durable.remove(self._directory / stem)


def too_many(rows: Iterable[tuple[TrackRow, float]], max_bytes: int) -> list[TrackRow]:
    """What has to go so that the others fit, what was used longest ago first.

    Args:
        rows: Tracks that can go, and when each was used.
    """
    found = sorted(rows, key=lambda one: one[1])
    n_bytes = sum(row.n_bytes for row, _ in found)
    gone = []
    for row, _ in found:
        if n_bytes <= max_bytes:
            break
        gone.append(row)
        n_bytes -= row.n_bytes
    return gone
