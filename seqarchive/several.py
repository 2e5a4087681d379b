"""Several archives as one: private sequences beside public ones.

Look-ups ask each archive; what is the same in all is one answer, what differs is an ambiguity that
names both, and never the answer of whoever comes first. Writes go to the first archive.
"""

from __future__ import annotations

import contextlib
import heapq
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from .errors import Ambiguous, BadName, NotFound
from .identifiers import Alias, Digest, digest_text
from .readable import EVERYTHING, Opened
from .reader import ArchiveReader
from .seqcol.archived import ArchivedCollection
from .sequences import ArchivedSequence

if TYPE_CHECKING:
    from .archive import Archive
    from .load_options import LoadReport


class Readers(Opened):
    """Archives that are read together, with the interface of one.

    Args:
        archives: In the order in which they are asked.

    Raises:
        BadName: None at all.
    """

    def __init__(self, archives: Sequence[ArchiveReader]) -> None:
        if not archives:
            raise BadName("at least one archive is needed")
        self.archives = tuple(archives)

    def __reduce__(self) -> tuple[type[Readers], tuple[tuple[ArchiveReader, ...]]]:
        return type(self), (self.archives,)

    def __repr__(self) -> str:
        places = ", ".join(archive.address for archive in self.archives)
        return f"<seqarchive.{type(self).__name__} {places}>"

    def close(self) -> None:
        """Close what is open; it is opened again when it is needed."""
        for archive in self.archives:
            archive.close()

    # --- finding ----------------------------------------------------------------------------

    def _find(self, identifier: str) -> tuple[ArchiveReader, Digest]:
        """The first archive that has a sequence, and its digest, if all agree which it is."""
        found: dict[Digest, ArchiveReader] = {}
        missing: list[NotFound] = []
        for archive in self.archives:
            try:
                found.setdefault(archive.find(identifier), archive)
            except NotFound as error:
                missing.append(error)
        if not found:
            raise missing[0]
        if len(found) > 1:
            names = [f"SQ.{digest} in {archive.address}" for digest, archive in found.items()]
            raise Ambiguous(
                f"{identifier!r} means different sequences: {', '.join(names)}",
                [f"ga4gh:SQ.{digest}" for digest in found],
            )
        ((digest, archive),) = found.items()
        return archive, digest

    def _find_for(
        self, identifier: str, start: int | None, end: int | None
    ) -> tuple[ArchiveReader, Digest]:
        """The same; of a range over the origin, an archive that has the sequence as circular."""
        archive, digest = self._find(identifier)
        if start is not None and end is not None and start > end:
            name, holders = self._holders(identifier)
            archive = next((one for one in holders if one.is_circular(name)), archive)
        return archive, digest

    def find(self, identifier: str) -> Digest:
        """The digest of the one sequence that an identifier stands for.

        Raises:
            NotFound: In none. Ambiguous: More than one, in one archive or in different ones.
        """
        return self._find(identifier)[1]

    def __contains__(self, identifier: object) -> bool:
        return any(identifier in archive for archive in self.archives)

    def __getitem__(self, identifier: str) -> ArchivedSequence:
        archive, digest = self._find(identifier)
        return ArchivedSequence(self, identifier, digest, len(archive[f"sha512t24u:{digest}"]))

    def __iter__(self) -> Iterator[str]:
        """The ``ga4gh:SQ.`` names of all sequences, sorted by digest, each once."""
        for digest in self._digests():
            yield "ga4gh:SQ." + digest_text(digest)

    def __len__(self) -> int:
        return sum(1 for _ in self._digests())

    def _digests(self) -> Iterator[bytes]:
        last = b""
        for digest, _ in heapq.merge(*(archive.database.digests() for archive in self.archives)):
            if digest != last:
                yield digest
            last = digest

    def records(self, namespace: str | None = None) -> Iterator[tuple[Digest, list[Alias]]]:
        """All sequences, each once, with their current aliases in all archives.

        Args:
            namespace: Only sequences with an alias in it.

        Raises:
            NotFound: There is no such namespace in any.
        """
        if namespace is not None:
            namespace = self.namespace(namespace)
        for n, archive in enumerate(self.archives):
            if namespace is not None and not archive.has_namespace(namespace):
                continue
            for digest, _ in archive.records(namespace):
                name = f"sha512t24u:{digest}"
                earlier = (one for one in self.archives[:n] if name in one)
                if not any(_is_in(one.aliases(name), namespace) for one in earlier):
                    yield digest, self.aliases(name)

    # --- residues ---------------------------------------------------------------------------

    def fetch(
        self,
        identifier: str,
        start: int | None = None,
        end: int | None = None,
        *,
        clamp: bool = False,
    ) -> str:
        """Residues of one sequence, as ``Archive.fetch``; over the origin if any of the archives
        has it as circular."""
        archive, digest = self._find_for(identifier, start, end)
        return archive.fetch(f"sha512t24u:{digest}", start, end, clamp=clamp)

    def fetch_digest(self, digest: Digest, start: int | None = None, end: int | None = None) -> str:
        """Residues of the sequence with a sha512t24u digest."""
        return self.fetch(f"sha512t24u:{digest}", start, end)

    def fetch_many(
        self, requests: Iterable[tuple[str, int | None, int | None]], *, clamp: bool = False
    ) -> list[str]:
        """Residues of many ranges, in the order asked for; each archive reads its own together."""
        asked = [
            (*self._find_for(identifier, start, end), start, end)
            for identifier, start, end in requests
        ]
        found = [""] * len(asked)
        for archive in self.archives:
            numbers = [n for n, (holder, *_) in enumerate(asked) if holder is archive]
            ranges = [(f"sha512t24u:{asked[n][1]}", *asked[n][2:]) for n in numbers]
            for n, residues in zip(numbers, archive.fetch_many(ranges, clamp=clamp), strict=True):
                found[n] = residues
        return found

    def pieces(self, identifier: str, size: int = 1 << 20) -> Iterator[str]:
        """The residues of a sequence in pieces of bounded size."""
        archive, digest = self._find(identifier)
        return archive.pieces(f"sha512t24u:{digest}", size)

    def is_circular(self, identifier: str) -> bool:
        """Whether a sequence is marked as circular in any of the archives."""
        name, holders = self._holders(identifier)
        return any(archive.is_circular(name) for archive in holders)

    def collection(self, identifier: str) -> ArchivedCollection:
        """The collection of a digest or an alias, of the first archive that has it.

        Raises:
            NotFound: None has it.
        """
        for archive in self.archives[:-1]:
            with contextlib.suppress(NotFound):
                return archive.collection(identifier)
        return self.archives[-1].collection(identifier)

    def collections(self, **attributes: str) -> list[ArchivedCollection]:
        """The collections of all archives, each once; as ``ArchiveReader.collections``."""
        found: dict[Digest, ArchivedCollection] = {}
        for archive in self.archives:
            for one in archive.collections(**attributes):
                found.setdefault(one.digest, one)
        return list(found.values())

    def collection_page(
        self, attributes: Mapping[str, str], page: int, page_size: int
    ) -> tuple[list[Digest], int]:
        """Digests of some collections, and how many there are; as for one archive."""
        pages = [archive.collection_page(attributes, 0, EVERYTHING)[0] for archive in self.archives]
        found = list(dict.fromkeys(digest for one in pages for digest in one))
        return found[page * page_size : (page + 1) * page_size], len(found)

    def attribute_page(self, attribute: str, page: int, page_size: int) -> tuple[list[Digest], int]:
        """The different digests of an attribute, a page of them; as for one archive."""
        pages = [archive.attribute_page(attribute, 0, EVERYTHING)[0] for archive in self.archives]
        found = sorted({digest for one in pages for digest in one})
        return found[page * page_size : (page + 1) * page_size], len(found)

    def all_collection_aliases(self) -> list[tuple[Alias, Digest]]:
        """The aliases of collections and what they mean, sorted; of two meanings, that of the
        archive that comes first."""
        found: dict[Alias, Digest] = {}
        for archive in self.archives:
            for alias, digest in archive.all_collection_aliases():
                found.setdefault(alias, digest)
        return sorted(found.items())

    def committed(self) -> tuple[str, str] | None:
        """When the first batch of all was committed, and the last."""
        times = [one for archive in self.archives if (one := archive.committed()) is not None]
        return (min(a for a, _ in times), max(b for _, b in times)) if times else None

    # --- names ------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """Where they are read from."""
        return ", ".join(archive.address for archive in self.archives)

    def namespaces(self) -> list[str]:
        """The namespaces of aliases of sequences, sorted."""
        return sorted({name for archive in self.archives for name in archive.namespaces()})

    def _holders(self, identifier: str) -> tuple[str, list[ArchiveReader]]:
        """The name of a sequence by its digest, and all archives that have it."""
        name = f"sha512t24u:{self.find(identifier)}"
        return name, [archive for archive in self.archives if name in archive]

    def aliases(self, identifier: str) -> list[Alias]:
        """The current aliases of a sequence in all archives, sorted."""
        name, holders = self._holders(identifier)
        return sorted({alias for archive in holders for alias in archive.aliases(name)})

    def namespace(self, name: str) -> str:
        """A namespace that one of the archives has, in its canonical spelling.

        Raises:
            NotFound: There is none of that name.
        """
        for archive in self.archives:
            if archive.has_namespace(name):
                return archive.namespace(name)
        return self.archives[0].namespace(name)

    def all_aliases(
        self, namespace: str | None = None, pattern: str | None = None
    ) -> Iterator[tuple[Alias, Digest]]:
        """Current aliases and what they mean, sorted by alias; as ``ArchiveReader.all_aliases``.

        What all archives say is said once; what differs is there with each meaning.
        """
        if namespace is not None:
            namespace = self.namespace(namespace)
        rows = heapq.merge(
            *(
                archive.all_aliases(namespace, pattern)
                for archive in self.archives
                if namespace is None or archive.has_namespace(namespace)
            ),
            key=lambda row: (row[0].alias, row[0].namespace),
        )
        for _, same in groupby(rows, key=lambda row: row[0]):
            yield from dict.fromkeys(same)

    def translate_many(
        self, identifiers: Sequence[str], to: str | Sequence[str] | None = None
    ) -> list[tuple[str, list[str]]]:
        """Each identifier with its names, in the order given."""
        return [(identifier, self.translate(identifier, to)) for identifier in identifiers]

    def translate(self, identifier: str, to: str | Sequence[str] | None = None) -> list[str]:
        """All names of a sequence in all archives; those that follow from digests first."""
        name, holders = self._holders(identifier)
        return list(
            dict.fromkeys(one for archive in holders for one in archive.translate(name, to))
        )

    def metadata(self, identifier: str) -> dict[str, Any]:
        """As ``Archive.metadata`` of the first archive that has it, with the names of all."""
        archive, digest = self._find(identifier)
        found = archive.metadata(f"sha512t24u:{digest}")
        circular = self.is_circular(identifier)
        return {**found, "circular": circular, "aliases": self.translate(identifier)}


class Archives(Readers):
    """Archives that are read together, and of which the first is written."""

    def __init__(self, archives: Sequence[Archive]) -> None:
        super().__init__(archives)
        self.archives: tuple[Archive, ...] = tuple(archives)

    def load(
        self,
        files: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        namespace: str,
        *,
        on_conflict: str = "error",
        progress: Callable[[int], None] = lambda _n_bytes: None,
        **options: Any,
    ) -> LoadReport:
        """Load files into the first archive, as ``Archive.load``."""
        return self.archives[0].load(
            files, namespace, on_conflict=on_conflict, progress=progress, **options
        )

    def store(
        self, residues: str | bytes, aliases: Iterable[str | Alias], *, on_conflict: str = "error"
    ) -> Digest:
        """Store a sequence in the first archive, as ``Archive.store``."""
        return self.archives[0].store(residues, aliases, on_conflict=on_conflict)

    def __setitem__(self, key: str, residues: str | bytes) -> None:
        self.archives[0][key] = residues


def _is_in(aliases: list[Alias], namespace: str | None) -> bool:
    if namespace is None:
        return True
    return any(alias.namespace.lower() == namespace.lower() for alias in aliases)
