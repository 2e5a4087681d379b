"""Where genomes come from: a RefgetStore, an archive, or a server of collections and sequences.

``make_source`` looks what is at an address.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import Corrupt, NewerFormat, NotFound, SeqArchiveError, SourceError
from ..instances import Instance
from ..remote.cache import DiskCache
from ..rgstore import is_store
from ..rgstore.layout import MANIFEST, SEQUENCES, VERSION
from ..rgstore.parsing import Manifest, parse_manifest
from ..sources import directory_at, is_remote, shown
from ..sources.base import Denied, NotInstalled, Unreachable, persistently
from ..sources.directory import DirectorySource
from ..sources.opening import open_source
from .archive_source import ArchiveSource
from .genome_source import MAX_SAID, SHORTLY, GenomeSource
from .server_source import ServerSource
from .store_source import StoreSource

#: Seconds after which ``make_source`` asks nothing more.
_PATIENCE = 60.0


def make_source(url: str | os.PathLike[str], *, cache: DiskCache | None = None) -> GenomeSource:
    """Whatever is at an address: a RefgetStore, an archive, a published release, a server.

    Args:
        cache: For indexes; that of the user if None.

    Raises:
        SourceError: None of them, or nobody answers; names each URL that was tried, and what it
            answered. NotFound: No such directory. Corrupt, NewerFormat: A store that cannot be
            read.
    """
    text = os.fspath(url).strip()
    if not is_remote(text):
        return _in_directory(str(directory_at(text).absolute()))
    for end in (MANIFEST, "service-info"):  # which is what people copy from a browser
        text = text.rstrip("/").removesuffix(f"/{end}")
    return _Probe(text, cache).found()


def known_source(
    kind: str, url: str, address: str, access: Mapping[str, str], cache: DiskCache | None = None
) -> GenomeSource:
    """A source as ``access`` described it once. Nothing is asked.

    Raises:
        Corrupt: That is no description.
    """
    try:
        if kind == "store":
            manifest = _described(access["mode"], access["template"], address)
            return StoreSource(address, manifest, url=url, cache=cache)
        if kind == "server":
            return ServerSource(access["residues"], access["residues"], url=url)
        if kind == "archive":
            return ArchiveSource(address, url=url, cache=cache)
    except KeyError:
        pass
    raise Corrupt(f"{address}: nobody knows how to read it ({kind})")


def _described(mode: str, template: str, address: str) -> Manifest:
    document = {
        "version": VERSION,
        "mode": mode,
        "seqdata_path_template": template,
        "sequence_index": SEQUENCES,
        "created_at": "",
    }
    return parse_manifest(json.dumps(document).encode(), address)


def _in_directory(path: str) -> GenomeSource:
    if not Path(path).exists():
        raise NotFound(f"{path}: no such directory")
    tried = []
    if is_store(path):
        source = DirectorySource(path)
        data = source.read(MANIFEST, MAX_SAID)
        if _is_manifest(data):
            return StoreSource(path, parse_manifest(data, f"{path}/{MANIFEST}"), data=data)
        tried.append(f"{path}/{MANIFEST}: no manifest of a store")
    else:
        tried.append(f"{path}/{MANIFEST}: no such file")
    try:
        Instance.found(Path(path)).require()
        return ArchiveSource(path).open()
    except (NotFound, SourceError) as error:
        tried.append(str(error))
    raise _nothing(path, tried)


def _nothing(url: str, tried: list[str]) -> SourceError:
    return SourceError(
        f"{shown(url)} is neither a RefgetStore, nor an archive, nor a server of genomes: "
        + "; ".join(tried)
    )


def _is_manifest(data: bytes) -> bool:
    """Whether a file is that of a store, whatever its server calls it: many have an answer for
    every address."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and {"version", "mode", "seqdata_path_template"} <= found.keys()


#: Where a server may say that a store is.
_STORE_URL = re.compile(r"(https?|s3)://[^\s/?#][^\s?#]*\Z", re.ASCII)


