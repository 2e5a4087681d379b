"""The service, on a real socket: every row of the tables of the standards, their own test suites,
and the clients that talk to it."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from biocommons.seqrepo import dataproxy as seqrepo_dataproxy
from fastapi import FastAPI
from ga4gh.vrs.dataproxy import create_dataproxy
from gtars.refget import RefgetStore
from helpers import wait_until
from refget.clients import SequenceClient, SequenceCollectionClient
from refget.compliance import run_compliance
from servers import reserved_port, running, wait_until_listening
from starlette.routing import Route

import seqarchive
from seqarchive import server
from seqarchive.server import create_app
from seqarchive.server.app import ROUTERS
from seqarchive.server.collections import collection_router
from seqarchive.server.openapi import PATHS, SEQCOL, document
from seqarchive.server.sequences import sequence_router
from seqarchive.server.served import Limits, service_of

DATA = Path(__file__).parent / "data"

V1, V2 = (f"text/vnd.ga4gh.refget.v{n}.0.0+plain; charset=us-ascii" for n in (1, 2))

#: phiX174, which is circular, and yeast's chromosome I.
PHIX, CHR1 = "SQ.IIXILYBQCpHdC4qpI3sOQ_HAeAm9bmeF", "SQ.lZyxiD_ByprhOUzrR1o1bq0ezO_1gkrn"
PHIX_LENGTH, CHR1_LENGTH = 5386, 230_218


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sequences and collections that the suites of the standards want."""
    root = tmp_path_factory.mktemp("served") / "root"
    command = [sys.executable, "-m", "seqarchive", "--root", str(root)]
    compliance = str(DATA / "nucl" / "ga4gh_refget_compliance.fa")
    load = ["load", "-n", "refseq", "--circular", "NC_001422.1", compliance]
    subprocess.run([*command, *load], check=True, stdout=subprocess.DEVNULL)
    with seqarchive.connect(root) as archive:
        for file in sorted((DATA / "edge" / "refget_test_fasta").glob("*.fa")):
            name = file.stem
            archive.load(file, f"test-{name}", threads=0, collection=f"test:{name}")
        archive["lab:odd/name:with|all%20"] = "ACGTACGT"
        archive["a:twice"], archive["b:twice"] = "AAAA", "CCCC"
    fhr = DATA / "edge" / "refget_test_fasta" / "sample_fhr.json"
    said = ["fhr", "set", "--partial", "test:base", str(fhr)]
    subprocess.run([*command, *said], check=True, stdout=subprocess.DEVNULL)
    return root


@pytest.fixture(scope="module")
def archive(root: Path) -> Iterator[seqarchive.Archive]:
    with seqarchive.connect(root) as opened:
        yield opened


@pytest.fixture(scope="module")
def url(archive: seqarchive.Archive) -> Iterator[str]:
    with running(create_app(archive)) as address:
        yield address


@pytest.fixture(scope="module")
def phix(archive: seqarchive.Archive) -> str:
    return archive.fetch(PHIX)


def get(address: str, **headers: str) -> requests.Response:
    """An answer; with nothing in the request but what is asked for."""
    with requests.Session() as session:
        session.headers.clear()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return session.get(address, headers=given, timeout=20)


def refused(answer: requests.Response, status: int) -> None:
    """An error of the one shape."""
    assert answer.status_code == status, answer.text
    document = answer.json()
    assert document["status_code"] == status
    assert document["msg"]
    assert "Traceback" not in answer.text


# --- residues -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "identifier",
    [
        PHIX, f"ga4gh:{PHIX}", "3332ed720ac7eaa9b3655c06f6b9e196",
        "3332ED720AC7EAA9B3655C06F6B9E196", "md5:3332ed720ac7eaa9b3655c06f6b9e196",
        "md5%3A3332ed720ac7eaa9b3655c06f6b9e196", "refseq:NC_001422.1", "NC_001422.1",
        "2085c82d80500a91dd0b8aa9237b0e43f1c0780" + "9bd6e6785", "sha512t24u:" + PHIX[3:], PHIX[3:],
    ],
)  # fmt: skip
def test_a_sequence_has_many_names(url: str, phix: str, identifier: str) -> None:
    answer = get(f"{url}/sequence/{identifier}")
    if len(identifier) == 48:  # trunc512
        names = get(f"{url}/sequence/{PHIX}/metadata").json()["metadata"]
        answer = get(f"{url}/sequence/{names['trunc512']}")
        assert get(f"{url}/sequence/trunc512:{names['trunc512'].upper()}").text == phix
    assert (answer.status_code, answer.text) == (200, phix)
    assert answer.headers["Content-Type"] == V2
    assert answer.headers["Content-Length"] == str(PHIX_LENGTH)
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert "Content-Encoding" not in answer.headers
    assert answer.headers["ETag"] == f'"{PHIX}"'
    is_name = "NC_001422" in identifier
    assert answer.headers["Cache-Control"] == (
        "no-cache" if is_name else "public, max-age=31536000, immutable"
    )


def test_names_may_have_anything_in_them(url: str) -> None:
    assert get(f"{url}/sequence/lab:odd%2Fname:with%7Call%2520").text == "ACGTACGT"
    assert get(f"{url}/sequence/lab:odd/name:with%7Call%2520").text == "ACGTACGT"
    refused(get(f"{url}/sequence/a:%ff"), 404)
    refused(get(f"{url}/sequence/nothing"), 404)
    refused(get(f"{url}/sequence/SQ.{'x' * 32}"), 404)
    refused(get(f"{url}/sequence/twice"), 409)
    assert "a:twice, b:twice" in get(f"{url}/sequence/twice").json()["msg"]


@pytest.mark.parametrize(
    ("query", "first", "last"),
    [
        ("start=0&end=5", 0, 5), ("start=10&end=10", 10, 10), ("end=5", 0, 5), ("end=0", 0, 0),
        ("start=5380", 5380, PHIX_LENGTH), ("start=0", 0, PHIX_LENGTH),
        ("start=5385&end=5386", 5385, 5386), ("start=00005&end=0010", 5, 10),
    ],
)  # fmt: skip
def test_parts_by_start_and_end(url: str, phix: str, query: str, first: int, last: int) -> None:
    answer = get(f"{url}/sequence/{PHIX}?{query}")
    assert (answer.status_code, answer.text) == (200, phix[first:last])
    assert answer.headers["Content-Length"] == str(last - first)
    assert answer.headers["Accept-Ranges"] == "none"
    assert "Content-Range" not in answer.headers


