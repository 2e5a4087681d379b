"""Repair: rebuild what can be rebuilt, take in or move aside what nobody names, say what cannot."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import durable
from .batches import Batch, NewSequence
from .bgzf import Index
from .database import Database, SequenceRow, ShardRow
from .errors import Corrupt
from .identifiers import digest_text
from .instances import Instance
from .journal import INDEX_SUFFIXES
from .shard_writer import ShardFiles
from .shards import UNWRAPPED, beside, file_sha256
from .verifying import Finding, Letters, ShardText, fai_line_of, file_problem, hashed, verify
from .writing import Writing


@dataclass(slots=True)
class RepairReport:
    """What was mended, and what could not be."""

    rebuilt: list[str] = field(default_factory=list)
    adopted: list[str] = field(default_factory=list)
    moved_aside: list[str] = field(default_factory=list)
    not_repaired: list[Finding] = field(default_factory=list)
    batch: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "rebuilt": self.rebuilt,
            "adopted": self.adopted,
            "moved_aside": self.moved_aside,
            "not_repaired": [str(finding) for finding in self.not_repaired],
            "batch": self.batch,
        }


def repair(instance: Instance) -> RepairReport:
    """Rebuild the indexes of shards, and adopt shards that no row names or move them aside.

    A shard whose residues are damaged is not touched: what is lost is in another copy, or in the
    source files that ``log`` names.
    """
    instance.require()
    report = RepairReport()
    with Writing(instance) as writing:
        with closing(Database.of(instance)) as database:
            ranges = database.shard_ranges()
            for shard in database.shards():
                rows = database.sequences_in(shard.id, *ranges.get(shard.id, (0, -1)))
                _rebuild_indexes(instance, shard, rows, report)
            known = {row.path for row in database.shards()}
        orphans = [path for path in writing.journal.shards() if path not in known]
        if orphans:
            _adopt(instance, writing, orphans, report)
        writing.journal.remove_empty_directories()
    report.not_repaired += verify(instance, full=True).findings
    return report


def _rebuild_indexes(
    instance: Instance, shard: ShardRow, rows: Iterable[SequenceRow], report: RepairReport
) -> None:
    path = instance.journal / shard.path
    sound = file_problem(path, shard.size_bytes, shard.sha256) is None
    for suffix, size, sha256 in (
        (".fai", shard.fai_bytes, shard.fai_sha256),
        (".gzi", shard.gzi_bytes, shard.gzi_sha256),
    ):
        index = beside(path, suffix)
        if not sound or file_problem(index, size, sha256) is None:
            continue
        data = (
            b"".join(fai_line_of(row, shard.wrapping) for row in rows)
            if suffix == ".fai"
            else _gzi_of(path)
        )
        if hashlib.sha256(data).digest() != sha256:
            continue  # verify says what is wrong
        if index.is_dir():
            aside = instance.directory / "aside" / (shard.path + suffix)
            durable.move(index, aside)
            report.moved_aside.append(aside.relative_to(instance.directory).as_posix())
        durable.replace(index, data, instance.temporary)
        report.rebuilt.append(f"{instance.journal.name}/{shard.path}{suffix}")


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
            try:
                adopted = _adopt_shard(instance, batch, path)
            except (Corrupt, FileNotFoundError):  # or an index without a shard
                adopted = False
            if adopted:
                report.adopted.append(f"{instance.journal.name}/{path}")
            else:
                report.moved_aside += _move_aside(instance, path)
        if report.adopted:
            report.batch = batch.id
            writing.commit(batch, report.as_dict())


def _adopt_shard(instance: Instance, batch: Batch, path: str) -> bool:
    """Add rows for the records of a shard. False if not all of them are new and hash to their
    names."""
    file = instance.journal / path
    text = ShardText(file)
    shard_id = batch.new_shard_id()
    rows: dict[bytes, NewSequence] = {}
    while header := b"".join(text.line()):
        offset = text.position
        letters = Letters()
        digest, md5, sha1 = hashed(letters.of(text.line()))
        if header != f">{digest_text(digest)}".encode("ascii") or digest in rows:
            return False
        length = text.position - offset - 1
        rows[digest] = NewSequence(
            batch.new_sequence_id(), digest, md5, sha1, length, letters.mask, shard_id, offset
        )
    if not rows or batch.known_sequences(list(rows)):
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
    batch.add_sequences(rows.values())
    return True


def _size_and_sha256(data: bytes) -> tuple[int, bytes]:
    return len(data), hashlib.sha256(data).digest()


def _move_aside(instance: Instance, path: str) -> list[str]:
    """Move a shard with its indexes out of the journal, under the same path."""
    moved = []
    for suffix in ("", *INDEX_SUFFIXES):
        file = instance.journal / (path + suffix)
        if file.exists():
            durable.move(file, instance.directory / "aside" / (path + suffix))
            moved.append(f"aside/{path}{suffix}")
    durable.remove_empty_directories((instance.journal / path).parent, instance.journal)
    return moved