class _Probe:
    """Looks what is at a URL, and remembers what it was told."""

    def __init__(self, url: str, cache: DiskCache | None) -> None:
        self._url = url
        self._cache = cache
        self._tried: list[str] = []
        self._silent: set[str] = set()
        self._deadline = time.monotonic() + _PATIENCE

    def found(self) -> GenomeSource:
        """What is there."""
        source: GenomeSource | None = self._store(self._url)
        if source is None and self._url[:2].lower() != "s3":
            source = self._server()
        if source is None:
            source = self._release()
        if source is None:
            raise _nothing(self._url, self._tried)
        return source

    def _read(self, base: str, path: str) -> bytes | None:
        """A small file or answer, if there is one."""
        origin = urlsplit(base).netloc
        if origin in self._silent:
            return None
        if time.monotonic() > self._deadline:
            self._tried.append(f"{shown(base)}/{path}: not asked any more")
            return None
        try:
            source = open_source(base)
            try:
                return persistently(lambda: source.read(path, MAX_SAID), SHORTLY[:1])
            finally:
                source.close()
        except Unreachable as error:
            self._silent.add(origin)
            self._tried.append(str(error))
        except SeqArchiveError as error:
            self._tried.append(str(error))
        return None

    def _object(self, base: str, path: str) -> dict[str, Any] | None:
        data = self._read(base, path)
        if data is None:
            return None
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            return found
        self._tried.append(f"{shown(base)}/{path}: no JSON object")
        return None

    def _store(self, address: str, server: str | None = None) -> StoreSource | None:
        """A store.

        Args:
            server: Where the one is that named it.
        """
        data = self._read(address, MANIFEST)
        if data is None:
            return None
        where = f"{shown(address)}/{MANIFEST}"
        if not _is_manifest(data):
            self._tried.append(f"{where}: no manifest of a store")
            return None
        manifest = parse_manifest(data, where)
        if server is None:
            return StoreSource(address, manifest, data=data, url=self._url, cache=self._cache)
        return StoreSource(
            address,
            manifest,
            data=data,
            url=self._url,
            server=ServerSource(server, None),
            residues=lambda: _Probe(self._url, self._cache)._residues_of(server),
            cache=self._cache,
        )

    def _server(self) -> GenomeSource | None:
        for base in (self._url, f"{self._url}/seqcol"):
            info = self._object(base, "service-info")
            about = info.get("seqcol") if info is not None else None
            if info is None:
                continue
            if not isinstance(about, dict):
                self._tried.append(f"{shown(base)}/service-info: not of a server of collections")
                continue
            return self._store_of(base, about) or self._residues_of(base)
        return None

    def _store_of(self, base: str, about: dict[str, Any]) -> StoreSource | None:
        """The store that a server says it has, if it can be read from here."""
        said = about.get("refget_store")
        if not isinstance(said, dict) or said.get("enabled") is not True:
            return None
        address = said.get("url")
        if not isinstance(address, str) or _STORE_URL.match(address) is None:
            self._tried.append(f"{shown(base)}/service-info: the store is at {address!r:.80}")
            return None
        try:
            return self._store(address.rstrip("/"), base)
        except (Corrupt, NewerFormat) as error:  # the server itself may give residues
            self._tried.append(str(error))
            return None

    def _residues_of(self, base: str) -> ServerSource | None:
        bases = [base]
        if base.endswith("/seqcol"):
            bases.append(base.removesuffix("/seqcol"))
        for one in bases:
            info = self._object(one, "sequence/service-info")
            if info is None:
                continue
            if isinstance(info.get("refget"), dict) or isinstance(info.get("service"), dict):
                return ServerSource(base, one, url=self._url)
            self._tried.append(f"{shown(one)}/sequence/service-info: not of a server of sequences")
        return None

    def _release(self) -> ArchiveSource | None:
        if urlsplit(self._url).netloc in self._silent or time.monotonic() > self._deadline:
            return None
        try:
            return ArchiveSource(self._url, cache=self._cache).open()
        except (NotFound, Denied, NotInstalled, SourceError) as error:
            self._tried.append(str(error))
            return None
