"""A file whose bytes were loaded before is not parsed again, and nobody can tell the difference.

The oracle is the same file from a pipe, of which nobody knows that it is the same.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli
from helpers import sha512t24u, write_fasta

from seqarchive import records

RECORDS = {
    "NM_1.1 one": "ACGTACGTAC",
    "NM_2 versionless": "GGGGGG",
    "NM_3.1 three": "",
    "NM_4.1 four": "ACGTACGTAC",
    "long one": "ACGGT" * 300_000,
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file, loaded as refseq."""
    return write_fasta(tmp_path / "source.fa", RECORDS)


def _rows(root: Path) -> dict[str, list[tuple[object, ...]]]:
    """Everything that the database says, less names of files, times and reports."""
    queries = {
        "batches": "SELECT id, kind, namespace, n_records, n_sequences, n_aliases, n_aliases_moved"
        " FROM batches",
        "sources": "SELECT id, batch_id, size_bytes, sha256, format, compression, n_records,"
        " records_of FROM sources",
    }
    tables = ("sequences", "aliases", "ended_aliases", "namespaces", "records", "circular")
    with closing(sqlite3.connect(root / "master" / "aliases.sqlite3")) as database:
        return {
            name: database.execute(query).fetchall()
            for name, query in (queries | {t: f"SELECT * FROM {t}" for t in tables}).items()
        }


def _report(text: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(text)
    for name in ("seconds",):
        del report[name]
    for file in report["files"]:
        del file["name"]
    report["conflicts"] = [line.partition(": ")[2] for line in report["conflicts"]]
    return report


def _nothing(cli: Cli) -> None:
    pass


def _moved(cli: Cli) -> None:
    code = cli(
        "load", "-n", "refseq", "--on-conflict", "replace", "-", stdin=b">NM_1.1\nTTTT\n"
    ).code
    assert code == 0


@pytest.mark.parametrize(
    ("options", "before"),
    [
        (["-n", "refseq"], _nothing),
        (["-n", "other"], _nothing),
        (["-n", "refseq", "--circular", "long", "--circular", "nobody"], _nothing),
        (["-n", "refseq", "--alias-regex", r"NM_(?P<alias>\d)|long"], _nothing),
        (["-n", "refseq"], _moved),
        (["-n", "refseq", "--on-conflict", "keep"], _moved),
        (["-n", "refseq", "--on-conflict", "replace"], _moved),
        (["-n", "refseq", "--dry-run"], _nothing),
    ],
)
def test_a_file_that_was_loaded_is_as_if_it_were_read_again(
    cli: Cli,
    root: Path,
    tmp_path: Path,
    source: Path,
    options: list[str],
    before: Callable[[Cli], None],
) -> None:
    assert cli("load", "-n", "refseq", source).code == 0
    before(cli)
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    known = cli("--json", "load", *options, source)
    parsed = cli("--root", copy, "--json", "load", *options, "-", stdin=source.read_bytes())
    assert known.code == parsed.code
    assert known.err.replace(str(source), "standard input") == parsed.err
    assert _rows(root) == _rows(copy)
    if known.code == 0:
        assert _report(known.out) == _report(parsed.out)


def _not_parsed(*_: object) -> None:
    raise AssertionError("it was parsed")


def test_it_is_not_parsed(
    cli: Cli, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("load", "-n", "refseq", source).code == 0
    monkeypatch.setattr(records.FastaScanner, "__iter__", _not_parsed)
    other_name = shutil.copy(source, tmp_path / "other")
    assert cli("load", "-n", "refseq", other_name).code == 0
    with pytest.raises(AssertionError, match="parsed"):
        cli("load", "-n", "refseq", "-", stdin=source.read_bytes())


def test_a_file_of_the_same_size_is_another(cli: Cli, source: Path) -> None:
    assert cli("load", "-n", "refseq", source).code == 0
    text = source.read_text().replace("NM_2", "NM_9").replace("GGGGGG", "GGGGGT")
    source.write_text(text)
    assert cli("load", "-n", "refseq", source).code == 0
    assert cli("get", "refseq:NM_9").out == "GGGGGT\n"


def test_a_file_that_was_loaded_in_part_is_read_again(cli: Cli, tmp_path: Path) -> None:
    source = tmp_path / "bad.fa"
    source.write_bytes(b">a\nACGT\n>b\nAC1T\n")
    options = ("--json", "load", "-n", "x", "--on-error", "skip", source)
    first, second = (json.loads(cli(*options).out)["skipped"] for _ in range(2))
    assert first == second
    assert len(first) == 1
    assert cli("load", "-n", "x", source).code == 5


def test_an_export_that_was_loaded_keeps_its_names(cli: Cli, tmp_path: Path) -> None:
    digest = sha512t24u("ACGT")
    source = write_fasta(tmp_path / "e.fa", {f"ga4gh:SQ.{digest} refseq:NM_1.1 x:1": "ACGT"})
    for _ in range(2):
        assert cli("load", "-n", "any", source).code == 0
    assert cli("translate", "x:1", "--to", "refseq").out == "refseq:NM_1.1\n"


@pytest.mark.parametrize("gap", [2, 1100])
def test_a_name_that_a_known_file_has_twice_is_refused_with_its_line(
    cli: Cli, tmp_path: Path, gap: int
) -> None:
    """However far apart the two records are."""
    texts = [f"{n:06}".translate(str.maketrans("0123456789", "ACGTNWSKMY")) for n in range(1200)]
    text = "".join(
        f">n{5 if n == 5 + gap else n}\n{residues}\n" for n, residues in enumerate(texts)
    )
    known = tmp_path / "x.fa"
    known.write_text(text)
    assert cli("load", "-n", "first", "--on-conflict", "keep", known).code == 0
    other = tmp_path / "y.fa"
    other.write_text(text + ">more\nACGTTT\n")
    for file in (known, other):
        done = cli("load", "-n", "second", file)
        assert done.code == 4
        assert done.err.startswith(f"seqarchive: {file}, line {2 * (5 + gap) + 1}: second:n5 is ")
    kept = json.loads(cli("--json", "load", "-n", "third", "--on-conflict", "keep", known).out)
    (conflict,) = kept["conflicts"]
    assert conflict.startswith(f"{known}, line {2 * (5 + gap) + 1}: third:n5 is ")
    assert (kept["aliases_added"], kept["aliases_kept"]) == (1199, 1)
