"""GA4GH DRS 1.5: the FASTA files of collections as objects, made when their bytes are wanted."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import iterate_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ..errors import NotFound, SeqArchiveError
from ..reader import ArchiveReader
from ..seqcol.as_fasta import CollectionFasta, FastaDigests
from .answers import (
    IMMUTABLE,
    READING,
    REVALIDATED,
    answering,
    in_thread,
    json_answer,
    not_modified,
    status_of,
)
from .asking import Part, Refused, json_body, part
from .served import Service

_BASE = "/ga4gh/drs/v1"

#: The one way to the bytes.
_ACCESS = "https"

_MIME = "text/x-fasta"

#: Files whose digests are remembered, and objects of one bulk request.
_REMEMBERED, _BULK = 1000, 1000


def drs_router(service: Service) -> APIRouter:
    """Routes below ``/ga4gh/drs/v1``."""
    router = APIRouter(tags=["DRS"])
    about = _Drs(service)
    for path, handler, methods in (
        ("/service-info", about.service_info, READING),
        ("/objects/{identifier}/access/{access_id}", about.access, ["GET", "POST"]),
        ("/objects/{identifier}/bytes", about.contents, READING),
        ("/objects/access", about.bulk_access, ["POST"]),
        ("/objects/{identifier}", about.object_, ["GET", "HEAD", "POST"]),
        ("/objects", about.bulk, ["POST"]),
    ):
        name = f"drs_{handler.__name__.strip('_')}"
        router.add_route(_BASE + path, answering(handler), methods=methods, name=name)
    return router


class _Drs:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._digests: OrderedDict[str, FastaDigests] = OrderedDict()
        self._computing = threading.Lock()

    def _fasta(self, request: Request, identifier: str) -> tuple[str, Any, CollectionFasta]:
        archive: ArchiveReader = self._service.archive_of(request)
        found = archive.collection(identifier)
        fasta = CollectionFasta(found, archive.fetch_digest)
        # What is given back may change with a later file of the same collection.
        return f"{found.digest}.{found.line_bases}.{fasta.size()}", found, fasta

    def _known(self, key: str, fasta: CollectionFasta) -> FastaDigests:
        """The digests of a file, computed once: one file at a time."""
        with self._computing:
            known = self._digests.get(key)
            if known is None:
                known = self._digests[key] = fasta.digests()
                while len(self._digests) > _REMEMBERED:
                    self._digests.popitem(last=False)
            return known

    # --- objects ----------------------------------------------------------------------------------

    async def object_(self, request: Request) -> Response:
        """What is known of a file."""
        found = await in_thread(self._object, request, request.path_params["identifier"])
        return json_answer(found, headers={"Cache-Control": REVALIDATED})

    def _object(self, request: Request, identifier: str) -> dict[str, Any]:
        key, collection, fasta = self._fasta(request, identifier)
        digests = self._known(key, fasta)
        digest = collection.digest
        times = self._service.archive_of(request).committed()
        return {
            "id": digest,
            "name": f"{digest}.fa",
            "self_uri": f"drs://{request.url.netloc}/{digest}",
            "size": digests.n_bytes,
            "created_time": times[0] if times is not None else "1970-01-01T00:00:00Z",
            "mime_type": _MIME,
            "checksums": [
                {"type": "sha-256", "checksum": digests.sha256},
                {"type": "md5", "checksum": digests.md5},
                {"type": "sha-512", "checksum": digests.sha512},
            ],
            "access_methods": [
                {
                    "type": "https",
                    "access_id": _ACCESS,
                    "access_url": {"url": self._where(request, digest)},
                }
            ],
            "aliases": [str(alias) for alias in collection.aliases()],
            "description": f"A collection of {len(collection):,} sequences",
        }

    @staticmethod
    def _where(request: Request, digest: str) -> str:
        return str(request.url_for("drs_contents", identifier=digest))

    async def access(self, request: Request) -> Response:
        """Where the bytes of a file are."""
        found = self._service.archive_of(request).collection(request.path_params["identifier"])
        if request.path_params["access_id"] != _ACCESS:
            raise NotFound(f"there is no access {request.path_params['access_id']!r}")
        url = self._where(request, found.digest)
        return json_answer({"url": url}, headers={"Cache-Control": REVALIDATED})

    async def bulk(self, request: Request) -> Response:
        """Several objects at once."""
        asked = await self._asked(request, "bulk_object_ids")

        def look() -> list[tuple[str, dict[str, Any] | SeqArchiveError]]:
            found: list[tuple[str, dict[str, Any] | SeqArchiveError]] = []
            for identifier in asked:
                try:
                    found.append((identifier, self._object(request, identifier)))
                except SeqArchiveError as error:
                    found.append((identifier, error))
            return found

        return _bulk_answer(await in_thread(look), "resolved_drs_object")

    async def bulk_access(self, request: Request) -> Response:
        """Where the bytes of several files are."""
        document = await self._posted(request)
        asked = document.get("bulk_object_access_ids")
        if not isinstance(asked, list) or len(asked) > _BULK:
            raise Refused(400, f"bulk_object_access_ids is a list of at most {_BULK:,}")
        archive = self._service.archive_of(request)
        found: list[tuple[str, dict[str, Any] | SeqArchiveError]] = []
        for one in asked:
            if not isinstance(one, dict) or not isinstance(one.get("bulk_object_id"), str):
                raise Refused(400, "an entry has bulk_object_id and bulk_access_ids")
            identifier = one["bulk_object_id"]
            try:
                url = self._where(request, archive.collection(identifier).digest)
            except SeqArchiveError as error:
                found.append((identifier, error))
                continue
            found.append(
                (
                    identifier,
                    {"drs_object_id": identifier, "drs_access_id": _ACCESS, "url": url},
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
        key, collection, fasta = await in_thread(self._fasta, request, identifier)
        size, etag = int(key.rpartition(".")[2]), f'"{key}"'
        headers = {
            "Accept-Ranges": "bytes",
            "Cache-Control": IMMUTABLE if identifier == collection.digest else REVALIDATED,
            "Content-Disposition": f'attachment; filename="{collection.digest}.fa"',
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
            "Content-Type": f"{_MIME}; charset=utf-8",
        }
        if request.method == "HEAD":
            return Response(None, status, headers)
        chunks = fasta.chunks(wanted.start, wanted.end)
        first = await in_thread(next, chunks, b"")
        return StreamingResponse(_streamed(first, chunks), status, headers)

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


def _bulk_answer(found: list[tuple[str, dict[str, Any] | SeqArchiveError]], name: str) -> Response:
    """What was found of many things, and what was not, by the reason."""
    resolved = [one for _, one in found if isinstance(one, dict)]
    by_status: dict[int, list[str]] = {}
    for identifier, one in found:
        if isinstance(one, SeqArchiveError):
            by_status.setdefault(status_of(one), []).append(identifier)
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


async def _streamed(first: bytes, rest: Iterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in iterate_in_threadpool(rest):
        yield chunk
