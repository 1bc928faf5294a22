"""What the errors of a database mean: pass by themselves, the role's rights, a key that is there; and their words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from eventstore.errors import HeadwaterError, SettingError, Unavailable
from eventstore.secrets import without_secrets
from eventstore.sql.engine import is_sqlite

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
