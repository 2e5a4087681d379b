"""``seqarchive translate``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import click

from ..errors import NotFound
from . import Settings, at_option, command, lines_of, print_json

_CHUNK = 5000


@command("translate", "seqarchive translate refseq:NC_001133.9 --to ga4gh")
@click.option(
    "--to", "to", multiple=True, metavar="NAMESPACE", help="Only names in it; repeatable."
)
@click.option(
    "--from", "from_file", metavar="FILE", help="IDs from a file (`-`: standard input), one a line."
)
@click.option("--tab", is_flag=True, help="Print each ID before each of its names.")
@at_option
@click.argument("ids", nargs=-1)
def command_(
    settings: Settings,
    to: Sequence[str],
    from_file: str | None,
    tab: bool,
    at: str | None,
    ids: Sequence[str],
) -> None:
    """Print the other names of sequences, one a line.

    Without --to, all of them: what follows from the digests, then the aliases. With --from, and
    with --tab, each line begins with the ID and a tab. An ID without a name in the namespaces
    asked for is an error (3).
    """
    if not ids and from_file is None:
        raise click.UsageError("say at least one ID or --from")
    nameless: list[str] = []
    with settings.open(at) as archive:
        wanted = _all(ids, from_file)
        while chunk := list(islice(wanted, _CHUNK)):
            lines: list[str] = []
            for identifier, names in archive.translate_many(chunk, list(to) or None):
                if not names:
                    nameless.append(identifier)
                if settings.json:
                    print_json({"id": identifier, "names": names})
                elif tab or from_file is not None:
                    lines += (f"{identifier}\t{name}" for name in names)
                else:
                    lines += names
            if lines:
                click.echo("\n".join(lines))
    if nameless:
        more = f" (and {len(nameless) - 1} more)" if len(nameless) > 1 else ""
        raise NotFound(f"{nameless[0]!r} has no name in {', '.join(to)}{more}")


def _all(ids: Sequence[str], from_file: str | None) -> Iterator[str]:
    yield from ids
    if from_file is not None:
        yield from (line.strip() for line in lines_of(from_file) if line.strip())
