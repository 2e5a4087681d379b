"""What must not be: code that runs data, files that others may write, requests that a server makes
for a client, text of a client in a header, and patterns that take for ever.

What the other tests about hostile input and hostile peers prove is listed in ``docs/security.rst``.
"""

from __future__ import annotations

import ast
import gzip
import importlib
import json
import os
import re
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from configparser import ConfigParser
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import requests
from contents import random_residues
from helpers import write_fasta
from servers import running, serving
from starlette.routing import Route

import seqarchive
from seqarchive.durable import WriterLock
from seqarchive.errors import SeqArchiveError
from seqarchive.server import create_app
from seqarchive.sources import shown

_TOP = Path(__file__).parent.parent

ALL = bool(os.environ.get("SEQARCHIVE_ALL_FAULTS"))

#: Everything that is ours and that runs.
_TREES = {
    path.relative_to(_TOP).as_posix(): ast.parse(path.read_bytes())
    for directory in ("seqarchive", "benchmarks", "tests", "bin", "docs")
    for path in sorted((_TOP / directory).rglob("*.py"))
    if not path.name.startswith("test_")  # which do to others what must not be
}


@cache
def _all_calls() -> list[tuple[str, ast.Call, str]]:
    return [
        (name, node, ast.unparse(node.func))
        for name, tree in _TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    ]


def _calls(only: str = "") -> Iterator[tuple[str, ast.Call, str]]:
    """Each call: its file, itself, and what is called, as it is written."""
    return (call for call in _all_calls() if call[0].startswith(only))


@cache
def _imported(only: str = "") -> dict[str, set[str]]:
    """The files that import each module."""
    found: dict[str, set[str]] = {}
    for name, tree in _TREES.items():
        if not name.startswith(only):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                modules = [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module or ""]
            else:
                continue
            for module in modules:
                found.setdefault(module.split(".")[0], set()).add(name)
    return found


def _keyword(call: ast.Call, name: str) -> str | None:
    return next((ast.unparse(one.value) for one in call.keywords if one.arg == name), None)


# --- what must not be written -----------------------------------------------------------------


def test_the_walk_sees_what_there_is() -> None:
    assert {"seqarchive/workers.py", "tests/servers.py"} <= _TREES.keys()
    assert sum(1 for _ in _calls()) > 5_000


#: Modules of the package that may import these, and why.
_ALLOWED_MODULES = {
    "pickle": set(),
    "shelve": set(),
    "dbm": set(),
    "yaml": set(),
    "xml": set(),
    "xmlrpc": set(),
    "subprocess": set(),
    "tarfile": set(),
    "zipfile": set(),
    "dill": set(),
    "cloudpickle": set(),
    "joblib": set(),
    "telnetlib": set(),
    "ftplib": set(),
    # Between a process and the workers that it forked, over pipes that nobody else has.
    "marshal": {"seqarchive/workers.py"},
    # How long to wait before the next attempt; no secret hangs on it.
    "random": {"seqarchive/online/polite.py"},
    # ``syncfs`` of the C library; a reference to a connection.
    "ctypes": {"seqarchive/durable.py", "seqarchive/finding.py"},
}


@pytest.mark.parametrize("module", _ALLOWED_MODULES)
def test_what_can_run_what_it_reads_is_imported_nowhere_or_in_one_place(module: str) -> None:
    assert _imported("seqarchive").get(module, set()) <= _ALLOWED_MODULES[module]


def test_no_shell_is_started_and_no_text_is_run() -> None:
    for name, call, called in _calls():
        where = f"{name}:{call.lineno}"
        assert called not in ("os.system", "os.popen", "eval", "exec", "__import__"), where
        assert _keyword(call, "shell") in (None, "False"), where
        if called.startswith("subprocess.") and call.args:
            words = call.args[0]
            assert not isinstance(words, (ast.JoinedStr, ast.Constant)), f"{where}: one text"
        if called == "compile":
            pytest.fail(where)


