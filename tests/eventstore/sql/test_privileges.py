"""What a PostgreSQL role needs, and what is said when it lacks it."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import make_url, text

from eventstore.errors import SettingError
from eventstore.sql.engine import connect, create_schema, writing
from eventstore.sql.faults import available


@pytest.fixture
def modest_url(postgres_url: str) -> str:
    """The database as seen by a role that may create nothing in it."""
    _as_superuser(postgres_url, "DO $$ BEGIN CREATE ROLE modest LOGIN; EXCEPTION WHEN duplicate_object THEN END $$")
    return make_url(postgres_url).set(username="modest").render_as_string(hide_password=False)


def _as_superuser(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)  # type: ignore[call-overload]


def test_a_role_that_may_not_create_the_schema_is_told_what_it_needs(modest_url: str) -> None:
    engine = connect(modest_url)
    refusal = pytest.raises(SettingError, match="role modest may not")
    with refusal as refused, available(engine), writing(engine) as connection:
        create_schema(connection)
    assert "permission denied" in refused.value.why
    assert "CREATE on the database" in refused.value.fix
    engine.dispose()


def test_a_schema_that_is_there_needs_no_right_to_create_it(modest_url: str, postgres_url: str) -> None:
    _as_superuser(postgres_url, "CREATE SCHEMA headwater AUTHORIZATION modest")
    engine = connect(modest_url)
    with available(engine), writing(engine) as connection:
        create_schema(connection)
        connection.execute(text("CREATE TABLE headwater.made (id int)"))
    engine.dispose()
