"""A RefgetStore may be written by anybody: what is wrong in it is an error of one line.

Whatever its files say or are, the answers are right or there are none; nothing outside of the
store is opened (the kernel tells), nothing is waited for that never comes, and no number in a file
decides how much memory is taken. One store is written down by hand, and each test spoils one thing
of a copy: what section 4.6 of the notes on the format says that gtars falls for, and more.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from gtars.refget import RefgetStore as Theirs
from helpers import sha512t24u, tree, write_fasta
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import Answer, serving
from test_rgstore_reader import by_hand, row

import seqarchive
from seqarchive import Corrupt, DigestMismatch, RefgetStore, SeqArchiveError, SourceError
from seqarchive.identifiers import Alias, Digest
from seqarchive.rgstore.collected import StoreCollection
from seqarchive.seqcol.digests import Member

_RECORDS = {"a": "ACGTTGCAAC", "b": "GGGGTTTTCC", "long": "ACGTTGCA" * 10_000, "empty": ""}
_OTHER = {"a": "ACGTTGCAAC", "c": "MEVKLW"}
_TRUTH = {sha512t24u(text): text for text in (_RECORDS | _OTHER).values()}
_A, _B, _LONG = (sha512t24u(_RECORDS[name]) for name in ("a", "b", "long"))
_SECRET = "SECRETSECRET"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with all that one can have; nobody changes it. Beside it, what is none of it."""
    directory = tmp_path_factory.mktemp("hostile")
    store = directory / "store"
    first = by_hand(store, _RECORDS)
    index = (store / "collections.rgci").read_text()
    second = by_hand(
        store, _OTHER, sequence_alias_namespaces=["lab"], collection_alias_namespaces=["set"]
    )
    lines = {*index.splitlines()[1:], (store / "collections.rgci").read_text().splitlines()[1]}
    (store / "collections.rgci").write_text("\n".join(["#digest", *sorted(lines), ""]))
    rows = [row(name, text) for name, text in (_RECORDS | _OTHER).items()]
    rows.sort(key=lambda line: line.split("\t")[3])
    (store / "sequences.rgsi").write_text("#name\n" + "".join(rows))
    for name, text in (
        ("aliases/sequences/lab.tsv", f"one\t{_A}\ntwo\t{_LONG}\n"),
        ("aliases/collections/set.tsv", f"first\t{first}\nsecond\t{second}\n"),
        (f"fhr/{first}.fhr.json", '{"genome": "x"}'),
    ):
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_text(text)
    (directory / "outside").mkdir()
    (directory / "outside" / "canary").write_text(_SECRET)
    return directory


@pytest.fixture
def place(original: Path, tmp_path: Path) -> Path:
    """A copy, to be spoiled."""
    shutil.copytree(original, tmp_path / "place")
    return tmp_path / "place"


_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def untouched(directory: Path) -> Iterator[None]:
    """Nothing in a directory is opened, read or changed meanwhile."""
    before = tree(directory)
    fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert fd >= 0
    try:
        for path in (directory, *(path for path in directory.rglob("*") if path.is_dir())):
            assert _libc.inotify_add_watch(fd, os.fsencode(path), 0xFFF) > 0
        yield
        with pytest.raises(BlockingIOError):
            os.read(fd, 4096)
    finally:
        os.close(fd)
    assert tree(directory) == before


T = TypeVar("T")


