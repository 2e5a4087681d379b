"""Servers for the tests, on loopback: files over HTTP with what can go wrong, and a bucket."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

_RANGE = re.compile(r"bytes=(\d+)-(\d*)\Z")


@dataclass
class Answer:
    """What a server is about to say; a fault changes it."""

    path: str
    status: int
    headers: dict[str, str]
    body: bytes
    cut: int | None = None
    """Close the connection after so many bytes of the body."""
    pause: float = 0.0
    """Seconds between bytes of the body."""


Fault = Callable[[Answer], None]


@dataclass
class Asked:
    """A request that came."""

    path: str
    range: str | None
    n_bytes: int


@dataclass
class FileServer:
    """Files of a directory over HTTP, as a static server gives them.

    ``fault`` may change any answer; ``asked`` has what was asked for and how much was sent.
    """

    root: Path
    knows_ranges: bool = True
    fault: Fault | None = None
    asked: list[Asked] = field(default_factory=list)
    url: str = ""

    @property
    def n_bytes(self) -> int:
        """Bytes of all bodies that were sent."""
        return sum(one.n_bytes for one in self.asked)

    def reset(self) -> None:
        """Forget what was asked."""
        self.asked.clear()


def _answer(server: FileServer, path: str, wanted: str | None) -> Answer:
    file = server.root / unquote(urlsplit(path).path).lstrip("/")
    if not file.is_file():
        return Answer(path, 404, {}, b"not here")
    size = file.stat().st_size
    match = _RANGE.match(wanted or "")
    if match is None or not server.knows_ranges:
        return Answer(path, 200, {"Content-Length": str(size)}, file.read_bytes())
    start = int(match[1])
    end = min(int(match[2]) + 1 if match[2] else size, size)
    if start >= size:
        return Answer(path, 416, {"Content-Range": f"bytes */{size}", "Content-Length": "0"}, b"")
    with open(file, "rb") as handle:
        handle.seek(start)
        body = handle.read(end - start)
    headers = {"Content-Range": f"bytes {start}-{end - 1}/{size}", "Content-Length": str(len(body))}
    return Answer(path, 206, headers, body)


def _handler(server: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            answer = _answer(server, self.path, wanted)
            if server.fault is not None:
                server.fault(answer)
            try:
                n_bytes = self._send(answer)
            except (BrokenPipeError, ConnectionResetError):
                n_bytes = 0
            server.asked.append(Asked(unquote(self.path), wanted, n_bytes))

        def _send(self, answer: Answer) -> int:
            body = answer.body
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(body)), **answer.headers}.items():
                if value:
                    self.send_header(name, value)
            self.end_headers()
            if answer.cut is not None:
                self.wfile.write(body[: answer.cut])
                self.wfile.flush()
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return min(answer.cut, len(body))
            if answer.pause:
                for at in range(0, len(body), 64):
                    self.wfile.write(body[at : at + 64])
                    self.wfile.flush()
                    time.sleep(answer.pause)
            else:
                self.wfile.write(body)
            return len(body)

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


@contextmanager
def serving(root: Path, *, knows_ranges: bool = True) -> Iterator[FileServer]:
    """A server of the files below a directory."""
    server = FileServer(root, knows_ranges)
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(server)) as listening:
        listening.daemon_threads = True
        server.url = f"http://127.0.0.1:{listening.server_address[1]}"
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Bucket:
    """An endpoint of S3 whose buckets are directories."""

    directory: Path
    environment: dict[str, str]

    def url(self, bucket: str) -> str:
        """Of a bucket, which is made if it is not there."""
        (self.directory / bucket).mkdir(exist_ok=True)
        return f"s3://{bucket}"


@contextmanager
def serving_s3(directory: Path) -> Iterator[Bucket]:
    """An endpoint of S3, with signed requests."""
    rclone = shutil.which("rclone", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert rclone is not None
    directory.mkdir(exist_ok=True)
    port = free_port()
    process = subprocess.Popen(
        [rclone, "serve", "s3", "--auth-key", "test,secret", "--addr", f"127.0.0.1:{port}",
         "--vfs-cache-mode", "off", "--config", os.devnull, str(directory)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.05)
        yield Bucket(
            directory,
            {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "secret",
                "AWS_DEFAULT_REGION": "us-east-1",
            },
        )
    finally:
        process.terminate()
        process.wait()
