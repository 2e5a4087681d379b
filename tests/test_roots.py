"""Several roots at one time, wherever they are: directories, addresses, lists of both."""

from __future__ import annotations

import json
import pickle
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import Cli, Result
from helpers import parse_fasta, sha512t24u, sq, tree, write_fasta
from servers import Answer, FileServer, serving

import seqarchive
from seqarchive import (
    Ambiguous,
    Archives,
    BadInput,
    BadInterval,
    NotFound,
    ReadOnly,
    SourceError,
)
from seqarchive.instances import Instance
from seqarchive.sources.base import persistently
from seqarchive.writing import initialise

LONG = "GATTACAT" * 9_000
PRIVATE = {
    "lab:one": "ACGTACGTAC",
    "lab:both": "CCCCGGGG",
    "lab:differs": "TTTTAAAA",
    "lab:empty": "",
    "lab:ring": "AACCGGTTAC",
}
PUBLIC = {
    "ref:chr": LONG,
    "lab:both": "CCCCGGGG",
    "lab:differs": "GGGGAAAA",
    "ref:same": "ACGTACGTAC",
    "ref:ring": "AACCGGTTAC",
    "ref:HLA:HLA00132": "ACACAC",
}
#: What both together say, but for ``lab:differs``.
UNION = {name: text for name, text in (PRIVATE | PUBLIC).items() if name != "lab:differs"}
TEXTS = {*PRIVATE.values(), *PUBLIC.values()}


@pytest.fixture(autouse=True)
def hasty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other at once, and nothing is cached among the files of the user."""
    monkeypatch.setattr(persistently, "__defaults__", ((0.0, 0.0), time.sleep))
    monkeypatch.setattr(ThreadingHTTPServer, "handle_error", lambda *_arguments: None)
    monkeypatch.setenv("SEQARCHIVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SEQARCHIVE_ROOT", raising=False)


def ok(result: Result) -> Result:
    """A result of a command that did what it was asked for."""
    assert result.code == 0, result
    return result


def refused(result: Result, code: int, *words: str) -> None:
    """The command did nothing but say, in one line, what is wrong and where."""
    assert result.code == code, result
    assert result.out == ""
    assert result.err.startswith("seqarchive: ")
    assert result.err.endswith("\n")
    assert result.err.count("\n") == 1, result.err
    for word in words:
        assert word in result.err, result.err


def made(root: Path, records: dict[str, str]) -> Path:
    """An archive."""
    initialise(Instance(root))
    with seqarchive.connect(root) as archive:
        for name, text in records.items():
            archive[name] = text
    return root


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the two archives are that the tests get copies of; the public one has a release, and
    the ring in it is marked as one."""
    directory = tmp_path_factory.mktemp("originals")
    made(directory / "private", PRIVATE)
    root = made(directory / "public", {k: v for k, v in PUBLIC.items() if k != "ref:ring"})
    with seqarchive.connect(root) as archive:
        ring = write_fasta(directory / "ring.fa", {"ring": PUBLIC["ref:ring"]})
        archive.load(ring, "ref", circular=frozenset({"ring"}), threads=0)
        archive.snapshot("r1")
    return directory


@pytest.fixture
def private(originals: Path, tmp_path: Path) -> Path:
    """The root of a laboratory."""
    return shutil.copytree(originals / "private", tmp_path / "private")


@pytest.fixture
def public(originals: Path, tmp_path: Path) -> Path:
    """A root with a release."""
    return shutil.copytree(originals / "public", tmp_path / "public", symlinks=True)


@pytest.fixture
def server(public: Path) -> Iterator[FileServer]:
    """The public root on a web server."""
    with serving(public) as found:
        yield found


@pytest.fixture(params=["directory", "url", "latest"])
def second(request: pytest.FixtureRequest, public: Path, server: FileServer) -> str:
    """The address of the public root."""
    return {"directory": str(public), "url": server.url, "latest": f"{server.url}/r1"}[
        request.param
    ]


# --- several as one ---------------------------------------------------------------------------


