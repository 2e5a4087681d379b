"""Where sequences and collections of an archive came from: names with their history, the batches
that gave and took them, and the files that these read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .database import Database, Meaning
from .identifiers import Alias, Digest, digest_bytes, digest_text

#: Every meaning that names a sequence, now or once; the indexes by sequence have it.
_NAMES = """
    SELECT alias, namespace_id, batch_id AS from_batch, NULL AS to_batch
    FROM aliases WHERE sequence_id = :id
    UNION ALL
    SELECT alias, namespace_id, from_batch, to_batch FROM ended_aliases WHERE sequence_id = :id"""

_NAMES_PAGE = f"""
    SELECT n.name, m.alias, m.from_batch, m.to_batch, s.digest
    FROM ({_NAMES}) m JOIN namespaces n ON n.id = m.namespace_id
    LEFT JOIN aliases a ON m.to_batch IS NOT NULL
        AND a.alias = m.alias AND a.namespace_id = m.namespace_id
    LEFT JOIN sequences s ON s.id = a.sequence_id
    ORDER BY n.name, m.alias, m.from_batch LIMIT :size OFFSET :skipped"""

#: Files and records that are told at most.
_MOST = 100


def file_name(path: str) -> str:
    """The name of a file without its directories: where it lay is not for everybody to know."""
    return path.rpartition("/")[2] or path


def names_of(
    database: Database, sequence_id: int, page: int, page_size: int
) -> tuple[list[dict[str, Any]], int]:
    """All names that a sequence has or ever had, sorted, a page of them; and how many there are.

    Returns:
        ``namespace``, ``alias``, ``from_batch`` and ``to_batch`` (None if it is so still), ``now``:
        the sequence that the name means today, if another one.
    """
    execute = database.connection.execute
    (total,) = execute(f"SELECT count(*) FROM ({_NAMES})", {"id": sequence_id}).fetchone()
    rows = execute(
        _NAMES_PAGE, {"id": sequence_id, "size": page_size, "skipped": page * page_size}
    ).fetchall()
    found = [
        {
            "namespace": namespace,
            "alias": alias,
            "from_batch": start,
            "to_batch": end,
            "now": None if digest is None else f"SQ.{digest_text(digest)}",
        }
        for namespace, alias, start, end, digest in rows
    ]
    return found, int(total)


def meanings_of(database: Database, alias: Alias) -> list[dict[str, Any]]:
    """All that an alias ever meant, the oldest first; ready for JSON."""
    return [_meaning(one) for one in database.history(alias)]


def _meaning(one: Meaning) -> dict[str, Any]:
    return {
        "sequence": f"SQ.{digest_text(one.digest)}",
        "length": one.length,
        "from_batch": one.from_batch,
        "to_batch": one.to_batch,
        "is_reclaimed": one.is_reclaimed,
    }


def records_of(database: Database, sequence_id: int) -> list[dict[str, Any]]:
    """Records of files that were a sequence, the first hundred; ready for JSON."""
    rows = database.connection.execute(
        "SELECT s.name, r.defline, s.batch_id FROM records r JOIN sources s ON s.id = r.source_id"
        " WHERE r.sequence_id = ? ORDER BY r.source_id, r.ordinal LIMIT ?",
        (sequence_id, _MOST),
    ).fetchall()
    return [
        {"source": file_name(source), "defline": defline, "batch": batch}
        for source, defline, batch in rows
    ]


def batches_of(database: Database, numbers: Iterable[int | None]) -> dict[str, dict[str, Any]]:
    """Who made batches, when, from which files; by number. Ready for JSON."""
    found = {}
    for number in sorted({one for one in numbers if one is not None}):
        row = database.connection.execute(
            "SELECT kind, created, user, namespace FROM batches WHERE id = ?", (number,)
        ).fetchone()
        if row is not None:
            about = dict(zip(("kind", "created", "user", "namespace"), row, strict=True))
            found[str(number)] = {**about, "sources": _sources(database, "batch_id", number)}
    return found


def _sources(database: Database, column: str, number: int) -> list[dict[str, Any]]:
    rows = database.connection.execute(
        "SELECT name, size_bytes, sha256, n_records, batch_id FROM sources"
        f" WHERE {column} = ? ORDER BY id LIMIT {_MOST}",
        (number,),
    ).fetchall()
    return [
        {
            "name": file_name(name),
            "bytes": size,
            "sha256": sha256.hex(),
            "records": n,
            "batch": batch,
        }
        for name, size, sha256, n, batch in rows
    ]


def sources_of(database: Database, collection: Digest) -> list[dict[str, Any]]:
    """The files that were a collection, the first hundred; ready for JSON."""
    row = database.connection.execute(
        "SELECT id FROM collections WHERE digest = ?", (digest_bytes(collection),)
    ).fetchone()
    return [] if row is None else _sources(database, "collection_id", row[0])


def newest_collections(database: Database, page: int, page_size: int) -> tuple[list[Digest], int]:
    """The collections, the newest first, a page of them; and how many there are."""
    execute = database.connection.execute
    (total,) = execute("SELECT count(*) FROM collections").fetchone()
    rows = execute(
        "SELECT digest FROM collections ORDER BY id DESC LIMIT ? OFFSET ?",
        (page_size, page * page_size),
    ).fetchall()
    return [digest_text(digest) for (digest,) in rows], int(total)
