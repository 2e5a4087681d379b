"""Genomes in local mode: what is registered, what a locus means, and who else can read it."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Cli
from gtars.refget import RefgetStore
from helpers import parse_fasta
from hypothesis import given
from hypothesis import strategies as st
from servers import running, serving

import seqarchive
import seqarchive.tracks
from seqarchive.errors import AliasConflict, Ambiguous, BadInterval, BadName, NotFound
from seqarchive.genomes import Genome, Genomes, LocalMode, Locus
from seqarchive.genomes.loci import readings_of
from seqarchive.identifiers import Digest
from seqarchive.new_aliases import OnConflict
from seqarchive.seqcol.digests import Member
from seqarchive.server import create_app

DATA = Path(__file__).parent / "data"
YEAST = DATA / "nucl" / "yeast_R64_ncbi_softmasked.fa.gz"


@pytest.fixture(scope="module")
def yeast() -> dict[str, str]:
    """The genome of yeast by its own text: names and residues."""
    records = parse_fasta(gzip.decompress(YEAST.read_bytes()).decode("ascii"))
    return {defline.split()[0]: residues for defline, residues in records}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the genome of yeast, whose chromosomes have other names too."""
    folder = tmp_path_factory.mktemp("genomes") / "folder"
    mode = LocalMode(folder)
    mode.init(YEAST, ["sacCer3", "R64"], species="Saccharomyces cerevisiae")
    mode.close()
    with seqarchive.connect(folder) as archive:
        first = next(archive.collection("refgenie:R64").members())
        archive.name(f"SQ.{first.digest}", ["ensembl:I", "ucsc:chrI"])
    return folder


@pytest.fixture
def genomes(folder: Path) -> Iterator[Genomes]:
    with Genomes.local(folder) as opened:
        yield opened


def fasta(tmp_path: Path, name: str = "g.fa", **sequences: str) -> Path:
    path = tmp_path / name
    path.write_text("".join(f">{one}\n{text}\n" for one, text in sequences.items()))
    return path


# --- loci -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("chr1", Locus("chr1")),
        ("chr1:5", Locus("chr1", 5)),
        ("chr1:5-", Locus("chr1", 5)),
        ("chr1:-5", Locus("chr1", None, 5)),
        ("chr1:0-1000", Locus("chr1", 0, 1000)),
        ("chr1:1,000-2,000", Locus("chr1", 1000, 2000)),
        ("HLA-A*01:01:5-9", Locus("HLA-A*01:01", 5, 9)),
        ("Wuhan/Hu-1/2019:3-4", Locus("Wuhan/Hu-1/2019", 3, 4)),
        ("a b=c#d:1-2", Locus("a b=c#d", 1, 2)),
        ("chr1:x-y", Locus("chr1:x-y")),
        ("chr1:", Locus("chr1:")),
        ("chr1:-", Locus("chr1:-")),
        (":1-2", Locus(":1-2")),
        ("chr1:1-2-3", Locus("chr1:1-2-3")),
    ],
)
def test_a_locus_is_a_name_and_perhaps_a_range(text: str, last: Locus) -> None:
    found = readings_of(text)
    assert found[-1] == last
    assert found[0] == Locus(text), "the whole text is a name first"


@given(st.text(min_size=1), st.integers(0, 10**12), st.integers(0, 10**12))
def test_any_name_may_have_a_range(name: str, start: int, end: int) -> None:
    assert readings_of(f"{name}:{start}-{end}")[-1] == Locus(name, start, end)
    assert readings_of(f"{name}:{start:,}-{end:,}")[-1] == Locus(name, start, end)
    assert readings_of(str(Locus(name, start, end)))[-1] == Locus(name, start, end)


def test_an_empty_locus_is_none() -> None:
    with pytest.raises(BadName):
        readings_of("")


# --- residues -------------------------------------------------------------------------------------


def test_residues_are_those_of_the_file(genomes: Genomes, yeast: dict[str, str]) -> None:
    genome = genomes["sacCer3"]
    assert list(genome) == list(yeast)
    assert genome.lengths() == {name: len(text) for name, text in yeast.items()}
    for name, text in yeast.items():
        upper = text.upper()
        assert genomes.getseq("R64", f"{name}:100-160") == upper[100:160]
        assert genome.getseq(f"{name}:{len(text) - 5}") == upper[-5:]
        assert genome[name][7:3:-1] == upper[7:3:-1]
    name, text = next(iter(yeast.items()))
    assert genome.getseq(name) == text.upper()
    assert genome.getseq(f"{name}:5-5") == ""
    assert genomes.getseqs(genome.digest, [f"{name}:0-3", Locus(name, 3, 6)]) == [
        text[:3].upper(), text[3:6].upper()
    ]  # fmt: skip


