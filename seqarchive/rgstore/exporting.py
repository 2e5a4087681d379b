"""Export: an archive as a RefgetStore that gtars opens, lossless.

Payloads come first, then the lists of collections, then the indexes, the manifest last; each file
by one rename. What is there already is not written again, and an export that was interrupted is
completed by the next.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import count, groupby
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

from .. import durable
from ..database import Database, require_readable
from ..errors import BadInput, Conflict
from ..identifiers import digest_bytes, digest_text
from ..instances import Instance
from ..records import first_word
from ..seqcol.archived import (
    ArchivedCollection,
    collection_aliases,
    collection_of,
    collections_of,
)
from ..sources import directory_at, is_remote
from ..workers import Worker, Workers
from .alphabets import alphabet_of
from .layout import (
    COLLECTION_ROW,
    COLLECTIONS,
    MANIFEST,
    ROW,
    SEQUENCES,
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
from .payload_writing import PayloadRow, PayloadWriter, Written, raise_error
from .places import DirectoryPlace, Earlier, Place, bucket_place

Progress = Callable[[int], None]

#: Sequences and residues that are written at one time, and how many such portions wait.
_SOME, _RESIDUES, _WAITING = 200, 4 << 20, 6

_PROCESSES = 2

#: Directories of few files.
_SMALL = ("aliases", "fhr")

#: Fewer residues are not worth processes.
_MUCH = 8 << 20


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
    destination: Path | str,
    *,
    mode: Mode = Mode.ENCODED,
    collections: Sequence[str] = (),
    skip_names: bool = False,
    prune: bool = False,
    progress: Progress = lambda _n: None,
) -> StoreReport:
    """Write a RefgetStore, or bring one that was written before up to date.

    Args:
        destination: A directory, or ``s3://bucket/prefix``.
        collections: Digests or aliases; all collections, and all sequences, if there are none.
            Those that the store has already stay.
        skip_names: Leave out collections with names that the format cannot carry, and report
            them, instead of failing.
        prune: Drop what is in the store and is not asked for.
        progress: Called with numbers of residues that are done.

    Raises:
        NotFound: No such collection. BadInput: A name that cannot be; see ``skip_names``.
        Conflict: There is another store, or something else. Locked: Another export writes there.
        DigestMismatch, Corrupt: Residues of the archive are damaged. SourceError: The bucket.
    """
    started = time.monotonic()
    require_readable(instance)
    with ExitStack() as stack:
        place: Place
        if isinstance(destination, str) and is_remote(destination):
            place = stack.enter_context(bucket_place(destination))
        else:
            place = DirectoryPlace(directory_at(destination))
        earlier = place.earlier(mode)
        directory = place.directory
        durable.make_directory(directory)
        writer = stack.enter_context(closing(PayloadWriter(instance, directory, mode, place.there)))
        # Before the lock and the databases, none of which a fork may hold.
        workers = stack.enter_context(
            Workers((writer.write,), _PROCESSES if _is_much(instance) else 0)
        )
        lock = stack.enter_context(durable.WriterLock(directory.parent / f".{directory.name}.lock"))
        lock.declare(None)
        temporary = directory.parent / f".{directory.name}.tmp"
        durable.remove_directory(temporary)
        temporary.mkdir()
        source = instance.database
        if not instance.is_snapshot:  # one state for all that follows
            source = temporary / "source.sqlite3"
            with closing(Database.of(instance)) as database:
                database.copy_into(source)
        report = StoreReport(place.address, mode.value)
        with closing(Database(source, frozen=True)) as database:
            export = _Export(place, temporary, database, report=report, mode=mode)
            export.choose(collections, earlier, skip_names=skip_names, prune=prune)
            export.write_payloads(writer, workers, earlier, progress)
            export.publish(earlier)
            place.send()
            export.remove_unwanted(prune=prune)
        durable.remove_directory(temporary)
        lock.clear()
    report.seconds = round(time.monotonic() - started, 3)
    return report


def _is_much(instance: Instance) -> bool:
    with closing(Database.of(instance)) as database:
        (n_residues,) = database.connection.execute(
            "SELECT coalesce(sum(n_residues), 0) FROM shards"
        ).fetchone()
    return bool(n_residues >= _MUCH)


class _Export:
    """One export under way."""

    def __init__(
        self,
        place: Place,
        temporary: Path,
        database: Database,
        *,
        report: StoreReport,
        mode: Mode,
    ) -> None:
        self._place = place
        self._directory = place.directory
        self._temporary = temporary
        self._database = database
        self._report = report
        self._mode = mode
        self._collections: list[ArchivedCollection] = []
        self._numbers = count()
        self._prepared: dict[str, tuple[Path, str]] = {}
        self._sequences_digest = ""
        self._said: set[str] = set()  # files of aliases and of FHR

    # --- what ---------------------------------------------------------------------------------

    def choose(
        self,
        wanted: Sequence[str],
        earlier: Earlier | None,
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
                    f"{self._place.address} has {len(foreign):,} collections that the archive "
                    f"lacks ({min(foreign)}); --prune drops them"
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

    def _keep_sequences(self, earlier: Earlier) -> None:
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
                    f"{self._place.address} has sequences that the archive lacks ({digest}); "
                    "--prune drops them"
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

    def write_payloads(
        self,
        writer: PayloadWriter,
        workers: list[Worker],
        earlier: Earlier | None,
        progress: Progress,
    ) -> None:
        """Have every payload there, read in the order in which the shards have the residues."""
        portions = self._portions(earlier)
        if workers:
            self._send(portions, workers, progress)
        else:
            for some in portions:
                self._take(writer.write_some(list(map(PayloadRow._make, some))), progress)
            self._prepare_lists()
        durable.sync_filesystem(self._directory)

    def _send(
        self, portions: Iterator[list[tuple[Any, ...]]], workers: list[Worker], progress: Progress
    ) -> None:
        """Have workers write payloads, and prepare the lists meanwhile."""
        free: SimpleQueue[Worker] = SimpleQueue()
        for worker in workers:
            free.put(worker)

        def write(some: list[tuple[Any, ...]]) -> Written:
            worker = free.get()
            try:
                error, found = worker.call(0, b"", some)
            finally:
                free.put(worker)
            if error:
                raise_error(error, found)
            return Written._make(found)

        with ThreadPoolExecutor(len(workers), thread_name_prefix="pack") as pool:
            waiting: deque[Future[Written]] = deque()
            for some in portions:
                waiting.append(pool.submit(write, some))
                if len(waiting) > _WAITING:
                    self._take(waiting.popleft().result(), progress)
            self._prepare_lists()  # while the others are at work
            for one in waiting:
                self._take(one.result(), progress)

    def _portions(self, earlier: Earlier | None) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of ``PayloadRow``, some at a time."""
        trusted = frozenset() if earlier is None else earlier.sequences
        some: list[tuple[Any, ...]] = []
        n_residues = 0
        for row in self._database.connection.execute(
            "SELECT w.digest, s.id, s.digest, s.length, s.letters, s.shard_id, s.offset"
            " FROM temp.wanted w JOIN sequences s ON s.id = w.id ORDER BY s.shard_id, s.offset"
        ):
            some.append((*row, row[0] in trusted))
            n_residues += row[3]
            if len(some) >= _SOME or n_residues >= _RESIDUES:
                yield some
                some, n_residues = [], 0
        if some:
            yield some

    def _take(self, found: Written, progress: Progress) -> None:
        self._report.payloads_written += found.written
        self._report.payloads_there += found.there
        self._report.payload_bytes += found.n_bytes
        self._report.as_ascii += found.as_ascii
        progress(found.n_residues)

    # --- indexes ------------------------------------------------------------------------------

    def _prepare_lists(self) -> None:
        """Write what takes time of the lists and of the indexes, not yet in its place."""
        for one in self._collections:
            self._prepare(collection_path(one.digest), self._members(one))
        self._sequences_digest = self._prepare(SEQUENCES, self._sequences())

    def publish(self, earlier: Earlier | None) -> None:
        """Have the lists, the indexes and, last, the manifest in their place."""
        for one in self._collections:
            self._finish(self._prepared.pop(collection_path(one.digest)))
        of_collections, of_sequences, aliases_digest = self._write_aliases()
        fhr_digest = self._write_fhr()
        self._finish(self._prepared.pop(SEQUENCES))
        rows = [collection_line(one.digests, one.n_members) for one in self._collections]
        collections_digest = self._prepare(COLLECTIONS, iter([COLLECTION_ROW, *rows]))
        self._finish(self._prepared.pop(COLLECTIONS))
        now = datetime.now(timezone.utc).isoformat(timespec="microseconds")
        manifest = StoreManifest(
            mode=self._mode,
            created_at=now if earlier is None else earlier.created_at,
            modified=now,
            sequence_alias_namespaces=tuple(of_sequences),
            collection_alias_namespaces=tuple(of_collections),
            collections_digest=collections_digest,
            sequences_digest=self._sequences_digest,
            aliases_digest=aliases_digest,
            fhr_digest=fhr_digest,
            logical_sequence_bytes=self._report.payload_bytes,
        )
        self._publish(MANIFEST, manifest.to_bytes())

    def _members(self, collection: ArchivedCollection) -> Iterator[str]:
        yield collection_head(collection.digests)
        known = self._database.connection.execute
        for one in collection.records():
            letters, md5 = known(
                "SELECT s.letters, s.md5 FROM by_digest k JOIN sequences s ON s.id = k.id"
                " WHERE k.digest = ?",
                (digest_bytes(one.digest),),
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
        label = alphabet_of(letters, length, packed=self._mode is Mode.ENCODED).label
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
        unfinished = self._temporary / "unfinished"
        n_rows = 0
        with open(unfinished, "wb") as file:
            for alias, digest in rows:
                if self._is_alias(namespace, alias):
                    _put(file, sha256, f"{alias}\t{digest}\n".encode())
                    n_rows += 1
        if n_rows:
            path = aliases_path(kind, namespace)
            self._finish((unfinished, path))
            self._said.add(path)
            self._report.aliases += n_rows
        return bool(n_rows)

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

    def _prepare(self, path: str, lines: Iterator[str]) -> str:
        """Write a file of lines that will be at a path. Returns its SHA-256."""
        sha256 = hashlib.sha256()
        unfinished = self._temporary / str(next(self._numbers))
        with open(unfinished, "wb") as file:
            for line in lines:
                _put(file, sha256, line.encode("utf-8"))
        self._prepared[path] = (unfinished, path)
        return sha256.hexdigest()

    def _publish(self, path: str, data: bytes) -> None:
        unfinished = self._temporary / "unfinished"
        unfinished.write_bytes(data)
        self._finish((unfinished, path))

    def _finish(self, prepared: tuple[Path, str]) -> None:
        """Have a file in its place; durable on return."""
        unfinished, path = prepared
        final = self._directory / path
        durable.make_directory(final.parent)
        durable.fsync(unfinished)
        durable.publish_again(unfinished, final)

    # --- what is not wanted any more ------------------------------------------------------------

    def remove_unwanted(self, *, prune: bool) -> None:
        """Remove files of aliases and FHR that hold no more and, if asked, all that no index names;
        after the manifest, which no longer needs them."""
        lists = {collection_path(one.digest) for one in self._collections}
        for path in self._place.paths(*(() if prune else _SMALL)):
            kind, _, name = path.partition("/")
            if kind in _SMALL:
                if path not in self._said:
                    self._place.remove(path)
            elif prune and (
                (kind == "collections" and path not in lists)
                or (kind == "sequences" and name and not self._is_wanted(path))
            ):
                self._place.remove(path)
                self._report.pruned += 1

    def _is_wanted(self, path: str) -> bool:
        digest = path.rpartition("/")[2].removesuffix(".seq")
        found = self._database.connection.execute(
            "SELECT 1 FROM temp.wanted WHERE digest = ?", (digest,)
        ).fetchone()
        return found is not None and path == payload_path(digest)


def _put(file: IO[bytes], sha256: Any, data: bytes) -> None:
    file.write(data)
    sha256.update(data)
