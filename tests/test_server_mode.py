"""Server mode: genomes of stores that others keep, and of a registry; nothing owned but a cache."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from conftest import Cli
from databases import Postgres, serving_postgres
from gtars.refget import FhrMetadata
from gtars.refget import RefgetStore as TheirStore
from helpers import wait_until
from refget.clients import SequenceCollectionClient
from servers import Answer, FileServer, command_serving, running, serving, serving_s3
from sqlalchemy import create_engine, text
from test_server import refused

from seqarchive import commands
from seqarchive.errors import Ambiguous, BadInput, NotFound, SourceError
from seqarchive.genomes.genomes import Genomes
from seqarchive.genomes.local import LocalMode
from seqarchive.genomes.server import ServerMode
from seqarchive.genomes.store_entries import (
    StoreEntry,
    entries_of_urls,
    merged_entries,
    parse_entries,
)
from seqarchive.genomes.stores import Stores
from seqarchive.identifiers import Alias
from seqarchive.registry import open_registry
from seqarchive.registry.addresses import database_url
from seqarchive.registry.filling import Labels, load_file
from seqarchive.registry.registry import Registry
from seqarchive.remote.cache import DiskCache
from seqarchive.rgstore.reading import RefgetStore
from seqarchive.server.running import app_of

HG38 = {"chr1": "ACGTACGTAC", "chr2": "TTTTGGGG"}
HG19 = {"1": "CCCCAAAA", "2": "GATTACA"}
YEAST = {"I": "GGGGCCCCTT"}


def made(
    directory: Path,
    files: dict[str, dict[str, str]],
    names: tuple[tuple[str, str, str], ...] = (),
    fhr: dict[str, dict[str, Any]] | None = None,
) -> dict[str, str]:
    """Have gtars write a store, or add to one. Returns the digests of the files.

    Args:
        names: Namespace, alias and file.
        fhr: What is said of the collection of a file.
    """
    store = TheirStore.on_disk(str(directory))
    store.set_quiet(True)
    digests = {}
    sources = directory.parent / f"{directory.name}-files"
    sources.mkdir(exist_ok=True)
    for name, records in files.items():
        file = sources / f"{name}.fa"
        file.write_text("".join(f">{one}\n{text}\n" for one, text in records.items()))
        found, _ = store.add_sequence_collection_from_fasta(str(file))
        digests[name] = found.digest
    for name, said in (fhr or {}).items():
        document = sources / f"{name}.json"
        document.write_text(json.dumps(said))
        store.set_fhr_metadata(digests[name], FhrMetadata.from_json(str(document)))
    for namespace, alias, name in names:
        store.add_collection_alias(namespace, alias, digests.get(name, name))
    return digests


HUMAN: dict[str, Any] = {
    "genome": "Homo sapiens",
    "version": "GRCh38.p14",
    "documentation": "Human GRCh38",
    "accessionID": {"name": "GCF_000001405.40", "url": "https://ncbi.nlm.nih.gov/x"},
}

NAMES = (
    ("ncbi", "GCF_000001405.40", "hg38"),
    ("insdc", "GCA_000001405.29", "hg38"),
    ("ucsc", "hg38", "hg38"),
    ("ucsc", "hg19", "hg19"),
    ("ucsc", "human", "hg19"),
    ("insdc", "human", "hg38"),
    ("refgenie", "default", "hg38"),
    ("insdc", "default", "hg19"),
)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A store of gtars that is not changed, and the digests in it."""
    place = tmp_path_factory.mktemp("theirs") / "store"
    digests = made(place, {"hg38": HG38, "hg19": HG19}, NAMES, {"hg38": HUMAN})
    store = TheirStore.on_disk(str(place))
    store.add_sequence_alias("refseq", "NC_000001.11", store.get_collection(digests["hg38"])
                             .sequences[0].metadata.sha512t24u)  # fmt: skip
    return place, digests


