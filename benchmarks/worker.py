"""The process that does the work: ``measure.work`` starts it, nobody else.

It imports one contestant and nothing that another one needs.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import resource
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from contestants import Step


def main() -> None:
    task, answer = json.loads(sys.argv[1]), Path(sys.argv[2])
    module = importlib.import_module(f"contestants.{task['contestant']}")
    steps: list[Step] = getattr(module, task["operation"])(**task["arguments"])
    times = {step.name: _timed(step) for step in steps}
    answer.write_text(json.dumps({"steps": times, "peak_rss": _peak_rss()}))


def _timed(step: Step) -> dict[str, object]:
    rss, cpu = _rss(), _cpu()
    started = time.perf_counter()
    result = step.call()
    wall = time.perf_counter() - started
    return {
        "wall": wall,
        "cpu": _cpu() - cpu,
        "count": step.count,
        "rss_growth": _rss() - rss,
        "answer": _sha256(result),
    }


def _cpu() -> float:
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _rss() -> int:
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()
    return 0


def _peak_rss() -> int:
    """Of the largest process. ``ru_maxrss`` of this one begins with that of its parent, who
    may be larger; the kernel's high-water mark of the address space does not."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                own = int(line.split()[1]) * 1024
    return max(own, children)


def _sha256(result: object) -> str:
    lines: Iterable[object] = result if isinstance(result, list) else ()
    return hashlib.sha256("\n".join(map(str, lines)).encode()).hexdigest()


if __name__ == "__main__":
    main()
