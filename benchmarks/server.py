"""The service beside its peers: ``python benchmarks/server.py``.

Each server is one process on one core, and whoever asks is on another one. The contestants take
turns, every turn with a fresh process; the table has medians of the rounds (of refget, which needs
half a minute for a comparison, the first one).
"""

from __future__ import annotations

import argparse
import http.client
import importlib.util
import os
import random
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from inputs import SEED
from report import table

_OURS, _SEQREPO, _REFGET = "seqarchive", "seqrepo-rest-service", "refget"

#: Residues of the chromosomes, of slices and of the members of collections.
_LONG, _LONGER, _SLICE, _SHORT = 100_000_000, 250_000_000, 100, 60

#: Members of a collection, and collections that are listed.
_MEMBERS, _LISTED = 20_000, 100_000

_SLICES = "/seqrepo/1/sequence/t:long?start={}&end={}"

#: The service as its command starts it, but on loopback and on a port that is free.
_SEQREPO_SERVER = """
import sys
import connexion
from seqrepo_rest_service import cli
run, port = connexion.App.run, int(sys.argv.pop())
connexion.App.run = lambda self, **_: run(self, host="127.0.0.1", port=port, use_reloader=False)
cli.main()
"""

_GTARS_IMPORT = """
import sys
from gtars.refget import RefgetStore
store = RefgetStore.on_disk(sys.argv[1])
store.set_quiet(True)
for path in sys.argv[2:]:
    store.add_sequence_collection_from_fasta(path)
print(*(one.digest for one in store.list_collections()["results"]))
"""

_LUA = """
math.randomseed({seed})
request = function()
    local start = math.random(0, {most})
    return wrk.format("GET", "/seqrepo/1/sequence/t:long?start=" .. start .. "&end=" .. start + {n})
end
"""


@dataclass
class _Found:
    """What was measured, by the work and by contestant."""

    values: dict[tuple[str, str], dict[str, list[float]]] = field(default_factory=dict)

    def add(self, what: str, unit: str, who: str, value: float) -> None:
        """One more value."""
        self.values.setdefault((what, unit), {}).setdefault(who, []).append(value)
        print(f"  {who}: {what}: {value:.4g} {unit}", file=sys.stderr)

    def rows(self) -> list[list[str]]:
        """Medians, and ours in terms of the peer's."""
        found = []
        for (what, unit), by_whom in self.values.items():
            medians = {who: statistics.median(values) for who, values in by_whom.items()}
            cells = [
                f"{medians[who]:.4g}" if who in medians else "–"
                for who in (_OURS, _SEQREPO, _REFGET)
            ]
            theirs = [value for who, value in medians.items() if who != _OURS]
            is_there = theirs and theirs[0] and _OURS in medians
            ratio = f"{medians[_OURS] / theirs[0]:.3g}" if is_there else "–"
            found.append([what, unit, *cells, ratio])
        return found


# --- servers --------------------------------------------------------------------------------------


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _on_core(core: int, command: Sequence[str]) -> list[str]:
    """A command that runs on one core, if there are several."""
    if shutil.which("taskset") is None or (os.cpu_count() or 1) < 2:
        return list(command)
    return ["taskset", "-c", str(core), *command]


