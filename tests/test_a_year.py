"""A year of weekly loads and monthly releases: whoever pinned a month still gets it.

What was true in which month is kept in a dict of names, which nothing of the package computes.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from contents import database, random_residues, run
from helpers import sha512t24u, sq, without_write_permission, write_fasta

import seqarchive
from seqarchive import Archive, NotFound, diffs
from seqarchive.exporting import fasta_records
from seqarchive.instances import Instance
from seqarchive.pruning import prune
from seqarchive.snapshots import take_snapshot
from seqarchive.verifying import verify

MONTHS = [f"2024-{month:02}" for month in range(1, 13)]

#: ``namespace:alias`` and the residues that it means.
Names = dict[str, str]


@dataclass
class Year:
    """An archive after a year, and what was true in it."""

    root: Path
    states: list[Names] = field(default_factory=lambda: [{}])
    """After each batch; the first is before the first."""
    texts: list[set[str]] = field(default_factory=lambda: [set()])
    """The sequences that there were."""
    kinds: list[str] = field(default_factory=list)
    days: list[str] = field(default_factory=list)
    """When each batch was committed."""
    released: dict[str, int] = field(default_factory=dict)
    """Month -> the last batch in its release."""

    @property
    def last(self) -> int:
        return len(self.kinds)

    def of(self, month: str) -> Names:
        """What was true in the release of a month."""
        return self.states[self.released[month]]

    def ever(self) -> set[str]:
        """All names that there have ever been."""
        return set().union(*self.states)


class Team:
    """Who loads every week, and errs now and then."""

    def __init__(self, directory: Path) -> None:
        self.dice = random.Random(2024)
        self.directory = directory
        self.year = Year(directory / "archive")
        self.next_gene = 0

    def work(self) -> None:
        """A year of it."""
        for number, month in enumerate(MONTHS, 1):
            for week in range(4):
                day = f"{month}-{3 + 7 * week:02}"
                self.load(day)
                if self.dice.random() < 0.5:
                    self.curate(day)
                if self.dice.random() < 0.3:
                    self.regret(day)
            code, err = run(self.year.root, "snapshot", month)
            assert code == 0, err
            self.year.released[month] = self.year.last
            assert number == len(self.year.released)

    def load(self, day: str) -> None:
        """Genes that are new, and new versions of some that are known; old ones come again."""
        names = dict(self.year.states[-1])
        records: dict[str, str] = {}
        for _ in range(12):
            self.next_gene += 1
            length = self.dice.choice([0, 30, 200, 3000, 20_000])
            records[f"G{self.next_gene}"] = random_residues(f"gene {self.next_gene}", length)
        genes = sorted(name[2:] for name in names if name.startswith("g:"))
        for gene in self.dice.sample(genes, min(6, len(genes))):
            old = names[f"g:{gene}"]
            again = self.dice.random() < 0.3
            earlier = self.dice.choice(self.year.states).get(f"g:{gene}", old)
            records[gene] = earlier if again else random_residues(f"{gene} {day}", 40)
        file = write_fasta(self.directory / f"{day}.fa", records)
        self.do(day, "load", "-n", "g", "--on-conflict", "replace", str(file))
        names.update({f"g:{gene}": text for gene, text in records.items()})
        self.commit(day, "load", names, set(records.values()))

    def curate(self, day: str) -> None:
        """A few names by hand: some end, some are given."""
        names = dict(self.year.states[-1])
        going = self.dice.sample(sorted(names), 3)
        self.do(day, "alias", "retire", *going)
        for name in going:
            del names[name]
        self.commit(day, "retire", names, set())
        text = names[self.dice.choice(sorted(names))]
        given = [f"lab:{day}", "lab:favourite", self.dice.choice(going)]
        self.do(day, "alias", "add", "--on-conflict", "replace", sq(text), *given)
        self.commit(day, "import-aliases", {**names, **dict.fromkeys(given, text)}, set())

    def regret(self, day: str) -> None:
        """What one of the last batches did to names is undone; later changes stay."""
        states = self.year.states
        batch = self.dice.randint(max(1, self.year.last - 4), self.year.last)
        before, after, names = states[batch - 1], states[batch], dict(states[-1])
        for name in before.keys() | after.keys():
            was, became, now = before.get(name), after.get(name), names.get(name)
            later = any(one.get(name) != became for one in states[batch:])
            if was == became or now == was or later:
                continue
            if was is None:
                del names[name]
            else:
                names[name] = was
        self.do(day, "-q", "revert", "--on-conflict", "keep", str(batch))
        if names != states[-1]:
            self.commit(day, "revert", names, set())

    def do(self, day: str, *arguments: str) -> None:
        code, err = run(self.year.root, *arguments)
        assert code == 0, err

    def commit(self, day: str, kind: str, names: Names, texts: set[str]) -> None:
        year = self.year
        year.states.append(names)
        year.texts.append(year.texts[-1] | texts)
        year.kinds.append(kind)
        year.days.append(day)
        with closing(sqlite3.connect(database(year.root))) as connection, connection:
            created = f"{day}T08:00:00Z"
            connection.execute("UPDATE batches SET created = ? WHERE id = ?", (created, year.last))


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Year:
    directory = tmp_path_factory.mktemp("year")
    team = Team(directory)
    team.work()
    return team.year


def _names_in(archive: Archive) -> dict[str, str]:
    return {str(alias): digest for alias, digest in archive.all_aliases()}


def _digests(names: Names) -> dict[str, str]:
    return {name: sha512t24u(text) for name, text in names.items()}


def _is_right(archive: Archive, year: Year, batch: int) -> None:
    """Ask for every name that there has ever been, and for all sequences."""
    names = year.states[batch]
    assert _names_in(archive) == _digests(names)
    asked = sorted(names)
    assert archive.fetch_many([(name, None, None) for name in asked]) == [
        names[name] for name in asked
    ]
    for name in year.ever() - names.keys():
        assert name not in archive
    assert sorted(map(str, archive.sequences())) == sorted(year.texts[batch])


def test_the_year_was_eventful(year: Year) -> None:
    """Otherwise the other tests prove nothing."""
    assert {"load", "retire", "import-aliases", "revert"} == set(year.kinds)
    assert year.kinds.count("load") == 48
    assert year.kinds.count("revert") >= 5
    moved = {
        name
        for one, other in pairwise(year.states)
        for name in one.keys() & other.keys()
        if one[name] != other[name]
    }
    assert len(moved) > 100
    assert len(year.ever() - year.states[-1].keys()) > 20
    with seqarchive.connect(year.root) as archive:
        assert [batch["kind"] for batch in archive.batches()] == year.kinds


@pytest.mark.parametrize("month", MONTHS)
def test_an_old_release_says_what_was_true_then(year: Year, month: str) -> None:
    with seqarchive.connect(year.root, month) as release:
        _is_right(release, year, year.released[month])
        for name in sorted(year.ever())[::7]:
            text = year.of(month).get(name)
            if text is None:
                with pytest.raises(NotFound):
                    release.fetch(name)
            else:
                assert release.fetch(name) == text
    assert verify(Instance(year.root, month), full=True).findings == []


@pytest.mark.parametrize("month", MONTHS)
def test_the_archive_itself_agrees_with_its_releases(year: Year, month: str) -> None:
    batch = year.released[month]
    for moment in (month, batch, f"batch:{batch}", f"{month}-28", f"{month}-28T23:59:59Z"):
        with seqarchive.connect(year.root, at=moment) as then:
            assert then.at == batch
    with (
        seqarchive.connect(year.root, at=month) as then,
        seqarchive.connect(year.root, month) as release,
    ):
        _is_right(then, year, batch)
        assert list(then) == list(release)
        assert list(fasta_records(then)) == list(fasta_records(release))
        assert list(then.batches()) == list(release.batches())
        for name in sorted(year.of(month))[::11]:
            assert then.metadata(name) == release.metadata(name)
            assert then.history(name) == release.history(name)


def test_every_batch_of_the_year_can_be_read(year: Year) -> None:
    for batch, names in enumerate(year.states):
        with seqarchive.connect(year.root, at=batch) as then:
            assert _names_in(then) == _digests(names)
            assert len(then) == len(year.texts[batch])
    # And in the last release, too.
    for batch in range(0, year.last + 1, 9):
        with seqarchive.connect(year.root, MONTHS[-1], at=batch) as then:
            assert _names_in(then) == _digests(year.states[batch])


def test_every_day_of_the_year_can_be_read(year: Year) -> None:
    for day in sorted(set(year.days))[::5]:
        batch = max(n for n, when in enumerate(year.days, 1) if when == day)
        with seqarchive.connect(year.root, at=day) as then:
            assert then.at == batch
        before = max((n for n, when in enumerate(year.days, 1) if when < day), default=0)
        with seqarchive.connect(year.root, at=f"{day}T08:59:59+01:00") as then:
            assert then.at == before


def test_the_history_of_every_name_is_that_of_the_year(year: Year) -> None:
    with seqarchive.connect(year.root) as archive:
        for name in sorted(year.ever()):
            expected: list[tuple[bytes, int, int | None]] = []
            for batch in range(1, year.last + 1):
                was, became = (one.get(name) for one in year.states[batch - 1 : batch + 1])
                if was == became:
                    continue
                if was is not None:
                    expected[-1] = (*expected[-1][:2], batch)
                if became is not None:
                    raw = hashlib.sha512(became.encode()).digest()[:24]
                    expected.append((raw, batch, None))
            found = archive.history(name)
            assert [(one.digest, one.from_batch, one.to_batch) for one in found] == expected
            assert found[0].from_time == f"{year.days[found[0].from_batch - 1]}T08:00:00Z"


@pytest.mark.parametrize("first", range(0, 12, 3))
def test_a_diff_of_two_months_is_the_difference_of_the_dicts(year: Year, first: int) -> None:
    for one in MONTHS[first : first + 3]:
        for other in MONTHS:
            old, new = _digests(year.of(one)), _digests(year.of(other))
            states = [diffs.state_of(Instance(year.root), month) for month in (one, other)]
            changes = list(diffs.diff(*states))
            found = {(str(c.alias), c.before, c.after) for c in changes if c.alias is not None}
            assert found == {
                (name, old.get(name), new.get(name))
                for name in old.keys() | new.keys()
                if old.get(name) != new.get(name)
            }
            texts = [year.texts[year.released[month]] for month in (one, other)]
            sequences = {(c.before, c.after, c.length) for c in changes if c.alias is None}
            assert sequences == {(None, sha512t24u(t), len(t)) for t in texts[1] - texts[0]} | {
                (sha512t24u(t), None, len(t)) for t in texts[0] - texts[1]
            }
            assert len(changes) == len(found) + len(sequences)


def _shards(directory: Path) -> dict[str, Path]:
    """Files of shards and their indexes, by their paths in the journal."""
    journal = directory / "sequences"
    return {str(path.relative_to(journal)): path for path in journal.rglob("*.fa.bgz*")}


def test_shards_are_shared_by_all_releases_that_have_them(year: Year) -> None:
    of_month = {month: _shards(year.root / month) for month in MONTHS}
    master = _shards(year.root / "master")
    assert of_month[MONTHS[-1]].keys() == master.keys()
    for before, after in pairwise(MONTHS):
        assert of_month[before].keys() < of_month[after].keys()
    for name, path in master.items():
        having = [found[name] for found in of_month.values() if name in found]
        assert {one.stat().st_ino for one in having} == {path.stat().st_ino}
        assert path.stat().st_nlink == len(having) + 1
        assert path.stat().st_mode & 0o222 == 0
    # All together they take what one has, but for the databases.
    journals = sum(path.stat().st_size for found in of_month.values() for path in found.values())
    assert journals > 5 * sum(path.stat().st_size for path in master.values())


def _copied(year: Year, root: Path) -> Path:
    """A copy of everything, with its hard links."""
    shutil.copytree(year.root, root, symlinks=True)
    master = _shards(root / "master")
    for month in MONTHS:
        directory = root / month
        for path in (directory, *directory.rglob("*")):
            if path.is_dir():
                path.chmod(0o755)
        for name, path in _shards(directory).items():
            path.unlink()
            path.hardlink_to(master[name])
        without_write_permission(directory)
    return root


def test_pruned_to_quarters_the_others_are_whole(year: Year, tmp_path: Path) -> None:
    root = _copied(year, tmp_path / "archive")
    quarters = MONTHS[2::3]
    going = [month for month in MONTHS if month not in quarters]
    code, err = run(root, "prune", *going)
    assert (code, err) == (0, "")
    listed = json.loads((root / "releases.json").read_bytes())
    assert [row["name"] for row in listed["releases"]] == quarters
    assert {path.name for path in root.iterdir() if re.match("2024", path.name)} == {*quarters}
    assert (root / "latest").readlink() == Path(quarters[-1])
    for month in quarters:
        with seqarchive.connect(root, month) as release:
            _is_right(release, year, year.released[month])
        assert verify(Instance(root, month), full=True).findings == []
        for path in _shards(root / month).values():
            assert 2 <= path.stat().st_nlink <= 5
    # What the others said, the archive itself still knows, by number.
    for month in going:
        with seqarchive.connect(root, at=year.released[month]) as then:
            _is_right(then, year, year.released[month])
        with pytest.raises(NotFound):
            seqarchive.connect(root, month)
    assert verify(Instance(root), full=True).findings == []


def test_the_archive_can_be_lost_and_a_release_is_whole(year: Year, tmp_path: Path) -> None:
    """Ten years later: one release, copied somewhere, with nothing beside it."""
    root = tmp_path / "elsewhere"
    shutil.copytree(year.root / MONTHS[5], root / MONTHS[5])
    with seqarchive.connect(root / MONTHS[5]) as release:
        _is_right(release, year, year.released[MONTHS[5]])
    for month in MONTHS[:5]:
        batch = year.released[month]
        with seqarchive.connect(root, MONTHS[5], at=batch) as then:
            _is_right(then, year, batch)


def test_next_year_goes_on_from_here(year: Year, tmp_path: Path) -> None:
    root = _copied(year, tmp_path / "archive")
    with seqarchive.connect(root) as archive:
        archive.store("ACGTACGTAC", ["g:G1"], on_conflict="replace")
        report = take_snapshot(Instance(root), "2025-01")
        assert (report.parent, report.batch) == (MONTHS[-1], year.last + 1)
        assert prune(root, last=2).kept == [MONTHS[-1], "2025-01"]
    with seqarchive.connect(root, "latest") as newest:
        assert newest.fetch("g:G1") == "ACGTACGTAC"
    with seqarchive.connect(root, "2025-01", at=year.last) as then:
        _is_right(then, year, year.last)
