"""``seqarchive import-rgstore``."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from ..new_aliases import OnConflict
from ..rgstore.importing import StoreImportReport, import_rgstore
from ..rgstore.reading import RefgetStore
from . import (
    Settings,
    command,
    counted,
    megabytes,
    on_conflict_option,
    print_json,
    progress_bar,
    warn_some,
)

#: Less than this many bytes of payloads is not worth workers.
_MUCH = 8 << 20


@command("import-rgstore", "seqarchive import-rgstore https://example.org/rgstore")
@click.option(
    "--collection",
    "collections",
    metavar="ID",
    multiple=True,
    help="Only this one (its digest, or a name of it); several times for several.",
)
@click.option("--namespace", "-n", help="Have the names of members as aliases in this namespace.")
@on_conflict_option("When an alias means something else already.")
@click.option(
    "--on-error",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="When a sequence of the store is damaged.",
)
@click.option("--threads", type=click.IntRange(0), help="Worker processes [one a core].")
@click.option("--dry-run", is_flag=True, help="Report what would happen; write nothing.")
@click.argument("source")
def command_(
    settings: Settings,
    collections: Sequence[str],
    namespace: str | None,
    on_conflict: str,
    on_error: str,
    threads: int | None,
    dry_run: bool,
    source: str,
) -> None:
    """Take a RefgetStore in as one batch: sequences, collections, aliases and FHR.

    SOURCE is a directory, http(s):// or s3://, of a store that gtars, refget or seqarchive wrote.
    """
    with RefgetStore(source) as store:
        is_much = (store.manifest.logical_bytes or _MUCH) >= _MUCH
        cores = (os.cpu_count() or 1) if is_much else 0
        with progress_bar(settings, "importing", None, "residues") as progress:
            report = import_rgstore(
                settings.place(),
                store,
                collections=collections,
                namespace=namespace,
                on_conflict=OnConflict(on_conflict),
                skip_errors=on_error == "skip",
                dry_run=dry_run,
                threads=cores if threads is None else threads,
                progress=progress,
            )
    if settings.json:
        print_json(report.as_dict())
    else:
        click.echo(_text(report))
    warn_some(settings, "conflict", report.load.conflicts, "conflicts")
    warn_some(settings, "skipped", report.load.skipped, "skipped")
    warn_some(settings, "left out", report.left_out, "left out")


def _text(report: StoreImportReport) -> str:
    load = report.load
    head = "dry run, nothing written" if load.dry_run else f"batch {load.batch}"
    left_out = f", {report.collections_left_out:,} left out" if report.collections_left_out else ""
    lines = [
        f"{head}: {counted(report.collections, 'collection')} "
        f"({report.collections_known:,} known already{left_out}) from {report.source}, "
        f"{load.seconds:.2f} s",
        f"  sequences  {load.sequences_added:,} added ({load.residues_added:,} residues), "
        f"{load.sequences_known:,} known already, {report.sequences_alone:,} in no collection",
        f"  aliases    {load.aliases_added:,} added, {load.aliases_known:,} known already, "
        f"{load.aliases_moved:,} moved, {load.aliases_kept:,} kept against a conflict",
    ]
    if report.fhr:
        lines.append(f"  FHR        {report.fhr:,}")
    if load.shards:
        lines.append(f"  shards     {load.shards:,} written, {megabytes(load.shard_bytes)}")
    return "\n".join(lines)
