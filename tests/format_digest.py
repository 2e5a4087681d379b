"""One digest for all that readers of a format rely on: the statements that make the database, and
the constants that ``docs/format.rst`` names."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from typing import Any

from seqarchive import bgzf, chunks, instances, journal, manifests, releases, schema, shards
from seqarchive.genomes import remote_entries
from seqarchive.letters import RESIDUES
from seqarchive.registry import tables
from seqarchive.rgstore import layout
from seqarchive.tracks import canonical


def schema_of() -> list[str]:
    """The statements of a database as this version makes it."""
    connection = sqlite3.connect(":memory:")
    schema.migrate(connection)
    found = [
        " ".join(sql.split())
        for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
        if "_sqlite_migrations" not in sql
    ]
    connection.close()
    return sorted(found)


def parts_of_format() -> dict[str, Any]:
    """All of it, by what it is called."""
    return {
        "database": schema_of(),
        "user_version": schema.VERSION,
        "application_id": schema.APPLICATION_ID,
        "residues": RESIDUES.decode("ascii"),
        "manifest": [manifests.FORMAT, manifests.VERSION],
        "list of releases": [releases.FORMAT, releases.VERSION, releases.INDEX],
        "chunks": [chunks.CHUNK_BYTES, chunks.chunk_digest(b"").hex()],
        "names": [instances.MASTER, instances.LATEST, journal.SHARD_SUFFIX, journal.INDEX_SUFFIXES],
        "shards": [shards.HEADER_LENGTH, bgzf.BLOCK_SIZE],
        "tracks": [canonical.HEADER, canonical.PREFIX],
        "RefgetStore": layout.VERSION,
        "registry": tables.VERSION,
        "genomes elsewhere": remote_entries.VERSION,
    }


def digest_of_format() -> dict[str, str]:
    """The digest of each part: the same for the same format."""
    return {
        name: hashlib.sha256(json.dumps(part).encode()).hexdigest()[:32]
        for name, part in parts_of_format().items()
    }
