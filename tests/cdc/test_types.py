"""Every logical type decodes into its Python value, loses nothing, and refuses what it does not write."""

from __future__ import annotations

import math
import time as clock
from base64 import b64encode
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc import types
from cdc.connect import split_allowed, type_of
from cdc.types import MICROS, MILLIS, NANOS, Type

_EPOCH = datetime(1970, 1, 1)


def schema(type: str, name: str = "", **parameters: str) -> dict[str, Any]:
    return {"type": type, **({"name": name} if name else {}), **({"parameters": parameters} if parameters else {})}


CONNECT, TIME, DATA = "org.apache.kafka.connect.data.", "io.debezium.time.", "io.debezium.data."
POINT = {
    "type": "struct",
    "name": "io.debezium.data.geometry.Point",
    "fields": [
        {"type": "double", "field": "x"},
        {"type": "double", "field": "y"},
        {"type": "bytes", "optional": True, "field": "wkb"},
        {"type": "int32", "optional": True, "field": "srid"},
    ],
}
SPARSE = {
    "type": "struct",
    "name": "io.debezium.data.vector.SparseDoubleVector",
    "fields": [
        {"type": "int16", "field": "dimensions"},
        {"type": "map", "field": "vector", "keys": {"type": "int16"}, "values": {"type": "double"}},
    ],
}


