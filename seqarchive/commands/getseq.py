"""``seqarchive getseq``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import click

from ..beds import read_bed
from ..errors import Ambiguous, BadInterval, NotFound
from ..exporting import WIDTH, write_fasta
from ..genomes.genome import Genome
from ..genomes.loci import Locus
from ..inputs import label_of
from ..seqcol.digests import Member
from ..sequences import reverse_complement
from . import Settings, command, lines_of, print_json
from .genome import folder_option, genomes_in

#: A locus: what to call it, the sequence, its range, and whether the other strand is meant.
_Found = tuple[str, Member, int, int, bool]


@command("getseq", "seqarchive getseq hg38 chr1:0-1000")
@click.option("-g", "--genome", help="Name of the genome, instead of the first argument.")
@click.option("--genome-digest", metavar="DIGEST", help="Its digest, instead of a name.")
@click.option("-l", "--locus", "more", multiple=True, help="A locus, as an argument is one.")
@click.option("--bed", metavar="FILE", help="Ranges from a BED file (`-`: standard input).")
@click.option("--fasta", is_flag=True, help="FASTA instead of one line for each locus.")
@click.option("--width", type=click.IntRange(0), default=WIDTH, show_default=True,
              help="Columns of FASTA lines; 0 for one line.")  # fmt: skip
@click.option("--reverse-complement", "-r", "reverse", is_flag=True, help="The other strand.")
@folder_option
@click.argument("words", metavar="[GENOME] LOCUS...", nargs=-1)
def command_(
    settings: Settings,
    genome: str | None,
    genome_digest: str | None,
    more: Sequence[str],
    bed: str | None,
    fasta: bool,
    width: int,
    reverse: bool,
    genome_folder: str | None,
    words: Sequence[str],
) -> None:
    """Print residues of a genome: one line for each locus, in the order asked.

    A LOCUS is a sequence by its name in the genome or by an alias (chr1, 1, NC_000001.11),
    NAME:START for the rest of it, or NAME:START-END; 0-based and half-open, commas do not count.
    Nothing is printed unless all are found.
    """
    if genome is not None and genome_digest is not None:
        raise click.UsageError("--genome or --genome-digest, not both")
    named = genome or genome_digest
    if named is None:
        if not words:
            raise click.UsageError("say which genome, and a locus: getseq hg38 chr1:0-1000")
        named, words = words[0], words[1:]
    texts = [*words, *more]
    if not texts and bed is None:
        raise click.UsageError("say at least one locus, or --bed")
    with genomes_in(settings, genome_folder) as genomes:
        chosen = genomes[named]
        found: list[_Found] = []
        for text in texts:
            member, start, end = chosen.locate(text)
            found.append((_label(member, start, end, text), member, start, end, reverse))
        if bed is not None:
            found += _bed(chosen, bed, reverse)
        for label, member, start, end, is_reverse in found:
            residues = chosen.residues(member, start, end)
            if is_reverse:
                residues = reverse_complement(residues)
            if settings.json:
                print_json(
                    {
                        "genome": chosen.digest,
                        "sequence": f"SQ.{member.digest}",
                        "name": member.name,
                        "start": start,
                        "end": end,
                        "reverse_complement": is_reverse,
                        "residues": residues,
                    }
                )
            elif fasta:
                write_fasta(sys.stdout, label, [residues], width)
            else:
                sys.stdout.write(residues + "\n")


def _bed(genome: Genome, name: str, reverse: bool) -> Iterator[_Found]:
    """The ranges of a BED file.

    Raises:
        NotFound, Ambiguous, BadInterval: As ``locate`` does, with the file and the line.
    """
    file = label_of(name)
    for one in read_bed(lines_of(name), file):
        place = Locus(one.chromosome, one.start, one.end)
        try:
            member, start, end = genome.locate(place)
        except BadInterval as error:
            raise BadInterval(error.message, file=file, line=one.line) from None
        except NotFound as error:
            raise NotFound(f"{file}, line {one.line}: {error}") from None
        except Ambiguous as error:
            raise Ambiguous(f"{file}, line {one.line}: {error}", error.candidates) from None
        label = f"{one.name}::{place}" if one.name else str(place)
        yield label, member, start, end, one.is_minus != reverse


def _label(member: Member, start: int, end: int, text: str) -> str:
    """What a locus is called in FASTA: a sequence as a whole by its name alone."""
    is_whole = (start, end) == (0, member.length)
    return member.name if is_whole and ":" not in text else f"{member.name}:{start}-{end}"
