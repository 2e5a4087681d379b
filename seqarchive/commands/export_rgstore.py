"""``seqarchive export-rgstore``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ..rgstore.exporting import export_rgstore
from ..rgstore.layout import Mode
from ..writing import initialise_new
from . import Settings, command, counted, megabytes, print_json, progress_bar, warn


@command("export-rgstore", "seqarchive export-rgstore /srv/www/rgstore")
@click.option(
    "--mode",
    type=click.Choice(["encoded", "raw"]),
    default="encoded",
    show_default=True,
    help="Residues packed in as few bits as their letters need, or one byte each.",
)
@click.option(
    "--collection",
    "collections",
    metavar="ID",
    multiple=True,
    help="Only this one and what the store has already; several times for several.",
)
@click.option("--skip-names", is_flag=True, help="Leave out collections that a store cannot have.")
@click.option("--prune", is_flag=True, help="Drop what is there and is not asked for.")
@click.argument("destination", metavar="[DEST]", required=False)
def command_(
    settings: Settings,
    mode: str,
    collections: Sequence[str],
    skip_names: bool,
    prune: bool,
    destination: str | None,
) -> None:
    """Write the archive as a RefgetStore, which gtars, refget and refgenie read.

    DEST is a directory (ROOT/rgstore if it is not given) or s3://bucket/prefix. Run again, it
    writes what is new.
    """
    instance = settings.existing_place()
    initialise_new(instance)
    with progress_bar(settings, "exporting", None, "residues") as progress:
        report = export_rgstore(
            instance,
            destination or instance.root / "rgstore",
            mode=Mode(mode.capitalize()),
            collections=collections,
            skip_names=skip_names,
            prune=prune,
            progress=progress,
        )
    if settings.json:
        print_json(report.as_dict())
        return
    click.echo(
        f"{report.directory}: {counted(report.collections, 'collection')}, "
        f"{counted(report.sequences, 'sequence')}, {report.seconds:.2f} s"
    )
    click.echo(
        f"  payloads   {report.payloads_written:,} written, {report.payloads_there:,} there "
        f"already; {megabytes(report.payload_bytes)} ({report.mode})"
    )
    click.echo(f"  aliases    {report.aliases:,}")
    if report.as_ascii:
        click.echo(f"  in 8 bits  {report.as_ascii:,}, with letters that gtars cannot unpack")
    if report.pruned:
        click.echo(f"  pruned     {counted(report.pruned, 'file')}")
    for line in report.left_out:
        warn(settings, f"left out: {line}")
