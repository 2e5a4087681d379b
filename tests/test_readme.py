"""The README shows what happens, and the documentation can be built."""

from __future__ import annotations

import ast
import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Cli

import seqarchive
from seqarchive.instances import Instance
from seqarchive.writing import initialise

_TOP = Path(__file__).parent.parent
_README = (_TOP / "README.rst").read_text("utf-8")
_YEAST = "tests/data/nucl/yeast_R64_ncbi_softmasked.fa.gz"


def _blocks() -> list[str]:
    """The indented blocks of the README, without their indentation."""
    found = re.findall(r"(?m)(?:::|\.\. code-block:: \w+)\n\n((?:(?: {4}.*)?\n)+)", _README)
    return ["\n".join(line[4:] for line in block.rstrip().split("\n")) + "\n" for block in found]


def _console_examples() -> list[tuple[list[str], str]]:
    """Each ``$ seqarchive`` example: its words, and what it prints."""
    examples = []
    for block in _blocks():
        for part in re.split(r"(?m)^\$ ", block)[1:]:
            command, _, output = part.partition("\n")
            words = shlex.split(command)
            if words[0] == "seqarchive":
                examples.append((words[1:], output))
    return examples


def _shell_commands() -> list[list[str]]:
    """The words of every line in a block that begins with ``seqarchive``."""
    lines = (line for block in _blocks() for line in block.split("\n"))
    return [shlex.split(line)[1:] for line in lines if line.startswith("seqarchive ")]


def _python_examples() -> list[str]:
    return [block for block in _blocks() if "import" in block and "connect(" in block]


def _without_what_differs(text: str) -> str:
    """Without times, and what depends on them or on the version of SQLite."""
    text = re.sub(r"\d+\.\d\d s$", "... s", text, flags=re.MULTILINE)
    text = re.sub(r"[\d.]+ ([kM]B of database)", r"... \1", text)
    return re.sub(r"\b[0-9a-f]{64}\b", "...", text)


