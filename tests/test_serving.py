"""``seqarchive serve`` under people who mean no good, or have bad lines; and when it is stopped."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from helpers import wait_until, write_fasta
from servers import Served, command_serving, running

import seqarchive
from seqarchive.seqcol.as_fasta import CollectionFasta
from seqarchive.server import collections, create_app, limiting
from seqarchive.server.limiting import Pool, Slots
from seqarchive.server.served import Limits

CHROMOSOME = random.Random(7).randbytes(30_000_000).translate(
    bytes.maketrans(bytes(range(256)), b"ACGT" * 64)
)

#: Seconds that clients of the server with limits have.
PATIENCE = 1.0


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chromosome and something short, a release of them, and a store."""
    directory = tmp_path_factory.mktemp("serving")
    root = directory / "root"
    file = write_fasta(directory / "x.fa", {"chr": CHROMOSOME.decode(), "a": "GATTACA"}, width=80)
    command = [sys.executable, "-m", "seqarchive", "--quiet", "--root", str(root)]
    for words in (
        ["load", "-n", "t", "--collection", "lab:x", str(file)], ["snapshot", "r1"],
        ["export-rgstore", "--mode", "raw"],
    ):  # fmt: skip
        subprocess.run([*command, *words], check=True, stdout=subprocess.DEVNULL)
    return root


@pytest.fixture(scope="module")
def limited(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with two long answers at most, and little patience."""
    directory = tmp_path_factory.mktemp("limited")
    words = ("--max-streams", "2", "--request-timeout", str(PATIENCE), "--max-connections", "20")
    with command_serving(root, directory, *words) as served:
        yield served


@pytest.fixture(scope="module")
def patient(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The same with all the patience that somebody needs who has much else to do."""
    directory = tmp_path_factory.mktemp("patient")
    words = ("--max-streams", "2", "--request-timeout", "300", "--max-connections", "20")
    with command_serving(root, directory, *words) as served:
        yield served


def connected(served: Served, *, buffer: int | None = None) -> socket.socket:
    """A connection; with a small buffer, if somebody is not to take much."""
    one = socket.socket()
    one.settimeout(20)
    if buffer is not None:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    try:
        one.connect(("127.0.0.1", served.port))
    except OSError:
        one.close()
        raise
    return one


def asked(served: Served, path: str, *, buffer: int | None = None) -> socket.socket:
    """A connection on which a path was asked for, and nothing was read yet."""
    one = connected(served, buffer=buffer)
    one.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode("latin-1"))
    return one


def rest(one: socket.socket) -> bytes:
    """What comes until the other side ends."""
    found = bytearray()
    while True:
        try:
            data = one.recv(1 << 20)
        except ConnectionResetError:
            return bytes(found)
        if not data:
            return bytes(found)
        found += data


