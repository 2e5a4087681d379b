"""A RefgetStore is read as it was written: by gtars, by an export, by hand as older ones are.

gtars and refget say what is right, and the FASTA files that went in. Over HTTP and from a bucket
the answers are the same, with no more requests than they need; and each of them was checked.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import io
import json
import os
import pickle
import random
import shutil
import threading
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from contents import random_residues
from gtars.refget import FhrMetadata
from gtars.refget import RefgetStore as Theirs
from helpers import open_descriptors, sha512t24u, write_fasta
from hypothesis import given
from hypothesis import strategies as st
from refget.utils import seqcol_dict_to_level1_dict, seqcol_digest
from servers import Answer, FileServer, serving, serving_s3, wired

import seqarchive
from seqarchive import (
    Ambiguous,
    BadInterval,
    BadName,
    Corrupt,
    DigestMismatch,
    NewerFormat,
    NotFound,
    RefgetStore,
    SeqArchiveError,
    SourceError,
    commands,
)
from seqarchive.letters import letters_of
from seqarchive.rgstore.alphabets import Alphabet, alphabet_of, pack, unpack
from seqarchive.rgstore.layout import ROW
from seqarchive.rgstore.tables import MAX_LINE, Table, cell
from seqarchive.seqcol.digests import CollectionHasher

_RANDOM = random.Random(20240501)


def residues(letters: str, length: int) -> str:
    """Some residues."""
    return random_residues(_RANDOM.randrange(1 << 32), length, letters)


#: Files by name; their records by defline. What is longer than 64 KiB packed is read in parts.
FILES: dict[str, dict[str, str]] = {
    "dna": {
        "chr1 the first of them": residues("ACGT", 5_003),
        "chr2": "ACGTTGCA" * 41 + "A",
        "long": residues("ACGT", 300_001),
        "one": "A",
        "empty": "",
    },
    "n": {
        "n1 with\N{NO-BREAK SPACE}N": "N" * 50 + residues("ACGTN", 950) + "RY",
        "shared": "ACGTTGCA" * 41 + "A",
        "twice": "GATTACA",
        "again the same": "GATTACA",
        "long3": residues("ACGTN", 200_003),
    },
    "other": {
        "iupac": residues("ACGTRYSWKMBVN", 333),
        "long4": residues("ACGTRYSWKMBVN", 1_050_001),
        "größe µ": "MKVLAAGDEFHIPQRSTWY*",
        "long5": residues("ACDEFGHIKLMNPQRSTVWY*X-", 1_050_007),
        "odd": "ACGTJOZ" * 30,
        "long8": residues("ACGTJOZ", 70_001),
        "配列": "ME",
    },
}  # fmt: skip
TEXTS = {sha512t24u(text): text for records in FILES.values() for text in records.values()}
LONG = ("long", "long3", "long4", "long5", "long8")


class Made(NamedTuple):
    """A store, and the digests of its collections by the names of their files."""

    path: Path
    collections: dict[str, str]


def by_gtars(directory: Path, mode: str, files: dict[str, dict[str, str]]) -> Made:
    """A store that gtars writes."""
    path = directory / "store"
    made = Theirs.on_disk(str(path))
    made.set_quiet(True)
    if mode == "Raw":
        made.disable_encoding()
    found = {}
    for name, records in files.items():
        source = write_fasta(directory / f"{name}.fa", records)
        metadata, _ = made.add_sequence_collection_from_fasta(
            str(source), collection_alias=f"files:{name}"
        )
        found[name] = metadata.digest
    return Made(path, found)


@pytest.fixture(scope="module", params=["Encoded", "Raw"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A store of gtars with names of everything; nobody changes it."""
    made = by_gtars(tmp_path_factory.mktemp(request.param), request.param, FILES)
    writer = Theirs.open_local(str(made.path))
    writer.set_quiet(True)
    for namespace, alias, text in (
        ("NCBI", "NC_1.1", FILES["dna"]["chr1 the first of them"]),
        ("NCBI", "NC_2.1", FILES["dna"]["chr2"]),
        ("lab", "me", "ME"),
        ("lab", "same", FILES["dna"]["chr2"]),
        ("other", "same", "ME"),
        ("other", "größe", FILES["other"]["größe µ"]),
    ):
        writer.add_sequence_alias(namespace, alias, sha512t24u(text))
    writer.add_collection_alias("ucsc", "assembly", made.collections["dna"])
    described = FhrMetadata(genome="Mus somebody", version="1.2", masking="none")
    writer.set_fhr_metadata(made.collections["dna"], described)
    return made


@pytest.fixture(scope="module")
def theirs(made: Made) -> Theirs:
    """The store as gtars reads it."""
    opened = Theirs.open_local(str(made.path))
    opened.set_quiet(True)
    return opened


def connected(address: str | Path) -> RefgetStore:
    """A store, by the one door that there is."""
    store: object = seqarchive.connect(address)
    assert isinstance(store, RefgetStore)
    return store


@pytest.fixture
def store(made: Made) -> Iterator[RefgetStore]:
    """The store, opened anew."""
    with connected(made.path) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQARCHIVE_CACHE", str(tmp_path / "cache"))


