"""The past: every answer as it was after a batch, in a release, on a day; what every name ever
meant; and single names that are given and ended.

What is right is known from outside: either a model in Python that remembers the state after each
batch, or the very answers that were given when the batch was the last one.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import pickle
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli, Result
from helpers import computed, sha512t24u, sq, tree, write_fasta
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import seqarchive
from seqarchive import Archive, commands, diffs
from seqarchive.alias_tables import import_aliases
from seqarchive.identifiers import parse_alias
from seqarchive.instances import Instance
from seqarchive.new_aliases import OnConflict
from seqarchive.reclaiming import reclaim
from seqarchive.verifying import verify
from seqarchive.writing import initialise

# --- a model of the past ----------------------------------------------------------------------

#: Few, so that they meet again and again; ``Up`` and ``up`` are two aliases in one namespace.
NAMES = ["a:x", "a:Up", "a:up", "b:x", "b:NM_1.2"]
TEXTS = ["", "ACGT", "GGG", "TTTTTTTA", "ACGTN" * 30]

#: What is done: the kind, then pairs of a name and a text, a policy, a number, a mark.
Step = tuple[str, list[tuple[str, str]], str, int, bool]


@dataclass
class Model:
    """All states of an archive, one after each batch; the first is before the first batch.

    A sequence is a number: one that was reclaimed and comes again is another.
    """

    texts: list[str] = field(default_factory=list)
    born: list[int] = field(default_factory=list)
    """The batch that added a sequence."""
    gone: set[int] = field(default_factory=set)
    names: list[dict[str, int]] = field(default_factory=lambda: [{}])
    circular: list[frozenset[int]] = field(default_factory=lambda: [frozenset()])
    kinds: list[str] = field(default_factory=list)
    reverted: set[int] = field(default_factory=set)
    said: list[set[int]] = field(default_factory=lambda: [set()])
    """The sequences of which a batch said a name, new or not."""

    @property
    def last(self) -> int:
        """The last batch."""
        return len(self.kinds)

    def known(self, text: str) -> int | None:
        """The sequence of a text that is there now."""
        found = [n for n, one in enumerate(self.texts) if one == text and n not in self.gone]
        return found[0] if found else None

    def add(self, text: str) -> int:
        """The sequence of a text, which is added if it is not there."""
        found = self.known(text)
        if found is not None:
            return found
        self.texts.append(text)
        self.born.append(self.last + 1)
        return len(self.texts) - 1

    def commit(
        self, kind: str, names: dict[str, int], circular: set[int], said: set[int] | None = None
    ) -> None:
        """The state after one batch more."""
        self.kinds.append(kind)
        self.names.append(names)
        self.circular.append(frozenset(circular))
        self.said.append(said or set())

    def naming(self, pairs: Sequence[tuple[str, int]], policy: str) -> dict[str, int] | None:
        """What names mean after more were given; None if that is an error."""
        names = dict(self.names[-1])
        for name, sequence in pairs:
            if names.setdefault(name, sequence) == sequence or policy == "keep":
                continue
            if policy == "error":
                return None
            names[name] = sequence
        return names

    def changed(self, name: str, batch: int) -> bool:
        """Whether a batch changed what a name means."""
        return self.names[batch - 1].get(name) != self.names[batch].get(name)

    def reverting(self, batch: int, policy: str) -> tuple[dict[str, int], set[int]] | None:
        """What is so after a revert: names and circular marks; None if that is an error."""
        names = dict(self.names[-1])
        for name in NAMES:
            before, now = self.names[batch - 1].get(name), names.get(name)
            if not self.changed(name, batch) or before == now:
                continue
            later = any(self.changed(name, other) for other in range(batch + 1, self.last + 1))
            if later and policy == "error":
                return None
            if later and policy == "keep":
                continue
            if before is None:
                del names[name]
            else:
                names[name] = before
        circular = set(self.circular[-1])
        was, became = self.circular[batch - 1], self.circular[batch]
        for sequence in was ^ became:
            if all((sequence in then) == (sequence in became) for then in self.circular[batch:]):
                circular ^= {sequence}
        return names, circular

    def reclaimable(self) -> tuple[set[int], set[int]]:
        """What only reverted batches gave a name, and has none now; and what of it they alone
        spoke of: another may have found a sequence and its name there already."""
        needed = {*self.names[-1].values(), *self.gone}
        said = set[int]()
        for batch in range(1, self.last + 1):
            if batch not in self.reverted:
                said |= self.said[batch]
                needed |= {n for name, n in self.names[batch].items() if self.changed(name, batch)}
        unnamed = {n for n, born in enumerate(self.born) if born in self.reverted} - needed
        return unnamed, unnamed - said

    def state(self, batch: int) -> dict[str, str]:
        """Each name and its residues after a batch, as far as they are still there."""
        return {
            name: self.texts[sequence]
            for name, sequence in self.names[batch].items()
            if sequence not in self.gone
        }

    def sequences(self, batch: int) -> list[int]:
        """The sequences after a batch that are still there."""
        return [n for n, born in enumerate(self.born) if born <= batch and n not in self.gone]

    def meanings(self, name: str) -> list[tuple[bytes, int, int | None]]:
        """All that a name ever meant: digest, from which batch, until before which."""
        found: list[tuple[bytes, int, int | None]] = []
        for batch in range(1, self.last + 1):
            if not self.changed(name, batch):
                continue
            if found and found[-1][2] is None:
                found[-1] = (*found[-1][:2], batch)
            if name in self.names[batch]:
                text = self.texts[self.names[batch][name]]
                found.append((hashlib.sha512(text.encode()).digest()[:24], batch, None))
        return found


class World:
    """An archive, and the model of what it should be."""

    def __init__(self, directory: Path) -> None:
        self.instance = Instance(directory / "root")
        self.file = directory / "x.fa"
        initialise(self.instance)
        self.archive = seqarchive.connect(self.instance.root)
        self.model = Model()

    def do(self, step: Step) -> None:
        """One step, in both."""
        getattr(self, "_" + step[0])(*step[1:])

    def _load(self, pairs: list[tuple[str, str]], policy: str, _n: int, mark: bool) -> None:
        model = self.model
        records = [(name.partition(":")[2], text) for name, text in pairs if name[0] == "a"]
        if not records:
            return
        marked = {records[0][0]} if mark else set[str]()
        write_fasta(self.file, records)
        before = (len(model.texts), list(model.born))
        meant = [model.add(text) for _, text in records]
        named = [(f"a:{alias}", n) for (alias, _), n in zip(records, meant, strict=True)]
        names = model.naming(named, policy)
        options: dict[str, Any] = {"circular": frozenset(marked), "on_conflict": policy}
        if names is None:
            model.texts, model.born = model.texts[: before[0]], before[1]
            with pytest.raises(seqarchive.AliasConflict):
                self.archive.load(self.file, "a", **options)
            return
        assert self.archive.load(self.file, "a", **options).batch == model.last + 1
        circular = {n for (alias, _), n in zip(records, meant, strict=True) if alias in marked}
        model.commit("load", names, {*model.circular[-1], *circular}, set(meant))

    def _add(self, pairs: list[tuple[str, str]], policy: str, _n: int, _mark: bool) -> None:
        model = self.model
        named = [(name, model.known(text)) for name, text in pairs]
        there = [(name, sequence) for name, sequence in named if sequence is not None]
        if not there:
            return
        names = model.naming(there, policy)
        rows = [(parse_alias(name), sq(model.texts[sequence]), 1) for name, sequence in there]
        if names is None:
            with pytest.raises(seqarchive.AliasConflict):
                import_aliases(self.instance, rows, "rows", OnConflict(policy))
            return
        import_aliases(self.instance, rows, "rows", OnConflict(policy))
        said = {sequence for _, sequence in there}
        model.commit("import-aliases", names, {*model.circular[-1]}, said)

    def _retire(self, pairs: list[tuple[str, str]], _p: str, _n: int, _mark: bool) -> None:
        model = self.model
        wanted = {name for name, _ in pairs}
        if not wanted <= model.names[-1].keys():
            with pytest.raises(seqarchive.NotFound):
                self.archive.retire(sorted(wanted))
            return
        self.archive.retire(sorted(wanted))
        names = {name: n for name, n in model.names[-1].items() if name not in wanted}
        model.commit("retire", names, {*model.circular[-1]})

    def _revert(self, _pairs: object, policy: str, number: int, _mark: bool) -> None:
        model = self.model
        if not model.last:
            return
        batch = number % model.last + 1
        outcome = model.reverting(batch, policy)
        if outcome is None:
            with pytest.raises(seqarchive.AliasConflict):
                self.archive.revert(batch, on_conflict=policy)
            return
        names, circular = outcome
        if model.gone.intersection(names.values()):
            return  # what should become of a name whose residues are gone: test_revert.py
        report = self.archive.revert(batch, on_conflict=policy)
        if names == model.names[-1] and circular == model.circular[-1]:
            assert report.batch is None
            return
        assert report.batch == model.last + 1
        model.commit("revert", names, circular)
        model.reverted.add(batch)

    def _reclaim(self, _pairs: object, _policy: str, _n: int, _mark: bool) -> None:
        model = self.model
        going, brought_by_these_alone = model.reclaimable()
        if going != brought_by_these_alone:
            return  # test_revert.py
        report = reclaim(self.instance)
        assert report.sequences == len(going)
        assert report.residues == sum(len(model.texts[n]) for n in going)
        assert (report.batch is not None) == bool(going)
        if going:
            model.gone |= going
            model.commit("reclaim", dict(model.names[-1]), {*model.circular[-1]} - going)

    def check(self, pairs_to_diff: Sequence[tuple[int, int]] = ()) -> None:
        """Ask for every name at every batch, and for everything else that can be asked."""
        model = self.model
        assert [batch["kind"] for batch in self.archive.batches()] == model.kinds
        for name in NAMES:
            expected = model.meanings(name)
            if not expected:
                with pytest.raises(seqarchive.NotFound):
                    self.archive.history(name)
                continue
            found = self.archive.history(name)
            assert [(one.digest, one.from_batch, one.to_batch) for one in found] == expected
        for batch in range(model.last + 1):
            with Archive(self.instance.root, at=batch) as then:
                self._check_at(then, batch)
        self._check_at(self.archive, model.last)
        for pair in pairs_to_diff:
            first, second = (number % (model.last + 1) for number in pair)
            found_changes = {change(one) for one in diffs.diff(*map(self._state, (first, second)))}
            assert found_changes == difference(model, first, second)
        report = verify(self.instance, full=True)
        assert (report.findings, report.left_over) == ([], [])

    def _state(self, batch: int) -> diffs.State:
        return diffs.state_of(self.instance, f"batch:{batch}")

    def _check_at(self, archive: Archive, batch: int) -> None:
        model = self.model
        state = model.state(batch)
        assert {str(alias): digest for alias, digest in archive.all_aliases()} == {
            name: sha512t24u(text) for name, text in state.items()
        }
        there = model.sequences(batch)
        assert list(archive) == [sq(model.texts[n]) for n in there]
        for name in NAMES:
            assert (name in archive) == (name in state)
            if name in state:
                assert archive.fetch(name) == state[name]
            else:
                with pytest.raises(seqarchive.NotFound):
                    archive.fetch(name)
        bare = {text for name, text in state.items() if name.endswith(":x")}
        if len(bare) > 1:
            with pytest.raises(seqarchive.Ambiguous) as caught:
                archive.fetch("x")
            assert caught.value.candidates == ("a:x", "b:x")
        elif bare:
            assert archive.fetch("x") == bare.pop()
        for n in there:
            text = model.texts[n]
            names = sorted(name for name, meant in state.items() if meant == text)
            assert [str(alias) for alias in archive.aliases(sq(text))] == names
            assert archive.is_circular(sq(text)) == (n in model.circular[batch])
            assert archive.metadata(sq(text))["batch"] == model.born[n]


# --- the model is right ------------------------------------------------------------------------


def difference(model: Model, first: int, second: int) -> set[tuple[object, ...]]:
    """What is different between the states after two batches."""
    sequences = [{model.texts[n] for n in model.sequences(batch)} for batch in (first, second)]
    found: set[tuple[object, ...]] = {
        ("sequence added", None, None, sha512t24u(text), len(text))
        for text in sequences[1] - sequences[0]
    }
    found |= {
        ("sequence removed", None, sha512t24u(text), None, len(text))
        for text in sequences[0] - sequences[1]
    }
    before, after = model.state(first), model.state(second)
    for name in before.keys() | after.keys():
        was, became = before.get(name), after.get(name)
        if was == became:
            continue
        kind = "moved"
        if was is None or became is None:
            kind = "added" if was is None else "retired"
        digests = [None if text is None else sha512t24u(text) for text in (was, became)]
        found.add((f"alias {kind}", name, *digests, None))
    return found


def change(one: diffs.Change) -> tuple[object, ...]:
    """A change as ``difference`` has it."""
    return one.kind, one.alias and str(one.alias), one.before, one.after, one.length


def steps(*kinds: str, marks: bool = False) -> st.SearchStrategy[list[Step]]:
    """What is done one after another; the first is always a load."""
    pairs = st.lists(
        st.tuples(st.sampled_from(NAMES), st.sampled_from(TEXTS)), min_size=1, max_size=4
    )
    policies = st.sampled_from(["error", "keep", "replace", "replace"])
    mark = st.booleans() if marks else st.just(False)
    one = st.tuples(st.sampled_from(kinds), pairs, policies, st.integers(0, 40), mark)
    first = st.tuples(st.just("load"), pairs, policies, st.integers(0, 40), mark)
    rest = st.lists(one, min_size=2, max_size=9)
    return st.builds(lambda load, more: [load, *more], first, rest)


#: Nothing is made smaller: an example takes a tenth of a second, and its steps are few.
_settings = settings(
    deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)
_numbers = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=2, max_size=4)


def run_in_both(done: list[Step], compared: Sequence[tuple[int, int]] = ()) -> None:
    """Do it, and ask for everything at the end."""
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory))
        with world.archive:
            for step in done:
                world.do(step)
            world.check(compared)


@settings(_settings, max_examples=25)
@given(steps("load", "add", "retire", "revert"), _numbers)
def test_each_name_means_as_of_each_batch_what_it_meant_then(
    done: list[Step], compared: list[tuple[int, int]]
) -> None:
    run_in_both(done, compared)


@settings(_settings, max_examples=15)
@given(steps("load", "revert", "revert", marks=True))
def test_circular_marks_are_those_of_the_time_also_after_reverts(done: list[Step]) -> None:
    run_in_both(done)


@settings(_settings, max_examples=30)
@given(steps("load", "add", "revert", "revert", "retire", "reclaim"))
def test_reclaiming_takes_from_the_past_what_is_gone_and_nothing_else(done: list[Step]) -> None:
    run_in_both(done)


# --- each command, with --at -------------------------------------------------------------------

A, B, C, D = "ACGTTGCA" * 9, "GGGTTTAAACCC", "MKVLLNW", "ACGTTGCA" * 9 + "T"

IDS = ["refseq:NM_1.1", "refseq:NM_2.1", "ensembl:E1", "x", "lab:x", "other:long", "NM_1", sq(A)]
IDS += [computed(C)[1], sha512t24u(D), "refseq:NM_2.1:8-2", "refseq:NM_1.1:8-2", "lab:x:1-4"]

QUESTIONS: list[list[str]] = [
    *(["get", one] for one in IDS),
    *(["translate", one] for one in IDS[:10]),
    *(["alias", "list", one] for one in IDS[:10]),
    ["get", "--fasta", "refseq:NM_1.1", "refseq:NM_2.1"],
    ["--json", "get", "refseq:NM_1.1"],
    ["translate", "--to", "lab", sq(A)],
    ["--json", "translate", "refseq:NM_1.1"],
    ["--json", "alias", "list", "refseq:NM_1.1"],
    ["export"],
    ["export", "refseq:NM_1.1"],
    ["export", "--namespace", "refseq"],
    ["export", "--namespace", "lab"],
    ["export-aliases"],
    ["--json", "export-aliases"],
    ["export-aliases", "--namespace", "ensembl"],
    ["export-aliases", "--glob", "N*"],
]

#: Question -> answer, after each batch.
Answers = list[dict[str, Result]]


@dataclass
class Told:
    """An archive with a past of ten batches, one a day, and what it said after each."""

    root: Path
    answers: Answers
    metadata: list[dict[str, dict[str, Any]]]
    histories: list[dict[str, list[tuple[Any, ...]]]]
    statuses: list[dict[str, Any]]

    @property
    def last(self) -> int:
        return len(self.answers) - 1


#: Snapshot -> its batch. Two of them look like something else.
SNAPSHOTS = {"early": 3, "2": 6, "2024-01-03": 8, "end": 10}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    directory = tmp_path_factory.mktemp("told")
    root = directory / "archive"
    first = write_fasta(directory / "1.fa", {"NM_1.1 one": A, "NM_2.1 two": B, "empty.1": ""})
    other = write_fasta(directory / "2.fa", {"E1": A, "x": C})
    moved = write_fasta(directory / "3.fa", {"NM_1.1": D, "NM_2.1 two again": B})
    circle = write_fasta(directory / "4.fa", {"NM_1.1": A})
    table = directory / "names.tsv"
    table.write_text(f"lab\tx\trefseq:NM_2.1\nother\tlong\t{sq(D)}\n")
    batches: list[list[str]] = [
        ["load", "-n", "refseq", "--circular", "NM_2.1", str(first)],
        ["load", "-n", "Ensembl", str(other)],
        ["alias", "add", "refseq:NM_1.1", "lab:x"],
        ["load", "-n", "refseq", "--on-conflict", "replace", str(moved)],
        ["alias", "retire", "ensembl:E1"],
        ["revert", "4"],
        ["load", "-n", "refseq", "--circular", "NM_1.1", str(circle)],
        ["import-aliases", "--on-conflict", "replace", str(table)],
        ["revert", "--on-conflict", "keep", "1"],
        ["load", "-n", "refseq", "--on-conflict", "keep", str(moved)],
    ]
    assert _run(root, "init").code == 0
    found = Told(root, [], [], [], [])
    _record(found)
    for number, arguments in enumerate(batches, 1):
        assert _run(root, *arguments).code == 0
        _set_created(root, number, f"2024-01-{number:02}T12:00:00Z")
        _record(found)
        for name, batch in SNAPSHOTS.items():
            if batch == number:
                assert _run(root, "snapshot", name).code == 0
    return found


def _run(root: Path, *arguments: str) -> Result:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = commands.run(["--root", str(root), *arguments])
    return Result(code, out.getvalue(), err.getvalue())


def _set_created(root: Path, batch: int, created: str) -> None:
    with closing(sqlite3.connect(root / "master" / "aliases.sqlite3")) as database, database:
        database.execute("UPDATE batches SET created = ? WHERE id = ?", (created, batch))


def _asked(root: Path, *options: str) -> dict[str, Result]:
    return {" ".join(one): _run(root, *one, *options) for one in QUESTIONS}


def _record(told: Told) -> None:
    told.answers.append(_asked(told.root))
    with seqarchive.connect(told.root) as archive:
        told.metadata.append({name: archive.metadata(name) for name in archive})
        told.histories.append(_histories(archive))
        told.statuses.append(_state_in(archive))


def _histories(archive: Archive) -> dict[str, list[tuple[Any, ...]]]:
    names = ["refseq:NM_1.1", "refseq:NM_2.1", "ensembl:E1", "lab:x", "other:long"]
    found = {}
    for name in names:
        try:
            found[name] = [tuple(meaning) for meaning in archive.history(name)]
        except seqarchive.NotFound as error:
            found[name] = [(str(error),)]
    return found


def _state_in(archive: Archive) -> dict[str, Any]:
    status = archive.status()
    keys = ("batch", "archive_id", "sequences", "residues", "aliases", "ended_aliases", "batches")
    return {key: status[key] for key in (*keys, "namespaces")}


def _without_moment(answers: dict[str, Result]) -> dict[str, Result]:
    return {
        question: Result(code, out, re.sub(r" as of batch \d+", "", err))
        for question, (code, out, err) in answers.items()
    }


def test_the_past_of_these_tests_is_worth_asking_for(told: Told) -> None:
    """Ten states that differ; every kind of answer and of error is in them."""
    assert told.last == 10
    answers = [tuple(answer.items()) for answer in told.answers]
    assert len(set(answers)) == 11
    codes = {answer.code for some in told.answers for answer in some.values()}
    assert codes == {0, 3, 5}
    said = {answer.err for some in told.answers for answer in some.values()}
    for words in ("stands for 2 sequences", "it meant SQ.", "there is refseq:NM_1.1", "namespace"):
        assert any(words in message for message in said)


@pytest.mark.parametrize("batch", range(11))
def test_every_command_answers_as_of_a_batch_as_it_did_then(told: Told, batch: int) -> None:
    then = _asked(told.root, "--at", f"batch:{batch}")
    assert _without_moment(then) == told.answers[batch]


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_a_release_answers_as_of_a_batch_too(told: Told, name: str) -> None:
    for batch in range(SNAPSHOTS[name] + 1):
        then = _asked(told.root, "--instance", name, "--at", f"batch:{batch}")
        assert _without_moment(then) == told.answers[batch]
    later = _run(told.root, "--instance", name, "export", "--at", f"batch:{SNAPSHOTS[name] + 1}")
    assert (later.code, later.out) == (3, "")
    assert f"the last one is {SNAPSHOTS[name]}" in later.err


@pytest.mark.parametrize("batch", range(11))
def test_python_answers_as_of_a_batch_as_it_did_then(told: Told, batch: int) -> None:
    with seqarchive.connect(told.root, at=batch) as then:
        assert then.at == batch
        assert {name: _undated(then.metadata(name)) for name in then} == {
            name: _undated(known) for name, known in told.metadata[batch].items()
        }
        assert len(then) == len(told.metadata[batch])
        assert {s.identifier for s in then.sequences()} == set(told.metadata[batch])
        assert _undated_histories(then) == {
            name: [_undated_meaning(one) for one in meanings]
            for name, meanings in told.histories[batch].items()
        }
        assert _state_in(then) == told.statuses[batch]
        assert [one["batch"] for one in then.batches()] == list(range(1, batch + 1))


def _undated(metadata: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metadata.items() if key != "added"}


def _undated_meaning(meaning: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(part for n, part in enumerate(meaning) if n not in (3, 5))


def _undated_histories(archive: Archive) -> dict[str, list[tuple[Any, ...]]]:
    return {
        name: [_undated_meaning(one) for one in meanings]
        for name, meanings in _histories(archive).items()
    }


# --- moments -----------------------------------------------------------------------------------

MOMENTS: list[tuple[int | str, int]] = [
    (0, 0),
    ("0", 0),
    ("batch:0", 0),
    (7, 7),
    ("7", 7),
    ("007", 7),
    ("batch:7", 7),
    (2, 2),  # a number is a batch, whatever snapshots are called
    ("2", 6),
    ("batch:2", 2),
    ("early", 3),
    ("end", 10),
    ("latest", 10),
    ("2024-01-03", 8),
    ("2024-01-04", 4),
    ("2023-12-31", 0),
    ("1970-01-01", 0),
    ("0999-12-31", 0),
    ("9999-12-31", 10),
    ("2024-02-29", 10),
    ("2024-01-03T23:59:59Z", 3),
    ("2024-01-03T12:00:00Z", 3),
    ("2024-01-03T12:00:00z", 3),
    ("2024-01-03T12:00:00", 3),
    ("2024-01-03 12:00:00", 3),
    ("2024-01-03T12:00", 3),
    ("2024-01-03T11:59:59Z", 2),
    ("2024-01-03T11:59:59.999999Z", 2),
    ("2024-01-03T14:00:00+02:00", 3),
    ("2024-01-03T13:59:59+02:00", 2),
    ("2024-01-03T06:30:00-05:30", 3),
    ("2024-01-03T06:29:59-05:30", 2),
    ("2024-01-04T02:00:00+14:00", 3),
    ("2024-01-04T01:59:59+14:00", 2),
]


@pytest.mark.parametrize(("moment", "batch"), MOMENTS)
def test_a_moment_is_the_batch_that_was_the_last_then(
    told: Told, moment: int | str, batch: int
) -> None:
    with seqarchive.connect(told.root, at=moment) as then:
        assert then.at == batch
    if isinstance(moment, str):
        answer = _run(told.root, "export-aliases", "--at", moment)
        assert answer == told.answers[batch]["export-aliases"]
        answer = _run(told.root, "export-aliases", f"--at={moment}", "--instance", "end")
        assert answer == told.answers[batch]["export-aliases"]


@pytest.mark.parametrize("moment", ["11", "batch:11", "999999999999999999"])
def test_a_batch_that_there_is_not_is_not_found(told: Told, moment: str) -> None:
    for command in (["get", sq(A)], ["translate", sq(A)], ["export"], ["export-aliases"]):
        answer = _run(told.root, *command, "--at", moment)
        assert (answer.code, answer.out) == (3, "")
        assert answer.err.startswith("seqarchive: there is no batch ")
        assert "the last one is 10" in answer.err
    with pytest.raises(seqarchive.NotFound):
        seqarchive.connect(told.root, at=moment)
    with pytest.raises(seqarchive.NotFound):
        seqarchive.connect(told.root, at=-1)


@pytest.mark.parametrize(
    "moment",
    ["", "x", "-1", "batch:", "batch:-1", "batch:x", "1.5", "+7", "२", "7 ", "master", "yesterday",
     "2024-13-01", "2024-02-30", "2024-1-1", "2024-01-03T25:00:00Z", "2024-01-03T12:00:00+99:00",
     "2024-01-03T12:00:00Q", "../early", "early/", "9" * 30, "2024-W01-1"],
)  # fmt: skip
def test_what_is_no_moment_is_refused(told: Told, moment: str) -> None:
    for command in (["get", sq(A)], ["alias", "list", sq(A)], ["export-aliases"]):
        answer = _run(told.root, *command, f"--at={moment}")
        assert (answer.code, answer.out) == (5, "")
        assert "is no moment: say a batch number, a snapshot, a date" in answer.err
        assert answer.err.count("\n") == 1
    with pytest.raises(seqarchive.BadName):
        seqarchive.connect(told.root, at=moment)


def test_a_release_of_another_archive_is_no_moment_of_this_one(
    told: Told, tmp_path: Path, cli: Cli, root: Path
) -> None:
    assert cli("load", "-n", "a", write_fasta(tmp_path / "a.fa", {"a": "ACGT"})).code == 0
    shutil.copytree(told.root / "early", root / "theirs")
    assert (
        cli("--instance", "theirs", "export-aliases").out == told.answers[3]["export-aliases"].out
    )
    answer = cli("export-aliases", "--at", "theirs")
    assert (answer.code, answer.out) == (3, "")
    assert "another archive" in answer.err


# --- an archive of the past, in use ------------------------------------------------------------


@pytest.fixture
def moving(archive: Archive) -> Archive:
    """Batch n has ``x:name`` mean ``A`` n times."""
    for n in range(1, 5):
        archive.store("A" * n, ["x:name", f"x:{n}"], on_conflict="replace")
    return archive


def _wrong_at_2(archive: Archive) -> list[str]:
    """What an archive of the time after the second batch says wrongly."""
    problems = []
    if archive.fetch("x:name") != "AA" or archive.fetch("name") != "AA":
        problems.append("name")
    if [str(alias) for alias, _ in archive.all_aliases()] != ["x:1", "x:2", "x:name"]:
        problems.append("all_aliases")
    if archive.translate("x:2", "x") != ["x:2", "x:name"]:
        problems.append("translate")
    if archive.fetch_many([("x:1", None, None), ("x:name", 0, 1)]) != ["A", "A"]:
        problems.append("fetch_many")
    if "x:3" in archive or "AAA" in map(str, archive.sequences()) or len(archive) != 2:
        problems.append("later sequences")
    return problems


def test_an_archive_of_the_past_stays_there_when_it_is_pickled(moving: Archive) -> None:
    then = seqarchive.connect(moving.instance.root, at=2)
    again = pickle.loads(pickle.dumps(then))
    assert isinstance(again, Archive)
    assert again.at == 2
    moving.store("C", ["x:name"], on_conflict="replace")
    assert _wrong_at_2(then) == _wrong_at_2(again) == []
    moving.snapshot("end")
    released = seqarchive.connect(moving.instance.root, "end", at=2)
    again = pickle.loads(pickle.dumps(released))
    assert (again.at, again.instance.name) == (2, "end")
    assert _wrong_at_2(again) == []
    then.close()
    assert _wrong_at_2(then) == []


_COMMITS = """
import sys, seqarchive
archive = seqarchive.connect(sys.argv[1])
for n in range(40):
    archive.store("C" * n + "G", ["x:name", f"x:more{n}"], on_conflict="replace")
    if n % 8 == 0:
        archive.retire(["x:2"])
        archive.name("name", ["x:2"])
