"""What changed between two states: the difference of two sets, however it is found."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import sqlite3
import tracemalloc
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import pytest
from conftest import Cli, Result
from contents import database, run
from helpers import sha512t24u, sq, write_fasta

import seqarchive
from seqarchive import Archive, commands, diffs
from seqarchive.database import Database
from seqarchive.diffs import Change, State
from seqarchive.instances import Instance
from seqarchive.reclaiming import reclaim

#: A change without its class: kind, name, digest before, digest after, length.
Row = tuple[str, str | None, str | None, str | None, int | None]


@dataclass
class Facts:
    """Two sets: names with digests, and digests with lengths."""

    names: dict[str, str]
    sequences: dict[str, int]


def read(root: Path, instance: str = "master", at: int | str | None = None) -> Facts:
    """A state, as whoever opens it would read it."""
    with Archive(root, instance, at=at) as archive:
        return Facts(
            {str(alias): digest for alias, digest in archive.all_aliases()},
            {one.digest: len(one) for one in archive.sequences()},
        )


def difference(before: Facts, after: Facts) -> set[Row]:
    """What is in one and not in the other."""
    found: set[Row] = set()
    for digest in before.sequences.keys() ^ after.sequences.keys():
        if digest in after.sequences:
            found.add(("sequence added", None, None, digest, after.sequences[digest]))
        else:
            found.add(("sequence removed", None, digest, None, before.sequences[digest]))
    for name in before.names.keys() | after.names.keys():
        was, became = before.names.get(name), after.names.get(name)
        if was is None:
            found.add(("alias added", name, None, became, None))
        elif became is None:
            found.add(("alias retired", name, was, None, None))
        elif was != became:
            found.add(("alias moved", name, was, became, None))
    return found


def rows(changes: Iterable[Change]) -> set[Row]:
    """Changes as a set; none may come twice."""
    listed = [
        (one.kind, None if one.alias is None else str(one.alias), one.before, one.after, one.length)
        for one in changes
    ]
    assert len(set(listed)) == len(listed)
    return set(listed)


def turned(found: set[Row]) -> set[Row]:
    """The same changes the other way round."""
    kinds = {
        "sequence added": "sequence removed",
        "sequence removed": "sequence added",
        "alias added": "alias retired",
        "alias retired": "alias added",
        "alias moved": "alias moved",
    }
    return {
        (kinds[kind], name, after, before, length) for kind, name, before, after, length in found
    }


def compared(first: State, second: State) -> set[Row]:
    """By comparing all that there is."""
    with (
        closing(Database.of(first.instance, first.batch)) as one,
        closing(Database.of(second.instance, second.batch)) as other,
    ):
        return rows(diffs._compare(one, other))


def between(first: State, second: State) -> set[Row]:
    """By what the batches between them did."""
    older, newer = sorted((first, second), key=lambda state: state.batch)
    with closing(Database.of(newer.instance)) as one:
        found = rows(diffs._between(one, older.batch, newer.batch))
    return found if older is first else turned(found)


# --- an archive with a past --------------------------------------------------------------------

#: Of all that is in ``past``: how it can be called, and how it can be opened.
CALLED: dict[str, tuple[str, int | str | None]] = {
    "0": ("master", 0),
    "1": ("master", 1),
    "batch:2": ("master", 2),
    "3": ("master", 3),
    "5": ("master", 5),
    "batch:7": ("master", 7),
    "2024-01-04": ("master", 4),
    "2024-01-06T12:00:00Z": ("master", 6),
    "2024-01-06T12:59:59+02:00": ("master", 5),
    "early": ("early", None),
    "8": ("8", None),
    "batch:8": ("master", 8),
    "latest": ("end", None),
    "end": ("end", None),
    "master": ("master", None),
}


@dataclass
class Past:
    root: Path
    facts: dict[str, Facts] = field(default_factory=dict)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Past:
    """Names that come, move, go, come again, and move back; reverts; three releases."""
    directory = tmp_path_factory.mktemp("past")
    root = directory / "archive"
    text = {n: "ACGT" * n + "G" for n in range(12)}

    def load(records: Mapping[str, int], *options: str) -> list[str]:
        file = directory / f"{len(list(directory.iterdir()))}.fa"
        write_fasta(file, {name: text[n] for name, n in records.items()})
        return ["load", "-n", "n", "--on-conflict", "replace", *options, str(file)]

    steps = [
        load({"a": 1, "b": 2, "c": 3, "same.1": 1}),
        load({"a": 4, "d": 5, "b": 2}),
        ["alias", "retire", "n:b"],
        load({"a": 1, "c": 6, "e": 7}),
        ["revert", "4"],
        ["alias", "add", "n:c", "n:b", "m:b"],
        load({"a": 8, "A": 9, "ä": 10, "z": 0}),
        ["revert", "2", "--on-conflict", "keep"],
        ["revert", "8"],
        load({"d": 11, "last": 11}),
    ]
    snapshots = {3: "early", 6: "8", 9: "end"}
    for number, step in enumerate(steps, 1):
        code, err = run(root, "-q", *step)
        assert code == 0, err
        with closing(sqlite3.connect(database(root))) as connection, connection:
            created = f"2024-01-{number:02}T11:00:00Z"
            connection.execute("UPDATE batches SET created = ? WHERE id = ?", (created, number))
        if number in snapshots:
            assert run(root, "snapshot", snapshots[number])[0] == 0
    found = Past(root)
    for name, place in CALLED.items():
        found.facts[name] = read(root, *place)
    return found


def test_the_states_of_these_tests_differ(past: Past) -> None:
    facts = [json.dumps([one.names, sorted(one.sequences)]) for one in past.facts.values()]
    assert len(set(facts)) == 10  # the revert of the revert is as it was before both
    kinds = Counter(
        kind
        for one, other in itertools.permutations(past.facts.values(), 2)
        for kind, *_ in difference(one, other)
    )
    assert len(kinds) == 5
    assert past.facts["8"].names != past.facts["batch:8"].names  # a release comes first


@pytest.mark.parametrize("first", CALLED)
def test_a_diff_is_the_difference_of_two_states(past: Past, first: str) -> None:
    instance = Instance(past.root)
    for second in CALLED:
        states = diffs.state_of(instance, first), diffs.state_of(instance, second)
        expected = difference(past.facts[first], past.facts[second])
        assert rows(diffs.diff(*states)) == expected
        assert compared(*states) == expected
        assert between(*states) == expected
        assert turned(rows(diffs.diff(*reversed(states)))) == expected


@pytest.mark.parametrize(
    ("first", "second"),
    [("early", "latest"), ("latest", "early"), ("master", "0"), ("0", "master"), ("8", "batch:8"),
     ("2024-01-04", "batch:7"), ("2024-01-04", "2024-01-06T12:59:59+02:00"), ("end", "latest")],
)  # fmt: skip
def test_the_command_says_so(past: Past, first: str, second: str) -> None:
    expected = difference(past.facts[first], past.facts[second])
    code, out, err = ask(past.root, "diff", first, second)
    assert (code, err) == (0, "")
    old, new, *lines = out.splitlines()
    assert old == f"--- {described(past.root, first)}"
    assert new == f"+++ {described(past.root, second)}"
    assert sorted(lines[:-1]) == sorted(map(line_of, expected))
    counts = Counter(kind for kind, *_ in expected)
    assert lines[-1] == tally(counts)
    short = ask(past.root, "diff", "--summary", first, second)
    assert short == Result(0, "\n".join([old, new, lines[-1], ""]), "")
    documents = [json.loads(line) for line in ask(past.root, "--json", "diff", first, second).out
                 .splitlines()]  # fmt: skip
    assert documents.pop() == {"summary": dict(counts)}
    assert {json.dumps(one, sort_keys=True) for one in documents} == {
        json.dumps(document_of(row), sort_keys=True) for row in expected
    }
    assert len(documents) == len(expected)
    only = ask(past.root, "--json", "diff", "--summary", first, second)
    assert [json.loads(line) for line in only.out.splitlines()] == [{"summary": dict(counts)}]


def ask(root: Path, *arguments: str) -> Result:
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = commands.run(["--root", str(root), *arguments])
    return Result(code, out.getvalue(), err.getvalue())


def described(root: Path, text: str) -> str:
    instance, at = CALLED[text]
    name = instance if at is None else f"{text} of {instance}"
    with Archive(root, instance, at=at) as archive:
        batch = archive.at if archive.at is not None else archive.status()["batch"]
    return f"{name} (batch {batch})"


def line_of(row: Row) -> str:
    kind, name, before, after, length = row
    return {
        "sequence added": f"+ SQ.{after}  {length} residues",
        "sequence removed": f"- SQ.{before}  {length} residues",
        "alias added": f"+ {name}  SQ.{after}",
        "alias retired": f"- {name}  SQ.{before}",
        "alias moved": f"! {name}  SQ.{before} -> SQ.{after}",
    }[kind]


def document_of(row: Row) -> dict[str, object]:
    kind, name, before, after, length = row
    parts = {"alias": name, "from": before and f"SQ.{before}", "to": after and f"SQ.{after}"}
    found: dict[str, object] = {"change": kind}
    found |= {key: part for key, part in parts.items() if part is not None}
    return found if length is None else {**found, "length": length}


def tally(counts: Counter[str]) -> str:
    said = []
    for kind in sorted(counts):
        what, verb = kind.split()
        several = {"alias": "aliases", "sequence": "sequences"}[what]
        said.append(f"{counts[kind]} {what if counts[kind] == 1 else several} {verb}")
    return ", ".join(said) or "no difference"


@pytest.mark.parametrize(
    ("moment", "code"),
    [("11", 3), ("batch:99", 3), ("2024-13-01", 5), ("nonsense", 5), ("", 5), ("../early", 5)],
)
def test_what_is_no_state_is_refused(past: Past, moment: str, code: int) -> None:
    for pair in ((moment, "master"), ("early", moment)):
        answer = ask(past.root, "diff", *pair)
        assert (answer.code, answer.out) == (code, "")
        assert answer.err.startswith("seqarchive: ")
    assert ask(past.root, "diff", "early").code == 2


def test_moments_are_those_of_the_instance_that_is_asked(past: Past) -> None:
    answer = ask(past.root, "--instance", "early", "diff", "1", "3")
    assert answer.out.startswith("--- 1 of early (batch 1)\n+++ 3 of early (batch 3)\n")
    of_master = ask(past.root, "diff", "1", "3").out
    assert sorted(answer.out.splitlines()[2:]) == sorted(of_master.splitlines()[2:])
    assert ask(past.root, "--instance", "early", "diff", "1", "4").code == 3


def test_a_diff_goes_on_in_one_state_while_others_commit(cli: Cli, tmp_path: Path) -> None:
    texts = {f"x{n}": "ACGT" * n for n in range(1, 40)}
    assert cli("load", "-n", "n", write_fasta(tmp_path / "a.fa", texts)).code == 0
    root = tmp_path / "archive"
    instance = Instance(root)
    states = diffs.state_of(instance, "0"), diffs.state_of(instance, "1")
    expected = difference(read(root, at=0), read(root, at=1))
    for way in (diffs.diff(*states), diffs.diff(*reversed(states))):
        beginning = next(iter(way))
        assert cli("alias", "retire", "n:x7").code == 0
        assert cli("alias", "add", sq("ACGT"), "n:x7").code == 0
        found = rows([beginning, *way])
        assert found in (expected, turned(expected))
    assert rows(diffs.diff(*states)) == expected


# --- archives that have nothing to do with each other ------------------------------------------


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with three foreign snapshots in its root."""
    directory = tmp_path_factory.mktemp("strangers")
    dice = random.Random(5)
    texts = ["".join(dice.choices("ACGT", k=dice.randrange(30))) for _ in range(60)]
    names = [f"{letter}{n}" for letter in ("x", "X", "é", "z.", "\U0001f600") for n in range(12)]
    for number, name in enumerate(("ours", "theirs", "empty", "alike")):
        root = directory / name
        if name != "empty":
            for namespace in ("n", "m"):
                records = [(one, dice.choice(texts)) for one in dice.sample(names, 30)]
                file = write_fasta(directory / "x.fa", records)
                if name == "alike":  # the same as ours, loaded in another archive
                    file = directory / f"ours.{namespace}.fa"
                elif name == "ours":
                    shutil.copy(file, directory / f"ours.{namespace}.fa")
                assert run(root, "load", "-n", namespace, str(file))[0] == 0
        assert run(root, "snapshot", f"s{number}")[0] == 0
    for number, name in enumerate(("theirs", "empty", "alike"), 1):
        shutil.copytree(directory / name / f"s{number}", directory / "ours" / name)
    return directory / "ours"


