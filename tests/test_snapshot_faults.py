"""Killed, or refused by the disk, at any system call of ``snapshot`` and ``prune``: the archive and
the other releases are whole, no half release can be seen, and the next command finds nothing in
its way.

The tests take a sample of the calls; with the environment variable SEQARCHIVE_ALL_FAULTS they take
every one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from contents import Contents, contents, random_residues, run, untidy
from faults import Call, Ended, traced
from helpers import write_fasta

from seqarchive.catalogue import list_snapshots
from seqarchive.instances import Instance
from seqarchive.verifying import verify

ALL = bool(os.environ.get("SEQARCHIVE_ALL_FAULTS"))

# --- scenarios --------------------------------------------------------------------------------


class Scenario(NamedTuple):
    """A command that changes which releases there are."""

    name: str
    command: list[str]
    prepare: Callable[[Path], None]
    every: int
    """Of how many of its calls the sample takes one."""
    removed: frozenset[str] = frozenset()


def _succeed(root: Path, *arguments: str) -> None:
    code, err = run(root, *arguments)
    assert code == 0, err


def _loaded(root: Path) -> None:
    for n in range(2):
        records = {f"{n}.{k}": random_residues(f"{n}.{k}", 30 + 9000 * k) for k in range(3)}
        file = write_fasta(root.parent / f"{n}.fa", records)
        _succeed(root, "load", "-n", "t", str(file))


def _released(root: Path) -> None:
    _loaded(root)
    _succeed(root, "snapshot", "r1")
    _succeed(root, "alias", "add", "t:0.0", "t:other")


def _released_thrice(root: Path) -> None:
    _released(root)
    for name in ("r2", "r3"):
        _succeed(root, "snapshot", name)
    for name in ("r1", "r2", "r3"):
        _succeed(root, "--instance", name, "verify")


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("first", ["snapshot", "new"], _loaded, 50),
        Scenario("next", ["snapshot", "new"], _released, 40),
        Scenario(
            "prune by rule",
            ["prune", "--keep-last", "1"],
            _released_thrice,
            50,
            frozenset({"r1", "r2"}),
        ),
        Scenario("prune latest", ["prune", "r3"], _released_thrice, 30, frozenset({"r3"})),
    )
}


class State(NamedTuple):
    """What releases there are to be seen, the oldest first, but for the moment of each."""

    releases: tuple[tuple[Any, ...], ...]
    """Name, batch, parent, and the files with their SHA-256."""
    listed: tuple[str, ...]
    """Names in ``releases.json``."""
    latest: tuple[str | None, str | None]
    """In ``releases.json``, and as the link says."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(release[0] for release in self.releases)


def state_of(root: Path) -> State:
    rows, broken = list_snapshots(root)
    assert broken == [], broken
    manifests = [
        json.loads((root / row["name"] / "manifest.json").read_bytes()) for row in rows["snapshots"]
    ]
    created = [manifest["created"] for manifest in manifests]
    assert created == sorted(set(created)), "not in their order"
    releases = tuple(
        (
            manifest["name"],
            manifest["batch"],
            manifest["parent"],
            tuple((file["path"], file["sha256"]) for file in manifest["files"]),
        )
        for manifest in manifests
    )
    try:
        index = json.loads((root / "releases.json").read_bytes())
    except FileNotFoundError:
        index = {"releases": [], "latest": None}
    link = os.readlink(root / "latest") if os.path.lexists(root / "latest") else None
    listed = tuple(row["name"] for row in index["releases"])
    return State(releases, listed, (index["latest"], link))


def leftovers(root: Path) -> Iterator[str]:
    """What is in a root although no release has anything to do with it."""
    names = set(state_of(root).names)
    known = names | {"master", "latest", "releases.json", "releases.lock", ".verified"}
    yield from (f"{path.name} is left over" for path in root.iterdir() if path.name not in known)
    notes = root / ".verified"
    if notes.exists():
        yield from (
            f".verified/{path.name} is left over"
            for path in notes.iterdir()
            if path.name[:-5] not in names
        )
    for name in names:
        there = {
            path.relative_to(root / name).as_posix()
            for path in (root / name).rglob("*")
            if not path.is_dir()
        }
        manifest = json.loads((root / name / "manifest.json").read_bytes())
        if there != {file["path"] for file in manifest["files"]} | {"manifest.json"}:
            yield f"{name} has other files than its manifest says"
        for path in ((root / name), *(root / name).rglob("*")):
            if path.stat().st_mode & 0o222:
                yield f"{path} can be written"


# --- one fault --------------------------------------------------------------------------------


class Case(NamedTuple):
    """One fault at one call of one scenario."""

    scenario: Scenario
    fault: str
    call: Call

    @property
    def injection(self) -> str:
        kind, number = self.call.kind, self.call.number
        if self.fault == "kill":
            return f"{kind}:signal=SIGKILL:when={number}"
        if self.fault == "full":  # from here on
            return f"{kind}:error=ENOSPC:when={number}+"
        return f"{kind}:error={self.fault}:when={number}"


