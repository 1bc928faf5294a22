"""Logs on real databases, for what SQL backends promise beyond the contract."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from eventstore.sql.engine import connect
from eventstore.sql.log import SqlEventLog
from tests.conftest import create_tables


@pytest.fixture
def new_log() -> Iterator[Callable[..., SqlEventLog]]:
    """Opens the log ``bank`` on a URL or an engine, with ``account`` in four partitions."""
    logs: list[SqlEventLog] = []
    engines: list[Engine] = []

    def open_log(on: str | Engine, *, make: bool = True) -> SqlEventLog:
        engine = on
        if isinstance(engine, str):
            engine = connect(engine)
            engines.append(engine)
        log = SqlEventLog(engine, "bank")
        logs.append(log)
        if make:
            create_tables(engine)
            log.create_topics({"account": 4})
        return log

    yield open_log
    for log in logs:
        log.wakeup.close()
    for engine in engines:
        engine.dispose()


@pytest.fixture
def log(engine: Engine, new_log: Callable[..., SqlEventLog]) -> SqlEventLog:
    return new_log(engine)


@pytest.fixture
def pg_log(postgres_url: str, new_log: Callable[..., SqlEventLog]) -> SqlEventLog:
    return new_log(postgres_url)


@pytest.fixture
def sqlite_log(sqlite_url: str, new_log: Callable[..., SqlEventLog]) -> SqlEventLog:
    return new_log(sqlite_url)


class Background(threading.Thread):
    """Runs a call beside the test; ``result`` waits for it and raises what it raised."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self._result: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._result = self._call()
        except BaseException as error:
            self._error = error

    def result(self, timeout: float = 20) -> Any:
        self.join(timeout)
        assert not self.is_alive(), "it is still running"
        if self._error is not None:
            raise self._error
        return self._result


@pytest.fixture
def background() -> Callable[[Callable[[], Any]], Background]:
    return Background