@pytest.mark.parametrize("first", ["master", "s0", "1", "0", "theirs", "empty", "alike"])
def test_unrelated_archives_are_compared_as_sets(strangers: Path, first: str) -> None:
    facts = {
        "1": read(strangers, at=1),
        "0": read(strangers, at=0),
        **{name: read(strangers, name) for name in ("master", "s0", "theirs", "empty", "alike")},
    }
    instance = Instance(strangers)
    for second, fact in facts.items():
        states = diffs.state_of(instance, first), diffs.state_of(instance, second)
        expected = difference(facts[first], fact)
        assert rows(diffs.diff(*states)) == expected
        assert compared(*states) == expected
    assert difference(facts["master"], facts["alike"]) == set()
    assert len(difference(facts["master"], facts["theirs"])) > 20


def test_a_copy_that_went_another_way_is_compared_as_it_is(tmp_path: Path) -> None:
    """Two archives of one origin: the same number of a batch is not the same batch."""
    root, fork = tmp_path / "one", tmp_path / "fork"
    file = write_fasta(tmp_path / "a.fa", {"a": "ACGT", "b": "GGGG"})
    assert run(root, "load", "-n", "n", str(file))[0] == 0
    shutil.copytree(root, fork)
    assert run(root, "alias", "add", "n:a", "n:ours")[0] == 0
    assert run(root, "load", "-n", "n", str(write_fasta(tmp_path / "b.fa", {"c": "TTT"})))[0] == 0
    assert run(fork, "load", "-n", "n", str(write_fasta(tmp_path / "c.fa", {"d": "AAA"})))[0] == 0
    assert run(fork, "snapshot", "theirs")[0] == 0
    shutil.copytree(fork / "theirs", root / "theirs")
    expected = difference(read(root), read(root, "theirs"))
    assert len(expected) == 5
    states = [diffs.state_of(Instance(root), name) for name in ("master", "theirs")]
    assert rows(diffs.diff(*states)) == expected
    assert turned(rows(diffs.diff(*reversed(states)))) == expected


