"""The real ga4gh.vrs works on what ``export-seqrepo`` writes, and on our ``SeqRepo`` in the place
of the real one, unchanged; it answers as on an instance that the real package made of the same
FASTA, and names variants as a small computation from the specification does.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import biocommons.seqrepo
import pytest
from biocommons.seqrepo import cli as seqrepo_cli
from helpers import NOBODY, shared_directory, without_write_permission, write_fasta
from test_hgvs import Change, Transcripts, changes, read

import seqarchive
from seqarchive import commands
from seqarchive.seqrepo import SeqRepo

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ResourceWarning)  # hgvs leaves its defaults.ini open
    import hgvs.dataproviders.uta
from ga4gh.vrs.dataproxy import DataProxyValidationError, SeqRepoDataProxy, create_dataproxy
from ga4gh.vrs.extras.annotator.vcf import VcfAnnotator
from ga4gh.vrs.extras.translator import AlleleTranslator, CnvTranslator

# The peers rely on what newer Pythons warn of.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The default (datetime|timestamp):DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*unclosed data:pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:This method does not match the Beacon:DeprecationWarning"),
]

_DATA = Path(__file__).parent.parent / "data"

_FILES = {
    "nucl/phiX174_NC_001422.1.fa": "refseq",
    "transcripts/human_NM_small.fna": "refseq",
    "transcripts/human_ENST_14.fasta.gz": "ensembl",
    "nucl/sarscov2_MN908947.fasta": "insdc",
}
_MITO = "gb_embl/human_mito_rCRS_NC_012920.1.gbff"

#: More names, by accession. What is GRCh38:1 here is not: gnomAD's names need a chromosome.
_NAMES = {
    "NC_012920.1": ["GRCh38:MT", "GRCh38:chrM", "GRCh37:MT", "GRCh38:M"],
    "NC_001422.1": ["GRCh38:1", "GRCh38:chr1"],
    "MN908947": ["refseq:NC_045512.2"],
    "NM_001005405.2": ["gi:123173798"],
    "NM_001004713.1": ["gi:52317161"],
}

_SQ = "k3grVkjY-hoWcCUojHw6VU6GE3MZ8Sct"
"""Of the human mitochondrion, as it was published."""

#: All ways in which the package lets one write a name.
_IDENTIFIERS = [
    "refseq:NC_012920.1",
    "RefSeq:NC_012920.1",
    "REFSEQ:NC_012920.1",
    "NCBI:NC_012920.1",
    "NC_012920.1",
    "GRCh38:MT",
    "GRCh38:chrM",
    f"ga4gh:SQ.{_SQ}",
    f"sha512t24u:{_SQ}",
    f"VMC:GS_{_SQ}",
    "MD5:c68f52674c9fb33aef52dcf399755519",
    "SHA1:7903456179ec0b3869fcc91f0540559ee159cd30",
    "SEGUID:eQNFYXnsCzhp/MkfBUBVnuFZzTA",
    "NC_001422.1",
    "GRCh38:1",
    "NM_001005405.2",
    "gi:123173798",
    "ensembl:ENST00000513300.5",
    "Ensembl:ENST00000513300.5",
    "ENST00000513300.5",
    "insdc:MN908947",
    "MN908947",
    "NC_045512.2",
]

#: What is no name, or not one of anything here.
_UNKNOWN = [
    "refseq:NC_012920.2",
    "NC_012920",
    "insdc:NC_012920.1",
    f"refseq:{_SQ}",
    f"ga4gh:SQ.{_SQ[::-1]}",
    f"ga4gh:{_SQ}",
    "MD5:c68f",
    "MT",
    "nothing",
    "",
    ":",
    "refseq:",
    ":NC_012920.1",
    "a:b:c",
    "no namespace:x",
    "refseq:NC_012920.1 ",
]


def _run(root: Path, *arguments: str) -> None:
    assert commands.run(["--root", str(root), "--quiet", *arguments]) == 0


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of the files, under all the names."""
    root = tmp_path_factory.mktemp("ours") / "archive"
    for file, namespace in {**_FILES, _MITO: "refseq"}.items():
        _run(root, "load", "-n", namespace, str(_DATA / file))
    with seqarchive.connect(root) as archive:
        for accession, names in _NAMES.items():
            archive.name(accession, names)
    return root


