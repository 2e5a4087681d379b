"""Indexes of a RefgetStore: files of lines, looked up without making objects of them.

gtars sorts them, so that a look-up halves the file until it has the line. Stores of older versions
are in no order; and other columns than the first are in none anyhow. Then 12 bytes for each line
are kept: a checksum of the cell that is looked up, and where its line begins.
"""

from __future__ import annotations

import mmap
import zlib
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import Corrupt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Longer lines are none of ours.
MAX_LINE = 1 << 20

#: Bytes that are counted at a time.
_STEP = 1 << 18

#: Where a line may begin that is none.
_ODD = (b"\n\n", b"\n#", b"\n\r")


class Table:
    """Lines of cells, separated by tabs; lines that begin with ``#`` and blank ones are none.

    Args:
        data: The file.
        where: What to call it in messages.
        column: Of the key that the lines are sorted by, if they are.
    """

    def __init__(self, data: bytes | mmap.mmap, where: str, column: int = 0) -> None:
        self.data = data
        self.where = where
        self._column = column
        self._length: int | None = None
        self._is_sorted: bool | None = None
        self._hashed: dict[int, _Hashed] = {}
        self._begin = 0
        while self._begin < len(data) and data[self._begin : self._begin + 1] in (b"#", b"\n"):
            self._begin = self._end_of(self._begin) + 1

    def __len__(self) -> int:
        if self._length is None:
            self._length = self._count()
        return self._length

    def _count(self) -> int:
        n_lines, at = 0, self._begin
        while at < len(self.data):
            end = self._end_of(min(at + _STEP, len(self.data))) + 1
            part = self.data[at:end]
            if part[:1] in b"#\r\n" or any(odd in part for odd in _ODD):
                lines = (line.removesuffix(b"\r") for line in part.split(b"\n"))
                n_lines += sum(1 for line in lines if _is_row(line))
            else:
                n_lines += part.count(b"\n") + (part[-1:] != b"\n")
            at = end
        return n_lines

    def head(self) -> list[str]:
        """The lines before the first of cells."""
        text = bytes(self.data[: self._begin]).decode("utf-8", "replace")
        return [line.removesuffix("\r") for line in text.split("\n")]

    def _end_of(self, begin: int) -> int:
        end = self.data.find(b"\n", begin, begin + MAX_LINE + 1)
        if end >= 0:
            return end
        if len(self.data) - begin > MAX_LINE:
            raise self._endless()
        return len(self.data)

    def _endless(self) -> Corrupt:
        return Corrupt(f"{self.where} has a line of more than {MAX_LINE:,} bytes")

    def _line(self, begin: int, end: int) -> bytes:
        return bytes(self.data[begin:end]).removesuffix(b"\r")

    def _text(self, line: bytes) -> str:
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError:
            raise Corrupt(f"{self.where} has a line that is not UTF-8") from None

    def _all(self) -> Iterator[tuple[int, bytes]]:
        """Where each line begins, and what is in it; also those that are none."""
        begin = self._begin
        while begin < len(self.data):
            end = self._end_of(begin)
            yield begin, self._line(begin, end)
            begin = end + 1

    def _offsets(self) -> Iterator[tuple[int, bytes]]:
        return (found for found in self._all() if _is_row(found[1]))

    def lines(self) -> Iterator[str]:
        """All lines, in the order of the file.

        Raises:
            Corrupt: One is not UTF-8, or endless.
        """
        return (self._text(line) for _, line in self._offsets())

    # --- one line -----------------------------------------------------------------------------

    def find(self, key: str) -> str | None:
        """The line with a key, whatever order they are in."""
        wanted = key.encode("utf-8", "surrogatepass")
        line = self._halve(wanted)
        if line is None and not self._sorted():
            line = self._hash_of(self._column).find(wanted)
        return None if line is None else self._text(line)

    def find_by(self, column: int, text: str) -> str | None:
        """The first line that has a text in another column."""
        line = self._hash_of(column).find(text.encode("utf-8", "surrogatepass"))
        return None if line is None else self._text(line)

    def find_all(self, column: int, text: str) -> list[str]:
        """All lines that have a text in another column, in the order of the file."""
        key = text.encode("utf-8", "surrogatepass")
        return [self._text(line) for line in self._hash_of(column).find_all(key)]

    def _hash_of(self, column: int) -> _Hashed:
        found = self._hashed.get(column)
        if found is None:
            found = self._hashed[column] = _Hashed(self, column)
        return found

    def _sorted(self) -> bool:
        """Whether the lines are in the order of their keys, and nothing is between them; known
        after one look at all.
        """
        if self._is_sorted is None:
            last = b""
            self._is_sorted = True
            for _, line in self._all():
                key = cell(line, self._column)
                if key is None or not _is_row(line) or key < last:
                    self._is_sorted = False
                    break
                last = key
        return self._is_sorted

    def _halve(self, key: bytes) -> bytes | None:
        low, high = self._begin, len(self.data)
        while low < high:
            middle = (low + high) // 2
            lowest = max(low, middle - MAX_LINE - 1)
            before = self.data.rfind(b"\n", lowest, middle)
            if before < 0 and lowest > low:
                raise self._endless()
            begin = low if before < 0 else before + 1
            end = self._end_of(begin)
            line = self._line(begin, end)
            found = cell(line, self._column)
            if found is None or not _is_row(line):
                return None  # no sorted line, so that there is nothing to conclude
            if found == key:
                return line
            if found < key:
                low = end + 1
            else:
                high = begin
        return None

    def line_at(self, begin: int) -> bytes:
        """The line that begins at a byte."""
        return self._line(begin, self._end_of(begin))

    def keys(self, column: int) -> Iterator[tuple[int, bytes]]:
        """Where each line begins that has a column, and what is in that."""
        for begin, line in self._offsets():
            found = cell(line, column)
            if found is not None:
                yield begin, found


class _Hashed:
    """The lines of a table by the checksum of a cell."""

    def __init__(self, table: Table, column: int) -> None:
        import numpy as np  # noqa: PLC0415  (0.1 s, only where something is in no order)

        self._table = table
        self._column = column
        checksums, begins = array("I"), array("Q")
        for begin, found in table.keys(column):
            checksums.append(zlib.crc32(found))
            begins.append(begin)
        order = np.argsort(np.frombuffer(checksums, "u4"), kind="stable")
        self._checksums: NDArray[np.uint32] = np.frombuffer(checksums, "u4")[order]
        self._begins: NDArray[np.uint64] = np.frombuffer(begins, "u8")[order]

    def find(self, key: bytes) -> bytes | None:
        return next(self.find_all(key), None)

    def find_all(self, key: bytes) -> Iterator[bytes]:
        import numpy as np  # noqa: PLC0415

        checksum = zlib.crc32(key)
        at = int(np.searchsorted(self._checksums, np.uint32(checksum)))
        while at < len(self._checksums) and self._checksums[at] == checksum:
            line = self._table.line_at(int(self._begins[at]))
            if cell(line, self._column) == key:
                yield line
            at += 1


def _is_row(line: bytes) -> bool:
    return bool(line) and not line.startswith(b"#")


def cell(line: bytes, column: int) -> bytes | None:
    """A cell of a line; None if it has not so many."""
    cells = line.split(b"\t", column + 1)
    return cells[column] if len(cells) > column else None
