"""Names and what is said of collections, taken from a store as a whole.

Whoever answers others has them at hand then, and asks the store no more. What came over a network
is kept on disk under what the manifest says of it, so that the manifest alone is asked for the
next time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from ..errors import Corrupt, NotFound
from ..sources.base import Denied
from .files import Data, Files
from .layout import aliases_path, fhr_path
from .parsing import Manifest, is_digest
from .tables import Table

logger = logging.getLogger("seqarchive.rgstore")

T = TypeVar("T")

#: Bytes of what is said of a collection, and of all collections at most.
MAX_FHR, _MAX_ALL = 64 << 20, 2 << 30

#: Requests at one time.
_AT_ONCE = 8

#: The column of an index of sequences by which it is sorted.
DIGEST = 3


class Pulled(NamedTuple):
    """What was taken from a store."""

    tables: dict[str, Table | None]
    """Path -> index or aliases; None for what is not there."""
    fhr: dict[str, bytes] | None
    """Digest of a collection -> document; None if it is read where it is, when it is asked for."""
    n_namespaces: int
    n_missing: int
    """Namespaces that the manifest names, and the store has not."""
    is_settled: bool
    """Whether all of it is what the manifest names: else somebody writes to the store."""


def pull(files: Files, manifest: Manifest) -> Pulled:
    """Take all indexes, aliases and FHR.

    Raises:
        SourceError: The network or the server failed. Corrupt: A file is not the one that the
            manifest names; it may be that somebody writes to the store just now.
    """
    where = files.source.address
    tables: dict[str, Table | None] = {}
    wanted = [("sequences", manifest.sequence_index, DIGEST)]
    if manifest.collection_index is not None:
        wanted.append(("collections", manifest.collection_index, 0))
    for kind, path, column in wanted:
        data = files.index(path, manifest.digests.get(kind))
        tables[path] = Table(data, f"{where}/{path}", column)
    paths = alias_paths(manifest)
    aliases, is_settled = _aliases(files, manifest, paths)
    for path, lines in aliases.items():
        found = None if lines is None else Table(lines, f"{where}/{path}")
        if found is not None:
            found.find_all(1, "")  # the index is made now, and not while somebody waits
        tables[path] = found
    index = tables.get(manifest.collection_index or "")
    fhr = None
    if files.is_remote and index is not None:
        fhr = _fhr(files, manifest, [line.partition("\t")[0] for line in index.lines()])
    n_missing = sum(1 for path in paths if tables[path] is None)
    return Pulled(tables, fhr, len(paths) - n_missing, n_missing, is_settled)


def alias_paths(manifest: Manifest) -> list[str]:
    """The files of aliases that a manifest names, in the order in which their digest is made."""
    namespaces = {
        "collections": manifest.collection_namespaces,
        "sequences": manifest.sequence_namespaces,
    }
    return sorted(aliases_path(kind, one) for kind, names in namespaces.items() for one in names)


def _stamp(manifest: Manifest, *kinds: str) -> str | None:
    """What is another one when something of a store is; None if the manifest does not tell."""
    if all(kind in manifest.digests for kind in kinds):
        return " ".join(manifest.digests[kind] for kind in kinds)
    return None if manifest.modified is None else repr(manifest)


def _aliases(
    files: Files, manifest: Manifest, paths: list[str]
) -> tuple[dict[str, Data | None], bool]:
    """The files of aliases, and whether they are those that the manifest names."""
    stamp = _stamp(manifest, "aliases")

    def name_of(path: str) -> str:
        return f"aliases {files.source.address} {path} {stamp}"

    def read(path: str) -> Data | None:
        kept = None if stamp is None else files.recalled(name_of(path))
        if kept is not None:
            return kept
        try:
            return files.index(path, None)
        except (NotFound, Denied):  # which many servers say of what they have not
            return None

    found = dict(zip(paths, at_once(read, paths), strict=True))
    expected = manifest.digests.get("aliases")
    if expected is not None and files.is_remote:
        whole = hashlib.sha256()
        for path in paths:
            whole.update(found[path] or b"")
        if whole.hexdigest() != expected:
            logger.warning(
                "the aliases of %s are not those that rgstore.json names", files.source.address
            )
            return found, False
    if stamp is not None:
        for path, data in found.items():
            if data is not None:
                files.remember(name_of(path), data)
    return found, True


def _fhr(files: Files, manifest: Manifest, digests: list[str]) -> dict[str, bytes]:
    """What is said of collections."""
    stamp = _stamp(manifest, "fhr", "collections")
    name = f"fhr {files.source.address} {stamp}"
    kept = None if stamp is None else files.recalled(name)
    if kept is not None:
        return {one: text.encode("utf-8") for one, text in json.loads(kept).items()}
    n_bytes, lock = 0, threading.Lock()

    def read(digest: str) -> bytes | None:
        nonlocal n_bytes
        data = read_fhr(files, digest)
        with lock:
            n_bytes += len(data or b"")
            if n_bytes > _MAX_ALL:
                raise Corrupt(f"{files.source.address} says more than {_MAX_ALL:,} bytes of FHR")
        return data

    known = [one for one in digests if is_digest(one)]
    found = {
        digest: data
        for digest, data in zip(known, at_once(read, known), strict=True)
        if data is not None
    }
    if stamp is not None:
        texts = {one: data.decode("utf-8", "replace") for one, data in found.items()}
        files.remember(name, json.dumps(texts).encode("utf-8"))
    return found


def read_fhr(files: Files, digest: str) -> bytes | None:
    """What is said of a collection, as it is now; None if nothing is."""
    for path in (fhr_path(digest), f"collections/{digest}.fhr.json"):
        try:
            return files.small(path, MAX_FHR)
        except (NotFound, Denied):  # as above
            continue
    return None


def at_once(function: Callable[[str], T], arguments: Sequence[str]) -> list[T]:
    """The results of calls that wait for a network, in order."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(function, arguments))
