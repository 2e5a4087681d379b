"""Servers of sequences, read like an archive: SeqRepo's REST service, refget servers, and ours.

A server is asked for one sequence at a time, by any name that it knows. It says the digest, the
length and the other names; residues that come whole are checked against the digest, parts for
their length alone, as no digest can confirm them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol, cast

from .errors import Ambiguous, BadInterval, BadName, DigestMismatch, NotFound, SourceError
from .forks import ForkLock
from .identifiers import (
    Alias,
    Digest,
    DigestKey,
    Key,
    StoredDigests,
    bare_keys,
    check_interval,
    computed_names,
    digest_of,
    digest_text,
    parse_alias,
    qualified_key,
)
from .namespaces import canonical
from .readable import OnlyRead
from .sequences import ArchivedSequence
from .sources import SEQREPO, shown
from .sources.base import Denied, Refused, persistently
from .sources.opening import open_source

if TYPE_CHECKING:
    from .sources.http import HttpSource

#: Bytes of what is said of a sequence: some have many names.
_MAX_SAID = 16 << 20

#: Residues of a sequence at most; as many as an archive has.
_MOST = 1 << 40

#: Sequences that are remembered, by what they were asked for.
_REMEMBERED = 10_000

#: How servers say that a name means several sequences: refget and ours, and SeqRepo's service.
_AMBIGUOUS = (300, 409, 422)


class _Known(NamedTuple):
    """What a server says of a sequence."""

    digests: StoredDigests
    length: int
    names: list[Alias]
    """Those that do not follow from the residues."""
    is_circular: bool
    said: dict[str, Any]
    """What else there is to pass on: ``added``, ``alphabet``."""

    @property
    def digest(self) -> Digest:
        return digest_text(self.digests.digest)


class _Interface(Protocol):
    """How a kind of server is asked."""

    kind: str
    server: HttpSource

    def spellings(self, identifier: str) -> list[str]:
        """How to ask for what an identifier may mean."""

    def known(self, identifier: str) -> _Known:
        """What is said of a sequence. NotFound, Refused: as the server answers."""

    def path_of(self, known: _Known) -> str:
        """Where its residues are."""


class _SeqRepoRest:
    """SeqRepo's REST interface.

    Args:
        base: What is before ``/metadata``.
    """

    kind = "a SeqRepo REST service"

    def __init__(self, base: str) -> None:
        self.server = _web_server(base)

    def spellings(self, identifier: str) -> list[str]:
        """How to ask for it: SeqRepo's own service knows no digests without their namespaces."""
        keys = [key for key in _keys(identifier) if isinstance(key, DigestKey)]
        digests = (f"ga4gh:SQ.{digest_text(one.value)}" for one in keys if one.column == "digest")
        md5s = (f"MD5:{one.value.hex()}" for one in keys if one.column == "md5")
        return list(dict.fromkeys((identifier, *digests, *md5s)))

    def known(self, identifier: str) -> _Known:
        """What is said of a sequence."""
        where = f"metadata/{identifier}"
        document = _object(self.server, where)
        listed = document.get("aliases")
        texts = [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []
        said: dict[str, Any] = {}
        said.update((name, document.get(name)) for name in ("added", "alphabet"))
        return _known(document, texts, said, f"{self.server.address}/{where}")

    def path_of(self, known: _Known) -> str:
        """Where its residues are."""
        return f"sequence/ga4gh:SQ.{known.digest}"


class _Refget:
    """The GA4GH standard, of either version.

    Args:
        base: What is before ``/sequence``.
    """

    kind = "a refget server"

    def __init__(self, base: str) -> None:
        self.server = _web_server(base)
        self._is_old = "refget" not in _object(self.server, "sequence/service-info")

    def spellings(self, identifier: str) -> list[str]:
        """How to ask for it: digests come first, as few servers know anything else."""
        keys = [key for key in _keys(identifier) if isinstance(key, DigestKey)]
        digests = (self._spelled(one.value) for one in keys if one.column == "digest")
        md5s = (one.value.hex() for one in keys if one.column == "md5")
        return list(dict.fromkeys((*digests, *md5s, identifier)))

    def _spelled(self, digest: bytes) -> str:
        """Version 1 knows no other digests than those in hexadecimal."""
        return digest.hex() if self._is_old else f"SQ.{digest_text(digest)}"

    def known(self, identifier: str) -> _Known:
        """What is said of a sequence."""
        where = f"sequence/{identifier}/metadata"
        found = _object(self.server, where).get("metadata")
        document = found if isinstance(found, dict) else {}
        return _known(document, _names_in(document), {}, f"{self.server.address}/{where}")

    def path_of(self, known: _Known) -> str:
        """Where its residues are."""
        return f"sequence/{self._spelled(known.digests.digest)}"


def _names_in(document: dict[str, Any]) -> list[str]:
    """The names and digests in what a refget server says, as ``namespace:alias``."""
    found = [f"{name}:{document.get(name)}" for name in ("md5", "trunc512")]
    found.append(f"ga4gh:{str(document.get('ga4gh')).removeprefix('ga4gh:')}")
    listed = document.get("aliases")
    for one in listed if isinstance(listed, list) else []:
        if isinstance(one, dict):
            found.append(f"{one.get('naming_authority')}:{one.get('alias')}")
    return found


def _known(
    document: dict[str, Any], texts: Iterable[str], said: dict[str, Any], where: str
) -> _Known:
    """What a server says of a sequence, from the names in it.

    Raises:
        SourceError: Not its digest and its length.
    """
    digests: dict[str, bytes] = {}
    names = set()
    for text in texts:
        key = qualified_key(text)
        if isinstance(key, DigestKey):
            digests.setdefault(key.column, key.value)
        elif key is not None:
            with suppress(BadName):
                names.add(parse_alias(text))
    length = document.get("length")
    if "digest" not in digests or type(length) is not int or not 0 <= length < _MOST:
        raise SourceError(f"{where}: it does not say the digest and the length of the sequence")
    stored = StoredDigests(*(digests.get(name, b"") for name in StoredDigests._fields))
    return _Known(stored, length, sorted(names), document.get("circular") is True, said)


def open_service(address: str) -> SequenceServer:
    """Open what answers at an address.

    Args:
        address: ``http(s)://``; of ours, of what is before ``/seqrepo/1``, that itself, or as
            vrs-python has it: ``seqrepo+http://localhost:5000/seqrepo``; or what is before
            ``/sequence`` of a refget server.

    Raises:
        NotFound: It is no server of sequences. SourceError: The network or the server failed.
    """
    url = address.rstrip("/")
    plain = url.removeprefix(SEQREPO)
    if not plain.lower().startswith(("http://", "https://")):
        raise NotFound(f"{plain}: no server of sequences")
    if plain.endswith("/seqrepo/1"):
        base = plain
    elif url != plain or plain.endswith("/seqrepo"):
        base = f"{plain}/1"
    else:
        with suppress(NotFound, Denied, Refused):  # it says more of a sequence
            return SequenceServer(address, _Refget(plain))
        base = f"{plain}/seqrepo/1"
    seqrepo = _SeqRepoRest(base)
    with suppress(NotFound, Denied, Refused):
        if "dependencies" in _object(seqrepo.server, "ping"):
            return SequenceServer(address, seqrepo)
    raise NotFound(f"{shown(plain)}: no server of sequences")


class SequenceServer(OnlyRead):
    """A server of sequences: what ``connect`` gives of one. It answers like an archive as far as a
    server does, one sequence at a time; what it has in all, nobody can ask it.

    Args:
        given: The address that ``connect`` was given.
    """

    advice = "`seqarchive pull` gets a release of it, if it has any"

    def __init__(self, given: str, interface: _Interface) -> None:
        self._given = given
        self._interface = interface
        self.kind = interface.kind
        self._lock = ForkLock()
        self._lengths: dict[Digest, _Known] = {}  # which does not change, unlike names

    def __reduce__(self) -> tuple[Any, ...]:
        return open_service, (self._given,)

    def __repr__(self) -> str:
        return f"<seqarchive.SequenceServer {self.address}>"

    @property
    def address(self) -> str:
        """The URL."""
        return self._interface.server.address

    def close(self) -> None:
        """Close the connections. They are made again when they are needed."""
        self._interface.server.close()

    def _locate(self, identifier: str) -> _Known:
        """What an identifier means now; what it is called, the server may say otherwise later."""
        found = self._found(identifier)
        with self._lock:
            if len(self._lengths) >= _REMEMBERED:
                self._lengths.clear()
            self._lengths[found.digest] = found
        return found

    def _found(self, identifier: str) -> _Known:
        nothing = NotFound(f"{identifier!r} is not at {self.address}")
        is_path = not {".", ".."} & set(identifier.split("/"))
        if not identifier or not identifier.isprintable() or not is_path:
            raise nothing
        for spelling in self._interface.spellings(identifier):
            try:
                found = self._interface.known(spelling)
            except NotFound:
                continue
            except Refused as error:
                if error.status not in _AMBIGUOUS:
                    raise
                raise Ambiguous(
                    f"{identifier!r} stands for several sequences at {self.address}; say which "
                    "namespace",
                    [],
                ) from None
            # There are servers that answer for the beginning of a digest.
            if _is_meant(identifier, found):
                return found
        raise nothing

    def find(self, identifier: str) -> Digest:
        """The digest of the one sequence that an identifier stands for.

        Raises:
            NotFound, Ambiguous: As they say. SourceError: The network or the server failed.
        """
        return self._locate(identifier).digest

    def is_circular(self, identifier: str) -> bool:
        """Whether the server says that it is a circular molecule; SeqRepo's services never do."""
        return self._locate(identifier).is_circular

    def __getitem__(self, identifier: str) -> ArchivedSequence:
        found = self._locate(identifier)
        return ArchivedSequence(self, identifier, found.digest, found.length)

    # --- residues -----------------------------------------------------------------------------

    def fetch(
        self,
        identifier: str,
        start: int | None = None,
        end: int | None = None,
        *,
        clamp: bool = False,
    ) -> str:
        """Residues ``[start, end)`` of one sequence, 0-based; as for an archive.

        Raises:
            NotFound, Ambiguous, BadInterval: As they say. SourceError: The network or the server
                failed. DigestMismatch: The sequence came whole, and is another one.
        """
        try:
            return self._part(self._locate(identifier), start, end, clamp=clamp)
        except BadInterval as error:
            raise BadInterval(f"{identifier}: {error.message}") from None

    def fetch_digest(self, digest: Digest, start: int | None = None, end: int | None = None) -> str:
        """Residues of the sequence with a sha512t24u digest."""
        with self._lock:
            found = self._lengths.get(digest)
        return self._part(found or self._locate(f"ga4gh:SQ.{digest}"), start, end)

    def _part(
        self, known: _Known, start: int | None, end: int | None, *, clamp: bool = False
    ) -> str:
        first, last = check_interval(
            start, end, known.length, clamp=clamp, circular=known.is_circular
        )
        if first > last:  # over the origin
            ends = self._residues(known, first, known.length), self._residues(known, 0, last)
            return b"".join(ends).decode("ascii")
        return self._residues(known, first, last).decode("ascii")

    def pieces(self, identifier: str, size: int = 1 << 20) -> Iterator[str]:
        """The residues of a sequence in pieces of at most ``size``, once all of it is checked."""
        text = self.fetch(identifier)
        return (text[at : at + size] for at in range(0, len(text), size))

    def _residues(self, known: _Known, first: int, last: int) -> bytes:
        n_bytes, path = last - first, self._interface.path_of(known)
        if n_bytes == 0:
            return b""
        is_whole = n_bytes == known.length
        query: dict[str, str | int] = {} if is_whole else {"start": first, "end": last}
        server = self._interface.server
        found = persistently(lambda: server.answer(path, n_bytes, query))
        if len(found) != n_bytes or not found.isascii():
            raise SourceError(
                f"{server.address}/{path}: {len(found):,} bytes instead of {n_bytes:,} residues"
            )
        if is_whole and digest_of(found) != known.digest:
            raise DigestMismatch(f"{server.address}/{path}: the residues are of another sequence")
        return found

    # --- names --------------------------------------------------------------------------------

    def aliases(self, identifier: str) -> list[Alias]:
        """The aliases of a sequence that the server tells, sorted."""
        return list(self._locate(identifier).names)

    def translate(self, identifier: str, to: str | Sequence[str] | None = None) -> list[str]:
        """All names of a sequence as ``namespace:alias``, those that follow from digests first.

        Args:
            to: Only names in this namespace, or in these.
        """
        found = self._locate(identifier)
        wanted = None
        if to is not None:
            chosen = [to] if isinstance(to, str) else to
            wanted = {canonical(name).lower() for name in chosen}
        computed = [one for one in computed_names(found.digests) if one.alias]
        return [
            str(name)
            for name in (*computed, *found.names)
            if wanted is None or name.namespace.lower() in wanted
        ]

    def metadata(self, identifier: str) -> dict[str, Any]:
        """What is known of a sequence besides its residues; ready for JSON.

        Keys: ``identifier`` (``ga4gh:SQ.``), ``length``, ``aliases`` (all names), and what the
        server has of ``added`` and ``alphabet``.
        """
        found = self._locate(identifier)
        return {
            "identifier": f"ga4gh:SQ.{found.digest}",
            "length": found.length,
            **found.said,
            "aliases": self.translate(identifier),
        }

    def status(self) -> dict[str, Any]:
        """What it is; ready for JSON. How much there is, a server does not say."""
        return {"address": self.address, "service": self.kind}

    # --- what nobody can ask a server ---------------------------------------------------------

    def _cannot(self, *_arguments: object, **_options: object) -> NoReturn:
        raise SourceError(
            f"{self.address} is {self.kind}, which answers for single sequences alone; "
            f"{self.advice}"
        )

    __len__ = __iter__ = sequences = records = _cannot
    namespace = namespaces = all_aliases = history = batches = _cannot
    # Genomes of servers are those of ``seqarchive.genomes``.
    collection = collections = all_collection_aliases = _cannot


def _keys(identifier: str) -> list[Key]:
    """What an identifier may ask for; as an archive has it."""
    key = qualified_key(identifier)
    return [*([] if key is None else [key]), *bare_keys(identifier)]


def _is_meant(identifier: str, found: _Known) -> bool:
    """Whether what came can be what was asked for, as far as it says what it is."""
    stored = found.digests._asdict()
    for key in _keys(identifier):
        if isinstance(key, DigestKey):
            if stored.get(key.column) in (None, b"", key.value):
                return True
        elif not found.names or any(
            key.alias == name.alias
            and (key.namespace is None or key.namespace.lower() == name.namespace.lower())
            for name in found.names
        ):
            return True
    return False


def _web_server(address: str) -> HttpSource:
    return cast("HttpSource", open_source(address))


def _object(server: HttpSource, path: str) -> dict[str, Any]:
    """A JSON object that a server answers.

    Raises:
        NotFound, Denied, Refused, SourceError: As they say.
    """
    where = f"{server.address}/{path}"
    data = persistently(lambda: server.answer(path, _MAX_SAID, {}))
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise SourceError(f"{where}: not a JSON object")
    return cast("dict[str, Any]", found)
