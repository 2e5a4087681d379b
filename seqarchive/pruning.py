"""Pruning: removing snapshots, by name or by rules like "the last of each month"."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from . import durable
from .catalogue import forget_verified
from .errors import BadName, NotFound
from .instances import LATEST, MASTER, Instance
from .manifests import snapshots_in
from .releases import Releasing, releases
from .usage import usage_of

# --- rules ------------------------------------------------------------------------------------

#: Rule -> the period in which it keeps the last snapshot, told from the time of the snapshot.
PERIODS: Mapping[str, Callable[[datetime], object]] = {
    "daily": lambda time: time.date(),
    "weekly": lambda time: tuple(time.isocalendar())[:2],
    "monthly": lambda time: (time.year, time.month),
    "yearly": lambda time: time.year,
}


class Dated(Protocol):
    """Anything with a time (ISO 8601 in UTC)."""

    @property
    def created(self) -> str:
        """When it was taken."""


T = TypeVar("T", bound=Dated)


def kept(snapshots: Iterable[T], *, last: int = 0, **periods: int) -> list[T]:
    """Those snapshots that some rule keeps, the newest first.

    Args:
        snapshots: In any order.
        last: So many of the newest.
        periods: Rule of ``PERIODS`` -> the last snapshot of each of so many periods, counting
            those alone in which there is one.
    """
    newest_first = sorted(snapshots, key=lambda one: one.created)[::-1]
    keep = set(range(min(last, len(newest_first))))
    for rule, number in periods.items():
        seen: set[object] = set()
        for index, snapshot in enumerate(newest_first):
            period = PERIODS[rule](datetime.fromisoformat(snapshot.created.replace("Z", "+00:00")))
            if period not in seen and len(seen) < number:
                seen.add(period)
                keep.add(index)
    return [newest_first[index] for index in sorted(keep)]


# --- snapshots --------------------------------------------------------------------------------


@dataclass(slots=True)
class PruneReport:
    """Which snapshots went, and which stay."""

    dry_run: bool
    removed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    freed_bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "dry_run": self.dry_run,
            "removed": self.removed,
            "kept": self.kept,
            "freed_bytes": self.freed_bytes,
        }


def prune(
    root: Path,
    names: Iterable[str] = (),
    *,
    last: int = 0,
    dry_run: bool = False,
    **periods: int,
) -> PruneReport:
    """Remove snapshots; their shards live as long as anything links them.

    Args:
        names: These; or, if there are none, all that no rule keeps.
        last: Rule: keep so many of the newest.
        periods: Rules ``daily``, ``weekly``, ``monthly``, ``yearly``: keep the last snapshot of
            each of so many days, weeks, ...
        dry_run: Only say what would go.

    Raises:
        NotFound: There is no snapshot of a name. BadName: Neither names nor rules.
        PermissionError: One of them is another user's; all stay.
    """
    wanted = list(dict.fromkeys(names))
    if not wanted and not last and not any(periods.values()):
        raise BadName("say which snapshots to remove, or by which rules to keep some")
    report = PruneReport(dry_run)
    if LATEST in wanted:
        raise NotFound(f"{LATEST!r} is a link; say the name of the snapshot it leads to")
    if wanted and not root.is_dir():
        raise NotFound(f"there is no archive in {root}")  # none is made to remove something
    if dry_run:
        _choose(root, wanted, report, last=last, **periods)
        return report
    with Releasing(root) as releasing:
        chosen = _choose(root, wanted, report, last=last, **periods)
        for instance in chosen:
            durable.require_removable(instance.directory)
        for instance in chosen:
            forget_verified(instance)  # first: another may get the name
            releasing.withdraw(instance)
    return report


def _choose(
    root: Path, wanted: list[str], report: PruneReport, *, last: int, **periods: int
) -> list[Instance]:
    found = {instance.name: instance for instance in snapshots_in(root)}
    if wanted:
        for name in wanted:
            if name not in found:
                raise NotFound(f"there is no snapshot {name!r} in {root}")
        chosen = wanted
    else:
        dated = releases(root)  # what cannot be read has no date, and stays
        keep = {release.instance.name for release in kept(dated, last=last, **periods)}
        chosen = [one.instance.name for one in dated if one.instance.name not in keep]
    report.removed = chosen
    report.kept = [name for name in found if name not in chosen]
    before, after = (
        usage_of({MASTER: root / MASTER} | {name: root / name for name in some})[1]
        for some in (found, report.kept)
    )
    report.freed_bytes = before - after
    return [found[name] for name in chosen]
