"""Mistakes that are made on purpose, in a process of the harness: each must be caught by the family
that is there for it. The program itself knows nothing of them."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from isal import isal_zlib

from seqarchive import (
    batches,
    durable,
    journal,
    reader,
    releases,
    reverting,
    shard_writer,
    shards,
    snapshots,
    verifying,
    writing,
)
from seqarchive.new_aliases import NewAliases
from seqarchive.rgstore import exporting, importing
from seqarchive.rgstore.layout import COLLECTIONS, MANIFEST, SEQUENCES
from seqarchive.seqcol import naming
from seqarchive.transfer import pulling


class Mistake(NamedTuple):
    """A way in which the program could be wrong."""

    make: Callable[[], None]
    """Changes this process; its forks have it too."""
    family: str
    """Which catches it,"""
    scenario: str
    """in this scenario,"""
    fault: str
    """by these words at the beginning of a case;"""
    about: str = ""
    """of a file of this name."""


def _set(owner: Any, name: str, value: Any) -> None:
    setattr(owner, name, value)


# --- what is durable ------------------------------------------------------------------------------


def _fsync_only(is_synced: Callable[[Path], bool]) -> None:
    real = durable.fsync
    _set(durable, "fsync", lambda path: real(path) if is_synced(path) else None)


def _no_directory() -> None:
    _fsync_only(lambda path: not path.is_dir())


def _no_file() -> None:
    _fsync_only(Path.is_dir)


def _synchronous(mode: str) -> None:
    real = batches.connect_for_writing

    def connect(database: Path | None) -> sqlite3.Connection:
        connection = real(database)
        connection.execute(f"PRAGMA synchronous = {mode}")
        return connection

    _set(batches, "connect_for_writing", connect)
    _set(writing, "connect_for_writing", connect)


# --- what becomes visible, and when ---------------------------------------------------------------


def _commit_before(connection: Any) -> None:
    connection.execute("COMMIT")
    connection.execute("BEGIN IMMEDIATE")


def _aliases_apart() -> None:
    real = NewAliases.add

    @functools.wraps(real)
    def add(self: NewAliases, *arguments: Any) -> None:
        _commit_before(self._connection)
        real(self, *arguments)

    _set(NewAliases, "add", add)


def _publish_late() -> None:
    waiting: list[tuple[Path, Path]] = []
    publish, commit = durable.publish, writing.Writing.commit

    def later(temporary: Path, final: Path) -> None:
        waiting.append((temporary, final))

    def committed(self: writing.Writing, *arguments: Any, **options: Any) -> None:
        commit(self, *arguments, **options)
        for temporary, final in waiting:
            publish(temporary, final)

    _set(durable, "publish", later)
    _set(journal.Journal, "discard", lambda *_: None)
    _set(writing.Writing, "commit", committed)


def _rename_over() -> None:
    def publish(temporary: Path, final: Path) -> None:
        durable.make_read_only(temporary)
        durable.fsync(temporary)
        os.replace(temporary, final)

    _set(durable, "publish", publish)


class _Halving:
    """A connection that commits in the middle."""

    def __init__(self, real: sqlite3.Connection) -> None:
        self._real = real

    def execute(self, statement: str, *arguments: Any) -> Any:
        if statement.startswith("INSERT INTO aliases SELECT"):
            _commit_before(self._real)
        return self._real.execute(statement, *arguments)


def _revert_twice() -> None:
    real = reverting._apply

    def apply(batch: batches.Batch, *arguments: Any) -> None:
        connection = batch.connection
        batch.connection = _Halving(connection)  # type: ignore[assignment]
        try:
            real(batch, *arguments)
        finally:
            batch.connection = connection

    _set(reverting, "_apply", apply)


def _named_apart() -> None:
    real, commit = naming.name_collection, writing.Writing.commit
    waiting: list[Callable[[batches.Batch], Any]] = []

    def later(_batch: batches.Batch, *arguments: Any) -> None:
        waiting.append(lambda batch: real(batch, *arguments))

    def committed(self: writing.Writing, *arguments: Any, **options: Any) -> None:
        commit(self, *arguments, **options)
        if waiting:
            with batches.Batch(self.connection, "load") as batch:
                while waiting:
                    waiting.pop()(batch)
                batch.commit({})

    _set(importing, "name_collection", later)
    _set(writing.Writing, "commit", committed)


def _manifest_first() -> None:
    real = exporting._Export.publish

    def publish(self: exporting._Export, earlier: Any) -> None:
        waiting: list[tuple[Path, str]] = []

        def later(prepared: tuple[Path, str]) -> None:
            kept = prepared[0].with_name(f"late-{len(waiting)}")
            prepared[0].rename(kept)
            waiting.append((kept, prepared[1]))

        finish = self._finish
        _set(self, "_finish", later)
        real(self, earlier)
        for one in sorted(waiting, key=lambda pair: pair[1] != MANIFEST):
            finish(one)

    _set(exporting._Export, "publish", publish)


def _lists_emptied_first() -> None:
    real = exporting._Export.publish

    def publish(self: exporting._Export, earlier: Any) -> None:
        for path in (self._directory / SEQUENCES, self._directory / COLLECTIONS):
            if path.exists():
                path.chmod(0o644)
                path.write_text(path.read_text().partition("\n")[0] + "\n")
        real(self, earlier)

    _set(exporting._Export, "publish", publish)


def _list_removed_first() -> None:
    def replace(path: Path, data: bytes, temporary: Path) -> None:
        durable.remove(path)
        durable.replace(path, data, temporary)

    _set(releases, "durable", SimpleNamespace(**{**vars(durable), "replace": replace}))


# --- what is checked ------------------------------------------------------------------------------


class _Anything(bytes):
    """Equal to whatever it is compared with."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    def __getitem__(self, key: Any) -> Any:
        return self

    __hash__ = bytes.__hash__


