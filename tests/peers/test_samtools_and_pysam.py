"""Shards are what samtools, bgzip and pysam take for their own: opened by all, indexed the same.

Needs the Debian packages ``samtools`` and ``tabix`` (which has ``bgzip``).
"""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pysam
import pytest
from conftest import Cli
from helpers import parse_fasta, sha512t24u, shards, write_fasta

import seqarchive
from seqarchive import Archive

#: More than half of a block of 64 KiB.
LONG = "".join(random.Random(40).choices("ACGTN", k=40_000))

FILES = (
    ("refseq", "nucl/phiX174_NC_001422.1.fa"),
    ("refseq", "gb_embl/human_mito_rCRS_NC_012920.1.gbff"),
    ("ensembl", "transcripts/human_ENST_14.fasta.gz"),
)

#: Sequences of FILES and of ``made.fa`` that have residues.
N_SEQUENCES = 1 + 1 + 14 + 2


@pytest.fixture
def loaded(archive: Archive, data: Path, tmp_path: Path) -> Archive:
    """Real files, one shard each; then an empty record between a short and a long one."""
    for namespace, name in FILES:
        archive.load(data / name, namespace)
    made = {"short": "ACGT" * 5, "empty": "", "long": LONG}
    archive.load(write_fasta(tmp_path / "made.fa", made), "made")
    return archive


def run(*command: str | Path) -> bytes:
    return subprocess.run(command, check=True, capture_output=True).stdout


def copy_without_indexes(shard: Path, directory: Path) -> Path:
    directory.mkdir(exist_ok=True)
    copy = directory / shard.name
    shutil.copyfile(shard, copy)
    return copy


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def described(archive: Archive) -> list[tuple[str, int]]:
    """Digests and lengths of the sequences that have residues, in the order of the archive."""
    return [(str(found.digest), len(found)) for found in archive.sequences() if len(found)]


def test_pysam_finds_the_same_names_and_lengths_in_the_same_order(
    loaded: Archive, root: Path
) -> None:
    seen = []
    for shard in shards(root):
        with pysam.FastaFile(str(shard)) as file:
            seen.append(list(zip(file.references, file.lengths, strict=True)))
    assert len(seen) == len(FILES) + 1
    assert sum(map(len, seen)) == N_SEQUENCES
    expected = described(loaded)
    place = {name: n for n, (name, _) in enumerate(expected)}
    seen.sort(key=lambda part: place[part[0][0]])  # shards have no order of their own
    assert [pair for part in seen for pair in part] == expected


def test_pysam_reads_the_same_residues_in_every_range(loaded: Archive, root: Path) -> None:
    rng = random.Random(1)
    for shard in shards(root):
        with pysam.FastaFile(str(shard)) as file:
            for name, length in zip(file.references, file.lengths, strict=True):
                assert file.fetch(name) == loaded.fetch(name)
                assert sha512t24u(file.fetch(name)) == name
                assert file.fetch(name, 0, 1) == loaded.fetch(name, 0, 1)
                assert file.fetch(name, length - 1, length) == loaded.fetch(name, length - 1)
                for _ in range(100):
                    start, end = sorted(rng.choices(range(length + 1), k=2))
                    assert file.fetch(name, start, end) == loaded.fetch(name, start, end)


def test_what_pysam_reads_is_what_was_loaded(loaded: Archive, root: Path, data: Path) -> None:
    """Not only what ``fetch`` says: the file that was loaded is read here without seqarchive."""
    ((_, phi),) = parse_fasta((data / "nucl/phiX174_NC_001422.1.fa").read_text())
    read = {}
    for shard in shards(root):
        with pysam.FastaFile(str(shard)) as file:
            read.update({name: file.fetch(name) for name in file.references})
    for residues in (phi.upper(), LONG, "ACGT" * 5):
        assert read[sha512t24u(residues)] == residues
    with pysam.FastxFile(str(data / "transcripts/human_ENST_14.fasta.gz")) as transcripts:
        for record in transcripts:
            assert record.sequence is not None
            residues = record.sequence.upper()
            assert read[sha512t24u(residues)] == residues


