"""A decoded Debezium message: its envelope with Python values, nothing interpreted yet.

Source: Debezium's documentation of the PostgreSQL connector, "data change events".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final, Literal, NamedTuple, TypeAlias

Op: TypeAlias = Literal["c", "u", "d", "r", "t"]
"""create, update, delete, read by a snapshot, truncate"""


class Absent(Enum):
    UNCHANGED = "unchanged"

    def __repr__(self) -> str:
        return "UNCHANGED"


UNCHANGED: Final = Absent.UNCHANGED
"""Stands for a value that Debezium did not send because it is unchanged (TOAST). Never a value itself."""

Row: TypeAlias = Mapping[str, Any]
"""column → Python value, or UNCHANGED"""


class SourcePosition(NamedTuple):
    """Where in the source's log a change stands, as integers: ``source.sequence`` and ``transaction.total_order``.

    ``commit``: LSN of the last commit before it (a null one counts as ``lsn``); ``order`` is None without
    transaction metadata, which is Debezium's default.
    """

    commit: int
    lsn: int
    order: int | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A column as a message's schema describes it. ``type`` is one of :mod:`cdc.types`."""

    name: str
    type: Any
    optional: bool = True


@dataclass(frozen=True, slots=True)
class RowMessage:
    """One change of one row (or, ``t``, of a whole table).

    ``topic`` and ``partition`` are Debezium's, also when the record came from a capture file. ``key`` is
    None for tables without a key. ``before`` is what was sent, which may be nothing, or fabricated for
    other columns than the key's. ``old_key``/``new_key`` come from the headers of a primary-key change:
    a ``c`` has the one, a ``d`` the other. ``columns`` and ``key_columns`` are None without a schema.
    """

    op: Op
    table: str
    topic: str
    partition: int
    key: Row | None
    before: Row | None
    after: Row | None
    position: SourcePosition | None
    at: datetime | None
    snapshot: str = "false"
    transaction: str | None = None
    old_key: Row | None = None
    new_key: Row | None = None
    columns: tuple[Column, ...] | None = None
    key_columns: tuple[Column, ...] | None = None


@dataclass(frozen=True, slots=True)
class SideMessage:
    """A message that is no change of a row: ``kind`` says what it is. None of them is an error."""

    kind: Literal["tombstone", "heartbeat", "transaction", "message", "notification", "schema change"]
    topic: str


Message: TypeAlias = RowMessage | SideMessage
