"""What genomes consist of: GC content and skew in windows, gaps, and what is soft-masked."""

from __future__ import annotations

import numpy as np

from ...errors import BadInput
from ...letters import RESIDUES
from ..columns import Bools, Floats, Ints
from ..reference import Reference, runs_of
from ..track import INTERVAL, SIGNAL, IntervalTrack, SignalTrack
from .found import Found
from .molecules import Molecule, molecules
from .registry import BOOLEAN, INTEGER, STRING, Parameter, genome, operation
from .windows import WINDOW_PARAMS, Windows, signal_in_windows

_STRONG, _KNOWN = b"GCS", b"ACGTSW"


@operation(
    "genome.gc",
    "The share of G and C in windows along a genome.",
    inputs=[genome()],
    params=WINDOW_PARAMS,
    output=SIGNAL,
)
def gc(
    genome: Reference, *, window: int = 1000, step: int = 0, min_known: float = 0.0
) -> SignalTrack:
    """The share of strong letters (G, C, S) in those that are known to be strong or weak (A, C, G,
    T, U, S, W). N, and IUPAC's other letters, are not counted. A window in which nothing is known,
    or less than the share ``min_known`` of its residues, has no value.

    Where windows are, and which residues have their values, is said in ``Windows``.

    Raises:
        BadInput: There are too many windows.
    """
    windows = Windows.of(window, step)
    windows.require_room(genome)
    values = {}
    for molecule in molecules(genome):
        strong, known = windows.counts(molecule, [_STRONG, _KNOWN])
        values[molecule.chrom] = _shares(
            strong, known, _has_known(windows, molecule, known, min_known)
        )
    return signal_in_windows("genome.gc", genome, windows, values)


@operation(
    "genome.gc_skew",
    "How much more G than C there is in windows along a genome, in their sum.",
    inputs=[genome()],
    params=[
        *WINDOW_PARAMS,
        Parameter("cumulative", BOOLEAN, "add up the values from the first window on", False),
    ],
    output=SIGNAL,
)
def gc_skew(
    genome: Reference,
    *,
    window: int = 1000,
    step: int = 0,
    min_known: float = 0.0,
    cumulative: bool = False,
) -> SignalTrack:
    """(G - C) / (G + C) in windows as ``gc`` has them; other letters are not counted. A window
    without G and C, or with less than the share ``min_known`` of A, C, G, T, U, S and W, has no
    value.

    Args:
        cumulative: The value of a window is the sum of the values up to its own, from the first
            window of its chromosome on; windows without a value add nothing.

    Raises:
        BadInput: There are too many windows.
    """
    windows = Windows.of(window, step)
    windows.require_room(genome)
    values = {}
    for molecule in molecules(genome):
        g, c, known = windows.counts(molecule, [b"G", b"C", _KNOWN])
        skew = _shares(g - c, g + c, _has_known(windows, molecule, known, min_known))
        if cumulative:
            skew = np.where(np.isnan(skew), np.nan, np.nancumsum(skew))
        values[molecule.chrom] = skew
    return signal_in_windows("genome.gc_skew", genome, windows, values)


def _has_known(windows: Windows, molecule: Molecule, known: Ints, min_known: float) -> Bools:
    starts, ends = windows.bounds(molecule)
    found: Bools = known >= min_known * (ends - starts)
    return found


def _shares(part: Ints, whole: Ints, is_valid: Bools) -> Floats:
    found = np.full(len(part), np.nan)
    np.divide(part, whole, out=found, where=is_valid & (whole > 0))
    return found


@operation(
    "genome.gaps",
    "Where a genome is not known: runs of N, or of other letters.",
    inputs=[genome()],
    params=[
        Parameter("min_length", INTEGER, "residues of a run, at least", 1, minimum=1),
        Parameter("letters", STRING, "what a run consists of", "N"),
    ],
    output=INTERVAL,
)
def gaps(genome: Reference, *, min_length: int = 1, letters: str = "N") -> IntervalTrack:
    """Runs of some letters, as long as they are. U is T. A run across the origin of a circular
    molecule is one run, and two intervals (see ``Found``), with the tags ``part`` and ``of``.

    Raises:
        BadInput: A letter is not one that residues have, or there are too many runs.
    """
    some = letters.upper().replace("U", "T").encode("utf-8", "replace")
    if not some or any(letter not in RESIDUES for letter in some):
        raise BadInput(f"letters are some of {RESIDUES.decode('ascii')}, not {letters[:60]!r}")
    found = Found("genome.gaps")
    for molecule in molecules(genome):
        runs = _runs(molecule, bytes(dict.fromkeys(some)), min_length, found)
        if molecule.is_circular and len(runs) > 1:
            runs = _around(runs, molecule.length)
        runs = runs[runs[:, 1] - runs[:, 0] >= min_length]
        found.add(molecule, runs[:, 0], runs[:, 1])
    return found.track()


def _runs(molecule: Molecule, some: bytes, min_length: int, found: Found) -> Ints:
    """Starts and ends, in two columns; shorter ones at the ends of the molecule too."""
    tables, n_runs = [np.empty((0, 2), np.int64)], 0
    for start, n, letters in molecule.pieces():
        mask = letters == some[0]
        for letter in some[1:]:
            mask |= letters == letter
        runs = runs_of(mask)
        goes_on = (runs[:, 0] == 0) | (runs[:, 1] == n)
        runs = runs[goes_on | (runs[:, 1] - runs[:, 0] >= min_length)] + start
        tables.append(runs)
        n_runs += len(runs)
        found.require_room_for(n_runs)
    table = np.concatenate(tables)
    is_new = np.concatenate(([True], table[1:, 0] > table[:-1, 1]))[: len(table)]
    is_last = np.append(is_new[1:], True)[: len(table)]
    return np.column_stack((table[is_new, 0], table[is_last, 1]))


def _around(runs: Ints, length: int) -> Ints:
    """Join the last run to the first if they meet at the origin."""
    if runs[0, 0] != 0 or runs[-1, 1] != length:
        return runs
    joined: Ints = runs[1:].copy()
    joined[-1, 1] = length + runs[0, 1]
    return joined


@operation(
    "genome.soft_mask",
    "What is in lower case in the file that a genome was loaded from.",
    inputs=[genome()],
    output=INTERVAL,
)
def soft_mask(genome: Reference) -> IntervalTrack:
    """The runs of soft-masked residues, mostly repeats; those that meet at the origin of a
    circular molecule stay two."""
    found = Found("genome.soft_mask")
    for molecule in molecules(genome):
        runs = genome.masked(molecule.chrom)
        found.add(molecule, runs[:, 0], runs[:, 1])
    return found.track()
