"""Export: an archive as a RefgetStore that gtars opens, lossless.

Payloads come first, then the lists of collections, then the indexes, the manifest last; each file
by one rename. What is there already is not written again, and an export that was interrupted is
completed by the next.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import groupby, islice
from pathlib import Path
from typing import IO, Any

from .. import durable
from ..database import Database
from ..errors import BadInput, Conflict, SeqArchiveError
from ..identifiers import digest_bytes, digest_text
from ..instances import Instance
from ..reader import ArchiveReader
from ..records import first_word
from ..seqcol.archived import (
    ArchivedCollection,
    collection_aliases,
    collection_of,
    collections_of,
)
from .alphabets import ALIGNED, Alphabet, alphabet_of, pack
from .layout import (
    COLLECTION_ROW,
    COLLECTIONS,
    MANIFEST,
    ROW,
    SEQUENCES,
    VERSION,
    Mode,
    StoreManifest,
    aliases_path,
    collection_head,
    collection_line,
    collection_path,
    fhr_path,
    fhr_text,
    payload_path,
)

Progress = Callable[[int], None]

#: Residues that are packed at one time.
_PIECE = (1 << 20) // ALIGNED * ALIGNED

#: Sequences that one thread writes at one time, and how many such portions wait.
_SOME, _WAITING = 200, 6

_THREADS = 2


@dataclass(slots=True)
class StoreReport:
    """What a store has; nothing that it cannot have is missing here."""

    directory: str
    mode: str
    collections: int = 0
    sequences: int = 0
    payloads_written: int = 0
    payloads_there: int = 0
    payload_bytes: int = 0
    """Of all payloads of the store."""
    aliases: int = 0
    """Of sequences and of collections."""
    fhr: int = 0
    """Collections of which something is said."""
    as_ascii: int = 0
    """Sequences with letters that gtars could not unpack unchanged: stored in 8 bits each."""
    changed_descriptions: int = 0
    """Descriptions with a tab, which became a space."""
    left_out: list[str] = field(default_factory=list)
    """Names that the format cannot carry."""
    pruned: int = 0
    """Files that no index names any more."""
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def export_rgstore(
    instance: Instance,
    directory: Path,
    *,
    mode: Mode = Mode.ENCODED,
    collections: Sequence[str] = (),
    skip_names: bool = False,
    prune: bool = False,
    progress: Progress = lambda _n: None,
) -> StoreReport:
    """Write a RefgetStore, or bring one that was written before up to date.

    Args:
        collections: Digests; all collections, and all sequences, if there are none. Those that
            the store has already stay.
        skip_names: Leave out collections with names that the format cannot carry, and report
            them, instead of failing.
        prune: Drop what is in the store and is not asked for.
        progress: Called with numbers of residues that are done.

    Raises:
        NotFound: No such collection. BadInput: A name that cannot be; see ``skip_names``.
        Conflict: There is another store, or something else. Locked: Another export writes there.
        DigestMismatch, Corrupt: Residues of the archive are damaged.
    """
    started = time.monotonic()
    instance.require()
    earlier = _earlier(directory, mode)
    durable.make_directory(directory)
    _require_case(directory)
    with durable.WriterLock(directory.parent / f".{directory.name}.lock") as lock:
        lock.declare(None)
        temporary = directory.parent / f".{directory.name}.tmp"
        durable.remove_directory(temporary)
        temporary.mkdir()
        source = instance.database
        if not instance.is_snapshot:  # one state for all that follows
            source = temporary / "source.sqlite3"
            with closing(Database.of(instance)) as database:
                database.copy_into(source)
        report = StoreReport(str(directory), mode.value)
        with (
            closing(Database(source, frozen=True)) as database,
            ArchiveReader.of(instance) as archive,
        ):
            export = _Export(directory, temporary, archive, database, report=report, mode=mode)
            export.choose(collections, earlier, skip_names=skip_names, prune=prune)
            export.write_payloads(progress)
            export.write_indexes(earlier)
            if prune:
                export.prune()
        durable.remove_directory(temporary)
        lock.clear()
    report.seconds = round(time.monotonic() - started, 3)
    return report


@dataclass(frozen=True, slots=True)
class _Earlier:
    """What the store had."""

    created_at: str
    collections: frozenset[str]
    sequences: frozenset[str]


def _earlier(directory: Path, mode: Mode) -> _Earlier | None:
    """The store that is there, if it can be added to."""
    try:
        document = json.loads((directory / MANIFEST).read_bytes())
        version, found_mode = document["version"], document["mode"]
        created_at = str(document["created_at"])
    except FileNotFoundError:
        known = {"sequences", "collections", "aliases", "fhr"}
        if directory.is_dir() and {path.name for path in directory.iterdir()} - known:
            raise Conflict(f"{directory} is no RefgetStore; choose another place") from None
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise Conflict(f"{directory / MANIFEST} cannot be read; choose another place") from None
    if version != VERSION or found_mode != mode.value:
        raise Conflict(
            f"{directory} is a store of version {version} in the mode {found_mode!r}, not "
            f"{mode.value!r}; choose another place, or --mode"
        )
    return _Earlier(
        created_at,
        frozenset(_cells(directory / COLLECTIONS, 0)),
        frozenset(_cells(directory / SEQUENCES, 3)),
    )


def _cells(path: Path, column: int) -> Iterator[str]:
    """A column of an index, as far as there is one."""
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                cells = line.rstrip("\n").split("\t")
                if not line.startswith("#") and len(cells) > column:
                    yield cells[column]
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError):
        raise Conflict(f"{path} cannot be read; choose another place") from None


def _require_case(directory: Path) -> None:
    """Raise where two names that differ by case are one: digests are such names."""
    probe = directory / ".Case"
    probe.touch()
    try:
        if probe.with_name(".cASE").exists():
            raise SeqArchiveError(
                f"{directory} is on a file system that takes 'A' and 'a' for one; a RefgetStore "
                "cannot be there"
            )
    finally:
        durable.remove(probe)


class _Export:
    """One export under way."""

    def __init__(
        self,
        directory: Path,
        temporary: Path,
        archive: ArchiveReader,
        database: Database,
        *,
        report: StoreReport,
        mode: Mode,
    ) -> None:
        self._directory = directory
        self._temporary = temporary
        self._archive = archive
        self._database = database
        self._report = report
        self._mode = mode
        self._collections: list[ArchivedCollection] = []
        self._there: dict[str, dict[str, int]] = {}
        self._said: set[str] = set()  # files of aliases and of FHR

    # --- what ---------------------------------------------------------------------------------

    def choose(
        self,
        wanted: Sequence[str],
        earlier: _Earlier | None,
        *,
        skip_names: bool,
        prune: bool,
    ) -> None:
        """Decide which collections and sequences the store is to have."""
        every = {one.digest: one for one in collections_of(self._database)}
        chosen = dict(every)
        if wanted:
            chosen = {
                one.digest: one for one in (collection_of(self._database, text) for text in wanted)
            }
        if earlier is not None and not prune:
            foreign = earlier.collections - every.keys()
            if foreign:
                raise Conflict(
                    f"{self._directory} has {len(foreign):,} collections that the archive lacks "
                    f"({min(foreign)}); --prune drops them"
                )
            chosen |= {
                one.digest: one for one in every.values() if one.digest in earlier.collections
            }
        self._collections = [
            one for digest, one in sorted(chosen.items()) if self._can_be(one, skip_names)
        ]
        execute = self._database.connection.execute
        self._database.connection.create_function(
            "_digest_text", 1, digest_text, deterministic=True
        )
        execute("PRAGMA temp_store = FILE")
        execute("CREATE TEMP TABLE wanted (digest TEXT PRIMARY KEY, id INTEGER) WITHOUT ROWID")
        if not wanted:
            execute("INSERT INTO temp.wanted SELECT _digest_text(digest), id FROM sequences")
        else:
            for one in self._collections:
                execute(
                    "INSERT OR IGNORE INTO temp.wanted SELECT _digest_text(s.digest), s.id"
                    " FROM records r JOIN sequences s ON s.id = r.sequence_id"
                    " WHERE r.source_id = (SELECT source_id FROM collections WHERE digest = ?)",
                    (digest_bytes(one.digest),),
                )
        if earlier is not None and not prune:
            self._keep_sequences(earlier)
        execute("CREATE INDEX temp.wanted_id ON wanted (id)")
        (self._report.sequences,) = execute("SELECT count(*) FROM temp.wanted").fetchone()
        self._report.collections = len(self._collections)

    def _keep_sequences(self, earlier: _Earlier) -> None:
        execute = self._database.connection.execute
        for digest in earlier.sequences:
            if execute("SELECT 1 FROM temp.wanted WHERE digest = ?", (digest,)).fetchone():
                continue
            try:
                raw = digest_bytes(digest)
            except ValueError:
                raw = b""
            n_kept = execute(
                "INSERT OR REPLACE INTO temp.wanted SELECT _digest_text(digest), id FROM sequences"
                " WHERE digest = ?",
                (raw,),
            ).rowcount
            if not n_kept:
                raise Conflict(
                    f"{self._directory} has sequences that the archive lacks ({digest}); --prune "
                    "drops them"
                )

    def _can_be(self, collection: ArchivedCollection, skip: bool) -> bool:
        """Whether a store can have the names of a collection."""
        wrong = [one.name for one in collection.records() if one.name.startswith("#")]
        if not wrong:
            return True
        message = (
            f"collection {collection.digest}: a RefgetStore cannot have names that begin with '#' "
            f"({', '.join(wrong[:3])}{', ...' if len(wrong) > 3 else ''})"
        )
        if not skip:
            raise BadInput(f"{message}; --skip-names leaves such collections out")
        self._report.left_out.append(message)
        return False

    # --- payloads -----------------------------------------------------------------------------

    def write_payloads(self, progress: Progress) -> None:
        """Have every payload there, read in the order in which the shards have the residues."""
        rows = self._database.connection.execute(
            "SELECT w.digest, s.length, s.letters FROM temp.wanted w"
            " JOIN sequences s ON s.id = w.id ORDER BY s.shard_id, s.offset"
        )
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="pack") as pool:
            waiting: deque[Future[tuple[int, int, int, int, int]]] = deque()
            while some := list(islice(rows, _SOME)):
                waiting.append(pool.submit(self._write_some, some))
                if len(waiting) > _WAITING:
                    self._take(waiting.popleft().result(), progress)
            for one in waiting:
                self._take(one.result(), progress)
        durable.sync_filesystem(self._directory)

    def _take(self, found: tuple[int, int, int, int, int], progress: Progress) -> None:
        written, there, n_bytes, as_ascii, n_residues = found
        self._report.payloads_written += written
        self._report.payloads_there += there
        self._report.payload_bytes += n_bytes
        self._report.as_ascii += as_ascii
        progress(n_residues)

    def _write_some(self, rows: list[tuple[str, int, int]]) -> tuple[int, int, int, int, int]:
        written = there = n_bytes = as_ascii = n_residues = 0
        for digest, length, letters in rows:
            label = self._label(letters, length)
            as_ascii += label is Alphabet.ASCII and self._mode is Mode.ENCODED
            size = label.n_bytes(length) if self._mode is Mode.ENCODED else length
            if self._payloads_at(digest[:2]).get(f"{digest}.seq") == size:
                there += 1
            else:
                self._write_payload(digest, label)
                written += 1
            n_bytes += size
            n_residues += length
        return written, there, n_bytes, as_ascii, n_residues

    def _label(self, letters: int, length: int) -> Alphabet:
        return alphabet_of(letters, length, packed=self._mode is Mode.ENCODED)

    def _payloads_at(self, prefix: str) -> dict[str, int]:
        """The sizes of the payloads in a directory, which is made if it is not there."""
        found = self._there.get(prefix)
        if found is None:
            directory = self._directory / "sequences" / prefix
            directory.mkdir(parents=True, exist_ok=True)
            with os.scandir(directory) as entries:
                found = {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
            self._there[prefix] = found
        return found

    def _write_payload(self, digest: str, label: Alphabet) -> None:
        # Strings and descriptors: of short sequences, paths and file objects are half of the time.
        unfinished = f"{self._temporary}/{digest}"
        fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        try:
            for piece in self._archive.pieces(f"sha512t24u:{digest}", _PIECE):
                residues = piece.encode("ascii")
                data = pack(residues, label) if self._mode is Mode.ENCODED else residues
                if os.write(fd, data) != len(data):
                    raise SeqArchiveError(f"{unfinished}: the disk is full")
        finally:
            os.close(fd)
        durable.publish_loosely(unfinished, f"{self._directory}/{payload_path(digest)}")

    # --- indexes ------------------------------------------------------------------------------

    def write_indexes(self, earlier: _Earlier | None) -> None:
        """Write the lists, the indexes and, last, the manifest."""
        for one in self._collections:
            self._write(collection_path(one.digest), self._members(one))
        of_collections, of_sequences, aliases_digest = self._write_aliases()
        fhr_digest = self._write_fhr()
        sequences_digest = self._write(SEQUENCES, self._sequences())
        collections_digest = self._write(
            COLLECTIONS,
            iter(
                [
                    COLLECTION_ROW,
                    *(collection_line(one.digests, one.n_members) for one in self._collections),
                ]
            ),
        )
        now = datetime.now(timezone.utc).isoformat(timespec="microseconds")
        manifest = StoreManifest(
            mode=self._mode,
            created_at=now if earlier is None else earlier.created_at,
            modified=now,
            sequence_alias_namespaces=tuple(of_sequences),
            collection_alias_namespaces=tuple(of_collections),
            collections_digest=collections_digest,
            sequences_digest=sequences_digest,
            aliases_digest=aliases_digest,
            fhr_digest=fhr_digest,
            logical_sequence_bytes=self._report.payload_bytes,
        )
        self._publish(MANIFEST, manifest.to_bytes())
        for path in sorted(self._said_earlier() - self._said):
            durable.remove(self._directory / path)

    def _said_earlier(self) -> set[str]:
        """The files of aliases and of FHR that are in the store."""
        found = [*self._directory.glob("aliases/*/*.tsv"), *self._directory.glob("fhr/*.fhr.json")]
        return {path.relative_to(self._directory).as_posix() for path in found}

    def _members(self, collection: ArchivedCollection) -> Iterator[str]:
        yield collection_head(collection.digests)
        known = self._database.connection.execute
        for one in collection.records():
            letters, md5 = known(
                "SELECT letters, md5 FROM sequences WHERE digest = ?", (digest_bytes(one.digest),)
            ).fetchone()
            yield self._row(one.defline, one.length, letters, one.digest, md5)

    def _sequences(self) -> Iterator[str]:
        yield ROW
        for digest, length, letters, md5, defline, alias in self._database.connection.execute(
            "SELECT w.digest, s.length, s.letters, s.md5,"
            " (SELECT r.defline FROM records r"
            "  LEFT JOIN collections c ON c.source_id = r.source_id WHERE r.sequence_id = w.id"
            "  ORDER BY c.digest IS NULL, c.digest, r.source_id, r.ordinal LIMIT 1),"
            " (SELECT min(a.alias) FROM aliases a WHERE a.sequence_id = w.id)"
            " FROM temp.wanted w JOIN sequences s ON s.id = w.id ORDER BY w.digest"
        ):
            label = defline or alias or digest
            if label.startswith("#"):  # here a name is a label; lists of collections have theirs
                label = digest
            yield self._row(label, length, letters, digest, md5)

    def _row(self, defline: str, length: int, letters: int, digest: str, md5: bytes) -> str:
        name = first_word(defline)
        description = defline[len(name) :].strip()
        if "\t" in description:
            description = description.replace("\t", " ")
            self._report.changed_descriptions += 1
        label = self._label(letters, length).label
        return f"{name}\t{length}\t{label}\t{digest}\t{md5.hex()}\t{description}\n"

    def _write_aliases(self) -> tuple[list[str], list[str], str | None]:
        """Write the aliases.

        Returns:
            The namespaces of collections, and of sequences, and the digest of the files.
        """
        sha256 = hashlib.sha256()
        known = {one.digest for one in self._collections}
        rows = [row for row in collection_aliases(self._database) if row[1] in known]
        of_collections = [
            namespace
            for namespace, some in groupby(rows, key=lambda row: row[0].namespace)
            if self._put_aliases(
                "collections", namespace, ((alias.alias, digest) for alias, digest in some), sha256
            )
        ]
        connection = self._database.connection
        of_sequences = [
            namespace
            for namespace_id, namespace in connection.execute(
                "SELECT id, name FROM namespaces ORDER BY name"
            ).fetchall()
            if self._put_aliases(
                "sequences",
                namespace,
                connection.execute(
                    "SELECT a.alias, w.digest FROM aliases a JOIN temp.wanted w"
                    " ON w.id = a.sequence_id WHERE a.namespace_id = ? ORDER BY a.alias",
                    (namespace_id,),
                ),
                sha256,
            )
        ]
        digest = sha256.hexdigest() if of_collections or of_sequences else None
        return of_collections, of_sequences, digest

    def _put_aliases(
        self, kind: str, namespace: str, rows: Iterable[tuple[str, str]], sha256: Any
    ) -> bool:
        """Write the aliases of one namespace. Returns whether there are any."""
        text = "".join(
            f"{alias}\t{digest}\n" for alias, digest in rows if self._is_alias(namespace, alias)
        ).encode("utf-8")
        if text:
            path = aliases_path(kind, namespace)
            self._publish(path, text)
            self._said.add(path)
            sha256.update(text)
            self._report.aliases += text.count(b"\n")
        return bool(text)

    def _write_fhr(self) -> str | None:
        """Write what is said of collections. Returns the digest of the files."""
        sha256 = hashlib.sha256()
        for one in self._collections:
            document = one.fhr()
            if document is not None:
                text = fhr_text(document)
                path = fhr_path(one.digest)
                self._publish(path, text)
                self._said.add(path)
                sha256.update(text)
                self._report.fhr += 1
        return sha256.hexdigest() if self._report.fhr else None

    def _is_alias(self, namespace: str, alias: str) -> bool:
        if not alias.startswith("#"):
            return True
        self._report.left_out.append(f"alias {namespace}:{alias} begins with '#'")
        return False

    def _write(self, path: str, lines: Iterator[str]) -> str:
        """Write a file of lines; durable on return. Returns its SHA-256."""
        sha256 = hashlib.sha256()
        unfinished = self._temporary / "unfinished"
        with open(unfinished, "wb") as file:
            for line in lines:
                _put(file, sha256, line.encode("utf-8"))
        self._finish(unfinished, path)
        return sha256.hexdigest()

    def _publish(self, path: str, data: bytes) -> None:
        unfinished = self._temporary / "unfinished"
        unfinished.write_bytes(data)
        self._finish(unfinished, path)

    def _finish(self, unfinished: Path, path: str) -> None:
        final = self._directory / path
        durable.make_directory(final.parent)
        durable.fsync(unfinished)
        durable.publish_again(unfinished, final)

    # --- what is not wanted any more ------------------------------------------------------------

    def prune(self) -> None:
        """Remove files that no index names; after the manifest, which no longer needs them."""
        wanted = {collection_path(one.digest) for one in self._collections}
        execute = self._database.connection.execute
        for path in sorted(self._directory.glob("collections/*.rgsi")):
            if f"collections/{path.name}" not in wanted:
                durable.remove(path)
                self._report.pruned += 1
        for path in sorted(self._directory.glob("sequences/*/*.seq")):
            if not execute("SELECT 1 FROM temp.wanted WHERE digest = ?", (path.stem,)).fetchone():
                durable.remove(path)
                durable.remove_empty_directories(path.parent, self._directory)
                self._report.pruned += 1


def _put(file: IO[bytes], sha256: Any, data: bytes) -> None:
    file.write(data)
    sha256.update(data)
