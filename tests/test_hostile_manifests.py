"""Manifests and lists of releases that anybody may have written: refused by name, never followed,
and nothing beside them is touched."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli
from contents import run
from helpers import tree, write_fasta
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seqarchive import Corrupt, NewerFormat, commands
from seqarchive.catalogue import list_snapshots
from seqarchive.instances import Instance
from seqarchive.manifests import VERSION, Manifest, ManifestFile, read_manifest
from seqarchive.releases import listed_sha256, releases
from seqarchive.verifying import verify

GOOD: dict[str, Any] = {
    "format": "seqarchive-snapshot",
    "version": 1,
    "name": "r1",
    "created": "2024-06-01T12:00:00.000001Z",
    "archive_id": "0f0f",
    "batch": 7,
    "parent": "r0",
    "seqarchive": "1.0.0",
    "counts": {"aliases": 3, "sequences": 2},
    "files": [
        {"path": "aliases.sqlite3", "bytes": 4096, "sha256": "0" * 64},
        {"path": "sequences/2024/0601/120000/1.000000.fa.bgz", "bytes": 0, "sha256": "1f" * 32},
    ],
}


def changed(**values: Any) -> bytes:
    return json.dumps(GOOD | values).encode()


def with_files(*files: Any) -> bytes:
    return changed(files=list(files))


def file(path: Any = "a", n_bytes: Any = 1, sha256: Any = "0" * 64) -> dict[str, Any]:
    return {"path": path, "bytes": n_bytes, "sha256": sha256}


def without(key: str) -> bytes:
    return json.dumps({name: value for name, value in GOOD.items() if name != key}).encode()


BAD_PATHS: list[Any] = [
    "..", "../a", "a/../b", "a/..", "/etc/passwd", "/", "", ".", "./a", "a/.", "a//b", "a/", "//a",
    "a\0b", "a\nb", "a\x1b[31m", "\x7f", "\u202ea", "\ud800", "a\u2028b", None, 1, True, [], {},
    ["a"],
]  # fmt: skip

BAD_SIZES: list[Any] = [
    -1,
    True,
    False,
    1.0,
    1.5,
    1e300,
    "1",
    "",
    None,
    [],
    {},
    1 << 63,
    10**30,
    10**4000,
]

BAD_SHA256: list[Any] = [
    "", "0" * 63, "0" * 65, "0" * 64 + "\n", "A" * 64, "g" * 64, "٠" * 64, 0, None, True, [], {},
]  # fmt: skip

BAD_TIMES: list[Any] = [
    "", "2024-06-01", "2024-06-01T12:00:00Z", "2024-06-01T12:00:00.000001",
    "9999-99-99T99:99:99.999999Z", "2024-02-30T12:00:00.000001Z",
    "2024-06-01T24:00:00.000001Z", "2024-06-01T12:00:60.000001Z",
    "2024-06-01T12:00:00.000001Z\n", "٢٠٢٤-06-01T12:00:00.000001Z", "0000-06-01T12:00:00.000001Z",
    "2024-06-01T12:00:00.000001+00:00", 1717243200, 1.5, True, None, [], {},
]  # fmt: skip

BAD_NAMES: list[Any] = [
    "", ".", "..", "../r1", "r1/..", "/r1", "a b", "a\n", "a\0", ".hidden", "-r", "é", "x" * 101, 1,
    True, [], {},
]  # fmt: skip

BAD_TEXTS: list[Any] = ["a\nb", "\x1b[31mred", "\0", "\ud800", None, 1, 1.5, True, [], {}]

WRONG_TYPES: list[Any] = [None, True, 1, 1.5, "text", [], [1], {}, {"a": 1}]


def bad_values() -> Iterator[tuple[str, bytes]]:
    """Values that cannot be in a place where such values can be."""
    for path in BAD_PATHS:
        yield f"path {path!r}", with_files(file(path))
    for size in BAD_SIZES:
        what = "10**4000" if size == 10**4000 else repr(size)
        yield f"size {what}", with_files(file(n_bytes=size))
        yield f"batch {what}", changed(batch=size)
        yield f"count {what}", changed(counts={"aliases": size})
    for sha256 in BAD_SHA256:
        yield f"sha256 {sha256!r}", with_files(file(sha256=sha256))
    for moment in BAD_TIMES:
        yield f"created {moment!r}", changed(created=moment)
    for name in BAD_NAMES:
        yield f"parent {name!r}", changed(parent=name)
    for name in (*BAD_NAMES, None):
        yield f"name {name!r}", changed(name=name)
    for text in BAD_TEXTS:
        yield f"archive_id {text!r}", changed(archive_id=text)
        yield f"seqarchive {text!r}", changed(seqarchive=text)


def bad_types() -> Iterator[tuple[str, bytes]]:
    """What is missing, or of a type that cannot be there."""
    for key in GOOD:
        yield f"no {key}", without(key)
    for value in WRONG_TYPES:
        yield f"format {value!r}", changed(format=value)
        if type(value) is not int:
            yield f"version {value!r}", changed(version=value)
        if value != []:
            yield f"files {value!r}", changed(files=value)
        yield f"a file {value!r}", with_files(value)
        if value != {} and value != {"a": 1}:
            yield f"counts {value!r}", changed(counts=value)
        yield f"document {value!r}", json.dumps(value).encode()
    for version in (0, -1, 1.0, "1"):
        yield f"version {version!r}", changed(version=version)


def bad_texts() -> Iterator[tuple[str, bytes]]:
    """Texts that are no manifest for other reasons."""
    yield "counts of odd names", changed(counts={"a\nb": 1})
    yield "a path twice", with_files(file("a"), file("a"))
    yield "paths out of order", with_files(file("b"), file("a"))
    yield "paths twice, apart", with_files(file("a"), file("b"), file("a"))
    yield "no path", with_files({"bytes": 1, "sha256": "0" * 64})
    yield "no size", with_files({"path": "a", "sha256": "0" * 64})
    yield "no sha256", with_files({"path": "a", "bytes": 1})
    for number in ("NaN", "Infinity", "-Infinity", "1e999", "-0.0", "9" * 5000, "-" + "9" * 5000):
        text = number if len(number) < 20 else "5000 digits"
        yield f"size {text}", with_files(file(n_bytes="?")).replace(b'"?"', number.encode())
        yield f"batch {text}", changed(batch="?").replace(b'"?"', number.encode())
    good = json.dumps(GOOD).encode()
    yield "nothing", b""
    yield "white space", b" \n"
    yield "half of it", good[: len(good) // 2]
    yield "all but the end", good[:-1]
    yield "two of them", good + good
    yield "UTF-16", good.decode().encode("utf-16") + b"\xff"
    yield "not UTF-8", good.replace(b'"r1"', b'"r\xff"')
    yield "deep lists", b"[" * 100_000 + b"]" * 100_000
    yield "deep objects", b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    yield "deep files", changed(files="?").replace(b'"?"', b"[" * 50_000 + b"]" * 50_000)
    yield "garbage", bytes(n * n * 31 % 251 for n in range(100_000))
    yield "zeros", bytes(100_000)
    yield "not JSON", b"<html>" * 20_000
    yield "a long name", changed(name="x" * 100_000)


HOSTILE = dict([*bad_values(), *bad_types(), *bad_texts()])


def test_what_all_of_these_are_made_from_is_a_manifest() -> None:
    found = Manifest.from_bytes(json.dumps(GOOD).encode(), "here")
    assert json.loads(found.to_bytes()) == GOOD
    assert found.n_bytes == 4096
    assert Manifest.from_bytes(with_files(), "here").files == ()
    assert Manifest.from_bytes(changed(parent=None), "here").parent is None


@pytest.mark.parametrize("what", HOSTILE)
def test_what_cannot_be_a_manifest_is_corrupt(what: str) -> None:
    with pytest.raises(Corrupt) as caught:
        Manifest.from_bytes(HOSTILE[what], "here")
    assert str(caught.value).startswith("here ")
    assert caught.value.exit_code == 6


@pytest.mark.parametrize("key", ["batch", "name", "files", "counts", "version", "created"])
def test_a_key_that_is_there_twice_is_corrupt(key: str) -> None:
    """Others, who read the first or the last of the two, would read another manifest."""
    text = json.dumps(GOOD).encode()
    twice = text[:-1] + b", " + json.dumps({key: GOOD[key]}).encode()[1:]
    assert json.loads(twice) == GOOD
    with pytest.raises(Corrupt):
        Manifest.from_bytes(twice, "here")


def test_a_key_that_is_there_twice_in_a_file_is_corrupt() -> None:
    text = with_files(file()).replace(b'"path": "a"', b'"path": "../b", "path": "a"')
    with pytest.raises(Corrupt):
        Manifest.from_bytes(text, "here")


@pytest.mark.parametrize("version", [2, 3, 10**9, 10**100])
def test_a_newer_version_is_told_from_damage_whatever_else_it_says(version: int) -> None:
    for text in (changed(version=version), changed(version=version, files="elsewhere", name=1)):
        with pytest.raises(NewerFormat, match="newer seqarchive") as caught:
            Manifest.from_bytes(text, "here")
        assert caught.value.exit_code == 10


# --- properties -------------------------------------------------------------------------------

_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+\-]{0,99}", fullmatch=True)
_printable = st.text(st.characters(exclude_categories=("C", "Z")), max_size=20)
_parts = _printable.filter(lambda text: "/" not in text and text not in ("", ".", ".."))
_paths = st.lists(_parts, min_size=1, max_size=4).map("/".join)
_counts = st.integers(0, (1 << 63) - 1)
_files = st.dictionaries(
    _paths, st.tuples(_counts, st.binary(min_size=32, max_size=32).map(bytes.hex)), max_size=5
).map(lambda found: tuple(ManifestFile(path, *found[path]) for path in sorted(found)))
_manifests = st.builds(
    Manifest,
    name=_names,
    created=st.datetimes(max_value=datetime(8999, 12, 31)).map(
        lambda time: f"{time.year:04}-{time:%m-%dT%H:%M:%S}.{time.microsecond:06}Z"
    ),
    archive_id=_printable,
    batch=_counts,
    parent=st.none() | _names,
    version=_printable,
    counts=st.dictionaries(_printable, _counts, max_size=4),
    files=_files,
)


@settings(max_examples=60, deadline=None)
@given(_manifests)
def test_what_is_written_is_read(manifest: Manifest) -> None:
    text = manifest.to_bytes()
    assert Manifest.from_bytes(text, "here") == manifest
    assert Manifest.from_bytes(text, "here").to_bytes() == text
    assert json.loads(text)["files"] == [
        {"path": path, "bytes": n_bytes, "sha256": sha256}
        for path, n_bytes, sha256 in manifest.files
    ]


_good_text = Manifest.from_bytes(json.dumps(GOOD).encode(), "here").to_bytes()
_edits = st.lists(
    st.tuples(
        st.integers(0, len(_good_text)),
        st.integers(0, 12),
        st.binary(max_size=4)
        | st.sampled_from(
            [b'"', b"{", b"}", b"[", b"]", b",", b":", b"0", b"-", b"e9", b"\\", b".."]
        ),
    ),
    min_size=1,
    max_size=4,
)


def is_one(manifest: Manifest) -> bool:
    """Whether what was read can be a manifest, told in another way than the reader's."""
    paths = [path for path, _, _ in manifest.files]
    return (
        all(re.fullmatch(r"[^/]+(/[^/]+)*", path) for path in paths)
        and not any({".", ".."} & set(path.split("/")) for path in paths)
        and paths == sorted(set(paths))
        and all(type(size) is int and 0 <= size < 1 << 63 for _, size, _ in manifest.files)
        and all(re.fullmatch("[0-9a-f]{64}", sha256) for _, _, sha256 in manifest.files)
        and type(manifest.batch) is int
        and manifest.batch >= 0
    )


