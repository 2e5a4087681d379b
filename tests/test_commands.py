"""The commands do what their help says, in what they print, what they refuse and how they exit."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli, Result
from helpers import (
    computed,
    contents,
    fasta,
    parse_fasta,
    run_without_rights,
    sha512t24u,
    shards,
    shared_directory,
    sq,
    tree,
    wait_until,
    without_write_permission,
    write_fasta,
)

from seqarchive.commands import _VERBS
from seqarchive.instances import Instance
from seqarchive.version import __version__
from seqarchive.writing import Writing

RECORDS = {
    "a first of all": "ACGTACGTAA",
    "b": "TTTTGGGG",
    "ring": "AACCGGTTNN",
    "prot": "MKV*",
}
A, B, RING, PROT = RECORDS.values()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_fasta(tmp_path / "source.fa", RECORDS, width=4)


@pytest.fixture
def loaded(cli: Cli, source: Path) -> Result:
    """An archive with one batch: four sequences in the namespace ``ref``, one of them circular."""
    return ok(cli("--json", "load", "--namespace", "ref", "--circular", "ring", source))


def ok(result: Result) -> Result:
    """A result of a command that did what it was asked for."""
    assert result.code == 0, result
    return result


def json_of(result: Result) -> Any:
    """The one JSON document that a command printed."""
    assert result.out.count("\n") == 1, result
    return json.loads(result.out)


def json_lines(result: Result) -> list[Any]:
    """The JSON lines that a command printed."""
    return [json.loads(line) for line in result.out.splitlines()]


def refused(result: Result, code: int, *words: str) -> None:
    """The command did nothing but say, in one line, what is wrong and where."""
    assert result.code == code, result
    assert result.out == ""
    assert result.err.startswith("seqarchive: ")
    assert result.err.endswith("\n")
    assert result.err.count("\n") == 1, result.err
    for word in words:
        assert word in result.err


# --- what all commands share ------------------------------------------------------------------


@pytest.mark.parametrize("verb", _VERBS)
def test_the_help_of_each_command_has_an_example_and_the_exit_codes(cli: Cli, verb: str) -> None:
    text = ok(cli(verb, "--help")).out
    assert re.search(rf"Example:\n +seqarchive .*\b{verb}\b", text)
    for code in ("0 done", "2 usage", "3 not found", "6 damage", "10 written", "130 interrupted"):
        assert code in text


@pytest.mark.parametrize("verb", _VERBS)
def test_the_help_of_each_command_is_set_as_paragraphs(cli: Cli, verb: str) -> None:
    prose = ok(cli(verb, "--help")).out.split("Example:")[0]
    for line in prose.rstrip().splitlines():
        assert re.match(r"(Usage: .*|  \S.*|)\Z", line), f"{line!r} is indented oddly"
        assert "   " not in line.lstrip()


def test_the_help_lists_every_command_in_one_line_each(cli: Cli) -> None:
    text = ok(cli("--help")).out
    for verb in _VERBS:
        assert re.search(rf"^  {verb}  +\S", text, re.MULTILINE)


def test_the_version_is_printed(cli: Cli) -> None:
    assert ok(cli("--version")).out == f"seqarchive, version {__version__}\n"


def test_options_are_understood_before_and_after_the_command(
    cli: Cli, loaded: Result, tmp_path: Path
) -> None:
    before, after = cli("--json", "status"), cli("status", "--json")
    assert json_of(before) == json_of(after)
    elsewhere = str(tmp_path / "elsewhere")
    assert json_of(cli("init", "--root", elsewhere, "--json"))["root"] == elsewhere
    assert cli("get", "ref:a", "--instance", "absent").code == 3
    assert cli("--instance", "absent", "get", "ref:a").code == 3


def test_the_root_comes_from_the_environment_if_no_option_says_it(
    root: Path, loaded: Result
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "seqarchive", "get", "ref:b"],
        env={**os.environ, "SEQARCHIVE_ROOT": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == (B + "\n", "")


def test_without_a_root_the_archive_is_in_the_data_directory_of_the_user(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("SEQARCHIVE_ROOT",)}
    subprocess.run(
        [sys.executable, "-m", "seqarchive", "init"],
        env={**environment, "XDG_DATA_HOME": str(tmp_path)},
        capture_output=True,
        check=True,
    )
    assert (tmp_path / "seqarchive" / "master").is_dir()


def test_a_process_prints_results_on_standard_output_and_errors_on_standard_error(
    process: Cli, loaded: Result
) -> None:
    assert process("get", "ref:a:0-4", "ref:b") == (0, f"{A[:4]}\n{B}\n", "")
    missing = process("get", "ref:absent")
    refused(missing, 3, "ref:absent")


@pytest.mark.parametrize(
    "arguments",
    [
        ["load", "x.fa"],
        ["load", "--namespace", "ref"],
        ["get"],
        ["get", "--no-such-option", "a"],
        ["translate"],
        ["export", "--namespace", "ref", "ref:a"],
        ["digests", "add"],
        ["digests", "add", "crc32"],
        ["no-such-command"],
        ["load", "--namespace", "ref", "--shard-size", "big", "x.fa"],
        ["load", "--namespace", "ref", "--alias-regex", "(", "x.fa"],
        ["load", "--namespace", "ref", "--on-conflict", "guess", "x.fa"],
    ],
)
def test_a_usage_error_exits_with_2_and_points_to_the_help(
    cli: Cli, loaded: Result, arguments: list[str]
) -> None:
    result = cli(*arguments)
    assert (result.code, result.out) == (2, "")
    assert "--help" in result.err
    assert "Traceback" not in result.err


def test_an_error_is_one_line_and_v_adds_the_traceback(cli: Cli, loaded: Result) -> None:
    refused(cli("get", "ref:absent"), 3, "ref:absent")
    verbose = cli("-v", "get", "ref:absent")
    assert verbose.code == 3
    assert verbose.out == ""
    assert verbose.err.startswith("Traceback")
    assert verbose.err.splitlines()[-1] == cli("get", "ref:absent").err.rstrip("\n")
    assert cli("get", "ref:absent", "-v").err.startswith("Traceback")


def test_an_error_is_one_line_whatever_the_names_in_it_are(
    cli: Cli, loaded: Result, tmp_path: Path
) -> None:
    refused(cli("load", "--namespace", "x", tmp_path / "no\nfile"), 3)
    bad = tmp_path / "two\nlines.fa"
    bad.write_text(">x\nAC9T\n")
    refused(cli("load", "--namespace", "x", bad), 5, "line 2")
    refused(cli("get", "no\nname"), 3)
    refused(cli("load", "--namespace", "no\nnamespace", bad), 5)


@pytest.mark.parametrize(
    "arguments",
    [
        ["get", "x"],
        ["translate", "x"],
        ["export"],
        ["export-aliases"],
        ["import-aliases", "x"],
        ["status"],
        ["log"],
        ["verify"],
        ["repair"],
        ["digests", "list"],
        ["digests", "add", "sha256"],
    ],
)
def test_where_there_is_no_archive_commands_say_so_and_create_nothing(
    cli: Cli, root: Path, tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / "x").write_text("")
    part = [str(tmp_path / "x") if word == "x" else word for word in arguments]
    refused(cli(*part), 3, "there is no archive in", str(root))
    assert not root.exists()


def test_text_that_is_not_utf_8_is_a_bad_input_and_not_a_bug(
    cli: Cli, loaded: Result, tmp_path: Path
) -> None:
    names = tmp_path / "latin1.txt"
    names.write_bytes(b"ref:a\nref:\xe9\n")
    refused(cli("get", "--from", names), 5, str(names))
    refused(cli("translate", "--from", names), 5, str(names))
    refused(cli("import-aliases", names), 5, str(names))


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-16"])
def test_results_are_utf_8_whatever_the_terminal_is(
    cli: Cli, process: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    name = "h\u00e9\N{GREEK SMALL LETTER MU}"
    ok(cli("load", "--namespace", "x", write_fasta(tmp_path / "x.fa", {name: A})))
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    for arguments in (
        ["export"],
        ["export-aliases"],
        ["export-aliases", "--json"],
        ["diff", "0", "1"],
        ["get", "--fasta", f"x:{name}"],
        ["translate", f"x:{name}"],
    ):
        done = ok(process(*arguments))  # which takes it for UTF-8
        assert name in done.out
        assert done == cli(*arguments)
    refused(process("get", "x:\u03bc"), 3, "x:\u03bc")


def test_names_of_directories_and_files_need_not_be_text(
    process: Cli, source: Path, tmp_path: Path
) -> None:
    root = tmp_path / os.fsdecode(b"r\xffx")
    file = source.rename(tmp_path / os.fsdecode(b"s\xff.fa"))
    for arguments in (
        ["load", "--namespace", "x", str(file)],
        ["snapshot", "A"],
        ["verify"],
        ["export-rgstore"],
        ["export-seqrepo"],
    ):
        ok(process("--root", str(root), *arguments))
    assert json_of(process("--root", str(root), "--json", "status"))["root"] == str(root)
    absent = str(tmp_path / os.fsdecode(b"\xfe"))
    refused(process("--root", absent, "get", "x"), 3, "\\udcfe")
    assert ok(process("--root", str(root), "--instance", "A", "get", "x:b")).out == B + "\n"


def test_a_list_that_is_not_there_is_not_found(cli: Cli, loaded: Result, tmp_path: Path) -> None:
    absent = tmp_path / "absent.txt"
    refused(cli("get", "--from", absent), 3, str(absent))
    refused(cli("get", "--bed", absent), 3, str(absent))
    refused(cli("translate", "--from", absent), 3, str(absent))
    refused(cli("export", "--from", absent), 3, str(absent))
    refused(cli("import-aliases", absent), 3, str(absent))


@pytest.mark.parametrize(
    "arguments",
    [
        ["export"],
        ["export", "--width", "0"],
        ["get", "ref:long"],
        ["get", "--fasta", "ref:long"],
        ["get", "--json", "ref:long"],
        ["export-aliases"],
        ["translate", "--from", "NAMES"],
    ],
)
def test_a_reader_that_has_seen_enough_is_no_error(
    cli: Cli, root: Path, tmp_path: Path, arguments: list[str]
) -> None:
    records = {"long": "ACGT" * 100_000, **{f"n{n}": "ACGT" * 9 + "A" * n for n in range(3000)}}
    ok(cli("load", "--namespace", "ref", write_fasta(tmp_path / "x.fa", records)))
    names = tmp_path / "names"
    names.write_text("".join(f"ref:n{n}\n" for n in range(3000)))
    command = [sys.executable, "-m", "seqarchive", "--root", str(root)]
    command += [str(names) if word == "NAMES" else word for word in arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert len(running.stdout.read(10)) == 10
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait() == 0


@pytest.mark.parametrize(
    ("arguments", "closed"),
    [
        ("load --namespace x -", "<&-"),
        ("import-aliases -", "<&-"),
        ("translate --from -", "<&-"),
        ("get --bed -", "<&-"),
        ("get ref:a", ">&-"),
        ("export", ">&-"),
    ],
)
def test_a_standard_stream_that_is_closed_is_an_error_and_not_a_bug(
    root: Path, loaded: Result, arguments: str, closed: str
) -> None:
    command = [sys.executable, "-m", "seqarchive", "--root", str(root), *arguments.split()]
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", *command]
    done = subprocess.run(shell, capture_output=True, text=True, check=False)
    refused(Result(done.returncode, done.stdout, done.stderr), 1)


def test_a_full_disk_under_the_output_is_an_error(root: Path, loaded: Result) -> None:
    command = [sys.executable, "-m", "seqarchive", "--root", str(root), "export"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    refused(Result(done.returncode, "", done.stderr), 1, "full")


def test_a_warning_is_one_line_that_names_the_file_and_q_silences_it(
    process: Cli, tmp_path: Path
) -> None:
    file = tmp_path / "x.gb"
    file.write_text("LOCUS       X 4 bp\nVERSION     X.1\nORIGIN\n        1 acgt\n//\n")
    warned = ok(process("load", "--namespace", "x", file))
    assert "1 record from 1 file" in warned.out
    assert warned.err.startswith(f"seqarchive: {file}, near line ")
    assert warned.err.count("\n") == 1
    assert ok(process("-q", "load", "--namespace", "x", file)).err == ""


# --- exit codes -------------------------------------------------------------------------------


def test_damage_exits_with_6_and_names_the_file(cli: Cli, root: Path, loaded: Result) -> None:
    (shard,) = shards(root)
    damaged = bytearray(shard.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    os.chmod(shard, 0o644)
    shard.write_bytes(damaged)
    refused(cli("get", "ref:a"), 6, str(shard))
    found = cli("verify", "--full")
    assert found.code == 6
    assert shard.name in found.out
    assert cli("repair").code == 6
    damage = cli("--json", "verify", "--full")
    assert damage.code == 6
    report = json_of(damage)
    assert report["ok"] is False
    assert {finding["kind"] for finding in report["findings"]} == {"changed"}


def test_a_second_writer_exits_with_7_at_once_and_is_told_who_writes(
    cli: Cli, root: Path, loaded: Result, source: Path, tmp_path: Path
) -> None:
    table = tmp_path / "names.tsv"
    table.write_text("x\tnew\tref:a\n")
    with Writing(Instance(root)):
        for arguments in (
            ["load", "--namespace", "other", str(source)],
            ["import-aliases", str(table)],
            ["digests", "add", "sha256"],
            ["repair"],
        ):
            refused(cli(*arguments), 7, f"process {os.getpid()}", os.uname().nodename, "since 20")
        assert ok(cli("get", "ref:b")).out == B + "\n"
    ok(cli("load", "--namespace", "other", source))


@pytest.fixture
def snapshot(root: Path, loaded: Result) -> Path:
    """A directory with the name of a release, as a snapshot will be."""
    directory = root / "2024-06-01"
    shutil.copytree(root / "master", directory)
    with closing(sqlite3.connect(directory / "aliases.sqlite3")) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    (root / "latest").symlink_to("2024-06-01")
    return directory


@pytest.mark.parametrize("name", ["2024-06-01", "latest"])
def test_a_snapshot_is_read_and_never_written(
    cli: Cli, root: Path, snapshot: Path, source: Path, tmp_path: Path, name: str
) -> None:
    table = tmp_path / "names.tsv"
    table.write_text("x\tnew\tref:a\n")
    before = tree(snapshot)
    for arguments in (
        ["init"],
        ["load", "--namespace", "other", str(source)],
        ["load", "--dry-run", "--namespace", "other", str(source)],
        ["import-aliases", str(table)],
        ["digests", "add", "sha256"],
        ["repair"],
    ):
        refused(cli("--instance", name, *arguments), 8, "2024-06-01")
    assert tree(snapshot) == before
    assert ok(cli("--instance", name, "get", "ref:a")).out == A + "\n"
    assert json_of(cli("--instance", name, "--json", "status"))["instance"] == "2024-06-01"


def test_an_instance_that_is_not_there_is_not_made_by_loading(
    cli: Cli, root: Path, loaded: Result, source: Path
) -> None:
    for option in ([], ["--dry-run"]):
        refused(cli("--instance", "2030-01-01", "load", *option, "-n", "x", source), 8)
    assert not (root / "2030-01-01").exists()
    refused(cli("--instance", "2030-01-01", "get", "ref:a"), 3, "2030-01-01")
    refused(cli("--instance", "../master", "get", "ref:a"), 5, "../master")


def test_who_may_not_write_can_read_and_is_refused_with_8(source: Path) -> None:
    with shared_directory() as directory:
        root = directory / "archive"
        copy = str(shutil.copy(source, directory))
        arguments = ["--root", str(root), "load", "--namespace", "ref", copy]
        subprocess.run(
            [sys.executable, "-m", "seqarchive", *arguments], check=True, capture_output=True
        )
        without_write_permission(root)
        before = tree(root)
        reads = [["get", "ref:a"], ["status"], ["export"], ["verify", "--full"], ["log"]]
        writes = [["load", "--namespace", "other", copy], ["digests", "add", "sha256"], ["repair"]]
        lines = [["--root", str(root), *arguments] for arguments in reads + writes]
        results = run_without_rights(*lines, ["--root", str(root / "deeper"), "init"])
        for result in results[: len(reads)]:
            assert (result.code, result.err) == (0, "")
        for result in results[len(reads) :]:
            refused(result, 8, str(root))
        assert tree(root) == before


def test_a_database_of_a_newer_version_is_refused_with_10(
    cli: Cli, root: Path, loaded: Result, source: Path
) -> None:
    copy = root.parent / "newer"
    shutil.copytree(root, copy)
    with closing(sqlite3.connect(copy / "master" / "aliases.sqlite3")) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = tree(copy)
    for arguments in (
        ["get", "ref:a"],
        ["status"],
        ["verify"],
        ["load", "--namespace", "other", str(source)],
        ["load", "--dry-run", "--namespace", "other", str(source)],
        ["repair"],
    ):
        refused(cli("--root", copy, *arguments), 10, "99", "newer")
    database = "master/aliases.sqlite3"
    assert tree(copy)[database] == before[database]


def test_a_file_that_is_no_database_of_ours_is_refused(cli: Cli, root: Path) -> None:
    (root / "master").mkdir(parents=True)
    database = root / "master" / "aliases.sqlite3"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE seqalias (alias TEXT)")
    found = f"{database} was not made by seqarchive but by SeqRepo"
    refused(cli("get", "a"), 1, found, f"import-seqrepo {database.parent}`")
    refused(cli("--root", f"seqrepo+file://{database.parent}", "get", "a"), 1, found)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("ALTER TABLE seqalias RENAME TO something")
    refused(cli("get", "a"), 1, f"{database} was not made by seqarchive\n")
    database.write_bytes(b"not a database at all, but long enough to be looked at" * 99)
    refused(cli("get", "a"), 6, str(database))


#: The command line with Ctrl-C switched on, which whoever runs the tests may have switched off.
_ATTENTIVE = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("seqarchive", run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def interruptible(root: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts ``seqarchive load`` of standard input, which stays open until the test ends."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*options: str) -> subprocess.Popen[bytes]:
        running = subprocess.Popen(
            [sys.executable, "-c", _ATTENTIVE, "--root", root, "load", "-n", "pipe", *options, "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(running)
        return running

    yield start
    for running in started:
        if running.poll() is None:
            running.kill()
        running.communicate()


def _unfinished(root: Path) -> list[Path]:
    return list((root / "master" / "tmp").glob("*.fa.bgz"))


@pytest.mark.parametrize("threads", ["0", "2"])
def test_ctrl_c_ends_a_load_from_a_pipe_with_130_and_leaves_nothing(
    cli: Cli,
    root: Path,
    loaded: Result,
    interruptible: Callable[..., subprocess.Popen[bytes]],
    threads: str,
) -> None:
    journal = tree(root / "master" / "sequences")
    status = json_of(cli("--json", "status"))
    running = interruptible("--threads", threads)
    assert running.stdin is not None
    records = ((f"n{n}", f"{n:0500b}".replace("0", "A").replace("1", "C")) for n in range(12_000))
    running.stdin.write(fasta(records).encode())
    running.stdin.flush()
    wait_until(lambda: bool(_unfinished(root)))
    running.send_signal(signal.SIGINT)
    try:
        code = running.wait(timeout=60)  # nobody closes the pipe
    except subprocess.TimeoutExpired:
        pytest.fail("Ctrl-C had to wait for more input")
    assert code == 130
    assert running.stderr is not None
    assert running.stderr.read().decode().split("\n")[-2].startswith("seqarchive: interrupted")
    assert tree(root / "master" / "sequences") == journal
    assert _unfinished(root) == []
    verified = json_of(cli("--json", "verify", "--full"))
    assert (verified["findings"], verified["left_over"]) == ([], [])
    after = json_of(cli("--json", "status"))
    assert {k: v for k, v in after.items() if k != "database_bytes"} == {
        k: v for k, v in status.items() if k != "database_bytes"
    }


# --- init -------------------------------------------------------------------------------------


def test_init_makes_an_empty_archive_and_refuses_to_make_it_twice(cli: Cli, root: Path) -> None:
    assert json_of(cli("--json", "init")) == {"root": str(root), "instance": "master"}
    assert json_of(cli("--json", "status"))["sequences"] == 0
    assert ok(cli("log")).out == ""
    assert ok(cli("export")).out == ""
    before = contents(root)
    refused(cli("init"), 4, str(root))
    assert contents(root) == before


def test_init_says_what_it_made(cli: Cli, root: Path) -> None:
    result = ok(cli("init"))
    assert str(root) in result.out
    assert result.err == ""


# --- load -------------------------------------------------------------------------------------


def test_load_reports_everything_as_json(loaded: Result, source: Path) -> None:
    report = json_of(loaded)
    assert loaded.err == ""
    assert report.pop("seconds") >= 0
    assert report.pop("shard_bytes") > 0
    assert report == {
        "batch": 1,
        "namespace": "ref",
        "dry_run": False,
        "files": [
            {
                "name": str(source),
                "format": "fasta",
                "compression": "none",
                "bytes": source.stat().st_size,
                "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
                "records": 4,
                "collection": report["files"][0]["collection"],  # see test_collections.py
            }
        ],
        "records": 4,
        "sequences_added": 4,
        "sequences_known": 0,
        "residues_added": len(A + B + RING + PROT),
        "aliases_added": 4,
        "aliases_known": 0,
        "aliases_moved": 0,
        "aliases_kept": 0,
        "versionless": 0,
        "empty": 0,
        "circular": 1,
        "shards": 1,
        "skipped": [],
        "conflicts": [],
        "unused_circular": [],
        "unused_table": [],
    }


def test_load_reports_a_few_lines_to_people(cli: Cli, source: Path) -> None:
    result = ok(cli("load", "--namespace", "ref", source))
    assert result.err == ""
    lines = result.out.splitlines()
    assert lines[0].startswith("batch 1: 4 records from 1 file, ")
    assert "4 added (32 residues), 0 known already" in lines[1]
    assert len(lines) <= 8


def test_loading_the_same_again_changes_nothing_but_the_log(
    cli: Cli, root: Path, loaded: Result, source: Path
) -> None:
    before = ok(cli("export")).out
    files = tree(root / "master" / "sequences")
    report = json_of(cli("--json", "load", "--namespace", "ref", source))
    assert report["batch"] == 2
    assert (report["sequences_added"], report["sequences_known"]) == (0, 4)
    assert (report["aliases_added"], report["aliases_known"]) == (0, 4)
    assert (report["shards"], report["shard_bytes"], report["residues_added"]) == (0, 0, 0)
    assert ok(cli("export")).out == before
    assert tree(root / "master" / "sequences") == files


def test_a_known_sequence_gets_the_new_name_and_no_new_place(
    cli: Cli, root: Path, loaded: Result, tmp_path: Path
) -> None:
    again = write_fasta(tmp_path / "again.fa", {"other_name": A.lower()})
    report = json_of(cli("--json", "load", "--namespace", "Second", again))
    assert (report["sequences_added"], report["sequences_known"], report["shards"]) == (0, 1, 0)
    assert ok(cli("translate", "ref:a", "--to", "second")).out == "Second:other_name\n"


def test_several_files_are_one_batch(cli: Cli, source: Path, tmp_path: Path) -> None:
    more = write_fasta(tmp_path / "more.fa", {"c": "CCCC"})
    report = json_of(cli("--json", "load", "--namespace", "ref", source, more))
    assert [file["records"] for file in report["files"]] == [4, 1]
    assert [batch["batch"] for batch in json_lines(cli("--json", "log"))] == [1]


def test_standard_input_is_a_file_called_minus(cli: Cli, process: Cli) -> None:
    report = json_of(cli("--json", "load", "--namespace", "ref", "-", stdin=b">a\nACGT\n"))
    assert [file["name"] for file in report["files"]] == ["standard input"]
    ok(process("load", "--namespace", "ref", "-", stdin=b">b\nTTTT\n"))
    assert ok(cli("get", "ref:a", "ref:b")).out == "ACGT\nTTTT\n"


def test_a_file_that_is_not_there_is_not_found_and_stops_the_batch(
    cli: Cli, loaded: Result, source: Path, tmp_path: Path
) -> None:
    refused(cli("load", "--namespace", "x", source, tmp_path / "absent.fa"), 3, "absent.fa")
    assert len(json_lines(cli("--json", "log"))) == 1


def test_bad_data_stop_the_batch_with_file_record_and_line(
    cli: Cli, root: Path, loaded: Result, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.fa"
    bad.write_text(">good\nACGT\nACGT\n>wrong\nACGT\nAC9T\n>good2\nGGGG\n")
    before = tree(root / "master" / "sequences")
    refused(cli("load", "--namespace", "x", bad), 5, f"{bad}, line 6: ", "'wrong'", "'9'")
    assert tree(root / "master" / "sequences") == before
    assert "x" not in json_of(cli("--json", "status"))["namespaces"]
    refused(cli("get", "x:good"), 3)


def test_on_error_skip_leaves_out_bad_records_and_names_each(
    cli: Cli, tmp_path: Path, source: Path
) -> None:
    bad = tmp_path / "bad.fa"
    bad.write_text(">good\nACGT\n>wrong\nAC9T\n>\nAAAA\n>>\nCC\n>good2\nGGGG\n")
    no_fasta = tmp_path / "no.fa"
    no_fasta.write_text("this is prose\n")
    result = ok(cli("load", "--json", "--on-error", "skip", "-n", "x", bad, no_fasta, source))
    report = json_of(result)
    assert report["records"] == 7
    where = [line.partition(": ")[0] for line in report["skipped"]]
    assert where == [f"{bad}, line 4", f"{bad}, line 5", f"{no_fasta}, line 1"]
    assert [file["name"] for file in report["files"]] == [str(bad), str(source)]
    assert result.err.count("seqarchive: skipped: ") == 3
    quiet = ok(cli("load", "-q", "--on-error", "skip", "-n", "x", bad, no_fasta, source))
    assert "\n  skipped    3\n" in quiet.out
    assert quiet.err == ""
    assert ok(cli("get", "x:good", "x:good2", "x:>")).out == "ACGT\nGGGG\nCC\n"
    assert ok(cli("verify", "--full")).out.startswith("7 sequences")


@pytest.mark.parametrize("text", ["this is prose\n", ">a\nAC9T\n>b\n123\n"])
def test_if_all_is_left_out_there_is_no_batch(
    cli: Cli, loaded: Result, tmp_path: Path, text: str
) -> None:
    bad = tmp_path / "bad.fa"
    bad.write_text(text)
    command = ["load", "--on-error", "skip", "-n", "x", str(bad)]
    assert ok(cli(*command)).out.startswith("nothing written: 0 records from ")
    assert json_of(ok(cli("--json", *command)))["batch"] is None
    assert len(json_lines(cli("--json", "log"))) == 1


def test_a_conflict_is_an_error_unless_it_is_settled(
    cli: Cli, root: Path, loaded: Result, tmp_path: Path
) -> None:
    other = write_fasta(tmp_path / "other.fa", {"new": "CCCC", "a": "GGGGG"})
    refused(
        cli("load", "--namespace", "REF", other),
        4,
        f"{other}, line 3: ref:a",
        sha512t24u(A),
        sha512t24u("GGGGG"),
        "batch 1",
    )
    assert json_of(cli("--json", "status"))["sequences"] == 4
    kept = json_of(cli("--json", "load", "--on-conflict", "keep", "-n", "ref", other))
    assert (kept["aliases_kept"], kept["aliases_moved"], kept["aliases_added"]) == (1, 0, 1)
    assert len(kept["conflicts"]) == 1
    assert ok(cli("get", "ref:a", "ref:new")).out == f"{A}\nCCCC\n"
    assert json_of(cli("--json", "status"))["ended_aliases"] == 0
    moved = json_of(cli("--json", "load", "--on-conflict", "replace", "-n", "ref", other))
    assert (moved["aliases_kept"], moved["aliases_moved"], moved["aliases_known"]) == (0, 1, 1)
    assert ok(cli("get", "ref:a", "ref:new")).out == "GGGGG\nCCCC\n"
    assert json_of(cli("--json", "status"))["ended_aliases"] == 1
    assert json_lines(cli("--json", "log"))[-1]["n_aliases_moved"] == 1


@pytest.mark.parametrize(("policy", "wins"), [("keep", "AAAA"), ("replace", "CCCC")])
def test_a_conflict_inside_one_file_is_a_conflict(
    cli: Cli, archive: object, tmp_path: Path, policy: str, wins: str
) -> None:
    file = write_fasta(tmp_path / "x.fa", [("n", "AAAA"), ("m", "GG"), ("n", "CCCC")])
    refused(cli("load", "--namespace", "ref", file), 4, f"{file}, line 5: ref:n", "in this load")
    assert json_of(cli("--json", "status"))["sequences"] == 0
    report = json_of(cli("--json", "load", "--on-conflict", policy, "-n", "ref", file))
    assert report["aliases_kept"] == (policy == "keep")
    assert report["aliases_moved"] == (policy == "replace")
    assert report["aliases_added"] == 2
    assert len(report["conflicts"]) == 1
    assert ok(cli("get", "ref:n", "ref:m")).out == f"{wins}\nGG\n"
    assert json_of(cli("--json", "status"))["sequences"] == 3  # no residues are thrown away
    assert json_of(cli("--json", "status"))["ended_aliases"] == 0


def test_the_same_name_with_the_same_sequence_twice_is_only_counted(
    cli: Cli, tmp_path: Path
) -> None:
    file = write_fasta(tmp_path / "x.fa", [("n", "ACGT"), ("n", "acgt")])
    report = json_of(cli("--json", "load", "--namespace", "ref", file))
    assert (report["aliases_added"], report["aliases_known"]) == (1, 1)
    assert (report["sequences_added"], report["sequences_known"]) == (1, 1)
    assert report["conflicts"] == []


@pytest.mark.parametrize("options", [[], ["--on-conflict", "replace"], ["--on-conflict", "keep"]])
def test_a_dry_run_reports_and_writes_nothing(
    cli: Cli, root: Path, loaded: Result, tmp_path: Path, options: list[str]
) -> None:
    records = {"new": "CCCC", "again": A} if not options else {"a": "GGG", "new": "CCCC"}
    file = write_fasta(tmp_path / "x.fa", records)
    before = tree(root)
    report = json_of(cli("--json", "load", "--dry-run", *options, "-n", "ref", file))
    assert tree(root) == before
    assert (report["batch"], report["dry_run"], report["shards"]) == (None, True, 0)
    real = json_of(cli("--json", "load", *options, "-n", "ref", file))
    for name in set(report) - {"batch", "dry_run", "shards", "shard_bytes", "seconds"}:
        assert report[name] == real[name], name


def test_a_dry_run_leaves_what_an_interrupted_load_left(
    cli: Cli, root: Path, loaded: Result, tmp_path: Path
) -> None:
    (root / "master" / "tmp" / "7.fa.bgz").write_bytes(b"unfinished")
    before = tree(root)
    ok(cli("load", "--dry-run", "-n", "ref", write_fasta(tmp_path / "x.fa", {"new": "CCCC"})))
    assert tree(root) == before
    ok(cli("load", "-n", "ref", tmp_path / "x.fa"))
    assert not (root / "master" / "tmp" / "7.fa.bgz").exists()


def test_a_dry_run_of_a_conflict_exits_with_4_and_one_on_nothing_creates_nothing(
    cli: Cli, root: Path, source: Path, tmp_path: Path
) -> None:
    result = ok(cli("load", "--dry-run", "--namespace", "ref", source))
    assert result.out.startswith("dry run, nothing written: 4 records")
    assert not root.exists()
    twice = write_fasta(tmp_path / "x.fa", [("n", "AAAA"), ("n", "CCCC")])
    refused(cli("load", "--dry-run", "--namespace", "ref", twice), 4, "ref:n")
    assert not root.exists()


def test_names_are_taken_from_deflines_by_a_pattern_or_a_table(cli: Cli, tmp_path: Path) -> None:
    file = write_fasta(tmp_path / "x.fa", {"x1 gene=BRCA2 db=hgnc": "AC", "x2 gene=TP53": "GT"})
    pattern = r"gene=(?P<alias>\S+)(?: db=(?P<namespace>\S+))?"
    ok(cli("load", "--namespace", "genes", "--alias-regex", pattern, file))
    assert ok(cli("get", "hgnc:BRCA2", "genes:TP53")).out == "AC\nGT\n"
    table = tmp_path / "names.tsv"
    table.write_text("x1\tmine:first\tother:1st\n")
    ok(cli("load", "--namespace", "plain", "--alias-table", table, file))
    assert ok(cli("get", "mine:first", "other:1st", "plain:x2")).out == "AC\nAC\nGT\n"
    refused(cli("get", "plain:x1"), 3)
    table.write_text("x1\tmine:first\nx9\tmine:ninth\n")
    again = ok(cli("load", "--namespace", "plain", "--alias-table", table, file))
    assert "\n  1 name of --alias-table that no record has\n" in again.out
    assert again.err == "seqarchive: --alias-table: no record of the name: x9\n"


def test_a_circular_name_that_no_record_has_is_reported(cli: Cli, source: Path) -> None:
    arguments = ["load", "--namespace", "ref", "--circular", "ring", "--circular", "rign"]
    result = ok(cli("--json", *arguments, source))
    assert json_of(result)["unused_circular"] == ["rign"]
    assert "rign" in result.err
    quiet = ok(cli("-q", *arguments, source))
    assert quiet.err == ""
    assert "\n  1 name of --circular that no record has\n" in quiet.out


def test_a_shard_closes_at_the_size_that_is_asked_for(cli: Cli, root: Path, tmp_path: Path) -> None:
    letters = random.Random(5)
    records = {f"n{n}": "".join(letters.choices("ACGT", k=20_000)) for n in range(12)}
    file = write_fasta(tmp_path / "x.fa", records)
    report = json_of(cli("--json", "load", "--shard-size", "20k", "--namespace", "ref", file))
    assert report["shards"] == len(shards(root)) > 3
    assert max(path.stat().st_size for path in shards(root)) <= 20_000
    assert dict(_exported(cli)) == {sq(text): text for text in records.values()}


def test_workers_write_the_very_bytes_that_one_process_writes(
    process: Cli, root: Path, tmp_path: Path
) -> None:
    letters = random.Random(6)
    long, short = ("".join(letters.choices("ACGTN", k=n)) for n in (1_500_000, 3000))
    records = [(f"l{n}", long[n:] + long[:n]) for n in range(5)]
    records += [(f"s{n}", short[n:] + short[: n // 2]) for n in range(600)]
    file = write_fasta(tmp_path / "x.fa", records + records[3:9])
    assert file.stat().st_size > 8 << 20  # less is not worth workers
    for threads, place in (("0", root), ("2", tmp_path / "two"), ("3", tmp_path / "three")):
        options = ["--threads", threads, "--shard-size", "1M", "--namespace", "ref"]
        done = json_of(process("--root", place, "--json", "load", *options, file))
        assert (done["sequences_added"], done["sequences_known"]) == (605, 6)
    one, two, three = (
        [path.read_bytes() for path in shards(place)]
        for place in (root, tmp_path / "two", tmp_path / "three")
    )
    assert one == two == three
    assert len(one) > 3


def test_the_small_compression_is_smaller_and_says_the_same(
    cli: Cli, root: Path, tmp_path: Path
) -> None:
    file = write_fasta(tmp_path / "x.fa", {f"n{n}": "ACGGTTA" * n for n in range(1, 200)})
    ok(cli("load", "--namespace", "ref", file))
    small = tmp_path / "small"
    ok(cli("--root", small, "load", "--compression", "small", "--namespace", "ref", file))
    assert ok(cli("--root", small, "export")).out == ok(cli("export")).out
    assert 2 * shards(small)[0].stat().st_size < shards(root)[0].stat().st_size


def test_a_few_conflicts_are_printed_and_all_are_in_the_json(cli: Cli, tmp_path: Path) -> None:
    names = [f"n{n}" for n in range(30)]
    ok(cli("load", "-n", "ref", write_fasta(tmp_path / "1.fa", dict.fromkeys(names, "AAAA"))))
    other = write_fasta(tmp_path / "2.fa", dict.fromkeys(names, "CCCC"))
    refused(cli("load", "-n", "ref", other), 4, "ref:n0", "30 conflicts")
    result = ok(cli("--json", "load", "-n", "ref", "--on-conflict", "keep", other))
    assert len(json_of(result)["conflicts"]) == json_of(result)["aliases_kept"] == 30
    lines = result.err.splitlines()
    assert len(lines) == 11
    assert "20 more conflicts" in lines[-1]


def _exported(cli: Cli) -> list[tuple[str, str]]:
    """First word of the defline and residues of everything."""
    return [(line.split()[0], text) for line, text in parse_fasta(ok(cli("export")).out)]


def test_computed_names_cannot_be_loaded(cli: Cli, source: Path) -> None:
    for namespace in ("ga4gh", "MD5", "SHA256", "vmc"):
        refused(cli("load", "--namespace", namespace, source), 5, "computed")


# --- get --------------------------------------------------------------------------------------


def test_get_prints_one_line_for_each_id_in_the_order_asked(cli: Cli, loaded: Result) -> None:
    result = ok(cli("get", "ref:b", "a:2-5", "ref:a", "ref:b:7-8", "b", "ref:a:4-4", "ref:a:8-"))
    assert result.out.split("\n") == [B, A[2:5], A, B[7:8], B, "", A[8:], ""]
    assert result.err == ""
    assert ok(cli("get", "ref:a:-3")).out == A[:3] + "\n"


def test_get_finds_a_sequence_by_any_of_its_digests(cli: Cli, loaded: Result) -> None:
    names = computed(PROT)
    bare = [name.partition(":")[2] for name in names]
    spelled = [name.upper() for name in names if name.startswith(("md5", "sha1:", "trunc512"))]
    for name in (*names, *bare, *spelled):
        assert ok(cli("get", name)).out == PROT + "\n", name
        assert ok(cli("get", name + ":1-3")).out == PROT[1:3] + "\n", name


def test_get_prints_one_unwrapped_line_and_fasta_in_lines_of_60(cli: Cli, tmp_path: Path) -> None:
    text = "ACGTN" * 50
    ok(cli("load", "--namespace", "ref", write_fasta(tmp_path / "x.fa", {"long": text})))
    assert ok(cli("get", "ref:long")).out == text + "\n"
    assert ok(cli("get", "--fasta", "ref:long", "ref:long:3-70")).out == fasta(
        [("ref:long", text), ("ref:long:3-70", text[3:70])]
    )
    assert ok(cli("get", "--fasta", "--width", "7", "ref:long")).out == fasta(
        {"ref:long": text}, width=7
    )
    assert ok(cli("get", "--fasta", "--width", "0", "ref:long")).out == f">ref:long\n{text}\n"


def test_get_prints_nothing_when_one_id_is_missing_or_one_range_is_wrong(
    cli: Cli, loaded: Result, tmp_path: Path
) -> None:
    refused(cli("get", "ref:a", "ref:absent", "ref:b"), 3, "ref:absent")
    refused(cli("get", "ref:a", "ref:b:5-9"), 5, "ref:b", "5-9", "8 residues")
    refused(cli("get", "ref:a", "ref:b:5-3"), 5, "5-3", "not circular")
    bed = tmp_path / "x.bed"
    bed.write_text("ref:a\t0\t4\nref:absent\t0\t4\n")
    refused(cli("get", "--bed", bed), 3, f"{bed}, line 2", "ref:absent")
    bed.write_text("ref:a\t0\t4\nref:a\tzero\t4\n")
    refused(cli("get", "ref:a", "--bed", bed), 5, f"{bed}, line 2")
    bed.write_text("ref:a\t0\t4\nref:b\t0\t40\n")
    refused(cli("get", "--bed", bed), 5, f"{bed}, line 2: ref:b", "0-40")
    names = tmp_path / "names"
    names.write_text("ref:a\nref:absent\n")
    refused(cli("get", "--from", names), 3, "ref:absent")


def test_get_clamps_only_when_asked(cli: Cli, loaded: Result) -> None:
    refused(cli("get", "ref:a:5-1000"), 5, "5-1000")
    assert ok(cli("get", "--clamp", "ref:a:5-1000", "ref:a:90-100", "ref:b")).out == (
        f"{A[5:]}\n\n{B}\n"
    )


def test_get_goes_over_the_origin_of_a_circular_sequence_only(cli: Cli, loaded: Result) -> None:
    assert ok(cli("get", "ref:ring:8-3")).out == RING[8:] + RING[:3] + "\n"
    assert ok(cli("get", "--fasta", "-r", "ref:ring:8-3")).out == ">ref:ring:8-3\nGTTNN\n"
    refused(cli("get", "ref:a:8-3"), 5, "ref:a", "8-3")
    refused(cli("get", "ref:ring:11-3"), 5, "11-3")


def test_get_takes_a_name_as_a_whole_before_it_splits_off_a_range(cli: Cli, tmp_path: Path) -> None:
    records = {"x:1-3": "AAAA", "x": "CCCCC", "y:2-4": "GGGG"}
    ok(cli("load", "--namespace", "ref", write_fasta(tmp_path / "x.fa", records)))
    assert ok(cli("get", "ref:x:1-3", "ref:x:0-2", "ref:x:1-3:1-2", "y:2-4")).out == (
        "AAAA\nCC\nA\nGGGG\n"
    )
    refused(cli("get", "ref:y:2-3"), 3, "ref:y")


def test_get_reverse_complements_by_iupac(cli: Cli, tmp_path: Path) -> None:
    records = {"dna": "AACGTRYKMSWBDHVN", "rna": "AACGU"}
    ok(cli("load", "--namespace", "ref", write_fasta(tmp_path / "x.fa", records)))
    assert ok(cli("get", "-r", "ref:dna", "ref:rna", "ref:dna:1-4")).out == (
        "NBDHVWSKMRYACGTT\nACGUU\nCGT\n"
    )


def test_get_takes_ranges_from_a_bed_file_with_strand_name_and_namespace(
    cli: Cli, loaded: Result, tmp_path: Path
) -> None:
    bed = tmp_path / "x.bed"
    bed.write_text(
        "# a comment\ntrack name=x\nbrowser position a\n\n"
        "a\t1\t4\nb\t0\t5\tone\t0\t+\nb\t3\t6\ttwo\t0\t-\r\n"
    )
    assert ok(cli("get", "--namespace", "ref", "--bed", bed)).out == f"{A[1:4]}\n{B[:5]}\nCCA\n"
    assert ok(cli("get", "--fasta", "-n", "ref", "--bed", bed)).out == (
        f">ref:a:1-4\n{A[1:4]}\n>one::ref:b:0-5\n{B[:5]}\n>two::ref:b:3-6\nCCA\n"
    )
    assert ok(cli("get", "-r", "-n", "ref", "--bed", bed)).out == "ACG\nCAAAA\nTGG\n"
    piped = cli("get", "-n", "ref", "--bed", "-", stdin=b"a\t0\t2\n")
    assert ok(piped).out == "AC\n"


def test_get_takes_ids_from_a_file(cli: Cli, loaded: Result, tmp_path: Path) -> None:
    names = tmp_path / "names"
    names.write_text("a\n\nb:0-2\n")
    assert ok(cli("get", "ref:prot", "-n", "ref", "--from", names)).out == f"{PROT}\n{A}\nTT\n"
    assert ok(cli("get", "--from", "-", stdin=b"ref:b\n")).out == B + "\n"


def test_get_of_a_list_of_nothing_prints_nothing(
    cli: Cli, loaded: Result, tmp_path: Path
) -> None:
    nothing = tmp_path / "nothing"
    nothing.write_text("")
    for option in ("--from", "--bed"):
        assert ok(cli("get", option, nothing)) == Result(0, "", "")
    refused(cli("get", "--from", tmp_path), 1, str(tmp_path), "Is a directory; name a file in it")


def test_get_prints_json_lines(cli: Cli, loaded: Result) -> None:
    assert json_lines(cli("--json", "get", "a:2-5", "-r", "ref:b")) == [
        {
            "id": "a",
            "digest": sha512t24u(A),
            "start": 2,
            "end": 5,
            "reverse_complement": True,
            "sequence": "TAC",
        },
        {
            "id": "ref:b",
            "digest": sha512t24u(B),
            "start": 0,
            "end": 8,
            "reverse_complement": True,
            "sequence": "CCCCAAAA",
        },
    ]


def test_an_ambiguous_name_is_refused_with_its_candidates(
    cli: Cli, loaded: Result, tmp_path: Path
) -> None:
    ok(cli("load", "--namespace", "alt", write_fasta(tmp_path / "x.fa", {"a": "GGG"})))
    for arguments in (["get", "a"], ["translate", "a"], ["export", "a"]):
        refused(cli(*arguments), 3, "ref:a", "alt:a")
    assert ok(cli("get", "alt:a")).out == "GGG\n"
    table = tmp_path / "names.tsv"
    table.write_text("x\tfine\tref:a\nx\tnew\ta\n")
    refused(cli("import-aliases", table), 3, f"{table}, line 2", "alt:a")
    refused(cli("get", "x:fine"), 3)
    bed = tmp_path / "x.bed"
    bed.write_text("b\t0\t1\na\t0\t1\n")
    refused(cli("get", "--bed", bed), 3, "alt:a")


def test_what_is_not_found_comes_with_the_versions_that_are_there(cli: Cli, tmp_path: Path) -> None:
    ok(cli("load", "-n", "refseq", write_fasta(tmp_path / "x.fa", {"NM_000059.4": "ACGT"})))
    refused(cli("get", "refseq:NM_000059"), 3, "'refseq:NM_000059'", "refseq:NM_000059.4")


# --- translate --------------------------------------------------------------------------------


def test_translate_prints_the_names_from_digests_and_then_the_aliases(
    cli: Cli, loaded: Result
) -> None:
    assert ok(cli("translate", "ref:a")).out.splitlines() == [*computed(A), "ref:a"]
    assert ok(cli("translate", "--to", "MD5", "ref:b", "ref:a")).out.splitlines() == [
        computed(B)[1],
        computed(A)[1],
    ]
    both = ok(cli("translate", "--to", "ref", "--to", "ga4gh", computed(A)[1]))
    assert both.out.splitlines() == [sq(A), "ref:a"]


def test_translate_takes_ids_from_a_file_and_tabs_tell_them_apart(
    cli: Cli, loaded: Result, tmp_path: Path
) -> None:
    names = tmp_path / "names"
    names.write_text("b\n\na\nb\n")
    expected = [f"b\t{sq(B)}", f"a\t{sq(A)}", f"b\t{sq(B)}"]
    assert ok(cli("translate", "--to", "ga4gh", "--from", names)).out.splitlines() == expected
    tabbed = ok(cli("translate", "--to", "ga4gh", "--tab", "b", "a", "b"))
    assert tabbed.out.splitlines() == expected
    lines = json_lines(cli("--json", "translate", "--to", "ga4gh", "b", "a"))
    assert lines == [{"id": "b", "names": [sq(B)]}, {"id": "a", "names": [sq(A)]}]


def test_translate_of_what_has_no_such_name_is_not_found(cli: Cli, loaded: Result) -> None:
    refused(cli("translate", "ref:a", "--to", "ensembl"), 3, "ref:a", "ensembl")
    refused(cli("translate", "ref:absent"), 3, "ref:absent")
    refused(cli("translate", "ref:a", "--to", "sha256"), 3, "sha256")


# --- export -----------------------------------------------------------------------------------


def test_export_writes_each_sequence_once_in_the_order_asked_under_all_its_names(
    cli: Cli, loaded: Result, tmp_path: Path
) -> None:
    ok(cli("load", "-n", "Alt", write_fasta(tmp_path / "x.fa", {"a2": A, "zz": A, "b2": B})))
    one = (f"{sq(A)} Alt:a2 Alt:zz ref:a", A)
    two = (f"{sq(B)} Alt:b2 ref:b", B)
    asked = ok(cli("export", "ref:b", "Alt:zz", computed(A)[1], "ref:a", "Alt:b2"))
    assert parse_fasta(asked.out) == [two, one]
    assert parse_fasta(ok(cli("export", "--namespace", "alt")).out) == [one, two]
    everything = [one, two, (f"{sq(RING)} ref:ring", RING), (f"{sq(PROT)} ref:prot", PROT)]
    assert parse_fasta(ok(cli("export")).out) == everything
    names = tmp_path / "names"
    names.write_text("ref:b\nref:a\n")
    assert parse_fasta(ok(cli("export", "--from", names)).out) == [two, one]


def test_export_prints_json_lines(cli: Cli, tmp_path: Path) -> None:
    records = {'x "first"': "ACgtn", "h\u00e9": "", "z": "TT"}
    file = write_fasta(tmp_path / "x.fa", records, width=2)
    ok(cli("load", "-n", "x", "--keep-mask", "--collection", "x:all", file))
    lines = json_lines(ok(cli("export", "--json", "--collection", "x:all")))
    assert [line["defline"] for line in lines] == list(records)
    assert [line["sequence"] for line in lines] == list(records.values())
    assert [line["id"] for line in lines] == ["x", "h\u00e9", "z"]
    (line,) = json_lines(ok(cli("--json", "export", "x:x")))
    digest = sha512t24u("ACGTN")
    assert line == {
        "id": f"ga4gh:SQ.{digest}",
        "defline": f"ga4gh:SQ.{digest} x:x",
        "digest": digest,
        "sequence": "ACGTN",
    }
    assert len(json_lines(ok(cli("export", "--json")))) == 3


def test_export_of_a_name_that_is_not_there_prints_nothing(cli: Cli, loaded: Result) -> None:
    refused(cli("export", "ref:a", "ref:absent"), 3, "ref:absent")
    refused(cli("export", "--namespace", "absent"), 3, "absent", "ref")


def test_an_export_loaded_into_an_empty_archive_is_the_same_archive(
    cli: Cli, loaded: Result, tmp_path: Path
) -> None:
    odd = {"Wuhan/Hu-1/2019": "ACG", "HLA-A*01:01": "CGT", "sp|P12345|X_HUMAN text": "MK"}
    odd |= {"empty": "", "näme#1": "GGG", "x:1-3": "TTT"}
    ok(cli("load", "-n", "Odd", write_fasta(tmp_path / "x.fa", odd)))
    replaced = write_fasta(tmp_path / "y.fa", {"b": "CCC"})
    ok(cli("load", "-n", "ref", "--on-conflict", "replace", replaced))
    exported = ok(cli("export")).out
    copy = tmp_path / "copy"
    again = cli("--root", copy, "load", "--namespace", "other", "-", stdin=exported.encode())
    assert ok(again).err == ""
    assert ok(cli("--root", copy, "export")).out == exported
    assert ok(cli("--root", copy, "export-aliases")).out == ok(cli("export-aliases")).out
    assert "other" not in json_of(cli("--root", copy, "--json", "status"))["namespaces"]
    assert sq(B) in exported  # a sequence that has lost its last name is not lost


def test_an_export_that_somebody_changed_is_refused(cli: Cli, loaded: Result) -> None:
    changed = ok(cli("export", "ref:a")).out.replace("ACGTACGTAA", "ACGTACGTAT")
    result = cli("load", "--namespace", "other", "-", stdin=changed.encode())
    refused(result, 5, "standard input, line 1", sha512t24u(A), sha512t24u("ACGTACGTAT"))


# --- export-aliases, import-aliases -----------------------------------------------------------


def test_export_aliases_writes_a_table_that_import_aliases_takes_in(
    cli: Cli, loaded: Result, source: Path, tmp_path: Path
) -> None:
    ok(cli("load", "-n", "Alt", write_fasta(tmp_path / "x.fa", {"a#2": A, "a2": A})))
    table = ok(cli("export-aliases")).out
    assert table.splitlines() == [
        "namespace\talias\tsequence",
        *(
            f"{namespace}\t{alias}\t{sq(text)}"
            for alias, namespace, text in (
                ("a", "ref", A),
                ("a#2", "Alt", A),
                ("a2", "Alt", A),
                ("b", "ref", B),
                ("prot", "ref", PROT),
                ("ring", "ref", RING),
            )
        ),
    ]
    copy = tmp_path / "copy"
    ok(cli("--root", copy, "load", "-n", "ref", source))
    report = json_of(cli("--root", copy, "--json", "import-aliases", "-", stdin=table.encode()))
    assert (report["rows"], report["aliases_added"], report["aliases_known"]) == (6, 2, 4)
    assert (report["batch"], report["source"]) == (2, "standard input")
    assert ok(cli("--root", copy, "export-aliases")).out == table


def test_export_aliases_selects_by_namespace_and_by_wildcards(
    cli: Cli, loaded: Result, tmp_path: Path
) -> None:
    ok(cli("load", "-n", "Alt", write_fasta(tmp_path / "x.fa", {"a2": A, "b%": B})))

    def names(*options: str) -> list[str]:
        lines = ok(cli("export-aliases", *options)).out.splitlines()[1:]
        return [":".join(line.split("\t")[:2]) for line in lines]

    assert names("--namespace", "ALT") == ["Alt:a2", "Alt:b%"]
    assert names("--glob", "a*") == ["ref:a", "Alt:a2"]
    assert names("--glob", "b?") == ["Alt:b%"]
    assert names("--glob", "%") == []
    assert names("--namespace", "ref", "--glob", "r*") == ["ref:ring"]
    refused(cli("export-aliases", "--namespace", "absent"), 3, "absent")
    lines = json_lines(cli("--json", "export-aliases", "-n", "alt"))
    assert lines[0] == {"namespace": "Alt", "alias": "a2", "sequence": sq(A)}
    assert len(lines) == 2


def test_what_changes_nothing_is_no_batch(cli: Cli, loaded: Result, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    nothing.write_text("")
    assert ok(cli("import-aliases", nothing)).out.startswith("nothing written: 0 rows: ")
    assert ok(cli("digests", "add", "sha256")).out == "batch 2: sha256 of 4 sequences added\n"
    assert ok(cli("digests", "add", "sha256")).out.startswith("nothing to do: ")
    assert json_of(cli("--json", "digests", "add", "sha256"))["batch"] is None
    assert len(json_lines(cli("--json", "log"))) == 2


def test_import_aliases_is_all_or_nothing_and_says_where(
    cli: Cli, loaded: Result, tmp_path: Path
) -> None:
    table = tmp_path / "names.tsv"
    for bad, code, word in (
        ("x\tlater\tref:absent", 3, "ref:absent"),
        ("x\tlater", 5, "three columns"),
        ("x\tlater\tref:a\tref:b", 5, "three columns"),
        ("x\ta b\tref:a", 5, "white space"),
        ("md5\tlater\tref:a", 5, "computed"),
        ("ref\tb\tref:a", 4, "ref:b"),
    ):
        table.write_text(f"# new names\n\nx\tfirst\tref:a\n{bad}\n")
        refused(cli("import-aliases", table), code, f"{table}, line 4", word)
        refused(cli("get", "x:first"), 3)
    assert len(json_lines(cli("--json", "log"))) == 1


def test_import_aliases_settles_conflicts_and_runs_dry_as_load_does(
    cli: Cli, root: Path, loaded: Result, tmp_path: Path
) -> None:
    table = tmp_path / "names.tsv"
    table.write_text(f"ref\tb\tref:a\nnew\tname\t{computed(A)[1]}\n")
    dry = ["import-aliases", "--dry-run", "--on-conflict", "replace", str(table)]
    before = contents(root)
    dry_report = json_of(cli("--json", *dry))
    assert contents(root) == before
    assert (dry_report["batch"], dry_report["aliases_moved"]) == (None, 1)
    assert "dry run" in ok(cli(*dry)).out
    kept = json_of(cli("--json", "import-aliases", "--on-conflict", "keep", table))
    assert (kept["aliases_added"], kept["aliases_kept"], len(kept["conflicts"])) == (1, 1, 1)
    assert ok(cli("get", "ref:b", "new:name")).out == f"{B}\n{A}\n"
    moved = json_of(cli("--json", "import-aliases", "--on-conflict", "replace", table))
    assert (moved["aliases_moved"], moved["aliases_known"]) == (1, 1)
    assert ok(cli("get", "ref:b")).out == A + "\n"


# --- status, log ------------------------------------------------------------------------------


def test_status_counts_what_there_is(cli: Cli, root: Path, loaded: Result) -> None:
    status = json_of(cli("--json", "status"))
    (shard,) = shards(root)
    indexes = [shard.with_name(shard.name + suffix) for suffix in (".fai", ".gzi")]
    expected = {
        "root": str(root),
        "instance": "master",
        "sequences": 4,
        "residues": 32,
        "aliases": 4,
        "ended_aliases": 0,
        "collections": 1,
        "batches": 1,
        "shards": 1,
        "shard_bytes": shard.stat().st_size,
        "index_bytes": sum(path.stat().st_size for path in indexes),
        "namespaces": {"ref": 4},
        "digests": ["sha512t24u", "md5", "sha1"],
    }
    assert {name: status[name] for name in expected} == expected
    assert status["database_bytes"] >= (root / "master" / "aliases.sqlite3").stat().st_size
    assert len(status["archive_id"]) == 36
    text = ok(cli("status")).out
    assert f"{root}, instance master" in text
    assert "4 (32 residues)" in text
    assert "collections 1\n" in text
    # Names of collections are no aliases of sequences.
    (collection,) = json_lines(cli("--json", "collection", "list"))
    ok(cli("collection", "name", collection["digest"], "refgenie:four"))
    assert "refgenie" not in ok(cli("status")).out


def test_names_of_files_forge_no_lines(cli: Cli, tmp_path: Path) -> None:
    name = "a\nbatch 9  forged\x1b[31m.fa"
    file = write_fasta(tmp_path / name, {"x": "ACGT"})
    assert cli("load", "-n", "t", file).code == 0
    for words in (["log"], ["collection", "list"]):
        said = cli(*words).out
        assert r"a\nbatch 9  forged\x1b[31m.fa" in said, said
        assert said.replace("\n", "").isprintable()
    (source,) = json.loads(cli("--json", "log").out)["sources"]
    assert source["name"].endswith(name)


def test_verify_of_a_refget_store_names_what_looks_at_one(
    cli: Cli, loaded: Result, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    assert cli("export-rgstore", store).code == 0
    refused(cli("--root", store, "verify"), 3, f"`seqarchive verify-rgstore {store}`")


def test_log_numbers_batches_and_names_their_sources(
    cli: Cli, loaded: Result, source: Path, tmp_path: Path
) -> None:
    table = tmp_path / "names.tsv"
    table.write_text("x\tnew\tref:a\n")
    ok(cli("import-aliases", table))
    ok(cli("digests", "add", "sha256"))
    batches = json_lines(cli("--json", "log"))
    assert [batch["batch"] for batch in batches] == [1, 2, 3]
    assert all(type(batch["batch"]) is int for batch in batches)
    assert [batch["kind"] for batch in batches] == ["load", "import-aliases", "digests"]
    assert batches[0]["sources"] == [
        {
            "name": str(source),
            "bytes": source.stat().st_size,
            "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
            "format": "fasta",
            "compression": "none",
            "records": 4,
        }
    ]
    assert (batches[0]["n_records"], batches[0]["n_sequences"]) == (4, 4)
    assert (batches[0]["namespace"], batches[0]["version"]) == ("ref", __version__)
    assert batches[0]["host"] == os.uname().nodename
    assert re.match(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z", batches[0]["created"])
    assert batches[1]["n_aliases"] == 1
    people = ok(cli("log")).out
    assert [line for line in people.splitlines() if not line.startswith(" ")] == [
        line for line in people.splitlines() if line.startswith("batch ")
    ]
    assert str(source) in people


def test_refused_changes_leave_no_batch_and_no_gap_in_the_numbers(
    cli: Cli, loaded: Result, source: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.fa"
    bad.write_text(">x\n!\n")
    assert cli("load", "-n", "x", bad).code == 5
    ok(cli("load", "--dry-run", "-n", "x", source))
    assert json_of(cli("--json", "load", "-n", "x", source))["batch"] == 2
    assert [batch["batch"] for batch in json_lines(cli("--json", "log"))] == [1, 2]


# --- verify, repair ---------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--full"]])
def test_verify_of_a_sound_archive_finds_nothing(
    cli: Cli, loaded: Result, options: list[str]
) -> None:
    report = json_of(cli("--json", "verify", *options))
    assert report.pop("seconds") >= 0
    assert report == {
        "full": bool(options),
        "ok": True,
        "shards": 1,
        "sequences": 4,
        "residues": 32,
        "findings": [],
        "left_over": [],
    }
    assert ok(cli("verify", *options)).out.endswith("no damage\n")


@pytest.mark.parametrize("suffix", [".fai", ".gzi"])
def test_a_lost_index_is_found_by_verify_and_rebuilt_by_repair(
    cli: Cli, root: Path, loaded: Result, suffix: str
) -> None:
    (shard,) = shards(root)
    index = shard.with_name(shard.name + suffix)
    sound = index.read_bytes()
    index.unlink()
    found = cli("verify")
    assert found.code == 6
    assert index.name in found.out
    repaired = json_of(cli("--json", "repair"))
    assert [Path(path).name for path in repaired["rebuilt"]] == [index.name]
    assert repaired["not_repaired"] == []
    assert index.read_bytes() == sound
    ok(cli("verify", "--full"))
    assert ok(cli("repair")).out == "nothing to repair\n"


def test_what_an_interrupted_load_left_is_no_damage_and_goes_with_the_next_write(
    cli: Cli, root: Path, loaded: Result, tmp_path: Path
) -> None:
    left = root / "master" / "tmp" / "9.fa.bgz"
    left.write_bytes(b"unfinished")
    assert "left over: tmp/9.fa.bgz" in ok(cli("verify")).out
    assert json_of(cli("--json", "verify"))["left_over"] == ["tmp/9.fa.bgz"]
    ok(cli("load", "-n", "x", write_fasta(tmp_path / "x.fa", {"x": "ACG"})))
    assert not left.exists()
    assert "left over" not in ok(cli("verify")).out


def test_a_lost_shard_is_found_and_cannot_be_repaired(cli: Cli, root: Path, loaded: Result) -> None:
    (shard,) = shards(root)
    shard.unlink()
    found = cli("--json", "verify")
    assert found.code == 6
    assert [finding["kind"] for finding in json.loads(found.out)["findings"]] == ["missing"]
    remains = cli("repair")
    assert remains.code == 6
    assert f"not repaired: sequences/{shard.relative_to(root / 'master' / 'sequences')}" in (
        remains.out
    )
    refused(cli("get", "ref:a"), 6, str(shard))


# --- digests ----------------------------------------------------------------------------------


def test_sha256_is_filled_for_what_is_there_and_kept_for_what_comes(
    cli: Cli, loaded: Result, tmp_path: Path
) -> None:
    def sha256(residues: str) -> str:
        return hashlib.sha256(residues.encode()).hexdigest()

    refused(cli("get", f"sha256:{sha256(A)}"), 3, "digests add sha256")
    assert json_of(cli("--json", "digests", "list")) == ["sha512t24u", "md5", "sha1"]
    report = json_of(cli("--json", "digests", "add", "sha256"))
    assert report == {"batch": 2, "algorithm": "sha256", "added": 4}
    assert ok(cli("digests", "list")).out.split() == ["sha512t24u", "md5", "sha1", "sha256"]
    records = {"new": "CCCC", "long": "ACGTA" * 300_000, "none": ""}
    ok(cli("load", "-n", "x", write_fasta(tmp_path / "x.fa", records)))
    for residues in (A, B, RING, PROT, *records.values()):
        assert ok(cli("get", f"sha256:{sha256(residues)}")).out == residues + "\n"
        assert ok(cli("get", sha256(residues))).out == residues + "\n"
    to = ok(cli("translate", "ref:a", "x:new", "--to", "sha256"))
    assert to.out.splitlines() == [f"sha256:{sha256(A)}", f"sha256:{sha256('CCCC')}"]
    assert json_of(cli("--json", "digests", "add", "sha256"))["added"] == 0
    ok(cli("verify", "--full"))


# --- missing ----------------------------------------------------------------------------------


def test_missing_prints_the_ids_that_are_not_there(
    cli: Cli, loaded: Result, tmp_path: Path
) -> None:
    wanted = tmp_path / "ids.txt"
    wanted.write_text(f"a\nref:a\n\nNM_9.9\n{A}\nref:zzz\n")
    result = cli("missing", "--namespace", "ref", "--from", wanted, "ref:a", "other:a")
    assert result.code == 3
    assert result.out == f"other:a\nNM_9.9\n{A}\nref:zzz\n"
    assert result.err == "seqarchive: 4 of 7 IDs missing\n"
    found = json_of(cli("--json", "missing", "ref:a"))
    assert found == {"asked": 1, "missing": [], "ambiguous": []}


def test_an_ambiguous_id_is_not_missing(cli: Cli, loaded: Result, tmp_path: Path) -> None:
    other = write_fasta(tmp_path / "other.fa", {"a": "CCCC"})
    ok(cli("load", "--namespace", "other", other))
    result = cli("missing", "a")
    assert (result.code, result.out) == (0, "")
    assert "several" in result.err
