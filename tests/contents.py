"""What an archive holds, for comparison, and whether its directory holds anything besides."""

from __future__ import annotations

import contextlib
import io
import random
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from seqarchive import Archive, ArchivedSequence, Corrupt, NotFound, commands
from seqarchive.instances import Instance
from seqarchive.verifying import VerifyReport, verify


@dataclass(frozen=True, slots=True)
class Contents:
    """Sequences, collections, and their names; equal for equal archives, whatever their batches
    were."""

    aliases: dict[str, str]
    """``namespace:alias`` and its digest."""
    residues: dict[str, str]
    """Digest and its residues."""
    history: frozenset[tuple[str, str]]
    """Aliases with digests that they used to mean."""
    collections: frozenset[tuple[str, str]] = frozenset()
    """Each of its names, and an empty one, and the digest of a collection."""


#: Residues that cannot be read.
DAMAGED = "?"

NOTHING = Contents({}, {}, frozenset())


def contents(root: Path) -> Contents:
    """Everything in an archive; nothing if there is none."""
    try:
        archive = Archive(root)
    except NotFound:
        return NOTHING
    with archive:
        aliases = {str(alias): str(digest) for alias, digest in archive.all_aliases()}
        residues = {str(found.digest): _residues(found) for found in archive.sequences()}
        collections = {("", str(found.digest)) for found in archive.collections()}
        named = archive.all_collection_aliases()
        collections |= {(str(alias), str(digest)) for alias, digest in named}
    with closing(sqlite3.connect(database(root))) as connection:
        ended = connection.execute(
            "SELECT n.name || ':' || e.alias, s.digest FROM ended_aliases e"
            " JOIN namespaces n ON n.id = e.namespace_id"
            " JOIN sequences s ON s.id = e.sequence_id"
        ).fetchall()
    history = frozenset((alias, digest.hex()) for alias, digest in ended)
    return Contents(aliases, residues, history, frozenset(collections))


def _residues(sequence: ArchivedSequence) -> str:
    try:
        return str(sequence)
    except Corrupt:
        return DAMAGED


def same_but_for_damage(one: Contents, other: Contents) -> bool:
    """Whether two archives hold the same, of which some residues cannot be read."""
    return (
        (one.aliases, one.history, one.collections)
        == (other.aliases, other.history, other.collections)
        and one.residues.keys() == other.residues.keys()
        and all(
            DAMAGED in (residues, other.residues[digest]) or residues == other.residues[digest]
            for digest, residues in one.residues.items()
        )
    )


def joined(one: Contents, other: Contents) -> Contents:
    """The contents of an archive into which both were loaded."""
    return Contents(
        one.aliases | other.aliases,
        one.residues | other.residues,
        one.history | other.history,
        one.collections | other.collections,
    )


def database(root: Path) -> Path:
    """The database of the writable instance."""
    return root / "master" / "aliases.sqlite3"


def untidy(root: Path) -> list[str]:
    """What is in the directory of an archive although its database does not speak of it."""
    master = root / "master"
    journal = master / "sequences"
    with closing(sqlite3.connect(database(root))) as connection:
        paths = [path for (path,) in connection.execute("SELECT path FROM shards")]
    wanted = {journal / (path + suffix) for path in paths for suffix in ("", ".fai", ".gzi")}
    wanted |= {database(root), master / "writer.lock"}
    problems = [f"{path} is missing" for path in wanted if not path.exists()]
    # SQLite's own; a reader may have left them, and the next connection takes them over.
    wanted |= {master / f"aliases.sqlite3-{suffix}" for suffix in ("wal", "shm")}
    for path in sorted(master.rglob("*")):
        if path.is_dir():
            if journal in path.parents and not any(path.iterdir()):
                problems.append(f"{path} is empty")
        elif path not in wanted and master / "aside" not in path.parents:
            problems.append(f"{path} is left over")
    if (master / "writer.lock").read_bytes().strip():
        problems.append("the lock file still has an intent in it")
    return problems


def verified(root: Path) -> VerifyReport:
    """The report of ``verify --full``."""
    return verify(Instance(root), full=True)


def run(root: Path, *arguments: str) -> tuple[int, str]:
    """The command line as a function: exit code and standard error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = commands.run(["--root", str(root), *arguments])
    return code, err.getvalue()


def copy(root: Path, destination: Path) -> Path:
    """A copy of a whole archive, or of nothing."""
    if root.exists():
        shutil.copytree(root, destination, symlinks=True)
    return destination


def random_residues(seed: int | str, length: int, letters: str = "ACGT") -> str:
    """Residues that nothing compresses, the same for the same seed."""
    table = bytes(ord(letters[n % len(letters)]) for n in range(256))
    return random.Random(seed).randbytes(length).translate(table).decode()


def as_first_format(root: Path) -> None:
    """Have the database be one of format 1, of which the next batch makes the newest."""
    with closing(sqlite3.connect(database(root), isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.execute("CREATE UNIQUE INDEX sequences_digest ON sequences (digest)")
        connection.execute("CREATE INDEX sequences_md5 ON sequences (md5)")
        connection.execute("CREATE INDEX sequences_sha1 ON sequences (sha1)")
        for table in ("by_digest", "by_md5", "by_sha1"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("DELETE FROM meta WHERE key = 'tally'")
        connection.execute("DELETE FROM _sqlite_migrations WHERE name = 'second_schema'")
        connection.execute("PRAGMA user_version = 1")
        connection.execute("COMMIT")


def forget_batch(root: Path, batch: int) -> None:
    """Remove every row of a batch, as a database restored from an older copy would be."""
    with closing(sqlite3.connect(database(root), isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.execute(
            "DELETE FROM records WHERE source_id IN (SELECT id FROM sources WHERE batch_id = ?)",
            (batch,),
        )
        for table in ("by_digest", "by_md5", "by_sha1"):
            connection.execute(
                f"DELETE FROM {table} WHERE id IN (SELECT id FROM sequences WHERE batch_id = ?)",
                (batch,),
            )
        for table in ("aliases", "sequences", "shards", "sources", "circular"):
            connection.execute(f"DELETE FROM {table} WHERE batch_id = ?", (batch,))
        connection.execute("DELETE FROM collections WHERE batch_id = ?", (batch,))
        connection.execute("DELETE FROM batches WHERE id = ?", (batch,))
        connection.execute("COMMIT")
