"""Short writes: a call that writes takes half of what it was given, as a disk may that is nearly
full. strace can only pretend this; here the call is really made with a smaller number of bytes.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
from pathlib import Path
from typing import NamedTuple

_SEIZE, _SYSCALL, _GETREGSET, _SETREGSET = 0x4206, 24, 0x4204, 0x4205
_GOOD, _CLONES = 1, 8  # PTRACE_O_TRACESYSGOOD, PTRACE_O_TRACECLONE
_REGISTERS = 1  # NT_PRSTATUS
_STOP_OF_CALL = signal.SIGTRAP | 0x80
_ANY = 0x40000000  # __WALL


class _Machine(NamedTuple):
    """Where the registers are, in words, and the numbers of calls."""

    n_words: int
    number: int
    first: int
    """The first argument: a descriptor."""
    third: int
    """The number of bytes."""
    numbers: dict[str, int]


_MACHINES = {
    "x86_64": _Machine(27, 15, 14, 12, {"write": 1, "pwrite64": 18}),
    "aarch64": _Machine(34, 8, 0, 2, {"write": 64, "pwrite64": 68}),
}

#: Calls that can be told to write less.
KINDS = ("write", "pwrite64")

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


class _Span(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def _ptrace(request: int, pid: int, address: int, data: object) -> None:
    if _libc.ptrace(request, pid, address, data) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def halve_write(pid: int, kind: str, number: int, root: Path) -> tuple[int, str]:
    """Let a stopped child go on, and have one of its calls write half of what it was given.

    Args:
        number: How many-th call of its kind by which a thread writes below ``root``.

    Returns:
        The status with which the child ended, and which file it was; nothing if none was.
    """
    met = ""
    machine = _MACHINES[platform.machine()]
    _ptrace(_SEIZE, pid, 0, _GOOD | _CLONES)
    os.kill(pid, signal.SIGCONT)
    counts: dict[int, int] = {}
    inside: set[int] = set()
    while True:
        thread, status = os.waitpid(-1, _ANY)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            if thread == pid:
                return status, met
            continue
        passed_on = 0
        if os.WSTOPSIG(status) == _STOP_OF_CALL:
            if thread in inside:
                inside.remove(thread)
            else:
                inside.add(thread)
                met = _look(thread, machine, kind, number, str(root), counts) or met
        elif status >> 16 == 0:
            passed_on = os.WSTOPSIG(status)
        try:
            _ptrace(_SYSCALL, thread, 0, passed_on)
        except ProcessLookupError:
            continue


def _look(
    thread: int, machine: _Machine, kind: str, number: int, root: str, counts: dict[int, int]
) -> str:
    """At the beginning of a call: is it the one? The file, if it is."""
    words = (ctypes.c_ulonglong * machine.n_words)()
    span = _Span(ctypes.addressof(words), ctypes.sizeof(words))
    _ptrace(_GETREGSET, thread, _REGISTERS, ctypes.byref(span))
    if words[machine.number] != machine.numbers[kind]:
        return ""
    try:
        path = os.readlink(f"/proc/{thread}/fd/{words[machine.first]}")
    except OSError:
        return ""
    if path != root and not path.startswith(f"{root}/"):
        return ""
    counts[thread] = counts.get(thread, 0) + 1
    if counts[thread] != number or words[machine.third] < 2:
        return ""
    words[machine.third] //= 2
    _ptrace(_SETREGSET, thread, _REGISTERS, ctypes.byref(span))
    return path
