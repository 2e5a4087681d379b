"""FASTA as large as one likes, generated from a seed, tenth by tenth.

As a program it writes a tenth to files and prints what ``scale_worker.py`` asks for later:

    python scale_inputs.py short 1000000 TENTH DIRECTORY
    python scale_inputs.py long 1000000000 TENTH DIRECTORY

The short ones are proteins of 100 to 400 residues with two names each, one of which ascends while
the other comes in no order. The long ones are chromosomes of 100 Mb with runs of N and lower case.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from inputs import SEED, sha512t24u

Bytes = npt.NDArray[np.uint8]

TENTHS = 10
COLUMNS = 60
CHROMOSOME = 100_000_000

#: Records of which digests, names and residues are kept, to be asked for.
SAMPLES = 200

_SHORTEST, _LONGEST = 100, 400

#: Records that are made at one time.
_SOME = 20_000

_NEWLINE, _N = ord("\n"), ord("N")

#: How often letters are in proteins, in 256ths: roughly as in UniProt.
_PROTEIN = "A21C4D14E16F10G18H6I14K15L25M6N11P12Q10R13S18T14V17W3Y9"

#: A prime above any number of records: ``n * _STEP % _PRIME`` is another number for each n.
_PRIME, _STEP = 4_294_967_291, 1_640_531_527


def _letters(said: str) -> Bytes:
    found: list[int] = []
    letter = ""
    number = ""
    for character in f"{said}.":
        if character.isdigit():
            number += character
            continue
        found += [ord(letter)] * int(number) if letter else []
        letter, number = character, ""
    if len(found) != 256:
        raise ValueError(f"{len(found)} letters, not 256")
    return np.array(found, dtype=np.uint8)


def gi(number: int) -> int:
    """The second name of record ``number``: distinct, and in no order."""
    return number * _STEP % _PRIME


def short_records(first: int, n: int) -> Iterator[bytes]:
    """Records ``first`` to ``first + n`` as FASTA, one by one."""
    letters = _letters(_PROTEIN)
    rows = -(-_LONGEST // COLUMNS)
    for at in range(first, first + n, _SOME):
        rng = np.random.default_rng([SEED, 5, at])
        lengths = rng.integers(_SHORTEST, _LONGEST + 1, _SOME).tolist()
        lines = np.full((_SOME, rows, COLUMNS + 1), _NEWLINE, dtype=np.uint8)
        lines[:, :, :COLUMNS] = letters[
            rng.integers(0, 256, (_SOME, rows, COLUMNS), dtype=np.uint8)
        ]
        width = rows * (COLUMNS + 1)
        text = lines.tobytes()
        for i in range(min(_SOME, first + n - at)):
            length = lengths[i] + (lengths[i] - 1) // COLUMNS
            begin = i * width
            yield b">gi|%d|ref|XP_%010d.1| protein %d\n%s\n" % (
                gi(at + i), at + i, at + i, text[begin : begin + length]
            )


def chromosome(number: int) -> Bytes:
    """The residues of a chromosome, a fifth of them in lower case, a hundredth N."""
    rng = np.random.default_rng([SEED, 6, number])
    residues = np.frombuffer(b"ACGT", dtype=np.uint8)[
        rng.integers(0, 4, CHROMOSOME, dtype=np.uint8)
    ]
    for at in range(0, CHROMOSOME, 1_000_000):
        residues[at : at + 200_000] |= 0x20
    middle = int(rng.integers(CHROMOSOME // 4, CHROMOSOME // 2))
    residues[middle : middle + CHROMOSOME // 100] = _N
    return residues


def write_short(directory: Path, total: int, tenth: int) -> list[dict[str, object]]:
    """Write a tenth of ``total`` records. Returns samples of them."""
    asked: list[dict[str, object]] = []
    each = total // TENTHS
    step = max(1, total // SAMPLES)
    with open(directory / f"{tenth}.fa", "wb", buffering=1 << 20) as file:
        for n, record in enumerate(short_records(tenth * each, each), tenth * each):
            file.write(record)
            if n % step == step // 2:
                residues = record.partition(b"\n")[2].replace(b"\n", b"")
                asked.append(_sample(f"refseq:XP_{n:010d}.1", f"gi:{gi(n)}", residues))
    return asked


def write_long(directory: Path, total: int, tenth: int) -> list[dict[str, object]]:
    """Write the chromosomes of a tenth of ``total`` residues, each to a file. Returns samples."""
    asked: list[dict[str, object]] = []
    each = total // TENTHS // CHROMOSOME
    for number in range(tenth * each, (tenth + 1) * each):
        residues = chromosome(number)
        with open(directory / f"{number}.fa", "wb") as file:
            file.write(b">CM%06d.1 chromosome %d\n" % (number, number))
            whole = CHROMOSOME - CHROMOSOME % COLUMNS
            lines = np.full((whole // COLUMNS, COLUMNS + 1), _NEWLINE, dtype=np.uint8)
            lines[:, :COLUMNS] = residues[:whole].reshape(-1, COLUMNS)
            file.write(lines.data)
            file.write(residues[whole:].tobytes() + b"\n")
        upper = residues.tobytes().upper()
        asked.append(_sample(f"insdc:CM{number:06d}.1", "", upper))
    return asked


def _sample(name: str, other: str, residues: bytes) -> dict[str, object]:
    start = len(residues) // 3
    return {
        "name": name,
        "other": other,
        "digest": sha512t24u(residues),
        "length": len(residues),
        "start": start,
        "expected": residues[start : start + 50].decode(),
    }


if __name__ == "__main__":
    kind, number, tenth, place = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    write = {"short": write_short, "long": write_long}[kind]
    print(json.dumps(write(place, number, tenth)))
