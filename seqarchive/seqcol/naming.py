"""Names of collections, and what is said of them (FHR): as batches, with history."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from .. import namespaces
from ..batches import Batch
from ..errors import AliasConflict, BadName, NotFound
from ..identifiers import Alias, digest_text
from ..instances import Instance
from ..logs import Log
from ..new_aliases import OnConflict
from ..track_files import DERIVATIONS, MEANINGS
from ..writing import Writing
from .archived import FHR, NAMES, collection_id_of


def name_collection(
    batch: Batch, alias: Alias, collection_id: int | None, on_conflict: OnConflict
) -> None:
    """Have an alias mean a collection, or none; counts what became of it in ``batch.aliases``.

    Raises:
        BadName: The namespace is one of computed names.
        AliasConflict: It means another collection already, and ``on_conflict`` is ERROR.
    """
    if alias.namespace in namespaces.COMPUTED:
        raise BadName(f"{alias.namespace} names are computed and cannot be set")
    key = (batch.namespace_id(alias.namespace), alias.alias)
    now = NAMES.current(batch.connection, *key)
    counts = batch.aliases.counts
    if now == collection_id:
        counts.known += 1
        return
    if now is not None and collection_id is not None:
        wanted, known = (collection_digest(batch.connection, one) for one in (collection_id, now))
        conflict = f"{alias} is the collection {wanted} here but {known} already"
        counts.conflicts.append(conflict)
        if on_conflict is OnConflict.ERROR:
            raise AliasConflict(
                f"{conflict}; nothing was changed: use --on-conflict keep or replace",
                counts.conflicts,
            )
        if on_conflict is OnConflict.KEEP:
            counts.kept += 1
            return
        counts.moved += 1
    elif collection_id is None:
        counts.retired += 1
    else:
        counts.added += 1
    NAMES.say(batch, *key, value=collection_id)


def collection_digest(connection: sqlite3.Connection, collection_id: int) -> str:
    """The digest of a collection."""
    row = connection.execute(
        "SELECT digest FROM collections WHERE id = ?", (collection_id,)
    ).fetchone()
    return digest_text(row[0]) if row is not None else "that is gone"


def name_collections(
    instance: Instance,
    identifier: str | None,
    aliases: Sequence[Alias],
    on_conflict: OnConflict = OnConflict.ERROR,
    *,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Give a collection more names, or end names, as one batch.

    Args:
        identifier: Digest or alias of the collection; None to have the names mean nothing.

    Raises:
        NotFound: There is no such collection, or no such name. AliasConflict: See ``on_conflict``.
    """
    instance.require()
    kind = "collection unname" if identifier is None else "collection name"
    with Writing(instance, dry_run=dry_run) as writing, Batch(writing.connection, kind) as batch:
        chosen = None if identifier is None else collection_id_of(batch.connection, identifier)
        for alias in aliases:
            if chosen is None and not collection_ids(batch.connection, alias):
                raise NotFound(f"{alias} is no name of a collection")
            name_collection(batch, alias, chosen, on_conflict)
        counts = batch.aliases.counts
        report: dict[str, Any] = {
            "batch": None,
            "dry_run": dry_run,
            "aliases_added": counts.added,
            "aliases_known": counts.known,
            "aliases_moved": counts.moved,
            "aliases_kept": counts.kept,
            "aliases_retired": counts.retired,
            "conflicts": list(counts.conflicts),
        }
        if not dry_run and counts.added + counts.moved + counts.retired:
            report["batch"] = batch.id
            writing.commit(batch, report)
    return report


def collection_ids(connection: sqlite3.Connection, alias: Alias) -> list[int]:
    """The collection that an alias means, if it means one."""
    return [
        found
        for (namespace_id,) in connection.execute(
            "SELECT id FROM namespaces WHERE name = ? COLLATE NOCASE", (alias.namespace,)
        ).fetchall()
        if (found := NAMES.current(connection, namespace_id, alias.alias)) is not None
    ]


def set_fhr(
    instance: Instance,
    identifier: str,
    document: Mapping[str, Any] | None,
    *,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Say something of a collection, in the place of what was said before, as one batch.

    Args:
        document: As ``fhr.problems`` wants it; None to say nothing any more.

    Raises:
        NotFound: There is no such collection.
    """
    instance.require()
    with Writing(instance, dry_run=dry_run) as writing, Batch(writing.connection, "fhr") as batch:
        collection_id = collection_id_of(batch.connection, identifier)
        is_new = say_fhr(batch, collection_id, document)
        report: dict[str, Any] = {
            "batch": None,
            "dry_run": dry_run,
            "collection": collection_digest(batch.connection, collection_id),
            "changed": is_new,
        }
        if is_new and not dry_run:
            report["batch"] = batch.id
            writing.commit(batch, report)
    return report


def say_fhr(batch: Batch, collection_id: int, document: Mapping[str, Any] | None) -> bool:
    """Record what is said of a collection. Returns whether it is something new."""
    text = None if document is None else json.dumps(document, ensure_ascii=False)
    return FHR.say(batch, collection_id, value=text)


def revert_log(
    batch: Batch, log: Log, reverted: int, on_conflict: OnConflict, conflicts: list[str]
) -> int:
    """Say again what held before a batch. Returns how much changed.

    Args:
        conflicts: Gets a line for each that a later batch changed again.
    """
    n_changed = 0
    for key, before, last in list(log.said_by(batch, reverted)):
        if log.current(batch.connection, *key) == before:
            continue
        if last > reverted:
            conflicts.append(
                f"{_named(batch.connection, log, key)} was changed again by batch {last}"
            )
            if on_conflict is not OnConflict.REPLACE:
                continue
        n_changed += log.say(batch, *key, value=before)
    return n_changed


def _named(connection: sqlite3.Connection, log: Log, key: tuple[Any, ...]) -> str:
    if log is FHR:
        return f"the FHR of collection {collection_digest(connection, key[0])}"
    if log is MEANINGS:
        return f"what {key[0]} is"
    if log is DERIVATIONS:
        return f"the result of {digest_text(key[0])}"
    (namespace,) = connection.execute(
        "SELECT name FROM namespaces WHERE id = ?", key[:1]
    ).fetchone()
    return f"collection {namespace}:{key[1]}"
