"""Changes that wait for a row on its way from another key, as text. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from cdc.message import RowMessage, SourcePosition
from cdc.rows import decode_row, encode_row

_ROWS = ("key", "before", "after", "old_key", "new_key")
_PLAIN = ("op", "table", "topic", "partition", "snapshot", "transaction")


class Delivery(NamedTuple):
    """A message and the record it came with, as ``topic[partition]@offset``."""

    message: RowMessage
    place: str


def dump(deliveries: Sequence[Delivery]) -> str:
    """``deliveries`` as text; what their schema said is left out."""
    return orjson.dumps([_plain(delivery) for delivery in deliveries]).decode()


def load(text: str) -> list[Delivery]:
    return [_delivery(plain) for plain in orjson.loads(text)]


def _plain(delivery: Delivery) -> dict[str, Any]:
    message = delivery.message
    plain: dict[str, Any] = {name: getattr(message, name) for name in _PLAIN}
    for name in _ROWS:
        row = getattr(message, name)
        plain[name] = None if row is None else encode_row(row)
    plain["position"] = message.position and list(message.position)
    plain["at"] = encode_row({"at": message.at})
    plain["place"] = delivery.place
    return plain


def _delivery(plain: dict[str, Any]) -> Delivery:
    place = plain.pop("place")
    for name in _ROWS:
        plain[name] = None if plain[name] is None else decode_row(plain[name])
    plain["position"] = plain["position"] and SourcePosition(*plain["position"])
    plain["at"] = decode_row(plain["at"])["at"]
    return Delivery(RowMessage(**plain), place)
