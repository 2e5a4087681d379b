"""SeqRepo's own package reads what we write, and we take in what it wrote."""

from __future__ import annotations

import base64
import gzip
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from biocommons.seqrepo import SeqRepo
from conftest import Cli
from helpers import sha512t24u, shards, write_fasta
from traces import traced

import seqarchive
from seqarchive import BadInput, NotFound
from seqarchive.bgzf import EOF_BLOCK, compress_blocks
from seqarchive.errors import Conflict, Locked
from seqarchive.instances import Instance
from seqarchive.seqrepo.adopting import AdoptReport, import_seqrepo
from seqarchive.seqrepo.feeding import FeedReport, export_seqrepo
from seqarchive.verifying import verify

# SeqRepo relies on what newer Pythons warn of.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The default (datetime|timestamp):DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*unclosed data:pytest.PytestUnraisableExceptionWarning"),
]

_LONG = "ACGGT" * 70_001
_TEXTS = {
    "NM_1.1": "ACGTACGTAC",
    "NM_2.1": "GATTACA" * 40,
    "NM_3.1": _LONG,
    "NP_1.1": "MKVL",
}


def _store(directory: Path, texts: dict[str, str], namespace: str = "refseq") -> None:
    """Have the real package store sequences: one shard."""
    theirs = SeqRepo(str(directory), writeable=True)
    for alias, residues in texts.items():
        theirs.store(residues, [{"namespace": namespace, "alias": alias}])
    theirs.commit()


def _rewrite(directory: Path, old: str, new: str) -> None:
    """Have the one shard of an instance say something else, of the same length."""
    (shard,) = (directory / "sequences").rglob("*.fa.bgz")
    text = gzip.decompress(shard.read_bytes()).replace(f"{old}\n".encode(), f"{new}\n".encode())
    shard.chmod(0o644)
    shard.write_bytes(b"".join(compress_blocks(text)) + EOF_BLOCK)


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """An instance of SeqRepo in two commits, with an alias that has moved."""
    directory = tmp_path / "seqrepo" / "master"
    _store(directory, _TEXTS)
    _store(directory, {"NM_1.1": "TTTTT", "chr1": _LONG}, "Ensembl")
    _store(directory, {"NM_2.1": "CCCC"})
    return directory


def _adopt(root: Path, directory: Path, *, verify: bool = False) -> AdoptReport:
    return import_seqrepo(Instance(root), directory, verify=verify)


