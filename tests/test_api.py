"""What the Python interface promises: names, ranges, sequences like ``str``, threads, forks."""

from __future__ import annotations

import gc
import io
import os
import pickle
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from helpers import computed, open_descriptors, sha512t24u, shards, sq, tree, write_fasta
from hypothesis import given, settings
from hypothesis import strategies as st

import seqarchive
from seqarchive import Ambiguous, Archive, ArchivedSequence, LoadOptions, NotFound
from seqarchive.deflines import Naming
from seqarchive.identifiers import Alias, digest_of
from seqarchive.instances import Instance
from seqarchive.loading import load
from seqarchive.sources.base import persistently
from seqarchive.writing import initialise

RANDOM = random.Random(20240601)


def residues(length: int, letters: str = "ACGT") -> str:
    return "".join(RANDOM.choices(letters, k=length))


#: Empty, in one block, at the ends of a block, over several, over several pieces of a walk.
TEXTS = {
    "empty": "",
    "one": "A",
    "short": residues(50),
    "protein": residues(300, "ACDEFGHIKLMNPQRSTVWY*-"),
    "block": residues(16_349),
    "more": residues(16_350),
    "blocks": residues(50_000),
    "pieces": residues(150_000),
}


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """An archive of ``TEXTS`` in the namespace ``t``; nobody changes it."""
    directory = tmp_path_factory.mktemp("texts")
    initialise(Instance(directory / "root"))
    with seqarchive.connect(directory / "root") as archive:
        archive.load(write_fasta(directory / "x.fa", TEXTS), "t")
        yield archive


