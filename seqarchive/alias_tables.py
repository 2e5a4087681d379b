"""Tables of aliases: namespace, alias, sequence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from . import namespaces
from .batches import Batch
from .errors import Ambiguous, BadInput, BadName, NotFound
from .identifiers import Alias, digest_bytes, parse_alias
from .instances import Instance
from .new_aliases import AliasRow, OnConflict, where
from .reader import ArchiveReader
from .writing import Writing

#: Rows that wait for an insertion together.
_ROWS = 10_000

HEADER = "namespace\talias\tsequence"


def read_aliases(lines: Iterable[str], source: str) -> Iterator[tuple[Alias, str, int]]:
    """Aliases, what they shall mean, and their lines, from a table as ``export-aliases`` writes.

    The columns are namespace, alias and sequence (any identifier); a first line that is the
    header, blank lines and lines that begin with ``#`` are skipped.

    Raises:
        BadInput: A line that is not so.
    """
    for n, line in enumerate(lines, 1):
        text = line.rstrip("\r\n")
        if not text.strip() or text.startswith("#") or (n == 1 and text == HEADER):
            continue
        fields = text.split("\t")
        if len(fields) != 3:
            raise BadInput(
                f"three columns are needed (namespace, alias, sequence), not {len(fields)}",
                file=source,
                line=n,
            )
        try:
            alias = parse_alias(f"{fields[0]}:{fields[1]}")
            if alias.namespace in namespaces.COMPUTED:
                raise BadName(f"{alias.namespace} names are computed and cannot be set")
        except BadName as error:
            raise BadInput(error.message, file=source, line=n) from None
        yield alias, fields[2], n


def import_aliases(
    instance: Instance,
    rows: Iterable[tuple[Alias, str, int]],
    source: str,
    on_conflict: OnConflict = OnConflict.ERROR,
    *,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Add aliases to sequences that are there, as one batch.

    Args:
        rows: Alias, what it shall mean, and the line that says so; 0 if it is in no file.

    Returns:
        The report; ready for JSON.

    Raises:
        NotFound: A sequence that is not in the archive. AliasConflict: As for ``load``.
    """
    instance.require()
    report: dict[str, Any] = {"batch": None, "source": source, "dry_run": dry_run, "rows": 0}
    with (
        ArchiveReader.of(instance) as archive,
        Writing(instance, dry_run=dry_run) as writing,
        Batch(writing.connection, "import-aliases") as batch,
    ):
        waiting: list[AliasRow] = []
        for alias, identifier, line in rows:
            if alias.namespace in namespaces.COMPUTED:
                message = f"{alias.namespace} names are computed and cannot be set ({alias})"
                raise BadName(f"{where(source, line)}{message}")
            try:
                digest = archive.find(identifier)
            except NotFound as error:
                raise NotFound(f"{where(source, line)}{error}") from None
            except Ambiguous as error:
                message = f"{where(source, line)}{error}"
                raise Ambiguous(message, error.candidates) from None
            ((_, sequence_id),) = batch.sequences.find([digest_bytes(digest)]).items()
            namespace_id = batch.namespace_id(alias.namespace)
            waiting.append(AliasRow(alias.alias, namespace_id, sequence_id, source, line))
            report["rows"] += 1
            if len(waiting) >= _ROWS:
                batch.aliases.add(waiting, on_conflict)
                waiting = []
        batch.aliases.add(waiting, on_conflict)
        report.update(
            aliases_added=batch.aliases.counts.added,
            aliases_known=batch.aliases.counts.known,
            aliases_moved=batch.aliases.counts.moved,
            aliases_kept=batch.aliases.counts.kept,
            conflicts=batch.aliases.counts.conflicts,
        )
        if report["rows"] and not dry_run:
            report["batch"] = batch.id
            writing.commit(batch, report)
    return report


def retire_aliases(
    instance: Instance, aliases: Iterable[Alias], *, dry_run: bool = False
) -> dict[str, Any]:
    """End aliases without giving them another meaning, as one batch.

    Returns:
        The report; ready for JSON.

    Raises:
        NotFound: One that means nothing now; nothing was changed.
    """
    instance.require()
    report: dict[str, Any] = {"batch": None, "dry_run": dry_run}
    with (
        Writing(instance, dry_run=dry_run) as writing,
        Batch(writing.connection, "retire") as batch,
    ):
        for alias in dict.fromkeys(aliases):
            if not batch.aliases.retire(alias):
                raise NotFound(f"{alias} is not a name of anything; nothing was changed")
        report["aliases_retired"] = batch.aliases.counts.retired
        if batch.aliases.counts.retired and not dry_run:
            report["batch"] = batch.id
            writing.commit(batch, report)
    return report