def test_get_finds_each_name_wherever_it_is(cli: Cli, private: Path, second: str) -> None:
    for order in ([str(private), second], [second, str(private)]):
        roots = ["--root", order[0], "--root", order[1]]
        for name, text in UNION.items():
            assert ok(cli(*roots, "get", name)).out == text + "\n"
            assert ok(cli(*roots, "get", sq(text))).out == text + "\n"
        assert ok(cli(*roots, "get", *UNION)).out.split("\n") == [*UNION.values(), ""]
        assert ok(cli(*roots, "get", "chr:7-19", "lab:one:2-4")).out == f"{LONG[7:19]}\nGT\n"
        assert ok(cli(*roots, "get", "ref:HLA:HLA00132:1-3")).out == "CA\n"
        refused(cli(*roots, "get", "lab:one", "lab:nothing"), 3, "lab:nothing")
        refused(cli(*roots, "get", "lab:one:5-50"), 5, "lab:one")


def test_a_name_with_two_meanings_is_ambiguous_and_both_are_named(
    cli: Cli, private: Path, second: str
) -> None:
    for order in ([str(private), second], [second, str(private)]):
        roots = ["--root", order[0], "--root", order[1]]
        for words in (["get"], ["translate"], ["export"]):
            refused(
                cli(*roots, *words, "lab:differs"),
                3,
                f"SQ.{sha512t24u('TTTTAAAA')} in {private}",
                f"SQ.{sha512t24u('GGGGAAAA')} in {second}",
            )
        with pytest.raises(Ambiguous) as caught:
            seqarchive.connect(order).fetch("differs")
        assert set(caught.value.candidates) == {sq("TTTTAAAA"), sq("GGGGAAAA")}
        for text in ("TTTTAAAA", "GGGGAAAA"):
            assert ok(cli(*roots, "get", sq(text))).out == text + "\n"


def test_names_are_those_of_all(cli: Cli, private: Path, second: str) -> None:
    roots = ["--root", str(private), "--root", second]
    assert ok(cli(*roots, "translate", "ref:same", "--to", "lab", "--to", "ref")).out == (
        "lab:one\nref:same\n"
    )
    names = ok(cli(*roots, "translate", "lab:both")).out.split()
    assert names.count("lab:both") == 1
    assert names.count(sq("CCCCGGGG")) == 1
    table = ok(cli(*roots, "export-aliases")).out.splitlines()
    rows = [line.split("\t") for line in table if not line.startswith(("#", "namespace"))]
    expected = [(name, sq(text)) for name, text in UNION.items()]
    expected += [("lab:differs", sq("TTTTAAAA")), ("lab:differs", sq("GGGGAAAA"))]
    assert sorted((f"{row[0]}:{row[1]}", row[2]) for row in rows) == sorted(expected)
    only = ok(cli(*roots, "export-aliases", "--namespace", "REF", "--glob", "HLA*")).out
    assert only.splitlines()[-1] == f"ref\tHLA:HLA00132\t{sq('ACACAC')}"
    refused(cli(*roots, "export-aliases", "--namespace", "nowhere"), 3, "nowhere")


def test_what_is_missing_is_in_none_of_them(
    cli: Cli, private: Path, second: str, tmp_path: Path
) -> None:
    names = tmp_path / "names"
    names.write_text("lab:one\nref:chr\nlab:nothing\nlab:differs\n")
    roots = ["--root", str(private), "--root", second]
    result = cli(*roots, "--json", "missing", "--from", names)
    assert result.code == 3
    assert json.loads(result.out) == {
        "asked": 4,
        "missing": ["lab:nothing"],
        "ambiguous": ["lab:differs"],
    }
    assert cli(*roots, "missing", "lab:one", "ref:chr").code == 0


