"""Snapshots and loading: a missing or unfitting one costs time, nothing else."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from sqlalchemy import Engine, update

from eventstore.model.aggregate import Aggregate, applies
from eventstore.model.codec import encode, event_id
from eventstore.model.log import ANY, Append, EventLog, Snapshot
from eventstore.model.repository import Loaded, Repository, shape
from eventstore.sql import schema
from eventstore.sql.engine import writing
from eventstore.sql.log import SqlEventLog
from eventstore.sql.snapshots import SqlSnapshots
from tests.bank import NOON, Account, Deposited, Opened


@pytest.fixture
def store(engine: Engine) -> SqlSnapshots:
    return SqlSnapshots(engine, "bank")


@pytest.fixture
def repository(log: SqlEventLog, store: SqlSnapshots) -> Repository:
    return Repository(log, store)


def pay_in(log: EventLog, count: int) -> None:
    """An account of ``count`` events whose balance is its version."""
    events = [Opened(owner="Ada"), *[Deposited(amount=2 if n == 0 else 1) for n in range(count - 1)]]
    log.append([Append("account-a", [encode(e, event_id("x", n)) for n, e in enumerate(events)], ANY, NOON)])


def reads(log: SqlEventLog, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """After which version streams are read from now on."""
    seen: list[int] = []
    read = log.read_stream

    def watch(stream: str, **how: Any) -> Any:
        seen.append(how.get("after", 0))
        return read(stream, **how)

    monkeypatch.setattr(log, "read_stream", watch)
    return seen


def test_a_long_replay_leaves_a_snapshot_for_the_next(
    log: SqlEventLog, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    pay_in(log, 25)
    first = repository.load(Account, "account-a")
    seen = reads(log, monkeypatch)
    second = repository.load(Account, "account-a")
    assert (first.version, second.version, seen) == (25, 25, [25])
    assert first.state == second.state
    assert second.state.balance == 25


def test_a_state_of_another_shape_is_not_taken(
    log: SqlEventLog, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else: after a change of the code, aggregates go on with what the old code made of their events."""
    pay_in(log, 25)
    repository.load(Account, "account-a")

    class Doubling(Aggregate, category="account", snapshot_every=10):
        balance: int = 0

        @applies(Opened)
        def opened(self, event: Opened) -> None: ...

        @applies(Deposited)
        def deposited(self, event: Deposited) -> None:
            self.balance += 2 * event.amount

    assert shape(Doubling) != shape(Account)
    seen = reads(log, monkeypatch)
    assert repository.load(Doubling, "account-a").state.balance == 50
    assert seen == [0]


def test_a_garbled_snapshot_is_ignored(
    log: SqlEventLog, repository: Repository, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    pay_in(log, 25)
    repository.load(Account, "account-a")
    with writing(engine) as connection:
        connection.execute(update(schema.snapshot).values(state='{"balance": "many"}'))
    with caplog.at_level(logging.WARNING):
        assert repository.load(Account, "account-a").state.balance == 25
    assert "ignored the snapshot of account-a" in caplog.text


def test_a_state_that_would_not_come_back_equal_is_not_kept(
    repository: Repository, store: SqlSnapshots, caplog: pytest.LogCaptureFixture
) -> None:
    class Loose(Aggregate, category="account"):
        value: Any = None

    with caplog.at_level(logging.WARNING):
        repository.snapshot([("account-a", Loaded(Loose(value=(1, 2)), 5))])
    assert store.load("account-a", shape(Loose)) is None
    assert "no snapshot of account-a is kept" in caplog.text


def test_an_older_snapshot_does_not_replace_a_newer_one(store: SqlSnapshots) -> None:
    for version in (5, 3):
        store.save([Snapshot("account-a", version, "shape", b"{}")])
    kept = store.load("account-a", "shape")
    assert kept is not None
    assert kept.version == 5


def test_saving_nothing_is_fine(store: SqlSnapshots) -> None:
    store.save([])


def test_the_state_as_of_a_version_is_replayed_from_the_beginning(log: SqlEventLog, repository: Repository) -> None:
    pay_in(log, 25)
    repository.load(Account, "account-a")
    assert repository.load_as_of(Account, "account-a", version=7).state.balance == 7
    assert repository.load_as_of(Account, "account-a", at=NOON).version == 25
    assert repository.load_as_of(Account, "account-a", version=0).version == 0
