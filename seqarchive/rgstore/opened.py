"""What is open of a RefgetStore: the manifest as it was last read, and what it names (indexes,
lists of collections, residues), read when it is needed and checked by the digests it gives.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator

from ..errors import Corrupt, NotFound, SourceError
from ..remote.cache import DiskCache
from ..sources.directory import DirectorySource
from ..sources.opening import open_source
from .collected import StoreCollection, checked
from .files import Data, Files, LocalFiles, RemoteFiles
from .layout import COLLECTIONS, MANIFEST, collection_path
from .parsing import Manifest, Row, is_digest, parse_manifest
from .payloads import Payloads
from .pulling import DIGEST, Pulled, pull
from .tables import Table

#: Bytes of the manifest at most.
_MAX_MANIFEST = 64 << 20

#: Lists of collections that are kept open.
_LOADED = 64

#: Digests of files without which nobody can tell from a manifest whether they are the same.
_TELLING = ("sequences", "collections")

#: How long to wait for a writer who has replaced an index and not yet the manifest.
_TURNS, _TURN = 20, 0.1


class State:
    """A store as one manifest has it."""

    def __init__(self, manifest: Manifest, files: Files, stamp: object, data: bytes = b"") -> None:
        self.manifest = manifest
        self.data = data
        self.stamp = stamp
        self.payloads = Payloads(files, manifest)
        self.tables: dict[str, Table | None] = {}
        self.scanned: list[Table] = []  # what stands for an index of collections, if there is none
        self.located: dict[str, Row] = {}
        self.collections: dict[str, StoreCollection] = {}
        self.loaded: deque[StoreCollection] = deque()
        self.fhr: dict[str, bytes] | None = None  # of all, if it was pulled
        self.pulled: Pulled | None = None

    @property
    def is_settled(self) -> bool:
        """Whether all of it is what the manifest names."""
        return self.pulled is not None and self.pulled.is_settled

    @property
    def is_unfinished(self) -> bool:
        """Whether somebody seems to write to the store just now."""
        return self.pulled is not None and not self.pulled.is_settled

    def pull(self, files: Files) -> None:
        """Have all indexes, aliases and FHR at hand, and remember the manifest that they are of."""
        found = self.pulled = pull(files, self.manifest)
        self.tables.update(found.tables)
        self.fhr = found.fhr
        if found.is_settled:
            files.remember(_name_of_manifest(files), self.data)


def _name_of_manifest(files: Files) -> str:
    return f"manifest {files.source.address}"


class OpenedStore:
    """A store, open.

    Args:
        address, cache, manifest, is_patient: As for ``RefgetStore``; raises as it does.
    """

    def __init__(
        self,
        address: str | os.PathLike[str],
        cache: DiskCache | None,
        manifest: bytes | None,
        *,
        is_patient: bool,
    ) -> None:
        source = open_source(address)
        self.files: Files = (
            LocalFiles(source)
            if isinstance(source, DirectorySource)
            else RemoteFiles(source, cache or DiskCache())
        )
        self._read_manifest = self.files.glance if is_patient else self.files.small
        self.is_stale = False
        """Whether it could not be reached, and is what it was before."""
        self._is_pulled = False
        self._unfinished: Manifest | None = None
        self.state = self._read_or_recalled() if is_patient else self._read(manifest)

    @property
    def address(self) -> str:
        """The path or the URL."""
        return self.files.source.address

    def _read(self, given: bytes | None = None) -> State:
        stamp = self.files.stamp(MANIFEST)
        try:
            data = self._read_manifest(MANIFEST, _MAX_MANIFEST) if given is None else given
        except NotFound:
            raise NotFound(f"{self.address} has no {MANIFEST}: it is no RefgetStore") from None
        return self._state_of(data, stamp)

    def _state_of(self, data: bytes, stamp: object) -> State:
        manifest = parse_manifest(data, f"{self.address}/{MANIFEST}")
        return State(manifest, self.files, stamp, data)

    def _read_or_recalled(self) -> State:
        try:
            return self._read()
        except SourceError:
            data = self.files.recalled(_name_of_manifest(self.files))
            if data is None:
                raise
            self.is_stale = True
            return self._state_of(data, None)

    def refresh(self) -> bool:
        """Look whether somebody has written to the store. Returns whether it is another one now.

        A store in a directory is looked at when something is not found; over a network one has to
        ask for it. One that does not say what its indexes are always is. Of a store that was
        pulled, what is new is pulled first: until then it is what it was.
        """
        found, now = self._read(), self.state
        self.is_stale = False
        tells = all(name in found.manifest.digests for name in _TELLING)
        tells = tells and (now.is_settled or not self._is_pulled)
        if tells and found.manifest == now.manifest:
            now.stamp = found.stamp
            return False
        if self._is_pulled:
            found.pull(self.files)
            if found.is_unfinished and found.manifest != self._unfinished:
                self._unfinished = found.manifest  # what is still so the next time is meant so
                return False
        self.state = found
        return True

    def pull(self) -> None:
        """Take all names and all that is said of collections: from then on they are at hand, and
        the store is asked for residues alone. What is known from before is taken from the disk, and
        so is all of it if the store cannot be reached.

        Raises:
            SourceError: The network or the server failed. Corrupt: A file is not the one that the
                manifest names.
        """
        self.state.pull(self.files)
        self._is_pulled = True

    def pulled(self) -> Pulled:
        """What was taken, and is taken now if nothing was."""
        state = self.state
        if state.pulled is None:
            self.pull()
            state = self.state
        assert state.pulled is not None
        return state.pulled

    def is_new(self) -> bool:
        """Whether a store in a directory was written to since it was read."""
        stamp = self.files.stamp(MANIFEST)
        return stamp is not None and stamp != self.state.stamp and self.refresh()

    def close(self) -> None:
        """Close what is open. The store opens it again when it is used again."""
        before = self.state
        self.state = State(before.manifest, self.files, before.stamp, before.data)
        self.files.close()

    def table(self, path: str, column: int, digest: str | None = None) -> Table | None:
        """An index; None if it is not there.

        Raises:
            Corrupt: It is not the one that the manifest names, also after a while.
        """
        for turn in range(_TURNS):
            state = self.state
            if path in state.tables:
                return state.tables[path]
            sha256 = state.manifest.digests.get(digest) if digest is not None else None
            try:
                data = self.files.index(path, sha256)
            except NotFound:
                return state.tables.setdefault(path, None)
            except Corrupt:
                if turn == _TURNS - 1 or not self._may_be_under_way():
                    raise
                time.sleep(_TURN)
                continue
            return state.tables.setdefault(path, Table(data, f"{self.address}/{path}", column))
        raise AssertionError  # the last turn returns or raises

    def _may_be_under_way(self) -> bool:
        """Whether a writer may be about to replace the manifest; looks at it again."""
        return self.refresh() or isinstance(self.files, LocalFiles)

    def sequences(self) -> Table:
        """The index of sequences. Raises Corrupt: It is missing."""
        path = self.state.manifest.sequence_index
        found = self.table(path, DIGEST, "sequences")
        if found is None:
            raise Corrupt(f"{self.address}/{path} is missing")
        return found

    def collection_index(self) -> Table:
        """The index of collections; made of their lists where there is none.

        Raises:
            SourceError: There is none, and lists cannot be listed.
        """
        path = self.state.manifest.collection_index
        found = None if path is None else self.table(path, 0, "collections")
        if found is not None:
            return found
        if not isinstance(self.files, LocalFiles):
            raise SourceError(f"{self.address} has no index of collections ({COLLECTIONS})")
        tables = self.state.scanned
        if not tables:
            lines = "".join(self._lines_of_lists(self.files))
            tables.append(Table(lines.encode("utf-8"), f"{self.address}/collections"))
        return tables[0]

    def _lines_of_lists(self, files: LocalFiles) -> Iterator[str]:
        """What an index of collections would have, from the lists themselves."""
        for name in files.names("collections", ".rgsi"):
            digest = name.removesuffix(".rgsi")
            if not is_digest(digest):
                continue  # no list of ours
            found, n_members, _ = checked(self.collection_table(digest), digest)
            cells = [digest, str(n_members)]
            cells += [found.names, found.sequences, found.lengths, found.name_length_pairs]
            yield "\t".join([*cells, found.sorted_name_length_pairs, found.sorted_sequences]) + "\n"

    def collection_table(self, digest: str, name: str | None = None) -> Table:
        """The list of a collection.

        Args:
            name: By which it may have been kept.

        Raises:
            Corrupt: It is missing.
        """
        path = collection_path(digest)
        data: Data | None = None if name is None else self.files.recalled(self._name_of(name))
        try:
            data = self.files.index(path, None) if data is None else data
        except NotFound as error:
            raise Corrupt(f"{error}, though the store has the collection") from None
        return Table(data, f"{self.address}/{path}")

    def is_kept(self, name: str) -> bool:
        """Whether a list that was checked was kept, by its name."""
        return self.files.recalled(self._name_of(name)) is not None

    def keep_table(self, name: str, table: Table) -> None:
        """Keep a list that was checked."""
        if not self.is_kept(name):
            self.files.remember(self._name_of(name), table.data)

    def _name_of(self, name: str) -> str:
        return f"list {self.address} {name}"

    def loaded(self, collection: StoreCollection) -> None:
        """Note that the list of a collection was read; there are not more than some at a time."""
        loaded = self.state.loaded
        loaded.append(collection)
        if len(loaded) > _LOADED:
            loaded.popleft().unload()
