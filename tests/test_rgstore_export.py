"""A RefgetStore that is exported is what gtars reads: every byte, every digest, every name."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli
from gtars.refget import RefgetStore
from helpers import parse_fasta, sha512t24u, write_fasta
from hypothesis import given
from hypothesis import strategies as st
from servers import serving_s3

import seqarchive
from seqarchive import SourceError
from seqarchive.durable import WriterLock
from seqarchive.letters import letters_of
from seqarchive.rgstore.alphabets import ALIGNED, Alphabet, alphabet_of, pack
from seqarchive.sources.s3 import S3Source

#: Letters of each label that every version of gtars unpacks unchanged.
_SAFE = {
    "dna2bit": "ACGT",
    "dna3bit": "ACGTNRY",
    "dnaio": "ACGTNRYSWKMBV",
    "protein": "ACDEFGHIKLMNPQRSTVWY*X-",
}

_RECORDS = {
    "dna two words": "ACGTTGCA" * 40,
    "n": "ACGTNNNNRY" * 9 + "A",
    "iupac": "ACGTRYSWKMBV" * 5,
    "iupac_with_d_and_h": "ACGTDH" * 5,
    "rna": "ACGUACGU",
    "protein some\tdescription": "MKVLAAGDEFHIPQRSTWY*",
    "selenoprotein": "MKUBZ",
    "gap": "ACGT--ACGT",
    "one": "A",
    "two": "ME",
    "empty": "",
    "long": "GATTACAN" * 300_000,
}


@pytest.fixture
def filled(root: Path, tmp_path: Path, cli: Cli) -> Path:
    """An archive with two collections that share a sequence, and a loose one."""
    first = write_fasta(tmp_path / "first.fa", _RECORDS)
    second = write_fasta(tmp_path / "second.fa", {"other": "TTTT", "same": _RECORDS["one"]})
    assert cli("load", "-n", "a", first).code == 0
    assert cli("load", "-n", "b", second).code == 0
    with seqarchive.connect(root) as archive:
        archive["lab:loose"] = "CCCC"
    return root


def _export(cli: Cli, *arguments: str | Path) -> dict[str, Any]:
    done = cli("--json", "export-rgstore", *arguments)
    assert done.code == 0, done
    found: dict[str, Any] = json.loads(done.out)
    return found


def _all(store: Path) -> dict[str, str]:
    """Residues by digest, as gtars reads them."""
    opened = RefgetStore.open_local(str(store))
    found = {}
    for one in opened.list_sequences():
        text = opened.get_substring(one.sha512t24u, 0, one.length) if one.length else ""
        assert opened.stream_sequence(one.sha512t24u).read_all() == text
        found[one.sha512t24u] = text
    return found


# --- payloads ---------------------------------------------------------------------------------


@given(st.sampled_from(list(_SAFE)), st.data())
def test_labels_are_given_to_what_comes_back_unchanged(label: str, data: st.DataObject) -> None:
    text = data.draw(st.text(st.sampled_from(_SAFE[label]), min_size=1, max_size=60))
    found = alphabet_of(letters_of(text.encode()), len(text), packed=True)
    allowed = [name for name, letters in _SAFE.items() if set(text) <= set(letters)]
    assert found.label == allowed[0]
    assert len(pack(text.encode(), found)) == -(-len(text) * found.bits // 8)


@given(st.sampled_from([one for one in Alphabet if one is not Alphabet.ASCII]), st.data())
def test_pieces_that_are_aligned_are_packed_as_one(alphabet: Alphabet, data: st.DataObject) -> None:
    letters = st.sampled_from(_SAFE[alphabet.label])
    text = data.draw(st.text(letters, max_size=90)).encode()
    at = data.draw(st.integers(0, 6)) * ALIGNED
    parts = pack(text[:at], alphabet) + pack(text[at:], alphabet)
    assert parts == pack(text, alphabet)
    # By the definition: a stream of bits, the first in the top of the first byte.
    order = {"dna2bit": "TCAG", "dna3bit": "ACGTNRY", "protein": _SAFE["protein"]}
    codes = order.get(alphabet.label, "NACMGRSKTWY.B..V")
    bits = "".join(f"{codes.index(chr(one)):0{alphabet.bits}b}" for one in text)
    expected = [int(bits[n : n + 8].ljust(8, "0"), 2) for n in range(0, len(bits), 8)]
    assert pack(text, alphabet) == bytes(expected)


@pytest.mark.parametrize("mode", ["encoded", "raw"])
def test_gtars_reads_every_sequence_as_it_was(filled: Path, cli: Cli, mode: str) -> None:
    report = _export(cli, "--mode", mode)
    texts = {*_RECORDS.values(), "TTTT", "CCCC"}
    assert _all(filled / "rgstore") == {sha512t24u(text): text for text in texts}
    assert report["sequences"] == len(texts)
    assert report["payloads_written"] == len(texts)
    assert report["as_ascii"] == (2 if mode == "encoded" else 0)
    sizes = sum(path.stat().st_size for path in (filled / "rgstore").rglob("*.seq"))
    assert report["payload_bytes"] == sizes


def test_real_files_come_back_from_gtars(data: Path, root: Path, tmp_path: Path, cli: Cli) -> None:
    for path, namespace in (
        ("nucl/hg18_chrM_chr20first1M_softmasked.fasta", "hg18"),
        ("nucl/sarscov2_40_genomes_iupac.fasta.gz", "sars"),
    ):
        assert cli("load", "-n", namespace, data / path).code == 0
    _export(cli)
    store = RefgetStore.open_local(str(root / "rgstore"))
    source = data / "nucl/hg18_chrM_chr20first1M_softmasked.fasta"
    with seqarchive.connect(root) as archive:
        digest = archive.collections()[0].digest
    store.load_collection(digest)
    store.load_all_sequences()
    store.export_fasta(digest, str(tmp_path / "out.fa"), None, 60)
    ours = [(name.split()[0], text.upper()) for name, text in parse_fasta(source.read_text())]
    theirs = parse_fasta((tmp_path / "out.fa").read_text())
    assert [(name.split()[0], text) for name, text in theirs] == ours


# --- collections and names --------------------------------------------------------------------


def test_a_root_that_is_not_there_is_an_empty_store(root: Path, cli: Cli) -> None:
    done = cli("--json", "export-rgstore")
    assert (done.code, json.loads(done.out)["sequences"]) == (0, 0)
    assert (root / "rgstore" / "rgstore.json").is_file()
    assert cli("load", "-n", "x", "--dry-run", "-", stdin=b">a\nACGT\n").code == 0
    assert cli("--instance", "none", "export-rgstore").code == 3


def test_collections_have_their_digests_at_every_level(filled: Path, cli: Cli) -> None:
    _export(cli)
    store = RefgetStore.open_local(str(filled / "rgstore"))
    with seqarchive.connect(filled) as archive:
        ours = {one.digest: one for one in archive.collections()}
        listed = store.list_collections()["results"]
        assert [one.digest for one in listed] == sorted(ours)
        for digest, one in ours.items():
            assert store.get_collection_level1(digest) == one.level1()
            level2 = store.get_collection_level2(digest)
            for attribute in ("names", "lengths", "sequences"):
                assert level2[attribute] == list(one.level2()[attribute])
            found = store.get_collection(digest)
            assert [record.metadata.name for record in found.sequences] == [
                member.name for member in one.members()
            ]


def test_the_indexes_are_those_that_gtars_writes(
    data: Path, root: Path, tmp_path: Path, cli: Cli
) -> None:
    source = tmp_path / "base.fa"  # gtars leaves an index beside what it imports
    shutil.copyfile(data / "edge" / "refget_test_fasta" / "base.fa", source)
    theirs = RefgetStore.on_disk(str(tmp_path / "theirs"))
    theirs.add_sequence_collection_from_fasta(str(source))
    assert cli("load", "-n", "t", source).code == 0
    _export(cli, tmp_path / "ours")

    def files(directory: Path) -> dict[str, bytes]:
        return {
            path.relative_to(directory).as_posix(): path.read_bytes()
            for path in directory.rglob("*")
            if path.is_file() and path.name[0] != "."
        }

    ours, expected = files(tmp_path / "ours"), files(tmp_path / "theirs")
    aliases = {path for path in ours if path.startswith("aliases/")}
    assert aliases == {"aliases/sequences/t.tsv"}
    documents = [json.loads(found.pop("rgstore.json")) for found in (ours, expected)]
    assert {path: ours[path] for path in ours.keys() - aliases} == expected
    for document in documents:
        assert document.pop("created_at")
        assert document.pop("modified")
    assert documents[0].pop("sequence_alias_namespaces") == ["t"]
    assert documents[0].pop("aliases_digest") == hashlib.sha256(
        ours["aliases/sequences/t.tsv"]
    ).hexdigest()
    assert list(documents[0].items()) == list(documents[1].items())


def test_aliases_are_found_by_gtars(filled: Path, cli: Cli) -> None:
    _export(cli)
    store = RefgetStore.open_local(str(filled / "rgstore"))
    for namespace, name, text in (
        ("a", "dna", _RECORDS["dna two words"]),
        ("b", "same", "A"),
        ("lab", "loose", "CCCC"),
    ):
        found = store.get_sequence_by_alias(namespace, name)
        assert found is not None
        assert found.metadata.sha512t24u == sha512t24u(text)


def test_a_tab_in_a_description_is_a_space(filled: Path, cli: Cli) -> None:
    assert _export(cli)["changed_descriptions"] == 2  # in the list and in the index
    rows = (filled / "rgstore" / "sequences.rgsi").read_text().splitlines()
    assert {row.count("\t") for row in rows} == {5}
    assert any(row.endswith("\tsome description") for row in rows)


def test_names_that_a_store_cannot_have_are_refused_or_left_out(
    root: Path, tmp_path: Path, cli: Cli
) -> None:
    path = write_fasta(tmp_path / "odd.fa", {"#1": "ACGT", "b": "GGGG"})
    assert cli("load", "-n", "t", path).code == 0
    refused = cli("export-rgstore")
    assert refused.code == 5
    assert "#1" in refused.err
    assert not (root / "rgstore" / "rgstore.json").exists()
    report = _export(cli, "--skip-names")
    assert report["collections"] == 0
    assert len(report["left_out"]) == 2  # the collection, and the alias
    assert _all(root / "rgstore").keys() == {sha512t24u("ACGT"), sha512t24u("GGGG")}


# --- again ------------------------------------------------------------------------------------


def test_a_second_export_writes_what_is_new(filled: Path, tmp_path: Path, cli: Cli) -> None:
    first = _export(cli)
    store = filled / "rgstore"
    inodes = {path: path.stat().st_ino for path in store.rglob("*.seq")}
    created = json.loads((store / "rgstore.json").read_bytes())["created_at"]
    assert _export(cli)["payloads_written"] == 0
    path = write_fasta(tmp_path / "third.fa", {"new": "GGGGG", "known": "A"})
    assert cli("load", "-n", "c", path).code == 0
    again = _export(cli)
    assert (again["payloads_written"], again["payloads_there"]) == (1, first["sequences"])
    assert {path: path.stat().st_ino for path in inodes} == inodes
    assert json.loads((store / "rgstore.json").read_bytes())["created_at"] == created
    assert len(_all(store)) == first["sequences"] + 1


def test_one_collection_then_another_then_only_the_first(filled: Path, cli: Cli) -> None:
    with seqarchive.connect(filled) as archive:
        first, second = (one.digest for one in archive.collections())
    store = filled / "rgstore"
    assert _export(cli, "--collection", second)["sequences"] == 2
    assert _export(cli, "--collection", first)["collections"] == 2
    assert sha512t24u("CCCC") not in _all(store)
    report = _export(cli, "--collection", second, "--prune")
    assert (report["collections"], report["sequences"]) == (1, 2)
    assert _all(store).keys() == {sha512t24u("TTTT"), sha512t24u("A")}
    assert len(list(store.rglob("*.seq"))) == 2
    assert [path.stem for path in store.glob("collections/*")] == [second]
    assert cli("export-rgstore", "--collection", "z" * 32).code == 3


def test_a_snapshot_is_exported_as_it_is(filled: Path, tmp_path: Path, cli: Cli) -> None:
    assert cli("snapshot", "r1").code == 0
    with seqarchive.connect(filled) as archive:
        archive["lab:later"] = "GGGGGG"
    _export(cli, "--instance", "r1", tmp_path / "store")
    assert sha512t24u("GGGGGG") not in _all(tmp_path / "store")
    assert sha512t24u("CCCC") in _all(tmp_path / "store")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rgstore.json", "{"),
        ("rgstore.json", '{"version": 2, "mode": "Encoded", "created_at": ""}'),
        ("rgstore.json", '{"version": 1, "mode": "Raw", "created_at": ""}'),
        ("thesis.tex", "years of work"),
    ],
)
def test_what_is_something_else_is_left_alone(
    filled: Path, tmp_path: Path, cli: Cli, name: str, text: str
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (place / name).write_text(text)
    assert cli("export-rgstore", place).code in (4, 10)
    assert [path.name for path in place.iterdir()] == [name]
    assert (place / name).read_text() == text


def test_what_gtars_added_is_not_lost(filled: Path, tmp_path: Path, cli: Cli) -> None:
    _export(cli)
    path = write_fasta(tmp_path / "gtars.fa", {"x": "ACACAC"})
    RefgetStore.on_disk(str(filled / "rgstore")).add_sequence_collection_from_fasta(str(path))
    before = (filled / "rgstore" / "sequences.rgsi").read_bytes()
    refused = cli("export-rgstore")
    assert refused.code == 4
    assert "--prune" in refused.err
    assert (filled / "rgstore" / "sequences.rgsi").read_bytes() == before
    assert cli("load", "-n", "g", path).code == 0
    _export(cli)
    assert sha512t24u("ACACAC") in _all(filled / "rgstore")


def test_damaged_residues_are_not_exported(filled: Path, cli: Cli) -> None:
    shard = max(filled.glob("master/sequences/**/*.fa.bgz"), key=lambda path: path.stat().st_size)
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 16
    shard.chmod(0o644)
    shard.write_bytes(data)
    assert cli("export-rgstore").code == 6
    assert not (filled / "rgstore" / "rgstore.json").exists()


def test_killed_and_started_again_it_is_complete(
    filled: Path, tmp_path: Path, cli: Cli
) -> None:
    path = write_fasta(tmp_path / "many.fa", {f"s{n}": f"ACGT{n:b}".replace("0", "C").replace(
        "1", "G") * 3 for n in range(3_000)})  # fmt: skip
    assert cli("load", "-n", "m", path).code == 0
    store = filled / "rgstore"
    for n_files in (1, 500, 2_000):
        child = subprocess.Popen(
            [sys.executable, "-m", "seqarchive", "--root", str(filled), "export-rgstore"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while child.poll() is None and len(list(store.glob("sequences/*/*.seq"))) < n_files:
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
        child.wait()
    _export(cli)
    with seqarchive.connect(filled) as archive:
        expected = {sequence.digest: str(sequence) for sequence in archive.sequences()}
    assert _all(store) == expected
    assert sorted(path.name for path in store.iterdir()) == [
        "aliases", "collections", "collections.rgci", "rgstore.json", "sequences", "sequences.rgsi",
    ]  # fmt: skip
    assert not [path for path in store.rglob("*") if path.name.startswith(".")]


def test_two_at_once_the_second_is_told(filled: Path, cli: Cli) -> None:
    with WriterLock(filled / ".rgstore.lock"):
        assert cli("export-rgstore").code == 7


# --- into a bucket ------------------------------------------------------------------------------


def _files(directory: Path) -> dict[str, bytes]:
    """All files of a store; the manifest without its times."""
    found = {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }
    manifest = json.loads(found["rgstore.json"])
    del manifest["modified"], manifest["created_at"]
    return {**found, "rgstore.json": json.dumps(manifest).encode()}


@pytest.mark.parametrize("prefix", ["", "/deep/er"])
def test_a_bucket_gets_what_a_directory_gets_and_only_what_is_new(
    filled: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    monkeypatch.setenv("SEQARCHIVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RCLONE_DIR_CACHE_TIME", "1ms")
    with serving_s3(tmp_path / "s3") as bucket:
        for name, value in bucket.environment.items():
            monkeypatch.setenv(name, value)
        address = bucket.url("store") + prefix
        there = Path(f"{tmp_path}/s3/store{prefix}")
        first = _export(cli, address)
        _export(cli, tmp_path / "local")
        assert _files(there) == _files(tmp_path / "local")
        assert first["payloads_written"] == first["sequences"]
        created = json.loads((there / "rgstore.json").read_text())["created_at"]
        with seqarchive.connect(filled) as archive:
            archive["lab:more"] = "GGGGCCCC"
            archive["odd:x"] = "GGGGCCCC"
        again = _export(cli, address)
        assert (again["payloads_written"], again["payloads_there"]) == (1, first["sequences"])
        assert json.loads((there / "rgstore.json").read_text())["created_at"] == created
        _export(cli, tmp_path / "local")
        assert _files(there) == _files(tmp_path / "local")
        assert cli("verify-rgstore", "--full", address).code == 0
        assert cli("alias", "retire", "odd:x").code == 0
        with seqarchive.connect(filled) as archive:
            collection = archive.collections()[1].digest
        pruned = _export(cli, address, "--prune", "--collection", collection)
        assert pruned["pruned"] > 5
        assert not (there / "aliases" / "sequences" / "odd.tsv").exists()
        _export(cli, tmp_path / "local", "--prune", "--collection", collection)
        assert _files(there) == _files(tmp_path / "local")
        with seqarchive.connect(address) as store:
            assert store.collection(collection).digest == collection
        assert cli("export-rgstore", "--mode", "raw", address).code == 4
        (there / "rgstore.json").unlink()
        (there / "notes.txt").write_text("mine")
        done = cli("export-rgstore", address)
        assert (done.code, "is no RefgetStore" in done.err) == (4, True)


def test_a_bucket_that_fails_in_the_middle_has_no_manifest_and_is_completed(
    filled: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RCLONE_DIR_CACHE_TIME", "1ms")
    with serving_s3(tmp_path / "s3") as bucket:
        for name, value in bucket.environment.items():
            monkeypatch.setenv(name, value)
        address = bucket.url("store")
        put = S3Source.put_file

        def fail(self: S3Source, path: str, file: str, sha256: str) -> None:
            if path == "sequences.rgsi":
                raise SourceError("the bucket has gone")
            put(self, path, file, sha256)

        with monkeypatch.context() as patch:
            patch.setattr(S3Source, "put_file", fail)
            assert cli("export-rgstore", address).code == 9
        there = tmp_path / "s3" / "store"
        assert not (there / "rgstore.json").exists()
        assert len(list(there.glob("sequences/*/*.seq"))) == 14
        assert _export(cli, address)["payloads_written"] == 0
        assert cli("verify-rgstore", "--full", address).code == 0


def test_an_address_that_is_no_bucket_is_refused(filled: Path, cli: Cli) -> None:
    done = cli("export-rgstore", "https://127.0.0.1:1/x")
    assert done.code == 9
    assert "bucket" in done.err
