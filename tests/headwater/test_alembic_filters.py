"""A user's own Alembic on the same database leaves headwater's tables alone."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Column, Integer, MetaData, Table
from sqlalchemy.orm import Mapped, mapped_column

from eventstore.sql.engine import connect, reading
from headwater import App, Projection, ReadModel
from headwater.alembic import include_name, include_object


class Stocked(ReadModel):
    __tablename__ = "alembic_stocked"
    sku: Mapped[str] = mapped_column(primary_key=True)
    price: Mapped[Decimal]


stocked = Projection("stocked", into=Stocked)


def differences(url: str, metadata: MetaData) -> list[Any]:
    engine = connect(url)
    try:
        with reading(engine) as connection:
            options = {"include_name": include_name, "include_object": include_object}
            return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))
    finally:
        engine.dispose()


def test_nothing_of_ours_is_proposed_to_be_dropped(database_url: str) -> None:
    with App("shop", stocked, database=database_url) as app:
        app.prepare()
    assert differences(database_url, MetaData()) == []


def test_read_models_among_the_targets_are_not_proposed_to_be_made(database_url: str) -> None:
    with App("shop", stocked, database=database_url) as app:
        app.prepare()
    assert differences(database_url, ReadModel.metadata) == []


def test_the_users_own_tables_are(database_url: str) -> None:
    mine = MetaData()
    Table("invoice", mine, Column("id", Integer, primary_key=True))
    with App("shop", stocked, database=database_url) as app:
        app.prepare()
    ((kind, table),) = differences(database_url, mine)
    assert (kind, table.name) == ("add_table", "invoice")