def ranges(length: int, n: int) -> list[tuple[int, int]]:
    """Ranges of a sequence: both ends, around bytes, anywhere."""
    found = [(0, 1), (length - 1, length), (1, length), (length // 2, length // 2)]
    found += [(at, at + k) for at in range(3, 12) for k in (1, 7) if at + k <= length]
    for _ in range(n):
        start = _RANDOM.randrange(length)
        found.append((start, min(length, start + _RANDOM.randrange(1, 300))))
    return [(start, end) for start, end in found if 0 <= start <= end <= length]


# --- what gtars wrote -------------------------------------------------------------------------


def test_every_sequence_is_what_the_files_had(store: RefgetStore) -> None:
    assert {one.digest: str(one) for one in store.sequences()} == TEXTS
    for digest, text in TEXTS.items():
        assert "".join(store.pieces(digest)) == text
        assert store.fetch(digest) == text


def test_every_part_is_what_gtars_gives(store: RefgetStore, theirs: Theirs) -> None:
    for digest, text in TEXTS.items():
        for start, end in ranges(len(text), 40) if text else ():
            found = store.get_substring(digest, start, end)
            assert found == text[start:end]
            assert found == theirs.get_substring(digest, start, end)
    requests = [(digest, 0, min(9, len(text))) for digest, text in TEXTS.items()]
    assert store.fetch_many(requests) == [text[:9] for text in TEXTS.values()]


def test_a_sequence_has_all_of_its_names(store: RefgetStore) -> None:
    text = FILES["dna"]["chr1 the first of them"]
    digest, md5 = sha512t24u(text), hashlib.md5(text.encode()).hexdigest()
    names = [
        digest, f"SQ.{digest}", f"ga4gh:SQ.{digest}", f"sha512t24u:{digest}", f"VMC:GS_{digest}",
        md5, f"md5:{md5}", md5.upper(), "NCBI:NC_1.1", "refseq:NC_1.1", "ncbi:NC_1.1", "NC_1.1",
    ]  # fmt: skip
    for name in names:
        if not name.startswith("SQ."):
            assert store.find(name) == digest, name
            assert name in store
            assert store.fetch(name, 5, 25) == text[5:25]
    assert store.find("größe") == sha512t24u(FILES["other"]["größe µ"])
    assert store.find("lab:same") == sha512t24u(FILES["dna"]["chr2"])
    assert "same" in store
    with pytest.raises(Ambiguous, match="2 sequences"):
        store.find("same")


def test_a_name_of_nothing_is_not_found(store: RefgetStore) -> None:
    for name in (
        "", ":", "nothing", "NCBI:", "NCBI:nc_1.1", "x:NC_1.1", "z" * 32, "0" * 32, "#name", "a\tb",
        "a\nb", "\ud800", "\udcff", "größe\0", "sha1:" + "0" * 40, "x" * 100_000, "../x:me",
    ):  # fmt: skip
        assert name not in store
        with pytest.raises(NotFound):
            store.fetch(name)
        with pytest.raises(NotFound):
            store.collection(name)
    assert 5 not in store


def test_names_are_translated_and_listed(store: RefgetStore, theirs: Theirs) -> None:
    text = FILES["dna"]["chr2"]
    digest, raw = sha512t24u(text), hashlib.sha512(text.encode()).digest()[:24]
    md5 = hashlib.md5(text.encode()).hexdigest()
    assert store.translate("NC_2.1") == [
        f"ga4gh:SQ.{digest}", f"md5:{md5}", f"sha512t24u:{digest}", f"trunc512:{raw.hex()}",
        f"VMC:GS_{digest}", "NCBI:NC_2.1", "lab:same",
    ]  # fmt: skip
    assert store.translate(digest, "refseq") == ["NCBI:NC_2.1"]
    assert store.translate(digest, ["md5", "lab"]) == [f"md5:{md5}", "lab:same"]
    assert store.translate_many([md5], "ga4gh") == [(md5, [f"ga4gh:SQ.{digest}"])]
    assert [str(one) for one in store.aliases(digest)] == ["NCBI:NC_2.1", "lab:same"]
    assert list(store[digest].aliases) == store.aliases(digest)
    for namespace in theirs.list_sequence_alias_namespaces():
        listed = [alias.alias for alias, _ in store.all_aliases(namespace)]
        assert sorted(listed) == sorted(theirs.list_sequence_aliases(namespace))
        for alias, meant in store.all_aliases(namespace):
            record = theirs.get_sequence_by_alias(namespace, alias.alias)
            assert record is not None
            assert record.metadata.sha512t24u == meant
    assert [str(one) for one, _ in store.all_aliases(pattern="NC_*")] == [
        "NCBI:NC_1.1", "NCBI:NC_2.1",
    ]  # fmt: skip
    assert {str(one) for one, _ in store.all_collection_aliases()} == {
        "files:dna", "files:n", "files:other", "ucsc:assembly",
    }  # fmt: skip
    with pytest.raises(NotFound, match="namespace"):
        list(store.all_aliases("nobody"))


def test_metadata_are_those_of_gtars(store: RefgetStore, theirs: Theirs) -> None:
    listed = theirs.list_sequences()
    assert len(store) == len(listed) == len(TEXTS)
    assert list(store) == [f"ga4gh:SQ.{one.sha512t24u}" for one in listed]
    for one in listed:
        found = store.metadata(one.sha512t24u)
        assert json.loads(json.dumps(found)) == found
        assert (found["name"], found["description"]) == (one.name, one.description or "")
        assert (found["length"], found["alphabet"]) == (one.length, str(one.alphabet))
        assert found["identifier"] == f"ga4gh:SQ.{one.sha512t24u}"
        assert found["aliases"] == store.translate(one.sha512t24u)
    assert store.status()["address"] == store.address


def test_collections_are_those_of_gtars_and_refget(
    store: RefgetStore, theirs: Theirs, made: Made
) -> None:
    assert store.list_collections() == sorted(made.collections.values())
    assert [one.digest for one in store.collections()] == store.list_collections()
    for name, digest in made.collections.items():
        found = store.collection(digest)
        expected = [(line.split()[0], len(text), sha512t24u(text))
                    for line, text in FILES[name].items()]  # fmt: skip
        assert [tuple(one) for one in found.members()] == expected
        deflines = [record.defline for record in found.records()]
        assert [line.split() for line in deflines] == [line.split() for line in FILES[name]]
        level1, level2 = found.level1(), found.level2()
        assert level1 == theirs.get_collection_level1(digest)
        for attribute, array in theirs.get_collection_level2(digest).items():
            assert list(level2[attribute]) == array
        dictionary = {key: list(level2[key]) for key in ("names", "lengths", "sequences")}
        assert seqcol_digest(dictionary) == digest
        for attribute, one in seqcol_dict_to_level1_dict(dictionary).items():
            assert level1[attribute] == one
        for attribute, one in level1.items():
            assert digest in [other.digest for other in store.collections(**{attribute: one})]
        both = {key: level1[key] for key in ("names", "sorted_sequences")}
        assert [one.digest for one in store.collections(**both)] == [digest]
    assert store.collections(names="z" * 32) == []
    with pytest.raises(BadName, match="colour"):
        store.collections(colour="z" * 32)


def test_a_collection_has_names_too(store: RefgetStore, made: Made) -> None:
    digest = made.collections["dna"]
    for name in (digest, "files:dna", "ucsc:assembly", "assembly", "dna"):
        assert store.collection(name).digest == digest
    assert [str(one) for one in store.collection_aliases(digest)] == ["files:dna", "ucsc:assembly"]
    found = store.collection("dna").metadata()
    assert found["aliases"] == ["files:dna", "ucsc:assembly"]
    assert found["n_residues"] == sum(map(len, FILES["dna"].values()))
    with pytest.raises(NotFound):
        store.collection("SQ." + digest)


def test_a_collection_is_loaded_when_it_is_asked_for(store: RefgetStore, made: Made) -> None:
    mode = store.manifest.mode.value
    counts = {"n_sequences": len(TEXTS), "n_collections": 3, "storage_mode": mode}
    assert store.stats() == {**counts, "n_collections_loaded": 0}
    digest = made.collections["n"]
    found = store.get_collection_metadata(digest)
    assert (found["digest"], found["n_sequences"]) == (digest, 5)
    assert found["names_digest"] == store.collection(digest).attributes["names"]
    assert store.stats()["n_collections_loaded"] == 0
    assert store.get_collection(digest).is_loaded
    assert store.stats() == {**counts, "n_collections_loaded": 1}
    assert len(store.get_collection(digest)) == 5
    assert store.stats()["n_collections_loaded"] == 1


def test_members_are_found_by_their_names(store: RefgetStore, made: Made) -> None:
    for name, digest in made.collections.items():
        for line, text in FILES[name].items():
            found = store.get_sequence_by_collection_and_name(digest, line.split()[0])
            assert (found.metadata.name, found.sequence) == (line.split()[0], text)
            assert found.decode() == store.get_sequence_by_id(sha512t24u(text)).sequence
    assert store.collection("other").fetch("long4", 9, 99) == FILES["other"]["long4"][9:99]
    assert store.stats()["n_collections_loaded"] == 3
    for name in ("chr3", "", "#name", "chr1\tx"):
        with pytest.raises(NotFound):
            store.get_sequence_by_collection_and_name(made.collections["dna"], name)
    with pytest.raises(NotFound):
        store.get_sequence_by_collection_and_name("z" * 32, "chr1")


def test_what_is_said_of_a_collection_is_read(store: RefgetStore, made: Made) -> None:
    found = store.fhr("ucsc:assembly")
    assert found is not None
    assert (found["genome"], found["version"]) == ("Mus somebody", "1.2")
    assert store.fhr(made.collections["n"]) is None
    with pytest.raises(NotFound):
        store.fhr("z" * 32)


def test_a_sequence_behaves_as_a_string(store: RefgetStore) -> None:
    text = FILES["n"]["long3"]
    found = store[sha512t24u(text)]
    assert found == text
    assert len(found) == len(text)
    assert (found[5], found[-1], found[:3], found[-7:], found[10:2:-1]) == (
        text[5], text[-1], text[:3], text[-7:], text[10:2:-1],
    )  # fmt: skip
    assert found.find(text[150_000:150_040]) == text.find(text[150_000:150_040])
    assert "".join(found) == text
    assert store["lab:me"] + "N" == "MEN"
    assert hash(store["lab:me"]) == hash(store[sha512t24u("ME")])
    with pytest.raises(IndexError):
        found[len(text)]


def test_ranges_that_are_not_there_are_refused(store: RefgetStore) -> None:
    for name, length in (("lab:me", 2), (sha512t24u(FILES["dna"]["long"]), 300_001)):
        for start, end in ((0, length + 1), (-1, 1), (length + 1, length + 1), (2, 1)):
            with pytest.raises(BadInterval, match=r"SQ\."):
                store.fetch(name, start, end)
        assert store.fetch(name, length - 1, length + 9, clamp=True)
        assert store.fetch(name, length, length) == ""


def test_a_closed_store_opens_again(made: Made) -> None:
    gc.collect()  # what earlier tests left open is none of this one's
    before = open_descriptors()
    store = connected(made.path)
    for digest, text in TEXTS.items():
        assert store.fetch(digest) == text
    for digest in made.collections.values():
        store.get_collection(digest)
    assert open_descriptors() > before
    store.close()
    assert open_descriptors() == before
    sequence, collection = store["lab:me"], store.collection("dna")
    assert [one.name for one in collection.members()][-1] == "empty"
    store.close()
    assert str(sequence) == "ME"
    assert collection.fetch("one") == "A"
    store.close()


def test_many_collections_are_not_all_held_open(tmp_path: Path) -> None:
    for n in range(80):
        by_hand(tmp_path / "many", {f"chr{n}": "ACGT", "x": "ME"}, collections=None)
    before = open_descriptors()
    with connected(tmp_path / "many") as store:
        for _ in range(2):
            names = [next(iter(one.members())).name for one in store.collections()]
            assert sorted(names) == sorted(f"chr{n}" for n in range(80))
            assert open_descriptors() < before + 70
        assert store.stats()["n_collections_loaded"] == 80
    assert open_descriptors() == before


def test_it_goes_to_other_processes_and_threads(store: RefgetStore) -> None:
    assert store.fetch("lab:me") == "ME"
    with pickle.loads(pickle.dumps(store)) as copy:
        assert copy.fetch("lab:me") == "ME"
    sequences = pickle.loads(pickle.dumps([store["lab:me"], store["NC_1.1"]]))
    assert [len(str(one)) for one in sequences] == [2, 5_003]
    reads = [(digest, *part) for digest, text in TEXTS.items() for part in ranges(len(text) or 1, 5)
             if part[1] <= len(text)] * 3  # fmt: skip
    _RANDOM.shuffle(reads)
    with connected(store.address) as fresh, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda read: fresh.fetch(*read), reads))
    assert found == [TEXTS[digest][start:end] for digest, start, end in reads]


