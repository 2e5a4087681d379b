"""The family ``disk``: a command is killed at a call by which it changes the disk, or the disk
refuses the call, takes half of it, or is full from there on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contents import run
from forks import Ended, run_forked
from lab import Case, Lab, changing
from scenarios import SCENARIOS, Releases, Scenario
from short_writes import KINDS
from traces import Call

#: Calls that need room. So does one that makes a file, but it looks like one that reads.
_NEEDING_ROOM = (
    "write", "writev", "pwrite64", "pwritev", "pwritev2", "mkdir", "mkdirat", "link", "linkat",
    "symlink", "symlinkat", "fallocate", "copy_file_range", "sendfile", "splice",
)  # fmt: skip

#: What a disk may answer to any call.
REFUSALS = ("ENOSPC", "EIO", "EDQUOT", "EROFS")


@dataclass
class DiskFaults:
    """Faults at calls."""

    lab: Lab
    name: str = "disk"
    _cases: dict[str, list[Case]] = field(default_factory=dict)

    def scenarios(self) -> tuple[str, ...]:
        """Those that there are."""
        return tuple(SCENARIOS)

    def cases(self, scenario: str) -> list[Case]:
        """All faults at all calls."""
        if scenario not in self._cases:
            self._cases[scenario] = list(self._listed(SCENARIOS[scenario]))
        return self._cases[scenario]

    def _listed(self, scenario: Scenario) -> Iterator[Case]:
        ended = self.lab.listed(scenario).ended
        found = _by_path(ended.trace, self.lab) if scenario.threaded else _by_number(ended)
        for words, place, nth_write in found:
            kind = words[0]
            group = (kind, place)
            for fault in ("kill", *REFUSALS):
                yield Case(self.name, scenario.name, (fault, *words), (fault, *group), place)
            if kind in KINDS:
                yield Case(self.name, scenario.name, ("full", *words), ("full", *group), place)
            if nth_write:
                short = ("short", kind, str(nth_write))
                yield Case(self.name, scenario.name, short, ("short", *group), place)

    def problems(self, case: Case) -> list[str]:
        """Let it happen; what is wrong afterwards."""
        lab, scenario = self.lab, SCENARIOS[case.scenario]
        root = lab.copy(lab.listed(scenario).template)
        with lab.watching(scenario, root):
            ended = self._happen(case, scenario, root)
        found: list[str] = lab.ask(lambda: self._judged(scenario, case, root, ended))
        if not found:
            lab.remove(root)
        return found

    def _happen(self, case: Case, scenario: Scenario, root: Path) -> Ended:
        """Run the command with the fault. It may meet another call than the one that was listed (a
        day more has its directory, a page more is written), and so another fault that counts."""
        fault, kind, number, *path = case.words
        command = self.lab.command(scenario, root)
        if fault == "short":
            return run_forked(root, command, halved=(kind, int(number), root))
        options = ["-f", "-y"]
        if fault == "full":
            trace = self.lab.listed(scenario).ended.trace
            before = _before(trace, kind, int(number), path[0] if path else "")
            for other in _NEEDING_ROOM:
                options += ["-e", f"inject=?{other}:error=ENOSPC:when={before[other] + 1}+"]
        else:
            what = "signal=SIGKILL" if fault == "kill" else f"error={fault}"
            options += ["-e", f"inject={kind}:{what}:when={number}"]
        if path:
            options += ["-P", path[0].replace("{root}", str(root))]
        return run_forked(root, command, strace=options)

    def _judged(self, scenario: Scenario, case: Case, root: Path, ended: Ended) -> list[str]:
        fault, kind, _, *path = case.words
        found = []
        if kind == "fsync" and fault in REFUSALS and path:
            # After a failed fsync the kernel may say of the same file that all is well.
            refused = Path(path[0].replace("{root}", str(root)))
            is_fetched = refused.parent.name.startswith(".parts") or ".fa.bgz" in refused.name
            if is_fetched and refused.exists():
                found.append(f"{refused.name} is kept, though the disk may not have it")
        return [*found, *judged(self.lab, scenario, fault, root, ended)]


def judged(
    lab: Lab, scenario: Scenario, fault: str, root: Path, ended: Ended
) -> Iterator[str]:
    """What is wrong after a fault; the root is used up."""
    listed, judge = lab.listed(scenario), scenario.judge
    before, after = listed.before, listed.after
    other = lab.copy(root)
    try:
        if fault != "kill":
            yield from bad_manners(fault, ended, looks=scenario.damaged)
        if not shard_files(listed.template) <= shard_files(root) and scenario.name != "reclaim":
            yield "a shard that was there before is lost"
        yield from (f"after the fault: {one}" for one in judge.sound(root))
        found = judge.state(root)
        yield from judge.half(found, before, after)
        if ended.code == 0:
            if found != after:
                yield "it was acknowledged, and is not so"
            yield from (f"after success: {one}" for one in judge.tidy(root))
        if "nothing was changed" in ended.err and not scenario.damaged and found != before:
            yield "it says that nothing was changed, and something was"
        yield from again(lab, scenario, root, found, after)
        problems = judge.other(other, lab.files, before, after)
        yield from (f"something else: {one}" for one in problems)
    except Exception as error:
        yield f"it ended in {error!r}"
    finally:
        lab.remove(other)


def again(lab: Lab, scenario: Scenario, root: Path, found: Any, after: Any) -> Iterator[str]:
    """What is wrong when the same is done once more."""
    judge = scenario.judge
    command = lab.command(scenario, root)
    # The later --root is one root more: the command has its own.
    code, err = run(Path(command[1]), *command[2:])
    if code and not (code in scenario.done and is_done(found, after)):
        yield f"the same again failed with {code}: {err.strip()}"
    if judge.state(root) != after:
        yield "after the same again it is not what a clean one would be"
    yield from (f"after the same again: {one}" for one in (*judge.tidy(root), *judge.sound(root)))


def is_done(found: Any, after: Any) -> bool:
    """Whether the change was made, but for what only follows from it."""
    if found == after:
        return True
    if isinstance(found, tuple) and isinstance(found[1], Releases):
        return bool(found[1].names == after[1].names)
    if isinstance(found, dict) and isinstance(after, dict):
        return _visible(found) == _visible(after)
    return False


def _visible(files: dict[str, Any]) -> dict[str, Any]:
    """Without what is left of an interrupted pull: it costs space, until the next one."""
    return {name: fact for name, fact in files.items() if not name.startswith(".")}


def bad_manners(fault: str, ended: Ended, *, looks: bool = False) -> Iterator[str]:
    """What is wrong with how a command fails: one line, no traceback, its exit code.

    Args:
        looks: Whether it looks at the archive when it is done, and says what it cannot read.
    """
    if ended.code == 0:
        return
    if looks and ended.code == 6:
        for line in ended.out.splitlines():
            if line.startswith("not repaired: ") and "cannot be read" not in line:
                yield f"the disk fails, and it says: {line}"
        return
    lines = ended.err.splitlines()
    if fault == "full" and not lines:
        return  # what it says goes to the same full disk
    if len(lines) != 1 or not lines[0].startswith("seqarchive: "):
        yield f"the error is not one line: {ended.err.strip()}"
    # SQLite does not say why it could not open a file; it may as well be read-only.
    if ended.code not in (1, 8):
        said = f"{ended.err}{ended.out}".strip()
        yield f"a failing disk gives exit code {ended.code}: {said}"


def shard_files(root: Path) -> set[bytes]:
    """What is in the shards of an archive, wherever they are."""
    return {path.read_bytes() for path in root.rglob("*.fa.bgz") if path.parent.name != "tmp"}


# --- calls --------------------------------------------------------------------------------------


def _by_number(ended: Ended) -> Iterator[tuple[tuple[str, ...], str, int]]:
    """Words, place, and how many-th write below the root each call is (0: none)."""
    counts: dict[str, int] = {}
    nth = {}
    for call in ended.calls:
        if call.kind in KINDS:
            counts[call.kind] = counts.get(call.kind, 0) + 1
            nth[call[:3]] = counts[call.kind]
    for call in changing(ended):
        yield (call.kind, str(call.number)), call.place, _short(call, nth.get(call[:3], 0))


def _short(call: Call, number: int) -> int:
    return number if call.result.isdigit() and int(call.result) > 1 else 0


def _before(trace: str, kind: str, number: int, path: str) -> Counter[str]:
    """How many calls of each kind a process has made before one of them.

    Args:
        path: Only of calls for this one, with ``{root}``, by any one thread; if there is one.
    """
    counts: dict[str, Counter[str]] = {}
    process = ""
    named = path.replace("{root}", "/archive")
    for match in _CALL.finditer(trace):
        thread, found, arguments = match.groups()
        process = process or thread
        is_counted = f'{named}"' in arguments or f"{named}>" in arguments
        if not (is_counted if path else thread == process):
            continue
        of_thread = counts.setdefault(thread, Counter())
        if found == kind and of_thread[kind] == number - 1:
            return of_thread
        of_thread[found] += 1
    raise RuntimeError(f"there is no {kind} {number} {path}".rstrip())


_CALL = re.compile(r"^(\d+) +(\w+)\((.*)", re.MULTILINE)
_LINE = re.compile(r"(\d+) +(\w+)\((.*)\) += (\S+)")
_PATHS = re.compile(r'\d+<(/[^>]*)>|"(/[^"]*)"')


def _by_path(trace: str, lab: Lab) -> Iterator[tuple[tuple[str, ...], str, int]]:
    """The same of all threads: a call is known by its path."""
    root = re.search(rf"{re.escape(str(lab.directory))}/run-\d+/archive", trace)
    assert root is not None
    here = root[0]
    counts: dict[tuple[str, str, str], int] = {}
    writes: dict[tuple[str, str], int] = {}
    for line in trace.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        thread, kind, arguments, result = match.groups()
        paths = dict.fromkeys(one or other for one, other in _PATHS.findall(arguments))
        for path in paths:
            counts[thread, kind, path] = counts.get((thread, kind, path), 0) + 1
        mine = [path for path in paths if path == here or path.startswith(f"{here}/")]
        if not mine:
            continue
        writes[thread, kind] = writes.get((thread, kind), 0) + 1
        is_reading = kind == "openat" and not re.search("O_CREAT|O_WRONLY|O_RDWR", arguments)
        if is_reading or result.startswith("-1"):
            continue
        number = counts[thread, kind, mine[0]]
        path = mine[0].replace(here, "{root}")
        nth = writes[thread, kind] if kind in KINDS and result.isdigit() else 0
        yield (kind, str(number), path), path, nth
