"""Executing commands, on both databases: groups, chains, conflicts, repetition, failures."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from eventstore.errors import (
    CommandError,
    CommandIdReused,
    DeclarationError,
    HeadwaterError,
    NoSuchStream,
    Rejected,
    StreamExists,
    Unavailable,
    VersionConflict,
)
from eventstore.model.aggregate import Aggregate, handles
from eventstore.model.codec import decode
from eventstore.model.commands import ATTEMPTS, Commands, ask
from eventstore.model.log import ANY, Append, Outcome
from eventstore.model.message import Command, Event
from eventstore.model.repository import Loaded, Repository, shape
from eventstore.model.request import Receipt, Request, request
from eventstore.sql.log import SqlEventLog
from eventstore.sql.snapshots import SqlSnapshots
from tests.bank import (
    NOON,
    Account,
    Break,
    Corrupt,
    Deposit,
    Deposited,
    OpenAccount,
    Opened,
    Touch,
    Transfer,
    Withdraw,
    Withdrawn,
    append_of,
)
from tests.waiting import eventually


@pytest.fixture
def log(engine: Engine) -> Iterator[SqlEventLog]:
    log = SqlEventLog(engine, "bank")
    log.create_topics({"account": 4})
    yield log
    log.wakeup.close()


@pytest.fixture
def new_commands(log: SqlEventLog, engine: Engine) -> Iterator[Callable[[], Commands]]:
    """Commands as another process would have them: with a memory of their own."""
    made: list[Commands] = []

    def new() -> Commands:
        made.append(Commands(log, Repository(log, SqlSnapshots(engine, "bank"))))
        return made[-1]

    yield new
    for commands in made:
        commands.close()


@pytest.fixture
def commands(new_commands: Callable[[], Commands]) -> Commands:
    return new_commands()


def do(commands: Commands, command: Command, **options: Any) -> Receipt:
    return commands.execute(request(Account, command, **options))


def together(commands: Commands, *requests: Request) -> list[Any]:
    """Have ``requests`` decided as one group; the outcome of each, errors included."""
    futures: list[Future[Receipt]] = []
    with commands._group._committing:
        futures = [commands.submit(one) for one in requests]
    return [future.exception(20) or future.result() for future in futures]


def events(log: SqlEventLog, stream: str = "account-a") -> list[Event]:
    return [decode(record) for record in log.read_stream(stream)]


# ---------------------------------------------------------------- one command


def test_a_receipt_says_what_became_of_a_command(commands: Commands, log: SqlEventLog) -> None:
    do(commands, OpenAccount(account_id="a"))
    receipt = do(commands, Transfer(account_id="a", amounts=[1, 2]))
    assert (receipt.stream, receipt.version, receipt.repeated) == ("account-a", 3, False)
    assert receipt.events == (Deposited(amount=1), Deposited(amount=2))
    assert [event.meta for event in receipt.events] == [event.meta for event in events(log)[1:]]
    (partition,) = receipt.position
    assert log.source(["account"]).ends()[partition] == receipt.position[partition]


def test_creating_twice_is_refused(commands: Commands, new_commands: Callable[[], Commands]) -> None:
    do(commands, OpenAccount(account_id="a"))
    for one in (commands, new_commands()):
        with pytest.raises(StreamExists, match="account-a exists already, at version 1"):
            do(one, OpenAccount(account_id="a"))


def test_a_command_to_what_does_not_exist_is_refused(commands: Commands) -> None:
    with pytest.raises(NoSuchStream, match="account-a does not exist"):
        do(commands, Deposit(account_id="a", amount=1))


def test_an_aggregate_that_nothing_can_begin_is_told_how() -> None:
    class Light(Command):
        lamp_id: str

    class Lamp(Aggregate, category="lamp"):
        @handles(Light)
        def light(self, command: Light) -> None: ...

    refused = ask(request(Lamp, Light(lamp_id="1")), Loaded(Lamp(), 0)).failure
    assert isinstance(refused, NoSuchStream)
    assert "@handles(Light, new=True)" in refused.fix


def test_a_refusal_stores_nothing(commands: Commands, log: SqlEventLog) -> None:
    do(commands, OpenAccount(account_id="a"))
    with pytest.raises(Rejected, match="only 0 left"):
        do(commands, Withdraw(account_id="a", amount=1))
    assert events(log) == [Opened(owner="Ada")]


def test_a_command_that_changes_nothing_has_an_empty_receipt(commands: Commands, log: SqlEventLog) -> None:
    do(commands, OpenAccount(account_id="a"))
    assert do(commands, Touch(account_id="a")) == Receipt("account-a", 1)
    assert len(events(log)) == 1


def test_a_refusal_halfway_leaves_the_state_as_it_was(commands: Commands) -> None:
    do(commands, OpenAccount(account_id="a"))
    with pytest.raises(Rejected, match="negative"):
        do(commands, Transfer(account_id="a", amounts=[100, -1]))
    with pytest.raises(Rejected, match="only 0 left"):
        do(commands, Withdraw(account_id="a", amount=1))


def test_a_handler_that_breaks_down_fails_alone_and_leaves_the_state_as_it_was(commands: Commands) -> None:
    do(commands, OpenAccount(account_id="a"))
    with pytest.raises(ZeroDivisionError):
        do(commands, Break(account_id="a"))
    with pytest.raises(Rejected, match="only 0 left"):
        do(commands, Withdraw(account_id="a", amount=1))


def test_what_a_broken_handler_did_to_the_state_is_forgotten(commands: Commands) -> None:
    """Else: the next command is decided, and its events stored, on a state that no event led to."""
    do(commands, OpenAccount(account_id="a"))
    with pytest.raises(ZeroDivisionError):
        do(commands, Corrupt(account_id="a"))
    with pytest.raises(Rejected, match="only 0 left"):
        do(commands, Withdraw(account_id="a", amount=1))


def test_an_empty_key_is_the_commands_fault(commands: Commands) -> None:
    with pytest.raises(Rejected, match=r"OpenAccount\.account_id"):
        do(commands, OpenAccount(account_id=""))


def test_a_command_nobody_handles_says_so() -> None:
    class Unknown(Command):
        account_id: str

    with pytest.raises(DeclarationError, match="Account does not handle Unknown"):
        request(Account, Unknown(account_id="a"))


# ---------------------------------------------------------------- metadata


def test_metadata_is_carried_from_command_to_event(commands: Commands, log: SqlEventLog) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    do(
        commands,
        OpenAccount(account_id="a"),
        id="cmd-1",
        at=NOON,
        correlation_id="order-9",
        tenant="t1",
        user="ada",
        traceparent=trace,
    )
    (event,) = events(log)
    meta = event.meta
    assert (meta.at, meta.correlation_id, meta.causation_id) == (NOON, "order-9", "cmd-1")
    assert (meta.tenant, meta.user, meta.traceparent) == ("t1", "ada", trace)


def test_the_domain_sees_the_time_of_the_command(commands: Commands, log: SqlEventLog, engine: Engine) -> None:
    later = NOON.astimezone(UTC) + timedelta(microseconds=5)
    do(commands, OpenAccount(account_id="a"), at=later)
    loaded = Repository(log, SqlSnapshots(engine, "bank")).load(Account, "account-a")
    assert loaded.state.opened_at == later


def test_a_chain_begins_with_the_commands_own_id(commands: Commands, log: SqlEventLog) -> None:
    do(commands, OpenAccount(account_id="a"), id="cmd-1")
    assert events(log)[0].meta.correlation_id == "cmd-1"


@pytest.mark.parametrize(
    "options", [{"id": ""}, {"user": "x\x00"}, {"tenant": "\ud800"}, {"id": "x" * 501}, {"at": datetime(2026, 1, 1)}]
)
def test_metadata_that_cannot_be_stored_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(CommandError):
        request(Account, OpenAccount(account_id="a"), **options)


# ---------------------------------------------------------------- repetition


def test_the_same_command_id_gives_the_first_receipt(commands: Commands, log: SqlEventLog) -> None:
    do(commands, OpenAccount(account_id="a"))
    first = do(commands, Transfer(account_id="a", amounts=[1, 2]), id="t")
    do(commands, Deposit(account_id="a", amount=5))
    again = do(commands, Transfer(account_id="a", amounts=[1, 2]), id="t")
    assert again.repeated
    assert (again.version, again.events, again.position) == (first.version, first.events, first.position)
    assert len(events(log)) == 4


def test_a_repetition_is_recognised_although_it_would_be_refused_now(
    commands: Commands, new_commands: Callable[[], Commands]
) -> None:
    first = do(commands, OpenAccount(account_id="a"), id="o")
    do(commands, Deposit(account_id="a", amount=5))
    do(commands, Withdraw(account_id="a", amount=5), id="w")
    for one in (commands, new_commands()):
        assert do(one, OpenAccount(account_id="a"), id="o").events == first.events
        assert do(one, Withdraw(account_id="a", amount=5), id="w").repeated
        assert do(one, Withdraw(account_id="a", amount=5), id="w", expected=2).repeated


def test_the_same_id_with_another_payload_is_an_error(commands: Commands) -> None:
    do(commands, OpenAccount(account_id="a"), id="o")
    do(commands, Deposit(account_id="a", amount=5), id="d")
    for command in (Deposit(account_id="a", amount=6), Withdraw(account_id="a", amount=500)):
        with pytest.raises(CommandIdReused):
            do(commands, command, id="d")
    with pytest.raises(CommandIdReused):
        do(commands, OpenAccount(account_id="b"), id="o")


def test_an_id_used_twice_does_not_fail_the_command_after_it(commands: Commands) -> None:
    """What rested on the outcome of the one with the wrong id is decided again, not refused for it."""
    do(commands, OpenAccount(account_id="a"))
    do(commands, Deposit(account_id="a", amount=1), id="c-1")
    outcomes = together(
        commands,
        request(Account, Deposit(account_id="a", amount=2), id="c-1"),
        request(Account, Withdraw(account_id="a", amount=100)),
        request(Account, Touch(account_id="a")),
    )
    assert [type(outcome) for outcome in outcomes] == [CommandIdReused, Rejected, Receipt]


def test_the_same_id_twice_in_one_group_is_carried_out_once(commands: Commands, log: SqlEventLog) -> None:
    opening = [request(Account, OpenAccount(account_id="a"), id="o") for _ in range(3)]
    outcomes = together(commands, *opening)
    assert sorted(outcome.repeated for outcome in outcomes) == [False, True, True]
    assert len(events(log)) == 1


# ---------------------------------------------------------------- memory that is out of date


def test_a_refusal_by_an_outdated_state_is_looked_at_again(
    commands: Commands, new_commands: Callable[[], Commands]
) -> None:
    do(commands, OpenAccount(account_id="a"))
    do(new_commands(), Deposit(account_id="a", amount=10))
    assert do(commands, Withdraw(account_id="a", amount=10)).version == 3


def test_a_stream_created_elsewhere_is_found(commands: Commands, new_commands: Callable[[], Commands]) -> None:
    other = new_commands()
    do(other, OpenAccount(account_id="a"))
    do(other, Deposit(account_id="a", amount=10))
    assert do(commands, Withdraw(account_id="a", amount=10)).version == 3


def test_a_decision_on_an_outdated_state_is_made_again(
    commands: Commands, new_commands: Callable[[], Commands], log: SqlEventLog
) -> None:
    other = new_commands()
    do(commands, OpenAccount(account_id="a"))
    do(commands, Deposit(account_id="a", amount=10))
    do(other, Withdraw(account_id="a", amount=10))
    with pytest.raises(Rejected, match="only 0 left"):
        do(commands, Withdraw(account_id="a", amount=10))
    assert events(log)[-1] == Withdrawn(amount=10)
    assert len(events(log)) == 3


def test_a_version_the_caller_expects_is_insisted_on(commands: Commands, new_commands: Callable[[], Commands]) -> None:
    do(commands, OpenAccount(account_id="a"))
    assert do(new_commands(), Deposit(account_id="a", amount=1), expected=1).version == 2
    with pytest.raises(VersionConflict) as caught:
        do(commands, Deposit(account_id="a", amount=1), expected=1)
    assert (caught.value.expected, caught.value.actual) == (1, 2)
    assert do(commands, Deposit(account_id="a", amount=1), expected=2).version == 3


def test_attempts_are_bounded_when_others_are_always_faster(
    commands: Commands, log: SqlEventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(commands, OpenAccount(account_id="a"))
    append, calls = log.append, []

    def somebody_is_faster(appends: Sequence[Append], connection: Any = None) -> list[Outcome]:
        calls.append(len(appends))
        append([append_of("account-a", ANY, f"faster/{len(calls)}")])
        return append(appends, connection)

    monkeypatch.setattr(log, "append", somebody_is_faster)
    with pytest.raises(VersionConflict):
        do(commands, Deposit(account_id="a", amount=1))
    assert calls == [1] * ATTEMPTS


# ---------------------------------------------------------------- groups


def test_commands_of_one_stream_build_on_each_other_in_one_group(commands: Commands, log: SqlEventLog) -> None:
    outcomes = together(
        commands,
        request(Account, OpenAccount(account_id="a")),
        request(Account, Withdraw(account_id="a", amount=1)),
        request(Account, Deposit(account_id="a", amount=5)),
        request(Account, Withdraw(account_id="a", amount=5)),
        request(Account, Withdraw(account_id="a", amount=1)),
    )
    assert [type(outcome) for outcome in outcomes] == [Receipt, Rejected, Receipt, Receipt, Rejected]
    assert [outcome.version for outcome in outcomes if isinstance(outcome, Receipt)] == [1, 2, 3]
    assert len(events(log)) == 3


def test_one_that_breaks_down_in_a_group_fails_alone(commands: Commands, log: SqlEventLog) -> None:
    do(commands, OpenAccount(account_id="a"))
    outcomes = together(
        commands,
        request(Account, Deposit(account_id="a", amount=1)),
        request(Account, Break(account_id="a")),
        request(Account, Withdraw(account_id="a", amount=2)),
        request(Account, Withdraw(account_id="a", amount=1)),
        request(Account, OpenAccount(account_id="b")),
    )
    assert [type(o) for o in outcomes] == [Receipt, ZeroDivisionError, Rejected, Receipt, Receipt]
    assert events(log)[1:] == [Deposited(amount=1), Withdrawn(amount=1)]


def test_a_chain_on_an_outdated_state_is_decided_again_as_a_whole(
    commands: Commands, new_commands: Callable[[], Commands], log: SqlEventLog
) -> None:
    do(commands, OpenAccount(account_id="a"))
    do(new_commands(), Deposit(account_id="a", amount=10))
    outcomes = together(
        commands,
        request(Account, Deposit(account_id="a", amount=1)),
        request(Account, Withdraw(account_id="a", amount=11)),
        request(Account, Withdraw(account_id="a", amount=1)),
    )
    assert [type(o) for o in outcomes] == [Receipt, Receipt, Rejected]
    assert events(log)[2:] == [Deposited(amount=1), Withdrawn(amount=11)]


def test_a_group_of_many_streams_is_appended_in_one_call(
    commands: Commands, log: SqlEventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, calls = log.append, []

    def count(appends: Sequence[Append], connection: Any = None) -> list[Outcome]:
        calls.append(len(appends))
        return append(appends, connection)

    monkeypatch.setattr(log, "append", count)
    together(commands, *[request(Account, OpenAccount(account_id=str(n))) for n in range(50)])
    assert calls == [50]


def test_what_one_thread_submits_for_a_stream_is_carried_out_in_that_order(
    commands: Commands, log: SqlEventLog
) -> None:
    futures = [commands.submit(request(Account, OpenAccount(account_id="a")))]
    futures += [commands.submit(request(Account, Deposit(account_id="a", amount=n))) for n in range(200)]
    assert [future.result(20).version for future in futures] == list(range(1, 202))
    assert events(log)[1:] == [Deposited(amount=n) for n in range(200)]


def test_threads_that_share_an_account_lose_no_money(commands: Commands, new_commands: Callable[[], Commands]) -> None:
    do(commands, OpenAccount(account_id="a"))
    both = [commands, new_commands()]

    def pay_in(n: int) -> None:
        paid = 0
        while paid < 25:
            with contextlib.suppress(VersionConflict):  # the other process was faster, ten times over
                do(both[n % 2], Deposit(account_id="a", amount=1))
                paid += 1

    threads = [threading.Thread(target=pay_in, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert do(commands, Withdraw(account_id="a", amount=200)).version == 202


def test_an_append_that_fails_leaves_nothing_in_memory(
    commands: Commands, log: SqlEventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else: the command is refused on the strength of an event that was never stored."""
    do(commands, OpenAccount(account_id="a"))
    do(commands, Deposit(account_id="a", amount=10))
    with monkeypatch.context() as broken:

        def fail(*_: object) -> list[Outcome]:
            raise Unavailable("the database is away")

        broken.setattr(log, "append", fail)
        with pytest.raises(Unavailable):
            do(commands, Withdraw(account_id="a", amount=10))
    assert do(commands, Withdraw(account_id="a", amount=10)).version == 3


