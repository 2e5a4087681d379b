"""Records: what a sequence file says. FASTA is parsed here, in chunks; the rest by Biopython.

Residues come out upper-case and without white space, and are A-Z, ``*`` and ``-`` only. A record
that is not right is yielded as the error that names file, record and line, so that the caller
decides whether to stop.
"""

from __future__ import annotations

import io
import logging
import re
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .errors import BadInput, Truncated
from .layouts import IRREGULAR, RecordLayout
from .letters import COMMON, RESIDUES, common_letters_of, letters_of

if TYPE_CHECKING:
    from Bio.SeqRecord import SeqRecord

logger = logging.getLogger(__name__)

#: Text of a record that is kept in memory as a whole; longer ones come in pieces.
LONG = 1 << 20

#: Text of a group of records, unless one of them is longer: what waits for a worker, and what
#: comes back, grows with the number of records in it, and they may be very short.
GROUP = 1 << 18

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_WHITE_SPACE = b"\n\r \t\v\f"
_UPPER = bytes(range(256)).upper()
_ACCEPTED = RESIDUES + RESIDUES.lower() + _WHITE_SPACE
_PIR = re.compile(rb"(P1|F1|D[LC]|R[LC]|N[13]|XX);")
_GENBANK = re.compile(rb"LOCUS\s|\S+\.SEQ\s+Genetic Sequence Data Bank", re.IGNORECASE)


@dataclass(slots=True)
class Record:
    """One record of a file, its residues at hand."""

    defline: str
    """What follows the ``>``: name and description."""
    residues: bytes
    letters: int
    """Which characters occur: a mask over ``RESIDUES``."""
    line: int
    """Where the record begins, counted from 1 (in a flat file, where it ends)."""
    circular: bool = False
    width: int = IRREGULAR
    """Residues of a line of the file; 0 if they are all in one; see ``layouts``."""
    mask: bytes = b""
    """What was in lower case, if that is kept."""


@dataclass(slots=True)
class LongRecord:
    """A record whose residues come in pieces, to be taken before the next record is asked for.

    Taking them raises ``BadInput`` where the residues are not right.
    """

    defline: str
    pieces: Iterator[tuple[bytes, int]] = field(repr=False)
    """Residues, and which characters occur in them."""
    line: int
    layout: RecordLayout
    """Of what has been taken of the pieces."""


def first_word(defline: str) -> str:
    """The name in a defline; empty if there is none."""
    words = defline.split(None, 1)
    return words[0] if words else ""


class _Residues:
    """Text of one record -> residues, counting lines."""

    def __init__(self, source: str, name: str, line: int, *, with_mask: bool = False) -> None:
        self._source = source
        self._name = name
        self.line = line
        self.layout = RecordLayout(with_mask=with_mask)

    def clean(self, text: bytes) -> tuple[bytes, int]:
        """The residues and the characters that occur in them."""
        residues = text.replace(b"\n", b"")
        n_lines = len(text) - len(residues)
        is_upper = not residues.translate(None, COMMON)
        if is_upper:
            letters = common_letters_of(residues)
        else:
            residues = text.translate(_UPPER, _WHITE_SPACE)
            if residues.translate(None, RESIDUES):
                raise self._error(text)
            letters = letters_of(residues)
        self.layout.see(text, len(residues), is_upper=is_upper)
        self.line += n_lines
        return residues, letters

    def _error(self, text: bytes) -> BadInput:
        for n, line in enumerate(text.split(b"\n")):
            bad = line.translate(None, _ACCEPTED)
            if bad:
                what = f"byte 0x{bad[0]:02x}" if bad[0] > 126 else repr(chr(bad[0]))
                return BadInput(
                    f"record {self._name!r}: {what} is not a residue (A-Z, '*' or '-')",
                    file=self._source,
                    line=self.line + n,
                )
        raise AssertionError("no bad residue in a text that has one")


def record_of(residues: str | bytes) -> Record:
    """A record of residues that do not come from a file; it has no defline yet.

    Raises:
        BadInput: Not residues.
    """
    text = residues.encode("utf-8") if isinstance(residues, str) else bytes(residues)
    clean, letters = _Residues("the given sequence", "", 1).clean(text)
    return Record("", clean, letters, 0)


def _head(head: bytes) -> str | None:
    """The defline; None if it is not one, and ``_head_problem`` says why."""
    head = head.removesuffix(b"\r")
    if b"\r" in head or b"\0" in head or (head[2:3] == b";" and _PIR.match(head)):
        return None
    try:
        return head.decode("utf-8").strip() or None
    except UnicodeDecodeError:
        return None


def _head_problem(head: bytes) -> str:
    head = head.removesuffix(b"\r")
    if b"\r" in head:
        return "a bare carriage return ends lines here; convert the file (mac2unix)"
    if b"\0" in head:
        return "a NUL in the defline"
    if _PIR.match(head):
        return "this is PIR (>P1;), not FASTA; convert the file first"
    if not head.strip():
        return "a record without a name"
    return "the defline is not UTF-8; convert it (iconv -t utf-8)"