def test_other_names_of_a_chromosome_lead_to_it(genomes: Genomes, yeast: dict[str, str]) -> None:
    """Those that the archive has for it, with their namespace or without; and digests."""
    expected = yeast["NC_001133.9"][:9].upper()
    genome = genomes["R64"]
    digest = genome["NC_001133.9"].digest
    for name in ("I", "chrI", "ensembl:I", "ucsc:chrI", f"SQ.{digest}", f"ga4gh:SQ.{digest}",
                 "6681ac2f62509cfc220d78751b8dc524"):  # fmt: skip
        assert genome.getseq(f"{name}:0-9") == expected, name
        assert genome[name].digest == digest
        assert name in genome


def test_with_chr_and_without(tmp_path: Path) -> None:
    with Genomes.local(tmp_path / "g") as genomes:
        assert isinstance(genomes.mode, LocalMode)
        genomes.mode.init(fasta(tmp_path, chr1="AAAA", chrM="CCCC", X="GGGG"), ["g"])
        genome = genomes["g"]
        for name, expected in (("1", "AAAA"), ("MT", "CCCC"), ("M", "CCCC"), ("chrX", "GGGG")):
            assert genome.getseq(name) == expected
        with pytest.raises(NotFound, match="g has no sequence 'chr2'; there is chr"):
            genome.getseq("chr2:1-2")


def test_a_name_that_looks_like_a_range_is_meant_first(tmp_path: Path) -> None:
    file = fasta(tmp_path, **{"chr1": "AACC", "chr1:0-2": "GGTT", "HLA:HLA00132": "ACGT"})
    with Genomes.local(tmp_path / "g") as genomes:
        assert isinstance(genomes.mode, LocalMode)
        genomes.mode.init(file, ["g"])
        assert genomes.getseq("g", "chr1:0-2") == "GGTT"
        assert genomes.getseq("g", "chr1:0-3") == "AAC"
        assert genomes.getseq("g", "chr1:0-2:1-3") == "GT"
        assert genomes.getseq("g", "HLA:HLA00132:1") == "CGT"


@pytest.mark.parametrize(
    ("locus", "words"),
    [
        ("NC_001133.9:5-3", "reversed"),
        ("NC_001133.9:0-230,219", "beyond"),
        ("NC_001133.9:230219", "the range 230219- begins beyond"),
        ("NC_001133.9:999999999-999999999", "the range 999999999-999999999 begins beyond"),
        ("NC_001133.9:999999999999999999999999-3", "beyond"),
    ],
)
def test_ranges_are_checked(genomes: Genomes, locus: str, words: str) -> None:
    with pytest.raises(BadInterval, match=rf"sacCer3 NC_001133.9 \(230,218 residues\).*{words}"):
        genomes.getseq("sacCer3", locus)


