"""Repair: take from copies what is there once more, rebuild what can be rebuilt, take in or move
aside what nobody names, say what cannot."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import durable, tallies
from .batches import Batch
from .bgzf import Index
from .copies import Copies, Wanted, named_files, wanted
from .database import Database, SequenceRow, ShardRow
from .errors import Corrupt, ReadOnly
from .identifiers import digest_text
from .instances import MASTER, Instance, repair_from_copy
from .journal import INDEX_SUFFIXES
from .manifests import ManifestFile, read_manifest
from .new_sequences import NewSequence
from .releases import Releasing, listed_sha256, releases
from .shard_writer import ShardFiles
from .shards import UNWRAPPED, beside, file_sha256
from .verifying import Finding, Letters, ShardText, fai_line_of, file_problem, hashed, verify
from .writing import Writing


@dataclass(slots=True)
class RepairReport:
    """What was mended, and what could not be."""

    replaced: list[tuple[str, str]] = field(default_factory=list)
    """Files that came from a copy, and where they were there."""
    rebuilt: list[str] = field(default_factory=list)
    adopted: list[str] = field(default_factory=list)
    moved_aside: list[str] = field(default_factory=list)
    not_repaired: list[Finding] = field(default_factory=list)
    snapshots: list[str] = field(default_factory=list)
    """Names of those that have the damage that was mended."""
    batch: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "replaced": [{"path": path, "from": place} for path, place in self.replaced],
            "rebuilt": self.rebuilt,
            "adopted": self.adopted,
            "moved_aside": self.moved_aside,
            "not_repaired": [str(finding) for finding in self.not_repaired],
            "snapshots": self.snapshots,
            "batch": self.batch,
        }


def repair(instance: Instance, copy: str | None = None) -> RepairReport:
    """Take damaged files from copies, rebuild the indexes of shards, and adopt shards that no row
    names or move them aside.

    A shard whose residues are damaged and that nobody has once more is not touched: what is lost
    is in the source files that ``log`` names. A snapshot is mended by a copy alone.

    Args:
        copy: Address of one, as for ``Copies``; the snapshots of the root are looked at anyhow.

    Raises:
        NotFound, SourceError: Of the copy. ReadOnly: A snapshot, without a copy.
    """
    if instance.name != MASTER and copy is not None:
        return _repair_snapshot(instance, copy)
    if instance.name != MASTER and instance.directory.is_dir():
        raise ReadOnly(
            f"{instance.name!r} is a snapshot and never changes; "
            f"{repair_from_copy(instance.directory)} takes what is damaged from a copy"
        )
    instance.require_writable()
    instance.require()
    report = RepairReport()
    with closing(Copies(instance, copy)) as copies, Writing(instance) as writing:
        with closing(Database.of(instance)) as database:
            _replace_damaged(instance, database, _Mending(instance, copies, report))
            ranges = database.shard_ranges()
            for shard in database.shards():
                rows = database.sequences_in(shard.id, *ranges.get(shard.id, (0, -1)))
                _rebuild_indexes(instance, shard, rows, report)
            known = {row.path for row in database.shards()}
        orphans = [path for path in writing.journal.shards() if path not in known]
        if orphans:
            _adopt(instance, writing, orphans, report)
        writing.journal.remove_empty_directories()
        with suppress(sqlite3.DatabaseError):  # of a database that cannot be read, verify speaks
            if tallies.is_wrong(writing.connection):
                tallies.forget(writing.connection)
                report.rebuilt.append(f"{instance.database.name}, {tallies.KEY}")
    report.not_repaired += verify(instance, full=True).findings
    report.snapshots = _snapshots_with(instance, report.replaced)
    return report


class _Mending:
    """Damaged files of an instance, and right ones in their place.

    Args:
        temporary: A directory of the same file system for what is not complete.
    """

    def __init__(
        self,
        instance: Instance,
        copies: Copies,
        report: RepairReport,
        temporary: Path | None = None,
    ) -> None:
        self._instance = instance
        self._copies = copies
        self._report = report
        self._temporary = temporary or instance.temporary

    def mend(self, file: Wanted) -> bool:
        """Whether a copy had the file, which now is as it should be."""
        path = self._instance.directory / file.path
        is_directory = path.is_dir() and not path.is_symlink()
        if is_directory and any(path.iterdir()):
            return False  # whoever made it knows what is in it
        self._temporary.mkdir(exist_ok=True)
        unfinished = self._temporary / "replacement"
        durable.remove(unfinished)
        found = self._copies.bring(file, unfinished)
        if found is None:
            return False
        durable.make_directory(path.parent)
        if is_directory:
            path.rmdir()
        if os.path.lexists(path):
            durable.publish_again(unfinished, path)
        else:
            durable.publish(unfinished, path)
            durable.fsync(path.parent)
        self._report.replaced.append((file.path, found))
        return True


def _replace_damaged(instance: Instance, database: Database, mending: _Mending) -> None:
    """Take from copies the shards that are damaged, and the files of tracks. Indexes of shards are
    made from these."""
    for file in named_files(instance, database):
        if not file.path.endswith(INDEX_SUFFIXES) and _is_damaged(instance, file):
            mending.mend(wanted(file))


def _is_damaged(instance: Instance, file: ManifestFile) -> bool:
    path = instance.directory / file.path
    return file_problem(path, file.n_bytes, bytes.fromhex(file.sha256)) is not None


def _snapshots_with(instance: Instance, replaced: list[tuple[str, str]]) -> list[str]:
    """Snapshots whose file of this name is not the one that is right."""
    names = []
    for release in releases(instance.root):
        files = {file.path: file for file in release.found.manifest.files}
        for path, _ in replaced:
            file = files.get(path)
            if file is not None and _is_damaged(release.instance, file):
                names.append(release.instance.name)
                break
    return names


def _repair_snapshot(instance: Instance, copy: str) -> RepairReport:
    """Have each file of a snapshot as its manifest says, and that as ``releases.json`` says."""
    instance = Instance.at(instance.root, instance.name)
    if not instance.directory.is_dir():
        instance.require()
    report = RepairReport()
    with closing(Copies(instance, copy)) as copies, Releasing(instance.root) as releasing:
        mending = _Mending(instance, copies, report, releasing.temporary)
        try:
            durable.make_writable(instance.directory)
        except OSError as error:
            raise ReadOnly(f"{instance.directory} cannot be written ({error.strerror})") from None
        try:
            _mend_snapshot(instance, mending)
        finally:
            durable.remove_directory(releasing.temporary)
            durable.seal_directory(instance.directory)
    report.not_repaired += verify(instance, full=True).findings
    return report


def _mend_snapshot(instance: Instance, mending: _Mending) -> None:
    listed = listed_sha256(instance.root, instance.name)
    name = instance.manifest.name
    if listed is not None and (
        not instance.is_snapshot or file_sha256(instance.manifest)[1].hex() != listed
    ):
        mending.mend(Wanted(name, None, listed))
    if not instance.is_snapshot:
        return  # nobody knows what belongs to it
    for file in read_manifest(instance).manifest.files:
        if _is_damaged(instance, file):
            mending.mend(wanted(file))


def _rebuild_indexes(
    instance: Instance, shard: ShardRow, rows: Iterable[SequenceRow], report: RepairReport
) -> None:
    path = instance.journal / shard.path
    sound = file_problem(path, shard.size_bytes, shard.sha256) is None
    for name, size, sha256 in shard.files[:-1]:
        index = instance.journal / name
        if not sound or file_problem(index, size, sha256) is None:
            continue
        data = (
            b"".join(fai_line_of(row, shard.wrapping) for row in rows)
            if index.suffix == ".fai"
            else _gzi_of(path)
        )
        if hashlib.sha256(data).digest() != sha256:
            continue  # verify says what is wrong
        if index.is_dir():
            aside = instance.directory / "aside" / name
            durable.move(index, aside)
            report.moved_aside.append(aside.relative_to(instance.directory).as_posix())
        durable.replace(index, data, instance.temporary)
        report.rebuilt.append(f"{instance.journal.name}/{name}")


def _gzi_of(path: Path) -> bytes:
    walk = ShardText(path)
    while any(walk.take(1 << 20)):
        pass
    return Index.of(walk.index).to_bytes()


def _adopt(
    instance: Instance, writing: Writing, orphans: Iterable[str], report: RepairReport
) -> None:
    """Take in the sequences of shards that no row names, or move the shards aside."""
    with Batch(writing.connection, "repair") as batch:
        for path in orphans:
            if _adopt_shard(instance, batch, path):
                report.adopted.append(f"{instance.journal.name}/{path}")
            else:
                _move_aside(instance, path, report)
        if report.adopted:
            report.batch = batch.id
            writing.commit(batch, report.as_dict())


def _adopt_shard(instance: Instance, batch: Batch, path: str) -> bool:
    """Add rows for the records of a shard. False if it cannot be read, or not all of them are new
    and hash to their names."""
    file = instance.journal / path
    if any(beside(file, suffix).is_dir() for suffix in INDEX_SUFFIXES):
        return False
    shard_id = batch.new_shard_id()
    try:
        # A link leads anywhere; a pipe says nothing for ever.
        if not stat.S_ISREG(file.lstat().st_mode):
            return False
        text = ShardText(file)
        rows = _new_rows(text, batch, shard_id)
    except (Corrupt, OSError):  # or an index without a shard
        return False
    if not rows or batch.sequences.find(list(rows)):
        return False
    lines = (
        UNWRAPPED.fai_line(digest_text(row.digest), row.length, row.offset or 0)
        for row in rows.values()
    )
    indexes = {".fai": "".join(lines).encode("ascii"), ".gzi": Index.of(text.index).to_bytes()}
    for suffix, data in indexes.items():
        durable.replace(beside(file, suffix), data, instance.temporary)
    files = ShardFiles(
        file,
        *file_sha256(file),
        *_size_and_sha256(indexes[".fai"]),
        *_size_and_sha256(indexes[".gzi"]),
        first_digest=next(iter(rows)),
        n_sequences=len(rows),
        n_residues=sum(row.length for row in rows.values()),
    )
    batch.add_shard(shard_id, path, files)
    batch.sequences.add(rows.values())
    return True


def _new_rows(text: ShardText, batch: Batch, shard_id: int) -> dict[bytes, NewSequence]:
    """Rows for the records of a shard, by their digests; none if one does not hash to its name or
    is there twice."""
    rows: dict[bytes, NewSequence] = {}
    while header := b"".join(text.line()):
        offset = text.position
        letters = Letters()
        digest, md5, sha1 = hashed(letters.of(text.line()))
        is_right = header == f">{digest_text(digest)}".encode("ascii") and not letters.has_others
        if not is_right or digest in rows:
            return {}
        length = text.position - offset - 1
        rows[digest] = NewSequence(
            batch.sequences.new_id(), digest, md5, sha1, length, letters.mask, shard_id, offset
        )
    return rows


def _size_and_sha256(data: bytes) -> tuple[int, bytes]:
    return len(data), hashlib.sha256(data).digest()


def _move_aside(instance: Instance, path: str, report: RepairReport) -> None:
    """Move a shard with its indexes out of the journal, under the same path."""
    for suffix in ("", *INDEX_SUFFIXES):
        file = instance.journal / (path + suffix)
        if durable.exists(file):
            durable.move(file, instance.directory / "aside" / (path + suffix))
            report.moved_aside.append(f"aside/{path}{suffix}")
    durable.remove_empty_directories((instance.journal / path).parent, instance.journal)
