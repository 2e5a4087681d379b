"""What clients send that may be large: it goes into a temporary file as it comes."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from starlette.requests import Request

from .answers import JSON, in_thread
from .asking import CLOSING, Refused, body_of
from .multipart import End, Head, Parts, Piece, boundary_of

#: Bytes that are written at once.
_WRITTEN = 1 << 20

#: Fields of a form besides its file, and bytes of each.
_MOST_FIELDS, _FIELD = 64, 1 << 16

_FORM = "multipart/form-data"

_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]")


class Upload:
    """What a client sent: fields, and the file if there is one. Gone on leaving.

    Args:
        fields: Those behind the question mark.
    """

    def __init__(self, fields: dict[str, str]) -> None:
        self.fields = fields
        self.path: Path | None = None
        self._directory: str | None = None

    def close(self) -> None:
        """Remove the file."""
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def begin(self, filename: str) -> BinaryIO:
        """A new file, of about the name that it has where it comes from."""
        self._directory = tempfile.mkdtemp(prefix="seqarchive-upload-")
        self.path = Path(self._directory) / safe_name(filename)
        return open(self.path, "wb")

    def without_place(self, message: str) -> str:
        """A message that names the file as the client knows it, and not where it is here."""
        return message if self._directory is None else message.replace(f"{self._directory}/", "")


def safe_name(filename: str) -> str:
    """The last part of what a client calls a file, without anything but letters, digits and
    ``._-``."""
    bare = re.split(r"[/\\]", filename)[-1]
    return _IN_NAMES.sub("_", bare)[-100:].lstrip(".-") or "upload"


def is_form(request: Request) -> bool:
    """Whether a body is fields and a file, and not the file itself."""
    return request.headers.get("content-type", "").lower().startswith(_FORM)


async def received(request: Request, limit: int, *, filename: str = "upload") -> Upload:
    """The fields and the file of a form; or a body that is the file itself.

    Args:
        limit: Bytes that it may have; more are not read.
        filename: Of a body that is a file.

    Raises:
        Refused: 400: It is no form, or ended early. 413: It is too large.
    """
    asked = {name: value for name, value in request.query_params.multi_items() if name != "file"}
    upload = Upload(asked)
    try:
        if is_form(request):
            parts = Parts(boundary_of(request.headers["content-type"]))
            await _read_form(request, limit, upload, parts)
        else:
            await _read_file(request, limit, upload, filename)
    except BaseException:
        await in_thread(upload.close)
        raise
    return upload


async def json_object(request: Request, limit: int) -> dict[str, Any]:
    """The object of JSON that a client sent.

    Args:
        limit: Bytes that it may have; more are not read.

    Raises:
        Refused: 400: It is none. 413: It is too large.
    """
    body = bytearray()
    async for chunk in body_of(request, limit):
        body += chunk
    try:
        found = json.loads(bytes(body)) if body.strip() else {}
    except (ValueError, RecursionError):
        raise Refused(400, "the body is not JSON") from None
    if not isinstance(found, dict):
        raise Refused(400, "the body is not a JSON object")
    return found


def is_json(request: Request) -> bool:
    """Whether a client says that its body is JSON."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == JSON


async def _read_file(request: Request, limit: int, upload: Upload, filename: str) -> None:
    with upload.begin(filename) as file:
        waiting = bytearray()
        async for chunk in body_of(request, limit):
            waiting += chunk
            if len(waiting) >= _WRITTEN:
                await in_thread(file.write, bytes(waiting))
                waiting.clear()
        file.write(waiting)


async def _read_form(request: Request, limit: int, upload: Upload, parts: Parts) -> None:
    form = _Form(upload)
    try:
        async for chunk in body_of(request, limit):
            for piece in parts.feed(chunk):
                writing = form.take(piece)
                if writing is not None:
                    await in_thread(writing)
    finally:
        form.close()
    if not parts.is_over:
        raise Refused(400, "the form did not come whole")


class _Form:
    """Puts the pieces of a form where they belong."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._file: BinaryIO | None = None
        self._name = ""
        self._value = bytearray()
        self._n_fields = 0

    def take(self, piece: Piece) -> Callable[[], Any] | None:
        """Take a piece; what is to be done with it that may take a while is given back."""
        if isinstance(piece, Head):
            self._begin(piece)
        elif isinstance(piece, End):
            self._end()
        elif self._file is not None:
            file = self._file
            return lambda: file.write(piece)
        else:
            self._value += piece
            if len(self._value) > _FIELD:
                raise Refused(400, f"{self._name[:40]!r} has more than {_FIELD:,} bytes", CLOSING)
        return None

    def _begin(self, head: Head) -> None:
        self._n_fields += 1
        if self._n_fields > _MOST_FIELDS:
            raise Refused(400, f"the form has more than {_MOST_FIELDS} fields", CLOSING)
        self._name = head.name
        if head.filename is None and head.name != "file":
            return
        if self._upload.path is not None:
            raise Refused(400, "the form has more than one file", CLOSING)
        self._file = self._upload.begin(head.filename or "upload")

    def _end(self) -> None:
        if self._file is not None:
            self.close()
            return
        try:
            self._upload.fields[self._name] = self._value.decode("utf-8")
        except UnicodeDecodeError:
            raise Refused(400, f"{self._name[:40]!r} is not UTF-8") from None
        self._value.clear()

    def close(self) -> None:
        """Close the file, if one is open."""
        if self._file is not None:
            self._file.close()
            self._file = None
