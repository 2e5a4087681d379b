"""The table of faults in the documentation: how many there could be, how many were tried, and how
many ended in something that the archive promises not to do, which must be none."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lab import Case

PAGE = Path(__file__).parents[1] / "docs" / "faults.rst"

#: Between these lines of the page is what a run has found.
BEGIN, END = ".. The table begins here.", ".. The table ends here."

#: How the time is shared.
_SHARES = {
    "disk": 0.50,
    "power": 0.30,
    "flip": 0.08,
    "truncate": 0.04,
    "misplace": 0.03,
    "order": 0.01,
    "locks": 0.02,
    "writers": 0.02,
}

#: Of what there are so many, no more are chosen at first.
_MANY = 5_000


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one scenario of a family."""

    family: str
    scenario: str
    possible: int
    tried: int
    violations: int


@dataclass(frozen=True, slots=True)
class Run:
    """What came of all."""

    date: str
    seed: str
    seconds: float
    rows: list[Row]


Tried = Callable[[str, str, int], Iterator[tuple[Case, list[str]]]]


def run(
    scenarios: Mapping[str, Sequence[str]],
    possible: Callable[[str, str], int],
    tried: Tried,
    *,
    seconds: float,
    seed: str,
    part: tuple[int, int],
    out: Path | None,
) -> list[tuple[Case, list[str]]]:
    """Try faults for a time; returns those after which something was wrong.

    Args:
        scenarios: Of each family.
        possible: How many faults there are in a scenario.
        tried: Tries some of them.
        part: Which of how many processes this is; they share the scenarios.
        out: Where the result is written, as it comes.
    """
    pairs = [(name, one) for name, some in scenarios.items() for one in some][part[0] :: part[1]]
    weight = {name: _SHARES[name] / len(scenarios[name]) for name, _ in pairs}
    left, wrong, rows = seconds, [], []
    for n, (name, scenario) in enumerate(pairs):
        number = possible(name, scenario)
        started = time.monotonic()
        share = left * weight[name] / sum(weight[other] for other, _ in pairs[n:])
        count = violations = 0
        for case, problems in tried(name, scenario, min(number, _MANY)):
            count += 1
            if problems:
                violations += 1
                wrong.append((case, problems))
            if time.monotonic() - started > share:
                break
        left -= time.monotonic() - started
        rows.append(Row(name, scenario, number, count, violations))
        print(f"{name} {scenario}: {count:,} of {number:,}, {violations} violations", flush=True)
        if out is not None:
            now = time.strftime("%Y-%m-%d", time.gmtime())
            found = Run(now, seed, round(seconds - left), rows)
            out.write_text(json.dumps(asdict(found)))
    return wrong


def read(path: Path) -> Run:
    """What a run has written."""
    found = json.loads(path.read_bytes())
    return Run(**{**found, "rows": [Row(**row) for row in found["rows"]]})


def write(runs: Sequence[Run]) -> None:
    """Put the table into the page, in place of the one that is there."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    table = "\n".join(_lines(runs))
    PAGE.write_text(f"{before}{BEGIN}\n\n{table}\n{END}{after}", encoding="utf-8")


def _lines(runs: Sequence[Run]) -> Iterator[str]:
    rows = _joined([row for one in runs for row in one.rows])
    tried, violations = sum(row.tried for row in rows), sum(row.violations for row in rows)
    minutes = round(sum(one.seconds for one in runs) / 60)
    seeds = " and ".join(sorted({one.seed for one in runs}))
    yield (
        f"On {max(one.date for one in runs)}, in {minutes} minutes of {len(runs)} processes, "
        f"with seed {seeds}: {tried:,} faults,"
    )
    yield f"{violations:,} violations."
    yield ""
    cells = [("family", "scenario", "possible", "tried", "violations")]
    cells += [
        (row.family, row.scenario, f"{row.possible:,}", f"{row.tried:,}", f"{row.violations:,}")
        for row in rows
    ]
    widths = [max(len(row[n]) for row in cells) for n in range(5)]
    rule = "  ".join("=" * width for width in widths)
    for n, row in enumerate(cells):
        if n < 2:
            yield rule
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    yield rule
    yield ""


def _joined(rows: Sequence[Row]) -> list[Row]:
    """One row for each scenario, of all runs; no more were tried than there are."""
    found: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = (row.family, row.scenario)
        if key in found:
            known = found[key]
            possible = max(row.possible, known.possible)
            tried = min(row.tried + known.tried, possible)
            row = Row(*key, possible, tried, row.violations + known.violations)  # noqa: PLW2901
        found[key] = row
    return sorted(found.values(), key=lambda row: _order(row.family))


def _order(family: str) -> int:
    return list(_SHARES).index(family)
