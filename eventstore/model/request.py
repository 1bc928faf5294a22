"""A command on its way, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from os import urandom

from pydantic_core import PydanticSerializationError

from eventstore.errors import CommandError, DeclarationError
from eventstore.model.aggregate import Aggregate, target
from eventstore.model.codec import command_digest
from eventstore.model.message import Command, Event, Meta
from eventstore.model.record import Position

MAX_TEXT_LENGTH = 500
_TEXTS = ("id", "correlation_id", "causation_id", "tenant", "user", "traceparent")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a command: its stream, the version it is at, the events, and the position they reached.

    ``repeated``: the command's id was known, and this is what it led to the first time. A command that
    changed nothing has no events and no position, and leaves no trace of its id.
    """

    stream: str
    version: int
    events: tuple[Event, ...] = ()
    position: Position = field(default_factory=dict)
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """A command for one stream of one aggregate, with the metadata it is decided under.

    ``digest`` is that of a command whose id was given by the caller and may come again, else empty.
    ``expected``: the version the caller insists on; None: whatever it is by then.
    """

    command: Command
    aggregate: type[Aggregate]
    stream: str
    meta: Meta
    digest: str = ""
    expected: int | None = None


def request(
    aggregate: type[Aggregate],
    command: Command,
    *,
    id: str | None = None,
    expected: int | None = None,
    at: datetime | None = None,
    correlation_id: str | None = None,
    causation_id: str | None = None,
    tenant: str | None = None,
    user: str | None = None,
    traceparent: str | None = None,
) -> Request:
    """Address ``command`` to its stream and say what surrounds it.

    ``id``: given, the command may be repeated under it and is carried out once; else a random one.
    ``at`` is the time the domain sees (default: now). ``correlation_id`` (default: the id) and the rest are
    carried to the events, whose causation is the command. Raises ``Rejected`` for a key that cannot be one
    and :class:`~eventstore.errors.CommandError` for metadata that cannot be stored.
    """
    if type(command) not in aggregate.deciders:
        raise DeclarationError(
            f"{aggregate.__name__} does not handle {type(command).__name__}",
            f"none of its methods is marked @handles({type(command).__name__})",
            f"add one to {aggregate.__name__}, or send the command to the aggregate that has it",
        )
    stream = target(aggregate, command)
    meta = surroundings(
        type(command).__name__,
        id=id,
        at=at,
        correlation_id=correlation_id,
        causation_id=causation_id,
        tenant=tenant,
        user=user,
        traceparent=traceparent,
    )
    meta = meta._replace(stream=stream, version=0)
    return Request(command, aggregate, stream, meta, _digest(command) if id is not None else "", expected)


def surroundings(
    what: str,
    *,
    id: str | None = None,
    at: datetime | None = None,
    correlation_id: str | None = None,
    causation_id: str | None = None,
    tenant: str | None = None,
    user: str | None = None,
    traceparent: str | None = None,
) -> Meta:
    """What a caller says about a command or about events, checked and completed; ``what`` names it in errors."""
    for name, text in zip(_TEXTS, (id, correlation_id, causation_id, tenant, user, traceparent), strict=True):
        if text is not None:
            _check_text(what, name, text)
    known_as = id or urandom(16).hex()
    return Meta(
        at=datetime.now(UTC) if at is None else _utc(what, at),
        id=known_as,
        correlation_id=correlation_id or known_as,
        causation_id=causation_id or "",
        tenant=tenant,
        user=user,
        traceparent=traceparent,
    )


def _check_text(what: str, name: str, text: str) -> None:
    try:
        fits = 0 < len(text.encode()) <= MAX_TEXT_LENGTH and "\x00" not in text
    except UnicodeEncodeError:
        fits = False
    if not fits:
        raise CommandError(
            f"{what} was sent with {name}={text[:40]!r}",
            f"metadata is text of 1 to {MAX_TEXT_LENGTH} bytes in UTF-8 without NUL",
            f"give another {name}, or leave it out",
        )


def _utc(what: str, at: datetime) -> datetime:
    if at.tzinfo is None:
        raise CommandError(
            f"{what} was sent with at={at}",
            "a time without a zone is a different moment on every machine",
            "give it one: datetime.now(UTC)",
        )
    return at.astimezone(UTC)


def _digest(command: Command) -> str:
    try:
        return command_digest(command)
    except (PydanticSerializationError, UnicodeEncodeError) as error:
        raise CommandError(
            f"{type(command).__name__} cannot be repeated under an id",
            f"its fields have no JSON form to recognise them by: {error}",
            "use types that JSON carries, or send it without an id",
        ) from error
