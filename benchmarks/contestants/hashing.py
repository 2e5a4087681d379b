"""No archive at all: SHA-512, MD5 and SHA-1 of a file without its line ends, on two cores."""

from __future__ import annotations

import hashlib
import queue
import threading

from . import Step

_CHUNK = 1 << 20
_UPPER = bytes(range(256)).upper()


def load(fasta: str, **_: object) -> list[Step]:
    """Read, strip and hash."""
    hashers = ((hashlib.sha512(),), (hashlib.md5(), hashlib.sha1()))

    def read_and_hash() -> object:
        queues: list[queue.Queue[bytes]] = [queue.Queue(8) for _ in hashers]

        def hash_all(number: int) -> None:
            while chunk := queues[number].get():
                for hasher in hashers[number]:
                    hasher.update(chunk)

        threads = [threading.Thread(target=hash_all, args=(n,)) for n in range(len(hashers))]
        for thread in threads:
            thread.start()
        with open(fasta, "rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                residues = chunk.translate(_UPPER, b"\n\r \t")
                for one in queues:
                    one.put(residues)
        for one in queues:
            one.put(b"")
        for thread in threads:
            thread.join()
        return [hasher.hexdigest() for pair in hashers for hasher in pair]

    return [Step("load", 1, read_and_hash)]
