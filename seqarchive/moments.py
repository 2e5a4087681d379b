"""Moments: what a person calls a state of an archive, and the batch after which it was so."""

from __future__ import annotations

import re
from contextlib import closing
from datetime import datetime, timedelta, timezone

from .database import Database
from .errors import BadName, NotFound
from .instances import Instance

_BATCH = re.compile(r"(?:batch:)?(\d{1,18})\Z", re.ASCII)
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d"
    r"([T ]\d\d:\d\d(:\d\d(\.\d{3}(\d{3})?)?)?([Zz]|[+-]\d\d:\d\d)?)?\Z",
    re.ASCII,
)
_DAY = re.compile(r"\d{4}-\d\d-\d\d\Z", re.ASCII)


def batch_at(instance: Instance, moment: int | str) -> int:
    """The last batch of a moment; 0 before the first.

    Args:
        moment: The number of a batch, also as ``batch:7``; the name of a snapshot; a date
            (``2024-06-01``, to the end of that day) or a time (``2024-06-01T12:00:00+02:00``; UTC
            without an offset). A snapshot comes before a number or a date of the same spelling.

    Raises:
        NotFound: There is no such batch, or the snapshot is one of another archive.
        BadName: Nothing of these.
    """
    with closing(Database.of(instance)) as database:
        if isinstance(moment, str):
            snapshot = _snapshot(instance, moment)
            if snapshot is not None:
                moment = _batch_of(snapshot, database)
        return batch_in(database, moment)


def batch_in(database: Database, moment: int | str) -> int:
    """The last batch of a moment that is no snapshot; otherwise like ``batch_at``."""
    last = database.last_batch()
    match = _BATCH.match(moment) if isinstance(moment, str) else None
    number = int(match[1]) if match is not None else moment
    if isinstance(number, int):
        if not 0 <= number <= last:
            raise NotFound(f"there is no batch {number}; the last one is {last}")
        return number
    return database.last_batch(until=_time(number))


def _snapshot(instance: Instance, name: str) -> Instance | None:
    try:
        snapshot = Instance.at(instance.root, name)
    except BadName:
        return None
    return snapshot if snapshot.is_snapshot else None


def _batch_of(snapshot: Instance, database: Database) -> int:
    with closing(Database.of(snapshot)) as other:
        return batch_of_release(database, other, snapshot.name)


def batch_of_release(database: Database, release: Database, name: str) -> int:
    """The last batch of a snapshot, in the archive that it is one of.

    Raises:
        NotFound: It is not one of this archive, or not of its past.
    """
    if release.meta().get("archive_id") != database.meta().get("archive_id"):
        raise NotFound(f"the snapshot {name} is one of another archive")
    last = release.last_batch()
    if last > database.last_batch() or not same_line(database, release, last):
        raise NotFound(f"the snapshot {name} is not of the past of this archive")
    return last


def same_line(first: Database, second: Database, batch: int) -> bool:
    """Whether two databases are of one archive, and have the same history up to a batch."""
    one, other = (
        (database.meta().get("archive_id"), database.token(batch)) for database in (first, second)
    )
    return one == other


def _time(text: str) -> str:
    """ISO 8601 in UTC as the database has it."""
    try:
        if _MOMENT.match(text) is None:
            raise ValueError
        found = datetime.fromisoformat(re.sub("[Zz]$", "+00:00", text))
        if found.tzinfo is None:
            found = found.replace(tzinfo=timezone.utc)
        if _DAY.match(text):
            found += timedelta(days=1) - timedelta(seconds=1)
        utc = found.astimezone(timezone.utc).replace(tzinfo=None)
        return utc.isoformat(timespec="seconds") + "Z"
    except (ValueError, OverflowError):
        raise BadName(
            f"{text!r} is no moment: say a batch number, a snapshot, a date (2024-06-01) or a "
            "time (2024-06-01T12:00:00Z)"
        ) from None
