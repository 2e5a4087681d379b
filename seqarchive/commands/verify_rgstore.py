"""``seqarchive verify-rgstore``."""

from __future__ import annotations

import click

from ..errors import Corrupt
from ..rgstore.verifying import verify_rgstore
from ..sources.opening import open_source
from . import Settings, command, counted, print_json, progress_bar


@command("verify-rgstore", "seqarchive verify-rgstore --full /srv/www/rgstore")
@click.option("--full", is_flag=True, help="Hash every payload.")
@click.argument("source")
def command_(settings: Settings, full: bool, source: str) -> int:
    """Look at a RefgetStore, whoever wrote it, and list every finding; exits with 6 if there are
    some.

    SOURCE is a directory, http(s):// or s3://. Digests of the manifest, of collections and, with
    --full, of sequences are computed again.
    """
    with progress_bar(settings, "verifying", None) as progress:
        report = verify_rgstore(open_source(source), full=full, progress=progress)
    if settings.json:
        print_json(report.as_dict())
    else:
        for path, what in report.findings:
            click.echo(f"{path}: {what}")
        verdict = counted(len(report.findings), "finding") if report.findings else "no damage"
        how = "in full" if full else "without their payloads (--full hashes these)"
        click.echo(
            f"{counted(report.collections, 'collection')} and "
            f"{counted(report.sequences, 'sequence')} checked {how} in {report.seconds:.2f} s: "
            f"{verdict}"
        )
    return Corrupt.exit_code if report.findings else 0
