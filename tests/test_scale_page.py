"""The arithmetic of the page about scale is that of its own coefficients."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

PAGE = (Path(__file__).parent.parent / "docs" / "scale.rst").read_text("utf-8")


def rows_of(head: str) -> list[list[str]]:
    """The rows of the simple table whose head begins so; cells by the columns of its rule."""
    lines, words = PAGE.split("\n"), head.split()
    at = next(n for n, line in enumerate(lines) if line.split()[: len(words)] == words)
    starts = [*(match.start() for match in re.finditer("=+", lines[at - 1])), None]
    found: list[list[str]] = []
    for line in lines[at + 2 :]:
        if line.startswith("="):
            return found
        found.append(
            [line[begin:end].strip() for begin, end in pairwise(starts)]
        )
    raise AssertionError(f"no end of the table {head!r}")


COEFFICIENTS = {
    (of, each): float(cost.split()[0]) for of, each, cost, _ in rows_of("of each cost")
}


def costs(of: str, amounts: dict[str, float]) -> float:
    """What one thing costs: each coefficient times that of which it is."""
    amounts = {**amounts, "residue": amounts["nucleotide"] + amounts["amino acid"]}
    return sum(cost * amounts[each] for (what, each), cost in COEFFICIENTS.items() if what == of)


@pytest.mark.parametrize("column", [1, 2])
def test_the_page_computes_what_it_says(column: int) -> None:
    amounts = {
        "alias" if row[0] == "aliases" else row[0].removesuffix("s"): float(
            row[column].replace(",", "")
        )
        for row in rows_of("assumed RefSeq")
    }
    disk = {of: costs(of, amounts) / 1e9 for of in ("database", "shards", "indexes")}
    expected = {f"{of} (GB)": size for of, size in disk.items()}
    expected["all (GB)"] = sum(disk.values())
    expected["each snapshot more (GB)"] = disk["database"]
    expected["files"] = 3 * disk["shards"] * 1e9 / 2**28
    for command in ("load", "snapshot", "pull", "verify", "verify --full"):
        expected[f"{command} (CPU hours)"] = costs(command, amounts) / 1e6 / 3600
    said = {row[0]: row[column] for row in rows_of("computed RefSeq")}
    assert said.keys() == expected.keys()
    for what, text in said.items():
        digits = len(text.partition(".")[2])
        assert round(expected[what], digits) == float(text.replace(",", "")), what
