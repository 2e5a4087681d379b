"""Files that are served as they are: those of releases, and of a RefgetStore."""

from __future__ import annotations

import os
import re
import stat
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from fastapi import FastAPI
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from ..errors import BadName, NotFound, SeqArchiveError
from ..instances import LATEST, Instance
from ..manifests import read_manifest
from ..reader import ArchiveReader
from ..releases import INDEX
from ..rgstore import is_store
from .answers import IMMUTABLE, READING, REVALIDATED, LongAnswer, refusal, told
from .limiting import Slots
from .served import INLINE

#: A short part of a file, asked for by its first and its last byte.
_PART = re.compile(rb"bytes=([0-9]{1,18})-([0-9]{1,18})\Z")

_NO_STORE = "there is no RefgetStore here until the operator runs `seqarchive export-rgstore`"

#: What may be in a path as it is.
_IN_PATHS = "/:@!$&'()*+,;="

#: Releases that are kept open.
_OPEN = 16


class Releases:
    """The releases of a root: their files as they are, and under the same addresses whatever the
    service says of the archive.

    Args:
        make: The application of one release.
        streams: Places for long answers.
        base_url: As of ``Service``.
    """

    def __init__(
        self,
        root: Path,
        make: Callable[[ArchiveReader], FastAPI],
        *,
        streams: Slots,
        base_url: str | None = None,
    ) -> None:
        self._root = root
        self._make = make
        self._streams = streams
        self._base_url = base_url or ""
        self._open: OrderedDict[str, tuple[frozenset[str], FastAPI]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request below the path that this is mounted at."""
        if scope["type"] != "http":
            return
        path = scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/")
        name, _, rest = path.partition("/")
        try:
            if path in ("", INDEX):
                answer: Response = self._file(scope, INDEX, REVALIDATED)
            elif name == LATEST:
                newest = Instance.at(self._root, LATEST).name
                if newest == LATEST:  # it leads nowhere yet
                    raise NotFound("there is no release")
                here = self._base_url + scope.get("root_path", "")
                where = f"{here}/{newest}/{quote(rest, safe=_IN_PATHS)}"
                query = scope["query_string"].decode("latin-1")
                headers = {"Cache-Control": REVALIDATED}
                answer = RedirectResponse(f"{where}?{query}" if query else where, 307, headers)
            elif path == name and self._release(name):
                answer = RedirectResponse(f"{name}/")  # what is relative there needs the slash
            else:
                files, app = self._release(name)
                if rest not in files:
                    prefix = f"{scope.get('root_path', '')}/{name}"
                    await app({**scope, "root_path": prefix}, receive, send)
                    return
                answer = self._file(scope, f"{name}/{rest}", IMMUTABLE)
            if scope["method"] not in READING:
                answer = refusal(405, "files are only read")
        except SeqArchiveError as error:
            answer = refusal(*told(error))
        await answer(scope, receive, send)

    def _file(self, scope: Scope, path: str, caching: str) -> Response:
        return _file(scope, self._root / path, caching, self._streams)

    def _release(self, name: str) -> tuple[frozenset[str], FastAPI]:
        """The files of a release, and what answers for it."""
        known = self._open.get(name)
        if known is not None:
            self._open.move_to_end(name)
            return known
        try:
            instance = Instance(self._root, name)
        except BadName:
            raise NotFound(f"there is no release {name!r}") from None
        if not instance.is_snapshot:
            raise NotFound(f"there is no release {name!r}")
        manifest = read_manifest(instance).manifest
        files = frozenset(
            [*(file.path for file in manifest.files), "manifest.json", "manifest.json.sig"]
        )
        known = self._open[name] = (files, self._make(ArchiveReader.of(instance)))
        if len(self._open) > _OPEN:  # whoever is just asking it keeps it
            self._open.popitem(last=False)
        return known


class StoreFiles:
    """A RefgetStore in a directory, as a static server gives it.

    Args:
        directory: Where it is, or will be.
        streams: Places for long answers.
    """

    def __init__(self, directory: Path, streams: Slots) -> None:
        self._directory = directory
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request below the path that this is mounted at."""
        if scope["type"] != "http":
            return
        path = scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/")
        parts = path.split("/")
        answer: Response
        if scope["method"] not in READING:
            answer = refusal(405, "files are only read")
        elif path and any(not part or part.startswith(".") for part in parts):
            answer = refusal(404, "no such file")
        else:
            # What a digest names never changes; indexes and the manifest do.
            is_fixed = parts[0] == "sequences"
            try:
                caching = IMMUTABLE if is_fixed else REVALIDATED
                answer = _file(scope, self._directory / path, caching, self._streams)
            except NotFound as error:
                is_there = is_store(self._directory)
                answer = refusal(404, str(error) if is_there else _NO_STORE)
        await answer(scope, receive, send)


def _file(scope: Scope, path: Path, caching: str, streams: Slots) -> Response:
    """A file, or the part of it that is asked for.

    Raises:
        NotFound: There is none; a link is none.
    """
    try:
        status = path.lstat()
    except (OSError, ValueError):
        raise NotFound("no such file") from None
    if not stat.S_ISREG(status.st_mode) or not os.access(path, os.R_OK):
        raise NotFound("no such file")
    is_json = path.suffix == ".json"
    answer = FileResponse(
        path,
        headers={"Cache-Control": caching},
        media_type="application/json" if is_json else "application/octet-stream",
        stat_result=status,
    )
    is_short = scope["method"] == "HEAD" or status.st_size <= INLINE or _is_short_part(scope)
    return answer if is_short else LongAnswer(answer, streams)


def _is_short_part(scope: Scope) -> bool:
    """Whether a short part of a file is asked for."""
    for name, value in scope["headers"]:
        if name == b"range":
            match = _PART.match(value)
            return match is not None and int(match[2]) - int(match[1]) < INLINE
    return False


class Latest:
    """The newest release of a root, whichever it is just now.

    Raises:
        NotFound: There is none.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._name = ""
        self._archive = self._open()

    def _open(self) -> ArchiveReader:
        instance = Instance.at(self._root, LATEST)
        self._name = instance.name
        return ArchiveReader.of(instance)

    def __call__(self, _request: object = None) -> ArchiveReader:
        """It, open."""
        try:
            name = str((self._root / LATEST).readlink())
        except OSError:
            return self._archive
        if name != self._name:
            self._archive = self._open()
        return self._archive