class Probe:
    """Everything that can be asked of a store: answers that are right, or errors."""

    def __init__(self, address: str | Path) -> None:
        self.errors: list[str] = []
        store = self.ask(lambda: RefgetStore(address))
        if store is not None:
            with store:
                self._sequences(store)
                self._collections(store)
                self._rest(store)

    def ask(self, read: Callable[..., T], *arguments: object, **options: object) -> T | None:
        """The answer; None if there is an error, which is one line."""
        try:
            found = read(*arguments, **options)
        except SeqArchiveError as error:
            self.errors.append(f"{type(error).__name__}: {error}")
        else:
            assert _SECRET not in repr(found)
            return found
        assert "\n" not in self.errors[-1]
        assert len(self.errors[-1]) < 1_000
        assert _SECRET not in self.errors[-1]
        return None

    def _sequences(self, store: RefgetStore) -> None:
        for digest, text in _TRUTH.items():
            name = f"ga4gh:SQ.{digest}"
            assert self.ask(store.fetch, name, 2, 9, clamp=True) in (None, text[2:9])
            assert self.ask(store.fetch, name) in (None, text)
            assert "".join(self.ask(_all_pieces, store, name) or [text]) == text
            # An MD5 is believed, whatever it leads to.
            other = self.ask(store.find, hashlib.md5(text.encode()).hexdigest())
            assert other is None or self.ask(store.fetch, other) in (None, _TRUTH.get(other))
            self.ask(store.metadata, name)
            self.ask(store.aliases, name)
        for listed in self.ask(_all_names, store) or []:
            if listed.removeprefix("ga4gh:SQ.") not in _TRUTH:
                assert self.ask(store.fetch, listed) is None
        self.ask(_lengths, store)
        assert self.ask(store.fetch, "lab:one", 1, 3) in (None, "CG")
        assert self.ask(store.fetch, "two", 80_000 - 3) in (None, "GCA")

    def _collections(self, store: RefgetStore) -> None:
        for name, records in (("first", _RECORDS), ("set:second", _OTHER)):
            expected = [(one, len(text), sha512t24u(text)) for one, text in records.items()]
            found = self.ask(store.get_collection, name)
            if found is None:
                continue
            for _ in range(2):
                members = self.ask(_members, found)
                assert members in (None, expected)
            self.ask(found.metadata)
            self.ask(found.level2)
            self.ask(store.fhr, found.digest)
            for one, text in records.items():
                member = self.ask(found.fetch, one, min(3, len(text)), len(text))
                assert member in (None, text[3:])
        for each in self.ask(store.collections) or []:
            self.ask(each.level1)

    def _rest(self, store: RefgetStore) -> None:
        for read in (store.stats, store.__len__, store.list_collections):
            self.ask(read)
        for _, digest in self.ask(_listed, store) or []:
            assert len(digest) == 32
        self.ask(list, store.all_collection_aliases())
        for name in ("../outside/canary", "sequences/../../outside/canary", "lab/../x:one"):
            assert self.ask(store.fetch, name) is None
            assert self.ask(store.fhr, name) is None


def _all_pieces(store: RefgetStore, name: str) -> list[str]:
    return list(store.pieces(name))


def _all_names(store: RefgetStore) -> list[str]:
    return list(store)


def _members(collection: StoreCollection) -> list[Member]:
    return list(collection.members())


def _lengths(store: RefgetStore) -> list[int]:
    return [len(one) for one in store.sequences()]


def _listed(store: RefgetStore) -> list[tuple[Alias, Digest]]:
    return list(store.all_aliases())


def test_what_is_right_is_all_answered(place: Path) -> None:
    found = Probe(place / "store").errors
    assert len(found) == 6, found
    assert all(one.startswith("NotFound: ") for one in found)


# --- what files say ---------------------------------------------------------------------------

Spoil = Callable[[Path], object]

_INDEX, _LISTS, _RGCI = "sequences.rgsi", "collections/*.rgsi", "collections.rgci"


def manifest(**changes: object) -> Spoil:
    """Change the manifest."""

    def spoil(store: Path) -> None:
        document = json.loads((store / "rgstore.json").read_bytes()) | changes
        (store / "rgstore.json").write_text(json.dumps(document))

    return spoil


def replaced(name: str, old: str | bytes, new: str | bytes) -> Spoil:
    """Change a part of a file that is there; ``*`` for what is not known in the name."""

    def spoil(store: Path) -> None:
        (path,) = [one for one in store.glob(name) if _bytes(old) in one.read_bytes()]
        path.write_bytes(path.read_bytes().replace(_bytes(old), _bytes(new)))

    return spoil


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def both(*spoils: Spoil) -> Spoil:
    """One after the other."""

    def spoil(store: Path) -> None:
        for one in spoils:
            one(store)

    return spoil


