"""What reading a published snapshot in place costs: ``python benchmarks/in_place.py``.

An archive of many short sequences and one chromosome is published on a web server of this process
that counts. Each look-up is cold: a new process' memory and an empty cache on disk. The time is
that of loopback; on a network, multiply the requests by its round trip.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from inputs import SEED
from report import table

import seqarchive
from seqarchive.instances import Instance
from seqarchive.writing import initialise

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from servers import FileServer, serving

_CHROMOSOME = 50_000_000
_LENGTH = 60


def _write(path: Path, n_short: int) -> None:
    source = random.Random(SEED)
    to_letters = bytes.maketrans(bytes(range(256)), b"ACGT" * 64)
    with open(path, "wb") as file:
        for number in range(n_short):
            residues = source.randbytes(_LENGTH).translate(to_letters)
            file.write(b">S%07d.1\n%s\n" % (number, residues))
        file.write(b">chromosome\n%s\n" % source.randbytes(_CHROMOSOME).translate(to_letters))


class _Costs:
    """Requests, bytes and seconds of one kind of look-up."""

    def __init__(self, server: FileServer) -> None:
        self._server = server
        self._found: dict[str, list[tuple[int, int, float]]] = {}

    def measure(self, what: str, function: Callable[[], object]) -> None:
        """Call a function once."""
        self._server.reset()
        started = time.perf_counter()
        function()
        seconds = time.perf_counter() - started
        cost = (len(self._server.asked), self._server.n_bytes, seconds)
        self._found.setdefault(what, []).append(cost)

    def rows(self) -> list[list[str]]:
        """Medians, and the most requests and bytes that any took."""
        rows = []
        for what, costs in self._found.items():
            requests, n_bytes, seconds = zip(*costs, strict=True)
            rows.append(
                [
                    what,
                    f"{statistics.median(requests):g} (at most {max(requests)})",
                    f"{statistics.median(n_bytes) / 1e3:.0f} kB (at most {max(n_bytes) / 1e3:.0f})",
                    f"{statistics.median(seconds) * 1e3:.1f} ms",
                ]
            )
        return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sequences", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--rounds", type=int, default=20, help="cold look-ups of each kind [20]")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where the archive is made")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="seqarchive-in-place-", dir=given.work) as name:
        work = Path(name)
        _write(work / "input.fa", given.sequences)
        initialise(Instance(work / "root"))
        with seqarchive.connect(work / "root") as archive:
            archive.load(work / "input.fa", "t")
            archive.snapshot("r1")
        with serving(work / "root") as server:
            costs = _Costs(server)
            for number in range(given.rounds):
                source = random.Random(number)
                _one_round(costs, server.url, work / "cache", source, given.sequences)
        print(table(["look-up", "requests", "bytes", "time on loopback"], costs.rows()))


def _one_round(
    costs: _Costs, url: str, cache: Path, source: random.Random, n_short: int
) -> None:
    name = f"t:S{source.randrange(n_short):07}.1"
    start = source.randrange(_CHROMOSOME - 100)
    elsewhere = (start + 1_000_000) % (_CHROMOSOME - 100)
    with _cold(costs, "open a root", url, cache) as archive:
        costs.measure("60 bases, a sequence of a million", lambda: archive.fetch(name))
        costs.measure("the same again", lambda: archive.fetch(name))
        costs.measure("all its names", lambda: archive.translate(name))
    with _cold(costs, "open a snapshot", f"{url}/r1", cache) as archive:
        chromosome = "t:chromosome"
        costs.measure(
            "100 bases of a chromosome", lambda: archive.fetch(chromosome, start, start + 100)
        )
        costs.measure(
            "100 others of it", lambda: archive.fetch(chromosome, elsewhere, elsewhere + 100)
        )


def _cold(costs: _Costs, what: str, url: str, cache: Path) -> seqarchive.Archive:
    shutil.rmtree(cache, ignore_errors=True)
    os.environ["SEQARCHIVE_CACHE"] = str(cache)
    opened: list[seqarchive.Archive] = []
    costs.measure(what, lambda: opened.append(seqarchive.connect(url)))
    return opened[0]


if __name__ == "__main__":
    main()
