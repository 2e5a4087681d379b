"""Reclaim: drop the residues that reverted batches brought and that nothing refers to, and the
files of tracks that were deleted.

A shard none of whose sequences is left goes; one that others are left in is written anew without
those that go. What aliases meant stays in the log, and digests and lengths with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from . import schema
from .batches import Batch
from .bgzf import Compression
from .database import require_readable
from .deflines import Naming
from .errors import Conflict
from .groups import Entry, GroupTask
from .identifiers import digest_text
from .instances import Instance
from .lanes import Lane
from .packing import SHARD_BYTES, Packer, Placed
from .reader import ArchiveReader
from .records import LONG, Record
from .releases import Releasing, releases
from .track_files import drop_row, unused_rows
from .writing import Writing


@dataclass(slots=True)
class ReclaimReport:
    """What went, and what it freed."""

    dry_run: bool
    batch: int | None = None
    sequences: int = 0
    residues: int = 0
    held_by_snapshots: int = 0
    """Sequences that would have gone if no snapshot had them."""
    shards_dropped: list[str] = field(default_factory=list)
    shards_rewritten: list[str] = field(default_factory=list)
    tracks_dropped: list[str] = field(default_factory=list)
    """Files of tracks that were deleted, or whose batches were reverted."""
    bytes_freed: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


#: Sequences that a reverted batch added, that have no name now, and that no batch but reverted
#: ones ever named or read from a file: nobody misses them, today or as of any batch that counts.
_CANDIDATES = """
    CREATE TEMP TABLE reclaiming AS
    SELECT s.id, s.shard_id FROM main.sequences s
    WHERE s.batch_id IN (SELECT reverts FROM batches WHERE reverts IS NOT NULL)
        AND NOT EXISTS (SELECT 1 FROM aliases a WHERE a.sequence_id = s.id)
        AND NOT EXISTS (
            SELECT 1 FROM ended_aliases e WHERE e.sequence_id = s.id AND e.from_batch NOT IN
                (SELECT reverts FROM batches WHERE reverts IS NOT NULL))
        AND NOT EXISTS (
            SELECT 1 FROM records r JOIN sources o ON coalesce(o.records_of, o.id) = r.source_id
            WHERE r.sequence_id = s.id AND o.batch_id NOT IN
                (SELECT reverts FROM batches WHERE reverts IS NOT NULL))"""


def reclaim(instance: Instance, *, dry_run: bool = False) -> ReclaimReport:
    """Drop what reverted batches brought, unless a snapshot has it, as one batch.

    Raises:
        Locked: A writer, or somebody who takes or prunes a snapshot, is at work.
        Conflict: A snapshot cannot be read, so that nobody knows what it has.
        Corrupt: Residues that would have to be written anew are damaged.
    """
    instance.require_writable()
    require_readable(instance)
    report = ReclaimReport(dry_run)
    with (
        nullcontext() if dry_run else Releasing(instance.root),  # no snapshot comes meanwhile
        Writing(instance, dry_run=dry_run) as writing,
        Batch(writing.connection, "reclaim") as batch,
    ):
        _choose(instance, batch, report)
        unused = unused_rows(batch.connection)
        report.tracks_dropped = [row.path for row in unused]
        report.bytes_freed += sum(row.n_bytes for row in unused)
        if report.sequences and not dry_run:
            packer = _packer(writing, batch)
            try:
                _rewrite(instance, batch, packer)
                packer.finish()
            except BaseException:
                packer.abort()
                raise
            for shard_id, path, files in packer.published:
                batch.add_shard(shard_id, path, files)
                report.bytes_freed -= files.size_bytes + files.fai_bytes + files.gzi_bytes
            _drop(batch)
        if (report.sequences or unused) and not dry_run:
            for row in unused:
                drop_row(batch, row)
            report.batch = batch.id
            writing.commit(batch, report.as_dict())
            writing.remove_dropped()
    return report


def _choose(instance: Instance, batch: Batch, report: ReclaimReport) -> None:
    """The temporary tables of the sequences that go and of the shards that lose some."""
    execute = batch.connection.execute
    for table in ("reclaiming", "losing"):
        execute(f"DROP TABLE IF EXISTS temp.{table}")
    execute(_CANDIDATES)
    report.held_by_snapshots = execute(
        "DELETE FROM temp.reclaiming WHERE id IN (SELECT id FROM sequences WHERE batch_id <= ?)",
        (_last_released(instance, batch),),
    ).rowcount
    report.sequences, report.residues = execute(
        "SELECT count(*), coalesce(sum(length), 0) FROM sequences"
        " WHERE id IN (SELECT id FROM temp.reclaiming)"
    ).fetchone()
    execute(
        "CREATE TEMP TABLE losing AS SELECT shard_id AS id, count(*) AS n_lost"
        " FROM temp.reclaiming WHERE shard_id IS NOT NULL GROUP BY shard_id"
    )
    for path, n_bytes, n_left in execute(
        "SELECT h.path, h.size_bytes + h.fai_bytes + h.gzi_bytes, h.n_sequences - l.n_lost"
        " FROM shards h JOIN temp.losing l ON l.id = h.id ORDER BY h.id"
    ):
        (report.shards_rewritten if n_left else report.shards_dropped).append(path)
        report.bytes_freed += n_bytes


def _packer(writing: Writing, batch: Batch) -> Packer:
    lane = Lane("compress", threaded=False)
    return Packer(
        writing.journal,
        writing.open_directory(),
        lambda text: lane.submit(_TASK.compress, text),
        shard_bytes=SHARD_BYTES,
        new_shard_id=batch.new_shard_id,
    )


_TASK = GroupTask(Naming(""), frozenset(), Compression.FAST, with_sha256=False)


def _rewrite(instance: Instance, batch: Batch, packer: Packer) -> None:
    """Write what is left in shards that lose sequences to others, in the same order."""
    rows = batch.connection.execute(
        "SELECT id, digest, length, letters FROM sequences"
        " WHERE shard_id IN (SELECT id FROM temp.losing)"
        " AND id NOT IN (SELECT id FROM temp.reclaiming) ORDER BY id"
    ).fetchall()
    with ArchiveReader.of(instance) as archive:
        group: list[tuple[int, Entry, Record]] = []
        n_residues = 0
        for sequence_id, digest, length, letters in rows:
            name = digest_text(digest)
            entry = Entry(0, None, digest=digest, name=name, length=length, letters=letters)
            if length > LONG:
                _place(batch, packer, group)
                group, n_residues = [], 0
                packer.begin()
                for piece in archive.pieces("sha512t24u:" + name):
                    packer.add_piece(piece.encode("ascii"))
                _update(batch, {sequence_id: packer.end(name, length)})
                continue
            residues = archive.fetch_digest(name).encode("ascii")
            group.append((sequence_id, entry, Record("", residues, letters, 0)))
            n_residues += length
            if n_residues >= LONG:
                _place(batch, packer, group)
                group, n_residues = [], 0
        _place(batch, packer, group)


def _place(batch: Batch, packer: Packer, group: list[tuple[int, Entry, Record]]) -> None:
    placed: dict[int, Placed] = {}
    entries = [entry for _, entry, _ in group]
    for unit in _TASK.pack([record for _, _, record in group], frozenset()):
        packer.add(unit, entries, placed)
    _update(batch, {group[number][0]: place for number, place in placed.items()})


def _update(batch: Batch, places: Mapping[int, Placed]) -> None:
    batch.connection.executemany(
        "UPDATE sequences SET shard_id = ?, offset = ? WHERE id = ?",
        [(*place, sequence_id) for sequence_id, place in places.items()],
    )
    # Out of an adopted shard, a record has the digest for its name.
    batch.connection.executemany(
        "DELETE FROM stored_names WHERE sequence_id = ?", [(one,) for one in places]
    )


def _drop(batch: Batch) -> None:
    execute = batch.connection.execute
    execute(
        "INSERT INTO reclaimed SELECT id, digest, length, batch_id, ? FROM sequences"
        " WHERE id IN (SELECT id FROM temp.reclaiming)",
        (batch.id,),
    )
    gone = "SELECT id FROM temp.reclaiming"
    for table, column in schema.LOOK_UPS.items():
        execute(
            f"DELETE FROM {table} WHERE id IN ({gone})"
            f" AND {column} IN (SELECT {column} FROM sequences WHERE id IN ({gone}))"
        )
    for table, column in (
        ("records", "sequence_id"),
        ("circular", "sequence_id"),
        ("ended_circular", "sequence_id"),
        ("sha256", "sequence_id"),
        ("stored_names", "sequence_id"),
        ("adopted_sequences", "sequence_id"),
        ("adopted_aliases", "sequence_id"),
        ("sequences", "id"),
    ):
        execute(f"DELETE FROM {table} WHERE {column} IN ({gone})")
    execute(
        "DELETE FROM masks WHERE NOT EXISTS (SELECT 1 FROM records r"
        " WHERE r.source_id = masks.source_id AND r.ordinal = masks.ordinal)"
    )
    # A collection without all of its members is none any more.
    execute(
        "DELETE FROM collections WHERE n_members !="
        " (SELECT count(*) FROM records r WHERE r.source_id = collections.source_id)"
    )
    lost = "collection_id NOT IN (SELECT id FROM collections)"
    execute(f"UPDATE collection_aliases SET collection_id = NULL WHERE {lost}")
    execute(f"DELETE FROM fhr WHERE {lost}")
    execute(
        "UPDATE sources SET collection_id = NULL WHERE collection_id NOT IN"
        " (SELECT id FROM collections)"
    )
    execute(
        "INSERT INTO dropped_shards SELECT id, path, ?, 0 FROM shards"
        " WHERE id IN (SELECT id FROM temp.losing)",
        (batch.id,),
    )
    execute("DELETE FROM shards WHERE id IN (SELECT id FROM temp.losing)")


def _last_released(instance: Instance, batch: Batch) -> int:
    """The last batch that a snapshot of this archive holds."""
    (archive_id,) = batch.connection.execute(
        "SELECT value FROM meta WHERE key = 'archive_id'"
    ).fetchone()
    broken: list[str] = []
    found = releases(instance.root, broken)
    if broken:
        raise Conflict(f"{broken[0]}: mend or remove this snapshot first")
    return max(
        (
            release.found.manifest.batch
            for release in found
            if release.found.manifest.archive_id == archive_id
        ),
        default=0,
    )
