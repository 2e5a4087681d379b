"""Genomes that come from a server of collections and sequences."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from ..errors import Ambiguous, BadInput, DigestMismatch, NotFound, SourceError
from ..identifiers import Alias, Digest, check_alias, parse_digest
from ..readable import Collection
from ..rgstore.parsing import is_digest
from ..seqcol.comparing import members_in, parse_level2
from ..sources import shown
from ..sources.base import Denied, Refused, persistently
from ..sources.opening import open_source
from .genome_source import (
    MAX_SAID,
    SHORTLY,
    SMALL,
    Listed,
    ambiguous,
    digest_in,
    named,
    require_same,
)
from .listed import ListedCollection, Stored

if TYPE_CHECKING:
    from ..sources.http import HttpSource

#: Bytes of a collection.
_MAX_COLLECTION = 512 << 20

#: Collections or names on one page, and of all pages.
_PAGE, _MOST = 1000, 1_000_000

#: Namespaces of a server in which a name is looked up.
_NAMESPACES = 200


class ServerSource:
    """A server of collections that gives residues itself.

    Args:
        base: Below which collections are.
        residues: Below which ``sequence/`` is; None if there is none.
        url: What was asked for; the base if None.
    """

    kind = "server"

    def __init__(
        self,
        base: str,
        residues: str | None,
        *,
        url: str | None = None,
        delays: tuple[float, ...] = SHORTLY,
    ) -> None:
        self.url = base if url is None else url
        self._delays = delays
        self._names = _web_server(base)
        # Where collections are below /seqcol, as refgenie has it, genomes may be beside it.
        self._beside = (
            _web_server(base.removesuffix("/seqcol")) if base.endswith("/seqcol") else None
        )
        self._residues = None if residues is None else _web_server(residues)
        self.address = self._names.address if self._residues is None else self._residues.address

    def _asked(self, path: str, max_bytes: int = MAX_SAID, **query: str | int) -> bytes:
        try:
            return persistently(lambda: self._names.answer(path, max_bytes, query), self._delays)
        except NotFound:
            beside = self._beside
            if beside is None or not path.startswith("v4/"):
                raise
        return persistently(lambda: beside.answer(path, max_bytes, query), self._delays)

    def _object(self, path: str, max_bytes: int = MAX_SAID) -> dict[str, Any]:
        where = f"{self._names.address}/{path}"
        found = _json(self._asked(path, max_bytes), where)
        if not isinstance(found, dict):
            raise SourceError(f"{where}: not a JSON object")
        return found

    # --- collections --------------------------------------------------------------------------

    def collection(self, identifier: str, namespace: str | None = None) -> Collection:
        """A collection by its digest or an alias."""
        digest = digest_in(identifier) if namespace is None else None
        if digest is not None:
            try:
                return self._collection(digest)
            except NotFound:  # a name can look like a digest
                pass
        if namespace is None and ":" not in identifier:
            document = self._genome(identifier)
            if document is not None:
                return self._described(document)
        return self._collection(self.resolve(identifier, namespace))

    def _collection(self, digest: Digest) -> ListedCollection:
        path = f"collection/{digest}"
        where = f"{self._names.address}/{path}"
        data = self._asked(path, _MAX_COLLECTION, level=2)
        members = require_same(_level2(_json(data, where), where), digest, where)
        return ListedCollection(digest, members, self._aliases(digest), self._fhr(digest))

    def _described(self, document: dict[str, Any]) -> ListedCollection:
        """The collection in an answer about a genome, if all of it is there."""
        digest = self._digest_in(document, "v4/aliases")
        where, fhr = f"{self._names.address}/v4/aliases", document.get("fhr")
        try:
            members = require_same(_level2(document.get("collection"), where), digest, where)
        except (SourceError, DigestMismatch):
            return self._collection(digest)
        said = fhr if isinstance(fhr, dict) else None
        return ListedCollection(digest, members, self._aliases(digest), said)

    def _fhr(self, digest: Digest) -> dict[str, Any] | None:
        try:
            return self._object(f"collection/{digest}/fhr")
        except (NotFound, Denied, Refused):
            return None

    def _aliases(self, digest: Digest) -> list[Alias]:
        path = f"aliases/collection/{digest}"
        try:
            found = _json(self._asked(path), path)
        except (NotFound, Denied, Refused):
            return []
        pairs = found if isinstance(found, list) else []
        return sorted(
            Alias(*pair)
            for pair in pairs
            if isinstance(pair, list)
            and len(pair) == 2
            and all(isinstance(text, str) and text.isprintable() for text in pair)
        )

    def resolve(self, identifier: str, namespace: str | None = None) -> Digest:
        """The digest of the collection that an alias means.

        Raises:
            NotFound: None. Ambiguous: Several, in different namespaces.
        """
        if namespace is None and ":" in identifier:
            namespace, _, bare = identifier.partition(":")
            try:
                return self._meaning(namespace, bare)
            except NotFound:
                namespace = None
        if namespace is not None:
            return self._meaning(namespace, identifier)
        document = self._genome(identifier)
        if document is not None:
            return self._digest_in(document, "v4/aliases")
        return self._anywhere(identifier)

    def _genome(self, alias: str) -> dict[str, Any] | None:
        """What the server has of a genome by this name; None if it has no such list, or genome."""
        try:
            return self._object(f"v4/aliases/{check_alias(alias)}", _MAX_COLLECTION)
        except NotFound:
            return None
        except Refused as error:
            if error.status != 409:
                raise
            self._anywhere(alias)  # which lists what it means
            raise Ambiguous(
                f"{self._names.address}: {alias!r} stands for several genomes; give a digest"
            ) from None

    def _meaning(self, namespace: str, alias: str) -> Digest:
        check_alias(namespace)
        return self._digest(f"alias/collection/{namespace}/{check_alias(alias)}")

    def _digest(self, path: str) -> Digest:
        try:
            return self._digest_in(self._object(path), path)
        except NotFound:
            alias = path.rpartition("/")[2]
            raise NotFound(f"{self._names.address} has no genome {alias!r}") from None

    def _digest_in(self, document: dict[str, Any], path: str) -> Digest:
        found = document.get("digest")
        if not isinstance(found, str) or not is_digest(found):
            raise SourceError(f"{self._names.address}/{path}: the digest is {found!r:.60}")
        return parse_digest(found)

    def _anywhere(self, alias: str) -> Digest:
        found: dict[Digest, str] = {}
        for namespace in self._namespaces():
            try:
                found.setdefault(self._meaning(namespace, alias), f"{namespace}:{alias}")
            except NotFound:
                continue
        if not found:
            raise NotFound(f"{self._names.address} has no genome {alias!r}")
        if len(found) > 1:
            raise ambiguous(alias, [f"{name} ({digest})" for digest, name in found.items()])
        return next(iter(found))

    def _namespaces(self) -> list[str]:
        try:
            found = _json(self._asked("list/alias/collection"), "list/alias/collection")
        except (NotFound, Denied, Refused):
            return []
        names = found.get("results", []) if isinstance(found, dict) else found
        if not isinstance(names, list):
            return []
        printable = [one for one in names if isinstance(one, str) and one.isprintable() and one]
        return printable[:_NAMESPACES]

    # --- lists --------------------------------------------------------------------------------

    def listed(self) -> Iterator[Listed]:
        """All collections; how many members they have, the lists of servers do not say."""
        names: dict[str, list[str]] = {}
        for name, digest in self.names():
            names.setdefault(digest, []).append(name)
        for one in self.digests():
            yield named(one, None, names.get(one, ()))

    def digests(self) -> Iterator[Digest]:
        """Those of all collections."""
        seen: set[Digest] = set()
        for page in range(_MOST):
            where = f"{self._names.address}/list/collection"
            data = self._asked("list/collection", _MAX_COLLECTION, page=page, page_size=_PAGE)
            found = _json(data, where)
            rows = found.get("results") if isinstance(found, dict) else None
            if not isinstance(rows, list) or len(rows) > _MOST:
                raise SourceError(f"{where}: not a page of collections")
            digests = [parse_digest(one) for one in map(_digest_of_row, rows) if one]
            if len(digests) != len(rows):
                raise SourceError(f"{where}: not all of it are digests")
            new = [one for one in dict.fromkeys(digests) if one not in seen]
            yield from new
            seen.update(new)
            if not new or len(seen) >= min(_total(found), _MOST):
                return

    def names(self) -> Iterator[tuple[str, str]]:
        """Names of genomes and what they mean, as far as the server lists them."""
        offset = 0
        while offset < _MOST:
            try:
                data = self._asked("v4/aliases", _MAX_COLLECTION, offset=offset, limit=_PAGE)
                found = _json(data, "v4/aliases")
            except (NotFound, Denied, Refused, SourceError):
                return
            items = found.get("items") if isinstance(found, dict) else None
            if not isinstance(items, list) or not items:
                return
            for item in items:
                row = item if isinstance(item, dict) else {}
                name, digest = row.get("name"), row.get("genome_digest")
                if isinstance(name, str) and isinstance(digest, str):
                    namespace = row.get("namespace")
                    yield (f"{namespace}:{name}" if isinstance(namespace, str) else name), digest
            offset += len(items)
            if offset >= _total(found):
                return

    # --- residues -----------------------------------------------------------------------------

    def members(self, collection: Collection) -> list[Stored]:
        """The members of a collection, which were checked when it came."""
        found = [Stored(one.name, "", one.length, one.digest, "") for one in collection.members()]
        return require_same(found, collection.digest, self.address)

    def giving(self, _collection: Collection) -> ServerSource:
        """Itself."""
        return self

    def access(self) -> dict[str, str]:
        """Where the residues are."""
        return {"residues": self.address}

    def is_whole(self, member: Stored, start: int, end: int) -> bool:
        """What is small, and what is asked for whole."""
        return member.length <= SMALL or end - start == member.length

    def _sequences(self) -> HttpSource:
        if self._residues is None:
            raise SourceError(f"{self.url} gives no residues, and names no store that has them")
        return self._residues

    def fetch(self, member: Stored, start: int, end: int) -> bytes:
        """Residues, which are as many bytes."""
        source, path, length = self._sequences(), f"sequence/SQ.{member.digest}", member.length
        if end - start < length:
            return persistently(lambda: source.read_range(path, start, end, length), self._delays)
        found = persistently(lambda: source.read(path, length), self._delays)
        if len(found) != length:
            raise SourceError(
                f"{source.address}/{path} has {len(found):,} residues, not {length:,}"
            )
        return found

    def pieces(self, member: Stored) -> Iterator[bytes]:
        """All residues."""
        with self._sequences().stream(f"sequence/SQ.{member.digest}") as (_, chunks):
            yield from chunks

    def close(self) -> None:
        """Close the connections."""
        self._names.close()
        if self._beside is not None:
            self._beside.close()
        if self._residues is not None:
            self._residues.close()


def _web_server(address: str) -> HttpSource:
    if not address.lower().startswith(("http://", "https://")):
        raise SourceError(f"{shown(address)!r} is not the address of a web server")
    return cast("HttpSource", open_source(address))


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _json(data: bytes, where: str) -> Any:
    try:
        return json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise SourceError(f"{where}: the answer is not JSON") from None


def _level2(found: object, where: str) -> list[Stored]:
    """The members of a collection at level 2."""
    try:
        if not isinstance(found, dict):
            raise BadInput("not a collection at level 2")
        needed = {name: found.get(name) for name in ("names", "lengths", "sequences")}
        members = members_in(parse_level2(json.dumps(needed).encode(), where), where)
    except BadInput as error:
        raise SourceError(f"{where}: {error.message}") from None
    return [Stored(one.name, "", one.length, one.digest, "") for one in members]


def _digest_of_row(row: object) -> str:
    """The digest in a row of a list of collections, which is the row or in it."""
    found = row.get("digest") if isinstance(row, dict) else row
    return found if isinstance(found, str) and is_digest(found) else ""


def _total(found: object) -> int:
    """How many there are, of what an answer is one page; without a word of it, that was all."""
    pages = found.get("pagination") if isinstance(found, dict) else None
    total = pages.get("total") if isinstance(pages, dict) else None
    return total if type(total) is int else 0
