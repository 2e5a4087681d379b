"""Feed SeqRepo: an instance that the real package opens, its shards ours by hard link.

It answers there as it does here: a sequence is known by the digest of all its residues, the
``*`` of a protein included, which SeqRepo itself would leave out of its digests.
"""

from __future__ import annotations

import binascii
import os
import sqlite3
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import durable
from ..database import ADOPTED, Database, require_readable
from ..durable import Sharing
from ..errors import Conflict, Corrupt
from ..identifiers import digest_bytes, digest_text
from ..instances import Instance
from ..journal import INDEX_SUFFIXES, SHARD_SUFFIX, is_inside
from ..letters import RESIDUES, letters_in
from ..verifying import file_problem
from .layout import ALIASES_INDEXES, ALIASES_TABLES, SEQUENCES_TABLES, STORED_NAMESPACES, Layout

#: Rows of SeqRepo's own table ``meta`` that say what an export holds.
_ARCHIVE, _BATCH = "seqarchive archive_id", "seqarchive batch"

#: A file in a directory that an export may change.
_MARK = ".seqarchive-export"

#: How the names of the files of a shard end.
_ENDS = tuple(SHARD_SUFFIX + suffix for suffix in ("", *INDEX_SUFFIXES))

#: Where its unfinished files are.
_TEMPORARY = ".tmp"


@dataclass(slots=True)
class FeedReport:
    """What an exported instance has; nothing that it cannot have is missing here."""

    directory: str
    batch: int = 0
    since: int | None = None
    """The batch that was there already; None if all was written."""
    sequences: int = 0
    aliases: int = 0
    """Current ones, without those that follow from digests."""
    files: dict[str, int] = field(default_factory=dict)
    """How many shard files were linked, cloned, copied."""
    empty: list[str] = field(default_factory=list)
    """Names of the empty sequence, which SeqRepo cannot have."""
    same_key: list[str] = field(default_factory=list)
    """Names of sequences that SeqRepo cannot have beside others from which they differ by ``*``."""
    with_stops: int = 0
    """Sequences with ``*``: SeqRepo would compute other digests for them than the true ones."""
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def export_seqrepo(instance: Instance, directory: Path) -> FeedReport:
    """Write an instance for SeqRepo, or bring one that was written before up to date.

    Readers of it may go on: new shards come first, then the databases, each by one rename; what
    no row names any more, because it was reclaimed, goes last.

    Args:
        directory: Of the instance; SeqRepo's root directory is its parent.

    Raises:
        Conflict: There is something else. Locked: Another export writes there.
        Corrupt: A shard is missing, or has another size than when it was published.
    """
    started = time.monotonic()
    require_readable(instance)
    layout = Layout(directory)
    _require_ours(layout)
    durable.make_directory(directory.parent)
    with durable.WriterLock(directory.parent / f".{directory.name}.lock"):
        report = FeedReport(str(directory))
        durable.make_writable(directory)
        durable.make_directory(directory)
        (directory / _MARK).touch()  # before all else: a directory without it is not ours
        durable.make_directory(layout.journal)
        _export(instance, layout, report)
        durable.seal_directory(directory)
    report.seconds = round(time.monotonic() - started, 3)
    return report


def _require_ours(layout: Layout) -> None:
    directory = layout.directory
    if durable.exists(directory) and not (
        directory.is_dir() and ((directory / _MARK).exists() or not any(directory.iterdir()))
    ):
        raise Conflict(f"{directory} is no export of seqarchive; choose another place")


def _said(path: Path, key: str) -> str | None:
    """A row of ``meta`` of an exported database; None if there is none."""
    if not path.is_file():
        return None
    uri = f"{path.absolute().as_uri()}?immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        try:
            found = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        except sqlite3.DatabaseError:
            return None
    return None if found is None else str(found[0])


def _export(instance: Instance, layout: Layout, report: FeedReport) -> None:
    temporary = layout.directory / _TEMPORARY
    durable.remove_directory(temporary)
    temporary.mkdir()
    source = instance.database
    if not instance.is_snapshot:  # one state for all that follows
        source = temporary / "source.sqlite3"
        with closing(Database.of(instance)) as database:
            database.copy_into(source)
    with closing(Database(source, frozen=True)) as database:
        report.batch = database.last_batch()
        archive_id = database.meta()["archive_id"]
        report.since = _since(layout, database, archive_id)
        named = _share_shards(instance, layout, database, report)
        _count(database, report)
    for path, build in ((layout.sequences, _Sequences), (layout.aliases, _Aliases)):
        unfinished = temporary / path.name
        build(unfinished, source, path if report.since is not None else None).run(
            report.since or 0, report.batch, archive_id
        )
        durable.publish_again(unfinished, path)
    _remove_others(layout.journal, named)
    durable.remove_directory(temporary)