def test_a_stream_that_cannot_be_appended_does_not_fail_the_others(
    commands: Commands, log: SqlEventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = log.append

    def refuse_b(appends: Sequence[Append], connection: Any = None) -> list[Outcome]:
        if any(one.stream == "account-b" for one in appends):
            raise ZeroDivisionError
        return append(appends, connection)

    monkeypatch.setattr(log, "append", refuse_b)
    outcomes = together(commands, *[request(Account, OpenAccount(account_id=key)) for key in "abc"])
    assert [type(outcome) for outcome in outcomes] == [Receipt, ZeroDivisionError, Receipt]


def test_a_cancelled_command_is_not_carried_out(commands: Commands, log: SqlEventLog) -> None:
    with commands._group._committing:
        future = commands.submit(request(Account, OpenAccount(account_id="a")))
        assert future.cancel()
        other = commands.submit(request(Account, OpenAccount(account_id="b")))
    other.result(20)
    assert events(log) == []


def test_after_closing_nothing_more_is_taken_and_what_was_submitted_is_done(commands: Commands) -> None:
    futures = [commands.submit(request(Account, OpenAccount(account_id=str(n)))) for n in range(20)]
    commands.close()
    assert all(future.done() for future in futures)
    with pytest.raises(HeadwaterError, match="closed"):
        do(commands, OpenAccount(account_id="a"))
    with pytest.raises(HeadwaterError, match="closed"):
        commands.submit(request(Account, OpenAccount(account_id="a")))


# ---------------------------------------------------------------- snapshots


def test_a_state_is_kept_every_so_many_events(commands: Commands, engine: Engine, log: SqlEventLog) -> None:
    do(commands, OpenAccount(account_id="a"))
    store = SqlSnapshots(engine, "bank")
    do(commands, Transfer(account_id="a", amounts=[1] * 8))
    assert store.load("account-a", shape(Account)) is None
    do(commands, Transfer(account_id="a", amounts=[1] * 3))
    kept = store.load("account-a", shape(Account))
    assert kept is not None
    assert kept.version == 12


def test_a_lone_caller_is_served_in_its_own_thread(commands: Commands) -> None:
    do(commands, OpenAccount(account_id="a"))
    eventually(lambda: not any(thread.name == "headwater-commands" for thread in threading.enumerate()))
