"""Properties of the parts, for whatever input hypothesis thinks of."""

from __future__ import annotations

import base64
import binascii
import gzip
import string
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from seqarchive import namespaces
from seqarchive.bgzf import (
    BLOCK_SIZE,
    EOF_BLOCK,
    Compression,
    Index,
    compress_block,
    compress_blocks,
    inflate_block,
    stored_block,
)
from seqarchive.errors import BadInput, BadInterval, BadName, Corrupt
from seqarchive.identifiers import (
    Interval,
    check_interval,
    digest_bytes,
    digest_of,
    digest_text,
    parse_digest,
    split_range,
)
from seqarchive.letters import letters_in
from seqarchive.records import LONG, Group, LongRecord, Record, read_records, records_in

_fast = settings(max_examples=100, deadline=None)
_slow = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

# --- FASTA ------------------------------------------------------------------------------------

_Parsed = tuple[str, str, str, int]
"""Defline, residues, letters and line of a record."""

_WORD = st.text(string.ascii_letters + string.digits + "|:._*-#>;@é", min_size=1, max_size=8)
_DEFLINE = st.lists(_WORD, min_size=1, max_size=3).map(" ".join)
_LINE_END = st.sampled_from(["\n", "\r\n"])
_BLANK = st.sampled_from(["", " ", "\t ", "\v\f"])
_LETTERS = st.text(string.ascii_letters + "*-" + "ACGTN" * 8 + " \t", max_size=30)
_COMMON = st.text("ACGTN", max_size=30)
_LINES = st.lists(_LETTERS | _COMMON | _BLANK, max_size=6)


def _is_pir(defline: str) -> bool:
    return defline[2:3] == ";"


@st.composite
def _fasta_texts(draw: st.DrawFn) -> bytes:
    """FASTA as people write it; each line ends as it likes."""
    lines = draw(st.lists(_BLANK, max_size=3))
    for _ in range(draw(st.integers(1, 6))):
        lines.append(">" + draw(_BLANK) + draw(_DEFLINE.filter(lambda text: not _is_pir(text))))
        lines += draw(_LINES)
    ends = draw(st.lists(_LINE_END, min_size=len(lines), max_size=len(lines)))
    text = "".join(line + end for line, end in zip(lines, ends, strict=True))
    if draw(st.booleans()):
        text = text.removesuffix("\n").removesuffix("\r")
    return text.encode("utf-8")


def _naive(text: bytes) -> list[_Parsed]:
    """What a FASTA text says, one line after another."""
    deflines: list[tuple[str, int]] = []
    bodies: list[list[str]] = []
    for n, line in enumerate(text.decode("utf-8").split("\n"), 1):
        if line.startswith(">"):
            deflines.append((line[1:].strip(), n))
            bodies.append([])
        elif bodies:
            bodies[-1].append("".join(line.split()).upper())
    return [
        (defline, residues, "".join(sorted(set(residues))), n)
        for (defline, n), residues in zip(deflines, map("".join, bodies), strict=True)
    ]


def _read(chunks: Iterator[bytes]) -> list[_Parsed]:
    """The same by the package."""
    file_format, found = read_records(chunks, "a text")
    assert file_format == "fasta"
    parsed: list[_Parsed] = []

    def take(record: Record | BadInput) -> None:
        assert isinstance(record, Record), record
        residues = record.residues.decode("ascii")
        parsed.append((record.defline, residues, letters_in(record.letters), record.line))

    for one in found:
        if isinstance(one, Group):
            for record in records_in(one):
                take(record)
        elif isinstance(one, LongRecord):
            pieces = list(one.pieces)
            letters = 0
            for _, some in pieces:
                letters |= some
            residues = b"".join(piece for piece, _ in pieces).decode("ascii")
            parsed.append((one.defline, residues, letters_in(letters), one.line))
        else:
            take(one)
    return parsed


def _chunks(text: bytes, sizes: list[int]) -> Iterator[bytes]:
    """A text in pieces of these sizes, over and over; never an empty one."""
    at = n = 0
    while at < len(text):
        size = sizes[n % len(sizes)]
        yield text[at : at + size]
        at += size
        n += 1


@_fast
@given(text=_fasta_texts(), sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5))
@example(text=b">a\n\n>b\nAC GT", sizes=[1])
@example(text=b"\r\n>a\r\nac\r\n\r\ngt\r\n>b\r\n>c\r\nN", sizes=[3, 1])
def test_fasta_says_the_same_however_it_is_cut_into_chunks(text: bytes, sizes: list[int]) -> None:
    assert _read(_chunks(text, sizes)) == _naive(text)
    assert _read(iter([text])) == _naive(text)


