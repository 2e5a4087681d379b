"""How operations of the interface are described: the words that all descriptions use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]

POSITION = {"type": "integer", "minimum": 0, "maximum": (1 << 32) - 1}
TEXT = {"type": "string"}
SOME_TEXT = {**TEXT, "minLength": 1}
DIGEST = {**TEXT, "pattern": "^[A-Za-z0-9_-]{32}$"}
TEXT_OR_NULL = {"type": ["string", "null"]}
COUNT = {"type": "integer", "minimum": 0}
STRINGS = {"type": "array", "items": TEXT}
OBJECT: Json = {"type": "object"}
ERROR = {"$ref": "#/components/schemas/Error"}

REASONS = {
    200: "What was asked for",
    201: "It was stored",
    204: "There is nothing to say",
    202: "It is being computed: come again",
    400: "A parameter makes no sense",
    403: "Nothing is changed here",
    404: "There is none",
    405: "Not with this method",
    406: "Not in a form that is accepted",
    409: "The name means several things, or others need what it is",
    413: "The body is too large",
    415: "Nothing is known of such a body",
    416: "There is no such part",
    422: "The name means several things, or the range is reversed",
    503: "Too much goes on at this time: come again",
    504: "It takes too long",
}


def query(name: str, schema: Json, description: str) -> Json:
    """A parameter behind the question mark."""
    return {"name": name, "in": "query", "schema": schema, "description": description}


START = query("start", POSITION, "First residue, from 0")
END = query("end", POSITION, "Behind the last residue")
RANGE = {
    "name": "Range",
    "in": "header",
    "schema": TEXT,
    "description": "One range of bytes, instead of start and end",
}
PAGING = [
    query("page", {"type": "integer", "minimum": 0}, "From 0"),
    query("page_size", {"type": "integer", "minimum": 1, "maximum": 10_000}, "Of a page"),
]


def short_paging(most: int = 1_000) -> list[Json]:
    """The parameters of a page that has so many rows at most."""
    size = {"type": "integer", "minimum": 1, "maximum": most}
    return [PAGING[0], query("page_size", size, "Of a page")]


SHORT_PAGING = short_paging()


def as_json(schema: Json) -> Json:
    """The content of an answer, or of a body, that is JSON."""
    return {"application/json": {"schema": schema}}


def described(
    name: str,
    tag: str,
    summary: str,
    content: Json,
    *,
    parameters: Sequence[Json] = (),
    refused: Sequence[int] = (404,),
    body: Json | None = None,
    bodies: Json | None = None,
    status: int = 200,
    also: Sequence[int] = (),
    is_partial: bool = False,
    may_be_cached: bool = False,
) -> Json:
    """A description of one operation.

    Args:
        content: Of the answer, by media type.
        refused: Statuses of errors.
        body: Schema of what is posted as JSON.
        bodies: Of what is posted in other forms, by media type; it need not be JSON then.
        status: Of the answer; ``also`` are others that have the same content.
        is_partial: Whether a Range is answered with 206.
        may_be_cached: Whether there may be a 304.
    """
    responses: Json = {
        str(one): {"description": REASONS[one], "content": content} for one in (status, *also)
    }
    if is_partial:
        responses["206"] = {"description": "The range", "content": content}
    if may_be_cached:
        responses["304"] = {"description": "The client has it"}
    for one in (*refused, 503, 504):
        responses[str(one)] = {"description": REASONS[one], "content": as_json(ERROR)}
    found: Json = {
        "operationId": name,
        "tags": [tag],
        "summary": summary,
        "parameters": list(parameters),
        "responses": responses,
    }
    if body is not None:
        found["requestBody"] = {"required": True, "content": {**as_json(body), **(bodies or {})}}
    return found


def paged(item: Json) -> Json:
    """A page of a list."""
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
