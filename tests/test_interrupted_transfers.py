"""Ctrl-C ends a transfer at once, however dead the other side is; the next one completes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from contents import random_residues, run
from helpers import started, wait_until, write_fasta
from servers import Answer, serving

import seqarchive
from seqarchive.transfer.crew import for_each

#: Seconds that are as good as at once on a busy machine; a dead server is waited for for 30.
AT_ONCE = 20


@pytest.fixture
def published(tmp_path: Path) -> Path:
    root = tmp_path / "published"
    for n in range(3):
        file = write_fasta(tmp_path / "x.fa", {f"A{n}": random_residues(f"A{n}", 90_000)})
        assert run(root, "load", "-n", "t", str(file))[0] == 0
    assert run(root, "snapshot", "r1")[0] == 0
    return root


def interrupted(
    root: Path, *arguments: str, until: Callable[[], bool]
) -> tuple[int, str, float]:
    """Exit code, messages, and the seconds that a command took to end after Ctrl-C."""
    command = [sys.executable, "-W", "error", "-m", "seqarchive", "--root", str(root), *arguments]
    with started(command, stderr=subprocess.PIPE, text=True) as process:
        wait_until(until)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, messages = process.communicate(timeout=60)
        return process.returncode, messages, time.monotonic() - began


def test_a_pull_that_its_user_interrupts_ends_at_once_and_goes_on_later(
    published: Path, tmp_path: Path
) -> None:
    asked, over = threading.Event(), threading.Event()
    n_asked = iter(range(100))

    def n_pulled() -> int:
        return len(list((tmp_path / "root").glob(".pull-r1/**/*.bgz")))

    def hang(answer: Answer) -> None:
        if answer.path.endswith(".bgz") and next(n_asked) > 0:  # the first comes
            asked.set()
            over.wait(120)

    with serving(published) as server:
        server.fault = hang
        try:
            code, messages, seconds = interrupted(
                tmp_path / "root",
                "pull",
                server.url,
                "r1",
                until=lambda: asked.is_set() and n_pulled() == 1,
            )
        finally:
            over.set()
        assert code == 130
        assert "Traceback" not in messages
        assert seconds < AT_ONCE
        assert not (tmp_path / "root" / "r1").exists()
        assert n_pulled() == 1
    with serving(published) as server:
        assert run(tmp_path / "root", "pull", server.url, "r1")[0] == 0
        assert sum(one.path.endswith(".bgz") for one in server.asked) == 2
    with seqarchive.connect(tmp_path / "root", "r1") as archive:
        assert archive.fetch("t:A2") == random_residues("A2", 90_000)


@contextmanager
def _bucket_that_hangs(asked: threading.Event, over: threading.Event) -> Iterator[str]:
    """An endpoint of an empty bucket that takes what it is given and never says so."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(404)
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(b"<Error><Code>NoSuchKey</Code></Error>")

        def do_PUT(self) -> None:
            asked.set()
            over.wait(120)

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_push_that_its_user_interrupts_ends_at_once(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, over = threading.Event(), threading.Event()
    with _bucket_that_hangs(asked, over) as endpoint:
        for name, value in {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setitem(os.environ, name, value)
        code, messages, seconds = interrupted(
            published, "push", "s3://mirror/here", "r1", until=asked.is_set
        )
    assert code == 130
    assert "Traceback" not in messages
    assert seconds < AT_ONCE


# --- the threads ------------------------------------------------------------------------------


def test_results_of_all_items_come() -> None:
    stop = threading.Event()
    assert sorted(for_each(lambda n: n * n, range(100), 4, stop)) == [n * n for n in range(100)]
    assert list(for_each(lambda n: n, [], 4, threading.Event())) == []


def test_items_that_fail_are_a_failure_and_no_wait() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("two")

    done: list[str] = []

    def go() -> None:
        with pytest.raises(ValueError, match="two"):
            list(for_each(lambda n: n, items(), 2, threading.Event()))
        done.append("raised")

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    thread.join(60)
    assert done == ["raised"]


def test_the_first_failure_is_raised_and_nobody_begins_anything_after_it() -> None:
    begun: list[int] = []
    held = threading.Event()

    def work(n: int) -> int:
        begun.append(n)
        if n == 1:
            raise ValueError("one")
        held.wait(60)
        return n

    began = time.monotonic()
    with pytest.raises(ValueError, match="one"):
        list(for_each(work, range(1000), 2, threading.Event()))
    assert time.monotonic() - began < AT_ONCE
    held.set()
    assert len(begun) <= 3
