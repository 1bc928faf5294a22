"""The peer's table of orders: what its documentation calls a materialised view, kept by a tracking recorder."""

from __future__ import annotations

from typing import Any, Protocol

from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.sqlite import SQLiteTrackingRecorder
from psycopg.sql import SQL, Identifier

_CREATE = (
    "CREATE TABLE IF NOT EXISTS order_summary "
    "(order_id TEXT PRIMARY KEY, customer_id INTEGER NOT NULL, lines INTEGER NOT NULL, total INTEGER NOT NULL)"
)
_PLACED = "INSERT INTO order_summary VALUES ({mark}, {mark}, 0, 0)"
_ITEM_ADDED = "UPDATE order_summary SET lines = lines + 1, total = total + {mark} WHERE order_id = {mark}"


class SummaryView(Protocol):
    """A tracking recorder that keeps the rows, each change with its tracking in one transaction."""

    datastore: Any

    def placed(self, tracking: Tracking, order_id: str, customer_id: int) -> None: ...

    def item_added(self, tracking: Tracking, order_id: str, amount: int) -> None: ...

    def clear(self) -> None: ...

    def max_tracking_id(self, application_name: str) -> int | None: ...

    def has_tracking_id(self, application_name: str, notification_id: int | None) -> bool: ...


class SqliteView(SQLiteTrackingRecorder):
    """On SQLite."""

    def construct_create_table_statements(self) -> list[str]:
        return [*super().construct_create_table_statements(), _CREATE]

    def placed(self, tracking: Tracking, order_id: str, customer_id: int) -> None:
        self._change(tracking, _PLACED.format(mark="?"), (order_id, customer_id))

    def item_added(self, tracking: Tracking, order_id: str, amount: int) -> None:
        self._change(tracking, _ITEM_ADDED.format(mark="?"), (amount, order_id))

    def _change(self, tracking: Tracking, statement: str, values: tuple[Any, ...]) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(statement, values)

    def clear(self) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute("DELETE FROM order_summary")
            cursor.execute("DELETE FROM tracking WHERE application_name != '__migration__'")


class PostgresView(PostgresTrackingRecorder):
    """On PostgreSQL."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.sql_create_statements.append(SQL(_CREATE).format())

    def placed(self, tracking: Tracking, order_id: str, customer_id: int) -> None:
        self._change(tracking, _PLACED.format(mark="%s"), (order_id, customer_id))

    def item_added(self, tracking: Tracking, order_id: str, amount: int) -> None:
        self._change(tracking, _ITEM_ADDED.format(mark="%s"), (amount, order_id))

    def _change(self, tracking: Tracking, statement: str, values: tuple[Any, ...]) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(statement.encode(), values, prepare=True)

    def clear(self) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute("TRUNCATE order_summary")
            table = Identifier(self.tracking_table_name)
            cursor.execute(SQL("DELETE FROM {} WHERE application_name != '__migration__'").format(table))


def view_class(kind: str) -> Any:
    """The view for a kind of database."""
    return SqliteView if kind == "sqlite" else PostgresView