def test_both_sides_of_a_fork_read_on(store: RefgetStore) -> None:
    digest = sha512t24u(FILES["dna"]["long"])
    assert store.fetch(digest, 0, 9) == TEXTS[digest][:9]
    child = os.fork()
    if child == 0:
        wrong = 1
        with contextlib.suppress(BaseException):
            wrong = sum(
                store.fetch(digest, at, at + 50) != TEXTS[digest][at : at + 50]
                for at in range(0, 200_000, 997)
            )
            store.close()
        os._exit(min(wrong, 1))
    for at in range(0, 200_000, 997):
        assert store.fetch(digest, at, at + 50) == TEXTS[digest][at : at + 50]
    assert os.waitpid(child, 0)[1] == 0
    assert store.fetch(digest, 0, 9) == TEXTS[digest][:9]


# --- what was exported, and what gtars adds to it ---------------------------------------------


def _run(root: Path, *arguments: str | Path) -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert commands.run(["--root", str(root), *map(str, arguments)]) == 0


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of the same files."""
    directory = tmp_path_factory.mktemp("archived")
    for name, records in FILES.items():
        path = write_fasta(directory / f"{name}.fa", records)
        _run(directory / "archive", "load", "-n", name, path)
    return directory / "archive"


@pytest.mark.parametrize("mode", ["encoded", "raw"])
def test_an_export_is_read_as_the_archive(archived: Path, tmp_path: Path, mode: str) -> None:
    _run(archived, "export-rgstore", "--mode", mode, tmp_path / "store")
    with seqarchive.connect(archived) as archive, connected(tmp_path / "store") as store:
        assert {one.digest: str(one) for one in store.sequences()} == TEXTS
        for digest, text in TEXTS.items():
            for start, end in ranges(len(text), 10) if text else ():
                assert store.fetch(digest, start, end) == text[start:end]
            assert store.aliases(digest) == archive.aliases(digest)
        ours = {one.digest: one for one in archive.collections()}
        assert store.list_collections() == sorted(ours)
        for digest, one in ours.items():
            found = store.collection(digest)
            assert list(found.members()) == list(one.members())
            assert found.level1() == one.level1()


def test_an_open_store_sees_what_gtars_adds(archived: Path, tmp_path: Path) -> None:
    _run(archived, "export-rgstore", tmp_path / "store")
    path = write_fasta(tmp_path / "more.fa", {"new": "ACACAC", "known": "ME"})
    with connected(tmp_path / "store") as store:
        assert store.fetch(sha512t24u("ME")) == "ME"
        assert "ACACAC" not in store
        writer = Theirs.on_disk(str(tmp_path / "store"))
        writer.set_quiet(True)
        metadata, _ = writer.add_sequence_collection_from_fasta(str(path))
        assert store.fetch(sha512t24u("ACACAC")) == "ACACAC"
        assert [one.name for one in store.collection(metadata.digest).members()] == ["new", "known"]
        assert "fresh:one" not in store
        writer.add_sequence_alias("fresh", "one", sha512t24u("ACACAC"))
        assert store.fetch("fresh:one") == "ACACAC"
        writer.add_collection_alias("fresh", "all", metadata.digest)
        assert store.collection("fresh:all").digest == metadata.digest
        assert len(store) == len(TEXTS) + 1
        assert not store.refresh()


# --- what older versions wrote, and what somebody else did ------------------------------------

_RECORDS = {"a": "ACGTTGCAAC", "b": "ACGTNNNN", "c": "MEVKLW", "d": "ACGTRYSWKM"}


def row(name: str, text: str, *, n_cells: int = 6, label: str | None = None) -> str:
    """A row of an index."""
    found = label or alphabet_of(letters_of(text.encode()), len(text), packed=True).label
    md5 = hashlib.md5(text.encode()).hexdigest()
    cells = [name, str(len(text)), found, sha512t24u(text), md5, ""]
    return "\t".join(cells[:n_cells]) + "\n"


def by_hand(
    path: Path,
    records: dict[str, str],
    *,
    n_cells: int = 6,
    template: str = "sequences/%s2/%s.seq",
    index: str = "sequences.rgsi",
    collections: str | None = "collections.rgci",
    eol: str = "\n",
    **more: object,
) -> str:
    """A store as the seed of the format has it; returns the digest of its one collection."""
    hasher = CollectionHasher()
    for name, text in records.items():
        hasher.add(name, len(text), sha512t24u(text))
        digest = sha512t24u(text)
        place = template.replace("%s2", digest[:2]).replace("%s4", digest[:4])
        file = path / place.replace("%s", digest)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
    digests = hasher.digests()
    rows = [row(name, text, n_cells=n_cells) for name, text in records.items()]
    header = ROW if n_cells == 6 else ROW.rpartition("\t")[0] + "\n"
    heads = [
        f"##{name}_digest={value}\n"
        for name, value in (
            ("seqcol", digests.digest), ("names", digests.names), ("sequences", digests.sequences),
            ("lengths", digests.lengths),
        )
    ]  # fmt: skip
    (path / "collections").mkdir(exist_ok=True)
    texts = {
        index: [header, *rows],
        f"collections/{digests.digest}.rgsi": [*heads, header, *rows],
    }
    if collections is not None:
        cells = [digests.digest, len(records), digests.names, digests.sequences, digests.lengths]
        first = "#digest\tn_sequences\tnames_digest\tsequences_digest\tlengths_digest\n"
        texts[collections] = [first, "\t".join(map(str, cells)) + "\n"]
    for name, lines in texts.items():
        (path / name).write_text("".join(lines), "utf-8", newline=eol)
    manifest = {
        "version": 1,
        "seqdata_path_template": template,
        "collections_path_template": "collections/%s.rgsi",
        "sequence_index": index,
        "collection_index": collections,
        "mode": "Raw",
        "created_at": "",
        **more,
    }
    (path / "rgstore.json").write_text(json.dumps(manifest))
    return digests.digest


_OLDER: list[dict[str, Any]] = [
    {},
    {"n_cells": 5},
    {"n_cells": 5, "eol": "\r\n"},
    {"template": "seq/%s4/%s"},
    {"template": "%s", "index": "s.idx", "collections": "c.idx"},
    {"collections": None, "n_cells": 5, "eol": "\r\n"},
]


@pytest.mark.parametrize("options", _OLDER, ids=repr)
def test_stores_of_older_versions_are_read(tmp_path: Path, options: dict[str, Any]) -> None:
    digest = by_hand(tmp_path / "old", _RECORDS, **options)
    with connected(tmp_path / "old") as store:
        assert {one.digest: str(one) for one in store.sequences()} == {
            sha512t24u(text): text for text in _RECORDS.values()
        }
        for text in _RECORDS.values():
            assert store.fetch(hashlib.md5(text.encode()).hexdigest(), 1, 4) == text[1:4]
        assert store.list_collections() == [digest]
        found = store.collection(digest)
        assert [one.name for one in found.members()] == list(_RECORDS)
        assert store.collections(names=found.level1()["names"]) == [found]
        assert store.collections(sorted_sequences=found.level1()["sorted_sequences"]) == [found]
        assert found.fetch("c", 1, 3) == "EV"
        assert store.fhr(digest) is None
        (tmp_path / f"old/collections/{digest}.fhr.json").write_text('{"genome": "x"}')
        assert store.fhr(digest) == {"genome": "x"}


def test_a_store_without_digests_of_its_files_is_looked_at_too(tmp_path: Path) -> None:
    by_hand(tmp_path / "old", {"a": "ACGT"})
    with connected(tmp_path / "old") as store:
        assert len(store) == 1
        digest = by_hand(tmp_path / "old", _RECORDS)
        os.utime(tmp_path / "old" / "rgstore.json", ns=(1, 1))
        assert store.fetch(sha512t24u("MEVKLW")) == "MEVKLW"
        assert store.collection(digest).digest == digest


def test_stores_of_newer_versions_are_refused(tmp_path: Path) -> None:
    kinds: list[tuple[str, object, type[SeqArchiveError], str]] = [
        ("version", 2, NewerFormat, "version 2"),
        ("version", 0, SeqArchiveError, "version 0"),
        ("mode", "Zstd", Corrupt, "Zstd"),
        ("mode", "raw", Corrupt, "raw"),
    ]
    by_hand(tmp_path / "new", _RECORDS)
    manifest = json.loads((tmp_path / "new" / "rgstore.json").read_bytes())
    for key, value, kind, word in kinds:
        (tmp_path / "new" / "rgstore.json").write_text(json.dumps({**manifest, key: value}))
        with pytest.raises(kind, match=word):
            seqarchive.connect(tmp_path / "new")


# --- what gtars does not pack as it should ----------------------------------------------------


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An Encoded store of what gtars 0.10.0 reads back as something else."""
    records = {
        "d": "ACGTRYSWKMBDHVN" * 9 + "D",
        "u": "ACGUACGUU",
        "both": "ACGUT",
        "seleno": "MEUB",
        "five": residues("ACGTN", 4_000_000),
    }
    made = by_gtars(tmp_path_factory.mktemp("packed"), "Encoded", {"all": records})
    _TEXTS_OF[made.path] = records
    return made.path


