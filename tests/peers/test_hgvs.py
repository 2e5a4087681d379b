"""The real hgvs package works on what ``export-seqrepo`` writes, unchanged: it is given the place
as ``HGVS_SEQREPO_DIR``, and nothing of it is replaced.

UTA, the database of transcripts that hgvs usually has beside its sequences, is far away. Here its
place is taken by an implementation of hgvs' own abstract ``Interface``: all residues come from
hgvs' ``SeqFetcher``, and the transcripts are two whose coding region their own residues show.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import biocommons.seqrepo
import pysam
import pytest
from Bio.Seq import Seq
from helpers import NOBODY, parse_fasta, shared_directory, without_write_permission

import seqarchive
from seqarchive import commands
from seqarchive.seqrepo import SeqRepo

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ResourceWarning)  # it leaves its defaults.ini open
    import hgvs.parser
from hgvs.dataproviders.interface import Interface
from hgvs.dataproviders.seqfetcher import SeqFetcher
from hgvs.exceptions import HGVSDataNotAvailableError, HGVSInvalidVariantError
from hgvs.extras.babelfish import Babelfish
from hgvs.normalizer import Normalizer
from hgvs.validator import IntrinsicValidator, Validator
from hgvs.variantmapper import VariantMapper

# The peers rely on what newer Pythons warn of.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The default (datetime|timestamp):DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*unclosed data:pytest.PytestUnraisableExceptionWarning"),
]

_DATA = Path(__file__).parent.parent / "data"

#: Files, their namespace, and the accessions that are looked at.
_FILES = {
    "nucl/phiX174_NC_001422.1.fa": ("refseq", ["NC_001422.1"]),
    "nucl/yeast_R64_ncbi_softmasked.fa.gz": ("refseq", ["NC_001133.9", "NC_001224.1"]),
    "transcripts/human_NM_small.fna": ("refseq", ["NM_001005405.2", "NM_001004713.1"]),
    "transcripts/human_ENST_14.fasta.gz": ("ensembl", ["ENST00000513300.5", "ENST00000243103.3"]),
    "nucl/sarscov2_MN908947.fasta": ("insdc", ["MN908947"]),
    "gb_embl/human_mito_rCRS_NC_012920.1.gbff": ("refseq", ["NC_012920.1"]),
}

#: SARS-CoV-2 under the name that RefSeq has for it.
_SARS = "NC_045512.2"

_ACCESSIONS = [name for _, names in _FILES.values() for name in names] + [_SARS]

#: Kind of the variants of sequences that are no transcripts.
_KINDS = {
    "NC_001422.1": "g",
    "NC_001133.9": "g",
    "NC_001224.1": "g",
    _SARS: "g",
    "NC_012920.1": "m",
}


def read(path: Path) -> dict[str, str]:
    """The records of a file, by nothing of ours."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("ascii")
    if path.suffix == ".gbff":
        origin = text.partition("\nORIGIN")[2]
        return {"NC_012920.1": "".join(filter(str.isalpha, origin)).upper()}
    records = parse_fasta(text)
    names = (defline.split()[0] for defline, _ in records)
    return {
        name.split("|")[3] if "|" in name else name: residues.upper()
        for name, (_, residues) in zip(names, records, strict=True)
    }


@pytest.fixture(scope="module")
def truth() -> dict[str, str]:
    """Residues by accession, from the files."""
    found: dict[str, str] = {}
    for file, (_, names) in _FILES.items():
        records = read(_DATA / file)
        found.update((name, records[name]) for name in names)
    return {**found, _SARS: found["MN908947"]}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of ``_FILES``."""
    root = tmp_path_factory.mktemp("hgvs") / "archive"
    _make(root, list(_FILES))
    return root


def _make(root: Path, files: list[str]) -> None:
    for file in files:
        _run(root, "load", "-n", _FILES[file][0], str(_DATA / file))
    if "nucl/sarscov2_MN908947.fasta" in files:
        _run(root, "alias", "add", "insdc:MN908947", f"refseq:{_SARS}")


def _run(root: Path, *arguments: str) -> None:
    assert commands.run(["--root", str(root), "--quiet", *arguments]) == 0


@pytest.fixture(scope="module")
def exported(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The instance of SeqRepo that ``export-seqrepo`` writes of it."""
    directory = tmp_path_factory.mktemp("hgvs") / "instance"
    _run(root, "export-seqrepo", str(directory))
    return directory


