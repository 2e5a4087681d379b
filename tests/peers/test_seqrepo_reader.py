"""The shards are what SeqRepo's own reader reads: the real class, of the real package."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from biocommons.seqrepo.fastadir.fabgz import FabgzReader
from helpers import sha512t24u, shards, write_fasta

from seqarchive import Archive

LONG = "".join(random.Random(7).choices("ACGTN", k=200_000))


@pytest.fixture
def loaded(archive: Archive, data: Path, tmp_path: Path) -> Archive:
    """Records that share blocks, records of several blocks, nucleotides and proteins."""
    archive.load(data / "nucl/phiX174_NC_001422.1.fa", "refseq")
    archive.load(data / "gb_embl/human_mito_rCRS_NC_012920.1.gbff", "refseq")
    archive.load(data / "transcripts/human_ENST_14.fasta.gz", "ensembl")
    archive.load(data / "gb_embl/emboss_swissprot_100.dat", "uniprot")
    made = {"one": "A", "stop": "MKV*", "empty": "", "long": LONG}
    archive.load(write_fasta(tmp_path / "made.fa", made), "made")
    return archive


def test_seqrepo_finds_every_sequence_that_has_residues_under_its_digest(
    loaded: Archive, root: Path
) -> None:
    names: list[str] = []
    for shard in shards(root):
        reader = FabgzReader(str(shard))
        assert len(reader) == len(reader.keys())
        names += reader.keys()
    assert sorted(names) == sorted(str(found.digest) for found in loaded.sequences() if len(found))
    assert len(names) == len(set(names)) == len(loaded) - 1  # all but the empty one


def test_seqrepo_reads_the_residues_of_whole_sequences(loaded: Archive, root: Path) -> None:
    for shard in shards(root):
        reader = FabgzReader(str(shard))
        names = reader.keys()
        for name in names:
            residues = reader[name]
            assert residues == reader.fetch(name) == loaded.fetch(name)
            assert sha512t24u(residues) == name


def test_seqrepo_reads_the_residues_of_ranges(loaded: Archive, root: Path) -> None:
    rng = random.Random(2)
    for shard in shards(root):
        with FabgzReader(str(shard)) as reader:
            names = reader.keys()
            for name in names:
                length = len(loaded[name])
                for _ in range(50):
                    start = rng.randrange(length)
                    end = rng.randint(start + 1, length)
                    assert reader.fetch(name, start, end) == loaded.fetch(name, start, end)
                start = rng.randrange(length)
                assert reader.fetch(name, start) == loaded.fetch(name, start)
                assert reader.fetch(name, None, start + 1) == loaded.fetch(name, None, start + 1)


def test_seqrepo_reads_across_the_ends_of_blocks(loaded: Archive, root: Path) -> None:
    name = sha512t24u(LONG)
    readers = [FabgzReader(str(shard)) for shard in shards(root)]
    (reader,) = (reader for reader in readers if name in set(reader.keys()))
    for end in range(0xFF00, len(LONG), 0xFF00):
        for start, stop in ((end - 50, end + 50), (end - 1, end), (end, end + 1)):
            assert reader.fetch(name, start, stop) == LONG[start:stop]
