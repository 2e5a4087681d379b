"""Who takes what comes out of the pipeline, in the order of the files: a ``Storer`` and a
``Packer``, which have the archive, or somebody who writes it down for these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from .errors import BadInput
from .groups import Entry, GroupTask, Unit
from .inputs import Composed, Input, ReadInput


class Stores(Protocol):
    """Takes files, groups of records and long sequences."""

    def open_source(self, label: str, *, is_collection: bool = True) -> None:
        """Begin a file."""

    def close_source(
        self, source: Input | Composed | ReadInput, file_format: str, *, is_plain: bool
    ) -> None:
        """End the file, and record it."""

    def may_know(self, size: int) -> bool:
        """Whether a file of this size was loaded before."""

    def store_again(self, source: Input | ReadInput, task: GroupTask) -> bool:
        """Store the records of a file that has been read to its end, if it was loaded before."""

    def store(
        self,
        entries: list[Entry],
        units: list[Unit] | None,
        pack: Callable[[frozenset[int]], list[Unit]],
    ) -> bool:
        """Store a group. Returns whether most of its sequences were new."""

    def store_long(self, entry: Entry) -> None:
        """Store a sequence whose pieces the packer has."""

    def refuse(self, message: str, line: int | None) -> None:
        """Leave out a record, with a word about it, or fail."""

    def leave_out(self, error: BadInput) -> None:
        """Leave out the file that was begun, with a word about it."""

    def flush(self) -> None:
        """Be done with all that came."""


class Packs(Protocol):
    """Takes the pieces of long sequences."""

    def begin(self, *, is_packed: bool = False) -> None:
        """Begin a sequence, whose digest is not known yet."""

    def add_piece(self, residues: bytes) -> None:
        """Add residues to the sequence that was begun."""

    def add_blocks(self, blocks: Sequence[tuple[bytes, int]]) -> None:
        """Add blocks of the sequence that was begun."""

    def forget(self) -> None:
        """End the sequence: it is not right."""
