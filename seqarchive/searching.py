"""Searching an archive for whatever a person has: a name, the beginning of one, any digest.

Only beginnings are looked for, by the index: an archive with millions of names answers at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import takewhile
from typing import NamedTuple

from . import namespaces
from .database import Database
from .errors import Ambiguous, BadName, NotFound
from .identifiers import Alias, Digest, digest_bytes, digest_text, parse_alias, split_range
from .readable import Readable, split_if_unknown
from .reader import ArchiveReader
from .registry.reading import Registered
from .seqcol.archived import NAMES
from .several import Readers

#: Names that are looked at for those of one namespace.
_LOOKED_AT = 20_000

#: Characters that names must have in common to be near each other, and of a digest at least.
_NEAR, _DIGEST_START = 3, 6

_DIGITS = re.compile(r"(?:ga4gh:|refget:)?(?:SQ\.)?([A-Za-z0-9_-]{6,31})\Z")
_HEXADECIMAL = re.compile(r"(?:md5:)?([0-9A-Fa-f]{6,31})\Z")
_CUT = re.compile(r"\u2026|\.\.\.")


class Found(NamedTuple):
    """A sequence or a collection that a text may mean."""

    kind: str
    """``sequence``, ``collection``, or ``former``: a name that means nothing any more, with the
    sequence that it meant last."""
    digest: Digest
    name: str
    """How it was found: an alias or a digest."""
    start: int | None = None
    """Of the range, if the text ends with one."""
    end: int | None = None


class Answer(NamedTuple):
    """What a search found."""

    found: list[Found]
    is_exact: bool
    """Whether the text means these as it is; otherwise they begin with it, or are near it."""
    is_cut: bool
    """Whether there is more, or may be: not all names that begin so were looked at."""


def search(archive: Readable, text: str, limit: int) -> Answer:
    """What a text may mean.

    Args:
        archive: What is searched; of what is no archive, only exact names are found.
        limit: How much is told at most.
    """
    asked = text.strip()
    found = list(_exactly(archive, asked))
    if found:
        return Answer(found[:limit], is_exact=True, is_cut=len(found) > limit)
    parts = split_range(asked)
    name, (start, end) = (asked, (None, None)) if parts is None else parts
    databases = [one.database for one in archives_of(archive)]
    is_cut = any(_is_long(each, name) for each in databases)
    for way in (_formerly, _beginning, _near):
        # One more than is told, so that it is known whether there is more.
        near = dict.fromkeys(
            one._replace(start=start, end=end)
            for each in databases
            for one in way(each, name, limit + 1)
        )
        if near:
            return Answer(list(near)[:limit], is_exact=False, is_cut=len(near) > limit)
    return Answer([], is_exact=False, is_cut=is_cut)


def archives_of(archive: Readable) -> tuple[ArchiveReader, ...]:
    """The archives with a database that something served consists of; none of a RefgetStore."""
    if isinstance(archive, Registered):
        archive = archive.archive
    if isinstance(archive, Readers):
        return archive.archives
    return (archive,) if isinstance(archive, ArchiveReader) else ()


# --- as it is ---------------------------------------------------------------------------------


def _exactly(archive: Readable, text: str) -> Iterator[Found]:
    try:
        name, start, end = split_if_unknown(text, archive.find)
        yield Found("sequence", archive.find(name), name, start, end)
    except Ambiguous as error:
        for candidate in error.candidates:
            with suppress(Ambiguous, NotFound):  # of several archives
                yield Found("sequence", archive.find(candidate), candidate)
    except NotFound:
        pass
    try:
        yield Found("collection", Digest(archive.collection(text).digest), text)
    except Ambiguous as error:
        for candidate in error.candidates:
            yield Found("collection", Digest(archive.collection(candidate).digest), candidate)
    except NotFound:
        pass


def _formerly(database: Database, text: str, _limit: int) -> Iterator[Found]:
    alias = alias_in(text)
    meanings = database.history(alias) if alias is not None else []
    if meanings:
        yield Found("former", digest_text(meanings[-1].digest), str(alias))


# --- by its beginning -------------------------------------------------------------------------


def _beginning(database: Database, text: str, limit: int) -> Iterator[Found]:
    """Names and digests that begin with a text; where it was cut in its middle, with its head."""
    head = _CUT.split(text)[0]
    if not head:
        return
    for namespace, spelling in _spellings(head):
        yield from _names(database, namespace, spelling, limit)
    yield from _digests(database, head, limit)


def _spellings(text: str) -> Iterator[tuple[str | None, str]]:
    """Namespace and beginning of an alias as a person may mean them; in any case of its letters."""
    parts: list[tuple[str | None, str]] = [(None, text)]
    namespace, colon, alias = text.partition(":")
    if colon:
        with suppress(BadName):
            parts.insert(0, (namespaces.canonical(namespace), alias))
    for namespace_or_none, start in parts:
        for spelling in dict.fromkeys((start, start.upper(), start.lower(), start.capitalize())):
            yield namespace_or_none, spelling


def _names(database: Database, namespace: str | None, start: str, limit: int) -> Iterator[Found]:
    if namespace is None and not start:
        return
    chosen, bounds = "", [start, _behind(start)]
    if namespace is not None:
        namespace_id = database.namespace_id(namespace)
        if namespace_id is None:
            return
        chosen = f" WHERE namespace_id = {int(namespace_id)}"
    execute = database.connection.execute
    # The inner limit keeps this from walking through all names of other namespaces.
    rows = execute(
        "SELECT n.name, a.alias, s.digest FROM (SELECT * FROM (SELECT alias, namespace_id,"
        f" sequence_id FROM aliases WHERE alias >= ? AND alias < ? LIMIT {_LOOKED_AT}){chosen}"
        " LIMIT ?) a JOIN namespaces n ON n.id = a.namespace_id"
        " JOIN sequences s ON s.id = a.sequence_id ORDER BY a.alias, n.name",
        [*bounds, limit],
    ).fetchall()
    for name, alias, digest in rows:
        yield Found("sequence", digest_text(digest), str(Alias(name, alias)))
    rows = execute(
        "SELECT DISTINCT n.name, c.alias, c.namespace_id FROM (SELECT * FROM (SELECT alias,"
        " namespace_id FROM collection_aliases WHERE alias >= ? AND alias < ?"
        f" LIMIT {_LOOKED_AT}){chosen}) c JOIN namespaces n ON n.id = c.namespace_id"
        " ORDER BY c.alias, n.name LIMIT ?",
        [*bounds, limit],
    ).fetchall()
    for name, alias, namespace_id in rows:
        number = NAMES.current(database.connection, namespace_id, alias)
        row = execute("SELECT digest FROM collections WHERE id = ?", (number,)).fetchone()
        if row is not None:
            yield Found("collection", digest_text(row[0]), str(Alias(name, alias)))


def _is_long(database: Database, text: str) -> bool:
    """Whether more names begin with the part behind a namespace than are looked at."""
    namespace, colon, start = text.partition(":")
    if not colon or not database.namespace_id(namespace):
        return False
    (n,) = database.connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM aliases WHERE alias >= ? AND alias < ?"
        f" LIMIT {_LOOKED_AT})",
        (start, _behind(start)),
    ).fetchone()
    return bool(n == _LOOKED_AT)


def _behind(start: str) -> str:
    """A text behind all that begin with another one, and before all that follow these."""
    return start + "\U0010ffff"


#: Sequences whose digest is between two.
_BY_PREFIX = (
    "SELECT k.digest FROM by_digest k CROSS JOIN sequences s ON s.id = k.id"
    " WHERE k.digest BETWEEN ? AND ? LIMIT ?"
)


def _digests(database: Database, text: str, limit: int) -> Iterator[Found]:
    execute = database.connection.execute
    match = _DIGITS.match(text)
    if match is not None:
        bounds = [digest_bytes(match[1].ljust(32, filling)) for filling in "A_"]
        # In the order of bytes, the first and the last digest that begin so.
        for kind, query in (
            ("sequence", _BY_PREFIX),
            ("collection", "SELECT digest FROM collections WHERE digest BETWEEN ? AND ? LIMIT ?"),
        ):
            rows = execute(query, [*bounds, limit]).fetchall()
            for (digest,) in rows:
                name = digest_text(digest)
                yield Found(kind, name, name if kind == "collection" else f"SQ.{name}")
    match = _HEXADECIMAL.match(text)
    if match is not None:
        bounds = [bytes.fromhex(match[1].ljust(32, filling)) for filling in "0f"]
        rows = execute(
            "SELECT s.digest, k.md5 FROM by_md5 k CROSS JOIN sequences s ON s.id = k.id"
            " WHERE k.md5 BETWEEN ? AND ? LIMIT ?",
            [*bounds, limit],
        ).fetchall()
        for digest, md5 in rows:
            yield Found("sequence", digest_text(digest), f"md5:{md5.hex()}")


# --- near it ----------------------------------------------------------------------------------


def _near(database: Database, text: str, limit: int) -> Iterator[Found]:
    """The names that have most of their beginning in common with a text: another version, say."""
    best: dict[int, list[str]] = {}
    for _, start in _spellings(_CUT.split(text)[0]):
        for name in _neighbours(database, start):
            n_shared = _n_shared(name, start)
            if n_shared >= max(_NEAR, len(start) // 2):
                best.setdefault(n_shared, []).append(name[:n_shared])
    for start in dict.fromkeys(best[max(best)] if best else ()):
        yield from _names(database, None, start, limit)


def _neighbours(database: Database, start: str) -> Iterable[str]:
    for query in (
        "SELECT alias FROM aliases WHERE alias >= ? ORDER BY alias LIMIT 1",
        "SELECT alias FROM aliases WHERE alias < ? ORDER BY alias DESC LIMIT 1",
        "SELECT alias FROM collection_aliases WHERE alias >= ? ORDER BY alias LIMIT 1",
        "SELECT alias FROM collection_aliases WHERE alias < ? ORDER BY alias DESC LIMIT 1",
    ):
        for (alias,) in database.connection.execute(query, (start,)).fetchall():
            yield alias


def _n_shared(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginning."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def alias_in(text: str) -> Alias | None:
    """A text as an alias with its namespace; None if it is none."""
    try:
        return parse_alias(text)
    except BadName:
        return None
