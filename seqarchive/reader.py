"""Reading an archive: find sequences by any of their names, fetch any piece of them, translate.

A reader may be used from many threads, across a fork, and pickled. It keeps a bounded
number of open files and a bounded cache, and never answers from before the last commit.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import namespaces
from .bgzf import BLOCK_SIZE
from .database import Database, Location, Meaning, ShardRow
from .errors import BadInterval, Corrupt, DigestMismatch, NotFound
from .finding import Finder
from .identifiers import (
    COMPUTED_NAMES,
    Alias,
    Digest,
    StoredDigests,
    check_interval,
    computed_names,
    digest_text,
    parse_alias,
)
from .instances import MASTER, Instance
from .journal import is_inside
from .letters import letters_in
from .manifests import snapshots_in
from .moments import batch_at
from .readable import Opened
from .seqcol.archived import (
    ArchivedCollection,
    attribute_page,
    collection_aliases,
    collection_of,
    collection_page,
    collections_of,
)
from .sequences import ArchivedSequence
from .shards import (
    HEADER_LENGTH,
    AnyShard,
    BlockCache,
    OpenShards,
    ShardReader,
    header_line,
)
from .usage import usage_of

if TYPE_CHECKING:
    from typing_extensions import Self

#: Inflated blocks that an archive keeps: 64 MiB of ours.
_CACHE_BYTES = 64 << 20

#: Shards that an archive keeps open, one descriptor each.
_OPEN_SHARDS = 128

#: Sequences whose aliases are looked up together.
_RECORDS = 500

#: Sequences that are known to be where their rows say.
_CHECKED = 100_000


class ArchiveReader(Opened):
    """An instance that is open for reading.

    Args:
        root: The directory of the archive.
        instance: ``master``, the name of a snapshot, or ``latest``.
        at: Read it as it was at this moment (as for ``moments.batch_at``: a batch, a snapshot, a
            date, a time); None for now, which goes on.

    Raises:
        NotFound: There is no such archive or moment. NewerFormat: A newer version made it.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        instance: str = MASTER,
        *,
        at: int | str | None = None,
    ) -> None:
        self._instance = Instance.at(Path(root).absolute(), instance)
        self._instance.require()
        self.at = None if at is None else batch_at(self._instance, at)
        """The last batch that is seen; None for whatever is the last."""
        # Not methods: an archive in a cycle would keep its files open after its last use.
        self._begin(
            Finder(partial(Database.of, self._instance, self.at)),
            partial(_open_shard, self._instance),
        )

    def _begin(
        self, finder: Finder, open_shard: Callable[[ShardRow, BlockCache], AnyShard]
    ) -> None:
        self._finder = finder
        self._shards = OpenShards(
            partial(_open_by_number, finder, open_shard), _OPEN_SHARDS, _CACHE_BYTES
        )
        self._checked: set[int] = set()

    @property
    def instance(self) -> Instance:
        """The directories of the instance."""
        return self._instance

    @property
    def address(self) -> str:
        """Where it is read from."""
        return str(self._instance.directory)

    def track_file(self, path: str) -> Path:
        """Where a file of a track is, by its path in the directory of tracks."""
        return self.instance.tracks / path

    @classmethod
    def of(cls, instance: Instance, at: int | str | None = None) -> Self:
        """An instance, open for reading."""
        return cls(instance.root, instance.name, at=at)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), at=self.at), (self.instance.root, self.instance.name)

    def __repr__(self) -> str:
        return f"<seqarchive.{type(self).__name__} {self.address}>"

    def close(self) -> None:
        """Close what is open. The archive opens it again when it is used again."""
        self._finder.close()
        self._shards.close()

    # --- finding ----------------------------------------------------------------------------

    def find(self, identifier: str) -> Digest:
        """The digest of the one sequence that an identifier stands for.

        Args:
            identifier: ``namespace:alias`` or a digest in any of its spellings; an alias without
                a namespace is searched in all.

        Raises:
            NotFound: None. Ambiguous: More than one; both are ``KeyError``.
        """
        return digest_text(self._finder.locate(identifier).digest)

    def __len__(self) -> int:
        return self._finder.database.n_sequences()

    def __iter__(self) -> Iterator[str]:
        """The ``ga4gh:SQ.`` names of all sequences, in the order in which they were added."""
        for row in self._finder.database.sequences():
            yield "ga4gh:SQ." + digest_text(row.digest)

    def __getitem__(self, identifier: str) -> ArchivedSequence:
        location = self._finder.locate(identifier)
        return ArchivedSequence(self, identifier, digest_text(location.digest), location.length)

    def sequences(self) -> Iterator[ArchivedSequence]:
        """All sequences, in the order in which they were added."""
        for row in self._finder.database.sequences():
            digest = digest_text(row.digest)
            yield ArchivedSequence(self, "ga4gh:SQ." + digest, digest, row.length)

    def records(self, namespace: str | None = None) -> Iterator[tuple[Digest, list[Alias]]]:
        """All sequences with their current aliases, in the order in which they were added.

        Args:
            namespace: Only sequences with an alias in it (with all their aliases).

        Raises:
            NotFound: There is no such namespace.
        """
        database = self._finder.database
        if namespace is not None:
            spelling = self.namespace(namespace)
            rows: Iterable[tuple[int, bytes]] = (
                (sequence_id, database.sequence(sequence_id).digest)
                for sequence_id in database.sequence_ids_in(spelling)
            )
        else:
            rows = ((row.id, row.digest) for row in database.sequences())
        waiting = iter(rows)
        while some := list(islice(waiting, _RECORDS)):
            aliases_of = database.aliases_of_many([sequence_id for sequence_id, _ in some])
            yield from ((digest_text(raw), aliases_of[number]) for number, raw in some)

    # --- residues ---------------------------------------------------------------------------

    def fetch(
        self,
        identifier: str,
        start: int | None = None,
        end: int | None = None,
        *,
        clamp: bool = False,
    ) -> str:
        """Residues of one sequence.

        Args:
            identifier: As for ``find``.
            start: First residue, 0-based; the beginning if None.
            end: Behind the last residue; the end if None. On a circular sequence it may be less
                than ``start``: the residues then go over the origin.
            clamp: Take what there is of a range that goes beyond the end.

        Returns:
            Upper-case residues, exactly as many as the range has.

        Raises:
            NotFound, Ambiguous: As for ``find``.
            BadInterval: The sequence has no such range.
            DigestMismatch: The stored residues are damaged (known when all are fetched).
            Corrupt: Another damage; the blocks of a part are checked by their CRC.
        """
        location = self._finder.locate(identifier)
        return self._fetch_located(location, identifier, start, end, clamp=clamp)

    def fetch_digest(self, digest: Digest, start: int | None = None, end: int | None = None) -> str:
        """Residues of the sequence with a sha512t24u digest; otherwise like ``fetch``."""
        return self.fetch("sha512t24u:" + digest, start, end)

    def _fetch_located(
        self,
        location: Location,
        identifier: str,
        start: int | None,
        end: int | None,
        *,
        clamp: bool,
    ) -> str:
        try:
            return self._fetch(location, identifier, start, end, clamp=clamp)
        except Corrupt:
            # `repair --reclaim` may have moved the sequence since it was located.
            now = self._finder.locate(identifier)
            if now == location:
                raise
            return self._fetch(now, identifier, start, end, clamp=clamp)

    def _fetch(
        self,
        location: Location,
        identifier: str,
        start: int | None,
        end: int | None,
        *,
        clamp: bool = False,
    ) -> str:
        length = location.length
        if start is None or end is None or not 0 <= start <= end <= length:
            start, end = _checked(location, identifier, start, end, clamp=clamp)
        if start > end:
            tail, head = (start, length), (0, end)
            return "".join(self._fetch(location, identifier, *part) for part in (tail, head))
        residues = self._read(location, start, end)
        whole = start == 0 and end == length
        if whole and length and hashlib.sha512(residues).digest()[:24] != location.digest:
            raise _damaged(location, identifier)
        return residues.decode("ascii")

    def _read(self, location: Location, start: int, end: int) -> bytes:
        number, _, length, shard_id, offset, _ = location
        if shard_id is None or offset is None:
            if length:
                raise _misplaced(location)
            return b""
        shard = self._shards[shard_id]
        if number in self._checked:
            return shard.residues(offset, start, end)
        begin, after = offset - HEADER_LENGTH, offset + shard.wrapping.text_length(length)
        if begin < 0:
            raise _misplaced(location)
        if length < BLOCK_SIZE and not shard.wrapping.line_bases:
            record = shard.read(begin, after + 1)
            self._check(location, record[:HEADER_LENGTH], record[-1:])
            return record[HEADER_LENGTH + start : HEADER_LENGTH + end]
        self._check(location, shard.read(begin, offset), shard.read(after, after + 1))
        return shard.residues(offset, start, end)

    def _check(self, location: Location, header: bytes, end: bytes) -> None:
        """Look once whether a record is where its row says: at its header and at its end."""
        if end != b"\n" or header != header_line(digest_text(location.digest)):
            name = self._finder.database.stored_name(location.id)
            if end != b"\n" or name is None or header != header_line(name):
                raise _misplaced(location)
        if len(self._checked) >= _CHECKED:
            self._checked = set()
        self._checked.add(location.id)

    def fetch_many(
        self, requests: Iterable[tuple[str, int | None, int | None]], *, clamp: bool = False
    ) -> list[str]:
        """Residues of many ranges, ``(identifier, start, end)`` each, in the order asked for.

        They are read in the order in which they are stored, so that each block is inflated once.
        """
        asked = list(requests)  # an iterator may look something up itself, or take its time
        with self._finder.database.one_commit():
            wanted = [
                (self._finder.locate(identifier), identifier, start, end)
                for identifier, start, end in asked
            ]
        order = sorted(
            range(len(wanted)),
            key=lambda n: (
                wanted[n][0].shard_id or 0,
                (wanted[n][0].offset or 0) + (wanted[n][2] or 0),
            ),
        )
        found = [""] * len(wanted)
        for n in order:
            location, identifier, start, end = wanted[n]
            found[n] = self._fetch_located(location, identifier, start, end, clamp=clamp)
        return found

    def is_circular(self, identifier: str) -> bool:
        """Whether a sequence is a circular molecule."""
        return bool(self._finder.locate(identifier).circular)

    def pieces(self, identifier: str, size: int = 1 << 20) -> Iterator[str]:
        """The residues of a sequence in pieces of bounded size.

        Raises:
            DigestMismatch: After the last piece, if all of them together are not the sequence.
        """
        for piece in self.pieces_at(self._finder.locate(identifier), size):
            yield piece.decode("ascii")

    def pieces_at(self, location: Location, size: int) -> Iterator[bytes]:
        """The same of a sequence that was found already, as bytes."""
        identifier = "sha512t24u:" + digest_text(location.digest)
        sha512 = hashlib.sha512()
        for start in range(0, location.length, size):
            end = min(start + size, location.length)
            try:
                piece = self._read(location, start, end)
            except Corrupt:
                now = self._finder.locate(identifier)  # as in `_fetch_located`
                if now == location:
                    raise
                location = now
                piece = self._read(location, start, end)
            sha512.update(piece)
            yield piece
        if location.length and sha512.digest()[:24] != location.digest:
            raise _damaged(location, identifier)

    def whole_at(self, location: Location) -> bytes:
        """All residues of a sequence that was found already; as ``pieces_at``."""
        try:
            residues = self._read(location, 0, location.length)
        except Corrupt:
            return b"".join(self.pieces_at(location, location.length))
        if location.length and hashlib.sha512(residues).digest()[:24] != location.digest:
            raise _damaged(location, "sha512t24u:" + digest_text(location.digest))
        return residues

    # --- names ------------------------------------------------------------------------------

    def aliases(self, identifier: str) -> list[Alias]:
        """The current aliases of a sequence, sorted."""
        return self._finder.database.aliases_of(self._finder.locate(identifier).id)

    def all_aliases(
        self, namespace: str | None = None, pattern: str | None = None
    ) -> Iterator[tuple[Alias, Digest]]:
        """Current aliases and what they mean, sorted by alias.

        Args:
            namespace: Only those of this one.
            pattern: Only those that match; ``*`` and ``?`` are wildcards here and nowhere else.

        Raises:
            NotFound: There is no such namespace.
        """
        if namespace is not None:
            namespace = self.namespace(namespace)
        for alias, digest in self._finder.database.aliases(namespace, pattern):
            yield alias, digest_text(digest)

    def namespace(self, name: str) -> str:
        """A namespace that there is, in its canonical spelling.

        Raises:
            NotFound: There is none of that name.
        """
        spelling = namespaces.canonical(name)
        database = self._finder.database
        if database.namespace_id(spelling) is None:
            known = ", ".join(known for known, _ in database.namespaces()) or "none"
            raise NotFound(f"there is no namespace {name!r} (there are: {known})")
        return spelling

    def has_namespace(self, name: str) -> bool:
        """Whether there is a namespace, in any spelling."""
        spelling = namespaces.canonical(name)
        return self._finder.database.namespace_id(spelling) is not None

    def translate(self, identifier: str, to: str | Sequence[str] | None = None) -> list[str]:
        """All names of a sequence as ``namespace:alias``, those that follow from digests first.

        Args:
            to: Only names in this namespace, or in these.
        """
        ((_, names),) = self.translate_many([identifier], to)
        return names

    def translate_many(
        self, identifiers: Sequence[str], to: str | Sequence[str] | None = None
    ) -> list[tuple[str, list[str]]]:
        """Each identifier with its names, in the order given.

        Raises:
            NotFound, Ambiguous: Of the first identifier that is so.
        """
        with self._finder.database.one_commit():
            return self._translate_many(identifiers, namespaces.chosen(to))

    def _translate_many(
        self, identifiers: Sequence[str], wanted: frozenset[str] | None
    ) -> list[tuple[str, list[str]]]:
        locations = self._finder.locate_many(identifiers)
        database = self._finder.database
        ids = list(dict.fromkeys(location.id for location in locations))
        computed = [name for name in COMPUTED_NAMES if wanted is None or name.lower() in wanted]
        digests = {location.id: StoredDigests(location.digest) for location in locations}
        if not _FROM_DIGEST.issuperset(computed):
            digests = database.digests_of_many(ids)
        stored: dict[int, list[Alias]] = {}
        if wanted is None or not wanted <= _COMPUTED:
            stored = database.aliases_of_many(ids)
        with_sha256 = (wanted is None or "sha256" in wanted) and database.keeps_sha256()
        answers: dict[int, list[str]] = {}
        for location in locations:
            if location.id in answers:
                continue
            names = computed_names(digests[location.id], computed)
            if with_sha256 and (sha256 := database.sha256_of(location.id)) is not None:
                names.append(Alias("sha256", sha256.hex()))
            names += (
                name
                for name in stored.get(location.id, ())
                if wanted is None or name.namespace.lower() in wanted
            )
            answers[location.id] = [f"{namespace}:{alias}" for namespace, alias in names]
        return [
            (identifier, answers[location.id])
            for identifier, location in zip(identifiers, locations, strict=True)
        ]

    def metadata(self, identifier: str) -> dict[str, Any]:
        """What is known of a sequence besides its residues; ready for JSON.

        Keys: ``identifier`` (``ga4gh:SQ.``), ``length``, ``alphabet`` (characters that occur),
        ``circular``, ``aliases`` (all names), ``added`` (ISO 8601, UTC; of what was adopted, when
        it was added there), ``batch``, ``deflines`` (``source`` and ``defline`` of each record
        that was this sequence).
        """
        with self._finder.database.one_commit():
            return self._metadata(identifier)

    def _metadata(self, identifier: str) -> dict[str, Any]:
        location = self._finder.locate(identifier)
        database = self._finder.database
        row = database.sequence(location.id)
        return {
            "identifier": "ga4gh:SQ." + digest_text(row.digest),
            "length": row.length,
            "alphabet": letters_in(row.letters),
            "circular": bool(location.circular),
            "aliases": self.translate(identifier),
            "added": database.added(row),
            "batch": row.batch_id,
            "deflines": [
                {"source": source, "defline": defline}
                for source, defline in database.deflines_of(location.id)
            ],
        }

    def status(self) -> dict[str, Any]:
        """Counts and sizes; ready for JSON."""
        with self._finder.database.one_commit():
            return self._status()

    def _status(self) -> dict[str, Any]:
        database = self._finder.database
        meta = database.meta()
        files = (self.instance.database, self.instance.database.with_suffix(".sqlite3-wal"))
        usage, total = usage_of(instance_directories(self.instance))
        return {
            "root": str(self.instance.root),
            "instance": self.instance.name,
            "batch": database.last_batch(),
            "archive_id": meta.get("archive_id"),
            **database.all_counts(),
            "database_bytes": sum(path.stat().st_size for path in files if path.exists()),
            "apparent_bytes": usage[self.instance.name].apparent,
            "own_bytes": usage[self.instance.name].own,
            "real_bytes_of_all": total,
            "namespaces": dict(database.namespaces()),
            "digests": database.kept_digests(),
        }

    def history(self, alias: str | Alias) -> list[Meaning]:
        """All that an alias ever meant, the oldest first; also what nothing means any more.

        Args:
            alias: ``namespace:alias``.

        Raises:
            NotFound: It never meant anything. BadName: It has no namespace.
        """
        name = parse_alias(str(alias))
        found = self._finder.database.history(name)
        if not found:
            raise NotFound(f"{name} never meant anything here")
        return found

    def collections(self, **attributes: str) -> list[ArchivedCollection]:
        """The collections that are here, in the order in which they were added: each file that was
        loaded whole is one.

        Args:
            attributes: Only those with these digests: ``names="Fw1r..."``.
        """
        return collections_of(self._finder.database, attributes)

    def collection(self, identifier: str) -> ArchivedCollection:
        """The collection of a digest, or of an alias (with or without its namespace).

        Raises:
            NotFound: There is none. Ambiguous: The alias means several.
        """
        return collection_of(self._finder.database, identifier)

    def collection_page(
        self, attributes: Mapping[str, str], page: int, page_size: int
    ) -> tuple[list[Digest], int]:
        """Digests of some collections, and how many there are in all.

        Args:
            attributes: Only those with these digests.
            page: From 0.

        Raises:
            BadName: No such attribute, or no digest.
        """
        return collection_page(self._finder.database, attributes, page, page_size)

    def attribute_page(self, attribute: str, page: int, page_size: int) -> tuple[list[Digest], int]:
        """The different digests of an attribute of collections, sorted, a page of them, and how
        many there are.

        Raises:
            BadName: No such attribute.
        """
        return attribute_page(self._finder.database, attribute, page, page_size)

    def namespaces(self) -> list[str]:
        """The namespaces of aliases of sequences, sorted."""
        return sorted(name for name, count in self._finder.database.namespaces() if count)

    def committed(self) -> tuple[str, str] | None:
        """When the first and the last batch were committed (ISO 8601, UTC); None if none was."""
        first, last = self._finder.database.connection.execute(
            "SELECT min(created), max(created) FROM batches"
        ).fetchone()
        return None if first is None else (first, last)

    def all_collection_aliases(self) -> list[tuple[Alias, Digest]]:
        """The aliases of all collections and what they mean, sorted."""
        return collection_aliases(self._finder.database)

    def batches(self) -> Iterator[dict[str, Any]]:
        """All batches, the oldest first; ready for JSON."""
        return self._finder.database.batches()

    def report_of(self, batch: int) -> dict[str, Any]:
        """What whoever made a batch was told of it.

        Raises:
            NotFound: There is no such batch.
        """
        return self.database.report_of(batch)

    @property
    def database(self) -> Database:
        """The look-ups beneath, of the calling thread."""
        return self._finder.database


