"""Killed, or refused by the disk, at any system call of ``export-rgstore``: whoever reads the store
finds all that its indexes name, and the next export completes it and leaves nothing behind.

The tests take a sample of the calls; with the environment variable SEQARCHIVE_ALL_FAULTS they take
every one.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from contents import random_residues, run
from faults import every_kind, traced
from gtars.refget import RefgetStore
from helpers import sha512t24u, write_fasta

from seqarchive.rgstore.verifying import verify_rgstore
from seqarchive.sources.directory import DirectorySource

_EVERY = 1 if os.environ.get("SEQARCHIVE_ALL_FAULTS") else 60

_FAULTS = ("signal=SIGKILL", "error=ENOSPC", "error=EIO")


def _succeed(root: Path, *arguments: str) -> None:
    code, err = run(root, *arguments)
    assert code == 0, err


def _load(root: Path, name: str, records: dict[str, str]) -> None:
    file = write_fasta(root.parent / f"{name}.fa", records)
    _succeed(root, "load", "-n", name, "--collection", f"lab:{name}", str(file))
    file.unlink()


@pytest.fixture(scope="module", params=["new", "again"])
def archive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive that was not exported yet, or that has more than when it was."""
    root = tmp_path_factory.mktemp("template") / "root"
    _load(root, "one", {"a": random_residues("a", 70_000), "b": "ACGTN", "c": ""})
    if request.param == "again":
        _succeed(root, "export-rgstore")
        _load(root, "two", {"b": "ACGTN", "d": "MKVLE", "e": random_residues("e", 300)})
        _succeed(root, "collection", "unname", "lab:one")
    return root


def _contents(store: Path) -> dict[str, bytes]:
    found = {
        path.relative_to(store).as_posix(): path.read_bytes()
        for path in store.rglob("*")
        if path.is_file()
    }
    manifest = json.loads(found["rgstore.json"])
    del manifest["modified"], manifest["created_at"]
    return {**found, "rgstore.json": json.dumps(manifest).encode()}


def _require_readable(store: Path) -> None:
    """Whatever an index names is there, and is what it says; gtars sees the same."""
    if not (store / "rgstore.json").exists():
        return
    opened = RefgetStore.open_local(str(store))
    opened.set_quiet(True)
    for one in opened.list_sequences():
        text = opened.get_substring(one.sha512t24u, 0, one.length) if one.length else ""
        assert sha512t24u(text) == one.sha512t24u
    for one in opened.list_collections()["results"]:
        assert len(opened.get_collection(one.digest).sequences) == one.n_sequences


@pytest.mark.parametrize("fault", _FAULTS)
def test_an_export_that_was_disturbed_is_readable_and_the_next_completes_it(
    tmp_path: Path, archive: Path, fault: str
) -> None:
    clean = tmp_path / "clean" / "root"
    shutil.copytree(archive.parent, clean.parent, symlinks=True)
    ended = traced(clean, ["export-rgstore"])
    assert ended.code == 0, ended.err
    expected = _contents(clean / "rgstore")
    beside = sorted(path.name for path in clean.iterdir())
    chosen = every_kind(ended.calls, _EVERY)
    if _EVERY > 1 and "error" in fault:  # of what the disk refuses, one half each
        chosen = chosen[fault == _FAULTS[1] :: 2]
    for n, call in enumerate(chosen):
        root = tmp_path / str(n) / "root"
        shutil.copytree(archive.parent, root.parent, symlinks=True)
        traced(root, ["export-rgstore"], f"{call.kind}:{fault}:when={call.number}")
        _require_readable(root / "rgstore")
        _succeed(root, "export-rgstore")
        assert _contents(root / "rgstore") == expected, call
        findings = verify_rgstore(DirectorySource(root / "rgstore"), full=True).findings
        assert findings == [], call
        assert sorted(path.name for path in root.iterdir()) == beside, call
        shutil.rmtree(root.parent)