def refused(answer: bytes, status: int) -> dict[str, Any]:
    """The headers of an error of the one shape."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    assert first.startswith(f"HTTP/1.1 {status} "), answer
    document = json.loads(body)
    assert document["status_code"] == status
    assert document["msg"]
    headers = dict(line.lower().split(": ", 1) for line in lines)
    assert headers["content-type"] == "application/json"
    return headers


class Client:
    """Asks for paths of a service."""

    def __init__(self, url: str) -> None:
        self._url = url

    def get(self, path: str) -> requests.Response:
        return requests.get(self._url + path, timeout=20)


def open_streams(served: Served) -> float:
    numbers = requests.get(f"{served.url}/metrics", timeout=20).text
    found = re.search(r"(?m)^seqarchive_open_streams ([0-9.]+)$", numbers)
    assert found is not None
    return float(found[1])


# --- addresses -----------------------------------------------------------------------------------


def test_all_addresses_in_answers_are_those_of_the_outside(root: Path) -> None:
    base = "https://seq.example.org/api"
    with seqarchive.connect(root) as archive:
        app = create_app(archive, root=root, store=root / "rgstore", base_url=base + "/")
        digest = archive.collection("lab:x").digest
    with running(app) as here:
        client = Client(here)
        for below in ("", "/releases/r1"):
            where = f"{base}{below}"
            assert client.get(f"{below}/seqrepo/1/ping").json()["url"] == f"{where}/seqrepo/1/ping"
            drs_url = f"{below}/ga4gh/drs/v1/objects/{digest}"
            found = client.get(drs_url).json()
            assert found["self_uri"] == f"drs://seq.example.org/{digest}"
            url = f"{base}{drs_url}/bytes"
            assert found["access_methods"][0]["access_url"]["url"] == url
            assert client.get(f"{drs_url}/access/https").json() == {"url": url}
            wanted = {"bulk_object_access_ids": [{"bulk_object_id": digest}]}
            there = f"{here}{below}/ga4gh/drs/v1/objects/access"
            bulk = requests.post(there, json=wanted, timeout=20).json()
            assert bulk["resolved_drs_object_access_urls"][0]["url"] == url
            servers = client.get(f"{below}/openapi.json").json()["servers"]
            assert servers == [{"url": where}]
        info = client.get("/service-info").json()
        assert info["seqcol"]["refget_store"]["url"] == f"{base}/store"
        moved = requests.get(
            f"{here}/releases/latest/sequence/t%3Aa%20b?start=1", allow_redirects=False, timeout=20
        )
        assert moved.headers["Location"] == f"{base}/releases/r1/sequence/t:a%20b?start=1"


@pytest.mark.parametrize(
    "url",
    [
        "seq.example.org", "ftp://seq.example.org", "https://", "https://a b", "https://a/?x=1",
        "https://a/#x", "https://u:p@a", "https://a/\n", "https://a:b", "javascript:x", "",
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_refused(root: Path, url: str) -> None:
    command = [sys.executable, "-m", "seqarchive", "--root", str(root), "serve", "--base-url", url]
    with seqarchive.connect(root) as archive, pytest.raises(seqarchive.SeqArchiveError):
        create_app(archive, base_url=url)
    if url == "seq.example.org":
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "no address of a service" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "host",
    ['"><script>alert(1)</script>', "a b", "evil.org/path", "evil.org?x", "u@evil.org", "", "a\tb",
     "x:y", "[::1", "\xe9vil.org", "a,b"],
)  # fmt: skip
def test_a_hostile_host_is_in_no_answer(limited: Served, root: Path, host: str) -> None:
    with seqarchive.connect(root) as archive:
        digest = archive.collection("lab:x").digest
    access = f"/ga4gh/drs/v1/objects/{digest}/access/https"
    for path in ("/seqrepo/1/ping", access, "/service-info"):
        with connected(limited) as one:
            head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            one.sendall(head.encode("latin-1"))
            answer = rest(one)
        assert answer.startswith(b"HTTP/1.1 200 ")
        document = json.dumps(json.loads(answer.partition(b"\r\n\r\n")[2]))
        assert f'"{limited.url}/' in document
        assert not host or host not in document.replace(limited.url, "")
    with asked(limited, "/list/collection/") as one:  # no redirect to whatever the host says
        refused(rest(one), 404)


# --- too much at one time ------------------------------------------------------------------------


def test_so_many_long_answers_at_one_time_and_short_ones_go_on(patient: Served) -> None:
    first, second = (asked(patient, "/sequence/t:chr", buffer=4096) for _ in range(2))
    try:
        assert [one.recv(12) for one in (first, second)] == [b"HTTP/1.1 200"] * 2
        assert open_streams(patient) == 2
        for path in (
            "/sequence/t:chr", "/sequence/t:chr?start=5", "/seqrepo/1/sequence/t:chr",
            "/ga4gh/drs/v1/objects/lab:x/bytes", "/releases/r1/sequence/t:chr",
        ):  # fmt: skip
            with asked(patient, path) as one:
                assert int(refused(rest(one), 503)["retry-after"]) > 0, path
        for path in (
            "/sequence/t:chr?start=100&end=200", "/sequence/t:chr/metadata", "/healthz",
            "/releases/r1/manifest.json", "/collection/lab:x", "/store/rgstore.json",
        ):  # fmt: skip
            assert requests.get(patient.url + path, timeout=20).status_code == 200, path
        manifest = requests.get(f"{patient.url}/releases/r1/manifest.json", timeout=20).json()
        paths = [file["path"] for file in manifest["files"]]
        (path,) = (path for path in paths if path.endswith(".fa.bgz"))
        shard = f"{patient.url}/releases/r1/{path}"
        part = requests.get(shard, headers={"Range": "bytes=0-99"}, timeout=20)
        assert (part.status_code, len(part.content)) == (206, 100)
        assert requests.get(shard, timeout=20).status_code == 503
        # Who hangs up has his place taken from him.
        first.close()
        wait_until(lambda: open_streams(patient) == 1)
        with asked(patient, "/sequence/t:chr") as third:
            assert third.recv(12) == b"HTTP/1.1 200"
    finally:
        first.close()
        second.close()
    wait_until(lambda: open_streams(patient) == 0)
    assert requests.get(f"{patient.url}/sequence/t:chr", timeout=20).content == CHROMOSOME


def test_who_takes_nothing_has_his_place_taken_from_him(limited: Served) -> None:
    with asked(limited, "/sequence/t:chr", buffer=4096) as one:
        assert one.recv(12) == b"HTTP/1.1 200"
        wait_until(lambda: open_streams(limited) == 0)
        assert len(rest(one)) < len(CHROMOSOME)
    assert requests.get(f"{limited.url}/sequence/t:chr", timeout=20).content == CHROMOSOME


def test_who_takes_little_but_takes_it_gets_everything(limited: Served) -> None:
    with asked(limited, "/sequence/t:chr?end=9000000", buffer=1 << 16) as one:
        found, started = bytearray(), time.monotonic()
        while data := one.recv(1 << 15):
            found += data
            time.sleep(0.008)
    assert time.monotonic() - started > PATIENCE
    assert found.endswith(CHROMOSOME[8_999_000:9_000_000])
    assert found.partition(b"\r\n\r\n")[2] == CHROMOSOME[:9_000_000]


def test_so_many_connections(patient: Served) -> None:
    waiting = [connected(patient) for _ in range(20)]
    try:
        with asked(patient, "/healthz") as one:
            assert int(refused(rest(one), 503)["retry-after"]) > 0
    finally:
        for each in waiting:
            each.close()


# --- too slow ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"GET /healthz HTTP/1.1\r\n", b"X: y\r\n"),
        (b"POST /comparison/lab:x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", b"x"),
        (b"POST /comparison/lab:x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
         b"1\r\nx\r\n"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n", b"x"),
        (b"", b"\r\n"), (b"", b""),
    ],
    ids=["head", "body", "chunks", "body of a GET", "lines", "nothing"],
)  # fmt: skip
def test_a_request_has_to_come_in_time(limited: Served, begin: bytes, more: bytes) -> None:
    started = time.monotonic()
    with connected(limited) as one:
        one.settimeout(0.1)
        one.sendall(begin)
        answer = b""
        while time.monotonic() - started < 20 * PATIENCE:
            with suppress(ConnectionError):  # what it has said before that is read all the same
                one.sendall(more)
            try:
                data = one.recv(1 << 16)
            except TimeoutError:
                continue
            except ConnectionError:
                break
            if not data:
                break
            answer += data
        else:
            pytest.fail("it is still open")
    assert time.monotonic() - started > PATIENCE * 0.8
    if begin.startswith(b"GET /healthz HTTP/1.1\r\nHost"):
        assert answer.startswith(b"HTTP/1.1 200 ")
    elif begin or more:
        refused(answer, 408)
    else:
        assert answer == b""


def test_what_comes_late_but_in_time_is_answered(limited: Served) -> None:
    started = time.monotonic()
    with connected(limited) as one:
        for _ in range(8):  # each request has time of its own
            for part in (b"GET /healthz HT", b"TP/1.1\r\nHost: x\r", b"\n\r\n"):
                time.sleep(PATIENCE / 20)  # on a busy machine it is more
                one.sendall(part)
            answer = one.recv(1 << 16)
            while not answer.endswith(b"\r\n\r\nok\n"):  # it may come in pieces
                data = one.recv(1 << 16)
                assert data, answer
                answer += data
            assert answer.startswith(b"HTTP/1.1 200 ")
    assert time.monotonic() - started > PATIENCE


# --- too large, or no HTTP -----------------------------------------------------------------------


def test_heads_of_any_size_are_refused(limited: Served) -> None:
    line = b"X: " + b"y" * 997 + b"\r\n"
    for head in (
        b"GET /healthz HTTP/1.1\r\n" + line * 100 + b"\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + line * 100,  # and goes on
    ):
        with connected(limited) as one:
            one.sendall(head)
            refused(rest(one), 431)
    with connected(limited) as one:
        one.sendall(b"GET /healthz HTTP/1.1\r\n" + line * 50 + b"Connection: close\r\n\r\n")
        assert rest(one).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "text", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"hello\r\n\r\n", b"GET  HTTP/1.1\r\n\r\n",
             b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n"]
)  # fmt: skip
def test_what_is_no_http_is_told_so(limited: Served, text: bytes) -> None:
    with connected(limited) as one:
        one.sendall(text)
        refused(rest(one), 400)


def test_bodies_of_any_size_are_refused(root: Path) -> None:
    with seqarchive.connect(root) as archive:
        app = create_app(archive, limits=Limits(body=1000))
    with running(app) as here:
        for path in ("/comparison/lab:x", "/collection/lab:x/regions", "/ga4gh/drs/v1/objects"):
            answer = requests.post(here + path, data=b"[" * 1001, timeout=20)
            assert (answer.status_code, answer.json()["status_code"]) == (413, 413)


def test_a_body_that_is_going_to_be_too_large_is_refused_at_once(
    root: Path, tmp_path: Path
) -> None:
    """Before any of it has come, and long before the time for it is over."""
    with command_serving(root, tmp_path) as served:
        for path in (
            "/comparison/lab:x", "/collection/lab:x/regions", "/ga4gh/drs/v1/objects",
            "/api/tracks",
        ):  # fmt: skip
            with connected(served) as one:
                one.settimeout(10)
                one.sendall(
                    f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
                    .encode()
                )  # fmt: skip
                answer = rest(one)
            assert refused(answer, 413)["connection"] == "close"


def test_all_errors_have_one_shape(limited: Served) -> None:
    for method, path, status in (
        ("GET", "/nothing", 404), ("GET", "//", 404), ("POST", "/healthz", 405),
        ("PUT", "/sequence/t:a", 405), ("DELETE", "/metrics", 405), ("GET", "/releases/x", 404),
        ("POST", "/releases/r1/manifest.json", 405), ("GET", "/store/x", 404),
        ("GET", "/comparison/lab:x", 405), ("POST", "/comparison/lab:x", 400),
        ("GET", "/sequence/t:a?start=9", 416), ("BREW", "/sequence/t:a", 400),
        ("PROPFIND", "/", 405), ("GET", "/releases/r1/nothing", 404),
    ):  # fmt: skip
        with connected(limited) as one:
            head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            one.sendall(head.encode())
            refused(rest(one), status)


# --- computations --------------------------------------------------------------------------------


def test_what_takes_too_long_is_answered_and_the_rest_goes_on(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(collections, "compare", lambda *_, **__: go_on.wait(20) and {})
    monkeypatch.setattr(limiting, "_WAITING", 1)
    limits = Limits(computing=Pool(1, 1.5))  # in which three have to come, on a busy machine too
    with seqarchive.connect(root) as archive, running(create_app(archive, limits=limits)) as here:
        client = Client(here)
        try:
            statuses: list[int] = []

            def compare() -> None:
                statuses.append(client.get("/comparison/lab:x/lab:x").status_code)

            threads = [threading.Thread(target=compare) for _ in range(3)]
            for thread in threads:
                thread.start()
            assert client.get("/sequence/t:a").text == "GATTACA"
            assert client.get("/list/collection").json()["pagination"]["total"] == 1
            for thread in threads:
                thread.join()
            assert sorted(statuses) == [503, 504, 504]  # one waits, and one is too many
            answer = client.get("/comparison/lab:x/lab:x")
            assert answer.status_code == 504
            assert answer.json()["status_code"] == 504
        finally:
            go_on.set()
        monkeypatch.setattr(collections, "compare", lambda *_, **__: {"digests": {"a": 1, "b": 2}})
        wait_until(lambda: client.get("/comparison/lab:x/lab:x").status_code == 200)


def test_digests_that_take_long_are_there_for_whoever_comes_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQARCHIVE_CACHE", str(tmp_path))  # or they are known
    go_on = threading.Event()
    digests = CollectionFasta.digests
    monkeypatch.setattr(
        CollectionFasta, "digests", lambda fasta: go_on.wait(20) and digests(fasta)
    )
    limits = Limits(digesting=Pool(1, 0.2))
    with seqarchive.connect(root) as archive, running(create_app(archive, limits=limits)) as here:
        client = Client(here)
        path = "/ga4gh/drs/v1/objects/lab:x"
        answer = client.get(path)
        assert (answer.status_code, "retry-after" in answer.headers) == (202, True)
        assert answer.json()["msg"]
        assert client.get(f"{path}/access/https").status_code == 200
        go_on.set()
        wait_until(lambda: client.get(path).status_code == 200)


def test_places_are_given_back_whatever_happens() -> None:
    seen: list[int] = []
    slots = Slots(1)
    slots.seen = seen.append
    slots.take()
    with pytest.raises(Exception, match="under way"):
        slots.take()
    slots.give_back()
    slots.take()
    assert (slots.n_taken, seen) == (1, [1, 0, 1])


# --- stopping, and dying -------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_under_way_is_finished(root: Path, tmp_path: Path, workers: int) -> None:
    with command_serving(root, tmp_path, "--workers", str(workers)) as served:
        with asked(served, "/sequence/t:chr", buffer=1 << 16) as one:
            found = one.recv(1 << 16)
            served.process.terminate()
            wait_until(lambda: not can_connect(served))
            assert served.process.poll() is None
            found += rest(one)
        assert found.partition(b"\r\n\r\n")[2] == CHROMOSOME
        assert served.process.wait(timeout=60) == 0
        assert "Traceback" not in served.log.read_text()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_that_is_taken(root: Path, limited: Served, workers: int) -> None:
    command = [sys.executable, "-m", "seqarchive", "--root", str(root), "serve"]
    done = subprocess.run(
        [*command, "--port", str(limited.port), "--workers", str(workers)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("seqarchive: ")
    assert "in use" in line
    assert "choose another --port" in line


def can_connect(served: Served) -> bool:
    try:
        connected(served).close()
    except ConnectionError:
        return False
    return True


def test_a_process_that_dies_is_replaced_and_stays_counted(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    with command_serving(root, tmp_path, "--workers", "2") as served:
        wait_until(lambda: len(served.workers()) == 2)
        before = served.workers()
        for _ in range(20):
            with asked(served, "/sequence/t:a") as one:
                assert rest(one).endswith(b"GATTACA")
        wait_until(lambda: _COUNTED in requests.get(f"{served.url}/metrics", timeout=20).text)
        stream = asked(served, "/sequence/t:chr", buffer=4096)
        stream.recv(12)
        assert open_streams(served) == 1
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(set(served.workers()) - set(before)) == 2)
        stream.close()
        wait_until(lambda: answers(served))
        wait_until(lambda: open_streams(served) == 0)
        numbers = requests.get(f"{served.url}/metrics", timeout=20).text
        assert _COUNTED in numbers
        assert len(os.listdir(tmp_path / "temporary")) == 1
        assert served.stop() == 0
    assert os.listdir(tmp_path / "temporary") == []


#: Requests that were answered, when twenty were.
_COUNTED = 'kind="sequence",method="GET",status="200"} 20.0'


def answers(served: Served) -> bool:
    try:
        return requests.get(f"{served.url}/healthz", timeout=20).status_code == 200
    except requests.ConnectionError:
        return False


# --- the log -------------------------------------------------------------------------------------


def test_a_proxy_says_who_asks_only_if_it_is_trusted(
    root: Path, limited: Served, tmp_path: Path
) -> None:
    words = ("--trusted-proxy", "127.0.0.0/8", "--trusted-proxy", "::1")
    with command_serving(root, tmp_path, *words) as trusting:
        for served in (limited, trusting):
            with connected(served) as one:
                one.sendall(
                    b"GET /seqrepo/1/ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                    b"User-Agent: who\r\n"
                    b"X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n\r\n"
                )
                answer = rest(one)
            line = the_line(served, "who")
            is_believed = served is trusting
            assert line["client"] == ("192.0.2.7" if is_believed else "127.0.0.1")
            assert (b'"https://' in answer) == is_believed
    command = [sys.executable, "-m", "seqarchive", "--root", str(root), "serve"]
    done = subprocess.run(
        [*command, "--trusted-proxy", "nobody"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2


def the_line(served: Served, agent: str) -> dict[str, Any]:
    """What the log has of a request; it comes when the answer is over, of which the client may know
    before."""

    def lines() -> list[dict[str, Any]]:
        return [line for line in logged(served) if agent in (line["agent"] or "")]

    wait_until(lambda: bool(lines()))
    (line,) = lines()
    return line


def logged(served: Served) -> list[dict[str, Any]]:
    return [json.loads(line) for line in served.log.read_bytes().split(b"\n") if line[:1] == b"{"]


def test_nobody_writes_lines_of_the_log(limited: Served) -> None:
    path = "/sequence/x%0a%7B%22status%22%3A1%7D%0d%1b[31m%7f%c2%9b31m%e2%80%a8"
    with connected(limited) as one:
        one.sendall(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode()
            + b"User-Agent: odd \x9b31m \xff agent\r\n\r\n"
        )
        refused(rest(one), 404)
    line = the_line(limited, "odd")
    assert "\n" in line["path"]
    assert line["status"] == 404
    text = limited.log.read_bytes()
    assert all(letter == 10 or 32 <= letter < 127 for letter in text)
    assert not any(one.get("status") == 1 for one in logged(limited))


@pytest.fixture
def damaged(tmp_path: Path) -> tuple[Path, Path]:
    """A root without the shard of one of two sequences; the shard's path."""
    root = tmp_path / "damaged"
    command = [sys.executable, "-m", "seqarchive", "--quiet", "--root", str(root), "load"]
    one, two = CHROMOSOME[:3_000_000].decode(), CHROMOSOME[-3_000_000:].decode()
    for name, records in (
        ("lost", {"lost": one, "little": "GATTACA"}), ("both", {"kept": two, "lost": one}),
    ):  # fmt: skip
        file = write_fasta(tmp_path / f"{name}.fa", records, width=80)
        loaded = [*command, "-n", "t", "--collection", f"lab:{name}", str(file)]
        subprocess.run(loaded, check=True, stdout=subprocess.DEVNULL)
    shard = min((root / "master" / "sequences").rglob("*.fa.bgz"))
    shard.unlink()
    return root, shard


