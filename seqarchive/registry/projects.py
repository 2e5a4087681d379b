"""Tables of samples: portable encapsulated projects (PEP, https://pep.databio.org)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import NamedTuple

from ..errors import BadInput, BadName, NotFound
from ..sources.base import NotInstalled


class Sample(NamedTuple):
    """A FASTA file of a project."""

    name: str
    file: Path | None
    """None if it cannot be one of the project; ``problem`` says why."""
    problem: str = ""


def samples_of(project: Path, directory: Path) -> list[Sample]:
    """The samples of a project, each with the file in its column ``fasta``.

    Args:
        project: A table (CSV) or a configuration (YAML).
        directory: Where the files are. None is taken from elsewhere.

    Raises:
        NotFound: No such project. BadInput: It cannot be read. NotInstalled: peppy is not there.
    """
    if not project.is_file():
        raise NotFound(f"there is no file {project}")
    try:
        import peppy  # noqa: PLC0415  (an optional extra, and slow)
    except ImportError:
        raise NotInstalled(
            "--pep needs peppy; install it with `pip install 'seqarchive[pep]'`"
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about how it is written
            read = peppy.Project(str(project))
            found = [sample.to_dict() for sample in read.samples]
    except Exception as error:  # whatever goes wrong in there, in its words
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise BadInput(f"not a project: {said[0]}", file=str(project)) from None
    if not found:
        raise BadInput("a project without samples", file=str(project))
    return [_sample(n, sample, directory) for n, sample in enumerate(found, 1)]


def _sample(n: int, sample: dict[str, object], directory: Path) -> Sample:
    name = str(sample.get("sample_name") or f"sample {n}")
    fasta = sample.get("fasta")
    if not isinstance(fasta, str) or not fasta:
        return Sample(name, None, "no file in its column fasta")
    inside = directory.resolve()
    file = (inside / fasta).resolve()
    if not file.is_relative_to(inside):
        return Sample(name, None, f"{fasta} is not below {directory}")
    return Sample(name, directory / fasta)


def require_file(sample: Sample) -> Path:
    """The file of a sample.

    Raises:
        BadName: It has none.
    """
    if sample.file is None:
        raise BadName(f"sample {sample.name!r}: {sample.problem}")
    return sample.file
