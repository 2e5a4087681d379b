"""The registry in a database; and a service of it and of a bucket, with no data of its own."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from conftest import Cli
from databases import Postgres, serving_postgres
from helpers import sha512t24u, wait_until
from refget.compliance import run_compliance
from servers import Bucket, command_serving, running, serving_s3
from test_server import refused

import seqarchive
from seqarchive.errors import (
    AliasConflict,
    Ambiguous,
    BadName,
    Conflict,
    Corrupt,
    NewerFormat,
    NotFound,
    ReadOnly,
    SourceError,
)
from seqarchive.identifiers import Alias, AliasKey
from seqarchive.new_aliases import OnConflict
from seqarchive.registry import open_registry
from seqarchive.registry.addresses import database_url
from seqarchive.registry.filling import Labels, load_file, parse_bucket
from seqarchive.registry.projects import samples_of
from seqarchive.registry.registry import Registry
from seqarchive.server.running import app_of

FASTA = Path(__file__).parent / "data" / "edge" / "refget_test_fasta"
PHIX = Path(__file__).parent / "data" / "nucl" / "phiX174_NC_001422.1.fa"

#: Level 0 of the files of refget's own tests, as refget says them.
DIGESTS: dict[str, Any] = json.loads((FASTA / "test_fasta_digests.json").read_text())
BASE = DIGESTS["base.fa"]["top_level_digest"]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with serving_postgres() as server:
        yield server


@pytest.fixture(params=["postgresql", "sqlite"])
def database(request: pytest.FixtureRequest, postgres: Postgres, tmp_path: Path) -> str:
    """The address of a database that is empty."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'registry.db'}"
    return postgres.new()


