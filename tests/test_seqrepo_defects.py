"""What SeqRepo gets wrong does not go wrong here: one test for each defect found by running it.

The numbers are those of the list of defects. D5 (fetch-load), D7 and D17 (snapshots), D11 (pull)
and D12 (assembly names) have test files of their own. Left out, because what it is about is not
part of this package yet, is D25 (the REST service); of D13, D19 and D22, what concerns REST and
upgrade.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli
from helpers import (
    computed,
    fasta,
    open_descriptors,
    parse_fasta,
    run_without_rights,
    sha512t24u,
    shards,
    shared_directory,
    sq,
    started,
    tree,
    wait_until,
    write_fasta,
)

import seqarchive
from seqarchive import Archive
from seqarchive.instances import Instance
from seqarchive.writing import initialise


def loaded(root: Path, file: Path, records: Any, **options: Any) -> Archive:
    """A new archive that records were loaded into under the namespace ``ref``."""
    initialise(Instance(root))
    archive = seqarchive.connect(root)
    archive.load(write_fasta(file, records), "ref", **options)
    return archive


@contextmanager
def loading(root: Path, text: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that loads what is written into it, and has begun with this."""
    command = [sys.executable, "-m", "seqarchive", "--root", str(root), "load", *arguments, "-"]
    pipe = subprocess.PIPE
    with started(command, stdin=pipe, stdout=pipe, stderr=pipe) as running:
        assert running.stdin is not None
        running.stdin.write(text.encode())
        running.stdin.flush()
        wait_until(lambda: any((root / "master" / "tmp").glob("*.fa.bgz")))
        yield running


def test_d1_sequences_that_differ_by_a_stop_or_a_gap_are_different_sequences(
    archive: Archive,
) -> None:
    """SeqRepo drops ``*`` from the digest but not from the text, and returns MKV* for MKV."""
    texts = ["MKV*", "MKV", "*" * 7 + "KLM", "*" * 36 + "KLM", "M-KV", "-MKV", "*", "**", ""]
    for n, text in enumerate(texts):
        archive[f"t:{n}"] = text
    archive["t:lower"] = "mkv*"
    archive["t:spaced"] = "M K\tV\n*"
    for n, text in enumerate(texts):
        assert archive.fetch(f"t:{n}") == text
        assert archive.find(f"t:{n}") == sha512t24u(text)
    assert len(archive) == len(texts)
    assert archive["t:lower"] == archive["t:spaced"] == archive["t:0"] == "MKV*"


def test_d2_a_load_that_fails_loses_nothing_for_ever(cli: Cli, root: Path, tmp_path: Path) -> None:
    """SeqRepo keeps sequences without digests after an exception, and never mends them."""
    file = tmp_path / "x.fa"
    file.write_text(">a\nACGT\n>b\nGGCC\n>c\nTT?T\n")
    assert cli("load", "-n", "refseq", file).code == 5
    assert json.loads(cli("--json", "status").out)["sequences"] == 0
    assert shards(root) == []  # SeqRepo 0.6 leaves a complete orphan
    file.write_text(file.read_text().replace("?", "A"))
    assert cli("load", "-n", "refseq", file).code == 0
    with seqarchive.connect(root) as archive:
        for name, text in (("a", "ACGT"), ("b", "GGCC"), ("c", "TTAT")):
            assert archive.translate(f"refseq:{name}") == [*computed(text), f"refseq:{name}"]
            for digest in computed(text):
                assert archive.fetch(digest) == text


