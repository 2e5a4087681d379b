"""The tracks and genomes of what is served: who asks for them finds a store, or that there is none;
and who wants to change something is looked at first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import closing
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request

from ..errors import BadInput, NotFound, ReadOnly
from ..reader import ArchiveReader
from ..registry.reading import Registered
from ..tracks.archived import ArchivedTrackStore
from ..tracks.archived_genomes import ArchivedGenomeStore
from ..tracks.archived_reference import ArchivedReference
from ..tracks.catalogue import Client, content_id
from ..tracks.provenance import Provenance
from ..tracks.quota import MAX_BYTES
from ..tracks.stores import StoredTrack
from .answers import in_thread
from .asking import Refused
from .served import Service
from .uploads import Upload

#: Genomes whose names are kept at hand, and tracks that stay open.
_GENOMES, _TRACKS = 16, 16


class Stores:
    """The stores of an archive.

    Args:
        archive: On this machine.
        room: Bytes of computed tracks that are kept; None for the usual.
    """

    def __init__(self, archive: ArchiveReader, room: int | None = None) -> None:
        self.archive = archive
        self.tracks = ArchivedTrackStore(archive, max_bytes=MAX_BYTES if room is None else room)
        self.genomes = ArchivedGenomeStore(self.tracks)
        self._references: OrderedDict[tuple[str, int], ArchivedReference] = OrderedDict()
        self._open: OrderedDict[str, StoredTrack] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def jobs(self) -> Path:
        """Where the files of jobs are."""
        return self.archive.instance.directory / "computing" / "jobs"

    def require_writable(self) -> None:
        """Raise ReadOnly for what never changes."""
        self.archive.instance.require_writable()
        if self.archive.at is not None:
            raise ReadOnly(f"this is the archive as it was after batch {self.archive.at}")

    def reference(self, digest: str) -> ArchivedReference:
        """A genome by its digest, with the names that it has now."""
        key = digest, self.archive.database.last_batch()
        with self._lock:
            found = self._references.get(key)
            if found is not None:
                self._references.move_to_end(key)
                return found
        found = self.tracks.reference(digest)
        with self._lock:
            self._references[key] = found
            while len(self._references) > _GENOMES:
                self._references.popitem(last=False)
        return found

    def opened(self, client: Client) -> StoredTrack:
        """A track, open; some of them stay so.

        Raises:
            NotFound: It was dropped to make room, and cannot be computed here.
        """
        if self.tracks.row(client) is not None:
            with self._lock:
                found = self._open.get(client.uuid)
                if found is not None:
                    self._open.move_to_end(client.uuid)
                    return found
        found = self.tracks.get(client.uuid)
        if found is None:
            raise NotFound(f"track {client.uuid} was dropped, and cannot be computed here")
        with self._lock:
            self._open[client.uuid] = found
            while len(self._open) > _TRACKS:
                self._open.popitem(last=False)
        return found

    def facts(self, client: Client) -> dict[str, Any]:
        """What is known of a track, without opening it; for JSON."""
        row = self.tracks.row(client)
        how = self.tracks.provenance_of(client)
        genome = self.tracks.genome_of(client)
        return {
            "id": client.uuid,
            "track_id": client.uuid,
            "name": client.name,
            "track_type": None if row is None else row.kind,
            "content": content_id(client.target),
            "genome_id": genome,
            "genome": self.reference(genome).name,
            "n_entries": None if row is None else row.n_entries,
            "size": None if row is None else row.n_bytes,
            "created_at": client.created.isoformat(),
            "provenance": None if how is None else told(how),
        }


class Tracking:
    """The stores of whatever a request is about."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.limits = service.limits
        self.jobs = service.jobs
        self._known: Stores | None = None

    def found(self, request: Request) -> Stores | None:
        """The stores; None if no single archive on this machine is served."""
        archive: object = self.service.archive_of(request)
        if isinstance(archive, Registered):
            archive = archive.archive
        if not isinstance(archive, ArchiveReader):
            return None
        known = self._known
        if known is None or known.archive is not archive:
            try:
                _ = archive.instance
            except ReadOnly:  # it is somewhere else
                return None
            known = self._known = Stores(archive, self.limits.room)
        return known

    def stores(self, request: Request, what: str) -> Stores:
        """The stores.

        Args:
            what: Is asked for.

        Raises:
            NotFound: There are none.
        """
        found = self.found(request)
        if found is None:
            raise NotFound(f"there is no {what}: what is served here has no tracks")
        return found

    def changing(self, request: Request) -> Stores:
        """The stores, for whoever wants to change something.

        Raises:
            Refused: 403: Nothing is changed here, or not by a script of another web site.
        """
        found = self.found(request)
        if found is None:
            raise Refused(
                403, "what is served here is only read: no single archive of this machine"
            )
        found.require_writable()
        if not self.service.changes:
            raise Refused(403, "this server only reads (`serve --changes` allows more)")
        self._require_same_site(request)
        return found

    async def stored(self, upload: Upload, store: Callable[[], Any]) -> Any:
        """The result of a call that stores what was sent; its file is removed.

        Raises:
            Refused: 503, 504: As for ``Pool.run``. BadInput: With the name that the client gave.
        """

        def begun() -> Any:
            with closing(upload):
                try:
                    return store()
                except BadInput as error:
                    raise BadInput(upload.without_place(str(error))) from None

        try:
            return await self.limits.storing.run(begun)
        except Refused as error:
            if error.status == 503:  # it was not begun
                await in_thread(upload.close)
            raise

    def _require_same_site(self, request: Request) -> None:
        """Browsers say whose script asks; others may ask what they like."""
        origin = request.headers.get("origin")
        if origin is None or origin in self.service.trusted_origins:
            return
        here = urlsplit(self.service.origin(request))
        # A name is whatever its owner has it lead to, this machine too: only one that the server
        # was told (``base_url``) is its own.
        is_own = self.service.base_url is not None or _is_no_name(here.hostname)
        if not is_own or origin.partition("://")[2] != here.netloc:
            raise Refused(
                403,
                "scripts of other web sites may only read (`serve --trusted-origin URL` allows "
                "those of one to change something)",
            )


def _is_no_name(host: str | None) -> bool:
    """Whether a host is this machine, or an address, and so nothing that others can move."""
    try:
        return host == "localhost" or bool(ip_address(host or ""))
    except ValueError:
        return False


def told(provenance: Provenance) -> dict[str, Any]:
    """A provenance for JSON, with values as clients send them; what is no number there, as a
    text."""
    return {
        "operation": provenance.operation,
        "version": provenance.version,
        "inputs": [
            {"name": role, "id": one}
            for role, one in zip(
                provenance.roles or [""] * len(provenance.input_ids),
                provenance.input_ids,
                strict=True,
            )
        ],
        "params": {key: _plain(value) for key, value in provenance.params},
        "digest": provenance.digest,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(one) for one in value]
    return value
