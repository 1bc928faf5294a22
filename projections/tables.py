"""The tables of a read model: one physical table a generation, behind a view that users query."""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import Column, Connection, Index, Integer, MetaData, Table, Text, delete, inspect, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex, CreateTable

from eventstore.errors import DeclarationError, StaleProjection
from eventstore.sql.engine import is_sqlite
from eventstore.sql.schema import SCHEMA, metadata
from projections.projection import Projection

MAX_NAME_BYTES = 63
"""Of an identifier. Source: PostgreSQL, NAMEDATALEN."""
_DEPENDENT_OBJECTS = "2BP01"  # Source: PostgreSQL, appendix A

read_model = Table(
    "hw_read_model",
    metadata,
    # The view's (or table's) name, with its schema where the model says one.
    Column("relation", Text, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("projection", Text, nullable=False),
    Column("shape", Text, nullable=False),
)


def generation_name(name: str, generation: int) -> str:
    """``<name>__g<generation>``, its middle replaced by a hash when that is longer than 63 bytes."""
    full = f"{name}__g{generation}"
    if len(full.encode()) <= MAX_NAME_BYTES:
        return full
    tail = f"_{hashlib.sha256(name.encode()).hexdigest()[:10]}__g{generation}"
    return name.encode()[: MAX_NAME_BYTES - len(tail)].decode(errors="ignore") + tail


class ReadModelTables:
    """The physical table and the view of one generation of a projection."""

    def __init__(self, projection: Projection[Any], generation: int = 1) -> None:
        self._projection, self._generation = projection, generation
        self._model: Table = projection.into.__table__
        self._relation = self._model.fullname
        self._table = _physical(projection, self._model, generation)

    def physical_name(self, connection: Connection) -> str:
        """The physical table's name for SQL written by hand, quoted."""
        quote = connection.dialect.identifier_preparer.quote
        return quote(self._table.name) if is_sqlite(connection) else f"{quote(SCHEMA)}.{quote(self._table.name)}"

    def view_name(self, connection: Connection) -> str:
        """The view's name for SQL written by hand, quoted."""
        return view_name(connection, self._model)

    def create(self, connection: Connection) -> None:
        """Make table and view unless they are there. Rows of another shape are left as they are, for a rebuild.

        :class:`~eventstore.errors.DeclarationError` when the name belongs to something else,
        :class:`~eventstore.errors.StaleProjection` when somebody dropped the rows.
        """
        known = self._known(connection)
        if known is None:
            self._refuse_strangers(connection)
            self._create(connection)
        elif not exists(connection, self._table.name, self._physical_schema(connection)):
            raise StaleProjection(
                f"the rows of {self._projection.name} are gone: there is no table {self._table.name}",
                "somebody dropped it",
                f"headwater projection rebuild {self._projection.name}",
            )
        elif known.shape != self._shape():
            if is_empty(connection, self.physical_name(connection)):
                self.clear(connection)
        elif not exists(connection, self._model.name, self._model.schema):
            self._create_view(connection)

    def clear(self, connection: Connection) -> None:
        """Leave table and view empty and of the shape that the model has now."""
        known = self._known(connection)
        there = exists(connection, self._table.name, self._physical_schema(connection))
        if known is not None and known.shape == self._shape() and there:
            empty = "DELETE FROM" if is_sqlite(connection) else "TRUNCATE"
            connection.exec_driver_sql(f"{empty} {self.physical_name(connection)}", ())
            return
        if known is None:
            self._refuse_strangers(connection)
        else:
            self._drop(connection)
        self._create(connection)

    # ---------------------------------------------------------------- steps

    def _known(self, connection: Connection) -> Any:
        """What is recorded of the relation; refused when it is another projection's."""
        kept = read_model.c
        query = select(kept.projection, kept.shape).where(
            kept.relation == self._relation, kept.generation == self._generation
        )
        known = connection.execute(query).first()
        if known is not None and known.projection != self._projection.name:
            raise DeclarationError(
                f"{self._relation} cannot be the read model of {self._projection.name}",
                f"it belongs to the projection {known.projection}",
                f"fold into a model with another __tablename__, or call the projection {known.projection} again",
            )
        return known

    def _refuse_strangers(self, connection: Connection) -> None:
        taken = {self._model.name: self._model.schema, self._table.name: self._physical_schema(connection)}
        for name, schema in taken.items():
            if exists(connection, name, schema):
                raise DeclarationError(
                    f"{self._projection.name} cannot make its read model: there is a table or view {name!r} already",
                    "headwater did not make it, and leaves it alone",
                    f"give {self._projection.into.__name__} another __tablename__, or rename what is there",
                )

    def _create(self, connection: Connection) -> None:
        connection.execute(CreateTable(self._table))
        for index in sorted(self._table.indexes, key=lambda index: str(index.name)):
            connection.execute(CreateIndex(index))
        self._create_view(connection)
        connection.execute(
            read_model.insert().values(
                relation=self._relation,
                generation=self._generation,
                projection=self._projection.name,
                shape=self._shape(),
            )
        )

    def _create_view(self, connection: Connection) -> None:
        quote = connection.dialect.identifier_preparer.quote
        columns = ", ".join(quote(column.name) for column in self._table.columns)
        connection.exec_driver_sql(
            f"CREATE VIEW {self.view_name(connection)} AS SELECT {columns} FROM {self.physical_name(connection)}", ()
        )

    def _drop(self, connection: Connection) -> None:
        try:
            connection.exec_driver_sql(f"DROP VIEW IF EXISTS {self.view_name(connection)}", ())
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _DEPENDENT_OBJECTS:
                raise
            raise DeclarationError(
                f"the columns of {self._relation} change, and something else depends on it",
                str(error.orig),
                "drop what depends on it, rebuild, and create it again",
            ) from error
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {self.physical_name(connection)}", ())
        kept = read_model.c
        connection.execute(
            delete(read_model).where(kept.relation == self._relation, kept.generation == self._generation)
        )

    def _shape(self) -> str:
        """What the physical table is made by."""
        statements = [CreateTable(self._table), *sorted(map(CreateIndex, self._table.indexes), key=str)]
        return hashlib.sha256("\n".join(map(str, statements)).encode()).hexdigest()[:32]

    def _physical_schema(self, connection: Connection) -> str | None:
        return None if is_sqlite(connection) else SCHEMA


def exists(connection: Connection, name: str, schema: str | None) -> bool:
    """Whether there is a table or view of this name."""
    inspector = inspect(connection)
    return name in inspector.get_table_names(schema) or name in inspector.get_view_names(schema)


def is_empty(connection: Connection, name: str) -> bool:
    """Whether a table, by its quoted name, has no rows."""
    return connection.exec_driver_sql(f"SELECT 1 FROM {name} LIMIT 1", ()).first() is None


def view_name(connection: Connection, model: Table) -> str:
    """The name of a read model's view, quoted."""
    quote = connection.dialect.identifier_preparer.quote
    return f"{quote(model.schema)}.{quote(model.name)}" if model.schema else quote(model.name)


def _physical(projection: Projection[Any], model: Table, generation: int) -> Table:
    """A copy of the model's table under the generation's names, with an index for every where."""
    copy = model.to_metadata(MetaData(), schema=SCHEMA, name=generation_name(model.name, generation))
    for column in copy.columns:
        column.autoincrement = False  # keys come from events
        column.default = None
    named: list[Any] = [*copy.constraints, *copy.indexes]
    for item in named:
        names = [str(item.name or type(item).__name__), *(column.name for column in item.columns)]
        item.name = generation_name("_".join([model.name, *names]), generation)
    _index_wheres(projection, copy, generation)
    if len(copy.primary_key) > 1 or not isinstance(next(iter(copy.primary_key)).type, Integer):
        copy.dialect_options["sqlite"]["with_rowid"] = False  # one tree instead of two
    return copy


def _index_wheres(projection: Projection[Any], table: Table, generation: int) -> None:
    indexed = {next(iter(index.columns)).name for index in table.indexes if len(index.columns)}
    indexed.add(next(iter(table.primary_key)).name)
    shape = projection.shape
    for column in sorted(shape.columns[shape.names.index(name)].name for name in projection.where_columns):
        if column not in indexed:
            Index(generation_name(f"{table.name}_{column}_where", generation), table.c[column])


def create_tables(projection: Projection[Any], connection: Connection, generation: int = 1) -> None:
    """Make the table and the view of ``projection`` unless they are there; see :class:`ReadModelTables`."""
    ReadModelTables(projection, generation).create(connection)
