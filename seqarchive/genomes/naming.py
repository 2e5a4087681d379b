"""What genomes are called in whatever is served: a registry, stores of others, an archive."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from ..errors import Ambiguous, NotFound
from ..identifiers import Digest
from ..readable import Readable
from ..registry.reading import Registered
from ..rgstore.parsing import is_digest
from ..searching import archives_of
from .genome import said_in
from .stores import Named, Stores

#: Who says what a name means, if it is no store.
SERVER = "server"

#: Names that are looked at for those that are near one, and those that are told.
_LOOKED_AT, _TOLD = 400, 3

#: Fields in which a text is searched for.
FIELDS = ("name", "genome_digest", "namespace")


class Row(NamedTuple):
    """A name of a genome."""

    name: str
    genome_digest: Digest
    namespace: str
    source: str


class Listing:
    """The names of genomes as they were at one time; in the order of the alphabet.

    Args:
        rows: In any order.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = sorted(rows, key=lambda row: (row.name.lower(), row))
        self._keys = [row.name.lower() for row in self.rows]
        self._of_digest: dict[str, list[int]] = {}
        for n, row in enumerate(self.rows):
            self._of_digest.setdefault(row.genome_digest, []).append(n)

    def page(
        self,
        offset: int,
        limit: int,
        *,
        name: str | None = None,
        digest: str | None = None,
        text: str | None = None,
        fields: Sequence[str] = FIELDS[:2],
        is_in_all: bool = False,
    ) -> tuple[list[Row], int]:
        """Some of the names, and how many there are of that kind.

        Args:
            name, digest: Only those with just this one.
            text: Only those with this in a field, without regard to case; those that begin with
                it come first.
            fields: In which it is searched for.
            is_in_all: Whether it has to be in all of these, and not just in one.
        """
        if name is None and digest is None and text is None:
            return self.rows[offset : offset + limit], len(self.rows)
        found: Iterable[int] = range(len(self.rows))
        if digest is not None:
            found = self._of_digest.get(digest, [])
        if name is not None:
            of_name = self._named(name)
            found = [n for n in of_name if digest is None or self.rows[n].genome_digest == digest]
        chosen = list(found) if text is None else self._with(found, text, fields, is_in_all)
        return [self.rows[n] for n in chosen[offset : offset + limit]], len(chosen)

    def _named(self, name: str) -> Iterator[int]:
        key = name.lower()
        n = bisect_left(self._keys, key)
        while n < len(self._keys) and self._keys[n] == key:
            if self.rows[n].name == name:
                yield n
            n += 1

    def _with(
        self, numbers: Iterable[int], text: str, fields: Sequence[str], is_in_all: bool
    ) -> list[int]:
        wanted = text.lower()
        columns = [Row._fields.index(field) for field in fields]
        combined = all if is_in_all else any
        first: list[int] = []
        rest: list[int] = []
        for n in numbers:
            row = self.rows[n]
            if combined(wanted in row[column].lower() for column in columns):
                begins = any(row[column].lower().startswith(wanted) for column in columns)
                (first if begins else rest).append(n)
        return first + rest

    def near(self, name: str) -> list[str]:
        """Some names that are like one."""
        key = name.rpartition(":")[2].lower()
        at = bisect_left(self._keys, key)
        some = self._keys[max(0, at - _LOOKED_AT // 2) : at + _LOOKED_AT // 2]
        for length in (2, 1):  # those that begin alike may be farther away
            begin = bisect_left(self._keys, key[:length])
            some += self._keys[begin : begin + _LOOKED_AT]
        close = get_close_matches(key, dict.fromkeys(some), _TOLD, 0.6)
        return [self.rows[bisect_left(self._keys, one)].name for one in close]


class GenomeNames:
    """The names of genomes in something that is read. What it has listed, it keeps until something
    has changed."""

    def __init__(self) -> None:
        self._known: tuple[object, Listing] | None = None

    def resolve(self, archive: Readable, name: str) -> Named:
        """What a name means: the registry says it, else the stores or the archive.

        Raises:
            NotFound: Nothing; says what is like it. Ambiguous: Several collections.
        """
        try:
            return resolve(archive, name)
        except NotFound:
            near = self.listing(archive).near(name)
            hint = f"; like it: {', '.join(near)}" if near else ""
            raise NotFound(f"there is no genome {name!r}{hint}") from None

    def listing(self, archive: Readable) -> Listing:
        """All names."""
        state = _state(archive)
        known = self._known
        if known is None or state is None or known[0] != state:
            known = self._known = (state, Listing(_rows(archive)))
        return known[1]

    def record(self, archive: Readable, name: str) -> dict[str, Any]:
        """The genome of a name: its digest and who says so, its arrays, and what is said of it."""
        named = self.resolve(archive, name)
        found = archive.collection(named.digest)
        arrays, said = found.level2(), found.fhr()
        return {
            "alias": name,
            "digest": found.digest,
            "source": named.source,
            "collection": {one: arrays[one] for one in ("names", "lengths", "sequences")},
            "fhr": said,
            **said_in(said or {}),
        }


def resolve(archive: Readable, name: str) -> Named:
    """What a name means.

    Raises:
        NotFound: Nothing. Ambiguous: Several collections.
    """
    if isinstance(archive, Registered):
        registered = _registered(archive, name)
        return registered or resolve(archive.archive, name)
    if isinstance(archive, Stores):
        return archive.resolve(name)
    return Named(None, Digest(archive.collection(name).digest), SERVER)


def _registered(archive: Registered, name: str) -> Named | None:
    """What the registry means by a name."""
    found: dict[Digest, list[str]] = {}
    for alias, digest in archive.registry.named(name):
        if _is_there(archive, digest):
            found.setdefault(digest, []).append(str(alias))
    if len(found) > 1:
        said = ", ".join(f"{one} is {digest}" for digest, names in found.items() for one in names)
        names = sorted(one for names in found.values() for one in names)
        raise Ambiguous(f"{name!r} stands for {len(found)} collections: {said}", names)
    for digest in found:
        return Named(None, digest, SERVER)
    if is_digest(name) and archive.registry.has_collection(name):
        return Named(None, Digest(name), SERVER)
    return None


def _is_there(archive: Registered, digest: Digest) -> bool:
    """Whether there is a collection: in the registry, or where the residues are."""
    if archive.registry.has_collection(digest):
        return True
    try:
        archive.archive.collection(digest)
    except NotFound:
        return False
    return True


def _rows(archive: Readable) -> Iterator[Row]:
    if isinstance(archive, Registered):
        known = set()
        for alias, digest in archive.registry.all_aliases("collection"):
            known.add((alias.alias, alias.namespace.lower()))
            yield Row(alias.alias, digest, alias.namespace, SERVER)
        for row in _rows(archive.archive):
            if (row.name, row.namespace.lower()) not in known:
                yield row
    elif isinstance(archive, Stores):
        for name, namespace, digest, source in archive.names():
            yield Row(name, digest, namespace, source)
    else:
        for alias, digest in archive.all_collection_aliases():
            yield Row(alias.alias, digest, alias.namespace, SERVER)


def _state(archive: Readable) -> object | None:
    """What is another one when a name may have changed; None if nobody knows."""
    if isinstance(archive, Registered):
        below = _state(archive.archive)
        return None if below is None else (archive.registry.n_changes(), below)
    if isinstance(archive, Stores):
        return archive.state()
    found = archives_of(archive)
    return [(one.address, one.database.last_batch()) for one in found] or None
