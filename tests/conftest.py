"""What all tests share: an archive, real data, and two ways to run the command line."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pytest
from hypothesis import HealthCheck, settings

import seqarchive
from seqarchive import commands

# The same examples in every run, so that one that passes is one that passes; --all goes on
# searching at random.
# No example has to be quick, nor to be thought of quickly: a busy machine is no counterexample.
_UNHURRIED: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow],
}
settings.register_profile("repeatable", derandomize=True, **_UNHURRIED)
settings.register_profile("searching", derandomize=False, **_UNHURRIED)
settings.load_profile("searching" if os.environ.get("SEQARCHIVE_ALL_FAULTS") else "repeatable")

# A shell that runs this in the background has it ignore Ctrl-C; what it starts must not.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Result(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Cli(Protocol):
    """Runs ``seqarchive --root ROOT ARGUMENTS``; ROOT is that of the ``root`` fixture."""

    def __call__(self, *arguments: str | os.PathLike[str], stdin: bytes = b"") -> Result: ...


@pytest.fixture(scope="session", autouse=True)
def cache_of_this_run(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What other runs have kept is none of ours."""
    os.environ.setdefault("SEQARCHIVE_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where an archive can be; there is none yet."""
    return tmp_path / "archive"


@pytest.fixture
def archive(root: Path, cli: Cli) -> Iterator[seqarchive.Archive]:
    """An empty archive in ``root``."""
    assert cli("init").code == 0
    with seqarchive.connect(root) as opened:
        yield opened


@pytest.fixture(scope="session")
def data() -> Path:
    """The real and the hostile files; ``INDEX.tsv`` says what they are."""
    return Path(__file__).parent / "data"


@pytest.fixture
def cli(root: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line as a function."""

    def run(*arguments: str | os.PathLike[str], stdin: bytes = b"") -> Result:
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8"))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = commands.run(_with_root(root, arguments))
        return Result(code, *(_text(stream) for stream in (out, err)))

    return run


def _with_root(root: Path, arguments: tuple[str | os.PathLike[str], ...]) -> list[str]:
    """The arguments, with the root of the fixture unless they say which."""
    words = [os.fspath(part) for part in arguments]
    options = words[: words.index("--")] if "--" in words else words
    return words if "--root" in options else ["--root", str(root), *words]


def _text(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


@pytest.fixture
def process(root: Path) -> Cli:
    """The command line as a process."""

    def run(*arguments: str | os.PathLike[str], stdin: bytes = b"") -> Result:
        command = [sys.executable, "-m", "seqarchive", *_with_root(root, arguments)]
        done = subprocess.run(command, input=stdin, capture_output=True, check=False)
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


def pytest_collection_finish() -> None:
    """What was collected stays; to look through it again and again takes a tenth of the time."""
    gc.collect()
    gc.freeze()
