"""Taking turns: in order, never twice, and never for ever."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from eventstore.sql.turns import Turns, turns_of
from tests.waiting import eventually


def test_those_who_wait_are_served_in_the_order_they_came() -> None:
    turns = Turns()
    served: list[int] = []

    def wait(n: int) -> None:
        with turns.turn(10):
            served.append(n)

    threads = [threading.Thread(target=wait, args=(n,)) for n in range(8)]
    with turns.turn(10):
        for n, thread in enumerate(threads, start=1):
            thread.start()
            eventually(lambda n=n: len(turns._waiting) == n)  # type: ignore[misc]
    for thread in threads:
        thread.join(10)
    assert served == list(range(8))


def test_whoever_had_it_comes_after_those_who_wait() -> None:
    """Else: the thread that passes it on is back before the next one runs, and starves it."""
    turns = Turns()
    served: list[str] = []

    def wait() -> None:
        with turns.turn(10):
            served.append("other")

    other = threading.Thread(target=wait)
    with turns.turn(10):
        other.start()
        eventually(lambda: len(turns._waiting) == 1)
    with turns.turn(10):
        served.append("me again")
    other.join(10)
    assert served == ["other", "me again"]


def test_two_never_hold_it_at_once() -> None:
    turns = Turns()
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(100):
            with turns.turn(10):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert max(most) == 1
    assert len(most) == 600


def test_waiting_ends_at_its_time_and_leaves_the_queue() -> None:
    turns = Turns()
    waited = threading.Event()

    def wait() -> None:
        with turns.turn(0.01):
            waited.set()

    thread = threading.Thread(target=wait)
    with turns.turn(10):
        thread.start()
        assert waited.wait(5)
        thread.join(5)
        assert not turns._waiting
    began = time.monotonic()
    with turns.turn(10):
        assert time.monotonic() - began < 5


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_does_not_wait_for_threads_that_only_its_parent_has(tmp_path: Path) -> None:
    """Else every write of the child waits 5 s for a turn that nobody ends."""
    file = str(tmp_path / "some.db")
    held, ended = threading.Event(), threading.Event()

    def hold() -> None:
        with turns_of(file).turn(10):
            held.set()
            ended.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    child = os.fork()
    if child == 0:
        began = time.monotonic()
        with turns_of(file).turn(10):
            os._exit(int(time.monotonic() - began > 5))
    ended.set()
    holder.join(10)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
