"""The collection that a file is, without loading it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

from ..errors import BadInput
from ..identifiers import digest_of, digest_text
from ..inputs import decompressed, open_input
from ..records import Group, LongRecord, Record, first_word, read_records, records_in
from .digests import Member

Progress = Callable[[int], None]


def members_of_file(name: str, progress: Progress = lambda _n: None) -> Iterator[Member]:
    """The members of a file of sequences, in its order; ``-`` is standard input.

    Args:
        progress: Called with numbers of residues that were hashed.

    Raises:
        NotFound: No such file. BadInput: A record or a file that is not right.
    """
    with open_input(name) as source:
        _, found = read_records(decompressed(source), source.label)
        for item in found:
            if isinstance(item, BadInput):
                raise _named(item, source.label)
            if isinstance(item, Group):
                for record in records_in(item):
                    if isinstance(record, BadInput):
                        raise _named(record, source.label)
                    yield _member(record)
                    progress(len(record.residues))
            elif isinstance(item, LongRecord):
                yield _long_member(item, progress)
            else:
                yield _member(item)
                progress(len(item.residues))


def _named(error: BadInput, label: str) -> BadInput:
    return error if error.file else BadInput(error.message, file=label, line=error.line)


def _member(record: Record) -> Member:
    return Member(first_word(record.defline), len(record.residues), digest_of(record.residues))


def _long_member(record: LongRecord, progress: Progress) -> Member:
    sha512, length = hashlib.sha512(), 0
    for residues, _ in record.pieces:
        sha512.update(residues)
        length += len(residues)
        progress(len(residues))
    return Member(first_word(record.defline), length, digest_text(sha512.digest()[:24]))
