"""Testing aggregates without any storage: given events, when a command, then events.

::

    def test_a_placed_order_can_be_paid() -> None:
        given(Order, OrderPlaced(total=Decimal(10))).when(PayOrder(order_id="o-1")).then(OrderPaid())

Deciding, applying, and the check that events can be stored are those of production.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Generic, Self, TypeVar

from eventstore.errors import Rejected
from eventstore.model.aggregate import Aggregate, apply
from eventstore.model.answer import ask
from eventstore.model.codec import encode
from eventstore.model.message import Command, Event, Meta, stamp
from eventstore.model.repository import Loaded
from eventstore.model.request import request

A = TypeVar("A", bound=Aggregate)
# What a test does not say is the same on every day.
TEST_TIME = Meta().at


class Given(Generic[A]):
    """An aggregate with a history, and its answer to the last command.

    Several ``when`` may follow each other: each command meets what those before it led to. A refused command
    changes nothing.
    """

    def __init__(self, aggregate: type[A], history: Sequence[Event]) -> None:
        self._aggregate = aggregate
        self._history: list[Event] = []
        self._answer: list[Event] | None = None
        self._refusal: Rejected | None = None
        for event in history:
            encode(event, "given")
            self._history.append(event)
        self._state()

    def when(
        self, command: Command, *, at: datetime = TEST_TIME, tenant: str | None = None, user: str | None = None
    ) -> Self:
        """Send ``command``; ``at`` is the time that ``command.meta.at`` shows (default: 2026-01-01, UTC).

        Anything but a refusal is raised at once: it is a fault of the aggregate, not an answer.
        """
        asked = request(self._aggregate, command, id="test", at=at, tenant=tenant, user=user)
        answer = ask(asked, Loaded(self._state(), len(self._history)))
        if answer.failure is not None and not isinstance(answer.failure, Rejected):
            raise answer.failure
        self._refusal = answer.failure
        self._answer = [] if answer.failure else answer.events
        self._history += self._answer
        return self

    def then(self, *events: Event) -> Self:
        """The command led to exactly these events, in this order."""
        answer = self._asked()
        assert self._refusal is None, f"the command was refused: {self._refusal}"
        assert answer == list(events), f"the command led to other events\n{_compare(events, answer)}"
        return self

    def then_nothing(self) -> Self:
        """The command was accepted and changed nothing."""
        return self.then()

    def then_rejected(self, match: str = "") -> Self:
        """The command was refused, for a reason that the regular expression ``match`` is found in."""
        answer = self._asked()
        assert self._refusal is not None, f"the command was not refused; it led to\n{_lines(answer)}"
        found = re.search(match, str(self._refusal))
        assert found, f"the command was refused for another reason\n  expected: {match}\n  got:      {self._refusal}"
        return self

    def then_state(self, **fields: object) -> Self:
        """The aggregate's fields now have these values; those not named are not looked at."""
        state = self._state()
        wrong = [
            f"  {name}: expected {value!r}, got {getattr(state, name)!r}"
            for name, value in fields.items()
            if getattr(state, name) != value
        ]
        assert not wrong, "\n".join([f"the {self._aggregate.__name__} is in another state", *wrong])
        return self

    def _state(self) -> A:
        """The state after the whole history: a refused command may have left its copy half changed."""
        state = self._aggregate()
        for version, event in enumerate(self._history, start=1):
            apply(state, stamp(event, event.meta._replace(version=version)))
        return state

    def _asked(self) -> list[Event]:
        assert self._answer is not None, "no command was sent: say .when(...) first"
        return self._answer


def given(aggregate: type[A], *events: Event) -> Given[A]:
    """An ``aggregate`` to which ``events`` happened; none: it does not exist yet."""
    return Given(aggregate, events)


def _lines(events: Sequence[Event]) -> str:
    return "\n".join(f"    {event!r}" for event in events) or "    nothing"


def _compare(expected: Sequence[Event], got: Sequence[Event]) -> str:
    return f"  expected:\n{_lines(expected)}\n  got:\n{_lines(got)}"
