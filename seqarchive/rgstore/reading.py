"""A RefgetStore, read like an archive: in a directory, on a web server or in a bucket.

The manifest is read first; indexes, lists of collections and residues when they are asked for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import (
    Ambiguous,
    BadInterval,
    BadName,
    Corrupt,
    NotFound,
    ReadOnly,
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
from ..readable import OnlyRead
from ..remote.cache import DiskCache
from ..seqcol.archived import ATTRIBUTES
from ..sequences import ArchivedSequence
from .collected import StoreCollection, StoreSequence, parsed, parsed_collection
from .files import RemoteFiles
from .names import StoreNames, canonical
from .opened import OpenedStore
from .parsing import (
    CollectionRow,
    Manifest,
    Row,
)
from .pulling import Pulled, at_once, read_fhr
from .tables import Table

#: A column of an index of sequences.
_MD5 = 4

#: Bytes of lists of collections that are fetched in advance.
_MAX_LISTS = 256 << 20

#: Identifiers that are remembered.
_REMEMBERED = 10_000

#: Names of digests that a store has.
_COMPUTED = ("ga4gh", "md5", "sha512t24u", "trunc512", "VMC")


class RefgetStore(OnlyRead):
    """A RefgetStore: what ``connect`` gives of one. It answers like an archive, and as gtars does.

    Args:
        address: Directory, ``file:///``, ``http(s)://`` or ``s3://``.
        cache: Where to keep what came over a network and was checked.
        manifest: What ``rgstore.json`` is, if somebody has just read it.
        is_patient: The network may be down, if the store was pulled before: it is what it was
            then, until ``refresh`` finds it again.

    Raises:
        NotFound: There is no store. Corrupt: It cannot be read. NewerFormat: Of another version.
        SourceError: The network or the server failed.
    """

    kind = "a RefgetStore"
    advice = "`seqarchive import-rgstore` takes it into an archive"

    def __init__(
        self,
        address: str | os.PathLike[str],
        *,
        cache: DiskCache | None = None,
        manifest: bytes | None = None,
        is_patient: bool = False,
    ) -> None:
        self._given = os.fspath(address)
        self._opened = OpenedStore(address, cache, manifest, is_patient=is_patient)
        self._names = StoreNames(self._opened)

    def __reduce__(self) -> tuple[type[RefgetStore], tuple[str]]:
        return type(self), (self._given,)

    def __repr__(self) -> str:
        return f"<seqarchive.RefgetStore {self.address}>"

    @property
    def address(self) -> str:
        """The path or the URL."""
        return self._opened.address

    @property
    def manifest(self) -> Manifest:
        """What ``rgstore.json`` says."""
        return self._opened.state.manifest

    @property
    def is_stale(self) -> bool:
        """Whether it could not be reached, and is what it was before."""
        return self._opened.is_stale

    def refresh(self) -> bool:
        """Look whether somebody has written to the store. Returns whether it is another one now.

        A store in a directory is looked at when something is not found; over a network one has to
        ask for it. One that does not say what its indexes are always is. Of a store that was
        pulled, what is new is pulled first: until then it is what it was.
        """
        return self._opened.refresh()

    def pull(self) -> None:
        """Take all names and all that is said of collections: from then on they are at hand, and
        the store is asked for residues alone. What is known from before is taken from the disk, and
        so is all of it if the store cannot be reached.

        Raises:
            SourceError: The network or the server failed. Corrupt: A file is not the one that the
                manifest names.
        """
        self._opened.pull()

    def pulled(self) -> Pulled:
        """What was taken, and is taken now if nothing was."""
        return self._opened.pulled()

    def close(self) -> None:
        """Close what is open. The store opens it again when it is used again."""
        self._opened.close()

    def pull_lists(self) -> int:
        """Fetch the lists of collections that are not on the disk yet, as far as they are not too
        large all together. Returns how many there are now.

        Raises:
            SourceError: The network or the server failed.
        """
        if not self._opened.files.is_remote:
            return 0
        budget = _MAX_LISTS

        def fetch(digest: str) -> bool:
            nonlocal budget
            collection = self.collection(digest)
            name = collection.kept_as
            if name is None or self._opened.is_kept(name):
                return name is not None
            if budget > 0:
                budget -= collection.fetch_list()
                return True
            return False

        return sum(at_once(fetch, self.list_collections()))

    def collection_table(self, digest: str, name: str | None = None) -> Table:
        """The list of a collection; see ``OpenedStore``."""
        return self._opened.collection_table(digest, name)

    def keep_table(self, name: str, table: Table) -> None:
        """Keep a list that was checked."""
        self._opened.keep_table(name, table)

    def loaded(self, collection: StoreCollection) -> None:
        """Note that the list of a collection was read."""
        self._opened.loaded(collection)

    # --- finding ------------------------------------------------------------------------------

    def _locate(self, identifier: str) -> Row:
        found = self._opened.state.located.get(identifier)
        if found is None:
            try:
                found = self._found(identifier)
            except NotFound:
                if not self._opened.is_new():
                    raise
                found = self._found(identifier)
            located = self._opened.state.located
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
            table = self._opened.sequences()
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
                for _, digest in self.meanings("sequences", key)
                if (row := self._row(digest)) is not None
            ]
        return {row.digest: row for row in rows}

    def _row(self, digest: str) -> Row | None:
        table = self._opened.sequences()
        line = table.find(digest)
        return None if line is None else parsed(line, table.where)

    def meanings(self, kind: str, key: AliasKey) -> Iterator[tuple[str, str]]:
        """The namespaces in which a name means something, with the digest that it means.

        Args:
            kind: ``sequences`` or ``collections``.
        """
        return self._names.meanings(kind, key)

    def find(self, identifier: str) -> Digest:
        """The digest of the one sequence that an identifier stands for; as for an archive.

        Raises:
            NotFound, Ambiguous: As they say.
        """
        return Digest(self._locate(identifier).digest)

    def is_circular(self, identifier: str) -> bool:
        """False: a store does not say that of any sequence."""
        self._locate(identifier)
        return False

    def __len__(self) -> int:
        return len(self._opened.sequences())

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
        table = self._opened.sequences()
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
        return self._opened.state.payloads.residues(row, first, last).decode("latin-1")

    def fetch_member(self, row: Row, start: int | None, end: int | None) -> str:
        """Residues of a sequence whose row is from the list of a collection.

        No digest is over lengths and alphabets there. Where that of the residues is not computed,
        the index has to say the same.
        """
        first, last, _ = slice(start, end).indices(row.length)
        if not self._opened.state.payloads.are_checked(row, first, last):
            known = self._row(row.digest)
            if known is None or (known.length, known.alphabet) != (row.length, row.alphabet):
                raise Corrupt(
                    f"{self.address}: the list of a collection and the index disagree about "
                    f"SQ.{row.digest}; run `seqarchive verify-rgstore`"
                )
        return self.fetch_row(row, start, end)

    def pieces(self, identifier: str, size: int = 1 << 20) -> Iterator[str]:
        """The residues of a sequence in pieces of at most ``size``.

        Raises:
            DigestMismatch: After the last piece, if all of them together are not the sequence.
        """
        for piece in self._opened.state.payloads.pieces(self._locate(identifier)):
            for at in range(0, len(piece), size):
                yield piece[at : at + size].decode("latin-1")

    def pieces_of(self, row: Row) -> Iterator[bytes]:
        """The same of a sequence whose row is known."""
        return self._opened.state.payloads.pieces(row)

    # --- names --------------------------------------------------------------------------------

    def aliases(self, identifier: str) -> list[Alias]:
        """The aliases of a sequence, sorted."""
        return self.aliases_of("sequences", self._locate(identifier).digest)

    def aliases_of(self, kind: str, digest: str) -> list[Alias]:
        """The names of a digest, sorted.

        Args:
            kind: ``sequences`` or ``collections``.
        """
        return self._names.aliases_of(kind, digest)

    def namespace(self, name: str) -> str:
        """A namespace of aliases of sequences, in the spelling of the store.

        Raises:
            NotFound: There is none of that name.
        """
        return self._names.namespace(name)

    def has_namespace(self, name: str) -> bool:
        """Whether there is a namespace, in any spelling."""
        return self._names.has_namespace(name)

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
        return self._names.all_aliases(namespace, pattern)

    def all_collection_aliases(self) -> Iterator[tuple[Alias, Digest]]:
        """Aliases of collections and what they mean."""
        return self._names.all_collection_aliases()

    def translate(self, identifier: str, to: str | Sequence[str] | None = None) -> list[str]:
        """All names of a sequence as ``namespace:alias``, those that follow from digests first.

        Args:
            to: Only names in this namespace, or in these.
        """
        row = self._locate(identifier)
        wanted = None
        if to is not None:
            chosen = [to] if isinstance(to, str) else to
            wanted = {canonical(name) for name in chosen}
        stored = StoredDigests(digest_bytes(row.digest), bytes.fromhex(row.md5))
        names = computed_names(stored, _COMPUTED)
        if wanted is None or wanted - {name.lower() for name in _COMPUTED}:
            names += self.aliases_of("sequences", row.digest)
        return [
            str(name) for name in names if wanted is None or canonical(name.namespace) in wanted
        ]

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
        table = self._opened.collection_index()
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
        known = self._opened.state.collections
        return known.setdefault(row.digest, StoreCollection(self, row))

    def collection(self, identifier: str) -> StoreCollection:
        """The collection of a digest, or of an alias (with or without its namespace).

        Raises:
            NotFound: There is none. Ambiguous: Several.
        """
        try:
            return self._found_collection(identifier)
        except NotFound:
            if not self._opened.is_new():
                raise
            return self._found_collection(identifier)

    def _found_collection(self, identifier: str) -> StoreCollection:
        table = self._opened.collection_index()
        namespace, colon, alias = identifier.partition(":")
        digests = {identifier}
        keys = [AliasKey(None, identifier)]
        if colon:
            keys.append(AliasKey(namespace, alias))
        for key in keys:
            digests.update(digest for _, digest in self.meanings("collections", key))
        lines = [line for digest in sorted(digests) if (line := table.find(digest)) is not None]
        if not lines:
            raise NotFound(f"collection {identifier!r} is not in the store")
        if len(lines) > 1:
            names = [line.partition("\t")[0] for line in lines]
            raise Ambiguous(f"{identifier!r} stands for several collections", names)
        return self._collection(parsed_collection(lines[0], table.where))

    def has_collection(self, digest: str) -> bool:
        """Whether there is a collection of a digest."""
        return self._opened.collection_index().find(digest) is not None

    def collection_aliases(self, identifier: str) -> list[Alias]:
        """The aliases of a collection, sorted."""
        return self.aliases_of("collections", identifier)

    def fhr(self, digest: str) -> dict[str, Any] | None:
        """What is said of a collection (FHR); None if nothing is.

        Raises:
            Corrupt: It is no JSON object.
        """
        collection, said = self.collection(digest), self._opened.state.fhr
        data = (
            read_fhr(self._opened.files, collection.digest)
            if said is None
            else said.get(collection.digest)
        )
        if data is None:
            return None
        try:
            found = json.loads(data, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            if "fhr" not in self.manifest.digests and isinstance(self._opened.files, RemoteFiles):
                return None  # the page that some servers have for every address
            raise Corrupt(f"{self.address}: what is said of {collection.digest} is no JSON object")
        return found

    def list_fhr(self) -> list[str]:
        """The collections of which something is said, sorted."""
        said = self._opened.state.fhr
        if said is not None:
            return sorted(said)
        listed = self.list_collections()
        return sorted(one for one in listed if read_fhr(self._opened.files, one) is not None)

    # --- the calls of the plan ----------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """``n_sequences``, ``n_collections``, ``n_collections_loaded``, ``storage_mode``."""
        loaded = [one for one in list(self._opened.state.collections.values()) if one.is_loaded]
        return {
            "n_sequences": len(self),
            "n_collections": len(self._opened.collection_index()),
            "n_collections_loaded": len(loaded),
            "storage_mode": self.manifest.mode.value,
        }

    def list_collections(self) -> list[str]:
        """The digests of all collections."""
        return [line.partition("\t")[0] for line in self._opened.collection_index().lines()]

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
