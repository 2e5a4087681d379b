"""``seqarchive export``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

import click

from ..exporting import WIDTH, fasta_records, write_fasta, write_json
from ..identifiers import Digest
from ..layouts import masked
from . import Settings, at_option, command, lines_of, progress_bar


@command("export", "seqarchive export --namespace refseq > refseq.fa")
@click.option("--namespace", "-n", help="Only sequences with a name in it.")
@click.option("--collection", metavar="ID", help="The file that a collection is.")
@click.option("--from", "from_file", metavar="FILE", help="IDs from a file, one a line.")
@click.option(
    "--width",
    type=click.IntRange(0),
    show_default=f"{WIDTH}; of a collection, as its file had it",
    help="Columns of a line; 0 for one line.",
)
@at_option
@click.argument("ids", nargs=-1)
def command_(
    settings: Settings,
    namespace: str | None,
    collection: str | None,
    from_file: str | None,
    width: int | None,
    at: str | None,
    ids: Sequence[str],
) -> None:
    """Write FASTA that `load` takes in again: the same sequences under the same names.

    Each sequence is written once: those of IDS in their order, or all. A collection is written
    as its file had it: its order, its names and descriptions, the width of its lines if they had
    one, and lower case if `load --keep-mask` kept it. With --json, one line of JSON a record: `id`,
    `defline`, `digest`, `sequence`.
    """
    if sum(bool(given) for given in (namespace, collection, ids or from_file)) > 1:
        raise click.UsageError("--namespace, --collection and IDs exclude each other")
    wanted: list[str] | None = None
    if ids or from_file is not None:
        lines = lines_of(from_file) if from_file is not None else ()
        wanted = [*ids, *(line.strip() for line in lines if line.strip())]
    with (
        settings.open(at) as archive,
        progress_bar(settings, "exporting", None, "residues", results=True) as progress,
    ):
        if collection is not None:
            found = archive.collection(collection)
            if width is None:
                width = found.line_bases
            records: Iterable[tuple[str, Digest, bytes]] = (
                (one.defline, one.digest, one.mask) for one in found.records()
            )
        else:
            some = fasta_records(archive, wanted, namespace)
            records = ((defline, digest, b"") for defline, digest in some)
        for defline, digest, mask in records:
            pieces = _counted(archive.pieces("sha512t24u:" + digest), progress)
            if settings.json:
                write_json(sys.stdout, defline, digest, masked(pieces, mask))
            else:
                columns = WIDTH if width is None else width
                write_fasta(sys.stdout, defline, masked(pieces, mask), columns)


def _counted(pieces: Iterable[str], progress: Callable[[int], None]) -> Iterator[str]:
    for piece in pieces:
        progress(len(piece))
        yield piece
