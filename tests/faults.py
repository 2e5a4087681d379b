"""Faults: a command runs under strace, which lists the system calls by which it changes the disk,
and then runs again for any of them with a kill or an error at exactly that call.

Run as a program, this repeats one fault and says what it leads to::

    python tests/faults.py SCENARIO kill|ENOSPC|EIO|full CALL NUMBER
"""

from __future__ import annotations

import operator
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))

from contents import (
    Contents,
    contents,
    copy,
    forget_batch,
    joined,
    random_residues,
    run,
    same_but_for_damage,
    untidy,
    verified,
)
from helpers import shards, write_fasta

#: Every system call by which a program on Linux can change files or directories, or their state
#: on the disk.
CHANGING = (
    "open", "openat", "openat2", "creat", "write", "writev", "pwrite64", "pwritev", "pwritev2",
    "fsync", "fdatasync", "syncfs", "sync", "sync_file_range", "link", "linkat", "symlink",
    "symlinkat", "unlink", "unlinkat", "rename", "renameat", "renameat2", "mkdir", "mkdirat",
    "rmdir", "ftruncate", "truncate", "fallocate", "chmod", "fchmod", "fchmodat", "chown",
    "fchown", "fchownat", "utimensat", "copy_file_range", "sendfile", "splice", "mknod",
    "mknodat", "setxattr", "fsetxattr",
)  # fmt: skip

_OPENING = ("open", "openat", "openat2", "creat")
_CHANGING_FLAGS = re.compile(r"O_(CREAT|TRUNC|WRONLY|RDWR)")

_LINE = re.compile(
    r"(?P<pid>\d+) +(?P<kind>\w+)\((?P<arguments>.*)\) += (?P<result>\S+)(?P<rest>.*)"
)
_BY_DESCRIPTOR = re.compile(r"\d+<([^>]*)>")
_BY_NAME = re.compile(r'"((?:[^"\\]|\\.)*)"')


class Call(NamedTuple):
    """A system call that changed something below the root."""

    pid: int
    kind: str
    number: int
    """How many-th of its kind it was in its process: what strace counts."""
    paths: tuple[str, ...]
    """Relative to the root, whose own parent is ``..``; two for a link or a rename."""
    text: str
    """The arguments as strace wrote them."""
    result: str

    @property
    def place(self) -> str:
        """The paths without what differs from one run to the next: the time."""
        return re.sub(r"\d", "#", " ".join(self.paths))

    @property
    def kind_and_place(self) -> tuple[str, str]:
        """What is the same in every run."""
        return self.kind, self.place

    def __str__(self) -> str:
        return f"{self.kind} {self.number} ({' -> '.join(self.paths)})"


def parse_trace(text: str, root: Path) -> list[Call]:
    """The calls of a trace (``strace -f -y``) that changed ``root`` or something below it."""
    counts: Counter[tuple[str, str]] = Counter()
    calls = []
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        pid, kind, arguments, result, _ = match.groups()
        counts[pid, kind] += 1
        if kind in _OPENING and not _CHANGING_FLAGS.search(arguments):
            continue
        by_descriptor = _BY_DESCRIPTOR.match(arguments)
        names = [by_descriptor[1]] if by_descriptor else _BY_NAME.findall(arguments)
        paths = [os.path.relpath(name, root) for name in names if os.path.isabs(name)]
        if any(path == ".." or not path.startswith("..") for path in paths):
            calls.append(Call(int(pid), kind, counts[pid, kind], tuple(paths), arguments, result))
    return calls


class Ended(NamedTuple):
    """How a command under strace ended, and what it had done itself, without its children."""

    code: int
    err: str
    calls: list[Call]


def traced(root: Path, arguments: list[str], *injection: str) -> Ended:
    """Run ``python -m seqarchive --root ROOT ARGUMENTS`` under strace.

    Args:
        injection: What strace shall do to which call.
    """
    trace = root.parent / "trace"
    command = ["strace", "-f", "-qq", "-y", "-o", str(trace), "-e", "trace=" + _known_calls()]
    if not any("signal=" in part for part in injection):
        command.append("--seccomp-bpf")  # faster, but it cannot send signals
    for part in injection:
        command += ["-e", f"inject={part}"]
    command += [sys.executable, "-m", "seqarchive", "--root", str(root), *arguments]
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "0",  # the same calls in every run
        "OPENBLAS_NUM_THREADS": "1",
    }
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=root.parent
    )
    text = trace.read_text(errors="replace")
    first = int(text.split(maxsplit=1)[0])
    calls = [call for call in parse_trace(text, root) if call.pid == first]
    return Ended(done.returncode, done.stderr, calls)


