"""FAIR headers reference (FHR): what is said of a genome, in the fields of a published schema.

https://github.com/FAIR-bioHeaders/FHR-Specification, schema version 1. Programs in use write
documents that lack fields or have others; so what is wrong is told in two degrees.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any

from ..errors import BadInput, Conflict

#: A document with all that there is to say is far smaller.
_MAX_BYTES = 16 << 20

REQUIRED = (
    "schema",
    "schemaVersion",
    "genome",
    "taxon",
    "version",
    "metadataAuthor",
    "assemblyAuthor",
    "dateCreated",
    "masking",
    "checksum",
)

MASKINGS = ("not-masked", "hard-masked", "soft-masked", "repeat-masked", "unknown")

#: Says what is wrong with a value, if anything is.
Check = Callable[[Any], str | None]


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) else "is not a text"


def _pattern(pattern: str, what: str) -> Check:
    compiled = re.compile(pattern)

    def check(value: Any) -> str | None:
        if not isinstance(value, str) or compiled.search(value) is None:
            return f"is not {what}"
        return None

    return check


def _number(value: Any) -> str | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return None if is_number else "is not a number"


def _integer(value: Any) -> str | None:
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    return (
        None
        if is_integer or (isinstance(value, float) and value.is_integer())
        else ("is not an integer")
    )


def _date(value: Any) -> str | None:
    try:
        if not isinstance(value, str) or len(value) != len("2024-06-01"):
            raise ValueError
        date.fromisoformat(value)
    except ValueError:
        return "is not a date (2024-06-01)"
    return None


_uri = _pattern(r"^[A-Za-z][A-Za-z0-9+.-]*:[^\s]+$", "a URI")
_orcid = _pattern(
    r"^https://orcid\.org/\d{4}-\d{4}-\d{4}-\d{3}[\dX]$", "an ORCID (https://orcid.org/...)"
)
_PERSON: dict[str, Check] = {"name": _text, "uri": _orcid}

#: Field -> what its value must be: a check, fields of an object, or what all of a list must be.
_FIELDS: dict[str, Check | dict[str, Check] | list[Check | dict[str, Check]]] = {
    "schema": _text,
    "schemaVersion": _number,
    "genome": _text,
    "genomeSynonym": [_text],
    "taxon": {
        "name": _text,
        "uri": _pattern(
            r"https://identifiers\.org/taxonomy:[0-9]+", "https://identifiers.org/taxonomy:NUMBER"
        ),
    },
    "version": _text,
    "metadataAuthor": [_PERSON],
    "assemblyAuthor": [_PERSON],
    "dateCreated": _date,
    "voucherSpecimen": _text,
    "accessionID": {"name": _text, "url": _uri},
    "instrument": [_text],
    "scholarlyArticle": _pattern(r"^10.", "a DOI (10.5281/...)"),
    "documentation": _text,
    "identifier": [_pattern(r"[a-z0-9]*:.*", "prefix:identifier")],
    "relatedLink": [_uri],
    "funding": _text,
    "reuseConditions": _text,
    "masking": _pattern("|".join(MASKINGS), f"one of {', '.join(MASKINGS)}"),
    "vitalStats": {
        **dict.fromkeys(
            ("L50", "N50", "L90", "totalBasePairs", "numberContigs", "numberScaffolds"), _integer
        ),
        "readTechnology": _text,
    },
    "checksum": _pattern(
        r"^[A-Za-z0-9/+=]{44}$", "44 characters of base64 (SHA2-512/256 of the FASTA file)"
    ),
}


def problems(document: Mapping[str, Any], *, partial: bool = False) -> list[str]:
    """What is wrong with a document, a line for each thing.

    Args:
        partial: Fields may be missing, and there may be others: only the values of those that
            the schema knows are looked at.
    """
    found = []
    if not partial:
        found += [f"{name} is missing" for name in REQUIRED if name not in document]
        found += [f"{name} is no field of FHR" for name in document if name not in _FIELDS]
    for name, wanted in _FIELDS.items():
        if name in document:
            found += _wrong(name, document[name], wanted)
    return found


def require_right(document: Mapping[str, Any], file: str, *, partial: bool = False) -> None:
    """Raise BadInput, naming the file that has it, if anything is wrong with a document."""
    found = problems(document, partial=partial)
    if found:
        more = f" (and {len(found) - 1} more; see `seqarchive fhr validate`)" if found[1:] else ""
        raise BadInput(f"{found[0]}{more}", file=file)


def _wrong(
    path: str, value: Any, wanted: Check | dict[str, Check] | list[Check | dict[str, Check]]
) -> Iterator[str]:
    if isinstance(wanted, list):
        if not isinstance(value, list):
            yield f"{path} is not a list"
            return
        for n, one in enumerate(value):
            yield from _wrong(f"{path}[{n}]", one, wanted[0])
    elif isinstance(wanted, dict):
        if not isinstance(value, dict):
            yield f"{path} is not an object"
            return
        for name, check in wanted.items():
            if name in value:
                yield from _wrong(f"{path}.{name}", value[name], check)
    else:
        problem = wanted(value)
        if problem is not None:
            yield f"{path} {problem}"


def parse(data: bytes, where: str) -> dict[str, Any]:
    """A document that somebody wrote.

    Raises:
        BadInput: It is no JSON object, or has a key twice.
    """
    if len(data) > _MAX_BYTES:
        raise BadInput(f"more than {_MAX_BYTES:,} bytes", file=where)
    try:
        found = json.loads(data, object_pairs_hook=_once, parse_constant=_refuse)
        json.dumps(found, indent=2, ensure_ascii=False).encode("utf-8")  # it is to be printed
    except (ValueError, RecursionError) as error:
        raise BadInput(f"not JSON ({error})", file=where) from None
    if not isinstance(found, dict):
        raise BadInput("not a JSON object", file=where)
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is there twice")
    return found


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")


def value_at(document: Mapping[str, Any], path: str) -> list[str]:
    """The values of a field as texts; ``taxon.name`` is a field of an object, and of a list all are
    given."""
    found: list[Any] = [document]
    for name in path.split("."):
        inner = [one for value in found for one in (value if isinstance(value, list) else [value])]
        found = [one[name] for one in inner if isinstance(one, dict) and name in one]
    flat = [one for value in found for one in (value if isinstance(value, list) else [value])]
    return [one if isinstance(one, str) else json.dumps(one) for one in flat]


def require_agreement(document: Mapping[str, Any], more: Mapping[str, Any], digest: str) -> None:
    """Raise Conflict if ``merged`` would say something in the place of something else.

    Args:
        digest: Of the collection of which the first one is said.
    """
    for name, value in more.items():
        before = document.get(name, value)
        if isinstance(before, dict) and isinstance(value, dict):
            pairs = [(f"{name}.{one}", before.get(one, now), now) for one, now in value.items()]
        else:
            pairs = [(name, before, value)]
        for path, said, now in pairs:
            if said != now:
                raise Conflict(
                    f"of {digest} it is said already that {path} is {said!r:.60}, and not "
                    f"{now!r:.60}; nothing was changed: `genome set` replaces what is said"
                )


def merged(document: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """What two documents say together; where both do, what the second one says. Of objects in them,
    the fields are taken together."""
    found = dict(document)
    for name, value in more.items():
        before = found.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            value = {**before, **value}  # noqa: PLW2901
        found[name] = value
    return found
