"""Schedules of several workers and operators at once that broke a promise before there was a step against them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text, update

from eventstore.errors import AlreadyRunning, LeaseLost, StaleProjection, TooManyFailures, Unavailable
from eventstore.pipeline import LetterState, PipelineState, Worker, deadletter, rebuild, statuses
from eventstore.pipeline.exclusive import exclusive
from eventstore.pipeline.lease import Leases, ensure_pipeline
from eventstore.pipeline.membership import Membership
from eventstore.pipeline.runner import Runner
from eventstore.sql import schema
from eventstore.sql.engine import writing
from tests.waiting import eventually

PARTITIONS = [("test.thing", 0), ("test.thing", 1)]


def shared(bench: Any) -> Any:
    handler = type(bench.handler)()
    handler.shared = True
    return handler


def runner(bench: Any, owner: str, handler: Any = None, **options: Any) -> Runner:
    pipeline = bench.pipeline(handler, **{"lease_seconds": 30.0, **options})
    membership = Membership(bench.engine, owner, ["tally"], pipeline.options.lease_seconds)
    return Runner(bench.engine, bench.wakeup, pipeline, membership)


def key_in(bench: Any, partition: int) -> str:
    """A key whose stream lies in ``partition``."""
    return next(key for key in map(str, range(100)) if bench.log._place(f"thing-{key}") == PARTITIONS[partition])


# ---------------------------------------------------------------- sharing partitions


def test_a_partition_taken_over_comes_with_its_dead_letters(bench: Any) -> None:
    """Else the first batch after a rebalance handles records that belong behind a parked one."""
    handlers = [shared(bench), shared(bench)]
    first, other = (runner(bench, n, h, lease_seconds=0.3) for n, h in zip("ab", handlers, strict=True))
    first._membership.beat()
    other._membership.beat()
    keys = [key_in(bench, 0), key_in(bench, 1)]
    for key in keys:
        bench.append(key, 1)
    for handler, one in zip(handlers, (first, other), strict=True):
        handler.broken = {1}
        one.step()
    assert [len(one._batches.lease.positions) for one in (first, other)] == [1, 1]
    assert bench.states() == [(1, "parked"), (1, "parked")]
    other.release()
    other._membership.leave()
    for key in keys:
        bench.append(key, 2)
    eventually(lambda: first.step() + 1 and len(bench.states()) + len(bench.seen()) == 4)
    assert bench.seen() == {}
    assert sorted(bench.states()) == [(1, "parked"), (1, "parked"), (2, "blocked"), (2, "blocked")]


def test_other_logic_is_noticed_in_a_partition_that_is_empty_so_far(bench: Any) -> None:
    """Else two workers fold into one table by different logic, each in its own partitions."""
    bench.append(key_in(bench, 0), 1)
    old = runner(bench, "old", shared(bench))
    newer = shared(bench)
    newer.fingerprint = "other"
    new = runner(bench, "new", newer)
    for one in (old, new):
        one._membership.beat()
    old.step()
    assert PARTITIONS[0] in old._batches.lease.positions
    with pytest.raises(StaleProjection):
        new.step()


def test_catching_up_ends_only_when_the_partitions_of_a_dead_worker_are_done_too(bench: Any) -> None:
    """Else it ends with its own share while the one that died still counts as a worker."""
    bench.handler.shared = True
    Membership(bench.engine, "died just now", ["tally"], 0.5).beat()
    bench.append(key_in(bench, 0), 1)
    bench.append(key_in(bench, 1), 2)
    bench.catch_up(lease_seconds=0.5)
    assert sorted(number for seen in bench.seen().values() for number in seen) == [1, 2]


def test_partitions_are_not_kept_for_a_worker_that_cannot_run_them(bench: Any) -> None:
    """Else half of them stand still for as long as a worker of an older release lives."""
    bench.append(key_in(bench, 0), 1)
    bench.append(key_in(bench, 1), 2)
    older = shared(bench)
    older.fingerprint = "older"
    pipelines = [bench.pipeline(handler, lease_seconds=0.5) for handler in (shared(bench), older)]
    rebuild(bench.engine, bench.wakeup, pipelines[0])
    workers = [Worker(bench.engine, bench.wakeup, [pipeline]) for pipeline in reversed(pipelines)]
    for worker in workers:
        worker.start()
    try:
        eventually(lambda: sorted(number for seen in bench.seen().values() for number in seen) == [1, 2])
    finally:
        for worker in workers:
            worker.stop()


def test_what_was_rebuilt_is_not_folded_by_the_logic_before(bench: Any) -> None:
    """Else a worker of an older release, faster than the rebuild, folds everything by its own."""
    older = type(bench.handler)()
    older.fingerprint = "older"
    bench.append("a", 1)
    worker = runner(bench, "of the older release", older)
    worker.step()
    rebuild(bench.engine, bench.wakeup, bench.pipeline())
    worker.drop()
    with pytest.raises(StaleProjection):
        worker.step()


def test_a_rebuild_within_a_rebalance_does_not_meet_rows_in_memory(bench: Any, monkeypatch: Any) -> None:
    bench.append(key_in(bench, 0), 1)
    worker = runner(bench, "one", shared(bench), lease_seconds=0.3)
    Leases(bench.engine, "tally", 1, "two", 30.0).take([PARTITIONS[1]], whole=False)
    worker.step()
    assert len(worker._batches.lease.positions) == 1
    share, rebuilt = worker._share, threading.Event()

    def rebuilt_meanwhile(partitions: int) -> int:
        rebuild(bench.engine, bench.wakeup, worker.pipeline)
        checkpoint = schema.checkpoint
        with writing(bench.engine) as connection:
            second = update(checkpoint).where(checkpoint.c.partition == 1)
            connection.execute(second.values(owner="two", lease_until=time.time() + 30))
        monkeypatch.undo()
        rebuilt.set()
        return share(partitions)

    monkeypatch.setattr(worker, "_share", rebuilt_meanwhile)

    def step() -> bool:
        try:
            worker.step()
        except LeaseLost:
            worker.drop()
        return rebuilt.is_set() and bool(bench.seen())

    eventually(step)
    assert bench.seen() == {key_in(bench, 0): [1]}


def test_workers_get_on_though_a_batch_takes_longer_than_the_lease(bench: Any) -> None:
    """Else each takes over from the other before it is done, and nothing is ever committed."""
    key = key_in(bench, 0)
    bench.append(key, *range(60))
    workers = []
    for _ in range(2):
        handler = type(bench.handler)()
        handler.on_prepare = lambda numbers: time.sleep(0.02 * len(numbers))
        workers.append(Worker(bench.engine, bench.wakeup, [bench.pipeline(handler, lease_seconds=0.4)]))
    for worker in workers:
        worker.start()
    try:
        eventually(lambda: bench.seen() == {key: list(range(60))}, 20)
    finally:
        for worker in workers:
            worker.stop()


# ---------------------------------------------------------------- a pause


def paused(bench: Any, handlers: list[Any]) -> list[Runner]:
    """Two workers of which the first has paused the pipeline, and the second does not know yet."""
    keys = [key_in(bench, 0), key_in(bench, 1)]
    first, second = (runner(bench, name, h, parked_limit=0) for name, h in zip("ab", handlers, strict=True))
    for one in (first, second):
        one._membership.beat()
    for one in (first, second):
        one.step()
    handlers[0].broken = {1}
    (partition,) = first._batches.lease.positions
    bench.append(keys[partition[1]], 1)
    with pytest.raises(TooManyFailures) as flood:
        first.step()
    first.halt(flood.value)
    return [first, second]


def state(bench: Any) -> PipelineState:
    (status,) = statuses(bench.engine, [bench.pipeline()])
    return status.state


def test_a_pause_outlasts_a_worker_that_stops(bench: Any) -> None:
    _, second = paused(bench, [shared(bench), shared(bench)])
    second.release()
    assert state(bench) is PipelineState.PAUSED


def test_a_pause_outlasts_a_worker_that_retries(bench: Any) -> None:
    _, second = paused(bench, [shared(bench), shared(bench)])
    second.drop()
    second.retrying(ConnectionError("away"))
    assert state(bench) is PipelineState.PAUSED


def test_what_an_operator_resumed_is_not_paused_again_by_who_saw_it_paused(bench: Any) -> None:
    first, _ = paused(bench, [shared(bench), shared(bench)])
    with pytest.raises(TooManyFailures) as still:
        first.step()
    bench.letters.retry(pipeline="tally")
    first.halt(still.value)
    assert state(bench) is PipelineState.RUNNING


# ---------------------------------------------------------------- operators


def test_a_key_is_not_taken_for_one_written_in_other_letters(bench: Any) -> None:
    """Else collapsing one key would drop the changes of another."""
    bench.append("sku-a", 1, 2)
    bench.append("SKU-A", 3, 4)
    bench.handler.broken = {1, 3}
    bench.catch_up()
    bench.handler.broken = set()
    bench.letters.collapse("thing-sku-a", lambda *_: True)
    assert [letter.key for letter in bench.letters.list(key="thing-SKU-A")] == ["thing-SKU-A", "thing-SKU-A"]
    bench.letters.retry(key="thing-SKU-A")
    bench.catch_up()
    assert bench.seen() == {"sku-a": [2], "SKU-A": [3, 4]}


def test_a_key_of_any_characters_is_found(bench: Any) -> None:
    names = ["50%", "a_b", 'say "so"', "back\\slash", "O'Brien", "ä", '", "']
    for number, name in enumerate(names):
        bench.append(name, number)
    bench.handler.broken = set(range(len(names)))
    bench.catch_up()
    for name in names:
        assert [letter.key for letter in bench.letters.list(key=f"thing-{name}")] == [f"thing-{name}"]


def somebody_waits(bench: Any) -> bool:
    """Whether somebody waits for a lock of another."""
    with bench.engine.connect() as connection:
        return bool(connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))


def beside(call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Runs ``call`` in a thread; the list gets its result, or what it raised."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(call())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def test_collapsing_waits_for_a_dead_letter_that_is_tried_just_now(postgres_bench: Any) -> None:
    """Else what fails again meanwhile stays parked, and the newest waits behind it."""
    bench = postgres_bench
    bench.append("a", 1, 2)
    bench.handler.broken = {1}
    bench.catch_up()
    first, newest = bench.letters.list()
    bench.letters.retry(id=first.id)
    with writing(bench.engine) as connection:
        due = deadletter.get(connection, first.id)
        assert due is not None
        deadletter.park_again(connection, due, ValueError("again"))
        thread, outcome = beside(lambda: bench.letters.collapse("thing-a", lambda *_: True))
        eventually(lambda: somebody_waits(bench))
    thread.join(10)
    assert [letter.id for letter in outcome] == [newest.id]
    assert bench.letters.get(first.id).state is LetterState.SUPERSEDED


@pytest.mark.parametrize("decide", ["retry", "discard", "collapse"])
def test_an_operator_and_a_rebuild_do_not_wait_for_each_other(postgres_bench: Any, decide: str) -> None:
    """Else, locking in another order, one of them is ended by the deadlock detector."""
    bench = postgres_bench
    bench.append("a", 1)
    bench.handler.broken = {1}
    bench.catch_up()
    (letter,) = bench.letters.list()
    decisions: dict[str, Callable[[], Any]] = {
        "retry": lambda: bench.letters.retry(pipeline="tally"),
        "discard": lambda: bench.letters.discard(letter.id, "a test"),
        "collapse": lambda: bench.letters.collapse("thing-a", lambda *_: True),
    }
    with writing(bench.engine) as connection:
        ensure_pipeline(connection, "tally", 1)
        thread, outcome = beside(decisions[decide])
        eventually(lambda: somebody_waits(bench))
        deadletter.delete_all(connection, "tally", 1)
    thread.join(10)
    assert not isinstance(outcome[0], Unavailable)


def test_catching_up_waits_for_what_a_worker_tries_after_a_decision(bench: Any) -> None:
    """Else who discarded a record is told that those behind it wait, while they are handled."""
    bench.append("a", 1, 2)
    bench.handler.broken = {1}
    bench.catch_up()
    first, _ = bench.letters.list()
    trying, decided = threading.Event(), threading.Event()

    def slow(numbers: list[int]) -> None:
        trying.set()
        decided.wait(10)

    worker = type(bench.handler)()
    worker.on_prepare = slow
    with Worker(bench.engine, bench.wakeup, [bench.pipeline(worker)]):
        eventually(lambda: statuses(bench.engine, [bench.pipeline()])[0].owner)
        bench.letters.discard(first.id, "a test")
        assert trying.wait(10)
        (status,) = statuses(bench.engine, [bench.pipeline()])
        assert (status.due, status.ready) == (0, 1)
        threading.Timer(0.2, decided.set).start()
        bench.catch_up()
        assert bench.states() == []
    assert bench.seen() == {"a": [2]}


def test_a_rebuild_and_a_batch_do_not_wait_for_each_other(postgres_bench: Any) -> None:
    """Else, locking in another order, one of them is ended by the deadlock detector."""
    bench = postgres_bench
    at_work = threading.Event()

    def slow(connection: Any, rows: dict[str, list[int]]) -> None:
        at_work.set()
        eventually(lambda: somebody_waits(bench))  # the rebuild, for its locks

    bench.append("a", 1)
    worker = runner(bench, "one")
    worker.step()
    bench.append("a", 2)
    bench.handler.on_write = slow
    thread, outcome = beside(worker.step)
    assert at_work.wait(5)
    rebuild(bench.engine, bench.wakeup, bench.pipeline())
    thread.join(10)
    bench.handler.on_write = None
    assert outcome == [1]
    worker.drop()
    eventually(lambda: worker.step() or bench.seen())
    assert bench.seen() == {"a": [1, 2]}


# ---------------------------------------------------------------- forks


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_does_not_hold_the_right_to_run_pipelines(sqlite_bench: Any) -> None:
    """Else nobody can run them for as long as a child lives of a process that died."""
    (come, go), (lives, alive) = os.pipe(), os.pipe()
    with exclusive(sqlite_bench.engine):
        child = os.fork()
        if child == 0:
            os.close(go)
            os.write(alive, b"!")
            os.read(come, 1)  # until the parent has closed its end
            os._exit(0)
        os.read(lives, 1)
    for end in (come, lives, alive):
        os.close(end)
    try:
        with exclusive(sqlite_bench.engine) as alone:
            assert alone
    finally:
        os.close(go)
        os.waitpid(child, 0)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_does_not_take_its_parents_right_for_its_own(sqlite_bench: Any) -> None:
    with exclusive(sqlite_bench.engine):
        child = os.fork()
        if child == 0:
            try:
                with exclusive(sqlite_bench.engine):
                    os._exit(1)
            except AlreadyRunning:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
