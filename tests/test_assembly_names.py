"""``add-assembly-names``: the right sequences get the names of assemblies, and no others.

The oracles are the tables of bioutils as they are, the real SeqRepo's ``add_assembly_names``, the
dictionaries that the real samtools writes, hashlib, and lines of real reports.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import random
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, product
from pathlib import Path
from typing import Any

import bioutils.assemblies
import pysam
import pytest
from biocommons.seqrepo import SeqRepo
from biocommons.seqrepo import cli as seqrepo_cli
from conftest import Cli, Result
from helpers import contents, sha512t24u, write_fasta
from hypothesis import given
from hypothesis import strategies as st

import seqarchive
from seqarchive import Archive, BadInput
from seqarchive.assemblies import reports
from seqarchive.assemblies.assembly import Assembly
from seqarchive.assemblies.bundled import bundled_assemblies, known_sequences
from seqarchive.assemblies.reports import read_file, read_report

TABLES: dict[str, dict[str, Any]] = bioutils.assemblies.get_assemblies()

COLUMNS = (
    "# Sequence-Name\tSequence-Role\tAssigned-Molecule\tAssigned-Molecule-Location/Type\t"
    "GenBank-Accn\tRelationship\tRefSeq-Accn\tAssembly-Unit\tSequence-Length\tUCSC-style-name"
)

#: The head of GCF_000001405.25_GRCh37.p13_assembly_report.txt, with another name; NCBI writes CRLF.
HEAD = """# Assembly name:  {name}
# Description:    Genome Reference Consortium Human Build 37 patch release 13 (GRCh37.p13)
# Organism name:  Homo sapiens (human)
# Taxid:          9606
# Date:           2013-06-28
# Synonyms:       hg19\t
# Assembly type:  haploid-with-alt-loci
# GenBank assembly accession: GCA_000001405.14
# RefSeq assembly accession: GCF_000001405.25
# RefSeq assembly and GenBank assemblies identical: yes
#
## Assembly-Units:
## GenBank Unit Accession\tRefSeq Unit Accession\tAssembly-Unit name
## GCA_000001305.1\tGCF_000001305.13\tPrimary Assembly
#
# Ordered by chromosome/plasmid; the chromosomes/plasmids are followed by
# unlocalized scaffolds.
# Unplaced scaffolds are listed at the end.
# RefSeq is equal or derived from GenBank object.
#
"""

#: Of R64: chromosome, GenBank's accession, RefSeq's accession, length.
YEAST = [
    ("I", "BK006935.2", "NC_001133.9", 230_218),
    ("II", "BK006936.2", "NC_001134.8", 813_184),
    ("III", "BK006937.2", "NC_001135.5", 316_620),
    ("IV", "BK006938.2", "NC_001136.10", 1_531_933),
    ("V", "BK006939.2", "NC_001137.3", 576_874),
    ("VI", "BK006940.2", "NC_001138.5", 270_161),
    ("VII", "BK006941.2", "NC_001139.9", 1_090_940),
    ("VIII", "BK006934.2", "NC_001140.6", 562_643),
    ("IX", "BK006942.2", "NC_001141.2", 439_888),
    ("X", "BK006943.2", "NC_001142.9", 745_751),
    ("XI", "BK006944.2", "NC_001143.9", 666_816),
    ("XII", "BK006945.2", "NC_001144.5", 1_078_177),
    ("XIII", "BK006946.2", "NC_001145.3", 924_431),
    ("XIV", "BK006947.3", "NC_001146.8", 784_333),
    ("XV", "BK006948.2", "NC_001147.6", 1_091_291),
    ("XVI", "BK006949.2", "NC_001148.4", 948_066),
]

#: The two mitochondria of Dog10K, as NCBI has them: each is a line of its own.
DOG_MT = [
    "MT\tassembled-molecule\tMT\tMitochondrion\tCM023446.1\t<>\tna\tnon-nuclear\t16735\tna",
    "MT\tassembled-molecule\tMT\tMitochondrion\tna\t<>\tNC_002008.4\tnon-nuclear\t16727\tchrM",
]

#: Before 2015 there were neither lengths nor UCSC's names.
OLD_RAT = """# Assembly Name:  Rnor_3.4
#Sequence-Name\tSequence-Role\tAssigned-Molecule\tAssigned-Molecule-Location/Type\tGenBank-Accn\
\tRelationship\tRefSeq-Accn\tAssembly-Unit
1\tassembled-molecule\t1\tChromosome\tna\t<>\tNC_005100.2\tPrimary Assembly
2\tassembled-molecule\t2\tChromosome\tna\t<>\tNC_005101.2\tPrimary Assembly
"""


def report(name: str, rows: Iterable[str], end: str = "\r\n") -> str:
    """A report of NCBI."""
    lines = [*HEAD.format(name=name).splitlines(), COLUMNS, *rows]
    return "".join(line + end for line in lines)


def row(
    name: str,
    insdc: str = "na",
    refseq: str = "na",
    length: object = 8,
    ucsc: str = "na",
    *,
    relation: str = "=",
) -> str:
    """A line of one."""
    return (
        f"{name}\tassembled-molecule\t{name}\tChromosome\t{insdc}\t{relation}\t{refseq}\t"
        f"Primary Assembly\t{length}\t{ucsc}"
    )


def yeast() -> str:
    """The report of R64."""
    rows = [row(one, genbank, ref, n, f"chr{one}") for one, genbank, ref, n in YEAST]
    mito = (
        "MT\tassembled-molecule\tMT\tMitochondrion\tna\t<>\tNC_001224.1\tnon-nuclear\t85779\tchrM"
    )
    return report("R64", [*rows, mito])


def residues(length: int, seed: object) -> str:
    """Some nucleotides."""
    return "".join(random.Random(repr(seed)).choices("ACGT", k=length))


def write(path: Path, text: str) -> Path:
    """A text exactly as it is."""
    path.write_bytes(text.encode("utf-8"))
    return path


@pytest.fixture
def load(cli: Cli, tmp_path: Path) -> Any:
    """Loads sequences under a namespace: ``load("refseq", {"NC_1.1": "ACGT"})``."""

    def run(namespace: str, sequences: Mapping[str, str], *options: str) -> None:
        file = write_fasta(tmp_path / "loaded.fa", sequences)
        result = cli("load", "--namespace", namespace, *options, file)
        assert result.code == 0, result

    return run


@pytest.fixture
def mitochondrion(cli: Cli, data: Path) -> str:
    """An archive with the human mitochondrion, under its RefSeq accession. Returns its digest."""
    file = data / "gb_embl/human_mito_rCRS_NC_012920.1.gbff"
    assert cli("load", "-n", "refseq", file).code == 0
    return "SQ.k3grVkjY-hoWcCUojHw6VU6GE3MZ8Sct"


def names(cli: Cli, identifier: str) -> set[str]:
    """The aliases of a sequence."""
    result = cli("alias", "list", identifier)
    assert result.code == 0, result
    return set(result.out.split())


def added(result: Result) -> Any:
    """The report of a command that did what it was asked for."""
    assert result.code == 0, result
    assert result.out.count("\n") == 1
    return json.loads(result.out)


def refused(result: Result, code: int, *words: str) -> None:
    """The command did nothing but say, in one line, what is wrong and where."""
    assert result.code == code, result
    assert result.out == ""
    assert result.err.startswith("seqarchive: ")
    assert result.err.count("\n") == 1, result.err
    for word in words:
        assert word in result.err


def n_batches(cli: Cli) -> int:
    """How many batches there are."""
    return len(cli("--json", "log").out.splitlines())


def in_tables(accession: str) -> set[str]:
    """The names that bioutils has for a sequence."""
    return {
        f"{table['name']}:{name}"
        for table in TABLES.values()
        for one in table["sequences"]
        if one["refseq_ac"] == accession
        for name in (one["name"], *one["aliases"])
    }


# --- the tables of bioutils -------------------------------------------------------------------

MT = ("gb_embl/human_mito_rCRS_NC_012920.1.gbff", "NC_012920.1", "NC_012920.1", "J01415.2")
CHR20 = ("nucl/human_g1k_v37.chr20.fa.gz", "20", "NC_000020.10", "CM000682.1")
MORE = os.environ.get("SEQARCHIVE_DATA")
HERE = Path(__file__).parent / "data"
KNOWN = [(HERE, *MT), *([(Path(MORE), *CHR20)] if MORE else [])]


@pytest.mark.parametrize(("where", "file", "alias", "refseq", "insdc"), KNOWN)
def test_a_chromosome_is_known_by_its_digest_whatever_it_was_called(
    cli: Cli, where: Path, file: str, alias: str, refseq: str, insdc: str
) -> None:
    assert cli("load", "-n", "g1k", where / file).code == 0
    assert names(cli, f"g1k:{alias}") == {f"g1k:{alias}"}
    told = added(cli("--json", "add-assembly-names"))
    expected = in_tables(refseq)
    assert len(expected) == {"NC_012920.1": 44, "NC_000020.10": 16}[refseq]
    assert names(cli, f"g1k:{alias}") == {
        f"g1k:{alias}",
        f"refseq:{refseq}",
        f"insdc:{insdc}",
        *expected,
    }
    assert told["aliases_added"] == len(expected) + 2
    assert {one["name"] for one in told["assemblies"] if one["matched"]["digest"] == 1} == {
        name.split(":")[0] for name in expected
    }
    if refseq == "NC_000020.10":
        patches = ("", ".p2", ".p5", ".p9", ".p10", ".p11", ".p12", ".p13")
        assert expected == {f"GRCh37{p}:{name}" for p in patches for name in ("20", "chr20")}


def test_the_known_digests_are_those_of_the_chromosomes_of_two_builds(data: Path) -> None:
    known = known_sequences()
    chromosomes = {
        one["refseq_ac"]: one["length"]
        for build in ("GRCh37.p13", "GRCh38.p14")
        for one in TABLES[build]["sequences"]
        if one["sequence_role"] == "assembled-molecule"
    }
    assert {name: one.length for name, one in known.items()} == chromosomes
    assert {len(one.digest) for one in known.values()} == {24}
    assert len({one.digest for one in known.values()}) == len(known) == 49
    text = (data / "gb_embl/human_mito_rCRS_NC_012920.1.gbff").read_text()
    mito = re.sub("[^a-z]", "", text.split("ORIGIN")[1]).upper()
    digest = hashlib.sha512(mito.encode()).digest()[:24]
    assert known["NC_012920.1"] == (len(mito), digest)


@pytest.mark.filterwarnings("ignore:The default (datetime|timestamp):DeprecationWarning")
@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
@pytest.mark.filterwarnings("ignore:.*unclosed data:pytest.PytestUnraisableExceptionWarning")
def test_the_names_are_those_that_seqrepo_gives(load: Any, cli: Cli, tmp_path: Path) -> None:
    """For the short sequences of all its assemblies, also of those that are `<>` there."""
    lengths = {
        one["refseq_ac"]: one["length"]
        for table in TABLES.values()
        for one in table["sequences"]
        if one["length"] < 4500 and one["refseq_ac"] != "na"
    }
    made = {accession: residues(n, accession) for accession, n in lengths.items()}
    by_digest = {sha512t24u(text): accession for accession, text in made.items()}
    assert len(by_digest) > 1000
    directory = tmp_path / "seqrepo"
    theirs = SeqRepo(str(directory / "master"), writeable=True)
    for digest, accession in by_digest.items():
        theirs.aliases.store_alias(digest, "NCBI", accession)
    theirs.commit()
    seqrepo_cli.add_assembly_names(
        argparse.Namespace(
            root_directory=str(directory),
            instance_name="master",
            partial_load=True,
            reload_all=False,
        )
    )
    expected = {
        (f"{found['namespace']}:{found['alias']}", found["seq_id"])
        for found in theirs.aliases.find_aliases()
        if found["namespace"] in TABLES
    }
    assert {name.split(":")[0] for name, _ in expected} >= {"GRCh38.p14", "CHM1_1.0", "NCBI34"}

    load("refseq", made)
    assert added(cli("--json", "add-assembly-names"))["batch"] == 2
    table = [line.split("\t") for line in cli("export-aliases").out.splitlines()[1:]]
    ours = {
        (f"{namespace}:{alias}", digest.removeprefix("ga4gh:").removeprefix("SQ."))
        for namespace, alias, digest in table
        if namespace not in ("refseq", "insdc")
    }
    assert ours == expected


def test_every_assembly_is_what_its_table_says() -> None:
    assemblies = {one.name: one for one in bundled_assemblies()}
    assert assemblies.keys() == TABLES.keys()
    patches = [name for name in assemblies if name.startswith("GRCh38")]
    assert patches == ["GRCh38", *(f"GRCh38.p{n}" for n in range(1, 15))]
    for name, table in TABLES.items():
        said = {
            (
                frozenset([one["name"], *one["aliases"]]),
                one["refseq_ac"] if one["refseq_ac"] != "na" else None,
                one["genbank_ac"],
                one["length"],
            )
            for one in table["sequences"]
        }
        read = {(frozenset(one.names), *one[1:4]) for one in assemblies[name].sequences}
        assert read == said
        assert len(assemblies[name].sequences) == len(table["sequences"])


@pytest.mark.usefixtures("mitochondrion")
def test_assemblies_are_chosen_by_name_whatever_the_case(cli: Cli) -> None:
    told = added(
        cli("--json", "add-assembly-names", "--assembly", "grch37.P13", "--assembly", "GRCH38")
    )
    assert [one["name"] for one in told["assemblies"]] == ["GRCh37.p13", "GRCh38"]
    assert names(cli, "NC_012920.1") == {
        "GRCh37.p13:MT",
        "GRCh37.p13:chrM",
        "GRCh38:MT",
        "GRCh38:chrM",
        "insdc:J01415.2",
        "refseq:NC_012920.1",
    }
    assert [(one["aliases_added"], one["aliases_known"]) for one in told["assemblies"]] == [
        (3, 1),
        (2, 2),
    ]
    assert (told["aliases_added"], told["aliases_known"]) == (5, 3)


@pytest.mark.usefixtures("mitochondrion")
def test_an_assembly_that_is_not_bundled_is_not_found_and_near_ones_are_named(cli: Cli) -> None:
    result = cli("add-assembly-names", "--assembly", "GRCh38.p41")
    refused(result, 3, "'GRCh38.p41'", "GRCh38.p14")
    refused(cli("add-assembly-names", "--assembly", "sticky/../name"), 3, "sticky/../name")
    assert n_batches(cli) == 1


@pytest.mark.usefixtures("mitochondrion")
def test_bioutils_is_optional(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "bioutils", None)
    monkeypatch.delitem(sys.modules, "bioutils.assemblies", raising=False)
    refused(cli("add-assembly-names"), 1, "pip install 'seqarchive[assemblies]'")
    rows = [row("MT", "J01415.2", "NC_012920.1", 16_569, "chrM")]
    assert cli("add-assembly-names", write(tmp_path / "x", report("GRCh38", rows))).code == 0
    assert "GRCh38:chrM" in names(cli, "NC_012920.1")


def test_d12_a_sequence_of_another_length_gets_no_name(load: Any, cli: Cli, root: Path) -> None:
    """SeqRepo names 17 bases GRCh38:1 if somebody called them NC_000001.11."""
    load("refseq", {"NC_000001.11": "ACGTACGTACGTACGTA"})
    before = contents(root)
    result = cli("add-assembly-names", "--assembly", "GRCh38")
    refused(
        result, 5, "refseq:NC_000001.11 has 17 residues, the report says 248,956,422", "on-error"
    )
    everything = cli("add-assembly-names")
    refused(everything, 5, "(and 14 more)")
    assert n_batches(cli) == 1
    assert contents(root).keys() == before.keys()
    nothing = cli("add-assembly-names", "--on-error", "skip")
    refused(nothing, 3, "15 refused: refseq:NC_000001.11 has 17 residues")
    assert names(cli, "refseq:NC_000001.11") == {"refseq:NC_000001.11"}


def test_what_is_refused_is_left_out_if_asked_and_the_rest_is_named(
    load: Any, cli: Cli, mitochondrion: str
) -> None:
    load("refseq", {"NC_000001.11": "ACGTACGTACGTACGTA"})
    result = cli("--json", "add-assembly-names", "--assembly", "GRCh38", "--on-error", "skip")
    (one,) = added(result)["assemblies"]
    said = "refseq:NC_000001.11 has 17 residues, the report says 248,956,422"
    assert one["refused"] == [said]
    assert len(one["missing"]) == one["sequences"] - 2 == 453
    assert result.err == f"seqarchive: refused: GRCh38: {said}\n"
    assert names(cli, mitochondrion) >= {"GRCh38:MT", "GRCh38:chrM", "insdc:J01415.2"}
    assert names(cli, "refseq:NC_000001.11") == {"refseq:NC_000001.11"}


def test_another_sequence_of_the_same_length_is_refused_where_the_digest_is_known(
    load: Any, cli: Cli
) -> None:
    load("refseq", {"NC_012920.1": residues(16_569, "not the mitochondrion")})
    refused(
        cli("add-assembly-names", "--assembly", "GRCh38"),
        5,
        "refseq:NC_012920.1 is SQ.",
        "but refseq:NC_012920.1 as published is SQ.k3grVkjY-hoWcCUojHw6VU6GE3MZ8Sct",
    )
    load("insdc", {"J01415.2": residues(16_569, "nor this")}, "--on-conflict", "error")
    refused(cli("add-assembly-names", "--on-error", "skip"), 3, "refused")


def test_the_report_to_people_is_a_few_lines(cli: Cli, mitochondrion: str) -> None:
    result = cli("add-assembly-names", "--assembly", "GRCh38.p2", "--assembly", "GRCh37")
    assert result.code == 0
    assert re.sub(r"[0-9.]+ s\b", "0 s", result.out) == (
        "batch 2: 3 names added, 1 known already, 0 s\n"
        "  GRCh38.p2: 1 of 486 sequences (1 by refseq), 3 names added, 1 known already\n"
        "  nothing of 1 other assembly is here\n"
    )
    again = cli("add-assembly-names", "-v", "--assembly", "GRCh38.p2")
    assert again.out.startswith("no batch, nothing is new: 0 names added, 4 known already")
    assert "    missing: 1 refseq:NC_000001.11, 2 refseq:NC_000002.12, " in again.out
    assert result.err == again.err == ""


# --- batches ----------------------------------------------------------------------------------


def test_a_report_of_ncbi_names_a_genome(cli: Cli, data: Path, tmp_path: Path) -> None:
    genome = data / "nucl/yeast_R64_ncbi_softmasked.fa.gz"
    assert cli("load", "-n", "refseq", genome).code == 0
    file = write(tmp_path / "GCF_000146045.2_R64_assembly_report.txt", yeast())
    told = added(cli("--json", "add-assembly-names", file))
    (one,) = told["assemblies"]
    assert (told["batch"], told["dry_run"], told["conflicts"]) == (2, False, [])
    assert (one["name"], one["source"], one["sequences"]) == ("R64", str(file), 17)
    assert one["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert one["matched"] == {"refseq": 17, "insdc": 0, "digest": 0}
    assert one["missing"] == one["refused"] == one["differing"] == one["left_out"] == []
    assert told["aliases_added"] == one["aliases_added"] == 17 * 2 + 16
    assert told["aliases_known"] == one["aliases_known"] == 17
    for chromosome, insdc, refseq, _ in YEAST:
        assert names(cli, f"refseq:{refseq}") == {
            f"R64:{chromosome}",
            f"R64:chr{chromosome}",
            f"insdc:{insdc}",
            f"refseq:{refseq}",
        }
    assert names(cli, "R64:chrM") == {"R64:MT", "R64:chrM", "refseq:NC_001224.1"}
    assert cli("verify", "--full").code == 0


def test_the_same_again_adds_nothing_and_is_no_batch(cli: Cli, mitochondrion: str) -> None:
    first = added(cli("--json", "add-assembly-names"))
    assert (first["batch"], first["aliases_added"]) == (2, 45)
    table = cli("export-aliases").out
    second = added(cli("--json", "add-assembly-names"))
    assert (second["batch"], second["aliases_added"], second["aliases_moved"]) == (None, 0, 0)
    assert second["aliases_known"] == first["aliases_added"] + first["aliases_known"]
    assert n_batches(cli) == 2
    assert cli("export-aliases").out == table


def test_what_one_report_says_of_an_accession_another_can_use_at_once(load: Any, cli: Cli) -> None:
    """From GRCh38.p12 on a scaffold has no RefSeq accession; before, it had. All in one run, or a
    second one would find more than the first."""
    load("refseq", {"NT_187507.1": residues(27_745, "scaffold")})
    first = added(cli("--json", "add-assembly-names"))
    found = {one["name"]: one["matched"] for one in first["assemblies"]}
    assert found["GRCh38.p11"] == {"refseq": 1, "insdc": 0, "digest": 0}
    assert found["GRCh38.p14"] == {"refseq": 0, "insdc": 1, "digest": 0}
    assert names(cli, "refseq:NT_187507.1") >= {
        "insdc:KI270752.1",
        "GRCh38:chrUn_KI270752v1",
        "GRCh38.p14:HSCHRUN_RANDOM_CTG29",
    }
    assert added(cli("--json", "add-assembly-names"))["batch"] is None


def test_a_dry_run_says_the_same_and_writes_nothing(
    cli: Cli, root: Path, mitochondrion: str
) -> None:
    before = contents(root)
    dry = added(cli("--json", "add-assembly-names", "--dry-run"))
    assert contents(root) == before
    assert (dry["batch"], dry["dry_run"], dry["aliases_added"]) == (None, True, 45)
    assert cli("add-assembly-names", "--dry-run").out.startswith("dry run, nothing written: 45 ")
    wet = added(cli("--json", "add-assembly-names"))
    for told in (dry, wet):
        for key in ("batch", "dry_run", "seconds"):
            del told[key]
    assert dry == wet


def test_the_log_keeps_numbers_where_the_report_has_long_lists(
    cli: Cli, root: Path, mitochondrion: str
) -> None:
    added(cli("--json", "add-assembly-names"))
    with seqarchive.connect(root) as archive:
        last = list(archive.batches())[-1]
        assert (last["kind"], last["n_aliases"]) == ("add-assembly-names", 45)
        (kept,) = archive.database.connection.execute(
            "SELECT report FROM batches WHERE id = 2"
        ).fetchone()
    assemblies = {one["name"]: one for one in json.loads(kept)["assemblies"]}
    assert len(assemblies) == 22
    assert assemblies["GRCh38"]["missing"] == 454
    assert len(kept) < 20_000


def test_the_batch_can_be_reverted(cli: Cli, mitochondrion: str) -> None:
    added(cli("--json", "add-assembly-names"))
    assert cli("revert", "2").code == 0
    assert names(cli, mitochondrion) == {"refseq:NC_012920.1"}
    assert added(cli("--json", "add-assembly-names"))["aliases_added"] == 45


def test_a_name_that_means_something_else_is_a_conflict(
    load: Any, cli: Cli, mitochondrion: str
) -> None:
    load("GRCh38", {"MT": "ACGT"})
    other = f"ga4gh:SQ.{sha512t24u('ACGT')}"
    result = cli("add-assembly-names")
    refused(result, 4, "GRCh38:MT is SQ.k3grVk", sha512t24u("ACGT"), "since batch 2")
    assert n_batches(cli) == 2

    kept = cli("--json", "add-assembly-names", "--on-conflict", "keep")
    told = added(kept)
    assert (told["batch"], told["aliases_kept"], told["aliases_moved"]) == (3, 1, 0)
    assert (told["aliases_added"], len(told["conflicts"])) == (44, 1)
    assert kept.err.startswith("seqarchive: conflict: bioutils, GRCh38") or "GRCh38:MT" in kept.err
    assert names(cli, other) == {"GRCh38:MT"}
    again = added(cli("--json", "add-assembly-names", "--on-conflict", "keep"))
    assert (again["batch"], again["aliases_kept"]) == (None, 1)

    moved = added(cli("--json", "add-assembly-names", "--on-conflict", "replace"))
    assert (moved["batch"], moved["aliases_moved"], moved["aliases_added"]) == (4, 1, 0)
    assert "GRCh38:MT" in names(cli, mitochondrion)
    assert "until batch 4" in cli("alias", "history", "GRCh38:MT").out


def test_nothing_of_what_is_asked_for_is_not_found(load: Any, cli: Cli, root: Path) -> None:
    refused(cli("add-assembly-names"), 3, "there is no archive")
    load("x", {"a": "ACGT"})
    refused(cli("add-assembly-names"), 3, "nothing of 30 assemblies is in the archive")
    refused(cli("add-assembly-names", "--assembly", "NCBI36"), 3, "nothing of NCBI36 is")
    assert n_batches(cli) == 1
    assert "NCBI36" not in json.loads(cli("--json", "status").out)["namespaces"]


def test_a_snapshot_never_changes(cli: Cli, mitochondrion: str) -> None:
    assert cli("snapshot", "2024-06-01").code == 0
    refused(cli("--instance", "2024-06-01", "add-assembly-names"), 8, "never changes")


def test_only_complete_assemblies_are_named_if_asked(load: Any, cli: Cli, tmp_path: Path) -> None:
    load("refseq", {"NC_1.1": "A" * 8, "NC_2.1": "C" * 8, "NC_4.1": "G" * 7})
    whole = write(tmp_path / "whole", report("W1", [row("1", refseq="NC_1.1")]))
    part = report("P1", [row("1", refseq="NC_1.1"), row("2", refseq="NC_3.1")])
    wrong = report("B1", [row("2", refseq="NC_2.1"), row("4", refseq="NC_4.1")])
    files = [whole, write(tmp_path / "part", part), write(tmp_path / "wrong", wrong)]
    command = ("--json", "add-assembly-names", "--complete", "--on-error", "skip")
    told = added(cli(*command, *files))
    assert [(one["name"], one["is_named"]) for one in told["assemblies"]] == [
        ("W1", True),
        ("P1", False),
        ("B1", False),
    ]
    assert told["assemblies"][1]["missing"] == ["2 refseq:NC_3.1"]
    assert names(cli, "refseq:NC_1.1") == {"refseq:NC_1.1", "W1:1"}
    assert "P1: 1 of 2 sequences (1 by refseq): left out" in cli(*command[1:], *files).out
    refused(cli(*command, *files[1:]), 3, "nothing is complete", "P1 lacks 1 of 2 sequences")


def test_several_reports_are_one_batch_each_with_its_name(
    load: Any, cli: Cli, tmp_path: Path
) -> None:
    load("refseq", {"NC_1.1": "A" * 8})
    files = [write(tmp_path / name, report(name, [row(name, refseq="NC_1.1")])) for name in "ab"]
    told = added(cli("--json", "add-assembly-names", *files))
    assert [one["name"] for one in told["assemblies"]] == ["a", "b"]
    assert names(cli, "NC_1.1") == {"a:a", "b:b", "refseq:NC_1.1"}
    overridden = ["--assembly", "x1", "--assembly", "x2"]
    assert added(cli("--json", "add-assembly-names", *files, *overridden))["batch"] == 3
    assert names(cli, "NC_1.1") == {"a:a", "b:b", "x1:a", "x2:b", "refseq:NC_1.1"}
    result = cli("add-assembly-names", *files, "--assembly", "x1")
    assert (result.code, result.out) == (2, "")
    assert "there are 2 reports and 1 name" in result.err


def test_a_report_may_be_compressed_or_come_from_a_pipe(
    load: Any, cli: Cli, tmp_path: Path
) -> None:
    load("refseq", {"NC_1.1": "A" * 8})
    text = report("A1", [row("1", "AB1.1", "NC_1.1")]).encode()
    packed = tmp_path / "misnamed.txt"
    packed.write_bytes(gzip.compress(text))
    assert cli("add-assembly-names", packed, "--assembly", "B1").code == 0
    told = added(cli("--json", "add-assembly-names", "-", stdin=text))
    assert told["assemblies"][0]["source"] == "standard input"
    assert names(cli, "NC_1.1") == {"A1:1", "B1:1", "insdc:AB1.1", "refseq:NC_1.1"}


# --- what the names are -----------------------------------------------------------------------


def test_a_sequence_is_found_by_genbanks_accession_where_there_is_none_of_refseq(
    load: Any, cli: Cli, tmp_path: Path
) -> None:
    load("genbank", {"AB000001.1": "A" * 8, "AB000002.1": "C" * 8})
    load("refseq", {"NC_000002.1": "C" * 8})
    rows = [
        row("1", "AB000001.1", "NC_000001.1", ucsc="chr1"),
        row("2", "AB000002.1", "NC_000002.1"),
        row("3", "AB000003.1", "na"),
    ]
    told = added(cli("--json", "add-assembly-names", write(tmp_path / "x", report("A1", rows))))
    assert told["assemblies"][0]["matched"] == {"refseq": 1, "insdc": 1, "digest": 0}
    assert told["assemblies"][0]["missing"] == ["3 insdc:AB000003.1"]
    assert names(cli, "insdc:AB000001.1") == {
        "A1:1",
        "A1:chr1",
        "insdc:AB000001.1",
        "refseq:NC_000001.1",
    }


@pytest.mark.parametrize("loaded_first", ["refseq", "insdc"])
@pytest.mark.parametrize("rows", [DOG_MT, DOG_MT[::-1]], ids=["as it is", "the other way round"])
def test_where_genbank_and_refseq_differ_neither_gets_the_accession_of_the_other(
    load: Any, cli: Cli, tmp_path: Path, rows: list[str], loaded_first: str
) -> None:
    mitochondria = {
        "refseq": {"NC_002008.4": residues(16_727, "refseq")},
        "insdc": {"CM023446.1": residues(16_735, "insdc")},
    }
    file = write(tmp_path / "x", report("Dog10K", [row("1", "CM1.1", "NC_1.1"), *rows]))
    load(loaded_first, mitochondria.pop(loaded_first))
    result = cli("--json", "add-assembly-names", file)
    if loaded_first == "insdc":
        refused(result, 3, "nothing of Dog10K")
    else:
        assert added(result)["aliases_added"] == 2
    ((other, sequences),) = mitochondria.items()
    load(other, sequences)
    (one,) = added(cli("--json", "add-assembly-names", file))["assemblies"]
    assert one["differing"] == ["insdc:CM023446.1 differs from refseq:NC_002008.4"]
    assert one["missing"] == ["1 refseq:NC_1.1"]
    assert names(cli, "refseq:NC_002008.4") == {"Dog10K:MT", "Dog10K:chrM", "refseq:NC_002008.4"}
    assert names(cli, "insdc:CM023446.1") == {"insdc:CM023446.1"}
    text = cli("add-assembly-names", "-v", file).out
    assert "\n    insdc:CM023446.1 differs from refseq:NC_002008.4\n" in text


def test_where_one_line_has_two_that_differ_refseqs_has_the_names(
    load: Any, cli: Cli, tmp_path: Path
) -> None:
    load("refseq", {"NC_029977.1": "A" * 8})
    load("insdc", {"CM002812.1": "C" * 8, "CM002813.1": "G" * 8})
    rows = [
        row("Chr01", "CM002812.1", "NC_029977.1", ucsc="chr1", relation="<>"),
        row("Chr02", "CM002813.1", "NC_029978.1", relation="<>"),
    ]
    file = write(tmp_path / "x", report("Phavu", rows))
    (one,) = added(cli("--json", "add-assembly-names", file))["assemblies"]
    assert one["matched"] == {"refseq": 1, "insdc": 0, "digest": 0}
    assert one["missing"] == ["Chr02 refseq:NC_029978.1"]
    assert len(one["differing"]) == 2
    assert names(cli, "refseq:NC_029977.1") == {"Phavu:Chr01", "Phavu:chr1", "refseq:NC_029977.1"}
    assert names(cli, "insdc:CM002812.1") == {"insdc:CM002812.1"}
    assert names(cli, "insdc:CM002813.1") == {"insdc:CM002813.1"}


def test_what_only_genbank_has_is_named_as_the_assembly_names_it(load: Any, cli: Cli) -> None:
    """In T2T-CHM13v2.0 the mitochondrion has no RefSeq accession; the relation is `<>`."""
    load("insdc", {"CP068254.1": residues(16_569, "CHM13")})
    assert cli("add-assembly-names", "--assembly", "t2t-chm13v2.0").code == 0
    assert names(cli, "insdc:CP068254.1") == {
        "T2T-CHM13v2.0:MT",
        "T2T-CHM13v2.0:chrM",
        "insdc:CP068254.1",
    }


def test_the_synonym_of_an_assembly_is_no_namespace(cli: Cli, data: Path, tmp_path: Path) -> None:
    assert "# Synonyms:       hg19" in yeast()
    assert cli("load", "-n", "ncbi", data / "nucl/yeast_R64_ncbi_softmasked.fa.gz").code == 0
    assert cli("add-assembly-names", write(tmp_path / "x", yeast())).code == 0
    assert set(json.loads(cli("--json", "status").out)["namespaces"]) == {"R64", "insdc", "refseq"}


def test_an_old_report_has_no_lengths_and_that_is_said(load: Any, cli: Cli, tmp_path: Path) -> None:
    load("refseq", {"NC_005100.2": "ACGT"})
    result = cli("--json", "add-assembly-names", write(tmp_path / "x", OLD_RAT))
    (one,) = added(result)["assemblies"]
    assert (one["name"], one["unchecked"], one["missing"]) == (
        "Rnor_3.4",
        1,
        ["2 refseq:NC_005101.2"],
    )
    assert names(cli, "NC_005100.2") == {"Rnor_3.4:1", "refseq:NC_005100.2"}
    text = cli("add-assembly-names", tmp_path / "x").out
    assert "1 without a length in the report, not checked" in text


def test_what_cannot_be_an_alias_is_left_out_with_a_word(
    load: Any, cli: Cli, tmp_path: Path
) -> None:
    load("refseq", {"NC_1.1": "A" * 8, "NC_2.1": "C" * 8})
    rows = [
        row("Chromosome 1", "AB1.1", "NC_1.1", ucsc="chr1"),
        row("Chromosome 2", "AB2", "NC_2.1"),
    ]
    result = cli("--json", "add-assembly-names", write(tmp_path / "x", report("A1", rows)))
    (one,) = added(result)["assemblies"]
    line = HEAD.count("\n") + 2
    assert one["left_out"] == [
        f"line {line}: the name 'Chromosome 1' has white space",
        f"line {line + 1}: the name 'Chromosome 2' has white space",
        f"line {line + 1}: 'AB2' is no accession with a version",
    ]
    assert result.err.count("left out: A1: line") == 3
    assert names(cli, "NC_1.1") == {"A1:chr1", "insdc:AB1.1", "refseq:NC_1.1"}
    assert names(cli, "NC_2.1") == {"refseq:NC_2.1"}


# --- UCSC -------------------------------------------------------------------------------------

#: In three layouts: as hubs and hg38 have it, as mm10 has it, and as the table in the database.
TITLED = """# ucsc\tassembly\tgenbank\tncbi\trefseq
chr1\t1\tCM000663.2\t1\tNC_000001.11
chr10_NT_187579v1_alt\tHSCHR10_1_CTG3\tKI270824.1\t\tNT_187579.1
chrM\tMT\tJ01415.2\tMT\tNC_012920.1
"""
UNTITLED = """# sequenceName\talias names\tUCSC database: hg38
chr1\t1\tCM000663.2\tNC_000001.11
chr10_NT_187579v1_alt\tHSCHR10_1_CTG3\tKI270824.1\tNT_187579.1
chrM\tMT\tJ01415.2\tNC_012920.1
"""
BY_NAME = """1\tchr1\tassembly,ensembl,ncbi
CM000663.2\tchr1\tgenbank
NC_000001.11\tchr1\trefseq
HSCHR10_1_CTG3\tchr10_NT_187579v1_alt\tassembly
KI270824.1\tchr10_NT_187579v1_alt\tgenbank
J01415.2\tchrM\tgenbank
MT\tchrM\tassembly,ensembl,ncbi
NC_012920.1\tchrM\trefseq
NT_187579.1\tchr10_NT_187579v1_alt\trefseq
"""
HUB = """# refseq\tassembly\tgenbank\tncbi\tucsc
NC_000001.11\t1\tCM000663.2\t1\tchr1
NC_012920.1\tMT\tJ01415.2\tMT\tchrM
NT_187579.1\tHSCHR10_1_CTG3\tKI270824.1\t\tchr10_NT_187579v1_alt
"""
LAYOUTS = {
    "columns": TITLED,
    "columns without titles": UNTITLED,
    "a line for each name": BY_NAME,
    "a line for each name, with titles": "#alias\tchrom\tsource\n" + BY_NAME,
    "columns of a hub": HUB,
}


@pytest.mark.parametrize("text", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_chrom_alias_file_names_a_genome(
    cli: Cli, tmp_path: Path, mitochondrion: str, text: str, end: str
) -> None:
    file = write(tmp_path / "hg38.chromAlias.txt", text.replace("\n", end))
    result = cli("add-assembly-names", file)
    assert (result.code, result.out) == (2, "")
    assert "does not say which assembly" in result.err
    assert "--assembly" in result.err
    (one,) = added(cli("--json", "add-assembly-names", file, "--assembly", "hg38"))["assemblies"]
    assert (one["sequences"], one["unchecked"]) == (3, 0)  # the digest is known
    assert {line.split()[1] for line in one["missing"]} == {
        "refseq:NC_000001.11",
        "refseq:NT_187579.1",
    }
    assert names(cli, mitochondrion) == {
        "hg38:MT",
        "hg38:chrM",
        "insdc:J01415.2",
        "refseq:NC_012920.1",
    }


@pytest.mark.parametrize("text", LAYOUTS.values(), ids=LAYOUTS)
def test_chrom_sizes_are_the_lengths_of_a_chrom_alias_file(
    load: Any, cli: Cli, tmp_path: Path, text: str
) -> None:
    load("refseq", {"NT_187579.1": "ACGT"})
    file = write(tmp_path / "a", text)
    sizes = write(tmp_path / "b", "chr1\t248956422\nchr10_NT_187579v1_alt\t181496\nchrM\t16569\n")
    command = ("add-assembly-names", file, "--assembly", "hg38")
    result = cli(*command, "--sizes", sizes)
    refused(result, 5, "refseq:NT_187579.1 has 4 residues, the report says 181,496")
    assert cli(*command, "--sizes", write(sizes, "chr10_NT_187579v1_alt 4\n")).code == 0
    refused(cli(*command, "--sizes", write(sizes, "chr9\t4\n")), 5, "none of its sequences")
    refused(cli(*command, "--sizes", write(sizes, "chr9\tx\n")), 5, f"{sizes}, line 1: 'x'")
    refused(cli(*command, "--sizes", write(sizes, "a\t1\na\t2\n")), 5, f"{sizes}, line 2")
    refused(cli(*command, "--sizes", write(sizes, "a\t1\t2\n")), 5, f"{sizes}, line 1")
    refused(cli(*command, "--sizes", tmp_path / "none"), 3, "no such file")
    ncbi = write(tmp_path / "c", yeast())
    refused(cli("add-assembly-names", ncbi, "--sizes", write(sizes, "a\t1\n")), 5, "lengths of its")
    assert cli("add-assembly-names", "--sizes", sizes).code == 2
    assert cli("add-assembly-names", "--sizes", sizes, file, ncbi).code == 2


# --- SAM --------------------------------------------------------------------------------------


@pytest.fixture
def dictionary(load: Any, tmp_path: Path) -> Path:
    """A dictionary as samtools makes it; its sequences are in the archive under other names."""
    texts = {"chr1": residues(300, 1), "2": residues(200, 2).lower(), "M": residues(100, 3)}
    load("x", dict(zip("abc", texts.values(), strict=True)))
    fasta = write_fasta(tmp_path / "genome.fa", {**texts, "other": "ACGT"})
    file = tmp_path / "genome.dict"
    pysam.samtools.dict(
        "-a", "Lab_1", "-s", "Mus musculus", "-A", "-o", str(file), str(fasta), catch_stdout=False
    )
    assert "\tM5:" in file.read_text()
    assert "\tAS:Lab_1" in file.read_text()
    return file


def test_a_dictionary_finds_sequences_by_their_md5(cli: Cli, dictionary: Path) -> None:
    (one,) = added(cli("--json", "add-assembly-names", dictionary))["assemblies"]
    assert one["matched"] == {"refseq": 0, "insdc": 0, "digest": 3}
    assert (one["missing"], one["unchecked"]) == (["other"], 0)
    assert names(cli, "x:a") == {"x:a", "Lab_1:chr1", "Lab_1:1"}
    assert names(cli, "x:b") == {"x:b", "Lab_1:2", "Lab_1:chr2"}
    assert names(cli, "x:c") == {"x:c", *(f"Lab_1:{n}" for n in ("M", "MT", "chrM", "chrMT"))}
    again = added(cli("--json", "add-assembly-names", dictionary, "--assembly", "other"))
    assert again["aliases_added"] == 8
    assert "other:chr1" in names(cli, "x:a")


def test_a_dictionary_with_another_length_is_refused(cli: Cli, dictionary: Path) -> None:
    text = dictionary.read_text().replace("LN:300", "LN:301")
    digest = sha512t24u(residues(300, 1))
    refused(
        cli("add-assembly-names", write(dictionary, text)),
        5,
        f"{dictionary}, line 2: SQ.{digest} has 300 residues, the report says 301",
    )


def test_a_dictionary_must_say_or_be_told_which_assembly_it_is(cli: Cli, dictionary: Path) -> None:
    said = dictionary.read_text()
    for text, word in (
        (said.replace("\tAS:Lab_1", ""), "does not say which"),
        (said.replace("\tAS:Lab_1", "\tAS:Lab_2", 1), "names 2 assemblies"),
    ):
        result = cli("add-assembly-names", write(dictionary, text))
        assert (result.code, result.out) == (2, "")
        assert word in result.err
        assert "--assembly" in result.err
    assert cli("add-assembly-names", dictionary, "--assembly", "Lab_3").code == 0
    without = re.sub(r"\tM5:\w+", "", said)
    refused(cli("add-assembly-names", write(dictionary, without)), 5, "none of its sequences has")


# --- what is no report ------------------------------------------------------------------------

ONE = [row("1", "AB1.1", "NC_1.1", 8, "chr1")]
GOOD = report("A1", ONE)
DICT = "@HD\tVN:1.6\n@SQ\tSN:1\tLN:8\tM5:" + "0" * 32 + "\tAS:A1\n"
LINE = HEAD.count("\n") + 2

HOSTILE: dict[str, tuple[str | bytes, str]] = {
    "nothing": ("", "there are no sequences"),
    "only comments": (HEAD.format(name="A1"), "there are no sequences"),
    "only a header": (report("A1", []), "there are no sequences"),
    "no header": (GOOD.replace(COLUMNS, "# no columns"), "this is no assembly report"),
    "FASTA": (">NC_1.1\nACGT\n", "this is no assembly report"),
    "BED": ("chr1\t0\t100\n", "this is no assembly report"),
    "names of ours": ("namespace\talias\tsequence\nrefseq\tNC_1.1\tSQ.abc\n", "line 2: three"),
    "a column too few": (GOOD.replace("\tchr1", ""), f"line {LINE}: 10 columns are needed, not 9"),
    "a column too many": (GOOD.replace("chr1", "chr1\tx"), f"line {LINE}: 10 columns"),
    "a column missing": (GOOD.replace("Relationship", "Relation"), "needs the columns"),
    "a column twice": (GOOD.replace("Assembly-Unit", "GenBank-Accn"), "each once"),
    "a relation": (GOOD.replace("\t=\t", "\t~\t"), f"line {LINE}: the relationship is = or <>"),
    "a length of words": (GOOD.replace("\t8\t", "\teight\t"), f"line {LINE}: 'eight' is not a"),
    "a negative length": (GOOD.replace("\t8\t", "\t-8\t"), f"line {LINE}: '-8' is not a length"),
    "no length": (GOOD.replace("\t8\t", "\t0\t"), "'0' is not a length"),
    "a length beyond all": (GOOD.replace("\t8\t", f"\t{'9' * 400}\t"), "is not a length"),
    "a length in Thai": (GOOD.replace("\t8\t", "\t๘\t"), "is not a length"),
    "the same row twice": (report("A1", ONE * 2), f"line {LINE + 1}: 'NC_1.1' comes twice"),
    "an accession twice": (
        report("A1", [*ONE, row("2", "AB1.1", "NC_2.1")]),
        f"line {LINE + 1}: 'AB1.1' comes twice: line {LINE} has it too",
    ),
    "a name twice": (
        report("A1", [*ONE, row("1", "AB2.1", "NC_2.1")]),
        f"line {LINE + 1}: '1' comes twice",
    ),
    "a name twice of two that differ": (
        report("A1", [row("1", refseq=f"NC_{n}.1", relation="<>") for n in (1, 2)]),
        f"line {LINE + 1}: '1' comes twice",
    ),
    "two reports": (GOOD + GOOD, "another report begins here"),
    "a control character": (GOOD.replace("chr1", "chr\x07"), "control characters"),
    "an escape": (GOOD.replace("\nchr1", "\n\x1b[2J"), ""),
    "NUL": (GOOD.replace("chr1", "chr\0"), "control characters"),
    "a line separator": (GOOD.replace("chr1", "chr\u2028"), "control characters"),
    "a control character in an accession": (GOOD.replace("NC_1.1", "NC\x01"), "control"),
    "a huge name": (GOOD.replace("chr1", "c" * 2000), "2000 characters, more than 1,024"),
    "a huge line": (GOOD.replace("chr1", "c" * 70_000), f"line {LINE}: a line of more than 65,536"),
    "a line without end": ("#" * 3_000_000, "line 1: a line of more than"),
    "an assembly of spaces": (GOOD.replace("A1", "Release 6 plus ISO1"), "--assembly"),
    "an assembly called refseq": (
        GOOD.replace("A1", "RefSeq"),
        "cannot be the name of an assembly",
    ),
    "an assembly called md5": (GOOD.replace("A1", "MD5"), "cannot be the name of an assembly"),
    "a long name": (GOOD.replace("A1", "a" * 65), "is too long for the name of an assembly"),
    "a name of spaces": (GOOD.replace("A1", "a" + " " * 60_000 + "b"), "is too long"),
    "a path": (GOOD.replace("A1", "../../etc"), "cannot be a namespace"),
    "not UTF-8": (GOOD.encode().replace(b"chr1", b"chr\xff"), f"line {LINE}: not UTF-8"),
    "UTF-16": (GOOD.encode("utf-16"), "line 1: not UTF-8"),
    "old Macintosh": (GOOD.replace("\r\n", "\r"), ""),
    "half of a gzip file": (gzip.compress(GOOD.encode())[:-20], "truncated or damaged"),
    "zip": (b"PK\x03\x04" + b"\0" * 40, "zip archive"),
    "titles twice": (TITLED.replace("ncbi", "ucsc"), "each once"),
    "titles and other columns": (TITLED.replace("chr1\t", "chr1\tx\t"), "line 2: 5 columns"),
    "an alias of two": (BY_NAME + "1\tchrM\tensembl\n", "'1' comes twice"),
    "two accessions of one": (BY_NAME + "NC_5.1\tchrM\trefseq\n", "cannot be both"),
    "a source of digits": (BY_NAME + "x\tchrM\t17\n", "line 10: three columns"),
    "one column": (UNTITLED + "chr9\n", "line 5: two columns or more"),
    "@SQ without a name": (DICT.replace("SN:1\t", ""), "line 2: @SQ needs a name"),
    "@SQ without a length": (DICT.replace("LN:8\t", ""), "line 2: @SQ needs a name"),
    "@SQ with an MD5 of letters": (DICT.replace("0" * 32, "z" * 32), "line 2: 'zzz"),
    "@SQ with two lengths": (DICT.replace("LN:8", "LN:8\tLN:9"), "line 2: 'LN:9' is no field"),
    "@SQ with a field of nothing": (DICT.replace("LN:8", "LN:8\tx"), "line 2: 'x' is no field"),
    "@SQ twice": (DICT + DICT, "'1' comes twice: line 2 has it too"),
    "alignments": (DICT + "read1\t0\t1\t1\t60\t*\n", "line 3: a line of a SAM dictionary"),
}


@pytest.mark.parametrize(("text", "words"), HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_report_is_refused_with_file_and_line(
    load: Any, cli: Cli, tmp_path: Path, text: str | bytes, words: str
) -> None:
    load("refseq", {"NC_1.1": "A" * 8})
    file = tmp_path / "x"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    alias_file = isinstance(text, str) and ("chrM" in text)
    result = cli("add-assembly-names", file, *(["--assembly", "A1"] if alias_file else []))
    if words:
        refused(result, 5, str(file), words)
    else:  # comments are nobody's business
        assert result.code in (0, 5)
    assert "\x1b" not in result.err
    assert n_batches(cli) == (2 if result.code == 0 else 1)


def test_a_line_that_does_not_end_is_not_read_to_its_end(
    cli: Cli, tmp_path: Path, mitochondrion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def zeros(_source: object) -> Iterator[bytes]:
        for _ in range(10):
            yield bytes(1 << 20)
        pytest.fail("it goes on reading")

    monkeypatch.setattr(reports, "decompressed", zeros)
    refused(cli("add-assembly-names", write(tmp_path / "x", "")), 5, "line 1: a line of more than")


def test_a_report_that_is_not_there_is_not_found(load: Any, cli: Cli, tmp_path: Path) -> None:
    load("refseq", {"NC_1.1": "A" * 8})
    refused(cli("add-assembly-names", tmp_path / "none"), 3, "none: no such file")
    assert cli("add-assembly-names", tmp_path).code == 1


def test_a_report_that_is_refused_stops_the_others(load: Any, cli: Cli, tmp_path: Path) -> None:
    load("refseq", {"NC_1.1": "A" * 8})
    good, bad = write(tmp_path / "good", GOOD), write(tmp_path / "bad", GOOD + "x\n")
    refused(cli("add-assembly-names", good, bad), 5, f"{bad}, line {LINE + 1}")
    assert names(cli, "NC_1.1") == {"refseq:NC_1.1"}


_PIECES = st.sampled_from(
    [
        *COLUMNS.split("\t"),
        *chain.from_iterable(text.split() for text in (TITLED, BY_NAME, DICT, *ONE)),
        *(
            "\t",
            "\n",
            "\r\n",
            "#",
            " ",
            ":",
            ",",
            "na",
            "<>",
            "\ufeff",
            "\x00",
            "@SQ\t",
            COLUMNS + "\n",
        ),
    ]
)


@given(st.one_of(st.text(), st.lists(_PIECES).map("".join), st.lists(_PIECES).map("\t".join)))
def test_any_text_is_a_report_or_a_bad_input(text: str) -> None:
    try:
        found = read_report(text.splitlines(keepends=True), "x", "A1")
    except BadInput:
        return
    _check_whole(found)


@given(
    st.lists(
        st.tuples(
            *(
                st.sampled_from(values)
                for values in (
                    ("1", "2", "x y", "MT"),
                    ("na", "AB1.1", "AB2.1", "AB"),
                    ("=", "<>", "?"),
                    ("na", "NC_1.1", "NC_2.1"),
                    ("8", "9", "na", "-1"),
                    ("na", "chr1", "chr2"),
                )
            )
        ),
        max_size=4,
    )
)
def test_of_any_rows_each_name_and_each_accession_is_one_sequences(
    rows: list[tuple[str, ...]],
) -> None:
    lines = [row(n, g, r, length, u, relation=rel) for n, g, rel, r, length, u in rows]
    try:
        found = read_report(report("A1", lines).splitlines(), "x")
    except BadInput:
        return
    _check_whole(found)
    for one in found.sequences:
        said = [rows[one.line - LINE]]
        assert {one.refseq, one.insdc} <= {None, *said[0]}
        if one.refseq and one.insdc:
            assert said[0][2] == "="


def _check_whole(found: Assembly) -> None:
    for of_one in product(("names", "accessions"), (found.sequences,)):
        what, sequences = of_one
        every = [text for one in sequences for text in getattr(one, what)]
        assert len(every) == len(set(every))
    for one in found.sequences:
        for text in (*one.names, one.refseq, one.insdc):
            assert text is None or (text and text.isprintable() and not set(" \t\n") & set(text))
        assert one.length is None or 0 < one.length < 10**18


@pytest.mark.parametrize("name", ["GRCh38", "GRCh37.p13"])
def test_a_table_written_as_a_report_is_the_same_assembly(name: str, tmp_path: Path) -> None:
    rows = [
        row(
            one["name"],
            one["genbank_ac"],
            one["refseq_ac"],
            one["length"],
            next(iter(one["aliases"]), "na"),
            relation=one["relationship"],
        )
        for one in TABLES[name]["sequences"]
    ]
    read = read_file(str(write(tmp_path / "x", report(name, rows))))
    (bundled,) = bundled_assemblies([name])
    assert read.name == bundled.name
    assert [one[:4] for one in read.sequences] == [one[:4] for one in bundled.sequences]


def test_python_reads_what_was_named(archive: Archive, cli: Cli, mitochondrion: str) -> None:
    assert "GRCh38:chrM" not in archive
    assert cli("add-assembly-names").code == 0
    assert archive.find("grch38:chrM") == mitochondrion.removeprefix("SQ.")