def test_an_export_has_each_sequence_once_with_the_names_of_all(
    cli: Cli, private: Path, second: str
) -> None:
    roots = ["--root", str(private), "--root", second]
    records = parse_fasta(ok(cli(*roots, "export")).out)
    assert len(records) == len(TEXTS)
    assert {line.split()[0]: text for line, text in records} == {sq(text): text for text in TEXTS}
    names = {line.split()[0]: line.split()[1:] for line, _ in records}
    assert names[sq("ACGTACGTAC")] == ["lab:one", "ref:same"]
    assert names[sq("CCCCGGGG")] == ["lab:both"]
    asked = parse_fasta(ok(cli(*roots, "export", "ref:same", "lab:one", "lab:empty")).out)
    one = (f"{sq('ACGTACGTAC')} lab:one ref:same", "ACGTACGTAC")
    assert asked == [one, (f"{sq('')} lab:empty", "")]
    for namespace, expected in (("ref", 4), ("lab", 6)):
        for spelling in (namespace, namespace.upper()):
            some = parse_fasta(ok(cli(*roots, "export", "--namespace", spelling)).out)
            assert len({text for _, text in some}) == len(some) == expected
    assert ok(cli(*roots[2:], *roots[:2], "export", "--namespace", "lab")).out.count(">") == 6


def test_a_namespace_that_each_spells_in_its_own_way_is_one(cli: Cli, tmp_path: Path) -> None:
    one = made(tmp_path / "1", {"MyLab:a": "ACGT", "MyLab:b": "CCCC"})
    two = made(tmp_path / "2", {"mylab:a": "ACGT", "mylab:c": "GGGG"})
    roots = ["--root", str(one), "--root", str(two)]
    for spelling in ("MyLab", "mylab", "MYLAB"):
        records = parse_fasta(ok(cli(*roots, "export", "--namespace", spelling)).out)
        assert sorted(text for _, text in records) == ["ACGT", "CCCC", "GGGG"]
        table = ok(cli(*roots, "export-aliases", "--namespace", spelling)).out
        assert {line.split("\t")[1] for line in table.splitlines()[1:]} == {"a", "b", "c"}
    assert ok(cli(*roots, "get", "MYLAB:a", "mylab:b", "MyLab:c")).out == "ACGT\nCCCC\nGGGG\n"


def test_an_export_of_several_loads_again_into_one_that_says_the_same(
    cli: Cli, private: Path, second: str, tmp_path: Path
) -> None:
    with seqarchive.connect(private) as archive:
        archive.retire(["lab:differs"])
    roots = ["--root", str(private), "--root", second]
    exported = ok(cli(*roots, "export")).out
    new = tmp_path / "new"
    result = cli("--root", new, "load", "-n", "other", "-", stdin=exported.encode())
    assert ok(result).err == ""
    assert ok(cli("--root", new, "export-aliases")).out == ok(cli(*roots, "export-aliases")).out
    with seqarchive.connect(new) as one, seqarchive.connect([str(private), second]) as both:
        assert sorted(one) == sorted(both) == sorted(map(sq, TEXTS))
        assert len(one) == len(both) == len(TEXTS)
        for name in [*UNION, "lab:differs"]:
            assert one.fetch(name) == both.fetch(name)
            assert one.translate(name) == both.translate(name)


def test_in_python_they_are_one_archive(private: Path, second: str) -> None:
    with seqarchive.connect([private.as_uri(), second]) as both:
        assert type(both) is Archives
        for name, text in UNION.items():
            assert both.fetch(name) == both[name] == text
            assert name in both
        assert both.fetch_many([("ref:chr", 5, 50), ("one", None, 3), ("ref:same", 1, 2)]) == [
            LONG[5:50], "ACG", "C"
        ]  # fmt: skip
        assert "".join(both.pieces("chr", 777)) == LONG
        assert dict(both.records()).keys() == set(map(sha512t24u, TEXTS))
        assert [str(alias) for alias in both.aliases("same")] == ["lab:one", "ref:same"]
        assert str(private) in repr(both)
        assert second in repr(both)
        with pytest.raises(NotFound, match="lab:nothing"):
            both.fetch("lab:nothing")
        with pytest.raises(BadInterval):
            both.fetch("lab:one", 3, 99)
        again = pickle.loads(pickle.dumps(both))
    assert again.fetch("ref:chr", 0, 9) == both.fetch("ref:chr", 0, 9) == LONG[:9]
    again.close()
    both.close()


