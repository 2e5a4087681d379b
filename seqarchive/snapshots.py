"""Snapshots: releases of an archive, each a whole archive that never changes again.

A snapshot is one committed state: a compact copy of the database, the shards that it names under
a second name (a hard link), and a manifest. It appears by one rename.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from . import durable
from .database import Database, ShardRow
from .durable import Sharing
from .errors import BadName, Corrupt, NotFound, SeqArchiveError
from .instances import LATEST, MASTER, Instance
from .journal import INDEX_SUFFIXES, is_inside
from .manifests import Manifest, ManifestFile, snapshots_in
from .releases import INDEX, Release, Releasing, named_place, releases
from .retention import kept
from .shards import file_sha256
from .usage import usage_of
from .verifying import file_problem
from .version import __version__
from .writing import initialise

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
    source: Instance, name: str, progress: Progress = lambda _n: None
) -> SnapshotReport:
    """Make a snapshot of the last committed state of an instance.

    Loads may go on meanwhile. A root without an archive gets an empty one first.

    Args:
        progress: Called with numbers of bytes of files that are in place.

    Raises:
        Conflict: There is something of this name. Locked: Another snapshot is being taken.
        Corrupt: A shard or an index of the archive is not as it was published.
    """
    started = time.monotonic()
    named_place(source.root, name)
    if source.name == MASTER and not source.database.exists():
        initialise(source)
    source.require()
    with Releasing(source.root) as releasing:
        final = releasing.new(name)
        earlier = releases(source.root)
        unfinished = Instance(source.root, name, releasing.temporary)
        unfinished.directory.mkdir()
        report = _fill(source, unfinished, earlier, releasing.now(), progress)
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
        shards = database.shards()
        report.counts = database.counts()
        report.batch = database.last_batch()
        archive_id = database.meta()["archive_id"]
    files = []
    report.database_bytes, sha256 = file_sha256(target.database)
    files.append(ManifestFile(target.database.name, report.database_bytes, sha256.hex()))
    progress(report.database_bytes)
    ways: Counter[Sharing] = Counter()
    target.journal.mkdir()
    for shard in shards:
        for file in _files_of(shard):
            ways[_place(source, target, file)] += 1
            path = f"{target.journal.name}/{file.path}"
            files.append(ManifestFile(path, file.n_bytes, file.sha256.hex()))
            progress(file.n_bytes)
    report.files = {way.value: number for way, number in ways.items()}
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
    text = manifest.to_bytes()
    target.manifest.write_bytes(text)
    durable.make_read_only(target.manifest)
    durable.fsync(target.manifest)
    report.n_bytes = manifest.n_bytes
    report.manifest_sha256 = hashlib.sha256(text).hexdigest()
    return report


class _File(NamedTuple):
    path: str
    n_bytes: int
    sha256: bytes
    is_index: bool


def _files_of(shard: ShardRow) -> list[_File]:
    if not is_inside(shard.path):
        raise Corrupt(f"the path of shard {shard.id} cannot be one; run `seqarchive verify`")
    fai, gzi = INDEX_SUFFIXES
    return [
        _File(shard.path, shard.size_bytes, shard.sha256, is_index=False),
        _File(shard.path + fai, shard.fai_bytes, shard.fai_sha256, is_index=True),
        _File(shard.path + gzi, shard.gzi_bytes, shard.gzi_sha256, is_index=True),
    ]


def _place(source: Instance, target: Instance, file: _File) -> Sharing:
    """Have a file of a shard in the snapshot too, if it is the one that was published.

    A shard is known by its size here: to read all of them is what ``verify --full`` does.
    """
    path, other = source.journal / file.path, target.journal / file.path
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


# --- what there is ----------------------------------------------------------------------------


def list_snapshots(root: Path) -> tuple[dict[str, Any], list[str]]:
    """What snapshots there are, and what they and ``master`` take; ready for JSON.

    Returns:
        The list, and one line for each snapshot that cannot be read.
    """
    broken: list[str] = []
    found = releases(root, broken)
    master = Instance(root)
    directories = {release.instance.name: release.instance.directory for release in found}
    if master.directory.is_dir():
        directories[MASTER] = master.directory
    usage, total = usage_of(directories)
    try:
        latest = Instance.at(root, LATEST).name
    except NotFound:
        latest = ""  # the next `snapshot` or `prune` makes it anew
    rows = []
    for release in found:
        manifest = release.found.manifest
        own = usage[release.instance.name]
        rows.append(
            {
                "name": release.instance.name,
                "created": manifest.created,
                "batch": manifest.batch,
                "parent": manifest.parent,
                "sequences": manifest.counts.get("sequences", 0),
                "residues": manifest.counts.get("residues", 0),
                "aliases": manifest.counts.get("aliases", 0),
                "apparent_bytes": own.apparent,
                "own_bytes": own.own,
                "latest": release.instance.name == latest,
                "verified": verified(release.instance),
            }
        )
    of_master = usage.get(MASTER)
    return {
        "root": str(root),
        "snapshots": rows,
        "master": of_master and {"apparent_bytes": of_master.apparent, "own_bytes": of_master.own},
        "real_bytes": total,
    }, broken


# --- verified when ----------------------------------------------------------------------------


def _note(instance: Instance) -> Path:
    """Where it is noted when a snapshot was verified: not in it, for nothing in it changes."""
    return instance.root / ".verified" / f"{instance.name}.json"


def note_verified(instance: Instance, *, full: bool, sound: bool) -> bool:
    """Note that a snapshot was verified now. False if nothing can be written there."""
    note = verified(instance) or {}
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    note["full" if full else "quick"] = {"time": when, "ok": sound}
    path = _note(instance)
    try:
        path.parent.mkdir(exist_ok=True)
        durable.replace(path, json.dumps(note).encode(), path.parent)
    except OSError:
        return False
    return True


def verified(instance: Instance) -> dict[str, Any] | None:
    """When a snapshot was last verified: ``quick`` and ``full``, each with ``time`` and ``ok``."""
    try:
        found = json.loads(_note(instance).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    notes = {kind: found[kind] for kind in ("quick", "full") if _is_note(found.get(kind))}
    return notes or None


def _is_note(note: object) -> bool:
    return (
        isinstance(note, dict)
        and isinstance(note.get("time"), str)
        and note["time"].isprintable()
        and isinstance(note.get("ok"), bool)
    )


# --- prune ------------------------------------------------------------------------------------


@dataclass(slots=True)
class PruneReport:
    """Which snapshots went, and which stay."""

    dry_run: bool
    removed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    freed_bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "dry_run": self.dry_run,
            "removed": self.removed,
            "kept": self.kept,
            "freed_bytes": self.freed_bytes,
        }


def prune(
    root: Path,
    names: Iterable[str] = (),
    *,
    last: int = 0,
    dry_run: bool = False,
    **periods: int,
) -> PruneReport:
    """Remove snapshots; their shards live as long as anything links them.

    Args:
        names: These; or, if there are none, all that no rule keeps.
        last: Rule: keep so many of the newest.
        periods: Rules ``daily``, ``weekly``, ``monthly``, ``yearly``: keep the last snapshot of
            each of so many days, weeks, ...
        dry_run: Only say what would go.

    Raises:
        NotFound: There is no snapshot of a name. BadName: Neither names nor rules.
    """
    wanted = list(dict.fromkeys(names))
    if not wanted and not last and not any(periods.values()):
        raise BadName("say which snapshots to remove, or by which rules to keep some")
    report = PruneReport(dry_run)
    if dry_run:
        _choose(root, wanted, report, last=last, **periods)
        return report
    with Releasing(root) as releasing:
        for instance in _choose(root, wanted, report, last=last, **periods):
            durable.remove(_note(instance))  # first: another may get the name
            releasing.withdraw(instance)
    return report


def _choose(
    root: Path, wanted: list[str], report: PruneReport, *, last: int, **periods: int
) -> list[Instance]:
    found = {instance.name: instance for instance in snapshots_in(root)}
    if wanted:
        for name in wanted:
            if name not in found:
                raise NotFound(f"there is no snapshot {name!r} in {root}")
        chosen = wanted
    else:
        dated = releases(root)  # what cannot be read has no date, and stays
        keep = {release.instance.name for release in kept(dated, last=last, **periods)}
        chosen = [one.instance.name for one in dated if one.instance.name not in keep]
    report.removed = chosen
    report.kept = [name for name in found if name not in chosen]
    before, after = (
        usage_of({MASTER: root / MASTER} | {name: root / name for name in some})[1]
        for some in (found, report.kept)
    )
    report.freed_bytes = before - after
    return [found[name] for name in chosen]
