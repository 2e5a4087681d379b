"""What more workers of a Dask cluster bring: ``python benchmarks/cluster.py``.

Eight files are loaded with one worker, with two, and without any, in turns; each worker is a
process with one thread. Then, without a cluster, the processor time of what a worker does beside
that of what the committer does with it: how many workers one committer can keep at work, on
machines that have more cores than this one, or fewer other users.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import measure
from contestants import NAMESPACE
from inputs import FULL, chromosomes, transcripts
from report import table

from seqarchive import loading
from seqarchive.batches import Batch
from seqarchive.cluster.jobs import Job, Request
from seqarchive.cluster.parts import frames
from seqarchive.cluster.replaying import Replayer
from seqarchive.cluster.tasks import made_part
from seqarchive.deflines import Naming
from seqarchive.instances import Instance
from seqarchive.load_options import LoadOptions
from seqarchive.pipeline import Pipeline
from seqarchive.version import __version__
from seqarchive.writing import initialise

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Run:
    """One load."""

    wall: float
    """Seconds of the process, with the start of Python and all imports."""
    load: float
    """Seconds of the load in it, less the connection to the scheduler."""
    committer: float
    """Seconds of processors that this process took."""
    workers: float
    """Seconds of processors that the workers of the cluster took."""


@dataclass(frozen=True)
class Cluster:
    """A scheduler and its workers."""

    address: str
    pids: tuple[int, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3,
                        help="the median counts; 0: processor time alone [3]")
    parser.add_argument("--megabases", type=int, default=30, help="of each of eight files [30]")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where archives are made")
    given = parser.parse_args()
    if given.rounds:
        _compare(given)
    print(_processor_times(given.work, given.megabases * 1_000_000))


def _compare(given: argparse.Namespace) -> None:
    with ExitStack() as up:
        directory = tempfile.TemporaryDirectory(prefix="seqarchive-", dir=given.work)
        work = Path(up.enter_context(directory))
        ways = {
            "no cluster": None,
            "1 worker": up.enter_context(_cluster(work / "one", 1)),
            "2 workers": up.enter_context(_cluster(work / "two", 2)),
        }
        for title, make in _INPUTS.items():
            files = [make(work, n, given.megabases * 1_000_000) for n in range(8)]
            found: dict[str, list[Run]] = {way: [] for way in ways}
            for cluster in ways.values():  # workers import what they need once in their life
                _run(work / "archive", files[:2], cluster)
            for number in range(given.rounds):
                for way in _turned(list(ways), number):
                    found[way].append(_run(work / "archive", files, ways[way]))
            print(f"{title}\n\n{as_text(found)}", flush=True)
            for file in files:
                file.unlink()


def _turned(ways: list[str], number: int) -> list[str]:
    return ways[number % len(ways) :] + ways[: number % len(ways)]


def as_text(found: dict[str, list[Run]]) -> str:
    """Medians, and what each way takes of the time of one worker."""
    one = statistics.median(run.load for run in found["1 worker"])
    lines = []
    for way, runs in found.items():
        load = statistics.median(run.load for run in runs)
        lines.append(
            [
                way,
                f"{statistics.median(run.wall for run in runs):.2f}",
                f"{load:.2f}",
                f"{one / load:.2f}",
                f"{statistics.median(run.committer for run in runs):.2f}",
                f"{statistics.median(run.workers for run in runs):.2f}",
            ]
        )
    head = ["with", "process (s)", "load (s)", "times as fast", "committer (CPU s)"]
    return table([*head, "workers (CPU s)"], lines)


def _processor_times(place: Path | None, n_residues: int) -> str:
    lines = []
    for title, make in _INPUTS.items():
        with tempfile.TemporaryDirectory(prefix="seqarchive-", dir=place) as name:
            work = Path(name)
            worker, committer, n_bytes = _parts(work, [make(work, n, n_residues) for n in range(2)])
        megabases = 2 * n_residues / 1e8
        line = (worker / megabases, committer / megabases, worker / committer)
        lines.append([title, *(f"{v:.2f}" for v in line), f"{n_bytes / 2 / n_residues:.2f}"])
    head = ["CPU s of 100 Mb", "worker", "committer", "ratio", "part, bytes of a residue"]
    return table(head, lines)


def _parts(work: Path, files: Sequence[Path]) -> tuple[float, float, int]:
    """Processor seconds of making the parts of files and of loading these, and their bytes."""
    directory = work / "parts"
    directory.mkdir()
    worker, n_bytes = 0.0, 0

    def send(pipeline: Pipeline, _batch: Batch) -> None:
        nonlocal worker, n_bytes
        assert pipeline.packer is not None
        job = Job(pipeline.task, skip_errors=False).write(directory / "job")
        for n, path in enumerate(files):
            size, name = path.stat().st_size, str(path)
            request = Request(__version__, str(directory), job, n, name, name, size, ())
            started = time.process_time()
            answer = made_part(request.plain(), "this", lambda *_: None)
            worker += time.process_time() - started
            n_bytes += answer.seal.n_bytes
            replayer = Replayer(pipeline.task, pipeline.storer, pipeline.packer, name)
            replayer.replay(frames(directory / str(answer.part), answer.seal))

    instance = Instance(work / "archive")
    initialise(instance)
    started = time.process_time()
    loading.change(instance, "load", send, LoadOptions(Naming(NAMESPACE)), threads=0)
    return worker, time.process_time() - started - worker, n_bytes


# --- inputs -----------------------------------------------------------------------------------


def _chromosome(work: Path, number: int, n_residues: int) -> Path:
    """One record, which is another one for each number because it begins elsewhere."""
    whole = work / "chromosomes.fa"
    if not whole.exists():
        chromosomes(work, replace(FULL, chromosomes=(n_residues + 8000,), reads=1))
    with open(whole, "rb") as file:
        file.readline()
        file.seek(number * 610, os.SEEK_CUR)
        text = file.read(n_residues // 60 * 61)
    path = work / f"chr{number}.fa"
    path.write_bytes(b">chr%d\n" % number + text)
    return path


def _packed(work: Path, number: int, n_residues: int) -> Path:
    plain = _chromosome(work, number, n_residues)
    path = plain.with_suffix(".fa.gz")
    with open(plain, "rb") as file, gzip.open(path, "wb", 1) as packed:
        shutil.copyfileobj(file, packed, 1 << 20)
    plain.unlink()
    return path


def _transcripts(work: Path, number: int, n_residues: int) -> Path:
    """Other residues for each number: those of one file with the letters exchanged, or turned."""
    whole = work / "transcripts.fa"
    if not whole.exists():
        scale = replace(FULL, transcripts=n_residues // 2500, transcript_residues=n_residues)
        transcripts(work, replace(scale, reads=1))
    tables = (b"ACGT", b"CGTA", b"GTAC", b"TACG", b"AGCT", b"GCTA", b"CTAG", b"TAGC")
    exchanged = bytes.maketrans(b"ACGT", tables[number])
    path = work / f"transcripts{number}.fa"
    with open(whole, "rb") as file, open(path, "wb") as out:
        for line in file:
            is_head = line.startswith(b">")
            out.write(b">%d_%s" % (number, line[1:]) if is_head else line.translate(exchanged))
    return path


_INPUTS: dict[str, Callable[[Path, int, int], Path]] = {
    "8 chromosomes": _chromosome,
    "8 chromosomes, gzip": _packed,
    "8 files of transcripts": _transcripts,
}


# --- processes --------------------------------------------------------------------------------


def _run(root: Path, files: Sequence[Path], cluster: Cluster | None) -> Run:
    command = [*measure.seqarchive_command(), "--root", str(root)]
    subprocess.run([*command, "init"], stdout=subprocess.DEVNULL, check=True)
    load = [*command, "--json", "load", "-n", NAMESPACE, *map(str, files)]
    load += ["--scheduler", cluster.address] if cluster is not None else []
    pids = () if cluster is None else cluster.pids
    before = [_seconds(pid) for pid in pids]
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    said = subprocess.run(load, stdout=subprocess.PIPE, check=True)
    wall = time.monotonic() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    workers = sum(_seconds(pid) for pid in pids) - sum(before)
    shutil.rmtree(root)
    committer = used.ru_utime + used.ru_stime - own.ru_utime - own.ru_stime
    return Run(wall, json.loads(said.stdout)["seconds"], committer, workers)


def _seconds(pid: int) -> float:
    """Processor seconds that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@contextmanager