@settings(_slow, max_examples=12)
@given(
    before=_fasta_texts(),
    after=_fasta_texts(),
    line=st.text("ACGTNacgt-* \t", min_size=50, max_size=80),
    end=st.sampled_from([b"\n", b"\r\n"]),
    extra=st.integers(-3, 3),
    sizes=st.lists(st.integers(1 << 12, 1 << 20), min_size=1, max_size=4),
)
def test_a_record_that_is_longer_than_memory_may_hold_says_the_same_too(
    before: bytes, after: bytes, line: str, end: bytes, extra: int, sizes: list[int]
) -> None:
    """Lengths around ``LONG``, with records before and behind, and a long one at the end."""
    one = line.encode("ascii") + end
    body = (one * (LONG // len(one) + 1))[: LONG + extra]
    body = body.removesuffix(b"\r")
    separator = b"" if body.endswith(b"\n") else b"\n"
    middle = b">long one\n" + body + separator
    text = before + b"\n" + middle + after.lstrip() + b"\n" + middle
    assert _read(_chunks(text, sizes)) == _naive(text)


@_fast
@given(
    text=_fasta_texts(),
    bad=st.sampled_from([b"1", b".", b"!", b"\xff", b"\0", b">"]),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5),
)
def test_one_bad_record_is_named_with_its_line_and_spoils_no_other(
    text: bytes, bad: bytes, sizes: list[int]
) -> None:
    whole = text.rstrip() + b"\n>bad\nACGT\nAC" + bad + b"GT\n>last\nGATTACA\n"
    _, found = read_records(_chunks(whole, sizes), "a text")
    records: list[Record | BadInput] = []
    for group in found:
        assert isinstance(group, Group)
        records += records_in(group)
    errors = [record for record in records if isinstance(record, BadInput)]
    assert [error.line for error in errors] == [whole[: whole.index(b">bad\n")].count(b"\n") + 3]
    good = [record.defline for record in records if isinstance(record, Record)]
    assert good == [*(defline for defline, *_ in _naive(text.rstrip())), "last"]


# --- ranges -----------------------------------------------------------------------------------

_POSITION = st.none() | st.integers(0, 10**12)


@_fast
@given(name=st.text(min_size=1), start=_POSITION, end=_POSITION, commas=st.booleans())
@example(name="a:5-6", start=1, end=2, commas=False)
@example(name="a\n", start=1, end=None, commas=False)
def test_a_name_and_a_range_joined_are_taken_apart_again(
    name: str, start: int | None, end: int | None, commas: bool
) -> None:
    def shown(position: int | None) -> str:
        return "" if position is None else f"{position:,}" if commas else str(position)

    text = f"{name}:{shown(start)}-{shown(end)}"
    if start is None and end is None:
        assert split_range(text) is None
    else:
        assert split_range(text) == (name, Interval(start, end))


@_fast
@given(text=st.text("ab:-,0123456789\n٣", max_size=12))
def test_a_range_is_never_taken_from_a_text_that_has_none(text: str) -> None:
    found = split_range(text)
    name, colon, last = text.rpartition(":")
    start, dash, end = last.partition("-")
    digits = {*string.digits, ","}
    is_range = (
        bool(name and colon and dash and (start or end))
        and {*start, *end} <= digits
        and not start.startswith(",")
        and not end.startswith(",")
    )
    assert (found is not None) == is_range
    if found is not None:
        assert found[0] == name


@_fast
@given(
    length=st.integers(0, 12),
    start=st.none() | st.integers(-3, 15),
    end=st.none() | st.integers(-3, 15),
    clamp=st.booleans(),
    circular=st.booleans(),
)
def test_an_interval_is_what_a_list_of_positions_says(
    length: int, start: int | None, end: int | None, clamp: bool, circular: bool
) -> None:
    first = 0 if start is None else start
    last = length if end is None else end
    borders = range(length + 1)
    if clamp:
        first, last = (min(borders, key=lambda b: abs(b - at)) for at in (first, last))
    possible = first in borders and last in borders and (first <= last or circular)
    if possible:
        assert check_interval(start, end, length, clamp=clamp, circular=circular) == (first, last)
    else:
        with pytest.raises(BadInterval):
            check_interval(start, end, length, clamp=clamp, circular=circular)


# --- namespaces and digests -------------------------------------------------------------------

_NAMESPACE = st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_.+\-]{0,63}\Z") | st.sampled_from(
    ["NCBI", "RefSeq", "GenBank", "vmc", "GRCh38.P14", "grcm39", "ncbi36", "HG19", "CHM13v2.0"]
)


