"""The capture of ``base/`` decodes completely in both JSON forms, into the values of seed.sql and work.sql."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from cdc import types
from cdc.capture import CaptureSource
from cdc.decode import Decoder
from cdc.message import UNCHANGED, Message, RowMessage, SideMessage

DATA = Path(__file__).parents[1] / "data" / "base"
FORMS = ["with schema", "without schema"]
PLACEHOLDER = "__debezium_unavailable_value"


@cache
def messages(form: str) -> tuple[Message, ...]:
    if form == "with schema":
        return decoded("json-schema.jsonl.gz", Decoder())
    return decoded("json-noschema.jsonl.gz", Decoder(declared()))


def decoded(file: str, decoder: Decoder) -> tuple[Message, ...]:
    with CaptureSource(DATA / file) as source:
        return tuple(decoder.decode(record) for record in source.read({(source.topic, 0): 0}, 10_000))


def declared() -> dict[str, dict[str, types.Type]]:
    """What a user would declare: here taken from the schemas of the other form."""
    found: dict[str, dict[str, types.Type]] = {}
    for message in messages("with schema"):
        if isinstance(message, RowMessage):
            columns = found.setdefault(message.table, {})
            columns.update({column.name: column.type for column in message.columns or ()})
    found["inv.evolve"] = {"c": types.Decimal(3, 6)}  # the others change their type on the way
    return found


def changes(form: str, table: str, ops: str = "crudt") -> list[RowMessage]:
    return [m for m in messages(form) if isinstance(m, RowMessage) and m.table == f"inv.{table}" and m.op in ops]


def afters(form: str, table: str, ops: str = "crud") -> list[dict[str, Any]]:
    return [dict(m.after or {}) for m in changes(form, table, ops)]


@pytest.mark.parametrize("form", FORMS)
def test_every_message_is_decoded(form: str) -> None:
    kinds = Counter(m.kind if isinstance(m, SideMessage) else m.op for m in messages(form))
    assert kinds == {
        **{"r": 83, "c": 51, "u": 17, "d": 20, "t": 3},
        **{"transaction": 128, "tombstone": 20, "message": 4},
    }


def test_both_forms_decode_into_the_same_changes() -> None:
    def told(message: Message) -> Any:
        if isinstance(message, SideMessage):
            return message
        return repr([message.op, message.table, message.key, message.before, message.after, message.old_key])

    with_schema = [told(m) for m in messages("with schema")]
    without = [told(m) for m in messages("without schema")]
    snapshot = 58
    assert Counter(with_schema[:snapshot]) == Counter(without[:snapshot])  # in an order of its own
    assert with_schema[snapshot:] == without[snapshot:]


SEED = [
    {
        "c_bool": True,
        "c_si": -32768,
        "c_int": 2147483647,
        "c_big": 9223372036854775807,
        "c_real": 1.5,
        "c_dbl": -2.25e-300,
        "c_num": Decimal("12345678901234567890.123456789"),
        "c_num10_2": Decimal("-12345678.90"),
        "c_num38_0": Decimal("99999999999999999999999999999999999999"),
        "c_dec5": Decimal(-99999),
        "c_money": Decimal("1234.56"),
        "c_char": "ab   ",
        "c_vc": "héllo",
        "c_text": 'naïve “quotes” \\ back "dq" 😀',
        "c_citext": "CiText",
        "c_bytea": b"\xde\xad\xbe\xef\x00\xff",
        "c_bit1": True,
        "c_bit8": "10000011",
        "c_varbit": "101010101010",
        "c_date": date(2026, 2, 28),
        "c_time": time(23, 59, 59, 999999),
        "c_time3": time(12, 34, 56, 789000),
        "c_timetz": time(11, 51, 30, 123789, UTC),
        "c_ts": datetime(2026, 2, 28, 23, 59, 59, 123456),
        "c_ts0": datetime(2026, 2, 28, 23, 59, 59),
        "c_ts3": datetime(2026, 2, 28, 23, 59, 59, 123000),
        "c_tstz": datetime(2026, 2, 28, 18, 29, 59, 123456, UTC),
        "c_tstz3": datetime(2026, 2, 28, 23, 59, 59, 123000, UTC),
        # A year of 365.25 days and two months of 30.4375: Debezium's micros are an approximation.
        "c_intv": timedelta(days=365.25 + 2 * 30.4375 + 3, hours=4, minutes=5, seconds=6.789),
        "c_uuid": UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        "c_json": '{"a":1,  "a":2,"b":[1,2.50,null]}',
        "c_jsonb": '{"a": 1' + "0" * 400 + ', "b": [1, 2.50, null], "é": "ü"}',
        "c_xml": "<a>x</a>",
        "c_enum": "happy",
        "c_enum_arr": ["sad", "happy"],
        "c_hstore": '{"a":"1","b":null}',
        "c_ltree": "Top.Science",
        "c_isbn": b"978-0-393-04002-9",
        "c_inet": "192.168.0.1/24",
        "c_cidr": "10.0.0.0/8",
        "c_mac": "08:00:2b:01:02:03",
        "c_mac8": "08:00:2b:01:02:03:04:05",
        "c_point": {
            "x": 1.5,
            "y": -2.0,
            "wkb": bytes.fromhex("0101000000000000000000f83f00000000000000c0"),
            "srid": None,
        },
        "c_int4range": "[1,10)",
        "c_numrange": "[1.5,2.5]",
        "c_tstzrange": '["2026-01-01 00:00:00+00","2026-02-01 00:00:00+00")',
        "c_daterange": "[2026-01-01,2026-02-01)",
        "c_tsv": "'a' 'cat' 'fat' 'sat'",
        "c_tsq": b"'fat' & 'rat'",
        "c_oid": 123456,
        "c_int_arr": [1, None, -3],
        "c_big_arr": [9223372036854775807],
        "c_text_arr": ["a,b", 'c"d', None, ""],
        "c_num_arr": [Decimal("1.10"), Decimal("2.20"), None],
        "c_ts_arr": [datetime(2026, 1, 1, 0, 0, 0, 1), None],
        "c_tstz_arr": [datetime(2026, 1, 1, tzinfo=UTC)],
        "c_date_arr": [date(2026, 1, 1), None],
        "c_uuid_arr": [UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")],
        "c_bool_arr": [True, False, None],
        "c_jsonb_arr": ['{"a": 1}'],
        "c_bytea_arr": [b"\xde\xad"],
        "c_dbl_arr": [1.5, None],
        "c_dom": 5,
        "c_comp": b"(1,x)",
        "c_line": b"{1.0,2.0,3.0}",
        "c_box": b"(1.0,1.0),(0.0,0.0)",
        "c_poly": b"((0.0,0.0),(1.0,1.0),(1.0,0.0))",
        "c_circle": b"<(0.0,0.0),5.0>",
        "c_pg_lsn": b"16/B374D848",
        "c_int_arr2": [None, None],
        "Weird Col-Name": "weird",
    },
    {},
    {
        "c_big": -9223372036854775808,
        "c_real": 0.0,
        "c_dbl": 0.0,
        "c_num": Decimal(0),
        "c_num10_2": Decimal("0.00"),
        "c_num38_0": Decimal(0),
        "c_dec5": Decimal(0),
        "c_money": Decimal("-0.01"),
        "c_char": "     ",
        "c_text": "",
        "c_bytea": b"",
        "c_bit8": "00000000",
        "c_date": date(1969, 12, 31),
        "c_time": time(0, 0),
        "c_ts": datetime(1969, 12, 31, 23, 59, 59, 999999),
        "c_ts3": datetime(1900, 1, 1, 0, 0, 0, 1000),
        "c_tstz": datetime(1, 1, 1, tzinfo=UTC),
        "c_intv": -timedelta(days=30.4375 + 3, microseconds=1),
        "c_json": "null",
        "c_jsonb": "null",
        "c_hstore": "{}",
        "c_int_arr": [],
        "c_text_arr": [],
    },
    {
        "c_big": 9007199254740993,
        "c_real": 1.4e-45,
        "c_dbl": 1.7976931348623157e308,
        "c_num": Decimal("-0.0000000000000000000000000000001"),
        "c_num10_2": Decimal("-0.01"),
        "c_num38_0": Decimal(-1),
        "c_dec5": Decimal(1),
        "c_money": Decimal("-92233720368547758.08"),
        "c_char": "é    ",
        "c_text": "line1\nline2\ttab",
        "c_bytea": b"\x00",
        "c_bit8": "11111111",
        "c_date": date(9999, 12, 31),
        "c_time": "24:00:00",
        "c_ts": datetime(9999, 12, 31, 23, 59, 59, 999999),
        "c_ts3": datetime(2038, 1, 19, 3, 14, 8),
        "c_tstz": datetime(9999, 12, 31, 23, 59, 59, 999999, UTC),
        "c_intv": timedelta(microseconds=2**63 - 1),  # 178,000,000 years, cut by the source
        "c_json": "3.140",
        "c_jsonb": '"str"',
        "c_hstore": '{"k":""}',
        "c_int_arr": [2147483647, -2147483648],
        "c_text_arr": [None],
    },
    {
        "c_big": 1,
        "c_real": math.nan,
        "c_dbl": math.nan,
        "c_num": Decimal("1e20"),
        "c_num10_2": Decimal("99999999.99"),
        "c_num38_0": Decimal("-99999999999999999999999999999999999999"),
        "c_dec5": Decimal(42),
        "c_money": Decimal("0.00"),
        "c_char": "abcde",
        "c_text": "NULL",
        "c_bytea": b"\xff",
        "c_bit8": "00000001",
        "c_date": "-4712-01-01",
        "c_time": time(12, 0),
        "c_ts": "-4712-01-01T00:00:00",
        "c_ts3": datetime(1, 1, 1),
        "c_tstz": "-4712-01-02T00:00:00.000000Z",
        "c_intv": timedelta(0),
        "c_json": "[]",
        "c_jsonb": "[]",
        "c_hstore": '{"k":"v"}',
        "c_int_arr": [0],
        "c_text_arr": ["null"],
    },
    {
        "c_big": 2,
        "c_real": math.inf,
        "c_dbl": -math.inf,
        "c_num": Decimal("0.00001"),
        "c_num10_2": Decimal("1.00"),
        "c_num38_0": Decimal(1),
        "c_dec5": Decimal(1),
        "c_money": Decimal("1.00"),
        "c_char": "x    ",
        "c_text": "x",
        "c_bytea": b"\x01",
        "c_bit8": "00000010",
        "c_date": "infinity",
        "c_time": time(12, 0),
        "c_ts": "infinity",
        "c_ts3": "infinity",
        "c_tstz": "infinity",
        "c_intv": timedelta(days=1),
        "c_json": "{}",
        "c_jsonb": "{}",
        "c_hstore": '{"k":"v"}',
        "c_int_arr": [1],
        "c_text_arr": ["a"],
    },
    {
        "c_big": 3,
        "c_real": 0.0,
        "c_dbl": 0.0,
        "c_num": Decimal("100.00"),
        "c_num10_2": Decimal("1.50"),
        "c_num38_0": Decimal(10),
        "c_dec5": Decimal(10),
        "c_money": Decimal("1.00"),
        "c_char": "x    ",
        "c_text": PLACEHOLDER,  # really the row's text
        "c_bytea": b"\x01",
        "c_bit8": "00000010",
        "c_date": "-infinity",
        "c_time": time(12, 0),
        "c_ts": "-infinity",
        "c_ts3": "-infinity",
        "c_tstz": "-infinity",
        "c_intv": timedelta(days=30.4375),
        "c_json": "{}",
        "c_jsonb": "{}",
        "c_hstore": '{"k":"v"}',
        "c_int_arr": [1],
        "c_text_arr": ["a"],
    },
]


def same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and (a == b or (a != a and b != b))


@pytest.mark.parametrize("row", range(7))
@pytest.mark.parametrize("op", ["r", "c"])
@pytest.mark.parametrize("form", FORMS)
def test_every_column_of_every_type_has_the_value_that_was_inserted(form: str, op: str, row: int) -> None:
    after = afters(form, "all_types", op)[row]
    expected: dict[str, Any] = dict.fromkeys(after) | SEED[row] | {"id": row + 1 if op == "r" else row + 8, "select": 7}
    if op == "r":
        expected["c_gen"] = 4294967294 if row == 0 else None  # generated columns are in snapshots only
    if op == "r" and row == 4:
        expected["c_date"] = date(4713, 1, 1)  # the snapshot of Debezium 3.6.3 loses the era
    assert after.keys() == expected.keys()
    wrong = {name: (after[name], value) for name, value in expected.items() if not same(after[name], value)}
    assert not wrong


@pytest.mark.parametrize("form", FORMS)
def test_generated_columns_are_in_snapshots_only(form: str) -> None:
    assert all("c_gen" in row for row in afters(form, "all_types", "r"))
    assert not any("c_gen" in row for row in afters(form, "all_types", "cu"))


@pytest.mark.parametrize("form", FORMS)
def test_an_update_of_a_row_of_every_type(form: str) -> None:
    (update,) = changes(form, "all_types", "u")
    assert update.before is None
    assert dict(update.after or {}) == {
        **dict.fromkeys(update.after or ()),
        **SEED[0],
        "id": 1,
        "select": 7,
        "c_int": 7,
    }


START = datetime(2026, 1, 1, 0, 0, 0, 1, UTC)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)


def cust(id: int, name: str, email: str | None, balance: str | None, updated_at: datetime | None) -> dict[str, Any]:
    amount = None if balance is None else Decimal(balance)
    return {"id": id, "name": name, "email": email, "balance": amount, "updated_at": updated_at}


SEEDED = [cust(i, f"Cust {i}", f"c{i}@ex.org", f"{i * 1.5:.4f}", START) for i in range(1, 6)]


@pytest.mark.parametrize("table", ["cust_default", "cust_full"])
@pytest.mark.parametrize("form", FORMS)
def test_customers_are_snapshot_as_they_were_seeded(form: str, table: str) -> None:
    assert afters(form, table, "r") == SEEDED
    assert {message.snapshot for message in changes(form, table, "r")} <= {
        *("true", "first", "last", "first_in_data_collection", "last_in_data_collection")
    }


@pytest.mark.parametrize("form", FORMS)
def test_customers_with_the_default_identity(form: str) -> None:
    created, emailed, deleted, same_name, left, arrived = changes(form, "cust_default", "cud")[:6]
    assert created.after == cust(100, "New", None, "1.0000", MARCH)
    assert (emailed.before, emailed.after) == (None, {**SEEDED[0], "email": "a@b.c"})
    # What is not the key's is made up.
    assert deleted.before == cust(2, "", None, "0", datetime(1970, 1, 1, tzinfo=UTC))
    assert same_name.after == SEEDED[2]
    assert (left.key, left.new_key, left.old_key) == ({"id": 3}, {"id": 333}, None)
    assert (arrived.key, arrived.new_key, arrived.old_key) == ({"id": 333}, None, {"id": 3})
    assert arrived.after == {**SEEDED[2], "id": 333}
    assert left.position is not None
    assert arrived.position is not None
    assert left.position[:2] == arrived.position[:2]
    assert (left.position.order, arrived.position.order) == (1, 2)


@pytest.mark.parametrize("form", FORMS)
def test_customers_with_the_full_identity_have_a_before(form: str) -> None:
    _, emailed, deleted, left, arrived = changes(form, "cust_full", "cud")[:5]
    assert (emailed.before, emailed.after) == (SEEDED[0], {**SEEDED[0], "email": "a@b.c"})
    assert (deleted.before, deleted.after) == (SEEDED[1], None)
    assert (left.before, left.new_key) == (SEEDED[2], {"id": 333})
    assert arrived.old_key == {"id": 3}


@pytest.mark.parametrize("form", FORMS)
def test_keys_swapped_in_a_transaction(form: str) -> None:
    moves = changes(form, "cust_full", "cd")[-6:]
    told = [(m.op, dict(m.key or {})["id"], dict(m.new_key or m.old_key or {})["id"]) for m in moves]
    assert told == [("d", 4, -1), ("c", -1, 4), ("d", 5, 4), ("c", 4, 5), ("d", -1, 5), ("c", 5, -1)]


@pytest.mark.parametrize("form", FORMS)
def test_rows_made_and_unmade_in_a_transaction(form: str) -> None:
    made = [m for m in changes(form, "cust_default") if m.key == {"id": 200}]
    names = [(m.op, (m.after or m.before or {})["name"]) for m in made]
    assert names == [("c", "a"), ("u", "b"), ("d", ""), ("c", "c")]
    assert [m.position.order for m in made if m.position] == [1, 2, 3, 4]
    assert len({m.transaction for m in made}) == 1


def doc(id: int, title: str, body: Any, **columns: Any) -> dict[str, Any]:
    whole = {
        "id": id,
        "title": title,
        "body": body,
        "tags": [f"tag{n}" for n in range(1, 1501)],
        "blob": b"\xab" * 9000,
        "meta": '{"k": "' + "z" * 9000 + '"}',
        "h": '{"k":"' + "y" * 9000 + '"}',
    }
    return whole | columns


@pytest.mark.parametrize("form", FORMS)
def test_long_values_are_whole_in_a_snapshot(form: str) -> None:
    assert afters(form, "docs_default", "r") == [doc(n, f"doc{n}", f"body-{n}-" * 2000) for n in (1, 2)]


@pytest.mark.parametrize("form", FORMS)
def test_unchanged_values_of_every_shape_are_told_from_values(form: str) -> None:
    unchanged: dict[str, Any] = dict.fromkeys(["blob", "meta", "h"], UNCHANGED)
    updates = afters(form, "docs_default", "u")
    assert updates == [
        doc(1, "t2", UNCHANGED, tags=UNCHANGED, **unchanged),
        doc(1, "t2", "new-" * 3000, tags=UNCHANGED, **unchanged),
        doc(1, "t2", "short", tags=[], **unchanged),
        doc(1, "t2", None, tags=[], **unchanged),
    ]


@pytest.mark.parametrize("form", FORMS)
def test_the_create_after_a_change_of_the_key_has_unchanged_values(form: str) -> None:
    (created,) = changes(form, "docs_default", "c")
    assert created.old_key == {"id": 1}
    assert created.after == doc(9, "t2", None, tags=[], blob=UNCHANGED, meta=UNCHANGED, h=UNCHANGED)


@pytest.mark.parametrize("form", FORMS)
def test_the_full_identity_leaves_nothing_out(form: str) -> None:
    first, second = changes(form, "docs_full", "u")
    whole = {"id": 1, "title": "doc1", "body": "body-1-" * 2000, "meta": '{"k": "' + "z" * 9000 + '"}'}
    assert (first.before, first.after) == (whole, {**whole, "title": "t2"})
    assert (second.before, second.after) == (first.after, {**whole, "title": "t2", "body": "short"})


@pytest.mark.parametrize("form", FORMS)
def test_tables_without_a_key_have_none(form: str) -> None:
    rows = changes(form, "nopk_full")
    assert all(message.key is None for message in rows)
    assert [(m.op, m.before, m.after) for m in rows if m.op in "cud"] == [
        ("c", None, {"a": 2, "b": "two"}),
        ("u", {"a": 1, "b": "one"}, {"a": 1, "b": "ONE"}),
        ("d", {"a": 1, "b": "one"}, None),
        ("d", {"a": 1, "b": "ONE"}, None),
    ]
    assert [(m.key, m.after) for m in changes(form, "nopk_ins")] == [(None, {"a": 1, "b": "i"})]


@pytest.mark.parametrize("form", FORMS)
def test_a_unique_column_is_the_key_of_a_table_without_one(form: str) -> None:
    rows = changes(form, "uidx", "rcud")
    assert [(m.op, m.key) for m in rows] == [
        *[("r", {"a": 1}), ("u", {"a": 1}), ("d", {"a": 1}), ("c", {"a": 2}), ("d", {"a": 2})]
    ]


@pytest.mark.parametrize("form", FORMS)
def test_a_truncate_is_of_a_whole_table(form: str) -> None:
    truncates = [m for m in messages(form) if isinstance(m, RowMessage) and m.op == "t"]
    assert [(m.table, m.key, m.before, m.after) for m in truncates] == [
        (f"inv.{table}", None, None, None) for table in ("uidx", "orders", "order_items")
    ]
    (orders, items) = truncates[1:]
    assert orders.position is not None
    assert items.position is not None
    assert orders.position[:2] == items.position[:2]
    assert orders.position < items.position


@pytest.mark.parametrize("form", FORMS)
def test_orders_of_several_tables_in_a_transaction(form: str) -> None:
    created = [m for m in changes(form, "orders", "c") if m.key == {"id": 2, "region": "eu"}]
    assert [dict(m.after or {}) for m in created] == [
        {"id": 2, "region": "eu", "customer_id": 1, "total": Decimal("99.99"), "status": "happy"}
    ]
    items = afters(form, "order_items", "c")
    assert items == [
        {"order_id": 2, "line": 1, "sku": "sku-1", "qty": 1},
        {"order_id": 2, "line": 2, "sku": "sku-2", "qty": 3},
    ]
    (update,) = changes(form, "orders", "u")
    assert update.after == {"id": 2, "region": "eu", "customer_id": 1, "total": Decimal("99.99"), "status": "sad"}
    assert update.transaction == created[0].transaction == changes(form, "order_items", "c")[0].transaction


@pytest.mark.parametrize("form", FORMS)
def test_what_was_rolled_back_never_shows(form: str) -> None:
    keys = {dict(m.key or {}).get("id") for m in changes(form, "orders", "c")}
    assert keys == {1, 2, 4, 6, 7, 8}


@pytest.mark.parametrize("form", FORMS)
def test_a_table_changes_its_shape_on_the_way(form: str) -> None:
    assert afters(form, "evolve") == [
        {"id": 1, "a": "a1"},
        {"id": 2, "a": "a2", "b": 6},
        {"id": 1, "a": "x", "b": 5},
        {"id": 3, "a_new": "a3", "b": 7},
        {"id": 4, "a_new": "a4", "b": 5000000000},
        {"id": 5, "a_new": "a5", "b": "txt"},
        {"id": 6, "a_new": "a6"},
        {"id": 7, "a_new": "a7", "c": Decimal("1.500")},
    ]


def test_a_new_shape_shows_in_the_columns_of_its_message() -> None:
    kinds = [[type(column.type) for column in m.columns or ()] for m in changes("with schema", "evolve")]
    assert kinds[0] == [types.Integer, types.Text]
    assert kinds[-1] == [types.Integer, types.Text, types.Decimal]


@pytest.mark.parametrize("form", FORMS)
def test_rows_of_a_partitioned_table(form: str) -> None:
    row = {"id": 3, "d": date(2025, 7, 1), "v": "p3"}
    created, moved, *_ = changes(form, "part_2025", "cd")
    assert created.after == row
    assert moved.key == {"id": 3, "d": date(2025, 7, 1)}
    assert afters(form, "part_2026", "c") == [{**row, "d": date(2026, 7, 1)}]
    assert len(changes(form, "part", "r")) == 2  # a snapshot has the root's rows and the partitions'


@pytest.mark.parametrize("form", FORMS)
def test_an_incremental_snapshot_interleaves_with_live_changes(form: str) -> None:
    rows = changes(form, "bigsnap")
    assert [m.snapshot for m in rows].count("incremental") == 25
    assert [m.after for m in rows if m.op == "u"] == [{"id": 3, "v": "during"}]


@pytest.mark.parametrize("form", FORMS)
def test_outbox_rows_are_ordinary_without_the_router(form: str) -> None:
    created = changes(form, "outbox", "c")[0]
    assert created.after == {
        "id": UUID("11111111-1111-1111-1111-111111111111"),
        "aggregatetype": "order",
        "aggregateid": "42",
        "type": "OrderCreated",
        "payload": '{"id": 42, "lines": [{"qty": 1, "sku": "x"}]}',
        "tenant": "acme",
        "ts": MARCH,
    }


@pytest.mark.parametrize("form", FORMS)
def test_positions_of_live_changes_rise_strictly(form: str) -> None:
    positions = [m.position for m in messages(form) if isinstance(m, RowMessage) and m.op in "cudt"]
    assert all(position is not None for position in positions)
    assert positions == sorted(set(positions), key=lambda p: p or (0, 0))


@pytest.mark.parametrize("form", FORMS)
def test_a_position_without_a_commit_counts_its_own(form: str) -> None:
    first = changes(form, "all_types", "r")[0]
    assert first.snapshot == "first"
    assert first.position is not None
    assert first.position.commit == first.position.lsn
    assert first.position.order is None


def test_keys_are_typed_by_their_own_schema() -> None:
    (order,) = changes("with schema", "orders", "r")
    assert [(column.name, column.type) for column in order.key_columns or ()] == [
        *[("id", types.Integer(32)), ("region", types.Text())]
    ]
    (order,) = changes("without schema", "orders", "r")
    assert order.key_columns is None
