"""Whatever shape a sequence file has, every residue comes out under its name, or it is refused
with file, record and line. The oracle is a parser of six lines that holds everything in memory.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import random
import tempfile
import threading
import zipfile
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard
from Bio.bgzf import BgzfWriter
from conftest import Cli

from seqarchive import Archive, BadInput, connect
from seqarchive.verifying import verify

#: What the package reads at a time; texts here are made to have their seams around it.
MIB = 1 << 20

BOM = b"\xef\xbb\xbf"

RANDOM = bytes(random.Random(20).choices(b"ACGT", k=100_000))


def naive(text: bytes) -> dict[str, str]:
    """Name -> residues of a FASTA text that is right."""
    found: dict[str, list[bytes]] = {}
    for line in text.removeprefix(BOM).split(b"\n"):
        if line.startswith(b">"):
            body = found[line[1:].split()[0].decode()] = []
        elif line.strip():
            body += line.split()
    return {name: b"".join(parts).upper().decode() for name, parts in found.items()}


def contents(archive: Archive) -> dict[str, str]:
    """Alias -> residues of everything in an archive."""
    return {alias.alias: archive.fetch(str(alias)) for alias, _ in archive.all_aliases("t")}


def load(archive: Archive, path: Path, text: bytes) -> None:
    """Load a text as a file."""
    path.write_bytes(text)
    archive.load(path, "t")


def dna(n_residues: int, seed: int = 1) -> bytes:
    """Residues that look like nothing else here."""
    at = seed * 7919 % 50_000
    return (RANDOM[at:] * (n_residues // 50_000 + 1))[:n_residues]


def wrapped(residues: bytes, width: int = 60, end: bytes = b"\n") -> bytes:
    return b"".join(residues[at : at + width] + end for at in range(0, len(residues), width))


def bgzf(text: bytes) -> bytes:
    """As Biopython writes it."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "x"
        with BgzfWriter(path, "wb", compresslevel=1) as file:  # type: ignore[no-untyped-call]
            file.write(text)
        return path.read_bytes()


def is_as_before(archive: Archive) -> bool:
    """Whether nothing has come into an archive that was empty, visibly or not."""
    files = [path for path in archive.instance.journal.rglob("*") if path.is_file()]
    return len(archive) == 0 and not files and not list(archive.batches())


# --- what FASTA can look like -----------------------------------------------------------------

SHAPES = {
    "wrapped": b">a one\nACGT\nACGT\nAC\n>b\nGGG\nG\n",
    "unwrapped": b">a\nACGTACGTAC\n>b two\nGGGG\n",
    "lines end with CR LF": b">a one\r\nACGT\r\nAC\r\n>b\r\nGG\r\n",
    "line ends are mixed": b">a one\r\nACGT\nAC\r\n>b\nGG\r\nTT\n",
    "blank lines everywhere": b"\n\n>a\n\nACGT\n\n\nAC\n\n>b\n\n\nGG\n\n",
    "blank lines with CR LF": b"\r\n>a\r\n\r\nACGT\r\n\r\n>b\r\nGG\r\n\r\n",
    "no final newline": b">a\nACGT\n>b\nGG",
    "no final newline after CR LF": b">a\r\nACGT\r\n>b\r\nGG",
    "a defline at the very end": b">a\nACGT\n>b",
    "the first record is empty": b">a\n>b\nACGT\n",
    "a middle record is empty": b">a\nGG\n>b\n>c\nACGT\n",
    "the last record is empty": b">a\nGG\n>b\n",
    "all records are empty": b">a\n>b\n\n>c\n",
    "one record and it is empty": b">a\n",
    "empty but for blank lines": b">a\n\n\n   \n>b\n\nAC\n",
    "a byte order mark": BOM + b">a\nACGT\n>b\nGG\n",
    "lower case": b">a\nacgtn\n>b\nAcGtRyKm\n",
    "white space inside": b">a\nAC GT\tAC\v\f GT \n  AC\n>b\n G \n",
    "stops and gaps": b">a\nMKV*\n>b\nMKV\n>c\n-MK--V*\n>d\n*\n>e\n-\n",
    "all letters": b">a\nABCDEFGHIJKLMNOPQRSTUVWXYZ*-\nabcdefghijklmnopqrstuvwxyz\n",
    "a greater-than sign inside a defline": b">a >b> c\nACGT\n>c\nGG\n",
    "a space before the name": b"> a one\nACGT\n>\tb\nGG\n",
    "a name that is not ASCII": ">Größe_β caf\xe9\nACGT\n>序列 名\nGG\n".encode(),
    "trailing blanks": b">a one  \t\nACGT  \t\n>b   \nGG \n",
    "carriage returns alone inside a sequence": b">a\nACGT\rACGT\r\r\n>b\nGG\n",
}


