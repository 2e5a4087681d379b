"""Make the archive that the tests of later versions read: run by a maintainer, once for a release.

    python tests/make_format_archive.py

writes ``tests/data/formats/VERSION.tar.gz`` (a root with ``master``, snapshots, tracks and an
exported RefgetStore) and ``VERSION.json``: what is in it, as ``independent_reader.py`` reads it,
which ``test_old_formats.py`` expects of every later version. Both are kept for ever; neither is
made again for a version that was released.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import shutil
import socket
import sqlite3
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pyBigWig
from biocommons.seqrepo import SeqRepo
from format_digest import digest_of_format
from independent_reader import read

from seqarchive import commands
from seqarchive.version import __version__

_DATA = Path(__file__).parent / "data"
FORMATS = _DATA / "formats"

#: Instances of the archive, and what makes each: see ``_make``.
INSTANCES = ("master", "r1", "r2")


class _Maker:
    """Runs commands on an archive that is being made, in the directory of its input files: no path
    of this machine comes into it."""

    def __call__(self, *arguments: str) -> str:
        out = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
        with contextlib.redirect_stdout(out):
            code = commands.run(["-q", "--root", "archive", *arguments])
        if code:
            sys.exit(f"{arguments} ended with {code}")
        out.seek(0)
        return out.read()

    def file(self, name: str, text: str) -> str:
        Path(name).write_text(text, encoding="utf-8", newline="\n")
        return name

    def data(self, path: str) -> str:
        shutil.copy(_DATA / path, ".")
        return Path(path).name


def _make(make: _Maker) -> None:
    make("init")
    phix = make.data("nucl/phiX174_NC_001422.1.fa")
    make("load", "-n", "refseq", phix)
    make("load", "-n", "refseq", make.data("transcripts/human_NM_small.fna"))
    # A circular molecule, and lower case that is kept.
    residues = "".join(Path(phix).read_text("ascii").split("\n")[1:])
    make("load", "-n", "refseq", make.file("phix.gb", _genbank("NC_001422.1", residues)))
    masked = (_DATA / "edge" / "NC_001802lc.fna").read_text("ascii")
    head, _, body = masked.partition("\n")
    half = len(body) // 2
    text = f"{head}\n{body[:half].upper()}{body[half:].lower()}>none\n"
    hiv = make.file("masked.fa", text)
    make("load", "-n", "lab", "--keep-mask", "--collection", "lab:hiv", hiv)
    # A name that moves, one that is retired, a load that was wrong and is gone.
    names = "lab\tcurrent\t{}\nlab\tspare\trefseq:NC_001422.1\n"
    make("import-aliases", make.file("a.tsv", names.format("refseq:NC_001422.1")))
    moved = make.file("b.tsv", names.format("refseq:NM_001004713.1"))
    make("import-aliases", "--on-conflict", "replace", moved)
    make("alias", "retire", "lab:spare")
    make("snapshot", "r1")
    make("load", "-n", "lab", make.file("wrong.fa", ">oops a wrong file\nMKVLAAGIVPSTW*\n"))
    wrong = json.loads(make("--json", "log").splitlines()[-1])["batch"]
    make("revert", str(wrong))
    make("repair", "--reclaim")
    make("digests", "add", "sha256")
    _adopt(make)
    _tracks(make)
    make("snapshot", "r2")
    make("load", "-n", "lab", make.file("later.fa", ">later after the last snapshot\nGATTACA\n"))
    make("export-rgstore", "--collection", "refgenie:base", "--collection", "lab:hiv")


def _genbank(version: str, residues: str) -> str:
    """A record of a circular molecule."""
    accession = version.partition(".")[0]
    lines = [
        f"LOCUS       {accession} {len(residues):>11} bp    DNA     circular PHG 06-JUL-2018",
        "DEFINITION  a circular phage.",
        f"ACCESSION   {accession}",
        f"VERSION     {version}",
        "FEATURES             Location/Qualifiers",
        "ORIGIN",
    ]
    for at in range(0, len(residues), 60):
        row = residues[at : at + 60].lower()
        blocks = " ".join(row[k : k + 10] for k in range(0, len(row), 10))
        lines.append(f"{at + 1:>9} {blocks}")
    return "\n".join([*lines, "//", ""])


def _adopt(make: _Maker) -> None:
    theirs = SeqRepo("seqrepo/master", writeable=True)
    for alias, residues in (("NM_1.1", "ACGGT" * 60), ("NP_1.1", "MKVLAAGG")):
        theirs.store(residues, [{"namespace": "NCBI", "alias": alias}])
    theirs.commit()
    make("import-seqrepo", "seqrepo/master")


def _tracks(make: _Maker) -> None:
    make("genome", "init", "-f", make.data("edge/refget_test_fasta/base.fa"), "-n", "base")
    fhr = make.data("edge/refget_test_fasta/sample_fhr.json")
    make("fhr", "set", "--partial", "refgenie:base", fhr)
    bed = "chrX\t0\t4\tone\t7\t+\nchrX\t2\t8\ttwo\t1.5\t-\nchr1\t1\t3\n"
    peaks = make("track", "put", "--genome", "base", make.file("peaks.bed", bed)).split()[0]
    with closing(pyBigWig.open("values.bw", "w")) as wig:
        wig.addHeader([("chrX", 8), ("chr1", 4), ("chr2", 4)])
        wig.addEntries(["chrX", "chrX"], [0, 3], ends=[2, 8], values=[1.25, -2.0])
        wig.addEntries(["chr2"], [1], ends=[3], values=[0.5])
    make("track", "put", "--genome", "base", "values.bw")
    counts = make.file("counts.tsv", "g1\t3\ng2\t0.5\n")
    make("track", "put", "--genome", "base", counts)
    make("track", "compute", "transform.clamp", "--input", peaks, "--param", "floor=2")


def _packed(root: Path, target: Path) -> None:
    """The root as one file: links as links, no locks, nobody's name."""
    with closing(sqlite3.connect(root / "master" / "aliases.sqlite3")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def without_owner(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if entry.name.endswith(("-wal", "-shm", ".lock")):
            return None
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        return entry

    with (
        open(target, "wb") as file,
        gzip.GzipFile("", "wb", 9, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        archive.add(root, "archive", filter=without_owner)


def unpacked(archive: Path, directory: Path) -> Path:
    """The root in a kept archive, in a directory."""
    with tarfile.open(archive) as packed:
        packed.extractall(directory, filter="tar")
    return directory / "archive"


def _expected(root: Path) -> Mapping[str, Any]:
    return {
        "version": __version__,
        "format": digest_of_format(),
        "instances": {name: read(root / name) for name in INSTANCES},
    }


def main() -> None:
    """Make both files."""
    FORMATS.mkdir(exist_ok=True)
    target = FORMATS / f"{__version__}.tar.gz"
    # Batches say who made them and where: these are kept for ever.
    os.environ["LOGNAME"] = "maintainer"
    socket.gethostname = lambda: "release"
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        make = _Maker()
        _make(make)
        _packed(Path("archive"), target)
        expected = _expected(unpacked(target, Path("unpacked")))
    text = json.dumps(expected, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    target.with_name(f"{__version__}.json").write_text(text, encoding="utf-8")
    print(f"{target}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
