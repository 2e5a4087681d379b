"""The page about bad days, run: each message as it is printed, and each way out of it.

A section is prepared by the function of its name here, and what it shows is run by a shell in a
copy of the same archive. ``python tests/test_bad_day.py`` writes what is printed now into the page,
to be looked at before it is committed.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from contents import random_residues, run
from helpers import NOBODY, shards, write_fasta
from servers import Answer, FileServer, serving

_PAGE = Path(__file__).parent.parent / "docs" / "bad-day.rst"
_MIRROR = "https://mirror.example.org/seqarchive"
_BLOCK = re.compile(r"(?m)^\.\. code-block:: console\n\n((?:(?: {3}.*)?\n)+)")

#: A shell that may mount, with nobody seeing it.
MOUNTING = ["unshare", "-m" if os.geteuid() == 0 else "-rm", "bash"]

#: The command line, by a user without rights if a test says so: root may do anything.
_PROGRAM = f"""
import os, sys
import seqarchive.commands
if os.environ.get("AS_NOBODY"):
    # Before the rights go: the interpreter may be in a closed place.
    import difflib, uuid, seqarchive.commands.get, seqarchive.commands.load
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid({NOBODY})
        os.setuid({NOBODY})
seqarchive.commands.main(sys.argv[1:])
"""


# --- the page ---------------------------------------------------------------------------------


def sections() -> dict[str, str]:
    """The text of each section by its title."""
    parts = re.split(r"(?m)^(.+)\n-{5,}\n", _PAGE.read_text("utf-8"))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def steps_of(block: str) -> list[tuple[str, str]]:
    """The commands of a block, and what each prints."""
    text = "\n".join(line[3:] for line in block.rstrip().split("\n")) + "\n"
    parts = [part.partition("\n") for part in re.split(r"(?m)^\$ ", text)[1:]]
    return [(command, output.strip()) for command, _, output in parts]


# --- where it is run --------------------------------------------------------------------------


@dataclass
class Scene:
    """A directory that stands for ``/srv``, with what a section begins with."""

    directory: Path
    mirror: str = ""
    server: FileServer | None = None
    shell: list[str] = field(default_factory=lambda: ["bash"])
    before: str = ""
    """Done by the shell first."""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.directory / "archive"

    @property
    def journal(self) -> Path:
        return self.root / "master" / "sequences"

    def run(self, steps: list[str]) -> list[str]:
        """What each command prints, as the page would show it."""
        lines = ["export SEQARCHIVE_ROOT=" + shlex.quote(str(self.root)), self.before]
        for step in steps:
            # The exit code of the step before is there to be asked for.
            lines.append("__code=$?; printf '\\0'; (exit $__code)")
            lines.append(self._here(step))
        path = f"{self.directory}/bin:{os.environ['PATH']}"
        done = subprocess.run(
            [*self.shell, "-c", "\n".join(lines)],
            cwd=self.directory,
            env={**os.environ, **self.environment, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=120,
        )
        return [self._shown(part) for part in done.stdout.decode().split("\0")[1:]]

    def _here(self, text: str) -> str:
        return text.replace(_MIRROR, self.mirror).replace("/srv/", f"{self.directory}/")

    def _shown(self, text: str) -> str:
        text = text.strip().replace(f"{self.directory}/", "/srv/")
        return text.replace(self.mirror, _MIRROR) if self.mirror else text


def normalised(text: str) -> str:
    """Without what differs from run to run."""
    for pattern, name in (
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?", "TIME"),
        (r"\d{4}/\d{4}/\d{6}/\d+\.\d{6}", "SHARD"),
        (r"\b[0-9a-f]{64}\b", "SHA"),
        (r"process \d+ on \S+", "process N on HOST"),
        (r"line \d+: +\d+ Killed.*", "Killed"),
        (r"\d[\d.,]* (bytes|[kMG]B|s)\b", r"N \1"),
        (r"[\d,]+ bytes", "N bytes"),
        (r"fetched +\d+ files?|; \d+ (?=\()", "N files"),  # three others may be under way
        (r"SQ\.[A-Za-z0-9_-]{32}", "SQ.DIGEST"),
        (r"port=\d+|:\d{4,5}\b", ":PORT"),
        (r"(?m)[ \t]+", " "),
        (r"by \S+@\S+", "by USER"),
    ):
        text = re.sub(pattern, name, text)
    return text.strip()


FIRST = {"A.1": random_residues("A.1", 300), "A.2": random_residues("A.2", 60_000)}
SECOND = {"B.1": random_residues("B.1", 50_000)}


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("bad-day"))


def build(directory: Path) -> Path:
    """What every section begins with."""
    for name, records in (
        ("first", FIRST),
        ("second", SECOND),
        ("more", {"C.1": random_residues("C.1", 500)}),
        ("large", {"L.1": random_residues("L.1", 3_000_000)}),
        ("changed", {"B.1": random_residues("another B.1", 400)}),
        ("broken", {"D.1": "ACGT", "D.2": "AC1GT", "D.3": "GGTT"}),
    ):
        write_fasta(directory / f"{name}.fa", records)
    bin_ = directory / "bin"
    bin_.mkdir()
    (bin_ / "program.py").write_text(_PROGRAM)
    package = Path(__file__).parent.parent
    (bin_ / "seqarchive").write_text(
        f"#!/bin/sh\nPYTHONPATH={shlex.quote(str(package))} exec {shlex.quote(sys.executable)} "
        f'{shlex.quote(str(bin_ / "program.py"))} "$@"\n'
    )
    (bin_ / "seqarchive").chmod(0o755)
    for command in (
        "load --namespace lab first.fa",
        "snapshot 2024-06-01",
        "push pushed 2024-06-01",
        "load --namespace lab second.fa",
    ):
        words = [str(bin_ / "seqarchive"), "-q", "--root", "archive", *command.split()]
        subprocess.run(words, cwd=directory, check=True)
    # A copy on another disk, which shares nothing.
    shutil.copytree(directory / "pushed", directory / "copy", symlinks=True)
    subprocess.run(["rm", "-rf", str(directory / "pushed")], check=True)
    return directory


@contextmanager
def scene(template: Path) -> Iterator[Scene]:
    """A scene of its own, which other users can reach."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        Path(name).chmod(0o755)
        directory = Path(name) / "srv"
        subprocess.run(["cp", "-a", str(template), str(directory)], check=True)
        directory.chmod(0o755)
        program = directory / "bin" / "seqarchive"
        program.write_text(program.read_text().replace(str(template), str(directory)))
        server = stack.enter_context(serving(directory / "copy"))
        yield Scene(directory, server.url, server, environment={"SEQARCHIVE_CACHE": f"{name}/c"})
        subprocess.run(["chmod", "-R", "u+rwx", name], check=True)


