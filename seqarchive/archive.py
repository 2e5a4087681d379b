"""The door: open an archive, read it, load into it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from itertools import chain, islice
from typing import Any, TextIO

from . import loading, namespaces
from .alias_tables import import_aliases, retire_aliases
from .deflines import Naming
from .errors import BadName, ReadOnly
from .exporting import WIDTH, fasta_records, write_fasta
from .identifiers import Alias, Digest, digest_of, parse_alias
from .instances import Instance
from .loading import LoadOptions, LoadReport
from .new_aliases import OnConflict
from .reader import ArchiveReader
from .records import record_of
from .reverting import RevertReport, revert
from .snapshots import SnapshotReport, take_snapshot
from .sources import directory_at


class Archive(ArchiveReader):
    """An instance that is open for reading, and for loading if it is ``master``.

    As a mapping, ``archive[key]`` is a sequence and ``archive[key] = residues`` stores one: a key
    without a namespace may be looked up (it may be ambiguous), but not set.
    """

    def load(
        self,
        files: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        namespace: str,
        *,
        on_conflict: str = "error",
        collection: str | Alias | Iterable[str | Alias] = (),
        progress: Callable[[int], None] = lambda _n_bytes: None,
        **options: Any,
    ) -> LoadReport:
        """Load files as one batch: visible and durable on return, or without a trace.

        Args:
            files: Names; ``-`` is standard input.
            namespace: Of the names in the files.
            on_conflict: ``error``, ``keep`` or ``replace`` when an alias means something else.
            collection: What to call the one file as a collection; one alias or several.
            progress: Called with numbers of bytes read.
            options: Those of ``LoadOptions``.

        Raises:
            BadInput, AliasConflict, Locked, ReadOnly, NotFound: As they say.
        """
        self._require_now()
        some = [files] if isinstance(files, (str, os.PathLike)) else files
        names = [os.fspath(name) for name in some]
        naming = Naming(namespaces.canonical(namespace))
        called = [collection] if isinstance(collection, (str, Alias)) else collection
        options["collections"] = tuple(parse_alias(str(alias)) for alias in called)
        load_options = LoadOptions(naming, OnConflict(on_conflict), **options)
        return loading.load(self.instance, names, load_options, progress)

    def store(
        self, residues: str | bytes, aliases: Iterable[str | Alias], *, on_conflict: str = "error"
    ) -> Digest:
        """Store one sequence under some names, as a batch of its own.

        Args:
            aliases: ``namespace:alias``, at least one.

        Returns:
            The digest.

        Raises:
            BadName: An alias without a namespace. BadInput: Not residues.
        """
        self._require_now()
        names = [parse_alias(str(alias)) for alias in aliases]
        if not names:
            raise BadName("a sequence needs at least one namespace:alias")
        for name in names:
            if name.namespace in namespaces.COMPUTED:
                raise BadName(f"{name.namespace} names are computed and cannot be set")
        record = record_of(residues)
        digest = digest_of(record.residues)
        record.defline = " ".join([f"ga4gh:SQ.{digest}", *map(str, names)])
        options = LoadOptions(Naming(names[0].namespace), OnConflict(on_conflict))
        loading.store_records(self.instance, [record], options)
        return digest

    def export(
        self,
        to: str | os.PathLike[str] | TextIO,
        identifiers: Sequence[str] | None = None,
        *,
        namespace: str | None = None,
        width: int = WIDTH,
    ) -> int:
        """Write FASTA that ``load`` takes in again: the same sequences under the same names.

        Args:
            to: A path, where a file is replaced, or a stream of text.
            identifiers: Which sequences, in this order; all if None.
            namespace: Only sequences with an alias in it.
            width: Residues of a line; 0 for one line.

        Returns:
            The number of records.

        Raises:
            NotFound, Ambiguous: Of an identifier, before anything is written.
        """
        records = fasta_records(self, identifiers, namespace)
        first = [*islice(records, 1)]  # what is not there is told before a file is emptied
        n_records = 0
        with ExitStack() as stack:
            out = (
                stack.enter_context(open(to, "w", encoding="utf-8", newline="\n"))
                if isinstance(to, (str, os.PathLike))
                else to
            )
            for defline, digest in chain(first, records):
                write_fasta(out, defline, self.pieces("sha512t24u:" + digest), width)
                n_records += 1
        return n_records

    def name(
        self, identifier: str, aliases: Iterable[str | Alias], *, on_conflict: str = "error"
    ) -> None:
        """Give a sequence that is there more names, as one batch.

        Args:
            aliases: ``namespace:alias``.

        Raises:
            NotFound, Ambiguous: Of the identifier. AliasConflict: As for ``load``.
        """
        self._require_now()
        rows = [(parse_alias(str(alias)), identifier, 0) for alias in aliases]
        import_aliases(self.instance, rows, "name", OnConflict(on_conflict))

    def retire(self, aliases: Iterable[str | Alias]) -> None:
        """End aliases without giving them another meaning, as one batch.

        Raises:
            NotFound: One that means nothing now; nothing was changed.
        """
        self._require_now()
        retire_aliases(self.instance, [parse_alias(str(alias)) for alias in aliases])

    def revert(self, batch: int, *, on_conflict: str = "error") -> RevertReport:
        """Undo what a batch did to names, as a batch of its own.

        Args:
            on_conflict: When a later batch has changed a name again: ``error``, ``keep`` that,
                or ``replace`` it by what there was before.

        Raises:
            NotFound: There is no such batch. AliasConflict: See ``on_conflict``.
        """
        self._require_now()
        return revert(self.instance, batch, OnConflict(on_conflict))

    def snapshot(self, name: str) -> SnapshotReport:
        """Publish the last committed state under a name, never to change again.

        Raises:
            Conflict: There is something of this name. Locked: Another snapshot is being taken.
        """
        self._require_now()
        return take_snapshot(self.instance, name)

    def _require_now(self) -> None:
        if self.at is not None:
            raise ReadOnly(f"this is the archive as it was after batch {self.at}; open it anew")

    def __setitem__(self, key: str, residues: str | bytes) -> None:
        """Store a sequence under ``namespace:alias``; a key without a namespace is refused."""
        self.store(residues, [key])


def open_archive(
    uri: str | os.PathLike[str], instance: str | None = None, *, at: int | str | None = None
) -> Archive:
    """``connect`` for one archive."""
    return Archive.of(Instance.found(directory_at(uri), instance), at=at)