def test_an_empty_record_is_in_the_archive_and_disturbs_no_shard(
    loaded: Archive, root: Path
) -> None:
    assert loaded.fetch("made:empty") == ""
    assert loaded.find("made:empty") == sha512t24u("")
    for shard in shards(root):
        with pysam.FastaFile(str(shard)) as file:
            assert sha512t24u("") not in file.references
            assert all(length > 0 for length in file.lengths)


def test_samtools_faidx_prints_the_first_60_residues_of_every_record(
    loaded: Archive, root: Path
) -> None:
    n = 0
    for shard in shards(root):
        with pysam.FastaFile(str(shard)) as file:
            names = list(file.references)
        for name in names:
            printed = run("samtools", "faidx", shard, f"{name}:1-60").decode()
            assert parse_fasta(printed) == [(f"{name}:1-60", loaded.fetch(name, 0, 60, clamp=True))]
            n += 1
    assert n == N_SEQUENCES


def test_samtools_faidx_prints_the_end_of_a_long_record(loaded: Archive, root: Path) -> None:
    name = sha512t24u(LONG)
    (shard,) = (path for path in shards(root) if name in beside(path, ".fai").read_text("ascii"))
    printed = run("samtools", "faidx", shard, f"{name}:39001-40000").decode()
    assert parse_fasta(printed) == [(f"{name}:39001-40000", LONG[39_000:])]


def test_bgzip_finds_every_shard_sound(loaded: Archive, root: Path) -> None:
    for shard in shards(root):
        run("bgzip", "-t", shard)


def test_bgzip_unpacks_a_shard_to_a_fasta_file_of_digests(loaded: Archive, root: Path) -> None:
    found = []
    for shard in shards(root):
        for name, residues in parse_fasta(run("bgzip", "-dc", shard).decode("ascii")):
            assert sha512t24u(residues) == name
            found.append((name, len(residues)))
    assert sorted(found) == sorted(described(loaded))


def test_the_fai_is_byte_for_byte_what_samtools_writes(
    loaded: Archive, root: Path, tmp_path: Path
) -> None:
    for shard in shards(root):
        copy = copy_without_indexes(shard, tmp_path / "samtools")
        run("samtools", "faidx", copy)
        assert beside(shard, ".fai").read_bytes() == beside(copy, ".fai").read_bytes()
        # samtools indexes the blocks too, when it finds a file that is compressed.
        assert beside(shard, ".gzi").read_bytes() == beside(copy, ".gzi").read_bytes()


def test_the_gzi_is_byte_for_byte_what_bgzip_writes(
    loaded: Archive, root: Path, tmp_path: Path
) -> None:
    for shard in shards(root):
        copy = copy_without_indexes(shard, tmp_path / "bgzip")
        run("bgzip", "-r", copy)
        assert beside(shard, ".gzi").read_bytes() == beside(copy, ".gzi").read_bytes()


def test_indexes_of_a_shard_with_many_blocks_and_of_many_shards_are_those_of_the_peers(
    cli: Cli, root: Path, data: Path, tmp_path: Path
) -> None:
    """Records of many blocks each, and 40 genomes over several shards."""
    assert cli("init").code == 0
    with seqarchive.connect(root) as archive:
        archive.load(data / "nucl/hg18_chrM_chr20first1M_softmasked.fasta", "ucsc")
        archive.load(
            data / "nucl/sarscov2_40_genomes_iupac.fasta.gz", "gisaid", shard_bytes=100_000
        )
    assert len(shards(root)) > 2
    for shard in shards(root):
        copy = copy_without_indexes(shard, tmp_path / "copies")
        run("samtools", "faidx", copy)
        assert beside(shard, ".fai").read_bytes() == beside(copy, ".fai").read_bytes()
        run("bgzip", "-r", copy)
        assert beside(shard, ".gzi").read_bytes() == beside(copy, ".gzi").read_bytes()
        run("bgzip", "-t", shard)


def test_peers_change_nothing_in_the_archive(loaded: Archive, root: Path) -> None:
    journal = root / "master" / "sequences"
    before = {path: path.stat().st_mtime_ns for path in journal.rglob("*")}
    for shard in shards(root):
        with pysam.FastaFile(str(shard)) as file:
            name = file.references[0]
        run("samtools", "faidx", shard, f"{name}:1-10")
        run("bgzip", "-t", shard)
    assert {path: path.stat().st_mtime_ns for path in journal.rglob("*")} == before
