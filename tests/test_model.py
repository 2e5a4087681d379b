"""Whatever is done in whatever order, an archive answers as a dict of names would."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from helpers import computed, sha512t24u, shards, sq, write_fasta
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import seqarchive
from seqarchive import tallies
from seqarchive.alias_tables import import_aliases, read_aliases
from seqarchive.database import Database
from seqarchive.exporting import fasta_records
from seqarchive.hashing import add_sha256
from seqarchive.instances import Instance
from seqarchive.new_aliases import OnConflict
from seqarchive.verifying import verify
from seqarchive.writing import initialise

Name = tuple[str, str]
"""Namespace in lower case, and alias."""

#: Few enough that they are met again; among them what could be taken for something else.
ALIASES = ["a", "b", "NM_1.2", "Wuhan/Hu-1/2019", "HLA-A*01:01", "x:1-3", "lab:a", "%"]
ALIASES += [sq("ACGT")[6:]]
PREFIXES = ["", "absent:", "lab:", "LAB:", "refseq:", "NCBI:", "other:"]
NAMESPACES = ["lab", "LAB", "refseq", "NCBI", "other"]
_LOWER = {"lab": "lab", "LAB": "lab", "refseq": "refseq", "NCBI": "refseq", "other": "other"}
POLICIES = ["error", "keep", "replace"]

_BLOCK = 16_349  # residues of the longest sequence that shares a block with others

texts = st.one_of(
    st.sampled_from(["", "A", "ACGT", "ACGTN", "MKV", "MKV*", "M-KV", "T" * 70]),
    st.text("ACGTN", min_size=1, max_size=40),
    st.builds(
        lambda unit, length: (unit * length)[:length],
        st.text("ACGT", min_size=1, max_size=9),
        st.sampled_from([_BLOCK - 1, _BLOCK, _BLOCK + 1, 40_000]),
    ),
)
records = st.lists(st.tuples(st.sampled_from(ALIASES), texts), min_size=1, max_size=6)
namespaces = st.sampled_from(NAMESPACES)
policies = st.sampled_from(POLICIES)


@dataclass
class Outcome:
    """What adding names should come to."""

    names: dict[Name, str]
    added: int = 0
    known: int = 0
    moved: int = 0
    kept: int = 0

    @property
    def conflicts(self) -> int:
        """How often a name meant something else."""
        return self.moved + self.kept


@dataclass
class Model:
    """What an archive is, without any of how."""

    names: dict[Name, str] = field(default_factory=dict)
    sequences: dict[str, None] = field(default_factory=dict)
    spellings: dict[str, str] = field(default_factory=dict)
    batches: list[str] = field(default_factory=list)
    has_sha256: bool = False

    def naming(self, pairs: list[tuple[Name, str]], policy: str) -> Outcome:
        """What becomes of names; with the policy ``error``, what would with ``keep``."""
        outcome = Outcome(dict(self.names))
        for name, text in pairs:
            meant = outcome.names.get(name)
            if meant is None:
                outcome.names[name] = text
                outcome.added += 1
            elif meant == text:
                outcome.known += 1
            elif policy == "replace":
                outcome.names[name] = text
                outcome.moved += 1
            else:
                outcome.kept += 1
        return outcome

    def spelling(self, namespace: str) -> str:
        """How the archive writes a namespace: as it was first given, or as the table says."""
        lower = _LOWER[namespace]
        return self.spellings.get(lower, "refseq" if lower == "refseq" else namespace)

    def commit(self, kind: str, outcome: Outcome, found: list[str], namespace: str | None) -> None:
        """Take in what a batch did."""
        self.names = outcome.names
        self.sequences.update(dict.fromkeys(found))
        self.batches.append(kind)
        if namespace is not None:
            self.spellings[_LOWER[namespace]] = self.spelling(namespace)

    def meaning(self, identifier: str) -> set[str]:
        """The sequences that an identifier stands for."""
        namespace, colon, alias = identifier.partition(":")
        lower = {"ncbi": "refseq"}.get(namespace.lower(), namespace.lower())
        if colon and (lower, alias) in self.names:
            return {self.names[lower, alias]}
        found = {text for (_, name), text in self.names.items() if name == identifier}
        for text in self.sequences:
            digests = computed(text)
            if self.has_sha256:
                digests.append("sha256:" + hashlib.sha256(text.encode()).hexdigest())
            if identifier in digests or identifier in [name.partition(":")[2] for name in digests]:
                found.add(text)
        return found


class AnArchive(RuleBasedStateMachine):
    """An archive beside its model."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.instance = Instance(self.directory / "root")
        self.file = self.directory / "x.fa"
        self.model = Model()

    @initialize()
    def create(self) -> None:
        initialise(self.instance)
        self.archive = seqarchive.connect(self.instance.root)
        self.other = seqarchive.connect(self.instance.root)

    def teardown(self) -> None:
        try:
            if hasattr(self, "archive"):
                report = verify(self.instance, full=True)
                assert report.findings == []
                assert report.left_over == []
                assert report.sequences == len(self.model.sequences)
                self.archive.close()
                self.other.close()
        finally:
            shutil.rmtree(self.directory)

    # --- changes ----------------------------------------------------------------------------

    @rule(records=records, namespace=namespaces, policy=policies, size=st.sampled_from([1, 2**28]))
    def load(self, records: list[tuple[str, str]], namespace: str, policy: str, size: int) -> None:
        write_fasta(self.file, records, width=61)
        pairs = [((_LOWER[namespace], alias), text) for alias, text in records]
        found = [text for _, text in records]
        outcome = self.model.naming(pairs, policy)
        if outcome.conflicts and policy == "error":
            with pytest.raises(seqarchive.AliasConflict) as caught:
                self.archive.load(self.file, namespace, shard_bytes=size)
            assert len(caught.value.conflicts) == outcome.conflicts
            return
        new = set(found) - set(self.model.sequences)
        report = self.archive.load(self.file, namespace, on_conflict=policy, shard_bytes=size)
        assert report.batch == len(self.model.batches) + 1
        assert report.namespace == self.model.spelling(namespace)
        assert report.records == len(records)
        assert (report.sequences_added, report.sequences_known) == (
            len(new),
            len(records) - len(new),
        )
        assert report.residues_added == sum(map(len, new))
        assert (report.aliases_added, report.aliases_known) == (outcome.added, outcome.known)
        assert (report.aliases_moved, report.aliases_kept) == (outcome.moved, outcome.kept)
        assert len(report.conflicts) == outcome.conflicts
        assert (report.shards > 0) == any(new)
        self.model.commit("load", outcome, found, namespace)

    @rule(records=records, namespace=namespaces, at=st.integers(0, 6), skip=st.booleans())
    def load_with_a_bad_record(
        self, records: list[tuple[str, str]], namespace: str, at: int, skip: bool
    ) -> None:
        at = min(at, len(records))
        bad = [*records[:at], ("bad", "ACGT8"), *records[at:]]
        write_fasta(self.file, bad)
        pairs = [((_LOWER[namespace], alias), text) for alias, text in records]
        outcome = self.model.naming(pairs, "keep")
        if not skip:
            with pytest.raises((seqarchive.BadInput, seqarchive.AliasConflict)):
                self.archive.load(self.file, namespace)
            return
        report = self.archive.load(self.file, namespace, skip_errors=True, on_conflict="keep")
        assert (len(report.skipped), report.records) == (1, len(records))
        self.model.commit("load", outcome, [text for _, text in records], namespace)

    @rule(
        names=st.lists(st.tuples(namespaces, st.sampled_from(ALIASES)), min_size=1, max_size=3),
        text=texts,
        policy=policies,
        lower=st.booleans(),
    )
    def store(self, names: list[tuple[str, str]], text: str, policy: str, lower: bool) -> None:
        pairs = [((_LOWER[namespace], alias), text) for namespace, alias in names]
        outcome = self.model.naming(list(dict.fromkeys(pairs)), policy)
        given = text.lower() if lower else text

        def call() -> str:
            written = [f"{namespace}:{alias}" for namespace, alias in names]
            return self.archive.store(given, written, on_conflict=policy)

        if outcome.conflicts and policy == "error":
            with pytest.raises(seqarchive.AliasConflict):
                call()
            return
        assert call() == sha512t24u(text)
        self.model.commit("store", outcome, [text], None)
        for namespace, _ in names:
            self.model.spellings[_LOWER[namespace]] = self.model.spelling(namespace)

    @precondition(lambda self: self.model.sequences)
    @rule(
        data=st.data(),
        names=st.lists(st.tuples(namespaces, st.sampled_from(ALIASES)), min_size=1, max_size=4),
        policy=policies,
        dry=st.booleans(),
        missing=st.booleans(),
    )
    def import_aliases(
        self,
        data: st.DataObject,
        names: list[tuple[str, str]],
        policy: str,
        dry: bool,
        missing: bool,
    ) -> None:
        known = st.sampled_from(sorted(self.model.sequences))
        meant = [data.draw(known) for _ in names]
        rows = [
            f"{namespace}\t{alias}\t{data.draw(st.sampled_from(computed(text)))}\n"
            for (namespace, alias), text in zip(names, meant, strict=True)
        ]
        pairs = [
            ((_LOWER[namespace], alias), text)
            for (namespace, alias), text in zip(names, meant, strict=True)
        ]
        outcome = self.model.naming(pairs, policy)

        def call() -> dict[str, object]:
            lines = ["namespace\talias\tsequence\n", *rows]
            lines += ["lab\tlast\tlab:absent\n"] * missing
            table = read_aliases(lines, "table")
            return import_aliases(self.instance, table, "table", OnConflict(policy), dry_run=dry)

        if missing:
            with pytest.raises(seqarchive.NotFound, match=f"table, line {len(rows) + 2}: "):
                call()
            return
        if outcome.conflicts and policy == "error":
            with pytest.raises(seqarchive.AliasConflict):
                call()
            return
        report = call()
        assert report["rows"] == len(rows)
        assert (report["aliases_added"], report["aliases_known"]) == (outcome.added, outcome.known)
        assert (report["aliases_moved"], report["aliases_kept"]) == (outcome.moved, outcome.kept)
        if dry:
            assert report["batch"] is None
            return
        assert report["batch"] == len(self.model.batches) + 1
        self.model.commit("import-aliases", outcome, [], None)
        for namespace, _ in names:
            self.model.spellings[_LOWER[namespace]] = self.model.spelling(namespace)

    @rule(records=records, namespace=namespaces)
    def load_dry(self, records: list[tuple[str, str]], namespace: str) -> None:
        write_fasta(self.file, records)
        before = shards(self.instance.root)
        report = self.archive.load(self.file, namespace, on_conflict="replace", dry_run=True)
        pairs = [((_LOWER[namespace], alias), text) for alias, text in records]
        outcome = self.model.naming(pairs, "replace")
        assert (report.batch, report.aliases_moved) == (None, outcome.moved)
        assert report.sequences_added == len({t for _, t in records} - set(self.model.sequences))
        assert shards(self.instance.root) == before

    @rule()
    def keep_sha256(self) -> None:
        report = add_sha256(self.instance)
        assert report["added"] == (0 if self.model.has_sha256 else len(self.model.sequences))
        if not self.model.has_sha256:  # what changes nothing is no batch
            self.model.batches.append("digests")
        self.model.has_sha256 = True

    @rule()
    def reopen(self) -> None:
        self.archive.close()
        self.archive = seqarchive.connect(self.instance.root)

    @rule(full=st.booleans())
    def verify(self, full: bool) -> None:
        report = verify(self.instance, full=full)
        assert (report.findings, report.left_over) == ([], [])
        assert report.sequences == len(self.model.sequences)
        assert report.residues == sum(map(len, self.model.sequences))

    # --- questions --------------------------------------------------------------------------

    @rule(data=st.data(), prefix=st.sampled_from(PREFIXES))
    def fetch(self, data: st.DataObject, prefix: str) -> None:
        identifier = prefix + data.draw(st.sampled_from([*ALIASES, "absent"]))
        meant = self.model.meaning(identifier)
        assert (identifier in self.archive) == bool(meant)
        if not meant:
            with pytest.raises(seqarchive.NotFound):
                self.archive.fetch(identifier)
        elif len(meant) > 1:
            with pytest.raises(seqarchive.Ambiguous):
                self.archive.fetch(identifier)
        else:
            (text,) = meant
            start = data.draw(st.integers(0, len(text)))
            end = data.draw(st.integers(start, len(text)))
            assert self.archive.fetch(identifier, start, end) == text[start:end]
            assert self.other.fetch(identifier) == text
            assert self.archive[identifier][start:end] == text[start:end]
            assert self.archive.find(identifier) == sha512t24u(text)

    @precondition(lambda self: self.model.sequences)
    @rule(data=st.data())
    def translate(self, data: st.DataObject) -> None:
        text = data.draw(st.sampled_from(sorted(self.model.sequences)))
        identifier = data.draw(st.sampled_from(computed(text)))
        expected = computed(text)
        if self.model.has_sha256:
            expected.append("sha256:" + hashlib.sha256(text.encode()).hexdigest())
        expected += [f"{namespace}:{alias}" for namespace, alias in sorted(self._names_of(text))]
        assert self.archive.translate(identifier) == expected
        assert self.other.translate(identifier, "ga4gh") == [sq(text)]

    def _names_of(self, text: str) -> list[tuple[str, str]]:
        return [
            (self.model.spelling(namespace), alias)
            for (namespace, alias), meant in self.model.names.items()
            if meant == text
        ]

    # --- what holds after each step ---------------------------------------------------------

    @invariant()
    def both_have_the_same(self) -> None:
        if not hasattr(self, "archive"):
            return
        model = self.model
        for archive in (self.archive, self.other):
            assert len(archive) == len(model.sequences)
            assert list(archive) == [sq(text) for text in model.sequences]
            assert {
                (alias.namespace, alias.alias): digest for alias, digest in archive.all_aliases()
            } == {
                (model.spelling(namespace), alias): sha512t24u(text)
                for (namespace, alias), text in model.names.items()
            }
        assert [str(sequence) for sequence in self.archive.sequences()] == list(model.sequences)
        requests = [(f"{ns}:{alias}", None, None) for ns, alias in model.names]
        assert self.other.fetch_many(requests) == list(model.names.values())
        batches = list(self.archive.batches())
        assert [batch["batch"] for batch in batches] == list(range(1, len(model.batches) + 1))
        assert [batch["kind"] for batch in batches] == model.batches
        status = self.other.status()
        assert status["residues"] == sum(map(len, model.sequences))
        assert status["aliases"] == len(model.names)
        with closing(Database.of(self.instance)) as database:
            assert tallies.kept(database.connection) == tallies.counted(database.connection)
        assert status["shards"] == len(shards(self.instance.root))
        assert list(self.instance.temporary.glob("*")) == []

    @invariant()
    def an_export_has_everything(self) -> None:
        if not hasattr(self, "archive"):
            return
        deflines = [defline for defline, _ in fasta_records(self.archive)]
        assert deflines == [
            " ".join([sq(text), *(f"{ns}:{alias}" for ns, alias in sorted(self._names_of(text)))])
            for text in self.model.sequences
        ]


def test_an_archive_answers_as_a_dict_of_names_would() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call, unused-ignore]
        AnArchive,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