"""


@pytest.mark.parametrize("instance", ["master", "end"])
def test_threads_see_the_past_while_another_process_commits(moving: Archive, instance: str) -> None:
    moving.snapshot("end")
    root = moving.instance.root
    wrong: list[str] = []
    asked = [0, 0, 0]
    done = threading.Event()

    def ask(number: int) -> None:
        try:
            while not done.is_set() or asked[number] < 5:
                wrong.extend(_wrong_at_2(then))
                asked[number] += 1
        except Exception as error:
            wrong.append(repr(error))

    with seqarchive.connect(root, instance, at=2) as then:
        threads = [threading.Thread(target=ask, args=(n,)) for n in range(len(asked))]
        for thread in threads:
            thread.start()
        subprocess.run([sys.executable, "-c", _COMMITS, str(root)], check=True)
        done.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert min(asked) >= 5
    assert moving.fetch("x:name") == "C" * 39 + "G"


_FORK = """
import os, sys
sys.path.insert(0, sys.argv[2])
import seqarchive
from test_history import _wrong_at_2

then = seqarchive.connect(sys.argv[1], at=2)
now = seqarchive.connect(sys.argv[1])
assert _wrong_at_2(then) == []
pids = []
for child in range(3):
    pid = os.fork()
    if pid == 0:
        found = _wrong_at_2(then) + _wrong_at_2(then)
        os._exit(1 if found or now.fetch("x:1") != "A" else 0)
    now.store("T" * (child + 1), ["x:name"], on_conflict="replace")
    pids.append(pid)
