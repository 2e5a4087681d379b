"""What the database knows of tracks: ids of clients, contents, and how they came to be.

An id of a client (a UUID) means a content: a track by the digest of what it says, a genome by that
of its collection. A provenance leads to the id of its result, and has contents for its inputs, so
that equal files are one input under whatever ids.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from ..batches import Batch
from ..identifiers import digest_bytes, digest_text
from ..track_files import DERIVATIONS, MEANINGS, TrackRow
from .provenance import Provenance

#: How the digest of the content of a track is written.
PREFIX = "TK."

TRACK, GENOME = "track", "genome"

_CONTENT = re.compile(r"TK\.[A-Za-z0-9_-]{32}\Z")


class Client(NamedTuple):
    """What somebody put here, or had computed: an id with a content."""

    uuid: str
    kind: str
    """``track`` or ``genome``."""
    name: str
    created: datetime
    target: bytes
    """Digest of the content."""


class Catalogue:
    """The tables, read by one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def clients(self, kind: str) -> list[Client]:
        """Ids that mean something, in the order in which they came."""
        rows = self._connection.execute(
            f"SELECT c.uuid, c.kind, c.name, c.created, m.target FROM ({MEANINGS.holding}) m"
            " JOIN client_ids c ON c.uuid = m.uuid WHERE c.kind = ? ORDER BY c.id",
            (kind,),
        )
        return [_client(row) for row in rows]

    def has_any(self, kind: str) -> bool:
        """Whether there is, or was, an id of a kind."""
        return (
            self._connection.execute(
                "SELECT 1 FROM client_ids WHERE kind = ? LIMIT 1", (kind,)
            ).fetchone()
            is not None
        )

    def client(self, uuid: str, kind: str) -> Client | None:
        """What an id means; None if it means nothing of this kind."""
        target = MEANINGS.current(self._connection, uuid)
        if target is None:
            return None
        row = self._connection.execute(
            "SELECT uuid, kind, name, created FROM client_ids WHERE uuid = ? AND kind = ?",
            (uuid, kind),
        ).fetchone()
        return None if row is None else _client((*row, target))

    def first_of(self, target: bytes, kind: str) -> Client | None:
        """The first id that means a content."""
        for (uuid,) in self._connection.execute(
            "SELECT DISTINCT uuid FROM client_meanings WHERE target = ? ORDER BY id", (target,)
        ).fetchall():
            found = self.client(uuid, kind)
            if found is not None and found.target == target:
                return found
        return None

    def others_of(self, client: Client) -> list[Client]:
        """What else means the same."""
        uuids = self._connection.execute(
            "SELECT DISTINCT uuid FROM client_meanings WHERE target = ? AND uuid != ?",
            (client.target, client.uuid),
        ).fetchall()
        found = (self.client(uuid, client.kind) for (uuid,) in uuids)
        return [one for one in found if one is not None and one.target == client.target]

    def row(self, target: bytes) -> TrackRow | None:
        """The files of a content; None if there are none, or none any more."""
        row = self._connection.execute(
            "SELECT * FROM tracks WHERE digest = ?", (target,)
        ).fetchone()
        return None if row is None else TrackRow._make(row)

    def n_bytes(self) -> int:
        """Of all files of tracks."""
        (found,) = self._connection.execute(
            "SELECT sum(size_bytes + coalesce(index_bytes, 0)) FROM tracks"
        ).fetchone()
        return int(found or 0)

    def derived(self, provenance: Provenance) -> str | None:
        """The id of what was computed in a way."""
        found = DERIVATIONS.current(self._connection, digest_bytes(provenance.digest))
        return None if found is None else str(found)

    def provenance_of(self, uuid: str) -> Provenance | None:
        """How what an id means was computed; None if nobody said."""
        for (digest,) in self._connection.execute(
            "SELECT DISTINCT provenance FROM derivations WHERE uuid = ?", (uuid,)
        ).fetchall():
            if DERIVATIONS.current(self._connection, digest) == uuid:
                (document,) = self._connection.execute(
                    "SELECT document FROM provenances WHERE digest = ?", (digest,)
                ).fetchone()
                return Provenance.from_dict(json.loads(document))
        return None

    def children(self, content: str) -> Iterator[Client]:
        """What was computed from a content (``TK.`` and a digest, or the digest of a genome)."""
        for (digest,) in self._connection.execute(
            "SELECT DISTINCT provenance FROM provenance_inputs WHERE input = ? ORDER BY rowid",
            (content,),
        ).fetchall():
            uuid = DERIVATIONS.current(self._connection, digest)
            found = None if uuid is None else self.client(uuid, TRACK)
            if found is not None:
                yield found

    def can_be_recomputed(self, target: bytes) -> bool:
        """Whether all ids that mean a content are those of results."""
        first = self.first_of(target, TRACK)
        if first is None:
            return True
        return all(
            self.provenance_of(one.uuid) is not None for one in (first, *self.others_of(first))
        )

    def tracks_over(self, genome: bytes) -> Iterator[Client]:
        """The tracks over a genome that were put here, and not computed."""
        for (target,) in self._connection.execute(
            "SELECT digest FROM tracks WHERE genome = ? ORDER BY id", (genome,)
        ).fetchall():
            found = self.first_of(target, TRACK)
            if found is not None:
                yield found