@pytest.fixture
def store(theirs: tuple[Path, dict[str, str]]) -> Iterator[FileServer]:
    with serving(theirs[0]) as server:
        yield server


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache for each test."""
    place = tmp_path / "cache"
    monkeypatch.setenv("SEQARCHIVE_CACHE", str(place))
    for name in ("REFGENIE_STORES", "REFGENIE_REFGET_STORE_URL", "REFGET_STORE_HTTP_URL"):
        monkeypatch.delenv(name, raising=False)
    return place


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with serving_postgres() as server:
        yield server


@pytest.fixture
def database(postgres: Postgres) -> str:
    return postgres.new()


@pytest.fixture
def registry(database: str) -> Iterator[Registry]:
    with open_registry(database, is_writable=True) as opened:
        yield opened


def fasta(directory: Path, name: str, records: dict[str, str]) -> Path:
    path = directory / f"{name}.fa"
    path.write_text("".join(f">{one}\n{text}\n" for one, text in records.items()))
    return path


@contextmanager
def serve(**options: Any) -> Iterator[str]:
    """A service of stores; its address."""
    with running(app_of((), None, **options)) as url:
        yield url


def get(address: str) -> requests.Response:
    return requests.get(address, timeout=20)


def said_in(answer: requests.Response, status: int) -> dict[str, Any]:
    """What is wrong, as it is said."""
    refused(answer, status)
    found: dict[str, Any] = answer.json()
    return found


def paths(server: FileServer) -> list[str]:
    return [one.path for one in server.asked]


# --- what a name means ----------------------------------------------------------------------------


def test_the_answer_of_the_document(
    store: FileServer, theirs: tuple[Path, dict[str, str]], registry: Registry, tmp_path: Path
) -> None:
    """SQL first; then the namespaces of the store; the whole genome; and no request to the store
    for any of it."""
    digests = theirs[1]
    load_file(registry, fasta(tmp_path, "hg38", HG38), Labels("hg38"))
    with serve(store=store.url, database=_address(registry)) as url:
        store.reset()
        found = get(f"{url}/v4/aliases/hg38").json()
        assert found == {
            "alias": "hg38",
            "digest": digests["hg38"],
            "source": "server",
            "collection": found["collection"],
            "fhr": found["fhr"],
            "species": "Homo sapiens",
            "assembly_accession": "GCF_000001405.40",
            "description": "Human GRCh38",
        }
        assert found["collection"]["names"] == ["chr1", "chr2"]
        assert found["collection"]["lengths"] == [10, 8]
        assert all(one.startswith("SQ.") for one in found["collection"]["sequences"])
        assert found["fhr"]["genome"] == "Homo sapiens"
        assert found["fhr"]["accessionID"]["name"] == "GCF_000001405.40"
        for name, source in (
            ("GCF_000001405.40", "store:ncbi"),
            ("GCA_000001405.29", "store:insdc"),
            ("ucsc:hg38", "store:ucsc"),
            ("hg19", "store:ucsc"),
            ("default", "store:refgenie"),
            ("insdc:default", "store:insdc"),
            ("main::hg38", "store:ucsc"),
        ):
            answer = get(f"{url}/v4/aliases/{name}").json()
            assert answer["source"] == source, name
            expected = "hg19" if name in ("hg19", "insdc:default") else "hg38"
            assert answer["digest"] == digests[expected], name
        assert get(f"{url}/v4/aliases/hg19").json()["fhr"] is None
        for path in (
            "/v4/aliases", "/seqcol/service-info", "/service-info", "/list/fhr",
            "/list/alias/collection", "/list/alias/sequence/refseq", "/list/collection",
            f"/collection/{digests['hg19']}?level=2", f"/seqcol/collection/{digests['hg38']}/fhr",
            f"/aliases/collection/{digests['hg38']}", "/alias/collection/ncbi/GCF_000001405.40",
            f"/comparison/{digests['hg38']}/{digests['hg19']}", "/summary",
            "/alias/sequence/refseq/NC_000001.11",
        ):  # fmt: skip
            assert get(f"{url}{path}").status_code == 200, path
        assert paths(store) == []
        assert get(f"{url}/sequence/refseq:NC_000001.11").text == HG38["chr1"]
        assert paths(store) != []  # residues are where they are


def _address(registry: Registry) -> str:
    return registry._url.render_as_string(hide_password=False)


def test_a_name_that_means_two_things_in_one_step_is_409_with_both(
    store: FileServer, registry: Registry, tmp_path: Path
) -> None:
    load_file(registry, fasta(tmp_path, "a", HG38), Labels("lab:mine"))
    load_file(registry, fasta(tmp_path, "b", YEAST), Labels("other:mine"))
    with serve(store=store.url, database=_address(registry)) as url:
        answer = said_in(get(f"{url}/v4/aliases/mine"), 409)
        assert answer["candidates"] == ["lab:mine", "other:mine"]
        assert get(f"{url}/v4/aliases/lab:mine").json()["collection"]["names"] == ["chr1", "chr2"]
        assert get(f"{url}/v4/aliases/other:mine").json()["collection"]["names"] == ["I"]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ((), ("insdc:human", "refgenie:default")),
        (("ucsc", "insdc"), ("ucsc:human", "insdc:default")),
        (("INSDC",), ("insdc:human", "insdc:default")),
        (("ncbi",), (None, None)),
        (("refgenie",), (None, "refgenie:default")),
    ],
)
def test_the_order_of_namespaces(
    theirs: tuple[Path, dict[str, str]],
    order: tuple[str, ...],
    expected: tuple[str | None, ...],
) -> None:
    """What is not in it comes last, all of it together: there a name means one thing or none."""
    with Stores(entries_of_urls([str(theirs[0])]), order=order) as stores:
        for name, wanted in zip(("human", "default"), expected, strict=True):
            if wanted is None:
                with pytest.raises(Ambiguous) as caught:
                    stores.resolve(name)
                assert len(caught.value.candidates) == 2
            else:
                assert str(stores.resolve(name).alias) == wanted


def test_a_name_that_is_not_there_is_told_what_is_like_it(
    theirs: tuple[Path, dict[str, str]]
) -> None:
    with serve(store=str(theirs[0])) as url:
        said = said_in(get(f"{url}/v4/aliases/hg83"), 404)["msg"]
        assert "hg38" in said
        said = said_in(get(f"{url}/v4/aliases/GCF_000001405.39"), 404)["msg"]
        assert "GCF_000001405.40" in said
        assert "like" not in said_in(get(f"{url}/v4/aliases/zebrafish"), 404)["msg"]


@pytest.mark.usefixtures("archive")
def test_a_database_that_is_gone_is_told_in_a_word(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ExitStack() as stack:
        postgres = stack.enter_context(serving_postgres())
        database = postgres.new()
        open_registry(database, is_writable=True).close()
        with running(app_of((str(root),), None, database=database)) as url:
            assert get(f"{url}/v4/aliases").status_code == 200
            stack.close()
            caplog.clear()
            answer = get(f"{url}/v4/aliases/base")
            found = said_in(answer, 502)
    assert found["msg"] == (
        "what is read from elsewhere cannot be had; the operator has to look"
    )
    (record,) = (one for one in caplog.records if one.name == "seqarchive.server")
    assert "postgresql" in record.getMessage()
    assert "\n" not in record.getMessage()


def test_names_of_what_is_not_there_mean_nothing(tmp_path: Path) -> None:
    """A store may name what it has not: the next step, and the next store, are asked."""
    with ExitStack() as stack:
        a = made(tmp_path / "a", {"hg38": HG38}, (("refgenie", "x", "hg38"),))
        listed = tmp_path / "a" / "aliases" / "collections" / "refgenie.tsv"
        listed.write_text(f"x\t{'A' * 32}\ny\tnonsense\n")
        b = made(tmp_path / "b", {"hg19": HG19}, (("ucsc", "x", "hg19"), ("ucsc", "y", "hg19")))
        assert a != b
        entries = entries_of_urls([f"a={tmp_path / 'a'}", f"b={tmp_path / 'b'}"])
        stores = stack.enter_context(Stores(entries))
        assert stores.resolve("x") == (Alias("ucsc", "x"), b["hg19"], "store:b/ucsc")
        assert stores.resolve("y").digest == b["hg19"]
        assert [str(one) for one in stores.collection(b["hg19"]).aliases()] == ["ucsc:x", "ucsc:y"]
        with pytest.raises(NotFound):
            stores.resolve("a::x")


# --- the list of names ----------------------------------------------------------------------------


def test_names_are_listed_in_pages_and_searched(
    theirs: tuple[Path, dict[str, str]], registry: Registry, tmp_path: Path
) -> None:
    digests = theirs[1]
    load_file(registry, fasta(tmp_path, "yeast", YEAST), Labels("sacCer3"))
    with serve(store=str(theirs[0]), database=_address(registry)) as url:

        def asked(query: str) -> tuple[list[str], int]:
            found = get(f"{url}/v4/aliases?{query}").json()
            assert found["pagination"].keys() == {"offset", "limit", "total"}
            return [one["name"] for one in found["items"]], found["pagination"]["total"]

        everything, total = asked("")
        assert everything == sorted(everything, key=str.lower)
        assert total == len(everything) == len(NAMES) + 1
        pages = [asked(f"offset={n}&limit=4")[0] for n in (0, 4, 8, 12)]
        assert [one for page in pages for one in page] == everything
        assert asked("name=human") == (["human", "human"], 2)
        assert asked("name=Human") == ([], 0)
        assert asked(f"genome_digest={digests['hg19']}")[1] == 3
        assert asked(f"genome_digest={digests['hg19']}&name=human") == (["human"], 1)
        assert asked("q=000001405") == (["GCA_000001405.29", "GCF_000001405.40"], 2)
        assert asked("q=A&search_fields=name")[0][-3:] == ["human", "human", "sacCer3"]
        assert asked("q=hg&search_fields=name") == (["hg19", "hg38"], 2)
        assert asked("q=ucsc&search_fields=namespace")[1] == 3
        assert asked("q=c&search_fields=name,namespace&operator=and")[1] == 2
        assert asked(f"q={digests['hg19'][:12]}&search_fields=genome_digest")[1] == 3
        assert asked("name=sacCer3") == (["sacCer3"], 1)
        rows = get(f"{url}/v4/aliases?name=sacCer3").json()["items"]
        assert [(row["source"], row["namespace"]) for row in rows] == [("server", "refgenie")]
        for wrong in ("operator=xor", "search_fields=id", "limit=0", "offset=-1"):
            refused(get(f"{url}/v4/aliases?{wrong}"), 400)
        # What is registered meanwhile is there at once.
        load_file(registry, fasta(tmp_path, "yeast", YEAST), Labels("R64"))
        assert asked("name=R64")[1] == 1


# --- starts, changes, and stores that are away ----------------------------------------------------


def test_a_second_start_asks_for_the_manifest_alone(
    store: FileServer, theirs: tuple[Path, dict[str, str]], cache: Path
) -> None:
    with ServerMode(store.url) as mode:
        mode.create_store()
        cold = set(paths(store))
        assert {"/rgstore.json", "/sequences.rgsi", "/collections.rgci",
                "/aliases/collections/ncbi.tsv"} <= cold  # fmt: skip
        assert mode.pull_aliases() == {"pulled": 5, "not_found": 0}
        assert mode.pull_fhr() == {"pulled": 1, "not_found": 1}
    for where in (cache, None):
        store.reset()
        with ServerMode(store.url, cache=where) as mode:
            assert mode.resolve("hg19").source == "store:ucsc"
            assert mode.fhr("hg38")
            assert mode.collection("hg19").level2()["lengths"] == [8, 7]
            assert mode.aliases.names_of(theirs[1]["hg19"]) == ["default", "hg19", "human"]
            assert len(mode.archive) == 4
            assert str(mode.archive.collection("hg38").digest) == theirs[1]["hg38"]
        assert paths(store) == ["/rgstore.json"]
    # Without a cache, all of it again.
    store.reset()
    with Stores(entries_of_urls([store.url]), cache=DiskCache(cache / "no", 0)) as stores:
        assert stores.resolve("hg19")
    assert set(paths(store)) == cold


def test_a_store_that_changes_is_seen(tmp_path: Path) -> None:
    """In one step: until all of it is there, it is what it was."""
    place = tmp_path / "store"
    made(place, {"hg38": HG38}, (("ucsc", "hg38", "hg38"),))
    with serving(place) as server, Stores(entries_of_urls([server.url]), seconds=0) as stores:
        assert not stores.refresh()
        digests = made(place, {"hg19": HG19}, (("ucsc", "hg19", "hg19"),))

        def fault(answer: Answer) -> None:
            if answer.path.startswith("/aliases"):
                assert stores.resolve("hg38")
                answer.status = 410 if is_away else answer.status

        is_away = True
        server.fault = fault
        before = stores.state()
        assert not stores.refresh()
        assert stores.state() == before
        is_away = False
        wait_until(lambda: stores.fresh().state() != before)  # a thread looks
        assert stores.resolve("hg19").digest == digests["hg19"]
        assert stores.failures() == {}
        # And what is said of one: by the next change, since gtars says no more of that.
        made(place, {"hg19": HG19}, fhr={"hg19": HUMAN})
        made(place, {}, (("ucsc", "GRCh37", digests["hg19"]),))
        stores.refresh()  # or the thread has
        said = stores.collection("GRCh37").fhr()
        assert said is not None
        assert said["genome"] == "Homo sapiens"


def test_a_store_that_is_written_to_while_it_is_pulled_is_pulled_again(tmp_path: Path) -> None:
    place = tmp_path / "store"
    digests = made(place, {"hg38": HG38}, (("ucsc", "hg38", "hg38"),))
    manifest = (place / "rgstore.json").read_bytes()
    made(place, {}, (("ucsc", "new", digests["hg38"]),))
    whole = (place / "rgstore.json").read_bytes()
    with serving(place) as server:
        (place / "rgstore.json").write_bytes(manifest)  # the aliases are newer
        with Stores(entries_of_urls([server.url])) as stores:
            assert stores.resolve("hg38")
            (place / "rgstore.json").write_bytes(whole)
            assert stores.refresh()
            assert stores.resolve("new").digest == digests["hg38"]
            assert not stores.refresh()


def test_a_store_that_is_away_at_the_start_is_what_it_was_and_comes_back(
    theirs: tuple[Path, dict[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    digests = theirs[1]
    with serving(theirs[0]) as server:
        entries = entries_of_urls([server.url])
        with Stores(entries):
            pass

        def away(answer: Answer) -> None:
            answer.status, answer.body = 503, b""

        server.fault = away
        with Stores(entries) as stores:
            assert "as it was before" in caplog.text
            assert stores.failures().keys() == {"main"}
            assert stores.resolve("hg19").digest == digests["hg19"]
            assert stores.collection("hg38").level2()["names"] == ["chr1", "chr2"]
            server.fault = None
            stores.refresh()
            assert stores.failures() == {}
            assert stores.fetch_digest(stores.find("refseq:NC_000001.11")) == HG38["chr1"]


def test_a_store_that_was_never_there_is_waited_for(tmp_path: Path, database: str) -> None:
    """If there is something else to serve; what nobody knows then is no 404."""
    near = made(tmp_path / "near", {"hg38": HG38}, (("ucsc", "hg38", "hg38"),))
    far = tmp_path / "far"
    far.mkdir()
    with serving(far) as server:
        with pytest.raises(NotFound, match=r"rgstore\.json"), ServerMode(server.url) as alone:
            alone.create_store()
        entries = [StoreEntry("near", str(tmp_path / "near"), 2), StoreEntry("far", server.url, 1)]
        with ServerMode(stores=entries) as mode:
            assert mode.resolve("hg38").source == "store:near/ucsc"
            with pytest.raises(SourceError, match="far"):
                mode.resolve("hg19")
            with pytest.raises(SourceError, match="far"):
                mode.resolve("far::hg38")
            digests = made(far, {"hg19": HG19}, (("ucsc", "hg38", "hg19"),))
            assert mode.refresh()
            assert mode.resolve("hg38").digest == digests["hg19"]
            assert mode.resolve("near::hg38").digest == near["hg38"]
            with pytest.raises(NotFound):
                mode.resolve("nothing")
    with open_registry(database, is_writable=True) as registry:
        load_file(registry, fasta(tmp_path, "x", YEAST), Labels("R64"))
    with ServerMode("http://127.0.0.1:1/store", database=database) as mode:
        assert mode.resolve("R64").source == "server"


# --- several stores -------------------------------------------------------------------------------


@pytest.fixture
def two(tmp_path: Path, root: Path, cli: Cli) -> tuple[list[StoreEntry], dict[str, str]]:
    """A store of gtars and one of ours, which differ about names."""
    digests = made(
        tmp_path / "theirs",
        {"hg38": HG38, "yeast": YEAST},
        (("refgenie", "hg38", "hg38"), ("ucsc", "sacCer3", "yeast")),
    )
    chosen = fasta(tmp_path, "mine", HG19)
    assert cli("load", "-n", "refseq", "--collection", "refgenie:hg38", chosen).code == 0
    assert cli("collection", "name", "refgenie:hg38", "lab:mine").code == 0
    assert cli("load", "-n", "refseq", "--collection", "ucsc:sacCer3",
               fasta(tmp_path, "yeast2", YEAST)).code == 0  # fmt: skip
    assert cli("fhr", "set", "--partial", "lab:mine", _document(tmp_path)).code == 0
    assert cli("export-rgstore", tmp_path / "ours").code == 0
    with RefgetStore(tmp_path / "ours") as ours:
        digests["mine"] = ours.collection("lab:mine").digest
    entries = [
        StoreEntry("ours", str(tmp_path / "ours"), 20, "what we have"),
        StoreEntry("theirs", str(tmp_path / "theirs"), 10),
    ]
    return merged_entries(entries), digests


def _document(tmp_path: Path) -> Path:
    path = tmp_path / "said.json"
    path.write_text(json.dumps({"genome": "Homo sapiens", "taxon": {"name": "human"}}))
    return path


def test_several_stores_are_read_as_one(
    two: tuple[list[StoreEntry], dict[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    entries, digests = two
    with Stores(entries) as stores:
        assert [one.name for one in stores.entries] == ["theirs", "ours"]
        assert stores.resolve("hg38") == (
            Alias("refgenie", "hg38"), digests["hg38"], "store:theirs/refgenie"
        )  # fmt: skip
        assert stores.resolve("ours::hg38").digest == digests["mine"]
        assert stores.resolve("ours::refgenie:hg38").digest == digests["mine"]
        assert stores.resolve("mine").source == "store:ours/lab"
        assert stores.collection("ours::hg38").digest == digests["mine"]
        assert "ours::refgenie:hg38" in caplog.text
        (found,) = stores.conflicts()
        assert (str(found.alias), found.winner, found.digest) == (
            "refgenie:hg38", "theirs", digests["hg38"]
        )  # fmt: skip
        assert (found.name, found.other) == ("ours::refgenie:hg38", digests["mine"])
        # By the name that does not mean it, a collection is not called.
        assert [str(one) for one in stores.collection("mine").aliases()] == ["lab:mine"]
        assert stores.collection("mine").fhr() is not None
        # The same collection in both is one, and so are its sequences.
        listed, total = stores.collection_page({}, 0, 100)
        assert (set(listed), total) == (set(digests.values()), 3)
        assert len(stores.collections()) == 3
        assert len(stores) == 5
        names = {(name, digest) for name, _, digest, _ in stores.names()}
        assert names >= {("hg38", digests["hg38"]), ("ours::hg38", digests["mine"])}
        assert ("sacCer3", digests["yeast"]) in names
        for name, expected in (("refseq:1", HG19["1"]), ("refseq:I", YEAST["I"])):
            assert str(stores[name]) == expected
            assert name in stores.translate(name)
        for member in stores.collection("hg38").members():
            assert stores.fetch_digest(member.digest) == HG38[member.name]
        assert "refseq:nothing" not in stores
        assert {str(alias) for alias, _ in stores.all_aliases()} >= {"refseq:1", "refseq:I"}
        assert stores.metadata("refseq:1")["length"] == 8


def test_residues_come_from_whoever_can_give_them(
    two: tuple[list[StoreEntry], dict[str, str]], tmp_path: Path
) -> None:
    """A store that fails is no reason to give up."""
    with serving(tmp_path / "theirs") as server:
        entries = [StoreEntry("theirs", server.url, 10), two[0][1]]
        with Stores(entries) as stores:

            def fault(answer: Answer) -> None:
                if answer.path.startswith("/sequences/"):
                    answer.status = 404

            server.fault = fault
            assert stores.fetch_digest(stores.find("refseq:I"), 2, 6) == "GGCC"
            assert any(path.startswith("/sequences/") for path in paths(server))


def test_several_stores_are_served(
    two: tuple[list[StoreEntry], dict[str, str]], tmp_path: Path
) -> None:
    digests = two[1]
    with serve(stores=[list(one) for one in two[0]]) as url:
        found = get(f"{url}/v4/aliases/hg38").json()
        assert (found["digest"], found["source"]) == (digests["hg38"], "store:theirs/refgenie")
        other = get(f"{url}/v4/aliases/ours::hg38").json()
        assert (other["digest"], other["source"]) == (digests["mine"], "store:ours/refgenie")
        assert (other["species"], other["assembly_accession"]) == ("human", None)
        info = get(f"{url}/seqcol/service-info").json()["seqcol"]
        assert [one["name"] for one in info["services"]] == ["theirs", "ours"]
        assert [one["n_collections"] for one in info["services"]] == [2, 2]
        assert info["services"][1]["fhr_metadata_collections"] == [digests["mine"]]
        # Directories of this machine are nobody's business.
        assert str(tmp_path) not in json.dumps(info)
        assert get(f"{url}/v4/aliases?q=ours::").json()["pagination"]["total"] == 1


# --- what service-info says -----------------------------------------------------------------------


def test_service_info_says_where_the_store_is(
    store: FileServer, theirs: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    with serve(store=store.url) as url:
        info = get(f"{url}/seqcol/service-info").json()
        assert info == get(f"{url}/service-info").json()
        said = info["seqcol"]["refget_store"]
        assert (said["enabled"], said["url"]) == (True, store.url)
        assert (said["n_collections"], said["n_sequences"]) == (2, 4)
        assert said["collection_alias_namespaces"] == ["insdc", "ncbi", "refgenie", "ucsc"]
        assert said["sequence_alias_namespaces"] == ["refseq"]
        assert said["fhr_metadata_collections"] == [theirs[1]["hg38"]]
        # The client of refget finds the store and the collections.
        client = SequenceCollectionClient([f"{url}/seqcol"], raise_errors=True)
        assert client.get_collection(theirs[1]["hg19"], level=2)["names"] == ["1", "2"]
        assert client.get_refget_store_url() == store.url
        # So does gtars; in a process of its own, since it keeps the interpreter while it waits.
        script = (
            "import sys; from gtars.refget import RefgetStore; "
            "print(RefgetStore.open_remote(*sys.argv[1:]).stats()['n_collections'])"
        )
        command = [sys.executable, "-c", script, str(tmp_path / "gtars"), said["url"]]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout.split()[-1] == "2"
    with serve(store=str(theirs[0]), base_url="https://g.example.org/x") as url:
        said = get(f"{url}/seqcol/service-info").json()["seqcol"]["refget_store"]
        assert said["url"] == "https://g.example.org/x/store"


def test_a_store_in_a_bucket(
    theirs: tuple[Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its URL is told if there is one that others can use."""
    (tmp_path / "s3").mkdir()
    shutil.copytree(theirs[0], tmp_path / "s3" / "genomes")
    with serving_s3(tmp_path / "s3") as bucket:
        for name, value in bucket.environment.items():
            monkeypatch.setenv(name, value)
        with serve(store="s3://genomes") as url:
            assert get(f"{url}/v4/aliases/hg19").json()["source"] == "store:ucsc"
            assert get(f"{url}/v4/aliases/hg38").json()["species"] == "Homo sapiens"
            assert get(f"{url}/sequence/refseq:NC_000001.11?start=2&end=5").text == "GTA"
            said = get(f"{url}/seqcol/service-info").json()["seqcol"]["refget_store"]
            assert (said["enabled"], "url" in said, said["n_collections"]) == (False, False, 2)
        told = "https://genomes.s3.amazonaws.com/"
        with serve(store="s3://genomes", store_url=told) as url:
            said = get(f"{url}/seqcol/service-info").json()["seqcol"]["refget_store"]
            assert (said["enabled"], said["url"]) == (True, told)


