"""``seqarchive revert``."""

from __future__ import annotations

import click

from ..new_aliases import OnConflict
from ..reverting import revert
from . import Settings, command, counted, on_conflict_option, print_json, warn


@command("revert", "seqarchive revert 7")
@on_conflict_option("When a later batch has changed a name again: fail, keep that, or replace it.")
@click.option("--dry-run", is_flag=True, help="Report what would happen; write nothing.")
@click.argument("batch", type=click.IntRange(1))
def command_(settings: Settings, on_conflict: str, dry_run: bool, batch: int) -> None:
    """Undo what a batch did to names, as a new batch that says so.

    Aliases that it added are retired, those that it moved or retired go back. The sequences stay;
    `repair --reclaim` drops those that nothing refers to any more.
    """
    report = revert(settings.place(), batch, OnConflict(on_conflict), dry_run=dry_run)
    if settings.json:
        print_json(report.as_dict())
        return
    head = "dry run, nothing written" if dry_run else f"batch {report.batch} reverts batch {batch}"
    if report.batch is None and not dry_run:
        head = f"nothing of batch {batch} is left to revert"
    click.echo(
        f"{head}: {report.aliases_retired:,} aliases retired, {report.aliases_moved_back:,} moved "
        f"back, {report.aliases_restored:,} restored, {report.aliases_kept:,} kept as a later "
        "batch left them"
    )
    if report.sequences_unreferenced:
        click.echo(
            f"  {counted(report.sequences_unreferenced, 'sequence')} of batch {batch} "
            f"({counted(report.residues_unreferenced, 'residue')}) without a name now; "
            "`seqarchive repair --reclaim` drops what no snapshot holds"
        )
    for line in report.conflicts[:10]:
        warn(settings, f"conflict: {line}")
