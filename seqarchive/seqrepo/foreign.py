"""Shards that another program wrote: BGZF FASTA with lines of any one width.

Of their indexes only the ``.fai`` is used (if it is missing, the text says the same), and what it
says of a record is checked in the text before it counts; where the blocks begin is read from the
blocks.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..bgzf import Index, block_starts, scan_blocks
from ..errors import BadInput, Corrupt
from ..identifiers import digest_bytes
from ..letters import RESIDUES, letters_of
from ..shards import HEADER_LENGTH, BlockCache, ShardReader, Wrapping, beside, header_line
from ..verifying import ShardText

#: Residues that are hashed at a time.
_PIECE = 1 << 20

#: Bytes of a ``.fai`` at most, and for each byte of its shard: a line has 112 at most, and the name
#: of the record, which is a digest, takes 24 of the shard however well that is compressed.
_FAI_BYTES, _FAI_SHARE = 1 << 16, 5

#: Bytes of a header that can matter: a name that is longer is no key.
_HEADER_BYTES = 1000

#: How a shard of SeqRepo begins.
_FIRST = re.compile(rb">([A-Za-z0-9_-]{32})\n")

#: Columns of a shard of SeqRepo.
_USUAL = 100


class Place(NamedTuple):
    """Where a record is, as the ``.fai`` says."""

    length: int
    offset: int
    line_bases: int
    line_width: int


class ForeignShard:
    """A shard of another program, linked into a place of ours.

    Args:
        path: Where it came from; named in errors, and its ``.fai`` is read.
        linked: The same file under our name; the index of its blocks is written beside it.

    Raises:
        BadInput: It is not BGZF FASTA that can be adopted.
    """

    def __init__(self, path: Path, linked: Path) -> None:
        self.path = path
        self.linked = linked
        try:
            self.gzi = Index.of(block_starts(linked)).to_bytes()
        except Corrupt as error:
            raise BadInput(f"it cannot be adopted ({error})", file=str(path)) from None
        beside(linked, ".gzi").write_bytes(self.gzi)
        self.n_bytes = linked.stat().st_size
        self._places = _read_fai(path) if beside(path, ".fai").exists() else _indexed(path, linked)
        self.wrapping = _wrapping(path, self._places)
        self.first_name = _first_name(path, linked)
        self._reader = ShardReader(
            linked,
            0,
            size_bytes=self.n_bytes,
            gzi_sha256=hashlib.sha256(self.gzi).digest(),
            first_digest=digest_bytes(self.first_name),
            wrapping=self.wrapping,
            cache=BlockCache(1 << 20),
        )

    def offset_of(self, name: str) -> int:
        """Where the index says a record is; in this order they are read fastest."""
        place = self._places.get(name)
        return 0 if place is None else place.offset

    def place(self, name: str, length: int) -> Place:
        """Where a record is, once it was seen to be there.

        Raises:
            BadInput: It is not, or has another length.
        """
        place = self._places.get(name)
        if place is None:
            raise BadInput(f"there is no record {name} in it", file=str(self.path))
        offset, after = place.offset, place.offset + self.wrapping.text_length(length)
        try:
            sound = (
                place.length == length
                and offset >= HEADER_LENGTH
                and self._reader.read(offset - HEADER_LENGTH, offset) == header_line(name)
                and self._reader.read(after, after + 1) == b"\n"
            )
        except Corrupt as error:
            raise BadInput(f"record {name}: {error}", file=str(self.path)) from None
        if not sound:
            raise BadInput(
                f"record {name} is not where its index says, or not {length} residues long",
                file=str(self.path),
            )
        return place

    def hashed(self, name: str, place: Place) -> tuple[bytes, bytes, bytes, int]:
        """sha512t24u, MD5 and SHA-1 of a record, and which characters occur in it.

        Raises:
            BadInput: Its lines are not as they should be, or there is something else in them than
                residues.
        """
        hashers = hashlib.sha512(), hashlib.md5(), hashlib.sha1()
        letters = 0
        for piece in self._pieces(place):
            if strange := piece.translate(None, RESIDUES):
                found = bytes(sorted(set(strange)))
                raise BadInput(
                    f"record {name}: {found!r} are no residues (A-Z, '*' or '-')",
                    file=str(self.path),
                )
            for hasher in hashers:
                hasher.update(piece)
            letters |= letters_of(piece)
        sha512, md5, sha1 = (hasher.digest() for hasher in hashers)
        return sha512[:24], md5, sha1, letters

    def _pieces(self, place: Place) -> Iterator[bytes]:
        for start in range(0, place.length, _PIECE):
            try:
                yield self._reader.residues(place.offset, start, min(start + _PIECE, place.length))
            except Corrupt as error:
                raise BadInput(str(error), file=str(self.path)) from None


def _first_name(path: Path, linked: Path) -> str:
    """The name of the first record, which may be an empty one: these are in no ``.fai``."""
    try:
        _, text = next(scan_blocks(linked), (0, b""))
    except Corrupt as error:
        raise BadInput(f"it cannot be adopted ({error})", file=str(path)) from None
    found = _FIRST.match(text)
    if found is None:
        raise BadInput("it does not begin with a record of SeqRepo", file=str(path))
    return found[1].decode("ascii")


def _read_fai(path: Path) -> dict[str, Place]:
    index = beside(path, ".fai")
    found = {}
    if not is_regular(index):
        raise BadInput("the index is a link, or no file", file=str(index))
    try:
        n_bytes = index.stat().st_size
        if n_bytes > _FAI_BYTES + _FAI_SHARE * path.stat().st_size:
            raise BadInput(f"{n_bytes:,} bytes are no index of its shard", file=str(index))
        lines = index.read_text("ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a .fai"
        raise BadInput(f"the index cannot be read ({reason})", file=str(index)) from None
    for n, line in enumerate(lines, 1):
        name, *numbers = line.split("\t")
        if len(numbers) < 4 or not all(map(_is_number, numbers[:4])):
            raise BadInput("not a line of a .fai", file=str(index), line=n)
        found[name] = Place(*map(int, numbers[:4]))
    if not found:
        raise BadInput("there is no record in it", file=str(index))
    return found


def _is_number(text: str) -> bool:
    """Whether it is a length or an offset that a file can have."""
    return text.isdecimal() and len(text) < 19


def _indexed(path: Path, linked: Path) -> dict[str, Place]:
    """Where the records are, from the text: SeqRepo makes an index that is missing too."""
    found: dict[str, Place] = {}
    text = ShardText(linked)
    name, place, is_last = "", Place(0, 0, 0, 0), False
    try:
        while line := _line(text):
            start, n_bytes = line
            if start.startswith(b">"):
                name = start[1:].decode("ascii", "replace").partition(" ")[0]
                place, is_last = Place(0, text.position, 0, 0), False
            elif name:
                bases = place.line_bases or n_bytes
                # Only the last line of a record may be shorter than the others.
                width = 0 if is_last or n_bytes > bases else bases + 1
                is_last = n_bytes < bases
                place = Place(place.length + n_bytes, place.offset, bases, width)
            found[name] = place
    except Corrupt as error:
        raise BadInput(f"it cannot be adopted ({error})", file=str(path)) from None
    if not found:
        raise BadInput("there is no record in it", file=str(path))
    return found


def _line(text: ShardText) -> tuple[bytes, int] | None:
    """How the next line begins, as far as a header may go, and how long it is; None at the end."""
    start, n_bytes = b"", 0
    for piece in text.line():
        start += piece[: _HEADER_BYTES - len(start)]
        n_bytes += len(piece)
    return (start, n_bytes) if n_bytes else None


def _wrapping(path: Path, places: dict[str, Place]) -> Wrapping:
    """The one width of the lines of a shard."""
    widths = {place.line_bases for place in places.values() if place.length > place.line_bases}
    if len(widths) > 1 or any(
        place.line_width != place.line_bases + 1 for place in places.values() if place.length
    ):
        raise BadInput("its lines are not all of one width, or do not end with LF", file=str(path))
    if widths:
        return Wrapping(widths.pop())
    return Wrapping(max(_USUAL, *(place.length for place in places.values())))


def is_regular(path: Path) -> bool:
    """Whether there is a real file, not a link to somewhere else."""
    return path.is_file() and not path.is_symlink()