def swapped(name: str, mark: str) -> Spoil:
    """Two neighbouring lines of a file change places, the first of which has a mark."""

    def spoil(store: Path) -> None:
        (path,) = [one for one in store.glob(name) if mark in one.read_text()]
        lines = path.read_text().splitlines(keepends=True)
        at = next(n for n, line in enumerate(lines) if mark in line)
        lines[at : at + 2] = lines[at + 1], lines[at]
        path.write_text("".join(lines))

    return spoil


def _copied_over(store: Path) -> None:
    first, second = sorted(store.glob(_LISTS), key=lambda path: path.stat().st_size)
    first.write_bytes(second.read_bytes())


_PATH = "../" * 10 + "xx"
_LAB, _SET = "aliases/sequences/lab.tsv", "aliases/collections/set.tsv"
_ROW_A, _ROW_LONG = row("a", _RECORDS["a"]), row("long", _RECORDS["long"])


def _length(name: str, length: str) -> tuple[str, str]:
    line = row(name, _RECORDS[name])
    cells = line.split("\t")
    return line, "\t".join([cells[0], length, *cells[2:]])


#: How a store is spoiled, and a part of an error that follows.
_SAID: dict[str, tuple[Spoil, str]] = {
    "a digest is a path": (replaced(_INDEX, _A, _PATH), "the digest"),
    "a digest is absolute, with a template for it": (
        both(manifest(seqdata_path_template="%s"), replaced(_INDEX, _A, "/etc/passwd")),
        "the digest",
    ),
    "a digest leads to a canary": (
        both(manifest(seqdata_path_template="sequences/%s"),
             replaced(_INDEX, _A, "../../outside/canary")),
        "the digest",
    ),
    "an MD5 is none": (replaced(_INDEX, hashlib.md5(b"MEVKLW").hexdigest(), "F" * 32), "the MD5"),
    "a label is a path": (replaced(_INDEX, "protein", "../x"), "the alphabet"),
    "a row of seven cells": (replaced(_INDEX, "a\t10", "a\tb\t10"), "7 cells"),
    "a length of 2^64-1": (replaced(_INDEX, *_length("long", str(2**64 - 1))), "the length"),
    "a length of 10^14": (replaced(_INDEX, *_length("long", str(10**14))), "the length"),
    "a length of 10^13": (replaced(_INDEX, *_length("long", str(10**13))), "bytes instead of"),
    "a negative length": (replaced(_INDEX, *_length("a", "-1")), "the length"),
    "a length that is less": (replaced(_INDEX, *_length("long", "79999")), "bytes instead of"),
    "no length": (replaced(_INDEX, *_length("a", "0")), "are not those of"),
    "a length of what is empty": (
        replaced(_INDEX, *_length("empty", "5")), "has 0 bytes instead of 5",
    ),
    "rows that disagree": (
        replaced(_INDEX, _ROW_A, _length("a", "9")[1] + _length("a", "11")[1]), "bytes instead of",
    ),
    "digests that are swapped": (
        both(replaced(_INDEX, _A, "-"), replaced(_INDEX, _LONG, _A),
             replaced(_INDEX, "\t-\t", f"\t{_LONG}\t")),
        "bytes instead of",
    ),
    "a huge line": (replaced(_INDEX, "a\t10", "a" * 2_000_000 + "\t10"), "a line of more than"),
    "an index that is not UTF-8": (replaced(_INDEX, "c\t6", b"\xff\xfe\t6"), "UTF-8"),
    "a list that is not UTF-8": (replaced(_LISTS, "c\t6", b"\xff\xfe\t6"), "UTF-8"),
    "a list of another collection": (_copied_over, "is the list of"),
    "a member that is renamed": (replaced(_LISTS, "b\t10", "x\t10"), "is the list of"),
    "members that are swapped": (swapped(_LISTS, "b\t10"), "is the list of"),
    "a member that is lost": (replaced(_LISTS, row("b", _RECORDS["b"]), ""), "is the list of"),
    "a member of another length": (replaced(_LISTS, *_length("long", "9")), "lengths_digest"),
    "a member whose digest is a path": (replaced(_LISTS, _LONG, _PATH), "the digest"),
    "a header of other lengths": (
        lambda store: _reverse(store, _LISTS, "##lengths_digest="), "lengths_digest in the header",
    ),
    "a header that is a path": (
        lambda store: _reverse(store, _LISTS, "##names_digest=", "../"), "of names",
    ),
    "an index of other names": (lambda store: _reverse(store, _RGCI, "\t2\t"), "names_digest in"),
    "an index of more members": (replaced(_RGCI, "\t4\t", "\t400000\t"), "400,000"),
    "a collection that is a path": (replaced(_RGCI, "\t4\t", f"\t4\t{_PATH}\t"), "cells"),
    "aliases of paths": (
        both(replaced(_LAB, _A, _PATH), replaced(_SET, "first\t", f"first\t{_PATH}")), "no digest",
    ),
    "aliases of nothing": (replaced(_LAB, "\t", " "), "no digest"),
}  # fmt: skip


