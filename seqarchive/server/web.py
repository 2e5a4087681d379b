"""The page: files that a browser gets as they are, and what they may do there.

Names in an archive come from anywhere. The page makes text of them and never markup; should it ever
fail in that, the policy that goes with it lets a browser run nothing but these files.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ..errors import NotFound
from .answers import READING, REVALIDATED, answering, not_modified
from .served import Service

_DIRECTORY = Path(__file__).parent / "page"

_INDEX = "index.html"

_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

_HEADERS = {
    "Cache-Control": REVALIDATED,
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'self'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class _File(NamedTuple):
    contents: bytes
    media_type: str
    etag: str


def page_router(_service: Service) -> APIRouter:
    """The page at ``/``, and its parts below ``/page``. All addresses in it are relative."""
    router = APIRouter(tags=["page"])
    files = {path.name: _read(path) for path in _DIRECTORY.iterdir() if path.suffix in _MEDIA_TYPES}

    async def index(request: Request) -> Response:
        return _answer(request, files[_INDEX])

    async def part(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in files:
            raise NotFound(f"the page has no part {name!r}")
        return _answer(request, files[name])

    router.add_route("/", answering(index), methods=READING, name="page")
    router.add_route("/page/{name}", answering(part), methods=READING, name="page_part")
    return router


def _read(path: Path) -> _File:
    contents = path.read_bytes()
    etag = f'"{hashlib.sha256(contents).hexdigest()[:32]}"'
    return _File(contents, _MEDIA_TYPES[path.suffix], etag)


def _answer(request: Request, file: _File) -> Response:
    cached = not_modified(request, file.etag, _HEADERS)
    return cached or Response(
        file.contents, 200, _HEADERS | {"ETag": file.etag}, media_type=file.media_type
    )
