"""What gtars 0.10.0 and refget say of small files, byte by byte: digests, comparisons, payloads and
a whole store (``tests/data/refgetstore/vectors.json``)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli

import seqarchive
from seqarchive import DigestMismatch
from seqarchive.identifiers import Digest, digest_of
from seqarchive.letters import letters_of
from seqarchive.rgstore.alphabets import Alphabet, alphabet_of, labelled, pack
from seqarchive.seqcol.comparing import compare
from seqarchive.seqcol.digests import CollectionHasher, Member, canonical_json, digests_of, level2

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parent / "data" / "refgetstore" / "vectors.json").read_text("utf-8")
)


def members_of(arrays: dict[str, list[Any]]) -> list[Member]:
    columns = (arrays["names"], arrays["lengths"], arrays["sequences"])
    return [
        Member(name, length, Digest(sequence.removeprefix("SQ.")))
        for name, length, sequence in zip(*columns, strict=True)
    ]


# --- digests ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VECTORS["files"])
def test_digests_and_arrays_of_the_files_of_refget(name: str) -> None:
    file = VECTORS["files"][name]
    members = [
        Member(one["name"], one["length"], Digest(one["sha512t24u"])) for one in file["sequences"]
    ]
    found = digests_of(members)
    assert found.digest == file["digest"]
    assert found.level1() == file["level1"]
    arrays = level2(members)
    assert {key: arrays[key] for key in file["level2"]} == file["level2"]
    for key, text in file["canonical"].items():
        if key in arrays:
            assert canonical_json(arrays[key]).decode() == text
    level0 = {"names": found.names, "sequences": found.sequences}
    assert canonical_json(level0).decode() == file["canonical"]["level0_input"]
    for one in file["sequences"]:
        assert digest_of(one["sequence"].encode()) == one["sha512t24u"]


@pytest.mark.parametrize("pair", VECTORS["compare"])
def test_comparisons_of_all_pairs(pair: str) -> None:
    expected = VECTORS["compare"][pair]
    (one, first), (other, second) = (
        (level2(members_of(VECTORS["files"][name]["level2"])), VECTORS["files"][name]["digest"])
        for name in pair.split("|")
    )
    found = compare(one, other, digest_a=first, digest_b=second, strict=True)
    assert found["digests"] == expected["digests"]
    # gtars compares the transient attribute too, which the standard does not.
    transient = "sorted_name_length_pairs"
    for key, names in expected["attributes"].items():
        assert found["attributes"][key] == sorted(set(names) - {transient})
    for key, by_name in expected["array_elements"].items():
        assert found["array_elements"][key] == {
            name: value for name, value in by_name.items() if name != transient
        }


@pytest.mark.parametrize("case", VECTORS["collections_edge"], ids=lambda case: case["label"])
def test_digests_of_odd_collections(case: dict[str, Any], root: Path, cli: Cli) -> None:
    hasher = CollectionHasher()
    for member in members_of(case["level2"]):
        hasher.add(*member)
    found = hasher.digests()
    assert (found.digest, found.level1()) == (case["digest"], case["level1"])
    file = root.parent / "x.fa"
    file.write_bytes(case["fasta"].encode())
    done = cli("collection", "digest", str(file))
    if case["fasta"]:
        assert done.out.split()[0] == case["digest"]
    else:
        assert done.code == 5  # a file without records is a mistake


@pytest.mark.parametrize("text", VECTORS["digest_functions"])
def test_digests_of_bytes(text: str) -> None:
    expected = VECTORS["digest_functions"][text]
    assert digest_of(text.encode()) == expected["sha512t24u"]
    assert hashlib.md5(text.encode()).hexdigest() == expected["md5"]


# --- payloads -----------------------------------------------------------------------------------


def _store_of(directory: Path, case: dict[str, Any]) -> Path:
    """A store with one sequence and nothing else."""
    digest = case["sha512t24u"]
    path = directory / "sequences" / digest[:2] / f"{digest}.seq"
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes.fromhex(case["payload_hex"]))
    row = f"x\t{case['length']}\t{case['alphabet']}\t{digest}\t{case['md5']}\t\n"
    (directory / "sequences.rgsi").write_text(row)
    (directory / "collections.rgci").write_text("")
    base = json.loads(VECTORS["store_base_fa"]["rgstore.json"])
    kept = {key: value for key, value in base.items() if "digest" not in key}
    (directory / "rgstore.json").write_text(
        json.dumps(kept | {"mode": case["mode"], "collection_alias_namespaces": []})
    )
    return directory


@pytest.mark.parametrize(
    "case", VECTORS["payloads"], ids=lambda case: f"{case['label']}-{case['mode']}"
)
def test_payloads_of_gtars_are_read_as_what_they_were(case: dict[str, Any], tmp_path: Path) -> None:
    text = case["input"].upper()
    with seqarchive.connect(_store_of(tmp_path / "store", case)) as store:
        if case["label"] == "proteinUB" and case["mode"] == "Encoded":
            with pytest.raises(DigestMismatch, match="gtars"):
                store.fetch(case["sha512t24u"])
            with pytest.raises(DigestMismatch):
                store.fetch(case["sha512t24u"], 0, 2)
            return
        assert store.fetch(case["sha512t24u"]) == text
        assert store.fetch("md5:" + case["md5"]) == text
        for start in range(len(text)):
            for end in range(start, len(text) + 1):
                assert store.fetch(case["sha512t24u"], start, end) == text[start:end]


@pytest.mark.parametrize("case", VECTORS["payloads"], ids=lambda case: case["label"])
def test_payloads_are_written_as_gtars_writes_them_or_where_it_errs_in_8_bits(
    case: dict[str, Any],
) -> None:
    text = case["input"].upper().encode()
    packed = case["mode"] == "Encoded"
    if b"." in text:
        return  # gtars takes it, an archive does not
    label = alphabet_of(letters_of(text), len(text), packed=packed)
    payload = pack(text, label) if packed else text
    if case["lossless"] and case["decode_lossless"] and label is labelled(case["alphabet"]):
        assert payload.hex() == case["payload_hex"]
    else:
        # Lossy in gtars, or one that another mode reads as something else; or with letters that
        # only the Encoded mode of gtars loses.
        assert label is Alphabet.ASCII
        assert payload == text


# --- a whole store ------------------------------------------------------------------------------


def test_a_store_of_gtars_comes_in_and_goes_out_byte_for_byte(
    root: Path, cli: Cli, tmp_path: Path
) -> None:
    given = tmp_path / "given"
    for path, text in VECTORS["store_base_fa"].items():
        file = given / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes.fromhex(text) if path.endswith(".seq") else text.encode())
    assert cli("verify-rgstore", "--full", str(given)).code == 0
    assert cli("import-rgstore", str(given)).code == 0
    assert cli("export-rgstore", str(tmp_path / "out")).code == 0
    for path, text in VECTORS["store_base_fa"].items():
        found = (tmp_path / "out" / path).read_bytes()
        if path == "rgstore.json":
            one, other = json.loads(found), json.loads(text)
            assert list(one) == list(other)
            for document in (one, other):
                del document["created_at"], document["modified"]
            assert one == other
        else:
            assert found == (given / path).read_bytes()
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(written) == len(VECTORS["store_base_fa"])
