"""``seqarchive digests``."""

from __future__ import annotations

import click

from ..hashing import add_sha256
from ..reader import ArchiveReader
from . import Settings, command, counted, print_json, progress_bar


@command("digests", "seqarchive digests add sha256")
@click.argument("action", type=click.Choice(["list", "add"]))
@click.argument("algorithm", type=click.Choice(["sha256"]), required=False)
def command_(settings: Settings, action: str, algorithm: str | None) -> None:
    """List the digests that are kept, or `add sha256` to them.

    sha512t24u, MD5 and SHA-1 are always kept; ga4gh, VMC, trunc512 and seguid follow from them.
    A digest that is added is computed for what is there and kept for what comes.
    """
    instance = settings.place()
    if action == "list":
        with ArchiveReader.of(instance) as archive:
            digests = archive.status()["digests"]
        if settings.json:
            print_json(digests)
        else:
            click.echo("\n".join(digests))
        return
    if algorithm is None:
        raise click.UsageError("say which: `digests add sha256`")
    with progress_bar(settings, "hashing", None, "b") as progress:
        report = add_sha256(instance, progress)
    if settings.json:
        print_json(report)
    else:
        head = "nothing to do" if report["batch"] is None else f"batch {report['batch']}"
        click.echo(f"{head}: {algorithm} of {counted(report['added'], 'sequence')} added")
