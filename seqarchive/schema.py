"""The tables of an instance's database, built and migrated with sqlite-utils.

Digests are columns of ``sequences``, not alias rows. Current aliases are one B-tree that is also
its own index; what an alias used to mean moves to ``ended_aliases``.

The version of the schema is SQLite's ``user_version``; a reader refuses one that it does not know.
"""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING, Any

from .errors import NewerFormat, SeqArchiveError

if TYPE_CHECKING:
    import sqlite_utils

#: The newest schema that this version reads and the one that it writes.
VERSION = 1

#: ``application_id`` of our databases: "SeqA".
APPLICATION_ID = 0x53657141


def version_of(connection: sqlite3.Connection) -> int:
    """The schema version of an open database; 0 if it is empty.

    Raises:
        NewerFormat: Written by a newer version of seqarchive.
        SeqArchiveError: Some other program's database.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (n_tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if n_tables and application != APPLICATION_ID:
        raise SeqArchiveError("the database was not made by seqarchive")
    if version > VERSION:
        raise NewerFormat(
            f"the database has format {version}, this version of seqarchive knows {VERSION}; "
            "install a newer seqarchive"
        )
    return int(version)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a writable database to the newest schema; creates the tables of an empty one."""
    version = version_of(connection)
    if version == VERSION:
        return
    # Imported here: it costs 0.2 s, which only the first write to an archive has to pay.
    import sqlite_utils  # noqa: PLC0415
    from sqlite_utils.migrations import Migrations  # noqa: PLC0415

    database = sqlite_utils.Database(connection)
    migrations = Migrations("seqarchive")
    for step in (first_schema,):
        migrations(name=step.__name__)(step)
    migrations.apply(database)
    connection.commit()


def columns() -> dict[str, dict[str, type]]:
    """All tables with the types of their columns: int, str or bytes."""
    return {name: columns for name, (columns, _) in _TABLES.items()} | _OWN_TABLES


def problems(connection: sqlite3.Connection) -> list[str]:
    """Tables and indexes of a database of the newest schema that are not as they were made."""
    found = [
        name
        for name, known in columns().items()
        if [row[1] for row in connection.execute(f"PRAGMA table_info({name})")] != list(known)
    ]
    # A view in the place of a table may be a query without end, and a trigger anything.
    found += (
        name
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type NOT IN ('table', 'index')"
            " OR sql LIKE 'CREATE VIRTUAL%'"
        )
    )
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    indexes = (_INDEX.search(statement) for statement in _STATEMENTS)
    return found + [index[1] for index in indexes if index and index[1] not in names]


def first_schema(database: sqlite_utils.Database) -> None:
    """Schema 1."""
    from uuid import uuid4  # noqa: PLC0415  (slow to import, needed once)

    for name, (columns, options) in _TABLES.items():
        database[name].create(columns, **options)  # type: ignore[union-attr]
    for statement in _STATEMENTS:
        database.conn.execute(statement)
    database.conn.execute("INSERT INTO meta VALUES ('archive_id', ?)", (str(uuid4()),))
    database.conn.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    database.conn.execute("PRAGMA user_version = 1")


