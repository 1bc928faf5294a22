"""Aggregates: what decides. Pure: deciding and applying touch no storage and no clock.

::

    class Order(Aggregate, category="order"):            # its fields are its state and its snapshot
        status: Literal["new", "placed", "paid"] = "new"

        @handles(PayOrder)
        def pay(self, command: PayOrder) -> Event:
            if self.status != "placed":
                raise Rejected("only a placed order can be paid")
            return OrderPaid()

        @applies(OrderPaid)
        def paid(self, event: OrderPaid) -> None:
            self.status = "paid"
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, NamedTuple, TypeAlias, TypeVar, Unpack, overload

from pydantic import BaseModel, ConfigDict

from eventstore.errors import DeclarationError, Rejected
from eventstore.model.message import Command, Event, check_upcasters
from eventstore.model.stream import check_category, stream_name

Decision: TypeAlias = Event | Iterable[Event] | None


class Decider(NamedTuple):
    """The method that handles a command; ``new``: the stream must not exist, otherwise it must."""

    method: Callable[[Any, Any], Decision]
    new: bool


class Aggregate(BaseModel):
    """Base of aggregates: ``class Order(Aggregate, category="order", key="order_id", snapshot_every=100)``.

    ``category`` (required) names the topic; ``key`` is the commands' field that says which one (default:
    ``<category>_id``); ``snapshot_every`` stores the state every that many events (default 100, 0: never).
    All fields need defaults: a new aggregate is ``Order()``.
    """

    model_config = ConfigDict(ser_json_inf_nan="strings", ser_json_bytes="base64", val_json_bytes="base64")

    category: ClassVar[str]
    key_field: ClassVar[str]
    snapshot_every: ClassVar[int]
    deciders: ClassVar[dict[type[Command], Decider]]
    appliers: ClassVar[dict[type[Event], Callable[[Any, Any], None]]]

    def __init_subclass__(
        cls,
        *,
        category: str | None = None,
        key: str | None = None,
        snapshot_every: int = 100,
        **config: Unpack[ConfigDict],
    ) -> None:
        super().__init_subclass__(**config)

    @classmethod
    def __pydantic_init_subclass__(
        cls, *, category: str | None = None, key: str | None = None, snapshot_every: int = 100, **config: Any
    ) -> None:
        super().__pydantic_init_subclass__(**config)
        if category is None:
            raise DeclarationError(
                f"{cls.__name__} has no category",
                "its streams are named <category>-<key>",
                f'class {cls.__name__}(Aggregate, category="{cls.__name__.lower()}")',
            )
        cls.category, cls.key_field = check_category(category), key or f"{category}_id"
        cls.snapshot_every = snapshot_every
        cls.deciders, cls.appliers = {}, {}
        for member in _members(cls):
            for mark in getattr(member, "_hw_marks", ()):
                mark(cls, member)
        _check_defaults(cls)


def _members(cls: type) -> Iterator[Any]:
    """Everything the class and its bases define, a subclass's before its base's."""
    seen: set[str] = set()
    for base in cls.__mro__:
        for name, member in vars(base).items():
            if name not in seen:
                seen.add(name)
                yield member


def _check_defaults(cls: type[Aggregate]) -> None:
    required = [name for name, field in cls.model_fields.items() if field.is_required()]
    if required:
        raise DeclarationError(
            f"{cls.__name__}.{required[0]} has no default",
            "an aggregate begins empty, before its first event",
            f"{required[0]}: ... = <what it is before anything happened>",
        )


A = TypeVar("A", bound=Aggregate)
C = TypeVar("C", bound=Command)
E = TypeVar("E", bound=Event)
E2 = TypeVar("E2", bound=Event)
E3 = TypeVar("E3", bound=Event)
D = TypeVar("D", bound=Decision)
Method = TypeVar("Method", bound=Callable[..., Any])


def _mark(method: Method, mark: Callable[[type[Aggregate], Any], None]) -> Method:
    method._hw_marks = (*getattr(method, "_hw_marks", ()), mark)  # type: ignore[attr-defined]
    return method


def handles(command: type[C], *, new: bool = False) -> Callable[[Callable[[A, C], D]], Callable[[A, C], D]]:
    """Mark the method that decides ``command``: it returns or yields events, or raises ``Rejected``.

    ``new``: the stream must not exist; otherwise it must.
    """

    _check_given("handles", command, Command)

    def register(cls: type[Aggregate], method: Any) -> None:
        _check_plain(cls, method)
        if cls.key_field not in command.model_fields:
            raise DeclarationError(
                f"{command.__name__} cannot be routed: it has no field {cls.key_field!r}",
                f"{cls.__name__} finds its stream by {cls.key_field!r}",
                f'add {cls.key_field}: str to {command.__name__}, or say class {cls.__name__}(..., key="<field>")',
            )
        if command in cls.deciders:
            raise DeclarationError(f"{cls.__name__} handles {command.__name__} twice", "each command has one handler")
        cls.deciders[command] = Decider(method, new)

    return lambda method: _mark(method, register)


@overload
def applies(event: type[E], /) -> Callable[[Callable[[A, E], None]], Callable[[A, E], None]]: ...
@overload
def applies(
    event: type[E], event2: type[E2], /
) -> Callable[[Callable[[A, E | E2], None]], Callable[[A, E | E2], None]]: ...
@overload
def applies(
    event: type[E], event2: type[E2], event3: type[E3], /
) -> Callable[[Callable[[A, E | E2 | E3], None]], Callable[[A, E | E2 | E3], None]]: ...
def applies(*events: Any) -> Any:
    """Mark the method that applies these events to the state. It may change nothing but ``self``."""

    for event in events:
        _check_given("applies", event, Event)

    def register(cls: type[Aggregate], method: Any) -> None:
        _check_plain(cls, method)
        for event in events:
            if event in cls.appliers:
                raise DeclarationError(f"{cls.__name__} applies {event.__name__} twice", "each event has one method")
            check_upcasters(event)
            cls.appliers[event] = method

    return lambda method: _mark(method, register)


def _check_given(decorator: str, given: object, base: type[Command] | type[Event]) -> None:
    """Refuse what ``@handles`` and ``@applies`` are not for, where it is written and not when it is first used."""
    if isinstance(given, type) and issubclass(given, base):
        return
    kind = base.__name__.lower()
    if inspect.isfunction(given):
        raise DeclarationError(
            f"@{decorator} above {given.__name__} does not say of which {kind}",
            "it takes the class",
            f"@{decorator}(<{kind} class>)",
        )
    name = getattr(given, "__name__", repr(given))
    if isinstance(given, type) and issubclass(given, (Command, Event)):
        raise DeclarationError(
            f"@{decorator}({name}): {name} is no {kind}",
            "an aggregate handles commands and applies events",
            f"@{'applies' if decorator == 'handles' else 'handles'}({name})",
        )
    raise DeclarationError(
        f"@{decorator}({name}): {name} is no {kind}",
        f"it is not made from {base.__name__}",
        f"class …({base.__name__})",
    )


def _check_plain(cls: type[Aggregate], method: Any) -> None:
    if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
        raise DeclarationError(
            f"{cls.__name__}.{method.__name__} is async",
            "it decides or applies by what it is given and waits for nothing; callers may: await app.aio.execute(…)",
            f"def {method.__name__}(…)",
        )


def apply(state: Aggregate, event: Event) -> None:
    """Change ``state`` by ``event``."""
    applier = type(state).appliers.get(type(event))
    if applier is None:
        raise DeclarationError(
            f"{type(state).__name__} does not apply {type(event).__name__}",
            "every event of an aggregate's stream changes its state, if only by `pass`",
            f"add a method marked @applies({type(event).__name__}) to {type(state).__name__}",
        )
    applier(state, event)


def decide(state: Aggregate, command: Command) -> Iterator[Event]:
    """The events with which ``state`` answers ``command``.

    The caller applies each before it asks for the next, so code after a ``yield`` sees the new state.
    """
    decision = type(state).deciders[type(command)].method(state, command)
    if decision is None:
        return
    one = isinstance(decision, (str, bytes, BaseModel)) or not isinstance(decision, Iterable)
    for event in (decision,) if one else decision:
        if not isinstance(event, Event):
            raise DeclarationError(
                f"{type(state).__name__} answered {type(command).__name__} with {event!r}",
                "a handler returns or yields events, or returns None",
            )
        yield event


def target(aggregate: type[Aggregate], command: Command) -> str:
    """The stream that ``command`` is for. A key that cannot be one is the command's fault: ``Rejected``."""
    try:
        return stream_name(aggregate.category, getattr(command, aggregate.key_field))
    except DeclarationError as error:
        raise Rejected(f"{type(command).__name__}.{aggregate.key_field}: {error.what}", error.why, error.fix) from None
