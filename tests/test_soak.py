"""The service under a mixed load, with a loader that commits beside it and workers that are killed:
no wrong byte, no leak.

For some 15 seconds; with the environment variable SEQARCHIVE_ALL_FAULTS for ten minutes.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from children import CHILDREN, MOVING, moved, residues_of, version_of
from contents import random_residues
from helpers import fasta, sha512t24u, sq, wait_until
from servers import Served, command_serving

IS_LONG = bool(os.environ.get("SEQARCHIVE_ALL_FAULTS"))

#: Of the whole, and of its parts: one worker dies after the first, the other after the second, and
#: what the new ones need is watched after the third.
SECONDS = 600.0 if IS_LONG else 12.0
FIRST, SECOND, WARM = (60.0, 120.0, 240.0) if IS_LONG else (3.0, 5.0, 10.0)

#: Clients at one time, and requests of each connection.
N_CLIENTS, N_KEPT = 4, 50

#: What may come and go, of each process: pages of the allocator; connections of clients, and of
#: threads to the database, of which there are more and more in the first seconds.
FEW_BYTES, FEW_DESCRIPTORS = 24 << 20, 24 if IS_LONG else 80

CHROMOSOME = random_residues("chromosome", 12_000_000)
SHORT = {f"s{n}": random_residues(f"short {n}", 50 + n * n % 9000) for n in range(200)}
X = {"chr": CHROMOSOME, **SHORT}
#: The first 150 of them, of which the last ten are others by the same names.
Y = {f"s{n}": SHORT[f"s{n}"] if n < 140 else random_residues(f"other {n}", 99) for n in range(150)}


@dataclass
class Soak:
    """What all clients know, and what they found."""

    served: Served
    directory: Path
    file: bytes
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def acknowledged(self) -> int:
        """The last batch that was committed."""
        return int((self.directory / "acknowledged-batch").read_text())


class Client(threading.Thread):
    """Asks for everything again and again, knowing each answer."""

    def __init__(self, soak: Soak, number: int) -> None:
        super().__init__()
        self._soak = soak
        self._dice = random.Random(number)
        self._session = requests.Session()
        self._n_asked = 0

    def run(self) -> None:
        asks: list[Callable[[], None]] = [
            *[self._slice] * 12, *[self._range] * 6, self._whole, self._short, self._short,
            self._metadata, self._metadata, self._collection, self._comparison, self._posted,
            self._drs, self._drs_range, self._drs_range, self._batch, self._batch, self._moving,
            self._release, self._list, self._seqrepo, self._refused,
        ]  # fmt: skip
        with self._session:
            while not self._soak.stop.is_set() and len(self._soak.wrong) < 20:
                ask = self._dice.choice(asks)
                try:
                    ask()
                except Exception:
                    self._soak.wrong.append(traceback.format_exc())
                self._soak.counts[ask.__name__.strip("_")] += 1

    def _ask(self, path: str, *, body: object = None, **headers: str) -> requests.Response:
        """An answer, whole; asked for again if whoever gave it was killed."""
        self._n_asked += 1
        if self._n_asked % N_KEPT == 0:
            self._session.close()  # the next connection may be to another worker
        for _ in range(100):
            try:
                answer = self._session.request(
                    "GET" if body is None else "POST", self._soak.served.url + path,
                    headers=headers, json=body, timeout=30,
                )  # fmt: skip
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                self._soak.counts["cut off"] += 1
                time.sleep(0.05)
            else:
                self._soak.counts["bytes"] += len(answer.content)
                self._soak.counts["answers"] += 1
                return answer
        raise AssertionError(f"nobody answers {path}")

    def _expect(self, answer: requests.Response, expected: str | bytes, status: int = 200) -> None:
        is_right = answer.status_code == status and (
            answer.content == (expected.encode() if isinstance(expected, str) else expected)
        )
        if not is_right:
            self._soak.wrong.append(
                f"{answer.url}: {answer.status_code}, {len(answer.content)} bytes, not "
                f"{len(expected)}: {answer.content[:200]!r}"
            )

    def _bounds(self, length: int, most: int) -> tuple[int, int]:
        start = self._dice.randrange(length)
        return start, min(length, start + self._dice.randint(1, most))

    def _slice(self) -> None:
        start, end = self._bounds(len(CHROMOSOME), 300)
        self._expect(self._ask(f"/sequence/t:chr?start={start}&end={end}"), CHROMOSOME[start:end])

    def _range(self) -> None:
        start, end = self._bounds(len(CHROMOSOME), self._dice.choice([100, 100_000, 1_000_000]))
        answer = self._ask(f"/sequence/{sq(CHROMOSOME)}", Range=f"bytes={start}-{end - 1}")
        self._expect(answer, CHROMOSOME[start:end], 206)

    def _whole(self) -> None:
        self._expect(self._ask("/sequence/t:chr"), CHROMOSOME)

    def _short(self) -> None:
        name = self._dice.choice(list(SHORT))
        self._expect(self._ask(f"/sequence/{sq(SHORT[name])}"), SHORT[name])

    def _seqrepo(self) -> None:
        name = self._dice.choice(list(SHORT))
        answer = self._ask(f"/seqrepo/1/sequence/t:{name}?start=10&end=40")
        self._expect(answer, SHORT[name][10:40])

    def _metadata(self) -> None:
        name = self._dice.choice(list(SHORT))
        found = self._ask(f"/sequence/t:{name}/metadata").json()["metadata"]
        assert found["ga4gh"] == sq(SHORT[name])[6:]
        assert found["md5"] == hashlib.md5(SHORT[name].encode()).hexdigest()
        assert found["length"] == len(SHORT[name])

    def _collection(self) -> None:
        found = self._ask("/collection/lab:x").json()
        assert found["names"] == list(X)
        assert found["lengths"] == [len(residues) for residues in X.values()]
        assert found["sequences"] == [f"SQ.{digest}" for digest in X_DIGESTS]

    def _comparison(self) -> None:
        self._compared(self._ask("/comparison/lab:x/lab:y").json())

    def _posted(self) -> None:
        arrays = {
            "names": list(Y),
            "lengths": [len(residues) for residues in Y.values()],
            "sequences": [f"SQ.{sha512t24u(residues)}" for residues in Y.values()],
        }
        self._compared(self._ask("/comparison/lab:x", body=arrays).json())

    @staticmethod
    def _compared(found: dict[str, dict[str, dict[str, int]]]) -> None:
        elements = found["array_elements"]
        assert elements["a_count"]["names"] == len(X)
        assert elements["b_count"]["names"] == len(Y)
        assert elements["a_and_b_count"]["names"] == 150
        assert elements["a_and_b_count"]["sequences"] == 140

    def _drs(self) -> None:
        found = self._ask("/ga4gh/drs/v1/objects/lab:x").json()
        assert found["size"] == len(self._soak.file)
        checksums = {one["type"]: one["checksum"] for one in found["checksums"]}
        assert checksums["sha-256"] == hashlib.sha256(self._soak.file).hexdigest()

    def _drs_range(self) -> None:
        start, end = self._bounds(len(self._soak.file), 500_000)
        path = "/ga4gh/drs/v1/objects/lab:x/bytes"
        answer = self._ask(path, Range=f"bytes={start}-{end - 1}")
        self._expect(answer, self._soak.file[start:end], 206)

    def _batch(self) -> None:
        """What was committed is there at once."""
        version = self._dice.randint(1, self._soak.acknowledged())
        self._expect(self._ask(f"/sequence/t:n{version}"), residues_of(f"new {version}", 3000))

    def _moving(self) -> None:
        """What moves is never older than the last batch that was committed before."""
        name, at_least = self._dice.choice(MOVING), self._soak.acknowledged()
        found = version_of(name, self._ask(f"/sequence/{name}").text)
        assert found >= at_least, f"{name} is of batch {found}, after {at_least}"

    def _release(self) -> None:
        """Releases stay as they are."""
        name = self._dice.choice(MOVING)
        self._expect(self._ask(f"/releases/r1/sequence/{name}"), moved(name, 0))
        start, end = self._bounds(len(CHROMOSOME), 300)
        path = f"/sequence/t:chr?start={start}&end={end}"
        if (self._soak.directory / "snapshot").exists():
            self._expect(self._ask(f"/releases/latest{path}"), CHROMOSOME[start:end])
            self._expect(self._ask("/releases/r2/sequence/t:n5"), residues_of("new 5", 3000))

    def _list(self) -> None:
        total = self._ask("/list/collection?page_size=2").json()["pagination"]["total"]
        assert total >= 2
        assert self._ask("/service-info").json()["type"]["artifact"] == "refget-seqcol"

    def _refused(self) -> None:
        for path, status in (("/sequence/t:none", 404), ("/sequence/t:chr?start=99999999", 416)):
            answer = self._ask(path)
            assert (answer.status_code, answer.json()["status_code"]) == (status, status)


X_DIGESTS = [sha512t24u(residues) for residues in X.values()]


def _resident(pid: int) -> int:
    """Bytes of memory of its own that a process has."""
    text = Path(f"/proc/{pid}/status").read_text()
    return 1024 * sum(int(n) for n in re.findall(r"(?m)^RssAnon:\s+(\d+) kB", text))


def _sample(pids: list[int]) -> dict[int, tuple[int, int]]:
    """Memory and descriptors of processes."""
    return {pid: (_resident(pid), len(os.listdir(f"/proc/{pid}/fd"))) for pid in pids}


def _grown(values: list[int]) -> float:
    """By how much the last quarter is above the first."""
    n = max(1, len(values) // 4)
    return statistics.median(values[-n:]) - statistics.median(values[:n])


def _prepare(directory: Path) -> tuple[Path, bytes]:
    """A root with two collections and a release, and the file of the first."""
    root, text = directory / "root", fasta(X)
    (directory / "x.fa").write_text(text)
    (directory / "y.fa").write_text(fasta(Y))
    (directory / "m.fa").write_text(fasta([(name[2:], moved(name, 0)) for name in MOVING]))
    command = [sys.executable, "-m", "seqarchive", "--quiet", "--root", str(root)]
    load = ["load", "--collection"]
    for words in (
        [*load, "lab:x", "-n", "t", str(directory / "x.fa")],
        [*load, "lab:y", "-n", "u", str(directory / "y.fa")],
        ["load", "-n", "t", str(directory / "m.fa")], ["snapshot", "r1"],
    ):  # fmt: skip
        subprocess.run([*command, *words], check=True, stdout=subprocess.DEVNULL)
    return root, text.encode()


def _killed(served: Served, pid: int) -> None:
    """Kill a worker, and wait for the one that comes instead."""
    before = served.workers()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: pid not in served.workers() and len(served.workers()) == len(before))


def test_no_wrong_byte_and_no_leak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, file = _prepare(tmp_path)
    pause = "1" if IS_LONG else "0.2"
    task = [sys.executable, CHILDREN, "keep_committing", str(root), str(tmp_path), pause]
    with command_serving(root, tmp_path, "--workers", "2", is_verbose=False) as served:
        wait_until(lambda: len(served.workers()) == 2)
        first = served.workers()
        soak = Soak(served, tmp_path, file)
        loader = subprocess.Popen(task)
        clients = [Client(soak, number) for number in range(N_CLIENTS)]
        samples: list[dict[int, tuple[int, int]]] = []
        try:
            wait_until((tmp_path / "acknowledged-batch").exists)
            started = time.monotonic()
            for client in clients:
                client.start()
            for pid, moment in zip(first, (FIRST, SECOND), strict=True):
                soak.stop.wait(started + moment - time.monotonic())
                _killed(served, pid)
            soak.stop.wait(started + WARM - time.monotonic())
            workers = served.workers()
            # On a busy machine those that replace the killed ones may have come late.
            end = max(started + SECONDS, time.monotonic() + SECONDS - WARM)
            while time.monotonic() < end and not soak.wrong:
                samples.append(_sample(workers))
                time.sleep((SECONDS - WARM) / 40)
        finally:
            soak.stop.set()
            (tmp_path / "stop").touch()
            for client in clients:
                if client.ident is not None:  # it was started
                    client.join()
            code = loader.wait(timeout=60)
        counted = re.findall(
            r"(?m)^seqarchive_requests_total\{.*\} ([0-9.]+)$",
            requests.get(f"{served.url}/metrics", timeout=20).text,
        )
        assert soak.wrong == []
        assert served.workers() == workers  # nobody died of his own
        assert served.stop() == 0
    grown = {
        pid: [_grown([sample[pid][n] for sample in samples]) for n in (0, 1)] for pid in workers
    }
    with capsys.disabled():
        print(
            f"\nsoak: {SECONDS:g} s, {soak.acknowledged()} batches, {json.dumps(soak.counts)}, "
            f"grown (bytes, descriptors): {grown}, "
            f"last: {list(samples[-1].values())}"
        )
    assert code == 0
    assert (tmp_path / "snapshot").exists()
    assert soak.counts["cut off"] <= 4 * N_CLIENTS * 100
    assert sum(map(float, counted)) >= soak.counts["answers"]
    assert "Traceback" not in served.log.read_text()
    for more_bytes, more_descriptors in grown.values():
        assert more_bytes <= FEW_BYTES
        assert more_descriptors <= FEW_DESCRIPTORS
