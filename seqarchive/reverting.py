"""Revert: the names that a batch gave, moved or ended go back to what they were.

The batch stays in the log, and what was true after it stays true for ``--at``; the revert is a
batch of its own. Sequences are not removed: ``repair --reclaim`` does that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .batches import Batch
from .errors import AliasConflict, NotFound
from .instances import Instance
from .new_aliases import OnConflict
from .seqcol.archived import FHR, NAMES
from .seqcol.naming import revert_log
from .track_files import DERIVATIONS, MEANINGS
from .writing import Writing

#: Names of which a message says each.
_SAID = 100


@dataclass(slots=True)
class RevertReport:
    """What a revert did; nothing that was left as it is is missing here."""

    reverts: int
    dry_run: bool
    batch: int | None = None
    """The number of the revert; None if there was nothing to do."""
    aliases_retired: int = 0
    aliases_moved_back: int = 0
    aliases_restored: int = 0
    aliases_kept: int = 0
    """That a later batch changed again, and that stay as it left them."""
    collection_aliases_reverted: int = 0
    fhr_reverted: int = 0
    tracks_reverted: int = 0
    """Ids of tracks and genomes that mean again what they did before."""
    circular_unmarked: int = 0
    circular_restored: int = 0
    sequences_unreferenced: int = 0
    """That the batch added and that have no name any more."""
    residues_unreferenced: int = 0
    conflicts: list[str] = field(default_factory=list)
    """Names that a later batch changed; the first of them, if there are many."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def revert(
    instance: Instance,
    reverted: int,
    on_conflict: OnConflict = OnConflict.ERROR,
    *,
    dry_run: bool = False,
) -> RevertReport:
    """Undo what a batch did to names, as a batch of its own.

    Args:
        on_conflict: When a later batch has changed a name again: fail, ``keep`` what that one
            said, or ``replace`` it by what there was before the reverted one.

    Raises:
        NotFound: There is no such batch. AliasConflict: See ``on_conflict``; nothing was changed.
        Locked, ReadOnly: As they say.
    """
    instance.require()
    report = RevertReport(reverted, dry_run)
    with (
        Writing(instance, dry_run=dry_run) as writing,
        Batch(writing.connection, "revert", reverts=reverted) as batch,
    ):
        if not 0 < reverted < batch.id:
            raise NotFound(f"there is no batch {reverted}; the last one is {batch.id - 1}")
        _collect(batch, reverted)
        _decide(batch, report, on_conflict)
        _apply(batch, report)
        _revert_logs(batch, report, on_conflict)
        n_changed = (
            report.collection_aliases_reverted
            + report.fhr_reverted
            + report.tracks_reverted
            + report.aliases_retired
            + report.aliases_moved_back
            + report.aliases_restored
            + report.circular_unmarked
            + report.circular_restored
        )
        if n_changed and not dry_run:
            report.batch = batch.id
            writing.commit(batch, report.as_dict())
    return report


def _collect(batch: Batch, reverted: int) -> None:
    """A row for each name that the batch changed: what it meant before, and what it means now."""
    execute = batch.connection.execute
    execute("DROP TABLE IF EXISTS temp.reverting")
    execute(
        """
        CREATE TEMP TABLE reverting AS
        SELECT t.alias, t.namespace_id,
            (SELECT sequence_id FROM ended_aliases e WHERE e.alias = t.alias
                AND e.namespace_id = t.namespace_id AND e.to_batch = :reverted
                AND e.from_batch < :reverted) AS before,  -- not what an import brought as former
            (SELECT sequence_id FROM aliases a WHERE a.alias = t.alias
                AND a.namespace_id = t.namespace_id) AS now,
            (SELECT batch_id FROM aliases a WHERE a.alias = t.alias
                AND a.namespace_id = t.namespace_id) AS since,
            (SELECT max(to_batch) FROM ended_aliases e WHERE e.alias = t.alias
                AND e.namespace_id = t.namespace_id) AS ended
        FROM (
            SELECT alias, namespace_id FROM aliases WHERE batch_id = :reverted
            UNION
            SELECT alias, namespace_id FROM ended_aliases
            WHERE from_batch = :reverted OR to_batch = :reverted
        ) t""",
        {"reverted": reverted},
    )
    # What is as it was before already needs nothing.
    execute("DELETE FROM temp.reverting WHERE now IS before")


