"""Sources: where published files are read from. A directory, a web server, a bucket.

What a source gives is bytes that somebody else keeps: whoever asks checks them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..errors import SourceError


def shown(address: str) -> str:
    """An address as it may be shown: without a name and a password in it."""
    return re.sub(r"://.*@", "://", address, flags=re.DOTALL)


def is_remote(address: str | os.PathLike[str]) -> bool:
    """Whether an address is asked over a network: ``http(s)://`` or ``s3://``."""
    return os.fspath(address).partition("://")[0].lower() in ("http", "https", "s3")


def directory_at(address: str | os.PathLike[str]) -> Path:
    """The path that an address is, which may be one with ``file:///``.

    Raises:
        SourceError: It is another kind of address.
    """
    text = os.fspath(address)
    if "://" not in text:
        return Path(text)
    try:
        parts = urlsplit(text)
        if parts.scheme == "file" and parts.netloc in ("", "localhost"):
            return Path(unquote(parts.path))
    except ValueError:  # no address at all
        pass
    raise SourceError(
        f"{shown(text)}: only directories, file:///, http(s):// and s3:// are understood"
    )
