"""Genomes by their names, as refgenie asks for them (``/v4/aliases``)."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ..genomes.naming import FIELDS, GenomeNames, Row
from .answers import READING, REVALIDATED, answering, json_answer
from .asking import Refused, number
from .served import Service

#: Names of a page, if nothing else is asked for.
_LIMIT = 100


def genome_router(service: Service) -> APIRouter:
    """Routes below ``/v4``."""
    router = APIRouter(tags=["genomes"])
    about = _Genomes(service)
    for path, handler, name in (
        ("/v4/aliases", about.aliases, "v4_aliases"),
        ("/v4/aliases/{alias:path}", about.alias, "v4_alias"),
    ):
        router.add_route(path, answering(handler), methods=READING, name=name)
    return router


class _Genomes:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._computed = service.limits.computing.run
        self._names = GenomeNames()

    async def aliases(self, request: Request) -> Response:
        """Names of collections with what they mean; a page of them."""
        offset, limit = number(request, "offset") or 0, number(request, "limit")
        if limit == 0 or (limit or 0) > self._service.limits.page_size:
            raise Refused(400, f"limit is 1 to {self._service.limits.page_size:,}")
        size = _LIMIT if limit is None else limit
        asked = request.query_params
        fields = [
            one for text in asked.getlist("search_fields") for one in text.split(",") if one
        ] or FIELDS[:2]
        unknown = [one for one in fields if one not in FIELDS]
        if unknown:
            raise Refused(400, f"search_fields are some of {', '.join(FIELDS)}")
        operator = asked.get("operator", "or").lower()
        if operator not in ("and", "or"):
            raise Refused(400, "operator is and (in all fields) or or (in one of them)")
        archive = self._service.archive_of(request)

        def look() -> tuple[list[Row], int]:
            return self._names.listing(archive).page(
                offset,
                size,
                name=asked.get("name"),
                digest=asked.get("genome_digest"),
                text=asked.get("q") or None,
                fields=fields,
                is_in_all=operator == "and",
            )

        rows, total = await self._computed(look)
        document = {
            "items": [row._asdict() for row in rows],
            "pagination": {"offset": offset, "limit": size, "total": total},
        }
        return json_answer(document, headers={"Cache-Control": REVALIDATED})

    async def alias(self, request: Request) -> Response:
        """A genome by a name: all of its collection, and its FHR."""
        archive, alias = self._service.archive_of(request), request.path_params["alias"]
        document = await self._computed(self._names.record, archive, alias)
        return json_answer(document, headers={"Cache-Control": REVALIDATED})
