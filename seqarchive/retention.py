"""Retention: which snapshots rules like "the last of each month" keep."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Protocol, TypeVar

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