def test_what_is_circular_in_one_is_circular_in_both(cli: Cli, private: Path, second: str) -> None:
    roots = ["--root", str(private), "--root", second]
    with seqarchive.connect([str(private), second]) as both:
        assert both.is_circular("lab:ring")
        assert both.fetch("lab:ring", 8, 3) == "ACAAC"
        assert both.fetch_many([("ref:ring", 8, 3)]) == ["ACAAC"]
        assert both.metadata("lab:ring")["circular"]
    assert ok(cli(*roots, "get", "lab:ring:8-3")).out == "ACAAC\n"


def test_one_archive_twice_is_that_archive(cli: Cli, private: Path) -> None:
    roots = ["--root", str(private), "--root", f"{private}/"]
    assert ok(cli(*roots, "export")).out == ok(cli("--root", private, "export")).out
    assert ok(cli(*roots, "get", "lab:differs")).out == "TTTTAAAA\n"


def test_a_root_that_fails_is_not_taken_for_one_without_the_name(
    cli: Cli, private: Path, server: FileServer, public: Path
) -> None:
    def gone(answer: Answer) -> None:
        if not answer.path.endswith(".json"):
            answer.status, answer.headers, answer.body = 404, {}, b"not here"

    def busy(answer: Answer) -> None:
        answer.status, answer.headers, answer.body = 503, {}, b"busy"

    roots = ["--root", str(private), "--root", server.url]
    with seqarchive.connect([str(private), server.url]) as both:
        assert both.fetch("ref:chr", 0, 5) == LONG[:5]
    # An empty cache, and a database that is larger than what opening it brings.
    more = {f"s{n}": f"{n:b}".replace("0", "A").replace("1", "C") * 9 for n in range(1, 1500)}
    more["differs"] = "GGGGAAAA"
    with seqarchive.connect(public) as archive:
        archive.load(write_fasta(public.parent / "x.fa", more), "lab", threads=0)
        archive.snapshot("r2")
    with seqarchive.connect(private) as archive:
        archive["lab:s1499"] = "TTTT"
    both = seqarchive.connect([str(private), server.url])
    for fault in (gone, busy):
        server.fault = fault
        for call in (both.find, both.fetch, both.translate, both.aliases):
            with pytest.raises(SourceError):
                call("lab:s1499")
    server.fault = None
    with pytest.raises(Ambiguous):
        both.fetch("lab:s1499")
    server.fault = busy
    refused(cli(*roots, "get", "lab:one"), 9, server.url)
    refused(cli(*roots, "missing", "lab:one"), 9, server.url)
    both.close()


def test_a_root_that_is_not_there_is_an_error(cli: Cli, private: Path, tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    for roots in ([private, absent], [absent, private]):
        words = [str(word) for root in roots for word in ("--root", root)]
        refused(cli(*words, "get", "lab:one"), 3, str(absent))
        with pytest.raises(NotFound, match="absent"):
            seqarchive.connect(roots)


# --- writes -----------------------------------------------------------------------------------


def test_writes_go_to_the_first(cli: Cli, private: Path, public: Path, tmp_path: Path) -> None:
    before = tree(public / "master" / "sequences")
    roots = ["--root", str(private), "--root", str(public)]
    file = write_fasta(tmp_path / "x.fa", {"new": "AACCAACC"})
    ok(cli(*roots, "load", "-n", "lab", file))
    ok(cli(*roots, "alias", "add", "lab:new", "lab:newer"))
    ok(cli(*roots, "alias", "retire", "lab:one"))
    ok(cli(*roots, "snapshot", "mine"))
    assert (private / "mine" / "manifest.json").is_file()
    assert not (public / "mine").exists()
    assert tree(public / "master" / "sequences") == before
    with seqarchive.connect(public) as untouched:
        assert "lab:new" not in untouched
        assert "lab:newer" not in untouched
        assert untouched.status()["batches"] == len(PUBLIC)
    with seqarchive.connect(private) as written:
        assert written.fetch("lab:newer") == "AACCAACC"
        assert "lab:one" not in written
    assert ok(cli(*roots, "get", "lab:newer", "ref:chr:0-3")).out == "AACCAACC\nGAT\n"


def test_the_first_that_is_published_is_not_written(
    cli: Cli, private: Path, server: FileServer, tmp_path: Path
) -> None:
    before = tree(private / "master" / "sequences")
    file = write_fasta(tmp_path / "x.fa", {"new": "AACCAACC"})
    roots = ["--root", server.url, "--root", str(private)]
    refused(cli(*roots, "load", "-n", "lab", file), 8, server.url, "seqarchive pull")
    refused(cli(*roots, "snapshot", "r9"), 8, server.url)
    with (
        seqarchive.connect([server.url, str(private)]) as both,
        pytest.raises(ReadOnly, match="published snapshot"),
    ):
        both["lab:new"] = "AACC"
    assert tree(private / "master" / "sequences") == before


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["log"],
        ["log", "--alias", "lab:one"],
        ["alias", "list", "lab:one"],
        ["alias", "history", "lab:one"],
        ["verify"],
        ["snapshots"],
        ["diff", "1", "master"],
        ["export-rgstore"],
    ],
)
def test_what_is_said_of_one_archive_needs_one(
    cli: Cli, private: Path, second: str, words: list[str]
) -> None:
    result = cli("--root", private, "--root", second, *words)
    assert (result.code, result.out) == (2, "")
    assert "--root" in result.err
    ok(cli("--root", private, *words))