def _client(row: tuple[str, str, str, str, bytes]) -> Client:
    uuid, kind, name, created, target = row
    return Client(uuid, kind, name or "", datetime.fromisoformat(created), target)


def content_id(target: bytes) -> str:
    """How the content of a track is written."""
    return PREFIX + digest_text(target)


def parsed_content_id(text: str) -> bytes | None:
    """The digest of the content of a track, if the text is one."""
    return digest_bytes(text.removeprefix(PREFIX)) if _CONTENT.match(text) else None


# --- as part of a batch -------------------------------------------------------------------------


def add_client(batch: Batch, client: Client) -> None:
    """Have an id mean a content; a new id, or one whose content was deleted or is another."""
    known = batch.connection.execute(
        "SELECT 1 FROM client_ids WHERE uuid = ?", (client.uuid,)
    ).fetchone()
    if known is None:
        batch.connection.execute(
            "INSERT INTO client_ids (uuid, kind, name, created, batch_id) VALUES (?, ?, ?, ?, ?)",
            (client.uuid, client.kind, client.name, client.created.isoformat(), batch.id),
        )
    MEANINGS.say(batch, client.uuid, value=client.target)


def add_derivation(batch: Batch, provenance: Provenance, uuid: str) -> None:
    """Note that something was computed in a way."""
    digest = digest_bytes(provenance.digest)
    known = batch.connection.execute(
        "SELECT 1 FROM provenances WHERE digest = ?", (digest,)
    ).fetchone()
    if known is None:
        document = json.dumps(provenance.as_dict(), sort_keys=True, ensure_ascii=False)
        batch.connection.execute(
            "INSERT INTO provenances (digest, document, batch_id) VALUES (?, ?, ?)",
            (digest, document, batch.id),
        )
        batch.connection.executemany(
            "INSERT INTO provenance_inputs VALUES (?, ?, ?, ?)",
            [(digest, n, one, batch.id) for n, one in enumerate(provenance.input_ids)],
        )
    DERIVATIONS.say(batch, digest, value=uuid)


def end_client(batch: Batch, client: Client) -> None:
    """Have an id mean nothing; what was computed under it is not found any more."""
    MEANINGS.say(batch, client.uuid, value=None)
    for (digest,) in batch.connection.execute(
        "SELECT DISTINCT provenance FROM derivations WHERE uuid = ?", (client.uuid,)
    ).fetchall():
        if DERIVATIONS.current(batch.connection, digest) == client.uuid:
            DERIVATIONS.say(batch, digest, value=None)


def add_row(batch: Batch, row: TrackRow) -> None:
    """Note the files of a content."""
    marks = ", ".join("?" * (len(row) - 1))
    columns = ", ".join(TrackRow._fields[1:])
    batch.connection.execute(
        f"INSERT INTO tracks ({columns}) VALUES ({marks})", (*row[1:-1], batch.id)
    )
