"""Power cuts: what a command writes is listed by strace with all bytes, and every disk is made that
could be left if the power went off after one of the calls.

A disk keeps what was synced: the bytes of a file by ``fsync`` of the file, names by ``fsync`` of
their directory. Of the rest it may have lost the bytes, the names, both, any single call, or half
of any single write. Nothing here knows what the program meant.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import ClassVar, NamedTuple

#: What changes names, bytes, or what of them is durable; and what else moves a place in a file.
_TRACED = (
    "open", "openat", "creat", "close", "dup", "lseek", "write", "writev", "pwrite64", "ftruncate",
    "fsync", "fdatasync", "syncfs", "sync", "link", "linkat", "symlink", "symlinkat", "unlink",
    "unlinkat", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir", "copy_file_range",
    "sendfile", "fallocate", "chmod", "fchmod", "fchmodat", "clone", "clone3",
)  # fmt: skip

_LINE = re.compile(r"(?P<kind>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+)")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_NUMBER = re.compile(r"-?\d+")

Path_ = str
"""Relative to the directory that is watched."""


class Call(NamedTuple):
    """What one call did.

    ``write`` (file, at, data), ``truncate`` (file, size), ``name`` (path, file), ``unname`` (path),
    ``rename`` (path, path), ``mkdir`` (path), ``symlink`` (path, target), ``sync`` (file),
    ``mode`` (file or path, mode), ``sync names`` (path), ``sync all``.
    """

    what: str
    file: int = 0
    path: Path_ = ""
    other: Path_ = ""
    at: int = 0
    data: bytes = b""

    @property
    def is_data(self) -> bool:
        """Whether it changed bytes."""
        return self.what in ("write", "truncate", "mode")

    @property
    def is_name(self) -> bool:
        """Whether it changed names."""
        return self.what in ("name", "unname", "rename", "mkdir", "symlink")

    @property
    def directories(self) -> set[Path_]:
        """Where names changed."""
        paths = [self.path, *([self.other] if self.what == "rename" else [])]
        return {str(PurePosixPath(path).parent) for path in paths}


@dataclass
class Disk:
    """Names, and the bytes of files by numbers of their own."""

    names: dict[Path_, int] = field(default_factory=dict)
    links: dict[Path_, str] = field(default_factory=dict)
    directories: set[Path_] = field(default_factory=lambda: {"."})
    data: dict[int, bytes] = field(default_factory=dict)
    modes: dict[int | Path_, int] = field(default_factory=dict)
    """Of files by their numbers, of directories by their names."""

    @classmethod
    def of(cls, directory: Path) -> Disk:
        """What is in a directory; hard links are one file."""
        disk = cls()
        numbers: dict[int, int] = {}
        for path in sorted(directory.rglob("*")):
            name = path.relative_to(directory).as_posix()
            if path.is_symlink():
                disk.links[name] = os.readlink(path)
            elif path.is_dir():
                disk.directories.add(name)
                disk.modes[name] = stat.S_IMODE(path.stat().st_mode)
            else:
                number = numbers.setdefault(path.stat().st_ino, -len(numbers) - 1)
                disk.names[name], disk.data[number] = number, path.read_bytes()
                disk.modes[number] = stat.S_IMODE(path.stat().st_mode)
        return disk

    def copy(self) -> Disk:
        """One to be changed."""
        return Disk(
            dict(self.names),
            dict(self.links),
            set(self.directories),
            dict(self.data),
            dict(self.modes),
        )

    def apply(self, call: Call, *, half: bool = False) -> None:
        """Let a call happen, as far as what it needs is there; of a write, the first half."""
        if call.what == "write":
            data = call.data[: len(call.data) // 2] if half else call.data
            old = self.data.get(call.file, b"").ljust(call.at, b"\0")
            self.data[call.file] = old[: call.at] + data + old[call.at + len(data) :]
        elif call.what == "truncate":
            self.data[call.file] = self.data.get(call.file, b"")[: call.at].ljust(call.at, b"\0")
        elif call.what == "mode":
            self.modes[call.file or call.path] = call.at
        elif call.what == "rename":
            self._rename(call)
        elif call.what == "unname":
            self.names.pop(call.path, None)
            self.links.pop(call.path, None)
            self.directories.discard(call.path)
        elif call.is_name and call.directories <= self.directories:
            self._name(call)

    def _name(self, call: Call) -> None:
        if call.what == "mkdir":
            self.directories.add(call.path)
        elif call.what == "symlink":
            self.links[call.path] = call.other
        else:
            self.names[call.path] = call.file

    def _rename(self, call: Call) -> None:
        if not call.directories <= self.directories:
            return
        if call.path in self.directories:
            below = f"{call.path}/"
            for table in (self.names, self.links):
                for name in [name for name in table if name.startswith(below)]:
                    table[f"{call.other}/{name.removeprefix(below)}"] = table.pop(name)  # type: ignore[assignment]
            moved = {name for name in self.directories if f"{name}/".startswith(below)}
            self.directories -= moved
            for name in moved:
                new = call.other + name.removeprefix(call.path)
                self.directories.add(new)
                if name in self.modes:
                    self.modes[new] = self.modes.pop(name)
        elif call.path in self.links:
            self.links[call.other] = self.links.pop(call.path)
        elif call.file in self.data or call.path in self.names:
            # By its number: a name that was never written may yet be the old one of a file.
            self.names[call.other] = self.names.pop(call.path, call.file)

    def write(self, directory: Path) -> None:
        """Make it, in a new directory."""
        directory.mkdir()
        for name in sorted(self.directories - {"."}):
            (directory / name).mkdir(parents=True, exist_ok=True)
        first: dict[int, Path] = {}
        for name, number in sorted(self.names.items()):
            path = directory / name
            if not path.parent.is_dir():
                continue
            if number in first:
                os.link(first[number], path)
            else:
                path.write_bytes(self.data.get(number, b""))
                path.chmod(self.modes.get(number, 0o644))
                first[number] = path
        for name, target in self.links.items():
            os.symlink(target, directory / name)
        for name in sorted(self.directories - {"."}, reverse=True):
            if name in self.modes:
                (directory / name).chmod(self.modes[name])

    @property
    def key(self) -> object:
        """The same for disks on which the same is to be seen."""
        seen = {
            name: (self.data.get(number, b""), self.modes.get(number))
            for name, number in self.names.items()
        }
        modes = {name: self.modes.get(name) for name in self.directories}
        return (frozenset(seen.items()), frozenset(self.links.items()), frozenset(modes.items()))


class Cut(NamedTuple):
    """A disk that a power cut could leave."""

    after: int
    """Calls that were made."""
    lost: str
    disk: Disk


def listed(directory: Path, run: Callable[[Sequence[str]], str]) -> list[Call]:
    """What a command does below a directory.

    Args:
        run: Runs it under strace with some options, and gives the trace.
    """
    reader = _Reader(directory)  # which looks at what is there before
    traced = ",".join("?" + kind for kind in _TRACED)
    trace = run(["-f", "-xx", "-s", "99999999", "-e", "trace=" + traced])
    return list(reader.calls(_of_one_process(trace)))


_BEGUN = " <unfinished ...>"
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>")
_THREAD = re.compile(r"clone3?\(.*CLONE_THREAD.*\) += (\d+)$")


def _of_one_process(trace: str) -> Iterator[str]:
    """The calls of a process and its threads, without those of its children."""
    threads: set[str] = set()
    begun: dict[str, str] = {}
    for line in trace.splitlines():
        thread, _, call = line.partition(" ")
        call = call.lstrip()
        threads = threads or {thread}
        if thread not in threads:
            continue
        if call.endswith(_BEGUN):
            begun[thread] = call.removesuffix(_BEGUN)
            continue
        if (resumed := _RESUMED.match(call)) is not None:
            call = begun.pop(thread) + call[resumed.end() :]
        if (started := _THREAD.match(call)) is not None:
            threads.add(started[1])
        yield call


class _Reader:
    """Makes calls of the lines of a trace."""

    def __init__(self, directory: Path) -> None:
        self._root = str(directory)
        self._start = Disk.of(directory)
        self._names = dict(self._start.names)
        self._directories = set(self._start.directories)
        self._open: dict[int, tuple[int, Path_, bool]] = {}  # file (0: directory), path, append
        self._places: dict[int, int] = {}
        self._sizes = {number: len(data) for number, data in self._start.data.items()}
        self._next = 1

    def calls(self, lines: Iterator[str]) -> Iterator[Call]:
        """What was done below the directory, in order."""
        for line in lines:
            match = _LINE.match(line)
            if match is None or match["result"].startswith("-"):
                continue
            kind = match["kind"]
            arguments, strings = match["arguments"], _STRING.findall(match["arguments"])
            handler = self._HANDLERS.get(kind)
            if handler is not None:
                yield from handler(self, arguments, strings, int(match["result"]))
            elif self._is_ours(arguments):
                raise AssertionError(f"a call that is not known here: {line[:200]}")

    def _is_ours(self, arguments: str) -> bool:
        descriptor = _NUMBER.match(arguments)
        return descriptor is not None and int(descriptor[0]) in self._open

    def _path(self, text: str, arguments: str = "") -> Path_ | None:
        path = _bytes(text).decode()
        if not os.path.isabs(path):
            at = _NUMBER.match(arguments)
            if at is not None:  # relative to a directory that is open
                if int(at[0]) not in self._open:
                    return None
                path = os.path.join(self._root, self._open[int(at[0])][1], path)
            else:
                path = os.path.join(os.path.dirname(self._root), path)
        relative = os.path.relpath(os.path.normpath(path), self._root)
        return None if relative.startswith("..") else relative

    def _opened(self, arguments: str, strings: list[str], result: int) -> Iterator[Call]:
        path = self._path(strings[0], arguments)
        self._open.pop(result, None)
        if path is None:
            return
        if path in self._directories:
            self._open[result] = (0, path, False)
            return
        if path not in self._names:
            assert "O_CREAT" in arguments, arguments
            self._names[path] = self._next
            self._sizes[self._next] = 0
            yield Call("name", self._next, path)
            yield Call("mode", self._next, at=_mode(arguments) & ~_umask())
            self._next += 1
        number = self._names[path]
        if "O_TRUNC" in arguments and self._sizes[number]:
            self._sizes[number] = 0
            yield Call("truncate", number)
        self._open[result] = (number, path, "O_APPEND" in arguments)
        self._places[result] = 0

    def _closed(self, arguments: str, _strings: list[str], _result: int) -> Iterator[Call]:
        self._open.pop(int(arguments), None)
        return iter(())

    def _sought(self, arguments: str, _strings: list[str], result: int) -> Iterator[Call]:
        self._places[int(arguments.split(",", maxsplit=1)[0])] = result
        return iter(())

    def _written(self, arguments: str, strings: list[str], result: int) -> Iterator[Call]:
        descriptor = int(arguments.split(",", maxsplit=1)[0])
        if descriptor in self._open:
            number, _, appends = self._open[descriptor]
            at = self._sizes[number] if appends else self._places[descriptor]
            data = b"".join(map(_bytes, strings))[:result]
            self._places[descriptor] = at + result
            self._sizes[number] = max(self._sizes[number], at + result)
            yield Call("write", number, at=at, data=data)

    def _written_at(self, arguments: str, strings: list[str], result: int) -> Iterator[Call]:
        descriptor, at = int(arguments.split(",", maxsplit=1)[0]), int(arguments.rsplit(",", 1)[1])
        if descriptor in self._open:
            number = self._open[descriptor][0]
            self._sizes[number] = max(self._sizes[number], at + result)
            yield Call("write", number, at=at, data=_bytes(strings[0])[:result])

    def _truncated(self, arguments: str, _strings: list[str], _result: int) -> Iterator[Call]:
        descriptor, size = (int(part) for part in arguments.split(","))
        if descriptor in self._open:
            number = self._open[descriptor][0]
            self._sizes[number] = size
            yield Call("truncate", number, at=size)

    def _synced(self, arguments: str, _strings: list[str], _result: int) -> Iterator[Call]:
        if int(arguments) in self._open:
            number, path, _ = self._open[int(arguments)]
            yield Call("sync", number) if number else Call("sync names", path=path)

    def _all_synced(self, _arguments: str, _strings: list[str], _result: int) -> Iterator[Call]:
        yield Call("sync all")

    def _linked(self, _arguments: str, strings: list[str], _result: int) -> Iterator[Call]:
        old, new = map(self._path, strings)
        if new is None:
            return
        if old is None:  # what is elsewhere is durable there
            data = Path(_bytes(strings[0]).decode()).read_bytes()
            number, self._next = self._next, self._next + 1
            self._sizes[number] = len(data)
            yield Call("write", number, data=data)
            yield Call("sync", number)
        else:
            number = self._names[old]
        self._names[new] = number
        yield Call("name", number, new)

    def _symlinked(self, _arguments: str, strings: list[str], _result: int) -> Iterator[Call]:
        path = self._path(strings[1])
        if path is not None:
            yield Call("symlink", path=path, other=_bytes(strings[0]).decode())

    def _unlinked(self, arguments: str, strings: list[str], _result: int) -> Iterator[Call]:
        path = self._path(strings[0], arguments)
        if path is not None:
            self._names.pop(path, None)
            self._directories.discard(path)
            yield Call("unname", path=path)

    def _renamed(self, _arguments: str, strings: list[str], _result: int) -> Iterator[Call]:
        old, new = map(self._path, strings)
        if old is None or new is None:
            assert old is new
            return
        if old in self._directories:
            below = f"{old}/"
            for name in [name for name in self._names if name.startswith(below)]:
                self._names[f"{new}/{name.removeprefix(below)}"] = self._names.pop(name)
            moved = {name for name in self._directories if f"{name}/".startswith(below)}
            self._directories -= moved
            self._directories |= {new + name.removeprefix(old) for name in moved}
            yield Call("rename", 0, old, new)
        else:
            number = self._names.pop(old, 0)
            if number:
                self._names[new] = number
            if number and PurePosixPath(old).parent != PurePosixPath(new).parent:
                # Each directory is synced for itself; what counts is that the new name is there.
                yield Call("name", number, new)
                yield Call("unname", path=old)
            else:
                yield Call("rename", number, old, new)

    def _made(self, arguments: str, strings: list[str], _result: int) -> Iterator[Call]:
        path = self._path(strings[0], arguments)
        if path is not None:
            self._directories.add(path)
            yield Call("mkdir", path=path)
            yield Call("mode", path=path, at=_mode(arguments) & ~_umask())

    def _mode_set(self, arguments: str, strings: list[str], _result: int) -> Iterator[Call]:
        if strings:
            path = self._path(strings[0], arguments)
        else:
            number, path, _ = self._open.get(int(arguments.split(",", maxsplit=1)[0]), (0, None, 0))
        if path is not None:
            number = self._names.get(path, 0)
            yield Call("mode", number, "" if number else path, at=_mode(arguments))

    _HANDLERS: ClassVar[dict[str, Callable[[_Reader, str, list[str], int], Iterator[Call]]]] = {
        "open": _opened, "openat": _opened, "creat": _opened, "close": _closed, "lseek": _sought,
        "write": _written, "writev": _written, "pwrite64": _written_at, "ftruncate": _truncated,
        "fsync": _synced, "fdatasync": _synced, "syncfs": _all_synced, "sync": _all_synced,
        "link": _linked, "linkat": _linked, "symlink": _symlinked, "symlinkat": _symlinked,
        "unlink": _unlinked, "unlinkat": _unlinked, "rmdir": _unlinked, "rename": _renamed,
        "renameat": _renamed, "renameat2": _renamed, "mkdir": _made, "mkdirat": _made,
        "chmod": _mode_set, "fchmod": _mode_set, "fchmodat": _mode_set,
    }  # fmt: skip


_MODE = re.compile(r"\b0[0-7]{2,}\b")


def _mode(arguments: str) -> int:
    """The mode among the arguments of a call, as strace writes it."""
    return int(_MODE.findall(_STRING.sub("", arguments))[-1], 8)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def unsynced(calls: Sequence[Call]) -> list[int]:
    """Which of some calls a disk need not have kept."""
    files: set[int] = set()
    directories: set[Path_] = set()
    found = []
    for n in range(len(calls) - 1, -1, -1):
        call = calls[n]
        if call.what == "sync all":
            break
        if call.what == "sync":
            files.add(call.file)
        elif call.what == "sync names":
            directories.add(call.path)
        elif call.is_data:
            is_kept = call.file in files if call.file else call.path in directories
            found += [n] * (not is_kept)
        elif call.is_name:
            found += [n] * (not call.directories <= directories)
    return found[::-1]


def cuts(start: Disk, calls: Sequence[Call], where: Sequence[int]) -> Iterator[Cut]:
    """The disks that power cuts could leave, each once.

    Args:
        where: After how many of the calls the power goes off.
    """
    seen: set[int] = set()
    for after in where:
        made = calls[:after]
        for lost, dropped, halved in _losses(made):
            disk = start.copy()
            for n, call in enumerate(made):
                if n not in dropped:
                    disk.apply(call, half=n == halved)
            key = hash(disk.key)  # the disks themselves are large
            if key not in seen:
                seen.add(key)
                yield Cut(after, lost, disk)


def _losses(made: Sequence[Call]) -> Iterator[tuple[str, set[int], int]]:
    open_ = unsynced(made)
    data = {n for n in open_ if made[n].is_data}
    yield "nothing", set(), -1
    yield "all bytes", data, -1
    yield "all names", set(open_) - data, -1
    yield "all", set(open_), -1
    for n in open_:
        yield f"call {n} ({made[n].what} {made[n].path or made[n].file})", {n}, -1
        if made[n].what == "write":
            yield f"half of call {n} (to file {made[n].file})", set(), n