def test_what_is_published_is_of_one_archive(cli: Cli, private: Path, tmp_path: Path) -> None:
    ok(cli("--root", private, "snapshot", "r1"))
    public = private.parent / "public"
    result = cli("--root", private, "--root", public, "push", tmp_path / "published", "r1")
    assert (result.code, result.out) == (2, "")
    assert "give one --root" in result.err
    assert not (tmp_path / "published").exists()


# --- lists ------------------------------------------------------------------------------------


@pytest.fixture
def listed(private: Path, server: FileServer, tmp_path: Path) -> Path:
    """A list of a directory, relative to that of the list, and a URL."""
    directory = tmp_path / "lists of roots"
    directory.mkdir()
    path = directory / "both.txt"
    path.write_text(f"# ours first\n\n  ../private  \n\t\n#{tmp_path}/absent\n{server.url}\n")
    return path


def test_a_list_is_what_it_lists(cli: Cli, listed: Path, private: Path, server: FileServer) -> None:
    roots = ["--root", str(private), "--root", server.url]
    for words in (
        ["get", *UNION],
        ["get", "lab:differs"],
        ["export"],
        ["export-aliases"],
        ["translate", "ref:same"],
        ["missing", "lab:nothing"],
        ["status"],
    ):
        expected, found = cli(*roots, *words), cli("--root", listed, *words)
        assert (found.code, found.out) == (expected.code, expected.out)
        assert found.err.count("\n") == expected.err.count("\n")
    assert cli("--root", listed, "get", *UNION).out.split("\n") == [*UNION.values(), ""]
    for address in (listed, str(listed)):
        with seqarchive.connect(address) as both:
            assert isinstance(both, Archives)
            ours, theirs = both.archives
            assert Path(ours.address).samefile(private / "master")
            assert theirs.address == f"{server.url}/r1"
            assert both.fetch("ref:chr", 3, 9) == LONG[3:9]


