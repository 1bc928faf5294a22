"""The kit for testing aggregates: what passes, what fails, and how a failure reads."""

from __future__ import annotations

from typing import Any

import pytest

from eventstore.errors import DeclarationError, NotStorable
from eventstore.model.aggregate import Aggregate, applies, handles
from eventstore.model.message import Command, Event
from eventstore.testing import given
from tests.bank import (
    NOON,
    Account,
    Break,
    Deposit,
    Deposited,
    OpenAccount,
    Opened,
    Touch,
    Transfer,
    Withdraw,
    Withdrawn,
)

OPENED = Opened(owner="Ada")


def test_a_command_leads_to_events() -> None:
    given(Account, OPENED, Deposited(amount=5)).when(Withdraw(account_id="a", amount=3)).then(Withdrawn(amount=3))


def test_a_new_aggregate_is_given_nothing() -> None:
    given(Account).when(OpenAccount(account_id="a")).then(OPENED)


def test_several_commands_follow_each_other() -> None:
    (
        given(Account)
        .when(OpenAccount(account_id="a"))
        .when(Deposit(account_id="a", amount=2))
        .then(Deposited(amount=2))
        .when(Withdraw(account_id="a", amount=3))
        .then_rejected("only 2 left")
        .when(Withdraw(account_id="a", amount=2))
        .then(Withdrawn(amount=2))
        .then_state(balance=0)
    )


def test_a_refused_command_changes_nothing() -> None:
    kit = given(Account, OPENED).when(Transfer(account_id="a", amounts=[7, -1]))
    kit.then_rejected("negative").then_state(balance=0)


def test_existence_is_checked_as_in_production() -> None:
    given(Account).when(Deposit(account_id="a", amount=1)).then_rejected("does not exist")
    given(Account, OPENED).when(OpenAccount(account_id="a")).then_rejected("exists already")


def test_a_command_may_change_nothing() -> None:
    given(Account, OPENED).when(Touch(account_id="a")).then_nothing()


def test_the_domain_sees_the_time_that_the_test_gives() -> None:
    given(Account).when(OpenAccount(account_id="a"), at=NOON).then_state(opened_at=NOON)


def test_a_fault_of_the_aggregate_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        given(Account, OPENED).when(Break(account_id="a"))


def test_an_event_that_cannot_be_stored_is_found() -> None:
    class Noted(Event):
        text: Any

    class Note(Command):
        pad_id: str

    class Pad(Aggregate, category="pad"):
        @handles(Note, new=True)
        def note(self, command: Note) -> Event:
            return Noted(text=(1, 2))

        @applies(Noted)
        def noted(self, event: Noted) -> None: ...

    with pytest.raises(NotStorable):
        given(Pad).when(Note(pad_id="a"))
    with pytest.raises(NotStorable):
        given(Pad, Noted(text=(1, 2)))


def test_an_event_that_the_aggregate_does_not_apply_is_found() -> None:
    class Strange(Event): ...

    with pytest.raises(DeclarationError, match="does not apply Strange"):
        given(Account, Strange())


@pytest.mark.parametrize(
    ("check", "says"),
    [
        (
            lambda kit: kit.then(Deposited(amount=2)),
            r"expected:\n +Deposited\(amount=2\)\n +got:\n +Deposited\(amount=1\)",
        ),
        (lambda kit: kit.then(), "led to other events"),
        (lambda kit: kit.then(Deposited(amount=1), Deposited(amount=1)), "led to other events"),
        (lambda kit: kit.then_nothing(), "led to other events"),
        (lambda kit: kit.then_rejected(), r"was not refused; it led to\n +Deposited\(amount=1\)"),
        (lambda kit: kit.then_state(balance=2), "balance: expected 2, got 1"),
    ],
)
def test_a_wrong_expectation_fails_and_says_what_happened(check: Any, says: str) -> None:
    kit = given(Account, OPENED).when(Deposit(account_id="a", amount=1))
    with pytest.raises(AssertionError, match=says):
        check(kit)


def test_a_wrong_reason_or_an_unexpected_refusal_fails() -> None:
    kit = given(Account, OPENED).when(Withdraw(account_id="a", amount=1))
    with pytest.raises(AssertionError, match="for another reason"):
        kit.then_rejected("too late")
    with pytest.raises(AssertionError, match="the command was refused"):
        kit.then(Withdrawn(amount=1))


def test_looking_before_any_command_fails() -> None:
    with pytest.raises(AssertionError, match="no command was sent"):
        given(Account).then_nothing()
