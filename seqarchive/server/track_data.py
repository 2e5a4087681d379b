"""What a track says: entries of it, a summary for pictures, or its file."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

from starlette.concurrency import iterate_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from ..errors import BadInput
from ..tracks.catalogue import Client, content_id
from ..tracks.cutting import within
from ..tracks.formats import FORMATS, write_track
from ..tracks.stores import StoredTrack
from ..tracks.track import AnyTrack, TableTrack
from ..version import __version__
from .answers import IMMUTABLE, JSON, REVALIDATED, in_thread, json_answer, not_modified, streamed
from .asking import Refused, number, one_of
from .entries import Batch, batches, page_of_entries, plain_list, table_page, texts
from .sending import Sent, file_answer
from .tracking import Stores, Tracking
from .windows import Window, summary_of

#: Entries of one answer that is not all of it.
_MOST_ENTRIES = 10_000

#: Bins of a summary, if nothing is said, and at most.
_BINS, _MOST_BINS = 500, 2_000

#: The name under which the file of a track is asked for as it is kept, by the type of the track.
_KEPT = {"interval": "bed.gz", "signal": "bigwig", "table": "tsv"}

_EXTENSIONS = {"bigwig": "bw"}

_MEDIA_TYPES = {"bed.gz": "application/gzip", "bigwig": "application/octet-stream"}

#: What data can be asked for as.
DATA_FORMATS = sorted(
    {"json", *_KEPT.values(), *(name for name, known in FORMATS.items() if known.writes)}
)


class _Asked(NamedTuple):
    """A track, and what of it is asked for."""

    stores: Stores
    client: Client
    stored: StoredTrack
    window: Window | None
    """None for all of it."""

    @property
    def track(self) -> AnyTrack:
        return cast(AnyTrack, self.stored.track)

    def batches(self) -> Iterator[Batch]:
        return batches(self.track, self.window, self.stored.chroms)

    def etag(self, what: str) -> str:
        """Of an answer that follows from what the track says."""
        content = content_id(self.client.target)
        text = f"{content} {self.window} {what} {__version__}"
        return f'"{content}:{hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]}"'

    def caching(self, request: Request) -> str:
        """What caches may do: what is asked for by its content never changes."""
        is_content = request.path_params["track_id"] == content_id(self.client.target)
        return IMMUTABLE if is_content else REVALIDATED


class TrackData:
    """Handlers of ``/api/tracks/{id}/data`` and ``/summary``."""

    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking
        self._streams = tracking.limits.streams
        self._computed = tracking.limits.computing.run

    async def data(self, request: Request) -> Response:
        """The entries of a track, or of a region of it; or its file."""
        chosen = one_of(request, "format") or "json"
        if chosen not in DATA_FORMATS:
            raise Refused(400, f"format is one of {', '.join(DATA_FORMATS)}")
        asked = await self._asked(request)
        if asked.window is None and chosen == _KEPT[asked.stored.track_type]:
            return await self._kept(request, asked, chosen)
        if chosen != "json":
            return await self._written(request, asked, chosen)
        return await self._json(request, asked)

    async def summary(self, request: Request) -> Response:
        """A track in bins along a region, for a picture."""
        n_bins = number(request, "bins")
        if n_bins == 0 or (n_bins or 0) > _MOST_BINS:
            raise Refused(400, f"bins is 1 to {_MOST_BINS:,}")
        asked = await self._asked(request)
        if asked.window is None:
            raise Refused(400, "say which region: CHROM or CHROM:START-END")
        bins = _BINS if n_bins is None else n_bins
        headers = {"Cache-Control": asked.caching(request)}
        etag = asked.etag(f"summary {bins}")
        cached = not_modified(request, etag, headers)
        if cached is not None:
            return cached
        window, stored = asked.window, asked.stored
        length = stored.chroms[window.chrom]
        found = await self._computed(summary_of, asked.track, window, bins, length)
        document = {
            **_about(asked),
            "bins": len(found["edges"]) - 1,
            **{name: plain_list(values) for name, values in found.items()},
        }
        return json_answer(document, headers={**headers, "ETag": etag})

    async def _asked(self, request: Request) -> _Asked:
        track_id = request.path_params["track_id"]
        region = one_of(request, "region")
        stores = self._tracking.stores(request, f"track {track_id!r}")

        def look() -> _Asked:
            client = stores.tracks.client(track_id)
            stored = stores.opened(client)
            reference = stores.reference(stores.tracks.genome_of(client))
            window = None if region is None else Window(*reference.locate(region))
            return _Asked(stores, client, stored, window)

        found: _Asked = await self._computed(look)
        return found

    # --- JSON -------------------------------------------------------------------------------------

    async def _json(self, request: Request, asked: _Asked) -> Response:
        offset, limit = number(request, "offset") or 0, number(request, "limit")
        if limit is not None and limit > _MOST_ENTRIES:
            raise Refused(400, f"limit is at most {_MOST_ENTRIES:,}; without one, all is given")
        if limit is None and offset:
            raise Refused(400, "an offset needs a limit")
        headers = {"Cache-Control": asked.caching(request)}
        etag = asked.etag(f"json {offset} {limit}")
        cached = not_modified(request, etag, headers)
        if cached is not None:
            return cached
        headers["ETag"] = etag
        track = asked.track
        if isinstance(track, TableTrack):
            values = await self._computed(table_page, track, offset, limit)
            total = {"total": len(track), "offset": offset}
            return json_answer({**_about(asked), **total, "values": values}, headers=headers)
        if limit is not None:
            rows, n_entries = await self._computed(
                lambda: page_of_entries(asked.batches(), offset, limit)
            )
            total = {"total": n_entries, "offset": offset}
            return json_answer({**_about(asked), **total, "regions": rows}, headers=headers)
        if request.method == "HEAD":
            return Response(None, headers=headers, media_type=JSON)
        headers["Content-Type"] = JSON
        return await streamed(_all_of(asked), 200, headers, self._streams)

    # --- files ------------------------------------------------------------------------------------

    async def _kept(self, request: Request, asked: _Asked, chosen: str) -> Response:
        """The file of a track, as it is kept."""
        content = content_id(asked.client.target)
        path = await in_thread(asked.stores.tracks.file, asked.client.uuid)
        sent = _sent(request, asked, chosen, f'"{content}"')
        return await file_answer(request, path, sent, self._streams)

    async def _written(self, request: Request, asked: _Asked, chosen: str) -> Response:
        """A track, or a region of it, in another form: a file that is made for one answer."""
        kind = asked.stored.track_type
        if chosen not in FORMATS:
            raise BadInput(
                f"{chosen} is the file of a whole track of type {_type_of(chosen)}; format is one "
                f"of {_formats_of(kind)}"
            )
        if kind not in FORMATS[chosen].writes:
            raise BadInput(
                f"{chosen} is not for a track of type {kind}; format is one of {_formats_of(kind)}"
            )
        sent = _sent(request, asked, chosen, asked.etag(chosen))
        cached = not_modified(request, sent.etag, sent.headers)
        if cached is not None:
            return cached
        directory = tempfile.mkdtemp(prefix="seqarchive-answer-")
        path = Path(directory) / f"track.{_EXTENSIONS.get(chosen, chosen)}"

        def write() -> None:
            try:
                track = asked.track
                if asked.window is not None:
                    track = within(track, [asked.window])
                write_track(track, path, chosen, lengths=asked.stored.chroms)
            except BaseException:
                remove()
                raise

        remove = partial(shutil.rmtree, directory, ignore_errors=True)
        try:
            await self._computed(write)
        except Refused:  # it was not begun; or goes on, into nothing
            await in_thread(remove)
            raise
        return await file_answer(request, path, sent, self._streams, done=remove)


def _type_of(chosen: str) -> str:
    return next(kind for kind, name in _KEPT.items() if name == chosen)


def _formats_of(kind: str) -> str:
    """As what a track of a type, or a region of it, can be asked for."""
    return ", ".join(sorted(name for name, known in FORMATS.items() if kind in known.writes))


def _about(asked: _Asked) -> dict[str, Any]:
    window = asked.window
    return {
        "track_id": asked.client.uuid,
        "name": asked.client.name,
        "track_type": asked.stored.track_type,
        "region": None if window is None else window._asdict(),
    }


def _sent(request: Request, asked: _Asked, chosen: str, etag: str) -> Sent:
    stem = asked.client.name or asked.client.uuid
    if asked.window is not None:
        stem += ".{}.{}-{}".format(*asked.window)
    media_type = _MEDIA_TYPES.get(chosen, "text/plain; charset=utf-8")
    return Sent(
        media_type, etag, asked.caching(request), f"{stem}.{_EXTENSIONS.get(chosen, chosen)}"
    )


async def _all_of(asked: _Asked) -> AsyncIterator[bytes]:
    """All entries as one document of JSON, as they come."""
    head = json.dumps(_about(asked), ensure_ascii=False, separators=(",", ":"))
    yield f'{head[:-1]},"regions":['.encode()
    async for text in iterate_in_threadpool(texts(asked.batches())):
        yield text.encode()
    yield b"]}"