def test_a_list_may_be_given_beside_others_and_from_anywhere(
    cli: Cli, listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    third = made(tmp_path / "third", {"more:x": "TGTGTG"})
    monkeypatch.chdir(listed.parent)
    result = cli("--root", "both.txt", "--root", "../third", "get", "more:x", "lab:one", "chr:0-3")
    assert ok(result).out == "TGTGTG\nACGTACGTAC\nGAT\n"
    (listed.parent / "one.txt").write_text("../third\r\n")
    assert ok(cli("--root", "one.txt", "get", "more:x")).out == "TGTGTG\n"
    assert ok(cli("--root", "one.txt", "status")).code == 0
    file = write_fasta(tmp_path / "y.fa", {"y": "GG"})
    ok(cli("--root", "one.txt", "load", "-n", "more", file))
    with seqarchive.connect(third) as archive:
        assert archive.fetch("more:y") == "GG"
    assert sorted(path.name for path in listed.parent.iterdir()) == ["both.txt", "one.txt"]


def test_a_list_may_have_addresses_of_files(cli: Cli, private: Path, tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text(f"{private.as_uri()}\n")
    with seqarchive.connect(path) as archive:
        assert archive.fetch("lab:one") == PRIVATE["lab:one"]
    assert ok(cli("--root", path, "get", "lab:one")).out == PRIVATE["lab:one"] + "\n"
    assert ok(cli("--root", private.as_uri(), "get", "lab:one")).out == PRIVATE["lab:one"] + "\n"


def test_nothing_is_written_where_no_root_can_be(
    cli: Cli, private: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    file = str(write_fasta(tmp_path / "x.fa", {"new": "AACC"}))
    for address in ("ftp://example.org/x", "S3://bucket/x", private.as_uri()):
        result = cli("--root", address, "load", "-n", "lab", file)
        assert list(here.iterdir()) == []
        assert (result.code == 0) == (address == private.as_uri()), result
    with seqarchive.connect(private) as archive:
        assert archive.fetch("lab:new") == "AACC"


_BAD_LISTS: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "empty": (b"", ("without any",)),
    "comments": (b"# one\n\n   \n#two", ("without any",)),
    "binary": (b"\x00\x01\x02\x03" * 1000, ("not a list of roots",)),
    "gzip": (b"\x1f\x8b\x08\x04" + bytes(range(256)), ("not a list of roots",)),
    "Latin 1": ("/data/münchen\n".encode("latin-1"), ("UTF-8",)),
    "control characters": (b"/data/one\n/data/\x1b[31mred\n", ("line 2",)),
    "a FASTA file": (b"/x\n" * 1001, ("line 1001",)),
}


@pytest.mark.parametrize("what", _BAD_LISTS)
def test_a_file_that_is_no_list_is_refused(cli: Cli, tmp_path: Path, what: str) -> None:
    data, words = _BAD_LISTS[what]
    path = tmp_path / "list"
    path.write_bytes(data)
    refused(cli("--root", path, "get", "lab:one"), 5, str(path), *words)
    refused(cli("--root", path, "init"), 5, str(path), *words)
    with pytest.raises(BadInput):
        seqarchive.connect(path)
    assert path.read_bytes() == data


def _with_little_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 31, 1 << 31))