def messages(served: Served) -> list[str]:
    """Lines of the log that are about no request, but for the address."""
    lines = served.log.read_text().splitlines()
    return [line for line in lines if not line.startswith(("{", "http://"))]


def test_what_is_wrong_with_the_archive_is_told_in_a_word_and_logged(
    damaged: tuple[Path, Path], tmp_path: Path
) -> None:
    root, shard = damaged
    with command_serving(root, tmp_path) as served:
        client = Client(served.url)
        paths = (
            "/sequence/t:lost", "/sequence/t:lost?end=9", "/sequence/t:little",
            "/sequence/t:lost/composition", "/seqrepo/1/sequence/t:lost",
            "/seqrepo/1/sequence/t:little", "/ga4gh/drs/v1/objects/lab:lost",
            "/ga4gh/drs/v1/objects/lab:lost/bytes", "/collection/lab:lost/regions",
        )  # fmt: skip
        for n_before, path in enumerate(paths):
            if path.endswith("regions"):
                regions = [{"chrom": "lost", "end": 9}]
                answer = requests.post(served.url + path, json=regions, timeout=20)
            else:
                answer = client.get(path)
            assert answer.status_code == 500, path
            assert answer.json()["msg"] == (
                "what is stored is damaged or missing; the operator has to look"
            )
            assert str(tmp_path) not in answer.text
            logged_now = messages(served)
            assert len(logged_now) == n_before + 1, path
            assert str(shard.parent) in logged_now[-1]
        job = requests.post(
            f"{served.url}/api/methods/genome.gc",
            json={"genome": "lab:lost", "window": 1000, "wait": 20},
            timeout=30,
        )
        assert (job.status_code, job.json()["msg"]) == (500, answer.json()["msg"])
        listed = requests.get(f"{served.url}/api/jobs", timeout=20)
        assert listed.json()["results"][0]["status_code"] == 500
        assert str(tmp_path) not in listed.text