@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES)
def test_every_shape_of_fasta_is_understood(archive: Archive, tmp_path: Path, text: bytes) -> None:
    load(archive, tmp_path / "x.fa", text)
    assert contents(archive) == naive(text)


@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES)
def test_the_shape_survives_export_and_verification(
    archive: Archive, cli: Cli, tmp_path: Path, text: bytes
) -> None:
    load(archive, tmp_path / "x.fa", text)
    exported = cli("export")
    assert exported.code == 0
    assert len(naive(exported.out.encode())) == len(set(naive(text).values()))
    assert cli("verify", "--full").code == 0


def test_stop_codons_are_residues_like_others(archive: Archive, tmp_path: Path) -> None:
    load(archive, tmp_path / "x.fa", b">stop\nMKV*\n>none\nMKV\n>gap\nMKV-\n")
    assert len({archive.find(f"t:{name}") for name in ("stop", "none", "gap")}) == 3
    assert [archive.fetch(name) for name in ("stop", "none", "gap")] == ["MKV*", "MKV", "MKV-"]


def test_many_stop_codons_are_not_taken_for_fewer(archive: Archive, tmp_path: Path) -> None:
    few, many = "*" * 7 + "KLM", "*" * 36 + "KLM"
    load(archive, tmp_path / "x.fa", f">few\n{few}\n>many\n{many}\n".encode())
    assert contents(archive) == {"few": few, "many": many}


def test_case_and_white_space_make_no_other_sequence(archive: Archive, tmp_path: Path) -> None:
    load(archive, tmp_path / "x.fa", b">a\nACGT\n>b\nacgt\n>c\nA C\nG\tT\r\n")
    assert len(archive) == 1
    assert contents(archive) == dict.fromkeys("abc", "ACGT")


def test_empty_sequences_are_one_and_have_no_shard(archive: Archive, tmp_path: Path) -> None:
    path = tmp_path / "x.fa"
    path.write_bytes(b">a\n>b\n\n>c\n")
    report = archive.load(path, "t")
    assert (report.records, report.sequences_added, report.sequences_known) == (3, 1, 2)
    assert (report.empty, report.shards) == (1, 0)
    assert archive.find("t:b") == "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXc"
    assert len(archive["t:a"]) == 0


# --- around the seams of chunks ---------------------------------------------------------------


@pytest.mark.parametrize("shift", range(-4, 5))
def test_a_record_may_begin_anywhere_around_a_seam(
    archive: Archive, tmp_path: Path, shift: int
) -> None:
    texts = {}
    for n_chunks in (1, 2, 3):
        for width, end in ((60, b"\n"), (60, b"\r\n"), (1 << 30, b"\n"), (1 << 30, b"\r\n")):
            key = f"{n_chunks}-{len(end)}-{width}".encode()
            head = b">first-" + key + end
            n_bytes = n_chunks * MIB + shift - len(head)  # where the second record shall begin
            body = wrapped(dna(n_bytes, n_chunks), width, end)[: n_bytes - len(end)] + end
            text = head + body + b">second-" + key + b" of it" + end + dna(100, shift + 9) + end
            text += b">third-" + key + end + wrapped(dna(70_000, shift + 99), width, end)
            assert text.index(b">second") == n_chunks * MIB + shift
            texts[tmp_path / key.decode()] = text
    for path, text in texts.items():
        path.write_bytes(text)
    archive.load(list(texts), "t")
    expected = {name: body for text in texts.values() for name, body in naive(text).items()}
    assert len(expected) == 36
    assert contents(archive) == expected


@pytest.mark.parametrize("n_residues", [16_348, 16_349, 16_350, 16_351, 16_383, 16_384, 16_385])
def test_a_record_may_be_as_long_as_a_block(
    archive: Archive, tmp_path: Path, n_residues: int
) -> None:
    bodies = {f"r{n}": dna(n_residues * n, n + 5) for n in (1, 2, 7)}
    text = b"".join(b">%s\n%s" % (name.encode(), wrapped(body)) for name, body in bodies.items())
    load(archive, tmp_path / "x.fa", text)
    assert contents(archive) == {name: body.decode() for name, body in bodies.items()}


