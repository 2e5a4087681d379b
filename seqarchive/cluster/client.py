"""The client of a Dask scheduler: who asks for parts, and takes them in the order of the files."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import os
import pkgutil
import queue
import re
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from distributed import Client, KilledWorker

from .. import durable
from ..batches import Batch
from ..errors import BadName, SourceError
from ..inputs import ReadInput, label_of, size_of
from ..pipeline import Pipeline, Progress
from ..version import __version__
from .jobs import TOPIC, Answer, Job, Request
from .parts import Seal, frames
from .replaying import Replayer
from .tasks import make_part

logger = logging.getLogger(__name__)

_ADDRESS = re.compile(r"(tcp|tls)://[^\s/]+:\d+\Z")

#: Seconds that a scheduler may take to answer, and that there may be no worker without a word.
PATIENCE = 10.0

#: Seconds between two looks at what the workers say.
_PAUSE = 0.25

#: SHA-256 of known files of one size that a worker is told at most.
_MOST_KNOWN = 1000

#: What Dask raises, by which of them is a matter of the version of Python.
_CANCELLED = (asyncio.CancelledError, concurrent.futures.CancelledError)
_LATE = (TimeoutError, asyncio.TimeoutError)

#: Where a worker has its version. Python's own ``resolve_name`` looks it up, so that one without
#: seqarchive can be asked too.
_VERSION = "seqarchive.version:__version__"


class _Client(Client):  # type: ignore[misc]
    """A client that is closed by who made it."""

    def __del__(self) -> None:
        """Nothing: Dask's own waits twenty seconds for what could not even begin."""


@dataclass(slots=True)
class _File:
    """A file on its way."""

    number: int
    name: str
    size: int
    future: Any = None
    done: threading.Event = field(default_factory=threading.Event)
    n_told: int = 0
    """Bytes that the progress was told of."""


class _Load:
    """One load: asks for parts, and replays them.

    Args:
        directory: Of the parts.
    """

    def __init__(
        self,
        cluster: Cluster,
        pipeline: Pipeline,
        batch: Batch,
        *,
        directory: Path,
        job: Seal,
        progress: Progress,
    ) -> None:
        self._cluster = cluster
        self._pipeline = pipeline
        self._batch = batch
        self._directory = directory
        self._job = job
        self._progress = progress
        self._files: dict[int, _File] = {}

    def ask(self, file: _File, *, may_be_known: bool = True) -> None:
        """Have a part made of a file."""
        self._files[file.number] = file
        known = self._batch.sources.sha256s_of(file.size, _MOST_KNOWN) if may_be_known else []
        request = Request(
            version=__version__,
            directory=str(self._directory),
            job=self._job,
            number=file.number,
            name=file.name,
            path=str(Path(file.name).absolute()),
            size=file.size,
            known=tuple(known),
        )
        self._cluster.submit(file, request)

    def take(self, file: _File) -> None:
        """Wait for what came of a file, and send it on."""
        answer = self._answer(file)
        if not self._is_there_already(file, answer):
            if answer.part is None:  # it is known, but its names are others now
                self.ask(file, may_be_known=False)
                answer = self._answer(file)
            self._replay(file, answer)
        self._tell(file, file.size)
        del self._files[file.number]
        for part in self._directory.glob(f"{file.number}.*"):  # also of workers that died
            durable.remove(part)

    def _answer(self, file: _File) -> Answer:
        answer = self._cluster.answer(file, self._tell_all)
        if answer.problem is not None:
            raise SourceError(
                f"worker {answer.worker}: {answer.problem} ({label_of(file.name)}); nothing was "
                "changed"
            )
        return answer

    def _is_there_already(self, file: _File, answer: Answer) -> bool:
        """Store a file whose bytes were loaded before, if that is possible."""
        storer = self._pipeline.storer
        if answer.source is None or not storer.may_know(file.size):
            return False
        n_bytes, sha256 = answer.source
        source = ReadInput(label_of(file.name), n_bytes, sha256)
        return storer.store_again(source, self._pipeline.task)

    def _replay(self, file: _File, answer: Answer) -> None:
        task, storer, packer = self._pipeline.task, self._pipeline.storer, self._pipeline.packer
        assert packer is not None
        if answer.part is None:
            raise SourceError(f"worker {answer.worker} made nothing of {label_of(file.name)}")
        replayer = Replayer(task, storer, packer, label_of(file.name))
        replayer.replay(frames(self._directory / answer.part, answer.seal))

    def _tell_all(self, _n_bytes: int) -> None:
        for file in list(self._files.values()):
            self._tell(file, min(file.size, self._cluster.told(file.number)))

    def _tell(self, file: _File, n_bytes: int) -> None:
        if n_bytes > file.n_told:
            self._progress(n_bytes - file.n_told)
            file.n_told = n_bytes


