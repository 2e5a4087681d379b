"""``seqarchive fhr``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ..errors import NotFound
from ..seqcol.fhr import parse, problems, require_right, value_at
from ..seqcol.naming import set_fhr
from . import Settings, at_option, command, group, print_json, print_line

command_ = group(
    "fhr",
    "What is said of genomes: the FAIR headers reference (FHR) of collections.",
    "seqarchive fhr get lab:hg38",
)

#: Fields that ``list`` shows.
_SHOWN = ("genome", "version", "taxon.name")

partial_option = click.option(
    "--partial",
    is_flag=True,
    help="Fields may be missing, and others may be there; what is there must be right.",
)


@command("set", "seqarchive fhr set lab:hg38 hg38.fhr.json", command_)
@partial_option
@click.option("--dry-run", is_flag=True, help="Check it; write nothing.")
@click.argument("identifier", metavar="ID")
@click.argument("file", metavar="FILE")
def set_(settings: Settings, partial: bool, dry_run: bool, identifier: str, file: str) -> None:
    """Say something of a collection, in the place of what was said before, as one batch.

    FILE is JSON; `-` is standard input.
    """
    document = document_in(file)
    require_right(document, file, partial=partial)
    _report(settings, set_fhr(settings.place(), identifier, document, dry_run=dry_run))


@command("remove", "seqarchive fhr remove lab:hg38", command_)
@click.option("--dry-run", is_flag=True, help="Report what would happen; write nothing.")
@click.argument("identifier", metavar="ID")
def remove(settings: Settings, dry_run: bool, identifier: str) -> None:
    """Say nothing of a collection any more; --at keeps what was said."""
    _report(settings, set_fhr(settings.place(), identifier, None, dry_run=dry_run))


def _report(settings: Settings, report: dict[str, Any]) -> None:
    if settings.json:
        print_json(report)
    elif report["batch"]:
        print_line(f"batch {report['batch']}: {report['collection']}")
    else:
        print_line(f"nothing written: {report['collection']}")


@command("get", "seqarchive fhr get lab:hg38", command_)
@at_option
@click.argument("identifier", metavar="ID")
def get(settings: Settings, at: str | None, identifier: str) -> None:
    """Print what is said of a collection, as JSON."""
    with settings.open_one(at) as archive:
        found = archive.collection(identifier).fhr()
    if found is None:
        raise NotFound(f"nothing is said of the collection {identifier!r}")
    print_line(json.dumps(found, ensure_ascii=False, indent=None if settings.json else 2))


@command("list", "seqarchive fhr list --filter taxon.name='Homo sapiens'", command_)
@click.option(
    "--filter",
    "filters",
    metavar="FIELD=VALUE",
    multiple=True,
    help="Only where a field has this value (taxon.name=...); several times: all of them.",
)
@at_option
def list_(settings: Settings, filters: Sequence[str], at: str | None) -> None:
    """List the collections of which something is said: digest, genome, version, species.

    With --json, one JSON line for each with all of it.
    """
    wanted = []
    for text in filters:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"{text!r}: say --filter FIELD=VALUE")
        wanted.append((name, value))
    with settings.open_one(at) as archive:
        for one in archive.collections():
            found = one.fhr()
            if found is None or not all(value in value_at(found, name) for name, value in wanted):
                continue
            if settings.json:
                print_json({"digest": one.digest, "fhr": found})
                continue
            cells = [
                ", ".join(value_at(found, name)) for name in ("genome", "version", "taxon.name")
            ]
            print_line("\t".join([one.digest, *cells]))


@command("validate", "seqarchive fhr validate hg38.fhr.json", command_)
@partial_option
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
def validate(settings: Settings, partial: bool, files: Sequence[str]) -> None:
    """Say all that is wrong with documents, by the published schema; exit 5 if anything is."""
    is_right = True
    for file in files:
        found = problems(document_in(file), partial=partial)
        is_right &= not found
        if settings.json:
            print_json({"file": file, "problems": found})
        for line in found if not settings.json else ():
            print_line(f"{file}: {line}")
        if not found and not settings.json:
            print_line(f"{file}: right")
    if not is_right:
        raise click.exceptions.Exit(5)


def document_in(file: str) -> dict[str, Any]:
    """What a file says; ``-`` is standard input.

    Raises:
        NotFound: There is no such file. BadInput: It is no JSON object.
    """
    if file == "-":
        return parse(sys.stdin.buffer.read(), "standard input")
    path = Path(file)
    if not path.is_file():
        raise NotFound(f"there is no file {file}")
    return parse(path.read_bytes(), file)