_TABLES: dict[str, tuple[dict[str, type], dict[str, Any]]] = {
    "meta": ({"key": str, "value": str}, {"pk": "key", "not_null": {"value"}}),
    # One row for each committed change. ``report`` is the JSON that the user saw; ``reverts`` is
    # the batch that this one undid; ``token`` is random: two copies of an archive that went on
    # differently have other tokens under one number.
    "batches": (
        {
            "id": int,
            "kind": str,
            "created": str,
            "user": str,
            "host": str,
            "version": str,
            "namespace": str,
            "n_records": int,
            "n_sequences": int,
            "n_residues": int,
            "n_aliases": int,
            "n_aliases_moved": int,
            "n_aliases_retired": int,
            "report": str,
            "reverts": int,
            "token": str,
        },
        {"pk": "id", "not_null": {"kind", "created", "version", "report", "token"}},
    ),
    # Files that batches read. ``records_of``: the earlier source with the same bytes, which has
    # the rows of ``records`` for this one too. ``collection_id``: what the file is as a collection;
    # NULL if records were left out of it. ``line_bases``: residues of a line, 0 if each record has
    # one; NULL if the file is not written so.
    "sources": (
        {
            "id": int,
            "batch_id": int,
            "name": str,
            "size_bytes": int,
            "sha256": bytes,
            "format": str,
            "compression": str,
            "n_records": int,
            "records_of": int,
            "collection_id": int,
            "line_bases": int,
        },
        {"pk": "id", "not_null": {"batch_id", "name", "size_bytes", "sha256", "n_records"}},
    ),
    # Ordered sets of names, each once. Its members are the records of ``source_id``, the first file
    # that was it; all digests as the standard of sequence collections defines them.
    "collections": (
        {
            "id": int,
            "digest": bytes,
            "names": bytes,
            "sequences": bytes,
            "lengths": bytes,
            "name_length_pairs": bytes,
            "sorted_name_length_pairs": bytes,
            "sorted_sequences": bytes,
            "n_members": int,
            "n_residues": int,
            "source_id": int,
            "batch_id": int,
        },
        {"pk": "id", "not_null": {"digest", "names", "sequences", "source_id", "batch_id"}},
    ),
    # What an alias means among collections: the last row with it holds (see ``logs``); NULL is
    # nothing any more.
    "collection_aliases": (
        {"id": int, "namespace_id": int, "alias": str, "collection_id": int, "batch_id": int},
        {"pk": "id", "not_null": {"namespace_id", "alias", "batch_id"}},
    ),
    # What is said of a collection: JSON of the FAIR headers reference (FHR), as above.
    "fhr": (
        {"id": int, "collection_id": int, "document": str, "batch_id": int},
        {"pk": "id", "not_null": {"collection_id", "batch_id"}},
    ),
    # ``path`` is relative to the journal. ``first_digest``, the name of the first record, tells a
    # shard from one in its place. ``line_bases``: 0, or residues of a line if it is adopted.
    "shards": (
        {
            "id": int,
            "batch_id": int,
            "path": str,
            "size_bytes": int,
            "sha256": bytes,
            "fai_bytes": int,
            "fai_sha256": bytes,
            "gzi_bytes": int,
            "gzi_sha256": bytes,
            "first_digest": bytes,
            "n_sequences": int,
            "n_residues": int,
            "line_bases": int,
        },
        {"pk": "id", "not_null": {"batch_id", "path", "size_bytes", "sha256", "gzi_sha256"}},
    ),
    # The name of a record of an adopted shard, where that is not the digest of its residues.
    "stored_names": ({"sequence_id": int, "name": str}, {"pk": "sequence_id"}),
    # When a sequence was added to where it was adopted from: seconds since 1970, UTC.
    "adopted_sequences": ({"sequence_id": int, "added": int}, {"pk": "sequence_id"}),
    # ``offset``: of the first residue in the uncompressed shard.
    # ``letters``: bit i set if the sequence has character i of identifiers.RESIDUES.
    "sequences": (
        {
            "id": int,
            "digest": bytes,
            "md5": bytes,
            "sha1": bytes,
            "length": int,
            "letters": int,
            "shard_id": int,
            "offset": int,
            "batch_id": int,
        },
        {"pk": "id", "not_null": {"digest", "md5", "sha1", "length", "letters", "batch_id"}},
    ),
    "namespaces": (
        {"id": int, "name": str, "batch_id": int},
        {"pk": "id", "not_null": {"name", "batch_id"}},
    ),
    # What an alias meant from one batch until before another.
    "ended_aliases": (
        {
            "alias": str,
            "namespace_id": int,
            "sequence_id": int,
            "from_batch": int,
            "to_batch": int,
        },
        {"not_null": {"alias", "namespace_id", "sequence_id", "from_batch", "to_batch"}},
    ),
    "circular": ({"sequence_id": int, "batch_id": int}, {"pk": "sequence_id"}),
    "ended_circular": (
        {"sequence_id": int, "from_batch": int, "to_batch": int},
        {"not_null": {"sequence_id", "from_batch", "to_batch"}},
    ),
    # Shards that are no longer needed: their files go after the commit that says so.
    "dropped_shards": (
        {"id": int, "path": str, "batch_id": int, "is_removed": int},
        {"pk": "id", "not_null": {"path", "batch_id", "is_removed"}},
    ),
    # Sequences of batches that were reverted, whose residues are gone; rows as they were.
    "reclaimed": (
        {"id": int, "digest": bytes, "length": int, "batch_id": int, "reclaimed_by": int},
        {"pk": "id", "not_null": {"digest", "length", "batch_id", "reclaimed_by"}},
    ),
    "sha256": ({"sequence_id": int, "digest": bytes}, {"pk": "sequence_id"}),
}