@pytest.mark.parametrize(("start", "end"), [(5374, 5), (5374, 0), (5000, 4999), (1, 0)])
def test_parts_go_over_the_origin_of_a_circle(url: str, phix: str, start: int, end: int) -> None:
    answer = get(f"{url}/sequence/{PHIX}?start={start}&end={end}")
    assert (answer.status_code, answer.text) == (200, phix[start:] + phix[:end])
    assert answer.headers["Content-Length"] == str(PHIX_LENGTH - start + end)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("start=5386", 416), ("start=5386&end=5386", 416), ("start=5386&end=5", 416),
        ("start=6000", 416), ("end=5387", 416), ("start=0&end=99999", 416),
        ("start=abc", 400), ("start=-10", 400), ("end=", 400), ("start=", 400), ("end=1.5", 400),
        ("start=4294967296", 400), ("end=99999999999999999999", 400), ("start=1&start=2", 400),
        ("start=%D9%A1", 400), ("start=+1", 400), ("start=1e3", 400),
    ],
)  # fmt: skip
def test_parts_that_are_none(url: str, query: str, status: int) -> None:
    answer = get(f"{url}/sequence/{PHIX}?{query}")
    refused(answer, status)
    if status == 416:
        assert answer.headers["Content-Range"] == f"bytes */{PHIX_LENGTH}"


def test_a_linear_sequence_has_no_parts_over_an_origin(url: str) -> None:
    refused(get(f"{url}/sequence/{CHR1}?start=10&end=5"), 416)


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-4", 0, 5), ("bytes=5-5", 5, 6), ("bytes=5380-9999", 5380, PHIX_LENGTH),
        ("bytes=5380-", 5380, PHIX_LENGTH), ("bytes=-6", 5380, PHIX_LENGTH),
        ("bytes=-99999", 0, PHIX_LENGTH), ("bytes=0-5385", 0, PHIX_LENGTH),
        ("bytes=5380-" + "9" * 40, 5380, PHIX_LENGTH), ("bytes=-" + "9" * 5000, 0, PHIX_LENGTH),
        ("bytes=" + "0" * 40 + "1-" + "0" * 40 + "2", 1, 3),
    ],
)  # fmt: skip
def test_ranges(url: str, phix: str, asked: str, first: int, last: int) -> None:
    answer = get(f"{url}/sequence/{PHIX}", Range=asked)
    assert (answer.status_code, answer.text) == (206, phix[first:last])
    assert answer.headers["Content-Range"] == f"bytes {first}-{last - 1}/{PHIX_LENGTH}"
    assert answer.headers["Content-Length"] == str(last - first)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("bytes=5386-", 416), ("bytes=6000-7000", 416), ("bytes=9-5", 416), ("bytes=-0", 416),
        ("bytes=", 400), ("bytes=-", 400), ("bytes=a-b", 400), ("bytes==1-2", 400),
        ("bytes=1--2", 400), ("bytes=0-1,3-4", 400), ("units=0-5", 400), ("0-5", 400),
        ("bytes 0-5", 400), ("bytes=" + "9" * 40 + "-", 416),
        ("bytes=" + "9" * 40 + "-" + "9" * 5000, 416),
    ],
)  # fmt: skip
def test_ranges_that_are_none(url: str, asked: str, status: int) -> None:
    answer = get(f"{url}/sequence/{PHIX}", Range=asked)
    refused(answer, status)
    if status == 416:
        assert answer.headers["Content-Range"] == f"bytes */{PHIX_LENGTH}"


def test_a_range_and_start_or_end_exclude_each_other(url: str) -> None:
    for query in ("start=0", "end=5", "start=0&end=5"):
        refused(get(f"{url}/sequence/{PHIX}?{query}", Range="bytes=0-4"), 400)


def test_what_did_not_change_is_not_sent_again(url: str, phix: str) -> None:
    etag = get(f"{url}/sequence/{PHIX}").headers["ETag"]
    for given in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        answer = get(f"{url}/sequence/{PHIX}", If_None_Match=given)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["ETag"] == etag
    assert get(f"{url}/sequence/{PHIX}", If_None_Match='"x"').text == phix
    part = get(f"{url}/sequence/{PHIX}?start=1&end=5").headers["ETag"]
    assert part != etag
    # A part of what the client has, or all of what it has not.
    assert get(f"{url}/sequence/{PHIX}", Range="bytes=0-4", If_Range=etag).status_code == 206
    other = get(f"{url}/sequence/{PHIX}", Range="bytes=0-4", If_Range='"old"')
    assert (other.status_code, other.text) == (200, phix)


@pytest.mark.parametrize(
    ("accept", "found"),
    [
        ("", V2), ("*/*", V2), ("text/*", V2), ("text/plain", V2), (V2, V2), (V1, V1),
        ("text/vnd.ga4gh.refget.v2.0.0+plain", V2), ("text/vnd.ga4gh.refget.v1.0.0+plain", V1),
        ("text/vnd.ga4gh.refget.v1.0.0+plain;q=0.5, text/plain", V2),
        ("text/vnd.ga4gh.refget.v1.0.0+plain, */*;q=0.1", V1), ("TEXT/PLAIN", V2),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", V2),
        ("*", V2), ("text/plain;q=0, */*", None), ("text/html, text/plain;q=0.001", V2),
    ],
)  # fmt: skip
def test_the_kind_of_answer_is_the_one_that_is_liked_most(
    url: str, accept: str, found: str | None
) -> None:
    answer = get(f"{url}/sequence/{PHIX}?end=1", Accept=accept)
    if found is None:  # of version 2 nothing is wanted, of others anything
        assert answer.headers["Content-Type"] == V1
    else:
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, found)


@pytest.mark.parametrize(
    "accept", ["embl/some_json", "application/json", "text/plain;q=0", "nonsense", "image/*"]
)
def test_what_cannot_be_given_is_refused(url: str, accept: str) -> None:
    refused(get(f"{url}/sequence/{PHIX}", Accept=accept), 406)


def test_heads_say_what_a_get_would(url: str) -> None:
    for path in (
        f"sequence/{PHIX}", f"sequence/{CHR1}", f"sequence/{PHIX}?start=1&end=9",
        f"sequence/{PHIX}/metadata", "sequence/service-info", "service-info", "list/collection",
        "seqrepo/1/ping", f"seqrepo/1/sequence/{PHIX}", "healthz",
    ):  # fmt: skip
        got, head = get(f"{url}/{path}"), requests.head(f"{url}/{path}", timeout=20)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Length"] == str(len(got.content))


def test_long_sequences_are_streamed_whole(url: str, archive: seqarchive.Archive) -> None:
    expected = archive.fetch(CHR1)
    answer = get(f"{url}/sequence/{CHR1}", Accept_Encoding="gzip")
    assert answer.text == expected
    assert answer.headers["Content-Length"] == str(CHR1_LENGTH)
    assert "Content-Encoding" not in answer.headers
    assert "Transfer-Encoding" not in answer.headers
    assert get(f"{url}/sequence/{CHR1}", Range="bytes=7-").text == expected[7:]
    assert get(f"{url}/md5/6681ac2f62509cfc220d78751b8dc524").text == expected


