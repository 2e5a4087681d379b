"""NCBI: FASTA by accession from E-utilities' ``efetch`` (https://www.ncbi.nlm.nih.gov/books/NBK25499).

Facts that its documentation does not have: an accession that it could have but has not is a 400,
one that it cannot read a 200 with a line of text; a back end that fails is either, with a page of
that one's as the body. One bad accession refuses all that are asked for with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import BinaryIO

from ..errors import NotFound, SourceError
from .accessions import Accession
from .answers import BadAnswer
from .polite import Pace, PoliteSession, Query, Refused, Verdict, by_status

PUBLIC_URL = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils"

#: Accessions asked for at once.
_TOGETHER = 100

#: Requests a second without and with a key
#: (https://www.ncbi.nlm.nih.gov/books/NBK25497, "Usage Guidelines and Requirements").
_RATE, _RATE_WITH_KEY = 3.0, 10.0

#: The longest sequences there are have 2 to 10 Gb.
_MAX_BYTES = 16 << 30

#: What it says when there is no such record; letters may have spaces between them.
_NO_RECORD = (b"failedtoretrievesequence", b"failedtounderstandid", b"idlistisempty")

#: What a 400 has that is about us and not about an accession.
_ABOUT_US = (b'"api-key"', b"apikey")

#: What a 400 has that the failure of a back end is behind.
_BEHIND = (b"proxy_stream", b"<html", b"timeout", b"tryagain", b"temporar")


class Entrez:
    """NCBI's E-utilities.

    Args:
        url: What ``efetch.fcgi`` is below.
        api_key: Allows for ten requests a second instead of three.
        email: Whom NCBI can write to.
    """

    name = "NCBI"

    def __init__(
        self,
        session: PoliteSession,
        url: str = PUBLIC_URL,
        *,
        api_key: str | None = None,
        email: str | None = None,
    ) -> None:
        self._session = session
        self._url = f"{url.rstrip('/')}/efetch.fcgi"
        self._pace = Pace(_RATE_WITH_KEY if api_key else _RATE)
        self._fields = {"rettype": "fasta", "retmode": "text", "tool": "seqarchive"}
        if email:
            self._fields["email"] = email
        if api_key:
            self._fields["api_key"] = api_key

    def batches(self, accessions: Iterable[Accession]) -> Iterator[list[Accession]]:
        """The same in the order and the portions in which they are asked for."""
        some = list(accessions)
        for database in sorted({one.database for one in some}):
            small = iter([one for one in some if one.database == database and not one.is_large])
            while batch := list(islice(small, _TOGETHER)):
                yield batch
        # Last, for they are not worth asking for if something else is wrong.
        yield from ([one] for one in some if one.is_large)

    @staticmethod
    def label(accession: Accession) -> str:
        """What to call the origin of a record."""
        return f"efetch:{accession.database}"

    def ask(self, accessions: Sequence[Accession], into: BinaryIO) -> None:
        """Append what NCBI has of these, all of one database, to a file as FASTA.

        Raises:
            NotFound: It says that there is no such record; of several, not always which.
            BadAnswer: It refuses these accessions. SourceError: It failed.
        """
        query = Query(
            self._url,
            max_bytes=_MAX_BYTES,
            pace=self._pace,
            # In a POST, because a URL with a key in it ends up in logs, and because it may be long.
            data={
                "db": accessions[0].database,
                "id": ",".join(map(str, accessions)),
                **self._fields,
            },
            judge=_judge,
        )
        try:
            self._session.download(query, into)
        except Refused as error:
            if _says(error.body, _NO_RECORD):
                raise NotFound(f"{self.name} has no record {accessions[0]}") from None
            if error.status == 400 and not _says(error.body, _ABOUT_US):
                raise BadAnswer(str(error)) from None
            raise SourceError(str(error)) from None


def _says(body: bytes, phrases: Iterable[bytes]) -> bool:
    text = b"".join(body.lower().split())
    return any(phrase in text for phrase in phrases)


def _judge(status: int, head: bytes) -> Verdict:
    if status not in (200, 400):
        return by_status(status)
    if status == 200 and head.lstrip().startswith(b">"):
        return Verdict.FINE
    if _says(head, _NO_RECORD) or _says(head, _ABOUT_US):
        return Verdict.REFUSED
    return Verdict.PASSING if status == 200 or _says(head, _BEHIND) else Verdict.REFUSED
