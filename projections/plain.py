"""Plain-SQL projections: for what a fold of single rows cannot say, such as an aggregate over many.

::

    totals = Table("customer_total", MetaData(), Column("customer_id", BigInteger, primary_key=True), ...)
    sums = SqlProjection("customer-totals", tables=[totals])

    @sums.on(OrderPlaced)
    def add(connection: Connection, event: OrderPlaced) -> None:
        connection.execute(upsert(totals)...)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence, Set
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, delete, select
from sqlalchemy.schema import CreateTable, sort_tables

from eventstore.errors import DeclarationError, StaleProjection
from eventstore.model.codec import decode, event_type
from eventstore.model.fingerprint import fingerprint as code_fingerprint
from eventstore.model.message import Event
from eventstore.model.record import Record
from eventstore.model.stream import check_name
from eventstore.pipeline.handler import Item
from eventstore.sql.columns import exact
from projections.projection import check_event, check_plain
from projections.tables import exists, is_empty, read_model

E = TypeVar("E", bound=Event)
SqlHandler = Callable[[Connection, E], None]


class SqlProjection:
    """Statements that events lead to, run in the transaction that moves the position: each exactly once.

    ``tables`` are made, emptied and owned by it, and their columns get types that keep digits and time zones
    (see :mod:`eventstore.sql.columns`); no foreign key may lead to another's. A handler writes
    nothing else, and nothing outside the connection it is given. It is called inside the transaction, so it
    should be quick. ``version`` is raised to have everything run anew.
    """

    def __init__(self, name: str, *, tables: Sequence[Table], version: int = 1) -> None:
        self.name, self.tables, self.version = check_name(name, "a projection"), tuple(tables), version
        for column in (column for table in self.tables for column in table.columns):
            column.type = exact(column.type)
        self.handlers: dict[type[Event], Callable[[Connection, Any], None]] = {}
        if not self.tables:
            raise DeclarationError(f"the projection {name} has no tables", "what it writes must be known to rebuild it")

    def __repr__(self) -> str:
        return f"SqlProjection({self.name!r}, tables={[table.fullname for table in self.tables]})"

    @property
    def events(self) -> Set[type[Event]]:
        """The events it handles."""
        return self.handlers.keys()

    def on(self, event: type[E]) -> Callable[[SqlHandler[E]], SqlHandler[E]]:
        """Declare what ``event``, of exactly this class, leads to; the decorated function is kept as it is."""

        check_event(self, event)

        def register(function: SqlHandler[E]) -> SqlHandler[E]:
            check_plain(self, function)
            if event in self.handlers:
                raise DeclarationError(f"{self!r} handles {event.__name__} twice", "each event has one handler")
            self.handlers[event] = function
            return function

        return register


class SqlProjectionWork:
    """Calls to make in the transaction. Implements :class:`~eventstore.pipeline.handler.Work`."""

    def __init__(self, projection: SqlProjection, events: Sequence[Event]) -> None:
        self._projection, self._events = projection, events

    def write(self, connection: Connection) -> None:
        for event in self._events:
            self._projection.handlers[type(event)](connection, event)

    def committed(self) -> None:
        """Nothing is kept in memory."""


class SqlProjectionHandler:
    """Runs a plain-SQL projection in a pipeline. Implements :class:`~eventstore.pipeline.handler.Handler`."""

    shared = False

    def __init__(self, projection: SqlProjection) -> None:
        self.projection = projection
        self._tables = sort_tables(projection.tables)
        self.fingerprint = _fingerprint(projection)

    def create(self, connection: Connection) -> None:
        """Make its tables unless they are there; a name that something else has is refused.

        Rows of another shape are left as they are, for a rebuild.
        """
        known = self._known(connection)
        old = [table for table in self._tables if table.fullname in known]
        for table in old:
            _refuse_missing(self.projection, table, connection)
        outdated = any(known[table.fullname] != _shape(table) for table in old)
        if outdated and all(is_empty(connection, _quoted(connection, table)) for table in old):
            self.clear(connection)
            return
        new = [table for table in self._tables if table.fullname not in known]
        for table in new:
            _refuse_stranger(self.projection, table, connection)
        for table in new:
            table.create(connection)
            owned = {"relation": table.fullname, "generation": 0, "projection": self.projection.name}
            connection.execute(read_model.insert().values(**owned, shape=_shape(table)))

    def reset(self, connection: Connection) -> None:
        """Nothing is kept in memory."""

    def clear(self, connection: Connection) -> None:
        """Drop the tables it made, and make them as they are declared now."""
        known = self._known(connection)
        for table in reversed(self._tables):
            if table.fullname in known:
                table.drop(connection, checkfirst=True)
        kept = read_model.c
        connection.execute(delete(read_model).where(kept.projection == self.projection.name, kept.generation == 0))
        self.create(connection)

    def admit(self, record: Record, *, again: bool = False) -> Item | None:
        if event_type(record.headers) not in self.projection.handlers:
            return None
        return Item(record, decode(record))

    def keys(self, record: Record, item: Item | None, connection: Connection) -> Sequence[str]:
        """``stream:<stream>``: which rows its statements touch cannot be told."""
        stream = record.headers.get("ce_subject")
        return [f"stream:{stream}"] if stream else []

    def prepare(self, items: Sequence[Item], connection: Connection) -> SqlProjectionWork:
        return SqlProjectionWork(self.projection, [item.content for item in items])

    def whole(self, record: Record) -> bool:
        """Never: an event says what happened, not what everything is."""
        return False

    def _known(self, connection: Connection) -> dict[str, str]:
        """The shapes of those of its tables that were made before; refused when another projection made them."""
        kept = read_model.c
        names = [table.fullname for table in self._tables]
        found = connection.execute(
            select(kept.relation, kept.projection, kept.shape).where(kept.relation.in_(names))
        ).all()
        for relation, owner, _ in found:
            if owner != self.projection.name:
                raise DeclarationError(
                    f"{relation} cannot be a table of the projection {self.projection.name}",
                    f"it belongs to the projection {owner}",
                    "give the table another name",
                )
        return {relation: shape for relation, _, shape in found}


def _shape(table: Table) -> str:
    return hashlib.sha256(str(CreateTable(table)).encode()).hexdigest()[:32]


def _quoted(connection: Connection, table: Table) -> str:
    return connection.dialect.identifier_preparer.format_table(table)


def _refuse_missing(projection: SqlProjection, table: Table, connection: Connection) -> None:
    if not exists(connection, table.name, table.schema):
        raise StaleProjection(
            f"the rows of {projection.name} are gone: there is no table {table.fullname}",
            "somebody dropped it",
            f"headwater projection rebuild {projection.name}",
        )


def _refuse_stranger(projection: SqlProjection, table: Table, connection: Connection) -> None:
    if exists(connection, table.name, table.schema):
        raise DeclarationError(
            f"{projection.name} cannot make its table: there is a table or view {table.fullname!r} already",
            "headwater did not make it, and leaves it alone",
            "give the table another name, or rename what is there",
        )


def _fingerprint(projection: SqlProjection) -> str:
    parts = [str(projection.version), *(str(CreateTable(table)) for table in projection.tables)]
    for event in sorted(projection.handlers, key=lambda event: event.event_name):
        parts += [event.event_name, code_fingerprint(projection.handlers[event])]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
