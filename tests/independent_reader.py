"""Another program that reads an archive: written from ``docs/format.rst`` alone, with nothing but
the standard library. What it says of an archive is what the page says of it.

    python tests/independent_reader.py INSTANCE
"""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
import struct
import sys
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

FORMAT = 2
APPLICATION_ID = 0x53657141
RESIDUES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ*-"


class WrongArchive(Exception):
    """Something is not as the page says."""


def text_of(digest: bytes) -> str:
    """A digest as the page writes it: 24 bytes in base64url."""
    return base64.urlsafe_b64encode(digest).decode("ascii")


def sha512t24u(data: bytes) -> str:
    return text_of(hashlib.sha512(data).digest()[:24])


def require(condition: object, what: str) -> None:
    if not condition:
        raise WrongArchive(what)


# --- shards -----------------------------------------------------------------------------------


def blocks_of(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Where each BGZF block of a file begins, and what is in it."""
    at = 0
    while at < len(data):
        require(data[at : at + 4] == b"\x1f\x8b\x08\x04", "a block of BGZF")
        (n_extra,) = struct.unpack_from("<H", data, at + 10)
        (tag, n_tag, size) = struct.unpack_from("<2sHH", data, at + 12)
        require((tag, n_tag) == (b"BC", 2), "the size of a block")
        inflated = zlib.decompress(data[at + 12 + n_extra : at + size + 1 - 8], wbits=-15)
        crc, length = struct.unpack_from("<II", data, at + size + 1 - 8)
        require((zlib.crc32(inflated), len(inflated)) == (crc, length), "the CRC of a block")
        yield at, inflated
        at += size + 1


class Shard:
    """A shard as the database knows it, checked against that."""

    def __init__(self, journal: Path, row: dict[str, Any]) -> None:
        path = journal / row["path"]
        data = path.read_bytes()
        self.line_bases = row["line_bases"]
        blocks = list(blocks_of(data))
        self.text = b"".join(inflated for _, inflated in blocks)
        for suffix, key in (("", ""), (".fai", "fai_"), (".gzi", "gzi_")):
            found = path.with_name(path.name + suffix).read_bytes()
            size = row["size_bytes" if not key else f"{key}bytes"]
            require(len(found) == size, f"the size of {path}{suffix}")
            require(hashlib.sha256(found).digest() == row[f"{key}sha256"], f"{path}{suffix}")
        # What htslib writes: a number, and where each block but the first begins, twice.
        gzi = path.with_name(path.name + ".gzi").read_bytes()
        (n,) = struct.unpack_from("<Q", gzi)
        entries = list(struct.iter_unpack("<QQ", gzi[8:]))
        require(len(entries) == n, "the number of blocks")
        at, begins = 0, {}
        for offset, inflated in blocks:
            begins[offset] = at
            at += len(inflated)
        require(all(begins.get(offset) == there for offset, there in entries), "the .gzi")

    def residues(self, offset: int, length: int, name: str) -> bytes:
        """The residues whose first one is at an offset of the text."""
        head = b">" + name.encode("ascii") + b"\n"
        require(self.text[offset - len(head) : offset] == head, f"the header of {name}")
        n = self.line_bases
        n_bytes = length + (length - 1) // n if n else length
        require(self.text[offset + n_bytes : offset + n_bytes + 1] == b"\n", f"the end of {name}")
        return self.text[offset : offset + n_bytes].replace(b"\n", b"")


# --- the database -----------------------------------------------------------------------------


class Instance:
    """A directory that can be opened."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.is_snapshot = (directory / "manifest.json").is_file()
        where = (directory / "aliases.sqlite3").absolute().as_uri()
        mode = "immutable=1" if self.is_snapshot else "mode=ro"
        self.connection = sqlite3.connect(f"{where}?{mode}", uri=True)
        (version,) = self.connection.execute("PRAGMA user_version").fetchone()
        require(version <= FORMAT, f"format {version} is newer")
        self.version = int(version)
        (application,) = self.connection.execute("PRAGMA application_id").fetchone()
        require(application == APPLICATION_ID, "the application_id")

    def close(self) -> None:
        self.connection.close()

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        found = self.connection.execute(query, values)
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found]

    def sequences(self) -> dict[int, dict[str, Any]]:
        """All sequences by id, with their residues, which hash to all their digests."""
        journal = self.directory / "sequences"
        shards = {row["id"]: Shard(journal, row) for row in self.rows("SELECT * FROM shards")}
        names = dict(self.connection.execute("SELECT sequence_id, name FROM stored_names"))
        circular = {row["sequence_id"] for row in self.rows("SELECT * FROM circular")}
        for column in ("digest", "md5", "sha1") if self.version > 1 else ():
            look_up, all_rows = (
                self.connection.execute(query).fetchall()
                for query in (
                    f"SELECT {column}, id FROM by_{column} ORDER BY id",
                    f"SELECT {column}, id FROM sequences ORDER BY id",
                )
            )
            require(look_up == all_rows, f"by_{column}")
        kept = dict(self.connection.execute("SELECT sequence_id, digest FROM sha256"))
        found = {}
        for row in self.rows("SELECT * FROM sequences"):
            digest = text_of(row["digest"])
            residues = b""
            if row["shard_id"] is not None:
                name = names.get(row["id"], digest)
                residues = shards[row["shard_id"]].residues(row["offset"], row["length"], name)
            require(sha512t24u(residues) == digest, f"the digest of {digest}")
            require(hashlib.md5(residues).digest() == row["md5"], f"the MD5 of {digest}")
            require(hashlib.sha1(residues).digest() == row["sha1"], f"the SHA-1 of {digest}")
            require(len(residues) == row["length"], f"the length of {digest}")
            letters = {RESIDUES[bit] for bit in range(28) if row["letters"] >> bit & 1}
            require(letters == set(residues.decode("ascii")), f"the letters of {digest}")
            if row["id"] in kept:
                require(hashlib.sha256(residues).digest() == kept[row["id"]], "a SHA-256")
            found[row["id"]] = {
                "digest": digest,
                "residues": residues.decode("ascii"),
                "circular": row["id"] in circular,
                "since": row["batch_id"],
            }
        return found

    def aliases_after(self, batch: int, digests: dict[int, str]) -> dict[str, str]:
        """What aliases meant after a batch, as the page says under "History"."""
        return {
            f"{row['namespace']}:{row['alias']}": digests[row["sequence_id"]]
            for row in self.rows(
                "SELECT n.name AS namespace, a.alias, a.sequence_id FROM ("
                " SELECT alias, namespace_id, sequence_id FROM aliases WHERE batch_id <= ?"
                " UNION ALL SELECT alias, namespace_id, sequence_id FROM ended_aliases"
                " WHERE from_batch <= ? AND ? < to_batch"
                ") a JOIN namespaces n ON n.id = a.namespace_id",
                batch,
                batch,
                batch,
            )
        }

    def _holding(self, table: str, keys: str, value: str) -> list[dict[str, Any]]:
        """The last row of each key, of a table that only grows; none without a value."""
        return self.rows(
            f"SELECT * FROM {table} WHERE {value} IS NOT NULL AND id IN"
            f" (SELECT max(id) FROM {table} GROUP BY {keys})"
        )

    # --- collections ------------------------------------------------------------------------

    def collections(self, sequences: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
        """All collections, whose digests are those of the standard, and each as a FASTA file."""
        names: dict[int, list[str]] = {}
        namespaces = dict(self.connection.execute("SELECT id, name FROM namespaces"))
        for row in self._holding("collection_aliases", "namespace_id, alias", "collection_id"):
            name = f"{namespaces[row['namespace_id']]}:{row['alias']}"
            names.setdefault(row["collection_id"], []).append(name)
        fhr = {
            row["collection_id"]: json.loads(row["document"])
            for row in self._holding("fhr", "collection_id", "document")
        }
        found = []
        for row in self.rows("SELECT * FROM collections ORDER BY id"):
            members = self._members(row["source_id"], sequences)
            digests = collection_digests(members)
            for key, digest in digests.items():
                require(text_of(row[key]) == digest, f"{key} of a collection")
            require(row["n_members"] == len(members), "the number of members")
            residues = sum(len(member["residues"]) for member in members)
            require(row["n_residues"] == residues, "the number of residues")
            found.append(
                {
                    "digest": digests["digest"],
                    "names": sorted(names.get(row["id"], [])),
                    "fhr": fhr.get(row["id"]),
                    "members": [[one["name"], one["digest"]] for one in members],
                    "fasta": hashlib.sha256(
                        self._fasta(row["source_id"], members).encode("utf-8")
                    ).hexdigest(),
                }
            )
        return found

    def _members(
        self, source_id: int, sequences: dict[int, dict[str, Any]]
    ) -> list[dict[str, Any]]:
        masks = {
            row["ordinal"]: row["mask"]
            for row in self.rows("SELECT * FROM masks WHERE source_id = ?", source_id)
        }
        return [
            {
                "name": row["defline"].split()[0],
                "defline": row["defline"],
                "digest": sequences[row["sequence_id"]]["digest"],
                "residues": sequences[row["sequence_id"]]["residues"],
                "runs": runs_of(masks.get(row["ordinal"], b"")),
            }
            for row in self.rows(
                "SELECT * FROM records WHERE source_id = ? ORDER BY ordinal", source_id
            )
        ]

    def _fasta(self, source_id: int, members: list[dict[str, Any]]) -> str:
        ((width,),) = self.connection.execute(
            "SELECT line_bases FROM sources WHERE id = ?", (source_id,)
        )
        width = 60 if width is None else width
        lines = []
        for member in members:
            lines.append(">" + member["defline"])
            residues = member["residues"]
            for begin, end in member["runs"]:
                residues = residues[:begin] + residues[begin:end].lower() + residues[end:]
            step = width or max(len(residues), 1)
            lines += [residues[at : at + step] for at in range(0, len(residues), step)]
        return "".join(line + "\n" for line in lines)

    # --- tracks -----------------------------------------------------------------------------

    def tracks(self) -> list[dict[str, Any]]:
        """What ids of clients mean, with the canonical form of each track."""
        files = {text_of(row["digest"]): row for row in self.rows("SELECT * FROM tracks")}
        for digest, row in files.items():
            for key in ("", "index_"):
                if row[f"{key}path"] is not None:
                    data = (self.directory / "tracks" / row[f"{key}path"]).read_bytes()
                    size = row["size_bytes" if not key else "index_bytes"]
                    require(len(data) == size, f"the size of {row[f'{key}path']}")
                    require(hashlib.sha256(data).digest() == row[f"{key}sha256"], "a track")
            form = canonical_form(self.directory / "tracks" / row["path"], row)
            require(sha512t24u(form) == digest, f"the digest of {row['path']}")
        provenances = {
            row["digest"]: json.loads(row["document"])
            for row in self.rows("SELECT * FROM provenances")
        }
        for digest, document in provenances.items():
            canonical = canonical_provenance(document)
            require(sha512t24u(canonical) == text_of(digest), "the digest of a provenance")
        computed = {
            row["uuid"]: provenances[row["provenance"]]
            for row in self._holding("derivations", "provenance", "uuid")
        }
        names = {row["uuid"]: row for row in self.rows("SELECT * FROM client_ids")}
        return [
            {
                "id": row["uuid"],
                "name": names[row["uuid"]]["name"],
                "what": names[row["uuid"]]["kind"],
                "digest": text_of(row["target"]),
                "kind": files[text_of(row["target"])]["kind"]
                if text_of(row["target"]) in files
                else None,
                "computed": computed.get(row["uuid"]),
            }
            for row in self._holding("client_meanings", "uuid", "target")
        ]


def collection_digests(members: list[dict[str, Any]]) -> dict[str, str]:
    """The digests of the GA4GH standard of sequence collections: of each attribute as canonical
    JSON (RFC 8785), and of the object of the two inherent ones."""

    def digest(value: Any) -> str:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
        return sha512t24u(text.encode("utf-8"))

    names = [member["name"] for member in members]
    lengths = [len(member["residues"]) for member in members]
    sequences = ["SQ." + member["digest"] for member in members]
    pairs = [{"length": n, "name": name} for n, name in zip(lengths, names, strict=True)]
    found = {
        "names": digest(names),
        "lengths": digest(lengths),
        "sequences": digest(sequences),
        "sorted_sequences": digest(sorted(sequences)),
        "name_length_pairs": digest(pairs),
        "sorted_name_length_pairs": digest(sorted(map(digest, pairs))),
    }
    inherent = {"names": found["names"], "sequences": found["sequences"]}
    return {**found, "digest": digest(inherent)}


def runs_of(mask: bytes) -> list[tuple[int, int]]:
    """What is in lower case: begins and ends, from their distances."""
    if not mask:
        return []
    numbers = [n for (n,) in struct.iter_unpack("<Q", zlib.decompress(mask))]
    at, places = 0, []
    for number in numbers:
        at += number
        places.append(at)
    return list(zip(places[::2], places[1::2], strict=True))


def canonical_provenance(document: dict[str, Any]) -> bytes:
    """The JSON whose digest a provenance has, from what the table keeps of it."""
    roles = document["roles"] or [""] * len(document["inputs"])
    inputs = [list(pair) for pair in zip(roles, document["inputs"], strict=True)]
    form = {
        "commutative": document["commutative"],
        "inputs": sorted(inputs) if document["commutative"] else inputs,
        "operation": document["operation"],
        "params": document["params"],
        "version": document["version"],
    }
    text = json.dumps(form, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8")


# --- files of tracks --------------------------------------------------------------------------


def canonical_form(path: Path, row: dict[str, Any]) -> bytes:
    """The bytes whose digest is the name of a track, from its file."""
    if row["kind"] == "interval":  # the file is the form, as BGZF
        return b"".join(inflated for _, inflated in blocks_of(path.read_bytes()))
    if row["kind"] == "table":
        return path.read_bytes()
    head = f"#seqarchive-track\tsignal\t{text_of(row['genome'])}\n".encode()
    return head + b"".join(_signal(path.read_bytes()))


def _signal(data: bytes) -> Iterator[bytes]:
    """The steps of a bigWig, chromosome by chromosome; neighbours with one value are one step."""
    magic, _, _, chroms_at, _, index_at = struct.unpack_from("<IHHQQQ", data)
    require(magic == 0x888FFC26, "a bigWig")
    names = dict(_chromosomes(data, chroms_at))
    (packed_size,) = struct.unpack_from("<I", data, 52)
    steps: dict[int, list[tuple[int, int, float]]] = {}
    for offset, size in _leaves(data, index_at + 48):
        block = data[offset : offset + size]
        chrom, items = _steps(zlib.decompress(block) if packed_size else block)
        for step in items:
            some = steps.setdefault(chrom, [])
            if some and (some[-1][1], some[-1][2]) == (step[0], step[2]):
                some[-1] = (some[-1][0], step[1], step[2])
            else:
                some.append(step)
    for chrom, some in steps.items():
        yield f"{names[chrom]}\n{len(some)}\n".encode()
        for code, column in zip("qqf", zip(*some, strict=True), strict=True):
            yield struct.pack(f"<{len(some)}{code}", *column)


def _chromosomes(data: bytes, at: int) -> Iterator[tuple[int, str]]:
    _, _, key_size, _, _, _ = struct.unpack_from("<IIIIQQ", data, at)

    def node(at: int) -> Iterator[tuple[int, str]]:
        is_leaf, _, n = struct.unpack_from("<BBH", data, at)
        for k in range(n):
            where = at + 4 + k * (key_size + 8)
            if is_leaf:
                (number,) = struct.unpack_from("<I", data, where + key_size)
                yield number, data[where : where + key_size].rstrip(b"\0").decode()
            else:
                (child,) = struct.unpack_from("<Q", data, where + key_size)
                yield from node(child)

    yield from node(at + 32)


def _leaves(data: bytes, at: int) -> Iterator[tuple[int, int]]:
    is_leaf, _, n = struct.unpack_from("<BBH", data, at)
    for k in range(n):
        if is_leaf:
            yield struct.unpack_from("<QQ", data, at + 4 + k * 32 + 16)
        else:
            (child,) = struct.unpack_from("<Q", data, at + 4 + k * 24 + 16)
            yield from _leaves(data, child)


def _steps(block: bytes) -> tuple[int, list[tuple[int, int, float]]]:
    chrom, begin, _, step, span, kind, _, n = struct.unpack_from("<IIIIIBBH", block)
    found = []
    for k in range(n):
        if kind == 1:
            found.append(struct.unpack_from("<IIf", block, 24 + 12 * k))
        elif kind == 2:
            at, value = struct.unpack_from("<If", block, 24 + 8 * k)
            found.append((at, at + span, value))
        else:
            (value,) = struct.unpack_from("<f", block, 24 + 4 * k)
            found.append((begin + k * step, begin + k * step + span, value))
    return chrom, found


# --- snapshots --------------------------------------------------------------------------------


def check_snapshot(directory: Path) -> dict[str, Any]:
    """The manifest of a snapshot, all of whose files are as it and the list of the root say."""
    data = (directory / "manifest.json").read_bytes()
    manifest: dict[str, Any] = json.loads(data)
    require(manifest["format"] == "seqarchive-snapshot", "the format of a manifest")
    require(manifest["version"] == 1, "the version of a manifest")
    listing = json.loads((directory.parent / "releases.json").read_bytes())
    require((listing["format"], listing["version"]) == ("seqarchive-releases", 1), "the list")
    (row,) = [one for one in listing["releases"] if one["name"] == directory.name]
    require(hashlib.sha256(data).hexdigest() == row["manifest_sha256"], "the listed manifest")
    paths = [one["path"] for one in manifest["files"]]
    require(paths == sorted(paths), "the order of files")
    chunks = b""
    for one in manifest["files"]:
        found = (directory / one["path"]).read_bytes()
        require(len(found) == one["bytes"], f"the size of {one['path']}")
        require(hashlib.sha256(found).hexdigest() == one["sha256"], f"{one['path']}")
        if one["path"] == "aliases.sqlite3" or one["path"].endswith(".gzi"):
            for at in range(0, len(found), 32768):
                chunks += hashlib.sha256(found[at : at + 32768]).digest()[:16]
    require((directory / "chunks.sha256").read_bytes() == chunks, "the digests of chunks")
    there = {p.relative_to(directory).as_posix() for p in directory.rglob("*") if p.is_file()}
    require(
        there - {"manifest.json", "manifest.json.sig"} == set(paths), "the files that are there"
    )
    return manifest


def changes(states: list[dict[str, str]]) -> list[dict[str, str | None]]:
    """What each state has that the one before had not; None for what is no longer there."""
    found, before = [], dict[str, str]()
    for state in states:
        gone: dict[str, str | None] = dict.fromkeys(before.keys() - state.keys())
        found.append(gone | {key: state[key] for key in state if before.get(key) != state[key]})
        before = state
    return found


def read(directory: Path) -> dict[str, Any]:
    """All that an instance holds, ready for JSON: equal for equal contents."""
    with closing(Instance(directory)) as instance:
        sequences = instance.sequences()
        digests = {number: one["digest"] for number, one in sequences.items()}
        gone = instance.rows("SELECT id, digest FROM reclaimed")
        digests |= {row["id"]: text_of(row["digest"]) for row in gone}
        batches = instance.rows("SELECT id, kind, namespace, reverts FROM batches ORDER BY id")
        return {
            "archive_id": instance.rows("SELECT value FROM meta WHERE key = 'archive_id'")[0][
                "value"
            ],
            "manifest": check_snapshot(directory)["batch"] if instance.is_snapshot else None,
            "batches": batches,
            "sequences": sorted(
                (
                    {
                        "digest": one["digest"],
                        "length": len(one["residues"]),
                        "sha256": hashlib.sha256(one["residues"].encode()).hexdigest(),
                        "circular": one["circular"],
                        "since": one["since"],
                    }
                    for one in sequences.values()
                ),
                key=lambda one: str(one["digest"]),
            ),
            "reclaimed": sorted(text_of(row["digest"]) for row in gone),
            "aliases": changes([instance.aliases_after(batch["id"], digests) for batch in batches]),
            "sources": [
                {**row, "sha256": row["sha256"].hex()}
                for row in instance.rows(
                    "SELECT name, size_bytes, sha256, format, compression, n_records, line_bases"
                    " FROM sources ORDER BY id"
                )
            ],
            "adopted": sorted(
                f"{row['name']}:{row['alias']} {row['added']}"
                for row in instance.rows(
                    "SELECT n.name, a.alias, a.added FROM adopted_aliases a"
                    " JOIN namespaces n ON n.id = a.namespace_id"
                )
            ),
            "collections": instance.collections(sequences),
            "tracks": sorted(instance.tracks(), key=lambda one: str(one["id"])),
        }


if __name__ == "__main__":
    json.dump(read(Path(sys.argv[1])), sys.stdout, indent=1, sort_keys=True)
    print()
