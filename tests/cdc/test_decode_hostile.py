"""Whatever bytes arrive: a message, or Undecodable with a reason. Never another error, never a hang."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.decode import Decoder
from cdc.message import Message, RowMessage
from eventstore.errors import Undecodable
from eventstore.model.record import Record

SOURCE: dict[str, Any] = {
    **{"connector": "postgresql", "schema": "public", "table": "t", "ts_ms": 1, "snapshot": "false"},
    "sequence": '["1","2"]',
}
GOOD: dict[str, Any] = {"before": None, "after": {"id": 1}, "source": SOURCE, "op": "c", "transaction": None}
SCHEMA: dict[str, Any] = {
    "type": "struct",
    "fields": [{"type": "struct", "field": "after", "fields": [{"type": "int32", "field": "id"}]}],
}


def record(value: bytes | None, key: bytes | None = None, headers: dict[str, str] | None = None) -> Record:
    return Record("t", 0, 0, key, value, headers or {})


def decode(record: Record) -> Message:
    return Decoder().decode(record)


def why(value: Any, key: bytes | None = None, headers: dict[str, str] | None = None) -> str:
    data = value if isinstance(value, bytes) else orjson.dumps(value)
    started = time.monotonic()
    with pytest.raises(Undecodable) as caught:
        decode(record(data, key, headers))
    assert time.monotonic() - started < 5
    assert len(str(caught.value)) < 2_000
    return caught.value.why


DEEP = 100_000


@pytest.mark.parametrize(
    "value",
    [
        b"[" * DEEP,
        b"[" * DEEP + b"]" * DEEP,
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        b'{"op":"c","after":' + b"[" * DEEP + b"]" * DEEP + b"}",
        b'{"schema":' + b'{"type":"array","items":' * DEEP + b"1" + b"}" * DEEP + b',"payload":1}',
    ],
)
def test_json_nested_without_end_is_refused(value: bytes) -> None:
    assert "depth" in why(value)


def nested(depth: int, value: Any = 1) -> Any:
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("name", ["op", "before", "after", "source", "transaction"])
def test_json_nested_within_bounds_is_refused_where_it_does_not_belong(name: str) -> None:
    assert why(b'{"op":"c","' + name.encode() + b'":' + b"[" * 1000 + b"]" * 1000 + b"}")


def test_nesting_inside_a_row_is_bounded() -> None:
    message = decode(record(orjson.dumps({**GOOD, "after": {"id": nested(32)}})))
    assert isinstance(message, RowMessage)
    assert message.after == {"id": nested(32)}
    assert "nested" in why({**GOOD, "after": {"id": nested(33)}})


def test_the_reason_is_short_whatever_the_message() -> None:
    assert why({**GOOD, "after": {"x" * 100_000: nested(40)}})
    assert why({"schema": SCHEMA, "payload": {**GOOD, "after": {f"column-{n}": 1 for n in range(10_000)}}})
    assert why({**GOOD, "op": "x" * 100_000})


def test_a_schema_nested_beyond_reason_is_refused() -> None:
    schema: Any = {"type": "string"}
    for _ in range(100):
        schema = {"type": "array", "items": schema}
    assert "nested" in why({"schema": schema, "payload": 1})


def test_a_value_of_64_mib_is_refused_unread() -> None:
    assert "67,108,864 bytes" in why(b" " * (64 * 1024 * 1024))


def test_the_bound_can_be_moved() -> None:
    value = orjson.dumps({**GOOD, "after": {"id": "x" * 1000}})
    assert isinstance(Decoder(max_bytes=len(value)).decode(record(value)), RowMessage)
    with pytest.raises(Undecodable, match="most that is decoded"):
        Decoder(max_bytes=len(value) - 1).decode(record(value))


def test_a_key_is_bounded_too() -> None:
    with pytest.raises(Undecodable, match="key"):
        Decoder(max_bytes=500).decode(record(orjson.dumps(GOOD), b'{"id":"' + b"x" * 500 + b'"}'))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" ",
        b"\xff\xfe",
        b'{"a":"\xc3("}',
        b'"\\ud800"',
        b"{",
        b"nul",
        b"{}{}",
        b"NaN",
        b"\x00\x00\x00\x00\x01abc",
        b"1e999",
    ],
)
def test_what_is_no_json_is_refused(value: bytes) -> None:
    assert why(value)


@pytest.mark.parametrize("value", [1, True, "text", [], [GOOD], {}, {"a": 1}, {"schema": {}, "payload": GOOD}])
def test_json_of_another_kind_is_refused(value: Any) -> None:
    assert why(value)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"op": None}, "op"),
        ({"op": "x"}, "op"),
        ({"op": 1}, "op"),
        ({"op": ["c"]}, "op"),
        ({"op": "cu"}, "op"),
        ({"source": None}, "source"),
        ({"source": "s"}, "source"),
        ({"source": {}}, "table"),
        ({"source": {**SOURCE, "table": ""}}, "table"),
        ({"source": {**SOURCE, "table": 5}}, "table"),
        ({"source": {**SOURCE, "schema": ["a"]}}, "table"),
        ({"source": {**SOURCE, "sequence": "[1]"}}, "sequence"),
        ({"source": {**SOURCE, "sequence": '["a","b"]'}}, "sequence"),
        ({"source": {**SOURCE, "sequence": 5}}, "sequence"),
        ({"source": {**SOURCE, "sequence": "[null,null]"}}, "sequence"),
        ({"source": {**SOURCE, "sequence": "{}"}}, "sequence"),
        ({"source": {**SOURCE, "sequence": "[" * 2000}}, "sequence"),
        ({"source": {**SOURCE, "ts_ms": "now"}}, "time"),
        ({"source": {**SOURCE, "ts_ms": 2**62}}, "time"),
        ({"source": {**SOURCE, "ts_us": 1.5}}, "time"),
        ({"source": {**SOURCE, "snapshot": 3}}, "snapshot"),
        ({"source": {**SOURCE, "snapshot": []}}, "snapshot"),
        ({"transaction": "7"}, "transaction"),
        ({"transaction": {}}, "transaction"),
        ({"transaction": {"id": "7", "total_order": "1"}}, "transaction"),
        ({"transaction": {"id": 7, "total_order": 1}}, "transaction"),
        ({"after": None}, "after"),
        ({"after": 5}, "row"),
        ({"after": [1]}, "row"),
        ({"before": 5}, "row"),
        ({"op": "d"}, "after"),
        ({"op": "t"}, "after"),
    ],
)
def test_an_envelope_with_a_wrong_part_is_refused(changed: dict[str, Any], reason: str) -> None:
    assert reason in why({**GOOD, **changed})


@pytest.mark.parametrize("missing", ["source", "after", "op"])
def test_an_envelope_without_a_part_is_refused(missing: str) -> None:
    assert missing in why({name: value for name, value in GOOD.items() if name != missing})


@pytest.mark.parametrize("key", [b"", b"5", b'"a"', b"[]", b"{", b'{"schema":{"type":"int32"},"payload":5}'])
def test_a_key_that_is_no_row_is_refused(key: bytes) -> None:
    assert "its key" in why(GOOD, key)


@pytest.mark.parametrize("text", ["", "b", "5", "[" * 100_000, '{"id":'])
def test_a_header_that_is_no_key_is_refused(text: str) -> None:
    assert "__debezium.oldkey" in why(GOOD, b'{"id":1}', {"__debezium.oldkey": text})


def test_a_header_of_bytes_that_are_no_text_is_refused() -> None:
    assert "__debezium.newkey" in why(GOOD, b'{"id":1}', {"__debezium.newkey": '{"id":"\udcff"}'})


@pytest.mark.parametrize(
    ("schema", "after", "reason"),
    [
        ({"type": "struct"}, {"id": 1}, "fields"),
        ({"type": "struct", "fields": [{"type": "struct", "field": "after"}]}, {"id": 1}, "fields"),
        ({"type": 1}, {"id": 1}, "type"),
        (SCHEMA, {"id": "1"}, "column 'id'"),
        (SCHEMA, {}, "id"),
        (SCHEMA, {"id": 1, "more": 2}, "more"),
    ],
)
def test_a_schema_and_a_row_that_do_not_fit_are_refused(schema: Any, after: Any, reason: str) -> None:
    assert reason in why({"schema": schema, "payload": {**GOOD, "after": after}})


def test_of_a_name_written_twice_the_last_counts() -> None:
    text = orjson.dumps(GOOD).replace(b'"op":"c"', b'"op":"x","op":"c"')
    message = decode(record(text))
    assert isinstance(message, RowMessage)
    assert message.op == "c"


def test_what_was_remembered_of_a_topic_hides_nothing() -> None:
    decoder = Decoder()
    good = orjson.dumps({"schema": SCHEMA, "payload": GOOD})
    assert isinstance(decoder.decode(record(good)), RowMessage)
    for bad in (
        good[:-1],
        good + b"}",
        good[:-1] + b',"more":1}',
        good[:-1] + b',"payload":{"a":1}}',
        good[:-2] + b"]}",
    ):
        with pytest.raises(Undecodable):
            decoder.decode(record(bad))
    assert isinstance(decoder.decode(record(good)), RowMessage)


def test_a_schema_with_the_words_of_the_wrapping_in_it_is_read_right() -> None:
    decoder = Decoder()
    schema = {"doc": {"x": 1, "payload": 2}, **SCHEMA}
    for number in (1, 2):
        message = decoder.decode(record(orjson.dumps({"schema": schema, "payload": {**GOOD, "after": {"id": number}}})))
        assert isinstance(message, RowMessage)
        assert message.after == {"id": number}


def test_thousands_of_topics_do_not_fill_the_memory() -> None:
    decoder = Decoder()
    value = orjson.dumps({"schema": SCHEMA, "payload": GOOD})
    for number in range(2_500):
        decoder.decode(Record(f"topic-{number}", 0, 0, None, value))
    assert isinstance(decoder.decode(record(value)), RowMessage)


def test_names_made_of_sql_are_only_names() -> None:
    table = 'x"; DROP TABLE y; --'
    value = orjson.dumps({**GOOD, "source": {**SOURCE, "table": table}, "after": {table: 1}})
    message = decode(record(value))
    assert isinstance(message, RowMessage)
    assert (message.table, message.after) == (f"public.{table}", {table: 1})


def test_a_broken_line_of_a_capture_says_why() -> None:
    assert "line 7: no JSON" in why(b"garbage", None, {"capture.unparsable": "line 7: no JSON"})


json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from([*GOOD, *SOURCE, "id", "schema", "payload"]), json, st.booleans())
def test_any_json_in_any_place_is_a_message_or_refused(name: str, value: Any, wrap: bool) -> None:
    payload = {**GOOD, "source": {**SOURCE, **({name: value} if name in SOURCE else {})}}
    if name in GOOD:
        payload[name] = value
    if name == "id":
        payload["after"] = {"id": value}
    whole: Any = {"schema": SCHEMA, "payload": payload} if wrap else payload
    if name in ("schema", "payload"):
        whole = {"schema": SCHEMA, "payload": payload, name: value}
    try:
        data = orjson.dumps(whole)
    except orjson.JSONEncodeError:
        return  # half of a surrogate pair
    with contextlib.suppress(Undecodable):
        decode(record(data, orjson.dumps({"id": 1})))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    for value, key in ((data, None), (orjson.dumps(GOOD), data)):
        with contextlib.suppress(Undecodable):
            decode(record(value, key))
