"""Servers of sequences, read through ``connect``: they answer what a local archive answers, and
nothing that a server makes up is taken for a sequence.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli
from contents import random_residues
from fastapi import FastAPI, Request, Response
from helpers import write_fasta
from servers import running

import seqarchive
from seqarchive import (
    Ambiguous,
    Archive,
    BadInterval,
    DigestMismatch,
    NotFound,
    ReadOnly,
    SequenceServer,
    SourceError,
)
from seqarchive.identifiers import StoredDigests, computed_names, digest_bytes, digest_of
from seqarchive.instances import Instance
from seqarchive.server import create_app
from seqarchive.server.sequences import sequence_router
from seqarchive.server.served import service_of
from seqarchive.writing import initialise

RESIDUES = {
    "NM_000001.1": random_residues("one", 3_000),
    "NM_000002.1": "ACGTNNRYKM",
    "NP_000003.1": "MKV*XBZ",
    "NM_000004.1": "",
}
ONE = RESIDUES["NM_000001.1"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of an archive with the snapshot ``r1``, in which a name meant something else."""
    directory = tmp_path_factory.mktemp("services")
    root = directory / "root"
    initialise(Instance(root))
    with seqarchive.connect(root) as archive:
        archive.load(write_fasta(directory / "x.fa", RESIDUES), "refseq", threads=0)
        archive["lab:moved"] = "AAAA"
        archive.snapshot("r1")
        archive.store("CCCC", ["lab:moved"], on_conflict="replace")
        archive["a:twice"], archive["b:twice"] = "GGGG", "TTTT"
        circle = write_fasta(directory / "circle.fa", {"circle": "CCCGGGTTTAA"})
        archive.load(circle, "lab", threads=0, circular=frozenset({"circle"}))
        archive["lab:50%/a?c#d"] = "GATTACA"
    return root


@pytest.fixture(scope="module")
def local(root: Path) -> Iterator[Archive]:
    with seqarchive.connect(root) as archive:
        yield archive


@pytest.fixture(scope="module")
def url(root: Path) -> Iterator[str]:
    """Of ``seqarchive serve``."""
    with seqarchive.connect(root) as archive, running(create_app(archive, root=root)) as address:
        yield address


@pytest.fixture(scope="module")
def refget(root: Path) -> Iterator[str]:
    """Of a server that has the standard's routes for sequences, and nothing else."""
    app = FastAPI()
    with seqarchive.connect(root) as archive:
        app.include_router(sequence_router(service_of(archive)), prefix="/refget")
        with running(app) as address:
            yield f"{address}/refget"


@pytest.fixture(params=["ours", "seqrepo+", "its base", "its interface", "refget"])
def server(request: pytest.FixtureRequest, url: str, refget: str) -> Iterator[SequenceServer]:
    address = {
        "ours": url,
        "seqrepo+": f"seqrepo+{url}/seqrepo",
        "its base": f"{url}/seqrepo/",
        "its interface": f"{url}/seqrepo/1",
        "refget": refget,
    }[request.param]
    found: Any = seqarchive.connect(address)
    with closing(found):
        yield found


def spellings(residues: str) -> list[str]:
    """All ways to ask for a sequence by its digests."""


    text = residues.encode()
    stored = StoredDigests(
        digest_bytes(digest_of(text)), hashlib.md5(text).digest(), hashlib.sha1(text).digest()
    )
    names = computed_names(stored)
    return [*map(str, names), *(name.alias for name in names)]


def test_it_is_what_it_says_it_is(server: SequenceServer) -> None:
    assert isinstance(server, SequenceServer)
    kind = "a refget server" if "/seqrepo" not in server.address else "a SeqRepo REST service"
    assert server.status() == {"address": server.address, "service": kind}
    assert repr(server) == f"<seqarchive.SequenceServer {server.address}>"
    assert server  # also without a length


