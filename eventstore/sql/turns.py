"""Writers of one SQLite file in one process take turns, in the order they came.

SQLite makes them poll with growing pauses instead, so that whoever has waited longest is the least likely to be
next: a thread that wrote 20 ms at a time starved the others to one append in 5 s. Between processes that polling
remains, which is why nobody may hold the file for long.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path


class Turns:
    """A lock that is handed on in order. It only queues: whoever waits too long goes on to SQLite's own lock."""

    def __init__(self) -> None:
        self._state = threading.Lock()
        self._waiting: deque[tuple[threading.Lock, int]] = deque()
        self._holder: int | None = None

    @contextmanager
    def turn(self, timeout: float) -> Iterator[None]:
        """Wait for one's turn, at most ``timeout`` seconds, and hold it. A thread that has it does not wait."""
        mine = self._take(timeout)
        try:
            yield
        finally:
            if mine:
                self._pass_on()

    def _take(self, timeout: float) -> bool:
        me = threading.get_ident()
        with self._state:
            if self._holder is None:
                self._holder = me
                return True
            if self._holder == me:
                return False
            ticket = threading.Lock()
            ticket.acquire()
            self._waiting.append((ticket, me))
        if ticket.acquire(timeout=timeout):
            return True
        with self._state:
            if (ticket, me) not in self._waiting:
                return True  # called at the last moment
            self._waiting.remove((ticket, me))
            return False

    def _pass_on(self) -> None:
        with self._state:
            if not self._waiting:
                self._holder = None
                return
            # The next one holds it from here on: were it free until that thread runs, this one would be back first.
            ticket, self._holder = self._waiting.popleft()
            ticket.release()


_files: dict[Path, Turns] = {}


@cache
def turns_of(file: str) -> Turns:
    """The queue of the writers of ``file`` in this process."""
    return _files.setdefault(Path(file).absolute(), Turns())


def _forget() -> None:
    """The threads that hold or await a turn stay behind in the process that was forked."""
    _files.clear()
    turns_of.cache_clear()


os.register_at_fork(after_in_child=_forget)