def _reverse(store: Path, name: str, mark: str, more: str = "") -> None:
    """Another digest behind a mark."""
    path = sorted(one for one in store.glob(name) if mark in one.read_text())[0]
    before, _, after = path.read_text().partition(mark)
    path.write_text(before + mark + more + after[31::-1] + after[32:])


@pytest.mark.parametrize("name", _SAID)
def test_whatever_files_say_is_right_or_an_error(place: Path, name: str) -> None:
    spoil, word = _SAID[name]
    spoil(place / "store")
    with untouched(place / "outside"):
        errors = Probe(place / "store").errors
    assert any(word in one for one in errors), errors


def test_no_manifest_leads_out(place: Path) -> None:
    store = place / "store"
    good = (store / "rgstore.json").read_bytes()
    outside = str(place / "outside")
    documents: list[bytes] = [
        b"", b"{", b"[]", b"null", b"7", b'"x"', b"\xff\xfe", good[:-1],
        b"[" * 200_000, b'{"version":' * 100_000, b"{}" * 100,
        good.replace(b'"version": 1', b'"version": NaN'),
        good.replace(b'"version": 1', b'"version": 1e999'),
        good.replace(b'"version": 1', b'"version": ' + b"1" * 6_000),
        good.replace(b'"Raw"', b'"R\xffw"'),
    ]  # fmt: skip
    spoiled: tuple[dict[str, Any], ...] = (
        {"version": True}, {"version": "1"}, {"version": -1}, {"version": None},
        {"mode": None}, {"mode": ["Raw"]}, {"mode": "x" * 1_000_000},
        {"seqdata_path_template": "../outside/%s"}, {"seqdata_path_template": f"{outside}/%s"},
        {"seqdata_path_template": "sequences/../../outside/%s"}, {"seqdata_path_template": "one"},
        {"seqdata_path_template": "%s2/%s4"}, {"seqdata_path_template": "a\0/%s"},
        {"seqdata_path_template": "a\\%s"}, {"seqdata_path_template": "%s" * 100_000},
        {"seqdata_path_template": 5}, {"sequence_index": "../outside/canary"},
        {"sequence_index": f"{outside}/canary"}, {"sequence_index": ""}, {"sequence_index": None},
        {"sequence_index": "x" * 100_000}, {"collection_index": "../outside/canary"},
        {"collection_index": f"{outside}/canary"}, {"collection_index": []},
        {"sequence_alias_namespaces": ["../../outside/canary"]},
        {"sequence_alias_namespaces": ["/etc/passwd"]}, {"sequence_alias_namespaces": [".."]},
        {"sequence_alias_namespaces": ["a/b"]}, {"sequence_alias_namespaces": [5]},
        {"sequence_alias_namespaces": "lab"}, {"sequence_alias_namespaces": ["x" * 100_000]},
        {"collection_alias_namespaces": ["../../../outside/canary"]},
        {"collection_alias_namespaces": {"a": "b"}}, {"logical_sequence_bytes": "many"},
    )  # fmt: skip
    documents += [json.dumps(json.loads(good) | changes).encode() for changes in spoiled]
    with untouched(place / "outside"):
        for document in documents:
            (store / "rgstore.json").write_bytes(document)
            errors = Probe(store).errors
            assert len(errors) == 1, (document[:200], errors)
            assert str(store) in errors[0]
        os.truncate(store / "rgstore.json", 80 << 20)
        assert "more than" in Probe(store).errors[0]
    (store / "rgstore.json").write_bytes(good)
    manifest(sequence_alias_namespaces=["lab", "lab"])(store)
    assert [one.alias for one, _ in RefgetStore(store).all_aliases()] == ["one", "two"]


