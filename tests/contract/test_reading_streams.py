"""Reading a stream: forwards, backwards, as of a version or a time; and what a record holds."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from eventstore.model.codec import decode, event_id, meta_headers
from eventstore.model.log import ANY, EventLog
from eventstore.model.message import Meta
from tests.bank import NOON, Deposited, append_of


@pytest.fixture
def history(log: EventLog) -> EventLog:
    """``account-a`` with five events, one a minute from noon on, between those of another stream."""
    for n in range(5):
        log.append(
            [
                append_of("account-a", n, f"a{n}", at=NOON + timedelta(minutes=n)),
                append_of("account-b", n, f"b{n}", at=NOON + timedelta(minutes=n)),
            ]
        )
    return log


def read(log: EventLog, **how: object) -> list[int]:
    return [int(r.headers["ce_sequence"]) for r in log.read_stream("account-a", **how)]  # type: ignore[arg-type]


def test_a_stream_is_read_forwards(history: EventLog) -> None:
    assert read(history) == [1, 2, 3, 4, 5]


def test_a_stream_is_read_backwards(history: EventLog) -> None:
    assert read(history, backwards=True) == [5, 4, 3, 2, 1]


def test_a_stream_is_read_between_versions(history: EventLog) -> None:
    assert read(history, after=1, until=3) == [2, 3]
    assert read(history, after=1, until=4, backwards=True) == [4, 3, 2]


def test_a_stream_is_read_as_of_a_time(history: EventLog) -> None:
    assert read(history, at=NOON + timedelta(minutes=2)) == [1, 2, 3]
    assert read(history, at=NOON + timedelta(minutes=2, microseconds=-1)) == [1, 2]
    assert read(history, at=NOON - timedelta(days=1)) == []


def test_a_limit_ends_the_reading(history: EventLog) -> None:
    assert read(history, limit=2) == [1, 2]
    assert read(history, limit=2, backwards=True) == [5, 4]
    assert read(history, limit=0) == []


def test_a_stream_that_does_not_exist_is_empty(history: EventLog) -> None:
    assert list(history.read_stream("account-none")) == []


def test_a_long_stream_is_read_whole_in_both_directions(log: EventLog) -> None:
    log.append([append_of("account-a", ANY, f"c{n}", count=100) for n in range(25)])
    assert read(log) == list(range(1, 2501))
    assert read(log, backwards=True) == list(range(2500, 0, -1))
    assert read(log, limit=1500) == list(range(1, 1501))


def test_a_record_holds_what_kafka_would(log: EventLog) -> None:
    meta = Meta(correlation_id="corr", causation_id="cause", tenant="t", user="u", traceparent="00-ab-cd-01")
    append = append_of("account-a:x", 0, "one")
    append.headers = meta_headers(meta)
    (appended,) = log.append([append])
    (record,) = log.read_stream("account-a:x")
    assert record.key == b"account-a:x:1"
    assert {(record.topic, record.partition): record.offset + 1} == appended.position  # type: ignore[union-attr]
    assert record.timestamp == NOON == datetime.fromisoformat(record.headers["ce_time"])
    assert dict(record.headers) == {
        "ce_specversion": "1.0",
        "ce_id": event_id("one", 0),
        "ce_type": "deposited",
        "ce_source": "/bank",
        "ce_subject": "account-a:x",
        "ce_time": record.headers["ce_time"],
        "ce_sequence": "1",
        "ce_dataschema": "urn:headwater:event:deposited:1",
        "content-type": "application/json",
        "ce_correlationid": "corr",
        "ce_causationid": "cause",
        "ce_tenant": "t",
        "ce_user": "u",
        "traceparent": "00-ab-cd-01",
    }


def test_an_event_comes_back_equal_with_its_metadata(log: EventLog) -> None:
    at = NOON + timedelta(microseconds=123456)
    append = append_of("account-a", 0, "one", at=at)
    append.headers = meta_headers(Meta(correlation_id="corr", causation_id="one"))
    log.append([append])
    (event,) = map(decode, log.read_stream("account-a"))
    assert event == Deposited(amount=0)
    assert event.meta == Meta("account-a", 1, at, event_id("one", 0), "corr", "one")


def test_streams_are_listed_by_name_in_pages(history: EventLog) -> None:
    history.append([append_of("account-c", 0, "c", at=NOON)])
    first = history.streams("account", limit=2)
    rest = history.streams("account", after=first[-1].stream, limit=2)
    assert [(info.stream, info.version) for info in first + rest] == [
        ("account-a", 5),
        ("account-b", 5),
        ("account-c", 1),
    ]
    assert first[0].last_at == NOON + timedelta(minutes=4)


def test_a_time_from_another_zone_is_the_same_moment(log: EventLog) -> None:
    log.append([append_of("account-a", 0, "one", at=NOON.astimezone(ZoneInfo("America/New_York")))])
    (event,) = map(decode, log.read_stream("account-a", at=NOON))
    assert event.meta.at == NOON