def test_a_directory_that_is_not_there_is_not_found(cli: Cli, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    for words in (["browse", nowhere], ["init", "--store", nowhere, "-n", "x"]):
        done = cli("genome", *words)
        assert (done.code, done.err) == (3, f"seqarchive: {nowhere}: no such directory\n")


def test_what_there_is_is_found_out_by_looking() -> None:
    for module in (seqarchive.genomes, seqarchive.tracks):
        assert set(module.__all__) <= set(dir(module))


def test_names_that_are_near_are_said(genomes: Genomes) -> None:
    with pytest.raises(NotFound, match="no genome 'sacCer'; there is sacCer3"):
        genomes["sacCer"]
    with pytest.raises(NotFound, match=r"R64 has no sequence 'NC_001133'; there is .*NC_001133\.9"):
        genomes.getseq("R64", "NC_001133:1-2")
    assert "sacCer" not in genomes
    assert 5 not in genomes
    for wrong in (None, 5):
        with pytest.raises(NotFound, match=f"no genome {wrong}"):
            genomes[wrong]  # type: ignore[index]


def test_a_name_that_two_sequences_have_is_ambiguous() -> None:
    class Twins:
        digest, n_residues, line_bases = "A" * 32, 8, None

        def members(self) -> Iterator[Member]:
            yield Member("chr1", 4, Digest("B" * 32))
            yield Member("chr1", 4, Digest("C" * 32))

    twins: object = Twins()
    genome = Genome(["t"], twins, twins)  # type: ignore[arg-type]
    with pytest.raises(Ambiguous, match="t has 2 sequences 'chr1'"):
        genome.locate("chr1")


# --- what is registered ---------------------------------------------------------------------------


def test_the_same_again_adds_nothing_and_another_is_refused(cli: Cli, tmp_path: Path) -> None:
    one, other = fasta(tmp_path, chr1="ACGT"), fasta(tmp_path, "o.fa", chr1="ACGTT")
    init = ("genome", "init", "--name", "hg38", "--fasta")
    first = cli(*init, one, "--description", "Human GRCh38", "--species", "Homo sapiens")
    assert (first.code, first.err) == (0, "")
    digest = first.out.split()[0]
    again = cli(*init, one, "--json")
    assert again.code == 0
    found = json.loads(again.out)
    assert (found["digest"], found["is_new"]) == (digest, False)
    assert (found["description"], found["species"]) == ("Human GRCh38", "Homo sapiens")
    before = cli("status", "--json").out
    refused = cli(*init, other)
    assert (refused.code, refused.err.count("\n")) == (4, 1)
    assert "hg38" in refused.err
    assert "--force" in refused.err
    assert json.loads(cli("status", "--json").out)["sequences"] == json.loads(before)["sequences"]
    assert cli(*init, other, "--force").code == 0
    assert cli("getseq", "hg38", "chr1").out == "ACGTT\n"


def test_one_batch_brings_all_of_it(cli: Cli, root: Path, tmp_path: Path) -> None:
    """So that it can be undone by one revert."""
    assert cli("genome", "init", "-f", fasta(tmp_path, a="ACGT"), "-n", "x", "-n", "y",
               "--description", "d", "--namespace", "lab").code == 0  # fmt: skip
    with seqarchive.connect(root) as archive:
        assert len(list(archive.batches())) == 1
        assert archive["lab:a"][:] == "ACGT"
        assert archive.collection("refgenie:x").fhr() == {"documentation": "d"}
    assert cli("revert", "1").code == 0
    assert cli("genome", "list").out == ""
    assert cli("getseq", "x", "a").code == 3


def test_what_is_said_of_a_genome(cli: Cli, root: Path, tmp_path: Path) -> None:
    document = tmp_path / "g.fhr.json"
    document.write_text(
        json.dumps({"taxon": {"uri": "https://identifiers.org/taxonomy:9606"},
                    "accessionID": {"name": "GCF_000001405.40"}, "documentation": "old"})
    )  # fmt: skip
    done = cli("genome", "init", "-f", fasta(tmp_path, a="ACGT"), "-n", "x", "--fhr", document,
               "--partial", "--description", "new")  # fmt: skip
    assert done.code == 0
    assert cli("genome", "set", "x", "--species", "Homo sapiens").out == "said\n"
    assert cli("genome", "set", "x", "--species", "Homo sapiens").out == "was said already\n"
    found = json.loads(cli("genome", "show", "x", "--json").out)
    assert (found["description"], found["species"]) == ("new", "Homo sapiens")
    assert found["accession"] == "GCF_000001405.40"
    assert found["fhr"]["taxon"]["uri"].endswith("9606")
    assert found["lengths"] == {"a": 4}
    assert cli("genome", "set", "x").code == 2
    assert cli("genome", "set", "z", "--species", "s").code == 3


def test_what_is_said_of_a_genome_is_right(
    cli: Cli, root: Path, tmp_path: Path, data: Path
) -> None:
    """As `fhr set` has it: all of FHR, unless --partial is said; and never a wrong value."""
    file, document = fasta(tmp_path, a="ACGT"), tmp_path / "g.fhr.json"
    assert cli("load", "-n", "t", "--collection", "t:a", file).code == 0
    init = ("genome", "init", "-f", file, "-n", "x", "--fhr", document)
    for said, words in (
        ({"species": "B", "dateCreated": "soon"}, "schema is missing (and"),
        ({"taxon": "B"}, "schema is missing (and"),
    ):
        document.write_text(json.dumps(said))
        ours, theirs = cli(*init), cli("fhr", "set", "t:a", document)
        assert (ours.code, ours.err) == (theirs.code, theirs.err)
        assert ours.code == 5
        assert f"{document}: {words}" in ours.err
    wrong = cli(*init, "--partial")
    assert (wrong.code, wrong.err) == (5, f"seqarchive: {document}: taxon is not an object\n")
    assert cli("genome", "list").out == ""
    assert cli("genome", "init", "-f", file, "-n", "x").code == 0
    wrong = cli("genome", "set", "x", "--fhr", document)
    assert (wrong.code, wrong.err) == (5, f"seqarchive: {document}: taxon is not an object\n")
    document.write_text(json.dumps({"version": "1", "taxon": {"name": "B"}}))
    assert cli("genome", "set", "x", "--fhr", document).code == 0
    for words_ in (["init", "-f", file, "-n", "x"], ["set", "x"]):
        done = cli("genome", *words_, "--fhr", tmp_path / "none.json")
        assert (done.code, done.err.count("\n")) == (3, 1)
        assert "none.json" in done.err


def test_nothing_is_said_in_the_place_of_something_else_by_init(
    cli: Cli, root: Path, tmp_path: Path
) -> None:
    file = fasta(tmp_path, a="ACGT")
    init = ("genome", "init", "-f", file, "-n", "x")
    assert cli(*init, "--species", "S", "--description", "D").code == 0
    before = cli("log", "--json").out
    for more in (["--species", "T"], ["--description", "E"], ["--species", "S", "--description",
                 "E"], ["--force", "--species", "T"]):  # fmt: skip
        refused = cli(*init, *more)
        assert (refused.code, refused.err.count("\n")) == (4, 1)
        assert "is said already" in refused.err
        assert "`genome set`" in refused.err
    assert cli(*init, "--species", "S").out.endswith(", known already\n")
    assert cli("log", "--json").out == before
    document = tmp_path / "g.fhr.json"
    document.write_text(json.dumps({"version": "1", "taxon": {"name": "S"}}))
    done = cli(*init, "--fhr", document, "--partial")
    assert (done.code, "known already" in done.out) == (0, False)
    found = json.loads(cli("genome", "show", "x", "--json").out)
    assert (found["species"], found["description"]) == ("S", "D")
    assert found["fhr"]["version"] == "1"
    assert cli("genome", "set", "x", "--species", "T").code == 0
    assert cli("--json", "genome", "show", "x").out.count('"species": "T"') == 1
    # The same of one that is elsewhere, before and after it is here.
    assert cli("export-rgstore").code == 0
    other = ("--root", tmp_path / "other")
    remote = (*other, "genome", "init", "--store", root / "rgstore", "-n", "x")
    assert cli(*remote, "--description", "E").code == 0
    for _ in range(2):
        assert cli(*remote, "--description", "F").code == 4
        assert cli(*remote, "--description", "E").out.endswith(", known already\n")
        assert '"description": "E"' in cli(*other, "--json", "genome", "show", "x").out
        assert cli(*other, "genome", "fetch", "x").code == 0
    document.write_text(json.dumps({"masking": "unknown"}))
    assert cli(*remote, "--fhr", document, "--partial").code == 0
    assert '"masking": "unknown"' in cli(*other, "--json", "genome", "show", "x").out


def test_the_same_again_is_no_batch(cli: Cli, root: Path, tmp_path: Path) -> None:
    plain = fasta(tmp_path, chrM="ACGTacgt", b="GG")
    packed = tmp_path / "p.fa.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    init = ("genome", "init", "-n", "x", "--description", "d", "--namespace", "lab",
            "--circular", "chrM", "--keep-mask", "-f")  # fmt: skip
    assert cli(*init, plain).code == 0
    before, files = cli("log", "--json").out, sorted(root.rglob("*"))
    assert cli(*init, plain).out.endswith(", known already\n")
    data = plain.read_bytes()
    assert cli(*(one for one in init if one != "--keep-mask"), "-", stdin=data).code == 0
    assert cli("genome", "init", "-n", "x", "-f", packed).code == 0
    assert cli("log", "--json").out == before
    assert sorted(root.rglob("*")) == files
    for n, more in enumerate((["-n", "y"], ["--namespace", "n"], ["--circular", "b"],
                              ["--species", "s"]), 2):  # fmt: skip
        done = cli("genome", "init", "-n", "x", "-f", plain, *more)
        assert (done.code, "known already" in done.out) == (0, False)
        assert len(cli("log", "--json").out.splitlines()) == n
    assert cli("verify").code == 0