def test_it_answers_what_the_archive_answers(server: SequenceServer, local: Archive) -> None:
    for name, residues in RESIDUES.items():
        for asked in (name, f"refseq:{name}", f"NCBI:{name}", *spellings(residues)):
            assert server.find(asked) == local.find(asked), asked
            assert asked in server
        assert server.fetch(name) == residues
        assert str(server[name]) == residues
        assert len(server[name]) == len(residues)
        assert server[name][2:5] == residues[2:5]
        assert server.fetch(name, 1, 10**6, clamp=True) == residues[1:]
        assert "".join(server.pieces(name, 1000)) == residues
        assert server.aliases(name) == local.aliases(name)
        assert set(server.translate(name)) <= set(local.translate(name))
        assert server.translate(name, "ga4gh") == local.translate(name, "ga4gh")
        assert server.translate(name, ["MD5", "ncbi"]) == local.translate(name, ["MD5", "ncbi"])
        ours, theirs = server.metadata(name), local.metadata(name)
        assert {key: ours[key] for key in ("identifier", "length")} == {
            key: theirs[key] for key in ("identifier", "length")
        }
    asked_for = [("NM_000001.1", n, n + 7) for n in range(50)]
    assert server.fetch_many(asked_for) == local.fetch_many(asked_for)
    assert server.fetch("lab:moved") == "CCCC"
    assert server.fetch("lab:50%/a?c#d") == "GATTACA"
    assert server.split("refseq:NM_000001.1:5-9") == ("refseq:NM_000001.1", 5, 9)
    assert not server.is_circular("NM_000001.1")
    if server.kind == "a refget server":  # SeqRepo's interface has no word of it
        assert server.is_circular("lab:circle")
        assert server.fetch("lab:circle", 8, 3) == local.fetch("lab:circle", 8, 3) == "TAACCC"


def test_what_there_is_not_is_not_found(server: SequenceServer) -> None:
    digest = digest_of(ONE.encode())
    for asked in (
        "nope", "refseq:nope", "", "x\ny", "..", "../healthz", "a/../../b", "%", "NM_%",
        digest[:10], "NM_000001", "service-info", digest_bytes(digest).hex()[:16],
        "SQ." + "A" * 32, "0" * 32, "lab:50%", "refseq:", ":",
    ):  # fmt: skip
        assert asked not in server, asked
        with pytest.raises(NotFound):
            server.fetch(asked)
    with pytest.raises(Ambiguous):
        server.find("twice")
    assert server.fetch("a:twice") == "GGGG"


def test_ranges_that_there_are_not(server: SequenceServer) -> None:
    for start, end in ((5, 3), (-1, 3), (0, 3001), (4000, 4001)):
        with pytest.raises(BadInterval):
            server.fetch("NM_000001.1", start, end)
        with pytest.raises(BadInterval):
            server.fetch_digest(digest_of(ONE.encode()), start, end)
    assert server.fetch("NM_000001.1", 7, 7) == ""


def test_what_no_server_answers_is_refused(server: SequenceServer) -> None:
    whole: list[Callable[[], object]] = [
        lambda: len(server), lambda: list(server), server.records,
        server.namespaces, lambda: server.history("lab:moved"),
        server.collections, lambda: server.all_aliases("refseq"),
    ]  # fmt: skip
    for call in whole:
        with pytest.raises(SourceError, match="answers for single sequences alone"):
            call()
    writing: list[Callable[[], object]] = [
        lambda: server.load("x.fa", "n"), lambda: server.store("ACGT", ["a:b"]),
        lambda: server.snapshot("r2"), lambda: server.revert(1), lambda: server.retire(["a:b"]),
        lambda: server.__setitem__("a:b", "ACGT"),
    ]  # fmt: skip
    for call in writing:
        with pytest.raises(ReadOnly, match=f"this is {server.kind}, which is read"):
            call()


def test_it_may_be_copied_and_closed(server: SequenceServer) -> None:
    server.close()
    other = pickle.loads(pickle.dumps(server))
    with other:
        assert other.fetch("NM_000002.1") == RESIDUES["NM_000002.1"] == server.fetch("NM_000002.1")


def test_a_name_that_moves_is_seen_at_once(tmp_path: Path) -> None:
    with (
        seqarchive.connect(_small(tmp_path)) as archive,
        running(create_app(archive)) as address,
        closing(seqarchive.connect(address)) as found,
    ):
        assert found.fetch("lab:x") == "ACGT"
        archive.store("GGGG", ["lab:x"], on_conflict="replace")
        assert found.fetch("lab:x") == "GGGG"
        assert str(found["lab:x"]) == "GGGG"


