"""Instances: directories that can be opened. ``master`` is written; others are snapshots."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .errors import BadName, Corrupt, NotFound, ReadOnly

MASTER = "master"

#: A link to the newest snapshot.
LATEST = "latest"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+\-]{0,99}\Z")


@dataclass(frozen=True, slots=True)
class Instance:
    """Where the parts of an instance are."""

    root: Path
    name: str = MASTER
    place: Path | None = None
    """Where it is while it is being made; later it has its name in ``root``."""

    def __post_init__(self) -> None:
        if _NAME.match(self.name) is None:
            raise BadName(
                f"{self.name!r} cannot name an instance: use letters, digits, '.', '_', '+' or '-'"
            )

    @property
    def directory(self) -> Path:
        """The directory of the instance."""
        return self.place or self.root / self.name

    @classmethod
    def at(cls, root: Path, name: str) -> Instance:
        """The instance of a name; for ``latest`` the snapshot that it links to just now.

        A reader stays with that snapshot when the link moves on.
        """
        link = root / LATEST
        if name == LATEST and link.is_symlink():
            target = str(link.readlink())
            if _NAME.match(target) is None:
                raise NotFound(f"{link} leads to {target!r}, which is no snapshot of this root")
            name = target
        return cls(root, name)

    @classmethod
    def found(cls, path: Path, name: str | None = None) -> Instance:
        """What is to be read at a path, which is that of a root or of an instance.

        Args:
            name: Of the instance, if it is a root; if None, ``master`` or, where there is none, as
                in a root into which snapshots were pulled, ``latest``.
        """
        path = path.absolute()
        if name is None and not (path / MASTER).exists():
            if (path / "aliases.sqlite3").is_file():
                return cls(path.parent, path.name)
            if (path / LATEST).is_symlink():
                name = LATEST
        return cls.at(path, name or MASTER)

    @property
    def database(self) -> Path:
        """The alias database."""
        return self.directory / "aliases.sqlite3"

    @property
    def journal(self) -> Path:
        """The tree of timestamped directories that holds the shards."""
        return self.directory / "sequences"

    @property
    def tracks(self) -> Path:
        """The files of tracks."""
        return self.directory / "tracks"

    @property
    def temporary(self) -> Path:
        """Unfinished files. Whatever a killed writer left here goes with the next write."""
        return self.directory / "tmp"

    @property
    def lock(self) -> Path:
        """The file that the writer locks."""
        return self.directory / "writer.lock"

    @property
    def manifest(self) -> Path:
        """What a snapshot consists of; nothing else has one."""
        return self.directory / "manifest.json"

    @property
    def signature(self) -> Path:
        """The signature of the manifest, if somebody has signed it."""
        return self.directory / "manifest.json.sig"

    @property
    def chunks(self) -> Path:
        """Digests for those who read a snapshot in place."""
        return self.directory / "chunks.sha256"

    @property
    def is_snapshot(self) -> bool:
        """Whether this is a finished snapshot, in which no byte ever changes."""
        return self.manifest.is_file() and not self.manifest.is_symlink()

    def require(self) -> None:
        """Raise NotFound, saying what to do, unless there is something to open; Corrupt if only
        its database is missing; ReadOnly if the root is an instance itself."""
        if self.database.is_file():
            return
        self.require_no_shards()
        self._require_outside()
        if self.name != MASTER:
            raise NotFound(
                f"there is no instance {self.name!r} in {self.root}; "
                "`seqarchive snapshots` says what there is"
            )
        raise NotFound(
            f"there is no archive in {self.root}; make one with `seqarchive --root {self.root} "
            "init`, or just load into it"
        )

    def require_no_shards(self) -> None:
        """Raise Corrupt if there are shards, of an instance that has no database (any more): a new
        one would know none of their names; also if something else is in its place."""
        if self.database.exists():
            raise damaged_database(self.database, "is no file")
        if next(self.journal.rglob("*.fa.bgz"), None) is not None:
            raise damaged_database(self.database, "is missing, though there are shards")

    def require_writable(self) -> None:
        """Raise ReadOnly for a snapshot, whatever its permissions say; and for what would be an
        instance inside of an instance."""
        if self.name != MASTER:
            raise ReadOnly(
                f"{self.name!r} is a snapshot and never changes; only {MASTER!r} can be written"
            )
        if self.is_snapshot:
            raise ReadOnly(
                f"{self.directory} holds a snapshot, which never changes (see its manifest.json)"
            )
        self._require_outside()

    def _require_outside(self) -> None:
        root = self.root.absolute()
        if not self.directory.exists() and (root / self.database.name).is_file():
            is_snapshot = (root / self.manifest.name).is_file()
            what = "a snapshot, which never changes" if is_snapshot else "an instance"
            raise ReadOnly(f"{root} is {what}; the root of its archive is {root.parent}")


def damaged_database(path: Path, what: str) -> Corrupt:
    """The error of a database of an instance that cannot be used: what it is, and what to do."""
    if path.parent.name == MASTER:
        advice = (
            "put a copy of it back (of a backup, or of the newest snapshot), then run "
            "`seqarchive repair`"
        )
    else:
        advice = f"{repair_from_copy(path.parent)} takes it from a copy"
    return Corrupt(f"{path} {what}; {advice}")


def repair_from_copy(snapshot: Path) -> str:
    """The command that mends a snapshot in this directory."""
    return f"`seqarchive --root {snapshot.parent} --instance {snapshot.name} repair --from COPY`"