@pytest.mark.parametrize("second", ["AC", "GG"])
def test_a_name_that_two_records_have_is_refused(
    cli: Cli, root: Path, tmp_path: Path, second: str
) -> None:
    file = tmp_path / "g.fa"
    file.write_text(f">a one\nAC\n>b\nAA\nAA\n>a two\n{second}\n")
    init = ("genome", "init", "-f", file, "-n", "g")
    for _ in range(2):
        done = cli(*init)
        assert (done.code, done.err.count("\n"), done.out) == (5, 1, "")
        assert f"{file}, line 6: the record of line 1 is called 'a' too" in done.err
        assert cli("genome", "list").out == ""
        assert cli("load", "-n", "t", "--on-conflict", "keep", file).code == 0  # and then again


def test_names_are_given_and_taken(cli: Cli, root: Path, tmp_path: Path) -> None:
    for name, residues in (("one", "ACGT"), ("two", "GGGG")):
        file = fasta(tmp_path, f"{name}.fa", a=residues)
        assert cli("genome", "init", "-f", file, "-n", name).code == 0
    digest = cli("genome", "alias", "get", "-a", "one").out.strip()
    assert cli("genome", "alias", "set", "uno", "-a", "eins", "--genome", "one").code == 0
    assert cli("genome", "alias", "set", "un", "-d", digest).code == 0
    assert cli("genome", "alias", "get", "un").out.split() == ["un", "eins", "one", "uno"]
    assert cli("alias", "get", "-g", "one").out.split() == ["one", "eins", "un", "uno"]
    refused = cli("genome", "alias", "set", "one", "--genome", "two")
    assert refused.code == 4
    assert cli("genome", "alias", "set", "eins", "--genome", "two", "--force").code == 0
    assert cli("getseq", "eins", "a").out == "GGGG\n"
    assert cli("genome", "alias", "remove", "uno", "-a", "un").code == 0
    assert cli("genome", "alias", "set", "best", "-g", "one", "--reset").code == 0
    everything = json.loads(cli("genome", "alias", "get", "--json").out)
    assert {name: one == digest for name, one in everything.items()} == {
        "best": True, "eins": False, "two": False
    }  # fmt: skip
    for wrong in (["remove", "nobody"], ["get", "nobody"], ["set", "x", "-g", "nobody"]):
        assert cli("genome", "alias", *wrong).code == 3
    for wrong in (["set", "x"], ["set", "-g", "two"], ["remove"],
                  ["set", "x", "-g", "two", "-d", digest]):  # fmt: skip
        assert cli("genome", "alias", *wrong).code == 2
    assert cli("genome", "alias", "set", "a b", "-g", "two").code == 5
    assert cli("genome", "remove", "two").out == "two, eins: no genome any more\n"
    assert [line.split("\t")[1] for line in cli("genome", "list").out.splitlines()] == ["best"]


