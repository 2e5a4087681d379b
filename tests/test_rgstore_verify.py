"""What is wrong in a RefgetStore is found, and what gtars wrote right is right."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Cli
from gtars.refget import RefgetStore
from helpers import sha512t24u, write_fasta
from hypothesis import given
from hypothesis import strategies as st
from servers import serving

from seqarchive import Corrupt, NewerFormat
from seqarchive.rgstore.alphabets import Alphabet, has_clean_padding, pack, unpack
from seqarchive.rgstore.parsing import parse_collection_row, parse_manifest, parse_row
from seqarchive.rgstore.verifying import verify_rgstore
from seqarchive.sources.directory import DirectorySource
from seqarchive.sources.http import HttpSource

_RECORDS = {"chr1": "ACGTTGCA" * 41 + "A", "n": "ACGTN" * 9, "p": "MKVLAAGDEF*"}
_LETTERS = {
    Alphabet.DNA2: "ACGT",
    Alphabet.DNA3: "ACGTNRY",
    Alphabet.DNA_IUPAC: "ACGTNRYSWKMBV",
    Alphabet.PROTEIN: "ACDEFGHIKLMNPQRSTVWY*X-",
}


@pytest.fixture(params=["Encoded", "Raw"])
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A store that gtars wrote, with aliases and FHR."""
    path = write_fasta(tmp_path / "source.fa", _RECORDS)
    made = RefgetStore.on_disk(str(tmp_path / "store"))
    if request.param == "Raw":
        made.disable_encoding()
    made.add_sequence_collection_from_fasta(str(path), collection_alias="my:one")
    made.add_sequence_alias("t", "first", sha512t24u(_RECORDS["chr1"]))
    return tmp_path / "store"


def _found(store: Path, *, full: bool = True) -> list[str]:
    return [str(one) for one in verify_rgstore(DirectorySource(store), full=full).findings]


def _one(store: Path, pattern: str) -> Path:
    return sorted(store.glob(pattern))[0]


