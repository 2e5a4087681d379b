"""gtars: a RefgetStore on disk, in its default mode (Encoded).

It trusts the ``.rgsi`` that it leaves beside a FASTA file: whoever calls this must give it a copy
that no other import has seen.
"""

from __future__ import annotations

import json
from pathlib import Path

from gtars.refget import RefgetStore, digest_fasta

from . import Step


def load(root: str, fasta: str) -> list[Step]:
    """A file into a store, which is created if it is not there: that costs next to nothing."""

    def add() -> None:
        store = RefgetStore.on_disk(root)
        store.set_quiet(True)
        store.add_sequence_collection_from_fasta(fasta)

    return [Step("load", 1, add)]


def index(root: str, fasta: str) -> list[Step]:
    """A store with the indexes of a file but no residues: a file for each sequence takes minutes
    when there are 1,000,000, and neither opening nor adding looks at them."""

    def add() -> None:
        store = RefgetStore.on_disk(root)
        store.set_quiet(True)
        store.add_sequence_collection(digest_fasta(fasta))

    return [Step("index", 1, add)]


def fetch(root: str, reads: str) -> list[Step]:
    """Random reads by digest, and the same ones again."""
    store = RefgetStore.open_local(root)
    wanted = [
        (digest, start, end) for _, digest, start, end in json.loads(Path(reads).read_text())
    ]

    def one_by_one() -> object:
        fetch = store.get_substring
        return [fetch(*read) for read in wanted]

    return [Step("first", len(wanted), one_by_one), Step("again", len(wanted), one_by_one)]


def open_archive(root: str, reads: str) -> list[Step]:
    """Open, then look at what is known of a sequence (an index has no residues)."""
    opened = []
    ((_, digest, _, _),) = json.loads(Path(reads).read_text())
    return [
        Step("open", 1, lambda: opened.append(RefgetStore.open_local(root))),
        Step("fetch", 1, lambda: opened[0].get_sequence_metadata(digest).length),
    ]
