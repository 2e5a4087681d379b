"""Further digests of all sequences: filled for what is there, kept for what comes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from .batches import Batch, database_keeps_sha256
from .identifiers import digest_text
from .instances import Instance
from .reader import ArchiveReader
from .writing import Writing


def add_sha256(
    instance: Instance, progress: Callable[[int], None] = lambda _n: None
) -> dict[str, Any]:
    """Compute the SHA-256 of every sequence that has none, and keep it from now on, as one batch.

    Args:
        progress: Called with numbers of residues hashed.

    Returns:
        The report; ready for JSON.
    """
    instance.require()
    is_kept = database_keeps_sha256(instance.database)
    with (
        Writing(instance) as writing,
        ArchiveReader.of(instance) as archive,
        Batch(writing.connection, "digests") as batch,
    ):
        rows: list[tuple[int, bytes]] = []
        n_added = 0
        for row in archive.database.sequences():
            if archive.database.sha256_of(row.id) is not None:
                continue
            sha256 = hashlib.sha256()
            for piece in archive.pieces("sha512t24u:" + digest_text(row.digest)):
                sha256.update(piece.encode("ascii"))
                progress(len(piece))
            rows.append((row.id, sha256.digest()))
            n_added += 1
            if len(rows) >= 10_000:
                batch.sequences.add_sha256(rows)
                rows = []
        batch.sequences.add_sha256(rows)
        report = {"batch": None, "algorithm": "sha256", "added": n_added}
        if n_added or not is_kept:
            batch.sequences.keep_sha256()
            report["batch"] = batch.id
            writing.commit(batch, report)
    return report
