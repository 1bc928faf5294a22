"""The backends that the contract's cases run on; the cases know ``EventLog`` only, so another one is added here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from eventstore.model.log import EventLog
from eventstore.sql.log import SqlEventLog

PARTITIONS = 4


class Backend:
    """One place where a log is kept, as several processes see it."""

    def __init__(self, engine: Engine, url: str) -> None:
        self._engine, self._url = engine, url
        self._opened: list[SqlEventLog] = []

    def open(self) -> EventLog:
        """A log as a process of its own would open it."""
        log = SqlEventLog(self._engine, "bank")
        self._opened.append(log)
        return log

    def start_writer(self, *arguments: str) -> subprocess.Popen[str]:
        """A process that runs ``writer.py`` on the same log."""
        script = Path(__file__).with_name("writer.py")
        return subprocess.Popen([sys.executable, script, self._url, *arguments], stdout=subprocess.PIPE, text=True)

    def close(self) -> None:
        for log in self._opened:
            log.wakeup.close()


@pytest.fixture
def backend(engine: Engine, database_url: str) -> Iterator[Backend]:
    backend = Backend(engine, database_url)
    yield backend
    backend.close()


@pytest.fixture
def log(backend: Backend) -> EventLog:
    """An empty log with the category ``account`` in four partitions."""
    log = backend.open()
    log.create_topics({"account": PARTITIONS})
    return log


@pytest.fixture
def open_log(backend: Backend, log: EventLog) -> Callable[[], EventLog]:
    """Opens the same log once more."""
    return backend.open


@pytest.fixture
def start_writer(backend: Backend, log: EventLog) -> Callable[..., subprocess.Popen[str]]:
    return backend.start_writer
