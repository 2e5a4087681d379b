"""Genomes by their names, as refgenie asks for them (``/v4/aliases``)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from .answers import READING, REVALIDATED, answering, in_thread, json_answer
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

    async def aliases(self, request: Request) -> Response:
        """Names of collections with what they mean; a page of them."""
        offset, limit = number(request, "offset") or 0, number(request, "limit")
        if limit == 0 or (limit or 0) > self._service.limits.page_size:
            raise Refused(400, f"limit is 1 to {self._service.limits.page_size:,}")
        size = _LIMIT if limit is None else limit
        archive = self._service.archive_of(request)
        wanted = {name: request.query_params.get(name) for name in ("name", "genome_digest")}
        rows = [
            {"name": alias.alias, "namespace": alias.namespace, "genome_digest": digest}
            for alias, digest in await in_thread(archive.all_collection_aliases)
            if wanted["name"] in (None, alias.alias) and wanted["genome_digest"] in (None, digest)
        ]
        document = {
            "items": rows[offset : offset + size],
            "pagination": {"offset": offset, "limit": size, "total": len(rows)},
        }
        return json_answer(document, headers={"Cache-Control": REVALIDATED})

    async def alias(self, request: Request) -> Response:
        """A collection by a name, with or without its namespace: all of it, and its FHR."""
        archive, alias = self._service.archive_of(request), request.path_params["alias"]

        def look() -> dict[str, Any]:
            found = archive.collection(alias)
            arrays = found.level2()
            return {
                "alias": alias,
                "digest": found.digest,
                "source": "server",
                "collection": {name: arrays[name] for name in ("names", "lengths", "sequences")},
                "fhr": found.fhr(),
            }

        return json_answer(await in_thread(look), headers={"Cache-Control": REVALIDATED})
