"""What is large costs what is small costs, so many times: in order, in bounded memory, once.

Thresholds are lowered where a test would otherwise need millions of sequences; with the environment
variable SEQARCHIVE_ALL_FAULTS the memory of a load is looked at with hundreds of thousands.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import Cli
from helpers import sha512t24u, write_fasta
from hypothesis import given, settings
from hypothesis import strategies as st

from seqarchive import batches, connect, new_aliases, schema, staged
from seqarchive.database import Database
from seqarchive.instances import Instance
from seqarchive.new_sequences import NewSequence, NewSequences
from seqarchive.rgstore.exporting import export_rgstore
from seqarchive.rgstore.places import DirectoryPlace
from seqarchive.seqcol.sorting import SortedTexts
from seqarchive.server.collections import _page_of

#: Whether there is time for what is large.
ALL = bool(os.environ.get("SEQARCHIVE_ALL_FAULTS"))

TO_LETTERS = str.maketrans("0123456789abcdef", "ACDEFGHIKLMNPQRS")

#: Loads a file and prints the peak of the largest process, which begins with what its parent had.
LAUNCHER = """
import json, resource, subprocess, sys
load = [sys.executable, "-m", "seqarchive", "--root", sys.argv[1], "-q", "load", "-n", "refseq"]
subprocess.run([*load, sys.argv[2]], check=True)
print(json.dumps(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000))
"""

CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


# --- a large batch ----------------------------------------------------------------------------


@pytest.fixture
def lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is large with its fifth row, and what waits is merged several times."""
    lower(monkeypatch)


def lower(monkeypatch: pytest.MonkeyPatch, digests: int = 6) -> None:
    """The same, with so many digests that are kept in memory."""
    monkeypatch.setattr(new_aliases, "_MANY", 5)
    monkeypatch.setattr(staged, "_ALIASES", 7)
    monkeypatch.setattr(staged, "_RECENT", digests)
    monkeypatch.setattr(staged.StagedAliases, "_worth_it", lambda _self: 7)


class Load(NamedTuple):
    """Files, each some records: names and residues."""

    files: list[list[tuple[list[str], str]]]
    on_conflict: str


def some_loads(seed: int) -> list[Load]:
    """Loads whose names and residues come again within a file, a load and later ones."""
    source = random.Random(seed)
    residues = ["".join(source.choices("ACGT", k=20 + n)) for n in range(40)]
    names = [f"{source.randrange(10**6)}.{n}" for n in range(60)]
    loads = []
    for on_conflict in ("keep", "replace", "replace"):
        files = [
            [
                (source.sample(names, source.randrange(1, 4)), source.choice(residues))
                for _ in range(source.randrange(8, 30))
            ]
            for _ in range(3)
        ]
        loads.append(Load(files, on_conflict))
    return loads


def load_all(cli: Cli, directory: Path, loads: list[Load]) -> list[dict[str, object]]:
    """Load everything, one batch after another; the reports, less what differs by itself."""
    reports = []
    for n, (files, on_conflict) in enumerate(loads):
        paths = [
            write_fasta(
                directory / f"{n}-{m}.fa",
                [("|".join(f"gnl|t|{name}" for name in names), text) for names, text in records],
            )
            for m, records in enumerate(files)
        ]
        done = cli("--json", "load", "-n", "t", "--on-conflict", on_conflict, *paths)
        assert done.code == 0, done.err
        report = json.loads(done.out)
        del report["seconds"]
        reports.append(report)
    return reports


class Model:
    """What is expected, worked out record by record."""

    def __init__(self) -> None:
        self.sequences: list[str] = []
        self.meanings: dict[str, str] = {}
        self.counts: list[tuple[int, int, int, int]] = []

    def load(self, load: Load) -> None:
        added = known = moved = kept = 0
        for records in load.files:
            for names, residues in records:
                if residues not in self.sequences:
                    self.sequences.append(residues)
                for name in names:
                    if name not in self.meanings:
                        added += 1
                        self.meanings[name] = residues
                    elif self.meanings[name] == residues:
                        known += 1
                    elif load.on_conflict == "keep":
                        kept += 1
                    else:
                        moved += 1
                        self.meanings[name] = residues
        self.counts.append((added, known, moved, kept))


