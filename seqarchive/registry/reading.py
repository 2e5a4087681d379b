"""An archive or a RefgetStore whose collections and names are in a registry too.

Residues come from the archive. What a name means, the registry is asked first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import Ambiguous, NotFound
from ..identifiers import Alias, AliasKey, Digest, DigestKey, bare_keys, qualified_key
from ..namespaces import chosen
from ..readable import EVERYTHING, Collection, CollectionView, Opened, Readable
from ..sequences import ArchivedSequence

if TYPE_CHECKING:
    from .registry import Registry


class Registered(Opened):
    """An archive and a registry, read as one.

    Args:
        archive: Where the residues are.
        registry: Whose names come first.
    """

    def __init__(self, archive: Readable, registry: Registry) -> None:
        self.archive = archive
        self.registry = registry
        self._extra: tuple[object, list[Digest]] = (None, [])

    def __repr__(self) -> str:
        return f"<seqarchive.Registered {self.address}>"

    @property
    def address(self) -> str:
        """Where both are."""
        return f"{self.archive.address} with {self.registry.address}"

    def close(self) -> None:
        """Close what is open."""
        self.archive.close()
        self.registry.close()

    # --- sequences ----------------------------------------------------------------------------

    def find(self, identifier: str) -> Digest:
        """The digest of a sequence: of a digest or of a name, in the registry or in the archive.

        Raises:
            NotFound: There is none. Ambiguous: The registry has several of that name, in different
                namespaces; or the archive has.
        """
        key = qualified_key(identifier)
        if isinstance(key, DigestKey) or any(
            isinstance(bare, DigestKey) for bare in bare_keys(identifier)
        ):
            try:
                return self.archive.find(identifier)
            except NotFound:
                if isinstance(key, DigestKey):
                    raise
        keys = [AliasKey(None, identifier)] if key is None else [key, AliasKey(None, identifier)]
        for one in keys:
            assert isinstance(one, AliasKey)
            found = {digest: alias for alias, digest in self.registry.meanings("sequence", one)}
            if len(found) > 1:
                names = sorted(map(str, found.values()))
                raise Ambiguous(
                    f"{identifier!r} stands for {len(found)} sequences: {', '.join(names)}; say "
                    "which namespace",
                    names,
                )
            if found:
                return next(iter(found))
        return self.archive.find(identifier)

    def _name(self, identifier: str) -> str:
        """The name by which the archive has a sequence."""
        return f"sha512t24u:{self.find(identifier)}"

    def __contains__(self, identifier: object) -> bool:
        if not isinstance(identifier, str):
            return False
        try:
            return self._name(identifier) in self.archive
        except NotFound:
            return False
        except Ambiguous:
            return True

    def __getitem__(self, identifier: str) -> ArchivedSequence:
        digest = self.find(identifier)
        length = len(self.archive[f"sha512t24u:{digest}"])
        return ArchivedSequence(self, identifier, digest, length)

    def __len__(self) -> int:
        return len(self.archive)

    def fetch_digest(self, digest: Digest, start: int | None = None, end: int | None = None) -> str:
        """Residues of the sequence with a sha512t24u digest; as for an archive."""
        return self.archive.fetch_digest(digest, start, end)

    def is_circular(self, identifier: str) -> bool:
        """Whether a sequence is a circular molecule."""
        return self.archive.is_circular(self._name(identifier))

    def aliases(self, identifier: str) -> list[Alias]:
        """The aliases of a sequence in both, sorted."""
        digest = self.find(identifier)
        known = self.archive.aliases(f"sha512t24u:{digest}")
        return sorted({*known, *self.registry.aliases("sequence", digest)})

    def translate(self, identifier: str, to: str | Sequence[str] | None = None) -> list[str]:
        """All names of a sequence; those of the archive first.

        Args:
            to: Only names in this namespace, or in these.
        """
        digest = self.find(identifier)
        found = self.archive.translate(f"sha512t24u:{digest}", to)
        wanted = chosen(to)
        registered = self.registry.aliases("sequence", digest)
        found += [
            str(alias)
            for alias in registered
            if wanted is None or alias.namespace.lower() in wanted
        ]
        return list(dict.fromkeys(found))

    def metadata(self, identifier: str) -> dict[str, Any]:
        """What is known of a sequence; ready for JSON."""
        name = self._name(identifier)
        return {**self.archive.metadata(name), "aliases": self.translate(name)}

    def namespaces(self) -> list[str]:
        """The namespaces of aliases of sequences, sorted."""
        return sorted({*self.archive.namespaces(), *self.registry.namespaces("sequence")})

    def all_aliases(
        self, namespace: str | None = None, pattern: str | None = None
    ) -> Iterator[tuple[Alias, Digest]]:
        """Aliases of sequences: those of the registry, then those that only the archive has.

        Raises:
            NotFound: There is no such namespace.
        """
        registered = dict(self.registry.all_aliases("sequence", namespace, pattern))
        yield from registered.items()
        try:
            for alias, digest in self.archive.all_aliases(namespace, pattern):
                if alias not in registered:
                    yield alias, digest
        except NotFound:
            if not registered:
                raise

    # --- collections --------------------------------------------------------------------------

    def collection(self, identifier: str) -> BothCollection:
        """The collection of a digest or of an alias: one of the registry comes first.

        Raises:
            NotFound: Neither has it. Ambiguous: One has several.
        """
        try:
            found: Collection = self.registry.collection(identifier)
        except NotFound:
            try:
                found = self.archive.collection(identifier)
            except NotFound:
                raise NotFound(f"collection {identifier!r} is not here") from None
        return self._both(found)

    def _both(self, found: Collection) -> BothCollection:
        try:
            archived: Collection | None = self.archive.collection(found.digest)
        except NotFound:
            archived = None
        return BothCollection(archived, found, self.registry)

    def collections(self, **attributes: str) -> list[BothCollection]:
        """The collections of the archive, then those that only the registry has."""
        known = [
            BothCollection(one, one, self.registry)
            for one in self.archive.collections(**attributes)
        ]
        digests = {one.digest for one in known}
        others = self.registry.collections(attributes)
        return known + [
            BothCollection(None, one, self.registry) for one in others if one.digest not in digests
        ]

    def collection_page(
        self, attributes: Mapping[str, str], page: int, page_size: int
    ) -> tuple[list[Digest], int]:
        """As for an archive; those that only the registry has come last."""
        begin, end = page * page_size, (page + 1) * page_size
        found, n_archived = self.archive.collection_page(attributes, page, page_size)
        if attributes:
            extra = self._only_registered(attributes)
        else:
            state = (self.registry.n_changes(), n_archived, self.archive.committed())
            known, extra = self._extra
            if known != state:
                extra = self._only_registered({})
                self._extra = (state, extra)
        more = extra[max(begin - n_archived, 0) : max(end - n_archived, 0)]
        return found + more, n_archived + len(extra)

    def _only_registered(self, attributes: Mapping[str, str]) -> list[Digest]:
        archived = set(self.archive.collection_page(attributes, 0, EVERYTHING)[0])
        return [one for one in self.registry.collection_digests(attributes) if one not in archived]

    def attribute_page(self, attribute: str, page: int, page_size: int) -> tuple[list[Digest], int]:
        """The different digests of an attribute, sorted, a page of them, and how many there are."""
        archived, _ = self.archive.attribute_page(attribute, 0, EVERYTHING)
        found = sorted({*archived, *self.registry.attribute_digests(attribute)})
        return found[page * page_size : (page + 1) * page_size], len(found)

    def all_collection_aliases(self) -> list[tuple[Alias, Digest]]:
        """The aliases of collections and what they mean, sorted; what the registry says counts."""
        registered = self.registry.all_aliases("collection")
        return sorted({**dict(self.archive.all_collection_aliases()), **dict(registered)}.items())

    def committed(self) -> tuple[str, str] | None:
        """When the first of both was made, and when one was last changed."""
        times = [self.registry.committed(), self.archive.committed()]
        known = [one for one in times if one is not None]
        return min(first for first, _ in known), max(last for _, last in known)


class BothCollection(CollectionView):
    """A collection that is in an archive or in a registry, or in both.

    Args:
        archived: As the archive has it, which knows more of it.
        found: As it was found.
    """

    def __init__(self, archived: Collection | None, found: Collection, registry: Registry) -> None:
        super().__init__(found if archived is None else archived)
        self._archived = archived
        self._registry = registry

    def aliases(self) -> list[Alias]:
        """Its names in both, sorted."""
        archived = [] if self._archived is None else self._archived.aliases()
        return sorted({*archived, *self._registry.aliases("collection", self.digest)})

    def fhr(self) -> dict[str, Any] | None:
        """What the registry says of it, else what the archive says."""
        said = self._registry.fhr(self.digest)
        if said is None and self._archived is not None:
            return self._archived.fhr()
        return said