@settings(max_examples=200, deadline=None)
@given(_edits)
@example([(len(_good_text), 0, b"\xff")])
@example([(_good_text.index(b'"bytes": 4096') + 9, 4, b"9" * 30)])
def test_a_manifest_that_was_changed_is_refused_or_is_a_manifest(
    edits: list[tuple[int, int, bytes]],
) -> None:
    text = bytearray(_good_text)
    for at, n_removed, added in edits:
        text[at : at + n_removed] = added
    try:
        found = Manifest.from_bytes(bytes(text), "here")
    except (Corrupt, NewerFormat):
        return
    assert is_one(found)
    assert Manifest.from_bytes(found.to_bytes(), "here") == found


@settings(max_examples=80, deadline=None)
@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from([*GOOD, "path", "bytes", "sha256"]), inner, max_size=5
            )
        ),
        max_leaves=10,
    ).map(lambda value: json.dumps(value).encode())
)
def test_what_nobody_meant_to_be_a_manifest_is_refused(text: bytes) -> None:
    with pytest.raises((Corrupt, NewerFormat)):
        Manifest.from_bytes(text, "here")


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(list(GOOD)),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=6,
    ),
)
def test_any_value_in_the_place_of_another_is_refused_or_read(key: str, value: Any) -> None:
    try:
        found = Manifest.from_bytes(changed(**{key: value}), "here")
    except (Corrupt, NewerFormat):
        return
    assert is_one(found)
    assert json.loads(found.to_bytes())[key] == value


