"""Tracks: what operations cost, and what their results cost when they are there already.

``python benchmarks/tracks.py GENOME.fa``; medians of some rounds, in which the contestants take
turns. Beside us: the same GC windows in plain numpy over residues that are in memory, pysam on the
same tabix-indexed file, and pyBigWig on the same bigWig.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyBigWig
import pysam
from report import table

import seqarchive
from seqarchive.genomes import LocalMode
from seqarchive.tracks import ArchivedTrackStore, Intervals, IntervalTrack

_INTERVALS, _REGIONS, _WIDTH = 1_000_000, 1_000, 10_000


def _median(rounds: int, *contestants: Callable[[], object]) -> list[float]:
    """Median seconds of each; they take turns."""
    seconds: list[list[float]] = [[] for _ in contestants]
    for _ in range(rounds):
        for times, work in zip(seconds, contestants, strict=True):
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
    return [statistics.median(times) for times in seconds]


def _numpy_gc(residues: bytes) -> object:
    """GC in windows of 1,000, by whoever writes it in two lines."""
    letters = np.frombuffer(residues, np.uint8)
    known = np.isin(letters, np.frombuffer(b"ACGT", np.uint8))
    is_gc = np.isin(letters, np.frombuffer(b"CG", np.uint8))
    starts = np.arange(0, len(letters), 1000)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.add.reduceat(is_gc, starts) / np.add.reduceat(known, starts)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("genome", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args(arguments)
    rows: list[tuple[str, float, float | None, str]] = []
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "archive"
        LocalMode(root).init(chosen.genome, ["it"])
        with seqarchive.connect(root) as archive:
            store = ArchivedTrackStore(archive, genome="it")
            reference = store.reference("it")
            chrom, length = max(reference.chrom_lengths.items(), key=lambda one: one[1])
            residues = reference.residues(chrom)
            turn = iter(range(1000))

            def computed() -> object:
                params = {"window": 1000 + next(turn)}  # another one each time
                return store.compute("genome.gc", {"genome": "it"}, params)

            ours, plain = _median(chosen.rounds, computed, lambda: _numpy_gc(residues))
            rows.append(("GC in 1 kb windows, archived", ours, plain, "numpy, in memory"))
            known = {"window": 1000}
            store.compute("genome.gc", {"genome": "it"}, known)
            (again,) = _median(
                chosen.rounds, lambda: store.compute("genome.gc", {"genome": "it"}, known)
            )
            rows.append(("the same, there already", again, ours, "computed"))
            rng = np.random.default_rng(1)
            starts = rng.integers(0, length - 500, _INTERVALS)
            many = IntervalTrack.of(
                "many", {chrom: Intervals.of(starts, starts + 500, rng.random(_INTERVALS))}
            )
            started = time.perf_counter()
            id = store.put(many)
            rows.append((f"put {_INTERVALS:,} intervals", time.perf_counter() - started, None, ""))
            places = [random.randrange(length - _WIDTH) for _ in range(_REGIONS)]
            file = pysam.TabixFile(str(store.file(id)))

            def regions() -> int:
                found = store.get(id)
                assert found is not None
                return sum(
                    1 for at in places for _ in found.track.regions(chrom, at, at + _WIDTH)
                )

            def theirs() -> int:
                parsed = (
                    file.fetch(chrom, at, at + _WIDTH, parser=pysam.asBed()) for at in places
                )
                return sum(one.end > 0 for some in parsed for one in some)

            assert regions() == theirs()
            ours, other = _median(chosen.rounds, regions, theirs)
            rows.append((f"{_REGIONS:,} regions of 10 kb of them", ours, other, "pysam"))
            gc = store.compute("genome.gc", {"genome": "it"}, known)
            with pyBigWig.open(str(store.file(gc.id))) as wig:
                ours, other = _median(
                    chosen.rounds,
                    lambda: [gc.track.signal_at(chrom, at, at + _WIDTH) for at in places],
                    lambda: [wig.stats(chrom, at, at + _WIDTH, exact=True) for at in places],
                )
            rows.append((f"{_REGIONS:,} means over 10 kb of a signal", ours, other, "pyBigWig"))
    print(
        table(
            ["work", "seconds", "beside", "ratio"],
            [
                [
                    work,
                    f"{seconds:.4f}",
                    "" if other is None else f"{other:.4f} ({what})",
                    "" if other is None else f"{seconds / other:.2f}",
                ]
                for work, seconds, other, what in rows
            ],
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
