"""``seqarchive status``."""

from __future__ import annotations

import click

from . import Settings, command, counted, megabytes, print_json


@command("status", "seqarchive --json status")
def command_(settings: Settings) -> None:
    """Show how much there is, and how large it is."""
    with settings.open_one() as archive:
        status = archive.status()
    if settings.json:
        print_json(status)
        return
    if "service" in status:
        click.echo(f"{status['address']}, {status['service']}")
        return
    if "storage_mode" in status:
        click.echo(f"{status['address']}, a RefgetStore ({status['storage_mode']})")
        click.echo(f"  sequences    {status['n_sequences']:,}")
        click.echo(f"  collections  {status['n_collections']:,}")
        return
    click.echo(f"{status['root']}, instance {status['instance']}")
    click.echo(f"  sequences  {status['sequences']:,} ({status['residues']:,} residues)")
    namespaces = {name: count for name, count in status["namespaces"].items() if count}
    click.echo(
        f"  aliases    {status['aliases']:,} in {counted(len(namespaces), 'namespace')}, "
        f"{status['ended_aliases']:,} former ones"
    )
    for namespace, count in namespaces.items():
        click.echo(f"             {namespace}: {count:,}")
    if status["collections"]:
        click.echo(f"  collections {status['collections']:,}")
    click.echo(f"  digests    {', '.join(status['digests'])}")
    click.echo(f"  batches    {status['batches']:,}")
    click.echo(
        f"  on disk    {megabytes(status['shard_bytes'])} in {counted(status['shards'], 'shard')}, "
        f"{megabytes(status['index_bytes'])} of indexes, "
        f"{megabytes(status['database_bytes'])} of database"
    )
    if status["tracks"]:
        click.echo(
            f"  tracks     {megabytes(status['track_bytes'])} in "
            f"{counted(status['tracks'], 'track')}"
        )
    if not status["real_bytes_of_all"]:  # it is read where it is
        return
    click.echo(
        f"  all        {megabytes(status['real_bytes_of_all'])} with the snapshots beside it, "
        f"of which {megabytes(status['own_bytes'])} belong to this instance alone"
    )