def in_another_process(script: str, *arguments: str | os.PathLike[str]) -> str:
    """What a script prints; any warning or error of it fails the test."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *(os.fspath(part) for part in arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


# --- opening ----------------------------------------------------------------------------------


def test_an_archive_opens_by_path_address_or_instance(texts: Archive, tmp_path: Path) -> None:
    root = texts.instance.root
    spaced = tmp_path / "a b%20c"
    shutil.copytree(root, spaced)
    for address in (
        root,
        str(root),
        f"{root}/",
        root.as_uri(),
        f"file://localhost{root}",
        spaced.as_uri(),
        root / "master",
        (root / "master").as_uri(),
    ):
        with seqarchive.connect(address) as archive:
            assert archive.fetch("t:short", 3, 9) == TEXTS["short"][3:9]
            assert archive.instance.name == "master"


def test_an_instance_opens_by_its_name_or_its_directory(texts: Archive, tmp_path: Path) -> None:
    shutil.copytree(texts.instance.directory, tmp_path / "2024-06-01")
    for archive in (
        seqarchive.connect(tmp_path, "2024-06-01"),
        seqarchive.connect(tmp_path / "2024-06-01"),
    ):
        assert archive.instance.name == "2024-06-01"
        assert archive.fetch("t:one") == "A"
        with pytest.raises(seqarchive.ReadOnly):
            archive["t:new"] = "CC"
        archive.close()


def test_what_cannot_be_opened_says_why(
    tmp_path: Path, texts: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(persistently, "__defaults__", ((0.0,), time.sleep))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    for absent in (tmp_path, tmp_path / "absent", (tmp_path / "absent").as_uri()):
        with pytest.raises(seqarchive.NotFound, match="there is no archive") as caught:
            seqarchive.connect(absent)
        assert isinstance(caught.value, KeyError)
    with pytest.raises(seqarchive.NotFound, match="2030-01-01"):
        seqarchive.connect(texts.instance.root, "2030-01-01")
    for foreign in ("s3://bucket/x", "https://127.0.0.1:1/x", f"file://host{tmp_path}"):
        with pytest.raises(seqarchive.SourceError):
            seqarchive.connect(foreign)
    assert list(tmp_path.iterdir()) == []


def test_an_archive_opened_by_a_relative_path_stays_where_it_is(
    texts: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(texts.instance.root.parent)
    with seqarchive.connect("root") as archive:
        monkeypatch.chdir(tmp_path)
        assert archive.fetch("t:blocks") == TEXTS["blocks"]
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(archive.fetch, "t:short").result() == TEXTS["short"]
        archive.close()
        assert archive.fetch("t:short") == TEXTS["short"]
        assert pickle.loads(pickle.dumps(archive)).fetch("t:one") == "A"


def test_an_archive_that_was_closed_opens_again_when_it_is_used(texts: Archive) -> None:
    archive = seqarchive.connect(texts.instance.root)
    with archive:
        assert archive.fetch("t:one") == "A"
    archive.close()
    archive.close()
    assert archive.fetch("t:short") == TEXTS["short"]
    archive.close()


# --- names ------------------------------------------------------------------------------------


def test_a_sequence_is_found_by_every_name_it_has(texts: Archive) -> None:
    for name, text in TEXTS.items():
        for identifier in (f"t:{name}", f"T:{name}", name, *computed(text), sha512t24u(text)):
            assert texts.find(identifier) == sha512t24u(text), identifier
            assert identifier in texts
        assert texts.translate(name) == [*computed(text), f"t:{name}"]
        assert texts.aliases(name) == [("t", name)]


def test_what_is_not_found_is_a_key_error_that_names_it(texts: Archive) -> None:
    for call in (
        texts.fetch,
        texts.find,
        texts.translate,
        texts.metadata,
        texts.aliases,
        texts.is_circular,
        lambda name: texts[name],
        lambda name: list(texts.pieces(name)),
        lambda name: texts.fetch_many([("t:one", None, None), (name, 0, 1)]),
    ):
        with pytest.raises(KeyError, match="t:absent") as caught:
            call("t:absent")
        assert isinstance(caught.value, seqarchive.NotFound)
        assert str(caught.value).startswith("'t:absent' is not in the archive")
    for odd in ("", ":", "t:", ":one", "a b", "t:one ", "\x00", "t:\n", "é" * 2000, "%", "t:*"):
        assert odd not in texts, odd
        with pytest.raises(KeyError):
            texts.fetch(odd)
    assert 5 not in texts
    assert None not in texts


def test_an_ambiguous_name_is_a_key_error_that_lists_the_candidates(archive: Archive) -> None:
    archive["x:name"] = "AA"
    archive["y:name"] = "CC"
    archive["z:name"] = "AA"
    with pytest.raises(KeyError) as caught:
        archive.fetch("name")
    assert isinstance(caught.value, seqarchive.Ambiguous)
    assert caught.value.candidates == ("x:name", "y:name", "z:name")
    assert "y:name" in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.candidates) == (str(caught.value), caught.value.candidates)
    assert "name" in archive
    archive.store("AA", ["y:name"], on_conflict="replace")
    assert archive.fetch("name") == "AA"


def test_a_full_name_goes_before_what_it_might_be_taken_apart_into(archive: Archive) -> None:
    archive["x:y:z"] = "AA"
    archive["y:z"] = "CC"
    assert archive.fetch("x:y:z") == "AA"
    assert archive.fetch("y:z") == "CC"
    archive["odd:" + sha512t24u("AA")] = "GG"
    assert archive.fetch("odd:" + sha512t24u("AA")) == "GG"
    with pytest.raises(seqarchive.Ambiguous):
        archive.fetch(sha512t24u("AA"))


def test_namespaces_ignore_case_and_keep_the_spelling_they_first_had(archive: Archive) -> None:
    archive["MyLab:a"] = "AA"
    archive["MYLAB:b"] = "CC"
    archive["genbank:U1.1"] = "GG"
    assert archive.fetch("mylab:b") == "CC"
    assert archive.translate("b")[-1] == "MyLab:b"
    assert archive.translate("EMBL:U1.1", "GenBank") == ["insdc:U1.1"]
    assert archive.status()["namespaces"] == {"MyLab": 2, "insdc": 1}
    assert "MyLab:A" not in archive  # the case of an alias counts


def test_translate_selects_namespaces_and_keeps_the_order_of_many(texts: Archive) -> None:
    assert texts.translate("t:one", "ga4gh") == [sq("A")]
    assert texts.translate("t:one", ["T", "Md5"]) == [computed("A")[1], "t:one"]
    assert texts.translate("t:one", "ensembl") == []
    names = ["t:short", "one", computed(TEXTS["block"])[1], "t:short", "T:empty"]
    assert texts.translate_many(names, "sha512t24u") == [
        (name, ["sha512t24u:" + texts.find(name)]) for name in names
    ]
    assert texts.translate_many([]) == []
    everything = texts.translate_many([f"t:{name}" for name in TEXTS] * 300)
    assert len(everything) == 300 * len(TEXTS)
    assert everything[-1] == ("t:pieces", [*computed(TEXTS["pieces"]), "t:pieces"])
    with pytest.raises(seqarchive.NotFound, match="t:absent"):
        texts.translate_many(["t:one", "t:absent"])


def test_metadata_says_what_is_known(texts: Archive, archive: Archive, data: Path) -> None:
    known = texts.metadata("protein")
    assert known["identifier"] == sq(TEXTS["protein"])
    assert known["length"] == 300
    assert known["alphabet"] == "".join(sorted(set(TEXTS["protein"])))
    assert known["aliases"] == texts.translate("protein")
    assert known["circular"] is False
    assert known["batch"] == 1
    assert known["added"].endswith("Z")
    assert [record["defline"] for record in known["deflines"]] == ["protein"]
    mitochondrion = data / "gb_embl" / "human_mito_rCRS_NC_012920.1.gbff"
    archive.load(mitochondrion, "refseq")
    circular = archive.metadata("NC_012920.1")
    assert circular["circular"] is True
    assert circular["length"] == 16569
    assert circular["identifier"] == "ga4gh:SQ.k3grVkjY-hoWcCUojHw6VU6GE3MZ8Sct"
    assert circular["deflines"][0]["source"] == str(mitochondrion)


def test_the_archive_is_walked_through_in_the_order_of_loading(texts: Archive) -> None:
    assert list(texts) == [sq(text) for text in TEXTS.values()]
    assert [str(sequence) for sequence in texts.sequences()] == list(TEXTS.values())
    assert len(texts) == len(TEXTS)
    assert texts
    assert dict(texts.all_aliases()) == {
        Alias("t", name): sha512t24u(text) for name, text in TEXTS.items()
    }
    assert [str(alias) for alias, _ in texts.all_aliases("T", "b*")] == ["t:block", "t:blocks"]


def test_an_empty_archive_is_true_and_has_nothing(archive: Archive) -> None:
    assert archive
    assert (len(archive), list(archive), list(archive.batches())) == (0, [], [])


def test_status_counts(texts: Archive) -> None:
    status = texts.status()
    assert status["sequences"] == len(TEXTS)
    assert status["residues"] == sum(map(len, TEXTS.values()))
    assert status["namespaces"] == {"t": len(TEXTS)}
    assert (status["batches"], status["shards"], status["ended_aliases"]) == (1, 1, 0)


# --- ranges -----------------------------------------------------------------------------------


@given(st.sampled_from(sorted(TEXTS)), st.data())
def test_every_range_that_a_sequence_has_is_fetched(
    texts: Archive, name: str, data: st.DataObject
) -> None:
    text = TEXTS[name]
    start = data.draw(st.none() | st.integers(0, len(text)))
    end = data.draw(st.none() | st.integers(start or 0, len(text)))
    assert texts.fetch(f"t:{name}", start, end) == text[start:end]


@given(st.sampled_from(sorted(TEXTS)), st.integers(-300_000, 300_000), st.integers(-9, 300_000))
def test_a_range_that_a_sequence_does_not_have_is_refused_and_clamped_on_request(
    texts: Archive, name: str, start: int, end: int
) -> None:
    text = TEXTS[name]
    if 0 <= start <= end <= len(text):
        assert texts.fetch(name, start, end) == text[start:end]
        return
    with pytest.raises(seqarchive.BadInterval, match=f"^t:{name}: "):
        texts.fetch(f"t:{name}", start, end)
    first, last = (max(0, min(position, len(text))) for position in (start, end))
    if first <= last:
        assert texts.fetch(name, start, end, clamp=True) == text[first:last]
    else:
        with pytest.raises(seqarchive.BadInterval):
            texts.fetch(name, start, end, clamp=True)


def test_positions_beyond_any_machine_word_are_just_beyond_the_end(texts: Archive) -> None:
    for position in (2**31, 2**63, 2**64, 10**30):
        with pytest.raises(seqarchive.BadInterval):
            texts.fetch("t:short", 0, position)
        assert texts.fetch("t:short", 1, position, clamp=True) == TEXTS["short"][1:]
        assert texts.fetch("t:short", position, clamp=True) == ""


def test_many_ranges_come_in_the_order_asked(texts: Archive) -> None:
    choose = random.Random(3)
    requests: list[tuple[str, int | None, int | None]] = []
    for name in choose.choices(sorted(TEXTS), k=400):
        start = choose.randint(0, len(TEXTS[name]))
        requests.append((f"t:{name}", start, choose.randint(start, len(TEXTS[name]))))
    requests += [("t:short", None, None), ("t:short", 3, None), ("t:short", None, 3)]
    assert texts.fetch_many(requests) == [
        TEXTS[name.removeprefix("t:")][start:end] for name, start, end in requests
    ]
    assert texts.fetch_many(iter(requests[:3])) == texts.fetch_many(requests[:3])
    assert texts.fetch_many([]) == []
    assert texts.fetch_many([("one", 0, 9)], clamp=True) == ["A"]
    with pytest.raises(seqarchive.BadInterval):
        texts.fetch_many([("one", 0, 1), ("one", 0, 9)])


@given(st.sampled_from(sorted(TEXTS)), st.integers(1, 200_000))
def test_pieces_make_up_the_sequence_and_none_is_larger_than_asked(
    texts: Archive, name: str, size: int
) -> None:
    size = max(size, len(TEXTS[name]) // 50)
    pieces = list(texts.pieces(name, size))
    assert "".join(pieces) == TEXTS[name]
    assert all(0 < len(piece) <= size for piece in pieces)


def test_a_circular_sequence_has_ranges_over_its_origin(archive: Archive, tmp_path: Path) -> None:
    text = TEXTS["blocks"]
    file = write_fasta(tmp_path / "x.fa", {"ring": text, "line": text[:-1]})
    report = archive.load(file, "x", circular=frozenset({"ring"}))
    assert report.circular == 1
    assert archive.is_circular("x:ring")
    assert not archive.is_circular("x:line")
    assert archive.fetch("x:ring", 49_990, 5) == text[49_990:] + text[:5]
    assert archive.fetch("x:ring", 20_000, 19_999) == text[20_000:] + text[:19_999]
    assert archive.fetch("x:ring", 50_000, 2) == text[:2]
    assert archive.fetch_many([("x:ring", 49_999, 1)]) == [text[-1] + text[0]]
    with pytest.raises(seqarchive.BadInterval, match="not circular"):
        archive.fetch("x:line", 40_000, 5)
    with pytest.raises(seqarchive.BadInterval):
        archive.fetch("x:ring", 50_001, 5)


def test_residues_that_are_not_those_of_the_digest_are_not_returned(archive: Archive) -> None:
    archive["x:a"] = "ACGTACGT"
    archive["x:b"] = "TTTTCCCC"
    archive["x:c"] = TEXTS["blocks"]
    with closing(sqlite3.connect(archive.instance.database)) as connection, connection:
        connection.execute("UPDATE sequences SET shard_id = 1, offset = 34 WHERE id = 2")
        connection.execute("UPDATE sequences SET offset = offset - 1 WHERE id = 3")
    assert archive.fetch("x:a") == "ACGTACGT"
    for name in ("x:b", "x:c"):
        with pytest.raises(seqarchive.DigestMismatch, match="verify --full"):
            archive.fetch(name)
        with pytest.raises(seqarchive.DigestMismatch, match="verify --full"):
            str(archive[name])
        with pytest.raises(seqarchive.DigestMismatch, match="verify --full"):
            list(archive.pieces(name))


# --- a sequence is like the str of its residues -----------------------------------------------

POSITIONS = st.none() | st.integers(-200_000, 200_000) | st.integers(-60, 60) | st.just(2**70)
STEPS = st.none() | st.integers(-70_000, 70_000).filter(bool) | st.integers(-5, 5).filter(bool)


@settings(max_examples=300)
@given(st.sampled_from(sorted(TEXTS)), POSITIONS, POSITIONS, STEPS)
def test_every_slice_is_that_of_the_str(
    texts: Archive, name: str, start: int | None, stop: int | None, step: int | None
) -> None:
    assert texts[name][start:stop:step] == TEXTS[name][start:stop:step]


@given(st.sampled_from(sorted(TEXTS)), st.integers(-200_000, 200_000) | st.integers(-60, 60))
def test_every_position_is_that_of_the_str(texts: Archive, name: str, at: int) -> None:
    text = TEXTS[name]
    if -len(text) <= at < len(text):
        assert texts[name][at] == texts[name][np.int64(at)] == text[at]
    else:
        with pytest.raises(IndexError):
            texts[name][at]


def test_what_is_no_position_is_a_type_error_as_for_a_str(texts: Archive) -> None:
    sequence = texts["short"]
    for wrong in (1.0, "1", None, (1, 2)):
        with pytest.raises(TypeError):
            sequence[wrong]  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="step"):
        sequence[::0]
    with pytest.raises(TypeError):
        5 in sequence  # type: ignore[comparison-overlap]  # noqa: B015
    with pytest.raises(TypeError):
        sequence[0] = "A"  # type: ignore[index]


def _parts(text: str) -> st.SearchStrategy[str]:
    inside = st.tuples(st.integers(0, len(text)), st.integers(0, 40) | st.integers(0, 70_000))
    return st.text("ACGT", max_size=4) | inside.map(lambda at: text[at[0] : at[0] + at[1]])


@settings(max_examples=300)
@given(st.sampled_from(sorted(TEXTS)), POSITIONS, POSITIONS, st.data())
def test_searching_finds_what_the_str_finds(
    texts: Archive, name: str, start: int | None, stop: int | None, data: st.DataObject
) -> None:
    text, sequence = TEXTS[name], texts[name]
    part = data.draw(_parts(text))
    assert (part in sequence) == (part in text)
    assert sequence.count(part) == text.count(part)
    assert sequence.find(part) == text.find(part)
    assert sequence.find(part, start or 0, stop) == text.find(part, start, stop)
    if part in text:
        assert sequence.index(part) == text.index(part)
    else:
        with pytest.raises(ValueError, match="not found"):
            sequence.index(part)


@pytest.mark.parametrize("name", TEXTS)
def test_a_whole_sequence_is_like_the_str(texts: Archive, name: str) -> None:
    text, sequence = TEXTS[name], texts[name]
    assert isinstance(sequence, ArchivedSequence)
    assert len(sequence) == len(text)
    assert bool(sequence) == bool(text)
    assert str(sequence) == text
    assert bytes(sequence) == text.encode()
    assert list(sequence) == list(text)
    assert list(reversed(sequence)) == list(reversed(text))
    assert sequence + "ACGT" == text + "ACGT"
    assert "ACGT" + sequence == "ACGT" + text
    assert sequence + sequence == text + text
    assert sequence == text
    assert text == sequence
    assert sequence != text + "A"
    assert sequence != "".join("C" if letter == "A" else "A" for letter in text) + "C"
    assert sequence[:] == text
    assert sequence.identifier == name
    assert sequence.digest == sha512t24u(text)
    assert sequence.aliases == [("t", name)]
    assert str(len(text)) in repr(sequence)
    with pytest.raises(TypeError):
        sequence + 5
    assert sequence != 5
    assert sequence is not None


def test_a_sequence_has_a_reverse_complement(texts: Archive, archive: Archive) -> None:
    complement = str.maketrans("ACGT", "TGCA")
    for name in ("empty", "one", "short", "pieces"):
        assert texts[name].reverse_complement() == TEXTS[name].translate(complement)[::-1]
    archive["x:rna"] = "AACGUN"
    assert archive["x:rna"].reverse_complement() == "NACGUU"


def test_sequences_are_equal_and_hash_alike_if_their_residues_are(
    texts: Archive, archive: Archive
) -> None:
    archive["x:other"] = TEXTS["short"]
    one, two, other = texts["short"], texts[sq(TEXTS["short"])], archive["x:other"]
    assert one == two == other
    assert len({one, two, other}) == 1
    assert one != texts["block"]
    assert {one: 1}[other] == 1


def test_a_sequence_reads_no_more_than_it_is_asked_for(texts: Archive) -> None:
    with seqarchive.connect(texts.instance.root) as archive:
        (shard,) = shards(texts.instance.root)
        before = _bytes_read()
        sequence = archive["pieces"]
        assert len(sequence) == 150_000
        assert sequence == archive["t:pieces"]
        assert sequence[100_000:100_010] == TEXTS["pieces"][100_000:100_010]
        assert next(iter(sequence)) == TEXTS["pieces"][0]
        assert _bytes_read() - before < 150_000
        assert shard.stat().st_size < 150_000


def _bytes_read() -> int:
    with open("/proc/self/io") as file:
        return int(file.readline().split()[1])


# --- storing ----------------------------------------------------------------------------------


def test_storing_makes_a_batch_that_is_there_at_once(archive: Archive) -> None:
    digest = archive.store(b"acgt\nACGT", ["x:a", Alias("y", "b"), "X:c"])
    assert digest == sha512t24u("ACGTACGT")
    assert archive["x:a"] == archive["y:b"] == archive["x:c"] == "ACGTACGT"
    archive["x:d"] = TEXTS["pieces"]
    archive["x:e"] = ""
    assert archive.fetch("x:d") == TEXTS["pieces"]
    assert archive.fetch("x:e") == ""
    batches = list(archive.batches())
    assert [batch["batch"] for batch in batches] == [1, 2, 3]
    assert [batch["kind"] for batch in batches] == ["store"] * 3
    assert [batch["n_residues"] for batch in batches] == [8, 150_000, 0]


def test_what_cannot_be_stored_changes_nothing(archive: Archive) -> None:
    archive["x:a"] = "ACGT"
    before = tree(archive.instance.journal)
    failures: list[tuple[type[Exception], Callable[[], object]]] = [
        (seqarchive.BadName, lambda: archive.__setitem__("a", "CC")),
        (seqarchive.BadName, lambda: archive.__setitem__(":a", "CC")),
        (seqarchive.BadName, lambda: archive.__setitem__("x:", "CC")),
        (seqarchive.BadName, lambda: archive.__setitem__("x y:a", "CC")),
        (seqarchive.BadName, lambda: archive.__setitem__("x:a b", "CC")),
        (seqarchive.BadName, lambda: archive.__setitem__("x:a\tb", "CC")),
        (seqarchive.BadName, lambda: archive.__setitem__("x:" + "a" * 1025, "CC")),
        (seqarchive.BadName, lambda: archive.__setitem__("md5:" + "0" * 32, "CC")),
        (seqarchive.BadName, lambda: archive.__setitem__(sq("CC"), "CC")),
        (seqarchive.BadName, lambda: archive.store("CC", [])),
        (seqarchive.BadName, lambda: archive.store("CC", ["x:new", "new"])),
        (seqarchive.BadInput, lambda: archive.store("C1C", ["x:new"])),
        (seqarchive.BadInput, lambda: archive.store("Cé", ["x:new"])),
        (seqarchive.BadInput, lambda: archive.store(b"C\xff", ["x:new"])),
        (seqarchive.BadInput, lambda: archive.store(">x\nCC", ["x:new"])),
        (seqarchive.AliasConflict, lambda: archive.store("CC", ["x:new", "x:a"])),
        (ValueError, lambda: archive.store("CC", ["x:new"], on_conflict="guess")),
    ]
    for kind, call in failures:
        with pytest.raises(kind):
            call()
        assert len(archive) == 1
        assert "x:new" not in archive
        assert len(list(archive.batches())) == 1
    assert tree(archive.instance.journal) == before


def test_load_takes_files_and_options_and_reports(archive: Archive, tmp_path: Path) -> None:
    one = write_fasta(tmp_path / "1.fa", {"a": "ACGT", "b": "GG"})
    two = tmp_path / "2.fa"
    two.write_text(">c\nTT\n>bad\nT8\n>a\nTTT\n")
    read: list[int] = []
    report = archive.load(
        [one, str(two)],
        "NCBI",
        skip_errors=True,
        on_conflict="keep",
        circular=frozenset({"b"}),
        threads=0,
        progress=read.append,
    )
    assert report.namespace == "refseq"
    assert (report.records, report.circular, report.aliases_kept) == (4, 1, 1)
    assert len(report.skipped) == len(report.conflicts) == 1
    assert sum(read) == one.stat().st_size + two.stat().st_size
    assert archive.fetch("refseq:b", 1, 0) == "G"
    dry = archive.load(one, "other", dry_run=True)
    assert (dry.batch, dry.aliases_added) == (None, 2)
    assert "other:a" not in archive
    for wrong, kind in (
        ({"on_conflict": "guess"}, ValueError),
        ({"no_such_option": 1}, TypeError),
    ):
        with pytest.raises(kind):
            archive.load(one, "x", **wrong)
    with pytest.raises(seqarchive.NotFound):
        archive.load(tmp_path / "absent", "x")
    with pytest.raises(seqarchive.BadInput) as caught:
        archive.load(two, "x")
    assert (caught.value.file, caught.value.line) == (str(two), 4)


# --- threads, forks, descriptors, commits of others -------------------------------------------


@pytest.fixture(scope="module")
def many_shards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Archive, list[str]]]:
    """An archive of 150 shards with a sequence each, ``t:0`` to ``t:149``."""
    directory = tmp_path_factory.mktemp("shards")
    found = [residues(16_400) for _ in range(150)]  # longer than a block, which has one shard
    file = write_fasta(directory / "x.fa", {str(n): text for n, text in enumerate(found)})
    options = LoadOptions(Naming("t"), shard_bytes=100)
    report = load(Instance(directory / "root"), [str(file)], options)
    assert report.shards == 150
    with seqarchive.connect(directory / "root") as archive:
        yield archive, found


def test_however_many_shards_there_are_few_are_open(
    many_shards: tuple[Archive, list[str]],
) -> None:
    archive, found = many_shards
    for _ in range(2):
        assert [archive.fetch(f"t:{n}") for n in range(150)] == found
    opened = [os.readlink(f"/proc/self/fd/{fd}") for fd in _descriptors()]
    assert 0 < sum(str(archive.instance.journal) in name for name in opened) <= 128
    archive.close()
    gc.collect()
    opened = [os.readlink(f"/proc/self/fd/{fd}") for fd in _descriptors()]
    assert not any(str(archive.instance.root) in name for name in opened)


def _descriptors() -> list[str]:
    return [fd for fd in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{fd}")]


def test_threads_get_exact_residues_while_shards_come_and_go(
    many_shards: tuple[Archive, list[str]],
) -> None:
    archive, found = many_shards

    def hammer(seed: int) -> int:
        choose = random.Random(seed)
        for _ in range(1500):
            n, start = choose.randrange(150), choose.randrange(16_400)
            assert archive.fetch(f"t:{n}", start) == found[n][start:]
        return seed

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(hammer, range(8))) == list(range(8))


def test_threads_that_end_leave_no_descriptor(texts: Archive) -> None:
    def fetch() -> None:
        assert texts.fetch("t:short") == TEXTS["short"]

    def in_threads(number: int) -> None:
        for _ in range(number):
            thread = threading.Thread(target=fetch)
            thread.start()
            thread.join()
        gc.collect()

    in_threads(3)
    before = open_descriptors()
    in_threads(60)
    assert open_descriptors() <= before + 1


def test_archives_that_are_dropped_leave_no_descriptor(texts: Archive) -> None:
    texts.close()
    gc.collect()
    before = open_descriptors()
    for _ in range(300):
        assert seqarchive.connect(texts.instance.root).fetch("t:short") == TEXTS["short"]
    gc.collect()
    assert open_descriptors() <= before


def test_an_archive_that_is_dropped_goes_at_once(texts: Archive) -> None:
    archive = seqarchive.connect(texts.instance.root)
    assert archive.fetch("t:blocks") == TEXTS["blocks"]
    assert "t:absent" not in archive
    gone = weakref.ref(archive)
    enabled = gc.isenabled()
    gc.disable()
    try:
        del archive
        assert gone() is None
    finally:
        if enabled:
            gc.enable()


def test_archives_and_sequences_can_be_pickled(texts: Archive) -> None:
    archive = pickle.loads(pickle.dumps(texts))
    assert type(archive) is Archive
    assert archive.fetch("t:blocks", 7, 77) == TEXTS["blocks"][7:77]
    sequence = pickle.loads(pickle.dumps(texts["t:protein"]))
    assert (sequence.identifier, str(sequence)) == ("t:protein", TEXTS["protein"])
    assert sequence == texts["protein"]
    archive.close()


_WORKERS = """
import multiprocessing, random, sys
import seqarchive

