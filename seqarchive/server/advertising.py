"""What service-info says of RefgetStores: where clients find them, and what is in them."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from starlette.requests import Request

from ..errors import BadName, Corrupt, SeqArchiveError, SourceError
from ..genomes.store_entries import StoreEntry
from ..genomes.stores import Stores
from ..rgstore import is_store
from ..rgstore.layout import MANIFEST
from ..rgstore.reading import RefgetStore
from ..sources import is_remote, shown
from .openapi import SEQCOL
from .served import Service

#: Digests of collections with FHR that are listed.
_MOST = 1_000


def checked_store_url(url: str) -> str:
    """Where others find a store.

    Raises:
        BadName: It is no URL.
    """
    if not is_remote(url) or not url.isprintable() or len(url) > 2_048:
        raise BadName(f"{url!r} is no address of a store: http(s)://... or s3://...")
    return url


class StoreInfo:
    """``seqcol.refget_store`` of service-info, and ``seqcol.services`` if there are several.

    Args:
        store: A directory that is served below ``/store``, or a URL.
        url: What is said instead.
    """

    def __init__(self, service: Service, store: Path | str | None, url: str | None) -> None:
        self._service = service
        self._store = store
        self._url = url
        self._known: tuple[object, list[dict[str, Any]]] = (None, [])

    def __call__(self, request: Request) -> dict[str, Any]:
        """What is said to a client."""
        stores = self._service.stores
        if stores is None:
            return {"refget_store": self._of_archive(request)}
        blocks = self._blocks(stores)
        urls = [self._of(one, request) for one in stores.entries]
        if self._url is not None:
            urls[0] = self._url
        said = [{**_where(url), **block} for url, block in zip(urls, blocks, strict=True)]
        found: dict[str, Any] = {"refget_store": said[0]}
        if len(said) > 1:
            found["services"] = [
                {"name": entry.name, "priority": entry.priority, "description": entry.description}
                | one
                for entry, one in zip(stores.entries, said, strict=True)
            ]
        return found

    def _of_archive(self, request: Request) -> dict[str, Any]:
        """The store that an archive was exported to, or that others serve."""
        said = _where(self._url or self._here(request))
        if not isinstance(self._store, Path):
            return said
        try:
            manifest = (self._store / MANIFEST).stat()
        except OSError:  # there is none yet
            return said
        state = (manifest.st_mtime_ns, manifest.st_ino)
        known, blocks = self._known
        if known != state:
            blocks = [_contents_in(self._store)]
            self._known = (state, blocks)
        return {**said, **blocks[0]}

    def _here(self, request: Request) -> str | None:
        """Where the store is found here."""
        if isinstance(self._store, str):
            return shown(self._store)
        if self._store is None or not is_store(self._store):
            return None
        return self._service.address(request, "/service-info").removesuffix(SEQCOL) + "/store"

    def _of(self, entry: StoreEntry, request: Request) -> str | None:
        """Where clients find a store: not in a bucket, which they could not open."""
        if not is_remote(entry.url):
            return self._here(request)
        return shown(entry.url) if entry.url[:2].lower() != "s3" else None

    def _blocks(self, stores: Stores) -> list[dict[str, Any]]:
        """What is in each store; counted when one has changed."""
        state = (stores.entries, stores.state())
        known, blocks = self._known
        if known != state:
            opened = dict(stores.opened())
            blocks = [_contents(opened.get(one.name)) for one in stores.entries]
            self._known = (state, blocks)
        return blocks


def _where(url: str | None) -> dict[str, Any]:
    return {"enabled": False} if url is None else {"enabled": True, "url": url}


def _contents_in(directory: Path) -> dict[str, Any]:
    try:
        with closing(RefgetStore(directory)) as store:
            return _contents(store)
    except SeqArchiveError as error:
        return {"is_available": False, "reason": _reason(error)}


def _contents(store: RefgetStore | None) -> dict[str, Any]:
    if store is None:
        return {"is_available": False}
    try:
        return {
            "backend_type": "refget_store",
            "n_collections": store.stats()["n_collections"],
            "n_sequences": len(store),
            "has_sequence_data": True,
            "collection_alias_namespaces": sorted(store.manifest.collection_namespaces),
            "sequence_alias_namespaces": store.namespaces(),
            "fhr_metadata_collections": store.list_fhr()[:_MOST],
        }
    except (SourceError, Corrupt) as error:
        return {"is_available": False, "reason": _reason(error)}


def _reason(error: SeqArchiveError) -> str:
    return type(error).__name__
