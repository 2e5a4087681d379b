"""Jobs: what all tasks of one load have in common, and what is asked and answered for one file.

What goes over the network is numbers, text and bytes in dictionaries; the rules of a load, which
may hold a table of a million names, lie in a file beside its parts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..bgzf import Compression
from ..deflines import Naming
from ..errors import SourceError
from ..groups import GroupTask
from ..identifiers import Alias
from .parts import PartWriter, Seal, frames

#: What workers say while they read; see ``Cluster``.
TOPIC = "seqarchive-load"

_NO_SEAL = Seal(0, 0)
_PART = re.compile(r"\d+\.[0-9a-f]{16}\Z")


@dataclass(frozen=True, slots=True)
class Job:
    """The rules of a load."""

    task: GroupTask
    skip_errors: bool

    def write(self, path: Path) -> Seal:
        """Write it down for the workers."""
        task, naming = self.task, self.task.naming
        pattern = naming.pattern
        file = PartWriter(path)
        file.write(
            "job",
            self.skip_errors,
            task.compression.value,
            task.with_sha256,
            task.with_mask,
            sorted(task.circular),
            naming.namespace,
            None if pattern is None else (pattern.pattern, pattern.flags),
            [(name, [tuple(alias) for alias in to]) for name, to in naming.table.items()],
        )
        return file.close()

    @classmethod
    def read(cls, path: Path, seal: Seal) -> Job:
        """What ``write`` wrote.

        Raises:
            SourceError: It is not there, or something else.
        """
        ((_, skip_errors, compression, *with_, circular, namespace, pattern, table),) = frames(
            path, seal
        )
        naming = Naming(
            namespace,
            None if pattern is None else re.compile(*pattern),
            {name: tuple(Alias(*alias) for alias in to) for name, to in table},
        )
        task = GroupTask(naming, frozenset(circular), Compression(compression), *with_)
        return cls(task, skip_errors)


@dataclass(frozen=True, slots=True)
class Request:
    """What a worker is asked to do with one file."""

    version: str
    directory: str
    """Of the load, for its parts."""
    job: Seal
    number: int
    """Of the file."""
    name: str
    """What the user calls it."""
    path: str
    size: int
    known: tuple[bytes, ...]
    """SHA-256 of files of this size of which nothing more needs to be known."""

    def plain(self) -> dict[str, Any]:
        """For the network."""
        return {**{name: getattr(self, name) for name in self.__slots__}, "job": tuple(self.job)}

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Request:
        """From the network."""
        return cls(**{**plain, "job": Seal(*plain["job"])})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it."""

    worker: str
    problem: str | None = None
    """Why this worker could not do it; the file has nothing to do with it."""
    part: str | None = None
    """Name of the part in the directory; None if the file is known."""
    seal: Seal = _NO_SEAL
    source: tuple[int, bytes] | None = None
    """Bytes and SHA-256 of the file, if it was read to its end."""

    def plain(self) -> dict[str, Any]:
        """For the network."""
        return {**{name: getattr(self, name) for name in self.__slots__}, "seal": tuple(self.seal)}

    @classmethod
    def of(cls, plain: object) -> Answer:
        """From the network.

        Raises:
            SourceError: It is no answer.
        """
        if not isinstance(plain, dict):
            raise SourceError(f"a worker gave no answer but {str(plain)[:100]!r}")
        try:
            found = cls(**{**plain, "seal": Seal(*map(int, plain["seal"]))})
            is_right = (
                isinstance(found.worker, str)
                and (found.part is None or _PART.match(found.part) is not None)
                and (found.source is None or len(found.source[1]) == 32)
                and (found.part or found.source or found.problem) is not None
            )
        except (TypeError, ValueError, KeyError):
            is_right = False
        if not is_right:
            raise SourceError(f"a worker gave no answer but {str(plain)[:100]!r}")
        return found
