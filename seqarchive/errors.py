"""Every error that a user can meet: one line that says what, where and what to do; one exit code.

"Not found" and "corrupt" never share a type. A bug is not in this list: it shows its traceback.
"""

from __future__ import annotations

from collections.abc import Sequence


class SeqArchiveError(Exception):
    """Something failed; the message is one line for the user."""

    exit_code = 1

    def __str__(self) -> str:
        # KeyError would show the repr of its argument, quotes and all.
        return str(self.args[0]) if self.args else type(self).__name__


class NotFound(SeqArchiveError, KeyError):
    """Nothing here has that name."""

    exit_code = 3


class Ambiguous(SeqArchiveError, KeyError):
    """The name stands for several sequences; ``candidates`` lists them as ``namespace:alias``."""

    exit_code = 3

    def __init__(self, message: str, candidates: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.candidates = tuple(candidates)

    def __reduce__(self) -> tuple[type[Ambiguous], tuple[str, tuple[str, ...]]]:
        return type(self), (str(self), self.candidates)


class Conflict(SeqArchiveError):
    """What is asked for contradicts what the archive holds."""

    exit_code = 4


class AliasConflict(Conflict):
    """An alias already means another sequence; ``conflicts`` has one line for each."""

    def __init__(self, message: str, conflicts: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.conflicts = tuple(conflicts)

    def __reduce__(self) -> tuple[type[AliasConflict], tuple[str, tuple[str, ...]]]:
        return type(self), (str(self), self.conflicts)


class BadInput(SeqArchiveError, ValueError):
    """Input data that cannot be what it should be; ``file`` and ``line`` (1-based) if known."""

    exit_code = 5

    def __init__(self, message: str, *, file: str | None = None, line: int | None = None) -> None:
        where = "" if file is None else f"{file}: " if line is None else f"{file}, line {line}: "
        super().__init__(where + message)
        self.message = message
        self.file = file
        self.line = line

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_bad_input, (type(self), self.message, self.file, self.line)


def _rebuild_bad_input(
    kind: type[BadInput], message: str, file: str | None, line: int | None
) -> BadInput:
    return kind(message, file=file, line=line)


class Truncated(BadInput):
    """Input that ends early or is damaged: nobody knows what is missing."""


class BadName(BadInput):
    """A digest, namespace or alias that cannot be one."""


class BadInterval(BadInput):
    """A range that the sequence does not have."""


class Corrupt(SeqArchiveError):
    """Stored bytes are not what was stored."""

    exit_code = 6


class DigestMismatch(Corrupt):
    """Residues do not hash to the digest they are stored under."""


class Locked(SeqArchiveError):
    """Another writer holds the archive."""

    exit_code = 7


class ReadOnly(SeqArchiveError):
    """This instance, or the medium under it, cannot be written; or a file may not be read."""

    exit_code = 8


#: What to do about a file that exists and is closed to this user.
DENIED = "Permission denied; ask its owner for the right to it"


def denied(path: object) -> ReadOnly:
    """A file that may not be read is nothing damaged, missing or wrong."""
    return ReadOnly(f"{path}: {DENIED}")


class SourceError(SeqArchiveError):
    """A remote source failed."""

    exit_code = 9


class NewerFormat(SeqArchiveError):
    """Written by a newer version of seqarchive."""

    exit_code = 10
