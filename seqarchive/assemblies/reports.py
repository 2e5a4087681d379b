"""Assembly reports: text from outside, parsed once, into sequences and the names they have.

Three kinds, told apart by what is in them: NCBI's ``*_assembly_report.txt``; UCSC's
``chromAlias.txt`` (a column for each authority, or a row for each name); SAM sequence
dictionaries (``.dict``), which know sequences by MD5.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import NamedTuple

from ..errors import BadInput, BadName
from ..identifiers import check_alias
from ..inputs import Input, decompressed, open_input
from .assembly import ABSENT, Assembly, Row, assemble, assembly_name

#: No line of a report is as long as this, in bytes.
_LONGEST = 1 << 16

_REFSEQ = re.compile(r"[A-Z]{2,3}_[A-Z]{0,6}[0-9]+\.[0-9]+\Z")
_INSDC = re.compile(r"[A-Z]{1,6}[0-9]+\.[0-9]+\Z")
_LENGTH = re.compile(r"[0-9]{1,18}\Z")
_MD5 = re.compile(r"[0-9A-Fa-f]{32}\Z")
_WORDS = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(,[A-Za-z][A-Za-z0-9_-]*)*\Z")
_NAME_LINE = re.compile(r"(?i)#\s*assembly name:")


class Unnamed(BadInput):
    """A file that does not say which assembly it is about."""


# --- files ------------------------------------------------------------------------------------


def read_file(
    file: str, name: str | None = None, sizes: Mapping[str, int] | None = None
) -> Assembly:
    """Read a report, compressed or not; ``-`` is standard input. Raises as ``read_report`` does."""
    with open_input(file) as source:
        assembly = read_report(_lines(source), source.label, name, sizes)
        return assembly._replace(sha256=source.sha256.hex())


def read_sizes_file(file: str) -> dict[str, int]:
    """Lengths of sequences from UCSC's ``chrom.sizes``: name, tab, length.

    Raises:
        BadInput: A line that is not so. NotFound: No such file.
    """
    sizes: dict[str, int] = {}
    with open_input(file) as source:
        check = _Check(source.label)
        for n, line in enumerate(_lines(source), 1):
            fields = line.split()
            if not fields or line.startswith("#"):
                continue
            if len(fields) != 2:
                raise check.bad(f"a name and a length are needed, not {len(fields)} columns", n)
            length = check.length(fields[1], n)
            if length is None or sizes.setdefault(fields[0], length) != length:
                raise check.bad(f"{fields[0][:60]!r} has another length above, or none", n)
    return sizes


def _lines(source: Input) -> Iterator[str]:
    """The lines of a text, without LF. One that does not end is not read to its end."""
    n = 0
    rest = b""
    for chunk in decompressed(source):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            n += 1
            yield _decoded(line, source.label, n)
        if len(rest) > _LONGEST:
            break
    if rest:
        yield _decoded(rest, source.label, n + 1)


def _decoded(line: bytes, source: str, n: int) -> str:
    if len(line) > _LONGEST:
        raise BadInput(f"a line of more than {_LONGEST:,} bytes", file=source, line=n)
    try:
        return line.decode("utf-8-sig" if n == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"not UTF-8 ({error.reason})", file=source, line=n) from None


# --- one report -------------------------------------------------------------------------------


class _Check:
    """Fields of one file: parsed, left out with a word, or an error with their line."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.left_out: list[str] = []
        self.assemblies: dict[str, None] = {}

    def bad(self, message: str, line: int) -> BadInput:
        return BadInput(message, file=self.source, line=line)

    def names(self, texts: Iterable[str], line: int) -> tuple[str, ...]:
        """Those that can be aliases. NCBI allows a space in a name; here it ends one."""
        found = []
        for text in dict.fromkeys(texts):
            if " " in text and text.isprintable():
                self.left_out.append(f"line {line}: the name {text[:60]!r} has white space")
                continue
            try:
                found.append(check_alias(text))
            except BadName as error:
                raise self.bad(error.message, line) from None
        return tuple(found)

    def accession(self, text: str, pattern: re.Pattern[str], line: int) -> str | None:
        if text in ABSENT:
            return None
        if pattern.match(text) is None:
            if not text.isprintable():
                raise self.bad(f"{text[:60]!r} has control characters", line)
            self.left_out.append(f"line {line}: {text[:60]!r} is no accession with a version")
            return None
        return text

    def one(self, first: str | None, second: str | None, line: int) -> str | None:
        """The one accession of a kind that a sequence has."""
        if first is not None and second not in (None, first):
            raise self.bad(f"one sequence cannot be both {first} and {second}", line)
        return second if first is None else first

    def length(self, text: str, line: int) -> int | None:
        if text in ABSENT:
            return None
        if _LENGTH.match(text) is None or not int(text):
            raise self.bad(f"{text[:60]!r} is not a length", line)
        return int(text)


_Lines = Iterator[tuple[int, str]]


