"""What a record is: a change, a message beside the changes, or something that Debezium did not write."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import md5
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    Date,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    Time,
    Uuid,
)
from sqlalchemy.dialects.postgresql import BIT, HSTORE, JSONB, MONEY, TIMESTAMP

from cdc import types
from cdc.capture import CaptureSource
from cdc.declared import declared_from
from cdc.decode import Declared, Decoder
from cdc.message import UNCHANGED, Message, RowMessage, SideMessage, SourcePosition
from eventstore.errors import DeclarationError, Undecodable
from eventstore.model.record import Record

PLACEHOLDER = "__debezium_unavailable_value"
SOURCE = {
    "connector": "postgresql",
    "name": "shop",
    "ts_ms": 1767225600000,
    "snapshot": "false",
    "db": "shop",
    "sequence": '["10","12"]',
    "schema": "public",
    "table": "product",
    "txId": 7,
    "lsn": 12,
}
KEY_SCHEMA = {"type": "struct", "optional": False, "fields": [{"type": "string", "optional": False, "field": "sku"}]}
ROW_FIELDS = [
    {"type": "string", "optional": False, "field": "sku"},
    {
        **{"type": "bytes", "optional": True, "name": "org.apache.kafka.connect.data.Decimal", "field": "price"},
        "parameters": {"scale": "2", "connect.decimal.precision": "10"},
    },
]
SCHEMA = {
    "type": "struct",
    "fields": [
        {"type": "struct", "optional": True, "field": "before", "fields": ROW_FIELDS},
        {"type": "struct", "optional": True, "field": "after", "fields": ROW_FIELDS},
        {"type": "string", "field": "op"},
    ],
}
ROW = {"sku": "a", "price": "ZA=="}
DECLARED = {"public.product": {"price": types.Decimal(2)}}


def envelope(op: str = "c", *, before: Any = None, after: Any = ROW, source: Any = None, **more: Any) -> dict[str, Any]:
    return {"before": before, "after": after, "source": {**SOURCE, **(source or {})}, "op": op, **more}


def record(
    value: Any, key: Any = None, headers: Mapping[str, str] | None = None, topic: str = "shop.public.product"
) -> Record:
    def data(part: Any) -> bytes | None:
        return part if part is None or isinstance(part, bytes) else orjson.dumps(part)

    return Record(topic, 0, 41, data(key), data(value), headers or {})


def decode(record: Record, declared: Declared | None = None) -> Message:
    return Decoder(declared).decode(record)


def change(value: Any, *args: Any, **more: Any) -> RowMessage:
    message = decode(record(value, *args, **more), DECLARED)
    assert isinstance(message, RowMessage)
    return message


def wrapped(payload: Any, schema: Any = None) -> dict[str, Any]:
    return {"schema": SCHEMA if schema is None else schema, "payload": payload}


@pytest.mark.parametrize("value", [envelope(), wrapped(envelope())])
@pytest.mark.parametrize("key", [{"sku": "a"}, wrapped({"sku": "a"}, KEY_SCHEMA)])
def test_key_and_value_are_each_taken_as_they_come(key: Any, value: Any) -> None:
    message = change(value, key)
    assert (message.key, message.after) == ({"sku": "a"}, {"sku": "a", "price": Decimal("1.00")})


def test_a_value_wrapped_without_a_schema_is_unwrapped() -> None:
    assert change({"schema": None, "payload": envelope()}).after == {"sku": "a", "price": Decimal("1.00")}


def test_a_key_of_columns_called_schema_and_payload_is_no_wrapping() -> None:
    assert change(envelope(), {"schema": "public", "payload": 5}).key == {"schema": "public", "payload": 5}


def test_a_change_says_where_and_when_it_was_made() -> None:
    message = change(envelope(transaction={"id": "7:12", "total_order": 3, "data_collection_order": 1}))
    assert message.table == "public.product"
    assert message.position == SourcePosition(10, 12, 3)
    assert message.at == datetime(2026, 1, 1, tzinfo=UTC)
    assert message.transaction == "7"
    assert message.snapshot == "false"


def test_microseconds_of_the_source_are_taken_where_they_are() -> None:
    assert change(envelope(source={"ts_us": 1767225600000001})).at == datetime(2026, 1, 1, 0, 0, 0, 1, UTC)


def test_a_null_commit_counts_as_the_position_itself() -> None:
    assert change(envelope(source={"sequence": '[null,"12"]'})).position == SourcePosition(12, 12)


def test_without_transaction_metadata_the_transaction_is_the_sources() -> None:
    message = change(envelope())
    assert (message.transaction, message.position) == ("7", SourcePosition(10, 12, None))


@pytest.mark.parametrize(
    "source", [{"sequence": None}, {"connector": "mysql", "sequence": None}, {"connector": "oracle"}]
)
def test_connectors_without_a_sequence_have_no_position(source: dict[str, Any]) -> None:
    assert change(envelope(source=source)).position is None


@pytest.mark.parametrize(
    ("snapshot", "expected"), [(None, "false"), ("last", "last"), ("incremental", "incremental"), (True, "true")]
)
def test_a_snapshot_is_named(snapshot: Any, expected: str) -> None:
    assert change(envelope("r", source={"snapshot": snapshot})).snapshot == expected


def test_a_source_that_does_not_mention_snapshots_streams() -> None:
    source = {name: value for name, value in SOURCE.items() if name != "snapshot"}
    assert change({**envelope(), "source": source}).snapshot == "false"


def test_the_table_of_a_source_without_schemas_is_named_by_its_database() -> None:
    assert change(envelope(source={"connector": "mysql", "schema": None})).table == "shop.product"


def test_a_capture_tells_where_debezium_had_put_it() -> None:
    headers = {"capture.topic": "shop.public.product", "capture.partition": "3"}
    message = change(envelope(), None, headers, "capture:x")
    assert (message.topic, message.partition) == ("shop.public.product", 3)


def test_both_keys_of_a_re_key_come_from_headers() -> None:
    left = change(envelope("d", before=ROW, after=None), {"sku": "a"}, {"__debezium.newkey": '{"sku":"b"}'})
    arrived = change(envelope(), {"sku": "b"}, {"__debezium.oldkey": '{"sku":"a"}'})
    assert (left.key, left.new_key, left.old_key) == ({"sku": "a"}, {"sku": "b"}, None)
    assert (arrived.key, arrived.new_key, arrived.old_key) == ({"sku": "b"}, None, {"sku": "a"})


def test_a_key_in_a_header_may_come_with_its_schema() -> None:
    header = orjson.dumps(wrapped({"sku": "b"}, KEY_SCHEMA)).decode()
    assert change(envelope(), {"sku": "a"}, {"__debezium.oldkey": header}).old_key == {"sku": "b"}


def test_a_key_in_a_header_is_typed_as_the_key() -> None:
    schema = {"type": "struct", "fields": [{"type": "int32", "name": "io.debezium.time.Date", "field": "day"}]}
    message = change(envelope(), wrapped({"day": 0}, schema), {"__debezium.oldkey": '{"day":1}'})
    assert message.key is not None
    assert message.old_key is not None
    assert [str(message.key["day"]), str(message.old_key["day"])] == ["1970-01-01", "1970-01-02"]


def test_columns_come_from_the_schema() -> None:
    message = change(wrapped(envelope()), wrapped({"sku": "a"}, KEY_SCHEMA))
    assert [(c.name, c.type, c.optional) for c in message.columns or ()] == [
        ("sku", types.Text(), False),
        ("price", types.Decimal(2, 10), True),
    ]
    assert [c.name for c in message.key_columns or ()] == ["sku"]
    assert change(envelope()).columns is None


def test_columns_without_a_type_stay_as_json_has_them() -> None:
    assert change(envelope(after={"sku": "a", "price": None, "more": [1]})).after == {
        "sku": "a",
        "price": None,
        "more": [1],
    }


# ---------------------------------------------------------------- unchanged values


ENCODED = b64encode(PLACEHOLDER.encode()).decode()
UNCHANGED_UUID = str(UUID(bytes=md5(PLACEHOLDER.encode()).digest(), version=3))  # Java's nameUUIDFromBytes
SHAPES = [PLACEHOLDER, ENCODED, [PLACEHOLDER], {PLACEHOLDER: PLACEHOLDER}, f'{{"{PLACEHOLDER}":"{PLACEHOLDER}"}}']


@pytest.mark.parametrize("shape", [*SHAPES, list(PLACEHOLDER.encode()), [UNCHANGED_UUID]])
def test_a_column_without_a_type_is_unchanged_in_any_shape(shape: Any) -> None:
    message = decode(record(envelope("u", after={"sku": "a", "body": shape})))
    assert isinstance(message, RowMessage)
    assert message.after == {"sku": "a", "body": UNCHANGED}


@pytest.mark.parametrize(
    ("type_", "shape"),
    [
        (types.Text(), PLACEHOLDER),
        (types.Bytes(), ENCODED),
        (types.Json(), SHAPES[4]),
        (types.Array(types.Date()), [PLACEHOLDER]),
        (types.Array(types.Integer()), list(PLACEHOLDER.encode())),
        (types.Array(types.Date()), list(PLACEHOLDER.encode())),
        (types.Array(types.Uuid()), [UNCHANGED_UUID]),
        (types.Array(types.Bytes()), [ENCODED]),
        (types.Struct((), "Geometry"), {"wkb": "AQEAACDmEAAAAAAA/IPXl8EAAAD8g9eXwQ==", "srid": 4326}),
        (types.Map(types.Text()), {PLACEHOLDER: PLACEHOLDER}),
    ],
)
def test_a_column_with_a_type_is_unchanged_in_its_own_shape(type_: types.Type, shape: Any) -> None:
    decoder = Decoder({"public.product": {"body": type_}})
    message = decoder.decode(record(envelope("u", after={"sku": "a", "body": shape})))
    assert isinstance(message, RowMessage)
    assert message.after == {"sku": "a", "body": UNCHANGED}


def test_a_text_that_is_the_placeholder_in_base64_is_a_value() -> None:
    decoder = Decoder({"public.product": {"body": types.Text()}})
    message = decoder.decode(record(envelope("u", after={"body": ENCODED})))
    assert isinstance(message, RowMessage)
    assert message.after == {"body": ENCODED}


@pytest.mark.parametrize("op", ["c", "r"])
def test_a_new_row_cannot_have_unchanged_values(op: str) -> None:
    assert change(envelope(op, after={"sku": PLACEHOLDER, "price": None})).after == {"sku": PLACEHOLDER, "price": None}


def test_the_create_of_a_re_key_can() -> None:
    message = change(
        envelope(after={"sku": "b", "body": PLACEHOLDER}), {"sku": "b"}, {"__debezium.oldkey": '{"sku":"a"}'}
    )
    assert message.after == {"sku": "b", "body": UNCHANGED}


def test_a_column_of_the_key_is_never_unchanged() -> None:
    message = change(envelope("u", after={"sku": PLACEHOLDER, "body": PLACEHOLDER}), {"sku": PLACEHOLDER})
    assert message.after == {"sku": PLACEHOLDER, "body": UNCHANGED}


def test_a_before_never_has_unchanged_values() -> None:
    message = change(envelope("d", before={"sku": "a", "body": PLACEHOLDER}, after=None))
    assert message.before == {"sku": "a", "body": PLACEHOLDER}


@pytest.mark.parametrize("text", ["(unchanged)", 'a "quoted" é', "back\\slash"])
def test_the_placeholder_can_be_another(text: str) -> None:
    message = Decoder(placeholder=text).decode(record(envelope("u", after={"a": text, "b": PLACEHOLDER})))
    assert isinstance(message, RowMessage)
    assert message.after == {"a": UNCHANGED, "b": PLACEHOLDER}


# ---------------------------------------------------------------- beside the changes


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "tombstone"),
        (b"null", "tombstone"),
        ({"schema": None, "payload": None}, "tombstone"),
        ({"ts_ms": 1767225600000}, "heartbeat"),
        ({"status": "BEGIN", "id": "7:1", "event_count": None, "data_collections": None, "ts_ms": 1}, "transaction"),
        ({"status": "END", "id": "7:9", "event_count": 2, "data_collections": [], "ts_ms": 1}, "transaction"),
        ({"id": "1", "aggregate_type": "Initial Snapshot", "type": "STARTED", "additional_data": {}}, "notification"),
        ({"source": SOURCE, "databaseName": "shop", "ddl": "CREATE TABLE x()", "tableChanges": []}, "schema change"),
        (envelope("m", message={"prefix": "p", "content": "eA=="}), "message"),
    ],
)
@pytest.mark.parametrize("wrap", [False, True])
def test_messages_beside_the_changes_are_told_by_what_they_are(value: Any, kind: str, wrap: bool) -> None:
    if wrap and isinstance(value, dict) and "payload" not in value:
        value = wrapped(value)
    assert decode(record(value, topic="t")) == SideMessage(kind, "t")  # type: ignore[arg-type]


# ---------------------------------------------------------------- made by others


def refused(value: Any, **more: Any) -> Undecodable:
    with pytest.raises(Undecodable) as caught:
        decode(record(value, **more))
    assert caught.value.what
    assert caught.value.why
    assert caught.value.fix
    return caught.value


@pytest.mark.parametrize(
    "value",
    [
        {"sku": "a", "price": "ZA=="},
        {"sku": "a", "__deleted": "true", "__op": "d"},
        wrapped(ROW, {"type": "struct", "fields": ROW_FIELDS}),
    ],
)
def test_a_flattened_row_is_named(value: Any) -> None:
    error = refused(value)
    assert "flattened" in error.why
    assert "remove that transform" in error.fix


@pytest.mark.parametrize(
    ("value", "topic"),
    [
        ('{"id":42}', "orders"),
        ({"payload": '{"id":42}', "occurredAt": "2026-03-01T00:00:00Z"}, "outbox.event.order"),
    ],
)
def test_a_row_of_an_outbox_is_named(value: Any, topic: str) -> None:
    assert "outbox" in refused(value, topic=topic, headers={"id": "1111"}).why


def test_a_cloud_event_is_named() -> None:
    assert "CloudEvent" in refused({"specversion": "1.0", "id": "x", "data": {}, "iodebeziumop": "c"}).why


def test_a_document_of_mongodb_is_named() -> None:
    assert "MongoDB" in refused(envelope(after='{"_id": 1}')).why


def test_the_record_is_named() -> None:
    assert "shop.public.product[0]@41" in refused({"a": 1}).what


# ---------------------------------------------------------------- declared types


def test_types_are_taken_from_a_table() -> None:
    table = Table(
        "product",
        MetaData(),
        Column("sku", String, primary_key=True),
        Column("price", Numeric(14, 2)),
        Column("weight", Numeric()),
        Column("count", BigInteger),
        Column("born", Date),
        Column("opens", Time),
        Column("seen", DateTime),
        Column("seen_ms", TIMESTAMP(precision=3)),
        Column("at", DateTime(timezone=True)),
        Column("data", LargeBinary),
        Column("id", Uuid),
        Column("tags", ARRAY(Text)),
        Column("prices", ARRAY(Numeric(10, 2))),
        Column("doc", JSONB),
        Column("attributes", HSTORE),
        Column("money", MONEY),
        Column("flag", BIT(1)),
        Column("flags", BIT(8)),
        Column("days", ARRAY(Integer)),
    )
    assert declared_from(table) == {
        "sku": types.Text(),
        "price": types.Decimal(2, 14),
        "weight": types.VariableDecimal(),
        "count": types.Integer(),
        "born": types.Date(),
        "opens": types.Time(),
        "seen": types.Timestamp(),
        "seen_ms": types.Timestamp(1000),
        "at": types.ZonedTimestamp(),
        "data": types.Bytes(),
        "id": types.Uuid(),
        "tags": types.Array(types.Text()),
        "prices": types.Array(types.Decimal(2, 10)),
        "doc": types.Json(),
        "attributes": types.Json(),
        "money": types.Decimal(2),
        "flag": types.Boolean(),
        "flags": types.Bits(8),
        "days": types.Array(types.Integer()),
    }


def test_types_are_taken_from_tables_only() -> None:
    with pytest.raises(DeclarationError, match="no table"):
        declared_from(dict)


def test_declared_columns_need_not_be_there() -> None:
    assert change(envelope(after={"sku": "a"})).after == {"sku": "a"}


def test_a_message_is_read_the_same_through_what_was_remembered_of_its_topic() -> None:
    decoder = Decoder()
    rows = [{"sku": "a", "price": price} for price in ("ZA==", "AQ==", None)]
    messages = [decoder.decode(record(wrapped(envelope("u", before=ROW, after=row)))) for row in rows]
    afters = [message.after for message in messages if isinstance(message, RowMessage)]
    assert afters == [{"sku": "a", "price": price} for price in (Decimal("1.00"), Decimal("0.01"), None)]


def test_a_new_schema_of_a_topic_takes_the_place_of_the_remembered_one() -> None:
    decoder = Decoder()
    decoder.decode(record(wrapped(envelope())))
    fields = [*ROW_FIELDS, {"type": "int32", "optional": True, "field": "stock"}]
    schema = {**SCHEMA, "fields": [{"type": "struct", "field": "after", "fields": fields}]}
    message = decoder.decode(record(wrapped(envelope(after={**ROW, "stock": 5}), schema)))
    assert isinstance(message, RowMessage)
    assert [column.name for column in message.columns or ()] == ["sku", "price", "stock"]


# ---------------------------------------------------------------- real transformed streams

DATA = Path(__file__).parents[1] / "data"


def outcomes(file: str) -> dict[str, list[str]]:
    """For each topic what became of its messages: the kind of a side message, the op of a change, or why not."""
    decoder, found = Decoder(), dict[str, list[str]]()
    with CaptureSource(DATA / file) as source:
        for one in source.read({(source.topic, 0): 0}, 1_000):
            try:
                message = decoder.decode(one)
                told: str = message.op if isinstance(message, RowMessage) else message.kind
            except Undecodable as error:
                told = error.why
            found.setdefault(one.headers["capture.topic"], []).append(told)
    return found


@pytest.mark.parametrize("form", ["json-schema", "json-noschema"])
def test_a_real_outbox_stream_is_refused_but_for_its_tombstones(form: str) -> None:
    orders = outcomes(f"outbox/{form}.jsonl")["outbox.event.order"]
    assert "outbox table" in orders[0]
    assert orders[1] == "tombstone"


def test_a_real_flattened_stream_is_refused_but_for_what_is_not_flattened() -> None:
    found = outcomes("unwrap/json-schema.jsonl.gz")
    assert set(found["srv1.transaction"]) == {"transaction"}
    assert set(found["srv1.message"]) == {"message"}
    rows = [told for told in found["srv1.inv.cust_full"] if told != "tombstone"]
    assert rows
    assert all("flattened" in told for told in rows)
