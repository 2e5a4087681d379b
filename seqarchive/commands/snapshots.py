"""``seqarchive snapshots``."""

from __future__ import annotations

from typing import Any

import click

from ..catalogue import list_snapshots
from ..errors import Corrupt
from . import Settings, command, megabytes, print_json, warn

_COLUMNS = ("NAME", "TAKEN (UTC)", "BATCH", "SEQUENCES", "RESIDUES", "SIZE", "OWN", "VERIFIED")


@command("snapshots", "seqarchive snapshots")
def command_(settings: Settings) -> int:
    """List the snapshots, the oldest first.

    SIZE is that of a copy; OWN is what nothing else here shares, and what `prune` would free.
    """
    listed, broken = list_snapshots(settings.only_root())
    if settings.json:
        print_json(listed)
    else:
        _print(listed)
    for line in broken:
        warn(settings, line)
    return Corrupt.exit_code if broken else 0


def _print(listed: dict[str, Any]) -> None:
    if not listed["snapshots"]:
        click.echo(f"no snapshots in {listed['root']}; make one with `seqarchive snapshot NAME`")
        return
    rows = [
        (
            row["name"] + (" (latest)" if row["latest"] else ""),
            row["created"][:19].replace("T", " "),
            f"{row['batch']:,}",
            f"{row['sequences']:,}",
            f"{row['residues']:,}",
            megabytes(row["apparent_bytes"]),
            megabytes(row["own_bytes"]),
            _verified(row["verified"]),
        )
        for row in listed["snapshots"]
    ]
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
    for row in (_COLUMNS, *rows):
        cells = [
            text.ljust(width) if n in (0, 1, 7) else text.rjust(width)
            for n, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())
    master = listed["master"]
    if master:
        click.echo(
            f"master takes {megabytes(master['own_bytes'])} that no snapshot shares; "
            f"all together {megabytes(listed['real_bytes'])}"
        )


def _verified(note: dict[str, Any] | None) -> str:
    if not note:
        return "never"
    # The last one; of two in one second the one that saw more, which comes last here too.
    kind = max(("quick", "full"), key=lambda kind: (kind in note, note.get(kind, {}).get("time")))
    quick, full = (note.get(kind, {"time": "", "ok": True}) for kind in ("quick", "full"))
    # What a full look found, no quick one takes back.
    sound = full["ok"] and (quick["ok"] or full["time"] > quick["time"])
    word = "in full" if kind == "full" else "quickly"
    return f"{note[kind]['time'][:10]} {word}{'' if sound else ' DAMAGED'}"
