"""``seqarchive store``: the RefgetStores that a registry has served."""

from __future__ import annotations

import os

import click

from ..errors import NotFound, SeqArchiveError
from ..genomes.store_entries import PRIORITY, checked_entry, merged_entries
from ..genomes.stores import Stores
from ..registry import open_registry
from ..rgstore import open_store
from ..sources import shown
from . import Settings, command, counted, group, print_json, print_line, warn
from .admin import database_option

command_ = group(
    "store",
    "Say which RefgetStores a server reads, in a registry.\n\n"
    "Residues come from whichever has them; a name means what the store with the lowest priority "
    "means by it, and what another one means is STORE::NAME. `seqarchive serve --database URL` "
    "serves them.",
    "seqarchive store add vgp https://vgp.example.org/store --priority 10",
)


@command("add", "seqarchive store add vgp https://vgp.example.org/store --priority 10", command_)
@database_option
@click.argument("name")
@click.argument("url", metavar="URL|DIR")
@click.option("--priority", type=int, help=f"The lowest one says what a name means [{PRIORITY}].")
@click.option("--description", help="What is in it, in a line.")
@click.option("--disabled", is_flag=True, help="Not to be read for now.")
@click.option("--replace", is_flag=True, help="Also if another URL has that name.")
def add(
    settings: Settings,
    database: str | None,
    name: str,
    url: str,
    priority: int | None,
    description: str | None,
    disabled: bool,
    replace: bool,
) -> None:
    """Have a store served. One that is there already, with the same URL, adds nothing; a priority
    or a description that is given counts from then on."""
    wanted = checked_entry(name, url)
    with open_registry(database or os.environ, is_writable=True) as registry:
        known = next((one for one in registry.stores() if one.name.lower() == name.lower()), wanted)
        entry = checked_entry(
            known.name,
            url,
            known.priority if priority is None else priority,
            known.description if description is None else description,
            not disabled,
        )
        with registry.changing() as changes:
            is_new = changes.add_store(entry, may_replace=replace)
    try:
        open_store(url).close()
    except SeqArchiveError as error:
        warn(settings, f"{error}; servers look for it until it is there")
    if settings.json:
        print_json({**entry.as_dict(), "is_new": is_new})
    else:
        print_line(f"{entry.name}\t{'is served' if is_new else 'known already'}")


@command("list", "seqarchive store list", command_)
@database_option
def list_(settings: Settings, database: str | None) -> None:
    """List the stores, the one that counts first first."""
    with open_registry(database or os.environ) as registry:
        found = registry.stores()
    if settings.json:
        print_json([one.as_dict() for one in found])
        return
    for one in found:
        state = "" if one.is_enabled else "disabled"
        print_line("\t".join([one.name, shown(one.url), str(one.priority), one.description, state]))


@command("remove", "seqarchive store remove vgp", command_)
@database_option
@click.argument("name")
def remove(settings: Settings, database: str | None, name: str) -> None:
    """Have a store served no more. The store itself stays as it is."""
    with (
        open_registry(database or os.environ, is_writable=True) as registry,
        registry.changing() as changes,
    ):
        if not changes.remove_store(name):
            raise NotFound(f"there is no store {name!r}; `seqarchive store list` says which")
    if settings.json:
        print_json({"name": name, "is_removed": True})


@command("conflicts", "seqarchive store conflicts", command_)
@database_option
@click.option("--collections", is_flag=True, help="Only names of collections.")
def conflicts(settings: Settings, database: str | None, collections: bool) -> None:
    """List the names that stores mean differently: name, store and digest that count; by what the
    other meaning is reached, and its digest."""
    with open_registry(database or os.environ) as registry:
        entries = merged_entries(registry.stores())
    n_found = 0
    with Stores(entries) as stores:
        for name, error in stores.failures().items():
            warn(settings, f"the store {name}: {error}")
        for one in stores.conflicts(sequences=not collections):
            n_found += 1
            if settings.json:
                print_json({**one._asdict(), "alias": str(one.alias), "name": one.name})
            else:
                print_line("\t".join([str(one.alias), one.winner, one.digest, one.name, one.other]))
        missing = [error for name, error in stores.failures().items()]
    if not settings.json and not settings.quiet:
        click.echo(f"{counted(n_found, 'name')} that stores mean differently", err=True)
    if missing:
        raise missing[0]