class _Head(NamedTuple):
    """What comes before the first line that is not a comment."""

    name: str | None
    columns: list[str] | None
    """Of a report of NCBI."""
    titles: list[str]
    """Of the first comment, which are the columns of a chromAlias file."""


def read_report(
    lines: Iterable[str],
    source: str,
    name: str | None = None,
    sizes: Mapping[str, int] | None = None,
) -> Assembly:
    """Read the lines of a report of any of the three kinds.

    Args:
        source: What messages call it.
        name: Of the assembly, whatever the report says.
        sizes: Lengths of sequences, for a chromAlias file, which has none.

    Raises:
        Unnamed: Neither ``name`` nor the report says which assembly this is.
        BadInput: It is none of them, or a line is not as it should be.
    """
    check = _Check(source)
    numbered = ((n, line.rstrip("\r\n")) for n, line in enumerate(lines, 1))
    head, first = _read_head(numbered)
    if first is None:
        raise BadInput("there are no sequences in it", file=source)
    rest = ((n, line) for n, line in chain([first], numbered) if line.strip())
    is_ncbi, is_dictionary = head.columns is not None, first[1].startswith("@")
    if sizes is not None and (is_ncbi or is_dictionary):
        raise BadInput("it has lengths of its own; sizes are for chromAlias files", file=source)
    if head.columns is not None:
        rows = list(_ncbi_rows(check, head.columns, rest))
    elif is_dictionary:
        rows = list(_dictionary_rows(check, rest))
    else:
        rows = list(_chrom_alias_rows(check, head.titles, rest, sizes))
    if not rows:
        raise BadInput("there are no sequences in it", file=source)
    called = _name(name, [head.name] if head.name else list(check.assemblies), source)
    return assemble(called, rows, source, check.left_out)


def _name(given: str | None, said: list[str], source: str) -> str:
    if given is not None:
        return assembly_name(given)
    if not said:
        raise Unnamed("it does not say which assembly it is about", file=source)
    if len(said) > 1:
        shown = ", ".join(repr(name) for name in said[:3])
        raise Unnamed(f"it names {len(said)} assemblies ({shown})", file=source)
    try:
        return assembly_name(said[0])
    except BadName as error:
        message = f"{error.message}; give the assembly another name with --assembly"
        raise BadInput(message, file=source) from None


def _read_head(lines: _Lines) -> tuple[_Head, tuple[int, str] | None]:
    """The comments at the beginning, and the first line after them."""
    name: str | None = None
    columns: list[str] | None = None
    titles: list[str] = []
    for n, line in lines:
        if not line.startswith("#") and line.strip():
            return _Head(name, columns, titles), (n, line)
        fields = line.lstrip("#").strip(" ").split("\t")
        if n == 1 and len(fields) > 1:
            titles = fields
        if fields[0] == "Sequence-Name" and columns is None:
            columns = fields
        if name is None and (match := _NAME_LINE.match(line)):
            name = line[match.end() :].strip() or None
    return _Head(name, columns, titles), None


# --- NCBI -------------------------------------------------------------------------------------

_NEEDED = ("Sequence-Name", "GenBank-Accn", "Relationship", "RefSeq-Accn")


def _ncbi_rows(check: _Check, columns: list[str], lines: _Lines) -> Iterator[Row]:
    """Old reports have neither lengths nor UCSC's names."""
    where = {title: at for at, title in enumerate(columns)}
    lacking = [title for title in _NEEDED if title not in where]
    if lacking or len(where) != len(columns):
        raise BadInput(
            f"an assembly report needs the columns {', '.join(_NEEDED)}, each once",
            file=check.source,
        )
    for n, line in lines:
        if line.startswith("#"):
            if _NAME_LINE.match(line) or "Sequence-Name\t" in line:
                raise check.bad("another report begins here; give each its own file", n)
            continue
        fields = line.split("\t")
        if len(fields) != len(columns):
            raise check.bad(f"{len(columns)} columns are needed, not {len(fields)}", n)
        of = dict(zip(columns, fields, strict=True))
        if of["Relationship"] not in ("=", "<>"):
            raise check.bad(f"the relationship is = or <>, not {of['Relationship'][:60]!r}", n)
        names = (of["Sequence-Name"], of.get("UCSC-style-name", ""))
        yield Row(
            check.names((name for name in names if name not in ABSENT), n),
            refseq=check.accession(of["RefSeq-Accn"], _REFSEQ, n),
            insdc=check.accession(of["GenBank-Accn"], _INSDC, n),
            is_same=of["Relationship"] == "=",
            length=check.length(of.get("Sequence-Length", ""), n),
            line=n,
        )


# --- UCSC -------------------------------------------------------------------------------------

#: Who gives accessions, as UCSC calls them; all others give names.
_REFSEQ_TITLE, _INSDC_TITLES = "refseq", frozenset({"genbank", "insdc"})


