"""``seqarchive export-aliases``."""

from __future__ import annotations

import sys

import click

from ..alias_tables import HEADER
from . import Settings, at_option, command, print_json


@command("export-aliases", "seqarchive export-aliases --namespace refseq --glob 'NM_*' > names.tsv")
@click.option("--namespace", "-n", help="Only names in it.")
@click.option("--glob", "pattern", help="Only names that match; * and ? are wildcards.")
@at_option
def command_(
    settings: Settings, namespace: str | None, pattern: str | None, at: str | None
) -> None:
    """Write all current aliases as a table: namespace, alias, sequence (ga4gh:SQ.).

    `import-aliases` takes it in again.
    """
    with settings.open(at) as archive:
        if namespace is not None:
            namespace = archive.namespace(namespace)
        if not settings.json:
            sys.stdout.write(HEADER + "\n")
        for alias, digest in archive.all_aliases(namespace, pattern):
            if settings.json:
                print_json(
                    {
                        "namespace": alias.namespace,
                        "alias": alias.alias,
                        "sequence": f"ga4gh:SQ.{digest}",
                    }
                )
            else:
                sys.stdout.write(f"{alias.namespace}\t{alias.alias}\tga4gh:SQ.{digest}\n")
