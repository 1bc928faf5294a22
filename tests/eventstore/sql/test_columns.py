"""What was stored comes back equal, sorts and compares right, or is refused: on SQLite and PostgreSQL."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Column, DateTime, Double, Engine, Integer, MetaData, Numeric, String, Table, func, select
from sqlalchemy.exc import StatementError

from eventstore.errors import Refused
from eventstore.sql.columns import AwareDateTime, ExactFloat, ExactNumeric, LocalDateTime, compare_decimals, exact
from eventstore.sql.engine import connect, reading, writing


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = connect(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def table(engine: Engine) -> Table:
    table = Table(
        "sample",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("price", exact(Numeric(10, 2))),
        Column("wide", exact(Numeric(38, 4))),
        Column("any", exact(Numeric())),
        Column("at", exact(DateTime(timezone=True))),
        Column("local", exact(DateTime())),
        Column("ratio", exact(Double())),
    )
    table.metadata.create_all(engine)
    return table


def store(engine: Engine, table: Table, *rows: dict[str, Any]) -> None:
    with writing(engine) as connection:
        for row in rows:
            connection.execute(table.insert().values(**row))


def stored(engine: Engine, table: Table, column: str, *values: Any) -> list[Any]:
    store(engine, table, *({column: value} for value in values))
    with reading(engine) as connection:
        return list(connection.execute(select(table.c[column]).order_by(table.c.id)).scalars())


@pytest.mark.parametrize("column", ["price", "wide", "any"])
def test_decimals_come_back_equal(engine: Engine, table: Table, column: str) -> None:
    values = [Decimal("0.10"), Decimal("-99999999.99"), Decimal("1E+3"), Decimal(0), None]
    assert stored(engine, table, column, *values) == values


def test_more_digits_than_a_float_holds_come_back_equal(engine: Engine, table: Table) -> None:
    values = [Decimal("1234567890123456789012345678901234.5678"), Decimal("-0.0001")]
    assert stored(engine, table, "wide", *values) == values


def test_a_decimal_without_bounds_keeps_thirty_one_places(engine: Engine, table: Table) -> None:
    values = [Decimal("-1E-31"), Decimal("1E+40"), Decimal("12345678901234567890.123456789")]
    assert stored(engine, table, "any", *values) == values


def test_a_decimal_may_be_not_a_number(engine: Engine, table: Table) -> None:
    (narrow,) = stored(engine, table, "price", Decimal("NaN"))
    assert narrow.is_nan()


@pytest.mark.parametrize("value", [Decimal("0.001"), Decimal("100000000"), Decimal("Infinity"), 0.125, "1.00"])
def test_a_value_that_would_be_rounded_is_refused(engine: Engine, table: Table, value: Any) -> None:
    with pytest.raises(StatementError) as caught:
        store(engine, table, {"price": value})
    assert isinstance(caught.value.orig, Refused)


@pytest.mark.parametrize("column", ["price", "wide", "any"])
def test_decimals_sort_and_compare_as_numbers(engine: Engine, table: Table, column: str) -> None:
    store(engine, table, *({column: Decimal(text)} for text in ("9.5", "10", "-3", "100.25")))
    chosen = table.c[column]
    with reading(engine) as connection:
        ascending = list(connection.execute(select(chosen).order_by(chosen)).scalars())
        above = list(connection.execute(select(chosen).where(chosen > Decimal("9.123456")).order_by(chosen)).scalars())
        same = connection.execute(select(chosen).where(chosen == Decimal("10.000"))).scalar_one()
        largest = connection.execute(select(func.max(chosen))).scalar_one()
    assert ascending == [Decimal(-3), Decimal("9.5"), Decimal(10), Decimal("100.25")]
    assert above == ascending[1:]
    assert same == 10
    assert largest == Decimal("100.25")


def test_sums_of_money_are_decimals(engine: Engine, table: Table) -> None:
    store(engine, table, {"price": Decimal("0.10")}, {"price": Decimal("0.20")})
    with reading(engine) as connection:
        assert connection.execute(select(func.sum(table.c.price))).scalar_one() == Decimal("0.30")


def test_an_aware_time_comes_back_as_the_same_instant(engine: Engine, table: Table) -> None:
    value = datetime(2026, 2, 28, 23, 59, 59, 123456, timezone(timedelta(hours=5, minutes=30)))
    (back,) = stored(engine, table, "at", value)
    assert back == value
    assert back.utcoffset() == timedelta(0)


def test_aware_times_sort_as_instants(engine: Engine, table: Table) -> None:
    late = datetime(2026, 1, 1, 0, 0, tzinfo=UTC)
    early = datetime(2026, 1, 1, 4, 0, tzinfo=timezone(timedelta(hours=5)))
    store(engine, table, {"at": late}, {"at": early})
    with reading(engine) as connection:
        assert list(connection.execute(select(table.c.at).order_by(table.c.at)).scalars()) == [early, late]
        assert connection.execute(select(table.c.id).where(table.c.at < late)).scalar_one() == 2


def test_a_time_without_a_zone_is_refused_where_one_is_needed(engine: Engine, table: Table) -> None:
    with pytest.raises(StatementError) as caught:
        store(engine, table, {"at": datetime(2026, 1, 1)})
    assert isinstance(caught.value.orig, Refused)


def test_a_time_with_a_zone_is_refused_where_it_would_be_lost(engine: Engine, table: Table) -> None:
    with pytest.raises(StatementError) as caught:
        store(engine, table, {"local": datetime(2026, 1, 1, tzinfo=UTC)})
    assert isinstance(caught.value.orig, Refused)


def test_a_local_time_keeps_its_microseconds(engine: Engine, table: Table) -> None:
    value = datetime(9999, 12, 31, 23, 59, 59, 999999)
    assert stored(engine, table, "local", value) == [value]


def test_floats_keep_nan_and_the_infinities(engine: Engine, table: Table) -> None:
    nan, infinity, small, nothing = stored(engine, table, "ratio", math.nan, -math.inf, -2.25e-300, None)
    assert math.isnan(nan)
    assert (infinity, small, nothing) == (-math.inf, -2.25e-300, None)


def test_wide_decimals_compare_by_value() -> None:
    assert compare_decimals("10", "9.5") == 1
    assert compare_decimals("1.0", "1.00") == 0
    assert compare_decimals("-Infinity", "-1") == -1
    assert compare_decimals("NaN", "Infinity") == 1
    assert compare_decimals("no number", "1") == 1


def test_types_that_are_exact_already_stay() -> None:
    text, mine = String(), ExactNumeric(10, 2)
    assert exact(text) is text
    assert exact(mine) is mine
    assert isinstance(exact(DateTime(timezone=True)), AwareDateTime)
    assert isinstance(exact(DateTime()), LocalDateTime)
    assert isinstance(exact(Double()), ExactFloat)
