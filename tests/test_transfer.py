"""Pull and push: a release comes and goes whole, each byte of it checked, and only what is new.

What holds of every kind of source is tested with all of them: a directory, a web server, a bucket.
"""

from __future__ import annotations

import functools
import gc
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import boto3
import botocore.loaders
import pytest
from conftest import Cli, Result
from contents import random_residues, run
from helpers import (
    NOBODY,
    run_without_rights,
    shared_directory,
    started,
    tree,
    wait_until,
    write_fasta,
)
from servers import (
    Answer,
    Bucket,
    FileServer,
    Wire,
    certificate_in,
    reserved_port,
    serving,
    serving_s3,
    wait_until_listening,
    wired,
)

import seqarchive
from seqarchive import NotFound, SourceError, schema
from seqarchive.instances import Instance
from seqarchive.sources import base, http, published
from seqarchive.sources.base import Interrupted
from seqarchive.sources.opening import open_bucket, open_source
from seqarchive.transfer import pulling
from seqarchive.transfer.pulling import pull
from seqarchive.verifying import verify

FIRST = {"A.1": random_residues("A.1", 90), "L.1": random_residues("L.1", 60_000), "E.1": ""}
SECOND = {"B.1": random_residues("B.1", 3_000), "A.1": random_residues("another A.1", 80)}

KINDS = ("directory", "http", "s3")

# --- archives, and where they are published ---------------------------------------------------


def noise(seed: int, length: int) -> str:
    """Residues of 26 letters that nothing compresses, made at once."""
    letters = bytes(65 + n % 26 for n in range(256))
    return random.Random(seed).randbytes(length).translate(letters).decode("ascii")


def succeed(root: Path, *arguments: str) -> None:
    code, err = run(root, *arguments)
    assert code == 0, err


def load(root: Path, records: dict[str, str], *options: str) -> None:
    """One batch with a shard of its own."""
    file = write_fasta(root.parent / f"{time.monotonic_ns()}.fa", records, width=1 << 30)
    succeed(root, "load", "-n", "t", "--on-conflict", "replace", *options, str(file))
    file.unlink()


def copied(root: Path, destination: Path) -> Path:
    """A copy of a whole root, in which hard links are hard links."""
    subprocess.run(["cp", "-a", str(root), str(destination)], check=True)
    return destination


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Roots with the releases r1 and r2; of the large one r1 is nine tenths of r2."""
    small = tmp_path_factory.mktemp("small") / "archive"
    load(small, FIRST)
    succeed(small, "snapshot", "r1")
    load(small, SECOND)
    succeed(small, "snapshot", "r2")
    large = tmp_path_factory.mktemp("large") / "archive"
    load(large, {"BIG.1": noise(1, 3_600_000), **FIRST})
    succeed(large, "snapshot", "r1")
    load(large, SECOND)
    succeed(large, "snapshot", "r2")
    return {"small": small, "large": large}


@dataclass
class Site:
    """A root that is published."""

    kind: str
    path: Path
    """Where its files are."""
    address: str
    server: FileServer | None = None

    def file(self, path: str) -> Path:
        """Of a path in the root."""
        return self.path / path

    def replace(self, path: str, data: bytes) -> None:
        """Have other bytes there; what is linked elsewhere stays as it is."""
        rewrite(self.file(path), data)
        self.file(path).chmod(0o444)

    def spoil(self, path: str, at: int = -1) -> bytes:
        """Change one byte; by default the one in the middle. Returns the wrong bytes."""
        data = bytearray(self.file(path).read_bytes())
        data[at if at >= 0 else len(data) // 2] ^= 1
        self.replace(path, bytes(data))
        return bytes(data)

    def files(self, name: str) -> dict[str, int]:
        """Path of every file of a release, by its manifest, and its size; in the root."""
        return {
            f"{name}/{file['path']}": file["bytes"]
            for file in manifest_of(self.path, name)["files"]
        }

    def one(self, name: str, kind: str) -> str:
        """A file of a kind: the first whose name ends so."""
        return next(path for path in self.files(name) if path.endswith(kind))

    @property
    def asked(self) -> list[str]:
        """Paths that were asked for, of a web server."""
        assert self.server is not None
        return [one.path.lstrip("/") for one in self.server.asked]


@contextmanager
def published_at(kind: str, path: Path, bucket: Bucket | None = None) -> Iterator[Site]:
    """A root, made writable, where others can get at it."""
    for directory in (path, *path.rglob("*")):
        if directory.is_dir() and not directory.is_symlink():
            directory.chmod(0o755)
    if kind == "http":
        with serving(path) as server:
            yield Site(kind, path, server.url, server)
    elif kind == "s3":
        assert bucket is not None
        yield Site(kind, path, f"s3://{path.relative_to(bucket.directory).as_posix()}")
    else:
        yield Site(kind, path, str(path))


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """An endpoint of S3 that sees at once what is changed below its directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RCLONE_DIR_CACHE_TIME", "1ms")
        # Each client reads a megabyte of JSON, which is most of the time that it takes.
        loader = functools.cache(botocore.loaders.create_loader)
        patch.setattr("botocore.session.create_loader", loader)
        with serving_s3(tmp_path_factory.mktemp("s3")) as bucket:
            bucket.url("mirrors")
            yield bucket


@pytest.fixture
def bucket(endpoint: Bucket, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """The endpoint, with the credentials for it."""
    for name, value in endpoint.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return endpoint


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """Where a root of a kind can be published."""

    def found(kind: str) -> Path:
        if kind == "s3":
            bucket: Bucket = request.getfixturevalue("bucket")
            return bucket.directory / "mirrors" / f"{tmp_path.name}-{time.monotonic_ns()}"
        return tmp_path / f"mirror-{time.monotonic_ns()}"

    return found


@pytest.fixture
def publish(
    place: Callable[[str], Path], request: pytest.FixtureRequest
) -> Iterator[Callable[[str, Path], Site]]:
    """Publishes copies of roots."""
    with ExitStack() as stack:

        def published_as(kind: str, root: Path) -> Site:
            bucket = request.getfixturevalue("bucket") if kind == "s3" else None
            return stack.enter_context(published_at(kind, copied(root, place(kind)), bucket))

        yield published_as


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def site(kind: str, publish: Callable[[str, Path], Site], templates: dict[str, Path]) -> Site:
    """Two releases, published in each of the ways."""
    return publish(kind, templates["small"])


@pytest.fixture
def mirror(publish: Callable[[str, Path], Site], templates: dict[str, Path]) -> Site:
    """The same on a web server, which says what it was asked."""
    return publish("http", templates["small"])


@pytest.fixture
def large(publish: Callable[[str, Path], Site], templates: dict[str, Path]) -> Site:
    """Large releases on a web server."""
    return publish("http", templates["large"])


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails is tried again at once."""
    delays = (0.01, 0.01, 0.01, 0.01)
    monkeypatch.setattr(pulling, "DELAYS", delays)
    monkeypatch.setattr(base.persistently, "__defaults__", (delays, time.sleep))


# --- what there should be ---------------------------------------------------------------------


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def facts(directory: Path) -> dict[str, tuple[int, str | None]]:
    """Every name below a directory, and it itself: mode, and SHA-256 of a file."""
    found: dict[str, tuple[int, str | None]] = {}
    for path in (directory, *directory.rglob("*")):
        status = path.lstat()
        digest = sha256(path.read_bytes()) if stat.S_ISREG(status.st_mode) else None
        found[path.relative_to(directory).as_posix()] = (status.st_mode, digest)
    return found


def bytes_of(directory: Path) -> dict[str, bytes]:
    """The files of a tree."""
    return {path: data for path, data in tree(directory).items() if data is not None}


def manifest_of(root: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / name / "manifest.json").read_bytes())
    return found


def list_of(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "releases.json").read_bytes())
    return found


def names_in(root: Path) -> list[str]:
    return [row["name"] for row in list_of(root)["releases"]]


def size_of(root: Path, name: str) -> int:
    return sum(file["bytes"] for file in manifest_of(root, name)["files"])


def visible(root: Path) -> set[str]:
    """What is in a root but unfinished work and locks."""
    names = {path.name for path in root.iterdir()} if root.exists() else set()
    return {name for name in names if not name.startswith(".")} - {"releases.lock"}


def leftovers(root: Path) -> list[str]:
    """Unfinished work."""
    return sorted(path.name for path in root.glob(".*") if path.name != ".pull.lock")


def is_complete(root: Path, name: str, original: Path) -> None:
    """A release is here, as it was published, and everything that speaks of it says so."""
    assert facts(root / name) == facts(original / name)
    assert verify(Instance(root, name), full=True).findings == []
    (row,) = (row for row in list_of(root)["releases"] if row["name"] == name)
    (expected,) = (row for row in list_of(original)["releases"] if row["name"] == name)
    assert row == expected
    assert row["manifest_sha256"] == sha256((root / name / "manifest.json").read_bytes())
    assert leftovers(root) == []


def report_of(done: Result) -> dict[str, Any]:
    assert (done.code, done.err) == (0, ""), done
    found: dict[str, Any] = json.loads(done.out)
    return found


def is_one_line(done: Result, *words: str) -> None:
    """An error is one line, of ours, that says certain words."""
    lines = done.err.splitlines()
    assert len(lines) == 1, done.err
    assert lines[0].startswith("seqarchive: ")
    for word in words:
        assert word in lines[0], lines[0]
    assert done.out == ""


def refused(done: Result, root: Path, *words: str, codes: tuple[int, ...] = (9,)) -> None:
    """A pull failed with one line, and there is nothing to be seen of it."""
    assert done.code in codes, done
    is_one_line(done, *words)
    assert visible(root) == set()


def linked(one: Path, other: Path) -> bool:
    return one.stat().st_ino == other.stat().st_ino


def relist(root: Path, name: str, **values: Any) -> None:
    """Have ``releases.json`` list the manifest that is there, whatever it is."""
    document = list_of(root)
    for row in document["releases"]:
        if row["name"] == name:
            row["manifest_sha256"] = sha256((root / name / "manifest.json").read_bytes())
            row.update(values)
    (root / "releases.json").unlink()
    (root / "releases.json").write_text(json.dumps(document))


def remake(root: Path, name: str, change: Callable[[Path], None], **said: Any) -> None:
    """A release that is right in itself, to the last SHA-256, whatever was done to its files.

    Args:
        said: What its manifest says besides.
    """
    directory = root / name
    change(directory)
    paths = sorted(bytes_of(directory).keys() - {"manifest.json", "chunks.sha256"})
    chunks = b"".join(
        hashlib.sha256(data[at : at + 32768]).digest()[:16]
        for path in paths
        if path == "aliases.sqlite3" or path.endswith(".gzi")
        for data in [(directory / path).read_bytes()]
        for at in range(0, len(data), 32768)
    )
    rewrite(directory / "chunks.sha256", chunks)
    document = manifest_of(root, name) | said
    document["files"] = [
        {"path": path, "bytes": len(data), "sha256": sha256(data)}
        for path in sorted([*paths, "chunks.sha256"])
        for data in [(directory / path).read_bytes()]
    ]
    rewrite(directory / "manifest.json", json.dumps(document).encode())
    relist(root, name)


T = TypeVar("T")


def each(cases: Mapping[str, T], check: Callable[[T], None], site: Site | None = None) -> None:
    """Check all cases, and say of which it is wrong, and how.

    Args:
        site: Of a bucket, which is slow to be asked, only some are checked.
    """
    wrong = []
    chosen = list(cases.items())[:: 1 if site is None or site.kind != "s3" else 6]
    for what, case in chosen:
        try:
            check(case)
        except Exception as error:
            wrong.append(f"{what}: {type(error).__name__}: {error}")
    assert not wrong, "\n".join(wrong)


def rewrite(path: Path, data: bytes) -> None:
    """Other bytes in a file of its own."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def retell(root: Path, name: str, **values: Any) -> None:
    """Change what a manifest says, and list it as if it were right."""
    document = manifest_of(root, name) | values
    rewrite(root / name / "manifest.json", json.dumps(document).encode())
    relist(root, name)


# --- a release comes as it was published ------------------------------------------------------


def test_the_newest_release_comes_as_it_was_published(
    site: Site, templates: dict[str, Path], root: Path, cli: Cli
) -> None:
    original = templates["small"]
    done = cli("pull", site.address)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[0].startswith("r2: ")
    assert sha256((original / "r2" / "manifest.json").read_bytes()) in done.out
    is_complete(root, "r2", original)
    assert visible(root) == {"r2", "latest", "releases.json"}
    assert os.readlink(root / "latest") == "r2"
    assert list_of(root)["latest"] == "r2"
    assert names_in(root) == ["r2"]
    assert cli("--instance", "r2", "verify", "--full").code == 0
    with seqarchive.connect(root) as here, seqarchive.connect(original, "r2") as there:
        assert sorted(map(str, here.all_aliases())) == sorted(map(str, there.all_aliases()))
        assert here.fetch("t:A.1") == SECOND["A.1"]
        assert here.fetch("t:L.1", 100, 5_000) == FIRST["L.1"][100:5_000]
        assert here.fetch("t:E.1") == ""
    assert cli("get", "t:B.1").out.strip() == SECOND["B.1"]


def test_a_release_comes_by_its_name_and_the_latest_stays_the_newest(
    site: Site, templates: dict[str, Path], root: Path, cli: Cli
) -> None:
    for name, latest in (("r2", "r2"), ("r1", "r2")):
        assert report_of(cli("--json", "pull", site.address, name))["name"] == name
        assert os.readlink(root / "latest") == latest
        assert list_of(root)["latest"] == latest
        is_complete(root, name, templates["small"])
    assert list_of(root) == list_of(templates["small"])
    assert cli("get", "t:A.1").out.strip() == SECOND["A.1"]
    assert cli("--instance", "r1", "get", "t:A.1").out.strip() == FIRST["A.1"]


def test_the_latest_moves_on_when_the_newer_one_comes_second(
    site: Site, root: Path, cli: Cli
) -> None:
    for name in ("r1", "latest"):
        assert cli("pull", site.address, name).code == 0
    assert os.readlink(root / "latest") == "r2"
    assert names_in(root) == ["r1", "r2"]


def test_a_second_pull_gets_nothing(
    site: Site, templates: dict[str, Path], root: Path, cli: Cli
) -> None:
    first = report_of(cli("--json", "pull", site.address, "r1"))
    total = size_of(templates["small"], "r1")
    assert (first["is_new"], first["n_bytes"], first["bytes_here"]) == (True, total, 0)
    assert first["n_files"] == len(manifest_of(templates["small"], "r1")["files"]) == 5
    assert (first["files_fetched"], first["bytes_fetched"]) == (5, total)
    before = facts(root)
    if site.server is not None:
        site.server.reset()
    second = report_of(cli("--json", "pull", site.address, "r1"))
    assert (second["is_new"], second["files_fetched"], second["bytes_fetched"]) == (False, 0, 0)
    assert second["manifest_sha256"] == first["manifest_sha256"]
    assert "r1 is here already" in cli("pull", site.address, "r1").out
    assert facts(root) == before
    if site.server is not None:
        assert set(site.asked) == {"releases.json", "r1/manifest.json", "r1/manifest.json.sig"}


def test_the_list_says_what_there_is_and_what_is_here(
    site: Site, templates: dict[str, Path], root: Path, cli: Cli
) -> None:
    done = cli("pull", "--list", site.address)
    assert (done.code, done.err) == (0, "")
    assert not root.exists()
    head, *rows = (line.split() for line in done.out.splitlines())
    assert head[0] == "NAME"
    assert [(row[0], row[-1]) for row in rows] == [("r1", "no"), ("r2", "no")]
    assert ["(latest)" in row for row in rows] == [False, True]
    assert cli("pull", site.address, "r1").code == 0
    found = report_of(cli("--json", "pull", "--list", site.address))
    expected = list_of(templates["small"])
    assert found["latest"] == "r2"
    assert found["url"] == site.address
    assert found["releases"] == [
        {**row, "here": row["name"] == "r1"} for row in expected["releases"]
    ]
    table = cli("pull", "--list", site.address).out.splitlines()
    assert [line.split()[-1] for line in table[1:]] == ["yes", "no"]


def test_another_release_of_the_same_name_is_not_said_to_be_here(
    mirror: Site, root: Path, cli: Cli
) -> None:
    load(root, {"X.1": "ACGT"})
    succeed(root, "snapshot", "r1")
    found = report_of(cli("--json", "pull", "--list", mirror.address))
    assert [row["here"] for row in found["releases"]] == [False, False]


def test_another_release_of_the_same_name_is_a_conflict(site: Site, root: Path, cli: Cli) -> None:
    load(root, {"X.1": "ACGT"})
    succeed(root, "snapshot", "r1")
    before = facts(root)
    done = cli("pull", site.address, "r1")
    assert done.code == 4
    is_one_line(done, "r1")
    assert facts(root) == before


def test_whatever_has_its_name_here_stays(mirror: Site, root: Path, cli: Cli) -> None:
    root.mkdir()

    def a_file(path: Path) -> None:
        path.write_bytes(b"mine")

    def a_directory(path: Path) -> None:
        path.mkdir()
        (path / "manifest.json").write_bytes(b"mine")

    def a_link(path: Path) -> None:
        path.symlink_to("nowhere")

    def check(make: Callable[[Path], None]) -> None:
        make(root / "r1")
        before = facts(root)
        done = cli("pull", mirror.address, "r1")
        assert done.code == 4, done
        is_one_line(done, str(root / "r1"))
        assert facts(root) == before
        subprocess.run(["rm", "-r", str(root / "r1")], check=True)

    each({"a file": a_file, "a directory": a_directory, "a link": a_link}, check)


def test_names_that_there_are_not(site: Site, root: Path, cli: Cli) -> None:
    done = cli("pull", site.address, "r3")
    refused(done, root, "r3", "r1, r2", codes=(3,))
    for name in ("master", "releases.json"):
        refused(cli("pull", site.address, name), root, name, codes=(3, 4))

    def check(name: str) -> None:
        refused(cli("pull", site.address, "--", name), root, codes=(3, 5))

    each({name: name for name in ("../r1", ".", "..", "", "a/b", "-")}, check, site)


def test_what_is_no_root_or_has_no_snapshots(site: Site, root: Path, cli: Cli) -> None:
    refused(cli("pull", site.address + "/r1"), root, "releases.json", codes=(3,))
    refused(cli("pull", site.address + "/nothing"), root, "releases.json", codes=(3,))
    empty = list_of(site.path) | {"latest": None, "releases": []}
    site.replace("releases.json", json.dumps(empty).encode())
    refused(cli("pull", site.address), root, "no snapshots", codes=(3,))
    done = cli("pull", "--list", site.address)
    assert (done.code, done.out.strip()) == (0, f"no snapshots at {site.address}")
    assert not root.exists()


@pytest.mark.parametrize("jobs", ["1", "16"])
def test_any_number_of_files_at_once(
    site: Site, templates: dict[str, Path], root: Path, cli: Cli, jobs: str
) -> None:
    report = report_of(cli("--json", "pull", "--jobs", jobs, site.address + "/", "r2"))
    assert report["source"] == site.address
    is_complete(root, "r2", templates["small"])


def test_what_came_can_be_published_again(
    site: Site, templates: dict[str, Path], root: Path, cli: Cli, tmp_path: Path
) -> None:
    assert cli("pull", site.address, "r1").code == 0
    other = tmp_path / "other"
    done = cli("--root", str(other), "pull", str(root))
    assert (done.code, done.err) == (0, "")
    is_complete(other, "r1", templates["small"])


def test_modes_follow_the_umask(
    publish: Callable[[str, Path], Site], kind: str, tmp_path: Path, root: Path, cli: Cli
) -> None:
    before = os.umask(0o077)
    try:
        there = tmp_path / "there"
        load(there, FIRST)
        succeed(there, "snapshot", "r1")
        site = publish(kind, there)
        assert cli("pull", site.address).code == 0
    finally:
        os.umask(before)
    assert facts(root / "r1") == facts(there / "r1")
    assert {stat.S_IMODE(mode) for mode, _ in facts(root / "r1").values()} == {0o400, 0o500}


def test_what_can_be_written_there_cannot_be_written_here(
    site: Site, root: Path, cli: Cli, templates: dict[str, Path]
) -> None:
    """A copy made without modes, say; its files must not change under the release here."""
    for path in site.path.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(0o644)
    assert cli("pull", site.address, "r1").code == 0
    is_complete(root, "r1", templates["small"])
    for file in site.files("r1"):
        assert stat.S_IMODE(site.file(file).stat().st_mode) == 0o644


@pytest.mark.parametrize(
    ("kind", "name"),
    [("directory", "r+1"), ("s3", "r+1"), ("http", "r+1"), ("http", "A_b.c-d+e.json")],
)
def test_any_name_that_a_snapshot_can_have(
    publish: Callable[[str, Path], Site], kind: str, tmp_path: Path, root: Path, cli: Cli, name: str
) -> None:
    there = tmp_path / "there"
    load(there, {"X.1": "ACGT"})
    succeed(there, "snapshot", name)
    site = publish(kind, there)
    assert cli("pull", site.address, name).code == 0
    is_complete(root, name, there)


def test_an_empty_archive_can_be_published(
    publish: Callable[[str, Path], Site], kind: str, tmp_path: Path, root: Path, cli: Cli
) -> None:
    there = tmp_path / "there"
    succeed(there, "snapshot", "nothing")
    site = publish(kind, there)
    assert cli("pull", site.address).code == 0
    assert bytes_of(root / "nothing") == bytes_of(there / "nothing")
    assert verify(Instance(root, "nothing"), full=True).findings == []
    assert cli("status").code == 0


def test_from_another_file_system(templates: dict[str, Path], root: Path, cli: Cli) -> None:
    with shm() as elsewhere:
        there = copied(templates["small"], elsewhere / "there")
        assert there.stat().st_dev != root.parent.stat().st_dev
        report = report_of(cli("--json", "pull", str(there), "r1"))
        assert report["bytes_fetched"] == size_of(there, "r1")
        is_complete(root, "r1", templates["small"])
        file_url = f"file://{there}"
        assert report_of(cli("--json", "pull", file_url))["name"] == "r2"
        is_complete(root, "r2", templates["small"])


@contextmanager
def shm() -> Iterator[Path]:
    """A directory on another file system."""
    path = Path("/dev/shm") / f"seqarchive-{os.getpid()}-{time.monotonic_ns()}"
    path.mkdir()
    try:
        yield path
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(path)], check=True)
        shutil.rmtree(path)


