"""The tables of a registry; the same in PostgreSQL and in SQLite.

The arrays of collections (names, lengths, sequences) are kept by their digests, as the canonical
JSON whose digest it is: once, however many collections share them, and checked when they are read.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)
from sqlalchemy.types import TypeEngine

from ..seqcol.archived import ATTRIBUTES

#: What a newer version of the program has to raise when older ones cannot read what it writes.
VERSION = 1

#: Attributes whose arrays are kept; the others follow from them.
KEPT = ("names", "lengths", "sequences")

_TABLES = MetaData()

#: Sorted by bytes, so that beginnings of texts are found by an index.
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")
_ID = BigInteger().with_variant(Integer, "sqlite")


def _characters(n: int) -> TypeEngine[str]:
    return String(n).with_variant(String(n, collation="C"), "postgresql")


_DIGEST = _characters(32)

#: ``version``, ``created``, and ``changes``: how often something was committed.
META = Table(
    "seqarchive_registry",
    _TABLES,
    Column("key", _TEXT, primary_key=True),
    Column("value", _TEXT, nullable=False),
)

ARRAYS = Table(
    "seqarchive_arrays",
    _TABLES,
    Column("digest", _DIGEST, primary_key=True),
    Column("data", LargeBinary, nullable=False),  # zstd
)

COLLECTIONS = Table(
    "seqarchive_collections",
    _TABLES,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("digest", _DIGEST, nullable=False, unique=True),
    *(Column(name, _DIGEST, nullable=False, index=True) for name in ATTRIBUTES),
    Column("n_members", Integer, nullable=False),
    Column("n_residues", BigInteger, nullable=False),
    Column("title", _TEXT),  # for people
    Column("created", _characters(20), nullable=False),
)

#: Of sequences and of collections (``kind``). Namespaces are found without regard to case.
ALIASES = Table(
    "seqarchive_aliases",
    _TABLES,
    Column("kind", _characters(10), nullable=False),
    Column("alias", _TEXT, nullable=False),
    Column("namespace_key", _TEXT, nullable=False),
    Column("namespace", _TEXT, nullable=False),
    Column("digest", _DIGEST, nullable=False, index=True),
    PrimaryKeyConstraint("kind", "alias", "namespace_key"),
)

FHR = Table(
    "seqarchive_fhr",
    _TABLES,
    Column("digest", _DIGEST, primary_key=True),
    Column("document", Text, nullable=False),
)

#: Files, as DRS has them. The first of a collection has the digest of the collection as its id.
FILES = Table(
    "seqarchive_files",
    _TABLES,
    Column("id", _TEXT, primary_key=True),
    Column("collection", _DIGEST, nullable=False, index=True),
    Column("name", _TEXT, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", _characters(64), nullable=False, index=True),
    Column("md5", _characters(32), nullable=False),
    Column("sha512", _characters(128), nullable=False),
    Column("mime_type", _TEXT, nullable=False),
    Column("description", Text),
    Column("created", _characters(20), nullable=False),
)

#: Where files are. Of one address, there is one file.
ACCESS = Table(
    "seqarchive_access",
    _TABLES,
    Column("url", _TEXT, primary_key=True),
    Column("file", _TEXT, ForeignKey(FILES.c.id), nullable=False, index=True),
    Column("type", _TEXT, nullable=False),
    Column("cloud", _TEXT),
    Column("region", _TEXT),
)

#: RefgetStores that are served; of a registry that was made before there were any, the table is
#: missing.
STORES = Table(
    "seqarchive_stores",
    _TABLES,
    Column("name", _TEXT, primary_key=True),
    Column("url", _TEXT, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("description", Text, nullable=False),
    Column("is_enabled", Boolean, nullable=False),
    Column("created", _characters(20), nullable=False),
)

ALL = _TABLES
