"""What a source has published: a list of releases, and the manifest of each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import BadName, Corrupt, NotFound, SourceError
from ..instances import LATEST, Instance
from ..manifests import Manifest
from ..releases import INDEX, Listing
from .base import Denied, Source, persistently

#: How much of a list or a manifest is read at most.
_MAX_BYTES = 256 << 20

_MAX_SIGNATURE = 1 << 16


class Published(NamedTuple):
    """The manifest of a release, as it came."""

    manifest: Manifest
    data: bytes

    @property
    def sha256(self) -> str:
        """What stands for the whole release, in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()


@contextmanager
def as_source_errors() -> Iterator[None]:
    """Damage of what a source gave is a failure of the source."""
    try:
        yield
    except (Corrupt, BadName) as error:
        raise SourceError(str(error)) from None


def read_if_there(source: Source, path: str, max_bytes: int = _MAX_BYTES) -> bytes | None:
    """A whole file, if it is there."""
    try:
        return persistently(lambda: source.read(path, max_bytes))
    except NotFound:
        return None


def listing_of(source: Source) -> Listing:
    """The releases that a root offers.

    Raises:
        NotFound: It is no root. SourceError: It cannot be read.
    """
    data = read_if_there(source, INDEX)
    if data is None:
        raise NotFound(f"{source.address} has no {INDEX}: it is not a root with snapshots")
    with as_source_errors():
        return Listing.from_bytes(data, f"{source.address}/{INDEX}")


def listed_row(source: Source, listing: Listing, name: str | None) -> dict[str, Any]:
    """What is listed of a release; of the newest if ``name`` is None or ``latest``.

    Raises:
        NotFound: There is no such release. BadName: There cannot be one.
    """
    if name is None or name == LATEST:
        name = listing.latest
    if name is None:
        raise NotFound(f"{source.address} has no snapshots")
    row = listing.rows.get(Instance(Path(), name).name)
    if row is None:
        known = ", ".join(listing.rows) or "none"
        raise NotFound(f"{source.address} has no snapshot {name!r} (it has {known})")
    return row


def manifest_at(source: Source, path: str = "manifest.json") -> Published | None:
    """A manifest, if it is there.

    Raises:
        SourceError: It is damaged. NewerFormat: It has a version that is not known here.
    """
    data = read_if_there(source, path)
    if data is None:
        return None
    where = f"{source.address}/{path}"
    try:
        return Published(Manifest.from_bytes(data, where), data)
    except Corrupt:  # perhaps an accident on the way
        data = read_if_there(source, path) or b""
    with as_source_errors():
        return Published(Manifest.from_bytes(data, where), data)


def listed_manifest(source: Source, row: dict[str, Any]) -> Published:
    """The manifest of a release that is listed, and that is the one that is listed.

    Raises:
        SourceError: It is not, or not there.
    """
    name = row["name"]
    found = manifest_at(source, f"{name}/manifest.json")
    if found is not None and found.sha256 != row["manifest_sha256"]:  # as in `manifest_at`
        found = manifest_at(source, f"{name}/manifest.json")
    if found is None:
        raise SourceError(f"{source.address} lists {name}, but has no manifest of it")
    if found.sha256 != row["manifest_sha256"] or found.manifest.name != name:
        raise SourceError(
            f"{source.address}/{name}/manifest.json is not the one that {INDEX} lists; if the "
            "mirror is being updated, try again later"
        )
    return found


def signature_of(source: Source, name: str) -> bytes | None:
    """The signature of the manifest of a release, if it has one."""
    try:
        return read_if_there(source, f"{name}/manifest.json.sig", _MAX_SIGNATURE)
    except Denied:
        return None
