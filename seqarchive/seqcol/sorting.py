"""Texts of one width in their order, more of them than memory should hold.

What comes is sorted in runs, which wait in a file without a name. At the end all runs are gone
through together, from one beginning of texts to the next.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from typing import IO, Any

#: Texts of a run: 3 MB of digests.
RUN = 100_000

#: Texts that are worth a file and an array; fewer are sorted as they are.
_MANY = 50_000

#: Texts that are given at one time.
_SOME = 10_000

#: What digests consist of, in its order; each text is in the part of its first two characters.
_CHARACTERS = sorted("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


class SortedTexts:
    """Digests as text, sorted when all have come; equal ones are kept.

    Args:
        width: Characters of a text.
        run: Texts that are held in memory.
    """

    def __init__(self, width: int, run: int = RUN) -> None:
        self._width = width
        self._run_bytes = run * width
        self._texts = bytearray()
        self._file: IO[bytes] | None = None
        self._runs: list[tuple[int, Any]] = []  # where each begins, and where its parts do

    def add(self, texts: bytes) -> None:
        """More of them, one after the other."""
        self._texts += texts
        while len(self._texts) >= self._run_bytes:
            self._spill(self._run_bytes)

    def _spill(self, n_bytes: int) -> None:
        import numpy as np  # noqa: PLC0415  (0.1 s, for large collections only)

        array = np.frombuffer(bytes(memoryview(self._texts)[:n_bytes]), f"S{self._width}").copy()
        array.sort()
        del self._texts[:n_bytes]
        parts = [a + b for a in _CHARACTERS for b in _CHARACTERS]
        begins = np.searchsorted(array, np.array(parts, "S2")).astype(np.int32)
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  (it goes with this object)
            weakref.finalize(self, self._file.close)
        begin = self._file.seek(0, os.SEEK_END)
        self._file.write(array.tobytes())
        self._file.flush()
        self._runs.append((begin, np.append(begins, np.int32(len(array)))))

    def __iter__(self) -> Iterator[Sequence[bytes]]:
        """All texts in their order, some at a time."""
        if self._file is None:
            yield from self._in_memory()
            return
        import numpy as np  # noqa: PLC0415

        if self._texts:
            self._spill(len(self._texts))
        fd, width = self._file.fileno(), self._width
        for part in range(len(_CHARACTERS) ** 2):
            found = b"".join(
                os.pread(fd, width * int(end - begin), at + width * int(begin))
                for at, ends in self._runs
                for begin, end in [ends[part : part + 2]]
                if begin < end
            )
            if found:
                array = np.frombuffer(found, f"S{width}").copy()
                array.sort()
                yield array.tolist()

    def _in_memory(self) -> Iterator[Sequence[bytes]]:
        n_texts = len(self._texts) // self._width
        if n_texts <= _MANY:
            ends = range(0, len(self._texts), self._width)
            found = sorted(bytes(self._texts[at : at + self._width]) for at in ends)
            if found:
                yield found
            return
        import numpy as np  # noqa: PLC0415

        array = np.frombuffer(self._texts, f"S{self._width}").copy()
        array.sort()
        for at in range(0, n_texts, _SOME):
            yield array[at : at + _SOME].tolist()