def test_what_is_no_genome_is_refused(cli: Cli, root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.fa").write_bytes(b"")
    (tmp_path / "bad.fa").write_text(">a\nAC!GT\n")
    for file, code in (("empty.fa", 5), ("bad.fa", 5), ("none.fa", 3)):
        done = cli("genome", "init", "-f", tmp_path / file, "-n", "x")
        assert done.code == code, done
        assert done.err.count("\n") == 1
    assert cli("genome", "init", "-f", fasta(tmp_path, a="ACGT"), "-n", "a b").code == 5
    assert cli("genome", "list").out == ""


def test_the_folder_is_that_of_the_variable_or_the_root(
    cli: Cli, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = fasta(tmp_path, a="ACGT")
    monkeypatch.setenv("REFGENIE_GENOME_FOLDER", str(tmp_path / "refgenie"))
    init = ["genome", "init", "-f", os.fspath(file), "-n", "x"]
    assert seqarchive.commands.run(init) == 0
    assert (tmp_path / "refgenie" / "master").is_dir()
    assert cli("genome", "init", "-f", file, "-n", "x").code == 0  # with its --root
    assert (root / "master").is_dir()
    folder = tmp_path / "other"
    assert cli(*init, "--genome-folder", folder).code == 0
    assert (folder / "master").is_dir()
    assert cli("genome", "remove", "x", "--genome-folder", "https://example.org/").code == 8


@pytest.fixture
def released(cli: Cli, root: Path, tmp_path: Path) -> Path:
    """A root whose release has one genome ``x``, and whose master another one, and ``y``."""
    old, new = fasta(tmp_path, chr1="ACGTACGT"), fasta(tmp_path, "new.fa", chr1="TTTT")
    assert cli("genome", "init", "-f", old, "-n", "x", "--species", "S").code == 0
    assert cli("snapshot", "2024-06-01").code == 0
    assert cli("genome", "init", "-f", new, "-n", "x", "-n", "y", "--force").code == 0
    return root


@pytest.mark.parametrize("instance", ["2024-06-01", "latest"])
def test_a_release_has_the_genomes_that_it_had(
    cli: Cli, released: Path, tmp_path: Path, instance: str
) -> None:
    other, file = tmp_path / "other", fasta(tmp_path, "far.fa", a="GGG")
    assert cli("--root", other, "genome", "init", "-f", file, "-n", "far").code == 0
    assert cli("genome", "init", "--store", other, "-n", "far").code == 0
    assert cli("getseq", "far", "a").out == "GGG\n"
    at = ("--instance", instance)
    assert cli("getseq", "y", "chr1").out == "TTTT\n"
    assert cli(*at, "getseq", "x", "chr1:0-5").out == "ACGTA\n"
    assert [line.split("\t")[1] for line in cli(*at, "genome", "list").out.splitlines()] == ["x"]
    assert json.loads(cli(*at, "--json", "genome", "show", "x").out)["species"] == "S"
    digest = cli(*at, "genome", "alias", "get", "-a", "x").out.strip()
    assert json.loads(cli(*at, "alias", "get", "--json").out) == {"x": digest}
    for unknown in ("y", "far"):
        assert cli(*at, "getseq", unknown, "chr1").code == 3
    assert cli("--instance", "master", "getseq", "x", "chr1").out == "TTTT\n"


def test_an_instance_that_is_not_there_is_told_of(cli: Cli, released: Path) -> None:
    for words in (["getseq", "x", "chr1"], ["genome", "list"], ["genome", "show", "x"],
                  ["alias", "get"], ["genome", "init", "-f", "none.fa", "-n", "z"],
                  ["genome", "remove", "x"]):  # fmt: skip
        done = cli("--instance", "nope", *words)
        assert (done.code, done.out) == (3, "")
        assert "no instance 'nope'" in done.err


def test_a_release_is_not_written(cli: Cli, released: Path, tmp_path: Path) -> None:
    before = cli("log", "--json").out
    init = ["genome", "init", "-f", str(fasta(tmp_path, a="GGGG")), "-n", "z"]
    for words in (init, ["genome", "set", "x", "--species", "T"], ["genome", "remove", "x"],
                  ["genome", "alias", "set", "u", "-g", "x"], ["alias", "remove", "x"],
                  ["genome", "fetch", "x"], ["genome", "sync"]):  # fmt: skip
        done = cli("--instance", "2024-06-01", *words)
        assert (done.code, done.out) == (8, "")
        assert "is a snapshot and never changes" in done.err
    assert cli("log", "--json").out == before


def test_genomes_are_read_where_they_are(cli: Cli, released: Path, tmp_path: Path) -> None:
    """A published root, a release and a RefgetStore; and several roots, as by every reader."""
    assert cli("export-rgstore").code == 0
    old, new = ("ACGT\n", "ACGTACGT\n"), ("TTTT\n", "TTTT\n")
    with serving(released) as server:
        for address, (part, whole) in (
            (server.url, old), (f"{server.url}/2024-06-01", old), (f"{server.url}/rgstore", new),
            (str(released / "2024-06-01"), old), (str(released / "rgstore"), new),
        ):  # fmt: skip
            at = ("--root", address)
            assert cli(*at, "getseq", "x", "1:0-4").out == part
            assert cli("getseq", "--genome-folder", address, "x", "chr1").out == whole
            assert "x" in cli(*at, "genome", "list").out.split("\t")[1].split(", ")
            assert cli(*at, "genome", "show", "x").code == 0
            assert cli(*at, "genome", "compare", "x", "x").code == 0
            digest = cli(*at, "alias", "get", "-a", "x").out.strip()
            assert cli(*at, "getseq", "--genome-digest", digest, "-l", "chr1").out == whole
            assert cli(*at, "getseq", "nobody", "chr1").code == 3
        for words in (["remove", "x"], ["alias", "set", "z", "-g", "x"]):
            assert cli("--root", server.url, "genome", *words).code == 8
    pulled = ("--root", tmp_path / "pulled")
    assert cli(*pulled, "pull", released, "2024-06-01").code == 0
    assert cli(*pulled, "getseq", "x", "chr1").out == "ACGTACGT\n"
    other = tmp_path / "other"
    file = fasta(tmp_path, "o.fa", a="GGG")
    assert cli("--root", other, "genome", "init", "-f", file, "-n", "z").code == 0
    both = ("--root", released, "--root", other)
    assert cli(*both, "getseq", "z", "a").out == "GGG\n"
    assert cli(*both, "getseq", "y", "chr1").out == "TTTT\n"


def test_a_server_is_no_folder_of_genomes(cli: Cli, released: Path, tmp_path: Path) -> None:
    """But those of its releases are read; and `init` is said."""
    with seqarchive.connect(released) as archive, running(
        create_app(archive, root=released)
    ) as url:
        for words in (["getseq", "x", "chr1"], ["genome", "list"], ["alias", "get"]):
            done = cli("--root", url, *words)
            assert (done.code, done.out) == (9, "")
            assert f"`seqarchive genome init --server {url} --name NAME`" in done.err
        here = ("--root", tmp_path / "here")
        assert cli(*here, "genome", "init", "--server", url, "--name", "y").code == 0
        assert cli(*here, "getseq", "y", "chr1").out == "TTTT\n"
        for at in (["--root", f"{url}/releases/2024-06-01"], ["--root", url, "--instance",
                   "2024-06-01"]):  # fmt: skip
            assert cli(*at, "getseq", "x", "chr1").out == "ACGTACGT\n"
            assert cli(*at, "genome", "list").out.split("\t")[1] == "x"


def test_a_name_of_what_a_store_lacks_does_not_hide_the_rest(cli: Cli, released: Path) -> None:
    assert cli("export-rgstore").code == 0
    with open(released / "rgstore" / "aliases" / "collections" / "refgenie.tsv", "a") as table:
        table.write(f"zz\t{'A' * 32}\n")
    at = ("--root", released / "rgstore")
    assert [line.split("\t")[1] for line in cli(*at, "genome", "list").out.splitlines()] == ["x, y"]
    assert cli(*at, "getseq", "zz", "chr1").code == 3


def test_gtars_resolves_the_name_in_what_is_exported(cli: Cli, root: Path, tmp_path: Path) -> None:
    assert cli("genome", "init", "-f", fasta(tmp_path, chr1="ACGTACGT"), "-n", "hg38",
               "--description", "Human GRCh38").code == 0  # fmt: skip
    assert cli("export-rgstore").code == 0
    table = root / "rgstore" / "aliases" / "collections" / "refgenie.tsv"
    digest = cli("genome", "alias", "get", "-a", "hg38").out.strip()
    assert table.read_text() == f"hg38\t{digest}\n"
    store = RefgetStore.on_disk(str(root / "rgstore"))
    found = store.get_collection_metadata_by_alias("refgenie", "hg38")
    assert found.digest == digest
    store.load_collection(digest)
    assert store.get_sequence_by_name(digest, "chr1").metadata.length == 8


# --- getseq ---------------------------------------------------------------------------------------


def test_getseq_in_both_spellings(cli: Cli, root: Path, tmp_path: Path) -> None:
    file = fasta(tmp_path, chr1="ACGTACGTAC", chr2="G" * 200)
    assert cli("genome", "init", "-f", file, "-n", "hg38").code == 0
    digest = cli("genome", "alias", "get", "-a", "hg38").out.strip()
    assert cli("getseq", "hg38", "chr1:0-4").out == "ACGT\n"
    assert cli("getseq", "-g", "hg38", "-l", "chr1:0-4").out == "ACGT\n"
    assert cli("getseq", "--genome-digest", digest, "-l", "chr1:4").out == "ACGTAC\n"
    assert cli("getseq", "hg38", "chr2").out == "G" * 200 + "\n", "in one line"
    assert cli("getseq", "hg38", "chr1:0-2", "2:0-3", "-l", "chr1").out.split() == [
        "AC", "GGG", "ACGTACGTAC"
    ]  # fmt: skip
    shown = cli("getseq", "hg38", "chr1:1-3", "1", "--fasta").out
    assert shown == ">chr1:1-3\nCG\n>chr1\nACGTACGTAC\n"
    assert cli("getseq", "hg38", "chr1:0-3", "-r").out == "CGT\n"
    found = json.loads(cli("getseq", "hg38", "chr1:1-3", "--json").out)
    assert found == {"genome": digest, "sequence": found["sequence"], "name": "chr1", "start": 1,
                     "end": 3, "reverse_complement": False, "residues": "CG"}  # fmt: skip
    bed = tmp_path / "r.bed"
    bed.write_text("track x\nchr1\t0\t3\tone\t0\t-\nchr2\t5\t7\n")
    assert cli("getseq", "hg38", "--bed", bed, "--fasta").out == (
        ">one::chr1:0-3\nCGT\n>chr2:5-7\nGG\n"
    )
    assert cli("getseq", "-g", "hg38", "--bed", "-", stdin=b"1\t0\t2\n").out == "AC\n"


def test_what_is_wrong_in_a_bed_file_is_named_with_its_line(
    cli: Cli, root: Path, tmp_path: Path
) -> None:
    assert cli("genome", "init", "-f", fasta(tmp_path, chr1="ACGT", b="GG"), "-n", "x").code == 0
    for namespace, residues in (("n", "ACGT"), ("m", "GG")):  # a name of two sequences
        file = fasta(tmp_path, "twins.fa", twin=residues)
        assert cli("load", "-n", namespace, file).code == 0
    for line, code, words in (
        ("chr1\t1\t9", 5, "x chr1 (4 residues): the range 1-9 ends beyond"),
        ("chr9\t1\t2", 3, "x has no sequence 'chr9'"),
        ("twin\t1\t2", 3, "'twin' means several sequences of x"),
    ):
        bed = tmp_path / "r.bed"
        bed.write_text(f"#\nchr1\t0\t1\n{line}\n")
        done = cli("getseq", "x", "--bed", bed)
        assert (done.code, done.out) == (code, "")
        assert f"{bed}, line 3: {words}" in done.err
        done = cli("getseq", "x", "--bed", "-", stdin=bed.read_bytes())
        assert f"standard input, line 3: {words}" in done.err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 2), (["hg38"], 2), (["-g", "hg38"], 2), (["none", "chr1"], 3), (["hg38", "chr9"], 3),
        (["hg38", "chr1:3-99"], 5), (["-g", "hg38", "--genome-digest", "x", "-l", "chr1"], 2),
        (["hg38", ""], 5),
    ],
)  # fmt: skip
def test_wrong_loci_print_nothing(
    cli: Cli, root: Path, tmp_path: Path, words: list[str], code: int
) -> None:
    assert cli("genome", "init", "-f", fasta(tmp_path, chr1="ACGT"), "-n", "hg38").code == 0
    done = cli("getseq", *words, *(["chr1"] if code != 2 and "-g" not in words else []))
    assert (done.code, done.out) == (code, "")
    assert "Traceback" not in done.err


