"""Payloads of a RefgetStore from the shards of an archive: what each process of an export does."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from .. import durable, errors
from ..database import Location
from ..errors import SeqArchiveError
from ..identifiers import digest_text
from ..instances import Instance
from ..reader import ArchiveReader
from .alphabets import ALIGNED, Alphabet, alphabet_of, pack, pack_many, unpack
from .layout import Mode, payload_path

#: Residues that are packed at one time.
_PIECE = (1 << 20) // ALIGNED * ALIGNED


#: Sequences of at most so many residues are packed together.
_SHORT = 1 << 16


class PayloadRow(NamedTuple):
    """A sequence whose payload a store is to have."""

    digest: str
    id: int
    raw_digest: bytes
    length: int
    letters: int
    shard_id: int | None
    offset: int | None
    is_trusted: bool
    """Whether the store had it when its last export was complete."""


class Written(NamedTuple):
    """What became of some payloads."""

    written: int = 0
    there: int = 0
    n_bytes: int = 0
    as_ascii: int = 0
    n_residues: int = 0


class PayloadWriter:
    """Writes payloads; each process has one.

    Args:
        instance: Where the residues are.
        directory: Of the store, or of what is to be sent to one.
        there: Sizes of payloads that the store has, by path; None to look into the directory.
    """

    def __init__(
        self, instance: Instance, directory: Path, mode: Mode, there: Mapping[str, int] | None
    ) -> None:
        self._instance = instance
        self._directory = str(directory)
        self._mode = mode
        self._known = there
        self._there: dict[str, bool] = {}
        self._archive: ArchiveReader | None = None
        self._mark = f".{secrets.token_hex(4)}."  # of what this export has not finished

    def label(self, letters: int, length: int) -> Alphabet:
        """The alphabet that the store says a sequence has."""
        return alphabet_of(letters, length, packed=self._mode is Mode.ENCODED)

    def write(self, _data: bytes, rows: list[tuple[object, ...]]) -> tuple[str, tuple[object, ...]]:
        """Have some payloads there; as a task of a worker.

        Returns:
            An empty text and what became of them; or the name of an error, and its message.
        """
        try:
            return "", tuple(self.write_some([PayloadRow._make(row) for row in rows]))
        except SeqArchiveError as error:
            return type(error).__name__, (str(error),)
        except OSError as error:
            return "OSError", (error.errno or 0, error.strerror or "", error.filename or "")

    def write_some(self, rows: list[PayloadRow]) -> Written:
        """The same, in the process that asks."""
        written = there = n_bytes = as_ascii = n_residues = 0
        short: dict[Alphabet, list[PayloadRow]] = {}
        for row in rows:
            label = self.label(row.letters, row.length)
            as_ascii += label is Alphabet.ASCII and self._mode is Mode.ENCODED
            size = label.n_bytes(row.length) if self._mode is Mode.ENCODED else row.length
            if self._is_there(row, label, size):
                there += 1
            else:
                if row.length <= _SHORT:
                    short.setdefault(label, []).append(row)
                else:
                    self._put(row, self._pieces(row, label))
                written += 1
            n_bytes += size
            n_residues += row.length
        for label, some in short.items():
            texts = [self._reader().whole_at(_location(row)) for row in some]
            payloads = pack_many(texts, label) if self._mode is Mode.ENCODED else texts
            for row, payload in zip(some, payloads, strict=True):
                self._put(row, [payload])
        return Written(written, there, n_bytes, as_ascii, n_residues)

    def close(self) -> None:
        """Close the archive, if it was needed."""
        if self._archive is not None:
            self._archive.close()

    def _is_there(self, row: PayloadRow, label: Alphabet, size: int) -> bool:
        path = payload_path(row.digest)
        if self._known is not None:
            return self._known.get(path) == size
        directory, _, name = path.rpartition("/")
        if self._size_of(directory, name) != size:
            return False
        return row.is_trusted or self._is_right(row, label, path)

    def _is_right(self, row: PayloadRow, label: Alphabet, path: str) -> bool:
        """Whether a payload that an interrupted export left is whole: a power cut may have left
        the size of a file and nothing in it."""
        with open(f"{self._directory}/{path}", "rb") as file:
            data = file.read()
        stored = label if self._mode is Mode.ENCODED else Alphabet.ASCII
        residues = unpack(data, row.length, stored)
        return digest_text(hashlib.sha512(residues).digest()[:24]) == row.digest

    def _size_of(self, directory: str, name: str) -> int | None:
        """The size of a payload; None if it is not there. Its directory is made if need be."""
        if not self._has_payloads(directory):
            return None
        try:
            status = os.lstat(f"{self._directory}/{directory}/{name}")
        except FileNotFoundError:
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def _has_payloads(self, directory: str) -> bool:
        """Whether there was something in a directory when this export came to it.

        It is made if it is not there, and what another export left in it is removed.
        """
        found = self._there.get(directory)
        if found is None:
            path = f"{self._directory}/{directory}"
            Path(path).mkdir(parents=True, exist_ok=True)
            found = False
            with os.scandir(path) as entries:
                for entry in entries:
                    if not entry.name.startswith("."):
                        found = True
                    elif not entry.name.startswith(self._mark):  # of one that was killed
                        durable.remove(Path(entry.path))
            self._there[directory] = found
        return found

    def _reader(self) -> ArchiveReader:
        if self._archive is None:
            self._archive = ArchiveReader.of(self._instance)
        return self._archive

    def _pieces(self, row: PayloadRow, label: Alphabet) -> Iterator[bytes]:
        """The payload of a long sequence."""
        for piece in self._reader().pieces_at(_location(row), _PIECE):
            yield pack(piece, label) if self._mode is Mode.ENCODED else piece

    def _put(self, row: PayloadRow, chunks: Iterable[bytes]) -> None:
        """Write a payload, which appears by a rename."""
        path = payload_path(row.digest)
        directory, _, name = path.rpartition("/")
        if self._known is not None:
            self._has_payloads(directory)
        # Strings and descriptors: of short sequences, paths and file objects are half of the time.
        unfinished = f"{self._directory}/{directory}/{self._mark}{name}"
        fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        try:
            for chunk in chunks:
                if os.write(fd, chunk) != len(chunk):
                    raise SeqArchiveError(f"{unfinished}: the disk is full")
        except BaseException:
            durable.remove(Path(unfinished))
            raise
        finally:
            os.close(fd)
        durable.publish_loosely(unfinished, f"{self._directory}/{path}")


def _location(row: PayloadRow) -> Location:
    return Location(
        row.id, row.raw_digest, row.length, row.shard_id, row.offset or 0, circular=False
    )


def raise_error(name: str, arguments: tuple[object, ...]) -> None:
    """Raise what a worker has met."""
    if name == "OSError":
        raise OSError(*arguments)
    kind = getattr(errors, name, SeqArchiveError)
    raise (kind if issubclass(kind, SeqArchiveError) else SeqArchiveError)(*arguments)