def _small(tmp_path: Path) -> Path:
    root = tmp_path / "small"
    initialise(Instance(root))
    with seqarchive.connect(root) as archive:
        archive["lab:x"] = "ACGT"
    return root


def test_a_release_is_read_below_its_server(url: str) -> None:
    with seqarchive.connect(url, "r1") as release:
        assert isinstance(release, seqarchive.ArchiveReader)
        assert release.fetch("lab:moved") == "AAAA"
    with seqarchive.connect(f"{url}/releases/r1") as release:
        assert release.fetch("lab:moved") == "AAAA"
    with pytest.raises(NotFound):
        seqarchive.connect(url, "r2")
    with pytest.raises(NotFound, match="nor a RefgetStore, nor a server of sequences"):
        seqarchive.connect(f"{url}/nothing")


def test_on_the_command_line(url: str, cli: Cli, tmp_path: Path) -> None:
    there = ("--root", url)
    got = cli(*there, "get", "refseq:NM_000001.1:5-25", "NM_000002.1")
    assert (got.code, got.out) == (0, f"{ONE[5:25]}\n{RESIDUES['NM_000002.1']}\n")
    assert cli(*there, "translate", "--to", "ga4gh", "NM_000001.1").out == (
        f"ga4gh:SQ.{digest_of(ONE.encode())}\n"
    )
    missing = cli(*there, "missing", "NM_000001.1", "NM_9.9")
    assert (missing.code, missing.out) == (3, "NM_9.9\n")
    assert cli(*there, "status").out == f"{url}, a refget server\n"
    assert json.loads(cli(*there, "--json", "status").out)["address"] == url
    assert cli(*there, "--instance", "r1", "get", "lab:moved").out == "AAAA\n"
    assert cli("--root", f"seqrepo+{url}/seqrepo", "get", "lab:moved").out == "CCCC\n"
    assert cli(*there, "export").code == 9
    listed = cli("--root", tmp_path / "pulled", "pull", "--list", url)
    assert (listed.code, "r1" in listed.out) == (0, True)
    assert cli("--root", tmp_path / "pulled", "pull", url, "r1").code == 0
    assert cli("--root", tmp_path / "pulled", "get", "lab:moved").out == "AAAA\n"
    refused = cli("--root", tmp_path / "pulled", "pull", f"{url}/nothing")
    assert (refused.code, "has no releases.json" in refused.err) == (3, True)
    assert cli(*there, "get", "nope").code == 3
    assert cli(*there, "--root", tmp_path, "get", "lab:moved").code != 0
    local = cli("--root", f"seqrepo+file://{_small(tmp_path)}", "get", "lab:x")
    assert (local.code, local.out) == (0, "ACGT\n")


# --- servers that lie -------------------------------------------------------------------------

DIGEST = digest_of(ONE.encode())
SOUND = {"aliases": [f"ga4gh:SQ.{DIGEST}", "refseq:N.1"], "length": len(ONE), "alphabet": "ACGT"}


class Liar:
    """A SeqRepo REST service that says what it is told to."""

    def __init__(self) -> None:
        self.metadata: object = SOUND
        self.residues: bytes | None = None
        self.status = 200
        self.app = FastAPI()
        self.app.add_api_route("/seqrepo/1/ping", lambda: {"dependencies": {}})
        self.app.add_api_route("/seqrepo/1/metadata/{identifier:path}", self._metadata)
        self.app.add_api_route("/seqrepo/1/sequence/{identifier:path}", self._sequence)

    def _metadata(self, identifier: str) -> Response:
        said = self.metadata
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        return Response(body, self.status, media_type="application/json")

    def _sequence(self, request: Request) -> Response:
        start, end = (request.query_params.get(name) for name in ("start", "end"))
        text = ONE.encode()[int(start or 0) : int(end or len(ONE))]
        return Response(text if self.residues is None else self.residues)


@pytest.fixture(scope="module")
def lying() -> Iterator[tuple[Liar, SequenceServer]]:
    liar = Liar()
    with running(liar.app) as address:
        found: Any = seqarchive.connect(address)
        with closing(found):
            yield liar, found