def test_nothing_is_unpacked_without_a_filter_and_no_name_is_guessable() -> None:
    unpacking = _imported()
    with_names = unpacking.get("tarfile", set()) | unpacking.get("zipfile", set())
    for name, call, called in _calls():
        where = f"{name}:{call.lineno}"
        assert called not in ("mktemp", "tempfile.mktemp"), where
        if name in with_names and called.endswith((".extractall", ".extract")):
            assert _keyword(call, "filter") in ("'data'", "'tar'"), where
        if called.startswith("yaml."):
            assert called in ("yaml.safe_load", "yaml.safe_dump"), where


def test_no_certificate_goes_unchecked() -> None:
    for name, call, called in _calls("seqarchive"):
        where = f"{name}:{call.lineno}"
        assert _keyword(call, "verify") != "False", where
        assert called != "ssl._create_unverified_context", where
    for path in (_TOP / "seqarchive").rglob("*.py"):
        text = path.read_text("utf-8")
        for word in ("CERT_NONE", "verify = False", "check_hostname = False"):
            assert word not in text, path


#: What is asserted in the package is what the program itself has made sure of: each is of the form
#: ``assert x is not None`` or ``isinstance``, for the type checker. Nothing from outside is checked
#: so, for ``python -O`` drops it.
_OWN_ASSERTION = re.compile(r"[\w.]+ is not None\Z|isinstance\([\w.]+, [\w.]+\)\Z|kind in _KINDS\Z")


def test_nothing_from_outside_is_checked_by_assert() -> None:
    for name, tree in _TREES.items():
        if not name.startswith("seqarchive"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Assert):
                assert _OWN_ASSERTION.match(ast.unparse(node.test)), f"{name}:{node.lineno}"


#: Interpolated into SQL: constants (in capitals), ``?`` marks, and what the program itself has
#: made. All that comes from outside is a parameter.
_CONSTANT = re.compile(r"_?[A-Z][A-Z_]*(\.\w+)?\Z|_?[A-Z][A-Z_]*\[[\w.]+\]\Z")
_OWN_SQL = {
    "marks": "question marks, one for each parameter",
    "conditions": "``AND column = ?`` of attributes that were looked up in a table of them",
    "attribute": "a column of collections, looked up in a table of them",
    "columns": "names of columns of a named tuple or of the schema",
    "keys": "columns of a ``Log``, which are constants of the package",
    "name": "a table, column or index of the schema",
    "table": "a table of the schema",
    "column": "a column of the schema",
    "index": "an index of the schema",
    "self._batch_id": "the number of the batch",
    "lost": "a condition of the module, without anything from outside",
    "self.table": "a table of a ``Log``",
    "self.value": "a column of a ``Log``",
    "self._is_key": "``column IS ?`` of a ``Log``",
    "self.id": "the number of a batch",
    "gone": "a condition of the module, without anything from outside",
    "changed_since": "a condition of the module, with the number of a batch",
    "rows.format(at=int(at))": "a query of the module, with the number of a batch",
    "query": "a query of the module",
    "statement": "a statement of the module",
}


def _interpolated(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.JoinedStr):
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                yield ast.unparse(part.value)
    elif isinstance(node, ast.IfExp):
        yield from _interpolated(node.body)
        yield from _interpolated(node.orelse)
    elif not isinstance(node, ast.Constant):
        yield ast.unparse(node)


def test_no_text_from_outside_becomes_sql() -> None:
    unknown = []
    n_seen = 0
    for name, call, called in _calls("seqarchive"):
        is_sql = called.split(".")[-1] in ("execute", "executemany", "executescript")
        # SQLAlchemy's statements are made of parameters, not of text.
        if not is_sql or not call.args or name.startswith("seqarchive/registry"):
            continue
        n_seen += 1
        unknown += [
            f"{name}:{call.lineno} {text}"
            for text in _interpolated(call.args[0])
            if text not in _OWN_SQL
            and not _CONSTANT.match(text)
            and text not in _SQL_OF.get(name, ())
        ]
    assert n_seen > 100
    assert unknown == []


#: The same, of one file: texts that are made there of constants.
_SQL_OF: dict[str, tuple[str, ...]] = {
    "seqarchive/searching.py": ("chosen",),  # a number
    "seqarchive/seqrepo/feeding.py": (
        "self.tables",
        "self.indexes",
        "namespace",
        "expression",
        "since",
        "current",
    ),
    "seqarchive/seqrepo/repository.py": ("since",),
    "seqarchive/writing.py": ("patience", "version"),  # numbers, as SQLite has said them
}