@contextmanager
def _running(command: Sequence[str], port: int) -> Iterator[int]:
    """A server on a core of its own; its process id."""
    process = subprocess.Popen(
        _on_core(0, command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while True:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            if process.poll() is not None:
                sys.exit(f"{' '.join(command[:4])} ended with {process.returncode}")
            time.sleep(0.05)
        time.sleep(0.5)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _serve(root: Path, port: int) -> list[str]:
    command = [sys.executable, "-m", "seqarchive", "--quiet", "--root", str(root), "serve"]
    return [*command, "--port", str(port), "--request-timeout", "300"]


# --- clients --------------------------------------------------------------------------------------


def _get(port: int, path: str) -> tuple[float, bytes]:
    """Seconds until the last byte, and the body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    started = time.perf_counter()
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    seconds = time.perf_counter() - started
    connection.close()
    if answer.status != 200:
        sys.exit(f"{path}: {answer.status} {body[:200]!r}")
    return seconds, body


def _streamed(port: int, path: str) -> tuple[float, float, int]:
    """Milliseconds until the first byte, MB a second of all, and bytes."""
    buffer = bytearray(1 << 20)
    with socket.create_connection(("127.0.0.1", port)) as one:
        started = time.perf_counter()
        one.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        n_bytes = one.recv_into(buffer)
        first = time.perf_counter() - started
        while got := one.recv_into(buffer):
            n_bytes += got
        return first * 1e3, n_bytes / 1e6 / (time.perf_counter() - started), n_bytes


def _slices(port: int, n_connections: int, seconds: int, work: Path) -> float:
    """Slices a second, at random."""
    if shutil.which("wrk") is None:
        return _slices_by_python(port, n_connections, seconds)
    script = work / "slices.lua"
    script.write_text(_LUA.format(seed=SEED, most=_LONG - _SLICE - 1, n=_SLICE))
    words = ["wrk", "-t1", f"-c{n_connections}", f"-d{seconds}", "-s", str(script)]
    done = subprocess.run(
        _on_core(1, [*words, f"http://127.0.0.1:{port}"]),
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    if "Non-2xx" in done.stdout:
        sys.exit(done.stdout)
    (rate,) = (line.split()[1] for line in done.stdout.splitlines() if "Requests/sec" in line)
    return float(rate)


def _slices_by_python(port: int, n_connections: int, seconds: int) -> float:
    counts: list[int] = []
    until = time.perf_counter() + seconds

    def ask(number: int) -> None:
        dice, n = random.Random(number), 0
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while time.perf_counter() < until:
            start = dice.randrange(_LONG - _SLICE)
            connection.request("GET", _SLICES.format(start, start + _SLICE))
            connection.getresponse().read()
            n += 1
        counts.append(n)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(n_connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def _memory(pid: int, key: str) -> float:
    """MB of a process, as the kernel has it."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1000
    return 0.0


# --- what is measured -----------------------------------------------------------------------------


def _sequences(found: _Found, who: str, command: list[str], port: int, work: Path) -> None:
    with _running(command, port) as pid:
        first, _, n_bytes = _streamed(port, "/seqrepo/1/sequence/t:long")
        if n_bytes < _LONG:
            sys.exit(f"{who} sent {n_bytes} bytes of a chromosome")
        found.add("100 Mb: first byte, the first time ever", "ms", who, first)
        again = [_streamed(port, "/seqrepo/1/sequence/t:long") for _ in range(3)]
        found.add("100 Mb: first byte", "ms", who, statistics.median(one[0] for one in again))
        found.add("100 Mb", "MB/s", who, statistics.median(one[1] for one in again))
        for n, name in ((1, "one connection"), (8, "eight")):
            _slices(port, n, 1, work)
            rate = _slices(port, n, 5, work)
            found.add(f"slices of {_SLICE} bases, {name}", "1/s", who, rate)
    with _running(command, port) as pid:
        _get(port, _SLICES.format(5, 500))
        before = _memory(pid, "VmRSS")
        _, rate, _ = _streamed(port, "/seqrepo/1/sequence/t:longer")
        found.add("250 Mb", "MB/s", who, rate)
        found.add("250 Mb: memory grows by", "MB", who, _memory(pid, "VmHWM") - before)


def _waits(port: int, path: str, work: Callable[[], object]) -> list[float]:
    """Milliseconds of one small request after another, while something else is asked for."""
    done, waits = threading.Event(), list[float]()

    def ask() -> None:
        while not done.is_set():
            seconds, _ = _get(port, path)
            waits.append(seconds * 1e3)
            time.sleep(0.002)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.1)
    waits.clear()
    work()
    done.set()
    thread.join()
    return sorted(waits)


def _comparisons(
    found: _Found, who: str, command: list[str], port: int, digests: Sequence[str]
) -> None:
    path = f"/comparison/{digests[0]}/{digests[1]}"
    what = f"{_MEMBERS:,} x {_MEMBERS:,} compared"
    with _running(command, port):
        seconds: list[float] = []
        waits = _waits(port, "/service-info", lambda: seconds.append(_get(port, path)[0]))
        found.add(what, "s", who, seconds[0])
        found.add(f"{what}: a small request meanwhile", "ms", who, statistics.median(waits))
        found.add(f"{what}: the slowest of them", "ms", who, waits[-1])


# --- inputs ---------------------------------------------------------------------------------------


def _residues(dice: random.Random, n: int) -> bytes:
    return dice.randbytes(n).translate(bytes.maketrans(bytes(range(256)), b"ACGT" * 64))


def _write_chromosomes(path: Path) -> None:
    dice = random.Random(SEED)
    with open(path, "wb") as file:
        for name, n in (("long", _LONG), ("longer", _LONGER)):
            file.write(b">%s\n" % name.encode())
            for _ in range(0, n, 6_000_000):
                text = _residues(dice, min(6_000_000, n))
                file.writelines(text[at : at + 60] + b"\n" for at in range(0, len(text), 60))


def _write_collections(work: Path) -> list[Path]:
    """Two of which every second member is the same."""
    dice = random.Random(SEED)
    pairs = [(_residues(dice, _SHORT), _residues(dice, _SHORT)) for _ in range(_MEMBERS)]
    paths = []
    for number in (0, 1):
        path = work / f"collection{number}.fa"
        path.write_bytes(
            b"".join(
                b">s%d\n%s\n" % (n, pair[number * (n % 2)]) for n, pair in enumerate(pairs)
            )
        )
        paths.append(path)
    return paths


def _ours(root: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "seqarchive", "--quiet", "--root", str(root), *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _with_many_collections(root: Path, fasta: Path) -> None:
    """An archive of many collections: the rows alone, as if each came from a file."""
    _ours(root, "load", "-n", "t", str(fasta))
    with sqlite3.connect(root / "master" / "aliases.sqlite3") as database:
        columns = (
            "names, sequences, lengths, name_length_pairs, sorted_name_length_pairs,"
            " sorted_sequences, n_members, n_residues, source_id, batch_id"
        )
        database.execute(
            "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers"
            f" WHERE n < {_LISTED - 1}) INSERT INTO collections (digest, {columns})"
            f" SELECT randomblob(24), {columns} FROM numbers, (SELECT * FROM collections LIMIT 1)"
        )
    database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--seqrepo-python", default=sys.executable, metavar="PYTHON",
        help="of an environment with seqrepo-rest-service, whose Flask is an old one",
    )  # fmt: skip
    parser.add_argument("--work", type=Path, help="directory for everything that is made")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # which ends the servers too
    with tempfile.TemporaryDirectory(dir=given.work) as directory:
        work, found = Path(directory), _Found()
        _sequences_in_turns(found, work, given.seqrepo_python, given.rounds)
        _collections_in_turns(found, work, given.rounds)
        print(table(["work", "", _OURS, _SEQREPO, _REFGET, "ratio"], found.rows()))


def _sequences_in_turns(found: _Found, work: Path, seqrepo_python: str, rounds: int) -> None:
    fasta = work / "chromosomes.fa"
    _write_chromosomes(fasta)
    port = _free_port()
    _ours(work / "root", "load", "-n", "t", str(fasta))
    commands = {_OURS: _serve(work / "root", port)}
    program = Path(seqrepo_python).parent / "seqrepo"
    looked = subprocess.run(
        [seqrepo_python, "-c", "import seqrepo_rest_service"], check=False, capture_output=True
    )
    if looked.returncode == 0 and program.exists():
        peer = [str(program), "--root-directory", str(work / "seqrepo")]
        subprocess.run([*peer, "init"], check=True)
        subprocess.run(
            [*peer, "load", "-n", "t", str(fasta)], check=True, stdout=subprocess.DEVNULL
        )
        instance = str(work / "seqrepo" / "master")
        commands[_SEQREPO] = [seqrepo_python, "-c", _SEQREPO_SERVER, instance, str(port)]
    else:
        print("without seqrepo-rest-service: it is not installed", file=sys.stderr)
    for number in range(rounds):
        turns = list(commands.items())
        for who, command in turns[number % len(turns) :] + turns[: number % len(turns)]:
            _sequences(found, who, command, port, work)


def _collections_in_turns(found: _Found, work: Path, rounds: int) -> None:
    files = _write_collections(work)
    port = _free_port()
    _ours(work / "collections", "load", "-n", "t", "--on-conflict", "replace", *map(str, files))
    with sqlite3.connect(work / "collections" / "master" / "aliases.sqlite3") as database:
        rows = database.execute("SELECT digest FROM collections ORDER BY id").fetchall()
    database.close()
    digests = [_text(row[0]) for row in rows]
    contestants = [(_OURS, _serve(work / "collections", port), digests)]
    if importlib.util.find_spec("refget") is not None:
        store = work / "store"
        done = subprocess.run(
            [sys.executable, "-c", _GTARS_IMPORT, str(store), *map(str, files)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        program = str(Path(sys.executable).parent / "refget")
        command = [program, "store", "serve", "--path", str(store), "--port", str(port)]
        contestants.append((_REFGET, command, done.stdout.split()))
    else:
        print("without refget: it is not installed", file=sys.stderr)
    for number in range(rounds):
        at = number % len(contestants)
        for who, command, compared in contestants[at:] + contestants[:at]:
            if who == _REFGET and number:
                continue  # half a minute, whatever the round
            _comparisons(found, who, command, port, compared)
    _with_many_collections(work / "many", files[0])
    with _running(_serve(work / "many", port), port):
        for path in ("/list/collection", f"/list/collection?page={_LISTED // 100 - 1}"):
            seconds = [_get(port, path)[0] for _ in range(20)]
            what = f"{path} of {_LISTED:,}"
            found.add(what, "ms", _OURS, statistics.median(seconds) * 1e3)


def _text(raw: bytes) -> str:
    from seqarchive.identifiers import digest_text  # noqa: PLC0415  (tells nothing of its start)

    return digest_text(raw)


if __name__ == "__main__":
    main()
