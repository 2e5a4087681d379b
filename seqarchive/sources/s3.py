"""A bucket as a source and as a destination: any endpoint that speaks S3.

Credentials, region and endpoint are what boto3 finds (``AWS_PROFILE``, ``AWS_ENDPOINT_URL``, ...);
without credentials, requests are not signed, which is how public buckets are read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import botocore
import botocore.config
import botocore.exceptions
import urllib3
from boto3.s3.transfer import TransferConfig

from ..errors import Conflict, NotFound, SeqArchiveError, SourceError
from ..forks import ForkLock
from . import shown
from .base import CHUNK, Denied, Interrupted, Stream, gathered, in_time, require_size

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_CONNECTIONS = 16
#: Largest object that one request can copy; not every endpoint can copy parts.
_COPY_BYTES = 5 << 30

#: Whoever sends many files has threads for that; those of boto3 are waited for when Python ends.
_SENDING = TransferConfig(use_threads=False)
_COPYING = TransferConfig(use_threads=False, multipart_threshold=_COPY_BYTES)

_MISSING = frozenset({"NoSuchKey", "NoSuchBucket", "404", "NotFound"})
_TAKEN = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_DENIED = frozenset({"AccessDenied", "403"})
_TRANSIENT = frozenset({"SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout"})


class S3Source:
    """A tree of objects under a prefix of a bucket.

    Args:
        url: ``s3://bucket/prefix``.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
        except ValueError:
            raise SourceError(f"{shown(url)!r} is not the address of a bucket") from None
        if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
            raise SourceError(f"{shown(url)!r} is not the address of a bucket (s3://bucket/prefix)")
        self._url = url.rstrip("/")
        self._bucket = parts.netloc
        self._prefix = parts.path.strip("/")
        self._lock = ForkLock()
        self._client: S3Client | None = None
        self._pid = 0

    def __reduce__(self) -> tuple[type[S3Source], tuple[str]]:
        return type(self), (self._url,)

    @property
    def address(self) -> str:
        """The URL."""
        return self._url

    def _key(self, path: str) -> str:
        return f"{self._prefix}/{path}" if self._prefix else path

    def _connections(self) -> S3Client:
        with self._lock:
            if self._client is None or self._pid != os.getpid():  # a fork shares no connection
                try:
                    self._client, self._pid = _client(), os.getpid()
                except ValueError as error:  # an endpoint that is no address
                    raise SourceError(f"{self._url}: {error}") from None
            return self._client

    @contextmanager
    def _asking(self, path: str) -> Iterator[S3Client]:
        """The client; its errors become ours."""
        where = f"{self._url}/{path}"
        try:
            yield self._connections()
        except botocore.exceptions.ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            message = f"{where}: the bucket says {code}"
            if code in _MISSING:
                raise NotFound(f"{where}: no such object") from None
            if code in _TAKEN:
                raise Conflict(f"{where} is there already") from None
            if code in _DENIED:  # also of what is not there, if its names may not be listed
                raise Denied(message) from None
            raise (Interrupted if code in _TRANSIENT else SourceError)(message) from None
        except (
            botocore.exceptions.HTTPClientError,
            botocore.exceptions.IncompleteReadError,
            botocore.exceptions.ResponseStreamingError,
            urllib3.exceptions.HTTPError,
        ) as error:
            raise Interrupted(f"{where}: {type(error).__name__}") from None
        except (botocore.exceptions.BotoCoreError, boto3.exceptions.Boto3Error) as error:
            raise SourceError(f"{where}: {error}") from None
        except SeqArchiveError:  # some of ours are of the kinds below
            raise
        except (ValueError, LookupError, RuntimeError) as error:
            # Headers that botocore cannot read, or does without; and redirects without end.
            raise SourceError(
                f"{where}: the bucket's answer makes no sense ({type(error).__name__}: {error})"
            ) from None

    def _chunks(self, body: Any, path: str) -> Iterator[bytes]:
        def chunks() -> Iterator[bytes]:
            with self._asking(path):
                # As soon as it comes: whoever waits for more cannot see how slow it is.
                read = getattr(body._raw_stream, "read1", body.read)
                while data := read(CHUNK):
                    yield data

        return in_time(chunks(), f"{self._url}/{path}")

    def read(self, path: str, max_bytes: int) -> bytes:
        """A whole object."""
        where = f"{self._url}/{path}"
        with self._asking(path) as client:
            answer = client.get_object(Bucket=self._bucket, Key=self._key(path))
        with closing(answer["Body"]):
            found = gathered(self._chunks(answer["Body"], path), max_bytes, where)
        n_bytes = _required(answer, "ContentLength", where)
        if len(found) != n_bytes:
            raise Interrupted(f"{where}: {len(found):,} bytes of {n_bytes:,}")
        return found

    def read_range(self, path: str, start: int, end: int, size: int | None = None) -> bytes:
        """The bytes ``[start, end)`` of an object."""
        where = f"{self._url}/{path}"
        with self._asking(path) as client:
            answer = client.get_object(
                Bucket=self._bucket, Key=self._key(path), Range=f"bytes={start}-{end - 1}"
            )
            said, _, whole = answer.get("ContentRange", "").partition("/")
            if said != f"bytes {start}-{end - 1}":
                raise SourceError(f"{where}: asked for bytes {start}-{end - 1}, got {said!r}")
        require_size(whole, size, where)
        found = gathered(self._chunks(answer["Body"], path), end - start, where)
        if len(found) != end - start:
            raise Interrupted(f"{where}: {len(found):,} bytes of {end - start:,}")
        return found

    @contextmanager
    def stream(self, path: str, start: int = 0) -> Iterator[Stream]:
        """An object from ``start`` on."""
        more: dict[str, Any] = {"Range": f"bytes={start}-"} if start else {}
        with self._asking(path) as client:
            answer = client.get_object(Bucket=self._bucket, Key=self._key(path), **more)
            begin = start if answer.get("ContentRange", "").startswith(f"bytes {start}-") else 0
        try:
            yield Stream(begin, self._chunks(answer["Body"], path))
        finally:
            answer["Body"].close()

    def put_file(self, path: str, file: str, sha256: str) -> None:
        """Upload a file, in parts if it is large; whole or not at all."""
        with self._asking(path) as client:
            client.upload_file(
                file,
                self._bucket,
                self._key(path),
                ExtraArgs={"Metadata": {"sha256": sha256}},
                Config=_SENDING,
            )

    def put_bytes(self, path: str, data: bytes, *, only_new: bool = False) -> None:
        """Write an object; only if there is none of this name, if asked."""
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if only_new else {}
        with self._asking(path) as client:
            client.put_object(Bucket=self._bucket, Key=self._key(path), Body=data, **condition)

    def copy(self, path: str, other: str) -> None:
        """Have the store itself copy an object, in parts if it is large."""
        with self._asking(other) as client:
            client.copy(
                {"Bucket": self._bucket, "Key": self._key(path)},
                self._bucket,
                self._key(other),
                Config=_COPYING,
            )

    def holds(self, path: str, file: str, sha256: str) -> bool:
        """Whether an object is the one that ``put_file`` made of a file. Endpoints that keep no
        notes are asked for the MD5, which an object that came in one part has."""
        found = self._head(path)
        if found is None or found.get("ContentLength") != Path(file).stat().st_size:
            return False
        for name, noted in found["Metadata"].items():
            if name.lower() == "sha256":  # some servers write names in their own way
                return bool(noted == sha256)
        with open(file, "rb") as data:
            md5 = hashlib.md5()
            while chunk := data.read(CHUNK):
                md5.update(chunk)
        return bool(found.get("ETag", "").strip('"') == md5.hexdigest())

    def size_of(self, path: str) -> int | None:
        """Bytes of an object."""
        found = self._head(path)
        if found is None:
            return None
        return int(_required(found, "ContentLength", f"{self._url}/{path}"))

    def sizes(self) -> Iterator[tuple[str, int]]:
        """All objects below the prefix, with their sizes."""
        prefix = f"{self._prefix}/" if self._prefix else ""
        with self._asking("") as client:
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix
            )
            for page in pages:
                for one in page.get("Contents", ()):
                    key = str(_required(one, "Key", self._url))
                    yield key.removeprefix(prefix), int(_required(one, "Size", self._url))

    def remove(self, path: str) -> None:
        """Remove an object, if it is there."""
        with self._asking(path) as client:
            client.delete_object(Bucket=self._bucket, Key=self._key(path))

    def _head(self, path: str) -> Any:
        try:
            with self._asking(path) as client:
                return client.head_object(Bucket=self._bucket, Key=self._key(path))
        except NotFound:
            return None

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._client is not None and self._pid == os.getpid():
                self._client.close()
            self._client = None


def _required(answer: Mapping[str, Any], name: str, where: str) -> Any:
    if name not in answer:
        raise SourceError(f"{where}: the bucket does not say {name}")
    return answer[name]


def _client() -> S3Client:
    session = boto3.session.Session()
    config = botocore.config.Config(
        max_pool_connections=_CONNECTIONS,
        connect_timeout=10,
        read_timeout=30,
        retries={"mode": "standard", "max_attempts": 4},
        # Many endpoints other than Amazon's do not know the checksums that newer clients add.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        signature_version=None if session.get_credentials() else botocore.UNSIGNED,
    )
    region = None if session.region_name else "us-east-1"
    client: S3Client = session.client("s3", config=config, region_name=region)
    return client
