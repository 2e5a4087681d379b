"""From an address to a source."""

from __future__ import annotations

import os
from urllib.parse import unquote, urlsplit

from ..errors import SourceError
from .base import Destination, Source
from .directory import DirectorySource
from .http import HttpSource


def open_source(address: str | os.PathLike[str]) -> Source:
    """The source at an address: a path, ``file:///``, ``http(s)://`` or ``s3://``.

    Nothing is asked yet.

    Raises:
        SourceError: No such kind of address, or what it needs is not installed.
    """
    text = os.fspath(address)
    scheme, separator, _ = text.partition("://")
    if not separator:
        return DirectorySource(text)
    if scheme == "file":
        parts = urlsplit(text)
        if parts.netloc in ("", "localhost"):
            return DirectorySource(unquote(parts.path))
    if scheme in ("http", "https"):
        return HttpSource(text)
    if scheme == "s3":
        return open_bucket(text)
    raise SourceError(f"{text}: only directories, file:///, http(s):// and s3:// can be read")


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
