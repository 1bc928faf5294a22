"""Events and commands: immutable pydantic models with metadata beside their data."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar, NamedTuple, TypeVar, Unpack

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr
from pydantic._internal._model_construction import ModelMetaclass
from typing_extensions import dataclass_transform

from eventstore.errors import DeclarationError
from eventstore.model.stream import split_stream

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Meta(NamedTuple):
    """What surrounds a message: who, when, where, and why. Equality of messages does not look at it.

    ``stream`` and ``version`` say where an event is stored (a command: where it is going, and 0);
    ``at`` is the time the domain saw, in UTC; ``causation_id`` names the command or record that led to
    an event; ``correlation_id`` is passed on along the whole chain; ``traceparent`` is a W3C trace context.
    """

    stream: str = "test-1"
    version: int = 1
    at: datetime = _EPOCH
    id: str = ""
    correlation_id: str = ""
    causation_id: str = ""
    tenant: str | None = None
    user: str | None = None
    traceparent: str | None = None

    @property
    def category(self) -> str:
        return split_stream(self.stream)[0]

    @property
    def key(self) -> str:
        return self.stream.partition("-")[2]


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(Field, PrivateAttr))
class _MessageMeta(ModelMetaclass):
    """Tells type checkers that messages are frozen, without pydantic's plugin."""


class Message(BaseModel, metaclass=_MessageMeta):
    """Base of :class:`Event` and :class:`Command`; not to be used itself."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        ser_json_inf_nan="strings",
        ser_json_bytes="base64",
        val_json_bytes="base64",
    )
    # In a slot beside pydantic's fields: setting it costs 0.1 µs, and == and dumps do not see it.
    __slots__ = ("_hw_meta",)

    @property
    def meta(self) -> Meta:
        """The message's metadata; neutral values where none was set, as in a unit test."""
        try:
            meta: Meta | Callable[[], Meta] = self._hw_meta  # type: ignore[attr-defined]
        except AttributeError:
            return Meta()
        if not isinstance(meta, Meta):
            meta = meta()
            stamp(self, meta)
        return meta


M = TypeVar("M", bound=Message)


def stamp(message: M, meta: Meta | Callable[[], Meta]) -> M:
    """Attach ``meta`` to ``message``, in place, and return it. A function is asked when somebody looks."""
    object.__setattr__(message, "_hw_meta", meta)
    return message


class Command(Message):
    """A request that may be refused. Its fields are its data; one of them is the key of its aggregate."""


class Event(Message):
    """An immutable fact.

    ``class OrderPlaced(Event, name="order-placed", version=2, was=("OrderCreated",))``: ``name`` is what
    is stored (default: the class's name), ``version`` the version of its data (default: 1), ``was`` the
    names it had before. Once an event is stored, its name may only move to ``was``.
    """

    event_name: ClassVar[str]
    event_version: ClassVar[int]
    event_was: ClassVar[tuple[str, ...]]
    upcasters: ClassVar[dict[int, Upcaster]]

    def __init_subclass__(
        cls,
        *,
        name: str | None = None,
        version: int = 1,
        was: tuple[str, ...] = (),
        **config: Unpack[ConfigDict],
    ) -> None:
        super().__init_subclass__(**config)
        if version < 1:
            raise DeclarationError(f"{cls.__name__} has version {version}", "versions of data count from 1")
        cls.event_name, cls.event_version, cls.event_was = name or cls.__name__, version, tuple(was)
        cls.upcasters = {}
        registry.add(cls)


E = TypeVar("E", bound=Event)
Upcaster = Callable[[dict[str, Any]], dict[str, Any]]


class Registry:
    """Which class a stored name belongs to."""

    def __init__(self) -> None:
        self._types: dict[str, type[Event]] = {}

    def add(self, event: type[Event]) -> None:
        for name in (event.event_name, *event.event_was):
            known = self._types.get(name)
            if known is not None and not _same_definition(known, event):
                raise DeclarationError(
                    f"two events are called {name!r}: {_full_name(known)} and {_full_name(event)}",
                    "a stored event finds its class by name",
                    f'give one of them another: class {event.__name__}(Event, name="...")',
                )
            self._types[name] = event

    def find(self, name: str) -> type[Event] | None:
        return self._types.get(name)


registry = Registry()
"""All event classes of the process, by the names they are or were stored under."""


def _full_name(event: type[Event]) -> str:
    return f"{event.__module__}.{event.__qualname__}"


def _same_definition(known: type[Event], event: type[Event]) -> bool:
    """A module loaded again, or a class made anew inside a function, replaces the former."""
    if _full_name(known) == _full_name(event):
        return True
    return "<locals>" in known.__qualname__ and "<locals>" in event.__qualname__


def upcasts(event: type[Event], *, to: int) -> Callable[[Upcaster], Upcaster]:
    """Declare how data of version ``to - 1`` becomes data of version ``to``: a function from dict to dict.

    Several are chained, so that the whole history stays readable::

        @upcasts(OrderPlaced, to=2)
        def with_currency(data: dict[str, Any]) -> dict[str, Any]:
            return {**data, "currency": "EUR"}
    """

    def register(upcaster: Upcaster) -> Upcaster:
        if not 2 <= to <= event.event_version:
            raise DeclarationError(
                f"there is no version {to} of {event.__name__} to upcast to",
                f"its version is {event.event_version}, and the first step leads to 2",
                f"raise version= of {event.__name__}, or mend to=",
            )
        if to in event.upcasters:
            raise DeclarationError(f"{event.__name__} has two upcasters to version {to}", "each step has one")
        event.upcasters[to] = upcaster
        return upcaster

    return register


def check_upcasters(event: type[Event]) -> None:
    """Refuse an event whose older data could not be read."""
    missing = [to for to in range(2, event.event_version + 1) if to not in event.upcasters]
    if missing:
        raise DeclarationError(
            f"{event.__name__} is at version {event.event_version} and has no upcaster to {missing[0]}",
            f"events stored with version {missing[0] - 1} could not be read any more",
            f"add @upcasts({event.__name__}, to={missing[0]})",
        )
