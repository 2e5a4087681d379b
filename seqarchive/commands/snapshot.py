"""``seqarchive snapshot``."""

from __future__ import annotations

from pathlib import Path

import click

from ..snapshots import take_snapshot
from . import (
    Settings,
    command,
    counted,
    megabytes,
    print_json,
    progress_bar,
    sign_option,
    signer_with,
    warn,
)


@command("snapshot", "seqarchive snapshot 2024-06-01")
@sign_option
@click.argument("name")
def command_(settings: Settings, key: Path | None, name: str) -> None:
    """Publish the archive as it is now under a name, never to change again.

    Shards are hard-linked: a snapshot takes the disk space of its database. Loads may go on
    meanwhile. `latest` then links to it, and ROOT/releases.json lists it.
    """
    with progress_bar(settings, "snapshot", None) as progress:
        report = take_snapshot(settings.place(), name, progress, sign=signer_with(key))
    if name.isdecimal():
        warn(settings, f"`--at {name}` means this snapshot now; `--at batch:{name}` is the batch")
    if settings.json:
        print_json(report.as_dict())
        return
    click.echo(
        f"{report.name}: {counted(report.counts['sequences'], 'sequence')} and "
        f"{counted(report.counts['aliases'], 'alias')} as of batch {report.batch}"
        + (f", after {report.parent}" if report.parent else "")
        + f", {report.seconds:.2f} s"
    )
    ways = ", ".join(f"{number:,} {way}" for way, number in report.files.items()) or "none"
    click.echo(f"  files      {ways}; {megabytes(report.database_bytes)} of database")
    if report.files.get("copied"):
        click.echo(
            "  note       shards were copied: hard links to them are not possible here "
            "(another owner, or a file system without links)"
        )
    click.echo(f"  manifest   sha256 {report.manifest_sha256}")
