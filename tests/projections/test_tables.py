"""The physical table of a generation and its view: made once, kept from strangers, made anew by clear."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import CheckConstraint, Engine, Index, MetaData, String, UniqueConstraint, func, inspect, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Mapped, Session, mapped_column

from eventstore.errors import DeclarationError, StaleProjection
from eventstore.model.message import Event
from eventstore.sql.engine import connect, create_schema, is_sqlite, reading, writing
from eventstore.sql.schema import metadata
from projections import Projection, ProjectionHandler, ReadModel, create_tables, get
from projections.tables import generation_name

HOSTILE = 'a"; DROP TABLE hw_event; --%s ?:x ü'


class Noted(Event, name="tables-noted"):
    text: str = "x"


class Wiped(Event, name="tables-wiped"): ...


class Strange(ReadModel):
    __tablename__ = HOSTILE
    first: Mapped[str] = mapped_column('k"1%s', String, primary_key=True)
    second: Mapped[int] = mapped_column("k:2 ?", primary_key=True)
    value: Mapped[str] = mapped_column("order%", String, index=True)


strange = Projection("tables-strange", into=Strange)


@strange.on(Noted, key=lambda event: [(event.text, 1), (event.text, 2)])
def noted(row: Strange, event: Noted) -> None:
    row.value = event.text


@strange.on(Wiped, where=(Strange.value, lambda event: "x"))
def wiped(row: Strange, event: Wiped) -> None:
    row.value = "wiped"


def test_names_made_of_sql_are_only_names(drive: Any, record: Any, engine: Engine) -> None:
    handler = ProjectionHandler(strange)
    drive.start(handler)
    many = [Noted(text=f"t{n}%s\"'?") for n in range(60)]
    drive(handler, record("note-1", Noted(text="x"), *many))
    drive(handler, record("note-1", Wiped()))
    with Session(engine) as session:
        assert session.scalar(select(func.count()).select_from(Strange)) == 122
        assert session.get(Strange, ("t3%s\"'?", 2)) is not None
    with reading(engine) as connection:
        row = get(strange, ("x", 1), connection)
        assert row is not None
        assert row.value == "wiped"
        assert inspect(connection).has_table("hw_event", schema=None if is_sqlite(engine) else "headwater")


class Plain(ReadModel):
    __tablename__ = "tables_plain"
    id: Mapped[str] = mapped_column(primary_key=True)
    text: Mapped[str]
    group: Mapped[str | None]
    __table_args__ = (UniqueConstraint("text", "group"),)


def _plain(model: Any = Plain, name: str = "tables-plain") -> Projection[Any]:
    projection = Projection(name, into=model)

    def handler(row: Any, event: Noted) -> None:
        row.text = event.text

    projection.on(Noted)(handler)
    return projection


class Indexed(ReadModel):
    __tablename__ = "tables_indexed"
    id: Mapped[str] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(unique=True)
    __table_args__ = (Index("tables_indexed_lower", func.lower(text.column)), CheckConstraint("text <> ''"))


class Later(ReadModel):
    """For models of tables that are declared once more, as after a change of the code."""

    __abstract__ = True
    metadata = MetaData()


class ChangedPlain(Later):
    __tablename__ = "tables_plain"
    id: Mapped[str] = mapped_column(primary_key=True)
    text: Mapped[str]
    added: Mapped[str] = mapped_column(default="new")


def test_making_tables_again_changes_nothing(drive: Any, record: Any) -> None:
    handler = ProjectionHandler(_plain())
    drive.start(handler)
    drive(handler, record("note-1", Noted()))
    drive.start(handler)
    assert drive.query("SELECT id, text FROM tables_plain") == [("1", "x")]


def test_constraints_and_indexes_carry_the_generations_name(drive: Any, engine: Engine) -> None:
    drive.start(ProjectionHandler(_plain()))
    schema = None if is_sqlite(engine) else "headwater"
    with reading(engine) as connection:
        inspector = inspect(connection)
        unique = [one["name"] for one in inspector.get_unique_constraints("tables_plain__g1", schema)]
    assert len(unique) == 1
    assert str(unique[0]).startswith("tables_plain_")
    assert str(unique[0]).endswith("__g1")


def test_indexes_on_expressions_and_checks_are_made_too(drive: Any, record: Any) -> None:
    handler = ProjectionHandler(_plain(Indexed))
    drive.start(handler)
    with pytest.raises(DBAPIError, match=r"(?i)check"):
        drive(handler, record("note-1", Noted(text="")))


def test_a_column_that_wheres_choose_by_is_indexed(drive: Any, engine: Engine) -> None:
    projection = _plain()
    projection.on(Noted, where=(Plain.group, lambda event: event.text))(lambda row, event: None)
    drive.start(ProjectionHandler(projection))
    schema = None if is_sqlite(engine) else "headwater"
    with reading(engine) as connection:
        indexes = inspect(connection).get_indexes("tables_plain__g1", schema)
    assert ["group"] in [index["column_names"] for index in indexes]


def test_clearing_leaves_an_empty_table_behind_the_view(drive: Any, record: Any, engine: Engine) -> None:
    handler = ProjectionHandler(_plain())
    drive.start(handler)
    drive(handler, record("note-1", Noted()))
    with writing(engine) as connection:
        handler.clear(connection)
    assert drive.query("SELECT * FROM tables_plain") == []


def test_clearing_that_is_rolled_back_keeps_the_rows(drive: Any, record: Any, engine: Engine) -> None:
    handler = ProjectionHandler(_plain(ChangedPlain))
    drive.start(ProjectionHandler(_plain()))
    drive(ProjectionHandler(_plain()), record("note-1", Noted()))
    with engine.connect() as connection:
        handler.clear(connection)
        connection.rollback()
    assert drive.query("SELECT id, text FROM tables_plain") == [("1", "x")]


def test_clearing_gives_table_and_view_the_columns_declared_now(drive: Any, record: Any, engine: Engine) -> None:
    drive.start(ProjectionHandler(_plain()))
    drive(ProjectionHandler(_plain()), record("note-1", Noted()))
    changed = ProjectionHandler(_plain(ChangedPlain))
    with writing(engine) as connection:
        changed.clear(connection)
    drive(changed, record("note-1", Noted()))
    assert drive.query("SELECT id, text, added FROM tables_plain") == [("1", "x", "new")]


def test_an_empty_table_follows_the_columns_without_a_rebuild(drive: Any, record: Any) -> None:
    drive.start(ProjectionHandler(_plain()))
    changed = ProjectionHandler(_plain(ChangedPlain))
    drive.start(changed)
    drive(changed, record("note-1", Noted()))
    assert drive.query("SELECT id, text, added FROM tables_plain") == [("1", "x", "new")]


def test_changed_columns_alone_leave_rows_as_they_are(drive: Any, record: Any, engine: Engine) -> None:
    handler = ProjectionHandler(_plain())
    drive.start(handler)
    drive(handler, record("note-1", Noted()))
    with writing(engine) as connection:
        create_tables(_plain(ChangedPlain), connection)
    assert drive.query('SELECT id, text, "group" FROM tables_plain') == [("1", "x", None)]


@pytest.mark.parametrize("kind", ["TABLE tables_plain (x integer)", "VIEW tables_plain AS SELECT 1 AS x"])
def test_a_table_or_view_of_somebody_else_is_left_alone(drive: Any, engine: Engine, kind: str) -> None:
    with writing(engine) as connection:
        connection.exec_driver_sql(f"CREATE {kind}")
    with pytest.raises(DeclarationError, match="there is a table or view 'tables_plain' already"):
        drive.start(ProjectionHandler(_plain()))
    with pytest.raises(DeclarationError), writing(engine) as connection:
        ProjectionHandler(_plain()).clear(connection)
    assert drive.query("SELECT count(x) FROM tables_plain") in ([(0,)], [(1,)])


def test_a_read_model_belongs_to_one_projection(drive: Any) -> None:
    drive.start(ProjectionHandler(_plain()))
    with pytest.raises(DeclarationError, match="it belongs to the projection tables-plain"):
        drive.start(ProjectionHandler(_plain(name="tables-other")))


def test_a_view_that_was_dropped_is_made_again(drive: Any, record: Any, engine: Engine) -> None:
    handler = ProjectionHandler(_plain())
    drive.start(handler)
    drive(handler, record("note-1", Noted()))
    with writing(engine) as connection:
        connection.exec_driver_sql("DROP VIEW tables_plain")
    drive.start(handler)
    assert drive.query("SELECT id FROM tables_plain") == [("1",)]


def test_rows_that_were_dropped_are_missed_and_a_rebuild_begins_anew(drive: Any, engine: Engine) -> None:
    handler = ProjectionHandler(_plain())
    drive.start(handler)
    with writing(engine) as connection:
        connection.exec_driver_sql("DROP VIEW tables_plain")
        connection.exec_driver_sql(f"DROP TABLE {handler.tables.physical_name(connection)}")
    with pytest.raises(StaleProjection, match="the rows of tables-plain are gone"):
        drive.start(handler)
    with writing(engine) as connection:
        handler.clear(connection)
    assert drive.query("SELECT * FROM tables_plain") == []


def test_a_view_that_others_depend_on_is_not_dropped_behind_their_back(postgres_url: str) -> None:
    engine = connect(postgres_url)
    with writing(engine) as connection:
        create_schema(connection)
        metadata.create_all(connection)
        create_tables(_plain(), connection)
        connection.exec_driver_sql("CREATE VIEW report AS SELECT id FROM tables_plain")
    with (
        pytest.raises(DeclarationError, match="something else depends on it") as refused,
        writing(engine) as connection,
    ):
        ProjectionHandler(_plain(ChangedPlain)).clear(connection)
    assert "report" in refused.value.why
    engine.dispose()


@pytest.mark.parametrize("name", ["x" * 59, "x" * 60, "ü" * 40, "日本" * 30])
def test_a_generations_name_fits_an_identifier(name: str) -> None:
    made = generation_name(name, 1)
    assert len(made.encode()) <= 63
    assert made.endswith("__g1")


def test_long_names_that_begin_alike_stay_apart() -> None:
    assert generation_name("x" * 80 + "a", 1) != generation_name("x" * 80 + "b", 1)
