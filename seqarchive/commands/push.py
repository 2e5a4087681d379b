"""``seqarchive push``."""

from __future__ import annotations

from pathlib import Path

import click

from ..transfer.pushing import push
from . import (
    Settings,
    command,
    counted,
    jobs_option,
    megabytes,
    print_json,
    sign_option,
    signer_with,
    transfer_bar,
)


@command("push", "seqarchive push s3://bucket/seqarchive 2024-06-01")
@sign_option
@jobs_option
@click.argument("destination", metavar="DEST")
@click.argument("name", required=False)
def command_(
    settings: Settings, key: Path | None, jobs: int, destination: str, name: str | None
) -> None:
    """Publish a snapshot, the newest without NAME, so that others can pull it or read it in place.

    DEST is a directory, which any web server can serve then, or s3://bucket/prefix. What is there
    already is not sent again, and a release is never replaced.
    """
    with transfer_bar(settings, "pushing") as (begin, progress):
        report = push(
            settings.only_root(),
            destination,
            name,
            sign=signer_with(key),
            jobs=jobs,
            begin=begin,
            progress=progress,
        )
    if settings.json:
        print_json(report.as_dict())
        return
    if not report.is_new:
        click.echo(f"{report.name} is there already")
    else:
        click.echo(
            f"{report.name}: {counted(report.n_files, 'file')}, {megabytes(report.n_bytes)}, to "
            f"{report.destination} in {report.seconds:.2f} s"
        )
        click.echo(
            f"  sent       {counted(report.files_sent, 'file')}, "
            f"{megabytes(report.bytes_sent)}; {report.files_there:,} "
            f"({megabytes(report.bytes_there)}) were there already"
        )
    click.echo(f"  manifest   sha256 {report.manifest_sha256}")
    if report.is_signed:
        click.echo("  signature  published beside it")