_TEXTS_OF: dict[Path, dict[str, str]] = {}


def test_d_and_h_and_rna_come_back(packed: Path) -> None:
    records = _TEXTS_OF[packed]
    theirs = Theirs.open_local(str(packed))
    with connected(packed) as store:
        for name in ("d", "u"):
            text = records[name]
            digest = sha512t24u(text)
            assert theirs.get_substring(digest, 0, len(text)) != text
            assert store.fetch(digest, 3, 8) == text[3:8]
            assert store.fetch(digest) == text
            assert "".join(store.pieces(digest)) == text


def test_letters_that_are_lost_are_no_answer(packed: Path) -> None:
    with connected(packed) as store:
        for name in ("both", "seleno"):
            text = _TEXTS_OF[packed][name]
            digest = sha512t24u(text)
            for start, end in ((0, len(text)), (0, 2), (2, 3)):
                with pytest.raises(DigestMismatch, match="gtars"):
                    store.fetch(digest, start, end)
            with pytest.raises(DigestMismatch, match="gtars"):
                list(store.pieces(digest))
            assert store.fetch(digest, 1, 1) == ""


def test_four_million_residues_in_three_bits_come_back(packed: Path, tmp_path: Path) -> None:
    text = _TEXTS_OF[packed]["five"]
    digest = sha512t24u(text)
    with connected(packed) as store:
        for start, end in [*ranges(len(text), 60), (2_621_430, 2_621_450), (1_000, 3_000_000)]:
            assert store.fetch(digest, start, end) == text[start:end]
        tracemalloc.start()
        assert store.fetch(digest) == text
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 24_000_000
        found = list(store.pieces(digest))
        assert "".join(found) == text
        assert max(map(len, found)) < 3_000_000
    # Of all that is there, only what gtars has lost is found.
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        code = commands.run(
            ["--root", str(tmp_path), "--json", "verify-rgstore", "--full", str(packed)]
        )
    assert code == 6
    lost = {sha512t24u(_TEXTS_OF[packed][name]) for name in ("u", "both", "seleno")}
    assert {Path(one["path"]).stem for one in json.loads(out.getvalue())["findings"]} == lost


