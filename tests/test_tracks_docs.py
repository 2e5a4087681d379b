"""What the page about tracks says, done."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_genomes_page import YEAST

PAGE = (Path(__file__).parent.parent / "docs" / "tracks.rst").read_text("utf-8")

GENES = """##gff-version 3
NC_001133.9\tSGD\tgene\t1807\t2169\t.\t-\t.\tID=YAL068C;Name=PAU8
NC_001133.9\tSGD\tgene\t2480\t2707\t.\t+\t.\tID=YAL067W-A
NC_001134.8\tSGD\tgene\t280\t2658\t.\t-\t.\tID=YBL113C
"""


def blocks(language: str) -> list[str]:
    """The examples of the page in a language, without their indentation."""
    found = re.findall(
        rf"(?m)^\.\. code-block:: {language}\n\n((?:(?: {{4}}.*)?\n)+)", PAGE
    )
    return ["\n".join(line[4:] for line in block.rstrip().split("\n")) + "\n" for block in found]


def done(work: Path, command: list[str]) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "SEQARCHIVE_ROOT": str(work / "archive")}
    environment.pop("REFGENIE_GENOME_FOLDER", None)
    result = subprocess.run(
        command, cwd=work, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which the first commands were done."""
    directory = tmp_path_factory.mktemp("page")
    shutil.copy(YEAST, directory / "yeast.fa.gz")
    (directory / "genes.gff3").write_text(GENES)
    (directory / "printed").write_text(done(directory, ["bash", "-ec", blocks("bash")[0]]))
    return directory


def test_the_first_commands_do_what_they_say(work: Path) -> None:
    printed = (work / "printed").read_text().splitlines()
    assert any(line.startswith("NC_001133.9\t1806\t2169\tPAU8") for line in printed)
    table = re.compile(r"(PAU8|YAL|YBL)\S*\t[\d.]+$")
    values = dict(line.split("\t") for line in printed if table.match(line))
    assert set(values) == {"PAU8", "YAL067W-A", "YBL113C"}
    assert all(0.3 < float(value) < 0.6 for value in values.values())
    lineage = [line for line in printed if "genome.gc(" in line]
    assert lineage
    assert any("genome sacCer3" in line for line in printed)
    assert (work / "gc.bw").stat().st_size > 10_000


@pytest.mark.parametrize("number", range(2))
def test_the_examples_in_python_do_what_they_say(work: Path, number: int) -> None:
    genes = done(work, ["seqarchive", "track", "list"])
    id = next(line.split("\t")[0] for line in genes.splitlines() if "\tgenes\t" in line)
    example = blocks("python")[number]
    example = example.replace("/data/archive", str(work / "archive")).replace("GENES", id)
    out = done(work, [sys.executable, "-W", "error", "-c", example])
    assert ("mylab.widen(by=50)" in out) if number == 0 else ("3 intervals" in out)


def test_all_operations_are_on_the_page() -> None:
    from seqarchive.tracks.operations import OPERATIONS  # noqa: PLC0415

    for name in OPERATIONS:
        kind, _, rest = name.partition(".")
        assert name in PAGE or (f"{kind}.*" in PAGE or f"``{rest}``" in PAGE), name
