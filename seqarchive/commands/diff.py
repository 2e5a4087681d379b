"""``seqarchive diff``."""

from __future__ import annotations

from collections import Counter

import click

from ..diffs import Change, State, diff, state_of
from . import Settings, command, counted, print_json, print_line


@command("diff", "seqarchive diff 2024-06-01 2024-07-01")
@click.option("--summary", is_flag=True, help="Only count.")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
def command_(settings: Settings, summary: bool, first: str, second: str) -> None:
    """Say what changed from A to B: sequences added, aliases added, moved, retired.

    A and B are snapshots, `master`, `latest`, batches (7, batch:7), days or times; a snapshot comes
    before a batch or a day of the same spelling. With --json, one JSON line for each change, and a
    last one that counts them.
    """
    states = [state_of(settings.existing_place(), text) for text in (first, second)]
    counts: Counter[str] = Counter()
    if not settings.json:
        for sign, state in zip(("---", "+++"), states, strict=True):
            print_line(f"{sign} {_described(state)}")
    for change in diff(*states):
        counts[change.kind] += 1
        if summary:
            continue
        if settings.json:
            print_json(change.as_dict())
        else:
            print_line(_line(change))
    if settings.json:
        print_json({"summary": dict(counts)})
        return
    print_line(", ".join(_tally(kind, counts[kind]) for kind in sorted(counts)) or "no difference")


def _described(state: State) -> str:
    said = "" if state.name == state.instance.name else f" of {state.instance.name}"
    return f"{state.name}{said} (batch {state.batch})"


def _tally(kind: str, number: int) -> str:
    what, verb = kind.split()
    return f"{counted(number, what)} {verb}"


def _line(change: Change) -> str:
    if change.alias is None:
        sign, digest = ("+", change.after) if change.before is None else ("-", change.before)
        return f"{sign} SQ.{digest}  {change.length:,} residues"
    if change.before is None:
        return f"+ {change.alias}  SQ.{change.after}"
    if change.after is None:
        return f"- {change.alias}  SQ.{change.before}"
    return f"! {change.alias}  SQ.{change.before} -> SQ.{change.after}"