def _known_calls() -> str:
    """Those calls that this machine has; strace refuses names that it does not know."""
    return ",".join("?" + kind for kind in CHANGING)


# --- scenarios --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scenario:
    """A change of an archive that a fault can meet."""

    name: str
    arguments: tuple[str, ...]
    """The command; ``{}`` stands for the directory of the input files."""
    prepare: Callable[[Path, Path], None]
    """Builds what was there before: root, input files."""
    damaged: bool = False
    """Whether there is damage before, which the command repairs."""

    def command(self, files: Path) -> list[str]:
        return [part.replace("{}", str(files)) for part in self.arguments]


def write_inputs(files: Path) -> None:
    """Write the files that the scenarios load."""
    long = random_residues("long", 40_000)  # has blocks of its own
    huge = random_residues("huge", 1_100_000)  # comes in pieces
    write_fasta(
        files / "first.fa",
        [
            ("A.1 a short one", random_residues("A.1", 100)),
            ("E.1 an empty one", ""),
            ("L.1 a long one", long),
            ("A.2 a duplicate", random_residues("A.1", 100)),
            ("B.1", random_residues("B.1", 70)),
        ],
    )
    write_fasta(
        files / "second.fa",
        [
            ("C.1", random_residues("C.1", 300)),
            ("L.2 known since the first load", long),
            ("H.1 moved to a shard of its own", huge),
            ("H.2 cut back", huge),
            ("E.2", ""),
            ("A.1", random_residues("A.1", 100)),
        ],
    )
    write_fasta(
        files / "moved.fa",
        [
            ("A.1", random_residues("new A.1", 120)),
            ("B.1", random_residues("A.1", 100)),
            ("D.1", random_residues("D.1", 90)),
        ],
    )
    write_fasta(files / "third.fa", [("T.1", random_residues("T.1", 500)), ("T.2", "ACGT" * 5000)])
    # Nothing of it enters a shard, so that no journal directory of its own hides another's.
    write_fasta(files / "other.fa", [("Z.1", "")])
    (files / "names.tsv").write_text(
        "namespace\talias\tsequence\nother\tX.1\tt:A.1\nother\tX.2\tt:L.1\nt\tB.1\tt:L.1\n"
    )


def _nothing(_root: Path, _files: Path) -> None:
    return


def _one_load(root: Path, files: Path) -> None:
    _succeed(root, "load", "--namespace", "t", str(files / "first.fa"))


def _bad_shard_and_orphans(root: Path, files: Path) -> None:
    """A wrong and a missing index, a good orphan without indexes, and an orphan that is bad."""
    for name in ("first.fa", "moved.fa", "third.fa", "second.fa"):
        _succeed(root, "load", "--namespace", name.removesuffix(".fa"), str(files / name))
    first, moved, third, second = shards(root)
    for batch in (4, 3):
        forget_batch(root, batch)
    _overwrite(first.with_name(first.name + ".fai"), b"nonsense\n")
    moved.with_name(moved.name + ".gzi").unlink()
    third.with_name(third.name + ".fai").unlink()
    data = bytearray(second.read_bytes())
    data[len(data) // 2] ^= 1
    _overwrite(second, bytes(data))
    alone = root / "master" / "sequences" / "2001" / "0203" / "040506"
    alone.mkdir(parents=True)
    for file in second.parent.glob(second.name + "*"):
        file.rename(alone / file.name)


def _overwrite(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def _succeed(root: Path, *arguments: str) -> None:
    code, err = run(root, *arguments)
    assert code == 0, err


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("first", ("load", "--namespace", "t", "{}/first.fa"), _nothing),
        Scenario(
            "second",
            ("load", "--namespace", "t", "--shard-size", "100k", "{}/second.fa"),
            _one_load,
        ),
        Scenario(
            "replace",
            ("load", "--namespace", "t", "--on-conflict", "replace", "{}/moved.fa"),
            _one_load,
        ),
        Scenario(
            "import-aliases",
            ("import-aliases", "--on-conflict", "replace", "{}/names.tsv"),
            _one_load,
        ),
        Scenario("repair", ("repair",), _bad_shard_and_orphans, damaged=True),
    )
}

FAULTS = ("kill", "ENOSPC", "EIO", "full")


# --- one fault --------------------------------------------------------------------------------


