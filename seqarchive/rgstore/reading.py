"""A RefgetStore, read like an archive: in a directory, on a web server or in a bucket.

The manifest is read first; indexes, lists of collections and residues when they are asked for.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from types import TracebackType
from typing import Any

from .. import namespaces
from ..errors import (
    Ambiguous,
    BadInterval,
    BadName,
    Corrupt,
    NotFound,
    ReadOnly,
    SourceError,
)
from ..identifiers import (
    Alias,
    AliasKey,
    Digest,
    DigestKey,
    Key,
    StoredDigests,
    bare_keys,
    check_interval,
    computed_names,
    digest_bytes,
    digest_text,
    qualified_key,
)
from ..reader import split_if_unknown
from ..remote.cache import DiskCache
from ..seqcol.archived import ATTRIBUTES
from ..sequences import ArchivedSequence
from ..sources.base import Denied
from ..sources.directory import DirectorySource
from ..sources.opening import open_source
from .collected import StoreCollection, StoreSequence, checked, parsed, parsed_collection
from .files import Files, LocalFiles, RemoteFiles
from .layout import COLLECTIONS, MANIFEST, aliases_path, collection_path, fhr_path
from .parsing import (
    CollectionRow,
    Manifest,
    Row,
    is_digest,
    parse_manifest,
)
from .payloads import Payloads
from .tables import Table

#: Bytes of the manifest, and of what is said of a collection, at most.
_MAX_MANIFEST = _MAX_FHR = 64 << 20

#: Columns of an index of sequences.
_DIGEST, _MD5 = 3, 4

#: Identifiers that are remembered.
_REMEMBERED = 10_000

#: Lists of collections that are kept open.
_LOADED = 64

#: Digests of files without which nobody can tell from a manifest whether they are the same.
_TELLING = ("sequences", "collections")

#: Names of digests that a store has.
_COMPUTED = ("ga4gh", "md5", "sha512t24u", "trunc512", "VMC")

#: How long to wait for a writer who has replaced an index and not yet the manifest.
_TURNS, _TURN = 20, 0.1


class _State:
    """A store as one manifest has it."""

    def __init__(self, manifest: Manifest, files: Files, stamp: object) -> None:
        self.manifest = manifest
        self.stamp = stamp
        self.payloads = Payloads(files, manifest)
        self.tables: dict[str, Table | None] = {}
        self.scanned: list[Table] = []  # what stands for an index of collections, if there is none
        self.located: dict[str, Row] = {}
        self.collections: dict[str, StoreCollection] = {}
        self.loaded: deque[StoreCollection] = deque()


class RefgetStore:
    """A RefgetStore: what ``connect`` gives of one. It answers like an archive, and as gtars does.

    Args:
        address: Directory, ``file:///``, ``http(s)://`` or ``s3://``.
        cache: Where to keep what came over a network and was checked.

    Raises:
        NotFound: There is no store. Corrupt: It cannot be read. NewerFormat: Of another version.
        SourceError: The network or the server failed.
    """

    def __init__(self, address: str | os.PathLike[str], *, cache: DiskCache | None = None) -> None:
        source = open_source(address)
        self._given = os.fspath(address)
        self._files: Files = (
            LocalFiles(source)
            if isinstance(source, DirectorySource)
            else RemoteFiles(source, cache or DiskCache())
        )
        self._state = self._read()

    def _read(self) -> _State:
        stamp = self._files.stamp(MANIFEST)
        try:
            data = self._files.small(MANIFEST, _MAX_MANIFEST)
        except NotFound:
            raise NotFound(f"{self.address} has no {MANIFEST}: it is no RefgetStore") from None
        return _State(parse_manifest(data, f"{self.address}/{MANIFEST}"), self._files, stamp)

    def __reduce__(self) -> tuple[type[RefgetStore], tuple[str]]:
        return type(self), (self._given,)

    def __repr__(self) -> str:
        return f"<seqarchive.RefgetStore {self.address}>"

    def __enter__(self) -> RefgetStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def address(self) -> str:
        """The path or the URL."""
        return self._files.source.address

    @property
    def manifest(self) -> Manifest:
        """What ``rgstore.json`` says."""
        return self._state.manifest

    def refresh(self) -> bool:
        """Look whether somebody has written to the store. Returns whether it is another one now.

        A store in a directory is looked at when something is not found; over a network one has to
        ask for it. One that does not say what its indexes are always is.
        """
        found = self._read()
        tells = all(name in found.manifest.digests for name in _TELLING)
        if tells and found.manifest == self._state.manifest:
            self._state.stamp = found.stamp
            return False
        self._state = found
        return True

    def _is_new(self) -> bool:
        """Whether a store in a directory was written to since it was read."""
        stamp = self._files.stamp(MANIFEST)
        return stamp is not None and stamp != self._state.stamp and self.refresh()

    def close(self) -> None:
        """Close what is open. The store opens it again when it is used again."""
        self._state = _State(self._state.manifest, self._files, self._state.stamp)
        self._files.close()

    # --- indexes ------------------------------------------------------------------------------

    def _table(self, path: str, column: int, digest: str | None = None) -> Table | None:
        """An index; None if it is not there.

        Raises:
            Corrupt: It is not the one that the manifest names, also after a while.
        """
        for turn in range(_TURNS):
            state = self._state
            if path in state.tables:
                return state.tables[path]
            sha256 = state.manifest.digests.get(digest) if digest is not None else None
            try:
                data = self._files.index(path, sha256)
            except NotFound:
                return state.tables.setdefault(path, None)
            except Corrupt:
                if turn == _TURNS - 1 or not self._may_be_under_way():
                    raise
                time.sleep(_TURN)
                continue
            return state.tables.setdefault(path, Table(data, f"{self.address}/{path}", column))
        raise AssertionError  # the last turn returns or raises

    def _may_be_under_way(self) -> bool:
        """Whether a writer may be about to replace the manifest; looks at it again."""
        return self.refresh() or isinstance(self._files, LocalFiles)

    def _sequences(self) -> Table:
        path = self.manifest.sequence_index
        found = self._table(path, _DIGEST, "sequences")
        if found is None:
            raise Corrupt(f"{self.address}/{path} is missing")
        return found

    def _collection_index(self) -> Table:
        path = self.manifest.collection_index
        found = None if path is None else self._table(path, 0, "collections")
        if found is not None:
            return found
        if not isinstance(self._files, LocalFiles):
            raise SourceError(f"{self.address} has no index of collections ({COLLECTIONS})")
        tables = self._state.scanned
        if not tables:
            lines = "".join(self._lines_of_lists(self._files))
            tables.append(Table(lines.encode("utf-8"), f"{self.address}/collections"))
        return tables[0]

    def _lines_of_lists(self, files: LocalFiles) -> Iterator[str]:
        """What an index of collections would have, from the lists themselves."""
        for name in files.names("collections", ".rgsi"):
            digest = name.removesuffix(".rgsi")
            if not is_digest(digest):
                continue  # no list of ours
            found, n_members, _ = checked(self.collection_table(digest), digest)
            cells = [digest, str(n_members)]
            cells += [found.names, found.sequences, found.lengths, found.name_length_pairs]
            yield "\t".join([*cells, found.sorted_name_length_pairs, found.sorted_sequences]) + "\n"

    def collection_table(self, digest: str) -> Table:
        """The list of a collection.

        Raises:
            Corrupt: It is missing.
        """
        path = collection_path(digest)
        try:
            data = self._files.index(path, None)
        except NotFound as error:
            raise Corrupt(f"{error}, though the store has the collection") from None
        return Table(data, f"{self.address}/{path}")

    def loaded(self, collection: StoreCollection) -> None:
        """Note that the list of a collection was read; there are not more than some at a time."""
        loaded = self._state.loaded
        loaded.append(collection)
        if len(loaded) > _LOADED:
            loaded.popleft().unload()

    # --- finding ------------------------------------------------------------------------------

    def _locate(self, identifier: str) -> Row:
        found = self._state.located.get(identifier)
        if found is None:
            try:
                found = self._found(identifier)
            except NotFound:
                if not self._is_new():
                    raise
                found = self._found(identifier)
            located = self._state.located
            if len(located) >= _REMEMBERED:
                located.clear()
            located[identifier] = found
        return found

    def _found(self, identifier: str) -> Row:
        key = qualified_key(identifier)
        found = self._rows_of(key) if key is not None else {}
        if not found:
            for bare in bare_keys(identifier):
                found.update(self._rows_of(bare))
        if not found:
            raise NotFound(f"{identifier!r} is not in the store")
        if len(found) > 1:
            names = [f"ga4gh:SQ.{digest}" for digest in sorted(found)]
            raise Ambiguous(
                f"{identifier!r} stands for {len(found)} sequences: {', '.join(names[:8])}; say "
                "which namespace",
                names,
            )
        return next(iter(found.values()))

    def _rows_of(self, key: Key) -> dict[str, Row]:
        """The sequences that a key stands for, by digest."""
        if isinstance(key, DigestKey):
            table = self._sequences()
            if key.column == "digest":
                line = table.find(digest_text(key.value))
            elif key.column == "md5":
                line = table.find_by(_MD5, key.value.hex())
            else:
                return {}  # no store has it
            rows = [] if line is None else [parsed(line, table.where)]
        else:
            rows = [
                row
                for _, digest in self._meanings("sequences", key)
                if (row := self._row(digest)) is not None
            ]
        return {row.digest: row for row in rows}

    def _row(self, digest: str) -> Row | None:
        table = self._sequences()
        line = table.find(digest)
        return None if line is None else parsed(line, table.where)

    def _meanings(self, kind: str, key: AliasKey) -> Iterator[tuple[str, str]]:
        """The namespaces in which a name means something, with the digest that it means."""
        for namespace in self._namespaces(kind):
            if key.namespace is not None and not _is_same(namespace, key.namespace):
                continue
            table = self._aliases_in(kind, namespace)
            line = table.find(key.alias) if table is not None else None
            if line is not None:
                yield namespace, line.partition("\t")[2]

    def _namespaces(self, kind: str) -> tuple[str, ...]:
        manifest = self.manifest
        found = manifest.sequence_namespaces
        return found if kind == "sequences" else manifest.collection_namespaces

    def _aliases_in(self, kind: str, namespace: str) -> Table | None:
        return self._table(aliases_path(kind, namespace), 0)

    def find(self, identifier: str) -> Digest:
        """The digest of the one sequence that an identifier stands for; as for an archive.

        Raises:
            NotFound, Ambiguous: As they say.
        """
        return Digest(self._locate(identifier).digest)

    def split(self, text: str) -> tuple[str, int | None, int | None]:
        """``ID`` or ``ID:START-END`` taken apart, as for an archive."""
        return split_if_unknown(text, self.find)

    def is_circular(self, identifier: str) -> bool:
        """False: a store does not say that of any sequence."""
        self._locate(identifier)
        return False

    def __contains__(self, identifier: object) -> bool:
        if not isinstance(identifier, str):
            return False
        try:
            self._locate(identifier)
        except NotFound:
            return False
        except Ambiguous:
            return True
        return True

    def __len__(self) -> int:
        return len(self._sequences())

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        """The ``ga4gh:SQ.`` names of all sequences, sorted by digest."""
        for row in self.rows():
            yield f"ga4gh:SQ.{row.digest}"

    def __getitem__(self, identifier: str) -> ArchivedSequence:
        row = self._locate(identifier)
        return ArchivedSequence(self, identifier, Digest(row.digest), row.length)

    def sequences(self) -> Iterator[ArchivedSequence]:
        """All sequences, in the order of the index."""
        for row in self.rows():
            digest = Digest(row.digest)
            yield ArchivedSequence(self, f"ga4gh:SQ.{digest}", digest, row.length)

    def rows(self) -> Iterator[Row]:
        """The index of sequences."""
        table = self._sequences()
        return (parsed(line, table.where) for line in table.lines())

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
            NotFound, Ambiguous, BadInterval: As they say.
            DigestMismatch: The sequence was read as a whole, and is not that of its digest.
        """
        return self.fetch_row(self._locate(identifier), start, end, clamp=clamp)

    def fetch_digest(self, digest: Digest, start: int | None = None, end: int | None = None) -> str:
        """Residues of the sequence with a sha512t24u digest."""
        return self.fetch("sha512t24u:" + digest, start, end)

    def fetch_row(
        self, row: Row, start: int | None, end: int | None, *, clamp: bool = False
    ) -> str:
        """Residues of a sequence whose row is known."""
        try:
            first, last = check_interval(start, end, row.length, clamp=clamp)
        except BadInterval as error:
            raise BadInterval(f"SQ.{row.digest}: {error.message}") from None
        return self._state.payloads.residues(row, first, last).decode("latin-1")

    def fetch_member(self, row: Row, start: int | None, end: int | None) -> str:
        """Residues of a sequence whose row is from the list of a collection.

        No digest is over lengths and alphabets there. Where that of the residues is not computed,
        the index has to say the same.
        """
        first, last, _ = slice(start, end).indices(row.length)
        if not self._state.payloads.are_checked(row, first, last):
            known = self._row(row.digest)
            if known is None or (known.length, known.alphabet) != (row.length, row.alphabet):
                raise Corrupt(
                    f"{self.address}: the list of a collection and the index disagree about "
                    f"SQ.{row.digest}; run `seqarchive verify-rgstore`"
                )
        return self.fetch_row(row, start, end)

    def fetch_many(
        self, requests: Iterable[tuple[str, int | None, int | None]], *, clamp: bool = False
    ) -> list[str]:
        """Residues of many ranges, ``(identifier, start, end)`` each, in the order asked for."""
        return [self.fetch(one, start, end, clamp=clamp) for one, start, end in requests]

    def pieces(self, identifier: str, size: int = 1 << 20) -> Iterator[str]:
        """The residues of a sequence in pieces of at most ``size``.

        Raises:
            DigestMismatch: After the last piece, if all of them together are not the sequence.
        """
        for piece in self._state.payloads.pieces(self._locate(identifier)):
            for at in range(0, len(piece), size):
                yield piece[at : at + size].decode("latin-1")

    def pieces_of(self, row: Row) -> Iterator[bytes]:
        """The same of a sequence whose row is known."""
        return self._state.payloads.pieces(row)

    # --- names --------------------------------------------------------------------------------

    def aliases(self, identifier: str) -> list[Alias]:
        """The aliases of a sequence, sorted."""
        return self._aliases_of("sequences", self._locate(identifier).digest)

    def _aliases_of(self, kind: str, digest: str) -> list[Alias]:
        found = []
        for namespace in self._namespaces(kind):
            table = self._aliases_in(kind, namespace)
            for line in table.lines() if table is not None else ():
                alias, _, target = line.partition("\t")
                if target == digest:
                    found.append(Alias(namespace, alias))
        return sorted(found)

    def namespace(self, name: str) -> str:
        """A namespace of aliases of sequences, in the spelling of the store.

        Raises:
            NotFound: There is none of that name.
        """
        for known in self.manifest.sequence_namespaces:
            if _is_same(known, name):
                return known
        known = ", ".join(self.manifest.sequence_namespaces) or "none"
        raise NotFound(f"there is no namespace {name!r} (there are: {known})")

    def has_namespace(self, name: str) -> bool:
        """Whether there is a namespace, in any spelling."""
        return any(_is_same(known, name) for known in self.manifest.sequence_namespaces)

    def records(self, namespace: str | None = None) -> Iterator[tuple[Digest, list[Alias]]]:
        """All sequences with their aliases, in the order of the index.

        Args:
            namespace: Only sequences with an alias in it.

        Raises:
            NotFound: There is no such namespace.
        """
        wanted = None if namespace is None else self.namespace(namespace)
        by_digest: dict[str, list[Alias]] = {}
        for alias, digest in self.all_aliases():
            by_digest.setdefault(digest, []).append(alias)
        for row in self.rows():
            aliases = sorted(by_digest.get(row.digest, ()))
            if wanted is None or any(alias.namespace == wanted for alias in aliases):
                yield Digest(row.digest), aliases

    def history(self, alias: str | Alias) -> list[Any]:
        """Raises ReadOnly: a store has no history."""
        raise ReadOnly(f"{self.address} is a RefgetStore, which has no history ({alias})")

    def batches(self) -> Iterator[dict[str, Any]]:
        """Raises ReadOnly: a store has no batches."""
        raise ReadOnly(f"{self.address} is a RefgetStore, which has no batches")

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
        known = self.manifest.sequence_namespaces
        if namespace is not None:
            known = (self.namespace(namespace),)
        yield from self._all_aliases("sequences", known, pattern)

    def all_collection_aliases(self) -> Iterator[tuple[Alias, Digest]]:
        """Aliases of collections and what they mean."""
        yield from self._all_aliases("collections", self.manifest.collection_namespaces, None)

    def _all_aliases(
        self, kind: str, known: Sequence[str], pattern: str | None
    ) -> Iterator[tuple[Alias, Digest]]:
        for name in known:
            table = self._aliases_in(kind, name)
            for line in table.lines() if table is not None else ():
                alias, _, digest = line.partition("\t")
                if not is_digest(digest):
                    raise Corrupt(
                        f"{self.address}: {name}:{alias[:60]} means {digest[:60]!r}, which is no "
                        "digest; run `seqarchive verify-rgstore`"
                    )
                if pattern is None or fnmatchcase(alias, pattern):
                    yield Alias(name, alias), Digest(digest)

    def translate(self, identifier: str, to: str | Sequence[str] | None = None) -> list[str]:
        """All names of a sequence as ``namespace:alias``, those that follow from digests first.

        Args:
            to: Only names in this namespace, or in these.
        """
        row = self._locate(identifier)
        wanted = None
        if to is not None:
            chosen = [to] if isinstance(to, str) else to
            wanted = {_canonical(name) for name in chosen}
        stored = StoredDigests(digest_bytes(row.digest), bytes.fromhex(row.md5))
        names = computed_names(stored, _COMPUTED)
        if wanted is None or wanted - {name.lower() for name in _COMPUTED}:
            names += self._aliases_of("sequences", row.digest)
        return [
            str(name) for name in names if wanted is None or _canonical(name.namespace) in wanted
        ]

    def translate_many(
        self, identifiers: Sequence[str], to: str | Sequence[str] | None = None
    ) -> list[tuple[str, list[str]]]:
        """Each identifier with its names, in the order given."""
        return [(identifier, self.translate(identifier, to)) for identifier in identifiers]

    def metadata(self, identifier: str) -> dict[str, Any]:
        """What is known of a sequence besides its residues; ready for JSON.

        Keys: ``identifier`` (``ga4gh:SQ.``), ``length``, ``alphabet`` (the label of its packing),
        ``aliases`` (all names), ``name`` and ``description`` (of some record that was it).
        """
        row = self._locate(identifier)
        return {
            "identifier": f"ga4gh:SQ.{row.digest}",
            "length": row.length,
            "alphabet": row.alphabet.label,
            "aliases": self.translate(identifier),
            "name": row.name,
            "description": row.description,
        }

    def status(self) -> dict[str, Any]:
        """Counts; ready for JSON."""
        return {"address": self.address, **self.stats()}

    # --- collections --------------------------------------------------------------------------

    def collections(self, **attributes: str) -> list[StoreCollection]:
        """The collections of the store.

        Args:
            attributes: Name of an attribute and digest: only those that have it.

        Raises:
            BadName: No such attribute.
        """
        unknown = sorted(attributes.keys() - set(ATTRIBUTES))
        if unknown:
            raise BadName(
                f"{unknown[0]!r} is no attribute: there are {', '.join(sorted(ATTRIBUTES))}"
            )
        table = self._collection_index()
        rows = (parsed_collection(line, table.where) for line in table.lines())
        found = (self._collection(row) for row in rows)
        return [
            one
            for one in found
            if all(self._attribute(one, name) == wanted for name, wanted in attributes.items())
        ]

    def collection_page(
        self, attributes: Mapping[str, str], page: int, page_size: int
    ) -> tuple[list[Digest], int]:
        """As for an archive, in the order of the index."""
        if attributes:
            found = [Digest(one.digest) for one in self.collections(**attributes)]
        else:
            found = [Digest(one) for one in self.list_collections()]
        return found[page * page_size : (page + 1) * page_size], len(found)

    def attribute_page(self, attribute: str, page: int, page_size: int) -> tuple[list[Digest], int]:
        """As for an archive."""
        if attribute not in ATTRIBUTES:
            raise BadName(f"{attribute!r} is no attribute")
        found = sorted({self._attribute(one, attribute) or "" for one in self.collections()})
        some = found[page * page_size : (page + 1) * page_size]
        return [Digest(one) for one in some], len(found)

    def namespaces(self) -> list[str]:
        """The namespaces of aliases of sequences, sorted."""
        return sorted(self.manifest.sequence_namespaces)

    def committed(self) -> tuple[str, str] | None:
        """None: a store does not say it in a way that one can rely on."""
        return None

    @staticmethod
    def _attribute(collection: StoreCollection, name: str) -> str | None:
        known = collection.attributes
        return known[name] if name in known else collection.level1()[name]

    def _collection(self, row: CollectionRow) -> StoreCollection:
        known = self._state.collections
        return known.setdefault(row.digest, StoreCollection(self, row))

    def collection(self, identifier: str) -> StoreCollection:
        """The collection of a digest, or of an alias (with or without its namespace).

        Raises:
            NotFound: There is none. Ambiguous: Several.
        """
        try:
            return self._found_collection(identifier)
        except NotFound:
            if not self._is_new():
                raise
            return self._found_collection(identifier)

    def _found_collection(self, identifier: str) -> StoreCollection:
        table = self._collection_index()
        namespace, colon, alias = identifier.partition(":")
        digests = {identifier}
        keys = [AliasKey(None, identifier)]
        if colon:
            keys.append(AliasKey(namespace, alias))
        for key in keys:
            digests.update(digest for _, digest in self._meanings("collections", key))
        lines = [line for digest in sorted(digests) if (line := table.find(digest)) is not None]
        if not lines:
            raise NotFound(f"collection {identifier!r} is not in the store")
        if len(lines) > 1:
            names = [line.partition("\t")[0] for line in lines]
            raise Ambiguous(f"{identifier!r} stands for several collections", names)
        return self._collection(parsed_collection(lines[0], table.where))

    def collection_aliases(self, identifier: str) -> list[Alias]:
        """The aliases of a collection, sorted."""
        return self._aliases_of("collections", identifier)

    def fhr(self, digest: str) -> dict[str, Any] | None:
        """What is said of a collection (FHR); None if nothing is.

        Raises:
            Corrupt: It is no JSON object.
        """
        collection = self.collection(digest)
        for path in (fhr_path(collection.digest), f"collections/{collection.digest}.fhr.json"):
            try:
                data = self._files.small(path, _MAX_FHR)
            except (NotFound, Denied):  # which many servers say of what they have not
                continue
            try:
                found = json.loads(data, parse_constant=_no_constant)
            except (ValueError, RecursionError):
                found = None
            if not isinstance(found, dict):
                raise Corrupt(f"{self.address}/{path} is no JSON object")
            return found
        return None

    # --- the calls of the plan ----------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """``n_sequences``, ``n_collections``, ``n_collections_loaded``, ``storage_mode``."""
        loaded = [one for one in list(self._state.collections.values()) if one.is_loaded]
        return {
            "n_sequences": len(self),
            "n_collections": len(self._collection_index()),
            "n_collections_loaded": len(loaded),
            "storage_mode": self.manifest.mode.value,
        }

    def list_collections(self) -> list[str]:
        """The digests of all collections."""
        return [line.partition("\t")[0] for line in self._collection_index().lines()]

    def get_collection_metadata(self, digest: str) -> dict[str, Any]:
        """What the index has of a collection; nothing is loaded."""
        found = self.collection(digest)
        attributes = {f"{name}_digest": one for name, one in found.attributes.items()}
        return {"digest": found.digest, "n_sequences": len(found), **attributes}

    def get_collection(self, digest: str) -> StoreCollection:
        """A collection whose list is loaded."""
        found = self.collection(digest)
        found.level1()
        return found

    def get_sequence_by_id(self, identifier: str) -> StoreSequence:
        """A sequence by any digest or alias."""
        return StoreSequence(self, self._locate(identifier))

    def get_sequence_by_collection_and_name(self, digest: str, name: str) -> StoreSequence:
        """A member of a collection."""
        return StoreSequence(self, self.collection(digest).row(name))

    def get_substring(self, identifier: str, start: int, end: int) -> str:
        """Residues ``[start, end)`` of a sequence, 0-based."""
        return self.fetch(identifier, start, end)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _canonical(namespace: str) -> str:
    """What two spellings of a namespace have in common."""
    try:
        return namespaces.canonical(namespace).lower()
    except BadName:  # a store may have any
        return namespace.lower()


def _is_same(one: str, other: str) -> bool:
    return _canonical(one) == _canonical(other)
