"""Computations that outlast their requests: a few threads, and a file for each job, so that every
process that serves the archive knows how far it is and can have it end."""

from __future__ import annotations

import json
import os
import re
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .. import durable
from ..errors import NotFound, SeqArchiveError
from ..tracks.watching import Cancelled, Watch, watched_by
from .answers import logger, told
from .asking import Refused

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"

#: What a job can be.
STATES = (QUEUED, RUNNING, DONE, FAILED, CANCELLED)

#: In which it stays.
OVER = (DONE, FAILED, CANCELLED)

#: Jobs that are over and are remembered by a process, and seconds for which they are.
_REMEMBERED, _SECONDS = 200, 3600.0

#: Seconds between two looks at the jobs that are under way, and after which one that nobody has
#: looked at is one whose process has ended.
_PAUSE, _SILENCE = 0.5, 15.0

#: Seconds after which whoever was refused may come again.
_LATER = {"Retry-After": "10"}

#: The digest of a provenance, and what tells one attempt from another.
_ID = re.compile(r"[A-Za-z0-9_-]{32}\.[0-9a-f]{12}\Z")

Work = Callable[[], str]


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


@dataclass(eq=False)
class Job:
    """One computation.

    Args:
        key: The digest of the provenance: equal requests have one job.
        directory: Where its file is.
        work: Gives the id of the track.
    """

    key: str
    operation: str
    directory: Path
    work: Work
    id: str = ""
    state: str = QUEUED
    done: int = 0
    total: int = 0
    track_id: str | None = None
    error: str | None = None
    status: int | None = None
    created: str = field(default_factory=_now)
    started: str | None = None
    ended: str | None = None
    over: Future[None] = field(default_factory=Future)
    ended_at: float = 0.0
    _written: str = ""
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.id = f"{self.key}.{secrets.token_hex(6)}"
        self.watch = Watch(self._told)

    def _told(self, done: int, total: int) -> None:
        self.done, self.total = done, total

    def as_dict(self) -> dict[str, Any]:
        """For JSON; ``done`` and ``total`` in residues."""
        return {
            "job_id": self.id,
            "operation": self.operation,
            "state": self.state,
            "done": self.done,
            "total": self.total,
            "track_id": self.track_id,
            "error": self.error,
            "status_code": self.status,
            "created_at": self.created,
            "started_at": self.started,
            "ended_at": self.ended,
        }

    @property
    def path(self) -> Path:
        """Its file."""
        return self.directory / f"{self.id}.json"

    def run(self) -> None:
        """Compute it, in this thread."""
        self.started, self.state = _now(), RUNNING
        self.write()
        try:
            with watched_by(self.watch):
                self.watch.step(0, 0)
                self.track_id = self.work()
        except Cancelled:
            self.end(CANCELLED)
        except Refused as error:
            self.end(FAILED, error.message, error.status)
        except SeqArchiveError as error:
            status, words = told(error)
            self.end(FAILED, words, status)
        except Exception as error:  # a defect of ours: told in a word, and in full in the log
            logger.error("job %s", self.operation, exc_info=error)
            self.end(FAILED, "an error of the server; it was logged", 500)
        else:
            self.end(DONE)

    def end(self, state: str, error: str | None = None, status: int | None = None) -> None:
        """Note how it ended."""
        self.error, self.status, self.ended = error, status, _now()
        if state == DONE:
            self.done = self.total
        self.ended_at = time.monotonic()
        self.state = state
        self.write()
        with suppress(OSError):
            durable.remove(self.path.with_suffix(".cancel"))
        self.over.set_result(None)

    def write(self) -> None:
        """Let other processes know how it is. One that cannot be told is not told."""
        with self._writing, suppress(OSError):
            text = json.dumps(self.as_dict())
            if text == self._written:
                os.utime(self.path)
            else:
                durable.write_loosely(self.path, text.encode("utf-8"))
                self._written = text

    def look(self) -> None:
        """Show that its process is alive, and end it if another process was told to."""
        if self.path.with_suffix(".cancel").exists():
            self.watch.cancel()
        if self.state not in OVER:
            self.write()


