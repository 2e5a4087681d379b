"""What people ask who look around: search, histories, what something consists of, what changed.

For the page; and for whoever else has these questions.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator
from itertools import islice
from typing import Any, Generic, TypeVar

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ..composition import composition
from ..database import Database
from ..diffs import diff, state_of
from ..errors import NotFound
from ..identifiers import Digest, DigestKey, digest_bytes
from ..origins import (
    batches_of,
    meanings_of,
    names_of,
    newest_collections,
    records_of,
    sources_of,
)
from ..readable import Collection, Readable
from ..reader import ArchiveReader
from ..searching import Found, alias_in, archives_of, search
from ..seqcol.archived import ArchivedCollection, NamedRecord
from ..seqcol.digests import Member
from ..seqcol.matching import KINDS, Matching, Pair, match
from ..tracks.catalogue import TRACK, Catalogue
from .answers import (
    READING,
    REVALIDATED,
    answering,
    in_thread,
    json_answer,
    not_modified,
)
from .asking import Refused, collection_named, number, one_of, page_of
from .served import Service

#: Results of a search, and rows of a page, if nothing else is asked for; and rows at most.
_FOUND, _ROWS, _MOST_ROWS = 20, 100, 1_000

#: Bands into which a comparison is cut for its picture at most.
_MOST_BANDS = 200

#: Differences between two releases that are counted.
_CHANGES = 200_000

#: Answers that are kept: a composition has 4 kB, a matching of 20,000 members 10 MB.
_COMPOSITIONS, _MATCHINGS, _COUNTS = 500, 4, 50

#: Names of a sequence that a search shows.
_SHOWN = 5

V = TypeVar("V")


def looking_router(service: Service) -> APIRouter:
    """The routes of this module."""
    router = APIRouter(tags=["looking around"])
    about = _Looking(service)
    for path, handler, name in (
        ("/summary", about.summary, "summary"),
        ("/summary/collections", about.collections, "summary_collections"),
        ("/search", about.search, "search"),
        ("/changes", about.changes, "changes"),
        ("/sequence/{identifier:path}/history", about.history, "sequence_history"),
        ("/sequence/{identifier:path}/composition", about.composition, "sequence_composition"),
        ("/collection/{identifier:path}/provenance", about.provenance, "collection_provenance"),
        ("/collection/{identifier:path}/members", about.members, "collection_members"),
        ("/comparison/{first}/{second}/members", about.matching, "comparison_members"),
    ):
        router.add_route(path, answering(handler), methods=READING, name=name)
    return router


class _Looking:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._compositions: _Kept[dict[str, Any]] = _Kept(_COMPOSITIONS)
        self._matchings: _Kept[Matching] = _Kept(_MATCHINGS)
        self._changes: _Kept[dict[str, int]] = _Kept(_COUNTS)
        self._n_sequences: _Kept[int] = _Kept(1)
        self._computed = service.limits.computing.run

    # --- all of it --------------------------------------------------------------------------------

    async def summary(self, request: Request) -> Response:
        """What is served: its name, how much there is, when it changed last."""
        archive = self._service.archive_of(request)

        def look() -> dict[str, Any]:
            archives = archives_of(archive)
            times = archive.committed()
            states = tuple((one.address, one.database.last_batch()) for one in archives)
            _, n_collections = _newest(archive, 0, 0)
            database = _database_of(archive)
            return {
                "name": self._service.identity.name,
                "description": self._service.identity.description,
                "n_sequences": self._n_sequences.get(states, lambda: len(archive))
                if archives
                else len(archive),
                "n_collections": n_collections,
                "n_archives": max(1, len(archives)),
                "changed": None if times is None else times[1],
                "release": _release_of(archive),
                "has_history": database is not None,
                "has_tracks": database is not None
                and Catalogue(database.connection).has_any(TRACK),
                "has_releases": self._service.root is not None,
                "subsequence_limit": self._service.limits.subsequence,
            }

        return json_answer(await in_thread(look), headers={"Cache-Control": REVALIDATED})

    async def collections(self, request: Request) -> Response:
        """The collections with their names and sizes, the newest first; a page of them."""
        archive = self._service.archive_of(request)
        page, size = self._page(request)

        def look() -> dict[str, Any]:
            found, total = _newest(archive, page, size)
            return _listed([_row_of(archive, one) for one in found], total, page, size)

        return json_answer(await in_thread(look), headers={"Cache-Control": REVALIDATED})

    async def search(self, request: Request) -> Response:
        """What a text may mean: a sequence or a collection by name or digest, or by the beginning
        of one."""
        text = one_of(request, "q")
        if text is None or not text.strip():
            raise Refused(400, "q is what to search for: a name, the beginning of one, or a digest")
        limit = number(request, "limit")
        if limit == 0 or (limit or 0) > _MOST_ROWS:
            raise Refused(400, f"limit is 1 to {_MOST_ROWS:,}")
        archive = self._service.archive_of(request)

        def look() -> dict[str, Any]:
            answer = search(archive, text, _FOUND if limit is None else limit)
            return {
                "q": text,
                "is_exact": answer.is_exact,
                "is_cut": answer.is_cut,
                "results": [_result(archive, one) for one in answer.found],
            }

        return json_answer(await in_thread(look), headers={"Cache-Control": REVALIDATED})

    async def changes(self, request: Request) -> Response:
        """What changed from one release to another: how much of each kind, and a page of it."""
        first, second = one_of(request, "from"), one_of(request, "to")
        kind = one_of(request, "kind")
        page, size = self._page(request)
        root, archive = self._service.root, self._service.archive_of(request)
        if root is None or not isinstance(archive, ArchiveReader):
            raise NotFound("there are no releases here")
        if not first or not second:
            raise Refused(400, "from and to are releases, or master for what there is now")

        def look() -> dict[str, Any]:
            states = [state_of(archive.instance, one) for one in (first, second)]
            key = tuple((str(one.instance.directory), one.batch) for one in states)
            counts = self._changes.get(key, lambda: _counted(islice(diff(*states), _CHANGES + 1)))
            chosen = (
                one for one in islice(diff(*states), _CHANGES) if kind is None or one.kind == kind
            )
            rows = [one.as_dict() for one in islice(chosen, page * size, (page + 1) * size)]
            total = sum(counts.values()) if kind is None else counts.get(kind, 0)
            return {
                "from": {"name": states[0].name, "batch": states[0].batch},
                "to": {"name": states[1].name, "batch": states[1].batch},
                "counts": counts,
                "is_cut": sum(counts.values()) > _CHANGES,
                **_listed(rows, min(total, _CHANGES), page, size),
            }

        found = await self._computed(look)
        return json_answer(found, headers={"Cache-Control": REVALIDATED})

    # --- a sequence -------------------------------------------------------------------------------

    async def history(self, request: Request) -> Response:
        """The names that a sequence has and had, with the batches that gave and took them; and all
        that the name it is asked for by ever meant."""
        identifier = request.path_params["identifier"]
        archive = self._service.archive_of(request)
        page, size = self._page(request)

        def look() -> dict[str, Any]:
            database = _database_of(archive)
            if database is None:
                raise NotFound("what is served here has no history")
            alias = alias_in(identifier)
            meanings = [] if alias is None else meanings_of(database, alias)
            found: dict[str, Any] = {"sequence": None, "added": None, "records": []}
            names: list[dict[str, Any]] = []
            total = 0
            try:
                digest = archive.find(identifier)
            except NotFound:
                if not meanings:
                    raise
            else:
                (location,) = database.locate(DigestKey("digest", digest_bytes(digest)))
                row = database.sequence(location.id)
                names, total = names_of(database, location.id, page, size)
                found = {
                    "sequence": f"SQ.{digest}",
                    "added": {"batch": row.batch_id, "time": database.added(row)},
                    "records": records_of(database, location.id),
                }
            rows = [*names, *meanings]
            numbers = [one[end] for one in rows for end in ("from_batch", "to_batch")]
            if found["added"] is not None:
                numbers.append(found["added"]["batch"])
            return {
                **found,
                "meanings": meanings,
                "batches": batches_of(database, numbers),
                **_listed(names, total, page, size),
            }

        return json_answer(await in_thread(look), headers={"Cache-Control": REVALIDATED})

    async def composition(self, request: Request) -> Response:
        """How often each letter occurs in a sequence, and G and C along it."""
        archive = self._service.archive_of(request)
        found = await in_thread(archive.__getitem__, request.path_params["identifier"])
        digest, length = found.digest, len(found)
        etag = f'"SQ.{digest}:composition"'
        headers = {"Cache-Control": REVALIDATED, "ETag": etag}
        cached = not_modified(request, etag, headers)
        if cached is not None:
            return cached

        def count() -> dict[str, Any]:
            return composition(lambda start, end: archive.fetch_digest(digest, start, end), length)

        document = await self._computed(lambda: self._compositions.get(digest, count))
        return json_answer({"sequence": f"SQ.{digest}", **document}, headers=headers)

    # --- collections ------------------------------------------------------------------------------

    async def provenance(self, request: Request) -> Response:
        """What a collection is called, what is said of it, and the files and batches that it came
        from."""
        archive, identifier = self._service.archive_of(request), collection_named(request)

        def look() -> dict[str, Any]:
            found = archive.collection(identifier)
            database = _database_of(archive)
            document = {
                "digest": found.digest,
                "aliases": [list(one) for one in found.aliases()],
                "n_sequences": len(found),
                "n_residues": found.n_residues,
                "level1": found.level1(),
                "fhr": found.fhr(),
                "sources": [],
                "batches": {},
            }
            if database is not None:
                sources = sources_of(database, Digest(found.digest))
                document["sources"] = sources
                document["batches"] = batches_of(database, [one["batch"] for one in sources])
            return document

        return json_answer(await in_thread(look), headers={"Cache-Control": REVALIDATED})

    async def members(self, request: Request) -> Response:
        """The sequences of a collection, in order; a page of them, or of those with certain
        names."""
        archive, identifier = self._service.archive_of(request), collection_named(request)
        page, size = self._page(request)
        text = (one_of(request, "name") or "").lower()

        def look() -> dict[str, Any]:
            found = archive.collection(identifier)
            first, total = page * size, len(found)
            some = _members_from(found, 0 if text else first)
            if text:
                chosen = [(n, one) for n, one in some if text in one.name.lower()]
                some, total = iter(chosen[first : first + size]), len(chosen)
            rows = [
                {
                    "number": n,
                    "name": one.name,
                    "length": one.length,
                    "sequence": f"SQ.{one.digest}",
                }
                for n, one in islice(some, size)
            ]
            return _listed(rows, total, page, size)

        return json_answer(await self._computed(look), headers={"Cache-Control": REVALIDATED})

    async def matching(self, request: Request) -> Response:
        """Which member of one collection is which of another: in words, in numbers, a page of them,
        and put together for a picture."""
        first, second = (collection_named(request, one) for one in ("first", "second"))
        kind, bands = one_of(request, "kind"), number(request, "bands")
        if kind not in (None, "moved", *KINDS):
            raise Refused(400, f"kind is one of {', '.join((*KINDS, 'moved'))}")
        if bands == 0 or (bands or 0) > _MOST_BANDS:
            raise Refused(400, f"bands is 1 to {_MOST_BANDS}")
        page, size = self._page(request)
        archive = self._service.archive_of(request)

        def look() -> dict[str, Any]:
            a, b = archive.collection(first), archive.collection(second)
            found = self._matchings.get(
                (a.digest, b.digest), lambda: match(a.members(), b.members())
            )
            chosen = [
                pair
                for pair in found.pairs
                if kind is None or (pair.is_moved if kind == "moved" else pair.kind == kind)
            ]
            rows = [_pair(found, pair) for pair in chosen[page * size : (page + 1) * size]]
            return {
                "a": {"digest": a.digest, "n_sequences": len(found.a), "title": _title(archive, a)},
                "b": {"digest": b.digest, "n_sequences": len(found.b), "title": _title(archive, b)},
                "summary": found.summary(),
                "counts": found.counts(),
                "bands": [] if bands is None else found.bands(bands),
                **_listed(rows, len(chosen), page, size),
            }

        found = await self._computed(look)
        return json_answer(found, headers={"Cache-Control": REVALIDATED})

    def _page(self, request: Request) -> tuple[int, int]:
        return page_of(request, _ROWS, min(_MOST_ROWS, self._service.limits.page_size))


class _Kept(Generic[V]):
    """The answers that were asked for last.

    Args:
        most: How many.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: OrderedDict[Hashable, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """What is kept of a key, or is made now."""
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
        made = make()
        with self._lock:
            self._found[key] = made
            while len(self._found) > self._most:
                self._found.popitem(last=False)
        return made


def _listed(rows: list[Any], total: int, page: int, size: int) -> dict[str, Any]:
    """A page, of the shape that lists of collections have."""
    return {"results": rows, "pagination": {"page": page, "page_size": size, "total": total}}


def _database_of(archive: Readable) -> Database | None:
    """The database of what is one archive: several have no common history, a store has none."""
    archives = archives_of(archive)
    return archives[0].database if len(archives) == 1 else None


def _release_of(archive: Readable) -> str | None:
    """The release that is served; None if it is something that goes on."""
    if not isinstance(archive, ArchiveReader) or not archive.instance.is_snapshot:
        return None
    return archive.instance.name


def _newest(archive: Readable, page: int, size: int) -> tuple[list[Digest], int]:
    """Digests of collections, the newest first where that is known; and how many there are."""
    if not isinstance(archive, ArchiveReader):
        return archive.collection_page({}, page, size)
    return newest_collections(archive.database, page, size)


def _row_of(archive: Readable, digest: Digest) -> dict[str, Any]:
    found = archive.collection(digest)
    return {
        "digest": found.digest,
        "title": _title(archive, found),
        "aliases": [str(one) for one in found.aliases()],
        "n_sequences": len(found),
        "n_residues": found.n_residues,
    }


def _members_from(collection: Collection, first: int) -> Iterator[tuple[int, Member | NamedRecord]]:
    """The members of a collection from one of them on, with their numbers."""
    if isinstance(collection, ArchivedCollection):  # need not go through those before it
        return enumerate(collection.records(first), first)
    return islice(enumerate(collection.members()), first, None)


def _title(archive: Readable, collection: Collection) -> str:
    """What a person would call a collection: by a name, or by the file that it was."""
    aliases = collection.aliases()
    if aliases:
        return str(aliases[0])
    for one in archives_of(archive):
        sources = sources_of(one.database, Digest(collection.digest))
        if sources:
            return str(sources[0]["name"])
    return str(collection.digest)


def _result(archive: Readable, found: Found) -> dict[str, Any]:
    """A line of the results of a search."""
    about: dict[str, Any] = {"kind": found.kind, "name": found.name}
    if found.kind == "collection":
        return {**about, **_row_of(archive, found.digest)}
    about["sequence"] = f"SQ.{found.digest}"
    if found.kind == "former":
        return about
    sequence = archive[f"sha512t24u:{found.digest}"]
    aliases = [str(one) for one in sequence.aliases[:_SHOWN]]
    about |= {"length": len(sequence), "aliases": aliases}
    if found.start is not None or found.end is not None:
        about |= {"start": found.start, "end": found.end}
    return about


def _pair(found: Matching, pair: Pair) -> dict[str, Any]:
    """A line of a comparison."""
    sides = {}
    for side, members, at in (("a", found.a, pair.a), ("b", found.b, pair.b)):
        if at is not None:
            one = members[at]
            sides[side] = {
                "number": at,
                "name": one.name,
                "length": one.length,
                "sequence": f"SQ.{one.digest}",
            }
    return {"kind": pair.kind, "is_moved": pair.is_moved, **sides}


def _counted(changes: Iterator[Any]) -> dict[str, int]:
    return dict(Counter(change.kind for change in changes))
