"""Releases: which snapshots a root has, for those who look at it from outside.

The snapshots themselves are the truth. ``releases.json`` lists them for readers who cannot list
a directory (a static web server's), and the link ``latest`` names the newest. Both are made anew
from the snapshots by whoever changes these, under a lock of their own: loading goes on.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from . import durable
from .errors import Conflict, Corrupt, NewerFormat, NotFound, ReadOnly
from .instances import LATEST, Instance
from .manifests import Found, read_manifest, snapshots_in

FORMAT = "seqarchive-releases"
VERSION = 1

INDEX = "releases.json"

#: Directories that commands make in a root.
_TAKEN = frozenset({"seqrepo", "rgstore", "genomes", "tracks"})


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
        broken: Takes one line for each snapshot whose manifest cannot be read.
    """
    found = []
    for instance in snapshots_in(root):
        try:
            found.append(Release(instance, read_manifest(instance)))
        except (Corrupt, NewerFormat, NotFound) as error:
            if broken is not None:
                broken.append(str(error))
    return sorted(found, key=_age)


def _age(release: Release) -> tuple[object, ...]:
    return release.created, release.found.manifest.batch


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


class Releasing:
    """The right to add and remove the snapshots of a root; loads do not need it.

    On entry it removes what one who was killed left, and finishes what that one had begun to
    make visible.

    Raises:
        Locked: Somebody else is at it. ReadOnly: The root cannot be written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.temporary = root / ".snapshot"
        """An unfinished snapshot."""
        self._withdrawn = root / ".pruned"
        self._lock = durable.WriterLock(root / "releases.lock")

    def __enter__(self) -> Releasing:
        try:
            durable.make_directory(self.root)
        except OSError as error:
            raise ReadOnly(f"{error.filename or self.root}: {error.strerror}") from None
        self._lock.__enter__()
        try:
            self._clean()
            if self._lock.interrupted is not None:
                self.publish()
            self._lock.declare(None)
        except BaseException:
            self._lock.__exit__(None, None, None)
            raise
        return self

    def _clean(self) -> None:
        for path in (self.temporary, self._withdrawn):
            durable.remove_directory(path)
        for name in (LATEST, INDEX):
            durable.remove(self.root / f".{name}")

    def new(self, name: str) -> Instance:
        """The place of a snapshot that is to be made.

        Raises:
            BadName: It cannot have this name. Conflict: There is something of this name.
        """
        instance = Instance(self.root, name)
        if name == LATEST or name in _TAKEN or instance.name == "master":
            raise Conflict(f"{name!r} has another meaning here; choose another name")
        if durable.exists(instance.directory):
            raise Conflict(f"there is {instance.directory} already; a snapshot is never replaced")
        return instance

    def now(self) -> str:
        """The time of a snapshot that is taken now: later than that of any other here."""
        found = releases(self.root)
        now = datetime.now(timezone.utc)
        if found:
            now = max(now, _time(found[-1].created) + timedelta(microseconds=1))
        return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def withdraw(self, instance: Instance) -> None:
        """Remove a snapshot: it is gone at once, whatever happens afterwards."""
        self.publish(without=instance.name)  # first, so that `latest` never leads nowhere
        durable.withdraw_directory(instance.directory, self._withdrawn)
        durable.remove_directory(self._withdrawn)

    def publish(self, without: str | None = None) -> None:
        """Rewrite ``releases.json`` and ``latest``, each by one rename.

        What is listed of a snapshot whose manifest cannot be read stays as it was.
        """
        names = {instance.name for instance in snapshots_in(self.root)} - {without}
        found = [release for release in releases(self.root) if release.instance.name in names]
        rows = [_row(release) for release in found]
        unread = names - {release.instance.name for release in found}
        rows += [row for row in _listed(self.root) if row.get("name") in unread]
        newest = found[-1].instance.name if found else None
        document = {"format": FORMAT, "version": VERSION, "latest": newest, "releases": rows}
        text = json.dumps(document, ensure_ascii=False, indent=1) + "\n"
        durable.replace(self.root / INDEX, text.encode("utf-8"), self.root)
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


def _row(release: Release) -> dict[str, Any]:
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


def _listed(root: Path) -> list[dict[str, Any]]:
    """What ``releases.json`` lists; nothing if it is not there or is something else."""
    try:
        rows = json.loads((root / INDEX).read_bytes())["releases"]
        return [row for row in rows if isinstance(row, dict)]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []


def listed_sha256(root: Path, name: str) -> str | None:
    """What ``releases.json`` says of the manifest of a snapshot; None if it says nothing."""
    for row in _listed(root):
        if row.get("name") == name:
            return str(row.get("manifest_sha256"))
    return None
