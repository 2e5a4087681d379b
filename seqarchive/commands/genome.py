"""``seqarchive genome``: the registry of genomes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from ..errors import AliasConflict, ReadOnly, SourceError
from ..genomes.genome import Genome, described
from ..genomes.genomes import Genomes
from ..genomes.local import LocalMode
from ..genomes.reading import ReadMode, remotes_of
from ..inputs import size_of
from ..instances import MASTER, Instance
from ..new_aliases import OnConflict
from ..rgstore import is_store
from ..roots import open_readers
from ..seqcol.fhr import require_right
from ..services import SequenceServer
from ..sources import directory_at, is_remote, shown
from . import (
    Settings,
    command,
    counted,
    group,
    print_json,
    print_line,
    progress_bar,
    warn,
    with_options,
)
from .collection import print_comparison
from .fhr import document_in, partial_option

F = TypeVar("F", bound=Callable[..., Any])

command_ = group(
    "genome",
    "Genomes by their names: a registry in a folder, which is the root of an archive.",
    "seqarchive genome init --fasta hg38.fa.gz --name hg38",
)


def folder_option(function: F) -> F:
    """``--genome-folder``: where the registry is."""
    return click.option(
        "--genome-folder",
        metavar="DIR|URL",
        help="Where the genomes are [--root, $REFGENIE_GENOME_FOLDER, the root of the archive].",
    )(function)


def _addresses(settings: Settings, genome_folder: str | None) -> list[str]:
    """The folder of the genomes, or what else they are read from."""
    chosen = genome_folder
    if chosen is None and not settings.roots:
        chosen = os.environ.get("REFGENIE_GENOME_FOLDER") or None
    return settings.addresses() if chosen is None else [chosen]


@contextmanager
def genomes_in(settings: Settings, genome_folder: str | None) -> Iterator[Genomes]:
    """The genomes of a folder, of a release or of a RefgetStore, to be read."""
    with _reading(settings, genome_folder) as mode:
        yield Genomes(mode)


@contextmanager
def _reading(settings: Settings, genome_folder: str | None) -> Iterator[ReadMode]:
    mode = _opened(settings, genome_folder)
    try:
        yield mode
    finally:
        mode.close()


def _opened(settings: Settings, genome_folder: str | None) -> ReadMode:
    addresses = _addresses(settings, genome_folder)
    remote = None
    if not is_remote(addresses[0]):
        folder = directory_at(addresses[0]).absolute()
        found = Instance.found(folder, settings.instance)
        is_own = (found.root, found.name) == (folder, MASTER)
        if is_own and len(addresses) == 1 and (found.database.exists() or not is_store(folder)):
            return LocalMode(folder)
        if is_own or settings.instance is None:  # a release has none of them
            remote = remotes_of(folder)
    opened = open_readers(addresses, settings.instance)
    if isinstance(opened, SequenceServer):
        opened.close()
        url = shown(addresses[0])
        raise SourceError(
            f"{url} is a server: `seqarchive genome init --server {url} --name NAME` has a genome "
            "of it in a folder of yours, without a copy"
        )
    return ReadMode(opened, remote)


@contextmanager
def _local(settings: Settings, genome_folder: str | None) -> Iterator[LocalMode]:
    """The genomes of a folder, to be changed; who has a name already is told of ``--force``.

    Raises:
        ReadOnly: It is elsewhere, or a release. NotFound: There is no such release.
    """
    address = _addresses(settings, genome_folder)[0]
    if is_remote(address):
        raise ReadOnly(f"{shown(address)} is elsewhere; genomes are kept in a directory")
    folder = directory_at(address)
    instance = Instance.at(folder, settings.instance or MASTER)
    if instance.name != MASTER:
        instance.require()
    instance.require_writable()
    mode = LocalMode(folder)
    try:
        yield mode
    except AliasConflict as error:
        what = f"{error.conflicts[0]}; nothing was changed: --force has the name mean this one"
        raise AliasConflict(what, error.conflicts) from None
    finally:
        mode.close()


#: What is said of a genome.
_about_options = with_options(
    click.option("--description", help="What it is, in words."),
    click.option("--species", help="Scientific name."),
    click.option("--fhr", metavar="FILE", help="What is to be said of it (FHR, JSON)."),
)


def _document(
    fhr: str | None, description: str | None, species: str | None, *, partial: bool
) -> dict[str, Any] | None:
    """What a file says of a genome.

    Raises:
        NotFound: There is no such file. BadInput: With what the options say it is no FHR.
    """
    if fhr is None:
        return None
    document = document_in(fhr)
    require_right(described(document, description, species), fhr, partial=partial)
    return document


@command("init", "seqarchive genome init --fasta hg38.fa.gz --name hg38", command_)
@click.option("--fasta", "-f", metavar="FILE", help="Compressed or not; `-` works.")
@click.option("--remote-url", "remote_url", metavar="URL", help="Where it is, if not in a file: a "
              "RefgetStore, an archive, a release or a server.")  # fmt: skip
@click.option("--server", metavar="URL", help="The same, of a server.")
@click.option("--store", metavar="URL", help="The same, of a RefgetStore.")
@click.option("--remote-digest", "--digest", "digest", help="Its digest there [its name there].")
@click.option("--name", "-n", "names", multiple=True, required=True, help="Several times for more.")
@_about_options
@partial_option
@click.option("--namespace", help="With --fasta: have the names of its sequences as aliases in it. "
              "Else: of its name there [any].")  # fmt: skip
@click.option("--keep-mask", is_flag=True, help="Remember what is in lower case.")
@click.option("--circular", multiple=True, metavar="NAME", help="A sequence that is a circle.")
@click.option("--force", is_flag=True, help="A name that means another genome means this one now.")
@folder_option
def init(
    settings: Settings,
    fasta: str | None,
    remote_url: str | None,
    server: str | None,
    store: str | None,
    digest: str | None,
    names: Sequence[str],
    description: str | None,
    species: str | None,
    fhr: str | None,
    partial: bool,
    namespace: str | None,
    keep_mask: bool,
    circular: Sequence[str],
    force: bool,
    genome_folder: str | None,
) -> None:
    """Have a FASTA file as a genome, or one that is elsewhere. Done again, it adds what is new;
    `genome set` replaces what is said of it.

    Of a genome elsewhere nothing is copied: `getseq` gets what it needs and keeps it in a cache,
    `genome fetch` gets all of it.
    """
    urls = [one for one in (remote_url, server, store) if one is not None]
    if len(urls) + (fasta is not None) != 1:
        raise click.UsageError("say one of --fasta, --remote-url, --server and --store")
    if fasta is not None and digest is not None:
        raise click.UsageError("--remote-digest is of a genome that is elsewhere")
    if fasta is None and (keep_mask or circular):
        raise click.UsageError("--keep-mask and --circular are of --fasta")
    on_conflict = OnConflict.REPLACE if force else OnConflict.ERROR
    document = _document(fhr, description, species, partial=partial)
    about: dict[str, Any] = {
        "description": description,
        "species": species,
        "fhr": document,
        "namespace": namespace,
        "on_conflict": on_conflict,
    }
    with _local(settings, genome_folder) as mode:
        if fasta is None:
            done = mode.init_remote(urls[0], names, identifier=digest, **about)
        else:
            with progress_bar(settings, "loading", size_of(fasta)) as progress:
                done = mode.init(
                    fasta,
                    names,
                    progress=progress,
                    keep_mask=keep_mask,
                    circular=frozenset(circular),
                    **about,
                )
        for unused in done.report.unused_circular if done.report is not None else ():
            warn(settings, f"--circular {unused}: no sequence of that name")
        if settings.json:
            print_json({**_facts(done.genome), "is_new": done.is_new})
            return
        where = f" at {shown(done.genome.source)}" if done.genome.source else ""
        print_line(
            f"{done.genome.digest}  {', '.join(done.genome.names)}: "
            f"{counted(len(done.genome), 'sequence')}{where}"
            f"{'' if done.is_new else ', known already'}"
        )


@command("fetch", "seqarchive genome fetch hg38", command_)
@folder_option
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def fetch(settings: Settings, genome_folder: str | None, names: Sequence[str]) -> None:
    """Get all of a genome that is elsewhere into the archive.

    What is complete when it is interrupted is not fetched again.
    """
    with _local(settings, genome_folder) as mode:
        for name in names:
            genome = mode.find(name)
            total = genome.collection.n_residues
            with progress_bar(settings, f"fetching {name}", total, "residues") as progress:
                report = mode.fetch(name, progress)
            if settings.json:
                print_json(
                    {
                        "genome": genome.digest,
                        "fetched": 0 if report is None else report.fetched,
                        "residues": 0 if report is None else report.fetched_residues,
                        "known": len(genome) if report is None else report.known,
                    }
                )
            elif report is None:
                print_line(f"{name}: here already")
            else:
                print_line(
                    f"{name}: {counted(report.fetched, 'sequence')} fetched "
                    f"({counted(report.fetched_residues, 'residue')}), "
                    f"{report.known:,} known already"
                )


@command("browse", "seqarchive genome browse https://genomes.example.org", command_)
@folder_option
@click.argument("url")
def browse(settings: Settings, genome_folder: str | None, url: str) -> None:
    """List the collections that somebody else has: digest, sequences, names."""
    with _reading(settings, genome_folder) as mode:
        for one in mode.browse(url):
            if settings.json:
                print_json(one._asdict())
                continue
            n = "" if one.n_sequences is None else counted(one.n_sequences, "sequence")
            print_line("\t".join([one.digest, n, ", ".join(one.names)]))


@command("sync", "seqarchive genome sync", command_)
@folder_option
def sync(settings: Settings, genome_folder: str | None) -> None:
    """Look again at the sources of genomes that are elsewhere; exits with 9 if one is not there."""
    n_wrong = 0
    with _local(settings, genome_folder) as mode:
        for genome, state in mode.sync():
            is_wrong = state not in ("same", "changed")
            n_wrong += is_wrong
            if settings.json:
                print_json({"genome": genome.digest, "name": genome.label, "state": state})
            elif is_wrong:
                warn(settings, f"{genome.label}: {state}")
            else:
                print_line(f"{genome.label}\t{state}")
    if n_wrong:
        raise click.exceptions.Exit(9)


@command("list", "seqarchive genome list", command_)
@folder_option
def list_(settings: Settings, genome_folder: str | None) -> None:
    """List the genomes: digest, names, sequences, description. With --json, one line for each."""
    with genomes_in(settings, genome_folder) as genomes:
        for genome in genomes.mode.genomes():
            if settings.json:
                print_json(_facts(genome))
                continue
            cells = [
                genome.digest,
                ", ".join(genome.names),
                counted(len(genome), "sequence"),
                genome.description or genome.species or "",
            ]
            print_line("\t".join(cells))


@command("show", "seqarchive genome show hg38", command_)
@folder_option
@click.argument("name")
def show(settings: Settings, genome_folder: str | None, name: str) -> None:
    """Show a genome: what is known of it, and its sequences with their lengths."""
    with genomes_in(settings, genome_folder) as genomes:
        genome = genomes[name]
        if settings.json:
            print_json({**_facts(genome), "lengths": genome.lengths()})
            return
        for key, value in _facts(genome).items():
            if key != "fhr" and value is not None:
                text = ", ".join(value) if isinstance(value, list) else value
                print_line(
                    f"{key + ':':13}{text:,}" if isinstance(text, int) else f"{key + ':':13}{text}"
                )
        for member, length in genome.lengths().items():
            print_line(f"{member}\t{length}")


def _facts(genome: Genome) -> dict[str, Any]:
    """What is known of a genome; ready for JSON."""
    return {
        "digest": genome.digest,
        "names": list(genome.names),
        "sequences": len(genome),
        "residues": genome.collection.n_residues,
        "description": genome.description,
        "species": genome.species,
        "accession": genome.accession,
        "source": genome.source,
        "fhr": dict(genome.fhr) or None,
    }


@command("set", "seqarchive genome set hg38 --description 'Human GRCh38'", command_)
@_about_options
@folder_option
@click.argument("name")
def set_(
    settings: Settings,
    description: str | None,
    species: str | None,
    fhr: str | None,
    genome_folder: str | None,
    name: str,
) -> None:
    """Say something of a genome, besides what is said of it already or in its place."""
    if description is None and species is None and fhr is None:
        raise click.UsageError("say --description, --species or --fhr")
    document = _document(fhr, description, species, partial=True)
    with _local(settings, genome_folder) as mode:
        is_new = mode.set(name, description=description, species=species, fhr=document)
        if settings.json:
            print_json({**_facts(mode.find(name)), "changed": is_new})
        else:
            print_line("said" if is_new else "was said already")


@command("remove", "seqarchive genome remove hg38", command_)
@folder_option
@click.argument("name")
def remove(settings: Settings, genome_folder: str | None, name: str) -> None:
    """Have a genome be none any more: all its names end.

    Its sequences stay in the archive, and the log keeps what the names meant.
    """
    with _local(settings, genome_folder) as mode:
        names = mode.remove(name)
    if settings.json:
        print_json({"removed": names})
    else:
        print_line(f"{', '.join(names)}: no genome any more")


@command("compare", "seqarchive genome compare hg38 GRCh38", command_)
@folder_option
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
def compare_(settings: Settings, genome_folder: str | None, first: str, second: str) -> None:
    """Say what two genomes have in common; with --json as the GA4GH standard defines it."""
    with genomes_in(settings, genome_folder) as genomes:
        a, b = genomes[first], genomes[second]
        print_comparison(
            settings,
            (first, a.collection.level2(), a.digest),
            (second, b.collection.level2(), b.digest),
        )


# --- names ----------------------------------------------------------------------------------------

aliases = group(
    "alias", "What genomes are called.", "seqarchive genome alias set GRCh38 --genome hg38"
)
command_.add_command(aliases)


@command("get", "seqarchive genome alias get hg38", aliases)
@folder_option
@click.option("--alias", "-a", "named", multiple=True, help="Print the digest that it means.")
@click.option("--genome", "-g", "genome_", multiple=True, help="Print the names of this genome.")
@click.argument("genomes", metavar="[GENOME]...", nargs=-1)
def get(
    settings: Settings,
    genome_folder: str | None,
    named: Sequence[str],
    genome_: Sequence[str],
    genomes: Sequence[str],
) -> None:
    """Print the names of genomes; without any, all names and what they mean."""
    with _reading(settings, genome_folder) as found:
        if not (named or genome_ or genomes):
            everything = found.aliases.all()
            if settings.json:
                print_json(everything)
            for name, meant in everything.items() if not settings.json else ():
                print_line(f"{name}\t{meant}")
            return
        for name in named:
            digest = found.find(name).digest
            print_json({"alias": name, "digest": digest}) if settings.json else print_line(digest)
        for identifier in (*genome_, *genomes):
            names = found.aliases.get(identifier)
            if settings.json:
                print_json({"genome": identifier, "aliases": names})
            for name in names if not settings.json else ():
                print_line(name)


@command("set", "seqarchive genome alias set GRCh38 --genome hg38", aliases)
@folder_option
@click.option("--alias", "-a", "more", multiple=True, help="As an argument is.")
@click.option("--genome", "-g", help="A name of the genome.")
@click.option("--digest", "-d", help="Its digest, instead of a name.")
@click.option("--reset", is_flag=True, help="End the names that it has besides.")
@click.option("--force", is_flag=True, help="A name that means another genome means this one now.")
@click.argument("names", metavar="NAME...", nargs=-1)
def set_alias(
    settings: Settings,
    genome_folder: str | None,
    more: Sequence[str],
    genome: str | None,
    digest: str | None,
    reset: bool,
    force: bool,
    names: Sequence[str],
) -> None:
    """Give a genome more names."""
    wanted, identifier = [*names, *more], genome or digest
    if identifier is None or not wanted or (genome and digest):
        raise click.UsageError("say names, and one of --genome and --digest")
    on_conflict = OnConflict.REPLACE if force else OnConflict.ERROR
    with _local(settings, genome_folder) as mode:
        n_new = mode.aliases.set(wanted, identifier, on_conflict=on_conflict)
        if reset:
            others = [name for name in mode.aliases.get(identifier) if name not in wanted]
            if others:
                mode.aliases.remove(others)
        kept = mode.aliases.get(wanted[0])
    if settings.json:
        print_json({"added": n_new, "aliases": kept})
    else:
        print_line(f"{counted(n_new, 'name')} added: {', '.join(kept)}")


@command("remove", "seqarchive genome alias remove GRCh38", aliases)
@folder_option
@click.option("--alias", "-a", "more", multiple=True, help="As an argument is.")
@click.argument("names", metavar="NAME...", nargs=-1)
def remove_alias(
    settings: Settings, genome_folder: str | None, more: Sequence[str], names: Sequence[str]
) -> None:
    """End names of genomes; the log keeps what they meant."""
    wanted = [*names, *more]
    if not wanted:
        raise click.UsageError("say at least one name")
    with _local(settings, genome_folder) as mode:
        mode.aliases.remove(wanted)
    if settings.json:
        print_json({"removed": wanted})
    else:
        print_line(f"{counted(len(wanted), 'name')} ended")
