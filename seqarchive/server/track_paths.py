"""How what is below ``/api`` is described: methods, jobs, tracks and genomes."""

from __future__ import annotations

from collections.abc import Sequence

from .describing import (
    COUNT,
    OBJECT,
    POSITION,
    RANGE,
    SHORT_PAGING,
    SOME_TEXT,
    STRINGS,
    TEXT,
    TEXT_OR_NULL,
    Json,
    as_json,
    described,
    paged,
    query,
    short_paging,
)
from .jobs import STATES
from .stored_genomes import MOST_GENOMES

_TRACKS = "tracks"

_NUMBER_OR_NULL = {"type": ["number", "null"]}
_COUNT_OR_NULL = {"type": ["integer", "null"], "minimum": 0}
_OBJECT_OR_NULL = {"type": ["object", "null"]}


def _object(*required: str, **properties: Json) -> Json:
    found: Json = {"type": "object", "properties": properties}
    return {**found, "required": list(required)} if required else found


_METHOD = _object(
    "id", "description", "inputs", "params",
    id=TEXT, name=TEXT, version=TEXT, description=TEXT, output=TEXT,
    inputs={"type": "array", "items": _object("name", "type", name=TEXT, type=TEXT)},
    params={"type": "array", "items": _object("name", "type", name=TEXT, type=TEXT)},
    commutative={"type": "boolean"},
)  # fmt: skip
_JOB = _object(
    "job_id", "state", "done", "total",
    job_id=TEXT, operation=TEXT, state={"type": "string", "enum": list(STATES)},
    done=COUNT, total=COUNT, track_id=TEXT_OR_NULL, error=TEXT_OR_NULL,
    status_code=_COUNT_OR_NULL, created_at=TEXT, started_at=TEXT_OR_NULL, ended_at=TEXT_OR_NULL,
    status_url=TEXT, stream_url=TEXT,
)  # fmt: skip
_RESULT = _object(
    "state", track_id=TEXT_OR_NULL, operation=TEXT, state=TEXT, job_id=TEXT, status_url=TEXT
)
_TRACK = _object(
    "id", "track_id", "name", "track_type", "genome_id",
    id=TEXT, track_id=TEXT, name=TEXT, track_type=TEXT_OR_NULL, content=TEXT, genome_id=TEXT,
    genome=TEXT, n_entries=_COUNT_OR_NULL, size=_COUNT_OR_NULL, created_at=TEXT,
    provenance=_OBJECT_OR_NULL, chroms={"type": "object", "additionalProperties": COUNT},
)  # fmt: skip
_GENOME = _object(
    "id", "genome_id", "name", "chrom_lengths",
    id=TEXT, genome_id=TEXT, name=TEXT, names=STRINGS, digest=TEXT, n_chromosomes=COUNT,
    n_residues=COUNT, chrom_lengths={"type": "object", "additionalProperties": COUNT},
    created_at=TEXT_OR_NULL, provenance=_OBJECT_OR_NULL,
)  # fmt: skip
_REGION = _object(
    "chrom", "start", "end",
    chrom=TEXT, start=POSITION, end=POSITION, strand={"type": "string", "enum": ["+", "-", "."]},
    score=_NUMBER_OR_NULL, name=TEXT, tags=OBJECT,
)  # fmt: skip
_DATA = _object(
    "track_id", "track_type",
    track_id=TEXT, name=TEXT, track_type=TEXT, region=_OBJECT_OR_NULL, total=COUNT, offset=COUNT,
    regions={"type": "array", "items": _REGION},
    values={"type": "object", "additionalProperties": _NUMBER_OR_NULL},
)  # fmt: skip
_NUMBERS = {"type": "array", "items": _NUMBER_OR_NULL}
_SUMMARY = _object(
    "bins", "edges", "coverage",
    track_id=TEXT, name=TEXT, track_type=TEXT, region=OBJECT, bins=COUNT,
    edges={"type": "array", "items": COUNT}, coverage=_NUMBERS, count=_NUMBERS, mean=_NUMBERS,
    min=_NUMBERS, max=_NUMBERS,
)  # fmt: skip
_LINEAGE = _object("id", "nodes", "arrows", id=TEXT, nodes={"type": "array"})
_DELETED = _object("id", "deleted", id=TEXT, deleted={"type": "boolean"})

_ASKED = _object(
    inputs=OBJECT,
    params=OBJECT,
    name=SOME_TEXT,
    wait={"type": "number", "minimum": 0, "maximum": 30},
)
_POSTED_TRACK = _object(
    name=TEXT, genome=TEXT, genome_id=TEXT,
    regions={"type": "array", "items": _REGION},
    steps={"type": "array", "items": OBJECT},
    values={"type": "object", "additionalProperties": _NUMBER_OR_NULL},
)  # fmt: skip
_POSTED_GENOME = _object(
    "sequences",
    name=TEXT, names=STRINGS,
    sequences={"type": "object", "additionalProperties": TEXT, "minProperties": 1},
    topologies={
        "type": "object",
        "additionalProperties": {"type": "string", "enum": ["circular", "linear"]},
    },
)  # fmt: skip
_FILE = {"type": "string", "format": "binary"}


def _files(*fields: str) -> Json:
    form = _object("file", file=_FILE, **dict.fromkeys(fields, TEXT))
    return {
        "multipart/form-data": {"schema": form},
        "application/octet-stream": {"schema": _FILE},
    }


