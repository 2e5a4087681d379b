"""``seqarchive fetch-load``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ..errors import NotFound
from ..new_aliases import OnConflict
from ..online import ensembl, entrez
from ..online.fetch_loading import FetchOptions, FetchReport, fetch_load
from . import (
    Settings,
    command,
    counted,
    lines_of,
    megabytes,
    on_conflict_option,
    print_json,
    progress_bar,
    warn,
)


@command("fetch-load", "seqarchive fetch-load NM_000014.6 NP_000005.3 ENST00000318602.12")
@click.option(
    "--from",
    "from_file",
    metavar="FILE",
    help="Accessions from a file (`-`: standard input), one a line.",
)
@on_conflict_option("When a name means another sequence already.")
@click.option(
    "--on-error",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="When a record cannot be had. `skip` loads the others and exits with 3.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be fetched; ask nobody.")
@click.option(
    "--api-key",
    envvar="NCBI_API_KEY",
    metavar="KEY",
    help="NCBI's key for ten requests a second instead of three [$NCBI_API_KEY].",
)
@click.option(
    "--email",
    envvar="NCBI_EMAIL",
    metavar="ADDRESS",
    help="Whom the services can write to if they are asked too much [$NCBI_EMAIL].",
)
@click.option(
    "--ncbi-url",
    envvar="SEQARCHIVE_NCBI_URL",
    metavar="URL",
    default=entrez.PUBLIC_URL,
    show_default=True,
    help="E-utilities [$SEQARCHIVE_NCBI_URL].",
)
@click.option(
    "--ensembl-url",
    envvar="SEQARCHIVE_ENSEMBL_URL",
    metavar="URL",
    default=ensembl.PUBLIC_URL,
    show_default=True,
    help="Ensembl REST [$SEQARCHIVE_ENSEMBL_URL].",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="To connect, and between two bytes.",
)
@click.option(
    "--retries",
    type=click.IntRange(0, 20),
    default=4,
    show_default=True,
    help="How often to ask again after a passing failure.",
)
@click.argument("accessions", nargs=-1)
def command_(
    settings: Settings,
    from_file: str | None,
    on_conflict: str,
    on_error: str,
    dry_run: bool,
    api_key: str | None,
    email: str | None,
    ncbi_url: str,
    ensembl_url: str,
    timeout: float,
    retries: int,
    accessions: Sequence[str],
) -> int:
    """Get single records from NCBI and Ensembl, and load them as one batch: all, or nothing.

    ACCESSIONS are those of RefSeq (NM_000014.6), INSDC (MN908947.3, AAA12345.1) and Ensembl
    (ENST00000318602.12), with or without `refseq:`, `insdc:` or `ensembl:`. The version that is
    asked for must come; without one the newest is taken, and reported. What the archive has is
    not asked for again.
    """
    if not accessions and from_file is None:
        raise click.UsageError("say at least one accession or --from")
    lines = lines_of(from_file) if from_file is not None else ()
    texts = [*accessions, *(line.strip() for line in lines if line.strip())]
    options = FetchOptions(
        OnConflict(on_conflict),
        skip_errors=on_error == "skip",
        dry_run=dry_run,
        api_key=api_key or None,
        email=email or None,
        ncbi_url=ncbi_url,
        ensembl_url=ensembl_url,
        timeout=timeout,
        retries=retries,
    )
    with progress_bar(settings, "fetching", len(set(texts)), "record") as progress:
        report = fetch_load(settings.place(), texts, options, progress)
    if settings.json:
        print_json(report.as_dict())
    else:
        click.echo(_text(report))
    for one in report.failed:
        warn(settings, f"not fetched: {one['accession']}: {one['reason']}")
    for line in report.load.conflicts if report.load else ():
        warn(settings, f"conflict: {line}")
    return NotFound.exit_code if report.failed else 0


def _text(report: FetchReport) -> str:
    known = f"{report.known:,} known already"
    if report.dry_run:
        head = f"dry run, nobody asked: {counted(len(report.wanted), 'record')} to fetch, {known}"
        return "\n".join(
            [head, *(f"  {one['accession']}  {one['source']}" for one in report.wanted)]
        )
    head = "nothing loaded" if report.batch is None else f"batch {report.batch}"
    lines = [
        f"{head}: {report.fetched:,} of {counted(report.asked, 'accession')} fetched, {known}, "
        f"{report.seconds:.2f} s",
    ]
    if report.requests:
        lines.append(
            f"  asked      {counted(report.requests, 'request')}, {megabytes(report.bytes)}"
        )
    if report.load is not None:
        lines += [
            f"  sequences  {report.load.sequences_added:,} added "
            f"({report.load.residues_added:,} residues), "
            f"{report.load.sequences_known:,} known already",
            f"  aliases    {report.load.aliases_added:,} added, "
            f"{report.load.aliases_known:,} known already, {report.load.aliases_moved:,} moved, "
            f"{report.load.aliases_kept:,} kept against a conflict",
        ]
    lines += [f"  resolved   {asked} is {got}" for asked, got in report.resolved.items()]
    return "\n".join(lines)
