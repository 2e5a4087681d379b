"""Faults: what happens to an archive on its worst day, and what is left of it.

Run as a program, this repeats one fault and says what it leads to, or tries many of them and
writes the table of the documentation::

    python tests/faults.py FAMILY SCENARIO WORDS...
    python tests/faults.py --mistake NAME FAMILY SCENARIO WORDS...
    python tests/faults.py --mistake NAME catch
    python tests/faults.py report --seconds 600 --seed 1 --out found.json [FAMILY|SCENARIO...]
    python tests/faults.py table found.json
    python tests/faults.py list [FAMILY [SCENARIO]]

Its process starts no threads: all that happens, happens in forks of it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))

import fault_report
import seeded_mistakes
from contention import Locks, Writers
from damage import Flips, Misplacements, Truncations
from disk_faults import DiskFaults
from forks import in_fork, prepare
from lab import MISTAKE, Case, Lab
from power_faults import Orders, PowerFaults

#: So few power cuts are chosen among those of some moments, as all take a while to be listed.
_FEW = 200

#: Where there are more, such as bits of a database, so many are as good as all.
_ALL = 5_000

#: Seconds for which a lock is held in a sample, at most.
LONG_ENOUGH = 6.0


class Family(Protocol):
    """A kind of faults."""

    name: str

    def scenarios(self) -> tuple[str, ...]:
        """What they happen to."""

    def cases(self, scenario: str) -> list[Case]:
        """All of them."""

    def problems(self, case: Case) -> list[str]:
        """What is wrong after one."""


def families(lab: Lab) -> dict[str, Family]:
    """All that there are, by name."""
    power = PowerFaults(lab)
    flips = Flips(lab, "flip")
    found: list[Family] = [
        DiskFaults(lab),
        power,
        Orders(power),
        flips,
        # One archive for the three.
        Truncations(lab, "truncate", flips._sound),
        Misplacements(lab, "misplace", flips._sound),
        Locks(lab),
        Writers(lab),
    ]
    return {family.name: family for family in found}


def sample(family: Family, scenario: str, number: int, seed: object) -> list[Case]:
    """Some cases of a scenario: the last of each group first, since what matters most happens at
    the end, as many kinds of them as there is room for, and others by chance."""
    dice = random.Random(f"{seed} {family.name} {scenario}")
    if isinstance(family, PowerFaults) and number < _FEW:
        return family.some(scenario, dice, number)
    if isinstance(family, Locks) and number < _ALL:
        short = [case for case in family.cases(scenario) if float(case.words[1]) <= LONG_ENOUGH]
        return [*family.few(scenario), *short][:number]
    cases = family.cases(scenario)
    if len(cases) <= number:
        return cases
    of_group = {case.group: case for case in cases}
    first = {case.group[0]: case for case in cases}
    chosen = list(first.values())[:number]
    others = [case for case in of_group.values() if case not in chosen]
    chosen += dice.sample(others, min(len(others), (number - len(chosen)) * 2 // 3))
    left = set(cases) - set(chosen)
    rest = [case for case in cases if case in left]
    return chosen + dice.sample(rest, number - len(chosen))


def problems_of(family: Family, case: Case) -> list[str]:
    """What is wrong after a fault, be it that the harness trips over it."""
    try:
        return family.problems(case)
    except (RuntimeError, OSError, AssertionError) as error:
        return [str(error)]


def caught(
    family: Family, mistake: seeded_mistakes.Mistake, number: int
) -> tuple[Case, list[str], int] | None:
    """The first case that notices a mistake, what it says, and how many were tried.

    Args:
        number: How many are tried at most, of those that should notice it.
    """
    scenario = mistake.scenario
    if isinstance(family, PowerFaults):
        cases = family.cases_after(scenario, len(family.traced(scenario).calls))
        cases += family.cases_after(scenario, family.traced(scenario).acknowledged)
    else:
        cases = family.cases(scenario)
    wanted = [
        case
        for case in cases
        if " ".join(case.words).startswith(mistake.fault) and case.about.endswith(mistake.about)
    ]
    dice = random.Random(mistake.family)
    for n, case in enumerate(dice.sample(wanted, min(number, len(wanted))), 1):
        if problems := problems_of(family, case):
            return case, problems, n
    return None


def report_of(case: Case, problems: Sequence[str]) -> str:
    """For whoever has to mend it: what repeats it, what it is, and what is wrong."""
    return "\n    ".join(["", case.command, case.about, *problems])


# --- commands -----------------------------------------------------------------------------------


def _one(lab: Lab, words: Sequence[str]) -> int:
    """Repeat one fault; the directory stays for inspection if anything is wrong."""
    name, scenario, *rest = words
    family = families(lab)[name]
    wanted = tuple(rest)
    known = (case for case in _all_cases(family, scenario, wanted) if case.words == wanted)
    case = next(known, Case(name, scenario, wanted))
    if case.about:
        print(case.about)
    found = problems_of(family, case)
    print("\n".join(found) if found else "nothing wrong")
    if found:
        print(f"see {lab.directory}")
        lab.keep()
        return 1
    return 0


def _all_cases(family: Family, scenario: str, words: tuple[str, ...]) -> list[Case]:
    if isinstance(family, PowerFaults):  # there are many, and they are large
        return family.cases_after(scenario, int(words[0]))
    return family.cases(scenario)


def _list(lab: Lab, words: Sequence[str]) -> int:
    """What there is."""
    for name, family in families(lab).items():
        if words and words[0] != name:
            continue
        for scenario in family.scenarios():
            if len(words) < 2:
                print(name, scenario)
            elif scenario == words[1]:
                for one in family.cases(scenario):
                    print(name, scenario, *one.words)
    return 0


def _make(mistake: str) -> None:
    os.environ[MISTAKE] = mistake
    seeded_mistakes.MISTAKES[mistake].make()


def _catch(name: str) -> tuple[int, str]:
    """Whether a mistake is noticed by some of the cases that should, and what they say."""
    _make(name)
    mistake = seeded_mistakes.MISTAKES[name]
    is_all = bool(os.environ.get("SEQARCHIVE_ALL_FAULTS"))
    with Lab.opened() as lab:
        found = caught(families(lab)[mistake.family], mistake, 400 if is_all else 40)
    if found is None:
        return 0, "nobody notices"
    case, problems, number = found
    return 1, f"{report_of(case, problems)}\nnoticed by case {number}"


def _serve(lab: Lab) -> int:
    """Answer questions, one line of JSON each, until there are no more: for the tests.

    A question: family, scenario, number (0: all, or very many), seed, share and of how many; or
    ``catch`` and the name of a mistake; or ``case``, family, scenario and the words of a case.
    """
    known = families(lab)
    for line in sys.stdin:
        name, scenario, *rest = json.loads(line)
        if name == "catch":
            code, text = in_fork(lambda: _catch(scenario), patience=600)  # noqa: B023
            print(json.dumps({"tried": 1, "wrong": [text] if code else []}), flush=True)
            continue
        if name == "case":
            case = Case(scenario, rest[0], tuple(rest[1:]))
            problems = problems_of(known[scenario], case)
            wrong = [report_of(case, problems)] if problems else []
            print(json.dumps({"tried": 1, "wrong": wrong}), flush=True)
            continue
        number, seed, share, shares = rest
        family = known[name]
        try:
            cases = sample(family, scenario, number or _ALL, seed)
            wrong = [
                report_of(case, problems)
                for case in cases[share::shares]
                if (problems := problems_of(family, case))
            ]
            answer = {"tried": len(cases[share::shares]), "wrong": wrong}
        except (RuntimeError, OSError, AssertionError) as error:
            answer = {"tried": 0, "wrong": [f"{name} {scenario}: {error}"]}
        print(json.dumps(answer), flush=True)
    return 0


def _report(lab: Lab, arguments: argparse.Namespace) -> int:
    known = families(lab)

    def tried(name: str, scenario: str, number: int) -> Iterator[tuple[Case, list[str]]]:
        for case in sample(known[name], scenario, number, arguments.seed):
            yield case, problems_of(known[name], case)

    wanted = [word for word in arguments.words if word in known] or list(known)
    only = [word for word in arguments.words if word not in known]
    some = {name: family for name, family in known.items() if name in wanted}
    scenarios = {
        name: [one for one in family.scenarios() if not only or one in only]
        for name, family in some.items()
    }
    number, _, parts = arguments.part.partition("/")
    wrong = fault_report.run(
        scenarios,
        lambda name, scenario: len(some[name].cases(scenario)),
        tried,
        seconds=arguments.seconds,
        seed=arguments.seed,
        part=(int(number), int(parts)),
        out=arguments.out,
    )
    for case, problems in wrong:
        print(report_of(case, problems))
    return 1 if wrong else 0


def main(words: Sequence[str] | None = None) -> int:
    """Run as a program; see above."""
    parser = argparse.ArgumentParser(description="Faults, and what they lead to.")
    parser.add_argument("--mistake", choices=sorted(seeded_mistakes.MISTAKES), help="make it first")
    parser.add_argument("--seconds", type=float, default=60.0, help="of a report")
    parser.add_argument("--seed", default="1", help="of a report")
    parser.add_argument("--part", default="0/1", help="N/M: the N-th of M processes that share it")
    parser.add_argument("--out", type=Path, help="of a report: what came of it, for `table`")
    parser.add_argument("what", help="a family, report, table, list, catch, or serve")
    parser.add_argument("words", nargs="*")
    arguments = parser.parse_intermixed_args(words)
    if arguments.what == "table":
        fault_report.write([fault_report.read(Path(name)) for name in arguments.words])
        return 0
    prepare()
    if arguments.what == "catch":
        code, text = _catch(arguments.mistake)
        print(text)
        return code
    if arguments.mistake:
        _make(arguments.mistake)
    with Lab.opened() as lab:
        if arguments.what == "serve":
            return _serve(lab)
        if arguments.what == "list":
            return _list(lab, arguments.words)
        if arguments.what == "report":
            return _report(lab, arguments)
        return _one(lab, [arguments.what, *arguments.words])


if __name__ == "__main__":
    sys.exit(main())