def test_no_digest_in_a_manifest_is_believed(place: Path) -> None:
    good = hashlib.sha256((place / "store" / _INDEX).read_bytes()).hexdigest()
    for digest, n_sequences in ((good, 5), ("0" * 64, None), ({"a": []}, None)):
        manifest(sequences_digest=digest)(place / "store")
        with pytest.MonkeyPatch.context() as patch, RefgetStore(place / "store") as store:
            patch.setattr("seqarchive.rgstore.opened._TURN", 0.0)  # nobody is about to write
            if n_sequences is None:
                with pytest.raises(Corrupt, match=r"rgstore\.json"):
                    len(store)
            else:
                assert len(store) == n_sequences


def test_what_is_said_of_a_collection_is_an_object_or_an_error(place: Path) -> None:
    (path,) = place.glob("store/fhr/*.json")
    with RefgetStore(place / "store") as store:
        for text in (
            b"", b"[]", b"5", b"{", b"\xff", b"[" * 200_000, b'{"a": NaN}', b'{"a": -Infinity}',
            b'{"a": ' + b"1" * 6_000 + b"}", b'{"a": "\xff"}', b"NaN",
        ):  # fmt: skip
            path.write_bytes(text)
            with pytest.raises(Corrupt, match="no JSON object"):
                store.fhr("first")
        os.truncate(path, 80 << 20)
        with pytest.raises(SourceError, match="more than"):
            store.fhr("first")


_FILES = ("rgstore.json", _INDEX, _RGCI, _LAB, _SET, "first", "second")


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(_FILES), st.integers(0, 2_000), st.integers(0, 255),
    st.sampled_from(["flip", "set", "cut", "insert", "drop"]),
)  # fmt: skip
def test_any_byte_may_be_another(
    original: Path, name: str, at: int, byte: int, change: str
) -> None:
    store = original / "store"
    if name in ("first", "second"):
        lists = sorted(store.glob(_LISTS), key=lambda path: path.stat().st_size)
        path = lists[name == "first"]
    else:
        path = store / name
    good = path.read_bytes()
    at %= len(good)
    path.write_bytes({
        "flip": good[:at] + bytes([good[at] ^ 1 << byte % 8]) + good[at + 1 :],
        "set": good[:at] + bytes([byte]) + good[at + 1 :],
        "cut": good[:at],
        "insert": good[:at] + bytes([byte]) * 3 + good[at:],
        "drop": good[:at] + good[at + 1 + byte :],
    }[change])  # fmt: skip
    try:
        Probe(store)
    finally:
        path.write_bytes(good)


# --- what files are ---------------------------------------------------------------------------

_PAYLOAD = f"sequences/{_LONG[:2]}/{_LONG}.seq"
_PLACES = ("rgstore.json", _INDEX, _RGCI, _LAB, _SET, _PAYLOAD, "list", "fhr/*.json")


def _found(store: Path, name: str) -> Path:
    if name == "list":
        return max(store.glob(_LISTS), key=lambda path: path.stat().st_size)
    return next(store.glob(name))


@pytest.mark.parametrize("kind", ["link", "fifo", "directory", "loop", "gone"])
def test_what_is_no_file_is_not_read(place: Path, kind: str) -> None:
    for name in _PLACES:
        copy = place / f"copy{_PLACES.index(name)}"
        shutil.copytree(place / "store", copy)
        path = _found(copy, name)
        outside = place / "outside" / path.name
        path.rename(outside)
        if kind == "link":
            path.symlink_to(outside)
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "directory":
            path.mkdir()
        elif kind == "loop":
            path.symlink_to(path)
        with untouched(place / "outside"):
            errors = Probe(copy).errors
            if name == "rgstore.json":
                with pytest.raises(SeqArchiveError):
                    seqarchive.connect(copy)
        answered = len(errors) == 6  # all that is there was answered, as if this had never been
        assert answered == (kind == "gone" and name in (_RGCI, "fhr/*.json")), (name, errors)
        if kind != "gone":
            assert any(path.name in one for one in errors), (name, errors)


