"""headwater's own tables, made and brought up to date with Alembic. The history is linear."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Column, Connection, Engine, MetaData, Table, Text, select, text
from sqlalchemy.exc import DatabaseError, OperationalError, ProgrammingError

from eventstore.errors import SettingError
from eventstore.sql.engine import create_schema, is_sqlite, reading, writing
from eventstore.sql.faults import available, describe, is_transient
from eventstore.sql.schema import SCHEMA

HEAD = "0001"
"""The newest revision. Known without loading Alembic, which costs more than everything else at start."""
VERSION_TABLE = "hw_alembic_version"
_VERSIONS = Path(__file__).parent / "migrations"
_LOCK = 0x48_57_4D_49  # any number, the same in every process
_DUPLICATE_TABLE = "42P07"  # Source: PostgreSQL, appendix A
_version = Table(VERSION_TABLE, MetaData(schema=SCHEMA), Column("version_num", Text))


def current(engine: Engine) -> str | None:
    """The revision that the tables are at; None when there are none."""
    with a_database(engine), available(engine), reading(engine) as connection:
        try:
            return connection.scalar(select(_version.c.version_num))
        except (OperationalError, ProgrammingError) as error:
            if is_transient(error):
                raise
            return None


@contextmanager
def a_database(engine: Engine) -> Iterator[None]:
    """A file that SQLite cannot read is not ours to write to."""
    try:
        yield
    except DatabaseError as error:
        if getattr(error.orig, "sqlite_errorcode", None) not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise
        raise SettingError(
            f"{describe(engine)} is not a SQLite database, or a damaged one",
            str(error.orig),
            "point HEADWATER_DATABASE at another file, or restore this one from a backup",
        ) from None


def migrate(engine: Engine) -> bool:
    """Bring the tables to the newest revision; whether there was anything to do. One SELECT when there is not.

    Safe when several processes start at once. A database that newer code has migrated is a
    :class:`~eventstore.errors.SettingError`.
    """
    if current(engine) == HEAD:
        return False
    with available(engine), writing(engine) as connection:
        if not is_sqlite(connection):  # SQLite: the transaction itself is the lock
            _check_encoding(connection, engine)
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        create_schema(connection)
        _upgrade(connection, engine)
    return True


def _check_encoding(connection: Connection, engine: Engine) -> None:
    """Else an event with a character that the database lacks fails long after everything seemed well."""
    encoding = connection.scalar(text("SHOW server_encoding"))
    if encoding != "UTF8":
        raise SettingError(
            f"{describe(engine)} keeps text in {encoding}",
            "events and keys may hold any character, and that encoding does not have them all",
            "CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0, and point HEADWATER_DATABASE at it",
        )


def _upgrade(connection: Connection, engine: Engine) -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from alembic.script.revision import ResolutionError
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(_VERSIONS).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)

    def steps(revision: object, _: MigrationContext) -> object:
        return script._upgrade_revs("head", revision)  # type: ignore[arg-type]

    environment = EnvironmentContext(config, script, fn=steps)
    with environment:
        environment.configure(
            connection=connection,
            version_table=VERSION_TABLE,
            version_table_schema=None if is_sqlite(connection) else SCHEMA,
        )
        try:
            environment.run_migrations()
        except (CommandError, ResolutionError) as error:
            raise SettingError(
                f"the database {describe(engine)} was migrated by newer code",
                str(error),
                "upgrade headwater here too, or point HEADWATER_DATABASE at another database",
            ) from None
        except DatabaseError as error:
            if getattr(error.orig, "sqlstate", None) != _DUPLICATE_TABLE and "already exists" not in str(error.orig):
                raise
            raise SettingError(
                f"{describe(engine)} has a table that is called as one of headwater's, and is not",
                str(error.orig).partition("\n")[0],
                "point HEADWATER_DATABASE at another database, or rename that table",
            ) from None
