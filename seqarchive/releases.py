"""Releases: which snapshots a root has, for those who look at it from outside.

The snapshots themselves are the truth. ``releases.json`` lists them for readers who cannot list
a directory (a static web server's), and the link ``latest`` names the newest. Both are made anew
from the snapshots by whoever changes these, under a lock of their own: loading goes on.
"""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import NoneType, TracebackType
from typing import Any, NamedTuple

from . import durable
from .errors import BadName, Conflict, Corrupt, NewerFormat, NotFound
from .instances import LATEST, MASTER, Instance
from .manifests import Found, read_manifest, snapshots_in

FORMAT = "seqarchive-releases"
VERSION = 1

INDEX = "releases.json"

#: What commands make in a root.
_LOCK = "releases.lock"
_TAKEN = frozenset({"seqrepo", "rgstore", "genomes", "tracks", INDEX, _LOCK, LATEST, MASTER})


class Release(NamedTuple):
    """A snapshot that can be read."""

    instance: Instance
    found: Found

    @property
    def created(self) -> str:
        """When it was taken."""
        return self.found.manifest.created


def releases(root: Path, broken: list[str] | None = None) -> list[Release]:
    """The snapshots of a root, the oldest state first.

    Args:
        broken: Takes one line for each snapshot that cannot be read, though it is listed or has
            a manifest.
    """
    found = []
    for instance in snapshots_in(root):
        try:
            found.append(Release(instance, read_manifest(instance)))
        except (Corrupt, NewerFormat, NotFound) as error:
            if broken is not None:
                broken.append(str(error))
    if broken is not None:
        there = {instance.name for instance in snapshots_in(root)}
        broken += (
            f"{root / name}: {INDEX} lists it, but it has no manifest.json"
            for name in _listed(root)
            if name not in there
        )
    return sorted(found, key=_age)


#: A row of ``releases.json``.
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "created": str,
    "archive_id": str,
    "batch": int,
    "parent": (str, NoneType),
    "bytes": int,
    "manifest_sha256": str,
}


def _age(release: Release) -> tuple[object, ...]:
    return release.created, release.found.manifest.batch


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def unfinished(root: Path) -> tuple[Path, Path]:
    """Where the list and the link are until they have their names."""
    return root / f".{INDEX}", root / f".{LATEST}"