def test_scripts_of_other_sites_may_ask(url: str) -> None:
    answer = get(f"{url}/sequence/{PHIX}?end=1", Origin="https://example.org")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    exposed = answer.headers["Access-Control-Expose-Headers"]
    assert {"Content-Length", "Content-Range", "Accept-Ranges", "ETag"} <= set(exposed.split(", "))
    assert "Access-Control-Allow-Credentials" not in answer.headers
    asked = requests.options(
        f"{url}/sequence/{PHIX}",
        headers={
            "Origin": "https://example.org",
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "range",
        },
        timeout=20,
    )
    assert asked.status_code == 200
    assert "range" in asked.headers["Access-Control-Allow-Headers"].lower()
    assert get(f"{url}/sequence/x", Origin="https://a.b").headers["Access-Control-Allow-Origin"]


def test_other_methods_and_paths_are_refused(url: str) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        refused(requests.request(method, f"{url}/sequence/{PHIX}", timeout=20), 405)
    refused(get(f"{url}/nothing"), 404)


# --- what is known of them ----------------------------------------------------------------------


def test_metadata_have_all_digests_and_names(url: str) -> None:
    answer = get(f"{url}/sequence/NC_001422.1/metadata")
    assert answer.headers["Content-Type"] == (
        "application/vnd.ga4gh.refget.v2.0.0+json; charset=us-ascii"
    )
    found = answer.json()["metadata"]
    assert found["md5"] == "3332ed720ac7eaa9b3655c06f6b9e196"
    assert found["ga4gh"] == found["id"] == PHIX
    assert found["length"] == PHIX_LENGTH
    assert found["circular"] is True
    assert {"alias": "NC_001422.1", "naming_authority": "refseq"} in found["aliases"]
    v1 = "application/vnd.ga4gh.refget.v1.0.0+json"
    answer = get(f"{url}/sequence/{PHIX}/metadata", Accept=v1)
    assert answer.headers["Content-Type"].startswith(v1)
    refused(get(f"{url}/sequence/nothing/metadata"), 404)
    refused(get(f"{url}/sequence/{PHIX}/metadata", Accept="text/plain"), 406)


def test_the_service_says_what_it_is_to_clients_of_both_versions(url: str) -> None:
    found = get(f"{url}/sequence/service-info").json()
    assert found["type"] == {
        "group": "org.ga4gh", "artifact": "refget-sequence", "version": "2.0.0"
    }  # fmt: skip
    for name in ("id", "name", "version"):
        assert isinstance(found[name], str)
    assert set(found["organization"]) == {"name", "url"}
    for version in ("refget", "service"):
        assert found[version]["circular_supported"] is True
        assert found[version]["algorithms"] == ["md5", "ga4gh", "trunc512"]
        assert found[version]["subsequence_limit"] is None
    assert "refseq" in found["refget"]["identifier_types"]
    assert found["createdAt"] <= found["updatedAt"]


def test_parts_may_be_limited(archive: seqarchive.Archive, phix: str) -> None:
    with running(create_app(archive, limits=Limits(subsequence=100))) as url:
        assert get(f"{url}/sequence/{PHIX}?end=100").text == phix[:100]
        refused(get(f"{url}/sequence/{PHIX}?end=101"), 416)
        refused(get(f"{url}/sequence/{PHIX}", Range="bytes=0-100"), 416)
        refused(get(f"{url}/sequence/{PHIX}?start=5300&end=100"), 416)
        assert get(f"{url}/sequence/{PHIX}").text == phix
        seqrepo = f"{url}/seqrepo/1/sequence/{PHIX}"
        assert get(f"{seqrepo}?start=10&end=110").text == phix[10:110]
        for bounds in ("start=0&end=101", "start=5000", "end=2000"):
            refused(get(f"{seqrepo}?{bounds}"), 416)
        assert get(seqrepo).text == phix
        info = get(f"{url}/sequence/service-info").json()
        assert info["refget"]["subsequence_limit"] == 100


def test_a_batch_that_is_loaded_is_seen_at_once(url: str, root: Path) -> None:
    refused(get(f"{url}/sequence/lab:late"), 404)
    with seqarchive.connect(root) as other:
        other["lab:late"] = "GATTACA"
    assert get(f"{url}/sequence/lab:late").text == "GATTACA"


# --- collections --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digests() -> dict[str, Any]:
    file = DATA / "edge" / "refget_test_fasta" / "test_fasta_digests.json"
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def test_collections_at_both_levels(url: str, digests: dict[str, Any]) -> None:
    for name, expected in digests.items():
        digest = expected["top_level_digest"]
        assert get(f"{url}/collection/{digest}?level=1").json() == expected["level1"], name
        found = get(f"{url}/collection/{digest}")
        assert found.json() == get(f"{url}/collection/test:{name[:-3]}").json()
        assert {key: found.json()[key] for key in expected["level2"]} == expected["level2"]
        assert found.headers["Cache-Control"].endswith("immutable")
        again = get(f"{url}/collection/{digest}", If_None_Match=found.headers["ETag"])
        assert again.status_code == 304
        items = get(f"{url}/collection/{digest}?collated=false").json()
        assert [one["name"] for one in items] == expected["level2"]["names"]
        for attribute, value in expected["level1"].items():
            answer = get(f"{url}/attribute/collection/{attribute}/{value}")
            if attribute == "sorted_name_length_pairs":
                refused(answer, 404)
            else:
                assert answer.json() == found.json()[attribute]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("collection/" + "x" * 32, 404), ("collection/x", 404),
        ("collection/test:base?level=3", 400),
        ("collection/test:base?level=", 400), ("collection/test:base?level=1&level=2", 400),
        ("collection/test:base?collated=maybe", 400), ("comparison/test:base/nothing", 404),
        ("attribute/collection/names/" + "x" * 32, 404), ("attribute/collection/names/x", 404),
        ("attribute/collection/nothing/" + "x" * 32, 404), ("list/collection?page=-1", 400),
        ("list/collection?page_size=0", 400), ("list/collection?page_size=100001", 400),
        ("list/collection?page=x", 400), ("list/collection?nothing=" + "x" * 32, 400),
        ("list/collection?names=x", 400), ("list/attributes/nothing", 404),
        ("collection/test:subset/fhr", 404), ("alias/genome/test/base", 400),
        ("alias/collection/test/nothing", 404), ("aliases/sequence/nothing", 404),
        ("list/alias/genome", 400),
    ],
)  # fmt: skip
def test_what_there_is_not(url: str, path: str, status: int) -> None:
    refused(get(f"{url}/{path}"), status)


