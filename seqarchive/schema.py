"""The tables of an instance's database, built and migrated with sqlite-utils.

Digests are columns of ``sequences``, not alias rows. Current aliases are one B-tree that is also
its own index; what an alias used to mean moves to ``ended_aliases``.

The version of the schema is SQLite's ``user_version``; a reader refuses one that it does not know.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import NewerFormat, SeqArchiveError

if TYPE_CHECKING:
    import sqlite_utils

logger = logging.getLogger(__name__)

#: The newest schema that this version reads and the one that it writes.
VERSION = 2

#: ``application_id`` of our databases: "SeqA".
APPLICATION_ID = 0x53657141

#: Writes a compact copy. The path is given as bytes, as it need not be UTF-8; SQLite asks for text.
COPY_INTO = "VACUUM main INTO CAST(? AS TEXT)"

#: A database of more sequences takes its time to be migrated: some 10 s for each million.
_MANY = 300_000

#: Where the ids of rows are kept that were removed.
_GONE = {"sequences": "reclaimed", "shards": "dropped_shards"}


def version_of(connection: sqlite3.Connection, name: str = "the database") -> int:
    """The schema version of an open database; 0 if it is empty.

    Args:
        name: Of the database, for the user.

    Raises:
        NewerFormat: Written by a newer version of seqarchive.
        SeqArchiveError: Some other program's database.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (n_tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if n_tables and application != APPLICATION_ID:
        raise SeqArchiveError(_whose(connection, name))
    if version > VERSION:
        raise NewerFormat(
            f"{name} has format {version}, this version of seqarchive knows {VERSION}; "
            "install a newer seqarchive"
        )
    return int(version)


def _whose(connection: sqlite3.Connection, name: str) -> str:
    """What to say of some other program's database."""
    message = f"{name} was not made by seqarchive"
    tables = {table for (table,) in connection.execute("SELECT name FROM sqlite_master")}
    # As bytes: a path need not be UTF-8.
    ((path,),) = connection.execute(
        "SELECT CAST(file AS BLOB) FROM pragma_database_list WHERE name = 'main'"
    ).fetchall()
    if not path or "seqalias" not in tables:
        return message
    return (
        f"{message} but by SeqRepo: `seqarchive --root ROOT import-seqrepo "
        f"{Path(os.fsdecode(path)).parent}` takes that instance into an archive"
    )


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a writable database to the newest schema, in the transaction that is open if one is;
    creates the tables of an empty one."""
    version = version_of(connection)
    if version == VERSION:
        return
    if version and (n_sequences := next_id(connection, "sequences") - 1) > _MANY:
        logger.warning("making format %d of the database (%d sequences)", VERSION, n_sequences)
    # Imported here: it costs 0.2 s, which only the first write to an archive has to pay.
    import sqlite_utils  # noqa: PLC0415
    from sqlite_utils.migrations import Migrations  # noqa: PLC0415

    database = sqlite_utils.Database(connection)
    migrations = Migrations("seqarchive")
    for step in (first_schema, second_schema):
        migrations(name=step.__name__)(step)
    migrations.apply(database)


def next_id(connection: sqlite3.Connection, table: str) -> int:
    """The first id of a table that was never used: also those that are gone are not used again."""
    (last,) = connection.execute(
        f"SELECT max(id) FROM {table}"
        if table not in _GONE
        else f"SELECT max(id) FROM (SELECT max(id) AS id FROM {table}"
        f" UNION ALL SELECT max(id) FROM {_GONE[table]})"
    ).fetchone()
    return 1 + (last or 0)


def adapt(connection: sqlite3.Connection) -> bool:
    """Have a reader see a database as one of the newest schema. Returns whether it is an older one,
    which the next writer may change under the reader: then this is to be done again."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()  # whose it is, is known
    is_older = bool(version == 1)
    for table, column in LOOK_UPS.items():
        connection.execute(f"DROP VIEW IF EXISTS temp.{table}")
        if is_older:
            connection.execute("PRAGMA temp_store = MEMORY")  # the medium may be read-only
            connection.execute(
                f"CREATE TEMP VIEW {table} AS SELECT {column}, id FROM main.sequences"
            )
    return is_older


def columns(version: int = VERSION) -> dict[str, dict[str, type]]:
    """All tables of a schema with the types of their columns: int, str or bytes."""
    found = {name: columns for name, (columns, _) in _TABLES.items()} | _OWN_TABLES
    if version > 1:
        found |= {table: {column: bytes, "id": int} for table, column in LOOK_UPS.items()}
    return found