def test_a_large_file_is_not_read_to_see_that_it_is_no_list(tmp_path: Path) -> None:
    path = tmp_path / "genome.fa"
    with open(path, "wb") as file:
        file.write(b">chr1\n")
        file.truncate(8 << 30)
    done = subprocess.run(
        [sys.executable, "-m", "seqarchive", "--root", str(path), "get", "chr1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
        preexec_fn=_with_little_memory,
    )
    refused(Result(done.returncode, done.stdout, done.stderr), 5, str(path))


def test_a_list_in_a_list_is_no_archive(cli: Cli, listed: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.write_text(f"{listed}\n")
    refused(cli("--root", outer, "get", "lab:one"), 3, str(listed))


def test_addresses_in_a_list_that_cannot_be_read_are_named(
    cli: Cli, private: Path, tmp_path: Path
) -> None:
    path = tmp_path / "list"
    for address, code in (("absent", 3), ("ftp://example.org/x", 9), ("http://", 9)):
        path.write_text(f"{private}\n{address}\n")
        refused(cli("--root", path, "get", "lab:one"), code, address)


# --- $SEQARCHIVE_ROOT -------------------------------------------------------------------------


def run(*words: str) -> Result:
    """A command without ``--root``."""
    command = [sys.executable, "-m", "seqarchive", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return Result(done.returncode, done.stdout, done.stderr)


def test_the_root_of_the_environment_may_be_a_directory_a_url_or_a_list(
    private: Path, server: FileServer, listed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for address, name in (
        (str(private), "lab:one"),
        (server.url, "ref:same"),
        (str(listed), "same"),
    ):
        monkeypatch.setenv("SEQARCHIVE_ROOT", address)
        assert ok(run("get", name)).out == "ACGTACGTAC\n"
    assert ok(run("get", "lab:one", "chr:0-3", "--root", str(listed))).out == "ACGTACGTAC\nGAT\n"
    monkeypatch.setenv("SEQARCHIVE_ROOT", server.url)
    refused(run("init"), 8, server.url)


# --- a root into which releases were pulled ---------------------------------------------------


@pytest.fixture
def pulled(cli: Cli, public: Path, tmp_path: Path) -> Path:
    """A root that has two releases of somebody else, and no archive of its own."""
    root = tmp_path / "pulled"
    ok(cli("--root", root, "pull", str(public)))
    with seqarchive.connect(public) as archive:
        archive["ref:late"] = "AGAGAG"
        archive.store("CTCTCT", ["ref:same"], on_conflict="replace")
        archive.snapshot("r2")
    ok(cli("--root", root, "pull", str(public)))
    assert not (root / "master").exists()
    return root


def test_pulled_releases_are_read_without_saying_which(
    cli: Cli, pulled: Path, public: Path, tmp_path: Path
) -> None:
    names = tmp_path / "names"
    names.write_text("ref:late\nlab:one\n")
    for words in (
        ["get", "ref:late", "ref:same", "ref:chr:5-15"],
        ["translate", "ref:late"],
        ["missing", "--from", str(names)],
        ["export"],
        ["export-aliases"],
        ["log"],
        ["log", "--alias", "ref:same"],
        ["alias", "list", "ref:late"],
        ["alias", "history", "ref:same"],
        ["get", "ref:same", "--at", "5"],
        ["get", "ref:same", "--at", "r1"],
    ):
        found = cli("--root", pulled, *words)
        assert found == cli("--root", public, "--instance", "r2", *words), words
        assert found.code == (3 if "missing" in words else 0)
    assert ok(cli("--root", pulled, "get", "ref:late", "ref:same")).out == "AGAGAG\nCTCTCT\n"
    old = cli("--root", pulled, "--instance", "r1", "get", "ref:same")
    assert ok(old).out == "ACGTACGTAC\n"
    assert json.loads(ok(cli("--root", pulled, "--json", "status")).out)["instance"] == "r2"
    with seqarchive.connect(pulled) as archive:
        assert archive.instance.name == "r2"
        assert archive.fetch("ref:late") == "AGAGAG"
        with pytest.raises(ReadOnly):
            archive["ref:x"] = "A"


def test_pulled_releases_are_verified_compared_and_exported(cli: Cli, pulled: Path) -> None:
    assert "no damage" in ok(cli("--root", pulled, "verify")).out
    assert "no damage" in ok(cli("--root", pulled, "verify", "--full")).out
    listed = json.loads(ok(cli("--root", pulled, "--json", "snapshots")).out)
    verified = {row["name"]: row["verified"] for row in listed["snapshots"]}
    assert verified["r2"] is not None
    assert not verified["r1"]
    changes = ok(cli("--root", pulled, "diff", "r1", "latest")).out
    assert f"+ ref:late  SQ.{sha512t24u('AGAGAG')}" in changes
    assert f"! ref:same  SQ.{sha512t24u('ACGTACGTAC')} -> SQ.{sha512t24u('CTCTCT')}" in changes
    assert changes == ok(cli("--root", pulled, "diff", "r1", "r2")).out
    assert cli("--root", pulled, "diff", "batch:7", "latest").code == 0
    report = json.loads(ok(cli("--root", pulled, "--json", "export-seqrepo")).out)
    assert report["sequences"] == len(set(PUBLIC.values())) + 2
    assert (pulled / "seqrepo" / "r2").is_dir()
    refused(cli("--root", pulled, "diff", "master", "r1"), 3, str(pulled))


def test_who_writes_beside_pulled_releases_begins_an_archive(
    cli: Cli, pulled: Path, tmp_path: Path
) -> None:
    file = write_fasta(tmp_path / "x.fa", {"mine": "AACC"})
    releases = {name: tree(pulled / name) for name in ("r1", "r2")}
    ok(cli("--root", pulled, "load", "-n", "lab", file))
    assert {name: tree(pulled / name) for name in ("r1", "r2")} == releases
    assert ok(cli("--root", pulled, "get", "lab:mine")).out == "AACC\n"
    refused(cli("--root", pulled, "get", "ref:late"), 3, "ref:late")
    assert ok(cli("--root", pulled, "--instance", "latest", "get", "ref:late")).out == "AGAGAG\n"


def test_a_root_without_an_archive_and_without_releases_has_nothing(
    cli: Cli, pulled: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(cli("--root", empty, "get", "ref:late"), 3, str(empty))
    (pulled / "latest").unlink()
    refused(cli("--root", pulled, "get", "ref:late"), 3, str(pulled))
    (pulled / "latest").symlink_to("../public/r1")
    refused(cli("--root", pulled, "get", "ref:late"), 3, str(pulled))


# --- private sequences over public ones -------------------------------------------------------


def test_a_private_layer_over_a_published_release(
    cli: Cli, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    layers = tmp_path / "layers"
    layers.write_text(f"home\n{server.url}\n")
    roots = ["--root", str(layers)]
    first = write_fasta(tmp_path / "1.fa", {"construct-1": LONG[:900] + "ACGT" + LONG[900:]})
    assert cli(*roots, "get", "ref:chr:0-4").code == 3  # there is no archive in home so far
    ok(cli(*roots, "load", "-n", "lab", first))
    assert ok(cli(*roots, "get", "ref:chr:0-4", "construct-1:898-906")).out == (
        f"GATT\n{LONG[898:900]}ACGT{LONG[900:902]}\n"
    )
    # What is public already may have a name of our own.
    again = write_fasta(tmp_path / "2.fa", {"our-chr": LONG})
    ok(cli(*roots, "load", "-n", "lab", again))
    assert ok(cli(*roots, "translate", "ref:chr", "--to", "lab")).out == "lab:our-chr\n"
    assert ok(cli(*roots, "translate", "lab:our-chr", "--to", "ref")).out == "ref:chr\n"
    # But a name that has another meaning there is seen at once.
    clash = write_fasta(tmp_path / "3.fa", {"same": "TTTTTT"})
    ok(cli(*roots, "load", "-n", "ref", clash))
    refused(cli(*roots, "get", "ref:same"), 3, str(home), server.url)
    assert ok(cli("--root", home, "get", "ref:same")).out == "TTTTTT\n"
    ok(cli(*roots, "revert", "3"))
    assert ok(cli(*roots, "get", "ref:same")).out == "ACGTACGTAC\n"
    ok(cli(*roots, "snapshot", "mine"))
    both = cli("--root", f"{home}/mine", "--root", f"{server.url}/r1", "get", "lab:our-chr:3-5")
    assert ok(both).out == LONG[3:5] + "\n"
    # What was read once is at hand without the network.
    monkeypatch.setenv("SEQARCHIVE_CACHE_BYTES", "100000000")
    with seqarchive.connect(layers) as archive:
        assert isinstance(archive, Archives)
        assert archive.fetch("ref:HLA:HLA00132") == "ACACAC"
        server.reset()
        assert archive.fetch("ref:HLA:HLA00132") == "ACACAC"
        assert archive.fetch("lab:construct-1", 899, 904) == LONG[899] + "ACGT"
        assert server.asked == []


def test_releases_of_several_roots_are_read_by_one_name(
    cli: Cli, private: Path, server: FileServer
) -> None:
    with seqarchive.connect(private) as archive:
        archive.snapshot("r1")
        archive["lab:later"] = "GTGTGT"
    roots = ["--root", str(private), "--root", server.url, "--instance", "r1"]
    assert ok(cli(*roots, "get", "lab:one", "chr:0-3")).out == "ACGTACGTAC\nGAT\n"
    refused(cli(*roots, "get", "lab:later"), 3, "lab:later")
    refused(cli(*roots[:-1], "r2", "get", "lab:one"), 3, "r2")