def test_digests_of_collections_have_no_prefix(url: str, digests: dict[str, Any]) -> None:
    base, names = digests["base.fa"]["top_level_digest"], digests["base.fa"]["level1"]["names"]
    for prefix in ("SQ.", "ga4gh:", "ga4gh:SQ."):
        one = prefix + base
        for path in (
            f"collection/{one}", f"collection/{one}/fhr", f"collection/{one}/members",
            f"collection/{one}/provenance", f"comparison/{one}/{base}", f"comparison/{base}/{one}",
            f"comparison/{base}/{one}/members", f"aliases/collection/{one}",
            f"attribute/collection/names/{prefix}{names}",
        ):  # fmt: skip
            answer = get(f"{url}/{path}")
            refused(answer, 404)
            assert "no prefix" in answer.json()["msg"]
        for path, body in ((f"collection/{one}/regions", []), (f"comparison/{one}", {})):
            refused(requests.post(f"{url}/{path}", json=body, timeout=20), 404)
        refused(get(f"{url}/list/collection?names={prefix}{names}"), 400)


def test_lists_are_paged_and_filtered_by_any_attribute(url: str, digests: dict[str, Any]) -> None:
    everything = get(f"{url}/list/collection").json()
    assert everything["pagination"] == {"page": 0, "page_size": 100, "total": 7}
    pages = [get(f"{url}/list/collection?page={n}&page_size=2").json() for n in range(5)]
    assert [one for page in pages for one in page["results"]] == everything["results"]
    assert all(page["pagination"]["total"] == 7 for page in pages)
    base = digests["base.fa"]["level1"]
    for attribute, value in base.items():
        found = get(f"{url}/list/collection?{attribute}={value}").json()["results"]
        assert sorted(found) == sorted(
            one["top_level_digest"]
            for one in digests.values()
            if one["level1"].get(attribute) == value
        )
        listed = get(f"{url}/list/attributes/{attribute}").json()
        assert value in listed["results"]
        assert listed["pagination"]["total"] == len(set(listed["results"]))
    both = f"names={base['names']}&lengths={base['lengths']}"
    assert get(f"{url}/list/collection?{both}").json()["pagination"]["total"] == 1


def test_comparisons_by_digest_and_of_what_is_posted(url: str) -> None:
    found = get(f"{url}/comparison/test:base/test:subset").json()
    assert found["array_elements"]["a_and_b_count"]["names"] == 2
    subset = get(f"{url}/collection/test:subset").json()
    posted = requests.post(f"{url}/comparison/test:base", json=subset, timeout=20)
    assert posted.json() == found
    # What follows from names, lengths and sequences need not be there.
    bare = {name: subset[name] for name in ("names", "lengths", "sequences")}
    answer = requests.post(f"{url}/comparison/test:base", json=bare, timeout=20).json()
    assert answer == found
    # Of a coordinate system, nobody knows which sequences are meant.
    del bare["sequences"]
    answer = requests.post(f"{url}/comparison/test:base", json=bare, timeout=20).json()
    assert answer["digests"] == {"a": found["digests"]["a"], "b": None}
    assert answer["attributes"] == {
        "a_only": ["sequences", "sorted_sequences"], "b_only": [],
        "a_and_b": ["lengths", "name_length_pairs", "names"],
    }  # fmt: skip
    counted = found["array_elements"]["a_and_b_count"]
    assert answer["array_elements"]["a_and_b_count"] == {
        name: counted[name] for name in ("lengths", "name_length_pairs", "names")
    }


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"names": ["a"]}', b'{"names": 1}', b"[" * 10_000, b"\xff", b"1"]
)
def test_what_is_posted_and_makes_no_sense_is_refused(url: str, body: bytes) -> None:
    for path in ("comparison/test:base", "collection/test:base/regions"):
        answer = requests.post(f"{url}/{path}", data=body, timeout=20)
        if answer.status_code == 200:
            assert (body, answer.json()) == (b"[]", [])
        else:
            refused(answer, 400)


def test_names_fhr_and_regions(url: str, digests: dict[str, Any]) -> None:
    base = digests["base.fa"]["top_level_digest"]
    assert get(f"{url}/alias/collection/test/base").json() == {
        "namespace": "test", "alias": "base", "digest": base
    }  # fmt: skip
    assert get(f"{url}/aliases/collection/{base}").json() == [["test", "base"]]
    assert get(f"{url}/alias/sequence/refseq/NC_001422.1").json()["digest"] == PHIX[3:]
    assert ["refseq", "NC_001422.1"] in get(f"{url}/aliases/sequence/{PHIX}").json()
    assert get(f"{url}/list/alias/collection").json() == ["test"]
    assert "refseq" in get(f"{url}/list/alias/sequence").json()
    assert "base" in get(f"{url}/list/alias/collection/test").json()["results"]
    assert "NC_001422.1" in get(f"{url}/list/alias/sequence/refseq").json()["results"]
    assert get(f"{url}/list/fhr").json() == [base]
    sample = DATA / "edge" / "refget_test_fasta" / "sample_fhr.json"
    assert get(f"{url}/collection/{base}/fhr").json() == json.loads(sample.read_text())
    regions = [{"chrom": "chrX", "start": 1, "end": 5}, {"chrom": "chr1"}]
    answer = requests.post(f"{url}/collection/test:base/regions", json=regions, timeout=20)
    assert answer.json() == [
        {"chrom": "chrX", "start": 1, "end": 5, "sequence": "TGGG"},
        {"chrom": "chr1", "start": 0, "end": 4, "sequence": "GGAA"},
    ]
    for wrong, status in (
        ([{"chrom": "nothing"}], 404), ([{"chrom": "chrX", "start": 5, "end": 1}], 400),
        ([{"chrom": "chrX", "start": -1}], 400), ([{"chrom": "chrX", "end": 99}], 400), ([7], 400),
    ):  # fmt: skip
        for n in (0, 2):
            asked = [*[{"chrom": "chr1"}] * n, *wrong]
            answer = requests.post(f"{url}/collection/test:base/regions", json=asked, timeout=20)
            refused(answer, status)
            assert f"region {n}" in answer.json()["msg"]
    answer = requests.post(
        f"{url}/collection/test:base/regions", json=[{"chrom": "chrX", "end": 99}], timeout=20
    )
    assert answer.json()["msg"] == "region 0: chrX has 8 residues, and no 0-99"


# --- DRS ------------------------------------------------------------------------------------------


def test_the_file_of_a_collection_is_an_object(url: str, root: Path, digests: Any) -> None:
    base = digests["base.fa"]["top_level_digest"]
    original = (DATA / "edge" / "refget_test_fasta" / "base.fa").read_bytes()
    found = get(f"{url}/ga4gh/drs/v1/objects/{base}").json()
    assert {"id", "self_uri", "size", "created_time", "checksums", "access_methods"} <= set(found)
    assert found["self_uri"] == f"drs://{url.removeprefix('http://')}/{base}"
    assert found["aliases"] == ["test:base"]
    (access,) = found["access_methods"]
    where = f"{url}/ga4gh/drs/v1/objects/{base}/access/{access['access_id']}"
    assert get(where).json() == access["access_url"]
    answer = get(access["access_url"]["url"])
    assert answer.content == original == exported(root, base)
    assert found["size"] == len(original) == int(answer.headers["Content-Length"])
    assert {one["type"]: one["checksum"] for one in found["checksums"]} == {
        "sha-256": hashlib.sha256(original).hexdigest(),
        "md5": hashlib.md5(original).hexdigest(),
        "sha-512": hashlib.sha512(original).hexdigest(),
    }
    again = get(access["access_url"]["url"], If_None_Match=answer.headers["ETag"])
    assert again.status_code == 304