def test_d3_a_killed_load_and_a_second_one_are_a_clean_one(
    cli: Cli, root: Path, tmp_path: Path
) -> None:
    """SeqRepo commits two databases; killed in between, digests are lost and nobody is told."""
    records = [(f"n{n}", f"{n:0300b}".replace("0", "G").replace("1", "T")) for n in range(8000)]
    text = fasta(records)
    half = text[: len(text) // 2]
    with loading(root, half, "--namespace", "ref", "--threads", "0") as running:
        running.kill()
    assert json.loads(cli("--json", "status").out)["sequences"] == 0
    verified = json.loads(cli("--json", "verify").out)
    assert verified["findings"] == []
    file = tmp_path / "x.fa"
    file.write_text(text)
    assert cli("load", "-n", "ref", file).code == 0
    assert cli("--root", tmp_path / "clean", "load", "-n", "ref", file).code == 0
    verified = json.loads(cli("--json", "verify", "--full").out)
    assert (verified["findings"], verified["left_over"]) == ([], [])
    assert cli("export").out == cli("--root", tmp_path / "clean", "export").out
    assert len(shards(root)) == len(shards(tmp_path / "clean"))
    assert cli("get", hashlib.md5(records[7][1].encode()).hexdigest()).out == records[7][1] + "\n"


def test_d4_digests_that_are_added_are_committed(cli: Cli, root: Path, tmp_path: Path) -> None:
    """SeqRepo's update-digests computes all that are missing and never commits them."""
    with loaded(root, tmp_path / "x.fa", {"a": "ACGT", "b": "GG"}) as archive:
        sha256 = "sha256:" + hashlib.sha256(b"GG").hexdigest()
        assert sha256 not in archive
        assert cli("digests", "add", "sha256").code == 0
        assert archive.fetch(sha256) == "GG"
    assert cli("translate", "ref:b", "--to", "sha256").out == sha256 + "\n"


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (1, 2, 0)])
def test_d6_an_empty_record_harms_nothing(
    cli: Cli, root: Path, tmp_path: Path, order: Sequence[int]
) -> None:
    """SeqRepo makes a shard with an empty record unreadable, and the export of everything die."""
    records = [("none", ""), ("a", "ACGT"), ("b", "GGCC")]
    records = [records[n] for n in order]
    with loaded(root, tmp_path / "x.fa", records) as archive:
        assert [archive.fetch("ref:" + name) for name, _ in records] == [t for _, t in records]
        assert archive.metadata("ref:none")["length"] == 0
        assert [str(sequence) for sequence in archive.sequences()] == [t for _, t in records]
        assert archive.find("ref:none") == sha512t24u("")
    exported = cli("export")
    assert (exported.code, exported.err) == (0, "")
    assert parse_fasta(exported.out) == [(f"{sq(t)} ref:{name}", t) for name, t in records]
    assert cli("get", "ref:none", "ref:a").out == "\nACGT\n"
    assert cli("verify", "--full").code == 0
    (shard,) = shards(root)
    assert sha512t24u("") not in shard.with_name(shard.name + ".fai").read_text()