def test_a_copy_that_went_another_way_in_the_same_second_too(tmp_path: Path) -> None:
    """Even if the log of both reads the same."""
    root, fork = tmp_path / "one", tmp_path / "fork"
    file = write_fasta(tmp_path / "a.fa", {"a": "ACGT", "b": "GGGG"})
    assert run(root, "load", "-n", "n", str(file))[0] == 0
    shutil.copytree(root, fork)
    assert run(root, "alias", "add", "n:a", "n:ours")[0] == 0
    assert run(root, "alias", "add", "n:a", "n:more")[0] == 0
    assert run(fork, "alias", "add", "n:b", "n:theirs")[0] == 0
    for one in (root, fork):
        with closing(sqlite3.connect(database(one))) as connection, connection:
            connection.execute("UPDATE batches SET created = '2024-01-01T00:00:00Z'")
    assert run(fork, "snapshot", "theirs")[0] == 0
    shutil.copytree(fork / "theirs", root / "theirs")
    states = [diffs.state_of(Instance(root), name) for name in ("master", "theirs")]
    assert rows(diffs.diff(*states)) == difference(read(root), read(root, "theirs"))


def test_what_was_reclaimed_is_in_no_state(tmp_path: Path) -> None:
    """A state is what can be read of it; both ways of comparing agree on that."""
    root = tmp_path / "archive"
    for name, text in (("a", "ACGT"), ("b", "GGGG")):
        file = write_fasta(tmp_path / f"{name}.fa", {name: text, f"{name}2": text + "T"})
        assert run(root, "load", "-n", "n", str(file))[0] == 0
    assert run(root, "alias", "add", "n:b2", "n:kept")[0] == 0
    assert run(root, "revert", "2")[0] == 0
    assert reclaim(Instance(root)).sequences == 1
    moments = [str(n) for n in range(6)]
    facts = {moment: read(root, at=moment) for moment in moments}
    assert sha512t24u("GGGG") not in facts["2"].sequences
    states = {moment: diffs.state_of(Instance(root), moment) for moment in moments}
    for first, second in itertools.permutations(moments, 2):
        pair = states[first], states[second]
        expected = difference(facts[first], facts[second])
        assert compared(*pair) == expected
        assert rows(diffs.diff(*pair)) == expected


