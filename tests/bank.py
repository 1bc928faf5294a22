"""A small domain for tests of the log and of commands."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from eventstore.errors import Rejected
from eventstore.model.aggregate import Aggregate, applies, handles
from eventstore.model.codec import NewEvent, encode, event_id
from eventstore.model.log import Append, ExpectedVersion
from eventstore.model.message import Command, Event

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Opened(Event, name="account-opened"):
    owner: str


class Deposited(Event, name="deposited"):
    amount: int


class Withdrawn(Event, name="withdrawn"):
    amount: int


class OpenAccount(Command):
    account_id: str
    owner: str = "Ada"


class Deposit(Command):
    account_id: str
    amount: int


class Withdraw(Command):
    account_id: str
    amount: int


class Transfer(Command):
    """Several deposits at once, refused halfway when one of them is negative."""

    account_id: str
    amounts: list[int]


class Touch(Command):
    """Changes nothing."""

    account_id: str


class Break(Command):
    """Breaks down after a first event."""

    account_id: str


class Corrupt(Command):
    """Breaks down after it changed the state, which no handler may."""

    account_id: str


class Account(Aggregate, category="account", snapshot_every=10):
    balance: int = 0
    opened_at: datetime | None = None

    @handles(OpenAccount, new=True)
    def open(self, command: OpenAccount) -> Event:
        return Opened(owner=command.owner)

    @handles(Deposit)
    def deposit(self, command: Deposit) -> Event:
        return Deposited(amount=command.amount)

    @handles(Withdraw)
    def withdraw(self, command: Withdraw) -> Event:
        if command.amount > self.balance:
            raise Rejected(f"only {self.balance} left")
        return Withdrawn(amount=command.amount)

    @handles(Transfer)
    def transfer(self, command: Transfer) -> Iterator[Event]:
        for amount in command.amounts:
            if amount < 0:
                raise Rejected("negative amount")
            yield Deposited(amount=amount)

    @handles(Touch)
    def touch(self, command: Touch) -> None:
        return None

    @handles(Break)
    def break_down(self, command: Break) -> Iterator[Event]:
        yield Deposited(amount=1_000_000)
        raise ZeroDivisionError("broken")

    @handles(Corrupt)
    def corrupt(self, command: Corrupt) -> None:
        self.balance = 1_000_000
        raise ZeroDivisionError("corrupted")

    @applies(Opened)
    def opened(self, event: Opened) -> None:
        self.opened_at = event.meta.at

    @applies(Deposited)
    def deposited(self, event: Deposited) -> None:
        self.balance += event.amount

    @applies(Withdrawn)
    def withdrawn(self, event: Withdrawn) -> None:
        self.balance -= event.amount


def new_event(id: str, amount: int = 1) -> NewEvent:
    return encode(Deposited(amount=amount), id)


def append_of(
    stream: str, expected: ExpectedVersion, cause: str, *, count: int = 1, at: datetime = NOON, digest: str = ""
) -> Append:
    """An append of ``count`` events whose ids follow from ``cause``."""
    return Append(stream, [new_event(event_id(cause, n), n) for n in range(count)], expected, at, {}, digest)