def problems(connection: sqlite3.Connection) -> list[str]:
    """Tables and indexes of a database that are not as its schema made them."""
    version = version_of(connection)
    found = [
        name
        for name, known in columns(version).items()
        if [row[1] for row in connection.execute(f"PRAGMA main.table_info({name})")] != list(known)
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
    statements = _STATEMENTS + (_FIRST_STATEMENTS if version == 1 else ())
    indexes = (_INDEX.search(statement) for statement in statements)
    return found + [index[1] for index in indexes if index and index[1] not in names]


def first_schema(database: sqlite_utils.Database) -> None:
    """Schema 1."""
    from uuid import uuid4  # noqa: PLC0415  (slow to import, needed once)

    for name, (columns, options) in _TABLES.items():
        database[name].create(columns, **options)  # type: ignore[union-attr]
    for statement in _STATEMENTS + _FIRST_STATEMENTS:
        database.conn.execute(statement)
    database.conn.execute("INSERT INTO meta VALUES ('archive_id', ?)", (str(uuid4()),))
    database.conn.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    database.conn.execute("PRAGMA user_version = 1")


def second_schema(database: sqlite_utils.Database) -> None:
    """Schema 2: tables instead of indexes for the digests of sequences.

    Rows of a batch come in no order of their digests. Into a table they are inserted sorted, once a
    batch; SQLite would put each into an index at once, and for each read and write a page of it.
    """
    for statement in _SECOND_STATEMENTS:
        database.conn.execute(statement)
    for table, column in LOOK_UPS.items():
        database.conn.execute(f"INSERT INTO {table} SELECT {column}, id FROM sequences ORDER BY 1")
    for index in ("sequences_digest", "sequences_md5", "sequences_sha1"):
        database.conn.execute(f"DROP INDEX {index}")
    database.conn.execute("PRAGMA user_version = 2")


#: Tables that lead from a digest to the sequence, and the column of both that has it.
LOOK_UPS = {"by_digest": "digest", "by_md5": "md5", "by_sha1": "sha1"}


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
    # Files of tracks: ``path`` is relative to ``tracks``; ``digest`` is that of what the file says,
    # ``genome`` that of the collection. A track that was dropped and can be computed again has
    # no row.
    "tracks": (
        {
            "id": int,
            "digest": bytes,
            "genome": bytes,
            "kind": str,
            "n_entries": int,
            "path": str,
            "size_bytes": int,
            "sha256": bytes,
            "index_path": str,
            "index_bytes": int,
            "index_sha256": bytes,
            "batch_id": int,
        },
        {"pk": "id", "not_null": {"digest", "genome", "kind", "path", "size_bytes", "sha256"}},
    ),
    # Ids of clients, for tracks and for genomes; and what each means: a digest (see ``logs``), or
    # NULL if it was deleted.
    "client_ids": (
        {"id": int, "uuid": str, "kind": str, "name": str, "created": str, "batch_id": int},
        {"pk": "id", "not_null": {"uuid", "kind", "created", "batch_id"}},
    ),
    "client_meanings": (
        {"id": int, "uuid": str, "target": bytes, "batch_id": int},
        {"pk": "id", "not_null": {"uuid", "batch_id"}},
    ),
    # How something was computed: JSON under its digest, with the inputs once more to be found by.
    "provenances": (
        {"id": int, "digest": bytes, "document": str, "batch_id": int},
        {"pk": "id", "not_null": {"digest", "document", "batch_id"}},
    ),
    "provenance_inputs": (
        {"provenance": bytes, "ordinal": int, "input": str, "batch_id": int},
        {"not_null": {"provenance", "ordinal", "input", "batch_id"}},
    ),
    # What was computed so: the id of a client (see ``logs``).
    "derivations": (
        {"id": int, "provenance": bytes, "uuid": str, "batch_id": int},
        {"pk": "id", "not_null": {"provenance", "batch_id"}},
    ),
    # Tracks that were dropped: their files go after the commit that says so.
    "dropped_tracks": (
        {"id": int, "path": str, "batch_id": int, "is_removed": int},
        {"pk": "id", "not_null": {"path", "batch_id", "is_removed"}},
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

#: What the first schema has, and later ones have not.
_FIRST_STATEMENTS = (
    "CREATE UNIQUE INDEX sequences_digest ON sequences (digest)",
    "CREATE INDEX sequences_md5 ON sequences (md5)",
    "CREATE INDEX sequences_sha1 ON sequences (sha1)",
)

_SECOND_STATEMENTS = (
    "CREATE TABLE by_digest (digest BLOB NOT NULL PRIMARY KEY, id INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE by_md5 (
        md5 BLOB NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (md5, id)
    ) WITHOUT ROWID""",
    """CREATE TABLE by_sha1 (
        sha1 BLOB NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (sha1, id)
    ) WITHOUT ROWID""",
)

_STATEMENTS = (
    "CREATE INDEX sha256_digest ON sha256 (digest)",
    "CREATE UNIQUE INDEX namespaces_name ON namespaces (name COLLATE NOCASE)",
    "CREATE INDEX sources_sha256 ON sources (sha256)",
    "CREATE UNIQUE INDEX collections_digest ON collections (digest)",
    "CREATE INDEX collection_aliases_alias ON collection_aliases (alias, namespace_id)",
    "CREATE INDEX collection_aliases_collection ON collection_aliases (collection_id)",
    "CREATE INDEX fhr_collection ON fhr (collection_id)",
    "CREATE UNIQUE INDEX tracks_digest ON tracks (digest)",
    "CREATE UNIQUE INDEX client_ids_uuid ON client_ids (uuid)",
    "CREATE INDEX client_meanings_uuid ON client_meanings (uuid)",
    "CREATE INDEX client_meanings_target ON client_meanings (target)",
    "CREATE UNIQUE INDEX provenances_digest ON provenances (digest)",
    "CREATE INDEX provenance_inputs_input ON provenance_inputs (input)",
    "CREATE INDEX derivations_provenance ON derivations (provenance)",
    "CREATE INDEX derivations_uuid ON derivations (uuid)",
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
