"""Killed, or refused by the disk, in ``import-seqrepo`` and ``export-seqrepo``: all or nothing, and
the same command again ends where an undisturbed one does.

The tests take a sample of the system calls; with the environment variable SEQARCHIVE_ALL_FAULTS
they take every one.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from biocommons.seqrepo import SeqRepo
from contents import contents, random_residues, run, untidy
from faults import every_kind, traced

from seqarchive import durable
from seqarchive.instances import Instance
from seqarchive.verifying import verify

# SeqRepo relies on what newer Pythons warn of.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The default (datetime|timestamp):DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*unclosed data:pytest.PytestUnraisableExceptionWarning"),
]

_EVERY = 1 if os.environ.get("SEQARCHIVE_ALL_FAULTS") else 25

_FAULTS = ("signal=SIGKILL", "error=ENOSPC", "error=EIO")


def _succeed(root: Path, *arguments: str) -> None:
    code, err = run(root, *arguments)
    assert code == 0, err


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instance of SeqRepo with two shards and a name that has moved."""
    directory = tmp_path_factory.mktemp("theirs") / "master"
    for n in range(2):
        real = SeqRepo(str(directory), writeable=True)
        for k in range(3):
            residues = random_residues(f"{n}.{k}", 40 + 30_000 * k)
            real.store(residues, [{"namespace": "refseq", "alias": f"NM_{k}.{n * k}"}])
        real.commit()
    return directory


@pytest.mark.parametrize("fault", _FAULTS)
def test_an_import_is_there_as_a_whole_or_not_at_all(
    tmp_path: Path, theirs: Path, fault: str
) -> None:
    command = ["import-seqrepo", str(theirs)]
    clean = tmp_path / "clean" / "root"
    clean.parent.mkdir()
    _succeed(clean, "init")
    before = contents(clean)
    ended = traced(clean, command)
    assert ended.code == 0, ended.err
    after = contents(clean)
    for n, call in enumerate(every_kind(ended.calls, _EVERY)):
        root = tmp_path / str(n) / "root"
        root.parent.mkdir()
        _succeed(root, "init")
        traced(root, command, f"{call.kind}:{fault}:when={call.number}")
        assert contents(root) in (before, after), call
        assert verify(Instance(root), full=True).findings == [], call
        _succeed(root, *command)
        assert contents(root) == after, call
        assert verify(Instance(root), full=True).findings == [], call
        assert untidy(root) == [], call
        shutil.rmtree(root.parent)


def _exported(directory: Path) -> tuple[list[object], ...]:
    """What the real package would read."""
    queries = {
        "aliases.sqlite3": "SELECT seq_id, namespace, alias, is_current FROM seqalias"
        " ORDER BY namespace, alias",
        "sequences/db.sqlite3": "SELECT seq_id, len FROM seqinfo ORDER BY 1",
    }
    found = []
    for name, query in queries.items():
        with closing(sqlite3.connect(directory / name)) as database:
            found.append(database.execute(query).fetchall())
    return tuple(found)


@pytest.mark.parametrize("fault", _FAULTS)
def test_an_export_that_was_disturbed_can_be_repeated(
    tmp_path: Path, theirs: Path, fault: str
) -> None:
    template = tmp_path / "template" / "root"
    template.parent.mkdir()
    _succeed(template, "import-seqrepo", str(theirs))
    _succeed(template, "export-seqrepo")
    first = _exported(template / "seqrepo" / "master")
    _succeed(template, "alias", "add", "refseq:NM_1.0", "lab:new")
    clean = tmp_path / "clean" / "root"
    shutil.copytree(template.parent, clean.parent, symlinks=True)
    ended = traced(clean, ["export-seqrepo"])
    assert ended.code == 0, ended.err
    second = _exported(clean / "seqrepo" / "master")
    assert first != second
    for n, call in enumerate(every_kind(ended.calls, _EVERY)):
        root = tmp_path / str(n) / "root"
        shutil.copytree(template.parent, root.parent, symlinks=True)
        traced(root, ["export-seqrepo"], f"{call.kind}:{fault}:when={call.number}")
        directory = root / "seqrepo" / "master"
        for part, (old, new) in enumerate(zip(first, second, strict=True)):
            assert _exported(directory)[part] in (old, new), call
        real = SeqRepo(str(directory))
        assert all(record["len"] == len(record["seq"]) for record, _ in real), call
        _succeed(root, "export-seqrepo")
        assert _exported(directory) == second, call
        assert not (directory / ".tmp").exists(), call
        durable.remove_directory(root.parent)
