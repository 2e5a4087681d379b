"""``seqarchive collection``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ..identifiers import parse_alias, visible
from ..new_aliases import OnConflict
from ..reader import ArchiveReader
from ..seqcol.comparing import Level2, compare, in_words, members_in, parse_level2
from ..seqcol.digests import CollectionHasher, digests_of, level2
from ..seqcol.naming import name_collections
from ..seqcol.of_files import members_of_file
from . import (
    Settings,
    at_option,
    command,
    counted,
    group,
    on_conflict_option,
    print_json,
    print_line,
    progress_bar,
)

command_ = group(
    "collection",
    "Files as ordered sets of named sequences, by the GA4GH standard of sequence collections.",
    "seqarchive collection digest GRCh38.fa.gz",
)


@command("list", "seqarchive collection list --filter names=QLPlPMAGc7q...", command_)
@click.option(
    "--filter",
    "filters",
    metavar="ATTRIBUTE=DIGEST",
    multiple=True,
    help="Only collections with this attribute; several times: with all of them.",
)
@at_option
def list_(settings: Settings, filters: Sequence[str], at: str | None) -> None:
    """List the collections: each file that was loaded whole is one.

    With --json, one JSON line for each.
    """
    wanted = {}
    for text in filters:
        attribute, equals, digest = text.partition("=")
        if not equals:
            raise click.UsageError(f"{text!r}: say --filter ATTRIBUTE=DIGEST")
        wanted[attribute] = digest
    with settings.open_one(at) as archive:
        for one in archive.collections(**wanted):
            facts = one.metadata()
            if settings.json:
                print_json(facts)
            else:
                names = ", ".join(facts["aliases"] + facts["sources"])
                print_line(
                    f"{one.digest}  {counted(one.n_members, 'sequence')}, "
                    f"{counted(one.n_residues, 'residue')}  {visible(names)}"
                )


@command("show", "seqarchive collection show --level 2 XZlrcEGi6mlopZ2uD8ObHkQB1d0oDwKk", command_)
@click.option(
    "--level",
    type=click.IntRange(0, 2),
    help="As the standard has it: 0 the digest, 1 digests of the attributes, 2 their values.",
)
@at_option
@click.argument("identifier", metavar="ID")
def show(settings: Settings, level: int | None, at: str | None, identifier: str) -> None:
    """Show a collection: without --level as a table of name, length and sequence."""
    with settings.open_one(at) as archive:
        found = archive.collection(identifier)
        if level == 0:
            print_json(found.digest) if settings.json else print_line(found.digest)
        elif level == 1:
            print_json(found.level1())
        elif level == 2:
            print_json(found.level2())
        elif settings.json:
            print_json(found.metadata())
        else:
            print_line("name\tlength\tsequence")
            for name, length, digest in found.members():
                print_line(f"{name}\t{length}\tSQ.{digest}")


@command("name", "seqarchive collection name XZlrcEGi6mlopZ2uD8ObHkQB1d0oDwKk lab:hg38", command_)
@on_conflict_option("When a name means another collection already.")
@click.option("--dry-run", is_flag=True, help="Report what would happen; write nothing.")
@click.argument("identifier", metavar="ID")
@click.argument("names", metavar="NAMESPACE:ALIAS...", nargs=-1, required=True)
def name_(
    settings: Settings, on_conflict: str, dry_run: bool, identifier: str, names: Sequence[str]
) -> None:
    """Give a collection more names, as one batch; `load --collection` names it at once."""
    aliases = [parse_alias(name) for name in names]
    report = name_collections(
        settings.place(), identifier, aliases, OnConflict(on_conflict), dry_run=dry_run
    )
    _print_names(settings, report)


@command("unname", "seqarchive collection unname lab:hg38", command_)
@click.option("--dry-run", is_flag=True, help="Report what would happen; write nothing.")
@click.argument("names", metavar="NAMESPACE:ALIAS...", nargs=-1, required=True)
def unname(settings: Settings, dry_run: bool, names: Sequence[str]) -> None:
    """End names of collections, as one batch; the log and --at keep what they meant."""
    aliases = [parse_alias(name) for name in names]
    _print_names(settings, name_collections(settings.place(), None, aliases, dry_run=dry_run))


def _print_names(settings: Settings, report: dict[str, Any]) -> None:
    if settings.json:
        print_json(report)
        return
    head = f"batch {report['batch']}" if report["batch"] else "nothing written"
    parts = [
        f"{report['aliases_' + what]:,} {text}"
        for what, text in (
            ("added", "added"),
            ("known", "known already"),
            ("moved", "moved"),
            ("kept", "kept against a conflict"),
            ("retired", "retired"),
        )
        if report["aliases_" + what]
    ]
    print_line(f"{head}: {', '.join(parts)}")


@command("digest", "seqarchive collection digest GRCh38.fa.gz hg38.fa", command_)
@click.option("--level", type=click.IntRange(0, 1), default=0, show_default=True)
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
def digest_(settings: Settings, level: int, files: Sequence[str]) -> None:
    """Say which collections files are, without loading them."""
    for name in files:
        with progress_bar(settings, "hashing", None, "b") as progress:
            hasher = CollectionHasher()
            for member in members_of_file(name, progress):
                hasher.add(*member)
        found = hasher.digests()
        if settings.json:
            print_json({"file": name, "digest": found.digest, **found.level1()})
            continue
        print_line(f"{found.digest}  {name}")
        if level:
            for attribute, digest in found.level1().items():
                print_line(f"  {attribute}  {digest}")


@command(
    "compare", "seqarchive collection compare GRCh38.fa XZlrcEGi6mlopZ2uD8ObHkQB1d0oDwKk", command_
)
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
def compare_(settings: Settings, first: str, second: str) -> None:
    """Say what two collections have in common; with --json as the GA4GH standard defines it.

    A and B are collections in the archive (digests or names), files of sequences, or files of JSON
    with a collection at level 2.
    """
    a, b = (_collection(settings, text) for text in (first, second))
    print_comparison(settings, (first, *a), (second, *b))


#: What somebody calls a collection, its attributes at level 2, and its digest.
Compared = tuple[str, Level2, str]


def print_comparison(settings: Settings, first: Compared, second: Compared) -> None:
    """What two collections have in common, in words or as the standard has it."""
    (name_a, a, digest_a), (name_b, b, digest_b) = first, second
    if settings.json:
        print_json(compare(a, b, digest_a=digest_a, digest_b=digest_b))
        return
    print_line(f"A {digest_a}  {name_a}")
    print_line(f"B {digest_b}  {name_b}")
    for line in in_words(a, b):
        print_line(line)


def _collection(settings: Settings, text: str) -> tuple[Level2, str]:
    """A collection at level 2, and its digest."""
    path = Path(text)
    if not path.is_file():
        with settings.open_one() as archive:
            return _archived(archive, text)
    with open(path, "rb") as file:
        is_json = file.read(64).lstrip()[:1] == b"{"
    if is_json:
        found = parse_level2(path.read_bytes(), text)
        return found, digests_of(members_in(found, text)).digest
    members = list(members_of_file(text))
    return level2(members), digests_of(members).digest


def _archived(archive: ArchiveReader, text: str) -> tuple[Level2, str]:
    found = archive.collection(text)
    return found.level2(), found.digest
