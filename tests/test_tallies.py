"""Counts that are kept are those of the rows, or are not used.

That they are, whatever is done in whatever order, is a part of ``test_model``.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli
from helpers import write_fasta

from seqarchive import connect, tallies

Change = Callable[[sqlite3.Connection], object]


@pytest.fixture
def changed(cli: Cli, root: Path, tmp_path: Path) -> Callable[[Change], None]:
    """Make an archive of three sequences, with names in two namespaces and some history; change
    its database."""
    first = write_fasta(tmp_path / "1.fa", {"a": "ACGT", "gnl|u|b": "GGGG"})
    second = write_fasta(tmp_path / "2.fa", {"a": "TTTT"})
    assert cli("load", "-n", "t", first).code == 0
    assert cli("load", "-n", "t", "--on-conflict", "replace", second).code == 0

    def change(how: Change) -> None:
        path = root / "master" / "aliases.sqlite3"
        with closing(sqlite3.connect(path)) as connection, connection:
            how(connection)

    return change


def tally_of(root: Path) -> Any:
    """What is kept, parsed."""
    with closing(sqlite3.connect(root / "master" / "aliases.sqlite3")) as connection:
        (text,) = connection.execute("SELECT value FROM meta WHERE key = 'tally'").fetchone()
    return json.loads(text)


def set_to(text: str | bytes | float | None) -> Change:
    """Have something else be there."""
    return lambda one: one.execute("UPDATE meta SET value = ? WHERE key = 'tally'", (text,))


def edited(**keys: object) -> Change:
    """Have single keys be something else; None is that they are not there."""

    def edit(connection: sqlite3.Connection) -> None:
        (text,) = connection.execute("SELECT value FROM meta WHERE key = 'tally'").fetchone()
        kept = {**json.loads(text), **keys}
        set_to(json.dumps({key: value for key, value in kept.items() if value is not None}))(
            connection
        )

    return edit


def counts_of(cli: Cli) -> tuple[object, ...]:
    status = json.loads(cli("--json", "status").out)
    keys = ("sequences", "aliases", "ended_aliases", "namespaces")
    return tuple(status[key] for key in keys)


RIGHT = (3, 2, 1, {"t": 1, "u": 1})


def test_it_says_what_the_format_says(changed: object, root: Path) -> None:
    del changed
    assert tally_of(root) == {
        "batch": 2, "sequences": 3, "ended_aliases": 1, "aliases": {"1": 1, "2": 1}
    }  # fmt: skip


NOT_USED: dict[str, Change] = {
    "nothing": lambda one: one.execute("DELETE FROM meta WHERE key = 'tally'"),
    "of another batch": edited(batch=1, sequences=7),
    "of a batch to come": edited(batch=3, sequences=7),
    "no JSON": set_to("{"),
    "a list": set_to("[1]"),
    "a number": set_to("7"),
    "no text": set_to(7.5),
    "bytes": set_to(b"\xff\xfe"),
    "deep": set_to("[" * 50_000),
    "a key less": edited(sequences=None, aliases=None),
    "a key more": edited(more=1),
    "a count that is text": edited(sequences="7"),
    "a count that is true": edited(sequences=True),
    "a count below zero": edited(ended_aliases=-1),
    "a count without end": edited(sequences=1 << 60),
    "no namespaces": edited(aliases=[1]),
    "a namespace that is no id": edited(aliases={"t": 2}),
}


@pytest.mark.parametrize("change", NOT_USED.values(), ids=list(NOT_USED))
def test_what_says_nothing_is_not_used_and_is_right_after_the_next_batch(
    changed: Callable[[Change], None], cli: Cli, root: Path, tmp_path: Path, change: Change
) -> None:
    changed(change)
    assert counts_of(cli) == RIGHT
    assert cli("verify").code == 0
    with connect(root) as archive:
        assert len(archive) == 3
        assert archive.namespaces() == ["t", "u"]
    more = write_fasta(tmp_path / "more.fa", {"c": "CC"})
    assert cli("load", "-n", "t", more).code == 0
    assert tally_of(root) == {
        "batch": 3, "sequences": 4, "ended_aliases": 1, "aliases": {"1": 2, "2": 1}
    }  # fmt: skip


WRONG = {"sequences": 4, "ended_aliases": 0, "aliases": {"1": 2, "2": 1}}


@pytest.mark.parametrize("key", WRONG)
def test_one_that_is_wrong_is_damage_that_verify_finds_and_repair_mends(
    changed: Callable[[Change], None], cli: Cli, key: str
) -> None:
    changed(edited(**{key: WRONG[key]}))
    assert counts_of(cli) != RIGHT
    done = cli("verify")
    assert done.code == 6
    assert "database, tally: it does not have the numbers of the rows" in done.out
    done = cli("repair")
    assert (done.code, "aliases.sqlite3, tally" in done.out) == (0, True), done
    assert counts_of(cli) == RIGHT
    assert cli("verify").code == 0


def test_the_past_is_counted(changed: object, root: Path) -> None:
    del changed
    with connect(root, at=1) as archive:
        assert len(archive) == 2
        assert archive.status()["aliases"] == 2


def test_only_rows_that_come_and_stay_are_counted(tmp_path: Path) -> None:
    """What a statement ignores, what another one replaces, and what goes within its batch."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for statement in (
        "CREATE TABLE batches (id INTEGER PRIMARY KEY)",
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT)",
        "CREATE TABLE sequences (id INTEGER PRIMARY KEY)",
        "CREATE TABLE ended_aliases (alias TEXT)",
        "CREATE TABLE namespaces (id INTEGER PRIMARY KEY, name TEXT UNIQUE)",
        "CREATE TABLE aliases (alias TEXT, namespace_id INT, PRIMARY KEY (alias, namespace_id))",
        "BEGIN",
    ):
        connection.execute(statement)
    for batch in (1, 2):
        changes = tallies.TallyChanges(connection)
        for name in ("t", "u", "t"):
            connection.execute("INSERT OR IGNORE INTO namespaces (name) VALUES (?)", (name,))
        rows = [("a", 1), ("a", 1), ("b", 1), ("a", 2), (f"{batch}", 2)]
        connection.executemany("INSERT OR IGNORE INTO aliases VALUES (?, ?)", rows)
        connection.execute("DELETE FROM aliases WHERE alias = 'b'")
        connection.execute("INSERT INTO ended_aliases VALUES ('b')")
        connection.execute("INSERT INTO sequences VALUES (?)", (batch,))
        connection.execute("INSERT INTO batches VALUES (?)", (batch,))
        changes.keep(batch, 1)
        assert tallies.kept(connection) == tallies.counted(connection)
    assert tallies.kept(connection) == tallies.Tally(2, 2, {1: 1, 2: 3})
