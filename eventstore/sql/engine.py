"""Engines for SQLite and PostgreSQL, set up as the log needs them, and what their errors mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.schema import CreateSchema

from eventstore.errors import HeadwaterError, SettingError, Unavailable
from eventstore.secrets import without_secrets
from eventstore.sql.columns import add_collations
from eventstore.sql.schema import SCHEMA
from eventstore.sql.turns import turns_of

SQLITE_BUSY_SECONDS = 5.0
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
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cache_size = -65536")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        if begin := connection.get_execution_options().get(_BEGIN, "BEGIN"):
            connection.exec_driver_sql(begin)

    return engine


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


# SQLSTATE classes and codes that say: the same may work later. Source: PostgreSQL, appendix A.
_TRANSIENT_STATES = (
    "08",  # connection
    "25P03",  # idle in transaction timeout
    "40001",  # serialization failure
    "40P01",  # deadlock
    "53",  # insufficient resources: disk full, too many connections
    "55P03",  # lock not available
    "57P",  # operator intervention: shutdown, crash recovery, starting up
    "58",  # system error: I/O
    "25006",  # read-only transaction: a standby that is about to be promoted
)
_SQLITE_TRANSIENT = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
)


def is_transient(error: BaseException) -> bool:
    """Whether the database said that the same may work later; everything else is the statement's fault."""
    if isinstance(error, (Unavailable, PoolTimeout)):
        return True
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return True
        return error.orig is not None and is_transient(error.orig)
    if isinstance(error, sqlite3.Error):
        return (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF in _SQLITE_TRANSIENT
    state = getattr(error, "sqlstate", None)
    if state is not None:
        return str(state).startswith(_TRANSIENT_STATES)
    # psycopg reports a lost or refused connection as an OperationalError without a state.
    return type(error).__module__.startswith("psycopg") and type(error).__name__ == "OperationalError"


def is_unique_violation(error: BaseException) -> bool:
    """Whether a driver said that a row with this key is there already."""
    return isinstance(error, sqlite3.IntegrityError) or getattr(error, "sqlstate", None) == "23505"


def describe(engine: Engine) -> str:
    """The database's address without its password."""
    return without_secrets(engine.url.render_as_string(hide_password=True))


def unavailable(engine: Engine, error: BaseException) -> Unavailable:
    """A clear error for one that :func:`is_transient` recognised; one that is clear already stays as it is."""
    if isinstance(error, Unavailable):
        return error
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    text = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
    return Unavailable(f"the database {describe(engine)} cannot be used now", text, _advice(engine, text))


def _advice(engine: Engine, text: str) -> str:
    if not is_sqlite(engine):
        return "check that the server runs, and the address, user and password"
    file = Path(engine.url.database or "")
    if "locked" in text:
        return f"another program holds {file.name} for writing: end its transaction"
    if "full" in text:
        return f"make room on the disk that holds {file.name}"
    if "readonly" in text or "unable to open" in text:
        return f"make {file.name} and its folder exist and be writable for this user"
    return f"check the disk that holds {file.name}"


def is_forbidden(error: BaseException) -> bool:
    """Whether the role lacks a right. Source: PostgreSQL, appendix A, 42501."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return getattr(cause, "sqlstate", None) == "42501"


def explained(engine: Engine, error: BaseException) -> HeadwaterError:
    """A clear error for one that :func:`is_transient` or :func:`is_forbidden` recognised."""
    if not is_forbidden(error):
        return unavailable(engine, error)
    cause = error.orig if isinstance(error, DBAPIError) else error
    return SettingError(
        f"the role {engine.url.username or ''} may not do that in the database {engine.url.database}",
        str(cause).splitlines()[0],
        "it needs CREATE on the database and on the default schema to make its tables, and to own what it made",
    )


@contextmanager
def available(engine: Engine) -> Iterator[None]:
    """Turn the database's passing faults inside the block into :class:`~eventstore.errors.Unavailable`.

    What the role may not do is a :class:`~eventstore.errors.SettingError`.
    """
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        if is_transient(error) or is_forbidden(error):
            raise explained(engine, error) from error
        raise
    except Exception as error:
        if type(error).__module__.startswith("psycopg") and is_transient(error):
            raise unavailable(engine, error) from error
        raise
