"""Groups of records, named, hashed and packed into blocks: the part of a load that needs no
knowledge of the archive, and so can be done by any process.

Everything here takes and returns what ``marshal`` knows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .bgzf import (
    BLOCK_SIZE,
    Compression,
    compress_block,
    compress_blocks,
    inflate_block,
    stored_block,
)
from .deflines import Naming, is_versionless
from .errors import BadInput, BadName
from .identifiers import digest_text
from .layouts import IRREGULAR
from .records import Group, Record, first_word, records_in
from .shards import HEADER_LENGTH, header_line

#: A sequence of more residues than this gets blocks of its own.
SHORT = BLOCK_SIZE - HEADER_LENGTH - 1

_sha512, _md5, _sha1 = hashlib.sha512, hashlib.md5, hashlib.sha1


class Entry(NamedTuple):
    """What a load has to know of a record; or, with ``error``, what is wrong with it."""

    line: int
    error: str | None
    defline: str = ""
    aliases: tuple[tuple[str, str], ...] = ()
    n_versionless: int = 0
    claimed: str | None = None
    """The sha512t24u digest that the defline of an export says."""
    circular: bool = False
    digest: bytes = b""
    name: str = ""
    """The digest as text."""
    md5: bytes = b""
    sha1: bytes = b""
    sha256: bytes | None = None
    length: int = 0
    letters: int = 0
    width: int = IRREGULAR
    """Residues of a line of the file; see ``layouts``."""
    mask: bytes = b""
    """What was in lower case, if that is kept."""

    @property
    def problem(self) -> str | None:
        """What is wrong with the record, or with what it says of itself."""
        if self.error is not None or self.claimed is None or self.claimed == self.name:
            return self.error
        return f"the record says ga4gh:SQ.{self.claimed} but its residues are SQ.{self.name}"


class Unit(NamedTuple):
    """Blocks that stay together in a shard, and which entries begin where in them."""

    blocks: list[tuple[bytes, int]]
    """Compressed block, and how many bytes it holds."""
    places: list[tuple[int, int]]
    """Number of an entry, and the offset of its first residue from where the unit begins."""


@dataclass(frozen=True, slots=True)
class GroupTask:
    """What to do with the records of a load.

    Args:
        naming: How deflines become aliases.
        circular: Names of circular molecules.
        compression: How hard to try.
        with_sha256: Whether SHA-256 is kept too.
        with_mask: Whether it is kept what is in lower case.
    """

    naming: Naming
    circular: frozenset[str]
    compression: Compression
    with_sha256: bool
    with_mask: bool = False

    def run(
        self, text: bytes, source: str, line: int, compress: bool
    ) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """Entries and, if asked to compress, units of a group of FASTA records, for marshal."""
        group = Group(text, source, line)
        entries, units = self.digest(records_in(group, with_mask=self.with_mask), compress=compress)
        return entries, [tuple(unit) for unit in units]

    def digest(
        self, records: Iterable[Record | BadInput], *, compress: bool
    ) -> tuple[list[tuple[Any, ...]], list[Unit]]:
        """The same for records."""
        entries: list[tuple[Any, ...]] = []
        residues: list[bytes] = []
        for record in records:
            if isinstance(record, BadInput):
                entries.append((record.line or 0, record.message))
                residues.append(b"")
            else:
                entries.append(self._entry(record))
                residues.append(record.residues)
        units = self._pack(entries, residues) if compress else []
        return entries, units

    def pack(self, records: Iterable[Record | BadInput], left_out: frozenset[int]) -> list[Unit]:
        """Packed sequences of a group, without those of the records of some numbers."""
        entries: list[tuple[Any, ...]] = []
        residues: list[bytes] = []
        for number, record in enumerate(records):
            if isinstance(record, BadInput) or number in left_out:
                entries.append((0, ""))
                residues.append(b"")
                continue
            digest = _sha512(record.residues).digest()[:24]
            entries.append(tuple(Entry(0, None, digest=digest, name=digest_text(digest))))
            residues.append(record.residues)
        return self._pack(entries, residues)

    def repack(
        self, entries: Sequence[Entry], units: Iterable[Unit], left_out: frozenset[int]
    ) -> list[Unit]:
        """The same from what was packed as if all were new and right.

        Raises:
            Corrupt: A block is damaged.
        """
        found = residues_in(entries, units)
        texts = {entries[number].digest: text for number, text in found.items()}
        wanted = [
            (0, "") if number in left_out else tuple(entry) for number, entry in enumerate(entries)
        ]
        return self._pack(wanted, [texts.get(entry.digest, b"") for entry in entries])

    def compress(self, text: bytes | memoryview) -> list[bytes]:
        """Blocks of a piece of a long record."""
        return compress_blocks(text, self.compression)

    def _entry(self, record: Record) -> tuple[Any, ...]:
        """The fields of an ``Entry``; a plain tuple, which is quicker to make and to send."""
        try:
            aliases, n_versionless, claimed = self._names(record.defline)
        except BadName as error:
            return record.line, error.message
        circular = record.circular or self._is_circular(record.defline)
        residues = record.residues
        digest = _sha512(residues).digest()[:24]
        return (
            record.line,
            None,
            record.defline,
            aliases,
            n_versionless,
            claimed,
            circular,
            digest,
            digest_text(digest),
            _md5(residues).digest(),
            _sha1(residues).digest(),
            hashlib.sha256(residues).digest() if self.with_sha256 else None,
            len(residues),
            record.letters,
            record.width,
            record.mask,
        )

    def name(self, defline: str) -> Entry:
        """An entry of a record by its defline, without anything of its residues.

        Raises:
            BadName: Not a name.
        """
        aliases, n_versionless, claimed = self._names(defline)
        circular = self._is_circular(defline)
        return Entry(0, None, defline, aliases, n_versionless, claimed, circular)

    def _names(self, defline: str) -> tuple[tuple[tuple[str, str], ...], int, str | None]:
        """Aliases, how many of them lack a version, and the digest that the defline says."""
        namespace = self.naming.namespace
        plain = self.naming.plain_name(defline)
        if plain is not None:
            return ((namespace, plain),), int(is_versionless(namespace, plain)), None
        names = self.naming.names(defline)
        aliases = tuple((alias.namespace, alias.alias) for alias in names.aliases)
        return aliases, sum(is_versionless(*alias) for alias in aliases), names.digest

    def _is_circular(self, defline: str) -> bool:
        return bool(self.circular) and first_word(defline) in self.circular

    def _pack(self, entries: list[tuple[Any, ...]], residues: list[bytes]) -> list[Unit]:
        """Short sequences share blocks, none of which a sequence leaves; long ones have theirs.

        Empty sequences, repeated ones and those that are left out take no place.
        """
        units: list[Unit] = []
        texts: list[bytes] = []
        places: list[tuple[int, int]] = []
        n_bytes = 0
        seen: set[bytes] = set()
        for number, (entry, text) in enumerate(zip(entries, residues, strict=True)):
            digest, name = _digest_of(entry)
            if not text or not digest or digest in seen:
                continue
            seen.add(digest)
            header = header_line(name)
            if len(text) > SHORT:
                blocks = [(stored_block(header), HEADER_LENGTH)]
                left = len(text) + 1
                for block in compress_blocks(text + b"\n", self.compression):
                    blocks.append((block, min(left, BLOCK_SIZE)))
                    left -= BLOCK_SIZE
                units += self._short_unit(texts, places)
                texts, places, n_bytes = [], [], 0
                units.append(Unit(blocks, [(number, HEADER_LENGTH)]))
                continue
            if n_bytes + HEADER_LENGTH + len(text) + 1 > BLOCK_SIZE:
                units += self._short_unit(texts, places)
                texts, places, n_bytes = [], [], 0
            places.append((number, n_bytes + HEADER_LENGTH))
            texts += (header, text, b"\n")
            n_bytes += HEADER_LENGTH + len(text) + 1
        return [*units, *self._short_unit(texts, places)]

    def _short_unit(self, texts: list[bytes], places: list[tuple[int, int]]) -> list[Unit]:
        if not texts:
            return []
        text = b"".join(texts)
        return [Unit([(compress_block(text, self.compression), len(text))], places)]


def residues_in(entries: Sequence[Entry], units: Iterable[Unit]) -> dict[int, bytes]:
    """What is in units: the residues of each entry that begins there, by its number.

    Raises:
        Corrupt: A block is damaged.
    """
    found = {}
    for unit in units:
        text = b"".join(inflate_block(block) for block, _ in unit.blocks)
        for number, offset in unit.places:
            found[number] = text[offset : offset + entries[number].length]
    return found


_DIGEST = Entry._fields.index("digest")


def _digest_of(entry: tuple[Any, ...]) -> tuple[bytes, str]:
    """The digest of an entry as a plain tuple, as bytes and as text; nothing if it is an error."""
    if len(entry) <= _DIGEST or entry[1] is not None:
        return b"", ""
    return entry[_DIGEST], entry[_DIGEST + 1]
