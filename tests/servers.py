"""Servers for the tests, on loopback: files over HTTP with what can go wrong, a bucket,
and the service."""

from __future__ import annotations

import os
import re
import shutil
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import unquote, urlsplit

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI
from helpers import wait_until

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
    reset: bool = False
    """Reset the connection at the cut, instead of closing it."""
    endless: bool = False
    """Send the body again and again, until the other side has had enough (or 256 MiB of it)."""
    sent: int = 0
    """Bytes of the body that went out, also in vain; of an endless one only."""


Fault = Callable[[Answer], None]


@dataclass
class Asked:
    """A request that came."""

    path: str
    range: str | None
    n_bytes: int
    authorization: str | None = None


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


def reset_by(connection: socket.socket) -> None:
    """Have the other side, when it has read all, see a reset (RST) instead of an end."""
    time.sleep(0.5)  # a reset throws away what is on the way
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(connection.detach())


def _write_body(answer: Answer, out: BufferedIOBase) -> None:
    body = answer.body
    if answer.endless:
        while answer.sent < 256 << 20:
            out.write(body)
            answer.sent += len(body)
    elif answer.pause:
        for at in range(0, len(body), 64):
            out.write(body[at : at + 64])
            out.flush()
            time.sleep(answer.pause)
    else:
        out.write(body)


def _handler(server: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            answer = _answer(server, self.path, wanted)
            if server.fault is not None:
                server.fault(answer)
            # Noted before it is sent: who has the answer may look at once.
            asked = Asked(
                unquote(self.path), wanted, len(answer.body), self.headers.get("Authorization")
            )
            server.asked.append(asked)
            try:
                asked.n_bytes = self._send(answer)
            except (BrokenPipeError, ConnectionResetError):
                asked.n_bytes = 0

        def _send(self, answer: Answer) -> int:
            body = answer.body
            if answer.endless:
                answer.headers = {**answer.headers, "Content-Length": "", "Connection": "close"}
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(body)), **answer.headers}.items():
                if value:
                    self.send_header(name, value)
            self.end_headers()
            if answer.cut is not None:
                self.wfile.write(body[: answer.cut])
                self.wfile.flush()
                self.close_connection = True
                if answer.reset:
                    reset_by(self.connection)
                else:
                    with suppress(OSError):
                        self.connection.shutdown(socket.SHUT_RDWR)
                return min(answer.cut, len(body))
            _write_body(answer, self.wfile)
            return len(body)

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


