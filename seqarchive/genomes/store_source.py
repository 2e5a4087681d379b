"""Genomes that come from a RefgetStore."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from ..errors import Ambiguous, Corrupt, NotFound
from ..identifiers import Digest
from ..readable import Collection
from ..remote.cache import DiskCache
from ..rgstore.alphabets import Alphabet, labelled, unpack
from ..rgstore.collected import StoreCollection
from ..rgstore.files import LocalFiles, RemoteFiles
from ..rgstore.layout import Mode
from ..rgstore.parsing import Manifest, Row
from ..rgstore.payloads import Payloads
from ..rgstore.reading import RefgetStore
from ..sources import shown
from ..sources.base import Denied, Refused
from ..sources.directory import DirectorySource
from ..sources.opening import open_source
from .genome_source import (
    SHORTLY,
    GenomeSource,
    Listed,
    ambiguous,
    digest_in,
    named,
    require_same,
)
from .listed import Stored
from .server_source import ServerSource

#: What keeps nothing: parts of payloads are kept by those who ask for residues.
_NO_CACHE = DiskCache(Path(os.devnull), 0)


class StoreSource:
    """A RefgetStore.

    Args:
        address: Directory, ``file:///``, ``http(s)://`` or ``s3://``.
        manifest: What is known of its manifest.
        data: The manifest, if it was read just now.
        url: What was asked for; the address itself if None.
        server: Whoever named the store, and may know more names and collections.
        residues: Finds the same as one that gives residues, if it does: an export may be older
            than what it is of, or a part of it.
        cache: For indexes.
    """

    kind = "store"

    def __init__(
        self,
        address: str,
        manifest: Manifest,
        *,
        data: bytes | None = None,
        url: str | None = None,
        server: ServerSource | None = None,
        residues: Callable[[], ServerSource | None] = lambda: None,
        cache: DiskCache | None = None,
        delays: tuple[float, ...] = SHORTLY,
    ) -> None:
        self.address = address
        self.url = address if url is None else url
        self._manifest = manifest
        self._data = data
        self._server = server
        self._residues = residues
        self._beside: ServerSource | None = None
        self._cache = cache
        source = open_source(address)
        self._files = (
            LocalFiles(source)
            if isinstance(source, DirectorySource)
            else RemoteFiles(source, _NO_CACHE, delays)
        )
        self._payloads = Payloads(self._files, manifest)
        self._opened: RefgetStore | None = None

    @property
    def _store(self) -> RefgetStore:
        if self._opened is None:
            self._opened = RefgetStore(self.address, cache=self._cache, manifest=self._data)
        return self._opened

    def collection(self, identifier: str, namespace: str | None = None) -> Collection:
        """A collection by its digest or an alias."""
        digest: str | None = digest_in(identifier) if namespace is None else None
        if digest is None and self._server is not None:
            with suppress(NotFound, Denied, Refused):  # the store may have names of its own
                digest = self._server.resolve(identifier, namespace)
        name = identifier if namespace is None else f"{namespace}:{identifier}"
        try:
            return self._store.collection(digest or name)
        except NotFound:
            return self._served(digest, name)
        except Ambiguous as error:
            raise self._several(name, error) from None

    def _served(self, digest: str | None, name: str) -> Collection:
        """A collection that the store lacks."""
        if self._beside is None and digest is not None:
            self._beside = self._residues()
        if self._beside is None or digest is None:
            raise NotFound(f"{shown(self.address)} has no collection {name!r}")
        try:
            return self._beside.collection(digest)
        except NotFound as error:
            raise NotFound(f"{shown(self.address)} has no collection {name!r}; {error}") from None

    def giving(self, collection: Collection, /) -> GenomeSource:
        """Itself; the server of a collection that the store lacks."""
        if self._beside is None or isinstance(collection, StoreCollection):
            return self
        return self._beside

    def _several(self, name: str, error: Ambiguous) -> Ambiguous:
        bare = name.partition(":")[2]
        found = [
            f"{alias} ({digest})"
            for alias, digest in self._store.all_collection_aliases()
            if digest in error.candidates and alias.alias in (name, bare)
        ]
        return ambiguous(name, found)

    def listed(self) -> Iterator[Listed]:
        """All collections of the index; then those that the server has besides."""
        names: dict[str, list[str]] = {}
        for alias, meant in self._store.all_collection_aliases():
            names.setdefault(meant, []).append(str(alias))
        if self._server is not None:
            for name, digest in self._server.names():
                names.setdefault(digest, []).append(name)
        seen = set()
        for one in self._store.collections():
            seen.add(one.digest)
            yield named(Digest(one.digest), len(one), names.get(one.digest, ()))
        if self._server is not None:
            with suppress(NotFound, Denied, Refused):  # it may have no list
                for digest in self._server.digests():
                    if digest not in seen:
                        yield named(digest, None, names.get(digest, ()))

    def members(self, collection: Collection) -> list[Stored]:
        """The list of a collection, checked."""
        if not isinstance(collection, StoreCollection):
            raise TypeError(f"{collection!r} is of no store")
        found = [
            Stored(row.name, row.description, row.length, Digest(row.digest), row.alphabet.label)
            for row in collection.rows()
        ]
        return require_same(found, collection.digest, self.address)

    def access(self) -> dict[str, str]:
        """The mode and the template of the store."""
        return {"mode": self._manifest.mode.value, "template": self._manifest.sequence_template}

    def is_whole(self, member: Stored, start: int, end: int) -> bool:
        """What is small, what is asked for whole, and what gtars may have packed wrongly."""
        return self._payloads.are_checked(_row(member), start, end)

    def fetch(self, member: Stored, start: int, end: int) -> bytes:
        """Residues, by the bytes that have them."""
        row = _row(member)
        if self.is_whole(member, start, end):
            return self._payloads.whole(row)[start:end]
        is_raw = self._manifest.mode is Mode.RAW
        stored = Alphabet.ASCII if is_raw else row.alphabet
        first, last = stored.byte_range(start, end)
        path, size = self._manifest.payload(row.digest), stored.n_bytes(row.length)
        return unpack(self._files.part(path, first, last, size), end - start, stored, start)

    def pieces(self, member: Stored) -> Iterator[bytes]:
        """All residues."""
        return self._payloads.pieces(_row(member))

    def close(self) -> None:
        """Close the connections."""
        self._files.close()
        if self._opened is not None:
            self._opened.close()
        for one in (self._server, self._beside):
            if one is not None:
                one.close()


def _row(member: Stored) -> Row:
    alphabet = labelled(member.label)
    if alphabet is None:
        raise Corrupt(f"{member.label[:40]!r} of SQ.{member.digest} is no alphabet")
    return Row(member.name, member.length, alphabet, member.digest, "", "")