def test_stores_of_both_modes_share_a_cache(tmp_path: Path) -> None:
    texts = {"a": "A", "c": "ME", "n": "N", "d": "AC"}
    for mode in ("Encoded", "Raw"):
        (tmp_path / mode).mkdir()
        made = by_gtars(tmp_path / mode, mode, {"x": texts})
        with serving(made.path) as server, RefgetStore(server.url) as store:
            for text in texts.values():
                assert store.fetch(sha512t24u(text)) == text


# --- over a network ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """An Encoded store, in a directory that is served."""
    directory = tmp_path_factory.mktemp("served")
    made = by_gtars(directory, "Encoded", FILES)
    writer = Theirs.open_local(str(made.path))
    writer.set_quiet(True)
    writer.add_sequence_alias("lab", "me", sha512t24u("ME"))
    writer.set_fhr_metadata(made.collections["n"], FhrMetadata(genome="x"))
    return made


@pytest.fixture(scope="module")
def bucket(encoded: Made) -> Iterator[str]:
    """The address of the same store in a bucket."""
    with serving_s3(encoded.path.parent) as endpoint, pytest.MonkeyPatch.context() as patch:
        for name, value in endpoint.environment.items():
            patch.setenv(name, value)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield endpoint.url(encoded.path.name)