def instance_directories(instance: Instance) -> dict[str, Path]:
    """The directories of an instance and of the others beside it, by name."""
    others = [Instance(instance.root), *snapshots_in(instance.root)]
    found = {one.name: one.directory for one in others if one.directory.is_dir()}
    return {**found, instance.name: instance.directory}


def _open_by_number(
    finder: Finder,
    open_shard: Callable[[ShardRow, BlockCache], AnyShard],
    shard_id: int,
    cache: BlockCache,
) -> AnyShard:
    row = finder.database.shard(shard_id)
    if not is_inside(row.path):
        raise Corrupt(f"the path of shard {shard_id} cannot be one; run `seqarchive verify`")
    return open_shard(row, cache)


def _open_shard(instance: Instance, row: ShardRow, cache: BlockCache) -> ShardReader:
    return ShardReader(
        instance.journal / row.path,
        row.id,
        size_bytes=row.size_bytes,
        gzi_sha256=row.gzi_sha256,
        first_digest=row.first_digest,
        wrapping=row.wrapping,
        cache=cache,
    )


_COMPUTED = frozenset(name.lower() for name in namespaces.COMPUTED)
_FROM_DIGEST = frozenset({"ga4gh", "sha512t24u", "VMC", "trunc512"})


def _checked(
    location: Location, identifier: str, start: int | None, end: int | None, *, clamp: bool
) -> tuple[int, int]:
    try:
        return check_interval(start, end, location.length, clamp=clamp, circular=location.circular)
    except BadInterval as error:
        raise BadInterval(f"{identifier}: {error.message}") from None


def _misplaced(location: Location) -> DigestMismatch:
    return DigestMismatch(
        f"SQ.{digest_text(location.digest)} is not where the database says; "
        "run `seqarchive verify --full`"
    )


def _damaged(location: Location, identifier: str) -> DigestMismatch:
    return DigestMismatch(
        f"{identifier}: the stored residues are not those of "
        f"SQ.{digest_text(location.digest)}; run `seqarchive verify --full`"
    )