def exported(root: Path, collection: str) -> bytes:
    """The file of a collection, as the command writes it."""
    command = [sys.executable, "-m", "seqarchive", "--root", str(root), "export"]
    done = subprocess.run([*command, "--collection", collection], check=True, capture_output=True)
    return done.stdout


def test_a_file_in_other_letters_is_another_file(small: Path, tmp_path: Path) -> None:
    """Of one size, of the same collection: what is said of it is not what was said before."""
    plain, masked = tmp_path / "plain.fa", tmp_path / "masked.fa"
    plain.write_text(">a one\nACGTACGT\n")
    masked.write_text(">a two\nACgtACGT\n")
    with seqarchive.connect(small) as archive, running(create_app(archive)) as url:
        for file in (plain, masked):
            archive.load(file, "case", keep_mask=True, collection="case:it", threads=0)
            found = get(f"{url}/ga4gh/drs/v1/objects/case:it").json()
            checksums = {one["type"]: one["checksum"] for one in found["checksums"]}
            contents = get(found["access_methods"][0]["access_url"]["url"])
            assert contents.content == file.read_bytes()
            assert checksums["sha-256"] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_any_range_of_an_object_can_be_had(
    url: str, archive: seqarchive.Archive, root: Path
) -> None:
    (digest,) = (one.digest for one in archive.collections() if len(one) == 3 and not one.aliases())
    where = f"{url}/ga4gh/drs/v1/objects/{digest}/bytes"
    whole = get(where).content
    assert whole == exported(root, digest)
    for start, end in ((0, 10), (60, 70), (234_000, 240_000), (len(whole) - 5, len(whole))):
        answer = get(where, Range=f"bytes={start}-{end - 1}")
        assert (answer.status_code, answer.content) == (206, whole[start:end])
        assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(whole)}"
    refused(get(where, Range=f"bytes={len(whole)}-"), 416)
    refused(get(where, Range="lines=0-1"), 400)


def test_many_objects_at_once(url: str, digests: Any) -> None:
    base, subset = (digests[name]["top_level_digest"] for name in ("base.fa", "subset.fa"))
    asked = {"bulk_object_ids": [base, "nothing", subset]}
    found = requests.post(f"{url}/ga4gh/drs/v1/objects", json=asked, timeout=20).json()
    assert found["summary"] == {"requested": 3, "resolved": 2, "unresolved": 1}
    assert found["unresolved_drs_objects"] == [{"error_code": 404, "object_ids": ["nothing"]}]
    assert [one["id"] for one in found["resolved_drs_object"]] == [base, subset]
    wanted = {"bulk_object_access_ids": [{"bulk_object_id": base, "bulk_access_ids": ["https"]}]}
    answer = requests.post(f"{url}/ga4gh/drs/v1/objects/access", json=wanted, timeout=20).json()
    (one,) = answer["resolved_drs_object_access_urls"]
    assert get(one["url"]).content.startswith(b">chrX")
    for path, body in (
        ("objects", {}), ("objects", {"bulk_object_ids": "x"}),
        ("objects", {"bulk_object_ids": [1]}), ("objects", {"bulk_object_ids": ["x"] * 1001}),
        ("objects/access", []),
        ("objects/access", {"bulk_object_access_ids": [7]}),
        *(
            ("objects/access", {"bulk_object_access_ids": [
                {"bulk_object_id": base, "bulk_access_ids": json.loads(wrong)}]})
            for wrong in ("{}", "null", '""', "0", "false", '"https"', "[1]")
        ),
    ):  # fmt: skip
        refused(requests.post(f"{url}/ga4gh/drs/v1/{path}", json=body, timeout=20), 400)
    info = get(f"{url}/ga4gh/drs/v1/service-info").json()
    assert (info["type"]["artifact"], info["maxBulkRequestLength"]) == ("drs", 1000)
    assert info["drs"]["objectCount"] == 7
    refused(get(f"{url}/ga4gh/drs/v1/objects/nothing"), 404)
    refused(get(f"{url}/ga4gh/drs/v1/objects/{base}/access/ftp"), 404)


def test_no_object_needs_an_authorization(url: str, digests: Any) -> None:
    """DRS asks for OPTIONS of objects; 204 says that there are no authorizations."""
    base = digests["base.fa"]["top_level_digest"]
    drs = f"{url}/ga4gh/drs/v1/objects"
    for path in (f"/{base}", f"/{base}/access/https", ""):
        answer = requests.options(f"{drs}{path}", timeout=20)
        assert (answer.status_code, answer.content) == (204, b"")
        allowed = set(answer.headers["Allow"].split(", "))
        assert {"POST", "OPTIONS"} <= allowed
        other = requests.delete(f"{drs}{path}", timeout=20)
        assert set(other.headers["Allow"].split(", ")) == allowed
    refused(requests.options(f"{drs}/nothing", timeout=20), 404)
    refused(requests.options(f"{drs}/{base}/access/ftp", timeout=20), 404)


# --- SeqRepo's interface --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("sequence/NC_001422.1?start=0&end=5", 200, 5), ("sequence/NC_001422.1?start=5380", 200, 6),
        ("sequence/NC_001422.1?start=5380&end=9999", 200, 6),
        ("sequence/NC_001422.1?start=9998&end=9999", 200, 0), ("sequence/nothing", 404, None),
        ("sequence/NC_001422.1?start=5&end=1", 422, None), ("sequence/twice", 422, None),
        ("sequence/NC_001422.1?start=-1", 400, None), ("sequence/NC_001422.1?x=1", 400, None),
        ("metadata/twice", 422, None), ("metadata/nothing", 404, None),
        ("sequence/3332ed72", 404, None), ("sequence/NC_%25", 404, None),
    ],
)  # fmt: skip
def test_the_interface_of_seqrepo(
    url: str, phix: str, path: str, status: int, text: int | None
) -> None:
    answer = get(f"{url}/seqrepo/1/{path}")
    if text is None:
        refused(answer, status)
    else:
        assert (answer.status_code, len(answer.text)) == (status, text)
        assert answer.text in phix


@pytest.mark.parametrize("kind", ["vrs", "seqrepo"])
def test_real_clients_of_seqrepo(url: str, phix: str, kind: str) -> None:
    if kind == "vrs":
        proxy = create_dataproxy(f"seqrepo+{url}/seqrepo")
    else:
        proxy = seqrepo_dataproxy.create_dataproxy(f"seqrepo+{url}/seqrepo")
    assert proxy.get_sequence("refseq:NC_001422.1", 5, 25) == phix[5:25]
    assert proxy.get_sequence(f"ga4gh:{PHIX}") == phix
    found = proxy.get_metadata("NC_001422.1")
    assert found["length"] == PHIX_LENGTH
    assert proxy.translate_sequence_identifier("refseq:NC_001422.1", "ga4gh") == [f"ga4gh:{PHIX}"]
    with pytest.raises(KeyError):
        proxy.get_sequence("refseq:nothing")