@pytest.fixture
def registry(database: str) -> Iterator[Registry]:
    with open_registry(database, is_writable=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with serving_s3(tmp_path_factory.mktemp("s3") / "buckets") as server:
        for name in ("genomes", "store", "files"):  # before it looks which there are
            server.url(name)
        yield server


@pytest.fixture
def genomes(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a bucket ``genomes``, and the variables that lead there."""
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    return bucket.directory / "genomes"


def file_with(tmp_path: Path, name: str, **sequences: str) -> Path:
    path = tmp_path / name
    text = "".join(f">{one}\n{residues}\n" for one, residues in sequences.items())
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


# --- addresses ------------------------------


def test_a_url_and_the_variables_of_postgresql_are_both_understood() -> None:
    said = {"POSTGRES_HOST": "db.example.org", "POSTGRES_PORT": "5433", "POSTGRES_DB": "genomes",
            "POSTGRES_USER": "me", "POSTGRES_PASSWORD": "p@ss/word"}  # fmt: skip
    url = database_url(said)
    assert (url.host, url.port, url.database) == ("db.example.org", 5433, "genomes")
    assert (url.username, url.password) == ("me", "p@ss/word")
    assert url == database_url("postgresql://me:p%40ss%2Fword@db.example.org:5433/genomes")
    assert database_url("postgres://me@h/d").drivername == "postgresql+psycopg"
    by_default = database_url({"POSTGRES_DB": "genomes"})
    assert by_default.render_as_string() == "postgresql+psycopg://postgres@localhost:5432/genomes"
    on_socket = database_url({"POSTGRES_HOST": "/run/postgresql"})
    assert (on_socket.host, on_socket.query) == (None, {"host": "/run/postgresql"})


@pytest.mark.parametrize(
    "address",
    ["mysql://h/d", "postgresql://h", "genomes", "", "sqlite://", "postgresql://h:port/d", "://"],
)
def test_what_is_no_database_is_refused(address: str) -> None:
    with pytest.raises(BadName, match="no database"):
        database_url(address)


@pytest.mark.parametrize("port", ["0", "65536", "x", "-1", "9999999", "٣"])
def test_a_port_is_checked(port: str) -> None:
    with pytest.raises(BadName, match="POSTGRES_PORT"):
        database_url({"POSTGRES_PORT": port})


def test_passwords_are_not_shown(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_DB", "POSTGRES_USER"):
        monkeypatch.delenv(name, raising=False)
    done = cli("admin", "status")
    assert done.code == 5
    assert "POSTGRES_HOST" in done.err
    for address, code in (("postgresql://me:geheim@127.0.0.1:1/d", 9), ("mysql://a:geheim@h/", 5)):
        done = cli("admin", "status", "--database", address)
        assert done.code == code
        assert "geheim" not in done.err
        assert done.err.count("\n") == 1


# --- what goes in, and what is there then ------------------------------


def test_collections_are_what_refget_says_they_are(registry: Registry) -> None:
    for name, expected in DIGESTS.items():
        taken = load_file(registry, FASTA / name, Labels(name=name.removesuffix(".fa")))
        assert taken.digests.digest == expected["top_level_digest"]
        assert taken.is_new
        found = registry.collection(f"refgenie:{name.removesuffix('.fa')}")
        assert {**found.level1()} == expected["level1"]
        arrays = found.level2()
        assert {name: arrays[name] for name in expected["level2"]} == expected["level2"]
    assert registry.counts()["collections"] == len(DIGESTS)
    assert registry.collection_digests({}) == [one["top_level_digest"] for one in DIGESTS.values()]
    lengths = DIGESTS["base.fa"]["level1"]["lengths"]
    wanted = [d["top_level_digest"] for d in DIGESTS.values() if d["level1"]["lengths"] == lengths]
    assert registry.collection_digests({"lengths": lengths}) == wanted
    assert len(wanted) > 1
    assert registry.attribute_digests("lengths") == sorted(
        {one["level1"]["lengths"] for one in DIGESTS.values()}
    )
    with pytest.raises(BadName, match="no attribute"):
        registry.collection_digests({"colour": lengths})


def test_what_is_there_adds_nothing(registry: Registry) -> None:
    labels = Labels("base", "lab", {"genome": "Test"})
    assert load_file(registry, FASTA / "base.fa", labels).is_new
    before, counts = registry.n_changes(), registry.counts()
    again = load_file(registry, FASTA / "base.fa", labels)
    assert (again.is_new, again.n_names) == (False, 0)
    assert (registry.n_changes(), registry.counts()) == (before, counts)


def test_names_in_any_case_of_their_namespace(registry: Registry) -> None:
    load_file(registry, FASTA / "base.fa", Labels("UCSC:hg38", "MyLab"))
    assert registry.collection("ucsc:hg38").digest == BASE
    assert registry.collection("hg38").digest == BASE
    assert registry.collection("hg38").aliases() == [Alias("UCSC", "hg38")]
    (found,) = registry.meanings("sequence", AliasKey("mylab", "chrX"))
    assert found[0] == Alias("MyLab", "chrX")
    assert registry.namespaces("sequence") == ["MyLab"]
    for nothing in ("hg38\0", "HG38", "other:hg38", "a/b:hg38", ""):
        with pytest.raises(NotFound):
            registry.collection(nothing)


def test_a_name_that_means_something_else_is_refused(registry: Registry, tmp_path: Path) -> None:
    load_file(registry, FASTA / "base.fa", Labels("hg38", "lab"))
    other = file_with(tmp_path, "other.fa", chrX="ACGT", chrNew="GG")
    for labels in (Labels("hg38"), Labels("other", "lab")):
        before = registry.counts()
        with pytest.raises(AliasConflict, match="already"):
            load_file(registry, other, labels)
        assert registry.counts() == before, "a part of it was kept"
    keep, replace = (OnConflict(one) for one in ("keep", "replace"))
    kept = load_file(registry, other, Labels("hg38", on_conflict=keep))
    assert registry.collection("hg38").digest == BASE
    moved = load_file(registry, other, Labels("hg38", "lab", on_conflict=replace))
    assert kept.digests == moved.digests
    assert moved.n_names == 3
    assert registry.collection("hg38").digest == moved.digests.digest
    ((_, digest),) = registry.meanings("sequence", AliasKey("lab", "chrX"))
    assert digest == sha512t24u("ACGT")


def test_a_name_in_two_namespaces_is_ambiguous(registry: Registry, tmp_path: Path) -> None:
    load_file(registry, FASTA / "base.fa", Labels("ucsc:x"))
    load_file(registry, file_with(tmp_path, "o.fa", a="AC"), Labels("ensembl:x"))
    with pytest.raises(Ambiguous, match="ensembl:x, ucsc:x"):
        registry.collection("x")


def test_names_for_people_have_spaces(registry: Registry, tmp_path: Path) -> None:
    load_file(registry, FASTA / "base.fa", Labels("Human GRCh38"))
    assert registry.collection(BASE).title == "Human GRCh38"
    assert registry.collection(BASE).aliases() == []
    with pytest.raises(Conflict, match="Human GRCh38"):
        load_file(registry, FASTA / "base.fa", Labels("Mouse GRCm39"))


def test_a_file_without_sequences_and_what_is_none_are_refused(
    registry: Registry, tmp_path: Path
) -> None:
    (tmp_path / "empty.fa").write_bytes(b"")
    (tmp_path / "odd.seqcol.json").write_text('{"names": ["a"], "lengths": [1]}')
    (tmp_path / "bad.seqcol.json").write_text(
        '{"names": ["a"], "lengths": [1], "sequences": ["../../etc/passwd"]}'
    )
    for name in ("empty.fa", "odd.seqcol.json", "bad.seqcol.json", "none.fa", "none.json"):
        with pytest.raises((seqarchive.errors.BadInput, NotFound)):
            load_file(registry, tmp_path / name, Labels())
    assert registry.counts()["collections"] == 0


def test_a_collection_at_level_2_is_loaded(registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "base.seqcol.json"
    file.write_text(json.dumps(DIGESTS["base.fa"]["level2"]))
    assert load_file(registry, file, Labels()).digests.digest == BASE


def test_writers_wait_for_each_other_and_readers_do_not(registry: Registry, database: str) -> None:
    """Several with the same files, each in another order: everything is there once."""
    files = sorted(FASTA.glob("*.fa"))

    def load(n: int) -> list[bool]:
        with open_registry(database, is_writable=True) as own:
            order = files[n:] + files[:n]
            named = [(file, Labels(file.stem, f"x-{file.stem}")) for file in order]
            return [load_file(own, file, labels).is_new for file, labels in named]

    stop = threading.Event()

    def read() -> int:
        n = 0
        with open_registry(database) as own:
            while not stop.is_set():
                for digest in own.collection_digests({}):
                    assert own.collection(digest).level2()
                n += 1
        return n

    with ThreadPoolExecutor(5) as pool:
        reading = pool.submit(read)
        try:
            found = [one for some in pool.map(load, range(4)) for one in some]
        finally:
            stop.set()
        assert reading.result() > 0
    distinct = {one["top_level_digest"] for one in DIGESTS.values()}
    assert sum(found) == len(distinct) == registry.counts()["collections"]


def test_readers_cannot_change_anything(registry: Registry, database: str) -> None:
    with open_registry(database) as reading:
        with pytest.raises(ReadOnly), reading.changing():
            pass
        assert reading.counts()["collections"] == 0


def test_no_registry_and_a_newer_one_are_told_apart(database: str, postgres: Postgres) -> None:
    with pytest.raises((NotFound, SourceError)):
        open_registry(database)
    with open_registry(database, is_writable=True):
        pass
    statement = "UPDATE seqarchive_registry SET value = '99' WHERE key = 'version'"
    if database.startswith("sqlite"):
        with sqlite3.connect(database.removeprefix("sqlite:///")) as connection:
            connection.execute(statement)
        connection.close()
    else:
        with psycopg.connect(database) as opened:
            opened.execute(statement.encode())
    for is_writable in (False, True):
        with pytest.raises(NewerFormat, match="99"):
            open_registry(database, is_writable=is_writable)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE seqarchive_arrays SET data = (SELECT data FROM seqarchive_arrays WHERE digest ="
        " '{lengths}') WHERE digest = '{names}'",
        "DELETE FROM seqarchive_arrays WHERE digest = '{sequences}'",
        "UPDATE seqarchive_collections SET n_members = 7",
    ],
)
def test_what_somebody_changed_behind_our_back_is_noticed(
    registry: Registry, database: str, damage: str
) -> None:
    load_file(registry, FASTA / "base.fa", Labels())
    statement = damage.format(**DIGESTS["base.fa"]["level1"])
    if database.startswith("sqlite"):
        with sqlite3.connect(database.removeprefix("sqlite:///")) as connection:
            connection.execute(statement)
        connection.close()
    else:
        with psycopg.connect(database) as opened:
            opened.execute(statement.encode())
    with pytest.raises(Corrupt):
        registry.collection(BASE).level2()


# --- the commands ------------------------------


def test_load_says_what_it_did(cli: Cli, database: str) -> None:
    done = cli("admin", "load", FASTA / "base.fa", "-n", "hg38", "--database", database)
    assert (done.code, done.err) == (0, "")
    assert done.out.split("\t")[0] == BASE
    assert "3 sequences, new, 1 name added" in done.out
    done = cli("admin", "load", FASTA / "base.fa", "-n", "hg38", "--database", database, "--json")
    assert json.loads(done.out) == {
        "source": str(FASTA / "base.fa"), "digest": BASE, "n_sequences": 3, "is_new": False,
        "names_added": 0,
    }  # fmt: skip
    status = json.loads(cli("admin", "status", "--database", database, "--json").out)
    assert (status["collections"], status["collection_aliases"]) == (1, 1)


@pytest.mark.parametrize(
    "words",
    [
        ["load"], ["load", "--pep", "p.csv"], ["load", "--fa-root", "."],
        ["ingest", "-b", "bucket"],
        ["load", "a.fa", "b.fa", "--name", "x"], ["load", "a.fa", "--pep", "p", "--fa-root", "."],
        ["register", "a.fa"],
    ],
)  # fmt: skip
def test_what_does_not_go_together(cli: Cli, words: list[str], tmp_path: Path) -> None:
    done = cli("admin", *words, "--database", f"sqlite:///{tmp_path}/r.db")
    assert done.code == 2


def test_a_project_goes_on_after_a_bad_file(cli: Cli, database: str, tmp_path: Path) -> None:
    """And a second time takes what was mended, and only that."""
    (tmp_path / "bad.fa").write_text(">a\nAC!GT\n")
    (tmp_path / "good.fa").write_text(">a\nACGT\n")
    (tmp_path / "samples.csv").write_text(
        "sample_name,fasta\n"
        "first,good.fa\nbroken,bad.fa\nmissing,none.fa\noutside,../../../etc/passwd\n"
        "Human Test,base.fa\n"
    )
    (tmp_path / "base.fa").write_bytes((FASTA / "base.fa").read_bytes())
    project = tmp_path / "project.yaml"
    project.write_text("pep_version: 2.1.0\nsample_table: samples.csv\n")
    words: list[str | Path]
    words = ["admin", "load", "--pep", project, "--fa-root", tmp_path, "--database", database]
    done = cli(*words)
    assert done.code == 5
    assert "2 of 5 files are there" in done.out
    assert len(done.err.splitlines()) == 3
    assert "sample broken" in done.err
    assert "bad.fa, line 2" in done.err
    assert "none.fa" in done.err
    assert "is not below" in done.err
    (tmp_path / "bad.fa").write_text(">a\nACGTT\n")
    again = cli(*words, "--json")
    found = [json.loads(line) for line in again.out.splitlines()]
    assert [one.get("is_new") for one in found] == [False, True, None, None, False]
    with open_registry(database) as registry:
        assert registry.collection("first").digest == found[0]["digest"]
        assert registry.collection(BASE).title == "Human Test"


@pytest.mark.parametrize(
    "text", ["sample_name,fasta\n", "", "name\nx\n", "pep_version: 2.1.0\nsample_table: no.csv\n"]
)
def test_what_is_no_project_is_told_in_a_line(text: str, tmp_path: Path) -> None:
    file = tmp_path / ("p.yaml" if text.startswith("pep") else "p.csv")
    file.write_text(text)
    try:
        found = samples_of(file, tmp_path)
    except seqarchive.errors.BadInput as error:
        assert "\n" not in str(error)  # noqa: PT017  (either will do)
    else:
        assert all(one.file is None for one in found)


def test_ingest_uploads_once(
    cli: Cli, database: str, genomes: Path, tmp_path: Path
) -> None:
    """Idempotent; a changed file under an old name is refused, whoever notices it first."""
    file = file_with(tmp_path, "genome.fa.gz", chr1="ACGTACGT", chr2="GGCC")
    prefix = f"at/{'pg' if database.startswith('postgresql') else 'lite'}"
    words: list[str | Path]
    words = ["admin", "ingest", file, "-n", "hg38", "--bucket", "genomes", "--prefix", prefix,
             "--url-base", "https://genomes.example.org", "-r", "eu-west-1",
             "--database", database]  # fmt: skip
    done = cli(*words)
    assert (done.code, done.err) == (0, "")
    assert "uploaded" in done.out
    there = genomes / prefix / "genome.fa.gz"
    assert there.read_bytes() == file.read_bytes()
    before = there.stat().st_mtime_ns
    with open_registry(database) as registry:
        (found,) = registry.files(registry.collection("hg38").digest)
        counts = registry.counts()
    assert found.id == found.collection
    assert found.facts.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert found.facts.md5 == hashlib.md5(file.read_bytes()).hexdigest()
    assert (found.facts.size, found.facts.mime_type) == (file.stat().st_size, "application/gzip")
    assert {(way.type, way.url, way.region) for way in found.access} == {
        ("s3", f"s3://genomes/{prefix}/genome.fa.gz", "eu-west-1"),
        ("https", f"https://genomes.example.org/{prefix}/genome.fa.gz", None),
    }
    again = cli(*words)
    assert (again.code, again.err) == (0, "")
    assert "in the bucket already" in again.out
    assert there.stat().st_mtime_ns == before
    with open_registry(database) as registry:
        assert registry.counts() == counts
    # Changed, with the registry knowing; and with only the bucket knowing.
    file_with(tmp_path, "genome.fa.gz", chr1="ACGTACGT", chr2="GGCA")
    for where in (database, f"sqlite:///{tmp_path}/other.db"):
        refused_ = cli(*words[:-1], where)
        assert refused_.code == 4, refused_
        assert "another name" in refused_.err
    assert there.stat().st_mtime_ns == before
    with open_registry(database) as registry:
        assert registry.counts() == counts


def test_register_wants_the_collection_first(
    cli: Cli, database: str, genomes: Path, tmp_path: Path
) -> None:
    name = f"{tmp_path.name}.fa"  # in a bucket that all tests share
    file = file_with(tmp_path, name, a="ACGTTT")
    words: list[str | Path] = ["admin", "register", file, "--bucket", "s3://genomes/reg",
                               "--database", database]  # fmt: skip
    done = cli(*words)
    assert done.code == 3
    assert "ingest" in done.err or "not in the registry" in done.err
    assert not (genomes / "reg" / name).exists()
    assert cli("admin", "load", file, "--database", database).code == 0
    assert cli(*words).code == 0
    assert (genomes / "reg" / name).exists()
    # The same sequences in another file are another object.
    other = file_with(tmp_path, f"other-{name}", a="ACG\nTTT")
    assert cli(*words[:2], other, *words[3:]).code == 0
    with open_registry(database) as registry:
        first, second = registry.files(registry.collection_digests({})[0])
    assert first.collection == second.collection
    assert {first.id, second.id} == {first.collection, second.facts.sha256} or {
        first.id, second.id
    } == {first.collection, first.facts.sha256}  # fmt: skip


def test_a_bucket_that_fails_stops_a_batch(
    cli: Cli, genomes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    files = [file_with(tmp_path, f"{n}.fa", a="ACGT" * n) for n in (1, 2)]
    address = f"sqlite:///{tmp_path}/r.db"
    done = cli("admin", "ingest", *files, "-b", "genomes", "--database", address)
    assert done.code == 9
    assert done.err.count("\n") == 1
    with open_registry(address) as registry:
        assert registry.counts()["collections"] == 0


@pytest.mark.parametrize(
    ("text", "prefix"), [("", ""), ("a/../b", ""), ("bb", "../x"), ("http://x", ""), ("bb", "a\nb")]
)
def test_what_is_no_bucket(text: str, prefix: str) -> None:
    with pytest.raises(BadName):
        parse_bucket(text, prefix=prefix)


def test_an_archive_goes_in_whole(cli: Cli, database: str, root: Path) -> None:
    """Also as the RefgetStore that it is exported as; both say the same."""
    assert cli("load", "-n", "refseq", "--collection", "ucsc:phix", PHIX).code == 0
    assert cli("load", "-n", "lab", "--collection", "ucsc:base", FASTA / "base.fa").code == 0
    said: list[str | Path] = ["fhr", "set", "--partial", "ucsc:base", FASTA / "sample_fhr.json"]
    assert cli(*said).code == 0
    assert cli("export-rgstore").code == 0
    done = cli("admin", "load", root, "--database", database)
    assert (done.code, done.out.count("\n")) == (0, 2)
    with open_registry(database) as registry:
        counts, changes = registry.counts(), registry.n_changes()
        assert registry.collection("ucsc:base").fhr() == json.loads(
            (FASTA / "sample_fhr.json").read_text()
        )
    assert counts["collections"] == 2
    assert counts["sequence_aliases"] == 4
    again = cli("admin", "load", root / "rgstore", "--database", database)
    assert (again.code, again.err) == (0, "")
    with open_registry(database) as registry:
        assert (registry.counts(), registry.n_changes()) == (counts, changes)


# --- the service ------------------------------


@pytest.fixture(scope="module")
def served(
    postgres: Postgres, bucket: Bucket, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A service of a store in a bucket and of a registry, with no data of its own; its address."""
    work = tmp_path_factory.mktemp("registered")
    root, address = work / "root", postgres.new()
    environment = {**os.environ, **bucket.environment, "SEQARCHIVE_DATABASE": address,
                   "XDG_CACHE_HOME": str(work / "cache")}  # fmt: skip

    def run(*words: str | Path) -> None:
        command = [sys.executable, "-m", "seqarchive", "--root", str(root), *map(str, words)]
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)

    run("load", "-n", "refseq", "--collection", "ncbi:phix", PHIX)
    for file in sorted(FASTA.glob("*.fa")):
        run("load", "-n", f"test-{file.stem}", file)
    run("export-rgstore", "s3://store")
    run("admin", "load", PHIX, "-n", "phix", "--namespace", "own")
    only = work / "only.fa"
    only.write_text(">only\nTTTTGGGG\n")
    run("admin", "load", only, "-n", "only")
    run("admin", "ingest", FASTA / "base.fa", "-n", "base", "-b", "files")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with running(app_of((), None, store="s3://store", database=address)) as url:
            yield url


def get(address: str, **options: Any) -> requests.Response:
    return requests.get(address, timeout=20, **options)


def test_names_of_both_lead_to_residues_in_the_bucket(served: str) -> None:
    expected = "".join(PHIX.read_text().split("\n")[1:])
    for name in ("refseq:NC_001422.1", "own:NC_001422.1", "NC_001422.1", sha512t24u(expected)):
        answer = get(f"{served}/sequence/{name}?start=10&end=60")
        assert (answer.status_code, answer.text) == (200, expected[10:60]), name
    assert get(f"{served}/seqrepo/1/sequence/own:NC_001422.1").text == expected
    names = get(f"{served}/sequence/NC_001422.1/metadata").json()["metadata"]["aliases"]
    assert {"alias": "NC_001422.1", "naming_authority": "own"} in names
    assert {"alias": "NC_001422.1", "naming_authority": "refseq"} in names
    for nothing in ("own:none", "none", "md5:" + "0" * 32, "SQ." + "A" * 32):
        refused(get(f"{served}/sequence/{nothing}"), 404)


def test_all_checks_of_refget_pass_on_a_registry_too(served: str) -> None:
    found = run_compliance(served)
    failed = [one for one in found["results"] if not one["passed"]]
    assert not failed
    assert found["total"] >= 65


def test_collections_of_both_are_listed_once(served: str) -> None:
    listed = get(f"{served}/list/collection?page_size=1000").json()
    found = listed["results"]
    assert len(set(found)) == len(found) == listed["pagination"]["total"]
    only = get(f"{served}/v4/aliases/only").json()
    assert found[-1] == only["digest"]
    assert only["collection"]["names"] == ["only"]
    pages = [
        get(f"{served}/list/collection?page={n}&page_size=3").json()["results"]
        for n in range(len(found) // 3 + 2)
    ]
    assert [one for page in pages for one in page] == found
    digest = get(f"{served}/collection/{only['digest']}?level=1").json()["names"]
    filtered = get(f"{served}/list/collection?names={digest}").json()
    assert filtered["results"] == [only["digest"]]
    # Its residues are nowhere.
    region = [{"chrom": "only", "start": 0, "end": 4}]
    answer = requests.post(
        f"{served}/collection/{only['digest']}/regions", json=region, timeout=20
    )
    refused(answer, 404)
    refused(get(f"{served}/ga4gh/drs/v1/objects/only"), 404)


def test_registered_files_are_objects_with_their_bytes(served: str) -> None:
    expected = (FASTA / "base.fa").read_bytes()
    for name in (BASE, "refgenie:base", "base"):
        found = get(f"{served}/ga4gh/drs/v1/objects/{name}").json()
        assert (found["id"], found["size"], found["name"]) == (BASE, len(expected), "base.fa")
        checksums = {one["type"]: one["checksum"] for one in found["checksums"]}
        assert checksums["sha-256"] == hashlib.sha256(expected).hexdigest()
    s3, https = found["access_methods"]
    assert (s3["type"], s3["access_url"]["url"]) == ("s3", "s3://files/base.fa")
    assert get(https["access_url"]["url"]).content == expected
    part = get(https["access_url"]["url"], headers={"Range": "bytes=3-9"})
    assert (part.status_code, part.content) == (206, expected[3:10])
    access = get(f"{served}/ga4gh/drs/v1/objects/{BASE}/access/{s3['access_id']}").json()
    assert access == {"url": "s3://files/base.fa"}
    refused(get(f"{served}/ga4gh/drs/v1/objects/{BASE}/access/s3-9"), 404)
    asked = {"bulk_object_access_ids": [
        {"bulk_object_id": BASE, "bulk_access_ids": ["s3-1", "https", "none"]}
    ]}  # fmt: skip
    bulk = requests.post(f"{served}/ga4gh/drs/v1/objects/access", json=asked, timeout=20).json()
    assert len(bulk["resolved_drs_object_access_urls"]) == 2
    assert bulk["unresolved_drs_objects"] == [{"error_code": 404, "object_ids": [BASE]}]


def test_a_file_that_was_changed_in_the_bucket_is_not_given(served: str, bucket: Bucket) -> None:
    there = bucket.directory / "files" / "base.fa"
    before = there.read_bytes()
    try:
        there.write_bytes(before.replace(b"TTGGGG", b"TTGGGC"))
        # It is short enough to be known before anything of it is sent.
        answer = get(f"{served}/ga4gh/drs/v1/objects/{BASE}/bytes")
        refused(answer, 500)
        assert "s3:" not in answer.text
    finally:
        there.write_bytes(before)


def test_what_is_registered_meanwhile_is_served_at_once(
    served: str, postgres: Postgres, tmp_path: Path
) -> None:
    """And a database that went away and came back is found again."""
    address = os.environ["SEQARCHIVE_DATABASE"]
    total = get(f"{served}/list/collection").json()["pagination"]["total"]
    with open_registry(address, is_writable=True) as registry:
        load_file(registry, file_with(tmp_path, "new.fa", x="CCCCC"), Labels("new"))
    assert get(f"{served}/v4/aliases/new").json()["collection"]["names"] == ["x"]
    assert get(f"{served}/list/collection").json()["pagination"]["total"] == total + 1
    postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    )
    assert get(f"{served}/v4/aliases/new").status_code == 200


def test_a_database_that_is_gone_takes_nothing_else_with_it(root: Path, cli: Cli) -> None:
    assert cli("init").code == 0
    with seqarchive.connect(root) as archive:
        archive["t:one"] = "ACGTACGT"
    with serving_postgres() as server:
        address = server.new()
        with open_registry(address, is_writable=True) as registry:
            load_file(registry, FASTA / "base.fa", Labels("hg38"))
        served = app_of([str(root)], None, database=address)
    with running(served) as url:
        refused(get(f"{url}/v4/aliases/hg38"), 502)
        refused(get(f"{url}/sequence/t:one"), 502)
        assert get(f"{url}/sequence/SQ.{sha512t24u('ACGTACGT')}").text == "ACGTACGT"
        assert get(f"{url}/healthz").status_code == 200


def test_a_store_that_is_exported_anew_is_served_without_a_restart(
    postgres: Postgres, root: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the command, which the variables of PostgreSQL lead to the registry."""
    assert cli("load", "-n", "refseq", PHIX).code == 0
    assert cli("export-rgstore").code == 0
    address = postgres.new()
    monkeypatch.delenv("SEQARCHIVE_DATABASE", raising=False)  # which would come first
    monkeypatch.setenv("POSTGRES_HOST", postgres.directory)
    monkeypatch.setenv("POSTGRES_PORT", str(postgres.port))
    monkeypatch.setenv("POSTGRES_DB", address.partition("@/")[2].partition("?")[0])
    assert cli("admin", "load", PHIX, "-n", "phix").code == 0
    with command_serving(None, tmp_path, "--store", str(root / "rgstore")) as served:
        assert get(f"{served.url}/v4/aliases/phix").json()["collection"]["names"] == ["NC_001422.1"]
        assert get(f"{served.url}/service-info").json()["seqcol"]["refget_store"]["enabled"]
        refused(get(f"{served.url}/sequence/new"), 404)
        assert cli("load", "-n", "t", file_with(tmp_path, "n.fa", new="ACGTTT")).code == 0
        assert cli("export-rgstore").code == 0

        def total() -> int:
            found: int = get(f"{served.url}/list/collection").json()["pagination"]["total"]
            return found

        wait_until(lambda: total() == 2)
        assert get(f"{served.url}/sequence/SQ.{sha512t24u('ACGTTT')}").text == "ACGTTT"
