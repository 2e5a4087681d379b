"""The OpenAPI document of the service.

Routes take requests as they are, so that FastAPI cannot derive it; a test compares it with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..seqcol.archived import ATTRIBUTES
from ..seqcol.matching import KINDS
from ..version import __version__
from .describing import (
    COUNT,
    DIGEST,
    END,
    OBJECT,
    PAGING,
    POSITION,
    RANGE,
    SHORT_PAGING,
    SOME_TEXT,
    START,
    STRINGS,
    TEXT,
    TEXT_OR_NULL,
    Json,
    as_json,
    described,
    paged,
    query,
)
from .track_paths import TRACK_PATHS

#: Below what the routes of sequence collections are too.
SEQCOL = "/seqcol"

_PLAIN = {
    f"text/vnd.ga4gh.refget.v{version}+plain": {"schema": TEXT}
    for version in ("2.0.0", "1.0.0", "1.0.1")
}
_REFGET_JSON = {
    f"application/vnd.ga4gh.refget.v{version}+json": {"schema": OBJECT}
    for version in ("2.0.0", "1.0.0", "1.0.1")
}

_SEQUENCES, _COLLECTIONS = "refget sequences", "sequence collections"
_SEQREPO, _DRS, _GENOMES = "SeqRepo", "DRS", "genomes"
_LOOKING, _PAGE = "looking around", "page"

#: What the page consists of.
_PAGE_PARTS = ("text/html", "text/css", "text/javascript", "image/svg+xml")

_COMPARISON = {
    "type": "object",
    "properties": dict.fromkeys(("digests", "attributes", "array_elements"), OBJECT),
    "required": ["digests", "attributes", "array_elements"],
}
_LEVEL2 = {
    "type": "object",
    "properties": {
        "names": STRINGS,
        "lengths": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "sequences": STRINGS,
    },
    "required": ["names", "lengths", "sequences"],
}
#: Of a coordinate system, nobody knows the sequences.
_POSTED = {**_LEVEL2, "required": ["names", "lengths"]}
_GENOME = {
    "type": "object",
    "properties": {
        "alias": TEXT,
        "digest": TEXT,
        "source": TEXT,
        "collection": _LEVEL2,
        "fhr": {"type": ["object", "null"]},
        **dict.fromkeys(("species", "assembly_accession", "description"), TEXT_OR_NULL),
    },
    "required": ["alias", "digest", "source", "collection", "fhr"],
}
_ALIASES = {
    "type": "object",
    "properties": {
        "items": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": dict.fromkeys(("name", "genome_digest", "namespace", "source"), TEXT),
                "required": ["name", "genome_digest", "namespace", "source"],
            },
        },
        "pagination": {
            "type": "object",
            "properties": dict.fromkeys(("offset", "limit", "total"), COUNT),
            "required": ["offset", "limit", "total"],
        },
    },
    "required": ["items", "pagination"],
}
_FIELDS = {**TEXT, "pattern": "^(name|genome_digest|namespace|,)*$"}
_REGIONS = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"chrom": TEXT, "start": POSITION, "end": POSITION},
        "required": ["chrom"],
    },
}
_BULK = {
    "type": "object",
    "properties": {"bulk_object_ids": {"type": "array", "items": TEXT, "maxItems": 1000}},
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
                "properties": {"bulk_object_id": TEXT, "bulk_access_ids": STRINGS},
                "required": ["bulk_object_id"],
            },
        }
    },
    "required": ["bulk_object_access_ids"],
}

_OF_SEQUENCE = {
    "parameters": (START, END, RANGE),
    "refused": (400, 404, 406, 409, 416),
    "is_partial": True,
    "may_be_cached": True,
}


def _authorizations(name: str, refused: Sequence[int]) -> Json:
    about = "Which authorization is needed: none"
    return described(name, _DRS, about, {}, status=204, refused=refused)


#: Path -> method -> operation.
PATHS: dict[str, dict[str, Json]] = {
    "/sequence/service-info": {
        "get": described(
            "sequence_service_info", _SEQUENCES, "What the service is", _REFGET_JSON, refused=(406,)
        )
    },
    "/sequence/{identifier}/metadata": {
        "get": described(
            "sequence_metadata", _SEQUENCES, "Digests, length and names of a sequence",
            _REFGET_JSON, refused=(404, 406, 409),
        )
    },
    "/sequence/{identifier}": {
        "get": described("sequence", _SEQUENCES, "Residues", _PLAIN, **_OF_SEQUENCE)  # type: ignore[arg-type]
    },
    "/md5/{identifier}": {
        "get": described("sequence_by_md5", _SEQUENCES, "Residues by MD5", _PLAIN, **_OF_SEQUENCE)  # type: ignore[arg-type]
    },
    "/collection/{identifier}": {
        "get": described(
            "collection", _COLLECTIONS, "A collection", as_json({"type": ["object", "array"]}),
            parameters=(
                query("level", {"type": "integer", "enum": [1, 2]}, "1: digests; 2: arrays"),
                query("collated", {"type": "string", "enum": ["true", "false"]}, "By attribute"),
            ),
            refused=(400, 404, 409), may_be_cached=True,
        )
    },
    "/collection/{identifier}/fhr": {
        "get": described(
            "fhr", _COLLECTIONS, "What is said of a collection", as_json(OBJECT),
            refused=(404, 409),
        )
    },
    "/collection/{identifier}/regions": {
        "post": described(
            "regions", _COLLECTIONS, "Residues of ranges of members",
            as_json({"type": "array", "items": OBJECT}),
            refused=(400, 404, 409, 413, 416), body=_REGIONS,
        )
    },
    "/comparison/{first}/{second}": {
        "get": described(
            "comparison", _COLLECTIONS, "What two collections have in common",
            as_json(_COMPARISON), refused=(404, 409), may_be_cached=True,
        )
    },
    "/comparison/{first}": {
        "post": described(
            "comparison_posted", _COLLECTIONS, "The same with one that is posted",
            as_json(_COMPARISON), refused=(400, 404, 409, 413), body=_POSTED,
        )
    },
    "/list/collection": {
        "get": described(
            "list_collections", _COLLECTIONS, "Digests of collections", as_json(paged(TEXT)),
            parameters=(
                *PAGING,
                *(query(name, DIGEST, "Only with this digest") for name in ATTRIBUTES),
            ),
            refused=(400,),
        )
    },
    "/list/attributes/{attribute}": {
        "get": described(
            "list_attribute", _COLLECTIONS, "Digests of an attribute", as_json(paged(TEXT)),
            parameters=PAGING, refused=(400, 404),
        )
    },
    "/list/fhr": {
        "get": described(
            "list_fhr", _COLLECTIONS, "Collections of which something is said",
            as_json(STRINGS), refused=(),
        )
    },
    "/list/alias/{kind}": {
        "get": described(
            "list_namespaces", _COLLECTIONS, "Namespaces of aliases", as_json(STRINGS),
            refused=(400, 404),
        )
    },
    "/list/alias/{kind}/{namespace}": {
        "get": described(
            "list_aliases", _COLLECTIONS, "Aliases of a namespace", as_json(paged(TEXT)),
            parameters=PAGING, refused=(400, 404),
        )
    },
    "/attribute/collection/{attribute}/{digest}": {
        "get": described(
            "attribute", _COLLECTIONS, "The array of an attribute", as_json({"type": "array"}),
            refused=(404,), may_be_cached=True,
        )
    },
    "/alias/{kind}/{namespace}/{alias}": {
        "get": described(
            "alias", _COLLECTIONS, "What an alias means", as_json(OBJECT), refused=(400, 404, 409)
        )
    },
    "/aliases/{kind}/{identifier}": {
        "get": described(
            "aliases", _COLLECTIONS, "All aliases of a sequence or of a collection",
            as_json({"type": "array", "items": STRINGS}), refused=(400, 404, 409),
        )
    },
    "/service-info": {
        "get": described(
            "service_info", _COLLECTIONS, "What the service is", as_json(OBJECT), refused=()
        )
    },
    "/seqrepo/1/ping": {
        "get": described(
            "seqrepo_ping", _SEQREPO, "That it is there", as_json(OBJECT), refused=()
        )
    },
    "/seqrepo/1/sequence/{identifier}": {
        "get": described(
            "seqrepo_sequence", _SEQREPO, "Residues", {"text/plain": {"schema": TEXT}},
            parameters=(START, END), refused=(400, 404, 416, 422),
        )
    },
    "/seqrepo/1/metadata/{identifier}": {
        "get": described(
            "seqrepo_metadata", _SEQREPO, "Names, length and letters", as_json(OBJECT),
            refused=(404, 422),
        )
    },
    "/v4/aliases": {
        "get": described(
            "v4_aliases", _GENOMES, "Names of genomes", as_json(_ALIASES),
            parameters=(
                query("offset", POSITION, "From 0"),
                query("limit", {"type": "integer", "minimum": 1, "maximum": 10_000}, "Of a page"),
                query("name", TEXT, "Only of this name"),
                query("genome_digest", TEXT, "Only of this collection"),
                query("q", TEXT, "Only with this in them; those that begin with it come first"),
                query("search_fields", _FIELDS, "Where: some of name,genome_digest,namespace"),
                query(
                    "operator", {"type": "string", "enum": ["or", "and"]},
                    "In one of the fields, or in all of them",
                ),
            ),
            refused=(400,),
        )
    },
    "/v4/aliases/{alias}": {
        "get": described(
            "v4_alias", _GENOMES, "A genome by a name", as_json(_GENOME), refused=(404, 409)
        )
    },
    "/summary": {
        "get": described("summary", _LOOKING, "What is served", as_json(OBJECT), refused=())
    },
    "/summary/collections": {
        "get": described(
            "summary_collections", _LOOKING, "Collections with their names, the newest first",
            as_json(paged(OBJECT)), parameters=SHORT_PAGING, refused=(400,),
        )
    },
    "/search": {
        "get": described(
            "search", _LOOKING, "What a name, the beginning of one, or a digest may mean",
            as_json(OBJECT),
            parameters=(
                {**query("q", {**TEXT, "pattern": r"\S"}, "What to search for"), "required": True},
                query("limit", {"type": "integer", "minimum": 1, "maximum": 1_000}, "At most"),
            ),
            refused=(400,),
        )
    },
    "/changes": {
        "get": described(
            "changes", _LOOKING, "What changed from one release to another",
            as_json(paged(OBJECT)),
            parameters=(
                *SHORT_PAGING,
                {**query("from", SOME_TEXT, "A release, or master"), "required": True},
                {**query("to", SOME_TEXT, "A release, or master"), "required": True},
                query("kind", TEXT, "Only changes of this kind"),
            ),
            refused=(400, 404),
        )
    },
    "/sequence/{identifier}/history": {
        "get": described(
            "sequence_history", _LOOKING, "The names that a sequence has and had",
            as_json(paged(OBJECT)), parameters=SHORT_PAGING, refused=(400, 404, 409),
        )
    },
    "/sequence/{identifier}/composition": {
        "get": described(
            "sequence_composition", _LOOKING, "How often each letter occurs", as_json(OBJECT),
            refused=(404, 409), may_be_cached=True,
        )
    },
    "/collection/{identifier}/provenance": {
        "get": described(
            "collection_provenance", _LOOKING, "Names, files and batches of a collection",
            as_json(OBJECT), refused=(404, 409),
        )
    },
    "/collection/{identifier}/members": {
        "get": described(
            "collection_members", _LOOKING, "The sequences of a collection",
            as_json(paged(OBJECT)),
            parameters=(*SHORT_PAGING, query("name", TEXT, "Only with this in their names")),
            refused=(400, 404, 409),
        )
    },
    "/comparison/{first}/{second}/members": {
        "get": described(
            "comparison_members", _LOOKING, "Which member of one collection is which of another",
            as_json(paged(OBJECT)),
            parameters=(
                *SHORT_PAGING,
                query("kind", {"type": "string", "enum": [*KINDS, "moved"]}, "Only of this kind"),
                query(
                    "bands", {"type": "integer", "minimum": 1, "maximum": 200},
                    "Also put together in so many bands",
                ),
            ),
            refused=(400, 404, 409),
        )
    },
    "/": {
        "get": described(
            "page", _PAGE, "A page for people", {"text/html": {"schema": TEXT}},
            refused=(), may_be_cached=True,
        )
    },
    "/page/{name}": {
        "get": described(
            "page_part", _PAGE, "A part of the page",
            {kind: {"schema": TEXT} for kind in _PAGE_PARTS},
            may_be_cached=True,
        )
    },
    "/ga4gh/drs/v1/service-info": {
        "get": described(
            "drs_service_info", _DRS, "What the service is", as_json(OBJECT), refused=()
        )
    },
    "/ga4gh/drs/v1/objects/{identifier}": {
        method: described(
            f"drs_object_{method}", _DRS, "The file of a collection", as_json(OBJECT),
            refused=(202, 404, 409),
        )
        for method in ("get", "post")
    }
    | {"options": _authorizations("drs_authorizations", (404, 409))},
    "/ga4gh/drs/v1/objects/{identifier}/access/{access_id}": {
        method: described(
            f"drs_access_{method}", _DRS, "Where its bytes are", as_json(OBJECT),
            refused=(404, 409),
        )
        for method in ("get", "post")
    }
    | {"options": _authorizations("drs_access_authorizations", (404, 409))},
    "/ga4gh/drs/v1/objects/{identifier}/bytes": {
        "get": described(
            "drs_contents", _DRS, "Its bytes", {"text/x-fasta": {"schema": TEXT}},
            parameters=(RANGE,), refused=(400, 404, 409, 416), is_partial=True, may_be_cached=True,
        )
    },
    "/ga4gh/drs/v1/objects": {
        "post": described(
            "drs_bulk", _DRS, "Several objects at once", as_json(OBJECT),
            refused=(400, 413), body=_BULK,
        ),
        "options": _authorizations("drs_bulk_authorizations", ()),
    },
    "/ga4gh/drs/v1/objects/access": {
        "post": described(
            "drs_bulk_access", _DRS, "Where the bytes of several are", as_json(OBJECT),
            refused=(400, 413), body=_BULK_ACCESS,
        )
    },
}  # fmt: skip

PATHS |= TRACK_PATHS

# Whoever comes from refgenie asks for sequence collections here.
PATHS |= {
    SEQCOL + path: {
        method: {**one, "operationId": f"seqcol_{one['operationId']}"}
        for method, one in operations.items()
    }
    for path, operations in PATHS.items()
    if any(_COLLECTIONS in one["tags"] for one in operations.values())
}


#: What parts of paths are, where there is more to say than that they are texts.
_PARTS: dict[str, Json] = {"kind": {"type": "string", "enum": ["collection", "sequence"]}}


def document(name: str, server: str = "/") -> Mapping[str, Any]:
    """The whole of it.

    Args:
        server: Address of the service.
    """
    return {
        "openapi": "3.1.0",
        "info": {"title": name, "version": __version__},
        "servers": [{"url": server}],
        "paths": {
            path: {
                "parameters": [
                    {
                        "name": part[1:-1],
                        "in": "path",
                        "required": True,
                        "schema": _PARTS.get(part[1:-1], TEXT),
                    }
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
                    "properties": {
                        "status_code": {"type": "integer"},
                        "msg": TEXT,
                        "candidates": STRINGS,
                    },
                    "required": ["status_code", "msg"],
                }
            }
        },
    }
