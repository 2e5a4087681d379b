"""Processes that tests of remote genomes start: ``python tests/genome_children.py TASK ...``."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from seqarchive.genomes.fetching import fetch_all
from seqarchive.genomes.local import LocalMode
from seqarchive.genomes.remote import RemoteGenomes
from seqarchive.genomes.sources import make_source
from seqarchive.instances import Instance
from seqarchive.new_aliases import OnConflict

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))

from track_children import put

#: What changes files, as Python tells those who listen.
_CHANGING = frozenset(
    {"os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod"}
)


def fetch(directory: str, name: str, digest: str, start: str, end: str, moment: str) -> None:
    """Fetch a range at a moment that is the same for all; says the residues."""
    genome = RemoteGenomes(directory).find(name)
    genome.source()
    while time.time() < float(moment):
        time.sleep(0.001)
    print(genome.fetch_digest(digest, int(start), int(end)))


def add(root: str, store: str, collection: str) -> None:
    """Add a genome under a name that another one has."""
    genomes = RemoteGenomes(Path(root) / "genomes")
    source = make_source(store)
    genomes.add(source, collection, ["a", "new"], on_conflict=OnConflict.REPLACE, description="new")


def take(root: str, _store: str, _collection: str) -> None:
    """Fetch all of a genome into the archive, if it is not there yet."""
    genome = RemoteGenomes(Path(root) / "genomes").find("a")
    fetch_all(genome, Instance(Path(root)))


def init(root: str, fasta: str) -> None:
    """Have a file as a genome of two names."""
    LocalMode(root).init(fasta, ["hg38", "GRCh38"], description="Human", species="Homo sapiens")


def _killed_at(number: int, counts: list[int]) -> None:
    """Be killed before the change of a number; ``counts`` has how many there were."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        is_writing = (
            event == "open"
            and isinstance(arguments[2], int)
            and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        )
        if event in _CHANGING or is_writing:
            counts[0] += 1
            if counts[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def kill(task: str, template: str, directory: str, every: str, *arguments: str) -> None:
    """Do a task in copies of a root, each killed before another of its changes.

    Says how many changes there are, at least.
    """
    work: Callable[..., None] = TASKS[task]
    number, step = 1, int(every)
    while True:
        root = Path(directory) / str(number)
        shutil.copytree(template, root, symlinks=True)
        pid = os.fork()
        if pid == 0:
            counts = [0]
            _killed_at(number, counts)
            work(str(root), *arguments)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if not os.WIFSIGNALED(status):
            assert os.waitstatus_to_exitcode(status) == 0, number
            print(json.dumps(number))
            return
        number += step


TASKS: dict[str, Callable[..., None]] = {
    "fetch": fetch, "add": add, "take": take, "init": init, "put": put, "kill": kill
}  # fmt: skip

if __name__ == "__main__":
    TASKS[sys.argv[1]](*sys.argv[2:])
