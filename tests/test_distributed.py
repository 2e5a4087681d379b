"""Loading with the workers of a Dask scheduler gives what loading here gives, byte for byte,
whoever dies on the way; and whatever goes wrong is one line, and leaves nothing.

The cluster is real: a scheduler and workers, each a process.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from clusters import Cluster, Loader, command
from conftest import Result
from contents import contents, database, random_residues, run, untidy, verified
from helpers import fasta, shards, tree, wait_until, write_fasta
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from servers import reserved_port, wait_until_listening

from seqarchive import BadInput, SeqArchiveError, SourceError, loading
from seqarchive.batches import Batch
from seqarchive.bgzf import Compression
from seqarchive.cluster.jobs import Answer, Job, Request
from seqarchive.cluster.parts import PartWriter, frames
from seqarchive.cluster.replaying import Replayer
from seqarchive.cluster.tasks import Unfit, made_part
from seqarchive.deflines import Naming
from seqarchive.groups import GroupTask
from seqarchive.identifiers import Alias
from seqarchive.inputs import label_of
from seqarchive.instances import Instance
from seqarchive.load_options import LoadOptions
from seqarchive.new_aliases import OnConflict
from seqarchive.pipeline import Pipeline
from seqarchive.records import read_records
from seqarchive.version import __version__

MIB = 1 << 20

ALL = bool(os.environ.get("SEQARCHIVE_ALL_FAULTS"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler with two workers."""
    found = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        found.start()
        found.add_worker()
        found.add_worker()
        found.wait_for_workers()
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working directory of who loads."""
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module")
def loader(place: Path) -> Iterator[Loader]:
    """Who loads."""
    found = Loader(place)
    yield found
    found.stop()


def rows(root: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables, without what says when or where."""
    found = {}
    with closing(sqlite3.connect(database(root))) as connection:
        connection.row_factory = sqlite3.Row
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in tables.fetchall():
            if not table.startswith("_"):
                some = connection.execute(f"SELECT * FROM {table}")
                found[table] = [tuple(_timeless(dict(row)).items()) for row in some]
    return found


def _timeless(row: dict[str, Any]) -> dict[str, Any]:
    for column in ("created", "token", "path"):
        row.pop(column, None)
    if "report" in row:
        row["report"] = {**json.loads(row["report"]), "seconds": 0}
        row["report"] = json.dumps(row["report"])
    if row.get("key") == "archive_id":
        row["value"] = ""
    return row


def assert_same(one: Path, other: Path) -> None:
    """That two archives were made of the same."""
    ours, theirs = rows(one), rows(other)
    assert ours.keys() == theirs.keys()
    for table, found in ours.items():
        assert found == theirs[table], table
    for suffix in ("", ".fai", ".gzi"):
        files = [[Path(f"{path}{suffix}").read_bytes() for path in shards(r)] for r in (one, other)]
        assert files[0] == files[1]
    assert not untidy(one)
    assert not verified(one).findings


def load_both(
    loader: Loader, cluster: Cluster, tmp_path: Path, *arguments: str | Path
) -> tuple[Result, Result]:
    """Load into two archives, with workers and without."""
    words = ("load", "-n", "t", *arguments)
    there = loader("--root", tmp_path / "there", *words, "--scheduler", cluster.address)
    here = loader("--root", tmp_path / "here", *words)
    return there, here


