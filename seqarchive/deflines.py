"""Deflines -> names.

In this order: a defline of our own export says all names; NCBI and UniProt bar identifiers are
taken apart; otherwise the first word is the alias in the namespace that the user gave. A pattern
or a table from the user goes before the last two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import namespaces
from .errors import BadInput, BadName, NotFound
from .identifiers import Alias, Digest, check_alias, parse_alias
from .records import first_word

#: NCBI's bar codes (NCBI C++ Toolkit book, "FASTA sequence ID format") -> namespace.
_BAR_NAMESPACES = {
    "gi": "gi",
    "ref": "refseq",
    "gb": "insdc",
    "emb": "insdc",
    "dbj": "insdc",
    "tpg": "insdc",
    "tpe": "insdc",
    "tpd": "insdc",
    "sp": "uniprot",
    "tr": "uniprot",
    "pir": "pir",
    "prf": "prf",
}
#: Codes followed by one field; all others but ``lcl``, ``gnl`` and ``pdb`` have accession|locus.
_ONE_FIELD = frozenset({"gi"})

_LONGEST_PLAIN = 200

_EXPORTED = re.compile(r"ga4gh:SQ\.([A-Za-z0-9_-]{32})(?:\s|\Z)")
_VERSIONED_BY_RULE = re.compile(r"[A-Z]{2}_[A-Z]*\d+|ENS[A-Z]*[A-Z]\d{11}")


@dataclass(frozen=True, slots=True)
class Names:
    """What a defline calls its sequence."""

    aliases: tuple[Alias, ...]
    digest: Digest | None = None
    """The digest that an exported defline says the residues have."""


@dataclass(frozen=True, slots=True)
class Naming:
    """How a load takes names from deflines.

    Args:
        namespace: Canonical namespace of first words; nothing is named if it is empty.
        pattern: Applied to the defline; groups ``alias`` (or the first group) and, optionally,
            ``namespace`` say the name. A defline that it does not match is an error.
        table: Name in the file -> all its aliases. A name that is not in it is named as usual.
    """

    namespace: str
    pattern: re.Pattern[str] | None = None
    table: Mapping[str, tuple[Alias, ...]] = field(default_factory=dict)

    def plain_name(self, defline: str) -> str | None:
        """The first word, if it is the only name there is and needs no second look.

        Most deflines are so, and ``names`` would say the same of them.
        """
        name = defline.split(None, 1)[0]
        if (
            len(name) > _LONGEST_PLAIN
            or "|" in name
            or not name.isprintable()
            or name.startswith("ga4gh:")
            or self.pattern is not None
            or self.table
            or not self.namespace
        ):
            return None
        return name

    def names(self, defline: str) -> Names:
        """The names in a defline.

        Raises:
            BadName: None, or one that cannot be an alias.
        """
        if not self.namespace:
            return Names(())
        exported = _EXPORTED.match(defline)
        if exported is not None:
            return Names(_exported_names(defline), Digest(exported[1]))
        names = self._said_names(defline)
        for name in names:
            if name.namespace in namespaces.COMPUTED:
                raise BadName(f"{name.namespace} names are computed and cannot be given ({name})")
        return Names(names)

    def _said_names(self, defline: str) -> tuple[Alias, ...]:
        """The names in a defline that is not an exported one."""
        name = first_word(defline)
        if self.pattern is not None:
            return (self._match(defline),)
        if self.table and (aliases := self.table.get(name)):
            return aliases
        if "|" in name:
            aliases = tuple(
                alias
                for part in defline.split("\x01")  # NCBI's nr joins deflines so
                for alias in self._bar_names(first_word(part))
            )
            if aliases:
                return tuple(dict.fromkeys(aliases))
        return (Alias(self.namespace, check_alias(name)),)

    def _match(self, defline: str) -> Alias:
        assert self.pattern is not None
        match = self.pattern.search(defline)
        if match is None:
            raise BadName(f"the defline {defline[:60]!r} does not match {self.pattern.pattern!r}")
        groups = match.groupdict()
        alias = groups.get("alias") or match[1 if match.re.groups else 0]
        namespace = groups.get("namespace")
        return Alias(
            namespaces.canonical(namespace) if namespace else self.namespace,
            check_alias(alias or ""),
        )

    def _bar_names(self, text: str) -> list[Alias]:
        """``gi|5|ref|NM_1.2|`` -> gi:5, refseq:NM_1.2; nothing if a code is unknown."""
        fields = text.split("|")
        found = []
        while len(fields) > 1:
            code = fields[0].lower()
            if code == "lcl":
                found.append(Alias(self.namespace, fields[1]))
                fields = fields[2:]
            elif code == "gnl" and len(fields) > 2:
                found.append(Alias(namespaces.canonical(fields[1]), fields[2]))
                fields = fields[3:]
            elif code == "pdb" and len(fields) > 1:
                chain = fields[2] if len(fields) > 2 else ""
                found.append(Alias("pdb", f"{fields[1]}_{chain}" if chain else fields[1]))
                fields = fields[3:]
            elif code in _BAR_NAMESPACES:
                # pir||A02018 has its name in the second field.
                second = fields[2] if len(fields) > 2 and code not in _ONE_FIELD else ""
                accession = fields[1] or second
                if accession:
                    found.append(Alias(_BAR_NAMESPACES[code], accession))
                fields = fields[2:] if code in _ONE_FIELD else fields[3:]
            else:
                return []
        if any(fields):  # something else follows, a range perhaps: the word is one name
            return []
        for alias in found:
            check_alias(alias.alias)
        return found


def _exported_names(defline: str) -> tuple[Alias, ...]:
    """The aliases of a defline that ``export`` wrote: all words are, or it is another's text."""
    try:
        names = [parse_alias(word) for word in defline.split()]
    except BadName:
        return ()
    return tuple(name for name in names if name.namespace not in namespaces.COMPUTED)


def is_versionless(namespace: str, alias: str) -> bool:
    """Whether a RefSeq or Ensembl accession lacks the version that makes it mean one sequence."""
    return (
        "." not in alias
        and namespace in ("refseq", "ensembl")
        and _VERSIONED_BY_RULE.fullmatch(alias) is not None
    )


def read_alias_table(path: Path) -> dict[str, tuple[Alias, ...]]:
    """A TSV of names: name in the file, then any number of ``namespace:alias``.

    Blank lines and lines that begin with ``#`` are skipped.

    Raises:
        BadInput: A line that is not so. NotFound: No such file.
    """
    table: dict[str, tuple[Alias, ...]] = {}
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise NotFound(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot be read as UTF-8 text ({error})", file=str(path)) from None
    for n, line in enumerate(text.split("\n"), 1):
        fields = line.rstrip("\r").split("\t")
        if not line.strip() or line.startswith("#"):
            continue
        if len(fields) < 2:
            raise BadInput(
                "a name and at least one namespace:alias, separated by tabs, are needed",
                file=str(path),
                line=n,
            )
        try:
            aliases = tuple(parse_alias(text) for text in fields[1:] if text)
        except BadName as error:
            raise BadInput(error.message, file=str(path), line=n) from None
        table[fields[0]] = table.get(fields[0], ()) + aliases
    return table