def test_a_file_url_with_a_space(
    templates: dict[str, Path], tmp_path: Path, root: Path, cli: Cli
) -> None:
    copied(templates["small"], tmp_path / "over there")
    assert cli("pull", f"file://{quote(str(tmp_path))}/over%20there", "r1").code == 0
    is_complete(root, "r1", templates["small"])


def test_from_itself_and_to_itself_there_is_nothing_to_do(own: Path, cli: Cli) -> None:
    before = facts(own)
    for verb in ("pull", "push"):
        done = cli(verb, str(own), "r1")
        assert (done.code, done.err) == (0, "")
        assert "already" in done.out
    assert facts(own) == before


def test_who_loads_beside_releases_is_told_what_that_hides(
    site: Site, root: Path, cli: Cli, tmp_path: Path
) -> None:
    assert cli("pull", site.address).code == 0
    mine = write_fasta(tmp_path / "mine.fa", {"X.1": "ACGTACGT"})
    done = cli("load", "-n", "t", mine)
    assert done.code == 0
    assert done.err == (
        f"seqarchive: {root} has a master of its own now, which is read in place of its releases; "
        "`--instance latest` reads the newest of these\n"
    )
    assert cli("get", "t:B.1").code == 3
    assert cli("--instance", "latest", "get", "t:B.1").code == 0
    assert cli("load", "-n", "t", mine).err == ""


def test_what_came_is_a_release_like_any_other(
    site: Site, root: Path, cli: Cli, templates: dict[str, Path]
) -> None:
    for name in ("r1", "r2"):
        assert cli("pull", site.address, name).code == 0
    load(root, {"X.1": "ACGTACGT"})
    assert cli("get", "t:X.1").out.strip() == "ACGTACGT"
    assert cli("snapshot", "mine").code == 0
    assert names_in(root) == ["r1", "r2", "mine"]
    assert os.readlink(root / "latest") == "mine"
    assert manifest_of(root, "mine")["parent"] is None
    assert cli("prune", "r1").code == 0
    assert names_in(root) == ["r2", "mine"]
    is_complete(root, "r2", templates["small"])
    assert cli("pull", site.address, "r1").code == 0
    assert names_in(root) == ["r1", "r2", "mine"]
    is_complete(root, "r1", templates["small"])


