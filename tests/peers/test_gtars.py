"""The digests are those of an independent program: gtars, the refget implementation in Rust.

gtars writes a ``.rgsi`` beside the file that it reads, hence the copies.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from gtars.refget import digest_fasta, md5_digest, sha512t24u_digest

from seqarchive import Archive

#: Nucleotides and proteins; plain, gzip and BGZF; LF and CR LF; upper and lower case.
FILES = (
    "nucl/phiX174_NC_001422.1.fa",
    "nucl/ga4gh_refget_compliance.fa",
    "nucl/hg18_chrM_chr20first1M_softmasked.fasta",
    "nucl/yeast_R64_ncbi_softmasked.fa.gz",
    "nucl/sarscov2_40_genomes_iupac.fasta.gz",
    "transcripts/human_ENST_14.fasta.gz",
    "transcripts/human_genes_20.bgzf.fasta.gz",
    "transcripts/mouse_ensembl_transcripts_first1300.fa.gz",
    "prot/uniprot_mmseqs_first5000.fasta.gz",
    "prot/Saccharomyces_cerevisiae.R64-1-1.pep.all.fa.gz",
    "edge/NC_001802lc.fna",
    "edge/ambignuc.fasta",
    "edge/crlf_issue_141.fasta",
    "edge/refget_test_fasta/base.fa",
)

#: Those whose records have different names without bars, which we take apart.
NAMED_BY_FIRST_WORD = (
    "nucl/ga4gh_refget_compliance.fa",
    "nucl/yeast_R64_ncbi_softmasked.fa.gz",
    "transcripts/human_ENST_14.fasta.gz",
    "transcripts/mouse_ensembl_transcripts_first1300.fa.gz",
    "edge/refget_test_fasta/base.fa",
)


class Digested(NamedTuple):
    """What gtars says of a record."""

    name: str
    length: int
    sha512t24u: str
    md5: str


def digested(path: Path) -> list[Digested]:
    found = []
    for record in digest_fasta(str(path)):
        about = record.metadata
        found.append(Digested(about.name, about.length, about.sha512t24u, about.md5))
    return found


@pytest.fixture(params=FILES)
def copy(request: pytest.FixtureRequest, data: Path, tmp_path: Path) -> Path:
    """A copy of a file, in a directory of its own."""
    source = data / request.param
    return Path(shutil.copy(source, tmp_path / source.name))


def test_every_digest_of_a_file_is_the_one_that_gtars_computes(
    archive: Archive, copy: Path
) -> None:
    report = archive.load(copy, "x")
    by_gtars = digested(copy)
    assert by_gtars
    assert report.records == len(by_gtars)
    for record in by_gtars:
        digest = archive.find(f"sha512t24u:{record.sha512t24u}")
        assert digest == record.sha512t24u
        assert archive.translate(digest, "md5") == [f"md5:{record.md5}"]
        assert archive.find(f"md5:{record.md5}") == digest
        assert len(archive[digest]) == record.length
    # Neither has one that the other has not.
    assert {str(found.digest) for found in archive.sequences()} == {
        record.sha512t24u for record in by_gtars
    }


def test_every_name_means_the_digest_that_gtars_has_under_it(
    archive: Archive, data: Path, tmp_path: Path
) -> None:
    for n, name in enumerate(NAMED_BY_FIRST_WORD):
        copy = Path(shutil.copy(data / name, tmp_path / Path(name).name))
        archive.load(copy, f"n{n}")
        by_gtars = digested(copy)
        assert len(by_gtars) == len(list(archive.all_aliases(f"n{n}")))
        for record in by_gtars:
            assert archive.find(f"n{n}:{record.name}") == record.sha512t24u


def test_stored_residues_digested_again_by_gtars_have_their_digests(
    archive: Archive, data: Path
) -> None:
    archive.load(data / "transcripts/human_ENST_14.fasta.gz", "ensembl")
    archive.load(data / "edge/NC_001802lc.fna", "refseq")  # lower case in the file
    archive["t:stop"] = "MKV*"
    archive["t:empty"] = ""
    assert len(archive) == 17
    for found in archive.sequences():
        residues = archive.fetch(found.digest)
        assert sha512t24u_digest(residues) == found.digest
        assert archive.translate(found.digest, "md5") == ["md5:" + md5_digest(residues)]