def test_without_a_store_the_server_works_from_its_own_archive(
    root: Path, cli: Cli, tmp_path: Path
) -> None:
    file = fasta(tmp_path, "hg38", HG38)
    assert cli("load", "-n", "refseq", "--collection", "refgenie:hg38", file).code == 0
    with running(app_of([str(root)], None)) as url:
        assert get(f"{url}/seqcol/service-info").json()["seqcol"]["refget_store"] == {
            "enabled": False
        }
        found = get(f"{url}/v4/aliases/hg38").json()
        assert (found["source"], found["collection"]["lengths"]) == ("server", [10, 8])
        assert "hg38" in said_in(get(f"{url}/v4/aliases/hg3"), 404)["msg"]


# --- the class ------------------------------------------------------------------------------------


def test_server_mode_in_python(
    store: FileServer, theirs: tuple[Path, dict[str, str]], registry: Registry, tmp_path: Path
) -> None:
    load_file(registry, fasta(tmp_path, "yeast", YEAST), Labels("sacCer3"))
    with ServerMode(store.url, database=_address(registry)) as mode:
        assert mode.create_store() is mode.create_store()
        assert mode.aliases["hg38"] == theirs[1]["hg38"]
        assert "hg38" in mode.aliases
        assert "nothing" not in mode.aliases
        assert {"sacCer3", "hg38", "human"} <= set(mode.aliases)
        assert mode.aliases.record("sacCer3")["collection"]["names"] == ["I"]
        assert mode.resolve("sacCer3").source == "server"
        assert mode.getseq("hg38", "chr1", 2, 6) == "GTAC"
        for name, sequence in (("hg38", "chr9"), ("hg99", "chr1"), ("sacCer3", "I")):
            with pytest.raises(NotFound):
                mode.getseq(name, sequence)
    with ServerMode(database=_address(registry)) as mode:
        assert mode.collection("sacCer3").level2()["lengths"] == [10]
        with pytest.raises(NotFound, match="names and digests alone"):
            mode.getseq("sacCer3", "I")


