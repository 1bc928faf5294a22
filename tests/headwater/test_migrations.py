"""headwater's own tables: what the migrations make is what the code declares."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData, event, text

import cdc.schema
import headwater
import projections.tables  # noqa: F401
from eventstore.errors import SettingError
from eventstore.sql.engine import connect, is_sqlite, reading, writing
from eventstore.sql.schema import SCHEMA, metadata
from headwater.migrate import HEAD, VERSION_TABLE, current, migrate

assert cdc.schema.metadata is metadata


@pytest.fixture
def fresh(database_url: str) -> Iterator[Engine]:
    """An engine on a database without any tables."""
    engine = connect(database_url)
    yield engine
    engine.dispose()


def declared(engine: Engine) -> MetaData:
    """The metadata as the database has it: SQLite knows no schemas."""
    if not is_sqlite(engine):
        return metadata
    bare = MetaData()
    for table in metadata.tables.values():
        table.to_metadata(bare, schema=None)
    return bare


def test_the_migrated_tables_are_the_declared_ones(fresh: Engine) -> None:
    migrate(fresh)

    def ours(object_: Any, name: str | None, type_: str, reflected: bool, compare_to: Any) -> bool:
        return name != VERSION_TABLE

    options = {"include_object": ours, "include_schemas": not is_sqlite(fresh), "compare_type": True}
    with reading(fresh) as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, declared(fresh)) == []


def test_the_newest_revision_is_the_one_the_code_knows() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(headwater.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_migrating_again_costs_one_select(fresh: Engine) -> None:
    assert migrate(fresh)
    statements: list[str] = []
    event.listen(fresh, "before_cursor_execute", lambda *call: statements.append(call[2]))
    assert not migrate(fresh)
    assert len([each for each in statements if not each.startswith("BEGIN")]) == 1


def test_two_that_start_at_once_do_not_disturb_each_other(database_url: str) -> None:
    failed: list[BaseException] = []
    together = threading.Barrier(4)

    def start() -> None:
        engine = connect(database_url)
        try:
            together.wait()
            migrate(engine)
        except BaseException as error:
            failed.append(error)
        finally:
            engine.dispose()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_a_database_of_newer_code_is_refused(fresh: Engine) -> None:
    migrate(fresh)
    table = VERSION_TABLE if is_sqlite(fresh) else f"{SCHEMA}.{VERSION_TABLE}"
    with writing(fresh) as connection:
        connection.execute(text(f"UPDATE {table} SET version_num = '9999'"))
    with pytest.raises(SettingError, match="migrated by newer code"):
        migrate(fresh)
    assert current(fresh) == "9999"


def test_a_migration_that_fails_leaves_nothing_behind(fresh: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alembic.op.create_index", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        migrate(fresh)
    assert current(fresh) is None
    monkeypatch.undo()
    assert migrate(fresh)


def test_a_strangers_table_of_our_name_is_left_alone(fresh: Engine) -> None:
    with writing(fresh) as connection:
        if not is_sqlite(fresh):
            connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
        table = "hw_event" if is_sqlite(fresh) else f"{SCHEMA}.hw_event"
        connection.execute(text(f"CREATE TABLE {table} (x int)"))
        connection.execute(text(f"INSERT INTO {table} VALUES (5)"))
    with pytest.raises(SettingError, match="called as one of headwater's, and is not"):
        migrate(fresh)
    with reading(fresh) as connection:
        assert connection.scalar(text(f"SELECT x FROM {table}")) == 5
    assert current(fresh) is None


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_does_not_keep_all_text_is_refused(postgres_cluster: Any, encoding: str) -> None:
    name = f"other_{encoding.lower()}"
    postgres_cluster.execute(
        f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    engine = connect(postgres_cluster.url(name))
    with pytest.raises(SettingError, match=f"keeps text in {encoding}"):
        migrate(engine)
    engine.dispose()
    postgres_cluster.drop_database(name)
