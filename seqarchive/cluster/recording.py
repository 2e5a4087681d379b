"""Recording: what comes out of the pipeline, written down for who has the archive."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from ..errors import BadInput
from ..groups import Entry, GroupTask, Unit
from ..inputs import Composed, Input, ReadInput
from ..load_options import LoadReport
from ..packing import Compress, Pieces
from .parts import PartWriter


class Recorder:
    """Takes one file, as a ``Storer`` and its ``Packer`` do, and writes down what these are told.

    It takes every sequence for a new one. Of errors it takes the same notice as they do, so that no
    more is read of a file than is needed.

    Args:
        compress: Makes the blocks of long sequences.
        skip_errors: Whether records that are not right are left out.
        known: SHA-256 of files that need not be read twice.
    """

    def __init__(
        self,
        part: PartWriter,
        compress: Compress,
        report: LoadReport,
        *,
        skip_errors: bool,
        known: Collection[bytes],
    ) -> None:
        self._part = part
        self._report = report
        self._skip_errors = skip_errors
        self._known = known
        self._label = ""
        self._pieces = Pieces(compress, self.add_blocks)
        self.source: tuple[int, bytes] | None = None
        """Bytes and SHA-256 of a file that was read to its end."""
        self.is_known = False
        """Whether the file is one of those that were known."""

    # --- as a Storer ------------------------------------------------------------------------

    def open_source(self, label: str, *, is_collection: bool = True) -> None:  # noqa: ARG002
        """Begin a file; it is always one that belongs together."""
        self._label = label

    def close_source(
        self, source: Input | Composed | ReadInput, file_format: str, *, is_plain: bool
    ) -> None:
        """End the file."""
        self.source = source.n_bytes, source.sha256
        self._part.write("close", *self.source, source.compression, file_format, is_plain)

    def may_know(self, size: int) -> bool:  # noqa: ARG002
        """Whether it is worth hashing first."""
        return bool(self._known)

    def store_again(self, source: Input | ReadInput, task: GroupTask) -> bool:  # noqa: ARG002
        """Whether the file is known."""
        self.is_known = source.sha256 in self._known
        if self.is_known:
            self.source = source.n_bytes, source.sha256
        return self.is_known

    def store(
        self,
        entries: list[Entry],
        units: list[Unit] | None,
        pack: Callable[[frozenset[int]], list[Unit]],
    ) -> bool:
        """Write down a group, packed as if all were new and right."""
        self._part.write("group", entries, pack(frozenset()) if units is None else units)
        for entry in entries:
            self._count(entry)
        return True

    def store_long(self, entry: Entry) -> None:
        """Write down a sequence whose pieces are written down already."""
        self._pieces.end()
        self._part.write("long", *entry)
        self._count(entry)

    def refuse(self, message: str, line: int | None) -> None:
        """Write down what is wrong with a record, or fail."""
        self._part.write("refuse", message, line)
        if not self._skip_errors:
            raise BadInput(message, file=self._label, line=line)

    def leave_out(self, error: BadInput) -> None:
        """Write down that the file is left out."""
        self._part.write("leave-out", *_described(error))

    def fail(self, error: Exception) -> None:
        """Write down what ended the reading of the file."""
        self._part.write("fail", *_described(error))

    def flush(self) -> None:
        """Nothing waits here."""

    def _count(self, entry: Entry) -> None:
        problem = entry.problem
        if problem is None:
            self._report.records += 1
        elif not self._skip_errors:
            # Who replays the part will fail at this record.
            raise BadInput(problem, file=self._label, line=entry.line)

    # --- as a Packer ------------------------------------------------------------------------

    def begin(self, *, is_packed: bool = False) -> None:  # noqa: ARG002
        """Begin a long sequence."""
        self._part.write("begin")

    def add_piece(self, residues: bytes) -> None:
        """Add residues to it."""
        self._pieces.add(residues)

    def add_blocks(self, blocks: Sequence[tuple[bytes, int]]) -> None:
        """Write down blocks of it."""
        self._part.write("blocks", blocks)

    def forget(self) -> None:
        """End it: it is not right."""
        self._pieces.forget()
        self._part.write("forget")


def _described(error: Exception) -> tuple[str, str, str | None, int | None]:
    if isinstance(error, BadInput):
        return type(error).__name__, error.message, error.file, error.line
    return type(error).__name__, str(error), None, None
