"""``seqarchive import-seqrepo``."""

from __future__ import annotations

from pathlib import Path

import click

from ..new_aliases import OnConflict
from ..seqrepo.adopting import import_seqrepo
from . import Settings, command, counted, on_conflict_option, print_json, progress_bar, warn


@command("import-seqrepo", "seqarchive import-seqrepo /usr/local/share/seqrepo/2024-12-20")
@click.option("--verify", is_flag=True, help="Hash all residues again.")
@on_conflict_option("When a name means another sequence here already.")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
def command_(settings: Settings, verify: bool, on_conflict: str, directory: Path) -> None:
    """Take an instance of SeqRepo into the archive, as one batch.

    Its shards are hard-linked, not compressed again; names come with their history. A second
    import, or one of a later release, adds what is new.
    """
    with progress_bar(settings, "adopting", None) as progress:
        report = import_seqrepo(
            settings.place(),
            directory,
            on_conflict=OnConflict(on_conflict),
            verify=verify,
            progress=progress,
        )
    if settings.json:
        print_json(report.as_dict())
        return
    click.echo(f"batch {report.batch}: {report.directory}, {report.seconds:.2f} s")
    click.echo(
        f"  sequences  {report.sequences_added:,} added ({report.residues_added:,} residues), "
        f"{report.sequences_known:,} known already"
    )
    click.echo(
        f"  aliases    {report.aliases_added:,} added, {report.aliases_known:,} known already, "
        f"{report.aliases_moved:,} moved, {report.aliases_kept:,} kept against a conflict, "
        f"{report.former_aliases:,} former ones"
    )
    ways = ", ".join(f"{number:,} {way}" for way, number in report.files.items()) or "none"
    click.echo(f"  shards     {ways}")
    for what, lines in (
        ("not the digest of its residues", report.other_digest),
        ("skipped", report.skipped),
        ("conflict", report.conflicts),
    ):
        for line in lines[:10]:
            warn(settings, f"{what}: {line}")
        if len(lines) > 10:
            warn(settings, f"{what}: {counted(len(lines) - 10, 'more line')} (--json has all)")
