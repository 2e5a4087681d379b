"""``seqarchive repair``."""

from __future__ import annotations

import click

from ..errors import Corrupt
from ..reclaiming import reclaim
from ..repairing import RepairReport, repair
from . import Settings, command, counted, megabytes, print_json, warn

#: Kinds of findings that a copy of a file mends.
_IN_COPIES = ("missing", "truncated", "changed")


@command("repair", "seqarchive repair --from https://mirror.example.org/seqarchive")
@click.option(
    "--from",
    "copy",
    metavar="DIR|URL",
    help="Take damaged files from this copy: another archive, a snapshot, or what is published.",
)
@click.option(
    "--reclaim",
    "with_reclaim",
    is_flag=True,
    help="Instead, drop the sequences of reverted batches that nothing refers to any more.",
)
@click.option("--dry-run", is_flag=True, help="With --reclaim: only say what would go.")
def command_(settings: Settings, copy: str | None, with_reclaim: bool, dry_run: bool) -> int:
    """Mend what can be mended: take damaged files from a snapshot or a copy, rebuild indexes, adopt
    shards that the database does not name, or move them aside.

    Nothing but the same bytes is taken. A shard that nobody has once more is left as it is, and
    named: load its sources (see `log`) into a new archive. With --instance and --from, the files of
    a snapshot are mended. Exits with 6 if damage remains.
    """
    if with_reclaim:
        if copy is not None:
            raise click.UsageError("--reclaim drops what is not needed; --from has no part in it")
        _reclaim(settings, dry_run=dry_run)
        return 0
    if dry_run:
        raise click.UsageError("--dry-run goes with --reclaim; `verify` says what is to repair")
    report = repair(settings.place(), copy)
    if settings.json:
        print_json(report.as_dict())
    else:
        for path, place in report.replaced:
            click.echo(f"replaced: {path} from {place}")
        for what, paths in (
            ("rebuilt", report.rebuilt),
            ("adopted", report.adopted),
            ("moved aside", report.moved_aside),
            ("not repaired", [str(finding) for finding in report.not_repaired]),
        ):
            for path in paths:
                click.echo(f"{what}: {path}")
        done = report.replaced or report.rebuilt or report.adopted or report.moved_aside
        if not done and not report.not_repaired:
            click.echo("nothing to repair")
    _advise(settings, report)
    return Corrupt.exit_code if report.not_repaired else 0


def _advise(settings: Settings, report: RepairReport) -> None:
    root = settings.place().root
    for name in report.snapshots:
        warn(
            settings,
            f"the snapshot {name} has the same damage: "
            f"`seqarchive --root {root} --instance {name} repair --from {root}` mends it",
        )
    if any(finding.kind in _IN_COPIES for finding in report.not_repaired):
        warn(
            settings,
            "damage remains: `repair --from COPY` takes the file from a copy, a mirror or a "
            "backup; without one, load the sources that `log` names into a new archive",
        )


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