# --- lists of stores ------------------------------------------------------------------------------


def test_a_list_in_a_variable() -> None:
    text = json.dumps(
        [
            {"name": "b", "url": "s3://b/x", "type": "refget_store", "priority": 5,
             "description": "B", "enabled": True},
            {"name": "a", "url": "https://a.example.org/store", "priority": 1},
            {"name": "off", "url": "/srv/off", "enabled": False},
        ]
    )  # fmt: skip
    found = parse_entries(text, "X")
    assert found[0] == ("b", "s3://b/x", 5, "B", True)
    assert [one.name for one in merged_entries(found)] == ["a", "b"]
    again = StoreEntry("A", "https://elsewhere.example.org", 0)
    assert [one.url for one in merged_entries(found, [again])] == [
        "https://a.example.org/store", "s3://b/x"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "{}", "[1]", "null", "[" * 100_000, json.dumps([{"url": "s3://x"}]),
        json.dumps([{"name": "x"}]), json.dumps([{"name": "local", "url": "s3://x"}]),
        json.dumps([{"name": "LOCAL", "url": "s3://x"}]),
        json.dumps([{"name": "../x", "url": "s3://x"}]), json.dumps([{"name": "a/b", "url": "x"}]),
        json.dumps([{"name": "a::b", "url": "s3://x"}]), json.dumps([{"name": "", "url": "x"}]),
        json.dumps([{"name": "x\n", "url": "s3://x"}]), json.dumps([{"name": ["x"], "url": "x"}]),
        json.dumps([{"name": "x", "url": "s3://x\r\nHost: y"}]),
        json.dumps([{"name": "x", "url": 1}]), json.dumps([{"name": "x", "url": ""}]),
        json.dumps([{"name": "x", "url": "s3://" + "x" * 9999}]),
        json.dumps([{"name": "x", "url": "s3://x", "priority": "1"}]),
        json.dumps([{"name": "x", "url": "s3://x", "priority": True}]),
        json.dumps([{"name": "x", "url": "s3://x", "priority": 10**20}]),
        json.dumps([{"name": "x", "url": "s3://x", "priority": 1.5}]),
        json.dumps([{"name": "x", "url": "s3://x", "enabled": "no"}]),
        json.dumps([{"name": "x", "url": "s3://x", "description": "a\x1b[2J"}]),
        json.dumps([{"name": "x", "url": "s3://x", "description": 7}]),
        json.dumps([{"name": "x", "url": "s3://x"}, {"name": "X", "url": "s3://y"}]),
        json.dumps([{"name": f"n{n}", "url": "s3://x"} for n in range(101)]),
    ],
)  # fmt: skip
def test_a_list_that_is_none_is_refused_in_a_line(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_entries(text, "$REFGENIE_STORES")
    assert str(caught.value).startswith("$REFGENIE_STORES")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_other_kinds_of_addresses_are_refused() -> None:
    with pytest.raises(SourceError):
        parse_entries(json.dumps([{"name": "x", "url": "ftp://x"}]), "X")


def test_the_command_reads_the_variables(
    store: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "second"
    digests = made(place, {"yeast": YEAST}, (("ucsc", "sacCer3", "yeast"),))
    monkeypatch.delenv("SEQARCHIVE_ROOT", raising=False)
    monkeypatch.setenv("REFGENIE_REFGET_STORE_URL", store.url)
    monkeypatch.setenv("REFGENIE_STORES", json.dumps([{"name": "second", "url": str(place)}]))
    monkeypatch.setenv("REFGET_STORE_HTTP_URL", "https://told.example.org/store")
    with command_serving(None, tmp_path, "--alias-order", "ucsc") as served:
        assert get(f"{served.url}/v4/aliases/human").json()["source"] == "store:main/ucsc"
        assert get(f"{served.url}/v4/aliases/sacCer3").json()["digest"] == digests["yeast"]
        info = get(f"{served.url}/seqcol/service-info").json()["seqcol"]
        assert info["refget_store"]["url"] == "https://told.example.org/store"
    monkeypatch.setenv("REFGENIE_STORES", '[{"name": "local", "url": "s3://x"}]')
    command = [sys.executable, "-m", "seqarchive", "serve", "--port", "0"]
    monkeypatch.delenv("REFGENIE_REFGET_STORE_URL")
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 5
    assert done.stderr.count("\n") == 1
    assert "reserved" in done.stderr


# --- the command store ----------------------------------------------------------------------------


def test_stores_are_added_listed_and_removed(
    cli: Cli, database: str, two: tuple[list[StoreEntry], dict[str, str]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("SEQARCHIVE_DATABASE", database)
    (theirs, ours), digests = two
    words = ("--priority", "20", "--description", "what we have")
    added = cli("store", "add", "ours", ours.url, *words)
    assert (added.code, added.out) == (0, "ours\tis served\n")
    assert cli("store", "add", "theirs", theirs.url, "--priority", "10").code == 0
    again = cli("store", "add", "ours", ours.url)
    assert (again.code, again.out) == (0, "ours\tknown already\n")
    other = cli("store", "add", "ours", theirs.url)
    assert other.code == 4
    assert "--replace" in other.err
    listed = json.loads(cli("--json", "store", "list").out)
    assert listed == [theirs.as_dict(), ours.as_dict()]
    assert cli("store", "list").out.startswith("theirs\t")
    found = cli("store", "conflicts")
    assert found.code == 0
    assert found.out == (
        f"refgenie:hg38\ttheirs\t{digests['hg38']}\tours::refgenie:hg38\t{digests['mine']}\n"
    )
    # The server reads them, and sees what is added later.
    with ServerMode(database=database) as mode:
        assert mode.resolve("hg38").source == "store:theirs/refgenie"
        assert cli("store", "add", "ours", ours.url, "--priority", "1").code == 0
        assert mode.refresh()
        assert mode.resolve("hg38").digest == digests["mine"]
        assert cli("store", "remove", "OURS").code == 0
        assert mode.refresh()
        assert mode.resolve("hg38").digest == digests["hg38"]
        with pytest.raises(NotFound):
            mode.resolve("mine")
    assert cli("store", "remove", "ours").code == 3
    assert cli("store", "add", "theirs", ours.url, "--replace").code == 0
    away = cli("store", "add", "away", str(tmp_path / "none"))
    assert (away.code, away.out) == (0, "away\tis served\n")
    assert "until it is there" in away.err
    assert cli("store", "conflicts").code == 3
    for name in ("local", "a/b", "a::b"):
        assert cli("store", "add", name, ours.url).code == 5
    assert cli("store", "add", "x", "ftp://x").code == 9


def test_a_registry_from_before_there_were_stores(cli: Cli, tmp_path: Path) -> None:
    """Is read without them, and has the table as soon as somebody writes."""
    file = tmp_path / "registry.db"
    address = f"sqlite:///{file}"
    with open_registry(address, is_writable=True) as registry:
        load_file(registry, fasta(tmp_path, "x", YEAST), Labels("R64"))
    with sqlite3.connect(file) as old:
        old.execute("DROP TABLE seqarchive_stores")
    old.close()
    with open_registry(address) as registry:
        assert registry.stores() == []
    with ServerMode(database=address) as mode:
        assert mode.resolve("R64").source == "server"
    made(tmp_path / "s", {"hg38": HG38})
    assert cli("store", "list", "--database", address).out == ""
    assert cli("store", "add", "s", tmp_path / "s", "--database", address).code == 0
    with open_registry(address) as registry:
        assert [one.name for one in registry.stores()] == ["s"]


# --- names of a digest, and many of them ----------------------------------------------------------


def test_names_of_a_digest_are_found_by_an_index(tmp_path: Path) -> None:
    """Of 100,000 names, without going through them."""
    place = tmp_path / "store"
    made(place, {"hg38": HG38}, (("ucsc", "hg38", "hg38"),))
    with RefgetStore(place) as opened:
        digests = [row.digest for row in opened.rows()]
    lines = [f"n{n:06d}\t{digests[n % 2] if n % 1000 == 0 else 'A' * 32}\n" for n in range(100_000)]
    directory = place / "aliases" / "sequences"
    directory.mkdir(parents=True)
    (directory / "many.tsv").write_text("".join(lines))
    manifest = json.loads((place / "rgstore.json").read_text())
    manifest["sequence_alias_namespaces"] = ["many"]
    del manifest["aliases_digest"]
    (place / "rgstore.json").write_text(json.dumps(manifest))
    with RefgetStore(place) as opened:
        assert len(opened.aliases(f"SQ.{digests[0]}")) == 100
        begin = time.thread_time()
        for _ in range(50):
            opened.aliases(f"SQ.{digests[1]}")
        assert time.thread_time() - begin < 0.5
        assert opened.aliases(f"SQ.{digests[1]}") == []


def test_many_threads_ask_while_stores_change(tmp_path: Path) -> None:
    place = tmp_path / "store"
    digests = made(place, {"hg38": HG38}, (("ucsc", "hg38", "hg38"),))
    wrong: list[object] = []
    stop = threading.Event()
    with Stores(entries_of_urls([str(place)]), seconds=0) as stores:

        def ask() -> None:
            while not stop.is_set():
                found = stores.fresh().resolve("hg38")
                if found.digest != digests["hg38"] or len(stores.collection("hg38")) != 2:
                    wrong.append(found)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for one in threads:
            one.start()
        for n in range(5):
            made(place, {}, (("ucsc", f"name{n}", digests["hg38"]),))
        stop.set()
        for one in threads:
            one.join()
        assert not wrong
        stores.refresh()
        assert stores.resolve("name4").digest == digests["hg38"]


def test_genomes_of_a_server_by_chromosome_and_with_an_engine(
    postgres: Postgres, tmp_path: Path
) -> None:
    file = tmp_path / "g.fa"
    file.write_text(">chr1\nACGTACGTAC\n>chr2\nGGGG\n")
    mode = LocalMode(tmp_path / "root")
    mode.init(file, ["hg38"], species="Homo sapiens", namespace="ucsc")
    mode.close()
    store = tmp_path / "store"
    export = ["--root", str(tmp_path / "root"), "--quiet", "export-rgstore", str(store)]
    assert commands.run(export) == 0
    address = postgres.new()
    with open_registry(address, is_writable=True) as registry:
        load_file(registry, file, Labels("best"))
    engine = create_engine(database_url(address))
    try:
        with Genomes.server(str(store), engine) as genomes:
            assert len(genomes) == 1
            for name in ("hg38", "best"):
                assert genomes[name]["chr1"][2:5] == "GTA"
                assert genomes.getseq(name, "1:0-4") == "ACGT"
                assert genomes.getseq(name, "ucsc:chr2:2") == "GG"
                assert genomes[name].species == "Homo sapiens"
            with pytest.raises(NotFound):
                genomes["none"]
        with engine.connect() as connection:  # it is not ours to close
            assert connection.scalar(text("SELECT 1")) == 1
    finally:
        engine.dispose()
