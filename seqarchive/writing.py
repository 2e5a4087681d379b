"""Opening an instance to change it: the lock, what a crash left, and the way back.

Every change of an instance goes through ``Writing``. The order is always: lock, clean up, declare
the journal directory, publish shards, commit, clear. Killed between any two of these, the archive
is as before the change or as after it.
"""

from __future__ import annotations

import errno
import logging
import sqlite3
from types import TracebackType
from typing import Any

from . import durable
from .batches import Batch, connect_for_writing, create_database
from .errors import Conflict
from .instances import LATEST, MASTER, Instance, damaged_database
from .journal import Journal, is_inside
from .rgstore import is_store
from .track_files import TrackFiles, is_track_path, track_paths

logger = logging.getLogger(__name__)


def initialise(instance: Instance) -> None:
    """Create an empty archive.

    Raises:
        Conflict: There is one already.
    """
    instance.require_writable()
    if instance.database.exists():
        raise Conflict(f"there is an archive in {instance.root} already")
    with Writing(instance):
        pass


def initialise_new(instance: Instance) -> None:
    """Create an empty archive where there is none, for what needs nothing but one."""
    if instance.name == MASTER and not instance.database.exists():
        initialise(instance)


class Writing:
    """The right and the means to change an instance, for one change at a time.

    Args:
        dry_run: Only look: clean up nothing, and leave no trace.

    Raises:
        ReadOnly: A snapshot, or a place that cannot be written. Locked: Another writer is at it.
    """

    def __init__(self, instance: Instance, *, dry_run: bool = False) -> None:
        instance.require_writable()
        self.instance = instance
        self.journal = Journal(instance)
        self.tracks = TrackFiles(instance)
        self.directory: str | None = None
        self.connection: sqlite3.Connection
        self._lock = durable.WriterLock(instance.lock)
        self._committing = False
        self._dry_run = dry_run

    def __enter__(self) -> Writing:
        if is_store(self.instance.root) and not self.instance.database.exists():
            raise Conflict(f"{self.instance.root} is a RefgetStore; choose another root")
        durable.make_root(self.instance.journal)
        self._lock.__enter__()
        try:
            if not self.instance.database.is_file():
                self.instance.require_no_shards()
                create_database(self.instance.database, self.instance.temporary)
                self._say_what_it_hides()
            self.connection = connect_for_writing(self.instance.database)
            durable.fsync(self.instance.directory)
            if self._dry_run:
                return self
            interrupted = self._lock.interrupted
            if interrupted is not None or self.journal.leftovers():
                self._forget_failed_commits()
                self._clean(interrupted.journal if interrupted is not None else None)
                self._clean_tracks()
            self.remove_dropped()
            self._lock.declare(None)
        except BaseException as error:
            self._lock.__exit__(None, None, None)
            self._name_damage(error)
            raise
        return self

    def _name_damage(self, error: BaseException | None) -> None:
        # Of the damage that SQLite itself finds in the file; what failed otherwise has a subclass.
        if type(error) is sqlite3.DatabaseError:
            raise damaged_database(self.instance.database, f"is damaged ({error})") from error

    def _say_what_it_hides(self) -> None:
        if (self.instance.root / LATEST).is_symlink():
            logger.warning(
                "%s has a %s of its own now, which is read in place of its releases; "
                "`--instance %s` reads the newest of these",
                self.instance.root,
                MASTER,
                LATEST,
            )

    def _forget_failed_commits(self) -> None:
        """Frames of a commit that failed must not come back once its shards are gone."""
        execute = self.connection.execute
        (patience,) = execute("PRAGMA busy_timeout").fetchone()
        execute("PRAGMA busy_timeout = 0")
        try:
            (is_busy, *_) = execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            execute(f"PRAGMA busy_timeout = {patience}")
        if is_busy:
            # Somebody reads on, and may for hours. A commit of our own, that changes nothing, takes
            # the place of the first of those frames; the others are worth nothing without it.
            (version,) = execute("PRAGMA user_version").fetchone()
            execute(f"PRAGMA user_version = {version}")
        else:
            log = self.instance.database
            durable.fsync(log.with_name(f"{log.name}-wal"))  # SQLite only cuts it

    def open_directory(self) -> str:
        """The journal directory that this change may publish shards into."""
        if self.directory is None:
            self.directory = self.journal.new_directory()
            self._lock.declare(self.directory)
        return self.directory

    def remove_dropped(self) -> None:
        """Remove the files of shards and of tracks that a commit has dropped, and note that they
        are gone."""
        execute = self.connection.execute
        waiting = execute("SELECT id, path FROM dropped_shards WHERE NOT is_removed").fetchall()
        for shard_id, path in waiting:
            if is_inside(path):
                self.journal.remove(path)
            execute("UPDATE dropped_shards SET is_removed = 1 WHERE id = ?", (shard_id,))
        waiting = execute("SELECT id, path FROM dropped_tracks WHERE NOT is_removed").fetchall()
        if waiting:
            known = track_paths(self.connection)
            for row, path in waiting:
                # What was computed again meanwhile has the same name.
                if is_track_path(path) and path not in known:
                    self.tracks.remove(path)
                execute("UPDATE dropped_tracks SET is_removed = 1 WHERE id = ?", (row,))

    def commit(self, batch: Batch, report: dict[str, Any], *, n_records: int = 0) -> None:
        """Commit a batch: visible and durable on return.

        If it fails, nobody knows yet what the disk has of it, and what was published stays for
        the next writer to judge.
        """
        self._committing = True
        batch.commit(report, n_records=n_records)
        self._committing = False

    def _clean(self, directory: str | None) -> None:
        known = {path for (path,) in self.connection.execute("SELECT path FROM shards")}
        self.journal.clean(directory, known)

    def _clean_tracks(self) -> None:
        self.tracks.clean(track_paths(self.connection))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
            error.filename = str(self.instance.directory)  # for whoever has to make room
        try:
            if not self._committing and not self._dry_run:
                if error is not None:
                    self._clean(self.directory)
                    if self.tracks.has_published:
                        self._clean_tracks()
                self._lock.clear()
        finally:
            self.connection.close()
            self._lock.__exit__(kind, error, traceback)
        self._name_damage(error)
