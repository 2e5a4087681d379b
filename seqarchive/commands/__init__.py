"""The command line: one verb a file; here is what they share.

Results go to standard output, everything else to standard error. An error is one line that says
what, where and what to do, and an exit code; ``-v`` adds the traceback.
"""

from __future__ import annotations

import errno
import functools
import getpass
import importlib
import inspect
import io
import json
import logging
import os
import sqlite3
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from ..errors import DENIED, BadInput, Corrupt, NotFound, ReadOnly, SeqArchiveError
from ..identifiers import visible
from ..instances import MASTER, Instance
from ..reader import ArchiveReader
from ..roots import all_addresses, open_readers
from ..several import Readers
from ..sources import directory_at, is_remote, shown
from ..transfer.signing import sign
from ..version import __version__

if TYPE_CHECKING:
    from tqdm import tqdm

#: Verb -> module; a module is imported when its verb is used.
_VERBS = {
    "init": "init",
    "load": "load",
    "get": "get",
    "translate": "translate",
    "missing": "missing",
    "fetch-load": "fetch_load",
    "collection": "collection",
    "fhr": "fhr",
    "export": "export",
    "export-aliases": "export_aliases",
    "import-aliases": "import_aliases",
    "add-assembly-names": "add_assembly_names",
    "status": "status",
    "log": "log",
    "alias": "alias",
    "revert": "revert",
    "snapshot": "snapshot",
    "snapshots": "snapshots",
    "diff": "diff",
    "prune": "prune",
    "pull": "pull",
    "push": "push",
    "export-rgstore": "export_rgstore",
    "import-rgstore": "import_rgstore",
    "verify-rgstore": "verify_rgstore",
    "genome": "genome",
    "getseq": "getseq",
    "serve": "serve",
    "admin": "admin",
    "store": "store",
    "track": "track",
    "export-seqrepo": "export_seqrepo",
    "import-seqrepo": "import_seqrepo",
    "verify": "verify",
    "repair": "repair",
    "digests": "digests",
}

EXIT_CODES = """\b
Exit codes:
  0 done                      6 damage found
  1 failed                    7 another writer holds the lock
  2 usage                     8 read-only
  3 not found or ambiguous    9 a remote source failed
  4 conflict                 10 written by a newer version
  5 bad input data          130 interrupted
"""

INTERRUPTED = 130


class _OneRoot(click.UsageError):
    """There are several roots, and the answer would be that of one of them."""

    def __init__(self) -> None:
        super().__init__("this is said of one archive; give one --root")


def _directory(address: str) -> Path:
    if is_remote(address):
        raise ReadOnly(
            f"{shown(address)} is read where it is; `seqarchive pull` makes a copy of it"
        )
    return directory_at(address)


@dataclass(slots=True)
class Settings:
    """The options that every command understands."""

    roots: tuple[str, ...] = ()
    instance: str | None = None
    json: bool = False
    verbose: int = 0
    quiet: bool = False

    def addresses(self) -> list[str]:
        """The directories and URLs that are read, in their order."""
        chosen = os.environ.get("SEQARCHIVE_ROOT")
        return all_addresses(self.roots or (chosen or str(_default_root()),))

    def place(self) -> Instance:
        """The instance that the command changes, or looks at as a directory: of the first root.

        Raises:
            ReadOnly: It is elsewhere.
        """
        return Instance.at(_directory(self.addresses()[0]), self.instance or MASTER)

    def only_root(self) -> Path:
        """The directory of the one root, of a command that looks at it and changes nothing there.

        Raises:
            ReadOnly: It is elsewhere.
        """
        addresses = self.addresses()
        if len(addresses) > 1:
            raise _OneRoot
        return _directory(addresses[0])

    def existing_place(self) -> Instance:
        """The instance that is looked at as a directory: ``latest`` if there is no ``master``."""
        return Instance.found(self.only_root(), self.instance)

    def open(self, at: str | None = None) -> ArchiveReader | Readers:
        """All roots, open for reading as one archive."""
        return open_readers(self.addresses(), self.instance, at=at)

    def open_one(self, at: str | None = None) -> ArchiveReader:
        """The one root, open for reading."""
        opened = self.open(at)
        if isinstance(opened, Readers):
            raise _OneRoot
        return opened


