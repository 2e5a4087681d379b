"""Damage is mended by whatever has the same bytes, and by nothing else.

The copies are real ones: a snapshot, another archive, what was pushed, what a web server has.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli
from contents import contents, random_residues, run, verified
from helpers import contents as files_in
from helpers import shards, tree, write_fasta
from servers import Answer, serving
from traces import traced

FIRST = {"A.1": random_residues("A.1", 300), "L.1": random_residues("L.1", 60_000)}
SECOND = {"B.1": random_residues("B.1", 50_000)}
GENES = "A.1\t5\t40\tone\nL.1\t100\t2000\ttwo\n"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with a snapshot, a batch behind it, and a track; and a copy that was pushed."""
    directory = tmp_path_factory.mktemp("sound")
    root = directory / "archive"
    for name, records in (("first", FIRST), ("second", SECOND)):
        write_fasta(directory / f"{name}.fa", records)
    (directory / "genes.bed").write_text(GENES)
    fasta = str(directory / "first.fa")
    for arguments in (
        ["genome", "init", "-f", fasta, "-n", "g"],
        ["track", "put", "--genome", "g", str(directory / "genes.bed")],
        ["snapshot", "r1"],
        ["push", str(directory / "pushed"), "r1"],
        ["load", "--namespace", "t", str(directory / "second.fa")],
    ):
        assert run(root, "-q", *arguments) == (0, ""), arguments
    return root


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    """A copy of it, in which the snapshot shares its files as before; what was pushed, which on
    one disk is linked too, is on a disk of its own."""
    for path in sorted(sound.parent.iterdir()):
        subprocess.run(["cp", "-a", str(path), str(tmp_path)], check=True)
    return tmp_path / sound.name


@pytest.fixture
def pushed(root: Path) -> Path:
    return root.parent / "pushed"


def flip(path: Path) -> None:
    """Change a bit in place, so that all names of the file have it."""
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 8
    path.write_bytes(data)
    path.chmod(0o444)


