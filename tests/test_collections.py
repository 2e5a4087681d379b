"""Files are collections: their digests are those of the standard, whatever way they came."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import random
import sqlite3
from contextlib import closing
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli
from gtars.refget import digest_fasta
from helpers import fasta, parse_fasta, sha512t24u, write_fasta
from hypothesis import given
from hypothesis import strategies as st
from refget.utils import compare_seqcols

import seqarchive
from seqarchive import BadInput, BadName, NotFound
from seqarchive.instances import Instance
from seqarchive.seqcol.comparing import compare, in_words, parse_level2
from seqarchive.seqcol.digests import Member, digests_of, level2
from seqarchive.seqcol.of_files import members_of_file
from seqarchive.verifying import verify
from seqarchive.writing import initialise

#: What the refget package publishes for its test files.
_PUBLISHED = {
    "base.fa": "XZlrcEGi6mlopZ2uD8ObHkQB1d0oDwKk",
    "different_names.fa": "QvT5tAQ0B8Vkxd-qFftlzEk2QyfPtgOv",
    "different_order.fa": "Tpdsg75D4GKCGEHtIiDSL9Zx-DSuX5V8",
    "pair_swap.fa": "UNGAdNDmBbQbHihecPPFxwTydTcdFKxL",
    "subset.fa": "sv7GIP1K0qcskIKF3iaBmQpaum21vH74",
    "swap_wo_coords.fa": "aVzHaGFlUDUNF2IEmNdzS_A8lCY0stQH",
}

#: What gtars 0.10.0 says of odd files.
_EDGES = {
    ">a\n>b\nACGT\n": "npnVbpYcV4NRrXH67g7vwLl-yLa_jRQM",
    ">a x\nACGT\n>b y\nACGT\n": "ruPzHhgrn8WXWuLVfbjKtOPEyGuACPN9",
    ">a\nACGT\n>a\nGGGG\n": "kgxJJjGPumXB4fkmYw6uq9lwwJ6j4Zcv",
    ">chré\nACGT\n": "ooVkKz_J3VocIMmST61CE1aSpj0wOWhg",
    '>a"b\\c\nACGT\n': "wKQeNfQgnthOhKu03D1xZ4o2pWksd-Dd",
    ">🧬\nACGT\n": "ueeLi2yZmBJ5ZWUk9jWXD_j9p-l_97Gw",
    ">a\nacgt\n": "zdB2xQ24JkRo3tFdh6ItZ4Ea-8i2B76O",
    ">a\r\nAC\r\nGT\r\n": "zdB2xQ24JkRo3tFdh6ItZ4Ea-8i2B76O",
    ">a/b\nACGT\n": "t7Iqcmw9ICM7vMPzUIzUOA1j3u44IKlH",
}


@pytest.fixture
def refget_files(data: Path) -> Path:
    """The directory of refget's test files."""
    return data / "edge" / "refget_test_fasta"


