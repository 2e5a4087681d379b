"""SSH signatures by Ed25519 keys: what ``ssh-keygen -Y sign`` writes and ``-Y verify`` reads.

The format is that of OpenSSH's PROTOCOL.sshsig. The namespace of the signature is "seqarchive",
so that what was signed for another purpose is no signature of a release.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_ssh_private_key,
)
from cryptography.hazmat.primitives.serialization.ssh import SSHPrivateKeyTypes

from ..errors import BadInput, SourceError

NAMESPACE = b"seqarchive"

_MAGIC = b"SSHSIG"
_VERSION = 1
_TYPE = b"ssh-ed25519"
_HASH = b"sha512"
_HASHES = {b"sha512": hashlib.sha512, b"sha256": hashlib.sha256}
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_COLUMNS = 70

_KEY_TYPE = re.compile(r"(sk-)?(ssh|ecdsa)-[a-z0-9-]+(@openssh\.com)?\Z", re.ASCII)

#: The options that a line of allowed signers may have here.
_NAMESPACES = re.compile(r'namespaces="([^"]*)"\Z')


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _take(data: bytes) -> tuple[bytes, bytes]:
    """A string, and what follows it."""
    (length,) = struct.unpack_from(">I", data)
    if len(data) < 4 + length:
        raise ValueError("truncated")
    return data[4 : 4 + length], data[4 + length :]


def _signed(message: bytes, namespace: bytes, hash_name: bytes) -> bytes:
    digest = _HASHES[hash_name](message).digest()
    return _MAGIC + b"".join(map(_string, (namespace, b"", hash_name, digest)))


def sign(message: bytes, key: Path, passphrase: Callable[[], bytes]) -> bytes:
    """The signature of a message, armoured.

    Args:
        key: A private Ed25519 key of OpenSSH.
        passphrase: Asked for the one of the key, if it has one.

    Raises:
        BadInput: It is no such key, or the passphrase is wrong.
    """
    data = key.read_bytes()
    try:
        try:
            private = load_ssh_private_key(data, None)
        except TypeError:  # it is encrypted
            private = _decrypted(data, key, passphrase())
    except BadInput:
        raise
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadInput(f"not a private key that can be read ({error})", file=str(key)) from None
    if not isinstance(private, Ed25519PrivateKey):
        raise BadInput("not an Ed25519 key (make one with `ssh-keygen -t ed25519`)", file=str(key))
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    parts = (
        _string(_TYPE) + _string(public),
        NAMESPACE,
        b"",
        _HASH,
        _string(_TYPE) + _string(private.sign(_signed(message, NAMESPACE, _HASH))),
    )
    blob = _MAGIC + struct.pack(">I", _VERSION) + b"".join(map(_string, parts))
    text = base64.b64encode(blob).decode("ascii")
    lines = [text[at : at + _COLUMNS] for at in range(0, len(text), _COLUMNS)]
    return "\n".join([_BEGIN, *lines, _END, ""]).encode("ascii")


def _decrypted(data: bytes, key: Path, passphrase: bytes) -> SSHPrivateKeyTypes:
    try:
        return load_ssh_private_key(data, passphrase)
    except (ValueError, InvalidTag):  # the latter of ciphers that check what they decrypt
        message = "the passphrase is wrong, or the key is damaged"
        raise BadInput(message, file=str(key)) from None


def verify(message: bytes, armoured: bytes, keys: list[bytes], what: str) -> str:
    """The fingerprint of the key, one of some, that signed a message.

    Args:
        keys: Raw public keys.
        what: Named in errors.

    Raises:
        SourceError: None of them did.
    """
    try:
        public, namespace, hash_name, signature = _parsed(armoured)
    except (ValueError, struct.error, binascii.Error):
        raise SourceError(f"{what}: its signature is not an SSH signature by Ed25519") from None
    if namespace != NAMESPACE or hash_name not in _HASHES:
        raise SourceError(f"{what}: its signature is one for another purpose")
    if public not in keys:
        raise SourceError(f"{what} is signed by {fingerprint(public)}, which is none of your keys")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(
            signature, _signed(message, namespace, hash_name)
        )
    except (InvalidSignature, ValueError):
        raise SourceError(f"{what}: the signature is not one of this manifest") from None
    return fingerprint(public)


def _parsed(armoured: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Public key, namespace, hash and signature."""
    lines = armoured.decode("ascii").split()
    text = " ".join(lines)
    if not text.startswith(_BEGIN) or not text.endswith(_END):
        raise ValueError("no armour")
    blob = base64.b64decode("".join(text[len(_BEGIN) : -len(_END)].split()), validate=True)
    if not blob.startswith(_MAGIC) or blob[6:10] != struct.pack(">I", _VERSION):
        raise ValueError("another version")
    parts, rest = [], blob[10:]
    for _ in range(5):
        part, rest = _take(rest)
        parts.append(part)
    public, namespace, reserved, hash_name, signature = parts
    if rest or reserved:
        raise ValueError("more than there should be")
    return _of_type(public), namespace, hash_name, _of_type(signature)


def _of_type(blob: bytes) -> bytes:
    """The raw key or signature of a blob that begins with its type."""
    kind, rest = _take(blob)
    raw, rest = _take(rest)
    if kind != _TYPE or rest:
        raise ValueError("another kind of key")
    return raw


def fingerprint(public: bytes) -> str:
    """A public key as ``ssh-keygen -l`` shows it."""
    digest = hashlib.sha256(_string(_TYPE) + _string(public)).digest()
    return "SHA256:" + base64.b64encode(digest).decode("ascii").rstrip("=")


def read_public_keys(path: Path) -> list[bytes]:
    """The raw Ed25519 keys of a ``.pub`` file or a file of allowed signers; others are skipped.

    Raises:
        BadInput: A line that is neither, or no key at all.
    """
    found = []
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        raise BadInput("not a file of public keys", file=str(path)) from None
    for n, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        words = line.split()
        types = [at for at, word in enumerate(words) if _KEY_TYPE.match(word)]
        if not types or types[0] > 2 or len(words) < types[0] + 2:
            raise BadInput("not a public key", file=str(path), line=n)
        at = types[0]
        if at == 2 and not _is_for_us(words[1], path, n):
            continue
        if words[at] == "ssh-ed25519":
            try:
                public = _of_type(base64.b64decode(words[at + 1], validate=True))
                Ed25519PublicKey.from_public_bytes(public)
                found.append(public)
            except (ValueError, struct.error, binascii.Error):
                raise BadInput("a damaged public key", file=str(path), line=n) from None
    if not found:
        raise BadInput("no Ed25519 key in it", file=str(path))
    return found


def _is_for_us(options: str, path: Path, line: int) -> bool:
    """Whether the options of an allowed signer let it sign releases."""
    match = _NAMESPACES.match(options)
    if match is None:
        raise BadInput(f"options that are not understood: {options}", file=str(path), line=line)
    names, ours = match[1].split(","), NAMESPACE.decode()
    return ours in names and f"!{ours}" not in names
