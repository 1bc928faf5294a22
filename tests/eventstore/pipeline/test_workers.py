"""Running until stopped: woken at once, stopped gracefully, going on when the database comes back."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
from typing import Any

import pytest
from sqlalchemy import update

from eventstore.errors import AlreadyRunning, Unavailable
from eventstore.pipeline import PipelineState, Worker, rebuild, statuses
from eventstore.pipeline.exclusive import exclusive
from eventstore.sql import schema
from eventstore.sql.engine import writing
from tests.waiting import eventually


def test_an_append_is_handled_within_milliseconds(bench: Any) -> None:
    with Worker(bench.engine, bench.wakeup, [bench.pipeline()]):
        bench.append("warm")
        eventually(lambda: "warm" in bench.seen())
        took = []
        for number in range(20):
            began = time.monotonic()
            bench.append(f"k{number}")
            eventually(lambda: f"k{number}" in bench.seen())  # noqa: B023
            took.append(time.monotonic() - began)
    assert sorted(took)[10] < 0.2


def test_a_retry_is_noticed_by_a_running_worker(bench: Any) -> None:
    bench.handler.broken = {1}
    bench.append("a", 1)
    with Worker(bench.engine, bench.wakeup, [bench.pipeline()]):
        eventually(lambda: bench.letters.list())
        bench.handler.broken = set()
        bench.letters.retry(key="thing-a")
        eventually(lambda: bench.seen() == {"a": [1]})


def test_a_rebuild_is_noticed_by_a_running_worker(bench: Any) -> None:
    bench.append("a", 1)
    pipeline = bench.pipeline()
    with Worker(bench.engine, bench.wakeup, [pipeline]):
        eventually(lambda: bench.seen() == {"a": [1]})
        rebuild(bench.engine, bench.wakeup, pipeline)
        eventually(lambda: bench.seen() == {"a": [1]})


def test_stopping_ends_the_batch_at_hand_and_gives_the_lease_back(bench: Any) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def slow(numbers: list[int]) -> None:
        inside.set()
        go_on.wait(10)

    bench.handler.on_prepare = slow
    bench.append("a", 1)
    worker = Worker(bench.engine, bench.wakeup, [bench.pipeline()])
    worker.start()
    assert inside.wait(10)
    threading.Timer(0.1, go_on.set).start()
    assert worker.stop(timeout=10)
    assert bench.seen() == {"a": [1]}
    (status,) = statuses(bench.engine, [bench.pipeline()])
    assert (status.state, status.owner, status.lag) == (PipelineState.STOPPED, "", 0)


def test_stopping_does_not_wait_longer_than_it_may_for_a_stuck_handler(bench: Any) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def stuck(numbers: list[int]) -> None:
        inside.set()
        go_on.wait(20)

    bench.handler.on_prepare = stuck
    bench.append("a", 1)
    worker = Worker(bench.engine, bench.wakeup, [bench.pipeline()])
    worker.start()
    assert inside.wait(10)
    began = time.monotonic()
    assert not worker.stop(timeout=0.2)
    assert time.monotonic() - began < 2
    go_on.set()
    eventually(lambda: not worker.running())


def test_the_status_says_how_a_pipeline_stands(bench: Any) -> None:
    bench.append("a", 1, 2)
    bench.handler.broken = {2}
    (before,) = statuses(bench.engine, [bench.pipeline()])
    assert (before.state, before.lag) == (PipelineState.NEW, 2)
    bench.catch_up()
    (after,) = statuses(bench.engine, [bench.pipeline()])
    assert (after.state, after.lag, after.handled, after.parked, after.blocked) == (PipelineState.STOPPED, 0, 2, 1, 0)


def test_a_pipeline_whose_worker_was_killed_is_not_said_to_run(bench: Any) -> None:
    bench.append("a", 1)
    bench.catch_up()
    with writing(bench.engine) as connection:  # what a killed worker leaves behind, once its lease has ended
        connection.execute(update(schema.pipeline).values(state=PipelineState.RUNNING.value))
    (status,) = statuses(bench.engine, [bench.pipeline()])
    assert (status.state, status.owner) == (PipelineState.STOPPED, "")


def test_a_pipeline_that_catches_up_does_not_starve_who_appends(sqlite_bench: Any) -> None:
    """Folding holds no lock. Else, with 20 ms inside the transaction, others got in once in 5 s."""
    bench = sqlite_bench
    for number in range(0, 400, 40):
        bench.append("a", *range(number, number + 40))
    bench.handler.on_prepare = lambda numbers: time.sleep(0.02)
    ended = threading.Event()

    def run() -> None:
        bench.catch_up(batch=10)
        ended.set()

    catching_up = threading.Thread(target=run)
    catching_up.start()
    took = []
    while not ended.is_set() and len(took) < 100:
        began = time.monotonic()
        bench.append("b", 1000 + len(took))
        took.append(time.monotonic() - began)
    catching_up.join(20)
    assert len(took) == 100
    assert max(took) < 0.5


def test_one_process_runs_the_pipelines_of_a_sqlite_file(sqlite_bench: Any, tmp_path: Any) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from eventstore.sql.engine import connect; from eventstore.pipeline import exclusive\n"
        "with exclusive(connect(sys.argv[1])):\n  print('held', flush=True); sys.stdin.read()"
    )
    url = sqlite_bench.engine.url.render_as_string()
    with subprocess.Popen([sys.executable, "-c", code, url], stdin=-1, stdout=-1) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == b"held"
        with pytest.raises(AlreadyRunning, match=f"process {other.pid} runs"), exclusive(sqlite_bench.engine):
            pass
        other.kill()
        other.wait()
        with exclusive(sqlite_bench.engine) as alone:
            assert alone


def test_the_lease_of_a_process_that_died_is_taken_at_once_on_sqlite(sqlite_bench: Any) -> None:
    from eventstore.pipeline.lease import Leases

    bench = sqlite_bench
    bench.append("a", 1)
    Leases(bench.engine, "tally", 1, "a dead one", 3600).take(bench.log.source(["thing"]).partitions(), whole=True)
    bench.catch_up()
    assert bench.seen() == {"a": [1]}


def test_two_workers_on_one_database_fold_every_record_once(postgres_bench: Any) -> None:
    bench = postgres_bench
    tally = type(bench.handler)
    handlers = [tally(), tally()]
    for handler in handlers:
        handler.shared = True
    workers = [
        Worker(bench.engine, bench.wakeup, [bench.pipeline(handler, lease_seconds=0.6, batch=5)])
        for handler in handlers
    ]
    for worker in workers:
        worker.start()
    for number in range(200):
        bench.append(f"k{number % 10}", number)
    eventually(lambda: sum(map(len, bench.seen().values())) == 200)
    for worker in workers:
        worker.stop()
    assert bench.seen() == {f"k{key}": list(range(key, 200, 10)) for key in range(10)}


def test_a_worker_goes_on_when_the_database_comes_back(new_cluster: Any, new_bench: Any) -> None:
    cluster = new_cluster()
    bench = new_bench(cluster.url())
    with Worker(bench.engine, bench.wakeup, [bench.pipeline(lease_seconds=1.0)]):
        bench.append("a", 1)
        eventually(lambda: bench.seen() == {"a": [1]})
        cluster.stop()
        cluster.start()
        bench.append("a", 2)
        observer = new_bench(cluster.url())
        eventually(lambda: observer.seen() == {"a": [1, 2]}, timeout=20)
    assert bench.letters.list() == []


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    "kind", [SystemExit, KeyboardInterrupt, RecursionError, MemoryError, asyncio.CancelledError, Unprintable]
)
def test_whatever_a_handler_raises_parks_its_record_and_no_other(bench: Any, kind: type[BaseException]) -> None:
    def raise_it(numbers: list[int]) -> None:
        if 2 in numbers:
            raise kind("from a handler")

    bench.handler.on_prepare = raise_it
    with Worker(bench.engine, bench.wakeup, [bench.pipeline()]):
        bench.append("a", 1)
        bench.append("b", 2, 3)
        bench.append("c", 4)
        eventually(lambda: len(bench.letters.list()) == 2 and bench.seen() == {"a": [1], "c": [4]})
    assert [(str(letter.state), letter.error_type) for letter in bench.letters.list()] == [
        ("parked", kind.__name__),
        ("blocked", ""),
    ]


def test_what_ends_the_process_parks_nothing(bench: Any) -> None:
    """In the main thread it may come from a signal, whatever is being handled just then."""

    def interrupt(numbers: list[int]) -> None:
        raise KeyboardInterrupt

    bench.append("a", 1)
    bench.handler.on_prepare = interrupt
    with pytest.raises(KeyboardInterrupt):
        bench.catch_up()
    assert bench.letters.list() == []


def test_a_lock_file_that_cannot_be_written_is_named_and_not_held(
    sqlite_bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with (
        pytest.raises(Unavailable, match=r"test\.db\.lock cannot be locked and written"),
        exclusive(sqlite_bench.engine),
    ):
        pass
    monkeypatch.undo()
    with exclusive(sqlite_bench.engine) as first:
        assert first