@pytest.mark.parametrize(
    ("described", "raw", "value"),
    [
        (schema("boolean"), True, True),
        (schema("int16"), -32768, -32768),
        (schema("int64"), 2**63 - 1, 2**63 - 1),
        (schema("double"), 1.5, 1.5),
        (schema("double"), 2, 2.0),
        (schema("float"), "Infinity", math.inf),
        (schema("string"), "naïve", "naïve"),
        (schema("bytes"), "3q0=", b"\xde\xad"),
        (schema("bytes", CONNECT + "Decimal", scale="2"), "tmn9Lg==", Decimal("-12345678.90")),
        (schema("bytes", CONNECT + "Decimal", scale="-2"), "AQ==", Decimal(100)),
        (schema("struct", DATA + "VariableScaleDecimal"), {"scale": 31, "value": "/w=="}, Decimal("-1E-31")),
        (schema("int32", CONNECT + "Date"), 20512, date(2026, 2, 28)),
        (schema("int32", CONNECT + "Time"), 45296789, time(12, 34, 56, 789000)),
        (schema("int64", CONNECT + "Timestamp"), 1772323199123, datetime(2026, 2, 28, 23, 59, 59, 123000)),
        (schema("int32", TIME + "Date"), -1, date(1969, 12, 31)),
        (schema("int32", TIME + "Date"), -719162, date(1, 1, 1)),
        (schema("int32", TIME + "Date"), -719163, "0000-12-31"),
        (schema("int32", TIME + "Date"), 2932897, "+10000-01-01"),
        (schema("int32", TIME + "Date"), -2440550, "-4712-01-01"),
        (schema("int32", TIME + "Date"), -2147472692, "infinity"),  # streamed
        (schema("int32", TIME + "Date"), -2147472691, "-infinity"),
        (schema("int32", TIME + "Date"), -622191234, "infinity"),  # in a snapshot
        (schema("int32", TIME + "Date"), -625821272, "-infinity"),
        (schema("int32", TIME + "Time"), 86399999, time(23, 59, 59, 999000)),
        (schema("int64", TIME + "MicroTime"), 1, time(0, 0, 0, 1)),
        (schema("int64", TIME + "MicroTime"), 86400000000, "24:00:00"),
        (schema("int64", TIME + "MicroTime"), -3020399000000, "-838:59:59"),
        (schema("int64", TIME + "NanoTime"), 1000, time(0, 0, 0, 1)),
        (schema("int64", TIME + "NanoTime"), 1001, "00:00:00.000001001"),
        (schema("int64", TIME + "Timestamp"), -1, datetime(1969, 12, 31, 23, 59, 59, 999000)),
        (schema("int64", TIME + "Timestamp"), 9223372036825200, "infinity"),
        (schema("int64", TIME + "MicroTimestamp"), -1, datetime(1969, 12, 31, 23, 59, 59, 999999)),
        (schema("int64", TIME + "MicroTimestamp"), 9223372036825200000, "infinity"),
        (schema("int64", TIME + "MicroTimestamp"), -9223372036832400000, "-infinity"),
        (schema("int64", TIME + "MicroTimestamp"), -210863520000000000, "-4712-01-01T00:00:00"),
        (schema("int64", TIME + "MicroTimestamp"), 253402300800000001, "+10000-01-01T00:00:00.000001"),
        (schema("int64", TIME + "NanoTimestamp"), 1_000, datetime(1970, 1, 1, 0, 0, 0, 1)),
        (schema("int64", TIME + "NanoTimestamp"), 1_001, "1970-01-01T00:00:00.000001001"),
        (schema("string", TIME + "ZonedTimestamp"), "2026-01-01T05:30:00+05:30", datetime(2026, 1, 1, tzinfo=UTC)),
        (schema("string", TIME + "ZonedTimestamp"), "infinity", "infinity"),
        (schema("string", TIME + "ZonedTimestamp"), "-4712-01-02T00:00:00.000000Z", "-4712-01-02T00:00:00.000000Z"),
        (schema("string", TIME + "ZonedTimestamp"), "2026-01-01T00:00:00.1234567Z", "2026-01-01T00:00:00.1234567Z"),
        (
            schema("string", TIME + "ZonedTimestamp"),
            "2026-01-01T00:00:00.1234560Z",
            datetime(2026, 1, 1, 0, 0, 0, 123456, UTC),
        ),
        (schema("string", TIME + "ZonedTimestamp"), "0001-01-01T00:00:00+05:00", "0001-01-01T00:00:00+05:00"),
        (schema("string", TIME + "ZonedTime"), "11:51:30.123789Z", time(11, 51, 30, 123789, UTC)),
        (schema("string", TIME + "ZonedTime"), "24:00:00Z", "24:00:00Z"),
        (schema("string", TIME + "IsoDate"), "2026-02-28Z", date(2026, 2, 28)),
        (schema("string", TIME + "IsoTime"), "10:15:30.123Z", time(10, 15, 30, 123000)),
        (schema("string", TIME + "IsoTimestamp"), "2026-02-28T10:15:30Z", datetime(2026, 2, 28, 10, 15, 30)),
        (schema("int64", TIME + "MicroDuration"), -1, timedelta(microseconds=-1)),
        (schema("string", TIME + "Interval"), "P1Y2M3DT4H5M6.789S", "P1Y2M3DT4H5M6.789S"),
        (schema("int32", TIME + "Year"), 2026, 2026),
        (schema("bytes", DATA + "Bits", length="12"), "qgo=", "101010101010"),
        (schema("bytes", DATA + "Bits", length="12"), "AQ==", "000000000001"),  # zero bytes trimmed
        (schema("bytes", DATA + "Bits", length="8"), "", "00000000"),
        (schema("bytes", DATA + "Bits", length="2147483647"), "AQ==", "00000001"),  # bit varying without a limit
        (schema("string", DATA + "Json"), '{"a":1e400, "a":2}', '{"a":1e400, "a":2}'),
        (schema("string", DATA + "Xml"), "<a/>", "<a/>"),
        (
            schema("string", DATA + "Uuid"),
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ),
        (schema("string", DATA + "Ltree"), "Top.Science", "Top.Science"),
        (schema("string", DATA + "Tsvector"), "'a' 'cat'", "'a' 'cat'"),
        (schema("string", DATA + "Enum", allowed="sad,ok"), "ok", "ok"),
        (schema("string", DATA + "EnumSet", allowed="a,b"), "a,b", "a,b"),
        (
            POINT,
            {"x": 1.5, "y": -2.0, "wkb": "AQE=", "srid": None},
            {"x": 1.5, "y": -2.0, "wkb": b"\x01\x01", "srid": None},
        ),
        (SPARSE, {"dimensions": 3, "vector": [[1, 0.5]]}, {"dimensions": 3, "vector": [[1, 0.5]]}),
        (
            {"type": "array", "items": schema("bytes", CONNECT + "Decimal", scale="1")},
            ["Cw==", None],
            [Decimal("1.1"), None],
        ),
        ({"type": "array", "items": {"type": "array", "items": schema("int32")}}, [None, None], [None, None]),
        (
            {"type": "map", "keys": schema("string"), "values": schema("string")},
            {"a": "1", "b": None},
            {"a": "1", "b": None},
        ),
        (schema("string", "com.example.Unheard"), "as it is", "as it is"),
    ],
)
def test_a_value_of_each_type(described: dict[str, Any], raw: Any, value: Any) -> None:
    decoded = type_of(described).decode(raw)
    assert decoded == value
    assert type(decoded) is type(value)