# --- other clients --------------------------------------------------------------------------------


def test_genomes_are_found_by_name(url: str, digests: Any) -> None:
    base = digests["base.fa"]
    for name in ("base", "test:base", base["top_level_digest"]):
        found = get(f"{url}/v4/aliases/{name}").json()
        assert found["digest"] == base["top_level_digest"]
        assert found["collection"] == {
            key: base["level2"][key] for key in ("names", "lengths", "sequences")
        }
        assert found["fhr"] is not None
    refused(get(f"{url}/v4/aliases/nothing"), 404)
    listed = get(f"{url}/v4/aliases").json()
    row = {"name": "base", "namespace": "test", "genome_digest": base["top_level_digest"],
           "source": "server"}  # fmt: skip
    assert row in listed["items"]
    assert listed["pagination"] == {"offset": 0, "limit": 100, "total": 6}
    assert get(f"{url}/v4/aliases?name=base").json()["items"] == [row]
    pages = [get(f"{url}/v4/aliases?offset={n}&limit=1").json()["items"] for n in range(7)]
    assert [one for page in pages for one in page] == listed["items"]
    refused(get(f"{url}/v4/aliases?limit=0"), 400)


def test_the_client_of_refget(url: str, phix: str, digests: Any) -> None:
    sequences = SequenceClient([url], raise_errors=True)
    assert sequences.get_sequence(PHIX, 5, 25) == phix[5:25]
    metadata = sequences.get_metadata(PHIX)
    assert metadata is not None
    assert metadata["metadata"]["length"] == PHIX_LENGTH
    collections = SequenceCollectionClient([url], raise_errors=True)
    for expected in digests.values():
        found = collections.get_collection(expected["top_level_digest"], level=1)
        assert found == expected["level1"]
    base, subset = (digests[name]["top_level_digest"] for name in ("base.fa", "subset.fa"))
    compared = collections.compare(base, subset)
    assert compared is not None
    assert compared["digests"] == {"a": base, "b": subset}