def _chrom_alias_rows(
    check: _Check, titles: list[str], lines: _Lines, sizes: Mapping[str, int] | None
) -> Iterator[Row]:
    """What UCSC writes in one line it holds to be one sequence: there is no ``<>``.

    There are three layouts: columns with titles; columns whose first line names the first alone
    (``# sequenceName  alias names  UCSC database: mm10``), in which an accession is known by its
    form; and ``alias, chrom, source``, with that title or none.
    """
    words = [title.strip().lower() for title in titles]
    if not words or words == ["alias", "chrom", "source"]:
        said = _by_name(check, lines, is_sure=bool(words))
    elif any(" " in word for word in words):
        said = _by_form(check, lines)
    else:
        said = _by_title(check, words, lines)
    n_sized = 0
    for row, native in said:
        known = sizes or {}
        length = next((known[name] for name in (native, *row.names) if name in known), None)
        n_sized += length is not None
        yield row._replace(length=length)
    if sizes is not None and not n_sized:
        raise BadInput("none of its sequences has a size in the file of sizes", file=check.source)


def _by_title(check: _Check, titles: list[str], lines: _Lines) -> Iterator[tuple[Row, str]]:
    if len(set(titles)) != len(titles) or not all(map(_WORDS.match, titles)):
        raise check.bad("the titles of its columns must be words, each once", 1)
    for n, line in lines:
        fields = line.split("\t")
        if len(fields) != len(titles):
            raise check.bad(f"{len(titles)} columns are needed, not {len(fields)}", n)
        said = [(text, {title}) for title, text in zip(titles, fields, strict=True)]
        yield _alias_row(check, said, n), fields[0]


def _by_form(check: _Check, lines: _Lines) -> Iterator[tuple[Row, str]]:
    for n, line in lines:
        native, *others = line.split("\t")
        if not others:
            raise check.bad("two columns or more are needed, not 1", n)
        said = [(native, {"ucsc"})]
        for text in others:
            is_refseq, is_insdc = _REFSEQ.match(text), _INSDC.match(text)
            said.append((text, {"refseq" if is_refseq else "genbank" if is_insdc else "name"}))
        yield _alias_row(check, said, n), native


def _by_name(check: _Check, lines: _Lines, *, is_sure: bool) -> Iterator[tuple[Row, str]]:
    sequences: dict[str, tuple[int, list[tuple[str, set[str]]]]] = {}
    for n, line in lines:
        fields = line.split("\t")
        if len(fields) != 3 or not _WORDS.match(fields[2]):
            if not (is_sure or sequences):
                raise BadInput(
                    "this is no assembly report of NCBI, chromAlias.txt of UCSC, or dictionary "
                    "of SAM",
                    file=check.source,
                )
            raise check.bad("three columns are needed: alias, chromosome and its sources", n)
        alias, native, authorities = fields
        _, said = sequences.setdefault(native, (n, [(native, {"ucsc"})]))
        said.append((alias, set(authorities.lower().split(","))))
    for native, (n, said) in sequences.items():
        yield _alias_row(check, said, n), native


def _alias_row(check: _Check, said: list[tuple[str, set[str]]], line: int) -> Row:
    """One sequence, from what authorities call it."""
    refseq: str | None = None
    insdc: str | None = None
    names = []
    for text, authorities in said:
        if text in ABSENT:
            continue
        if _REFSEQ_TITLE in authorities:
            found = check.accession(text, _REFSEQ, line)
            refseq = check.one(refseq, found, line)
        elif authorities & _INSDC_TITLES:
            found = check.accession(text, _INSDC, line)
            insdc = check.one(insdc, found, line)
        else:
            names.append(text)
    names = [name for name in names if name not in (refseq, insdc)]
    return Row(check.names(names, line), refseq, insdc, line=line)


# --- SAM --------------------------------------------------------------------------------------


def _dictionary_rows(check: _Check, lines: _Lines) -> Iterator[Row]:
    """``@SQ`` lines: SN and AN are names, M5 says which sequence it is, AS of which assembly."""
    n_digests = 0
    for n, line in lines:
        tag, *fields = line.split("\t")
        if not tag.startswith("@"):
            raise check.bad("a line of a SAM dictionary begins with @", n)
        if tag != "@SQ":
            continue
        of: dict[str, str] = {}
        for field in fields:
            key, colon, value = field.partition(":")
            if not colon or of.setdefault(key, value) != value:
                raise check.bad(f"{field[:60]!r} is no field of its own", n)
        if not of.get("SN") or check.length(of.get("LN", ""), n) is None:
            raise check.bad("@SQ needs a name (SN) and a length (LN)", n)
        md5 = of.get("M5")
        if md5 is not None and _MD5.match(md5) is None:
            raise check.bad(f"{md5[:60]!r} is not an MD5 digest", n)
        n_digests += md5 is not None
        if "AS" in of:
            check.assemblies[of["AS"]] = None
        yield Row(
            check.names([of["SN"], *filter(None, of.get("AN", "").split(","))], n),
            length=check.length(of["LN"], n),
            md5=None if md5 is None else bytes.fromhex(md5),
            line=n,
        )
    if not n_digests:
        raise BadInput(
            "none of its sequences has an MD5 (M5), and it has no accessions", file=check.source
        )
