"""Real files load completely and come back byte for byte; what is no sequence file is refused.

The oracles are other programs: Biopython and pysam read the same files, hashlib computes the
digests, and INDEX.tsv holds digests that others have published.
"""

from __future__ import annotations

import base64
import bz2
import csv
import gzip
import hashlib
import io
import json
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pysam
import pytest
from Bio.SeqIO.FastaIO import SimpleFastaParser
from conftest import Cli
from helpers import built_once

from seqarchive import Archive, BadInput, connect
from seqarchive.instances import Instance
from seqarchive.writing import initialise

HERE = Path(__file__).parent / "data"


class File(NamedTuple):
    """A line of an INDEX.tsv."""

    path: Path
    name: str
    formats: tuple[str, ...]
    compression: str
    records: int
    residues: int
    sha256: str
    first: str
    refused: str
    description: str


def index(directory: Path) -> Iterator[File]:
    with open(directory / "INDEX.tsv", encoding="utf-8", newline="") as table:
        for row in csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE):
            formats = row["format"].replace("sprot", "swiss").split("/")
            yield File(
                directory / row["path"],
                row["path"],
                tuple(formats),
                "none" if row["compression"] == "plain" else row["compression"],
                int(row["records"] or 0),
                int(row["residues"] or 0),
                row["sha256"],
                row.get("sha512t24u_of_first", ""),
                row.get("refused", ""),
                row["description"],
            )


OURS = list(index(HERE))
MORE = os.environ.get("SEQARCHIVE_DATA")
SHIPPED = {file.sha256 for file in OURS}
OTHERS = [file for file in index(Path(MORE)) if file.sha256 not in SHIPPED] if MORE else []
READABLE = [file for file in OURS + OTHERS if file.records]
FASTA = [file for file in READABLE if file.formats == ("fasta",)]
FLAT = [file for file in READABLE if file.formats != ("fasta",)]
PUBLISHED = [file for file in READABLE if re.search(r"MD5 [0-9a-f]{32}|SQ\.", file.description)]
REFUSED = [file for file in OURS if file.refused]


def name_of(file: File) -> str:
    return file.name + (" (other)" if file in OTHERS else "")


def digest(residues: str) -> str:
    raw = hashlib.sha512(residues.encode("ascii")).digest()[:24]
    return base64.urlsafe_b64encode(raw).decode("ascii")


def plain(file: File) -> bytes:
    """The contents, decompressed by Python's own modules (and by pysam for zstd's one file)."""
    data = file.path.read_bytes()
    match file.compression:
        case "gzip" | "bgzf":
            return gzip.decompress(data)
        case "bzip2":
            return bz2.decompress(data)
        case "zstd":
            # pzstd wrote it from this file.
            return (HERE / "nucl/phiX174_NC_001422.1.fa").read_bytes()
        case _:
            return data


def naive_flat_file(text: str) -> Iterator[tuple[str, str]]:
    """Accession.version and residues of GenBank, EMBL or Swiss-Prot, read without ceremony."""
    for record in re.split(r"(?m)^//\s*$", text):
        body = re.search(r"(?ms)^(?:ORIGIN|SQ   ).*?\n(.*)\Z", record)
        if body is None:
            continue
        residues = re.sub(r"[^A-Za-z*-]", "", body[1]).upper()
        accession = re.search(r"(?m)^(?:VERSION +(\S+)|AC   ([^;\s]+);)", record)
        assert accession is not None
        version = re.search(r"(?m)^ID   \S+; SV (\d+);", record)
        name = accession[1] or accession[2]
        yield (f"{name}.{version[1]}" if version else name), residues


def records(file: File) -> list[tuple[str, str]]:
    """Deflines (or accessions) and residues of a file, by other programs than ours."""
    text = plain(file).decode("utf-8")
    if file.formats == ("fasta",):
        found = SimpleFastaParser(io.StringIO(text))  # type: ignore[no-untyped-call]
        return [(title, "".join(residues.split()).upper()) for title, residues in found]
    return list(naive_flat_file(text))


def alias_of(defline: str) -> str:
    """What the one name of a defline is in the files here."""
    name = defline.split(maxsplit=1)[0]
    if name.startswith(("sp|", "tr|")):
        return "uniprot:" + name.split("|")[1]
    if name.startswith("gi|"):
        _, _, code, accession, *_ = name.split("|")
        return {"ref": "refseq", "gb": "insdc", "dbj": "insdc"}[code] + ":" + accession
    return "test:" + name