def test_text_of_the_registry_s_sql_is_constant() -> None:
    for name, call, called in _calls("seqarchive/registry"):
        if called == "text":
            assert isinstance(call.args[0], ast.Constant), f"{name}:{call.lineno}"


def test_md5_decides_nothing() -> None:
    """It names sequences and files for those who ask by it; what is trusted has a SHA-512 or
    SHA-256. ``s3.py`` sends it to say that a body came whole."""
    users = {name for name, _, called in _calls("seqarchive") if called.endswith("hashlib.md5")}
    assert users <= {
        "seqarchive/pipeline.py",
        "seqarchive/registry/filling.py",
        "seqarchive/rgstore/verifying.py",
        "seqarchive/seqcol/as_fasta.py",
        "seqarchive/seqrepo/foreign.py",
        "seqarchive/sources/s3.py",
    }


# --- patterns ---------------------------------------------------------------------------------


def _patterns() -> dict[str, re.Pattern[str]]:
    """Every pattern of the package that has a name, as text."""
    found: dict[str, re.Pattern[str]] = {}
    for path in sorted((_TOP / "seqarchive").rglob("*.py")):
        if "re.compile" not in path.read_text("utf-8") or path.name == "__main__.py":
            continue
        name = ".".join(path.relative_to(_TOP).with_suffix("").parts)
        module = importlib.import_module(name.removesuffix(".__init__"))
        for key, value in vars(module).items():
            if isinstance(value, re.Pattern):
                text, flags = value.pattern, value.flags & ~re.ASCII & ~re.UNICODE
                is_text = isinstance(text, str)
                found[f"{name}.{key}"] = (
                    value if is_text else re.compile(text.decode("latin-1"), flags)
                )
    return found


_PATTERNS = _patterns()

_N = 10_000

_UNITS = [
    "1", "a", "A", " ", "\t", "/", "a/", ":", "1:", "://", "1-", ",", "1,", "a,", ".", "1.", "-",
    "_",
    "@", '"', '\\"', ";", "; ", 'a "b";', "a b;", "%", "\u00e9", "\\", "a.", "A1", "=",
]  # fmt: skip

_HEADS = [
    "", "a:", "http://", '; a="', 'boundary="', "bytes ", "ga4gh:SQ.", " type=", "LOCUS ", "ENS",
    "NM_", "GRCh", "# assembly name", 'namespaces="',
]  # fmt: skip


