"""The OpenAPI document of the service.

Routes take requests as they are, so that FastAPI cannot derive it; a test compares it with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..seqcol.archived import ATTRIBUTES
from ..version import __version__

Json = dict[str, Any]

_POSITION = {"type": "integer", "minimum": 0, "maximum": (1 << 32) - 1}
_TEXT = {"type": "string"}
_STRINGS = {"type": "array", "items": _TEXT}
_OBJECT: Json = {"type": "object"}
_ERROR = {"$ref": "#/components/schemas/Error"}

_PLAIN = {
    f"text/vnd.ga4gh.refget.v{version}+plain": {"schema": _TEXT}
    for version in ("2.0.0", "1.0.0", "1.0.1")
}
_REFGET_JSON = {
    f"application/vnd.ga4gh.refget.v{version}+json": {"schema": _OBJECT}
    for version in ("2.0.0", "1.0.0", "1.0.1")
}

_REASONS = {
    400: "A parameter makes no sense",
    404: "There is none",
    405: "Not with this method",
    406: "Not in a form that is accepted",
    409: "The name means several things",
    413: "The body is too large",
    416: "There is no such part",
    422: "The name means several things, or the range is reversed",
}


def _query(name: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": "query", "schema": schema, "description": description}


_START = _query("start", _POSITION, "First residue, from 0")
_END = _query("end", _POSITION, "Behind the last residue")
_RANGE = {
    "name": "Range",
    "in": "header",
    "schema": _TEXT,
    "description": "One range of bytes, instead of start and end",
}
_PAGING = [
    _query("page", {"type": "integer", "minimum": 0}, "From 0"),
    _query("page_size", {"type": "integer", "minimum": 1, "maximum": 10_000}, "Of a page"),
]


def _content(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _operation(
    name: str,
    tag: str,
    summary: str,
    content: Json,
    *,
    parameters: Sequence[Json] = (),
    refused: Sequence[int] = (404,),
    body: Json | None = None,
    is_partial: bool = False,
    may_be_cached: bool = False,
) -> Json:
    """A description of one operation.

    Args:
        content: Of the answer, by media type.
        refused: Statuses of errors.
        is_partial: Whether a Range is answered with 206.
        may_be_cached: Whether there may be a 304.
    """
    responses: Json = {"200": {"description": "What was asked for", "content": content}}
    if is_partial:
        responses["206"] = {"description": "The range", "content": content}
    if may_be_cached:
        responses["304"] = {"description": "The client has it"}
    for status in refused:
        responses[str(status)] = {"description": _REASONS[status], "content": _content(_ERROR)}
    found: Json = {
        "operationId": name,
        "tags": [tag],
        "summary": summary,
        "parameters": list(parameters),
        "responses": responses,
    }
    if body is not None:
        found["requestBody"] = {"required": True, "content": _content(body)}
    return found


def _listed(item: Json) -> Json:
    number = {"type": "integer", "minimum": 0}
    return {
        "type": "object",
        "properties": {
            "results": {"type": "array", "items": item},
            "pagination": {
                "type": "object",
                "properties": {"page": number, "page_size": number, "total": number},
                "required": ["page", "page_size", "total"],
            },
        },
        "required": ["results", "pagination"],
    }


_SEQUENCES, _COLLECTIONS = "refget sequences", "sequence collections"
_SEQREPO, _DRS, _GENOMES = "SeqRepo", "DRS", "genomes"

_COMPARISON = {
    "type": "object",
    "properties": dict.fromkeys(("digests", "attributes", "array_elements"), _OBJECT),
    "required": ["digests", "attributes", "array_elements"],
}
_LEVEL2 = {
    "type": "object",
    "properties": {
        "names": _STRINGS,
        "lengths": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "sequences": _STRINGS,
    },
    "required": ["names", "lengths", "sequences"],
}
_REGIONS = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"chrom": _TEXT, "start": _POSITION, "end": _POSITION},
        "required": ["chrom"],
    },
}
_BULK = {
    "type": "object",
    "properties": {"bulk_object_ids": {"type": "array", "items": _TEXT, "maxItems": 1000}},
    "required": ["bulk_object_ids"],
}
_BULK_ACCESS = {
    "type": "object",
    "properties": {
        "bulk_object_access_ids": {
            "type": "array",
            "maxItems": 1000,
            "items": {
                "type": "object",
                "properties": {"bulk_object_id": _TEXT, "bulk_access_ids": _STRINGS},
                "required": ["bulk_object_id"],
            },
        }
    },
    "required": ["bulk_object_access_ids"],
}

_OF_SEQUENCE = {
    "parameters": (_START, _END, _RANGE),
    "refused": (400, 404, 406, 409, 416),
    "is_partial": True,
    "may_be_cached": True,
}

#: Path -> method -> operation.
PATHS: dict[str, dict[str, Json]] = {
    "/sequence/service-info": {
        "get": _operation(
            "sequence_service_info", _SEQUENCES, "What the service is", _REFGET_JSON, refused=(406,)
        )
    },
    "/sequence/{identifier}/metadata": {
        "get": _operation(
            "sequence_metadata", _SEQUENCES, "Digests, length and names of a sequence",
            _REFGET_JSON, refused=(404, 406, 409),
        )
    },
    "/sequence/{identifier}": {
        "get": _operation("sequence", _SEQUENCES, "Residues", _PLAIN, **_OF_SEQUENCE)  # type: ignore[arg-type]
    },
    "/md5/{identifier}": {
        "get": _operation("sequence_by_md5", _SEQUENCES, "Residues by MD5", _PLAIN, **_OF_SEQUENCE)  # type: ignore[arg-type]
    },
    "/collection/{identifier}": {
        "get": _operation(
            "collection", _COLLECTIONS, "A collection", _content({"type": ["object", "array"]}),
            parameters=(
                _query("level", {"type": "integer", "enum": [1, 2]}, "1: digests; 2: arrays"),
                _query("collated", {"type": "string", "enum": ["true", "false"]}, "By attribute"),
            ),
            refused=(400, 404, 409), may_be_cached=True,
        )
    },
    "/collection/{identifier}/fhr": {
        "get": _operation(
            "fhr", _COLLECTIONS, "What is said of a collection", _content(_OBJECT),
            refused=(404, 409),
        )
    },
    "/collection/{identifier}/regions": {
        "post": _operation(
            "regions", _COLLECTIONS, "Residues of ranges of members",
            _content({"type": "array", "items": _OBJECT}),
            refused=(400, 404, 409, 413, 416), body=_REGIONS,
        )
    },
    "/comparison/{first}/{second}": {
        "get": _operation(
            "comparison", _COLLECTIONS, "What two collections have in common",
            _content(_COMPARISON), refused=(404, 409), may_be_cached=True,
        )
    },
    "/comparison/{first}": {
        "post": _operation(
            "comparison_posted", _COLLECTIONS, "The same with one that is posted",
            _content(_COMPARISON), refused=(400, 404, 409, 413), body=_LEVEL2,
        )
    },
    "/list/collection": {
        "get": _operation(
            "list_collections", _COLLECTIONS, "Digests of collections", _content(_listed(_TEXT)),
            parameters=(
                *_PAGING,
                *(_query(name, _TEXT, "Only with this digest") for name in ATTRIBUTES),
            ),
            refused=(400,),
        )
    },
    "/list/attributes/{attribute}": {
        "get": _operation(
            "list_attribute", _COLLECTIONS, "Digests of an attribute", _content(_listed(_TEXT)),
            parameters=_PAGING, refused=(400, 404),
        )
    },
    "/list/fhr": {
        "get": _operation(
            "list_fhr", _COLLECTIONS, "Collections of which something is said",
            _content(_STRINGS), refused=(),
        )
    },
    "/list/alias/{kind}": {
        "get": _operation(
            "list_namespaces", _COLLECTIONS, "Namespaces of aliases", _content(_STRINGS),
            refused=(400, 404),
        )
    },
    "/list/alias/{kind}/{namespace}": {
        "get": _operation(
            "list_aliases", _COLLECTIONS, "Aliases of a namespace", _content(_listed(_TEXT)),
            parameters=_PAGING, refused=(400, 404),
        )
    },
    "/attribute/collection/{attribute}/{digest}": {
        "get": _operation(
            "attribute", _COLLECTIONS, "The array of an attribute", _content({"type": "array"}),
            refused=(404,), may_be_cached=True,
        )
    },
    "/alias/{kind}/{namespace}/{alias}": {
        "get": _operation(
            "alias", _COLLECTIONS, "What an alias means", _content(_OBJECT), refused=(400, 404, 409)
        )
    },
    "/aliases/{kind}/{identifier}": {
        "get": _operation(
            "aliases", _COLLECTIONS, "All aliases of a sequence or of a collection",
            _content({"type": "array", "items": _STRINGS}), refused=(400, 404, 409),
        )
    },
    "/service-info": {
        "get": _operation(
            "service_info", _COLLECTIONS, "What the service is", _content(_OBJECT), refused=()
        )
    },
    "/seqrepo/1/ping": {
        "get": _operation(
            "seqrepo_ping", _SEQREPO, "That it is there", _content(_OBJECT), refused=()
        )
    },
    "/seqrepo/1/sequence/{identifier}": {
        "get": _operation(
            "seqrepo_sequence", _SEQREPO, "Residues", {"text/plain": {"schema": _TEXT}},
            parameters=(_START, _END), refused=(400, 404, 422),
        )
    },
    "/seqrepo/1/metadata/{identifier}": {
        "get": _operation(
            "seqrepo_metadata", _SEQREPO, "Names, length and letters", _content(_OBJECT),
            refused=(404, 422),
        )
    },
    "/v4/aliases": {
        "get": _operation(
            "v4_aliases", _GENOMES, "Names of collections", _content(_OBJECT),
            parameters=(
                _query("offset", _POSITION, "From 0"),
                _query("limit", {"type": "integer", "minimum": 1, "maximum": 10_000}, "Of a page"),
                _query("name", _TEXT, "Only of this name"),
                _query("genome_digest", _TEXT, "Only of this collection"),
            ),
            refused=(400,),
        )
    },
    "/v4/aliases/{alias}": {
        "get": _operation(
            "v4_alias", _GENOMES, "A collection by a name", _content(_OBJECT), refused=(404, 409)
        )
    },
    "/ga4gh/drs/v1/service-info": {
        "get": _operation(
            "drs_service_info", _DRS, "What the service is", _content(_OBJECT), refused=()
        )
    },
    "/ga4gh/drs/v1/objects/{identifier}": {
        method: _operation(
            f"drs_object_{method}", _DRS, "The file of a collection", _content(_OBJECT),
            refused=(404, 409),
        )
        for method in ("get", "post")
    },
    "/ga4gh/drs/v1/objects/{identifier}/access/{access_id}": {
        method: _operation(
            f"drs_access_{method}", _DRS, "Where its bytes are", _content(_OBJECT),
            refused=(404, 409),
        )
        for method in ("get", "post")
    },
    "/ga4gh/drs/v1/objects/{identifier}/bytes": {
        "get": _operation(
            "drs_contents", _DRS, "Its bytes", {"text/x-fasta": {"schema": _TEXT}},
            parameters=(_RANGE,), refused=(400, 404, 409, 416), is_partial=True, may_be_cached=True,
        )
    },
    "/ga4gh/drs/v1/objects": {
        "post": _operation(
            "drs_bulk", _DRS, "Several objects at once", _content(_OBJECT),
            refused=(400, 413), body=_BULK,
        )
    },
    "/ga4gh/drs/v1/objects/access": {
        "post": _operation(
            "drs_bulk_access", _DRS, "Where the bytes of several are", _content(_OBJECT),
            refused=(400, 413), body=_BULK_ACCESS,
        )
    },
}  # fmt: skip


def document(name: str, servers: Sequence[str] = ()) -> Mapping[str, Any]:
    """The whole of it.

    Args:
        servers: Addresses of the service.
    """
    return {
        "openapi": "3.1.0",
        "info": {"title": name, "version": __version__},
        "servers": [{"url": url} for url in servers or ["/"]],
        "paths": {
            path: {
                "parameters": [
                    {"name": part[1:-1], "in": "path", "required": True, "schema": _TEXT}
                    for part in path.split("/")
                    if part.startswith("{")
                ],
                **operations,
            }
            for path, operations in PATHS.items()
        },
        "components": {
            "schemas": {
                "Error": {
                    "type": "object",
                    "properties": {"status_code": {"type": "integer"}, "msg": _TEXT},
                    "required": ["status_code", "msg"],
                }
            }
        },
    }
