"""A real Dask cluster of processes on this machine, and a process that loads with it.

``python tests/clusters.py`` answers commands, one a line, without an import of Dask for each.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seqarchive import Archive, SeqArchiveError, commands, connect

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))

from conftest import Result
from helpers import wait_until

_HERE = Path(__file__).parent
#: The package under test, for processes with another working directory.
_PACKAGE = str(_HERE.parent)


class Cluster:
    """A scheduler and its workers, each a process with one thread.

    Args:
        directory: For logs, and where workers are.
        settings: Environment of its processes.
    """

    def __init__(self, directory: Path, **settings: str) -> None:
        self.directory = directory
        self._settings = settings
        self.workers: dict[int, subprocess.Popen[bytes]] = {}
        self._scheduler: subprocess.Popen[bytes] | None = None
        self.address = ""

    def start(self, path: str = _PACKAGE) -> None:
        """Start the scheduler.

        Args:
            path: Where it finds seqarchive.
        """
        file = self.directory / "scheduler.json"
        options = ["--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file)]
        options += ["--idle-timeout", "600"]  # should these tests be killed
        self._scheduler = self._started("scheduler", path, "dask_scheduler", *options)
        wait_until(lambda: _is_json(file), 60)
        self.address = json.loads(file.read_text())["address"]

    def add_worker(self, path: str = _PACKAGE) -> int:
        """Start a worker, without waiting for it. Returns its process id."""
        # Each has a directory of its own, in which nobody else sees anything.
        name = f"worker{len(list(self.directory.glob('*.log')))}"
        options = (self.address, "--nthreads", "1", "--no-nanny", "--death-timeout", "60")
        worker = self._started(name, path, "dask_worker", *options)
        self.workers[worker.pid] = worker
        return worker.pid

    def wait_for_workers(self) -> None:
        """Wait until all that live are known to the scheduler."""
        for worker in self.workers.values():
            log = self.directory / f"{self._name(worker)}.log"
            wait_until(lambda log=log: b"Registered to" in log.read_bytes(), 60)  # type: ignore[misc]

    def _name(self, worker: subprocess.Popen[bytes]) -> str:
        assert isinstance(worker.args, list)
        return str(worker.args[-1])

    def _started(
        self, name: str, path: str, program: str, *options: str
    ) -> subprocess.Popen[bytes]:
        place = self.directory / name
        place.mkdir()
        command = [sys.executable, "-m", f"distributed.cli.{program}", *options]
        command += ["--no-dashboard", "--local-directory", name] if "worker" in name else []
        with open(self.directory / f"{name}.log", "wb") as log:
            return subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                cwd=place,
                env={**os.environ, **self._settings, "PYTHONPATH": path},
                start_new_session=True,
            )

    def kill(self, pid: int) -> None:
        """Kill a worker, and wait until it is dead."""
        worker = self.workers.pop(pid)
        worker.kill()
        worker.wait()

    def stop(self) -> None:
        """End all of it."""
        for pid in list(self.workers):
            self.kill(pid)
        self.kill_scheduler()

    def kill_scheduler(self) -> None:
        """Kill the scheduler, if there is one."""
        if self._scheduler is not None:
            self._scheduler.kill()
            self._scheduler.wait()


def _is_json(path: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return bool(json.loads(path.read_text()))
    return False


class Loader:
    """A process that runs command lines, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=directory,
            env={**os.environ, "PYTHONPATH": _PACKAGE},
        )

    def __call__(self, *arguments: str | os.PathLike[str], **settings: Any) -> Result:
        """Run ``seqarchive ARGUMENTS``.

        Args:
            settings: ``patience``: seconds that a scheduler may take to answer; on a busy machine
                it may well take more than whoever runs a command has patience for.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = json.dumps([[os.fspath(one) for one in arguments], settings]) + "\n"
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()
        return Result(*json.loads(self._process.stdout.readline()))

    def python(self, root: Path, file: Path, address: str) -> Any:
        """The same through ``Archive.load``: the report and all progress, or the error."""
        return json.loads(self(root, file, address, python=True).out)

    def stop(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        assert self._process.wait(60) == 0


@contextlib.contextmanager
def command(*arguments: str | os.PathLike[str]) -> Iterator[subprocess.Popen[str]]:
    """A command line as a process of its own, which can be interrupted."""
    process = subprocess.Popen(
        [sys.executable, "-m", "seqarchive", *(os.fspath(one) for one in arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": _PACKAGE},
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)


def _answer(arguments: list[str], settings: Mapping[str, Any]) -> Result:
    import seqarchive.cluster.client as client  # noqa: PLC0415

    if settings.get("python"):
        return Result(0, json.dumps(_through_python(*arguments)), "")
    client.PATIENCE = settings.get("patience", 60.0)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = commands.run(arguments)
    return Result(code, out.getvalue(), err.getvalue())


def _through_python(root: str, file: str, address: str) -> dict[str, Any]:
    read: list[int] = []
    commands.run(["--root", root, "init"])
    with connect(root) as archive:
        assert isinstance(archive, Archive)
        try:
            report = archive.load(file, "t", scheduler=address, progress=read.append)
        except SeqArchiveError as error:
            return {type(error).__name__: str(error)}
    return {**report.as_dict(), "progress": sum(read)}


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(_answer(*json.loads(line))), file=answers, flush=True)
