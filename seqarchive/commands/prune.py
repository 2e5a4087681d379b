"""``seqarchive prune``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ..pruning import prune
from . import Settings, command, megabytes, print_json

_NUMBER = click.IntRange(0)


@command("prune", "seqarchive prune --keep-last 3 --keep-monthly 12 --dry-run")
@click.option("--keep-last", "last", type=_NUMBER, default=0, metavar="N", help="The N newest.")
@click.option(
    "--keep-daily",
    "daily",
    type=_NUMBER,
    default=0,
    metavar="N",
    help="The last of each of N days (that have one).",
)
@click.option(
    "--keep-weekly",
    "weekly",
    type=_NUMBER,
    default=0,
    metavar="N",
    help="The last of each of N weeks.",
)
@click.option(
    "--keep-monthly",
    "monthly",
    type=_NUMBER,
    default=0,
    metavar="N",
    help="The last of each of N months.",
)
@click.option(
    "--keep-yearly",
    "yearly",
    type=_NUMBER,
    default=0,
    metavar="N",
    help="The last of each of N years.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.argument("names", nargs=-1)
def command_(
    settings: Settings,
    last: int,
    daily: int,
    weekly: int,
    monthly: int,
    yearly: int,
    dry_run: bool,
    names: Sequence[str],
) -> None:
    """Remove snapshots: those that are named, or all that no --keep rule keeps.

    A shard stays as long as `master` or another snapshot has it.
    """
    rules = {"daily": daily, "weekly": weekly, "monthly": monthly, "yearly": yearly}
    if bool(names) == bool(last or any(rules.values())):
        raise click.UsageError("say either which snapshots to remove, or --keep rules above 0")
    report = prune(settings.place().root, names, last=last, dry_run=dry_run, **rules)
    if settings.json:
        print_json(report.as_dict())
        return
    verb = "would remove" if dry_run else "removed"
    for name in report.removed:
        click.echo(f"{verb} {name}")
    click.echo(
        f"{verb} {len(report.removed)}, kept {len(report.kept)}"
        + (f" ({', '.join(report.kept)})" if report.kept else "")
        + f"; {megabytes(report.freed_bytes)} {'would be ' if dry_run else ''}freed"
    )
