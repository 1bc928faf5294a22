"""The raw limit on SQLite and on PostgreSQL."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from benchmarks.contender import Database
from benchmarks.raw import PAGE, ROWS, NewEvent, Raw


class RawSqlite(Raw):
    """sqlite3; threads take turns at writing, which is faster than waiting for the file's lock."""

    def __init__(self, database: Database) -> None:
        self._turn = threading.Lock()
        super().__init__(database)
        self._writer.execute(
            "CREATE TABLE event (position INTEGER PRIMARY KEY, stream TEXT NOT NULL, version INTEGER NOT NULL, "
            "type TEXT NOT NULL, data TEXT NOT NULL, UNIQUE (stream, version))"
        )
        self._writer.execute(ROWS)
        self._writer.execute("CREATE TABLE position (done INTEGER NOT NULL)")
        self._writer.execute("INSERT INTO position VALUES (0)")

    def connect(self) -> sqlite3.Connection:
        path = self.url.removeprefix("sqlite:///")
        connection = sqlite3.connect(path, timeout=5, check_same_thread=False, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def inserter(self) -> Callable[[NewEvent], int]:
        def insert(event: NewEvent) -> int:
            with self._turn:
                cursor = self._writer.execute("INSERT INTO event VALUES (NULL, ?, ?, ?, ?)", event)
                return cursor.lastrowid or 0

        return insert

    def insert(self, connection: sqlite3.Connection, events: Sequence[NewEvent]) -> None:
        with self._turn:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO event VALUES (NULL, ?, ?, ?, ?)", events)
            connection.execute("COMMIT")

    def page(self, connection: sqlite3.Connection, after: int) -> Sequence[tuple[int, str, str, Any]]:
        query = "SELECT position, stream, type, data FROM event WHERE position > ? ORDER BY position LIMIT ?"
        return connection.execute(query, (after, PAGE)).fetchall()

    def stream(self, connection: sqlite3.Connection, stream: str) -> Sequence[tuple[str, Any]]:
        query = "SELECT type, data FROM event WHERE stream = ? ORDER BY version"
        return connection.execute(query, (stream,)).fetchall()

    def write(self, connection: sqlite3.Connection, rows: Sequence[Sequence[Any]], done: int) -> None:
        with self._turn:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR REPLACE INTO order_summary VALUES (?, ?, ?, ?)", rows)
            connection.execute("UPDATE position SET done = ?", (done,))
            connection.execute("COMMIT")

    def clear(self, connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM order_summary")


class RawPostgres(Raw):
    """psycopg; a connection for each thread, columns sent as arrays, and one round trip for what may be one."""

    def __init__(self, database: Database) -> None:
        self._connections: list[psycopg.Connection[Any]] = []
        with psycopg.connect(database.url, autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE event (position bigserial PRIMARY KEY, stream text NOT NULL, version bigint NOT NULL, "
                "type text NOT NULL, data text NOT NULL, UNIQUE (stream, version))"
            )
            connection.execute(ROWS)
            connection.execute("CREATE TABLE position (done bigint NOT NULL)")
            connection.execute("INSERT INTO position VALUES (0)")
        super().__init__(database)

    def connect(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(self.url, autocommit=True)
        self._connections.append(connection)
        return connection

    def inserter(self) -> Callable[[NewEvent], int]:
        connection = self.connect()
        statement = b"INSERT INTO event (stream, version, type, data) VALUES (%s, %s, %s, %s) RETURNING position"

        def insert(event: NewEvent) -> int:
            (position,) = connection.execute(statement, event, prepare=True).fetchone() or (0,)
            return int(position)

        return insert

    def insert(self, connection: psycopg.Connection[Any], events: Sequence[NewEvent]) -> None:
        statement = b"""INSERT INTO event (stream, version, type, data)
            SELECT * FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::text[])"""
        connection.execute(statement, [list(column) for column in zip(*events, strict=True)])

    def page(self, connection: psycopg.Connection[Any], after: int) -> Sequence[tuple[int, str, str, Any]]:
        query = b"SELECT position, stream, type, data FROM event WHERE position > %s ORDER BY position LIMIT %s"
        return connection.execute(query, (after, PAGE), prepare=True).fetchall()

    def stream(self, connection: psycopg.Connection[Any], stream: str) -> Sequence[tuple[str, Any]]:
        query = b"SELECT type, data FROM event WHERE stream = %s ORDER BY version"
        return connection.execute(query, (stream,), prepare=True).fetchall()

    def write(self, connection: psycopg.Connection[Any], rows: Sequence[Sequence[Any]], done: int) -> None:
        statement = b"""INSERT INTO order_summary
            SELECT * FROM unnest(%s::text[], %s::integer[], %s::integer[], %s::integer[])
            ON CONFLICT (order_id) DO UPDATE SET customer_id = excluded.customer_id,
            lines = excluded.lines, total = excluded.total"""
        with connection.pipeline(), connection.transaction():
            connection.execute(statement, [list(column) for column in zip(*rows, strict=True)], prepare=True)
            connection.execute(b"UPDATE position SET done = %s", (done,), prepare=True)

    def clear(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute("TRUNCATE order_summary")

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


def raw(database: Database) -> Raw:
    """The raw limit on this kind of database."""
    return RawSqlite(database) if database.kind == "sqlite" else RawPostgres(database)