#: Tables that sqlite-utils cannot make, with their columns.
_OWN_TABLES: dict[str, dict[str, type]] = {
    "aliases": {"alias": str, "namespace_id": int, "sequence_id": int, "batch_id": int},
    "records": {"source_id": int, "ordinal": int, "sequence_id": int, "defline": str},
    "masks": {"source_id": int, "ordinal": int, "mask": bytes},
    "adopted_aliases": {"alias": str, "namespace_id": int, "sequence_id": int, "added": int},
}

_INDEX = re.compile(r"INDEX (\w+) ON")

_STATEMENTS = (
    "CREATE UNIQUE INDEX sequences_digest ON sequences (digest)",
    "CREATE INDEX sequences_md5 ON sequences (md5)",
    "CREATE INDEX sequences_sha1 ON sequences (sha1)",
    "CREATE INDEX sha256_digest ON sha256 (digest)",
    "CREATE UNIQUE INDEX namespaces_name ON namespaces (name COLLATE NOCASE)",
    "CREATE INDEX sources_sha256 ON sources (sha256)",
    "CREATE UNIQUE INDEX collections_digest ON collections (digest)",
    "CREATE INDEX collection_aliases_alias ON collection_aliases (alias, namespace_id)",
    "CREATE INDEX collection_aliases_collection ON collection_aliases (collection_id)",
    "CREATE INDEX fhr_collection ON fhr (collection_id)",
    "CREATE INDEX ended_aliases_alias ON ended_aliases (alias, namespace_id)",
    "CREATE INDEX ended_aliases_sequence ON ended_aliases (sequence_id)",
    # sqlite-utils has no WITHOUT ROWID; with it an alias is stored twice instead of three times.
    """CREATE TABLE aliases (
        alias TEXT NOT NULL,
        namespace_id INTEGER NOT NULL,
        sequence_id INTEGER NOT NULL,
        batch_id INTEGER NOT NULL,
        PRIMARY KEY (alias, namespace_id)
    ) WITHOUT ROWID""",
    "CREATE INDEX aliases_sequence ON aliases (sequence_id)",
    # When an alias got a meaning where it was adopted from: seconds since 1970, UTC.
    """CREATE TABLE adopted_aliases (
        alias TEXT NOT NULL,
        namespace_id INTEGER NOT NULL,
        sequence_id INTEGER NOT NULL,
        added INTEGER NOT NULL,
        PRIMARY KEY (alias, namespace_id, sequence_id)
    ) WITHOUT ROWID""",
    # The defline of each record of a source, in the order of the file.
    """CREATE TABLE records (
        source_id INTEGER NOT NULL,
        ordinal INTEGER NOT NULL,
        sequence_id INTEGER NOT NULL,
        defline TEXT NOT NULL,
        PRIMARY KEY (source_id, ordinal)
    ) WITHOUT ROWID""",
    "CREATE INDEX records_sequence ON records (sequence_id)",
    # What of a record of a source was in lower case: see ``layouts.RecordLayout``.
    """CREATE TABLE masks (
        source_id INTEGER NOT NULL,
        ordinal INTEGER NOT NULL,
        mask BLOB NOT NULL,
        PRIMARY KEY (source_id, ordinal)
    ) WITHOUT ROWID""",
)
