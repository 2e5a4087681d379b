"""Where patterns are: motifs, and what CRISPR nucleases can be guided to."""

from __future__ import annotations

from dataclasses import dataclass

from ..columns import Ints
from ..reference import Reference
from ..track import INTERVAL, IntervalTrack
from .found import Found
from .molecules import Molecule, Piece, molecules
from .nucleotides import ANY_KNOWN, Classes, Pattern, parse_patterns, reverse_complement
from .registry import INTEGER, STRING, Parameter, genome, operation

_BOTH, _FORWARD, _REVERSE = "both", "+", "-"
_THREE_PRIME, _FIVE_PRIME = "3prime", "5prime"


@operation(
    "genome.motif",
    "Where patterns of nucleotides are, on one strand or on both.",
    inputs=[genome()],
    params=[
        Parameter("pattern", STRING, "IUPAC letters such as TATAWAW; several with commas"),
        Parameter("strand", STRING, "where to look", _BOTH, choices=(_BOTH, _FORWARD, _REVERSE)),
    ],
    output=INTERVAL,
)
def motif(genome: Reference, *, pattern: str, strand: str = _BOTH) -> IntervalTrack:
    """All places of one or more patterns, overlapping ones too; the name is the pattern in upper
    case. On the reverse strand is what reads as the pattern in the reverse complement.

    A pattern that is its own reverse complement (GAATTC) is on both strands at once: if both are
    looked at, it is given once, with the strand ``.``.

    U is T. A letter of the pattern matches the nucleotides that it stands for; ambiguous residues
    of the genome (N, R ...) match N alone, and what is no letter of nucleic acids (``-``) nothing.
    A place across the origin of a circular molecule is two intervals (see ``Found``), with the tags
    ``part`` and ``of``; patterns longer than it are not found.

    Raises:
        BadInput: A pattern cannot be one, or there are too many places.
    """
    found = Found("genome.motif")
    patterns = parse_patterns(pattern)
    longest = max(map(len, patterns))
    reads = [read for one in patterns for read in stranded(one, strand)]
    for molecule in molecules(genome):
        for piece in molecule.pieces(after=longest - 1):
            classes = Classes(piece.letters)
            for sign, read in reads:
                if len(read) <= molecule.length:
                    starts = read.find(classes, piece.n) + piece.start
                    found.add(molecule, starts, starts + len(read), strands=sign, names=read.name)
    return found.track()


def stranded(pattern: Pattern, strand: str = _BOTH) -> list[tuple[bytes, Pattern]]:
    """The strands on which to look for a pattern, and what it is there, read forward."""
    if strand == _BOTH and pattern.is_palindrome:
        return [(b".", pattern)]
    both = [(b"+", pattern), (b"-", pattern.other_strand)]
    return [one for one in both if strand in (_BOTH, one[0].decode("ascii"))]


@operation(
    "genome.pam_sites",
    "What CRISPR nucleases can be guided to: protospacers next to a PAM.",
    inputs=[genome()],
    params=[
        Parameter("pam", STRING, "the PAM, in IUPAC letters", "NGG"),
        Parameter("length", INTEGER, "nucleotides of a guide", 20, minimum=1, maximum=1000),
        Parameter(
            "side",
            STRING,
            "the end of the protospacer at which the PAM is",
            _THREE_PRIME,
            choices=(_THREE_PRIME, _FIVE_PRIME),
        ),
    ],
    output=INTERVAL,
)
def pam_sites(
    genome: Reference, *, pam: str = "NGG", length: int = 20, side: str = _THREE_PRIME
) -> IntervalTrack:
    """All protospacers of a length that have a PAM at one end, on both strands. Cas9 has NGG on the
    side ``3prime``, Cas12a TTTV on the side ``5prime``.

    The interval is the protospacer without the PAM. Its name is the guide. Tags: ``guide``, the
    residues of the protospacer, and ``pam``, those of the PAM; both 5' to 3' on the strand of the
    protospacer, with T for U. Protospacers with other letters than A, C, G and T are left out; the
    PAM matches as in ``motif``.

    The origin of a circular molecule can be anywhere in protospacer and PAM; if it is in the
    protospacer, that is two intervals (see ``Found``), with the tags ``part`` and ``of`` too.

    Raises:
        BadInput: The PAM cannot be one, or there are too many protospacers.
    """
    site = _Site.of(Pattern.parse(pam), length, side)
    found = Found("genome.pam_sites")
    for molecule in molecules(genome):
        if len(site.pattern) <= molecule.length:
            for piece in molecule.pieces(after=len(site.pattern) - 1):
                _add_protospacers(found, molecule, piece, site)
    return found.track()


@dataclass(frozen=True)
class _Site:
    """A protospacer with its PAM, both on the forward strand; ``spacer`` and ``pam``: where they
    begin and end."""

    pattern: Pattern
    spacer: tuple[int, int]
    pam: tuple[int, int]

    @classmethod
    def of(cls, pam: Pattern, length: int, side: str) -> _Site:
        spacer = (ANY_KNOWN,) * length
        if side == _THREE_PRIME:
            whole = Pattern(pam.name, spacer + pam.bits)
            return cls(whole, (0, length), (length, len(whole)))
        whole = Pattern(pam.name, pam.bits + spacer)
        return cls(whole, (len(pam), len(whole)), (0, len(pam)))


def _add_protospacers(found: Found, molecule: Molecule, piece: Piece, site: _Site) -> None:
    classes = Classes(piece.letters)
    text = piece.letters.tobytes()
    size, (begin, end) = len(site.pattern), site.spacer
    forward = site.pattern.find(classes, piece.n)
    reverse = site.pattern.other_strand.find(classes, piece.n)
    found.require_room_for(len(forward) + len(reverse))
    rows = (
        (b"+", text, forward, forward + begin),
        (b"-", reverse_complement(text), len(text) - size - reverse, reverse + size - end),
    )
    for strand, read, at, starts in rows:
        guides = _slices(read, at + begin, end - begin)
        pams = _slices(read, at + site.pam[0], site.pam[1] - site.pam[0])
        found.add(
            molecule,
            starts + piece.start,
            starts + piece.start + (end - begin),
            strands=strand,
            names=guides,
            tags=[{"guide": guide, "pam": pam} for guide, pam in zip(guides, pams, strict=True)],
        )


def _slices(residues: bytes, starts: Ints, length: int) -> list[str]:
    text = residues.decode("ascii")
    return [text[at : at + length] for at in starts.tolist()]
