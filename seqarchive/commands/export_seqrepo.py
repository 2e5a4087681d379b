"""``seqarchive export-seqrepo``."""

from __future__ import annotations

from pathlib import Path

import click

from ..seqrepo.feeding import export_seqrepo
from . import Settings, command, counted, print_json, warn


@command(
    "export-seqrepo", "seqarchive --instance 2024-06-01 export-seqrepo /data/seqrepo/2024-06-01"
)
@click.argument("dest", required=False, type=click.Path(path_type=Path, file_okay=False))
def command_(settings: Settings, dest: Path | None) -> None:
    """Write an instance that biocommons.seqrepo opens, or bring one up to date.

    DEST is the directory of the instance, ROOT/seqrepo/NAME unless it is given. Shards are
    hard-linked. hgvs reads it with HGVS_SEQREPO_DIR=DEST.
    """
    instance = settings.existing_place()
    report = export_seqrepo(instance, dest or instance.root / "seqrepo" / instance.name)
    if settings.json:
        print_json(report.as_dict())
        return
    since = "" if report.since is None else f", batch {report.since} was there"
    click.echo(
        f"{report.directory}: {counted(report.sequences, 'sequence')} and "
        f"{counted(report.aliases, 'alias')} as of batch {report.batch}{since}, "
        f"{report.seconds:.2f} s"
    )
    ways = ", ".join(f"{number:,} {way}" for way, number in report.files.items()) or "no new ones"
    click.echo(f"  files      {ways}")
    if report.with_stops:
        click.echo(
            f"  note       {counted(report.with_stops, 'sequence')} with '*' have their true "
            "digests; SeqRepo itself leaves the '*' out"
        )
    for name in report.empty:
        warn(settings, f"{name} is empty, which SeqRepo cannot have")
    for name in report.same_key:
        warn(settings, f"{name} differs only by '*' from a sequence that took its key in SeqRepo")
