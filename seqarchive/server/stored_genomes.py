"""Genomes that clients store, and those that are registered: ``/api/genomes``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..deflines import Naming
from ..errors import BadInput, NotFound
from ..identifiers import Alias, check_alias, check_label
from ..load_options import LoadOptions
from ..loading import load
from ..namespaces import GENOMES
from ..tracks.archived_reference import ArchivedReference
from ..tracks.stores import StoredGenome
from .answers import REVALIDATED, in_thread, json_answer
from .asking import is_true, page_of
from .tracking import Stores, Tracking, told
from .uploads import Upload, is_json, json_object, received

#: Genomes of a page, if nothing else is asked for: each has all its chromosomes.
_ROWS, MOST_GENOMES = 20, 200

#: Residues as JSON has them; lower case is soft-masked. What else they may be, loading says.
_RESIDUES = re.compile(r"[A-Za-z*-]*\Z")

_CIRCULAR, _LINEAR = "circular", "linear"


class Genomes:
    """Handlers of ``/api/genomes``."""

    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking

    async def list(self, request: Request) -> Response:
        """A page of the genomes: those that clients stored, and those that are registered."""
        stores = self._tracking.found(request)
        page, size = page_of(request, _ROWS, MOST_GENOMES)

        def look() -> dict[str, Any]:
            found = [] if stores is None else stores.genomes.list_all()
            some = [
                _told(one, _name(stores, one)) for one in found[page * size : (page + 1) * size]
            ]
            pagination = {"page": page, "page_size": size, "total": len(found)}
            return {"results": some, "pagination": pagination}

        found = await self._tracking.limits.computing.run(look)
        return json_answer(found, headers={"Cache-Control": REVALIDATED})

    async def one(self, request: Request) -> Response:
        """A genome by its id, its digest, or a name."""
        genome_id = request.path_params["genome_id"]
        stores = self._tracking.stores(request, f"genome {genome_id!r}")
        found = await in_thread(_found, stores, genome_id)
        name = await in_thread(_name, stores, found)
        return json_answer(_told(found, name), headers={"Cache-Control": REVALIDATED})

    async def post(self, request: Request) -> Response:
        """Store a genome: FASTA or GenBank as a form or as it is, or JSON."""
        stores = self._tracking.changing(request)
        if is_json(request):
            document = await json_object(request, self._tracking.limits.body)
            upload = await in_thread(_written, document)
        else:
            upload = await received(request, self._tracking.limits.upload, filename="genome")

        found = await self._tracking.stored(upload, partial(_store, stores, upload))
        document = _told(found, await in_thread(_name, stores, found))
        where = self._tracking.service.address(request, "/api/genomes")
        headers = {"Location": f"{where}/api/genomes/{document['id']}"}
        return json_answer(document, status=201, headers=headers)

    async def delete(self, request: Request) -> Response:
        """Have the id of a genome mean nothing any more."""
        stores = self._tracking.changing(request)
        genome_id = request.path_params["genome_id"]
        delete = partial(stores.genomes.delete, genome_id, cascade=is_true(request, "cascade"))
        if not await in_thread(delete):
            raise NotFound(f"there is no genome that somebody stored under the id {genome_id!r}")
        return json_answer({"id": genome_id, "deleted": True})


def _found(stores: Stores, genome_id: str) -> StoredGenome:
    found = stores.genomes.get(genome_id)
    if found is None:
        raise NotFound(f"there is no genome {genome_id!r} here")
    return found


def _name(stores: Stores | None, stored: StoredGenome) -> str | None:
    return None if stores is None else stores.genomes.name_of(stored.id)


def _store(stores: Stores, upload: Upload) -> StoredGenome:
    """Load the file of a genome, and give it an id."""
    if upload.path is None:
        raise BadInput("the form has no file")
    aliases = tuple(Alias(GENOMES, check_alias(one)) for one in _names(upload, "names"))
    check_label(upload.fields.get("name", ""))
    options = LoadOptions(
        Naming(""),
        collections=aliases,
        keep_mask=True,
        circular=frozenset(_names(upload, "circular")),
        threads=0,  # no process is forked from one that serves
    )
    report = load(stores.archive.instance, [str(upload.path)], options, kind="genome load")
    digest = report.files[0].get("collection")
    if digest is None:
        raise BadInput("a file without sequences is no genome", file=upload.path.name)
    reference = ArchivedReference(stores.archive, stores.archive.collection(digest))
    name = upload.fields.get("name") or reference.name
    found = stores.genomes.get(stores.genomes.put(reference, name=name))
    assert found is not None
    return found


def _names(upload: Upload, field: str) -> Iterable[str]:
    """Names that a client gives, with commas between them."""
    return [one for one in upload.fields.get(field, "").split(",") if one]


def _written(document: Mapping[str, Any]) -> Upload:
    """A genome in JSON as a file: ``name``, ``sequences``, and perhaps ``topologies`` and
    ``names``.

    Raises:
        BadInput: It is none.
    """
    sequences, topologies = document.get("sequences"), document.get("topologies") or {}
    name, names = document.get("name", ""), document.get("names") or []
    if not isinstance(sequences, dict) or not sequences:
        raise BadInput("sequences is an object of residues by chromosome")
    if not isinstance(topologies, dict) or not isinstance(name, str):
        raise BadInput("name is a text, and topologies are an object")
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise BadInput("names are a list of texts")
    for chrom, topology in topologies.items():
        if topology not in (_CIRCULAR, _LINEAR) or chrom not in sequences:
            raise BadInput(f"the topology of {chrom!r} is {_CIRCULAR} or {_LINEAR}")
    for chrom, residues in sequences.items():
        check_alias(chrom)
        if not isinstance(residues, str) or _RESIDUES.match(residues) is None:
            raise BadInput(f"what {chrom} has are not residues")
    circular = [chrom for chrom, topology in topologies.items() if topology == _CIRCULAR]
    for one in (*circular, *names):
        if "," in one:
            raise BadInput(f"{one!r} has a comma in it")
    upload = Upload({"name": name, "names": ",".join(names), "circular": ",".join(circular)})
    with upload.begin("genome.fa") as file:
        for chrom, residues in sequences.items():
            file.write(f">{chrom}\n{residues}\n".encode())
    return upload


def _told(stored: StoredGenome, name: str | None) -> dict[str, Any]:
    """A genome for JSON; lengths in residues."""
    reference = stored.genome
    assert isinstance(reference, ArchivedReference)
    lengths = stored.chrom_lengths
    return {
        "id": stored.id,
        "genome_id": stored.id,
        "name": name or reference.name,
        "names": list(reference.names),
        "digest": reference.digest,
        "n_chromosomes": len(lengths),
        "n_residues": sum(lengths.values()),
        "chrom_lengths": lengths,
        "created_at": None if stored.created_at is None else stored.created_at.isoformat(),
        "provenance": None if stored.provenance is None else told(stored.provenance),
    }
