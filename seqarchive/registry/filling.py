"""What goes into a registry: collections of files and stores, and files in buckets."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import BadInput, BadName, Conflict, NotFound
from ..identifiers import Alias, check_alias
from ..namespaces import GENOMES
from ..new_aliases import OnConflict
from ..readable import Readable
from ..seqcol.comparing import members_in, parse_level2
from ..seqcol.digests import CollectionDigests, Member, digests_of
from ..seqcol.of_files import members_of_file
from ..sources.base import Destination
from ..sources.opening import open_bucket
from .files import Access, FileFacts

if TYPE_CHECKING:
    from .changes import Changes
    from .registry import Registry

#: Bytes that are hashed at a time.
_CHUNK = 1 << 20

#: A bucket, as Amazon has it and as others do.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}\Z")

_GZIP = b"\x1f\x8b"

Progress = Callable[[int], None]


class Labels(NamedTuple):
    """How what is taken in is called."""

    name: str | None = None
    """Of a collection: as an alias in the namespace of genomes (``hg38``) if it can be one, with
    any other namespace (``ucsc:hg38``), or for people only (``Human GRCh38``)."""
    namespace: str | None = None
    """In which the names of members are aliases of sequences."""
    fhr: Mapping[str, Any] | None = None
    on_conflict: OnConflict = OnConflict.ERROR


class Taken(NamedTuple):
    """What became of a collection."""

    source: str
    digests: CollectionDigests
    n_members: int
    is_new: bool
    n_names: int
    """New, or of another meaning now."""


def collection_in(file: Path, progress: Progress = lambda _n: None) -> list[Member]:
    """The members of a FASTA file, or of a collection at level 2 (``.seqcol.json``).

    Raises:
        NotFound: No such file. BadInput: It is neither, or empty.
    """
    if file.name.endswith(".json"):
        if not file.is_file():
            raise NotFound(f"there is no file {file}")
        found = members_in(parse_level2(file.read_bytes(), str(file)), str(file))
    else:
        found = list(members_of_file(str(file), progress))
    if not found:
        raise BadInput("no sequences", file=str(file))
    return found


def load_file(
    registry: Registry, file: Path, labels: Labels, progress: Progress = lambda _n: None
) -> Taken:
    """Take the collection in that a file is, with its names, in one transaction.

    Raises:
        NotFound, BadInput: As for ``collection_in``. Conflict: A name means something else.
    """
    members = collection_in(file, progress)
    with registry.changing() as changes:
        return _take(changes, str(file), members, labels)


def _take(changes: Changes, source: str, members: list[Member], labels: Labels) -> Taken:
    digests, is_new = changes.add_collection(members)
    n_names = 0
    if labels.name is not None:
        alias = _alias(labels.name)
        if alias is not None:
            named = [(alias, digests.digest)]
            n_names += changes.add_names("collection", named, labels.on_conflict)
        else:
            n_names += changes.say_title(digests.digest, labels.name, labels.on_conflict)
    if labels.namespace is not None:
        called = ((Alias(labels.namespace, one.name), one.digest) for one in members)
        n_names += changes.add_names("sequence", called, labels.on_conflict)
    if labels.fhr is not None:
        changes.say_fhr(digests.digest, labels.fhr)
    return Taken(source, digests, len(members), is_new, n_names)


def _alias(name: str) -> Alias | None:
    """What a name is among aliases of collections; None if it can be none."""
    namespace, colon, alias = name.partition(":")
    try:
        return Alias(namespace, check_alias(alias)) if colon else Alias(GENOMES, check_alias(name))
    except BadName:
        return None


def load_archive(
    registry: Registry, archive: Readable, on_conflict: OnConflict = OnConflict.ERROR
) -> Iterator[Taken]:
    """Take in all collections of an archive or of a RefgetStore, with their names and FHR, one
    after the other; and in the end all aliases of sequences.

    Raises:
        Conflict: A name means something else. Collections before it are there.
    """
    for one in archive.collections():
        fhr = one.fhr()
        with registry.changing() as changes:
            digests, is_new = changes.add_collection(one.members())
            names = [(alias, digests.digest) for alias in one.aliases()]
            n_names = changes.add_names("collection", names, on_conflict)
            if fhr is not None:
                changes.say_fhr(digests.digest, fhr)
        yield Taken(archive.address, digests, len(one), is_new, n_names)
    with registry.changing() as changes:
        changes.add_names("sequence", archive.all_aliases(), on_conflict)


# --- files in buckets ---------------------------------------------------------------------------


class Bucket(NamedTuple):
    """Where files go, and how they are reached there."""

    name: str
    prefix: str = ""
    url_base: str | None = None
    """Of the bucket as the web sees it; files are said to be there too."""
    cloud: str | None = "aws"
    region: str | None = None

    @property
    def address(self) -> str:
        """As ``s3://``."""
        return f"s3://{self.name}/{self.prefix}".rstrip("/")

    def ways_to(self, name: str) -> tuple[Access, ...]:
        """How a file in it is reached."""
        ways = [Access("s3", f"{self.address}/{name}", self.cloud, self.region)]
        if self.url_base is not None:
            path = f"{self.prefix}/{name}" if self.prefix else name
            url = f"{self.url_base.rstrip('/')}/{path}"
            ways.append(Access(url.partition(":")[0], url))
        return tuple(ways)


