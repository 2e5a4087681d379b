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
from typing import TYPE_CHECKING, Any

from ..archive import Archive, open_archive
from ..batches import OnConflict
from ..database import SequenceRow
from ..deflines import Naming
from ..errors import BadInterval, BadName, NotFound, ReadOnly
from ..identifiers import (
    Digest,
    StoredDigests,
    computed_names,
    digest_bytes,
    digest_of,
    digest_text,
    parse_alias,
    parse_digest,
)
from ..instances import Instance
from ..letters import letters_in
from ..load_options import LoadOptions
from ..loading import store_records
from ..records import Record, record_of
from ..sequences import ArchivedSequence
from ..writing import initialise
from .layout import STORED_NAMESPACES

if TYPE_CHECKING:
    from typing_extensions import Self

#: Names that follow from digests, as SeqRepo spells their namespaces.
_COMPUTED = {
    "md5": "MD5",
    "seguid": "SEGUID",
    "sha1": "SHA1",
    "VMC": "VMC",
    "sha512t24u": "sha512t24u",
    "ga4gh": "ga4gh",
}

#: Namespaces that spell one digest, each in its own way: one row of SeqRepo's table.
_ONE_DIGEST = frozenset({"VMC", "sha512t24u", "ga4gh"})

#: Residues that wait for a commit before one is made.
_MUCH = 100_000_000


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
        if writeable and not Path(root_dir).exists():
            initialise(Instance(Path(root_dir).absolute()))
        try:
            self.archive: Archive = open_archive(root_dir)
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.commit()
        self.archive.close()

    def __repr__(self) -> str:
        return f"SeqRepo(root_dir={self.archive.instance.directory}, writeable={self._writeable})"

    def close(self) -> None:
        """Commit what was stored, and close what is open."""
        self.commit()
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
        if (start or 0) < 0 or (end or 0) < 0:
            raise BadInterval(f"the range {start}-{end} is negative; positions count from 0")
        identifier = alias if namespace is None else f"{namespace}:{alias}"
        return self.reading().fetch(identifier, start, end, clamp=True)

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
        rows = self.aliases.find_aliases(seq_id=self.reading().find(identifier))
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
        found = self.reading().metadata(identifier)
        return {
            "length": found["length"],
            "alphabet": found["alphabet"],
            "added": found["added"],
            "aliases": self.translate_identifier(identifier),
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
        waiting = {one.defline.split(None, 1)[0] for one in self._pending}
        there = f"ga4gh:SQ.{digest}" in self.archive or f"ga4gh:SQ.{digest}" in waiting
        n_known = sum(str(name) in self.archive for name in dict.fromkeys(names))
        self._pending.append(record)
        self._n_pending += len(record.residues)
        if self._n_pending > _MUCH:
            self.commit()
        return int(not there), len(dict.fromkeys(names)) - n_known

    def commit(self) -> None:
        """Make what was stored durable and visible, as one batch or not at all."""
        pending, self._pending, self._n_pending = self._pending, [], 0
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
        """Names that match, exactly, sorted by sequence, namespace and name.

        Yields:
            ``seq_id``, ``namespace``, ``alias``, ``added``, ``is_current``; in the namespaces of
            both SeqRepo's interface and its tables.
        """
        del translate_ncbi_namespace
        archive = self._repository.reading()
        if seq_id is None and namespace is not None and alias is not None:
            try:
                digests = [archive.find(f"{namespace}:{alias}")]
            except NotFound:
                digests = []
            if not current_only:
                digests += self._former(namespace, alias)
        elif seq_id is None and alias is not None:
            digests = [
                digest_text(archive.database.sequence(number).digest)
                for _, number in archive.database.candidates(alias)
            ]
        elif seq_id is None:
            digests = [sequence.digest for sequence in archive.sequences()]
        else:
            digests = [Digest(seq_id)] if f"sha512t24u:{seq_id}" in archive else []
        wanted = None if namespace is None else _spellings(namespace)
        if wanted == _ONE_DIGEST:
            alias = None  # three spellings of what was found
        for digest in sorted(dict.fromkeys(digests)):
            for row in self._rows(digest, current_only=current_only):
                if wanted is not None and row["namespace"] not in wanted:
                    continue
                if alias is not None and row["alias"] != alias:
                    continue
                yield row

    def _former(self, namespace: str, alias: str) -> list[Digest]:
        try:
            meanings = self._repository.archive.history(f"{namespace}:{alias}")
        except (NotFound, BadName):
            return []
        return [digest_text(one.digest) for one in meanings if not one.is_reclaimed]

    def _rows(self, digest: Digest, *, current_only: bool) -> list[dict[str, Any]]:
        database = self._repository.archive.database
        (row,) = database.connection.execute(
            "SELECT s.id, md5, sha1, created FROM sequences s, batches b WHERE b.id = s.batch_id"
            " AND s.digest = ?",
            (_raw(digest),),
        ).fetchall()
        number, md5, sha1, created = row
        found = [
            (_COMPUTED[name.namespace], name.alias, created, 1)
            for name in computed_names(StoredDigests(_raw(digest), md5, sha1), _COMPUTED)
        ]
        queries = [("aliases", "batch_id", 1)]
        if not current_only:
            queries.append(("ended_aliases", "from_batch", 0))
        for table, since, current in queries:
            for namespace, alias, when in database.connection.execute(
                f"SELECT n.name, a.alias, b.created FROM {table} a"
                " JOIN namespaces n ON n.id = a.namespace_id"
                f" JOIN batches b ON b.id = a.{since} WHERE a.sequence_id = ?",
                (number,),
            ):
                found.append((namespace, alias, when, current))
                if namespace in STORED_NAMESPACES:
                    found.append((STORED_NAMESPACES[namespace], alias, when, current))
        return [
            {
                "seq_id": digest,
                "namespace": namespace,
                "alias": alias,
                "added": _time(when),
                "is_current": current,
            }
            for namespace, alias, when, current in sorted(found)
        ]


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
        row = database.connection.execute(
            "SELECT id FROM sequences WHERE digest = ?", (_raw(seq_id),)
        ).fetchone()
        if row is None:
            raise NotFound(f"{seq_id!r} is not in the archive")
        return self._info(database.sequence(row[0]))

    def _info(self, row: SequenceRow) -> dict[str, Any]:
        database = self._repository.archive.database
        (created,) = database.connection.execute(
            "SELECT created FROM batches WHERE id = ?", (row.batch_id,)
        ).fetchone()
        return {
            "seq_id": digest_text(row.digest),
            "len": row.length,
            "alpha": letters_in(row.letters),
            "added": _time(created),
            "relpath": "" if row.shard_id is None else database.shard(row.shard_id).path,
        }


def _raw(digest: str) -> bytes:
    """A digest as bytes; of what is none, something that no sequence has."""
    try:
        return digest_bytes(parse_digest(digest))
    except BadName:
        return b""


def _spellings(namespace: str) -> frozenset[str]:
    """A namespace in the spellings of SeqRepo's interface and of its tables."""
    if namespace in _ONE_DIGEST:
        return _ONE_DIGEST
    pairs = [*STORED_NAMESPACES.items(), *_COMPUTED.items()]
    same = {
        name
        for pair in pairs
        if namespace.lower() in (one.lower() for one in pair)
        for name in pair
    }
    return frozenset(same | {namespace})


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.removesuffix("Z"))
