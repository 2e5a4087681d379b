"""Genomes that are elsewhere: found at whatever is at an address, known by name, read by the bytes
that are needed; what was fetched once is there for everybody, and nothing that is wrong ever is.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pickle
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from gtars.refget import RefgetStore as Theirs
from helpers import sha512t24u, tree, wait_until, write_fasta
from servers import (
    Answer,
    FileServer,
    reserved_port,
    running,
    serving,
    serving_s3,
    wait_until_listening,
    wired,
)

import seqarchive
from seqarchive import (
    AliasConflict,
    Ambiguous,
    BadInterval,
    BadName,
    Corrupt,
    DigestMismatch,
    Locked,
    NotFound,
    SourceError,
    commands,
)
from seqarchive.durable import KeyLocks, WriterLock
from seqarchive.genomes.fetching import fetch_all
from seqarchive.genomes.kept import KeptResidues
from seqarchive.genomes.local import LocalMode
from seqarchive.genomes.remote import RemoteGenome, RemoteGenomes
from seqarchive.genomes.sources import make_source
from seqarchive.identifiers import Digest
from seqarchive.instances import Instance
from seqarchive.new_aliases import OnConflict
from seqarchive.remote.cache import DiskCache
from seqarchive.sequences import ArchivedSequence
from seqarchive.server import create_app

_RANDOM = random.Random(7)
_CHILDREN = str(Path(__file__).with_name("genome_children.py"))


def residues(letters: str, length: int) -> str:
    return "".join(_RANDOM.choices(letters, k=length))


#: Two are longer than what is fetched whole, however they are packed.
GENOME = {
    "chr1 the first": residues("ACGT", 300_001),
    "chr2": residues("ACGTN", 250_003),
    "small": residues("ACGT", 5_003),
    "HLA-A*01:01": "GATTACA" * 30,
    "again": "GATTACA" * 30,
    "empty": "",
}
OTHER = {"only": residues("ACGT", 999)}
CHR1, CHR2, SMALL = (sha512t24u(GENOME[name]) for name in ("chr1 the first", "chr2", "small"))
FHR = {"genome": "Mus somebody", "version": "1.2", "masking": "unknown"}


def collection_digest(records: dict[str, str]) -> str:
    """By the words of the standard."""

    def of(value: object) -> str:
        text = json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
        return base64.urlsafe_b64encode(hashlib.sha512(text).digest()[:24]).decode()

    names = of([name.split()[0] for name in records])
    return of({"names": names, "sequences": of([f"SQ.{sha512t24u(x)}" for x in records.values()])})


DIGEST, OTHER_DIGEST = collection_digest(GENOME), collection_digest(OTHER)


class Places(NamedTuple):
    """The same genome in every kind of place."""

    root: Path
    """An archive, with a release and an export."""
    theirs: Path
    """A store of gtars."""


def run(*arguments: str | Path) -> None:
    assert commands.run([str(one) for one in arguments]) == 0


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    directory = tmp_path_factory.mktemp("places")
    root = directory / "root"
    genome = write_fasta(directory / "genome.fa", GENOME)
    other = write_fasta(directory / "other.fa", OTHER)
    for name, file in (("genome", genome), ("other", other)):
        run("--root", root, "load", "-n", "t", "--collection", f"lab:{name}", file)
    (directory / "fhr.json").write_text(json.dumps(FHR))
    run("--root", root, "fhr", "set", "--partial", "lab:genome", directory / "fhr.json")
    run("--root", root, "export-rgstore")
    run("--root", root, "snapshot", "2024-06-01")
    theirs = Theirs.on_disk(str(directory / "theirs"))
    theirs.set_quiet(True)
    for name, file in (("genome", genome), ("other", other)):
        theirs.add_sequence_collection_from_fasta(str(file), collection_alias=f"lab:{name}")
    return Places(root, directory / "theirs")


@pytest.fixture
def genomes(tmp_path: Path) -> RemoteGenomes:
    return RemoteGenomes(tmp_path / "archive" / "genomes")


@pytest.fixture
def served(places: Places) -> Iterator[FileServer]:
    """The store of gtars on a static server."""
    with serving(places.theirs) as server:
        yield server


def again(genomes: RemoteGenomes, name: str = "g") -> RemoteGenome:
    """The genome as another process finds it."""
    return RemoteGenomes(genomes.directory).find(name)


def added(genomes: RemoteGenomes, url: str | Path) -> RemoteGenome:
    return genomes.add(make_source(url), "lab:genome", ["g"]).genome


# --- kinds of sources -----------------------------------------------------------------------------

Where = AbstractContextManager[str]


@contextmanager
def in_directory(path: Path) -> Iterator[str]:
    """A copy, which is gone afterwards."""
    copy = path.with_name(f"{path.name}-copy")
    shutil.copytree(path, copy, symlinks=True)
    yield str(copy)
    for directory, _, _ in os.walk(copy):
        os.chmod(directory, 0o755)
    shutil.rmtree(copy)


@contextmanager
def over_http(path: Path) -> Iterator[str]:
    with serving(path) as server:
        yield server.url


@contextmanager
def spa(path: Path) -> Iterator[str]:
    """A host that has a page for every address, beside a store."""

    def page(answer: Answer) -> None:
        if answer.status == 404:
            answer.status, answer.body = 200, b"<!doctype html><div id=root></div>"
            answer.headers = {"Content-Type": "text/html"}

    with serving(path) as server:
        server.fault = page
        yield server.url


@contextmanager
def by_service(places: Places, *, with_store: bool) -> Iterator[str]:
    with seqarchive.connect(places.root) as archive:
        store = places.root / "rgstore" if with_store else None
        with running(create_app(archive, store=store)) as url:
            yield url


@contextmanager
def by_refget(places: Places, tmp_path: Path) -> Iterator[str]:
    """``refget store serve`` as a process; it says that the store is on a static server."""
    with serving(places.theirs) as server, reserved_port() as port:
        environment = {**os.environ, "REFGET_STORE_HTTP_URL": server.url, "HOME": str(tmp_path)}
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("refget")), "store", "serve", "--path",
             str(places.theirs), "--port", str(port)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_until_listening(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


@contextmanager
def in_bucket(path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with serving_s3(directory) as bucket:
        for name, value in bucket.environment.items():
            monkeypatch.setenv(name, value)
        url = bucket.url("genomes")
        shutil.copytree(path, directory / "genomes" / "store")
        yield f"{url}/store"


KINDS: dict[str, tuple[str, Callable[[Places, Path, pytest.MonkeyPatch], Where]]] = {
    "store in a directory": ("store", lambda p, _t, _m: in_directory(p.theirs)),
    "store by gtars": ("store", lambda p, _t, _m: over_http(p.theirs)),
    "our export": ("store", lambda p, _t, _m: over_http(p.root / "rgstore")),
    "bucket": ("store", lambda p, t, m: in_bucket(p.theirs, t / "s3", m)),
    "page for everything": ("store", lambda p, _t, _m: spa(p.theirs)),
    "serve with a store": ("store", lambda p, _t, _m: by_service(p, with_store=True)),
    "serve": ("server", lambda p, _t, _m: by_service(p, with_store=False)),
    "refget store serve": ("store", lambda p, t, _m: by_refget(p, t)),
    "archive": ("archive", lambda p, _t, _m: in_directory(p.root)),
    "release": ("archive", lambda p, _t, _m: over_http(p.root)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_read_cold_warm_and_with_the_source_stopped(
    kind: str,
    places: Places,
    genomes: RemoteGenomes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected, open_place = KINDS[kind]
    with open_place(places, tmp_path, monkeypatch) as url:
        source = make_source(url, cache=genomes.cache)
        assert source.kind == expected
        listed = {one.digest: one for one in source.listed()}
        assert set(listed) == {DIGEST, OTHER_DIGEST}
        assert "lab:genome" in listed[Digest(DIGEST)].names
        assert listed[Digest(DIGEST)].n_sequences == (None if expected == "server" else 6)
        found = genomes.add(source, "genome", ["g"], description="for a test")
        assert (found.genome.digest, found.is_new, found.changed) == (DIGEST, True, True)
        source.close()
        genome = again(genomes)
        assert genome.kind == expected
        assert [(one.name, one.length) for one in genome.collection.members()] == [
            (name.split()[0], len(text)) for name, text in GENOME.items()
        ]
        assert genome.fhr is not None
        assert genome.fhr["documentation"] == "for a test"
        assert genome.fhr.get("genome") == (FHR["genome"] if has_fhr(kind) else None)
        for name, start, end in (("chr1 the first", 1_001, 1_100), ("chr2", 70_000, 200_001)):
            text = GENOME[name]
            assert genome.fetch_digest(sha512t24u(text), start, end) == text[start:end]
        assert genome.fetch_digest(SMALL, 10, 20) == GENOME["small"][10:20]
        assert again(genomes).fetch_digest(CHR1) == GENOME["chr1 the first"]
        assert genome.fetch_digest(sha512t24u(""), 0, 0) == ""
        genome.close()
    stopped = again(genomes)
    assert stopped.fetch_digest(CHR1) == GENOME["chr1 the first"]
    assert stopped.fetch_digest(CHR1, 299_000, 300_001) == GENOME["chr1 the first"][299_000:]
    assert stopped.fetch_digest(CHR2, 70_001, 200_000) == GENOME["chr2"][70_001:200_000]
    assert stopped.fetch_digest(SMALL) == GENOME["small"]
    if kind != "release":  # whose reader is more patient
        with pytest.raises((SourceError, Corrupt)):
            stopped.fetch_digest(CHR2, 0, 10)


def has_fhr(kind: str) -> bool:
    """Whether the store or the archive of a kind has it; that of gtars was made without."""
    return kind in ("our export", "serve with a store", "serve", "archive", "release")


def test_a_prefix_and_a_mount_are_found_too(places: Places, served: FileServer) -> None:
    assert make_source(f" {served.url}/ ").kind == "store"
    assert make_source(f"{served.url}/rgstore.json").address == served.url
    assert make_source(places.theirs.as_uri()).kind == "store"
    with by_service(places, with_store=True) as url:
        assert make_source(url).address.endswith("/store")


@pytest.mark.parametrize("mount", ["", "/seqcol"])
def test_what_a_store_lacks_its_server_gives(
    mount: str, places: Places, genomes: RemoteGenomes, tmp_path: Path
) -> None:
    """An export of one collection, or one that is older, does not hide the others."""
    part = tmp_path / "part"
    run("--root", places.root, "export-rgstore", part, "--collection", "lab:other")
    with seqarchive.connect(places.root) as archive, running(
        create_app(archive, store=part)
    ) as url:
        source = make_source(url + mount)
        listed = {one.digest: (one.n_sequences, one.names) for one in source.listed()}
        assert listed == {
            DIGEST: (None, ("lab:genome",)),
            OTHER_DIGEST: (1, ("lab:other",)),
        }
        other = genomes.add(source, "other", ["o"]).genome
        assert (other.kind, other.address) == ("store", f"{url}/store")
        for name in (DIGEST, "genome", "lab:genome"):
            genome = genomes.add(source, name, ["g"]).genome
            assert (genome.kind, genome.digest) == ("server", DIGEST)
        for nobody in ("A" * 32, "nobody"):
            with pytest.raises(NotFound, match="/store has no collection"):
                source.collection(nobody)
        source.close()
        text = GENOME["chr1 the first"]
        assert again(genomes).fetch_digest(CHR1, 1_000, 1_100) == text[1_000:1_100]
        mode = LocalMode(genomes.directory.parent)
        assert {state for _, state in mode.sync()} == {"same"}
        # A store that loses what it had, and gets what it lacked.
        shutil.rmtree(part)
        run("--root", places.root, "export-rgstore", part, "--collection", "lab:genome")
        only = OTHER["only"]
        assert mode.find("o").getseq("only:5-90") == only[5:90]
        assert [(one.label, state) for one, state in mode.sync()] == [
            ("g", "changed"), ("o", "same")
        ]  # fmt: skip
        assert again(genomes).kind == "store"
        mode.close()


def test_a_name_in_every_namespace_or_in_one(places: Places, tmp_path: Path) -> None:
    shutil.copytree(places.theirs, tmp_path / "store")
    store = Theirs.open_local(str(tmp_path / "store"))
    store.set_quiet(True)
    store.add_collection_alias("ucsc", "mine", DIGEST)
    store.add_collection_alias("ncbi", "mine", OTHER_DIGEST)
    source = make_source(tmp_path / "store")
    assert source.collection("mine", "ucsc").digest == DIGEST
    assert source.collection("ncbi:mine").digest == OTHER_DIGEST
    assert source.collection(f"SQ.{DIGEST}").digest == DIGEST
    with pytest.raises(Ambiguous, match=r"ncbi:mine .*ucsc:mine"):
        source.collection("mine")
    with pytest.raises(NotFound, match="no collection 'hg38'"):
        source.collection("hg38")
    with pytest.raises(NotFound):
        source.collection("mine", "lab")


def test_names_of_a_server(places: Places, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(places.root, root, symlinks=True)
    run("--root", root, "collection", "name", "lab:genome", "ucsc:mine", "ncbi:only")
    run("--root", root, "collection", "name", "lab:other", "ncbi:mine")
    with seqarchive.connect(root) as archive, running(create_app(archive)) as url:
        source = make_source(url)
        assert source.collection("mine", "ucsc").digest == DIGEST
        assert source.collection("ncbi:mine").digest == OTHER_DIGEST
        assert source.collection("only").digest == DIGEST
        with pytest.raises(Ambiguous, match=r"(ncbi|refseq):mine .*ucsc:mine"):
            source.collection("mine")
        with pytest.raises(NotFound, match="'hg38'"):
            source.collection("hg38")


# --- no needless byte -----------------------------------------------------------------------------


def test_a_cold_range_is_one_request_for_just_its_bytes(
    served: FileServer, genomes: RemoteGenomes
) -> None:
    added(genomes, served.url).close()
    assert not [one for one in served.asked if one.path.endswith(".seq")]
    assert [one.path for one in served.asked].count("/rgstore.json") == 1
    served.reset()
    genome = again(genomes)
    text = GENOME["chr1 the first"]
    assert genome.fetch_digest(CHR1, 1000, 1100) == text[1000:1100]
    assert [(one.range, one.n_bytes) for one in served.asked] == [("bytes=250-274", 25)]
    served.reset()
    assert genome.fetch_digest(CHR1, 1000, 1100) == text[1000:1100]
    assert again(genomes).fetch_digest(CHR1, 1010, 1020) == text[1010:1020]
    assert served.asked == []
    # Only what is missing of one that goes on.
    assert genome.fetch_digest(CHR1, 1050, 1200) == text[1050:1200]
    assert [one.range for one in served.asked] == ["bytes=275-299"]
    served.reset()
    assert again(genomes).fetch_digest(CHR1, 1000, 1200) == text[1000:1200]
    assert served.asked == []


def test_what_is_small_is_fetched_whole_and_once(
    served: FileServer, genomes: RemoteGenomes
) -> None:
    genome = added(genomes, served.url)
    served.reset()
    sequence = ArchivedSequence(genome, "small", Digest(SMALL), 5_003)
    assert sequence[5:9] + sequence[-3:] == GENOME["small"][5:9] + GENOME["small"][-3:]
    assert again(genomes).fetch_digest(SMALL) == GENOME["small"]
    assert [(one.range, one.n_bytes) for one in served.asked] == [(None, 1251)]
    assert sequence.aliases == []


def test_a_server_of_residues_gives_them_by_one_request(
    places: Places, genomes: RemoteGenomes
) -> None:
    with by_service(places, with_store=False) as url, wired(int(url.rpartition(":")[2])) as wire:
        added(genomes, wire.url).close()
        before = len(wire.requests)
        assert again(genomes).fetch_digest(CHR1, 5, 105) == GENOME["chr1 the first"][5:105]
        assert wire.requests[before:] == [("GET", f"/sequence/SQ.{CHR1}")]
        down = wire.down
        assert again(genomes).fetch_digest(CHR1, 5, 105) == GENOME["chr1 the first"][5:105]
        assert wire.down == down


def test_a_server_without_ranges_gives_the_whole_once(
    places: Places, genomes: RemoteGenomes
) -> None:
    with serving(places.theirs, knows_ranges=False) as server:
        genome = added(genomes, server.url)
        server.reset()
        assert genome.fetch_digest(CHR1, 1000, 1100) == GENOME["chr1 the first"][1000:1100]
        assert again(genomes).fetch_digest(CHR1, 7, 9) == GENOME["chr1 the first"][7:9]
        assert len(server.asked) == 2  # one was for a range, in vain


def test_parts_are_joined_whatever_their_order(tmp_path: Path) -> None:
    text = residues("ACGT", 400_000).encode()
    digest = Digest(sha512t24u(text.decode()))
    dice = random.Random(1)
    kept = KeptResidues(DiskCache(tmp_path, 1 << 30), "http://somewhere")
    known = bytearray(len(text))
    for _ in range(120):
        start = dice.choice([0, 131_000, 262_000, 399_000]) + dice.randrange(800)
        end = min(start + dice.randrange(1, 900), len(text))
        first, last = kept.missing(digest, len(text), start, end)
        inside = [n for n in range(start, end) if not known[n]]
        assert (first, last) == ((inside[0], inside[-1] + 1) if inside else (first, first))
        whole = kept.get(digest, len(text), start, end)
        assert whole == (None if inside else text[start:end])
        if inside:
            kept.add(digest, first, text[first:last])
            known[first:last] = b"\1" * (last - first)
    assert kept.whole(digest, len(text)) is None
    kept.add_whole(digest, text)
    assert kept.whole(digest, len(text)) == text


# --- one request for all --------------------------------------------------------------------------


def slow(seconds: float) -> Callable[[Answer], None]:
    def fault(_answer: Answer) -> None:
        time.sleep(seconds)

    return fault


def test_threads_that_want_the_same_ask_once(served: FileServer, genomes: RemoteGenomes) -> None:
    genome = added(genomes, served.url)
    served.reset()
    served.fault = slow(0.2)
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(genome.fetch_digest(CHR1, 0, 50)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [GENOME["chr1 the first"][:50]] * 6
    assert len(served.asked) == 1


def test_processes_that_want_the_same_ask_once(served: FileServer, genomes: RemoteGenomes) -> None:
    added(genomes, served.url).close()
    served.reset()
    served.fault = slow(0.4)
    moment = str(time.time() + 2.0)
    command = [sys.executable, _CHILDREN, "fetch", str(genomes.directory), "g", CHR2, "5", "90"]
    children = [
        subprocess.Popen([*command, moment], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    answers = [child.communicate()[0].strip() for child in children]
    assert answers == [GENOME["chr2"][5:90]] * 4
    assert len(served.asked) == 1


def test_a_lock_is_never_stale(tmp_path: Path) -> None:
    locks = KeyLocks(tmp_path)
    with locks.held(b"one"):
        pass
    for n in range(1000):
        with locks.held(str(n).encode()):
            pass
    assert len(list(tmp_path.iterdir())) <= 64
    child = (
        "import sys, os, signal; from pathlib import Path\n"
        "from seqarchive.durable import KeyLocks\n"
        "with KeyLocks(Path(sys.argv[1])).held(b'one'):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", child, str(tmp_path)], check=False)
    assert done.returncode == -9
    started = time.monotonic()
    with locks.held(b"one"):
        pass
    assert time.monotonic() - started < 10


# --- names ----------------------------------------------------------------------------------------


def test_the_same_again_changes_nothing(places: Places, genomes: RemoteGenomes) -> None:
    added(genomes, places.theirs)
    before = tree(genomes.directory)
    found = genomes.add(make_source(places.theirs), DIGEST, ["refgenie:g"])
    assert (found.is_new, found.changed) == (False, False)
    assert tree(genomes.directory) == before
    assert genomes.add(make_source(places.theirs), DIGEST, ["h"]).changed
    assert again(genomes, "h").names == ("g", "h")
    assert again(genomes, DIGEST).names == again(genomes, "refgenie:h").names
    assert [one.digest for one in genomes.list()] == [DIGEST]


def test_a_name_means_one_genome(places: Places, genomes: RemoteGenomes) -> None:
    source = make_source(places.theirs)
    added(genomes, places.theirs)
    before = tree(genomes.directory)
    with pytest.raises(AliasConflict, match=f"refgenie:g is the genome {OTHER_DIGEST} here but"):
        genomes.add(source, OTHER_DIGEST, ["g", "o"])
    assert tree(genomes.directory) == before
    found = genomes.add(source, OTHER_DIGEST, ["g", "o"], on_conflict=OnConflict.KEEP)
    assert (found.kept, found.genome.names) == (("g",), ("o",))
    genomes.add(source, OTHER_DIGEST, ["g"], on_conflict=OnConflict.REPLACE)
    assert again(genomes).digest == OTHER_DIGEST
    assert again(genomes, DIGEST).names == ()
    with pytest.raises(AliasConflict):
        genomes.set_names(DIGEST, ["o"])
    assert genomes.set_names("g", ["x"]).names == ("x",)
    with pytest.raises(NotFound, match="'g'"):
        genomes.find("g")
    for wrong in ("", "two words", DIGEST):
        with pytest.raises(BadName):
            genomes.set_names("x", [wrong])


def test_what_is_said_of_it(places: Places, genomes: RemoteGenomes) -> None:
    genome = genomes.add(make_source(places.root / "rgstore"), DIGEST, ["g"]).genome
    assert genome.fhr == FHR
    with pytest.raises(seqarchive.Conflict, match="genome is 'Mus somebody', and not 'Homo"):
        genomes.add(make_source(places.root / "rgstore"), DIGEST, species="Homo sapiens")
    assert again(genomes).fhr == FHR
    genomes.add(make_source(places.root / "rgstore"), DIGEST, description="d")
    assert again(genomes).fhr == FHR | {"documentation": "d"}
    genomes.remove("g")
    genomes.add(make_source(places.root / "rgstore"), DIGEST, ["g"], species="Homo sapiens")
    assert again(genomes).fhr == FHR | {
        "genome": "Homo sapiens",
        "taxon": {"name": "Homo sapiens"},
    }
    genomes.set_fhr("g", {"genome": "me"})
    assert again(genomes).collection.fhr() == {"genome": "me"}
    assert genomes.add(make_source(places.root / "rgstore"), DIGEST).changed is False
    assert genomes.set_fhr("g", None).fhr is None


def test_one_that_was_removed_is_gone(places: Places, genomes: RemoteGenomes) -> None:
    added(genomes, places.theirs)
    assert genomes.remove("g") == DIGEST
    assert not genomes.list()
    with pytest.raises(NotFound):
        genomes.remove("g")


def test_one_writer(places: Places, genomes: RemoteGenomes) -> None:
    added(genomes, places.theirs)
    with WriterLock(genomes.directory / "writer.lock"), pytest.raises(Locked):
        genomes.set_names("g", ["h"])


def test_a_genome_is_pickled_as_its_name(places: Places, genomes: RemoteGenomes) -> None:
    genome: RemoteGenome = pickle.loads(pickle.dumps(added(genomes, places.theirs)))
    assert genome.fetch_digest(CHR1, 3, 8) == GENOME["chr1 the first"][3:8]
    with pytest.raises(NotFound, match="no sequence of the genome g"):
        genome.fetch_digest(sha512t24u(OTHER["only"]))
    for wrong in ((5, 4), (-1, 4), (0, 300_002)):
        with pytest.raises(BadInterval, match="chr1 of g"):
            genome.fetch_digest(CHR1, *wrong)


@pytest.mark.parametrize(
    "damage",
    [
        lambda t: t[: len(t) // 2],
        lambda _: b"",
        lambda _: b"[" * 100_000,
        lambda t: t.replace(DIGEST.encode(), OTHER_DIGEST.encode(), 1),
        lambda t: t.replace(b'"kind": "store"', b'"kind": "oracle"'),
        lambda t: t.replace(b'"names": ["g"]', b'"names": ["g\\u0007"]'),
        lambda t: t.replace(b"300001", b"-1"),
        lambda t: t.replace(b'"HLA', b'"\\ud800HLA'),
        lambda t: t.replace(CHR1.encode(), CHR2.encode()),
        lambda t: t.replace(b"sequences/%s2/%s.seq", b"../../%s"),
    ],
)
def test_a_file_that_is_damaged_is_told_of(
    damage: Callable[[bytes], bytes], places: Places, genomes: RemoteGenomes
) -> None:
    added(genomes, places.theirs)
    genomes.add(make_source(places.theirs), OTHER_DIGEST, ["o"])
    path = genomes.directory / f"{DIGEST}.json"
    text = path.read_bytes()
    assert damage(text) != text
    path.unlink()
    path.write_bytes(damage(text))
    with pytest.raises(Corrupt):
        again(genomes).fetch_digest(CHR1, 0, 3)
    other = sha512t24u(OTHER["only"])
    assert again(genomes, "o").fetch_digest(other, 0, 9) == OTHER["only"][:9]
    genomes.remove(DIGEST)
    assert RemoteGenomes(genomes.directory).damaged() == []


# --- wrong answers --------------------------------------------------------------------------------


def test_wrong_bytes_are_refused_and_the_right_ones_taken(
    served: FileServer, genomes: RemoteGenomes
) -> None:
    genome = added(genomes, served.url)

    def flip(answer: Answer) -> None:
        if answer.path.endswith(".seq"):
            answer.body = bytes([answer.body[0] ^ 0xFF]) + answer.body[1:]

    served.fault = flip
    for digest in (SMALL, CHR1):
        with pytest.raises(DigestMismatch, match=digest):
            genome.fetch_digest(digest)
        member = genome.member(digest)
        assert genome.known(member, 0, 9) is genome.known(member, 9, member.length) is None
    served.fault = None
    assert genome.fetch_digest(SMALL) == GENOME["small"]
    assert genome.fetch_digest(CHR1) == GENOME["chr1 the first"]


def test_a_part_that_was_wrong_gives_way_to_the_whole(
    served: FileServer, genomes: RemoteGenomes
) -> None:
    genome = added(genomes, served.url)

    def flip(answer: Answer) -> None:
        if answer.status == 206:
            answer.body = bytes(len(answer.body))

    served.fault = flip
    assert genome.fetch_digest(CHR1, 0, 8) == "T" * 8  # nobody can know
    served.fault = None
    assert genome.fetch_digest(CHR1) == GENOME["chr1 the first"]
    assert genome.fetch_digest(CHR1, 0, 8) == GENOME["chr1 the first"][:8]


def test_a_store_that_was_rewritten_is_noticed(tmp_path: Path, genomes: RemoteGenomes) -> None:
    file = write_fasta(tmp_path / "genome.fa", GENOME)

    def write(*, raw: bool) -> None:
        store = Theirs.on_disk(str(tmp_path / "new"))
        store.set_quiet(True)
        if raw:
            store.disable_encoding()
        store.add_sequence_collection_from_fasta(str(file), collection_alias="lab:genome")

    write(raw=False)
    with serving(tmp_path) as server:
        url = f"{server.url}/store"
        (tmp_path / "new").rename(tmp_path / "store")
        added(genomes, url).close()
        write(raw=True)
        shutil.rmtree(tmp_path / "store")
        (tmp_path / "new").rename(tmp_path / "store")
        text = GENOME["chr1 the first"]
        assert again(genomes).fetch_digest(CHR1, 1000, 1100) == text[1000:1100]
        server.reset()
        assert again(genomes).fetch_digest(CHR1, 2000, 2100) == text[2000:2100]
        assert [one.range for one in server.asked] == ["bytes=2000-2099"]


def test_a_store_with_another_template_is_noticed(
    places: Places, tmp_path: Path, genomes: RemoteGenomes
) -> None:
    store = tmp_path / "store"
    shutil.copytree(places.theirs, store)
    with serving(store) as server:
        added(genomes, server.url).close()
        manifest = json.loads((store / "rgstore.json").read_text())
        manifest["seqdata_path_template"] = "moved/%s2/%s.seq"
        (store / "rgstore.json").write_text(json.dumps(manifest))
        (store / "sequences").rename(store / "moved")
        text = GENOME["chr2"]
        assert again(genomes).fetch_digest(CHR2, 80, 160) == text[80:160]
        server.reset()
        assert again(genomes).fetch_digest(CHR2, 160, 240) == text[160:240]
        assert [one.range for one in server.asked] == ["bytes=60-89"]


def level2(records: dict[str, str]) -> dict[str, list[Any]]:
    return {
        "names": [name.split()[0] for name in records],
        "lengths": [len(text) for text in records.values()],
        "sequences": [f"SQ.{sha512t24u(text)}" for text in records.values()],
    }


@pytest.fixture
def pretender(tmp_path: Path) -> Iterator[FileServer]:
    """A server of collections and residues that consists of files."""
    root = tmp_path / "pretender"
    for path, document in (
        ("service-info", {"seqcol": {}}),
        ("sequence/service-info", {"refget": {}}),
        (f"collection/{DIGEST}", level2(GENOME)),
        ("v4/aliases/g", {"digest": DIGEST}),
        ("list/collection", {"results": [DIGEST], "pagination": {"total": 1}}),
    ):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(document))
    for text in GENOME.values():
        (root / f"sequence/SQ.{sha512t24u(text)}").write_text(text)
    with serving(root) as server:
        yield server


def test_the_pretender_is_a_server(pretender: FileServer, genomes: RemoteGenomes) -> None:
    source = make_source(pretender.url)
    assert [tuple(one) for one in source.listed()] == [(DIGEST, None, ())]
    genome = genomes.add(source, "g", ["g"]).genome
    assert genome.fetch_digest(CHR1, 9, 12) == GENOME["chr1 the first"][9:12]


def test_an_answer_about_a_genome_saves_another(pretender: FileServer) -> None:
    answer = {"digest": DIGEST, "collection": level2(GENOME), "fhr": FHR}
    (pretender.root / "v4/aliases/g").write_text(json.dumps(answer))
    source = make_source(pretender.url)
    pretender.reset()
    found = source.collection("g")
    assert (found.digest, found.fhr(), len(found)) == (DIGEST, FHR, len(GENOME))
    assert not [one for one in pretender.asked if one.path.startswith("/collection/")]
    # A collection that is another one is asked for.
    answer["collection"] = level2(OTHER)
    (pretender.root / "v4/aliases/g").write_text(json.dumps(answer))
    assert len(source.collection("g")) == len(GENOME)


@pytest.mark.parametrize("mount", ["seqcol", "api/seqcol"])
def test_a_server_below_a_mount(mount: str, pretender: FileServer) -> None:
    parent = (pretender.root / mount).parent
    (pretender.root / "here").mkdir()
    for name in ("service-info", "collection", "v4", "list"):
        (pretender.root / name).rename(pretender.root / "here" / name)
    if parent != pretender.root:
        parent.mkdir()
        (pretender.root / "sequence").rename(parent / "sequence")
    (pretender.root / "here").rename(pretender.root / mount)
    url = f"{pretender.url}/{mount}"
    for given in (url, f"{url}/service-info", url.removesuffix("/seqcol")):
        source = make_source(given)
        assert (source.kind, source.address) == ("server", url.removesuffix("/seqcol"))
        assert source.collection("g").digest == DIGEST


_TOO_LONG = json.dumps({"names": ["x"], "lengths": [1 << 50], "sequences": [f"SQ.{CHR1}"]})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("collection/", b"<html>"),
        ("collection/", b"[" * 200_000),
        ("collection/", b"[]"),
        ("collection/", b'{"names": 7, "lengths": [], "sequences": []}'),
        ("collection/", b'{"names": ["a"], "lengths": [1, 2], "sequences": ["x"]}'),
        ("collection/", b'{"names": ["a"], "lengths": [NaN], "sequences": ["x"]}'),
        ("collection/", b'{"names": ["a"], "lengths": ["1"], "sequences": ["x"]}'),
        ("collection/", b'{"names": ["a"], "lengths": [1], "sequences": ["../../etc/passwd"]}'),
        ("collection/", json.dumps(level2(OTHER)).encode()),
        ("collection/", _TOO_LONG.encode()),
        (
            "collection/",
            json.dumps(level2(GENOME | {"x": "A"}) | {"names": ["\x1b[2J\n"] * 7}).encode(),
        ),
        ("collection/", json.dumps({**level2(OTHER), "names": ["\ud800"]}).encode()),
        ("v4/aliases/", b'{"digest": "../../../etc/passwd"}'),
        ("v4/aliases/", b'{"digest": {"a": 1}}'),
        ("v4/aliases/", b"7"),
    ],
)
def test_a_hostile_answer_is_refused_in_one_line(
    path: str, body: bytes, pretender: FileServer, genomes: RemoteGenomes
) -> None:
    source = make_source(pretender.url)

    def lie(answer: Answer) -> None:
        if answer.path.startswith(f"/{path}"):
            answer.body = body
            answer.headers = {}

    pretender.fault = lie
    with pytest.raises((SourceError, DigestMismatch)) as error:
        genomes.add(source, "g", ["g"])
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400
    assert not genomes.list()


@pytest.mark.parametrize("body", ["ACGT\n", "acgt" * 25, "A" * 101])
def test_residues_that_are_none_are_refused(
    body: str, pretender: FileServer, genomes: RemoteGenomes
) -> None:
    genome = genomes.add(make_source(pretender.url), "g", ["g"]).genome

    def lie(answer: Answer) -> None:
        if answer.status == 206:
            answer.body = body.encode()
            answer.headers["Content-Length"] = str(len(body))

    pretender.fault = lie
    with pytest.raises(SourceError, match="chr1"):
        genome.fetch_digest(CHR1, 0, 100)
    pretender.fault = None
    assert genome.fetch_digest(CHR1, 0, 100) == GENOME["chr1 the first"][:100]


def test_a_server_with_another_sequence_is_refused(
    pretender: FileServer, genomes: RemoteGenomes
) -> None:
    genome = genomes.add(make_source(pretender.url), "g", ["g"]).genome
    file = pretender.root / f"sequence/SQ.{SMALL}"
    for wrong in (GENOME["small"][::-1], GENOME["small"] + "A", GENOME["small"][1:]):
        file.write_text(wrong)
        with pytest.raises((DigestMismatch, SourceError), match=r"small|5,003|bytes"):
            genome.fetch_digest(SMALL, 3, 9)
        with pytest.raises((DigestMismatch, SourceError)):
            fetch_all(genome, Instance(genomes.directory.parent))
    file.write_text(GENOME["small"])
    assert genome.fetch_digest(SMALL, 3, 9) == GENOME["small"][3:9]
    fetch_all(genome, Instance(genomes.directory.parent))
    require_local(genomes.directory.parent)


def test_a_list_without_an_end_ends(pretender: FileServer) -> None:
    source = make_source(pretender.url)

    def lie(answer: Answer) -> None:
        if answer.path.startswith("/list/"):
            answer.body = json.dumps(
                {"results": [DIGEST], "pagination": {"total": 10**12}}
            ).encode()
            answer.headers = {}

    pretender.fault = lie
    assert len(list(source.listed())) == 1

    def never_end(answer: Answer) -> None:
        answer.endless, answer.body = True, b" " * (1 << 18)

    pretender.fault = never_end
    with pytest.raises(SourceError, match="more than"):
        make_source(pretender.url)


@pytest.mark.parametrize(
    "store", ["../store", "/etc", "file:///etc", "http://127.0.0.1:1/store", "", 7, None]
)
def test_a_store_that_cannot_be_reached_is_not_needed(store: object, pretender: FileServer) -> None:
    info = {"seqcol": {"refget_store": {"enabled": True, "url": store}}}
    (pretender.root / "service-info").write_text(json.dumps(info))
    source = make_source(pretender.url)
    assert (source.kind, source.address) == ("server", pretender.url)


def test_where_nothing_fits_every_answer_is_named(tmp_path: Path, pretender: FileServer) -> None:
    shutil.rmtree(pretender.root / "sequence")
    with pytest.raises(SourceError) as error:
        make_source(pretender.url)
    for path in ("rgstore.json", "sequence/service-info"):
        assert f"{pretender.url}/{path}: no such file on the server" in str(error.value)
    assert "has no releases.json" in str(error.value)
    with spa(tmp_path) as url, pytest.raises(SourceError) as error:
        make_source(url)
    for path in ("rgstore.json", "service-info", "seqcol/service-info"):
        assert f"{url}/{path}" in str(error.value)
    started = time.monotonic()
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:1/rgstore\.json: Connection refused"):
        make_source("http://127.0.0.1:1")
    assert time.monotonic() - started < 10
    with pytest.raises(SourceError, match=r"rgstore\.json: no such file; there is no archive"):
        make_source(tmp_path)
    for wrong in ("ftp://somewhere/x", "http://"):
        with pytest.raises(SourceError):
            make_source(wrong)


def test_a_password_is_not_written_to_a_file(served: FileServer, genomes: RemoteGenomes) -> None:
    source = make_source(served.url.replace("//", "//me:secret@"))
    with pytest.raises(seqarchive.BadInput, match="netrc") as error:
        genomes.add(source, DIGEST, ["g"])
    assert "secret" not in str(error.value)
    assert not genomes.directory.exists()


# --- disks ----------------------------------------------------------------------------------------


def test_a_cache_that_is_full_or_keeps_nothing(served: FileServer, genomes: RemoteGenomes) -> None:
    added(genomes, served.url).close()
    text = GENOME["chr1 the first"]
    for n_bytes in (0, 200_000):
        genome = RemoteGenomes(genomes.directory, cache_bytes=n_bytes).find("g")
        for _ in range(2):
            assert genome.fetch_digest(CHR1, 500, 600) == text[500:600]
            assert genome.fetch_digest(CHR1) == text
            assert genome.fetch_digest(CHR2, 60_000, 230_000) == GENOME["chr2"][60_000:230_000]
        files = [path for path in (genomes.directory / "cache").rglob("*") if path.is_file()]
        kept = sum(path.stat().st_size for path in files)
        assert kept <= 450_000  # the indexes are there too


def test_a_directory_that_cannot_be_written(served: FileServer, genomes: RemoteGenomes) -> None:
    added(genomes, served.url).close()
    for name in ("cache", "locks"):  # what stops root too
        shutil.rmtree(genomes.directory / name, ignore_errors=True)
        (genomes.directory / name).write_text("in the way")
    genome = again(genomes)
    for _ in range(2):
        assert genome.fetch_digest(CHR1, 500, 600) == GENOME["chr1 the first"][500:600]
        assert genome.fetch_digest(SMALL, 5, 9) == GENOME["small"][5:9]


# --- all of it ------------------------------------------------------------------------------------


def require_local(root: Path, digest: str = DIGEST, name: str = "g") -> None:
    """The genome is in the archive, all of it."""
    with seqarchive.connect(root) as archive:
        found = archive.collection(f"refgenie:{name}")
        assert found.digest == digest
        for member, text in zip(found.members(), GENOME.values(), strict=True):
            assert archive.fetch_digest(member.digest) == text


@pytest.mark.parametrize("kind", ["our export", "serve", "release"])
def test_a_genome_that_was_fetched_is_a_local_one(
    kind: str,
    places: Places,
    genomes: RemoteGenomes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = genomes.directory.parent
    seen: list[int] = []
    with KINDS[kind][1](places, tmp_path, monkeypatch) as url:
        genome = added(genomes, url)
        genome.fetch_digest(SMALL)
        report = fetch_all(genome, Instance(root), seen.append)
    assert (report.fetched, report.known) == (3, 2)
    assert sum(seen) == sum(map(len, set(GENOME.values()))) == report.fetched_residues + 5_003
    assert report.load.batch == 1
    require_local(root)
    with seqarchive.connect(root) as archive:
        assert archive.collection("refgenie:g").fhr() == FHR
    assert not genomes.list()
    assert not (genomes.directory / "fetched" / DIGEST).exists()
    run("--root", root, "verify", "--full")


def test_what_is_complete_is_not_asked_for_again(
    served: FileServer, genomes: RemoteGenomes, tmp_path: Path
) -> None:
    root = genomes.directory.parent
    genome = added(genomes, served.url)
    file = write_fasta(tmp_path / "chr1.fa", {"x": GENOME["chr1 the first"]})
    run("--root", root, "load", "-n", "t", file)

    def break_small(answer: Answer) -> None:
        if SMALL in answer.path:
            answer.body = answer.body[:-1] + b"\0"

    served.reset()
    served.fault = break_small
    with pytest.raises(DigestMismatch):
        fetch_all(genome, Instance(root))
    assert [one.path for one in served.asked if CHR1 in one.path] == []
    wait_until((genomes.staging(genome.digest) / CHR2).exists)
    assert again(genomes).digest == DIGEST
    served.fault = None
    served.reset()
    report = fetch_all(again(genomes), Instance(root))
    assert [one.path for one in served.asked if CHR2 in one.path] == []
    assert report.load.sequences_added == 4
    require_local(root)


def test_a_name_of_another_genome_in_the_archive(
    served: FileServer, genomes: RemoteGenomes, tmp_path: Path
) -> None:
    root = genomes.directory.parent
    file = write_fasta(tmp_path / "other.fa", OTHER)
    run("--root", root, "load", "-n", "t", "--collection", "refgenie:g", file)
    genome = added(genomes, served.url)
    served.reset()
    with pytest.raises(AliasConflict, match="nothing was changed"):
        fetch_all(genome, Instance(root))
    assert served.asked == []
    assert again(genomes).digest == DIGEST
    fetch_all(genome, Instance(root), on_conflict=OnConflict.REPLACE)
    require_local(root)


def test_two_do_not_fetch_the_same_genome(served: FileServer, genomes: RemoteGenomes) -> None:
    genome = added(genomes, served.url)
    staging = genomes.staging(genome.digest)
    staging.mkdir(parents=True)
    with WriterLock(staging / "writer.lock"):
        with pytest.raises(Locked):
            fetch_all(genome, Instance(genomes.directory.parent))
        with pytest.raises(Locked):
            genomes.remove("g")
    assert again(genomes).digest == DIGEST


def killed(task: str, template: Path, directory: Path, every: int, *arguments: str) -> list[Path]:
    """The roots in which a task was killed, and the one in which it was not."""
    directory.mkdir()
    command = [sys.executable, _CHILDREN, "kill", task, str(template), str(directory), str(every)]
    done = subprocess.run([*command, *arguments], check=True, capture_output=True, text=True)
    roots = sorted(directory.iterdir(), key=lambda path: int(path.name))
    assert int(roots[-1].name) == int(done.stdout) > 5 * every
    return roots


def test_killed_at_any_change_of_add_it_is_as_before_or_as_after(
    places: Places, tmp_path: Path
) -> None:
    template = tmp_path / "template"
    genomes = RemoteGenomes(template / "genomes")
    genomes.add(make_source(places.theirs), OTHER_DIGEST, ["a", "b"])
    outcomes = set()
    for root in killed("add", template, tmp_path / "killed", 1, str(places.theirs), DIGEST):
        found = RemoteGenomes(root / "genomes")
        outcome = tuple((one.names, one.digest) for one in found.list())
        outcomes.add(outcome)
        assert found.damaged() == []
        make = make_source(places.theirs)
        args: Any = {"on_conflict": OnConflict.REPLACE, "description": "new"}
        found.add(make, DIGEST, ["a", "new"], **args)
        assert found.find("a").fetch_digest(SMALL, 0, 9) == GENOME["small"][:9]
        assert found.find("b").digest == OTHER_DIGEST
        assert list((root / "genomes").glob("tmp/.*")) == []
    before = ((("a", "b"), OTHER_DIGEST),)
    after = ((("a", "new"), DIGEST), (("b",), OTHER_DIGEST))
    assert outcomes == {before, after}


def test_killed_at_any_change_of_a_fetch_it_is_one_or_the_other(
    places: Places, tmp_path: Path
) -> None:
    template = tmp_path / "template"
    RemoteGenomes(template / "genomes").add(make_source(places.theirs), DIGEST, ["a"])
    n_local = 0
    for root in killed("take", template, tmp_path / "killed", 7, str(places.theirs), DIGEST):
        found = RemoteGenomes(root / "genomes")
        with suppress(NotFound), seqarchive.connect(root) as archive:
            n_local += archive.collection("refgenie:a").digest == DIGEST
        if found.list():
            assert found.find("a").fetch_digest(SMALL, 0, 9) == GENOME["small"][:9]
            fetch_all(found.find("a"), Instance(root))
        require_local(root, name="a")
        with seqarchive.connect(root) as archive:
            assert [one["kind"] for one in archive.batches()] == ["genome fetch"]
        assert not found.list()
        assert not (root / "genomes" / "fetched" / DIGEST).exists()
    assert n_local > 1
