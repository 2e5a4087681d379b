"""Local mode: a registry of genomes in a folder that is ours, over an archive in the same folder.

A genome of the archive is a collection with an alias in the namespace ``refgenie``; one batch
brings its sequences, the alias and what is said of it. Genomes elsewhere are in ``remote``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import loading
from ..deflines import Naming
from ..errors import BadName, NotFound, SeqArchiveError
from ..identifiers import Alias, check_alias
from ..instances import Instance
from ..load_options import LoadOptions, LoadReport
from ..namespaces import GENOMES, canonical
from ..new_aliases import OnConflict
from ..reader import ArchiveReader
from ..seqcol.digests import digests_of
from ..seqcol.fhr import merged, require_agreement
from ..seqcol.naming import name_collections, set_fhr
from ..seqcol.of_files import members_of_file
from .genome import Genome, described, require_free, taken_from
from .opening import make_source
from .reading import GenomeAliases, ReadMode, remotes_of
from .remote import RemoteGenome

if TYPE_CHECKING:
    from .fetching import FetchReport


class Initialized(NamedTuple):
    """What became of a genome that was to be there."""

    genome: Genome
    is_new: bool
    """Whether anything of it was not there before."""
    report: LoadReport | None = None


class LocalMode(ReadMode):
    """The genomes of a folder, which is the root of an archive; it is made when it is needed.

    Args:
        folder: Where it is.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder).absolute()
        self.remote = remotes_of(self.folder)
        super().__init__(None, self.remote)
        self.aliases: StoreAliasManager = StoreAliasManager(self)
        self._opened: ArchiveReader | None = None

    def __repr__(self) -> str:
        return f"<seqarchive.LocalMode {self.folder}>"

    @property
    def instance(self) -> Instance:
        """The part of the archive that is written."""
        return Instance(self.folder)

    @property
    def archive(self) -> ArchiveReader | None:
        """The archive, open for reading; None if there is none yet."""
        if self._opened is None and self.instance.database.exists():
            self._opened = ArchiveReader.of(self.instance)
        return self._opened

    def close(self) -> None:
        """Close what is open; it is opened again when it is needed."""
        if self._opened is not None:
            self._opened.close()

    # --- genomes that are here --------------------------------------------------------------------

    def init(
        self,
        fasta: str | os.PathLike[str],
        names: Sequence[str],
        *,
        namespace: str | None = None,
        on_conflict: OnConflict = OnConflict.ERROR,
        progress: Callable[[int], None] = lambda _n: None,
        description: str | None = None,
        species: str | None = None,
        fhr: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Initialized:
        """Have a FASTA file as a genome: all of it by one commit, or nothing. What is there already
        adds nothing.

        Args:
            fasta: Compressed or not; ``-`` is standard input.
            names: What it is called; at least one.
            namespace: In which the names of its sequences become aliases, if they are to.
            on_conflict: When a name means another genome.
            description, species: What it is; see ``described``.
            fhr: What else is said of it, besides what is said already.
            options: Others of ``LoadOptions``.

        Raises:
            BadName: A name that cannot be one. AliasConflict: It means another genome already.
            Conflict: Something else is said of it already; ``set`` replaces that. BadInput: A
            file that is not right, or has a name twice. Locked, NotFound: As they say. Nothing is
            changed then.
        """
        aliases = tuple(_alias(name) for name in names)
        if not aliases:
            raise BadName("a genome needs a name")
        self._require_free_elsewhere(fasta, aliases, on_conflict)
        load_options = LoadOptions(
            Naming("" if namespace is None else canonical(namespace)),
            on_conflict,
            collections=aliases,
            fhr=described(fhr, description, species) or None,
            is_genome=True,
            **options,
        )
        report = loading.load(self.instance, [os.fspath(fasta)], load_options, progress)
        digest = report.files[0]["collection"]
        self._come_home(digest)
        return Initialized(self.find(digest), report.batch is not None, report)

    def _require_free_elsewhere(
        self, fasta: str | os.PathLike[str], aliases: Sequence[Alias], on_conflict: OnConflict
    ) -> None:
        """Raise AliasConflict if a remote genome that the file is not has one of these names."""
        names = [alias.alias for alias in aliases]
        elsewhere = self.aliases.elsewhere()
        if on_conflict is not OnConflict.ERROR or not any(name in elsewhere for name in names):
            return
        digest = digests_of(members_of_file(os.fspath(fasta))).digest
        require_free(elsewhere, names, digest)

    def _come_home(self, digest: str) -> None:
        """Have a genome that is here now be no remote one any more, and names that it has no names
        of remote ones."""
        here = set(self.find(digest).names)
        for one in self.remote.list():
            if one.digest == digest:
                self.remote.remove(digest)
                others = [name for name in one.names if name not in here]
                if others:
                    self.aliases.set(others, digest)
            elif here & set(one.names):
                self.remote.set_names(one.digest, [name for name in one.names if name not in here])

    # --- genomes that are elsewhere -------------------------------------------------------------

    def init_remote(
        self,
        url: str,
        names: Sequence[str],
        *,
        identifier: str | None = None,
        namespace: str | None = None,
        description: str | None = None,
        species: str | None = None,
        fhr: Mapping[str, Any] | None = None,
        on_conflict: OnConflict = OnConflict.ERROR,
    ) -> Initialized:
        """Have a collection that is elsewhere as a genome; no residues are fetched.

        Args:
            url: Of a RefgetStore, an archive or a server; see ``make_source``.
            names: What it is called here; at least one.
            identifier: Digest or alias of the collection there; the first name if None.
            namespace: Of the alias there; all of them if None.

        Raises:
            SourceError: There is nothing at the address. NotFound, Ambiguous: The source has no
                such collection, or several. AliasConflict: See ``on_conflict``. Conflict: As for
                ``init``.
        """
        aliases = [_alias(name) for name in names]
        if not aliases:
            raise BadName("a genome needs a name")
        source = make_source(url, cache=self.remote.cache)
        wanted = identifier or aliases[0].alias
        digest = source.collection(wanted, namespace).digest
        called = [alias.alias for alias in aliases]
        here = self.aliases.here()
        taken = taken_from(here, called, digest)
        if on_conflict is OnConflict.ERROR:
            require_free(here, called, digest)
        known = self._here(digest)
        if known is not None:  # its sequences are in the archive
            more = described(fhr, description, species)
            require_agreement(known.fhr() or {}, more, digest)
            n_new = self.aliases.set(called, digest, on_conflict=on_conflict)
            is_new = self.set(digest, fhr=more)
            return Initialized(self.find(digest), bool(n_new) or is_new)
        if taken and on_conflict is OnConflict.REPLACE:
            self.aliases.remove(taken)
        added = self.remote.add(
            source,
            digest,
            [name for name in called if name not in taken or on_conflict is OnConflict.REPLACE],
            description=description,
            species=species,
            fhr=fhr,
            on_conflict=on_conflict,
        )
        return Initialized(self._remote_genome(added.genome), added.changed)

    def fetch(
        self, name: str, progress: Callable[[int], None] = lambda _n: None, **options: Any
    ) -> FetchReport | None:
        """Have all of a remote genome here. Returns None if it was here already.

        Args:
            progress: Called with numbers of residues.
            options: Of ``fetch_all``.

        Raises:
            NotFound: There is no such genome. SourceError, DigestMismatch: Of its source; what is
                complete is not fetched again.
        """
        genome = self._find(name)
        if not isinstance(genome, RemoteGenome):
            return None
        from .fetching import fetch_all  # noqa: PLC0415  (slow, and seldom used)

        return fetch_all(genome, self.instance, progress, **options)

    def sync(self) -> Iterator[tuple[RemoteGenome, str]]:
        """Look again at the sources of all remote genomes: whether they have them, and how their
        residues are read. Each with ``same``, ``changed``, or what is wrong."""
        for genome in self.remote.list():
            try:
                source = make_source(genome.url, cache=self.remote.cache)
                added = self.remote.add(source, genome.digest)
                yield added.genome, "changed" if added.changed else "same"
            except SeqArchiveError as error:
                yield genome, str(error)

    # --- all of them ------------------------------------------------------------------------------

    def remove(self, name: str) -> list[str]:
        """Have a genome be none any more: its names end. Its sequences stay in the archive.

        Returns:
            The names that it had.

        Raises:
            NotFound: There is no such genome.
        """
        found = self._find(name)
        names = self._as_genome(found, name).names
        if isinstance(found, RemoteGenome):
            self.remote.remove(found.digest)
        elif not names:
            raise NotFound(f"{name!r} is a collection of the archive, and no genome")
        else:
            self.aliases.remove(names)
        return list(names)

    def set(
        self,
        name: str,
        *,
        description: str | None = None,
        species: str | None = None,
        fhr: Mapping[str, Any] | None = None,
    ) -> bool:
        """Say something of a genome, besides what is said already or in its place. Returns whether
        that is new.

        Args:
            description, species: As for ``described``.
            fhr: FHR, or a part of it.

        Raises:
            NotFound: There is no such genome.
        """
        found = self._find(name)
        before = self._as_genome(found, name).fhr
        document = described(merged(before, fhr or {}), description, species)
        if document == before:
            return False
        if isinstance(found, RemoteGenome):
            self.remote.set_fhr(found.digest, document)
        else:
            set_fhr(self.instance, found.digest, document)
        return True


def _alias(name: str) -> Alias:
    """The alias that the name of a genome is.

    Raises:
        BadName: It can be none.
    """
    return Alias(GENOMES, check_alias(name.removeprefix(f"{GENOMES}:")))


class StoreAliasManager(GenomeAliases):
    """The names of the genomes of a folder."""

    _mode: LocalMode

    def set(
        self,
        names: Sequence[str],
        identifier: str,
        *,
        on_conflict: OnConflict = OnConflict.ERROR,
    ) -> int:
        """Give a genome, or any collection of the archive, more names. Returns how many are new.

        Raises:
            NotFound: There is no such genome. AliasConflict: A name means another one.
            BadName: A name that can be none.
        """
        wanted = [_alias(name).alias for name in names]
        genome, known = self._mode.find(identifier), self.all()
        taken = taken_from(known, wanted, genome.digest)
        if on_conflict is OnConflict.ERROR:
            require_free(known, wanted, genome.digest)
        if on_conflict is OnConflict.KEEP:
            wanted = [name for name in wanted if name not in taken]
        elif taken:
            self.remove(taken)
        if genome.source is None:
            ours = [Alias(GENOMES, name) for name in wanted]
            name_collections(self._mode.instance, genome.digest, ours, on_conflict)
        else:
            self._mode.remote.set_names(genome.digest, [*genome.names, *wanted])
        return sum(known.get(name) != genome.digest for name in wanted)

    def remove(self, names: Sequence[str]) -> None:
        """End names; the log of the archive keeps what those in it meant.

        Raises:
            NotFound: One means nothing; nothing was changed.
        """
        wanted = [_alias(name).alias for name in names]
        here, everything = self.here(), self.all()
        for name in wanted:
            if name not in everything:
                raise NotFound(f"{name!r} is no name of a genome")
        ours = [Alias(GENOMES, name) for name in wanted if name in here]
        if ours:
            name_collections(self._mode.instance, None, ours)
        for one in self._mode.remote.list():
            kept = [name for name in one.names if name not in wanted]
            if len(kept) < len(one.names):
                self._mode.remote.set_names(one.digest, kept)
