"""Every name of a sequence finds it, in every spelling; what is no name is refused."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pickle
from pathlib import Path

import pytest
from Bio.SeqUtils.CheckSum import seguid
from conftest import Cli

import seqarchive
from seqarchive import Ambiguous, Archive, BadInput, BadName, NotFound, connect


def load(cli: Cli, text: str, namespace: str = "t", *options: str) -> dict[str, object]:
    """Load a FASTA text; the report."""
    result = cli("--json", "load", "--namespace", namespace, *options, "-", stdin=text.encode())
    assert result.code == 0, result.err
    report: dict[str, object] = json.loads(result.out)
    return report


def names(archive: Archive) -> set[str]:
    """All aliases."""
    return {str(alias) for alias, _ in archive.all_aliases()}


# --- namespaces -------------------------------------------------------------------------------

SYNONYMS = {
    "refseq": ["RefSeq", "REFSEQ", "NCBI", "ncbi"],
    "ensembl": ["Ensembl", "ENSEMBL"],
    "lrg": ["LRG", "Lrg"],
    "insdc": ["INSDC", "GenBank", "genbank", "gb", "ENA", "EMBL", "embl", "DDBJ"],
    "uniprot": ["UniProt", "UniProtKB", "SwissProt", "Swiss-Prot", "TrEMBL"],
    "gi": ["GI"],
    "pdb": ["PDB"],
    "GRCh38": ["grch38", "GRCH38"],
    "GRCh37.p13": ["grch37.p13", "GRCh37.P13"],
    "GRCm39": ["grcm39", "GRCM39"],
    "NCBI36": ["ncbi36"],
    "hg19": ["HG19", "Hg19"],
    "mm10": ["MM10"],
}


@pytest.mark.parametrize("canonical", SYNONYMS)
def test_a_namespace_has_one_spelling_whatever_comes_in(
    archive: Archive, cli: Cli, canonical: str
) -> None:
    for n, spelling in enumerate([canonical, *SYNONYMS[canonical]]):
        report = load(cli, f">name.1\nACGT\n>other.{n}\nACGT\n", spelling)
        assert report["namespace"] == canonical
    n_spellings = len(SYNONYMS[canonical]) + 1
    assert names(archive) == {f"{canonical}:name.1"} | {
        f"{canonical}:other.{n}" for n in range(n_spellings)
    }
    for spelling in [canonical, *SYNONYMS[canonical]]:
        assert archive.fetch(f"{spelling}:name.1") == "ACGT"
        assert f"{spelling}:name.1" in archive
        assert f"{canonical}:name.1" in archive.translate("name.1", to=spelling)
        assert len(list(archive.all_aliases(namespace=spelling))) == n_spellings + 1
    assert dict(archive.status()["namespaces"]) == {canonical: n_spellings + 1}


def test_a_new_namespace_keeps_the_spelling_it_was_first_seen_in(
    archive: Archive, cli: Cli
) -> None:
    assert load(cli, ">a\nACGT\n", "MyLab-2024.v1+x")["namespace"] == "MyLab-2024.v1+x"
    assert load(cli, ">b\nACGT\n", "MYLAB-2024.V1+X")["namespace"] == "MyLab-2024.v1+x"
    assert load(cli, ">c\nACGT\n", "mylab-2024.v1+x")["namespace"] == "MyLab-2024.v1+x"
    assert names(archive) == {f"MyLab-2024.v1+x:{name}" for name in "abc"}
    assert archive.fetch("mYlAb-2024.v1+X:b") == "ACGT"
    assert archive.translate("a", to="MYLAB-2024.v1+x") == [
        f"MyLab-2024.v1+x:{name}" for name in "abc"
    ]


def test_aliases_unlike_namespaces_have_a_case(archive: Archive, cli: Cli) -> None:
    load(cli, ">chrX\nAC\n>chrx\nGG\n")
    assert (archive.fetch("t:chrX"), archive.fetch("t:chrx")) == ("AC", "GG")
    with pytest.raises(NotFound):
        archive.find("t:CHRX")


@pytest.mark.parametrize(
    "namespace",
    [
        "",
        " ",
        "a b",
        "a:b",
        "a/b",
        "..",
        "-x",
        "+x",
        ".x",
        "é",
        "a\tb",
        "a\n",
        "x" * 65,
        "a|b",
        "*",
    ],
)
def test_what_cannot_be_a_namespace_is_refused(archive: Archive, cli: Cli, namespace: str) -> None:
    result = cli("load", f"--namespace={namespace}", "-", stdin=b">a\nACGT\n")
    assert result.code == 5
    assert "cannot be a namespace" in result.err
    assert len(archive) == 0


@pytest.mark.parametrize(
    "namespace",
    [
        "ga4gh",
        "GA4GH",
        "sha512t24u",
        "md5",
        "MD5",
        "sha1",
        "seguid",
        "trunc512",
        "VMC",
        "vmc",
        "sha512",
        "sha256",
    ],
)
def test_digests_are_computed_and_cannot_be_given(
    archive: Archive, cli: Cli, namespace: str
) -> None:
    result = cli("load", "--namespace", namespace, "-", stdin=b">a\nACGT\n")
    assert result.code == 5
    assert "computed" in result.err
    with pytest.raises(BadName, match="computed"):
        archive.store("ACGT", [f"{namespace}:f1f8f4bf413b16ad135722aa4591043e"])
    assert len(archive) == 0


@pytest.mark.parametrize("way", ["bars", "table", "regex"])
def test_no_digest_comes_in_through_a_side_door(
    archive: Archive, cli: Cli, tmp_path: Path, way: str
) -> None:
    """A name in such a namespace could never be found again."""
    table = tmp_path / "table.tsv"
    table.write_text("a\tmd5:5\n")
    defline, *options = {
        "bars": ["gnl|md5|5"],
        "table": ["a", "--alias-table", str(table)],
        "regex": ["md5=5", "--alias-regex", "(?P<namespace>[^=]+)=(?P<alias>.+)"],
    }[way]
    result = cli("load", "-n", "t", *options, "-", stdin=f">{defline}\nACGT\n".encode())
    assert result.code == 5 or names(archive)
    for name in names(archive):
        assert archive.fetch(name) == "ACGT"


# --- deflines ---------------------------------------------------------------------------------

CARD = "gb|AF133139.1|+|55-841|ARO:3002523|AAC(2')-Iia"  # a piece of AF133139.1
DEFLINES = {
    "NM_000059.4 Homo sapiens BRCA2": ["t:NM_000059.4"],
    "gi|123173798|ref|NM_001005405.2| Homo sapiens": ["gi:123173798", "refseq:NM_001005405.2"],
    "gi|563317589|dbj|AB821309.1|": ["gi:563317589", "insdc:AB821309.1"],
    "gi|557361099|gb|KF435150.1|KF435150 text": ["gi:557361099", "insdc:KF435150.1"],
    "gi|6|emb|CAA12345.1|": ["gi:6", "insdc:CAA12345.1"],
    "gi|5": ["gi:5"],
    "gi|5|": ["gi:5"],
    "ref|NM_1.2|": ["refseq:NM_1.2"],
    "ref|NM_1.2": ["refseq:NM_1.2"],
    "REF|NM_1.2|": ["refseq:NM_1.2"],
    "tpg|BK000001.1|": ["insdc:BK000001.1"],
    "sp|P12345|AATM_RABIT Aspartate OS=Oryctolagus": ["uniprot:P12345"],
    "sp|P12345-2|AATM_RABIT": ["uniprot:P12345-2"],
    "tr|W0FSK4|W0FSK4_9FLAV Genome polyprotein": ["uniprot:W0FSK4"],
    "lcl|contig_7 length=5": ["t:contig_7"],
    "gnl|BL_ORD_ID|5 text": ["BL_ORD_ID:5"],
    "gnl|RefSeq|NM_1.2": ["refseq:NM_1.2"],
    "pdb|1ABC|A": ["pdb:1ABC_A"],
    "pdb|1ABC|": ["pdb:1ABC"],
    "gi|5|pdb|1ABC|B Chain B": ["gi:5", "pdb:1ABC_B"],
    "pir||A02018": ["pir:A02018"],
    "pir|A02018|": ["pir:A02018"],
    "prf||0308206A": ["prf:0308206A"],
    "gi|1|ref|XP_1.1| one\x01gi|2|gb|AA_2.1| other": [
        "gi:1",
        "refseq:XP_1.1",
        "gi:2",
        "insdc:AA_2.1",
    ],
    "xyz|5|abc text": ["t:xyz|5|abc"],
    "a|b": ["t:a|b"],
    "TRINITY_DN1|c0_g1|i1": ["t:TRINITY_DN1|c0_g1|i1"],
    "ENSMUST00000000001.5|ENSMUSG00000000001.4|OTT|-|Gnai3-201|Gnai3|": [
        "t:ENSMUST00000000001.5|ENSMUSG00000000001.4|OTT|-|Gnai3-201|Gnai3|"
    ],
    CARD: [f"t:{CARD}"],
    "gb|AF133139.1|+|55-841 a piece of it": ["t:gb|AF133139.1|+|55-841"],
    "HLA:HLA00132 A*24:20 1098 bp": ["t:HLA:HLA00132"],
    "HLA-A*01:01": ["t:HLA-A*01:01"],
    "Wuhan/Hu-1/2019": ["t:Wuhan/Hu-1/2019"],
    "a#b": ["t:a#b"],
    "chr1:100-200(+)": ["t:chr1:100-200(+)"],
    "ENST00000513300.5": ["t:ENST00000513300.5"],
    "YHR055C pep chromosome:R64-1-1:VIII:214533:214718:-1": ["t:YHR055C"],
}


@pytest.mark.parametrize("defline", DEFLINES)
def test_a_defline_gives_the_names_it_says(archive: Archive, cli: Cli, defline: str) -> None:
    load(cli, f">{defline}\nACGT\n")
    assert names(archive) == set(DEFLINES[defline])
    for name in DEFLINES[defline]:
        assert archive.fetch(name) == "ACGT"
        assert archive.fetch(name.partition(":")[2]) == "ACGT"


@pytest.mark.parametrize("defline", DEFLINES)
def test_the_whole_defline_is_kept(archive: Archive, cli: Cli, defline: str) -> None:
    load(cli, f">{defline}\nACGT\n")
    assert archive.metadata(DEFLINES[defline][0])["deflines"] == [
        {"source": "standard input", "defline": defline}
    ]


def test_all_deflines_of_a_sequence_are_kept_in_order(archive: Archive, tmp_path: Path) -> None:
    texts = {
        "one.fa": ">a Größe\tmit Tab; [Homo sapiens] a:b|c\nACGT\n>b second\nAC\n",
        "two.fa": ">a again\nACGT\n>a and again\nacgt\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    archive.load([tmp_path / name for name in texts], "t")
    assert [tuple(kept.values()) for kept in archive.metadata("t:a")["deflines"]] == [
        (str(tmp_path / "one.fa"), "a Größe\tmit Tab; [Homo sapiens] a:b|c"),
        (str(tmp_path / "two.fa"), "a again"),
        (str(tmp_path / "two.fa"), "a and again"),
    ]


ODD = [
    "HLA:HLA00132", "HLA-A*01:01", "Wuhan/Hu-1/2019", "a#b", "a|b", "100%", "a_b", "*", "?",
    "[a-z]", "a,b", "a=b;c", "a'b", 'a"b', "a\\b", "$HOME", "`id`", "ü", "序列", "..",
    "../../etc/passwd", "/etc/passwd", "-x", "--root", "a:b:c", ":", "a:", ":a", "~", "&", "<a>",
    "%41", "x" * 1024, "1", "1.5e3", "NULL", "None", "x--y", "';DROP-TABLE-aliases;--", ">x",
]  # fmt: skip


def test_a_name_may_be_anything_without_white_space(archive: Archive, cli: Cli) -> None:
    residues = {name: "ACGT" * (n + 1) for n, name in enumerate(ODD)}
    load(cli, "".join(f">{name} text\n{text}\n" for name, text in residues.items()))
    assert names(archive) == {f"t:{name}" for name in ODD}
    for name, text in residues.items():
        assert archive.fetch(f"t:{name}") == text
        assert archive.fetch(name) == text
        assert name in archive
        assert f"t:{name}" in archive.translate(name, to="t")
    shown = cli("get", "--", *ODD)
    assert shown.out.splitlines() == list(residues.values())


@pytest.mark.parametrize(
    "alias",
    ["", " ", "a b", " a", "a ", "a\tb", "a\nb", "a\r", "a\0b", "a\x1b[31m", "a\x7f", "a\u0085b",
     "a\u00a0b", "a\u2028b", "a\u3000b", "a\u200bb", "a\u202eb", "x" * 1025],
)  # fmt: skip
def test_white_space_and_control_characters_are_no_names(archive: Archive, alias: str) -> None:
    with pytest.raises(BadName):
        archive.store("ACGT", [f"t:{alias}"])
    with pytest.raises(BadName):
        archive[f"t:{alias}"] = "ACGT"
    assert f"t:{alias}" not in archive
    with pytest.raises(NotFound):
        archive.find(f"t:{alias}")
    assert len(archive) == 0


@pytest.mark.parametrize(
    "word", ["a\x1b[2J", "a\x00b", "a\x7fb", "a\u200bb", "a\u202eb", "x" * 1025]
)
def test_such_names_in_a_file_are_refused_with_their_line(
    archive: Archive, cli: Cli, word: str
) -> None:
    text = f">good\nACGT\n>{word} x\nAC\n"
    result = cli("load", "-n", "t", "-", stdin=text.encode())
    assert result.code == 5
    assert result.err.startswith("seqarchive: standard input, line 3: ")
    assert result.err.strip().isprintable()
    assert len(archive) == 0


# --- names from a pattern or a table ----------------------------------------------------------


def test_a_pattern_says_where_the_name_is(archive: Archive, cli: Cli) -> None:
    load(cli, ">x|NM_1.2|y text\nAC\n>x|NM_2.1|y\nGG\n", "t", "--alias-regex", r"\|([^|]+)\|")
    load(cli, ">id=7 acc=AB1.1\nTT\n", "t", "--alias-regex", r"acc=(?P<alias>\S+)")
    load(cli, ">GRCH38~chr5\nCC\n", "t", "--alias-regex", r"(?P<namespace>\w+)~(?P<alias>\S+)")
    load(cli, ">prefix ENST7.1 suffix\nTA\n", "t", "--alias-regex", r"ENST\d+\.\d+")
    assert names(archive) == {"t:NM_1.2", "t:NM_2.1", "t:AB1.1", "GRCh38:chr5", "t:ENST7.1"}
    assert archive.fetch("grch38:chr5") == "CC"


def test_a_defline_that_the_pattern_does_not_match_is_an_error(archive: Archive, cli: Cli) -> None:
    text = b">acc=A1 x\nAC\n\n>other\nGG\n"
    options = ("load", "-n", "t", "--alias-regex", r"acc=(\S+)")
    result = cli(*options, "-", stdin=text)
    assert result.code == 5
    assert "standard input, line 4: the defline 'other' does not match" in result.err
    assert len(archive) == 0
    result = cli("--json", *options, "--on-error", "skip", "-", stdin=text)
    assert result.code == 0
    assert len(json.loads(result.out)["skipped"]) == 1
    assert names(archive) == {"t:A1"}


@pytest.mark.parametrize("pattern", [r"acc=(.*)", r"(x?)", r"(\s)"])
def test_a_pattern_that_gives_no_name_is_an_error(archive: Archive, cli: Cli, pattern: str) -> None:
    """With white space in it, or nothing."""
    result = cli("load", "-n", "t", "--alias-regex", pattern, "-", stdin=b">b acc=a b\nAC\n")
    assert result.code == 5
    assert "line 1" in result.err
    assert len(archive) == 0


def test_a_broken_pattern_is_a_usage_error(archive: Archive, cli: Cli) -> None:
    result = cli("load", "-n", "t", "--alias-regex", "(", "-", stdin=b">a\nAC\n")
    assert result.code == 2
    assert "regular expression" in result.err


def test_a_table_gives_names(archive: Archive, cli: Cli, tmp_path: Path) -> None:
    table = tmp_path / "names.tsv"
    table.write_text(
        "# in the file\tnames\n\nchr1\tGRCH38:1\tNCBI:NC_000001.11\r\nchr2\tGRCh38:2\t\n"
        "sp|P1|X\tmine:P1\nchr1\tucsc:chr1\n"
    )
    text = ">chr1 one\nAC\n>chr2\nGG\n>chr3\nTT\n>sp|P1|X\nMK\n>sp|P2|Y\nMM\n"
    load(cli, text, "other", "--alias-table", str(table))
    assert names(archive) == {
        "GRCh38:1", "refseq:NC_000001.11", "ucsc:chr1", "GRCh38:2", "other:chr3", "mine:P1",
        "uniprot:P2",
    }  # fmt: skip
    assert archive.fetch("refseq:NC_000001.11") == "AC"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("chr1", "a name and at least one namespace:alias"),
        ("chr1\tnone", "has no namespace"),
        ("chr1\tt:a b", "white space"),
        ("chr1\ta b:c", "cannot be a namespace"),
        ("chr1\tt:", "cannot be empty"),
    ],
)
def test_a_bad_line_of_a_table_is_named(
    archive: Archive, cli: Cli, tmp_path: Path, line: str, message: str
) -> None:
    table = tmp_path / "names.tsv"
    table.write_text(f"# head\nx\tt:x\n{line}\n")
    result = cli("load", "-n", "t", "--alias-table", table, "-", stdin=b">a\nAC\n")
    assert result.code == 5
    assert result.err.startswith(f"seqarchive: {table}, line 3: ")
    assert message in result.err
    assert len(archive) == 0


def test_a_table_that_is_not_there_is_not_found(archive: Archive, cli: Cli, tmp_path: Path) -> None:
    result = cli("load", "-n", "t", "--alias-table", tmp_path / "no", "-", stdin=b">a\nAC\n")
    assert result.code == 3
    assert str(tmp_path / "no") in result.err


# --- versions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("namespace", ["refseq", "RefSeq", "NCBI", "ncbi"])
def test_refseq_names_without_a_version_are_loaded_and_counted(
    archive: Archive, cli: Cli, namespace: str
) -> None:
    plain = [
        "NM_000059",
        "NC_000001",
        "XP_024307890",
        "NZ_CP012345",
        "NZ_AAAA01000001",
        "WP_000001",
    ]
    others = ["NM_000059.4", "NZ_CP012345.1", "chr1", "NM_x", "NM"]
    report = load(cli, "".join(f">{name}\nACGT\n" for name in plain + others), namespace)
    assert report["versionless"] == len(plain)
    assert names(archive) == {f"refseq:{name}" for name in plain + others}


@pytest.mark.parametrize("namespace", ["ensembl", "Ensembl", "ENSEMBL"])
def test_ensembl_names_without_a_version_are_loaded_and_counted(
    archive: Archive, cli: Cli, namespace: str
) -> None:
    plain = ["ENST00000513300", "ENSMUST00000000001", "ENSP00000369497", "ENSG00000139618"]
    others = ["ENST00000513300.5", "ENSMUST00000000001.5", "YHR055C", "chr1", "ENST"]
    report = load(cli, "".join(f">{name}\nACGT\n" for name in plain + others), namespace)
    assert report["versionless"] == len(plain)
    assert names(archive) == {f"ensembl:{name}" for name in plain + others}


def test_elsewhere_nobody_misses_a_version(archive: Archive, cli: Cli) -> None:
    assert load(cli, ">NM_000059\nAC\n>ENST00000513300\nGG\n", "mine")["versionless"] == 0
    assert load(cli, ">ref|NM_000059|\nAC\n", "mine")["versionless"] == 1
    shown = cli("load", "-n", "refseq", "-", stdin=b">NM_000058\nAC\n")
    assert "1 RefSeq or Ensembl name without a version" in shown.out


def test_not_found_tells_which_versions_there_are(archive: Archive, cli: Cli) -> None:
    load(cli, ">NM_000059.3\nAC\n>NM_000059.4\nGG\n", "refseq")
    for text in ("refseq:NM_000059", "NM_000059"):
        result = cli("get", text)
        assert result.code == 3
        assert "refseq:NM_000059.3" in result.err
        assert "refseq:NM_000059.4" in result.err


# --- digests ----------------------------------------------------------------------------------

#: Computed by nobody's code but the standard library's, and as published where they are.
SEQUENCES = {
    "ACGT": {
        "md5": "f1f8f4bf413b16ad135722aa4591043e",
        "sha512t24u": "aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw2",
        "trunc512": "68a178f7c740c5c240aa67ba41843b119d3bf9f8b0f0ac36",
    },
    "ASINACORNER": {
        "md5": "ea81b526",
        "seguid": "aMQF/",
        "sha1": "68c405fd",
        "sha512t24u": "LDz34B6f",
    },
    "": {
        "sha512t24u": "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXc",
        "md5": "d41d8cd98f00b204e9800998ecf8427e",
    },
}


def digests(residues: str) -> dict[str, str]:
    """Every digest of residues, by the standard library and Biopython."""
    data = residues.encode()
    sha512 = hashlib.sha512(data).digest()
    return {
        "sha512t24u": base64.urlsafe_b64encode(sha512[:24]).decode(),
        "trunc512": sha512[:24].hex(),
        "sha512": sha512.hex(),
        "md5": hashlib.md5(data).hexdigest(),
        "sha1": hashlib.sha1(data).hexdigest(),
        "seguid": str(seguid(residues)),  # type: ignore[no-untyped-call]
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def spellings(residues: str) -> list[str]:
    """Every way to write every digest but SHA-256."""
    of = digests(residues)
    bare = [of["sha512t24u"], "SQ." + of["sha512t24u"], "GS_" + of["sha512t24u"]]
    written = [
        *bare,
        *(f"{namespace}:SQ.{of['sha512t24u']}" for namespace in ("ga4gh", "GA4GH", "Ga4gh")),
        *(f"{namespace}:{of['sha512t24u']}" for namespace in ("sha512t24u", "SHA512T24U")),
        *(f"{namespace}:GS_{of['sha512t24u']}" for namespace in ("VMC", "vmc")),
    ]
    for namespace in ("md5", "sha1", "trunc512", "sha512"):
        for text in (of[namespace], of[namespace].upper()):
            written += [text, f"{namespace}:{text}", f"{namespace.upper()}:{text}"]
    for text in (of["seguid"], of["seguid"] + "="):
        written += [text, f"seguid:{text}", f"SEGUID:{text}"]
    return written


@pytest.mark.parametrize("residues", SEQUENCES)
def test_every_spelling_of_every_digest_finds_the_sequence(
    archive: Archive, cli: Cli, residues: str
) -> None:
    load(cli, f">a\n{residues}\n>b\nGGGG\n")
    for namespace, beginning in SEQUENCES[residues].items():
        assert digests(residues)[namespace].startswith(beginning)
    for spelling in spellings(residues):
        assert archive.find(spelling) == digests(residues)["sha512t24u"], spelling
        assert spelling in archive
        assert archive.fetch(spelling) == residues
    shown = cli("get", *spellings(residues))
    assert shown.out.splitlines() == [residues] * len(spellings(residues))


@pytest.mark.parametrize("residues", SEQUENCES)
def test_translate_computes_every_digest(archive: Archive, cli: Cli, residues: str) -> None:
    load(cli, f">a\n{residues}\n")
    of = digests(residues)
    expected = {
        f"ga4gh:SQ.{of['sha512t24u']}",
        f"VMC:GS_{of['sha512t24u']}",
        "t:a",
        *(f"{name}:{of[name]}" for name in ("sha512t24u", "trunc512", "md5", "sha1", "seguid")),
    }
    assert set(archive.translate("t:a")) == expected
    assert archive.translate("t:a")[0] == f"ga4gh:SQ.{of['sha512t24u']}"
    for name in expected:
        namespace = name.partition(":")[0]
        assert archive.translate("t:a", to=namespace) == [name]
        assert archive.translate(name, to=namespace.upper()) == [name]
    assert set(archive.metadata("t:a")["aliases"]) == expected


def test_sha256_is_found_after_it_was_added_and_for_what_comes_later(
    archive: Archive, cli: Cli
) -> None:
    load(cli, ">a\nACGT\n>e\n")
    before = digests("ACGT")["sha256"]
    result = cli("get", f"sha256:{before}")
    assert result.code == 3
    assert "digests add sha256" in result.err
    assert before not in archive

    assert cli("digests", "add", "sha256").code == 0
    load(cli, ">b\nGGTT\n>long\n" + "ACGTT" * 500_000 + "\n")
    for residues in ("ACGT", "", "GGTT", "ACGTT" * 500_000):
        sha256 = digests(residues)["sha256"]
        for spelling in (sha256, sha256.upper(), f"sha256:{sha256}", f"SHA256:{sha256.upper()}"):
            assert archive.find(spelling) == digests(residues)["sha512t24u"]
        assert archive.translate(sha256, to="sha256") == [f"sha256:{sha256}"]
    assert "sha256" in cli("digests", "list").out.split()


@pytest.mark.parametrize(
    "spelling",
    [
        "ga4gh:XX.aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw2",
        "ga4gh:GS_aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw2",
        "ga4gh:aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw2",
        "VMC:SQ.aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw2",
        "VMC:aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw2",
        "sha512t24u:SQ.aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw2",
        "sq.aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw2",
        "akf498daxcjaqme6qyq7ez07-fiw8kw2",
        "SQ.aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw",
        "SQ.aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw22",
        "SQ.aKF498dAxcJAqme6QYQ7EZ07+fiw8Kw2",
        "SQ.aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw2\n",
        " SQ.aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw2",
        "md5:f1f8f4bf413b16ad135722aa4591043",
        "md5:f1f8f4bf413b16ad135722aa4591043e0",
        "md5:g1f8f4bf413b16ad135722aa4591043e",
        "md5:f1f8",
        "f1f8f4bf",
        "sha1:f1f8f4bf413b16ad135722aa4591043e",
        "md5:68a178f7c740c5c240aa67ba41843b119d3bf9f8b0f0ac36",
        "md5:",
        ":f1f8f4bf413b16ad135722aa4591043e",
        "t:f1f8f4bf413b16ad135722aa4591043e",
        "",
        ":",
        "::",
    ],
)
def test_what_only_resembles_a_digest_finds_nothing(
    archive: Archive, cli: Cli, spelling: str
) -> None:
    load(cli, ">a\nACGT\n")
    assert spelling not in archive
    with pytest.raises(NotFound):
        archive.find(spelling)
    with pytest.raises(KeyError):
        archive[spelling]
    assert cli("get", "--", spelling).code == 3


@pytest.mark.parametrize("command", ["get", "translate", "export"])
def test_bytes_that_are_no_text_are_not_found_either(
    archive: Archive, cli: Cli, command: str
) -> None:
    """What Python makes of an argument that is not UTF-8."""
    load(cli, ">a\nACGT\n")
    for text in (os.fsdecode(b"\xff"), os.fsdecode(b"t:\xff"), os.fsdecode(b"\xff:a")):
        result = cli(command, text)
        assert (result.code, result.out) == (3, "")
        assert result.err.count("\n") == 1
        assert text not in archive
        with pytest.raises(BadName):
            archive[text] = "ACGT"


# --- ranges -----------------------------------------------------------------------------------


@pytest.fixture
def ranged(archive: Archive, cli: Cli) -> Archive:
    """x of 20,000 residues, and one that is called as if it were a piece of it."""
    x = "ACGTTGCAAC" * 2_000
    load(cli, f">x\n{x}\n>x:1-5\nGGGGGGGG\n>y\nTTTT\n>HLA-A*01:01\nACGTA\n>z:5-\nCC\n")
    return archive


X = "ACGTTGCAAC" * 2_000
RANGES = {
    "x:1-5": "GGGGGGGG",
    "t:x:1-5": "GGGGGGGG",
    "x:1-6": X[1:6],
    "t:x:1-6": X[1:6],
    "x:01-5": X[1:5],
    "x:1-5:0-2": "GG",
    "t:x:1-5:2-": "GGGGGG",
    "x:0-0": "",
    "x:20000-20000": "",
    "x:19,990-20,000": X[19_990:],
    "x:10,000-10,010": X[10_000:10_010],
    "x:19995-": X[19_995:],
    "x:-3": X[:3],
    "T:y:1-3": "TT",
    "HLA-A*01:01": "ACGTA",
    "HLA-A*01:01:1-3": "CG",
    "t:HLA-A*01:01:1-": "CGTA",
    "z:5-": "CC",
    "z:5-:0-1": "C",
    "SQ.{y}:1-3": "TT",
    "ga4gh:SQ.{y}:-2": "TT",
    "{y}:0-4": "TTTT",
    "md5:{md5}:2-3": "T",
    "{md5}:2-3": "T",
    "y": "TTTT",
}


@pytest.mark.parametrize("text", RANGES)
def test_a_range_is_split_off_unless_the_whole_is_a_name(
    ranged: Archive, cli: Cli, text: str
) -> None:
    of = digests("TTTT")
    identifier = text.format(y=of["sha512t24u"], md5=of["md5"])
    shown = cli("get", identifier)
    assert shown.code == 0, shown.err
    assert shown.out == RANGES[text] + "\n"
    name, start, end = ranged.split(identifier)
    assert ranged.fetch(name, start, end) == RANGES[text]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("y:-", 3),
        ("y:", 3),
        ("y:1", 3),
        ("y:a-b", 3),
        ("y:1-2-3", 3),
        ("y:1..3", 3),
        ("y:+1-3", 3),
        ("y: 1-3", 3),
        ("y:1-3 ", 3),
        ("y:٣-٤", 3),
        ("none:1-3", 3),
        ("y:0-5", 5),
        ("y:5-5", 5),
        ("y:3-1", 5),
        ("y:0-99999999999999999999999999", 5),
        ("y:99999999999999999999-", 5),
    ],
)
def test_a_range_that_is_none_or_that_the_sequence_lacks_is_refused(
    ranged: Archive, cli: Cli, text: str, code: int
) -> None:
    result = cli("get", "x", text)
    assert result.code == code
    assert result.out == ""
    assert result.err.count("\n") == 1


def test_a_range_beyond_the_end_is_clamped_when_asked_for(ranged: Archive, cli: Cli) -> None:
    assert cli("get", "--clamp", "y:2-100", "y:9-12").out == "TT\n\n"


def test_an_alias_and_a_range_of_another_are_told_apart_by_the_namespace(
    archive: Archive, cli: Cli
) -> None:
    load(cli, ">a:1-3\nGGGG\n", "one")
    load(cli, ">a\nACGTACGT\n", "two")
    assert cli("get", "a:1-3", "one:a:1-3", "two:a:1-3").out == "GGGG\nGGGG\nCG\n"


# --- no wildcards, no guesses -----------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["%", "_", "*", "?", "NM_%", "NM%", "NM*", "NM_1_2", "nm_1.2", "N__1.2", "NM_1.?", "[N]M_1.2",
     "refseq:%", "refseq:NM_%", "refseq:*", "%:NM_1.2", "*:NM_1.2", "_:NM_1.2", "refse_:NM_1.2",
     "refseq:NM_1_2", "refseq:nm_1.2", "NM_1.2%", "NM_1.", "NM_1.22", " NM_1.2", "NM_1.2 ",
     "refseq: NM_1.2", "refseq :NM_1.2", "refseq::NM_1.2", "refseq%3ANM_1.2"],
)  # fmt: skip
def test_nothing_is_a_wildcard_in_a_look_up(archive: Archive, cli: Cli, text: str) -> None:
    load(cli, ">NM_1.2\nACGT\n>NM_1x2\nGG\n", "refseq")
    assert text not in archive
    for look_up in (archive.find, archive.fetch, archive.translate, archive.metadata):
        with pytest.raises(NotFound):
            look_up(text)
    with pytest.raises(NotFound):
        archive.fetch_many([("NM_1.2", None, None), (text, None, None)])
    for command in ("get", "translate", "export"):
        result = cli(command, "--", text)
        assert result.code == 3
        assert result.out == ""


def test_wildcards_are_there_where_they_are_asked_for(archive: Archive, cli: Cli) -> None:
    load(cli, ">NM_1.2\nACGT\n>NMx1.2\nGG\n>NR_5.1\nTT\n", "refseq")
    lines = cli("export-aliases", "--glob", "NM_*").out.splitlines()[1:]
    assert [line.split("\t")[1] for line in lines] == ["NM_1.2"]
    assert {str(alias) for alias, _ in archive.all_aliases(pattern="N?_*")} == {
        "refseq:NM_1.2",
        "refseq:NR_5.1",
    }


def test_a_name_of_two_sequences_is_ambiguous_and_lists_them(archive: Archive, cli: Cli) -> None:
    load(cli, ">1\nACGT\n>same\nTTTT\n", "GRCh37")
    load(cli, ">1\nGGGG\n>same\nTTTT\n", "GRCh38")
    with pytest.raises(Ambiguous) as caught:
        archive.find("1")
    assert isinstance(caught.value, KeyError)
    assert set(caught.value.candidates) == {"GRCh37:1", "GRCh38:1"}
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.candidates) == (str(caught.value), caught.value.candidates)
    for look_up in (archive.fetch, archive.translate, archive.metadata, archive.__getitem__):
        with pytest.raises(Ambiguous):
            look_up("1")
    assert "1" in archive
    result = cli("get", "1")
    assert result.code == 3
    assert "GRCh37:1" in result.err
    assert "GRCh38:1" in result.err
    assert cli("get", "1:0-2").code == 3
    assert cli("get", "grch37:1", "grch38:1", "same").out == "ACGT\nGGGG\nTTTT\n"


def test_an_alias_that_is_the_digest_of_another_sequence_is_ambiguous(
    archive: Archive, cli: Cli
) -> None:
    md5 = digests("ACGT")["md5"]
    load(cli, f">real\nACGT\n>{md5}\nGGGG\n")
    with pytest.raises(Ambiguous) as caught:
        archive.find(md5)
    assert len(caught.value.candidates) == 2
    assert archive.fetch(f"md5:{md5}") == "ACGT"
    assert archive.fetch(f"t:{md5}") == "GGGG"


def test_a_key_needs_a_namespace_to_be_set_but_not_to_be_found(archive: Archive) -> None:
    archive["t:a"] = "ACGT"
    assert archive["a"] == "ACGT"
    for key in ("a", "b", "SQ.aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw2"):
        with pytest.raises(BadName):
            archive[key] = "GGGG"
    assert archive.store("GGGG", ["t:b", seqarchive.identifiers.Alias("u", "c")])
    assert names(archive) == {"t:a", "t:b", "u:c"}
    with pytest.raises(BadName):
        archive.store("GGGG", [])
    with pytest.raises(BadInput):
        archive.store("GG1G", ["t:d"])


# --- circular molecules -----------------------------------------------------------------------


def test_a_record_can_be_said_to_be_circular(archive: Archive, cli: Cli) -> None:
    text = ">ref|NC_1.1| plasmid\nACGTTT\n>line\nACGTTA\n"
    result = cli(
        "--json", "load", "-n", "t", "--circular", "ref|NC_1.1|", "--circular", "none", "-",
        stdin=text.encode(),
    )  # fmt: skip
    report = json.loads(result.out)
    assert (report["circular"], report["unused_circular"]) == (1, ["none"])
    assert "--circular none: no record of that name" in result.err
    assert cli("get", "refseq:NC_1.1:4-2").out == "TTAC\n"
    assert cli("get", "line:4-2").code == 5


# --- export and load --------------------------------------------------------------------------


@pytest.fixture
def full(archive: Archive, cli: Cli, data: Path) -> Archive:
    """Real and odd names in many namespaces; sequences that are empty, long, named often."""
    load(cli, "".join(f">{name} text\n{'ACGT' * (n + 1)}\n" for n, name in enumerate(ODD)), "Odd")
    load(cli, ">empty\n>other-empty x\n>long\n" + "ACGTT" * 400_000 + "\n>long2\nGG\n", "MyLab")
    load(cli, ">same\nGG\n>1\nMKV*\n>2\nMK-V\n", "grch38")
    for name, namespace in (
        ("transcripts/human_genes_20.bgzf.fasta.gz", "refseq"),
        ("gb_embl/emboss_gbinv1.gb", "insdc"),
        ("nucl/sarscov2_40_genomes_iupac.fasta.gz", "gisaid"),
        ("gb_embl/emboss_swissprot_100.dat", "uniprot"),
    ):
        archive.load(data / name, namespace)
    return archive


def everything(archive: Archive) -> dict[str, str]:
    return {str(alias): str(digest) for alias, digest in archive.all_aliases()}


@pytest.mark.parametrize("namespace", ["Odd", "something-else", "GRCh38"])
def test_an_export_loads_as_the_same_archive_whatever_the_namespace(
    full: Archive, cli: Cli, tmp_path: Path, namespace: str
) -> None:
    exported = cli("export")
    assert exported.code == 0
    assert exported.out.count(">ga4gh:SQ.") == len(full)
    copy = tmp_path / "copy"
    result = cli(
        "load", "-n", namespace, "-", "--root", str(copy), stdin=exported.out.encode("utf-8")
    )
    assert result.code == 0, result.err
    with connect(copy) as other:
        assert list(other) == list(full)
        assert everything(other) == everything(full)
        for one, two in zip(full.sequences(), other.sequences(), strict=True):
            assert str(one) == str(two)
        assert set(other.status()["namespaces"]) == set(full.status()["namespaces"])
    again = cli("--root", str(copy), "export")
    assert again.out == exported.out


def test_an_export_of_some_has_all_their_names(full: Archive, cli: Cli, tmp_path: Path) -> None:
    exported = cli("export", "Odd:a#b", "GRCh38:same", "MyLab:long2", "refseq:NM_000465.3")
    assert exported.out.count(">") == 3  # two are one
    deflines = [line for line in exported.out.splitlines() if line.startswith(">")]
    assert deflines[1] == f">ga4gh:SQ.{digests('GG')['sha512t24u']} GRCh38:same MyLab:long2"
    copy = tmp_path / "copy"
    result = cli("load", "-n", "x", "-", "--root", str(copy), stdin=exported.out.encode())
    assert result.code == 0
    with connect(copy) as other:
        expected = {
            name: digest
            for name, digest in everything(full).items()
            if digest in set(everything(other).values())
        }
        assert everything(other) == expected


@pytest.mark.parametrize("what", ["a short one", "a long one", "the digest", "the last is empty"])
def test_a_tampered_export_is_refused(
    archive: Archive, cli: Cli, tmp_path: Path, what: str
) -> None:
    load(cli, ">a\nACGT\n>b\n" + "ACGTTGCA" * 300_000 + "\n>c\nGGGG\n")
    text = cli("export").out
    one, other = digests("ACGT")["sha512t24u"], digests("AAAA")["sha512t24u"]
    tampered, record = {
        "a short one": (text.replace("\nACGT\n", "\nACCT\n"), "a"),
        "a long one": (text.replace("GCA\n", "GCC\n", 1), "b"),
        "the digest": (text.replace(one, other), "a"),
        "the last is empty": (text.replace("\nGGGG\n", "\n"), "c"),
    }[what]
    assert tampered != text
    (line,) = [n for n, words in enumerate(text.split("\n"), 1) if words.endswith(f" t:{record}")]

    copy = tmp_path / "copy"
    result = cli("load", "-n", "x", "-", "--root", copy, stdin=tampered.encode())
    assert result.code == 5
    assert f"standard input, line {line}: the record says ga4gh:SQ." in result.err
    assert list(copy.rglob("*.fa.bgz*")) == []

    assert cli("load", "-n", "x", "-", "--root", copy, stdin=text.encode()).code == 0
    with connect(copy) as loaded:
        assert everything(loaded) == everything(archive)


def test_a_tampered_record_is_left_out_when_errors_are_skipped(
    archive: Archive, cli: Cli, tmp_path: Path
) -> None:
    load(cli, ">a\nACGT\n>b\nGGGG\n")
    text = cli("export").out.replace("GGGG", "GGGC").encode()
    options = ("load", "-n", "x", "--on-error", "skip", "--json", "--root", str(tmp_path / "copy"))
    result = cli(*options, "-", stdin=text)
    assert result.code == 0
    assert len(json.loads(result.out)["skipped"]) == 1
    with connect(tmp_path / "copy") as other:
        assert everything(other) == {"t:a": digests("ACGT")["sha512t24u"]}


def test_export_aliases_and_import_aliases_move_every_name(
    full: Archive, cli: Cli, tmp_path: Path
) -> None:
    table = cli("export-aliases")
    assert table.code == 0
    copy = tmp_path / "copy"
    bare = "".join(f">ga4gh:SQ.{sequence.digest}\n{sequence}\n" for sequence in full.sequences())
    assert cli("load", "-n", "x", "-", "--root", str(copy), stdin=bare.encode()).code == 0
    with connect(copy) as other:
        assert everything(other) == {}
        result = cli("import-aliases", "-", "--root", str(copy), stdin=table.out.encode("utf-8"))
        assert result.code == 0, result.err
        assert everything(other) == everything(full)
    assert cli("--root", str(copy), "export-aliases").out == table.out
