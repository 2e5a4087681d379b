"""``seqarchive add-assembly-names``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ..assemblies.assembly import Assembly
from ..assemblies.bundled import bundled_assemblies
from ..assemblies.naming import (
    AssemblyReport,
    NamingOptions,
    NamingReport,
    add_assembly_names,
)
from ..assemblies.reports import Unnamed, read_file, read_sizes_file
from ..new_aliases import OnConflict
from . import Settings, command, counted, on_conflict_option, print_json, warn

#: Lines of a kind that are printed; ``--json`` has all.
_SHOWN = 10


@command("add-assembly-names", "seqarchive add-assembly-names --assembly GRCh38.p14")
@click.option(
    "--assembly",
    "names",
    metavar="NAME",
    multiple=True,
    help="Of the bundled assemblies, only this one; with REPORTs, the name of each, in order.",
)
@click.option("--sizes", metavar="FILE", help="The chrom.sizes that belongs to a chromAlias file.")
@on_conflict_option("When a name means another sequence already.")
@click.option(
    "--on-error",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="When a sequence is not as long as the report says, or another one.",
)
@click.option("--complete", is_flag=True, help="Leave out assemblies that are not here entirely.")
@click.option("--dry-run", is_flag=True, help="Report what would happen; write nothing.")
@click.argument("reports", metavar="[REPORT]...", nargs=-1)
def command_(
    settings: Settings,
    names: Sequence[str],
    sizes: str | None,
    on_conflict: str,
    on_error: str,
    complete: bool,
    dry_run: bool,
    reports: Sequence[str],
) -> None:
    """Name the sequences of assemblies: GRCh38:1, GRCh38:chr1.

    They must be in the archive, under their RefSeq or GenBank accessions, or as what the digest of
    a chromosome says. REPORT is an assembly report of NCBI, a chromAlias.txt of UCSC, or a
    dictionary (.dict) of SAM; without one, all human assemblies that `bioutils` has are tried.
    """
    options = NamingOptions(
        OnConflict(on_conflict),
        skip_refused=on_error == "skip",
        only_complete=complete,
        dry_run=dry_run,
    )
    assemblies = _read(reports, names, sizes) if reports else _bundled(names, sizes)
    report = add_assembly_names(settings.place(), assemblies, options)
    if settings.json:
        print_json(report.as_dict())
    else:
        click.echo(_text(report, everything=settings.verbose > 0))
    _warn(settings, report)


def _bundled(names: Sequence[str], sizes: str | None) -> list[Assembly]:
    if sizes is not None:
        raise click.UsageError("--sizes belongs to a REPORT")
    return bundled_assemblies(names)


def _read(reports: Sequence[str], names: Sequence[str], sizes: str | None) -> list[Assembly]:
    if names and len(names) != len(reports):
        raise click.UsageError(
            f"--assembly names each REPORT, in order: there are {counted(len(reports), 'report')} "
            f"and {counted(len(names), 'name')}"
        )
    if sizes is not None and len(reports) > 1:
        raise click.UsageError("--sizes belongs to one REPORT, not to several")
    lengths = None if sizes is None else read_sizes_file(sizes)
    given: Sequence[str | None] = names or [None] * len(reports)
    try:
        return [
            read_file(report, name, lengths) for report, name in zip(reports, given, strict=True)
        ]
    except Unnamed as error:
        raise click.UsageError(f"{error}; give it a name with --assembly") from None


def _text(report: NamingReport, *, everything: bool) -> str:
    head = f"batch {report.batch}"
    if report.dry_run:
        head = "dry run, nothing written"
    elif report.batch is None:
        head = "no batch, nothing is new"
    lines = [f"{head}: {_counts(report)}, {report.seconds:.2f} s"]
    for one in report.assemblies:
        if one.n_matched:
            lines += _assembly_lines(one, everything=everything)
    n_absent = sum(not one.n_matched for one in report.assemblies)
    if n_absent:
        what = "1 other assembly" if n_absent == 1 else f"{n_absent:,} other assemblies"
        lines.append(f"  nothing of {what} is here")
    return "\n".join(lines)


def _assembly_lines(one: AssemblyReport, *, everything: bool) -> list[str]:
    ways = ", ".join(f"{number:,} by {how}" for how, number in one.matched.items() if number)
    found = f"  {one.name}: {one.n_matched:,} of {counted(one.sequences, 'sequence')} ({ways})"
    if not one.is_named:
        return [f"{found}: left out, not complete"]
    lines = [f"{found}, {_counts(one)}"]
    if one.collection is not None:
        lines.append(f"    complete: collection {one.collection}")
    if one.unchecked:
        lines.append(f"    {one.unchecked:,} without a length in the report, not checked")
    if everything:
        lines += (f"    {line}" for line in one.differing)
        lines += [f"    missing: {', '.join(one.missing)}"] if one.missing else []
    return lines


def _counts(report: NamingReport | AssemblyReport) -> str:
    more = (
        (report.aliases_known, "known already"),
        (report.aliases_moved, "moved"),
        (report.aliases_kept, "kept against a conflict"),
    )
    said = [f"{number:,} {what}" for number, what in more if number]
    return ", ".join([f"{counted(report.aliases_added, 'name')} added", *said])


def _warn(settings: Settings, report: NamingReport) -> None:
    found = [("conflict", line) for line in report.conflicts]
    for one in report.assemblies:
        for what, lines in (("refused", one.refused), ("left out", one.left_out)):
            found += ((what, f"{one.name}: {line}") for line in lines)
    for what, line in found[:_SHOWN]:
        warn(settings, f"{what}: {line}")
    if len(found) > _SHOWN:
        warn(settings, f"... and {counted(len(found) - _SHOWN, 'more line')} (--json has all)")
