"""Sources: where published files are read from. A directory, a web server, a bucket.

What a source gives is bytes that somebody else keeps: whoever asks checks them.
"""

from __future__ import annotations

import os


def is_remote(address: str | os.PathLike[str]) -> bool:
    """Whether an address is asked over a network: ``http(s)://`` or ``s3://``."""
    return os.fspath(address).partition("://")[0] in ("http", "https", "s3")
