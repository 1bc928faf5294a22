"""Reading topics: dense offsets, nothing missed, positions outside the log, waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from eventstore.errors import PositionOutsideLog
from eventstore.model.log import ANY, Appended, EventLog, Source
from eventstore.model.record import Record
from tests.bank import append_of


def read_all(source: Source, limit: int = 1000) -> list[Record]:
    position = dict.fromkeys(source.partitions(), 0)
    found: list[Record] = []
    while records := source.read(position, limit):
        for record in records:
            position[record.topic, record.partition] = record.offset + 1
        found += records
    return found


def fill(log: EventLog, count: int = 200) -> None:
    log.append([append_of(f"account-{n % 20}", ANY, f"c{n}") for n in range(count)])


def test_every_partition_is_there_before_the_first_event(log: EventLog) -> None:
    source = log.source(["account"])
    assert list(source.partitions()) == [("bank.account", n) for n in range(4)]
    assert source.ends() == {("bank.account", n): 0 for n in range(4)}
    assert source.read(dict.fromkeys(source.partitions(), 0), 10) == []


def test_offsets_of_a_partition_are_dense(log: EventLog) -> None:
    fill(log)
    source = log.source(["account"])
    by_partition: dict[int, list[int]] = {}
    for record in read_all(source):
        by_partition.setdefault(record.partition, []).append(record.offset)
    assert {("bank.account", p): len(offsets) for p, offsets in by_partition.items()} == dict(source.ends())
    assert all(offsets == list(range(len(offsets))) for offsets in by_partition.values())


@pytest.mark.parametrize("limit", [1, 3, 7, 1000])
def test_nothing_is_missed_or_repeated_whatever_the_limit(log: EventLog, limit: int) -> None:
    fill(log, 60)
    records = read_all(log.source(["account"]), limit)
    assert len(records) == len({record.key for record in records}) == 60


def test_no_more_than_the_limit_is_read(log: EventLog) -> None:
    fill(log)
    source = log.source(["account"])
    assert [len(source.read(dict.fromkeys(source.partitions(), 0), limit)) for limit in (1, 10, 199)] == [1, 10, 199]


def test_a_busy_partition_does_not_starve_the_others(log: EventLog) -> None:
    fill(log)
    source = log.source(["account"])
    records = source.read(dict.fromkeys(source.partitions(), 0), 8)
    assert {record.partition for record in records} == {0, 1, 2, 3}


def test_only_the_partitions_of_the_position_are_read(log: EventLog) -> None:
    fill(log)
    records = log.source(["account"]).read({("bank.account", 2): 3}, 1000)
    assert {record.partition for record in records} == {2}
    assert records[0].offset == 3


def test_only_the_named_categories_are_read(log: EventLog) -> None:
    log.create_topics({"order": 1})
    log.append([append_of("order-1", 0, "one"), append_of("account-1", 0, "one")])
    assert [record.key for record in read_all(log.source(["order"]))] == [b"order-1:1"]
    assert len(read_all(log.source(["order", "account"]))) == 2


@pytest.mark.parametrize("offset", [-1, 1, 10**12])
def test_a_position_outside_the_log_is_an_error(log: EventLog, offset: int) -> None:
    with pytest.raises(PositionOutsideLog, match=r"bank\.account\[0\]"):
        log.source(["account"]).read({("bank.account", 0): offset}, 10)


def test_a_position_in_a_partition_that_does_not_exist_is_an_error(log: EventLog) -> None:
    with pytest.raises(PositionOutsideLog):
        log.source(["account"]).read({("bank.account", 9): 0}, 10)


def test_a_refused_append_leaves_no_gap(log: EventLog) -> None:
    """Else: heads that advance by what was asked for leave offsets that no reader ever finds."""
    log.append(
        [append_of("account-a", 0, "one"), append_of("account-a", 9, "refused"), append_of("account-a", 1, "two")]
    )
    log.append([append_of("account-a", 9, "refused alone", count=3)])
    log.append([append_of("account-a", 2, "three")])
    records = read_all(log.source(["account"]))
    assert [record.offset for record in records] == [0, 1, 2]


def test_a_position_says_what_an_append_reached(log: EventLog) -> None:
    (appended,) = log.append([append_of("account-a", 0, "one", count=3)])
    assert isinstance(appended, Appended)
    (partition,) = appended.position
    assert log.source(["account"]).ends()[partition] == appended.position[partition] == 3


def test_waiting_ends_at_its_time(log: EventLog) -> None:
    began = time.monotonic()
    source = log.source(["account"])
    position = dict.fromkeys(source.partitions(), 0)
    source.read(position, 1)
    source.wait(position, 0.05)
    assert time.monotonic() - began < 5


def woken_after(reader: EventLog, writer: EventLog) -> float:
    """How long after an acknowledged append a waiting reader was awake, in seconds."""
    source = reader.source(["account"])
    position = dict.fromkeys(source.partitions(), 0)
    while source.read(position, 10):
        position = dict(source.ends())
    awake = threading.Event()

    def wait() -> None:
        while not source.read(position, 10):
            source.wait(position, 10)
        awake.set()

    thread = threading.Thread(target=wait)
    thread.start()
    writer.append([append_of("account-a", ANY, str(time.monotonic()))])
    began = time.monotonic()
    assert awake.wait(10)
    thread.join()
    return time.monotonic() - began


def test_a_waiting_reader_of_the_same_process_is_woken_at_once(log: EventLog) -> None:
    assert min(woken_after(log, log) for _ in range(5)) < 0.1


def test_a_waiting_reader_elsewhere_is_woken_at_once(log: EventLog, open_log: Callable[[], EventLog]) -> None:
    other = open_log()
    assert min(woken_after(other, log) for _ in range(5)) < 0.1


def test_what_is_appended_between_a_read_and_the_first_wait_wakes_the_reader(
    log: EventLog, open_log: Callable[[], EventLog]
) -> None:
    """Else a reader of another process sleeps through it: whoever listens for it has only just begun to."""
    source = open_log().source(["account"])
    position = dict.fromkeys(source.partitions(), 0)
    assert source.read(position, 10) == []
    log.append([append_of("account-a", ANY, "1")])
    began = time.monotonic()
    source.wait(position, 30)
    assert time.monotonic() - began < 10
    assert len(source.read(position, 10)) == 1
