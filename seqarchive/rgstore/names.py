"""Names in a RefgetStore: its files of aliases, one for each namespace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from .. import namespaces
from ..errors import BadName, Corrupt, NotFound
from ..identifiers import Alias, AliasKey, Digest
from .layout import aliases_path
from .opened import OpenedStore
from .parsing import Manifest, is_digest
from .tables import Table


class StoreNames:
    """The names of sequences and of collections.

    Args:
        opened: The store.
    """

    def __init__(self, opened: OpenedStore) -> None:
        self._opened = opened

    @property
    def _manifest(self) -> Manifest:
        return self._opened.state.manifest

    def meanings(self, kind: str, key: AliasKey) -> Iterator[tuple[str, str]]:
        """The namespaces in which a name means something, with the digest that it means.

        Args:
            kind: ``sequences`` or ``collections``.
        """
        for namespace in self._namespaces(kind):
            if key.namespace is not None and not _is_same(namespace, key.namespace):
                continue
            table = self._aliases_in(kind, namespace)
            line = table.find(key.alias) if table is not None else None
            if line is not None:
                yield namespace, line.partition("\t")[2]

    def _namespaces(self, kind: str) -> tuple[str, ...]:
        manifest = self._manifest
        found = manifest.sequence_namespaces
        return found if kind == "sequences" else manifest.collection_namespaces

    def _aliases_in(self, kind: str, namespace: str) -> Table | None:
        return self._opened.table(aliases_path(kind, namespace), 0)

    def aliases_of(self, kind: str, digest: str) -> list[Alias]:
        """The names of a digest, sorted.

        Args:
            kind: ``sequences`` or ``collections``.
        """
        found = []
        for namespace in self._namespaces(kind):
            table = self._aliases_in(kind, namespace)
            for line in table.find_all(1, digest) if table is not None else ():
                alias, _, target = line.partition("\t")
                if target == digest:
                    found.append(Alias(namespace, alias))
        return sorted(found)

    def namespace(self, name: str) -> str:
        """A namespace of aliases of sequences, in the spelling of the store.

        Raises:
            NotFound: There is none of that name.
        """
        for known in self._manifest.sequence_namespaces:
            if _is_same(known, name):
                return known
        known = ", ".join(self._manifest.sequence_namespaces) or "none"
        raise NotFound(f"there is no namespace {name!r} (there are: {known})")

    def has_namespace(self, name: str) -> bool:
        """Whether there is a namespace, in any spelling."""
        return any(_is_same(known, name) for known in self._manifest.sequence_namespaces)

    def all_aliases(
        self, namespace: str | None = None, pattern: str | None = None
    ) -> Iterator[tuple[Alias, Digest]]:
        """Aliases of sequences and what they mean.

        Args:
            namespace: Only those of this one.
            pattern: Only those that match; ``*`` and ``?`` are wildcards.

        Raises:
            NotFound: There is no such namespace.
        """
        known = self._manifest.sequence_namespaces
        if namespace is not None:
            known = (self.namespace(namespace),)
        yield from self._all_aliases("sequences", known, pattern)

    def all_collection_aliases(self) -> Iterator[tuple[Alias, Digest]]:
        """Aliases of collections and what they mean."""
        yield from self._all_aliases("collections", self._manifest.collection_namespaces, None)

    def _all_aliases(
        self, kind: str, known: Sequence[str], pattern: str | None
    ) -> Iterator[tuple[Alias, Digest]]:
        for name in known:
            table = self._aliases_in(kind, name)
            for line in table.lines() if table is not None else ():
                alias, _, digest = line.partition("\t")
                if not is_digest(digest):
                    raise Corrupt(
                        f"{self._opened.address}: {name}:{alias[:60]} means {digest[:60]!r}, "
                        "which is no digest; run `seqarchive verify-rgstore`"
                    )
                if pattern is None or fnmatchcase(alias, pattern):
                    yield Alias(name, alias), Digest(digest)


def canonical(namespace: str) -> str:
    """What two spellings of a namespace have in common."""
    try:
        return namespaces.canonical(namespace).lower()
    except BadName:  # a store may have any
        return namespace.lower()


def _is_same(one: str, other: str) -> bool:
    return canonical(one) == canonical(other)