def test_a_circle_goes_on_over_its_origin(cli: Cli, root: Path, tmp_path: Path) -> None:
    file = fasta(tmp_path, chrM="AACCGGTT", chr1="AACC")
    assert cli("genome", "init", "-f", file, "-n", "x", "--circular", "chrM").code == 0
    assert cli("getseq", "x", "MT:6-2").out == "TTAA\n"
    assert cli("getseq", "x", "chr1:3-2").code == 5


def test_genomes_are_compared(cli: Cli, root: Path, tmp_path: Path) -> None:
    assert cli("genome", "init", "-f", fasta(tmp_path, chr1="ACGT", chr2="GG"), "-n", "a").code == 0
    other = fasta(tmp_path, "b.fa", **{"1": "ACGT", "2": "GG"})
    assert cli("genome", "init", "-f", other, "-n", "b").code == 0
    assert "the same sequences under other names" in cli("genome", "compare", "a", "b").out
    found = json.loads(cli("genome", "compare", "a", "b", "--json").out)
    assert found["array_elements"]["a_and_b_count"]["sequences"] == 2


def test_a_name_means_one_genome_whoever_comes_first(tmp_path: Path) -> None:
    mode = LocalMode(tmp_path / "g")
    mode.init(fasta(tmp_path, a="ACGT"), ["x"])
    with pytest.raises(AliasConflict):
        mode.init(fasta(tmp_path, "o.fa", a="ACGTT"), ["y", "x"])
    assert mode.aliases.resolve("y") is None
    kept = mode.init(fasta(tmp_path, "o.fa", a="ACGTT"), ["y", "x"], on_conflict=OnConflict.KEEP)
    assert kept.genome.names == ("y",)
    with pytest.raises(BadName):
        mode.init(fasta(tmp_path, a="ACGT"), [])
    mode.close()


