"""Waking readers within milliseconds of a commit.

In one process by a condition; between processes by LISTEN/NOTIFY on PostgreSQL and by looking at SQLite's
change counter. All of it is a hint: readers look by themselves now and then, so a lost one delays, no more.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import SQLAlchemyError

from eventstore.sql.engine import is_sqlite

CHANNEL = "headwater"
SQLITE_LOOK_SECONDS = 0.005
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
            with self._start:
                if self._teller is None:
                    self._teller = self._thread(self._tell, "headwater-notify")

    def after(self, connection: Connection) -> None:
        """Notify once the transaction of ``connection`` is committed."""
        waiting: set[int] = self._engine.__dict__.setdefault("_headwater_waiting", set())
        if id(connection) in waiting:
            return
        waiting.add(id(connection))

        def committed(_: Connection) -> None:
            waiting.discard(id(connection))
            self.notify()

        def rolled_back(_: Connection) -> None:
            waiting.discard(id(connection))

        event.listen(connection, "commit", committed, once=True)
        event.listen(connection, "rollback", rolled_back, once=True)

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
        """Send what is still to be told, and end the threads."""
        self._closed.set()
        self._told.set()
        self._bump()
        for thread in (self._teller, self._listener):
            if thread is not None:
                thread.join(timeout=2)

    def _bump(self) -> None:
        with self._changed:
            self.count += 1
            self._changed.notify_all()

    def _thread(self, run: Any, name: str) -> threading.Thread:
        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        return thread

    def _tell(self) -> None:
        """Send NOTIFY, many commits in one: inside the appends it would serialise their commits."""
        while True:
            self._told.wait()
            self._told.clear()
            with contextlib.suppress(Exception), self._engine.connect() as connection:
                alone = connection.execution_options(isolation_level="AUTOCOMMIT")
                alone.exec_driver_sql(f"NOTIFY {CHANNEL}")
            if self._closed.is_set():
                return

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                self._listen_on_a_connection()
            except Exception:
                self._closed.wait(RECONNECT_SECONDS)

    def _listen_on_a_connection(self) -> None:
        pooled = self._engine.raw_connection()
        try:
            raw: Any = pooled.driver_connection
            pooled.detach()
            raw.autocommit = True
            raw.execute(f"LISTEN {CHANNEL}")
            self._bump()  # what was committed before we listened
            while not self._closed.is_set():
                for _ in raw.notifies(timeout=1.0, stop_after=1):
                    self._bump()
        finally:
            pooled.close()

    def _look_at_file(self) -> None:
        """``data_version`` changes when another connection commits. Source: SQLite, pragma data_version."""
        while not self._closed.is_set():
            try:
                with self._engine.connect() as connection:
                    raw: Any = connection.connection.driver_connection
                    version = None
                    while not self._closed.is_set():
                        now = raw.execute("PRAGMA data_version").fetchone()[0]
                        if version is not None and now != version:
                            self._bump()
                        version = now
                        time.sleep(SQLITE_LOOK_SECONDS)
            except SQLAlchemyError:
                self._closed.wait(RECONNECT_SECONDS)
            except Exception:
                self._closed.wait(RECONNECT_SECONDS)
