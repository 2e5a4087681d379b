"""Side by side with the peers: ``python benchmarks/run.py``. README.rst says what is measured."""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import inputs
import measure
import report
from contestants import GTARS, HASHING, NAMESPACE, OURS, PEERS, SEQREPO, Contestant
from inputs import FULL, QUICK, Dataset, Scale
from measure import Failed, Sample, StepTimes

_MB = 1e6


class Bench:
    """Inputs, contestants, and what was found out about them.

    Args:
        work: A directory for everything that is read and written. Nothing in it is deleted
            before the end: see README.rst.
        data: Where real files may be.
        rounds: How often; ``slow_rounds`` for those who are slow.
    """

    def __init__(self, work: Path, data: Path | None, scale: Scale, *, rounds: int) -> None:
        self.scale = scale
        self.rounds = rounds
        self.slow_rounds = max(1, rounds // 3)
        self.chr20 = inputs.chr20(data)
        self.missing: dict[str, str] = {}
        self.values: report.Values = {}
        self.runs: list[dict[str, Any]] = []
        self._work = work
        self._numbers = count(1)
        self._datasets: dict[str, Dataset] = {}
        self._roots: dict[tuple[str, str], Path] = {}
        for one in (OURS, *PEERS):
            why = one.missing()
            if why is not None:
                self.missing[one.title] = why
                say(f"without {one.title}: {why}")

    # --- inputs and stores ------------------------------------------------------------------

    def directory(self) -> Path:
        """A new directory, whose parent exists and which does not."""
        return self._work / f"{next(self._numbers):04d}"

    def dataset(self, name: str) -> Dataset:
        """A generated input, made when it is first asked for; or chr20."""
        if name not in self._datasets:
            directory = self.directory()
            directory.mkdir()
            if name == "chr20":
                assert self.chr20 is not None
                self._datasets[name] = Dataset(name, self.chr20, [], [])
            elif name == "big":
                self._datasets[name] = inputs.many_short(directory, self.scale.big)
            else:
                make = {"transcripts": inputs.transcripts, "chromosomes": inputs.chromosomes}
                self._datasets[name] = make[name](directory, self.scale)
        return self._datasets[name]

    def copy(self, fasta: Path) -> Path:
        """A copy in a directory of its own: gtars leaves a file beside it, and trusts that."""
        directory = self.directory()
        directory.mkdir()
        return Path(shutil.copy(fasta, directory))

    def created(self, contestant: Contestant) -> Path:
        """An empty archive."""
        root = self.directory()
        if contestant is not GTARS:  # has none
            self.work("create", contestant, "create", root=root)
        return root

    def root(self, contestant: Contestant, name: str) -> Path:
        """An archive into which an input was loaded once."""
        if (contestant.name, name) not in self._roots:
            root = self.created(contestant)
            operation = "index" if (contestant, name) == (GTARS, "big") else "load"
            fasta = self.copy(self.dataset(name).fasta)
            watch = operation == "load" and name == "big"
            sample = self.work(
                f"prepare {name}", contestant, operation, root=root, fasta=fasta, watch=watch
            )
            if watch:
                self.record("load big", contestant, sample.steps["load"].wall)
                self.record("memory big", contestant, sample.peak_tree / _MB)
            self.keep(contestant, name, root)
        return self._roots[contestant.name, name]

    def keep(self, contestant: Contestant, name: str, root: Path) -> None:
        """Remember an archive into which an input was loaded once, and how large it is."""
        if (contestant.name, name) not in self._roots:
            self._roots[contestant.name, name] = root
            apparent, allocated = measure.disk_usage(root)
            self.record(f"disk {name}", contestant, allocated / _MB)
            self.record(f"apparent {name}", contestant, apparent / _MB)

    # --- measuring --------------------------------------------------------------------------

    def turns(
        self, *contestants: Contestant, rounds: int | None = None
    ) -> Iterator[tuple[int, Contestant]]:
        """Rounds, in each of which every contestant has a turn and another one begins."""
        present = [one for one in contestants if one.title not in self.missing]
        for number in range(self.rounds if rounds is None else rounds):
            first = number % max(1, len(present))
            for one in present[first:] + present[:first]:
                if not one.is_slow or number < self.slow_rounds:
                    yield number, one

    def work(
        self, what: str, contestant: Contestant, operation: str, **arguments: Any
    ) -> Sample:
        """Have it done, and keep the numbers."""
        sample = measure.work(contestant.name, operation, **arguments)
        self.log(what, contestant, sample)
        return sample

    def log(self, what: str, contestant: Contestant, sample: Sample) -> None:
        """Keep the numbers of a run."""
        self.runs.append({"what": what, "contestant": contestant.name, **sample.as_dict()})
        say(f"  {what:<24} {contestant.title:<14} {sample.wall:8.2f} s")

    def record(self, row: str, contestant: Contestant, value: float) -> None:
        """Enter a value into the table."""
        self.values.setdefault(row, {}).setdefault(contestant.name, []).append(value)


def say(text: str) -> None:
    """What is going on, for those who wait."""
    print(text, file=sys.stderr, flush=True)


# --- the measurements -------------------------------------------------------------------------


def load(bench: Bench, name: str) -> None:
    """Into an archive that is there, and is empty."""
    fasta = bench.dataset(name).fasta
    for _, one in bench.turns(OURS, SEQREPO, GTARS):
        root = bench.created(one)
        sample = bench.work(f"load {name}", one, "load", root=root, fasta=bench.copy(fasta))
        bench.record(f"load {name}", one, sample.steps["load"].wall)
        bench.record(f"load {name} process", one, sample.wall)
        bench.record(f"load {name} cpu", one, sample.steps["load"].cpu)
        bench.keep(one, name, root)
        if one is OURS:
            what = f"load {name} created"
            new = bench.directory()
            sample = bench.work(what, one, "load", root=new, fasta=bench.copy(fasta))
            bench.record(what, one, sample.steps["load"].wall)


def load_chromosomes(bench: Bench) -> None:
    load(bench, "chromosomes")


def load_transcripts(bench: Bench) -> None:
    load(bench, "transcripts")


def load_chr20(bench: Bench) -> None:
    if bench.chr20 is None:
        say("no human chromosome 20 (say where with --data)")
        return
    load(bench, "chr20")


def again(bench: Bench) -> None:
    """Every sequence and every name is known."""
    for name in ("chromosomes", "transcripts"):
        fasta = bench.dataset(name).fasta
        for _, one in bench.turns(OURS, SEQREPO, GTARS, HASHING):
            root = bench.directory() if one is HASHING else bench.root(one, name)
            sample = bench.work(f"again {name}", one, "load", root=root, fasta=bench.copy(fasta))
            bench.record(f"again {name}", one, sample.steps["load"].wall)
            bench.record(f"again {name} cpu", one, sample.steps["load"].cpu)


def memory(bench: Bench) -> None:
    """The process and its children together, shared pages counted once."""
    for name in ("chromosomes", "transcripts"):
        fasta = bench.dataset(name).fasta
        for _, one in bench.turns(OURS, SEQREPO, GTARS, rounds=min(2, bench.rounds)):
            root = bench.created(one)
            sample = bench.work(
                f"memory {name}", one, "load", root=root, fasta=bench.copy(fasta), watch=True
            )
            bench.record(f"memory {name}", one, sample.peak_tree / _MB)
            bench.record(f"memory largest {name}", one, sample.peak_rss / _MB)
    for kind, n in (("short", bench.scale.short_records), ("long", bench.scale.long_record)):
        if n:
            _memory_of_pipe(bench, kind, n)


def _memory_of_pipe(bench: Bench, kind: str, n: int) -> None:
    argv = [sys.executable, str(measure.HERE / "inputs.py"), kind, str(n)]
    root = bench.created(OURS)
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as source:
        sample = bench.work(
            f"memory {kind}", OURS, "load", root=root, fasta="-", stdin=source.stdout, watch=True
        )
    bench.record(f"memory {kind}", OURS, sample.peak_tree / _MB)


def disk(bench: Bench) -> None:
    """Loaded once; what the disk has allocated."""
    for name in ("transcripts", "chromosomes", *(["chr20"] if bench.chr20 else [])):
        for _, one in bench.turns(OURS, SEQREPO, GTARS, rounds=1):
            bench.root(one, name)


def fetch(bench: Bench) -> None:
    """In a process that has just opened the archive, one by one, and then again."""
    for name, row in (("transcripts", "fetch"), ("chromosomes", "fetch chromosomes")):
        _fetch(bench, bench.dataset(name), row, "fetch", OURS, SEQREPO, GTARS)
    _fetch(bench, bench.dataset("transcripts"), "fetch tuned", "fetch_tuned", SEQREPO)


def _fetch(
    bench: Bench, data: Dataset, row: str, operation: str, *contestants: Contestant
) -> None:
    directory = bench.directory()
    directory.mkdir()
    for _, one in bench.turns(*contestants):
        # SeqRepo opens the shard for each read, and parses its indexes.
        limit = 300 if one is SEQREPO and operation == "fetch" else len(data.reads)
        reads = data.write_reads(directory, limit)
        root = bench.root(one, data.name)
        sample = bench.work(f"{row} {data.name}", one, operation, root=root, reads=reads)
        for name, step in sample.steps.items():
            _check(step, [read.expected for read in data.reads[:limit]], one)
            bench.record(f"{row} {name}", one, step.each * 1e6)
            bench.record(f"{row} {name} cpu", one, step.cpu / step.count * 1e6)


def _check(step: StepTimes, expected: Sequence[str], contestant: Contestant) -> None:
    if step.answer != hashlib.sha256("\n".join(expected).encode()).hexdigest():
        raise Failed(f"{contestant.title} returned wrong residues")


def open_big(bench: Bench) -> None:
    """Open an archive of very many sequences, and look one up."""
    data = bench.dataset("big")
    directory = bench.directory()
    directory.mkdir()
    reads = data.write_reads(directory, 1)
    for _, one in bench.turns(OURS, GTARS):
        root = bench.root(one, "big")
        sample = bench.work("open", one, "open_archive", root=root, reads=reads)
        opened, found = sample.steps["open"], sample.steps["fetch"]
        if one is OURS:
            _check(found, [data.reads[0].expected], one)
        bench.record("open time", one, opened.wall * 1e3)
        bench.record("open memory", one, (opened.rss_growth + found.rss_growth) / _MB)
        bench.record("open and fetch", one, (opened.wall + found.wall) * 1e3)


def add(bench: Bench) -> None:
    """One sequence, to very many and to none."""
    directory = bench.directory()
    directory.mkdir()
    for number, one in bench.turns(OURS, GTARS):
        for row in ("add empty", "add big"):
            root = bench.root(one, "big") if row == "add big" else bench.created(one)
            fasta = bench.copy(inputs.one_record(directory, number))
            sample = bench.work(row, one, "load", root=root, fasta=fasta)
            bench.record(row, one, sample.steps["load"].wall * 1e3)


def translate(bench: Bench) -> None:
    """Identifiers of transcripts, each once."""
    directory = bench.directory()
    directory.mkdir()
    identifiers = bench.dataset("transcripts").write_identifiers(directory)
    for _, one in bench.turns(OURS, SEQREPO):
        root = bench.root(one, "transcripts")
        sample = bench.work("translate", one, "translate", root=root, identifiers=identifiers)
        for name, step in sample.steps.items():
            bench.record(f"translate {name}", one, step.each * 1e6)


def get(bench: Bench) -> None:
    """One range, as a process from start to end."""
    data = bench.dataset("transcripts")
    for number, one in bench.turns(OURS, SEQREPO, GTARS, rounds=3 * bench.rounds):
        root = bench.root(one, data.name)
        if number == 0:
            argv = _get(one, root, data.reads[-1])  # compiles modules, once
            printed = subprocess.run(argv, stdout=subprocess.PIPE, check=True, text=True).stdout
            if printed.strip() != data.reads[-1].expected:
                raise Failed(f"{one.title} printed wrong residues")
        sample = measure.command(_get(one, root, data.reads[number]))
        bench.log("get", one, sample)
        bench.record("get", one, sample.wall * 1e3)
        if one is OURS:
            nothing = measure.command([sys.executable, "-c", ""])
            bench.record("get python", HASHING, nothing.wall * 1e3)


def _get(contestant: Contestant, root: Path, read: inputs.Read) -> list[str]:
    if contestant.get:
        arguments = [str(root), read.alias, read.digest, str(read.start), str(read.end)]
        return [sys.executable, "-c", contestant.get, *arguments]
    name = f"{NAMESPACE}:{read.alias}:{read.start}-{read.end}"
    return [*measure.seqarchive_command(), "--root", str(root), "get", name]


MEASUREMENTS: dict[str, Callable[[Bench], None]] = {
    "load-chromosomes": load_chromosomes,
    "load-transcripts": load_transcripts,
    "load-chr20": load_chr20,
    "disk": disk,
    "fetch": fetch,
    "translate": translate,
    "get": get,
    "again": again,
    "memory": memory,
    "open": open_big,
    "add": add,
}


# --- the program ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Options:
    quick: bool
    only: list[str]
    rounds: int
    data: Path | None
    out: Path
    work: Path | None
    keep: bool


def _options() -> _Options:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small inputs, two rounds")
    parser.add_argument("--only", metavar="NAME,...", help=f"of {', '.join(MEASUREMENTS)}")
    parser.add_argument("--rounds", type=int, help="how often [5]; SeqRepo a third of that")
    parser.add_argument(
        "--data", type=Path, metavar="DIR",
        help=f"where {inputs.CHR20} is, at any depth [$SEQARCHIVE_DATA]",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="results [benchmarks/results]")
    parser.add_argument("--work", type=Path, metavar="DIR",
                        help="archives are made here, on the disk that is measured [$TMPDIR]")
    parser.add_argument("--keep", action="store_true", help="leave them there")
    given = parser.parse_args()
    only = given.only.split(",") if given.only else list(MEASUREMENTS)
    unknown = set(only) - MEASUREMENTS.keys()
    if unknown:
        parser.error(f"no such measurement: {', '.join(sorted(unknown))}")
    data = given.data or (os.environ.get("SEQARCHIVE_DATA") or None)
    return _Options(
        quick=given.quick,
        only=only,
        rounds=given.rounds or (2 if given.quick else 5),
        data=Path(data) if data else None,
        out=given.out or measure.HERE / "results",
        work=given.work,
        keep=given.keep,
    )


def _environment() -> dict[str, Any]:
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "processor": processor,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "editable": _is_editable(),
    }