def test_an_answer_that_cannot_go_on_ends_the_connection(
    damaged: tuple[Path, Path], tmp_path: Path
) -> None:
    root, shard = damaged
    with command_serving(root, tmp_path) as served:
        with asked(served, "/ga4gh/drs/v1/objects/lab:both/bytes") as one:
            answer = rest(one)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert f"content-length: {(tmp_path / 'both.fa').stat().st_size}" in head.decode().lower()
        assert 3_000_000 < len(body) < 4_000_000
        assert (tmp_path / "both.fa").read_bytes().startswith(body)
        (line,) = messages(served)
        assert line.startswith("seqarchive: an answer was cut: ")
        assert str(shard.parent) in line
        assert Client(served.url).get("/healthz").status_code == 200
        assert open_streams(served) == 0


def test_a_request_about_the_server_itself_is_answered(limited: Served) -> None:
    before = messages(limited)
    with connected(limited) as one:
        one.sendall(b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = rest(one)
    assert answer.startswith(b"HTTP/1.1 ")
    assert int(answer.split(b" ")[1]) < 500
    assert messages(limited) == before


def test_a_defect_is_told_in_a_word_and_logged_on_a_line(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret")

    with seqarchive.connect(root) as archive:
        monkeypatch.setattr(archive, "collection", broken)
        with running(create_app(archive)) as here:
            answer = Client(here).get("/collection/x%0aforged")
    assert (answer.status_code, answer.json()["status_code"]) == (500, 500)
    assert "secret" not in answer.text
    (record,) = (record for record in caplog.records if record.name == "seqarchive.server")
    assert record.getMessage() == "GET /collection/x\\nforged"
