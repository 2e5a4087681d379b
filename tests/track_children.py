"""Processes that tests of tracks start: ``python tests/track_children.py TASK ARGUMENTS``."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import seqarchive
from seqarchive.tracks import (
    ArchivedTrackStore,
    Intervals,
    IntervalTrack,
    Provenance,
    Region,
    TrackLabel,
)

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))

#: What all of them ask for.
HOW = Provenance("slow", ("g",), (("n", 1),), version="1")


def slow_track() -> IntervalTrack:
    """What comes of it."""
    return IntervalTrack(TrackLabel("slow"), [Region("1", 2, 5, "+", 1.5, "x")])


def ask(root: str, moment: str, directory: str, n_threads: str) -> None:
    """Ask for a computation at a moment that is the same for all; says the ids that came.

    Each time that it is computed leaves a file in the directory.
    """
    barrier = threading.Barrier(int(n_threads))

    def compute() -> IntervalTrack:
        Path(directory, f"{os.getpid()}.{time.monotonic_ns()}").touch()
        time.sleep(0.3)
        return slow_track()

    with seqarchive.connect(root) as archive:
        store = ArchivedTrackStore(archive)

        def asked(_n: int) -> str:
            barrier.wait(30)
            while time.time() < float(moment):
                time.sleep(0.001)
            return store.get_or_compute(HOW, compute, genome="g").id

        with ThreadPoolExecutor(int(n_threads)) as pool:
            print("\n".join(pool.map(asked, range(int(n_threads)))))


def stall(root: str, directory: str) -> None:
    """Begin to compute, say so, and never end."""

    def compute() -> IntervalTrack:
        Path(directory, "computing").touch()
        time.sleep(600)
        return slow_track()

    with seqarchive.connect(root) as archive:
        ArchivedTrackStore(archive).get_or_compute(HOW, compute, genome="g")


def put(root: str) -> None:
    """Put a track of some blocks, and one that is computed from it, into an archive."""
    n = np.arange(3000)
    track = IntervalTrack.of("many", {"1": Intervals.of(n, n + 7, n / 3)})
    with seqarchive.connect(root) as archive:
        store = ArchivedTrackStore(archive, wait=5)
        id = store.put(track, genome="g", name="many")
        store.get_or_compute(Provenance("first", (id,), ()), slow_track)


TASKS: dict[str, Callable[..., None]] = {"ask": ask, "stall": stall, "put": put}

if __name__ == "__main__":
    TASKS[sys.argv[1]](*sys.argv[2:])
