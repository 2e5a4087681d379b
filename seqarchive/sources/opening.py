"""From an address to a source."""

from __future__ import annotations

import os

from ..errors import SourceError
from . import directory_at, is_remote
from .base import Destination, Source
from .directory import DirectorySource


def open_source(address: str | os.PathLike[str]) -> Source:
    """The source at an address: a path, ``file:///``, ``http(s)://`` or ``s3://``.

    Nothing is asked yet.

    Raises:
        SourceError: No such kind of address, or what it needs is not installed.
    """
    text = os.fspath(address)
    if not is_remote(text):
        return DirectorySource(directory_at(text))
    if text[:2].lower() == "s3":
        return open_bucket(text)
    from .http import HttpSource  # noqa: PLC0415  (0.1 s, for those who use a network)

    return HttpSource(text)


def open_bucket(address: str) -> Destination:
    """A bucket.

    Raises:
        SourceError: boto3 is not installed.
    """
    try:
        from .s3 import S3Source  # noqa: PLC0415  (an optional extra)
    except ImportError:
        raise SourceError(
            f"{address}: buckets need boto3; install it with `pip install 'seqarchive[s3]'`"
        ) from None
    return S3Source(address)
