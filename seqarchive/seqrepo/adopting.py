"""Adopt a SeqRepo instance: its shards by hard link, its names with their history.

What the instance says is checked before it counts. A sequence is known here by the digest of all
its residues, whatever SeqRepo called it: it leaves ``*`` out of its digests, so that two proteins
may have one key there, and a key may not be the digest of what is stored under it.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import groupby, islice
from pathlib import Path
from typing import Any, NamedTuple

from .. import durable, namespaces
from ..batches import Batch
from ..durable import Sharing
from ..errors import BadInput, BadName, Locked, NotFound
from ..identifiers import check_alias, digest_bytes, digest_text
from ..instances import Instance
from ..letters import RESIDUES, letters_of
from ..new_aliases import AliasId, AliasRow, OnConflict
from ..new_sequences import NewSequence
from ..shard_writer import ShardFiles
from ..shards import beside, file_sha256
from ..writing import Writing
from .foreign import ForeignShard, is_regular
from .layout import SCHEMA_VERSION, Layout

Progress = Callable[[int], None]

_KEY = re.compile(r"[A-Za-z0-9_-]{32}\Z", re.ASCII)
_MD5 = re.compile(r"[0-9a-f]{32}\Z", re.ASCII)
_SHA1 = re.compile(r"[0-9a-f]{40}\Z", re.ASCII)
_RESIDUES = frozenset(RESIDUES.decode("ascii"))

#: Rows of which the lookups are made together.
_ROWS = 500


@dataclass(slots=True)
class AdoptReport:
    """What came of an instance; nothing that was left out or changed is missing here."""

    directory: str
    verified: bool
    batch: int | None = None
    sequences_added: int = 0
    sequences_known: int = 0
    residues_added: int = 0
    aliases_added: int = 0
    aliases_known: int = 0
    aliases_moved: int = 0
    aliases_kept: int = 0
    former_aliases: int = 0
    files: dict[str, int] = field(default_factory=dict)
    """How many shards were linked, cloned, copied."""
    other_digest: list[str] = field(default_factory=list)
    """Sequences whose key is not the digest of their residues, with the true one."""
    skipped: list[str] = field(default_factory=list)
    """Sequences and names that could not be taken, each with the reason."""
    conflicts: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


class _Row(NamedTuple):
    """A row of ``seqinfo``."""

    key: str
    length: int
    alphabet: str
    path: str
    added: object


def import_seqrepo(
    instance: Instance,
    directory: Path,
    *,
    on_conflict: OnConflict = OnConflict.ERROR,
    verify: bool = False,
    progress: Progress = lambda _n: None,
) -> AdoptReport:
    """Take an instance of SeqRepo into an archive, as one batch.

    Args:
        directory: Of the instance: the one with ``aliases.sqlite3``.
        on_conflict: When an alias already means another sequence here.
        verify: Hash all residues; otherwise only those with ``*``, whose key SeqRepo gets wrong,
            and those of which it lacks a digest.
        progress: Called with numbers of bytes of shards that are done.

    Raises:
        NotFound: There is no instance. Locked: It was left by a writer that died, or one is at it.
        BadInput: It is something else, or its tables and files contradict each other.
        AliasConflict: See ``on_conflict``; nothing was changed.
    """
    started = time.monotonic()
    layout = Layout(directory)
    instance.require_writable()
    report = AdoptReport(str(directory), verify)
    with ExitStack() as stack:
        sequences = stack.enter_context(closing(_open(layout.sequences)))
        aliases = stack.enter_context(closing(_open(layout.aliases)))
        writing = stack.enter_context(Writing(instance))
        batch = stack.enter_context(Batch(writing.connection, "import-seqrepo"))
        adoption = _Adoption(
            writing, batch, layout, aliases, report, verify=verify, progress=progress
        )
        adoption.take_sequences(sequences)
        adoption.take_aliases(on_conflict)
        adoption.record_sources()
        report.batch = batch.id
        report.sequences_added = batch.sequences.n_added
        report.residues_added = batch.sequences.n_residues
        report.conflicts = list(batch.aliases.counts.conflicts)
        report.seconds = round(time.monotonic() - started, 3)
        writing.commit(batch, report.as_dict())
    return report


def _open(path: Path) -> sqlite3.Connection:
    """One of the two databases, in a read transaction.

    Raises:
        NotFound, Locked, BadInput: See ``import_seqrepo``.
    """
    if not path.is_file():
        raise NotFound(f"there is no SeqRepo instance here: {path} is missing")
    for suffix in ("-journal", "-wal"):
        log = path.with_name(path.name + suffix)
        if log.exists() and log.stat().st_size:
            raise Locked(
                f"{path} has a hot journal ({log.name}): a writer is at work, or it died there; "
                "wait for it, or open the instance once with SeqRepo, and try again"
            )
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
    try:
        connection.isolation_level = None
        connection.execute("BEGIN")
        (version,) = connection.execute(
            "SELECT value FROM meta WHERE key = 'schema version'"
        ).fetchone() or (None,)
    except sqlite3.DatabaseError as error:
        connection.close()
        if "locked" in str(error):
            raise Locked(f"{path} is locked by another program; try again later") from None
        raise BadInput(f"not a database of SeqRepo ({error})", file=str(path)) from None
    if version != SCHEMA_VERSION:
        connection.close()
        raise BadInput(f"SeqRepo's schema version 1 is understood, not {version}", file=str(path))
    return connection


def _read(
    connection: sqlite3.Connection, path: Path, query: str, parameters: Sequence[object] = ()
) -> Iterator[tuple[Any, ...]]:
    """Rows of one of the two databases.

    Raises:
        BadInput: It is damaged, or something else. What is wrong in ours is not said of it.
    """
    try:
        # Whoever lets go of ``yield from`` closes the cursor too, perhaps after its connection.
        for row in connection.execute(query, parameters):  # noqa: UP028
            yield row
    except sqlite3.DatabaseError as error:
        raise BadInput(f"not a database of SeqRepo ({error})", file=str(path)) from None


class _Adoption:
    """One import, as far as it has got."""

    def __init__(
        self,
        writing: Writing,
        batch: Batch,
        layout: Layout,
        aliases: sqlite3.Connection,
        report: AdoptReport,
        *,
        verify: bool,
        progress: Progress,
    ) -> None:
        self._writing = writing
        self._batch = batch
        self._layout = layout
        self._aliases = aliases
        self._report = report
        self._verify = verify
        self._progress = progress
        self._ways: Counter[Sharing] = Counter()
        # Key there -> sequence here, where the key is not the digest.
        self._other: dict[str, int] = {}
        self._namespaces: dict[str, int] = {}

    # --- sequences --------------------------------------------------------------------------

    def take_sequences(self, sequences: sqlite3.Connection) -> None:
        """Adopt each shard that has something new."""
        rows = (
            _Row(*row)
            for row in _read(
                sequences,
                self._layout.sequences,
                "SELECT seq_id, len, alpha, relpath, added FROM seqinfo ORDER BY relpath, seq_id",
            )
        )
        for relpath, some in groupby(rows, key=lambda row: row.path):
            self._take_shard(relpath, [row for row in some if self._is_sound(row)])
        self._report.files = {way.value: number for way, number in self._ways.items()}

    def _is_sound(self, row: _Row) -> bool:
        if not isinstance(row.key, str) or _KEY.match(row.key) is None:
            self._skip(f"{row.key!r}: the key of a sequence is 32 base64url characters")
        elif not isinstance(row.length, int) or not 0 < row.length < 1 << 48:
            self._skip(f"{row.key}: a sequence of {row.length!r} residues")
        elif not isinstance(row.alphabet, str) or not _RESIDUES.issuperset(row.alphabet):
            strange = "".join(sorted(set(str(row.alphabet)) - _RESIDUES))
            self._skip(f"{row.key}: {strange!r} are no residues (A-Z, '*' or '-')")
        else:
            return True
        return False

    def _skip(self, message: str) -> None:
        self._report.skipped.append(message)

    def _take_shard(self, relpath: str, rows: Sequence[_Row]) -> None:
        """Adopt a shard, if any of its sequences is new."""
        digests = self._digests_of(rows)
        # SeqRepo's keys are digests, but for proteins with a stop; what is known needs no look.
        trusted = {row.key for row in rows if not self._must_hash(row, digests)}
        known = self._known(map(digest_bytes, trusted))
        waiting = [
            row for row in rows if row.key not in trusted or digest_bytes(row.key) not in known
        ]
        self._report.sequences_known += len(rows) - len(waiting)
        if not waiting:
            return
        journal = self._writing.journal
        linked = journal.temporary("adopted.fa.bgz")
        path = self._path(relpath)
        way = durable.share(path, linked)
        shard = ForeignShard(path, linked)
        waiting.sort(key=lambda row: shard.offset_of(row.key))
        places = {row.key: shard.place(row.key, row.length) for row in waiting}
        known = self._known(map(digest_bytes, places))
        shard_id = self._batch.new_shard_id()
        new: list[NewSequence] = []
        names: dict[int, str] = {}
        taken: dict[bytes, int] = {}
        times: dict[int, object] = {}
        for row in waiting:
            place = places[row.key]
            digest, md5, sha1, letters = (
                _said(row, digests[row.key]) if row.key in trusted else shard.hashed(row.key, place)
            )
            is_other = digest != digest_bytes(row.key)
            sequence_id = known.get(digest) or taken.get(digest)
            if sequence_id is None and is_other:
                sequence_id = self._known([digest]).get(digest)
            if sequence_id is None:
                sequence_id = taken[digest] = self._batch.sequences.new_id()
                times[sequence_id] = row.added
                new.append(
                    NewSequence(
                        sequence_id, digest, md5, sha1, row.length, letters, shard_id, place.offset
                    )
                )
                if is_other:  # of the record that is stored; later ones may have another name
                    names[sequence_id] = row.key
            else:
                self._report.sequences_known += 1
            if is_other:
                self._report.other_digest.append(f"{row.key} is SQ.{digest_text(digest)}")
                self._other[row.key] = sequence_id
        if not new:
            journal.discard(linked)
            return
        self._ways[way] += 1
        path_here, files = self._publish(shard, new, names)
        self._batch.add_shard(shard_id, path_here, files)
        self._batch.sequences.add(new)
        self._batch.sequences.add_times(
            (sequence_id, when)
            for sequence_id, added in times.items()
            if (when := _unix_time(added)) is not None
        )
        self._batch.sequences.add_stored_names(names.items())
        self._progress(shard.n_bytes)

    def _digests_of(self, rows: Sequence[_Row]) -> dict[str, dict[str, str]]:
        """MD5 and SHA-1 as the instance has them, by key."""
        found: dict[str, dict[str, str]] = {}
        for at in range(0, len(rows), _ROWS):
            keys = [row.key for row in rows[at : at + _ROWS]]
            marks = ",".join("?" * len(keys))
            for key, namespace, alias in _read(
                self._aliases,
                self._layout.aliases,
                "SELECT seq_id, namespace, alias FROM seqalias WHERE is_current = 1"
                f" AND namespace IN ('MD5', 'SHA1') AND seq_id IN ({marks})",
                keys,
            ):
                found.setdefault(key, {})[namespace] = str(alias)
        return found

    def _must_hash(self, row: _Row, found: Mapping[str, Mapping[str, str]]) -> bool:
        digests = found.get(row.key, {})
        return (
            self._verify
            or "*" in row.alphabet
            or _MD5.match(digests.get("MD5", "")) is None
            or _SHA1.match(digests.get("SHA1", "")) is None
        )

    def _known(self, digests: Iterable[bytes]) -> dict[bytes, int]:
        return self._batch.sequences.find(list(dict.fromkeys(digests)))

    def _path(self, relpath: object) -> Path:
        """A file of the instance, and nothing outside of it."""
        if (
            not isinstance(relpath, str)
            or not relpath.isprintable()
            or {"", ".", ".."}.intersection(relpath.split("/"))
        ):
            raise BadInput(f"{relpath!r} is no path of a shard", file=str(self._layout.sequences))
        journal = self._layout.journal
        path = journal / relpath
        if not is_regular(path) or not path.parent.resolve().is_relative_to(journal.resolve()):
            raise BadInput("a shard is missing, or is a link", file=str(path))
        return path

    def _publish(
        self, shard: ForeignShard, new: Sequence[NewSequence], names: Mapping[int, str]
    ) -> tuple[str, ShardFiles]:
        """Give a shard its name in our journal. Returns its path there, and its files."""
        fai = "".join(
            shard.wrapping.fai_line(
                names.get(sequence.id) or digest_text(sequence.digest),
                sequence.length,
                sequence.offset or 0,
            )
            for sequence in new
        ).encode("ascii")
        beside(shard.linked, ".fai").write_bytes(fai)
        files = ShardFiles(
            shard.linked,
            *file_sha256(shard.linked),
            len(fai),
            hashlib.sha256(fai).digest(),
            len(shard.gzi),
            hashlib.sha256(shard.gzi).digest(),
            digest_bytes(shard.first_name),
            len(new),
            sum(sequence.length for sequence in new),
            shard.wrapping.line_bases,
        )
        directory = self._writing.open_directory()
        path = self._writing.journal.publish(shard.linked, directory)
        self._writing.journal.sync(directory)
        return path, files

    # --- names ------------------------------------------------------------------------------

    def take_aliases(self, on_conflict: OnConflict) -> None:
        """Take the names in, former ones as history."""
        rows = _read(
            self._aliases,
            self._layout.aliases,
            "SELECT a.seq_id, a.namespace, a.alias, a.is_current, a.added FROM seqalias a"
            " WHERE a.namespace NOT IN ('VMC', 'SHA1', 'MD5', 'SEGUID', 'sha512t24u', 'ga4gh')"
            " ORDER BY a.seqalias_id",
        )
        while some := list(islice(rows, _ROWS)):
            self._take_some(some, on_conflict)
        self._report.aliases_added = self._batch.aliases.counts.added
        self._report.aliases_known = self._batch.aliases.counts.known
        self._report.aliases_moved = self._batch.aliases.counts.moved
        self._report.aliases_kept = self._batch.aliases.counts.kept

    def _take_some(
        self, rows: Sequence[tuple[str, str, str, int, object]], on_conflict: OnConflict
    ) -> None:
        keys = {row[0] for row in rows if isinstance(row[0], str) and _KEY.match(row[0])}
        ids = self._known(map(digest_bytes, keys))
        current: list[AliasRow] = []
        times: list[tuple[str, int, int, int]] = []
        for key, namespace, alias, is_current, added in rows:
            if key not in keys:
                self._skip(f"{namespace}:{alias}: the key of its sequence cannot be one")
                continue
            sequence_id = self._other.get(key) or ids.get(digest_bytes(key))
            name = self._name(namespace, alias)
            if name is None:
                continue
            if sequence_id is None:
                self._skip(f"{namespace}:{alias}: its sequence {key} is not there")
            elif is_current:
                current.append(AliasRow(*name, sequence_id, str(self._layout.aliases), 0))
            else:
                self._report.former_aliases += self._batch.aliases.add_former(name, sequence_id)
            when = _unix_time(added)
            if sequence_id is not None and when is not None:
                times.append((*name, sequence_id, when))
        self._batch.aliases.add(current, on_conflict)
        self._batch.aliases.add_times(times)

    def _name(self, namespace: object, alias: object) -> AliasId | None:
        """A name as the tables here have it; None if it cannot be one."""
        try:
            if not isinstance(namespace, str) or not isinstance(alias, str):
                raise BadName("not a text")
            if namespace not in self._namespaces:
                canonical = namespaces.canonical(namespace)
                self._namespaces[namespace] = self._batch.namespace_id(canonical)
            return AliasId(check_alias(alias), self._namespaces[namespace])
        except BadName as error:
            self._skip(f"{namespace}:{alias}: {error.message}")
            return None

    def record_sources(self) -> None:
        """Say in the log where all of it came from."""
        for path in (self._layout.aliases, self._layout.sequences):
            size, sha256 = file_sha256(path)
            self._batch.sources.add(
                str(path.absolute()),
                size_bytes=size,
                sha256=sha256,
                file_format="seqrepo",
                compression="none",
                n_records=0,
                source_id=self._batch.sources.new_id(),
            )


def _said(row: _Row, digests: Mapping[str, str]) -> tuple[bytes, bytes, bytes, int]:
    """sha512t24u, MD5, SHA-1 and letters of a sequence, as its instance has them."""
    md5, sha1 = (bytes.fromhex(digests[name]) for name in ("MD5", "SHA1"))
    return digest_bytes(row.key), md5, sha1, letters_of(row.alphabet.encode("ascii"))


def _unix_time(text: object) -> int | None:
    """A time of SeqRepo's tables (UTC) in seconds since 1970; None if it is none.

    ``2016-08-27 03:00:00`` is what SQLite writes; ``T``, fractions and ``Z`` are in instances too.
    """
    try:
        found = datetime.fromisoformat(str(text).removesuffix("Z"))
        return int(found.replace(tzinfo=found.tzinfo or timezone.utc).timestamp())
    except (ValueError, OverflowError):
        return None