@pytest.fixture
def at_the_top(monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory from which the README's commands are meant to be run."""
    monkeypatch.chdir(_TOP)


@pytest.fixture(scope="module")
def yeast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[seqarchive.Archive]:
    """The archive that the README's examples are about."""
    root = tmp_path_factory.mktemp("readme") / "archive"
    initialise(Instance(root))
    with seqarchive.connect(root) as archive:
        archive.load(_TOP / _YEAST, "refseq")
        yield archive


def test_the_readme_has_examples_to_check() -> None:
    verbs = [words[0] for words, _ in _console_examples()]
    assert verbs[:1] == ["load"]
    assert "get" in verbs
    assert len(_python_examples()) == 2
    assert len(_shell_commands()) >= 3


def test_the_console_examples_print_what_the_readme_shows(cli: Cli, at_the_top: None) -> None:
    for words, shown in _console_examples():
        code, out, err = cli(*words)
        assert (code, err) == (0, "")
        assert _without_what_differs(out) == _without_what_differs(shown)


def test_loading_the_same_file_again_adds_nothing_as_the_readme_says(
    cli: Cli, at_the_top: None
) -> None:
    (words, _), *_ = _console_examples()
    assert cli(*words).code == 0
    out = cli(*words).out
    assert "sequences  0 added (0 residues), 17 known already" in out
    assert "aliases    0 added, 17 known already" in out
    assert "shards" not in out


def test_every_command_and_option_in_the_readme_exists(cli: Cli) -> None:
    for words in _shell_commands():
        options = {word for word in words if word.startswith("--")}
        assert options <= _options(cli, words[0]), words
    every = {option for verb in _verbs(cli) for option in _options(cli, verb)}
    mentioned = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", _README))
    assert mentioned <= every


def _verbs(cli: Cli) -> list[str]:
    text = cli("--help").out.partition("Commands:")[2]
    return re.findall(r"(?m)^  ([a-z][a-z-]*)", text.partition("\n\n")[0])


def _options(cli: Cli, verb: str) -> set[str]:
    done = cli(verb, "--help")
    assert done.code == 0
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", done.out))
    for subverb in re.findall(r"(?ms)^Commands:\n(.*)", done.out)[:1]:
        for name in re.findall(r"(?m)^  ([a-z][a-z-]*) ", subverb):
            options |= set(re.findall(r"--[a-z][a-z-]+", cli(verb, name, "--help").out))
    return options


def test_the_calls_of_the_python_examples_exist(yeast: seqarchive.Archive) -> None:
    objects: dict[str, object] = {
        "seqarchive": seqarchive,
        "archive": yeast,
        "sequence": yeast["refseq:NC_001133.9"],
    }
    n_calls = 0
    for example in _python_examples():
        for node in ast.walk(ast.parse(example)):
            if isinstance(node, ast.ImportFrom):
                assert node.module == "seqarchive"
                assert all(hasattr(seqarchive, name.name) for name in node.names)
            if not isinstance(node, ast.Call):
                continue
            n_calls += 1
            if isinstance(node.func, ast.Attribute):
                assert isinstance(node.func.value, ast.Name)
                called = getattr(objects[node.func.value.id], node.func.attr)
            else:
                assert isinstance(node.func, ast.Name)
                called = getattr(seqarchive, node.func.id)
            arguments = {word.arg: None for word in node.keywords if word.arg is not None}
            inspect.signature(called).bind(*[None] * len(node.args), **arguments)
    assert n_calls >= 8


def test_the_python_example_does_what_its_comments_say(yeast: seqarchive.Archive) -> None:
    shown = next(out for words, out in _console_examples() if words[0] == "get")
    assert yeast.fetch("refseq:NC_001133.9", 100, 160) == shown.strip()
    sequence = yeast["refseq:NC_001133.9"]
    residues = str(sequence)
    assert (sequence[-10:], sequence[::-1]) == (residues[-10:], residues[::-1])
    assert ("GATTACA" in sequence) == ("GATTACA" in residues)
    assert residues.count(shown.strip()) == sequence.count(shown.strip())
    assert yeast.translate("refseq:NC_001133.9", to="ga4gh") == [f"ga4gh:SQ.{sequence.digest}"]
    with pytest.raises(KeyError):
        yeast.fetch("refseq:nobody")
    with pytest.raises(seqarchive.BadName):
        yeast["plasmid-7"] = "ACGT"


def test_what_the_readme_says_is_on_disk_is_on_disk(yeast: seqarchive.Archive) -> None:
    root = yeast.instance.root
    assert (root / "master" / "aliases.sqlite3").is_file()
    (shard,) = (root / "master" / "sequences").rglob("*.fa.bgz")
    parts = shard.relative_to(root).as_posix()
    assert re.fullmatch(r"master/sequences/\d{4}/\d{4}/\d{6}/\d+\.\d{6}\.fa\.bgz", parts)
    beside = {path.name.removeprefix(shard.name) for path in shard.parent.iterdir()}
    assert beside == {"", ".fai", ".gzi"}


def test_every_file_that_the_readme_names_is_there() -> None:
    names = re.findall(r"(?<![\w/])(?:bin|docs|benchmarks|tests)/[\w./-]*", _README)
    assert names
    assert [name for name in names if not (_TOP / name).exists()] == []


def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html"]
    command += ["-d", str(tmp_path / "doctrees"), "docs", str(tmp_path / "html")]
    environment = {**os.environ, "PYTHONPATH": str(_TOP)}
    done = subprocess.run(
        command, cwd=_TOP, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    page = (tmp_path / "html" / "api.html").read_text("utf-8")
    assert "seqarchive.connect" in page


def test_every_test_that_is_named_exists() -> None:
    here = Path(__file__).parent
    there = {path.stem for path in (*here.glob("*.py"), *here.glob("peers/*.py"))}
    for page in (here.parent / "docs").glob("*.rst"):
        named = set(re.findall(r"``(test_\w+)(?:\.py)?``", page.read_text("utf-8")))
        assert named <= there, page.name