def long_texts(pattern: str) -> Iterator[str]:
    """Long texts that begin as the pattern may, and end in something that fits nothing, so that all
    ways are tried."""
    heads = [head for head in _HEADS if not head or head.strip(' ;"=')[:3] in pattern]
    for head in heads:
        for unit in _UNITS:
            for tail in ("\0", "\n!"):
                yield head + unit * (_N // len(unit)) + tail


#: Applied only to what another pattern has found to be right.
_CHECKED_BEFORE = {"seqarchive.tracks.formats.gff._GTF_ATTRIBUTE"}


def seconds(pattern: re.Pattern[str], way: str, text: str) -> float:
    """What a pattern takes of a core."""
    started = time.thread_time()
    if way == "sub":
        pattern.sub("", text)
    else:
        getattr(pattern, way)(text)
    return time.thread_time() - started


@pytest.mark.parametrize("name", sorted(_PATTERNS.keys() - _CHECKED_BEFORE))
def test_no_pattern_takes_long_whatever_it_is_given(name: str) -> None:
    """As they are used: at the beginning of a text, or everywhere."""
    pattern = _PATTERNS[name]
    module, _, key = name.rpartition(".")
    path = _TOP / Path(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    ways = set(re.findall(rf"\b{key}\.(\w+)\(", file.read_text("utf-8"))) or {"match"}
    for text in long_texts(pattern.pattern):
        for way in ways & {"match", "fullmatch", "search", "findall", "split", "sub"}:
            assert seconds(pattern, way, text) < 0.4, (way, text[:20], text[-3:])


def test_the_search_for_slow_patterns_finds_them() -> None:
    assert seconds(re.compile(r"(\d+\.?\d*)\Z"), "match", "1" * _N + "!") > 0.4


def test_an_address_is_shown_without_its_password_however_long_it_is() -> None:
    assert shown("https://me:pw@host/a@b") == "https://b"  # rather too little than too much
    assert shown("https://me:pw@host/a") == "https://host/a"
    assert shown("host/a@b") == "host/a@b"
    assert shown("https://me/pw@host/a") == "https://host/a"
    assert shown("https://me.org:pw/pw@host/a") == "https://host/a"
    assert shown("s3://me:pw/pw@bucket/a") == "s3://bucket/a"
    for address in ("https://example.org/a@b/c", "s3://bucket/a@b"):  # and no other host is named
        assert shown(address) == address
    started = time.thread_time()
    shown("://" * 100_000)
    shown("s3://" + "a." * 100_000)
    shown("http://" + "a." * 100_000 + "/")
    assert time.thread_time() - started < 0.5


# --- files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077, 0o002, 0o000] if ALL else [0o077, 0o002])
def test_nothing_that_is_made_can_be_written_by_others(tmp_path: Path, mask: int) -> None:
    """Of what commands make: modes follow the umask; shards, tracks and snapshots are read-only."""
    root = tmp_path / "archive"
    fasta = write_fasta(tmp_path / "x.fa", {"x": random_residues("x", 50_000), "y": "ACGT"})
    (tmp_path / "x.bed").write_text("x\t1\t2\n")
    script = [
        f"load -n t {fasta}", f"genome init -f {fasta} -n g",
        f"track put --genome g {tmp_path}/x.bed", "snapshot r1", "export-rgstore",
        "export-seqrepo", f"push {tmp_path}/pushed r1",
        f"--root {tmp_path}/other pull {tmp_path}/pushed", "repair", "verify",
    ]  # fmt: skip
    program = (
        "import json, os, sys; from seqarchive.commands import run\n"
        f"os.umask({mask})\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    assert run(['-q', *words.split()]) == 0, words\n"
    )
    environment = {
        **os.environ,
        "SEQARCHIVE_ROOT": str(root),
        "SEQARCHIVE_CACHE": str(tmp_path / "cache"),
        "PYTHONPATH": str(_TOP),
    }
    words = [sys.executable, "-c", program, json.dumps(script)]
    subprocess.run(words, check=True, env=environment, stdout=subprocess.DEVNULL)
    n_files = 0
    for top in (root, tmp_path / "pushed", tmp_path / "other"):
        for path in (top, *top.rglob("*")):
            if path.is_symlink():
                continue
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode & mask == 0, f"{path}: {mode:o}"
            assert mode & 0o7000 == 0, f"{path}: {mode:o}"
            assert mode & 0o111 == 0 or path.is_dir(), f"{path}: {mode:o}"
            if mask & 0o002:
                assert not mode & 0o002, f"{path}: {mode:o}"
            parts = set(path.parts)  # a RefgetStore is written to by others too
            published = {"sequences", "tracks"} & parts and "rgstore" not in parts
            released = "r1" in parts
            if (published and path.is_file()) or released:
                assert mode & 0o222 == 0, f"{path}: {mode:o}"
            n_files += path.is_file()
    assert n_files > 30
    for name in ("aliases.sqlite3", "writer.lock"):
        mode = stat.S_IMODE((root / "master" / name).stat().st_mode)
        assert mode == 0o666 & ~mask, f"{name}: {mode:o}"


def test_a_lock_is_not_taken_through_a_link(tmp_path: Path) -> None:
    """As somebody could put it where others write too."""
    other = tmp_path / "precious"
    other.write_text("precious")
    (tmp_path / "lock").symlink_to(other)
    with pytest.raises((SeqArchiveError, OSError)), WriterLock(tmp_path / "lock") as lock:
        lock.declare(None)
    assert other.read_text() == "precious"


def test_temporary_directories_are_ones_that_nobody_else_can_prepare() -> None:
    for name, call, called in _calls("seqarchive"):
        assert "'/tmp" not in ast.unparse(call), f"{name}:{call.lineno}"
        if called == "tempfile.mkstemp":
            pytest.fail(f"{name}:{call.lineno}: a directory, mode 0700, is better")


# --- the service ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("security")
    write_fasta(directory / "x.fa", {"x": random_residues("x", 5_000), "y": "ACGT"})
    (directory / "outside").write_text(_CANARY)
    for arguments in (
        ["genome", "init", "-f", str(directory / "x.fa"), "-n", "g"],
        ["snapshot", "r1"],
        ["export-rgstore"],
    ):
        assert seqarchive.commands.run(["-q", "--root", str(directory / "root"), *arguments]) == 0
    (directory / "root" / "outside").write_text(_CANARY)
    return directory


_CANARY = "what nobody outside may read 8f1c2"


@pytest.fixture(scope="module")
def app_url(place: Path) -> Iterator[tuple[str, list[str]]]:
    """The whole service with all that it can serve; and the paths of its routes."""
    with closing(seqarchive.connect(place / "root")) as archive:
        app = create_app(archive, root=place / "root", store=place / "root" / "rgstore")
        with running(app) as url:
            yield url, sorted({route.path for route in _routes(app.routes)})


def _routes(routes: object) -> Iterator[Route]:
    assert isinstance(routes, list)
    for route in routes:
        if isinstance(route, Route):
            yield route
        elif hasattr(route, "original_router"):
            yield from _routes(route.original_router.routes)


def answer_to(url: str, head: str, body: bytes = b"") -> bytes:
    """The whole answer to a request, as it is sent byte by byte; nobody tidies its path."""
    where = urlsplit(url)
    assert where.hostname is not None
    with socket.create_connection((where.hostname, where.port or 80), timeout=20) as connection:
        connection.sendall(
            f"{head}\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode(
                "latin-1"
            )
            + body
        )
        found = bytearray()
        with suppress(ConnectionResetError):
            while chunk := connection.recv(1 << 16):
                found += chunk
    return bytes(found)


def filled(path: str, value: str) -> str:
    """The path of a route with a value in the place of all its parts."""
    return re.sub(r"\{[^}]*\}", lambda _match: value, path)


def test_all_routes_are_known(app_url: tuple[str, list[str]]) -> None:
    _, paths = app_url
    assert len(paths) > 40
    assert "/sequence/{identifier}" in paths or any("sequence" in path for path in paths)


@contextmanager
def connections_of_this_process() -> Iterator[list[tuple[str, int]]]:
    """To where any thread of this process connects meanwhile."""
    found: list[tuple[str, int]] = []
    _watching.append(found)
    if len(_watching) == 1 and not _hooked:
        _hooked.append(True)
        sys.addaudithook(_note)
    try:
        yield found
    finally:
        _watching.remove(found)


_watching: list[list[tuple[str, int]]] = []
_hooked: list[bool] = []


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("socket.connect", "socket.getaddrinfo") and _watching:
        address = arguments[1] if event == "socket.connect" else arguments[:2]
        for found in _watching:
            found.append(address)  # type: ignore[arg-type]


def test_no_word_of_a_client_makes_the_service_connect_anywhere(
    app_url: tuple[str, list[str]], tmp_path: Path
) -> None:
    """Addresses in every part of a path, in queries, headers, JSON, forms and files."""
    url, paths = app_url
    own = urlsplit(url).port
    (tmp_path / "x").write_text("secret")
    with serving(tmp_path) as listener, connections_of_this_process() as connections:
        target = f"{listener.url}/x"
        port = urlsplit(target).port
        query = "&".join(
            f"{name}={quote(target, safe='')}"
            for name in ("url", "genome", "source", "store", "track", "input", "file", "names", "q")
        )
        session = requests.Session()
        session.trust_env = False
        keys = ["url", "operation", "genome", "track", "inputs", "names", "sequences", "$ref"]
        body = dict.fromkeys(keys, target)
        headers = {
            "X-Forwarded-Host": listener.url,
            "Referer": target,
            "Forwarded": f"host={target}",
        }
        n_asked = 0
        for path in paths:
            where = url + filled(path, quote(target, safe="")) + "?" + query
            for asking in (
                {"method": "GET"},
                {"method": "POST", "json": body},
                {
                    "method": "POST",
                    "json": {**body, "inputs": {"a": target}, "params": {"a": target}},
                },
                {"method": "POST", "data": body, "files": {"file": (target, f"track {target}\n")}},
                {"method": "POST", "data": f"browser position\n{target}\n".encode()},
            ):
                answer = session.request(**asking, url=where, headers=headers, timeout=20)
                assert answer.status_code != 500, (asking, where, answer.text)
                assert "secret" not in answer.text
                n_asked += 1
        assert n_asked > 200
        assert listener.asked == []
    others = {address for address in connections if own not in tuple(address)}
    assert others == set(), port


_AWAY = [
    "..%2f..%2foutside", "%2e%2e%2foutside", "%2e%2e/outside", "../outside", "..%5c..%5coutside",
    "..\\..\\outside", "....//....//outside", "%252e%252e%252foutside", "{absolute}",
    "%2f{absolute}", "outside%00", "%00", "outside%00.json", "..%c0%afoutside", "..;/outside",
    "file:%2f%2f{absolute}",
    "r1/../outside", "r1%2f..%2foutside", "r1/..%2f..%2foutside", "./outside", "outside", "~root",
    "%2e", "%2e%2e", "C:%5coutside", "con", "|id", "$(id)", "`id`",
]  # fmt: skip


def test_no_path_leads_out(app_url: tuple[str, list[str]], place: Path) -> None:
    """Sent byte by byte, in the place of every part of every path, and below what is mounted."""
    url, paths = app_url
    prefixes = [filled(path, "{}") for path in paths if "{" in path]
    prefixes += ["/releases/{}", "/releases/r1/{}", "/store/{}", "/{}", "/page/{}", "/static/{}"]
    with ThreadedPool() as ask:
        for prefix in sorted(set(prefixes)):
            for away in _AWAY:
                path = away.replace("{absolute}", str(place / "outside").lstrip("/"))
                ask(url, prefix.replace("{}", path))
    assert ask.answers
    for path, answer in ask.answers:
        assert _CANARY.encode() not in answer, path
        assert b"root:" not in answer, path
        assert answer.startswith(b"HTTP/1.1 "), path
        assert not answer.startswith(b"HTTP/1.1 5"), (path, answer)


class ThreadedPool:
    """Requests by a few threads; what was answered to each path."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, bytes]] = []
        self._slots = threading.Semaphore(8)
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> ThreadedPool:
        return self

    def __call__(self, url: str, path: str) -> None:
        self._slots.acquire()
        thread = threading.Thread(target=self._ask, args=(url, path))
        self._threads.append(thread)
        thread.start()

    def _ask(self, url: str, path: str) -> None:
        try:
            self.answers.append((path, answer_to(url, f"GET {path} HTTP/1.1")))
        finally:
            self._slots.release()

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join()


_BREAKS = ["%0d%0aX-Evil:%201", "a%0aX-Evil:%201", "%0d%0a%0d%0aevil", "x%22;filename=%22evil",
           "%E5%98%8A%E5%98%8DX-Evil:1", "%00%0d%0aX-Evil:1"]  # fmt: skip


def test_no_text_of_a_client_becomes_a_header(app_url: tuple[str, list[str]]) -> None:
    url, paths = app_url
    with ThreadedPool() as ask:
        for path in paths:
            for text in _BREAKS:
                ask(url, filled(path, text))
                ask(url, f"{filled(path, 'x')}?format={text}&accept={text}&name={text}")
        for path in ("//evil.example/", "//evil.example/%2e%2e", "/\\evil.example", "/sequence//"):
            ask(url, path)
    for path, answer in ask.answers:
        head = answer.partition(b"\r\n\r\n")[0].lower()
        assert b"\nx-evil" not in head, path
        assert b"evil" not in head, path
        assert not re.search(rb"\nlocation: *(//|https?://(?!127\.0\.0\.1))", head), path


def test_names_of_files_in_a_form_are_in_no_header(app_url: tuple[str, list[str]]) -> None:
    url, _ = app_url
    for name in ('a"\r\nX-Evil: 1\r\n.bed', "a%0d%0aX-Evil: 1.bed", "../../../../etc/cron.d/x.bed"):
        body = (
            '--b\r\nContent-Disposition: form-data; name="genome"\r\n\r\ng\r\n'
            f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
            "x\t1\t2\n\r\n--b--\r\n"
        ).encode()
        with requests.Session() as session:
            sent = session.post(
                f"{url}/tracks",
                data=body,
                headers={"Content-Type": "multipart/form-data; boundary=b"},
                timeout=20,
            )
        assert sent.status_code < 500
        assert "X-Evil" not in sent.headers
        for answer in (sent, *_files_of(url, sent)):
            assert "\n" not in "".join(answer.headers.values())
            assert "X-Evil" not in answer.headers
            assert ".." not in answer.headers.get("Content-Disposition", "")


def _files_of(url: str, sent: requests.Response) -> list[requests.Response]:
    """The answers about a track that was stored."""
    if sent.status_code >= 300 or "id" not in sent.json():
        return []
    track = sent.json()["id"]
    return [
        requests.get(f"{url}/tracks/{track}{end}", timeout=20)
        for end in ("", "/file", "/lineage", "/data?format=bed")
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000, b'{"a":' * 100_000, b"9" * 100_000, b'{"start":' + b"9" * 10_000 + b"}",
        b'{"a":' + b"-" + b"1" * 5_000 + b"e" + b"9" * 50 + b"}", b'{"a": NaN}', b'{"a": 1e999}',
        b"{" + b",".join(b'"k%d":1' % n for n in range(30_000)) + b"}",
        b'{"names": [' + b",".join([b'"x"'] * 100_000) + b"]}", b'"' + b"\\ud800" * 1_000 + b'"',
    ],
    ids=[
        "deep list", "deep object", "digits", "number", "float", "nan", "inf", "keys", "list",
        "text",
    ],
)  # fmt: skip
def test_bodies_of_json_that_mean_harm_are_answered_at_once(
    app_url: tuple[str, list[str]], body: bytes
) -> None:
    url, _ = app_url
    started = time.monotonic()
    for path in (
        "/collection/refgenie:g/regions",
        "/comparison/refgenie:g",
        "/tracks",
        "/jobs",
        "/genomes",
        "/operations",
        "/objects",
    ):
        answer = requests.post(
            url + path, data=body, timeout=30, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code < 500, (path, answer.text)
    assert time.monotonic() - started < 30
    assert requests.get(f"{url}/healthz", timeout=30).text == "ok\n"


@cache
def _bomb() -> bytes:
    """60 kB that become 60 MB."""
    return gzip.compress(bytes(60 << 20))


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "identity, gzip"])
def test_a_body_is_never_unpacked_because_its_header_says_so(
    app_url: tuple[str, list[str]], coding: str
) -> None:
    url, _ = app_url
    answer = requests.post(
        f"{url}/comparison/refgenie:g",
        data=_bomb(),
        headers={"Content-Encoding": coding, "Content-Type": "application/json"},
        timeout=20,
    )
    assert answer.status_code in (400, 415)


def test_an_answer_of_a_defect_tells_nothing_of_the_machine(app_url: tuple[str, list[str]]) -> None:
    """Refusals name what was asked for, and no path, no module and no line."""
    url, paths = app_url
    for path in paths:
        answer = requests.get(url + filled(path, "nothing"), timeout=20)
        if answer.status_code >= 400:
            assert str(_TOP) not in answer.text
            assert "Traceback" not in answer.text
            assert "/usr/" not in answer.text


# --- dependencies -----------------------------------------------------------------------------


def test_what_the_tests_use_is_pinned() -> None:
    """Every package that the package or its tests need has one version for each Python."""
    pins = (_TOP / "etc" / "constraints.txt").read_text("utf-8").splitlines()
    names = {
        re.split(r"[=; ]", line, maxsplit=1)[0].lower().replace("_", "-").replace(".", "-")
        for line in pins
        if line and not line.startswith("#")
    }
    setup = ConfigParser()
    setup.read(_TOP / "setup.cfg")
    lines = setup["options"]["install_requires"] + setup["options.extras_require"]["test"]
    wanted = {re.split(r"[\[<>= ]", line)[0] for line in lines.split("\n") if line}
    missing = {
        name for name in wanted if name.lower().replace("_", "-").replace(".", "-") not in names
    }
    assert {"click", "hypothesis", "ruff"} <= wanted
    assert missing == set()
    assert all("==" in line for line in pins if line and not line.startswith("#"))


def test_the_environment_is_made_of_what_is_pinned() -> None:
    text = (_TOP / "bin" / "environment").read_text("utf-8")
    assert "-c etc/constraints.txt" in text
