"""Manifests: what a snapshot consists of, to the byte.

``manifest.json`` names every other file of a snapshot with its size and SHA-256; the SHA-256 of
the manifest itself, in ``releases.json``, so stands for the whole release.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from .errors import BadName, Corrupt, NewerFormat, NotFound
from .instances import MASTER, Instance

FORMAT = "seqarchive-snapshot"

#: The newest version that this program reads and the one that it writes.
VERSION = 1

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_TIME = re.compile(r"[0-8]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\Z", re.ASCII)

#: A manifest is read as a whole; this is one of five million shards.
_MAX_BYTES = 1 << 30


class ManifestFile(NamedTuple):
    """One file of a snapshot."""

    path: str
    """Relative to the snapshot, with ``/``."""
    n_bytes: int
    sha256: str
    """Hexadecimal."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A snapshot, described by itself."""

    name: str
    created: str
    """When it was taken: ISO 8601, UTC, in microseconds."""
    archive_id: str
    batch: int
    """The last batch that it holds; 0 for an empty archive."""
    parent: str | None
    """The snapshot before it, if there was one."""
    version: str
    """Of the program that took it."""
    counts: Mapping[str, int]
    files: tuple[ManifestFile, ...]
    """Sorted by path."""

    @property
    def n_bytes(self) -> int:
        """Sizes of all files but the manifest, as they appear to whoever copies them."""
        return sum(file.n_bytes for file in self.files)

    def to_bytes(self) -> bytes:
        """The text of ``manifest.json``; the same for the same snapshot."""
        document = {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "created": self.created,
            "archive_id": self.archive_id,
            "batch": self.batch,
            "parent": self.parent,
            "seqarchive": self.version,
            "counts": dict(self.counts),
            "files": [
                {"path": path, "bytes": n_bytes, "sha256": sha256}
                for path, n_bytes, sha256 in self.files
            ],
        }
        return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode("utf-8")

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Manifest:
        """Read the text of a manifest that anybody may have written.

        Args:
            where: Named in errors.

        Raises:
            Corrupt: It is not one, or names paths outside of the snapshot.
            NewerFormat: It has a version that this program does not know.
        """
        try:
            document = json.loads(data, object_pairs_hook=_without_repeats)
            found_format, version = document["format"], document["version"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Corrupt(f"{where} is not a manifest") from None
        if found_format != FORMAT or type(version) is not int or version < 1:
            raise Corrupt(f"{where} is not the manifest of a snapshot")
        if version > VERSION:
            raise NewerFormat(
                f"{where} has version {version}, this seqarchive knows {VERSION}; "
                "install a newer seqarchive"
            )
        try:
            return cls(
                name=_checked_name(document["name"]),
                created=_time(document["created"]),
                archive_id=_text(document["archive_id"]),
                batch=_count(document["batch"]),
                parent=None if document["parent"] is None else _checked_name(document["parent"]),
                version=_text(document["seqarchive"]),
                counts={_text(key): _count(n) for key, n in document["counts"].items()},
                files=tuple(_files(document["files"])),
            )
        except (ValueError, KeyError, TypeError, AttributeError, BadName) as error:
            raise Corrupt(f"{where} is damaged ({error})") from None


class Found(NamedTuple):
    """A manifest and the SHA-256 of its text, in hexadecimal."""

    manifest: Manifest
    sha256: str


def read_manifest(instance: Instance) -> Found:
    """The manifest of a snapshot.

    Raises:
        NotFound: It is not a snapshot. Corrupt, NewerFormat: As for ``Manifest.from_bytes``.
    """
    path = instance.manifest
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"there is no snapshot {instance.name!r} in {instance.root}") from None
    return Found(Manifest.from_bytes(data, str(path)), hashlib.sha256(data).hexdigest())


def snapshots_in(root: Path) -> list[Instance]:
    """The finished snapshots of an archive, by name."""
    if not root.is_dir():
        return []
    found = []
    for path in sorted(root.iterdir()):
        if path.name == MASTER or path.is_symlink() or not path.is_dir():
            continue
        try:
            instance = Instance(root, path.name)
        except BadName:
            continue
        if instance.is_snapshot:
            found.append(instance)
    return found


# --- the door ---------------------------------------------------------------------------------


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key that occurs twice")
    return found


def _files(entries: Any) -> Iterator[ManifestFile]:
    if not isinstance(entries, list):
        raise TypeError("files are a list")
    last = ""
    for entry in entries:
        file = ManifestFile(
            _text(entry["path"]), _count(entry["bytes"]), _matching(_SHA256, entry["sha256"])
        )
        parts = file.path.split("/")
        if {"", ".", ".."}.intersection(parts) or not file.path.isprintable():
            raise ValueError(f"a path that leaves the snapshot: {file.path!r}")
        if file.path <= last:
            raise ValueError(f"{file.path!r} twice, or out of order")
        last = file.path
        yield file


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{value!r} is not a text")
    return value


def _checked_name(value: Any) -> str:
    return Instance(Path(), _text(value)).name


def _time(value: Any) -> str:
    """A time in the one spelling that there is, and a real one."""
    datetime.strptime(_matching(_TIME, value), "%Y-%m-%dT%H:%M:%S.%fZ")
    return str(value)


def _matching(pattern: re.Pattern[str], value: Any) -> str:
    if pattern.match(_text(value)) is None:
        raise ValueError(f"{value!r} cannot be")
    return str(value)


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError(f"{value!r} is not a number of things")
    return value
