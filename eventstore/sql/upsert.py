"""INSERT … ON CONFLICT, which SQLite and PostgreSQL spell alike and SQLAlchemy keeps in two places."""

from __future__ import annotations

from typing import TypeAlias

from sqlalchemy import ColumnElement, Connection, Engine, Table
from sqlalchemy.dialects import postgresql, sqlite

from eventstore.sql.engine import is_sqlite

Insert: TypeAlias = postgresql.Insert | sqlite.Insert


def insert_into(on: Engine | Connection, table: Table) -> Insert:
    """An INSERT that can be told what to do ON CONFLICT."""
    return sqlite.insert(table) if is_sqlite(on) else postgresql.insert(table)


def upsert(on: Engine | Connection, table: Table) -> Insert:
    """Insert rows, or replace those of the same primary key. Without a primary key, insert."""
    statement = insert_into(on, table)
    keys = list(table.primary_key.columns)
    new: dict[str, ColumnElement[object]] = {
        column.key: statement.excluded[column.key] for column in table.columns if not column.primary_key
    }
    if keys and new:
        return statement.on_conflict_do_update(index_elements=keys, set_=new)
    return statement.on_conflict_do_nothing(index_elements=keys) if keys else statement
