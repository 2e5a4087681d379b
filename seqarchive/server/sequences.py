"""Refget sequences 2.0.0, and what clients of 1.0 need."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ..identifiers import DigestKey, qualified_key
from ..readable import Readable
from ..sequences import ArchivedSequence
from .answers import (
    IMMUTABLE,
    READING,
    REVALIDATED,
    answering,
    in_thread,
    json_answer,
    not_modified,
    streamed,
)
from .asking import MediaType, Part, negotiated, part
from .served import INLINE, Service

_VND = "vnd.ga4gh.refget"

#: What the residues are given as. Suites and old clients ask for version 1.
_PLAIN = (
    MediaType(
        f"text/{_VND}.v2.0.0+plain",
        f"text/{_VND}.v2.0.0+plain; charset=us-ascii",
        ("text/plain",),
    ),
    MediaType(f"text/{_VND}.v1.0.0+plain", f"text/{_VND}.v1.0.0+plain; charset=us-ascii"),
    MediaType(f"text/{_VND}.v1.0.1+plain", f"text/{_VND}.v1.0.1+plain; charset=us-ascii"),
)
_JSON = (
    MediaType(
        f"application/{_VND}.v2.0.0+json",
        f"application/{_VND}.v2.0.0+json; charset=us-ascii",
        ("application/json",),
    ),
    MediaType(
        f"application/{_VND}.v1.0.0+json", f"application/{_VND}.v1.0.0+json; charset=us-ascii"
    ),
    MediaType(
        f"application/{_VND}.v1.0.1+json", f"application/{_VND}.v1.0.1+json; charset=us-ascii"
    ),
)

#: Residues of one piece of a long answer.
_PIECE = 1 << 20

#: Of the first piece, which the client waits for.
_FIRST = 1 << 16


def plain_sequence_router(service: Service) -> APIRouter:
    """The routes that most requests mean, to be looked at first: of names without a slash."""
    router = APIRouter(tags=["refget sequences"])
    about = _Sequences(service)
    for path, handler, name in (
        ("/sequence/service-info", about.service_info, "plain_sequence_service_info"),
        ("/sequence/{identifier}", about.sequence, "plain_sequence"),
    ):
        router.add_route(path, answering(handler), methods=READING, name=name)
    return router


def sequence_router(service: Service) -> APIRouter:
    """Routes below ``/sequence``, and ``/md5`` as ENA has it."""
    router = APIRouter(tags=["refget sequences"])
    about = _Sequences(service)
    for path, handler, name in (
        ("/sequence/service-info", about.service_info, "sequence_service_info"),
        ("/sequence/{identifier:path}/metadata", about.metadata, "sequence_metadata"),
        ("/sequence/{identifier:path}", about.sequence, "sequence"),
        ("/md5/{identifier}", about.by_md5, "sequence_by_md5"),
    ):
        router.add_route(path, answering(handler), methods=READING, name=name)
    return router


class _Sequences:
    def __init__(self, service: Service) -> None:
        self._service = service

    # --- residues -----------------------------------------------------------------------------

    async def sequence(self, request: Request) -> Response:
        """Residues of a sequence, or of a part of it."""
        return await self._sequence(request, request.path_params["identifier"])

    async def by_md5(self, request: Request) -> Response:
        """The same by the MD5, for samtools (``REF_PATH``)."""
        return await self._sequence(request, "md5:" + request.path_params["identifier"])

    async def _sequence(self, request: Request, identifier: str) -> Response:
        kind = negotiated(request, _PLAIN)
        archive, quickly = self._service.archive_of(request), self._service.quickly
        found: ArchivedSequence = await quickly(archive.__getitem__, identifier)
        name = f"sha512t24u:{found.digest}"
        length, etag = len(found), f'"SQ.{found.digest}"'
        wanted = part(
            request,
            length,
            is_circular="start" in request.query_params
            and await quickly(archive.is_circular, name),
            limit=self._service.limits.subsequence,
            etag=etag,
        )
        status = 200
        headers = {
            "Cache-Control": _caching(identifier),
            "Accept-Ranges": "bytes",
            "Vary": "Accept",  # the same residues are of another media type for other clients
        }
        if wanted is None:
            wanted = Part(0, length, is_range=False)
        elif wanted.is_range:
            status = 206
            headers["Content-Range"] = f"bytes {wanted.start}-{wanted.end - 1}/{length}"
        else:
            headers["Accept-Ranges"] = "none"
            etag = f'"SQ.{found.digest}:{wanted.start}-{wanted.end}"'
        cached = not_modified(request, etag, headers)
        if cached is not None:
            return cached
        n_residues = wanted.n_residues(length)
        headers |= {"ETag": etag, "Content-Length": str(n_residues), "Content-Type": kind.full}
        if request.method == "HEAD":
            return Response(None, status, headers)
        if n_residues <= INLINE:
            bounds = _bounds(wanted, length)
            residues: str = await quickly(archive.fetch_digest, found.digest, *bounds)
            return Response(residues.encode("ascii"), status, headers)
        pieces = pieces_of(archive, found, wanted)
        return await streamed(pieces, status, headers, self._service.limits.streams)

    # --- what is known --------------------------------------------------------------------------

    async def metadata(self, request: Request) -> Response:
        """Digests, length and names of a sequence."""
        kind = negotiated(request, _JSON)
        archive = self._service.archive_of(request)
        identifier = request.path_params["identifier"]
        document = {"metadata": await self._service.quickly(_metadata, archive, identifier)}
        return json_answer(document, media_type=kind.full, headers={"Cache-Control": REVALIDATED})

    async def service_info(self, request: Request) -> Response:
        """What this service is and can do."""
        kind = negotiated(request, _JSON)
        archive = self._service.archive_of(request)
        limit = self._service.limits.subsequence
        algorithms = ["md5", "ga4gh", "trunc512"]
        refget = {
            "circular_supported": True,
            "algorithms": algorithms,
            "identifier_types": await in_thread(archive.namespaces),
            "subsequence_limit": limit,
        }
        document = self._service.identity.service_info(
            "refget-sequence",
            "2.0.0",
            times=await in_thread(archive.committed),
            refget=refget,
            # What servers of version 1 say, whose clients look for nothing else.
            service={
                "circular_supported": True,
                "algorithms": algorithms,
                "subsequence_limit": limit,
                "supported_api_versions": ["1.0.0", "1.0.1", "2.0.0"],
            },
        )
        return json_answer(document, media_type=kind.full, headers={"Cache-Control": REVALIDATED})


def _metadata(archive: Readable, identifier: str) -> dict[str, Any]:
    found = archive[identifier]
    name = f"sha512t24u:{found.digest}"
    names = dict(one.split(":", 1) for one in archive.translate(name, ["md5", "ga4gh", "trunc512"]))
    return {
        "id": names["ga4gh"],
        "md5": names["md5"],
        "ga4gh": names["ga4gh"],
        "trunc512": names["trunc512"],
        "length": len(found),
        "circular": archive.is_circular(name),
        "aliases": [
            {"alias": alias.alias, "naming_authority": alias.namespace}
            for alias in archive.aliases(name)
        ],
    }


def _caching(identifier: str) -> str:
    """What caches may do: what has the name of a digest never changes."""
    bare = identifier.partition(":")[2] or identifier
    is_digest = isinstance(qualified_key(identifier), DigestKey) or (
        ":" not in identifier and (bare.startswith("SQ.") or len(bare) in (32, 48))
    )
    return IMMUTABLE if is_digest else REVALIDATED


def _bounds(wanted: Part, length: int) -> tuple[int, int]:
    """As ``fetch`` takes them: over the origin, the end is before the start."""
    return (wanted.start, wanted.end) if wanted.end or not wanted.start else (wanted.start, length)


async def pieces_of(
    archive: Readable, found: ArchivedSequence, wanted: Part
) -> AsyncIterator[bytes]:
    """The residues of a part, read by other threads than the one that answers."""
    length = len(found)
    if wanted.end >= wanted.start:
        spans = [(wanted.start, wanted.end)]
    else:
        spans = [(wanted.start, length), (0, wanted.end)]
    size = _FIRST
    for start, end in spans:
        at = start
        while at < end:
            after = min(at + size, end)
            text: str = await in_thread(archive.fetch_digest, found.digest, at, after)
            yield text.encode("ascii")
            at, size = after, _PIECE
