"""Who takes part, and what is needed for it.

A contestant is a module here with a function for each operation: it gets paths, prepares, and
returns steps that are then timed. The modules are imported by ``worker.py`` alone, one in a
process; whoever is not installed is left out with a word about it.
"""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Callable
from dataclasses import dataclass

#: Of all names that are loaded.
NAMESPACE = "bench"


@dataclass(frozen=True)
class Step:
    """Something to be timed."""

    name: str
    count: int
    """How many operations of the same kind it is."""
    call: Callable[[], object]


@dataclass(frozen=True)
class Contestant:
    """One who takes part.

    Args:
        name: Also of the module.
        title: For people.
        distribution: What has to be installed from PyPI, and is asked for its version.
        programs: What has to be on the PATH, and the Debian package that has it.
        is_slow: Gets fewer rounds.
        get: Python that prints residues, for those who have no command for it; its arguments
            are the archive, an alias, a digest, start and end.
    """

    name: str
    title: str
    distribution: str | None = None
    programs: tuple[tuple[str, str], ...] = ()
    is_slow: bool = False
    get: str = ""

    @property
    def version(self) -> str:
        """Its version; nothing if it has none or is not installed."""
        if self.distribution is None:
            return ""
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return ""

    def missing(self) -> str | None:
        """Why it cannot take part; None if it can."""
        if self.distribution is not None and not self.version:
            return f"{self.distribution} is not installed: pip install '.[bench]'"
        for program, package in self.programs:
            if shutil.which(program) is None:
                return f"there is no program {program}: apt-get install {package}"
        return None


OURS = Contestant("seqarchive", "seqarchive", "seqarchive")

SEQREPO = Contestant(
    "seqrepo",
    "SeqRepo",
    "biocommons.seqrepo",
    (("bgzip", "tabix"), ("rsync", "rsync")),
    is_slow=True,
    get="""\
import sys
from biocommons.seqrepo import SeqRepo
root, alias, digest, start, end = sys.argv[1:]
print(SeqRepo(root + "/master").fetch(alias, int(start), int(end), namespace="bench"))
""",
)

GTARS = Contestant(
    "gtars",
    "gtars",
    "gtars",
    get="""\
import sys
from gtars.refget import RefgetStore
root, alias, digest, start, end = sys.argv[1:]
print(RefgetStore.open_local(root).get_substring(digest, int(start), int(end)))
""",
)

#: No archive at all: what nobody who computes these digests can be faster than.
HASHING = Contestant("hashing", "hashing alone")

PEERS = (SEQREPO, GTARS)
