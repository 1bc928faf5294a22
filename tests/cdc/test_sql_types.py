"""The column for a source column's type gives its values back, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, Table, Text, cast, select
from sqlalchemy.exc import StatementError

from cdc import types
from cdc.capture import CaptureSource
from cdc.decode import Decoder
from cdc.message import RowMessage
from cdc.sql_types import postgres_text, sql_type
from eventstore.errors import Refused
from eventstore.sql.engine import connect, is_sqlite, reading, writing

CAPTURE = Path(__file__).parents[1] / "data" / "base" / "json-schema.jsonl.gz"


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = connect(database_url)
    yield engine
    engine.dispose()


@cache
def snapshot() -> list[RowMessage]:
    decoder = Decoder()
    with CaptureSource(CAPTURE) as source:
        messages = [decoder.decode(record) for record in source.read({(source.topic, 0): 0}, 10)]
    return [m for m in messages if isinstance(m, RowMessage) and m.table == "inv.all_types"]


def is_beyond(value: Any, type_: types.Type) -> bool:
    """Whether Python cannot hold it, and psycopg not read it."""
    return isinstance(value, str) and type(type_) in (types.Date, types.Time, types.Timestamp, types.ZonedTimestamp)


def test_rows_of_every_type_come_back_equal(engine: Engine) -> None:
    columns = snapshot()[0].columns or ()
    table = Table(
        "mirror", MetaData(), *(Column(c.name, sql_type(c.type), primary_key=c.name == "id") for c in columns)
    )
    rows = [dict(message.after or {}) for message in snapshot()]
    for row in rows:
        for column in columns:
            if is_beyond(row[column.name], column.type) and not is_sqlite(engine):
                row[column.name] = None
    with writing(engine) as connection:
        table.create(connection)
        for row in rows:
            connection.execute(table.insert(), row)
    with reading(engine) as connection:
        back = [dict(row._mapping) for row in connection.execute(select(table).order_by(table.c.id))]
    assert len(rows) == len(back) == 7
    for row, again in zip(rows, back, strict=True):
        assert repr({**row, "c_dbl": 0.0, "c_real": 0.0}) == repr({**again, "c_dbl": 0.0, "c_real": 0.0})
        for name in ("c_dbl", "c_real"):  # equal, but for the sign of zero
            assert row[name] == again[name] or str(row[name]) == str(again[name])


@pytest.mark.parametrize(
    ("type_", "value", "text"),
    [
        (types.Date(), "infinity", "infinity"),
        (types.Date(), "-4712-01-01", "4713-01-01 BC"),
        (types.Date(), "+10000-01-01", "10000-01-01"),
        (types.Time(), "24:00:00", "24:00:00"),
        (types.Timestamp(), "-infinity", "-infinity"),
        (types.Timestamp(), "-4712-01-01T00:00:00", "4713-01-01 00:00:00 BC"),
        (types.ZonedTimestamp(), "-4712-01-02T00:00:00.000000Z", "4713-01-02 00:00:00+00 BC"),
        (types.Timestamp(types.NANOS), "2026-01-01T00:00:00.000000001", "2026-01-01T00:00:00.000000001"),
    ],
)
def test_what_python_cannot_hold_is_in_the_table_all_the_same(
    engine: Engine, type_: types.Type, value: str, text: str
) -> None:
    table = Table("mirror", MetaData(), Column("id", Integer, primary_key=True), Column("at", sql_type(type_)))
    with writing(engine) as connection:
        table.create(connection)
        connection.execute(table.insert(), {"id": 1, "at": value})
    with reading(engine) as connection:
        if is_sqlite(engine):
            assert connection.execute(select(table.c.at)).scalar_one() == value
        else:
            assert connection.execute(select(cast(table.c.at, Text))).scalar_one() == text


def test_lists_are_readable_json(engine: Engine) -> None:
    column = Column("prices", sql_type(types.Array(types.Decimal(2))))
    table = Table("mirror", MetaData(), Column("id", Integer, primary_key=True), column)
    value = types.Array(types.Decimal(2)).decode(["ZA==", None])
    with writing(engine) as connection:
        table.create(connection)
        connection.execute(table.insert(), {"id": 1, "prices": value})
        assert connection.exec_driver_sql("SELECT prices FROM mirror").scalar_one() == '["1.00",null]'
        assert connection.execute(select(table.c.prices)).scalar_one() == value


def test_a_time_that_postgresql_would_round_is_refused(postgres_url: str) -> None:
    engine = connect(postgres_url)
    table = Table("mirror", MetaData(), Column("at", sql_type(types.ZonedTimestamp())))
    table.create(engine)
    statement = table.insert().values(at="2026-01-01T00:00:00.1234567Z")
    with engine.connect() as connection, pytest.raises(StatementError) as caught:
        connection.execute(statement)
    engine.dispose()
    assert isinstance(caught.value.orig, Refused)


def test_years_before_christ_are_counted_as_postgresql_does() -> None:
    assert postgres_text("0000-12-31") == "0001-12-31 BC"
    assert postgres_text("-0001-06-01") == "0002-06-01 BC"
    assert postgres_text("2026-01-01") == "2026-01-01"