@dataclass(frozen=True, slots=True)
class Group:
    """The text of consecutive FASTA records, each whole: parsed by ``records_in``."""

    text: bytes
    source: str
    line: int
    """Where the first record begins, counted from 1."""


def records_in(group: Group, *, with_mask: bool = False) -> Iterator[Record | BadInput]:
    """The records of a group.

    Args:
        with_mask: Remember what is in lower case.
    """
    line = group.line
    for part in group.text[1:].removesuffix(b"\n").split(b"\n>"):
        head, newline, body = part.partition(b"\n")
        defline = _head(head)
        if defline is None:
            yield BadInput(_head_problem(head), file=group.source, line=line)
            line += part.count(b"\n") + 1
            continue
        text = _Residues(group.source, first_word(defline), line + 1, with_mask=with_mask)
        try:
            residues, letters = text.clean(body)
        except BadInput as error:
            yield error
            line += part.count(b"\n") + 1
            continue
        if (newline and not body) or body.endswith(b"\n") or defline.encode("utf-8") != head:
            text.layout.spoil()  # a blank line, or white space around the defline
        layout = text.layout
        yield Record(defline, residues, letters, line, width=layout.width, mask=layout.mask)
        line = text.line + 1 if newline else line + 1


class FastaScanner:
    """Cuts a FASTA text that comes in chunks into groups and long records.

    Where it cuts depends on the text alone if all chunks but the last have the same size.

    Args:
        with_mask: Remember what of long records is in lower case.
    """

    def __init__(self, chunks: Iterator[bytes], source: str, *, with_mask: bool = False) -> None:
        self._with_mask = with_mask
        self._chunks = chunks
        self._source = source
        self._line = 1
        self._buffer = b""  # begins with the ">" of a record, or is empty at the end
        self._inside = False  # a long record is being read; its text is not in the buffer
        self._at_line_start = False

    def __iter__(self) -> Iterator[Group | LongRecord | BadInput]:
        self._find_first()
        while self._buffer:
            if len(self._buffer) >= LONG:
                cut = self._buffer.rfind(b"\n>") + 1
                if not cut:
                    yield self._long()
                    self._skip()
                    continue
                yield from self._groups(cut)
            chunk = next(self._chunks, None)
            if chunk is not None:
                self._buffer += chunk
            elif self._buffer:
                yield from self._groups(len(self._buffer))

    def _groups(self, cut: int) -> Iterator[Group]:
        """The whole records before ``cut``, in groups."""
        text, self._buffer = self._buffer[:cut], self._buffer[cut:]
        start = 0
        while start < len(text):
            end = len(text)
            if end - start > GROUP:
                end = text.rfind(b"\n>", start, start + GROUP) + 1
                if end <= start:  # a record that is longer than that
                    end = text.find(b"\n>", start) + 1 or len(text)
            line = self._line
            self._line += text.count(b"\n", start, end)
            yield Group(text[start:end], self._source, line)
            start = end

    def _find_first(self) -> None:
        text = b""
        first = True
        for chunk in self._chunks:
            text += chunk.removeprefix(_BYTE_ORDER_MARK) if first else chunk
            first = False
            start = len(text) - len(text.lstrip())
            self._line += text.count(b"\n", 0, start)
            text = text[start:]
            if text:
                break
        if text[:1] != b">":
            if not text:
                raise BadInput("there is no record in it", file=self._source)
            shown = text.split(b"\n", 1)[0][:30].decode("ascii", "backslashreplace")
            what = "this looks like FASTQ" if text[:1] == b"@" else "text before the first '>'"
            raise BadInput(
                f"{what}: {shown!r} (FASTA, GenBank, EMBL and Swiss-Prot are understood)",
                file=self._source,
                line=self._line,
            )
        self._buffer = text

    def _long(self) -> LongRecord | BadInput:
        head, newline, body = self._buffer[1:].partition(b"\n")
        line = self._line
        self._inside = True
        self._at_line_start = self._buffer.endswith(b"\n")
        self._buffer = b""
        self._line += len(newline)
        if not newline:
            problem = "a defline of more than a million characters"
            return BadInput(problem, file=self._source, line=line)
        defline = _head(head)
        if defline is None:
            self._line += body.count(b"\n")
            return BadInput(_head_problem(head), file=self._source, line=line)
        text = _Residues(self._source, first_word(defline), line + 1, with_mask=self._with_mask)
        if defline.encode("utf-8") != head:
            text.layout.spoil()
        return LongRecord(defline, self._pieces(text, body), line, text.layout)

    def _pieces(self, text: _Residues, body: bytes) -> Iterator[tuple[bytes, int]]:
        while True:
            try:
                piece = text.clean(body)
            except BadInput:
                self._line += body.count(b"\n")
                raise
            self._line = text.line  # which has counted the lines already
            yield piece
            if not self._inside:
                return
            body = self._next_text()

    def _next_text(self) -> bytes:
        """More text of the long record; at its end, the next record is in the buffer."""
        chunk = next(self._chunks, None)
        if chunk is None:
            self._inside = False
            return b""
        # A search for one byte is fifty times as fast as one for two.
        cut = chunk.find(b">")
        while cut > 0 and chunk[cut - 1 : cut] != b"\n":
            cut = chunk.find(b">", cut + 1)
        if cut == 0 and not self._at_line_start:
            cut = chunk.find(b"\n>") + 1 or -1
        if cut >= 0:
            self._inside = False
            self._buffer = chunk[cut:]
            chunk = chunk[:cut]
        self._at_line_start = chunk.endswith(b"\n")
        return chunk

    def _skip(self) -> None:
        while self._inside:
            self._line += self._next_text().count(b"\n")


