"""Archives of every released version are read, checked, loaded into, reverted, published and
exported; those of a newer one are refused, and nothing changes; and no format changes in silence.

``tests/data/formats`` has an archive of each version (``make_format_archive.py``), and what is in
it. The oracle knows nothing of the package: see ``independent_reader.py``.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli
from contents import as_first_format, run
from format_digest import digest_of_format, parts_of_format
from helpers import contents as files_in
from helpers import parse_fasta, sha512t24u, write_fasta
from independent_reader import WrongArchive, changes, read
from make_format_archive import FORMATS, INSTANCES, unpacked
from servers import serving

import seqarchive
from seqarchive import NewerFormat, database, schema
from seqarchive.database import Database
from seqarchive.identifiers import digest_text
from seqarchive.instances import Instance
from seqarchive.searching import search
from seqarchive.verifying import verify

VERSIONS = sorted(path.stem for path in FORMATS.glob("*.json"))

NUCL = Path(__file__).parent / "data" / "nucl"


@pytest.fixture(params=VERSIONS)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The archive of a version, to be used."""
    return unpacked(FORMATS / f"{request.param}.tar.gz", tmp_path / request.param)


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """The archive of the first version."""
    return unpacked(FORMATS / "0.1.0.tar.gz", tmp_path / "0.1.0")


def format_of(root: Path, instance: str) -> int:
    """The format of a database."""
    uri = f"{(root / instance / 'aliases.sqlite3').as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def expected(old: Path) -> dict[str, Any]:
    """What is in it, by instance."""
    found: dict[str, Any] = json.loads((FORMATS / f"{old.parent.name}.json").read_text("utf-8"))
    instances: dict[str, Any] = found["instances"]
    return instances


def test_there_is_an_archive_of_the_first_version() -> None:
    assert "0.1.0" in VERSIONS
    for version in VERSIONS:
        assert (FORMATS / f"{version}.tar.gz").stat().st_size < 60_000


# --- older ones -------------------------------------------------------------------------------


def test_the_page_alone_is_enough_to_read_it(old: Path) -> None:
    """By another program, which was written from ``docs/format.rst``."""
    for instance, facts in expected(old).items():
        assert read(old / instance) == facts
    # That it says the right thing is known of what was loaded from files that are here.
    phix = sha512t24u(parse_fasta((NUCL / "phiX174_NC_001422.1.fa").read_text())[0][1])
    facts = expected(old)["master"]
    assert facts["aliases"][0]["refseq:NC_001422.1"] == phix
    assert [one["digest"] for one in facts["sequences"] if one["circular"]] == [phix]


def test_the_other_program_notices_what_is_wrong(old: Path) -> None:
    for spoil in (
        "UPDATE sequences SET offset = offset + 1 WHERE id = 2",
        "UPDATE masks SET mask = x'00'",
        "UPDATE collections SET names = sequences",
        "UPDATE tracks SET digest = genome WHERE id = 1",
        "PRAGMA user_version = 99",
    ):
        copy = old.parent / "spoilt"
        shutil.copytree(old / "master", copy)
        with closing(sqlite3.connect(copy / "aliases.sqlite3", isolation_level=None)) as wrong:
            wrong.execute(spoil)
        with pytest.raises((WrongArchive, zlib.error)):
            read(copy)
        shutil.rmtree(copy)


def facts_of(archive: seqarchive.Archive) -> dict[str, Any]:
    """The same as ``independent_reader.read``, as this version of the package says it."""
    batches = list(archive.batches())
    states = []
    for batch in batches:
        with seqarchive.connect(
            archive.instance.root, archive.instance.name, at=batch["batch"]
        ) as then:
            states.append({str(alias): str(digest) for alias, digest in then.all_aliases()})
    sequences = {str(one.digest): one for one in archive.sequences()}
    return {
        "batches": [(one["batch"], one["kind"], one["namespace"]) for one in batches],
        "sequences": {
            digest: (len(one), sha256_of(str(one)), archive.metadata(f"SQ.{digest}")["circular"])
            for digest, one in sequences.items()
        },
        "aliases": changes(states),
    }


def forgotten(facts: dict[str, Any]) -> set[str]:
    """Aliases that meant only what is gone with a batch that was reverted."""
    meanings: dict[str, set[str]] = {}
    for some in facts["aliases"]:
        for alias, digest in some.items():
            meanings.setdefault(alias, set()).update([digest] if digest else [])
    return {alias for alias, some in meanings.items() if some <= set(facts["reclaimed"])}


def sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("instance", INSTANCES)
def test_all_of_it_is_read(old: Path, cli: Cli, instance: str) -> None:
    facts = expected(old)[instance]
    with seqarchive.connect(old, instance) as archive:
        found = facts_of(archive)
        assert found["batches"] == [(b["id"], b["kind"], b["namespace"]) for b in facts["batches"]]
        assert found["sequences"] == {
            one["digest"]: (one["length"], one["sha256"], one["circular"])
            for one in facts["sequences"]
        }
        gone = set(facts["reclaimed"])  # with their sequences
        assert found["aliases"] == [
            {
                alias: digest
                for alias, digest in some.items()
                if digest not in gone and (digest is not None or alias not in forgotten(facts))
            }
            for some in facts["aliases"]
        ]
        for one in facts["collections"]:
            collection = archive.collection(one["digest"])
            assert [[m.name, str(m.digest)] for m in collection.members()] == one["members"]
            assert sorted(map(str, collection.aliases())) == one["names"]
    where = ("--root", str(old), "--instance", instance)
    lines = cli(*where, "--json", "track", "list").out.splitlines()
    tracks = [json.loads(line) for line in lines]
    digests = {one["id"]: one["content"].removeprefix("TK.") for one in tracks}
    assert digests == {one["id"]: one["digest"] for one in facts["tracks"]}
    for one in facts["collections"]:
        fasta = cli(*where, "export", "--collection", one["digest"])
        assert (fasta.code, sha256_of(fasta.out)) == (0, one["fasta"])
        if one["fhr"] is not None:
            said = cli(*where, "fhr", "get", one["digest"])
            assert json.loads(said.out) == one["fhr"]
    assert verify(Instance(old, instance), full=True).findings == []


def test_it_goes_on_in_this_version(old: Path, cli: Cli, tmp_path: Path) -> None:
    facts = expected(old)["master"]
    more = write_fasta(tmp_path / "more.fa", {"more": "ACGTTGCA" * 10, "later": "GATTACA"})
    root = ("--root", str(old))
    # Nothing is loaded twice, an old batch can be reverted, and what is new is a release.
    loaded = cli(*root, "--json", "load", "-n", "lab", more)
    assert json.loads(loaded.out)["sequences_added"] == 1
    number = json.loads(loaded.out)["batch"]
    assert number == facts["batches"][-1]["id"] + 1
    assert cli(*root, "revert", "2").code == 0
    assert cli(*root, "snapshot", "new").code == 0
    assert cli(*root, "verify", "--full").code == 0
    found = read(old / "new")
    assert found["aliases"][: len(facts["aliases"])] == facts["aliases"]
    assert found["aliases"][number]["refseq:NM_001004713.1"] is None
    # The old releases are as they were, and can be pulled and pushed; and all can be exported.
    for name in ("r1", "r2"):
        assert read(old / name) == expected(old)[name]
    other = tmp_path / "other"
    with serving(old) as server:
        assert cli("--root", other, "pull", server.url, "r1").code == 0
        with seqarchive.connect(server.url, "r2") as published:
            assert published.fetch("refseq:NC_001422.1", 0, 4) == "GAGT"
    assert cli(*root, "push", tmp_path / "pushed", "r2").code == 0
    assert cli(*root, "verify-rgstore", old / "rgstore").code == 0
    assert cli(*root, "export-rgstore", tmp_path / "rgstore").code == 0
    assert cli("--root", tmp_path / "third", "import-rgstore", old / "rgstore").code == 0
    assert cli(*root, "export-seqrepo", tmp_path / "seqrepo").code == 0


