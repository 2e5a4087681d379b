"""gtars and seqarchive at one store, in turns: over HTTP, and each adding to what the other wrote.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Cli
from gtars.refget import RefgetStore
from helpers import sha512t24u, tree, write_fasta
from servers import serving

import seqarchive
from seqarchive import SourceError
from seqarchive.instances import Instance
from seqarchive.rgstore.exporting import export_rgstore

_TESTS = Path(__file__).parent

FIRST = {"chr1 one": "ACGTTGCA" * 9000, "chr2": "ACGTNNNNRY" * 900 + "A", "chrE": ""}
SECOND = {"P1": "MKVLAAGDEFHIPQRSTWY*", "dh": "ACGTDHRY" * 5, "rna": "ACGUACGU", "seleno": "MEUB"}
THIRD = {"1": FIRST["chr1 one"], "new": "GATTACA" * 30}

#: gtars holds the GIL while it waits, so that the server needs a process of its own.
_SERVER = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from servers import serving
with serving(Path(sys.argv[1])) as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def exported(root: Path, cli: Cli, tmp_path: Path) -> Path:
    """A store of two files, with names."""
    for name, records in (("first", FIRST), ("second", SECOND)):
        file = write_fasta(tmp_path / f"{name}.fa", records)
        assert cli("load", "-n", "a", "--collection", f"lab:{name}", str(file)).code == 0
    (tmp_path / "f.json").write_text('{"genome": "first"}')
    assert cli("fhr", "set", "--partial", "lab:first", str(tmp_path / "f.json")).code == 0
    assert cli("export-rgstore", str(tmp_path / "store")).code == 0
    return tmp_path / "store"


@pytest.fixture
def served(exported: Path) -> Iterator[str]:
    command = [sys.executable, "-c", _SERVER, str(exported), str(_TESTS)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.communicate()


def digest_of(root: Path, name: str) -> str:
    with seqarchive.connect(root) as archive:
        return archive.collection(name).digest


def require_all(store: RefgetStore, records: dict[str, str]) -> None:
    for text in records.values():
        digest = sha512t24u(text)
        if text:
            assert store.get_substring(digest, 0, len(text)) == text
            assert store.get_substring(digest, len(text) // 2, len(text)) == text[len(text) // 2 :]
        assert store.stream_sequence(digest).read_all() == text


def test_gtars_reads_it_over_http(served: str, root: Path, tmp_path: Path) -> None:
    store = RefgetStore.open_remote(str(tmp_path / "cache"), served)
    store.set_quiet(True)
    first = digest_of(root, "lab:first")
    assert {one.digest for one in store.list_collections()["results"]} == {
        first,
        digest_of(root, "lab:second"),
    }
    collection = store.get_collection(first)
    assert [one.metadata.name for one in collection.sequences] == ["chr1", "chr2", "chrE"]
    store.load_all_sequences()
    require_all(store, FIRST | SECOND)
    store.pull_aliases()
    found = store.get_collection_by_alias("lab", "first")
    assert found is not None
    assert found.digest == first
    store.pull_fhr()
    fhr = store.get_fhr_metadata(first)
    assert fhr is not None
    assert fhr.to_dict()["genome"] == "first"


@pytest.mark.parametrize("place", ["directory", "http"])
def test_commands_say_of_it_what_they_say_of_the_archive(
    exported: Path, served: str, root: Path, cli: Cli, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQARCHIVE_CACHE", str(root.parent / "cache"))
    store = str(exported) if place == "directory" else served
    digest = sha512t24u(THIRD["1"])
    for words in (
        ["get", "a:chr1:100-160", f"SQ.{digest}:5-9", "a:P1"],
        ["get", "--fasta", "--reverse-complement", "a:chr2:3-90"],
        ["translate", "--to", "a", "a:chr2", f"ga4gh:SQ.{digest}"],
        ["translate", "--to", "ga4gh", "a:chr2"],
        ["missing", "a:chr1", "b:chr1", "nothing"],
        ["export-aliases"],
        ["export", "a:P1", "a:chr2"],
        ["export", "--collection", "lab:first", "--width", "60"],
        ["collection", "show", "lab:second"],
        ["collection", "show", "--level", "2", "lab:second"],
        ["collection", "compare", "lab:first", str(root.parent / "first.fa")],
        ["fhr", "list"],
        ["fhr", "get", "lab:first"],
        ["get", "nothing"],
        ["get", "a:chr1:9-8"],
        ["collection", "show", "lab:none"],
        ["fhr", "get", "lab:second"],
    ):
        expected, found = cli(*words), cli("--root", store, *words)
        assert (found.code, found.out) == (expected.code, expected.out), (words, found)
    listed = cli("--root", store, "collection", "list").out.splitlines()
    assert sorted(line.split()[0] for line in listed) == sorted(
        digest_of(root, name) for name in ("lab:first", "lab:second")
    )
    assert "RefgetStore (Encoded)" in cli("--root", store, "status").out
    assert cli("--root", store, "log").code == 8
    together = cli("--root", str(root), "--root", store, "get", "a:P1")
    assert (together.code, "import-rgstore" in together.err) == (9, True)


def test_nothing_is_loaded_into_a_store(exported: Path, cli: Cli, tmp_path: Path) -> None:
    before = tree(exported)
    for words in (["init"], ["load", "-n", "t", str(tmp_path / "first.fa")]):
        done = cli("--root", str(exported), *words)
        assert (done.code, "is a RefgetStore" in done.err) == (4, True)
    assert tree(exported) == before


def test_gtars_exports_the_file_from_it(exported: Path, root: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "copy")
    store = RefgetStore.open_local(str(tmp_path / "copy"))
    store.set_quiet(True)
    for name in ("first", "second"):
        digest = digest_of(root, f"lab:{name}")
        store.load_collection(digest)
        store.load_all_sequences()
        store.export_fasta(digest, str(tmp_path / "out.fa"), None, 60)
        expected = (tmp_path / f"{name}.fa").read_text().replace("\n", "")
        assert (tmp_path / "out.fa").read_text().replace("\n", "") == expected


def test_gtars_adds_to_ours_and_we_go_on(
    exported: Path, root: Path, cli: Cli, tmp_path: Path
) -> None:
    theirs = RefgetStore.on_disk(str(exported))
    theirs.set_quiet(True)
    (tmp_path / "in").mkdir()
    file = write_fasta(tmp_path / "in" / "third.fa", THIRD)
    metadata, was_new = theirs.add_sequence_collection_from_fasta(str(file))
    assert was_new
    require_all(theirs, FIRST | SECOND | THIRD)
    assert cli("verify-rgstore", "--full", str(exported)).code == 0
    done = cli("export-rgstore", str(exported))
    assert done.code == 4  # it has what the archive lacks
    assert metadata.digest in done.err
    assert cli("import-rgstore", str(exported)).code == 0
    assert cli("export-rgstore", str(exported)).code == 0
    assert cli("verify-rgstore", "--full", str(exported)).code == 0
    again = RefgetStore.open_local(str(exported))
    require_all(again, FIRST | SECOND | THIRD)
    assert len(again.list_collections()["results"]) == 3


@pytest.mark.parametrize("mode", ["encoded", "raw"])
def test_we_add_to_one_of_gtars(root: Path, cli: Cli, tmp_path: Path, mode: str) -> None:
    theirs = RefgetStore.on_disk(str(tmp_path / "store"))
    theirs.set_quiet(True)
    if mode == "raw":
        theirs.disable_encoding()
    (tmp_path / "in").mkdir()
    for name, records in (("first", FIRST), ("second", SECOND)):
        file = write_fasta(tmp_path / "in" / f"{name}.fa", records)
        theirs.add_sequence_collection_from_fasta(str(file))
        own = write_fasta(tmp_path / f"{name}.fa", records)
        assert cli("load", "-n", "a", str(own)).code == 0
    own = write_fasta(tmp_path / "third.fa", THIRD)
    assert cli("load", "-n", "b", str(own)).code == 0
    done = cli("--json", "export-rgstore", "--mode", mode, str(tmp_path / "store"))
    assert done.code == 0, done
    assert json.loads(done.out)["collections"] == 3
    # What gtars had packed so that it is lost is written anew.
    opened = RefgetStore.open_local(str(tmp_path / "store"))
    require_all(opened, FIRST | SECOND | THIRD)
    assert cli("verify-rgstore", "--full", str(tmp_path / "store")).code == 0


@pytest.mark.parametrize("change", [b"x", None])
def test_a_payload_of_another_size_is_refused_though_the_part_is_there(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: bytes | None
) -> None:
    """A part of a long sequence has no digest; what the server says of its size is looked at."""
    monkeypatch.setenv("SEQARCHIVE_CACHE", str(tmp_path / "cache"))
    long = "ACGTTGCA" * 60_000
    file = write_fasta(tmp_path / "long.fa", {"long": long})
    store = tmp_path / "long"
    with seqarchive.connect(exported.parent / "archive") as archive:
        archive.load(file, "b", threads=0)
    export_rgstore(Instance(exported.parent / "archive"), store)
    (payload,) = store.glob(f"sequences/*/{sha512t24u(long)}.seq")
    data = payload.read_bytes()
    with serving(store) as server:
        with seqarchive.connect(server.url) as opened:
            assert opened.fetch("b:long", 100, 120) == long[100:120]
        payload.write_bytes(data + change if change is not None else data[:-1])
        with seqarchive.connect(server.url) as opened:
            assert opened.fetch("b:long", 100, 120) == long[100:120]  # that is known
            with pytest.raises(SourceError, match="bytes instead of"):
                opened.fetch("b:long", 200, 220)
