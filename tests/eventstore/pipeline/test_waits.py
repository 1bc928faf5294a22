"""Waiting until a pipeline has come far enough."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from eventstore.errors import Parked, TooManyFailures, WaitError, WaitTimeout
from eventstore.pipeline import Waits, Worker


@pytest.fixture
def waits(bench: Any) -> Iterator[Waits]:
    made = Waits(bench.engine)
    yield made
    made.close()


def test_waiting_ends_when_the_pipeline_has_passed_the_position(bench: Any, waits: Waits) -> None:
    with Worker(bench.engine, bench.wakeup, [bench.pipeline()]):
        bench.append("a", 1)
        waits.submit("tally", 1, bench.log.source(["thing"]).ends(), 10).result()
        assert bench.seen() == {"a": [1]}


def test_waiting_for_a_dead_letter_says_so(bench: Any, waits: Waits) -> None:
    bench.append("a", 1, 2)
    bench.handler.broken = {1}
    bench.catch_up()
    ends = bench.log.source(["thing"]).ends()
    with pytest.raises(Parked, match=r"waits behind dead letter 1: .*cannot handle 1"):
        waits.submit("tally", 1, ends, 10).result()
    with pytest.raises(Parked, match="cannot handle 1"):
        waits.submit("tally", 1, ends, 10, first=dict.fromkeys(ends, 0)).result()


def test_waiting_for_a_pipeline_that_nobody_runs_ends_in_time_and_says_why(bench: Any, waits: Waits) -> None:
    bench.append("a", 1)
    with pytest.raises(WaitTimeout, match="nobody runs it"):
        waits.submit("tally", 1, bench.log.source(["thing"]).ends(), 0.1).result()


def test_waiting_for_a_pipeline_that_stands_still_ends_at_once(bench: Any, waits: Waits) -> None:
    bench.append("a", 1)
    bench.handler.broken = {1}
    with pytest.raises(TooManyFailures):
        bench.catch_up(parked_limit=0)
    with pytest.raises(WaitError, match="stands still"):
        waits.submit("tally", 1, bench.log.source(["thing"]).ends(), 60).result(timeout=5)


def test_many_waits_take_one_thread(bench: Any, waits: Waits) -> None:
    ends = bench.log.source(["thing"]).ends()
    target = {partition: end + 1 for partition, end in ends.items()}
    before = threading.active_count()
    futures = [waits.submit("tally", 1, target, 0.2) for _ in range(200)]
    assert threading.active_count() <= before + 1
    assert all(isinstance(future.exception(timeout=10), WaitTimeout) for future in futures)


def test_closing_ends_what_still_waits(bench: Any, waits: Waits) -> None:
    future = waits.submit("tally", 1, {("test.thing", 0): 99}, 60)
    waits.close()
    with pytest.raises(WaitError, match="closed"):
        future.result(timeout=5)
