"""``seqarchive import-aliases``."""

from __future__ import annotations

import click

from ..alias_tables import import_aliases, read_aliases
from ..new_aliases import OnConflict
from . import Settings, command, counted, lines_of, on_conflict_option, print_json, warn


@command("import-aliases", "seqarchive import-aliases names.tsv")
@on_conflict_option("When an alias means another sequence already.")
@click.option("--dry-run", is_flag=True, help="Report what would happen; write nothing.")
@click.argument("file")
def command_(settings: Settings, on_conflict: str, dry_run: bool, file: str) -> None:
    """Add aliases from a table, as one batch.

    Columns, separated by tabs: namespace, alias, sequence (any identifier of one in the
    archive). `-` is standard input.
    """
    label = "standard input" if file == "-" else file
    report = import_aliases(
        settings.place(),
        read_aliases(lines_of(file), label),
        label,
        OnConflict(on_conflict),
        dry_run=dry_run,
    )
    if settings.json:
        print_json(report)
        return
    head = "nothing written" if report["batch"] is None else f"batch {report['batch']}"
    head = f"dry run, {head}" if dry_run else head
    click.echo(
        f"{head}: {counted(report['rows'], 'row')}: {counted(report['aliases_added'], 'alias')} "
        f"added, {report['aliases_known']:,} known already, {report['aliases_moved']:,} moved, "
        f"{report['aliases_kept']:,} kept against a conflict"
    )
    for line in report["conflicts"][:10]:
        warn(settings, f"conflict: {line}")