class Cluster:
    """The workers of a scheduler, while it is entered.

    Raises:
        BadName: The address is none. SourceError: The scheduler does not answer, or it or a worker
            has not the same version.
    """

    def __init__(self, address: str) -> None:
        if _ADDRESS.match(address) is None:
            raise BadName(
                f"{address!r} is no address of a scheduler: tcp://HOST:PORT or tls://HOST:PORT"
            )
        self.address = address
        self._client: Client
        self._futures: dict[int, Any] = {}
        self._directory: str | None = None
        self._told: dict[int, int] = {}
        self._levels: dict[str, int] = {}

    def __enter__(self) -> Cluster:
        self._silence()
        try:
            self._client, versions = self._asked()
        except BaseException:
            self._speak()
            raise
        try:
            self._require_one_version(versions)
            self._client.subscribe_topic(TOPIC, self._hear)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _asked(self) -> tuple[Any, dict[str, object]]:
        """A client, and who has which version. Dask itself would wait for ever for a scheduler that
        takes a connection and says nothing, so that a thread does, and is left alone with it."""
        answers: queue.Queue[Any] = queue.Queue()
        is_late = threading.Event()

        def ask() -> None:
            client = None
            try:
                client = _Client(self.address, timeout=PATIENCE, set_as_default=False)
                answers.put((client, _versions(client)))
                is_wanted = not is_late.is_set()
            except Exception as error:
                answers.put(error)
                is_wanted = False
            if client is not None and not is_wanted:
                client.close(timeout=2)

        threading.Thread(target=ask, name="seqarchive-connect", daemon=True).start()
        try:
            answer = answers.get(timeout=PATIENCE + 1)
        except queue.Empty:
            is_late.set()
            answer = TimeoutError(f"it took {PATIENCE:.0f} s")
        if isinstance(answer, Exception):
            raise SourceError(
                f"the scheduler {self.address} cannot be reached ({_shown(answer)}); nothing was "
                "changed"
            )
        found: tuple[Any, dict[str, object]] = answer
        return found

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._cancel()
            with contextlib.suppress(Exception):  # the scheduler may have gone
                self._client.close(timeout=2)
        finally:
            self._speak()

    def _silence(self) -> None:
        """Dask has loggers of its own, on standard error; what it says is said here in a line."""
        for name in ("distributed", *logging.root.manager.loggerDict):
            if name.partition(".")[0] == "distributed":
                dask = logging.getLogger(name)
                self._levels[name] = dask.level
                dask.setLevel(logging.CRITICAL + 1)

    def _speak(self) -> None:
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)

    def _cancel(self) -> None:
        """Have nothing begun that was asked for and not done."""
        futures, self._futures = list(self._futures.values()), {}
        if futures:
            with contextlib.suppress(Exception):
                self._client.cancel(futures, force=True)

    def _require_one_version(self, versions: dict[str, object]) -> None:
        for who, version in versions.items():
            # One that cannot be asked just now is asked again with each task.
            if version == __version__ or isinstance(version, (OSError, TimeoutError)):
                continue
            has = "no seqarchive" if isinstance(version, Exception) else f"seqarchive {version}"
            raise SourceError(
                f"{who} {self.address} has {has}: install seqarchive {__version__}, as it is here, "
                "for the scheduler and all workers"
            )

    def _hear(self, event: tuple[float, Any]) -> None:
        """What a worker says, in a thread of the client's."""
        with contextlib.suppress(ValueError, TypeError):
            directory, number, n_bytes = event[1]
            if directory == self._directory:  # there may be other loads
                self._told[int(number)] = int(n_bytes)

    def send(
        self,
        pipeline: Pipeline,
        batch: Batch,
        temporary: Path,
        names: Iterable[str],
        *,
        skip_errors: bool,
        progress: Progress,
    ) -> None:
        """Have files read by the workers, and send what they make of them on, in their order.

        Args:
            temporary: Where unfinished files of the archive are.

        Raises:
            SourceError: A worker or the scheduler failed. What loading here raises: Likewise.
        """
        files = [_File(n, name, size_of(name) or 0) for n, name in enumerate(names)]
        directory = temporary.absolute() / f"parts-{os.urandom(8).hex()}"
        directory.mkdir(parents=True)
        self._directory = str(directory)
        try:
            job = Job(pipeline.task, skip_errors).write(directory / "job")
            load = _Load(self, pipeline, batch, directory=directory, job=job, progress=progress)
            waiting: deque[_File] = deque()
            for file in files:
                load.ask(file)
                waiting.append(file)
                if len(waiting) >= self._n_ahead():
                    load.take(waiting.popleft())
            for file in waiting:
                load.take(file)
        finally:
            self._cancel()
            durable.remove_shared_directory(directory)

    def _n_ahead(self) -> int:
        """Files that workers may be ahead: enough for all, without filling the disk."""
        return 2 + 2 * self._n_threads()

    def _n_threads(self) -> int:
        """Threads of all workers that there are now."""
        try:
            threads: dict[str, int] = self._client.nthreads()
        except Exception as error:
            raise SourceError(self._gone(error)) from None
        return sum(threads.values())

    def submit(self, file: _File, request: Request) -> None:
        """Have a worker make a part of a file."""
        key = f"{Path(request.directory).name}-{file.number}-{os.urandom(4).hex()}"
        file.done.clear()
        try:
            file.future = self._client.submit(make_part, request.plain(), key=key, pure=False)
        except Exception as error:
            raise SourceError(self._gone(error)) from None
        self._futures[file.number] = file.future
        file.future.add_done_callback(lambda _: file.done.set())

    def answer(self, file: _File, tell: Progress) -> Answer:
        """What came of a file; waits for it.

        Args:
            tell: Called with bytes that were read, of whatever file.
        """
        lonely = time.monotonic() + PATIENCE
        while True:
            file.done.wait(_PAUSE)
            tell(0)
            if file.done.is_set():
                try:
                    plain = file.future.result(timeout=PATIENCE)
                except _LATE:  # who had the answer has died; another one is at it
                    continue
                except (Exception, *_CANCELLED) as error:
                    raise SourceError(self._failure(file, error)) from None
                file.future = None
                del self._futures[file.number]  # the scheduler may forget it
                return Answer.of(plain)
            if time.monotonic() > lonely:
                lonely = time.monotonic() + 6 * PATIENCE
                if not self._n_threads():
                    logger.warning("%s has no worker; waiting for one", self.address)

    def _failure(self, file: _File, error: BaseException) -> str:
        name = label_of(file.name)
        if isinstance(error, KilledWorker):
            return (
                f"{name}: one worker after another died of it (out of memory?), the last was "
                f"{error.last_worker.address}; nothing was changed"
            )
        if isinstance(error, _CANCELLED):
            return self._gone(error)
        if isinstance(error, (ImportError, AttributeError)):
            return (
                f"a worker of {self.address} has another seqarchive, or none: install "
                f"{__version__}, as it is here, for all ({_shown(error)})"
            )
        return f"{name}: a worker failed ({type(error).__name__}: {_shown(error)})"

    def _gone(self, error: BaseException) -> str:
        return (
            f"the scheduler {self.address} has gone; nothing was changed, try again "
            f"({_shown(error)})"
        )

    def told(self, number: int) -> int:
        """Bytes that were read of a file, as far as is known."""
        return self._told.get(number, 0)


def _versions(client: Client) -> dict[str, object]:
    """The version that everybody has, or an error instead."""
    found = client.run(pkgutil.resolve_name, _VERSION, on_error="return")
    versions = {f"worker {worker} of": answer for worker, answer in found.items()}
    try:
        versions["the scheduler"] = client.run_on_scheduler(pkgutil.resolve_name, _VERSION)
    except (ImportError, AttributeError) as error:
        versions["the scheduler"] = error
    return versions


def _shown(error: BaseException) -> str:
    """What Dask says, on one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
