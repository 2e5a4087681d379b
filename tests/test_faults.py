"""Killed, or refused by the disk, at any system call: the archive is as before the change or as
after it, and the next change finds nothing in its way.

The tests take a sample of the calls, which has each kind of call and those around publication and
commit; with the environment variable SEQARCHIVE_ALL_FAULTS they take every one, for about an hour.
"""

from __future__ import annotations

import os

import pytest
from faults import SCENARIOS, Call, Case, Scenario, Stage, sample

ALL = bool(os.environ.get("SEQARCHIVE_ALL_FAULTS"))

#: Of how many calls the sample takes one.
EVERY = {"first": 40, "second": 30, "replace": 40, "import-aliases": 18, "repair": 30}

#: Into how many tests the kills of one scenario are divided, so that two cores share them.
SHARES = 4


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("faults"))


def some_of(stage: Stage, scenario: Scenario) -> list[Call]:
    calls = stage.calls(scenario)
    return calls if ALL else sample(calls, EVERY[scenario.name])


def what_goes_wrong(stage: Stage, scenario: Scenario, fault: str, calls: list[Call]) -> list[str]:
    """Problems, each with the command that repeats it alone."""
    assert calls
    cases = [Case(scenario, fault, call) for call in calls]
    return [
        "\n    ".join(["", case.command, str(case.call), *problems])
        for case in cases
        if (problems := stage.problems(case))
    ]


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_killed_at_any_call_it_is_as_before_or_as_after(
    stage: Stage, scenario: Scenario, share: int
) -> None:
    calls = some_of(stage, scenario)[share::SHARES]
    wrong = what_goes_wrong(stage, scenario, "kill", calls)
    assert not wrong, "".join(wrong)


@pytest.mark.parametrize("share", range(2))
@pytest.mark.parametrize("fault", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_refused_by_the_disk_at_any_call_it_is_as_before_or_as_after(
    stage: Stage, scenario: Scenario, fault: str, share: int
) -> None:
    calls = some_of(stage, scenario)
    if not ALL:  # each call of the sample fails in one of the two ways
        calls = calls[fault == "EIO" :: 2]
    wrong = what_goes_wrong(stage, scenario, fault, calls[share::2])
    assert not wrong, "".join(wrong)


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_a_disk_that_is_full_from_some_write_on_leaves_it_as_before_or_as_after(
    stage: Stage, scenario: Scenario
) -> None:
    writes = [call for call in stage.calls(scenario) if call.kind == "pwrite64"]
    calls = writes if ALL else [writes[len(writes) // 2]]
    wrong = what_goes_wrong(stage, scenario, "full", calls)
    assert not wrong, "".join(wrong)
