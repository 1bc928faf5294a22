"""Mirrors: which tables are made, how they follow the source, and which are never touched."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Numeric, String, Table, inspect, text

from cdc import types
from cdc.ingest import Ingest
from cdc.mirror_shape import holds
from eventstore.errors import DeclarationError
from eventstore.sql.engine import reading, writing

TEXT, INT32, INT64 = {"type": "string"}, {"type": "int32"}, {"type": "int64"}


def decimal(scale: int, precision: int) -> dict[str, Any]:
    name = "org.apache.kafka.connect.data.Decimal"
    parameters = {"scale": str(scale), "connect.decimal.precision": str(precision)}
    return {"type": "bytes", "name": name, "version": 1, "parameters": parameters}


@pytest.fixture
def change(bench_kit: Any) -> Any:
    """A message with a schema: ``columns`` is column → (schema, value); the key is ``id``, or ``key``."""

    def make(
        columns: dict[str, tuple[dict[str, Any], Any]],
        n: int = 1,
        op: str = "c",
        key: tuple[str, ...] = ("id",),
        table: str = "public.item",
    ) -> dict[str, Any]:
        row = {name: value for name, (_, value) in columns.items()}
        plain = bench_kit.change(
            op, row, at=(n * 10, n * 10, 1), ms=n, key={name: row[name] for name in key}, table=table
        )
        fields = [{**schema, "optional": name not in key, "field": name} for name, (schema, _) in columns.items()]
        of_row = [{"type": "struct", "fields": fields, "optional": True, "field": side} for side in ("before", "after")]
        of_key = [field for field in fields if field["field"] in key]
        value = {"schema": {"type": "struct", "fields": of_row}, "payload": json.loads(plain["value"])}
        named = {"schema": {"type": "struct", "fields": of_key}, "payload": json.loads(plain["key"])}
        return {**plain, "value": json.dumps(value), "key": json.dumps(named)}

    return make


def ingest(into: Any = None, table: str = "public.item", **more: Any) -> Ingest:
    made = Ingest("mirrors")
    made.mirror(table, into, **more)
    return made


def item(id: int = 1, name: str = "a") -> dict[str, tuple[dict[str, Any], Any]]:
    return {"id": (INT32, id), "name": (TEXT, name)}


HOSTILE = (
    'x"; DROP TABLE hw_event; --',
    "x'); DROP TABLE hw_event; --",
    "100%",
    "%s %%",
    ":name ?",
    "a.b [c] (d)",
    "`x`",
    "sélect ☃",
    "select",
    "rowid",
    "two\nlines",
    " ",
)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_table_whose_name_is_made_of_sql_is_mirrored_under_that_name(bench, change, name):
    done = bench(ingest(table=f"public.{name}", into=name)).feed([change(item(), table=f"public.{name}")])
    assert done.letters == []
    assert done.mirror(name) == [{"id": 1, "name": "a"}]
    assert "hw_event" in inspect(done.engine).get_table_names(schema=schema_of(done))


def schema_of(bench: Any) -> str | None:
    return None if bench.engine.dialect.name == "sqlite" else "headwater"


def test_columns_whose_names_are_made_of_sql_are_mirrored_under_those_names(bench, change):
    columns = item() | {name: (TEXT, f"value of {name}") for name in HOSTILE}
    done = bench(ingest()).feed(
        [change(item()), change(columns, 2, "u"), change(item(2), 3), change(item(2), 4, "d")], batch=1
    )
    assert done.letters == []
    assert done.mirror("item") == [{"id": 1, "name": "a"} | {name: f"value of {name}" for name in HOSTILE}]


MARKED = ("%(c0)s", "%(kc0)s", "__[SCHEMA_x]", "__[SCHEMA_ TEXT, evil INTEGER DEFAULT (1)]", "__[POSTCOMPILE_c0]")


@pytest.mark.parametrize("name", ["x" * 64, "é" * 32, "nul\x00", "", *MARKED])
def test_a_column_that_no_table_can_have_is_refused(bench, change, name):
    done = bench(ingest()).feed([change(item() | {name: (TEXT, "x")}), change(item(2), 2)])
    [letter] = done.letters
    assert "cannot be the name of a column" in letter.error
    assert done.mirror("item") == [{"id": 2, "name": "a"}]


@pytest.mark.parametrize("name", MARKED)
def test_a_table_whose_name_would_be_rewritten_is_refused(name):
    with pytest.raises(DeclarationError, match="cannot name a table"):
        ingest(table=f"public.{name}")


@pytest.mark.parametrize("name", ["_rowid_", "OID", "rowid"])
def test_one_of_equal_rows_is_deleted_also_where_a_column_is_called_as_the_rows_number(quick_bench, change, name):
    columns = {"id": (INT32, 1), name: (INT32, 7)}
    messages = [change(columns, 1), change(columns, 2), change(columns, 3, "d")]
    done = quick_bench(ingest()).feed([{**message, "key": None} for message in messages], batch=1)
    assert done.letters == []
    assert done.mirror("item") == [{"id": 1, name: 7}]


def test_columns_that_differ_in_case_only_are_refused_on_sqlite(quick_bench, change):
    [letter] = quick_bench(ingest()).feed([change(item() | {"NAME": (TEXT, "x")})]).letters
    assert "two columns called name" in letter.error


def test_a_table_that_was_there_before_is_never_touched(bench, change):
    made = bench(ingest())
    with writing(made.engine) as connection:
        connection.execute(text("CREATE TABLE item (id int PRIMARY KEY, name text)"))
        connection.execute(text("INSERT INTO item VALUES (1, 'precious')"))
    [letter] = made.feed([change(item())]).letters
    assert "there is a table item already, and headwater did not make it" in letter.error
    with reading(made.engine) as connection:
        assert connection.execute(text("SELECT id, name FROM item")).all() == [(1, "precious")]


def test_a_table_of_the_framework_is_never_mirrored_into(quick_bench, change):
    made = quick_bench(ingest("hw_event"))
    [letter] = made.feed([change(item())]).letters
    assert "headwater did not make it" in letter.error


def test_two_source_tables_cannot_share_a_mirror(quick_bench, change):
    made = ingest("both")
    made.mirror("public.other", "both")
    done = quick_bench(made).feed([change(item()), change(item(2), 2, table="public.other")])
    [letter] = done.letters
    assert "mirrors public.item of ingest mirrors already" in letter.error


def goods() -> Table:
    columns = Column("id", Integer, primary_key=True), Column("name", String(40)), Column("price", Numeric(14, 2))
    return Table("goods", MetaData(), *columns)


def test_a_table_of_the_applications_own_is_filled_with_its_columns(bench, change):
    rows = item() | {"colour": (TEXT, "red"), "price": (decimal(2, 14), base64.b64encode(b"\x01\x02").decode())}
    made = bench(ingest(goods())).feed([change(rows)])
    assert made.letters == []
    with reading(made.engine) as connection:
        [row] = connection.execute(text("SELECT * FROM goods")).mappings()
    assert (set(row), row["id"], row["name"]) == ({"id", "name", "price"}, 1, "a")


def test_messages_without_a_schema_are_read_by_the_types_of_the_given_table(bench, bench_kit):
    plain = bench_kit.change("c", {"id": 1, "name": "a", "price": "AQI="}, at=(1, 1, 1), table="public.item")
    made = bench(ingest(goods())).feed([plain])
    assert made.letters == []
    with reading(made.engine) as connection:
        [price] = connection.scalars(text("SELECT price FROM goods"))
    assert Decimal(str(price)) == Decimal("2.58")


def test_a_given_table_with_another_key_is_refused(quick_bench, change):
    [letter] = quick_bench(ingest(goods())).feed([change(item(), key=("id", "name"))]).letters
    assert "the key of public.item is id, name, and that of the table goods is id" in letter.error


def test_without_schema_types_and_model_a_mirror_is_refused(quick_bench, bench_kit):
    [letter] = quick_bench(ingest()).feed([bench_kit.change("c", {"id": 1}, at=(1, 1, 1))]).letters
    assert "what the columns of public.item are is not known" in letter.error
    assert "schemas.enable=true" in letter.error


def test_a_column_without_a_declared_type_is_refused(quick_bench, bench_kit):
    made = quick_bench(ingest(types={"id": types.Integer()}))
    [letter] = made.feed([bench_kit.change("c", {"id": 1, "more": 2}, at=(1, 1, 1))]).letters
    assert "the type of more of public.item is not known" in letter.error


def test_a_mirror_declared_later_begins_with_the_rows_that_are_known(bench, change):
    made = bench(ingest()).feed([change(item(n), n) for n in (1, 2, 3)])
    made.ingest = ingest("again")
    made.feed([change(item(2, "b"), 9, "u")])
    assert [(row["id"], row["name"]) for row in made.mirror("again")] == [(1, "a"), (2, "b"), (3, "a")]


def test_a_column_grows_with_the_source(bench, change):
    small, big = {"id": (INT32, 1), "n": (INT32, 5)}, {"id": (INT32, 2), "n": (INT64, 1 << 40)}
    done = bench(ingest()).feed([change(small), change(big, 2)])
    assert done.letters == []
    assert [row["n"] for row in done.mirror("item")] == [5, 1 << 40]


def test_a_decimal_grows_with_the_source_and_keeps_its_digits(bench, change):
    one = base64.b64encode((10**13 + 1).to_bytes(8, "big")).decode()
    narrow = {"id": (INT32, 1), "n": (decimal(2, 14), one)}
    wide = {"id": (INT32, 2), "n": (decimal(4, 30), base64.b64encode((10**28 + 1).to_bytes(16, "big")).decode())}
    done = bench(ingest()).feed([change(narrow), change(wide, 2)], batch=1)
    assert done.letters == []
    assert [row["n"] for row in done.mirror("item")] == [
        Decimal("100000000000.01"),
        Decimal("1000000000000000000000000.0001"),
    ]


def test_a_type_that_may_not_hold_what_is_there_is_refused(bench, change):
    done = bench(ingest()).feed([change(item()), change({"id": (INT32, 2), "name": (INT32, 5)}, 2), change(item(3), 3)])
    assert [row["id"] for row in done.mirror("item")] == [1, 3]
    [letter] = done.letters
    assert "the type of name of public.item changed" in letter.error


def test_a_changed_key_is_refused(bench, change):
    done = bench(ingest()).feed([change(item()), change(item(2), 2, key=("id", "name"))])
    [letter] = done.letters
    assert "the key of public.item changed from id to id, name" in letter.error


def test_a_value_that_its_column_cannot_hold_is_refused_in_words(quick_bench, change):
    too_big = {"id": (INT32, 1), "n": (decimal(0, 2), base64.b64encode(b"\x7f\xff").decode())}
    [letter] = quick_bench(ingest()).feed([change(too_big)]).letters
    assert letter.error_type == "Refused"
    assert "32767 does not fit a column Numeric(2, 0)" in letter.error


def test_a_value_that_the_database_refuses_is_refused_in_words(bench, change):
    """Of a schema that says less than it sends."""
    lies = {"id": (INT32, 1), "n": (INT64, (1 << 64) - 1)}
    done = bench(ingest()).feed([change(lies), change({"id": (INT32, 2), "n": (INT64, 5)}, 2)])
    [letter] = done.letters
    assert letter.error.startswith("[HW-304] a row of public.item does not fit its mirror item")
    assert "INSERT" not in letter.error
    assert done.mirror("item") == [{"id": 2, "n": 5}]


def test_a_table_of_more_columns_than_the_database_has_is_refused(bench, change):
    wide = {"id": (INT32, 1)} | {f"n{i}": (INT32, i) for i in range(2_000)}
    done = bench(ingest()).feed([change(wide), change(item(2), 2), change(wide | {"id": (INT32, 3)}, 3)])
    assert ["has, or had, 2,00" in letter.error for letter in done.letters] == [True, True]
    assert done.mirror("item") == [{"id": 2, "name": "a"}]


@pytest.mark.parametrize(
    ("wide", "narrow", "holds_it"),
    [
        (types.Integer(64), types.Integer(32), True),
        (types.Integer(32), types.Integer(64), False),
        (types.Decimal(2, 10), types.Decimal(2, 8), True),
        (types.Decimal(4, 10), types.Decimal(2, 10), False),
        (types.Decimal(2, 10), types.Decimal(2), False),
        (types.VariableDecimal(), types.Decimal(9, 20), True),
        (types.Text(), types.Text("Enum", ("a", "b")), True),
        (types.Text(), types.Integer(64), False),
        (types.Text(), types.Bytes(), False),
        (types.Uuid(), types.Text(), False),
        (types.Date(), types.Timestamp(), False),
    ],
)
def test_which_types_hold_which(wide, narrow, holds_it):
    assert holds(wide, narrow) is holds_it
