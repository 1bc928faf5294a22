"""Events to stored form and back: nothing is stored that cannot be read back equal."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID, uuid5

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from eventstore.errors import NotStorable, Undecodable
from eventstore.model import codec
from eventstore.model.codec import command_digest, decode, encode, event_id, meta_headers, meta_of
from eventstore.model.message import Command, Event, Meta
from eventstore.model.record import Record
from eventstore.model.stored import StoredHeaders


class Colour(Enum):
    RED = "red"
    BLUE = 7


class Part(BaseModel):
    name: str
    weight: float


class Everything(Event, name="everything"):
    number: int
    amount: Decimal
    ratio: float
    text: str
    raw: bytes
    day: date
    moment: datetime
    span: timedelta
    id: UUID
    colour: Colour
    parts: list[Part]
    pair: tuple[int, str]
    names: frozenset[str]
    table: dict[str, list[int | None]]
    maybe: str | None = None


class Loose(Event, name="loose"):
    value: Any


class Based(Event, name="based"):
    part: Part


class Measured(Event, name="measured"):
    value: float


class Heavy(Part):
    crane: str


META = Meta("test-1", 3, datetime(2026, 5, 1, tzinfo=UTC), "", "corr", "cause", "tenant", "user", "00-a-b-01")


def stored(event: Event, meta: Meta = META) -> Record:
    new = encode(event, "id-1")
    extra = orjson.dumps(meta_headers(meta)).decode()
    found = StoredHeaders("bank", new.type, new.schema, (meta.stream, meta.version, meta.at, new.id), extra)
    return Record("bank.test", 0, 0, b"test-1:3", new.data, found, meta.at)


def moments() -> st.SearchStrategy[datetime]:
    return st.datetimes(timezones=st.just(UTC)) | st.datetimes()


events = st.builds(
    Everything,
    number=st.integers(-(2**63), 2**63),
    amount=st.decimals(allow_nan=False, allow_infinity=False),
    ratio=st.floats(),
    text=st.text(),
    raw=st.binary(),
    day=st.dates(),
    moment=moments(),
    span=st.timedeltas(timedelta(days=-10_000), timedelta(days=10_000)),
    id=st.uuids(),
    colour=st.sampled_from(Colour),
    parts=st.lists(st.builds(Part, name=st.text(), weight=st.floats(allow_nan=False)), max_size=3),
    pair=st.tuples(st.integers(-(2**40), 2**40), st.text()),
    names=st.frozensets(st.text(), max_size=3),
    table=st.dictionaries(st.text(), st.lists(st.none() | st.integers(0, 9), max_size=2), max_size=3),
    maybe=st.none() | st.text(),
)


@given(events)
def test_what_can_be_stored_comes_back_equal(event: Everything) -> None:
    try:
        record = stored(event)
    except NotStorable:
        return
    back = decode(record)
    assert isinstance(back, Everything)
    assert back == event or (math.isnan(event.ratio) and math.isnan(back.ratio))
    assert back.meta == META._replace(id="id-1")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_a_loose_field_comes_back_equal_or_is_refused(value: object) -> None:
    try:
        record = stored(Loose(value=value))
    except NotStorable:
        return
    back = decode(record)
    assert isinstance(back, Loose)
    assert back.value == value
    assert repr(back.value) == repr(value)


@pytest.mark.parametrize(
    "event",
    [
        Loose(value=math.nan),
        Loose(value=math.inf),
        Loose(value=(1, 2)),
        Loose(value=Decimal("1.5")),
        Loose(value={1: "a"}),
        Loose(value=object()),
        Loose(value=b"\xff"),
        Loose(value="\ud800"),
        Based(part=Heavy(name="n", weight=1.0, crane="c")),
        Everything.model_construct(number="not a number"),
    ],
    ids=lambda event: repr(event)[:40],
)
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_what_would_not_come_back_equal_is_refused(event: Event) -> None:
    with pytest.raises(NotStorable):
        encode(event, "id-1")


def test_a_refused_event_is_named_with_the_reason() -> None:
    with pytest.raises(NotStorable, match=r"Loose does not survive being stored: Loose\(value=\(1, 2\)\)") as caught:
        encode(Loose(value=(1, 2)), "id-1")
    assert "would come back as" in caught.value.why


def test_nan_in_a_field_of_the_event_is_kept() -> None:
    back = decode(stored(Measured(value=math.nan)))
    assert isinstance(back, Measured)
    assert math.isnan(back.value)


def test_nan_in_a_nested_model_that_would_store_null_is_refused() -> None:
    """Else: it is stored as null, and can never be decoded."""
    with pytest.raises(NotStorable, match="is refused when read"):
        encode(Based(part=Part(name="n", weight=math.nan)), "id-1")


@given(st.text(), st.integers(0, 10_000))
def test_event_ids_are_uuids_of_version_five(cause: str, ordinal: int) -> None:
    assert event_id(cause, ordinal) == str(uuid5(codec._IDS, f"{cause}/{ordinal}"))


def test_a_digest_tells_payloads_and_commands_apart() -> None:
    class One(Command):
        a: int

    class Two(Command):
        a: int

    digests = {command_digest(One(a=1)), command_digest(One(a=2)), command_digest(Two(a=1))}
    assert len(digests) == 3
    assert command_digest(One(a=1)) == command_digest(One(a=1))


def test_headers_carry_the_metadata_whole() -> None:
    found = stored(Loose(value=1)).headers
    assert meta_of(found) == meta_of(dict(found)) == META._replace(id="id-1")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"ce_type": "nobody"}, "no class is known"),
        ({"ce_subject": None}, "not an event of headwater"),
        ({"ce_sequence": "three"}, "not an event of headwater"),
        ({"ce_time": "noon"}, "not an event of headwater"),
        ({"ce_dataschema": "urn:headwater:event:loose:x"}, "names no version"),
        ({"ce_dataschema": "urn:headwater:event:loose:2"}, "of version 2 was stored"),
    ],
)
def test_a_record_that_is_no_event_of_ours_is_undecodable(change: dict[str, str | None], why: str) -> None:
    record = stored(Loose(value=1))
    found = {name: text for name, text in {**record.headers, **change}.items() if text is not None}
    with pytest.raises(Undecodable, match=why):
        decode(record._replace(headers=found))


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b'{"value": 1, "more": 2}', b"\xff", b"[" * 100_000, None])
def test_data_that_does_not_fit_is_undecodable(value: bytes | None) -> None:
    with pytest.raises(Undecodable):
        decode(stored(Loose(value=1))._replace(value=value))
