"""A RefgetStore that comes in, from gtars or from us, goes out as it was; what gtars has lost is
refused by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli, Result
from gtars.refget import FhrMetadata, RefgetStore
from helpers import sha512t24u, tree, write_fasta
from servers import serving, serving_s3

import seqarchive
from seqarchive import AliasConflict, DigestMismatch

DNA = {"chr1 first one": "ACGTTGCA" * 5000, "chr2": "ACGTNNNNRY" * 900 + "A", "chrE": ""}
MORE = {"1": DNA["chr1 first one"], "two  words here": "ACGTRYSWKMBV" * 5, "1b": "GATTACA"}
PROTEIN = {"P1.1 a protein": "MKVLAAGDEFHIPQRSTWY*", "odd": "MKJOZ"}
FILES = {"dna.fa": DNA, "more.fa": MORE, "protein.fa": PROTEIN}


def report(result: Result) -> dict[str, Any]:
    assert result.code == 0, result
    found: dict[str, Any] = json.loads(result.out)
    return found


def written_by_gtars(directory: Path, files: dict[str, dict[str, str]], *, raw: bool) -> Path:
    """A store with names and FHR."""
    (directory / "in").mkdir(parents=True)
    store = RefgetStore.on_disk(str(directory / "store"))
    store.set_quiet(True)
    if raw:
        store.disable_encoding()
    for name, records in files.items():
        file = write_fasta(directory / "in" / name, records)
        metadata, _ = store.add_sequence_collection_from_fasta(str(file))
        store.add_collection_alias("lab", name, metadata.digest)
        store.set_fhr_metadata(metadata.digest, FhrMetadata(genome=name, version="1"))
    store.add_sequence_alias("insdc", "CM1.1", sha512t24u("GATTACA"))
    store.add_sequence_alias("lab", "a seq", sha512t24u("GATTACA"))
    store.write()
    return directory / "store"


@pytest.fixture(scope="module", params=["Encoded", "Raw"])
def theirs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written_by_gtars(tmp_path_factory.mktemp("gtars"), FILES, raw=request.param == "Raw")


def mode_of(store: Path) -> str:
    found: str = json.loads((store / "rgstore.json").read_text())["mode"]
    return found.lower()


def contents(store: Path) -> dict[str, bytes]:
    """All files of a store but for the manifest, and what of it does not tell the time."""
    found = {
        path.relative_to(store).as_posix(): path.read_bytes()
        for path in store.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }
    manifest = json.loads(found.pop("rgstore.json"))
    del manifest["created_at"], manifest["modified"]
    return {**found, "manifest": json.dumps(manifest).encode()}


def test_all_of_a_store_of_gtars_is_in_the_archive(root: Path, cli: Cli, theirs: Path) -> None:
    before = tree(theirs)
    done = report(cli("--json", "import-rgstore", str(theirs)))
    assert tree(theirs) == before
    assert (done["collections"], done["collections_known"], done["fhr"]) == (3, 0, 3)
    assert done["sequences_added"] == 7
    assert [line.partition(": ")[0] for line in done["left_out"]] == ["lab:a seq"]
    with seqarchive.connect(root) as archive:
        for name, records in FILES.items():
            found = archive.collection(f"lab:{name}")
            assert [one.defline for one in found.records()] == [
                defline.replace("  ", " ") for defline in records
            ]
            assert [archive.fetch(one.digest) for one in found.records()] == [*records.values()]
            assert found.fhr() == {"genome": name, "version": "1"}
        assert archive.fetch("insdc:CM1.1") == "GATTACA"
        assert "chr1" not in archive  # no namespace was given
    assert cli("verify", "--full").code == 0


def test_a_store_that_came_in_goes_out_as_it_was(
    root: Path, cli: Cli, theirs: Path, tmp_path: Path
) -> None:
    given = tmp_path / "given"
    shutil.copytree(theirs, given)
    # What an archive cannot have, or has from somewhere else.
    store = RefgetStore.open_local(str(given))
    store.remove_sequence_alias("lab", "a seq")
    store.write()
    assert cli("import-rgstore", str(given)).code == 0
    assert cli("export-rgstore", "--mode", mode_of(theirs), str(tmp_path / "out")).code == 0
    found, expected = contents(tmp_path / "out"), contents(given)
    # Which of its names a sequence has in the index is advice; gtars takes the first, we one that
    # does not depend on the order of loading.
    index, theirs_index = found.pop("sequences.rgsi"), expected.pop("sequences.rgsi")
    assert [line.split(b"\t")[1:5] for line in index.split(b"\n")] == [
        line.split(b"\t")[1:5] for line in theirs_index.split(b"\n")
    ]
    manifest, other = (json.loads(one.pop("manifest")) for one in (found, expected))
    for one in (manifest, other):
        one.pop("sequences_digest", None)
    assert manifest == other
    assert found.keys() == expected.keys()
    different = [path for path in found if found[path] != expected[path]]
    # gtars labels by the letters; of very short and of lossy ones we say ASCII.
    assert all(b"\tASCII\t" in found[path] for path in different if path.endswith(".rgsi"))
    assert [path for path in different if not path.endswith((".rgsi", ".seq"))] == []


def test_our_own_store_comes_and_goes_byte_for_byte(root: Path, cli: Cli, tmp_path: Path) -> None:
    for name, records in FILES.items():
        file = write_fasta(tmp_path / name, records)
        assert cli("load", "-n", "a", "--collection", f"lab:{name}", str(file)).code == 0
    with seqarchive.connect(root) as archive:
        archive["lab:loose"] = "ACGTACGU"
    (tmp_path / "f.json").write_text('{"genome": "é", "more": {"b": 1, "a": [null]}}')
    assert cli("fhr", "set", "--partial", "lab:dna.fa", str(tmp_path / "f.json")).code == 0
    for mode in ("encoded", "raw"):
        out, again = tmp_path / mode, tmp_path / f"{mode}2"
        other = str(tmp_path / f"{mode}-root")
        assert cli("export-rgstore", "--mode", mode, str(out)).code == 0
        done = report(cli("--root", other, "--json", "import-rgstore", str(out)))
        assert done["sequences_alone"] == 1
        assert done["left_out"] == []
        assert cli("--root", other, "export-rgstore", "--mode", mode, str(again)).code == 0
        assert contents(out) == contents(again)


def test_some_collections_come_with_what_belongs_to_them(
    root: Path, cli: Cli, theirs: Path
) -> None:
    words = ["--json", "import-rgstore", "-n", "x", "--collection", "lab:more.fa", str(theirs)]
    dry = report(cli(*words, "--dry-run"))
    assert (dry["batch"], dry["sequences_added"]) == (None, 3)
    done = report(cli(*words))
    assert (done["collections"], done["sequences_added"], done["fhr"]) == (1, 3, 1)
    with seqarchive.connect(root) as archive:
        assert len(archive) == 3
        assert archive.fetch("x:1b") == "GATTACA"
        assert [str(alias) for alias, _ in archive.all_collection_aliases()] == ["lab:more.fa"]
    again = report(cli(*words))
    assert (again["collections_known"], again["sequences_known"]) == (1, 3)
    assert again["sequences_added"] == again["aliases_added"] == 0
    rest = report(cli("--json", "import-rgstore", str(theirs)))
    assert (rest["collections"], rest["collections_known"], rest["sequences_added"]) == (3, 1, 4)
    assert cli("import-rgstore", "--collection", "lab:none", str(theirs)).code == 3


@pytest.mark.parametrize("kind", ["http", "no ranges", "s3"])
def test_a_store_comes_over_a_network(
    root: Path, cli: Cli, theirs: Path, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQARCHIVE_CACHE", str(tmp_path / "cache"))

    def comes(address: str) -> None:
        assert report(cli("--json", "import-rgstore", address))["sequences_added"] == 7
        with seqarchive.connect(root) as archive:
            assert archive.fetch("insdc:CM1.1") == "GATTACA"
            assert len(archive.collections()) == 3

    if kind == "s3":
        shutil.copytree(theirs, tmp_path / "s3" / "bucket" / "store")
        with serving_s3(tmp_path / "s3") as bucket:
            for name, value in bucket.environment.items():
                monkeypatch.setenv(name, value)
            comes(bucket.url("bucket") + "/store")
    else:
        with serving(theirs, knows_ranges=kind == "http") as server:
            comes(server.url)


# --- what gtars has lost ------------------------------------------------------------------------


def test_what_can_be_recovered_is(root: Path, cli: Cli, tmp_path: Path) -> None:
    """gtars packs D and H of DNA, and U of RNA, so that it reads them back as others."""
    records = {"dh": "ACGTRYSWKMBDHVN", "rna": "ACGUACGURR", "both": "DDHHSW" * 9}
    store = written_by_gtars(tmp_path, {"x.fa": records, **FILES}, raw=False)
    opened = RefgetStore.open_local(str(store))
    assert opened.get_substring(sha512t24u(records["dh"]), 0, 15) != records["dh"]
    assert cli("import-rgstore", "-n", "x", str(store)).code == 0
    with seqarchive.connect(root) as archive:
        for name, text in records.items():
            assert archive.fetch(f"x:{name}") == text


def test_what_is_lost_is_refused_by_name_or_left_out(root: Path, cli: Cli, tmp_path: Path) -> None:
    lost = {"good": "MEKL", "NP_1.1 selenoprotein": "MEUKL", "rna": "ACGUTR"}
    store = written_by_gtars(tmp_path, {"x.fa": lost, **FILES}, raw=False)
    done = cli("import-rgstore", str(store))
    assert done.code == DigestMismatch.exit_code
    assert sha512t24u("MEUKL") in done.err or sha512t24u("ACGUTR") in done.err
    assert "gtars" in done.err
    assert not root.exists() or len(seqarchive.connect(root)) == 0
    some = report(cli("--json", "import-rgstore", "--on-error", "skip", str(store)))
    assert [sum(name in line for line in some["skipped"]) for name in ("NP_1.1", "rna")] == [1, 1]
    assert len(some["skipped"]) == 2
    assert (some["collections"], some["collections_left_out"]) == (3, 1)
    (left_out,) = [line for line in some["left_out"] if line.startswith("collection ")]
    assert left_out.endswith(": 2 of it skipped")
    with seqarchive.connect(root) as archive:
        assert len(archive.collections()) == 3
        assert "lab:x.fa" not in {str(alias) for alias, _ in archive.all_collection_aliases()}
        assert archive.fetch(sha512t24u("MEKL")) == "MEKL"
        assert sha512t24u("MEUKL") not in archive
    shutil.rmtree(root)
    said = cli("import-rgstore", "--on-error", "skip", str(store))
    assert said.code == 0
    assert said.out.startswith("batch 1: 3 collections (0 known already, 1 left out) from ")
    assert f"left out: {left_out}" in said.err


# --- what is wrong ------------------------------------------------------------------------------


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x10
    file.write_bytes(data)


def _rename(file: Path) -> None:
    """Give the last member another name."""
    *lines, last = file.read_bytes().removesuffix(b"\n").split(b"\n")
    file.write_bytes(b"\n".join([*lines, b"x" + last, b""]))


def _payload_of(store: Path, residues: str) -> Path:
    (found,) = store.glob(f"sequences/*/{sha512t24u(residues)}.seq")
    return found


_DAMAGES: dict[str, Callable[[Path], object]] = {
    "flipped": lambda store: _flip(_payload_of(store, DNA["chr1 first one"])),
    "short": lambda store: _payload_of(store, "GATTACA").write_bytes(b""),
    "missing": lambda store: _payload_of(store, "GATTACA").unlink(),
    "list": lambda store: _rename(next(store.glob("collections/*.rgsi"))),
    "index": lambda store: _flip(store / "collections.rgci"),
    "manifest": lambda store: (store / "rgstore.json").write_text("{}"),
}


@pytest.mark.parametrize("what", _DAMAGES)
def test_damage_is_refused_and_nothing_of_it_comes(
    root: Path, cli: Cli, theirs: Path, tmp_path: Path, what: str
) -> None:
    store = tmp_path / "damaged"
    shutil.copytree(theirs, store)
    _DAMAGES[what](store)
    done = cli("import-rgstore", str(store))
    assert done.code == 6, done
    assert done.err.count("\n") == 1
    assert str(store) in done.err
    if root.exists():
        with seqarchive.connect(root) as archive:
            assert len(archive) == len(archive.collections()) == 0
    assert cli("import-rgstore", str(theirs)).code == 0


def test_names_that_mean_something_else_are_conflicts(root: Path, cli: Cli, theirs: Path) -> None:
    with seqarchive.connect(root) if root.exists() else _new(root, cli) as archive:
        archive["insdc:CM1.1"] = "AAAA"
    done = cli("import-rgstore", str(theirs))
    assert done.code == AliasConflict.exit_code
    assert "insdc:CM1.1" in done.err
    kept = report(cli("--json", "import-rgstore", "--on-conflict", "keep", str(theirs)))
    assert kept["aliases_kept"] == 1
    with seqarchive.connect(root) as archive:
        assert archive.fetch("insdc:CM1.1") == "AAAA"
    assert cli("import-rgstore", "--on-conflict", "replace", str(theirs)).code == 0
    with seqarchive.connect(root) as archive:
        assert archive.fetch("insdc:CM1.1") == "GATTACA"


def _new(root: Path, cli: Cli) -> seqarchive.Archive:
    assert cli("init").code == 0
    return seqarchive.connect(root)


def test_residues_that_an_archive_cannot_have_are_refused(
    root: Path, cli: Cli, tmp_path: Path
) -> None:
    store = written_by_gtars(tmp_path, {"x.fa": {"digits": "AC1GT"}, **FILES}, raw=False)
    done = cli("import-rgstore", str(store))
    assert done.code == 5, done
    assert done.err.count("\n") == 1
    assert "digits" in done.err
    assert not root.exists() or len(seqarchive.connect(root)) == 0


def test_no_store_is_not_found(root: Path, cli: Cli, tmp_path: Path) -> None:
    assert cli("import-rgstore", str(tmp_path / "nothing")).code == 3
    assert cli("import-rgstore", "ftp://127.0.0.1/x").code == 9