def _always(*_arguments: Any) -> Any:
    return SimpleNamespace(digest=_Anything, update=lambda _data: None)


def _no_digest_of_indexes() -> None:
    def sha256(*data: Any) -> Any:
        return _always() if data else hashlib.sha256()

    _set(shards, "hashlib", SimpleNamespace(sha256=sha256))


def _no_digest_of_wholes() -> None:
    _set(reader, "hashlib", SimpleNamespace(sha512=_always))


def _no_crc() -> None:
    def inflate(data: bytes | memoryview) -> bytes:
        try:
            found: bytes = isal_zlib.decompress(bytes(data)[18:-8], -15)
        except Exception:  # isal has no type for its error
            found = b""
        return found

    _set(shards, "inflate_block", inflate)


def _no_digest_of_manifests() -> None:
    _set(verifying, "listed_sha256", lambda *_: None)


def _sizes_only() -> None:
    def is_file(path: Path, file: Any) -> bool:
        return path.is_file() and path.stat().st_size == file.n_bytes

    _set(pulling, "_is_file", is_file)


# --- what else ------------------------------------------------------------------------------------


def _no_sweep() -> None:
    _set(journal.Journal, "clean", lambda *_: [])


class _SweepingOnlyItsOwn(releases.Releasing):
    def _clean(self) -> None:
        durable.remove_directory(self.root / ".snapshot")


def _no_sweep_for_others() -> None:
    _set(snapshots, "Releasing", _SweepingOnlyItsOwn)


def _no_lock() -> None:
    known = {name: getattr(fcntl, name) for name in ("LOCK_EX", "LOCK_NB", "LOCK_UN", "ioctl")}
    _set(durable, "fcntl", SimpleNamespace(flock=lambda *_: None, **known))


def _another_holder() -> None:
    def intent(_fd: int) -> durable.Intent:
        return durable.Intent(os.getpid(), "localhost", "yesterday", None)

    _set(durable, "_read_intent", intent)


def _full_disk_unnoticed() -> None:
    real = shard_writer._write_all

    def write(fd: int, data: bytes) -> None:
        with suppress(OSError):
            real(fd, data)

    def size(path: Path) -> tuple[int, bytes]:
        return _Whatever(path.stat().st_size), hashlib.sha256(path.read_bytes()).digest()

    _set(shard_writer, "_write_all", write)
    _set(shard_writer, "file_sha256", size)


class _Whatever(int):
    """A size that is always the one that was meant."""

    def __ne__(self, other: object) -> bool:
        return False

    __eq__ = int.__eq__
    __hash__ = int.__hash__


MISTAKES = {
    "directory-not-synced": Mistake(_no_directory, "order", "first", ""),
    "directory-lost": Mistake(_no_directory, "power", "first", "", "all names"),
    "file-not-synced": Mistake(_no_file, "order", "first", ""),
    "file-lost": Mistake(_no_file, "power", "replace", "", "all bytes"),
    "synchronous-off": Mistake(lambda: _synchronous("OFF"), "order", "replace", ""),
    "synchronous-normal": Mistake(lambda: _synchronous("NORMAL"), "power", "watched", "", "bytes"),
    "aliases-in-a-second-commit": Mistake(_aliases_apart, "disk", "first", "kill", "-wal"),
    "publish-after-commit": Mistake(_publish_late, "disk", "first", "kill link"),
    "rename-over-a-name": Mistake(_rename_over, "order", "second", ""),
    "revert-in-two-steps": Mistake(_revert_twice, "disk", "revert", "kill", "-wal"),
    "collections-named-in-a-second-batch": Mistake(
        _named_apart, "disk", "import-rgstore", "kill", "-wal"
    ),
    "manifest-first": Mistake(_manifest_first, "disk", "export-rgstore", "kill rename"),
    "lists-of-stores-emptied-first": Mistake(
        _lists_emptied_first, "disk", "next-export-rgstore", "kill rename", "rgci"
    ),
    "list-of-releases-removed-first": Mistake(
        _list_removed_first, "disk", "next-snapshot", "kill rename", "releases.json"
    ),
    "index-digest-not-checked": Mistake(_no_digest_of_indexes, "flip", "gzi", ""),
    "whole-digest-not-checked": Mistake(_no_digest_of_wholes, "misplace", "forged", ""),
    "crc-not-checked": Mistake(_no_crc, "flip", "shard", "0 33"),
    # The byte 80 is of the year in which it was made, which nothing else knows.
    "manifest-digest-not-checked": Mistake(
        _no_digest_of_manifests, "flip", "release", "2 64", "manifest.json"
    ),
    "pull-trusts-sizes": Mistake(_sizes_only, "flip", "mirror", "", ".fa.bgz"),
    "no-sweep-of-leftovers": Mistake(_no_sweep, "disk", "replace", "kill link"),
    "no-sweep-for-another-command": Mistake(_no_sweep_for_others, "power", "prune", ""),
    "no-lock": Mistake(_no_lock, "writers", "8", ""),
    "wrong-holder-of-the-lock": Mistake(_another_holder, "writers", "4", ""),
    "full-disk-unnoticed": Mistake(_full_disk_unnoticed, "disk", "replace", "ENOSPC write"),
}
