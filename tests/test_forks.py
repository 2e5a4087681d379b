"""A fork waits for what must not be copied half done, and for nothing else."""

from __future__ import annotations

import os
import threading

from seqarchive.forks import ForkGate


def _forked() -> int:
    """How a child ended that goes through a new gate, and through those of its parent."""
    child = os.fork()
    if child == 0:
        with ForkGate():
            os._exit(0)
    return os.waitpid(child, 0)[1]


class _Inside:
    """A thread that is inside of a gate until it is told to go on."""

    def __init__(self, gate: ForkGate, *, outside: bool = False) -> None:
        self.may_leave = threading.Event()
        self._gate = gate
        self._is_in = threading.Event()
        self._thread = threading.Thread(target=self._wait_outside if outside else self._wait)
        self._thread.start()
        assert self._is_in.wait(60)

    def _wait(self) -> None:
        with self._gate:
            self._is_in.set()
            assert self.may_leave.wait(60)

    def _wait_outside(self) -> None:
        with self._gate, self._gate, self._gate.outside():
            self._is_in.set()
            assert self.may_leave.wait(60)

    def leave(self) -> None:
        self.may_leave.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


def test_a_fork_waits_until_all_have_come_out() -> None:
    gates = [ForkGate(), ForkGate()]
    inside = [_Inside(gate) for gate in gates]
    ends: list[int] = []
    forking = threading.Thread(target=lambda: ends.append(_forked()))
    forking.start()
    forking.join(0.1)
    assert forking.is_alive()
    inside[0].leave()
    forking.join(0.1)
    assert forking.is_alive()
    inside[1].leave()
    forking.join(60)
    assert ends == [0]


def test_a_fork_does_not_wait_for_who_is_outside() -> None:
    gate = ForkGate()
    waiting = _Inside(gate, outside=True)
    assert _forked() == 0
    waiting.leave()
    with gate:  # everybody has come out as often as in
        assert _forked() == 0


def test_a_child_passes_the_gates_of_its_parent() -> None:
    gate = ForkGate()
    child = os.fork()
    if child == 0:
        with gate:
            pass
        os._exit(0 if _forked() == 0 else 1)
    assert os.waitpid(child, 0)[1] == 0
    with gate:
        assert _forked() == 0


def test_threads_may_fork_at_once_while_others_come_and_go() -> None:
    gates = [ForkGate() for _ in range(4)]
    is_over = threading.Event()

    def come_and_go(gate: ForkGate) -> None:
        while not is_over.is_set():
            with gate, gate.outside():
                ForkGate()

    comers = [threading.Thread(target=come_and_go, args=(gate,)) for gate in gates]
    ends: list[int] = []
    forkers = [
        threading.Thread(target=lambda: ends.extend(_forked() for _ in range(5))) for _ in range(3)
    ]
    for thread in comers + forkers:
        thread.start()
    for thread in forkers:
        thread.join(120)
    is_over.set()
    for thread in comers:
        thread.join(60)
    assert ends == [0] * 15
