"""Remote genomes: known by name and digest, their residues fetched when they are asked for.

``ROOT/genomes/`` has a file for each, and a cache beside them that all processes share. Nothing of
it is an archive: who fetches all of a genome takes it into one.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from .. import durable
from ..errors import (
    BadInput,
    BadInterval,
    Corrupt,
    DigestMismatch,
    NotFound,
    ReadOnly,
    SeqArchiveError,
    SourceError,
)
from ..forks import ForkLock
from ..identifiers import Alias, Digest, check_interval, digest_of, parse_digest
from ..namespaces import GENOMES
from ..new_aliases import OnConflict
from ..readable import Collection
from ..remote.cache import DiskCache
from ..rgstore.parsing import is_digest
from ..seqcol.fhr import merged, require_agreement
from ..sources import is_remote, shown
from ..sources.base import Interrupted, NoRanges
from .genome import described, require_free, taken_from
from .kept import KeptResidues
from .listed import ListedCollection, Stored
from .opening import known_source, make_source
from .remote_entries import (
    Entry,
    body_of,
    checked_name,
    members_in,
    read_body,
    read_entry,
    write_entry,
)

if TYPE_CHECKING:
    from .genome_source import GenomeSource

#: What somebody locks who fetches all of a genome.
STAGING_LOCK = "writer.lock"

#: Bytes of what is said of a genome.
_MAX_FHR = 1 << 20

#: Residues are these, whoever sends them.
_RESIDUES = re.compile(rb"[A-Z*-]*\Z")

T = TypeVar("T")


class Added(NamedTuple):
    """What became of a genome that was added."""

    genome: RemoteGenome
    is_new: bool
    """Whether it was not there before."""
    changed: bool
    """Whether anything is different now."""
    kept: tuple[str, ...]
    """Names that went on meaning other genomes."""


class RemoteGenomes:
    """The remote genomes of a directory.

    Args:
        directory: ``ROOT/genomes``; made when the first one is added.
        cache_bytes: How much of residues and indexes is kept; as for ``DiskCache`` if None.
    """

    def __init__(
        self, directory: str | os.PathLike[str], *, cache_bytes: int | None = None
    ) -> None:
        self.directory = Path(directory).absolute()
        self.cache = DiskCache(self.directory / "cache", cache_bytes)
        self.locks = durable.KeyLocks(self.directory / "locks")
        self._read: dict[Path, tuple[object, Entry]] = {}

    def __repr__(self) -> str:
        return f"<seqarchive.RemoteGenomes {self.directory}>"

    # --- finding ------------------------------------------------------------------------------

    def find(self, identifier: str) -> RemoteGenome:
        """The genome of a name, with or without ``refgenie:``, or of a digest.

        Raises:
            NotFound: There is none. Corrupt: Perhaps, but its file is damaged.
        """
        entries, damaged = self._entries()
        entry = entries.get(identifier.removeprefix("ga4gh:").removeprefix("SQ."))
        if entry is None:
            name = identifier.removeprefix(f"{GENOMES}:")
            entry = next((one for one in entries.values() if name in one.names), None)
        if entry is not None:
            return RemoteGenome(self, entry)
        if damaged:
            raise damaged[0]
        raise NotFound(f"there is no remote genome {identifier!r} in {self.directory}")

    def damaged(self) -> Sequence[SeqArchiveError]:
        """What is wrong with files that cannot be read."""
        return self._entries()[1]

    def path(self, digest: Digest) -> Path:
        """The file of a genome."""
        return self.directory / f"{digest}.json"

    def staging(self, digest: Digest) -> Path:
        """Where sequences wait until all of a genome is there."""
        return self.directory / "fetched" / digest

    def _entries(self) -> tuple[dict[str, Entry], list[SeqArchiveError]]:
        """All genomes by their digests, with the names that they have now; and what is damaged."""
        found: dict[str, Entry] = {}
        damaged: list[SeqArchiveError] = []
        try:
            names = sorted(path.name for path in self.directory.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            names = []
        for name in names:
            if not name.endswith(".json") or not is_digest(name.removesuffix(".json")):
                continue
            try:
                entry = self._entry(self.directory / name)
            except FileNotFoundError:  # removed just now
                continue
            except SeqArchiveError as error:
                damaged.append(error)
                continue
            found[entry.digest] = entry
        return _with_names(found), damaged

    def _entry(self, path: Path) -> Entry:
        status = path.stat()
        stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
        known = self._read.get(path)
        if known is None or known[0] != stamp:
            known = self._read[path] = (stamp, read_entry(path))
        return known[1]

    # --- changing -----------------------------------------------------------------------------

    @contextmanager
    def _writing(self) -> Iterator[dict[str, Entry]]:
        """The right to change something, and what there is."""
        try:
            durable.make_directory(self.directory)
        except OSError as error:
            raise ReadOnly(f"{error.filename or self.directory}: {error.strerror}") from None
        with durable.WriterLock(self.directory / "writer.lock") as lock:
            lock.declare(None)
            durable.remove_directory(self.directory / "tmp")  # what a kill has left
            try:
                yield self._entries()[0]
            finally:
                durable.remove_directory(self.directory / "tmp")
                lock.clear()

    def _write(self, entries: dict[str, Entry], entry: Entry, body: bytes | None = None) -> Entry:
        """Have a genome as an entry says; its names are names of no other one any more."""
        path = self.path(entry.digest)
        serial = max((one.serial for one in entries.values()), default=0) + 1
        entry = replace(entry, serial=serial)
        write_entry(path, entry, read_body(path) if body is None else body)
        entries[entry.digest] = entry
        # From here on the names are its own: where there are two, the later one has it.
        for other in list(entries.values()):
            names = tuple(name for name in other.names if name not in entry.names)
            if other.digest != entry.digest and names != other.names:
                other_path = self.path(other.digest)
                entries[other.digest] = replace(other, names=names)
                write_entry(other_path, entries[other.digest], read_body(other_path))
        return entry

    def add(
        self,
        source: GenomeSource,
        identifier: str,
        names: Iterable[str] = (),
        *,
        namespace: str | None = None,
        description: str | None = None,
        species: str | None = None,
        fhr: Mapping[str, Any] | None = None,
        on_conflict: OnConflict = OnConflict.ERROR,
    ) -> Added:
        """Have a genome of a source among these. No residues are fetched.

        Args:
            identifier: Digest or alias of the collection.
            names: What to call it; it keeps those that it has.
            namespace: Of the alias; all if None.
            description, species: Of its FHR.
            fhr: What else is said of it; what the source says if None, and nothing is said yet.
            on_conflict: When a name means another genome.

        Raises:
            NotFound, Ambiguous, SourceError, Corrupt: Of the source.
            AliasConflict: See ``on_conflict``; nothing was changed. Conflict: Something else is
                said of it here.
        """
        called = tuple(dict.fromkeys(checked_name(name) for name in names))
        _require_public(source.url)
        collection = source.collection(identifier, namespace)
        source = source.giving(collection)
        _require_public(source.address)
        members = source.members(collection)
        said = _checked_fhr(fhr if fhr is not None else collection.fhr(), source.address)
        with self._writing() as entries:
            known = entries.get(collection.digest)
            if known is not None and known.fhr is not None:
                more = described(fhr, description, species)
                require_agreement(known.fhr, more, collection.digest)
                said = _checked_fhr(merged(known.fhr, more), "the document")
            else:
                said = described(said, description, species)
            own, kept = _granted(entries, collection.digest, called, on_conflict)
            entry = Entry(
                digest=parse_digest(collection.digest),
                names=tuple(dict.fromkeys([*(known.names if known else ()), *own])),
                kind=source.kind,
                url=source.url,
                address=source.address,
                access=source.access(),
                fhr=said or None,
                added=known.added if known else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                serial=known.serial if known else 0,
                n_members=len(members),
                n_residues=sum(one.length for one in members),
            )
            changed = entry != known
            if changed:
                entry = self._write(entries, entry, body_of(members))
            return Added(RemoteGenome(self, entry, source), known is None, changed, kept)

    def set_names(
        self,
        identifier: str,
        names: Iterable[str],
        *,
        on_conflict: OnConflict = OnConflict.ERROR,
    ) -> RemoteGenome:
        """Have a genome called so, and by no other name.

        Raises:
            NotFound: There is no such genome. AliasConflict: See ``on_conflict``.
        """
        called = tuple(dict.fromkeys(checked_name(name) for name in names))

        def change(entries: dict[str, Entry], entry: Entry) -> Entry:
            own, _ = _granted(entries, entry.digest, called, on_conflict)
            return replace(entry, names=own)

        return self._change(identifier, change)

    def set_fhr(self, identifier: str, document: Mapping[str, Any] | None) -> RemoteGenome:
        """Say something of a genome, in the place of what was said before.

        Raises:
            NotFound: There is no such genome.
        """
        said = _checked_fhr(document, "the document")
        return self._change(identifier, lambda _, entry: replace(entry, fhr=said))

    def set_access(self, digest: Digest, source: GenomeSource, members: list[Stored]) -> None:
        """Note that residues are to be had in another way."""

        def change(_: dict[str, Entry], entry: Entry) -> Entry:
            return replace(entry, kind=source.kind, address=source.address, access=source.access())

        self._change(digest, change, body_of(members))

    def _change(
        self,
        identifier: str,
        change: Callable[[dict[str, Entry], Entry], Entry],
        body: bytes | None = None,
    ) -> RemoteGenome:
        with self._writing() as entries:
            before = entries[self.find(identifier).digest]
            entry = change(entries, before)
            if entry != before or body is not None:
                entry = self._write(entries, entry, body)
            return RemoteGenome(self, entry)

    def remove(self, identifier: str) -> Digest:
        """Forget a genome, whose residues stay in the cache as long as there is room.

        Args:
            identifier: Name or digest; also the digest of one whose file is damaged.

        Raises:
            NotFound: There is no such genome.
        """
        with self._writing():
            bare = Digest(identifier)
            is_there = is_digest(bare) and self.path(bare).exists()
            digest = bare if is_there else self.find(identifier).digest
            staging = self.staging(digest)
            with ExitStack() as stack:
                if staging.exists():  # somebody may fetch it just now
                    stack.enter_context(durable.WriterLock(staging / STAGING_LOCK))
                # In this order: without the genome, nobody would look for the rest again.
                durable.remove_directory(staging)
                durable.remove(self.path(digest))
                durable.fsync(self.directory)
            return digest

    def list(self) -> Sequence[RemoteGenome]:
        """All genomes whose files can be read, by name; see ``damaged``."""
        entries, _ = self._entries()
        found = sorted(entries.values(), key=lambda one: (one.names[:1] or ("~",), one.digest))
        return [RemoteGenome(self, entry) for entry in found]


def _with_names(entries: dict[str, Entry]) -> dict[str, Entry]:
    """The same, each name where it was written last: what a kill between two files has left."""
    meant: dict[str, Entry] = {}
    for entry in sorted(entries.values(), key=lambda one: one.serial):
        meant.update(dict.fromkeys(entry.names, entry))
    return {
        digest: replace(entry, names=tuple(one for one in entry.names if meant[one] is entry))
        for digest, entry in entries.items()
    }


def _granted(
    entries: Mapping[str, Entry], digest: str, names: tuple[str, ...], on_conflict: OnConflict
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of some names, those that a genome gets, and those that others keep."""
    meant = {name: one.digest for one in entries.values() for name in one.names}
    if on_conflict is OnConflict.ERROR:
        require_free(meant, names, digest)
    if on_conflict is OnConflict.REPLACE:
        return names, ()
    taken = taken_from(meant, names, digest)
    return tuple(name for name in names if name not in taken), tuple(taken)


