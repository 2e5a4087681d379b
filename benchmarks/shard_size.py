"""What the default size of a shard should be: ``python benchmarks/shard_size.py``.

One generated file is loaded with one shard size after another. Small shards are many files, and
a reader that keeps few of them open opens them again and again; large shards take long to open,
their indexes take memory, and all of a shard must be sent again when a byte of it is damaged.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import measure
from contestants import NAMESPACE
from inputs import READ, SEED, stream
from report import table

_MB = 1e6

SIZES = {
    "16 MiB": 16 << 20,
    "64 MiB": 64 << 20,
    "95 MB": 95_000_000,
    "256 MiB": 256 << 20,
    "1 GiB": 1 << 30,
}

#: Residues of each record.
_RECORD = 1_000_000

#: Reads in each shard after the one that opens it.
_READS = 50


@dataclass(frozen=True)
class Found:
    """What was measured with one size."""

    load: float
    """Seconds."""
    shard_bytes: float
    """Mean size of the shards that are full; 0 if none is."""
    gzi_bytes: float
    """Mean size of the block index of those."""
    open: float
    """Seconds to open one."""
    read: float
    """Seconds of a random read in one that is open."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--residues", type=float, default=1e9, metavar="N",
                        help="of the file that is loaded [1e9: shards up to 256 MiB get full]")
    parser.add_argument("--archive", type=float, default=50e9, metavar="BYTES",
                        help="of the archive that is extrapolated to [50e9]")
    parser.add_argument("--open", type=int, default=64, metavar="N", dest="n_open",
                        help="shards that a reader keeps open [64]")
    parser.add_argument("--rounds", type=int, default=5,
                        help="of opening the shards; the best counts [5]")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where archives are made")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="seqarchive-shards-", dir=given.work) as name:
        work = Path(name)
        fasta = work / "input.fa"
        with open(fasta, "wb") as file:
            file.writelines(stream("megabase", math.ceil(given.residues / _RECORD)))
        found = {}
        for title, size in SIZES.items():
            print(f"{title} ...", file=sys.stderr, flush=True)
            found[title] = _measured(work / "archive", fasta, size, given.rounds)
            shutil.rmtree(work / "archive")
    print(as_text(found, given.archive, given.n_open))


def _measured(root: Path, fasta: Path, size: int, rounds: int) -> Found:
    argv = [*measure.seqarchive_command(), "--root", str(root), "--json", "load", "-n", NAMESPACE]
    said = subprocess.run(
        [*argv, "--shard-size", str(size), str(fasta)], stdout=subprocess.PIPE, check=True
    )
    load = json.loads(said.stdout)["seconds"]
    full = [path for path in root.rglob("*.fa.bgz") if path.stat().st_size > 0.9 * size]
    if not full:
        return Found(load, 0, 0, 0, 0)
    chosen = random.Random(SEED)
    reads = root / "reads.json"
    reads.write_text(json.dumps([_reads(path, chosen) for path in full]))
    samples = [
        measure.work("seqarchive", "touch_shards", root=root, reads=reads) for _ in range(rounds)
    ]
    first = min(sample.steps["open"].each for sample in samples)
    read = min(sample.steps["read"].each for sample in samples)
    return Found(
        load,
        statistics.mean(path.stat().st_size for path in full),
        statistics.mean(Path(f"{path}.gzi").stat().st_size for path in full),
        first - read,
        read,
    )


def _reads(shard: Path, chosen: random.Random) -> list[tuple[str, int, int]]:
    lines = Path(f"{shard}.fai").read_text().splitlines()
    reads = []
    for _ in range(1 + _READS):
        digest, length = chosen.choice(lines).split("\t")[:2]
        start = chosen.randrange(int(length) - READ)
        reads.append((f"SQ.{digest}", start, start + READ))
    return reads


def as_text(found: dict[str, Found], archive: float, n_open: int) -> str:
    """The table, and how to read it. Sizes that no shard reached are extrapolated, with a ``~``."""
    full = [one for one in found.values() if one.shard_bytes]
    if len(full) < 2:
        raise SystemExit("too few shards got full: more --residues are needed")
    slope, base = statistics.linear_regression(
        [one.shard_bytes for one in full], [one.open for one in full]
    )
    gzi_share = statistics.mean(one.gzi_bytes / one.shard_bytes for one in full)
    read = statistics.median(one.read for one in full)
    lines = []
    for title, one in found.items():
        size = SIZES[title]
        about = "" if one.shard_bytes else "~"
        opening = one.open if one.shard_bytes else base + slope * size
        n_shards = math.ceil(archive / size)
        index = gzi_share * size
        kept = min(n_open, n_shards)
        mean_read = read + (1 - kept / n_shards) * opening
        lines.append([
            title,
            f"{3 * n_shards:,}",
            f"{3 * math.ceil(archive / 10 / size):,}",
            f"{size / _MB:,.0f} MB",
            f"{about}{opening * 1e3:.2f} ms",
            f"{index / _MB:.2f} MB",
            f"{kept * index / _MB:.0f} MB",
            f"{about}{mean_read * 1e3:.2f} ms",
            f"{one.load:.1f} s",
        ])
    head = [
        "shard size", "files", "of an update", "sent again", "to open", "its index",
        "indexes open", "random read", "load",
    ]
    return f"""\
{table(head, lines)}

files         of an archive of {archive / 1e9:g} GB, each shard with its two indexes
of an update  files that come with a batch of a tenth of that. A batch makes shards of its own and
              changes no others: a small one is 3 files, whatever the shard size
sent again    when a byte of a shard is damaged or a transfer breaks off
to open       read and check its block index, and a first block
indexes open  memory of a reader that has {n_open} shards open, or all if there are fewer
random read   in the whole of that archive with so many open ({read * 1e6:.0f} µs in an open shard)
load          of the file that was generated here
"""


if __name__ == "__main__":
    main()
