"""``SeqRepo``: the interface of biocommons.seqrepo over an archive, for programs that have it.

Names, arguments and answers are those of the package; where it answers wrongly (the old sequence
of an alias that has moved, digests without the ``*``, wildcards in look-ups, loops that do not end)
the answer is the right one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from ..archive import Archive, open_archive
from ..database import ADOPTED, Database, SequenceRow
from ..deflines import Naming
from ..errors import BadInterval, BadName, NotFound, ReadOnly
from ..identifiers import (
    Alias,
    Digest,
    DigestKey,
    Key,
    StoredDigests,
    bare_keys,
    computed_names,
    digest_bytes,
    digest_of,
    digest_text,
    parse_alias,
    parse_digest,
    qualified_key,
)
from ..instances import Instance
from ..letters import letters_in
from ..load_options import LoadOptions
from ..loading import store_records
from ..namespaces import canonical
from ..new_aliases import OnConflict
from ..records import Record, record_of
from ..remote import open_remote
from ..sequences import ArchivedSequence
from ..sources import is_remote
from ..writing import initialise
from .layout import STORED_NAMESPACES

if TYPE_CHECKING:
    from typing_extensions import Self

#: Names that follow from digests and that SeqRepo stores, with its spelling of the namespace.
_DIGESTS = {"md5": "MD5", "seguid": "SEGUID", "sha1": "SHA1", "VMC": "VMC"}
_DIGESTS_IN_LOWER_CASE = frozenset(name.lower() for name in _DIGESTS)

#: Namespaces that SeqRepo's interface has under another name than its tables.
_OURS = {theirs: ours for ours, theirs in STORED_NAMESPACES.items()}

#: Residues, and sequences, that wait for a commit before one is made.
_MUCH, _MANY = 100_000_000, 20_000


class SequenceProxy(ArchivedSequence):
    """A sequence that behaves like ``str``, its residues fetched when they are asked for."""

    __slots__ = ("_repository",)

    def __init__(self, repository: SeqRepo, digest: Digest, length: int) -> None:
        super().__init__(repository.archive, f"sha512t24u:{digest}", digest, length)
        self._repository = repository

    @property
    def seq_id(self) -> str:
        """The sha512t24u digest."""
        return self.digest

    @property
    def aliases(self) -> list[str]:  # type: ignore[override]
        """All names as ``namespace:alias``, in SeqRepo's spellings."""
        return self._repository.translate_alias(self.digest, "sha512t24u")