def _decide(batch: Batch, report: RevertReport, on_conflict: OnConflict) -> None:
    """Report names that a later batch changed, and leave out those that shall stay."""
    execute = batch.connection.execute
    changed_since = f"max(coalesce(since, 0), coalesce(ended, 0)) > {report.reverts}"
    (n_changed,) = execute(f"SELECT count(*) FROM temp.reverting WHERE {changed_since}").fetchone()
    report.conflicts = [
        f"{namespace}:{alias} was changed again by batch {later}"
        for namespace, alias, later in execute(
            "SELECT n.name, t.alias, max(coalesce(t.since, 0), coalesce(t.ended, 0))"
            " FROM temp.reverting t JOIN namespaces n ON n.id = t.namespace_id"
            f" WHERE {changed_since} ORDER BY n.name, t.alias LIMIT {_SAID}"
        )
    ]
    gone = "before IS NOT NULL AND before NOT IN (SELECT id FROM sequences)"
    (n_gone,) = execute(f"SELECT count(*) FROM temp.reverting WHERE {gone}").fetchone()
    if n_gone:
        report.conflicts += (
            f"{namespace}:{alias} meant a sequence that was reclaimed"
            for namespace, alias in execute(
                "SELECT n.name, t.alias FROM temp.reverting t"
                f" JOIN namespaces n ON n.id = t.namespace_id WHERE {gone}"
                f" ORDER BY n.name, t.alias LIMIT {_SAID}"
            )
        )
    if n_gone and on_conflict is not OnConflict.ERROR:  # whatever was asked for: it is not there
        report.aliases_kept = n_gone
        execute(f"DELETE FROM temp.reverting WHERE {gone}")
    if not (n_changed or n_gone) or on_conflict is OnConflict.REPLACE:
        return
    if on_conflict is OnConflict.ERROR:
        more = f" ({len(report.conflicts):,} names)" if len(report.conflicts) > 1 else ""
        raise AliasConflict(
            f"{report.conflicts[0]}{more}; nothing was changed: use --on-conflict keep or replace",
            report.conflicts,
        )
    report.aliases_kept += execute(f"DELETE FROM temp.reverting WHERE {changed_since}").rowcount


def _revert_logs(batch: Batch, report: RevertReport, on_conflict: OnConflict) -> None:
    """The same for names of collections, for what is said of these, and for ids of tracks."""
    conflicts: list[str] = []
    report.collection_aliases_reverted, report.fhr_reverted, tracks, computed = (
        revert_log(batch, log, report.reverts, on_conflict, conflicts)
        for log in (NAMES, FHR, MEANINGS, DERIVATIONS)
    )
    report.tracks_reverted = max(tracks, computed)
    if conflicts and on_conflict is OnConflict.ERROR:
        raise AliasConflict(
            f"{conflicts[0]}; nothing was changed: use --on-conflict keep or replace", conflicts
        )
    if on_conflict is OnConflict.KEEP:
        report.aliases_kept += len(conflicts)
    report.conflicts += conflicts[:_SAID]


def _apply(batch: Batch, report: RevertReport) -> None:
    execute = batch.connection.execute
    report.aliases_retired, report.aliases_moved_back, report.aliases_restored = (
        int(n or 0)
        for n in execute(
            "SELECT sum(before IS NULL), sum(before IS NOT NULL AND now IS NOT NULL),"
            " sum(now IS NULL) FROM temp.reverting"
        ).fetchone()
    )
    batch.aliases.counts.retired = report.aliases_retired
    batch.aliases.counts.moved = report.aliases_moved_back
    batch.aliases.counts.added = report.aliases_restored
    execute(
        "INSERT INTO ended_aliases SELECT alias, namespace_id, now, since, ?"
        " FROM temp.reverting WHERE now IS NOT NULL",
        (batch.id,),
    )
    execute(
        "DELETE FROM aliases WHERE (alias, namespace_id) IN"
        " (SELECT alias, namespace_id FROM temp.reverting)"
    )
    execute(
        "INSERT INTO aliases SELECT alias, namespace_id, before, ?"
        " FROM temp.reverting WHERE before IS NOT NULL",
        (batch.id,),
    )
    report.circular_unmarked = execute(
        "INSERT INTO ended_circular SELECT sequence_id, batch_id, ? FROM circular"
        " WHERE batch_id = ?",
        (batch.id, report.reverts),
    ).rowcount
    execute("DELETE FROM circular WHERE batch_id = ?", (report.reverts,))
    # A mark that a later batch gave and took again stays as that one left it.
    report.circular_restored = execute(
        "INSERT OR IGNORE INTO circular SELECT e.sequence_id, :now FROM ended_circular e"
        " WHERE e.to_batch = :reverted AND NOT EXISTS (SELECT 1 FROM ended_circular o"
        " WHERE o.sequence_id = e.sequence_id AND o.to_batch > :reverted)",
        {"now": batch.id, "reverted": report.reverts},
    ).rowcount
    report.sequences_unreferenced, report.residues_unreferenced = execute(
        "SELECT count(*), coalesce(sum(length), 0) FROM sequences s WHERE s.batch_id = ?"
        " AND NOT EXISTS (SELECT 1 FROM aliases a WHERE a.sequence_id = s.id)",
        (report.reverts,),
    ).fetchone()
    execute("DROP TABLE temp.reverting")
