"""What RefgetStores cost, beside gtars: ``python benchmarks/rgstore.py``.

Each measurement is a process of its own, the contestants take turns, and every store is written
into a fresh directory. Import by gtars and export by seqarchive both end with a store of the same
FASTA; seqarchive reads its archive for that, and hashes what it reads.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from inputs import FULL, QUICK, SEED, Dataset, chromosomes, transcripts
from report import table

import seqarchive

_TESTS = Path(__file__).parent.parent / "tests"

#: Random ranges of a look-up that is timed over a network.
_REMOTE = 200

_GTARS_IMPORT = """
import sys
from gtars.refget import RefgetStore
store = RefgetStore.on_disk(sys.argv[2])
store.set_quiet(True)
store.add_sequence_collection_from_fasta(sys.argv[1])
"""

_GTARS_READ = """
import json, sys, time
from gtars.refget import RefgetStore
reads = json.load(open(sys.argv[2]))
started = time.perf_counter()
store = RefgetStore.open_local(sys.argv[1])
opened = time.perf_counter() - started
started = time.perf_counter()
found = [store.get_substring(digest, start, end) for _, digest, start, end in reads]
print(opened, time.perf_counter() - started)
"""

_OUR_READ = """
import json, sys, time
import seqarchive
from seqarchive.rgstore.reading import RefgetStore
reads = json.load(open(sys.argv[2]))
started = time.perf_counter()
store = RefgetStore(sys.argv[1])
opened = time.perf_counter() - started
started = time.perf_counter()
found = [store.get_substring(digest, start, end) for _, digest, start, end in reads]
print(opened, time.perf_counter() - started)
"""

_GTARS_REMOTE = """
import json, sys, time
from gtars.refget import RefgetStore
reads = json.load(open(sys.argv[2]))
store = RefgetStore.open_remote(sys.argv[3], sys.argv[1])
started = time.perf_counter()
found = [store.get_substring(digest, start, end) for _, digest, start, end in reads]
cold = time.perf_counter() - started
started = time.perf_counter()
found = [store.get_substring(digest, start, end) for _, digest, start, end in reads]
print(cold, time.perf_counter() - started)
"""

_OUR_REMOTE = """
import json, os, sys, time
os.environ["SEQARCHIVE_CACHE"] = sys.argv[3]
from seqarchive.rgstore.reading import RefgetStore
reads = json.load(open(sys.argv[2]))
store = RefgetStore(sys.argv[1])
started = time.perf_counter()
found = [store.get_substring(digest, start, end) for _, digest, start, end in reads]
cold = time.perf_counter() - started
started = time.perf_counter()
found = [store.get_substring(digest, start, end) for _, digest, start, end in reads]
print(cold, time.perf_counter() - started)
"""

#: gtars stops a process that serves and reads at once: the server needs one of its own.
_SERVER = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from servers import serving
with serving(Path(sys.argv[1])) as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""

_OPEN = """
import resource, sys, time
started = time.perf_counter()
if sys.argv[2] == "gtars":
    from gtars.refget import RefgetStore
    store = RefgetStore.open_local(sys.argv[1])
    started = time.perf_counter()
    store = RefgetStore.open_local(sys.argv[1])
    store.get_sequence_metadata(sys.argv[3])
else:
    from seqarchive.rgstore.reading import RefgetStore
    started = time.perf_counter()
    store = RefgetStore(sys.argv[1])
    store.metadata(sys.argv[3])