def _cluster(directory: Path, n_workers: int) -> Iterator[Cluster]:
    directory.mkdir()
    file = directory / "scheduler.json"
    programs = [["dask_scheduler", "--host", "127.0.0.1", "--port", "0"]]
    programs += [["dask_worker", "--nthreads", "1", "--no-nanny"]] * n_workers
    with ExitStack() as stack:
        pids = []
        for number, (program, *options) in enumerate(programs):
            command = [sys.executable, "-m", f"distributed.cli.{program}", *options]
            with open(directory / f"{number}.log", "wb") as log:
                process = subprocess.Popen(
                    [*command, "--no-dashboard", "--scheduler-file", str(file)],
                    stdout=log,
                    stderr=log,
                    cwd=directory,
                    env={**os.environ, "PYTHONPATH": str(measure.HERE.parent)},
                )
            stack.callback(process.wait)
            stack.callback(process.kill)
            pids.append(process.pid)
            said = "Scheduler at" if not number else "Registered to"
            while said not in (directory / f"{number}.log").read_text():
                if process.poll() is not None:
                    raise measure.Failed(f"{program} ended; see its log")
                time.sleep(0.05)
        yield Cluster(json.loads(file.read_text())["address"], tuple(pids[1:]))


if __name__ == "__main__":
    main()