def rows_of(root: Path) -> dict[str, list[tuple[object, ...]]]:
    """All that the database has, but for what is new in every load."""
    with closing(sqlite3.connect(root / "master" / "aliases.sqlite3")) as connection:
        tables = ("sequences", "aliases", "ended_aliases", "records", "namespaces", "collections")
        return {
            table: sorted(connection.execute(f"SELECT * FROM {table}"), key=repr)
            for table in tables
        }


@pytest.mark.usefixtures("lowered")
@pytest.mark.parametrize("seed", range(4))
def test_a_large_batch_is_what_its_records_say_one_by_one(
    cli: Cli, root: Path, tmp_path: Path, seed: int
) -> None:
    loads, model = some_loads(seed), Model()
    for one in loads:
        model.load(one)
    reports = load_all(cli, tmp_path, loads)
    keys = ("aliases_added", "aliases_known", "aliases_moved", "aliases_kept")
    assert [tuple(report[key] for key in keys) for report in reports] == model.counts
    with connect(root) as archive:
        assert [one.digest for one in archive.sequences()] == list(
            map(sha512t24u, model.sequences)
        )
        for name, residues in model.meanings.items():
            assert archive.fetch(f"t:{name}") == residues
    assert cli("verify", "--full").code == 0
    with closing(sqlite3.connect(root / "master" / "aliases.sqlite3")) as connection:
        assert schema.problems(connection) == []