class _Listening(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is none of ours."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextmanager
def serving(
    root: Path, *, knows_ranges: bool = True, tls: ssl.SSLContext | None = None
) -> Iterator[FileServer]:
    """A server of the files below a directory; over HTTPS, if it has a certificate."""
    server = FileServer(root, knows_ranges)
    with _Listening(("127.0.0.1", 0), _handler(server)) as listening:
        server.url = f"http://127.0.0.1:{listening.server_address[1]}"
        if tls is not None:
            server.url = server.url.replace("http:", "https:")
            listening.socket = tls.wrap_socket(listening.socket, server_side=True)
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()


def certificate_in(directory: Path) -> Path:
    """A certificate of 127.0.0.1, signed by itself; its key is in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a server")])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = directory / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port at which nobody listens, and which nobody is given who asks for any; a server that
    asks for it by its number gets it, if it sets SO_REUSEADDR as servers do."""
    with socket.socket() as holding:
        holding.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holding.bind(("127.0.0.1", 0))
        yield int(holding.getsockname()[1])


def wait_until_listening(
    port: int, process: subprocess.Popen[bytes], messages: Path = Path(os.devnull)
) -> None:
    """Wait until a process listens at a port; if it ends, its messages are shown."""

    def is_listening() -> bool:
        assert process.poll() is None, messages.read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
            return True
        return False

    wait_until(is_listening)


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
    with reserved_port() as port:
        process = subprocess.Popen(
            [rclone, "serve", "s3", "--auth-key", "test,secret", "--addr", f"127.0.0.1:{port}",
             "--vfs-cache-mode", "off", "--config", os.devnull, str(directory)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_until_listening(port, process)
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


# --- the service --------------------------------------------------------------------------------


@contextmanager
def running(app: FastAPI) -> Iterator[str]:
    """An application on a real server; its address."""
    config = uvicorn.Config(app, log_level="error", lifespan="on", server_header=False)
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
            if hasattr(app.state, "service"):  # of ours
                app.state.service.close()


@dataclass
class Served:
    """``seqarchive serve`` in a process of its own."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def is_answering(self) -> bool:
        """Whether somebody is there to answer; fails if nobody ever will."""
        assert self.process.poll() is None, self.log.read_text()
        where = ("127.0.0.1", self.port)
        with suppress(OSError), socket.create_connection(where, timeout=5) as one:
            one.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return one.recv(12).endswith(b"200")
        return False

    def workers(self) -> list[int]:
        """The processes that it started to serve, by their ids."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        found = []
        for pid in listed.split():
            with suppress(FileNotFoundError):  # it has ended since
                if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(int(pid))
        return found

    def stop(self) -> int:
        """Its exit code."""
        self.process.terminate()
        return self.process.wait(timeout=60)


@contextmanager
def command_serving(
    root: Path | None, directory: Path, *options: str, is_verbose: bool = True
) -> Iterator[Served]:
    """``seqarchive serve`` with some options; its log goes into a directory."""
    words = ["-v", "serve"] if is_verbose else ["serve"]
    where = [] if root is None else ["--root", str(root)]
    command = [sys.executable, "-m", "seqarchive", *where, *words]
    with reserved_port() as port:
        log = directory / f"serve-{port}.log"
        with open(log, "wb") as messages:
            process = subprocess.Popen(
                [*command, "--port", str(port), *options], stderr=messages, stdout=messages
            )
        served = Served(port, process, log)
        try:
            wait_until(served.is_answering)
            yield served
        finally:
            if process.poll() is None:
                served.stop()


# --- the wire between a client and a server ---------------------------------------------------

_REQUEST = re.compile(rb"([A-Z]+) (\S+) HTTP/1\.1\r\n")


@dataclass
class Wire:
    """What goes between clients and a server on loopback: counted, and held back or cut.

    Args:
        port: Of the server.
    """

    port: int
    own_port: int = 0
    """Where clients connect to."""
    up: int = 0
    """Bytes to the server, of all connections."""
    down: int = 0
    """Bytes from it."""
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Method and target of requests, in their order."""
    most_up: int | None = None
    """When so many bytes have gone up, nothing more goes either way until ``release``."""
    most_down: int | None = None
    """The same of bytes that have come down."""
    cuts: bool = False
    """Whether a connection ends there, and everything passes again."""
    stop_at: tuple[str, str] | None = None
    """Method, and the end of the target, of a request that is held back."""
    held: threading.Event = field(default_factory=threading.Event)
    """Set when something is held back, or was cut."""
    _released: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """Of what is served, by way of here."""
        return f"http://127.0.0.1:{self.own_port}"

    def release(self) -> None:
        """Let everything pass, what was held back too if those who sent it are there still."""
        self.most_up = self.most_down = self.stop_at = None
        self._released.set()

    def carry(self, source: socket.socket, target: socket.socket, *, is_up: bool) -> None:
        """Pass on what comes, as far as it may."""
        with suppress(OSError):
            while data := source.recv(1 << 14):
                with self._lock:
                    now = data[: self._room(data, is_up=is_up)]
                    self._note(now, is_up=is_up)
                target.sendall(now)
                if len(now) == len(data):
                    continue
                self.held.set()
                if self.cuts:
                    self.release()
                    break
                self._released.wait()
                if _is_gone(source):
                    break
                self._note(data[len(now) :], is_up=is_up)
                target.sendall(data[len(now) :])
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _room(self, data: bytes, *, is_up: bool) -> int:
        """How much of it may pass."""
        if self.held.is_set() and not self._released.is_set():
            return 0
        if is_up and self.stop_at is not None:
            request = _requested(data)
            if request and request[0] == self.stop_at[0] and request[1].endswith(self.stop_at[1]):
                return 0
        most, so_far = (self.most_up, self.up) if is_up else (self.most_down, self.down)
        return len(data) if most is None else max(0, most - so_far)

    def _note(self, data: bytes, *, is_up: bool) -> None:
        if not is_up:
            self.down += len(data)
            return
        self.up += len(data)
        request = _requested(data)
        if request is not None:
            self.requests.append(request)


def _requested(data: bytes) -> tuple[str, str] | None:
    """Method and target, without its query, of a request that begins here."""
    match = _REQUEST.match(data)
    if match is None:
        return None
    return match[1].decode("latin-1"), match[2].decode("latin-1").partition("?")[0]


def _is_gone(one: socket.socket) -> bool:
    try:
        return one.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False


@contextmanager
def wired(port: int) -> Iterator[Wire]:
    """A wire to a server on loopback."""
    wire = Wire(port)
    sockets: list[socket.socket] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as server:
                server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sockets.extend((server, self.request))
                down = threading.Thread(
                    target=wire.carry, args=(server, self.request), kwargs={"is_up": False}
                )
                down.start()
                wire.carry(self.request, server, is_up=True)
                down.join()

    class Listening(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Listening(("127.0.0.1", 0), Handler) as listening:
        wire.own_port = int(listening.server_address[1])
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield wire
        finally:
            wire.release()
            listening.shutdown()
            thread.join()
            for one in sockets:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)


# --- our own ------------------------------------------------------------------------------------
