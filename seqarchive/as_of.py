"""Reading an archive as it was after an earlier batch.

Nothing that was committed is forgotten: rows carry the batch that added them, and what an alias
or a circular molecule no longer is carries the batch that ended it too. A connection that is
restricted to a batch sees views, of the names of the tables, that show the rows of that time;
every query then gives the answer of that time.

Where residues lie is no part of that: shards are those of today, and so are files of tracks. What
was reclaimed is not there at any time.
"""

from __future__ import annotations

import sqlite3

#: Table -> its rows after batch ``{at}``.
_VIEWS = {
    "batches": "SELECT * FROM main.batches WHERE id <= {at}",
    "sources": "SELECT * FROM main.sources WHERE batch_id <= {at}",
    "collections": "SELECT * FROM main.collections WHERE batch_id <= {at}",
    "collection_aliases": "SELECT * FROM main.collection_aliases WHERE batch_id <= {at}",
    "fhr": "SELECT * FROM main.fhr WHERE batch_id <= {at}",
    "sequences": "SELECT * FROM main.sequences WHERE batch_id <= {at}",
    "namespaces": "SELECT * FROM main.namespaces WHERE batch_id <= {at}",
    "aliases": """
        SELECT alias, namespace_id, sequence_id, batch_id FROM main.aliases WHERE batch_id <= {at}
        UNION ALL
        SELECT alias, namespace_id, sequence_id, from_batch AS batch_id FROM main.ended_aliases
        WHERE from_batch <= {at} AND to_batch > {at}
            AND sequence_id IN (SELECT id FROM main.sequences)""",
    "ended_aliases": "SELECT * FROM main.ended_aliases WHERE to_batch <= {at}",
    "circular": """
        SELECT sequence_id, batch_id FROM main.circular WHERE batch_id <= {at}
        UNION ALL
        SELECT sequence_id, from_batch AS batch_id FROM main.ended_circular
        WHERE from_batch <= {at} AND to_batch > {at}""",
    "ended_circular": "SELECT * FROM main.ended_circular WHERE to_batch <= {at}",
    "client_ids": "SELECT * FROM main.client_ids WHERE batch_id <= {at}",
    "client_meanings": "SELECT * FROM main.client_meanings WHERE batch_id <= {at}",
    "provenances": "SELECT * FROM main.provenances WHERE batch_id <= {at}",
    "provenance_inputs": "SELECT * FROM main.provenance_inputs WHERE batch_id <= {at}",
    "derivations": "SELECT * FROM main.derivations WHERE batch_id <= {at}",
    "reclaimed": "SELECT * FROM main.reclaimed WHERE batch_id <= {at}",
}


def restrict(connection: sqlite3.Connection, at: int) -> None:
    """Have a connection see the archive as it was after batch ``at``; 0 is before the first."""
    connection.execute("PRAGMA temp_store = MEMORY")  # the medium may be read-only
    for table, rows in _VIEWS.items():
        connection.execute(f"CREATE TEMP VIEW {table} AS {rows.format(at=int(at))}")
