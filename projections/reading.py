"""Reading rows of a read model, as its view has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection

from projections.projection import Projection
from projections.shape import Key, Shape
from projections.store import RowStore
from projections.tables import view_name

R = TypeVar("R")


def get(projection: Projection[R], key: Any, connection: Connection) -> R | None:
    """The row of ``key`` as its view has it, or None. A primary key of several columns is a tuple.

    The row is a twin of the model, as handlers see it and :func:`~projections.folding.fold` gives it: the
    same columns, methods and properties, and changing it changes nothing. For queries use the model itself.
    """
    wanted = projection.shape.key(key)
    return read_rows(projection.shape, [wanted], connection).get(wanted)


def read_rows(
    shape: Shape, keys: Sequence[Key], connection: Connection, stores: dict[str, RowStore] | None = None
) -> dict[Key, Any]:
    """Rows of a read model by key. ``stores`` keeps what was prepared for the next call."""
    stores = {} if stores is None else stores
    name = view_name(connection, shape.model.__table__)
    if name not in stores:
        stores[name] = RowStore.on(connection, shape, name)
    return {key: shape.row(values) for key, values in stores[name].read(connection, keys).items()}
