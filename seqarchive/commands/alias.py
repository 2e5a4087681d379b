"""``seqarchive alias``: single names, their meanings and their history."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ..alias_tables import import_aliases, retire_aliases
from ..database import Meaning
from ..errors import BadName
from ..identifiers import Alias, digest_text, parse_alias
from ..namespaces import COMPUTED
from ..new_aliases import OnConflict
from . import Settings, at_option, command, counted, group, on_conflict_option, print_json
from .genome import get, remove_alias, set_alias

command_ = group(
    "alias",
    "Add, list and retire single names of sequences; import-aliases takes a table. Get, set and "
    "remove those of genomes.",
    "seqarchive alias history refseq:NM_1.2",
)


@command("add", "seqarchive alias add SQ.k3grVkjY-hoWcCUojHw6VU6GE3MZ8Sct refseq:NM_1.2", command_)
@on_conflict_option("When a name means another sequence already.")
@click.option("--dry-run", is_flag=True, help="Report what would happen; write nothing.")
@click.argument("identifier", metavar="ID")
@click.argument("names", metavar="NAMESPACE:ALIAS...", nargs=-1, required=True)
def add(
    settings: Settings, on_conflict: str, dry_run: bool, identifier: str, names: Sequence[str]
) -> None:
    """Give a sequence more names, as one batch."""
    rows = [(_alias(name), identifier, 0) for name in names]
    report = import_aliases(
        settings.place(), rows, "alias add", OnConflict(on_conflict), dry_run=dry_run
    )
    if settings.json:
        print_json(report)
        return
    head = "dry run, nothing written" if dry_run else f"batch {report['batch']}"
    click.echo(
        f"{head}: {report['aliases_added']:,} added, {report['aliases_known']:,} known already, "
        f"{report['aliases_moved']:,} moved, {report['aliases_kept']:,} kept against a conflict"
    )


@command("list", "seqarchive alias list refseq:NM_1.2", command_)
@at_option
@click.argument("identifiers", metavar="ID...", nargs=-1, required=True)
def list_(settings: Settings, at: str | None, identifiers: Sequence[str]) -> None:
    """List the aliases of sequences; `translate` has what follows from digests too."""
    with settings.open_one(at) as archive:
        for identifier in identifiers:
            names = [str(alias) for alias in archive.aliases(identifier)]
            if settings.json:
                print_json({"id": identifier, "aliases": names})
            else:
                for name in names:
                    click.echo(name)


@command("retire", "seqarchive alias retire refseq:NM_1.1", command_)
@click.option("--dry-run", is_flag=True, help="Report what would happen; write nothing.")
@click.argument("names", metavar="NAMESPACE:ALIAS...", nargs=-1, required=True)
def retire(settings: Settings, dry_run: bool, names: Sequence[str]) -> None:
    """End names without giving them another meaning, as one batch."""
    report = retire_aliases(settings.place(), map(_alias, names), dry_run=dry_run)
    if settings.json:
        print_json(report)
        return
    head = "dry run, nothing written" if dry_run else f"batch {report['batch']}"
    click.echo(f"{head}: {counted(report['aliases_retired'], 'name')} retired")


@command("history", "seqarchive alias history refseq:NM_1.2", command_)
@click.argument("names", metavar="NAMESPACE:ALIAS...", nargs=-1, required=True)
def history(settings: Settings, names: Sequence[str]) -> None:
    """Say all that names ever meant, from when to when."""
    with settings.open_one() as archive:
        for name in names:
            print_history(settings, name, archive.history(name))


def print_history(settings: Settings, name: str, meanings: Sequence[Meaning]) -> None:
    """The meanings of a name, the oldest first."""
    if settings.json:
        print_json({"alias": name, "meanings": [_as_dict(meaning) for meaning in meanings]})
        return
    for meaning in meanings:
        until = (
            "until now"
            if meaning.to_batch is None
            else f"until batch {meaning.to_batch} ({meaning.to_time})"
        )
        gone = "  (reclaimed)" if meaning.is_reclaimed else ""
        adopted = f", there since {meaning.added}" if meaning.added else ""
        click.echo(
            f"{name}  SQ.{digest_text(meaning.digest)}  {counted(meaning.length, 'residue')}  "
            f"since batch {meaning.from_batch} ({meaning.from_time}{adopted}) {until}{gone}"
        )


def _as_dict(meaning: Meaning) -> dict[str, object]:
    found = meaning._asdict()
    return {**found, "digest": f"SQ.{digest_text(meaning.digest)}"}


def _alias(text: str) -> Alias:
    alias = parse_alias(text)
    if alias.namespace in COMPUTED:
        raise BadName(f"{alias.namespace} names are computed and cannot be set ({text})")
    return alias


for _verb in (get, set_alias, remove_alias):  # as `genome alias` has them
    command_.add_command(_verb)