def test_killed_between_any_two_steps_of_init_it_is_there_or_not(tmp_path: Path) -> None:
    """All of it or nothing; and done again it is there as if nothing had happened."""
    file = fasta(tmp_path, chr1="ACGT" * 5000, chr2="GGCC" * 3000)
    template = tmp_path / "template"
    assert seqarchive.commands.run(["--quiet", "--root", str(template), "init"]) == 0
    killed = tmp_path / "killed"
    killed.mkdir()
    children = Path(__file__).with_name("genome_children.py")
    command = [sys.executable, str(children), "kill", "init", str(template), str(killed), "2"]
    subprocess.run([*command, str(file)], check=True, capture_output=True)
    outcomes = set()
    for root in killed.iterdir():
        mode = LocalMode(root)
        found = mode.genomes()
        outcomes.add(len(found))
        again = mode.init(file, ["hg38", "GRCh38"], description="Human", species="Homo sapiens")
        assert again.is_new == (not found)
        for one in (*found, again.genome):
            assert set(one.names) == {"hg38", "GRCh38"}
            assert (one.description, one.species) == ("Human", "Homo sapiens")
            assert one.getseq("chr2:0-4") == "GGCC"
        assert len(mode.genomes()) == 1
        mode.close()
    assert outcomes == {0, 1}
    assert len(list(killed.iterdir())) > 5


