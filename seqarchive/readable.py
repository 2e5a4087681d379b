"""What can be read like an archive: an instance, a RefgetStore, several archives, a registry."""

from __future__ import annotations

from collections.abc import (
    Callable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    Sequence,
    ValuesView,
)
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

from .errors import Ambiguous, NotFound, ReadOnly
from .identifiers import Alias, Digest, split_range
from .seqcol.archived import NamedRecord
from .seqcol.digests import Member
from .sequences import ArchivedSequence

if TYPE_CHECKING:
    from typing_extensions import Self


T = TypeVar("T")


class Collection(Protocol):
    """A collection, wherever it is. What the methods do, ``ArchivedCollection`` says."""

    def __len__(self) -> int: ...

    @property
    def digest(self) -> str:
        """sha512t24u, without a prefix."""

    @property
    def n_residues(self) -> int:
        """Of all members."""

    @property
    def line_bases(self) -> int | None:
        """Residues of a line of its file; 0 for one line; None if nobody knows."""

    def records(self) -> Iterator[NamedRecord]:
        """Its members with their deflines."""

    def members(self) -> Iterator[Member]:
        """Its members."""

    def level1(self) -> dict[str, str]:
        """The digests of its attributes."""

    def level2(self) -> dict[str, Sequence[object]]:
        """Its attributes as arrays."""

    def aliases(self) -> list[Alias]:
        """Its names."""

    def fhr(self) -> dict[str, Any] | None:
        """What is said of it."""

    def metadata(self) -> dict[str, Any]:
        """What is known of it; ready for JSON."""


class CollectionView:
    """A collection as another one is; for those that know more of it than that one.

    Args:
        one: What it is.
    """

    def __init__(self, one: Collection) -> None:
        self._one = one

    def __repr__(self) -> str:
        return repr(self._one)

    def __len__(self) -> int:
        return len(self._one)

    @property
    def digest(self) -> str:
        """sha512t24u, without a prefix."""
        return self._one.digest

    @property
    def n_residues(self) -> int:
        """Of all members."""
        return self._one.n_residues

    @property
    def line_bases(self) -> int | None:
        """Residues of a line of its file; 0 for one line; None if nobody knows."""
        return self._one.line_bases

    def records(self) -> Iterator[NamedRecord]:
        """Its members with their deflines, in order."""
        return self._one.records()

    def members(self) -> Iterator[Member]:
        """Its members, in order."""
        return self._one.members()

    def level1(self) -> dict[str, str]:
        """The digests of its attributes."""
        return self._one.level1()

    def level2(self) -> dict[str, Sequence[object]]:
        """Its attributes as arrays."""
        return self._one.level2()

    def aliases(self) -> list[Alias]:
        """Its names, sorted."""
        return self._one.aliases()

    def fhr(self) -> dict[str, Any] | None:
        """What is said of it; None if nothing is."""
        return self._one.fhr()

    def metadata(self) -> dict[str, Any]:
        """What is known of it; ready for JSON."""
        return {**self._one.metadata(), "aliases": [str(alias) for alias in self.aliases()]}