def sample(calls: list[Call], every: int) -> list[Call]:
    """The last call of each kind, those by which the last file is published and the batch is
    committed, and every ``every``-th of the others."""
    chosen = set(range(every // 2, len(calls), every)) | _last_of_each_kind(calls)
    published = [n for n, call in enumerate(calls) if call.kind in ("link", "rename")]
    chosen |= {n + after for n in published[-1:] for after in (-1, 0, 1, 2)}
    commit = commit_of(calls)
    chosen |= {commit - 1, commit, commit + 1}
    return [calls[n] for n in sorted(chosen)]


def every_kind(calls: list[Call], every: int) -> list[Call]:
    """The last call of each kind, and every ``every``-th of the others."""
    chosen = set(range(len(calls) % every, len(calls), every)) | _last_of_each_kind(calls)
    return [calls[n] for n in sorted(chosen)]


def _last_of_each_kind(calls: list[Call]) -> set[int]:
    return set({call.kind: n for n, call in enumerate(calls)}.values())


def commit_of(calls: list[Call]) -> int:
    """Which call makes a batch durable: the first after the last write to SQLite's log."""
    log = [n for n, call in enumerate(calls) if call.paths == ("master/aliases.sqlite3-wal",)]
    last = max(n for n in log if calls[n].kind == "pwrite64")
    return next(n for n in log if n > last and calls[n].kind in ("fsync", "fdatasync"))


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

    @property
    def command(self) -> str:
        """What repeats it."""
        return (
            f"{sys.executable} tests/faults.py {self.scenario.name} {self.fault}"
            f" {self.call.kind} {self.call.number}"
        )


@dataclass
class Stage:
    """A directory with the input files, and with each scenario's archive before and after."""

    directory: Path
    _before: dict[str, Contents] = field(default_factory=dict)
    _after: dict[str, Contents] = field(default_factory=dict)
    _calls: dict[str, list[Call]] = field(default_factory=dict)
    _n_runs: int = 0

    def __post_init__(self) -> None:
        self.files = self.directory / "files"
        self.files.mkdir()
        write_inputs(self.files)

    def _template(self, scenario: Scenario) -> Path:
        return self.directory / scenario.name / "archive"

    def _new_root(self) -> Path:
        self._n_runs += 1
        parent = self.directory / f"run-{self._n_runs}"
        parent.mkdir()
        return parent / "archive"

    def calls(self, scenario: Scenario) -> list[Call]:
        """The calls by which a scenario changes the disk if nothing goes wrong."""
        if scenario.name not in self._calls:
            template = self._template(scenario)
            shutil.rmtree(template.parent, ignore_errors=True)
            template.parent.mkdir()
            scenario.prepare(template, self.files)
            # So that the journal directory of what comes next is another one in every run.
            time.sleep(1)
            self._before[scenario.name] = contents(template)
            self._list(scenario)  # the first run may compile modules; the next is like all others
            self._list(scenario)
        return self._calls[scenario.name]

    def _list(self, scenario: Scenario) -> list[Call]:
        root = copy(self._template(scenario), self._new_root())
        ended = traced(root, scenario.command(self.files))
        assert ended.code == 0, ended.err
        self._after[scenario.name] = contents(root)
        self._calls[scenario.name] = calls = _up_to_the_end_of_the_change(ended.calls)
        return calls

    def case(self, scenario: Scenario, fault: str, kind: str, number: int) -> Case:
        """The case of a call, by its kind and number."""
        for call in self.calls(scenario):
            if (call.kind, call.number) == (kind, number):
                return Case(scenario, fault, call)
        raise LookupError(f"{scenario.name} makes no such call: {kind} {number}")

    def problems(self, case: Case) -> list[str]:
        """Let it happen; what is wrong afterwards."""
        listed = self.calls(case.scenario)
        for _ in range(2):
            root = copy(self._template(case.scenario), self._new_root())
            ended = traced(root, case.scenario.command(self.files), case.injection)
            met = [call.place for call in ended.calls if call[1:3] == case.call[1:3]]
            if met == [case.call.place]:
                break
            # The day has changed, say, and a directory more is made.
            alike = [call for call in listed if call.kind_and_place == case.call.kind_and_place]
            now = [
                call
                for call in self._list(case.scenario)
                if call.kind_and_place == case.call.kind_and_place
            ]
            case = case._replace(call=now[alike.index(case.call)])
        else:
            return [f"the fault met {met}: it makes other calls than when they were listed"]
        found = list(self._judge(case, root, ended))
        if not found:
            shutil.rmtree(root.parent)
        return found

    def _judge(self, case: Case, root: Path, ended: Ended) -> Iterator[str]:
        scenario = case.scenario
        before, after = self._before[scenario.name], self._after[scenario.name]
        same = same_but_for_damage if scenario.damaged else operator.eq
        again = copy(root, root.with_name("again"))
        other = copy(root, root.with_name("other"))
        if case.fault != "kill":
            yield from _bad_manners(case, ended)
        if not _shard_files(self._template(scenario)) <= _shard_files(root):
            yield "a shard that was there before is lost"
        try:
            found = contents(root)
            if not same(found, before) and not same(found, after):
                yield "there is neither what was before nor what should be after"
            if ended.code == 0 and found != after:
                yield "it was acknowledged, and is not there"
            if "nothing was changed" in ended.err and not same(found, before):
                yield "it says that nothing was changed, and something was"
            if not scenario.damaged:
                yield from _findings("after the fault", root)
        except Exception as error:
            yield f"after the fault the archive does not open: {error!r}"
        yield from self._try("the same again", scenario.command(self.files), again, [after])
        added = Contents({"z:Z.1": _EMPTY}, {_EMPTY: ""}, frozenset())
        yield from self._try(
            "another load",
            ["load", "--namespace", "z", str(self.files / "other.fa")],
            other,
            [joined(before, added), joined(after, added)],
            damaged=scenario.damaged,
        )
        if scenario.damaged:
            expected = [joined(after, added)]
            yield from self._try("repair after another load", ["repair"], other, expected)

    def _try(
        self,
        what: str,
        command: list[str],
        root: Path,
        expected: list[Contents],
        *,
        damaged: bool = False,
    ) -> Iterator[str]:
        try:
            code, err = run(root, *command)
            if code:
                yield f"{what} failed with {code}: {err.strip()}"
                return
            same = same_but_for_damage if damaged else operator.eq
            if not any(same(contents(root), state) for state in expected):
                yield f"after {what} the archive is not what a clean one would be"
            if not damaged:
                yield from (f"after {what}: {problem}" for problem in untidy(root))
                yield from _findings(f"after {what}", root)
        except Exception as error:
            yield f"{what} ended in {error!r}"


def _up_to_the_end_of_the_change(calls: list[Call]) -> list[Call]:
    """Calls that did something, until SQLite removes its log. What comes after that only reads,
    beside other processes: which of them makes the shared memory is by chance."""
    ends = [
        n for n, call in enumerate(calls) if call.place.endswith("-wal") and call.kind == "unlink"
    ]
    return [call for call in calls[: ends[-1] + 1 if ends else None] if call.result != "-1"]


_EMPTY = "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXc"  # the digest of nothing, from the refget standard


def _shard_files(root: Path) -> set[bytes]:
    """What is in the shards of an archive, wherever they are."""
    return {path.read_bytes() for path in root.rglob("*.fa.bgz") if path.parent.name != "tmp"}


def _findings(when: str, root: Path) -> Iterator[str]:
    if root.exists() and (root / "master" / "aliases.sqlite3").exists():
        yield from (f"{when}: {finding}" for finding in verified(root).findings)


def _bad_manners(case: Case, ended: Ended) -> Iterator[str]:
    """What is wrong with how a command fails: one line, no traceback, exit code 1."""
    if ended.code == 0:
        return
    lines = ended.err.splitlines()
    # SQLite does not say why it could not open a file; it may as well be read-only.
    codes = (1, 8) if case.call.kind == "openat" and "aliases.sqlite" in case.call.place else (1,)
    if ended.code not in codes:
        yield f"a failing disk gives exit code {ended.code}: {ended.err.strip()}"
    if len(lines) != 1 or not lines[0].startswith("seqarchive: "):
        yield f"the error is not one line: {ended.err.strip()}"


def main(scenario: str, fault: str, kind: str, number: str) -> int:
    """Repeat one fault; the directory stays for inspection if anything is wrong."""
    directory = Path(tempfile.mkdtemp(prefix="fault-"))
    stage = Stage(directory)
    case = stage.case(SCENARIOS[scenario], fault, kind, int(number))
    print(f"{case.call}\n{case.injection}")
    found = stage.problems(case)
    for problem in found:
        print(problem)
    if found:
        print(f"see {directory}")
        return 1
    print("nothing wrong")
    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
