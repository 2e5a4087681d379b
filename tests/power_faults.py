"""The family ``power``: the power goes off after a call of a command, and the disk keeps of what
was not synced what it likes."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from zlib import crc32

from disk_faults import again, is_done
from forks import run_forked
from lab import Case, Lab, remove
from power_cuts import Call, Cut, Disk, cuts, listed, unsynced
from scenarios import SCENARIOS, Scenario

#: Of how many moments the sample has the disks.
_MOMENTS = 20


@dataclass(frozen=True, slots=True)
class Traced:
    """What a scenario does to a disk."""

    start: Disk
    calls: list[Call]
    acknowledged: int
    """After how many calls it is done."""


@dataclass
class PowerFaults:
    """Power cuts."""

    #: Commands whose power cuts would say nothing new, or that promise nothing: an export for
    #: SeqRepo can be made again at any time.
    without: ClassVar = (
        "duplicate", "prune-latest", "linked-pull", "signed-pull", "push", "export-seqrepo",
    )  # fmt: skip

    lab: Lab
    name: str = "power"
    _traced: dict[str, Traced] = field(default_factory=dict)
    _cases_of: dict[str, list[Case]] = field(default_factory=dict)

    def scenarios(self) -> tuple[str, ...]:
        """Those that there are."""
        return tuple(name for name in SCENARIOS if name not in self.without)

    def traced(self, name: str) -> Traced:
        """What is done if the power stays on."""
        if name not in self._traced:
            scenario = SCENARIOS[name]
            template = self.lab.listed(scenario).template
            root = self.lab.copy(template)
            directory = root.parent

            def run(options: Sequence[str]) -> str:
                ended = run_forked(root, self.lab.command(scenario, root), strace=options)
                assert ended.code == 0, ended.err
                return ended.trace

            with self.lab.watching(scenario, root):
                start = Disk.of(directory)
                calls = listed(directory, run)
            replayed = start.copy()
            for call in calls:
                replayed.apply(call)
            # What was listed is all that happened, but for SQLite's shared memory, which is mapped.
            assert _seen(replayed) == _seen(Disk.of(directory)), name
            self._traced[name] = Traced(start, calls, _acknowledged(scenario, calls))
            self.lab.remove(root)
        return self._traced[name]

    def cases(self, scenario: str) -> list[Case]:
        """All disks that could be left, each once."""
        if scenario not in self._cases_of:
            moments = range(len(self.traced(scenario).calls) + 1)
            self._cases_of[scenario] = self._cases(scenario, moments)
        return self._cases_of[scenario]

    def cases_after(self, scenario: str, moment: int) -> list[Case]:
        """Those of one moment."""
        return self._cases(scenario, [moment])

    def some(self, scenario: str, dice: random.Random, number: int) -> list[Case]:
        """A number of them, of some moments: always of the end, when all was acknowledged."""
        n_calls = len(self.traced(scenario).calls)
        moments = sorted({*dice.sample(range(n_calls), min(_MOMENTS, n_calls)), n_calls})
        found = self._cases(scenario, moments)
        last = [case for case in found if case.words[0] == str(n_calls)]
        rest = [case for case in found if case.words[0] != str(n_calls)]
        n_last = min(len(last), number // 4)
        return dice.sample(last, n_last) + dice.sample(rest, min(number - n_last, len(rest)))

    def _cases(self, scenario: str, moments: Sequence[int]) -> list[Case]:
        found = []
        traced = self.traced(scenario)
        for cut in cuts(traced.start, traced.calls, moments):
            words = _words(cut)
            group = (str(cut.after * 10 // (len(traced.calls) + 1)), words[1].split("-")[0])
            found.append(Case(self.name, scenario, words, group, cut.lost))
        return found

    def cut(self, case: Case) -> Cut:
        """The disk of a case. It is made anew: they are too large to be kept."""
        traced = self.traced(case.scenario)
        found = cuts(traced.start, traced.calls, [int(case.words[0])])
        return next(cut for cut in found if _words(cut) == case.words)

    def problems(self, case: Case) -> list[str]:
        """Leave that disk; what is wrong with it."""
        traced, scenario = self.traced(case.scenario), SCENARIOS[case.scenario]
        cut = self.cut(case)
        return problems_of(self.lab, scenario, cut, is_done=cut.after >= traced.acknowledged)


def _words(cut: Cut) -> tuple[str, str]:
    return str(cut.after), cut.lost.split(" (")[0].replace(" ", "-")


def problems_of(lab: Lab, scenario: Scenario, cut: Cut, *, is_done: bool) -> list[str]:
    """What is wrong with what a power cut has left.

    Args:
        is_done: Whether the command had said so.
    """
    root = lab.new_root()
    disk = root.parent / "disk"
    cut.disk.write(disk)
    root = disk / root.name

    # It takes nearly half as long as all the rest; of the same disk, always or never.
    is_used = crc32(" ".join(_words(cut)).encode()) % 2 == 0

    def look() -> list[str]:
        other = [lab.copy(root)] if is_used else []
        found = list(_judged(lab, scenario, root, is_acknowledged=is_done))
        for copied in other:
            found += _used(lab, scenario, copied)
            lab.remove(copied)
        return found

    found: list[str] = lab.ask(look)
    if not found:
        remove(disk.parent)
    return found


def _judged(lab: Lab, scenario: Scenario, root: Path, *, is_acknowledged: bool) -> Iterator[str]:
    listed, judge = lab.listed(scenario), scenario.judge
    try:
        yield from judge.sound(root)
        found = judge.state(root)
        if is_acknowledged and not is_done(found, listed.after):
            yield "it was acknowledged, and is not there"
        yield from judge.half(found, listed.before, listed.after)
        yield from again(lab, scenario, root, found, listed.after)
    except Exception as error:
        yield f"it ends in {error!r}"


def _used(lab: Lab, scenario: Scenario, root: Path) -> Iterator[str]:
    """What is wrong if something else is done next."""
    listed = lab.listed(scenario)
    try:
        problems = scenario.judge.other(root, lab.files, listed.before, listed.after)
        yield from (f"something else: {one}" for one in problems)
    except Exception as error:
        yield f"something else ends in {error!r}"


def _seen(disk: Disk) -> dict[str, bytes]:
    return {
        name: disk.data.get(number, b"")
        for name, number in disk.names.items()
        if name.startswith("archive") and not name.endswith("-shm")
    }


def _acknowledged(scenario: Scenario, calls: Sequence[Call]) -> int:
    """After how many calls the last commit is one: its log is synced then."""
    if scenario.at_end:
        return len(calls)
    log = {call.file for call in calls if call.what == "name" and call.path.endswith("-wal")}
    written = [n for n, call in enumerate(calls) if call.what == "write" and call.file in log]
    synced = [n for n, call in enumerate(calls) if call.what == "sync" and call.file in log]
    last = written[-1] if written else len(calls)
    return next((n + 1 for n in synced if n > last), len(calls))


# --- the order of calls -------------------------------------------------------------------------

#: What need not be durable when a change is: who comes next makes it anew, or only looks into it.
_NEGLIGIBLE = (
    "writer.lock", "-shm", "/tmp", "/used", "releases.lock", ".pull.lock", ".rgstore.lock", "/.",
)  # fmt: skip


def broken_rules(traced: Traced) -> list[str]:
    """What is wrong with the order of the calls, whatever they are for: when a change is done,
    all of it is durable; a file that is named for good was synced, and is not written again."""
    return [*_late(traced), *_rewritten(traced)]


def _late(traced: Traced) -> Iterator[str]:
    """What is not durable when it is said to be."""
    made = traced.calls[: traced.acknowledged]
    paths = _paths(traced)
    is_read_only = traced.acknowledged == len(traced.calls)
    for n in unsynced(made):
        call = made[n]
        path = call.path or paths.get(call.file, "")
        if is_read_only and path.endswith("-wal"):
            continue  # whoever reads the database makes one
        # What was removed may come back.
        if call.what != "unname" and not any(one in f"/{path}" for one in _NEGLIGIBLE):
            yield f"{call.what} of {path} was not synced when the change was done"


def _rewritten(traced: Traced) -> Iterator[str]:
    """Files that were synced and named for good, and written to after that."""
    synced: set[int] = set()
    published: dict[int, str] = {}
    seen: set[int] = set()
    for call in traced.calls:
        seen.add(call.file)
        if call.what == "sync":
            synced.add(call.file)
        elif call.what == "sync all":
            synced |= seen
        elif call.what in ("name", "rename") and call.file in synced:
            path = call.other or call.path
            if "aliases.sqlite3" not in path and "lock" not in path:
                published[call.file] = path
        elif call.is_data and call.what != "mode" and call.file in published:
            yield f"{published[call.file]} was written to after it had its name"


def _paths(traced: Traced) -> dict[int, str]:
    found = {number: path for path, number in traced.start.names.items()}
    for call in traced.calls:
        if call.what in ("name", "rename"):
            found[call.file] = call.other or call.path
    return found


@dataclass
class Orders:
    """The family ``order``: rules that the calls of every command keep."""

    power: PowerFaults
    name: str = "order"

    def scenarios(self) -> tuple[str, ...]:
        """Those that there are."""
        return self.power.scenarios()

    def cases(self, scenario: str) -> list[Case]:
        """One for each."""
        return [Case(self.name, scenario, ("calls",))]

    def problems(self, case: Case) -> list[str]:
        """Which rules are broken."""
        ended = self.power.lab.listed(SCENARIOS[case.scenario]).ended
        renamed = [
            f"{call} would replace a shard of that name"
            for call in ended.calls
            if call.kind.startswith("rename") and call.paths[-1].endswith(".fa.bgz")
            if "/sequences/" in call.paths[-1] and ".snapshot" not in call.paths[-1]
        ]
        return [*renamed, *broken_rules(self.power.traced(case.scenario))]
