"""Batches: one SQLite transaction each, the single point at which a change becomes visible.

An open batch holds SQLite's write lock; nobody sees its rows until ``commit``. Left without it,
whatever the reason, nothing of the batch remains.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any

from . import durable, namespaces, schema
from .database import require_ours
from .errors import ReadOnly, SeqArchiveError
from .new_aliases import NewAliases
from .new_sequences import NewSequences
from .new_sources import NewSources
from .schema import COPY_INTO
from .shard_writer import ShardFiles
from .tallies import TallyChanges
from .version import __version__

#: Memory for pages, in kibibytes.
_CACHE_KIB = 32_768

#: The write-ahead log is cut to this when it has been taken over, in bytes.
_LOG_BYTES = 64 << 20


def create_database(final: Path, temporary: Path) -> None:
    """Make an empty database, which appears by one rename: there is a whole one or none.

    Args:
        temporary: A directory of the same file system, whose contents do not matter.
    """
    temporary.mkdir(exist_ok=True)
    unfinished = temporary / final.name
    for suffix in ("", "-journal", "-wal", "-shm"):
        durable.remove(unfinished.with_name(unfinished.name + suffix))
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.migrate(connection)
        # Written once, without a journal and without what the first schema had and later ones
        # have not.
        unfinished.touch()  # SQLite's own files are for their owner to write, whatever the umask
        connection.execute(COPY_INTO, (os.fsencode(unfinished),))
    with closing(sqlite3.connect(unfinished, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        # Before it has its name: to change the mode writes to the file under a rollback journal,
        # and a reader cannot open what a full disk would leave of that.
        connection.execute("PRAGMA journal_mode = WAL")
    durable.publish_writable(unfinished, final)


def connect_for_writing(database: Path | None) -> sqlite3.Connection:
    """Open the database of an instance (in memory if None) for its one writer.

    Raises:
        ReadOnly: The file or the medium cannot be written. NewerFormat: A newer version made it.
        Corrupt: It is damaged, or empty; nothing is written to it.
    """
    if database is not None:
        _require_writable(database)
    # Thread affinity is off because a load's storing lane uses it; never two at a time.
    name = ":memory:" if database is None else str(database)
    connection = sqlite3.connect(name, isolation_level=None, check_same_thread=False, timeout=60)
    try:
        if database is not None:
            require_ours(connection, database)
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        # WAL: readers never wait for the writer. It is a property of the file, set once.
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL: with NORMAL, a commit in WAL mode may not survive a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        # The log of a large batch would stay as long as anybody has the database open.
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
    except sqlite3.OperationalError as error:
        connection.close()
        if "readonly" in str(error) or "unable to open" in str(error):
            raise ReadOnly(f"{name} cannot be written ({error})") from None
        raise
    except BaseException:
        connection.close()
        raise
    return connection


def _require_writable(database: Path) -> None:
    # SQLite would open it to read, and name no file when that is not enough.
    for suffix in ("", "-wal", "-shm"):
        path = database.with_name(database.name + suffix)
        if path.exists() and not os.access(path, os.W_OK):
            raise ReadOnly(f"{path} cannot be written; ask its owner for the right to it")


class Batch:
    """One change of an instance, all of it or nothing. It makes the newest format of an older one.

    Args:
        connection: From ``connect_for_writing``; the caller holds the writer's lock.
        kind: What is done: ``load``, ``import-aliases``, ...
        namespace: The namespace that the user gave, if any.
        reverts: The batch that this one undoes, if it does.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        kind: str,
        namespace: str | None = None,
        *,
        reverts: int | None = None,
    ) -> None:
        self.connection = connection
        self._kind = kind
        self._namespace = namespace
        self._reverts = reverts
        self.id = 0
        self._next_shard = 0
        self.sequences: NewSequences
        self.aliases: NewAliases
        self.sources: NewSources

    def __enter__(self) -> Batch:
        self.connection.execute("BEGIN IMMEDIATE")
        schema.migrate(self.connection)
        self.id = schema.next_id(self.connection, "batches")
        self.sequences = NewSequences(self.connection, self.id)
        self.aliases = NewAliases(self.connection, self.id, self.sequences.digest_of)
        self.sources = NewSources(self.connection, self.id)
        self._next_shard = schema.next_id(self.connection, "shards")
        self._changes = TallyChanges(self.connection)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def new_shard_id(self) -> int:
        """An id for a shard that this batch will add."""
        self._next_shard += 1
        return self._next_shard - 1

    def add_shard(self, shard_id: int, path: str, files: ShardFiles) -> None:
        """Add a published shard."""
        self.connection.execute(
            "INSERT INTO shards VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                shard_id,
                self.id,
                path,
                files.size_bytes,
                files.sha256,
                files.fai_bytes,
                files.fai_sha256,
                files.gzi_bytes,
                files.gzi_sha256,
                files.first_digest,
                files.n_sequences,
                files.n_residues,
                files.line_bases,
            ),
        )

    def namespace_id(self, namespace: str) -> int:
        """The id of a canonical namespace, new or in whatever spelling it has here."""
        self.connection.execute(
            "INSERT OR IGNORE INTO namespaces (name, batch_id) VALUES (?, ?)", (namespace, self.id)
        )
        (found,) = self.connection.execute(
            "SELECT id FROM namespaces WHERE name = ? COLLATE NOCASE", (namespace,)
        ).fetchone()
        return int(found)

    def commit(self, report: dict[str, Any], *, n_records: int = 0) -> None:
        """Record the batch and make it visible. Durable on return."""
        counts = self.aliases.settle()
        self.sequences.finish()
        self._changes.keep(self.id, self.sequences.n_added)
        self.connection.execute(
            "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self.id,
                self._kind,
                # Of the commit, not of the beginning: before it nobody saw the batch.
                time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                _user(),
                socket.gethostname(),
                __version__,
                self._namespace,
                n_records,
                self.sequences.n_added,
                self.sequences.n_residues,
                counts.added,
                counts.moved,
                counts.retired,
                json.dumps(report),
                self._reverts,
                os.urandom(8).hex(),
            ),
        )
        try:
            self.connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise SeqArchiveError(
                f"the disk failed in the commit ({error}): `seqarchive log` says whether the batch "
                "is there; if it is not, do the same again"
            ) from None


def database_keeps_sha256(database: Path) -> bool:
    """Whether ``digests add sha256`` was asked for in this archive."""
    if not database.is_file():
        return False
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as reader:
        try:
            return bool(reader.execute("SELECT 1 FROM meta WHERE key = 'sha256'").fetchone())
        except sqlite3.DatabaseError:  # no tables yet; whatever else, the writer will say
            return False


def spelling(connection: sqlite3.Connection, namespace: str) -> str:
    """The spelling of a canonical namespace in this archive."""
    if namespaces.is_canonical(namespace):
        return namespace
    found = connection.execute(
        "SELECT name FROM namespaces WHERE name = ? COLLATE NOCASE", (namespace,)
    ).fetchone()
    return namespace if found is None else str(found[0])


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, in a container
        return "unknown"