def _replace(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


# --- what is right ----------------------------------------------------------------------------


@pytest.mark.parametrize("full", [False, True])
def test_what_gtars_wrote_is_right(store: Path, full: bool) -> None:
    (store / ".rgstore.lock").unlink(missing_ok=True)
    assert _found(store, full=full) == []


def test_a_store_is_looked_at_over_http(store: Path, tmp_path: Path) -> None:
    with serving(store) as server:
        report = verify_rgstore(HttpSource(server.url), full=True)
        assert (report.findings, report.sequences, report.collections) == ([], 3, 1)
        payload = _one(store, "sequences/*/*.seq")
        payload.write_bytes(b"\xff" + payload.read_bytes()[1:])
        (finding,) = verify_rgstore(HttpSource(server.url), full=True).findings
        assert finding.path == payload.relative_to(store).as_posix()


@given(st.sampled_from(list(_LETTERS)), st.data())
def test_what_is_packed_is_unpacked(alphabet: Alphabet, data: st.DataObject) -> None:
    text = data.draw(st.text(st.sampled_from(_LETTERS[alphabet]), max_size=90)).encode()
    payload = pack(text, alphabet)
    assert unpack(payload, len(text), alphabet) == text
    assert has_clean_padding(payload, len(text), alphabet)


def test_what_gtars_corrupts_is_found(tmp_path: Path) -> None:
    path = write_fasta(tmp_path / "s.fa", {"d": "ACGTRYSWKMBDHVN", "u": "ACGU", "seleno": "MEUB"})
    RefgetStore.on_disk(str(tmp_path / "store")).add_sequence_collection_from_fasta(str(path))
    wrong = {
        Path(one.path).stem
        for one in verify_rgstore(DirectorySource(tmp_path / "store"), full=True).findings
    }
    # D and H are in the bits, and only unpacked wrongly by gtars; U and B are lost.
    assert wrong == {sha512t24u("ACGU"), sha512t24u("MEUB")}


# --- what is wrong ----------------------------------------------------------------------------

_Damage = Callable[[Path], None]


def _in_manifest(**changes: object) -> _Damage:
    def damage(store: Path) -> None:
        path = store / "rgstore.json"
        document = json.loads(path.read_bytes()) | changes
        path.write_text(json.dumps(document))

    return damage


def _line(pattern: str, edit: Callable[[list[str]], list[str]]) -> _Damage:
    def damage(store: Path) -> None:
        path = _one(store, pattern)
        path.write_text("\n".join(edit(path.read_text().split("\n"))))

    return damage


def _flip(pattern: str, at: int) -> _Damage:
    def damage(store: Path) -> None:
        path = _one(store, pattern)
        data = bytearray(path.read_bytes())
        data[at] ^= 1
        path.write_bytes(data)

    return damage


_DAMAGES: dict[str, tuple[_Damage, str]] = {
    "sequences digest": (_in_manifest(sequences_digest="0" * 64), "sequences_digest"),
    "collections digest": (_in_manifest(collections_digest="0" * 64), "collections_digest"),
    "aliases digest": (_in_manifest(aliases_digest="0" * 64), "aliases_digest"),
    "logical bytes": (_in_manifest(logical_sequence_bytes=5), "logical_sequence_bytes"),
    "mode": (_in_manifest(mode="Zstd"), "mode"),
    "template outside": (_in_manifest(seqdata_path_template="../%s"), "path"),
    "template absolute": (_in_manifest(seqdata_path_template="/etc/%s"), "path"),
    "template for all": (_in_manifest(seqdata_path_template="one.seq"), "tell"),
    "namespace outside": (_in_manifest(sequence_alias_namespaces=["../x"]), "namespace"),
    "alias file missing": (_in_manifest(sequence_alias_namespaces=["t", "u"]), "missing"),
    "index missing": (lambda store: (store / "sequences.rgsi").unlink(), "missing"),
    "row twice": (_line("sequences.rgsi", lambda rows: [*rows[:2], *rows[1:]]), "twice"),
    "rows in another order": (
        _line("sequences.rgsi", lambda rows: [rows[0], rows[2], rows[1], *rows[3:]]), "sorted",
    ),
    "row of seven cells": (
        _line("sequences.rgsi", lambda rows: [rows[0], rows[1] + "\tx", *rows[2:]]), "7 cells",
    ),
    "row lost": (
        _line("sequences.rgsi", lambda rows: [rows[0], *rows[2:]]), "not in the index",
    ),
    "alphabet": (
        _line("collections/*", lambda rows: [row.replace("dna2bit", "dna3bit") for row in rows]),
        "something else",
    ),
    "renamed": (
        _line("collections/*", lambda rows: [row.replace("chr1", "chr2") for row in rows]),
        "names_digest",
    ),
    "members swapped": (
        _line("collections/*", lambda rows: [*rows[:-3], rows[-2], rows[-3], rows[-1]]),
        "seqcol_digest",
    ),
    "member lost": (_line("collections/*", lambda rows: [*rows[:-2], ""]), "members"),
    "header": (
        _line("collections/*", lambda rows: [
            row[:-32] + row[-32:][::-1] if row.startswith("##lengths") else row for row in rows
        ]),
        "lengths_digest",
    ),
    "collection missing": (lambda store: _one(store, "collections/*").unlink(), "missing"),
    "payload flipped": (_flip("sequences/*/*.seq", 0), "residues"),
    "payload missing": (lambda store: _one(store, "sequences/*/*.seq").unlink(), "missing"),
    "payload truncated": (
        lambda store: os.truncate(_one(store, "sequences/*/*.seq"), 3), "3 bytes instead",
    ),
    "payload longer": (
        lambda store: _append(_one(store, "sequences/*/*.seq"), b"\0"), "more than",
    ),
    "payload a link": (
        lambda store: _link(_one(store, "sequences/*/*.seq")), "nothing that belongs here",
    ),
    "alias to nothing": (
        lambda store: _append(_one(store, "aliases/sequences/*.tsv"), b"x\t" + b"z" * 32 + b"\n"),
        "names nothing",
    ),
    "foreign file": (lambda store: _append(store / "notes.txt", b"x"), "nothing that belongs"),
    "not UTF-8": (lambda store: _append(store / "sequences.rgsi", b"\xff\n"), "UTF-8"),
    "no line end": (lambda store: _append(store / "sequences.rgsi", b"x"), "does not end"),
    "fhr": (lambda store: _append(_made(store / "fhr") / "x.fhr.json", b"{"), "JSON"),
}  # fmt: skip


def _append(path: Path, data: bytes) -> None:
    with open(path, "ab") as file:
        file.write(data)


def _made(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    return path


def _link(path: Path) -> None:
    data = path.read_bytes()
    path.unlink()
    elsewhere = path.parents[3] / "elsewhere"
    elsewhere.write_bytes(data)
    path.symlink_to(elsewhere)


@pytest.mark.parametrize("name", _DAMAGES)
def test_every_damage_is_found(store: Path, name: str) -> None:
    damage, word = _DAMAGES[name]
    damage(store)
    found = _found(store)
    assert found
    assert any(word in one for one in found), found


def test_each_bit_of_each_payload_counts(store: Path) -> None:
    for path in sorted(store.glob("sequences/*/*.seq")):
        good = path.read_bytes()
        for bit in range(0, len(good) * 8, 31):
            data = bytearray(good)
            data[bit // 8] ^= 128 >> bit % 8
            path.write_bytes(data)
            findings = verify_rgstore(DirectorySource(store), full=True).findings
            assert {one.path for one in findings} == {path.relative_to(store).as_posix()}
        path.write_bytes(good)
    assert _found(store) == []


def test_without_its_payloads_only_their_sizes_are_seen(store: Path) -> None:
    _flip("sequences/*/*.seq", 0)(store)
    assert _found(store, full=False) == []
    os.truncate(_one(store, "sequences/*/*.seq"), 1)
    assert len(_found(store, full=False)) == 1


def test_the_command_says_what_it_found(store: Path, cli: Cli) -> None:
    assert cli("verify-rgstore", store).code == 0
    payload = _one(store, "sequences/*/*.seq")
    payload.unlink()
    done = cli("verify-rgstore", store)
    assert done.code == 6
    assert payload.relative_to(store).as_posix() in done.out
    document = json.loads(cli("--json", "verify-rgstore", store).out)
    assert document["findings"] == [
        {"path": payload.relative_to(store).as_posix(), "what": "missing, or no file"}
    ]
    shutil.rmtree(store)
    assert cli("verify-rgstore", store).code == 3


def test_our_own_exports_are_right(data: Path, root: Path, cli: Cli) -> None:
    assert cli("load", "-n", "t", data / "nucl/sarscov2_40_genomes_iupac.fasta.gz").code == 0
    for mode in ("encoded", "raw"):
        place = root / mode
        assert cli("export-rgstore", "--mode", mode, place).code == 0
        assert cli("verify-rgstore", "--full", place).code == 0


# --- the door ---------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [2, 999_999])
def test_another_version_is_refused_by_name(version: int) -> None:
    with pytest.raises(NewerFormat, match=str(version)):
        parse_manifest(json.dumps({"version": version, "mode": "Raw"}).encode(), "rgstore.json")


@given(st.binary(max_size=200) | st.dictionaries(st.sampled_from(
    ["version", "mode", "seqdata_path_template", "sequence_index", "collection_index"]
), st.none() | st.integers() | st.text(max_size=20) | st.just("Raw") | st.just(1)).map(
    lambda document: json.dumps(document).encode()
))  # fmt: skip
def test_no_manifest_gets_in_that_leads_out(data: bytes) -> None:
    try:
        manifest = parse_manifest(data, "rgstore.json")
    except (Corrupt, NewerFormat):
        return
    digest = sha512t24u("ACGT")
    for path in (manifest.sequence_index, manifest.payload(digest)):
        assert not path.startswith("/")
        assert ".." not in path.split("/")


_CELLS = st.lists(st.text(max_size=40), min_size=4, max_size=8).map("\t".join)


@given(st.text(max_size=200) | _CELLS)
def test_rows_are_right_or_refused(line: str) -> None:
    for parse in (parse_row, parse_collection_row):
        try:
            parsed = parse(line)
        except ValueError:
            continue
        assert len(parsed.digest) == 32
        assert "/" not in parsed.digest


def test_lengths_are_bounded() -> None:
    digest, md5 = sha512t24u("ACGT"), hashlib.md5(b"ACGT").hexdigest()
    assert parse_row(f"a\t4\tdna2bit\t{digest}\t{md5}\t").length == 4
    for length in ("-1", "1e9", "18446744073709551615", "4.0", "", "٤"):
        with pytest.raises(ValueError, match="length"):
            parse_row(f"a\t{length}\tdna2bit\t{digest}\t{md5}\t")
