"""``seqarchive log``."""

from __future__ import annotations

import click

from ..reader import ArchiveReader
from . import Settings, command, print_json


@command("log", "seqarchive log")
def command_(settings: Settings) -> None:
    """List the batches, the oldest first: when, who, what from where.

    With --json, one JSON line for each.
    """
    with ArchiveReader(settings.place().root, settings.place().name) as archive:
        for batch in archive.batches():
            if settings.json:
                print_json(batch)
                continue
            click.echo(
                f"batch {batch['batch']}  {batch['created']}  {batch['kind']}"
                + (f" into {batch['namespace']}" if batch["namespace"] else "")
                + f"  by {batch['user']}@{batch['host']}, seqarchive {batch['version']}"
            )
            click.echo(
                f"    {batch['n_records']:,} records: {batch['n_sequences']:,} sequences and "
                f"{batch['n_aliases']:,} aliases added, {batch['n_aliases_moved']:,} aliases moved"
            )
            for source in batch["sources"]:
                click.echo(
                    f"    {source['name']}  {source['bytes']:,} bytes  sha256 {source['sha256']}"
                )
