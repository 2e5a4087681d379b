"""Files of tracks: immutable, named by what they say, in a directory of their own.

``AB/DIGEST.bed.gz`` with its ``.tbi`` or ``.csi``, ``AB/DIGEST.bw`` and ``AB/DIGEST.tsv``, where
``AB`` are the first two characters of the digest. Only the database says which of them count.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from . import durable
from .batches import Batch
from .instances import Instance
from .logs import Log

#: What ids of clients mean, and what was computed in some way.
MEANINGS = Log("client_meanings", ("uuid",), "target")
DERIVATIONS = Log("derivations", ("provenance",), "uuid")

_PATH = re.compile(r"([A-Za-z0-9_-]{2})/\1[A-Za-z0-9_-]{30}\.(bed\.gz|bed\.gz\.(tbi|csi)|bw|tsv)\Z")


def is_track_path(path: object) -> bool:
    """Whether what a database says is the path of a file of a track, or of its index."""
    return isinstance(path, str) and _PATH.match(path) is not None


class TrackRow(NamedTuple):
    """A row of the table of tracks."""

    id: int
    digest: bytes
    genome: bytes
    """Digest of the collection."""
    kind: str
    n_entries: int
    path: str
    """Relative to the directory of tracks."""
    size_bytes: int
    sha256: bytes
    index_path: str | None
    index_bytes: int | None
    index_sha256: bytes | None
    batch_id: int

    @property
    def files(self) -> list[tuple[str, int, bytes]]:
        """Path, size and SHA-256 of the file, and of its index if it has one."""
        found = [(self.path, self.size_bytes, self.sha256)]
        if self.index_path is not None:
            found.append((self.index_path, self.index_bytes or 0, self.index_sha256 or b""))
        return found

    @property
    def n_bytes(self) -> int:
        """Of the file and its index."""
        return self.size_bytes + (self.index_bytes or 0)


def track_rows(connection: sqlite3.Connection) -> Iterator[TrackRow]:
    """The tracks that there are files of, in the order in which they came."""
    return map(TrackRow._make, connection.execute("SELECT * FROM tracks ORDER BY id").fetchall())


def track_paths(connection: sqlite3.Connection) -> set[str]:
    """The files of all tracks, and their indexes."""
    return {path for row in track_rows(connection) for path, _, _ in row.files}


def unused_rows(connection: sqlite3.Connection) -> list[TrackRow]:
    """Tracks that no id means any more."""
    used = {target for (target,) in connection.execute(f"SELECT target FROM ({MEANINGS.holding})")}
    return [row for row in track_rows(connection) if row.digest not in used]


def forget_row(batch: Batch, row: TrackRow) -> None:
    """Know nothing of the files of a track any more, which may be there or not."""
    batch.connection.execute("DELETE FROM tracks WHERE digest = ?", (row.digest,))


def drop_row(batch: Batch, row: TrackRow) -> None:
    """Have the files of a track go after the commit."""
    forget_row(batch, row)
    batch.connection.executemany(
        "INSERT INTO dropped_tracks (path, batch_id, is_removed) VALUES (?, ?, 0)",
        [(path, batch.id) for path, _, _ in row.files],
    )


class TrackFiles:
    """The files of the tracks of an instance, by their paths relative to the directory."""

    def __init__(self, instance: Instance) -> None:
        self._root = instance.tracks
        self.has_published = False
        """Whether files were put there that no row may name yet."""

    def publish(self, finished: Sequence[Path], stem: str) -> list[str]:
        """Give finished files their names, durable on return; what is there already stays.

        Args:
            stem: The digest; the names begin with it.

        Returns:
            The paths, in the same order.
        """
        directory = self._root / stem[:2]
        durable.make_directory(directory)
        self.has_published = True
        paths = []
        for file in finished:
            name = stem + file.name[file.name.index(".") :]
            final = directory / name
            if final.exists():  # of a row that was dropped, or of a writer that died
                durable.remove(final)
            durable.publish(file, final)
            paths.append(f"{stem[:2]}/{name}")
        durable.fsync(directory)
        return paths

    def remove(self, path: str) -> None:
        """Remove a file, for good; who has it open keeps it."""
        durable.remove(self._root / path)
        durable.fsync(durable.remove_empty_directories((self._root / path).parent, self._root))

    def files(self) -> Iterator[str]:
        """Paths of all files that there are."""
        for path in sorted(self._root.rglob("*")):
            if not path.is_dir() or path.is_symlink():
                yield path.relative_to(self._root).as_posix()

    def clean(self, known: Iterable[str]) -> list[str]:
        """Remove files that could be of tracks and that no row names; only the holder of the
        writer's lock may.

        Returns:
            What was removed, relative to the instance.
        """
        keep = set(known)
        removed = [path for path in self.files() if path not in keep and is_track_path(path)]
        for path in removed:
            self.remove(path)
        return [f"{self._root.name}/{path}" for path in removed]