@pytest.mark.parametrize(
    "name", ["sequences", f"sequences/{_LONG[:2]}", "collections", "aliases", "aliases/sequences",
             "fhr", "scanned"],
)  # fmt: skip
def test_no_directory_leads_out(place: Path, name: str) -> None:
    store = place / "store"
    if name == "scanned":
        manifest(collection_index=None)(store)
    directory = store / ("collections" if name == "scanned" else name)
    directory.rename(place / "outside" / "moved")
    directory.symlink_to(place / "outside" / "moved")
    with untouched(place / "outside"):
        errors = Probe(store).errors
        assert any("is outside of the store" in one for one in errors)
    # Nor is a file where a directory was one.
    directory.unlink()
    directory.write_text("x")
    assert len(Probe(store).errors) > 6 or name == "fhr"


def test_a_store_that_is_itself_a_link_is_one(place: Path) -> None:
    (place / "link").symlink_to(place / "store")
    assert len(Probe(place / "link").errors) == 6


def test_foreign_files_among_lists_are_none_of_them(place: Path) -> None:
    store = place / "store"
    manifest(collection_index=None)(store)
    for name in (b"notes.rgsi", b"a\tb.rgsi", b"\xff.rgsi", b"a\nb.rgsi"):
        Path(os.fsdecode(os.fsencode(store / "collections") + b"/" + name)).write_text("x")
    os.mkfifo(store / "collections" / ("z" * 32 + ".rgsi"))
    (store / "collections" / ("y" * 32 + ".rgsi")).symlink_to(place / "outside" / "canary")
    assert len(Probe(store).errors) == 6
    (store / "collections" / ("x" * 32 + ".rgsi")).write_text(_ROW_A)
    assert any("is the list of" in one for one in Probe(store).errors)


def test_no_number_and_no_size_decides_how_much_memory_is_taken(place: Path) -> None:
    store = place / "store"
    replaced(_INDEX, *_length("long", str(1 << 40)))(store)
    os.truncate(store / _PAYLOAD, 1 << 40)  # without a block of its own on the disk
    os.truncate(store / _LAB, 1 << 33)
    os.truncate(store / _SET, 20 << 30)
    tracemalloc.start()
    with RefgetStore(store) as opened:
        with pytest.raises(SourceError, match="memory"):
            opened.fetch("sha512t24u:" + _LONG)
        pieces = opened.pieces("sha512t24u:" + _LONG)
        assert len(next(pieces)) < 3_000_000
        with pytest.raises(Corrupt, match="a line of more than"):
            opened.fetch("lab:none")
        with pytest.raises(SourceError, match="bytes"):
            opened.collection("first")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16_000_000


# --- on a server ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [_A, _LONG])
def test_a_server_that_never_ends_is_left(
    place: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def endless(answer: Answer) -> None:
        answer.endless = name in answer.path and not answer.path.endswith(".tsv")

    monkeypatch.setenv("SEQARCHIVE_CACHE", str(place / "cache"))
    with serving(place / "store") as server:
        server.fault = endless
        tracemalloc.start()
        with pytest.raises(SourceError, match="more than"), RefgetStore(server.url) as store:
            store.fetch(f"sha512t24u:{name}", 2, 5)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 16_000_000


def test_a_list_does_not_decide_how_residues_are_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQARCHIVE_CACHE", str(tmp_path / "cache"))
    text = "ACGTTGCA" * 40_000
    path = write_fasta(tmp_path / "x.fa", {"x": text})
    made = Theirs.on_disk(str(tmp_path / "store"))
    made.set_quiet(True)
    made.add_sequence_collection_from_fasta(str(path), collection_alias="my:x")
    replaced(_LISTS, "dna2bit", "dna3bit")(tmp_path / "store")
    digest = Digest(sha512t24u(text))
    with serving(tmp_path / "store") as server:
        for address in (server.url, tmp_path / "store"):
            with RefgetStore(address) as store:
                assert store.fetch_digest(digest, 9, 99) == text[9:99]
                with pytest.raises((Corrupt, SourceError)):
                    store.collection("x").fetch("x", 9, 99)
                with pytest.raises((DigestMismatch, Corrupt, SourceError)):
                    store.collection("x").fetch("x")
