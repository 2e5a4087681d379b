"""The configuration in ``etc`` serves a root to those who pull and to those who read in place."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from conftest import Cli
from helpers import write_fasta
from servers import reserved_port, wait_until_listening

import seqarchive

_ETC = Path(__file__).parents[2] / "etc"
_RECORDS = {"one": "GATTACA" * 40, "long": "ACGTTGCA" * 9_000}


@pytest.fixture
def published(tmp_path: Path, root: Path, cli: Cli) -> Path:
    """A root with a release, as others may see it."""
    source = write_fasta(tmp_path / "t.fa", _RECORDS)
    assert cli("load", "-n", "t", source).code == 0
    assert cli("snapshot", "r1").code == 0
    target = tmp_path / "published"
    assert cli("push", target, "r1").code == 0
    (target / "master").mkdir()
    (target / "master" / "aliases.sqlite3").write_bytes(b"private")
    return target


@pytest.fixture
def url(published: Path, tmp_path: Path) -> Iterator[str]:
    """The real nginx with the configuration of ``etc``, but for its port and its directory."""
    with reserved_port() as port:
        yield from _nginx_at(port, published, tmp_path)


def _nginx_at(port: int, published: Path, tmp_path: Path) -> Iterator[str]:
    text = (_ETC / "nginx.conf").read_text("utf-8")
    for ours, here in (
        ("    listen 80;\n", f"    listen 127.0.0.1:{port};\n"),
        ("    listen [::]:80;\n", ""),
        ("/srv/seqarchive;", f"{published};"),
    ):
        assert ours in text
        text = text.replace(ours, here)
    paths = "".join(
        f"{what}_temp_path {tmp_path / what};\n"
        for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"daemon off;\nuser root;\npid {tmp_path / 'pid'};\nerror_log {tmp_path / 'errors'};\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{paths}{text}}}\n"
    )
    server = subprocess.Popen(["nginx", "-e", tmp_path / "errors", "-c", config])
    try:
        wait_until_listening(port, server, tmp_path / "errors")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def test_it_is_pulled_from_and_read_in_place(
    url: str, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQARCHIVE_CACHE", str(tmp_path / "cache"))
    assert cli("--root", tmp_path / "mirror", "pull", url).code == 0
    assert cli("--root", tmp_path / "mirror", "--instance", "r1", "verify", "--full").code == 0
    with seqarchive.connect(url) as archive:
        for name, residues in _RECORDS.items():
            assert archive.fetch(f"t:{name}") == residues
        assert archive.fetch("t:long", 70_000, 70_100) == _RECORDS["long"][70_000:70_100]


def test_it_shows_what_is_published_and_nothing_else(url: str, published: Path) -> None:
    (published / ".pull-r2").mkdir()
    (published / ".pull-r2" / "manifest.json").write_text("unfinished")
    for path in (
        "/master/aliases.sqlite3",
        "/releases.lock",
        "/.pull.lock",
        "/.pull-r2/manifest.json",
        "/",
        "/r1/",
        "/r1/../master/aliases.sqlite3",
        "/r1/%2e%2e/master/aliases.sqlite3",
    ):
        assert requests.get(url + path, timeout=30).status_code in (403, 404), path
    assert requests.post(url + "/releases.json", timeout=30).status_code == 405


def test_what_never_changes_may_be_cached_and_what_does_may_not(url: str) -> None:
    for path, word in (
        ("/releases.json", "no-cache"),
        ("/latest/manifest.json", "no-cache"),
        ("/r1/manifest.json", "immutable"),
        ("/r1/aliases.sqlite3", "immutable"),
    ):
        answer = requests.get(url + path, headers={"Range": "bytes=0-9"}, timeout=30)
        assert answer.status_code == 206
        assert word in answer.headers["Cache-Control"]
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Content-Encoding" not in answer.headers
