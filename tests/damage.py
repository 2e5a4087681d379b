"""The families ``flip``, ``truncate`` and ``misplace``: damage to the files of an archive, of a
release and of a RefgetStore. It is found, named, and never turned into residues; ``repair`` mends
what it can."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pysam
from contents import contents, database, random_residues, run
from helpers import sha512t24u, shards, tree, write_fasta
from lab import Case, Lab

from seqarchive import Archive, Corrupt, SeqArchiveError
from seqarchive.instances import Instance
from seqarchive.rgstore import opened
from seqarchive.rgstore.reading import RefgetStore
from seqarchive.rgstore.verifying import verify_rgstore
from seqarchive.sources.directory import DirectorySource
from seqarchive.transfer import pulling
from seqarchive.verifying import verify

#: Two batches, a shard each. The long ones repeat, so that their blocks are small.
FIRST = {
    "A.1": random_residues("A.1", 60),
    "A.2": random_residues("A.2", 120),
    "A.3": "",
    "A.4": "MKV*" * 10,
    "L.1": "ACGTTGCA" * 2_500,
}
SECOND = {"B.1": random_residues("B.1", 60), "B.2": "ACGGTTAA" * 2_200}
RESIDUES = FIRST | SECOND
SUFFIXES = ["", ".fai", ".gzi"]

_NAMES = {"shard": "", "fai": ".fai", "gzi": ".gzi"}


def load_sound(root: Path) -> None:
    """An archive without damage."""
    for name, records in (("first", FIRST), ("second", SECOND)):
        file = write_fasta(root.parent / f"{name}.fa", records)
        options = ["--namespace", "t", "--compression", "small", "--collection", f"c:{name}"]
        assert run(root, "load", *options, str(file)) == (0, "")
        file.unlink()


def overwrite(path: Path, data: bytes) -> None:
    """Give a file other contents, past its mode."""
    path.unlink()
    path.write_bytes(data)


def wrong_answers(
    root: Path,
    dice: random.Random,
    errors: tuple[type[Exception], ...] = (Corrupt,),
    instance: str | None = None,
) -> list[str]:
    """Sequences, whole and in parts, that are given out although they are not what they were."""
    wrong = []
    with Archive(root, instance) if instance else Archive(root) as archive:
        for name, residues in RESIDUES.items():
            start, end = sorted(dice.randint(0, len(residues)) for _ in range(2))
            # What lacks one residue has no digest that could be checked.
            parts = (slice(None), slice(start, end), slice(1, None), slice(-10, None))
            for part in parts:
                begin, stop, _ = part.indices(len(residues))
                try:
                    if archive.fetch(f"t:{name}", begin, stop) != residues[begin:stop]:
                        wrong.append(f"{name}:{begin}-{stop}")
                except errors:
                    pass
            try:
                if "".join(archive.pieces(f"t:{name}", 5_000)) != residues:
                    wrong.append(f"{name} in pieces")
            except errors:
                pass
    return wrong


# --- what is damaged ----------------------------------------------------------------------------


@dataclass
class Sound:
    """The archive, its release and its store, as they are without damage."""

    root: Path

    @classmethod
    def made(cls, lab: Lab) -> Sound:
        """In a lab."""
        root = lab.new_root()

        def make() -> None:
            load_sound(root)
            for arguments in (["snapshot", "r1"], ["export-rgstore"]):
                assert run(root, *arguments)[0] == 0
            with closing(sqlite3.connect(database(root))) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

        lab.ask(make)
        return cls(root)

    def files(self, scenario: str) -> list[str]:
        """Those of a scenario, relative to the root."""
        shard = shards(self.root)[0].relative_to(self.root).as_posix()
        if scenario in _NAMES or scenario == "forged":
            return [shard + _NAMES.get(scenario, "")]
        if scenario == "database":
            return ["master/aliases.sqlite3"]
        base = self.root / ("rgstore" if scenario == "store" else "r1")
        return sorted(
            path.relative_to(self.root).as_posix() for path in base.rglob("*") if path.is_file()
        )


SCENARIOS = (*_NAMES, "database", "release", "store", "mirror")


def problems_of(scenario: str, root: Path, sound: Path, name: str) -> Iterator[str]:
    """What is wrong with how damage to a file is met."""
    try:
        if scenario in _NAMES:
            yield from _of_a_shard(root, sound, name)
        elif scenario == "database":
            yield from _of_the_database(root)
        elif scenario == "release":
            yield from _of_a_release(root)
        elif scenario == "mirror":
            yield from _of_a_mirror(root, sound)
        elif scenario == "forged":
            yield from _of_a_forgery(root)
        else:
            yield from _of_a_store(root, sound, name)
    except Exception as error:
        yield f"it ended in {error!r}"


def _of_a_shard(root: Path, sound: Path, name: str) -> Iterator[str]:
    short = Path(name).name
    if not _is_named(root, short, full=True):
        yield "verify --full finds nothing"
    is_index = not short.endswith(".fa.bgz")
    is_as_long = _size(root / name) == (sound / name).stat().st_size
    if (is_index or not is_as_long) and not _is_named(root, short, full=False):
        yield "verify finds nothing"
    yield from wrong_answers(root, random.Random(short.partition(".fa")[2]))
    if is_index and not (root / name).is_dir():
        code, err = run(root, "repair")
        if code:
            yield f"repair fails with {code}: {err}"
        if tree(root / "master" / "sequences") != tree(sound / "master" / "sequences"):
            yield "repair has not made what was there"
        yield from (f"after repair: {one}" for one in verify(Instance(root), full=True).findings)
        if contents(root) != contents(sound):
            yield "after repair the archive is another"


def _is_named(root: Path, name: str, *, full: bool) -> bool:
    """Whether verify finds something about a file."""
    return any(name in str(finding) for finding in verify(Instance(root), full=full).findings)


def _is_same(path: Path, other: Path) -> bool:
    is_file = stat.S_ISREG(path.lstat().st_mode) if os.path.lexists(path) else False
    return is_file and path.read_bytes() == other.read_bytes()


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


_TRIPS = (SeqArchiveError, sqlite3.Error, UnicodeDecodeError, TypeError)


def _of_the_database(root: Path) -> Iterator[str]:
    """Who asks by a digest gets its residues or an error, and what is tripped over is found."""
    is_sound = True
    try:
        with Archive(root) as archive:
            for residues in RESIDUES.values():
                given = _given(archive, residues)
                is_sound = is_sound and given is not None
                if given not in (residues, None):
                    yield "a digest has other residues"
    except _TRIPS:
        is_sound = False
    code, err = run(root, "verify", "--full")
    if err.count("\n") > 1:
        yield f"verify says: {err}"
    if not is_sound and not code:
        yield "a reader trips over it, and verify finds nothing"


def _given(archive: Archive, residues: str) -> str | None:
    """What is given out under the digest of some residues; None if that is an error."""
    with suppress(*_TRIPS):
        return archive.fetch(f"ga4gh:SQ.{sha512t24u(residues)}")
    return None


def _of_a_release(root: Path) -> Iterator[str]:
    code, err = run(root, "--instance", "r1", "verify", "--full")
    if code not in (6, 10):
        yield f"verify ends with {code}: {err}"
    for residues in RESIDUES.values():
        with suppress(*_TRIPS), Archive(root, "r1") as archive:
            if _given(archive, residues) not in (residues, None):
                yield "a digest has other residues"


def _of_a_mirror(root: Path, sound: Path) -> Iterator[str]:
    """A pull gives the release as it was, or none."""
    pulled = root.with_name("pulled")
    # What a disk has not, it will not have soon.
    pulling.DELAYS = (0.01,)  # type: ignore[attr-defined,assignment]
    code, err = run(pulled, "pull", "--jobs", "1", str(root), "r1")
    if err.count("\n") > 1:
        yield f"the error is not one line: {err}"
    if not (pulled / "r1").exists():
        if not code:
            yield "it says that it has the release, and has it not"
        return
    if code:
        yield f"it fails with {code} and has the release: {err}"
    for path in sorted((sound / "r1").rglob("*")):
        other = pulled / path.relative_to(sound)
        if path.is_file() and other.read_bytes() != path.read_bytes():
            yield f"{other.relative_to(pulled)} is another file"


def _of_a_forgery(root: Path) -> Iterator[str]:
    """No whole sequence is given out that is another, and its parts are found by verify."""
    with Archive(root) as archive:
        for residues in RESIDUES.values():
            with suppress(Corrupt):
                if archive.fetch(f"SQ.{sha512t24u(residues)}") != residues:
                    yield "a digest has other residues"
            with suppress(Corrupt):
                if "".join(archive.pieces(f"SQ.{sha512t24u(residues)}", 50)) != residues:
                    yield "a digest has other residues, in pieces"
    if not verify(Instance(root), full=True).findings:
        yield "verify --full finds nothing"


def rewrite_shard(root: Path, number: int, change: Callable[[bytes], bytes]) -> None:
    """Have a shard (1 is the first) hold another text, which its indexes and its row describe."""
    path = shards(root)[number - 1]
    with pysam.BGZFile(str(path), "rb", None) as file:
        text = file.read()
    path.unlink()
    with pysam.BGZFile(str(path), "wb", None) as file:
        file.write(change(text))
    for suffix in SUFFIXES[1:]:
        path.with_name(path.name + suffix).unlink()
    pysam.faidx(str(path))
    row: list[object] = []
    for suffix in SUFFIXES:
        data = path.with_name(path.name + suffix).read_bytes()
        row += [len(data), hashlib.sha256(data).digest()]
    with closing(sqlite3.connect(database(root), isolation_level=None)) as connection:
        connection.execute(
            "UPDATE shards SET size_bytes = ?, sha256 = ?, fai_bytes = ?, fai_sha256 = ?,"
            " gzi_bytes = ?, gzi_sha256 = ? WHERE id = ?",
            [*row, number],
        )


def forge(root: Path) -> None:
    """Have one residue be another in a shard that is right in every other way, and that the
    database describes."""
    wanted = FIRST["A.2"].encode()
    other = b"A" if wanted[5:6] != b"A" else b"C"
    forged = wanted[:5] + other + wanted[6:]
    rewrite_shard(root, 1, lambda text: text.replace(wanted, forged, 1))


def _says_the_same_members(path: Path, other: Path) -> bool:
    """Of a list of members, heads that are not known, and those of its columns, say nothing."""
    if path.parent.name != "collections" or not path.is_file():
        return False
    one, two = (
        [line for line in file.read_bytes().split(b"\n") if not line.startswith(b"#")]
        for file in (path, other)
    )
    return one == two


def _of_a_store(root: Path, sound: Path, name: str) -> Iterator[str]:
    store = root / "rgstore"
    opened._TURN = 0.0  # nobody is about to write another index
    try:
        findings = verify_rgstore(DirectorySource(store), full=True).findings
    except SeqArchiveError:
        findings = [None]  # type: ignore[list-item]
    is_said = Path(name).name == "rgstore.json" or _says_the_same_members(root / name, sound / name)
    if not findings and not is_said:
        yield "verify-rgstore finds nothing"
    try:
        with RefgetStore(str(store)) as read:
            for residues in RESIDUES.values():
                with suppress(SeqArchiveError):
                    if read.fetch(sha512t24u(residues)) != residues:
                        yield "a digest has other residues"
    except SeqArchiveError:
        return


# --- families -----------------------------------------------------------------------------------


@dataclass
class _Damage:
    """What the three have in common."""

    of: ClassVar[tuple[str, ...]] = SCENARIOS

    lab: Lab
    name: str = ""
    _sound: list[Sound] = field(default_factory=list)

    @property
    def sound(self) -> Sound:
        """Made when it is first needed."""
        if not self._sound:
            self._sound.append(Sound.made(self.lab))
        return self._sound[0]

    def scenarios(self) -> tuple[str, ...]:
        """What can be damaged."""
        return self.of

    def cases(self, scenario: str) -> list[Case]:
        """Every way in which it can."""
        return [
            Case(self.name, scenario, (str(number), *words), (str(number), words[0]), name)
            for number, name in enumerate(self.sound.files(scenario))
            for words in self._ways(self.sound.root / name, scenario)
        ]

    def _ways(self, path: Path, scenario: str) -> Iterator[tuple[str, ...]]:
        raise NotImplementedError

    def _damage(self, root: Path, name: str, words: tuple[str, ...]) -> None:
        raise NotImplementedError

    def problems(self, case: Case) -> list[str]:
        """Damage it; what is wrong with how that is met."""
        name = self.sound.files(case.scenario)[int(case.words[0])]
        root = self.lab.copy(self.sound.root)
        for directory, _, _ in os.walk(root):
            os.chmod(directory, 0o755)
        self._damage(root, name, case.words[1:])
        if _is_same(root / name, self.sound.root / name):
            self.lab.remove(root)
            return []  # what was empty is empty
        try:
            found: list[str] = self.lab.ask(
                lambda: list(problems_of(case.scenario, root, self.sound.root, name))
            )
        except RuntimeError as error:
            return [str(error)]
        if not found:
            self.lab.remove(root)
        return found


class Flips(_Damage):
    """One bit is another."""

    def _ways(self, path: Path, scenario: str) -> Iterator[tuple[str, ...]]:
        data = path.read_bytes()
        for bit in range(8 * len(data)):
            # Unused space of a database, where it does nothing.
            if not path.name.endswith("sqlite3") or data[bit // 8]:
                yield (str(bit),)

    def _damage(self, root: Path, name: str, words: tuple[str, ...]) -> None:
        bit = int(words[0])
        data = bytearray((root / name).read_bytes())
        data[bit // 8] ^= 1 << bit % 8
        overwrite(root / name, bytes(data))


class Truncations(_Damage):
    """A file ends early, or goes on."""

    def _ways(self, path: Path, scenario: str) -> Iterator[tuple[str, ...]]:
        size = path.stat().st_size
        step = 512 if path.name.endswith("sqlite3") else 1
        yield from ((str(at),) for at in range(0, size, step))
        if not path.name.endswith("sqlite3"):  # SQLite ignores what is behind its pages
            yield ("more",)

    def _damage(self, root: Path, name: str, words: tuple[str, ...]) -> None:
        data = (root / name).read_bytes()
        overwrite(root / name, data + b"\0" if words[0] == "more" else data[: int(words[0])])


def delete(path: Path) -> None:
    path.unlink()


def make_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_symlink_to_itself_elsewhere(path: Path) -> None:
    elsewhere = path.parents[5] / path.name
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def make_dangling_symlink(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def make_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def make_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def make_empty(path: Path) -> None:
    overwrite(path, b"")


def _exchange(path: Path) -> None:
    """With the file of the same kind of another shard."""
    root = path.parents[5]
    suffix = path.name.partition(".fa.bgz")[2]
    others = [shard.with_name(shard.name + suffix) for shard in shards(root)]
    (other,) = (one for one in others if one != path)
    data = path.read_bytes(), other.read_bytes()
    overwrite(path, data[1])
    overwrite(other, data[0])


def _copy_of_another(path: Path) -> None:
    """Two shards have the same file."""
    suffix = path.name.partition(".fa.bgz")[2]
    others = [shard.with_name(shard.name + suffix) for shard in shards(path.parents[5])]
    shutil.copy(next(one for one in others if one != path), path.with_name(path.name + ".new"))
    path.with_name(path.name + ".new").replace(path)


_ANYWHERE: dict[str, Callable[[Path], None]] = {
    "missing": delete,
    "directory": make_directory,
    "dangling": make_dangling_symlink,
    "loop": make_loop,
    "fifo": make_fifo,
    "empty": make_empty,
}

_OF_SHARDS: dict[str, Callable[[Path], None]] = {
    "linked": make_symlink_to_itself_elsewhere,
    "exchanged": _exchange,
    "copied": _copy_of_another,
}


class Misplacements(_Damage):
    """Something else is in the place of a file."""

    #: All but the database, without which there is no archive; and a forged shard.
    of: ClassVar = (*(name for name in SCENARIOS if name != "database"), "forged")

    def _ways(self, path: Path, scenario: str) -> Iterator[tuple[str, ...]]:
        if scenario == "forged":
            yield ("residue",)
            return
        yield from ((way,) for way in _ANYWHERE)
        if scenario in _NAMES:
            yield from ((way,) for way in _OF_SHARDS)

    def _damage(self, root: Path, name: str, words: tuple[str, ...]) -> None:
        if words[0] == "residue":
            forge(root)
        else:
            {**_ANYWHERE, **_OF_SHARDS}[words[0]](root / name)
