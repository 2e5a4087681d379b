"""``seqarchive repair``."""

from __future__ import annotations

import click

from ..errors import Corrupt
from ..repairing import repair
from . import Settings, command, print_json


@command("repair", "seqarchive repair")
def command_(settings: Settings) -> int:
    """Rebuild indexes, adopt shards that the database does not name, or move them aside.

    A shard whose residues are damaged is left as it is, and named: restore it from a copy, or
    load its sources (see `log`) into a new archive. Exits with 6 if damage remains.
    """
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
