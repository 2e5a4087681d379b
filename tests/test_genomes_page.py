"""What the page about genomes says, done: its commands, and a pipeline."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import Postgres, serving_postgres
from servers import Bucket, command_serving, reserved_port, serving_s3

PAGE = (Path(__file__).parent.parent / "docs" / "genomes.rst").read_text("utf-8")
YEAST = Path(__file__).parent / "data" / "nucl" / "yeast_R64_ncbi_softmasked.fa.gz"
START = "CCACACCACACCCACACACCCACACACCACACCACACACCACACCACACCCACACACACA"


def blocks(language: str) -> list[str]:
    """The examples of the page in a language, without their indentation."""
    found = re.findall(
        rf"(?m)^\.\. code-block:: {language}\n\n((?:(?: {{4}}.*)?\n)+)", PAGE
    )
    return ["\n".join(line[4:] for line in block.rstrip().split("\n")) + "\n" for block in found]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A directory with the genome of yeast."""
    shutil.copy(YEAST, tmp_path / "yeast.fa.gz")
    return tmp_path


def done(work: Path, command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """A command that must succeed, with our programs on the path and a folder of its own."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    variables = {**os.environ, "PATH": path, "REFGENIE_GENOME_FOLDER": str(work / "genomes")}
    variables.pop("SEQARCHIVE_ROOT", None)
    variables |= environment
    if not variables["REFGENIE_GENOME_FOLDER"]:
        del variables["REFGENIE_GENOME_FOLDER"]
    result = subprocess.run(
        command, cwd=work, env=variables, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result


def test_the_first_commands_do_what_they_say(work: Path) -> None:
    out = done(work, ["bash", "-ec", blocks("bash")[0]]).stdout
    assert START in out.splitlines()
    assert "sacCer3" in out
    assert "description: Baker's yeast" in out


def test_the_python_example_does_what_it_says(work: Path) -> None:
    done(work, ["bash", "-ec", blocks("bash")[0]])
    example = blocks("python")[0]
    lines = example.replace("/data/genomes", str(work / "genomes")).splitlines()
    printed = [re.sub(r"^    (genomes.*)", r"    print(\1)", line) for line in lines]
    out = done(work, [sys.executable, "-c", "\n".join(printed)]).stdout.split()
    assert out[:2] == [START, START]
    assert len(out[2]) == 32


def test_the_pipeline_runs(work: Path) -> None:
    done(work, ["bash", "-ec", blocks("bash")[0]])
    (work / "Snakefile").write_text(blocks("text")[0])
    (work / "exons.bed").write_text("NC_001133.9\t0\t60\tstart\n")
    done(work, ["snakemake", "--cores", "1", "--quiet", "all", "--config", "genome=sacCer3"],
         HOME=str(work))  # fmt: skip
    assert (work / "exons.fa").read_text() == f">start::NC_001133.9:0-60\n{START}\n"


# --- elsewhere ------------------------------


def test_a_genome_of_a_server_is_read_there_and_fetched(work: Path, tmp_path: Path) -> None:
    """The words of the page, against a server of ours with an export and one without."""
    theirs = tmp_path / "theirs"
    done(work, ["seqarchive", "genome", "init", "--fasta", "yeast.fa.gz", "--name", "sacCer3",
                "--genome-folder", str(theirs)])  # fmt: skip
    for has_store in (False, True):
        if has_store:
            done(work, ["seqarchive", "--root", str(theirs), "export-rgstore"])
        with command_serving(theirs, tmp_path) as served:
            example = blocks("bash")[1].replace("https://genomes.example.org", served.url)
            ours = str(tmp_path / f"ours-{has_store}")
            out = done(work, ["bash", "-ec", example], REFGENIE_GENOME_FOLDER=ours).stdout
        lines = out.splitlines()
        assert "refgenie:sacCer3" in lines[0]
        assert START in lines
        assert "sacCer3\tsame" in lines
        # The server is away; all of it is here.
        out = done(work, ["seqarchive", "getseq", "sacCer3", "NC_001133.9:0-60"],
                   REFGENIE_GENOME_FOLDER=ours).stdout  # fmt: skip
        assert out == f"{START}\n"


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with serving_postgres() as server:
        yield server


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    (tmp_path / "s3" / "my-bucket").mkdir(parents=True)
    with serving_s3(tmp_path / "s3") as server:
        yield server


def test_the_seven_steps_lead_to_a_server(work: Path, postgres: Postgres, bucket: Bucket) -> None:
    (work / "fasta").mkdir()
    (work / "yeast.fa.gz").rename(work / "fasta" / "yeast.fa.gz")
    (work / "genomes.csv").write_text("sample_name,fasta\nyeast,yeast.fa.gz\n")
    postgres.execute("CREATE DATABASE genomes")
    with reserved_port() as port:
        script = blocks("bash")[2].replace("8000", str(port))
        script = script.replace("curl -s", "curl -s -w '\\n'")
        script = script.replace("POSTGRES_HOST=localhost", f"POSTGRES_HOST={postgres.directory}")
        script += "kill %1; wait %1\n"
        places = {"SEQARCHIVE_CACHE": str(work / "cache"), "REFGENIE_GENOME_FOLDER": ""}
        out = done(work, ["bash", "-ec", script], **bucket.environment, **places).stdout
    info, alias, aliases = (json.loads(line) for line in out.splitlines() if line[:1] == "{")
    assert info["seqcol"]["refget_store"]["n_collections"] == 1
    assert alias["source"] == "store:refgenie"
    assert alias["species"] == "Saccharomyces cerevisiae"
    assert alias["collection"]["names"][0] == "NC_001133.9"
    named = {one["name"]: one for one in aliases["items"]}
    assert named.keys() == {"sacCer3", "yeast"}
    assert named["yeast"]["source"] == "server"
    assert named["yeast"]["genome_digest"] == alias["digest"]
    stored = bucket.directory / "my-bucket" / "fasta" / "yeast.fa.gz"
    assert stored.read_bytes() == YEAST.read_bytes()
    # The same in Python, with the server gone.
    example = blocks("python")[1].replace("    genomes[", "    print(genomes[")
    example = example.replace("[0:60]", "[0:60])").replace(
        "postgresql://db.example.org/genomes", postgres.url("genomes")
    )
    out = done(work, [sys.executable, "-c", example], **bucket.environment).stdout
    assert out == f"{START}\n"