def _default_root() -> Path:
    data = os.environ.get("XDG_DATA_HOME")
    try:
        return (Path(data) if data else Path.home() / ".local" / "share") / "seqarchive"
    except RuntimeError:
        raise click.UsageError("you have no home directory; say --root") from None


F = TypeVar("F", bound=Callable[..., Any])

_COMMON = (
    click.option(
        "--root",
        "roots",
        metavar="DIR|URL|LIST",
        multiple=True,
        help="Directory of the archive [$SEQARCHIVE_ROOT, ~/.local/share/seqarchive]. To read: "
        "also the URL of a published one, a file that lists some, or several times.",
    ),
    click.option("--instance", metavar="NAME", help="Which instance [master]; `latest` works."),
    click.option("--json", "as_json", is_flag=True, help="Results as JSON."),
    click.option("-v", "--verbose", count=True, help="Say more; show tracebacks."),
    click.option("-q", "--quiet", is_flag=True, help="No progress, no warnings."),
)


def with_options(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one, in their order."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def common_options(function: F) -> F:
    """The options of ``Settings``, which are understood before and after the command."""

    @functools.wraps(function)
    def merged(
        *args: Any,
        roots: tuple[str, ...],
        instance: str | None,
        as_json: bool,
        verbose: int,
        quiet: bool,
        **options: Any,
    ) -> Any:
        settings = click.get_current_context().ensure_object(Settings)
        settings.roots = roots or settings.roots
        settings.instance = instance or settings.instance
        settings.json = as_json or settings.json
        settings.verbose = max(verbose, settings.verbose)
        settings.quiet = quiet or settings.quiet
        return function(settings, *args, **options)

    return with_options(*_COMMON)(merged)  # type: ignore[return-value]


def command(
    name: str, example: str, parent: click.Group | None = None
) -> Callable[[Callable[..., Any]], click.Command]:
    """A verb: common options, an example and the exit codes in its help.

    Args:
        parent: The verb that this is a part of.
    """

    def decorate(function: Callable[..., Any]) -> click.Command:
        function.__doc__ = _help(function.__doc__ or "", example)
        verb = click.command(name, context_settings={"help_option_names": ["-h", "--help"]})(
            common_options(function)
        )
        if parent is not None:
            parent.add_command(verb)
        return verb

    return decorate


def _help(text: str, example: str) -> str:
    shown = "\n".join("  " + line for line in example.strip().splitlines())
    return f"{inspect.cleandoc(text)}\n\n\b\nExample:\n{shown}\n\n{EXIT_CODES.rstrip()}"


def group(name: str, text: str, example: str) -> click.Group:
    """A verb of several parts, with an example and the exit codes in its help."""

    def nothing(_settings: Settings) -> None:
        pass

    return click.group(
        name,
        help=_help(text, example),
        context_settings={"help_option_names": ["-h", "--help"]},
    )(common_options(nothing))


class _ReaderGone(Exception):
    """Whoever read our standard output has seen enough."""


class _Verbs(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except BrokenPipeError:
            raise _ReaderGone from None  # click would make an exit code of 1 of it

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        module = importlib.import_module(f".{_VERBS[cmd_name]}", __name__)
        verb: click.Command = module.command_
        return verb


@click.group(
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES.rstrip(),
)
@click.version_option(__version__, prog_name="seqarchive")
@common_options
def cli(_settings: Settings) -> None:
    """A journaled, content-addressed archive of biological sequences."""


# --- output -----------------------------------------------------------------------------------

_ENCODER = json.JSONEncoder(ensure_ascii=False)


def on_conflict_option(text: str) -> Callable[[F], F]:
    """``--on-conflict``: what to do when a name means something else."""
    return click.option(
        "--on-conflict",
        type=click.Choice(["error", "keep", "replace"]),
        default="error",
        show_default=True,
        help=text,
    )


def at_option(function: F) -> F:
    """``--at``: the archive as it was."""
    return click.option(
        "--at",
        metavar="MOMENT",
        help="As it was: after a batch (7, batch:7), in a snapshot (its name, also where it "
        "is that of a batch or a day), on a day (2024-06-01, to its end) or at a time "
        "(2024-06-01T12:00:00Z).",
    )(function)


def jobs_option(function: F) -> F:
    """``--jobs``: how many files are on their way at one time."""
    return click.option(
        "--jobs", type=click.IntRange(1, 16), default=4, show_default=True, help="Files at once."
    )(function)


def sign_option(function: F) -> F:
    """``--sign``: a key to sign a release with."""
    return click.option(
        "--sign",
        "key",
        metavar="KEY",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="Sign the manifest with this private SSH key (Ed25519).",
    )(function)


def signer_with(key: Path | None) -> Callable[[bytes], bytes] | None:
    """What signs with a key; asks for its passphrase if it has one."""
    if key is None:
        return None
    return lambda data: sign(data, key, lambda: _passphrase(key))


def _passphrase(key: Path) -> bytes:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            answer = getpass.getpass(f"passphrase of {key}: ")
    except getpass.GetPassWarning:  # no terminal; it may come through a pipe
        answer = "" if sys.stdin is None else sys.stdin.readline()
        if not answer:
            raise SeqArchiveError(
                f"{key} has a passphrase, and nobody is there to say it: run this in a terminal, "
                "or give it on standard input"
            ) from None
    return answer.rstrip("\n").encode("utf-8")


def print_json(value: Any) -> None:
    """One JSON document on one line of standard output."""
    print_line(_ENCODER.encode(value))


def print_line(text: str) -> None:
    """A line on standard output, which need not be there before the command ends: click's own
    ``echo`` flushes each, and there may be millions."""
    sys.stdout.write(text + "\n")


def warn(settings: Settings, message: str) -> None:
    """A line on standard error."""
    if not settings.quiet:
        click.echo(f"seqarchive: {visible(message)}", err=True)


#: Conflicts and what was left out are printed up to so many of each; ``--json`` has all.
_SHOWN = 10


def warn_some(settings: Settings, what: str, found: Sequence[str], many: str) -> None:
    """A line on standard error for each of the first, and one for the rest.

    Args:
        what, many: What one of them is, and what several are.
    """
    for line in found[:_SHOWN]:
        warn(settings, f"{what}: {line}")
    if len(found) > _SHOWN:
        warn(settings, f"... and {len(found) - _SHOWN} more {many} (--json lists all)")


def counted(n: int, what: str) -> str:
    """A number and what it counts, in the plural unless there is one."""
    ending = "" if n == 1 else "es" if what.endswith("s") else "s"
    return f"{n:,} {what}{ending}"


def megabytes(n_bytes: int) -> str:
    """A size as people read it."""
    value = float(n_bytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


@contextmanager
def progress_bar(
    settings: Settings, what: str, total: int | None, unit: str = "B", *, results: bool = False
) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal for what takes more than a second; nothing in a pipe.

    Args:
        results: They are printed meanwhile; no bar may come between them on one terminal.
    """
    if settings.quiet or settings.json or not sys.stderr.isatty():
        yield lambda _n: None
        return
    if results and sys.stdout.isatty():
        yield lambda _n: None
        return
    from tqdm import tqdm as bars  # noqa: PLC0415  (0.1 s)

    # Its monitor is a thread, and with another thread running no worker can be forked.
    bars.monitor_interval = 0
    with bars(desc=what, total=total, unit=unit, unit_scale=True, delay=1, leave=False) as bar:
        yield lambda n: _update(bar, n)


@contextmanager
def transfer_bar(
    settings: Settings, what: str
) -> Iterator[tuple[Callable[[int], None], Callable[[int], None]]]:
    """A bar of bytes whose total is known later: what tells it, and what adds to it."""
    if settings.quiet or settings.json or not sys.stderr.isatty():
        yield (lambda _n: None), (lambda _n: None)
        return
    from tqdm import tqdm as bars  # noqa: PLC0415  (0.1 s)

    with bars(desc=what, unit="B", unit_scale=True, delay=1, leave=False) as bar:
        yield partial(bar.reset), lambda n: _update(bar, n)


def _update(bar: tqdm[NoReturn], n: int) -> None:
    bar.update(n)


def lines_of(name: str) -> Iterable[str]:
    """The lines of a text file, or of standard input as ``-``.

    Raises:
        NotFound: No such file. BadInput: It is not UTF-8.
    """
    if name == "-" and sys.stdin is None:
        raise SeqArchiveError("standard input is closed")
    try:
        with nullcontext(sys.stdin.buffer) if name == "-" else open(name, "rb") as file:
            for n, line in enumerate(file, 1):
                try:
                    yield line.decode("utf-8")
                except UnicodeDecodeError as error:
                    label = "standard input" if name == "-" else name
                    message = f"not UTF-8 ({error.reason})"
                    raise BadInput(message, file=label, line=n) from None
    except FileNotFoundError:
        raise NotFound(f"{name}: no such file") from None


# --- the one place where errors end -----------------------------------------------------------


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    # A descriptor that the caller has closed would be given to the next file that is opened, and
    # a shard must not get what is written to standard error.
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(fd)
    _speak_utf8()
    sys.exit(run(arguments))


def _speak_utf8() -> None:
    """Have results be UTF-8, as files of them are, whatever the encoding of the terminal.

    What is no text, as the name of a file may be, is shown by an escape that JSON has too.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None if the caller has closed it
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    settings = Settings()
    handler = _Warnings(settings)
    logging.getLogger("seqarchive").addHandler(handler)
    try:
        if sys.stdout is None:
            raise SeqArchiveError("standard output is closed")
        result = cli.main(arguments, prog_name="seqarchive", obj=settings, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("\nseqarchive: interrupted; what was not committed is not there", err=True)
        return INTERRUPTED
    except _ReaderGone:
        _discard_output()
        return 0
    except (SeqArchiveError, OSError, sqlite3.Error, MemoryError) as error:
        if settings.verbose:
            traceback.print_exc()
        message, code = _explained(error)
        click.echo(f"seqarchive: {visible(message)}", err=True)
        try:
            sys.stdout.flush()
        except (OSError, AttributeError):  # it was this that failed, or there is none
            _discard_output()
        return code
    finally:
        logging.getLogger("seqarchive").removeHandler(handler)


class _Warnings(logging.Handler):
    """Has what is logged be lines like those of errors, unless the user wants quiet."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(logging.WARNING)
        self._settings = settings

    def emit(self, record: logging.LogRecord) -> None:
        if not self._settings.quiet or record.levelno >= logging.ERROR:
            with suppress(OSError):  # nobody reads them
                click.echo(f"seqarchive: {visible(record.getMessage())}", err=True)


def _discard_output() -> None:
    """Have nothing flushed at exit into what takes no more."""
    with suppress(OSError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


_ADVICE = {
    errno.ENOSPC: "the disk is full; make room and try again",
    errno.EDQUOT: "the disk quota is used up; make room and try again",
    errno.EROFS: "the medium is read-only; name another root, or mount it writable",
    errno.EACCES: DENIED,
    errno.EPERM: "Operation not permitted; ask its owner to do it",
    errno.EIO: "the disk reports an input/output error; check it before anything else",
    errno.EISDIR: "Is a directory; name a file in it",
    errno.EMFILE: "too many open files; raise `ulimit -n`",
}


def _explained(error: BaseException) -> tuple[str, int]:
    """One line, and the exit code."""
    if isinstance(error, SeqArchiveError):
        return str(error), error.exit_code
    if isinstance(error, sqlite3.Error):
        text = str(error)
        if "full" in text:
            return f"{_ADVICE[errno.ENOSPC]} ({text}); nothing was committed", 1
        if "readonly" in text or "read-only" in text:
            return f"the database cannot be written ({text})", 8
        damaged = "malformed" in text or "not a database" in text
        advice = "; run `seqarchive verify`" if damaged else ""
        return f"the database: {text}{advice}", Corrupt.exit_code if damaged else 1
    if isinstance(error, OSError):
        where = f"{_closed(error)}: " if error.filename else ""
        known = _ADVICE.get(error.errno or 0)
        code = 8 if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM) else 1
        return f"{where}{known or error.strerror or error}", code
    return "out of memory", 1


def _closed(error: OSError) -> object:
    """What an error speaks of: if a directory on the way to it may not be entered, that one."""
    if error.errno == errno.EACCES and isinstance(error.filename, str | os.PathLike):
        for directory in reversed(Path(error.filename).absolute().parents):
            if not os.access(directory, os.X_OK):
                return directory
    return error.filename
