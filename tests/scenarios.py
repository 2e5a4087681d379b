"""Scenarios: commands that change something, what was there before, and what is right afterwards.

All kinds of faults happen to the same scenarios.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from biocommons.seqrepo import SeqRepo
from contents import (
    Contents,
    as_first_format,
    contents,
    database,
    forget_batch,
    joined,
    random_residues,
    run,
    same_but_for_damage,
    untidy,
    verified,
)
from gtars.refget import RefgetStore
from helpers import sha512t24u, shards, write_fasta

import seqarchive
from seqarchive.catalogue import list_snapshots
from seqarchive.instances import Instance
from seqarchive.rgstore.verifying import verify_rgstore
from seqarchive.sources.directory import DirectorySource
from seqarchive.track_files import track_rows
from seqarchive.tracks import ArchivedTrackStore
from seqarchive.verifying import verify


class Judge(Protocol):
    """Knows what is right."""

    def state(self, root: Path) -> Any:
        """What there is, to be compared."""

    def half(self, found: Any, before: Any, after: Any) -> Iterator[str]:
        """What is wrong with a state after a fault."""

    def sound(self, root: Path) -> Iterator[str]:
        """What is wrong at any time."""

    def tidy(self, root: Path) -> Iterator[str]:
        """What is wrong when a change has succeeded."""

    def other(self, root: Path, files: Path, before: Any, after: Any) -> Iterator[str]:
        """What is wrong if something else is done next; it is done here."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A change that a fault can meet."""

    name: str
    arguments: tuple[str, ...]
    """The command; ``{files}`` stands for the directory of the inputs, ``{root}`` for the root."""
    prepare: Callable[[Path, Path], None]
    """Builds what was there before: root, input files."""
    judge: Judge
    damaged: bool = False
    """Whether there is damage before, which the command repairs."""
    threaded: bool = False
    """Whether threads write: then a call is known by its path, not by how many came before it."""
    done: frozenset[int] = frozenset()
    """Exit codes that say that it was done already."""
    at_end: bool = False
    """Whether it is done when the command ends, and not with a commit of SQLite."""
    watched: bool = False
    """Whether somebody reads meanwhile; then SQLite's log is not emptied at the end."""

    def command(self, places: Mapping[str, str]) -> list[str]:
        """The command line.

        Args:
            places: What stands for ``{root}``, ``{files}`` and so on.
        """
        own = () if self.arguments[0] == "--root" else ("--root", "{root}")
        return [part.format_map(places) for part in (*own, *self.arguments)]


def succeed(root: Path, *arguments: str) -> None:
    code, err = run(root, *arguments)
    assert code == 0, err


def write_inputs(files: Path) -> None:
    """Write the files that the scenarios load."""
    long = random_residues("long", 40_000)  # has blocks of its own
    huge = random_residues("huge", 1_100_000)  # comes in pieces
    write_fasta(
        files / "first.fa",
        [
            ("A.1 a short one", random_residues("A.1", 100)),
            ("E.1 an empty one", ""),
            ("L.1 a long one", long),
            ("A.2 a duplicate", random_residues("A.1", 100)),
            ("B.1", random_residues("B.1", 70)),
        ],
    )
    write_fasta(
        files / "second.fa",
        [
            ("C.1", random_residues("C.1", 300)),
            ("L.2 known since the first load", long),
            ("H.1 moved to a shard of its own", huge),
            ("H.2 cut back", huge),
            ("E.2", ""),
            ("A.1", random_residues("A.1", 100)),
        ],
    )
    write_fasta(
        files / "moved.fa",
        [
            ("A.1", random_residues("new A.1", 120)),
            ("B.1", random_residues("A.1", 100)),
            ("D.1", random_residues("D.1", 90)),
        ],
    )
    write_fasta(files / "third.fa", [("T.1", random_residues("T.1", 500)), ("T.2", "ACGT" * 5000)])
    # Nothing of it enters a shard, so that no journal directory of its own hides another's.
    write_fasta(files / "other.fa", [("Z.1", "")])
    (files / "names.tsv").write_text(
        "namespace\talias\tsequence\nother\tX.1\tt:A.1\nother\tX.2\tt:L.1\nt\tB.1\tt:L.1\n"
    )
    write_fasta(files / "genome.fa", [("1", "ACGT" * 900), ("2", "GATTACA" * 40)])
    lines = (f"1\t{n}\t{n + 7}\tn{n}\t{n % 9}\t+\n" for n in range(0, 3500, 3))
    (files / "peaks.bed").write_text("".join(lines))


