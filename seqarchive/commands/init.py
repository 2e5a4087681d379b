"""``seqarchive init``."""

from __future__ import annotations

import click

from ..writing import initialise
from . import Settings, command, print_json


@command("init", "seqarchive --root /data/sequences init")
def command_(settings: Settings) -> None:
    """Create an empty archive.

    Not needed before `load`, which creates one too; exits with 4 if there is one already.
    """
    instance = settings.place()
    initialise(instance)
    if settings.json:
        print_json({"root": str(instance.root), "instance": instance.name})
    else:
        click.echo(f"created an empty archive in {instance.root}")