def test_the_newest_format_comes_with_a_batch_and_not_without_one(
    first: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What changes nothing (a look, a failure, a snapshot) leaves the format that was there."""
    monkeypatch.setattr(schema, "_MANY", 3)
    root = ("--root", str(first))
    more = write_fasta(tmp_path / "more.fa", {"more": "ACGTTGCA" * 10})
    half = tmp_path / "half.fa"
    half.write_bytes(more.read_bytes() + b">bad\nAC1GT\n")
    names = tmp_path / "names.tsv"
    names.write_text("lab\tphage\trefseq:NC_001422.1\n")
    before = files_in(first / "master")
    assert cli(*root, "load", "--dry-run", "-n", "lab", more).code == 0
    assert cli(*root, "load", "-n", "lab", half).code == 5
    assert cli(*root, "import-aliases", "--dry-run", names).code == 0
    assert cli(*root, "revert", "--dry-run", "2").code == 0
    assert cli(*root, "snapshot", "meanwhile").code == 0
    after = files_in(first / "master")
    after.pop("writer.lock", None), before.pop("writer.lock", None)
    assert after == before
    assert [format_of(first, name) for name in ("master", "meanwhile")] == [1, 1]

    loaded = cli(*root, "load", "-n", "lab", more)
    assert loaded.code == 0
    assert loaded.err == "seqarchive: making format 2 of the database (12 sequences)\n"
    assert [format_of(first, name) for name in ("master", "meanwhile")] == [2, 1]
    assert cli(*root, "load", "-n", "lab", more).err == ""
    assert cli(*root, "verify", "--full").code == 0


@pytest.mark.parametrize("instance", INSTANCES)
def test_digests_lead_to_sequences(old: Path, instance: str) -> None:
    """All of them, and their beginnings; also as of a batch."""
    last = expected(old)[instance]["batches"][-1]["id"]
    with closing(sqlite3.connect(old / instance / "aliases.sqlite3")) as connection:
        rows = connection.execute("SELECT digest, md5, sha1, length, batch_id FROM sequences")
        stored = rows.fetchall()
    assert len({row[-1] for row in stored}) > 2
    for at in (None, stored[len(stored) // 2][-1], last):
        with seqarchive.connect(old, instance, at=at) as archive:
            for digest, md5, sha1, length, batch in stored:
                is_there = at is None or batch <= at
                name = digest_text(digest)
                for key in (f"SQ.{name}", f"md5:{md5.hex()}", f"sha1:{sha1.hex()}", sha1.hex()):
                    assert (key in archive) == is_there
                    assert not is_there or len(archive[key]) == length
                for begin in (f"SQ.{name[:6]}", md5.hex()[:9]):
                    found = [str(one.digest) for one in search(archive, begin, 10).found]
                    assert (name in found) == is_there


@pytest.mark.parametrize("column", ["digest", "md5", "sha1"])
def test_no_row_is_looked_at_but_that_which_is_asked_for(old: Path, cli: Cli, column: str) -> None:
    """Also when it becomes one of this version under a reader."""

    def plan() -> str:
        query = f"EXPLAIN QUERY PLAN {database._BY_DIGEST[column]}"
        assert reader.generation() is not None
        return "; ".join(step for *_, step in reader.connection.execute(query, {"value": b""}))

    with closing(Database.of(Instance(old))) as reader:
        before = plan()
        more = write_fasta(old.parent / "more.fa", {"more": "ACGTTGCA" * 10})
        assert cli("--root", str(old), "load", "-n", "lab", more).code == 0
        after = plan()
    assert f"sequences_{column}" in before or "USING PRIMARY KEY" in before
    assert f"SEARCH k USING PRIMARY KEY ({column}=?)" in after
    assert "SCAN" not in before + after.replace("SCAN CONSTANT ROW", "")


def statements(path: Path) -> set[str]:
    """What makes a database."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {" ".join(sql.split()) for (sql,) in rows}


def test_what_the_fault_harness_takes_for_the_first_format_is_that(
    cli: Cli, root: Path, tmp_path: Path
) -> None:
    assert cli("load", "-n", "t", write_fasta(tmp_path / "1.fa", {"a": "ACGT"})).code == 0
    as_first_format(root)
    of_first = unpacked(FORMATS / "0.1.0.tar.gz", tmp_path / "first") / "r1"
    found = statements(root / "master" / "aliases.sqlite3")
    assert found == statements(of_first / "aliases.sqlite3")


# --- newer ones -------------------------------------------------------------------------------


def as_newer(path: Path, version: int = schema.VERSION + 1) -> None:
    path.chmod(0o644)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.fixture(scope="module")
def current(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of this version."""
    return unpacked(FORMATS / f"{VERSIONS[-1]}.tar.gz", tmp_path_factory.mktemp("current"))


@pytest.fixture
def own(current: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(current, tmp_path / "own", symlinks=True))


#: Everything that opens an archive, by whichever door; {} is the root.
DOORS = {
    "get": "get refseq:NC_001422.1:0-4",
    "translate": "translate refseq:NC_001422.1",
    "export": "export",
    "export-aliases": "export-aliases",
    "status": "status",
    "log": "log",
    "missing": "missing --from /dev/null",
    "collection": "collection list",
    "fhr": "fhr list",
    "genome": "genome list",
    "getseq": "getseq base chrX:1-4",
    "track": "track list",
    "digests": "digests list",
    "verify": "verify --full",
    "load": "load -n t {}/../x.fa",
    "load --dry-run": "load --dry-run -n t {}/../x.fa",
    "import-aliases": "import-aliases {}/../x.tsv",
    "alias": "alias add t:x refseq:NC_001422.1",
    "revert": "revert 2",
    "repair": "repair",
    "repair --reclaim": "repair --reclaim",
    "snapshot": "snapshot next",
    "export-rgstore": "export-rgstore {}/../store",
    "export-seqrepo": "export-seqrepo {}/../theirs",
    "import-rgstore": "import-rgstore {}/rgstore",
    "track put": "track put --genome base {}/../x.bed",
    "genome init": "genome init -f {}/../x.fa -n other",
    "fhr set": "fhr set --partial base {}/../x.json",
    "serve": "serve --port 0",
}


@pytest.mark.parametrize("door", DOORS)
def test_a_newer_database_is_refused_by_every_command_and_stays_as_it_is(
    own: Path, cli: Cli, door: str
) -> None:
    write_fasta(own.parent / "x.fa", {"x": "ACGT"})
    (own.parent / "x.tsv").write_text("t\tx\trefseq:NC_001422.1\n")
    (own.parent / "x.bed").write_text("chrX\t1\t2\n")
    (own.parent / "x.json").write_text("{}")
    as_newer(own / "master" / "aliases.sqlite3")
    before = files_in(own.parent)
    done = cli("--root", own, *DOORS[door].format(own).split())
    assert (done.code, done.err.count("\n")) == (10, 1), done
    assert "install a newer seqarchive" in done.err
    after = files_in(own.parent)
    after.pop("own/master/writer.lock", None)  # of who waits for nobody, and says nothing
    assert after.keys() == before.keys()
    assert [name for name in before if before[name] != after[name]] == []


def _newer_json(path: Path) -> None:
    document = json.loads(path.read_bytes())
    path.chmod(0o644)
    path.write_text(json.dumps({**document, "version": document["version"] + 1}))


NEWER: dict[str, Callable[[Path], None]] = {
    "database": lambda root: as_newer(root / "r2" / "aliases.sqlite3"),
    "manifest": lambda root: _newer_json(root / "r2" / "manifest.json"),
    "list": lambda root: _newer_json(root / "releases.json"),
}


@pytest.mark.parametrize("what", NEWER)
def test_a_newer_release_is_refused_where_it_is_read(
    own: Path, cli: Cli, tmp_path: Path, what: str
) -> None:
    """Its manifest and the list name what is there, as those of a newer version would."""
    (own / "r2").chmod(0o755)
    NEWER[what](own)
    if what == "database":
        _relist(own / "r2" / "manifest.json", own / "r2")
    if what != "list":
        _relist(own / "releases.json", own)
    other = tmp_path / "other"
    with serving(own) as server:
        for done in (
            cli("--root", other, "pull", server.url, "r2"),
            cli("--root", other, "pull", str(own), "r2"),
            cli("--root", server.url, "--instance", "r2", "get", "refseq:NC_001422.1:0-4"),
        ):
            assert (done.code, done.err.count("\n")) == (10, 1), done
            assert "install a newer seqarchive" in done.err
            assert not (other / "r2").exists()
    if what == "list":
        for command in (["snapshot", "r3"], ["prune", "r1"]):
            before = files_in(own)
            done = cli("--root", own, *command)
            assert (done.code, done.err.count("\n")) == (10, 1), done
            after = files_in(own)
            after.pop("releases.lock", None)
            assert after == {k: v for k, v in before.items() if k != "releases.lock"}
    elif what == "database":
        assert cli("--root", own, "--instance", "r2", "get", "refseq:NC_001422.1:0-4").code == 10


def _relist(path: Path, directory: Path) -> None:
    """Have a manifest, or a list of releases, say what is there now."""
    document = json.loads(path.read_bytes())
    path.chmod(0o644)
    for one in document.get("files", ()):
        data = (directory / one["path"]).read_bytes()
        one.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    for row in document.get("releases", ()):
        data = (directory / row["name"] / "manifest.json").read_bytes()
        row["manifest_sha256"] = hashlib.sha256(data).hexdigest()
    path.write_text(json.dumps(document))
    if path.name == "manifest.json":
        chunks = directory / "chunks.sha256"
        table = b""
        for one in document["files"]:
            if one["path"] == "aliases.sqlite3" or one["path"].endswith(".gzi"):
                data = (directory / one["path"]).read_bytes()
                table += b"".join(
                    hashlib.sha256(data[at : at + 32768]).digest()[:16]
                    for at in range(0, len(data), 32768)
                )
        if chunks.read_bytes() != table:
            chunks.chmod(0o644)
            chunks.write_bytes(table)
            _relist(path, directory)


def test_a_newer_store_is_refused_by_all_who_read_it(own: Path, cli: Cli, tmp_path: Path) -> None:
    _newer_json(own / "rgstore" / "rgstore.json")
    other = tmp_path / "other"
    with serving(own / "rgstore") as server:
        for address in (str(own / "rgstore"), server.url):
            for command in (
                ["import-rgstore", address],
                ["verify-rgstore", address],
                ["--root", address, "get", "refseq:NC_001422.1:0-4"],
            ):
                done = cli("--root", other, *command) if "--root" not in command else cli(*command)
                assert (done.code, done.err.count("\n")) == (10, 1), (command, done)
    assert not (other / "master" / "aliases.sqlite3").exists()


def test_a_newer_archive_is_no_copy_but_in_nobody_s_way(own: Path, cli: Cli) -> None:
    """``repair --from``: its files have the right SHA-256 whatever its database is."""
    other = own.parent / "newer"
    shutil.copytree(own, other, symlinks=True)
    as_newer(other / "master" / "aliases.sqlite3")
    for path in (*own.rglob("*.fa.bgz"),):
        if path.parts[-7] == "master" or "master" in path.parts:
            path.unlink()
    assert cli("--root", own, "repair", "--from", other).code == 0
    assert run(own, "verify", "--full") == (0, "")


def test_nothing_is_created_beside_a_newer_database(own: Path) -> None:
    as_newer(own / "master" / "aliases.sqlite3")
    with pytest.raises(NewerFormat), seqarchive.connect(own):
        pass
    with pytest.raises(NewerFormat), seqarchive.connect(own / "master"):
        pass


# --- this one ---------------------------------------------------------------------------------


def test_a_format_that_was_released_does_not_change() -> None:
    """Whoever changes a table, an index or a constant that the page names gives it a new version.

    The digests are those of the version that made the archive; a part that differs is one that
    older programs would read wrongly, or not at all. A new version of the database has another
    ``user_version``, a migration and another archive here; the old one stays.
    """
    kept = json.loads((FORMATS / f"{VERSIONS[-1]}.json").read_text("utf-8"))["format"]
    now = digest_of_format()
    changed = [name for name in kept if now.get(name) != kept[name]]
    if "user_version" in changed:
        pytest.fail("a new version of the database: run tests/make_format_archive.py")
    assert changed == [], f"{changed} changed without a new version"
    assert now.keys() == kept.keys()


def test_the_digest_of_a_format_sees_every_table_and_index() -> None:
    statements = " ".join(parts_of_format()["database"])
    for table in schema.columns():
        assert f'"{table}"' in statements or f" {table} " in statements, table
    page = (Path(__file__).parent.parent / "docs" / "format.rst").read_text("utf-8")
    for table in schema.columns():
        assert f"``{table}``" in page, f"{table} is not on the page"


def test_the_page_has_every_table_of_a_database_and_every_column(tmp_path: Path) -> None:
    root = tmp_path / "archive"
    assert run(root, "init")[0] == 0
    with closing(sqlite3.connect(root / "master" / "aliases.sqlite3")) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        found = {
            table: [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            for (table,) in tables.fetchall()
        }
    page = (Path(__file__).parent.parent / "docs" / "format.rst").read_text("utf-8")
    listed = page.partition("All columns, in their order::\n\n")[2].partition("\n\n")[0]
    said: dict[str, list[str]] = {}
    table = ""
    for line in listed.splitlines():
        # A line without a table goes on with the columns of the one before.
        table = line[:24].strip() or table
        said.setdefault(table, []).extend(line[24:].replace(",", " ").split())
    assert said == found
    assert found.keys() >= schema.columns().keys()
    for table in found:
        assert f"``{table}``" in page, f"{table} is not explained on the page"
