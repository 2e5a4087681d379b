"""FASTA files of collections, and where they are."""

from __future__ import annotations

from typing import NamedTuple

from ..identifiers import Digest


class Access(NamedTuple):
    """A way to the bytes of a file."""

    type: str
    """``s3``, ``https``, ..., as DRS calls it."""
    url: str
    cloud: str | None = None
    region: str | None = None


class FileFacts(NamedTuple):
    """What a file is, as a file."""

    name: str
    size: int
    """Bytes."""
    sha256: str
    """In hexadecimal, as the others."""
    md5: str
    sha512: str
    mime_type: str
    description: str | None = None


class RegisteredFile(NamedTuple):
    """A file of a registry."""

    id: str
    collection: Digest
    created: str
    """ISO 8601, UTC."""
    facts: FileFacts
    access: tuple[Access, ...]
