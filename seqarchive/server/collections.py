"""Sequence collections 1.0.0; and names and FHR of collections, as refget's server has them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ..errors import BadInterval, BadName, NotFound
from ..identifiers import Alias, parse_alias
from ..namespaces import canonical
from ..readable import Collection, Readable
from ..seqcol.archived import ATTRIBUTES
from ..seqcol.comparing import Level2, compare, members_in, parse_level2
from ..seqcol.digests import digests_of, level2, name_length_pairs
from .answers import (
    IMMUTABLE,
    READING,
    REVALIDATED,
    answering,
    in_thread,
    json_answer,
    not_modified,
)
from .asking import Refused, collection_named, json_body, number, require_bare
from .served import Service

#: Level 1 only: it is of no use as an array.
_TRANSIENT = "sorted_name_length_pairs"

_PAGE_SIZE = 100

#: What the routes call sequences and collections.
_KINDS = ("collection", "sequence")


def collection_router(service: Service) -> APIRouter:
    """The routes of sequence collections."""
    router = APIRouter(tags=["sequence collections"])
    about = _Collections(service)
    for path, handler, methods in (
        ("/collection/{identifier}/fhr", about.fhr, READING),
        ("/collection/{identifier}/regions", about.regions, ["POST"]),
        ("/collection/{identifier}", about.collection, READING),
        ("/comparison/{first}/{second}", about.comparison, READING),
        ("/comparison/{first}", about.comparison_posted, ["POST"]),
        ("/list/collection", about.list_collections, READING),
        ("/list/attributes/{attribute}", about.list_attribute, READING),
        ("/list/fhr", about.list_fhr, READING),
        ("/list/alias/{kind}", about.list_namespaces, READING),
        ("/list/alias/{kind}/{namespace}", about.list_aliases, READING),
        ("/attribute/collection/{attribute}/{digest}", about.attribute, READING),
        ("/alias/{kind}/{namespace}/{alias:path}", about.alias, READING),
        ("/aliases/{kind}/{identifier}", about.aliases, READING),
        ("/service-info", about.service_info, READING),
    ):
        router.add_route(path, answering(handler), methods=methods, name=handler.__name__)
    return router


class _Collections:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._computed = service.limits.computing.run

    def _archive(self, request: Request) -> Readable:
        return self._service.archive_of(request)

    # --- one collection -------------------------------------------------------------------------

    async def collection(self, request: Request) -> Response:
        """A collection at level 1 or 2."""
        level = _level(request)
        is_by_item = _one_of(request, "collated", ("true", "false")) == "false"
        identifier = collection_named(request)
        archive = self._archive(request)
        found: Collection = await in_thread(archive.collection, identifier)
        etag = f'"{found.digest}:{level}:{is_by_item}"'
        headers = {"Cache-Control": _caching(identifier, found.digest)}
        cached = not_modified(request, etag, headers)
        if cached is not None:
            return cached
        document: Any
        if level == 1:
            document = await in_thread(found.level1)
        elif is_by_item:
            document = await self._computed(_by_item, found)
        else:
            document = await self._computed(found.level2)
        return json_answer(document, headers=headers | {"ETag": etag})

    async def attribute(self, request: Request) -> Response:
        """The array of an attribute, by its digest."""
        name, digest = request.path_params["attribute"], collection_named(request, "digest")
        if name not in ATTRIBUTES or name == _TRANSIENT:
            raise NotFound(f"there is no attribute {name!r} to be had")
        headers = {"Cache-Control": IMMUTABLE, "ETag": f'"{name}:{digest}"'}

        def look() -> Any:
            try:
                found, _ = self._archive(request).collection_page({name: digest}, 0, 1)
            except BadName:
                found = []
            if not found:
                raise NotFound(f"no collection has {name} with the digest {digest!r}")
            return self._archive(request).collection(found[0]).level2()[name]

        value = await self._computed(look)
        cached = not_modified(request, headers["ETag"], headers)
        return cached or json_answer(value, headers=headers)

    async def fhr(self, request: Request) -> Response:
        """What is said of a collection."""
        identifier, archive = collection_named(request), self._archive(request)
        found = await in_thread(lambda: archive.collection(identifier).fhr())
        if found is None:
            raise NotFound(f"nothing is said of the collection {identifier!r}")
        return json_answer(found, headers={"Cache-Control": REVALIDATED})

    async def regions(self, request: Request) -> Response:
        """Residues of ranges of members, ``[{"chrom": ..., "start": ..., "end": ...}]``."""
        asked = await json_body(request, self._service.limits.body)
        if not isinstance(asked, list):
            raise Refused(400, "the body is not a list of regions")
        wanted = [_region(one, f"region {n}") for n, one in enumerate(asked)]
        limit = self._service.limits.subsequence
        archive, identifier = self._archive(request), collection_named(request)

        def fetch() -> list[dict[str, Any]]:
            members = {one.name: one for one in archive.collection(identifier).members()}
            found = []
            for n, (name, start, end) in enumerate(wanted):
                if name not in members:
                    raise NotFound(f"region {n}: {name!r} is not in the collection")
                if limit is not None and (end or limit + 1) - (start or 0) > limit:
                    raise Refused(416, f"more than {limit:,} residues at once are not given")
                _, length, digest = members[name]
                try:
                    residues = archive.fetch_digest(digest, start, end)
                except BadInterval:
                    bounds = f"{start or 0}-{length if end is None else end}"
                    raise Refused(
                        400, f"region {n}: {name} has {length:,} residues, and no {bounds}"
                    ) from None
                found.append(
                    {
                        "chrom": name,
                        "start": start or 0,
                        "end": (start or 0) + len(residues),
                        "sequence": residues,
                    }
                )
            return found

        return json_answer(await self._computed(fetch), headers={"Cache-Control": REVALIDATED})

    # --- two of them ------------------------------------------------------------------------------

    async def comparison(self, request: Request) -> Response:
        """What two collections have in common."""
        first, second = (collection_named(request, one) for one in ("first", "second"))
        archive = self._archive(request)

        def look() -> tuple[str, dict[str, Any]]:
            a, b = archive.collection(first), archive.collection(second)
            found = compare(a.level2(), b.level2(), digest_a=a.digest, digest_b=b.digest)
            return f'"{a.digest}:{b.digest}"', found

        etag, found = await self._computed(look)
        is_fixed = {found["digests"]["a"], found["digests"]["b"]} <= {first, second}
        headers = {"Cache-Control": IMMUTABLE if is_fixed else REVALIDATED, "ETag": etag}
        return not_modified(request, etag, headers) or json_answer(found, headers=headers)

    async def comparison_posted(self, request: Request) -> Response:
        """The same with one that is posted at level 2."""
        posted = await json_body(request, self._service.limits.body)
        archive, first = self._archive(request), collection_named(request, "first")

        def look() -> dict[str, Any]:
            other, digest = _posted(posted)
            a = archive.collection(first)
            return compare(a.level2(), other, digest_a=a.digest, digest_b=digest)

        return json_answer(await self._computed(look))

    # --- lists ------------------------------------------------------------------------------------

    async def list_collections(self, request: Request) -> Response:
        """The collections, or those with certain attributes; a page of them."""
        filters = {
            name: value
            for name, value in request.query_params.items()
            if name not in ("page", "page_size")
        }
        for value in filters.values():
            require_bare(value, 400)
        page, size = self._page(request)
        found, total = await in_thread(self._archive(request).collection_page, filters, page, size)
        return _listed(found, total, page, size)

    async def list_attribute(self, request: Request) -> Response:
        """The digests of an attribute; a page of them."""
        attribute = request.path_params["attribute"]
        if attribute not in ATTRIBUTES:
            raise NotFound(f"there is no attribute {attribute!r}")
        page, size = self._page(request)
        found, total = await in_thread(self._archive(request).attribute_page, attribute, page, size)
        return _listed(found, total, page, size)

    async def list_fhr(self, request: Request) -> Response:
        """The collections of which something is said."""
        archive = self._archive(request)
        found = await self._computed(
            lambda: [one.digest for one in archive.collections() if one.fhr() is not None]
        )
        return json_answer(found, headers={"Cache-Control": REVALIDATED})

    def _page(self, request: Request) -> tuple[int, int]:
        page, size = number(request, "page"), number(request, "page_size")
        if size == 0 or (size or 0) > self._service.limits.page_size:
            raise Refused(400, f"page_size is 1 to {self._service.limits.page_size:,}")
        return page or 0, _PAGE_SIZE if size is None else size

    # --- names ------------------------------------------------------------------------------------

    async def alias(self, request: Request) -> Response:
        """What an alias means."""
        kind, namespace = _kind(request), request.path_params["namespace"]
        alias = request.path_params["alias"]
        archive = self._archive(request)
        name = str(parse_alias(f"{namespace}:{alias}"))
        digest = await in_thread(
            lambda: archive.find(name) if kind == "sequence" else archive.collection(name).digest
        )
        document = {"namespace": namespace, "alias": alias, "digest": digest}
        return json_answer(document, headers={"Cache-Control": REVALIDATED})

    async def aliases(self, request: Request) -> Response:
        """All aliases of a sequence or of a collection: pairs of namespace and alias."""
        is_of_sequence = _kind(request) == "sequence"
        identifier = (
            request.path_params["identifier"] if is_of_sequence else collection_named(request)
        )
        archive = self._archive(request)
        found: list[Alias] = await in_thread(
            lambda: (
                archive.aliases(identifier)
                if is_of_sequence
                else archive.collection(identifier).aliases()
            )
        )
        return json_answer([list(one) for one in found], headers={"Cache-Control": REVALIDATED})

    async def list_namespaces(self, request: Request) -> Response:
        """The namespaces of aliases."""
        archive = self._archive(request)
        if _kind(request) == "sequence":
            found = await in_thread(archive.namespaces)
        else:
            found = await in_thread(
                lambda: sorted({alias.namespace for alias, _ in archive.all_collection_aliases()})
            )
        return json_answer(found, headers={"Cache-Control": REVALIDATED})

    async def list_aliases(self, request: Request) -> Response:
        """The aliases of a namespace; a page of them."""
        page, size = self._page(request)
        archive, namespace = self._archive(request), request.path_params["namespace"]
        is_of_sequences = _kind(request) == "sequence"

        def look() -> tuple[list[str], int]:
            if is_of_sequences:
                found = (alias.alias for alias, _ in archive.all_aliases(namespace))
                return _page_of(found, page, size)
            wanted = canonical(namespace).lower()
            return _page_of(
                (
                    alias.alias
                    for alias, _ in archive.all_collection_aliases()
                    if alias.namespace.lower() == wanted
                ),
                page,
                size,
            )

        found, total = await self._computed(look)
        return _listed(found, total, page, size)

    # --- the service ------------------------------------------------------------------------------

    async def service_info(self, request: Request) -> Response:
        """What this service is, and the schema of its collections."""
        archive = self._archive(request)
        document = self._service.identity.service_info(
            "refget-seqcol",
            "1.0.0",
            times=await in_thread(archive.committed),
            seqcol={
                "schema": SCHEMA,
                "sorted_name_length_pairs": True,
                "aliases": {"enabled": True},
                "fhr_metadata": {"enabled": True},
                **await in_thread(self._service.extras, request),
            },
        )
        return json_answer(document, headers={"Cache-Control": REVALIDATED})


def _listed(found: list[Any], total: int, page: int, size: int) -> Response:
    return json_answer(
        {"results": found, "pagination": {"page": page, "page_size": size, "total": total}},
        headers={"Cache-Control": REVALIDATED},
    )


def _page_of(found: Iterable[str], page: int, size: int) -> tuple[list[str], int]:
    """One page of what there is, and how many there are; no more than the page is held."""
    begin, kept, total = page * size, [], 0
    for one in found:
        if begin <= total < begin + size:
            kept.append(one)
        total += 1
    return kept, total


def _caching(identifier: str, digest: str) -> str:
    return IMMUTABLE if identifier == digest else REVALIDATED


def _level(request: Request) -> int:
    given = _one_of(request, "level", ("1", "2"))
    return 2 if given is None else int(given)


def _one_of(request: Request, name: str, allowed: tuple[str, ...]) -> str | None:
    values = request.query_params.getlist(name)
    if not values:
        return None
    if len(values) > 1 or values[0] not in allowed:
        raise Refused(400, f"{name} is one of {', '.join(allowed)}")
    return values[0]


def _kind(request: Request) -> str:
    kind: str = request.path_params["kind"]
    if kind not in _KINDS:
        raise Refused(400, f"{kind!r} is neither collection nor sequence")
    return kind


def _by_item(found: Collection) -> list[dict[str, Any]]:
    """A collection member by member."""
    return [
        {"name": one.name, "length": one.length, "sequence": f"SQ.{one.digest}"}
        for one in found.members()
    ]


def _region(one: object, which: str) -> tuple[str, int | None, int | None]:
    if not isinstance(one, dict) or not isinstance(one.get("chrom"), str):
        raise Refused(400, f"{which} is no object with chrom, and start and end if it has bounds")
    bounds = [one.get("start"), one.get("end")]
    for bound in bounds:
        if bound is not None and (type(bound) is not int or not 0 <= bound < 1 << 32):
            raise Refused(400, f"{which}: {str(bound)[:40]!r} is no position")
    return one["chrom"], bounds[0], bounds[1]


def _posted(value: object) -> tuple[Level2, str | None]:
    """A collection that was posted, with the attributes that follow from others, and its digest;
    a coordinate system has none."""
    if not isinstance(value, dict):
        raise Refused(400, "the body is not a collection at level 2")
    text = json.dumps(value).encode()
    found: Mapping[str, Any] = parse_level2(text, "the body", needed=("names", "lengths"))
    if "sequences" not in found:
        pairs = name_length_pairs(found["names"], found["lengths"])
        return {**found, "name_length_pairs": pairs}, None
    members = members_in(found, "the body")
    return {**found, **level2(members)}, digests_of(members).digest


def _array(description: str, item: dict[str, Any], *, is_collated: bool) -> dict[str, Any]:
    return {
        "type": "array",
        "collated": is_collated,
        "description": description,
        "items": item,
    }


#: JSON Schema of the collections that are served.
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "https://seqarchive.org/schemas/sequence-collection.json",
    "description": "An ordered set of named sequences.",
    "type": "object",
    "properties": {
        "lengths": _array(
            "Residues of each sequence", {"type": "integer", "minimum": 0}, is_collated=True
        ),
        "names": _array("Name of each sequence", {"type": "string"}, is_collated=True),
        "sequences": _array(
            "Digest of each sequence, with SQ.", {"type": "string"}, is_collated=True
        ),
        "name_length_pairs": _array(
            "Name and length of each sequence",
            {
                "type": "object",
                "properties": {"name": {"type": "string"}, "length": {"type": "integer"}},
                "required": ["name", "length"],
            },
            is_collated=True,
        ),
        "sorted_name_length_pairs": _array(
            "Digests of the pairs of name and length, sorted", {"type": "string"}, is_collated=False
        ),
        "sorted_sequences": _array(
            "Digests of the sequences, sorted", {"type": "string"}, is_collated=False
        ),
    },
    "required": ["names", "lengths", "sequences"],
    "ga4gh": {
        "inherent": ["names", "sequences"],
        "transient": ["sorted_name_length_pairs"],
        "passthru": [],
    },
}
