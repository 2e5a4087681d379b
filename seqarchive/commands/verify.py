"""``seqarchive verify``."""

from __future__ import annotations

import click

from ..catalogue import note_verified
from ..errors import Corrupt, NotFound
from ..instances import MASTER, Instance, repair_from_copy
from ..rgstore import is_store
from ..verifying import VerifyReport, verify
from . import Settings, command, counted, print_json, progress_bar


@command("verify", "seqarchive verify --full")
@click.option("--full", is_flag=True, help="Hash every residue and every byte, on all cores.")
def command_(settings: Settings, full: bool) -> int:
    """Check rows against shards against indexes, and list every finding.

    A snapshot is checked against its manifest too, and `snapshots` says when that was.

    What an interrupted load left is listed as left over: it is no damage, and goes with the next
    write. Exits with 6 if there is damage; see `repair`.
    """
    instance = settings.existing_place()
    if is_store(instance.root) and not instance.directory.exists():
        raise NotFound(
            f"{instance.root} is a RefgetStore; `seqarchive verify-rgstore {instance.root}` looks "
            "at it"
        )
    with progress_bar(settings, "verifying", None) as progress:
        report = verify(instance, full=full, progress=progress)
    if instance.is_snapshot:
        note_verified(instance, full=full, sound=not report.findings)
    if settings.json:
        print_json(report.as_dict())
    else:
        _print(report, instance)
    return Corrupt.exit_code if report.findings else 0


def _print(report: VerifyReport, instance: Instance) -> None:
    for finding in report.findings:
        click.echo(f"{finding.kind}: {finding}")
    for path in report.left_over:
        click.echo(f"left over: {path}")
    how = "in full" if report.full else "quickly (--full hashes every residue)"
    way_out = (
        "`seqarchive repair` mends what can be mended, `repair --from COPY` the rest"
        if instance.name == MASTER
        else f"{repair_from_copy(instance.directory)} mends it"
    )
    verdict = (
        f"{counted(len(report.findings), 'finding')}; {way_out}" if report.findings else "no damage"
    )
    click.echo(
        f"{counted(report.sequences, 'sequence')}, {counted(report.residues, 'residue')} in "
        f"{counted(report.shards, 'shard')} checked {how} in {report.seconds:.2f} s: {verdict}"
    )