def test_a_large_batch_is_row_for_row_what_a_small_one_is(
    cli: Cli, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids, the history of names and the words about conflicts included. Only the table says what
    came first: a small batch looks at names after each file, a large one whenever it likes."""
    loads = some_loads(9)
    one_file = [Load([list(chain(*load.files))], load.on_conflict) for load in loads]
    small = load_all(cli, tmp_path, one_file), rows_of(root)
    shutil.rmtree(root)
    lower(monkeypatch)
    large = load_all(cli, tmp_path, one_file), rows_of(root)
    assert large[1] == small[1]
    for ours, theirs in zip(large[0], small[0], strict=True):
        assert ours.pop("conflicts") == theirs.pop("conflicts")
        assert {**ours, "files": 0} == {**theirs, "files": 0}


@pytest.mark.usefixtures("lowered")
def test_a_conflict_in_a_large_batch_leaves_nothing_of_it(
    cli: Cli, root: Path, tmp_path: Path
) -> None:
    first = write_fasta(tmp_path / "1.fa", [(f"n{n}", "ACGT" * (n + 1)) for n in range(20)])
    assert cli("load", "-n", "t", first).code == 0
    before = rows_of(root)
    second = [(f"m{n}", "GGCA" * (n + 1)) for n in range(40)] + [("n3", "TTTT")]
    path = write_fasta(tmp_path / "2.fa", second)
    line = path.read_text().split("\n").index(">n3") + 1
    done = cli("load", "-n", "t", path)
    assert done.code == 4
    assert f"2.fa, line {line}: t:n3 is SQ.{sha512t24u('TTTT')} here" in done.err
    assert rows_of(root) == before
    assert len(list(root.rglob("*.fa.bgz"))) == 1
    assert cli("verify").code == 0


@pytest.mark.parametrize("digests", [1, 3, 6, 10**6])
def test_what_a_batch_adds_is_known_to_the_rest_of_it(
    cli: Cli, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digests: int
) -> None:
    """Its residues under other names, its file once more, and the words of a conflict about it."""
    first = write_fasta(tmp_path / "0.fa", {"old": "TTTT"})
    assert cli("load", "-n", "t", first).code == 0
    lower(monkeypatch, digests)
    texts = {f"n{n}": "ACGT" * (n + 1) for n in range(12)}
    some, others, rest = (dict(list(texts.items())[at : at + 4]) for at in (0, 4, 8))
    contents = [some, others, others, {"n7": "TTTT"}, rest]
    contents.append({f"again-{name}": text for name, text in texts.items()})
    files = [write_fasta(tmp_path / f"{n}.fa", one) for n, one in enumerate(contents, 1)]
    done = cli("--json", "load", "-n", "t", "--on-conflict", "keep", *files)
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert (report["sequences_added"], report["sequences_known"]) == (12, 4 + 1 + 12)
    assert report["aliases_added"] == 24
    old, new = sha512t24u(texts["n7"]), sha512t24u("TTTT")
    (conflict,) = report["conflicts"]
    assert f"t:n7 is SQ.{new} here but SQ.{old} in this load" in conflict
    assert cli("verify", "--full").code == 0
    with connect(root) as archive:
        assert {name: archive.fetch(f"t:{name}") for name in texts} == texts
        assert {name: archive.fetch(f"t:again-{name}") for name in texts} == texts


def in_memory(*statements: str) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute(
        "CREATE TABLE aliases (alias TEXT, namespace_id INT, sequence_id INT, batch_id INT,"
        " PRIMARY KEY (alias, namespace_id)) WITHOUT ROWID"
    )
    connection.execute("CREATE TABLE sequences (id INTEGER PRIMARY KEY, digest BLOB)")
    for statement in statements:
        connection.execute(statement)
    return connection


def test_names_in_no_order_reach_their_tree_in_its_order() -> None:
    source = random.Random(1)
    names = [str(source.randrange(10**9)) for _ in range(500)]
    connection = in_memory(
        "CREATE TABLE seen (alias TEXT)",
        "CREATE TRIGGER see AFTER INSERT ON aliases"
        " BEGIN INSERT INTO seen VALUES (NEW.alias); END",
    )
    connection.execute("BEGIN")
    waiting = staged.StagedAliases(connection)
    waiting.add([(name, 1, n, "f", n) for n, name in enumerate(names)])
    assert not connection.execute("SELECT 1 FROM seen").fetchall()
    assert waiting.merge(1) == len(set(names))
    seen = [alias for (alias,) in connection.execute("SELECT alias FROM seen ORDER BY rowid")]
    assert seen == sorted(set(names)) != names


def test_digests_reach_their_trees_in_the_order_of_these(monkeypatch: pytest.MonkeyPatch) -> None:
    """And are known before."""
    monkeypatch.setattr(staged, "_RECENT", 50)
    source = random.Random(2)
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(connection)
    connection.execute("CREATE TEMP TABLE seen (tree TEXT, digest BLOB)")
    for tree, column in schema.LOOK_UPS.items():
        connection.execute(
            f"CREATE TEMP TRIGGER see_{tree} AFTER INSERT ON {tree}"
            f" BEGIN INSERT INTO seen VALUES ('{tree}', NEW.{column}); END"
        )
    digests: list[bytes] = []
    for batch in (1, 2):
        connection.execute("BEGIN")
        new = NewSequences(connection, batch)
        before = len(digests)
        for _ in range(22):
            some = [source.randbytes(24) for _ in range(10)]
            new.add(
                NewSequence(new.new_id(), one, one[:16], one[4:], 1, 1, None, None) for one in some
            )
            digests += some
        strangers = [source.randbytes(24) for _ in range(5)]
        known = {digest: n for n, digest in enumerate(digests, 1)}
        assert new.find([*digests, *strangers]) == known
        assert connection.execute("SELECT count(*) FROM seen").fetchone() == (0,)
        new.finish()
        connection.execute("COMMIT")
        seen = connection.execute("SELECT tree, digest FROM seen ORDER BY rowid").fetchall()
        parts = {"by_digest": slice(24), "by_md5": slice(16), "by_sha1": slice(4, 24)}
        for tree, part in parts.items():
            assert [digest for of, digest in seen if of == tree] == sorted(
                digest[part] for digest in digests[before:]
            )
        assert new.find([*digests, *strangers]) == known
        connection.execute("DELETE FROM seen")


def test_the_log_of_a_large_batch_does_not_stay_while_somebody_reads(
    cli: Cli, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_LOG_BYTES", 1_000_000)
    texts = [f"{n:011b}".replace("0", "G").replace("1", "T") for n in range(2000)]
    records = [(f"n{n} {'x' * 3000}", text) for n, text in enumerate(texts)]
    assert cli("init").code == 0
    with connect(root) as reader:
        assert len(reader) == 0  # whoever reads keeps the log from being removed
        assert cli("load", "-n", "t", write_fasta(tmp_path / "1.fa", records)).code == 0
        log = root / "master" / "aliases.sqlite3-wal"
        assert log.stat().st_size > 5_000_000
        for n in range(2):
            one = write_fasta(tmp_path / f"one-{n}.fa", {f"one{n}": "TTTTT" + "A" * n})
            assert cli("load", "-n", "t", one).code == 0
        assert len(reader) == 2002
        assert log.stat().st_size <= 1_000_000


# --- counting ---------------------------------------------------------------------------------


def steps_of(database: Database, call: Callable[[], object]) -> int:
    """How much SQLite has to do for something, in its own unit."""
    n_steps = 0

    def one_more() -> int:
        nonlocal n_steps
        n_steps += 1
        return 0

    database.connection.set_progress_handler(one_more, 100)
    call()
    database.connection.set_progress_handler(None, 0)
    return n_steps


def forget_tally(root: Path) -> None:
    with closing(sqlite3.connect(root / "master" / "aliases.sqlite3")) as connection, connection:
        connection.execute("DELETE FROM meta WHERE key = 'tally'")


def test_aliases_are_counted_in_one_pass_however_many_namespaces_there_are(
    cli: Cli, root: Path, tmp_path: Path
) -> None:
    steps = {}
    for n_namespaces in (2, 40):
        shutil.rmtree(root, ignore_errors=True)
        names = [f"gnl|space{n % n_namespaces}|n{n}" for n in range(2000)]
        path = write_fasta(tmp_path / f"{n_namespaces}.fa", [(name, "ACGT") for name in names])
        assert cli("load", "-n", "t", path).code == 0
        each = {f"space{n}": 2000 // n_namespaces for n in range(n_namespaces)}
        with closing(Database.of(Instance(root))) as database:
            assert steps_of(database, database.namespaces) < 10  # nothing is counted
            assert dict(database.namespaces()) == each
        forget_tally(root)
        with closing(Database.of(Instance(root))) as database:
            steps[n_namespaces] = steps_of(database, database.namespaces)
            assert dict(database.namespaces()) == each
    assert steps[40] < 2 * steps[2]  # a look at each row for each namespace would be 20


def test_to_count_residues_no_sequence_is_looked_at(cli: Cli, root: Path, tmp_path: Path) -> None:
    texts = [f"{n:014b}".replace("0", "A").replace("1", "C") for n in range(3000)] + [""]
    path = write_fasta(tmp_path / "1.fa", [(f"n{n}", text) for n, text in enumerate(texts)])
    assert cli("load", "-n", "t", path).code == 0
    with closing(Database.of(Instance(root))) as database:
        counts = database.counts()
        assert steps_of(database, database.counts) < 5
    assert (counts["sequences"], counts["residues"]) == (3001, 14 * 3000)
    more = write_fasta(tmp_path / "2.fa", {"m": "GGGG"})
    assert cli("load", "-n", "t", more).code == 0
    with closing(Database.of(Instance(root), 1)) as database:
        assert database.counts()["residues"] == 14 * 3000
    assert json.loads(cli("--json", "status").out)["residues"] == 14 * 3000 + 4


# --- memory -----------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)  # each goes through all 4,096 beginnings
@given(
    st.lists(st.text(CHARACTERS, min_size=4, max_size=4), max_size=60),
    st.integers(1, 20),
    st.integers(0, 60),
)
def test_texts_that_waited_in_a_file_come_back_in_order(
    texts: list[str], run: int, cut: int
) -> None:
    known = SortedTexts(4, run)
    known.add("".join(texts[:cut]).encode())
    known.add("".join(texts[cut:]).encode())
    expected = sorted(text.encode() for text in texts)
    for _ in range(2):
        assert [text for some in known for text in some] == expected


def test_a_load_of_many_short_sequences_needs_little_memory(root: Path, tmp_path: Path) -> None:
    """Enough of them that all waits that can wait, and is sorted; the largest process counts."""
    n_records = 400_000 if ALL else 12_000
    path = tmp_path / "many.fa"
    with open(path, "wb") as file:
        for n in range(n_records):
            digest = hashlib.sha512(b"%d" % n).hexdigest().translate(TO_LETTERS)
            file.write(b">gi|%d|ref|XP_%09d.1|\n%s\n" % (n * 7919 % 1_000_003, n, digest.encode()))
    command = [sys.executable, "-c", LAUNCHER, str(root), str(path)]
    done = subprocess.run(command, capture_output=True, check=True)
    peak_mb = json.loads(done.stdout.splitlines()[-1])
    assert peak_mb < 200
    with connect(root) as archive:
        assert len(archive) == n_records
        assert archive.find("gi:7919") == archive.find("refseq:XP_000000001.1")


def peak_of(call: Callable[[], object]) -> int:
    """The most bytes that Python and numpy held at a time, more than before."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_to_sort_digests_takes_no_more_memory_for_more_of_them() -> None:
    source = random.Random(3)
    texts = [sha512t24u(str(source.random())).encode() for _ in range(4000)]

    def sort(n: int) -> int:
        known = SortedTexts(32, run=4000)
        for _ in range(0, n, 4000):
            known.add(b"".join(texts))
        return sum(len(some) for some in known)

    assert sort(8000) == 8000  # numpy is imported once
    small, large = peak_of(lambda: sort(8000)), peak_of(lambda: sort(40_000))
    # What is 16 kB for each run of 128 kB here is that for each 3 MB in earnest.
    assert large - small < 8 * (16_384 + 2_000)
    assert large < 40_000 * 32 * 3 / 4


def test_aliases_of_a_store_are_written_as_they_come(
    cli: Cli, root: Path, tmp_path: Path
) -> None:
    """One sequence with 4,000 long names: 2 MB of text."""
    path = write_fasta(tmp_path / "1.fa", {"s": "ACGTACGT"})
    assert cli("load", "-n", "t", path).code == 0
    table = tmp_path / "names.tsv"
    table.write_text("".join(f"long\t{'x' * 500}{n}\tt:s\n" for n in range(4000)))
    assert cli("import-aliases", table).code == 0
    store = tmp_path / "store"
    export_rgstore(Instance(root), tmp_path / "first")  # what is imported late is there
    assert peak_of(lambda: export_rgstore(Instance(root), store)) < 1_000_000
    text = (store / "aliases" / "sequences" / "long.tsv").read_text()
    lines = text.splitlines()
    assert len(lines) == 4000 == len(set(lines))
    assert all(line.endswith(f"\t{sha512t24u('ACGTACGT')}") for line in lines)


def test_files_of_a_store_are_looked_at_when_it_is_their_turn(tmp_path: Path) -> None:
    for name in ("a/1", "b/2", "c/d/3", "c/4", "5"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    place = DirectoryPlace(tmp_path)
    assert set(place.paths()) == {"a/1", "b/2", "c/d/3", "c/4", "5"}
    assert set(place.paths("b", "c", "nothing")) == {"b/2", "c/d/3", "c/4"}
    paths = place.paths("a", "b", "c")
    assert next(paths) == "a/1"
    place.remove("a/1")
    (tmp_path / "c" / "4").unlink()
    assert list(paths) == ["b/2", "c/d/3"]
    assert not (tmp_path / "a").exists()


@settings(deadline=None)
@given(st.lists(st.text(max_size=3)), st.integers(0, 5), st.integers(1, 5))
def test_a_page_of_names_is_that_part_of_all(names: list[str], page: int, size: int) -> None:
    n_held = 0

    def come() -> Iterator[str]:
        nonlocal n_held
        for name in names:
            n_held += 1
            yield name

    assert _page_of(come(), page, size) == (names[page * size : (page + 1) * size], len(names))
    assert n_held == len(names)
