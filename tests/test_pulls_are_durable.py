"""All of a release that is pulled is durable before it appears.

What happens when a pull is killed or refused by the disk is in ``test_faults.py``.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from scenarios import publish
from servers import serving
from traces import Call, all_calls


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


_WRITING = frozenset({"write", "writev", "pwrite64", "ftruncate", "copy_file_range", "sendfile"})
_ENTERING = frozenset({"mkdir", "link", "linkat", "openat", "rename", "unlink", "symlink"})


def broken_rules(calls: list[Call], root: Path, release: str) -> list[str]:
    """What is wrong with the order of the calls of a pull; ``root`` is what came of it."""
    calls = [call for call in calls if call.result != "-1"]
    unfinished = f".pull-{release}"
    appears = [n for n, call in enumerate(calls) if call.paths == (unfinished, release)]
    if [calls[n].kind for n in appears] != ["rename"]:
        return ["the release does not appear by one rename"]
    return [
        *_about_files(calls, appears[0], root, release),
        *_about_directories(calls, appears[0], root, release),
        *_about_what_follows(calls, appears[0], release),
    ]


def _at(calls: list[Call], kinds: frozenset[str], path: str) -> list[int]:
    return [n for n, call in enumerate(calls) if call.kind in kinds and path in call.paths]


_FSYNC = frozenset({"fsync"})


def _about_files(calls: list[Call], rename: int, root: Path, release: str) -> Iterator[str]:
    for file in (root / release).rglob("*"):
        if file.is_dir():
            continue
        path = f".pull-{release}/{file.relative_to(root / release).as_posix()}"
        part = f".parts-{release}/{_sha256(file)}"
        written = max([*_at(calls, _WRITING, path), *_at(calls, _WRITING, part)], default=None)
        if written is None:
            yield f"{path} was never written"
            continue
        synced = [*_at(calls, _FSYNC, path), *_at(calls, _FSYNC, part)]
        if not any(written < n < rename for n in synced):
            yield f"{path} was not fsynced between its last write and the rename"


def _about_directories(calls: list[Call], rename: int, root: Path, release: str) -> Iterator[str]:
    for directory in (root / release, *(root / release).rglob("*")):
        if not directory.is_dir():
            continue
        path = os.path.normpath(f".pull-{release}/{directory.relative_to(root / release)}")
        entered = [
            n
            for n, call in enumerate(calls)
            if call.kind in _ENTERING and any(os.path.dirname(one) == path for one in call.paths)
        ]
        if not any(max(n for n in entered if n < rename) < n < rename
                   for n in _at(calls, _FSYNC, path)):  # fmt: skip
            yield f"the directory {path} was not fsynced between its last entry and the rename"


def _about_what_follows(calls: list[Call], rename: int, release: str) -> Iterator[str]:
    roots = _at(calls, _FSYNC, ".")
    (index,) = _at(calls, frozenset({"rename"}), "releases.json") or (-1,)
    (latest,) = _at(calls, frozenset({"rename"}), "latest") or (-1,)
    if not rename < index < latest:
        yield "the list and `latest` do not follow the release"
        return
    for first, then in ((rename, index), (index, latest), (latest, len(calls))):
        if not any(first < n < then for n in roots):
            yield f"the root was not fsynced after {calls[first]} before what follows from it"
    removed = [
        n
        for n, call in enumerate(calls)
        if call.kind in ("rmdir", "unlinkat") and call.paths and call.paths[0].endswith("parts-r1")
    ]
    if not removed or not latest < min(removed):
        yield "what says that something is to be done is gone before it is done"
    for call in calls[rename + 1 :]:
        if call.kind in _WRITING | {"openat"} and any(
            path.split("/")[0] in (release, f".pull-{release}") for path in call.paths
        ):
            yield f"{call} comes after the release appeared"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("published") / "archive"
    publish(root)
    return root


@pytest.mark.parametrize("is_remote", [True, False], ids=["fetched", "copied"])
def test_all_of_a_release_is_durable_before_it_appears(
    published: Path, tmp_path: Path, is_remote: bool
) -> None:
    root = tmp_path / "archive"
    with serving(published) as web:
        source = web.url if is_remote else str(_elsewhere(published, tmp_path))
        calls = all_calls(root, ["pull", "--jobs", "1", source, "r1"])
    assert broken_rules(calls, root, "r1") == []
    needed = {  # the last one of its kind on its path
        (call.kind, call.paths): n
        for n, call in enumerate(calls)
        if call.result != "-1"
        and call.kind in ("rename", "fsync")
        and not call.place.endswith(".lock")
        and call.place != ".."
        and not call.place.startswith(".releases.json")
    }
    assert len(needed) > 10
    for n in needed.values():
        without = calls[:n] + calls[n + 1 :]
        assert broken_rules(without, root, "r1"), f"nobody misses {calls[n]}"


def _elsewhere(root: Path, directory: Path) -> Path:
    """A copy that cannot be linked: who may write to a file could change it later."""
    other = directory / "other"
    subprocess.run(["cp", "-a", str(root), str(other)], check=True)
    for path in other.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return other
