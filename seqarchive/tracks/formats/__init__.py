"""Files of tracks: BED, narrowPeak, GFF3, GTF, wiggle, bedGraph, bigWig, JSON and tables."""

from __future__ import annotations

from .bigwig import BigWigFile
from .catalogue import FORMATS, Format, by_extension, format_of, sniffed
from .reading import load_track, read_track
from .writing import (
    Written,
    write_bed,
    write_bedgraph,
    write_bigwig,
    write_json,
    write_track,
    write_tsv,
    write_wig,
)

__all__ = [
    "FORMATS",
    "BigWigFile",
    "Format",
    "Written",
    "by_extension",
    "format_of",
    "load_track",
    "read_track",
    "sniffed",
    "write_bed",
    "write_bedgraph",
    "write_bigwig",
    "write_json",
    "write_track",
    "write_tsv",
    "write_wig",
]