# --- what has happened ------------------------------------------------------------------------


def flip(path: Path) -> None:
    """Change a bit in place, for all names of the file."""
    mode = path.stat().st_mode
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    path.chmod(mode)


def full_disk(here: Scene) -> None:
    """A file system of 2 MB with the archive, which something else has filled."""
    new = {**FIRST, "E.1": random_residues("E.1", 900_000)}
    other = here.directory / "other"
    for arguments in (
        ["load", "--namespace", "lab", str(write_fasta(here.directory / "new.fa", new))],
        ["snapshot", "new"],
        ["push", str(here.directory / "copy"), "new"],
    ):
        assert run(other, "-q", *arguments) == (0, "")
    here.shell = MOUNTING
    here.before = (
        "mv archive kept && mkdir archive && mount -t tmpfs -o size=2m full archive"
        " && cp -a kept/. archive && head -c 10m /dev/zero > archive/something-else 2>/dev/null;"
        " truncate -s -150k archive/something-else"
    )


def no_rights(here: Scene) -> None:
    """Root, whom no mode stops, runs the commands as another user."""
    here.environment["AS_NOBODY"] = "1"


def read_only_medium(here: Scene) -> None:
    here.shell = MOUNTING
    here.before = "mount --bind archive archive && mount -o remount,bind,ro archive"


def a_writer(here: Scene) -> None:
    """Another process that holds the lock."""
    program = (
        "import sys, time; sys.argv = ['x']; from pathlib import Path;"
        "from seqarchive.instances import Instance; from seqarchive.writing import Writing\n"
        f"with Writing(Instance(Path({str(here.root)!r}))):\n"
        " print('ready', flush=True); time.sleep(90)"
    )
    command = shlex.join([sys.executable, "-c", program])
    here.before = (
        f"exec 3< <(exec env PYTHONPATH={shlex.quote(str(_PAGE.parents[1]))} {command});"
        " WRITER=$!; read -r -u 3 ready; export WRITER"
    )


def interrupted_load(here: Scene) -> None:
    """Killed between its shards and its commit: what strace does to one that is under way."""
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=linkat,link"]
    command += ["-e", "inject=linkat,link:signal=SIGKILL:when=2"]
    command += [sys.executable, "-m", "seqarchive", "--root", str(here.root)]
    command += ["load", "--namespace", "lab", str(here.directory / "large.fa")]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode in (-signal.SIGKILL, 137)


def damaged_shard(here: Scene) -> None:
    flip(shards(here.root)[0])


def missing_shard(here: Scene) -> None:
    shards(here.root)[0].unlink()


def damaged_index(here: Scene) -> None:
    shard = shards(here.root)[0]
    gzi = shard.with_name(shard.name + ".gzi")
    gzi.unlink()
    gzi.write_bytes(b"")


def foreign_files(here: Scene) -> None:
    other = here.directory / "other"
    assert run(other, "-q", "load", "-n", "x", str(here.directory / "more.fa")) == (0, "")
    (theirs,) = shards(other)
    shutil.copy(theirs, shards(here.root)[0].parent / "1717243200.123456.fa.bgz")
    (here.journal / "notes.txt").write_text("do not forget\n")


