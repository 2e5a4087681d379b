"""Archives as large as one machine takes: ``python benchmarks/scale.py --work DIR``.

Generates input of one size after another, does with each archive what people do, and writes a
table. What was measured is kept in ``DIR/scale.json``, so that a run that was interrupted goes on;
what is large is removed when a size is done.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import HERE, Failed, Watcher, disk_usage
from report import table

TENTHS = 10


@dataclass(frozen=True)
class Size:
    """How much of what."""

    kind: str
    """``short``: records of 100 to 400 residues; ``long``: chromosomes of 100 Mb."""
    n: int
    """Records, or residues."""
    namespace: str
    at_once: bool = True
    """Whether it is loaded as one batch too."""
    store: bool = True
    """Whether a RefgetStore of it is written: a file for each sequence."""


SIZES = {
    "1e5": Size("short", 100_000, "refseq"),
    "1e6": Size("short", 1_000_000, "refseq"),
    "1e7": Size("short", 10_000_000, "refseq", store=False),
    "1Gb": Size("long", 1_000_000_000, "insdc"),
    "10Gb": Size("long", 10_000_000_000, "insdc", at_once=False, store=False),
}

_Step = Callable[[], dict[str, Any]]


class Run:
    """One size: its files, and what is known of it."""

    def __init__(self, name: str, work: Path, kept: dict[str, dict[str, Any]]) -> None:
        self.size = SIZES[name]
        self.work = work / name
        self.kept = kept
        self.root, self.once = self.work / "root", self.work / "once"
        self.input, self.samples = self.work / "input", self.work / "samples.json"

    # --- processes --------------------------------------------------------------------------

    def ours(self, *arguments: str, root: Path | None = None, output: str = "") -> dict[str, Any]:
        """Run a command of seqarchive; what it cost."""
        argv = [sys.executable, "-m", "seqarchive", "--root", str(root or self.root), "-q"]
        return _measured([*argv, *arguments], output)[0]

    def worker(self, *arguments: str) -> dict[str, Any]:
        """Have ``scale_worker.py`` do something; what it cost, and its answer."""
        costs, said = _measured([sys.executable, str(HERE / "scale_worker.py"), *arguments], "")
        return {**costs, **json.loads(said)}

    # --- steps ------------------------------------------------------------------------------

    def steps(self) -> Iterator[tuple[str, _Step]]:
        """What is done, in this order."""
        for tenth in range(TENTHS):
            yield f"load, tenth {tenth + 1}", lambda tenth=tenth: self._load(tenth)  # type: ignore[misc]
        yield "sizes", self._sizes
        yield "process: get", lambda: self.ours("get", self._asked()[0]["name"])
        yield "look", lambda: self.worker("look", str(self.root), str(self.samples))
        yield "process: status", lambda: self.ours("status")
        yield "process: log", lambda: self.ours("log")
        yield "process: translate all samples", self._translate
        yield "snapshot", lambda: self.ours("snapshot", "r1")
        yield "snapshot sizes", self._snapshot_sizes
        yield "add one", self._add_one
        yield "export, a slice", self._export
        yield "export-aliases", lambda: self.ours("export-aliases")
        yield "pull over HTTP", self._pull
        yield "verify --full", lambda: self.ours("verify", "--full")
        yield "verify", lambda: self.ours("verify")
        yield "push to a directory", self._push
        if self.size.store:
            yield "export-rgstore", self._store
        if self.size.at_once:
            yield "load at once", self._load_at_once

    def _files(self) -> list[str]:
        return [str(path) for path in sorted(self.input.iterdir(), key=lambda p: int(p.stem))]

    def _generate(self, tenth: int) -> None:
        """Have the input of a tenth there, and no other if it is large."""
        self.input.mkdir(parents=True, exist_ok=True)
        if not self.size.at_once:
            for file in self._files():
                Path(file).unlink()
        size = self.size
        argv = [sys.executable, str(HERE / "scale_inputs.py"), size.kind, str(size.n), str(tenth)]
        said = subprocess.run([*argv, str(self.input)], stdout=subprocess.PIPE, check=True).stdout
        earlier = self._asked() if tenth else []
        self.samples.write_text(json.dumps(earlier + json.loads(said)))

    def _asked(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.samples.read_text())
        return found

    def _load(self, tenth: int) -> dict[str, Any]:
        before = set(self._files()) if tenth and self.size.at_once else set()
        self._generate(tenth)
        files = [file for file in self._files() if file not in before]
        return self.ours("load", "--namespace", self.size.namespace, *files)

    def _load_at_once(self) -> dict[str, Any]:
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.rmtree(self.once, ignore_errors=True)
        return self.worker("load", str(self.once), self.size.namespace, *self._files())

    def _sizes(self) -> dict[str, Any]:
        master = self.root / "master"
        shards = [path for path in master.rglob("*") if path.suffix in (".bgz", ".fai", ".gzi")]
        said = subprocess.run(
            [sys.executable, "-m", "seqarchive", "--root", str(self.root), "--json", "status"],
            stdout=subprocess.PIPE, check=True,
        ).stdout
        status = json.loads(said)
        return {
            "database": (master / "aliases.sqlite3").stat().st_size,
            "shards": sum(path.stat().st_size for path in shards if path.suffix == ".bgz"),
            "indexes": sum(path.stat().st_size for path in shards if path.suffix != ".bgz"),
            "files": len(shards),
            **{name: status[name] for name in ("sequences", "aliases", "residues")},
        }

    def _snapshot_sizes(self) -> dict[str, Any]:
        release = self.root / "r1"
        return {
            name: (release / name).stat().st_size
            for name in ("aliases.sqlite3", "chunks.sha256", "manifest.json")
        }

    def _translate(self) -> dict[str, Any]:
        ids = self.work / "ids"
        ids.write_text("".join(f"{one['name']}\n" for one in self._asked()))
        return self.ours("translate", "--from", str(ids), "--to", "ga4gh")

    def _export(self) -> dict[str, Any]:
        ids = self.work / "ids"
        names = [one["name"] for one in self._asked()]
        ids.write_text("".join(f"{name}\n" for name in names[: 200 if self._is_short else 1]))
        return self.ours("export", "--from", str(ids))

    @property
    def _is_short(self) -> bool:
        return self.size.kind == "short"

    def _add_one(self) -> dict[str, Any]:
        one = self.work / "one.fa"
        one.write_text(">ONE_1.1\nACGTTGCATTACG\n")
        return self.ours("load", "--namespace", self.size.namespace, str(one))

    def _push(self) -> dict[str, Any]:
        mirror = self.work / "mirror"
        shutil.rmtree(mirror, ignore_errors=True)
        mirror.mkdir()
        found = self.ours("push", f"file://{mirror}", "r1")
        shutil.rmtree(mirror)
        return found

    def _pull(self) -> dict[str, Any]:
        copy = self.work / "copy"
        _remove(copy)
        with _serving(self.root) as url:
            found = self.ours("pull", url, "r1", root=copy)
        _remove(copy)
        return found

    def _store(self) -> dict[str, Any]:
        store = self.work / "store"
        _remove(store)
        found = self.ours("export-rgstore", str(store))
        apparent, allocated = disk_usage(store)
        _remove(store)
        return {**found, "bytes": apparent, "allocated": allocated}

    # --- the whole --------------------------------------------------------------------------

    def go(self, keep: Callable[[], None]) -> None:
        """Do all steps that were not done, and remove what is large."""
        self.work.mkdir(parents=True, exist_ok=True)
        for name, step in self.steps():
            if name in self.kept:
                continue
            print(f"{self.work.name}: {name} ...", file=sys.stderr, flush=True)
            started = time.time()
            found = step()
            self.kept[name] = found
            keep()
            seconds = time.time() - started
            print(f"    {seconds:.1f} s {_short(found)}", file=sys.stderr, flush=True)
        _remove(self.work)


def _short(found: dict[str, Any]) -> str:
    return json.dumps({k: round(v, 6) if isinstance(v, float) else v for k, v in found.items()})


def _remove(directory: Path) -> None:
    """Remove a directory, snapshots in it too."""
    if directory.exists():
        for path, _, _ in os.walk(directory):
            Path(path).chmod(0o755)
        shutil.rmtree(directory)


def _measured(argv: list[str], output: str) -> tuple[dict[str, Any], bytes]:
    """Run a program from start to end.

    Returns:
        ``wall`` and ``cpu`` in seconds, ``peak`` of the largest process and ``family`` of all of
        them together in bytes; and what it printed.

    Raises:
        Failed: It exited with another code than 0.
    """
    os.sync()
    big = output or "/dev/null"
    wants = "scale_worker.py" in argv[1]
    with open(big, "wb") as sink:
        started = time.perf_counter()
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if wants else sink
        )
        with Watcher(process.pid, 0.25) as watcher:
            said = process.stdout.read() if process.stdout is not None else b""
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise Failed(f"{' '.join(argv)}: exit code {process.returncode}")
    costs = {
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss * 1024,
        "family": watcher.peak,
    }
    return costs, said


@contextmanager
def _serving(root: Path) -> Iterator[str]:
    argv = [sys.executable, str(HERE / "scale_worker.py"), "serve", str(root)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        yield server.stdout.readline().decode().strip()
        assert server.stdin is not None
        server.stdin.close()


# --- the table --------------------------------------------------------------------------------

Kept = dict[str, dict[str, dict[str, Any]]]


def _seconds(value: float) -> str:
    if value < 0.1:
        return f"{value * 1e3:.3g} ms"
    return f"{value:.2f} s" if value < 10 else f"{value:.0f} s"


def _unit(name: str) -> float:
    """Sequences of a size, or megabases."""
    size = SIZES[name]
    return size.n / (1 if size.kind == "short" else 1e6)


def rows(kept: Kept, names: list[str]) -> list[list[str]]:
    """The lines of the table: wall, processor seconds and memory of each size."""
    lines: list[list[str]] = []

    def line(title: str, text: Callable[[str], str]) -> None:
        cells = [text(name) if name in kept else "–" for name in names]
        if any(cell != "–" for cell in cells):
            lines.append([title, *cells])

    def of(name: str, step: str, text: Callable[[dict[str, Any]], str]) -> str:
        return text(kept[name][step]) if step in kept[name] else "–"

    def costs(found: dict[str, Any]) -> str:
        memory = max(found["family"], found["peak"]) / 1e6
        return f"{_seconds(found['wall'])} ({_seconds(found['cpu'])}), {memory:.0f} MB"

    unit = "sequence" if SIZES[names[0]].kind == "short" else "Mb"
    for tenth in (1, 2, 5, 10):
        step = f"load, tenth {tenth}"
        line(step, lambda name, step=step: of(name, step, costs))  # type: ignore[misc]
        line(
            f"  CPU a {unit}",
            lambda name, step=step: of(  # type: ignore[misc]
                name, step, lambda found: f"{found['cpu'] / _unit(name) * TENTHS * 1e6:.0f} µs"
            ),
        )
    line("load at once", lambda name: of(name, "load at once", costs))
    line(
        f"  wall a {unit}, tenths 1, 5, 9, and 10 with the commit",
        lambda name: of(
            name,
            "load at once",
            lambda found: ", ".join(
                f"{found['tenths'][n] / _unit(name) * TENTHS * 1e6:.0f}" for n in (0, 4, 8, 9)
            ) + " µs",
        ),
    )
    for step in (
        "add one", "process: get", "process: status", "process: log",
        "process: translate all samples", "export, a slice", "export-aliases", "snapshot",
        "verify", "verify --full", "push to a directory", "pull over HTTP", "export-rgstore",
    ):
        line(step.removeprefix("process: "), lambda name, step=step: of(name, step, costs))  # type: ignore[misc]
    known = dict.fromkeys(key for name in names for key in kept.get(name, {}).get("look", {}))
    for what in known:
        if what not in ("wall", "cpu", "peak", "family"):
            line(what, lambda name, what=what: of(name, "look", lambda f: _seconds(f[what])))  # type: ignore[misc]
    for what in ("database", "shards", "indexes", "files"):
        line(what, lambda name, what=what: of(name, "sizes", lambda f: f"{f[what]:,}"))  # type: ignore[misc]
    line(
        "database of a snapshot",
        lambda name: of(name, "snapshot sizes", lambda found: f"{found['aliases.sqlite3']:,}"),
    )
    line(
        "  bytes a sequence",
        lambda name: of(
            name,
            "snapshot sizes",
            lambda f: f"{f['aliases.sqlite3'] / kept[name]['sizes']['sequences']:.0f}",
        ),
    )
    line(
        "  shard bits a residue",
        lambda name: of(name, "sizes", lambda f: f"{8 * f['shards'] / f['residues']:.3f}"),
    )
    return lines


def tables(kept: Kept) -> str:
    """Both tables: many sequences, many residues. Seconds of processors are in brackets."""
    found = []
    for kind in ("short", "long"):
        names = [name for name in SIZES if SIZES[name].kind == kind and name in kept]
        if names:
            found.append(table([f"{kind}: wall (CPU), memory", *names], rows(kept, names)))
    return "\n\n".join(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, metavar="DIR",
                        help="where archives are made; 1e7 needs 25 GB there, 10Gb 12 GB")
    parser.add_argument("--sizes", default="1e5,1e6,1Gb", metavar="NAMES",
                        help=f"some of {','.join(SIZES)} [1e5,1e6,1Gb]")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    results = given.work / "scale.json"
    kept: Kept = json.loads(results.read_text()) if results.exists() else {}

    def keep() -> None:
        unfinished = results.with_suffix(".new")
        unfinished.write_text(json.dumps(kept, indent=1))
        unfinished.replace(results)

    for name in given.sizes.split(","):
        Run(name, given.work, kept.setdefault(name, {})).go(keep)
    text = tables(kept)
    (given.work / "scale.rst").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