def test_d8_forked_workers_read_the_right_sequences(root: Path, tmp_path: Path) -> None:
    """SeqRepo's workers share a file offset: thousands of errors and some wrong sequences."""
    records = {f"n{n}": f"{n:b}".replace("0", "A").replace("1", "C") * 40 for n in range(1, 300)}
    loaded(root, tmp_path / "x.fa", records, shard_bytes=4000).close()
    assert len(shards(root)) > 5
    script = tmp_path / "forks.py"
    script.write_text(
        "import json, os, random, sys, seqarchive\n"
        "records = json.loads(open(sys.argv[2]).read())\n"
        "archive = seqarchive.connect(sys.argv[1])\n"
        "names = list(records)\n"
        "for name in names: archive.fetch('ref:' + name)\n"
        "children = []\n"
        "for seed in range(4):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        choose = random.Random(seed)\n"
        "        wrong = 0\n"
        "        for name in choose.choices(names, k=1500):\n"
        "            at = choose.randrange(len(records[name]))\n"
        "            wrong += archive.fetch('ref:' + name, at) != records[name][at:]\n"
        "        os._exit(1 if wrong else 0)\n"
        "    children.append(pid)\n"
        "right = all(archive.fetch('ref:' + name) == records[name] for name in names)\n"
        "codes = [os.waitpid(pid, 0)[1] for pid in children]\n"
        "sys.exit(0 if right and codes == [0] * 4 else f'{right} {codes}')\n"
    )
    expected = tmp_path / "records.json"
    expected.write_text(json.dumps(records))
    done = subprocess.run(
        [sys.executable, str(script), str(root), str(expected)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_d9_an_alias_that_moved_is_not_answered_from_memory(archive: Archive) -> None:
    """SeqRepo goes on to answer with the sequence that the alias meant when it was first asked."""
    other = seqarchive.connect(archive.instance.root)
    archive["x:alias"] = "CCCC"
    assert archive.fetch("x:alias") == other.fetch("x:alias") == archive.fetch("alias") == "CCCC"
    archive.store("GGGG", ["x:alias"], on_conflict="replace")
    assert archive.fetch("x:alias") == other.fetch("x:alias") == archive.fetch("alias") == "GGGG"
    assert archive.translate("x:alias", "ga4gh") == [sq("GGGG")]
    assert archive["x:alias"] == "GGGG"
    other.close()


def test_d10_an_alias_is_not_moved_without_a_word(
    cli: Cli, archive: Archive, tmp_path: Path
) -> None:
    """SeqRepo moves an alias to another sequence silently, even inside one file."""
    archive["x:alias"] = "CCCC"
    with pytest.raises(seqarchive.AliasConflict, match="x:alias") as caught:
        archive["x:alias"] = "GGGG"
    assert len(caught.value.conflicts) == 1
    assert archive.fetch("x:alias") == "CCCC"
    inside = write_fasta(tmp_path / "x.fa", [("n", "AA"), ("n", "TT")])
    assert cli("load", "-n", "x", inside).code == 4
    assert len(archive) == 1
    moved = cli("--json", "load", "-n", "x", "--on-conflict", "replace", inside)
    assert len(json.loads(moved.out)["conflicts"]) == 1
    assert "x:n" in moved.err


def test_d13_no_other_program_is_needed(root: Path, tmp_path: Path) -> None:
    """SeqRepo needs bgzip to write, and the released one needs rsync even for ``init``."""
    nothing = tmp_path / "bin"
    nothing.mkdir()
    file = write_fasta(tmp_path / "x.fa", {"a": "ACGT" * 30_000})
    for arguments in (
        ["init"],
        ["load", "--namespace", "ref", str(file)],
        ["verify", "--full"],
        ["export"],
        ["get", "ref:a:0-4"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "seqarchive", "--root", str(root), *arguments],
            env={"PATH": str(nothing), "HOME": str(tmp_path)},
            check=False,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, ""), arguments
    assert done.stdout == "ACGT\n"


def test_d14_a_sequence_ends_and_behaves_like_a_sequence(archive: Archive) -> None:
    """SeqRepo's proxies never end when walked through, and know no negative position or step."""
    text = "ACGTTGCAAC"
    archive.store(text, ["x:a", "x:b"])
    sequence = archive["x:a"]
    assert "".join(sequence) == "".join(list(sequence)) == text
    assert "GTT" in sequence
    assert "GTA" not in sequence
    assert sequence.count("A") == 3
    assert (sequence[-1], sequence[-3:], sequence[2:-2]) == ("C", "AAC", "GTTGCA")
    assert (sequence[::1], sequence[::-1], sequence[::3]) == (text, text[::-1], text[::3])
    assert sequence == archive["x:b"]
    assert hash(sequence) == hash(archive["x:b"])
    with pytest.raises(IndexError):
        sequence[1000]
    with pytest.raises(IndexError):
        sequence[-11]


def test_d15_archives_that_are_dropped_keep_nothing_open(archive: Archive) -> None:
    """SeqRepo keeps every instance alive: 200 of them leak 400 descriptors."""
    archive["x:a"] = "ACGT"
    archive.close()
    gc.collect()
    before = open_descriptors()
    for _ in range(200):
        assert seqarchive.connect(archive.instance.root).fetch("x:a") == "ACGT"
    gc.collect()
    assert open_descriptors() <= before


def test_d16_readers_open_and_read_at_once_while_a_load_is_under_way(
    cli: Cli, root: Path, tmp_path: Path
) -> None:
    """SeqRepo's readers wait five seconds and fail, and a second writer fails without a word."""
    loaded(root, tmp_path / "x.fa", {"a": "ACGT"}).close()
    records = [(f"n{n}", f"{n:0100b}".replace("0", "G").replace("1", "T")) for n in range(40_000)]
    words = ("--namespace", "other", "--threads", "0")
    with loading(root, fasta(records), *words) as running:
        slowest = 0.0
        for _ in range(50):
            began = time.perf_counter()
            with seqarchive.connect(root) as archive:
                assert archive.fetch("ref:a") == "ACGT"
                assert len(archive) == 1
                assert "other:n1" not in archive
            slowest = max(slowest, time.perf_counter() - began)
        assert slowest < 4
        began = time.perf_counter()
        second = cli("load", "-n", "second", tmp_path / "x.fa")
        assert time.perf_counter() - began < 20  # who waits for a lock waits for a minute
        assert second.code == 7
        assert f"process {running.pid} on " in second.err
        out, err = running.communicate()
    assert (running.returncode, err) == (0, b"")
    assert b"40,000 records" in out
    assert cli("get", "other:n39999").out == records[-1][1] + "\n"


def test_d17_who_may_read_the_directory_can_read_the_archive() -> None:
    """SeqRepo makes directories that nobody but their owner may enter."""
    with shared_directory() as directory:
        root = directory / "archive"
        file = write_fasta(directory / "x.fa", {"a": "ACGT"})
        mask = os.umask(0o022)
        try:
            loaded(root, file, {"a": "ACGT"}).close()
        finally:
            os.umask(mask)
        for path in (root, *root.rglob("*")):
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode & 0o044 == 0o044, path
            assert not path.is_dir() or mode & 0o011 == 0o011, path
            assert not path.name.startswith("17") or not mode & 0o222, path
        (result,) = run_without_rights(["--root", str(root), "get", "ref:a"])
        assert result == (0, "ACGT\n", "")


def test_d18_an_alias_may_have_colons(archive: Archive) -> None:
    """SeqRepo's look-ups fail with ``too many values to unpack`` if an alias has a colon."""
    for alias in ("HLA:HLA00132", "a::b", "urn:x:y:1-2", ":leading", "ns:x"):
        archive[f"odd:{alias}"] = "ACGT"
        assert f"odd:{alias}" in archive
        assert archive[f"odd:{alias}"] == "ACGT"
        assert archive.fetch(alias) == "ACGT"
        assert f"odd:{alias}" in archive.translate(f"odd:{alias}")
        assert archive.split(f"odd:{alias}") == (f"odd:{alias}", None, None)
        assert archive.split(f"odd:{alias}:1-3") == (f"odd:{alias}", 1, 3)


def test_d19_a_wildcard_is_a_character_like_others(cli: Cli, archive: Archive) -> None:
    """SeqRepo hands names to LIKE: ``NM_%`` finds something, and so does ``%``."""
    archive["refseq:NM_000059.4"] = "ACGT"
    archive["odd:100%"] = "GG"
    archive["odd:HLA-A*01"] = "TT"
    for name in ("%", "NM_%", "refseq:NM_%", "refseq:NM?000059.4", "refseq:*", "NM_00005_.4"):
        assert name not in archive
        assert cli("get", name).code == 3
    assert archive.fetch("odd:100%") == "GG"
    assert archive.fetch("HLA-A*01") == "TT"
    assert "HLA-A?01" not in archive
    table = cli("export-aliases", "--glob", "NM_*").out.splitlines()
    assert [line.split("\t")[1] for line in table[1:]] == ["NM_000059.4"]


def test_d20_digests_are_found_in_all_their_spellings_and_in_no_others(archive: Archive) -> None:
    """SeqRepo knows neither bare digests nor ``md5:``, and takes ``ga4gh:XX.`` for ``SQ.``."""
    text = "ASINACORNER"
    archive["ncbi:NP_1.1"] = text
    sha512, sha1 = hashlib.sha512(text.encode()), hashlib.sha1(text.encode())
    digest = sha512t24u(text)
    right = [digest, f"SQ.{digest}", f"GS_{digest}", *computed(text), sha512.hexdigest()]
    right += [f"GA4GH:SQ.{digest}", f"SHA512T24U:{digest}", f"vmc:GS_{digest}"]
    right += [f"sha512:{sha512.hexdigest()}", f"MD5:{hashlib.md5(text.encode()).hexdigest()}"]
    right += [f"SHA1:{sha1.hexdigest().upper()}", sha1.hexdigest(), sha512.hexdigest()[:48]]
    right += ["seguid:aMQF/cdHkAayLkVYs8XV2u+Hy34", "aMQF/cdHkAayLkVYs8XV2u+Hy34"]
    right += ["RefSeq:NP_1.1", "REFSEQ:NP_1.1", "ncbi:NP_1.1", "NCBI:NP_1.1", "NP_1.1"]
    for name in right:
        assert archive.find(name) == digest, name
    wrong = [f"ga4gh:XX.{digest}", f"ga4gh:{digest}", f"VMC:{digest}", f"sha512t24u:SQ.{digest}"]
    wrong += [digest.lower(), digest[:-1], f"md5:{sha1.hexdigest()}", f"XX.{digest}"]
    wrong += [sha512.hexdigest()[:47], "md5:" + hashlib.md5(text.encode()).hexdigest()[:12]]
    for name in wrong:
        assert name not in archive, name


def test_d21_exports_are_complete_in_order_and_loadable(
    cli: Cli, root: Path, tmp_path: Path
) -> None:
    """SeqRepo truncates tables, orders by hash seed, repeats sequences, and cannot load its own."""
    records = [("a", "AA"), ("b", "CC"), ("c", "GG"), ("a2", "AA"), ("a3", "AA")]
    loaded(root, tmp_path / "x.fa", records).close()
    first = cli("export-aliases", "--namespace", "ref").out.splitlines()[1:]
    assert [line.split("\t")[1] for line in first] == ["a", "a2", "a3", "b", "c"]
    assert all(line.split("\t")[2].startswith("ga4gh:SQ.") for line in first)
    asked = ["c", "a2", "b", "a", "a3"]
    outputs = set()
    for seed in ("0", "1", "2"):
        command = [sys.executable, "-m", "seqarchive", "--root", str(root), "export", *asked]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(command, env=environment, capture_output=True, check=True)
        outputs.add(done.stdout.decode())
    (exported,) = outputs
    assert [text for _, text in parse_fasta(exported)] == ["GG", "AA", "CC"]
    assert cli("export", "a", "unknown").code == 3
    copy = tmp_path / "copy"
    assert cli("--root", copy, "load", "-n", "x", "-", stdin=exported.encode()).code == 0
    assert cli("--root", copy, "export", *asked).out == exported


def test_d22_a_dry_run_is_dry(cli: Cli, root: Path, tmp_path: Path) -> None:
    """SeqRepo's ``--dry-run load`` loads."""
    file = write_fasta(tmp_path / "x.fa", {"a": "ACGT"})
    assert cli("load", "--dry-run", "-n", "ref", file).code == 0
    assert not root.exists()
    assert cli("init").code == 0
    before = tree(root)
    assert cli("load", "-n", "ref", file, "--dry-run").code == 0
    assert tree(root) == before
    assert cli("get", "ref:a").code == 3


def test_d23_reading_between_two_stores_costs_no_shard(
    archive: Archive, root: Path, tmp_path: Path
) -> None:
    """SeqRepo closes the shard that is being filled at each fetch: ten pairs, ten shards.

    Here a batch is what is durable at once, and it makes one shard whoever reads meanwhile.
    """
    texts = [format(n, "012b").replace("0", "A").replace("1", "C") for n in range(2000)]
    stop = threading.Event()
    archive["x:first"] = "ACGT"

    def read() -> None:
        while not stop.is_set():
            assert archive.fetch("x:first") == "ACGT"

    reader = threading.Thread(target=read)
    reader.start()
    try:
        file = write_fasta(tmp_path / "x.fa", {f"n{n}": text for n, text in enumerate(texts)})
        report = archive.load(file, "x")
    finally:
        stop.set()
        reader.join()
    assert report.shards == 1
    assert len(shards(root)) == 2
    assert [archive.fetch(f"x:n{n}") for n in range(2000)] == texts


def test_d24_a_versionless_accession_is_treated_alike_under_every_spelling(
    cli: Cli, tmp_path: Path
) -> None:
    """SeqRepo refuses accessions without a version, but only under some spellings."""
    for namespace, accession in (("refseq", "NM_000059"), ("ensembl", "ENST00000380152")):
        file = write_fasta(tmp_path / "x.fa", {accession: "ACGT", accession + ".4": "GG"})
        spellings = {"refseq": ["RefSeq", "NCBI", "ncbi"], "ensembl": ["Ensembl", "ENSEMBL"]}
        for spelling in (namespace, *spellings[namespace]):
            root = tmp_path / f"root-{spelling}"
            done = cli("--root", root, "--json", "load", "-n", spelling, file)
            assert done.code == 0, spelling
            report = json.loads(done.out)
            assert (report["namespace"], report["versionless"]) == (namespace, 1)
            assert cli("--root", root, "get", f"{namespace}:{accession}").out == "ACGT\n"


def test_interrupting_one_writer_lets_the_next_one_write_at_once(
    cli: Cli, root: Path, tmp_path: Path
) -> None:
    """SeqRepo's killed writers leave hot journals and files that are never cleaned (D2, D16)."""
    text = fasta((f"n{n}", f"{n:0500b}".replace("0", "G").replace("1", "T")) for n in range(9000))
    with loading(root, text, "--namespace", "ref", "--threads", "0") as running:
        running.send_signal(signal.SIGKILL)
    assert list((root / "master" / "tmp").iterdir())
    assert cli("load", "-n", "x", write_fasta(tmp_path / "x.fa", {"a": "ACGT"})).code == 0
    assert list((root / "master" / "tmp").iterdir()) == []
    assert len(shards(root)) == 1
