"""``seqarchive track``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ..errors import Ambiguous, NotFound
from ..identifiers import visible
from ..inputs import STDIN
from ..reader import ArchiveReader
from ..tracks.archived import ArchivedTrackStore
from ..tracks.archived_reference import Chromosomes
from ..tracks.catalogue import Client, content_id
from ..tracks.cutting import within
from ..tracks.formats import FORMATS, Written, by_extension, load_track, write_track
from ..tracks.lineage import Lineage
from ..tracks.operations import GENOME, OPERATIONS, Operation, operation_of
from ..tracks.quota import MAX_BYTES
from ..tracks.stores import StoredTrack
from ..tracks.watching import Watch, watched_by
from . import (
    Settings,
    at_option,
    command,
    group,
    megabytes,
    print_json,
    print_line,
    progress_bar,
    warn,
)

command_ = group(
    "track",
    "Tracks: values and intervals over genomes, kept with how they were computed.",
    "seqarchive track compute genome.gc --genome hg38 --param window=1000",
)

_WRITTEN = sorted(name for name, known in FORMATS.items() if known.writes)


@contextmanager
def _store(
    settings: Settings, at: str | None = None, *, max_bytes: int = MAX_BYTES
) -> Iterator[ArchivedTrackStore]:
    with settings.open_one(at) as archive:
        kind: object = archive  # which may be a store or a server, whatever it is taken for
        if not isinstance(kind, ArchiveReader):
            raise NotFound(
                f"{archive.address} has sequences and no tracks: these are in archives and their "
                "releases (of a server: --instance NAME)"
            )
        yield ArchivedTrackStore(archive, max_bytes=max_bytes)


def _found(store: ArchivedTrackStore, track_id: str) -> StoredTrack:
    """A track by its id, its name, or the digest of its content.

    Raises:
        NotFound: There is none. Ambiguous: Several have this name.
    """
    stored = store.get(_id(store, track_id))
    if stored is None:
        raise NotFound(
            f"track {track_id} was dropped to make room, and this version cannot compute it"
        )
    return stored


def _id(store: ArchivedTrackStore, text: str) -> str:
    if store.has(text):
        return text
    named = [client for client in store.clients() if client.name == text]
    if len(named) > 1:
        ids = [client.uuid for client in named]
        some = ", ".join(ids[:3]) + (" ..." if len(ids) > 3 else "")
        raise Ambiguous(f"{len(ids)} tracks are called {text!r}: say which by id ({some})", ids)
    if not named:
        raise NotFound(f"there is no track {text!r}; `track list` says what there is")
    return named[0].uuid


def _facts(store: ArchivedTrackStore, client: Client) -> dict[str, Any]:
    row = store.row(client)
    how = store.provenance_of(client)
    genome = store.genome_of(client)
    return {
        "id": client.uuid,
        "name": client.name,
        "content": content_id(client.target),
        "genome": genome,
        "type": row.kind if row is not None else None,
        "entries": row.n_entries if row is not None else None,
        "bytes": row.n_bytes if row is not None else None,
        "created": client.created.isoformat(),
        "provenance": how.as_dict() if how is not None else None,
    }


def _say(settings: Settings, store: ArchivedTrackStore, track_id: str) -> None:
    """The id of a track, for whatever comes next."""
    if settings.json:
        client = next(one for one in store.clients() if one.uuid == track_id)
        print_json(_facts(store, client))
    else:
        print_line(track_id)


genome_option = click.option("--genome", metavar="GENOME", help="Name, digest or id of the genome.")
name_option = click.option("--name", help="What it is called [the file's name, or what it is].")


@command("put", "seqarchive track put peaks.bed --genome hg38", command_)
@click.argument("files", nargs=-1, required=True)
@genome_option
@name_option
@click.option("--format", "as_format", type=click.Choice(sorted(FORMATS)), help="Of the files.")
def put(
    settings: Settings,
    files: Sequence[str],
    genome: str | None,
    name: str | None,
    as_format: str | None,
) -> None:
    """Put tracks of files into the archive; prints an id for each.

    BED, narrowPeak, GFF3, GTF, wig, bedGraph, bigWig, JSON and tables, compressed or not. A track
    over another genome is refused; chromosomes may have any name that the archive knows for them.
    """
    if genome is None:
        raise click.UsageError("say --genome: which genome are the tracks over?")
    if name is not None and len(files) > 1:
        raise click.UsageError("--name is that of one file")
    with _store(settings) as store:
        chroms = Chromosomes(store.reference(genome))
        for file in files:
            track = load_track(file, format=as_format, chroms=chroms)
            _say(settings, store, store.put(track, genome=genome, name=name))


@command("get", "seqarchive track get peaks chr1:1000-2000", command_)
@click.argument("track")
@click.argument("regions", nargs=-1)
@click.option("--format", "as_format", type=click.Choice(_WRITTEN), help="[BED, bedGraph or TSV]")
@at_option
def get(
    settings: Settings,
    track: str,
    regions: Sequence[str],
    as_format: str | None,
    at: str | None,
) -> None:
    """Print a track, or what of it lies in some regions (from 0, half-open)."""
    with _store(settings, at) as store:
        stored = _found(store, track)
        found: Any = stored.track
        if regions:
            reference = store.reference(store.genome_of(store.client(stored.id)))
            found = within(found, [reference.locate(region) for region in regions])
        chosen = "json" if settings.json else as_format or _USUAL[stored.track_type]
        _print(settings, stored, found, chosen)


_USUAL = {"interval": "bed", "signal": "bedgraph", "table": "tsv"}


def _warn_of_losses(settings: Settings, written: Written, chosen: str) -> None:
    for what, n in written.left_out.items():
        warn(settings, f"{chosen} has no place for the {what} of {n:,} of them; JSON has all of it")


@command("export", "seqarchive track export peaks peaks.bed", command_)
@click.argument("track")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--format", "as_format", type=click.Choice(_WRITTEN), help="[by the file's name]")
@at_option
def export(
    settings: Settings, track: str, file: Path, as_format: str | None, at: str | None
) -> None:
    """Write a track to a file, or to standard output as `-`: BED, bigWig, bedGraph, wig, JSON or
    a table.

    A file whose name ends with .gz is compressed (BGZF).
    """
    asked = as_format or _by_name(file.name)
    with _store(settings, at) as store:
        stored = _found(store, track)
        chosen = asked or _USUAL[stored.track_type]
        found: Any = stored.track
        if str(file) == STDIN:
            _print(settings, stored, found, chosen)
            return
        written = write_track(found, file, chosen, lengths=stored.chroms)
    _warn_of_losses(settings, written, chosen)
    if settings.json:
        print_json({"file": str(file), "bytes": file.stat().st_size, "format": chosen})
    else:
        print_line(f"{file}: {megabytes(file.stat().st_size)}, {chosen}")


def _by_name(name: str) -> str | None:
    """The format that the name of a file to be written says; None if it ends with no suffix.

    Raises:
        click.UsageError: It says another one than there are.
    """
    path = Path(name)
    suffix = (path.with_suffix("") if path.suffix.lower() in (".gz", ".bgz") else path).suffix
    found = by_extension(f"x{suffix}")
    if suffix and found not in _WRITTEN:
        known = ", ".join(one for name in _WRITTEN for one in FORMATS[name].extensions)
        raise click.UsageError(
            f"{suffix} is no suffix of a format that is written ({known}; behind it .gz or .bgz): "
            "say --format, or give the file another name"
        )
    return found


def _print(settings: Settings, stored: StoredTrack, found: Any, chosen: str) -> None:
    """Write a track, or what is left of it, to standard output."""
    if FORMATS[chosen].is_binary and sys.stdout.isatty():
        raise click.UsageError(f"{chosen} is for a file: `track export --format {chosen}`")
    written = write_track(found, sys.stdout.buffer, chosen, lengths=stored.chroms)
    _warn_of_losses(settings, written, chosen)


@command("list", "seqarchive track list --genome hg38", command_)
@genome_option
@at_option
def list_(settings: Settings, genome: str | None, at: str | None) -> None:
    """List the tracks: id, type, genome, entries, name and how it was computed.

    With --json, one JSON line for each.
    """
    with _store(settings, at) as store:
        digest = None if genome is None else store.reference(genome).digest
        for client in store.clients():
            facts = _facts(store, client)
            if digest not in (None, facts["genome"]):
                continue
            if settings.json:
                print_json(facts)
                continue
            how = store.node(client.uuid).how
            over = store.reference(facts["genome"]).name
            kind = facts["type"] or "dropped"
            called, entries = visible(client.name), f"{facts['entries'] or 0}"
            print_line("\t".join([client.uuid, kind, over, entries, called, how]))


@command("delete", "seqarchive track delete 5a1c...", command_)
@click.argument("tracks", nargs=-1, required=True)
@click.option("--cascade", is_flag=True, help="Also all that was computed from it.")
def delete(settings: Settings, tracks: Sequence[str], cascade: bool) -> None:
    """Delete tracks; refused while others were computed from them.

    What was put here comes back with `revert`, until `repair --reclaim`.
    """
    with _store(settings) as store:
        for track in tracks:
            store.delete(_id(store, track), cascade=cascade)


@command(
    "compute",
    "seqarchive track compute genome.motif --genome hg38 --param pattern=GAATTC\n"
    "seqarchive track compute compare.fold_change --input a=5a1c... --input b=77e0...",
    command_,
)
@click.argument("operation")
@genome_option
@click.option(
    "--input", "inputs", metavar="[NAME=]TRACK", multiple=True, help="A track that it is done to."
)
@click.option("--param", "params", metavar="KEY=VALUE", multiple=True, help="A parameter.")
@click.option(
    "--room",
    type=click.IntRange(0),
    envvar="SEQARCHIVE_TRACK_BYTES",
    default=MAX_BYTES,
    help="Bytes of computed tracks that are kept; what was used longest ago goes first, and is "
    "computed again when it is asked for [20 GiB, $SEQARCHIVE_TRACK_BYTES].",
)
@name_option
def compute(
    settings: Settings,
    operation: str,
    genome: str | None,
    inputs: Sequence[str],
    params: Sequence[str],
    room: int,
    name: str | None,
) -> None:
    """Compute a track, unless it is there already; prints its id.

    `track operations` lists what can be computed, and `track operations OPERATION` what it needs.
    """
    known = operation_of(operation)
    with _store(settings, max_bytes=room) as store:
        given = _inputs(store, known, genome, inputs)
        with _watched(settings, operation):
            stored = store.compute(operation, given, _pairs(params, "--param"), name=name)
        _say(settings, store, stored.id)


@contextmanager
def _watched(settings: Settings, what: str) -> Iterator[None]:
    with progress_bar(settings, what, None, "bp") as update:
        done = 0

        def told(now: int, _total: int) -> None:
            nonlocal done
            update(now - done)
            done = now

        with watched_by(Watch(told)):
            yield


def _pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or key in found:
            raise click.UsageError(f"{text!r}: say {option} NAME=VALUE, each name once")
        found[key] = value
    return found


def _inputs(
    store: ArchivedTrackStore, operation: Operation, genome: str | None, texts: Sequence[str]
) -> Mapping[str, str]:
    """The id of each input; those without a name are taken in order."""
    given: dict[str, str] = {}
    for one in operation.inputs:
        if one.kind == GENOME and genome is not None:
            given[one.name] = genome
    names = [one.name for one in operation.inputs]
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in names:
            free = [one for one in names if one not in given]
            if not free or equals:
                wanted = ", ".join(names)
                raise click.UsageError(f"--input {text}: {operation.id} has the inputs {wanted}")
            name, value = free[0], text
        if given.setdefault(name, value) != value:
            raise click.UsageError(f"{name} is given twice: {given[name]!r} and {value!r}")
    kinds = {one.name: one.kind for one in operation.inputs}
    return {
        name: value if kinds[name] == GENOME else _id(store, value) for name, value in given.items()
    }


@command("operations", "seqarchive track operations genome.gc", command_)
@click.argument("operation", required=False)
def operations(settings: Settings, operation: str | None) -> None:
    """List what can be computed; or say what one operation needs."""
    some = (
        [operation_of(operation)] if operation else [OPERATIONS[one] for one in sorted(OPERATIONS)]
    )
    for one in some:
        if settings.json:
            print_json(one.as_dict())
        elif operation is None:
            print_line(f"{one.id}\t{one.description}")
        else:
            _describe(one)


def _describe(operation: Operation) -> None:
    print_line(f"{operation.id} (version {operation.version})\n  {operation.description}")
    for one in operation.inputs:
        option = "--genome" if one.kind == GENOME else f"--input {one.name}="
        kinds = f" ({' or '.join(one.types)})" if one.types else ""
        print_line(f"  {option}  {one.description}{kinds}")
    for param in operation.params:
        default = "must be given" if param.is_required else f"{param.default}"
        choices = f"; {', '.join(param.choices)}" if param.choices else ""
        print_line(
            f"  --param {param.name}=  {param.description} ({param.type}{choices}) [{default}]"
        )


_FORMS = click.Choice(["text", "svg", "dot"])


@command("lineage", "seqarchive track lineage peaks --format svg > peaks.svg", command_)
@click.argument("track")
@click.option("--down", is_flag=True, help="What was computed from it: as `track descendants`.")
@click.option("--format", "as_format", type=_FORMS, default="text")
@at_option
def lineage(settings: Settings, track: str, down: bool, as_format: str, at: str | None) -> None:
    """Say what a track was computed from, back to genomes and files."""
    with _store(settings, at) as store:
        found = _descendants(store, track) if down else store.lineage(_id(store, track))
    _draw(settings, found, as_format)


@command("descendants", "seqarchive track descendants peaks --format svg > peaks.svg", command_)
@click.argument("track")
@click.option("--format", "as_format", type=_FORMS, default="text")
@at_option
def descendants(settings: Settings, track: str, as_format: str, at: str | None) -> None:
    """Say what was computed from a track, or from a genome, and what from that."""
    with _store(settings, at) as store:
        found = _descendants(store, track)
    _draw(settings, found, as_format)


def _descendants(store: ArchivedTrackStore, text: str) -> Lineage:
    return store.descendants(text if _is_genome(store, text) else _id(store, text))


def _draw(settings: Settings, found: Lineage, as_format: str) -> None:
    if settings.json:
        print_json(found.as_dict())
    else:
        sys.stdout.write(getattr(found, as_format)())


def _is_genome(store: ArchivedTrackStore, text: str) -> bool:
    """Whether a text means a genome, and no track."""
    if store.has(text) or any(client.name == text for client in store.clients()):
        return False
    try:
        store.reference(text)
    except NotFound:
        return False
    return True
