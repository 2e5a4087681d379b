"""Tracks over HTTP, as clients of seqchain ask for them, and more: ``/api``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ..errors import BadInput, NotFound
from ..tracks.archived_reference import ArchivedReference, Chromosomes
from ..tracks.catalogue import Client
from ..tracks.formats import FORMATS, load_track
from ..tracks.lineage import Lineage
from ..version import __version__
from .answers import REVALIDATED, Handler, answering, by_method, in_thread, json_answer
from .asking import Refused, is_true, one_of, page_of
from .methods import Methods
from .served import Service
from .stored_genomes import Genomes
from .track_data import TrackData
from .tracking import Stores, Tracking
from .uploads import Upload, is_form, is_json, received

#: In which lineage can be had: the media type of each.
_LINEAGES = {
    "json": "application/json",
    "text": "text/plain; charset=utf-8",
    "svg": "image/svg+xml",
    "dot": "text/vnd.graphviz; charset=utf-8",
}

#: Bytes that are looked at to see what a body is; genomes that a message names.
_HEAD, _NAMED = 64, 5

#: Of a picture that somebody opens by itself: it runs nothing, and asks nobody.
_PICTURE = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}


def track_router(service: Service) -> APIRouter:
    """Routes below ``/api``."""
    router = APIRouter(tags=["tracks"])
    tracking = Tracking(service)
    methods, genomes = Methods(tracking), Genomes(tracking)
    tracks, data = _Tracks(tracking), TrackData(tracking)

    def add(path: str, name: str, handlers: Mapping[str, Handler]) -> None:
        # Those of GET answer HEAD too.
        router.add_route(
            path, answering(by_method(handlers)), methods=list(handlers), name=f"api_{name}"
        )

    add("/api/health", "health", {"GET": _health})
    add("/api/methods", "methods", {"GET": methods.list})
    add("/api/methods/{method_id}", "method", {"GET": methods.one, "POST": methods.run})
    add("/api/jobs", "jobs", {"GET": methods.jobs})
    add("/api/jobs/{job_id}", "job", {"GET": methods.job, "DELETE": methods.cancel})
    add("/api/jobs/{job_id}/stream", "job_stream", {"GET": methods.stream})
    for slash, suffix in (("", ""), ("/", "_slash")):
        add(f"/api/genomes{slash}", f"genomes{suffix}", {"GET": genomes.list, "POST": genomes.post})
        add(f"/api/tracks{slash}", f"tracks{suffix}", {"GET": tracks.list, "POST": tracks.post})
    add("/api/genomes/{genome_id}", "genome", {"GET": genomes.one, "DELETE": genomes.delete})
    one = "/api/tracks/{track_id}"
    add(one, "track", {"GET": tracks.one, "DELETE": tracks.delete})
    add(f"{one}/lineage", "lineage", {"GET": tracks.lineage})
    add(f"{one}/descendants", "descendants", {"GET": tracks.descendants})
    add(f"{one}/data", "data", {"GET": data.data})
    add(f"{one}/summary", "track_summary", {"GET": data.summary})
    return router


async def _health(_request: Request) -> Response:
    return json_answer({"status": "ok", "version": __version__})


class _Tracks:
    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking
        self._computed = tracking.limits.computing.run

    async def list(self, request: Request) -> Response:
        """A page of the tracks, the newest first; or of those over a genome."""
        stores = self._tracking.found(request)
        genome = one_of(request, "genome")
        page, size = page_of(request)

        def look() -> dict[str, Any]:
            found = [] if stores is None else _listed(stores, genome)
            some = [] if stores is None else found[page * size : (page + 1) * size]
            rows = [] if stores is None else [stores.facts(one) for one in some]
            pagination = {"page": page, "page_size": size, "total": len(found)}
            return {"results": rows, "pagination": pagination}

        found = await self._computed(look)
        return json_answer(found, headers={"Cache-Control": REVALIDATED})

    async def one(self, request: Request) -> Response:
        """What is known of a track."""
        stores, track_id = self._asked(request)
        document = await in_thread(_told, stores, track_id)
        return json_answer(document, headers={"Cache-Control": REVALIDATED})

    async def post(self, request: Request) -> Response:
        """Store a track: a file as a form or as it is, or JSON."""
        stores = self._tracking.changing(request)
        limits = self._tracking.limits
        if is_json(request):
            upload = await received(request, limits.body, filename="body.json")
        else:
            upload = await received(request, limits.upload, filename=_filename(request))

        def store() -> dict[str, Any]:
            is_document = is_json(request) or (
                not is_form(request) and _begins_as_json(upload, limits.body)
            )
            return _told(stores, _store(stores, upload, is_json=is_document))

        document = await self._tracking.stored(upload, store)
        where = self._tracking.service.address(request, "/api/tracks")
        headers = {"Location": f"{where}/api/tracks/{document['id']}"}
        return json_answer(document, status=201, headers=headers)

    async def delete(self, request: Request) -> Response:
        """Have the id of a track mean nothing any more."""
        stores = self._tracking.changing(request)
        track_id = request.path_params["track_id"]
        delete = partial(stores.tracks.delete, track_id, cascade=is_true(request, "cascade"))
        if not await in_thread(delete):
            raise NotFound(f"there is no track {track_id!r}")
        return json_answer({"id": track_id, "deleted": True})

    # --- where it is from -------------------------------------------------------------------------

    async def lineage(self, request: Request) -> Response:
        """What a track was computed from."""
        stores, track_id = self._asked(request)
        chosen = _lineage_format(request)
        return _drawn(await self._computed(stores.tracks.lineage, track_id), chosen)

    async def descendants(self, request: Request) -> Response:
        """What was computed from a track or a genome."""
        stores, track_id = self._asked(request)
        chosen = _lineage_format(request)
        return _drawn(await self._computed(stores.tracks.descendants, track_id), chosen)

    def _asked(self, request: Request) -> tuple[Stores, str]:
        track_id: str = request.path_params["track_id"]
        return self._tracking.stores(request, f"track {track_id!r}"), track_id


def _listed(stores: Stores, genome: str | None) -> list[Client]:
    found = stores.tracks.clients()[::-1]
    if genome is None:
        return found
    digest = stores.tracks.reference(genome).digest
    return [one for one in found if stores.tracks.genome_of(one) == digest]


def _told(stores: Stores, track_id: str) -> dict[str, Any]:
    client = stores.tracks.client(track_id)
    facts = stores.facts(client)
    return {**facts, "chroms": stores.reference(facts["genome_id"]).chrom_lengths}


def _lineage_format(request: Request) -> str:
    chosen = one_of(request, "format") or "json"
    if chosen not in _LINEAGES:
        raise Refused(400, f"format is one of {', '.join(_LINEAGES)}")
    return chosen


def _drawn(lineage: Lineage, chosen: str) -> Response:
    headers = {"Cache-Control": REVALIDATED}
    if chosen == "json":
        return json_answer(lineage.as_dict(), headers=headers)
    text = {"text": lineage.text, "svg": lineage.svg, "dot": lineage.dot}[chosen]()
    if chosen == "svg":
        headers |= _PICTURE
    return Response(text.encode("utf-8"), 200, headers, media_type=_LINEAGES[chosen])


# --- storing --------------------------------------------------------------------------------------


def _filename(request: Request) -> str:
    """What to call a file that is the whole body."""
    return request.query_params.get("name") or "track"


def _store(stores: Stores, upload: Upload, *, is_json: bool) -> str:
    """Store the track in a file; its id.

    Args:
        is_json: It is a document that says what the fields of a form would.
    """
    if upload.path is None:
        raise BadInput("the form has no file")
    said = _said(upload) if is_json else {}
    fields = {**upload.fields, **said}
    chosen = "json" if is_json else fields.get("format") or None
    if chosen is not None and chosen not in FORMATS:
        raise BadInput(f"format is one of {', '.join(sorted(FORMATS))}")
    reference = _genome(stores, (upload.fields, said))
    name = fields.get("name") or None
    chroms = Chromosomes(reference)
    track = load_track(str(upload.path), name=name, format=chosen, chroms=chroms)
    return stores.tracks.put(track, genome=reference.digest, name=name)


def _begins_as_json(upload: Upload, most: int) -> bool:
    """Whether a file that nobody calls JSON is some, and not more of it than is read at once."""
    if upload.path is None or upload.path.stat().st_size > most:
        return False
    if upload.fields.get("format", "json") != "json":
        return False
    with open(upload.path, "rb") as file:
        return file.read(_HEAD).lstrip().startswith(b"{")


def _genome(stores: Stores, said: Iterable[Mapping[str, str]]) -> ArchivedReference:
    """The genome that a client says; or the only one that there is.

    Raises:
        BadInput: Several are said; or none, and there are several, or none.
    """
    names = [one.get(key) for one in said for key in ("genome", "genome_id")]
    found = {
        reference.digest: reference
        for reference in (stores.tracks.reference(name) for name in dict.fromkeys(names) if name)
    }
    if len(found) > 1:
        both = " and ".join(one.name for one in found.values())
        raise BadInput(f"a track is over one genome, and two are said: {both}")
    if found:
        return next(iter(found.values()))
    digests = stores.genomes.digests()
    if not digests:
        raise BadInput("there is no genome that the track could be over; POST one to /api/genomes")
    if len(digests) > 1:
        some = ", ".join(stores.reference(one).name for one in digests[:_NAMED])
        rest = f" and {len(digests) - _NAMED:,} more" if len(digests) > _NAMED else ""
        raise BadInput(
            f"say which of {len(digests):,} genomes the track is over ({some}{rest}): as "
            '"genome" in the JSON, as a field of the form, or as ?genome='
        )
    return stores.tracks.reference(digests[0])


def _said(upload: Upload) -> dict[str, str]:
    """What a document of JSON says of itself."""
    assert upload.path is not None
    try:
        document = json.loads(upload.path.read_bytes())
    except (ValueError, RecursionError):
        raise BadInput("the body is not JSON") from None
    if not isinstance(document, dict):
        raise BadInput("the body is not a JSON object")
    found = {name: document.get(name) for name in ("genome", "genome_id", "name")}
    return {name: value for name, value in found.items() if isinstance(value, str)}