# --- archives ---------------------------------------------------------------------------------

EMPTY = "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXc"  # the digest of nothing, from the refget standard

#: What a load of ``other.fa`` adds. The digest of its collection is what gtars gives it.
ADDED = Contents(
    {"z:Z.1": EMPTY},
    {EMPTY: ""},
    frozenset(),
    frozenset({("", "rl_IuyMxbwrmN2rbKf09xp6gDW5bi7gJ")}),
)


class _OfArchives:
    """Sequences, aliases and their history."""

    def state(self, root: Path) -> Any:
        return contents(root)

    def half(self, found: Any, before: Any, after: Any) -> Iterator[str]:
        if found not in (before, after):
            yield "there is neither what was before nor what should be after"

    def sound(self, root: Path) -> Iterator[str]:
        if database(root).exists():
            yield from map(str, verified(root).findings)

    def tidy(self, root: Path) -> Iterator[str]:
        yield from untidy(root)

    def other(self, root: Path, files: Path, before: Any, after: Any) -> Iterator[str]:
        code, err = run(root, "load", "--namespace", "z", str(files / "other.fa"))
        if code:
            yield f"it failed with {code}: {err.strip()}"
        yield from self.followed(root, before, after)
        yield from self.tidy(root)
        yield from self.sound(root)

    def followed(self, root: Path, before: Any, after: Any) -> Iterator[str]:
        """What is wrong if it is not there."""
        if contents(root) not in (joined(before, ADDED), joined(after, ADDED)):
            yield "the archive is not what it should be"


class _OfDamagedArchives(_OfArchives):
    """An archive of which some residues cannot be read, until it is repaired.

    Args:
        repair: The command; ``{files}`` stands for the directory of the inputs.
    """

    def __init__(self, *repair: str) -> None:
        self._repair = repair

    def half(self, found: Any, before: Any, after: Any) -> Iterator[str]:
        if not same_but_for_damage(found, before) and not same_but_for_damage(found, after):
            yield "there is neither what was before nor what should be after"

    def sound(self, root: Path) -> Iterator[str]:
        return iter(())

    def other(self, root: Path, files: Path, before: Any, after: Any) -> Iterator[str]:
        repair = [part.format(files=files) for part in self._repair]
        for arguments in (["load", "--namespace", "z", str(files / "other.fa")], repair):
            code, err = run(root, *arguments)
            if code:
                yield f"{arguments[0]} failed with {code}: {err.strip()}"
        if contents(root) != joined(after, ADDED):
            yield "after a load and a repair it is not what it should be"
        yield from untidy(root)
        yield from map(str, verified(root).findings)


class _OfTracks(_OfArchives):
    """Tracks of an archive, by what they say."""

    def state(self, root: Path) -> Any:
        with seqarchive.connect(root) as archive:
            found = ArchivedTrackStore(archive).list_all()
            tracks = {(one.track.name, tuple(one.track.scores())) for one in found}
        return contents(root), tracks

    def tidy(self, root: Path) -> Iterator[str]:
        directory = root / "master" / "tracks"
        with closing(sqlite3.connect(database(root))) as connection:
            known = {name for row in track_rows(connection) for name, _, _ in row.files}
        found = {
            path.relative_to(directory).as_posix()
            for path in directory.rglob("*")
            if not path.is_dir()
        }
        yield from (f"{name} is left over, or missing" for name in found ^ known)
        own = (f"{root}/master/tracks/", f"{root}/master/used/")
        yield from (problem for problem in untidy(root) if not problem.startswith(own))

    def followed(self, root: Path, before: Any, after: Any) -> Iterator[str]:
        expected = [(joined(one, ADDED), tracks) for one, tracks in (before, after)]
        if self.state(root) not in expected:
            yield "the archive is not what it should be"


