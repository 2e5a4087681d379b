"""How an instance of SeqRepo lies on disk: two SQLite databases and a tree of BGZF FASTA files.

The schema is that of biocommons.seqrepo 0.6 ("schema version" 1, unchanged since 2016).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

SCHEMA_VERSION = "1"

#: Namespaces that SeqRepo stores under another name than its interface has.
STORED_NAMESPACES = {"refseq": "NCBI", "ensembl": "Ensembl", "lrg": "LRG"}

_META = """
    CREATE TABLE meta (key text NOT NULL, value text NOT NULL);
    CREATE UNIQUE INDEX meta_key_idx ON meta (key);
    INSERT INTO meta VALUES ('schema version', '1');
"""

SEQUENCES_TABLES = (
    _META
    + """
    CREATE TABLE seqinfo (
        seq_id text PRIMARY KEY,
        len integer NOT NULL,
        alpha text NOT NULL,
        added timestamp NOT NULL DEFAULT current_timestamp,
        relpath text NOT NULL
    );
"""
)

ALIASES_TABLES = (
    _META
    + """
    CREATE TABLE seqalias (
        seqalias_id integer PRIMARY KEY,
        seq_id text NOT NULL,
        namespace text NOT NULL,
        alias text NOT NULL,
        added timestamp NOT NULL DEFAULT current_timestamp,
        is_current int NOT NULL DEFAULT 1
    );
"""
)

#: Made when the rows are there.
ALIASES_INDEXES = """
    CREATE UNIQUE INDEX seqalias_unique_ns_alias_idx ON seqalias (namespace, alias)
        WHERE is_current = 1;
    CREATE INDEX seqalias_seq_id_idx ON seqalias (seq_id);
    CREATE INDEX seqalias_namespace_idx ON seqalias (namespace);
    CREATE INDEX seqalias_alias_idx ON seqalias (alias);
"""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the parts of an instance are."""

    directory: Path

    @property
    def aliases(self) -> Path:
        """The database of names."""
        return self.directory / "aliases.sqlite3"

    @property
    def journal(self) -> Path:
        """The tree of sequence files, to which paths in the database are relative."""
        return self.directory / "sequences"

    @property
    def sequences(self) -> Path:
        """The database that says which file has a sequence."""
        return self.journal / "db.sqlite3"


#: Namespaces of digests as SeqRepo spells them.
_SPELLED = {"md5": "MD5", "sha1": "SHA1", "seguid": "SEGUID"}


def spelled_names(names: Iterable[str]) -> list[str]:
    """Names (``namespace:alias``) as SeqRepo has them: those that it stores under another namespace
    in both spellings, as its interface gives them."""
    found = []
    for name in names:
        namespace, _, alias = name.partition(":")
        if namespace in _SPELLED:
            found.append(f"{_SPELLED[namespace]}:{alias}")
            continue
        if namespace in STORED_NAMESPACES:
            found.append(f"{STORED_NAMESPACES[namespace]}:{alias}")
        if namespace != "trunc512":
            found.append(name)
    return found