def delete(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[: len(data) // 3])


def lead_away(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


def everything(path: Path) -> list[Path]:
    """A shard with its indexes."""
    return [path.with_name(path.name + suffix) for suffix in ("", ".fai", ".gzi")]


def the_track(root: Path) -> Path:
    (found,) = (root / "master" / "tracks").rglob("*.bed.gz")
    return found


def report_of(cli: Cli, *arguments: str | Path) -> dict[str, Any]:
    done = cli("--json", "repair", *arguments)
    report: dict[str, Any] = json.loads(done.out)
    assert done.code == (6 if report["not_repaired"] else 0)
    return report


def is_as_before(root: Path, sound: Path) -> None:
    assert verified(root).findings == []
    for part in ("sequences", "tracks"):
        assert tree(root / "master" / part) == tree(sound / "master" / part)
    assert contents(root) == contents(sound)
    for path in (root / "master" / "sequences").rglob("*.fa.bgz*"):
        assert path.stat().st_mode & 0o777 == 0o444


def test_a_lost_shard_comes_back_from_a_snapshot_without_being_asked_for(
    root: Path, sound: Path, cli: Cli
) -> None:
    for path in everything(shards(root)[0]):
        path.unlink()
    report = report_of(cli, "--root", root)
    name = shards(sound)[0].relative_to(sound / "master").as_posix()
    assert report["replaced"] == [{"path": name, "from": f"{root / 'r1'}/{name}"}]
    assert sorted(report["rebuilt"]) == [f"{name}.fai", f"{name}.gzi"]
    assert report["snapshots"] == []
    is_as_before(root, sound)
    assert shards(root)[0].samefile(root / "r1" / name)


@pytest.mark.parametrize("damage", [flip, delete, cut, lead_away])
@pytest.mark.parametrize("kind", ["pushed", "snapshot of it", "archive", "instance", "file:///"])
def test_a_copy_mends_what_is_damaged_here(
    root: Path, sound: Path, pushed: Path, cli: Cli, damage: Callable[[Path], None], kind: str
) -> None:
    address = {
        "pushed": str(pushed),
        "snapshot of it": str(pushed / "r1"),
        "archive": str(sound),
        "instance": str(sound / "master"),
        "file:///": sound.as_uri(),
    }[kind]
    name = shards(root)[0].relative_to(root / "master")
    for instance in ("master", "r1"):
        (root / instance / name.parent).chmod(0o755)
        if instance == "master" or damage is not flip:
            damage(root / instance / name)
    assert report_of(cli, "--root", root)["replaced"] == []
    report = report_of(cli, "--root", root, "--from", address)
    (replaced,) = report["replaced"]
    assert replaced["path"] == name.as_posix()
    assert replaced["from"].startswith(address.removeprefix("file://"))
    assert report["snapshots"] == ["r1"]
    is_as_before(root, sound)


def test_the_same_file_in_an_archive_that_another_has_loaded_is_a_copy(
    root: Path, sound: Path, cli: Cli, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    assert run(other, "load", "--namespace", "x", str(root.parent / "second.fa")) == (0, "")
    (theirs,) = shards(other)
    lost = shards(root)[1]
    assert theirs.relative_to(other) != lost.relative_to(root)
    flip(lost)
    report = report_of(cli, "--root", root, "--from", other)
    assert [one["from"] for one in report["replaced"]] == [str(theirs)]
    is_as_before(root, sound)


def test_a_track_comes_back_too(root: Path, sound: Path, cli: Cli) -> None:
    flip(the_track(root))
    report = report_of(cli, "--root", root, "--from", sound)
    assert [one["path"] for one in report["replaced"]] == [
        the_track(root).relative_to(root / "master").as_posix()
    ]
    is_as_before(root, sound)


def test_a_mirror_mends_master_and_then_the_snapshot(
    root: Path, sound: Path, pushed: Path, cli: Cli
) -> None:
    flip(shards(root)[0])
    flip(the_track(root))
    with serving(pushed) as server:
        done = cli("--root", root, "repair", "--from", server.url)
        assert done.code == 0, done.err
        assert done.out.count("replaced: ") == 2
        assert f"from {server.url}" in done.out
        (advice,) = done.err.splitlines()
        command = advice.split("`")[1].split()
    is_as_before(root, sound)
    assert run(root, "--instance", "r1", "verify", "--full")[0] == 6
    assert cli(*command[1:]).code == 0
    assert run(root, "--instance", "r1", "verify", "--full") == (0, "")
    assert tree(root / "r1") == tree(sound / "r1")
    # By a link, as before: nothing is on the disk twice.
    assert shards(root)[0].stat().st_nlink == 2
    for path in (root / "r1", *(root / "r1").rglob("*")):
        assert path.stat().st_mode & 0o222 == 0


@pytest.mark.parametrize("name", ["aliases.sqlite3", "manifest.json", "chunks.sha256"])
@pytest.mark.parametrize("damage", [flip, delete, cut])
def test_any_file_of_a_snapshot_comes_from_a_mirror(
    root: Path, sound: Path, pushed: Path, cli: Cli, name: str, damage: Callable[[Path], None]
) -> None:
    (root / "r1").chmod(0o755)
    damage(root / "r1" / name)
    (root / "r1").chmod(0o555)
    snapshot = ["--root", str(root), "--instance", "r1"]
    with serving(pushed) as server:
        done = cli(*snapshot, "repair", "--from", server.url)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"replaced: {name} from {server.url}/r1/{name}\n"
    assert cli(*snapshot, "verify", "--full").code == 0
    assert tree(root / "r1") == tree(sound / "r1")


def test_a_snapshot_is_mended_only_if_a_copy_is_named(root: Path, cli: Cli) -> None:
    before = tree(root / "r1")
    assert cli("--root", root, "--instance", "r1", "repair").code == 8
    done = cli("--root", root, "--instance", "latest", "repair", "--from", root)
    assert (done.code, done.out) == (0, "nothing to repair\n")
    assert tree(root / "r1") == before


def test_a_copy_with_the_same_damage_mends_nothing(
    root: Path, pushed: Path, cli: Cli, tmp_path: Path
) -> None:
    name = shards(root)[0].relative_to(root / "master")
    flip(shards(root)[0])
    other = pushed / "r1" / name
    shutil.copyfile(shards(root)[0], tmp_path / "bad")
    other.parent.chmod(0o755)
    other.unlink()
    shutil.copyfile(tmp_path / "bad", other)
    before = files_in(root)
    for address in (str(pushed), str(root)):
        done = cli("--root", root, "repair", "--from", address)
        assert done.code == 6
        assert f"not repaired: {name}" in done.out
        assert "replaced" not in done.out
        assert done.err.count("\n") == 1
        assert "--from COPY" in done.err
    with serving(pushed) as server:
        assert cli("--root", root, "repair", "--from", server.url).code == 6
    assert files_in(root) == before


@pytest.mark.parametrize("fault", ["longer", "other", "short", "endless"])
def test_a_server_that_lies_mends_nothing(root: Path, pushed: Path, cli: Cli, fault: str) -> None:
    bad = shards(root)[0]
    flip(bad)
    data = bad.read_bytes()

    def lie(answer: Answer) -> None:
        if not answer.path.endswith(".fa.bgz"):
            return
        if fault == "short":
            answer.body = answer.body[:100]
        elif fault == "other":
            answer.body = bytes(len(answer.body))
        elif fault == "longer":
            answer.body += b"more"
        else:
            answer.endless = True
            del answer.headers["Content-Length"]
        if "Content-Length" in answer.headers:
            answer.headers["Content-Length"] = str(len(answer.body))

    with serving(pushed) as server:
        server.fault = lie
        done = cli("--root", root, "repair", "--from", server.url)
    assert done.code in (6, 9)
    assert bad.read_bytes() == data
    assert [path for path in (root / "master" / "tmp").iterdir() if path.is_file()] == []


def test_a_copy_that_is_none_is_said_before_anything_is_changed(
    root: Path, cli: Cli, tmp_path: Path
) -> None:
    flip(shards(root)[0])
    before = tree(root)
    (tmp_path / "empty").mkdir()
    with serving(tmp_path / "empty") as server:
        for address, code in ((str(tmp_path / "empty"), 3), (server.url, 3), ("ftp://a/b", 9)):
            done = cli("--root", root, "repair", "--from", address)
            assert (done.code, done.out, done.err.count("\n")) == (code, "", 1), done
            assert tree(root) == before
    assert cli("--root", root, "repair", "--reclaim", "--from", root).code == 2


def test_killed_at_any_call_the_next_repair_completes_it(
    root: Path, sound: Path, tmp_path: Path
) -> None:
    """Those that give the shard and an index their names; all with SEQARCHIVE_ALL_FAULTS."""
    lost = shards(root)[0]
    lost.unlink()
    lost.with_name(lost.name + ".gzi").unlink()
    clean = root.parent / "clean"
    command = ["repair", "--from", str(sound)]

    def fresh() -> Path:
        shutil.rmtree(clean, ignore_errors=True)
        subprocess.run(["cp", "-a", str(root), str(clean)], check=True)
        return clean

    calls = traced(fresh(), command).calls
    renames = [call for call in calls if call.kind.startswith(("rename", "link"))]
    some = calls if os.environ.get("SEQARCHIVE_ALL_FAULTS") else renames[:2]
    assert len(renames) >= 2
    for call in some:
        injection = f"{call.kind}:signal=SIGKILL:when={call.number}"
        assert traced(fresh(), command, injection).code in (-signal.SIGKILL, 0, 128 + 9)
        found = verified(clean).findings
        assert all(lost.name in str(finding) for finding in found), (call, found)
        done = subprocess.run(
            [sys.executable, "-m", "seqarchive", "--root", str(clean), *command],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (call, done)
        is_as_before(clean, sound)
        assert list((clean / "master" / "tmp").iterdir()) == []


def test_what_is_replaced_has_the_right_digest_whatever_the_copy_says(
    root: Path, sound: Path, cli: Cli, tmp_path: Path
) -> None:
    """A foreign archive whose database names our digest for bytes of its own."""
    flip(shards(root)[0])
    right = hashlib.sha256(shards(sound)[0].read_bytes()).digest()
    other = tmp_path / "liar"
    shutil.copytree(sound / "master", other, symlinks=True)
    for path in other.rglob("*.fa.bgz"):
        flip(path)
    report = report_of(cli, "--root", root, "--from", other)
    assert report["replaced"] == []
    for found in report["not_repaired"]:
        assert right.hex() not in found