@pytest.fixture
def liar(lying: tuple[Liar, SequenceServer]) -> Iterator[tuple[Liar, SequenceServer]]:
    lying[0].metadata, lying[0].residues, lying[0].status = SOUND, None, 200
    lying[1]._lengths.clear()
    yield lying
    lying[0].metadata, lying[0].residues, lying[0].status = SOUND, None, 200


def test_one_that_tells_the_truth_is_believed(liar: tuple[Liar, SequenceServer]) -> None:
    assert liar[1].fetch("refseq:N.1") == ONE
    assert liar[1].fetch("N.1", 5, 9) == ONE[5:9]


@pytest.mark.parametrize(
    "document",
    [
        b"", b"{", b"[" * 100_000, [], "text", None, {},
        {**SOUND, "length": -1}, {**SOUND, "length": True}, {**SOUND, "length": "3000"},
        {**SOUND, "length": 1 << 60}, {**SOUND, "length": 3000.0},
        {**SOUND, "aliases": None}, {**SOUND, "aliases": ["refseq:N.1"]},
        {**SOUND, "aliases": ["ga4gh:SQ.short", "refseq:N.1"]},
        {**SOUND, "aliases": [7, {}, ["ga4gh", f"SQ.{DIGEST}"]]},
    ],
)  # fmt: skip
def test_nonsense_is_an_error_of_the_source(
    liar: tuple[Liar, SequenceServer], document: object
) -> None:
    liar[0].metadata = document
    with pytest.raises(SourceError):
        liar[1].find("refseq:N.1")


def test_another_sequence_than_the_one_asked_for_is_none(
    liar: tuple[Liar, SequenceServer],
) -> None:
    """As SeqRepo's own service answers for the beginning of an MD5."""
    for asked in ("refseq:N.2", "N.2", "0123abcd", "md5:" + "0" * 32, "A" * 32, "SQ." + "A" * 32):
        if asked.startswith("md5"):  # it may be that one: nothing else was said
            liar[0].metadata = {**SOUND, "aliases": [*SOUND["aliases"], "MD5:" + "1" * 32]}  # type: ignore[misc]
        with pytest.raises(NotFound):
            liar[1].find(asked)


@pytest.mark.parametrize(
    "residues", [b"", ONE[:-1].encode(), ONE.encode() + b"A", "é".encode() * (len(ONE) // 2)]
)
def test_other_residues_than_said_are_an_error_of_the_source(
    liar: tuple[Liar, SequenceServer], residues: bytes
) -> None:
    liar[0].residues = residues
    with pytest.raises(SourceError):
        liar[1].fetch("refseq:N.1")
    liar[0].residues = b"ACGTA"
    with pytest.raises(SourceError):
        liar[1].fetch("refseq:N.1", 0, 4)


def test_wrong_residues_are_refused(liar: tuple[Liar, SequenceServer]) -> None:
    liar[0].residues = ONE[::-1].encode()
    with pytest.raises(DigestMismatch):
        liar[1].fetch("refseq:N.1")
    with pytest.raises(DigestMismatch):
        list(liar[1].pieces("refseq:N.1"))


def test_names_that_cannot_be_are_left_out(liar: tuple[Liar, SequenceServer]) -> None:
    odd = ["refseq:a\nb", "no namespace", "sp ace:x", "x:", ":x", "lab:" + "x" * 100_000, "lab:ok"]
    liar[0].metadata = {**SOUND, "aliases": [*odd, *SOUND["aliases"]]}  # type: ignore[misc]
    names = [str(alias) for alias in liar[1].aliases("refseq:N.1")]
    assert {"lab:ok", "refseq:N.1"} <= set(names)
    assert all(name.isprintable() and len(name) < 10_000 for name in names)


@pytest.mark.parametrize("status", [400, 401, 403, 406, 501])
def test_what_a_server_refuses_is_no_sequence(
    liar: tuple[Liar, SequenceServer], status: int
) -> None:
    liar[0].status = status
    with pytest.raises(SourceError, match=str(status)):
        liar[1].find("refseq:N.1")
