"""Tracks: values and intervals over genomes, and how they were computed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .archived import ArchivedTrackStore
    from .archived_genomes import ArchivedGenomeStore
    from .columns import Intervals, Steps
    from .lineage import Lineage
    from .provenance import Provenance
    from .reference import Genome, Reference
    from .regions import Region, TrackLabel
    from .stores import GenomeStore, StoredGenome, StoredTrack, StoreFull, TrackStore
    from .track import IntervalTrack, SignalTrack, TableTrack, Track

__all__ = [
    "ArchivedGenomeStore",
    "ArchivedTrackStore",
    "Genome",
    "GenomeStore",
    "IntervalTrack",
    "Intervals",
    "Lineage",
    "Provenance",
    "Reference",
    "Region",
    "SignalTrack",
    "Steps",
    "StoreFull",
    "StoredGenome",
    "StoredTrack",
    "TableTrack",
    "Track",
    "TrackLabel",
    "TrackStore",
]

#: Where they live. What is not used is not imported: who looks up a name needs no arrays.
_HOMES = {
    "ArchivedGenomeStore": "archived_genomes",
    "ArchivedTrackStore": "archived",
    "Genome": "reference",
    "GenomeStore": "stores",
    "IntervalTrack": "track",
    "Intervals": "columns",
    "Lineage": "lineage",
    "Provenance": "provenance",
    "Reference": "reference",
    "Region": "regions",
    "SignalTrack": "track",
    "Steps": "columns",
    "StoreFull": "stores",
    "StoredGenome": "stores",
    "StoredTrack": "stores",
    "TableTrack": "track",
    "Track": "track",
    "TrackLabel": "regions",
    "TrackStore": "stores",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
