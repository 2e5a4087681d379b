"""``seqarchive get``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import click

from ..beds import read_bed
from ..errors import BadInterval, NotFound
from ..exporting import WIDTH, write_fasta
from ..identifiers import check_interval
from ..reader import ArchiveReader
from ..sequences import reverse_complement
from ..several import Readers
from . import Settings, at_option, command, lines_of, print_json

#: Ranges of more residues than this are printed piece by piece.
_PIECE = 1 << 22


class _Wanted(NamedTuple):
    label: str
    identifier: str
    start: int | None
    end: int | None
    reverse: bool
    file: str | None = None
    line: int | None = None
    """Where it is said, if that is a file."""


@command("get", "seqarchive get refseq:NC_001133.9:100-160 md5:3332ed720ac7eaa9b3655c06f6b9e196")
@click.option("--fasta", is_flag=True, help="FASTA instead of one line for each ID.")
@click.option(
    "--width",
    type=click.IntRange(0),
    default=WIDTH,
    show_default=True,
    help="Columns of FASTA lines; 0 for one line.",
)
@click.option("--bed", "bed", metavar="FILE", help="Ranges from a BED file (`-`: standard input).")
@click.option("--from", "from_file", metavar="FILE", help="IDs from a file, one a line.")
@click.option("--namespace", "-n", help="Namespace of the names in --bed and --from.")
@click.option(
    "--reverse-complement",
    "-r",
    "reverse",
    is_flag=True,
    help="The other strand (with --bed: of what its strand column says).",
)
@click.option("--clamp", is_flag=True, help="Take what there is of a range beyond the end.")
@at_option
@click.argument("ids", nargs=-1)
def command_(
    settings: Settings,
    fasta: bool,
    width: int,
    bed: str | None,
    from_file: str | None,
    namespace: str | None,
    reverse: bool,
    clamp: bool,
    at: str | None,
    ids: Sequence[str],
) -> None:
    """Print residues: one line for each ID, in the order asked.

    An ID is an alias, a namespace:alias or any digest; `ID:START-END` is a range, 0-based and
    half-open. Nothing is printed unless all IDs are found.
    """
    if not ids and bed is None and from_file is None:
        raise click.UsageError("say at least one ID, --bed or --from")
    with settings.open(at) as archive:
        prefix = f"{namespace}:" if namespace else ""
        texts = [*ids, *(prefix + text for text in _names(from_file))]
        wanted = [_Wanted(text, *archive.split(text), reverse) for text in texts]
        wanted += _bed(archive, bed, prefix, reverse)
        checked = [_checked(archive, one, clamp=clamp) for one in wanted]
        for one in checked:
            if settings.json:
                print_json(_as_json(archive, one))
            elif fasta:
                write_fasta(sys.stdout, one.label, _pieces(archive, one), width)
            else:
                for piece in _pieces(archive, one):
                    sys.stdout.write(piece)
                sys.stdout.write("\n")


def _names(from_file: str | None) -> Iterator[str]:
    if from_file is not None:
        yield from (line.strip() for line in lines_of(from_file) if line.strip())


def _bed(
    archive: ArchiveReader | Readers, name: str | None, prefix: str, reverse: bool
) -> Iterator[_Wanted]:
    if name is None:
        return
    for one in read_bed(lines_of(name), name):
        identifier = prefix + one.chromosome
        if identifier not in archive:
            raise NotFound(f"{name}, line {one.line}: {identifier!r} is not in the archive")
        label = f"{one.name}::" if one.name else ""
        where = f"{label}{identifier}:{one.start}-{one.end}"
        is_other = one.is_minus != reverse
        yield _Wanted(where, identifier, one.start, one.end, is_other, name, one.line)


def _checked(archive: ArchiveReader | Readers, wanted: _Wanted, *, clamp: bool) -> _Wanted:
    """The same with a range that the sequence has."""
    sequence = archive[wanted.identifier]
    try:
        start, end = check_interval(
            wanted.start,
            wanted.end,
            len(sequence),
            clamp=clamp,
            circular=archive.is_circular(wanted.identifier),
        )
    except BadInterval as error:
        message = f"{wanted.identifier}: {error.message}"
        raise BadInterval(message, file=wanted.file, line=wanted.line) from None
    return wanted._replace(start=start, end=end)


def _pieces(archive: ArchiveReader | Readers, wanted: _Wanted) -> Iterable[str]:
    start, end = wanted.start or 0, wanted.end or 0
    whole = wanted.start == 0 and wanted.end == len(archive[wanted.identifier])
    if wanted.reverse or start > end or (end - start <= _PIECE and not whole):
        residues = archive.fetch(wanted.identifier, wanted.start, wanted.end)
        return [reverse_complement(residues) if wanted.reverse else residues]
    if whole:
        return archive.pieces(wanted.identifier)
    return (
        archive.fetch(wanted.identifier, at, min(at + _PIECE, end))
        for at in range(start, end, _PIECE)
    )


def _as_json(archive: ArchiveReader | Readers, wanted: _Wanted) -> dict[str, object]:
    return {
        "id": wanted.identifier,
        "digest": archive.find(wanted.identifier),
        "start": wanted.start,
        "end": wanted.end,
        "reverse_complement": wanted.reverse,
        "sequence": "".join(_pieces(archive, wanted)),
    }
