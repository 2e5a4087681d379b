"""Killed, or refused by the disk, at any system call of ``pull``: what was here is as it was, no
half release can be seen, and the next pull completes it and leaves nothing behind.

The tests take a sample of the calls; with the environment variable SEQARCHIVE_ALL_FAULTS they take
every one. Files come in threads of their own, so that a call is known by its path, not by how many
came before it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest
from contents import random_residues, run
from faults import CHANGING, Call, parse_trace
from helpers import write_fasta
from servers import serving

from seqarchive.instances import Instance
from seqarchive.verifying import verify

ALL = bool(os.environ.get("SEQARCHIVE_ALL_FAULTS"))

SIGNATURE = b"-----BEGIN SSH SIGNATURE-----\nwhatever\n-----END SSH SIGNATURE-----\n"

# --- releases that are published --------------------------------------------------------------


def _succeed(root: Path, *arguments: str) -> None:
    code, err = run(root, *arguments)
    assert code == 0, err


def _load(root: Path, records: dict[str, str]) -> None:
    file = write_fasta(root.parent / f"{time.monotonic_ns()}.fa", records)
    _succeed(root, "load", "-n", "t", str(file))
    file.unlink()


def _publish(root: Path) -> None:
    """Three releases that share a shard."""
    _load(root, {"A.1": random_residues("A.1", 50_000), "B.1": "ACGT"})
    _succeed(root, "snapshot", "r1")
    _load(root, {"C.1": random_residues("C.1", 9_000)})
    _succeed(root, "snapshot", "r2")
    _succeed(root, "alias", "add", "t:C.1", "t:D.1")
    _succeed(root, "snapshot", "r3")


class Sources(NamedTuple):
    """Where the same releases can be had from."""

    web: str
    directory: str
    """On the same file system as the roots."""
    elsewhere: str
    """On another one."""
    signed: str
    """A web server whose releases have signatures."""

    def all(self) -> list[str]:
        return list(self)


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sources]:
    here = tmp_path_factory.mktemp("published") / "archive"
    _publish(here)
    signed = here.with_name("signed")
    subprocess.run(["cp", "-a", str(here), str(signed)], check=True)
    for name in ("r1", "r2"):
        (signed / name).chmod(0o755)
        (signed / name / "manifest.json.sig").write_bytes(SIGNATURE)
    elsewhere = Path("/dev/shm") / f"seqarchive-faults-{os.getpid()}"
    subprocess.run(["cp", "-a", str(here), str(elsewhere)], check=True)
    assert elsewhere.stat().st_dev != here.stat().st_dev
    try:
        with serving(here) as web, serving(signed) as other:
            yield Sources(web.url, str(here), str(elsewhere), other.url)
    finally:
        _remove(elsewhere)


# --- what is in a root ------------------------------------------------------------------------

_LOCKS = frozenset({".pull.lock", "releases.lock"})

Facts = dict[str, tuple[int, str | None]]


def facts(root: Path) -> Facts:
    """Every name: mode, and what is in it; of the locks nothing but that they are there."""
    found: Facts = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        status = path.lstat()
        if name in _LOCKS:
            found[name] = (0, None)
        elif path.is_symlink():
            found[name] = (status.st_mode, os.readlink(path))
        elif path.is_dir():
            found[name] = (status.st_mode, None)
        else:
            found[name] = (status.st_mode, hashlib.sha256(path.read_bytes()).hexdigest())
    return found


def only(found: Facts, name: str) -> Facts:
    """What is below a name, and it itself."""
    return {path: fact for path, fact in found.items() if path.split("/")[0] == name}


def names_in(found: Facts) -> set[str]:
    """The directories that can be seen."""
    return {
        path
        for path, (mode, _) in found.items()
        if "/" not in path and not path.startswith(".") and stat.S_ISDIR(mode)
    }


def _remove(directory: Path) -> None:
    for path in directory.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(directory)


# --- scenarios --------------------------------------------------------------------------------


class Scenario(NamedTuple):
    """A pull that a fault can meet."""

    name: str
    source: Callable[[Sources], str]
    release: str
    prepare: Callable[[Path, Sources], None]
    every: int
    """Of how many of its calls the sample takes one."""


def _nothing(_root: Path, _sources: Sources) -> None:
    return


def _earlier(root: Path, sources: Sources) -> None:
    _succeed(root, "pull", sources.web, "r1")


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("first", lambda sources: sources.web, "r1", _nothing, 19),
        Scenario("next", lambda sources: sources.signed, "r2", _earlier, 28),
        Scenario("linked", lambda sources: sources.directory, "r1", _nothing, 32),
        Scenario("copied", lambda sources: sources.elsewhere, "r1", _nothing, 22),
        Scenario("signed later", lambda sources: sources.signed, "r1", _earlier, 7),
    )
}


class Ended(NamedTuple):
    """How a command under strace ended, and the calls of all its threads."""

    code: int
    err: str
    trace: str


def traced(root: Path, arguments: list[str], *options: str) -> Ended:
    """Run a command of ours under strace."""
    trace = root.parent / "trace"
    known = ",".join("?" + kind for kind in CHANGING)
    command = ["strace", "-f", "-qq", "-y", "-o", str(trace), "-e", f"trace={known}", *options]
    command += [sys.executable, "-m", "seqarchive", "--root", str(root), *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=root.parent
    )
    return Ended(done.returncode, done.stderr, trace.read_text(errors="replace"))


class Target(NamedTuple):
    """A call, by what it is done to: the same in every run."""

    kind: str
    path: str
    """Absolute, but for the root, which is ``{}``."""
    number: int
    """How many-th call of its kind of its thread on this path."""

    def __str__(self) -> str:
        return f"{self.kind} {self.number} on {self.path}"

    def options(self, root: Path, fault: str) -> list[str]:
        what = "signal=SIGKILL" if fault == "kill" else f"error={fault}"
        injection = f"inject={self.kind}:{what}:when={self.number}"
        return ["-P", self.path.replace("{}", str(root)), "-e", injection]


_LINE = re.compile(r"(\d+) +(\w+)\((.*)\) += (\S+)")
_PATHS = re.compile(r'\d+<(/[^>]*)>|"(/[^"]*)"')


def targets(text: str, root: Path) -> list[Target]:
    """The calls of a trace by which something at or below ``root`` was changed."""
    counts: dict[tuple[str, str, str], int] = {}
    found = []
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        thread, kind, arguments, result = match.groups()
        paths = dict.fromkeys(one or other for one, other in _PATHS.findall(arguments))
        for path in paths:
            counts[thread, kind, path] = counts.get((thread, kind, path), 0) + 1
        is_reading = kind == "openat" and not re.search("O_CREAT|O_WRONLY|O_RDWR", arguments)
        mine = [path for path in paths if path == str(root) or path.startswith(f"{root}/")]
        if mine and not is_reading and not result.startswith("-1"):
            number = counts[thread, kind, mine[0]]
            found.append(Target(kind, mine[0].replace(str(root), "{}"), number))
    return found


@dataclass
class Stage:
    """Roots before and after each scenario, and what a fault leads to."""

    directory: Path
    sources: Sources
    _before: dict[str, Facts] = field(default_factory=dict)
    _after: dict[str, Facts] = field(default_factory=dict)
    _targets: dict[str, list[Target]] = field(default_factory=dict)
    _n_runs: int = 0

    def _new(self, scenario: Scenario) -> Path:
        """A root as it is before; hard links in it are hard links."""
        self._n_runs += 1
        parent = self.directory / f"run-{self._n_runs}"
        parent.mkdir()
        return self._copy(self._template(scenario), parent / "archive")

    def _template(self, scenario: Scenario) -> Path:
        return self.directory / scenario.name / "archive"

    def _copy(self, root: Path, other: Path) -> Path:
        if root.exists():
            subprocess.run(["cp", "-a", str(root), str(other)], check=True)
        return other

    def command(self, scenario: Scenario) -> list[str]:
        return ["pull", "--jobs", "1", scenario.source(self.sources), scenario.release]

    def targets(self, scenario: Scenario) -> list[Target]:
        """The calls by which a scenario changes the disk if nothing goes wrong."""
        if scenario.name not in self._targets:
            template = self._template(scenario)
            template.parent.mkdir()
            scenario.prepare(template, self.sources)
            self._before[scenario.name] = facts(template)
            for _ in range(2):  # the first may compile modules
                root = self._new(scenario)
                ended = traced(root, self.command(scenario), "--seccomp-bpf")
                assert (ended.code, ended.err) == (0, "")
            self._targets[scenario.name] = targets(ended.trace, root)
            self._after[scenario.name] = facts(root)
            names = set(facts(root))
            assert not {name for name in names if name.startswith(".")} - _LOCKS
        return self._targets[scenario.name]

    def problems(self, scenario: Scenario, fault: str, target: Target) -> list[str]:
        """Let it happen; what is wrong afterwards."""
        root = self._new(scenario)
        ended = traced(root, self.command(scenario), *target.options(root, fault))
        if target.kind == "write" and target.number > 1 and ended.code == 0:
            return []  # by how many writes a file comes is not the same in every run
        if fault == "kill" and ended.code != -9:
            return [f"it was not killed, but ended with {ended.code} {ended.err}"]
        if fault != "kill" and "(INJECTED)" not in ended.trace:
            return ["the fault met nothing"]
        found = list(self._judge(scenario, fault, root, ended))
        if not found:
            _remove(root.parent)
        return found

    def _judge(self, scenario: Scenario, fault: str, root: Path, ended: Ended) -> Iterator[str]:
        before, after = self._before[scenario.name], self._after[scenario.name]
        if fault != "kill":
            yield from _bad_manners(ended)
        root.mkdir(exist_ok=True)
        found = facts(root)
        yield from _half(found, before, after, scenario.release)
        if ended.code == 0 and found != after:
            yield f"it was acknowledged, and is not so: {_difference(found, after)}"
        other = self._copy(root, root.with_name("other"))
        code, err = run(root, *self.command(scenario))
        if code:
            yield f"the next pull failed with {code}: {err.strip()}"
        again = facts(root)
        if again != after:
            yield f"after the next pull {_difference(again, after)}"
        yield from _unsound(root)
        code, err = run(other, "pull", self.sources.web, "r3")
        if code:
            yield f"a pull of another release failed with {code}: {err.strip()}"
        yield from _unsound(other)


def _difference(found: Facts, expected: Facts) -> str:
    missing = sorted(expected.keys() - found.keys())
    more = sorted(found.keys() - expected.keys())
    other = sorted(name for name in found.keys() & expected.keys() if found[name] != expected[name])
    return f"missing {missing}, more {more}, other {other}"


def _half(found: Facts, before: Facts, after: Facts, release: str) -> Iterator[str]:
    """What can be seen is as it was, or it is the whole release too."""
    for name in names_in(before) - {release}:
        if only(found, name) != only(before, name):
            yield f"{name} is not as it was"
    if not names_in(found) <= names_in(after):
        yield f"there is {names_in(found)}"
    now, then, later = (only(one, release) for one in (found, before, after))
    if {path: fact[1] for path, fact in now.items()} not in (
        {path: fact[1] for path, fact in then.items()},
        {path: fact[1] for path, fact in later.items()},
    ):
        yield f"{release} is half a release: {_difference(now, later)}"
    for name in ("releases.json", "latest"):
        if only(found, name) not in (only(before, name), only(after, name)):
            yield f"{name} is neither as it was nor as it should be"


def _unsound(root: Path) -> Iterator[str]:
    """What is wrong with what a root says that it has."""
    found = names_in(facts(root))
    listed = {row["name"] for row in json.loads((root / "releases.json").read_bytes())["releases"]}
    if listed != found:
        yield f"there is {found}, and listed is {listed}"
    for name in found:
        for finding in verify(Instance(root, name), full=True).findings:
            yield f"{name}: {finding}"
    if os.readlink(root / "latest") != max(found):
        yield "the latest is not the newest"


def _bad_manners(ended: Ended) -> Iterator[str]:
    """What is wrong with how a command fails: one line, no traceback, exit code 1."""
    if ended.code == 0:
        return
    lines = ended.err.splitlines()
    if ended.code not in (1, 8, 9):
        yield f"a failing disk gives exit code {ended.code}: {ended.err.strip()}"
    if len(lines) != 1 or not lines[0].startswith("seqarchive: "):
        yield f"the error is not one line: {ended.err.strip()}"
    elif ended.code == 9:
        yield f"it puts the blame on the source: {ended.err.strip()}"


# --- all of them ------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory, sources: Sources) -> Stage:
    return Stage(tmp_path_factory.mktemp("transfer-faults"), sources)


def sample(found: list[Target], every: int) -> list[Target]:
    """What comes before and after each change of a name, and some others."""
    chosen = set(range(every // 2, len(found), every))
    renames = [n for n, target in enumerate(found) if target.kind == "rename"]
    chosen |= {n + after for n in renames for after in (0, 1)}
    return [found[n] for n in sorted(chosen) if n < len(found)]


def some_of(stage: Stage, scenario: Scenario) -> list[Target]:
    found = stage.targets(scenario)
    assert len(found) > 15
    return found if ALL else sample(found, scenario.every)


def what_goes_wrong(stage: Stage, scenario: Scenario, fault: str, chosen: list[Target]) -> str:
    """Problems, each with the call that was met."""
    return "".join(
        "\n    ".join(["", f"{fault} at {target}:", *problems])
        for target in chosen
        if (problems := stage.problems(scenario, fault, target))
    )


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_killed_at_any_call_no_half_release_is_seen_and_the_next_pull_completes_it(
    stage: Stage, scenario: Scenario
) -> None:
    wrong = what_goes_wrong(stage, scenario, "kill", some_of(stage, scenario))
    assert not wrong, wrong


@pytest.mark.parametrize("fault", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_refused_by_the_disk_at_any_call_no_half_release_is_seen_and_the_next_pull_completes_it(
    stage: Stage, scenario: Scenario, fault: str
) -> None:
    chosen = some_of(stage, scenario)
    if not ALL:
        chosen = chosen[2 * (fault == "EIO") :: 5]
    wrong = what_goes_wrong(stage, scenario, fault, chosen)
    assert not wrong, wrong


@pytest.mark.parametrize(("name", "place"), [("first", ".parts-r1/"), ("copied", "sequences/")])
def test_a_file_that_the_disk_did_not_take_is_fetched_again(
    stage: Stage, name: str, place: str
) -> None:
    """After a failed fsync the kernel may say of the same file that all is well, and it is lost."""
    scenario = SCENARIOS[name]
    target = next(
        one
        for one in stage.targets(scenario)
        if one.kind == "fsync" and place in one.path and not one.path.endswith("/sequences")
    )
    root = stage.directory / f"refused-{name}" / "archive"
    root.parent.mkdir()
    ended = traced(root, stage.command(scenario), *target.options(root, "EIO"))
    assert ended.code == 1
    refused = Path(target.path.replace("{}", str(root)))
    assert not refused.exists()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --- the order of system calls ----------------------------------------------------------------

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


@pytest.mark.parametrize("name", ["first", "copied"])
def test_all_of_a_release_is_durable_before_it_appears(
    stage: Stage, tmp_path: Path, name: str
) -> None:
    scenario, root = SCENARIOS[name], tmp_path / "archive"
    ended = traced(root, stage.command(scenario), "--seccomp-bpf")
    assert ended.code == 0, ended.err
    calls = parse_trace(ended.trace, root)
    assert broken_rules(calls, root, scenario.release) == []
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
        assert broken_rules(without, root, scenario.release), f"nobody misses {calls[n]}"
