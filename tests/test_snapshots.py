"""Releases: a snapshot is one committed state, whole by itself, in which nothing ever changes."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import re
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from children import CHILDREN, MOVING, N_ROUNDS, REPOINTED, moved, residues_of, target, version_of
from conftest import Cli, Result
from contents import contents, random_residues, run, untidy
from helpers import (
    NOBODY,
    run_without_rights,
    shards,
    shared_directory,
    tree,
    two_users,
    wait_until,
    without_write_permission,
    write_fasta,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from traces import traced

import seqarchive
from seqarchive import schema
from seqarchive.instances import Instance
from seqarchive.manifests import Manifest
from seqarchive.pruning import kept
from seqarchive.usage import usage_of

FIRST = {"A.1": random_residues("A.1", 90), "L.1": random_residues("L.1", 60_000), "E.1": ""}
SECOND = {"B.1": random_residues("B.1", 3_000), "A.1": random_residues("another A.1", 80)}


def load(root: Path, records: dict[str, str], name: str = "t") -> None:
    """One batch with a shard of its own."""
    file = write_fasta(root.parent / f"{time.monotonic_ns()}.fa", records)
    code, err = run(root, "load", "-n", name, "--on-conflict", "replace", str(file))
    assert code == 0, err
    file.unlink()


def json_of(root: Path, *arguments: str) -> Any:
    """What a command says as JSON; it has to succeed."""
    command = [sys.executable, "-m", "seqarchive", "--root", str(root), "--json", *arguments]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def take(root: Path, *arguments: str) -> None:
    code, err = run(root, "snapshot", *arguments)
    assert (code, err) == (0, "")


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Archives to copy, which is faster than to make them again and again."""
    loaded = tmp_path_factory.mktemp("loaded") / "archive"
    load(loaded, FIRST)
    load(loaded, SECOND)
    published = copied(loaded, tmp_path_factory.mktemp("published") / "archive")
    take(published, "r1")
    load(published, {"N.1": "ACGT" * 40})
    take(published, "r2")
    return {"loaded": loaded, "published": published}


def copied(root: Path, destination: Path) -> Path:
    """A copy of a whole root, in which hard links are hard links."""
    subprocess.run(["cp", "-a", str(root), str(destination)], check=True)
    return destination


@pytest.fixture
def loaded(root: Path, templates: dict[str, Path]) -> Path:
    """An archive of two batches in two shards; an alias has moved."""
    return copied(templates["loaded"], root)


@pytest.fixture
def published(root: Path, templates: dict[str, Path]) -> Path:
    """An archive with two releases of different states."""
    return copied(templates["published"], root)