def _is_editable() -> bool:
    url = importlib.metadata.distribution("seqarchive").read_text("direct_url.json")
    return bool(json.loads(url or "{}").get("dir_info", {}).get("editable"))


def _others(elapsed: float, before: tuple[float, float], after: tuple[float, float]) -> float:
    """How many processors were busy with what is not ours."""
    busy, ours = (late - early for early, late in zip(before, after, strict=True))
    return max(0.0, (busy - ours) / elapsed)


def _inputs(scale: Scale) -> dict[str, str]:
    """What the titles of the table speak of."""
    return {
        "chromosomes": str(len(scale.chromosomes)),
        "chromosome_mb": f"{sum(scale.chromosomes) / _MB:g}",
        "transcripts": f"{scale.transcripts:,}",
        "transcript_mb": f"{scale.transcript_residues / _MB:g}",
        "big": f"{scale.big:,}",
        "short_mb": f"{scale.short_records / 1000:g}",
        "long_mb": f"{scale.long_record / _MB:g}",
    }


def main() -> int:
    options = _options()
    started, before = time.monotonic(), measure.busy_seconds()
    scale = QUICK if options.quick else FULL
    if options.work is not None:
        options.work.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="seqarchive-bench-", dir=options.work))
    bench = Bench(work, options.data, scale, rounds=options.rounds)
    if OURS.title in bench.missing:
        return 1
    failures = 0
    for name, measurement in MEASUREMENTS.items():
        if name in options.only:
            say(f"{name}:")
            try:
                measurement(bench)
            except Failed as error:
                say(f"{name} failed: {error}")
                failures += 1
    environment = _environment()
    environment["others"] = _others(time.monotonic() - started, before, measure.busy_seconds())
    results = {
        "quick": options.quick,
        "rounds": options.rounds,
        "environment": environment,
        "versions": {one.name: one.version for one in (OURS, *PEERS)},
        "missing": bench.missing,
        "inputs": _inputs(scale),
        "values": bench.values,
        "runs": bench.runs,
    }
    print(report.write(results, options.out))
    if options.keep:
        say(f"everything is still in {work}")
    else:
        shutil.rmtree(work)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
