"""Published snapshots are read where they are: the answers of a copy, by few requests, and nothing
that a server, a network or a cache has changed is ever believed."""

from __future__ import annotations

import copy
import functools
import gc
import hashlib
import json
import os
import pickle
import random
import re
import shutil
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from http.server import ThreadingHTTPServer
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import Cli, Result
from helpers import (
    built_once,
    computed,
    open_descriptors,
    parse_fasta,
    run_without_rights,
    sha512t24u,
    shared_directory,
    sq,
    tree,
    wait_until,
    write_fasta,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import Answer, Fault, FileServer, serving, serving_s3

import seqarchive
from seqarchive import (
    Ambiguous,
    Archive,
    BadInterval,
    NewerFormat,
    NotFound,
    ReadOnly,
    SeqArchiveError,
    SourceError,
    schema,
)
from seqarchive.bgzf import compress_block
from seqarchive.instances import Instance
from seqarchive.remote import vfs
from seqarchive.remote.cache import DiskCache
from seqarchive.seqrepo.adopting import import_seqrepo
from seqarchive.sources.base import persistently
from seqarchive.writing import initialise

RANDOM = random.Random(20240602)

#: Of a chunk, and of its digest in ``chunks.sha256`` (docs/format.rst).
CHUNK, CHUNK_DIGEST = 1 << 15, 16


def residues(length: int, letters: str = "ACGT") -> str:
    table = bytes(ord(letters[n % len(letters)]) for n in range(256))
    return RANDOM.randbytes(length).translate(table).decode()


@pytest.fixture(scope="module", autouse=True)
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Attempts follow each other at once, and nothing is cached among the files of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(persistently, "__defaults__", ((0.0, 0.0), time.sleep))
        patch.setenv("SEQARCHIVE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("SEQARCHIVE_CACHE_BYTES", raising=False)
        patch.delenv("SEQARCHIVE_ROOT", raising=False)
        # A server of this process has nothing to say of connections that a client gave up.
        patch.setattr(ThreadingHTTPServer, "handle_error", lambda *_arguments: None)
        yield


@pytest.fixture(autouse=True)
def cache(hasty: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that is empty when the test begins."""
    monkeypatch.setenv("SEQARCHIVE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def forget(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], None]:
    """Have what is opened from now on find an empty cache."""
    numbers = count()

    def begin() -> None:
        monkeypatch.setenv("SEQARCHIVE_CACHE", str(tmp_path / f"cache{next(numbers)}"))

    return begin


def ok(result: Result) -> Result:
    """A result of a command that did what it was asked for."""
    assert result.code == 0, result
    return result


def refused(result: Result, code: int, *words: str) -> None:
    """The command said, in one line, what is wrong and where."""
    assert result.code == code, result
    assert result.err.startswith("seqarchive: ")
    assert result.err.endswith("\n")
    assert result.err.count("\n") == 1, result.err
    for word in words:
        assert word in result.err, result.err


def in_another_process(script: str, *arguments: str | os.PathLike[str]) -> str:
    """What a script prints; any warning or error of it fails the test."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *(os.fspath(part) for part in arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def writable_copy(directory: Path, to: Path) -> Path:
    """A copy of a tree that may be changed."""
    shutil.copytree(directory, to, symlinks=True)
    for path in (to, *to.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
    return to


# --- the same answers -------------------------------------------------------------------------

SHORT = {f"NM_{n:06d}.1": residues(RANDOM.randint(1, 400)) for n in range(3000)}
LONG = {
    "chr1": residues(5_000_000),  # some 300 blocks
    "chrM": residues(16_569),  # circular
    "plasmid": residues(90),  # circular, and inside a block
    "empty": "",
    "block": residues(16_349),
    "more": residues(16_350),
}
CIRCULAR = ("refseq:chrM", "refseq:plasmid")
PROTEINS = {
    f"P{n:05d}": residues(RANDOM.randint(20, 900), "ACDEFGHIKLMNPQRSTVWY*-") for n in range(200)
}
#: Lines of these are wrapped by SeqRepo, every 100 residues.
WRAPPED = {"ENST1.1": residues(250), "ENST2.1": residues(100), "ENST3.1": residues(333_333)}
LAB = {
    "NM_000001.1": residues(60),  # which RefSeq uses for another
    "same": SHORT["NM_000002.1"],
    "Wuhan/Hu-1/2019": residues(70),
    "HLA-A*01:01": residues(80),
    "odd:7-9": residues(50),
    "moved": residues(40),
    "retired": residues(30),
}
FIRST = {
    f"{namespace}:{alias}": text
    for namespace, records in (
        ("refseq", SHORT | LONG), ("prot", PROTEINS), ("ensembl", WRAPPED), ("lab", LAB)
    )
    for alias, text in records.items()
}  # fmt: skip
SECOND = FIRST | {"lab:moved": residues(45), "lab:late": residues(500)}
del SECOND["lab:retired"]

#: One of every kind.
VARIED = sorted(
    [f"refseq:{name}" for name in (*LONG, "NM_000000.1", "NM_001500.1", "NM_002999.1")]
    + [name for name in SECOND if name.startswith(("ensembl:", "lab:"))]
    + ["prot:P00000", "prot:P00199"]
)

_SEQREPO = """
import json, sys
from biocommons.seqrepo import SeqRepo
theirs = SeqRepo(sys.argv[1], writeable=True)
for alias, text in json.load(sys.stdin).items():
    theirs.store(text, [{"namespace": "Ensembl", "alias": alias}])
theirs.commit()
"""


def _build_varied(directory: Path) -> None:
    root = directory / "archive"
    root.mkdir(parents=True)
    initialise(Instance(root))
    command = [sys.executable, "-W", "ignore", "-c", _SEQREPO, str(directory / "seqrepo")]
    subprocess.run(command, input=json.dumps(WRAPPED), text=True, check=True)
    with seqarchive.connect(root) as archive:
        short = write_fasta(directory / "short.fa", SHORT)
        assert archive.load(short, "refseq", shard_bytes=60_000, threads=0).shards > 2
        long = write_fasta(directory / "long.fa", LONG)
        circular = frozenset({"chrM", "plasmid"})
        archive.load(long, "refseq", circular=circular, threads=0)
        archive.load(write_fasta(directory / "p.fa", PROTEINS), "prot", threads=0)
        import_seqrepo(Instance(root), directory / "seqrepo", verify=False)
        archive.load(write_fasta(directory / "lab.fa", LAB), "lab", threads=0)
        archive.snapshot("first")
        archive.store(SECOND["lab:moved"], ["lab:moved"], on_conflict="replace")
        archive.retire(["lab:retired"])
        archive["lab:late"] = SECOND["lab:late"]
        archive.snapshot("second")


@pytest.fixture(scope="session")
def varied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of an archive with the snapshots ``first`` and ``second``; nobody changes it."""
    return built_once(tmp_path_factory, "varied", _build_varied) / "archive"


@contextmanager
def in_buckets(directory: Path) -> Iterator[Callable[[str], str]]:
    """A store whose buckets are directories; gives the address of one."""
    with serving_s3(directory) as store, pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment.items():
            patch.setenv(name, value)
        yield store.url


@pytest.fixture(scope="module", params=["http", "s3"])
def mirror(request: pytest.FixtureRequest, varied: Path) -> Iterator[str]:
    """The address of the same root, published."""
    if request.param == "http":
        with serving(varied) as server:
            yield server.url
    else:
        with in_buckets(varied.parent) as address:
            yield address(varied.name)


@pytest.fixture(scope="module")
def remote(mirror: str) -> Iterator[Archive]:
    """The newest release, read in place."""
    with seqarchive.connect(mirror) as archive:
        yield archive


@pytest.fixture(scope="module")
def local(varied: Path) -> Iterator[Archive]:
    """The same release as a directory."""
    with seqarchive.connect(varied, "second") as archive:
        yield archive


def outcome(call: Callable[..., object], *arguments: object, **options: object) -> object:
    """What a call returns, or how it fails."""
    try:
        return call(*arguments, **options)
    except SeqArchiveError as error:
        return type(error), str(error)


def test_every_name_means_what_it_means_in_the_release(remote: Archive) -> None:
    for name, text in SECOND.items():
        assert remote.find(name) == sha512t24u(text)
        assert name in remote
    for name in VARIED:
        text = SECOND[name]
        for identifier in (*computed(text), sha512t24u(text)):
            assert remote.find(identifier) == sha512t24u(text), identifier
            assert remote.fetch(identifier, 0, len(text)) == text
        assert remote.fetch_digest(remote.find(name)) == text
        assert remote[name] == text
    assert "lab:retired" not in remote
    assert remote.fetch(sq(FIRST["lab:retired"])) == FIRST["lab:retired"]
    assert remote.fetch(sq(FIRST["lab:moved"])) == FIRST["lab:moved"]


def test_an_earlier_release_has_its_own_answers(mirror: str) -> None:
    for archive in (
        seqarchive.connect(mirror, "first"),
        seqarchive.connect(f"{mirror}/first"),
        seqarchive.connect(f"{mirror}/first/"),
    ):
        with archive:
            assert archive.fetch("lab:moved") == FIRST["lab:moved"]
            assert archive.fetch("lab:retired") == FIRST["lab:retired"]
            assert "lab:late" not in archive
            assert len(archive) == len(set(FIRST.values()))
            assert archive.address == f"{mirror}/first"
    with seqarchive.connect(mirror, "latest") as latest:
        assert latest.fetch("lab:moved") == SECOND["lab:moved"]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(VARIED), st.data())
def test_every_range_is_that_of_the_sequence(
    remote: Archive, name: str, data: st.DataObject
) -> None:
    text = SECOND[name]
    start = data.draw(st.none() | st.integers(0, len(text)))
    end = data.draw(st.none() | st.integers(start or 0, len(text)))
    assert remote.fetch(name, start, end) == text[start:end]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(VARIED), st.integers(-400, 400_000), st.integers(-9, 400_000), st.booleans())
def test_ranges_that_a_sequence_does_not_have_fail_as_they_do_in_a_copy(
    remote: Archive, local: Archive, name: str, start: int, end: int, clamp: bool
) -> None:
    text = SECOND[name]
    found = outcome(remote.fetch, name, start, end, clamp=clamp)
    assert found == outcome(local.fetch, name, start, end, clamp=clamp)
    if 0 <= start <= end <= len(text):
        assert found == text[start:end]
    elif not clamp and (name not in CIRCULAR or end > len(text) or start < 0):
        assert isinstance(found, tuple)
        assert found[0] is BadInterval


@settings(deadline=None)
@given(st.sampled_from(CIRCULAR), st.data())
def test_a_circular_sequence_has_ranges_over_its_origin(
    remote: Archive, name: str, data: st.DataObject
) -> None:
    text = SECOND[name]
    start = data.draw(st.integers(1, len(text)))
    end = data.draw(st.integers(0, start - 1))
    assert remote.is_circular(name)
    assert remote.fetch(name, start, end) == text[start:] + text[:end]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(VARIED),
    st.none() | st.integers(-6_000_000, 6_000_000),
    st.none() | st.integers(-6_000_000, 6_000_000),
    st.none() | st.integers(-9, 9).filter(bool),
)
def test_every_slice_is_that_of_the_str(
    remote: Archive, name: str, start: int | None, stop: int | None, step: int | None
) -> None:
    assert remote[name][start:stop:step] == SECOND[name][start:stop:step]


def test_a_sequence_is_like_its_str(remote: Archive) -> None:
    text = SECOND["ensembl:ENST3.1"]
    sequence = remote["ENST3.1"]
    assert (len(sequence), sequence[-1], sequence[7]) == (len(text), text[-1], text[7])
    assert text[200_000:200_030] in sequence
    assert sequence.find(text[99_990:100_020]) == 99_990
    assert list(reversed(remote["lab:same"])) == list(reversed(SECOND["lab:same"]))
    assert remote["lab:same"] == remote["refseq:NM_000002.1"]
    assert remote["lab:same"].aliases == [("lab", "same"), ("refseq", "NM_000002.1")]


def test_many_ranges_come_in_the_order_asked(remote: Archive) -> None:
    choose = random.Random(7)
    asked: list[tuple[str, int | None, int | None]] = [("refseq:chrM", 16_000, 9), ("empty", 0, 0)]
    for name in choose.choices(sorted(SECOND), k=150) + choose.choices(VARIED, k=150):
        start = choose.randint(0, len(SECOND[name]))
        asked.append((name, start, choose.randint(start, len(SECOND[name]))))
    ring = SECOND["refseq:chrM"]
    expected = [ring[16_000:] + ring[:9], ""]
    expected += [SECOND[name][start:end] for name, start, end in asked[2:]]
    assert remote.fetch_many(asked) == expected
    assert remote.fetch_many(iter(asked[5:9])) == expected[5:9]
    with pytest.raises(BadInterval):
        remote.fetch_many([*asked, ("lab:late", 0, 501)])


@pytest.mark.parametrize("size", [999, 16_384, 400_000, 1 << 20, 10_000_000])
def test_pieces_make_up_the_sequence(remote: Archive, size: int) -> None:
    for name in VARIED:
        if len(SECOND[name]) / size < 500:
            pieces = list(remote.pieces(name, size))
            assert "".join(pieces) == SECOND[name]
            assert all(0 < len(piece) <= size for piece in pieces)


def test_names_are_those_of_the_release(remote: Archive) -> None:
    same = [*computed(SECOND["lab:same"]), "lab:same", "refseq:NM_000002.1"]
    assert remote.translate("lab:same") == same
    assert remote.translate("same", to="RefSeq") == ["refseq:NM_000002.1"]
    assert remote.translate("same", to=["md5", "LAB"]) == [same[1], "lab:same"]
    names = [*SECOND, *VARIED]
    assert remote.translate_many(names, "sha512t24u") == [
        (name, [f"sha512t24u:{sha512t24u(SECOND[name])}"]) for name in names
    ]
    found = {str(alias): digest for alias, digest in remote.all_aliases()}
    assert found == {name: sha512t24u(text) for name, text in SECOND.items()}
    aliases = [alias.alias for alias, _ in remote.all_aliases("REFSEQ", "NM_00000?.1")]
    assert aliases == [f"NM_00000{n}.1" for n in range(10)]
    assert remote.has_namespace("Lab")
    assert not remote.has_namespace("nowhere")


def test_what_is_walked_through_is_that_of_a_copy(remote: Archive, local: Archive) -> None:
    texts = set(SECOND.values()) | set(FIRST.values())
    assert len(remote) == len(texts)
    assert sorted(remote) == sorted(map(sq, texts))
    assert list(remote) == list(local)
    assert [len(sequence) for sequence in remote.sequences()] == [
        len(sequence) for sequence in local.sequences()
    ]
    for namespace in (None, "refseq", "LAB"):
        assert list(remote.records(namespace)) == list(local.records(namespace))
    assert list(remote.batches()) == list(local.batches())
    assert remote


def test_metadata_and_history_are_those_of_a_copy(remote: Archive, local: Archive) -> None:
    for name in VARIED:
        known = remote.metadata(name)
        assert known == local.metadata(name)
        assert known["identifier"] == sq(SECOND[name])
        assert known["alphabet"] == "".join(sorted(set(SECOND[name])))
        assert known["circular"] == (name in CIRCULAR)
    for name in ("lab:moved", "lab:retired", "lab:late", "ensembl:ENST1.1"):
        assert remote.history(name) == local.history(name)
    moved = remote.history("lab:moved")
    assert [one.length for one in moved] == [40, 45]
    assert (moved[0].to_batch, moved[1].to_batch) == (moved[1].from_batch, None)
    assert remote.history("lab:retired")[-1].to_batch is not None


def test_status_counts_what_a_copy_counts(remote: Archive, local: Archive, mirror: str) -> None:
    elsewhere = {"root", "apparent_bytes", "own_bytes", "real_bytes_of_all"}
    found, expected = remote.status(), local.status()
    assert found.keys() == expected.keys()
    assert {key: found[key] for key in found.keys() - elsewhere} == {
        key: expected[key] for key in expected.keys() - elsewhere
    }
    assert found["aliases"] == len(SECOND)
    assert found["root"] == mirror


def test_the_past_is_that_of_a_copy(mirror: str, varied: Path) -> None:
    names = ["lab:moved", "lab:retired", "lab:late", "refseq:chrM", "prot:P00000"]
    last = int(seqarchive.connect(varied, "second").status()["batch"])
    moments: list[int | str] = [last - 1, f"batch:{last - 2}", "2000-01-01", "2999-01-01"]
    for moment in moments if mirror.startswith("s3") else [*range(last + 1), *moments]:
        with (
            seqarchive.connect(f"{mirror}/second", at=moment) as there,
            seqarchive.connect(varied, "second", at=moment) as here,
        ):
            assert there.at == here.at
            assert len(there) == len(here)
            assert list(there) == list(here)
            for name in names:
                for call in (Archive.fetch, Archive.translate, Archive.is_circular):
                    assert outcome(call, there, name) == outcome(call, here, name)
            assert list(there.all_aliases()) == list(here.all_aliases())
    for wrong in (last + 1, "no moment"):
        found = outcome(seqarchive.connect, mirror, at=wrong)
        assert found == outcome(seqarchive.connect, varied, "second", at=wrong)
        assert isinstance(found, tuple)




def test_a_release_as_a_moment_is_that_release_and_no_day_of_that_name(
    tiny: Path, tmp_path: Path
) -> None:
    root = writable_copy(tiny, tmp_path / "root")
    with seqarchive.connect(root) as archive:
        archive.store("ACGTACGT", ["t:new"])
        archive.snapshot("2024-06-01")  # long after that day
        archive.store("ACGTACGTA", ["t:newer"])
        archive.snapshot("r3")
    initialise(Instance(tmp_path / "other"))
    with seqarchive.connect(tmp_path / "other") as archive:
        archive.snapshot("r4")
    shutil.copytree(tmp_path / "other" / "r4", root / "r4")
    with serving(root) as server:
        for url in (server.url, f"{server.url}/r3"):
            for at, n in (("r1", 0), ("2024-06-01", 1), ("r3", 2), (4, 1), ("batch:5", 2)):
                with seqarchive.connect(url, at=at) as archive:
                    assert archive.at == 3 + n
                    assert [name in archive for name in ("t:new", "t:newer")] == [n > 0, n > 1]
        with pytest.raises(NotFound, match="r3 is not of the past"):
            seqarchive.connect(server.url, "r1", at="r3")
        with pytest.raises(SeqArchiveError, match="'r4' is no moment"):  # not listed
            seqarchive.connect(server.url, at="r4")
    with serving(root / "r3") as server, seqarchive.connect(server.url, at="2024-06-01") as archive:
        assert archive.at == 0  # a snapshot without its root has days only


def test_errors_are_those_of_a_copy(remote: Archive, local: Archive, mirror: str) -> None:
    calls: list[Callable[[Archive], object]] = [
        lambda one: one.fetch("refseq:absent"),
        lambda one: one.fetch("NM_000003"),
        lambda one: one.fetch("lab:retired"),
        lambda one: one.find("NM_000001.1"),
        lambda one: one.translate_many(["lab:late", "lab:nothing"]),
        lambda one: one.metadata("nothing"),
        lambda one: one.aliases(""),
        lambda one: one["lab:nothing"],
        lambda one: list(one.pieces("lab:nothing")),
        lambda one: list(one.all_aliases("nowhere")),
        lambda one: list(one.records("nowhere")),
        lambda one: one.history("lab:nothing"),
        lambda one: one.history("nothing"),
        lambda one: one.fetch("lab:late", 5, 501),
        lambda one: one.fetch("lab:late", 5, 4),
        lambda one: one.fetch("sha256:" + "0" * 64),
        lambda one: one.fetch("\udcff"),
        lambda one: one.fetch("é" * 2000),
    ]
    for number, call in enumerate(calls):
        found = outcome(call, remote)
        assert isinstance(found, tuple), number
        assert found == outcome(call, local)
    with pytest.raises(Ambiguous) as caught:
        remote.fetch("NM_000001.1")
    assert caught.value.candidates == ("lab:NM_000001.1", "refseq:NM_000001.1")
    assert "NM_000001.1" in remote
    assert "nothing" not in remote
    assert None not in remote
    with pytest.raises(NotFound, match=r"nothing.*first, second"):
        seqarchive.connect(mirror, "nothing")
    with pytest.raises(NotFound, match=r"releases\.json"):
        seqarchive.connect(f"{mirror}/nothing")
    with pytest.raises(NotFound, match=r"releases\.json"):
        seqarchive.connect(f"{mirror}/second", "first")
    with pytest.raises(SeqArchiveError, match=r"'\.\./x'"):
        seqarchive.connect(mirror, "../x")


def test_whatever_would_write_is_refused(remote: Archive, mirror: str, tmp_path: Path) -> None:
    file = write_fasta(tmp_path / "x.fa", {"x": "ACGT"})
    calls: list[Callable[[], object]] = [
        lambda: remote.load(file, "lab"),
        lambda: remote.store("ACGT", ["lab:x"]),
        lambda: remote.__setitem__("lab:x", "ACGT"),
        lambda: remote.name("lab:late", ["lab:x"]),
        lambda: remote.retire(["lab:late"]),
        lambda: remote.revert(1),
        lambda: remote.snapshot("third"),
    ]
    for call in calls:
        with pytest.raises(ReadOnly, match=re.escape(f"{mirror}/second is a published snapshot")):
            call()


# --- the command line -------------------------------------------------------------------------


def _commands(directory: Path) -> list[list[str]]:
    bed = directory / "x.bed"
    bed.write_text("chr1\t100\t160\tone\t0\t-\nchrM\t0\t5\nNM_000002.1\t3\t4\n")
    names = directory / "names"
    names.write_text("lab:late\nnothing\nNM_000001.1\nrefseq:chrM\n")
    there = directory / "there"
    there.write_text("lab:late\nrefseq:chrM\n\n")
    return [
        ["get", "refseq:chr1:2500000-2500100", "lab:odd:7-9", "refseq:chrM:16560-9", "empty"],
        ["get", "lab:late", "--fasta", "--width", "7", "-r"],
        ["get", "--bed", str(bed), "-n", "refseq", "--fasta"],
        ["get", "--bed", str(bed), "-n", "refseq", "--json"],
        ["get", "--from", str(there)],
        ["get", "lab:late:5-501"],
        ["get", "lab:late:5-501", "--clamp"],
        ["get", "NM_000001.1"],
        ["get", "lab:late", "lab:nothing"],
        ["get", "lab:moved", "--at", "6"],
        ["get", "lab:retired", "--at", "6"],
        ["translate", "lab:same"],
        ["translate", "--from", str(there), "--to", "ga4gh", "--to", "lab"],
        ["translate", "lab:late", "--to", "prot"],
        ["missing", "--from", str(names)],
        ["missing", "--json", "--from", str(names)],
        ["export", "--namespace", "lab"],
        ["export", "lab:late", "ENST3.1"],
        ["export"],
        ["export-aliases"],
        ["export-aliases", "--namespace", "lab", "--glob", "*a*"],
        ["export-aliases", "--at", "6"],
        ["log"],
        ["--json", "log"],
        ["log", "--alias", "lab:moved"],
        ["alias", "list", "lab:same", "refseq:chrM"],
        ["alias", "history", "lab:retired"],
    ]


def test_commands_print_what_they_print_for_a_copy(
    cli: Cli, mirror: str, varied: Path, tmp_path: Path
) -> None:
    commands = _commands(tmp_path)
    # boto3 takes a fifth of a second to begin.
    for words in commands if mirror.startswith("http") else commands[::4]:
        there = cli("--root", f"{mirror}/second", *words)
        here = cli("--root", str(varied), "--instance", "second", *words)
        assert there == here, words
    assert cli("--root", mirror, *commands[0]) == cli("--root", str(varied), *commands[0])


def test_what_was_taken_back_and_what_is_named_strangely_is_shown_as_of_a_copy(
    cli: Cli, root: Path, tmp_path: Path
) -> None:
    """Logs have rows that say that nothing holds any more; files and genomes have any name."""
    fasta = write_fasta(tmp_path / "my\u00a0file.fa", {"a": "ACGTACGT", "b": "GGGTTT"})
    other = write_fasta(tmp_path / "other.fa", {"c": "GATTACA"})
    said = tmp_path / "fhr.json"
    said.write_text('{"genome": "x\u00a0y", "documentation": "one\\ntwo"}', "utf-8")
    bed = tmp_path / "my\u00a0track.bed"
    bed.write_text("a\t0\t4\n")
    for words in (
        ["load", "-n", "t", "--collection", "t:kept", str(fasta)],
        ["load", "-n", "t", "--collection", "t:silent", str(other)],
        ["collection", "name", "t:kept", "lab:gone", "lab:kept"],
        ["collection", "unname", "lab:gone"],
        ["fhr", "set", "--partial", "t:kept", str(said)],
        ["fhr", "set", "--partial", "t:silent", str(said)],
        ["fhr", "remove", "t:silent"],
        ["track", "put", "--genome", "t:kept", str(bed)],
        ["snapshot", "r1"],
    ):
        ok(cli(*words))
    codes = []
    with serving(root) as server:
        for words in (
            ["fhr", "get", "t:kept"],
            ["fhr", "get", "t:silent"],
            ["fhr", "list"],
            ["collection", "list"],
            ["collection", "show", "lab:kept"],
            ["collection", "show", "lab:gone"],
            ["log"],
        ):
            there = cli("--root", server.url, *words)
            assert there == cli("--instance", "r1", *words), words
            codes.append(there.code)
    assert codes == [0, 3, 0, 0, 0, 3, 0]


def test_commands_print_what_was_stored(cli: Cli, mirror: str, tmp_path: Path) -> None:
    url = f"{mirror}/second"
    get = ["--root", url, "get"]
    chromosome, ring = SECOND["refseq:chr1"], SECOND["refseq:chrM"]
    asked = ["refseq:chr1:2500000-2500100", "lab:odd:7-9", "refseq:chrM:16560-9", "empty"]
    expected = [chromosome[2_500_000:2_500_100], SECOND["lab:odd:7-9"], ring[16_560:] + ring[:9]]
    assert ok(cli(*get, *asked)).out.split("\n") == [*expected, "", ""]
    if mirror.startswith("s3"):  # boto3 takes its time, and the rest is the same
        return
    assert ok(cli(*get, "refseq:chr1")).out == chromosome + "\n"
    exported = parse_fasta(ok(cli("--root", url, "export")).out)
    assert {line.split()[0]: text for line, text in exported} == {
        sq(text): text for text in (*FIRST.values(), *SECOND.values())
    }
    assert {name for line, _ in exported for name in line.split()[1:]} == set(SECOND)
    status = json.loads(ok(cli("--root", url, "--json", "status")).out)
    assert status["sequences"] == len({*FIRST.values(), *SECOND.values()})
    shown = ok(cli("--root", url, "status")).out
    assert shown.startswith(f"{mirror}, instance second\n")
    old = cli("--root", mirror, "--instance", "first", "get", "lab:moved")
    assert ok(old).out == FIRST["lab:moved"] + "\n"
    refused(cli("--root", mirror, "--instance", "third", "get", "lab:moved"), 3, "third")


def test_commands_that_write_say_that_it_is_read_only(
    cli: Cli, mirror: str, tmp_path: Path
) -> None:
    file = str(write_fasta(tmp_path / "x.fa", {"x": "ACGT"}))
    table = tmp_path / "x.tsv"
    table.write_text("namespace\talias\tsequence\nlab\tx\tlab:late\n")
    for words in (
        ["init"],
        ["load", "-n", "lab", file],
        ["load", "-n", "lab", "--dry-run", file],
        ["import-aliases", str(table)],
        ["alias", "add", "lab:late", "lab:x"],
        ["alias", "retire", "lab:late"],
        ["revert", "1"],
        ["snapshot", "third"],
        ["prune", "first"],
        ["repair"],
        ["repair", "--reclaim"],
        ["digests", "add", "sha256"],
        ["import-seqrepo", str(tmp_path)],
    ):
        for instance in ([], ["--instance", "second"]):
            result = cli("--root", mirror, *instance, *words)
            refused(result, 8, mirror, "seqarchive pull")
            assert result.out == ""


# --- few requests -----------------------------------------------------------------------------

MANY = 100_000
CONTIGS = 800


class Many:
    """What is in the archive of many sequences: short ones, a chromosome, contigs that are a little
    longer than a block (three blocks each, so that blocks are of very different sizes)."""

    def __init__(self) -> None:
        source = random.Random(11)
        table = bytes(b"ACGT"[n % 4] for n in range(256))
        self._short = source.randbytes(60 * MANY).translate(table).decode()
        self.chromosome = source.randbytes(30_000_000).translate(table).decode()
        self._contigs = source.randbytes(16_400 * CONTIGS).translate(table).decode()

    def short(self, number: int) -> str:
        return self._short[60 * number : 60 * number + 60]

    def contig(self, number: int) -> str:
        return self._contigs[16_400 * number : 16_400 * (number + 1)]

    def build(self, directory: Path) -> None:
        directory.mkdir()
        initialise(Instance(directory / "many"))
        with open(directory / "short.fa", "w", encoding="ascii") as file:
            file.writelines(f">S{n:06d}.1\n{self.short(n)}\n" for n in range(MANY))
        with open(directory / "long.fa", "w", encoding="ascii") as file:
            file.write(f">chr\n{self.chromosome}\n")
            file.writelines(f">c{n}\n{self.contig(n)}\n" for n in range(CONTIGS))
        with seqarchive.connect(directory / "many") as archive:
            for name in ("short.fa", "long.fa"):
                archive.load(directory / name, "t", threads=0)
                (directory / name).unlink()
            archive.snapshot("r1")


@pytest.fixture(scope="module")
def many() -> Many:
    return Many()


@pytest.fixture(scope="session")
def many_published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of an archive of more than 100,000 sequences with the snapshot ``r1``."""
    return built_once(tmp_path_factory, "large", lambda path: Many().build(path)) / "many"


class Wire:
    """A way to a server that counts what goes over it, and that can be cut."""

    def __init__(self, url: str) -> None:
        self._server = ("127.0.0.1", int(urlsplit(url).port or 0))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.connections = 0
        self.requests = 0
        self.n_bytes = 0
        self._open: set[socket.socket] = set()
        """Both ends of what is open."""
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def reset(self) -> None:
        self.connections = self.requests = self.n_bytes = 0

    def is_idle(self) -> bool:
        """Whether nobody has a connection."""
        return not self._open

    def cut(self) -> None:
        """Nobody gets through any more."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listening.close()
        for end in list(self._open):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server) as server:
            ends = {client, server}
            self._open |= ends
            back = threading.Thread(target=self._bring_back, args=(server, client))
            back.start()
            with suppress(OSError):
                while data := client.recv(1 << 16):
                    self.requests += data.startswith((b"GET ", b"HEAD "))
                    server.sendall(data)
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            back.join()
            self._open -= ends

    def _bring_back(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                self.n_bytes += len(data)
                client.sendall(data)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


@contextmanager
def wired(url: str) -> Iterator[Wire]:
    """A way to a server."""
    wire = Wire(url)
    try:
        yield wire
    finally:
        wire.cut()


@contextmanager
def wired_to(kind: str, root: Path) -> Iterator[tuple[str, Wire]]:
    """A root, published on a web server or in a bucket, and the way to it."""
    if kind == "http":
        with serving(root) as server, wired(server.url) as wire:
            yield wire.url, wire
        return
    with (
        in_buckets(root.parent) as address,
        wired(os.environ["AWS_ENDPOINT_URL"]) as wire,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("AWS_ENDPOINT_URL", wire.url)
        yield address(root.name), wire


@pytest.fixture(scope="module")
def counted(many_published: Path) -> Iterator[tuple[str, Wire]]:
    """The address of the large root, and the way to it."""
    with wired_to("http", many_published) as found:
        yield found


#: Requests to open a release and to look something up in it for the first time, and the bytes
#: (with the headers of HTTP) that the latter may take.
OPENING, LOOKING, BYTES = 6, 10, 400_000


@pytest.mark.parametrize(("below", "name"), [("", None), ("", "r1"), ("/r1", None)])
def test_opening_takes_few_requests(
    counted: tuple[str, Wire], many: Many, below: str, name: str | None
) -> None:
    url, wire = counted
    wire.reset()
    with seqarchive.connect(url + below, name) as archive:
        assert 0 < wire.requests <= OPENING
        assert "t:chr" in archive
    wire.reset()
    with seqarchive.connect(url + below, name) as archive:
        assert 0 < wire.requests <= OPENING - 2  # the digests and the head of the database are here
        assert wire.n_bytes < 10_000
        assert len(archive) == MANY + CONTIGS + 1


def test_a_look_up_takes_few_requests_and_bytes(
    counted: tuple[str, Wire], many: Many, forget: Callable[[], None]
) -> None:
    url, wire = counted
    choose = random.Random(3)
    places = [("t:chr", many.chromosome, at) for at in (15_000_000, 29_999_900)]
    places += [(f"t:S{n:06d}.1", many.short(n), 0) for n in choose.choices(range(MANY), k=2)]
    places += [
        (f"t:c{n}", many.contig(n), choose.randrange(16_300))
        for n in (0, choose.randrange(CONTIGS))
    ]
    for name, text, at in places:
        forget()
        end = min(at + 100, len(text))
        with seqarchive.connect(url) as archive:
            wire.reset()
            assert archive.fetch(name, at, end) == text[at:end]
            assert wire.requests <= LOOKING, name
            assert wire.n_bytes <= BYTES, name
            known = wire.requests
            assert archive.fetch(name, at, end) == text[at:end]
            assert archive.fetch(name, at + 1, end) == text[at + 1 : end]
            assert wire.requests == known
            near = min(at + 20_000, len(text) - 50)
            assert archive.fetch(name, near, near + 50) == text[near : near + 50]
            assert wire.requests <= known + 1
        wire.reset()
        with seqarchive.connect(url) as archive:
            assert wire.requests <= 3  # all but the manifest is kept on disk
            opening = wire.requests
            assert archive.fetch(name, at, end) == text[at:end]
            assert wire.requests == opening


def test_names_take_few_requests(counted: tuple[str, Wire], many: Many) -> None:
    url, wire = counted
    with seqarchive.connect(url) as archive:
        for call, expected in (
            (lambda: archive.translate("t:S050000.1", "ga4gh"), [sq(many.short(50_000))]),
            (lambda: archive.translate(computed(many.short(50))[1], "t"), ["t:S000050.1"]),
            (lambda: "t:S999999.1" in archive, False),
            (lambda: archive.history("t:S075000.1")[0].length, 60),
            (lambda: len(archive), MANY + CONTIGS + 1),
        ):
            wire.reset()
            assert call() == expected
            assert wire.requests <= LOOKING


def test_a_second_process_asks_for_the_manifest_alone(
    counted: tuple[str, Wire], many: Many, process: Cli
) -> None:
    url, wire = counted
    words = ["get", "t:S054321.1:5-55", "t:chr:25000000-25000100"]
    expected = f"{many.short(54_321)[5:55]}\n{many.chromosome[25_000_000:25_000_100]}\n"
    wire.reset()
    assert ok(process("--root", f"{url}/r1", *words)).out == expected
    assert wire.requests <= OPENING + 2 * LOOKING
    for address, least in ((f"{url}/r1", 1), (url, 3)):
        wire.reset()
        assert ok(process("--root", address, *words)).out == expected
        assert wire.requests == least


def test_what_is_read_from_end_to_end_takes_few_requests(
    counted: tuple[str, Wire], many: Many
) -> None:
    url, wire = counted
    with seqarchive.connect(url) as archive:
        wire.reset()
        first, last = 1_000_000, 21_000_000
        assert archive.fetch("t:chr", first, last) == many.chromosome[first:last]
        assert wire.requests <= LOOKING + 10
        wire.reset()
        assert archive.status()["aliases"] == MANY + CONTIGS + 1
        assert wire.requests <= 100  # for some 25 MB


def test_a_bucket_is_asked_no_more_than_a_server(many_published: Path, many: Many) -> None:
    with wired_to("s3", many_published) as (url, wire):
        with seqarchive.connect(url) as archive:
            assert 0 < wire.requests <= OPENING
            for name, text, at in (
                ("t:chr", many.chromosome, 15_000_000),
                ("t:S054321.1", many.short(54_321), 0),
            ):
                wire.reset()
                assert archive.fetch(name, at, at + 60) == text[at : at + 60]
                assert wire.requests <= LOOKING
                assert wire.n_bytes <= BYTES
        wire.reset()
        with seqarchive.connect(f"{url}/r1") as archive:
            assert archive.fetch("t:S054321.1") == many.short(54_321)
            assert wire.requests == 1


# --- what is wrong ----------------------------------------------------------------------------

TINY = {
    "a": residues(80),
    "b": residues(140_000),
    "empty": "",
    **{f"s{n}": residues(60) for n in range(800)},
}


def _build_tiny(directory: Path) -> None:
    initialise(Instance(directory / "tiny"))
    with seqarchive.connect(directory / "tiny") as archive:
        archive.load(write_fasta(directory / "x.fa", TINY), "t", threads=0)
        archive.store(TINY["a"], ["t:later"])
        archive.store(TINY["s1"], ["t:later"], on_conflict="replace")
        archive.snapshot("r1")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a small archive with the snapshot ``r1``; nobody changes it."""
    return built_once(tmp_path_factory, "small", _build_tiny) / "tiny"


@pytest.fixture
def server(tiny: Path) -> Iterator[FileServer]:
    """It, on a web server."""
    with serving(tiny) as serving_it:
        yield serving_it


#: What a release has, by the ends of names, in the order in which it is read.
PARTS = ["manifest.json", "chunks.sha256", "aliases.sqlite3", ".gzi", ".bgz"]

RIGHT = TINY["b"][70_000:70_100]


def first_answer(url: str) -> str:
    """Open a root and read a little, with an empty cache or a full one."""
    with seqarchive.connect(url, "r1") as archive:
        return archive.fetch("t:b", 70_000, 70_100)


def everything(archive: Archive) -> dict[str, object]:
    """All that an archive says, so that every page of its database is read."""
    status = archive.status()
    for name in ("root", "apparent_bytes", "own_bytes", "real_bytes_of_all"):
        del status[name]
    return {
        "status": status,
        "length": len(archive),
        "aliases": list(archive.all_aliases()),
        "records": list(archive.records()),
        "batches": list(archive.batches()),
        "history": archive.history("t:later"),
        "metadata": [archive.metadata(f"t:{name}") for name in list(TINY)[::9]],
        "by digest": [archive.find(computed(text)[1]) for text in TINY.values()],
        "by sha1": [archive.find(computed(text)[3]) for text in TINY.values()],
        "by name": archive.translate_many([f"t:{name}" for name in TINY]),
        "texts": {name: archive.fetch(f"t:{name}") for name in TINY},
    }


@pytest.fixture(scope="module")
def all_of_tiny(tiny: Path) -> dict[str, object]:
    """What a copy says."""
    with seqarchive.connect(tiny, "r1") as archive:
        found = everything(archive)
    assert found["texts"] == TINY
    assert found["by digest"] == [sha512t24u(text) for text in TINY.values()]
    return found


def begins_at(answer: Answer) -> int:
    """The position in its file of the first byte of an answer."""
    match = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return int(match[1]) if match else 0


def flip(answer: Answer, at: int) -> None:
    body = bytearray(answer.body)
    body[at] ^= 1 << at % 8
    answer.body = bytes(body)


def _say(answer: Answer, status: int, body: bytes = b"sorry", **headers: str) -> None:
    answer.status, answer.body = status, body
    answer.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def _says_another_range(answer: Answer) -> None:
    first = begins_at(answer)
    answer.headers["Content-Range"] = f"bytes {first + 1}-{first + len(answer.body)}/*"


def _gives(answer: Answer, body: bytes) -> None:
    answer.body = body
    del answer.headers["Content-Length"]


#: What may be over when the same is asked again.
PASSING: dict[str, Callable[[Answer], None]] = {
    "a wrong byte": lambda answer: flip(answer, len(answer.body) // 2),
    "an end in the middle": lambda answer: setattr(answer, "cut", len(answer.body) // 2),
    "an end at the beginning": lambda answer: setattr(answer, "cut", 0),
    "one byte less": lambda answer: _gives(answer, answer.body[:-1]),
    "nothing": lambda answer: _gives(answer, b""),
    "500": lambda answer: _say(answer, 500),
    "503": lambda answer: _say(answer, 503, Retry_After="0"),
    "429": lambda answer: _say(answer, 429, Retry_After="0"),
}
#: What is not.
LASTING: dict[str, Callable[[Answer], None]] = {
    "one byte more": lambda answer: _gives(answer, answer.body + b"x"),
    "other bytes": lambda answer: _gives(answer, random.Random(1).randbytes(len(answer.body))),
    "compressed": lambda answer: answer.headers.__setitem__("Content-Encoding", "gzip"),
    "404": lambda answer: _say(answer, 404),
    "403": lambda answer: _say(answer, 403),
    "206 of another range": _says_another_range,
    "206 of no range": lambda answer: answer.headers.__setitem__("Content-Range", ""),
    "200": lambda answer: setattr(answer, "status", 200),
}
_OF_RANGES = ("206 of another range", "206 of no range", "200")
#: Those that can happen to each part.
_ALL = [
    (part, what)
    for part in PARTS
    for what in (*PASSING, *LASTING)
    if part not in PARTS[:2] or what not in _OF_RANGES
]


def changing(part: str, change: Callable[[Answer], None], times: int = 1_000_000) -> Fault:
    """A fault of the answers that have some part of a release."""
    left = iter(range(times))

    def fault(answer: Answer) -> None:
        is_it = answer.path.endswith(part) and answer.status in (200, 206)
        if is_it and next(left, None) is not None:
            change(answer)

    return fault


@pytest.mark.parametrize("what", PASSING)
@pytest.mark.parametrize("part", PARTS)
def test_what_is_wrong_once_is_asked_again(server: FileServer, part: str, what: str) -> None:
    server.fault = changing(part, PASSING[what], 1)
    assert first_answer(server.url) == RIGHT
    assert len([one for one in server.asked if one.path.endswith(part)]) > 1


@pytest.mark.parametrize(("part", "what"), _ALL)
def test_what_is_wrong_is_an_error_and_no_answer(server: FileServer, part: str, what: str) -> None:
    server.fault = changing(part, (PASSING | LASTING)[what])
    with pytest.raises(SourceError) as caught:
        first_answer(server.url)
    assert caught.value.exit_code == 9
    assert server.url in str(caught.value)
    assert "\n" not in str(caught.value)
    server.fault = None
    assert first_answer(server.url) == RIGHT  # and nothing of it was kept


@pytest.mark.parametrize("what", ["a wrong byte", "an end in the middle", "503", "404", "200"])
@pytest.mark.parametrize("part", PARTS[2:])
def test_an_open_archive_goes_on_when_the_server_is_well_again(
    server: FileServer, part: str, what: str, all_of_tiny: dict[str, object]
) -> None:
    with seqarchive.connect(f"{server.url}/r1") as archive:
        server.fault = changing(part, (PASSING | LASTING)[what])
        with pytest.raises(SourceError):
            everything(archive)
        if part != "aliases.sqlite3":
            for call in (archive.fetch, lambda name: list(archive.pieces(name))):
                with pytest.raises(SourceError):
                    call("t:b")
        server.fault = None
        assert archive.fetch("t:b", 70_000, 70_100) == RIGHT
        assert list(archive.all_aliases()) == all_of_tiny["aliases"]


def test_no_chunk_of_the_database_is_believed(
    server: FileServer, tiny: Path, all_of_tiny: dict[str, object], forget: Callable[[], None]
) -> None:
    size = (tiny / "r1" / "aliases.sqlite3").stat().st_size
    choose = random.Random(5)
    n_hit = 0
    for first in range(0, size, CHUNK):
        position = choose.randrange(first, min(first + CHUNK, size))
        hits: list[int] = []

        def fault(answer: Answer, position: int = position, hits: list[int] = hits) -> None:
            at = position - begins_at(answer)
            if answer.path.endswith("aliases.sqlite3") and 0 <= at < len(answer.body):
                hits.append(at)
                flip(answer, at)

        forget()
        server.fault = fault
        try:
            with seqarchive.connect(f"{server.url}/r1") as archive:
                assert everything(archive) == all_of_tiny
            assert not hits
        except SourceError:
            assert len(hits) == 3  # attempts
        n_hit += bool(hits)
    assert n_hit > 8
    assert n_hit >= size // CHUNK - 1  # the rest of the last chunk may be of no table


def _flipping(part: str, position: int) -> Fault:
    def fault(answer: Answer) -> None:
        at = position - begins_at(answer)
        if answer.path.endswith(part) and answer.status < 300 and 0 <= at < len(answer.body):
            flip(answer, at)

    return fault


def test_no_byte_of_a_block_is_believed(server: FileServer, forget: Callable[[], None]) -> None:
    first_answer(server.url)
    (block,) = [one for one in server.asked if one.path.endswith(".bgz")][-1:]
    begin, end = map(int, re.findall(r"\d+", block.range or ""))
    inside = random.Random(2).sample(range(begin + 18, end - 8), 24)
    in_header, trailer = range(begin, begin + 18), range(end - 7, end + 1)
    for position in [*in_header, *inside, *trailer]:
        forget()
        server.fault = _flipping(".bgz", position)
        try:
            assert first_answer(server.url) == RIGHT
            assert position in in_header  # some of which says nothing of the contents
        except SourceError:
            pass


def test_no_byte_of_an_index_of_blocks_is_believed(
    server: FileServer, tiny: Path, forget: Callable[[], None]
) -> None:
    sizes = {path.stat().st_size for path in (tiny / "r1").rglob("*.gzi")}
    (size,) = sizes
    for position in range(0, size, 5):
        forget()
        server.fault = _flipping(".gzi", position)
        with pytest.raises(SourceError):
            first_answer(server.url)


def test_no_byte_of_the_digests_of_chunks_is_believed(
    server: FileServer, tiny: Path, forget: Callable[[], None]
) -> None:
    for position in range(0, (tiny / "r1" / "chunks.sha256").stat().st_size, 9):
        forget()
        server.fault = _flipping("chunks.sha256", position)
        with pytest.raises(SourceError):
            first_answer(server.url)


def test_no_byte_of_a_listed_manifest_is_believed(
    server: FileServer, tiny: Path, forget: Callable[[], None]
) -> None:
    for position in range(0, (tiny / "r1" / "manifest.json").stat().st_size, 13):
        forget()
        server.fault = _flipping("manifest.json", position)
        with pytest.raises(SourceError):
            seqarchive.connect(server.url)




def test_a_block_in_the_place_of_another_is_not_taken_for_it(server: FileServer) -> None:
    smaller = compress_block(TINY["b"][:9_000].encode())

    def fault(answer: Answer) -> None:
        if answer.path.endswith(".bgz") and len(answer.body) > len(smaller):
            answer.body = smaller + answer.body[len(smaller) :]

    server.fault = fault
    with pytest.raises(SourceError):
        first_answer(server.url)


def test_a_server_without_ranges_is_one_to_pull_from(tiny: Path, cli: Cli) -> None:
    with serving(tiny, knows_ranges=False) as server:
        with pytest.raises(SourceError, match=r"ranges.*seqarchive pull"):
            seqarchive.connect(server.url)
        refused(cli("--root", server.url, "get", "t:a"), 9, "seqarchive pull")
        assert server.n_bytes < 2_000_000


def test_a_release_from_before_reading_in_place_is_one_to_pull(
    tiny: Path, tmp_path: Path, cli: Cli
) -> None:
    old = writable_copy(tiny / "r1", tmp_path / "r1")
    manifest = json.loads((old / "manifest.json").read_text())
    manifest["files"] = [one for one in manifest["files"] if one["path"] != "chunks.sha256"]
    (old / "manifest.json").write_text(json.dumps(manifest))
    (old / "chunks.sha256").unlink()
    with serving(tmp_path) as server:
        refused(cli("--root", f"{server.url}/r1", "get", "t:a"), 9, "pull it")


def test_a_server_that_forbids_what_is_not_there_has_roots_too(server: FileServer) -> None:
    def fault(answer: Answer) -> None:  # as buckets do whose names may not be listed
        if answer.status == 404:
            _say(answer, 403)

    server.fault = fault
    assert first_answer(server.url) == RIGHT
    with seqarchive.connect(server.url) as archive:
        assert archive.fetch("t:a") == TINY["a"]
    with pytest.raises(SeqArchiveError):
        seqarchive.connect(f"{server.url}/nowhere")


@pytest.fixture(params=["http", "s3"])
def changeable(
    request: pytest.FixtureRequest, tiny: Path, tmp_path: Path
) -> Iterator[tuple[str, Path]]:
    """The address of a root whose files the test may change, and its directory."""
    root = writable_copy(tiny, tmp_path / "store" / "bucket")
    shutil.rmtree(root / "master")
    if request.param == "http":
        with serving(root) as server:
            yield server.url, root
    else:
        with in_buckets(root.parent) as address:
            yield address(root.name), root


@pytest.mark.parametrize("part", PARTS)
def test_damage_where_it_is_kept_is_an_error(tiny: Path, tmp_path: Path, part: str) -> None:
    root = writable_copy(tiny, tmp_path / "store" / "bucket")
    for path in root.rglob(f"*{part}"):
        if path.suffix != ".json" or path.parent.name == "r1":
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 4
            path.write_bytes(data)
    with in_buckets(root.parent) as address:
        with pytest.raises(SourceError) as caught, seqarchive.connect(address("bucket")) as archive:
            everything(archive)
        assert "s3://bucket/r1/" in str(caught.value)


def test_a_release_that_is_removed_under_a_reader_does_not_become_an_empty_one(
    changeable: tuple[str, Path], cli: Cli, tmp_path: Path
) -> None:
    url, root = changeable
    names = tmp_path / "names"
    names.write_text("".join(f"t:s{n}\n" for n in range(800)))
    with seqarchive.connect(f"{url}/r1") as archive:
        assert archive.fetch("t:b", 70_000, 70_100) == RIGHT
        for path in root.rglob("*"):
            if path.is_file() and path.name != "manifest.json" and path.parent != root:
                path.unlink()
        assert archive.fetch("t:b", 70_010, 70_020) == RIGHT[10:20]
        calls: list[Callable[[], object]] = [
            lambda: archive.fetch("t:b", 0, 10),
            lambda: list(archive.pieces("t:b")),
            lambda: everything(archive),
            lambda: [f"t:s{n}" in archive for n in range(800)],
            lambda: archive.fetch_many([(f"t:s{n}", 0, 5) for n in range(800)]),
            lambda: archive.translate_many([f"t:s{n}" for n in range(800)]),
            lambda: [archive.find(sq(text)) for text in TINY.values()],
        ]
        for call in calls if url.startswith("http") else calls[:1]:  # boto3 has patience
            with pytest.raises(SourceError):
                call()
    result = cli("--root", f"{url}/r1", "missing", "--from", names)
    assert (result.code, result.out) == (9, "")




@pytest.mark.parametrize("kind", ["http", "s3"])
def test_when_the_server_is_gone_what_is_known_is_still_answered(kind: str, tiny: Path) -> None:
    with wired_to(kind, tiny) as (url, wire):
        archive = seqarchive.connect(f"{url}/r1")
        assert archive.fetch("t:b", 70_000, 70_100) == RIGHT
        assert archive.fetch("t:s5") == TINY["s5"]
        wire.cut()
        assert archive.fetch("t:b", 70_050, 70_060) == RIGHT[50:60]
        assert archive.translate("t:s5", "ga4gh") == [sq(TINY["s5"])]
        assert "t:s6" in archive
        started = time.monotonic()
        calls: list[Callable[[], object]] = [
            lambda: archive.fetch("t:b", 0, 10),
            lambda: everything(archive),
            lambda: seqarchive.connect(url),
            lambda: seqarchive.connect(f"{url}/r1"),
        ]
        for call in calls:
            with pytest.raises(SourceError) as caught:
                call()
            assert "\n" not in str(caught.value)
        assert time.monotonic() - started < 20
        archive.close()
        assert archive.fetch("t:b", 70_000, 70_100) == RIGHT  # from the disk
        archive.close()


def test_passwords_are_used_and_not_shown(server: FileServer) -> None:
    url = server.url.replace("http://", "http://ann:secret@")
    with seqarchive.connect(f"{url}/r1") as archive:
        assert archive.fetch("t:a") == TINY["a"]
        assert pickle.loads(pickle.dumps(archive)).fetch("t:a") == TINY["a"]
        server.fault = changing(".bgz", LASTING["403"])
        with pytest.raises(SourceError) as caught:
            archive.fetch("t:b", 9, 99)
        said = [repr(archive), str(caught.value), json.dumps(archive.status()), archive.address]
        with pytest.raises(ReadOnly) as caught_too:
            archive["t:x"] = "A"
        assert not any("secret" in text for text in (*said, str(caught_too.value)))


# --- the cache --------------------------------------------------------------------------------


def tour(archive: Archive) -> None:
    """Read enough of everything that many blocks and chunks are cached."""
    for at in range(0, 140_000, 20_000):
        assert archive.fetch("t:b", at, at + 50) == TINY["b"][at : at + 50]
    for name in ("a", "s1", "s400", "s799"):
        assert archive.fetch(f"t:{name}") == TINY[name]
        assert archive.translate(f"t:{name}", "md5") == computed(TINY[name])[1:2]
        assert archive.find(sq(TINY[name])) == sha512t24u(TINY[name])


def cached(directory: Path) -> list[Path]:
    """The files of a cache."""
    return sorted(path for path in directory.rglob("*") if path.is_file())


def _flip_last(files: list[Path]) -> None:
    for path in files:
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)


def _flip_first(files: list[Path]) -> None:
    for path in files:
        data = bytearray(path.read_bytes())
        data[0] ^= 128
        path.write_bytes(data)


def _exchange(files: list[Path]) -> None:
    contents = [path.read_bytes() for path in files]
    for path, data in zip(files, contents[1:] + contents[:1], strict=True):
        path.write_bytes(data)


def _cut(files: list[Path]) -> None:
    for path in files:
        os.truncate(path, path.stat().st_size // 2)


def _make_directories(files: list[Path]) -> None:
    for path in files:
        path.unlink()
        path.mkdir()


def _make_links(files: list[Path]) -> None:
    for path in files:
        path.unlink()
        path.symlink_to("nowhere/at/all")


def _empty(files: list[Path]) -> None:
    for path in files:
        os.truncate(path, 0)


def _append(files: list[Path]) -> None:
    for path in files:
        path.write_bytes(path.read_bytes() + b"x")


def _remove(files: list[Path]) -> None:
    for path in files:
        path.unlink()


#: What can become of the files of a cache.
SPOILED: dict[str, Callable[[list[Path]], None]] = {
    "the last byte is wrong": _flip_last,
    "the first byte is wrong": _flip_first,
    "they are cut": _cut,
    "they are empty": _empty,
    "they are longer": _append,
    "each has the contents of another": _exchange,
    "they are directories": _make_directories,
    "they are links that lead nowhere": _make_links,
    "they are gone": _remove,
    "some are gone": lambda files: _remove(files[9:]),
}


@pytest.mark.parametrize("what", SPOILED)
def test_what_is_spoiled_in_the_cache_is_fetched_again(
    server: FileServer, cache: Path, what: str
) -> None:
    url = f"{server.url}/r1"
    for _ in range(2):
        server.reset()
        with seqarchive.connect(url) as archive:
            tour(archive)
    assert [one.path for one in server.asked] == ["/r1/manifest.json"]
    SPOILED[what](cached(cache))
    server.reset()
    with seqarchive.connect(url) as archive:
        tour(archive)
    assert len(server.asked) > 5
    if "directories" not in what:
        server.reset()
        with seqarchive.connect(url) as archive:
            tour(archive)
        assert len(server.asked) == 1  # whole again


def test_a_cache_that_is_no_directory_keeps_nothing(server: FileServer, cache: Path) -> None:
    cache.write_text("a file")
    for _ in range(2):
        server.reset()
        with seqarchive.connect(f"{server.url}/r1") as archive:
            tour(archive)
        assert len(server.asked) > 5
    assert cache.read_text() == "a file"


def test_a_cache_that_may_not_be_written_or_read_does_no_harm(
    server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shared_directory() as directory:
        kept = directory / "cache"
        monkeypatch.setenv("SEQARCHIVE_CACHE", str(kept))
        with seqarchive.connect(f"{server.url}/r1") as archive:
            tour(archive)
        before = tree(kept)
        for number, part in enumerate(sorted(kept.iterdir())):
            for path in part.iterdir():
                path.chmod((0o444, 0o000)[number % 2])
            part.chmod((0o555, 0o555, 0o000)[number % 3])
        kept.chmod(0o555)
        words = ["--root", f"{server.url}/r1", "get", "t:b:20000-20050", "t:b:30000-30050", "t:a"]
        text = TINY["b"]
        (result,) = run_without_rights(words)
        assert ok(result).out.split("\n") == [
            text[20_000:20_050], text[30_000:30_050], TINY["a"], ""
        ]  # fmt: skip
        assert result.err == ""
        for path in (kept, *kept.iterdir()):
            path.chmod(0o755)
        for path in cached(kept):
            path.chmod(0o644)
        assert tree(kept) == before


def n_bytes(directory: Path) -> int:
    """What the files of a cache take."""
    return sum(path.stat().st_size for path in cached(directory))


def test_the_cache_stays_within_its_bound(cache: Path) -> None:
    kept = DiskCache(cache, 100_000)
    for number in range(400):
        key, data = number.to_bytes(16, "big"), RANDOM.randbytes(RANDOM.randrange(9_000))
        kept.put(key, data)
        assert n_bytes(cache) <= 100_000 + 9_016
        assert kept.get(key) == data
    assert n_bytes(cache) > 50_000  # and is not emptied for nothing
    kept.put(b"k" * 16, bytes(100_000))  # more than it may hold
    assert kept.get(b"k" * 16) is None
    later = DiskCache(cache, 20_000)  # a smaller bound than it was filled with
    later.put(b"l" * 16, bytes(5_000))
    assert n_bytes(cache) <= 20_000
    assert later.get(b"l" * 16) == bytes(5_000)


def test_reading_keeps_the_cache_within_its_bound(
    server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQARCHIVE_CACHE_BYTES", "150000")
    with seqarchive.connect(f"{server.url}/r1") as archive:
        for name in random.Random(4).choices(sorted(TINY), k=60):
            assert archive.fetch(f"t:{name}", None, 50, clamp=True) == TINY[name][:50]
            assert 0 < n_bytes(cache) <= 150_000 + CHUNK + 16
        for at in range(0, 140_000, 8_000):
            assert archive.fetch("t:b", at, at + 9) == TINY["b"][at : at + 9]
            assert 0 < n_bytes(cache) <= 150_000 + CHUNK + 16


def test_what_was_not_used_for_longest_goes_first(cache: Path) -> None:
    kept = DiskCache(cache, 10_000)
    keys = [bytes([number]) * 16 for number in range(9)]
    for age, key in enumerate(keys):
        kept.put(key, key * 60)
        (new,) = [path for path in cached(cache) if path.stat().st_mtime > 1e9]
        os.utime(new, (1e9 - age, 1e9 - age))  # the first one is the youngest
    for used in (keys[8], keys[5]):
        assert kept.get(used) == used * 60  # the oldest, but used just now
    for number in range(20, 22):
        kept.put(bytes([number]) * 16, bytes(960))
    gone = [key for key in keys if kept.get(key) is None]
    assert keys[7] in gone
    assert gone == [key for key in (keys[4], keys[6], keys[7]) if key in gone]


def test_a_cache_of_no_bytes_keeps_nothing(
    server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQARCHIVE_CACHE_BYTES", "0")
    for _ in range(2):
        server.reset()
        with seqarchive.connect(f"{server.url}/r1") as archive:
            tour(archive)
            known = len(server.asked)
            assert known > 5
            tour(archive)  # from memory
            assert len(server.asked) == known
    assert cached(cache) == []


def test_a_user_without_a_home_reads_without_a_cache(server: FileServer) -> None:
    names = ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "SEQARCHIVE_CACHE", "SEQARCHIVE_ROOT")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    if os.geteuid():  # who runs the tests has a home, which is none of ours
        environment |= dict.fromkeys(names[1:3], os.devnull)
    there, here = run_without_rights(
        ["--root", server.url, "get", "t:a"], ["get", "t:a"], user=54_321, environment=environment
    )
    assert there == (0, TINY["a"] + "\n", "")
    assert here.code in (2, 3)
    assert "root" in here.err or os.devnull in here.err


@pytest.mark.parametrize("text", ["\N{SUPERSCRIPT TWO}", "-1", "much", "1e9", " ", "9" * 5000])
def test_a_bound_that_is_no_number_is_no_crash(
    server: FileServer, monkeypatch: pytest.MonkeyPatch, text: str, cli: Cli
) -> None:
    monkeypatch.setenv("SEQARCHIVE_CACHE_BYTES", text)
    result = cli("--root", f"{server.url}/r1", "get", "t:a")
    if result.code:
        refused(result, 2, "SEQARCHIVE_CACHE_BYTES")
    else:
        assert result.out == TINY["a"] + "\n"


def test_archives_that_share_a_cache_share_its_bound(cache: Path) -> None:
    both = [DiskCache(cache, 200_000) for _ in range(4)]
    for number in range(400):
        both[number % 4].put(number.to_bytes(16, "big"), RANDOM.randbytes(2_000))
        assert n_bytes(cache) <= 250_000


_FILLING = """
import pathlib, random, sys
from seqarchive.remote.cache import DiskCache
source = random.Random(sys.argv[2])
kept = DiskCache(pathlib.Path(sys.argv[1]), 500_000)
kept.put(b"first of " + sys.argv[2].encode(), b"")
print("ready", flush=True)
sys.stdin.readline()
for _ in range(130):
    key, data = source.randbytes(16), source.randbytes(3_000)
    kept.put(key, data)
    assert kept.get(key) in (None, data)
sys.stdin.readline()
"""


def test_processes_that_share_a_cache_share_its_bound(cache: Path) -> None:
    both = [
        subprocess.Popen(
            [sys.executable, "-c", _FILLING, str(cache), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in "ABC"
    ]
    for one in both:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in both:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    most = 0
    while any(one.poll() is None for one in both):
        with suppress(FileNotFoundError):
            most = max(most, n_bytes(cache))
        for one in both:
            if one.stdin is not None and not one.stdin.closed:
                one.stdin.close()
    for one in both:
        assert one.stdout is not None
        one.stdout.close()
        assert one.wait() == 0
    most = max(most, n_bytes(cache))  # they may have been too quick to be looked at
    assert 100_000 < most <= 650_000


def test_what_is_written_at_one_time_by_several_is_whole(cache: Path) -> None:
    data = RANDOM.randbytes(300_000)
    kept = [DiskCache(cache, 10_000_000) for _ in range(4)]
    stop = threading.Event()

    def write(one: DiskCache) -> None:
        for _ in range(25):
            one.put(b"key of them all.", data)

    def read(one: DiskCache) -> int:
        n_read = 0
        while not stop.is_set():
            found = one.get(b"key of them all.")
            assert found in (None, data)
            n_read += found is not None
        return n_read

    kept[0].put(b"key of them all.", data)
    with ThreadPoolExecutor(8) as pool:
        readers = [pool.submit(read, one) for one in kept]
        writers = [pool.submit(write, one) for one in kept]
        for writer in writers:
            writer.result()
        stop.set()
        assert all(reader.result() > 0 for reader in readers)
    assert len(cached(cache)) == 1


def test_what_a_killed_process_left_counts_and_goes(cache: Path) -> None:
    kept = DiskCache(cache, 100_000)
    kept.put(b"\0" * 16, b"x")
    (only,) = cached(cache)
    left = only.with_name(f".{only.name}.12345.67890")
    left.write_bytes(bytes(90_000))
    os.utime(left, (1, 1))
    kept = DiskCache(cache, 100_000)
    for number in range(1, 12):
        kept.put(bytes([number]) * 16, bytes(2_000))
    assert n_bytes(cache) <= 100_000
    assert not left.exists()


def test_files_of_others_in_its_directory_are_not_touched(
    server: FileServer, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    theirs = [cache / name for name in ("thesis.tex", "photos/1.jpg", "ab/notes", "ab/c/d/e")]
    for path in theirs:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"dear to somebody")
        os.utime(path, (1, 1))
    monkeypatch.setenv("SEQARCHIVE_CACHE_BYTES", "100000")
    with seqarchive.connect(f"{server.url}/r1") as archive:
        tour(archive)
    assert [path for path in theirs if not path.exists()] == []


def test_what_one_mirror_gave_is_not_what_another_is_believed_to_have(
    server: FileServer, tiny: Path, tmp_path: Path
) -> None:
    # Its block is whole, and has other residues: nothing but the digest of all of them tells.
    bad = writable_copy(tiny, tmp_path / "bad")
    (shard,) = (bad / "r1").rglob("*.fa.bgz")
    (index,) = (bad / "r1").rglob("*.gzi")
    entries = struct.unpack(f"<{index.stat().st_size // 8}Q", index.read_bytes())[1:]
    n = next(n for n in range(0, len(entries), 2) if entries[n + 3] > 70_200)
    begin, end = entries[n], entries[n + 2]
    data = shard.read_bytes()
    inside = zlib.decompress(data[begin:end], 31)
    assert RIGHT.encode() in inside
    other = compress_block(inside.translate(bytes.maketrans(b"ACGT", b"TGCA")))
    assert len(other) == end - begin
    shard.write_bytes(data[:begin] + other + data[end:])
    with serving(bad) as wrong:
        first_answer(wrong.url)
    assert first_answer(server.url) == RIGHT


# --- threads, forks, pickles, descriptors -----------------------------------------------------


@pytest.mark.parametrize("kind", ["http", "s3"])
def test_threads_get_exact_residues_over_few_connections(kind: str, varied: Path) -> None:
    with wired_to(kind, varied) as (url, wire), seqarchive.connect(url) as archive:

        def hammer(seed: int) -> int:
            choose = random.Random(seed)
            for _ in range(60):
                name = choose.choice(VARIED if choose.random() < 0.5 else sorted(SECOND))
                text = SECOND[name]
                start = choose.randint(0, len(text))
                end = min(len(text), start + choose.randrange(40_000))
                assert archive.fetch(name, start, end) == text[start:end]
                assert sha512t24u(text) == archive.find(name)
                assert "lab:nothing" not in archive
            return seed

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(hammer, range(8))) == list(range(8))
        assert wire.requests > 100
        assert wire.connections <= 8 + 2  # one a thread, and what opening took
        known = wire.connections
        for at in range(0, 5_000_000, 300_000):
            assert archive.fetch("refseq:chr1", at, at + 9) == SECOND["refseq:chr1"][at : at + 9]
        assert wire.connections == known


def test_threads_that_end_leave_no_descriptor_and_no_database(server: FileServer) -> None:
    with seqarchive.connect(f"{server.url}/r1") as archive:

        def fetch() -> None:
            assert archive.fetch("t:a") == TINY["a"]

        def in_threads(number: int) -> None:
            for _ in range(number):
                thread = threading.Thread(target=fetch)
                thread.start()
                thread.join()
            gc.collect()

        in_threads(2)
        before = open_descriptors()
        in_threads(30)
        # The ends of the server, which is in this process too, go when its threads come to it.
        wait_until(lambda: open_descriptors() <= before)
    assert vfs._files == {}


_FORKS = """
import os, sys, time
import seqarchive
from seqarchive.sources.base import persistently
persistently.__defaults__ = ((), time.sleep)  # no second attempt hides what went wrong in the first
archive = seqarchive.connect(sys.argv[1])
texts = {name: archive.fetch(name) for name in sys.argv[2:]}
children = []
for child in range(3):
    pid = os.fork()
    if pid == 0:
        right = all(archive.fetch(name) == text for name, text in texts.items())
        right = right and all(archive.fetch("t:b", at, at + 9) for at in range(0, 140_000, 9_000))
        right = right and "t:nothing" not in archive
        os._exit(0 if right else 1)
    children.append(pid)
for at in range(0, 140_000, 7_000):
    print(archive.fetch("t:b", at, at + 9))
print([os.waitpid(pid, 0)[1] for pid in children])
archive.close()
pid = os.fork()
if pid == 0:
    os._exit(0 if archive.fetch("t:s300") and archive.find("t:s301") else 1)
print(os.waitpid(pid, 0)[1], archive.fetch("t:s302"))
"""


@pytest.mark.parametrize("kind", ["http", "s3"])
def test_an_archive_may_be_used_on_both_sides_of_a_fork(
    kind: str, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQARCHIVE_CACHE_BYTES", "0")  # each has to ask for itself
    with wired_to(kind, tiny) as (url, wire):
        printed = in_another_process(_FORKS, f"{url}/r1", "t:a", "t:s5", "t:s6").split("\n")
        expected = [TINY["b"][at : at + 9] for at in range(0, 140_000, 7_000)]
        assert printed == [*expected, "[0, 0, 0]", f"0 {TINY['s302']}", ""]
        assert wire.connections == 1 + 3 + 2  # each process has its own


_FORKS_AMID_THREADS = """
import os, pathlib, signal, sys, threading, time, warnings
import seqarchive
# A cache of many small files, as one of 1 GiB is: to count them takes a while.
for n in range(8):
    directory = pathlib.Path(os.environ["SEQARCHIVE_CACHE"], f"{n:02x}")
    directory.mkdir(parents=True)
    for m in range(120):
        (directory / f"{m:030x}").touch()
warnings.simplefilter("ignore", DeprecationWarning)
seqarchive.connect(sys.argv[1]).close()
archive = seqarchive.connect(sys.argv[1])  # nothing to keep so far
thread = threading.Thread(target=archive.fetch, args=("t:b", 0, 9))
thread.start()
children = []
for child in range(8):
    time.sleep(0.002)
    pid = os.fork()
    if pid == 0:
        signal.alarm(40)
        os._exit(0 if archive.fetch(f"t:s{99 * child}") and archive.fetch("t:b", 5, 9) else 1)
    children.append(pid)
thread.join()
print({os.waitpid(pid, 0)[1] for pid in children})
"""


def test_a_fork_while_another_thread_reads_is_not_stuck(tiny: Path, cache: Path) -> None:
    with serving(tiny) as server:
        for n in range(3):
            shutil.rmtree(cache, ignore_errors=True)
            assert in_another_process(_FORKS_AMID_THREADS, f"{server.url}/r1") == "{0}\n", n


_SPAWNED = """
import multiprocessing, pickle, sys
import seqarchive

def ask(arguments):
    archive, sequence = arguments
    with archive:
        return archive.fetch("t:b", 70_000, 70_100), str(sequence), repr(archive), archive.at

if __name__ == "__main__":
    archive = seqarchive.connect(sys.argv[1], at=int(sys.argv[2]))
    sequence = archive["t:a"]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        print(set(pool.map(ask, [(archive, sequence)] * 4)))
"""


@pytest.mark.parametrize("kind", ["http", "s3"])
def test_archives_can_be_copied_and_given_to_other_processes(
    kind: str, tiny: Path, tmp_path: Path
) -> None:
    script = tmp_path / "spawned.py"
    script.write_text(_SPAWNED)
    with wired_to(kind, tiny) as (url, _):
        with seqarchive.connect(url, at=2) as archive:
            for other in (copy.deepcopy(archive), pickle.loads(pickle.dumps(archive))):
                assert type(other) is type(archive)
                assert (other.at, other.address) == (2, f"{url}/r1")
                assert other.fetch("t:later") == TINY["a"]
                other.close()
            again = pickle.loads(pickle.dumps(archive["t:b"]))
            assert again == archive["t:b"]
            assert again[70_000:70_100] == RIGHT
        if kind == "s3":  # it is a matter of the archive, which does not know what is beneath
            return
        done = subprocess.run(
            [sys.executable, "-W", "error", str(script), url, "1"],
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    expected = {(RIGHT, TINY["a"], f"<seqarchive.RemoteArchive {url}/r1>", 1)}
    assert done.stdout == f"{expected}\n"


def test_an_archive_that_was_closed_opens_again_when_it_is_used(server: FileServer) -> None:
    archive = seqarchive.connect(server.url)
    with archive:
        tour(archive)
    archive.close()
    archive.close()
    tour(archive)
    walk = archive.all_aliases()
    next(walk)
    archive.close()
    assert archive.fetch("t:b", 70_000, 70_100) == RIGHT
    archive.close()
    assert vfs._files == {}


@pytest.mark.parametrize("kind", ["http", "s3"])
def test_to_close_an_archive_is_to_let_go_of_its_connections(kind: str, tiny: Path) -> None:
    with wired_to(kind, tiny) as (url, wire):
        archive = seqarchive.connect(f"{url}/r1")
        for at in (0, 70_000):
            assert archive.fetch("t:b", at, at + 9) == TINY["b"][at : at + 9]
            assert not wire.is_idle()
            archive.close()
            wait_until(wire.is_idle)


@pytest.mark.parametrize("kind", ["http", "s3"])
def test_archives_that_are_dropped_leave_nothing(kind: str, tiny: Path) -> None:
    with wired_to(kind, tiny) as (url, _):

        def use(number: int) -> None:
            for _ in range(number):
                assert seqarchive.connect(url).fetch("t:a") == TINY["a"]
                with suppress(SeqArchiveError):
                    seqarchive.connect(url, "nothing")
                with suppress(SeqArchiveError):
                    seqarchive.connect(f"{url}/r1", at=99)
            gc.collect()

        use(1)
        before = open_descriptors()
        use(1 if kind == "s3" else 20)
        # Those of the wire, which is in this process too, go with those that we close.
        wait_until(lambda: open_descriptors() <= before + 2)
        assert vfs._files == {}


_LOOSE = """
import sys
import seqarchive
archive = seqarchive.connect(sys.argv[1])
names = iter(archive)
print(archive.fetch("t:a"), len([next(names) for _ in range(3)]), archive["t:b"][7:9])
walk = archive.all_aliases()
next(walk)
seqarchive.connect(sys.argv[1]).fetch("t:s1")
try:
    seqarchive.connect(sys.argv[1], "nothing")
except KeyError:
    pass
"""


@pytest.mark.parametrize("kind", ["http", "s3"])
def test_a_program_that_closes_nothing_ends_without_a_warning(kind: str, tiny: Path) -> None:
    with wired_to(kind, tiny) as (url, _):
        assert in_another_process(_LOOSE, url) == f"{TINY['a']} 3 {TINY['b'][7:9]}\n"


# --- what nobody should have published --------------------------------------------------------


@pytest.fixture
def hostile(tiny: Path, tmp_path: Path) -> Path:
    """A release that the test may change, before it is sealed."""
    return writable_copy(tiny / "r1", tmp_path / "hostile")


def seal(release: Path, **changes: object) -> None:
    """Have the digests and the manifest of a release be those of what is there now."""
    names = sorted(
        path.relative_to(release).as_posix() for path in release.rglob("*") if path.is_file()
    )
    table = b""
    for name in names:
        if name == "aliases.sqlite3" or name.endswith(".gzi"):
            data = (release / name).read_bytes()
            for at in range(0, len(data), CHUNK):
                table += hashlib.sha256(data[at : at + CHUNK]).digest()[:CHUNK_DIGEST]
    (release / "chunks.sha256").write_bytes(table)
    files = []
    for name in names:
        path = release / name
        if name == "manifest.json":
            continue
        # What is too large to read here is too large to be read by anybody.
        data = path.read_bytes() if path.stat().st_size < 1 << 26 else b"never read"
        digest = hashlib.sha256(data).hexdigest()
        files.append({"path": name, "bytes": path.stat().st_size, "sha256": digest})
    manifest = json.loads((release / "manifest.json").read_text())
    manifest |= {"files": files, **changes}
    (release / "manifest.json").write_text(json.dumps(manifest))


def change(release: Path, *statements: str) -> None:
    with closing(sqlite3.connect(release / "aliases.sqlite3")) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def fit_shards(release: Path) -> None:
    """Have the database name the files of shards as they are now."""
    with closing(sqlite3.connect(release / "aliases.sqlite3")) as connection, connection:
        for number, path in connection.execute("SELECT id, path FROM shards").fetchall():
            row: list[object] = []
            for suffix in ("", ".gzi"):
                file = release / "sequences" / (path + suffix)
                data = file.read_bytes() if file.stat().st_size < 1 << 26 else b"never read"
                row += [file.stat().st_size, hashlib.sha256(data).digest()]
            connection.execute(
                "UPDATE shards SET size_bytes = ?, sha256 = ?, gzi_bytes = ?, gzi_sha256 = ?"
                " WHERE id = ?",
                (*row, number),
            )


def _replaced(release: Path, data: bytes) -> None:
    (release / "aliases.sqlite3").write_bytes(data)


def _without(release: Path, n: int) -> None:
    data = (release / "aliases.sqlite3").read_bytes()
    _replaced(release, data[:n])


def _foreign(release: Path) -> None:
    (release / "aliases.sqlite3").unlink()
    change(release, "CREATE TABLE sequences (digest BLOB)")


_HANG = (
    "WITH RECURSIVE counting(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counting)"
    " SELECT 'x' || n AS alias, 1 AS namespace_id, 1 AS sequence_id, 1 AS batch_id FROM counting"
)

#: Databases, and the exit codes that say what is wrong with them.
DATABASES: dict[str, tuple[Callable[[Path], None], set[int]]] = {
    "of another program": (_foreign, {1, 6, 9}),
    "no database": (lambda release: _replaced(release, b"hello world" * 9_000), {6, 9}),
    "empty": (lambda release: _replaced(release, b""), {1, 6, 9}),
    "its first page": (lambda release: _without(release, 4096), {6, 9}),
    "cut": (lambda release: _without(release, 100_000), {6, 9}),
    "cut at the end": (lambda release: _without(release, -4096), {6, 9}),
    "zeros": (lambda release: _replaced(release, bytes(100_000)), {1, 6, 9}),
    "newer": (lambda release: change(release, f"PRAGMA user_version = {schema.VERSION + 1}"), {10}),
}


@pytest.mark.parametrize("what", DATABASES)
def test_a_database_that_is_not_ours_is_refused(hostile: Path, what: str, cli: Cli) -> None:
    spoil, codes = DATABASES[what]
    spoil(hostile)
    seal(hostile)
    with serving(hostile.parent) as server:
        url = f"{server.url}/hostile"
        result = cli("--root", url, "get", "t:a")
        assert result.code in codes, result
        refused(result, result.code)
        with pytest.raises(SeqArchiveError), seqarchive.connect(url) as archive:
            everything(archive)
    assert vfs._files == {}


@pytest.mark.parametrize("where", ["manifest", "list"])
def test_what_a_newer_version_published_says_so(
    hostile: Path, tiny: Path, tmp_path: Path, where: str, cli: Cli
) -> None:
    if where == "manifest":
        seal(hostile, version=2)
    else:
        listing = json.loads((tiny / "releases.json").read_text())
        (tmp_path / "releases.json").write_text(json.dumps(listing | {"version": 2}))
    with serving(tmp_path) as server:
        url = f"{server.url}/hostile" if where == "manifest" else server.url
        with pytest.raises(NewerFormat):
            seqarchive.connect(url)
        refused(cli("--root", url, "status"), 10, "install a newer seqarchive")


_ONE = "WHERE id = (SELECT sequence_id FROM aliases WHERE alias = 'a')"

#: Rows that lie; each is a damage that some command meets.
ROWS: dict[str, tuple[str, ...]] = {
    "a shard outside": ("UPDATE shards SET path = '../../../../etc/passwd'",),
    "a shard at the root": ("UPDATE shards SET path = '/etc/passwd'",),
    "a shard without a name": ("UPDATE shards SET path = x'00ff'",),
    "a shard of another size": ("UPDATE shards SET size_bytes = size_bytes + 1",),
    "a shard of another digest": ("UPDATE shards SET sha256 = zeroblob(32)",),
    "an index of another size": ("UPDATE shards SET gzi_bytes = 1 << 40",),
    "a digest that is a text": ("UPDATE shards SET sha256 = 'text'",),
    "no shard": ("DELETE FROM shards",),
    "no such shard": (f"UPDATE sequences SET shard_id = 77 {_ONE}",),
    "residues nowhere": (f"UPDATE sequences SET shard_id = NULL {_ONE}",),
    "no offset": (f"UPDATE sequences SET offset = NULL {_ONE}",),
    "an offset that is a text": (f"UPDATE sequences SET offset = 'text' {_ONE}",),
    "an offset before the beginning": (f"UPDATE sequences SET offset = -5 {_ONE}",),
    "an offset of another sequence": (f"UPDATE sequences SET offset = offset + 120 {_ONE}",),
    "an offset beyond the end": (f"UPDATE sequences SET offset = 1 << 62 {_ONE}",),
    "a length beyond the end": (f"UPDATE sequences SET length = 1 << 62 {_ONE}",),
    "a length that is one more": (f"UPDATE sequences SET length = 81 {_ONE}",),
    "a length below nothing": (f"UPDATE sequences SET length = -1 {_ONE}",),
    "a length that is a text": (f"UPDATE sequences SET length = 'text' {_ONE}",),
    "a short digest": (f"UPDATE sequences SET digest = x'0001' {_ONE}",),
    "a digest of residues that is a text": (f"UPDATE sequences SET digest = 'text' {_ONE}",),
    "lines": ("UPDATE shards SET line_bases = 7",),
    "lines of less than nothing": ("UPDATE shards SET line_bases = -7",),
    "lines of a text": ("UPDATE shards SET line_bases = 'text'",),
    "no aliases": ("DROP TABLE aliases",),
    "no namespaces": ("DROP TABLE namespaces",),
    "no circular molecules": ("DROP TABLE circular",),
    "no batches": ("DELETE FROM batches",),
    "fewer columns": ("ALTER TABLE shards DROP COLUMN line_bases",),
    "a name that is no text": ("UPDATE namespaces SET name = CAST(x'74ff' AS TEXT)",),
    "an alias that is no text": (
        "UPDATE aliases SET alias = CAST(x'61ff' AS TEXT) WHERE alias = 'a'",
    ),
    "a name that is a number": ("UPDATE namespaces SET name = 7.5",),
}




def test_a_database_of_views_that_never_end_is_refused(hostile: Path) -> None:
    change(hostile, "ALTER TABLE aliases RENAME TO other", f"CREATE VIEW aliases AS {_HANG}")
    seal(hostile)
    command = [sys.executable, "-m", "seqarchive", "--root"]
    with serving(hostile.parent) as server:
        done = subprocess.run(
            [*command, f"{server.url}/hostile", "get", "t:a"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    refused(Result(done.returncode, done.stdout, done.stderr), done.returncode)


Numbers = list[int]


def _swap(numbers: Numbers) -> Numbers:
    return [*numbers[:3], *numbers[5:7], *numbers[3:5], *numbers[7:]]


def _backwards(numbers: Numbers) -> Numbers:
    pairs = list(zip(numbers[1::2], numbers[2::2], strict=True))[::-1]
    return [numbers[0], *(number for pair in pairs for number in pair)]


def _put(at: int, number: int) -> Callable[[Numbers], Numbers]:
    return lambda numbers: [*numbers[:at], number, *numbers[at + 1 :]]


#: Indexes of blocks: the number of entries, then of each its places in both files.
INDEXES: dict[str, Callable[[Numbers], Numbers]] = {
    "two entries exchanged": _swap,
    "backwards": _backwards,
    "a block beyond the file": _put(5, 10**12),
    "a block beyond any file": _put(5, (1 << 64) - 1),
    "a block beyond the text": _put(6, 10**12),
    "a block before the one before": _put(6, 5),
    "another beginning": _put(5, 4_000),
    "no entries": lambda _: [0],
    "nothing": lambda _: [],
    "nothing but zeros": lambda numbers: [numbers[0]] + [0] * (len(numbers) - 1),
    "too many": lambda _: [50_000, *(n for at in range(50_000) for n in (at * 20 + 28, at + 1))],
    "too many that are far apart": lambda _: [
        50_000,
        *(n for at in range(1, 50_001) for n in (at << 40, at << 40)),
    ],
}


@pytest.mark.parametrize("what", INDEXES)
def test_an_index_of_blocks_that_lies_gives_errors(hostile: Path, what: str) -> None:
    (path,) = hostile.rglob("*.gzi")
    data = path.read_bytes()
    numbers = INDEXES[what](list(struct.unpack(f"<{len(data) // 8}Q", data)))
    path.write_bytes(struct.pack(f"<{len(numbers)}Q", *numbers))
    fit_shards(hostile)
    seal(hostile)
    n_refused = 0
    with serving(hostile.parent) as server:
        started = time.monotonic()
        with seqarchive.connect(f"{server.url}/hostile") as archive:
            for start in range(0, 140_000, 9_000):
                try:
                    found = archive.fetch("t:b", start, start + 30_000, clamp=True)
                    assert found == TINY["b"][start : start + 30_000]
                except SeqArchiveError:
                    n_refused += 1
            with pytest.raises(SeqArchiveError):
                list(archive.pieces("t:b"))
        assert n_refused > 0
        assert time.monotonic() - started < 30
        assert server.n_bytes < 8_000_000


def test_no_more_is_read_than_a_block_can_have(hostile: Path) -> None:
    (shard,) = hostile.rglob("*.fa.bgz")
    os.truncate(shard, 1 << 27)  # the last block, with nothing behind it
    fit_shards(hostile)
    seal(hostile)
    with serving(hostile.parent) as server:
        with seqarchive.connect(f"{server.url}/hostile") as archive:
            for name in ("t:s799", "t:b"):
                with suppress(SeqArchiveError):
                    archive.fetch(name, 0, 9)
        assert server.n_bytes < 2_000_000


def test_a_manifest_that_lies_gives_errors(hostile: Path, cli: Cli) -> None:
    seal(hostile, counts={})
    manifest = (hostile / "manifest.json").read_text()
    with serving(hostile.parent) as server:
        url = f"{server.url}/hostile"
        try:
            with seqarchive.connect(url) as archive:
                assert len(archive) == len(TINY)
        except KeyError as error:
            assert isinstance(error, SeqArchiveError)  # noqa: PT017
        except SeqArchiveError:
            pass
        for wrong in (
            "{}",
            "[" * 100_000,
            manifest.replace("aliases.sqlite3", "../aliases.sqlite3"),
            manifest.replace("aliases.sqlite3", "aliases.sqlite"),
            re.sub(r'("aliases.sqlite3", "bytes": )\d+', r"\g<1>9000000000000000000", manifest),
            re.sub(r'("aliases.sqlite3", "bytes": )\d+', r"\g<1>0", manifest),
            re.sub(r'("chunks.sha256", "bytes": )\d+', r"\g<1>9000000000000000000", manifest),
        ):
            assert wrong != manifest
            (hostile / "manifest.json").write_text(wrong)
            refused(cli("--root", url, "get", "t:a"), 9)


#: What no program of ours puts into a column, whatever the type of that is.
_LIES = {
    "empty": "NULL",
    "text": "'x'",
    "bytes": "x'00ff'",
    "negative": "-1",
    "large": str(2**62),
    "float": "1.5",
    "lines": "'a' || char(10) || 'b'",
    "not UTF-8": "CAST(x'ff' AS TEXT)",
}
#: Columns that reading needs; and some that it only gives back.
_COLUMNS = [
    *(
        (table, column)
        for table in ("sequences", "shards", "aliases", "namespaces")
        for column in schema.columns()[table]
        if column not in ("id", "batch_id")
    ),
    ("batches", "created"),
    ("batches", "n_records"),
    ("ended_aliases", "sequence_id"),
    ("ended_aliases", "to_batch"),
]


@pytest.mark.parametrize(("table", "column"), _COLUMNS)
def test_rows_that_lie_give_errors_of_one_line(
    hostile: Path, table: str, column: str, all_of_tiny: dict[str, object]
) -> None:
    """Whatever is in a column, what is answered is right, or an error of ours."""
    database = (hostile / "aliases.sqlite3").read_bytes()
    lies = list(_LIES.values())
    if table in ("sequences", "aliases"):  # of many rows: each lie in some of them
        each = " ".join(f"WHEN {n} THEN {lie}" for n, lie in enumerate(lies))
        key = "id" if table == "sequences" else "sequence_id"
        lies = [f"CASE {key} % 20 {each} ELSE {column} END"]
    else:  # of few rows: one lie after the other, half of them for each column
        lies = lies[_COLUMNS.index((table, column)) % 2 :: 2]
    n_caught = 0
    for lie in lies:
        (hostile / "aliases.sqlite3").write_bytes(database)
        with closing(sqlite3.connect(hostile / "aliases.sqlite3")) as connection, connection:
            # Nothing is declared to be not empty or unique.
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute(
                "UPDATE sqlite_master SET sql = replace(replace(sql, 'NOT NULL', ''), 'UNIQUE', '')"
            )
        change(hostile, f"UPDATE OR IGNORE {table} SET {column} = {lie}")
        seal(hostile)
        with serving(hostile.parent) as server:
            n_caught += _tells_no_lies(f"{server.url}/hostile", all_of_tiny, lie)
    assert n_caught > 0


_NO_OBJECTS = ["x", "", "[]", "1", '{"a": "\\ud800"}', '{"a":' * 50_000 + "1" + "}" * 50_000, None]


@pytest.mark.parametrize("text", _NO_OBJECTS)
def test_documents_that_are_no_json_give_errors_of_one_line(
    hostile: Path, text: str | None, cli: Cli
) -> None:
    with closing(sqlite3.connect(hostile / "aliases.sqlite3")) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = replace(sql, 'NOT NULL', '')")
    with closing(sqlite3.connect(hostile / "aliases.sqlite3")) as connection, connection:
        connection.execute(
            "INSERT INTO fhr (collection_id, document, batch_id) SELECT id, ?, 1 FROM collections",
            (text,),
        )
        connection.execute("UPDATE batches SET kind = 'track put', report = ?", (text,))
    seal(hostile)
    with serving(hostile.parent) as server:
        url = f"{server.url}/hostile"
        with seqarchive.connect(url) as archive:
            digest = next(iter(archive.collections())).digest
        refused(cli("--root", url, "log"), 9, "batches.report")
        if text is not None:  # then nothing is said of it any more
            refused(cli("--root", url, "fhr", "get", digest), 9, "fhr.document")
        change(hostile, "UPDATE batches SET report = '{}'")
        seal(hostile)
        refused(cli("--root", url, "log"), 6, "report of batch 1")


def _tells_no_lies(url: str, expected: dict[str, object], lie: str) -> int:
    """How many questions a release refuses to answer; the others it answers well."""
    try:
        archive = seqarchive.connect(url)
    except SeqArchiveError:
        return 1
    names = list(TINY)[:60]
    questions: dict[str, Callable[[], object]] = {
        **{name: functools.partial(archive.fetch, f"t:{name}") for name in names},
        "by digest": lambda: [archive.find(computed(text)[1]) for text in TINY.values()],
        "by sha1": lambda: [archive.find(computed(text)[3]) for text in TINY.values()],
        "by name": lambda: archive.translate_many([f"t:{name}" for name in TINY]),
        "aliases": lambda: list(archive.all_aliases()),
        "records": lambda: list(archive.records()),
        "batches": lambda: list(archive.batches()),
        "history": lambda: archive.history("t:later"),
        "metadata": lambda: [archive.metadata(f"t:{name}") for name in names],
        "status": archive.status,
        "length": lambda: len(archive),
    }
    digests = {name: expected[name] for name in ("by digest", "by sha1")}
    errors = []
    with archive:
        for name, question in questions.items():
            try:
                found = question()
            except SeqArchiveError as error:
                errors.append(str(error))
            else:
                assert found == digests.get(name, TINY.get(name, found)), (lie, name)
    assert not any("\n" in error for error in errors)
    return len(errors)