def _require_public(address: str) -> None:
    """Raise BadInput for an address with a password, which everybody would read here."""
    if is_remote(address) and "@" in urlsplit(address).netloc:
        raise BadInput(
            f"{shown(address)}: an address with a password is not kept in a file; write name and "
            "password into ~/.netrc"
        )


def _checked_fhr(document: Mapping[str, Any] | None, where: str) -> dict[str, Any] | None:
    if document is None:
        return None
    try:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, TypeError, RecursionError):
        text = b""
    if not text or len(text) > _MAX_FHR:
        raise BadInput(f"{where}: the FHR is no JSON, or has more than {_MAX_FHR:,} bytes")
    return dict(document)


class RemoteGenome:
    """A genome whose residues are elsewhere; what was fetched once is here.

    Safe between threads, after a fork, and for pickle.
    """

    def __init__(
        self, registry: RemoteGenomes, entry: Entry, source: GenomeSource | None = None
    ) -> None:
        self.registry = registry
        self._entry = entry
        self._source = source
        self._lock = ForkLock()
        self._stored: list[Stored] | None = None
        self._by_digest: dict[str, Stored] = {}
        self._kept = KeptResidues(registry.cache, entry.address)

    def __reduce__(self) -> tuple[Callable[[Path, str], RemoteGenome], tuple[Path, str]]:
        return _found, (self.registry.directory, self.digest)

    def __repr__(self) -> str:
        return f"<seqarchive.RemoteGenome {self.label} at {self.url}>"

    def __len__(self) -> int:
        return self._entry.n_members

    @property
    def digest(self) -> Digest:
        """Of the collection."""
        return self._entry.digest

    @property
    def names(self) -> tuple[str, ...]:
        """In the namespace of genomes."""
        return self._entry.names

    @property
    def label(self) -> str:
        """What to call it in messages."""
        return self.names[0] if self.names else self.digest

    @property
    def kind(self) -> str:
        """Of the source: ``store``, ``archive`` or ``server``."""
        return self._entry.kind

    @property
    def url(self) -> str:
        """The address of the source, as it was given."""
        return self._entry.url

    @property
    def address(self) -> str:
        """Where the residues come from."""
        return self._entry.address

    @property
    def added(self) -> str:
        """When it was added; RFC 3339, UTC."""
        return self._entry.added

    @property
    def n_residues(self) -> int:
        """Of all members."""
        return self._entry.n_residues

    @property
    def fhr(self) -> dict[str, Any] | None:
        """What is said of it."""
        return self._entry.fhr

    @property
    def members(self) -> Sequence[Stored]:
        """Its members, in order.

        Raises:
            Corrupt: Their list is damaged.
        """
        if self._stored is None:
            path = self.registry.path(self.digest)
            try:
                found = members_in(path, self._entry)
            except FileNotFoundError:
                raise NotFound(f"the genome {self.label} was removed") from None
            self._take(found)
            return found
        return self._stored

    def _take(self, members: list[Stored]) -> None:
        self._by_digest = {one.digest: one for one in members}
        self._stored = members

    @property
    def collection(self) -> Collection:
        """The collection that it is."""
        names = [Alias(GENOMES, name) for name in self.names]
        return ListedCollection(self.digest, self.members, names, self.fhr)

    def aliases(self, _identifier: str) -> list[Alias]:
        """The aliases of a sequence: none is known here."""
        return []

    def close(self) -> None:
        """Close connections, which are made again when they are needed."""
        if self._source is not None:
            self._source.close()

    # --- residues -----------------------------------------------------------------------------

    def fetch_digest(self, digest: str, start: int | None = None, end: int | None = None) -> str:
        """Residues ``[start, end)`` of a member, 0-based: from the cache, or just these from the
        source.

        Raises:
            NotFound: No member has this digest. BadInterval: It has no such range.
            DigestMismatch: The source has other residues; none of them is kept.
            SourceError: The source cannot be asked, and they are not in the cache.
        """
        member = self.member(digest)
        try:
            first, last = check_interval(start, end, member.length)
        except BadInterval as error:
            raise BadInterval(f"{member.name} of {self.label}: {error.message}") from None
        if first == last:
            return ""
        found = self.known(member, first, last)
        if found is None:
            found = self._fetched(member, first, last)
        return found.decode("ascii")

    def member(self, digest: str) -> Stored:
        """The member with a digest.

        Raises:
            NotFound: There is none.
        """
        if self._stored is None:
            self._take(list(self.members))
        bare = digest.removeprefix("ga4gh:").removeprefix("SQ.")
        if bare not in self._by_digest:
            raise NotFound(f"no sequence of the genome {self.label} has the digest {digest!r}")
        return self._by_digest[bare]

    def known(self, member: Stored, start: int, end: int) -> bytes | None:
        """Residues that are in the cache, if all of them are."""
        if end - start == member.length:
            return self._kept.whole(member.digest, member.length)
        return self._kept.get(member.digest, member.length, start, end)

    def _fetched(self, member: Stored, start: int, end: int) -> bytes:
        """Residues from the source, unless somebody else fetches them just now."""
        is_whole = self.source().is_whole(member, start, end)
        first, last = (0, member.length) if is_whole else self._missing(member, start, end)
        with self.registry.locks.held(f"{member.digest} {first} {last}".encode()):
            found = self.known(member, start, end)
            if found is not None:
                return found
            if not is_whole:
                with suppress(NoRanges):
                    return self._part(member, start, end)
            return self._whole(member)[start:end]

    def _missing(self, member: Stored, start: int, end: int) -> tuple[int, int]:
        return self._kept.missing(member.digest, member.length, start, end)

    def _part(self, member: Stored, start: int, end: int) -> bytes:
        first, last = self._missing(member, start, end)
        found = self.asked(member, lambda source, one: source.fetch(one, first, last))
        if len(found) != last - first or _RESIDUES.match(found) is None:
            raise SourceError(f"{self.address}: what came for {member.name} is no residues")
        self._kept.add(member.digest, first, found)
        if (first, last) == (start, end):
            return found
        whole = self.known(member, start, end)
        if whole is not None:
            return whole
        # The cache has lost the rest, or keeps nothing.
        return self.asked(member, lambda source, one: source.fetch(one, start, end))

    def _whole(self, member: Stored) -> bytes:
        def fetch(source: GenomeSource, one: Stored) -> bytes:
            found = source.fetch(one, 0, one.length)
            if len(found) != one.length or digest_of(found) != one.digest:
                raise DigestMismatch(
                    f"{source.address}: the residues of {one.name} are not those of SQ.{one.digest}"
                )
            return found

        found = self.asked(member, fetch)
        self._kept.add_whole(member.digest, found)
        return found

    # --- the source ---------------------------------------------------------------------------

    def source(self) -> GenomeSource:
        """Where residues come from. Nothing is asked yet."""
        with self._lock:
            if self._source is None:
                entry = self._entry
                self._source = known_source(
                    entry.kind, entry.url, entry.address, entry.access, self.registry.cache
                )
            return self._source

    def asked(self, member: Stored, ask: Callable[[GenomeSource, Stored], T]) -> T:
        """What a source answers about a member; if it has changed, what it answers now."""
        try:
            return ask(self.source(), member)
        except NoRanges:
            raise
        except (Corrupt, SourceError, NotFound) as error:
            renewed = self._renew(error)
            if renewed is None:
                raise self._failed(member, error) from None
        try:
            return ask(renewed, self.member(member.digest))
        except (SourceError, NotFound) as error:
            raise self._failed(member, error) from None

    def _failed(self, member: Stored, error: SeqArchiveError) -> SeqArchiveError:
        if isinstance(error, Corrupt):
            return error
        said = f"{member.name} of {self.label} cannot be fetched: {error}"
        if isinstance(error, Interrupted):
            return Interrupted(said, retry_after=error.retry_after)
        return SourceError(said)

    def _renew(self, error: SeqArchiveError) -> GenomeSource | None:
        """The source as it is now; None if that is as it was."""
        entry = self._entry
        if isinstance(error, Interrupted) and _place(entry.url) == _place(entry.address):
            return None
        try:
            source = make_source(entry.url, cache=self.registry.cache)
            collection = source.collection(self.digest)
            source = source.giving(collection)
            members = source.members(collection)
        except SeqArchiveError:  # the first error says more
            return None
        now = (source.kind, source.address, source.access(), members)
        if now == (entry.kind, entry.address, entry.access, self.members):
            return None
        with self._lock:
            self._entry = replace(
                entry, kind=source.kind, address=source.address, access=source.access()
            )
            self._take(members)
            self._source = source
            self._kept = KeptResidues(self.registry.cache, source.address)
        # Another writer, or no right to: then the next one notices.
        with suppress(SeqArchiveError, OSError):
            self.registry.set_access(self.digest, source, members)
        return source


def _place(address: str) -> str:
    return urlsplit(address).netloc if is_remote(address) else address


def _found(directory: Path, digest: str) -> RemoteGenome:
    return RemoteGenomes(directory).find(digest)
