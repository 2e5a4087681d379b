"""GA4GH DRS 1.5: the FASTA files of collections as objects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi import APIRouter
from starlette.concurrency import iterate_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from ..errors import NotFound, SeqArchiveError
from ..registry.files import Access
from ..remote.cache import DiskCache
from .answers import (
    IMMUTABLE,
    REVALIDATED,
    answering,
    by_method,
    in_thread,
    json_answer,
    not_modified,
    streamed,
    told,
)
from .asking import Part, Refused, json_body, part
from .objects import Digests, File, file_of
from .served import INLINE, Service

_BASE = "/ga4gh/drs/v1"

#: The one way to the bytes.
_ACCESS = "https"

#: Objects of one bulk request.
_BULK = 1000


def drs_router(service: Service) -> APIRouter:
    """Routes below ``/ga4gh/drs/v1``."""
    router = APIRouter(tags=["DRS"])
    about = _Drs(service)
    for path, name, handlers in (
        ("/service-info", "service_info", {"GET": about.service_info}),
        (
            "/objects/{identifier}/access/{access_id}",
            "access",
            {"GET": about.access, "POST": about.access, "OPTIONS": about.access_authorizations},
        ),
        ("/objects/{identifier}/bytes", "contents", {"GET": about.contents}),
        ("/objects/access", "bulk_access", {"POST": about.bulk_access}),
        (
            "/objects/{identifier}",
            "object",
            {"GET": about.object_, "POST": about.object_, "OPTIONS": about.authorizations},
        ),
        ("/objects", "bulk", {"POST": about.bulk, "OPTIONS": about.bulk_authorizations}),
    ):
        handler = answering(by_method(handlers))
        router.add_route(_BASE + path, handler, methods=list(handlers), name=f"drs_{name}")
    return router


class _Drs:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._digests = Digests(DiskCache())

    def _file(self, request: Request, identifier: str) -> File:
        archive = self._service.archive_of(request)
        return file_of(identifier, archive, self._service.registry, self._digests)

    # --- objects ----------------------------------------------------------------------------------

    async def object_(self, request: Request) -> Response:
        """What is known of a file."""
        file = await in_thread(self._file, request, request.path_params["identifier"])
        try:
            found = await self._described([file], self._object, request, file)
        except Refused as error:
            if error.status != 504:
                raise
            # As DRS says it: it goes on, and whoever comes again finds it.
            raise Refused(202, "the digests are being computed", error.headers) from None
        return json_answer(found, headers={"Cache-Control": REVALIDATED})

    async def _described(self, files: list[File], function: Any, *arguments: Any) -> Any:
        """The result of a call, which may have to read all of some files."""
        if all(file.is_known for file in files):
            return await in_thread(function, *arguments)
        return await self._service.limits.digesting.run(function, *arguments)

    def _object(self, request: Request, file: File) -> dict[str, Any]:
        facts = file.facts()
        return {
            "id": file.id,
            "name": facts.name,
            "self_uri": f"drs://{urlsplit(self._service.origin(request)).netloc}/{file.id}",
            "size": facts.size,
            "created_time": file.created,
            "mime_type": facts.mime_type,
            "checksums": [
                {"type": "sha-256", "checksum": facts.sha256},
                {"type": "md5", "checksum": facts.md5},
                {"type": "sha-512", "checksum": facts.sha512},
            ],
            "access_methods": [
                _method(access_id, way) for access_id, way in self._ways(request, file).items()
            ],
            "aliases": file.aliases(),
            "description": facts.description or "",
        }

    def _ways(self, request: Request, file: File) -> dict[str, Access]:
        """How the bytes are reached, by the names of the ways: last by us."""
        where = f"{self._service.address(request, _BASE)}{_BASE}/objects/{file.id}/bytes"
        others = {f"{way.type}-{n}": way for n, way in enumerate(file.ways, 1)}
        return {**others, _ACCESS: Access("https", where)}

    async def access(self, request: Request) -> Response:
        """Where the bytes of a file are."""
        wanted = request.path_params["access_id"]
        file: File = await in_thread(self._file, request, request.path_params["identifier"])
        way = self._ways(request, file).get(wanted)
        if way is None:
            raise NotFound(f"there is no access {wanted!r}")
        return json_answer({"url": way.url}, headers={"Cache-Control": REVALIDATED})

    async def authorizations(self, request: Request) -> Response:
        """Which authorization an object needs: none, as DRS says it."""
        await in_thread(self._file, request, request.path_params["identifier"])
        return _none_needed("GET, HEAD, POST, OPTIONS")

    async def access_authorizations(self, request: Request) -> Response:
        """The same of a way to its bytes."""
        await self.access(request)
        return _none_needed("GET, HEAD, POST, OPTIONS")

    async def bulk_authorizations(self, _request: Request) -> Response:
        """The same of several objects."""
        return _none_needed("POST, OPTIONS")

    async def bulk(self, request: Request) -> Response:
        """Several objects at once."""
        asked = await self._asked(request, "bulk_object_ids")

        found = await in_thread(self._files, request, asked)

        def describe() -> list[tuple[str, dict[str, Any] | SeqArchiveError]]:
            described: list[tuple[str, dict[str, Any] | SeqArchiveError]] = []
            for identifier, one in found:
                try:
                    described.append(
                        (
                            identifier,
                            one if isinstance(one, SeqArchiveError) else self._object(request, one),
                        )
                    )
                except SeqArchiveError as error:
                    described.append((identifier, error))
            return described

        files = [one for _, one in found if not isinstance(one, SeqArchiveError)]
        return _bulk_answer(await self._described(files, describe), "resolved_drs_object")

    def _files(
        self, request: Request, asked: list[str]
    ) -> list[tuple[str, File | SeqArchiveError]]:
        """Files by what names them, or why there is none."""
        found: list[tuple[str, File | SeqArchiveError]] = []
        for identifier in asked:
            try:
                found.append((identifier, self._file(request, identifier)))
            except SeqArchiveError as error:
                found.append((identifier, error))
        return found

    async def bulk_access(self, request: Request) -> Response:
        """Where the bytes of several files are."""
        document = await self._posted(request)
        asked = document.get("bulk_object_access_ids")
        if not isinstance(asked, list) or len(asked) > _BULK:
            raise Refused(400, f"bulk_object_access_ids is a list of at most {_BULK:,}")
        wanted = [_wanted(one) for one in asked]
        files = await in_thread(self._files, request, [identifier for identifier, _ in wanted])
        found: list[tuple[str, dict[str, Any] | SeqArchiveError]] = []
        for (identifier, file), (_, access_ids) in zip(files, wanted, strict=True):
            if isinstance(file, SeqArchiveError):
                found.append((identifier, file))
                continue
            ways = self._ways(request, file)
            for access_id in access_ids:
                if access_id not in ways:
                    found.append((identifier, NotFound(f"there is no access {access_id!r}")))
                    continue
                url = ways[access_id].url
                found.append(
                    (
                        identifier,
                        {"drs_object_id": identifier, "drs_access_id": access_id, "url": url},
                    )
                )
        return _bulk_answer(found, "resolved_drs_object_access_urls")

    async def _posted(self, request: Request) -> dict[str, Any]:
        document = await json_body(request, self._service.limits.body)
        if not isinstance(document, dict):
            raise Refused(400, "the body is not a JSON object")
        return document

    async def _asked(self, request: Request, name: str) -> list[str]:
        asked = (await self._posted(request)).get(name)
        if (
            not isinstance(asked, list)
            or len(asked) > _BULK
            or not all(isinstance(one, str) for one in asked)
        ):
            raise Refused(400, f"{name} is a list of at most {_BULK:,} texts")
        return asked

    # --- bytes ------------------------------------------------------------------------------------

    async def contents(self, request: Request) -> Response:
        """The file itself, or a range of it."""
        identifier = request.path_params["identifier"]
        file: File = await in_thread(self._file, request, identifier)
        size, etag = file.size, f'"{file.version}"'
        headers = {
            "Accept-Ranges": "bytes",
            "Cache-Control": IMMUTABLE if identifier == file.id else REVALIDATED,
            "Content-Disposition": f"attachment; filename*=utf-8''{quote(file.name, safe='')}",
        }
        cached = not_modified(request, etag, headers)
        if cached is not None:
            return cached
        wanted = part(request, size, is_circular=False, limit=None, etag=etag)
        status = 200
        if wanted is None:
            wanted = Part(0, size, is_range=False)
        else:
            status = 206
            headers["Content-Range"] = f"bytes {wanted.start}-{wanted.end - 1}/{size}"
        headers |= {
            "ETag": etag,
            "Content-Length": str(wanted.end - wanted.start),
            "Content-Type": _content_type(file.mime_type),
        }
        if request.method == "HEAD":
            return Response(None, status, headers)
        chunks = file.chunks(wanted.start, wanted.end)
        if wanted.end - wanted.start <= INLINE:
            return Response(await in_thread(_beginning, chunks), status, headers)
        return await streamed(_pieces(chunks), status, headers, self._service.limits.streams)

    async def service_info(self, request: Request) -> Response:
        """What this service is."""
        archive = self._service.archive_of(request)
        _, n_objects = await in_thread(archive.collection_page, {}, 0, 1)
        document = self._service.identity.service_info(
            "drs",
            "1.5.0",
            maxBulkRequestLength=_BULK,
            drs={"maxBulkRequestLength": _BULK, "objectCount": n_objects},
        )
        return json_answer(document, headers={"Cache-Control": REVALIDATED})


def _none_needed(methods: str) -> Response:
    return Response(None, 204, {"Allow": methods})


def _method(access_id: str, way: Access) -> dict[str, Any]:
    more = {"cloud": way.cloud, "region": way.region}
    return {
        "type": way.type,
        "access_id": access_id,
        "access_url": {"url": way.url},
        **{name: value for name, value in more.items() if value is not None},
    }


def _content_type(mime_type: str) -> str:
    return f"{mime_type}; charset=utf-8" if mime_type.startswith("text/") else mime_type


def _wanted(entry: object) -> tuple[str, list[str]]:
    """An entry of a bulk request: what names a file, and the ways that are asked for."""
    if isinstance(entry, dict) and isinstance(entry.get("bulk_object_id"), str):
        access_ids = entry.get("bulk_access_ids", [_ACCESS])
        if isinstance(access_ids, list) and all(isinstance(one, str) for one in access_ids):
            return entry["bulk_object_id"], access_ids[:_BULK] or [_ACCESS]
    raise Refused(400, "an entry has bulk_object_id, a text, and bulk_access_ids, a list of texts")


def _bulk_answer(found: list[tuple[str, dict[str, Any] | SeqArchiveError]], name: str) -> Response:
    """What was found of many things, and what was not, by the reason."""
    resolved = [one for _, one in found if isinstance(one, dict)]
    by_status: dict[int, list[str]] = {}
    for identifier, one in found:
        if isinstance(one, SeqArchiveError):
            by_status.setdefault(told(one)[0], []).append(identifier)
    document = {
        "summary": {
            "requested": len(found),
            "resolved": len(resolved),
            "unresolved": len(found) - len(resolved),
        },
        "unresolved_drs_objects": [
            {"error_code": status, "object_ids": identifiers}
            for status, identifiers in sorted(by_status.items())
        ],
        name: resolved,
    }
    return json_answer(document)


def _beginning(chunks: Iterator[bytes]) -> bytes:
    """What is sent at once: more than a defline, after which it may turn out that there are no
    residues."""
    found = bytearray()
    for chunk in chunks:
        found += chunk
        if len(found) > INLINE:
            break
    return bytes(found)


async def _pieces(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    yield await in_thread(_beginning, chunks)
    async for chunk in iterate_in_threadpool(chunks):
        yield chunk
