"""Verify: everything in a RefgetStore that is not as it should be, each with its file.

gtars believes what the files of a store say. Here every digest is computed again: those of the
manifest from the indexes, those of collections from their lists, and, in full, those of sequences
from their payloads.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..errors import Corrupt, NotFound, SourceError
from ..identifiers import digest_text
from ..seqcol.digests import CollectionHasher
from ..sources.base import Source, persistently
from ..sources.directory import DirectorySource
from .alphabets import Alphabet, has_clean_padding, unpack
from .layout import MANIFEST, ROW, Mode, aliases_path, collection_path
from .parsing import (
    CollectionRow,
    Manifest,
    Row,
    parse_collection_row,
    parse_header,
    parse_manifest,
    parse_row,
)
from .payloads import pieces

Progress = Callable[[int], None]

_MAX_MANIFEST = 64 << 20
_MAX_SIDECAR = 64 << 20
_MAX_LINE = 1 << 20


class StoreFinding(NamedTuple):
    """Something that is not as it should be."""

    path: str
    """Of a file of the store."""
    what: str


@dataclass(slots=True)
class StoreVerifyReport:
    """What was looked at, and what was found."""

    address: str
    full: bool
    sequences: int = 0
    collections: int = 0
    payload_bytes: int = 0
    """That were hashed."""
    findings: list[StoreFinding] = field(default_factory=list)
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return found | {"findings": [one._asdict() for one in self.findings]}


def verify_rgstore(
    source: Source, *, full: bool = False, progress: Progress = lambda _n: None
) -> StoreVerifyReport:
    """Look at a store.

    Args:
        full: Hash every payload; otherwise only look at their sizes, and only in a directory.
        progress: Called with numbers of bytes of payloads that were hashed.

    Raises:
        NotFound: There is no store. SourceError: It cannot be read. NewerFormat: Another version.
    """
    started = time.monotonic()
    report = StoreVerifyReport(source.address, full)
    _Verifying(source, report, progress).run()
    report.findings.sort()
    report.seconds = round(time.monotonic() - started, 3)
    return report


class _Verifying:
    def __init__(self, source: Source, report: StoreVerifyReport, progress: Progress) -> None:
        self._source = source
        self._report = report
        self._progress = progress
        self._rows: dict[str, tuple[int, Alphabet, str]] = {}
        self._seen: set[str] = {MANIFEST}

    def _find(self, path: str, what: str) -> None:
        self._report.findings.append(StoreFinding(path, what))

    def run(self) -> None:
        """Look at everything."""
        data = self._read(MANIFEST, _MAX_MANIFEST)
        if data is None:
            raise NotFound(f"{self._source.address} has no {MANIFEST}: it is no RefgetStore")
        try:
            manifest = parse_manifest(data, MANIFEST)
        except Corrupt as error:
            self._find(MANIFEST, str(error).removeprefix(f"{MANIFEST}: "))
            return
        self._sequences(manifest)
        collections = self._collections(manifest)
        self._aliases(manifest, collections)
        self._fhr(manifest, collections)
        self._payloads(manifest)
        self._foreign()

    def _read(self, path: str, max_bytes: int) -> bytes | None:
        self._seen.add(path)
        try:
            return persistently(lambda: self._source.read(path, max_bytes))
        except NotFound:
            return None

    def _lines(self, path: str, sha256: Any = None) -> Iterator[tuple[int, str]]:
        """The lines of a file with their numbers; what cannot be one is a finding."""
        self._seen.add(path)
        rest, number = b"", 0
        try:
            with self._source.stream(path) as (_, chunks):
                for chunk in chunks:
                    if sha256 is not None:
                        sha256.update(chunk)
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        number += 1
                        yield from self._line(path, number, line)
                    if len(rest) > _MAX_LINE:
                        self._find(path, f"line {number + 1} is longer than {_MAX_LINE:,} bytes")
                        return
        except NotFound:
            self._find(path, "missing")
            return
        if rest:
            self._find(path, "the last line does not end")
            yield from self._line(path, number + 1, rest)

    def _line(self, path: str, number: int, line: bytes) -> Iterator[tuple[int, str]]:
        try:
            yield number, line.removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError:
            self._find(path, f"line {number} is not UTF-8")

    def _digest(self, manifest: Manifest, name: str, sha256: Any, path: str) -> None:
        said = manifest.digests.get(name)
        if said is not None and said != sha256.hexdigest():
            self._find(MANIFEST, f"{name}_digest is not that of {path}")

    # --- indexes ------------------------------------------------------------------------------

    def _sequences(self, manifest: Manifest) -> None:
        path, sha256, last, n_bytes = manifest.sequence_index, hashlib.sha256(), "", 0
        for number, line in self._lines(path, sha256):
            if number == 1 and line + "\n" != ROW and not line.startswith("#name\t"):
                self._find(path, "the first line is not the header")
            if not line or line.startswith("#"):
                continue
            try:
                row = parse_row(line)
            except ValueError as error:
                self._find(path, f"line {number}: {error}")
                continue
            if row.digest in self._rows:
                self._find(path, f"line {number}: {row.digest} twice")
            elif row.digest < last:
                self._find(path, f"line {number}: not sorted by digest")
            last = row.digest
            self._rows[row.digest] = (row.length, row.alphabet, row.md5)
            n_bytes += self._size(manifest, row.length, row.alphabet)
        self._report.sequences = len(self._rows)
        self._digest(manifest, "sequences", sha256, path)
        if manifest.logical_bytes not in (None, n_bytes):
            self._find(
                MANIFEST,
                f"logical_sequence_bytes is {manifest.logical_bytes:,}, by the index {n_bytes:,}",
            )

    @staticmethod
    def _size(manifest: Manifest, length: int, alphabet: Alphabet) -> int:
        return length if manifest.mode is Mode.RAW else alphabet.n_bytes(length)

    def _collections(self, manifest: Manifest) -> set[str]:
        path, sha256, last = manifest.collection_index, hashlib.sha256(), ""
        if path is None:
            return set()
        rows: dict[str, CollectionRow] = {}
        for number, line in self._lines(path, sha256):
            if not line or line.startswith("#"):
                continue
            try:
                row = parse_collection_row(line)
            except ValueError as error:
                self._find(path, f"line {number}: {error}")
                continue
            if row.digest in rows:
                self._find(path, f"line {number}: {row.digest} twice")
            elif row.digest < last:
                self._find(path, f"line {number}: not sorted by digest")
            last = row.digest
            rows[row.digest] = row
        self._digest(manifest, "collections", sha256, path)
        self._report.collections = len(rows)
        for row in rows.values():
            self._collection(row)
        return set(rows)

    def _collection(self, said: CollectionRow) -> None:
        path = collection_path(said.digest)
        hasher, headers = CollectionHasher(), {}
        is_whole = True
        for number, line in self._lines(path):
            try:
                header = parse_header(line)
                if header is not None:
                    headers[header[0]] = header[1]
                    continue
                if not line or line.startswith("#"):
                    continue
                row = parse_row(line)
            except ValueError as error:
                self._find(path, f"line {number}: {error}")
                is_whole = False
                continue
            hasher.add(row.name, row.length, row.digest)
            self._member(path, number, row)
        found = hasher.digests()
        if not is_whole:
            return
        if hasher.n_members != said.n_members:
            self._find(path, f"{hasher.n_members:,} members, the index says {said.n_members:,}")
        facts = {"seqcol": found.digest, **found.level1()}
        claims = [
            ("the header", headers),
            ("the index", {"seqcol": said.digest, **said.attributes}),
        ]
        for who, digests in claims:
            for name, digest in digests.items():
                if facts.get(name, digest) != digest:
                    self._find(path, f"{name}_digest is {facts[name]}, {who} says {digest}")

    def _member(self, path: str, number: int, row: Row) -> None:
        known = self._rows.get(row.digest)
        if known is None:
            self._find(path, f"line {number}: {row.digest} is not in the index of sequences")
        elif known != (row.length, row.alphabet, row.md5):
            self._find(path, f"line {number}: the index says something else of {row.digest}")

    # --- names and descriptions ---------------------------------------------------------------

    def _aliases(self, manifest: Manifest, collections: set[str]) -> None:
        sha256 = hashlib.sha256()
        for kind, namespaces, targets in (
            ("collections", manifest.collection_namespaces, collections),
            ("sequences", manifest.sequence_namespaces, self._rows.keys()),
        ):
            for namespace in sorted(namespaces):
                path, last = aliases_path(kind, namespace), ""
                for number, line in self._lines(path, sha256):
                    if not line or line.startswith("#"):
                        continue
                    alias, tab, digest = line.partition("\t")
                    if not tab or digest not in targets:
                        self._find(
                            path, f"line {number}: {alias[:60]!r} names nothing that is here"
                        )
                    elif alias < last:
                        self._find(path, f"line {number}: not sorted")
                    last = alias
        self._digest(manifest, "aliases", sha256, "the files of aliases")

    def _fhr(self, manifest: Manifest, collections: set[str]) -> None:
        if not isinstance(self._source, DirectorySource):
            return
        sha256 = hashlib.sha256()
        for file in sorted((self._source.path / "fhr").glob("*.fhr.json")):
            path = f"fhr/{file.name}"
            data = self._read(path, _MAX_SIDECAR) or b""
            sha256.update(data)
            if file.name.removesuffix(".fhr.json") not in collections:
                self._find(path, "of a collection that is not here")
            try:
                if not isinstance(json.loads(data), dict):
                    raise ValueError
            except (ValueError, RecursionError):
                self._find(path, "not a JSON object")
        self._digest(manifest, "fhr", sha256, "the files in fhr")

    # --- payloads -----------------------------------------------------------------------------

    def _payloads(self, manifest: Manifest) -> None:
        for digest, (length, alphabet, md5) in self._rows.items():
            path = manifest.payload(digest)
            self._seen.add(path)
            size = self._size(manifest, length, alphabet)
            if self._report.full:
                stored = alphabet if manifest.mode is Mode.ENCODED else Alphabet.ASCII
                self._payload(path, digest, md5, Row("", length, stored, digest, md5, ""), size)
            elif isinstance(self._source, DirectorySource):
                file = self._source.path / path
                if file.is_symlink() or not file.is_file():
                    self._find(path, "missing, or no file")
                elif file.stat().st_size != size:
                    self._find(path, f"{file.stat().st_size:,} bytes instead of {size:,}")

    def _payload(self, path: str, digest: str, md5: str, row: Row, size: int) -> None:
        sha512, other, n_bytes, last = hashlib.sha512(), hashlib.md5(), 0, b""
        left = row.length
        try:
            with self._source.stream(path) as (_, chunks):
                for piece in pieces(chunks):
                    n_bytes += len(piece)
                    if n_bytes > size:
                        self._find(path, f"more than {size:,} bytes")
                        return
                    length = min(left, len(piece) * 8 // row.alphabet.bits)
                    residues = unpack(piece, length, row.alphabet)
                    left -= length
                    sha512.update(residues)
                    other.update(residues)
                    last = piece
                    self._progress(len(piece))
        except NotFound:
            self._find(path, "missing")
            return
        except SourceError as error:
            self._find(path, str(error))
            return
        self._report.payload_bytes += n_bytes
        if n_bytes != size:
            self._find(path, f"{n_bytes:,} bytes instead of {size:,}")
        elif digest_text(sha512.digest()[:24]) != digest:
            self._find(path, "the residues are not those of the digest")
        elif other.hexdigest() != md5:
            self._find(path, "the MD5 in the index is not that of the residues")
        n_last = row.length - (n_bytes - len(last)) * 8 // row.alphabet.bits
        if n_bytes == size and not has_clean_padding(last, n_last, row.alphabet):
            self._find(path, "the bits behind the last residue are not zero")

    # --- what does not belong here --------------------------------------------------------------

    def _foreign(self) -> None:
        if not isinstance(self._source, DirectorySource):
            return
        for file in sorted(self._source.path.rglob("*")):
            path = file.relative_to(self._source.path).as_posix()
            if file.is_symlink() or (not file.is_dir() and path not in self._seen):
                self._find(path, "nothing that belongs here")
