"""Push: publish a release in a directory or in a bucket, so that others can pull it.

The manifest comes last but for the list: a release is there when both say so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BadName, Conflict, Corrupt, NotFound, SourceError
from ..instances import LATEST, Instance
from ..manifests import ManifestFile, read_manifest, snapshots_in
from ..releases import INDEX, Listing, Release, listed_sha256, listing_row
from ..sources import is_remote, shown
from ..sources.base import Destination, persistently
from ..sources.directory import DirectorySource
from ..sources.opening import open_bucket, open_source
from ..sources.published import listing_of, manifest_at
from ..verifying import file_problem
from .crew import for_each
from .pulling import JOBS, Progress, WrongFile, pull


@dataclass(slots=True)
class PushReport:
    """How a release was published."""

    name: str
    destination: str
    manifest_sha256: str = ""
    is_new: bool = True
    """Whether it was not there already."""
    n_files: int = 0
    n_bytes: int = 0
    """Of all files of the release."""
    files_there: int = 0
    bytes_there: int = 0
    """What the destination had already, in this release or in another."""
    files_sent: int = 0
    bytes_sent: int = 0
    is_signed: bool = False
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def push(
    root: Path,
    destination: str,
    name: str | None = None,
    *,
    sign: Callable[[bytes], bytes] | None = None,
    jobs: int = JOBS,
    begin: Callable[[int], None] = lambda _n: None,
    progress: Progress = lambda _n: None,
) -> PushReport:
    """Publish a snapshot.

    Args:
        destination: A directory, which becomes a root, or ``s3://bucket/prefix``.
        name: Of the snapshot; the newest if None.
        sign: Gives the signature of a manifest; one that the snapshot has is published anyhow.
        jobs, begin, progress: As for ``pull``.

    Raises:
        NotFound: There is no such snapshot. Conflict: Another release has its name there.
        Corrupt: A file of the snapshot is damaged. SourceError: The destination failed.
    """
    started = time.monotonic()
    if not destination:
        raise BadName("the destination is empty; say a directory or s3://bucket/prefix")
    if name is None and not snapshots_in(root):
        raise NotFound(f"no snapshots in {root}; make one with `seqarchive snapshot NAME`")
    snapshot = Instance.at(root, LATEST if name is None else name)
    manifest, sha256 = read_manifest(snapshot)
    if listed_sha256(root, snapshot.name) not in (None, sha256):
        raise Corrupt(f"{snapshot.manifest} is not the one that {INDEX} lists")
    signature = sign(snapshot.manifest.read_bytes()) if sign is not None else None
    if signature is None and snapshot.signature.is_file():
        signature = snapshot.signature.read_bytes()
    report = PushReport(snapshot.name, destination, sha256, n_bytes=manifest.n_bytes)
    report.n_files = len(manifest.files)
    if is_remote(destination):
        if not destination.lower().startswith("s3://"):
            raise SourceError(
                f"{shown(destination)}: a web server cannot be pushed to; push to the directory or "
                "to the bucket that it serves"
            )
        bucket = open_bucket(destination)
        with closing(bucket):
            _Pushing(snapshot, bucket, report, jobs, progress).run(signature, begin)
        report.is_signed = signature is not None
    else:
        target = open_source(destination)
        assert isinstance(target, DirectorySource)
        try:
            came = pull(
                target.path,
                DirectorySource(root),
                snapshot.name,
                signature=signature,
                jobs=jobs,
                begin=begin,
                progress=progress,
            )
        except WrongFile as error:
            raise Corrupt(f"{error}; run `seqarchive verify`") from None
        report.is_new = came.is_new
        report.files_there, report.bytes_there = came.files_here, came.bytes_here
        report.files_sent, report.bytes_sent = came.files_fetched, came.bytes_fetched
        report.is_signed = came.has_signature
    report.seconds = round(time.monotonic() - started, 3)
    return report


class _Pushing:
    """One push to a bucket under way."""

    def __init__(
        self,
        snapshot: Instance,
        bucket: Destination,
        report: PushReport,
        jobs: int,
        progress: Progress,
    ) -> None:
        self._snapshot = snapshot
        self._bucket = bucket
        self._report = report
        self._jobs = jobs
        self._progress = progress

    def run(self, signature: bytes | None, begin: Callable[[int], None]) -> None:
        """Send what is not there, then what says that it is there."""
        name, data = self._snapshot.name, self._snapshot.manifest.read_bytes()
        listing = self._listing()
        self._require_same(listing)
        if name in listing.rows:
            self._report.is_new = False
            self._report.files_there = self._report.n_files
            self._report.bytes_there = self._report.n_bytes
        else:
            self._send_files(listing, begin)
        if signature is not None:
            self._bucket.put_bytes(f"{name}/{self._snapshot.signature.name}", signature)
        if self._report.is_new:
            self._bucket.put_bytes(f"{name}/{self._snapshot.manifest.name}", data)
            self._list(self._listing())

    def _listing(self) -> Listing:
        try:
            return listing_of(self._bucket)
        except NotFound:
            return Listing(None, {})

    def _require_same(self, listing: Listing) -> None:
        """Raise Conflict if the bucket has another release of this name."""
        name, sha256 = self._snapshot.name, self._report.manifest_sha256
        row = listing.rows.get(name)
        there = manifest_at(self._bucket, f"{name}/{self._snapshot.manifest.name}")
        found = {row["manifest_sha256"]} if row is not None else set()
        if there is not None:
            found.add(there.sha256)
        if found - {sha256}:
            raise Conflict(
                f"{self._bucket.address} has another release {name!r}; a release is never replaced"
            )
        if row is not None and there is None:
            raise SourceError(f"{self._bucket.address} lists {name}, but has no manifest of it")

    def _send_files(self, listing: Listing, begin: Callable[[int], None]) -> None:
        known: dict[str, str] = {}
        for row in listing.rows.values():
            published = manifest_at(self._bucket, f"{row['name']}/manifest.json")
            if published is not None:
                known.update(
                    (file.sha256, f"{row['name']}/{file.path}") for file in published.manifest.files
                )
        begin(self._report.n_bytes)
        files = read_manifest(self._snapshot).manifest.files
        largest = sorted(files, key=lambda file: -file.n_bytes)
        for file, is_sent in for_each(
            lambda file: self._send(file, known.get(file.sha256)),
            largest,
            min(self._jobs, len(files)),
            threading.Event(),
        ):
            self._progress(file.n_bytes)
            if is_sent:
                self._report.files_sent += 1
                self._report.bytes_sent += file.n_bytes
            else:
                self._report.files_there += 1
                self._report.bytes_there += file.n_bytes

    def _send(self, file: ManifestFile, other: str | None) -> tuple[ManifestFile, bool]:
        """Have a file there. Returns whether its bytes had to be sent."""
        path = f"{self._snapshot.name}/{file.path}"
        if self._is_there(path, file):
            return file, False
        if other is not None and self._is_there(other, file):
            persistently(lambda: self._bucket.copy(other, path))
            if self._is_there(path, file):
                return file, False
        local = self._snapshot.directory / file.path
        problem = file_problem(local, file.n_bytes, bytes.fromhex(file.sha256))
        if problem is not None:
            raise Corrupt(f"{local}: {problem[1]}; run `seqarchive verify`")
        persistently(lambda: self._bucket.put_file(path, str(local), file.sha256))
        if persistently(lambda: self._bucket.size_of(path)) != file.n_bytes:
            raise SourceError(f"{self._bucket.address}/{path} is not what was sent")
        return file, True

    def _is_there(self, path: str, file: ManifestFile) -> bool:
        local = str(self._snapshot.directory / file.path)
        return persistently(lambda: self._bucket.holds(path, local, file.sha256))

    def _list(self, listing: Listing) -> None:
        """Have the release in the list, the newest last."""
        release = Release(self._snapshot, read_manifest(self._snapshot))
        rows = {**listing.rows, self._snapshot.name: listing_row(release)}
        ordered = sorted(rows.values(), key=lambda row: (row["created"], row["batch"]))
        newest = Listing(ordered[-1]["name"], {row["name"]: row for row in ordered})
        self._bucket.put_bytes(INDEX, newest.to_bytes())