class Releasing:
    """The right to add and remove the snapshots of a root; loads do not need it.

    On entry it removes what one who was killed left, and finishes what that one had begun to
    make visible. What another user left is in nobody's way, if only that one may remove it.

    Raises:
        Locked: Somebody else is at it. ReadOnly: The root cannot be written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.temporary: Path
        """An unfinished snapshot."""
        self._withdrawn: Path
        self._lock = durable.WriterLock(root / _LOCK)

    def __enter__(self) -> Releasing:
        durable.make_root(self.root)
        self._lock.__enter__()
        try:
            _require_known_version(self.root)
            self._clean()
            self.temporary = self._ours(".snapshot")
            self._withdrawn = self._ours(".pruned")
            if self._lock.interrupted is not None:
                self.publish()
            self._lock.declare(None)
        except BaseException:
            self._lock.__exit__(None, None, None)
            raise
        return self

    def _ours(self, name: str) -> Path:
        """A free place; what has the name still is of another user."""
        place = self.root / name
        return place.with_name(f"{name}-{os.geteuid()}") if durable.exists(place) else place

    def _clean(self) -> None:
        for name in (".snapshot", ".pruned"):
            for path in (self.root / name, *self.root.glob(f"{name}-*")):
                with suppress(PermissionError):  # its owner's next command removes it
                    durable.remove_directory(path)
        for path in unfinished(self.root):
            durable.remove(path)

    def new(self, name: str) -> Instance:
        """The place of a snapshot that is to be made.

        Raises:
            BadName: It cannot have this name. Conflict: There is something of this name.
        """
        instance = named_place(self.root, name)
        if durable.exists(instance.directory):
            raise Conflict(f"there is {instance.directory} already; a snapshot is never replaced")
        if name in _listed(self.root):
            self.publish()  # what is said of one that somebody has removed is not said of this one
        return instance

    def now(self) -> str:
        """The time of a snapshot that is taken now: later than that of any other here."""
        found = releases(self.root)
        now = datetime.now(timezone.utc)
        if found:
            now = max(now, _time(found[-1].created) + timedelta(microseconds=1))
        return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def withdraw(self, instance: Instance) -> None:
        """Remove a snapshot: it is gone at once, whatever happens afterwards.

        What we may not remove is to be found out before: ``durable.require_removable``.
        """
        is_listed = False
        try:
            self.publish(without=instance.name)  # first, so that `latest` never leads nowhere
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            # What goes makes the room that a list needs; the note in the lock says until then
            # that the list is to be made anew.
            is_listed = True
            self._link(self._found(without=instance.name))
        durable.withdraw_directory(instance.directory, self._withdrawn)
        durable.remove_directory(self._withdrawn)
        if is_listed:
            self.publish()

    def publish(self, without: str | None = None) -> None:
        """Rewrite ``releases.json`` and ``latest``, each by one rename.

        What is listed of a snapshot whose manifest cannot be read stays as it was.
        """
        listed = _listed(self.root)
        found = self._found(without)
        rows = {one.instance.name: listing_row(one) for one in found}
        there = {instance.name for instance in snapshots_in(self.root)} - {without}
        # What was said of a release stays said: a manifest that was edited since, or cannot be
        # read, does not become the right one.
        rows |= {name: row for name, row in listed.items() if name in there}
        newest = found[-1].instance.name if found else None
        durable.replace(self.root / INDEX, Listing(newest, rows).to_bytes(), self.root)
        self._link(found)

    def _found(self, without: str | None) -> list[Release]:
        return [one for one in releases(self.root) if one.instance.name != without]

    def _link(self, found: list[Release]) -> None:
        newest = found[-1].instance.name if found else None
        durable.replace_link(self.root / LATEST, newest, self.root / f".{LATEST}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._lock.clear()
            else:  # the note stays: the next one makes the index anew
                self._clean()
        finally:
            self._lock.__exit__(kind, error, traceback)


def listing_row(release: Release) -> dict[str, Any]:
    """What ``releases.json`` says of a snapshot."""
    manifest, sha256 = release.found
    return {
        "name": release.instance.name,
        "created": manifest.created,
        "archive_id": manifest.archive_id,
        "batch": manifest.batch,
        "parent": manifest.parent,
        "bytes": manifest.n_bytes,
        "manifest_sha256": sha256,
    }


def named_place(root: Path, name: str) -> Instance:
    """Where a snapshot of this name would be.

    Raises:
        BadName, Conflict: No snapshot can have this name.
    """
    instance = Instance(root, name)
    if name in _TAKEN:
        raise Conflict(f"{name!r} has another meaning here; choose another name")
    return instance


@dataclass(frozen=True, slots=True)
class Listing:
    """What a ``releases.json`` says, ours or that of somebody else."""

    latest: str | None
    rows: dict[str, dict[str, Any]]
    """By name, the oldest first, each with the keys of ``releases.json``."""

    def to_bytes(self) -> bytes:
        """The text of ``releases.json``."""
        document = {
            "format": FORMAT,
            "version": VERSION,
            "latest": self.latest,
            "releases": list(self.rows.values()),
        }
        return (json.dumps(document, indent=1) + "\n").encode("utf-8")

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Listing:
        """Read a list that anybody may have written.

        Raises:
            Corrupt: It is not one. NewerFormat: It has a version that is not known here.
        """
        try:
            document = json.loads(data)
            found_format, version = document["format"], document["version"]
            if type(version) is int and found_format == FORMAT and version > VERSION:
                raise NewerFormat(_newer(where, version))
            if found_format != FORMAT or version != VERSION:
                raise ValueError("another format")
            rows = {}
            for row in document["releases"]:
                if not _is_row(row):
                    raise ValueError("a row that cannot be")
                rows[Instance(Path(), row["name"]).name] = row
            latest = document["latest"]
            if latest is not None and latest not in rows:
                raise ValueError(f"latest is {latest!r}, which is not listed")
        except (ValueError, KeyError, TypeError, RecursionError, BadName) as error:
            raise Corrupt(f"{where} is not a list of releases ({error})") from None
        return cls(latest, rows)


def _newer(where: str, version: int) -> str:
    return (
        f"{where} has version {version}, this seqarchive knows {VERSION}; "
        "install a newer seqarchive"
    )


def _is_row(row: object) -> bool:
    return (
        isinstance(row, dict)
        and row.keys() == _FIELDS.keys()
        and all(isinstance(row[name], kind) for name, kind in _FIELDS.items())
        and all(value.isprintable() for value in row.values() if isinstance(value, str))
        and all(0 <= value < 1 << 63 for value in row.values() if isinstance(value, int))
    )


def _document(root: Path) -> dict[str, Any]:
    """``releases.json``, as far as it can be read."""
    try:
        found = json.loads((root / INDEX).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _require_known_version(root: Path) -> None:
    version = _document(root).get("version")
    if type(version) is int and version > VERSION:
        raise NewerFormat(_newer(str(root / INDEX), version))


def _listed(root: Path) -> dict[str, dict[str, Any]]:
    """What ``releases.json`` lists, by name, as far as it can be understood."""
    rows = _document(root).get("releases")
    found = {}
    for row in rows if isinstance(rows, list) else ():
        if _is_row(row):
            found[row["name"]] = row
    return found


def listed_sha256(root: Path, name: str) -> str | None:
    """What ``releases.json`` says of the manifest of a snapshot; None if it says nothing."""
    row = _listed(root).get(name)
    return None if row is None else str(row["manifest_sha256"])
