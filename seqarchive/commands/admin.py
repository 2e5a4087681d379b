"""``seqarchive admin``: what goes into a registry that services share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from ..errors import SeqArchiveError, SourceError
from ..new_aliases import OnConflict
from ..registry import open_registry
from ..registry.filling import (
    Bucket,
    Labels,
    Progress,
    Taken,
    load_archive,
    load_file,
    parse_bucket,
    register_file,
)
from ..registry.projects import Sample, require_file, samples_of
from ..roots import open_readers
from ..seqcol.fhr import parse
from ..sources import is_remote
from . import (
    Settings,
    command,
    counted,
    group,
    on_conflict_option,
    print_json,
    print_line,
    progress_bar,
    with_options,
)

F = TypeVar("F", bound=Callable[..., Any])

command_ = group(
    "admin",
    "Fill the registry that services on several machines share: a database.\n\n"
    "It has collections, names, FHR and where files are; residues are in a RefgetStore or an "
    "archive. `seqarchive serve --store URL --database URL` serves both.",
    "seqarchive admin load genome.fa --name hg38 --database postgresql://me@db.example.org/genomes",
)


def database_option(function: F) -> F:
    """``--database``: where the registry is."""
    return click.option(
        "--database",
        metavar="URL",
        envvar="SEQARCHIVE_DATABASE",
        help="postgresql://USER:PASSWORD@HOST/NAME or sqlite:///FILE [$SEQARCHIVE_DATABASE, else "
        "$POSTGRES_HOST, _PORT, _DB, _USER, _PASSWORD].",
    )(function)


#: Options of whatever is taken in.
_taking = with_options(
    database_option,
    click.option(
        "--pep",
        type=click.Path(path_type=Path),
        help="A project of samples (CSV or YAML): its column fasta has files, and "
        "sample_name what they are called.",
    ),
    click.option(
        "--fa-root",
        type=click.Path(path_type=Path, file_okay=False),
        help="Where the files of --pep are.",
    ),
    click.option(
        "--name",
        "-n",
        help="What the collection is called: an alias (hg38, or ucsc:hg38), or something "
        'for people ("Human GRCh38").',
    ),
    click.option("--namespace", help="Have the names of members as aliases in it."),
    click.option(
        "--fhr",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="What is to be said of the collection (FHR, JSON).",
    ),
    on_conflict_option("When a name means something else already."),
)


#: Options of buckets.
_uploading = with_options(
    click.option("--bucket", "-b", required=True, help="Its name, or s3://NAME/PREFIX."),
    click.option("--prefix", "-p", default="", help="Of the file in the bucket."),
    click.option(
        "--url-base",
        metavar="URL",
        help="Where the bucket is on the web; clients are told this address too.",
    ),
    click.option("--cloud", "-c", default="aws", show_default=True, help="Whose it is."),
    click.option("--region", "-r", help="Where it is."),
)


# --- commands -----------------------------------------------------------------------------------


@command("load", "seqarchive admin load --pep genomes.csv --fa-root /data/fasta", command_)
@_taking
@click.argument("files", metavar="FILE|STORE...", nargs=-1)
def load(
    settings: Settings,
    database: str | None,
    files: Sequence[str],
    **options: Any,
) -> None:
    """Take collections in: names, lengths and digests, but no residues.

    FILE is FASTA (compressed or not), or a collection at level 2 as .seqcol.json. STORE is a
    RefgetStore or an archive, a directory or a URL, of which all collections, names and FHR are
    taken. What is there already adds nothing.
    """
    stores = [one for one in files if _is_store(one)]
    rest = [one for one in files if not _is_store(one)]
    wanted = _wanted(rest, options, has_others=bool(stores))
    with open_registry(database or os.environ, is_writable=True) as registry:
        for store in stores:
            with open_readers([store]) as archive:
                conflict = OnConflict(options["on_conflict"])
                for taken in load_archive(registry, archive, conflict):
                    _say(settings, store, taken)

        def take(
            file: Path, labels: Labels | None, progress: Progress
        ) -> tuple[Taken, bool | None]:
            return load_file(registry, file, labels or Labels(), progress), None

        _each(settings, wanted, take)


@command("register", "seqarchive admin register genome.fa.gz --bucket my-bucket", command_)
@database_option
@_uploading
@click.argument("files", metavar="FASTA...", nargs=-1, required=True)
def register(
    settings: Settings, database: str | None, files: Sequence[str], **options: Any
) -> None:
    """Upload FASTA files whose collections are in the registry, and note where they are (DRS).

    A file that is there already is not sent again; another one under its name is refused.
    """
    bucket = _bucket(options)
    with open_registry(database or os.environ, is_writable=True) as registry:
        _each(
            settings,
            [_Wanted(file, Sample(file, Path(file)), None) for file in files],
            partial(register_file, registry, bucket),
        )


@command(
    "ingest",
    "seqarchive admin ingest --pep genomes.csv --fa-root /data/fasta --bucket my-bucket",
    command_,
)
@_taking
@_uploading
@click.argument("files", metavar="FASTA...", nargs=-1)
def ingest(settings: Settings, database: str | None, files: Sequence[str], **options: Any) -> None:
    """`load` and `register` in one."""
    bucket = _bucket(options)
    wanted = _wanted(files, options)
    with open_registry(database or os.environ, is_writable=True) as registry:
        _each(settings, wanted, partial(register_file, registry, bucket))


@command("status", "seqarchive admin status --database sqlite:///registry.db", command_)
@database_option
def status(settings: Settings, database: str | None) -> None:
    """Say what the registry has."""
    with open_registry(database or os.environ) as registry:
        created, changed = registry.committed()
        found = {
            "database": registry.address,
            "created": created,
            "changed": changed,
            **registry.counts(),
        }
    if settings.json:
        print_json(found)
        return
    width = max(map(len, found))
    for name, value in found.items():
        shown = f"{value:,}" if isinstance(value, int) else value
        print_line(f"{name.replace('_', ' '):{width}}  {shown}")


# --- what they share ----------------------------------------------------------------------------


class _Wanted(NamedTuple):
    """Something that is to be taken in."""

    label: str
    sample: Sample
    labels: Labels | None


#: Takes one file in. Returns what it is, and whether it was uploaded if that was asked for.
_Take = Callable[[Path, Labels | None, Progress], "tuple[Taken, bool | None]"]


def _is_store(text: str) -> bool:
    return is_remote(text) or Path(text).is_dir()


def _wanted(
    files: Sequence[str], options: dict[str, Any], *, has_others: bool = False
) -> list[_Wanted]:
    """What is to be taken in.

    Args:
        has_others: Whether there is more than these files.
    """
    pep, directory = options["pep"], options["fa_root"]
    if (pep is None) != (directory is None):
        raise click.UsageError("--pep and --fa-root go together")
    if (pep is None) == (not files and not has_others):
        raise click.UsageError("give files, or --pep with --fa-root")
    is_one = pep is None and len(files) == 1 and not has_others
    if (options["name"] or options["fhr"]) and not is_one:
        raise click.UsageError("--name and --fhr are of one file")
    fhr = options["fhr"]
    labels = Labels(
        options["name"],
        options["namespace"],
        None if fhr is None else parse(fhr.read_bytes(), str(fhr)),
        OnConflict(options["on_conflict"]),
    )
    if pep is None:
        return [_Wanted(file, Sample(file, Path(file)), labels) for file in files]
    return [
        _Wanted(f"sample {one.name}", one, labels._replace(name=one.name))
        for one in samples_of(pep, directory)
    ]


def _bucket(options: dict[str, Any]) -> Bucket:
    return parse_bucket(
        options["bucket"],
        prefix=options["prefix"],
        url_base=options["url_base"],
        cloud=options["cloud"],
        region=options["region"],
    )


def _each(settings: Settings, wanted: Sequence[_Wanted], take: _Take) -> None:
    """Take in one after the other. What is wrong with one does not hold up the others.

    Raises:
        SourceError: The database or the bucket failed, which the others would need too.
        SeqArchiveError: The error of the only one.
    """
    failed: list[SeqArchiveError] = []
    for one in wanted:
        try:
            with progress_bar(settings, one.label, None, "residues") as progress:
                taken, is_uploaded = take(require_file(one.sample), one.labels, progress)
        except SourceError:
            raise
        except (SeqArchiveError, OSError) as error:
            if len(wanted) == 1:
                raise
            if settings.json:
                print_json({"source": one.label, "error": str(error)})
            click.echo(f"seqarchive: {one.label}: {error}", err=True)
            failed.append(
                error if isinstance(error, SeqArchiveError) else SeqArchiveError(str(error))
            )
            continue
        _say(settings, one.label, taken, is_uploaded)
    if len(wanted) > 1 and not settings.json:
        print_line(f"{len(wanted) - len(failed):,} of {counted(len(wanted), 'file')} are there")
    if failed:
        raise click.exceptions.Exit(failed[0].exit_code)


def _say(settings: Settings, label: str, taken: Taken, is_uploaded: bool | None = None) -> None:
    if settings.json:
        found = {
            "source": label,
            "digest": taken.digests.digest,
            "n_sequences": taken.n_members,
            "is_new": taken.is_new,
            "names_added": taken.n_names,
        }
        print_json(found if is_uploaded is None else {**found, "is_uploaded": is_uploaded})
        return
    words = ["new" if taken.is_new else "known already"]
    if taken.n_names:
        words.append(f"{counted(taken.n_names, 'name')} added")
    if is_uploaded is not None:
        words.append("uploaded" if is_uploaded else "in the bucket already")
    print_line(
        f"{taken.digests.digest}\t{label}\t{counted(taken.n_members, 'sequence')}, "
        + ", ".join(words)
    )
