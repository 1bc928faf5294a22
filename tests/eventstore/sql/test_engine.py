"""Engines: what a URL may be, and what errors of a database become."""

from __future__ import annotations

from sqlalchemy import Engine, select

from eventstore.sql import schema


def test_a_fresh_database_has_the_tables(engine: Engine) -> None:
    with engine.connect() as connection:
        assert connection.execute(select(schema.topic)).all() == []