def damaged_database(here: Scene) -> None:
    path = here.root / "master" / "aliases.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    data[:8192] = bytes(8192)
    path.write_bytes(data)


def damaged_snapshot(here: Scene) -> None:
    directory = here.root / "2024-06-01"
    directory.chmod(0o755)
    flip(directory / "aliases.sqlite3")
    (directory / "manifest.json").unlink()
    directory.chmod(0o555)


def bad_disk(here: Scene) -> None:
    flip(shards(here.root)[0])


def nothing(_here: Scene) -> None:
    return


def lost_machine(here: Scene) -> None:
    shutil.rmtree(here.root)


def wrong_mirror(here: Scene) -> None:
    """In the first block it has other bytes than its manifest says."""
    assert here.server is not None

    def broken(answer: Answer) -> None:
        if answer.path.endswith(".fa.bgz"):
            answer.body = bytes(len(answer.body))

    here.server.fault = broken


def newer_format(here: Scene) -> None:
    with closing(sqlite3.connect(here.root / "master" / "aliases.sqlite3")) as connection:
        connection.execute("PRAGMA user_version = 99")


PREPARED: dict[str, Callable[[Scene], None]] = {
    "The disk is full": full_disk,
    "The archive cannot be read, or not be written": no_rights,
    "The medium is read-only": read_only_medium,
    "Somebody else is writing": a_writer,
    "A load was interrupted": interrupted_load,
    "A shard is damaged": damaged_shard,
    "A shard is missing": missing_shard,
    "An index is damaged or missing": damaged_index,
    "A file is there that does not belong there": foreign_files,
    "The database is damaged, or lost": damaged_database,
    "A snapshot is damaged": damaged_snapshot,
    "A disk that cannot be trusted": bad_disk,
    "The machine is lost": lost_machine,
    "A mirror is wrong or away, or a pull was interrupted": wrong_mirror,
    "A newer version has written it": newer_format,
    "A name means something else": nothing,
    "A record in a file is wrong": nothing,
    "The wrong file was loaded": nothing,
    "A snapshot was made by mistake": nothing,
}


def printed(here: Scene, title: str, blocks: list[str]) -> list[list[tuple[str, str]]]:
    """Each block with what its commands print now."""
    PREPARED[title](here)
    by_block = [[command for command, _ in steps_of(block)] for block in blocks]
    if PREPARED[title] is wrong_mirror:  # it is mended between the blocks
        outputs = here.run(by_block[0])
        assert here.server is not None
        here.server.fault = None
        outputs += here.run(by_block[1])
    else:
        outputs = here.run([command for block in by_block for command in block])
    rest = iter(outputs)
    return [[(command, next(rest, "?")) for command in block] for block in by_block]


@pytest.mark.parametrize("title", PREPARED)
def test_what_the_page_shows_is_what_happens(template: Path, title: str) -> None:
    blocks = _BLOCK.findall(sections()[title])
    with scene(template) as here:
        for block, found in zip(blocks, printed(here, title, blocks), strict=True):
            for (command, shown), (_, output) in zip(steps_of(block), found, strict=True):
                assert normalised(output) == normalised(shown), command
                assert "Traceback" not in output
                if output.startswith("seqarchive: "):
                    assert len(output.splitlines()) == 1


def test_every_section_is_run_and_every_kind_of_failure_is_there() -> None:
    text = sections()
    assert text.keys() == PREPARED.keys()
    assert all(_BLOCK.search(section) for section in text.values())
    codes = {
        int(output)
        for section in text.values()
        for block in _BLOCK.findall(section)
        for command, output in steps_of(block)
        if command == "echo $?"
    }
    assert codes == {1, 4, 5, 6, 7, 8, 9, 10}


def test_what_differs_is_all_that_is_not_compared() -> None:
    shown = "seqarchive: /srv/archive/master is locked by process 12 on a, writing since x"
    assert normalised(shown) == normalised(shown.replace("12 on a", "99 on bb"))
    for word in ("locked", "master", "writing"):
        assert normalised(shown) != normalised(shown.replace(word, "other"))


def presentable(text: str) -> str:
    """What is printed, on another machine."""
    text = re.sub(r"by \S+@\S+", "by ada@lab,", text)
    return re.sub(r"process \d+ on \S+,", "process 4711 on lab,", text)


def _write() -> None:
    """Put what is printed now into the page."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "srv").mkdir()
        template = build(Path(name) / "srv")
        text = _PAGE.read_text("utf-8")
        for title, section in sections().items():
            blocks = _BLOCK.findall(section)
            with scene(template) as here:
                found = printed(here, title, blocks)
            for block, steps in zip(blocks, found, strict=True):
                lines = []
                for command, output in steps:
                    lines += [f"$ {command}", *presentable(output).splitlines()]
                new = "".join(f"   {line}".rstrip() + "\n" for line in lines) + "\n"
                text = text.replace(block, new, 1)
        _PAGE.write_text(text, "utf-8")


if __name__ == "__main__":
    _write()