class SeqRepo:
    """An archive with the interface of ``biocommons.seqrepo.SeqRepo``.

    Args:
        root_dir: An instance (``ROOT/master``, ``ROOT/2024-06-01``), or a root: its ``master``.
        writeable: Whether ``store`` is allowed; an archive is made if there is none.
        upcase: Residues are always upper-case here; False is refused.
        use_sequenceproxy: Whether ``[...]`` gives a ``SequenceProxy`` instead of ``str``.
        on_conflict: When an alias that is stored means something else: ``error`` (SeqRepo moves
            it without a word), ``keep`` or ``replace``.
        translate_ncbi_namespace: Not used, as in SeqRepo.
        check_same_thread: Not used: any thread may read.
        fd_cache_size: Not used: files stay open in bounded number.

    Raises:
        OSError: There is no such directory.
        ReadOnly: It is to be written to, and is not on this machine.
    """

    def __init__(  # noqa: PLR0917  (theirs)
        self,
        root_dir: str | os.PathLike[str],
        writeable: bool = False,
        upcase: bool = True,
        translate_ncbi_namespace: bool | None = None,
        check_same_thread: bool = False,
        use_sequenceproxy: bool = True,
        fd_cache_size: int | None = 0,
        *,
        on_conflict: str = "error",
    ) -> None:
        del translate_ncbi_namespace, check_same_thread, fd_cache_size
        if not upcase:
            raise ValueError("residues are always upper-case in an archive")
        if writeable and is_remote(root_dir):
            raise ReadOnly(f"{root_dir} cannot be written: it is not on this machine")
        if writeable and not Path(root_dir).exists():
            initialise(Instance(Path(root_dir).absolute()))
        try:
            self.archive: Archive = (
                open_remote(os.fspath(root_dir)) if is_remote(root_dir) else open_archive(root_dir)
            )
        except NotFound as error:
            raise OSError(f"Unable to open SeqRepo directory {root_dir}: {error}") from None
        if writeable:
            self.archive.instance.require_writable()
        self.use_sequenceproxy = use_sequenceproxy
        self.aliases = SeqAliases(self)
        self.sequences = Sequences(self)
        self._writeable = writeable
        self._on_conflict = OnConflict(on_conflict)
        self._pending: list[Record] = []
        self._n_pending = 0
        # What waits, which is not new a second time: digests, and names.
        self._waiting: set[Digest] = set()
        self._waiting_names: set[Alias] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.commit()
        finally:
            self.archive.close()

    def __getstate__(self) -> dict[str, object]:
        self.reading()  # what waits would be stored by both
        return self.__dict__

    def __repr__(self) -> str:
        return f"SeqRepo(root_dir={self.archive.address}, writeable={self._writeable})"

    def close(self) -> None:
        """Commit what was stored, and close what is open."""
        try:
            self.commit()
        finally:
            self.archive.close()

    # --- reading ----------------------------------------------------------------------------

    def reading(self) -> Archive:
        """The archive, with everything in it that was stored."""
        if self._pending:
            self.commit()
        return self.archive

    def __contains__(self, nsa: object) -> bool:
        return nsa in self.reading()

    def __len__(self) -> int:
        return len(self.reading())

    def __getitem__(self, nsa: str) -> SequenceProxy | str:
        """A sequence by an alias, with or without namespace, or by a digest.

        Raises:
            KeyError: There is none, or more than one.
        """
        found = self.reading()[nsa]
        if self.use_sequenceproxy:
            return SequenceProxy(self, found.digest, len(found))
        return str(found)

    def __iter__(self) -> Iterator[tuple[dict[str, Any], Iterator[dict[str, Any]]]]:
        """Each sequence as a dict with its residues, and its aliases as dicts."""
        for info in self.sequences:
            yield info, self.aliases.find_aliases(seq_id=info["seq_id"])

    def fetch(
        self,
        alias: str,
        start: int | None = None,
        end: int | None = None,
        namespace: str | None = None,
    ) -> str:
        """Residues; a range that goes beyond the end is cut to what there is.

        Raises:
            KeyError: No such sequence, or more than one. ValueError: A negative or reversed range.
        """
        identifier = alias if namespace is None else f"{namespace}:{alias}"
        archive = self.reading()
        if (start or 0) < 0 or (end is not None and end < (start or 0)):
            archive.find(identifier)  # no such sequence is the first thing to say
            raise BadInterval(f"{identifier}: the range {start}-{end} is negative or reversed")
        return archive.fetch(identifier, start, end, clamp=True)

    def fetch_uri(self, uri: str, start: int | None = None, end: int | None = None) -> str:
        """``fetch`` by ``namespace:alias``."""
        namespace, colon, alias = uri.partition(":")
        if not (namespace and colon and alias):
            raise ValueError(f"Unable to parse {uri} as URI.")
        return self.fetch(alias, start, end, namespace)

    def translate_alias(
        self,
        alias: str,
        namespace: str | None = None,
        target_namespaces: Sequence[str] | str | None = None,
        translate_ncbi_namespace: bool | None = None,
    ) -> list[str]:
        """All names of a sequence, in SeqRepo's spellings of namespaces.

        Raises:
            KeyError: No such sequence, or more than one.
        """
        identifier = alias if namespace is None else f"{namespace}:{alias}"
        return self.translate_identifier(identifier, target_namespaces, translate_ncbi_namespace)

    def translate_identifier(
        self,
        identifier: str,
        target_namespaces: Sequence[str] | str | None = None,
        translate_ncbi_namespace: bool | None = None,
    ) -> list[str]:
        """All names of a sequence, or those in some namespaces, as ``namespace:alias``."""
        del translate_ncbi_namespace
        wanted = [target_namespaces] if isinstance(target_namespaces, str) else target_namespaces
        archive = self.reading()
        with archive.database.one_commit():
            rows = list(self.aliases.find_aliases(seq_id=archive.find(identifier)))
        return [
            f"{row['namespace']}:{row['alias']}"
            for row in rows
            if not wanted or row["namespace"] in wanted
        ]

    # --- for vrs-python ---------------------------------------------------------------------

    def get_sequence(
        self, identifier: str, start: int | None = None, end: int | None = None
    ) -> str:
        """``fetch`` by any identifier, as a data proxy of vrs-python does."""
        return self.fetch(identifier, start, end)

    def get_metadata(self, identifier: str) -> dict[str, Any]:
        """``length``, ``alphabet``, ``added`` (ISO 8601) and ``aliases`` of a sequence."""
        archive = self.reading()
        with archive.database.one_commit():
            found = archive.metadata(identifier)
            aliases = self.translate_identifier(identifier)
        return {
            "length": found["length"],
            "alphabet": found["alphabet"],
            "added": found["added"],
            "aliases": aliases,
        }

    def translate_sequence_identifier(
        self, identifier: str, namespace: str | None = None
    ) -> list[str]:
        """Names of a sequence in one namespace, or all."""
        return self.translate_identifier(identifier, namespace)

    # --- writing ----------------------------------------------------------------------------

    def store(self, seq: str, nsaliases: Iterable[Mapping[str, str]]) -> tuple[int, int]:
        """Store a sequence under names; it is committed with the next ``commit`` or look-up.

        Args:
            nsaliases: Dicts with ``namespace`` and ``alias``.

        Returns:
            How many sequences (0 or 1) and names are new.

        Raises:
            ReadOnly: Not opened with ``writeable=True``.
            AliasConflict: From ``commit``: a name means something else.
        """
        if not self._writeable:
            raise ReadOnly("this SeqRepo was opened read-only (writeable=False)")
        names = [parse_alias(f"{row['namespace']}:{row['alias']}") for row in nsaliases]
        if not names:
            raise BadName("a sequence needs at least one namespace and alias")
        record = record_of(seq)
        digest = digest_of(record.residues)
        record.defline = " ".join([f"ga4gh:SQ.{digest}", *map(str, names)])
        there = digest in self._waiting or f"ga4gh:SQ.{digest}" in self.archive
        new = {name for name in names if self._is_new(name)}
        self._pending.append(record)
        self._n_pending += len(record.residues)
        self._waiting.add(digest)
        self._waiting_names.update(new)
        if self._n_pending > _MUCH or len(self._pending) >= _MANY:
            self.commit()
        return int(not there), len(new)

    def _is_new(self, name: Alias) -> bool:
        return name not in self._waiting_names and str(name) not in self.archive

    def commit(self) -> None:
        """Make what was stored durable and visible, as one batch or not at all."""
        pending, self._pending, self._n_pending = self._pending, [], 0
        self._waiting, self._waiting_names = set(), set()
        if pending:
            options = LoadOptions(Naming("lab"), self._on_conflict)
            store_records(self.archive.instance, pending, options)


