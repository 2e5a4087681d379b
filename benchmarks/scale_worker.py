"""What ``scale.py`` measures inside of a process: it prints its answer as JSON.

    python scale_worker.py look ROOT SAMPLES.json
    python scale_worker.py load ROOT NAMESPACE FILE...
    python scale_worker.py serve ROOT
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from seqarchive import connect
from seqarchive.deflines import Naming
from seqarchive.instances import Instance
from seqarchive.load_options import LoadOptions
from seqarchive.loading import load

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

TENTHS = 10


def _each(calls: Sequence[Callable[[], object]]) -> float:
    """Mean seconds of a call."""
    started = time.perf_counter()
    for call in calls:
        call()
    return (time.perf_counter() - started) / len(calls)


def look(root: str, samples: str) -> dict[str, Any]:
    """Open an archive, and ask for what was put there; what comes back must be it."""
    asked: list[dict[str, Any]] = json.loads(Path(samples).read_text())
    started = time.perf_counter()
    archive = connect(root)
    first = asked[len(asked) // 2]
    assert archive.fetch(first["name"], first["start"], first["start"] + 50) == first["expected"]
    found: dict[str, Any] = {"open and get": time.perf_counter() - started}
    for what, name in (("name", "name"), ("other name", "other"), ("digest", "digest")):
        parts = [
            (f"SQ.{one[name]}" if name == "digest" else one[name], one["start"], one["expected"])
            for one in asked
            if one[name]
        ]
        if not parts:
            continue
        fresh = connect(root)

        def get(part: tuple[str, int, str], archive: Any = fresh) -> None:
            if archive.fetch(part[0], part[1], part[1] + 50) != part[2]:
                raise ValueError(f"{part[0]} is something else")

        calls = [partial(get, part) for part in parts]
        found[f"get by {what}, first"] = _each(calls)
        found[f"get by {what}, again"] = _each(calls)
        fresh.close()
    names = [one["name"] for one in asked]
    fresh = connect(root)
    found["translate one"] = _each([partial(fresh.translate, name) for name in names])
    return found


def load_at_once(root: str, namespace: str, files: list[str]) -> dict[str, Any]:
    """Load files as one batch, and note when each tenth of the bytes had been read."""
    total = sum(Path(file).stat().st_size for file in files)
    ends: list[float] = []
    n_bytes = 0
    started = time.perf_counter()

    def progress(n: int) -> None:
        nonlocal n_bytes
        n_bytes += n
        while len(ends) < TENTHS - 1 and n_bytes >= total * (len(ends) + 1) / TENTHS:
            ends.append(time.perf_counter() - started)

    report = load(
        Instance(Path(root)), files, LoadOptions(naming=Naming(namespace)), progress
    )
    ends.append(time.perf_counter() - started)
    return {
        "tenths": [end - begin for begin, end in zip([0.0, *ends], ends, strict=False)],
        "sequences": report.sequences_added,
        "children_peak": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
    }


def serve(root: str) -> None:
    """Serve the files of a root over HTTP on loopback until standard input ends."""
    from servers import serving  # noqa: PLC0415  (of the tests)

    with serving(Path(root)) as server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    operation, *arguments = sys.argv[1:]
    if operation == "serve":
        serve(*arguments)
    elif operation == "load":
        print(json.dumps(load_at_once(arguments[0], arguments[1], arguments[2:])))
    else:
        print(json.dumps(look(*arguments)))
