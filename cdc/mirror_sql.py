"""Statements on a mirror's table: its columns, and rows that are told by their key or, without one, by all they hold.

The names are data from elsewhere: the dialect quotes them, and doubles ``%`` where its driver needs that. SQLAlchemy
knows the columns as c0, c1 …, so that none of these names becomes that of a parameter.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, and_, bindparam, delete, literal_column, select
from sqlalchemy.schema import CreateColumn

from eventstore.errors import Refused
from eventstore.sql.engine import is_sqlite

Values = dict[str, Any]
"""A row: column → value."""


def add_column(connection: Connection, table: Table, name: str, called: str | None = None) -> None:
    """Add the column ``name`` of ``table``, as ``called`` where that is given."""
    column = next(c for c in table.columns if c.name == name)
    quote = connection.dialect.identifier_preparer
    if called is not None:
        column = type(column)(called, column.type, quote=True)
        Table(table.name, type(table.metadata)(), column)
    definition = CreateColumn(column).compile(dialect=connection.dialect)
    connection.exec_driver_sql(f"ALTER TABLE {quote.format_table(table)} ADD COLUMN {definition}")


def widen(connection: Connection, table: Table, name: str) -> None:
    """Give the column ``name`` the type it has in ``table``, its values with it."""
    column = next(c for c in table.columns if c.name == name)
    quote = connection.dialect.identifier_preparer
    named, kind = quote.format_table(table), column.type.compile(dialect=connection.dialect)
    quoted = quote.quote_identifier(name)
    if not is_sqlite(connection):
        connection.exec_driver_sql(f"ALTER TABLE {named} ALTER COLUMN {quoted} TYPE {kind} USING {quoted}::{kind}")
        return
    # SQLite cannot change a column's type; its name goes to one that is made with the values of the old.
    spare = f"{name[:40]} (widened)"
    other = quote.quote_identifier(spare)
    add_column(connection, table, name, called=spare)
    connection.exec_driver_sql(f"UPDATE {named} SET {other} = {quoted}")
    connection.exec_driver_sql(f"ALTER TABLE {named} DROP COLUMN {quoted}")
    connection.exec_driver_sql(f"ALTER TABLE {named} RENAME COLUMN {other} TO {quoted}")


def delete_rows(connection: Connection, table: Table, rows: list[Values]) -> None:
    """Delete the rows with these keys; of a table without a key, exactly one row for each."""
    keys = list(table.primary_key.columns)
    if keys:
        connection.execute(
            delete(table).where(*(c == bindparam(f"k{c.key}") for c in keys)),
            [{f"k{c.key}": row[c.key] for c in keys} for row in rows],
        )
        return
    address: Any = literal_column(_row_address(table) if is_sqlite(connection) else "ctid")
    equal = and_(*(c.is_not_distinct_from(bindparam(f"k{c.key}", type_=c.type)) for c in table.columns))
    one = select(address).select_from(table).where(equal).limit(1).scalar_subquery()
    connection.execute(
        delete(table).where(address == one), [{f"k{key}": value for key, value in row.items()} for row in rows]
    )


def _row_address(table: Table) -> str:
    """SQLite's name of a row's number: one of three, whichever no column takes."""
    taken = {column.name.lower() for column in table.columns}
    free = [name for name in ("_rowid_", "rowid", "oid") if name not in taken]
    if not free:
        raise Refused(
            f"a row of {table.name} cannot be told from its equals",
            "it has no key, and its columns take all of SQLite's names for the number of a row",
            "mirror it into a model of your own, or into PostgreSQL",
        )
    return free[0]