class SeqAliases:
    """``SeqRepo.aliases``."""

    def __init__(self, repository: SeqRepo) -> None:
        self._repository = repository

    def find_aliases(
        self,
        seq_id: str | None = None,
        namespace: str | None = None,
        alias: str | None = None,
        current_only: bool = True,
        translate_ncbi_namespace: bool | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Names that match, exactly, sorted by sequence, namespace and name as in SeqRepo's table.

        Yields:
            ``seq_id``, ``namespace``, ``alias``, ``added``, ``is_current``; each row in the
            namespace of the table, then in those of SeqRepo's interface.
        """
        del translate_ncbi_namespace
        archive = self._repository.reading()
        wanted = _Wanted.of(namespace, alias, current_only)
        if seq_id is None and alias is None:
            for digest in sorted(sequence.digest for sequence in archive.sequences()):
                with archive.database.one_commit():
                    rows = self._rows(digest, wanted)
                yield from rows
            return
        if seq_id is not None:
            keys = [qualified_key(f"sha512t24u:{seq_id}")]
        elif namespace is not None:
            keys = [qualified_key(f"{namespace}:{alias}")]
        else:
            keys = [*bare_keys(str(alias))]
        with archive.database.one_commit():
            digests = self._digests(keys)
            if seq_id is None and not current_only:
                digests |= self._former(str(alias))
            rows = [row for digest in sorted(digests) for row in self._rows(digest, wanted)]
        yield from rows

    def _digests(self, keys: Iterable[Key | None]) -> set[Digest]:
        """What keys stand for; a digest for itself, be it here or not."""
        database = self._repository.archive.database
        found = set()
        for key in keys:
            if isinstance(key, DigestKey) and key.column == "digest":
                found.add(digest_text(key.value))
            elif key is not None:
                found.update(digest_text(location.digest) for location in database.locate(key))
        return found

    def _former(self, alias: str) -> set[Digest]:
        """What a name meant in any namespace."""
        rows = self._repository.archive.database.connection.execute(
            "SELECT digest FROM ended_aliases e JOIN sequences s ON s.id = e.sequence_id"
            " WHERE e.alias = ?",
            (alias,),
        )
        return {digest_text(digest) for (digest,) in rows}

    def _rows(self, digest: Digest, wanted: _Wanted) -> list[dict[str, Any]]:
        found = _stored_rows(self._repository.archive.database, digest, wanted)
        found.sort()
        return [
            {
                "seq_id": digest,
                "namespace": spelled,
                "alias": name,
                "added": _time(when),
                "is_current": current,
            }
            for namespace, alias, when, current in found
            for spelled, name in _spellings(namespace, alias)
        ]


class _Wanted(NamedTuple):
    """Which rows of SeqRepo's table are asked for; None is any."""

    namespace: str | None
    """In lower case."""
    alias: str | None
    current_only: bool

    @classmethod
    def of(cls, namespace: str | None, alias: str | None, current_only: bool) -> _Wanted:
        """What the interface is asked for, said as the table has it."""
        if namespace is None:
            return cls(None, alias, current_only)
        try:
            name = canonical(namespace).lower()
        except BadName:
            name = namespace  # no row has it
        prefix = _PREFIXES.get(name)
        if prefix is None:
            return cls(name, alias, current_only)
        if alias is not None:
            alias = f"GS_{alias[len(prefix) :]}" if alias.startswith(prefix) else ""
        return cls("vmc", alias, current_only)

    def has(self, namespace: str, alias: str) -> bool:
        """Whether a row is one of them, its namespace spelled as here."""
        return self.namespace in (None, namespace.lower()) and self.alias in (None, alias)


#: Namespaces of the interface for the digest that the table has as ``VMC:GS_``; in lower case.
_PREFIXES = {"sha512t24u": "", "ga4gh": "SQ."}


def _spellings(namespace: str, alias: str) -> list[tuple[str, str]]:
    """A row of SeqRepo's table, and what its interface adds to it."""
    if namespace == "VMC":
        digest = alias.removeprefix("GS_")
        return [(namespace, alias), ("sha512t24u", digest), ("ga4gh", f"SQ.{digest}")]
    ours = _OURS.get(namespace)
    return [(namespace, alias)] if ours is None else [(namespace, alias), (ours, alias)]


def _stored_rows(
    database: Database, digest: Digest, wanted: _Wanted
) -> list[tuple[str, str, str, int]]:
    """Names of a sequence as rows of SeqRepo's table: namespace, alias, time, whether it is so
    still; none if there is no such sequence."""
    row = database.connection.execute(
        f"SELECT s.id, md5, sha1, coalesce({ADOPTED}, created)"
        " FROM by_digest k JOIN sequences s ON s.id = k.id JOIN batches b ON b.id = s.batch_id"
        " LEFT JOIN adopted_sequences d ON d.sequence_id = s.id WHERE k.digest = ?",
        (digest_bytes(digest),),
    ).fetchone()
    if row is None:
        return []
    number, md5, sha1, created = row
    digests = StoredDigests(digest_bytes(digest), md5, sha1)
    found = [
        (_DIGESTS[namespace], alias, created, 1)
        for namespace, alias in computed_names(digests, _DIGESTS)
        if wanted.has(namespace, alias)
    ]
    if wanted.namespace in _DIGESTS_IN_LOWER_CASE:
        return found
    queries = [("aliases", "batch_id", 1)]
    if not wanted.current_only:
        queries.append(("ended_aliases", "from_batch", 0))
    for table, since, current in queries:
        found += (
            (STORED_NAMESPACES.get(namespace, namespace), alias, when, current)
            for namespace, alias, when in database.connection.execute(
                f"SELECT n.name, a.alias, coalesce({ADOPTED}, b.created) FROM {table} a"
                " JOIN namespaces n ON n.id = a.namespace_id"
                f" JOIN batches b ON b.id = a.{since}"
                " LEFT JOIN adopted_aliases d ON d.alias = a.alias"
                " AND d.namespace_id = a.namespace_id AND d.sequence_id = a.sequence_id"
                " WHERE a.sequence_id = ?",
                (number,),
            )
            if wanted.has(namespace, alias)
        )
    return found


class Sequences:
    """``SeqRepo.sequences``."""

    def __init__(self, repository: SeqRepo) -> None:
        self._repository = repository

    def __contains__(self, seq_id: object) -> bool:
        return isinstance(seq_id, str) and f"sha512t24u:{seq_id}" in self._repository.reading()

    def __len__(self) -> int:
        return len(self._repository)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Each sequence as a dict, with its residues as ``seq``."""
        archive = self._repository.reading()
        for row in archive.database.sequences():
            info = self._info(row)
            yield {**info, "seq": self.fetch(info["seq_id"])}

    def fetch(self, seq_id: str, start: int | None = None, end: int | None = None) -> str:
        """Residues by digest; otherwise as ``SeqRepo.fetch``."""
        return self._repository.fetch(seq_id, start, end, "sha512t24u")

    def fetch_seqinfo(self, seq_id: str) -> dict[str, Any]:
        """``seq_id``, ``len``, ``alpha``, ``added`` and ``relpath`` of a sequence.

        Raises:
            KeyError: No such sequence.
        """
        database = self._repository.reading().database
        with database.one_commit():
            row = database.connection.execute(
                "SELECT s.id FROM by_digest k JOIN sequences s ON s.id = k.id WHERE k.digest = ?",
                (_raw(seq_id),),
            ).fetchone()
            if row is None:
                raise NotFound(f"{seq_id!r} is not in the archive")
            return self._info(database.sequence(row[0]))

    def _info(self, row: SequenceRow) -> dict[str, Any]:
        database = self._repository.archive.database
        return {
            "seq_id": digest_text(row.digest),
            "len": row.length,
            "alpha": letters_in(row.letters),
            "added": _time(database.added(row)),
            "relpath": "" if row.shard_id is None else database.shard(row.shard_id).path,
        }


def _raw(digest: str) -> bytes:
    """A digest as bytes; of what is none, something that no sequence has."""
    try:
        return digest_bytes(parse_digest(digest))
    except BadName:
        return b""


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.removesuffix("Z"))
