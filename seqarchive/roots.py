"""Roots: where archives are, as people say it on a command line or in a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar, cast

from .errors import BadInput, NotFound, SourceError
from .instances import Instance
from .readable import OnlyRead
from .reader import ArchiveReader
from .remote import open_remote
from .rgstore import is_store, open_store
from .services import open_service
from .several import Readers
from .sources import SEQREPO, directory_at, is_remote
from .sources.base import Denied, NotInstalled

#: Lines and bytes of a list of roots at most.
_MOST, _MAX_BYTES = 1000, 1 << 20


def listed_addresses(address: str | os.PathLike[str]) -> list[str] | None:
    """The addresses in a list of roots; None if the address is not that of a file.

    A list has one address a line: a directory (relative to that of the list) or a URL. Blank lines
    and lines that begin with ``#`` are skipped.

    Raises:
        BadInput: It is no list of addresses.
    """
    if is_remote(address):
        return None
    path = directory_at(address)
    if not path.is_file():
        return None
    found = []
    with open(path, "rb") as file:
        data = file.read(_MAX_BYTES + 1)
    try:
        if len(data) > _MAX_BYTES:
            raise BadInput("not a list of roots, nor the directory of one", file=str(path))
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise BadInput("not a list of roots (it is not UTF-8)", file=str(path)) from None
    for n, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if not text.isprintable() or n > _MOST:
            raise BadInput("not a list of roots", file=str(path), line=n)
        found.append(text if "://" in text else str(path.absolute().parent / text))
    if not found:
        raise BadInput("a list of roots without any", file=str(path))
    return found


def all_addresses(addresses: Sequence[str]) -> list[str]:
    """The same with lists of roots replaced by what they list."""
    return [one for address in addresses for one in listed_addresses(address) or [address]]


def open_readers(
    addresses: Sequence[str], instance: str | None = None, *, at: int | str | None = None
) -> ArchiveReader | Readers:
    """Open one archive, or several as one, for reading.

    Args:
        addresses: Directories and URLs.
        instance: Of each; as for ``Instance.found`` if None.

    Raises:
        NotFound, SourceError: As for ``connect``.
    """
    found = [open_address(one, instance, at, ArchiveReader.of) for one in addresses]
    return found[0] if len(found) == 1 else Readers(archives_only(found))


Opened = TypeVar("Opened", bound=ArchiveReader)


def open_address(
    address: str | os.PathLike[str],
    instance: str | None,
    at: int | str | None,
    open_local: Callable[..., Opened],
) -> Opened:
    """Open what is at an address: an archive; or a RefgetStore or a server of sequences, which have
    the reading half of one.

    Args:
        open_local: Opens an instance of this machine: ``ArchiveReader.of``, or that of a subclass.

    Raises:
        NotFound, SourceError: As for ``connect``.
    """
    is_any = instance is None and at is None  # else it is asked for an archive
    if is_remote(address):
        return cast(Opened, _open_elsewhere(os.fspath(address), instance, at))
    directory = directory_at(address)
    if is_any and is_store(directory):
        return cast(Opened, open_store(directory))
    return open_local(Instance.found(directory, instance), at=at)


def _open_elsewhere(url: str, instance: str | None, at: int | str | None) -> object:
    if url.startswith(SEQREPO):
        return open_service(url)
    try:
        return open_remote(url, instance, at=at)
    except (NotFound, Denied, NotInstalled) as error:
        if instance is None and at is None:
            for open_ in (open_store, open_service):
                with suppress(NotFound, Denied):
                    return open_(url)
            if isinstance(error, NotFound):
                raise NotFound(f"{error}, nor a RefgetStore, nor a server of sequences") from None
        elif instance is not None:
            with suppress(NotFound, Denied):  # below a server of ours, all releases are
                return open_remote(f"{url.rstrip('/')}/releases/{instance}", at=at)
        raise


def archives_only(found: Sequence[Opened]) -> Sequence[Opened]:
    """What was opened, if all of it are archives, which can be read as one.

    Raises:
        SourceError: There is a RefgetStore or a server of sequences among it.
    """
    kinds: Sequence[object] = found  # one of which may be a store, whatever it is taken for
    for kind, one in zip(kinds, found, strict=True):
        if isinstance(kind, OnlyRead):
            for other in found:
                other.close()
            message = f"{one.address} is {kind.kind}, which is read alone; {kind.advice}"
            raise SourceError(message)
    return found
