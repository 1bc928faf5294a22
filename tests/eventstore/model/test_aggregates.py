"""What an aggregate may declare, and how it decides."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from eventstore.errors import DeclarationError
from eventstore.model.aggregate import Aggregate, applies, apply, decide, handles, target
from eventstore.model.message import Command, Event
from eventstore.model.stream import murmur2, partition_of, split_stream, stream_name
from tests.bank import Account, Deposit, Deposited, Opened


class Lit(Event): ...


class Light(Command):
    lamp_id: str


def test_a_category_is_needed_and_checked() -> None:
    with pytest.raises(DeclarationError, match="has no category"):

        class Lamp(Aggregate): ...

    with pytest.raises(DeclarationError, match="is not a category"):

        class Lamp2(Aggregate, category="Lamp-2"): ...


def test_a_field_without_a_default_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"Lamp\.colour has no default"):

        class Lamp(Aggregate, category="lamp"):
            colour: str


def test_a_command_that_cannot_be_routed_is_refused() -> None:
    class Blow(Command):
        candle: str

    with pytest.raises(DeclarationError, match="no field 'lamp_id'"):

        class Lamp(Aggregate, category="lamp"):
            @handles(Blow)
            def blow(self, command: Blow) -> None: ...


def test_a_command_or_event_with_two_methods_is_refused() -> None:
    with pytest.raises(DeclarationError, match="handles Light twice"):

        class Lamp(Aggregate, category="lamp"):
            @handles(Light)
            def one(self, command: Light) -> None: ...
            @handles(Light)
            def two(self, command: Light) -> None: ...

    with pytest.raises(DeclarationError, match="applies Lit twice"):

        class Lamp2(Aggregate, category="lamp"):
            @applies(Lit)
            def one(self, event: Lit) -> None: ...
            @applies(Lit)
            def two(self, event: Lit) -> None: ...


def test_a_decorator_that_was_mixed_up_is_refused_where_it_is_written() -> None:
    with pytest.raises(DeclarationError, match=r"Lit is no command[\s\S]*@applies\(Lit\)"):
        handles(Lit)  # type: ignore[type-var]
    with pytest.raises(DeclarationError, match=r"Light is no event[\s\S]*@handles\(Light\)"):
        applies(Light)  # type: ignore[type-var]


def test_a_class_that_is_no_message_is_refused() -> None:
    class Plain: ...

    with pytest.raises(DeclarationError, match="Plain is no event"):
        applies(Plain)  # type: ignore[type-var]


def test_a_decorator_without_its_class_is_refused() -> None:
    def lit() -> None: ...

    with pytest.raises(DeclarationError, match="@applies above lit does not say of which event"):
        applies(lit)  # type: ignore[call-overload]


def test_an_async_method_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"Lamp\.light is async"):

        class Lamp(Aggregate, category="lamp"):
            @handles(Light)  # type: ignore[type-var]
            async def light(self, command: Light) -> None: ...


def test_an_event_that_nothing_applies_is_an_error() -> None:
    with pytest.raises(DeclarationError, match="Account does not apply Lit"):
        apply(Account(), Lit())


def test_an_answer_that_is_no_event_is_an_error() -> None:
    class Lamp(Aggregate, category="lamp"):
        @handles(Light)
        def light(self, command: Light) -> Event:
            return ["lit"]  # type: ignore[return-value]

    with pytest.raises(DeclarationError, match="answered Light with 'lit'"):
        list(decide(Lamp(), Light(lamp_id="a")))


@pytest.mark.parametrize("answer", ["lit", Light(lamp_id="1"), 7])
def test_an_answer_that_is_no_event_is_shown_whole(answer: object) -> None:
    class Lamp(Aggregate, category="lamp"):
        @handles(Light)  # type: ignore[type-var]
        def light(self, command: Light) -> object:
            return answer

    with pytest.raises(DeclarationError, match=re.escape(f"answered Light with {answer!r}")):
        list(decide(Lamp(), Light(lamp_id="1")))


def test_code_after_a_yield_sees_the_state_that_the_event_led_to() -> None:
    class Lamp(Aggregate, category="lamp"):
        lit: int = 0

        @handles(Light)
        def light(self, command: Light) -> Iterator[Event]:
            while self.lit < 3:
                yield Lit()

        @applies(Lit)
        def on(self, event: Lit) -> None:
            self.lit += 1

    lamp = Lamp()
    for event in decide(lamp, Light(lamp_id="a")):
        apply(lamp, event)
    assert lamp.lit == 3


def test_an_aggregate_inherits_what_its_base_handles() -> None:
    class Savings(Account, category="savings", key="account_id"):
        @applies(Opened)
        def opened(self, event: Opened) -> None:
            self.balance = 5

    state = Savings()
    apply(state, Opened(owner="Ada"))
    apply(state, Deposited(amount=1))
    assert state.balance == 6
    assert target(Savings, Deposit(account_id="a", amount=1)) == "savings-a"


@pytest.mark.parametrize("key", ["", "x" * 501, "a\x00b", "\ud800", None])
def test_a_key_that_cannot_name_a_stream_is_refused(key: object) -> None:
    with pytest.raises(DeclarationError):
        stream_name("order", key)


def test_a_stream_is_split_at_its_first_dash() -> None:
    assert split_stream("order-o-1") == ("order", "o-1")


@pytest.mark.parametrize("name", ["order", "order-", "-o", "Order-1", ""])
def test_what_is_no_stream_name_is_refused(name: str) -> None:
    with pytest.raises(DeclarationError, match="is not the name of a stream"):
        split_stream(name)


@pytest.mark.parametrize(
    ("data", "hash"),
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536), (b"abc", 479470107)],
)
def test_the_partitioner_is_kafkas(data: bytes, hash: int) -> None:
    """The pinned values of Kafka's own UtilsTest.testMurmur2."""
    assert murmur2(data) == hash % 2**32


def test_a_stream_stays_in_its_partition() -> None:
    assert [partition_of(f"order-{n}", 6) for n in range(8)] == [partition_of(f"order-{n}", 6) for n in range(8)]
    assert {partition_of(f"order-{n}", 4) for n in range(100)} == {0, 1, 2, 3}