@pytest.mark.parametrize(
    ("raw", "value"),
    [("NAN", "NaN"), ("POSITIVE_INFINITY", "Infinity"), ("NEGATIVE_INFINITY", "-Infinity"), ("1.10", "1.10")],
)
def test_decimals_in_string_mode(raw: str, value: str) -> None:
    assert str(types.DecimalText().decode(raw)) == value


@pytest.mark.parametrize(("raw", "value"), [(1.1, "1.1"), (3, "3"), ("NaN", "NaN"), ("-Infinity", "-Infinity")])
def test_decimals_in_double_mode(raw: Any, value: str) -> None:
    assert str(types.VariableDecimal().decode(raw)) == value


def test_the_scale_of_a_decimal_is_kept() -> None:
    assert str(types.Decimal(2).decode("ZA==")) == "1.00"


def test_commas_of_an_enum_are_escaped() -> None:
    assert split_allowed(r"a,b\,c,\\") == ("a", "b,c", "\\")
    assert type_of(schema("string", DATA + "Enum", allowed=r"x\,y,z")) == types.Text("Enum", ("x,y", "z"))


@pytest.mark.parametrize(
    ("type_", "raw"),
    [
        (types.Boolean(), 1),
        (types.Integer(), True),
        (types.Integer(), 1.5),
        (types.Float(), "1.5"),
        (types.Text(), 5),
        (types.Bytes(), "not base64!"),
        (types.Bytes(), "é"),
        (types.Decimal(2), "A"),
        (types.Decimal(2), [[]]),
        (types.VariableDecimal(), {"scale": "2", "value": "AQ=="}),
        (types.VariableDecimal(), {"scale": 2}),
        (types.VariableDecimal(), {"scale": 10**9, "value": "AQ=="}),
        (types.DecimalText(), "one"),
        (types.Date(), "2026-01-01"),
        (types.IsoDate(), "yesterday"),
        (types.ZonedTimestamp(), "2026-01-01T00:00:00"),
        (types.ZonedTimestamp(), "noon"),
        (types.Uuid(), "a0eebc99"),
        (types.Array(types.Integer()), {"0": 1}),
        (types.Array(types.Integer()), ["1"]),
        (types.Map(types.Text()), []),
        (types.Pairs(types.Integer(), types.Text()), [[1]]),
        (types.Struct((("x", types.Float()),)), "x"),
    ],
)
def test_what_a_type_does_not_write_is_refused(type_: Type, raw: Any) -> None:
    with pytest.raises(ValueError):
        type_.decode(raw)


@pytest.mark.parametrize(
    "described",
    [
        None,
        {},
        {"type": 5},
        {"type": "unknown"},
        {"type": "array"},
        {"type": "map", "keys": {"type": "string"}},
        {"type": "struct"},
        {"type": "struct", "fields": [{"type": "string"}]},
        {"type": "struct", "fields": [{"type": "string", "field": "a"}, {"type": "int32", "field": "a"}]},
        schema("bytes", CONNECT + "Decimal"),
        schema("bytes", CONNECT + "Decimal", scale="two"),
        schema("bytes", CONNECT + "Decimal", scale="999999999"),
    ],
)
def test_a_schema_that_says_nothing_is_refused(described: Any) -> None:
    with pytest.raises(ValueError):
        type_of(described)


def test_a_schema_nested_without_end_is_refused() -> None:
    described: dict[str, Any] = {"type": "string"}
    for _ in range(400):
        described = {"type": "array", "items": described}
    with pytest.raises(ValueError, match="nested"):
        type_of(described)


def test_a_number_of_a_million_digits_is_refused_at_once() -> None:
    started = clock.monotonic()
    with pytest.raises(ValueError, match="no number"):
        types.Decimal(0).decode(b64encode(b"\x7f" * 415_000).decode())
    assert clock.monotonic() - started < 1