def digests(archive, seed):
    choose = random.Random(seed)
    names = list(archive)
    sequences = [archive[name] for name in choose.choices(names, k=200)]
    assert all(str(sequence) == sequence[:5] + sequence[5:] for sequence in sequences)
    return [archive.find(sequence.identifier) for sequence in sequences]

def same(arguments):
    archive, seed, expected = arguments
    return digests(archive, seed) == expected

if __name__ == "__main__":
    archive = seqarchive.connect(sys.argv[2])
    expected = digests(archive, 1)
    archive[list(archive)[0]]
    context = multiprocessing.get_context(sys.argv[1])
    with context.Pool(3) as pool:
        assert pool.map(same, [(archive, 1, expected)] * 6) == [True] * 6
    assert digests(archive, 1) == expected
    print("ok")
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes_can_be_given_an_archive(
    many_shards: tuple[Archive, list[str]], tmp_path: Path, method: str
) -> None:
    script = tmp_path / "workers.py"
    script.write_text(_WORKERS)
    done = subprocess.run(
        [sys.executable, str(script), method, str(many_shards[0].instance.root)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")


_FORKS = """
import os, sys
import seqarchive

archive = seqarchive.connect(sys.argv[1])
texts = [archive.fetch(f"t:{n}") for n in range(150)]
sequence = archive["t:7"]
children = []
for child in range(4):
    pid = os.fork()
    if pid == 0:
        right = all(archive.fetch(f"t:{n}") == texts[n] for n in range(150) for _ in range(3))
        right = right and str(sequence) == texts[7] and "t:absent" not in archive
        os._exit(0 if right else 1)
    children.append(pid)
right = all(archive.fetch(f"t:{n}") == texts[n] for n in range(150) for _ in range(3))
print(right, [os.waitpid(pid, 0)[1] for pid in children])
archive.store("ACGT", ["new:a"])
print(archive.fetch("new:a"))
pid = os.fork()
if pid == 0:
    archive.store("TTTT", ["new:b"])
    os._exit(0 if archive.fetch("new:b") == "TTTT" else 1)
print(os.waitpid(pid, 0)[1], archive.fetch("new:b"))
"""


def test_an_archive_may_be_used_on_both_sides_of_a_fork(
    many_shards: tuple[Archive, list[str]], tmp_path: Path
) -> None:
    root = tmp_path / "root"
    shutil.copytree(many_shards[0].instance.root, root)
    printed = in_another_process(_FORKS, root)
    assert printed == "True [0, 0, 0, 0]\nACGT\n0 TTTT\n"
    with seqarchive.connect(root) as archive:
        assert archive.fetch_many([("new:a", 0, 4), ("new:b", 0, 4)]) == ["ACGT", "TTTT"]


_STORE = """
import sys, seqarchive
seqarchive.connect(sys.argv[1]).store(sys.argv[2], sys.argv[3:], on_conflict="replace")
"""


def test_what_another_process_commits_is_answered_at_once(archive: Archive) -> None:
    root = archive.instance.root
    archive.store("AAAA", ["x:name", "x:other"])
    kept = archive["x:name"]
    assert archive.fetch("x:name") == archive.fetch("name") == "AAAA"
    assert "x:new" not in archive
    assert len(archive) == 1
    in_another_process(_STORE, root, "CCCC", "x:name", "x:new", "late:first")
    assert archive.fetch("x:name") == archive.fetch("name") == "CCCC"
    assert archive.fetch("x:new") == archive.fetch("LATE:first") == "CCCC"
    assert archive.translate("x:name", "ga4gh") == [sq("CCCC")]
    assert archive.aliases("x:other") == [("x", "other")]
    assert archive.metadata("x:new")["batch"] == 2
    assert archive["x:name"] == "CCCC"
    assert kept == "AAAA"  # a sequence goes on to be the sequence that it was
    assert len(archive) == 2
    in_another_process(_STORE, root, "GGGG", "late:name")
    with pytest.raises(seqarchive.Ambiguous):
        archive.fetch("name")
    assert archive.fetch_many([("x:name", None, None), ("late:name", 1, 3)]) == ["CCCC", "GG"]


def test_readers_see_all_of_a_load_or_nothing_and_never_fail(
    archive: Archive, tmp_path: Path
) -> None:
    stop = threading.Event()
    problems: list[BaseException | str] = []
    expected: dict[int, list[str]] = {n: [residues(60) for _ in range(40)] for n in range(1, 7)}
    archive["x:base"] = TEXTS["blocks"]

    def read() -> None:
        choose = random.Random(1)
        try:
            while not stop.is_set():
                at = choose.randrange(49_000)
                if archive.fetch("x:base", at, at + 900) != TEXTS["blocks"][at : at + 900]:
                    problems.append("wrong residues")
                n = choose.randrange(1, 7)
                if f"b{n}:0" in archive:
                    got = archive.fetch_many([(f"b{n}:{m}", None, None) for m in range(40)])
                    if got != expected[n]:
                        problems.append("wrong batch")
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for n, found in expected.items():
            file = write_fasta(tmp_path / "x.fa", {str(m): text for m, text in enumerate(found)})
            archive.load(file, f"b{n}")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert problems == []
    assert len(archive) == 1 + 6 * 40


def test_errors_survive_pickling_with_what_they_say() -> None:
    errors: list[seqarchive.SeqArchiveError] = [
        seqarchive.BadInput("no residue", file="x.fa", line=7),
        seqarchive.BadName("no name"),
        seqarchive.BadInterval("no range"),
        seqarchive.NotFound("'x' is not in the archive"),
        seqarchive.AliasConflict("two", ["one", "two"]),
        seqarchive.Locked("locked"),
    ]
    for error in errors:
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again)) == (type(error), str(error))
        assert again.exit_code == error.exit_code
        assert vars(again) == vars(error)
    assert str(errors[0]) == "x.fa, line 7: no residue"


