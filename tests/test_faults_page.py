"""The page about faults has the table of a run, of all families, without a violation."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from fault_report import BEGIN, END, PAGE, Row, Run, _lines
from scenarios import SCENARIOS

FAMILIES = ("disk", "power", "order", "flip", "truncate", "misplace", "locks", "writers")


@pytest.fixture(scope="module")
def rows() -> list[list[str]]:
    """The cells of the table."""
    text = PAGE.read_text(encoding="utf-8")
    _, _, rest = text.partition(BEGIN)
    table, end, _ = rest.partition(END)
    assert end, "the page lacks the end of its table"
    lines = [line for line in table.splitlines() if line.startswith(("=", *FAMILIES, "family"))]
    rules = [n for n, line in enumerate(lines) if line.startswith("=")]
    assert rules == [0, 2, len(lines) - 1]
    columns = [match.span() for match in re.finditer("=+", lines[0])]
    found = [[line[begin:end].strip() for begin, end in columns] for line in lines]
    assert found[1] == ["family", "scenario", "possible", "tried", "violations"]
    return found[3:-1]


def test_the_page_is_right_as_rst(tmp_path: Path) -> None:
    page = tmp_path / "page.rst"
    text = PAGE.read_text(encoding="utf-8")
    page.write_text(re.sub(r":doc:`(\w+)`", r"``\1``", text), encoding="utf-8")
    command = [sys.executable, "-m", "docutils", "--halt=2", str(page), str(tmp_path / "page.html")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "<table" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_all_families_and_scenarios_were_tried_and_nothing_was_violated(
    rows: list[list[str]],
) -> None:
    assert {row[0] for row in rows} == set(FAMILIES)
    assert {row[1] for row in rows if row[0] == "disk"} == set(SCENARIOS)
    for family, scenario, possible, tried, violations in rows:
        n_possible, n_tried = (int(cell.replace(",", "")) for cell in (possible, tried))
        assert 0 < n_tried <= n_possible, (family, scenario)
        assert violations == "0", (family, scenario)


def test_the_page_says_how_many_in_all(rows: list[list[str]]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    said = re.search(r"([\d,]+) faults,\n0 violations\.", text)
    assert said is not None
    assert int(said[1].replace(",", "")) == sum(int(row[3].replace(",", "")) for row in rows)


def test_a_violation_would_be_seen_in_the_table() -> None:
    found = Run("2026-01-02", "7", 60.0, [Row("disk", "first", 1000, 10, 2)])
    lines = list(_lines([found]))
    assert "2 violations." in lines
    assert any(line.split() == ["disk", "first", "1,000", "10", "2"] for line in lines)
    both = list(_lines([found, found]))
    assert any(line.split() == ["disk", "first", "1,000", "20", "4"] for line in both)


def test_the_program_says_which_faults_there_are() -> None:
    program = str(Path(__file__).with_name("faults.py"))
    command = [sys.executable, program, "list", "misplace", "forged"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "misplace forged 0 residue\n"
