"""What is kept of a remote genome: a file of JSON. Its first line says what it is called and where
it is, the others are its members."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import durable
from ..errors import BadName, Corrupt, NewerFormat
from ..identifiers import Digest, check_alias, parse_digest
from ..namespaces import GENOMES
from ..rgstore.parsing import is_digest
from ..seqcol.digests import digests_of
from .listed import Stored

VERSION = 1

KINDS = ("store", "archive", "server")

#: Bytes of a first line, and of a file.
_MAX_HEAD, _MAX_BYTES = 32 << 20, 1 << 30

#: Residues of a sequence at most, and characters of an address.
_LONGEST, _MAX_ADDRESS = 1 << 44, 4096

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """A remote genome, without its members."""

    digest: Digest
    names: tuple[str, ...]
    kind: str
    """Of its source: one of ``KINDS``."""
    url: str
    """The address of its source, as it was given."""
    address: str
    """Where its residues are."""
    access: dict[str, str]
    """What else is needed to get them."""
    fhr: dict[str, Any] | None
    added: str
    """When; RFC 3339, UTC."""
    serial: int
    """A name in two files is that of the one that was written later."""
    n_members: int
    n_residues: int


def write_entry(path: Path, entry: Entry, body: bytes) -> None:
    """Have a file say this, and nothing else; durable on return.

    Args:
        body: ``body_of`` its members.
    """
    head = {name: getattr(entry, name) for name in Entry.__slots__}
    text = json.dumps({"version": VERSION, **head}, ensure_ascii=False, allow_nan=False)
    data = text[:-1].encode("utf-8") + b', "members": [\n' + body
    durable.replace(path, data, path.parent / "tmp")


def body_of(members: list[Stored]) -> bytes:
    """The members as lines of a file."""
    lines = [json.dumps(one, ensure_ascii=False) for one in members]
    return (",\n".join(lines) + "\n]}\n").encode("utf-8")


def read_entry(path: Path) -> Entry:
    """What the first line of a file says.

    Raises:
        FileNotFoundError: There is none. Corrupt: It is none of ours. NewerFormat: Of a newer one.
    """
    with open(path, "rb") as file:
        line = file.readline(_MAX_HEAD)
    try:
        found = json.loads(line.decode("utf-8") + "]}")
        if type(found["version"]) is not int:
            raise ValueError("no version")
        if found["version"] > VERSION:
            raise NewerFormat(f"{path} was written by a newer seqarchive; install that")
        entry = _checked(found)
        if entry.digest != path.name.removesuffix(".json"):
            raise ValueError(f"it is about {entry.digest}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(path, error) from None
    return entry


def read_body(path: Path) -> bytes:
    """The lines of the members, as they are."""
    with open(path, "rb") as file:
        file.readline(_MAX_HEAD)
        return file.read(_MAX_BYTES)


def members_in(path: Path, entry: Entry) -> list[Stored]:
    """The members of a genome, in order.

    Raises:
        Corrupt: They are not those of its digest.
    """
    try:
        found = [_member(row) for row in json.loads(b'{"m": [' + read_body(path))["m"]]
        if digests_of(one.member for one in found).digest != entry.digest:
            raise ValueError("they are those of another digest")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path, f"the members: {error}") from None
    return found


def _damaged(path: Path, why: object) -> Corrupt:
    return Corrupt(f"{path} is damaged ({why}); remove the file and add the genome again")


def _member(row: Any) -> Stored:
    name, description, length, digest, label = row
    if not all(isinstance(text, str) for text in (name, description, digest, label)):
        raise ValueError("a text is none")
    if type(length) is not int or not 0 <= length <= _LONGEST:
        raise ValueError(f"the length {length!r:.40}")
    return Stored(name, description, length, parse_digest(digest), label)


def _checked(found: dict[str, Any]) -> Entry:
    digest, names, access, fhr = (found[name] for name in ("digest", "names", "access", "fhr"))
    if not isinstance(digest, str) or not is_digest(digest):
        raise ValueError("the digest")
    if not isinstance(names, list) or not isinstance(access, dict):
        raise ValueError("names or access")
    texts = [found["url"], found["address"], *access.values()]
    if not all(isinstance(one, str) and _is_address(one) for one in texts):
        raise ValueError("the address")
    if found["kind"] not in KINDS or _MOMENT.match(found["added"]) is None:
        raise ValueError("the kind or the time")
    if fhr is not None and not isinstance(fhr, dict):
        raise ValueError("the FHR")
    numbers = [found[name] for name in ("serial", "n_members", "n_residues")]
    if not all(type(one) is int and one >= 0 for one in numbers):
        raise ValueError("a number")
    return Entry(
        digest=parse_digest(digest),
        names=tuple(check_alias(name) for name in names),
        kind=found["kind"],
        url=found["url"],
        address=found["address"],
        access=access,
        fhr=fhr,
        added=found["added"],
        serial=numbers[0],
        n_members=numbers[1],
        n_residues=numbers[2],
    )


def _is_address(text: str) -> bool:
    return len(text) <= _MAX_ADDRESS and text.isprintable()


def checked_name(text: str) -> str:
    """A name of a genome, without the namespace of such names.

    Raises:
        BadName: It cannot be one.
    """
    name = check_alias(text.removeprefix(f"{GENOMES}:"))
    if is_digest(name):
        raise BadName(f"{name!r} would be taken for a digest")
    return name
