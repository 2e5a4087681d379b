"""Replaying: what a worker wrote down, told to who has the archive."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

from .. import errors
from ..bgzf import BLOCK_SIZE
from ..errors import BadInput, SeqArchiveError, SourceError
from ..groups import Entry, GroupTask, Unit
from ..inputs import ReadInput
from ..sinks import Packs, Stores

#: What reading a file can end with.
_ERRORS: dict[str, type[SeqArchiveError]] = {
    kind.__name__: kind
    for kind in (
        SeqArchiveError,
        errors.BadInput,
        errors.BadInterval,
        errors.BadName,
        errors.NotFound,
        errors.ReadOnly,
        errors.Truncated,
    )
}

#: What comes while a sequence is in pieces, and only then.
_INSIDE = ("blocks", "long", "forget")

_NOTHING = type(None)

#: Types of the fields of an entry: all that there can be.
_ROWS = frozenset(
    product(
        (int,),
        (_NOTHING, str),
        (str,),
        (tuple,),
        (int,),
        (_NOTHING, str),
        (bool,),
        *((bytes,), (str,), (bytes,), (bytes,), (_NOTHING, bytes)),
        *((int,), (int,), (int,), (bytes,)),
    )
)


class Replayer:
    """Tells a ``Storer`` and its ``Packer`` what a part says, in its order."""

    def __init__(self, task: GroupTask, storer: Stores, packer: Packs, label: str) -> None:
        self._task = task
        self._storer = storer
        self._packer = packer
        self._label = label
        self._has_ended = False
        self._is_inside = False  # a sequence in pieces
        self._kinds: dict[str, Callable[..., Callable[[], object]]] = {
            "group": self._group,
            "begin": self._begin,
            "blocks": self._blocks,
            "long": self._long,
            "forget": self._forget,
            "refuse": self._refuse,
            "leave-out": self._leave_out,
            "fail": self._fail,
            "close": self._close,
        }

    def replay(self, frames: Iterable[tuple[Any, ...]]) -> None:
        """Tell all of it.

        Raises:
            SourceError: This is no part that a worker of ours writes.
            SeqArchiveError: What the worker met, or what whoever is told says to it.
        """
        self._storer.open_source(self._label)
        for kind, *arguments in frames:
            self._understood(kind, arguments)()
        if not self._has_ended:
            raise _strange("an early end")

    def _understood(self, kind: str, arguments: list[Any]) -> Callable[[], object]:
        """What a frame asks for, after all of it was looked at."""
        is_misplaced = kind != "fail" and (kind in _INSIDE) != self._is_inside
        if self._has_ended or kind not in self._kinds or is_misplaced:
            raise _strange(repr(kind))
        self._is_inside = kind in ("begin", "blocks")
        try:
            return self._kinds[kind](*arguments)
        except (TypeError, ValueError) as error:
            raise _strange(f"{kind!r} ({error})") from None

    def _group(self, rows: tuple[Any, ...], packed: tuple[Any, ...]) -> Callable[[], object]:
        entries = [_entry(row) for row in rows]
        units = [_unit(unit, len(entries)) for unit in packed]
        return lambda: self._storer.store(
            entries, units, lambda left_out: self._task.repack(entries, units, left_out)
        )

    def _begin(self) -> Callable[[], object]:
        return lambda: self._packer.begin(is_packed=True)

    def _blocks(self, blocks: tuple[Any, ...]) -> Callable[[], object]:
        _check_blocks(blocks)
        return lambda: self._packer.add_blocks(blocks)

    def _long(self, *fields: Any) -> Callable[[], object]:
        entry = _entry(fields)
        return lambda: self._storer.store_long(entry)

    def _forget(self) -> Callable[[], object]:
        return self._packer.forget

    def _refuse(self, message: str, line: int | None) -> Callable[[], object]:
        return lambda: self._storer.refuse(str(message), line)

    def _leave_out(self, *described: Any) -> Callable[[], object]:
        self._has_ended = True
        error = _error(*described)
        if not isinstance(error, BadInput):
            raise TypeError(type(error).__name__)
        return lambda: self._storer.leave_out(error)

    def _fail(self, *described: Any) -> Callable[[], object]:
        error = _error(*described)

        def fail() -> None:
            raise error

        return fail

    def _close(
        self, n_bytes: int, sha256: bytes, compression: str, file_format: str, is_plain: bool
    ) -> Callable[[], object]:
        self._has_ended = True
        source = ReadInput(self._label, int(n_bytes), bytes(sha256), str(compression))
        return lambda: self._storer.close_source(source, str(file_format), is_plain=is_plain)


def _entry(row: tuple[Any, ...]) -> Entry:
    if tuple(map(type, row)) not in _ROWS:
        raise TypeError("this is no entry")
    return Entry(*row)


def _unit(value: tuple[Any, ...], n_entries: int) -> Unit:
    blocks, places = value
    _check_blocks(blocks)
    size = sum(n_bytes for _, n_bytes in blocks)
    for number, offset in places:
        if not (0 <= number < n_entries and 0 <= offset < size):
            raise ValueError("a place outside of its unit")
    return Unit(list(blocks), list(places))


def _check_blocks(blocks: tuple[Any, ...]) -> None:
    for block, n_bytes in blocks:
        if type(block) is not bytes or type(n_bytes) is not int or not 0 < n_bytes <= BLOCK_SIZE:
            raise TypeError("this is no block")


def _error(kind: str, message: str, file: str | None, line: int | None) -> SeqArchiveError:
    found = _ERRORS.get(kind)
    if found is None:
        raise ValueError(f"an error that is none: {kind!r}")
    if issubclass(found, BadInput):
        return found(message, file=file, line=line)
    return found(message)


def _strange(what: str) -> SourceError:
    return SourceError(f"a worker wrote down what no worker of ours does: {what}")
