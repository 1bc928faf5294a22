"""Reading one row of a read model."""

from __future__ import annotations

from typing import Any, TypeVar

from sqlalchemy import Connection

from projections.engine import read_rows
from projections.projection import Projection

R = TypeVar("R")


def get(projection: Projection[R], key: Any, connection: Connection) -> R | None:
    """The row of ``key`` as its view has it, or None. A primary key of several columns is a tuple.

    The row is a twin of the model, as handlers see it and :func:`~projections.folding.fold` gives it: the
    same columns, methods and properties, and changing it changes nothing. For queries use the model itself.
    """
    wanted = projection.shape.key(key)
    return read_rows(projection.shape, [wanted], connection).get(wanted)
