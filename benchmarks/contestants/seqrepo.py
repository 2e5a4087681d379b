"""biocommons.seqrepo: loads as its command line does, reads as its Python interface does."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from unittest.mock import patch

from biocommons.seqrepo import SeqRepo
from biocommons.seqrepo import cli as seqrepo_cli

from . import NAMESPACE, Step


def _run(root: str, *arguments: str) -> None:
    argv = ["seqrepo", "--root-directory", root, "--rsync-exe", shutil.which("rsync") or "rsync"]
    with patch.object(sys, "argv", [*argv, *arguments]):
        seqrepo_cli.main()


def create(root: str) -> list[Step]:
    """An empty instance."""
    return [Step("create", 1, lambda: _run(root, "init"))]


def load(root: str, fasta: str) -> list[Step]:
    """A file into an instance that is there."""
    return [Step("load", 1, lambda: _run(root, "load", "-n", NAMESPACE, fasta))]


def fetch(root: str, reads: str) -> list[Step]:
    """Random reads by alias, and the same ones again, as it comes."""
    return _fetch(SeqRepo(f"{root}/master"), reads)


def fetch_tuned(root: str, reads: str) -> list[Step]:
    """The same with its cache of open files, which is off by default."""
    return _fetch(SeqRepo(f"{root}/master", fd_cache_size=10), reads)


def _fetch(repository: SeqRepo, reads: str) -> list[Step]:
    wanted = json.loads(Path(reads).read_text())

    def one_by_one() -> object:
        fetch = repository.fetch
        return [fetch(alias, start, end, NAMESPACE) for alias, _, start, end in wanted]

    return [Step("first", len(wanted), one_by_one), Step("again", len(wanted), one_by_one)]


def translate(root: str, identifiers: str) -> list[Step]:
    """Identifiers to ``ga4gh`` and to all names, one by one; none twice."""
    repository = SeqRepo(f"{root}/master")
    names: list[str] = json.loads(Path(identifiers).read_text())
    half = len(names) // 2
    to_ga4gh, to_all = names[:half], names[half : 2 * half]
    translate = repository.translate_identifier
    return [
        Step("one", half, lambda: [translate(name, ["ga4gh"]) for name in to_ga4gh]),
        Step("one all", half, lambda: [translate(name) for name in to_all]),
    ]
