"""``export --collection`` gives back the file that was loaded: byte for byte if its lines had one
width, and with its lower case if that was kept."""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Cli
from hypothesis import given
from hypothesis import strategies as st

import seqarchive
from seqarchive.identifiers import Digest
from seqarchive.layouts import IRREGULAR, RecordLayout, masked, runs_of
from seqarchive.records import FastaScanner, Group, LongRecord, Record, records_in
from seqarchive.seqcol.archived import NamedRecord
from seqarchive.seqcol.as_fasta import CollectionFasta

YEAST = Path(__file__).parent / "data" / "nucl" / "yeast_R64_ncbi_softmasked.fa.gz"


def came_back(cli: Cli, file: Path, *options: str) -> bytes:
    """A file that was loaded, as it is exported."""
    done = cli("--json", "load", "-n", "t", *options, str(file))
    assert done.code == 0, done
    digest = json.loads(done.out)["files"][0]["collection"]
    exported = cli("export", "--collection", digest)
    assert exported.code == 0, exported
    return exported.out.encode()


def test_a_real_genome_comes_back_with_its_lower_case(root: Path, cli: Cli) -> None:
    original = gzip.decompress(YEAST.read_bytes())
    assert original != original.upper()
    assert came_back(cli, YEAST, "--keep-mask") == original
    assert cli("verify", "--full").code == 0


def test_without_its_lower_case_it_comes_back_in_upper_case(
    root: Path, cli: Cli, tmp_path: Path
) -> None:
    file = tmp_path / "x.fa"
    file.write_text(">a one\nACgt\nNN\n>b\nGG\n")
    assert came_back(cli, file) == b">a one\nACGT\nNN\n>b\nGG\n"
    # The same file again, with its lower case.
    assert came_back(cli, file, "--keep-mask") == file.read_bytes()
    assert came_back(cli, file) == file.read_bytes()  # what is known stays known


def test_a_later_file_that_is_the_same_collection_brings_its_lower_case(
    root: Path, cli: Cli, tmp_path: Path
) -> None:
    upper, lower = tmp_path / "upper.fa", tmp_path / "lower.fa"
    upper.write_text(">a one\nACGTNN\n>b\nGG\n")
    lower.write_text(">a 1\nACgt\nnN\n>b\nGG\n")
    assert came_back(cli, upper) == upper.read_bytes()
    assert came_back(cli, lower) == upper.read_bytes()
    assert came_back(cli, lower, "--keep-mask") == lower.read_bytes()
    assert came_back(cli, upper, "--keep-mask") == lower.read_bytes()
    assert cli("verify", "--full").code == 0


