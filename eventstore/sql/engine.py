"""Engines for SQLite and PostgreSQL, set up as the log needs them, and what their errors mean."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.schema import CreateSchema

from eventstore.errors import SettingError
from eventstore.sql.columns import add_collations
from eventstore.sql.schema import SCHEMA
from eventstore.sql.turns import turns_of

SQLITE_BUSY_SECONDS = 5.0
SQLITE_MODE_SECONDS = 0.005
CONNECT_SECONDS = 5
# A client that froze inside a transaction would block its partitions for ever.
POSTGRES_OPTIONS = {
    "TimeZone": "UTC",
    "default_transaction_isolation": r"read\ committed",
    "idle_in_transaction_session_timeout": "30s",
    "lock_timeout": "10s",
    "application_name": "headwater",
}
POSTGRES_TCP = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
_BEGIN = "headwater_begin"
_WRITE = "write sqlite:///shop.db or postgresql://user:password@host/database"


def connect(url: str | URL, **options: Any) -> Engine:
    """An engine for ``sqlite:///file.db`` or ``postgresql://user:password@host/database``.

    ``options`` go to :func:`sqlalchemy.create_engine`. A URL of another kind is a :class:`SettingError`.
    Nothing is opened yet: the first use does that, and :func:`available` turns its errors into clear ones.
    """
    try:
        parsed = make_url(url)
        dialect = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError) as error:
        raise _no_url(str(error).replace(str(url), "…")) from None
    except ValueError:  # its text may be a part of the password
        raise _no_url(
            "its port is no number; what a password holds beside letters and digits is written %40 for @"
        ) from None
    if parsed.password and "@" in f"{parsed.host}{parsed.database}":
        raise _no_url("its password holds a character that must be written otherwise: %40 for @, %2F for /, %3A for :")
    if dialect == "sqlite":
        return _sqlite(parsed, options)
    if dialect == "postgresql":
        return _postgresql(parsed, options)
    raise SettingError(
        f"headwater does not speak {dialect}", "the log and the read models live in SQLite or PostgreSQL", _WRITE
    )


def _no_url(why: str) -> SettingError:
    return SettingError("this is not the URL of a database", why, _WRITE)


def _sqlite(url: URL, options: dict[str, Any]) -> Engine:
    if url.database and url.database.startswith("file:"):
        raise _no_url("the file's path is written as it is, without file: and what a URI of SQLite may hold")
    if not url.database or url.database == ":memory:":
        raise SettingError(
            "a SQLite database in memory cannot hold a log",
            "each connection would see one of its own",
            "write sqlite:///shop.db",
        )
    try:
        engine = create_engine(
            url,
            connect_args={"timeout": SQLITE_BUSY_SECONDS, "check_same_thread": False},
            execution_options={"schema_translate_map": {SCHEMA: None}},
            **{"pool_size": 20, "max_overflow": 80, **options},
        )
    except (TypeError, ValueError) as error:
        raise _no_url(f"what stands after its ? cannot be used: {error}") from None

    @event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # BEGIN is said below, and by nobody else
        add_collations(connection)
        _use_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cache_size = -65536")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        if begin := connection.get_execution_options().get(_BEGIN, "BEGIN"):
            connection.exec_driver_sql(begin)

    return engine


def _use_wal(connection: sqlite3.Connection) -> None:
    """Several processes may open a new file at once, and SQLite does not wait by itself to change its mode."""
    until = time.monotonic() + SQLITE_BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(SQLITE_MODE_SECONDS)


def _postgresql(url: URL, options: dict[str, Any]) -> Engine:
    try:
        import psycopg.conninfo
    except ImportError:
        raise SettingError(
            "PostgreSQL needs the package psycopg", "it is not installed", 'pip install "headwater[postgres]"'
        ) from None
    settings = " ".join(f"-c {name}={value}" for name, value in POSTGRES_OPTIONS.items())
    if given := url.query.get("options"):
        settings = f"{settings} {given if isinstance(given, str) else ' '.join(given)}"
        url = url.difference_update_query(["options"])
    try:
        psycopg.conninfo.make_conninfo("", **dict.fromkeys(url.query, ""))
    except psycopg.Error as error:
        raise _no_url(str(error).strip()) from None
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        connect_args={**POSTGRES_TCP, "options": settings, "client_encoding": "utf8"},
        **{"pool_size": 20, "max_overflow": 80, "pool_use_lifo": True, **options},
    )


def is_sqlite(on: Engine | Connection) -> bool:
    return on.dialect.name == "sqlite"


def table_name(on: Engine | Connection, name: str) -> str:
    """A framework table's name for SQL written by hand."""
    return name if is_sqlite(on) else f"{SCHEMA}.{name}"


def turn(engine: Engine) -> AbstractContextManager[None]:
    """Wait behind the other writers of this process, where the database has one write lock."""
    if not is_sqlite(engine):
        return nullcontext()
    return turns_of(engine.url.database or "").turn(SQLITE_BUSY_SECONDS)


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes: committed at the end, rolled back on an error. SQLite: ``BEGIN IMMEDIATE``."""
    with turn(engine), engine.connect() as connection:
        connection = connection.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        with connection.begin():
            yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection whose every statement is a transaction of its own, so that none stays open."""
    with engine.connect() as connection:
        alone = {_BEGIN: ""} if is_sqlite(engine) else {"isolation_level": "AUTOCOMMIT"}
        yield connection.execution_options(**alone)


def create_schema(connection: Connection) -> None:
    # IF NOT EXISTS alone asks for the right to create it even when it is there.
    if not is_sqlite(connection) and not inspect(connection).has_schema(SCHEMA):
        connection.execute(CreateSchema(SCHEMA, if_not_exists=True))
