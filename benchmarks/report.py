"""Results -> text, JSON, reStructuredText and a picture.

As a program it draws them again: ``python benchmarks/report.py [RESULTS.json]``.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contestants import GTARS, HASHING, OURS, SEQREPO

Values = dict[str, dict[str, list[float]]]
"""Row -> contestant -> one value for each round."""

Average = Callable[[Sequence[float]], float]
"""The median, or the minimum."""


@dataclass(frozen=True)
class Fixed:
    """A goal that is a number."""

    value: float

    def of(self, values: Values, average: Average) -> float | None:  # noqa: ARG002
        """The number."""
        return self.value

    def __str__(self) -> str:
        return f"{self.value:g}"


@dataclass(frozen=True)
class OfPeer:
    """A goal that is a share of what another one needs for the same."""

    row: str
    contestant: str
    factor: float
    words: str

    def of(self, values: Values, average: Average) -> float | None:
        """The share, if the other one took part."""
        found = values.get(self.row, {}).get(self.contestant)
        return self.factor * average(found) if found else None

    def __str__(self) -> str:
        return self.words


@dataclass(frozen=True)
class Row:
    """A line of the table. Less is better in all of them.

    Args:
        key: Under which values are recorded.
        title: With fields of the scale.
        goal: None if it is only of interest.
    """

    key: str
    title: str
    unit: str
    goal: Fixed | OfPeer | None = None


ROWS = (
    Row("load chromosomes", "load {chromosome_mb} Mb in {chromosomes} chromosomes", "s",
        OfPeer("load chromosomes", "gtars", 0.8, "0.8 × gtars")),
    Row("load transcripts", "load {transcript_mb} Mb in {transcripts} transcripts", "s",
        OfPeer("load transcripts", "gtars", 0.6, "0.6 × gtars")),
    Row("again chromosomes", "the chromosomes again", "s",
        OfPeer("again chromosomes", "hashing", 1.0, "hashing alone")),
    Row("again transcripts", "the transcripts again", "s",
        OfPeer("again transcripts", "hashing", 1.0, "hashing alone")),
    Row("memory chromosomes", "memory while loading the chromosomes", "MB", Fixed(200)),
    Row("memory transcripts", "memory while loading the transcripts", "MB", Fixed(200)),
    Row("memory short", "memory, {short_mb} Mb in records of 1 kb (pipe)", "MB", Fixed(200)),
    Row("memory long", "memory, one record of {long_mb} Mb (pipe)", "MB",
        OfPeer("memory short", "seqarchive", 1.0, "as with 1 kb")),
    Row("memory big", "memory, {big} records of 60 b", "MB", Fixed(200)),
    Row("disk transcripts", "on disk, the transcripts", "MB", Fixed(22)),
    Row("disk chr20", "on disk, human chromosome 20", "MB", Fixed(17)),
    Row("fetch first", "100 bp by alias, random, first touch", "µs", Fixed(25)),
    Row("fetch again", "the same, warm", "µs", Fixed(7)),
    Row("open time", "open with {big} sequences", "ms", Fixed(10)),
    Row("open memory", "memory that opening takes", "MB", Fixed(5)),
    Row("add big", "add one sequence to {big}", "ms",
        OfPeer("add empty", "seqarchive", 1.0, "as to none")),
    Row("translate batch", "translate an identifier, in batches", "µs", Fixed(10)),
    Row("get", "seqarchive get, as a process", "ms", Fixed(200)),
)

MORE = (
    Row("load chromosomes process", "load the chromosomes, whole process", "s"),
    Row("load chromosomes cpu", "load the chromosomes, processor seconds", "s"),
    Row("load chromosomes created", "load the chromosomes, archive created too", "s"),
    Row("load transcripts process", "load the transcripts, whole process", "s"),
    Row("load transcripts cpu", "load the transcripts, processor seconds", "s"),
    Row("load transcripts created", "load the transcripts, archive created too", "s"),
    Row("again chromosomes cpu", "the chromosomes again, processor seconds", "s"),
    Row("again transcripts cpu", "the transcripts again, processor seconds", "s"),
    Row("load chr20", "load human chromosome 20 (gzip)", "s"),
    Row("load big", "load {big} sequences of 60 b", "s"),
    Row("memory largest chromosomes", "largest process, loading the chromosomes", "MB"),
    Row("memory largest transcripts", "largest process, loading the transcripts", "MB"),
    Row("apparent transcripts", "sizes of the files, the transcripts", "MB"),
    Row("apparent chr20", "sizes of the files, human chromosome 20", "MB"),
    Row("disk chromosomes", "on disk, the chromosomes", "MB"),
    Row("fetch first cpu", "100 bp by alias, first touch, processor time", "µs"),
    Row("fetch again cpu", "the same, warm, processor time", "µs"),
    Row("fetch tuned first", "100 bp, first touch (SeqRepo: 10 files open)", "µs"),
    Row("fetch tuned again", "the same, warm (SeqRepo: 10 files open)", "µs"),
    Row("fetch together", "the same, all in one call", "µs"),
    Row("fetch chromosomes first", "100 bp of the chromosomes, first touch", "µs"),
    Row("fetch chromosomes again", "the same, warm", "µs"),
    Row("open and fetch", "open with {big} sequences and look one up", "ms"),
    Row("add empty", "add one sequence to none", "ms"),
    Row("translate batch all", "translate to all names, in batches", "µs"),
    Row("translate one", "translate one identifier to ga4gh", "µs"),
    Row("translate one all", "translate one identifier to all names", "µs"),
    Row("get python", "the Python interpreter that does nothing", "ms"),
)

_COLUMNS = (OURS, SEQREPO, GTARS, HASHING)


def write(results: dict[str, Any], out: Path) -> str:
    """Write everything to a directory; returns the table as text."""
    out.mkdir(parents=True, exist_ok=True)
    text = as_text(results)
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (out / "results.rst").write_text(text)
    draw(results, out / "results.png")
    return text


# --- text -------------------------------------------------------------------------------------


def as_text(results: dict[str, Any]) -> str:
    """Tables in reStructuredText, which people can read as they are."""
    values: Values = results["values"]
    environment = results["environment"]
    others = environment["others"]
    titles = [_with_version(one.title, results["versions"].get(one.name, "")) for one in _COLUMNS]
    goals = [_line(row, results) for row in ROWS if row.key in values]
    more = [_line(row, results)[:-3] for row in MORE if row.key in values]
    parts = [
        "Medians of the rounds, the best round in parentheses. Less is better everywhere.\n"
        "A goal is reached where \"ours / goal\" is at most 1; \"best\" is the same of the best\n"
        "rounds, which other programs on the machine disturb less.",
        f"{environment['processor']}, {environment['cores']} cores, Python "
        f"{environment['python']}, rounds: {results['rounds']}"
        + (", SMALL INPUTS: the goals are for the large ones." if results["quick"] else "."),
    ]
    if others > 0.1:
        parts.append(f"NOISY: other programs kept {others:.2f} processors busy meanwhile.")
    if environment["editable"]:
        parts.append("seqarchive is an editable install, which takes longer to start.")
    for name, why in results["missing"].items():
        parts.append(f"Without {name}: {why}.")
    parts.append(table(["work", "", *titles, "goal", "ours / goal", "best"], goals))
    if more:
        parts.append(table(["more", "", *titles], more))
    return "\n\n".join(parts) + "\n"


def _title(row: Row, results: dict[str, Any]) -> str:
    return row.title.format(**results["inputs"])


def _with_version(title: str, version: str) -> str:
    return f"{title} {version}".strip()


def _line(row: Row, results: dict[str, Any]) -> list[str]:
    values: Values = results["values"]
    cells = [_title(row, results), row.unit]
    for one in _COLUMNS:
        found = values[row.key].get(one.name, [])
        cells.append(_value(found) if found else "–")
    cells.append(str(row.goal or "–"))
    for average in (statistics.median, min):
        ratio = ratio_to_goal(row, values, average)
        cells.append("–" if ratio is None else f"{ratio:.2f}")
    return cells


def _value(found: Sequence[float]) -> str:
    median, best = statistics.median(found), min(found)
    return f"{_digits(median)} ({_digits(best)})" if len(found) > 1 else _digits(median)


def _digits(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def ratio_to_goal(
    row: Row, values: Values, average: Average = statistics.median
) -> float | None:
    """Ours divided by the goal: at most 1 if it is reached."""
    ours = values.get(row.key, {}).get(OURS.name)
    goal = row.goal.of(values, average) if row.goal is not None else None
    return average(ours) / goal if ours and goal else None


def table(head: list[str], lines: list[list[str]]) -> str:
    """A simple table; columns in which nobody has anything are left out."""
    kept = [n for n in range(len(head)) if n < 2 or any(line[n] != "–" for line in lines)]
    rows = [[row[n] or " " for n in kept] for row in [head, *lines]]
    widths = [max(len(row[n]) for row in rows) for n in range(len(kept))]
    rule = "  ".join("=" * width for width in widths)

    def text(row: list[str]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))

    body = [text(row).rstrip() for row in rows[1:]]
    return "\n".join([rule, text(rows[0]).rstrip(), rule, *body, rule])


# --- picture ----------------------------------------------------------------------------------

_REACHED, _MISSED = "#3a8f5c", "#c8553d"
_MARKERS = ((SEQREPO, "o"), (GTARS, "D"))


def draw(results: dict[str, Any], path: Path) -> None:
    """Bars of what we need in terms of the goal; the peers as marks on the same scale."""
    try:
        import matplotlib as mpl  # noqa: PLC0415  (optional)
        from matplotlib import ticker  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        print("no picture: matplotlib is not installed", file=sys.stderr)
        return
    values: Values = results["values"]
    shown = [
        (row, ratio, goal)
        for row in ROWS
        if row.goal is not None
        and (goal := row.goal.of(values, statistics.median))
        and (ratio := ratio_to_goal(row, values)) is not None
    ]
    if not shown:
        return
    shown.reverse()  # the axis begins at the bottom
    mpl.use("Agg")
    figure = Figure(figsize=(11, 1.9 + 0.42 * len(shown)), layout="constrained")
    axes = figure.subplots()
    for y, (row, ratio, goal) in enumerate(shown):
        colour = _REACHED if ratio <= 1 else _MISSED
        axes.barh(y, ratio - 1, left=1, height=0.62, color=colour)
        median = statistics.median(values[row.key][OURS.name])
        axes.annotate(
            f"{_digits(median)} {row.unit}",
            (1, y),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=colour,
        )
        for peer, marker in _MARKERS:
            found = values[row.key].get(peer.name)
            if found:
                at = statistics.median(found) / goal
                axes.plot(at, y, marker, color="#30507a", markersize=6, markeredgecolor="white")
    axes.axvline(1, color="black", linewidth=1.2)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, 0.2), max(high, 5))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f"{x:g} ×"))
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_yticks(
        range(len(shown)),
        [f"{_title(row, results)}\ngoal: {_goal_words(row)}" for row, _, _ in shown],
        fontsize=8,
    )
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.set_xlabel("of the goal (logarithmic); left of the line is better than it")
    if results["quick"]:
        axes.set_title("small inputs: the goals are for the large ones", fontsize=9)
    axes.plot([], [], "s", color=_REACHED, label="seqarchive, goal reached")
    axes.plot([], [], "s", color=_MISSED, label="seqarchive, goal missed")
    versions = results["versions"]
    for peer, marker in _MARKERS:
        label = _with_version(peer.title, versions.get(peer.name, ""))
        axes.plot([], [], marker, color="#30507a", label=label, linestyle="none")
    figure.legend(loc="outside upper center", ncols=5, fontsize=8, frameon=False)
    figure.savefig(path, dpi=110)


def _goal_words(row: Row) -> str:
    words = str(row.goal)
    return f"{words} {row.unit}" if isinstance(row.goal, Fixed) else words


def main() -> None:
    default = Path(__file__).resolve().parent / "results" / "results.json"
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    print(write(json.loads(path.read_text()), path.parent))


if __name__ == "__main__":
    main()
