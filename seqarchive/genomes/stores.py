"""Several RefgetStores, read as one: the server's side of genomes.

Residues come from whichever store has them. What a name means, the store with the lowest priority
says; what another one means by it is reachable as ``STORE::NAME``. All names, and all that is said
of collections, are taken from the stores at the start and whenever one has changed; a store that
cannot be reached then is what it was before, and is looked for again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from ..errors import Ambiguous, Corrupt, NotFound, SeqArchiveError, SourceError
from ..identifiers import Alias, AliasKey, Digest
from ..namespaces import GENOMES, canonical, chosen
from ..readable import EVERYTHING, Collection, CollectionView, Opened
from ..remote.cache import DiskCache
from ..rgstore.parsing import is_digest
from ..rgstore.reading import RefgetStore
from ..sequences import ArchivedSequence
from ..sources import is_remote, shown
from .store_entries import StoreEntry

logger = logging.getLogger("seqarchive.genomes")

R = TypeVar("R")

#: Between a store and a name that it means.
SEPARATOR = "::"

#: Seconds between two looks at stores: in directories, and over a network.
NEAR, FAR = 1.0, 60.0

#: Conflicts that are logged.
_LOGGED = 20


class Named(NamedTuple):
    """What a name means."""

    alias: Alias | None
    """In which namespace it was found; None if it is a digest."""
    digest: Digest
    source: str
    """Who says so."""


class Disagreement(NamedTuple):
    """A name that two stores mean differently."""

    alias: Alias
    winner: str
    """The store whose meaning counts."""
    digest: Digest
    loser: str
    other: Digest

    @property
    def name(self) -> str:
        """By what the other meaning is reached."""
        return f"{self.loser}{SEPARATOR}{self.alias}"


class _Opened:
    """A store, as soon as it could be opened."""

    def __init__(self, entry: StoreEntry, cache: DiskCache | None) -> None:
        self.entry = entry
        self.store: RefgetStore | None = None
        self.error: SeqArchiveError | None = None
        self._cache = cache

    @property
    def name(self) -> str:
        return self.entry.name

    def look(self, *, is_quiet: bool = False) -> bool:
        """Open it, or look whether it has changed. Returns whether it is another one now.

        Args:
            is_quiet: Whether somebody else says what is wrong.
        """
        try:
            if self.store is not None:
                is_new = self.store.refresh()
            else:
                store = RefgetStore(self.entry.url, cache=self._cache, is_patient=True)
                store.pull()
                self.store, is_new = store, True
            if is_new:
                with suppress(SourceError, Corrupt):  # who asks for one is told
                    self.store.pull_lists()
            self.error = None if not self.store.is_stale else self.error
        except SeqArchiveError as error:  # what was read before is still true
            if not is_quiet and (self.error is None or str(self.error) != str(error)):
                logger.warning("the store %s: %s", self.name, error)
            self.error = error
            return False
        if self.store.is_stale and self.error is None:
            self.error = SourceError(f"{shown(self.entry.url)} could not be reached at the start")
            logger.warning("the store %s: %s; it is as it was before", self.name, self.error)
        return is_new


class Stores(Opened):
    """RefgetStores, read as one archive. Needs no writer: nothing but a cache is written.

    Args:
        entries: In the order of their priority.
        order: Namespaces of collections in the order in which a name is looked for; all others
            come last, together. By default ``refgenie``, then the others one by one.
        cache: Where to keep what came over a network and was checked.
        seconds: Between two looks at the stores; None for what is usual.
        is_required: Whether one of them at least has to be there.
        listed: Says which stores there are from now on, for each look; they may be others.
    """

    def __init__(
        self,
        entries: Sequence[StoreEntry],
        *,
        order: Sequence[str] = (),
        cache: DiskCache | None = None,
        seconds: float | None = None,
        is_required: bool = False,
        listed: Callable[[], Sequence[StoreEntry]] | None = None,
    ) -> None:
        self._order = tuple(canonical(name).lower() for name in order)
        self._cache = cache
        self._listed = listed
        self._all = tuple(_Opened(one, cache) for one in entries)
        is_near = not any(is_remote(one.url) for one in entries)
        self._seconds = (NEAR if is_near else FAR) if seconds is None else seconds
        self._looking = threading.Lock()
        self._n_sequences: tuple[object, int] = (None, 0)
        for one in self._all:
            one.look(is_quiet=is_required)
        if is_required:
            self.require()
            for one in self._all:
                if one.store is None:
                    logger.warning("the store %s: %s", one.name, one.error)
        self._warn()
        self._looked = time.monotonic()

    def __repr__(self) -> str:
        return f"<seqarchive.Stores {self.address}>"

    @property
    def address(self) -> str:
        """Where they are read from."""
        return ", ".join(shown(one.entry.url) for one in self._all)

    def close(self) -> None:
        """Close what is open; it is opened again when it is needed."""
        for _, store in self.opened():
            store.close()

    # --- the stores themselves ----------------------------------------------------------------

    @property
    def entries(self) -> list[StoreEntry]:
        """The stores, in the order of their priority."""
        return [one.entry for one in self._all]

    def opened(self) -> list[tuple[str, RefgetStore]]:
        """Those that could be opened, with their names."""
        return [(one.name, one.store) for one in self._all if one.store is not None]

    def failures(self) -> dict[str, SeqArchiveError]:
        """What is wrong with a store at this time, by its name."""
        return {one.name: one.error for one in self._all if one.error is not None}

    def require(self) -> None:
        """Raise what is wrong, if there is no store at all that can be read."""
        wrong = [one.error for one in self._all if one.error is not None]
        if wrong and not self.opened():
            raise wrong[0]

    def fresh(self) -> Stores:
        """Itself. If it is time to look at the stores again, a thread does that."""
        is_due = time.monotonic() - self._looked > self._seconds
        if is_due and self._looking.acquire(blocking=False):
            threading.Thread(target=self._look_and_release, daemon=True).start()
        return self

    def _look_and_release(self) -> None:
        try:
            self._look()
        finally:
            self._looked = time.monotonic()
            self._looking.release()

    def refresh(self) -> bool:
        """Look at all stores now. Returns whether one has changed."""
        with self._looking:
            found = self._look()
            self._looked = time.monotonic()
        return found

    def _look(self) -> bool:
        is_new = self._list_again()
        changed = [one.look() for one in self._all]
        if any(changed) or is_new:
            self._warn()
            return True
        return False

    def _list_again(self) -> bool:
        """Have the stores that there are by now."""
        if self._listed is None:
            return False
        try:
            entries = self._listed()
        except SeqArchiveError as error:
            logger.warning("%s", error)
            return False
        if list(entries) == self.entries:
            return False
        known = {one.entry.url: one for one in self._all}
        found = []
        for entry in entries:
            now, before = _Opened(entry, self._cache), known.get(entry.url)
            if before is None:
                now.look()
            else:
                now.store, now.error = before.store, before.error
            found.append(now)
        self._all = tuple(found)
        return True

    def state(self) -> object:
        """What is another one when a store has changed; to be compared."""
        return [(name, store.manifest) for name, store in self.opened()]

    def _warn(self) -> None:
        found = list(self.conflicts(sequences=False))
        for one in found[:_LOGGED]:
            logger.warning(
                "%s means %s in the store %s, and %s in %s: the first counts, the other one is %s",
                one.alias, one.digest, one.winner, one.other, one.loser, one.name,
            )  # fmt: skip
        if len(found) > _LOGGED:
            logger.warning("%d more names like that: see `store conflicts`", len(found) - _LOGGED)

    def conflicts(self, *, sequences: bool = True) -> Iterator[Disagreement]:
        """The names that stores mean differently.

        Args:
            sequences: Also those of sequences, of which there may be many.
        """
        opened = self.opened()
        kinds = ["collections", "sequences"] if sequences else ["collections"]
        for kind in kinds:
            for n, (loser, store) in enumerate(opened):
                for alias, digest in _names_in(store, kind) if n else ():
                    counts = self._meaning(kind, alias, opened[:n])
                    if counts is not None and counts[1] != digest:
                        yield Disagreement(alias, *counts, loser, digest)

    def _meaning(
        self, kind: str, alias: Alias, opened: Sequence[tuple[str, RefgetStore]]
    ) -> tuple[str, Digest] | None:
        """What the first of some stores means by a name."""
        for name, store in opened:
            for _, digest in store.meanings(kind, AliasKey(*alias)):
                if self._is_there(kind, digest, store):
                    return name, Digest(digest)
        return None

    def _is_there(self, kind: str, digest: str, store: RefgetStore) -> bool:
        """Whether a name means anything: stores may name what they have not."""
        if kind == "collections":
            return self._has_collection(digest)
        return is_digest(digest) and f"sha512t24u:{digest}" in store

    def _source(self, name: str, namespace: str | None) -> str:
        """How it is said that a store says something."""
        parts = [name] if len(self._all) > 1 else []
        parts += [] if namespace is None else [namespace]
        return "store:" + "/".join(parts) if parts else "store"

    def _split(self, identifier: str) -> tuple[RefgetStore | None, str]:
        """``STORE::NAME`` taken apart.

        Raises:
            SourceError: The store cannot be read.
        """
        name, separator, rest = identifier.partition(SEPARATOR)
        one = next((one for one in self._all if one.name.lower() == name.lower()), None)
        if not separator or one is None:
            return None, identifier
        if one.store is None:
            raise SourceError(f"the store {one.name} cannot be read now: {one.error}")
        return one.store, rest

    def _first(self, look: Callable[[RefgetStore], R], missing: str) -> R:
        """What the first store that has something says.

        Raises:
            NotFound: None has it. SourceError: None of those that can be read.
        """
        failed: SeqArchiveError | None = None
        for one in self._all:
            if one.store is None:
                failed = failed or SourceError(f"the store {one.name} cannot be read now")
                continue
            try:
                return look(one.store)
            except NotFound:
                continue
            except (SourceError, Corrupt) as error:
                logger.warning("the store %s: %s", one.name, error)
                failed = failed or error
        raise failed or NotFound(missing)

    # --- sequences ----------------------------------------------------------------------------

    def find(self, identifier: str) -> Digest:
        """The digest of a sequence, of a digest or of a name.

        Raises:
            NotFound: There is none. Ambiguous: The first store that has one has several.
        """
        store, rest = self._split(identifier)
        if store is not None:
            return store.find(rest)
        return self._first(lambda one: one.find(identifier), f"{identifier!r} is not in any store")

    def _holders(self, digest: str) -> list[tuple[str, RefgetStore]]:
        name = f"sha512t24u:{digest}"
        return [(one, store) for one, store in self.opened() if name in store]

    def _of(self, digest: Digest, look: Callable[[RefgetStore, str], R]) -> R:
        """What the first store that has a sequence says of it."""
        name = f"sha512t24u:{digest}"
        return self._first(lambda store: look(store, name), f"SQ.{digest} is not in any store")

    def __getitem__(self, identifier: str) -> ArchivedSequence:
        digest = self.find(identifier)
        length = self._of(digest, lambda store, name: len(store[name]))
        return ArchivedSequence(self, identifier, digest, length)

    def __len__(self) -> int:
        opened = self.opened()
        if len(opened) < 2:
            return sum(len(store) for _, store in opened)
        state, known = self._n_sequences
        now = self.state()
        if state != now:
            known = len(opened[0][1])
            for n, (_, store) in enumerate(opened[1:], 1):
                names = (f"sha512t24u:{row.digest}" for row in store.rows())
                earlier = [one for _, one in opened[:n]]
                known += sum(1 for name in names if not any(name in one for one in earlier))
            self._n_sequences = now, known
        return known

    def fetch_digest(self, digest: Digest, start: int | None = None, end: int | None = None) -> str:
        """Residues of a sequence, from the first store that has it and can be read."""
        return self._of(digest, lambda store, name: store.fetch(name, start, end))

    def is_circular(self, identifier: str) -> bool:
        """False: a store does not say that of any sequence."""
        self.find(identifier)
        return False

    def aliases(self, identifier: str) -> list[Alias]:
        """The names of a sequence, sorted: those that mean it."""
        return self._aliases("sequences", self.find(identifier))

    def _aliases(self, kind: str, digest: str) -> list[Alias]:
        opened, found = self.opened(), set[Alias]()
        for n, (_, store) in enumerate(opened):
            for alias in store.aliases_of(kind, digest):
                counts = self._meaning(kind, alias, opened[:n])
                if counts is None or counts[1] == digest:
                    found.add(alias)
        return sorted(found)

    def translate(self, identifier: str, to: str | Sequence[str] | None = None) -> list[str]:
        """All names of a sequence as ``namespace:alias``; as of one store."""
        digest = self.find(identifier)
        found = self._of(digest, lambda store, name: store.translate(name, to))
        wanted = chosen(to)
        here = self._aliases("sequences", digest)
        mine = {str(one) for _, one in self._others("sequences", digest)}
        found = [one for one in found if one not in mine]
        found += [str(one) for one in here if wanted is None or _key(one.namespace) in wanted]
        return list(dict.fromkeys(found))

    def _others(self, kind: str, digest: str) -> Iterator[tuple[str, Alias]]:
        """Names by which a store means something that another one means otherwise."""
        opened = self.opened()
        for n, (name, store) in enumerate(opened):
            for alias in store.aliases_of(kind, digest) if n else ():
                counts = self._meaning(kind, alias, opened[:n])
                if counts is not None and counts[1] != digest:
                    yield name, alias

    def metadata(self, identifier: str) -> dict[str, Any]:
        """What is known of a sequence; ready for JSON."""
        digest = self.find(identifier)
        found = self._of(digest, lambda store, name: store.metadata(name))
        return {**found, "aliases": self.translate(f"sha512t24u:{digest}")}

    def namespaces(self) -> list[str]:
        """The namespaces of aliases of sequences, sorted."""
        return sorted({name for _, store in self.opened() for name in store.namespaces()})

    def all_aliases(
        self, namespace: str | None = None, pattern: str | None = None
    ) -> Iterator[tuple[Alias, Digest]]:
        """Aliases of sequences and what they mean.

        Raises:
            NotFound: There is no such namespace.
        """
        opened = self.opened()
        if namespace is not None and not any(one.has_namespace(namespace) for _, one in opened):
            known = ", ".join(self.namespaces()) or "none"
            raise NotFound(f"there is no namespace {namespace!r} (there are: {known})")
        for n, (_, store) in enumerate(opened):
            if namespace is None or store.has_namespace(namespace):
                for alias, digest in store.all_aliases(namespace, pattern):
                    if n == 0 or self._meaning("sequences", alias, opened[:n]) is None:
                        yield alias, digest

    # --- collections --------------------------------------------------------------------------

    def resolve(self, name: str) -> Named:
        """What a name means: a digest, ``namespace:alias``, ``STORE::NAME`` or just an alias.

        A bare alias is looked for in one store after the other, and in each in one namespace after
        the other, in the order that was given.

        Raises:
            NotFound: Nothing. Ambiguous: Where it was found first, it means several collections.
            SourceError: Nothing, but not all stores can be read.
        """
        store, rest = self._split(name)
        opened = self.opened()
        if store is not None:
            opened = [(one, found) for one, found in opened if found is store]
        if is_digest(rest) and (holder := self._holder(rest, opened)) is not None:
            return Named(None, Digest(rest), self._source(holder, None))
        namespace, colon, alias = rest.partition(":")
        if colon:
            for one, found in opened:
                for spelling, digest in found.meanings("collections", AliasKey(namespace, alias)):
                    if self._has_collection(digest):
                        return Named(
                            Alias(spelling, alias), Digest(digest), self._source(one, spelling)
                        )
        for one, found in opened:
            meant = self._resolved(one, found, rest)
            if meant is not None:
                return meant
        if store is None:
            self._require_all()
        raise NotFound(f"there is no genome {name!r}")

    def _resolved(self, store_name: str, store: RefgetStore, alias: str) -> Named | None:
        """What a store means by a bare alias."""
        known = {
            spelling: digest
            for spelling, digest in store.meanings("collections", AliasKey(None, alias))
            if self._has_collection(digest)
        }
        for step in self._steps(list(known)):
            found = {known[spelling]: spelling for spelling in reversed(step)}
            if len(found) > 1:
                names = {str(Alias(one, alias)): known[one] for one in step}
                said = ", ".join(f"{one} is {digest}" for one, digest in names.items())
                raise Ambiguous(
                    f"{alias!r} stands for {len(found)} collections: {said}", list(names)
                )
            for digest, spelling in found.items():
                source = self._source(store_name, spelling)
                return Named(Alias(spelling, alias), Digest(digest), source)
        return None

    def _steps(self, namespaces: Sequence[str]) -> list[list[str]]:
        """Namespaces, in groups of which the first that knows a name counts."""
        by_key: dict[str, list[str]] = {}
        for one in sorted(namespaces, key=lambda name: (_key(name), name)):
            by_key.setdefault(_key(one), []).append(one)
        if not self._order:
            first = by_key.pop(GENOMES, [])
            return [first, *by_key.values()]
        steps = [by_key.pop(key, []) for key in dict.fromkeys(self._order)]
        return [*steps, [one for rest in by_key.values() for one in rest]]

    def _require_all(self) -> None:
        for one in self._all:
            if one.store is None:
                raise SourceError(f"the store {one.name} cannot be read now: {one.error}")

    def _holder(self, digest: str, opened: Sequence[tuple[str, RefgetStore]]) -> str | None:
        return next((name for name, one in opened if one.has_collection(digest)), None)

    def _has_collection(self, digest: str) -> bool:
        return self._holder(digest, self.opened()) is not None

    def names(self) -> list[tuple[str, str, Digest, str]]:
        """The names of collections: name, namespace, digest and source; what counts in its
        namespace, and what else there is as ``STORE::NAME``."""
        opened = self.opened()
        found = []
        for n, (name, store) in enumerate(opened):
            for alias, digest in _names_in(store, "collections"):
                if not self._has_collection(digest):
                    continue
                counts = self._meaning("collections", alias, opened[:n])
                if counts is None:
                    source = self._source(name, alias.namespace)
                    found.append((alias.alias, alias.namespace, digest, source))
                elif counts[1] != digest:
                    found.append(
                        (
                            f"{name}{SEPARATOR}{alias.alias}",
                            alias.namespace,
                            digest,
                            self._source(name, alias.namespace),
                        )
                    )
        return found

    def collection(self, identifier: str) -> StoresCollection:
        """The collection of a digest or of a name.

        Raises:
            NotFound: No store has it. Ambiguous: The first that has one has several.
        """
        store, rest = self._split(identifier)
        if store is not None:
            return self._wrapped(store.collection(rest))
        found = self._first(
            lambda one: one.collection(identifier), f"collection {identifier!r} is not in any store"
        )
        return self._wrapped(found)

    def _wrapped(self, found: Collection) -> StoresCollection:
        return StoresCollection(self, found)

    def collection_names(self, digest: str) -> list[Alias]:
        """The names of a collection, sorted: those that mean it."""
        return self._aliases("collections", digest)

    def collection_fhr(self, digest: str) -> dict[str, Any] | None:
        """What the first store that says something says of a collection."""
        for _, store in self.opened():
            if store.has_collection(digest) and (said := store.fhr(digest)) is not None:
                return said
        return None

    def collections(self, **attributes: str) -> list[StoresCollection]:
        """The collections of all stores, each once; or those with certain attributes."""
        found: dict[str, StoresCollection] = {}
        for _, store in self.opened():
            for one in store.collections(**attributes):
                found.setdefault(one.digest, self._wrapped(one))
        return list(found.values())

    def collection_page(
        self, attributes: Mapping[str, str], page: int, page_size: int
    ) -> tuple[list[Digest], int]:
        """Digests of some collections, and how many there are."""
        if attributes:
            found = [Digest(one.digest) for one in self.collections(**attributes)]
        else:
            listed = [store.list_collections() for _, store in self.opened()]
            found = [Digest(one) for one in dict.fromkeys(d for one in listed for d in one)]
        return found[page * page_size : (page + 1) * page_size], len(found)

    def attribute_page(self, attribute: str, page: int, page_size: int) -> tuple[list[Digest], int]:
        """The different digests of an attribute, a page of them, and how many there are."""
        pages = [store.attribute_page(attribute, 0, EVERYTHING)[0] for _, store in self.opened()]
        found = sorted({digest for one in pages for digest in one})
        return found[page * page_size : (page + 1) * page_size], len(found)

    def all_collection_aliases(self) -> Iterator[tuple[Alias, Digest]]:
        """The aliases of collections and what they mean."""
        opened = self.opened()
        for n, (_, store) in enumerate(opened):
            for alias, digest in store.all_collection_aliases():
                if n == 0 or self._meaning("collections", alias, opened[:n]) is None:
                    yield alias, digest

    def committed(self) -> tuple[str, str] | None:
        """None: stores do not say it in a way that one can rely on."""
        return None


class StoresCollection(CollectionView):
    """A collection of one store, with the names and the FHR of all."""

    def __init__(self, stores: Stores, found: Collection) -> None:
        super().__init__(found)
        self._stores = stores

    def aliases(self) -> list[Alias]:
        """Its names in all stores, sorted."""
        return self._stores.collection_names(self.digest)

    def fhr(self) -> dict[str, Any] | None:
        """What is said of it."""
        return self._stores.collection_fhr(self.digest)


def _names_in(store: RefgetStore, kind: str) -> Iterator[tuple[Alias, Digest]]:
    """All names in a store; up to where it is damaged, which is logged."""
    try:
        yield from store.all_collection_aliases() if kind == "collections" else store.all_aliases()
    except Corrupt as error:
        logger.warning("%s", error)


def _key(namespace: str) -> str:
    """What spellings of a namespace have in common."""
    return canonical(namespace).lower()
