"""The genomes of whatever is read like an archive: a folder, a release, a RefgetStore.

A genome is a collection with an alias in the namespace ``refgenie``, or one that is elsewhere (see
``remote``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import NotFound
from ..identifiers import Digest
from ..namespaces import GENOMES
from ..readable import Collection, Readable
from .genome import Genome, meanings_in, names_in
from .opening import make_source
from .remote import RemoteGenome, RemoteGenomes

if TYPE_CHECKING:
    from .genome_source import Listed

_NEAR = 3


def remotes_of(folder: Path) -> RemoteGenomes:
    """The genomes of a folder that are elsewhere."""
    return RemoteGenomes(folder / "genomes")


class ReadMode:
    """Genomes that are only read.

    Args:
        archive: Open for reading, and closed with this; None if there is none.
        remote: Genomes that are elsewhere.
    """

    def __init__(self, archive: Readable | None, remote: RemoteGenomes | None = None) -> None:
        self._archive = archive
        self._remote = remote
        self.aliases = GenomeAliases(self)

    def __repr__(self) -> str:
        where = "" if self._archive is None else f" {self._archive.address}"
        return f"<seqarchive.ReadMode{where}>"

    @property
    def archive(self) -> Readable | None:
        """What is read; None if there is nothing yet."""
        return self._archive

    def close(self) -> None:
        """Close what is open; it is opened again when it is needed."""
        if self._archive is not None:
            self._archive.close()

    def elsewhere(self) -> Sequence[RemoteGenome]:
        """The genomes that are elsewhere."""
        return () if self._remote is None else self._remote.list()

    def browse(self, url: str) -> Iterator[Listed]:
        """The collections that somebody else has; raises as ``make_source``."""
        cache = None if self._remote is None else self._remote.cache
        return make_source(url, cache=cache).listed()

    # --- one of them ------------------------------------------------------------------------------

    def find(self, name: str) -> Genome:
        """The genome of a name or of a digest.

        A name of a genome counts first; then any name of a collection, with its namespace or
        without.

        Raises:
            NotFound: There is none; the message has the names that are near. Ambiguous: A name of
                several collections.
        """
        return self._as_genome(self._find(name), name)

    def _as_genome(self, found: Collection | RemoteGenome, asked: str) -> Genome:
        if isinstance(found, RemoteGenome):
            return self._remote_genome(found, asked.removeprefix(f"{GENOMES}:"))
        archive = self.archive
        assert archive is not None
        return self._genome(archive, found, asked)

    def _find(self, name: str) -> Collection | RemoteGenome:
        here = self._here(f"{GENOMES}:{name.removeprefix(f'{GENOMES}:')}")
        if here is not None:
            return here
        if self._remote is not None:
            with suppress(NotFound):
                return self._remote.find(name)
        here = self._here(name)
        if here is None:
            raise NotFound(f"there is no genome {name!r}{self._near(name)}")
        return here

    def _here(self, identifier: str) -> Collection | None:
        """A collection of the archive."""
        archive = self.archive
        if archive is None:
            return None
        try:
            return archive.collection(identifier)
        except NotFound:
            return None

    def _near(self, name: str) -> str:
        near = get_close_matches(name, self.aliases.names(), _NEAR)
        return f"; there is {', '.join(near)}" if near else ""

    def _genome(self, archive: Readable, collection: Collection, asked: str = "") -> Genome:
        """A collection as a genome; first of its names is the one that was asked for."""
        names = [one.alias for one in collection.aliases() if one.namespace == GENOMES]
        names.sort(key=lambda name: name != asked.removeprefix(f"{GENOMES}:"))
        return Genome(
            names,
            collection,
            archive,
            meanings=partial(meanings_in, archive),
            is_circular=lambda digest: archive.is_circular(f"sha512t24u:{digest}"),
        )

    def _remote_genome(self, remote: RemoteGenome, asked: str = "") -> Genome:
        names = sorted(remote.names, key=lambda name: name != asked)
        return Genome(
            names,
            remote.collection,
            remote,
            meanings=partial(meanings_in, self.archive),
            source=remote.url,
        )

    # --- all of them ------------------------------------------------------------------------------

    def genomes(self) -> list[Genome]:
        """All genomes, by their first names."""
        archive, found = self.archive, []
        for digest in dict.fromkeys(self.aliases.here().values()):
            collection = self._here(digest)
            if archive is not None and collection is not None:  # a store may name what it lacks
                found.append(self._genome(archive, collection))
        here = {genome.digest for genome in found}
        found += [self._remote_genome(one) for one in self.elsewhere() if one.digest not in here]
        return sorted(found, key=lambda genome: genome.name)


class GenomeAliases:
    """The names of genomes."""

    def __init__(self, mode: ReadMode) -> None:
        self._mode = mode

    def here(self) -> dict[str, Digest]:
        """The names of genomes in the archive, and the digests that they mean, sorted."""
        return names_in(self._mode.archive)

    def elsewhere(self) -> dict[str, Digest]:
        """The same of remote genomes."""
        return {name: one.digest for one in self._mode.elsewhere() for name in one.names}

    def all(self) -> dict[str, Digest]:
        """All names and the digests that they mean, sorted."""
        return dict(sorted({**self.elsewhere(), **self.here()}.items()))

    def names(self) -> list[str]:
        """All names, sorted."""
        return list(self.all())

    def resolve(self, name: str) -> str | None:
        """The digest of the genome that a name means; None if it means none."""
        try:
            return self._mode.find(name).digest
        except NotFound:
            return None

    def get(self, identifier: str) -> list[str]:
        """The names of a genome.

        Raises:
            NotFound: There is no such genome.
        """
        return list(self._mode.find(identifier).names)
