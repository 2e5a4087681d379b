"""All of a snapshot is durable before it appears; a prune takes it from the list before it goes.

What happens when either is killed or refused by the disk is in ``test_faults.py``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from scenarios import released, released_thrice
from traces import Call, traced


def broken_rules(calls: list[Call], root: Path) -> list[str]:
    """What is wrong with the order of the calls of ``snapshot new``; ``root`` is what came of it.

    That a shard is durable was seen to when it was published; here are its names."""
    calls = [call for call in calls if call.result != "-1"]
    appears = [n for n, call in enumerate(calls) if call.paths == (".snapshot", "new")]
    if [calls[n].kind for n in appears] != ["rename"]:
        return ["the snapshot does not appear by one rename"]
    (rename,) = appears
    return [
        *_about_its_files(calls, rename, root),
        *_about_its_directories(calls, rename, root),
        *_about_what_comes_after(calls, rename),
    ]


def _positions(calls: list[Call], kinds: str, path: str) -> list[int]:
    return [n for n, call in enumerate(calls) if call.kind in kinds.split() and path in call.paths]


_WRITING = "write pwrite64 ftruncate copy_file_range sendfile"


def _about_its_files(calls: list[Call], rename: int, root: Path) -> Iterator[str]:
    for name in sorted(path.name for path in (root / "new").iterdir() if path.is_file()):
        path = f".snapshot/{name}"
        written, synced = _positions(calls, _WRITING, path), _positions(calls, "fsync", path)
        if not written:
            yield f"{name} was never written"
        if not any(max(written, default=0) < n < rename for n in synced):
            yield f"{name} was not fsynced between its last write and the rename"
        if not any(n < rename for n in _positions(calls, "chmod", path)):
            yield f"{name} could be written when it appeared"
    for shard in sorted((root / "new").rglob("*.fa.bgz*")):
        name = shard.relative_to(root / "new").as_posix()
        links = _positions(calls, "link linkat", f".snapshot/{name}")
        if [calls[n].paths for n in links] != [(f"master/{name}", f".snapshot/{name}")]:
            yield f"{name} is not a link to the one of master"


def _about_its_directories(calls: list[Call], rename: int, root: Path) -> Iterator[str]:
    directories = [root / "new", *(path for path in (root / "new").rglob("*") if path.is_dir())]
    for directory in directories:
        path = os.path.normpath(Path(".snapshot", directory.relative_to(root / "new")))
        entered = [
            n
            for n, call in enumerate(calls)
            if call.kind in ("mkdir", "link", "linkat", "openat", "rename", "unlink")
            and any(os.path.dirname(other) == path for other in call.paths)
        ]
        synced = _positions(calls, "fsync", path)
        if not any(max(entered) < n < rename for n in synced):
            yield f"the directory {path} was not fsynced between its last entry and the rename"
        if not any(max(entered) < n < rename for n in _positions(calls, "chmod", path)):
            yield f"the directory {path} could be written when it appeared"


def _about_what_comes_after(calls: list[Call], rename: int) -> Iterator[str]:
    for call in calls[rename + 1 :]:
        if any(path.split("/")[0] in (".snapshot", "new", "master") for path in call.paths):
            yield f"{call} comes after the snapshot appeared"
    roots = _positions(calls, "fsync", ".")
    index = _positions(calls, "rename", "releases.json")
    latest = _positions(calls, "rename", "latest")
    if len(index) != 1 or len(latest) != 1:
        yield "releases.json and `latest` do not each appear by one rename"
        return
    if not any(rename < n < min(index) for n in roots):
        yield "the root was not fsynced before the snapshot was listed"
    for n in (*index, *latest):
        if n < rename:
            yield f"{calls[n]} comes before the snapshot"
        following = min((other for other in (*index, *latest) if other > n), default=len(calls))
        if not any(n < other < following for other in roots):
            yield f"the root was not fsynced after {calls[n]} before what follows from it"
    if index > latest:
        yield "`latest` moved before releases.json did"
    temporary = ".releases.json"
    written, synced = _positions(calls, _WRITING, temporary), _positions(calls, "fsync", temporary)
    if not any(max(written, default=0) < n < min(index) for n in synced):
        yield "releases.json was not fsynced before it had its name"


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Call], Path]:
    root = tmp_path_factory.mktemp("trace") / "archive"
    released(root, root.parent)
    ended = traced(root, ["snapshot", "new"])
    assert ended.code == 0, ended.err
    return ended.calls, root


def test_all_of_a_snapshot_is_durable_before_it_appears_and_nothing_is_written_after(
    trace: tuple[list[Call], Path],
) -> None:
    assert broken_rules(*trace) == []


def test_each_of_these_calls_is_needed(trace: tuple[list[Call], Path]) -> None:
    calls, root = trace
    needed = {  # the last one of its kind on its path
        (call.kind, call.paths): n
        for n, call in enumerate(calls)
        if call.result != "-1"
        and call.kind in ("linkat", "rename", "fsync", "chmod")
        and call.place not in ("releases.lock", ".releases.json")
    }
    assert len(needed) > 20
    for n in needed.values():
        assert broken_rules(calls[:n] + calls[n + 1 :], root), f"nobody misses {calls[n]}"
    syncs = [n for n, call in enumerate(calls) if call.kind == "fsync" and call.paths == (".",)]
    for n in syncs:
        assert broken_rules(calls[:n] + calls[n + 1 :], root), f"nobody misses {calls[n]}"
    late = next(call for call in calls if call.paths == (".snapshot/manifest.json",))
    assert broken_rules([*calls, late], root), "nobody notices a late write"


def test_a_prune_takes_the_release_from_the_list_before_it_goes(
    tmp_path: Path,
) -> None:
    root = tmp_path / "archive"
    released_thrice(root, root.parent)
    ended = traced(root, ["prune", "r3"])
    assert ended.code == 0, ended.err
    calls = [call for call in ended.calls if call.result != "-1"]
    (index,) = _positions(calls, "rename", "releases.json")
    (latest,) = _positions(calls, "rename", "latest")
    (goes,) = _positions(calls, "rename", "r3")
    removed = [
        n
        for n, call in enumerate(calls)
        if call.kind in ("unlink", "unlinkat", "rmdir")
        and call.paths[0].startswith((".pruned", ".."))
    ]
    assert index < latest < goes < min(removed)
    roots = _positions(calls, "fsync", ".")
    assert any(latest < n < goes for n in roots)
    assert any(goes < n < min(removed) for n in roots)
    # Another release may get the name, of which the note of this one must not speak.
    (forgotten,) = _positions(calls, "unlink", ".verified/r3.json")
    assert any(forgotten < n < goes for n in _positions(calls, "fsync", ".verified"))
    touched = [call for call in calls if any(path.startswith("master") for path in call.paths)]
    assert touched == []