def parse_bucket(
    text: str,
    *,
    prefix: str = "",
    url_base: str | None = None,
    cloud: str | None = "aws",
    region: str | None = None,
) -> Bucket:
    """A bucket that somebody wrote: its name, or ``s3://name/prefix``.

    Raises:
        BadName: It can be none.
    """
    name, _, rest = text.removeprefix("s3://").partition("/")
    path = "/".join(part for part in f"{rest}/{prefix}".split("/") if part)
    if _BUCKET.match(name) is None or not path.isprintable() or ".." in path.split("/"):
        raise BadName(f"{text!r} with the prefix {prefix!r} is no bucket")
    if url_base is not None and not re.match(r"https?://[^\s?#]+\Z", url_base):
        raise BadName(f"{url_base!r} is not where a bucket is on the web (https://...)")
    return Bucket(name, path, url_base, cloud, region)


def facts_of(file: Path, description: str | None = None) -> FileFacts:
    """What a file is, as a file.

    Raises:
        NotFound: There is none. BadName: It cannot have this name in a bucket.
    """
    hashers = [hashlib.sha256(), hashlib.md5(), hashlib.sha512()]
    size, head = 0, b""
    try:
        with open(file, "rb") as data:
            while chunk := data.read(_CHUNK):
                head = head or chunk[:2]
                size += len(chunk)
                for hasher in hashers:
                    hasher.update(chunk)
    except FileNotFoundError:
        raise NotFound(f"there is no file {file}") from None
    sha256, md5, sha512 = (hasher.hexdigest() for hasher in hashers)
    kind = "application/gzip" if head == _GZIP else "text/x-fasta"
    return FileFacts(check_alias(file.name), size, sha256, md5, sha512, kind, description)


def register_file(
    registry: Registry,
    bucket: Bucket,
    file: Path,
    labels: Labels | None = None,
    progress: Progress = lambda _n: None,
) -> tuple[Taken, bool]:
    """Upload a FASTA file, and note where it is.

    Args:
        labels: Take its collection in too; else it has to be there.

    Returns:
        What it is, and whether it was uploaded.

    Raises:
        NotFound: No such file, or its collection is not in the registry. BadInput: As for
            ``collection_in``. Conflict: There is another file under its name, in the bucket or in
            the registry; nothing was changed. SourceError: The bucket failed.
    """
    before = _stamp(file)
    facts = facts_of(file, labels.name if labels is not None else None)
    members = collection_in(file, progress)
    ways = bucket.ways_to(facts.name)
    for way in ways:
        registry.require_free(way.url, facts.sha256)
    if labels is None:
        registry.collection(digests_of(members).digest)
    is_uploaded = _upload(file, facts, open_bucket(bucket.address))
    if _stamp(file) != before:
        raise BadInput("it was changed while it was read; do it again", file=str(file))
    with registry.changing() as changes:
        taken = _take(changes, str(file), members, labels or Labels())
        changes.add_file(taken.digests.digest, facts, ways)
    return taken, is_uploaded


def _stamp(file: Path) -> tuple[int, int] | None:
    """What changes when a file does."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns


def _upload(file: Path, facts: FileFacts, bucket: Destination) -> bool:
    """Have a file in a bucket. Returns whether it was sent.

    Raises:
        Conflict: There is another one under its name.
    """
    with closing(bucket):
        if bucket.holds(facts.name, str(file), facts.sha256):
            return False
        if bucket.size_of(facts.name) is not None:
            raise Conflict(
                f"{bucket.address}/{facts.name} is another file; give the changed one another name"
            )
        bucket.put_file(facts.name, str(file), facts.sha256)
        return True
