"""What can be computed: small pure functions over genomes and tracks."""

from . import (
    annotating,
    binning,
    comparing,
    composition,
    cpg_islands,
    enzymes,
    kmers,
    motifs,
    orfs,
    overlaps,
    summarizing,
    transforms,
)
from .registry import GENOME, OPERATIONS, Input, Operation, Parameter, operation, operation_of

__all__ = [
    "GENOME",
    "OPERATIONS",
    "Input",
    "Operation",
    "Parameter",
    "annotating",
    "binning",
    "comparing",
    "composition",
    "cpg_islands",
    "enzymes",
    "kmers",
    "motifs",
    "operation",
    "operation_of",
    "orfs",
    "overlaps",
    "summarizing",
    "transforms",
]