print([os.waitpid(pid, 0)[1] for pid in pids], _wrong_at_2(then), now.fetch("x:name"))
"""


def test_a_fork_sees_the_past_too(moving: Archive) -> None:
    command = [sys.executable, "-c", _FORK, str(moving.instance.root), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[0, 0, 0] [] TTT\n", "")


WRITES: list[Callable[[Archive, Path], object]] = [
    lambda archive, file: archive.load(file, "x"),
    lambda archive, _: archive.store("ACGT", ["x:new"]),
    lambda archive, _: archive.name("x:1", ["x:new"]),
    lambda archive, _: archive.retire(["x:1"]),
    lambda archive, _: archive.revert(2),
    lambda archive, _: archive.snapshot("new"),
    lambda archive, _: archive.__setitem__("x:new", "ACGT"),
]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("at", [2, 4, "end"])
def test_the_past_cannot_be_written(
    moving: Archive, tmp_path: Path, write: Callable[[Archive, Path], object], at: int | str
) -> None:
    """Not even that which is the present as well."""
    moving.snapshot("end")
    file = write_fasta(tmp_path / "x.fa", {"new": "ACGT"})
    before = [batch["batch"] for batch in moving.batches()]
    with (
        seqarchive.connect(moving.instance.root, at=at) as then,
        pytest.raises(seqarchive.ReadOnly, match=r"as it was after batch [24]; open it anew"),
    ):
        write(then, file)
    assert [batch["batch"] for batch in moving.batches()] == before
    assert "x:new" not in moving
    assert not (moving.instance.root / "new").exists()


def test_a_view_of_the_past_writes_nothing(moving: Archive) -> None:
    moving.close()
    before = tree(moving.instance.root)
    with seqarchive.connect(moving.instance.root, at=2) as then:
        assert _wrong_at_2(then) == []
    after = tree(moving.instance.root)
    names = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert {name for name in names if not name.endswith(("-wal", "-shm"))} == set()


# --- what leaves no trace ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "records",
    [["B", "A"], ["B", "A", "B", "A"], ["C", "B", "A"], ["A", "B", "A"], ["B", "C", "B", "A"]],
)
@pytest.mark.parametrize("how", ["load", "import"])
def test_a_name_that_moves_and_comes_back_in_one_batch_never_moved(
    cli: Cli, root: Path, tmp_path: Path, records: list[str], how: str
) -> None:
    texts = {"A": "ACGT", "B": "GGGG", "C": "TTTT"}
    first = write_fasta(tmp_path / "1.fa", [("x", texts["A"]), *texts.items()])
    assert cli("load", "-n", "n", first).code == 0
    if how == "load":
        again = write_fasta(tmp_path / "2.fa", [("x", texts[one]) for one in records])
        answer = cli("--json", "load", "-n", "n", "--on-conflict", "replace", again)
    else:
        table = "".join(f"n\tx\t{sq(texts[one])}\n" for one in records).encode()
        answer = cli("--json", "import-aliases", "--on-conflict", "replace", "-", stdin=table)
    assert answer.code == 0
    report = json.loads(answer.out)
    steps_taken = list(zip(["A", *records], records, strict=False))
    assert report["aliases_moved"] == sum(one != other for one, other in steps_taken)
    (meaning,) = json.loads(cli("--json", "log", "--alias", "n:x").out)["meanings"]
    assert (meaning["from_batch"], meaning["to_batch"]) == (1, None)
    with closing(sqlite3.connect(root / "master" / "aliases.sqlite3")) as database:
        assert database.execute("SELECT count(*) FROM ended_aliases").fetchone() == (0,)
    assert cli("diff", "1", "2").out.endswith("\nno difference\n")
    # Nor is there anything to revert.
    assert cli("revert", "2").out.startswith("nothing of batch 2 is left to revert")


def test_a_new_name_that_moves_in_its_own_batch_has_one_meaning(cli: Cli, tmp_path: Path) -> None:
    file = write_fasta(tmp_path / "1.fa", [("x", "AA"), ("x", "CC"), ("x", "GG")])
    assert cli("load", "-n", "n", "--on-conflict", "replace", file).code == 0
    (meaning,) = json.loads(cli("--json", "alias", "history", "n:x").out)["meanings"]
    assert meaning["digest"] == f"SQ.{sha512t24u('GG')}"


# --- log and history ---------------------------------------------------------------------------


def _day(batch: int | None) -> str | None:
    return None if batch is None else f"2024-01-{batch:02}T12:00:00Z"


def test_all_that_a_name_meant_is_in_its_history(told: Told) -> None:
    for question in (["log", "--alias"], ["alias", "history"]):
        code, out, err = _run(told.root, "--json", *question, "refseq:NM_1.1")
        assert (code, err) == (0, "")
        document = json.loads(out)
        assert document["alias"] == "refseq:NM_1.1"
        meanings = document["meanings"]
        expected = [
            {
                "digest": f"SQ.{sha512t24u(text)}",
                "length": len(text),
                "from_batch": begin,
                "from_time": _day(begin),
                "to_batch": end,
                "to_time": _day(end),
                "added": None,
                "is_reclaimed": False,
            }
            for text, begin, end in told_history(told)
        ]
        assert meanings == expected
        assert all(meaning["is_reclaimed"] is False for meaning in meanings)
        lines = _run(told.root, *question, "refseq:NM_1.1").out.splitlines()
        assert len(lines) == len(expected)
        for line, (text, begin, end) in zip(lines, told_history(told), strict=True):
            until = "until now" if end is None else f"until batch {end} ({_day(end)})"
            assert line == (
                f"refseq:NM_1.1  SQ.{sha512t24u(text)}  {len(text)} residues  "
                f"since batch {begin} ({_day(begin)}) {until}"
            )


def told_history(told: Told) -> list[tuple[str, int, int | None]]:
    """What refseq:NM_1.1 meant, from the answers that were given then."""
    found: list[tuple[str, int, int | None]] = []
    before = ""
    for batch, answers in enumerate(told.answers):
        now = answers["get refseq:NM_1.1"].out.strip()
        if now == before:
            continue
        if found and found[-1][2] is None:
            found[-1] = (*found[-1][:2], batch)
        if now:
            found.append((now, batch, None))
        before = now
    return found


def test_the_history_of_a_retired_name_ends(told: Told) -> None:
    (meaning,) = json.loads(_run(told.root, "--json", "alias", "history", "ensembl:E1").out)[
        "meanings"
    ]
    assert (meaning["from_batch"], meaning["to_batch"]) == (2, 5)
    names = ("ENSEMBL:E1", "ncbi:NM_2.1")  # as a namespace may be written
    several = _run(told.root, "alias", "history", *names)
    assert (several.code, several.err) == (0, "")
    assert {line.split()[0] for line in several.out.splitlines()} == set(names)


@pytest.mark.parametrize("question", [["log", "--alias"], ["alias", "history"]])
def test_what_never_meant_anything_has_no_history(told: Told, question: list[str]) -> None:
    for name in ("refseq:absent", "nowhere:NM_1.1", f"ga4gh:SQ.{sha512t24u(A)}"):
        answer = _run(told.root, *question, name)
        assert (answer.code, answer.out) == (3, "")
        assert answer.err == f"seqarchive: {name} never meant anything here\n"
    assert _run(told.root, *question, "NM_1.1").code == 5


def test_the_log_has_each_batch_with_its_kind_and_its_counts(told: Told) -> None:
    lines = _run(told.root, "--json", "log").out.splitlines()
    batches = [json.loads(line) for line in lines]
    assert [batch["batch"] for batch in batches] == list(range(1, 11))
    assert [batch["kind"] for batch in batches] == [
        "load", "load", "import-aliases", "load", "retire", "revert", "load", "import-aliases",
        "revert", "load",
    ]  # fmt: skip
    assert [batch["created"] for batch in batches] == [_day(n) for n in range(1, 11)]
    assert [batch["reverts"] for batch in batches] == [None] * 5 + [4] + [None] * 2 + [1, None]
    counts = [
        (batch["n_aliases"], batch["n_aliases_moved"], batch["n_aliases_retired"])
        for batch in batches
    ]
    assert counts[:8] == [
        (3, 0, 0), (2, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 0), (0, 0, 0), (1, 1, 0),
    ]  # fmt: skip
    text = _run(told.root, "log").out
    assert re.search(r"^batch 6  2024-01-06T12:00:00Z  revert of batch 4  by ", text, re.MULTILINE)
    # A release has the log up to its time.
    early = _run(told.root, "--json", "--instance", "early", "log").out.splitlines()
    assert early == lines[:3]


# --- single names ------------------------------------------------------------------------------


@pytest.fixture
def two(cli: Cli, tmp_path: Path) -> Cli:
    """``n:a`` and ``n:b``."""
    assert cli("load", "-n", "n", write_fasta(tmp_path / "n.fa", {"a": A, "b": B})).code == 0
    return cli


def _state(cli: Cli) -> tuple[str, str]:
    return cli("export-aliases").out, cli("--json", "log").out


def test_names_that_are_added_are_one_batch(two: Cli) -> None:
    answer = two("alias", "add", "n:a", "lab:one", "GenBank:A1.1", "n:b.2")
    assert answer == Result(0, "batch 2: 3 added, 0 known already, 0 moved, 0 kept against a "
                            "conflict\n", "")  # fmt: skip
    assert two("alias", "list", "lab:one").out.split() == ["insdc:A1.1", "lab:one", "n:a", "n:b.2"]
    report = json.loads(two("--json", "alias", "add", computed(A)[1], "lab:one", "lab:two").out)
    assert (report["batch"], report["aliases_added"], report["aliases_known"]) == (3, 1, 1)


def test_a_name_that_means_something_else_is_a_conflict_as_in_a_load(two: Cli) -> None:
    before = _state(two)
    answer = two("alias", "add", "n:a", "lab:new", "n:b")
    assert (answer.code, answer.out) == (4, "")
    assert f"n:b is SQ.{sha512t24u(A)} here but SQ.{sha512t24u(B)} since batch 1" in answer.err
    assert _state(two) == before
    kept = json.loads(two("--json", "alias", "add", "--on-conflict", "keep", "n:a", "n:b").out)
    assert (kept["aliases_kept"], kept["aliases_moved"]) == (1, 0)
    assert two("get", "n:b").out == B + "\n"
    moved = json.loads(two("--json", "alias", "add", "--on-conflict", "replace", "n:a", "n:b").out)
    assert (moved["aliases_kept"], moved["aliases_moved"]) == (0, 1)
    assert two("get", "n:b").out == A + "\n"
    assert two("get", "n:b", "--at", str(moved["batch"] - 1)).out == B + "\n"


def test_adding_or_retiring_dry_changes_nothing(two: Cli, root: Path) -> None:
    before, files = _state(two), tree(root / "master" / "sequences")
    added = two("alias", "add", "--dry-run", "n:a", "lab:one", "lab:two")
    assert added.out.startswith("dry run, nothing written: 2 added, ")
    moved = two("--json", "alias", "add", "--dry-run", "--on-conflict", "replace", "n:a", "n:b")
    assert json.loads(moved.out)["aliases_moved"] == 1
    assert json.loads(moved.out)["batch"] is None
    retired = two("alias", "retire", "--dry-run", "n:a", "n:b")
    assert retired == Result(0, "dry run, nothing written: 2 names retired\n", "")
    assert two("alias", "retire", "--dry-run", "n:c").code == 3
    assert two("alias", "add", "--dry-run", "n:a", "n:b").code == 4
    assert (_state(two), tree(root / "master" / "sequences")) == (before, files)


COMPUTED = ["ga4gh", "GA4GH", "md5", "MD5", "sha1", "sha256", "sha512", "sha512t24u", "seguid",
            "vmc", "VMC", "trunc512"]  # fmt: skip


@pytest.mark.parametrize("namespace", COMPUTED)
def test_names_that_are_computed_cannot_be_added_or_retired(two: Cli, namespace: str) -> None:
    before = _state(two)
    for command in (
        ["alias", "add", "n:a", "lab:x", f"{namespace}:x"],
        ["alias", "add", "--on-conflict", "replace", "--dry-run", "n:a", f"{namespace}:x"],
        ["alias", "retire", "n:a", f"{namespace}:x"],
    ):
        answer = two(*command)
        assert (answer.code, answer.out) == (5, "")
        assert "names are computed and cannot be set" in answer.err
    table = f"n\tc\tn:a\n{namespace}\tx\tn:a\n".encode()
    assert two("import-aliases", "-", stdin=table).code == 5
    assert _state(two) == before


@pytest.mark.parametrize("namespace", ["md5", "ga4gh", "VMC"])
def test_names_that_are_computed_cannot_be_set_in_python_either(
    two: Cli, root: Path, namespace: str
) -> None:
    before = _state(two)
    with seqarchive.connect(root) as archive:
        with pytest.raises(seqarchive.BadName):
            archive.store("ACGT", [f"{namespace}:x"])
        with pytest.raises(seqarchive.BadName):
            archive.name("n:a", [f"{namespace}:x"])
    assert _state(two) == before


@pytest.mark.parametrize("identifier", ["n:absent", "absent", "md5:" + "0" * 32])
def test_a_name_for_nothing_is_not_found(two: Cli, identifier: str) -> None:
    before = _state(two)
    answer = two("alias", "add", identifier, "lab:x")
    assert (answer.code, answer.out) == (3, "")
    assert repr(identifier) in answer.err
    assert _state(two) == before


@pytest.mark.parametrize("name", ["noprefix", "n:", ":x", "n:a b", "a/b:x"])
def test_what_cannot_be_a_name_is_refused(two: Cli, name: str) -> None:
    before = _state(two)
    for command in (["alias", "add", "n:a", name], ["alias", "retire", "n:a", name]):
        assert (two(*command).code, two(*command).out) == (5, "")
    assert _state(two) == before


def test_retired_names_mean_nothing_and_the_sequence_stays(two: Cli) -> None:
    assert two("alias", "add", "n:a", "lab:x").code == 0
    answer = two("alias", "retire", "n:a", "lab:x", "n:a")
    assert answer == Result(0, "batch 3: 2 names retired\n", "")
    gone = two("get", "n:a")
    assert gone.code == 3
    assert f"it meant SQ.{sha512t24u(A)} until batch 3" in gone.err
    assert two("get", sq(A)).out == A + "\n"
    assert two("--json", "alias", "list", sq(A)).out == (
        json.dumps({"id": sq(A), "aliases": []}) + "\n"
    )
    assert two("get", "n:a", "--at", "2").out == A + "\n"
    # Given again, it may mean something else without a conflict.
    assert two("alias", "add", "n:b", "n:a").code == 0
    assert [two("get", "n:a", "--at", str(n)).out for n in range(1, 5)] == [
        A + "\n", A + "\n", "", B + "\n",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["n:absent", "nowhere:a", "n:A", "N2:a"])
def test_retiring_what_is_no_name_changes_nothing(two: Cli, name: str) -> None:
    before = _state(two)
    for names in ([name], ["n:a", name], [name, "n:a"]):
        answer = two("alias", "retire", *names)
        assert (answer.code, answer.out) == (3, "")
        assert "is not a name of anything; nothing was changed" in answer.err
    assert _state(two) == before
    assert two("alias", "retire", "n:a").code == 0
    assert two("alias", "retire", "n:a").code == 3


def test_a_release_is_not_given_names(two: Cli) -> None:
    assert two("snapshot", "s").code == 0
    for command in (["alias", "add", "n:a", "n:c"], ["alias", "retire", "n:a"], ["revert", "1"]):
        assert two("--instance", "s", *command).code == 8


def test_without_an_archive_there_is_nothing_to_name(cli: Cli, root: Path) -> None:
    for command in (
        ["alias", "add", "n:a", "n:c"],
        ["alias", "retire", "n:a"],
        ["alias", "history", "n:a"],
        ["alias", "list", "n:a"],
        ["revert", "1"],
        ["repair", "--reclaim"],
        ["diff", "0", "master"],
    ):
        assert cli(*command).code == 3
    assert not root.exists()
