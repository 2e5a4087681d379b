"""SeqRepo's REST interface, as vrs-python, hgvs and anyvar call it."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ..errors import Ambiguous
from ..seqrepo.layout import spelled_names
from ..sequences import ArchivedSequence
from ..version import __version__
from .answers import READING, REVALIDATED, answering, in_thread, json_answer, streamed
from .asking import Part, Refused, number
from .sequences import pieces_of
from .served import INLINE, Service

_PING = "/seqrepo/1/ping"


def seqrepo_router(service: Service) -> APIRouter:
    """Routes below ``/seqrepo/1``."""
    router = APIRouter(tags=["SeqRepo"])
    about = _SeqRepo(service)
    for path, handler in (
        (_PING, about.ping),
        ("/seqrepo/1/sequence/{identifier:path}", about.sequence),
        ("/seqrepo/1/metadata/{identifier:path}", about.metadata),
    ):
        name = f"seqrepo_{handler.__name__}"
        router.add_route(path, answering(handler), methods=READING, name=name)
    return router


class _SeqRepo:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def ping(self, request: Request) -> Response:
        """That the service is there."""
        document = {
            "url": self._service.address(request, _PING) + _PING,
            "version": __version__,
            "dependencies": {"seqrepo": {"version": __version__, "root": ""}},
        }
        return json_answer(document, headers={"Cache-Control": REVALIDATED})

    async def sequence(self, request: Request) -> Response:
        """Residues; as much of a range as the sequence has."""
        unknown = sorted(set(request.query_params) - {"start", "end"})
        if unknown:
            raise Refused(400, f"{unknown[0]!r} is no parameter")
        start, end = number(request, "start"), number(request, "end")
        if start is not None and end is not None and start > end:
            raise Refused(422, "start is behind end")
        archive = self._service.archive_of(request)
        try:
            identifier = request.path_params["identifier"]
            found: ArchivedSequence = await self._service.quickly(archive.__getitem__, identifier)
        except Ambiguous as error:
            raise Refused(422, str(error)) from None
        length = len(found)
        first = min(start or 0, length)
        last = length if end is None else min(end, length)
        limit = self._service.limits.subsequence
        if limit is not None and request.query_params and last - first > limit:
            raise Refused(416, f"more than {limit:,} residues at once are not given")
        headers = {
            "Cache-Control": REVALIDATED,
            "Content-Length": str(max(last - first, 0)),
            "Content-Type": "text/plain; charset=utf-8",
        }
        if request.method == "HEAD":
            return Response(None, 200, headers)
        if last - first <= INLINE:
            residues: str = await self._service.quickly(
                archive.fetch_digest, found.digest, first, max(last, first)
            )
            return Response(residues.encode("ascii"), 200, headers)
        pieces = pieces_of(archive, found, Part(first, last, is_range=False))
        return await streamed(pieces, 200, headers, self._service.limits.streams)

    async def metadata(self, request: Request) -> Response:
        """Length, letters, names and when it was added."""
        archive, identifier = self._service.archive_of(request), request.path_params["identifier"]
        try:
            found = await in_thread(archive.metadata, identifier)
        except Ambiguous as error:
            raise Refused(422, str(error)) from None
        document = {
            "added": found.get("added"),
            "aliases": spelled_names(found["aliases"]),
            "alphabet": found["alphabet"],
            "length": found["length"],
        }
        return json_answer(document, headers={"Cache-Control": REVALIDATED})