@pytest.fixture
def server(encoded: Made) -> Iterator[FileServer]:
    """The same store, on a web server."""
    with serving(encoded.path) as opened:
        yield opened


@pytest.fixture
def copied(encoded: Made, tmp_path: Path) -> Iterator[FileServer]:
    """A copy of it, to be damaged."""
    shutil.copytree(encoded.path, tmp_path / "copy")
    with serving(tmp_path / "copy") as opened:
        yield opened


def asked_for(server: FileServer) -> list[tuple[str, str | None]]:
    """What was asked for since the last time: paths with ranges."""
    found = [(one.path.lstrip("/"), one.range) for one in server.asked]
    server.reset()
    return found


@pytest.mark.parametrize("kind", ["http", "s3"])
def test_over_a_network_the_answers_are_the_same(
    encoded: Made, kind: str, request: pytest.FixtureRequest
) -> None:
    address = (
        request.getfixturevalue("server").url if kind == "http"
        else request.getfixturevalue("bucket")
    )  # fmt: skip
    with connected(address) as store:
        assert store.stats()["n_collections_loaded"] == 0
        for digest, text in TEXTS.items():
            for start, end in ranges(len(text), 1)[-2:] if text else ():
                assert store.fetch(digest, start, end) == text[start:end]
            assert store.fetch(digest) == text
        assert "".join(store.pieces(sha512t24u(FILES["n"]["long3"]))) == FILES["n"]["long3"]
        assert list(store) == [f"ga4gh:SQ.{digest}" for digest in sorted(TEXTS)]
        assert store.fetch("lab:me") == store.fetch("me") == "ME"
        assert store.find(hashlib.md5(b"ME").hexdigest()) == sha512t24u("ME")
        with pytest.raises(NotFound):
            store.fetch("lab:you")
        assert store.list_collections() == sorted(encoded.collections.values())
        found = store.get_sequence_by_collection_and_name("files:dna", "one")
        assert found.sequence == "A"
        assert store.stats()["n_collections_loaded"] == 1
        assert store.fhr("n") == {"genome": "x"}
        assert store.fhr("dna") is None
        again = pickle.loads(pickle.dumps(store))
        assert again.fetch("lab:me") == "ME"
        store.close()
        assert store.fetch("lab:me") == "ME"
        assert not store.refresh()


def test_a_part_is_one_request_for_its_bytes(encoded: Made, server: FileServer) -> None:
    digest = sha512t24u(FILES["n"]["long3"])
    name, short = f"ga4gh:SQ.{digest}", f"ga4gh:SQ.{sha512t24u('GATTACA')}"
    with RefgetStore(server.url) as store:
        store.find(name)
        assert asked_for(server) == [("rgstore.json", None), ("sequences.rgsi", None)]
        assert store.fetch(name, 100_001, 100_101) == TEXTS[digest][100_001:100_101]
        first, last = 100_001 * 3 // 8, -(-100_101 * 3 // 8)
        path = f"sequences/{digest[:2]}/{digest}.seq"
        assert asked_for(server) == [(path, f"bytes={first}-{last - 1}")]
        assert store.fetch(name, 100_001, 100_101) == TEXTS[digest][100_001:100_101]
        assert asked_for(server) == []
        # A short one is read as a whole, checked, and kept.
        assert store.fetch(short, 1, 3) == "AT"
        assert [asked[1] for asked in asked_for(server)] == [None]
        assert store.fetch(short, 2, 7) == "TTACA"
        assert asked_for(server) == []
    with RefgetStore(server.url) as second:
        assert second.fetch(name, 100_001, 100_101) == TEXTS[digest][100_001:100_101]
        assert second.fetch(short) == "GATTACA"
        assert len(second.collections()) == 3
        assert asked_for(server) == [("rgstore.json", None), ("collections.rgci", None)]
    with RefgetStore(server.url) as third:
        assert len(third.list_collections()) == 3
        assert asked_for(server) == [("rgstore.json", None)]