@pytest.mark.parametrize("verb", ["pull", "push"])
def test_at_a_terminal(large: Site, own: Path, tmp_path: Path, verb: str) -> None:
    """Where a bar would be drawn if it took its time."""
    target = large.address if verb == "pull" else str(tmp_path / "there")
    root = tmp_path / "archive-of-somebody" if verb == "pull" else own
    terminal, theirs = os.openpty()
    command = [sys.executable, "-m", "seqarchive", "--root", str(root), verb, target, "r1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    out, _ = process.communicate(timeout=60)
    shown = bytearray()
    with suppress(OSError):  # which is how a terminal ends
        while data := os.read(terminal, 1 << 16):
            shown += data
    os.close(terminal)
    assert process.returncode == 0, shown
    assert out.startswith(b"r1: ")
    assert b"Traceback" not in shown
    assert names_in(root if verb == "pull" else tmp_path / "there") == ["r1"]


def test_a_directory_on_the_same_file_system_is_linked(
    templates: dict[str, Path], tmp_path: Path, root: Path, cli: Cli
) -> None:
    there = copied(templates["small"], tmp_path / "there")
    report = report_of(cli("--json", "pull", str(there), "r1"))
    assert (report["files_fetched"], report["files_here"]) == (5, 0)
    for file in manifest_of(there, "r1")["files"]:
        assert linked(root / "r1" / file["path"], there / "r1" / file["path"])


def test_a_root_made_by_rsync_can_be_read_and_pulled_from(
    templates: dict[str, Path], tmp_path: Path, root: Path, cli: Cli
) -> None:
    there = tmp_path / "there"
    program = shutil.which("rsync")
    copying = ["cp", "-a"] if program is None else [program, "-a"]
    subprocess.run([*copying, f"{templates['small']}/", str(there)], check=True)
    done = cli("--root", str(there), "--instance", "r1", "get", "t:A.1")
    assert (done.code, done.out.strip()) == (0, FIRST["A.1"])
    assert verify(Instance(there, "r2"), full=True).findings == []
    assert cli("pull", str(there)).code == 0
    is_complete(root, "r2", templates["small"])


def test_users_without_any_rights_pull_too() -> None:
    with shared_directory() as directory:
        there, root = directory / "there", directory / "home" / "archive"
        load(there, FIRST)
        succeed(there, "snapshot", "r1")
        load(there, SECOND)
        succeed(there, "snapshot", "r2")
        root.parent.mkdir()
        os.chown(root.parent, NOBODY, NOBODY)
        base_command = ["--root", str(root)]
        with serving(there) as server:
            results = run_without_rights(
                [*base_command, "pull", server.url, "r1"],
                [*base_command, "pull", str(there), "r2"],
                [*base_command, "--instance", "r2", "verify", "--full"],
                [*base_command, "get", "t:B.1"],
            )
        assert [result.code for result in results] == [0, 0, 0, 0], results
        assert results[-1].out.strip() == SECOND["B.1"]
        assert bytes_of(root / "r1") == bytes_of(there / "r1")
        assert bytes_of(root / "r2") == bytes_of(there / "r2")


def test_a_user_goes_on_with_a_pull_that_was_killed_when_all_was_sealed() -> None:
    with shared_directory() as directory:
        there, root = directory / "there", directory / "archive"
        load(there, FIRST)
        succeed(there, "snapshot", "r1")
        root.mkdir()
        copied(there / "r1", root / ".pull-r1")
        for path in (root, *root.rglob("*")):
            os.lchown(path, NOBODY, NOBODY)
        (result,) = run_without_rights(["--root", str(root), "--json", "pull", str(there)])
        assert result.code == 0, result
        assert json.loads(result.out)["bytes_fetched"] == 0
        is_complete(root, "r1", there)


def test_a_list_that_was_lost_here_is_made_again(
    mirror: Site, root: Path, cli: Cli, templates: dict[str, Path]
) -> None:
    for name in ("r1", "r2"):
        assert cli("pull", mirror.address, name).code == 0
    right = bytes_of(root)
    (root / "releases.json").unlink()
    (root / "latest").unlink()
    done = cli("pull", mirror.address, "r1")
    assert "r1 is here already" in done.out
    assert (done.code, done.err) == (0, "")
    assert bytes_of(root) == right
    for name in ("r1", "r2"):
        is_complete(root, name, templates["small"])
    assert (root / "latest").readlink() == Path("r2")
    written = (root / "releases.json").stat().st_mtime_ns
    assert cli("pull", mirror.address, "r2").code == 0
    assert (root / "releases.json").stat().st_mtime_ns == written


# --- only what is not here --------------------------------------------------------------------


def an_earlier_release(root: Path, site: Site, _original: Path) -> None:
    succeed(root, "pull", site.address, "r1")


def master(root: Path, _site: Site, original: Path) -> None:
    root.mkdir()
    copied(original / "master", root / "master")


def another_archive(root: Path, _site: Site, original: Path) -> None:
    """A release of an archive that only shares the file that was loaded."""
    there = root.with_name("another")
    there.mkdir()
    copied(original / "master", there / "master")
    with closing(sqlite3.connect(there / "master" / "aliases.sqlite3")) as connection:
        connection.execute("UPDATE meta SET value = 'another' WHERE key = 'archive_id'")
        connection.commit()
    succeed(there, "snapshot", "other")
    succeed(root, "pull", str(there), "other")
    assert manifest_of(root, "other")["archive_id"] == "another"


def an_interrupted_pull(root: Path, site: Site, original: Path) -> None:
    unfinished = root / ".pull-r2" / "sequences"
    unfinished.mkdir(parents=True)
    big = next(path for path in site.files("r1") if path.endswith(".bgz"))
    target = unfinished.parent.parent / ".pull-r2" / big.removeprefix("r1/")
    target.parent.mkdir(parents=True)
    shutil.copyfile(original / big, target)
    target.chmod(0o444)


@pytest.mark.parametrize(
    "prepare", [an_earlier_release, master, another_archive, an_interrupted_pull]
)
def test_only_what_is_not_here_is_fetched(
    large: Site,
    templates: dict[str, Path],
    root: Path,
    cli: Cli,
    prepare: Callable[[Path, Site, Path], None],
) -> None:
    original = templates["large"]
    prepare(root, large, original)
    assert large.server is not None
    large.server.reset()
    report = report_of(cli("--json", "pull", large.address, "r2"))
    total = size_of(original, "r2")
    small = sum(
        len((large.path / path).read_bytes()) for path in ("releases.json", "r2/manifest.json")
    )
    not_found = len(b"not here")
    assert large.server.n_bytes <= total // 10 + small + not_found
    assert large.server.n_bytes == report["bytes_fetched"] + small + not_found
    assert report["bytes_fetched"] + report["bytes_here"] == report["n_bytes"] == total
    assert report["files_fetched"] + report["files_here"] == report["n_files"]
    once = {"releases.json", "r2/manifest.json", "r2/manifest.json.sig"}
    asked = large.asked
    assert len(asked) == len(set(asked))
    fetched = set(asked) - once
    assert len(fetched) == report["files_fetched"]
    assert sum(large.files("r2")[path] for path in fetched) == report["bytes_fetched"]
    big = next(path for path in large.files("r2") if large.files("r2")[path] > total // 2)
    assert big not in fetched
    is_complete(root, "r2", original)


def test_what_is_shared_is_one_file_on_the_disk(
    site: Site, root: Path, cli: Cli, templates: dict[str, Path]
) -> None:
    root.mkdir()
    copied(templates["small"] / "master", root / "master")
    for name in ("r1", "r2"):
        assert cli("pull", site.address, name).code == 0
        is_complete(root, name, templates["small"])
    shard = "sequences"
    for file in manifest_of(root, "r2")["files"]:
        if file["path"].startswith(shard):
            assert linked(root / "r2" / file["path"], root / "master" / file["path"])
    for file in manifest_of(root, "r1")["files"]:
        if file["path"].startswith(shard):
            assert linked(root / "r1" / file["path"], root / "r2" / file["path"])
    assert not linked(root / "r1" / "aliases.sqlite3", root / "r2" / "aliases.sqlite3")


def test_files_with_the_same_bytes_come_once(
    publish: Callable[[str, Path], Site], tmp_path: Path, root: Path, cli: Cli
) -> None:
    """Small shards have the same .gzi."""
    there = tmp_path / "there"
    load(there, {"A.1": "ACGT"})
    load(there, {"B.1": "GGGG"})
    succeed(there, "snapshot", "r1")
    digests = [file["sha256"] for file in manifest_of(there, "r1")["files"]]
    assert len(set(digests)) < len(digests)
    site = publish("http", there)
    report = report_of(cli("--json", "pull", site.address))
    is_complete(root, "r1", there)
    assert len(site.asked) - 3 == len(set(digests)) == report["files_fetched"]
    assert report["files_fetched"] + report["files_here"] == report["n_files"]
    assert report["bytes_fetched"] + report["bytes_here"] == report["n_bytes"]


def test_a_local_file_that_is_damaged_is_not_linked_but_fetched(
    site: Site, root: Path, cli: Cli, templates: dict[str, Path]
) -> None:
    assert cli("pull", site.address, "r1").code == 0
    shared = site.one("r1", ".fa.bgz").removeprefix("r1/")
    damaged = bytearray((root / "r1" / shared).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    # One inode of its own, or the source in the same directory would be damaged too.
    (root / "r1" / shared).parent.chmod(0o755)
    rewrite(root / "r1" / shared, bytes(damaged))
    assert cli("pull", site.address, "r2").code == 0
    is_complete(root, "r2", templates["small"])
    assert (root / "r1" / shared).read_bytes() == bytes(damaged)


def test_a_damaged_archive_beside_it_keeps_nobody_from_pulling(
    mirror: Site, root: Path, cli: Cli, templates: dict[str, Path]
) -> None:
    (root / "master").mkdir(parents=True)
    (root / "master" / "aliases.sqlite3").write_bytes(b"no database at all" * 1000)
    (root / "half").mkdir()
    (root / "half" / "manifest.json").write_bytes(b"{}")
    assert cli("pull", mirror.address, "r1").code == 0
    is_complete(root, "r1", templates["small"])


# --- every file is checked --------------------------------------------------------------------

FILE_KINDS = ("aliases.sqlite3", "chunks.sha256", ".fa.bgz", ".fa.bgz.fai", ".fa.bgz.gzi")


@pytest.mark.parametrize("ending", FILE_KINDS)
def test_one_wrong_byte_in_a_file_and_nothing_of_it_is_kept(
    site: Site, templates: dict[str, Path], root: Path, cli: Cli, ending: str
) -> None:
    path = site.one("r2", ending)
    right = site.file(path).read_bytes()
    wrong = site.spoil(path)
    refused(cli("pull", site.address, "r2"), root, f"/{path} ")
    held = [file for file in root.rglob("*") if file.is_file() and file.read_bytes() == wrong]
    assert held == []
    assert not (root / ".pull-r2" / path.removeprefix("r2/")).exists()
    assert not (root / ".parts-r2" / sha256(right)).exists()
    site.replace(path, right)
    assert cli("pull", site.address, "r2").code == 0
    is_complete(root, "r2", templates["small"])


def test_a_later_pull_from_a_mended_source_goes_on_where_the_first_was(
    mirror: Site, templates: dict[str, Path], root: Path, cli: Cli
) -> None:
    smallest = min(mirror.files("r2"), key=lambda path: mirror.files("r2")[path])
    right = mirror.file(smallest).read_bytes()
    mirror.spoil(smallest)
    refused(cli("pull", "--jobs", "1", mirror.address, "r2"), root, smallest)
    mirror.replace(smallest, right)
    report = report_of(cli("--json", "pull", mirror.address, "r2"))
    assert report["bytes_fetched"] == len(right)
    is_complete(root, "r2", templates["small"])


@pytest.mark.parametrize("what", ["manifest.json", "releases.json"])
def test_one_wrong_byte_in_what_says_what_there_is(
    site: Site, root: Path, cli: Cli, what: str, templates: dict[str, Path]
) -> None:
    path = "releases.json" if what == "releases.json" else f"r2/{what}"
    data = site.file(path).read_bytes()
    own = list_of(site.path)["releases"][1]["manifest_sha256"].encode()
    marks = [0, data.index(own) if what == path else len(data) // 2]
    for at in marks:
        site.spoil(path, at)
        refused(cli("pull", site.address, "r2"), root, f"{site.address}/")
        site.replace(path, data)
    assert not root.exists()
    assert cli("pull", site.address, "r2").code == 0


def test_files_that_are_not_there(
    site: Site, root: Path, cli: Cli, templates: dict[str, Path]
) -> None:
    path = site.one("r2", ".fai")
    data = site.file(path).read_bytes()
    site.file(path).unlink()
    refused(cli("pull", site.address, "r2"), root, path, codes=(3, 9))
    site.replace(path, data)
    manifest = site.file("r2/manifest.json").read_bytes()
    site.file("r2/manifest.json").unlink()
    refused(cli("pull", site.address, "r2"), root, "no manifest")
    site.replace("r2/manifest.json", manifest)
    assert cli("pull", site.address, "r2").code == 0
    is_complete(root, "r2", templates["small"])


@pytest.mark.parametrize("n_bytes", [-1, 1])
def test_a_file_of_another_length(
    site: Site, root: Path, cli: Cli, n_bytes: int, templates: dict[str, Path]
) -> None:
    path = site.one("r2", ".fa.bgz")
    data = site.file(path).read_bytes()
    site.replace(path, data[:-1] if n_bytes < 0 else data + b"\0")
    refused(cli("pull", site.address, "r2"), root, path)
    site.replace(path, data)
    assert cli("pull", site.address, "r2").code == 0
    is_complete(root, "r2", templates["small"])


def other_things(path: Path) -> Iterator[str]:
    """One after the other, what is no file where one should be."""
    os.mkfifo(path)
    yield "a FIFO"
    path.unlink()
    path.mkdir()
    yield "a directory"
    path.rmdir()
    path.symlink_to("/etc/passwd")
    yield "a link out of the root"


@pytest.mark.parametrize("what", ["releases.json", "r1/manifest.json", ".fa.bgz"])
def test_a_directory_with_other_things_than_files(
    publish: Callable[[str, Path], Site],
    templates: dict[str, Path],
    root: Path,
    cli: Cli,
    what: str,
) -> None:
    site = publish("directory", templates["small"])
    path = what if "/" in what or what.endswith("json") else site.one("r1", what)
    data = site.file(path).read_bytes()
    site.file(path).unlink()
    for thing in other_things(site.file(path)):
        done = cli("pull", site.address, "r1")
        assert done.code in (3, 9), (thing, done)
        is_one_line(done)
        assert visible(root) == set()
        assert "root:" not in "".join(
            file.read_text("latin-1") for file in root.rglob("*") if file.is_file()
        )
    site.file(path).unlink()
    site.replace(path, data)
    assert cli("pull", site.address, "r1").code == 0


# --- manifests that anybody may have written --------------------------------------------------


def manifest_files(root: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = manifest_of(root, "r1")["files"]
    return found


def with_path(path: Any) -> Callable[[list[dict[str, Any]]], Any]:
    """The same files, and a shard index more."""

    def change(files: list[dict[str, Any]]) -> Any:
        return sorted(
            [*files, {"path": path, "bytes": 1, "sha256": sha256(b"x")}],
            key=lambda file: str(file["path"]),
        )

    return change


def with_value(key: str, value: Any) -> Callable[[list[dict[str, Any]]], Any]:
    """The same files; the first of them has another size, say."""
    return lambda files: [files[0] | {key: value}, *files[1:]]


NUMBERS: list[Any] = [-1, 1 << 63, 10**300, 1.5, "1", None, True, [], float("inf")]

DIGESTS: list[Any] = ["", "00", "A" * 64, "g" * 64, "0" * 64 + "\n", None, 7, ["0" * 64]]

HOSTILE_FILES: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    **{
        f"path {path!r}": with_path(path)
        for path in (
            "../evil.fa.bgz", "/tmp/evil.fa.bgz", "sequences/../../evil.fa.bgz", "..",
            "sequences/./a.fa.bgz", "sequences//a.fa.bgz", "sequences/a.fa.bgz/", "sequences",
            "sequences/a.txt", "sequences/.fa.bgz/../../../a.fa.bgz", "other/a.fa.bgz",
            "writer.lock", "tmp/a.fa.bgz", "manifest.json", "manifest.json.sig",
            "aliases.sqlite3-wal",
            "sequences/a\0.fa.bgz", "sequences/a\n.fa.bgz", "sequences/\u202e.fa.bgz", "a" * 5000,
            None, 7, ["sequences/a.fa.bgz"],
        )
    },
    **{
        f"bytes {value!r:.20}": with_value("bytes", value)
        for value in NUMBERS
    },
    **{
        f"sha256 {value!r:.20}": with_value("sha256", value)
        for value in DIGESTS
    },
    "twice": lambda files: [files[0], *files],
    "out of order": lambda files: files[::-1],
    "no files": lambda _files: [],
    "no database": lambda files: [file for file in files if file["path"] != "aliases.sqlite3"],
    "no chunks": lambda files: [file for file in files if file["path"] != "chunks.sha256"],
    "an object": lambda files: {file["path"]: file for file in files},
    "null": lambda _files: None,
    "a text": lambda _files: "aliases.sqlite3",
    "texts": lambda files: [file["path"] for file in files],
    "without sizes": lambda files: [{"path": file["path"]} for file in files],
}  # fmt: skip


def test_manifests_with_files_that_cannot_be(site: Site, root: Path, cli: Cli) -> None:
    outside = set(site.path.parent.iterdir())
    document = manifest_of(site.path, "r1")

    def check(change: Callable[[list[dict[str, Any]]], Any]) -> None:
        retell(site.path, "r1", files=change(document["files"]))
        refused(cli("pull", site.address, "r1"), root)
        assert not root.exists() or list(root.rglob("*.fa.bgz*")) == []

    each(HOSTILE_FILES, check, site)
    assert set(site.path.parent.iterdir()) - {root} == outside - {root}
    assert not Path("/tmp/evil.fa.bgz").exists()


def test_a_file_that_should_be_the_directory_of_another(
    site: Site, root: Path, cli: Cli, templates: dict[str, Path]
) -> None:
    shard = site.one("r1", ".fa.bgz").removeprefix("r1/")
    below = f"{shard}/below.fa.bgz"
    site_below = site.file(f"r1/{below}")

    def move(directory: Path) -> None:
        data = (directory / shard).read_bytes()
        (directory / shard).unlink()
        rewrite(directory / below, b"x")
        site.path.joinpath("kept").write_bytes(data)

    before = manifest_of(site.path, "r1")
    remake(site.path, "r1", move)
    site_below.unlink()
    site_below.parent.rmdir()
    shutil.move(site.path / "kept", site.path / "r1" / shard)
    # A web server, or a bucket, could have both of them.
    files = [*before["files"], *(f for f in manifest_files(site.path) if f["path"] == below)]
    retell(site.path, "r1", files=sorted(files, key=lambda file: str(file["path"])))
    refused(cli("pull", site.address, "r1"), root, codes=(3, 9))


def test_an_index_in_a_directory_without_a_shard(site: Site, root: Path, cli: Cli) -> None:
    """Of two files with the same bytes one is made from the other, wherever it should be."""
    gzi = site.one("r1", ".gzi")

    def add(directory: Path) -> None:
        rewrite(
            directory / "sequences/9999/0101/000000/1.000000.fa.bgz.gzi",
            site.file(gzi).read_bytes(),
        )

    remake(site.path, "r1", add)
    refused(cli("pull", site.address, "r1"), root)


def test_more_bytes_than_there_is_room_for(site: Site, root: Path, cli: Cli) -> None:
    files = manifest_of(site.path, "r1")["files"]
    retell(site.path, "r1", files=[file | {"bytes": 1 << 61} for file in files])
    done = cli("pull", site.address, "r1")
    refused(done, root, codes=(1, 9))
    assert f"{len(files) << 61:,}" in done.err
    if site.server is not None:
        assert len(site.asked) == 3


OTHER_MANIFESTS: dict[str, dict[str, Any]] = {
    "another name": {"name": "r2"},
    "a name outside": {"name": "../r1"},
    "no name": {"name": None},
    "another format": {"format": "seqarchive-releases"},
    "version 0": {"version": 0},
    "version 1.0": {"version": 1.0},
    "a time that is none": {"created": "2024-13-01T00:00:00.000000Z"},
    "a year far away": {"created": "9999-12-31T23:59:59.999999Z"},
    "a control character": {"archive_id": "\x1b[31m"},
    "counts": {"counts": {"sequences": -1}},
    "a batch": {"batch": "1"},
    "a parent": {"parent": "../r0"},
}


def test_other_manifests_that_cannot_be(site: Site, root: Path, cli: Cli) -> None:
    right = site.file("r1/manifest.json").read_bytes()
    document = json.loads(right)
    changed = {
        what: json.dumps(document | values).encode() for what, values in OTHER_MANIFESTS.items()
    }

    def check(data: bytes) -> None:
        site.replace("r1/manifest.json", data)
        relist(site.path, "r1")
        refused(cli("pull", site.address, "r1"), root, "manifest.json")

    each({**changed, **OTHER_TEXTS}, check, site)
    assert not root.exists()


OTHER_TEXTS = {
    "empty": b"",
    "null": b"null",
    "a list": b"[]",
    "a number": b"7",
    "html": b"<html><body>Welcome!</body></html>",
    "not UTF-8": b'{"format": "\xff\xfe"}',
    "zeros": bytes(1000),
    "deep": b"[" * 200_000,
    "deeper": b'{"a":' * 200_000,
    "a long number": b'{"version": ' + b"9" * 5_000 + b"}",
    "nan": b'{"format": NaN, "version": Infinity}',
}


@pytest.mark.parametrize("what", ["releases.json", "r1/manifest.json"])
def test_a_newer_version_is_said_to_be_one(site: Site, root: Path, cli: Cli, what: str) -> None:
    document = json.loads(site.file(what).read_bytes())
    site.replace(what, json.dumps(document | {"version": 2, "latest": 7}).encode())
    if what != "releases.json":
        relist(site.path, "r1")
    refused(cli("pull", site.address, "r1"), root, "newer", codes=(10,))


# --- lists that anybody may have written ------------------------------------------------------


def with_row(**values: Any) -> Callable[[dict[str, Any]], Any]:
    """The list, of which the row of r1 has other values."""
    return lambda document: (
        document | {"releases": [document["releases"][0] | values, document["releases"][1]]}
    )


HOSTILE_LISTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    **{
        f"name {name!r:.30}": with_row(name=name)
        for name in ("..", ".", "", "../r1", "/etc", "a/b", ".pull-r1", "-x", "a\0b", "a b", "é",
                     "a" * 101, "a\n", None, 7, ["r1"], {"r1": 1})
    },
    **{
        f"{key} {value!r:.20}": with_row(**{key: value})
        for key, value in (
            ("created", 7), ("created", "\x1b[2J"), ("archive_id", None), ("batch", "1"),
            ("batch", 1.5), ("parent", 7), ("bytes", "1"), ("bytes", None), ("manifest_sha256", 7),
            ("manifest_sha256", "\n"), ("more", 1),
        )
    },
    "a row less": lambda document: document | {"releases": document["releases"][:1]},
    "latest ..": lambda document: document | {"latest": ".."},
    "latest 7": lambda document: document | {"latest": 7},
    "latest a list": lambda document: document | {"latest": ["r2"]},
    "no latest": lambda document: {k: v for k, v in document.items() if k != "latest"},
    "no releases": lambda document: {k: v for k, v in document.items() if k != "releases"},
    "releases null": lambda document: document | {"releases": None},
    "releases texts": lambda document: document | {"releases": ["r1", "r2"]},
    "releases an object": lambda document: document | {"releases": {"r1": 1, "r2": 2}},
    "another format": lambda document: document | {"format": "seqarchive-snapshot"},
    "version 0": lambda document: document | {"version": 0},
    "version null": lambda document: document | {"version": None},
}  # fmt: skip


def test_lists_that_cannot_be(site: Site, root: Path, cli: Cli) -> None:
    right = list_of(site.path)
    changes = {what: json.dumps(change(right)).encode() for what, change in HOSTILE_LISTS.items()}

    def check(data: bytes) -> None:
        site.replace("releases.json", data)
        for arguments in ((site.address, "r1"), ("--list", site.address)):
            refused(cli("pull", *arguments), root, f"{site.address}/releases.json")

    each({**changes, **OTHER_TEXTS}, check, site)
    assert not root.exists()


def test_names_in_a_list_that_mean_something_else_here(site: Site, root: Path, cli: Cli) -> None:
    right = list_of(site.path)
    row = right["releases"][0]
    manifest = json.loads(site.file("r1/manifest.json").read_bytes())
    (site.path / "latest").unlink()

    def check(name: str) -> None:
        data = json.dumps(manifest | {"name": name}).encode()
        rows = [row | {"name": name, "manifest_sha256": sha256(data)}]
        rewrite(site.path / name / "manifest.json", data)
        document = right | {"latest": name, "releases": rows}
        site.replace("releases.json", json.dumps(document).encode())
        for arguments in ((), (name,)):
            refused(cli("pull", site.address, *arguments), root, name, codes=(4, 9))

    names = ("master", "latest", "releases.lock", "seqrepo", "genomes", "tracks", "rgstore")
    shutil.rmtree(site.path / "master")
    (site.path / "releases.lock").unlink()
    each({name: name for name in names}, check, site)
    assert not root.exists()


def test_numbers_in_a_list_are_shown_whatever_they_are(mirror: Site, cli: Cli) -> None:
    """They are what somebody else wrote; a number that no machine has is no reason to crash."""
    right = list_of(mirror.path)
    for value in (0, -1, 10**15, 1 << 63, 10**400):
        for key in ("bytes", "batch"):
            mirror.replace("releases.json", json.dumps(with_row(**{key: value})(right)).encode())
            done = cli("pull", "--list", mirror.address)
            assert done.code in (0, 9), done
            if done.code:
                is_one_line(done)
            else:
                assert len(done.out.splitlines()) == 3


def test_a_name_that_is_listed_twice_is_one_of_them_or_refused(
    site: Site, root: Path, cli: Cli, templates: dict[str, Path]
) -> None:
    right = list_of(site.path)
    rows = [*right["releases"], right["releases"][0] | {"manifest_sha256": "0" * 64}]
    site.replace("releases.json", json.dumps(right | {"releases": rows}).encode())
    refused(cli("pull", site.address, "r1"), root)


def test_a_list_without_end_is_not_read_to_the_end(
    publish: Callable[[str, Path], Site], templates: dict[str, Path], root: Path, cli: Cli
) -> None:
    site = publish("directory", templates["small"])
    site.file("releases.json").unlink()
    with open(site.file("releases.json"), "wb") as file:
        file.write(b" " * (1 << 20))
        file.truncate(300_000_000)
    refused(cli("pull", site.address, "r1"), root, "releases.json: more than 268,435,456 bytes")


@pytest.mark.parametrize("what", ["releases.json", "r1/manifest.json", "r1/manifest.json.sig"])
def test_what_says_what_there_is_is_not_read_to_the_end(
    site: Site, root: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(published.read_if_there, "__defaults__", (1 << 20,))
    site.replace(what, b" " * (1 << 21))
    refused(cli("pull", site.address, "r1"), root, what, "more than")


# --- releases that lie, though every digest is right ------------------------------------------


def edited(*statements: str) -> Callable[[Path], None]:
    """The database of a release, changed by SQL, in a file of its own."""

    def change(directory: Path) -> None:
        path = directory / "aliases.sqlite3"
        rewrite(path, path.read_bytes())
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    return change


def with_database(data: bytes) -> Callable[[Path], None]:
    return lambda directory: rewrite(directory / "aliases.sqlite3", data)


def another_database(directory: Path) -> None:
    path = directory / "aliases.sqlite3"
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (a)")


def cut_database(directory: Path) -> None:
    path = directory / "aliases.sqlite3"
    rewrite(path, path.read_bytes()[: 8 * 4096])


def holes_in_the_database(directory: Path) -> None:
    path = directory / "aliases.sqlite3"
    data = bytearray(path.read_bytes())
    data[4096 : 12 * 4096] = bytes(11 * 4096)
    rewrite(path, bytes(data))


def shard_in(directory: Path) -> Path:
    return next(directory.rglob("*.fa.bgz"))


def more_shards(directory: Path) -> None:
    shard = shard_in(directory)
    for ending in ("", ".fai", ".gzi"):
        target = shard.with_name("1.000001.fa.bgz" + ending)
        shutil.copyfile(shard.with_name(shard.name + ending), target)


def fewer_shards(directory: Path) -> None:
    shard = shard_in(directory)
    for ending in ("", ".fai", ".gzi"):
        shard.with_name(shard.name + ending).unlink()


def other_shard(directory: Path) -> None:
    shard = shard_in(directory)
    rewrite(shard, shard.read_bytes() + b"\0")


def other_index(ending: str) -> Callable[[Path], None]:
    """An index that differs, as the row of its shard says too."""

    def change(directory: Path) -> None:
        index = shard_in(directory).with_name(shard_in(directory).name + ending)
        data = index.read_bytes()
        digits = data.replace(b"90\t", b"91\t") if ending == ".fai" else data[:-1] + b"\7"
        assert digits != data
        rewrite(index, digits)
        name = ending.removeprefix(".")
        edited(
            f"UPDATE shards SET {name}_sha256 = x'{sha256(digits)}', {name}_bytes = {len(digits)}"
        )(directory)

    return change


#: A query without end, as a table.
_ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT {} FROM n"

LIES: dict[str, Callable[[Path], None]] = {
    "no database": with_database(b"no database at all\n" * 1000),
    "an empty database": with_database(b""),
    "another program's": another_database,
    "a database that is cut": cut_database,
    "a database with holes": holes_in_the_database,
    "a shard more": more_shards,
    "a shard less": fewer_shards,
    "another shard": other_shard,
    "another .fai": other_index(".fai"),
    "the path of a shard": edited("UPDATE shards SET path = '2001/0101/000000/1.000000.fa.bgz'"),
    "a path outside": edited("UPDATE shards SET path = '../../../../etc/x.fa.bgz'"),
    "a path that is none": edited("UPDATE shards SET path = x'00ff'"),
    "the digest of a shard": edited("UPDATE shards SET sha256 = zeroblob(32)"),
    "the size of a shard": edited("UPDATE shards SET size_bytes = size_bytes + 1"),
    "a negative size": edited("UPDATE shards SET size_bytes = -1"),
    "a digest as text": edited("UPDATE shards SET sha256 = 'aaaaaaaabbbbbbbbccccccccdddddddd'"),
    "a digest as a number": edited("UPDATE shards SET sha256 = 7"),
    "no digest of an index": edited("UPDATE shards SET fai_sha256 = NULL"),
    "no size of an index": edited("UPDATE shards SET fai_bytes = NULL"),
    "no shards": edited("DELETE FROM shards"),
    "an offset": edited("UPDATE sequences SET offset = offset + 1 WHERE length > 0"),
    "an offset as text": edited("UPDATE sequences SET offset = 'x' WHERE length > 0"),
    "a length": edited("UPDATE sequences SET length = length + 1 WHERE length > 0"),
    "a length as text": edited("UPDATE sequences SET length = 'x' WHERE length > 0"),
    "a digest of a sequence": edited("UPDATE sequences SET digest = 'x' WHERE length = 90"),
    "sequences less": edited("DELETE FROM sequences WHERE length = 90"),
    "a dangling alias": edited("UPDATE aliases SET sequence_id = 1000 WHERE alias = 'A.1'"),
    "another archive": edited("UPDATE meta SET value = 'x' WHERE key = 'archive_id'"),
    "no archive": edited("DELETE FROM meta"),
    "a table less": edited("DROP TABLE circular"),
    "an index less": edited("DROP INDEX aliases_sequence"),
    "a batch less": edited("DELETE FROM batches"),
    "another batch": edited("UPDATE batches SET id = 7"),
    "a table that is a query": edited(
        "ALTER TABLE circular RENAME TO was_circular",
        "CREATE VIEW circular AS SELECT sequence_id, batch_id FROM was_circular",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_release_that_lies_is_refused_though_every_digest_is_right(
    publish: Callable[[str, Path], Site],
    templates: dict[str, Path],
    root: Path,
    cli: Cli,
    lie: str,
) -> None:
    site = publish("directory", templates["small"])
    remake(site.path, "r1", LIES[lie])
    done = cli("pull", site.address, "r1")
    refused(done, root)


SAYINGS: dict[str, dict[str, Any]] = {
    "another archive": {"archive_id": "x"},
    "another batch": {"batch": 2},
    "other counts": {"counts": {"sequences": 1, "aliases": 3}},
}


@pytest.mark.parametrize("saying", SAYINGS)
def test_a_manifest_that_speaks_of_another_database_is_refused(
    site: Site, root: Path, cli: Cli, saying: str
) -> None:
    retell(site.path, "r1", **SAYINGS[saying])
    refused(cli("pull", site.address, "r1"), root)


def test_digests_of_chunks_that_lie_are_refused(
    publish: Callable[[str, Path], Site], templates: dict[str, Path], root: Path, cli: Cli
) -> None:
    """Nobody could read it in place, and ``verify --full`` would call it damaged."""
    site = publish("directory", templates["small"])
    chunks = site.file("r1/chunks.sha256").read_bytes()
    wrong = bytes(len(chunks))
    rewrite(site.file("r1/chunks.sha256"), wrong)
    files = manifest_of(site.path, "r1")["files"]
    retell(
        site.path,
        "r1",
        files=[
            file | ({"sha256": sha256(wrong)} if file["path"] == "chunks.sha256" else {})
            for file in files
        ],
    )
    refused(cli("pull", site.address, "r1"), root, "chunks.sha256")


def test_a_release_of_the_future_does_not_spoil_what_comes_after_it(
    publish: Callable[[str, Path], Site], templates: dict[str, Path], root: Path, cli: Cli
) -> None:
    """A snapshot is later than all before it; but the calendar ends."""
    site = publish("directory", templates["small"])
    moment = "8999-12-31T23:59:59.999999Z"
    retell(site.path, "r1", created=moment)
    relist(site.path, "r1", created=moment)
    done = cli("pull", site.address, "r1")
    assert done.code in (0, 9), done
    load(root, {"X.1": "ACGT"})
    assert cli("snapshot", "mine").code == 0
    assert "mine" in names_in(root)
    assert verify(Instance(root, "mine"), full=True).findings == []
    assert cli("--instance", "mine", "get", "t:X.1").code == 0
    assert '"name": "mine"' in cli("--json", "snapshots").out


def test_a_release_with_a_query_without_end_is_refused_in_time(
    publish: Callable[[str, Path], Site], templates: dict[str, Path], root: Path
) -> None:
    site = publish("directory", templates["small"])
    remake(
        site.path,
        "r1",
        edited(
            "ALTER TABLE circular RENAME TO was_circular",
            "CREATE VIEW circular AS " + _ENDLESS.format("x AS sequence_id, x AS batch_id"),
            "ALTER TABLE reclaimed RENAME TO was_reclaimed",
            "CREATE VIEW reclaimed AS "
            + _ENDLESS.format(
                "x AS id, x AS digest, x AS length, x AS batch_id, x AS reclaimed_by"
            ),
        ),
    )
    command = [sys.executable, "-m", "seqarchive", "--root", str(root), "pull", site.address, "r1"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False, text=True)
    refused(Result(done.returncode, done.stdout, done.stderr), root)


def test_a_database_of_a_newer_version_is_said_to_be_one(site: Site, root: Path, cli: Cli) -> None:
    remake(site.path, "r1", edited(f"PRAGMA user_version = {schema.VERSION + 1}"))
    refused(cli("pull", site.address, "r1"), root, "newer", codes=(9, 10))


def test_what_was_refused_does_not_keep_the_right_one_from_coming(
    site: Site, root: Path, cli: Cli, templates: dict[str, Path]
) -> None:
    """The other release of this name had files that this one has not."""
    right = copied(site.path, site.path.with_name(site.path.name + "-right"))
    remake(site.path, "r1", more_shards)
    refused(cli("pull", site.address, "r1"), root)
    for name in ("r1", "releases.json"):
        shutil.rmtree(site.path / name) if name == "r1" else site.file(name).unlink()
        shutil.move(right / name, site.path / name)
    done = cli("pull", site.address, "r1")
    assert (done.code, done.err) == (0, "")
    is_complete(root, "r1", templates["small"])


def test_an_interrupted_pull_of_another_release_of_this_name_is_not_in_the_way(
    mirror: Site, root: Path, cli: Cli, tmp_path: Path, templates: dict[str, Path]
) -> None:
    other = tmp_path / "other"
    load(other, {"X.1": random_residues("X.1", 500)})
    succeed(other, "snapshot", "r1")
    path = next((other / "r1").rglob("*.fai"))
    data = path.read_bytes()
    path.parent.chmod(0o755)
    path.unlink()
    assert cli("pull", "--jobs", "1", str(other), "r1").code in (3, 9)
    assert any(root.glob(".pull-r1/sequences/**/*.fa.bgz"))
    done = cli("pull", mirror.address, "r1")
    assert (done.code, done.err) == (0, "")
    is_complete(root, "r1", templates["small"])
    assert data


# --- mirrors that change under the reader -----------------------------------------------------


def test_a_release_that_is_replaced_between_the_list_and_the_manifest(
    site: Site, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meddle() -> None:
        retell(site.path, "r1", seqarchive="another version")

    source = open_source(site.address)
    after_reading(source, "releases.json", meddle, monkeypatch)
    with pytest.raises(SourceError, match=r"r1/manifest\.json is not the one"):
        pull(root, source, "r1")
    assert visible(root) == set()


def test_a_release_that_is_replaced_between_the_manifest_and_the_files(
    site: Site, root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def meddle() -> None:
        remake(site.path, "r1", edited("UPDATE batches SET user = 'somebody'"))

    source = open_source(site.address)
    after_reading(source, "r1/manifest.json", meddle, monkeypatch)
    with pytest.raises(SourceError, match=r"aliases\.sqlite3|chunks\.sha256"):
        pull(root, source, "r1")
    assert visible(root) == set()
    other = open_source(site.address)
    assert pull(root, other, "r1").is_new
    assert verify(Instance(root, "r1"), full=True).findings == []
    assert bytes_of(root / "r1") == bytes_of(site.path / "r1")


@pytest.mark.parametrize("when", ["releases.json", "r1/manifest.json"])
def test_a_release_that_is_removed_in_the_middle(
    site: Site, root: Path, monkeypatch: pytest.MonkeyPatch, when: str, templates: dict[str, Path]
) -> None:
    source = open_source(site.address)
    after_reading(source, when, lambda: shutil.rmtree(site.path / "r1"), monkeypatch)
    with pytest.raises((SourceError, NotFound)):
        pull(root, source, "r1")
    assert visible(root) == set()
    copied(templates["small"] / "r1", site.path / "r1")
    pull(root, open_source(site.address), "r1")
    is_complete(root, "r1", templates["small"])


def after_reading(
    source: base.Source, path: str, then: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Do something once a file was read whole, before anything else is."""
    read = source.read

    def meddling(asked: str, max_bytes: int) -> bytes:
        found = read(asked, max_bytes)
        if asked == path:
            then()
        return found

    monkeypatch.setattr(source, "read", meddling)


# --- a web server in trouble ------------------------------------------------------------------


def times(n: int, change: Callable[[Answer], None], *endings: str) -> Callable[[Answer], None]:
    """A fault that meets each path, or those that end so, as many times."""
    met: dict[str, int] = {}

    def fault(answer: Answer) -> None:
        if not answer.path.endswith(endings or ("",)) or answer.status not in (200, 206):
            return
        met[answer.path] = met.get(answer.path, 0) + 1
        if met[answer.path] <= n:
            change(answer)

    return fault


def status(code: int, **headers: str) -> Callable[[Answer], None]:
    def change(answer: Answer) -> None:
        answer.status, answer.body = code, b"an error page"
        answer.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    return change


def server_of(site: Site) -> FileServer:
    assert site.server is not None
    return site.server


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_errors_that_pass_are_tried_again(
    mirror: Site, root: Path, cli: Cli, templates: dict[str, Path], code: int
) -> None:
    server_of(mirror).fault = times(2, status(code))
    assert cli("pull", mirror.address, "r1").code == 0
    is_complete(root, "r1", templates["small"])
    for path in (*mirror.files("r1"), "releases.json", "r1/manifest.json"):
        assert mirror.asked.count(path) == 3


@pytest.mark.parametrize("code", [400, 401, 403, 410, 451, 501, 304, 204])
@pytest.mark.parametrize("ending", ["releases.json", "manifest.json", ".fai"])
def test_errors_that_stay_are_not(
    mirror: Site, root: Path, cli: Cli, code: int, ending: str
) -> None:
    server_of(mirror).fault = times(1000, status(code), ending)
    path = "releases.json" if "json" in ending else mirror.one("r1", ending)
    done = cli("pull", mirror.address, "r1")
    refused(done, root, codes=(3, 9) if code == 410 else (9,))
    assert done.err.count("http://") == 1
    asked = [one for one in mirror.asked if one.endswith(ending)]
    assert len(asked) == len(set(asked)), "it was tried again"
    assert path


def test_an_error_that_does_not_pass(mirror: Site, root: Path, cli: Cli) -> None:
    server_of(mirror).fault = times(1000, status(503))
    refused(cli("pull", mirror.address, "r1"), root, "releases.json", "503")
    assert mirror.asked == ["releases.json"] * 5
    server_of(mirror).reset()
    server_of(mirror).fault = times(1000, status(503), ".fai")
    refused(cli("pull", mirror.address, "r1"), root, mirror.one("r1", ".fai"), "503")
    assert mirror.asked.count(mirror.one("r1", ".fai")) == 5


def test_a_server_that_asks_for_time_gets_it(mirror: Site, cli: Cli) -> None:
    server_of(mirror).fault = times(1, status(503, Retry_After="1"), "releases.json")
    began = time.monotonic()
    assert cli("pull", "--list", mirror.address).code == 0
    assert 0.99 < time.monotonic() - began < 30  # a minute is what it would wait at most
    assert mirror.asked == ["releases.json"] * 2


def test_a_server_that_asks_for_time_until_then_gets_it(mirror: Site) -> None:
    moment = datetime.now(timezone.utc) + timedelta(seconds=30)
    value = format_datetime(moment, True)
    server_of(mirror).fault = times(1, status(503, Retry_After=value))
    with closing(open_source(mirror.address)) as source, pytest.raises(Interrupted) as caught:
        source.read("releases.json", 1 << 20)
    assert 20 < caught.value.retry_after <= 30


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0), ("17", 17), ("60", 60), ("100000000000", 60), ("-5", 0), ("soon", 0), ("1.5", 0),
        ("", 0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("Fri, 31 Dec 9999 23:59:59 GMT", 60),
        ("Thu, 01 Jan 1970 00:00:00", 0), ("\xb2", 0), ("9" * 4000, 60),
        ("Fri, 99 Foo 99999 99:99:99 +9999", 0), (f"Mon, 01 Jan {'9' * 20} 00:00:00 GMT", 0),
    ],
)  # fmt: skip
def test_how_long_a_server_may_ask_for(mirror: Site, value: str, expected: float) -> None:
    server_of(mirror).fault = times(1, status(503, Retry_After=value))
    with closing(open_source(mirror.address)) as source, pytest.raises(Interrupted) as caught:
        source.read("releases.json", 1 << 20)
    assert caught.value.retry_after == expected


def test_a_server_that_is_not_there(root: Path, cli: Cli) -> None:
    with reserved_port() as port:
        done = cli("pull", f"http://127.0.0.1:{port}/x")
    refused(done, root, f"http://127.0.0.1:{port}/x/releases.json", "refused")


def test_a_server_that_comes_back(
    templates: dict[str, Path], root: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the third attempt, however long it takes to come."""
    pauses: list[float] = []
    with reserved_port() as port, ExitStack() as stack:

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 2:
                stack.enter_context(serving_at(port, templates["small"]))

        monkeypatch.setattr(base.persistently, "__defaults__", ((0.2, 0.2, 0.2, 0.2), pause))
        done = cli("pull", f"http://127.0.0.1:{port}", "r1")
    assert done.code == 0, done
    assert pauses == [0.2, 0.2]
    is_complete(root, "r1", templates["small"])


@contextmanager
def serving_at(port: int, path: Path) -> Iterator[None]:
    """A web server at a certain port: that of Python itself."""
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    process = subprocess.Popen(
        command, cwd=path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until_listening(port, process)
        yield
    finally:
        process.terminate()
        process.wait()


def cut_at(k: int, *, reset: bool = False) -> Callable[[Answer], None]:
    def change(answer: Answer) -> None:
        if k < len(answer.body):
            answer.cut, answer.reset = k, reset

    return change


@pytest.mark.parametrize("k", [0, 1, 100, 5_000, 70_000])
def test_every_file_that_breaks_off_goes_on_where_it_was(
    mirror: Site, root: Path, cli: Cli, templates: dict[str, Path], k: int
) -> None:
    server_of(mirror).fault = times(1, cut_at(k))
    report = report_of(cli("--json", "pull", mirror.address, "r1"))
    is_complete(root, "r1", templates["small"])
    ranges: dict[str, list[str | None]] = {}
    for one in server_of(mirror).asked:
        ranges.setdefault(one.path.lstrip("/"), []).append(one.range)
    for path, size in mirror.files("r1").items():
        again = [None if k == 0 else f"bytes={k}-"] if k < size else []
        assert ranges[path] == [None, *again], path
    for path in ("releases.json", "r1/manifest.json"):
        n_times = 2 if k < mirror.file(path).stat().st_size else 1
        assert ranges[path] == [None] * n_times
    assert report["bytes_fetched"] == size_of(mirror.path, "r1")


def test_what_breaks_off_each_time_says_so_once(mirror: Site, root: Path, cli: Cli) -> None:
    server_of(mirror).fault = times(100, cut_at(100), "releases.json")
    size = mirror.file("releases.json").stat().st_size
    done = cli("pull", mirror.address)
    refused(done, root)
    assert done.err.endswith(f"/releases.json: 100 bytes read, {size - 100} more expected\n")


@pytest.mark.parametrize("k", [1, 1_500_000])
def test_a_connection_that_is_reset_loses_little(
    large: Site, root: Path, cli: Cli, templates: dict[str, Path], k: int
) -> None:
    big = max(large.files("r1"), key=lambda path: large.files("r1")[path])
    server_of(large).fault = times(1, cut_at(k, reset=True), big)
    assert cli("pull", large.address, "r1").code == 0
    is_complete(root, "r1", templates["large"])
    (first, second) = (one.range for one in server_of(large).asked if one.path == f"/{big}")
    assert first is None
    begin = 0 if second is None else int(second.removeprefix("bytes=").removesuffix("-"))
    assert begin <= k
    assert begin >= k - (256 << 10), "more was lost than what is read at once"


def test_many_breaks_are_no_reason_to_give_up_while_it_goes_on(
    large: Site, root: Path, cli: Cli, templates: dict[str, Path]
) -> None:
    server_of(large).fault = times(1000, cut_at(150_000))
    report = report_of(cli("--json", "pull", large.address, "r1"))
    is_complete(root, "r1", templates["large"])
    assert report["bytes_fetched"] == size_of(large.path, "r1")


def test_a_server_that_gives_next_to_nothing_is_given_up(
    mirror: Site, root: Path, cli: Cli, templates: dict[str, Path]
) -> None:
    """One byte a connection would take years."""
    path = mirror.one("r1", "aliases.sqlite3")
    server_of(mirror).fault = times(400, cut_at(1), path)
    refused(cli("pull", mirror.address, "r1"), root, path)
    assert mirror.asked.count(path) < 100
    server_of(mirror).fault = None
    assert cli("pull", mirror.address, "r1").code == 0
    is_complete(root, "r1", templates["small"])


@pytest.mark.parametrize("cuts", [(50_000, 100_000), (10_000, 170_000, 90_000)])
def test_a_server_without_ranges_that_never_gets_further_is_given_up(
    mirror: Site, root: Path, cli: Cli, cuts: tuple[int, ...]
) -> None:
    server_of(mirror).knows_ranges = False
    path = mirror.one("r1", "aliases.sqlite3")
    assert max(cuts) < mirror.files("r1")[path]
    lengths = iter(cuts * 100)  # now less, now more, and never all

    def fault(answer: Answer) -> None:
        if answer.path.endswith(path):
            answer.cut = next(lengths, None)

    server_of(mirror).fault = fault
    refused(cli("pull", mirror.address, "r1"), root, path)
    assert mirror.asked.count(path) < 50


@pytest.mark.parametrize("k", [1, 5_000, 70_000])
def test_a_server_without_ranges_gives_it_all_again(
    mirror: Site, root: Path, cli: Cli, templates: dict[str, Path], k: int
) -> None:
    server_of(mirror).knows_ranges = False
    server_of(mirror).fault = times(1, cut_at(k))
    assert cli("pull", mirror.address, "r1").code == 0
    is_complete(root, "r1", templates["small"])
    path = mirror.one("r1", "aliases.sqlite3")
    asked = [one for one in server_of(mirror).asked if one.path.endswith(path)]
    assert [one.range for one in asked] == [None, f"bytes={k}-"]
    assert asked[1].n_bytes == mirror.files("r1")[path]


def headers(**values: str) -> Callable[[Answer], None]:
    def change(answer: Answer) -> None:
        answer.headers |= {name.replace("_", "-"): value for name, value in values.items()}

    return change


@pytest.mark.parametrize("value", ["\xb2", "9" * 5000, "-1", ""])
def test_a_length_that_is_no_number_is_none(
    mirror: Site, root: Path, cli: Cli, templates: dict[str, Path], value: str
) -> None:
    server_of(mirror).fault = headers(Content_Length=value, Connection="close")
    assert cli("pull", mirror.address, "r1").code == 0
    is_complete(root, "r1", templates["small"])


def said_range(answer: Answer) -> None:
    """Another range than the one that comes, which is the one that was asked for."""
    if answer.status == 206:
        size = answer.headers["Content-Range"].partition("/")[2]
        answer.headers["Content-Range"] = f"bytes 0-{len(answer.body) - 1}/{size}"


def no_range(answer: Answer) -> None:
    if answer.status == 206:
        answer.headers["Content-Range"] = ""


def strange_range(answer: Answer) -> None:
    if answer.status == 206:
        answer.headers["Content-Range"] = "bytes */*"


def wrong_range(answer: Answer) -> None:
    """The range that was asked for, and bytes from elsewhere."""
    if answer.status == 206:
        answer.body = bytes(len(answer.body))


def whole_as_part(answer: Answer) -> None:
    if answer.status == 200:
        answer.status = 206


def part_as_whole(answer: Answer) -> None:
    if answer.status == 206:
        answer.status = 200
        del answer.headers["Content-Range"]


def longer(answer: Answer) -> None:
    answer.body += b"more"
    answer.headers["Content-Length"] = str(len(answer.body))


def shorter(answer: Answer) -> None:
    answer.body = answer.body[:-2]
    answer.headers["Content-Length"] = str(len(answer.body))


def breaks_off(answer: Answer) -> None:
    """Fewer bytes than the right length that is said."""
    if answer.status == 200:
        answer.cut = len(answer.body) // 2


def without_length(answer: Answer) -> None:
    answer.headers |= {"Content-Length": "", "Connection": "close"}


WRONG_ANSWERS: dict[str, tuple[bool, Callable[[Answer], None]]] = {
    "another range": (False, said_range),
    "a range without saying so": (False, no_range),
    "a range that is none": (False, strange_range),
    "bytes of another range": (False, wrong_range),
    "a part that says it is the whole": (False, part_as_whole),
    "the whole that says it is a part": (False, whole_as_part),
    "a body too long": (False, longer),
    "a body too short": (False, shorter),
    "compressed": (False, headers(Content_Encoding="gzip")),
    "compressed in another way": (False, headers(Content_Encoding="br, zstd")),
    "no length": (True, without_length),
    "a body that breaks off": (True, breaks_off),
    "a type that means nothing": (True, headers(Content_Type="text/html; charset=utf-16")),
}


@pytest.mark.parametrize("answer", WRONG_ANSWERS)
def test_wrong_answers_never_lead_to_wrong_bytes(
    mirror: Site, root: Path, cli: Cli, templates: dict[str, Path], answer: str
) -> None:
    is_harmless, change = WRONG_ANSWERS[answer]
    path = mirror.one("r1", ".fa.bgz")
    once = times(1, cut_at(1000), path)

    def fault(one: Answer) -> None:
        if one.path.endswith(path):
            change(one)
            if one.cut is None and one.status in (200, 206):
                once(one)

    server_of(mirror).fault = fault
    done = cli("pull", mirror.address, "r1")
    if is_harmless:
        assert (done.code, done.err) == (0, "")
    elif done.code:
        refused(done, root, path)
    if done.code:
        server_of(mirror).fault = None
        assert cli("pull", mirror.address, "r1").code == 0
    else:
        assert (
            answer in ("bytes of another range", "a part that says it is the whole") or is_harmless
        )
    is_complete(root, "r1", templates["small"])


@pytest.mark.parametrize("answer", ["compressed", "compressed in another way", "a body too short"])
def test_wrong_answers_about_what_there_is(mirror: Site, root: Path, cli: Cli, answer: str) -> None:
    for ending in ("releases.json", "manifest.json"):
        server_of(mirror).fault = times(1000, WRONG_ANSWERS[answer][1], ending)
        refused(cli("pull", mirror.address, "r1"), root, ending)


def test_a_file_that_is_cut_on_the_server_goes_on_when_it_is_whole_again(
    mirror: Site, root: Path, cli: Cli, templates: dict[str, Path]
) -> None:
    path = mirror.one("r1", ".fa.bgz")
    data = mirror.file(path).read_bytes()
    mirror.replace(path, data[:3000])
    refused(cli("pull", mirror.address, "r1"), root, path)
    mirror.replace(path, data)
    server_of(mirror).reset()
    assert cli("pull", mirror.address, "r1").code == 0
    is_complete(root, "r1", templates["small"])
    (range_,) = (one.range for one in server_of(mirror).asked if one.path.endswith(path))
    assert range_ == "bytes=3000-"


def test_what_was_begun_wrongly_is_begun_again(
    mirror: Site, root: Path, cli: Cli, templates: dict[str, Path]
) -> None:
    """The beginning of a file is from a mirror that had another one."""
    path = mirror.one("r1", ".fa.bgz")
    data = mirror.file(path).read_bytes()
    mirror.replace(path, bytes(3000))
    refused(cli("pull", mirror.address, "r1"), root, path)
    mirror.replace(path, data)
    assert cli("pull", mirror.address, "r1").code == 0
    is_complete(root, "r1", templates["small"])


# Redirects.


def redirected(target: str, code: int = 302) -> Callable[[Answer], None]:
    """To where a path is, below another one."""

    def change(answer: Answer) -> None:
        if not answer.path.startswith("/elsewhere"):
            answer.status, answer.body = code, b"it is elsewhere"
            answer.headers = {"Location": target.replace("{}", answer.path)}

    return change


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_followed_with_what_was_asked(
    tmp_path: Path, templates: dict[str, Path], root: Path, cli: Cli, code: int
) -> None:
    (tmp_path / "served").mkdir()
    copied(templates["small"], tmp_path / "served" / "elsewhere")
    with serving(tmp_path / "served") as server:
        site = Site("http", tmp_path / "served" / "elsewhere", server.url, server)
        breaking = times(1, cut_at(1000), ".fa.bgz")

        def fault(answer: Answer) -> None:
            redirected("/elsewhere{}", code)(answer)
            breaking(answer)

        server.fault = fault
        assert cli("pull", server.url, "r1").code == 0
        is_complete(root, "r1", templates["small"])
        path = site.one("r1", ".fa.bgz")
        asked = [(one.path, one.range) for one in server.asked if one.path.endswith(path)]
        assert asked == [
            (f"/{path}", None),
            (f"/elsewhere/{path}", None),
            (f"/{path}", "bytes=1000-"),
            (f"/elsewhere/{path}", "bytes=1000-"),
        ]


@pytest.mark.parametrize(
    "target",
    ["file:///etc/passwd", "ftp://127.0.0.1/x", "{}", "http://[", "http://a..b/", "//"],
)
@pytest.mark.parametrize("ending", ["releases.json", ".fai"])
def test_redirects_elsewhere_are_refused(
    mirror: Site, root: Path, cli: Cli, target: str, ending: str
) -> None:
    server_of(mirror).fault = times(1000, redirected(target), ending)
    refused(cli("pull", mirror.address, "r1"), root, codes=(3, 9))
    gc.collect()  # a connection that nobody closed is reported here, not in another test
    for file in root.rglob("*"):
        assert not file.is_file() or b"root:" not in file.read_bytes()


def without_end(answer: Answer) -> None:
    answer.body, answer.endless = bytes(1 << 16), True


@pytest.mark.parametrize("ending", ["releases.json", "manifest.json", ".json.sig", ".sqlite3"])
def test_bodies_without_end_are_not_read_to_the_end(
    mirror: Site, root: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(published.read_if_there, "__defaults__", (1 << 20,))
    mirror.replace("r1/manifest.json.sig", b"a signature")
    answers: list[Answer] = []

    def fault(answer: Answer) -> None:
        if answer.path.endswith(ending):
            without_end(answer)
            answers.append(answer)

    server_of(mirror).fault = fault
    began = time.monotonic()
    refused(cli("pull", mirror.address, "r1"), root, ending)
    assert time.monotonic() - began < 10
    assert len(answers) == 1
    wait_until(lambda: answers[0].sent > 0)
    assert answers[0].sent < 32 << 20


def test_the_page_of_a_redirect_is_not_read_to_an_end_that_there_may_not_be(
    mirror: Site, root: Path, cli: Cli, templates: dict[str, Path]
) -> None:
    copied(templates["small"], mirror.path / "elsewhere")
    answers: list[Answer] = []

    def fault(answer: Answer) -> None:
        redirected("/elsewhere{}")(answer)
        if answer.path == "/releases.json":
            without_end(answer)
            answers.append(answer)

    server_of(mirror).fault = fault
    assert cli("pull", mirror.address, "r1").code == 0
    is_complete(root, "r1", templates["small"])
    assert len(answers) == 1
    assert answers[0].sent < 32 << 20


# Slowness.


def test_a_list_that_drips_is_given_up_in_time(
    mirror: Site, root: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "_PATIENCE", 0.2)
    monkeypatch.setattr(base.persistently, "__defaults__", ((0.01,), time.sleep))

    def fault(answer: Answer) -> None:
        answer.body = answer.body.ljust(200 * 64)
        answer.headers["Content-Length"] = str(len(answer.body))
        answer.pause = 0.2  # forty seconds in all

    server_of(mirror).fault = fault
    began = time.monotonic()
    refused(cli("pull", mirror.address, "r1"), root, "releases.json", "slow")
    assert time.monotonic() - began < 30


def test_a_file_that_drips_is_given_up_in_time(
    mirror: Site, root: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, templates: dict[str, Path]
) -> None:
    monkeypatch.setattr(base, "_PATIENCE", 0.2)
    monkeypatch.setattr(base, "_SLOWEST", 100_000)
    monkeypatch.setattr(pulling, "DELAYS", (0.01,))
    path = mirror.one("r1", ".fa.bgz")
    assert mirror.files("r1")[path] > 150 * 64

    def drip(answer: Answer) -> None:
        answer.pause = 0.25  # for more than half a minute

    began = time.monotonic()
    server_of(mirror).fault = times(3, drip, path)
    refused(cli("pull", mirror.address, "r1"), root, path, "slow")
    assert time.monotonic() - began < 30
    server_of(mirror).fault = None
    assert cli("pull", mirror.address, "r1").code == 0
    is_complete(root, "r1", templates["small"])


def test_a_server_that_never_answers(root: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_TIMEOUTS", (0.1, 0.1))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        refused(cli("pull", address), root, f"{address}/releases.json", "timed out")
        assert 0.4 < time.monotonic() - began < 30  # it was asked five times


def test_a_server_that_stops_in_the_middle(
    mirror: Site, root: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, templates: dict[str, Path]
) -> None:
    monkeypatch.setattr(http, "_TIMEOUTS", (0.2, 0.2))
    path = mirror.one("r1", ".fa.bgz")

    def stop(answer: Answer) -> None:
        answer.pause = 1.0  # after 64 bytes

    server_of(mirror).fault = times(1, stop, path)
    assert cli("pull", mirror.address, "r1").code == 0
    is_complete(root, "r1", templates["small"])
    (_, again) = (one.range for one in server_of(mirror).asked if one.path == f"/{path}")
    assert again in (None, "bytes=64-")


# A bucket in trouble: for who only reads, any web server is one.


@pytest.fixture
def plain(
    tmp_path: Path, templates: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """The releases in a bucket that is on a web server, which can be made to fail."""
    (tmp_path / "buckets").mkdir()
    path = copied(templates["small"], tmp_path / "buckets" / "mirror")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "whatever")
    with serving(path.parent) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield Site("s3", path, "s3://mirror", server)


@pytest.mark.parametrize("knows_ranges", [True, False])
@pytest.mark.parametrize("k", [1, 5_000])
def test_a_bucket_that_breaks_off_goes_on_where_it_was(
    plain: Site, root: Path, cli: Cli, templates: dict[str, Path], k: int, knows_ranges: bool
) -> None:
    server_of(plain).knows_ranges = knows_ranges
    path = plain.one("r1", "aliases.sqlite3")
    server_of(plain).fault = times(1, cut_at(k), path)
    assert cli("pull", plain.address, "r1").code == 0
    is_complete(root, "r1", templates["small"])
    asked = [one.range for one in server_of(plain).asked if one.path == f"/mirror/{path}"]
    assert asked == [None, f"bytes={k}-"]


@pytest.mark.parametrize("answer", [said_range, wrong_range, part_as_whole, longer, shorter])
def test_wrong_answers_of_a_bucket_never_lead_to_wrong_bytes(
    plain: Site,
    root: Path,
    cli: Cli,
    templates: dict[str, Path],
    answer: Callable[[Answer], None],
) -> None:
    path = plain.one("r1", ".fa.bgz")
    once = times(1, cut_at(1000), path)

    def fault(one: Answer) -> None:
        if one.path.endswith(path):
            answer(one)
            once(one)

    server_of(plain).fault = fault
    done = cli("pull", plain.address, "r1")
    if done.code:
        refused(done, root, path)
        server_of(plain).fault = None
        assert cli("pull", plain.address, "r1").code == 0
    is_complete(root, "r1", templates["small"])


def in_chunks(answer: Answer) -> None:
    answer.headers |= {"Transfer-Encoding": "chunked", "Content-Length": ""}
    answer.body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(answer.body), answer.body)


@pytest.mark.parametrize(
    "answer",
    [
        in_chunks,
        headers(Last_Modified="garbage"),
        headers(Last_Modified="9" * 23),
        headers(Content_Length="abc", Connection="close"),
        headers(x_amz_mp_parts_count="garbage"),
        redirected("http://127.0.0.1:1{}", 301),
        redirected("http://127.0.0.1:1{}", 307),
        redirected("{}", 301),
    ],
)
def test_answers_of_a_bucket_that_make_no_sense_are_one_clear_line(
    plain: Site, root: Path, cli: Cli, answer: Callable[[Answer], None]
) -> None:
    server_of(plain).fault = answer
    refused(cli("pull", plain.address, "r1"), root, "s3://mirror/")
    done = cli("--root", plain.address, "get", "t:A.1")
    assert done.code == 9, done
    is_one_line(done, "s3://mirror/")


@pytest.mark.parametrize("value", ["\xb2", "9" * 5000, "*"])
def test_a_size_in_a_range_of_a_bucket_that_is_no_number_is_none(
    plain: Site, cli: Cli, value: str
) -> None:
    def fault(answer: Answer) -> None:
        said, slash, _ = answer.headers.get("Content-Range", "").partition("/")
        answer.headers["Content-Range"] = said + slash + (value if slash else "")

    server_of(plain).fault = fault
    done = cli("--root", f"{plain.address}/r1", "get", "t:A.1")
    assert (done.code, done.out, done.err) == (0, FIRST["A.1"] + "\n", "")


@pytest.mark.parametrize("missing", ["Key", "Size"])
def test_a_list_of_a_bucket_that_lacks_something_is_an_error(plain: Site, missing: str) -> None:
    right = {"Key": "a", "Size": "7"}

    def fault(answer: Answer) -> None:
        said = "".join(f"<{name}>{right[name]}</{name}>" for name in right if name != missing)
        text = f"<ListBucketResult><Contents>{said}</Contents></ListBucketResult>"
        answer.status, answer.headers, answer.body = 200, {}, text.encode()

    server_of(plain).fault = fault
    with closing(open_bucket(plain.address)) as found:
        with pytest.raises(SourceError, match=f"{plain.address}: .* {missing}"):
            list(found.sizes())
        right["Other"] = "x"
        missing = "Other"
        assert list(found.sizes()) == [("a", 7)]


@pytest.mark.parametrize("ending", ["releases.json", ".fa.bgz"])
def test_a_bucket_that_drips_is_given_up_in_time(
    plain: Site, root: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(base, "_PATIENCE", 0.2)
    monkeypatch.setattr(base, "_SLOWEST", 100_000)
    monkeypatch.setattr(pulling, "DELAYS", (0.01,))
    monkeypatch.setattr(base.persistently, "__defaults__", ((0.01,), time.sleep))

    def drip(answer: Answer) -> None:
        answer.body = answer.body.ljust(200 * 64)
        answer.headers["Content-Length"] = str(len(answer.body))
        answer.pause = 0.2  # for forty seconds, or more

    server_of(plain).fault = times(3, drip, ending)
    began = time.monotonic()
    refused(cli("pull", plain.address, "r1"), root, ending, "slow")
    assert time.monotonic() - began < 30


def test_a_list_in_a_bucket_without_end_is_not_read_to_the_end(
    plain: Site, root: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published.read_if_there, "__defaults__", (1 << 20,))
    answers: list[Answer] = []

    def fault(answer: Answer) -> None:
        without_end(answer)
        answers.append(answer)

    server_of(plain).fault = fault
    refused(cli("pull", plain.address, "r1"), root, "releases.json", "more than")
    assert len(answers) == 1
    assert answers[0].sent < 32 << 20


# HTTPS.


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 127.0.0.1, signed by itself; its key is in the same file."""
    return certificate_in(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def secure(certificate: Path, templates: dict[str, Path]) -> Iterator[FileServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(templates["small"], tls=context) as server:
        yield server


def test_over_https_and_never_from_there_to_what_anybody_can_change(
    secure: FileServer,
    certificate: Path,
    mirror: Site,
    root: Path,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    templates: dict[str, Path],
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    secure.fault = times(1000, redirected(mirror.address + "{}"), ".fai")
    refused(cli("pull", secure.url, "r1"), root, "redirect", secure.url)
    assert server_of(mirror).asked == []
    secure.fault = None
    assert cli("pull", secure.url, "r1").code == 0
    is_complete(root, "r1", templates["small"])
    server_of(mirror).fault = redirected(secure.url + "{}")  # that way it may go
    assert cli("pull", mirror.address, "r2").code == 0
    is_complete(root, "r2", templates["small"])


def test_a_certificate_that_nobody_trusts(secure: FileServer, root: Path, cli: Cli) -> None:
    refused(cli("pull", secure.url, "r1"), root, secure.url, "certificate")
    assert secure.asked == []


# What a server need not have, and what must not be shown.


def test_a_server_that_denies_what_it_has_not(
    mirror: Site, root: Path, cli: Cli, templates: dict[str, Path]
) -> None:
    """A public bucket whose objects nobody may list says 403 of one that is not there."""

    def fault(answer: Answer) -> None:
        if answer.status == 404:
            answer.status = 403

    server_of(mirror).fault = fault
    done = cli("pull", mirror.address, "r1")
    assert (done.code, done.err) == (0, "")
    is_complete(root, "r1", templates["small"])


def test_a_public_bucket_whose_objects_nobody_may_list(
    plain: Site, root: Path, cli: Cli, templates: dict[str, Path]
) -> None:
    """Amazon says AccessDenied of an object that is not there."""

    def fault(answer: Answer) -> None:
        if answer.status == 404:
            answer.status, answer.body = 403, b"<Error><Code>AccessDenied</Code></Error>"

    server_of(plain).fault = fault
    done = cli("pull", plain.address, "r1")
    assert (done.code, done.err) == (0, "")
    is_complete(root, "r1", templates["small"])
    for address in (plain.address, f"{plain.address}/r1"):
        done = cli("--root", address, "get", "t:A.1")
        assert (done.code, done.err) == (0, "")
    refused(cli("pull", f"{plain.address}/nothing"), root / "none", "AccessDenied")


SECRET = "s3cr-t"


@pytest.mark.parametrize(
    "address",
    [
        "http://user:{}@127.0.0.1:1/x", "http://user:{}@/x", "http://user:{}#x@127.0.0.1:1/",
        "http://user:{}?x@127.0.0.1:1/", "http://user:{}@127.0.0.1:port/",
        "http://user:{}/x@127.0.0.1:1/", "http://user:x/{}@127.0.0.1:1/",
        "http://user:{}@a..b/", "http://user:{}@[::1/", "http://user:{}@127.0.0.1:99999/",
        "http://user:{}@127.0.0.1:1:2/", "ftp://user:{}@127.0.0.1/", "file://user:{}@host/x",
        "http://user:{}@host name/", "https://user:{}@127.0.0.1:1/x", "http://user:{}@\x01/",
        "http://{}@127.0.0.1:1/x",
    ],
)  # fmt: skip
@pytest.mark.parametrize("verb", ["pull", "push", "list", "root"])
def test_a_password_in_an_address_is_never_shown(
    root: Path, cli: Cli, templates: dict[str, Path], address: str, verb: str
) -> None:
    url = address.format(SECRET)
    if verb == "push":
        done = cli("--root", str(templates["small"]), "-v", "push", url)
    elif verb == "root":
        done = cli("--root", url, "-v", "pull", str(templates["small"]), "r1")
        if "://" in url and url.partition("://")[0] in ("ftp", "file"):
            shutil.rmtree(url.partition("://")[0] + ":", ignore_errors=True)
            return  # a directory of a strange name
    else:
        done = cli("-v", "pull", *(["--list"] if verb == "list" else []), url)
    assert done.code in (2, 3, 8, 9), done
    assert SECRET not in done.out + done.err


def test_a_password_is_used_and_not_shown(
    mirror: Site, root: Path, cli: Cli, templates: dict[str, Path]
) -> None:
    url = mirror.address.replace("://", f"://user:{SECRET}@")
    done = cli("-v", "pull", url, "r1")
    assert done.code == 0
    assert SECRET not in done.out + done.err
    assert "user" not in done.out
    expected = "Basic dXNlcjpzM2NyLXQ="
    assert {one.authorization for one in server_of(mirror).asked} == {expected}
    report = report_of(cli("--json", "pull", url, "r2"))
    assert report["source"] == mirror.address
    listed = report_of(cli("--json", "pull", "--list", url))
    assert listed["url"] == mirror.address
    server_of(mirror).fault = times(1000, status(401))
    done = cli("-v", "pull", url, "r2")
    assert done.code == 9
    assert SECRET not in done.out + done.err


@pytest.mark.parametrize("is_absolute", [False, True])
def test_a_password_goes_along_to_another_place_on_the_same_server(
    tmp_path: Path, templates: dict[str, Path], root: Path, cli: Cli, is_absolute: bool
) -> None:
    (tmp_path / "served").mkdir()
    copied(templates["small"], tmp_path / "served" / "elsewhere")
    with serving(tmp_path / "served") as server:
        server.fault = redirected((server.url if is_absolute else "") + "/elsewhere{}")
        done = cli("pull", server.url.replace("://", f"://user:{SECRET}@"), "r1")
        assert (done.code, done.err) == (0, "")
        assert {one.authorization for one in server.asked} == {"Basic dXNlcjpzM2NyLXQ="}


def test_a_password_is_not_given_to_another_server(
    mirror: Site, tmp_path: Path, templates: dict[str, Path], cli: Cli
) -> None:
    with serving(templates["small"]) as other:
        server_of(mirror).fault = redirected(other.url.replace("127.0.0.1", "localhost") + "{}")
        url = mirror.address.replace("://", f"://user:{SECRET}@")
        assert cli("pull", url, "r1").code == 0
        assert {one.authorization for one in other.asked} == {None}


@pytest.mark.parametrize(
    "address",
    ["http://[::1", "http://", "http:///x", "s3://", "s3://[", "s3:///x", "file://[", "http://a..b/",
     "http://" + "a" * 70 + ".b/", "file://host/x", "x://y", "http://h:99999/", "http://h:-1/"],
)  # fmt: skip
def test_addresses_that_are_none(root: Path, cli: Cli, bucket: Bucket, address: str) -> None:
    refused(cli("pull", address), root, codes=(2, 3, 9))


# --- interrupted ------------------------------------------------------------------------------


@dataclass
class Line:
    """A source behind a wire that can be held."""

    site: Site
    wire: Wire
    address: str
    environment: dict[str, str]
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, root: Path, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "seqarchive", "--root", str(root), *arguments]
        process = subprocess.Popen(
            command,
            env=os.environ | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.started.append(process)
        return process

    def end(self) -> None:
        """Kill what a test has left running."""
        for process in self.started:
            if process.returncode is None:
                process.kill()
                process.communicate()


@pytest.fixture(params=["http", "s3"])
def line(
    request: pytest.FixtureRequest,
    publish: Callable[[str, Path], Site],
    templates: dict[str, Path],
) -> Iterator[Line]:
    """Large releases, behind a wire that can be held."""
    site = publish(request.param, templates["large"])
    if site.kind == "http":
        port, address = urlsplit(site.address).port, ""
    else:
        port = urlsplit(os.environ["AWS_ENDPOINT_URL"]).port
        address = site.address
    assert port is not None
    with wired(port) as wire:
        line = Line(site, wire, address or wire.url, {"AWS_ENDPOINT_URL": wire.url})
        yield line
        line.end()


def gone_on(line: Line, root: Path, original: Path, at_least: int) -> None:
    """A second pull completes what the first has left, of which some bytes were there."""
    line.wire.release()
    before = line.wire.down
    process = line.start(root, "--json", "pull", line.address, "r1")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    report = json.loads(out)
    total = size_of(original, "r1")
    assert report["bytes_fetched"] <= total - at_least
    assert line.wire.down - before < total - at_least + 100_000
    is_complete(root, "r1", original)
    assert visible(root) == {"r1", "latest", "releases.json"}


def on_the_way(root: Path) -> int:
    """Bytes of unfinished files."""
    return sum(unfinished(root).values())


def unfinished(root: Path) -> dict[str, int]:
    """Sizes of unfinished files, without those that a pull just puts in their places."""
    sizes = {}
    for path in root.glob(".parts-r1/*"):
        with suppress(FileNotFoundError):
            sizes[path.name] = path.stat().st_size
    return sizes


def test_killed_in_the_middle_of_a_file_the_next_pull_goes_on_there(
    line: Line, root: Path, cli: Cli, templates: dict[str, Path]
) -> None:
    line.wire.most_down = 1_200_000
    process = line.start(root, "pull", line.address, "r1")
    assert line.wire.held.wait(60)
    wait_until(lambda: on_the_way(root) >= 512 << 10)
    process.kill()
    process.communicate()
    assert visible(root) == set()
    assert cli("--json", "snapshots").out.count('"name"') == 0
    gone_on(line, root, templates["large"], 512 << 10)


def test_interrupted_by_its_user_it_goes_on_later(
    large: Site, root: Path, cli: Cli, templates: dict[str, Path]
) -> None:
    """Ctrl-C, while a server gives little at a time."""
    path = large.one("r1", ".fa.bgz")
    server_of(large).fault = times(1, lambda answer: setattr(answer, "pause", 0.001), path)
    command = [sys.executable, "-m", "seqarchive", "--root", str(root), "pull"]
    part = hashlib.sha256((templates["large"] / path).read_bytes()).hexdigest()

    def is_alone() -> bool:
        sizes = unfinished(root)
        return sizes.keys() == {part} and sizes[part] > 20_000

    with started([*command, large.address, "r1"], stderr=subprocess.PIPE) as process:
        wait_until(is_alone)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.decode().strip().startswith("seqarchive: interrupted")
    assert visible(root) == set()
    began = on_the_way(root)
    assert 20_000 < began < large.files("r1")[path]
    report = report_of(cli("--json", "pull", large.address, "r1"))
    assert report["bytes_fetched"] == large.files("r1")[path] - began
    is_complete(root, "r1", templates["large"])


def test_a_connection_that_breaks_off_goes_on(
    line: Line, root: Path, templates: dict[str, Path]
) -> None:
    line.wire.most_down, line.wire.cuts = 1_200_000, True
    process = line.start(root, "--json", "pull", "--jobs", "1", line.address, "r1")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    assert line.wire.held.is_set()
    total = size_of(templates["large"], "r1")
    assert json.loads(out)["bytes_fetched"] == total
    assert line.wire.down < total + (256 << 10) + 100_000
    is_complete(root, "r1", templates["large"])


def test_two_pulls_at_once(line: Line, root: Path, templates: dict[str, Path], cli: Cli) -> None:
    line.wire.most_down = 1_200_000
    process = line.start(root, "pull", line.address, "r1")
    assert line.wire.held.wait(60)
    for name in ("r1", "r2"):
        done = cli("pull", line.site.address, name)
        assert done.code == 7
        is_one_line(done, str(process.pid))
        assert visible(root) == set()
    line.wire.release()
    process.communicate()
    assert process.returncode == 0
    is_complete(root, "r1", templates["large"])
    assert cli("pull", line.site.address, "r2").code == 0


def test_loads_and_snapshots_go_on_while_a_release_comes(
    line: Line, root: Path, templates: dict[str, Path], cli: Cli
) -> None:
    line.wire.most_down = 1_200_000
    load(root, {"X.1": "ACGT"})
    process = line.start(root, "pull", line.address, "r1")
    assert line.wire.held.wait(60)
    load(root, {"Y.1": "GGGG"})
    succeed(root, "snapshot", "mine")
    line.wire.release()
    _, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    is_complete(root, "r1", templates["large"])
    assert set(names_in(root)) == {"mine", "r1"}
    assert os.readlink(root / "latest") == "mine"  # the newer one
    assert cli("get", "t:Y.1").out.strip() == "GGGG"


def test_a_release_comes_while_a_load_is_under_way(
    site: Site, root: Path, cli: Cli, templates: dict[str, Path]
) -> None:
    load(root, {"X.1": "ACGT"})
    command = [sys.executable, "-m", "seqarchive", "--root", str(root), "load", "-n", "t", "-"]
    with started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b">Z.1\nACG")
        process.stdin.flush()
        wait_until(lambda: bool((root / "master" / "writer.lock").read_bytes().strip()))
        assert cli("pull", site.address, "r1").code == 0
        assert process.poll() is None
        is_complete(root, "r1", templates["small"])
        process.communicate(b"TT\n")
    assert process.returncode == 0
    assert cli("get", "t:Z.1").out.strip() == "ACGTT"


def test_a_release_comes_while_a_snapshot_is_taken(
    mirror: Site, root: Path, cli: Cli, templates: dict[str, Path]
) -> None:
    load(root, {"X.1": "ACGT"})
    command = ["strace", "-f", "-qq", "-o", os.devnull, "-e", "trace=fsync",
               "-e", "inject=fsync:delay_exit=100000",
               sys.executable, "-m", "seqarchive", "--root", str(root),
               "snapshot", "mine"]  # fmt: skip
    with started(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        # On a machine that is very busy, it may be over before anybody has looked.
        wait_until(lambda: (root / ".snapshot").exists() or (root / "mine").exists())
        done = cli("pull", mirror.address, "r1")
        _, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert (done.code, done.err) == (0, "")
    is_complete(root, "r1", templates["small"])
    assert set(names_in(root)) == {"mine", "r1"}
    assert os.readlink(root / "latest") == "mine"


def test_a_release_that_was_begun_does_not_hold_up_another(
    mirror: Site, root: Path, cli: Cli, templates: dict[str, Path]
) -> None:
    server_of(mirror).fault = times(1000, status(403), ".fai")
    assert cli("pull", mirror.address, "r2").code == 9
    server_of(mirror).fault = None
    assert cli("pull", mirror.address, "r1").code == 0
    assert facts(root / "r1") == facts(templates["small"] / "r1")
    assert cli("pull", mirror.address, "r2").code == 0
    is_complete(root, "r2", templates["small"])


# --- push -------------------------------------------------------------------------------------


@pytest.fixture
def own(templates: dict[str, Path], root: Path) -> Path:
    """An archive with the releases r1 and r2."""
    return copied(templates["small"], root)


@pytest.fixture
def big(templates: dict[str, Path], root: Path) -> Path:
    """The same with large ones."""
    return copied(templates["large"], root)


@dataclass
class Shelf:
    """Where a release can be pushed to."""

    kind: str
    path: Path
    address: str


@pytest.fixture(params=["directory", "elsewhere", "s3"])
def shelf(request: pytest.FixtureRequest, place: Callable[[str], Path]) -> Iterator[Shelf]:
    """A place for releases where there is nothing yet."""
    if request.param == "elsewhere":
        with shm() as path:
            yield Shelf("directory", path / "there", str(path / "there"))
        return
    path = place(request.param)
    if request.param == "s3":
        yield Shelf("s3", path, f"s3://{path.parent.name}/{path.name}")
    else:
        yield Shelf("directory", path, str(path))


def objects(path: Path) -> dict[str, bytes]:
    """The files of a destination, but for what a lock says."""
    found = bytes_of(path) if path.exists() else {}
    return {name: data for name, data in found.items() if not name.endswith(".lock")}


def is_pushed(shelf: Shelf, names: Sequence[str], original: Path, tmp_path: Path) -> None:
    """Whoever pulls from there gets the releases as they are here, and there is nothing else."""
    listed = list_of(shelf.path)
    rows = {row["name"]: row for row in list_of(original)["releases"]}
    assert listed["releases"] == [rows[name] for name in names]
    assert listed["latest"] == names[-1]
    expected = {f"{name}/{path}" for name in names for path in bytes_of(original / name)}
    found = {path for path in objects(shelf.path) if not path.startswith("latest/")}
    assert found == {*expected, "releases.json"}
    back = tmp_path / f"back-{time.monotonic_ns()}"
    for name in names:
        succeed(back, "pull", shelf.address, name)
        assert bytes_of(back / name) == bytes_of(original / name)
        is_complete(back, name, original)


def test_a_push_gives_what_can_be_pulled(shelf: Shelf, own: Path, cli: Cli, tmp_path: Path) -> None:
    done = cli("push", shelf.address, "r1")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("r1: ")
    assert sha256((own / "r1" / "manifest.json").read_bytes()) in done.out
    is_pushed(shelf, ["r1"], own, tmp_path)
    report = report_of(cli("--json", "push", shelf.address))
    assert (report["name"], report["is_new"]) == ("r2", True)
    is_pushed(shelf, ["r1", "r2"], own, tmp_path)


def test_a_second_push_changes_nothing(shelf: Shelf, own: Path, cli: Cli) -> None:
    first = report_of(cli("--json", "push", shelf.address, "r1"))
    total = size_of(own, "r1")
    assert (first["bytes_sent"], first["bytes_there"], first["n_bytes"]) == (total, 0, total)
    before = objects(shelf.path)
    second = report_of(cli("--json", "push", shelf.address, "r1"))
    assert (second["is_new"], second["bytes_sent"], second["files_sent"]) == (False, 0, 0)
    assert second["bytes_there"] == total
    assert objects(shelf.path) == before
    assert "r1 is there already" in cli("push", shelf.address, "r1").out


def test_an_older_release_that_is_pushed_later_is_not_the_latest(
    shelf: Shelf, own: Path, cli: Cli, tmp_path: Path
) -> None:
    for name in ("r2", "r1"):
        assert cli("push", shelf.address, name).code == 0
    is_pushed(shelf, ["r1", "r2"], own, tmp_path)


def test_only_what_is_not_there_is_sent(shelf: Shelf, own: Path, cli: Cli) -> None:
    assert cli("push", shelf.address, "r1").code == 0
    report = report_of(cli("--json", "push", shelf.address, "r2"))
    shared = [
        file for file in manifest_of(own, "r2")["files"] if file in manifest_of(own, "r1")["files"]
    ]
    assert len(shared) == 3
    assert report["bytes_there"] == sum(file["bytes"] for file in shared)
    assert report["files_there"] == len(shared)
    assert report["bytes_sent"] == size_of(own, "r2") - report["bytes_there"]


def test_another_release_of_the_same_name_there_is_a_conflict(
    shelf: Shelf, own: Path, cli: Cli, tmp_path: Path
) -> None:
    assert cli("push", shelf.address, "r1").code == 0
    other = tmp_path / "other"
    load(other, {"X.1": "ACGT"})
    succeed(other, "snapshot", "r1")
    before = objects(shelf.path)
    done = cli("--root", str(other), "push", shelf.address, "r1")
    assert done.code == 4
    is_one_line(done, "r1")
    assert objects(shelf.path) == before


def test_damage_here_is_found_before_anybody_sees_it_there(
    shelf: Shelf, own: Path, cli: Cli, tmp_path: Path, templates: dict[str, Path]
) -> None:
    assert cli("push", shelf.address, "r1").code == 0
    before = list_of(shelf.path)
    (new,) = (
        path
        for path in (own / "r2").rglob("*.fa.bgz")
        if not (own / "r1" / path.relative_to(own / "r2")).exists()
    )
    for path in (new, own / "r2" / "chunks.sha256", own / "r2" / "aliases.sqlite3"):
        right = path.read_bytes()
        path.parent.chmod(0o755)
        rewrite(path, right[:-1] + bytes([right[-1] ^ 1]))
        done = cli("push", shelf.address, "r2")
        assert done.code == 6, done
        is_one_line(done, path.relative_to(own).as_posix())
        assert list_of(shelf.path) == before
        assert not (shelf.path / "r2" / "manifest.json").exists()
        rewrite(path, right)
        path.chmod(0o444)
        path.parent.chmod(0o555)
        # The next one is to meet the next damage.
        for left in (".pull-r2", ".parts-r2", "r2"):
            if (shelf.path / left).exists():
                shutil.rmtree(shelf.path / left)
    assert cli("push", shelf.address, "r2").code == 0
    is_pushed(shelf, ["r1", "r2"], templates["small"], tmp_path)


def test_a_file_here_that_is_cut_or_longer_or_gone_is_damage_at_once(
    shelf: Shelf, own: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "DELAYS", (60.0,))  # what is cut here stays so
    (path,) = (own / "r1").rglob("*.fa.bgz")
    path.parent.chmod(0o755)
    right = path.read_bytes()
    began = time.monotonic()
    for wrong in (right[:-1], right + b"x", b"", None):
        path.unlink()
        if wrong is not None:
            path.write_bytes(wrong)
        done = cli("push", shelf.address, "r1")
        assert done.code == 6, done
        is_one_line(done, path.relative_to(own).as_posix(), "seqarchive verify")
        assert not (shelf.path / "r1" / "manifest.json").exists()
        path.write_bytes(right)
    assert time.monotonic() - began < 50
    assert cli("push", shelf.address, "r1").code == 0


def test_a_manifest_that_was_changed_here_is_not_published(
    shelf: Shelf, own: Path, cli: Cli
) -> None:
    """``releases.json`` says which one it was."""
    data = (own / "r2" / "manifest.json").read_bytes()
    assert b'"seqarchive": "' in data
    (own / "r2").chmod(0o755)
    rewrite(own / "r2" / "manifest.json", data.replace(b'"seqarchive": "', b'"seqarchive": "9'))
    assert verify(Instance(own, "r2")).findings
    done = cli("push", shelf.address, "r2")
    assert done.code == 6, done
    is_one_line(done, "manifest.json")
    assert not (shelf.path / "releases.json").exists()


def test_what_cannot_be_pushed(own: Path, shelf: Shelf, cli: Cli) -> None:
    for name in ("r3", "master", "latest-but-one"):
        done = cli("push", shelf.address, name)
        assert done.code == 3, done
        is_one_line(done, name)
    for name in ("..", "a/b", ""):
        assert cli("push", shelf.address, name).code in (2, 3, 5)
    assert not shelf.path.exists()


def test_an_archive_without_snapshots_has_nothing_to_push(
    root: Path, shelf: Shelf, cli: Cli
) -> None:
    load(root, {"X.1": "ACGT"})
    done = cli("push", shelf.address)
    assert done.code == 3
    is_one_line(done, "snapshot")
    assert not shelf.path.exists()


def test_what_was_pulled_can_be_pushed(shelf: Shelf, own: Path, cli: Cli, tmp_path: Path) -> None:
    between = tmp_path / "between"
    succeed(between, "pull", str(own), "r1")
    succeed(between, "push", shelf.address)
    is_pushed(shelf, ["r1"], own, tmp_path)


def test_a_web_server_cannot_be_pushed_to(own: Path, cli: Cli, mirror: Site) -> None:
    done = cli("push", mirror.address, "r1")
    assert done.code in (2, 9)
    is_one_line(done, "push")
    assert server_of(mirror).asked == []


def test_a_release_that_is_listed_there_without_a_manifest(
    own: Path, cli: Cli, place: Callable[[str], Path]
) -> None:
    path = place("s3")
    address = f"s3://{path.parent.name}/{path.name}"
    assert cli("push", address, "r1").code == 0
    (path / "r1" / "manifest.json").unlink()
    before = objects(path)
    done = cli("push", address, "r1")
    assert done.code == 9
    is_one_line(done, "r1")
    assert objects(path) == before


def test_a_list_there_that_cannot_be_read_is_not_replaced(
    own: Path, cli: Cli, place: Callable[[str], Path]
) -> None:
    path = place("s3")
    path.mkdir()
    newer = {"format": "seqarchive-releases", "version": 2}

    def check(data: bytes) -> None:
        rewrite(path / "releases.json", data)
        done = cli("push", f"s3://{path.parent.name}/{path.name}", "r1")
        assert done.code in (9, 10), done
        is_one_line(done, "releases.json")
        assert objects(path) == {"releases.json": data}

    texts = {what: OTHER_TEXTS[what] for what in ("empty", "html", "deep")}
    each({**texts, "newer": json.dumps(newer).encode()}, check)


def test_the_scheme_of_a_bucket_may_be_in_capitals(
    own: Path, cli: Cli, bucket: Bucket, tmp_path: Path
) -> None:
    address = bucket.url("capitals")
    done = cli("push", address.replace("s3:", "S3:"), "r1")
    assert (done.code, done.err) == (0, "")
    succeed(tmp_path / "back", "pull", address, "r1")


def test_a_bucket_of_ones_own(own: Path, cli: Cli, bucket: Bucket, tmp_path: Path) -> None:
    address = bucket.url("own-bucket")
    assert cli("push", address, "r1").code == 0
    is_pushed(Shelf("s3", bucket.directory / "own-bucket", address), ["r1"], own, tmp_path)
    assert cli("push", address + "/", "r2").code == 0


def change_environment(monkeypatch: pytest.MonkeyPatch, **values: str | None) -> None:
    for name, value in values.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)


NO_ACCESS: dict[str, dict[str, str | None]] = {
    "no credentials": {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None},
    "half of them": {"AWS_SECRET_ACCESS_KEY": None},
    "wrong ones": {"AWS_SECRET_ACCESS_KEY": "wrong"},
    "no such profile": {"AWS_PROFILE": "nobody"},
    "no such endpoint": {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
    "an endpoint that is none": {"AWS_ENDPOINT_URL": "nonsense"},
}


@pytest.mark.parametrize("what", NO_ACCESS)
def test_without_access_a_bucket_is_one_clear_line(
    own: Path, cli: Cli, place: Callable[[str], Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, what: str,
) -> None:  # fmt: skip
    path = place("s3")
    address = f"s3://{path.parent.name}/{path.name}"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    change_environment(monkeypatch, **NO_ACCESS[what])
    for arguments in (("push", address, "r1"), ("pull", address)):
        done = cli(*arguments)
        assert done.code == 9, done
        is_one_line(done, "s3://")
        assert "secret" not in done.err
    assert not path.exists()


@pytest.mark.parametrize("address", ["s3://no-such-bucket/x", "s3://NO_bucket/x"])
def test_a_bucket_that_there_is_not_is_one_clear_line(
    own: Path, cli: Cli, bucket: Bucket, address: str
) -> None:
    done = cli("push", address, "r1")
    assert done.code == 9, done
    is_one_line(done, "ucket")
    done = cli("pull", address)
    assert done.code in (3, 9), done
    is_one_line(done, "s3://")


def test_a_destination_that_cannot_be_written(own: Path, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    done = cli("push", str(tmp_path / "file"), "r1")
    assert done.code in (1, 8, 9)
    is_one_line(done, str(tmp_path / "file"))
    done = cli("push", "/proc/nothing", "r1")
    assert done.code in (1, 8, 9)
    is_one_line(done, "/proc")


@pytest.mark.parametrize(
    ("module", "arguments", "code"),
    [
        ("boto3", ("pull", "s3://bucket/x"), 9),
        ("boto3", ("push", "s3://bucket/x"), 9),
        ("cryptography", ("snapshot", "--sign", __file__, "r3"), 1),
        ("cryptography", ("pull", "--key", __file__, "/nowhere"), 1),
    ],
)
def test_what_is_not_installed_is_said_to_be_missing(
    own: Path, module: str, arguments: tuple[str, ...], code: int
) -> None:
    program = (
        f"import sys; sys.modules[{module!r}] = None; "
        "from seqarchive.commands import main; main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--root", str(own), *arguments],
        capture_output=True, check=False, text=True,
    )  # fmt: skip
    assert done.returncode == code, done
    is_one_line(Result(done.returncode, done.stdout, done.stderr), module, "pip install")


# Buckets, seen from the wire.


@pytest.fixture
def wire(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """The way to the endpoint."""
    port = urlsplit(bucket.environment["AWS_ENDPOINT_URL"]).port
    assert port is not None
    with wired(port) as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.url)
        yield found


def test_shards_that_another_release_has_are_copied_there_and_not_sent(
    big: Path, cli: Cli, place: Callable[[str], Path], wire: Wire, tmp_path: Path
) -> None:
    path = place("s3")
    address = f"s3://{path.parent.name}/{path.name}"
    assert cli("push", address, "r1").code == 0
    assert wire.up > size_of(big, "r1")
    before = wire.up
    report = report_of(cli("--json", "push", address, "r2"))
    assert wire.up - before < size_of(big, "r2") // 10 + 50_000
    assert report["bytes_sent"] <= size_of(big, "r2") // 10
    is_pushed(Shelf("s3", path, address), ["r1", "r2"], big, tmp_path)


def test_shards_that_are_uploaded_in_parts(
    root: Path, cli: Cli, place: Callable[[str], Path], wire: Wire, tmp_path: Path
) -> None:
    load(root, {"BIG.1": noise(2, 15_500_000)})
    succeed(root, "snapshot", "r1")
    assert max(file["bytes"] for file in manifest_of(root, "r1")["files"]) > 8 << 20
    load(root, SECOND)
    succeed(root, "snapshot", "r2")
    path = place("s3")
    address = f"s3://{path.parent.name}/{path.name}"
    first = report_of(cli("--json", "push", address, "r1"))
    assert first["bytes_sent"] == size_of(root, "r1")
    before = wire.up
    report = report_of(cli("--json", "push", address, "r2"))
    assert report["bytes_sent"] < 1 << 20
    assert wire.up - before < 1 << 20
    is_pushed(Shelf("s3", path, address), ["r1", "r2"], root, tmp_path)


def test_the_manifest_comes_after_the_files_and_the_list_after_the_manifest(
    own: Path, cli: Cli, place: Callable[[str], Path], wire: Wire
) -> None:
    path = place("s3")
    assert cli("push", f"s3://{path.parent.name}/{path.name}", "r1").code == 0
    written = [
        target.removeprefix(f"/{path.parent.name}/{path.name}/")
        for method, target in wire.requests
        if method == "PUT"
    ]
    assert written[-2:] == ["r1/manifest.json", "releases.json"]
    files = {f"r1/{file['path']}" for file in manifest_of(own, "r1")["files"]}
    # An upload that the endpoint had trouble with is made again.
    assert set(written[:-2]) == files


STOPS = {
    "in a shard": None,
    "at the list": ("PUT", "/releases.json"),
}


@pytest.mark.parametrize("stop", STOPS)
def test_killed_while_it_pushes_readers_see_what_was_there_and_the_next_push_completes_it(
    big: Path, cli: Cli, place: Callable[[str], Path], wire: Wire, tmp_path: Path, stop: str
) -> None:
    path = place("s3")
    address = f"s3://{path.parent.name}/{path.name}"
    shelf = Shelf("s3", path, address)
    load(big, {"OTHER.1": noise(3, 800_000)})
    succeed(big, "prune", "r2")
    succeed(big, "snapshot", "r2")
    assert cli("push", address, "r1").code == 0
    before = list_of(path)
    if STOPS[stop] is None:
        wire.most_up = wire.up + 300_000
    else:
        wire.stop_at = STOPS[stop]
    command = [sys.executable, "-m", "seqarchive", "--root", str(big), "push", "--jobs", "1"]
    with started([*command, address, "r2"]):
        assert wire.held.wait(60)
    wire.release()
    assert list_of(path) == before
    assert (path / "r2" / "manifest.json").exists() == (stop == "at the list")
    listed = report_of(cli("--json", "pull", "--list", address))
    assert [row["name"] for row in listed["releases"]] == ["r1"]
    back = tmp_path / "back"
    succeed(back, "pull", address)
    is_complete(back, "r1", big)
    report = report_of(cli("--json", "push", address, "r2"))
    assert report["is_new"]
    if stop != "in a shard":
        assert report["bytes_sent"] == 0
    is_pushed(shelf, ["r1", "r2"], big, tmp_path)


@pytest.mark.parametrize("noted", [{}, {"sha256": "0" * 64}, {"Sha256": ""}])
def test_another_object_that_somebody_left_is_not_taken_for_the_file(
    own: Path, cli: Cli, place: Callable[[str], Path], tmp_path: Path, noted: dict[str, str]
) -> None:
    """Of the same length even; a push of another release of this name was interrupted, say."""
    path = place("s3")
    shard = next(file["path"] for file in manifest_of(own, "r1")["files"] if "bgz" in file["path"])
    with closing(boto3.client("s3")) as client:
        client.put_object(
            Bucket=path.parent.name,
            Key=f"{path.name}/r1/{shard}",
            Body=bytes((own / "r1" / shard).stat().st_size),
            Metadata=noted,
        )
    address = f"s3://{path.parent.name}/{path.name}"
    assert cli("push", address, "r1").code == 0
    is_pushed(Shelf("s3", path, address), ["r1"], own, tmp_path)


def test_an_endpoint_that_spells_notes_in_its_own_way_and_whose_etags_say_nothing(
    own: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``Sha256`` for ``sha256``, as servers written in Go do; an ETag is the MD5 by chance only."""
    monkeypatch.setenv("RCLONE_DIR_CACHE_TIME", "1ms")
    monkeypatch.setenv("RCLONE_ETAG_HASH", "SHA1")
    with serving_s3(tmp_path / "s3") as other:
        for name, value in other.environment.items():
            monkeypatch.setenv(name, value)
        address = other.url("mine")
        assert cli("push", address, "r1").code == 0
        report = report_of(cli("--json", "push", address, "r2"))
        is_pushed(Shelf("s3", tmp_path / "s3" / "mine", address), ["r1", "r2"], own, tmp_path)
        earlier = manifest_of(own, "r1")["files"]
        shared = [file for file in manifest_of(own, "r2")["files"] if file in earlier]
        assert report["bytes_there"] == sum(file["bytes"] for file in shared) > 0


def test_what_others_publish_in_a_bucket_stays(
    own: Path, cli: Cli, place: Callable[[str], Path], tmp_path: Path
) -> None:
    path = place("s3")
    address = f"s3://{path.parent.name}/{path.name}"
    other = tmp_path / "other"
    load(other, {"X.1": "ACGT"})
    succeed(other, "snapshot", "theirs")
    assert cli("--root", str(other), "push", address).code == 0
    there = objects(path)
    assert cli("push", address, "r1").code == 0
    assert set(names_in(path)) == {"theirs", "r1"}
    assert list_of(path)["latest"] == "theirs"  # which was taken later
    found = objects(path)
    assert {name: found[name] for name in there if name != "releases.json"} == {
        name: data for name, data in there.items() if name != "releases.json"
    }


def test_a_push_to_a_directory_that_was_interrupted_goes_on(
    big: Path, cli: Cli, tmp_path: Path, templates: dict[str, Path]
) -> None:
    """As a pull does; it is one."""
    with shm() as elsewhere:
        there = elsewhere / "there"
        command = ["strace", "-f", "-qq", "-o", os.devnull, "-e", "trace=chmod",
                   "-e", "inject=chmod:signal=SIGKILL:when=3", sys.executable, "-m", "seqarchive",
                   "--root", str(big), "push", str(there), "r1"]  # fmt: skip
        assert subprocess.run(command, check=False).returncode != 0
        assert visible(there) == set()
        assert list(there.glob(".pull-r1"))
        assert cli("push", str(there), "r1").code == 0
        is_complete(there, "r1", templates["large"])
