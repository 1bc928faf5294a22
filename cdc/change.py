"""Changes of a source row, as translators see them: complete on both sides, whatever Debezium left out.

``before`` comes from the last known state of the row (its row image), so it is complete with every REPLICA
IDENTITY, and a value that Debezium did not send because it is unchanged (TOAST) is carried over.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeAlias, TypeVar

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a change comes from: ``table`` as ``schema.table``, its ``position`` in the source's log, when.

    ``snapshot``: it was read by a snapshot, not streamed. Equality of changes does not look at it.
    """

    table: str = ""
    position: tuple[int, ...] = ()
    at: datetime | None = None
    snapshot: bool = False
    transaction: str | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origin)

    def __hash__(self) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Created(Generic[R]):
    after: R
    origin: Origin = Origin()


@dataclass(frozen=True, slots=True)
class Updated(Generic[R]):
    before: R
    after: R
    origin: Origin = Origin()

    def changed(self, *names: str) -> bool:
        """Whether any of these columns differs between ``before`` and ``after``."""
        return any(_value(self.before, name) != _value(self.after, name) for name in names)


@dataclass(frozen=True, slots=True)
class Deleted(Generic[R]):
    before: R
    origin: Origin = Origin()


@dataclass(frozen=True, slots=True)
class Rekeyed(Generic[R]):
    """The row's primary key changed: one row that goes on under another key, not a death and a birth."""

    before: R
    after: R
    origin: Origin = Origin()


Change: TypeAlias = Created[R] | Updated[R] | Deleted[R] | Rekeyed[R]


def _value(row: Any, name: str) -> Any:
    return row[name] if isinstance(row, dict) else getattr(row, name)
