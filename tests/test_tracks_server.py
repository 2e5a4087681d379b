"""Tracks over HTTP: stored, read in pieces, computed by jobs that are watched and ended; on a real
socket, with other programs to say what is right."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyBigWig
import pysam
import pytest
import requests
from helpers import wait_until, write_fasta
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import command_serving, running

import seqarchive
from seqarchive.instances import Instance
from seqarchive.rgstore.exporting import export_rgstore
from seqarchive.server import create_app
from seqarchive.server.asking import Refused
from seqarchive.server.events import events_of
from seqarchive.server.jobs import Jobs
from seqarchive.server.multipart import End, Head, Parts
from seqarchive.server.served import Limits, service_of
from seqarchive.server.uploads import safe_name
from seqarchive.server.windows import Window, summary_of
from seqarchive.snapshots import take_snapshot
from seqarchive.tracks import Intervals, IntervalTrack, SignalTrack, Steps
from seqarchive.tracks.operations import registry
from seqarchive.tracks.operations.registry import OPERATIONS, Parameter, operation
from seqarchive.tracks.watching import require_wanted, stepping
from seqarchive.writing import initialise

_RANDOM = random.Random(11)
_TOY = {name: "".join(_RANDOM.choices("ACGT", k=n)) for name, n in (("I", 50_000), ("II", 9_000))}
_RING = "".join(_RANDOM.choices("ACGT", k=400))

#: A BED with names, scores and strands over the toy.
_BED = [
    ("I", start, start + _RANDOM.randrange(1, 900), f"gene{n}", _RANDOM.randrange(1000),
     "+-."[n % 3])
    for n, start in enumerate(sorted(_RANDOM.sample(range(49_000), 300)))
] + [("II", 10, 9_000, "long", 5, "+")]  # fmt: skip


def bed_text(rows: Any = _BED, prefix: str = "") -> str:
    return "".join(prefix + "\t".join(map(str, row)) + "\n" for row in rows)


# --- operations of which a test knows when they are computed --------------------------------------

CALLS: list[str] = []
GATES: dict[str, threading.Event] = {}


def _gated(genome: Any, gate: str) -> IntervalTrack:
    CALLS.append(gate)
    found = {}
    for chrom in stepping(genome.chrom_lengths):
        if gate == "fails":
            raise seqarchive.errors.BadInput("this fails, as it should")
        if gate == "breaks":
            raise RuntimeError("a defect")
        while not GATES.setdefault(gate, threading.Event()).wait(0.02):
            require_wanted()
        found[chrom] = Intervals.of([0], [genome.chrom_lengths[chrom]])
    return IntervalTrack.of(f"gated {gate}", found)


@pytest.fixture(scope="module", autouse=True)
def operations() -> Iterator[None]:
    """Operations that wait for the test."""
    before = dict(OPERATIONS)
    operation(
        "test.gated", "Waits", inputs=[registry.genome()],
        params=[Parameter("gate", registry.STRING, "which")], output="interval",
    )(_gated)  # fmt: skip
    operation(
        "test.shifted", "Moves intervals", inputs=[registry.track("track", "of", "interval")],
        params=[Parameter("by", registry.INTEGER, "residues", 1, minimum=0)],
    )(_shifted)  # fmt: skip
    yield
    OPERATIONS.clear()
    OPERATIONS.update(before)


def _shifted(track: IntervalTrack, by: int) -> IntervalTrack:
    CALLS.append(f"shifted {by}")
    return IntervalTrack.of(
        "shifted",
        {
            chrom: Intervals.of(track.columns(chrom).starts, track.columns(chrom).ends - by)
            for chrom in track.chroms
        },
    )


# --- the server -----------------------------------------------------------------------------------


def made(directory: Path) -> Path:
    """An archive with the toy."""
    root = directory / "root"
    initialise(Instance(root))
    file = write_fasta(directory / "toy.fa", {**_TOY, "ring": _RING})
    with seqarchive.connect(root) as archive:
        names = ["refgenie:toy", "lab:toy"]
        archive.load(file, "toy", threads=0, circular=frozenset({"ring"}), collection=names)
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("tracks"))


@pytest.fixture(scope="module")
def url(root: Path) -> Iterator[str]:
    with seqarchive.connect(root) as archive, running(create_app(archive, root=root)) as address:
        yield f"{address}/api"


@pytest.fixture(scope="module")
def peaks(url: str) -> dict[str, Any]:
    """The track of ``_BED``."""
    answer = requests.post(
        f"{url}/tracks", data={"genome": "toy", "name": "peaks"},
        files={"file": ("peaks.bed", bed_text().encode())}, timeout=30,
    )  # fmt: skip
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture(scope="module")
def signal(url: str) -> dict[str, Any]:
    """A signal with gaps, over two chromosomes."""
    rows = [("I", at, at + 7, (at * 37 % 1001) / 8) for at in range(0, 49_000, 10)]
    rows += [("II", 100, 8_000, -2.5)]
    answer = requests.post(
        f"{url}/tracks/?genome=toy&name=values&format=bedgraph",
        data=bed_text(rows).encode(), timeout=30,
    )  # fmt: skip
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def refused(answer: requests.Response, status: int) -> str:
    """The message of an error of the one shape."""
    assert answer.status_code == status, answer.text
    document = answer.json()
    assert document["status_code"] == status
    assert "Traceback" not in answer.text
    message: str = document["msg"]
    assert message
    return message


def get(address: str, **parameters: Any) -> Any:
    answer = requests.get(address, params=parameters, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


def post(address: str, body: Any, **parameters: Any) -> requests.Response:
    return requests.post(address, json=body, params=parameters, timeout=40)


def compute(url: str, gate: str, **more: Any) -> requests.Response:
    return post(f"{url}/methods/test.gated", {"genome_id": "toy", "gate": gate, **more})


def events(answer: requests.Response) -> Iterator[tuple[str, Any]]:
    """Server-sent events as they come, for some time."""
    name, deadline = "", time.monotonic() + 60
    for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))
        assert time.monotonic() < deadline, "the job does not end"


# --- what there is --------------------------------------------------------------------------------


def test_what_can_be_computed_is_described(url: str) -> None:
    assert get(f"{url}/health")["status"] == "ok"
    found = {one["id"]: one for one in get(f"{url}/methods")}
    assert list(found) == sorted(found)
    one = get(f"{url}/methods/test.shifted")
    assert one == found["test.shifted"]
    assert one["inputs"][0]["type"] == "track"
    assert one["params"] == [{
        "name": "by", "type": "integer", "description": "residues", "required": False,
        "default": 1, "minimum": 0,
    }]  # fmt: skip
    for one in found.values():
        assert {each["type"] for each in one["inputs"]} <= {"track", "genome"}
        kinds = {each["type"] for each in one["params"]}
        assert kinds <= {"string", "number", "integer", "boolean"}
    refused(requests.get(f"{url}/methods/no.such", timeout=30), 404)
    refused(post(f"{url}/methods/no.such", {}), 404)


def test_tracks_are_listed_by_genome_and_by_page(
    url: str, peaks: dict[str, Any], signal: dict[str, Any]
) -> None:
    found = get(f"{url}/tracks", genome="toy")
    ids = [one["id"] for one in found["results"]]
    assert {peaks["id"], signal["id"]} <= set(ids)
    assert found["pagination"]["total"] == len(ids)
    assert found["results"] == get(f"{url}/tracks/", genome="lab:toy")["results"]
    page = get(f"{url}/tracks", page=1, page_size=1)["results"]
    assert [one["id"] for one in page] == [get(f"{url}/tracks")["results"][1]["id"]]
    one = get(f"{url}/tracks/{peaks['id']}")
    assert (one["name"], one["track_type"], one["n_entries"]) == ("peaks", "interval", len(_BED))
    assert one["chroms"] == {"I": 50_000, "II": 9_000, "ring": 400}
    assert one["provenance"] is None
    assert get(f"{url}/tracks/{one['content']}")["id"] == peaks["id"]
    refused(requests.get(f"{url}/tracks?genome=nosuch", timeout=30), 404)
    refused(requests.get(f"{url}/tracks?page_size=0", timeout=30), 400)
    refused(requests.get(f"{url}/tracks/nosuch", timeout=30), 404)
    refused(requests.get(f"{url}/tracks/nosuch/data", timeout=30), 404)


# --- genomes --------------------------------------------------------------------------------------


def test_a_genome_of_json_is_stored_and_forgotten(url: str) -> None:
    body = {
        "name": "tiny", "sequences": {"a": "ACGTacgtNN", "b": "GATTACA"},
        "topologies": {"b": "circular"}, "names": ["tiny"],
    }  # fmt: skip
    answer = post(f"{url}/genomes", body)
    assert answer.status_code == 201, answer.text
    genome = answer.json()
    assert genome["chrom_lengths"] == {"a": 10, "b": 7}
    assert answer.headers["Location"] == f"{url}/genomes/{genome['id']}"
    for name in (genome["id"], genome["digest"], "tiny"):
        assert get(f"{url}/genomes/{name}")["digest"] == genome["digest"]
    listed = get(f"{url}/genomes/")["results"]
    assert genome in listed
    assert "toy" in [one["name"] for one in listed]
    members = get(url.replace("/api", f"/collection/{genome['digest']}/members"))["results"]
    found = requests.get(url.replace("/api", f"/sequence/{members[0]['sequence']}"), timeout=30)
    assert found.text == "ACGTACGTNN"
    about = get(url.replace("/api", f"/sequence/{members[1]['sequence']}/metadata"))
    assert about["metadata"]["circular"] is True
    track = post(f"{url}/tracks", {"genome_id": genome["id"], "regions": [
        {"chrom": "a", "start": 0, "end": 10}]}).json()  # fmt: skip
    assert "tracks are over it" in refused(
        requests.delete(f"{url}/genomes/{genome['id']}", timeout=30), 409
    )
    gone = requests.delete(f"{url}/genomes/{genome['id']}?cascade=true", timeout=30)
    assert gone.json() == {"id": genome["id"], "deleted": True}
    refused(requests.get(f"{url}/tracks/{track['id']}", timeout=30), 404)
    refused(requests.delete(f"{url}/genomes/{genome['id']}", timeout=30), 404)


def test_genomes_come_as_files(url: str, data: Path, tmp_path: Path) -> None:
    fasta = write_fasta(tmp_path / "x.fa", {"one": "ACGTTT", "two": "GG"})
    form = requests.post(
        f"{url}/genomes/", data={"name": "of a form"}, timeout=30,
        files={"file": ("../../x y.fa.gz", gzip.compress(fasta.read_bytes()))},
    )  # fmt: skip
    raw = requests.post(f"{url}/genomes?name=raw", data=fasta.read_bytes(), timeout=30)
    assert (form.status_code, raw.status_code) == (201, 201), form.text + raw.text
    assert form.json()["name"] == "of a form"
    assert form.json()["digest"] == raw.json()["digest"]
    assert form.json()["id"] != raw.json()["id"]
    assert raw.json()["chrom_lengths"] == {"one": 6, "two": 2}


@pytest.mark.parametrize(
    "body",
    [
        [], {}, {"sequences": []}, {"sequences": {}}, {"sequences": {"a b": "AC"}},
        {"sequences": {"a": "AC\n>b\nGT"}}, {"sequences": {"a": "AC1"}}, {"sequences": {"a": 5}},
        {"sequences": {"": "AC"}}, {"sequences": {"a": "AC"}, "topologies": {"b": "circular"}},
        {"sequences": {"a": "AC"}, "topologies": {"a": "round"}},
        {"sequences": {"a": "A"}, "name": 1},
        {"sequences": {"a": "AC"}, "names": ["a b"]}, {"sequences": {"a": "AC"}, "names": "x"},
    ],
)  # fmt: skip
def test_what_is_no_genome_is_refused(url: str, body: Any) -> None:
    message = refused(post(f"{url}/genomes", body), 400)
    assert tempfile.gettempdir() not in message


@pytest.mark.parametrize("body", [b"", b"no FASTA at all", b">a\nAC!GT\n", b"\x00\xff" * 99])
def test_files_that_are_no_genome_are_refused(url: str, body: bytes) -> None:
    message = refused(requests.post(f"{url}/genomes", data=body, timeout=30), 400)
    assert tempfile.gettempdir() not in message


# --- tracks that are sent -------------------------------------------------------------------------


def test_regions_come_back_as_they_were_sent(url: str) -> None:
    regions = [
        {"chrom": "I", "start": 5, "end": 9, "strand": "+", "score": 1.5, "name": "x",
         "tags": {"a": [1, {"b": None}], "é": "ü"}},
        {"chrom": "I", "start": 7, "end": 7, "strand": ".", "score": None, "name": "", "tags": {}},
        {"chrom": "ring", "start": 0, "end": 400, "strand": "-", "score": -3.0, "name": "",
         "tags": {}},
    ]  # fmt: skip
    answer = post(f"{url}/tracks/", {"name": "mine", "genome": "toy", "regions": regions})
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"{url}/tracks/{answer.json()['track_id']}"
    found = get(answer.headers["Location"] + "/data")
    assert found["regions"] == regions
    assert (found["name"], found["track_type"]) == ("mine", "interval")


def test_numbers_of_a_table_and_steps_of_a_signal(url: str) -> None:
    values = {"b": 2.0, "a": None, "c": -1e300}
    track = post(f"{url}/tracks", {"genome": "toy", "name": "t", "values": values}).json()
    assert get(f"{url}/tracks/{track['id']}/data")["values"] == values
    found = get(f"{url}/tracks/{track['id']}/data", offset=1, limit=1)
    assert (found["values"], found["total"]) == ({"b": 2.0}, 3)
    text = requests.get(f"{url}/tracks/{track['id']}/data?format=tsv", timeout=30).text
    assert "c\t-1e+300" in text
    refused(requests.get(f"{url}/tracks/{track['id']}/data?format=bed", timeout=30), 400)
    refused(requests.get(f"{url}/tracks/{track['id']}/summary?region=I", timeout=30), 400)
    steps = [{"chrom": "I", "start": 10, "end": 20, "value": 0.5}]
    track = post(f"{url}/tracks", {"genome": "toy", "name": "s", "steps": steps}).json()
    (one,) = get(f"{url}/tracks/{track['id']}/data")["regions"]
    assert (one["start"], one["end"], one["score"]) == (10, 20, 0.5)


def test_equal_contents_are_one_file_under_two_ids(url: str, peaks: dict[str, Any]) -> None:
    again = requests.post(
        f"{url}/tracks?genome=toy&format=bed", data=bed_text().encode(), timeout=30
    )
    assert again.json()["id"] != peaks["id"]
    assert again.json()["content"] == peaks["content"]
    assert requests.delete(f"{url}/tracks/{again.json()['id']}", timeout=30).json()["deleted"]
    assert get(f"{url}/tracks/{peaks['id']}")["size"] == peaks["size"]


def test_a_track_over_another_genome_is_refused_by_file_and_line(url: str) -> None:
    def sent(text: str, name: str = "my peaks.bed") -> str:
        answer = requests.post(
            f"{url}/tracks", data={"genome": "toy"}, files={"file": (name, text)}, timeout=30
        )
        return refused(answer, 400)

    before = get(f"{url}/tracks")["pagination"]["total"]
    assert sent("I\t1\t5\nchr7\t1\t5\n").startswith("my_peaks.bed, line 2: ")
    assert sent("I\t1\t5\nII\t1\t9001\n").startswith("my_peaks.bed, line 2: ")
    assert sent("I\t1\tx\n").startswith("my_peaks.bed, line 1: ")
    assert sent("I\t1\t5\t0.5\nQ\t1\t9\t1\n", "a.bedgraph").startswith("a.bedgraph, line 2: ")
    assert "body.json, line 2" in refused(requests.post(
        f"{url}/tracks", headers={"Content-Type": "application/json"}, timeout=30,
        data='{"genome": "toy", "regions": [{"chrom": "I", "start": 1, "end": 2},\n'
        '{"chrom": "Q", "start": 1, "end": 2}]}',
    ), 400)  # fmt: skip
    assert get(f"{url}/tracks")["pagination"]["total"] == before


def test_chromosomes_have_other_names(url: str) -> None:
    rows = [("chrI", 4, 9), ("toy:II", 1, 2)]
    for body, form in (
        (bed_text(rows), "bed"),
        (bed_text([(*row, 2.0) for row in rows]), "bedgraph"),
    ):
        answer = requests.post(f"{url}/tracks?genome=toy&format={form}", data=body, timeout=30)
        assert answer.status_code == 201, answer.text
        found = get(f"{url}/tracks/{answer.json()['id']}/data")["regions"]
        assert [(one["chrom"], one["start"]) for one in found] == [("I", 4), ("II", 1)]


@pytest.mark.parametrize(
    ("body", "headers", "message"),
    [
        (b'{"genome": "toy"}', {}, "regions"), (b'{"genome": "toy"', {}, "JSON"),
        (b"[1]", {"Content-Type": "application/json"}, "object"),
        (b"{", {"Content-Type": "application/json"}, "JSON"),
        (b'{"genome": "toy"}', {"Content-Type": "application/json"}, "regions"),
        (b'{"genome": "toy", "regions": 5}', {"Content-Type": "application/json"}, "list"),
        (b"[" * 100_000, {"Content-Type": "application/json"}, "JSON"),
        (b"x", {"Content-Type": "multipart/form-data"}, "boundary"),
        (b"x", {"Content-Type": "multipart/form-data; boundary=q"}, "whole"),
        (b"--q\r\n\r\nx\r\n--q--", {"Content-Type": "multipart/form-data; boundary=q"}, "form"),
        (b'--q\r\nContent-Disposition: form-data; name="genome"\r\n\r\ntoy\r\n--q--',
         {"Content-Type": "multipart/form-data; boundary=q"}, "no file"),
    ],
)  # fmt: skip
def test_bodies_that_are_no_track_are_refused(
    url: str, body: bytes, headers: dict[str, str], message: str
) -> None:
    answer = requests.post(f"{url}/tracks", data=body, headers=headers, timeout=30)
    assert message in refused(answer, 400)


def test_a_track_is_over_the_only_genome_unless_it_is_said(tmp_path: Path) -> None:
    root = made(tmp_path)
    document = {"name": "t", "regions": [{"chrom": "I", "start": 1, "end": 5}]}
    with seqarchive.connect(root) as archive, running(create_app(archive, root=root)) as address:
        url = f"{address}/api/tracks"
        sent = [
            post(url, document),
            requests.post(url, data=json.dumps(document), timeout=20),
            requests.post(url, data=b"I\t1\t5\n", timeout=20),
            requests.post(url, files={"file": ("t.bed", b"I\t1\t5\n")}, timeout=20),
        ]
        assert [one.status_code for one in sent] == [201] * 4, [one.text for one in sent]
        assert {one.json()["genome"] for one in sent} == {"toy"}
        assert post(f"{address}/api/genomes", {"name": "b", "sequences": {"I": "ACGT" * 9},
                    "names": ["bee"]}).status_code == 201  # fmt: skip
        for answer in (post(url, document), requests.post(url, data=b"I\t1\t5\n", timeout=20)):
            message = refused(answer, 400)
            assert "toy" in message
            assert "bee" in message
            assert "?genome=" in message
        for content_type in (None, "text/plain", "application/x-www-form-urlencoded"):
            answer = requests.post(
                url, data=json.dumps({**document, "genome": "bee"}), timeout=20,
                headers={} if content_type is None else {"Content-Type": content_type},
            )  # fmt: skip
            assert answer.status_code == 201, answer.text
            assert (answer.json()["genome"], answer.json()["name"]) == ("bee", "t")
        both = post(url, {**document, "genome": "bee"}, genome="toy")
        assert "bee" in refused(both, 400)
        digest = sent[0].json()["genome_id"]
        assert post(url, {**document, "genome": "toy"}, genome=digest).status_code == 201


def test_where_no_genome_is_a_track_needs_one(tmp_path: Path) -> None:
    root = tmp_path / "root"
    initialise(Instance(root))
    with seqarchive.connect(root) as archive, running(create_app(archive, root=root)) as address:
        message = refused(post(f"{address}/api/tracks", {"name": "t", "regions": []}), 400)
        assert "/api/genomes" in message


def test_an_input_that_is_given_twice_is_one_or_refused(url: str) -> None:
    method = f"{url}/methods/genome.gc"
    assert post(method, {"genome": "toy", "genome_id": "toy", "window": 700}).status_code == 200
    for body in (
        {"genome": "toy", "inputs": {"genome": "lab:toy"}},
        {"genome": "toy", "genome_id": "lab:toy"},
        {"inputs": {"genome": "toy", "genome_id": "other"}},
    ):
        message = refused(post(method, {**body, "window": 700}), 400)
        assert "twice" in message
        assert "toy" in message


@pytest.mark.parametrize("name", ["a\0b", "a\tb", "a\033[31m"])
def test_names_with_control_characters_are_refused(url: str, name: str) -> None:
    before = get(f"{url}/tracks")["pagination"]["total"]
    body: dict[str, Any] = {"name": name, "genome": "toy", "regions": []}
    assert "control characters" in refused(post(f"{url}/tracks", body), 400)
    genomes = get(f"{url}/genomes")["pagination"]["total"]
    body = {"name": name, "sequences": {"chrom": "ACGTTGCA"}}
    assert "control characters" in refused(post(f"{url}/genomes", body), 400)
    body = {"genome": "toy", "name": name, "window": 123}
    assert "control characters" in refused(post(f"{url}/methods/genome.gc", body), 400)
    assert get(f"{url}/tracks")["pagination"]["total"] == before
    assert get(f"{url}/genomes")["pagination"]["total"] == genomes


def test_a_format_that_a_track_has_not_is_refused_with_those_it_has(
    url: str, signal: dict[str, Any], peaks: dict[str, Any]
) -> None:
    def asked(track: dict[str, Any], query: str) -> str:
        return refused(requests.get(f"{url}/tracks/{track['id']}/data?{query}", timeout=30), 400)

    for query in ("format=bed", "format=bed.gz", "region=I:0-9&format=tsv"):
        assert "one of bedgraph, bigwig, json, wig" in asked(signal, query)
    assert "one of bed, bedgraph, bigwig, json, wig" in asked(peaks, "format=tsv")
    for form in ("bedgraph", "bigwig", "json", "wig"):
        assert requests.get(
            f"{url}/tracks/{signal['id']}/data?region=I:0-99&format={form}", timeout=30
        ).ok


def test_a_form_without_a_file_is_refused(url: str) -> None:
    for what in ("tracks", "genomes"):
        form = {"genome": (None, "toy"), "name": (None, "x")}
        assert "no file" in refused(requests.post(f"{url}/{what}", files=form, timeout=30), 400)


def test_nothing_is_left_of_what_was_sent(
    url: str, peaks: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    requests.get(f"{url}/tracks/{peaks['id']}/data?format=bed", timeout=30)
    refused(requests.post(f"{url}/tracks?genome=toy", data=b"\x00" * 9, timeout=30), 400)
    good = requests.post(f"{url}/tracks?genome=toy&format=bed", data=b"I\t1\t2\n", timeout=30)
    assert good.status_code == 201
    wait_until(lambda: not [*tmp_path.iterdir()])


# --- what a track says ----------------------------------------------------------------------------


def overlapping(chrom: str, start: int, end: int) -> list[tuple[Any, ...]]:
    rows = [row for row in _BED if row[0] == chrom and row[1] < end and row[2] > start]
    return sorted(rows, key=lambda row: row[1:3])


@settings(max_examples=25, deadline=None)
@given(bounds=st.tuples(st.integers(0, 50_000), st.integers(0, 50_000)).map(sorted))
def test_any_region_has_what_lies_in_it(url: str, peaks: dict[str, Any], bounds: list[int]) -> None:
    start, end = bounds
    region = f"I:{start}-{end}"
    found = get(f"{url}/tracks/{peaks['id']}/data", region=region)["regions"]
    wanted = overlapping("I", start, end) if start < end else []
    assert [
        (one["chrom"], one["start"], one["end"], one["name"], one["score"], one["strand"])
        for one in found
    ] == wanted  # fmt: skip
    page = get(f"{url}/tracks/{peaks['id']}/data", region=region, offset=2, limit=3)
    assert (page["regions"], page["total"]) == (found[2:5], len(found))


def test_regions_as_other_programs_read_them(
    url: str, peaks: dict[str, Any], tmp_path: Path
) -> None:
    address = f"{url}/tracks/{peaks['id']}/data"
    path = tmp_path / "peaks.bed.gz"
    path.write_bytes(requests.get(f"{address}?format=bed.gz", timeout=30).content)
    pysam.tabix_index(str(path), preset="bed", force=True)
    text = requests.get(f"{address}?format=bed&region=I:1000-20000", timeout=30).text
    with closing(pysam.TabixFile(str(path))) as file:
        wanted = [line.split("\t")[:4] for line in file.fetch("I", 1_000, 20_000)]
    lines = [line.split("\t") for line in text.splitlines() if not line.startswith(("#", "track"))]
    assert [line[:4] for line in lines] == wanted
    assert len(wanted) > 50
    whole = requests.get(f"{address}?format=bed", timeout=30)
    assert whole.headers["Content-Type"].startswith("text/plain")
    assert "filename*=utf-8''peaks.bed" in whole.headers["Content-Disposition"]
    assert len(re.findall("(?m)^I\t", whole.text)) == 300
    refused(requests.get(f"{address}?format=bed.gz&region=I", timeout=30), 400)
    refused(requests.get(f"{address}?format=exe", timeout=30), 400)


def test_signals_as_other_programs_read_them(
    url: str, signal: dict[str, Any], tmp_path: Path
) -> None:
    address = f"{url}/tracks/{signal['id']}/data"
    whole, some = tmp_path / "whole.bw", tmp_path / "some.bw"
    whole.write_bytes(requests.get(f"{address}?format=bigwig", timeout=30).content)
    some.write_bytes(requests.get(f"{address}?format=bigwig&region=I:95-131", timeout=30).content)
    found = get(address, region="I:95-131")["regions"]
    with closing(pyBigWig.open(str(whole))) as file, closing(pyBigWig.open(str(some))) as part:
        assert file.chroms().items() >= {"I": 50_000, "II": 9_000}.items()
        wanted = file.values("I", 95, 131)
        assert np.array_equal(part.values("I", 95, 131), wanted, equal_nan=True)
        assert part.chroms().keys() == {"I"}
    told = np.full(36, np.nan)
    for one in found:
        told[one["start"] - 95 : one["end"] - 95] = one["score"]
    assert np.array_equal(told, wanted, equal_nan=True)
    everything = get(address)["regions"]
    assert len(everything) == signal["n_entries"]
    assert everything[-1] == {
        "chrom": "II", "start": 100, "end": 8_000, "strand": ".", "score": -2.5, "name": "",
        "tags": {},
    }  # fmt: skip
    text = requests.get(f"{address}?format=bedgraph&region=II", timeout=30).text
    assert [line for line in text.splitlines() if line[0] not in "#t"] == ["II\t100\t8000\t-2.5"]


@pytest.mark.parametrize(
    "region",
    [
        "", " ", "nosuch", "I:", "I:5", "I:9-1", "I:0-50001", "I:-1-5", "I:a-b", "I:1-2-3", ":1-2",
        "I:1e3-2e3", "I:0-99999999999999999999", "I:" + "9" * 5_000 + "-1", "I:١-٢", "\x00",
        "I\x00:1-2", "../../etc/passwd", "I:1-2\r\nX: y", "<script>", "ring:390-10", "%ff",
        "I' OR 1",
        "\ud7ff\uffff", "x" * 3_000,
    ],
)  # fmt: skip
def test_hostile_regions_are_refused(url: str, peaks: dict[str, Any], region: str) -> None:
    allowed = {"I:5"}  # to the end
    for what in ("data", "summary"):
        answer = requests.get(
            f"{url}/tracks/{peaks['id']}/{what}", params={"region": region}, timeout=30
        )
        if region in allowed:
            assert answer.json()["region"] == {"chrom": "I", "start": 5, "end": 50_000}
            continue
        assert answer.status_code in (400, 404), answer.text
        refused(answer, answer.status_code)


@pytest.mark.parametrize(
    "query",
    ["limit=10001", "limit=-1", "limit=x", "offset=3", "format=json&format=bed",
     "region=I&region=I",
     "limit=1&limit=2"],
)  # fmt: skip
def test_questions_that_make_no_sense(url: str, peaks: dict[str, Any], query: str) -> None:
    refused(requests.get(f"{url}/tracks/{peaks['id']}/data?{query}", timeout=30), 400)


def test_the_file_is_given_as_it_is_kept(
    url: str, root: Path, peaks: dict[str, Any], signal: dict[str, Any]
) -> None:
    for track, form in ((peaks, "bed.gz"), (signal, "bigwig")):
        stem = track["content"].removeprefix("TK.")
        suffix = {"bed.gz": ".bed.gz", "bigwig": ".bw"}[form]
        kept = (root / "master" / "tracks" / stem[:2] / (stem + suffix)).read_bytes()
        address = f"{url}/tracks/{track['id']}/data?format={form}"
        answer = requests.get(address, timeout=30)
        assert answer.content == kept
        etag = answer.headers["ETag"]
        assert etag == f'"{track["content"]}"'
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert answer.headers["Cache-Control"] == "no-cache"
        head = requests.head(address, timeout=30)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Length"] == str(len(kept))
        assert head.headers["ETag"] == etag
        cached = requests.get(address, headers={"If-None-Match": etag}, timeout=30)
        assert (cached.status_code, cached.content) == (304, b"")
        for asked, first, last in (
            ("0-9", 0, 10),
            ("5-5", 5, 6),
            ("-4", -4, None),
            ("7-", 7, None),
        ):
            part = requests.get(address, headers={"Range": f"bytes={asked}"}, timeout=30)
            assert (part.status_code, part.content) == (206, kept[first:last])
            assert part.headers["Content-Range"].endswith(f"/{len(kept)}")
        other = {"Range": "bytes=0-9", "If-Range": '"another"'}
        assert requests.get(address, headers=other, timeout=30).content == kept
        beyond = requests.get(address, headers={"Range": f"bytes={len(kept)}-"}, timeout=30)
        refused(beyond, 416)
        assert beyond.headers["Content-Range"] == f"bytes */{len(kept)}"
        refused(requests.get(address, headers={"Range": "bytes=x"}, timeout=30), 400)
        by_content = requests.get(f"{url}/tracks/{track['content']}/data?format={form}", timeout=30)
        assert "immutable" in by_content.headers["Cache-Control"]


def test_what_did_not_change_is_not_sent_again(url: str, peaks: dict[str, Any]) -> None:
    etags = set()
    for query in ("data", "data?region=I:1-500", "data?format=bed", "summary?region=I&bins=7",
                  "summary?region=I&bins=8", "data?region=I:1-500&limit=5"):  # fmt: skip
        first = requests.get(f"{url}/tracks/{peaks['id']}/{query}", timeout=30)
        etags.add(first.headers["ETag"])
        again = {"If-None-Match": first.headers["ETag"]}
        found = requests.get(f"{url}/tracks/{peaks['id']}/{query}", headers=again, timeout=30)
        assert found.status_code == 304
    assert len(etags) == 6


# --- summaries ------------------------------------------------------------------------------------

_LENGTH = 300


@st.composite
def windows(draw: Any) -> Window:
    start = draw(st.integers(0, _LENGTH - 1))
    return Window("c", start, draw(st.integers(start + 1, _LENGTH)))


@settings(max_examples=150, deadline=None)
@given(
    values=st.lists(
        st.one_of(st.just(math.nan), st.integers(-3, 3).map(float)),
        min_size=_LENGTH, max_size=_LENGTH,
    ),
    window=windows(), bins=st.integers(1, 400),
)  # fmt: skip
def test_bins_of_a_signal_are_those_of_its_residues(
    values: list[float], window: Window, bins: int
) -> None:
    track = SignalTrack.of("x", {"c": _LENGTH}, {"c": Steps.of_values(values)})
    found = summary_of(track, window, bins, _LENGTH)
    edges = found["edges"].tolist()
    assert (edges[0], edges[-1]) == (window.start, window.end)
    assert len(edges) - 1 == min(bins, window.end - window.start)
    for n, (start, end) in enumerate(pairwise(edges)):
        some = [one for one in values[start:end] if not math.isnan(one)]
        assert end > start
        assert found["coverage"][n] == len(some) / (end - start)
        for name, wanted in (
            ("mean", sum(some) / len(some) if some else math.nan),
            ("min", min(some, default=math.nan)), ("max", max(some, default=math.nan)),
        ):  # fmt: skip
            assert found[name][n] == pytest.approx(wanted, nan_ok=True)


@settings(max_examples=150, deadline=None)
@given(
    intervals=st.lists(st.tuples(st.integers(0, _LENGTH), st.integers(0, _LENGTH)).map(sorted)),
    window=windows(), bins=st.integers(1, 400),
)  # fmt: skip
def test_bins_of_intervals_are_those_of_their_residues(
    intervals: list[list[int]], window: Window, bins: int
) -> None:
    columns = Intervals.of([one[0] for one in intervals], [one[1] for one in intervals])
    track = IntervalTrack.of("x", {"c": columns})
    found = summary_of(track, window, bins, _LENGTH)
    edges = found["edges"].tolist()
    for n, (start, end) in enumerate(pairwise(edges)):
        inside = [one for one in intervals if one[0] < min(end, one[1]) and one[1] > start]
        covered = {at for one in inside for at in range(max(one[0], start), min(one[1], end))}
        assert found["count"][n] == len(inside)
        assert found["coverage"][n] == len(covered) / (end - start)


def test_a_summary_for_a_picture(url: str, signal: dict[str, Any], peaks: dict[str, Any]) -> None:
    found = get(f"{url}/tracks/{signal['id']}/summary", region="II:0-9000", bins=9)
    assert found["edges"] == list(range(0, 9_001, 1_000))
    assert found["mean"] == [-2.5] * 8 + [None]
    assert found["coverage"] == [0.9] + [1.0] * 7 + [0.0]
    found = get(f"{url}/tracks/{peaks['id']}/summary", region="II")
    assert (found["bins"], set(found["count"])) == (500, {1})
    for query in ("region=I&bins=2001", "region=I&bins=0", "bins=5"):
        refused(requests.get(f"{url}/tracks/{peaks['id']}/summary?{query}", timeout=30), 400)


# --- computing ------------------------------------------------------------------------------------


def test_a_result_comes_at_once_and_is_there_the_next_time(url: str, peaks: dict[str, Any]) -> None:
    method = f"{url}/methods/test.shifted"
    bodies: list[dict[str, Any]] = [
        {"track_id": peaks["id"], "by": 0}, {"track": peaks["content"], "by": "0"},
        {"inputs": {"track": peaks["id"]}, "params": {"by": 0}, "name": "moved"},
        {"inputs": {"track_id": peaks["id"]}, "by": 0.0, "wait": 5},
    ]  # fmt: skip
    answers = [post(method, body) for body in bodies]
    assert [one.status_code for one in answers] == [200] * 4
    assert len({one.json()["track_id"] for one in answers}) == 1
    assert CALLS.count("shifted 0") == 1
    track = get(f"{url}/tracks/{answers[0].json()['track_id']}")
    assert track["provenance"]["operation"] == "test.shifted"
    assert track["provenance"]["params"] == {"by": 0}
    assert track["provenance"]["inputs"] == [{"name": "track", "id": peaks["content"]}]
    assert track["n_entries"] == len(_BED)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400), ({"track_id": "nosuch"}, 404), ([], 400), ({"track_id": 5}, 400),
        ({"track_id": "{peaks}", "by": -1}, 400), ({"track_id": "{peaks}", "by": "x"}, 400),
        ({"track_id": "{peaks}", "nosuch": 1}, 400), ({"track_id": "{peaks}", "inputs": 3}, 400),
        ({"inputs": {"track": "{peaks}", "other": "x"}}, 400),
        ({"track": "{peaks}", "wait": 31}, 400),
        ({"track": "{peaks}", "by": 1, "params": {"by": 1}}, 400), ({"track": ""}, 400),
        ({"track": "{peaks}", "name": 7}, 400), ({"track": "{values}"}, 400),
    ],
)  # fmt: skip
def test_what_cannot_be_computed_is_refused(
    url: str, peaks: dict[str, Any], signal: dict[str, Any], body: Any, status: int
) -> None:
    text = json.dumps(body).replace("{peaks}", peaks["id"]).replace("{values}", signal["id"])
    refused(post(f"{url}/methods/test.shifted", json.loads(text)), status)


def test_sixteen_clients_and_one_computation(url: str) -> None:
    gate = "sixteen"
    with ThreadPoolExecutor(16) as clients:
        waiting = [clients.submit(compute, url, gate, wait=20) for _ in range(16)]
        wait_until(lambda: gate in GATES)
        GATES[gate].set()
        answers = [one.result() for one in waiting]
    assert {one.status_code for one in answers} == {200}
    assert len({one.json()["track_id"] for one in answers}) == 1
    assert CALLS.count(gate) == 1


def test_a_job_is_watched_until_it_is_done(url: str) -> None:
    gate = "watched"
    GATES[gate] = threading.Event()
    answer = compute(url, gate, wait=0)
    assert answer.status_code == 202
    job = answer.json()
    assert job["state"] in ("queued", "running")
    assert answer.headers["Location"] == job["status_url"] == f"{url}/jobs/{job['job_id']}"
    assert compute(url, gate, wait=0).json()["job_id"] == job["job_id"]
    with requests.get(job["stream_url"], stream=True, timeout=30) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        found = events(stream)
        name, told = next(found)
        while told["total"] == 0:
            name, told = next(found)
        assert (name, told["state"], told["total"]) == ("progress", "running", 59_400)
        assert job["job_id"] in [one["job_id"] for one in get(f"{url}/jobs")["results"]]
        GATES[gate].set()
        *_, (name, told) = found
    assert (name, told["state"], told["done"]) == ("done", "done", 59_400)
    with requests.get(job["stream_url"], stream=True, timeout=30) as late:
        assert list(events(late)) == [("done", told)]
    assert get(job["status_url"])["track_id"] == told["track_id"]
    assert get(f"{url}/tracks/{told['track_id']}")["n_entries"] == 3
    assert compute(url, gate).json()["track_id"] == told["track_id"]
    assert requests.delete(job["status_url"], timeout=30).json()["state"] == "done"


def test_a_job_is_ended(url: str) -> None:
    before = get(f"{url}/tracks")["pagination"]["total"]
    job = compute(url, "ended", wait=0).json()
    with requests.get(job["stream_url"], stream=True, timeout=30) as stream:
        found = events(stream)
        next(found)
        assert requests.delete(job["status_url"], timeout=30).status_code in (200, 202)
        *_, (name, told) = found
    assert (name, told["track_id"]) == ("cancelled", None)
    assert get(job["status_url"])["state"] == "cancelled"
    assert get(f"{url}/tracks")["pagination"]["total"] == before
    GATES.setdefault("ended", threading.Event()).set()
    again = compute(url, "ended", wait=9)
    assert again.status_code == 200
    for address in ("jobs/nosuch", "jobs/nosuch/stream", f"jobs/{'a' * 32}.{'0' * 12}"):
        refused(requests.get(f"{url}/{address}", timeout=30), 404)
    refused(requests.delete(f"{url}/jobs/nosuch", timeout=30), 404)


def test_a_failure_is_told_and_not_kept(url: str) -> None:
    assert refused(compute(url, "fails", wait=9), 400) == "this fails, as it should"
    assert "logged" in refused(compute(url, "breaks", wait=9), 500)
    assert CALLS.count("fails") == 1
    refused(compute(url, "fails", wait=9), 400)
    assert CALLS.count("fails") == 2
    failed = [
        one
        for one in get(f"{url}/jobs")["results"]
        if (one["state"], one["operation"]) == ("failed", "test.gated")
    ]
    assert len(failed) == 3
    with requests.get(failed[0]["stream_url"], stream=True, timeout=30) as stream:
        ((name, told),) = events(stream)
    assert (name, told["error"]) == ("failed", "this fails, as it should")


def test_too_many_computations_are_refused(root: Path) -> None:
    with seqarchive.connect(root) as archive:
        service = service_of(archive, jobs=Jobs(1, 1))
        with running(create_app(service)) as address:
            jobs = []
            for n in range(2):
                jobs.append(compute(f"{address}/api", f"many {n}", wait=0).json())
                wait_until(lambda: len(get(jobs[0]["status_url"])["started_at"] or "") > 0)
            answer = compute(f"{address}/api", "many 3", wait=0)
            refused(answer, 503)
            assert int(answer.headers["Retry-After"]) > 0
            # One that waits ends at once; and the rest when the server does.
            assert requests.delete(jobs[1]["status_url"], timeout=30).json()["state"] == "cancelled"
            started = time.monotonic()
        assert time.monotonic() - started < 25
        assert (
            service.jobs.get(root / "master/computing/jobs", jobs[0]["job_id"])["state"]
            == "cancelled"
        )
    assert "many 1" not in CALLS


# --- where it came from, and deleting -------------------------------------------------------------


def test_lineage_in_all_forms(url: str) -> None:
    hostile = "<b>\"x\"</b> & \\ 'y'"
    track = post(f"{url}/tracks", {"genome": "toy", "name": hostile, "regions": [
        {"chrom": "I", "start": 90, "end": 99}]}).json()  # fmt: skip
    child = post(f"{url}/methods/test.shifted", {"track": track["id"], "by": 3}).json()["track_id"]
    address = f"{url}/tracks/{child}/lineage"
    found = get(address)
    assert {node["id"] for node in found["nodes"]} == {child, track["id"]}
    assert found["arrows"] == [[track["id"], child]]
    picture = requests.get(f"{address}?format=svg", timeout=30)
    assert picture.headers["Content-Type"].startswith("image/svg+xml")
    assert "script" not in picture.headers["Content-Security-Policy"]
    assert hostile in {one.text for one in ElementTree.fromstring(picture.text).iter()}
    assert hostile in requests.get(f"{address}?format=text", timeout=30).text
    assert requests.get(f"{address}?format=dot", timeout=30).text.startswith("digraph")
    refused(requests.get(f"{address}?format=pdf", timeout=30), 400)
    down = get(f"{url}/tracks/{track['id']}/descendants")
    assert [node["id"] for node in down["nodes"]] == [track["id"], child]
    assert "others were computed from it" in refused(
        requests.delete(f"{url}/tracks/{track['id']}", timeout=30), 409
    )
    refused(requests.delete(f"{url}/tracks/{track['id']}?cascade=maybe", timeout=30), 400)
    gone = requests.delete(f"{url}/tracks/{track['id']}?cascade=true", timeout=30)
    assert gone.json()["deleted"] is True
    for one in (track["id"], child):
        refused(requests.get(f"{url}/tracks/{one}", timeout=30), 404)
        refused(requests.delete(f"{url}/tracks/{one}", timeout=30), 404)


# --- who may do what ------------------------------------------------------------------------------


def test_a_release_is_read_and_never_changes(tmp_path: Path) -> None:
    root = made(tmp_path)
    GATES["released"] = threading.Event()
    GATES["released"].set()
    with seqarchive.connect(root) as archive, running(create_app(archive, root=root)) as address:
        url = f"{address}/api"
        track = compute(url, "released", wait=9).json()["track_id"]
        take_snapshot(Instance(root), "r1")
        later = post(f"{url}/tracks", {"genome": "toy", "regions": []}).json()["id"]
        for released in (f"{address}/releases/r1/api", ""):
            if not released:
                continue
            assert [one["id"] for one in get(f"{released}/tracks")["results"]] == [track]
            refused(requests.get(f"{released}/tracks/{later}", timeout=30), 404)
            assert len(get(f"{released}/tracks/{track}/data")["regions"]) == 3
            kept = requests.get(f"{released}/tracks/{track}/data?format=bed.gz", timeout=30)
            assert gzip.decompress(kept.content)
            # What was computed before is there; nothing else is computed.
            assert compute(released, "released").json()["track_id"] == track
            refused(compute(released, "another"), 403)
            refused(post(f"{released}/tracks", {"genome": "toy", "regions": []}), 403)
            refused(post(f"{released}/genomes", {"sequences": {"a": "AC"}}), 403)
            refused(requests.delete(f"{released}/tracks/{track}", timeout=30), 403)
            refused(requests.delete(f"{released}/genomes/toy", timeout=30), 403)
            assert get(f"{released}/jobs")["results"] == []
            assert get(f"{released}/genomes/toy")["chrom_lengths"]["ring"] == 400


def test_what_is_no_single_archive_has_no_tracks(root: Path, tmp_path: Path) -> None:
    other = made(tmp_path)
    export_rgstore(Instance(root), tmp_path / "store")
    for place in (tmp_path / "store", [other, root]):
        served: Any = seqarchive.connect(place)
        with closing(served), running(create_app(served)) as address:
            url = f"{address}/api"
            assert get(f"{url}/tracks")["results"] == get(f"{url}/genomes")["results"] == []
            assert get(f"{url}/jobs")["results"] == []
            assert get(f"{url}/methods")
            refused(requests.get(f"{url}/tracks/x/data", timeout=30), 404)
            refused(post(f"{url}/tracks", {"genome": "toy", "regions": []}), 403)
            refused(compute(url, "nowhere"), 404)


def test_scripts_of_other_sites_may_only_read(root: Path) -> None:
    body = {"genome": "toy", "regions": []}
    with seqarchive.connect(root) as archive:
        app = create_app(archive, trusted_origins=["https://lab.example"])
        with running(app) as address:

            def asked(origin: str) -> requests.Response:
                return requests.post(
                    f"{address}/api/tracks", json=body, headers={"Origin": origin}, timeout=30
                )

            for origin in ("https://evil.example", "null", "http://127.0.0.1:1", "http://[", ""):
                assert "web sites" in refused(asked(origin), 403)
            for origin in (address, "https://lab.example"):
                found = asked(origin)
                assert found.status_code == 201
                assert found.headers["Access-Control-Allow-Origin"] == "*"
            # A name that was led to this machine, by whoever owns it.
            rebound = {"Origin": "http://evil.example", "Host": "evil.example"}
            found = requests.post(f"{address}/api/tracks", json=body, headers=rebound, timeout=30)
            assert "web sites" in refused(found, 403)
            wanted = {"Origin": "https://x.example", "Access-Control-Request-Method": "DELETE"}
            allowed = requests.options(f"{address}/api/tracks/x", headers=wanted, timeout=30)
            assert "DELETE" in allowed.headers["Access-Control-Allow-Methods"]
        with running(create_app(archive, base_url="https://lab.example/x")) as address:
            for origin, code in (("https://lab.example", 201), ("https://other.example", 403)):
                headers = {"Origin": origin}
                url = f"{address}/api/tracks"
                found = requests.post(url, json=body, headers=headers, timeout=30)
                assert found.status_code == code
        with running(create_app(archive, changes=False)) as address:
            assert "only reads" in refused(post(f"{address}/api/tracks", body), 403)
            assert get(f"{address}/api/tracks")["results"]


def test_no_more_is_taken_than_is_allowed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def endless() -> Iterator[bytes]:
        while True:
            yield b"I\t1\t5\n" * 1000

    with seqarchive.connect(root) as archive:
        app = create_app(service_of(archive, limits=Limits(upload=100_000, body=1_000)))
        with running(app) as address:
            url = f"{address}/api"
            for what in ("tracks?genome=toy", "genomes"):
                refused(requests.post(f"{url}/{what}", data=b"x" * 100_001, timeout=30), 413)
            refused(post(f"{url}/tracks", {"genome": "toy", "name": "x" * 1_000}), 413)
            refused(post(f"{url}/methods/test.shifted", {"track": "x" * 1_000}), 413)
            big = {"file": ("a.bed", b"I\t1\t5\n" * 20_000)}
            refused(
                requests.post(f"{url}/tracks", files=big, data={"genome": "toy"}, timeout=30), 413
            )
            with suppress(requests.exceptions.ConnectionError):  # it is not listened to
                refused(requests.post(f"{url}/tracks?genome=toy", data=endless(), timeout=30), 413)
    assert not [*tmp_path.iterdir()]


# --- forms ----------------------------------------------------------------------------------------


def taken(body: bytes, cuts: list[int], boundary: str = "b") -> list[tuple[str, str | None, bytes]]:
    parts, found = Parts(boundary), []
    bounds = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    for start, end in pairwise(bounds):
        for piece in parts.feed(body[start:end]):
            if isinstance(piece, Head):
                found.append([piece.name, piece.filename, b""])
            elif not isinstance(piece, End):
                found[-1][2] += piece  # type: ignore[operator]
    assert parts.is_over
    return [(one[0], one[1], one[2]) for one in found]  # type: ignore[misc]


_NASTY = (
    st.lists(
        st.sampled_from(
            [b"\r\n--b", b"\r", b"\n", b"--b", b"-", b"x", b"\r\n", b"\r\n--", b"\x00\xff"]
        )
    )
    .map(b"".join)
    .filter(lambda text: b"\r\n--b" not in b"\r\n" + text)
)


@settings(max_examples=200, deadline=None)
@given(values=st.lists(_NASTY, min_size=1, max_size=4), cuts=st.lists(st.integers(0, 10**6)))
def test_a_form_is_the_same_however_it_comes(values: list[bytes], cuts: list[int]) -> None:
    body = b"whatever\r\n"
    for n, value in enumerate(values):
        name = f'Content-Disposition: form-data; name="f{n}"; filename="a\\"{n}.bed"'
        body += b"--b\r\n" + name.encode() + b"\r\nContent-Type: x/y\r\n\r\n" + value + b"\r\n"
    body += b"--b--\r\nand more"
    found = taken(body, cuts)
    assert found == [(f"f{n}", f'a"{n}.bed', value) for n, value in enumerate(values)]


@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=60), cuts=st.lists(st.integers(0, 99), max_size=3))
def test_whatever_comes_as_a_form_is_taken_or_refused(body: bytes, cuts: list[int]) -> None:
    head = b'--b\r\nContent-Disposition: x; name="a"\r\n\r\n'
    statuses = set()
    for text in (body, b"--b\r\n" + body, head + body):
        parts = Parts("b")
        try:
            for at in range(0, len(text), 7):
                parts.feed(text[at : at + 7])
        except Refused as error:
            statuses.add(error.status)
    assert statuses <= {400}
    endless = Parts("b")
    with pytest.raises(Refused):
        endless.feed(b"--b\r\n" + b"X: y\r\n" * 10_000)


def test_names_of_files_are_no_paths() -> None:
    assert safe_name("../../etc/passwd") == "passwd"
    assert safe_name("C:\\x\\y z.bed") == "y_z.bed"
    assert safe_name("..") == safe_name("") == "upload"
    assert safe_name("é\x00\n" * 200).isascii()


# --- several processes, and the end ---------------------------------------------------------------


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A genome over which something takes a while."""
    directory = tmp_path_factory.mktemp("large")
    letters = np.random.default_rng(3).choice(np.frombuffer(b"ACGT", np.uint8), 30_000_000)
    text = letters.tobytes().decode()
    records = {f"c{n}": text[n * 500_000 : (n + 1) * 500_000] for n in range(60)}
    root = directory / "root"
    subprocess.run(
        [sys.executable, "-m", "seqarchive", "--quiet", "--root", str(root), "load", "-n", "l",
         "--collection", "refgenie:large", str(write_fasta(directory / "large.fa", records))],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return root


def test_every_process_knows_every_job(large: Path, tmp_path: Path) -> None:
    with command_serving(large, tmp_path, "--workers", "2") as served:
        url = f"{served.url}/api"
        wait_until(lambda: len(served.workers()) == 2)
        body = {"genome": "large", "min_aa": 20}
        job = post(f"{url}/methods/genome.orfs", body, wait=0).json()
        seen = [get(job["status_url"]) for _ in range(12)]  # each over a connection of its own
        assert {one["job_id"] for one in seen} == {job["job_id"]}
        again = [post(f"{url}/methods/genome.orfs", body, wait=0).json() for _ in range(6)]
        assert {one["job_id"] for one in again} == {job["job_id"]}
        with requests.get(job["stream_url"], stream=True, timeout=30) as stream:
            found = events(stream)
            assert next(found)[1]["state"] in ("queued", "running")
            for _ in range(6):
                assert requests.delete(job["status_url"], timeout=30).status_code in (200, 202)
            *_, (name, _told) = found
        assert name == "cancelled"
        assert {get(job["status_url"])["state"] for _ in range(8)} == {"cancelled"}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_that_stops_waits_for_no_job(large: Path, tmp_path: Path, workers: int) -> None:
    with command_serving(large, tmp_path, "--workers", str(workers)) as served:
        url = f"{served.url}/api"
        job = post(f"{url}/methods/genome.orfs", {"genome": "large", "min_aa": 21}, wait=0).json()
        with requests.get(job["stream_url"], stream=True, timeout=30) as stream:
            next(events(stream))
            started = time.monotonic()
            assert served.stop() == 0
            assert time.monotonic() - started < 20
    assert "Traceback" not in served.log.read_text()
    file = large / "master" / "computing" / "jobs" / f"{job['job_id']}.json"
    assert json.loads(file.read_text())["state"] in ("cancelled", "running")


def test_a_process_that_died_has_no_jobs(tmp_path: Path) -> None:
    jobs, gone = Jobs(), tmp_path / "jobs"
    gone.mkdir()
    key = "k" * 32
    job = f"{key}.{'0' * 12}"
    (gone / f"{job}.json").write_text(json.dumps({
        "job_id": job, "operation": "x", "state": "running", "done": 1, "total": 2,
        "created_at": "2026-01-01T00:00:00+00:00",
    }))  # fmt: skip
    assert jobs.get(gone, job)["state"] == "running"
    assert jobs.submit(gone, key, "x", lambda: "never")["job_id"] == job
    long_ago = time.time() - 60
    os.utime(gone / f"{job}.json", (long_ago, long_ago))
    assert jobs.get(gone, job)["state"] == "failed"
    mine = jobs.submit(gone, key, "x", lambda: "t")
    assert mine["job_id"] != job
    future = jobs.future(mine["job_id"])
    assert future is not None
    future.result(timeout=30)
    assert jobs.get(gone, mine["job_id"])["track_id"] == "t"
    for wrong in ("{", "[]", '{"state": "x"}', '{"state": "done", "job_id": "other"}'):
        (gone / f"{job}.json").write_text(wrong)
        assert [one["job_id"] for one in jobs.all(gone)] == [mine["job_id"]]
    jobs.close()


@pytest.mark.parametrize(
    ("options", "status"), [(("--public",), 403), (("--public", "--changes"), 413)]
)
def test_what_others_can_reach_is_only_read_unless_it_is_said(
    root: Path, tmp_path: Path, options: tuple[str, ...], status: int
) -> None:
    with command_serving(root, tmp_path, *options, "--max-upload", "0.001") as served:
        assert get(f"{served.url}/api/genomes/toy")["n_chromosomes"] == 3
        address = f"{served.url}/api/tracks?genome=toy"
        refused(requests.post(address, data=b"x" * 1_001, timeout=30), status)


def test_a_silent_job_is_heard_of() -> None:
    states = iter(["running"] * 4 + ["done"])

    async def look() -> dict[str, Any]:
        return {"state": next(states)}

    async def all_of() -> list[bytes]:
        return [one async for one in events_of(look, heartbeat=0.0)]

    first, *others = asyncio.run(all_of())
    assert first.startswith(b"retry: ")
    assert others == [
        b'event: progress\ndata: {"state":"running"}\n\n',
        *[b": still there\n\n"] * 3,
        b'event: done\ndata: {"state":"done"}\n\n',
    ]