def _nothing(_root: Path, _files: Path) -> None:
    return


def _initialised(root: Path, _files: Path) -> None:
    succeed(root, "init")


def _one_load(root: Path, files: Path) -> None:
    succeed(root, "load", "--namespace", "t", str(files / "first.fa"))


def _first_format(root: Path, files: Path) -> None:
    _one_load(root, files)
    as_first_format(root)


def _two_loads(root: Path, files: Path) -> None:
    _one_load(root, files)
    succeed(root, "load", "-n", "t", "--on-conflict", "replace", str(files / "moved.fa"))


def _reverted(root: Path, files: Path) -> None:
    _one_load(root, files)
    succeed(root, "load", "-n", "u", str(files / "third.fa"))
    succeed(root, "revert", "1")
    succeed(root, "alias", "add", "u:T.1", "kept:c")


def _bad_shard_and_orphans(root: Path, files: Path) -> None:
    """A wrong and a missing index, a good orphan without indexes, an orphan that is bad, and a
    directory with nothing in it."""
    for name in ("first.fa", "moved.fa", "third.fa", "second.fa"):
        succeed(root, "load", "--namespace", name.removesuffix(".fa"), str(files / name))
    first, moved, third, second = shards(root)
    for batch in (4, 3):
        forget_batch(root, batch)
    _overwrite(first.with_name(first.name + ".fai"), b"nonsense\n")
    moved.with_name(moved.name + ".gzi").unlink()
    third.with_name(third.name + ".fai").unlink()
    data = bytearray(second.read_bytes())
    data[len(data) // 2] ^= 1
    _overwrite(second, bytes(data))
    alone = root / "master" / "sequences" / "2001" / "0203" / "040506"
    alone.mkdir(parents=True)
    for file in second.parent.glob(second.name + "*"):
        file.rename(alone / file.name)
    # As a killed repair leaves one.
    alone.with_name("040507").mkdir()


def _lost(root: Path, files: Path) -> None:
    """A shard and another one's index are gone; a copy of the archive has them."""
    for name in ("first.fa", "third.fa"):
        succeed(root, "load", "--namespace", name.removesuffix(".fa"), str(files / name))
    shutil.copytree(root, files / "copy", symlinks=True)
    first, third = shards(root)
    first.unlink()
    third.with_name(third.name + ".gzi").unlink()


def _overwrite(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def _genome(root: Path, files: Path) -> None:
    succeed(root, "genome", "init", "-f", str(files / "genome.fa"), "-n", "g")


def _store_and_load(root: Path, files: Path) -> None:
    _one_load(root, files)
    if not (files / "store").exists():
        source = files / "source"
        succeed(source, "load", "-n", "s", "--collection", "s:all", str(files / "moved.fa"))
        succeed(source, "export-rgstore", str(files / "store"))


def _foreign(root: Path, files: Path) -> None:
    """Ready to adopt an instance that the real SeqRepo has written."""
    succeed(root, "init")
    theirs = files / "theirs"
    if not theirs.exists():
        for n in range(2):
            real = SeqRepo(str(theirs), writeable=True)
            for k in range(3):
                residues = random_residues(f"{n}.{k}", 40 + 30_000 * k)
                real.store(residues, [{"namespace": "refseq", "alias": f"NM_{k}.{n * k}"}])
            real.commit()


# --- releases ---------------------------------------------------------------------------------


class Releases(NamedTuple):
    """What releases there are to be seen, the oldest first, but for the moment of each."""

    releases: tuple[tuple[Any, ...], ...]
    """Name, batch, parent, and the files with their SHA-256."""
    listed: tuple[str, ...]
    """Names in ``releases.json``."""
    latest: tuple[str | None, str | None]
    """In ``releases.json``, and as the link says."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(release[0] for release in self.releases)


def releases_of(root: Path) -> Releases:
    """What releases a root has."""
    rows, broken = list_snapshots(root)
    assert broken == [], broken
    manifests = [
        json.loads((root / row["name"] / "manifest.json").read_bytes()) for row in rows["snapshots"]
    ]
    created = [manifest["created"] for manifest in manifests]
    assert created == sorted(set(created)), "not in their order"
    releases = tuple(
        (
            manifest["name"],
            manifest["batch"],
            manifest["parent"],
            tuple((file["path"], file["sha256"]) for file in manifest["files"]),
        )
        for manifest in manifests
    )
    try:
        index = json.loads((root / "releases.json").read_bytes())
    except FileNotFoundError:
        index = {"releases": [], "latest": None}
    link = os.readlink(root / "latest") if os.path.lexists(root / "latest") else None
    listed = tuple(row["name"] for row in index["releases"])
    return Releases(releases, listed, (index["latest"], link))


def leftovers(root: Path) -> Iterator[str]:
    """What is in a root although no release has anything to do with it."""
    names = set(releases_of(root).names)
    known = names | {"master", "latest", "releases.json", "releases.lock", ".verified"}
    yield from (f"{path.name} is left over" for path in root.iterdir() if path.name not in known)
    notes = root / ".verified"
    if notes.exists():
        yield from (
            f".verified/{path.name} is left over"
            for path in notes.iterdir()
            if path.name[:-5] not in names
        )
    for name in names:
        there = {
            path.relative_to(root / name).as_posix()
            for path in (root / name).rglob("*")
            if not path.is_dir()
        }
        manifest = json.loads((root / name / "manifest.json").read_bytes())
        if there != {file["path"] for file in manifest["files"]} | {"manifest.json"}:
            yield f"{name} has other files than its manifest says"
        for path in ((root / name), *(root / name).rglob("*")):
            if path.stat().st_mode & 0o222:
                yield f"{path} can be written"


@dataclass(frozen=True, slots=True)
class _OfReleases:
    """Releases, and the archive that they are of, which never changes."""

    removed: frozenset[str] = frozenset()
    """Of those that are there before."""

    def state(self, root: Path) -> Any:
        return contents(root), releases_of(root)

    def half(self, found: Any, before: Any, after: Any) -> Iterator[str]:
        if found[0] != before[0]:
            yield "the archive is another"
        now, then, later = found[1], before[1], after[1]
        if self.removed:
            gone = set(then.names) - set(now.names)
            if not gone <= self.removed:
                yield f"{gone - self.removed} should have stayed"
            if now.releases != tuple(one for one in then.releases if one[0] not in gone):
                yield f"there is {now.releases}"
        elif now.releases not in (then.releases, later.releases):
            yield f"there is {now.releases}, neither what was nor what should be"
        yield from self._half_listed(now, then, later)
        if not set(now.listed) <= set(now.names):
            yield f"releases.json lists {now.listed} of {now.names}"
        if not set(now.latest) - {None} <= set(now.names):
            yield f"the latest is {now.latest}, which is none of {now.names}"

    def _half_listed(self, now: Releases, then: Releases, later: Releases) -> Iterator[str]:
        """A list that is gone lists nothing that is not there, and yet is no list."""
        if self.removed:
            is_listed = set(later.listed) <= set(now.listed)
        else:
            is_listed = now.listed in (then.listed, later.listed)
        if not is_listed:
            yield f"releases.json lists {now.listed}, neither as it was nor as it should be"
        for latest, first, last in zip(now.latest, then.latest, later.latest, strict=True):
            is_known = bool(self.removed) or latest in (first, last)
            if not is_known or (latest is None and first is not None and last is not None):
                yield f"the latest is {now.latest}, neither as it was nor as it should be"

    def sound(self, root: Path) -> Iterator[str]:
        yield from untidy(root)
        for path in sorted(root.iterdir()):
            if path.is_dir() and not path.is_symlink() and not path.name.startswith("."):
                instance = Instance(root, path.name)
                if path.name != "master" and not instance.is_snapshot:
                    yield f"{path.name} is half a release"
                yield from (f"{path.name}: {one}" for one in verify(instance, full=True).findings)

    def tidy(self, root: Path) -> Iterator[str]:
        found = releases_of(root)
        if found.listed != found.names or set(found.latest) != {found.names[-1]}:
            yield f"what is listed is not what there is: {found}"
        yield from leftovers(root)

    def other(self, root: Path, files: Path, before: Any, after: Any) -> Iterator[str]:
        gone = self.removed - set(releases_of(root).names)
        code, err = run(root, "snapshot", "other")
        if code:
            yield f"it failed with {code}: {err.strip()}"
        yield from self.tidy(root)
        yield from self.sound(root)
        for name in sorted(gone):  # a free name says nothing of the release that had it
            succeed(root, "snapshot", name)
            (row,) = (row for row in list_snapshots(root)[0]["snapshots"] if row["name"] == name)
            if row["verified"] is not None:
                yield f"the new {name} was never verified, but it is said: {row['verified']}"


def loaded(root: Path, _files: Path) -> None:
    """Two batches."""
    for n in range(2):
        records = {f"{n}.{k}": random_residues(f"{n}.{k}", 30 + 9000 * k) for k in range(3)}
        file = write_fasta(root.parent / f"{n}.fa", records)
        succeed(root, "load", "-n", "t", str(file))
        file.unlink()


def released(root: Path, files: Path) -> None:
    """A release, and a change since."""
    loaded(root, files)
    succeed(root, "snapshot", "r1")
    succeed(root, "alias", "add", "t:0.0", "t:other")


def released_thrice(root: Path, files: Path) -> None:
    """Three of them, of which one knows when they were verified."""
    released(root, files)
    for name in ("r2", "r3"):
        succeed(root, "snapshot", name)
    for name in ("r1", "r2", "r3"):
        succeed(root, "--instance", name, "verify")


# --- releases from elsewhere ------------------------------------------------------------------

SIGNATURE = b"-----BEGIN SSH SIGNATURE-----\nwhatever\n-----END SSH SIGNATURE-----\n"

_LOCKS = frozenset({".pull.lock", "releases.lock"})

Facts = dict[str, tuple[int, str | None]]


def publish(root: Path) -> None:
    """Three releases that share a shard."""
    _load(root, {"A.1": random_residues("A.1", 50_000), "B.1": "ACGT"})
    succeed(root, "snapshot", "r1")
    _load(root, {"C.1": random_residues("C.1", 9_000)})
    succeed(root, "snapshot", "r2")
    succeed(root, "alias", "add", "t:C.1", "t:D.1")
    succeed(root, "snapshot", "r3")


def _load(root: Path, records: Mapping[str, str], *options: str) -> None:
    file = write_fasta(root.parent / f"{time.monotonic_ns()}.fa", dict(records))
    succeed(root, "load", "-n", "t", *options, str(file))
    file.unlink()


def publish_everywhere(files: Path, elsewhere: Path) -> None:
    """The same releases on this file system, on another one, and with signatures."""
    here = files / "published"
    publish(here)
    signed = files / "signed"
    for other in (signed, elsewhere):
        subprocess.run(["cp", "-a", str(here), str(other)], check=True)
    for name in ("r1", "r2"):
        (signed / name).chmod(0o755)
        (signed / name / "manifest.json.sig").write_bytes(SIGNATURE)


def facts(root: Path) -> Facts:
    """Every name: mode, and what is in it; of the locks nothing but that they are there."""
    found: Facts = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        status = path.lstat()
        if name in _LOCKS:
            found[name] = (0, None)
        elif path.is_symlink():
            found[name] = (status.st_mode, os.readlink(path))
        elif path.is_dir():
            found[name] = (status.st_mode, None)
        else:
            found[name] = (status.st_mode, hashlib.sha256(path.read_bytes()).hexdigest())
    return found


def _only(found: Facts, name: str) -> Facts:
    return {path: fact for path, fact in found.items() if path.split("/")[0] == name}


def _names_in(found: Facts) -> set[str]:
    """The directories that can be seen."""
    return {
        path
        for path, (mode, _) in found.items()
        if "/" not in path and not path.startswith(".") and stat.S_ISDIR(mode)
    }


class _OfPulls:
    """Every name that there is: what was here is as it was, and a release is whole or not there."""

    release = "r1"

    def __init__(self, release: str) -> None:
        self.release = release

    def state(self, root: Path) -> Any:
        return facts(root)

    def half(self, found: Any, before: Any, after: Any) -> Iterator[str]:
        for name in _names_in(before) - {self.release}:
            if _only(found, name) != _only(before, name):
                yield f"{name} is not as it was"
        if not _names_in(found) <= _names_in(after):
            yield f"there is {_names_in(found)}"
        now, then, later = (_only(one, self.release) for one in (found, before, after))
        if {path: fact[1] for path, fact in now.items()} not in (
            {path: fact[1] for path, fact in then.items()},
            {path: fact[1] for path, fact in later.items()},
        ):
            yield f"{self.release} is half a release: {difference(now, later)}"
        for name in ("releases.json", "latest"):
            if _only(found, name) not in (_only(before, name), _only(after, name)):
                yield f"{name} is neither as it was nor as it should be"

    def sound(self, root: Path) -> Iterator[str]:
        for name in _names_in(facts(root)):
            yield from (
                f"{name}: {one}" for one in verify(Instance(root, name), full=True).findings
            )

    def tidy(self, root: Path) -> Iterator[str]:
        found = _names_in(facts(root))
        rows = json.loads((root / "releases.json").read_bytes())["releases"]
        if {row["name"] for row in rows} != found:
            yield f"there is {found}, and listed is {[row['name'] for row in rows]}"
        if os.readlink(root / "latest") != max(found):
            yield "the latest is not the newest"

    def other(self, root: Path, files: Path, before: Any, after: Any) -> Iterator[str]:
        code, err = run(root, "pull", str(files / "published"), "r3")
        if code:
            yield f"it failed with {code}: {err.strip()}"
        yield from self.tidy(root)
        yield from self.sound(root)


def difference(found: Facts, expected: Facts) -> str:
    """In words."""
    missing = sorted(expected.keys() - found.keys())
    more = sorted(found.keys() - expected.keys())
    other = sorted(name for name in found.keys() & expected.keys() if found[name] != expected[name])
    return f"missing {missing}, more {more}, other {other}"


def _earlier(root: Path, files: Path) -> None:
    succeed(root, "pull", str(files / "published"), "r1")


# --- stores -----------------------------------------------------------------------------------


class _OfStores:
    """A RefgetStore, of which a reader sees what its indexes name."""

    def state(self, root: Path) -> Any:
        store = root / "rgstore"
        if not (store / "rgstore.json").exists():
            return None
        found = {
            path.relative_to(store).as_posix(): path.read_bytes()
            for path in store.rglob("*")
            if path.is_file()
        }
        manifest = json.loads(found["rgstore.json"])
        del manifest["modified"], manifest["created_at"]
        return {**found, "rgstore.json": json.dumps(manifest).encode()}

    def half(self, found: Any, before: Any, after: Any) -> Iterator[str]:
        if before is not None and found is None:
            yield "the store that was there is no store any more"
        if found is None:
            return
        for name in ("sequences.rgsi", "collections.rgci"):
            now, then, later = (_listed_in(one, name) for one in (found, before, after))
            if not then & later <= now <= then | later:
                yield f"{name} lacks {then & later - now}, and has {now - then - later} more"

    def sound(self, root: Path) -> Iterator[str]:
        """Whatever an index names is there, and is what it says, as the real gtars sees it."""
        store = root / "rgstore"
        if not (store / "rgstore.json").exists():
            return
        opened = RefgetStore.open_local(str(store))
        opened.set_quiet(True)
        for one in opened.list_sequences():
            text = opened.get_substring(one.sha512t24u, 0, one.length) if one.length else ""
            if sha512t24u(text) != one.sha512t24u:
                yield f"the store gives other residues for {one.sha512t24u}"
        for found in opened.list_collections()["results"]:
            if len(opened.get_collection(found.digest).sequences) != found.n_sequences:
                yield f"the store has another collection under {found.digest}"

    def tidy(self, root: Path) -> Iterator[str]:
        source = DirectorySource(root / "rgstore")
        yield from map(str, verify_rgstore(source, full=True).findings)
        known = {"master", "rgstore", ".rgstore.lock"}
        yield from (f"{path} is left over" for path in root.iterdir() if path.name not in known)

    def other(self, root: Path, files: Path, before: Any, after: Any) -> Iterator[str]:
        code, err = run(root, "load", "--namespace", "z", str(files / "other.fa"))
        if code:
            yield f"a load failed with {code}: {err.strip()}"
        code, err = run(root, "export-rgstore", "--prune")
        if code:
            yield f"an export failed with {code}: {err.strip()}"
        yield from self.tidy(root)
        yield from self.sound(root)


def _listed_in(store: dict[str, bytes] | None, name: str) -> set[str]:
    """The digests in a list of a store; of sequences they are the fourth column."""
    lines = (store or {}).get(name, b"").decode().splitlines()
    column = 3 if name == "sequences.rgsi" else 0
    return {line.split("\t")[column] for line in lines if line and not line.startswith("#")}


def _exportable(root: Path, _files: Path) -> None:
    _collection(root, "one", {"a": random_residues("a", 70_000), "b": "ACGTN", "c": ""})


def _exported(root: Path, files: Path) -> None:
    _exportable(root, files)
    succeed(root, "export-rgstore")
    _collection(root, "two", {"b": "ACGTN", "d": "MKVLE", "e": random_residues("e", 300)})
    succeed(root, "collection", "unname", "lab:one")


def _collection(root: Path, name: str, records: Mapping[str, str]) -> None:
    file = write_fasta(root.parent / f"{name}.fa", dict(records))
    succeed(root, "load", "-n", name, "--collection", f"lab:{name}", str(file))
    file.unlink()


class _OfSeqRepo:
    """An export for the real SeqRepo: two databases, each as before or as after."""

    def state(self, root: Path) -> Any:
        queries = {
            "aliases.sqlite3": "SELECT seq_id, namespace, alias, is_current FROM seqalias"
            " ORDER BY namespace, alias",
            "sequences/db.sqlite3": "SELECT seq_id, len FROM seqinfo ORDER BY 1",
        }
        found = []
        for name, query in queries.items():
            path = root / "seqrepo" / "master" / name
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
                found.append(connection.execute(query).fetchall())
        return tuple(found)

    def half(self, found: Any, before: Any, after: Any) -> Iterator[str]:
        for now, then, later in zip(found, before, after, strict=True):
            if now not in (then, later):
                yield "a database is neither as it was nor as it should be"

    def sound(self, root: Path) -> Iterator[str]:
        real = SeqRepo(str(root / "seqrepo" / "master"))
        if not all(record["len"] == len(record["seq"]) for record, _ in real):
            yield "SeqRepo reads records of other lengths"

    def tidy(self, root: Path) -> Iterator[str]:
        if (root / "seqrepo" / "master" / ".tmp").exists():
            yield ".tmp is left over"

    def other(self, root: Path, files: Path, before: Any, after: Any) -> Iterator[str]:
        succeed(root, "alias", "add", "t:A.1", "lab:newer")
        code, err = run(root, "export-seqrepo")
        if code:
            yield f"another export failed with {code}: {err.strip()}"
        if ("lab", "newer") not in {row[1:3] for row in self.state(root)[0]}:
            yield "another export lacks a name"
        yield from self.tidy(root)
        yield from self.sound(root)


def _exported_for_seqrepo(root: Path, files: Path) -> None:
    _one_load(root, files)
    succeed(root, "export-seqrepo")
    succeed(root, "load", "-n", "u", str(files / "third.fa"))


# --- all of them ------------------------------------------------------------------------------

_LOAD = ("load", "--namespace", "t")
_REPAIR_FROM = ("repair", "--from", "{files}/copy")
_ARCHIVE = _OfArchives()
_STORE = _OfStores()
_DONE = frozenset({4})

def _pulling(
    name: str, source: str, release: str, prepare: Callable[[Path, Path], None] = _nothing
) -> Scenario:
    """A pull, by threads."""
    arguments = ("pull", "--jobs", "1", source, release)
    return Scenario(name, arguments, prepare, _OfPulls(release), threaded=True, at_end=True)


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("first", (*_LOAD, "{files}/first.fa"), _nothing, _ARCHIVE),
        Scenario(
            "second", (*_LOAD, "--shard-size", "100k", "{files}/second.fa"), _one_load, _ARCHIVE
        ),
        Scenario("duplicate", (*_LOAD, "{files}/first.fa"), _one_load, _ARCHIVE),
        Scenario(
            "replace", (*_LOAD, "--on-conflict", "replace", "{files}/moved.fa"), _one_load, _ARCHIVE
        ),
        Scenario(
            "first-format",
            (*_LOAD, "--on-conflict", "replace", "{files}/moved.fa"),
            _first_format,
            _ARCHIVE,
        ),
        Scenario(
            "watched",
            (*_LOAD, "--on-conflict", "replace", "{files}/moved.fa"),
            _one_load,
            _ARCHIVE,
            watched=True,
        ),
        Scenario(
            "import-aliases",
            ("import-aliases", "--on-conflict", "replace", "{files}/names.tsv"),
            _one_load,
            _ARCHIVE,
        ),
        Scenario("revert", ("revert", "2"), _two_loads, _ARCHIVE, done=_DONE),
        Scenario("reclaim", ("repair", "--reclaim"), _reverted, _ARCHIVE),
        Scenario(
            "repair",
            ("repair",),
            _bad_shard_and_orphans,
            _OfDamagedArchives("repair"),
            damaged=True,
        ),
        Scenario(
            "repair-from", _REPAIR_FROM, _lost, _OfDamagedArchives(*_REPAIR_FROM), damaged=True
        ),
        Scenario(
            "genome",
            ("genome", "init", "-f", "{files}/genome.fa", "-n", "g"),
            _initialised,
            _ARCHIVE,
            done=_DONE,
        ),
        Scenario(
            "track", ("track", "put", "{files}/peaks.bed", "--genome", "g"), _genome, _OfTracks()
        ),
        Scenario("import-rgstore", ("import-rgstore", "{files}/store"), _store_and_load, _ARCHIVE),
        Scenario("import-seqrepo", ("import-seqrepo", "{files}/theirs"), _foreign, _ARCHIVE),
        Scenario("snapshot", ("snapshot", "new"), loaded, _OfReleases(), done=_DONE, at_end=True),
        Scenario(
            "next-snapshot", ("snapshot", "new"), released, _OfReleases(), done=_DONE, at_end=True
        ),
        Scenario(
            "prune",
            ("prune", "--keep-last", "1"),
            released_thrice,
            _OfReleases(frozenset({"r1", "r2"})),
            at_end=True,
        ),
        Scenario(
            "prune-latest",
            ("prune", "r3"),
            released_thrice,
            _OfReleases(frozenset({"r3"})),
            done=frozenset({3}),
            at_end=True,
        ),
        _pulling("pull", "{web}", "r1"),
        _pulling("next-pull", "{signed}", "r2", _earlier),
        _pulling("linked-pull", "{files}/published", "r1"),
        _pulling("copied-pull", "{elsewhere}", "r1"),
        _pulling("signed-pull", "{signed}", "r1", _earlier),
        Scenario(
            "push",
            ("--root", "{files}/published", "push", "--jobs", "1", "{root}", "r1"),
            _nothing,
            _OfPulls("r1"),
            threaded=True,
            at_end=True,
        ),
        Scenario("export-rgstore", ("export-rgstore",), _exportable, _STORE, at_end=True),
        Scenario("next-export-rgstore", ("export-rgstore",), _exported, _STORE, at_end=True),
        Scenario(
            "export-seqrepo", ("export-seqrepo",), _exported_for_seqrepo, _OfSeqRepo(), at_end=True
        ),
    )
}