seconds = time.perf_counter() - started
own = sum(
    int(line.split()[1])
    for line in open("/proc/self/status")
    if line.startswith(("RssAnon", "VmSwap"))
)
print(seconds, own / 1000)
"""


class _Costs(NamedTuple):
    """What was measured, in seconds (or MB) by contestant."""

    values: dict[str, dict[str, list[float]]]

    def add(self, what: str, who: str, value: float) -> None:
        """One more value."""
        self.values.setdefault(what, {}).setdefault(who, []).append(value)

    def rows(self) -> list[list[str]]:
        """Medians and ratios."""
        found = []
        for what, by_whom in self.values.items():
            ours, theirs = (
                statistics.median(by_whom[who]) if who in by_whom else None
                for who in ("seqarchive", "gtars")
            )
            ratio = f"{ours / theirs:.2f}" if ours is not None and theirs else ""
            cells = [f"{one:.4g}" if one is not None else "" for one in (ours, theirs)]
            found.append([what, *cells, ratio])
        return found


def _seconds(*command: str) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _numbers(script: str, *arguments: str) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], check=True, capture_output=True, text=True
    )
    first, second = done.stdout.split()
    return float(first), float(second)


def _ours(root: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "seqarchive", "--quiet", "--root", str(root), *arguments]


def _stores(dataset: Dataset, work: Path, rounds: int, costs: _Costs) -> Path:
    """Write stores in turns. Returns one of gtars."""
    archive = work / f"{dataset.name}-archive"
    subprocess.run(
        _ours(archive, "load", "-n", "t", str(dataset.fasta)), check=True, stdout=subprocess.DEVNULL
    )
    store = work
    for number in range(rounds):
        fresh = work / f"{dataset.name}-{number}"
        fresh.mkdir()
        copied = fresh / "in.fa"  # gtars leaves a sidecar beside what it reads, and believes it
        shutil.copy(dataset.fasta, copied)
        store = fresh / "gtars"
        what = f"{dataset.name}: a store, Encoded"
        seconds = _seconds(sys.executable, "-c", _GTARS_IMPORT, str(copied), str(store))
        costs.add(what, "gtars", seconds)
        out = str(fresh / "ours")
        costs.add(what, "seqarchive", _seconds(*_ours(archive, "export-rgstore", out)))
        costs.add(
            f"{dataset.name}: import-rgstore",
            "seqarchive",
            _seconds(*_ours(fresh / "archive", "import-rgstore", str(store))),
        )
    return store


def _reads(dataset: Dataset, store: Path, work: Path, rounds: int, costs: _Costs) -> None:
    reads = str(dataset.write_reads(work, len(dataset.reads)))
    few = str(dataset.write_reads(work, _REMOTE))
    n_reads = len(dataset.reads)
    for number in range(rounds):
        for who, script in (("gtars", _GTARS_READ), ("seqarchive", _OUR_READ)):
            opened, seconds = _numbers(script, str(store), reads)
            costs.add(f"{dataset.name}: open", who, opened)
            costs.add(f"{dataset.name}: {n_reads:,} random ranges", who, seconds)
        server = subprocess.Popen(
            [sys.executable, "-c", _SERVER, str(store), str(_TESTS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        for who, script in (("gtars", _GTARS_REMOTE), ("seqarchive", _OUR_REMOTE)):
            cache = work / f"cache-{dataset.name}-{who}-{number}"
            cold, warm = _numbers(script, url, few, str(cache))
            costs.add(f"{dataset.name}: {_REMOTE} ranges over HTTP, cold", who, cold)
            costs.add(f"{dataset.name}: the same again", who, warm)
        server.communicate()


def _large(directory: Path, n_rows: int) -> str:
    """A store with an index and nothing else. Returns a digest that is in it."""
    rows = []
    for number in range(n_rows):
        raw = hashlib.sha512(b"%d" % number).digest()
        digest = base64.urlsafe_b64encode(raw[:24]).decode()
        md5 = hashlib.md5(raw).hexdigest()
        rows.append((digest, f"XM_{number:08d}.1\t1555\tdna2bit\t{digest}\t{md5}\ttranscript\n"))
    rows.sort()
    header = "#name\tlength\talphabet\tsha512t24u\tmd5\tdescription\n"
    data = "".join([header, *(row for _, row in rows)]).encode()
    directory.mkdir()
    (directory / "sequences.rgsi").write_bytes(data)
    (directory / "collections.rgci").write_text("#digest\tn_sequences\n")
    manifest = {
        "version": 1,
        "seqdata_path_template": "sequences/%s2/%s.seq",
        "collections_path_template": "collections/%s.rgsi",
        "sequence_index": "sequences.rgsi",
        "collection_index": "collections.rgci",
        "mode": "Encoded",
        "created_at": "2024-06-01T00:00:00+00:00",
        "sequences_digest": hashlib.sha256(data).hexdigest(),
    }
    (directory / "rgstore.json").write_text(json.dumps(manifest))
    return rows[n_rows // 3][0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path, help="where stores are written [$TMPDIR]")
    arguments = parser.parse_args()
    scale = QUICK if arguments.quick else FULL
    costs = _Costs({})
    with tempfile.TemporaryDirectory(dir=arguments.work) as name:
        work = Path(name)
        for dataset in (transcripts(work, scale), chromosomes(work, scale)):
            store = _stores(dataset, work, arguments.rounds, costs)
            _reads(dataset, store, work, arguments.rounds, costs)
        digest = _large(work / "large", scale.big)
        for _ in range(arguments.rounds):
            for who in ("gtars", "seqarchive"):
                seconds, megabytes = _numbers(_OPEN, str(work / "large"), who, digest)
                costs.add(f"{scale.big:,} rows: open and look up one", who, seconds)
                costs.add(f"{scale.big:,} rows: memory of its own (MB)", who, megabytes)
    print(f"seqarchive {seqarchive.__version__}, seed {SEED}, {arguments.rounds} rounds\n")
    print(table(["seconds", "seqarchive", "gtars", "ratio"], costs.rows()))


if __name__ == "__main__":
    main()