# --- flat files -------------------------------------------------------------------------------


class _ChunkStream(io.RawIOBase):
    """Chunks as a stream that Biopython can read lines from, counting them."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._ahead = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._ahead:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._ahead = chunk
        data = self._ahead[: len(buffer)]
        self._ahead = self._ahead[len(data) :]
        buffer[: len(data)] = data
        return len(data)


class _CountedLines(io.TextIOWrapper):
    n_lines = 0
    last = ""
    """The last line that was not blank."""

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        line = super().readline(size)
        self._count(line)
        return line

    def _count(self, line: str) -> None:
        self.n_lines += bool(line)
        if not line.isspace():
            self.last = line or self.last

    def __next__(self) -> str:  # type: ignore[override]
        line = super().__next__()
        self._count(line)
        return line


#: Warnings go through what all threads share: of two files that are read at once, each would be
#: told what is wrong with the other.
_WARNINGS = threading.Lock()

#: What Biopython warns of when a record has fewer residues than it says.
_WRONG_LENGTH = "Expected sequence length"


def _flat_file(chunks: Iterator[bytes], source: str, kind: str) -> Iterator[Record | BadInput]:
    from Bio import SeqIO  # noqa: PLC0415  (0.2 s that a FASTA file need not wait for)

    lines = _CountedLines(io.BufferedReader(_ChunkStream(chunks)), encoding="utf-8")
    n_records = 0
    found: Iterator[SeqRecord] = SeqIO.parse(lines, kind)  # type: ignore[no-untyped-call]
    while True:
        try:
            record, messages = _next(found)
        except BadInput:
            raise
        except Exception as error:  # whatever its parser makes of a broken file
            reason = " ".join(str(error).split())
            raise Truncated(
                f"not {kind} that Biopython can read: {reason}",
                file=source,
                line=lines.n_lines,
            ) from error
        if record is None:
            break
        n_records += 1
        yield _flat_record(record, messages, source, lines.n_lines)
    if not n_records:
        raise BadInput("there is no record in it", file=source)
    if lines.last.strip() != "//":
        raise Truncated(
            "the last record does not end (//): the file is truncated",
            file=source,
            line=lines.n_lines,
        )


def _next(found: Iterator[SeqRecord]) -> tuple[SeqRecord | None, list[str]]:
    """The next record of Biopython's, and what it warned of."""
    with _WARNINGS, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        record = next(found, None)
    return record, [" ".join(str(warning.message).split()) for warning in caught]


def _flat_record(
    record: SeqRecord, messages: list[str], source: str, line: int
) -> Record | BadInput:
    """A record of Biopython's that ends at ``line``, and what it warned of."""
    from Bio.Seq import UndefinedSequenceError  # noqa: PLC0415

    name = str(record.id)
    for message in messages:
        if message.startswith(_WRONG_LENGTH):
            return BadInput(f"record {name!r}: {message}", file=source, line=line)
        logger.warning("%s, near line %d: %s", source, line, message)
    try:
        text = bytes(record.seq or b"")
        residues, letters = _Residues(source, name, line).clean(text)
    except UndefinedSequenceError:
        return BadInput(f"record {name!r} ending here has no residues", file=source, line=line)
    except BadInput as error:
        return error
    circular = record.annotations.get("topology") == "circular"
    defline = f"{name} {record.description}".strip()
    return Record(defline, residues, letters, line, circular)


def read_records(
    chunks: Iterator[bytes], source: str, *, with_mask: bool = False
) -> tuple[str, Iterator[Group | Record | LongRecord | BadInput]]:
    """The format of a text, known by how it begins, and its records or groups of them.

    Args:
        with_mask: Remember what of FASTA is in lower case; of groups, ``records_in`` does.

    Returns:
        ``fasta``, ``genbank``, ``embl`` or ``swiss``, and an iterator.

    Raises:
        BadInput: While iterating: the text as a whole is not what it begins as.
    """
    head = next(chunks, b"")

    def again() -> Iterator[bytes]:
        yield head
        yield from chunks

    start = head.removeprefix(_BYTE_ORDER_MARK).lstrip()
    if _GENBANK.match(start):
        return "genbank", _flat_file(again(), source, "genbank")
    if start.startswith(b"ID   "):
        first_line = start.split(b"\n", 1)[0].rstrip()
        kind = "swiss" if first_line.endswith(b"AA.") else "embl"
        return kind, _flat_file(again(), source, kind)
    return "fasta", iter(FastaScanner(again() if head else chunks, source, with_mask=with_mask))