SEAMS = {
    "many short records": b"".join(
        b">r%d\n%s\n" % (n, dna(20 + n % 100, n)) for n in range(25_000)
    ),
    "a long one, then short ones": b">l\n%s>a\nAC\n>b\nGG\n>c\n" % wrapped(dna(4_000_001)),
    "short ones, then a long one": b">a\nAC\n>b\nGG\n>l\n%s" % wrapped(dna(4_000_001)),
    "long ones one after another": b"".join(
        b">l%d\n%s" % (n, wrapped(dna(1_300_000 + n, n))) for n in range(4)
    ),
    "one line of megabytes": b">l\n%s\n>a\nAC" % dna(5 * MIB + 3),
    "one line without an end": b">l\n" + dna(3 * MIB),
    "megabytes of blank lines": b">l\n" + b"\n" * (3 * MIB) + b"ACGT\n>a\nGG\n",
    "megabytes of blank lines, no residues": b">l\n" + b"\n" * (3 * MIB) + b">a\nGG\n",
    "blank lines after few residues": b">l\nAC\n" + b" \r\n" * MIB + b"GT\n>a\nGG\n",
    "blank lines before the first record": b"\n" * (2 * MIB + 1) + b">a\nGG\n",
    "lines of one residue": b">l\n" + b"A\nC\nG\nT\n" * 300_000 + b">a\nGG\n",
    "lower case late in a long record": b">l\n" + dna(3 * MIB) + b"\nacgtnn\n>a\nGG\n",
    "a defline of a hundred thousand": b">a " + b"d" * 100_000 + b"\nAC\n>b\nGG\n",
    "a defline up to the first seam": b">a " + b"d" * (MIB - 4) + b"\nAC\n>b\nGG\n",
    "an empty record up to the first seam": b">a " + b"d" * (MIB - 4) + b"\n>b\nGG\n",
}


@pytest.mark.parametrize("text", SEAMS.values(), ids=SEAMS)
def test_long_and_many_records_come_out_whole(
    archive: Archive, tmp_path: Path, text: bytes
) -> None:
    load(archive, tmp_path / "x.fa", text)
    assert contents(archive) == naive(text)


# --- what is refused --------------------------------------------------------------------------

REFUSED = {
    "a digit": (b">a\nACGT\n>b x\nAC\nG1T\n", 5, "'b': '1' is not a residue"),
    "GenBank's numbers": (b">a\n1 acgt acgt\n", 2, "'a': '1' is not a residue"),
    "a dot": (b">a\nAC.GT\n", 2, "'a': '.' is not a residue"),
    "a question mark": (b">a\nAC\n\n\nA?\n", 5, "'a': '?' is not a residue"),
    "a comment inside": (b">a\n;comment\nACGT\n", 2, "'a': ';' is not a residue"),
    "a comment before": (b";comment\n>a\nACGT\n", 1, "text before the first '>'"),
    "a greater-than sign inside a line": (b">a\nAC>GT\n", 2, "'a': '>' is not a residue"),
    "an indented record": (b">a\nACGT\n >b\nGG\n", 3, "'a': '>' is not a residue"),
    "text before the first record": (b"\n\nACGT\n>a\nACGT\n", 3, "text before the first '>'"),
    "a sequence without a name": (b"ACGTACGT\n", 1, "text before the first '>': 'ACGTACGT'"),
    "a record without a name": (b">a\nACGT\n>\nGG\n", 3, "a record without a name"),
    "a name of blanks": (b">a\n\nAC\n> \t \nGG\n", 4, "a record without a name"),
    "nothing but a sign": (b">", 1, "a record without a name"),
    "FASTQ": (b"@r\nACGT\n+\nIIII\n", 1, "this looks like FASTQ"),
    "PIR": (b">P1;CRAB\nAlpha crystallin\nMDIT*\n", 1, "PIR (>P1;)"),
    "PIR after FASTA": (b">a\nACGT\n>F1;CRAB\nfragment\nMD*\n", 3, "PIR (>P1;)"),
    "PIR of DNA": (b">DL;X\nname\nACGT*\n", 1, "PIR (>P1;)"),
    "a NUL in a sequence": (b">a\nAC\0GT\n", 2, "'a': '\\x00' is not a residue"),
    "a NUL in a defline": (b">a\nAC\n>b\0c\nGT\n", 3, "a NUL in the defline"),
    "NULs for a tail": (b">a\nACGT\n" + b"\0" * 512, 3, "'a': '\\x00' is not a residue"),
    "Latin-1 in a defline": (b">a\nACGT\n>b caf\xe9\nGG\n", 3, "the defline is not UTF-8"),
    "Latin-1 in a sequence": (b">a\nACG\xe9\n", 2, "'a': byte 0xe9 is not a residue"),
    "a no-break space": (">a\nAC\u00a0GT\n".encode(), 2, "'a': byte 0xc2 is not a residue"),
    "carriage returns alone": (b">a\rACGT\r>b\rGG\r", 1, "a bare carriage return"),
    "carriage returns from some line on": (b">a\nAC\r>b\rGG\r", 2, "'a': '>' is not a residue"),
    "a control character in a name": (b">a\nAC\n>b\x1b[2J\nGG\n", 3, "control characters"),
    "a backspace in a name": (b">a\x08\nAC\n", 1, "control characters"),
    "a byte order mark inside": (b">a\nAC\n" + BOM + b">b\nGG\n", 3, "byte 0xef is not a residue"),
    "nothing": (b"", None, "there is no record in it"),
    "blank lines only": (b"\n \n\r\n", None, "there is no record in it"),
    "a byte order mark only": (BOM, None, "there is no record in it"),
    "HTML": (b"<!DOCTYPE html>\n<html>", 1, "text before the first '>'"),
}


