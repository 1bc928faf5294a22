"""Plain-SQL projections: statements in the batch's transaction, tables that are theirs alone."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import BigInteger, Column, Connection, Engine, MetaData, Numeric, Table, Text, select
from sqlalchemy.dialects import postgresql, sqlite

from eventstore.errors import DeclarationError, StaleProjection
from eventstore.model.message import Event
from eventstore.sql.engine import reading, writing
from projections import SqlProjection, SqlProjectionHandler


class Bought(Event, name="plain-bought"):
    customer: int
    total: Decimal


class Renamed(Event, name="plain-renamed"): ...


def _totals() -> Table:
    return Table(
        "plain_customer_total",
        MetaData(),
        Column("customer", BigInteger, primary_key=True),
        Column("total", Numeric, nullable=False),
    )


totals = _totals()
sums = SqlProjection("plain-sums", tables=[totals])


@sums.on(Bought)
def bought(connection: Connection, event: Bought) -> None:
    kept = connection.scalar(select(totals.c.total).where(totals.c.customer == event.customer))
    dialect: Any = {"sqlite": sqlite, "postgresql": postgresql}[connection.dialect.name]
    insert = dialect.insert(totals).values(customer=event.customer, total=event.total + (kept or 0))
    connection.execute(insert.on_conflict_do_update(index_elements=["customer"], set_={"total": insert.excluded.total}))


@pytest.fixture
def handler(drive: Any) -> SqlProjectionHandler:
    made = SqlProjectionHandler(sums)
    drive.start(made)
    return made


def _stored(engine: Engine) -> dict[int, Decimal]:
    with reading(engine) as connection:
        return {row.customer: row.total for row in connection.execute(select(totals))}


def test_handlers_run_in_order_and_decimals_stay_exact(drive: Any, record: Any, handler: Any, engine: Engine) -> None:
    drive(handler, record("order-a", *[Bought(customer=1, total=Decimal("0.10"))] * 3, Renamed()), size=2)
    assert _stored(engine) == {1: Decimal("0.30")}


def test_a_batch_that_is_rolled_back_leaves_nothing(drive: Any, record: Any, handler: Any, engine: Engine) -> None:
    items = [handler.admit(one) for one in record("order-a", Bought(customer=1, total=Decimal(5)))]
    with engine.connect() as connection:
        handler.prepare(items, connection).write(connection)
        connection.rollback()
    assert _stored(engine) == {}


def test_clearing_empties_its_tables(drive: Any, record: Any, handler: Any, engine: Engine) -> None:
    drive(handler, record("order-a", Bought(customer=1, total=Decimal(5))))
    with writing(engine) as connection:
        handler.clear(connection)
    assert _stored(engine) == {}


def test_clearing_gives_its_tables_the_columns_declared_now(drive: Any, handler: Any, engine: Engine) -> None:
    changed = _totals()
    changed.append_column(Column("note", Text))
    with writing(engine) as connection:
        SqlProjectionHandler(SqlProjection("plain-sums", tables=[changed])).clear(connection)
    assert drive.query("SELECT note FROM plain_customer_total") == []


def test_empty_tables_follow_their_columns_without_a_rebuild(drive: Any, record: Any, handler: Any) -> None:
    changed = _totals()
    changed.append_column(Column("note", Text))
    later = SqlProjectionHandler(SqlProjection("plain-sums", tables=[changed]))
    drive.start(later)
    assert drive.query("SELECT note FROM plain_customer_total") == []


def test_rows_of_other_columns_wait_for_a_rebuild(drive: Any, record: Any, handler: Any, engine: Engine) -> None:
    drive(handler, record("order-a", Bought(customer=1, total=Decimal(5))))
    changed = _totals()
    changed.append_column(Column("note", Text))
    drive.start(SqlProjectionHandler(SqlProjection("plain-sums", tables=[changed])))
    assert _stored(engine) == {1: Decimal(5)}


def test_a_table_that_was_dropped_is_missed_and_a_rebuild_begins_anew(drive: Any, handler: Any, engine: Engine) -> None:
    with writing(engine) as connection:
        totals.drop(connection)
    with pytest.raises(StaleProjection, match="the rows of plain-sums are gone"):
        drive.start(handler)
    with writing(engine) as connection:
        handler.clear(connection)
    assert _stored(engine) == {}


def test_a_table_of_somebody_else_is_left_alone(drive: Any, engine: Engine) -> None:
    with writing(engine) as connection:
        connection.exec_driver_sql("CREATE TABLE plain_customer_total (x integer)")
    with pytest.raises(DeclarationError, match="already"):
        drive.start(SqlProjectionHandler(sums))
    with pytest.raises(DeclarationError), writing(engine) as connection:
        SqlProjectionHandler(sums).clear(connection)
    assert drive.query("SELECT x FROM plain_customer_total") == []


def test_a_table_belongs_to_one_projection(drive: Any, handler: Any) -> None:
    with pytest.raises(DeclarationError, match="it belongs to the projection plain-sums"):
        drive.start(SqlProjectionHandler(SqlProjection("plain-others", tables=[_totals()])))


def test_a_record_waits_by_its_stream(record: Any, handler: Any, engine: Engine) -> None:
    (one,) = record("order-a", Bought(customer=1, total=Decimal(5)))
    with reading(engine) as connection:
        assert handler.keys(one, None, connection) == ["stream:order-a"]


def test_without_tables_there_is_nothing_to_rebuild() -> None:
    with pytest.raises(DeclarationError, match="has no tables"):
        SqlProjection("plain-empty", tables=[])


def test_the_fingerprint_follows_handlers_tables_and_version() -> None:
    def made(version: int = 1, columns: int = 0, handler: Any = bought) -> str:
        table = _totals()
        for n in range(columns):
            table.append_column(Column(f"more{n}", Text))
        projection = SqlProjection("plain-sums", tables=[table], version=version)
        projection.on(Bought)(handler)
        return SqlProjectionHandler(projection).fingerprint

    def other(connection: Connection, event: Bought) -> None: ...

    assert made() == made()
    assert len({made(), made(version=2), made(columns=1), made(handler=other)}) == 4
