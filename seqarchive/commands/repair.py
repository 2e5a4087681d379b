"""``seqarchive repair``."""

from __future__ import annotations

import click

from ..errors import Corrupt
from ..reclaiming import reclaim
from ..repairing import repair
from . import Settings, command, counted, megabytes, print_json


@command("repair", "seqarchive repair")
@click.option(
    "--reclaim",
    "with_reclaim",
    is_flag=True,
    help="Instead, drop the sequences of reverted batches that nothing refers to any more.",
)
@click.option("--dry-run", is_flag=True, help="With --reclaim: only say what would go.")
def command_(settings: Settings, with_reclaim: bool, dry_run: bool) -> int:
    """Rebuild indexes, adopt shards that the database does not name, or move them aside.

    A shard whose residues are damaged is left as it is, and named: restore it from a copy, or
    load its sources (see `log`) into a new archive. Exits with 6 if damage remains.
    """
    if with_reclaim:
        _reclaim(settings, dry_run=dry_run)
        return 0
    if dry_run:
        raise click.UsageError("--dry-run goes with --reclaim; `verify` says what is to repair")
    report = repair(settings.place())
    if settings.json:
        print_json(report.as_dict())
    else:
        for what, paths in (
            ("rebuilt", report.rebuilt),
            ("adopted", report.adopted),
            ("moved aside", report.moved_aside),
            ("not repaired", [str(finding) for finding in report.not_repaired]),
        ):
            for path in paths:
                click.echo(f"{what}: {path}")
        done = report.rebuilt or report.adopted or report.moved_aside
        if not done and not report.not_repaired:
            click.echo("nothing to repair")
    return Corrupt.exit_code if report.not_repaired else 0


def _reclaim(settings: Settings, *, dry_run: bool) -> None:
    report = reclaim(settings.place(), dry_run=dry_run)
    if settings.json:
        print_json(report.as_dict())
        return
    head = "dry run, nothing written" if dry_run else f"batch {report.batch}"
    if report.sequences:
        click.echo(
            f"{head}: {counted(report.sequences, 'sequence')} "
            f"({counted(report.residues, 'residue')}) dropped, "
            f"{counted(len(report.shards_dropped), 'shard')} removed, "
            f"{len(report.shards_rewritten):,} rewritten"
            + (f", {megabytes(report.bytes_freed)} freed" if not dry_run else "")
        )
    else:
        click.echo("nothing to reclaim")
    if report.held_by_snapshots:
        click.echo(f"  {counted(report.held_by_snapshots, 'sequence')} kept: a snapshot holds them")