@pytest.mark.parametrize("file", READABLE, ids=name_of)
def test_a_real_file_loads_completely(file: File, archive: Archive, cli: Cli) -> None:
    expected = records(file)
    assert len(expected) == file.records
    assert sum(len(residues) for _, residues in expected) == file.residues

    report = archive.load(file.path, "test")

    (source,) = report.files
    assert source["format"] in file.formats
    assert source["compression"] == file.compression
    assert source["sha256"] == file.sha256
    assert source["bytes"] == file.path.stat().st_size
    assert source["records"] == report.records == file.records
    distinct = {digest(residues): len(residues) for _, residues in expected}
    assert {str(found.digest): len(found) for found in archive.sequences()} == distinct
    assert report.sequences_added == len(distinct)
    assert report.sequences_known == file.records - len(distinct)
    assert report.residues_added == sum(distinct.values())
    assert file.first in ("", archive.find(digest(expected[0][1])))
    assert cli("verify", "--full").code == 0


@pytest.fixture
def loaded(file: File, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """An archive of one file, loaded once for all who look into it; nobody changes it."""

    def build(directory: Path) -> None:
        initialise(Instance(directory))
        with connect(directory) as archive:
            archive.load(file.path, "test")

    root = built_once(tmp_path_factory, f"real-{file.sha256[:16]}", build)
    with connect(root) as archive:
        yield archive


@pytest.mark.parametrize("file", FASTA, ids=name_of)
def test_random_ranges_equal_those_of_pysam(file: File, loaded: Archive, tmp_path: Path) -> None:
    copy = tmp_path / "copy.fa"
    copy.write_bytes(plain(file))
    names = {title.split(maxsplit=1)[0]: title for title, _ in records(file)}
    dice = random.Random(file.name)
    with pysam.FastaFile(str(copy)) as theirs:
        assert set(theirs.references) == set(names)
        for _ in range(300):
            name = dice.choice(theirs.references)
            length = theirs.get_reference_length(name)
            start = dice.randint(0, length)
            end = min(length, start + dice.choice([0, 1, 100, 10_000, 100_000]))
            wanted = theirs.fetch(name, start, end).upper() if start < end else ""
            assert loaded.fetch(alias_of(names[name]), start, end) == wanted
            sequence = loaded[alias_of(names[name])]
            assert sequence[start:end] == wanted
            assert len(sequence) == length


@pytest.mark.parametrize("file", FASTA, ids=name_of)
def test_every_defline_is_kept_as_it_is(file: File, loaded: Archive) -> None:
    dice = random.Random(file.name)
    found = records(file)
    for defline, residues in dice.sample(found, min(len(found), 100)):
        kept = loaded.metadata(f"ga4gh:SQ.{digest(residues)}")["deflines"]
        assert {"source": str(file.path), "defline": defline.strip()} in kept


@pytest.mark.parametrize("file", FLAT, ids=name_of)
def test_flat_files_give_accession_version_and_every_residue(file: File, loaded: Archive) -> None:
    for accession, residues in records(file):
        assert loaded.fetch(f"test:{accession}") == residues


@pytest.mark.parametrize("file", PUBLISHED, ids=name_of)
def test_a_published_digest_finds_the_sequence(file: File, loaded: Archive) -> None:
    first = digest(records(file)[0][1])
    published = [f"md5:{md5}" for md5 in re.findall(r"MD5 ([0-9a-f]{32})", file.description)]
    published += re.findall(r"SQ\.[A-Za-z0-9_-]{32}", file.description)
    assert published
    for name in published:
        assert loaded.find(name) == first


@pytest.mark.parametrize("file", REFUSED, ids=name_of)
def test_what_is_no_sequence_file_is_refused(file: File, cli: Cli, archive: Archive) -> None:
    result = cli("load", "--namespace", "test", file.path)
    assert result.code == 5
    assert result.out == ""
    assert file.refused in result.err
    assert str(file.path) in result.err
    assert result.err.count("\n") == 1
    assert len(archive) == 0
    assert list(archive.batches()) == []


def test_every_file_here_is_in_the_index_as_it_is() -> None:
    found = {
        str(path.relative_to(HERE))
        for path in HERE.rglob("*")
        # But for answers of services, what gtars says, and whole archives.
        if path.is_file() and path.parent.name not in ("fetch", "formats", "refgetstore")
    }
    assert {file.name for file in OURS} == found - {"INDEX.tsv", "README.rst", ".gitattributes"}
    for file in OURS:
        assert hashlib.sha256(file.path.read_bytes()).hexdigest() == file.sha256


@pytest.mark.parametrize(
    ("one", "other", "n_sequences"),
    [
        ("nucl/sarscov2_MN908947.fasta", "gb_embl/sarscov2_MN908947.gb", 1),
        ("edge/NC_001802.fna", "edge/NC_001802lc.fna", 1),
        ("edge/crlf_issue_141.fasta", "transcripts/human_genes_20.bgzf.fasta.gz", 20),
        ("nucl/phiX174_NC_001422.1.fa", "hostile/pzstd.fa.zst", 1),
    ],
)
def test_the_same_sequences_in_another_file_are_not_stored_again(
    archive: Archive, data: Path, one: str, other: str, n_sequences: int
) -> None:
    first = archive.load(data / one, "one")
    second = archive.load(data / other, "other")
    assert first.sequences_added == n_sequences
    assert second.sequences_added == second.residues_added == second.shards == 0
    assert second.sequences_known == second.records == n_sequences
    assert len(archive) == n_sequences


def test_genbank_and_embl_of_one_sequence_share_it(archive: Archive, data: Path) -> None:
    archive.load(data / "gb_embl/emboss_gbinv1.gb", "genbank")
    report = archive.load(data / "gb_embl/emboss_inv.embl", "EMBL")
    assert (report.sequences_added, report.sequences_known) == (1, 2)  # M96661 is in EMBL's only
    assert report.aliases_known == 2  # GenBank and EMBL are one namespace, insdc
    assert len(archive["insdc:Z11115.3"]) == 40_700
    assert len(archive["ENA:M96661.1"]) == 4_712


def test_yeast_of_ncbi_and_the_compliance_suite_share_two_chromosomes(
    archive: Archive, data: Path
) -> None:
    archive.load(data / "nucl/yeast_R64_ncbi_softmasked.fa.gz", "refseq")
    report = archive.load(data / "nucl/ga4gh_refget_compliance.fa", "compliance")
    assert (report.sequences_added, report.sequences_known) == (1, 2)
    assert archive["compliance:I"] == archive["refseq:NC_001133.9"]
    assert archive["compliance:VI"] == archive["refseq:NC_001138.5"]


def test_a_soft_masked_and_an_upper_case_genome_are_one(archive: Archive, data: Path) -> None:
    archive.load([data / "edge/NC_001802.fna", data / "edge/NC_001802lc.fna"], "test")
    assert len(archive) == 1
    residues = archive.fetch("refseq:NC_001802.1")
    assert residues == residues.upper()


@pytest.mark.parametrize("name", ["base", "different_names", "different_order", "pair_swap"])
def test_digests_are_those_that_refget_computes(archive: Archive, data: Path, name: str) -> None:
    directory = data / "edge/refget_test_fasta"
    computed = json.loads((directory / "test_fasta_digests.json").read_text())[f"{name}.fa"]
    archive.load(directory / f"{name}.fa", "test")
    level2 = computed["level2"]
    for alias, sequence, length in zip(
        level2["names"], level2["sequences"], level2["lengths"], strict=True
    ):
        assert archive.translate(f"test:{alias}", to="ga4gh") == [f"ga4gh:{sequence}"]
        assert len(archive[f"test:{alias}"]) == length


def test_genbank_says_which_molecules_are_circular(archive: Archive, data: Path) -> None:
    report = archive.load(data / "gb_embl/human_mito_rCRS_NC_012920.1.gbff", "refseq")
    assert report.circular == 1
    assert archive.metadata("refseq:NC_012920.1")["circular"] is True
    whole = archive.fetch("refseq:NC_012920.1")
    assert archive.fetch("refseq:NC_012920.1", 16_560, 10) == whole[16_560:] + whole[:10]
    archive.load(data / "gb_embl/sarscov2_MN908947.gb", "insdc")
    assert archive.metadata("insdc:MN908947")["circular"] is False


def test_several_files_are_one_batch_that_names_each(
    archive: Archive, data: Path, cli: Cli
) -> None:
    names = [
        "nucl/yeast_R64_ncbi_softmasked.fa.gz",
        "gb_embl/human_mito_rCRS_NC_012920.1.gbff",
        "gb_embl/emboss_inv.embl",
        "gb_embl/emboss_swissprot_100.dat",
        "transcripts/human_genes_20.bgzf.fasta.gz",
    ]
    files = [file for name in names for file in OURS if file.name == name]
    result = cli("--json", "load", "--namespace", "RefSeq", *(file.path for file in files))
    assert result.code == 0, result.err
    assert json.loads(result.out)["records"] == sum(file.records for file in files)
    (batch,) = archive.batches()
    assert batch["namespace"] == "refseq"
    assert [
        (source["name"], source["sha256"], source["records"], source["compression"])
        for source in batch["sources"]
    ] == [(str(file.path), file.sha256, file.records, file.compression) for file in files]
    for identifier in ("refseq:NC_001133.9", "NC_012920.1", "refseq:Z11115.3", "insdc:AB821309.1"):
        assert identifier in archive


def test_a_load_with_one_bad_file_loads_none(archive: Archive, data: Path) -> None:
    good = data / "nucl/yeast_R64_ncbi_softmasked.fa.gz"
    with pytest.raises(BadInput, match="there is no record in it"):
        archive.load([good, data / "edge/blank.fx"], "test")
    assert len(archive) == 0
    assert list(archive.instance.journal.rglob("*.fa.bgz*")) == []