def _canonical(value: Any) -> str:
    """The digest of a value, by the rules of the standard, written down once more."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    raw = hashlib.sha512(text.encode("utf-8")).digest()[:24]
    return base64.urlsafe_b64encode(raw).decode("ascii")


def _expected(members: list[tuple[str, int, str]]) -> dict[str, str]:
    """Level 0 and 1 of a collection."""
    names, lengths = [name for name, _, _ in members], [length for _, length, _ in members]
    sequences = [f"SQ.{digest}" for _, _, digest in members]
    pairs = [{"length": length, "name": name} for name, length, _ in members]
    found = {
        "names": _canonical(names),
        "lengths": _canonical(lengths),
        "sequences": _canonical(sequences),
        "name_length_pairs": _canonical(pairs),
        "sorted_name_length_pairs": _canonical(sorted(map(_canonical, pairs))),
        "sorted_sequences": _canonical(sorted(sequences)),
    }
    top = _canonical({"names": found["names"], "sequences": found["sequences"]})
    return {"digest": top, **found}


# --- digests ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", _PUBLISHED)
def test_published_digests(refget_files: Path, name: str) -> None:
    assert digests_of(members_of_file(str(refget_files / name))).digest == _PUBLISHED[name]


@pytest.mark.parametrize("text", _EDGES, ids=range(len(_EDGES)))
def test_odd_files_have_the_digests_that_gtars_gives_them(tmp_path: Path, text: str) -> None:
    path = tmp_path / "odd.fa"
    path.write_text(text, newline="", encoding="utf-8")
    assert digests_of(members_of_file(str(path))).digest == _EDGES[text]


@pytest.mark.parametrize(
    "path",
    [
        "nucl/yeast_R64_ncbi_softmasked.fa.gz",
        "nucl/hg18_chrM_chr20first1M_softmasked.fasta",
        "edge/crlf_issue_141.fasta",
        "prot/Saccharomyces_cerevisiae.R64-1-1.pep.all.fa.gz",
    ],
)
def test_real_files_have_the_digests_of_gtars(data: Path, path: str) -> None:
    theirs = digest_fasta(str(data / path))
    ours = digests_of(members_of_file(str(data / path)))
    assert ours.digest == theirs.digest
    assert (ours.names, ours.lengths, ours.sequences) == (
        theirs.lvl1.names_digest,
        theirs.lvl1.lengths_digest,
        theirs.lvl1.sequences_digest,
    )


_MEMBERS = st.lists(
    st.tuples(
        st.text(st.characters(exclude_categories=["Cs", "Z"]), min_size=1, max_size=12),
        st.integers(0, 1 << 40),
        st.binary(max_size=4).map(lambda seed: sha512t24u(seed.hex())),
    ),
    max_size=30,
)


@given(_MEMBERS)
def test_digests_are_those_of_the_standard(members: list[tuple[str, int, str]]) -> None:
    found = digests_of([Member(*member) for member in members])  # type: ignore[arg-type]
    assert found._asdict() == _expected(members)


def test_large_collections_are_sorted_as_small_ones_are() -> None:
    source = random.Random(3)
    members = [
        (f"tx{n}", source.randrange(10_000), sha512t24u(str(source.randrange(60_000))))
        for n in range(70_000)
    ]
    found = digests_of([Member(*member) for member in members])  # type: ignore[arg-type]
    assert found._asdict() == _expected(members)


# --- in an archive ----------------------------------------------------------------------------


def _load(cli: Cli, *arguments: str | Path) -> list[dict[str, Any]]:
    done = cli("--json", "load", "-n", "t", *arguments)
    assert done.code == 0, done
    files: list[dict[str, Any]] = json.loads(done.out)["files"]
    return files


def test_every_file_is_a_collection_and_the_same_one_once(
    root: Path, cli: Cli, refget_files: Path
) -> None:
    paths = [refget_files / name for name in _PUBLISHED]
    for _ in range(2):  # the second time it is known by its SHA-256
        files = _load(cli, "--on-conflict", "keep", *paths)
        assert [file["collection"] for file in files] == list(_PUBLISHED.values())
    with seqarchive.connect(root) as archive:
        found = archive.collections()
        assert [one.digest for one in found] == list(_PUBLISHED.values())
        for one, path in zip(found, paths, strict=True):
            members = [
                (name, len(residues), sha512t24u(residues))
                for name, residues in parse_fasta(path.read_text())
            ]
            assert list(one.members()) == members
            assert {"digest": one.digest, **one.level1()} == _expected(members)
            assert (len(one), one.n_residues) == (len(members), sum(m[1] for m in members))
            assert one.metadata()["sources"] == [str(path)] * 2
    assert verify(Instance(root), full=True).findings == []


def test_wrapping_case_compression_and_descriptions_are_no_part_of_it(
    root: Path, tmp_path: Path, cli: Cli
) -> None:
    records = {"a one": "ACGTACGT" * 30, "b": "GGGTTT" * 50}
    first = write_fasta(tmp_path / "1.fa", records)
    lower = {"a another": records["a one"].lower(), "b": records["b"].lower()}
    second = write_fasta(tmp_path / "2.fa", lower, width=7)
    third = tmp_path / "3.fa.gz"
    third.write_bytes(gzip.compress(first.read_bytes()))
    files = _load(cli, first) + _load(cli, second, third)
    assert len({file["collection"] for file in files}) == 1
    with seqarchive.connect(root) as archive:
        (one,) = archive.collections()
        assert [record.defline for record in one.records()] == list(records)  # of the first
        assert one.metadata()["sources"] == [str(first), str(second), str(third)]


def test_a_long_record_and_an_empty_one_are_members(root: Path, tmp_path: Path, cli: Cli) -> None:
    text = "GATTACAT" * 400_000
    path = write_fasta(tmp_path / "long.fa", [("long x", text), ("none", ""), ("short", "ACGT")])
    (file,) = _load(cli, path)
    members = [("long", len(text), sha512t24u(text)), ("none", 0, sha512t24u(""))]
    members.append(("short", 4, sha512t24u("ACGT")))
    assert file["collection"] == _expected(members)["digest"]
    assert cli("collection", "digest", path).out.split()[0] == file["collection"]


def test_a_file_of_which_records_were_left_out_is_none(
    root: Path, tmp_path: Path, cli: Cli
) -> None:
    path = tmp_path / "bad.fa"
    path.write_text(">a\nACGT\n>b\nAC1GT\n>c\nGGGG\n")
    (file,) = _load(cli, "--on-error", "skip", path)
    assert file["collection"] is None
    with seqarchive.connect(root) as archive:
        assert archive.collections() == []
    # Mended, it is one.
    path.write_text(">a\nACGT\n>b\nACGT\n>c\nGGGG\n")
    assert _load(cli, path)[0]["collection"] is not None


def test_flat_files_are_collections_too(data: Path, root: Path, cli: Cli) -> None:
    (file,) = _load(cli, data / "gb_embl" / "emboss_swissprot_100.dat")
    with seqarchive.connect(root) as archive:
        (one,) = archive.collections()
        assert one.digest == file["collection"]
        assert len(one) == 100
        assert {"digest": one.digest, **one.level1()} == _expected(list(one.members()))


def test_what_was_stored_without_a_file_is_no_collection(root: Path) -> None:
    with seqarchive.Archive.of(_initialised(root)) as archive:
        archive["t:x"] = "ACGT"
        assert archive.collections() == []


def _initialised(root: Path) -> Instance:
    initialise(Instance(root))
    return Instance(root)


def test_they_are_found_by_their_attributes(root: Path, cli: Cli, refget_files: Path) -> None:
    _load(cli, "--on-conflict", "keep", *(refget_files / name for name in _PUBLISHED))
    with seqarchive.connect(root) as archive:
        base = archive.collection(_PUBLISHED["base.fa"])
        same = archive.collections(sequences=base.digests.sequences)
        texts = {
            name: [residues for _, residues in parse_fasta((refget_files / name).read_text())]
            for name in _PUBLISHED
        }
        assert {one.digest for one in same} == {
            _PUBLISHED[name] for name in texts if texts[name] == texts["base.fa"]
        }
        (only,) = archive.collections(
            names=base.digests.names, sequences=base.digests.sequences
        )
        assert only.digest == base.digest
        with pytest.raises(BadName, match="no attribute"):
            archive.collections(colour="x" * 32)
        for wrong in ("", "x" * 31, _PUBLISHED["base.fa"][::-1]):
            with pytest.raises(NotFound):
                archive.collection(wrong)
    found = cli("--json", "collection", "list", "--filter", f"lengths={base.digests.lengths}")
    rows = [json.loads(line) for line in found.out.splitlines()]
    assert _PUBLISHED["base.fa"] in {row["digest"] for row in rows}
    assert cli("collection", "list", "--filter", "names").code == 2
    assert cli("collection", "list", "--filter", "names=x").code == 5


def test_levels_are_those_of_the_standard(root: Path, cli: Cli, refget_files: Path) -> None:
    _load(cli, refget_files / "base.fa")
    digest = _PUBLISHED["base.fa"]
    published = json.loads((refget_files / "test_fasta_digests.json").read_text())["base.fa"]
    assert cli("collection", "show", digest, "--level", "0").out == digest + "\n"
    assert json.loads(cli("collection", "show", digest, "--level", "1").out) == published["level1"]
    assert json.loads(cli("collection", "show", digest, "--level", "2").out) == published["level2"]
    assert cli("collection", "show", "z" * 32).code == 3


def test_they_are_seen_as_of_their_batch_and_in_snapshots(
    root: Path, cli: Cli, refget_files: Path
) -> None:
    _load(cli, refget_files / "base.fa")
    assert cli("snapshot", "r1").code == 0
    _load(cli, refget_files / "different_names.fa")
    for instance, at, names in (
        ("master", None, ["base.fa", "different_names.fa"]),
        ("master", 1, ["base.fa"]),
        ("r1", None, ["base.fa"]),
    ):
        with seqarchive.connect(root, instance, at=at) as archive:
            found = [one.digest for one in archive.collections()]
            assert found == [_PUBLISHED[name] for name in names]


def test_what_is_reclaimed_takes_its_collections_along(
    root: Path, tmp_path: Path, cli: Cli
) -> None:
    kept = write_fasta(tmp_path / "kept.fa", {"a": "ACGT", "b": "GGGG"})
    gone = write_fasta(tmp_path / "gone.fa", {"c": "ACGT", "d": "TTTTT"})
    _load(cli, kept)
    _load(cli, gone)
    assert cli("revert", "2").code == 0
    assert cli("repair", "--reclaim").code == 0
    with seqarchive.connect(root) as archive:
        (one,) = archive.collections()
        assert [member.name for member in one.members()] == ["a", "b"]
    assert verify(Instance(root), full=True).findings == []
    (file,) = _load(cli, gone)
    assert file["collection"] is not None
    with seqarchive.connect(root) as archive:
        assert len(archive.collections()) == 2


def test_export_gives_the_file_back(root: Path, tmp_path: Path, cli: Cli) -> None:
    text = fasta([("b two words", "GGGTTT" * 33), ("a", "ACGTACGT" * 30), ("c  x", "ACGT")])
    path = tmp_path / "file.fa"
    path.write_text(text)
    (file,) = _load(cli, path)
    assert cli("export", "--collection", file["collection"]).out == text
    assert cli("export", "--collection", "z" * 32).code == 3
    assert cli("export", "--collection", file["collection"], "t:a").code == 2


# --- comparison -------------------------------------------------------------------------------


def test_the_comparison_of_all_pairs_is_that_of_refget(refget_files: Path) -> None:
    found = {name: level2(members_of_file(str(refget_files / name))) for name in _PUBLISHED}
    pairs = list(combinations(found, 2))
    assert len(pairs) == 15
    for a, b in pairs:
        theirs = compare_seqcols(dict(found[a]), dict(found[b]))
        ours = compare(found[a], found[b])
        assert ours["attributes"] == theirs["attributes"]
        assert ours["array_elements"] == theirs["array_elements"]


_SMALL = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from([4, 5])).map(
        lambda pair: Member(pair[0], pair[1], sha512t24u("A" * pair[1]))  # type: ignore[arg-type]
    ),
    max_size=6,
    unique_by=lambda member: member.name,
)


@given(_SMALL, _SMALL)
def test_names_are_compared_as_refget_compares_them(a: list[Member], b: list[Member]) -> None:
    # Where elements repeat, refget counts what repeats unequally; names are unique here.
    ours, theirs = compare(level2(a), level2(b)), compare_seqcols(dict(level2(a)), dict(level2(b)))
    for key in ("a_and_b_count", "a_and_b_same_order"):
        for attribute in ("names", "name_length_pairs"):
            assert ours["array_elements"][key][attribute] == (
                theirs["array_elements"][key][attribute]
            )


@given(_SMALL, _SMALL)
def test_words_are_found_for_every_pair(a: list[Member], b: list[Member]) -> None:
    verdict = in_words(level2(a), level2(b))[0]
    assert (verdict == "the same collection") == (a == b)
    if sorted(a) == sorted(b) and a != b:
        assert verdict == "the same sequences under the same names, in another order"


@pytest.mark.parametrize(
    ("other", "verdict"),
    [
        ("base.fa", "the same collection"),
        ("different_names.fa", "the same sequences under other names"),
        ("different_order.fa", "the same sequences under the same names, in another order"),
        ("subset.fa", "the sequences of B are a part of those of A, under the same names"),
    ],
)
def test_people_are_told_what_it_means(
    cli: Cli, refget_files: Path, other: str, verdict: str
) -> None:
    done = cli("collection", "compare", refget_files / "base.fa", refget_files / other)
    assert done.code == 0
    assert done.out.splitlines()[2] == verdict


def test_archived_files_and_json_are_compared(
    root: Path, tmp_path: Path, cli: Cli, refget_files: Path
) -> None:
    _load(cli, refget_files / "base.fa")
    digest = _PUBLISHED["base.fa"]
    text = cli("collection", "show", digest, "--level", "2").out
    written = tmp_path / "level2.json"
    written.write_text(text)
    for other in (digest, str(written), str(refget_files / "base.fa")):
        found = json.loads(cli("--json", "collection", "compare", digest, other).out)
        assert found["digests"] == {"a": digest, "b": digest}
        assert set(found["array_elements"]["a_and_b_same_order"].values()) <= {True, None}
    assert cli("collection", "compare", digest, "nothing").code == 3


@pytest.mark.parametrize(
    "text",
    [
        "{", "[]", "{}", '{"names": 5}', '{"names": [], "lengths": []}',
        '{"names": ["a"], "lengths": [], "sequences": []}',
        '{"names": [1], "lengths": [1], "sequences": ["x"]}',
        '{"names": ["a"], "lengths": [true], "sequences": ["x"]}',
        '{"names": ["a"], "lengths": [-1], "sequences": ["x"]}',
        "[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_collection_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"some\.json"):
        parse_level2(text.encode(), "some.json")


def test_a_damaged_digest_of_a_collection_is_found(root: Path, tmp_path: Path, cli: Cli) -> None:
    _load(cli, write_fasta(tmp_path / "a.fa", {"a": "ACGT", "b": "GGGG"}))
    with closing(sqlite3.connect(root / "master" / "aliases.sqlite3")) as connection, connection:
        connection.execute("UPDATE collections SET lengths = zeroblob(24)")
    found = cli("verify", "--full")
    assert found.code == 6
    assert "collection" in found.out
