"""Inputs: generated from a seed, the same on every machine; and real files where there are some.

As a program it writes FASTA to standard output that is too large to be kept in a file:

    python inputs.py long 1000000000        one record of 1 Gb on one line
    python inputs.py short 200000           200,000 records of 1 kb
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from contestants import NAMESPACE

Residues = npt.NDArray[np.uint8]

SEED = 20_240_501
COLUMNS = 60

#: Residues of a random read.
READ = 100

CHR20 = "human_g1k_v37.chr20.fa.gz"

_ACGT: Residues = np.frombuffer(b"ACGT", dtype=np.uint8)
_N, _NEWLINE = ord("N"), ord("\n")


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    transcripts: int
    transcript_residues: int
    chromosomes: tuple[int, ...]
    big: int
    """Sequences of the archive that is opened and added to."""
    reads: int
    long_record: int
    """Residues of the one record of a pipe; 0 leaves it out."""
    short_records: int
    """Records of 1 kb from a pipe."""


FULL = Scale(
    transcripts=20_000,
    transcript_residues=50_000_000,
    chromosomes=(40_000_000, 30_000_000, 20_000_000, 10_000_000),
    big=1_000_000,
    reads=10_000,
    long_record=1_000_000_000,
    short_records=200_000,
)
QUICK = Scale(
    transcripts=2_000,
    transcript_residues=5_000_000,
    chromosomes=(4_000_000, 3_000_000, 2_000_000, 1_000_000),
    big=20_000,
    reads=1_000,
    long_record=0,
    short_records=20_000,
)


class Read(NamedTuple):
    """A random read, by either name of the sequence, and what comes out if it is right."""

    alias: str
    digest: str
    start: int
    end: int
    expected: str


@dataclass(frozen=True)
class Dataset:
    """A FASTA file, and what is asked for after it was loaded."""

    name: str
    fasta: Path
    aliases: list[str]
    reads: list[Read]

    def write_reads(self, directory: Path, limit: int) -> Path:
        """The first reads as JSON, for a process that measures."""
        path = directory / f"{self.name}.{limit}.reads.json"
        path.write_text(json.dumps([read[:4] for read in self.reads[:limit]]))
        return path

    def write_identifiers(self, directory: Path) -> Path:
        """All identifiers as JSON, likewise."""
        path = directory / f"{self.name}.identifiers.json"
        path.write_text(json.dumps([f"{NAMESPACE}:{alias}" for alias in self.aliases]))
        return path


def sha512t24u(residues: bytes) -> str:
    """The digest that GA4GH and gtars name sequences by."""
    return base64.urlsafe_b64encode(hashlib.sha512(residues).digest()[:24]).decode()


def transcripts(directory: Path, scale: Scale) -> Dataset:
    """Many sequences of log-normal length, 2.5 kb on average."""
    rng = np.random.default_rng(SEED)
    drawn = rng.lognormal(np.log(1945), 0.7085, scale.transcripts)
    drawn *= scale.transcript_residues / drawn.sum()
    lengths = np.maximum(drawn.astype(np.int64), 200)
    lengths[int(np.argmax(lengths))] += scale.transcript_residues - lengths.sum()
    residues = _random(rng, int(lengths.sum()))
    ends = np.cumsum(lengths)
    sequences = {
        f"NM_{number:06d}.1": residues[end - length : end]
        for number, (length, end) in enumerate(zip(lengths, ends, strict=True), 1)
    }
    # Some twice, as random reads are: no more files than gtars keeps open (8,192).
    chosen = rng.integers(0, len(sequences), scale.reads)
    return _dataset(directory, "transcripts", sequences, [int(n) for n in chosen], rng)


def chromosomes(directory: Path, scale: Scale) -> Dataset:
    """Four long sequences, the last with a run of N."""
    rng = np.random.default_rng(SEED + 1)
    sequences = {
        f"NC_{number:06d}.1": _random(rng, length)
        for number, length in enumerate(scale.chromosomes, 1)
    }
    last = list(sequences.values())[-1]
    last[len(last) // 3 : len(last) // 2] = _N
    weights = np.array(scale.chromosomes) / sum(scale.chromosomes)
    chosen = rng.choice(len(sequences), scale.reads, p=weights)
    return _dataset(directory, "chromosomes", sequences, [int(n) for n in chosen], rng)


def chr20(directory: Path | None) -> Path | None:
    """Human chromosome 20, if the directory has it somewhere."""
    if directory is None:
        return None
    return next(iter(sorted(directory.rglob(CHR20))), None)


def many_short(directory: Path, n_records: int) -> Dataset:
    """A great number of sequences of 60 residues."""
    rng = np.random.default_rng(SEED + 2)
    fasta = directory / "many.fa"
    aliases: list[str] = []
    with open(fasta, "wb") as file:
        for at in range(0, n_records, 100_000):
            n = min(100_000, n_records - at)
            rows = _random(rng, n * COLUMNS).tobytes()
            names = [f"XM_{at + i:08d}.1" for i in range(n)]
            aliases += names
            file.write(
                b"".join(
                    b">%s\n%s\n" % (name.encode(), rows[i * COLUMNS : (i + 1) * COLUMNS])
                    for i, name in enumerate(names)
                )
            )
    digest = sha512t24u(rows[-COLUMNS:])
    last = Read(aliases[-1], digest, 10, 50, rows[-COLUMNS:][10:50].decode())
    return Dataset("many", fasta, aliases, [last])


def one_record(directory: Path, number: int) -> Path:
    """A file with one short sequence, another for each number."""
    rng = np.random.default_rng([SEED, 3, number])
    fasta = directory / f"one-{number}.fa"
    fasta.write_bytes(b">ONE_%06d.1\n%s\n" % (number, _random(rng, 50).tobytes()))
    return fasta


def _random(rng: np.random.Generator, n: int) -> Residues:
    return _ACGT[rng.integers(0, 4, n, dtype=np.uint8)]


def _dataset(
    directory: Path,
    name: str,
    sequences: dict[str, Residues],
    chosen: list[int],
    rng: np.random.Generator,
) -> Dataset:
    fasta = directory / f"{name}.fa"
    with open(fasta, "wb") as file:
        for alias, residues in sequences.items():
            file.write(b">%s generated, seed %d\n" % (alias.encode(), SEED))
            file.write(_wrapped(residues))
    aliases = list(sequences)
    digests = {n: sha512t24u(sequences[aliases[n]].tobytes()) for n in set(chosen)}
    reads = []
    for n in chosen:
        residues = sequences[aliases[n]]
        start = int(rng.integers(0, len(residues) - READ))
        expected = residues[start : start + READ].tobytes().decode()
        reads.append(Read(aliases[n], digests[n], start, start + READ, expected))
    return Dataset(name, fasta, aliases, reads)


def _wrapped(residues: Residues) -> bytes:
    whole = len(residues) - len(residues) % COLUMNS
    lines = np.full((whole // COLUMNS, COLUMNS + 1), _NEWLINE, dtype=np.uint8)
    lines[:, :COLUMNS] = residues[:whole].reshape(-1, COLUMNS)
    rest = residues[whole:].tobytes()
    return lines.tobytes() + (rest + b"\n" if rest else b"")


# --- streams ----------------------------------------------------------------------------------


def stream(kind: str, n: int) -> Iterator[bytes]:
    """FASTA in pieces: one record of n residues (``long``), or n records of 1 kb (``short``)
    or 1 Mb (``megabase``)."""
    rng = np.random.default_rng(SEED + 4)
    if kind == "long":
        yield b">long\n"
        for at in range(0, n, 1 << 22):
            yield _random(rng, min(1 << 22, n - at)).tobytes()
        yield b"\n"
        return
    length = {"short": 1000, "megabase": 1_000_000}[kind]
    for number in range(n):
        yield b">%s%08d.1\n%s\n" % (kind.encode(), number, _random(rng, length).tobytes())


if __name__ == "__main__":
    for piece in stream(sys.argv[1], int(sys.argv[2])):
        sys.stdout.buffer.write(piece)