@dataclass
class Stage:
    """A directory with each scenario's archive before and after."""

    directory: Path
    _before: dict[str, State] = field(default_factory=dict)
    _after: dict[str, State] = field(default_factory=dict)
    _contents: dict[str, Contents] = field(default_factory=dict)
    _calls: dict[str, list[Call]] = field(default_factory=dict)
    _n_runs: int = 0

    def _template(self, scenario: Scenario) -> Path:
        return self.directory / scenario.name / "archive"

    def _copy(self, root: Path) -> Path:
        """A copy in a directory of its own; hard links in it are hard links."""
        self._n_runs += 1
        parent = self.directory / f"run-{self._n_runs}"
        parent.mkdir()
        subprocess.run(["cp", "-a", str(root), str(parent / "archive")], check=True)
        return parent / "archive"

    def calls(self, scenario: Scenario) -> list[Call]:
        """The calls by which a scenario changes the disk if nothing goes wrong."""
        if scenario.name not in self._calls:
            template = self._template(scenario)
            template.parent.mkdir()
            scenario.prepare(template)
            self._contents[scenario.name] = contents(template)
            self._before[scenario.name] = state_of(template)
            self._list(scenario)  # the first run may compile modules; the next is like all others
            self._list(scenario)
        return self._calls[scenario.name]

    def _list(self, scenario: Scenario) -> None:
        root = self._copy(self._template(scenario))
        ended = traced(root, scenario.command)
        assert ended.code == 0, ended.err
        assert list(leftovers(root)) == []
        self._after[scenario.name] = state_of(root)
        self._calls[scenario.name] = [
            call for call in ended.calls if call.result != "-1" and "-shm" not in call.place
        ]
        _remove(root.parent)

    def problems(self, case: Case) -> list[str]:
        """Let it happen; what is wrong afterwards."""
        for _ in range(2):
            root = self._copy(self._template(case.scenario))
            ended = traced(root, case.scenario.command, case.injection)
            met = [call.kind_and_place for call in ended.calls if call[1:3] == case.call[1:3]]
            if met == [case.call.kind_and_place]:
                break
            listed = self.calls(case.scenario)  # something was compiled meanwhile
            self._list(case.scenario)
            case = case._replace(call=self._calls[case.scenario.name][listed.index(case.call)])
        else:
            return [f"the fault met {met}: it makes other calls than when they were listed"]
        found = list(self._judge(case, root, ended))
        if not found:
            _remove(root.parent)
        return found

    def _judge(self, case: Case, root: Path, ended: Ended) -> Iterator[str]:
        scenario = case.scenario
        before, after = self._before[scenario.name], self._after[scenario.name]
        try:
            yield from _bad_manners(case, ended)
            yield from self._sound("after the fault", root, scenario)
            found = state_of(root)
            yield from _half(found, before, after, scenario)
            if ended.code == 0 and found != after:
                yield "it was acknowledged, and is not so"
            if ended.code == 0:
                yield from (f"after success: {problem}" for problem in leftovers(root))
            if "is complete" in ended.err and found.names != after.names:
                yield "it says that the release is there, and it is not"
            again = self._copy(root)
            code, err = run(again, *scenario.command)
            # Without an answer nobody knew that it was done already.
            done = {"snapshot": 4, "prune": 3}[scenario.command[0]]
            if code and (code != done or found.names != after.names):
                yield f"the same again failed with {code}: {err.strip()}"
            yield from self._tidy("the same again", again, scenario, after)
            other = self._copy(root)
            code, err = run(other, "snapshot", "other")
            if code:
                yield f"another snapshot failed with {code}: {err.strip()}"
            yield from self._tidy("another snapshot", other, scenario, None)
            for name in sorted(scenario.removed - set(found.names)):
                yield from self._as_new(other, name)
            _remove(again.parent)
            _remove(other.parent)
        except Exception as error:
            yield f"it ended in {error!r}"

    def _sound(self, when: str, root: Path, scenario: Scenario) -> Iterator[str]:
        """The archive is what it was, and everything that has the name of a release is one."""
        if contents(root) != self._contents[scenario.name]:
            yield f"{when} the archive is another"
        yield from (f"{when}: {problem}" for problem in untidy(root))
        for path in sorted(root.iterdir()):
            if path.is_dir() and not path.is_symlink() and not path.name.startswith("."):
                instance = Instance(root, path.name)
                if path.name != "master" and not instance.is_snapshot:
                    yield f"{when} {path.name} is half a release"
                for finding in verify(instance, full=True).findings:
                    yield f"{when}, {path.name}: {finding}"

    def _tidy(
        self, when: str, root: Path, scenario: Scenario, expected: State | None
    ) -> Iterator[str]:
        found = state_of(root)
        if expected is not None and found != expected:
            yield f"after {when} there is {found}, not {expected}"
        if found.listed != found.names or set(found.latest) != {found.names[-1]}:
            yield f"after {when} what is listed is not what there is: {found}"
        yield from (f"after {when}: {problem}" for problem in leftovers(root))
        yield from self._sound(f"after {when}", root, scenario)

    def _as_new(self, root: Path, name: str) -> Iterator[str]:
        """A name that is free again says nothing of the release that had it."""
        _succeed(root, "snapshot", name)
        (row,) = (row for row in list_snapshots(root)[0]["snapshots"] if row["name"] == name)
        if row["verified"] is not None:
            yield f"the new {name} was never verified, but it is said of it: {row['verified']}"