def test_the_names_that_the_package_offers_are_there() -> None:
    for name in seqarchive.__all__:
        assert getattr(seqarchive, name) is not None
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = seqarchive.no_such_thing
    assert isinstance(seqarchive.__version__, str)
    assert isinstance(io.StringIO(seqarchive.__doc__).readline(), str)


# --- as a mapping, and out again ------------------------------------------------------------------


def test_it_is_a_mapping(archive: Archive) -> None:
    archive["a:x"], archive["a:y"] = "ACGT", "GGGG"
    names = sorted(f"ga4gh:SQ.{digest_of(text)}" for text in (b"ACGT", b"GGGG"))
    assert sorted(archive.keys()) == names
    assert {name: str(one) for name, one in archive.items()} == dict(
        zip(names, (str(archive[name]) for name in names), strict=True)
    )
    assert sorted(map(str, archive.values())) == ["ACGT", "GGGG"]
    assert len(archive.keys()) == 2
    assert "a:x" in archive.keys()  # noqa: SIM118  (what is tested)
    assert str(archive.get("a:x")) == "ACGT"
    assert archive.get("a:z") is None
    assert archive.get("a:z", "none") == "none"
    archive["b:x"] = "TTTT"
    with pytest.raises(Ambiguous):
        archive.get("x")


def test_what_it_exports_is_loaded_again(archive: Archive, tmp_path: Path) -> None:
    file = tmp_path / "all.fa"
    assert archive.export(file) == 0
    assert file.read_bytes() == b""
    archive["a:x"], archive["a:ü"] = "ACGT" * 50, "GGGG"
    assert archive.export(file) == 2
    initialise(Instance(tmp_path / "other"))
    with seqarchive.connect(tmp_path / "other") as other:
        other.load(file, "a")
        assert list(other.all_aliases()) == list(archive.all_aliases())
    before = file.read_bytes()
    with pytest.raises(NotFound):
        archive.export(file, ["a:x", "a:nothing"])
    assert file.read_bytes() == before
    text = io.StringIO()
    assert archive.export(text, ["a:x"], width=0) == 1
    assert text.getvalue() == f">ga4gh:SQ.{archive.find('a:x')} a:x\n{'ACGT' * 50}\n"
    assert archive.export(text, namespace="a") == 2
