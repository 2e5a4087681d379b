"""Whatever bytes or text come in: they are understood as a naive model does, or refused.

(``test_properties`` holds the laws of the single parts.)
"""

from __future__ import annotations

import contextlib
import string
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pysam
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from seqarchive import BadInput, BadName, namespaces
from seqarchive.bgzf import (
    BLOCK_SIZE,
    EOF_BLOCK,
    Compression,
    Index,
    compress_blocks,
    scan_blocks,
    stored_block,
)
from seqarchive.deflines import Naming
from seqarchive.identifiers import (
    Alias,
    DigestKey,
    StoredDigests,
    bare_keys,
    check_alias,
    computed_names,
    digest_of,
    parse_alias,
    qualified_key,
)
from seqarchive.letters import letters_in, letters_of
from seqarchive.records import LONG, Group, LongRecord, Record, read_records, records_in

LETTERS = string.ascii_letters + "*-"
ALIASES = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=20
)
NAMESPACES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.+\-]{0,20}", fullmatch=True)

quick = settings(deadline=None, max_examples=100)
thorough = settings(
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


# --- records ----------------------------------------------------------------------------------


@st.composite
def fasta(draw: st.DrawFn) -> tuple[bytes, list[tuple[str, str]]]:
    """A FASTA text with short and very long records, and the names and residues in it."""
    parts = [draw(st.sampled_from([b"", b"\n", b" \r\n\n"]))]
    records = []
    lengths = st.integers(0, 300) | st.integers(LONG - 100, LONG + 100) | st.integers(0, 3 * LONG)
    for n in range(draw(st.integers(1, 4))):
        motif = draw(st.text(LETTERS, min_size=1, max_size=40))
        length = draw(lengths)
        residues = (motif * (length // len(motif) + 1))[:length]
        widths = st.integers(1, 200) if length < 2_000 else st.sampled_from([60, 1 << 30])
        width = draw(widths)
        end = draw(st.sampled_from([b"\n", b"\r\n", b"\n\n", b" \n"]))
        more = draw(st.sampled_from([b"", b" x", b" >", b"\t|", b" \xc3\xbc"]))
        parts.append(b">r%d%s%s" % (n, more, draw(st.sampled_from([b"\n", b"\r\n"]))))
        for at in range(0, length, width):
            parts += (residues[at : at + width].encode(), end)
        records.append((f"r{n}", residues.upper()))
    text = b"".join(parts)
    return text.rstrip() if draw(st.booleans()) else text, records


def read(text: bytes, chunk: int) -> Iterator[tuple[str, str, int]]:
    """Names, residues and lines of a text that comes in chunks."""
    chunks = (text[at : at + chunk] for at in range(0, len(text), chunk))
    _, found = read_records(chunks, "text")
    for item in found:
        if isinstance(item, Group):
            for record in records_in(item):
                assert isinstance(record, Record), record
                assert record.letters == letters_of(record.residues)
                yield record.defline.split()[0], record.residues.decode(), record.line
        else:
            assert isinstance(item, LongRecord), item
            pieces = list(item.pieces)
            name = item.defline.split()[0]
            yield name, b"".join(residues for residues, _ in pieces).decode(), item.line


@thorough
@given(fasta(), st.sampled_from([LONG, LONG // 2, LONG - 1, LONG + 7, 100_003, 5 * LONG]))
def test_short_and_very_long_records_are_read_alike_however_they_are_cut(
    made: tuple[bytes, list[tuple[str, str]]], chunk: int
) -> None:
    text, records = made
    found = list(read(text, chunk))
    assert [(name, residues) for name, residues, _ in found] == records
    lines = [n for n, line in enumerate(text.split(b"\n"), 1) if line.startswith(b">")]
    assert [line for *_, line in found] == lines


@quick
@given(st.binary(max_size=300), st.integers(1, 100))
@example(b">", 1)
@example(b"\xef\xbb\xbf>a\nA", 100)
@example(b"LOCUS \n", 3)
@example(b"ID   X; SV 1; linear; DNA; STD; INV; 4 BP.\nSQ   \n     acgt\n//\n", 9)
def test_any_bytes_are_read_or_refused(text: bytes, chunk: int) -> None:
    """Nothing but residues comes out, and no error but BadInput."""
    for prefix in (b"", b">a\n", b">a\nAC\n>", b"LOCUS ", b"ID   "):
        whole = prefix + text
        chunks = (whole[at : at + chunk] for at in range(0, len(whole), chunk))
        with contextlib.suppress(BadInput):
            _, found = read_records(chunks, "text")
            for item in found:
                for record in records_in(item) if isinstance(item, Group) else [item]:
                    if isinstance(record, Record):
                        assert set(record.residues.decode()) <= set(LETTERS.upper())
                        assert record.defline.strip()
                    else:
                        assert isinstance(record, BadInput)


@quick
@given(st.text(LETTERS + " \t\r\n\v\f", max_size=200), st.integers(1, 70))
def test_residues_lose_their_white_space_and_nothing_else(text: str, chunk: int) -> None:
    ((_, residues, _),) = read(b">a\n" + text.encode(), chunk)
    assert residues == "".join(text.split()).upper()


@quick
@given(st.text(LETTERS.upper(), max_size=100))
def test_a_letters_mask_says_which_characters_occur(residues: str) -> None:
    assert letters_in(letters_of(residues.encode())) == "".join(sorted(set(residues)))


# --- names ------------------------------------------------------------------------------------


@quick
@given(NAMESPACES)
def test_the_case_of_a_namespace_does_not_matter_where_a_table_settles_it(text: str) -> None:
    spelling = namespaces.canonical(text)
    assert spelling.lower() == text.lower() or namespaces.is_canonical(text)
    if namespaces.is_canonical(text):
        for other in (text.upper(), text.lower(), text.swapcase()):
            assert namespaces.canonical(other) == spelling


@quick
@given(NAMESPACES, ALIASES)
def test_an_alias_survives_being_written(namespace: str, alias: str) -> None:
    made = Alias(namespaces.canonical(namespace), check_alias(alias))
    assert parse_alias(str(made)) == made


@quick
@given(st.text(max_size=30))
@example(" a")
@example("a ")
@example("a\u00a0")
def test_an_alias_is_one_printable_word_or_refused(text: str) -> None:
    try:
        assert check_alias(text) == text
    except BadName:
        assert text == "" or not text.isprintable() or " " in text
    else:
        assert text.split() == [text]
        assert text.isprintable()


@quick
@given(
    st.binary(min_size=24, max_size=24),
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=20, max_size=20),
)
def test_every_computed_name_asks_for_the_digest_it_comes_from(
    digest: bytes, md5: bytes, sha1: bytes
) -> None:
    stored = StoredDigests(digest, md5, sha1)
    for name in computed_names(stored):
        key = qualified_key(str(name))
        assert isinstance(key, DigestKey)
        assert key.value == stored._asdict()[key.column]
        assert key in bare_keys(name.alias)


@quick
@given(st.text(max_size=60))
def test_any_text_can_be_asked_for(text: str) -> None:
    qualified_key(text)
    assert bare_keys(text)


@quick
@given(st.text(LETTERS.upper(), max_size=50), st.lists(st.tuples(NAMESPACES, ALIASES), max_size=4))
def test_an_exported_defline_gives_its_names_back(
    residues: str, names: list[tuple[str, str]]
) -> None:
    aliases = tuple(Alias(namespaces.canonical(one), other) for one, other in names)
    aliases = tuple(alias for alias in aliases if alias.namespace not in namespaces.COMPUTED)
    digest = digest_of(residues.encode())
    found = Naming("else").names(" ".join([f"ga4gh:SQ.{digest}", *map(str, aliases)]))
    assert found.digest == digest
    assert found.aliases == aliases


@quick
@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(["gi", "ref", "sp", "lcl", "gnl", "pdb", "pir", "md5", "", "X.1"]))
    .map("|".join)
    .filter(bool)
)
@example("gnl|md5|5")
@example("gnl|a b|5")
@example("lcl|")
def test_any_defline_gives_names_that_can_be_looked_up_or_is_refused(defline: str) -> None:
    try:
        names = Naming("t").names(defline)
    except BadName:
        return
    assert names.aliases or names.digest
    for alias in names.aliases:
        assert check_alias(alias.alias) == alias.alias
        assert parse_alias(str(alias)) == alias
        assert alias.namespace not in namespaces.COMPUTED
        assert qualified_key(str(alias)) == (alias.namespace, alias.alias)


# --- blocks -----------------------------------------------------------------------------------

CONTENTS = st.binary(max_size=200) | st.builds(
    lambda motif, length: (motif * (length // len(motif) + 1))[:length],
    st.binary(min_size=1, max_size=60),
    st.integers(0, 3 * BLOCK_SIZE + 5)
    | st.sampled_from([BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, 2 * BLOCK_SIZE]),
)


@thorough
@given(CONTENTS, st.sampled_from(Compression), st.binary(max_size=60))
def test_blocks_of_both_kinds_are_a_file_that_htslib_reads(
    contents: bytes, compression: Compression, head: bytes
) -> None:
    blocks = [stored_block(head), *compress_blocks(contents, compression)]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "x.gz"
        path.write_bytes(b"".join(blocks) + EOF_BLOCK)
        with pysam.BGZFile(str(path), "rb", None) as file:
            assert file.read() == head + contents
        found = list(scan_blocks(path))
    assert b"".join(data for _, data in found) == head + contents
    assert [at for at, _ in found] == [sum(map(len, blocks[:n])) for n in range(len(blocks))]


@thorough
@given(CONTENTS)
def test_an_index_is_byte_for_byte_that_of_htslib(contents: bytes) -> None:
    text = b">x\n" + bytes(65 + byte % 26 for byte in contents) + b"A\n"
    blocks = compress_blocks(text)
    places, at = [], 0
    for n, block in enumerate(blocks):
        places.append((at, n * BLOCK_SIZE))
        at += len(block)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "x.fa.gz"
        path.write_bytes(b"".join(blocks) + EOF_BLOCK)
        pysam.faidx(str(path))
        assert Index.of(places).to_bytes() == Path(f"{path}.gzi").read_bytes()
