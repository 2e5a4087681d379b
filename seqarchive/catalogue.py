"""The catalogue of a root: which snapshots there are, how large, and when each was verified."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from . import durable
from .errors import NotFound
from .instances import LATEST, MASTER, Instance
from .releases import releases
from .usage import usage_of


def list_snapshots(root: Path) -> tuple[dict[str, Any], list[str]]:
    """What snapshots there are, and what they and ``master`` take; ready for JSON.

    Returns:
        The list, and one line for each snapshot that cannot be read.
    """
    broken: list[str] = []
    found = releases(root, broken)
    master = Instance(root)
    directories = {release.instance.name: release.instance.directory for release in found}
    if master.directory.is_dir():
        directories[MASTER] = master.directory
    usage, total = usage_of(directories)
    try:
        latest = Instance.at(root, LATEST).name
    except NotFound:
        latest = ""  # the next `snapshot` or `prune` makes it anew
    rows = []
    for release in found:
        manifest = release.found.manifest
        own = usage[release.instance.name]
        rows.append(
            {
                "name": release.instance.name,
                "created": manifest.created,
                "batch": manifest.batch,
                "parent": manifest.parent,
                "sequences": manifest.counts.get("sequences", 0),
                "residues": manifest.counts.get("residues", 0),
                "aliases": manifest.counts.get("aliases", 0),
                "apparent_bytes": own.apparent,
                "own_bytes": own.own,
                "latest": release.instance.name == latest,
                "verified": verified(release.instance),
            }
        )
    of_master = usage.get(MASTER)
    return {
        "root": str(root),
        "snapshots": rows,
        "master": of_master and {"apparent_bytes": of_master.apparent, "own_bytes": of_master.own},
        "real_bytes": total,
    }, broken


def _note_of(instance: Instance) -> Path:
    """Where it is noted when a snapshot was verified: not in it, for nothing in it changes."""
    return instance.root / ".verified" / f"{instance.name}.json"


def note_verified(instance: Instance, *, full: bool, sound: bool) -> bool:
    """Note that a snapshot was verified now. False if nothing can be written there."""
    note = verified(instance) or {}
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    note["full" if full else "quick"] = {"time": when, "ok": sound}
    path = _note_of(instance)
    try:
        path.parent.mkdir(exist_ok=True)
        durable.replace(path, json.dumps(note).encode(), path.parent)
    except OSError:
        return False
    return True


def verified(instance: Instance) -> dict[str, Any] | None:
    """When a snapshot was last verified: ``quick`` and ``full``, each with ``time`` and ``ok``."""
    try:
        found = json.loads(_note_of(instance).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    notes = {kind: found[kind] for kind in ("quick", "full") if _is_note(found.get(kind))}
    return notes or None


def _is_note(note: object) -> bool:
    return (
        isinstance(note, dict)
        and isinstance(note.get("time"), str)
        and note["time"].isprintable()
        and isinstance(note.get("ok"), bool)
    )


def forget_verified(instance: Instance) -> None:
    """Remove the note, for good: another snapshot may get the name."""
    path = _note_of(instance)
    if durable.exists(path):
        durable.remove(path)
        durable.fsync(path.parent)
