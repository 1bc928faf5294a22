"""Changes to events: rows typed by their model, events for the streams they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ValidationError

from cdc.change import Change, Created, Deleted, Rekeyed, Updated
from cdc.images import Image
from cdc.ingest import Addressed, Ingest, Translator
from cdc.resolve import RowChange
from eventstore.errors import DeclarationError, IncompleteRow, Refused
from eventstore.model.codec import NewEvent, encode, event_id, meta_headers
from eventstore.model.log import ANY, Append
from eventstore.model.message import Event, Meta, stamp
from eventstore.model.stream import stream_name

_SHOWN = 80


def translate(ingest: Ingest, table: str, change: Change[Any]) -> list[Event]:
    """The events that ``ingest`` makes of a change of ``table``, for tests of a translator::

        assert translate(legacy, "public.product", Updated(a, b)) == [PriceChanged(old=a.price, new=b.price)]

    ``event.meta.stream`` says which stream each is for.
    """
    declared = ingest.tables.get(table)
    if declared is None or declared.translator is None:
        raise DeclarationError(
            f"ingest {ingest.name} has no translator of {table}",
            f"it has those of {', '.join(n for n, t in sorted(ingest.tables.items()) if t.translator) or 'no table'}",
        )
    made = _addressed(declared.translator, table, change)
    return [stamp(event, Meta(stream_name(declared.translator.category, key))) for key, event in made]


def appends(ingest: str, translator: Translator[Any], change: RowChange) -> list[Append]:
    """What to append for ``change``: one append per stream it has events for, in the order they came.

    An event's id is made of the change's place in the source, so a repetition is recognised.
    """
    streams: dict[str, list[NewEvent]] = {}
    for ordinal, (key, event) in enumerate(_addressed(translator, change.table, _typed_change(translator, change))):
        stream = stream_name(translator.category, key)
        streams.setdefault(stream, []).append(encode(event, event_id(f"{ingest}/{change.cause}", ordinal)))
    origin = change.origin
    correlation = f"{ingest}/{origin.transaction}" if origin.transaction else ""
    at = origin.at or datetime.now(UTC)
    return [
        Append(stream, events, ANY, at, meta_headers(Meta(stream, 0, at, "", correlation, change.place)))
        for stream, events in streams.items()
    ]


def _typed_change(translator: Translator[Any], change: RowChange) -> Change[Any]:
    """The change as the translator sees it; :class:`IncompleteRow` or :class:`Refused` if a row does not fit."""
    after = None if change.after is None else _typed(translator.row, change, change.after)
    before = None if change.before is None else _typed(translator.row, change, change.before)
    if change.kind is Created:
        return Created(after, change.origin)
    if change.kind is Deleted:
        return Deleted(before, change.origin)
    return Updated(before, after, change.origin) if change.kind is Updated else Rekeyed(before, after, change.origin)


def _typed(model: type[BaseModel], change: RowChange, image: Image) -> Any:
    if type(image.typed) is not model:
        try:
            image.typed = model.model_validate(image.row)
        except ValidationError as error:
            raise _unfit(model, change, error) from error
    return image.typed


def _unfit(model: type[BaseModel], change: RowChange, error: ValidationError) -> IncompleteRow | Refused:
    found = error.errors(include_url=False, include_context=False)
    row = f"{change.table}:{change.key}"
    missing = [".".join(map(str, e["loc"])) for e in found if e["type"] == "missing"]
    if missing:
        return IncompleteRow(
            f"{row} lacks {', '.join(missing)}",
            f"{model.__name__} needs it, and the change has the columns {', '.join(_columns(change))}",
            f"give the field a default in {model.__name__} if the source dropped the column, then retry",
        )
    why = "; ".join(f"{'.'.join(map(str, e['loc']))} = {_clip(e['input'])}: {e['msg']}" for e in found)
    return Refused(
        f"{row} does not fit {model.__name__}",
        why,
        f"mend the row at the source and collapse its key, or widen {model.__name__} and retry",
    )


def _columns(change: RowChange) -> list[str]:
    image = change.after or change.before
    return [] if image is None else list(image.row or ())


def _clip(value: object) -> str:
    text = str(value) if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _addressed(translator: Translator[Any], table: str, change: Change[Any]) -> Iterator[tuple[object, Event]]:
    row = change.before if isinstance(change, Deleted) else change.after
    made: Iterable[Event | Addressed] | None = translator.translate(change)
    if made is None:
        return
    for item in made:
        key, event = item if isinstance(item, Addressed) else (translator.key(row), item)
        if not isinstance(event, Event):
            raise DeclarationError(
                f"the translator of {table} gave {event!r}", "it gives events, or to(key, event)", "mend the translator"
            )
        yield key, event
