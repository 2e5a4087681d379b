"""Verify: rows against shards against indexes.

A finding names what is wrong and where. What an interrupted load left is listed beside them: it
costs space, not truth, and goes with the next write.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import stat
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from . import schema, tallies
from .bgzf import Index, scan_blocks
from .chunks import chunk_table
from .database import Database, SequenceRow, ShardRow, is_database_open
from .errors import Corrupt, NewerFormat, NotFound, ReadOnly, SeqArchiveError, denied
from .identifiers import Digest, digest_bytes, digest_text
from .instances import MASTER, Instance
from .journal import INDEX_SUFFIXES, SHARD_SUFFIX, Journal, is_inside
from .lanes import Lanes, Pending
from .letters import RESIDUES, letters_of
from .manifests import Manifest, read_manifest
from .releases import listed_sha256
from .seqcol.archived import collections_of
from .seqcol.digests import digests_of
from .shards import HEADER_LENGTH, Wrapping, file_sha256
from .track_files import TrackFiles, is_track_path, track_paths, track_rows
from .workers import Worker, Workers

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    kind: str
    """``missing``, ``truncated``, ``changed``, ``index``, ``row``, ``foreign`` or ``database``."""
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


@dataclass(slots=True)
class VerifyReport:
    """What was checked and what was found."""

    full: bool
    shards: int = 0
    sequences: int = 0
    residues: int = 0
    findings: list[Finding] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "full": self.full,
            "ok": not self.findings,
            "shards": self.shards,
            "sequences": self.sequences,
            "residues": self.residues,
            "findings": [
                {"kind": f.kind, "where": f.where, "message": f.message} for f in self.findings
            ],
            "left_over": self.left_over,
            "seconds": self.seconds,
        }


def verify(
    instance: Instance, *, full: bool = False, progress: Progress = lambda _n: None
) -> VerifyReport:
    """Check an instance.

    Args:
        full: Hash every residue and every byte; otherwise sizes, indexes and rows.
        progress: Called with numbers of bytes of shards checked.
    """
    if instance.name == MASTER or not instance.directory.is_dir():
        instance.require()
    started = time.monotonic()
    report = VerifyReport(full)
    try:
        _verify(instance, report, progress)
    except (Corrupt, NewerFormat, NotFound, SeqArchiveError, sqlite3.DatabaseError) as error:
        if not _is_damage(instance, error):
            raise
        report.findings.append(Finding("database", instance.database.name, str(error)))
    if instance.name != MASTER and not instance.is_snapshot:
        message = "it is missing, or no file: nobody can say what belongs to this snapshot"
        report.findings.append(Finding("missing", instance.manifest.name, message))
    report.seconds = round(time.monotonic() - started, 3)
    return report


def _is_damage(instance: Instance, error: Exception) -> bool:
    """Whether what keeps a database from being opened is damage to report, not to fail with."""
    if isinstance(error, ReadOnly):
        return False
    if not instance.is_snapshot:
        return isinstance(error, sqlite3.DatabaseError) or instance.name != MASTER
    if not isinstance(error, NewerFormat):
        return True
    name = instance.database.name
    said = {file.path: file for file in read_manifest(instance).manifest.files}
    return name not in said or (
        file_problem(instance.database, said[name].n_bytes, bytes.fromhex(said[name].sha256))
        is not None
    )


def _verify(instance: Instance, report: VerifyReport, progress: Progress) -> None:
    full = report.full
    # Workers open the database themselves, which a fork of a process that has it open must not.
    n_workers = (os.cpu_count() or 1) if full and _is_much(instance) else 0
    with ExitStack() as stack:
        workers = stack.enter_context(
            Workers((_ShardTask(instance, full=full).run,), 0 if is_database_open() else n_workers)
        )
        lanes = stack.enter_context(Lanes(threaded=n_workers > 0))
        database = stack.enter_context(closing(Database.of(instance)))
        try:
            _verify_rows(instance, database, report)
            if not any(finding.kind == "database" for finding in report.findings):
                checks = _Checks(
                    instance,
                    workers,
                    lanes,
                    n_threads=n_workers,
                    report=report,
                    progress=progress,
                )
                checks.run(database)
                report.findings += _track_problems(instance, database, full=full)
                if instance.is_snapshot:
                    report.findings += _manifest_problems(instance, database, full=full)
                else:
                    _list_leftovers(instance, database, report)
                    _list_leftover_tracks(instance, database, report)
        except sqlite3.DatabaseError as error:
            report.findings.append(Finding("database", instance.database.name, str(error)))


def _is_much(instance: Instance) -> bool:
    """Whether there is enough to hash to start workers."""
    with closing(Database.of(instance)) as database, suppress(sqlite3.DatabaseError):
        (n_bytes,) = database.connection.execute("SELECT total(size_bytes) FROM shards").fetchone()
        return bool(n_bytes >= _MUCH)
    return False


def _verify_rows(instance: Instance, database: Database, report: VerifyReport) -> None:
    report.findings += (
        Finding("database", instance.database.name, line) for line in database.integrity_problems()
    )
    report.findings += (
        Finding("database", instance.database.name, f"{name} is not as it was made")
        for name in schema.problems(database.connection)
    )
    if report.findings:
        return
    counts = database.counts()
    report.shards, report.residues = counts["shards"], counts["residues"]
    (report.sequences,) = database.connection.execute("SELECT count(*) FROM sequences").fetchone()
    if tallies.is_wrong(database.connection):
        report.findings.append(
            Finding("row", f"database, {tallies.KEY}", "it does not have the numbers of the rows")
        )
    report.findings += _row_problems(database.connection)
    if report.full and not report.findings:  # of rows that could be anything, nothing follows
        report.findings += _collection_problems(database)
    for digests in database.connection.execute(
        "SELECT digest, md5, sha1 FROM sequences WHERE length = 0"
    ):
        if digests != hashed([]):
            report.findings.append(
                Finding("row", f"database, SQ.{digest_text(digests[0])}", "it cannot be empty")
            )


_ROW_CHECKS = (
    (
        "SELECT id FROM sequences WHERE typeof(digest) != 'blob' OR typeof(md5) != 'blob'"
        " OR typeof(sha1) != 'blob' OR typeof(length) != 'integer' OR typeof(letters) != 'integer'"
        " OR typeof(offset) NOT IN ('integer', 'null') OR length NOT BETWEEN 0 AND 1 << 48"
        " OR coalesce(offset, 34) NOT BETWEEN 34 AND 1 << 48",
        "the sequence row holds values that cannot be",
    ),
    (
        "SELECT id FROM shards WHERE typeof(path) != 'text' OR path = ''"
        " OR typeof(size_bytes) != 'integer' OR typeof(fai_bytes) != 'integer'"
        " OR typeof(gzi_bytes) != 'integer' OR length(sha256) != 32 OR typeof(sha256) != 'blob'"
        " OR length(fai_sha256) != 32 OR typeof(fai_sha256) != 'blob'"
        " OR length(gzi_sha256) != 32 OR typeof(gzi_sha256) != 'blob'"
        " OR coalesce(length(fai_sha256) + fai_bytes, -1) < 0",
        "the shard row holds values that cannot be",
    ),
    (
        "SELECT coalesce(n.name, '?') || ':' || a.alias FROM aliases a"
        " LEFT JOIN sequences s ON s.id = a.sequence_id"
        " LEFT JOIN namespaces n ON n.id = a.namespace_id LEFT JOIN batches b ON b.id = a.batch_id"
        " WHERE s.id IS NULL OR n.id IS NULL OR b.id IS NULL",
        "a dangling alias: it names a sequence, a namespace or a batch that is not there",
    ),
    (
        "SELECT e.alias FROM ended_aliases e LEFT JOIN sequences s ON s.id = e.sequence_id"
        " LEFT JOIN reclaimed r ON r.id = e.sequence_id LEFT JOIN batches b ON b.id = e.from_batch"
        " LEFT JOIN batches t ON t.id = e.to_batch"
        " WHERE (s.id IS NULL AND r.id IS NULL) OR b.id IS NULL OR t.id IS NULL",
        "the history of an alias names a sequence or a batch that is not there",
    ),
    (
        "SELECT s.id FROM sequences s LEFT JOIN shards h ON h.id = s.shard_id"
        " WHERE s.length > 0 AND h.id IS NULL",
        "the sequence row names a shard that is not there",
    ),
    (
        "SELECT s.id FROM sequences s LEFT JOIN batches b ON b.id = s.batch_id WHERE b.id IS NULL",
        "the sequence row names a batch that is not there",
    ),
    (
        "SELECT r.source_id || '.' || r.ordinal FROM records r"
        " LEFT JOIN sequences s ON s.id = r.sequence_id WHERE s.id IS NULL",
        "the record names a sequence that is not there",
    ),
    (
        "SELECT a.alias FROM collection_aliases a LEFT JOIN namespaces n ON n.id = a.namespace_id"
        " LEFT JOIN collections c ON c.id = a.collection_id"
        " WHERE n.id IS NULL OR (c.id IS NULL AND a.collection_id IS NOT NULL)",
        "a dangling name: it names a collection or a namespace that is not there",
    ),
    (
        "SELECT f.id FROM fhr f LEFT JOIN collections c ON c.id = f.collection_id"
        " WHERE c.id IS NULL OR NOT coalesce(json_valid(f.document), 1)",
        "what is said (FHR) is not JSON, or of a collection that is not there",
    ),
    (
        "SELECT id FROM tracks WHERE typeof(path) != 'text' OR typeof(size_bytes) != 'integer'"
        " OR typeof(sha256) != 'blob' OR length(sha256) != 32 OR typeof(kind) != 'text'"
        " OR typeof(digest) != 'blob' OR length(digest) != 24"
        " OR typeof(genome) != 'blob' OR length(genome) != 24"
        " OR typeof(n_entries) != 'integer' OR typeof(index_path) NOT IN ('text', 'null')"
        " OR (index_path IS NOT NULL AND (typeof(index_bytes) != 'integer'"
        " OR typeof(index_sha256) != 'blob' OR length(index_sha256) != 32))",
        "the row of the track holds values that cannot be",
    ),
    (
        "SELECT uuid FROM client_meanings WHERE typeof(target) NOT IN ('blob', 'null')"
        " OR coalesce(length(target), 24) != 24"
        " OR uuid NOT IN (SELECT uuid FROM client_ids)",
        "what the id means cannot be",
    ),
    (
        "SELECT m.uuid FROM client_meanings m JOIN client_ids c ON c.uuid = m.uuid"
        " WHERE m.id IN (SELECT max(id) FROM client_meanings GROUP BY uuid)"
        " AND m.target IS NOT NULL AND c.kind = 'track'"
        " AND NOT EXISTS (SELECT 1 FROM tracks t WHERE t.digest = m.target)"
        " AND NOT EXISTS (SELECT 1 FROM derivations d WHERE d.uuid = m.uuid)",
        "the id means a track that is not there, and that cannot be computed again",
    ),
    (
        "SELECT hex(d.provenance) FROM derivations d"
        " LEFT JOIN provenances p ON p.digest = d.provenance"
        " WHERE p.id IS NULL OR NOT json_valid(p.document)"
        " OR coalesce(d.uuid, '') NOT IN (SELECT uuid FROM client_ids UNION SELECT '')",
        "something was computed in a way that is not there, or not JSON",
    ),
    (
        "SELECT id FROM sequences WHERE length(digest) != 24 OR length(md5) != 16"
        " OR length(sha1) != 20 OR length < 0",
        "the sequence row has a digest or a length that cannot be",
    ),
)

_LOOK_UP_CHECKS = tuple(
    (
        f"SELECT s.id FROM sequences s WHERE NOT EXISTS (SELECT 1 FROM {table} k"
        f" WHERE k.{column} = s.{column} AND k.id = s.id)",
        f"{table} does not lead to the sequence row",
    )
    for table, column in schema.LOOK_UPS.items()
) + tuple(
    (
        f"SELECT name FROM (SELECT 'all' AS name, (SELECT count(*) FROM {table}) AS n)"
        " WHERE n != (SELECT count(*) FROM sequences)",
        f"{table} has not as many rows as there are sequences",
    )
    for table in schema.LOOK_UPS
)

#: Fewer bytes of shards are not worth processes.
_MUCH = 8 << 20

#: Findings of one kind of row that are listed one by one.
_LISTED = 1000


def _row_problems(connection: sqlite3.Connection) -> Iterator[Finding]:
    for query, message in _ROW_CHECKS + _LOOK_UP_CHECKS:
        for (name,) in connection.execute(f"{query} LIMIT {_LISTED}"):
            yield Finding("row", f"database, {name}", message)


def _track_problems(instance: Instance, database: Database, *, full: bool) -> Iterator[Finding]:
    """What of the files of tracks is not as their rows say."""
    for row in track_rows(database.connection):
        for path, n_bytes, sha256 in row.files:
            if not is_track_path(path):
                message = f"{path!r} is no file of a track"
                yield Finding("row", f"database, track {row.id}", message)
                continue
            is_index = path == row.index_path
            expected = sha256 if full or is_index else None
            problem = file_problem(instance.tracks / path, n_bytes, expected)
            if problem is not None:
                kind = "index" if is_index else problem[0]
                yield Finding(kind, f"{instance.tracks.name}/{path}", problem[1])


def _collection_problems(database: Database) -> Iterator[Finding]:
    for collection in collections_of(database):
        if digests_of(collection.members()) != collection.digests:
            message = "its digests are not those of its members"
            yield Finding("row", f"database, collection {collection.digest}", message)


def _list_leftovers(instance: Instance, database: Database, report: VerifyReport) -> None:
    known = {row.path for row in database.shards() if is_inside(row.path)}
    expected = known | {path + suffix for path in known for suffix in INDEX_SUFFIXES}
    journal = Journal(instance)
    report.left_over += (f"{instance.temporary.name}/{path.name}" for path in journal.leftovers())
    for path in journal.files():
        if path in expected:
            continue
        base = path
        for suffix in INDEX_SUFFIXES:
            base = base.removesuffix(suffix)
        where = f"{instance.journal.name}/{path}"
        if base.endswith(SHARD_SUFFIX) and base not in known:
            report.left_over.append(where)
        else:
            report.findings.append(Finding("foreign", where, "nothing that belongs here"))


def _list_leftover_tracks(instance: Instance, database: Database, report: VerifyReport) -> None:
    known = track_paths(database.connection)
    for path in TrackFiles(instance).files():
        where = f"{instance.tracks.name}/{path}"
        if path not in known and is_track_path(path):
            report.left_over.append(where)
        elif path not in known:
            report.findings.append(Finding("foreign", where, "nothing that belongs here"))


def _manifest_problems(instance: Instance, database: Database, *, full: bool) -> Iterator[Finding]:
    """What of a snapshot is not as its manifest says; its shards are checked by their rows."""
    name = instance.manifest.name
    try:
        manifest, sha256 = read_manifest(instance)
    except (Corrupt, NewerFormat) as error:
        yield Finding("changed", name, str(error))
        return
    listed = listed_sha256(instance.root, instance.name)
    if manifest.name != instance.name != MASTER:
        yield Finding("changed", name, f"it is the manifest of {manifest.name!r}")
    if listed not in (None, sha256):
        yield Finding("changed", name, "it is not the one that releases.json lists")
    yield from _listing_problems(instance, manifest, database, full=full)
    if full:
        yield from _chunk_problems(instance, manifest)
    facts = (manifest.archive_id, manifest.batch, dict(manifest.counts))
    if facts != (database.meta().get("archive_id"), database.last_batch(), database.counts()):
        yield Finding("row", name, "it does not describe this database")


def _listing_problems(
    instance: Instance, manifest: Manifest, database: Database, *, full: bool
) -> Iterator[Finding]:
    """Files that the manifest lists and that are not so, and files that it does not list."""
    said = {file.path: file[1:] for file in manifest.files}
    there: dict[str, tuple[int, str] | None] = dict.fromkeys(
        (instance.database.name, instance.chunks.name)
    )
    for shard in database.shards():
        for path, n_bytes, digest in shard.files:
            there[f"{instance.journal.name}/{path}"] = (n_bytes, _hexadecimal(digest))
    for row in track_rows(database.connection):
        for path, n_bytes, digest in row.files:
            there[f"{instance.tracks.name}/{path}"] = (n_bytes, _hexadecimal(digest))
    for path in sorted(said.keys() ^ there.keys()):
        yield Finding("row", path, "the manifest and the database do not name the same files")
    for path in sorted(said.keys() & there.keys()):
        if there[path] is None:
            expected = bytes.fromhex(said[path][1]) if full else None
            problem = file_problem(instance.directory / path, said[path][0], expected)
            if problem is not None:
                yield Finding(problem[0], path, problem[1])
        elif there[path] != said[path]:
            yield Finding("row", path, "the manifest and the database say different things of it")
    for file in sorted(instance.directory.rglob("*")):
        path = file.relative_to(instance.directory).as_posix()
        if (
            path not in said
            and path not in (instance.manifest.name, instance.signature.name)
            and (file.is_symlink() or not file.is_dir())
        ):
            yield Finding("foreign", path, "nothing that belongs here")


def _hexadecimal(digest: object) -> str:
    """A digest as text, or what a damaged row has instead."""
    return digest.hex() if isinstance(digest, bytes) else repr(digest)


def _chunk_problems(instance: Instance, manifest: Manifest) -> Iterator[Finding]:
    # What is not there, or is no file and might never answer, has been said already.
    paths = [instance.chunks, *(instance.directory / file.path for file in manifest.files)]
    with contextlib.suppress(OSError):
        if not all(stat.S_ISREG(path.lstat().st_mode) for path in paths):
            return
        if instance.chunks.read_bytes() != chunk_table(instance, manifest.files):
            yield Finding("changed", instance.chunks.name, "not the digests of the files")


# --- shards -----------------------------------------------------------------------------------


class _Checks:
    """The checks of all shards, by as many workers or threads as there are."""

    def __init__(
        self,
        instance: Instance,
        workers: list[Worker],
        lanes: Lanes,
        *,
        n_threads: int,
        report: VerifyReport,
        progress: Progress,
    ) -> None:
        task = _ShardTask(instance, full=report.full)
        calls = [worker.call for worker in workers] or [
            lambda _number, *arguments: task.run(*arguments)
        ] * max(1, n_threads)
        self._turns = [(lanes.add(f"verify-{n}", depth=1), call) for n, call in enumerate(calls)]
        self._under_way: deque[tuple[ShardRow, Pending[list[tuple[str, str, str]]]]] = deque()
        self._report = report
        self._progress = progress

    def run(self, database: Database) -> None:
        """Check all shards and take in the findings, in journal order."""
        ranges = database.shard_ranges()
        for n, shard in enumerate(database.shards()):
            lane, call = self._turns[n % len(self._turns)]
            first, last = ranges.get(shard.id, (0, -1))
            self._under_way.append((shard, lane.submit(call, 0, b"", tuple(shard), first, last)))
            self._take(len(self._turns))
        self._take(0)

    def _take(self, n_left: int) -> None:
        while len(self._under_way) > n_left:
            shard, found = self._under_way.popleft()
            self._report.findings += (Finding(*finding) for finding in found.result())
            self._progress(shard.size_bytes)


@dataclass(frozen=True, slots=True)
class _ShardTask:
    """The check of one shard, by whichever process."""

    instance: Instance
    full: bool

    def run(
        self, _data: bytes, row: tuple[Any, ...], first: int, last: int
    ) -> list[tuple[str, str, str]]:
        """Findings, each as a plain tuple; ``first`` and ``last`` are ids of its sequences."""
        shard = ShardRow._make(row)
        if not is_inside(shard.path):
            return [("row", f"database, shard {shard.id}", f"{shard.path!r} is not in the journal")]
        with closing(Database.of(self.instance)) as database:
            rows = database.sequences_in(shard.id, first, last)
            has_sha256 = database.has_sha256_between(first, last)
            sha256 = database.sha256_of if has_sha256 else _none
            try:
                return [
                    (finding.kind, finding.where, finding.message)
                    for finding in _verify_shard(self.instance, shard, rows, sha256, full=self.full)
                ]
            except (TypeError, ValueError, OverflowError) as error:
                problem = f"its rows hold values that cannot be ({error})"
                return [("row", f"database, shard {shard.id}", problem)]


def _none(_sequence_id: int) -> None:
    """No SHA-256 is kept."""


def _verify_shard(
    instance: Instance,
    shard: ShardRow,
    rows: Iterable[SequenceRow],
    sha256_of: Callable[[int], bytes | None],
    *,
    full: bool,
) -> Iterator[Finding]:
    path = instance.journal / shard.path
    where = f"{instance.journal.name}/{shard.path}"
    for name, size, sha256 in shard.files[:-1]:
        problem = file_problem(instance.journal / name, size, sha256)
        if problem is not None:
            index = f"{instance.journal.name}/{name}"
            yield Finding("index", index, f"the index: {problem[1]}")
    problem = file_problem(path, shard.size_bytes, shard.sha256 if full else None)
    if problem is not None:
        yield Finding(problem[0], where, problem[1])
        if problem[0] == "missing":
            return
    fai = hashlib.sha256()
    tally = _Tally()
    rows = tally.of(rows)
    if full:
        yield from _content_problems(path, where, shard, rows, sha256_of, fai=fai)
    for row in rows:  # all of them, or those behind the damage
        fai.update(fai_line_of(row, shard.wrapping))
    # Whether the index that other programs use says what our rows say.
    if fai.digest() != shard.fai_sha256:
        yield Finding("row", where, "the sequence rows and the .fai of the shard disagree")
    counts = (shard.n_sequences, shard.n_residues)
    # An adopted shard may begin with a record that was known already.
    is_first = shard.first_digest == tally.first_digest or bool(shard.line_bases)
    if counts != (tally.n_sequences, tally.n_residues) or not is_first:
        yield Finding("row", where, "the shard row does not count what the sequence rows do")


class _Tally:
    """What a shard row says of its sequences, counted from their rows as they pass."""

    first_digest = b""
    n_sequences = 0
    n_residues = 0

    def of(self, rows: Iterable[SequenceRow]) -> Iterator[SequenceRow]:
        for row in rows:
            self.first_digest = self.first_digest or digest_bytes(Digest(row.record_name))
            self.n_sequences += 1
            self.n_residues += row.length
            yield row


def file_problem(path: Path, size: int, sha256: bytes | None) -> tuple[str, str] | None:
    """Kind and description of what is wrong with a file, looked at from outside.

    Raises:
        ReadOnly: This user may not read it, and nobody can say.
    """
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            return "missing", "it is not a regular file"
        if status.st_size != size:
            kind = "truncated" if status.st_size < size else "changed"
            return kind, f"it has {status.st_size} bytes, not {size}"
        if not os.access(path, os.R_OK):
            raise denied(path)
        changed = sha256 is not None and file_sha256(path)[1] != sha256
    except PermissionError as error:
        raise denied(error.filename) from None
    except OSError as error:
        return "missing", f"it cannot be read ({error.strerror})"
    return ("changed", "it has changed: its SHA-256 is another") if changed else None


def fai_line_of(row: SequenceRow, wrapping: Wrapping) -> bytes:
    """The line of the ``.fai`` that a row stands for."""
    return wrapping.fai_line(row.record_name, row.length, row.offset or 0).encode("ascii")


_HASHES = (hashlib.sha512, hashlib.md5, hashlib.sha1)


class _Updatable(Protocol):
    def update(self, data: bytes, /) -> None: ...


class ShardText:
    """The text of a shard from its blocks, one after another."""

    def __init__(self, path: Path) -> None:
        self._blocks = scan_blocks(path)
        self._ahead = b""
        self._uncompressed = 0
        self.position = 0
        """Uncompressed bytes taken so far."""
        self.index: list[tuple[int, int]] = []
        """Compressed and uncompressed offset of each block so far."""

    def _more(self) -> bool:
        block = next(self._blocks, None)
        if block is None:
            return False
        offset, self._ahead = block
        self.index.append((offset, self._uncompressed))
        self._uncompressed += len(self._ahead)
        return True

    def take(self, n_bytes: int) -> Iterator[bytes]:
        """The next ``n_bytes``, in pieces; fewer if the text ends."""
        while n_bytes > 0 and (self._ahead or self._more()):
            piece, self._ahead = self._ahead[:n_bytes], self._ahead[n_bytes:]
            n_bytes -= len(piece)
            self.position += len(piece)
            yield piece

    def line(self) -> Iterator[bytes]:
        """What comes before the next line end, in pieces; the line end is taken too."""
        while self._ahead or self._more():
            end = self._ahead.find(b"\n")
            yield from self.take(end if end >= 0 else len(self._ahead))
            if end >= 0:
                list(self.take(1))
                return


def _content_problems(
    path: Path,
    where: str,
    shard: ShardRow,
    rows: Iterable[SequenceRow],
    sha256_of: Callable[[int], bytes | None],
    *,
    fai: _Updatable,
) -> Iterator[Finding]:
    """What is wrong with the records of a shard; ``fai`` takes in what its index should say."""
    walk = ShardText(path)
    try:
        for row in rows:
            fai.update(fai_line_of(row, shard.wrapping))
            name = digest_text(row.digest)
            header = _header(walk, row, shard.wrapping)
            if header != f">{row.record_name}\n".encode("ascii"):
                yield Finding(
                    "row", f"{where}, SQ.{name}", "no header of this sequence where its row says"
                )
                return
            letters, sha256 = Letters(), hashlib.sha256()
            n_bytes = shard.wrapping.text_length(row.length)
            pieces = letters.of(_unwrapped(walk.take(n_bytes), shard.wrapping))
            kept = sha256_of(row.id)
            digests = hashed(pieces if kept is None else _also(sha256, pieces))
            if walk.position < (row.offset or 0) + n_bytes:
                yield Finding("truncated", f"{where}, SQ.{name}", "its residues end early")
                return
            if digests != (row.digest, row.md5, row.sha1):
                yield Finding(
                    "changed", f"{where}, SQ.{name}", "the residues do not have this digest"
                )
            elif letters.has_others:
                yield Finding("changed", f"{where}, SQ.{name}", "there is what is no residue")
            elif letters.mask != row.letters:
                yield Finding("row", f"{where}, SQ.{name}", "its letters are not those of the row")
            elif kept is not None and kept != sha256.digest():
                yield Finding("row", f"{where}, SQ.{name}", "its SHA-256 is not that of the row")
            list(walk.take(1))
        rest = walk.take(1 << 62)
        if any(rest) and not shard.line_bases:
            yield Finding("row", where, "there are records in it that no row names")
            return
        for _ in rest:  # what an adopted shard has besides; its blocks are checked
            pass
        if hashlib.sha256(Index.of(walk.index).to_bytes()).digest() != shard.gzi_sha256:
            yield Finding("row", where, "the blocks are not where the .gzi says")
    except Corrupt as error:
        yield Finding("changed", where, str(error))


def _header(walk: ShardText, row: SequenceRow, wrapping: Wrapping) -> bytes:
    """What comes before a record: its header, after records that an adopted shard has besides."""
    n_bytes = (row.offset or 0) - walk.position
    if wrapping.line_bases:
        for _ in walk.take(n_bytes - HEADER_LENGTH):
            pass
    return b"".join(walk.take((row.offset or 0) - walk.position))


def _unwrapped(pieces: Iterator[bytes], wrapping: Wrapping) -> Iterator[bytes]:
    """Residues without line ends, as long as these are where they belong and nowhere else."""
    n = wrapping.line_bases
    at = 0
    for piece in pieces:
        if not n:
            yield piece
            continue
        ends = piece[(n - at) % (n + 1) :: n + 1]
        residues = piece.replace(b"\n", b"")
        right = ends == b"\n" * len(ends) and len(residues) + len(ends) == len(piece)
        yield residues if right else piece  # whose digest is that of nothing
        at += len(piece)


class Letters:
    """Which characters occur in residues that pass."""

    mask = 0
    has_others = False
    """Whether there is something that is no residue."""

    def of(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The pieces, unchanged."""
        for piece in pieces:
            self.mask |= letters_of(piece)
            self.has_others = self.has_others or bool(piece.translate(None, RESIDUES))
            yield piece


def _also(hasher: _Updatable, pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        hasher.update(piece)
        yield piece


def hashed(pieces: Iterable[bytes]) -> tuple[bytes, bytes, bytes]:
    """sha512t24u, MD5 and SHA-1 as bytes."""
    sha512, md5, sha1 = (new() for new in _HASHES)
    for piece in pieces:
        sha512.update(piece)
        md5.update(piece)
        sha1.update(piece)
    return sha512.digest()[:24], md5.digest(), sha1.digest()
