"""Who runs a pipeline: leases by the database's clock, fenced by epoch and position."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from sqlalchemy import select, update

from eventstore.errors import LeaseLost
from eventstore.pipeline.lease import Leases, ensure_pipeline
from eventstore.pipeline.membership import Membership
from eventstore.pipeline.runner import Runner
from eventstore.sql import schema
from eventstore.sql.engine import writing
from tests.waiting import eventually

PARTITIONS = [("test.thing", 0), ("test.thing", 1)]


def leases(bench: Any, owner: str, seconds: float = 30.0) -> Leases:
    return Leases(bench.engine, "tally", 1, owner, seconds)


def runner(bench: Any, owner: str, seconds: float = 30.0, handler: Any = None) -> Runner:
    pipeline = bench.pipeline(handler, lease_seconds=seconds)
    return Runner(bench.engine, bench.wakeup, pipeline, Membership(bench.engine, owner, ["tally"], seconds))


def test_a_lease_that_is_held_is_not_given_to_another(bench: Any) -> None:
    assert leases(bench, "one").take(PARTITIONS, whole=True) is not None
    assert leases(bench, "two").take(PARTITIONS, whole=True) is None


def test_a_pipeline_is_leased_whole_or_not_at_all(bench: Any) -> None:
    leases(bench, "one").take(PARTITIONS, whole=False, limit=1)
    assert leases(bench, "two").take(PARTITIONS, whole=True) is None


def test_who_waits_for_a_lease_does_not_disturb_its_holder(bench: Any) -> None:
    """Else every commit has all the others ask for the locks of the one that works: half its speed."""
    one = leases(bench, "one")
    one.take(PARTITIONS, whole=True)
    with writing(bench.engine) as connection:
        ensure_pipeline(connection, "tally", 1)
        assert leases(bench, "two").take(PARTITIONS, whole=True) is None
        assert leases(bench, "two").take(PARTITIONS, whole=False) is None


def test_an_idle_worker_keeps_its_lease_however_short(bench: Any) -> None:
    worker, ended = runner(bench, "one", seconds=0.6), threading.Event()
    worker.step()

    def idle() -> None:
        while not ended.is_set():
            worker.wait()
            worker.step()

    thread = threading.Thread(target=idle)
    thread.start()
    try:
        ends = time.monotonic() + 1.5
        while time.monotonic() < ends:
            assert leases(bench, "two").take(PARTITIONS, whole=True) is None
            time.sleep(0.02)
    finally:
        ended.set()
        thread.join(10)


def test_taking_raises_the_epoch_and_reads_the_position(bench: Any) -> None:
    one = leases(bench, "one")
    first = one.take(PARTITIONS, whole=True)
    with writing(bench.engine) as connection:
        one.advance(connection, first, {PARTITIONS[0]: 7})
    one.release()
    second = leases(bench, "two").take(PARTITIONS, whole=True)
    assert second.positions == {PARTITIONS[0]: 7, PARTITIONS[1]: 0}
    assert second.epochs == {partition: epoch + 1 for partition, epoch in first.epochs.items()}


def test_an_expired_lease_is_free(bench: Any) -> None:
    assert leases(bench, "one", seconds=0.05).take(PARTITIONS, whole=True)
    assert eventually(lambda: leases(bench, "two").take(PARTITIONS, whole=True))


def test_progress_renews_the_lease(bench: Any) -> None:
    one = leases(bench, "one", seconds=30.0)
    lease = one.take(PARTITIONS, whole=True)
    with writing(bench.engine) as connection:
        connection.execute(update(schema.checkpoint).values(lease_until=time.time() + 1))
        one.advance(connection, lease, dict.fromkeys(PARTITIONS, 1))
        ends = connection.scalars(select(schema.checkpoint.c.lease_until)).all()
    assert min(ends) > time.time() + 20


def test_a_worker_that_was_frozen_past_its_lease_is_fenced(bench: Any) -> None:
    bench.append("a", 1)
    zombie = runner(bench, "zombie", seconds=0.05)
    zombie.step()
    bench.append("a", 2)
    successor = runner(bench, "successor")
    eventually(lambda: successor.step())
    bench.append("a", 3)
    with pytest.raises(LeaseLost):
        zombie.step()
    successor.step()
    assert bench.seen() == {"a": [1, 2, 3]}


def test_an_epoch_alone_would_apply_a_batch_twice_after_a_lost_commit_answer(bench: Any) -> None:
    """Against the position: the same worker, the same epoch, the batch that was committed before."""
    bench.append("a", 1)
    worker = runner(bench, "one")
    before = dict(worker.pipeline.source.ends())
    worker.step()
    batches = worker._batches
    batches.lease.positions.update(dict.fromkeys(before, 0))
    with pytest.raises(LeaseLost):
        worker.step()
    assert bench.seen() == {"a": [1]}


def test_rows_cached_before_the_lease_was_lost_are_not_used_after_it(bench: Any) -> None:
    """Else two workers fold into shared rows from caches, and each undoes what the other did."""
    bench.append("a", 1)
    first, second = runner(bench, "one"), runner(bench, "two", handler=type(bench.handler)())
    first.step()
    first.release()
    bench.append("a", 2)
    second.step()
    second.release()
    bench.append("a", 3)
    first.step()
    assert bench.seen() == {"a": [1, 2, 3]}


def test_workers_share_the_partitions_of_a_shared_pipeline(bench: Any) -> None:
    handler = type(bench.handler)
    handlers = [handler(), handler()]
    for one in handlers:
        one.shared = True
    workers = [runner(bench, name, seconds=0.3, handler=h) for name, h in zip(("one", "two"), handlers, strict=True)]
    for worker in workers:
        worker._membership.beat()

    def held() -> list[int]:
        for worker in workers:
            worker._membership.beat()
            try:
                worker.step()
            except LeaseLost:
                worker.drop()
        return [len(worker._batches.lease.positions) for worker in workers]

    eventually(lambda: held() == [1, 1])


def test_the_partitions_of_a_worker_that_ended_go_to_the_others(bench: Any) -> None:
    handlers = [type(bench.handler)(), type(bench.handler)()]
    for one in handlers:
        one.shared = True
    first, second = (runner(bench, name, seconds=0.3, handler=h) for name, h in zip("ab", handlers, strict=True))
    for number in range(20):
        bench.append(f"k{number}", number)
    first.step()
    first.release()
    first._membership.leave()
    eventually(lambda: second.step() or len(bench.seen()) == 20)
    eventually(lambda: not second.step() and len(bench.seen()) == 20)
    assert bench.seen() == {f"k{number}": [number] for number in range(20)}