@pytest.mark.parametrize(("text", "line", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_fasta_is_refused_with_file_and_line(
    archive: Archive, cli: Cli, tmp_path: Path, text: bytes, line: int | None, message: str
) -> None:
    path = tmp_path / "x.fa"
    path.write_bytes(text)
    result = cli("load", "--namespace", "t", path)
    assert result.code == 5
    where = f"{path}, line {line}: " if line else f"{path}: "
    assert result.err.startswith(f"seqarchive: {where}")
    assert message in result.err
    assert result.err.count("\n") == 1
    assert result.err.strip().isprintable()
    assert is_as_before(archive)


@pytest.mark.parametrize("compress", [bytes, bgzf, zstandard.compress])
@pytest.mark.parametrize("width", [60, 1 << 30])
@pytest.mark.parametrize("position", [3, MIB - 1, MIB, MIB + 1, 2_500_000, 3_999_999])
def test_a_bad_byte_late_in_a_long_record_is_named_with_its_line(
    archive: Archive,
    tmp_path: Path,
    position: int,
    width: int,
    compress: Callable[[bytes], bytes],
) -> None:
    residues = bytearray(dna(4_000_000))
    residues[position] = ord("!")
    text = b">short\nACGT\n\n>long one\n" + wrapped(bytes(residues), width) + b">next\nGG\n"
    with pytest.raises(BadInput) as caught:
        load(archive, tmp_path / "x", compress(text))
    assert caught.value.line == text[: text.index(b"!")].count(b"\n") + 1
    assert caught.value.file == str(tmp_path / "x")
    assert "record 'long': '!' is not a residue" in str(caught.value)
    assert is_as_before(archive)


def test_lines_are_counted_right_after_a_long_record(archive: Archive, tmp_path: Path) -> None:
    text = b">long\n" + wrapped(dna(3_000_000)) + b"\n\n>next\nACGT\n>last\nAC\nG?\n"
    with pytest.raises(BadInput, match="record 'last'") as caught:
        load(archive, tmp_path / "x.fa", text)
    assert caught.value.line == text.count(b"\n")


def test_lines_are_counted_right_among_many_records(archive: Archive, tmp_path: Path) -> None:
    text = b"".join(b">r%d\n%s" % (n, wrapped(dna(150, n))) for n in range(20_000)) + b">r\n?\n"
    with pytest.raises(BadInput, match="record 'r'") as caught:
        load(archive, tmp_path / "x.fa", text)
    assert caught.value.line == text.count(b"\n")


def test_skipping_leaves_out_what_is_not_right_and_nothing_else(
    archive: Archive, tmp_path: Path
) -> None:
    long = wrapped(dna(2_500_000))
    text = b">a\nAC\n>bad1\nA1\n>\nGG\n>b\nGG\n>bad2\n" + long + b"?\n" + long + b">c\nTT\n"
    text += b">P1;X\nname\nMK\n>caf\xe9\nAC\n>d\n" + long + b">e\nG.\n"
    path = tmp_path / "x.fa"
    path.write_bytes(text)
    report = archive.load(path, "t", skip_errors=True)
    assert contents(archive) == {"a": "AC", "b": "GG", "c": "TT", "d": dna(2_500_000).decode()}
    lines = [n for n, line in enumerate(text.split(b"\n"), 1) if _is_bad(line)]
    assert [int(skipped.split(", line ")[1].split(":")[0]) for skipped in report.skipped] == lines
    assert len(lines) == 6


def _is_bad(line: bytes) -> bool:
    return line in (b"A1", b">", b"?", b">P1;X", b">caf\xe9", b"G.")


@pytest.mark.parametrize("known", [b"", b">k\nKKKK\n"], ids=["all-new", "some-known"])
@pytest.mark.parametrize("head", [b">gnl|ga4gh|x", b">lcl|", b">ga4gh:SQ." + b"A" * 32 + b" t:x"])
def test_a_record_that_is_left_out_takes_nothing_from_one_with_the_same_residues(
    archive: Archive, tmp_path: Path, head: bytes, known: bytes
) -> None:
    if known:
        load(archive, tmp_path / "known.fa", known)
    path = tmp_path / "x.fa"
    path.write_bytes(head + b"\nACGT\n" + known + b">b\nACGT\n>c\nTT\n" + head + b"\nGGGG\n")
    report = archive.load(path, "t", skip_errors=True)
    assert len(report.skipped) == 2
    wanted = {"b": "ACGT", "c": "TT", **({"k": "KKKK"} if known else {})}
    assert contents(archive) == wanted
    assert not verify(archive.instance, full=True).findings


def test_lines_are_counted_right_after_a_defline_without_end(
    archive: Archive, tmp_path: Path
) -> None:
    text = b">a " + b"d" * (2 * MIB) + b"\nACGT\n>b\nAC\nG1\n>c\nTT\n"
    path = tmp_path / "x.fa"
    path.write_bytes(text)
    report = archive.load(path, "t", skip_errors=True)
    first, second = report.skipped
    assert first.startswith(f"{path}, line 1: a defline of more than a million characters")
    assert second.startswith(f"{path}, line 5: record 'b'")
    assert contents(archive) == {"c": "TT"}


# --- compression ------------------------------------------------------------------------------

#: Several chunks when it is decompressed, with records that begin in each.
TEXT = b"".join(b">r%d d\n%s" % (n, wrapped(dna(90_000 * (n + 1), n))) for n in range(7))


def without_size(text: bytes) -> bytes:
    """A zstd frame as a pipe makes it: its header does not say how long the contents are."""
    compressor = zstandard.ZstdCompressor(level=1).compressobj()
    return compressor.compress(text) + compressor.flush()


def in_parts(compress: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Several members, streams or frames one after another, an empty one among them."""

    def compressed(text: bytes) -> bytes:
        cuts = [0, len(text) // 3, len(text) // 3 + 1, len(text) // 3 + 1, len(text)]
        return b"".join(compress(text[start:end]) for start, end in pairwise(cuts))

    return compressed


def quick_gzip(text: bytes) -> bytes:
    return gzip.compress(text, 1)


def quick_xz(text: bytes) -> bytes:
    return lzma.compress(text, preset=0)


COMPRESSORS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", quick_gzip),
    "gzip members": ("gzip", in_parts(quick_gzip)),
    "BGZF": ("bgzf", bgzf),
    "bzip2": ("bzip2", bz2.compress),
    "bzip2 streams": ("bzip2", in_parts(bz2.compress)),
    "xz": ("xz", quick_xz),
    "xz streams": ("xz", in_parts(quick_xz)),
    "zstd": ("zstd", zstandard.compress),
    "zstd without a size": ("zstd", without_size),
    "zstd frames": ("zstd", in_parts(zstandard.compress)),
}
ONE_PIECE = ["gzip", "BGZF", "bzip2", "xz", "zstd", "zstd without a size"]
IN_PARTS = ["gzip members", "bzip2 streams", "xz streams", "zstd frames"]


@cache
def compressed(kind: str) -> bytes:
    """``TEXT``."""
    return COMPRESSORS[kind][1](TEXT)


@pytest.mark.parametrize("kind", COMPRESSORS)
def test_compression_is_recognised_by_content_not_by_name(
    archive: Archive, tmp_path: Path, kind: str
) -> None:
    suffixes = ("", ".fa", ".gz", ".bgz", ".bz2", ".xz", ".zst", ".gb", ".zip")
    paths = [tmp_path / f"x{suffix}" for suffix in suffixes]
    for path in paths:
        path.write_bytes(compressed(kind))
    report = archive.load(paths, "t")
    assert [file["compression"] for file in report.files] == [COMPRESSORS[kind][0]] * len(paths)
    assert contents(archive) == naive(TEXT)


@pytest.mark.parametrize("kind", COMPRESSORS)
def test_compressed_standard_input_is_recognised(archive: Archive, cli: Cli, kind: str) -> None:
    result = cli("--json", "load", "--namespace", "t", "-", stdin=compressed(kind))
    assert result.code == 0
    (source,) = json.loads(result.out)["files"]
    assert source["name"] == "standard input"
    assert source["compression"] == COMPRESSORS[kind][0]
    assert source["sha256"] == hashlib.sha256(compressed(kind)).hexdigest()
    assert contents(archive) == naive(TEXT)


def test_the_padding_of_a_pzstd_file_is_no_text(archive: Archive, tmp_path: Path) -> None:
    padding = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b">p\nAC"
    frames = zstandard.compress(b">a\nAC\n"), zstandard.compress(b">b\nGG\n")
    load(archive, tmp_path / "x.zst", padding + padding.join(frames) + padding)
    assert contents(archive) == {"a": "AC", "b": "GG"}


SMALL = b"".join(b">r%d d\n%s" % (n, wrapped(dna(3_000 + n, n))) for n in range(4))


def cuts(n_bytes: int, seed: str) -> list[int]:
    """Lengths to cut a file to: around its head and its end, and anywhere between."""
    some = {1, 2, 3, 4, 6, 9, 10, 11, 12, 13, 17, 18, 19, 20, 25, n_bytes // 2}
    some |= {n_bytes - n for n in (1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 20, 27, 28, 29, 30)}
    some |= set(random.Random(seed).sample(range(30, n_bytes - 30), 40))
    return sorted(some)


@pytest.mark.parametrize("kind", ONE_PIECE)
def test_a_truncated_file_is_refused_wherever_it_is_cut(
    archive: Archive, tmp_path: Path, kind: str
) -> None:
    whole = COMPRESSORS[kind][1](SMALL)
    path = tmp_path / "x"
    for n_bytes in cuts(len(whole), kind):
        path.write_bytes(whole[:n_bytes])
        with pytest.raises(BadInput) as caught:
            archive.load(path, "t")
        assert caught.value.file == str(path), n_bytes
        assert is_as_before(archive), n_bytes
    load(archive, path, whole)
    assert contents(archive) == naive(SMALL)


@pytest.mark.parametrize("kind", IN_PARTS)
def test_a_truncated_later_part_is_refused_wherever_it_is_cut(
    archive: Archive, tmp_path: Path, kind: str
) -> None:
    compress = COMPRESSORS[kind.split(maxsplit=1)[0]][1]
    first, second = compress(SMALL), compress(b">last\n" + wrapped(dna(2_000, 77)))
    path = tmp_path / "x"
    for n_bytes in cuts(len(second), kind):
        path.write_bytes(first + second[:n_bytes])
        with pytest.raises(BadInput) as caught:
            archive.load(path, "t")
        assert caught.value.file == str(path), n_bytes
        assert is_as_before(archive), n_bytes


@pytest.mark.parametrize("kind", ONE_PIECE)
def test_truncation_exits_with_five_and_one_line(
    archive: Archive, cli: Cli, tmp_path: Path, kind: str
) -> None:
    whole = compressed(kind)
    path = tmp_path / "x.fa"
    path.write_bytes(whole[: len(whole) * 9 // 10])
    result = cli("load", "--namespace", "t", path)
    assert result.code == 5
    assert result.out == ""
    assert str(path) in result.err
    assert "truncated" in result.err
    assert result.err.count("\n") == 1
    assert is_as_before(archive)


@pytest.mark.parametrize("kind", ONE_PIECE)
def test_a_truncated_file_is_refused_also_when_errors_are_skipped(
    archive: Archive, tmp_path: Path, kind: str
) -> None:
    """What came before the cut is not taken for the whole file, nor the cut for a bad record."""
    many = b"".join(b">r%d\n%s" % (n, wrapped(dna(400, n))) for n in range(6_000))
    long = b">s\nACGT\n>long\n" + wrapped(dna(3 * MIB))
    for name, text in (("many", many), ("long", long)):
        whole = COMPRESSORS[kind][1](text)
        path = tmp_path / name
        path.write_bytes(whole[: len(whole) * 9 // 10])
        with pytest.raises(BadInput, match="truncated"):
            archive.load(path, "t", skip_errors=True)
        assert is_as_before(archive)


@pytest.mark.parametrize("kind", COMPRESSORS)
def test_data_after_the_end_are_refused(archive: Archive, tmp_path: Path, kind: str) -> None:
    whole = COMPRESSORS[kind][1](SMALL)
    for garbage in (b"garbage", b">r9\nACGT\n", b"\x01", b"\x1f", b"BZ", b"\xfd7z", b"\x28\xb5"):
        with pytest.raises(BadInput):
            load(archive, tmp_path / "x", whole + garbage)
    assert is_as_before(archive)


@pytest.mark.parametrize("kind", ["gzip", "BGZF", "bzip2", "xz"])
def test_a_flipped_bit_is_refused_or_changes_nothing(
    archive: Archive, tmp_path: Path, kind: str
) -> None:
    """All of these have a checksum of the contents; only bits of their headers may be free."""
    whole = COMPRESSORS[kind][1](SMALL)
    expected = naive(SMALL)
    dice = random.Random(kind)
    n_refused = 0
    for _ in range(80):
        damaged = bytearray(whole)
        damaged[dice.randrange(len(whole))] ^= 1 << dice.randrange(8)
        try:
            load(archive, tmp_path / "x", bytes(damaged))
        except BadInput:
            n_refused += 1
        else:
            assert contents(archive) == expected
    assert n_refused > 60


def test_bgzf_that_was_cut_between_two_blocks_is_refused(archive: Archive, tmp_path: Path) -> None:
    whole = compressed("BGZF")
    starts = [at for at in range(len(whole)) if whole.startswith(b"\x1f\x8b\x08\x04", at)]
    assert len(starts) > 20
    for n_bytes in starts[1:]:
        with pytest.raises(BadInput, match="end-of-file block is missing"):
            load(archive, tmp_path / "x.gz", whole[:n_bytes])
    assert is_as_before(archive)


def test_archives_and_binary_formats_are_refused_by_name(archive: Archive, tmp_path: Path) -> None:
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as file:
        file.writestr("x.fa", SMALL)
    for data, message in (
        (zipped.getvalue(), "zip"),
        (b"\x43\x27\x41\x1a" + bytes(28), "2bit"),
        (b"\x1a\x41\x27\x43" + bytes(28), "2bit"),
        (b"SQLite format 3\0" + bytes(84), "SQLite"),
        (b"CRAM\x03\0" + bytes(26), "CRAM"),
    ):
        with pytest.raises(BadInput, match=message):
            load(archive, tmp_path / "x.fa", data)
    assert is_as_before(archive)


@pytest.mark.parametrize(
    "data", [bgzf(b"BAM\1" + bytes(60)), quick_gzip(quick_gzip(SMALL))], ids=["BAM", "twice"]
)
def test_compressed_contents_that_are_no_sequences_are_refused(
    archive: Archive, tmp_path: Path, data: bytes
) -> None:
    with pytest.raises(BadInput):
        load(archive, tmp_path / "x.fa", data)
    assert is_as_before(archive)


# --- where files come from --------------------------------------------------------------------


def test_a_pipe_can_be_loaded(process: Cli, root: Path) -> None:
    result = process("--json", "load", "--namespace", "t", "-", stdin=compressed("BGZF"))
    assert result.code == 0, result.err
    (source,) = json.loads(result.out)["files"]
    assert source["bytes"] == len(compressed("BGZF"))
    with connect(root) as archive:
        assert contents(archive) == naive(TEXT)


@pytest.mark.parametrize("kind", ["gzip", "zstd", "plain"])
def test_a_named_pipe_can_be_loaded(process: Cli, root: Path, tmp_path: Path, kind: str) -> None:
    data = TEXT if kind == "plain" else compressed(kind)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(data,))
    writer.start()
    result = process("load", "--namespace", "t", pipe)
    writer.join()
    assert result.code == 0, result.err
    with connect(root) as archive:
        assert contents(archive) == naive(TEXT)


def test_an_error_in_standard_input_says_so(archive: Archive, cli: Cli) -> None:
    result = cli("load", "--namespace", "t", "-", stdin=b">a\nAC\n>b\nA2\n")
    assert result.code == 5
    assert result.err.startswith("seqarchive: standard input, line 4: record 'b'")
    assert is_as_before(archive)


def test_nothing_on_standard_input_is_an_error(archive: Archive, cli: Cli) -> None:
    result = cli("load", "--namespace", "t", "-")
    assert result.code == 5
    assert "standard input: there is no record in it" in result.err
    assert is_as_before(archive)


def test_a_file_that_is_not_there_is_not_found(archive: Archive, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "good.fa").write_bytes(SMALL)
    result = cli("load", "--namespace", "t", tmp_path / "good.fa", tmp_path / "bad.fa")
    assert result.code == 3
    assert result.err == f"seqarchive: {tmp_path / 'bad.fa'}: no such file\n"
    assert is_as_before(archive)


def test_a_file_name_may_be_any_bytes(archive: Archive, cli: Cli, tmp_path: Path) -> None:
    names = [b"space and \xc3\xbc.fa", b"latin-1 \xfc.fa", b"line\nend.fa", b"-n", b"=%41.fa"]
    paths = [os.fsdecode(os.path.join(os.fsencode(tmp_path), name)) for name in names]
    for n, path in enumerate(paths):
        Path(path).write_bytes(b">r%d\n%s\n" % (n, dna(n + 1)))
    result = cli("--json", "load", "--namespace", "t", *paths)
    assert result.code == 0, result.err
    assert len(json.loads(result.out)["files"]) == len(names)
    assert len(archive) == len(names)
    assert cli("log").code == cli("--json", "log").code == 0
    assert len(archive.metadata("t:r1")["deflines"]) == 1


def test_a_file_that_is_none_is_left_out_when_errors_are_skipped(
    archive: Archive, tmp_path: Path
) -> None:
    files = {"good": SMALL, "none": b"\n", "text": b"hello", "zip": b"PK\x03\x04" + bytes(26)}
    for name, contents_ in files.items():
        (tmp_path / name).write_bytes(contents_)
    report = archive.load([tmp_path / name for name in files], "t", skip_errors=True)
    assert [Path(file["name"]).name for file in report.files] == ["good"]
    assert [line.split(":")[0].split(",")[0] for line in report.skipped] == [
        str(tmp_path / name) for name in ("none", "text", "zip")
    ]
    assert contents(archive) == naive(SMALL)


@pytest.mark.parametrize("threads", [0, 2])
def test_a_file_that_is_none_takes_nothing_from_the_next_one(
    archive: Archive, tmp_path: Path, threads: int
) -> None:
    """Files are read ahead, and what was read of one must not be taken for another."""
    much = b">much\n" + wrapped(dna(9 * MIB))
    for name, text in {"zip": b"PK\x03\x04" + bytes(26), "text": b"hello", "much": much}.items():
        (tmp_path / name).write_bytes(text)
    names = [tmp_path / name for name in ("zip", "text", "zip", "much", "zip")]
    report = archive.load(names, "t", skip_errors=True, threads=threads)
    assert [line.split(":")[0].split(",")[0] for line in report.skipped] == [
        str(tmp_path / name) for name in ("zip", "text", "zip", "zip")
    ]
    assert contents(archive) == naive(much)


def test_a_directory_is_no_file(archive: Archive, cli: Cli, tmp_path: Path) -> None:
    result = cli("load", "--namespace", "t", tmp_path)
    assert result.code == 1
    assert result.err == f"seqarchive: {tmp_path}: Is a directory; name the files in it\n"
    assert is_as_before(archive)


# --- GenBank, EMBL, Swiss-Prot ----------------------------------------------------------------

FLAT = {
    "genbank": ("gb_embl/human_mito_rCRS_NC_012920.1.gbff", "t:NC_012920.1", 16_569),
    "embl": ("gb_embl/emboss_inv.embl", "t:M96661.1", 4_712),
    "swiss": ("gb_embl/emboss_swissprot_100.dat", "t:P15455", 472),
}


@pytest.mark.parametrize("suffix", [".fa", ".fa.gz", ".gb", ".embl"])
@pytest.mark.parametrize("compress", [bytes, quick_gzip, bgzf, zstandard.compress])
@pytest.mark.parametrize("kind", ["genbank", "embl"])
def test_a_flat_file_is_recognised_by_content(
    archive: Archive,
    data: Path,
    tmp_path: Path,
    kind: str,
    compress: Callable[[bytes], bytes],
    suffix: str,
) -> None:
    name, alias, length = FLAT[kind]
    path = tmp_path / f"x{suffix}"
    path.write_bytes(compress((data / name).read_bytes()))
    report = archive.load(path, "t")
    assert report.files[0]["format"] == kind
    assert len(archive[alias]) == length


@pytest.mark.parametrize("kind", FLAT)
def test_line_ends_of_a_flat_file_do_not_matter(
    archive: Archive, data: Path, tmp_path: Path, kind: str
) -> None:
    name, alias, length = FLAT[kind]
    text = (data / name).read_bytes().replace(b"\r\n", b"\n")
    load(archive, tmp_path / "unix", text)
    report = archive.load(_written(tmp_path / "dos", text.replace(b"\n", b"\r\n")), "t")
    assert report.sequences_added == 0
    assert len(archive[alias]) == length


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("fraction", [0.05, 0.5, 0.8, 0.9, 0.97, 0.99, 0.995, 0.999])
@pytest.mark.parametrize("kind", FLAT)
def test_a_truncated_flat_file_is_refused(
    archive: Archive, data: Path, tmp_path: Path, kind: str, fraction: float
) -> None:
    text = (data / FLAT[kind][0]).read_bytes().rstrip().removesuffix(b"//")
    with pytest.raises(BadInput):
        load(archive, tmp_path / "x", text[: int(len(text) * fraction)])
    assert is_as_before(archive)


def test_a_genbank_record_that_lacks_residues_is_refused(
    archive: Archive, data: Path, tmp_path: Path
) -> None:
    """One line of residues is missing in the middle: LOCUS says how many there should be."""
    lines = (data / FLAT["genbank"][0]).read_bytes().split(b"\n")
    (at,) = [n for n, line in enumerate(lines) if line.strip().startswith(b"8281 ")]
    with pytest.raises(BadInput, match=r"NC_012920\.1"):
        load(archive, tmp_path / "x.gb", b"\n".join(lines[:at] + lines[at + 1 :]))
    assert is_as_before(archive)


def test_a_genbank_record_without_residues_is_refused(
    archive: Archive, data: Path, tmp_path: Path
) -> None:
    text = (data / FLAT["genbank"][0]).read_bytes()
    text = text[: text.index(b"ORIGIN")] + b"CONTIG      join(J01415.2:1..16569)\n//\n"
    with pytest.raises(BadInput, match=r"'NC_012920\.1'.* has no residues") as caught:
        load(archive, tmp_path / "x.gb", text)
    assert caught.value.line is not None
    assert is_as_before(archive)


NO_FLAT_FILES = {
    "LOCUS and no more": b"LOCUS \n",
    "a name and no more": b"LOCUS       X 12 bp DNA linear UNK\n",
    "LOCUS and nonsense": b"LOCUS       X 12 bp DNA\nnonsense\n//\n",
    "ID and nonsense": b"ID   nonsense\n//\n",
    "AA and nonsense": b"ID   X   Reviewed;   12 AA.\nnonsense\n//\n",
    "ID in no encoding": b"ID   \xff\xfe\n//\n",
    "LOCUS in no encoding": b"LOCUS       \xff\n//\n",
}


@pytest.mark.parametrize("text", NO_FLAT_FILES.values(), ids=NO_FLAT_FILES)
def test_a_flat_file_that_is_none_is_refused(
    archive: Archive, cli: Cli, tmp_path: Path, text: bytes
) -> None:
    path = tmp_path / "x"
    path.write_bytes(text)
    result = cli("load", "--namespace", "t", path)
    assert result.code == 5
    assert str(path) in result.err
    assert result.err.count("\n") == 1
    assert is_as_before(archive)
