"""Storing events that no aggregate decided, within a transaction of the caller's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from eventstore.errors import DeclarationError
from eventstore.model.codec import encode, event_id, meta_headers
from eventstore.model.log import Append, Appended, EventLog, Expect, ExpectedVersion
from eventstore.model.message import Event, Meta, stamp
from eventstore.model.request import Receipt, surroundings
from eventstore.model.stream import split_stream
from headwater.context import Context
from headwater.parts import Parts

_MARK = "headwater_appended_in"
Expected = ExpectedVersion | Mapping[str, ExpectedVersion]


def append(
    log: EventLog,
    parts: Parts,
    events: Mapping[str, Sequence[Event]],
    expected: Expected,
    connection: Connection,
    context: Context,
) -> dict[str, Receipt]:
    """Append ``{stream: events}``; the first refusal is raised, and the caller's transaction is to roll back."""
    _check_first(connection)
    meta = surroundings("an append", **context)
    meta = meta._replace(causation_id=meta.causation_id or meta.id)
    wanted = {stream: list(new) for stream, new in events.items() if new}
    appends = [_append(parts, stream, new, expected, meta) for stream, new in wanted.items()]
    receipts = {}
    for one, outcome in zip(appends, log.append(appends, connection=connection), strict=True):
        if not isinstance(outcome, Appended):
            raise outcome
        receipts[one.stream] = _receipt(one, outcome, wanted[one.stream], meta)
    return receipts


def _check_first(connection: Connection) -> None:
    transaction = connection.get_transaction()
    if transaction is not None and connection.info.get(_MARK) is transaction:
        raise DeclarationError(
            "a second append in one transaction",
            "the first has locked its part of the log; locking more in another order than others do is a deadlock",
            "give all events to one call: app.append({stream: events, other_stream: other_events}, …)",
        )
    connection.info[_MARK] = transaction


def _append(parts: Parts, stream: str, events: Sequence[Event], expected: Expected, meta: Meta) -> Append:
    _check_applied(parts, stream, events)
    new = [encode(event, event_id(f"{meta.id}/{stream}", n)) for n, event in enumerate(events)]
    wanted = expected.get(stream, Expect.ANY) if isinstance(expected, Mapping) else expected
    return Append(stream, new, wanted, meta.at, meta_headers(meta))


def _check_applied(parts: Parts, stream: str, events: Sequence[Event]) -> None:
    """An event that its aggregate does not apply would make the stream unreadable."""
    aggregate = parts.aggregates.get(split_stream(stream)[0])
    for event in events:
        if aggregate is not None and type(event) not in aggregate.appliers:
            raise DeclarationError(
                f"{type(event).__name__} does not belong into {stream}",
                f"{aggregate.__name__} does not apply it, and could not be loaded any more",
                f"add a method marked @applies({type(event).__name__}) to {aggregate.__name__}",
            )


def _receipt(append: Append, outcome: Appended, events: Sequence[Event], meta: Meta) -> Receipt:
    for n, (event, new) in enumerate(zip(events, append.events, strict=True)):
        stamp(event, meta._replace(stream=append.stream, version=outcome.first + n, id=new.id))
    return Receipt(append.stream, outcome.last, tuple(events), outcome.position, outcome.repeated)
