"""The journal: timestamped directories of immutable shards, in the order they were added.

``YYYY/MMDD/HHMMSS/SECONDS.MICROSECONDS.fa.bgz`` (UTC), each with its ``.fai`` and ``.gzi``.
One batch publishes into one directory. Only the database says which shards count.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

from . import durable
from .instances import Instance

SHARD_SUFFIX = ".fa.bgz"
INDEX_SUFFIXES = (".fai", ".gzi")

_DIRECTORY = re.compile(r"\d{4}/\d{4}/\d{6}\Z")


class Journal:
    """The shards of an instance, by their paths relative to the journal's directory."""

    def __init__(self, instance: Instance) -> None:
        self._root = instance.journal
        self._temporary = instance.temporary

    def new_directory(self) -> str:
        """The directory that a batch beginning now will publish into; not yet created."""
        return time.strftime("%Y/%m%d/%H%M%S", time.gmtime())

    def temporary(self, name: str) -> Path:
        """A path for an unfinished file."""
        self._temporary.mkdir(exist_ok=True)
        return self._temporary / name

    def discard(self, temporary: Path) -> None:
        """Remove an unfinished shard and what is beside it."""
        for suffix in ("", *INDEX_SUFFIXES):
            durable.remove(temporary.with_name(temporary.name + suffix))

    def publish(self, temporary: Path, directory: str) -> str:
        """Give a finished shard and its indexes their final names. Returns the shard's path.

        The names are durable after ``sync``. Nothing that is in the journal is replaced.
        """
        parent = self._root / directory
        durable.make_directory(parent)
        now = time.time()
        while True:
            path = parent / f"{now:.6f}{SHARD_SUFFIX}"
            if not path.exists():
                break
            now += 1e-6
        for suffix in (*INDEX_SUFFIXES, ""):
            durable.publish(
                temporary.with_name(temporary.name + suffix), path.with_name(path.name + suffix)
            )
        return f"{directory}/{path.name}"

    def sync(self, directory: str) -> None:
        """Make the names published into a directory survive a power cut."""
        durable.fsync(self._root / directory)

    def remove(self, path: str) -> None:
        """Remove a shard with its indexes, for good; readers who have it open keep it."""
        for suffix in (*INDEX_SUFFIXES, ""):
            durable.remove(self._root / (path + suffix))
        durable.fsync(durable.remove_empty_directories((self._root / path).parent, self._root))

    def shards(self) -> Iterator[str]:
        """Paths of all shards there are, if only an index of them, in journal order."""
        seen = set()
        for path in self.files():
            if _is_shard_file(Path(path).name):
                for suffix in INDEX_SUFFIXES:
                    path = path.removesuffix(suffix)  # noqa: PLW2901
                if path not in seen:
                    seen.add(path)
                    yield path

    def files(self) -> Iterator[str]:
        """Paths of all files there are, shards or not, in journal order."""
        for path in sorted(self._root.rglob("*")):
            if not path.is_dir() or path.is_symlink():
                yield path.relative_to(self._root).as_posix()

    def remove_empty_directories(self) -> None:
        """Remove the directories that hold no file, which a killed `repair` may have left."""
        for path in sorted(self._root.rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                durable.remove_empty_directories(path, path.parent)

    def leftovers(self) -> list[Path]:
        """Unfinished files of writers that were interrupted (or of one that is at work)."""
        return sorted(self._temporary.iterdir()) if self._temporary.is_dir() else []

    def clean(self, interrupted: str | None, known: set[str]) -> list[str]:
        """Remove what an interrupted batch left; only its holder of the writer's lock may.

        Args:
            interrupted: The directory that the batch had declared for itself, if any. Shards
                elsewhere are never touched, whoever put them there.
            known: Paths that the database names; they stay.

        Returns:
            What was removed, relative to the instance.
        """
        removed = []
        for path in self.leftovers():
            if path.is_dir() and not path.is_symlink():  # of workers, who may not know it yet
                durable.remove_shared_directory(path)
            else:
                durable.remove(path)
            removed.append(f"{self._temporary.name}/{path.name}")
        if interrupted is None or _DIRECTORY.match(interrupted) is None:
            return removed
        parent = self._root / interrupted
        while not parent.is_dir() and parent != self._root:
            parent = parent.parent
        if parent != self._root / interrupted:
            durable.fsync(durable.remove_empty_directories(parent, self._root))
            return removed
        keep = {name + suffix for name in known for suffix in ("", *INDEX_SUFFIXES)}
        for path in sorted(parent.iterdir()):
            relative = f"{interrupted}/{path.name}"
            if relative not in keep and _is_shard_file(path.name):
                durable.remove(path)
                removed.append(f"{self._root.name}/{relative}")
        # Before the note is gone that names the directory: afterwards nobody looks there.
        durable.fsync(parent)
        durable.fsync(durable.remove_empty_directories(parent, self._root))
        return removed


def is_inside(path: object) -> bool:
    """Whether what the database says of a shard is a path in the journal, and nowhere else."""
    return (
        isinstance(path, str)
        and path.endswith(SHARD_SUFFIX)
        and path.isprintable()
        and not path.startswith("/")
        and not {"", ".", ".."}.intersection(path.split("/"))
    )


def _is_shard_file(name: str) -> bool:
    for suffix in INDEX_SUFFIXES:
        name = name.removesuffix(suffix)
    return name.endswith(SHARD_SUFFIX)
