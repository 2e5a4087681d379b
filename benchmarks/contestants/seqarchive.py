"""seqarchive: loads as its command line does, reads as its Python interface does."""

from __future__ import annotations

import json
from pathlib import Path

import seqarchive.commands
import seqarchive.commands.init
import seqarchive.commands.load
from seqarchive.connecting import connect

from . import NAMESPACE, Step

#: Identifiers of one call in a batch of translations.
_BATCH = 1000


def _run(*arguments: str) -> None:
    code = seqarchive.commands.run(list(arguments))
    if code != 0:
        raise RuntimeError(f"seqarchive {' '.join(arguments)}: exit code {code}")


def create(root: str) -> list[Step]:
    """An empty archive."""
    return [Step("create", 1, lambda: _run("--root", root, "init"))]


def load(root: str, fasta: str) -> list[Step]:
    """A file into an archive that is there; ``-`` is standard input."""
    return [
        Step("load", 1, lambda: _run("--root", root, "-q", "load", "-n", NAMESPACE, fasta)),
    ]


def fetch(root: str, reads: str) -> list[Step]:
    """Random reads by alias, and the same ones again."""
    archive = connect(root)
    wanted = [
        (f"{NAMESPACE}:{alias}", start, end)
        for alias, _, start, end in json.loads(Path(reads).read_text())
    ]

    def one_by_one() -> object:
        fetch = archive.fetch
        return [fetch(*read) for read in wanted]

    return [
        Step("first", len(wanted), one_by_one),
        Step("again", len(wanted), one_by_one),
        Step("together", len(wanted), lambda: archive.fetch_many(wanted)),
    ]


def open_archive(root: str, reads: str) -> list[Step]:
    """Open, then fetch by alias."""
    opened = []
    ((alias, _, start, end),) = json.loads(Path(reads).read_text())
    return [
        Step("open", 1, lambda: opened.append(connect(root))),
        Step("fetch", 1, lambda: [opened[0].fetch(f"{NAMESPACE}:{alias}", start, end)]),
    ]


def translate(root: str, identifiers: str) -> list[Step]:
    """Identifiers to ``ga4gh`` and to all names, one by one and in batches; none twice."""
    archive = connect(root)
    names: list[str] = json.loads(Path(identifiers).read_text())
    quarter = len(names) // 4
    parts = [names[i * quarter : (i + 1) * quarter] for i in range(4)]

    def batches(some: list[str], to: str | None) -> None:
        for at in range(0, len(some), _BATCH):
            archive.translate_many(some[at : at + _BATCH], to)

    return [
        Step("batch", quarter, lambda: batches(parts[0], "ga4gh")),
        Step("batch all", quarter, lambda: batches(parts[1], None)),
        Step("one", quarter, lambda: [archive.translate(name, "ga4gh") for name in parts[2]]),
        Step("one all", quarter, lambda: [archive.translate(name) for name in parts[3]]),
    ]


def touch_shards(root: str, reads: str) -> list[Step]:
    """The first read in each shard, which opens it, and then many others in them."""
    archive = connect(root)
    shards: list[list[tuple[str, int, int]]] = json.loads(Path(reads).read_text())
    archive.find(shards[0][0][0])
    others = [read for shard in shards for read in shard[1:]]
    return [
        Step("open", len(shards), lambda: [archive.fetch(*shard[0]) for shard in shards]),
        Step("read", len(others), lambda: [archive.fetch(*read) for read in others]),
    ]