# --- much --------------------------------------------------------------------------------------

MANY = 50_000


def _many(root: Path, moved: bool) -> None:
    """Give many names, and move them all to another sequence, as tables would.

    Of each batch one name is imported, and the rows of the others are made as those of the one.
    """
    for batch, digest in enumerate([sq("ACGT"), sq("GGGG")][: 2 if moved else 1], 2):
        table = root.parent / "names.tsv"
        table.write_text(f"n\tname\t{digest}\n")
        assert run(root, "import-aliases", "--on-conflict", "replace", str(table))[0] == 0
        with closing(sqlite3.connect(database(root))) as connection, connection:
            numbers = [(f"name{n:06}", batch) for n in range(1, MANY)]
            if batch == 3:
                connection.executemany(
                    "INSERT INTO ended_aliases SELECT ?, namespace_id, sequence_id, from_batch,"
                    " to_batch FROM ended_aliases WHERE alias = 'name' AND to_batch = ?",
                    numbers,
                )
            connection.executemany(
                "INSERT OR REPLACE INTO aliases SELECT ?, namespace_id, sequence_id, batch_id"
                " FROM aliases WHERE alias = 'name' AND batch_id = ?",
                numbers,
            )


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1: two sequences; 2: 50,000 names of one; 3: now of the other. And a stranger with the
    first state of the names."""
    directory = tmp_path_factory.mktemp("many")
    file = write_fasta(directory / "a.fa", {"a": "ACGT", "b": "GGGG"})
    for name in ("ours", "theirs"):
        root = directory / name
        assert run(root, "load", "-n", "m", str(file))[0] == 0
        _many(root, moved=name == "ours")
    assert run(directory / "theirs", "snapshot", "s")[0] == 0
    shutil.copytree(directory / "theirs" / "s", directory / "ours" / "theirs")
    return directory / "ours"


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        ("1", "2", "alias added"),
        ("2", "1", "alias retired"),
        ("2", "3", "alias moved"),
        ("1", "master", "alias added"),
        ("theirs", "master", "alias moved"),
        ("1", "theirs", "alias added"),
    ],
)
def test_memory_does_not_grow_with_what_changed(
    many: Path, first: str, second: str, kind: str
) -> None:
    states = [diffs.state_of(Instance(many), text) for text in (first, second)]
    counts: Counter[str] = Counter()
    changes = diffs.diff(*states)
    counts[next(iter(changes)).kind] += 1
    tracemalloc.start()
    try:
        for change in changes:
            counts[change.kind] += 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert counts == {kind: MANY}
    assert peak < 500_000  # a list of them takes 20 MB


def test_a_reader_that_stops_early_is_no_problem(many: Path) -> None:
    states = [diffs.state_of(Instance(many), text) for text in ("theirs", "master")]
    changes = diffs.diff(*states)
    assert next(iter(changes)).kind == "alias moved"
    del changes
    with seqarchive.connect(many) as archive:
        archive.store("TTTT", ["n:new"])
        assert archive.fetch("n:new") == "TTTT"
        archive.retire(["n:new"])