def test_a_part_from_a_bucket_is_one_request(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = sha512t24u(FILES["other"]["long8"])
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    with wired(int(endpoint.rpartition(":")[2])) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)
        with RefgetStore(bucket) as store:
            name = store.translate(f"sha512t24u:{digest}", "ga4gh")[0]
            assert len(wire.requests) == 2
            before = wire.down
            assert store.fetch(name, 60_000, 60_100) == TEXTS[digest][60_000:60_100]
            assert wire.down - before < 2_000
            assert store.fetch(name, 60_000, 60_100) == TEXTS[digest][60_000:60_100]
            assert len(wire.requests) == 3


def test_connections_are_used_again(server: FileServer) -> None:
    threads: set[int] = set()  # the server has one for each connection

    def note(answer: Answer) -> None:
        threads.add(threading.get_ident())

    server.fault = note
    with RefgetStore(server.url) as store:
        for digest, text in TEXTS.items():
            assert store.fetch(digest, 0, len(text) // 2) == text[: len(text) // 2]
        assert len(server.asked) > 10
    assert len(threads) == 1


def test_a_server_without_ranges_will_do(encoded: Made) -> None:
    digest = sha512t24u(FILES["dna"]["long"])
    with serving(encoded.path, knows_ranges=False) as server, RefgetStore(server.url) as store:
        for start, end in ranges(300_001, 5):
            assert store.fetch(digest, start, end) == TEXTS[digest][start:end]
        whole = [one for one in server.asked if one.path.endswith(".seq") and one.n_bytes > 9]
        assert len(whole) == 2  # the first of them in vain
        assert {one.digest: str(one) for one in store.sequences()} == TEXTS


def test_a_server_that_forbids_what_it_has_not_will_do(encoded: Made, server: FileServer) -> None:
    def forbid(answer: Answer) -> None:
        if answer.status == 404:
            answer.status = 403

    server.fault = forbid
    with connected(server.url) as store:
        assert store.fetch("lab:me") == "ME"
        assert store.fhr(encoded.collections["dna"]) is None
        assert store.fhr(encoded.collections["n"]) == {"genome": "x"}
        with pytest.raises(NotFound):
            store.fetch("lab:nobody")


def test_a_written_store_is_another_one_after_a_refresh(copied: FileServer, tmp_path: Path) -> None:
    path = write_fasta(tmp_path / "more.fa", {"new": "ACACAC"})
    with RefgetStore(copied.url) as store:
        assert sha512t24u("ACACAC") not in store
        writer = Theirs.on_disk(str(copied.root))
        writer.set_quiet(True)
        writer.add_sequence_collection_from_fasta(str(path))
        assert store.refresh()
        assert store.fetch(sha512t24u("ACACAC")) == "ACACAC"
        assert not store.refresh()


def _payload(server: FileServer, text: str) -> Path:
    digest = sha512t24u(text)
    return server.root / "sequences" / digest[:2] / f"{digest}.seq"


def _flip(path: Path, at: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)


_SHORT, _LONG = FILES["dna"]["chr2"], FILES["dna"]["long"]

_BREAKS: dict[str, tuple[Callable[[FileServer], object], Callable[[RefgetStore], object]]] = {
    "short payload changed": (
        lambda server: _flip(_payload(server, _SHORT), 3),
        lambda store: store.fetch(sha512t24u(_SHORT), 0, 5),
    ),
    "short payload truncated": (
        lambda server: os.truncate(_payload(server, _SHORT), 80),
        lambda store: store.fetch(sha512t24u(_SHORT), 0, 5),
    ),
    "short payload longer": (
        lambda server: os.truncate(_payload(server, _SHORT), 90),
        lambda store: store.fetch(sha512t24u(_SHORT), 0, 5),
    ),
    "payload gone": (
        lambda server: _payload(server, _LONG).unlink(),
        lambda store: store.fetch(sha512t24u(_LONG), 7, 9),
    ),
    "long payload changed": (
        lambda server: _flip(_payload(server, _LONG), 3),
        lambda store: store.fetch(sha512t24u(_LONG)),
    ),
    "long payload changed, in pieces": (
        lambda server: _flip(_payload(server, _LONG), 3),
        lambda store: list(store.pieces(sha512t24u(_LONG))),
    ),
    "long payload longer, in pieces": (
        lambda server: os.truncate(_payload(server, _LONG), 80_000),
        lambda store: list(store.pieces(sha512t24u(_LONG))),
    ),
    "long payload truncated": (
        lambda server: os.truncate(_payload(server, _LONG), 70_000),
        lambda store: store.fetch(sha512t24u(_LONG), 290_000, 290_009),
    ),
    "index changed": (
        lambda server: _flip(server.root / "sequences.rgsi"),
        lambda store: store.fetch(sha512t24u(_SHORT)),
    ),
    "index truncated": (
        lambda server: os.truncate(server.root / "sequences.rgsi", 500),
        lambda store: store.find("sha512t24u:" + "z" * 32),
    ),
    "index gone": (
        lambda server: (server.root / "sequences.rgsi").unlink(),
        len,
    ),
    "collections changed": (
        lambda server: _flip(server.root / "collections.rgci"),
        lambda store: store.list_collections(),
    ),
    "collections gone": (
        lambda server: (server.root / "collections.rgci").unlink(),
        lambda store: store.list_collections(),
    ),
    "list changed": (
        lambda server: _flip(next(server.root.glob("collections/*.rgsi")), -70),
        lambda store: [list(one.members()) for one in store.collections()],
    ),
    "list truncated": (
        lambda server: os.truncate(next(server.root.glob("collections/*.rgsi")), 700),
        lambda store: [list(one.members()) for one in store.collections()],
    ),
    "list gone": (
        lambda server: next(server.root.glob("collections/*.rgsi")).unlink(),
        lambda store: [list(one.members()) for one in store.collections()],
    ),
}


@pytest.mark.parametrize("name", _BREAKS)
def test_what_is_damaged_on_a_server_is_no_answer(copied: FileServer, name: str) -> None:
    damage, read = _BREAKS[name]
    damage(copied)
    with RefgetStore(copied.url) as store:
        for _ in range(2):  # nor is it kept
            with pytest.raises((Corrupt, SourceError)) as caught:
                read(store)
            assert "\n" not in str(caught.value)


def test_a_payload_that_was_mended_is_read(copied: FileServer) -> None:
    for address in (copied.url, copied.root):
        with connected(address) as store:
            path = _payload(copied, _SHORT)
            good = path.read_bytes()
            _flip(path, 3)
            with pytest.raises(DigestMismatch):
                store.fetch(sha512t24u(_SHORT))
            path.unlink()
            path.write_bytes(good)
            assert store.fetch(sha512t24u(_SHORT)) == _SHORT


# --- tables -----------------------------------------------------------------------------------

_CELLS = st.text("abcé0#\r ", max_size=3)
_LINES = st.lists(st.lists(_CELLS, min_size=1, max_size=3).map("\t".join), max_size=12)


def _model(data: bytes) -> list[str]:
    lines = [line.removesuffix(b"\r") for line in data.split(b"\n")]
    return [line.decode() for line in lines if line and not line.startswith(b"#")]


def _having(lines: Iterable[str], column: int, key: str) -> list[str]:
    rows = [(line, line.split("\t")) for line in lines]
    return [line for line, cells in rows if len(cells) > column and cells[column] == key]


@given(
    _LINES, st.integers(0, 2), st.booleans(), st.sampled_from(["\n", "\r\n"]), st.booleans(),
    _CELLS,
)  # fmt: skip
def test_lines_are_found_in_whatever_order(
    lines: list[str], column: int, is_sorted: bool, eol: str, is_ended: bool, other: str
) -> None:
    if is_sorted:
        lines.sort(key=lambda line: (cell(line.encode(), column) or b"", line))
    text = eol.join(lines) + (eol if is_ended else "")
    data = text.encode()
    expected = _model(data)
    table = Table(data, "t", column)
    assert list(table.lines()) == expected
    assert len(table) == len(expected)
    keys = {part for line in lines for part in line.split("\t")} | {other}
    for key in sorted(keys):
        having = _having(expected, column, key)
        assert (table.find(key) in having) if having else table.find(key) is None
        for by in range(3):
            found = _having(expected, by, key)
            assert table.find_by(by, key) == (found[0] if found else None)


def test_sorted_lines_may_have_others_between_them() -> None:
    lines = [f"{n:04}\tk{n:04}\n" for n in range(300)]
    for between in ("", "\n", "#comment\tx\n", "\r\n", "\n\n\n#x\n#\n", "x\n"):
        text = "".join(line + (between if n % 7 == 3 else "") for n, line in enumerate(lines))
        data = text.encode()
        assert len(Table(data, "t")) == len(_model(data))
        for column in (0, 1):
            table = Table(data, "t", column)
            for line in lines:
                assert table.find(line.rstrip("\n").split("\t")[column]) == line.rstrip("\n")
            assert table.find("none") is None


def test_large_tables_are_counted_as_small_ones_are() -> None:
    line = "x" * 1_000
    parts = [line, "", "", "", "#" + line, "\r", line + "\r", "# \r", "#"] * 2_500
    data = "\n".join(parts).encode()
    assert len(data) > 1 << 22
    expected = _model(data)
    assert len(Table(data, "t")) == len(expected) == 5_000
    assert sum(1 for _ in Table(data, "t").lines()) == 5_000


def test_lines_that_cannot_be_are_refused() -> None:
    table = Table(b"a\t1\nb\xff\t2\nc\t3\n", "t")
    assert table.find("a") == "a\t1"
    with pytest.raises(Corrupt, match="UTF-8"):
        list(table.lines())
    with pytest.raises(Corrupt, match="UTF-8"):
        table.find_by(1, "2")
    endless = b"a\n" + b"x" * (MAX_LINE + 1) + b"\nz\n"
    with pytest.raises(Corrupt, match="bytes"):
        list(Table(endless, "t").lines())
    with pytest.raises(Corrupt, match="bytes"):
        Table(endless, "t").find("z")
    with pytest.raises(Corrupt, match="bytes"):
        Table(b"#" * (MAX_LINE + 1), "t")
    assert len(list(Table(b"x" * MAX_LINE, "t").lines())) == 1
    assert list(Table(b"", "t").lines()) == []
    assert Table(b"", "t").find("a") is None
    assert Table(b"", "t").find_by(3, "a") is None


def test_an_index_of_many_rows_takes_little_memory(tmp_path: Path) -> None:
    by_hand(tmp_path / "large", {"a": "ACGT"})
    tail = f"\t4\tdna2bit\t%s\t{'0' * 32}\tsome description\n"
    digests = sorted(
        sha512t24u("ACGT") if n == 99_999 else hashlib.sha256(b"%d" % n).hexdigest()[:32]
        for n in range(200_000)
    )
    with open(tmp_path / "large" / "sequences.rgsi", "w") as file:
        file.write(ROW)
        file.writelines(f"chr{n}" + tail % digest for n, digest in enumerate(digests))
    assert unpack(pack(b"ACGT", Alphabet.DNA2), 4, Alphabet.DNA2) == b"ACGT"  # numpy is there
    tracemalloc.start()
    with connected(tmp_path / "large") as store:
        assert store.fetch(sha512t24u("ACGT"), 1, 3) == "CG"
        assert "z" * 32 not in store
        assert len(store) == 200_000
        peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000_000
