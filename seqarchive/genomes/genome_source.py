"""What a source of genomes is, whatever it is; ``sources`` finds out which.

What any of them says is hostile until it was checked: a collection is the one whose digest its
members have, a sequence the one whose digest its residues have; nothing that came over a network
becomes a path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from ..errors import Ambiguous, DigestMismatch, SourceError
from ..identifiers import Digest, parse_digest
from ..readable import Collection
from ..rgstore.parsing import is_digest
from ..seqcol.digests import digests_of
from .listed import Stored

#: Seconds before the second and the third attempt, while somebody waits for some residues.
SHORTLY = (0.2, 1.0)

#: Bytes of what a server says of itself or of a name.
MAX_SAID = 4 << 20

#: Residues that are fetched whole, so that their digest says that they are right.
SMALL = 1 << 16


class Listed(NamedTuple):
    """A collection that a source has."""

    digest: Digest
    n_sequences: int | None
    """None if the source does not say."""
    names: tuple[str, ...]
    """``namespace:alias``, or the alias alone."""


class GenomeSource(Protocol):
    """A source of genomes. Nothing is asked before it is needed.

    Raises (all methods): SourceError: It cannot be asked. Corrupt: What it has is damaged.
    """

    @property
    def kind(self) -> str:
        """``store``, ``archive`` or ``server``."""

    @property
    def url(self) -> str:
        """The address that was given."""

    @property
    def address(self) -> str:
        """Where residues come from, which may be elsewhere."""

    def collection(self, identifier: str, namespace: str | None = None) -> Collection:
        """The collection of a digest or of an alias, in every namespace if none is given.

        Raises:
            NotFound: There is none. Ambiguous: Several; lists their names.
        """

    def listed(self) -> Iterator[Listed]:
        """All collections."""

    def giving(self, collection: Collection, /) -> GenomeSource:
        """The source that gives the residues of a collection of this one, and whose the other
        methods are to be asked of it: itself, or one beside it."""

    def members(self, collection: Collection) -> list[Stored]:
        """The members of a collection, with all that is needed to fetch them later.

        Raises:
            DigestMismatch: They are not those of the digest of the collection.
        """

    def access(self) -> dict[str, str]:
        """What else is needed for that."""

    def is_whole(self, member: Stored, start: int, end: int) -> bool:
        """Whether these residues are worth the whole sequence."""

    def fetch(self, member: Stored, start: int, end: int) -> bytes:
        """The residues ``[start, end)``; just these are asked for.

        Raises:
            NoRanges: There is no part to be had without the whole.
        """

    def pieces(self, member: Stored) -> Iterator[bytes]:
        """All residues, piece by piece; the caller checks their digest."""

    def close(self) -> None:
        """Let go of connections. They are made again when they are needed."""


#: What would be more than a name on a terminal or in a FASTA file.
_CONTROL = re.compile("[\x00-\x1f\x7f]")


def require_same(members: list[Stored], digest: str, where: str) -> list[Stored]:
    """The members, if they are those of the digest of a collection."""
    for one in members:
        if _CONTROL.search(one.name + one.description):
            raise SourceError(f"{where}: a name of {digest} has control characters ({one.name!r})")
    try:
        found = digests_of(one.member for one in members).digest
    except UnicodeError:  # half of a surrogate pair, which no file can have
        raise SourceError(f"{where}: a name of {digest} is no text") from None
    if found != digest:
        raise DigestMismatch(f"{where}: the members of {digest} are those of {found}")
    return members


def named(digest: Digest, n_sequences: int | None, names: Iterable[str]) -> Listed:
    """A collection with such of its names as can be shown."""
    return Listed(
        digest, n_sequences, tuple(one for one in dict.fromkeys(names) if one.isprintable())
    )


def digest_in(identifier: str) -> Digest | None:
    """The digest of a collection, if an identifier is one."""
    bare = identifier.removeprefix("ga4gh:").removeprefix("SQ.")
    return parse_digest(bare) if is_digest(bare) else None


def ambiguous(name: str, found: list[str]) -> Ambiguous:
    """The error of a name of several collections."""
    return Ambiguous(
        f"{name!r} stands for several collections: {', '.join(found[:8])}; say which namespace",
        found,
    )