def test_samtools_decodes_a_cram_by_what_is_served(
    url: str, phix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = tmp_path / "phix.fa"
    reference.write_text(f">phix\n{phix}\n")
    header = f"@SQ\tSN:phix\tLN:{len(phix)}\tM5:3332ed720ac7eaa9b3655c06f6b9e196\n"
    read = f"r1\t0\tphix\t101\t60\t50M\t*\t0\t0\t{phix[100:150]}\t{'I' * 50}\n"
    (tmp_path / "x.sam").write_text(header + read)
    subprocess.run(
        ["samtools", "view", "-C", "-T", str(reference), "-o", str(tmp_path / "x.cram"),
         str(tmp_path / "x.sam")], check=True,
    )  # fmt: skip
    reference.unlink()
    reference.with_name("phix.fa.fai").unlink(missing_ok=True)
    monkeypatch.setenv("REF_CACHE", str(tmp_path / "cache" / "%2s" / "%2s" / "%s"))
    for path in (f"{url}/md5/%s", f"{url}/sequence/%s"):
        monkeypatch.setenv("REF_PATH", path)
        done = subprocess.run(
            ["samtools", "view", str(tmp_path / "x.cram")], capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        assert done.stdout.split("\t")[9] == phix[100:150]
        shutil.rmtree(tmp_path / "cache")


# --- the suites of the standards ------------------------------------------------------------------


def test_all_checks_of_refget_for_collections(url: str) -> None:
    report = run_compliance(url)
    failed = [one for one in report["results"] if not one["passed"]]
    assert failed == []
    assert report["total"] >= 65


def test_all_checks_of_the_compliance_suite_for_sequences(url: str, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "refget-compliance"), "report", "-s", f"{url}/"]
    done = subprocess.run(
        [*command, "--json", "-", "--no-web"], capture_output=True, text=True, check=False,
        cwd=tmp_path, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (report,) = json.loads(done.stdout[done.stdout.index("[") :])
    failed = [one["name"] for one in report["test_results"] if one["result"] != 1]
    # It is for servers that know no circles, and is left out of itself.
    assert failed == ["test_sequence_circular_support_false_errors"]
    assert len(report["test_results"]) >= 30


def test_who_asks_with_a_wrong_method_is_told_all_right_ones(url: str) -> None:
    for path, methods in (
        ("tracks", "GET HEAD POST"), ("genomes", "GET HEAD POST"), ("tracks/x", "GET HEAD DELETE"),
        ("jobs/x", "GET HEAD DELETE"), ("genomes/x", "GET HEAD DELETE"),
        ("methods/x", "GET HEAD POST"), ("jobs", "GET HEAD"),
    ):  # fmt: skip
        answer = requests.patch(f"{url}/api/{path}", timeout=20)
        refused(answer, 405)
        assert set(answer.headers["Allow"].split(", ")) == set(methods.split())


def test_what_is_described_is_what_is_taken(url: str, archive: seqarchive.Archive) -> None:
    paths = get(f"{url}/openapi.json").json()["paths"]
    (size,) = (
        one["schema"]["maximum"]
        for one in paths["/api/genomes"]["get"]["parameters"]
        if one["name"] == "page_size"
    )
    assert get(f"{url}/api/genomes?page_size={size}").status_code == 200
    refused(get(f"{url}/api/genomes?page_size={size + 1}"), 400)
    for path in paths:
        if "{kind}" in path:
            (kind,) = (one for one in paths[path]["parameters"] if one["name"] == "kind")
            assert kind["schema"]["enum"] == ["collection", "sequence"]
    app = FastAPI()
    app.mount("/one", create_app(archive))
    with running(app) as outer:
        (server,) = get(f"{outer}/one/openapi.json").json()["servers"]
        assert get(f"{outer}{server['url']}/sequence/{PHIX}?end=3").text == "GAG"
    assert get(f"{url}/openapi.json").json()["servers"] == [{"url": "/"}]


def test_what_is_told_again_is_short_and_advises_no_command(url: str) -> None:
    for path in ("sequence", "collection", "seqrepo/1/metadata", "api/tracks", "api/genomes"):
        answer = get(f"{url}/{path}/{'x' * 5_000}")
        assert answer.status_code in (400, 404)
        assert len(answer.text) < 400
        assert "list` says" not in answer.text
        assert "list` says" not in get(f"{url}/{path}/nothing").text
        assert len(get(f"{url}/{path}/{'x%20' * 2_500}").text) < 1_200


def test_every_route_is_described(archive: seqarchive.Archive) -> None:
    below = [("", make) for make in ROUTERS] + [(SEQCOL, collection_router)]
    found = {
        (prefix + re.sub(r":\w+}", "}", route.path), method.lower())
        for prefix, make in below
        for route in make(service_of(archive)).routes
        if isinstance(route, Route)
        for method in route.methods or ()
        if method != "HEAD"
    }
    described = document("x")["paths"]
    assert found == {
        (path, method)
        for path, item in described.items()
        for method in item
        if method != "parameters"
    }
    ids = [one["operationId"] for item in PATHS.values() for one in item.values()]
    assert len(ids) == len(set(ids))


@pytest.fixture
def own_url(root: Path, tmp_path: Path) -> Iterator[str]:
    """A copy that may be changed."""
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    with seqarchive.connect(copy) as archive, running(create_app(archive)) as address:
        yield address


def test_whatever_is_asked_the_answer_is_one_that_is_described(
    own_url: str, tmp_path: Path
) -> None:
    """Schemathesis makes requests of all kinds from the description."""
    command = [str(Path(sys.executable).parent / "schemathesis"), "run", f"{own_url}/openapi.json"]
    # The same handlers as without it.
    command += ["--exclude-path-regex", f"^({SEQCOL}/|/api/(tracks|genomes)/$)"]
    checks = "not_a_server_error,status_code_conformance,content_type_conformance"
    done = subprocess.run(
        [*command, "--checks", f"{checks},response_schema_conformance", "--max-examples", "10",
         "--seed", "1", "--generation-database", "none", "--phases", "examples,coverage,fuzzing"],
        capture_output=True, text=True, check=False, cwd=tmp_path, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]


# --- mounted elsewhere, and as a command ----------------------------------------------------------


def test_routers_go_into_any_application_for_several_archives(
    archive: seqarchive.Archive, tmp_path: Path
) -> None:
    subprocess.run(
        [sys.executable, "-m", "seqarchive", "--root", str(tmp_path / "other"), "init"], check=True
    )
    with seqarchive.connect(tmp_path / "other") as other:
        other["lab:x"] = "GGGG"
        app = FastAPI()
        app.include_router(sequence_router(service_of(archive)), prefix="/one")
        app.include_router(sequence_router(service_of(other)), prefix="/two/deep")
        app.include_router(collection_router(service_of(archive)), prefix="/cols")
        with running(app) as url:
            assert get(f"{url}/one/sequence/NC_001422.1?end=3").text == "GAG"
            assert get(f"{url}/two/deep/sequence/lab:x").text == "GGGG"
            refused(get(f"{url}/two/deep/sequence/NC_001422.1"), 404)
            assert get(f"{url}/cols/list/collection").json()["pagination"]["total"] == 7


def test_a_refgetstore_and_a_release_are_served_too(
    archive: seqarchive.Archive, root: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "seqarchive", "--root", str(root)]
    for words in (["export-rgstore", str(tmp_path / "store")], ["snapshot", "r1"]):
        subprocess.run([*command, *words], check=True, stdout=subprocess.DEVNULL)
    for opened in (seqarchive.connect(tmp_path / "store"), seqarchive.connect(root, "r1")):
        with closing(opened), running(create_app(opened)) as url:
            assert get(f"{url}/sequence/refseq:NC_001422.1?end=9").text == "GAGTTTTAT"
            assert get(f"{url}/sequence/{PHIX}/metadata").json()["metadata"]["ga4gh"] == PHIX
            assert get(f"{url}/collection/test:base?level=1").status_code == 200
            assert get(f"{url}/list/collection").json()["pagination"]["total"] == 7
            assert get(f"{url}/service-info").status_code == 200
            assert get(f"{url}/sequence/service-info").status_code == 200
            assert get(f"{url}/seqrepo/1/metadata/NC_001422.1").json()["length"] == PHIX_LENGTH


def test_the_command_serves_until_it_is_stopped(root: Path) -> None:
    with command_serving(root) as url:
        assert get(f"{url}/sequence/{PHIX}?end=3").text == "GAG"
    command = [sys.executable, "-m", "seqarchive", "--root", str(root), "serve"]
    for words, code, said in (
        (["--host", "0.0.0.0"], 2, "--public"),
        (["--root", str(root.parent / "nothing")], 3, "no archive"),
        (["--trusted-origin", "x"], 2, "is no web site"),
        (["--trusted-origin", "https://x.org/"], 2, "is no web site"),
        (["--trusted-origin", "https://x.org:y"], 2, "is no web site"),
    ):
        done = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
        assert done.returncode == code
        assert said in done.stderr


def test_a_store_that_is_not_there_is_told_once(root: Path) -> None:
    nowhere = root.parent / "no-store"
    command = [sys.executable, "-m", "seqarchive", "serve", "--store", str(nowhere)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr.count(str(nowhere)) == 1


def test_without_a_release_there_is_no_latest_one(tmp_path: Path) -> None:
    root = tmp_path / "new"
    subprocess.run([sys.executable, "-m", "seqarchive", "--root", str(root), "init"], check=True)
    with seqarchive.connect(root) as archive, running(create_app(archive, root=root)) as url:
        refused(get(f"{url}/releases/latest/sequence/{PHIX}"), 404)


def test_until_a_store_is_exported_its_paths_say_so(root: Path) -> None:
    assert not (root / "rgstore").exists()
    with command_serving(root) as url:
        for path in ("", "rgstore.json"):
            answer = get(f"{url}/store/{path}")
            refused(answer, 404)
            assert "export-rgstore" in answer.json()["msg"]
        info = get(f"{url}/service-info").json()["seqcol"]["refget_store"]
        assert info == {"enabled": False}


def test_what_others_use_is_in_the_package() -> None:
    for name in (
        "sequence_router", "collection_router", "seqrepo_router", "service_of", "create_app",
        "Identity", "Limits",
    ):  # fmt: skip
        assert name in dir(server)
        assert getattr(server, name).__module__.startswith("seqarchive.server.")
    assert "identity" in inspect.signature(server.create_app).parameters
    with pytest.raises(AttributeError, match="nothing"):
        _ = server.nothing


def test_each_request_is_a_line_and_a_number(root: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with command_serving(root, "-v", "--workers", "2", log=log) as url:
        for _ in range(20):
            get(f"{url}/sequence/{PHIX}?end=3", User_Agent="me")
        get(f"{url}/whatever/there/is")
        # A request is counted when its answer has gone out; the other process may be asked first.
        expected = ('status="404"} 1.0', 'kind="sequence",method="GET",status="200"} 20.0')

        def are_counted() -> bool:
            numbers = get(f"{url}/metrics").text
            return all(one in numbers for one in expected)

        wait_until(are_counted)
        numbers = get(f"{url}/metrics").text
    counted = re.findall(r'seqarchive_requests_total\{([^}]*)\} ([0-9.]+)', numbers)
    by_labels = {labels: float(number) for labels, number in counted}
    assert by_labels['kind="sequence",method="GET",status="200"'] == 20  # of both processes
    assert by_labels['kind="other",method="GET",status="404"'] == 1
    assert 'seqarchive_response_bytes_total{kind="sequence"} 60.0' in numbers
    assert 'seqarchive_request_seconds_count{kind="sequence"} 20.0' in numbers
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    asked = [line for line in lines if line["path"] == f"/sequence/{PHIX}?end=3"]
    assert len(asked) == 20
    assert (asked[0]["status"], asked[0]["bytes"], asked[0]["agent"]) == (200, 3, "me")
    assert asked[0]["client"] == "127.0.0.1"
    assert "Traceback" not in log.read_text()


# --- releases and the store -----------------------------------------------------------------------


@contextmanager
def command_serving(root: Path, *options: str, log: Path | None = None) -> Iterator[str]:
    """``seqarchive serve`` in a process of its own; its address. Its messages go into ``log``."""
    own = [word for word in options if word.startswith("--w") or word.isdigit()]
    others = [word for word in options if word not in own]
    command = [sys.executable, "-m", "seqarchive", "--root", str(root), *others, "serve", *own]
    with reserved_port() as port:
        with open(log or os.devnull, "w") as messages:
            process = subprocess.Popen([*command, "--port", str(port)], stderr=messages)
        try:
            wait_until_listening(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            assert process.wait(timeout=60) in (0, -15)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A root with two releases, something newer, and a store."""
    root = tmp_path / "small"
    command = [sys.executable, "-m", "seqarchive", "--quiet", "--root", str(root)]
    file = tmp_path / "x.fa"
    file.write_text(">a\n" + "ACGTTGCA" * 30_000 + "\n>b\nGATTACA\n")
    for words in (
        ["load", "-n", "t", "--collection", "lab:x", str(file)],
        ["snapshot", "r1"],
        ["alias", "add", "t:b", "t:c"],
        ["snapshot", "r2"],
        ["alias", "add", "t:b", "t:d"],
        ["export-rgstore"],
    ):
        subprocess.run([*command, *words], check=True, stdout=subprocess.DEVNULL)
    return root


def test_releases_are_served_whole_and_answer_for_themselves(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQARCHIVE_CACHE", str(tmp_path / "cache"))
    with command_serving(small) as url:
        for path, status in (
            ("sequence/t:d", 200), ("releases/r2/sequence/t:c", 200),
            ("releases/r2/sequence/t:d", 404), ("releases/r1/sequence/t:c", 404),
            ("releases/r1/collection/lab:x?level=1", 200), ("releases/r1/service-info", 200),
            ("releases/r1/seqrepo/1/sequence/t:b", 200), ("releases/r3/sequence/t:b", 404),
            ("releases/master/aliases.sqlite3", 404), ("releases/r1/../master/writer.lock", 404),
            ("releases/r1/%2e%2e/master/aliases.sqlite3", 404), ("releases/..%2fr1", 404),
            ("releases/latest/sequence/t:b?end=2", 200), ("releases/r1/nothing", 404),
        ):  # fmt: skip
            answer = get(f"{url}/{path}")
            assert answer.status_code == status, path
        (server,) = get(f"{url}/releases/r1/openapi.json").json()["servers"]
        assert server == {"url": "/releases/r1"}
        newest = get(f"{url}/releases/latest/sequence/t:c?end=2")
        assert (newest.url, newest.text) == (f"{url}/releases/r2/sequence/t:c?end=2", "GA")
        listed = get(f"{url}/releases/releases.json")
        assert listed.content == (small / "releases.json").read_bytes()
        manifest = get(f"{url}/releases/r1/manifest.json")
        assert manifest.content == (small / "r1" / "manifest.json").read_bytes()
        assert manifest.headers["Cache-Control"].endswith("immutable")
        refused(requests.post(f"{url}/releases/r1/manifest.json", timeout=20), 405)
        # What reads published releases reads these.
        for address, has_c in ((f"{url}/releases/r1", False), (f"{url}/releases", True)):
            with seqarchive.connect(address) as archive:
                assert archive.fetch("t:a", 7, 19) == "AACGTTGCAACG"
                assert ("t:c" in archive) == has_c
                assert archive.metadata("t:b")["length"] == 7
        command = [sys.executable, "-m", "seqarchive", "--root", str(tmp_path / "pulled")]
        subprocess.run([*command, "pull", f"{url}/releases", "r1"], check=True)
        with seqarchive.connect(tmp_path / "pulled", "r1") as archive:
            assert archive.fetch("t:b") == "GATTACA"


def test_the_newest_release_is_served_whichever_it_is(small: Path) -> None:
    command = [sys.executable, "-m", "seqarchive", "--quiet", "--root", str(small)]
    with command_serving(small, "--instance", "latest") as url:
        assert get(f"{url}/sequence/t:c").text == "GATTACA"
        refused(get(f"{url}/sequence/t:d"), 404)
        subprocess.run([*command, "snapshot", "r3"], check=True, stdout=subprocess.DEVNULL)
        assert get(f"{url}/sequence/t:d").text == "GATTACA"
        assert get(f"{url}/releases/r3/sequence/t:d").status_code == 200


def test_gtars_reads_the_store_that_is_served(small: Path, tmp_path: Path) -> None:
    with command_serving(small) as url:
        info = get(f"{url}/service-info").json()["seqcol"]["refget_store"]
        assert info == {
            "enabled": True, "url": f"{url}/store", "backend_type": "refget_store",
            "n_collections": 1, "n_sequences": 2, "has_sequence_data": True,
            "collection_alias_namespaces": ["lab"], "sequence_alias_namespaces": ["t"],
            "fhr_metadata_collections": [],
        }  # fmt: skip
        store = RefgetStore.open_remote(str(tmp_path / "cache"), info["url"])
        store.set_quiet(True)
        (collection,) = store.list_collections()["results"]
        assert get(f"{url}/collection/{collection.digest}").status_code == 200
        digest = get(f"{url}/sequence/t:a/metadata").json()["metadata"]["ga4gh"][3:]
        assert store.get_substring(digest, 7, 19) == "AACGTTGCAACG"
        with seqarchive.connect(info["url"]) as ours:
            assert ours.fetch("t:a", 7, 19) == "AACGTTGCAACG"
        part = get(f"{url}/store/rgstore.json", Range="bytes=0-0")
        assert (part.status_code, part.text) == (206, "{")
        for path in ("", ".rgstore.lock", "nothing", "../master/writer.lock", "sequences", "a//b"):
            refused(get(f"{url}/store/{path}"), 404)
        assert requests.put(f"{url}/store/x", timeout=20).status_code == 405
    with command_serving(small / "rgstore") as url:
        assert get(f"{url}/sequence/t:b").text == "GATTACA"
        assert get(f"{url}/store/rgstore.json").status_code == 200
