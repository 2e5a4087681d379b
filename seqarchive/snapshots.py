"""Snapshots: releases of an archive, each a whole archive that never changes again.

A snapshot is one committed state: a compact copy of the database, the shards that it names under
a second name (a hard link), and a manifest. It appears by one rename.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from . import durable
from .chunks import chunk_table
from .database import Database, ShardRow, require_readable
from .durable import Sharing
from .errors import Corrupt, SeqArchiveError
from .instances import Instance
from .journal import is_inside
from .manifests import Manifest, ManifestFile
from .releases import INDEX, Release, Releasing, named_place, releases
from .shards import file_sha256
from .track_files import TrackRow, is_track_path, track_rows
from .verifying import file_problem
from .version import __version__
from .writing import initialise_new

Progress = Callable[[int], None]


@dataclass(slots=True)
class SnapshotReport:
    """What a snapshot consists of."""

    name: str
    batch: int = 0
    parent: str | None = None
    counts: dict[str, int] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    """How many shard files were linked, cloned, copied."""
    n_bytes: int = 0
    database_bytes: int = 0
    manifest_sha256: str = ""
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "batch": self.batch,
            "parent": self.parent,
            **{name: self.counts.get(name, 0) for name in ("sequences", "residues", "aliases")},
            "files": self.files,
            "bytes": self.n_bytes,
            "database_bytes": self.database_bytes,
            "manifest_sha256": self.manifest_sha256,
            "seconds": self.seconds,
        }


def take_snapshot(
    source: Instance,
    name: str,
    progress: Progress = lambda _n: None,
    *,
    sign: Callable[[bytes], bytes] | None = None,
) -> SnapshotReport:
    """Make a snapshot of the last committed state of an instance.

    Loads may go on meanwhile. A root without an archive gets an empty one first.

    Args:
        progress: Called with numbers of bytes of files that are in place.
        sign: Gives the signature of the manifest, to lie beside it.

    Raises:
        Conflict: There is something of this name. Locked: Another snapshot is being taken.
        Corrupt: A shard or an index of the archive is not as it was published.
    """
    started = time.monotonic()
    named_place(source.root, name)
    initialise_new(source)
    require_readable(source)
    with Releasing(source.root) as releasing:
        final = releasing.new(name)
        earlier = releases(source.root)
        unfinished = Instance(source.root, name, releasing.temporary)
        unfinished.directory.mkdir()
        report = _fill(source, unfinished, earlier, releasing.now(), progress)
        if sign is not None:
            _write(unfinished.signature, sign(unfinished.manifest.read_bytes()))
        durable.publish_directory(unfinished.directory, final.directory)
        try:
            releasing.publish()
        except OSError as error:
            raise SeqArchiveError(
                f"{name} is complete, but {INDEX} could not be rewritten ({error.strerror}); the "
                "next `snapshot` or `prune` does it"
            ) from None
    report.seconds = round(time.monotonic() - started, 3)
    return report


def _fill(
    source: Instance,
    target: Instance,
    earlier: list[Release],
    created: str,
    progress: Progress,
) -> SnapshotReport:
    report = SnapshotReport(target.name)
    with closing(Database.of(source)) as database:
        database.copy_into(target.database)
    durable.make_read_only(target.database)
    durable.fsync(target.database)
    with closing(Database(target.database, frozen=True)) as database:
        stored = [file for row in database.shards() for file in _files_of(row, target)]
        stored += (file for row in track_rows(database.connection) for file in _track(row, target))
        report.counts = database.counts()
        report.batch = database.last_batch()
        archive_id = database.meta()["archive_id"]
    files = []
    report.database_bytes, sha256 = file_sha256(target.database)
    files.append(ManifestFile(target.database.name, report.database_bytes, sha256.hex()))
    progress(report.database_bytes)
    ways: Counter[Sharing] = Counter()
    target.journal.mkdir()
    for file in stored:
        ways[_place(source, target, file)] += 1
        files.append(ManifestFile(file.path, file.n_bytes, file.sha256.hex()))
        progress(file.n_bytes)
    report.files = {way.value: number for way, number in ways.items()}
    files.append(_write(target.chunks, chunk_table(target, tuple(sorted(files)))))
    report.parent = _parent(earlier, archive_id, report.batch)
    manifest = Manifest(
        name=target.name,
        created=created,
        archive_id=archive_id,
        batch=report.batch,
        parent=report.parent,
        version=__version__,
        counts=report.counts,
        files=tuple(sorted(files)),
    )
    report.n_bytes = manifest.n_bytes
    report.manifest_sha256 = _write(target.manifest, manifest.to_bytes()).sha256
    return report


def _write(path: Path, data: bytes) -> ManifestFile:
    """A new file, read-only, whose contents are durable on return."""
    path.write_bytes(data)
    durable.make_read_only(path)
    durable.fsync(path)
    return ManifestFile(path.name, len(data), hashlib.sha256(data).hexdigest())


class _File(NamedTuple):
    path: str
    """Relative to the instance."""
    n_bytes: int
    sha256: bytes
    is_index: bool


def _files_of(shard: ShardRow, target: Instance) -> list[_File]:
    if not is_inside(shard.path):
        raise Corrupt(f"the path of shard {shard.id} cannot be one; run `seqarchive verify`")
    return [
        _File(f"{target.journal.name}/{path}", n_bytes, sha256, is_index=path != shard.path)
        for path, n_bytes, sha256 in shard.files
    ]


def _track(row: TrackRow, target: Instance) -> list[_File]:
    if not all(is_track_path(path) for path, _, _ in row.files):
        raise Corrupt(f"the path of track {row.id} cannot be one; run `seqarchive verify`")
    return [
        _File(f"{target.tracks.name}/{path}", n_bytes, sha256, is_index=path == row.index_path)
        for path, n_bytes, sha256 in row.files
    ]


def _place(source: Instance, target: Instance, file: _File) -> Sharing:
    """Have a file of a shard or a track in the snapshot too, if it is the one that was published.

    A file is known by its size here: to read all of them is what ``verify --full`` does.
    """
    path, other = source.directory / file.path, target.directory / file.path
    problem = file_problem(path, file.n_bytes, file.sha256 if file.is_index else None)
    if problem is not None:
        raise Corrupt(f"{path}: {problem[1]}; run `seqarchive verify`")
    other.parent.mkdir(parents=True, exist_ok=True)
    way = durable.share(path, other)
    if way is not Sharing.LINKED and file_sha256(other) != (file.n_bytes, file.sha256):
        raise Corrupt(f"{path} has changed; run `seqarchive verify --full`")
    return way


def _parent(earlier: list[Release], archive_id: str, batch: int) -> str | None:
    for release in reversed(earlier):
        manifest = release.found.manifest
        if manifest.archive_id == archive_id and manifest.batch <= batch:
            return manifest.name
    return None
