"""What a load is asked to do, and what it says that it did."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .bgzf import Compression
from .deflines import Naming
from .identifiers import Alias
from .new_aliases import OnConflict
from .packing import SHARD_BYTES


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to load.

    Args:
        naming: How deflines become aliases.
        on_conflict: When an alias already means another sequence.
        skip_errors: Leave out records that are not right, and report them, instead of failing.
        keep_mask: Remember what of FASTA is in lower case; collections are given back so.
        collections: What to call the file as a collection; there is one file then.
        fhr: What is to be said of that collection besides what is said already, which it must not
            contradict; see ``seqcol.fhr``.
        is_genome: No two records may have one name; and if nothing of it is new, there is no batch.
        circular: Names (first words of deflines) of circular molecules.
        dry_run: Report what would happen; write nothing.
        threads: Worker processes for large inputs; 0 does everything in the calling thread.
        compression: How hard to try.
        shard_bytes: Size at which a shard closes.
        scheduler: ``tcp://HOST:PORT`` of a Dask scheduler whose workers read the files, instead of
            processes of this machine; they must see the files and the archive under the same names.
    """

    naming: Naming
    on_conflict: OnConflict = OnConflict.ERROR
    skip_errors: bool = False
    keep_mask: bool = False
    collections: tuple[Alias, ...] = ()
    fhr: Mapping[str, Any] | None = None
    is_genome: bool = False
    circular: frozenset[str] = frozenset()
    dry_run: bool = False
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    compression: Compression = Compression.FAST
    shard_bytes: int = SHARD_BYTES
    scheduler: str | None = None


@dataclass(slots=True)
class LoadReport:
    """What a load did; nothing that was left out or changed is missing here."""

    batch: int | None = None
    """None of a dry run, and if all that there was had to be skipped."""
    namespace: str = ""
    dry_run: bool = False
    files: list[dict[str, Any]] = field(default_factory=list)
    records: int = 0
    sequences_added: int = 0
    sequences_known: int = 0
    residues_added: int = 0
    aliases_added: int = 0
    aliases_known: int = 0
    aliases_moved: int = 0
    aliases_kept: int = 0
    versionless: int = 0
    empty: int = 0
    circular: int = 0
    shards: int = 0
    shard_bytes: int = 0
    skipped: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    unused_circular: list[str] = field(default_factory=list)
    unused_table: list[str] = field(default_factory=list)
    """Names of the table of aliases that no record had."""
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: getattr(self, name) for name in self.__slots__}