def mixed_files(directory: Path) -> list[Path]:
    """Generated files: duplicates within and among them, long, empty and bad records, and so on."""
    shared = {f"s{n}": random_residues(n, 50 + 37 * n) for n in range(300)}
    long = random_residues("long", MIB // 2 + 17) * 6
    half = dict(list(shared.items())[::2])
    files = {
        "plain.fa": fasta(shared, 70),
        "half_known.fa": fasta(
            {**half, **{f"n{n}": random_residues(-n, 900) for n in range(1, 90)}}
        ),
        "long.fa": f">l1 one\n{long}\n>e1\n>l2 two\n{long[::-1]}\n>l3 again\n{long}\n",
        "long_known.fa": fasta(
            [("k", long), ("m", random_residues("m", 20_000)), ("s3", shared["s3"])]
        ),
        "all_known.fa": fasta([(f"other{n}", r) for n, (_, r) in enumerate(shared.items())], 50),
        "twins.fa": fasta([("t1", "ACGT" * 9), ("t2", "ACGT" * 9), ("e2", ""), ("t3", "acgtnnNN")]),
        "bad.fa": ">ok1\nGATTACA\n>bad\nAC1T\n>lcl|\nGATTACAA\n>ok2\nGATTACAA\n"
        f">lb\n{long[:-9]}?\n>ok3\nTT\n",
        "no.fa": "@read\nACGT\n+\nIIII\n",
        "\udcff.fa": ">odd name\nACCA\n",
    }
    paths = []
    for name, text in files.items():
        path = directory / name
        path.write_text(text, encoding="utf-8", newline="\n")
        paths.append(path)
    paths.append(directory / "plain.fa")  # once more
    packed = directory / "packed.fa.gz"
    packed.write_bytes(gzip.compress(fasta({"z": random_residues("z", 70_000)}).encode()))
    return [*paths, packed]


def test_real_files_come_out_as_they_do_here(
    loader: Loader, cluster: Cluster, data: Path, tmp_path: Path
) -> None:
    names = (
        "nucl/hg18_chrM_chr20first1M_softmasked.fasta",
        "nucl/sarscov2_40_genomes_iupac.fasta.gz",
        "gb_embl/sarscov2_MN908947.gb",
        "gb_embl/emboss_inv.embl",
        "gb_embl/human_mito_rCRS_NC_012920.1.gbff",
        "transcripts/human_genes_20.bgzf.fasta.gz",
        "transcripts/human_ENST_14.fasta.gz",
    )
    options = ("--keep-mask", "--circular", "chrM", "--on-conflict", "keep")
    there, here = load_both(loader, cluster, tmp_path, *options, *(data / name for name in names))
    assert (there.code, here.code) == (0, 0), there.err + here.err
    assert there.err == here.err
    assert_same(tmp_path / "there", tmp_path / "here")


def test_mixed_files_come_out_as_they_do_here_also_the_second_time(
    loader: Loader, cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "files").mkdir()
    files = mixed_files(tmp_path / "files")
    options = ("--on-error", "skip", "--shard-size", "1M", "--on-conflict", "replace")
    there, here = load_both(loader, cluster, tmp_path, *options, *files)
    assert (there.code, here.code) == (0, 0), there.err + here.err
    assert there.err == here.err
    assert here.err.count("skipped") >= 4
    assert len(shards(tmp_path / "here")) > 1
    assert_same(tmp_path / "there", tmp_path / "here")

    more = write_fasta(
        tmp_path / "files" / "more.fa", {"s3": "ACGTAC", "new": random_residues(7, 99)}
    )
    # Known files, one that is known but must be read again for its lower case, and a dry run.
    again: tuple[str | Path, ...] = ("--keep-mask", *options, *files[:6], more)
    for last in (
        (*again, "--dry-run", "--json"),
        again,
        ("--compression", "small", files[2], more),
    ):
        there, here = load_both(loader, cluster, tmp_path, *last)
        assert (there.code, there.err) == (here.code, here.err) == (0, here.err)
        if "--json" in last:
            reports = [{**json.loads(result.out), "seconds": 0} for result in (there, here)]
            assert reports[0] == reports[1]
        assert_same(tmp_path / "there", tmp_path / "here")


def test_a_collection_is_named_and_python_has_the_same_door(
    loader: Loader, cluster: Cluster, tmp_path: Path
) -> None:
    file = write_fasta(tmp_path / "x.fa", {"a": "ACGT", "b": random_residues(1, MIB // 4) * 37})
    options = ("--collection", "asm:x", file)
    there, here = load_both(loader, cluster, tmp_path, *options)
    assert (there.code, here.code) == (0, 0), there.err
    assert_same(tmp_path / "there", tmp_path / "here")
    answer = loader.python(tmp_path / "python", file, cluster.address)
    assert answer["sequences_added"] == 2
    assert answer["progress"] == file.stat().st_size
    python, ours = contents(tmp_path / "python"), contents(tmp_path / "here")
    ((_, digest),) = python.collections  # of which it has said no name
    assert ours.collections == python.collections | {("asm:x", digest)}
    assert replace(python, collections=ours.collections) == ours
    message = loader.python(tmp_path / "python", file, "http://x:1")
    assert message == {
        "BadName": "'http://x:1' is no address of a scheduler: tcp://HOST:PORT or tls://HOST:PORT"
    }


# --- who dies ---------------------------------------------------------------------------------

#: What takes a worker some seconds: `--compression small` looks for repeats in it.
SLOW = ("--compression", "small")


def slow_files(directory: Path) -> list[Path]:
    residues = random_residues("slow", MIB // 2) * 5
    return [
        write_fasta(directory / f"{n}.fa", {f"{n}.{m}": residues[n * 7 + m :] for m in range(2)})
        for n in range(3)
    ]


def parts(root: Path) -> list[Path]:
    """Files that workers have begun."""
    return list(root.glob("master/tmp/parts-*/[0-9]*.*"))


def found_at_work(cluster: Cluster, root: Path) -> int:
    """The first worker that is seen to have a part open."""
    found: list[int] = []

    def look() -> bool:
        if (pid := at_work(cluster, root)) is not None:
            found.append(pid)
        return bool(found)

    wait_until(look)
    return found[0]


def at_work(cluster: Cluster, root: Path) -> int | None:
    """A worker that has a part open."""
    for pid in cluster.workers:
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = os.readlink(fd)
            except OSError:
                continue
            if target.startswith(str(root)) and "/parts-" in target:
                return pid
    return None


def test_a_worker_that_is_killed_is_replaced_and_leaves_nothing(
    cluster: Cluster, tmp_path: Path
) -> None:
    files, root = slow_files(tmp_path), tmp_path / "there"
    words: tuple[str | Path, ...] = ("load", "-n", "t", *SLOW, *files)
    with command("--root", root, *words, "--scheduler", cluster.address) as process:
        cluster.kill(found_at_work(cluster, root))
        cluster.add_worker()
        assert run(tmp_path / "here", *map(str, words)) == (0, "")
        out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, ""), out
    assert_same(root, tmp_path / "here")
    cluster.wait_for_workers()


@pytest.mark.parametrize("victims", [("worker", "scheduler") if ALL else ("worker",)])
def test_a_file_that_workers_die_of_and_a_scheduler_that_dies(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, victims: tuple[str, ...]
) -> None:
    settings = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    cluster = Cluster(tmp_path_factory.mktemp("mortal"), **settings)
    files, root = slow_files(tmp_path), tmp_path / "root"
    words: list[str | Path] = ["--root", root, "load", "-n", "t", *SLOW, *files, "--scheduler"]
    try:
        cluster.start()
        messages = {
            "worker": f"{files[0]}: one worker after another died of it (out of memory?)",
            "scheduler": f"the scheduler {cluster.address} has gone; nothing was changed",
        }
        for victim in victims:
            pid = cluster.add_worker()
            cluster.wait_for_workers()
            with command(*words, cluster.address) as process:
                found_at_work(cluster, root)
                cluster.kill(pid) if victim == "worker" else cluster.kill_scheduler()
                _, err = process.communicate(timeout=120)
            refused(Result(process.returncode, "", err), 9, messages[victim])
            assert not untidy(root)
            assert not list(root.glob("master/tmp/*"))
    finally:
        cluster.stop()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_who_loads_is_interrupted_or_killed(
    cluster: Cluster, loader: Loader, tmp_path: Path, how: signal.Signals
) -> None:
    files, root = slow_files(tmp_path), tmp_path / "there"
    run(root, "init")
    words: list[str | Path] = ["--root", root, "load", "-n", "t", *SLOW, *files]
    words += ["--scheduler", cluster.address]
    with command(*words) as process:
        wait_until(lambda: bool(parts(root)))
        process.send_signal(how)
        _, err = process.communicate(timeout=120)
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert err.lstrip() == ("seqarchive: interrupted; what was not committed is not there\n")
    else:
        assert process.returncode == -how
        assert parts(root)
    if how == signal.SIGKILL:  # whoever comes next sweeps, while workers may still be at it
        small = write_fasta(tmp_path / "small.fa", {"x": "ACGT"})
        assert run(root, "load", "-n", "t", str(small)) == (0, "")
    assert not untidy(root)
    assert not list(root.glob("master/tmp/*"))
    wait_until(lambda: at_work(cluster, root) is None)  # they notice that nobody waits
    assert not list(root.glob("master/tmp/*"))
    assert contents(root).residues.keys() == (
        {"aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw2"} if how == signal.SIGKILL else set()
    )


# --- what is wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        b">a\nACGT\n>b\nAC!T\n",
        b"no sequence at all\n",
        gzip.compress(b">a\nACGT\n" * 999)[:-9],
        b">a\nACGT\n>ok\nGGGG\n",  # another meaning of a name that another file has
        b"LOCUS       X\nnothing like that\n",
    ],
    ids=["residue", "format", "truncated", "conflict", "genbank"],
)
def test_a_file_that_is_not_right_ends_the_load_as_it_does_here(
    loader: Loader, cluster: Cluster, tmp_path: Path, text: bytes
) -> None:
    good = write_fasta(tmp_path / "good.fa", {"ok": random_residues(5, 2000)})
    bad = tmp_path / "bad.fa"
    bad.write_bytes(text)
    for root in ("there", "here"):
        run(tmp_path / root, "init")
    before = tree(tmp_path / "there")
    there, here = load_both(loader, cluster, tmp_path, good, bad, good)
    assert there == here
    assert there.code in (4, 5)
    assert not untidy(tmp_path / "there")
    assert tree(tmp_path / "there").keys() - before.keys() <= {
        "master/tmp",
        "master/aliases.sqlite3-wal",
        "master/aliases.sqlite3-shm",
    }


def test_what_workers_cannot_read_is_refused_at_once(tmp_path: Path) -> None:
    """Before anybody is asked: nobody listens there."""
    nobody = ("--scheduler", "tcp://127.0.0.1:9", "-n", "t")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for name, code, message in (
        ("-", 5, "standard input: a pipe can be read here alone: make a file of it, or do without"),
        (str(pipe), 5, f"{pipe}: a pipe can be read here alone: make a file of it, or do without"),
        (str(tmp_path / "none"), 3, f"{tmp_path / 'none'}: no such file"),
        (str(tmp_path), 1, f"{tmp_path}: Is a directory"),
    ):
        found, err = run(tmp_path / "root", "load", *nobody, name)
        assert (found, err.startswith(f"seqarchive: {message}")) == (code, True), err
        assert err.count("\n") == 1
    assert not (tmp_path / "root").exists()


def refused(result: Result, code: int, *words: str) -> None:
    """That a load ended with one line, in which there are some words."""
    assert result.code == code, result.err
    assert (result.err.count("\n"), result.err.startswith("seqarchive: ")) == (1, True), result.err
    assert all(word in result.err for word in words), result.err


def test_what_a_worker_does_not_see_is_said(
    loader: Loader, cluster: Cluster, place: Path, tmp_path: Path
) -> None:
    """A path through ``/proc/self`` is another one for each process."""
    file = write_fasta(place / "x.fa", {"a": "ACGT"})
    words = ("load", "-n", "t", "--scheduler", cluster.address)
    root = tmp_path / "root"
    elsewhere = "/proc/self/cwd/x.fa"
    result = loader("--root", root, *words, elsewhere)
    refused(result, 9, "worker tcp://127.0.0.1:", f"cannot read {elsewhere}", "No such file")
    for path in cluster.directory.glob("worker*/"):
        (path / "x.fa").write_text(">a\nACGTT\n")
    result = loader("--root", root, *words, elsewhere)
    refused(result, 9, f"{elsewhere} is another file there (9 bytes instead of 8)")
    result = loader("--root", "/proc/self/cwd/root", *words, str(file))
    refused(result, 9, "worker tcp://127.0.0.1:", "does not see", "storage", "share")
    for one in (root, place / "root"):
        assert not untidy(one)
        assert not list(one.glob("master/tmp/*"))


def test_a_scheduler_that_does_not_answer(loader: Loader, tmp_path: Path) -> None:
    file = write_fasta(tmp_path / "x.fa", {"a": "ACGT"})
    with socket.socket() as silent, socket.socket() as closed:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        closed.bind(("127.0.0.1", 0))
        for one in (silent, closed):
            address = f"tcp://127.0.0.1:{one.getsockname()[1]}"
            words = ("load", "-n", "t", "--scheduler", address, file)
            result = loader("--root", tmp_path / "root", *words, patience=1)
            refused(result, 9, f"the scheduler {address} cannot be reached", "nothing was changed")
    asks = ("--root", tmp_path / "root", "load", "-n", "t", file, "--scheduler")
    result = loader(*asks, "tls://127.0.0.1:9")  # there are no certificates
    refused(result, 9, "the scheduler tls://127.0.0.1:9 cannot be reached", "TLS configuration")
    result = loader(*asks, "127.0.0.1:8786")
    refused(result, 5, "'127.0.0.1:8786' is no address of a scheduler: tcp://HOST:PORT or")
    assert not (tmp_path / "root").exists()


def test_without_dask_the_extra_is_named(tmp_path: Path) -> None:
    """Its place is taken by something that cannot be imported."""
    (tmp_path / "distributed.py").write_text("raise ImportError\n")
    file = write_fasta(tmp_path / "x.fa", {"a": "ACGT"})
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parent.parent)])
    words = ["--root", str(tmp_path / "root"), "load", "-n", "t", str(file)]
    done = subprocess.run(
        [sys.executable, "-m", "seqarchive", *words, "--scheduler", "tcp://127.0.0.1:9"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        cwd=tmp_path,
        check=False,
    )
    refused(Result(done.returncode, "", done.stderr), 9, "pip install 'seqarchive[distributed]'")


def _has(result: Result) -> str:
    return result.err.partition(" has ")[2].partition(":")[0]


def test_another_version_is_refused(
    loader: Loader, cluster: Cluster, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = write_fasta(tmp_path / "x.fa", {"a": "ACGT"})
    old, none = tmp_path / "old" / "seqarchive", tmp_path / "none"
    old.mkdir(parents=True)
    none.mkdir()
    (old / "__init__.py").touch()
    (old / "version.py").write_text('__version__ = "0.0.9"\n')
    (none / "seqarchive.py").write_text("raise ModuleNotFoundError('No module named seqarchive')\n")
    scheduler = Cluster(tmp_path_factory.mktemp("old"))
    pids: list[int] = []
    try:
        pids += [cluster.add_worker(str(path)) for path in (old.parent, none)]
        scheduler.start(str(old.parent))
        cluster.wait_for_workers()
        words = ("--root", tmp_path / "root", "load", "-n", "t", file, "--scheduler")
        first = loader(*words, cluster.address)
        # Whichever of them was named is no more.
        cluster.kill(pids.pop("no seqarchive" in first.err))
        second = loader(*words, cluster.address)
        cluster.kill(pids.pop())
        third = loader(*words, scheduler.address)
    finally:
        scheduler.stop()
        for pid in pids:
            cluster.kill(pid)
    advice = f"install seqarchive {__version__}, as it is here, for the scheduler and all workers"
    for result, who in (
        (first, "worker tcp://127.0.0.1:"),
        (second, "worker tcp://127.0.0.1:"),
        (third, "the scheduler"),
    ):
        refused(result, 9, who, advice)
    assert sorted(_has(result) for result in (first, second)) == [
        "no seqarchive",
        "seqarchive 0.0.9",
    ]
    assert "has seqarchive 0.0.9" in third.err
    assert not (tmp_path / "root").exists()


def test_the_example_of_the_documentation_runs(data: Path, tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent / "docs" / "operations.rst").read_text("utf-8")
    (tmp_path / "fasta").mkdir()
    for name in ("transcripts/human_ENST_14.fasta.gz", "prot/uniprot_mmseqs_first5000.fasta.gz"):
        shutil.copy(data / name, tmp_path / "fasta" / Path(name).name.replace(".fasta", ".fa"))
    lines = re.findall(r"(?m)^    (dask .*|seqarchive .*--scheduler .*)$", page)
    with reserved_port() as port:
        places = (("node1", "127.0.0.1"), ("8786", str(port)), ("/shared", str(tmp_path)))
        for word, here in places:
            lines = [line.replace(word, here) for line in lines]
        follow(lines, port, tmp_path)
    files = sorted(map(str, tmp_path.glob("fasta/*")))
    assert run(tmp_path / "here", "load", "-n", "refseq", *files) == (0, "")
    assert_same(tmp_path / "archive", tmp_path / "here")


def follow(lines: list[str], port: int, directory: Path) -> None:
    """Start a scheduler and its workers, and load as soon as there is a scheduler."""
    there = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    environment = {**os.environ, "PATH": there, "PYTHONPATH": str(Path(__file__).parent.parent)}
    started = []
    try:
        for line in lines[:2]:
            with open(directory / "log", "ab") as log:
                started.append(
                    subprocess.Popen(
                        ["bash", "-c", f"exec {line}"],
                        stderr=log,
                        cwd=directory,
                        env=environment,
                        start_new_session=True,
                    )
                )
        wait_until_listening(port, started[0], directory / "log")
        command = ["bash", "-c", lines[2]]
        subprocess.run(command, env=environment, check=True, timeout=120, capture_output=True)
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


# --- parts, without a cluster -----------------------------------------------------------------


def load_through_parts(root: Path, files: list[Path], options: LoadOptions) -> None:
    """Load as the committer does, with parts that are made here."""
    directory = root.parent / f"{root.name}-parts"
    directory.mkdir()

    def send(pipeline: Pipeline, _batch: Batch) -> None:
        job = Job(pipeline.task, options.skip_errors).write(directory / "job")
        for n, path in enumerate(files):
            size = path.stat().st_size
            request = Request(__version__, str(directory), job, n, str(path), str(path), size, ())
            answer = made_part(request.plain(), "here", lambda *_: None)
            assert answer == Answer.of(answer.plain())
            assert answer.part is not None
            storer, packer = pipeline.storer, pipeline.packer
            assert packer is not None
            replayer = Replayer(pipeline.task, storer, packer, label_of(str(path)))
            replayer.replay(frames(directory / answer.part, answer.seal))

    loading.change(Instance(root), "load", send, options, threads=0)


LONG = random_residues(3, 1000) * 1100
RESIDUES = st.text("ACGTacgtN*-", max_size=40) | st.sampled_from(
    ["", "ACGT", "GATTACA", "AC1", random_residues(1, 17_000), random_residues(2, 40_000)]
)
NAMES = st.sampled_from(["a", "b", "c d", "lcl|", "gi|5|ref|NM_1.2|", "x" * 3]) | st.from_regex(
    r"[a-z]{1,9}", fullmatch=True
)
FILES = st.lists(st.lists(st.tuples(NAMES, RESIDUES), max_size=12), min_size=1, max_size=3)


@settings(
    deadline=None,
    max_examples=200 if ALL else 7,
    phases=[Phase.explicit, Phase.generate],  # to make an example smaller takes minutes
    suppress_health_check=[HealthCheck.too_slow],
)
@example([[("a", LONG), ("b", "ACGT"), ("c", LONG)], [("d", LONG[1:])]], False, True, 300_000)
@example([[("b", LONG + "1"), ("lcl|", LONG), ("d", LONG)], [("no", "AC")]], True, False, 9)
@given(made=FILES, skip=st.booleans(), mask=st.booleans(), small=st.integers(1, 40_000))
def test_what_is_written_down_and_told_again_is_what_is_said_at_once(
    made: list[list[tuple[str, str]]], skip: bool, mask: bool, small: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        files = [write_fasta(directory / f"{n}.fa", some) for n, some in enumerate(made)]
        options = LoadOptions(
            Naming("t"),
            on_conflict=OnConflict.KEEP,
            skip_errors=skip,
            keep_mask=mask,
            threads=0,
            shard_bytes=small,
        )
        ends = []
        for how, root in ((load_through_parts, "there"), (_load_here, "here")):
            try:
                how(directory / root, files, options)
                ends.append("")
            except SeqArchiveError as error:
                ends.append(f"{type(error).__name__} {error}")
        assert ends[0] == ends[1]
        if not ends[0]:
            assert_same(directory / "there", directory / "here")


def _load_here(root: Path, files: list[Path], options: LoadOptions) -> None:
    loading.load(Instance(root), list(map(str, files)), options)


def test_a_part_that_is_changed_anywhere_is_refused(tmp_path: Path) -> None:
    writer = PartWriter(tmp_path / "part")
    writer.write("refuse", "no \udcff", 7)
    writer.write("close", 3, b"\0" * 32, "none", "fasta", True)
    seal = writer.close()
    right = (tmp_path / "part").read_bytes()
    assert [kind for kind, *_ in frames(tmp_path / "part", seal)] == ["refuse", "close"]
    damaged = [right[:n] for n in range(len(right))] + [right + b"\0", right + right]
    damaged += [
        right[:n] + bytes([right[n] ^ 1 << bit]) + right[n + 1 :]
        for n in range(len(right))
        for bit in (range(8) if ALL else [n % 8])
    ]
    for data in damaged:
        (tmp_path / "part").write_bytes(data)
        with pytest.raises(SourceError, match="is not what a worker wrote"):
            list(frames(tmp_path / "part", seal))
    (tmp_path / "part").unlink()
    with pytest.raises(SourceError, match="No such file"):
        list(frames(tmp_path / "part", seal))


@pytest.mark.parametrize(
    "told",
    [
        [("group", [[1, None, "d"]], [])],
        [("group", [[1, b"error"]], [])],
        [("group", [], [[[[b"x", 9]], [[0, 0]]]])],
        [("group", [[1, "error"]], [[[[b"x", 0]], []]])],
        [("begin",), ("blocks", [["x", 9]])],
        [("fail", "KeyboardInterrupt", "x", None, None)],
        [("leave-out", "NotFound", "x", None, None)],
        [("elsewhere", "x")],
        [("refuse", "x", 1)],
        [("close", 1, b"\0" * 32, "none", "fasta", True), ("refuse", "x", 1)],
        [("close", 1, b"\0" * 32)],
        [("group", 7, 7)],
    ],
)
def test_what_no_worker_says_is_refused(tmp_path: Path, told: list[tuple[Any, ...]]) -> None:
    writer = PartWriter(tmp_path / "part")
    for frame in told:
        writer.write(*frame)
    seal = writer.close()
    run(tmp_path / "root", "init")
    before = contents(tmp_path / "root")

    def send(pipeline: Pipeline, _batch: Batch) -> None:
        assert pipeline.packer is not None
        replayer = Replayer(pipeline.task, pipeline.storer, pipeline.packer, "x")
        replayer.replay(frames(tmp_path / "part", seal))

    options = LoadOptions(Naming("t"), skip_errors=True)
    with pytest.raises(SourceError, match="no worker of ours"):
        loading.change(Instance(tmp_path / "root"), "load", send, options, threads=0)
    assert contents(tmp_path / "root") == before
    assert not untidy(tmp_path / "root")


def test_a_task_of_another_version_or_of_a_load_that_has_ended_is_not_done(tmp_path: Path) -> None:
    file = write_fasta(tmp_path / "x.fa", {"a": "ACGT"})
    directory = tmp_path / "parts-1"
    directory.mkdir()
    task = GroupTask(
        Naming("t", re.compile("(?P<alias>a+)", re.I), {"x": (Alias("n", "y"),)}),
        frozenset({"c"}),
        Compression.SMALL,
        with_sha256=True,
        with_mask=False,
    )
    job = Job(task, True)
    seal = job.write(directory / "job")
    assert Job.read(directory / "job", seal) == job
    request = Request(__version__, str(directory), seal, 0, "x", str(file), 8, ())
    answer = made_part(request.plain(), "w", lambda *_: None)
    assert [path.name for path in directory.iterdir() if path.name != "job"] == [answer.part]
    with pytest.raises(Unfit, match=r"it has seqarchive .*; 0\.0\.9 is needed"):
        made_part({"version": "0.0.9"}, "w", lambda *_: None)
    shutil.rmtree(directory)
    with pytest.raises(Unfit, match="does not see"):
        made_part(request.plain(), "w", lambda *_: None)
    assert not directory.exists()


@pytest.mark.parametrize(
    "plain",
    [
        None,
        {},
        {"worker": "w"},
        {"worker": "w", "seal": [1, 2], "part": "../../x"},
        {"worker": "w", "seal": [1, 2], "part": "0.0123456789abcdef", "source": (1, b"x")},
        {"worker": "w", "seal": [1], "part": "0.0123456789abcdef"},
        {"worker": "w", "seal": [1, 2]},
        {"worker": 7, "seal": [1, 2], "part": "0.0123456789abcdef"},
    ],
)
def test_what_is_no_answer_is_refused(plain: object) -> None:
    with pytest.raises(SourceError, match="a worker gave no answer"):
        Answer.of(plain)


def test_two_files_that_are_read_at_once_are_not_told_of_each_other(
    data: Path, tmp_path: Path
) -> None:
    """Workers have threads, and what Biopython warns of goes through what threads share."""
    good = (data / "gb_embl" / "sarscov2_MN908947.gb").read_text()
    bad = good.replace("29903 bp", "29904 bp")
    texts = {f"{n}": [good, bad][n % 2] * 3 for n in range(4)}

    def refused_of(text: str) -> int:
        _, found = read_records(iter([text.encode()]), "x")
        return sum(isinstance(record, BadInput) for record in found)

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(refused_of, texts.values())) == [0, 3, 0, 3]