def files_of(directory: Path) -> dict[str, Path]:
    """Every file of a tree by its path there."""
    return {
        path.relative_to(directory).as_posix(): path
        for path in directory.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


def named_files(database: Path) -> set[str]:
    """The files that the database of an instance speaks of, and the database."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT path FROM shards").fetchall()
    named = {f"sequences/{path}{suffix}" for (path,) in rows for suffix in ("", ".fai", ".gzi")}
    return named | {"aliases.sqlite3"}


def manifest_of(root: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / name / "manifest.json").read_bytes())
    return found


def releases_of(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "releases.json").read_bytes())
    return found


def names_of(root: Path) -> list[str]:
    """The snapshots that ``releases.json`` lists, which are those that there are."""
    listed = [row["name"] for row in releases_of(root)["releases"]]
    found = {path.parent.name for path in root.glob("*/manifest.json") if path.parent != root}
    assert found - {"latest"} == set(listed)
    return listed


def around(root: Path) -> dict[str, bytes | None]:
    """All of a root but what a lock says, which is of no account when nobody holds it."""
    found = tree(root)
    found.pop("releases.lock", None)
    return found


def betrayal(directory: Path) -> dict[str, tuple[int, ...]]:
    """Every name with what would betray a change that left the contents as they were."""
    found: dict[str, tuple[int, ...]] = {}
    for path in (directory, *directory.rglob("*")):
        status = path.lstat()
        found[str(path)] = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode)
    return found


def open_up(directory: Path) -> None:
    """Give the owner the right to write back."""
    for path in (directory, *directory.rglob("*")):
        if not path.is_symlink():
            os.chmod(path, 0o755 if path.is_dir() else 0o644)


def du(*directories: Path) -> int:
    """What ``du`` says that the disk has allocated for all of them."""
    command = ["du", "-s", "-c", "--block-size=1", *map(str, directories)]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return int(done.stdout.splitlines()[-1].split()[0])


# --- what a snapshot is -----------------------------------------------------------------------


def test_a_snapshot_has_the_files_of_one_state_as_hard_links(loaded: Path) -> None:
    master = loaded / "master"
    orphan = shards(loaded)[0].with_name("1.000001.fa.bgz")
    shutil.copyfile(shards(loaded)[0], orphan)
    report = json_of(loaded, "snapshot", "r1")
    assert report["files"] == {"linked": 6}
    found = files_of(loaded / "r1")
    assert found.keys() == named_files(loaded / "r1" / "aliases.sqlite3") | {
        "manifest.json",
        "chunks.sha256",
    }
    assert named_files(loaded / "r1" / "aliases.sqlite3") == named_files(master / "aliases.sqlite3")
    for path, file in found.items():
        status = file.lstat()
        assert stat.S_ISREG(status.st_mode)
        if path.startswith("sequences/"):
            assert status.st_nlink == 2
            assert status.st_ino == (master / path).stat().st_ino
        else:
            assert status.st_nlink == 1
    take(loaded, "r2")
    assert all(
        file.stat().st_nlink == 3 for path, file in found.items() if path.startswith("sequences/")
    )


def test_a_snapshot_holds_the_state_that_it_was_taken_of_and_never_another(
    loaded: Path, cli: Cli
) -> None:
    before = contents(loaded)
    take(loaded, "r1")
    load(loaded, {"N.1": "ACGT" * 40, "A.1": "GATTACA"})
    assert cli("alias", "retire", "t:B.1").code == 0
    with seqarchive.connect(loaded, "r1") as archive:
        aliases = {str(alias): str(digest) for alias, digest in archive.all_aliases()}
        residues = {str(found.digest): str(found) for found in archive.sequences()}
        former = [meaning.to_batch for meaning in archive.history("t:A.1")]
        assert archive.fetch("t:A.1") == SECOND["A.1"]
    assert aliases == before.aliases
    assert residues == before.residues
    assert former == [2, None]
    assert cli("--instance", "r1", "get", "t:N.1").code == 3


def test_the_database_of_a_snapshot_is_compact_sound_and_needs_no_log(
    loaded: Path, cli: Cli
) -> None:
    with sqlite3.connect(loaded / "master" / "aliases.sqlite3") as connection:
        connection.execute("CREATE TABLE ballast AS SELECT randomblob(2000000) AS noise")
        connection.execute("DROP TABLE ballast")
    connection.close()
    take(loaded, "r1")
    database = loaded / "r1" / "aliases.sqlite3"
    assert database.read_bytes()[18:20] == b"\1\1"
    assert (loaded / "master" / "aliases.sqlite3").read_bytes()[18:20] == b"\2\2"
    assert database.stat().st_size < 1_000_000
    with closing(sqlite3.connect(f"{database.as_uri()}?immutable=1", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA freelist_count").fetchone() == (0,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert connection.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
        assert connection.execute("PRAGMA application_id").fetchone() == (0x53657141,)


def test_the_manifest_has_the_size_and_sha256_of_every_file(loaded: Path) -> None:
    take(loaded, "r1")
    began = datetime.now(timezone.utc)
    load(loaded, {"N.1": "ACGT" * 40})
    report = json_of(loaded, "snapshot", "r2")
    manifest = manifest_of(loaded, "r2")
    expected: list[dict[str, Any]] = [
        {
            "path": path,
            "bytes": len(file.read_bytes()),
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
        for path, file in sorted(files_of(loaded / "r2").items())
        if path != "manifest.json"
    ]
    assert manifest["files"] == expected
    assert len(expected) == 11
    with closing(sqlite3.connect(loaded / "r2" / "aliases.sqlite3")) as connection:
        one = connection.execute
        meta = dict(one("SELECT key, value FROM meta"))
        counted = {
            name: one(f"SELECT count(*) FROM {name}").fetchone()[0]
            for name in ("sequences", "aliases", "ended_aliases", "batches", "shards")
        }
        counted["residues"] = one("SELECT sum(length) FROM sequences").fetchone()[0]
    sizes = {row["path"]: row["bytes"] for row in expected}
    counted["shard_bytes"] = sum(sizes[path] for path in sizes if path.endswith(".fa.bgz"))
    counted["index_bytes"] = sum(sizes[path] for path in sizes if path.endswith(("fai", "gzi")))
    assert manifest["counts"] == counted
    created = datetime.fromisoformat(manifest.pop("created").replace("Z", "+00:00"))
    assert began <= created <= datetime.now(timezone.utc)
    assert {key: manifest[key] for key in manifest.keys() - {"files", "counts"}} == {
        "format": "seqarchive-snapshot",
        "version": 1,
        "name": "r2",
        "archive_id": meta["archive_id"],
        "batch": 3,
        "parent": "r1",
        "seqarchive": seqarchive.__version__,
    }
    text = (loaded / "r2" / "manifest.json").read_bytes()
    assert report["manifest_sha256"] == hashlib.sha256(text).hexdigest()
    assert report["bytes"] == sum(sizes.values())
    assert report["database_bytes"] == sizes["aliases.sqlite3"]
    assert (report["batch"], report["parent"]) == (3, "r1")


def test_releases_json_lists_what_there_is_and_latest_leads_to_the_newest(loaded: Path) -> None:
    for name in ("b", "a", "c"):
        take(loaded, name)
    found = releases_of(loaded)
    assert (found["format"], found["version"], found["latest"]) == ("seqarchive-releases", 1, "c")
    assert names_of(loaded) == ["b", "a", "c"]
    for row in found["releases"]:
        text = (loaded / row["name"] / "manifest.json").read_bytes()
        manifest = json.loads(text)
        assert row == {
            **{key: manifest[key] for key in ("name", "created", "archive_id", "batch", "parent")},
            "bytes": sum(file["bytes"] for file in manifest["files"]),
            "manifest_sha256": hashlib.sha256(text).hexdigest(),
        }
    assert os.readlink(loaded / "latest") == "c"
    assert {path.name for path in loaded.iterdir()} == {
        "master", "a", "b", "c", "latest", "releases.json", "releases.lock",
    }  # fmt: skip
    assert (loaded / "releases.lock").read_bytes().strip() == b""
    assert untidy(loaded) == []


def test_snapshots_in_one_second_keep_their_order(loaded: Path) -> None:
    names = [f"{9 - n}" for n in range(8)]
    for name in names:
        with seqarchive.connect(loaded) as archive:
            archive.snapshot(name)
    created = [manifest_of(loaded, name)["created"] for name in names]
    assert len({time[:16] for time in created}) <= 2  # it took no minute
    assert created == sorted(set(created))
    assert names_of(loaded) == names
    assert [row["name"] for row in json_of(loaded, "snapshots")["snapshots"]] == names
    assert [manifest_of(loaded, name)["parent"] for name in names] == [None, *names[:-1]]
    assert os.readlink(loaded / "latest") == names[-1]


def test_a_clock_that_was_put_back_does_not_change_the_order(loaded: Path) -> None:
    take(loaded, "future")
    rewrite(loaded / "future", lambda text: re.sub(rb'"created": "....', b'"created": "2999', text))
    take(loaded, "present")
    assert names_of(loaded) == ["future", "present"]
    future, present = (manifest_of(loaded, name)["created"] for name in ("future", "present"))
    assert future < present
    assert os.readlink(loaded / "latest") == "present"


def rewrite(snapshot: Path, change: Callable[[bytes], bytes]) -> None:
    """Edit a manifest, though that must not be."""
    open_up(snapshot)
    file = snapshot / "manifest.json"
    text = file.read_bytes()
    file.write_bytes(change(text))
    assert file.read_bytes() != text


def test_a_snapshot_that_is_called_like_a_batch_is_meant_and_that_is_said(
    root: Path, cli: Cli, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        file = write_fasta(tmp_path / f"{name}.fa", {name: "ACGT" + "T" * len(name)})
        assert cli("load", "-n", name, str(file)).code == 0
    result = cli("snapshot", "1")
    assert result.code == 0
    assert "`--at 1` means this snapshot now; `--at batch:1` is the batch" in result.err
    assert cli("get", "b:b", "--at", "1").code == 0
    assert cli("get", "b:b", "--at", "batch:1").code == 3
    assert "batch:7" in cli("get", "--help").out
    assert cli("snapshot", "2042-01-01").err == ""


def test_where_there_is_no_archive_yet_a_snapshot_is_empty(root: Path, cli: Cli) -> None:
    result = cli("snapshot", "empty")
    assert (result.code, result.err) == (0, "")
    assert files_of(root / "empty").keys() == {
        "aliases.sqlite3",
        "chunks.sha256",
        "manifest.json",
    }
    assert (manifest_of(root, "empty")["batch"], manifest_of(root, "empty")["parent"]) == (0, None)
    assert cli("--instance", "empty", "verify", "--full").code == 0
    with seqarchive.connect(root, "empty") as archive:
        assert len(archive) == 0
    load(root, FIRST)
    take(root, "full")
    assert manifest_of(root, "full")["parent"] == "empty"
    assert untidy(root) == []


def test_a_snapshot_of_a_snapshot_has_its_state_and_its_shards_alone(
    loaded: Path, cli: Cli
) -> None:
    take(loaded, "r1")
    load(loaded, {"N.1": "ACGT" * 40})
    take(loaded, "r2")
    assert cli("--instance", "r1", "snapshot", "again").code == 0
    old, new = manifest_of(loaded, "r1"), manifest_of(loaded, "again")
    assert (new["batch"], new["counts"], new["archive_id"]) == (
        old["batch"], old["counts"], old["archive_id"],
    )  # fmt: skip
    assert new["parent"] == "r1"  # r2 holds more
    own = {"aliases.sqlite3", "chunks.sha256"}
    assert [file for file in new["files"] if file["path"] not in own] == [
        file for file in old["files"] if file["path"] not in own
    ]
    for path, file in files_of(loaded / "again").items():
        if path.startswith("sequences/"):
            assert file.stat().st_ino == (loaded / "r1" / path).stat().st_ino
    assert cli("--instance", "again", "get", "t:N.1").code == 3
    assert cli("--instance", "again", "verify", "--full").code == 0
    assert cli("--instance", "latest", "snapshot", "thrice").code == 0
    assert manifest_of(loaded, "thrice")["batch"] == 2
    assert cli("--instance", "nothing", "snapshot", "x").code == 3
    assert names_of(loaded) == ["r1", "r2", "again", "thrice"]


@pytest.mark.parametrize("error", ["EPERM", "EXDEV", "EMLINK", "EACCES"])
def test_where_links_cannot_be_made_the_shards_are_copied_and_it_is_said(
    loaded: Path, error: str, cli: Cli
) -> None:
    ended = traced(loaded, ["snapshot", "r1"], f"link,linkat:error={error}")
    assert ended.code == 0, ended.err
    for path, file in files_of(loaded / "r1").items():
        assert file.stat().st_nlink == 1
        assert stat.S_IMODE(file.stat().st_mode) == 0o444 & ~umask()
        if path.startswith("sequences/"):
            assert file.read_bytes() == (loaded / "master" / path).read_bytes()
            assert [  # synced, and after that nothing but its name changed
                call.kind
                for call in ended.calls
                if call.paths[0] == f".snapshot/{path}" and call.kind != "openat"
            ][-1] == "fsync"
    assert cli("--instance", "r1", "verify", "--full").code == 0
    assert names_of(loaded) == ["r1"]


def test_a_copy_instead_of_a_link_is_in_the_report(
    loaded: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_link(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", no_link)
    result = cli("snapshot", "r1")
    assert result.code == 0
    ways = re.search(r"files +6 (copied|cloned);", result.out)
    assert ways is not None, result.out
    assert ("shards were copied" in result.out) == (ways[1] == "copied")
    report = json.loads(cli("--json", "snapshot", "r2").out)
    assert report["files"] == {ways[1]: 6}


def test_a_copy_is_compared_with_what_was_published(
    loaded: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_link(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", no_link)
    flip(shards(loaded)[0])
    result = cli("snapshot", "r1")
    assert (result.code, result.err.count("\n")) == (6, 1)
    assert shards(loaded)[0].name in result.err
    assert not any((loaded / name).exists() for name in ("r1", ".snapshot", "latest"))


def umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o027, 0o002])
def test_modes_follow_the_umask_less_all_rights_to_write(root: Path, mask: int) -> None:
    file = write_fasta(root.parent / "file.fa", FIRST)
    command = [sys.executable, "-m", "seqarchive", "--root", str(root)]
    for arguments in (["load", "-n", "t", str(file)], ["snapshot", "r1"]):
        subprocess.run([*command, *arguments], check=True, capture_output=True, umask=mask)
    some = [root / "r1", *(root / "r1").rglob("*")]
    assert len(some) == 11
    for path in some:
        expected = (0o555 if path.is_dir() else 0o444) & ~mask
        assert stat.S_IMODE(path.stat().st_mode) == expected, path
    assert stat.S_IMODE((root / "releases.json").stat().st_mode) == 0o444 & ~mask


# --- names ------------------------------------------------------------------------------------

EXISTING = ("r1", "directory", "file", "dangling")


def things(root: Path) -> None:
    """Things that have a name already."""
    take(root, "r1")
    (root / "directory").mkdir()
    (root / "file").write_text("a file")
    (root / "dangling").symlink_to("nowhere")


@pytest.mark.parametrize("name", [*EXISTING, "master", "latest", "releases.json", "releases.lock"])
def test_a_name_that_is_taken_is_a_conflict_and_nothing_is_changed(
    loaded: Path, cli: Cli, name: str
) -> None:
    things(loaded)
    before = around(loaded)
    result = cli("snapshot", name)
    assert (result.code, result.err.count("\n"), result.out) == (4, 1, "")
    assert around(loaded) == before
    take(loaded, "r2")
    assert names_of(loaded) == ["r1", "r2"]


@pytest.mark.parametrize("name", ["master", "latest", "releases.json", "releases.lock"])
def test_a_name_with_another_meaning_is_a_conflict_before_there_is_anything_of_it(
    loaded: Path, cli: Cli, name: str
) -> None:
    result = cli("snapshot", name)
    assert result.code == 4, result.err
    take(loaded, "r1")
    assert names_of(loaded) == ["r1"]
    assert cli("snapshots").code == 0


IMPOSSIBLE = (
    "", ".", "..", ".hidden", ".snapshot", "a/b", "../b", "/b", "a b", "a\nb", "a\0b", "é", "-x",
    "_x", "x" * 101, "x" * 300, "*",
)  # fmt: skip


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_a_name_that_cannot_be_is_refused_and_nothing_is_changed(
    loaded: Path, cli: Cli, name: str
) -> None:
    before = around(loaded)
    result = cli("snapshot", "--", name)
    assert (result.code, result.err.count("\n"), result.out) == (5, 1, "")
    assert around(loaded) == before
    with pytest.raises(seqarchive.BadName), seqarchive.connect(loaded) as archive:
        archive.snapshot(name)


@pytest.mark.parametrize(("name", "code"), [("a/b", 5), ("latest", 4), ("master", 4)])
def test_a_refused_name_makes_no_archive_where_there_is_none(
    root: Path, cli: Cli, name: str, code: int
) -> None:
    assert cli("snapshot", name).code == code
    assert not (root / "master").exists()


def test_the_longest_and_the_oddest_names_work(loaded: Path, cli: Cli) -> None:
    names = ["x" * 100, "2024-06-01", "a..b", "1+2_3.tar.gz", "manifest.json"]
    for name in names:
        take(loaded, name)
        assert cli("--instance", name, "verify").code == 0
    assert names_of(loaded) == names


# --- damage in the archive --------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".fai", ".gzi"])
@pytest.mark.parametrize("how", ["missing", "truncated", "link"])
def test_of_an_archive_whose_shards_are_not_as_published_no_snapshot_is_taken(
    loaded: Path, cli: Cli, suffix: str, how: str
) -> None:
    take(loaded, "r1")
    shard = shards(loaded)[0]
    file = shard.with_name(shard.name + suffix)
    data = file.read_bytes()
    file.unlink()
    if how == "truncated":
        file.write_bytes(data[:-1])
    elif how == "link":
        (loaded.parent / "elsewhere").write_bytes(data)
        file.symlink_to(loaded.parent / "elsewhere")
    before = around(loaded)
    result = cli("snapshot", "r2")
    assert (result.code, result.err.count("\n")) == (6, 1), result.err
    assert file.name in result.err
    assert around(loaded) == before


# --- sizes ------------------------------------------------------------------------------------


def test_ten_snapshots_of_one_state_share_all_shards_and_sizes_are_those_of_du(
    root: Path,
) -> None:
    load(root, {"big": random_residues("big", 3_000_000)})
    for n in range(10):
        take(root, f"r{n}")
    names = [f"r{n}" for n in range(10)]
    inodes = {
        file.stat().st_ino
        for name in ("master", *names)
        for path, file in files_of(root / name).items()
        if path.startswith("sequences/")
    }
    assert len(inodes) == 3
    everything = du(root / "master", *(root / name for name in names))
    shard_bytes = sum(path.stat().st_size for path in shards(root))
    assert shard_bytes > 700_000
    assert everything < du(root / "master") + 10 * 290_000 < 6 * shard_bytes
    listed = json_of(root, "snapshots")
    assert listed["real_bytes"] == everything
    own = 0
    for row in listed["snapshots"]:
        files = files_of(root / row["name"]).values()
        assert row["apparent_bytes"] == sum(file.stat().st_size for file in files)
        others = [root / name for name in ("master", *names) if name != row["name"]]
        assert row["own_bytes"] == everything - du(*others)
        own += row["own_bytes"]
    assert listed["master"]["own_bytes"] == everything - du(*(root / name for name in names))
    assert own + listed["master"]["own_bytes"] < everything  # the shards are nobody's own


@pytest.mark.parametrize("instance", ["master", "r1"])
def test_the_sizes_in_the_status_are_those_of_du(loaded: Path, instance: str, cli: Cli) -> None:
    take(loaded, "r1")
    load(loaded, {"N.1": random_residues("N.1", 30_000)})
    take(loaded, "r2")
    with seqarchive.connect(loaded) as archive:  # the files beside the database stay while it is
        assert archive.fetch("t:N.1")
        status = json.loads(cli("--json", "--instance", instance, "status").out)
        directories = {name: loaded / name for name in ("master", "r1", "r2")}
        everything = du(*directories.values())
        assert status["real_bytes_of_all"] == everything
        own = directories.pop(instance)
        assert status["own_bytes"] == everything - du(*directories.values())
        files = files_of(own).values()
        assert status["apparent_bytes"] == sum(file.stat().st_size for file in files)


def test_what_prune_says_to_free_is_freed(loaded: Path, cli: Cli) -> None:
    take(loaded, "r1")
    load(loaded, {"N.1": random_residues("N.1", 200_000)})
    take(loaded, "r2")
    code = cli("alias", "retire", "t:N.1").code
    assert code == 0
    take(loaded, "r3")
    # As `repair --reclaim` or another archive in its place would: only r2 and r3 have the shard.
    for file in shards(loaded)[-1].parent.glob("*"):
        file.unlink()
    before = du(*(loaded / name for name in ("master", "r1", "r2", "r3")))
    own = {row["name"]: row["own_bytes"] for row in json_of(loaded, "snapshots")["snapshots"]}
    would = json_of(loaded, "prune", "--dry-run", "r2")
    assert would["freed_bytes"] == own["r2"]
    assert du(*(loaded / name for name in ("master", "r1", "r2", "r3"))) == before
    for names, rest in ((["r2"], ["r1", "r3"]), (["r3", "r1"], [])):
        before = du(*(loaded / name for name in ("master", *names, *rest)))
        pruned = json_of(loaded, "prune", *names)
        after = du(*(loaded / name for name in ("master", *rest)))
        assert pruned["freed_bytes"] == before - after
        assert (pruned["removed"], pruned["kept"]) == (names, rest)
    assert pruned["freed_bytes"] > own["r1"] + own["r3"] + 50_000  # the shard went with the last


def test_what_two_share_is_nobody_s_own_and_what_one_links_twice_is_his(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    (one / "x").write_bytes(b"x" * 10_000)
    os.link(one / "x", one / "again")
    (one / "shared").write_bytes(b"y" * 20_000)
    os.link(one / "shared", two / "shared")
    (one / "link").symlink_to(one / "x")
    usage, total = usage_of({"one": one, "two": two})
    assert total == du(one, two)
    assert usage["one"].own == du(one, two) - du(two)
    assert usage["two"].own == du(one, two) - du(one)
    assert usage["one"].apparent == 10_000 + 10_000 + 20_000


# --- nothing changes it -----------------------------------------------------------------------


def writing_commands(directory: Path) -> list[list[str]]:
    file = write_fasta(directory / "new.fa", {"N.1": "ACGTACGT"})
    names = directory / "names.tsv"
    names.write_text("t\tX.1\tt:A.1\n")
    return [
        ["load", "-n", "t", str(file)],
        ["load", "-n", "t", "--on-conflict", "replace", "--on-error", "skip", str(file)],
        ["import-aliases", str(names)],
        ["alias", "add", "t:A.1", "t:X.1"],
        ["alias", "retire", "t:A.1"],
        ["revert", "2"],
        ["revert", "2", "--on-conflict", "replace"],
        ["repair"],
        ["repair", "--reclaim"],
        ["digests", "add", "sha256"],
    ]


def refused(root: Path, instance: str, directory: Path) -> None:
    """Every change of an instance is refused, on the command line and in Python."""
    for command in writing_commands(directory):
        code, err = run(root, "--instance", instance, *command)
        assert (code, err.count("\n")) == (8, 1), (command, err)
    with seqarchive.connect(root, instance) as archive:
        with pytest.raises(seqarchive.ReadOnly):
            archive.store("ACGT", ["t:X.1"])
        with pytest.raises(seqarchive.ReadOnly):
            archive["t:X.1"] = "ACGT"
        with pytest.raises(seqarchive.ReadOnly):
            archive.name("t:A.1", ["t:X.1"])
        with pytest.raises(seqarchive.ReadOnly):
            archive.retire(["t:A.1"])
        with pytest.raises(seqarchive.ReadOnly):
            archive.revert(2)
        with pytest.raises(seqarchive.ReadOnly):
            archive.load(directory / "new.fa", "t")


@pytest.mark.parametrize("instance", ["r1", "latest"])
@pytest.mark.parametrize("writable", [False, True], ids=["as it is", "with all rights"])
def test_nothing_can_be_written_into_a_snapshot(
    loaded: Path, tmp_path: Path, instance: str, writable: bool
) -> None:
    take(loaded, "r1")
    if writable:
        open_up(loaded / "r1")
    before = betrayal(loaded / "r1")
    refused(loaded, instance, tmp_path)
    assert betrayal(loaded / "r1") == before
    assert untidy(loaded) == []


@pytest.mark.parametrize("inside", ["r1", "master"])
def test_no_archive_is_made_inside_of_one(loaded: Path, tmp_path: Path, inside: str) -> None:
    """The directory of an instance can be read; for a root, it must not be taken."""
    take(loaded, "r1")
    open_up(loaded / "r1")
    before = contents(loaded)
    for command in (["init"], *writing_commands(tmp_path)):
        code, err = run(loaded / inside, *command)
        assert (code, err.count("\n")) == (8, 1), (command, err)
        assert f"the root of its archive is {loaded}\n" in err
    assert contents(loaded) == before


def test_nothing_can_be_written_into_a_snapshot_that_lost_its_manifest(
    loaded: Path, tmp_path: Path
) -> None:
    take(loaded, "r1")
    open_up(loaded / "r1")
    (loaded / "r1" / "manifest.json").unlink()
    before = betrayal(loaded / "r1")
    refused(loaded, "r1", tmp_path)
    assert betrayal(loaded / "r1") == before


def test_nothing_can_be_written_into_a_snapshot_that_was_copied_to_be_master(
    loaded: Path, tmp_path: Path
) -> None:
    take(loaded, "r1")
    other = tmp_path / "other root"
    shutil.copytree(loaded / "r1", other / "master")
    open_up(other)
    before = betrayal(other / "master")
    refused(other, "master", tmp_path)
    with seqarchive.connect(other) as archive:
        assert archive.fetch("t:L.1") == FIRST["L.1"]
    assert betrayal(other / "master") == before
    (other / "master" / "manifest.json").unlink()  # to do so on purpose, it is an archive again
    load(other, {"N.1": "ACGT"})
    assert contents(other).aliases.keys() == contents(loaded).aliases.keys() | {"t:N.1"}


@pytest.mark.parametrize(
    "arguments", [["master"], ["--keep-last", "1"], ["--keep-yearly", "1"]], ids=" ".join
)
def test_prune_never_removes_a_master_that_is_a_copy_of_a_snapshot(
    loaded: Path, tmp_path: Path, arguments: list[str]
) -> None:
    take(loaded, "r1")
    other = tmp_path / "other root"
    other.mkdir()
    copied(loaded / "r1", other / "master")
    take(other, "r2")
    code, _ = run(other, "prune", *arguments)
    assert code == (3 if "master" in arguments else 0)
    assert run(other, "verify", "--full")[0] == 0
    assert (other / "master" / "manifest.json").exists()
    assert [row["name"] for row in releases_of(other)["releases"]] == ["r2"]
    assert os.readlink(other / "latest") == "r2"


def test_reading_a_snapshot_opens_nothing_for_writing(loaded: Path) -> None:
    take(loaded, "r1")
    for command in (["get", "t:L.1"], ["status"]):
        ended = traced(loaded, ["--instance", "r1", *command])
        assert ended.code == 0, ended.err
        assert ended.calls == [], [f"{call}: {call.text}" for call in ended.calls]


# --- opened anywhere --------------------------------------------------------------------------

READING = (
    ["get", "t:L.1"],
    ["translate", "t:B.1"],
    ["--json", "status"],
    ["log"],
    ["export"],
    ["export-aliases"],
    ["alias", "history", "t:A.1"],
    ["verify"],
    ["verify", "--full"],
)


def test_it_opens_for_a_user_who_may_write_nothing_and_leaves_no_file() -> None:
    with shared_directory() as directory:
        mask = os.umask(0o022)
        try:
            root = directory / "archive"
            load(root, FIRST)
            load(root, SECOND)
            take(root, "r1")
        finally:
            os.umask(mask)
        if os.geteuid() != 0:
            os.chmod(root, 0o555)
        before = betrayal(root)
        commands = [
            ["--root", str(root), "--instance", instance, *command]
            for instance in ("r1", "latest")
            for command in READING
        ]
        results = run_without_rights(*commands, ["--root", str(root), "snapshots"])
        for command, result in zip(commands, results, strict=False):
            assert (result.code, result.err) == (0, ""), command
        assert results[0].out.replace("\n", "") == FIRST["L.1"]
        assert "r1 (latest)" in results[-1].out
        for command in (["snapshot", "r2"], ["prune", "r1"]):
            (result,) = run_without_rights(["--root", str(root), *command])
            assert (result.code, result.err.count("\n")) == (8, 1), result
        assert betrayal(root) == before


_READ_ONLY_MOUNT = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'


def test_it_opens_on_a_medium_that_is_mounted_read_only(loaded: Path) -> None:
    """Where no test may mount, the directories that nobody may write stand for the medium."""
    take(loaded, "r1")
    mounted = ["unshare", "-rm", "sh", "-c", _READ_ONLY_MOUNT, "sh", str(loaded)]
    if subprocess.run([*mounted, "true"], capture_output=True, check=False).returncode:
        without_write_permission(loaded)
        mounted = ["setpriv", "--bounding-set=-all"] if os.geteuid() == 0 else []
    before = betrayal(loaded)
    seqarchive_on = [*mounted, sys.executable, "-m", "seqarchive", "--root", str(loaded)]
    outputs = []
    for command in (["get", "t:A.1"], ["verify", "--full"], ["--json", "status"]):
        done = subprocess.run(
            [*seqarchive_on, "--instance", "latest", *command], capture_output=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, b"")
        outputs.append(done.stdout)
    assert outputs[0].decode() == SECOND["A.1"] + "\n"
    for command in (["snapshot", "r2"], ["prune", "r1"]):
        done = subprocess.run([*seqarchive_on, *command], capture_output=True, check=False)
        assert done.returncode == 8, done.stderr
    assert betrayal(loaded) == before
    os.chmod(loaded, 0o755)


def test_it_opens_wherever_the_archive_is_moved_and_by_its_own_directory(
    loaded: Path, tmp_path: Path
) -> None:
    take(loaded, "r1")
    take(loaded, "r2")
    other = tmp_path / "other place" / "ünder another name"
    other.parent.mkdir()
    loaded.rename(other)
    assert run(other, "--instance", "latest", "verify", "--full") == (0, "")
    with seqarchive.connect(other / "r1") as archive:
        assert archive.fetch("t:A.1") == SECOND["A.1"]
    shutil.copytree(other / "r1", tmp_path / "alone" / "r1")
    assert run(tmp_path / "alone", "--instance", "r1", "verify", "--full") == (0, "")
    take(other, "r3")
    assert names_of(other) == ["r1", "r2", "r3"]


def test_many_processes_read_it_at_once_and_leave_no_file(loaded: Path) -> None:
    take(loaded, "r1")
    before = betrayal(loaded)
    command = [sys.executable, "-m", "seqarchive", "--root", str(loaded), "--instance", "latest"]
    processes = [
        subprocess.Popen([*command, "get", "t:L.1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(6)
    ]
    with seqarchive.connect(loaded, "r1") as archive:
        assert archive.fetch("t:L.1") == FIRST["L.1"]
        assert betrayal(loaded) == before  # nor while it is open
        for process in processes:
            out, err = process.communicate(timeout=60)
            assert (out.decode().replace("\n", ""), err) == (FIRST["L.1"], b"")
    assert betrayal(loaded) == before


def test_a_reader_of_latest_stays_with_what_it_opened(loaded: Path) -> None:
    take(loaded, "r1")
    with seqarchive.connect(loaded, "latest") as archive:
        assert archive.instance.name == "r1"
        load(loaded, {"A.1": "GATTACA"})
        take(loaded, "r2")
        assert archive.fetch("t:A.1") == SECOND["A.1"]
        with seqarchive.connect(loaded, "latest") as other:
            assert other.fetch("t:A.1") == "GATTACA"


# --- at the same time -------------------------------------------------------------------------


class Paused:
    """A snapshot in another process, which has placed its database and waits."""

    CODE = """
import sys
from pathlib import Path
from seqarchive.instances import Instance
from seqarchive.snapshots import take_snapshot
def wait(_n):
    global wait
    print("placed", flush=True)
    sys.stdin.readline()
    wait = lambda _n: None
take_snapshot(Instance(Path(sys.argv[1])), sys.argv[2], lambda n: wait(n))
"""

    def __init__(self, root: Path, name: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.CODE, str(root), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "placed\n"

    def go_on(self) -> int:
        self.process.communicate("\n", timeout=60)
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def paused(loaded: Path) -> Iterator[Paused]:
    paused = Paused(loaded, "first")
    yield paused
    paused.close()


def test_of_two_snapshots_at_once_the_second_is_told_who_takes_the_first(
    paused: Paused, loaded: Path
) -> None:
    for command in (["snapshot", "second"], ["snapshot", "first"], ["prune", "--keep-last", "1"]):
        code, err = run(loaded, *command)
        assert (code, err.count("\n")) == (7, 1), err
        assert f"process {paused.process.pid} on {socket.gethostname()}" in err
    assert not (loaded / "first").exists()
    assert not (loaded / "latest").exists()
    assert paused.go_on() == 0
    assert names_of(loaded) == ["first"]
    take(loaded, "second")
    assert names_of(loaded) == ["first", "second"]


def test_an_unfinished_snapshot_is_nowhere_to_be_seen(
    paused: Paused, loaded: Path, cli: Cli
) -> None:
    assert json.loads(cli("--json", "snapshots").out)["snapshots"] == []
    assert cli("--instance", "first", "get", "t:A.1").code == 3
    assert cli("--instance", ".snapshot", "get", "t:A.1").code == 5
    assert cli("--instance", "latest", "get", "t:A.1").code == 3
    assert cli("verify", "--full").code == 0
    assert not (loaded / "releases.json").exists()
    paused.process.kill()
    paused.process.wait()
    take(loaded, "first")
    assert names_of(loaded) == ["first"]
    assert not (loaded / ".snapshot").exists()


def test_loads_do_not_wait_for_a_snapshot_nor_enter_it(paused: Paused, loaded: Path) -> None:
    load(loaded, {"N.1": "ACGTACGT", "A.1": "GATTACA"})
    assert contents(loaded).aliases.keys() >= {"t:N.1"}
    assert paused.go_on() == 0
    with seqarchive.connect(loaded, "first") as archive:
        assert archive.fetch("t:A.1") == SECOND["A.1"]
        assert archive.status()["batch"] == 2
    assert run(loaded, "--instance", "first", "verify", "--full") == (0, "")
    assert untidy(loaded) == []


def test_a_snapshot_does_not_wait_for_a_load_nor_have_any_of_it(loaded: Path) -> None:
    loading = subprocess.Popen(
        [sys.executable, "-m", "seqarchive", "--root", str(loaded), "load", "-n", "t", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        lock = loaded / "master" / "writer.lock"
        wait_until(lambda: f'"pid": {loading.pid},' in lock.read_text())
        assert loading.stdin is not None
        loading.stdin.write(b">N.1\n" + random_residues("N.1", 400_000).encode() + b"\n>N.2\n")
        loading.stdin.flush()
        take(loaded, "r1")
        assert loading.poll() is None
        loading.communicate(b"ACGT\n", timeout=60)
        assert loading.returncode == 0
    finally:
        if loading.poll() is None:
            loading.kill()
            loading.communicate()
    assert manifest_of(loaded, "r1")["batch"] == 2
    assert run(loaded, "--instance", "r1", "verify", "--full") == (0, "")
    assert run(loaded, "--instance", "r1", "get", "t:N.1")[0] == 3
    take(loaded, "r2")
    assert (manifest_of(loaded, "r2")["batch"], manifest_of(loaded, "r2")["parent"]) == (3, "r1")
    assert untidy(loaded) == []


class Taken(NamedTuple):
    """A snapshot that was taken among commits, and what had been acknowledged before and after."""

    name: str
    at_least: tuple[int, int]
    at_most: tuple[int, int]


def test_snapshots_taken_among_commits_are_states_that_were_committed(root: Path) -> None:
    """One process loads, another re-points aliases, and this one takes snapshots: what each holds
    has to be the first so many rounds of the one and the first so many of the other."""
    directory = root.parent
    load(root, {f"s{n}": residues_of(f"s{n}", 400) for n in range(20)})  # batch 1
    load(root, {name.partition(":")[2]: moved(name, 0) for name in MOVING})  # batch 2
    n_before = 2

    def acknowledged() -> tuple[int, int]:
        files = [directory / f"acknowledged-{what}" for what in ("load", "point")]
        loads, points = (int(file.read_text()) if file.exists() else 0 for file in files)
        return loads, points

    processes = [
        subprocess.Popen([sys.executable, CHILDREN, task, str(root), str(directory)])
        for task in ("keep_loading", "keep_pointing")
    ]
    taken: list[Taken] = []
    try:
        wait_until(lambda: all(acknowledged()))
        while any(process.poll() is None for process in processes) and len(taken) < 60:
            before = acknowledged()
            name = f"r{len(taken)}"
            take(root, name)
            after = acknowledged()
            taken.append(Taken(name, before, (after[0] + 1, after[1] + 1)))
        assert [process.wait(60) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert acknowledged() == (N_ROUNDS, N_ROUNDS)
    states = []
    for one in taken:
        state = state_of(root, one.name)
        batch = manifest_of(root, one.name)["batch"]
        assert batch == n_before + sum(state), "the batch is not that of the state"
        for rounds, low, high in zip(state, one.at_least, one.at_most, strict=True):
            assert low <= rounds <= high
        states.append(state)
        with (
            seqarchive.connect(root, one.name) as snapshot,
            seqarchive.connect(root, at=batch) as then,
        ):
            assert list(snapshot.all_aliases()) == list(then.all_aliases())
            assert snapshot.status()["sequences"] == then.status()["sequences"]
    assert len(set(states)) > 3, f"the snapshots were not taken among commits: {states}"
    assert states == sorted(states)
    assert untidy(root) == []
    for one in taken[:: max(1, len(taken) // 8)]:
        assert run(root, "--instance", one.name, "verify", "--full") == (0, ""), one.name
    assert [one.name for one in taken] == names_of(root)


def state_of(root: Path, name: str) -> tuple[int, int]:
    """How many rounds of the loading and of the pointing process a snapshot holds; fails if it
    holds half of one."""
    with seqarchive.connect(root, name) as archive:
        found = {str(alias): str(archive[str(alias)]) for alias, _ in archive.all_aliases()}
    for n in range(20):
        assert found.pop(f"t:s{n}") == residues_of(f"s{n}", 400)
    (n_loads,) = {version_of(name, found.pop(name)) for name in MOVING}
    for version in range(1, n_loads + 1):
        for side in "ab":
            assert found.pop(f"t:p{version}{side}") == residues_of(f"{version}{side}", 500)
    n_points = sum(key.startswith("t:round.") for key in found)
    for version in range(1, n_points + 1):
        assert found.pop(f"t:round.{version}") == residues_of(target(version), 400)
    if n_points:
        for key in REPOINTED:
            assert found.pop(key) == residues_of(target(n_points), 400), "half of a re-pointing"
    assert found == {}
    return n_loads, n_points


# --- verify -----------------------------------------------------------------------------------


def flip(file: Path, at: float = 0.5, bit: int = 0) -> None:
    """One bit of a file, not of other names of it."""
    data = bytearray(file.read_bytes())
    data[min(len(data) - 1, int(len(data) * at))] ^= 1 << bit
    mode = file.stat().st_mode
    file.unlink()
    file.write_bytes(data)
    os.chmod(file, mode)


def check(root: Path, cli: Cli, *arguments: str, name: str = "r1") -> str:
    """Exit code 6 from a check of a snapshot, for a reason that it tells and remembers; others,
    and master, are sound."""
    result = cli("--instance", name, "verify", *arguments)
    assert result.code == 6, result
    assert "Traceback" not in result.err
    listed = {row["name"]: row for row in json.loads(cli("--json", "snapshots").out)["snapshots"]}
    if name in listed:
        kind = "full" if "--full" in arguments else "quick"
        assert listed[name]["verified"] is not None, "that it is damaged is not remembered"
        assert listed[name]["verified"][kind]["ok"] is False
        assert re.search(rf"^{name} .* DAMAGED$", cli("snapshots").out, re.MULTILINE)
    assert cli("--instance", "r2", "verify", "--full").code == 0
    assert cli("verify", "--full").code == 0
    return result.out + result.err


def test_clean_snapshots_verify_and_it_is_noted_when(published: Path, cli: Cli) -> None:
    assert [row["verified"] for row in json_of(published, "snapshots")["snapshots"]] == [None, None]
    before = betrayal(published / "r1")
    began = int(time.time())
    assert cli("--instance", "r1", "verify").code == 0
    assert cli("--instance", "latest", "verify", "--full").code == 0
    assert betrayal(published / "r1") == before
    first, second = (row["verified"] for row in json_of(published, "snapshots")["snapshots"])
    assert (first.keys(), second.keys()) == ({"quick"}, {"full"})
    for note in (first["quick"], second["full"]):
        assert note["ok"] is True
        moment = datetime.fromisoformat(note["time"].replace("Z", "+00:00")).timestamp()
        assert began <= moment <= time.time()
    today = first["quick"]["time"][:10]
    lines = cli("snapshots").out.splitlines()
    assert lines[1].endswith(f"{today} quickly")
    assert lines[2].startswith("r2 (latest) ")
    assert lines[2].endswith(f"{today} in full")
    assert cli("prune", "r1").code == 0
    assert sorted(path.name for path in (published / ".verified").iterdir()) == ["r2.json"]


FILES = ("aliases.sqlite3", ".fa.bgz", ".fai", ".gzi", "manifest.json")


def some_file(snapshot: Path, suffix: str) -> Path:
    """A file of a snapshot that may be changed now."""
    open_up(snapshot)
    return min(path for path in snapshot.rglob("*") if path.name.endswith(suffix))


@pytest.mark.parametrize("arguments", [[], ["--full"]], ids=["quick", "full"])
@pytest.mark.parametrize("suffix", FILES)
def test_verify_finds_a_file_that_is_missing(
    published: Path, cli: Cli, suffix: str, arguments: list[str]
) -> None:
    file = some_file(published / "r1", suffix)
    file.unlink()
    assert file.name in check(published, cli, *arguments)


@pytest.mark.parametrize("arguments", [[], ["--full"]], ids=["quick", "full"])
@pytest.mark.parametrize("suffix", FILES)
@pytest.mark.parametrize("how", ["by one byte", "to a half", "to nothing"])
def test_verify_finds_a_file_that_is_truncated(
    published: Path, cli: Cli, suffix: str, how: str, arguments: list[str]
) -> None:
    file = some_file(published / "r1", suffix)
    data = file.read_bytes()
    file.unlink()
    file.write_bytes({"by one byte": data[:-1], "to a half": data[: len(data) // 2]}.get(how, b""))
    assert file.name in check(published, cli, *arguments)


@pytest.mark.parametrize("arguments", [[], ["--full"]], ids=["quick", "full"])
@pytest.mark.parametrize("suffix", FILES)
def test_verify_finds_a_file_that_is_longer(
    published: Path, cli: Cli, suffix: str, arguments: list[str]
) -> None:
    file = some_file(published / "r1", suffix)
    data = file.read_bytes()
    file.unlink()
    file.write_bytes(data + b"\n")
    assert file.name in check(published, cli, *arguments)


@pytest.mark.parametrize("at", [0.0, 0.3, 0.999])
@pytest.mark.parametrize("suffix", [".fai", ".gzi", "manifest.json"])
def test_verify_finds_one_flipped_bit_in_an_index_or_a_manifest_even_quickly(
    published: Path, cli: Cli, suffix: str, at: float
) -> None:
    file = some_file(published / "r1", suffix)
    flip(file, at)
    assert file.name in check(published, cli)


@pytest.mark.parametrize("at", [0.0, 0.01, 0.2, 0.5, 0.8, 0.999999])
@pytest.mark.parametrize("suffix", FILES)
def test_verify_in_full_finds_one_flipped_bit_in_any_file(
    published: Path, cli: Cli, suffix: str, at: float
) -> None:
    file = some_file(published / "r1", suffix)
    flip(file, at, 3)
    assert file.name in check(published, cli, "--full")


@pytest.mark.parametrize("offset", [18, 28, 63, 95, 100], ids=lambda n: f"byte {n}")
def test_verify_in_full_finds_one_flipped_bit_in_the_header_of_the_database(
    published: Path, cli: Cli, offset: int
) -> None:
    file = some_file(published / "r1", "aliases.sqlite3")
    flip(file, (offset + 0.5) / file.stat().st_size, 1)
    assert file.name in check(published, cli, "--full")


def test_verify_in_full_finds_bytes_of_the_database_that_mean_nothing(
    published: Path, cli: Cli
) -> None:
    """What SQLite does not look at is in the manifest all the same: here its version number."""
    file = some_file(published / "r1", "aliases.sqlite3")
    flip(file, 99.5 / file.stat().st_size)
    assert file.name in check(published, cli, "--full")
    assert cli("--instance", "r1", "verify").code == 0


def test_damage_that_was_found_in_full_is_said_until_it_is_gone_in_full(
    published: Path, cli: Cli
) -> None:
    """A quick check, which cannot see it, says nothing about it."""
    flip(some_file(published / "r1", ".fa.bgz"))
    check(published, cli, "--full")
    wait_until(lambda: time.time() % 1 < 0.1)  # the next second, which is the later one
    assert cli("--instance", "r1", "verify").code == 0
    assert re.search("^r1 .* DAMAGED$", cli("snapshots").out, re.MULTILINE)


def test_damage_that_is_found_in_the_second_of_a_check_before_it_is_said(
    published: Path, cli: Cli
) -> None:
    wait_until(lambda: time.time() % 1 < 0.3)
    assert cli("--instance", "r1", "verify").code == 0
    flip(some_file(published / "r1", ".fa.bgz"))
    check(published, cli, "--full")


@pytest.mark.parametrize("arguments", [[], ["--full"]], ids=["quick", "full"])
@pytest.mark.parametrize(
    "path",
    [
        "foreign",
        "sequences/foreign",
        "aliases.sqlite3-wal",
        "aliases.sqlite3-journal",
        "sequences/2024/0101/120000/1.000000.fa.bgz",
        "manifest.json.bak",
        "link",
        "sequences/link",
        "directory link",
    ],
)
def test_verify_finds_what_does_not_belong_to_a_snapshot(
    published: Path, cli: Cli, path: str, arguments: list[str]
) -> None:
    open_up(published / "r1")
    file = published / "r1" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    if path == "directory link":
        file.symlink_to(published / "master")
    elif path.endswith("link"):
        file.symlink_to("manifest.json")
    elif path.endswith("bgz"):
        file.write_bytes(shards(published)[0].read_bytes())
    else:
        file.write_bytes(b"")
    assert path in check(published, cli, *arguments)


@pytest.mark.parametrize("suffix", FILES)
@pytest.mark.parametrize("what", ["link", "directory", "fifo"])
def test_verify_finds_something_else_in_the_place_of_a_file(
    published: Path, cli: Cli, suffix: str, what: str
) -> None:
    file = some_file(published / "r1", suffix)
    elsewhere = published.parent / "elsewhere"
    file.rename(elsewhere)
    if what == "link":
        file.symlink_to(elsewhere)  # all that is read through it is right
    elif what == "directory":
        file.mkdir()
    else:
        os.mkfifo(file)
    assert file.name in check(published, cli)


EDITS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "batch": lambda manifest: manifest.update(batch=1),
    "parent": lambda manifest: manifest.update(parent="r0"),
    "created": lambda manifest: manifest.update(created="2020-01-01T00:00:00.000000Z"),
    "name": lambda manifest: manifest.update(name="other"),
    "archive_id": lambda manifest: manifest.update(archive_id="0"),
    "program": lambda manifest: manifest.update(seqarchive="0.0.0"),
    "counts": lambda manifest: manifest["counts"].update(aliases=1),
    "file less": lambda manifest: manifest["files"].pop(),
    "size": lambda manifest: manifest["files"][1].update(bytes=1),
    "sha256": lambda manifest: manifest["files"][1].update(sha256="0" * 64),
    "sha256 of the database": lambda manifest: manifest["files"][0].update(sha256="0" * 64),
    "path": lambda manifest: manifest["files"][1].update(path="b"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_verify_finds_a_manifest_that_was_edited(published: Path, cli: Cli, edit: str) -> None:
    def change(text: bytes) -> bytes:
        manifest = json.loads(text)
        EDITS[edit](manifest)
        return (json.dumps(manifest, ensure_ascii=False, indent=1) + "\n").encode()

    rewrite(published / "r1", change)
    assert "manifest.json" in check(published, cli)


@pytest.mark.parametrize("edit", ["parent", "created", "name", "program"])
def test_an_edited_manifest_is_found_after_the_next_release_too(
    published: Path, cli: Cli, edit: str
) -> None:
    """``releases.json`` was published with the SHA-256 of the manifest; that is not replaced by
    the one of what somebody made of it."""

    def change(text: bytes) -> bytes:
        manifest = json.loads(text)
        EDITS[edit](manifest)
        return (json.dumps(manifest, ensure_ascii=False, indent=1) + "\n").encode()

    listed = {row["name"]: row["manifest_sha256"] for row in releases_of(published)["releases"]}
    rewrite(published / "r1", change)
    take(published, "r3")
    assert "manifest.json" in check(published, cli)
    again = {row["name"]: row["manifest_sha256"] for row in releases_of(published)["releases"]}
    assert again["r1"] == listed["r1"]


def is_listed_as_it_is(root: Path, name: str, cli: Cli) -> bool:
    manifest = hashlib.sha256((root / name / "manifest.json").read_bytes()).hexdigest()
    listed = {row["name"]: row["manifest_sha256"] for row in releases_of(root)["releases"]}
    return listed[name] == manifest and cli("--instance", name, "verify").code == 0


def test_what_was_listed_of_a_removed_snapshot_is_not_said_of_the_next_one_of_its_name(
    published: Path, cli: Cli
) -> None:
    shutil.rmtree(published / "r2")
    load(published, {"N.2": "ACGT" * 50})
    take(published, "r2")
    assert is_listed_as_it_is(published, "r2", cli)


def test_nor_if_it_was_killed_before_it_was_listed(published: Path, cli: Cli) -> None:
    shutil.rmtree(published / "r2")
    load(published, {"N.2": "ACGT" * 50})
    other = copied(published, published.with_name("other"))
    calls = traced(other, ["snapshot", "r2"]).calls
    listed = (".releases.json", "releases.json")
    number = max(call.number for call in calls if (call.kind, call.paths) == ("rename", listed))
    traced(published, ["snapshot", "r2"], f"rename:signal=SIGKILL:when={number}")
    assert (published / "r2" / "manifest.json").exists()
    take(published, "r3")
    assert is_listed_as_it_is(published, "r2", cli)


@pytest.mark.parametrize("edit", ["batch", "archive_id", "counts"])
def test_verify_finds_a_manifest_of_other_facts_without_the_list_too(
    published: Path, cli: Cli, edit: str
) -> None:
    def change(text: bytes) -> bytes:
        manifest = json.loads(text)
        EDITS[edit](manifest)
        return json.dumps(manifest).encode()

    (published / "releases.json").unlink()
    rewrite(published / "r1", change)
    assert "manifest.json" in check(published, cli)


def test_verify_finds_the_manifest_of_another_snapshot(published: Path, cli: Cli) -> None:
    open_up(published / "r1")
    shutil.copyfile(published / "r2" / "manifest.json", published / "r1" / "manifest.json")
    assert "manifest.json" in check(published, cli)


def test_verify_finds_the_manifest_of_another_snapshot_of_the_same_state_without_the_list(
    published: Path, cli: Cli
) -> None:
    take(published, "r3")
    (published / "releases.json").unlink()
    open_up(published / "r3")
    shutil.copyfile(published / "r2" / "manifest.json", published / "r3" / "manifest.json")
    assert cli("--instance", "r3", "verify").code == 6


def test_verify_finds_that_another_manifest_is_listed(published: Path, cli: Cli) -> None:
    file = published / "releases.json"
    document = json.loads(file.read_bytes())
    document["releases"][0]["manifest_sha256"] = "0" * 64
    file.unlink()
    file.write_text(json.dumps(document))
    assert "releases.json" in check(published, cli)


def test_verify_of_a_snapshot_needs_no_list_of_releases(published: Path, cli: Cli) -> None:
    (published / "releases.json").unlink()
    assert cli("--instance", "r1", "verify", "--full").code == 0


def test_a_repaired_finding_is_no_longer_said(published: Path, cli: Cli) -> None:
    file = some_file(published / "r1", ".fai")
    data = file.read_bytes()
    flip(file)
    check(published, cli)
    file.write_bytes(data)
    assert cli("--instance", "r1", "verify").code == 0
    assert "DAMAGED" not in cli("snapshots").out


# --- prune ------------------------------------------------------------------------------------


def test_prune_removes_by_name_and_the_shards_live_as_long_as_anything_links_them(
    published: Path, cli: Cli
) -> None:
    every = {path.name: path.stat().st_ino for path in shards(published)}
    take(published, "r3")
    result = cli("prune", "r1", "r3")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[:2] == ["removed r1", "removed r3"]
    assert names_of(published) == ["r2"]
    assert os.readlink(published / "latest") == releases_of(published)["latest"] == "r2"
    assert {path.name: path.stat().st_ino for path in shards(published)} == every
    shutil.rmtree(published / "master")
    assert run(published, "--instance", "r2", "verify", "--full") == (0, "")
    for path in (published / "r2").rglob("*.fa.bgz"):
        assert path.stat().st_ino == every[path.name]
        assert path.stat().st_nlink == 1
    assert cli("prune", "r2").code == 0
    left = {path.name for path in published.iterdir()}
    assert left - {".verified"} == {"releases.json", "releases.lock"}
    assert list((published / ".verified").iterdir()) == []
    assert releases_of(published) == {
        "format": "seqarchive-releases", "version": 1, "latest": None, "releases": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("gone", "latest"),
    [(["a"], "c"), (["c"], "b"), (["b"], "c"), (["c", "b"], "a"), (["a", "b", "c"], None)],
)
def test_latest_moves_to_the_newest_that_is_left_or_vanishes(
    loaded: Path, cli: Cli, gone: list[str], latest: str | None
) -> None:
    for name in "abc":
        take(loaded, name)
    assert cli("prune", *gone).code == 0
    assert names_of(loaded) == [name for name in "abc" if name not in gone]
    assert releases_of(loaded)["latest"] == latest
    assert os.path.lexists(loaded / "latest") == (latest is not None)
    if latest:
        assert os.readlink(loaded / "latest") == latest
    for name in names_of(loaded):
        assert cli("--instance", name, "verify", "--full").code == 0
    assert cli("verify", "--full").code == 0


@pytest.mark.parametrize(
    "names", [["nothing"], ["r1", "nothing"], ["master"], ["latest"], [".."], ["r1/../r2"], [""]]
)
@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]], ids=["", "dry"])
def test_prune_of_a_name_that_is_none_removes_nothing(
    published: Path, cli: Cli, names: list[str], dry_run: list[str]
) -> None:
    before = around(published)
    result = cli("prune", *dry_run, *names)
    assert (result.code, result.err.count("\n"), result.out) == (3, 1, "")
    assert around(published) == before


@pytest.mark.parametrize(
    "arguments",
    [[], ["--dry-run"], ["r1", "--keep-last", "1"], ["--keep-last", "0"], ["--keep-daily", "-1"]],
    ids=" ".join,
)
def test_prune_wants_names_or_rules_and_not_both(
    published: Path, cli: Cli, arguments: list[str]
) -> None:
    before = around(published)
    assert cli("prune", *arguments).code == 2
    assert around(published) == before


def test_prune_says_what_it_needs_and_makes_no_root(published: Path, cli: Cli) -> None:
    other = published.parent / "mistyped"
    result = cli("--root", other, "prune", "r1")
    assert (result.code, result.err) == (3, f"seqarchive: there is no archive in {other}\n")
    assert not other.exists()
    assert "is a link; say the name" in cli("prune", "latest").err
    assert "above 0" in cli("prune", "--keep-last", "0").err
    assert cli("push", "").code == 5
    result = cli("--root", other, "push", published.parent / "there")
    assert result.code == 3
    assert "no snapshots in" in result.err


TIMES = [
    "2022-12-31T23:59:59.999999Z",
    "2023-01-01T00:00:00.000000Z",  # the same week by ISO 8601, another day, month and year
    "2024-05-30T08:00:00.000000Z",
    "2024-06-01T12:00:00.000000Z",
    "2024-06-01T18:00:00.000000Z",
    "2024-06-03T00:00:00.000000Z",
]


def dated(root: Path, times: Sequence[str]) -> list[str]:
    """Snapshots that look as if they had been taken at some times."""
    names = [f"s{n}" for n in range(len(times))]
    for name, created in zip(names, times, strict=True):
        take(root, name)
        manifest = Manifest.from_bytes((root / name / "manifest.json").read_bytes(), name)
        text = dataclasses.replace(manifest, created=created).to_bytes()
        open_up(root / name)
        (root / name / "manifest.json").write_bytes(text)
    return names


@pytest.mark.parametrize(
    ("rules", "stay"),
    [
        (["--keep-last", "2"], [4, 5]),
        (["--keep-last", "100"], [0, 1, 2, 3, 4, 5]),
        (["--keep-daily", "2"], [4, 5]),
        (["--keep-daily", "3"], [2, 4, 5]),
        (["--keep-weekly", "3"], [1, 4, 5]),
        (["--keep-weekly", "4"], [1, 4, 5]),
        (["--keep-monthly", "1"], [5]),
        (["--keep-monthly", "4"], [0, 1, 2, 5]),
        (["--keep-yearly", "2"], [1, 5]),
        (["--keep-last", "1", "--keep-weekly", "2", "--keep-yearly", "3"], [0, 1, 4, 5]),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_prune_by_rules_keeps_what_they_say_and_a_dry_run_says_so_before(
    root: Path, cli: Cli, rules: list[str], stay: list[int]
) -> None:
    names = dated(root, TIMES)
    kept_names = [names[n] for n in stay]
    gone = [name for name in names if name not in kept_names]
    before = around(root)
    dry = json.loads(cli("--json", "prune", *rules, "--dry-run").out)
    assert (dry["dry_run"], dry["removed"], dry["kept"]) == (True, gone, kept_names)
    assert around(root) == before
    done = json.loads(cli("--json", "prune", *rules).out)
    assert done == {**dry, "dry_run": False}
    assert names_of(root) == kept_names
    assert os.readlink(root / "latest") == kept_names[-1]


class Shot(NamedTuple):
    created: str


_PERIOD: dict[str, Callable[[datetime], object]] = {
    "daily": lambda time: time.toordinal(),
    "weekly": lambda time: (time.toordinal() - 1) // 7,  # 0001-01-01 was a Monday
    "monthly": lambda time: time.strftime("%Y-%m"),
    "yearly": lambda time: time.strftime("%Y"),
}


def expected_to_stay(times: list[str], last: int, periods: dict[str, int]) -> set[str]:
    """The rules, told in another way: a snapshot stays if there is no later one in its period and
    fewer later periods that have one than the rule has places."""
    stay = {one for one in times if sum(other > one for other in times) < last}
    for rule, places in periods.items():
        period = {one: str(_PERIOD[rule](datetime.fromisoformat(one[:-1]))) for one in times}
        for one in times:
            later = [other for other in times if other > one]
            is_last = all(period[other] != period[one] for other in later)
            if is_last and len({period[other] for other in later}) < places:
                stay.add(one)
    return stay


_moments = st.datetimes(datetime(2019, 12, 20), datetime(2021, 1, 20)) | st.datetimes(
    datetime(2020, 2, 28), datetime(2020, 3, 1)
)
_places = st.integers(0, 5)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(_moments, unique=True, max_size=15),
    _places,
    st.fixed_dictionaries({}, optional=dict.fromkeys(_PERIOD, _places)),
)
@example([datetime(2020, 12, 31), datetime(2021, 1, 1), datetime(2021, 1, 4)], 0, {"weekly": 3})
def test_the_rules_keep_what_an_oracle_keeps(
    moments: list[datetime], last: int, periods: dict[str, int]
) -> None:
    times = [moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") for moment in moments]
    found = [one.created for one in kept(map(Shot, times), last=last, **periods)]
    assert found == sorted(expected_to_stay(times, last, periods), reverse=True)


def test_a_rule_without_a_snapshot_in_its_period_counts_the_next_that_has_one() -> None:
    days = [date(2020, 1, 1) + timedelta(days=30 * n) for n in range(5)]
    times = [f"{day.isoformat()}T00:00:00.000000Z" for day in days]
    assert [one.created for one in kept(map(Shot, times), daily=3)] == times[:1:-1]


def test_a_name_is_free_again_once_its_snapshot_is_gone_and_nothing_of_it_is_remembered(
    published: Path, cli: Cli
) -> None:
    assert cli("--instance", "r1", "verify", "--full").code == 0
    assert cli("prune", "r1").code == 0
    take(published, "r1")
    rows = {row["name"]: row for row in json_of(published, "snapshots")["snapshots"]}
    assert rows["r1"]["verified"] is None
    assert rows["r1"]["batch"] == 3
    assert names_of(published) == ["r2", "r1"]
    assert os.readlink(published / "latest") == "r1"


# --- without being root -----------------------------------------------------------------------


_ORDINARY = """
import io, json, os, sys, tempfile
from contextlib import redirect_stderr, redirect_stdout
from seqarchive import commands
rehearsal, root, user, steps = json.loads(sys.argv[1])
def play(root):
    for step in steps:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = commands.run(["--root", root, *step])
        yield code, out.getvalue(), err.getvalue()
list(play(rehearsal))  # so that all modules are there: the interpreter may be in a closed place
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
json.dump(list(play(root)), sys.stdout)
"""


def test_an_ordinary_user_takes_verifies_and_prunes_snapshots(tmp_path: Path) -> None:
    """Root is stopped by no mode; the owner of read-only directories is."""
    with shared_directory() as directory:
        os.chmod(directory, 0o777)
        root = directory / "archive"
        file = write_fasta(directory / "file.fa", FIRST)
        os.chmod(file, 0o644)
        steps = [
            ["load", "-n", "t", str(file)],
            ["snapshot", "r1"],
            ["snapshot", "r2"],
            ["--instance", "r1", "verify", "--full"],
            ["--instance", "r1", "verify", "--full"],
            ["prune", "r1"],
            ["snapshot", "r3"],
            ["prune", "--keep-last", "1"],
            ["--instance", "r3", "verify", "--full"],
        ]
        what = json.dumps([str(tmp_path / "rehearsal"), str(root), NOBODY, steps])
        done = subprocess.run(
            [sys.executable, "-c", _ORDINARY, what], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        results = [Result(*result) for result in json.loads(done.stdout)]
        for step, result in zip(steps, results, strict=True):
            assert (result.code, result.err) == (0, ""), (step, result)
        assert names_of(root) == ["r3"]
        assert "3 linked" in results[1].out
        assert root.stat().st_uid == (NOBODY if os.geteuid() == 0 else os.geteuid())
        assert stat.S_IMODE((root / "r3").stat().st_mode) & 0o222 == 0
        assert not any(path.name in (".snapshot", ".pruned") for path in root.iterdir())


def test_a_snapshot_of_another_user_is_not_half_removed(tmp_path: Path) -> None:
    with two_users(write_fasta(tmp_path / "file.fa", FIRST)) as users:
        root = users.root
        taken = [*users.second(["snapshot", "r2"]), *users.first(["snapshot", "r3"])]
        assert [(result.code, result.err) for result in taken] == [(0, "")] * 2
        if os.geteuid() != 0:  # they are one
            return
        before = tree(root)
        lines = (["prune", "r2"], ["prune", "r3", "r2"], ["prune", "--keep-yearly", "1"])
        for result in users.first(*lines):
            assert result.code == 8
            assert f"{root}/r2: Operation not permitted; ask its owner" in result.err
        after = tree(root)
        assert {name for name in before if before[name] != after.get(name)} <= {"releases.lock"}
        assert names_of(root) == ["r2", "r3"]
        (pruned,) = users.second(["prune", "r2"])
        assert (pruned.code, pruned.err) == (0, "")
        assert names_of(root) == ["r3"]


@pytest.mark.parametrize("left", [".pruned", ".snapshot"])
def test_what_another_user_was_killed_at_is_in_nobodys_way(tmp_path: Path, left: str) -> None:
    with two_users(write_fasta(tmp_path / "file.fa", FIRST)) as users:
        root = users.root
        (taken,) = users.second(["snapshot", "r2"])
        assert taken.code == 0, taken.err
        os.rename(root / "r2", root / left)
        results = users.first(
            ["snapshot", "r3"], ["prune", "r3"], ["snapshot", "r4"], ["repair", "--reclaim"]
        )
        assert [(result.code, result.err) for result in results] == [(0, "")] * 4
        assert [path.name for path in root.glob("r?")] == ["r4"]
        hidden = {path.name for path in root.iterdir() if path.name.startswith((left, ".pruned"))}
        assert hidden == ({left} if os.geteuid() == 0 else set())
        (mine,) = users.second(["snapshot", "r5"])
        assert (mine.code, mine.err) == (0, "")
        assert not (root / left).exists()


def test_an_instance_says_whether_it_is_a_snapshot(published: Path) -> None:
    assert Instance(published, "r1").is_snapshot
    assert not Instance(published).is_snapshot
    (published / "plain").mkdir()
    assert not Instance(published, "plain").is_snapshot


def test_the_digests_of_chunks_are_those_of_the_database_and_of_the_indexes(
    loaded: Path,
) -> None:
    seqarchive.connect(loaded).snapshot("r1")
    expected = b""
    for path in sorted(p for p in (loaded / "r1").rglob("*") if p.is_file()):
        if path.name == "aliases.sqlite3" or path.suffix == ".gzi":
            data = path.read_bytes()
            for at in range(0, len(data), 32_768):
                expected += hashlib.sha256(data[at : at + 32_768]).digest()[:16]
    assert (loaded / "r1" / "chunks.sha256").read_bytes() == expected
    assert len(expected) > 16 * 4


def test_full_verification_sees_wrong_digests_of_chunks(loaded: Path, cli: Cli) -> None:
    seqarchive.connect(loaded).snapshot("r1")
    path = loaded / "r1" / "chunks.sha256"
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    # Somebody who makes the manifest fit.
    manifest = json.loads((loaded / "r1" / "manifest.json").read_bytes())
    for file in manifest["files"]:
        if file["path"] == path.name:
            file["sha256"] = hashlib.sha256(data).hexdigest()
    (loaded / "r1" / "manifest.json").chmod(0o644)
    (loaded / "r1" / "manifest.json").write_text(json.dumps(manifest))
    (loaded / "releases.json").unlink()
    assert cli("--instance", "r1", "verify").code == 0
    found = cli("--instance", "r1", "verify", "--full")
    assert found.code == 6
    assert "chunks.sha256: not the digests of the files" in found.out
