"""``seqarchive pull``."""

from __future__ import annotations

from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import click

from ..errors import NotFound
from ..releases import releases
from ..sources.base import Source
from ..sources.opening import open_source
from ..sources.published import listing_of
from ..transfer.pulling import pull
from ..transfer.signing import public_keys
from . import (
    Settings,
    command,
    counted,
    jobs_option,
    megabytes,
    print_json,
    transfer_bar,
)


@command("pull", "seqarchive pull https://mirror.example.org/seqarchive 2024-06-01")
@click.option("--list", "only_list", is_flag=True, help="Say what URL offers; get nothing.")
@click.option(
    "--key",
    "keys",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Public SSH keys, one of which must have signed the release.",
)
@jobs_option
@click.argument("url")
@click.argument("name", required=False)
def command_(
    settings: Settings, only_list: bool, keys: Path | None, jobs: int, url: str, name: str | None
) -> None:
    """Get a release, the newest without NAME, from a root that somebody publishes.

    URL is a directory, http(s):// of any web server or of `seqarchive serve`, or
    s3://bucket/prefix. Only files that no instance here has are fetched; every byte is checked
    against the manifest. A pull that was interrupted goes on where it was.
    """
    bring = partial(_pull, settings, only_list=only_list, keys=keys, jobs=jobs)
    try:
        with closing(open_source(url)) as source:
            bring(source, name)
    except NotFound:
        if not url.lower().startswith(("http://", "https://")):
            raise
        below = open_source(f"{url.rstrip('/')}/releases")  # where a server of ours has them
        with closing(below), suppress(NotFound):
            bring(below, name)
            return
        raise


def _pull(
    settings: Settings,
    source: Source,
    name: str | None,
    *,
    only_list: bool,
    keys: Path | None,
    jobs: int,
) -> None:
    root = settings.place().root
    if only_list:
        _list(settings, source, root)
        return
    allowed = None if keys is None else public_keys(keys)
    with transfer_bar(settings, "pulling") as (begin, progress):
        report = pull(root, source, name, keys=allowed, jobs=jobs, begin=begin, progress=progress)
    if settings.json:
        print_json(report.as_dict())
        return
    if not report.is_new:
        click.echo(f"{report.name} is here already")
    else:
        click.echo(
            f"{report.name}: {counted(report.n_files, 'file')}, {megabytes(report.n_bytes)}, from "
            f"{report.source} in {report.seconds:.2f} s"
        )
        click.echo(
            f"  fetched    {counted(report.files_fetched, 'file')}, "
            f"{megabytes(report.bytes_fetched)}; {report.files_here:,} "
            f"({megabytes(report.bytes_here)}) were here already"
        )
    click.echo(f"  manifest   sha256 {report.manifest_sha256}")
    if report.signed_by is not None:
        click.echo(f"  signature  by {report.signed_by}")
    elif report.has_signature:
        click.echo("  signature  not checked (--key FILE checks it)")


_COLUMNS = ("NAME", "TAKEN (UTC)", "BATCH", "SIZE", "HERE")


def _list(settings: Settings, source: Source, root: Path) -> None:
    listing = listing_of(source)
    here = {release.instance.name: release.found.sha256 for release in releases(root)}
    is_here = {name: here.get(name) == row["manifest_sha256"] for name, row in listing.rows.items()}
    if settings.json:
        rows = [{**row, "here": is_here[name]} for name, row in listing.rows.items()]
        print_json({"url": source.address, "latest": listing.latest, "releases": rows})
        return
    if not listing.rows:
        click.echo(f"no snapshots at {source.address}")
        return
    table = [_COLUMNS, *(_cells(row, listing.latest, is_here) for row in listing.rows.values())]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        click.echo("  ".join(map(str.ljust, cells, widths)).rstrip())


def _cells(row: dict[str, Any], latest: str | None, here: dict[str, bool]) -> tuple[str, ...]:
    name = row["name"]
    return (
        name + (" (latest)" if name == latest else ""),
        row["created"][:19].replace("T", " "),
        f"{row['batch']:,}",
        megabytes(row["bytes"]),
        "yes" if here[name] else "no",
    )
