"""Tasks: what a worker of Dask does, one file at a time."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from distributed import get_worker

from .. import durable
from ..errors import SeqArchiveError
from ..lanes import Lanes
from ..load_options import LoadOptions, LoadReport
from ..pipeline import Engine, Pipeline
from ..version import __version__
from .jobs import TOPIC, Answer, Job, Request
from .parts import PartWriter, Seal
from .recording import Recorder

#: Seconds between two words about how much was read, and looks at whether anybody waits for it.
_PAUSE = 0.4


class Unfit(Exception):
    """This worker cannot do what it is asked to."""


def make_part(plain: dict[str, Any]) -> dict[str, Any]:
    """Read, hash and compress one file, and write what comes out into the directory of the load.

    Takes a ``Request`` and returns an ``Answer``, both plain. What is wrong with the file is in the
    part, for whoever comes to it.
    """
    worker = get_worker()
    try:
        answer = made_part(plain, worker.address, worker.log_event)
    except Unfit as error:
        answer = Answer(worker.address, str(error))
    except OSError as error:
        what = error.filename or "what it made"
        answer = Answer(worker.address, f"{what} cannot be written ({error.strerror or error})")
    except MemoryError:
        answer = Answer(worker.address, "out of memory")
    return answer.plain()


def made_part(plain: dict[str, Any], worker: str, say: Callable[[str, Any], None]) -> Answer:
    """The same without Dask.

    Args:
        worker: Who says that of himself.
        say: Takes a topic, and where what was read how far.

    Raises:
        Unfit: This worker cannot. OSError: The disk does not.
    """
    if plain["version"] != __version__:
        raise Unfit(f"it has seqarchive {__version__}; {plain['version']} is needed")
    request = Request.of(plain)
    directory = Path(request.directory)
    if not directory.is_dir():
        raise Unfit(
            f"it does not see {directory}: the archive must lie on storage that this machine and "
            "all workers share"
        )
    job = _job(directory, request.job)
    _look_at(request)
    part = PartWriter(directory / f"{request.number}.{os.urandom(8).hex()}")
    try:
        recorder = _record(request, job, part, _Progress(request, directory, say))
        seal = part.close()
    except BaseException:
        with contextlib.suppress(OSError):
            part.close()
        durable.remove(part.path)
        raise
    if recorder.is_known:
        durable.remove(part.path)
        return Answer(worker, source=recorder.source)
    return Answer(worker, part=part.path.name, seal=seal, source=recorder.source)


@lru_cache(maxsize=2)
def _job(directory: Path, seal: Seal) -> Job:
    return Job.read(directory / "job", seal)


def _look_at(request: Request) -> None:
    """Whether the file is here what it is where the load was asked for."""
    path = Path(request.path)
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
    except OSError as error:
        raise Unfit(
            f"it cannot read {path} ({error.strerror}): files must lie where this machine and all "
            "workers find them under the same name"
        ) from None
    if not stat.S_ISREG(status.st_mode) or status.st_size != request.size:
        raise Unfit(
            f"{path} is another file there ({status.st_size:,} bytes instead of "
            f"{request.size:,}): do all workers see the same storage?"
        )


def _record(
    request: Request, job: Job, part: PartWriter, progress: Callable[[int], None]
) -> Recorder:
    task, report = job.task, LoadReport()
    options = LoadOptions(task.naming, skip_errors=job.skip_errors, threads=0)
    # One thread: how many there are to a worker, its owner decides.
    with Lanes(threaded=False) as lanes:
        engine = Engine(task, [], lanes, threads=0)
        recorder = Recorder(
            part, engine.compress, report, skip_errors=job.skip_errors, known=request.known
        )
        pipeline = Pipeline(
            task, engine=engine, storer=recorder, packer=recorder, options=options, report=report
        )
        try:
            pipeline.load(request.name, progress, path=request.path)
        except SeqArchiveError as error:
            recorder.fail(error)
    return recorder


class _Progress:
    """Says from time to time how much was read, and ends what nobody waits for any more."""

    def __init__(self, request: Request, directory: Path, say: Callable[[str, Any], None]) -> None:
        self._request = request
        self._directory = directory
        self._say = say
        self._n_bytes = 0
        self._next = time.monotonic() + _PAUSE

    def __call__(self, n_bytes: int) -> None:
        self._n_bytes += n_bytes
        if time.monotonic() < self._next:
            return
        if not self._directory.is_dir():
            raise Unfit("the load has ended")
        self._say(TOPIC, [self._request.directory, self._request.number, self._n_bytes])
        self._next = time.monotonic() + _PAUSE
