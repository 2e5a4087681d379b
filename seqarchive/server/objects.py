"""Files as DRS has them: FASTA that is made of a collection when it is wanted, and files that were
registered, which are in a bucket."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from ..errors import Corrupt, NotFound
from ..readable import Collection, Readable
from ..registry.files import Access, FileFacts
from ..remote.cache import DiskCache
from ..seqcol.as_fasta import CollectionFasta, FastaDigests
from ..sources.opening import open_source

if TYPE_CHECKING:
    from ..registry.files import RegisteredFile
    from ..registry.registry import Registry

_MIME = "text/x-fasta"

#: Of what nobody dated.
_EPOCH = "1970-01-01T00:00:00Z"

#: Files whose digests are remembered.
_REMEMBERED = 1000


class File(Protocol):
    """A file that can be described and sent."""

    @property
    def id(self) -> str:
        """Of the object."""

    @property
    def version(self) -> str:
        """Changes when its bytes do."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def name(self) -> str:
        """Of the file."""

    @property
    def mime_type(self) -> str:
        """What kind of file it is."""

    @property
    def created(self) -> str:
        """ISO 8601, UTC."""

    @property
    def is_known(self) -> bool:
        """Whether its digests need not be computed."""

    @property
    def ways(self) -> tuple[Access, ...]:
        """Where else it is."""

    def facts(self) -> FileFacts:
        """Its digests, and the rest."""

    def aliases(self) -> list[str]:
        """Other names of it."""

    def chunks(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes ``[start, end)``."""


class Digests:
    """The digests of files that are made, computed once: one file at a time.

    Args:
        cache: Where they are kept for other processes, and for the next start.
    """

    def __init__(self, cache: DiskCache) -> None:
        self._cache = cache
        self._known: OrderedDict[str, FastaDigests] = OrderedDict()
        self._computing = threading.Lock()

    def __contains__(self, version: str) -> bool:
        return self._found(version) is not None

    def of(self, version: str, fasta: CollectionFasta) -> FastaDigests:
        """Those of a file; what is known waits for nobody."""
        known = self._found(version)
        if known is not None:
            return known
        with self._computing:
            known = self._found(version)
            if known is None:
                known = fasta.digests()
                self._cache.put(_key(version), json.dumps(known).encode("ascii"))
                self._remember(version, known)
            return known

    def _found(self, version: str) -> FastaDigests | None:
        known = self._known.get(version)
        if known is None:
            kept = self._cache.get(_key(version))
            if kept is None:
                return None
            known = FastaDigests(*json.loads(kept))
            self._remember(version, known)
        return known

    def _remember(self, version: str, digests: FastaDigests) -> None:
        self._known[version] = digests
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def _key(version: str) -> bytes:
    """By which the digests of a file are kept."""
    return hashlib.sha256(f"digests of {version}".encode("ascii")).digest()


class MadeFile:
    """The FASTA file of a collection: the bytes of ``export --collection``."""

    def __init__(self, archive: Readable, collection: Collection, digests: Digests) -> None:
        self._archive = archive
        self._collection = collection
        self._digests = digests
        self._fasta = CollectionFasta(collection, archive.fetch_digest)
        self.id = collection.digest
        self.name = f"{collection.digest}.fa"
        self.mime_type = _MIME
        # What is given back may change with a later file of the same collection.
        self.size, self.version = self._fasta.layout()
        self.ways: tuple[Access, ...] = ()

    @property
    def created(self) -> str:
        """When the archive was made."""
        times = self._archive.committed()
        return _EPOCH if times is None else times[0]

    @property
    def is_known(self) -> bool:
        """Whether its digests need not be computed."""
        return self.version in self._digests

    def facts(self) -> FileFacts:
        """Its digests, for which all of it may have to be made."""
        found = self._digests.of(self.version, self._fasta)
        about = f"A collection of {len(self._collection):,} sequences"
        return FileFacts(
            self.name, found.n_bytes, found.sha256, found.md5, found.sha512, _MIME, about
        )

    def aliases(self) -> list[str]:
        """Those of the collection."""
        return [str(alias) for alias in self._collection.aliases()]

    def chunks(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes ``[start, end)``."""
        return self._fasta.chunks(start, end)


class KeptFile:
    """A file that was registered."""

    def __init__(self, registered: RegisteredFile, aliases: list[str]) -> None:
        self._facts = registered.facts
        self._aliases = aliases
        self.id = registered.id
        self.name = registered.facts.name
        self.mime_type = registered.facts.mime_type
        self.size = registered.facts.size
        self.version = registered.facts.sha256
        self.created = registered.created
        self.is_known = True
        self.ways = registered.access

    def facts(self) -> FileFacts:
        """As they were registered."""
        return self._facts

    def aliases(self) -> list[str]:
        """Those of its collection."""
        return self._aliases

    def chunks(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes ``[start, end)``, from the first place where they are.

        Raises:
            NotFound, SourceError: They cannot be had. Corrupt: The whole file is another one; the
                last chunk of it is not given then.
        """
        if not self.ways:
            raise NotFound(f"nobody says where {self.name} is")
        place, _, name = self.ways[0].url.rpartition("/")
        source = open_source(place)
        sha256, left, waiting = hashlib.sha256(), end - start, b""
        try:
            with source.stream(name, start) as stream:
                skipped = start - stream.start
                for chunk in stream.chunks:
                    wanted = chunk[skipped : skipped + left]
                    skipped = max(skipped - len(chunk), 0)
                    if wanted:
                        sha256.update(wanted)
                        left -= len(wanted)
                        yield waiting
                        waiting = wanted
                    if not left:
                        break
        finally:
            source.close()
        is_whole = start == 0 and end == self.size
        if left or (is_whole and sha256.hexdigest() != self._facts.sha256):
            raise Corrupt(f"{self.ways[0].url} is not the file that was registered")
        yield waiting


def file_of(
    identifier: str, archive: Readable, registry: Registry | None, digests: Digests
) -> File:
    """The file that a text names: by its id, or by a name of its collection.

    Raises:
        NotFound: There is none. Ambiguous: There are several collections of that name.
    """
    registered = None if registry is None else registry.file(identifier)
    if registered is None:
        collection = archive.collection(identifier)
        registered = None if registry is None else registry.file(collection.digest)
        if registered is None:
            return MadeFile(archive, collection, digests)
    try:
        aliases = [str(alias) for alias in archive.collection(registered.collection).aliases()]
    except NotFound:
        aliases = []
    if registered.id != registered.collection:
        aliases.insert(0, registered.collection)
    return KeptFile(registered, aliases)
