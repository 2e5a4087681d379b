"""Ensembl: single sequences from its REST service (https://rest.ensembl.org).

It knows no versions: what is asked for is a stable id, and what comes is its newest version.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

from ..errors import NotFound, SourceError
from .accessions import Accession
from .answers import BadAnswer
from .polite import Pace, PoliteSession, Query, Refused, Verdict, by_status

PUBLIC_URL = "https://rest.ensembl.org"

#: Requests a second (https://github.com/Ensembl/ensembl-rest/wiki/Rate-Limits).
_RATE = 15.0

#: The longest genes have a few million bases.
_MAX_BYTES = 64 << 20


class Ensembl:
    """Ensembl's REST service."""

    name = "Ensembl"

    def __init__(self, session: PoliteSession, url: str = PUBLIC_URL) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._pace = Pace(_RATE)

    @staticmethod
    def batches(accessions: Iterable[Accession]) -> Iterator[list[Accession]]:
        """The same in the order and the portions in which they are asked for: one by one."""
        return ([one] for one in accessions)

    @staticmethod
    def label(accession: Accession) -> str:
        """What to call the origin of a record."""
        return f"ensembl:{accession.database}"

    def ask(self, accessions: Sequence[Accession], into: BinaryIO) -> None:
        """Append the sequence of one accession to a file as FASTA.

        Raises:
            NotFound: Ensembl says that there is none. SourceError: It failed.
        """
        (accession,) = accessions
        query = Query(
            f"{self._url}/sequence/id/{accession.name}",
            max_bytes=_MAX_BYTES,
            pace=self._pace,
            params={"type": accession.database},
            headers={"Accept": "application/json", "Content-Type": "application/json"},
            judge=_judge,
        )
        body = io.BytesIO()
        try:
            self._session.download(query, body)
        except Refused as error:
            # It is also a 400 if there are several sequences, or none of this type.
            if error.status == 400 and b"not found" in error.body.lower():
                raise NotFound(f"{self.name} has no record {accession.name}") from None
            raise SourceError(str(error)) from None
        into.write(_fasta(body.getvalue(), accession))


def _judge(status: int, head: bytes) -> Verdict:
    if status == 200 and not head.lstrip().startswith(b"{"):
        return Verdict.PASSING
    return by_status(status)


def _fasta(body: bytes, asked: Accession) -> bytes:
    """A record of what came; whether version and residues are right is seen from this."""
    try:
        answer: dict[str, Any] = json.loads(body)
        name, version, residues = (answer[key] for key in ("id", "version", "seq"))
    except (ValueError, KeyError, RecursionError):
        raise BadAnswer(
            f"what Ensembl sent for {asked} is no JSON with id, version and seq"
        ) from None
    if name != asked.name:
        raise BadAnswer(f"Ensembl sent {str(name)[:80]!r} when asked for {asked}")
    if not isinstance(version, int):
        raise BadAnswer(f"Ensembl sent {name!r} without a version")
    if not isinstance(residues, str) or residues.split() not in ([], [residues]):
        raise BadAnswer(f"Ensembl sent {name!r} with a sequence that is none")
    description = " ".join(str(answer.get("desc") or "").split())
    text = f">{name}.{version} {description}".rstrip() + f"\n{residues}\n"
    return text.encode("utf-8", "replace")
