"""``seqarchive log``."""

from __future__ import annotations

from typing import Any

import click

from ..errors import Corrupt
from ..identifiers import visible
from . import Settings, command, counted, print_json
from .alias import print_history


@command("log", "seqarchive log --alias refseq:NM_000014.6")
@click.option("--alias", metavar="NAMESPACE:ALIAS", help="Instead, all that this ever meant.")
def command_(settings: Settings, alias: str | None) -> None:
    """List the batches, the oldest first: when, who, what from where.

    With --json, one JSON line for each.
    """
    if alias is not None:
        with settings.open_one() as archive:
            print_history(settings, alias, archive.history(alias))
        return
    with settings.open_one() as archive:
        for batch in archive.batches():
            if settings.json:
                print_json(batch)
                continue
            _echo(
                f"batch {batch['batch']}  {batch['created']}  {batch['kind']}"
                + (f" into {batch['namespace']}" if batch["namespace"] else "")
                + (f" of batch {batch['reverts']}" if batch["reverts"] else "")
                + f"  by {batch['user']}@{batch['host']}, seqarchive {batch['version']}"
            )
            if batch["kind"].startswith("track "):
                _echo(f"    {_of_track(batch['batch'], archive.report_of(batch['batch']))}")
                continue
            click.echo(
                f"    {counted(batch['n_records'], 'record')}: "
                f"{counted(batch['n_sequences'], 'sequence')} and "
                f"{counted(batch['n_aliases'], 'alias')} added, "
                f"{batch['n_aliases_moved']:,} moved, {batch['n_aliases_retired']:,} retired"
            )
            for source in batch["sources"]:
                _echo(f"    {source['name']}  {source['bytes']:,} bytes  sha256 {source['sha256']}")


def _echo(line: str) -> None:
    # Files, users and hosts are called as somebody else likes.
    click.echo(visible(line))


def _of_track(batch: int, report: dict[str, Any]) -> str:
    try:
        if "deleted" in report:
            return f"deleted {', '.join(report['deleted'])}"
        text = f"{report['id']}  {report['name']}  {report['track']}"
        dropped = len(report.get("dropped", ()))
    except (KeyError, TypeError):  # of an archive that somebody else made
        raise Corrupt(f"the report of batch {batch} is not one of a track") from None
    return text + (
        f"; {counted(dropped, 'computed track')} dropped to make room" if dropped else ""
    )
