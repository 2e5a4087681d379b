"""Records by accession from NCBI and Ensembl: what was asked for is loaded, or nothing is.

A server on loopback replays answers from ``data/fetch``: the headers, the bodies of errors and the
layout as the services give them, around records of the files beside it. Time that is waited is not
spent: the clock is the test's.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from conftest import Cli, Result
from helpers import contents, fasta, parse_fasta, sq, wait_until
from hypothesis import given
from hypothesis import strategies as st

from seqarchive import Archive, BadName, SourceError, connect
from seqarchive.online import accessions, polite
from seqarchive.online.polite import Clock

HERE = Path(__file__).parent / "data"
KEY = "56dfe6681f344ffbd2844ecd4a2bb1929a08"

NM, OTHER_NM = "NM_001005405.2", "NM_001004713.1"
PHIX, COVID, PROTEIN = "NC_001422.1", "MN908947.3", "NP_011920.1"
ENST, OTHER_ENST = "ENST00000504685.5", "ENST00000303450.4"


def originals() -> dict[str, str]:
    """Residues by accession, from the files that the answers were made of."""
    found = {}
    for defline, residues in parse_fasta((HERE / "transcripts/human_NM_small.fna").read_text()):
        found[defline.split("|")[3]] = residues
    for path, name in (("phiX174_NC_001422.1.fa", PHIX), ("sarscov2_MN908947.fasta", COVID)):
        ((_, found[name]),) = parse_fasta((HERE / "nucl" / path).read_text())
    with gzip.open(HERE / "transcripts/human_ENST_14.fasta.gz", "rt") as file:
        found.update(parse_fasta(file.read()))
    with gzip.open(HERE / "prot/Saccharomyces_cerevisiae.R64-1-1.pep.all.fa.gz", "rt") as file:
        found[PROTEIN] = parse_fasta(file.read(5000))[0][1]
    return found


ORIGINALS = originals()


def bare(accession: str) -> str:
    """Without its version."""
    return accession.partition(".")[0]


# --- the services ------------------------------------------------------------------------------


@dataclass
class Seen:
    """A request that came."""

    line: str
    """Method and target."""
    path: str
    fields: dict[str, str]
    headers: Mapping[str, str]
    at: float

    @property
    def ids(self) -> list[str]:
        """What it asks for."""
        asked = self.fields.get("id")
        return asked.split(",") if asked else [self.path.rpartition("/")[2]]


@dataclass
class Reply:
    """An answer, whole or damaged."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes
    cut: int | None = None
    """Close the connection after so many bytes of the body."""
    says_length: bool = True
    hold: threading.Event | None = None
    """Wait for this in the middle of the body."""

    @property
    def is_chunked(self) -> bool:
        return self.headers.get("Transfer-Encoding") == "chunked"

    def with_length(self) -> Reply:
        """The same with a Content-Length instead of chunks."""
        headers = {k: v for k, v in self.headers.items() if k != "Transfer-Encoding"}
        return replace(self, headers=headers)

    def edited(self, old: str, new: str) -> Reply:
        """The same with another text in the body."""
        assert old.encode() in self.body
        return replace(self, body=self.body.replace(old.encode(), new.encode()))


def recorded(name: str, **words: str) -> Reply:
    """An answer from ``data/fetch``."""
    head, _, body = (HERE / "fetch" / f"{name}.http").read_bytes().partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    _, status, reason = first.split(" ", 2)
    for word, value in words.items():
        body = body.replace(b"{%s}" % word.encode(), value.encode())
    headers = dict(line.split(": ", 1) for line in lines)
    return Reply(int(status), reason, headers, body)


def has(name: str) -> bool:
    return (HERE / "fetch" / f"{name}.http").exists()


def efetch(database: str, ids: list[str]) -> Reply:
    """What NCBI says: one that it lacks, and there is nothing for all."""
    replies = []
    for one in ids:
        whole = [name for name in ORIGINALS if bare(name) == one]
        name = whole[0] if whole else one
        in_protein = name.startswith("NP_")
        if not has(f"efetch_{name}") or in_protein != (database == "protein"):
            return recorded("efetch_no_record", spaced="".join(f"{c} " for c in one))
        replies.append(recorded(f"efetch_{name}"))
    return replace(replies[0], body=b"".join(reply.body for reply in replies))


def ensembl(name: str) -> Reply:
    """What Ensembl says; a version is not understood."""
    if "." in name or not has(f"ensembl_{name}"):
        return recorded("ensembl_not_found", id=name)
    return recorded(f"ensembl_{name}")


