"""Waking readers within milliseconds of a commit.

In one process by a condition; between processes by LISTEN/NOTIFY on PostgreSQL and by looking at SQLite's
change counter. All of it is a hint: readers look by themselves now and then, so a lost one delays, no more.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine

from eventstore.sql.engine import is_sqlite

_log = logging.getLogger("headwater.wakeup")
CHANNEL = "headwater"
SQLITE_LOOK_SECONDS = 0.005
TELL_SECONDS = 0.005
CLOSE_SECONDS = 2.0
RECONNECT_SECONDS = 1.0


class Wakeup:
    """Counts commits that this process knows of; ``wait`` returns when there was one since a count.

    Its threads start when first needed and are daemons; ``close`` ends them.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._changed = threading.Condition()
        self._told = threading.Event()
        self._closed = threading.Event()
        self._listener: threading.Thread | None = None
        self._teller: threading.Thread | None = None
        self._start = threading.Lock()
        self.count = 0

    def notify(self) -> None:
        """Tell everybody that something was committed."""
        self._bump()
        if is_sqlite(self._engine):
            return  # other processes see the file change
        self._told.set()
        if self._teller is None:
            self._start_telling()

    def after(self, connection: Connection) -> None:
        """Have everybody notified once the transaction of ``connection`` is committed."""
        if not is_sqlite(self._engine):
            connection.exec_driver_sql(f"NOTIFY {CHANNEL}")  # sent by the server at the commit, and only then

    def wait(self, seen: int, timeout: float) -> None:
        """Return when ``count`` is not ``seen`` any more, at the latest after ``timeout`` seconds."""
        if self._listener is None:
            with self._start:
                if self._listener is None:
                    look = self._look_at_file if is_sqlite(self._engine) else self._listen
                    self._listener = self._thread(look, "headwater-listen")
        with self._changed:
            self._changed.wait_for(lambda: self.count != seen or self._closed.is_set(), timeout)

    def close(self) -> None:
        """Send what is still to be told, and end the threads; one that hangs on a dead server is left behind."""
        self._closed.set()
        self._bump()
        if self._listener is not None and not is_sqlite(self._engine):
            self._start_telling()  # its last word ends the listener's waiting too
        self._told.set()
        deadline = time.monotonic() + CLOSE_SECONDS
        for thread in (self._teller, self._listener):
            if thread is not None:
                thread.join(max(0.0, deadline - time.monotonic()))

    def _bump(self) -> None:
        with self._changed:
            self.count += 1
            self._changed.notify_all()

    def _start_telling(self) -> None:
        with self._start:
            if self._teller is None:
                self._teller = self._thread(self._tell, "headwater-notify")

    def _thread(self, run: Callable[[], None], name: str) -> threading.Thread:
        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        return thread

    def _tell(self) -> None:
        """Send NOTIFY, many commits in one: inside the appends it would serialise their commits."""
        while True:
            try:
                with self._connection_of_its_own() as raw:
                    raw.execute("SET synchronous_commit = off")  # or each would wait for the disk, for a hint
                    self._tell_on(raw)
                    return
            except Exception:
                self._told.set()
                if self._rest_after_failure("tell other processes of commits"):
                    return

    def _tell_on(self, raw: Any) -> None:
        while True:
            self._told.wait()
            self._told.clear()
            raw.execute(f"NOTIFY {CHANNEL}")
            if self._closed.wait(TELL_SECONDS):
                raw.execute(f"NOTIFY {CHANNEL}")
                return

    @contextmanager
    def _connection_of_its_own(self) -> Iterator[Any]:
        """A driver connection that no pool hands out again, each statement a transaction of its own."""
        pooled = self._engine.raw_connection()
        raw: Any = pooled.driver_connection
        pooled.detach()
        try:
            raw.autocommit = True
            yield raw
        finally:
            pooled.close()

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                self._listen_on_a_connection()
            except Exception:
                self._rest_after_failure("hear of commits of other processes")

    def _listen_on_a_connection(self) -> None:
        with self._connection_of_its_own() as raw:
            raw.execute(f"LISTEN {CHANNEL}")
            self._bump()  # what was committed before we listened
            while not self._closed.is_set():
                for _ in raw.notifies(timeout=1.0, stop_after=1):
                    self._bump()

    def _look_at_file(self) -> None:
        """``data_version`` changes when another connection commits. Source: SQLite, pragma data_version."""
        while not self._closed.is_set():
            try:
                with self._engine.connect() as connection:
                    raw: Any = connection.connection.driver_connection
                    version = None
                    while not self._closed.is_set():
                        now = raw.execute("PRAGMA data_version").fetchone()[0]
                        if now != version:  # or it is the first look: something may have been committed before
                            self._bump()
                        version = now
                        self._closed.wait(SQLITE_LOOK_SECONDS)
            except Exception:
                self._rest_after_failure("see commits of other processes")

    def _rest_after_failure(self, what: str) -> bool:
        """Until the next try; whether it was closed meanwhile."""
        if not self._closed.is_set():
            _log.warning("cannot %s now: readers look by themselves until then", what, exc_info=True)
        return self._closed.wait(RECONNECT_SECONDS)