class Jobs:
    """The jobs of a process, and the files of those of others.

    Args:
        n_threads: That compute.
        n_waiting: Jobs that wait for one of them at most.
    """

    def __init__(self, n_threads: int = 2, n_waiting: int = 32) -> None:
        self._n_threads = n_threads
        self._n_waiting = n_waiting
        self._lock = threading.Condition()
        self._queue: deque[Job] = deque()
        self._live: dict[tuple[Path, str], Job] = {}
        self._known: OrderedDict[str, Job] = OrderedDict()
        self._threads: list[threading.Thread] = []
        self._looking: threading.Thread | None = None
        self._is_closed = False

    # --- what can be asked ------------------------------------------------------------------------

    def submit(self, directory: Path, key: str, operation: str, work: Work) -> dict[str, Any]:
        """Have something computed, unless somebody is at it.

        Args:
            directory: Where the files of jobs are.
            key: The digest of its provenance.
            work: Computes it, and gives the id of the track.

        Returns:
            The job, as ``Job.as_dict``.

        Raises:
            Refused: 503: Too many wait already.
        """
        _forget_old(directory)
        elsewhere = [one for one in _files(directory, f"{key}.") if one["state"] not in OVER]
        with self._lock:
            job = self._live.get((directory, key))
            if job is not None and not job.watch.is_cancelled:
                return job.as_dict()
            for known in elsewhere:
                if known["job_id"] not in self._known:
                    return known
            if len(self._queue) >= self._n_waiting:
                raise Refused(503, "too many computations wait already; come again", _LATER)
            job = Job(key, operation, directory, work)
            self._live[directory, key] = self._known[job.id] = job
            self._queue.append(job)
            self._start()
        job.write()
        return job.as_dict()

    def get(self, directory: Path, job_id: str) -> dict[str, Any]:
        """A job of any process.

        Raises:
            NotFound: There is none, or it was over long ago.
        """
        job = self._known.get(job_id)
        if job is not None and job.directory == directory:
            return job.as_dict()
        found = _read(directory / f"{job_id}.json") if _ID.match(job_id) else None
        if found is None:
            raise NotFound(f"there is no job {job_id!r}; what was over long ago is forgotten")
        return found

    def future(self, job_id: str) -> Future[None] | None:
        """Is over when a job of this process is; None for one of another."""
        job = self._known.get(job_id)
        return None if job is None else job.over

    def all(self, directory: Path) -> list[dict[str, Any]]:
        """The jobs of all processes, the newest first."""
        found = {one["job_id"]: one for one in _files(directory, "")}
        with self._lock:
            mine = [job for job in self._known.values() if job.directory == directory]
        found |= {job.id: job.as_dict() for job in mine}
        return sorted(found.values(), key=lambda one: (one["created_at"], one["job_id"]))[::-1]

    def cancel(self, directory: Path, job_id: str) -> dict[str, Any]:
        """Have a job end at its next step; one that is over stays as it is.

        Raises:
            NotFound: There is none.
        """
        found = self.get(directory, job_id)
        job = self._known.get(job_id)
        if found["state"] in OVER:
            return found
        if job is None:
            durable.write_loosely(directory / f"{job_id}.cancel", b"")
            return found
        job.watch.cancel()
        with self._lock:
            is_waiting = job in self._queue
            if is_waiting:
                self._queue.remove(job)
        if is_waiting:
            job.end(CANCELLED)
            self._ended(job)
        return job.as_dict()

    def close(self, seconds: float = 3.0) -> None:
        """Have all jobs end, and wait for them, but not for long."""
        with self._lock:
            self._is_closed = True
            live = list(self._live.values())
        deadline = time.monotonic() + seconds
        for job in live:
            self.cancel(job.directory, job.id)
        with self._lock:
            self._lock.notify_all()
            threads = [*self._threads, *([self._looking] if self._looking else [])]
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        with self._lock:
            self._threads = [one for one in self._threads if one.is_alive()]
            self._looking = None
            self._is_closed = False

    # --- what goes on -----------------------------------------------------------------------------

    def _start(self) -> None:
        """As many threads as there is work for. They are not waited for when the process ends: what
        they would publish is published whole, or not at all."""
        if len(self._threads) < self._n_threads:
            thread = threading.Thread(target=self._work, name="job", daemon=True)
            self._threads.append(thread)
            thread.start()
        if self._looking is None:
            self._looking = threading.Thread(target=self._look, name="jobs", daemon=True)
            self._looking.start()
        self._lock.notify_all()

    def _work(self) -> None:
        while True:
            with self._lock:
                while not self._queue and not self._is_closed:
                    self._lock.wait()
                if not self._queue:
                    return
                job = self._queue.popleft()
            job.run()
            self._ended(job)

    def _ended(self, job: Job) -> None:
        with self._lock:
            if self._live.get((job.directory, job.key)) is job:
                del self._live[job.directory, job.key]
            old = [one for one in self._known.values() if one.state in OVER]
            gone = old[: max(0, len(old) - _REMEMBERED)]
            gone += [one for one in old if time.monotonic() - one.ended_at > _SECONDS]
            for one in gone:
                self._known.pop(one.id, None)
        for one in gone:
            durable.remove(one.path)

    def _look(self) -> None:
        """Look after the jobs that are under way."""
        while True:
            with self._lock:
                if self._is_closed:
                    return
                if not self._live:
                    self._looking = None
                    return
                live = list(self._live.values())
            for job in live:
                job.look()
            with self._lock:
                self._lock.wait_for(lambda: self._is_closed, _PAUSE)


# --- the files of jobs ----------------------------------------------------------------------------


def _files(directory: Path, prefix: str) -> Iterator[dict[str, Any]]:
    try:
        names = [path.name for path in directory.iterdir()]
    except OSError:
        return
    for name in names:
        if name.startswith(prefix) and name.endswith(".json") and _ID.match(name[:-5]):
            found = _read(directory / name)
            if found is not None:
                yield found


def _read(path: Path) -> dict[str, Any] | None:
    """What a file says of a job; None if there is none, or none that makes sense."""
    try:
        age = time.time() - path.stat().st_mtime
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or found.get("state") not in STATES:
        return None
    if found.get("job_id") != path.stem or not isinstance(found.get("created_at"), str):
        return None
    if found["state"] not in OVER and age > _SILENCE:
        found |= {
            "state": FAILED,
            "error": "the process that computed it has ended; ask for it again",
            "status_code": 503,
        }
    return found


def _forget_old(directory: Path) -> None:
    """Remove what processes left that have ended, or have forgotten it."""
    now = time.time()
    with suppress(OSError):
        for path in directory.iterdir():
            with suppress(OSError):
                if now - path.stat().st_mtime > _SECONDS + 60:
                    durable.remove(path)