@dataclass
class Services:
    """Both services. ``script`` has answers that come before the usual ones."""

    now: Callable[[], float]
    seen: list[Seen] = field(default_factory=list)
    script: deque[Reply | Callable[[Seen], Reply]] = field(default_factory=deque)
    always: Callable[[Seen], Reply] | None = None
    url: str = ""
    n_connections: int = 0

    def reply(self, seen: Seen) -> Reply:
        self.seen.append(seen)
        if self.script:
            first = self.script.popleft()
            return first if isinstance(first, Reply) else first(seen)
        if self.always is not None:
            return self.always(seen)
        if seen.path.startswith("/entrez/eutils/efetch.fcgi"):
            return efetch(seen.fields["db"], seen.ids)
        return ensembl(seen.ids[0])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def setup(self) -> None:
        super().setup()
        self.server.services.n_connections += 1

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.answer(parts.path, parts.query)

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.answer(self.path, self.rfile.read(length).decode())

    def answer(self, path: str, query: str) -> None:
        services = self.server.services
        fields = {name: values[0] for name, values in parse_qs(query).items()}
        line = f"{self.command} {self.path}"
        self.send(services.reply(Seen(line, path, fields, dict(self.headers), services.now())))

    def send(self, reply: Reply) -> None:
        self.send_response_only(reply.status, reply.reason)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if not reply.is_chunked and reply.says_length:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        body = reply.body[: reply.cut]
        half = len(body) // 2
        for part in (body[:half], body[half:]):
            if part:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part) if reply.is_chunked else part)
                self.wfile.flush()
            if reply.hold is not None:
                reply.hold.wait(20)
        if reply.cut is not None or not reply.says_length:
            self.close_connection = True
        elif reply.is_chunked:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *arguments: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Serves the services; what goes wrong in it is an error of the tests."""

    daemon_threads = True

    def __init__(self, services: Services) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.services = services
        self.errors: list[BaseException | None] = []

    def handle_error(self, request: object, client_address: object) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, BrokenPipeError | ConnectionResetError):  # whoever asked is gone
            self.errors.append(error)


@dataclass
class FakeClock:
    """Time that goes on when somebody sleeps, and not otherwise."""

    time: float = 1000.0
    naps: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.naps.append(seconds)
        self.time += seconds

    def clock(self) -> Clock:
        return Clock(lambda: self.time, self.sleep, lambda: 1.0)

    @property
    def pauses(self) -> list[float]:
        """What was waited after failures; the time between two requests is less."""
        return [nap for nap in self.naps if nap >= 0.5]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    fake = FakeClock()
    monkeypatch.setattr(polite, "Clock", fake.clock)
    return fake


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> Iterator[Services]:
    served = Services(lambda: clock.time)
    for name in ("NCBI_API_KEY", "NCBI_EMAIL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    with Server(served) as listening:
        served.url = f"http://127.0.0.1:{listening.server_address[1]}"
        monkeypatch.setenv("SEQARCHIVE_NCBI_URL", f"{served.url}/entrez/eutils")
        monkeypatch.setenv("SEQARCHIVE_ENSEMBL_URL", f"{served.url}/")
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield served
        finally:
            listening.shutdown()
            thread.join()
    assert listening.errors == []


def report_of(result: Result, code: int = 0) -> dict[str, Any]:
    assert result.code == code, result.err
    report: dict[str, Any] = json.loads(result.out)
    return report


def assert_loaded(archive: Archive, *names: str) -> None:
    """These names are there with the residues of the original files, and no others."""
    assert {str(alias) for alias, _ in archive.all_aliases()} == set(names)
    for name in names:
        residues = ORIGINALS[name.partition(":")[2]]
        assert archive.fetch(name) == residues
        assert sq(residues) in archive.translate(name)


def assert_refused(result: Result, code: int, *said: str) -> None:
    """It failed with one line that says these."""
    assert (result.code, result.out) == (code, ""), result.err
    lines = [line for line in result.err.splitlines() if "; again in " not in line]
    assert len(lines) == 1
    for text in said:
        assert text in lines[0]


# --- accessions -----------------------------------------------------------------------------------

FORMS = [
    ("NM_000014.6", "refseq:NM_000014.6", "nuccore"),
    ("NM_001005405", "refseq:NM_001005405", "nuccore"),
    ("XR_001737576.2", "refseq:XR_001737576.2", "nuccore"),
    ("NC_000001.11", "refseq:NC_000001.11", "nuccore"),
    ("NT_187361.1", "refseq:NT_187361.1", "nuccore"),
    ("NG_007114.1", "refseq:NG_007114.1", "nuccore"),
    ("NZ_CP012345.1", "refseq:NZ_CP012345.1", "nuccore"),
    ("NZ_CASIGT010000001.1", "refseq:NZ_CASIGT010000001.1", "nuccore"),
    ("NZ_ABCD01000001.1", "refseq:NZ_ABCD01000001.1", "nuccore"),
    ("NP_000005.3", "refseq:NP_000005.3", "protein"),
    ("WP_228380365.1", "refseq:WP_228380365.1", "protein"),
    ("AP_000001.1", "refseq:AP_000001.1", "protein"),
    ("YP_009724390.1", "refseq:YP_009724390.1", "protein"),
    ("nm_000014.6", "refseq:NM_000014.6", "nuccore"),
    ("NCBI:NM_000014.6", "refseq:NM_000014.6", "nuccore"),
    ("RefSeq:NP_000005", "refseq:NP_000005", "protein"),
    ("U49845.1", "insdc:U49845.1", "nuccore"),
    ("MN908947.3", "insdc:MN908947.3", "nuccore"),
    ("MZ12345678.1", "insdc:MZ12345678.1", "nuccore"),
    ("ABKA01000001.1", "insdc:ABKA01000001.1", "nuccore"),
    ("AAAA01S000001.1", "insdc:AAAA01S000001.1", "nuccore"),
    ("AAAAAA020000001.1", "insdc:AAAAAA020000001.1", "nuccore"),
    ("AAAAA0000001", "insdc:AAAAA0000001", "nuccore"),
    ("genbank:AF123456.1", "insdc:AF123456.1", "nuccore"),
    ("AAA12345.1", "insdc:AAA12345.1", "protein"),
    ("EMBL:APA3725301.1", "insdc:APA3725301.1", "protein"),
    ("ENST00000504685.5", "ensembl:ENST00000504685.5", "cdna"),
    ("ENSMUST00000000001.5", "ensembl:ENSMUST00000000001.5", "cdna"),
    ("ENSP00000263100", "ensembl:ENSP00000263100", "protein"),
    ("ENSDARG00000000001.9", "ensembl:ENSDARG00000000001.9", "genomic"),
    ("Ensembl:ENSE00001967169.1", "ensembl:ENSE00001967169.1", "genomic"),
]

NOT_ACCESSIONS = [
    "",
    "BRCA2",
    "P12345",  # UniProt's
    "A0A024R1R8",
    "NM_59",
    "NM-000059.4",
    "AAA123456.1",
    "NM_000059.04",
    "NM_000059.0",
    "NM_000059.",
    "NM_000059.4.5",
    "NM_000059 .4",
    "GCF_000001405.40",
    "LRG_1",
    "ENST504685",
    "ENSGT00390000003602",
    "rs12345",
    "NM_00005٩",
    "ＮM_000059.4",
    "NM_000059.4,NM_000014.6",
    "NM_000059.4&db=pubmed",
    "../NM_000059.4",
    "lab:NM_000059.4",
    "ensembl:NM_000059.4",
    "refseq:MN908947.3",
    "insdc:NM_000059.4",
    "uniprot:P12345",
    ":NM_000059.4",
    "a b:NM_000059.4",
    "refseq:refseq:NM_000059.4",
]


@pytest.mark.parametrize(("text", "alias", "database"), FORMS)
def test_an_accession_says_who_has_it(text: str, alias: str, database: str) -> None:
    found = accessions.parse(text)
    assert (str(found.alias), found.database) == (alias, database)
    at_ensembl = alias.startswith("ensembl:")
    assert found.service is accessions.Service["ENSEMBL" if at_ensembl else "NCBI"]


@pytest.mark.parametrize("text", NOT_ACCESSIONS)
def test_what_is_no_accession_is_a_bad_name(text: str) -> None:
    with pytest.raises(BadName):
        accessions.parse(text)


def test_with_a_bad_name_nobody_is_asked(cli: Cli, services: Services, root: Path) -> None:
    for text in NOT_ACCESSIONS:
        assert_refused(cli("fetch-load", "--on-error", "skip", NM, "--", text), 5)
    assert not services.seen
    assert not root.exists()


def test_only_what_may_be_a_chromosome_is_asked_for_alone() -> None:
    large = {text for text, _, _ in FORMS if accessions.parse(text).is_large}
    assert large == {
        "NC_000001.11",
        "NT_187361.1",
        "NZ_CP012345.1",
        "NZ_CASIGT010000001.1",
        "NZ_ABCD01000001.1",
    }
    assert accessions.parse("CM000663.2").is_large
    assert not accessions.parse("CMA12345.1").is_large


@given(st.text() | st.from_regex(r"[A-Z]{1,6}_?[0-9]{1,12}(\.[0-9]{1,7})?") | st.binary().map(str))
def test_any_text_is_an_accession_or_a_bad_name(text: str) -> None:
    try:
        found = accessions.parse(text)
    except BadName:
        return
    assert accessions.parse(str(found)) == accessions.parse(str(found.alias)) == found
    assert str(found) == text.partition(":")[2].upper() or str(found) == text.upper()
    assert str(found).isprintable()
    assert re.fullmatch(r"[A-Z0-9_.]+", str(found))


@given(
    st.sampled_from([text for text, _, _ in FORMS]),
    st.integers(1, 99_999),
    st.sampled_from(["upper", "lower"]),
)
def test_an_accession_and_a_version_make_a_round_trip(text: str, version: int, case: str) -> None:
    name = accessions.parse(text).name
    versioned = accessions.parse(name).of_version(version)
    written = f"{name}.{version}" if case == "upper" else f"{name}.{version}".lower()
    assert accessions.parse(written) == versioned
    assert accessions.split_version(str(versioned)) == (name, version)
    assert accessions.parse(str(versioned.alias)) == versioned


# --- what should be -------------------------------------------------------------------------------


def test_one_record_is_fetched_and_loaded_as_it_is(
    cli: Cli, services: Services, archive: Archive
) -> None:
    result = cli("fetch-load", NM)
    assert result.code == 0
    assert result.err == ""
    assert result.out.splitlines()[0].startswith("batch 1: 1 of 1 accession fetched, 0 known")
    assert_loaded(archive, f"refseq:{NM}")
    (seen,) = services.seen
    assert seen.line == "POST /entrez/eutils/efetch.fcgi"
    assert seen.headers["Accept-Encoding"] == "identity"
    assert seen.fields == {
        "db": "nuccore",
        "id": NM,
        "rettype": "fasta",
        "retmode": "text",
        "tool": "seqarchive",
    }
    assert re.fullmatch(r"seqarchive/[\d.]+", seen.headers["User-Agent"])
    exported = cli("export", f"refseq:{NM}").out
    assert parse_fasta(exported)[0][1] == ORIGINALS[NM]
    (source,) = report_of(cli("--json", "log"))["sources"]
    assert source["name"] == "efetch:nuccore"
    assert archive.collections() == []
    defline = "keratin associated protein 5-11 (KRTAP5-11), mRNA"
    assert defline in json.dumps(archive.metadata(f"refseq:{NM}"))


def test_an_archive_need_not_be_there(cli: Cli, services: Services, root: Path) -> None:
    assert cli("fetch-load", NM).code == 0
    with connect(root) as archive:
        assert_loaded(archive, f"refseq:{NM}")


def test_records_of_one_database_are_asked_for_together(
    cli: Cli, services: Services, archive: Archive
) -> None:
    report = report_of(cli("--json", "fetch-load", NM, COVID, OTHER_NM))
    assert [seen.ids for seen in services.seen] == [[NM, COVID, OTHER_NM]]
    assert (report["asked"], report["fetched"], report["requests"]) == (3, 3, 1)
    assert report["batch"] == 1
    assert_loaded(archive, f"refseq:{NM}", f"insdc:{COVID}", f"refseq:{OTHER_NM}")


def test_both_services_make_one_batch(cli: Cli, services: Services, archive: Archive) -> None:
    asked = [ENST, PROTEIN, f"ensembl:{OTHER_ENST}", PHIX, NM, f"GenBank:{COVID}"]
    report = report_of(cli("--json", "fetch-load", *asked))
    names = [
        f"refseq:{NM}",
        f"refseq:{PHIX}",
        f"refseq:{PROTEIN}",
        f"insdc:{COVID}",
        f"ensembl:{ENST}",
        f"ensembl:{OTHER_ENST}",
    ]
    assert_loaded(archive, *names)
    assert len(list(archive.batches())) == 1
    assert [seen.fields.get("db") or seen.fields["type"] for seen in services.seen] == [
        "nuccore",
        "protein",
        "nuccore",  # alone, because it may be large
        "cdna",
        "cdna",
    ]
    assert services.seen[2].ids == [PHIX]
    assert services.seen[3].line == f"GET /sequence/id/{bare(ENST)}?type=cdna"
    assert services.seen[3].headers["Content-Type"] == "application/json"
    load = report["load"]
    assert load["sequences_added"] == 6
    assert load["residues_added"] == sum(len(ORIGINALS[name.partition(":")[2]]) for name in names)
    assert report["bytes"] > load["residues_added"]
    assert services.n_connections == 1  # pooled


def test_a_hundred_are_asked_for_at_once_and_no_more(
    cli: Cli, services: Services, root: Path
) -> None:
    names = [f"NM_{n:09}.1" for n in range(1, 251)]

    def answer(seen: Seen) -> Reply:
        text = "".join(
            f">{one} made up\n{'ACGT' * 5}{'A' * n}\n\n" for n, one in enumerate(seen.ids)
        )
        return replace(recorded(f"efetch_{NM}"), body=text.encode())

    services.always = answer
    report = report_of(cli("--json", "fetch-load", "--from", "-", stdin="\n".join(names).encode()))
    assert [len(seen.ids) for seen in services.seen] == [100, 100, 50]
    assert report["fetched"] == 250
    with connect(root) as archive:
        assert {str(alias) for alias, _ in archive.all_aliases()} == {f"refseq:{n}" for n in names}


def test_accessions_come_from_a_file_too(
    cli: Cli, services: Services, archive: Archive, tmp_path: Path
) -> None:
    listed = tmp_path / "wanted.txt"
    listed.write_text(f"{NM}\n\n  refseq:{NM}  \n{ENST}\r\n")
    report = report_of(cli("--json", "fetch-load", "--from", listed, OTHER_NM, NM))
    assert report["asked"] == 3
    assert_loaded(archive, f"refseq:{NM}", f"refseq:{OTHER_NM}", f"ensembl:{ENST}")
    assert services.seen[0].ids == [OTHER_NM, NM]
    assert cli("fetch-load").code == 2
    assert cli("fetch-load", "--from", tmp_path / "none.txt").code == 3


def test_without_a_version_comes_the_newest_and_is_named_by_it(
    cli: Cli, services: Services, archive: Archive
) -> None:
    asked = [bare(NM), bare(ENST), COVID]
    report = report_of(cli("--json", "fetch-load", *asked))
    assert report["resolved"] == {
        f"refseq:{asked[0]}": f"refseq:{NM}",
        f"ensembl:{asked[1]}": f"ensembl:{ENST}",
    }
    assert_loaded(archive, f"refseq:{NM}", f"ensembl:{ENST}", f"insdc:{COVID}")
    result = cli("fetch-load", bare(OTHER_NM))
    assert f"  resolved   refseq:{bare(OTHER_NM)} is refseq:{OTHER_NM}" in result.out


def test_residues_in_lower_case_are_the_same(
    cli: Cli, services: Services, archive: Archive
) -> None:
    reply = recorded(f"efetch_{NM}")
    head, newline, body = reply.body.partition(b"\n")
    services.script.append(replace(reply, body=head + newline + body.lower()))
    assert cli("fetch-load", NM).code == 0
    assert_loaded(archive, f"refseq:{NM}")


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n\n"])
def test_how_an_answer_ends_does_not_matter(
    end: bytes, cli: Cli, services: Services, archive: Archive
) -> None:
    for name in (NM, PHIX):  # two answers, of which one file is made
        reply = recorded(f"efetch_{name}")
        services.script.append(replace(reply, body=reply.body.rstrip() + end))
    assert cli("fetch-load", NM, PHIX).code == 0
    assert [seen.ids for seen in services.seen] == [[NM], [PHIX]]
    assert_loaded(archive, f"refseq:{NM}", f"refseq:{PHIX}")


def test_a_long_record_is_streamed(cli: Cli, services: Services, root: Path) -> None:
    residues = ORIGINALS[PHIX] * 400  # 2.2 million: more than is held in memory
    text = fasta([("NC_999999.7 made up of phiX174", residues)], 70) + "\n"
    services.script.append(replace(recorded(f"efetch_{PHIX}"), body=text.encode()))
    assert cli("fetch-load", "NC_999999.7").code == 0
    with connect(root) as archive:
        assert sq(residues) in archive.translate("refseq:NC_999999.7")


# --- what is known --------------------------------------------------------------------------------


def test_what_the_archive_has_is_not_asked_for(
    cli: Cli, services: Services, archive: Archive
) -> None:
    assert cli("fetch-load", NM, ENST).code == 0
    before = list(archive.batches())
    services.seen.clear()
    report = report_of(cli("--json", "fetch-load", ENST, f"ncbi:{NM}"))
    assert services.seen == []
    assert (report["known"], report["fetched"], report["batch"]) == (2, 0, None)
    assert list(archive.batches()) == before
    assert report_of(cli("--json", "fetch-load", NM, OTHER_NM))["known"] == 1
    assert [seen.ids for seen in services.seen] == [[OTHER_NM]]


def test_a_name_in_another_namespace_is_not_the_record(
    cli: Cli, services: Services, archive: Archive
) -> None:
    for namespace in ("lab", "insdc"):
        archive.store("GATTACA", [f"{namespace}:{NM}"])
    archive.store("GATTACA", [f"lab:refseq:{NM}"])
    assert report_of(cli("--json", "fetch-load", NM))["known"] == 0
    assert archive.fetch(f"refseq:{NM}") == ORIGINALS[NM]


def test_the_newest_version_is_asked_for_each_time_and_loaded_once(
    cli: Cli, services: Services, archive: Archive
) -> None:
    archive.store("GATTACA", [f"refseq:{bare(NM)}"])  # whatever that meant once
    for n in (1, 2):
        report = report_of(cli("--json", "fetch-load", bare(NM)))
        assert len(services.seen) == n
    load = report["load"]
    assert (load["sequences_added"], load["sequences_known"], load["aliases_known"]) == (0, 1, 1)
    assert archive.fetch(f"refseq:{NM}") == ORIGINALS[NM]
    assert archive.fetch(f"refseq:{bare(NM)}") == "GATTACA"


def test_a_dry_run_asks_nobody_and_writes_nothing(
    cli: Cli, services: Services, archive: Archive, root: Path
) -> None:
    assert cli("fetch-load", NM).code == 0
    services.seen.clear()
    before = contents(root)
    report = report_of(cli("--json", "fetch-load", "--dry-run", NM, ENST, PROTEIN))
    assert report["wanted"] == [
        {"accession": f"ensembl:{ENST}", "source": "ensembl:cdna"},
        {"accession": f"refseq:{PROTEIN}", "source": "efetch:protein"},
    ]
    assert (report["known"], report["fetched"], report["batch"]) == (1, 0, None)
    text = cli("fetch-load", "--dry-run", NM, ENST, PROTEIN).out
    assert text.splitlines() == [
        "dry run, nobody asked: 2 records to fetch, 1 known already",
        f"  ensembl:{ENST}  ensembl:cdna",
        f"  refseq:{PROTEIN}  efetch:protein",
    ]
    assert services.seen == []
    assert contents(root) == before


def test_a_dry_run_needs_no_archive(cli: Cli, services: Services, root: Path) -> None:
    assert cli("fetch-load", "--dry-run", NM).code == 0
    assert not root.exists()


def test_a_snapshot_is_refused_before_anybody_is_asked(
    cli: Cli, services: Services, archive: Archive
) -> None:
    archive.snapshot("r1")
    assert_refused(cli("--instance", "r1", "fetch-load", NM), 8)
    assert services.seen == []


# --- conflicts ------------------------------------------------------------------------------------


def test_a_name_that_means_something_else_is_a_conflict(
    cli: Cli, services: Services, archive: Archive, root: Path
) -> None:
    archive.store("GATTACA", [f"refseq:{NM}"])
    before = contents(root)
    asked = [bare(NM), ENST]  # what is known by its version is not asked for
    assert_refused(cli("fetch-load", *asked), 4, f"refseq:{NM}", "nothing was changed")
    assert contents(root) == before
    kept = cli("fetch-load", "--on-conflict", "keep", *asked)
    assert kept.code == 0
    assert "seqarchive: conflict: " in kept.err
    assert archive.fetch(f"refseq:{NM}") == "GATTACA"
    assert archive.fetch(f"ensembl:{ENST}") == ORIGINALS[ENST]
    assert cli("fetch-load", "--on-conflict", "replace", *asked).code == 0
    assert archive.fetch(f"refseq:{NM}") == ORIGINALS[NM]


# --- records that there are not -------------------------------------------------------------------


def test_one_bad_accession_refuses_all_and_is_found_one_by_one(
    cli: Cli, services: Services, archive: Archive, root: Path
) -> None:
    before = contents(root)
    result = cli("fetch-load", NM, "NM_999999999.1", OTHER_NM)
    assert_refused(result, 3, "NCBI has no record NM_999999999.1", "nothing was loaded")
    assert [seen.ids for seen in services.seen] == [
        [NM, "NM_999999999.1", OTHER_NM],
        [NM],
        ["NM_999999999.1"],
        [OTHER_NM],
    ]
    assert contents(root) == before


def test_the_rest_can_be_loaded_without_it(cli: Cli, services: Services, archive: Archive) -> None:
    result = cli("--json", "fetch-load", "--on-error", "skip", NM, "XM_999999.1", ENST)
    report = report_of(result, 3)
    assert report["failed"] == [
        {"accession": "refseq:XM_999999.1", "reason": "NCBI has no record XM_999999.1"}
    ]
    assert (report["fetched"], report["batch"]) == (2, 1)
    assert "not fetched: refseq:XM_999999.1: NCBI has no record XM_999999.1" in result.err
    assert_loaded(archive, f"refseq:{NM}", f"ensembl:{ENST}")


def test_all_that_there_are_not_are_named_at_once(
    cli: Cli, services: Services, archive: Archive
) -> None:
    result = cli("fetch-load", "NM_111111.1", "ENST00000000001", "NM_222222.1", PHIX)
    assert_refused(result, 3, "NM_111111.1", "NM_222222.1", "Ensembl has no record ENST00000000001")
    assert [PHIX] not in [seen.ids for seen in services.seen]  # would be in vain
    assert len(archive) == 0


def test_nothing_to_load_makes_no_batch(cli: Cli, services: Services, archive: Archive) -> None:
    result = cli("--json", "fetch-load", "--on-error", "skip", "NM_111111.1")
    assert report_of(result, 3)["batch"] is None
    assert list(archive.batches()) == []


@pytest.mark.parametrize("name", ["efetch_no_record", "efetch_unreadable_id"])
def test_both_ways_in_which_ncbi_says_so_are_understood(
    name: str, cli: Cli, services: Services, clock: FakeClock
) -> None:
    services.always = lambda _seen: recorded(name, spaced="N M _ 1 1 1 1 1 1 . 1 ")
    assert_refused(cli("fetch-load", "NM_111111.1"), 3, "NCBI has no record NM_111111.1")
    assert len(services.seen) == 1
    assert clock.pauses == []


def test_what_is_left_out_of_an_answer_is_asked_for_alone(
    cli: Cli, services: Services, archive: Archive
) -> None:
    services.script.append(lambda _seen: efetch("nuccore", [NM]))
    assert cli("fetch-load", NM, OTHER_NM).code == 0
    assert [seen.ids for seen in services.seen] == [[NM, OTHER_NM], [OTHER_NM]]
    assert_loaded(archive, f"refseq:{NM}", f"refseq:{OTHER_NM}")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (NM.replace(".2", ".3"), f"asked for {NM.replace('.2', '.3')}, NCBI has {NM}"),
        (NM.replace(".2", ".1"), f"NCBI has {NM}"),
        (ENST.replace(".5", ".4"), f"asked for {ENST.replace('.5', '.4')}, Ensembl has {ENST}"),
    ],
)
def test_another_version_is_not_what_was_asked_for(
    asked: str, said: str, cli: Cli, services: Services, archive: Archive
) -> None:
    services.always = lambda seen: (
        recorded(f"efetch_{NM}") if "efetch" in seen.path else ensembl(seen.ids[0])
    )
    assert_refused(cli("fetch-load", asked), 3, said)
    assert len(archive) == 0
    report = report_of(cli("--json", "fetch-load", "--on-error", "skip", asked, OTHER_ENST), 3)
    assert [said in one["reason"] for one in report["failed"]] == [True]
    assert_loaded(archive, f"ensembl:{OTHER_ENST}")


def test_a_version_is_checked_among_others_too(
    cli: Cli, services: Services, archive: Archive
) -> None:
    wrong = NM.replace(".2", ".3")

    def newest(seen: Seen) -> Reply:
        return efetch("nuccore", [NM if one == wrong else one for one in seen.ids])

    services.always = newest
    report = report_of(cli("--json", "fetch-load", "--on-error", "skip", wrong, OTHER_NM), 3)
    assert report["fetched"] == 1
    assert_loaded(archive, f"refseq:{OTHER_NM}")


def test_an_error_of_ensembl_that_is_not_a_missing_record_is_a_failure(
    cli: Cli, services: Services
) -> None:
    services.always = lambda _seen: recorded("ensembl_several", id="ENSG00000141510")
    assert_refused(cli("fetch-load", "ENSG00000141510"), 9, "400", "5 sequences detected")
    assert len(services.seen) == 1


# --- answers that are not right -------------------------------------------------------------------


def wrong_record() -> Reply:
    return recorded(f"efetch_{OTHER_NM}")


def extra_record() -> Reply:
    return efetch("nuccore", [NM, OTHER_NM])


def twice() -> Reply:
    return recorded(f"efetch_{NM}").edited(f">{NM}", f">{NM} x\nACGT\n>{NM}")


def with_body(body: bytes) -> Reply:
    return replace(recorded(f"efetch_{NM}"), body=body)


Wrong = dict[str, tuple[Callable[[], Reply], str]]

WRONG: Wrong = {
    "a page": (lambda: recorded("efetch_page"), "an HTML page instead of a record"),
    "a failing back end": (lambda: recorded("efetch_behind"), "400"),
    "nothing": (lambda: with_body(b""), "nothing instead of a record"),
    "blank lines": (lambda: with_body(b"\n\n"), "nothing instead of a record"),
    "a text": (lambda: with_body(b"Unable to route request!\n"), "Unable to route request!"),
    "a GenBank file": (lambda: with_body(b"LOCUS       NM_001005405\n"), "instead of a record"),
    "compressed": (lambda: with_body(gzip.compress(b">x\nACGT\n")), "instead of a record"),
    "another record": (wrong_record, f"sent '{OTHER_NM}' when asked for {NM}"),
    "one record more": (extra_record, f"sent '{OTHER_NM}' when asked for {NM}"),
    "it twice": (twice, "twice"),
    "no version": (lambda: with_body(b">NM_001005405 x\nACGT\n"), "sent 'NM_001005405'"),
    "no residues": (lambda: with_body(f">{NM} x\n\n".encode()), "without residues"),
    "no name": (lambda: with_body(b">\nACGT\n"), "a record without a name"),
    "an old defline": (lambda: with_body(f">ref|{NM}| x\nACGT\n".encode()), f"sent 'ref|{NM}|'"),
    "our export": (
        lambda: with_body(f">{sq('ACGT')} refseq:{NM} lab:x\nACGT\n".encode()),
        "sent 'ga4gh:SQ.",
    ),
    "a number": (
        lambda: recorded(f"efetch_{NM}").edited("TGCTCC", "TGC5CC"),
        "line 2: record 'NM_001005405.2': '5' is not a residue",
    ),
    "an error in the middle": (
        lambda: recorded(f"efetch_{NM}").edited("AATCATGGGC", "Resource temporarily unavailable"),
        "which is no nucleotide",
    ),
    "a protein": (lambda: with_body(f">{NM} x\nMKVLQ\n".encode()), "which is no nucleotide"),
    "not UTF-8": (lambda: with_body(f">{NM} ".encode() + b"\xff\nACGT\n"), "not UTF-8"),
    "a gzip": (
        lambda: replace(recorded(f"efetch_{NM}"), headers={"Content-Encoding": "gzip"}),
        "compresses",
    ),
    "no end": (
        lambda: replace(recorded(f"efetch_{NM}").with_length(), says_length=False),
        "does not say where it ends",
    ),
    "an end that is no number": (
        lambda: Reply(200, "OK", {"Content-Length": "9" * 5000}, b">", says_length=False),
        "does not say where it ends",
    ),
    "a redirect": (
        lambda: Reply(301, "Moved Permanently", {"Location": "/elsewhere"}, b""),
        "301 Moved Permanently",
    ),
    "forbidden": (lambda: Reply(403, "Forbidden", {}, b"go away"), "403 Forbidden: go away"),
    "no such path": (lambda: Reply(404, "Not Found", {}, b"<html></html>"), "404 Not Found"),
    "an unknown 400": (lambda: Reply(400, "Bad Request", {}, b"no"), "400 Bad Request: no"),
    "a control character": (lambda: Reply(404, "No", {}, b"\x1b[31mred\r\n\x00"), "\\x1b[31mred"),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_answer_that_is_not_right_is_never_loaded(
    what: str, cli: Cli, services: Services, archive: Archive, root: Path
) -> None:
    make, said = WRONG[what]
    reply = make()
    before = contents(root)
    services.always = lambda _seen: reply
    assert_refused(cli("fetch-load", NM), 9, said)
    assert contents(root) == before
    assert "/elsewhere" not in {seen.path for seen in services.seen}
    report = report_of(cli("--json", "fetch-load", "--on-error", "skip", NM), 3)
    assert report["fetched"] == 0
    assert len(archive) == 0


def test_the_page_of_a_redirect_is_not_waited_for(cli: Cli, services: Services) -> None:
    hold = threading.Event()
    page = Reply(302, "Found", {"Location": "/elsewhere"}, bytes(1 << 20), hold=hold)
    services.always = lambda _seen: page
    began = time.monotonic()
    assert_refused(cli("fetch-load", NM), 9, "302 Found")
    assert time.monotonic() - began < 15  # the other half would come after 20
    hold.set()


@pytest.mark.parametrize("what", ["one record more", "a number", "an unknown 400", "it twice"])
def test_one_wrong_record_does_not_spoil_those_asked_for_with_it(
    what: str, cli: Cli, services: Services, archive: Archive
) -> None:
    reply = WRONG[what][0]()
    services.always = lambda seen: reply if NM in seen.ids else efetch("nuccore", seen.ids)
    report = report_of(cli("--json", "fetch-load", "--on-error", "skip", NM, COVID, PHIX), 3)
    assert [one["accession"] for one in report["failed"]] == [f"refseq:{NM}"]
    assert_loaded(archive, f"insdc:{COVID}", f"refseq:{PHIX}")


def enst(**changes: object) -> Reply:
    reply = recorded(f"ensembl_{bare(ENST)}")
    return replace(reply, body=json.dumps({**json.loads(reply.body), **changes}).encode())


WRONG_JSON: Wrong = {
    "another": (lambda: enst(id="ENST00000303450"), "sent 'ENST00000303450' when asked for"),
    "more lines": (lambda: enst(id="ENST00000504685.5\nACGT\n>x"), "when asked for"),
    "no version": (lambda: enst(version=None), "without a version"),
    "a strange version": (lambda: enst(version="5\nACGT"), "without a version"),
    "no text": (lambda: enst(seq=["ACGT"]), "with a sequence that is none"),
    "nothing": (lambda: enst(seq=""), "without residues"),
    "two records": (lambda: enst(seq="ACGT\n>ENST00000504685.5\nAC"), "a sequence that is none"),
    "a message": (lambda: enst(seq="not available"), "a sequence that is none"),
    "a number": (lambda: enst(seq="ACG7"), "'7' is not a residue"),
    "a surrogate": (lambda: enst(seq="ACG\ud800"), "is not a residue"),
    "a list": (lambda: replace(enst(), body=b"[1]"), "instead of a record"),
    "half of it": (lambda: replace(enst(), body=enst().body[:100]), "is no JSON"),
    "other fields": (lambda: replace(enst(), body=b'{"a": 1}'), "is no JSON with id"),
    "very deep": (lambda: replace(enst(), body=b'{"a":' * 100_000), "is no JSON"),
    "a page": (lambda: recorded("efetch_page"), "an HTML page instead of a record"),
}


@pytest.mark.parametrize("what", WRONG_JSON)
def test_an_answer_of_ensembl_that_is_not_right_is_never_loaded(
    what: str, cli: Cli, services: Services, archive: Archive
) -> None:
    make, said = WRONG_JSON[what]
    reply = make()
    services.always = lambda _seen: reply
    assert_refused(cli("fetch-load", ENST), 9, said)
    assert len(archive) == 0


def test_a_description_of_ensembl_is_part_of_the_defline(
    cli: Cli, services: Services, archive: Archive
) -> None:
    services.script.append(enst(desc="chromosome:GRCh38:4:1:9:-1\n>x \ud800"))
    assert cli("fetch-load", ENST).code == 0
    said = json.dumps(archive.metadata(f"ensembl:{ENST}"))
    assert f"{ENST} chromosome:GRCh38:4:1:9:-1 >x ?" in said
    assert_loaded(archive, f"ensembl:{ENST}")


def test_a_long_record_is_looked_at_to_its_end(
    cli: Cli, services: Services, archive: Archive
) -> None:
    residues = ORIGINALS[PHIX] * 400
    for end, said in (("E", "which is no nucleotide"), ("!", "'!' is not a residue")):
        text = fasta([("NC_999999.7 x", residues + end)], 70)
        services.always = lambda _seen, text=text: with_body(text.encode())
        assert_refused(cli("fetch-load", "NC_999999.7"), 9, said)
    assert len(archive) == 0


# --- failures that pass, and others ---------------------------------------------------------------


def cut_short(*, chunked: bool) -> Reply:
    reply = recorded(f"efetch_{COVID}")
    return replace(reply if chunked else reply.with_length(), cut=20_000)


@pytest.mark.parametrize("chunked", [True, False])
def test_an_answer_that_ends_early_is_asked_for_again(
    chunked: bool,
    cli: Cli,
    services: Services,
    archive: Archive,
    caplog: pytest.LogCaptureFixture,
) -> None:
    services.script.extend([cut_short(chunked=chunked)] * 2)
    assert cli("fetch-load", COVID).code == 0
    assert caplog.text.count("the answer ended early") == 2
    assert len(services.seen) == 3
    assert_loaded(archive, f"insdc:{COVID}")  # and nothing is left of the first attempts


@pytest.mark.parametrize("chunked", [True, False])
def test_an_answer_that_always_ends_early_is_never_loaded(
    chunked: bool, cli: Cli, services: Services, archive: Archive
) -> None:
    services.always = lambda _seen: cut_short(chunked=chunked)
    assert_refused(cli("fetch-load", COVID), 9, "the answer ended early", "(5 tries)")
    assert len(services.seen) == 5
    assert len(archive) == 0


def test_too_many_requests_are_followed_by_the_pause_that_is_asked_for(
    cli: Cli,
    services: Services,
    archive: Archive,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    services.script.append(recorded("efetch_rate_limit"))
    assert cli("fetch-load", NM).code == 0
    assert "429 Too Many Requests: API rate limit exceeded; again in 2.0 s" in caplog.text
    assert clock.pauses == [2.0]
    services.script.append(recorded("ensembl_rate_limit"))
    assert cli("fetch-load", ENST).code == 0
    assert clock.pauses == [2.0, 40.0]
    assert_loaded(archive, f"refseq:{NM}", f"ensembl:{ENST}")


NOW = 1_717_665_161


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": "0"}, 1.0),
        ({"Retry-After": "-30"}, 1.0),
        ({"Retry-After": "nan"}, 1.0),
        ({"Retry-After": "inf"}, 1.0),
        ({"Retry-After": "soon"}, 1.0),
        ({"Retry-After": ""}, 1.0),
        ({}, 1.0),
        (
            {
                "Date": formatdate(NOW, usegmt=True),
                "Retry-After": formatdate(NOW + 30, usegmt=True),
            },
            30.0,
        ),
        (
            {
                "Date": formatdate(NOW, usegmt=True),
                "Retry-After": formatdate(NOW - 30, usegmt=True),
            },
            1.0,
        ),
        ({"Date": "today", "Retry-After": formatdate(NOW, usegmt=True)}, 1.0),
        ({"Retry-After": f"Mon, 01 Jan {'9' * 20} 00:00:00 GMT"}, 1.0),
        (
            {
                "Date": f"Mon, 01 Jan {'9' * 20} 00:00:00 GMT",
                "Retry-After": formatdate(NOW, usegmt=True),
            },
            1.0,
        ),
    ],
)
def test_the_pause_is_what_the_service_wants_or_a_second(
    headers: dict[str, str], pause: float, services: Services, clock: FakeClock
) -> None:
    services.script.extend(Reply(status, "Wait", headers, b"") for status in (429, 503))
    services.always = lambda _seen: enst()
    with polite.PoliteSession() as session:
        session.download(polite.Query(services.url, 10_000, polite.Pace(15)), io.BytesIO())
    assert clock.pauses == [pause, max(pause, 2.0)]


def test_nobody_waits_for_an_hour(cli: Cli, services: Services, clock: FakeClock) -> None:
    services.always = lambda _seen: Reply(429, "Wait", {"Retry-After": "3600"}, b"")
    assert_refused(cli("fetch-load", NM), 9, "left alone for 3,600 seconds")
    assert clock.pauses == []
    assert len(services.seen) == 1


def test_three_failures_are_followed_by_a_record(
    cli: Cli, services: Services, archive: Archive, clock: FakeClock
) -> None:
    services.script.extend([recorded("ensembl_unavailable")] * 3)
    report = report_of(cli("--json", "fetch-load", NM))
    assert clock.pauses == [1.0, 2.0, 4.0]
    assert report["requests"] == 4
    assert_loaded(archive, f"refseq:{NM}")


def test_pauses_differ_between_clients() -> None:
    def pauses(chance: float) -> list[float]:
        fake = FakeClock()
        options = Clock(lambda: fake.time, fake.sleep, lambda: chance)
        with polite.PoliteSession(retries=8, timeout=1, clock=options) as session:
            query = polite.Query("http://127.0.0.1:9/", 1, polite.Pace(1000))
            with pytest.raises(SourceError):
                session.download(query, io.BytesIO())
        return fake.pauses

    low, high = pauses(0.0), pauses(1.0)
    assert high == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert low == [pause / 2 for pause in high]


def test_a_service_that_goes_on_failing_ends_it(
    cli: Cli, services: Services, archive: Archive, root: Path
) -> None:
    assert cli("fetch-load", ENST).code == 0
    before = contents(root)
    services.seen.clear()
    services.always = lambda _seen: Reply(500, "Internal Server Error", {}, b"")
    result = cli("fetch-load", NM, PROTEIN, OTHER_ENST)
    assert_refused(result, 9, "500 Internal Server Error (5 tries)")
    assert len(services.seen) == 5
    assert cli("fetch-load", "--retries", "1", NM).code == 9
    assert len(services.seen) == 7
    assert contents(root) == before


def test_one_failing_service_leaves_the_other(
    cli: Cli, services: Services, archive: Archive
) -> None:
    def failing(seen: Seen) -> Reply:
        if "efetch" in seen.path:
            return Reply(502, "Bad Gateway", {}, b"<html>")
        return ensembl(seen.ids[0])

    services.always = failing
    assert cli("fetch-load", NM, ENST).code == 9
    assert len(archive) == 0
    report = report_of(cli("--json", "fetch-load", "--on-error", "skip", NM, ENST), 3)
    (failed,) = report["failed"]
    assert failed["accession"] == f"refseq:{NM}"
    assert "502 Bad Gateway" in failed["reason"]
    assert_loaded(archive, f"ensembl:{ENST}")


def test_a_dead_service_is_not_asked_for_ever(cli: Cli, services: Services) -> None:
    services.always = lambda _seen: Reply(500, "Internal Server Error", {}, b"")
    names = [f"ENST{n:011}" for n in range(20)]
    arguments = ["--json", "fetch-load", "--on-error", "skip", "--retries", "0", *names]
    report = report_of(cli(*arguments), 3)
    assert len(services.seen) == 3
    failed = report["failed"]
    assert len(failed) == 20
    assert failed[-1]["reason"] == "not asked for: Ensembl failed 3 times in a row"


@pytest.mark.parametrize("good", [0, 1])
def test_what_ncbi_passes_on_from_behind_is_no_missing_record(
    good: int, cli: Cli, services: Services, archive: Archive
) -> None:
    services.script.extend([recorded("efetch_behind")] * (3 if good else 5))
    result = cli("fetch-load", NM)
    assert result.code == (0 if good else 9)
    assert len(archive) == good


def test_nobody_there(
    cli: Cli,
    services: Services,
    archive: Archive,
    clock: FakeClock,
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        url = f"http://name:word@127.0.0.1:{port}/secret"
        result = cli("fetch-load", "--ncbi-url", url, NM)
    assert_refused(result, 9, f"127.0.0.1:{port}: Connection refused (5 tries)")
    assert "word" not in result.err
    assert "secret" not in result.err
    assert clock.pauses == [1.0, 2.0, 4.0, 8.0]
    assert len(archive) == 0


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "127.0.0.1", "http://", "http://[", "x:y"])
def test_what_is_no_url_is_an_error(url: str, cli: Cli, services: Services) -> None:
    result = cli("fetch-load", f"--ncbi-url={url}", NM)
    assert_refused(result, 9, "not a URL")


def test_a_silent_service_is_left_after_a_while(cli: Cli, services: Services) -> None:
    hold = threading.Event()
    services.always = lambda _seen: replace(recorded(f"efetch_{NM}"), hold=hold)
    try:
        arguments = ["fetch-load", "--timeout", "0.1", "--retries", "1", NM]
        assert_refused(cli(*arguments), 9, "no answer in time", "(2 tries)")
    finally:
        hold.set()


def test_an_answer_without_end_is_cut_off(
    services: Services, archive: Archive, clock: FakeClock
) -> None:
    services.always = lambda _seen: replace(enst(), body=b"{" + b" " * 100_000)
    with polite.PoliteSession() as session:
        query = polite.Query(f"{services.url}/x", 50_000, polite.Pace(15))
        into = io.BytesIO(b"before")
        into.seek(6)
        with pytest.raises(SourceError, match="more than 50,000 bytes"):
            session.download(query, into)
        assert into.getvalue() == b"before"


# --- manners --------------------------------------------------------------------------------------


def most_in_a_second(seen: list[Seen]) -> int:
    times = [one.at for one in seen]
    return max(sum(start <= at < start + 1 for at in times) for start in times)


@pytest.mark.parametrize(
    ("form", "key", "per_second"),
    [("NC_{:06}.1", None, 3), ("NC_{:06}.1", KEY, 10), ("ENST{:011}", None, 15)],
)
def test_requests_keep_their_distance(
    form: str,
    key: str | None,
    per_second: int,
    cli: Cli,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if key is not None:
        monkeypatch.setenv("NCBI_API_KEY", key)
    names = [form.format(n) for n in range(1, 41)]
    assert cli("fetch-load", "--on-error", "skip", *names).code == 3
    assert len(services.seen) == 40
    assert per_second - 1 <= most_in_a_second(services.seen) <= per_second
    assert services.seen[-1].at - services.seen[0].at < 1.2 * 40 / per_second


def test_attempts_count_as_requests(services: Services, clock: FakeClock) -> None:
    services.always = lambda _seen: Reply(503, "Wait", {}, b"")
    query = polite.Query(services.url, 1, polite.Pace(0.1))
    with polite.PoliteSession(retries=2) as session:
        with pytest.raises(SourceError):
            session.download(query, io.BytesIO())
        assert session.n_requests == 3
    assert services.seen[2].at - services.seen[0].at >= 20


def test_real_time_passes_between_real_requests(
    process: Cli, services: Services, root: Path
) -> None:
    services.now = time.monotonic
    result = process(
        "fetch-load", "--on-error", "skip", "NC_000001.1", "NC_000002.1", "NC_000003.1"
    )
    assert result.code == 3
    times = [one.at for one in services.seen]
    assert len(times) == 3
    # There were two thirds of a second between them when they were sent; when they came, that is a
    # matter of how much else the machine had to do.
    assert times[2] - times[0] > 0.3


def test_the_services_know_whom_to_write_to(cli: Cli, services: Services) -> None:
    assert cli("fetch-load", "--email", "me@lab.example", NM, ENST).code == 0
    first, second = services.seen
    assert first.fields["email"] == "me@lab.example"
    for seen in services.seen:
        assert seen.headers["User-Agent"].endswith(" (mailto:me@lab.example)")
    assert "email" not in second.fields
    for wrong in ("me", "a@b c", "a@b\r\nX: y", "ä@b", "@"):
        assert cli("fetch-load", "--email", wrong, OTHER_NM).code == 5
    assert len(services.seen) == 2


def assert_key_kept(result: Result, services: Services, root: Path) -> None:
    assert KEY.lower() not in (result.out + result.err).lower()
    for seen in services.seen:
        assert KEY not in seen.line
        assert KEY not in str(seen.headers)
        assert ("api_key" in seen.fields) == ("efetch" in seen.path)
    for name, content in contents(root).items():
        assert KEY.encode() not in (content or b""), name


@pytest.mark.parametrize("how", ["option", "environment"])
def test_a_key_is_sent_and_never_shown(
    how: str, process: Cli, services: Services, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["-v", "fetch-load", "--retries", "1", NM, ENST]
    if how == "option":
        arguments += ["--api-key", KEY]
    else:
        monkeypatch.setenv("NCBI_API_KEY", KEY)
    services.script.append(recorded("efetch_rate_limit").edited("157.131.198.215", KEY))
    del services.script[0].headers["Retry-After"]  # type: ignore[union-attr]
    result = process(*arguments)
    assert result.code == 0
    assert "429 Too Many Requests" in result.err
    assert services.seen[0].fields["api_key"] == KEY
    assert_key_kept(result, services, root)


@pytest.mark.parametrize(
    "reply",
    [
        recorded("efetch_bad_key", key=KEY),
        Reply(404, "Not Found", {}, f"no {KEY.upper()} here".encode()),
        Reply(500, "Error", {}, f"{'x' * 80}{KEY}".encode()),
        Reply(200, "OK", {}, f"<ERROR>{KEY}</ERROR>".encode()),
        Reply(301, "Moved", {"Location": f"/?api_key={KEY}"}, b""),
    ],
    ids=["refused", "echoed", "half", "instead", "redirected"],
)
def test_a_key_is_not_shown_by_what_goes_wrong(
    reply: Reply, cli: Cli, services: Services, archive: Archive, root: Path
) -> None:
    services.always = lambda _seen: reply
    result = cli("-v", "fetch-load", "--api-key", KEY, NM, OTHER_NM)
    assert result.code == 9
    assert "Traceback" in result.err
    assert_key_kept(result, services, root)
    assert KEY[:20] not in result.err
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        refused = cli("-v", "fetch-load", "--api-key", KEY, "--ncbi-url", url, NM)
    assert refused.code == 9
    assert_key_kept(refused, services, root)


def test_a_bad_key_is_not_a_bad_accession(cli: Cli, services: Services) -> None:
    services.always = lambda _seen: recorded("efetch_bad_key", key=KEY)
    result = cli("fetch-load", "--api-key", KEY, NM, OTHER_NM)
    assert_refused(result, 9, "API key invalid")
    assert len(services.seen) == 1


# --- in the middle --------------------------------------------------------------------------------


def test_killed_in_the_middle_the_archive_is_as_it_was(
    cli: Cli, services: Services, archive: Archive, root: Path
) -> None:
    archive.store("GATTACA", ["lab:x"])
    before = contents(root)
    hold = threading.Event()
    services.script.append(lambda seen: efetch("nuccore", seen.ids))
    services.script.append(replace(recorded(f"ensembl_{bare(ENST)}"), hold=hold))
    command = [sys.executable, "-m", "seqarchive", "--root", str(root), "fetch-load", NM, ENST]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: len(services.seen) == 2)
        child.send_signal(signal.SIGKILL)
    finally:
        child.wait()
        hold.set()
    assert contents(root) == before
    assert cli("fetch-load", NM, ENST).code == 0
    assert archive.fetch(f"ensembl:{ENST}") == ORIGINALS[ENST]
    assert Counter(batch["kind"] for batch in archive.batches()) == {"store": 1, "fetch-load": 1}


def test_nothing_is_left_in_the_temporary_directory(
    cli: Cli, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    assert cli("fetch-load", NM).code == 0
    assert cli("fetch-load", ENST, "NM_111111.1").code == 3
    services.always = lambda _seen: Reply(500, "Error", {}, b"")
    assert cli("fetch-load", ENST).code == 9
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(("verb", "imports"), [("fetch-load", True), ("load", False)])
def test_no_other_command_waits_for_the_library_that_asks(verb: str, imports: bool) -> None:
    code = (
        "import sys, seqarchive.commands as c\n"
        f"c.run([{verb!r}, '--help'])\n"
        "print('requests' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == str(imports)