@_fast
@given(namespace=_NAMESPACE)
def test_the_canonical_spelling_of_a_namespace_is_its_own(namespace: str) -> None:
    spelling = namespaces.canonical(namespace)
    assert namespaces.canonical(spelling) == spelling
    for other in (namespace.upper(), namespace.lower(), namespace.swapcase()):
        assert namespaces.canonical(other).lower() == spelling.lower()
        if namespaces.is_canonical(namespace):
            assert namespaces.canonical(other) == spelling


@_fast
@given(text=st.text(max_size=70))
@example("refseq\n")
@example("a" * 65)
@example("refseq:")
def test_a_namespace_is_refused_or_can_be_part_of_an_identifier(text: str) -> None:
    try:
        spelling = namespaces.canonical(text)
    except BadName:
        return
    assert spelling.isascii()
    assert 1 <= len(spelling) <= 64
    assert not set(spelling) - {*string.ascii_letters, *string.digits, *"_.+-"}


@_fast
@given(raw=st.binary(min_size=24, max_size=24))
def test_a_digest_as_text_is_the_digest_in_all_its_spellings(raw: bytes) -> None:
    text = digest_text(raw)
    assert text == base64.urlsafe_b64encode(raw).decode("ascii")
    assert digest_bytes(text) == raw
    for written in (text, f"SQ.{text}", f"ga4gh:SQ.{text}"):
        assert parse_digest(written) == text


@_fast
@given(text=st.text(string.ascii_letters + string.digits + "-_+/=.\n é", max_size=36))
@example("A" * 32 + "\n")
@example("٣" * 32)
def test_what_is_not_a_digest_is_refused_as_a_name(text: str) -> None:
    try:
        digest = parse_digest(text)
    except BadName:
        bare = text.removeprefix("SQ.")
        assert len(bare) != 32 or set(bare) - {*string.ascii_letters, *string.digits, *"-_"}
        return
    assert text.endswith(digest)
    assert digest_text(digest_bytes(digest)) == digest


@_fast
@given(one=st.binary(max_size=50), other=st.binary(max_size=50))
def test_sequences_are_the_same_if_and_only_if_their_digests_are(one: bytes, other: bytes) -> None:
    assert (digest_of(one) == digest_of(other)) == (one == other)


# --- BGZF -------------------------------------------------------------------------------------

_DATA = st.one_of(
    st.binary(max_size=200),
    st.tuples(st.binary(min_size=1, max_size=64), st.integers(1, 1000)).map(
        lambda repeated: repeated[0] * repeated[1]
    ),
    # What cannot be compressed, and sizes about the borders of blocks.
    st.builds(
        lambda seed, more, n: Random(seed).randbytes(BLOCK_SIZE * n + more),
        st.integers(0, 1 << 32),
        st.integers(-2, 2),
        st.integers(1, 3),
    ),
    st.builds(
        lambda seed, length: bytes(Random(seed).choices(b"ACGT", k=length)),
        st.integers(0, 1 << 32),
        st.integers(0, 40_000),
    ),
)
_COMPRESSION = st.sampled_from(list(Compression))


def _split(text: bytes) -> list[bytes]:
    """The blocks of a BGZF text, cut by the sizes in their headers."""
    blocks = []
    at = 0
    while at < len(text):
        assert text[at : at + 4] == b"\x1f\x8b\x08\x04"
        assert text[at + 12 : at + 16] == b"BC\x02\x00"
        size = int.from_bytes(text[at + 16 : at + 18], "little") + 1
        blocks.append(text[at : at + size])
        at += size
    return blocks


@_slow
@given(data=_DATA, compression=_COMPRESSION)
def test_everybody_reads_from_blocks_what_was_put_into_them(
    data: bytes, compression: Compression
) -> None:
    blocks = compress_blocks(data, compression)
    text = b"".join(blocks) + EOF_BLOCK
    assert gzip.decompress(text) == data
    assert _split(text) == [*blocks, EOF_BLOCK]
    pieces = [inflate_block(block) for block in blocks]
    assert b"".join(pieces) == data
    assert all(len(piece) == BLOCK_SIZE for piece in pieces[:-1])
    assert all(0 < len(piece) <= BLOCK_SIZE for piece in pieces[-1:])
    assert blocks == compress_blocks(memoryview(data), compression)