@pytest.fixture(scope="module")
def exported(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The instance of SeqRepo that ``export-seqrepo`` writes of it."""
    directory = tmp_path_factory.mktemp("exported") / "instance"
    _run(root, "export-seqrepo", str(directory))
    return directory


@pytest.fixture(scope="module")
def truth() -> dict[str, str]:
    """Residues by accession, from the files."""
    found: dict[str, str] = {}
    for file in (*_FILES, _MITO):
        found.update(read(_DATA / file))
    return {**found, "NC_045512.2": found["MN908947"]}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, truth: dict[str, str]) -> Path:
    """An instance that the real package made of the same files."""
    directory = tmp_path_factory.mktemp("plain")
    mito = write_fasta(directory / "mito.fa", {"NC_012920.1": truth["NC_012920.1"]})
    files = [*_FILES.items(), (str(mito), "refseq")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it leaves its files open
        place = {"root_directory": str(directory), "instance_name": "master"}
        seqrepo_cli.init(argparse.Namespace(**place))
        for file, namespace in files:
            options = {"namespace": namespace, "fasta_files": [str(_DATA / file)]}
            seqrepo_cli.load(argparse.Namespace(**place, **options))
        writing = biocommons.seqrepo.SeqRepo(str(directory / "master"), writeable=True)
        for accession, names in _NAMES.items():
            pairs = [name.split(":") for name in names]
            names_of = [{"namespace": namespace, "alias": alias} for namespace, alias in pairs]
            writing.store(truth[accession], names_of)
        writing.commit()
    return directory / "master"


class Proxies:
    """The same sequences behind ``SeqRepoDataProxy`` in every way."""

    def __init__(self, plain: Path, exported: Path, ours: SeqRepo) -> None:
        self.plain = SeqRepoDataProxy(biocommons.seqrepo.SeqRepo(str(plain)))
        """The real package on what the real package wrote: what the others are compared with."""
        self.exported = SeqRepoDataProxy(biocommons.seqrepo.SeqRepo(str(exported)))
        self.created = create_dataproxy(f"seqrepo+file://{exported}")
        self.ours = SeqRepoDataProxy(ours)

    def of_ours(self) -> list[Any]:
        return [self.exported, self.created, self.ours]


@pytest.fixture(scope="module")
def proxies(plain: Path, exported: Path, root: Path) -> Iterator[Proxies]:
    with SeqRepo(root) as ours:
        yield Proxies(plain, exported, ours)
    forget()


def forget() -> None:
    """Drop what ga4gh.vrs remembers of all proxies, and with it keeps them."""
    for method in ("get_metadata", "get_sequence", "translate_sequence_identifier"):
        getattr(SeqRepoDataProxy, method).cache_clear()


@pytest.fixture
def with_provider(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ga4gh.vrs asks UTA for, without a network; as in ``test_hgvs``."""
    monkeypatch.setenv("HGVS_SEQREPO_DIR", str(exported))
    monkeypatch.delenv("HGVS_SEQREPO_URL", raising=False)
    provider = Transcripts()
    monkeypatch.setattr(hgvs.dataproviders.uta, "connect", lambda: provider)


def _answer(call: Callable[[], object]) -> object:
    try:
        return call()
    except KeyError:
        return KeyError
    except ValueError:
        return ValueError


# --- the proxy --------------------------------------------------------------------------------


def _all_answers(proxy: Any, identifier: str) -> list[object]:
    calls: list[Callable[[], object]] = [
        lambda: proxy.get_sequence(identifier),
        *(
            lambda start=start, end=end: proxy.get_sequence(identifier, start, end)
            for start, end in [
                (3, 9),
                (0, 0),
                (None, 70),
                (900, None),
                (1000, 99_999),
                (99_999, None),
                (5, 3),
                (-1, 3),
                (20_000, 3),
            ]
        ),
        lambda: {**proxy.get_metadata(identifier), "added": None},
        lambda: sorted(proxy.translate_sequence_identifier(identifier)),
        lambda: sorted(proxy.translate_sequence_identifier(identifier, "refseq")),
        lambda: sorted(proxy.translate_sequence_identifier(identifier, "GRCh38")),
        lambda: proxy.translate_sequence_identifier(identifier, "ga4gh"),
        lambda: proxy.derive_refget_accession(identifier),
    ]
    return [_answer(call) for call in calls]


@pytest.mark.parametrize("identifier", _IDENTIFIERS)
def test_a_name_in_any_spelling_has_the_answers_of_the_real_package(
    proxies: Proxies, identifier: str
) -> None:
    expected = _all_answers(proxies.plain, identifier)
    assert isinstance(expected[0], str)
    for proxy in proxies.of_ours():
        assert _all_answers(proxy, identifier) == expected
    added = {proxy.get_metadata(identifier)["added"] for proxy in proxies.of_ours()}
    assert len(added) == 1


@pytest.mark.parametrize("identifier", _UNKNOWN)
def test_what_is_no_name_has_the_errors_of_the_real_package(
    proxies: Proxies, identifier: str
) -> None:
    expected = _all_answers(proxies.plain, identifier)
    assert expected[0] in {KeyError, ValueError}
    for proxy in proxies.of_ours():
        assert _all_answers(proxy, identifier) == expected


@pytest.mark.parametrize(
    ("identifier", "same"),
    [
        ("ENSEMBL:ENST00000513300.5", "ensembl:ENST00000513300.5"),
        ("grch38:MT", "GRCh38:MT"),
        ("md5:c68f52674c9fb33aef52dcf399755519", f"ga4gh:SQ.{_SQ}"),
        (f"GA4GH:SQ.{_SQ}", f"ga4gh:SQ.{_SQ}"),
        ("genbank:MN908947", "insdc:MN908947"),
    ],
)
def test_namespaces_are_compared_without_case_by_ours(
    proxies: Proxies, identifier: str, same: str
) -> None:
    assert _answer(lambda: proxies.plain.get_metadata(identifier)) is KeyError
    assert _all_answers(proxies.ours, identifier) == _all_answers(proxies.plain, same)


@pytest.mark.parametrize("identifier", ["refseq:NC_012920.1", "gi:123173798", "MN908947"])
def test_our_class_says_by_itself_what_a_proxy_on_it_says(
    proxies: Proxies, identifier: str
) -> None:
    ours, proxy = proxies.ours.sr, proxies.ours
    assert ours.get_metadata(identifier) == proxy.get_metadata(identifier)
    assert ours.get_sequence(identifier, 3, 9) == proxy.get_sequence(identifier, 3, 9)
    for namespace in (None, "refseq", "ga4gh"):
        assert sorted(ours.translate_sequence_identifier(identifier, namespace)) == sorted(
            proxy.translate_sequence_identifier(identifier, namespace)
        )


def test_our_class_in_the_place_of_theirs_is_what_the_uri_of_an_archive_opens(
    proxies: Proxies, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(biocommons.seqrepo, "SeqRepo", SeqRepo)
    proxy = create_dataproxy(f"seqrepo+file://{root}")
    assert isinstance(proxy.sr, SeqRepo)
    for identifier in ("NC_012920.1", "GRCh38:1", "nothing"):
        assert _all_answers(proxy, identifier) == _all_answers(proxies.plain, identifier)


def test_the_published_digest_of_the_mitochondrion(proxies: Proxies) -> None:
    for proxy in proxies.of_ours():
        assert proxy.derive_refget_accession("GRCh38:MT") == f"SQ.{_SQ}"


def test_a_reference_is_checked(proxies: Proxies) -> None:
    for proxy in (proxies.plain, *proxies.of_ours()):
        proxy.validate_ref_seq("GRCh38:MT", 3242, 3243, "A")
        proxy.validate_ref_seq("GRCh38:MT", 3242, 3243, "G", require_validation=False)
        with pytest.raises(DataProxyValidationError, match="correct ref is 'A'"):
            proxy.validate_ref_seq("GRCh38:MT", 3242, 3243, "G")


def test_the_proxy_of_the_environment(
    proxies: Proxies, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GA4GH_VRS_DATAPROXY_URI", f"seqrepo+file://{exported}")
    proxy = create_dataproxy()
    assert _all_answers(proxy, "NC_001422.1") == _all_answers(proxies.plain, "NC_001422.1")


@pytest.mark.parametrize(
    "conditions",
    [
        {},
        {"namespace": "refseq"},
        {"namespace": "ga4gh"},
        {"namespace": "GRCh38"},
        {"alias": "chrM"},
        {"alias": "c68f52674c9fb33aef52dcf399755519"},
        {"alias": f"GS_{_SQ}"},
        {"alias": f"SQ.{_SQ}"},
        {"seq_id": _SQ},
        {"seq_id": _SQ, "namespace": "ga4gh", "alias": f"SQ.{_SQ}"},
        {"seq_id": _SQ, "namespace": "ga4gh", "alias": f"SQ.{_SQ[::-1]}"},
        {"seq_id": f"SQ.{_SQ}"},
        {"seq_id": ""},
        {"namespace": "sha512t24u", "alias": _SQ},
        {"namespace": "MD5", "alias": "nothing"},
        {"namespace": "no namespace", "alias": "MT"},
        {"namespace": "GRCh38", "alias": "MT", "current_only": False},
    ],
)
def test_rows_of_names_come_as_from_the_package_and_in_its_order(
    proxies: Proxies, conditions: dict[str, Any]
) -> None:
    there, here = (
        list(proxy.sr.aliases.find_aliases(**conditions))
        for proxy in (proxies.exported, proxies.ours)
    )
    for row in there:
        del row["seqalias_id"]
    assert here == there


# --- variants ---------------------------------------------------------------------------------


def _digest(value: dict[str, Any]) -> str:
    """As VRS computes it: sha512t24u of the JSON without white space, with sorted keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(hashlib.sha512(text).digest()[:24]).decode()


def _refget(residues: str) -> str:
    raw = hashlib.sha512(residues.encode()).digest()[:24]
    return "SQ." + base64.urlsafe_b64encode(raw).decode()


def vrs_id(residues: str, change: Change) -> str:
    """The identifier of a change: as far to both sides as it can be said to be."""
    start, end, _ = change
    n_deleted, n_inserted = end - start, len(change.inserted)
    if not (n_deleted and n_inserted):
        start, end = change.rolled(residues, 5).start, change.rolled(residues, 3).end
    state: dict[str, Any] = {"type": "LiteralSequenceExpression", "sequence": change.inserted}
    if change.inserted == residues[change.start : change.end]:
        state = _repeat(n_deleted, n_deleted)
    elif not n_inserted:
        state = _repeat(end - start - n_deleted, n_deleted)
    elif not n_deleted and end - start >= n_inserted:
        state = _repeat(end - start + n_inserted, n_inserted)
    location = {
        "type": "SequenceLocation",
        "sequenceReference": {"type": "SequenceReference", "refgetAccession": _refget(residues)},
        "start": start,
        "end": end,
    }
    return "ga4gh:VA." + _digest({"type": "Allele", "location": _digest(location), "state": state})


def _repeat(length: int, unit: int) -> dict[str, Any]:
    return {"type": "ReferenceLengthExpression", "length": length, "repeatSubunitLength": unit}


def _known(residues: str) -> Iterator[Change]:
    """Changes whose identifier follows from a few lines: what is inserted is a copy of what is
    before it, or can be in one place only."""
    for change in changes(residues, 12):
        is_copy = change.inserted == residues[change.start - len(change.inserted) : change.start]
        left, right = (change.rolled(residues, direction) for direction in (5, 3))
        if change.end > change.start or is_copy or left == right:
            yield change
    for at in range(500, len(residues) - 500, len(residues) // 9):
        yield Change(at, at + 1, "A" if residues[at] != "A" else "C")
        yield Change(at, at + 3, residues[at : at + 3])


@pytest.mark.parametrize("accession", ["NC_001422.1", "NC_012920.1", "ENST00000513300.5"])
def test_variants_have_the_identifiers_of_the_specification(
    proxies: Proxies, truth: dict[str, str], accession: str
) -> None:
    translators = [
        AlleleTranslator(proxy) for proxy in (proxies.plain, proxies.exported, proxies.ours)
    ]
    residues = truth[accession]
    for change in _known(residues):
        spdi = f"{accession}:{change.start}:{change.end - change.start}:{change.inserted}"
        for translator in translators:
            allele = translator.translate_from(spdi, "spdi")
            assert allele.id == vrs_id(residues, change), spdi


_EXPRESSIONS = [
    ("spdi", "NC_001422.1:3:1:", Change(3, 4, "")),
    ("spdi", "refseq:NC_045512.2:23402:A:G", None),
    ("spdi", "NC_045512.2:23402:A:G", Change(23402, 23403, "G")),
    ("spdi", f"ga4gh:SQ.{_SQ}:3242:1:G", None),
    ("hgvs", "NC_012920.1:m.3243A>G", Change(3242, 3243, "G")),
    ("hgvs", "NC_012920.1:m.8281_8289del", Change(8280, 8289, "")),
    ("hgvs", "NC_001422.1:g.3296_3298dup", Change(3298, 3298, "TGC")),
    ("hgvs", "NC_001422.1:g.100_101insT", Change(100, 100, "T")),
    ("hgvs", "NC_001422.1:g.100_102=", Change(99, 102, "ACG")),
    ("hgvs", "NM_001005405.2:c.1A>G", Change(38, 39, "G")),
    ("gnomad", "MT-3243-A-G", Change(3242, 3243, "G")),
    ("gnomad", "chrM-302-A-AC", Change(302, 302, "C")),
    ("gnomad", "1-4-TT-T", Change(4, 5, "")),
    ("beacon", "MT : 3243 A > G", Change(3242, 3243, "G")),
    ("beacon", "1 : 4 TT > T", Change(4, 5, "")),
]


@pytest.mark.usefixtures("with_provider")
@pytest.mark.parametrize(("kind", "expression", "change"), _EXPRESSIONS)
def test_expressions_of_every_kind_mean_the_same_variant(
    proxies: Proxies, truth: dict[str, str], kind: str, expression: str, change: Change | None
) -> None:
    def translated(proxy: Any) -> object:
        translator = AlleleTranslator(proxy)
        try:
            allele = translator.translate_from(expression, kind)
        except ValueError:
            return ValueError
        return (
            allele.model_dump(),
            sorted(translator.translate_to(allele, "spdi")),
            # It does not know that what begins with NC_04 is a genome.
            "NC_04" in expression or translator.translate_to(allele, "hgvs"),
        )

    expected = translated(proxies.plain)
    for proxy in proxies.of_ours():
        assert translated(proxy) == expected
    if change is None:
        assert expected is ValueError  # two colons are too many for SPDI
        return
    assert isinstance(expected, tuple)
    refget = expected[0]["location"]["sequenceReference"]["refgetAccession"]
    (residues,) = (one for one in set(truth.values()) if _refget(one) == refget)
    assert expected[0]["id"] == vrs_id(residues, change)


@pytest.mark.usefixtures("with_provider")
@pytest.mark.parametrize("proxy_of", ["plain", "exported", "created", "ours"])
def test_variants_are_said_in_hgvs_again(
    proxies: Proxies, truth: dict[str, str], proxy_of: str
) -> None:
    translator = AlleleTranslator(getattr(proxies, proxy_of))
    residues = truth["NC_001422.1"]
    for change in changes(residues, 4):
        said = f"NC_001422.1:g.{change.described(residues)}"
        allele = translator.translate_from(said, "hgvs")
        expected = change.rolled(residues, 3).described(residues)
        assert translator.translate_to(allele, "hgvs") == [f"NC_001422.1:g.{expected}"]


@pytest.mark.usefixtures("with_provider")
def test_copy_numbers_are_the_same(proxies: Proxies) -> None:
    for expression, options in [
        ("NC_012920.1:m.8281_8289del", {}),
        ("NC_012920.1:m.8281_8289dup", {"copies": 3}),
    ]:
        dumps = [
            CnvTranslator(proxy).translate_from(expression, "hgvs", **options).model_dump()
            for proxy in (proxies.plain, *proxies.of_ours())
        ]
        assert dumps[0]["location"]["start"] == 8280
        assert all(dump == dumps[0] for dump in dumps)


def test_a_variant_with_the_wrong_reference_is_refused(proxies: Proxies) -> None:
    for proxy in (proxies.plain, *proxies.of_ours()):
        with pytest.raises(DataProxyValidationError, match="correct ref is 'A'"):
            AlleleTranslator(proxy).translate_from("MT-3243-C-G", "gnomad")


# --- VCF --------------------------------------------------------------------------------------

_VCF = """\
##fileformat=VCFv4.2
##contig=<ID=MT,length=16569>
##contig=<ID=1,length=5386>
##contig=<ID=2,length=9>
#CHROM	POS	ID	REF	ALT	QUAL	FILTER	INFO
MT	3243	.	A	G	.	.	.
MT	302	.	A	AC,ACC	.	.	.
MT	8270	.	CACCCCCTCT	C	.	.	.
MT	3243	wrong	C	G	.	.	.
1	4	.	TT	T,*	.	.	.
2	4	unknown	T	A	.	.	.
"""

#: Of the alternatives above, without the wrong, the star and the unknown.
_IN_VCF = [
    ("NC_012920.1", Change(3242, 3243, "G")),
    ("NC_012920.1", Change(302, 302, "C")),
    ("NC_012920.1", Change(302, 302, "CC")),
    ("NC_012920.1", Change(8270, 8279, "")),
    ("NC_001422.1", Change(4, 5, "")),
]


def _annotated(proxy: Any, vcf: Path, directory: Path) -> tuple[str, str, object]:
    directory.mkdir()
    VcfAnnotator(proxy).annotate(
        vcf,
        directory / "out.vcf",
        vrs_attributes=True,
        output_pkl_path=directory / "out.pkl",
        output_ndjson_path=directory / "out.ndjson",
    )
    texts = [(directory / name).read_text() for name in ("out.vcf", "out.ndjson")]
    return texts[0], texts[1], pickle.loads((directory / "out.pkl").read_bytes())


def test_a_vcf_is_annotated_as_on_an_instance_of_the_real_package(
    proxies: Proxies, truth: dict[str, str], tmp_path: Path
) -> None:
    vcf = tmp_path / "in.vcf"
    vcf.write_text(_VCF)
    expected = _annotated(proxies.plain, vcf, tmp_path / "plain")
    for n, proxy in enumerate(proxies.of_ours()):
        assert _annotated(proxy, vcf, tmp_path / str(n)) == expected
    rows = [line for line in expected[0].splitlines() if not line.startswith("#")]
    assert "VRS_Error=Reference mismatch at GRCh38:MT" in rows[3]
    assert all("VRS_Allele_IDs=" in row for row in rows if "wrong" not in row)
    for accession, change in _IN_VCF:
        assert vrs_id(truth[accession], change) in expected[0]
        assert vrs_id(truth[accession], change) in expected[1]


def test_the_program_annotates_a_vcf(proxies: Proxies, exported: Path, tmp_path: Path) -> None:
    vcf = tmp_path / "in.vcf"
    vcf.write_text(_VCF)
    program = [str(Path(sys.executable).with_name("vrs-annotate")), "vcf", str(vcf)]
    options = ["--vcf-out", "out.vcf", "--vrs-attributes", "--require-validation"]
    place = ["--dataproxy-uri", f"seqrepo+file://{exported}"]
    subprocess.run([*program, *options, *place], cwd=tmp_path, check=True, capture_output=True)
    expected, *_ = _annotated(proxies.plain, vcf, tmp_path / "plain")
    assert (tmp_path / "out.vcf").read_text() == expected


# --- our class in the place of theirs ---------------------------------------------------------


def test_threads_share_a_proxy_on_our_class(root: Path, truth: dict[str, str]) -> None:
    proxy = SeqRepoDataProxy(SeqRepo(root))
    translator = AlleleTranslator(proxy)

    def work(n: int) -> None:
        for accession in ("NC_001422.1", "NC_012920.1", "NM_001005405.2"):
            at = 37 * n + 1
            residues = truth[accession]
            assert proxy.get_sequence(accession, at, at + 500) == residues[at : at + 500]
            assert proxy.derive_refget_accession(accession) == _refget(residues)
            allele = translator.translate_from(f"{accession}:{at}:1:", "spdi")
            assert allele.id == vrs_id(residues, Change(at, at + 1, ""))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(24)))


_CHILD = """
import pickle, sys
from ga4gh.vrs.extras.translator import AlleleTranslator
proxy = pickle.load(sys.stdin.buffer)
print(AlleleTranslator(proxy).translate_from("MT-3243-A-G", "gnomad").id)
"""


def test_a_proxy_on_our_class_is_pickled_into_another_process(
    root: Path, truth: dict[str, str]
) -> None:
    with SeqRepo(root) as ours:
        pickled = pickle.dumps(SeqRepoDataProxy(ours))
    command = [sys.executable, "-W", "ignore", "-c", _CHILD]
    done = subprocess.run(command, input=pickled, capture_output=True, check=True)
    expected = vrs_id(truth["NC_012920.1"], Change(3242, 3243, "G"))
    assert done.stdout.decode().strip() == expected


def test_a_pickle_of_our_class_does_not_store_again_what_waits(tmp_path: Path) -> None:
    ours = SeqRepo(tmp_path / "archive", writeable=True)
    ours.store("ACGT", [{"namespace": "refseq", "alias": "NC_9.1"}])
    other = pickle.loads(pickle.dumps(ours))
    assert other.fetch("NC_9.1") == ours.fetch("NC_9.1") == "ACGT"
    other.store("GGGG", [{"namespace": "refseq", "alias": "NC_8.1"}])
    other.close()
    ours.close()
    assert ours.fetch("NC_8.1") == "GGGG"
    assert len(list(ours.archive.batches())) == 2


def test_a_closed_repository_is_opened_again_by_the_next_question(
    root: Path, truth: dict[str, str]
) -> None:
    with SeqRepo(root) as ours:
        proxy = SeqRepoDataProxy(ours)
        assert proxy.get_sequence("NC_001422.1", 0, 4) == "GAGT"
    assert proxy.get_sequence("NC_001422.1", 4, 8) == truth["NC_001422.1"][4:8]


def test_a_name_that_moves_is_seen_by_the_next_proxy_at_once(tmp_path: Path) -> None:
    with SeqRepo(tmp_path / "archive", writeable=True, on_conflict="replace") as ours:
        for residues in ("ACGT", "GGGG"):
            ours.store(residues, [{"namespace": "refseq", "alias": "NC_9.1"}])
            proxy = SeqRepoDataProxy(ours)
            assert proxy.get_sequence("NC_9.1") == residues
            assert proxy.derive_refget_accession("NC_9.1") == _refget(residues)


def test_a_walk_through_the_names_survives_that_sequences_go(tmp_path: Path) -> None:
    root = tmp_path / "archive"
    with seqarchive.connect(_stored(root, {"lab:a": "ACGT", "lab:b": "GGGG", "lab:c": "TT"})):
        pass
    with SeqRepo(root) as ours:
        rows = ours.aliases.find_aliases()
        first = next(rows)["seq_id"]
        for batch in (1, 2, 3):
            _run(root, "revert", str(batch))
        _run(root, "repair", "--reclaim")
        assert {row["seq_id"] for row in rows} == {first}
        assert list(ours.aliases.find_aliases()) == []


def _stored(root: Path, records: dict[str, str]) -> Path:
    with SeqRepo(root, writeable=True) as ours:
        for name, residues in records.items():
            namespace, alias = name.split(":")
            ours.store(residues, [{"namespace": namespace, "alias": alias}])
            ours.commit()
    return root


# --- releases, updates, other users -----------------------------------------------------------

_OTHER_USER = f"""
import json, os, sys
import _strptime
import seqarchive.commands
from ga4gh.vrs.dataproxy import SeqRepoDataProxy, create_dataproxy
from ga4gh.vrs.extras.translator import AlleleTranslator
from seqarchive.seqrepo import SeqRepo
import biocommons.seqrepo
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})
instance, archive = sys.argv[1:]
assert not os.access(instance, os.W_OK) and not os.access(archive, os.W_OK)
for proxy in (create_dataproxy("seqrepo+file://" + instance), SeqRepoDataProxy(SeqRepo(archive))):
    allele = AlleleTranslator(proxy).translate_from("NC_001422.1:3:1:", "spdi")
    print(json.dumps([proxy.get_sequence("NC_001422.1", 0, 10), allele.id]))
"""


def test_another_user_reads_what_nobody_may_write(truth: dict[str, str]) -> None:
    residues = truth["NC_001422.1"]
    with shared_directory() as directory:
        root = _stored(directory / "archive", {"refseq:NC_001422.1": residues})
        instance = directory / "instance"
        _run(root, "export-seqrepo", str(instance))
        for place in (instance, root):
            without_write_permission(place)
        command = [sys.executable, "-W", "ignore", "-c", _OTHER_USER, str(instance), str(root)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
        expected = [residues[:10], vrs_id(residues, Change(3, 4, ""))]
        assert [json.loads(line) for line in done.stdout.splitlines()] == [expected] * 2


def test_a_release_keeps_its_answers_while_the_archive_grows(tmp_path: Path) -> None:
    old, new = "ACGTTTTACG" * 10, "ACGTTTTTACG" * 10
    root = _stored(tmp_path / "archive", {"refseq:NC_9.1": old})
    with seqarchive.connect(root) as archive:
        archive.snapshot("2024-06-01")
        _run(root, "export-seqrepo")
        archive.store(new, ["refseq:NC_9.1"], on_conflict="replace")
        archive.store("GGGG", ["refseq:NC_8.1"])
        for _ in range(2):
            _run(root, "export-seqrepo")
            _run(root, "--instance", "2024-06-01", "export-seqrepo")
    for place, residues in (("2024-06-01", old), ("master", new)):
        with SeqRepo(root / place) as ours:
            for proxy in (
                SeqRepoDataProxy(ours),
                create_dataproxy(f"seqrepo+file://{root / 'seqrepo' / place}"),
            ):
                allele = AlleleTranslator(proxy).translate_from("NC_9.1:4:1:", "spdi")
                assert allele.id == vrs_id(residues, Change(4, 5, ""))
                there = _answer(lambda: proxy.get_sequence("NC_8.1"))  # noqa: B023
                assert there == (KeyError if place == "2024-06-01" else "GGGG")
    forget()


def test_names_that_meant_something_else_are_the_same_rows(tmp_path: Path) -> None:
    root = _stored(tmp_path / "archive", {"refseq:NC_9.1": "ACGT", "lab:x": "GGGG"})
    with seqarchive.connect(root) as archive:
        archive.name("lab:x", ["refseq:NC_9.1"], on_conflict="replace")
        archive.retire(["lab:x"])
    _run(root, "export-seqrepo")
    theirs = biocommons.seqrepo.SeqRepo(os.fspath(root / "seqrepo" / "master"))
    with SeqRepo(root) as ours:
        for namespace, alias in [
            ("refseq", "NC_9.1"),
            (None, "NC_9.1"),
            (None, "x"),
            ("lab", None),
            (None, None),
        ]:
            for current_only in (True, False):
                found = [
                    list(one.aliases.find_aliases(None, namespace, alias, current_only))
                    for one in (theirs, ours)
                ]
                for row in found[0]:
                    del row["seqalias_id"]
                assert found[0] == found[1]