class Opened:
    """What everything that is open for reading has in common: ``with``, ``in``, and that it is true
    however little there is in it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __bool__(self) -> bool:
        return True

    def __contains__(self, identifier: object) -> bool:
        if not isinstance(identifier, str):
            return False
        try:
            self.find(identifier)
        except NotFound:
            return False
        except Ambiguous:
            return True
        return True

    def close(self) -> None:
        """Close what is open; it is opened again when it is needed."""
        raise NotImplementedError

    def find(self, identifier: str) -> Digest:
        """The digest of the one sequence that an identifier stands for."""
        raise NotImplementedError

    def __getitem__(self, identifier: str) -> ArchivedSequence:
        raise NotImplementedError

    def get(self, identifier: str, default: T | None = None) -> ArchivedSequence | T | None:
        """A sequence, or something else where there is none.

        Raises:
            Ambiguous: The identifier stands for several.
        """
        try:
            return self[identifier]
        except NotFound:
            return default

    def keys(self) -> KeysView[str]:
        """The ``ga4gh:SQ.`` names of all sequences."""
        return KeysView(self)  # type: ignore[arg-type]  # all that it needs is there

    def values(self) -> ValuesView[ArchivedSequence]:
        """All sequences."""
        return ValuesView(self)  # type: ignore[arg-type]

    def items(self) -> ItemsView[str, ArchivedSequence]:
        """All sequences with their ``ga4gh:SQ.`` names."""
        return ItemsView(self)  # type: ignore[arg-type]

    def split(self, text: str) -> tuple[str, int | None, int | None]:
        """``ID`` or ``ID:START-END`` taken apart, unless it is found as it is.

        Raises:
            NotFound, Ambiguous: Of the ID.
        """
        return split_if_unknown(text, self.find)


def split_if_unknown(
    text: str, find: Callable[[str], Digest]
) -> tuple[str, int | None, int | None]:
    """``ID`` or ``ID:START-END`` taken apart, unless it is found as it is.

    Raises:
        NotFound, Ambiguous: Of the ID, by ``find``.
    """
    try:
        find(text)
    except NotFound:
        parts = split_range(text)
        if parts is None:
            raise
        name, interval = parts
        find(name)
        return name, interval.start, interval.end
    return text, None, None


class OnlyRead(Opened):
    """What is open and never written: a RefgetStore, a server."""

    kind: str
    """What it is, for messages."""
    advice: str
    """What to do with it among archives."""

    def fetch(
        self,
        identifier: str,
        start: int | None = None,
        end: int | None = None,
        *,
        clamp: bool = False,
    ) -> str:
        """Residues ``[start, end)`` of one sequence, 0-based."""
        raise NotImplementedError

    def fetch_many(
        self, requests: Iterable[tuple[str, int | None, int | None]], *, clamp: bool = False
    ) -> list[str]:
        """Residues of many ranges, ``(identifier, start, end)`` each, in the order asked for."""
        return [self.fetch(one, start, end, clamp=clamp) for one, start, end in requests]

    def translate(self, identifier: str, to: str | Sequence[str] | None = None) -> list[str]:
        """All names of a sequence."""
        raise NotImplementedError

    def translate_many(
        self, identifiers: Sequence[str], to: str | Sequence[str] | None = None
    ) -> list[tuple[str, list[str]]]:
        """Each identifier with its names, in the order given."""
        return [(identifier, self.translate(identifier, to)) for identifier in identifiers]

    def _refuse(self, *_arguments: object, **_options: object) -> NoReturn:
        raise ReadOnly(f"this is {self.kind}, which is read and never changes")

    load = store = name = retire = revert = snapshot = __setitem__ = _refuse


#: Of a page that has all there is; SQLite counts so far.
EVERYTHING = 1 << 40


class Readable(Protocol):
    """The reading half of an archive. What the methods do, ``ArchiveReader`` says."""

    @property
    def address(self) -> str:
        """Where it is read from."""

    def __contains__(self, identifier: object) -> bool: ...

    def __getitem__(self, identifier: str) -> ArchivedSequence: ...

    def __len__(self) -> int: ...

    def find(self, identifier: str) -> Digest:
        """The digest of a sequence."""

    def fetch_digest(self, digest: Digest, start: int | None = None, end: int | None = None) -> str:
        """Residues of a sequence."""

    def is_circular(self, identifier: str) -> bool:
        """Whether a sequence is a circular molecule."""

    def aliases(self, identifier: str) -> list[Alias]:
        """The aliases of a sequence."""

    def translate(self, identifier: str, to: str | Sequence[str] | None = None) -> list[str]:
        """All names of a sequence."""

    def metadata(self, identifier: str) -> dict[str, Any]:
        """What is known of a sequence; ready for JSON."""

    def namespaces(self) -> list[str]:
        """The namespaces of aliases of sequences."""

    def all_aliases(
        self, namespace: str | None = None, pattern: str | None = None
    ) -> Iterator[tuple[Alias, Digest]]:
        """Aliases of sequences and what they mean."""

    def collection(self, identifier: str) -> Collection:
        """The collection of a digest or an alias."""

    def collections(self, **attributes: str) -> Sequence[Collection]:
        """The collections, or those with certain attributes."""

    def collection_page(
        self, attributes: Mapping[str, str], page: int, page_size: int
    ) -> tuple[list[Digest], int]:
        """Digests of some collections, and how many there are."""

    def attribute_page(self, attribute: str, page: int, page_size: int) -> tuple[list[Digest], int]:
        """Some of the digests of an attribute, and how many there are."""

    def all_collection_aliases(self) -> Iterable[tuple[Alias, Digest]]:
        """The aliases of collections and what they mean."""

    def committed(self) -> tuple[str, str] | None:
        """When it was made, and when it was last changed."""

    def close(self) -> None:
        """Close what is open; it is opened again when it is needed."""