@given(st.integers(-(10**60), 10**60), st.integers(-20, 40))
def test_any_decimal_comes_back(digits: int, scale: int) -> None:
    raw = b64encode(digits.to_bytes(digits.bit_length() // 8 + 1, "big", signed=True)).decode()
    expected = Decimal(f"{digits}E{-scale}")
    assert types.Decimal(scale).decode(raw) == expected
    assert types.VariableDecimal().decode({"scale": scale, "value": raw}) == expected


@given(st.integers(500, 3000), st.booleans())
def test_the_longest_numbers_come_back(length: int, negative: bool) -> None:
    number = -int("7" * length) if negative else int("7" * length)
    raw = b64encode(number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)).decode()
    assert str(types.Decimal(0).decode(raw)) == str(number)


@given(st.text("01", min_size=1, max_size=200), st.booleans())
def test_any_bits_come_back(bits: str, trimmed: bool) -> None:
    data = int(bits, 2).to_bytes((len(bits) + 7) // 8, "little")
    raw = b64encode(data.rstrip(b"\0") if trimmed else data).decode()
    assert types.Bits(len(bits)).decode(raw) == bits


@given(st.dates())
def test_any_date_comes_back(day: date) -> None:
    assert types.Date().decode((day - date(1970, 1, 1)).days) == day


@given(st.integers(-(2**31), 2**31 - 1))
def test_days_beyond_python_are_told_apart(days: int) -> None:
    value = types.Date().decode(days)
    assert value != types.Date().decode(days + 1)
    assert types.Date().from_json(types.Date().to_json(value)) == value


@given(st.times(), st.sampled_from([MICROS, NANOS]))
def test_any_time_comes_back(value: time, units: int) -> None:
    micros = ((value.hour * 60 + value.minute) * 60 + value.second) * MICROS + value.microsecond
    assert types.Time(units).decode(micros * (units // MICROS)) == value


@given(st.datetimes(), st.sampled_from([MICROS, NANOS]))
def test_any_timestamp_comes_back(value: datetime, units: int) -> None:
    micros = (value - _EPOCH) // timedelta(microseconds=1)
    assert types.Timestamp(units).decode(micros * (units // MICROS)) == value


@given(st.integers(-(2**63), 2**63 - 1), st.sampled_from([MILLIS, MICROS, NANOS]))
def test_timestamps_beyond_python_are_told_apart(count: int, units: int) -> None:
    type_ = types.Timestamp(units)
    value = type_.decode(count)
    assert value != type_.decode(count + 1)
    assert type_.from_json(type_.to_json(value)) == value


@given(st.datetimes(timezones=st.just(UTC)))
def test_any_instant_comes_back(value: datetime) -> None:
    text = value.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    assert types.ZonedTimestamp().decode(text) == value


@pytest.mark.parametrize(
    ("type_", "raw"),
    [
        (types.Array(types.Decimal(2)), ["ZA==", None]),
        (types.Array(types.Date()), [20512, -2147472692]),
        (types.Array(types.Time()), [1, 86400000000]),
        (types.Array(types.ZonedTimestamp()), ["2026-01-01T00:00:00Z", "infinity"]),
        (types.Array(types.Float()), ["NaN", "-Infinity", 1.5]),
        (types.Array(types.Bytes()), ["3q0="]),
        (types.Array(types.Uuid()), ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
        (types.Array(types.Bits(4)), ["AQ=="]),
        (types.Array(types.MicroDuration()), [-5]),
        (types.Array(types.VariableDecimal()), [{"scale": 1, "value": "AQ=="}]),
        (types.Array(types.DecimalText()), ["1.10"]),
        (types.Map(types.Text()), {"a": None}),
        (types.Pairs(types.Integer(), types.Float()), [[1, 0.5], [2, None]]),
        (type_of(POINT), {"x": 1.5, "y": -2.0, "wkb": "AQE=", "srid": None}),
    ],
)
def test_the_plain_form_gives_the_value_back(type_: Type, raw: Any) -> None:
    value = type_.decode(raw)
    assert repr(type_.from_json(type_.to_json(value))) == repr(value)
