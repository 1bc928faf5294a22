"""A worker that is frozen loses its leases, is fenced when it wakes, and becomes useful again by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headwater import App
from tests.e2e.worker_child import Added, histories, new_app, totals
from tests.waiting import eventually

CHILD = Path(__file__).parent / "worker_child.py"
STREAMS = 8


@pytest.fixture
def app(postgres_url: str) -> Iterator[App]:
    with new_app(postgres_url) as made:
        made.prepare()
        yield made


@pytest.fixture
def start_worker(postgres_url: str) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts a worker in a process of its own; all are ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        environment = {**os.environ, "HEADWATER_LEASE_SECONDS": "1", "HEADWATER_BATCH_SIZE": "20"}
        command = [sys.executable, str(CHILD), postgres_url]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
        return started[-1]

    yield start
    for process in started:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.communicate()


def append(app: App, first: int, count: int) -> None:
    for number in range(first, first + count):
        app.append({f"sum-s{number % STREAMS}": [Added(by=number)]})


def folded(app: App) -> tuple[int, int]:
    row = app.get(totals, "all")
    return (row.total, row.events) if row is not None else (0, 0)


def expected(count: int) -> tuple[int, int]:
    return sum(range(count)), count


def right_histories(app: App, count: int) -> bool:
    rows = [app.get(histories, f"s{stream}") for stream in range(STREAMS)]
    wanted = ["".join(f" {number}" for number in range(stream, count, STREAMS)) for stream in range(STREAMS)]
    return [row.history if row is not None else "" for row in rows] == wanted


def test_a_worker_frozen_inside_a_batch_is_replaced_fenced_and_useful_again(
    app: App, start_worker: Callable[[], subprocess.Popen[str]]
) -> None:
    """Else: two workers folding into shared rows lost 185 of 400; advisory locks are never freed by a frozen one."""
    append(app, 0, 200)
    frozen = start_worker()
    assert frozen.stdout is not None
    assert frozen.stdout.readline()  # its first batch is committed, the next is under way
    frozen.send_signal(signal.SIGSTOP)
    successor = start_worker()
    eventually(lambda: folded(app) == expected(200) and right_histories(app, 200))
    frozen.send_signal(signal.SIGCONT)
    append(app, 200, 100)
    eventually(lambda: folded(app) == expected(300) and right_histories(app, 300))
    successor.kill()
    append(app, 300, 100)
    eventually(lambda: folded(app) == expected(400) and right_histories(app, 400))


def test_two_workers_fold_into_a_shared_row_without_losing_any(
    app: App, start_worker: Callable[[], subprocess.Popen[str]]
) -> None:
    for _ in range(2):
        start_worker()
    append(app, 0, 400)
    eventually(lambda: folded(app) == expected(400) and right_histories(app, 400))
    assert app.dead_letters.list() == []
