"""Files that a batch reads: where each record was, and what the whole is as a collection."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator

from . import schema
from .identifiers import Digest, digest_bytes
from .seqcol.digests import CollectionDigests


class NewSources:
    """What a batch adds to the sources, and what is known of earlier ones.

    Args:
        connection: In the transaction of the batch.
    """

    def __init__(self, connection: sqlite3.Connection, batch_id: int) -> None:
        self._connection = connection
        self._batch_id = batch_id

    def add(
        self,
        name: str,
        *,
        size_bytes: int,
        sha256: bytes,
        file_format: str | None = None,
        compression: str | None = None,
        n_records: int,
        source_id: int,
        collection_id: int | None = None,
        line_bases: int | None = None,
    ) -> None:
        """Record a file that was read. The same bytes as an earlier source share its records.

        Args:
            line_bases: Residues of a line; 0 if each record has one; None if lines differ.
        """
        earlier = self._connection.execute(
            "SELECT id FROM sources o WHERE sha256 = ? AND records_of IS NULL AND n_records = ?"
            # All of them: some may have been reclaimed.
            " AND n_records = (SELECT count(*) FROM records r WHERE r.source_id = o.id)",
            (sha256, n_records),
        ).fetchone()
        if earlier is not None:
            self._connection.execute("DELETE FROM records WHERE source_id = ?", (source_id,))
            # The same bytes have the same letters in lower case, if these were kept.
            self._connection.execute(
                "UPDATE OR REPLACE masks SET source_id = ? WHERE source_id = ?",
                (*earlier, source_id),
            )
        self._connection.execute(
            "INSERT INTO sources VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                source_id,
                self._batch_id,
                name,
                size_bytes,
                sha256,
                file_format,
                compression,
                n_records,
                None if earlier is None else earlier[0],
                collection_id,
                line_bases,
            ),
        )

    def collection_id(self, digest: Digest) -> int | None:
        """The id of the collection of a digest, if there is one."""
        found = self._connection.execute(
            "SELECT id FROM collections WHERE digest = ?", (digest_bytes(digest),)
        ).fetchone()
        return None if found is None else int(found[0])

    def add_collection(
        self, digests: CollectionDigests, *, n_members: int, n_residues: int, source_id: int
    ) -> int:
        """Record what a file is as a collection. Returns its id, that of an earlier one if there
        is one of this digest."""
        known = self.collection_id(digests.digest)
        if known is not None:
            return known
        added = self._connection.execute(
            "INSERT INTO collections (digest, names, sequences, lengths, name_length_pairs,"
            " sorted_name_length_pairs, sorted_sequences, n_members, n_residues, source_id,"
            " batch_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*map(digest_bytes, digests), n_members, n_residues, source_id, self._batch_id),
        )
        return int(added.lastrowid or 0)

    def show_collection_as(self, collection_id: int, source_id: int) -> None:
        """Have a collection given back as a file of it has it: one whose lower case is kept, if
        that of the first was not."""
        (shown,) = self._connection.execute(
            "SELECT source_id FROM collections WHERE id = ?", (collection_id,)
        ).fetchone()
        (own,) = self._connection.execute(
            "SELECT coalesce(records_of, id) FROM sources WHERE id = ?", (source_id,)
        ).fetchone()
        if shown != own and not self.has_masks(shown):
            self._connection.execute(
                "UPDATE collections SET source_id = ? WHERE id = ?", (own, collection_id)
            )

    def has_masks(self, source_id: int) -> bool:
        """Whether it is kept what of a file is in lower case."""
        found = self._connection.execute(
            "SELECT 1 FROM masks WHERE source_id = ? LIMIT 1", (source_id,)
        )
        return found.fetchone() is not None

    def add_masks(self, rows: Iterable[tuple[int, int, bytes]]) -> None:
        """Keep what is in lower case: (source, ordinal in it, ``layouts.RecordLayout.mask``)."""
        self._connection.executemany("INSERT INTO masks VALUES (?, ?, ?)", rows)

    def width_of(self, source_id: int) -> int | None:
        """Residues of a line of a file; as ``add_source`` has it."""
        (found,) = self._connection.execute(
            "SELECT line_bases FROM sources WHERE id = ?", (source_id,)
        ).fetchone()
        return None if found is None else int(found)

    def collection_of(self, source_id: int) -> tuple[int, bytes] | None:
        """What a file is as a collection: its id and its digest."""
        found = self._connection.execute(
            "SELECT c.id, c.digest FROM sources s JOIN collections c ON c.id = s.collection_id"
            " WHERE s.id = ?",
            (source_id,),
        ).fetchone()
        return None if found is None else (int(found[0]), bytes(found[1]))

    def has_any_of(self, size_bytes: int) -> bool:
        """Whether an earlier batch read a file of this size."""
        found = self._connection.execute(
            "SELECT 1 FROM sources WHERE size_bytes = ? LIMIT 1", (size_bytes,)
        )
        return found.fetchone() is not None

    def sha256s_of(self, size_bytes: int, limit: int) -> list[bytes]:
        """The digests of files of this size that were read, the newest first."""
        found = self._connection.execute(
            "SELECT sha256 FROM sources WHERE size_bytes = ? GROUP BY sha256"
            " ORDER BY max(id) DESC LIMIT ?",
            (size_bytes, limit),
        )
        return [sha256 for (sha256,) in found]

    def earlier(self, sha256: bytes) -> tuple[int, str, str, int] | None:
        """A FASTA file of these bytes that an earlier batch took in without leaving anything out.

        Returns:
            The source that has its records, its format, its compression, and how many they are.
        """
        for source_id, *facts, report in self._connection.execute(
            "SELECT coalesce(s.records_of, s.id), s.format, s.compression, s.n_records, b.report"
            " FROM sources s JOIN batches b ON b.id = s.batch_id"
            " WHERE s.sha256 = ? AND s.format = 'fasta' ORDER BY s.id",
            (sha256,),
        ):
            (n_present,) = self._connection.execute(
                "SELECT count(*) FROM records r JOIN sequences s ON s.id = r.sequence_id"
                " WHERE r.source_id = ?",
                (source_id,),
            ).fetchone()
            if n_present == facts[-1] and not json.loads(report).get("skipped"):
                return source_id, *facts
        return None

    def records_of(self, source_id: int) -> Iterator[tuple[int, str]]:
        """The sequence and the defline of each record of a source, in the order of the file."""
        return self._connection.execute(
            "SELECT sequence_id, defline FROM records WHERE source_id = ? ORDER BY ordinal",
            (source_id,),
        )

    def new_id(self) -> int:
        """An id for the next source; it must be added before another is asked for."""
        return schema.next_id(self._connection, "sources")

    def add_records(self, rows: Iterable[tuple[int, int, int, str]]) -> None:
        """Keep deflines: (source, ordinal in it, sequence, defline)."""
        self._connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", rows)
