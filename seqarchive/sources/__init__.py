"""Sources: where published files are read from. A directory, a web server, a bucket.

What a source gives is bytes that somebody else keeps: whoever asks checks them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..errors import SourceError

#: What vrs-python has before the address of a SeqRepo, be it a directory or a service.
SEQREPO = "seqrepo+"

#: What stands in for no password: a key may have a slash in it, but then it has no dot.
_HOST = re.compile(r"(?:[A-Za-z0-9-]{1,63}\.){1,126}[A-Za-z0-9-]{1,63}")
_BUCKET = re.compile(r"[a-z0-9.-]{3,63}")


def shown(address: str) -> str:
    """An address as it may be shown: without a name and a password in it.

    A password may have any character, so that everything before the last ``@`` may be one: unless
    what comes first can only be a host, or a bucket.
    """
    scheme, colon, rest = address.partition("://")
    first, slash, _ = rest.partition("/")
    is_plain = (_BUCKET if scheme.lower() == "s3" else _HOST).fullmatch(first) is not None
    return scheme + colon + (rest if slash and is_plain else rest.rpartition("@")[2])


def is_remote(address: str | os.PathLike[str]) -> bool:
    """Whether an address is asked over a network: ``http(s)://`` or ``s3://``."""
    scheme = os.fspath(address).partition("://")[0].lower()
    return scheme.removeprefix(SEQREPO) in ("http", "https", "s3")


def directory_at(address: str | os.PathLike[str]) -> Path:
    """The path that an address is, which may be one with ``file:///`` or ``seqrepo+file:///``.

    Raises:
        SourceError: It is another kind of address.
    """
    text = os.fspath(address)
    if "://" not in text:
        return Path(text)
    try:
        parts = urlsplit(text.removeprefix(SEQREPO))
        if parts.scheme == "file" and parts.netloc in ("", "localhost"):
            return Path(unquote(parts.path))
    except ValueError:  # no address at all
        pass
    raise SourceError(
        f"{shown(text)}: only directories, file:///, http(s):// and s3:// are understood"
    )
