"""Server mode: the genomes of stores that others keep, and of a registry. Nothing is owned but a
cache.

    mode = ServerMode("https://genomes.example.org/store", database="postgresql:///genomes")
    mode.create_store()
    mode.resolve("hg38").digest, mode.fhr("hg38"), mode.collection("hg38").level2()
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import NotFound
from ..identifiers import Digest
from ..namespaces import GENOMES
from ..readable import Collection, Readable
from ..registry import open_registry
from ..registry.reading import Registered
from ..remote.cache import DiskCache
from ..rgstore.reading import RefgetStore
from .genome import Genome, meanings_in
from .naming import GenomeNames, Row
from .store_entries import StoreEntry, entries_of_urls, merged_entries
from .stores import Named, Stores

if TYPE_CHECKING:
    from sqlalchemy import Engine


class AliasManager(Mapping[str, Digest]):
    """Names of genomes, and what they mean; only to be read.

    Args:
        archive: Whose names.
    """

    def __init__(self, archive: Readable) -> None:
        self._archive = archive
        self._names = GenomeNames()

    def resolve(self, name: str) -> Named:
        """What a name means, and who says so.

        Raises:
            NotFound: Nothing; says what is like it. Ambiguous: Several collections.
        """
        return self._names.resolve(self._archive, name)

    def __getitem__(self, name: str) -> Digest:
        return self.resolve(name).digest

    def __contains__(self, name: object) -> bool:
        try:
            return isinstance(name, str) and bool(self.resolve(name))
        except NotFound:
            return False

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(row.name for row in self.rows()))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def rows(self) -> list[Row]:
        """All names, in the order of the alphabet, with namespaces and who says so."""
        return list(self._names.listing(self._archive).rows)

    def names_of(self, digest: str) -> list[str]:
        """The names of a genome."""
        return [row.name for row in self.rows() if row.genome_digest == digest]

    def record(self, name: str) -> dict[str, Any]:
        """A genome as the server answers it: see ``GET /v4/aliases/{alias}``."""
        return self._names.record(self._archive, name)


class ServerMode:
    """Stores and a registry, of which nothing is written.

    Args:
        store_url: Of the store, if there is one.
        stores: Others, in any order; their priorities say which counts.
        database: Of the registry: a URL, variables (``POSTGRES_HOST``, ...), or an engine of
            SQLAlchemy; its names come first, and the stores that it lists are read too.
        cache: A directory for what comes over a network; None for the usual one.
        order: As of ``Stores``.

    Raises:
        BadInput: A store that can be none. NotFound, SourceError: There is no such registry.
    """

    def __init__(
        self,
        store_url: str | None = None,
        stores: Sequence[StoreEntry] = (),
        database: str | Mapping[str, str] | Engine | None = None,
        cache: Path | None = None,
        *,
        order: Sequence[str] = (),
    ) -> None:
        self._given = [*entries_of_urls([store_url] if store_url else []), *stores]
        self.registry = None if database is None else open_registry(database)
        self._cache = None if cache is None else DiskCache(cache)
        self._order = order
        self._stores: Stores | None = None
        self._aliases: AliasManager | None = None

    def __enter__(self) -> ServerMode:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open."""
        if self._stores is not None:
            self._stores.close()
        if self.registry is not None:
            self.registry.close()

    def _listed(self) -> list[StoreEntry]:
        listed = [] if self.registry is None else self.registry.stores()
        return merged_entries(self._given, listed)

    def create_store(self) -> Stores:
        """Open the stores, and have their names and their FHR at hand: from what is known from
        before, as far as that is still true.

        Raises:
            NotFound, SourceError, Corrupt: There is no store that can be read, and no registry.
        """
        if self._stores is None:
            found = Stores(
                self._listed(),
                order=self._order,
                cache=self._cache,
                is_required=self.registry is None,
                listed=None if self.registry is None else self._listed,
            )
            self._stores = found
        return self._stores

    @property
    def archive(self) -> Readable:
        """What all of it is as an archive, for ``seqarchive.server.create_app``."""
        stores = self.create_store()
        return stores if self.registry is None else Registered(stores, self.registry)

    def _each(self) -> list[RefgetStore]:
        return [store for _, store in self.create_store().opened()]

    def pull_aliases(self) -> dict[str, int]:
        """Have the names of all namespaces at hand: how many of them there are, and how many are
        missing though a store names them."""
        counts = [store.pulled() for store in self._each()]
        return {
            "pulled": sum(one.n_namespaces for one in counts),
            "not_found": sum(one.n_missing for one in counts),
        }

    def pull_fhr(self) -> dict[str, int]:
        """Have what is said of collections at hand: of how many something is said, and of how many
        nothing."""
        said = sum(len(store.list_fhr()) for store in self._each())
        total = sum(store.stats()["n_collections"] for store in self._each())
        return {"pulled": said, "not_found": total - said}

    def refresh(self) -> bool:
        """Look whether a store has changed, and take what is new. Returns whether there was."""
        return self.create_store().refresh()

    @property
    def aliases(self) -> AliasManager:
        """The names of genomes."""
        if self._aliases is None:
            self._aliases = AliasManager(self.archive)
        return self._aliases

    def resolve(self, name: str) -> Named:
        """What a name means; as ``AliasManager.resolve``."""
        return self.aliases.resolve(name)

    def find(self, name: str) -> Genome:
        """The genome of a name or of a digest; raises as ``AliasManager.resolve``."""
        meant = self.resolve(name)
        archive = self.archive
        collection = archive.collection(meant.digest)
        names = [alias.alias for alias in collection.aliases() if alias.namespace == GENOMES]
        called = [] if meant.alias is None else [meant.alias.alias]
        return Genome(
            dict.fromkeys([*called, *names]),
            collection,
            archive,
            meanings=partial(meanings_in, archive),
            source=archive.address,
        )

    def genomes(self) -> list[Genome]:
        """The genomes of all names, by their first names."""
        digests = dict.fromkeys(row.genome_digest for row in self.aliases.rows())
        return sorted((self.find(digest) for digest in digests), key=lambda genome: genome.name)

    def collection(self, name: str) -> Collection:
        """The collection of a name or a digest."""
        return self.archive.collection(self.resolve(name).digest)

    def fhr(self, name: str) -> dict[str, Any] | None:
        """What is said of a genome; None if nothing is."""
        return self.collection(name).fhr()

    def getseq(
        self, name: str, sequence: str, start: int | None = None, end: int | None = None
    ) -> str:
        """Residues ``[start, end)`` of a sequence of a genome.

        Raises:
            NotFound: There is no such genome or sequence, or no store to read residues from.
        """
        if not self.create_store().entries:
            raise NotFound(
                "residues are not to be had here: a registry has names and digests alone; give a "
                "store too (store_url)"
            )
        found = self.collection(name)
        digest = next((one.digest for one in found.members() if one.name == sequence), None)
        if digest is None:
            raise NotFound(f"{sequence!r} is not in the genome {name} ({found.digest})")
        return self.archive.fetch_digest(digest, start, end)