def _half(found: State, before: State, after: State, scenario: Scenario) -> Iterator[str]:
    """What releases there are is as before or as after, or some of several are removed."""
    if scenario.removed:
        gone = set(before.names) - set(found.names)
        if not gone <= scenario.removed:
            yield f"{gone - scenario.removed} should have stayed"
        expected = tuple(release for release in before.releases if release[0] not in gone)
        if found.releases != expected:
            yield f"there is {found.releases}, not {expected}"
    elif found.releases not in (before.releases, after.releases):
        yield f"there is {found.releases}, neither what was nor what should be"
    if not set(found.listed) <= set(found.names):
        yield f"releases.json lists {found.listed} of {found.names}"
    if not set(found.latest) - {None} <= set(found.names):
        yield f"the latest is {found.latest}, which is none of {found.names}"


def _remove(directory: Path) -> None:
    for path in directory.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            os.chmod(path, 0o755)
    shutil.rmtree(directory)


def _bad_manners(case: Case, ended: Ended) -> Iterator[str]:
    """What is wrong with how a command fails: one line, no traceback, exit code 1."""
    if case.fault == "kill" or ended.code == 0:
        return
    lines = ended.err.splitlines()
    # SQLite does not say why it could not open a file; it may as well be read-only.
    codes = (1, 8) if "aliases.sqlite" in case.call.place else (1,)
    if case.call.kind in ("openat", "mkdir") and ".lock" in case.call.place:
        codes = (1, 8)
    if ended.code not in codes:
        yield f"a failing disk gives exit code {ended.code}: {ended.err.strip()}"
    if len(lines) != 1 or not lines[0].startswith("seqarchive: "):
        yield f"the error is not one line: {ended.err.strip()}"


# --- all of them ------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("snapshot-faults"))


def sample(calls: list[Call], every: int) -> list[Call]:
    """What comes before and after each rename, the last call of each kind, and some others."""
    chosen = set(range(every // 2, len(calls), every))
    chosen |= {
        max(n for n, call in enumerate(calls) if call.kind == kind)
        for kind in {call.kind for call in calls}
    }
    renames = [n for n, call in enumerate(calls) if call.kind == "rename"]
    chosen |= {n + after for n in renames for after in (0, 1)}
    return [calls[n] for n in sorted(chosen) if n < len(calls)]


def some_of(stage: Stage, scenario: Scenario) -> list[Call]:
    calls = stage.calls(scenario)
    return calls if ALL else sample(calls, scenario.every)


def what_goes_wrong(stage: Stage, scenario: Scenario, fault: str, calls: list[Call]) -> str:
    """Problems, each with the call that was met and how."""
    cases = [Case(scenario, fault, call) for call in calls]
    return "".join(
        "\n    ".join(["", f"{case.scenario.name}: {case.call}: {case.injection}", *problems])
        for case in cases
        if (problems := stage.problems(case))
    )


@pytest.mark.parametrize("share", range(2))
@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_killed_at_any_call_no_half_release_is_seen_and_the_next_finishes_it(
    stage: Stage, scenario: Scenario, share: int
) -> None:
    wrong = what_goes_wrong(stage, scenario, "kill", some_of(stage, scenario)[share::2])
    assert not wrong, wrong


@pytest.mark.parametrize("fault", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_refused_by_the_disk_at_any_call_no_half_release_is_seen_and_the_next_finishes_it(
    stage: Stage, scenario: Scenario, fault: str
) -> None:
    calls = some_of(stage, scenario)
    if not ALL:
        calls = calls[2 * (fault == "EIO") :: 4]
    wrong = what_goes_wrong(stage, scenario, fault, calls)
    assert not wrong, wrong


@pytest.mark.parametrize("name", ["first", "next"])
def test_a_disk_that_is_full_while_the_database_is_copied_leaves_no_half_release(
    stage: Stage, name: str
) -> None:
    scenario = SCENARIOS[name]
    writes = [call for call in stage.calls(scenario) if call.kind == "pwrite64"]
    calls = writes if ALL else [writes[len(writes) // 2]]
    wrong = what_goes_wrong(stage, scenario, "full", calls)
    assert not wrong, wrong


# --- the order of system calls ----------------------------------------------------------------


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
    _released(root)
    ended = traced(root, SCENARIOS["next"].command)
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
    _released_thrice(root)
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
    touched = [call for call in calls if any(path.startswith("master") for path in call.paths)]
    assert touched == []