def _since(layout: Layout, source: Database, archive_id: str) -> int | None:
    """The batch that an export holds, if what came since can be added to it."""
    said = {
        (_said(path, _ARCHIVE), _said(path, _BATCH)) for path in (layout.sequences, layout.aliases)
    }
    if len(said) != 1:  # or a run that was interrupted between the two
        return None
    ((found_id, batch),) = said
    if found_id != archive_id or batch is None or not batch.isdecimal():
        return None
    # What these change is in rows of older batches too: they go, or get the dates of an instance.
    (n_others,) = source.connection.execute(
        "SELECT count(*) FROM batches WHERE id > ? AND kind IN ('reclaim', 'import-seqrepo')",
        (int(batch),),
    ).fetchone()
    if _left_out(source):  # perhaps since the last time
        return None
    return None if n_others or int(batch) > source.last_batch() else int(batch)


def _share_shards(
    instance: Instance, layout: Layout, source: Database, report: FeedReport
) -> set[str]:
    """Give an export all shards. Returns the paths of their files."""
    named = set()
    ways: Counter[Sharing] = Counter()
    temporary = layout.directory / _TEMPORARY
    changed: set[Path] = set()
    for shard in source.shards():
        if not is_inside(shard.path):
            raise Corrupt(f"the path of shard {shard.id} cannot be one; run `seqarchive verify`")
        for name, size, sha256 in shard.files:
            path, other = instance.journal / name, layout.journal / name
            named.add(name)
            _require_sound(path, size)
            # A copy is looked at whole: what it was made from may have been mended since.
            if other.exists() and (
                other.samefile(path) or file_problem(other, size, sha256) is None
            ):
                continue
            durable.make_directory(other.parent)
            ways[durable.share_again(path, other, temporary / other.name)] += 1
            changed.add(other.parent)
    for parent in changed:  # the databases that name what is in them come next
        durable.fsync(parent)
    report.files = {way.value: number for way, number in ways.items()}
    return named


def _remove_others(journal: Path, named: set[str]) -> None:
    """Remove files of shards that no row of the export names any more: what was reclaimed."""
    for directory, _, names in os.walk(journal, topdown=False):
        parent = Path(directory)
        for name in names:
            path = parent / name
            if name.endswith(_ENDS) and path.relative_to(journal).as_posix() not in named:
                durable.remove(path)
        durable.remove_empty_directories(parent, journal)


def _require_sound(path: Path, size: int) -> None:
    problem = file_problem(path, size, None)
    if problem is not None:
        raise Corrupt(f"{path}: {problem[1]}; run `seqarchive verify`")


def _left_out(source: Database) -> list[int]:
    """Adopted sequences whose record has the digest of another sequence for a name."""
    execute = source.connection.execute
    return [
        int(sequence_id)
        for sequence_id, name in execute("SELECT sequence_id, name FROM stored_names").fetchall()
        if execute("SELECT 1 FROM by_digest WHERE digest = ?", (digest_bytes(name),)).fetchone()
    ]


def _count(source: Database, report: FeedReport) -> None:
    one = source.connection.execute
    (report.sequences,) = one("SELECT count(*) FROM sequences WHERE length > 0").fetchone()
    (report.aliases,) = one(
        "SELECT count(*) FROM aliases a JOIN sequences s ON s.id = a.sequence_id WHERE s.length > 0"
    ).fetchone()
    report.empty = [
        f"{namespace}:{alias}"
        for namespace, alias in one(
            "SELECT n.name, a.alias FROM aliases a JOIN namespaces n ON n.id = a.namespace_id"
            " JOIN sequences s ON s.id = a.sequence_id WHERE s.length = 0 ORDER BY 1, 2"
        )
    ]
    for sequence_id in _left_out(source):
        report.sequences -= 1
        names = source.aliases_of(sequence_id)
        report.aliases -= len(names)
        digest = digest_text(source.sequence(sequence_id).digest)
        report.same_key.append(" ".join([f"ga4gh:SQ.{digest}", *map(str, names)]))
    star = 1 << RESIDUES.index(b"*")
    (report.with_stops,) = one(
        "SELECT count(*) FROM sequences WHERE letters & ?", (star,)
    ).fetchone()


# --- the databases ----------------------------------------------------------------------------


