"""Restriction enzymes, as REBASE has them by way of Biopython, and where their sites are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ...errors import BadInput
from ..reference import Reference
from ..track import INTERVAL, IntervalTrack
from .found import Found
from .molecules import molecules
from .motifs import stranded
from .nucleotides import Classes, Pattern
from .registry import STRING, Parameter, genome, operation


@dataclass(frozen=True)
class Enzyme:
    """A restriction enzyme.

    Args:
        sites: What it recognizes; of one length.
        cuts: Where it cuts the strand of its site and the other one, in residues from the first of
            the site; once, twice if it cuts on both sides, or not at all if that is not known.
        overhang: What the cut leaves: ``5'``, ``3'``, ``blunt`` or ``unknown``.
    """

    name: str
    sites: tuple[Pattern, ...]
    cuts: tuple[tuple[int, int], ...]
    overhang: str

    def __len__(self) -> int:
        """Residues of a site."""
        return len(self.sites[0])

    def tags(self, strand: bytes) -> dict[str, Any]:
        """What is said of its sites on a strand."""
        found: dict[str, Any] = {"enzyme": self.name, "overhang": self.overhang}
        cuts = self.cuts
        if strand == b"-":
            cuts = tuple((len(self) - bottom, len(self) - top) for top, bottom in reversed(cuts))
        for number, (top, bottom) in zip(("", "2"), cuts, strict=False):
            found |= {"top" + number: top, "bottom" + number: bottom}
        return found


def enzymes_named(text: str) -> Sequence[Enzyme]:
    """The enzymes of a list of names with commas, each once; upper and lower case are the same.

    Raises:
        BadInput: One is not known.
    """
    known = _known()
    found: dict[str, Enzyme] = {}
    for word in text.split(","):
        name = word.strip()
        enzyme = known.get(name.lower())
        if enzyme is None:
            near = difflib.get_close_matches(name.lower()[:60], known, 3)
            hint = f"; did you mean {', '.join(known[one].name for one in near)}?" if near else ""
            raise BadInput(f"there is no restriction enzyme {name[:60]!r}{hint}")
        found.setdefault(enzyme.name, enzyme)
    return list(found.values())


@lru_cache(maxsize=1)
def _known() -> Mapping[str, Enzyme]:
    """All of them, by their names in lower case."""
    from Bio import Restriction  # noqa: PLC0415  (0.3 s that others need not wait for)

    enzymes: Iterable[Any] = vars(Restriction)["AllEnzymes"]  # made when it is imported
    return {str(one).lower(): _enzyme(one) for one in enzymes}


def _enzyme(one: Any) -> Enzyme:
    sites = tuple(map(Pattern.parse, one.site.split("|")))
    size = len(sites[0])
    pairs = ((one.fst5, one.fst3), (one.scd5, one.scd3))
    return Enzyme(
        str(one),
        sites,
        tuple((top, size + bottom) for top, bottom in pairs if None not in (top, bottom)),
        one.overhang().removesuffix(" overhang"),
    )


@operation(
    "genome.restriction_sites",
    "Where restriction enzymes recognize a genome, and where they cut it.",
    inputs=[genome()],
    params=[Parameter("enzymes", STRING, "names such as EcoRI, with commas")],
    output=INTERVAL,
)
def restriction_sites(genome: Reference, *, enzymes: str) -> IntervalTrack:
    """The recognition sites of one or more enzymes; overlapping ones too, and without regard to
    methylation. The name is that of the enzyme.

    A palindromic site is given once, with the strand ``.``. Residues match as in ``motif``.

    Tags: ``enzyme``; ``top`` and ``bottom``, where the forward and the reverse strand are cut, in
    residues from the start of the site towards the end of the chromosome (EcoRI, G^AATTC: 1 and
    5; they can be negative, or beyond the site, and then beyond the molecule); ``top2`` and
    ``bottom2``, of enzymes that cut on both sides; ``overhang``: ``5'``, ``3'``, ``blunt`` or
    ``unknown``. Enzymes of which nobody knows where they cut have no ``top`` and ``bottom``.

    A site across the origin of a circular molecule is two intervals (see ``Found``), with the tags
    ``part`` and ``of``, in both of which cuts are counted from the start of the first.

    Raises:
        BadInput: An enzyme is not known, or there are too many sites.
    """
    found = Found("genome.restriction_sites")
    some = enzymes_named(enzymes)
    reads = [
        (enzyme.name, strand, read, enzyme.tags(strand))
        for enzyme in some
        for site in enzyme.sites
        for strand, read in stranded(site)
    ]
    longest = max(map(len, some))
    for molecule in molecules(genome):
        for piece in molecule.pieces(after=longest - 1):
            classes = Classes(piece.letters)
            for name, strand, read, tags in reads:
                if len(read) <= molecule.length:
                    starts = read.find(classes, piece.n) + piece.start
                    found.add(
                        molecule,
                        starts,
                        starts + len(read),
                        strands=strand,
                        names=name,
                        tags=tags,
                    )
    return found.track()