def b64(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode("ascii")


def _names(directory: Path) -> dict[str, set[tuple[str, str]]]:
    """What the real package says: residues -> current names."""
    theirs = SeqRepo(str(directory))
    return {
        str(record["seq"]): {(name["namespace"], name["alias"]) for name in names}
        for record, names in theirs
    }


# --- adopt ------------------------------------------------------------------------------------


@pytest.mark.parametrize("verified", [False, True])
def test_an_instance_is_adopted_with_its_names_and_their_history(
    root: Path, theirs: Path, verified: bool
) -> None:
    report = _adopt(root, theirs, verify=verified)
    assert (report.sequences_added, report.sequences_known) == (6, 0)
    assert (report.aliases_added, report.former_aliases) == (6, 1)
    assert (report.skipped, report.other_digest) == ([], [])
    with seqarchive.connect(root) as archive:
        current = _TEXTS | {"NM_2.1": "CCCC"}
        assert {alias: archive.fetch(f"refseq:{alias}") for alias in current} == current
        assert archive.fetch("ensembl:NM_1.1") == "TTTTT"
        assert archive.translate("ensembl:chr1", to="refseq") == ["refseq:NM_3.1"]
        for text in (_TEXTS["NM_2.1"], *current.values()):
            assert archive.fetch(sha512t24u(text)) == text
        meanings = archive.history("refseq:NM_2.1")
        assert [meaning.length for meaning in meanings] == [280, 4]
    assert verify(Instance(root), full=True).findings == []


def test_what_is_adopted_keeps_its_dates(root: Path, theirs: Path, tmp_path: Path) -> None:
    dates = {}
    for path, table, order in (
        ("sequences/db.sqlite3", "seqinfo", "seq_id"),
        ("aliases.sqlite3", "seqalias", "seqalias_id"),
    ):
        with closing(sqlite3.connect(theirs / path)) as connection, connection:
            rows = connection.execute(f"SELECT {order} FROM {table} ORDER BY 1").fetchall()
            for n, (key,) in enumerate(rows):
                when = f"20{n % 20:02}-03-0{1 + n % 9} 04:05:{n % 60:02}"
                # As SQLite writes times, and as some instances have them.
                spelled = [when, when.replace(" ", "T"), when + ".123456", when + "Z"][n % 4]
                connection.execute(
                    f"UPDATE {table} SET added = ? WHERE {order} = ?", (spelled, key)
                )
                dates[key] = when
    with closing(sqlite3.connect(theirs / "aliases.sqlite3")) as connection:
        names = {
            (namespace, alias, key): dates[number]
            for number, key, namespace, alias in connection.execute(
                "SELECT seqalias_id, seq_id, namespace, alias FROM seqalias"
            )
        }
    _adopt(root, theirs)
    with seqarchive.connect(root) as archive:
        for text in _TEXTS.values():
            added = archive.metadata(sha512t24u(text))["added"]
            assert added == dates[sha512t24u(text)].replace(" ", "T") + "Z"
        meanings = archive.history("refseq:NM_2.1")
        assert [meaning.added for meaning in meanings] == [
            names["NCBI", "NM_2.1", b64(meaning.digest)].replace(" ", "T") + "Z"
            for meaning in meanings
        ]
        assert len({meaning.added for meaning in meanings}) == 2
        archive["refseq:own"] = "GGGGG"
        assert archive.history("refseq:own")[0].added is None
    # And SeqRepo gets them back.
    export_seqrepo(Instance(root), tmp_path / "back" / "r")
    with closing(sqlite3.connect(tmp_path / "back" / "r" / "aliases.sqlite3")) as connection:
        back = {
            (namespace, alias, key): added
            for key, namespace, alias, added in connection.execute(
                "SELECT seq_id, namespace, alias, added FROM seqalias WHERE alias != 'own'"
                " AND seq_id != ?",
                (sha512t24u("GGGGG"),),
            )
        }
    digests = ("VMC", "SHA1", "MD5", "SEGUID")
    assert {name: when for name, when in back.items() if name[0] not in digests} == {
        name: when for name, when in names.items() if name[0] not in digests
    }
    assert all(back[name] == dates[name[2]] for name in back if name[0] in digests)


def test_dates_that_are_none_are_those_of_the_import(root: Path, theirs: Path) -> None:
    with closing(sqlite3.connect(theirs / "sequences" / "db.sqlite3")) as connection, connection:
        connection.execute("UPDATE seqinfo SET added = 'some day'")
    with closing(sqlite3.connect(theirs / "aliases.sqlite3")) as connection, connection:
        connection.execute("UPDATE seqalias SET added = '9999-99-99 00:00:00'")
    _adopt(root, theirs)
    with seqarchive.connect(root) as archive:
        (batch,) = archive.batches()
        assert archive.metadata("refseq:NM_3.1")["added"] == batch["created"]
        assert archive.history("refseq:NM_3.1")[0].added is None


def test_every_range_of_a_wrapped_record_is_right(root: Path, theirs: Path) -> None:
    _adopt(root, theirs)
    positions = [0, 1, 58, 99, 100, 101, 199, 200, 65_280, 100_000, len(_LONG) - 1, len(_LONG)]
    with seqarchive.connect(root) as archive:
        for start in positions:
            for end in positions:
                if start <= end:
                    assert archive.fetch("refseq:NM_3.1", start, end) == _LONG[start:end]
        assert "".join(archive.pieces("refseq:NM_3.1", 777)) == _LONG


def test_shards_are_linked_and_not_copied(root: Path, theirs: Path) -> None:
    report = _adopt(root, theirs)
    assert report.files == {"linked": 3}
    there, here = (
        {os.stat(path).st_ino for path in directory.rglob("*.fa.bgz")}
        for directory in (theirs, root)
    )
    assert there == here


def test_a_second_import_adds_nothing_and_a_later_one_what_is_new(
    root: Path, theirs: Path
) -> None:
    _adopt(root, theirs)
    again = _adopt(root, theirs)
    assert (again.sequences_added, again.aliases_added, again.former_aliases) == (0, 0, 0)
    assert again.files == {}
    _store(theirs, {"NM_9.1": "AACCGGTT"})
    later = _adopt(root, theirs)
    assert (later.sequences_added, later.aliases_added) == (1, 1)
    assert later.files == {"linked": 1}


def test_a_name_that_moved_there_moves_here_if_that_is_asked_for(cli: Cli, theirs: Path) -> None:
    assert cli("import-seqrepo", theirs).code == 0
    _store(theirs, {"NM_1.1": "GGGGG"})
    assert cli("import-seqrepo", theirs).code == 4
    assert cli("get", "refseq:NM_1.1").out == "ACGTACGTAC\n"
    assert cli("import-seqrepo", "--on-conflict", "replace", theirs).code == 0
    assert cli("get", "refseq:NM_1.1").out == "GGGGG\n"


def test_what_is_here_already_is_not_taken_again(
    cli: Cli, root: Path, theirs: Path, tmp_path: Path
) -> None:
    file = write_fasta(tmp_path / "x.fa", {"mine": _TEXTS["NM_1.1"], "big": _LONG})
    assert cli("load", "-n", "lab", file).code == 0
    report = _adopt(root, theirs)
    assert (report.sequences_added, report.sequences_known) == (4, 2)
    assert cli("translate", "lab:big", "--to", "refseq").out == "refseq:NM_3.1\n"
    assert verify(Instance(root), full=True).findings == []
    with seqarchive.connect(root) as archive:
        assert {archive.fetch(f"refseq:{name}") for name in ("NM_1.1", "NM_3.1")} == {
            _TEXTS["NM_1.1"],
            _LONG,
        }


def test_a_protein_with_a_stop_gets_its_true_digest(root: Path, tmp_path: Path) -> None:
    directory = tmp_path / "seqrepo"
    _store(directory, {"NP_1.1": "MKV*"})
    report = _adopt(root, directory)
    assert report.other_digest == [f"{sha512t24u('MKV')} is SQ.{sha512t24u('MKV*')}"]
    with seqarchive.connect(root) as archive:
        assert archive.fetch(f"ga4gh:SQ.{sha512t24u('MKV*')}") == "MKV*"
        with pytest.raises(NotFound):
            archive.fetch(sha512t24u("MKV"))
    assert verify(Instance(root), full=True).findings == []


@pytest.mark.parametrize("order", [("MKV", "MKL"), ("MKL", "MKV")])
def test_two_records_with_the_same_residues_are_one_sequence(
    cli: Cli, root: Path, tmp_path: Path, order: tuple[str, str]
) -> None:
    """One of them under a key that is not its digest, before the other or after it."""
    directory = tmp_path / "seqrepo"
    _store(directory, {text: text for text in order}, "lab")
    _rewrite(directory, "MKL", "MKV")
    done = cli("--json", "import-seqrepo", "--verify", directory)
    report = json.loads(done.out)
    assert report["other_digest"] == [f"{sha512t24u('MKL')} is SQ.{sha512t24u('MKV')}"]
    assert (report["sequences_added"], report["sequences_known"]) == (1, 1)
    assert cli("get", "lab:MKV", "lab:MKL").out == "MKV\nMKV\n"
    assert verify(Instance(root), full=True).findings == []


def test_digests_that_a_crash_lost_there_are_computed(root: Path, theirs: Path) -> None:
    with closing(sqlite3.connect(theirs / "aliases.sqlite3")) as database:
        database.execute("DELETE FROM seqalias WHERE namespace IN ('MD5', 'VMC', 'SEGUID')")
        database.commit()
    _adopt(root, theirs)
    assert verify(Instance(root), full=True).findings == []


def test_indexes_that_are_missing_there_are_not_needed(root: Path, theirs: Path) -> None:
    for path in [*theirs.rglob("*.fai"), *theirs.rglob("*.gzi")]:
        path.unlink()
    report = _adopt(root, theirs)
    assert report.sequences_added == 6
    assert verify(Instance(root), full=True).findings == []
    with seqarchive.connect(root) as archive:
        assert archive.fetch("refseq:NM_3.1") == _LONG
        assert archive.fetch("refseq:NP_1.1") == "MKVL"


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize("order", [("none", "a", "b"), ("a", "none", "b")])
def test_a_shard_with_an_empty_record_is_adopted(
    cli: Cli, root: Path, tmp_path: Path, order: tuple[str, ...], indexed: bool
) -> None:
    """SeqRepo's own index lacks empty records; one at the end it cannot index at all."""
    texts = {"none": "", "a": "ACGTACGT" * 30, "b": "GATTACA"}
    directory = tmp_path / "seqrepo"
    _store(directory, {name: texts[name] for name in order}, "lab")
    if not indexed:
        for path in directory.rglob("*.fai"):
            path.unlink()
    assert cli("import-seqrepo", directory).code == 0
    assert cli("get", "lab:a", "lab:b").out == f"{texts['a']}\n{texts['b']}\n"
    assert verify(Instance(root), full=True).findings == []


def test_a_hot_journal_is_refused(cli: Cli, theirs: Path) -> None:
    (theirs / "aliases.sqlite3-journal").write_bytes(b"x" * 512)
    with pytest.raises(Locked, match="hot journal"):
        import_seqrepo(Instance(theirs.parent / "new"), theirs)
    done = cli("import-seqrepo", theirs)
    assert (done.code, done.out) == (7, "")


def test_a_directory_without_an_instance_is_not_found(cli: Cli, tmp_path: Path) -> None:
    done = cli("import-seqrepo", tmp_path)
    assert done.code == 3
    assert str(tmp_path) in done.err


def _edit(path: Path, statement: str) -> None:
    path.chmod(0o644)
    with closing(sqlite3.connect(path)) as database:
        database.execute(statement)
        database.commit()


def _lie_in_the_index(theirs: Path) -> None:
    for path in theirs.rglob("*.fai"):
        path.chmod(0o644)
        lines = [line.split("\t") for line in path.read_text().splitlines()]
        for line in lines:
            line[2] = str(int(line[2]) + 1)
        path.write_text("".join("\t".join(line) + "\n" for line in lines))


def _instead_of_the_index(make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Damage that puts something else where the indexes are."""

    def damage(theirs: Path) -> None:
        for path in theirs.rglob("*.fai"):
            path.unlink()
            make(path)

    return damage


def _sparse(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(1 << 33)


def _say_a_long_number(theirs: Path) -> None:
    for path in theirs.rglob("*.fai"):
        path.chmod(0o644)
        path.write_text(path.read_text().replace("\t34\t", f"\t{'9' * 5000}\t"))


def _leave_the_instance(theirs: Path) -> None:
    shutil.copy(next(theirs.rglob("*.bgz")), theirs.parent / "x.fa.bgz")
    _edit(theirs / "sequences" / "db.sqlite3", "UPDATE seqinfo SET relpath = '../../x.fa.bgz'")


def _replace_by_a_link(theirs: Path) -> None:
    for path in list(theirs.rglob("*.fa.bgz")):
        path.rename(theirs.parent / path.name)
        path.symlink_to(theirs.parent / path.name)


def _damage_pages(path: Path) -> None:
    """All pages but the first two: the tables are there, and their rows are not."""
    path.chmod(0o644)
    right = path.read_bytes()
    path.write_bytes(right[:8192] + b"\xff" * (len(right) - 8192))


def _replace_a_directory_by_a_link(theirs: Path) -> None:
    (year,) = (theirs / "sequences").glob("2*")
    year.rename(theirs.parent / "elsewhere")
    year.symlink_to(theirs.parent / "elsewhere")


def _cut_short(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-30])


def _cut(theirs: Path) -> None:
    for path in theirs.rglob("*.fa.bgz"):
        _cut_short(path)


@pytest.mark.parametrize(
    "damage",
    [
        _lie_in_the_index,
        _leave_the_instance,
        _replace_by_a_link,
        _replace_a_directory_by_a_link,
        _cut,
        _instead_of_the_index(os.mkfifo),
        _instead_of_the_index(lambda path: path.symlink_to("/dev/zero")),
        _instead_of_the_index(_sparse),
        _say_a_long_number,
        lambda theirs: [path.unlink() for path in theirs.rglob("*.fa.bgz")],
        lambda theirs: _edit(theirs / "sequences/db.sqlite3", "UPDATE seqinfo SET len = len + 1"),
        lambda theirs: _edit(theirs / "sequences/db.sqlite3", "UPDATE meta SET value = '2'"),
        lambda theirs: _damage_pages(theirs / "aliases.sqlite3"),
        lambda theirs: _damage_pages(theirs / "sequences/db.sqlite3"),
        lambda theirs: _edit(theirs / "sequences/db.sqlite3", "DROP TABLE seqinfo"),
        lambda theirs: _edit(theirs / "aliases.sqlite3", "DROP TABLE seqalias"),
        lambda theirs: _edit(
            theirs / "aliases.sqlite3",
            "UPDATE seqalias SET alias = CAST(x'ff41' AS TEXT) WHERE alias = 'NM_3.1'",
        ),
        lambda theirs: (theirs / "aliases.sqlite3").write_bytes(b"SQLite format 3\0" + b"x" * 99),
    ],
)
def test_an_instance_that_contradicts_itself_is_refused_as_a_whole(
    root: Path, theirs: Path, damage: Callable[[Path], object]
) -> None:
    damage(theirs)
    with pytest.raises(BadInput, match=str(theirs)):
        _adopt(root, theirs)
    assert not list(root.rglob("*.bgz"))
    if root.exists():
        with seqarchive.connect(root) as archive:
            assert len(archive) == 0
        assert verify(Instance(root)).left_over == []


@pytest.mark.parametrize("strange", ["acgt?>9ACGT", "ACGTACGTACn", "ACGT\tACGT A", "ACGT\0CGTACG"])
def test_residues_that_are_none_are_not_taken_in_when_they_are_looked_at(
    cli: Cli, root: Path, tmp_path: Path, strange: str
) -> None:
    """What the table says of the letters of a sequence is not what decides."""
    directory = tmp_path / "seqrepo"
    _store(directory, {"odd": "ACGTACGTACG", "good": "ACGT"}, "lab")
    _rewrite(directory, "ACGTACGTACG", strange)
    done = cli("import-seqrepo", "--verify", directory)
    assert (done.code, "are no residues" in done.err) == (5, True)
    assert next((directory / "sequences").rglob("*.bgz")).name in done.err
    assert not list(root.rglob("*.bgz"))


def test_an_instance_behind_a_link_is_adopted(root: Path, theirs: Path) -> None:
    moved = theirs.rename(theirs.with_name("moved"))
    (moved / "sequences").rename(theirs.with_name("elsewhere"))
    (moved / "sequences").symlink_to(theirs.with_name("elsewhere"))
    theirs.symlink_to(moved)
    assert _adopt(root, theirs).sequences_added == 6


def test_strange_keys_and_letters_are_left_out_and_reported(root: Path, theirs: Path) -> None:
    sequences = theirs / "sequences" / "db.sqlite3"
    key = sha512t24u("CCCC")
    _edit(sequences, f"UPDATE seqinfo SET alpha = 'acgt' WHERE seq_id = '{key}'")
    _edit(sequences, "UPDATE seqinfo SET seq_id = '../../etc/passwd' WHERE len = 5")
    report = _adopt(root, theirs)
    assert report.sequences_added == 4
    assert len([line for line in report.skipped if key in line]) == 2  # and its name
    assert any("passwd" in line for line in report.skipped)


def test_a_flipped_bit_of_an_adopted_shard_is_found(root: Path, tmp_path: Path) -> None:
    directory = tmp_path / "seqrepo"
    _store(directory, {"a": "ACGTACGTAC" * 30, "b": "GATTACA"})
    _adopt(root, directory)
    (shard,) = root.rglob("*.fa.bgz")
    right = shard.read_bytes()
    shard.chmod(0o644)
    for at in range(0, len(right), 7):
        shard.write_bytes(right[:at] + bytes([right[at] ^ 4]) + right[at + 1 :])
        assert verify(Instance(root), full=True).findings != [], at
    shard.write_bytes(right)
    assert verify(Instance(root), full=True).findings == []


def test_what_only_a_reverted_import_brought_can_be_reclaimed(
    cli: Cli, root: Path, theirs: Path
) -> None:
    _store(theirs, {"NP_8.1": "MKV*"})
    assert cli("import-seqrepo", theirs).code == 0
    assert cli("alias", "add", "refseq:NM_3.1", "lab:kept").code == 0
    assert cli("alias", "add", "refseq:NP_8.1", "lab:stop").code == 0
    assert cli("revert", "1").code == 0
    assert cli("repair", "--reclaim").code == 0
    assert cli("verify", "--full").code == 0
    assert cli("get", "lab:kept", "lab:stop").out == f"{_LONG}\nMKV*\n"
    with seqarchive.connect(root) as archive:
        assert len(archive) == 2
    assert cli("import-seqrepo", theirs).code == 0
    assert cli("verify", "--full").code == 0
    assert cli("get", "refseq:NM_1.1").out == "ACGTACGTAC\n"


# --- feed -------------------------------------------------------------------------------------


@pytest.fixture
def ours(cli: Cli, root: Path, data: Path, tmp_path: Path) -> Iterator[seqarchive.Archive]:
    """An archive with real sequences, names that moved, and an empty sequence."""
    assert cli("load", "-n", "ensembl", data / "transcripts/human_ENST_14.fasta.gz").code == 0
    assert cli("load", "-n", "refseq", data / "transcripts/human_NM_small.fna").code == 0
    assert cli("load", "-n", "refseq", write_fasta(tmp_path / "a.fa", _TEXTS)).code == 0
    odd = write_fasta(tmp_path / "b.fa", {"HLA-A*01:01": "ACCT", "stop": "MK*", "none": ""})
    assert cli("load", "-n", "lab", odd).code == 0
    with seqarchive.connect(root) as archive:
        yield archive


def _export(archive: seqarchive.Archive) -> tuple[Path, FeedReport]:
    directory = archive.instance.root / "seqrepo" / "master"
    return directory, export_seqrepo(archive.instance, directory)


def _expected(archive: seqarchive.Archive) -> dict[str, set[tuple[str, str]]]:
    """What the real package should say."""
    theirs = {"refseq": "NCBI", "ensembl": "Ensembl"}
    computed = {"md5": "MD5", "sha1": "SHA1", "seguid": "SEGUID"}
    found = {}
    for sequence in archive.sequences():
        names = set()
        for name in archive.translate(f"SQ.{sequence.digest}"):
            namespace, _, alias = name.partition(":")
            if namespace != "trunc512":
                names.add((computed.get(namespace, namespace), alias))
            if namespace in theirs:
                names.add((theirs[namespace], alias))
        found[str(sequence)] = names
    found.pop("", None)
    return found


def test_the_real_package_answers_as_we_do(ours: seqarchive.Archive) -> None:
    directory, report = _export(ours)
    assert _names(directory) == _expected(ours)
    assert report.empty == ["lab:none"]
    assert report.with_stops == 1
    theirs = SeqRepo(str(directory))
    assert theirs.fetch_uri("refseq:NM_3.1", 99_990, 100_010) == _LONG[99_990:100_010]
    assert str(theirs["lab:stop"]) == "MK*"


def test_an_export_that_is_brought_up_to_date_equals_one_that_is_new(
    cli: Cli, ours: seqarchive.Archive, tmp_path: Path
) -> None:
    directory, first = _export(ours)
    assert first.since is None
    moved = write_fasta(tmp_path / "m.fa", {"NM_1.1": "TTTTT", "NM_8.1": "CCCCCC"})
    assert cli("load", "-n", "refseq", "--on-conflict", "replace", moved).code == 0
    assert cli("alias", "retire", "refseq:NM_2.1").code == 0
    _, second = _export(ours)
    assert second.since == first.batch
    fresh = tmp_path / "fresh"
    assert export_seqrepo(ours.instance, fresh).since is None
    assert _names(directory) == _names(fresh) == _expected(ours)
    query = "SELECT seq_id, namespace, alias, is_current FROM seqalias ORDER BY 1, 2, 3, 4"
    assert _rows(directory / "aliases.sqlite3", query) == _rows(fresh / "aliases.sqlite3", query)
    query = "SELECT seq_id, len, alpha, relpath FROM seqinfo ORDER BY 1"
    paths = (directory / "sequences/db.sqlite3", fresh / "sequences/db.sqlite3")
    assert _rows(paths[0], query) == _rows(paths[1], query)


def test_dates_that_an_import_brings_are_in_an_export_that_was_there_before(
    cli: Cli, root: Path, theirs: Path, tmp_path: Path
) -> None:
    for path, table in (("sequences/db.sqlite3", "seqinfo"), ("aliases.sqlite3", "seqalias")):
        _edit(theirs / path, f"UPDATE {table} SET added = '2010-01-02 03:04:05'")
    file = write_fasta(tmp_path / "x.fa", {"NM_1.1": _TEXTS["NM_1.1"]})
    assert cli("load", "-n", "refseq", file).code == 0
    exports = [root / "seqrepo" / "master", tmp_path / "fresh" / "master"]
    assert cli("export-seqrepo").code == 0
    assert cli("import-seqrepo", theirs).code == 0
    for directory in exports:
        assert cli("export-seqrepo", directory).code == 0
    for path, table in (("sequences/db.sqlite3", "seqinfo"), ("aliases.sqlite3", "seqalias")):
        query = f"SELECT seq_id, added FROM {table} ORDER BY 1, 2"
        updated, fresh = (_rows(directory / path, query) for directory in exports)
        assert updated == fresh
    opened = SeqRepo(str(exports[0]))
    found = opened.aliases.find_aliases(namespace="NCBI", alias="NM_1.1")
    assert {str(row["added"]) for row in found} == {"2010-01-02 03:04:05"}


def _rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


def test_former_names_are_there_and_not_current(cli: Cli, ours: seqarchive.Archive) -> None:
    assert cli("load", "-n", "refseq", "--on-conflict", "replace", "-", stdin=b">NM_1.1\nTT\n")
    directory, _ = _export(ours)
    theirs = SeqRepo(str(directory))
    found = theirs.aliases.find_aliases(namespace="refseq", alias="NM_1.1", current_only=False)
    assert {(row["is_current"], row["seq_id"]) for row in found} == {
        (0, sha512t24u(_TEXTS["NM_1.1"])),
        (1, sha512t24u("TT")),
    }


def test_an_export_is_read_only_and_linked(ours: seqarchive.Archive) -> None:
    directory, report = _export(ours)
    assert set(report.files) == {"linked"}
    for path in directory.rglob("*"):
        if not path.name.startswith("."):
            assert path.stat().st_mode & 0o222 == 0, path
    assert all(path.stat().st_nlink == 2 for path in directory.rglob("*.fa.bgz"))


def test_a_directory_of_somebody_else_is_left_alone(
    cli: Cli, ours: seqarchive.Archive, theirs: Path
) -> None:
    before = _names(theirs)
    with pytest.raises(Conflict):
        export_seqrepo(ours.instance, theirs)
    assert cli("export-seqrepo", theirs).code == 4
    assert _names(theirs) == before


def test_an_adopted_instance_comes_out_as_it_went_in(
    root: Path, theirs: Path, tmp_path: Path
) -> None:
    _store(theirs, {"NP_7.1": "MKLV*"})
    _adopt(root, theirs)
    with seqarchive.connect(root) as archive:
        directory, _ = _export(archive)
    ours, before = _names(directory), _names(theirs)
    starred = "MKLV*"
    computed = {"MD5", "SHA1", "SEGUID", "VMC", "sha512t24u", "ga4gh"}  # theirs are not of it
    assert {name for name in ours.pop(starred) if name[0] not in computed} == {
        name for name in before.pop(starred) if name[0] not in computed
    }
    assert ours == before


def test_two_proteins_with_one_key_there_are_not_confused(
    cli: Cli, root: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "seqrepo"
    _store(directory, {"NP_1.1": "MKV*"})
    _adopt(root, directory)
    with seqarchive.connect(root) as archive:
        _export(archive)
        assert cli("load", "-n", "lab", "-", stdin=b">plain\nMKV\n").code == 0
        exported, report = _export(archive)
    assert report.same_key == [f"ga4gh:SQ.{sha512t24u('MKV*')} refseq:NP_1.1"]
    assert list(_names(exported)) == ["MKV"]


# --- exports on a bad day ---------------------------------------------------------------------


def _noise(seed: int, n: int) -> str:
    """Residues that do not compress below two bits each."""
    return random.Random(seed).randbytes(n).translate(b"ACGT" * 64).decode("ascii")


def _without_links(root: Path) -> None:
    """Have shards be copied: one that can be written is never linked."""
    for path in shards(root):
        path.chmod(0o644)


def test_a_copy_that_was_cut_short_is_no_shard_of_the_next_export(
    cli: Cli, root: Path, tmp_path: Path
) -> None:
    text = _noise(1, 4_000_000)
    assert cli("load", "-n", "lab", write_fasta(tmp_path / "x.fa", {"n": text})).code == 0
    _without_links(root)
    limit = 600_000  # bytes of a file: more than the database has, and less than the shard
    failed = subprocess.run(
        [sys.executable, "-m", "seqarchive", "--root", str(root), "export-seqrepo"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (failed.returncode, "File too large" in failed.stderr) == (1, True)
    directory = root / "seqrepo" / "master"
    assert not list((directory / "sequences").rglob("*.fa.bgz"))
    assert cli("export-seqrepo").code == 0
    assert SeqRepo(str(directory)).fetch_uri("lab:n") == text


def test_an_export_that_was_killed_can_be_done_again(cli: Cli, root: Path, tmp_path: Path) -> None:
    """Killed where it makes its mark, before a shard has its name, and between the databases; at
    each call that changes the disk with SEQARCHIVE_ALL_FAULTS."""
    assert cli("load", "-n", "lab", write_fasta(tmp_path / "x.fa", {"n": "ACGT"})).code == 0
    calls = traced(root, ["export-seqrepo", str(root / "first" / "r")]).calls
    places = (".seqarchive-export", ".fa.bgz", "r/aliases.sqlite3")
    some = [
        next(call for call in calls if call.kind != "chmod" and call.paths[-1].endswith(place))
        for place in places
    ]
    for call in calls if os.environ.get("SEQARCHIVE_ALL_FAULTS") else some:
        directory = root / f"{call.kind}{call.number}" / "r"
        injection = f"{call.kind}:signal=SIGKILL:when={call.number}"
        killed = traced(root, ["export-seqrepo", str(directory)], injection)
        assert killed.code in (-signal.SIGKILL, 128 + signal.SIGKILL), call
        done = cli("export-seqrepo", directory)
        assert (done.code, done.err) == (0, ""), call
        assert SeqRepo(str(directory)).fetch_uri("lab:n") == "ACGT"


def test_what_was_reclaimed_goes_from_the_export_too(
    cli: Cli, root: Path, tmp_path: Path
) -> None:
    for name, text in (("kept", "ACGT"), ("gone", "GATTACA")):
        file = write_fasta(tmp_path / f"{name}.fa", {name: text})
        assert cli("load", "-n", "lab", file).code == 0
    assert cli("export-seqrepo").code == 0
    journal = root / "seqrepo" / "master" / "sequences"
    assert len(list(journal.rglob("*.fa.bgz"))) == 2
    other = journal / "notes.txt"
    other.write_text("not of a shard")
    assert cli("revert", "2").code == 0
    assert cli("export-seqrepo").code == 0
    assert len(list(journal.rglob("*.fa.bgz"))) == 2  # it can come back
    assert cli("repair", "--reclaim").code == 0
    assert cli("export-seqrepo").code == 0
    here = {path.relative_to(root / "master" / "sequences") for path in shards(root)}
    assert {path.relative_to(journal) for path in journal.rglob("*.fa.bgz")} == here
    assert sum(path.is_file() for path in journal.rglob("*")) == 3 * len(here) + 2
    assert all(any(path.iterdir()) for path in journal.rglob("*") if path.is_dir())
    assert SeqRepo(str(journal.parent)).fetch_uri("lab:kept") == "ACGT"
    assert other.exists()


def _flip(path: Path) -> None:
    """Damage a file in place, under all its names."""
    mode = path.stat().st_mode
    path.chmod(0o644)
    with open(path, "r+b") as file:
        file.seek(path.stat().st_size // 2)
        (byte,) = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 255]))
    path.chmod(mode)


@pytest.mark.parametrize("linked", [True, False])
def test_what_was_repaired_here_is_repaired_in_the_export(
    cli: Cli, root: Path, tmp_path: Path, linked: bool
) -> None:
    text = _noise(2, 5_000)
    assert cli("load", "-n", "lab", write_fasta(tmp_path / "x.fa", {"n": text})).code == 0
    shutil.copytree(root, tmp_path / "copy")
    (shard,) = shards(root)
    _flip(shard)
    if not linked:
        _without_links(root)
    assert cli("export-seqrepo").code == 0
    assert cli("repair", "--from", tmp_path / "copy").code == 0
    report = json.loads(cli("--json", "export-seqrepo").out)
    assert report["files"] == {"linked": 1}
    directory = root / "seqrepo" / "master"
    assert SeqRepo(str(directory)).fetch_uri("lab:n") == text
    assert json.loads(cli("--json", "export-seqrepo").out)["files"] == {}


def test_a_copy_is_made_once_and_again_when_it_is_damaged(
    cli: Cli, root: Path, tmp_path: Path
) -> None:
    text = _noise(3, 5_000)
    assert cli("load", "-n", "lab", write_fasta(tmp_path / "x.fa", {"n": text})).code == 0
    _without_links(root)
    made = json.loads(cli("--json", "export-seqrepo").out)["files"]
    directory = root / "seqrepo" / "master"
    (copied,) = (directory / "sequences").rglob("*.fa.bgz")
    assert copied.stat().st_nlink == 1
    before = copied.stat().st_ino
    assert json.loads(cli("--json", "export-seqrepo").out)["files"] == {}
    assert copied.stat().st_ino == before
    _flip(copied)
    again = json.loads(cli("--json", "export-seqrepo").out)["files"]
    assert (sum(again.values()), again.keys() <= made.keys()) == (1, True)
    assert SeqRepo(str(directory)).fetch_uri("lab:n") == text


@pytest.mark.parametrize("damage", [Path.unlink, _cut_short])
def test_a_shard_that_is_not_as_it_was_published_is_named(
    cli: Cli, root: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    assert cli("load", "-n", "lab", write_fasta(tmp_path / "x.fa", {"n": "ACGT"})).code == 0
    (shard,) = shards(root)
    damage(shard)
    done = cli("export-seqrepo")
    assert (done.code, str(shard) in done.err, "seqarchive verify" in done.err) == (6, True, True)
    assert not (root / "seqrepo" / "master" / "aliases.sqlite3").exists()