#: Yeast, and human sequences of hg18: the mitochondrion and the first million bases of chr20.
REAL = [DATA / "nucl" / "hg18_chrM_chr20first1M_softmasked.fasta", YEAST]


@pytest.mark.parametrize("file", REAL, ids=lambda path: path.name)
def test_a_real_genome_is_the_same_here_and_elsewhere(
    file: Path, cli: Cli, root: Path, tmp_path: Path
) -> None:
    """Local; remote: cold, warm, and with the source away; and fetched."""
    data = file.read_bytes()
    text = gzip.decompress(data) if file.suffix == ".gz" else data
    expected = {
        defline.split()[0]: residues.upper()
        for defline, residues in parse_fasta(text.decode("ascii"))
    }
    assert cli("genome", "init", "-f", file, "-n", "it").code == 0
    assert cli("export-rgstore").code == 0
    chance = random.Random(7)
    loci = []
    for name, residues in expected.items():
        for _ in range(3):
            start = chance.randrange(len(residues) - 200)
            loci.append((f"{name}:{start}-{start + 200}", residues[start : start + 200]))
    ours = LocalMode(tmp_path / "ours")

    def check(genome: Genome) -> None:
        for locus, residues in loci:
            assert genome.getseq(locus) == residues

    with Genomes.local(root) as theirs:
        check(theirs["it"])
    with serving(root / "rgstore") as server:
        ours.init_remote(server.url, ["it"])
        server.reset()
        check(ours.find("it"))
        needed = server.n_bytes
        short = sum(len(one) for one in expected.values() if len(one) < 1 << 18)
        assert needed < 200 * len(loci) + short, "just what is needed"
        check(ours.find("it"))
        assert server.n_bytes == needed, "what was asked for once is here"
    check(ours.find("it"))
    with serving(root / "rgstore") as server:
        ours.remove("it")
        ours.init_remote(server.url, ["it"])
        assert ours.fetch("it") is not None
    here = ours.find("it")
    assert here.source is None
    assert {name: here.getseq(name) for name in here} == expected
    ours.close()