_CASCADE = query("cascade", {"type": "boolean"}, "Also what needs it")
_WHERE = query("region", SOME_TEXT, "CHROM or CHROM:START-END, from 0, half-open")
_LINEAGE_FORMAT = query(
    "format", {"type": "string", "enum": ["json", "text", "svg", "dot"]}, "Of the answer"
)
_AS_LINEAGE = {
    **as_json(_LINEAGE),
    **{kind: {"schema": TEXT} for kind in ("text/plain", "image/svg+xml", "text/vnd.graphviz")},
}
_AS_DATA = {
    **as_json(_DATA),
    "text/plain": {"schema": TEXT},
    **{kind: {"schema": _FILE} for kind in ("application/gzip", "application/octet-stream")},
}
_CHANGING = (400, 403, 404, 409, 413)


def _listing(
    kind: str, item: Json, *more: Json, suffix: str = "", paging: Sequence[Json] = SHORT_PAGING
) -> Json:
    return described(
        f"api_list_{kind}{suffix}", _TRACKS, f"The {kind}, by page", as_json(paged(item)),
        parameters=(*paging, *more), refused=(400, 404),
    )  # fmt: skip


def _both(slash: str, suffix: str) -> dict[str, dict[str, Json]]:
    """What clients ask for with a slash at the end, and without."""
    genome = query("genome", TEXT, "Name, digest or id of the genome")
    fields = ("name", "genome", "format")
    return {
        f"/api/tracks{slash}": {
            "get": _listing("tracks", _TRACK, genome, suffix=suffix),
            "post": described(
                f"api_put_track{suffix}", _TRACKS, "Store a track", as_json(_TRACK),
                parameters=[query(one, TEXT, "Of a body that is a file") for one in fields],
                refused=_CHANGING, body=_POSTED_TRACK, bodies=_files(*fields), status=201,
            ),
        },
        f"/api/genomes{slash}": {
            "get": _listing(
                "genomes", _GENOME, suffix=suffix, paging=short_paging(MOST_GENOMES)
            ),
            "post": described(
                f"api_put_genome{suffix}", _TRACKS, "Store a genome", as_json(_GENOME),
                parameters=[
                    query("name", TEXT, "What it is called"),
                    query("names", TEXT, "Under which it is registered, with commas"),
                    query("circular", TEXT, "Names of circular chromosomes, with commas"),
                ],
                refused=_CHANGING, body=_POSTED_GENOME,
                bodies=_files("name", "names", "circular"), status=201,
            ),
        },
    }  # fmt: skip


#: Path -> method -> operation.
TRACK_PATHS: dict[str, dict[str, Json]] = {
    "/api/health": {
        "get": described("api_health", _TRACKS, "That it is there", as_json(OBJECT), refused=())
    },
    "/api/methods": {
        "get": described(
            "api_methods", _TRACKS, "What can be computed",
            as_json({"type": "array", "items": _METHOD}), refused=(),
        )
    },
    "/api/methods/{method_id}": {
        "get": described("api_method", _TRACKS, "One of these", as_json(_METHOD)),
        "post": described(
            "api_compute", _TRACKS, "Its result; or a job, if that takes longer than one waits",
            as_json(_RESULT),
            parameters=(
                query("wait", {"type": "integer", "minimum": 0, "maximum": 30}, "Seconds"),
            ),
            refused=_CHANGING, body=_ASKED, also=(202,),
        ),
    },
    "/api/jobs": {"get": _listing("jobs", _JOB)},
    "/api/jobs/{job_id}": {
        "get": described("api_job", _TRACKS, "How far a job is", as_json(_JOB)),
        "delete": described(
            "api_cancel_job", _TRACKS, "Have a job end", as_json(_JOB),
            refused=(403, 404), also=(202,),
        ),
    },
    "/api/jobs/{job_id}/stream": {
        "get": described(
            "api_job_stream", _TRACKS, "A job as server-sent events, until it is over",
            {"text/event-stream": {"schema": TEXT}},
        )
    },
    **_both("", ""),
    **_both("/", "_slash"),
    "/api/genomes/{genome_id}": {
        "get": described(
            "api_genome", _TRACKS, "A genome", as_json(_GENOME), refused=(400, 404, 409)
        ),
        "delete": described(
            "api_delete_genome", _TRACKS, "Have its id mean nothing", as_json(_DELETED),
            parameters=(_CASCADE,), refused=(400, 403, 404, 409),
        ),
    },
    "/api/tracks/{track_id}": {
        "get": described("api_track", _TRACKS, "What is known of a track", as_json(_TRACK)),
        "delete": described(
            "api_delete_track", _TRACKS, "Have its id mean nothing", as_json(_DELETED),
            parameters=(_CASCADE,), refused=(400, 403, 404, 409),
        ),
    },
    **{
        f"/api/tracks/{{track_id}}/{which}": {
            "get": described(
                f"api_{which}", _TRACKS, what, _AS_LINEAGE,
                parameters=(_LINEAGE_FORMAT,), refused=(400, 404, 409),
            )
        }
        for which, what in (
            ("lineage", "What it was computed from"),
            ("descendants", "What was computed from it"),
        )
    },
    "/api/tracks/{track_id}/data": {
        "get": described(
            "api_track_data", _TRACKS, "Its entries, or its file", _AS_DATA,
            parameters=(
                _WHERE,
                query("format", TEXT, "json, bed, bed.gz, bedgraph, bigwig, tsv ..."),
                query("offset", COUNT, "Entries before the first one"),
                query("limit", {"type": "integer", "minimum": 0, "maximum": 10_000}, "Entries"),
                RANGE,
            ),
            refused=(400, 404, 416), is_partial=True, may_be_cached=True,
        )
    },
    "/api/tracks/{track_id}/summary": {
        "get": described(
            "api_track_summary", _TRACKS, "It in bins, for a picture", as_json(_SUMMARY),
            parameters=(
                {**_WHERE, "required": True},
                query("bins", {"type": "integer", "minimum": 1, "maximum": 2_000}, "At most"),
            ),
            refused=(400, 404), may_be_cached=True,
        )
    },
}  # fmt: skip