# --- in an archive ----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("hostile")
    records = write_fasta(directory / "x.fa", {"A.1": "ACGT" * 30})
    for arguments in (["load", "-n", "t", str(records)], ["snapshot", "r1"], ["snapshot", "r2"]):
        assert run(directory / "archive", *arguments)[0] == 0
    return directory / "archive"


@pytest.fixture
def published(root: Path, template: Path) -> Path:
    """An archive with two releases, in a directory with something beside it."""
    subprocess.run(["cp", "-a", str(template), str(root)], check=True)
    os.chmod(root / "r1", 0o755)
    (root.parent / "precious").mkdir()
    (root.parent / "precious" / "thing").write_text("precious")
    return root


def replace(path: Path, text: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(text)


@contextmanager
def nothing_else_is_touched(root: Path) -> Iterator[None]:
    """The archive proper, the other release and what is beside the root stay as they are."""

    def kept() -> list[dict[str, bytes | None]]:
        return [tree(root.parent / "precious"), tree(root / "master"), tree(root / "r2")]

    before = kept()
    mode = (root.parent / "precious").stat().st_mode
    yield
    assert kept() == before
    assert (root.parent / "precious").stat().st_mode == mode
    assert {path.name for path in root.parent.iterdir()} == {"archive", "precious"}


SOME = [
    "path '../a'", "path '/etc/passwd'", "size -1", "size NaN", "size 10**4000", "batch 10**4000",
    "count 10**4000", "size 5000 digits", "a path twice", "deep lists", "not UTF-8", "garbage",
    "nothing", "created '2024-02-30T12:00:00.000001Z'", "counts 'text'",
]  # fmt: skip


@pytest.mark.parametrize("what", SOME)
def test_a_hostile_manifest_is_named_by_every_command_and_in_no_one_s_way(
    published: Path, cli: Cli, what: str
) -> None:
    replace(published / "r1" / "manifest.json", HOSTILE[what])
    with nothing_else_is_touched(published):
        found = Instance(published, "r1")
        with pytest.raises(Corrupt):
            read_manifest(found)
        assert [release.instance.name for release in releases(published)] == ["r2"]
        rows, broken = list_snapshots(published)
        assert [row["name"] for row in rows["snapshots"]] == ["r2"]
        assert len(broken) == 1
        assert "r1" in broken[0]
        listing = cli("snapshots")
        assert (listing.code, listing.err.count("\n")) == (6, 1)
        assert "r1/manifest.json" in listing.err
        result = cli("--instance", "r1", "verify", "--full")
        assert (result.code, result.err) == (6, "")
        assert "manifest.json" in result.out
        assert all(char.isprintable() or char == "\n" for char in result.out + listing.err)
        assert cli("--instance", "r2", "verify", "--full").code == 0
        assert cli("snapshot", "r3").code == 0
        assert cli("prune", "r3").code == 0
        listed = json.loads((published / "releases.json").read_bytes())
        assert [row["name"] for row in listed["releases"]] == ["r2", "r1"]  # as it was listed
        assert listed["latest"] == "r2"


def test_a_manifest_of_a_newer_version_exits_with_10_or_is_named(published: Path, cli: Cli) -> None:
    replace(published / "r1" / "manifest.json", changed(version=VERSION + 1))
    with nothing_else_is_touched(published):
        with pytest.raises(NewerFormat):
            read_manifest(Instance(published, "r1"))
        assert cli("snapshots").code == 6
        assert cli("--instance", "r1", "verify").code in (6, 10)
        assert cli("diff", "--summary", "r1", "r2").code in (0, 10)
        assert cli("--instance", "r2", "verify", "--full").code == 0
        assert cli("snapshot", "r3").code == 0


@pytest.mark.parametrize(
    "created",
    ["9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999998Z", "0001-01-01T00:00:00.000000Z"],
)
def test_a_time_at_the_end_of_times_does_not_stop_the_next_release(
    published: Path, cli: Cli, created: str
) -> None:
    text = json.loads((published / "r1" / "manifest.json").read_bytes()) | {"created": created}
    replace(published / "r1" / "manifest.json", json.dumps(text).encode())
    for name in ("r3", "r4"):
        result = cli("snapshot", name)
        assert (result.code, result.err) == (0, "")
    assert cli("--instance", "r4", "verify", "--full").code == 0
    assert cli("prune", "--keep-last", "9", "--keep-weekly", "9").code == 0


def test_a_manifest_that_is_larger_than_it_says_does_not_stop_the_next_release(
    published: Path, cli: Cli
) -> None:
    """Sizes of which each can be printed, and their sum cannot."""
    size = int("9" * 4300)
    text = with_files(file("a", size), file("b", size))
    replace(published / "r1" / "manifest.json", text)
    for command in (["snapshots"], ["--json", "snapshots"], ["--instance", "r1", "verify"]):
        assert cli(*command).code == 6
    assert cli("snapshot", "r3").code == 0


HOSTILE_LISTS: dict[str, bytes] = {
    "nothing": b"",
    "garbage": HOSTILE["garbage"],
    "deep lists": HOSTILE["deep lists"],
    "deep rows": b'{"releases": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "not UTF-8": b'{"releases": [{"name": "\xff"}]}',
    "a list": b"[]",
    "null": b"null",
    "a number": b"1",
    "no releases": b"{}",
    "releases are null": b'{"releases": null}',
    "releases are a number": b'{"releases": 1}',
    "releases are an object": b'{"releases": {"name": "r1"}}',
    "releases are a text": b'{"releases": "r1"}',
    "rows of wrong types": b'{"releases": [1, null, "r1", [], true, NaN]}',
    "a row without anything": b'{"releases": [{}]}',
    "a name that is a list": b'{"releases": [{"name": []}]}',
    "a name that is an object": b'{"releases": [{"name": {}}]}',
    "a name that is a number": b'{"releases": [{"name": NaN}, {"name": 1e999}]}',
    "a name that leaves the root": b'{"releases": [{"name": "../precious"}], "latest": ".."}',
    "a surrogate": b'{"releases": [{"name": "r0", "x": "\\ud800"}, {"name": "\\ud800"}]}',
    "rows of one name": b'{"releases": [{"name": "r1"}, {"name": "r1"}]}',
    "numbers of 5000 digits": b'{"releases": [{"name": "r2", "bytes": ' + b"9" * 5000 + b"}]}",
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE_LISTS)
@pytest.mark.parametrize("broken", [False, True], ids=["", "and a broken manifest"])
def test_a_hostile_list_of_releases_is_made_anew_from_what_there_is(
    published: Path, cli: Cli, what: str, broken: bool
) -> None:
    if broken:  # whose row the list is asked for
        replace(published / "r1" / "manifest.json", b"broken")
    replace(published / "releases.json", HOSTILE_LISTS[what])
    with nothing_else_is_touched(published):
        with suppress(Corrupt, NewerFormat):
            listed_sha256(published, "r1")
        assert cli("snapshots").code == (6 if broken else 0)
        code = cli("--instance", "r1", "verify", "--full").code
        assert code in ((6,) if broken else (0, 6))
        result = cli("snapshot", "r3")
        assert (result.code, result.err) == (0, "")
        listed = json.loads((published / "releases.json").read_bytes())
        names = [row["name"] for row in listed["releases"]]
        assert [name for name in names if name != "r1"] == ["r2", "r3"]
        assert (listed["latest"], os.readlink(published / "latest")) == ("r3", "r3")
        assert cli("prune", "r3").code == 0


def test_a_row_of_a_broken_release_that_cannot_be_written_again_is_in_nobody_s_way(
    published: Path, cli: Cli
) -> None:
    replace(published / "r1" / "manifest.json", b"broken")
    row = b'{"releases": [{"name": "r1", "x": "\\ud800"}]}'
    replace(published / "releases.json", row)
    assert cli("snapshot", "r3").code == 0
    assert cli("snapshot", "r4").code == 0


@pytest.mark.parametrize(
    "note",
    [
        b"", b"{", b"[]", b"1", b'"full"', b"{}", b'{"full": 1}', b'{"full": null}',
        b'{"full": {}}', b'{"full": {"time": 1, "ok": 1}}',
        b'{"full": {"time": "\\u001b[31m", "ok": true}}',
        b'{"": {"time": "2024", "ok": []}}', b'{"quick": []}', b"\xff", b"[" * 100_000,
        b'{"a":' * 100_000, b'{"full": {"time": "2024-06-01T00:00:00Z"}}', b"9" * 5000,
    ],
    ids=lambda note: repr(note[:30]),
)  # fmt: skip
def test_a_note_of_a_verification_that_is_none_stops_nobody(
    published: Path, cli: Cli, note: bytes
) -> None:
    (published / ".verified").mkdir()
    (published / ".verified" / "r1.json").write_bytes(note)
    for arguments in (["snapshots"], ["--json", "snapshots"]):
        result = cli(*arguments)
        assert (result.code, result.err) == (0, "")
        assert all(char.isprintable() or char == "\n" for char in result.out)
    assert cli("--instance", "r1", "verify").code == 0
    rows = {row["name"]: row for row in json.loads(cli("--json", "snapshots").out)["snapshots"]}
    assert rows["r1"]["verified"]["quick"]["ok"] is True


def link_to(path: Path) -> Callable[[Path], None]:
    def make(place: Path) -> None:
        if place.is_symlink() or place.is_file():
            place.unlink()
        place.symlink_to(path)

    return make


@pytest.mark.parametrize(
    "place", [".snapshot", ".pruned", ".releases.json", ".latest", "releases.json", "latest"]
)
@pytest.mark.parametrize("target", ["precious", "precious/thing", "precious/nothing"])
def test_a_link_in_the_place_of_something_of_ours_leads_nobody_outside(
    published: Path, cli: Cli, place: str, target: str
) -> None:
    outside = published.parent / "precious"
    os.chmod(outside, 0o750)
    link_to(published.parent / target)(published / place)
    with nothing_else_is_touched(published):
        result = cli(*(["snapshot", "r3"] if place != ".pruned" else ["prune", "r1"]))
        assert result.err.count("\n") <= 1
        assert result.code in (0, 1, 4), result.err
        assert not (outside / "nothing").exists()


def test_a_link_that_has_the_name_of_a_release_is_none(published: Path, cli: Cli) -> None:
    (published / "r9").symlink_to(published / "r2")
    with nothing_else_is_touched(published):
        rows, broken = list_snapshots(published)
        assert ([row["name"] for row in rows["snapshots"]], broken) == (["r1", "r2"], [])
        assert cli("prune", "r9").code == 3
        assert cli("prune", "--keep-last", "1").code == 0
        assert (published / "r9").is_symlink()


@pytest.mark.parametrize("latest", ["../precious", "/", "..", ".", "r1/..", "nothing", "\u202e"])
def test_latest_leads_to_nothing_but_a_release(published: Path, cli: Cli, latest: str) -> None:
    (published / "latest").unlink()
    (published / "latest").symlink_to(latest)
    with nothing_else_is_touched(published):
        for command in (["get", "t:A.1"], ["verify"], ["status"]):
            result = cli("--instance", "latest", *command)
            assert result.code in (3, 5), result
            assert result.err.count("\n") == 1
        assert cli("snapshots").code == 0
        assert cli("snapshot", "r3").code == 0
        assert os.readlink(published / "latest") == "r3"


def test_verify_of_a_manifest_that_names_files_outside_reads_none_of_them(
    published: Path,
) -> None:
    document = json.loads((published / "r1" / "manifest.json").read_bytes())
    document["files"].insert(0, file("../../precious/thing", 8))
    replace(published / "r1" / "manifest.json", json.dumps(document).encode())
    report = verify(Instance(published, "r1"), full=True)
    assert [finding.where for finding in report.findings] == ["manifest.json"]
    assert commands.run(["--root", str(published), "-q", "snapshots"]) == 6
