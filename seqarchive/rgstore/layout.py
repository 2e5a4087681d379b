"""The files of a RefgetStore, as gtars 0.10.0 writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ..seqcol.digests import CollectionDigests

MANIFEST = "rgstore.json"
SEQUENCES = "sequences.rgsi"
COLLECTIONS = "collections.rgci"
SEQUENCE_PATH = "sequences/%s2/%s.seq"
COLLECTION_PATH = "collections/%s.rgsi"
VERSION = 1

#: Columns of an index of sequences.
ROW = "#name\tlength\talphabet\tsha512t24u\tmd5\tdescription\n"
COLLECTION_ROW = (
    "#digest\tn_sequences\tnames_digest\tsequences_digest\tlengths_digest\t"
    "name_length_pairs_digest\tsorted_name_length_pairs_digest\tsorted_sequences_digest\n"
)

#: Attributes of a collection in the order of its headers.
_HEADERS = (
    "names",
    "sequences",
    "lengths",
    "name_length_pairs",
    "sorted_name_length_pairs",
    "sorted_sequences",
)


class Mode(Enum):
    """How payloads are stored."""

    RAW = "Raw"
    ENCODED = "Encoded"


def payload_path(digest: str) -> str:
    """Where the residues of a sequence are."""
    return f"sequences/{digest[:2]}/{digest}.seq"


def collection_path(digest: str) -> str:
    """Where the list of a collection is."""
    return f"collections/{digest}.rgsi"


def aliases_path(kind: str, namespace: str) -> str:
    """Where the aliases of a namespace are; of ``collections`` or of ``sequences``."""
    return f"aliases/{kind}/{namespace}.tsv"


def fhr_path(digest: str) -> str:
    """Where is what is said of a collection."""
    return f"fhr/{digest}.fhr.json"


#: The order in which gtars writes the fields of FHR; others follow.
_FHR_FIELDS = (
    "schema", "schemaVersion", "genome", "taxon", "version", "metadataAuthor", "assemblyAuthor",
    "dateCreated", "voucherSpecimen", "masking", "checksum", "genomeSynonym", "accessionID",
    "instrument", "scholarlyArticle", "documentation", "identifier", "license", "relatedLink",
    "funding", "vitalStats",
)  # fmt: skip


def fhr_text(document: Mapping[str, Any]) -> bytes:
    """What is said of a collection, as a file."""
    ordered = {name: document[name] for name in _FHR_FIELDS if name in document}
    return json.dumps(ordered | dict(document), indent=2, ensure_ascii=False).encode("utf-8")


def collection_head(digests: CollectionDigests) -> str:
    """What the list of a collection begins with."""
    lines = [f"##seqcol_digest={digests.digest}\n"]
    lines += (f"##{name}_digest={getattr(digests, name)}\n" for name in _HEADERS)
    return "".join(lines) + ROW


def collection_line(digests: CollectionDigests, n_members: int) -> str:
    """The row of a collection."""
    cells = [digests.digest, str(n_members), *(getattr(digests, name) for name in _HEADERS)]
    return "\t".join(cells) + "\n"


@dataclass(frozen=True, slots=True)
class StoreManifest:
    """``rgstore.json``; all of its fields in the order in which gtars writes them."""

    mode: Mode
    created_at: str
    """RFC 3339."""
    modified: str
    sequence_alias_namespaces: tuple[str, ...]
    collection_alias_namespaces: tuple[str, ...]
    collections_digest: str
    """SHA-256 of the index, in hexadecimal."""
    sequences_digest: str
    aliases_digest: str | None
    """Of all files of aliases, one after the other, sorted by path."""
    fhr_digest: str | None
    logical_sequence_bytes: int

    def to_bytes(self) -> bytes:
        """The text of the file."""
        document: dict[str, Any] = {
            "version": VERSION,
            "seqdata_path_template": SEQUENCE_PATH,
            "collections_path_template": COLLECTION_PATH,
            "sequence_index": SEQUENCES,
            "collection_index": COLLECTIONS,
            "mode": self.mode.value,
            "created_at": self.created_at,
            "ancillary_digests": True,
            "attribute_index": False,
            "sequence_alias_namespaces": list(self.sequence_alias_namespaces),
            "collection_alias_namespaces": list(self.collection_alias_namespaces),
            "modified": self.modified,
            "collections_digest": self.collections_digest,
            "sequences_digest": self.sequences_digest,
            "aliases_digest": self.aliases_digest,
            "fhr_digest": self.fhr_digest,
            "logical_sequence_bytes": self.logical_sequence_bytes,
        }
        said = {key: value for key, value in document.items() if value not in (None, [])}
        return json.dumps(said, indent=2, ensure_ascii=False).encode("utf-8")
