"""Engines: what a URL may be, and what errors of a database become."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, insert, select

from eventstore.errors import Unavailable
from eventstore.sql import schema
from eventstore.sql.engine import is_sqlite, reading, writing
from eventstore.sql.faults import unavailable


def test_a_fresh_database_has_the_tables(engine: Engine) -> None:
    with engine.connect() as connection:
        assert connection.execute(select(schema.topic)).all() == []


def test_a_reader_holds_no_transaction_between_its_statements(engine: Engine) -> None:
    """Else: its snapshot keeps what others delete, for as long as it reads."""
    with reading(engine) as connection:
        connection.execute(select(schema.topic)).all()
        raw: Any = connection.connection.driver_connection
        assert not (raw.in_transaction if is_sqlite(engine) else raw.info.transaction_status)


def test_a_writer_is_rolled_back_on_an_error(engine: Engine) -> None:
    def fail() -> None:
        with writing(engine) as connection:
            connection.execute(insert(schema.topic).values(topic="t", partitions=1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with reading(engine) as connection:
        assert connection.execute(select(schema.topic)).all() == []


def test_what_is_not_the_databases_fault_is_not_said_to_be(engine: Engine) -> None:
    error = Unavailable("capture.jsonl cannot be read", "input/output error", "check the disk")
    assert unavailable(engine, error) is error
