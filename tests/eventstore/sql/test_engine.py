"""Engines: what a URL may be, and what errors of a database become."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, insert, select

from eventstore.sql import schema
from eventstore.sql.engine import is_sqlite, reading, writing


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
