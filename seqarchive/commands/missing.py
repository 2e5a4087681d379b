"""``seqarchive missing``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import click

from ..errors import Ambiguous, NotFound
from . import Settings, at_option, command, counted, lines_of, print_json, print_line, warn


@command("missing", "seqarchive missing --from transcripts.txt")
@click.option(
    "--from", "from_file", metavar="FILE", help="IDs from a file (`-`: standard input), one a line."
)
@click.option("--namespace", "-n", help="Namespace of IDs that have none.")
@at_option
@click.argument("ids", nargs=-1)
def command_(
    settings: Settings,
    from_file: str | None,
    namespace: str | None,
    at: str | None,
    ids: Sequence[str],
) -> int:
    """Print those IDs that the archive lacks, one a line; exits with 3 if there are any.

    An ID that stands for several sequences is not missing, and said to be ambiguous. With --json,
    one JSON document: `asked`, `missing`, `ambiguous`.
    """
    if not ids and from_file is None:
        raise click.UsageError("say at least one ID or --from")
    prefix = f"{namespace}:" if namespace else ""
    lines = lines_of(from_file) if from_file is not None else ()
    texts = chain(ids, (line.strip() for line in lines if line.strip()))
    asked = 0
    missing: list[str] = []
    ambiguous: list[str] = []
    with settings.open(at) as archive:
        for text in texts:
            asked += 1
            try:
                archive.find(text if ":" in text else prefix + text)
            except Ambiguous:
                ambiguous.append(text)
            except NotFound:
                missing.append(text)
    if settings.json:
        print_json({"asked": asked, "missing": missing, "ambiguous": ambiguous})
    else:
        for text in missing:
            print_line(text)
        for text in ambiguous:
            warn(settings, f"{text!r} stands for several sequences")
        warn(settings, f"{len(missing):,} of {counted(asked, 'ID')} missing")
    return NotFound.exit_code if missing else 0
