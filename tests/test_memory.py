"""Memory depends neither on the length of a record nor on what a small file expands to.

A small process starts the command and reports the peak of it and of its workers, because the
peak of a child begins with what its parent had.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
import subprocess
import sys
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
import zstandard
from biocommons.seqrepo import SeqRepo

from seqarchive import connect
from seqarchive.bgzf import BLOCK_SIZE, EOF_BLOCK, Compression, compress_block, compress_blocks

#: Bytes of text that are loaded, and the limit.
MEGABYTES = 250
LIMIT_MB = 200

#: What a frame of ``zstd --long`` looks back at.
WINDOW_MB = (128 << 20) / 1e6

_LAUNCHER = """
import json, os, resource, subprocess, sys
done = subprocess.run(sys.argv[1:])
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # kB
print(json.dumps({"code": done.returncode, "peak_mb": peak / 1000}))
"""

_GENERATOR = """
import sys
out = sys.stdout.buffer
out.write(b">long one line\\n")
for n in range(int(sys.argv[1])):
    out.write((b"%07d" % n).translate(bytes.maketrans(b"0123456789", b"ACGTNWSKMY")))
    out.write(b"ACGTTGCAN" * 111111)
out.write(b"\\n>next\\nACGT\\n")
"""


def residues() -> Iterator[bytes]:
    """What the generator writes as one line, in pieces."""
    table = bytes.maketrans(b"0123456789", b"ACGTNWSKMY")
    for n in range(MEGABYTES):
        yield (b"%07d" % n).translate(table) + b"ACGTTGCAN" * 111_111


def sha512t24u(pieces: Iterator[bytes]) -> str:
    sha512 = hashlib.sha512()
    for piece in pieces:
        sha512.update(piece)
    return urlsafe_b64encode(sha512.digest()[:24]).decode()


def loaded(root: Path, name: str, stdin: int | None = None) -> dict[str, float]:
    """Load a file in a process of its own; how it ended and its peak in MB."""
    return ran(root, "load", "--namespace", "t", name, stdin=stdin)


def ran(root: Path, *arguments: str, stdin: int | None = None) -> dict[str, float]:
    """Run a command in a process of its own; how it ended and its peak in MB."""
    command = [sys.executable, "-m", "seqarchive", "--root", str(root), "--json", *arguments]
    done = subprocess.run(
        [sys.executable, "-c", _LAUNCHER, *command], stdin=stdin, capture_output=True, check=True
    )
    last: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    assert last["code"] == 0, done.stderr.decode()
    return last


def test_a_record_of_any_length_needs_little_memory(root: Path) -> None:
    command = [sys.executable, "-c", _GENERATOR, str(MEGABYTES)]
    generator = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert generator.stdout is not None
    with generator.stdout as pipe:
        peak = loaded(root, "-", pipe.fileno())["peak_mb"]
    assert generator.wait() == 0
    assert peak < LIMIT_MB
    with connect(root) as archive:
        assert len(archive["t:long"]) == sum(map(len, residues()))
        assert archive.find("t:long") == sha512t24u(residues())
        assert archive.fetch("t:next") == "ACGT"
        first_two = b"".join(islice(residues(), 2)).decode()
        assert archive.fetch("t:long", 1_000_000, 1_000_020) == first_two[1_000_000:1_000_020]


def gzip_bomb(path: Path) -> None:
    compressor = zlib.compressobj(1, wbits=31)
    with open(path, "wb") as file:
        file.write(compressor.compress(b">bomb\n"))
        for _ in range(MEGABYTES):
            file.write(compressor.compress(b"A" * 1_000_000))
        file.write(compressor.flush())


def zstd_bomb(path: Path) -> None:
    _zstd(path, zstandard.ZstdCompressor())


def zstd_bomb_with_a_long_window(path: Path) -> None:
    """As ``zstd --long`` makes it, which every zstd decompresses: 128 MB to look back at."""
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=27)
    _zstd(path, zstandard.ZstdCompressor(compression_params=parameters))


def _zstd(path: Path, compressor: zstandard.ZstdCompressor) -> None:
    with open(path, "wb") as file, compressor.stream_writer(file) as writer:
        writer.write(b">bomb\n")
        for _ in range(MEGABYTES):
            writer.write(b"A" * 1_000_000)


def xz_bomb(path: Path) -> None:
    # As much to look back at as the highest preset has, with the haste of the lowest.
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 64 << 20}]
    with lzma.open(path, "wb", filters=filters) as file:
        file.write(b">bomb\n")
        for _ in range(MEGABYTES):
            file.write(b"A" * 1_000_000)


@pytest.mark.parametrize(
    ("bomb", "limit_mb"),
    [
        (gzip_bomb, LIMIT_MB),
        (zstd_bomb, LIMIT_MB),
        # What has to be looked back at, and as much again as any load needs.
        (zstd_bomb_with_a_long_window, WINDOW_MB + 110),
        (xz_bomb, LIMIT_MB),
    ],
)
def test_a_small_file_that_expands_needs_little_memory(
    root: Path, tmp_path: Path, bomb: Callable[[Path], None], limit_mb: float
) -> None:
    path = tmp_path / "bomb"
    bomb(path)
    assert path.stat().st_size < 2_000_000
    assert loaded(root, str(path))["peak_mb"] < limit_mb
    with connect(root) as archive:
        assert len(archive["t:bomb"]) == MEGABYTES * 1_000_000


@pytest.mark.filterwarnings("ignore:The default (datetime|timestamp):DeprecationWarning")
@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
def test_a_small_shard_of_seqrepo_that_expands_needs_little_memory(
    root: Path, tmp_path: Path
) -> None:
    """One without an index, in which a line is as long as the shard is large."""
    theirs = SeqRepo(str(tmp_path / "seqrepo"), writeable=True)
    theirs.store("ACGT" * 50, [{"namespace": "t", "alias": "small"}])
    theirs.commit()
    (shard,) = (tmp_path / "seqrepo" / "sequences").rglob("*.fa.bgz")
    shard.with_name(shard.name + ".fai").unlink()
    shard.chmod(0o644)
    small = gzip.decompress(shard.read_bytes())
    full = compress_block(b"A" * BLOCK_SIZE, Compression.SMALL)
    n_blocks = MEGABYTES * 1_000_000 // BLOCK_SIZE
    ends = [b"".join(compress_blocks(text)) for text in (small + b">" + b"B" * 32 + b"\n", b"\n")]
    shard.write_bytes(ends[0] + full * n_blocks + ends[1] + EOF_BLOCK)
    assert shard.stat().st_size < 2_000_000
    assert ran(root, "import-seqrepo", str(tmp_path / "seqrepo"))["peak_mb"] < LIMIT_MB
    with connect(root) as archive:
        assert archive.fetch("t:small") == "ACGT" * 50
