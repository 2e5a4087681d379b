"""Signing and checking manifests, for those who have what it needs installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SeqArchiveError

if TYPE_CHECKING:
    from types import ModuleType


def _signatures() -> ModuleType:
    try:
        from . import signatures  # noqa: PLC0415  (an optional extra)
    except ImportError:
        raise SeqArchiveError(
            "signatures need cryptography; install it with `pip install 'seqarchive[sign]'`"
        ) from None
    return signatures


def sign(manifest: bytes, key: Path, passphrase: Callable[[], bytes]) -> bytes:
    """The signature of a manifest.

    Raises:
        BadInput: The key is not one that can sign.
    """
    signature: bytes = _signatures().sign(manifest, key, passphrase)
    return signature


def public_keys(path: Path) -> list[bytes]:
    """The keys of a file of public keys. Raises BadInput."""
    keys: list[bytes] = _signatures().read_public_keys(path)
    return keys


def signer(manifest: bytes, signature: bytes, keys: list[bytes], what: str) -> str:
    """The fingerprint of the key that signed a manifest.

    Raises:
        SourceError: It was none of ``keys``.
    """
    found: str = _signatures().verify(manifest, signature, keys, what)
    return found
