"""``seqarchive load``."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import click

from .. import namespaces
from ..bgzf import Compression
from ..deflines import Naming, read_alias_table
from ..identifiers import parse_alias
from ..loading import LoadOptions, LoadReport, load
from ..new_aliases import OnConflict
from ..packing import SHARD_BYTES
from . import (
    Settings,
    command,
    counted,
    megabytes,
    on_conflict_option,
    print_json,
    progress_bar,
    warn,
    warn_some,
)

_SIZE = re.compile(r"(\d+)\s*([kMGT]i?)?B?\Z")
_UNITS = {"k": 1, "M": 2, "G": 3, "T": 4}


def _size(text: str) -> int:
    match = _SIZE.match(text)
    if match is None:
        raise click.BadParameter(f"{text!r} is not a size like 95M (millions) or 256Mi")
    number, unit = match.groups()
    base = 1024 if unit and unit.endswith("i") else 1000
    size = int(number) * int(base ** _UNITS[unit[0]] if unit else 1)
    if not size:
        raise click.BadParameter("a shard of no bytes holds nothing")
    return size


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise click.BadParameter(f"{text!r} is not a regular expression: {error}") from None


@command("load", "seqarchive load --namespace refseq GRCh38_latest_rna.fna.gz extra.gbff")
@click.option("--namespace", "-n", required=True, help="Namespace of the names in the files.")
@on_conflict_option("When an alias means another sequence already.")
@click.option(
    "--on-error",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="When a record is not right.",
)
@click.option(
    "--circular",
    multiple=True,
    metavar="NAME",
    help="A record (first word of its defline) that is a circular molecule.",
)
@click.option(
    "--keep-mask",
    is_flag=True,
    help="Remember lower case, so that `export --collection` gives it back.",
)
@click.option(
    "--collection",
    metavar="NAMESPACE:ALIAS",
    help="Name the file as a whole; see `seqarchive collection`.",
)
@click.option(
    "--alias-regex",
    type=_pattern,
    metavar="REGEX",
    help="How to find the alias in a defline: group `alias` (or the first), and "
    "`namespace` if it is there too.",
)
@click.option(
    "--alias-table",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TSV: a name in the files, then the namespace:alias it shall have.",
)
@click.option(
    "--compression",
    type=click.Choice([choice.value for choice in Compression]),
    default="fast",
    show_default=True,
    help="`small` looks for repeats too: slower, up to 30 % less for transcripts.",
)
@click.option(
    "--shard-size",
    type=_size,
    metavar="SIZE",
    default=str(SHARD_BYTES),
    show_default="256Mi",
    help="Size at which a shard file closes; 95M fits hosts that limit a file.",
)
@click.option("--threads", type=click.IntRange(0), help="Worker processes [one a core].")
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="tcp://HOST:PORT of a Dask scheduler whose workers read the files instead; they must see "
    "files and archive under the same names.",
)
@click.option("--dry-run", is_flag=True, help="Report what would happen; write nothing.")
@click.argument("files", nargs=-1, required=True)
def command_(
    settings: Settings,
    namespace: str,
    on_conflict: str,
    on_error: str,
    circular: Sequence[str],
    keep_mask: bool,
    collection: str | None,
    alias_regex: re.Pattern[str] | None,
    alias_table: Path | None,
    compression: str,
    shard_size: int,
    threads: int | None,
    scheduler: str | None,
    dry_run: bool,
    files: Sequence[str],
) -> None:
    """Load sequence files as one batch: all of it, or nothing.

    FILES are FASTA, GenBank, EMBL or Swiss-Prot, plain or compressed (gzip, BGZF, bzip2, xz,
    zstd), recognised by content; `-` is standard input. Known sequences are not stored again.
    """
    naming = Naming(
        namespaces.canonical(namespace),
        alias_regex,
        read_alias_table(alias_table) if alias_table else {},
    )
    options = LoadOptions(
        naming,
        OnConflict(on_conflict),
        skip_errors=on_error == "skip",
        keep_mask=keep_mask,
        collections=() if collection is None else (parse_alias(collection),),
        circular=frozenset(circular),
        dry_run=dry_run,
        threads=(os.cpu_count() or 1) if threads is None else threads,
        compression=Compression(compression),
        shard_bytes=shard_size,
        scheduler=scheduler,
    )
    sizes = [Path(name).stat().st_size for name in files if Path(name).is_file()]
    total = sum(sizes) if len(sizes) == len(files) else None
    with progress_bar(settings, "loading", total) as progress:
        report = load(settings.place(), files, options, progress)
    if settings.json:
        print_json(report.as_dict())
    else:
        click.echo(_text(report))
    _warn(settings, report)


def _text(report: LoadReport) -> str:
    head = "nothing written" if report.batch is None else f"batch {report.batch}"
    head = f"dry run, {head}" if report.dry_run else head
    lines = [
        f"{head}: {counted(report.records, 'record')} from "
        f"{counted(len(report.files), 'file')}, {report.seconds:.2f} s",
        f"  sequences  {report.sequences_added:,} added ({report.residues_added:,} residues), "
        f"{report.sequences_known:,} known already",
        f"  aliases    {report.aliases_added:,} added, {report.aliases_known:,} known already, "
        f"{report.aliases_moved:,} moved, {report.aliases_kept:,} kept against a conflict",
    ]
    if report.shards:
        lines.append(f"  shards     {report.shards:,} written, {megabytes(report.shard_bytes)}")
    if report.skipped:
        lines.append(f"  skipped    {len(report.skipped):,}")
    for count, what in (
        (report.versionless, "RefSeq or Ensembl name{s} without a version"),
        (report.empty, "empty sequence{s}"),
        (report.circular, "circular molecule{s}"),
        (len(report.unused_circular), "name{s} of --circular that no record has"),
        (len(report.unused_table), "name{s} of --alias-table that no record has"),
    ):
        if count:
            lines.append(f"  {count:,} {what.format(s='s' * (count != 1))}")
    return "\n".join(lines)


def _warn(settings: Settings, report: LoadReport) -> None:
    warn_some(settings, "conflict", report.conflicts, "conflicts")
    warn_some(settings, "skipped", report.skipped, "skipped")
    for name in report.unused_circular:
        warn(settings, f"--circular {name}: no record of that name")
    warn_some(settings, "--alias-table: no record of the name", report.unused_table, "names")
