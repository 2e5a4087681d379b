"""The door to genomes: by name, in local mode or in server mode."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import Ambiguous, NotFound
from .genome import Genome
from .local import LocalMode
from .loci import Locus

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from typing_extensions import Self


class Names(Protocol):
    """What genomes are called."""

    def resolve(self, name: str) -> Any:
        """What a name means."""


class Mode(Protocol):
    """Where genomes are kept, and what they are called."""

    @property
    def aliases(self) -> Names:
        """Their names."""

    def find(self, name: str) -> Genome:
        """The genome of a name or of a digest."""

    def genomes(self) -> list[Genome]:
        """All of them."""

    def close(self) -> None:
        """Close what is open."""


class Genomes:
    """Genomes by their names; as a mapping, ``genomes["hg38"]["chr1"][0:1000]``.

    Args:
        mode: Where they are kept.
    """

    def __init__(self, mode: Mode) -> None:
        self.mode = mode

    @classmethod
    def local(cls, folder: str | os.PathLike[str]) -> Self:
        """Those of a folder, which need not be there yet."""
        return cls(LocalMode(folder))

    @classmethod
    def server(
        cls,
        store_url: str | None = None,
        database: str | Mapping[str, str] | Engine | None = None,
        **options: Any,
    ) -> Self:
        """Those of stores and of a registry that others keep; only to be read.

        Args:
            store_url: Of a RefgetStore, if there is one.
            database: Of a registry; as for ``ServerMode``.
            options: Of ``ServerMode``.
        """
        from .server import ServerMode  # noqa: PLC0415  (needs an optional extra)

        return cls(ServerMode(store_url, database=database, **options))

    def __repr__(self) -> str:
        return f"<seqarchive.Genomes {self.mode!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open; it is opened again when it is needed."""
        self.mode.close()

    @property
    def aliases(self) -> Names:
        """What genomes are called: a ``StoreAliasManager``, or that of a server."""
        return self.mode.aliases

    def __getitem__(self, name: str) -> Genome:
        """A genome by a name or by its digest.

        Raises:
            NotFound: There is none. Ambiguous: The name means several collections. Both are
                ``KeyError``.
        """
        if not isinstance(name, str):
            raise NotFound(f"there is no genome {name!r}: genomes have texts for names")
        return self.mode.find(name)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        try:
            self.mode.find(name)
        except NotFound:
            return False
        except Ambiguous:
            return True
        return True

    def __iter__(self) -> Iterator[str]:
        """The first names of all genomes, sorted."""
        return (genome.name for genome in self.mode.genomes())

    def __len__(self) -> int:
        return len(self.mode.genomes())

    def __bool__(self) -> bool:
        return True

    def getseq(self, name: str, locus: str | Locus) -> str:
        """The residues of a locus, 0-based and half-open; as ``Genome.getseq``."""
        return self[name].getseq(locus)

    def getseqs(self, name: str, loci: Iterable[str | Locus]) -> list[str]:
        """Those of many loci of one genome, in the order asked for."""
        genome = self[name]
        return [genome.getseq(locus) for locus in loci]