@pytest.mark.parametrize(
    "text",
    [
        ">a\nACGT\n>b\nAC\n>c\n",
        ">a\nACGTACGT\nACGTACGT\nA\n>b some words\nACG\n",
        ">a\nACGTACGT\nACGTACGT\n>b\nACGTACGT\n",
        ">a\n" + "ACGTNacgtn" * 30_000 + "\n>b\nAC\n",
        ">long\n" + ("ACgtN" * 14 + "\n") * 60_000 + "AC\n>b\nACG\n",
        ">a\n>b\n>c\nACGT\n",
        ">äé ö\N{NO-BREAK SPACE}x\nAC\n",
    ],
)
def test_files_in_lines_of_one_width_come_back_byte_for_byte(
    root: Path, cli: Cli, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "x.fa"
    file.write_bytes(text.encode())
    assert came_back(cli, file, "--keep-mask") == file.read_bytes()


@pytest.mark.parametrize(
    "text",
    [
        ">a\nACGT\nACG\nACGT\n",
        ">a\nACG\nACGT\n",
        ">a\nACGT\nA\n>b\nACGTA\n",
        ">a\nACGT\nA\n>b\nACG\nA\n",
        ">a\r\nACGT\r\nA\r\n",
        ">a\nACGT\n\n>b\nA\n",
        ">a\nACGT\nA\n\n",
        "\n>a\nACGT\nA\n",
        ">a\nACGT\nA",
        "> a\nACGT\nA\n",
        ">a \nACGT\nA\n",
        ">a\nAC GT\nA\n",
        ">a\n\nACGT\n",
        ">b\n\n>a\nACGT\nA\n",
        ">long\n" + ("ACGTN" * 14 + "\n") * 60_000 + "AC\nA\n>b\nACG\n",
        ">long\n" + ("ACGTN" * 14 + "\n") * 60_000 + "\n>b\nACG\n",
        ">long\n" + ("ACGTN" * 14 + "\n") * 30_000 + "AC\n" + ("ACGTN" * 14 + "\n") * 30_000,
    ],
)
def test_others_come_back_the_same_but_for_the_wrapping(
    root: Path, cli: Cli, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "x.fa"
    file.write_bytes(text.encode())
    found = came_back(cli, file, "--keep-mask").decode()
    lines = [line.strip() for line in text.replace("\r", "").replace("AC GT", "ACGT").split("\n")]
    expected = "\n".join(line.replace("> ", ">") for line in lines if line)
    assert found.replace("\n", "") == expected.replace("\n", "")
    with seqarchive.connect(root) as archive:
        assert archive.collections()[0].line_bases is None
    width = max(len(line) for line in found.split("\n") if not line.startswith(">"))
    assert width <= 60


def test_a_width_that_is_asked_for_is_given(root: Path, cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "x.fa"
    file.write_text(">a\nACg\nT\n")
    assert came_back(cli, file, "--keep-mask") == b">a\nACg\nT\n"
    done = cli("export", "--width", "2", "--collection", _digest(root))
    assert done.out == ">a\nAC\ngT\n"


def _digest(root: Path) -> str:
    with seqarchive.connect(root) as archive:
        return archive.collections()[0].digest


def test_what_is_reclaimed_takes_its_lower_case_along(
    root: Path, cli: Cli, tmp_path: Path
) -> None:
    file = tmp_path / "x.fa"
    file.write_text(">a\nACg\nT\n")
    came_back(cli, file, "--keep-mask")
    assert cli("revert", "1").code == 0
    assert cli("repair", "--reclaim").code == 0
    assert came_back(cli, file) == b">a\nACG\nT\n"


# --- by themselves ------------------------------------------------------------------------------


@given(st.text("ACgtn", max_size=200), st.integers(1, 12), st.integers(1, 20), st.booleans())
def test_a_record_in_lines_of_one_width_is_seen_to_be_so(
    residues: str, width: int, step: int, ends: bool
) -> None:
    lines = [residues[at : at + width] for at in range(0, len(residues), width)]
    text = "\n".join(lines) + ("\n" if ends and residues else "")
    layout = RecordLayout(with_mask=True)
    for at in range(0, len(text), step):
        part = text[at : at + step].encode()
        layout.see(part, len(part.replace(b"\n", b"")), is_upper=False)
    assert layout.width == (width if len(residues) > width else 0)
    assert _in_lower(residues) == list(runs_of(layout.mask))
    pieces = [residues[at : at + step].upper() for at in range(0, len(residues), step)]
    assert list(masked(pieces, layout.mask)) == [
        residues[at : at + step] for at in range(0, len(residues), step)
    ]


def _in_lower(residues: str) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for n, letter in enumerate(residues):
        if letter.islower():
            if found and found[-1][1] == n:
                found[-1] = (found[-1][0], n + 1)
            else:
                found.append((n, n + 1))
    return found


@given(st.text("AC\n", min_size=1, max_size=40), st.integers(1, 20))
def test_any_other_text_is_not(text: str, step: int) -> None:
    lines = text.removesuffix("\n").split("\n")
    width = len(lines[0])
    *inner, last = lines
    is_one = all(len(line) == width for line in inner) and 0 < len(last) <= width
    layout = RecordLayout(with_mask=False)
    for at in range(0, len(text), step):
        part = text[at : at + step].encode()
        layout.see(part, len(part.replace(b"\n", b"")), is_upper=True)
    expected = IRREGULAR if not is_one else width if len(lines) > 1 else 0
    assert layout.width == expected


def test_long_and_short_records_see_the_same() -> None:
    text = ">x y\n" + ("ACgtN" * 12 + "\n") * 40_000 + "ACG\n>z\nA\n"
    ((short, _), long) = (
        list(records_in(Group(text.encode(), "f", 1), with_mask=True)),
        next(iter(FastaScanner(iter(_chunks(text.encode())), "f", with_mask=True))),
    )
    assert isinstance(short, Record)
    assert isinstance(long, LongRecord)
    for _ in long.pieces:
        pass
    assert (short.width, short.mask) == (long.layout.width, long.layout.mask)
    assert short.width == 60


def _chunks(text: bytes) -> list[bytes]:
    return [text[at : at + 100_000] for at in range(0, len(text), 100_000)]


@given(st.data())
def test_any_range_of_the_file_is_that_of_the_file(data: st.DataObject) -> None:
    width = data.draw(st.integers(0, 9))
    texts = data.draw(st.lists(st.text("ACgtN", max_size=40), max_size=5))
    deflines = [f"é{n} words" for n in range(len(texts))]
    lines = []
    for defline, text in zip(deflines, texts, strict=True):
        step = width or max(len(text), 1)
        lines += [f">{defline}", *(text[at : at + step] for at in range(0, len(text), step))]
    expected = "".join(f"{line}\n" for line in lines).encode()
    by_digest = {str(n): text.upper() for n, text in enumerate(texts)}

    class Collection:
        line_bases = width

        def records(self) -> Iterator[NamedRecord]:
            for n, (defline, text) in enumerate(zip(deflines, texts, strict=True)):
                layout = RecordLayout(with_mask=True)
                layout.see(text.encode(), len(text), is_upper=False)
                yield NamedRecord(defline, len(text), Digest(str(n)), layout.mask)

    fasta = CollectionFasta(Collection(), lambda digest, a, b: by_digest[digest][a:b])
    assert b"".join(fasta.chunks()) == expected
    assert fasta.size() == len(expected)
    start = data.draw(st.integers(0, len(expected)))
    end = data.draw(st.integers(start, len(expected)))
    assert b"".join(fasta.chunks(start, end)) == expected[start:end]
    assert fasta.digests().sha256 == hashlib.sha256(expected).hexdigest()


@pytest.mark.parametrize("n_pairs", [0, 1, 4_095, 4_096, 4_097, 50_000])
def test_a_mask_of_any_length_is_read_some_pairs_at_a_time(n_pairs: int) -> None:
    pairs = [(3 * n + 1, 3 * n + 2) for n in range(n_pairs)]
    numbers = [at for pair in pairs for at in pair]
    deltas = [after - before for before, after in zip([0, *numbers], numbers, strict=False)]
    mask = zlib.compress(struct.pack(f"<{len(deltas)}Q", *deltas))
    assert list(runs_of(mask)) == pairs
    for wrong in (mask[:-1], mask[: len(mask) // 2], b"x" + mask):
        with pytest.raises(ValueError, match=r"."):
            list(runs_of(wrong))
    with pytest.raises(ValueError, match="without an end"):
        list(runs_of(zlib.compress(struct.pack(f"<{len(deltas) + 1}Q", *deltas, 1))))


def test_a_mask_that_expands_takes_no_memory() -> None:
    """As it may be in the database of a release of somebody else."""
    mask = zlib.compress(struct.pack("<QQ", 1, 1) * (1 << 20), 9)
    assert len(mask) < 100_000
    with pytest.raises(ValueError, match="of nothing"):
        list(masked(["ACGT"], zlib.compress(bytes(1 << 20))))
    tracemalloc.start()
    try:
        assert "".join(masked(["ACGT"], mask)) == "AcGt"
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
