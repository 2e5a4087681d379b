"""The service behind the real nginx as in ``etc``: TLS, its cache, its limits."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from contents import random_residues
from helpers import wait_until, write_fasta
from servers import (
    Served,
    certificate_in,
    command_serving,
    reserved_port,
    wait_until_listening,
)

import seqarchive

_ETC = Path(__file__).parents[2] / "etc"
_CHROMOSOME = random_residues(3, 3_000_000)


class _Behind:
    """The service, by way of nginx; and what it was asked itself."""

    def __init__(self, url: str, certificate: Path, served: Served) -> None:
        self.url = url
        self._served = served
        self._n_marks = 0
        self.session = requests.Session()
        self.session.verify = str(certificate)
        self.session.trust_env = False

    def get(self, path: str, method: str = "GET", **headers: str) -> requests.Response:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        address = path if path.startswith("https:") else self.url + path
        return self.session.request(
            method, address, headers=given, timeout=20, allow_redirects=False
        )

    def asked(self) -> list[dict[str, object]]:
        """The lines of the log of the service, which has one when an answer is over; the client
        may know that before. So it is asked for more, by another way, until no line of what it was
        asked before comes in between."""
        found, before = self._up_to_a_mark(), None
        while found != before:
            found, before = self._up_to_a_mark(), found
        return found

    def _up_to_a_mark(self) -> list[dict[str, object]]:
        self._n_marks += 1
        mark = f"/healthz?mark={self._n_marks}"
        assert requests.get(self._served.url + mark, timeout=30).status_code == 200
        wait_until(lambda: f'"{mark}"' in self._served.log.read_text())
        lines = self._served.log.read_text().splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [one for one in found if not str(one["path"]).startswith("/healthz")]


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Behind]:
    """``seqarchive serve``, and nginx in front of it, at other ports and places than in ``etc``."""
    directory = tmp_path_factory.mktemp("behind")
    root = directory / "root"
    many = {f"s{n}": "GATTACA" * (n + 1) for n in range(300)}
    file = write_fasta(directory / "x.fa", {"chr": _CHROMOSOME, **many})
    command = [sys.executable, "-m", "seqarchive", "--quiet", "--root", str(root)]
    for words in (["load", "-n", "t", "--collection", "lab:x", str(file)], ["snapshot", "r1"]):
        subprocess.run([*command, *words], check=True, stdout=subprocess.DEVNULL)
    with reserved_port() as port, reserved_port() as plain:
        yield from _served_behind(directory, root, port, plain)


def _served_behind(directory: Path, root: Path, port: int, plain: int) -> Iterator[_Behind]:
    certificate = certificate_in(directory)
    url = f"https://127.0.0.1:{port}"
    words = ["--base-url", url, "--trusted-proxy", "127.0.0.1"]
    with command_serving(root, directory, *words) as served:
        text = (_ETC / "nginx-serve.conf").read_text("utf-8")
        for ours, here in (
            ("listen 80;", f"listen 127.0.0.1:{plain};"), ("listen [::]:80;", ""),
            ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"), ("listen [::]:443 ssl;", ""),
            ("127.0.0.1:8000;", f"127.0.0.1:{served.port};"),
            ("/etc/ssl/certs/sequences.example.org.pem", str(certificate)),
            ("/etc/ssl/private/sequences.example.org.key", str(certificate)),
            ("/var/cache/seqarchive ", f"{directory / 'cache'} "),
        ):  # fmt: skip
            assert ours in text
            text = text.replace(ours, here)
        paths = "".join(
            f"{what}_temp_path {directory / what};\n"
            for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        errors, config = directory / "errors", directory / "nginx.conf"
        config.write_text(
            f"daemon off;\nuser root;\npid {directory / 'pid'};\nerror_log {errors};\n"
            f"events {{}}\nhttp {{\naccess_log off;\n{paths}{text}}}\n"
        )
        server = subprocess.Popen(["nginx", "-e", errors, "-c", config])
        try:
            wait_until_listening(port, server, errors)
            found = _Behind(url, certificate, served)
            with found.session:
                yield found
            assert requests.get(
                f"http://127.0.0.1:{plain}/sequence/x?end=1", timeout=30, allow_redirects=False
            ).headers["Location"].endswith("/sequence/x?end=1")  # fmt: skip
        finally:
            server.terminate()
            server.wait()


@pytest.fixture(scope="module")
def digest(behind: _Behind) -> str:
    found: str = behind.get("/sequence/t:chr/metadata").json()["metadata"]["ga4gh"]
    return found


def test_a_whole_chromosome_comes_from_the_cache_the_second_time(
    behind: _Behind, digest: str
) -> None:
    path = f"/sequence/{digest}"
    for cache in ("MISS", "HIT"):
        answer = behind.get(path, Accept_Encoding="gzip")
        assert (answer.status_code, answer.headers["X-Cache"]) == (200, cache)
        assert answer.text == _CHROMOSOME
        assert answer.headers["Content-Length"] == str(len(_CHROMOSOME))
        assert answer.headers["ETag"] == f'"{digest}"'
        assert "Content-Encoding" not in answer.headers
        assert answer.headers["Access-Control-Expose-Headers"]
    assert len([one for one in behind.asked() if one["path"] == path]) == 1
    # Another media type is another answer.
    v1 = "text/vnd.ga4gh.refget.v1.0.0+plain"
    answer = behind.get(path, Accept=v1)
    assert answer.headers["Content-Type"].startswith(v1)
    assert behind.get(path).headers["Content-Type"].startswith("text/vnd.ga4gh.refget.v2.0.0+plain")


def test_a_slice_is_fetched_as_a_slice_and_kept_as_one(behind: _Behind, digest: str) -> None:
    path = f"/sequence/{digest}?"  # of which nothing is in the cache yet
    n_before = len(behind.asked())
    for start, end in ((5, 10), (2_000_000, 2_000_100), (0, 1)):
        for cache in ("MISS", "HIT"):
            answer = behind.get(path, Range=f"bytes={start}-{end - 1}")
            assert (answer.status_code, answer.headers["X-Cache"]) == (206, cache)
            assert answer.text == _CHROMOSOME[start:end]
            assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(_CHROMOSOME)}"
            part = behind.get(f"/sequence/{digest}?start={start}&end={end}")
            assert (part.status_code, part.headers["X-Cache"]) == (200, cache)
            assert part.text == _CHROMOSOME[start:end]
    asked = behind.asked()[n_before:]
    assert len(asked) == 6
    assert all(isinstance(one["bytes"], int) and one["bytes"] <= 100 for one in asked)
    assert asked[0]["client"] == "127.0.0.1"
    refused = behind.get(path, Range=f"bytes={len(_CHROMOSOME)}-")
    assert refused.status_code == 416
    assert refused.json()["status_code"] == 416
    etag = behind.get(path, Range="bytes=0-0").headers["ETag"]
    part = behind.get(path, Range="bytes=0-4", If_Range=etag)
    assert (part.status_code, part.text) == (206, _CHROMOSOME[:5])
    assert len(behind.get(path, Range="bytes=0-4", If_Range='"old"').text) == len(_CHROMOSOME)


def test_who_has_it_is_told_so_and_nobody_else(behind: _Behind, digest: str) -> None:
    path = f"/sequence/{digest}?start=7&end=77"
    etag = behind.get(path, "HEAD").headers["ETag"]
    n_before = len(behind.asked())
    answer = behind.get(path, If_None_Match=etag)
    assert (answer.status_code, answer.content) == (304, b"")
    for _ in range(2):
        assert behind.get(path).text == _CHROMOSOME[7:77]
    assert len(behind.asked()) == n_before + 2
    for cache in ("MISS", "HIT"):
        head = behind.get(f"/sequence/{digest}?start=8", "HEAD")
        assert (head.status_code, head.headers["X-Cache"]) == (200, cache)
        assert head.headers["Content-Length"] == str(len(_CHROMOSOME) - 8)
    assert behind.asked()[-1]["method"] == "HEAD"


def test_what_may_change_is_asked_again(behind: _Behind) -> None:
    for path in ("/sequence/t:chr?end=5", "/service-info", "/sequence/t:chr/metadata"):
        assert [behind.get(path).headers["X-Cache"] for _ in range(2)] == ["MISS", "MISS"]
    refused = behind.get("/sequence/nothing")
    assert (refused.status_code, refused.json()["status_code"]) == (404, 404)


def test_collections_are_compressed_and_kept(behind: _Behind) -> None:
    found = behind.get("/collection/lab:x").json()
    digest = behind.get("/list/collection").json()["results"][0]
    for cache in ("MISS", "HIT"):
        answer = behind.get(f"/collection/{digest}", Accept_Encoding="gzip")
        assert (answer.headers["Content-Encoding"], answer.headers["X-Cache"]) == ("gzip", cache)
        assert answer.json() == found
        again = behind.get(f"/collection/{digest}", If_None_Match=answer.headers["ETag"])
        assert again.status_code == 304
    assert behind.get("/metrics").text.startswith("# HELP")


def test_addresses_in_answers_lead_through_it(behind: _Behind) -> None:
    assert behind.get("/seqrepo/1/ping").json()["url"].startswith(behind.url)
    collection = behind.get("/list/collection").json()["results"][0]
    for below in ("", "/releases/r1"):
        found = behind.get(f"{below}/ga4gh/drs/v1/objects/{collection}").json()
        url = found["access_methods"][0]["access_url"]["url"]
        assert url.startswith(f"{behind.url}{below}/")
        for cache in ("MISS", "HIT"):
            answer = behind.get(url)
            assert (len(answer.content), answer.headers["X-Cache"]) == (found["size"], cache)
        part = behind.get(url, Range="bytes=1-3")
        assert (part.status_code, part.text) == (206, "chr")
    moved = behind.get("/releases/latest/sequence/t:s0")
    assert moved.headers["Location"] == f"{behind.url}/releases/r1/sequence/t:s0"
    assert behind.get(moved.headers["Location"]).text == "GATTACA"


def test_a_release_is_read_in_place_through_it(
    behind: _Behind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQARCHIVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(behind.session.verify))
    for address in (f"{behind.url}/releases/r1", f"{behind.url}/releases"):
        with seqarchive.connect(address) as archive:
            assert archive.fetch("t:chr", 2_000_000, 2_000_100) == _CHROMOSOME[2_000_000:2_000_100]


def test_too_much_is_refused_in_the_shape_of_all_errors(behind: _Behind) -> None:
    answer = behind.session.post(
        f"{behind.url}/comparison/lab:x", headers={"Content-Length": str(65 << 20)}, timeout=20
    )
    assert (answer.status_code, answer.json()["status_code"]) == (413, 413)