@_slow
@given(data=_DATA)
def test_the_small_compression_is_never_larger_than_the_fast_one(data: bytes) -> None:
    for at in range(0, len(data), BLOCK_SIZE):
        piece = data[at : at + BLOCK_SIZE]
        small = compress_block(piece, Compression.SMALL)
        assert len(small) <= len(compress_block(piece, Compression.FAST))


@_slow
@given(one=st.binary(max_size=1000), large=st.booleans())
def test_the_size_of_a_stored_block_depends_on_the_length_alone(one: bytes, large: bool) -> None:
    data = one * (BLOCK_SIZE // max(1, len(one))) if large else one
    block = stored_block(data)
    assert inflate_block(block) == gzip.decompress(block) == data
    assert len(block) == len(stored_block(bytes(len(data)))) == len(data) + 31
    assert _split(block) == [block]


@_slow
@given(
    data=st.one_of(st.binary(max_size=300), st.text("ACGT", max_size=300).map(str.encode)),
    compression=_COMPRESSION,
    stored=st.booleans(),
    positions=st.lists(st.integers(0, 1 << 20), min_size=1, max_size=60),
)
def test_a_flipped_bit_in_a_block_is_reported_or_harmless(
    data: bytes, compression: Compression, stored: bool, positions: list[int]
) -> None:
    """Harmless are those of the header that say nothing of the data, and the padding."""
    block = stored_block(data) if stored else compress_block(data, compression)
    for position in positions:
        byte, bit = divmod(position % (8 * len(block)), 8)
        changed = bytearray(block)
        changed[byte] ^= 1 << bit
        try:
            found = inflate_block(bytes(changed))
        except Corrupt:
            continue
        assert found == data


@_slow
@given(data=st.binary(min_size=1, max_size=300), compression=_COMPRESSION, stored=st.booleans())
def test_a_block_that_is_cut_short_is_reported(
    data: bytes, compression: Compression, stored: bool
) -> None:
    block = stored_block(data) if stored else compress_block(data, compression)
    for length in range(len(block)):
        with pytest.raises(Corrupt):
            inflate_block(block[:length])


_STEPS = st.lists(st.tuples(st.integers(1, 1 << 16), st.integers(1, BLOCK_SIZE)), max_size=30)


def _index(steps: list[tuple[int, int]], far: int) -> tuple[Index, list[tuple[int, int]]]:
    blocks = [(0, 0)]
    for compressed, uncompressed in steps:
        blocks.append((blocks[-1][0] + compressed, blocks[-1][1] + uncompressed))
    blocks[1:] = [(one + far, other + far) for one, other in blocks[1:]]
    return Index.of(blocks), blocks


@_fast
@given(steps=_STEPS, far=st.sampled_from([0, 1 << 33, 1 << 62]))
def test_an_index_comes_back_from_its_bytes(steps: list[tuple[int, int]], far: int) -> None:
    index, blocks = _index(steps, far)
    data = index.to_bytes()
    assert len(data) == 8 + 16 * len(steps)
    again = Index.from_bytes(data)
    assert list(zip(again.compressed, again.uncompressed, strict=True)) == blocks
    assert again.to_bytes() == data


@_fast
@given(steps=_STEPS, offset=st.integers(0, 1 << 19))
def test_an_index_finds_the_block_of_every_offset(
    steps: list[tuple[int, int]], offset: int
) -> None:
    index, blocks = _index(steps, 0)
    naive = max(n for n, (_, uncompressed) in enumerate(blocks) if uncompressed <= offset)
    assert index.block_at(offset) == naive


@_fast
@given(steps=_STEPS, cut=st.integers(1, 500), more=st.binary(min_size=1, max_size=40))
def test_an_index_that_does_not_fill_its_file_is_reported(
    steps: list[tuple[int, int]], cut: int, more: bytes
) -> None:
    data = _index(steps, 0)[0].to_bytes()
    assume(cut <= len(data))
    for damaged in (data[:-cut], data + more):
        with pytest.raises(Corrupt):
            Index.from_bytes(damaged)


def test_the_end_of_file_block_holds_nothing() -> None:
    assert inflate_block(EOF_BLOCK) == gzip.decompress(EOF_BLOCK) == b""
    assert binascii.crc32(b"") == int.from_bytes(EOF_BLOCK[-8:-4], "little")
