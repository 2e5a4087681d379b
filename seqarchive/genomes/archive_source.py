"""Genomes that come from an archive, or a published release."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import NotFound
from ..readable import Collection
from ..reader import ArchiveReader
from ..remote import open_remote
from ..remote.cache import DiskCache
from ..roots import open_readers
from ..several import Readers
from ..sources import is_remote
from .genome_source import SMALL, Listed, named, require_same
from .listed import Stored


class ArchiveSource:
    """An archive in a directory, or a published release.

    Args:
        url: What was asked for; the address itself if None.
        cache: For what is read of a release.
    """

    kind = "archive"

    def __init__(
        self, address: str, *, url: str | None = None, cache: DiskCache | None = None
    ) -> None:
        self.address = address
        self.url = address if url is None else url
        self._cache = cache
        self._opened: ArchiveReader | Readers | None = None

    @property
    def _archive(self) -> ArchiveReader | Readers:
        if self._opened is None:
            if is_remote(self.address):
                self._opened = open_remote(self.address, cache=self._cache)
            else:
                self._opened = open_readers([self.address])
        return self._opened

    def open(self) -> ArchiveSource:
        """Itself, if there is such an archive; of a root with releases, the newest.

        Raises:
            NotFound, SourceError: There is none.
        """
        found = self._archive
        if is_remote(self.address):
            self.address = found.address
        return self

    def collection(self, identifier: str, namespace: str | None = None) -> Collection:
        """A collection by its digest or an alias."""
        name = identifier if namespace is None else f"{namespace}:{identifier}"
        try:
            return self._archive.collection(name)
        except NotFound:
            raise NotFound(f"{self.address} has no collection {name!r}") from None

    def listed(self) -> Iterator[Listed]:
        """All collections."""
        for one in self._archive.collections():
            yield named(one.digest, len(one), map(str, one.aliases()))

    def members(self, collection: Collection) -> list[Stored]:
        """The members of a collection, checked."""
        found = []
        for one in collection.records():
            description = one.defline[len(one.name) :].strip()
            found.append(Stored(one.name, description, one.length, one.digest, ""))
        return require_same(found, collection.digest, self.address)

    def giving(self, _collection: Collection) -> ArchiveSource:
        """Itself."""
        return self

    def access(self) -> dict[str, str]:
        """Nothing: the archive knows where everything is."""
        return {}

    def is_whole(self, member: Stored, start: int, end: int) -> bool:
        """What is small, and what is asked for whole."""
        return member.length <= SMALL or end - start == member.length

    def fetch(self, member: Stored, start: int, end: int) -> bytes:
        """Residues, by the blocks that have them."""
        return self._archive.fetch_digest(member.digest, start, end).encode("ascii")

    def pieces(self, member: Stored) -> Iterator[bytes]:
        """All residues."""
        for piece in self._archive.pieces(f"sha512t24u:{member.digest}"):
            yield piece.encode("ascii")

    def close(self) -> None:
        """Close what is open."""
        if self._opened is not None:
            self._opened.close()
