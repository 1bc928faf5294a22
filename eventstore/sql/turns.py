"""Writers of one SQLite file in one process take turns, in the order they came.

SQLite makes them poll with growing pauses instead, so that whoever has waited longest is the least likely to be
next: a thread that wrote 20 ms at a time starved the others to one append in 5 s. Between processes that polling
remains, which is why nobody may hold the file for long.
"""

from __future__ import annotations

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
        self._waiting: deque[threading.Lock] = deque()
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
            self._waiting.append(ticket)
        called = ticket.acquire(timeout=timeout)
        with self._state:
            if not called and ticket in self._waiting:
                self._waiting.remove(ticket)
                return False
            self._holder = me
        return True

    def _pass_on(self) -> None:
        with self._state:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._holder = None


_files: dict[Path, Turns] = {}


@cache
def turns_of(file: str) -> Turns:
    """The queue of the writers of ``file`` in this process."""
    return _files.setdefault(Path(file).absolute(), Turns())
