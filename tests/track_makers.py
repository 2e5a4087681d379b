"""Tracks for tests: any that a file can hold, as hypothesis makes them, and plain readers."""

from __future__ import annotations

import json
import struct
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import strategies as st

from seqarchive.tracks.columns import Steps
from seqarchive.tracks.regions import Region, TrackLabel
from seqarchive.tracks.track import AnyTrack, IntervalTrack, SignalTrack, TableTrack

#: Of the genome that tracks are made for, in residues. Some names are also words of formats.
LENGTHS = {
    "chr2": 5_000,
    "chr10": 100_000,
    "track": 40_000,
    "HLA:1-2": 300,
    "browser": 50,
    "Ω": 80_000,
    "empty": 7,
    "fixedStep": 900,
}

#: Any number that a score can be; -0.0 is 0.0 for us.
scores = st.floats(allow_nan=True, allow_infinity=True).map(lambda value: value + 0.0)

_letters = st.characters(exclude_categories=["Cc", "Cs"])
_encodable = st.characters(exclude_categories=["Cs"])
names = st.one_of(
    st.just(""), st.text("abcXYZ019_;= %.\"'", max_size=8), st.text(_letters, max_size=5)
).filter(lambda name: name != ".")

_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 40), 1 << 60) | st.floats(allow_nan=False)
    | st.text(_encodable, max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(_encodable, max_size=4), inner, max_size=3),
    max_leaves=4,
)
tags = st.one_of(st.just({}), st.dictionaries(names, _json, max_size=3))


@st.composite
def regions(draw: st.DrawFn, tags_of: st.SearchStrategy[Any] = tags) -> Region:
    chrom = draw(st.sampled_from(sorted(set(LENGTHS) - {"empty"})))
    ends = draw(st.tuples(*[st.integers(0, LENGTHS[chrom])] * 2))
    return Region(
        chrom, min(ends), max(ends), draw(st.sampled_from("+-.")), draw(scores), draw(names),
        draw(tags_of),
    )


@st.composite
def bed_tags(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {"thick_start": draw(st.integers(0, 1 << 53))}
    found["thick_end"] = draw(st.integers(0, 1 << 53))
    found["item_rgb"] = draw(st.sampled_from(["0", "255,0,0", ".", ""]))
    n = draw(st.integers(0, 3))
    found["block_sizes"], found["block_starts"] = [0] * n, [0] * n
    return dict(list(found.items())[: draw(st.sampled_from([1, 2, 3, 5]))])


interval_tracks = st.lists(
    st.one_of(regions(), regions(st.just({}))), max_size=20
).map(lambda some: IntervalTrack(TrackLabel("t"), some))


@st.composite
def signal_tracks(draw: st.DrawFn, bits: int = 64) -> SignalTrack:
    values = st.floats(allow_nan=False, width=32) if bits == 32 else st.floats(-1e38, 1e38)
    steps = {}
    for chrom in draw(st.lists(st.sampled_from(sorted(LENGTHS)), unique=True)):
        edges = sorted(draw(st.sets(st.integers(0, LENGTHS[chrom]), max_size=16)))
        kept = [
            (begin, end, draw(values) + 0.0)
            for begin, end in pairwise(edges)
            if draw(st.booleans())
        ]
        if kept:
            starts, ends, numbers = zip(*kept, strict=True)
            steps[chrom] = Steps.of(starts, ends, numbers)
    return SignalTrack.of("t", LENGTHS, steps)


keys = st.text(_letters, min_size=1, max_size=6)
table_tracks = st.dictionaries(keys, scores, max_size=12).map(
    lambda some: TableTrack(TrackLabel("t"), some)
)


def same(one: AnyTrack, other: AnyTrack) -> bool:
    """Whether two tracks say the same, whatever they are called. Entries with one place may be in
    another order."""
    if isinstance(one, TableTrack) and isinstance(other, TableTrack):
        return one.keys() == other.keys() and np.array_equal(
            one.scores(), other.scores(), equal_nan=True
        )
    if isinstance(one, SignalTrack) and isinstance(other, SignalTrack):
        return all(
            one.steps(chrom) == other.steps(chrom) for chrom in {*one.chroms, *other.chroms}
        )
    assert isinstance(one, IntervalTrack)
    assert isinstance(other, IntervalTrack)
    return sorted(map(shown, one)) == sorted(map(shown, other))


def shown(region: Region) -> str:
    """All that a region says."""
    tags = json.dumps(region.tags, sort_keys=True)
    place = (region.chrom, region.start, region.end, region.strand)
    return repr((*place, region.score, region.name, tags))


def bigwig_by_hand(order: str = "<") -> bytes:
    """A bigWig by hand, not compressed: one chromosome ``c`` of 1,000 residues with a section of
    each kind."""
    chrom = struct.pack(order + "IIIIQQ", 0x78CA8C91, 1, 1, 8, 1, 0)
    chrom += struct.pack(order + "BBH", 1, 0, 1) + struct.pack(order + "sII", b"c", 0, 1000)
    blocks = [
        struct.pack(order + "IIIIIBBH", 0, 0, 20, 0, 0, 1, 0, 2)
        + struct.pack(order + "IIfIIf", 0, 10, 1.5, 15, 20, 2.5),
        struct.pack(order + "IIIIIBBH", 0, 100, 140, 0, 5, 2, 0, 2)
        + struct.pack(order + "IfIf", 100, 3.5, 135, 4.5),
        struct.pack(order + "IIIIIBBH", 0, 200, 230, 10, 4, 3, 0, 3)
        + struct.pack(order + "fff", 5.5, 6.5, 7.5),
    ]
    spans = [(0, 20), (100, 140), (200, 230)]
    data = 64 + len(chrom)
    index = data + 8 + sum(map(len, blocks))
    head = struct.pack(
        order + "IHHQQQHHQQIQ", 0x888FFC26, 4, 0, 64, data, index, 0, 0, 0, 0, 0, 0
    )
    tree = struct.pack(order + "IIQIIIIQII", 0x2468ACE0, 3, 3, 0, 0, 0, 230, index, 3, 0)
    tree += struct.pack(order + "BBH", 1, 0, 3)
    at = data + 8
    for block, (start, end) in zip(blocks, spans, strict=True):
        tree += struct.pack(order + "IIIIQQ", 0, start, 0, end, at, len(block))
        at += len(block)
    return head + chrom + struct.pack(order + "Q", 3) + b"".join(blocks) + tree