@pytest.fixture
def fetcher(exported: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """hgvs' own source of sequences, which reads the environment when it is made."""
    monkeypatch.setenv("HGVS_SEQREPO_DIR", str(exported))
    monkeypatch.delenv("HGVS_SEQREPO_URL", raising=False)
    return SeqFetcher()


class Transcripts(Interface):  # type: ignore[misc]
    """What hgvs asks of UTA, answered for transcripts of one exon; the residues by ``SeqFetcher``.

    The coding region is the longest open reading frame.
    """

    required_version = "1.1"

    def __init__(self) -> None:
        self.seqfetcher = SeqFetcher()
        super().__init__()

    def data_version(self) -> str:
        return "test"

    def schema_version(self) -> str:
        return "1.1"

    def get_seq(self, ac: str, start_i: int | None = None, end_i: int | None = None) -> str:
        return str(self.seqfetcher.fetch_seq(ac, start_i, end_i))

    def get_tx_identity_info(self, tx_ac: str) -> dict[str, Any]:
        residues = self.get_seq(tx_ac)
        start, end = reading_frame(residues)
        return {
            "tx_ac": tx_ac,
            "alt_ac": tx_ac,
            "alt_aln_method": "transcript",
            "cds_start_i": start,
            "cds_end_i": end,
            "lengths": [len(residues)],
            "hgnc": None,
        }

    def get_pro_ac_for_tx_ac(self, tx_ac: str) -> str:
        return tx_ac.replace("NM_", "NP_")

    def _unknown(self, *asked: object) -> Any:
        raise HGVSDataNotAvailableError(f"there is no UTA here: {asked}")

    get_acs_for_protein_seq = get_assembly_map = get_gene_info = _unknown
    get_similar_transcripts = get_tx_exons = get_tx_for_gene = get_tx_for_region = _unknown
    get_tx_info = get_tx_mapping_options = _unknown


def reading_frame(residues: str) -> tuple[int, int]:
    """Where the longest open reading frame begins and ends, with its stop."""
    found = [(0, 0)]
    for start in range(len(residues) - 2):
        if residues.startswith("ATG", start):
            stop = translated(residues[start:]).find("*")
            if stop >= 0:
                found.append((start, start + 3 * (stop + 1)))
    return max(found, key=lambda frame: (frame[1] - frame[0], -frame[0]))


def translated(residues: str) -> str:
    """The protein, with ``*`` for a stop, by Biopython."""
    whole = residues[: len(residues) // 3 * 3]
    return str(Seq(whole).translate())  # type: ignore[no-untyped-call]


@pytest.fixture
def provider(fetcher: Any) -> Transcripts:
    return Transcripts()


@pytest.fixture(scope="module")
def parse() -> Callable[[str], Any]:
    found: Callable[[str], Any] = hgvs.parser.Parser().parse_hgvs_variant
    return found


# --- sequences --------------------------------------------------------------------------------


def _ranges(length: int) -> list[tuple[int | None, int | None]]:
    rng = random.Random(length)
    made = [sorted(rng.choices(range(length + 1), k=2)) for _ in range(10)]
    return [
        (None, None),
        (0, 0),
        (0, 1),
        (None, 70),
        (length - 1, length),
        (length - 5, length + 5),
        (length, length + 5),
        (length + 5, None),
        *((start, end) for start, end in made),
    ]


@pytest.mark.parametrize("accession", _ACCESSIONS)
def test_the_fetcher_answers_what_the_file_says(
    fetcher: Any, truth: dict[str, str], root: Path, accession: str
) -> None:
    assert fetcher.source.startswith("SeqRepo (")
    residues = truth[accession]
    with seqarchive.connect(root) as archive:
        for start, end in _ranges(len(residues)):
            found = fetcher.fetch_seq(accession, start, end)
            assert found == residues[slice(start, end)]
            assert found == archive.fetch(accession, start, end, clamp=True)


def test_the_fetcher_answers_what_pysam_does(fetcher: Any, tmp_path: Path) -> None:
    path = tmp_path / "phiX174.fa"
    path.write_bytes((_DATA / "nucl/phiX174_NC_001422.1.fa").read_bytes())
    with pysam.FastaFile(str(path)) as file:
        for start in range(0, 5386, 53):
            for end in (start + 1, start + 59, start + 61):
                found = fetcher.fetch_seq("NC_001422.1", start, end)
                assert found == file.fetch("NC_001422.1", start, end)


@pytest.mark.parametrize("accession", ["NC_001422.2", "NM_000000.1", "", "NC_001422", "x:y:z"])
def test_an_accession_that_is_not_there_is_what_hgvs_calls_not_available(
    fetcher: Any, accession: str
) -> None:
    with pytest.raises(HGVSDataNotAvailableError, match="Failed to fetch"):
        fetcher.fetch_seq(accession, 0, 10)


def test_an_accession_that_means_two_sequences_is_not_available(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with seqarchive.connect(_small(tmp_path)) as archive:
        archive.store("ACGT", ["lab:NC_001422.1"])
    _run(tmp_path / "archive", "export-seqrepo", str(tmp_path / "instance"))
    monkeypatch.setenv("HGVS_SEQREPO_DIR", str(tmp_path / "instance"))
    fetcher = SeqFetcher()
    with pytest.raises(HGVSDataNotAvailableError, match="not unique"):
        fetcher.fetch_seq("NC_001422.1")


def _small(tmp_path: Path) -> Path:
    root = tmp_path / "archive"
    _make(root, ["nucl/phiX174_NC_001422.1.fa"])
    return root


# --- normalising ------------------------------------------------------------------------------


class Change(NamedTuple):
    """Residues ``[start, end)`` replaced by others."""

    start: int
    end: int
    inserted: str

    def of(self, residues: str) -> str:
        return residues[: self.start] + self.inserted + residues[self.end :]

    def rolled(self, residues: str, direction: int) -> Change:
        """The same change as far to the 3' or 5' end as it goes, one residue at a time."""
        start, end, inserted = self
        assert not (end > start and inserted), "what replaces residues goes nowhere"
        while self.end > self.start:
            if direction == 3 and end < len(residues) and residues[start] == residues[end]:
                start, end = start + 1, end + 1
            elif direction == 5 and start > 0 and residues[start - 1] == residues[end - 1]:
                start, end = start - 1, end - 1
            else:
                return Change(start, end, "")
        while True:
            if direction == 3 and start < len(residues) and residues[start] == inserted[0]:
                start, inserted = start + 1, inserted[1:] + inserted[0]
            elif direction == 5 and start > 0 and residues[start - 1] == inserted[-1]:
                start, inserted = start - 1, inserted[-1] + inserted[:-1]
            else:
                return Change(start, start, inserted)

    def described(self, residues: str, direction: int = 3) -> str:
        """As HGVS has it: positions from 1, what repeats its neighbour is a duplication."""
        start, end, inserted = self
        if end > start:
            return _positions(start, end) + "del"
        n = len(inserted)
        copied = (start - n, start) if direction == 3 else (start, start + n)
        if copied[0] >= 0 and residues[slice(*copied)] == inserted:
            return _positions(*copied) + "dup"
        return f"{start}_{start + 1}ins{inserted}"


def _positions(start: int, end: int) -> str:
    return f"{start + 1}" if end == start + 1 else f"{start + 1}_{end}"


def changes(residues: str, n: int) -> Iterator[Change]:
    """Deletions, duplications and insertions, half of them in runs of one letter."""
    rng = random.Random(len(residues))
    repeats = [
        at for at in range(40, len(residues) - 40) if residues[at : at + 4] == residues[at] * 4
    ]
    for _ in range(n):
        at = rng.randrange(40, len(residues) - 40)
        if rng.random() < 0.5:
            at = rng.choice(repeats) + rng.randrange(3)
        size = rng.randint(1, 4)
        yield Change(at, at + size, "")
        yield Change(at, at, residues[at - size : at])
        yield Change(at, at, "".join(rng.choices("ACGT", k=size)))


@pytest.mark.parametrize("direction", [3, 5])
@pytest.mark.parametrize("accession", _KINDS)
def test_variants_are_normalised_as_a_small_computation_says(
    provider: Transcripts,
    parse: Callable[[str], Any],
    truth: dict[str, str],
    accession: str,
    direction: int,
) -> None:
    normalizer = Normalizer(provider, shuffle_direction=direction)
    residues = truth[accession]
    shifted = 0
    for change in changes(residues, 12):
        name = f"{accession}:{_KINDS[accession]}."
        normalised = normalizer.normalize(parse(name + change.described(residues)))
        expected = change.rolled(residues, direction)
        assert expected.of(residues) == change.of(residues)
        assert str(normalised) == name + expected.described(residues, direction)
        shifted += expected.start != change.start
    assert shifted > 5


@pytest.mark.parametrize(
    ("given", "three", "five"),
    [
        ("NC_001422.1:g.4del", "NC_001422.1:g.7del", "NC_001422.1:g.4del"),
        ("NC_001422.1:g.3296_3298dup", "NC_001422.1:g.3299_3301dup", "NC_001422.1:g.3293_3295dup"),
        ("NC_012920.1:m.303dup", "NC_012920.1:m.309dup", "NC_012920.1:m.303dup"),
        ("NC_012920.1:m.8277_8285del", "NC_012920.1:m.8281_8289del", "NC_012920.1:m.8271_8279del"),
        ("NC_045512.2:g.29871del", "NC_045512.2:g.29903del", "NC_045512.2:g.29871del"),
        (
            "NC_045512.2:g.21765_21770del",
            "NC_045512.2:g.21766_21771del",
            "NC_045512.2:g.21765_21770del",
        ),
    ],
)
def test_variants_that_people_speak_of_are_normalised_as_they_write_them(
    provider: Transcripts, parse: Callable[[str], Any], given: str, three: str, five: str
) -> None:
    assert str(Normalizer(provider).normalize(parse(given))) == three
    assert str(Normalizer(provider, shuffle_direction=5).normalize(parse(given))) == five


# --- validating -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "variant",
    [
        "NC_012920.1:m.3243A>G",
        "NC_012920.1:m.11778G>A",
        "NC_045512.2:g.23403A>G",
        "NC_045512.2:g.28881_28883delinsAAC",
        "NC_001422.1:g.1_3delGAG",
        "NM_001005405.2:c.1A>G",
        "NM_001004713.1:c.1068A>C",
    ],
)
def test_a_variant_with_the_right_reference_is_valid(
    provider: Transcripts, parse: Callable[[str], Any], variant: str
) -> None:
    assert Validator(provider).validate(parse(variant))


@pytest.mark.parametrize(
    ("variant", "here"),
    [
        ("NC_012920.1:m.3243G>A", "A"),
        ("NC_045512.2:g.23403C>G", "A"),
        ("NC_001422.1:g.1_3delGAC", "GAG"),
        ("NM_001005405.2:c.1C>G", "A"),
        ("NM_001004713.1:c.1068G>C", "A"),
    ],
)
def test_a_variant_with_the_wrong_reference_is_refused(
    provider: Transcripts, parse: Callable[[str], Any], variant: str, here: str
) -> None:
    with pytest.raises(HGVSInvalidVariantError, match=rf"does not agree .*\({here}\)"):
        Validator(provider).validate(parse(variant))


def test_a_variant_that_cannot_be_is_refused(
    provider: Transcripts, parse: Callable[[str], Any]
) -> None:
    with pytest.raises(HGVSInvalidVariantError):
        IntrinsicValidator().validate(parse("NC_001422.1:g.20_10del"))
    with pytest.raises(HGVSInvalidVariantError, match="out-of-bounds"):
        Normalizer(provider).normalize(parse("NC_001422.1:g.5387del"))
    with pytest.raises(HGVSDataNotAvailableError):
        Normalizer(provider).normalize(parse("NC_001422.9:g.10del"))


# --- transcripts and VCF ----------------------------------------------------------------------


@pytest.mark.parametrize("accession", ["NM_001005405.2", "NM_001004713.1"])
def test_changes_of_a_coding_region_are_those_of_its_translation(
    provider: Transcripts, parse: Callable[[str], Any], truth: dict[str, str], accession: str
) -> None:
    mapper = VariantMapper(provider)
    residues = truth[accession]
    start, end = reading_frame(residues)
    protein = translated(residues[start:end])
    for codon in range(1, len(protein) - 1, 17):
        at = start + 3 * codon
        base = "A" if residues[at] != "A" else "C"
        changed = translated(base + residues[at + 1 : at + 3])
        variant = parse(f"{accession}:c.{3 * codon + 1}{residues[at]}>{base}")
        assert str(mapper.c_to_n(variant)) == f"{accession}:n.{at + 1}{residues[at]}>{base}"
        consequence = mapper.c_to_p(variant).posedit
        if changed == protein[codon]:
            assert consequence.edit.type == "identity"
        else:
            assert (consequence.pos.start.aa, consequence.pos.start.base) == (
                protein[codon],
                codon + 1,
            )
            assert consequence.edit.alt == changed


def test_a_coding_variant_is_normalised_across_the_transcript(
    provider: Transcripts, parse: Callable[[str], Any], truth: dict[str, str]
) -> None:
    accession = "NM_001005405.2"
    residues = truth[accession]
    start, end = reading_frame(residues)
    normalizer = Normalizer(provider, cross_boundaries=True)
    for at in range(start + 10, end - 10, 7):
        change = Change(at, at + 1, "").rolled(residues, 3)
        if change.end > end:
            continue
        normalised = normalizer.normalize(parse(f"{accession}:c.{at - start + 1}del"))
        assert str(normalised) == f"{accession}:c.{change.start - start + 1}del"


def test_variants_become_vcf_and_come_back(
    provider: Transcripts, parse: Callable[[str], Any], truth: dict[str, str]
) -> None:
    babelfish = Babelfish(provider, "GRCh38")
    residues = truth["NC_012920.1"]
    for change in changes(residues, 12):
        given = f"NC_012920.1:g.{change.described(residues)}"
        chromosome, position, ref, alt, _ = babelfish.hgvs_to_vcf(parse(given))
        assert chromosome == "MT"
        assert residues[position - 1 :].startswith(ref)
        written = Change(position - 1, position - 1 + len(ref), alt)
        assert written.of(residues) == change.of(residues)
        expected = change.rolled(residues, 3).described(residues)
        assert str(babelfish.vcf_to_g_hgvs("MT", position, ref, alt)) == f"NC_012920.1:g.{expected}"


# --- other processes, other users, other times ------------------------------------------------

_VARIANTS = ["NC_001422.1:g.4del", "NC_001422.1:g.3293_3295dup", "NC_001422.1:g.100_101insT"]


def answers() -> dict[str, object]:
    """What hgvs says in this process of phiX174, and of a name that moves."""
    provider, parser = Transcripts(), hgvs.parser.Parser()
    normalizer, validator = Normalizer(provider), Validator(provider)
    variants = [parser.parse_hgvs_variant(text) for text in _VARIANTS]

    def moving() -> str:
        try:
            return provider.get_seq("moves", 0, 20)
        except HGVSDataNotAvailableError:
            return "not available"

    return {
        "source": provider.seqfetcher.source,
        "sequence": provider.get_seq("NC_001422.1", 1000, 1100),
        "normalised": [str(normalizer.normalize(variant)) for variant in variants],
        "valid": [validator.validate(variant) for variant in variants],
        "moves": moving(),
    }


_CHILD = f"""
import json, os, sys
import _strptime
import biocommons.seqrepo
from test_hgvs import answers
if "--nobody" in sys.argv and os.geteuid() == 0:
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})
assert "--nobody" not in sys.argv or not os.access(os.environ["HGVS_SEQREPO_DIR"], os.W_OK)
print(json.dumps(answers()))
"""


def _asked_of_a_process(directory: Path, *arguments: str) -> dict[str, Any]:
    here = Path(__file__).parent
    environment = {
        **os.environ,
        "HGVS_SEQREPO_DIR": str(directory),
        "PYTHONPATH": os.pathsep.join(map(str, [here, here.parent, *sys.path])),
    }
    environment.pop("HGVS_SEQREPO_URL", None)
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found.pop("source") == f"SeqRepo ({directory})"
    return found


def _expected(truth: dict[str, str], moves: str) -> dict[str, object]:
    residues = truth["NC_001422.1"]
    changes = [
        Change(3, 4, ""),
        Change(3295, 3295, "TGC"),
        Change(100, 100, "T"),
    ]
    rolled = [change.rolled(residues, 3).described(residues) for change in changes]
    return {
        "sequence": residues[1000:1100],
        "normalised": [f"NC_001422.1:g.{text}" for text in rolled],
        "valid": [True] * 3,
        "moves": moves,
    }


def test_a_process_that_finds_the_place_in_its_environment_works(
    exported: Path, truth: dict[str, str]
) -> None:
    assert _asked_of_a_process(exported) == _expected(truth, "not available")


def test_a_release_and_the_growing_archive_are_two_instances(
    tmp_path: Path, truth: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The export of a snapshot stays what it was; that of ``master`` is brought up to date, under
    the feet of a process that has it open."""
    root = _small(tmp_path)
    instances = root / "seqrepo"
    with seqarchive.connect(root) as archive:
        archive.store("A" * 30, ["lab:moves"])
        archive.snapshot("2024-06-01")
        _run(root, "export-seqrepo")
        monkeypatch.setenv("HGVS_SEQREPO_DIR", str(instances / "master"))
        early = SeqFetcher()
        assert early.fetch_seq("moves", 0, 3) == "AAA"
        archive.store("C" * 30, ["lab:moves"], on_conflict="replace")
        archive.store("G" * 30, ["lab:new"])
        for _ in range(2):
            _run(root, "export-seqrepo")
            _run(root, "--instance", "2024-06-01", "export-seqrepo")
    assert early.fetch_seq("moves", 3, 6) == "AAA"  # it remembers, as SeqRepo always does
    assert early.fetch_seq("NC_001422.1", 0, 9) == truth["NC_001422.1"][:9]
    late = SeqFetcher()
    assert (late.fetch_seq("moves", 0, 3), late.fetch_seq("new", 0, 3)) == ("CCC", "GGG")
    for name, letter in (("2024-06-01", "A"), ("master", "C")):
        assert _asked_of_a_process(instances / name) == _expected(truth, letter * 20)


def test_another_user_reads_an_instance_that_nobody_may_write(truth: dict[str, str]) -> None:
    with shared_directory() as directory:
        root = _small(directory)
        _run(root, "export-seqrepo", str(directory / "instance"))
        without_write_permission(directory / "instance")
        before = sorted((path, path.stat().st_mtime_ns) for path in directory.rglob("*"))
        found = _asked_of_a_process(directory / "instance", "--nobody")
        assert found == _expected(truth, "not available")
        assert sorted((path, path.stat().st_mtime_ns) for path in directory.rglob("*")) == before


def test_our_class_in_the_place_of_theirs_answers_from_the_archive_itself(
    root: Path,
    fetcher: Any,
    truth: dict[str, str],
    parse: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """hgvs imports ``SeqRepo`` when it needs one, and takes what has that name."""
    monkeypatch.setattr(biocommons.seqrepo, "SeqRepo", SeqRepo)
    monkeypatch.setenv("HGVS_SEQREPO_DIR", str(root))
    provider = Transcripts()
    ours = provider.seqfetcher
    assert isinstance(ours.sr, SeqRepo)
    for accession in _ACCESSIONS:
        for start, end in _ranges(len(truth[accession])):
            expected = fetcher.fetch_seq(accession, start, end)
            assert ours.fetch_seq(accession, start, end) == expected
    for start, end in ((-1, 5), (5, 3), (16_560, 10), (99_999, 3)):
        for one in (fetcher, ours):  # nor over the origin of a circle
            with pytest.raises(HGVSDataNotAvailableError):
                one.fetch_seq("NC_012920.1", start, end)
    assert str(Normalizer(provider).normalize(parse("NC_012920.1:m.303dup"))) == (
        "NC_012920.1:m.309dup"
    )
    with pytest.raises(HGVSInvalidVariantError, match="does not agree"):
        Validator(provider).validate(parse("NC_012920.1:m.3243G>A"))
    with pytest.raises(HGVSDataNotAvailableError):
        provider.get_seq("NC_012920.9")


def test_a_name_that_moves_is_seen_by_hgvs_at_once_through_our_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(biocommons.seqrepo, "SeqRepo", SeqRepo)
    monkeypatch.setenv("HGVS_SEQREPO_DIR", str(_small(tmp_path)))
    fetcher = SeqFetcher()
    with seqarchive.connect(tmp_path / "archive") as archive:
        for residues in ("ACGTAAAA", "ACGTCCCC"):
            archive.store(residues, ["refseq:NC_9.1"], on_conflict="replace")
            assert fetcher.fetch_seq("NC_9.1", 2, 6) == residues[2:6]