class _Build:
    """Fills one database of an export from ours, whole or from one batch to another.

    Args:
        unfinished: The database to make.
        source: Ours.
        earlier: The same of an earlier export, to which rows are added; None for all rows.
    """

    tables = ""
    indexes = ""

    def __init__(self, unfinished: Path, source: Path, earlier: Path | None) -> None:
        self._path = unfinished
        self._source = source
        self._earlier = earlier

    def run(self, old: int, new: int, archive_id: str) -> None:
        """Write what came after batch ``old``, up to ``new``. Durable on return."""
        if self._earlier is not None:
            durable.copy(self._earlier, self._path)
        with closing(sqlite3.connect(self._path, uri=True, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")  # the file counts when it is renamed
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("PRAGMA cache_size = -65536")
            for function in (_text, _bytes, _seguid, _alpha):
                connection.create_function(function.__name__, 1, function, deterministic=True)
            uri = f"{self._source.absolute().as_uri()}?immutable=1"
            connection.execute("ATTACH ? AS source", (uri,))
            if self._earlier is None:
                connection.executescript(self.tables)
            connection.execute(_LEFT_OUT)
            connection.execute("BEGIN")
            self.fill(connection, {"old": old, "new": new})
            connection.executemany(
                "INSERT OR REPLACE INTO main.meta VALUES (?, ?)",
                [(_ARCHIVE, archive_id), (_BATCH, str(new))],
            )
            connection.execute("COMMIT")
            if self._earlier is None:
                connection.executescript(self.indexes)
        durable.make_read_only(self._path)
        durable.fsync(self._path)

    def fill(self, connection: sqlite3.Connection, bounds: dict[str, int]) -> None:
        """Insert the rows."""
        raise NotImplementedError


class _Sequences(_Build):
    tables = SEQUENCES_TABLES

    def fill(self, connection: sqlite3.Connection, bounds: dict[str, int]) -> None:
        connection.execute(
            f"""
            INSERT INTO main.seqinfo
            SELECT {_KEY}, s.length, _alpha(s.letters), {_TIME}, h.path
            FROM source.sequences s JOIN source.batches b ON b.id = s.batch_id
            JOIN source.shards h ON h.id = s.shard_id
            {_TIMES_OF_SEQUENCES}
            WHERE {_REPRESENTED} AND s.batch_id > :old AND s.batch_id <= :new""",
            bounds,
        )


class _Aliases(_Build):
    tables = ALIASES_TABLES
    indexes = ALIASES_INDEXES

    def fill(self, connection: sqlite3.Connection, bounds: dict[str, int]) -> None:
        execute = connection.execute
        for namespace, expression in (
            ("VMC", "'GS_' || _text(s.digest)"),
            ("SHA1", "lower(hex(s.sha1))"),
            ("MD5", "lower(hex(s.md5))"),
            ("SEGUID", "_seguid(s.sha1)"),
        ):
            execute(
                f"""
                INSERT INTO main.seqalias (seq_id, namespace, alias, added)
                SELECT {_KEY}, '{namespace}', {expression}, {_TIME}
                FROM source.sequences s JOIN source.batches b ON b.id = s.batch_id
                {_TIMES_OF_SEQUENCES}
                WHERE {_REPRESENTED} AND s.batch_id > :old AND s.batch_id <= :new""",
                bounds,
            )
        execute(
            f"""
            UPDATE main.seqalias SET is_current = 0 WHERE is_current = 1 AND (namespace, alias) IN (
                SELECT {_NAMESPACE}, e.alias FROM source.ended_aliases e
                JOIN source.namespaces n ON n.id = e.namespace_id
                WHERE e.from_batch <= :old AND e.to_batch > :old AND e.to_batch <= :new)""",
            bounds,
        )
        for table, since, current in (
            ("ended_aliases", "from_batch", 0),
            ("aliases", "batch_id", 1),
        ):
            execute(
                f"""
                INSERT INTO main.seqalias (seq_id, namespace, alias, added, is_current)
                SELECT {_KEY}, {_NAMESPACE}, a.alias, {_TIME}, {current}
                FROM source.{table} a JOIN source.namespaces n ON n.id = a.namespace_id
                JOIN source.sequences s ON s.id = a.sequence_id
                JOIN source.batches b ON b.id = a.{since}
                {_TIMES_OF_ALIASES}
                WHERE {_REPRESENTED} AND a.{since} > :old AND a.{since} <= :new
                ORDER BY a.{since}, d.added""",
                bounds,
            )


#: Key of a sequence there: the name of its record.
_KEY = (
    "coalesce((SELECT r.name FROM source.stored_names r WHERE r.sequence_id = s.id),"
    " _text(s.digest))"
)

#: Adopted sequences whose record has the digest of another sequence for a name.
_LEFT_OUT = """
    CREATE TEMP TABLE left_out AS
    SELECT r.sequence_id AS id FROM source.stored_names r
    WHERE _bytes(r.name) IN (SELECT digest FROM source.sequences)"""

_REPRESENTED = "s.length > 0 AND s.id NOT IN (SELECT id FROM temp.left_out)"

#: When something was added, here or to where it was adopted from, as SeqRepo writes times.
_TIME = f"replace(substr(coalesce({ADOPTED}, b.created), 1, 19), 'T', ' ')"

_TIMES_OF_SEQUENCES = "LEFT JOIN source.adopted_sequences d ON d.sequence_id = s.id"
_TIMES_OF_ALIASES = (
    "LEFT JOIN source.adopted_aliases d ON d.alias = a.alias"
    " AND d.namespace_id = a.namespace_id AND d.sequence_id = a.sequence_id"
)

_NAMESPACE = (
    "CASE n.name "
    + " ".join(f"WHEN '{ours}' THEN '{theirs}'" for ours, theirs in STORED_NAMESPACES.items())
    + " ELSE n.name END"
)


def _text(digest: bytes) -> str:
    return digest_text(digest)


def _bytes(name: str) -> bytes:
    return digest_bytes(name)


def _seguid(sha1: bytes) -> str:
    return binascii.b2a_base64(sha1, newline=False).decode("ascii").rstrip("=")


def _alpha(letters: int) -> str:
    return letters_in(letters)
