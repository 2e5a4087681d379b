"""Export: FASTA that ``load`` takes in again, and tables of aliases, out and in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

from . import namespaces
from .archive import Archive
from .batches import AliasRow, Batch, OnConflict
from .errors import BadInput, BadName, NotFound
from .identifiers import Alias, Digest, digest_bytes, digest_text, parse_alias
from .instances import Instance
from .writing import Writing

#: Columns of a line of FASTA.
WIDTH = 60


def fasta_records(
    archive: Archive, identifiers: Sequence[str] | None = None, namespace: str | None = None
) -> Iterator[tuple[str, Digest]]:
    """Deflines and digests of the sequences to export, each sequence once.

    A defline is ``ga4gh:SQ.`` and the digest, then all current aliases, sorted.

    Args:
        identifiers: Which sequences, in this order; all if None.
        namespace: Only sequences with an alias in it (all their aliases are written).

    Raises:
        NotFound, Ambiguous: Of an identifier. NotFound: Nothing in the namespace.
    """
    database = archive.database
    if identifiers is not None:
        digests = dict.fromkeys(archive.find(identifier) for identifier in identifiers)
        for digest in digests:
            aliases = archive.aliases("sha512t24u:" + digest)
            yield _defline(digest, aliases), digest
        return
    if namespace is not None:
        spelling = namespaces.canonical(namespace)
        if database.namespace_id(spelling) is None:
            known = ", ".join(name for name, _ in database.namespaces()) or "none"
            raise NotFound(f"there is no namespace {namespace!r} (there are: {known})")
        rows: Iterable[tuple[int, bytes]] = (
            (sequence_id, database.sequence(sequence_id).digest)
            for sequence_id in database.sequence_ids_in(spelling)
        )
    else:
        rows = ((row.id, row.digest) for row in database.sequences())
    for some in _chunks(rows, 500):
        aliases_of = database.aliases_of_many([sequence_id for sequence_id, _ in some])
        for sequence_id, raw in some:
            digest = digest_text(raw)
            yield _defline(digest, aliases_of[sequence_id]), digest


def _defline(digest: Digest, aliases: Iterable[Alias]) -> str:
    return " ".join([f"ga4gh:SQ.{digest}", *map(str, aliases)])


def _chunks(
    rows: Iterable[tuple[int, bytes]], size: int
) -> Iterator[list[tuple[int, bytes]]]:
    chunk = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def write_fasta(
    archive: Archive, defline: str, identifier: str, out: TextIO, width: int = WIDTH
) -> None:
    """Write one record in lines of ``width`` residues; in one line if 0. Memory is bounded."""
    out.write(f">{defline}\n")
    rest = ""
    empty = True
    for piece in archive.pieces(identifier):
        empty = False
        if not width:
            out.write(piece)
            continue
        text = rest + piece
        whole = len(text) - len(text) % width
        out.write("".join(text[at : at + width] + "\n" for at in range(0, whole, width)))
        rest = text[whole:]
    if rest or (not width and not empty):
        out.write(rest + "\n")


# --- tables of aliases ------------------------------------------------------------------------

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

    Returns:
        The report; ready for JSON.

    Raises:
        NotFound: A sequence that is not in the archive. AliasConflict: As for ``load``.
    """
    instance.require()
    report: dict[str, Any] = {"batch": None, "source": source, "dry_run": dry_run, "rows": 0}
    with (
        Archive(instance.root, instance.name) as archive,
        Writing(instance) as writing,
        Batch(writing.connection, "import-aliases") as batch,
    ):
        waiting: list[AliasRow] = []
        for alias, identifier, line in rows:
            try:
                digest = archive.find(identifier)
            except NotFound as error:
                raise NotFound(f"{source}, line {line}: {error}") from None
            ((_, sequence_id),) = batch.known_sequences([digest_bytes(digest)]).items()
            namespace_id = batch.namespace_id(alias.namespace)
            waiting.append(AliasRow(alias.alias, namespace_id, sequence_id, source, line))
            report["rows"] += 1
            if len(waiting) >= 10_000:
                batch.add_aliases(waiting, on_conflict)
                waiting = []
        batch.add_aliases(waiting, on_conflict)
        report.update(
            aliases_added=batch.aliases.added,
            aliases_known=batch.aliases.known,
            aliases_moved=batch.aliases.moved,
            aliases_kept=batch.aliases.kept,
            conflicts=batch.aliases.conflicts,
        )
        if not dry_run:
            report["batch"] = batch.id
            writing.committing()
            batch.commit(report)
            writing.committed()
    return report
