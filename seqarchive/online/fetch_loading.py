"""Fetch and load: records by accession from public services, as one batch or not at all.

Known already? -> asked for -> looked at -> gathered in files -> loaded. The archive is not touched
before all that was asked for is here, and right.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from ..database import Database
from ..deflines import Naming
from ..errors import NotFound, SeqArchiveError, SourceError
from ..identifiers import Alias
from ..instances import Instance
from ..loading import LoadOptions, LoadReport, load
from ..new_aliases import OnConflict
from . import ensembl, entrez
from .accessions import Accession, Service, parse
from .answers import BadAnswer, found_in
from .polite import Clock, PoliteSession

#: Failures that a message says one by one.
_SAID = 10

#: Requests of a service that fail one after another before no more are made.
_ENOUGH = 3

Progress = Callable[[int], None]
"""Called with the number of accessions that are done since the last call."""


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """How to fetch and load.

    Args:
        on_conflict: When an alias already means another sequence.
        skip_errors: Load what could be had, and report the rest, instead of failing.
        dry_run: Say what would be fetched; ask nobody, write nothing.
        api_key: NCBI's.
        email: Whom the services can write to.
        timeout: Seconds to connect, and between two bytes.
        retries: How often to ask again after a passing failure.
        clock: What is waited by.
    """

    on_conflict: OnConflict = OnConflict.ERROR
    skip_errors: bool = False
    dry_run: bool = False
    api_key: str | None = field(default=None, repr=False)
    email: str | None = None
    ncbi_url: str = entrez.PUBLIC_URL
    ensembl_url: str = ensembl.PUBLIC_URL
    timeout: float = 60.0
    retries: int = 4
    clock: Clock | None = None


@dataclass(slots=True)
class FetchReport:
    """What became of each accession that was asked for."""

    dry_run: bool = False
    asked: int = 0
    """Different ones."""
    known: int = 0
    """That the archive had already; no service was asked for them."""
    wanted: list[dict[str, str]] = field(default_factory=list)
    """Of a dry run: the others, and where each would be fetched from."""
    fetched: int = 0
    resolved: dict[str, str] = field(default_factory=dict)
    """Accession without a version -> the one that came for it."""
    failed: list[dict[str, str]] = field(default_factory=list)
    """Those that could not be had, and why."""
    requests: int = 0
    bytes: int = 0
    batch: int | None = None
    load: LoadReport | None = None
    """None if there was nothing to load."""
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return found | {"load": None if self.load is None else self.load.as_dict()}


class Source(Protocol):
    """A service that gives records by accession."""

    name: str

    def batches(self, accessions: Iterable[Accession]) -> Iterator[list[Accession]]:
        """The same in the order and the portions in which they are asked for."""

    def label(self, accession: Accession) -> str:
        """What to call the origin of a record; it can be the name of a file."""

    def ask(self, accessions: Sequence[Accession], into: BinaryIO) -> None:
        """Append what it has of a portion to a file as FASTA.

        Raises:
            NotFound, BadAnswer: What may be true of some of them only. SourceError: It failed.
        """


def fetch_load(
    instance: Instance,
    accessions: Iterable[str],
    options: FetchOptions | None = None,
    progress: Progress = lambda _n: None,
) -> FetchReport:
    """Fetch records that the archive lacks, and load them as one batch.

    Args:
        accessions: With or without version and ``namespace:``. Without a version the newest is
            fetched, and named as the service names it.

    Raises:
        BadName: Not an accession; nobody was asked. NotFound: A service has no such record, or not
            in this version. SourceError: A service failed, or sent what is not right.
        AliasConflict, Locked, ReadOnly: As for ``load``. The archive is as before, whatever is
            raised.
    """
    started = time.monotonic()
    options = options or FetchOptions()
    asked = list(dict.fromkeys(map(parse, accessions)))
    instance.require_writable()
    known = _known(instance, asked)
    wanted = [one for one in asked if one not in known]
    report = FetchReport(options.dry_run, len(asked), len(known))
    progress(len(known))
    if options.dry_run:
        report.wanted = [_where(one) for one in wanted]
    elif wanted:
        with tempfile.TemporaryDirectory(prefix="seqarchive-") as name:
            fetching = _Fetching(Path(name), options, report, progress)
            fetching.fetch(wanted)
            _load(instance, fetching, options, report)
    report.seconds = round(time.monotonic() - started, 3)
    return report


def _known(instance: Instance, asked: Iterable[Accession]) -> set[Accession]:
    """Those that are names in the archive. One without a version may mean a newer one by now."""
    if not instance.database.exists():
        return set()
    by_alias = {one.alias: one for one in asked if one.version is not None}
    known = set()
    with closing(Database.of(instance)) as database:
        for namespace in {alias.namespace for alias in by_alias}:
            names = [alias.alias for alias in by_alias if alias.namespace == namespace]
            for name, _ in database.locate_aliases(namespace, names):
                known.add(by_alias[Alias(namespace, name)])
    return known


_KINDS: dict[Service, type[entrez.Entrez] | type[ensembl.Ensembl]] = {
    Service.NCBI: entrez.Entrez,
    Service.ENSEMBL: ensembl.Ensembl,
}


def _where(accession: Accession) -> dict[str, str]:
    source = _KINDS[accession.service].label(accession)
    return {"accession": str(accession.alias), "source": source}


class _Fetching:
    """Fetches into a directory: one file for each origin of records, right as far as it goes."""

    def __init__(
        self, directory: Path, options: FetchOptions, report: FetchReport, progress: Progress
    ) -> None:
        self._directory = directory
        self._options = options
        self._report = report
        self._progress = progress
        self._missing: list[NotFound] = []
        self._failures = 0  # of requests, since the last one that went well
        self.records: dict[str, Alias] = {}
        """First word of a defline -> the name of the record."""

    @property
    def files(self) -> list[Path]:
        """What has been fetched."""
        return [path for path in sorted(self._directory.iterdir()) if path.stat().st_size]

    def fetch(self, accessions: Sequence[Accession]) -> None:
        """Fetch all of these; reports those that cannot be had.

        Raises:
            NotFound, SourceError: One cannot be had, and none shall be left out.
        """
        options = self._options
        with PoliteSession(
            email=options.email,
            timeout=options.timeout,
            retries=options.retries,
            secrets=(options.api_key or "",),
            clock=options.clock,
        ) as session:
            sources: dict[Service, Source] = {
                Service.NCBI: entrez.Entrez(
                    session, options.ncbi_url, api_key=options.api_key, email=options.email
                ),
                Service.ENSEMBL: ensembl.Ensembl(session, options.ensembl_url),
            }
            try:
                for service, source in sources.items():
                    self._fetch_from(source, [one for one in accessions if one.service is service])
            finally:
                self._report.requests = session.n_requests
                self._report.bytes = session.n_bytes
        if self._missing:
            raise _summary(self._missing)

    def _fetch_from(self, source: Source, accessions: Iterable[Accession]) -> None:
        self._failures = 0
        for batch in source.batches(accessions):
            if not (self._missing and batch[0].is_large):  # it would be in vain
                self._fetch_batch(source, batch)

    def _fetch_batch(self, source: Source, batch: list[Accession]) -> None:
        left = batch
        if len(batch) > 1:
            try:
                found = self._ask(source, batch)
            except (NotFound, BadAnswer):
                found = {}  # perhaps because of a single one; which one is seen below
            except SourceError as error:
                for one in batch:
                    self._leave_out(one, error)
                return
            left = [one for one in batch if one not in found]
        for one in left:
            try:
                self._ask(source, [one])
            except (NotFound, SourceError) as error:
                self._leave_out(one, error)

    def _ask(self, source: Source, batch: Sequence[Accession]) -> dict[Accession, Accession]:
        """Those that came of a batch, each in the version in which it came."""
        if self._failures >= _ENOUGH:
            raise SourceError(f"not asked for: {source.name} failed {_ENOUGH} times in a row")
        with open(self._directory / source.label(batch[0]), "a+b") as file:
            start = file.seek(0, os.SEEK_END)
            try:
                source.ask(batch, file)
                file.seek(start)
                found = found_in(file, batch, source.name)
                file.write(b"\n")  # the next record begins on a line of its own
            except (NotFound, SourceError) as error:
                file.truncate(start)
                its_fault = isinstance(error, SourceError) and not isinstance(error, BadAnswer)
                self._failures = self._failures + 1 if its_fault else 0
                raise
        self._failures = 0
        for asked, got in found.items():
            self.records[str(got)] = got.alias
            if asked != got:
                self._report.resolved[str(asked.alias)] = str(got.alias)
        self._report.fetched = len(self.records)
        self._progress(len(found))
        return found

    def _leave_out(self, accession: Accession, error: SeqArchiveError) -> None:
        if not self._options.skip_errors:
            if not isinstance(error, NotFound):
                raise error
            self._missing.append(error)
        self._report.failed.append({"accession": str(accession.alias), "reason": str(error)})
        self._progress(1)


def _summary(missing: list[NotFound]) -> NotFound:
    """One error for all records that there are not."""
    reasons = "; ".join(map(str, missing[:_SAID]))
    more = f"; and {len(missing) - _SAID:,} more" if len(missing) > _SAID else ""
    return NotFound(f"{reasons}{more}; nothing was loaded")


def _load(
    instance: Instance, fetching: _Fetching, options: FetchOptions, report: FetchReport
) -> None:
    if not fetching.records:
        return
    table = {word: (alias,) for word, alias in fetching.records.items()}
    namespace = next(iter(fetching.records.values())).namespace
    labels = {str(path): path.name for path in fetching.files}
    report.load = load(
        instance,
        labels,
        LoadOptions(Naming(namespace, table=table), options.on_conflict),
        kind="fetch-load",
        labels=labels,
    )
    report.batch = report.load.batch
